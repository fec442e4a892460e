/*
 * Processes that send mail out, and those that ask web servers: each has channels to whom it works for, resolve and
 * dial from its beginning, and none to the monitor.
 */
#include <sys/wait.h>

#include "base/log.h"
#include "os/fd.h"
#include "os/process.h"
#include "role/monitor/monitor_priv.h"

static size_t count_delivers(const struct monitor *m)
{
    size_t n = 0;

    for (const struct process *p = m->processes; p; p = p->next)
        n += p->role == ROLE_DELIVER_TEMPLATE ? p->n_delivers : 0;
    return n;
}

static size_t count_fetches(const struct monitor *m, enum role asker)
{
    size_t n = 0;

    for (const struct process *p = m->processes; p; p = p->next)
        for (size_t i = 0; i < MAX_FETCHES && p->role == ROLE_FETCH_TEMPLATE; i++)
            n += p->fetches[i].conn && p->fetches[i].asker == asker;
    return n;
}

// Nobody's servers keep another from its own, by what they do to a fetch or make it do. The queue has no more than 20 at a
// time (role/queue/sts.c); those that it has given up take a moment to end.
static size_t share_of(enum role asker)
{
    return asker == ROLE_QUEUE ? MAX_FETCHES * 2 / 3 : MAX_FETCHES / 6;
}

// Since there are not more than MAX_FETCHES in all, this one has room.
static void note_fetch(struct process *template, uint64_t conn, enum role asker)
{
    size_t i = 0;

    while (template->fetches[i].conn)
        i++;
    template->fetches[i] = (struct fetching){conn, asker};
}

static bool start(struct monitor *m, enum role role, enum role asker, int *asker_end, struct err *e)
{
    bool is_fetch = role == ROLE_FETCH;
    enum role parent = is_fetch ? ROLE_FETCH_TEMPLATE : ROLE_DELIVER_TEMPLATE;
    struct process *template = role_wanted(m, parent);
    struct process *resolve = role_wanted(m, ROLE_RESOLVE), *dial = role_wanted(m, ROLE_DIAL);
    struct ipc_peer who = {.role = (uint8_t)role, .conn = ++m->next_deliver_id};
    AUTO_FD own_end = -1, to_resolve = -1, to_dial = -1;
    int pair[2], fds[3];

    if (!template || !resolve || !dial || m->stopping_ms)
        return fail(e, ERR_TEMPORARY, "a part of the server is starting or stopping");
    if (is_fetch ? count_fetches(m, asker) >= share_of(asker) : count_delivers(m) >= MAX_DELIVERS)
        return fail(e, ERR_LIMIT, "no room for another connection");
    if (!role_connect(m, &resolve->ch, &who, &to_resolve, e) ||
        !role_connect(m, &dial->ch, &who, &to_dial, e) || !fd_pair_packets(pair, e))
        return false;
    own_end = pair[1];
    *asker_end = pair[0];
    fds[0] = own_end;
    fds[1] = to_resolve;
    fds[2] = to_dial;
    if (is_fetch ? !IPC_SEND(&template->ch, fetch_start, fds, 3, e, .conn = who.conn,
                              .asker = (uint8_t)asker)
                 : !IPC_SEND(&template->ch, deliver_start, fds, 3, e, .conn = who.conn))
        return false;
    if (is_fetch)
        note_fetch(template, who.conn, asker);
    else
        template->n_delivers++;
    return true;
}

bool deliver_make(struct process *queue, uint64_t request, struct err *e)
{
    AUTO_FD fd = -1;
    struct err why = {0};

    if (!start(queue->m, ROLE_DELIVER, ROLE_QUEUE, &fd, &why))
        fd_close(&fd);
    return IPC_SEND(&queue->ch, deliver_made, &fd, fd >= 0, e, .request = request,
                    .reason = str_of(why.text));
}

bool fetch_make(struct process *asker, uint64_t request, struct err *e)
{
    AUTO_FD fd = -1;
    struct err why = {0};

    if (!start(asker->m, ROLE_FETCH, asker->role, &fd, &why))
        fd_close(&fd);
    return IPC_SEND(&asker->ch, fetch_made, &fd, fd >= 0, e, .request = request,
                    .reason = str_of(why.text));
}

void deliver_child_ended(struct process *template, uint64_t conn, uint32_t wait_status)
{
    char how[100];

    for (size_t i = 0; i < MAX_FETCHES; i++)
        if (template->fetches[i].conn == conn)
            template->fetches[i] = (struct fetching){0};
    if (template->n_delivers)
        template->n_delivers--;
    if (WIFEXITED((int)wait_status) && !WEXITSTATUS((int)wait_status))
        return;
    os_describe_status((int)wait_status, how, sizeof how);
    LOG(LOG_ERROR, "mox", "a process that others' servers answer crashed", LOG_S("how", str_of(how)),
        LOG_S("template", str_of(role_name(template->role))));
    role_replace(template->m, template->role);
}
