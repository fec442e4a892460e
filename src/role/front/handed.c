/*
 * Connections that are handed out with their sockets; and how many requests of HTTP an address may make, which only
 * who sees all connections can count (mox-web-http-api.md 5.10).
 */
#include <stdlib.h>
#include <string.h>

#include "base/ip.h"
#include "base/log.h"
#include "os/fd.h"
#include "os/net.h"
#include "role/front/front.h"
#include "role/ratelimit.h"

struct handed {
    char remote[64];
    bool is_web, is_proxy, is_forwarded; // is_forwarded: web says who the client is
    struct channel control; // of HTTP, where requests are counted; fd -1: none
    struct event_source *source;
};

static struct map all; // conn as 8 bytes -> struct handed
static struct ratelimit per_minute = RATELIMIT(60 * 1000, 1000, 3000, 9000);
static struct ratelimit per_hour = RATELIMIT(3600 * 1000, 5000, 15000, 45000);

static void end_control(struct handed *h)
{
    event_remove(service_loop(), h->source);
    h->source = NULL;
    if (h->control.fd >= 0)
        channel_close(&h->control);
}

// As many of n as are within the limits, by halves.
static uint32_t allow(struct str address, uint32_t n)
{
    for (; n; n /= 2)
        if (ratelimit_can(&per_hour, address, n) && ratelimit_add(&per_minute, address, n))
            return ratelimit_add(&per_hour, address, n) ? n : 0;
    return 0;
}

static bool on_rate(struct handed *h, struct packet *p, struct err *e)
{
    struct ipc_web_rate m;
    struct str own = str_of(h->remote);

    if (p->type != IPC_web_rate)
        return fail(e, ERR_DENIED, "unexpected message");
    if (!ipc_web_rate_get(p->body, &m, e))
        return false;
    if (m.unused) {
        ratelimit_subtract(&per_minute, h->is_forwarded ? m.unused_address : own, m.unused);
        ratelimit_subtract(&per_hour, h->is_forwarded ? m.unused_address : own, m.unused);
    }
    return !m.n || IPC_SEND(&h->control, web_rated, NULL, 0, e, .n = allow(h->is_forwarded ? m.address : own, m.n));
}

static void on_control(void *ctx, int events)
{
    static struct packet *p;
    struct handed *h = ctx;
    struct err e = {0};
    enum channel_result r;

    (void)events;
    if (!p)
        p = packet_new();
    r = channel_receive(&h->control, p, 0, &e);
    if (r == CHANNEL_TIMEOUT || (r == CHANNEL_MESSAGE && on_rate(h, p, &e)))
        return;
    if (e.kind)
        LOG(LOG_ERROR, "front", "a web process misbehaves", LOG_E(&e), LOG_S("remote", str_of(h->remote)));
    end_control(h);
}

// Where nobody is limited there is nobody to ask.
static int make_control(struct handed *h, const struct ipc_listener *port)
{
    struct err e = {0};
    int pair[2];

    if (!h->is_web || port->no_rate_limit || front_is_exempt(h->remote) || !fd_pair_packets(pair, &e))
        return -1;
    h->control = (struct channel){pair[0], ROLE_FRONT, ROLE_WEB};
    h->source = event_add(service_loop(), pair[0], EVENT_READ, on_control, h, &e);
    return pair[1];
}

void handed_new(uint64_t conn, const struct ipc_listener *port, int fd, const char *remote)
{
    struct handed *h = heap_alloc(sizeof *h);
    char local[NET_ADDRESS_TEXT];
    int fds[2] = {fd};
    struct err e = {0};

    memcpy(h->remote, remote, sizeof h->remote);
    h->control.fd = -1;
    h->is_web = port->protocol == IPC_PROTOCOL_HTTP;
    h->is_proxy = ip_in_networks(str_of(remote), port->proxies);
    h->is_forwarded = port->is_forwarded || h->is_proxy;
    fds[1] = make_control(h, port);
    net_local_text(fd, local);
    if (!IPC_SEND(front_monitor(), conn_new, fds, fds[1] >= 0 ? 2 : 1, &e, .conn = conn, .listener = port->index,
                  .remote = str_of(remote), .local = str_of(local)))
        LOG(LOG_ERROR, "front", "cannot announce a connection", LOG_E(&e));
    map_put(&all, str_at(&conn, sizeof conn), h);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
}

const char *handed_remote(uint64_t conn)
{
    const struct handed *h = map_get(&all, str_at(&conn, sizeof conn));

    return h ? h->remote : NULL;
}

void handed_closed(uint64_t conn)
{
    struct handed *h = map_remove(&all, str_at(&conn, sizeof conn));

    if (!h)
        return;
    if (h->is_web && !h->is_proxy)
        front_web_closed(h->remote);
    else if (!h->is_web)
        front_conn_closed(h->remote);
    end_control(h);
    free(h);
}
