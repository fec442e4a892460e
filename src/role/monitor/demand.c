/*
 * Roles that are started when somebody wants them. A role that is to have a channel to one of them all the
 * time gets its end at once; the other stays here until something is written to it.
 */
#include <stdlib.h>

#include "base/arena.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "role/monitor/monitor_priv.h"

struct promise {
    struct process *asker;
    enum role role;
    int fd;
    struct event_source *source; // NULL: the role could not be started; watched again with the next tick
    struct promise *next;
};

bool role_is_on_demand(enum role role)
{
    return role == ROLE_ACCOUNT_TEMPLATE || role == ROLE_DKIM || role == ROLE_RESOLVE || role == ROLE_DIAL ||
           role == ROLE_DELIVER_TEMPLATE || role == ROLE_FETCH_TEMPLATE || role == ROLE_WEB_TEMPLATE;
}

struct process *role_begun(struct monitor *m, enum role role)
{
    for (struct process *p = m->processes; p; p = p->next)
        if (p->role == role && !p->is_retired && p->ch.fd >= 0)
            return p;
    return NULL;
}

static void drop(struct monitor *m, struct promise **at)
{
    struct promise *w = *at;

    event_remove(m->loop, w->source);
    fd_close(&w->fd);
    *at = w->next;
    free(w);
}

// What was said before it was there waits in the channels.
static void keep_promises(struct monitor *m, struct process *p)
{
    struct err e = {0};

    for (struct promise **at = &m->promises; *at;)
        if ((*at)->role != p->role) {
            at = &(*at)->next;
        } else {
            if (!IPC_SEND(&p->ch, peer, &(*at)->fd, 1, &e, .role = (uint8_t)(*at)->asker->role))
                LOG(LOG_ERROR, "mox", "connecting roles", LOG_E(&e));
            drop(m, at);
        }
}

struct process *role_wanted(struct monitor *m, enum role role)
{
    struct process *p = role_begun(m, role);
    int64_t now = os_monotonic_ms();

    // One that ends as soon as it begins is not tried for every asker.
    if (p || m->stopping_ms || (m->begun_ms[role] && now - m->begun_ms[role] < 1000))
        return p;
    m->begun_ms[role] = now;
    p = process_start(m, role);
    if (p)
        keep_promises(m, p);
    return p;
}

static void asked(void *ctx, int events)
{
    struct promise *w = ctx;
    struct monitor *m = w->asker->m;
    struct process *p = role_wanted(m, w->role);

    (void)events;
    if (p) {
        // Also one that began before this was promised, while the process in whose place it is was not buried yet. When it
        // has just begun, w is no more.
        keep_promises(m, p);
        return;
    }
    event_remove(m->loop, w->source);
    w->source = NULL;
}

void promises_watch(struct monitor *m)
{
    struct err e = {0};

    for (struct promise *w = m->promises; w; w = w->next)
        if (!w->source)
            w->source = event_add(m->loop, w->fd, EVENT_READ, asked, w, &e);
}

void promise(struct process *asker, enum role role)
{
    struct ipc_peer who = {.role = (uint8_t)role};
    struct monitor *m = asker->m;
    struct err e = {0};
    struct promise *w;
    int fd = -1;

    if (!role_connect(m, &asker->ch, &who, &fd, &e)) {
        LOG(LOG_ERROR, "mox", "connecting roles", LOG_E(&e));
        return;
    }
    w = heap_alloc(sizeof *w);
    *w = (struct promise){asker, role, fd, NULL, m->promises};
    m->promises = w;
    promises_watch(m);
}

void promises_forget(struct process *asker)
{
    for (struct promise **at = &asker->m->promises; *at;)
        if ((*at)->asker == asker)
            drop(asker->m, at);
        else
            at = &(*at)->next;
}
