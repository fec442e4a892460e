#include "role/service.h"

#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/log.h"

static struct event_loop *loop;
static struct role_start *start;
static const struct service_handlers *handlers;
static struct service_peer *peers;
static uint64_t next_id = 1;
static struct packet *packet; // of the message being handled

struct event_loop *service_loop(void)
{
    struct err e = {0};

    if (!loop && !(loop = event_loop_new(&e)))
        die("event loop: %s", e.text);
    return loop;
}

struct service_peer *service_peer_of(enum role role)
{
    for (struct service_peer *p = peers; p; p = p->next)
        if (p->role == role)
            return p;
    return NULL;
}

struct service_peer *service_peer_by_id(uint64_t id)
{
    for (struct service_peer *p = peers; p; p = p->next)
        if (p->id == id)
            return p;
    return NULL;
}

struct service_peer *service_peer_of_account(struct str account)
{
    for (struct service_peer *p = peers; p; p = p->next)
        if (p->role == ROLE_ACCOUNT && str_eq(p->account, account))
            return p;
    return NULL;
}

void service_peer_close(struct service_peer *p)
{
    for (struct service_peer **at = &peers; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    if (handlers->closed)
        handlers->closed(p);
    event_remove(loop, p->source);
    channel_close(&p->ch);
    free(p);
}

// One message; false when there was none or the peer is closed.
static bool hear(struct service_peer *p, struct packet *m)
{
    struct err e = {0};
    bool ok = false;

    switch (channel_receive(&p->ch, m, 0, &e)) {
    case CHANNEL_MESSAGE:
        // dkim's answers are waited for where they are asked for (ipc/dkim.h); this one came too late.
        ok = p->role == ROLE_DKIM || handlers->message(p, m, &e);
        packet_close_fds(m);
        break;
    case CHANNEL_TIMEOUT:
        return false;
    case CHANNEL_CLOSED:
        service_peer_close(p);
        return false;
    case CHANNEL_BAD:
        break;
    }
    if (!ok) {
        LOG(LOG_ERROR, "mox", "peer misbehaves, channel closed", LOG_E(&e),
            LOG_S("peer", str_of(role_name(p->role))), LOG_X("conn", p->conn));
        service_peer_close(p);
    }
    return ok;
}

// One message per call, so that no peer keeps others waiting.
static void peer_ready(void *ctx, int events)
{
    struct service_peer *p = ctx;

    if ((events & EVENT_WRITE) && handlers->writable)
        handlers->writable(p);
    (void)hear(p, packet);
}

void service_drain(struct service_peer *p)
{
    struct packet *own = packet_new(); // the other is the caller's

    while (hear(p, own))
        ;
    packet_free(own);
}

static bool is_single(enum role role)
{
    return role != ROLE_SESSION && role != ROLE_ACCOUNT && role != ROLE_DELIVER &&
           role != ROLE_FETCH && role != ROLE_WEB;
}

static bool add_peer(struct packet *m, struct err *e)
{
    struct ipc_peer info;
    struct service_peer *p, *old;
    char *texts;

    if (!ipc_peer_get(m->body, &info, e))
        return false;
    if (is_single((enum role)info.role) && (old = service_peer_of((enum role)info.role)))
        service_peer_close(old);
    p = heap_alloc(sizeof *p + info.account.n + info.login.n + info.remote.n + info.local.n + info.address.n +
                   info.tls.n + info.binding_type.n + info.binding.n + info.client_key.n);
    texts = (char *)(p + 1);
    p->ch = (struct channel){packet_take_fd(m, 0), start->role, (enum role)info.role};
    p->id = next_id++;
    p->role = (enum role)info.role;
    p->conn = info.conn;
    p->protocol = info.protocol;
    p->listener = info.listener;
    p->is_tls = info.is_tls;
    p->max_per_day = info.max_per_day;
    p->keep_retired_s = info.keep_retired_s;
    p->max_first_per_day = info.max_first_per_day;
    p->account = str_put_at(&texts, info.account);
    p->login = str_put_at(&texts, info.login);
    p->remote = str_put_at(&texts, info.remote);
    p->local = str_put_at(&texts, info.local);
    p->address = str_put_at(&texts, info.address);
    p->tls = str_put_at(&texts, info.tls);
    p->binding_type = str_put_at(&texts, info.binding_type);
    p->binding = str_put_at(&texts, info.binding);
    p->client_key = str_put_at(&texts, info.client_key);
    p->source = event_add(loop, p->ch.fd, EVENT_READ, peer_ready, p, e);
    if (!p->source) {
        channel_close(&p->ch);
        free(p);
        return false;
    }
    p->next = peers;
    peers = p;
    if (handlers->opened)
        handlers->opened(p);
    return true;
}

static bool monitor_message(struct packet *m, struct err *e)
{
    struct ipc_log_level level;

    switch ((int)m->type) {
    case IPC_peer:
        return add_peer(m, e);
    case IPC_log_level:
        return ipc_log_level_get(m->body, &level, e) &&
               log_set_level(level.package, level.level, e);
    case IPC_stop:
        if (!handlers->stop)
            exit(0);
        handlers->stop();
        return true;
    default:
        return handlers->monitor ? handlers->monitor(m, e)
                                 : fail(e, ERR_BUG, "unexpected message");
    }
}

static void monitor_ready(void *ctx, int events)
{
    struct err e = {0};

    (void)ctx, (void)events;
    switch (channel_receive(&start->monitor, packet, 0, &e)) {
    case CHANNEL_MESSAGE:
        if (!monitor_message(packet, &e))
            LOG(LOG_ERROR, "mox", "message of the monitor", LOG_E(&e),
                LOG_S("message", str_of(ipc_rule_of(packet->type)->name)));
        packet_close_fds(packet);
        break;
    case CHANNEL_TIMEOUT:
        break;
    case CHANNEL_CLOSED:
    case CHANNEL_BAD:
        exit(1);
    }
}

static void tick(void *ctx, int events)
{
    (void)ctx, (void)events;
    handlers->tick();
}

static void after(void *ctx, int events)
{
    (void)ctx, (void)events;
    handlers->after();
}

_Noreturn void service_run(struct role_start *s, const struct service_handlers *h)
{
    struct err e = {0};

    start = s;
    handlers = h;
    packet = packet_new();
    service_loop();
    if (h->tick)
        event_tick(loop, h->tick_ms ? h->tick_ms : 1000, tick, NULL);
    if (h->after)
        event_after(loop, after, NULL);
    if (!event_add(loop, s->monitor.fd, EVENT_READ, monitor_ready, NULL, &e))
        die("event loop: %s", e.text);
    role_ready(s);
    event_run(loop);
    exit(0);
}
