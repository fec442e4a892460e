/*
 * On an HTTPS port TLS ends in the process of each connection, and for submission and IMAP in this one. Which it is, the
 * first message of the client says (ALPN): it is looked at and left in the socket, for whoever gets that.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/net.h"
#include "proto/tls/client_hello.h"
#include "role/front/front.h"

enum { HELLO_MS = 5000 }; // who has said nothing by then is as if there were nothing to look for

struct hello {
    uint64_t conn;
    const struct ipc_listener *port;
    int fd;
    char remote[NET_ADDRESS_TEXT];
    size_t seen; // bytes
    int64_t deadline_ms;
    struct event_source *source;
    struct hello *next, **link;
};

static struct hello *first;
static size_t count;

size_t hello_count(void)
{
    return count;
}

// Without its socket.
static void forget(struct hello *h)
{
    event_remove(service_loop(), h->source);
    *h->link = h->next;
    if (h->next)
        h->next->link = h->link;
    count--;
    free(h);
}

static void give(struct hello *h, struct str alpn)
{
    struct hello was = *h;

    forget(h);
    if (!net_wake_at(was.fd, 1)) {
        front_web_closed(was.remote);
        fd_close(&was.fd);
        return;
    }
    front_has_chosen(was.conn, was.port, was.fd, was.remote, alpn);
}

// The server's preference decides (RFC 7301 3.2): what a browser speaks comes first, so that none is led to mail.
static struct str choice(const struct ipc_listener *port, struct str protocols)
{
    if (client_hello_has(protocols, STR("h2")) || client_hello_has(protocols, STR("http/1.1")))
        return STR("");
    if (port->alpn_smtp && client_hello_has(protocols, STR("smtp")))
        return STR("smtp");
    if (port->alpn_imap && client_hello_has(protocols, STR("imap")))
        return STR("imap");
    return STR("");
}

// True while it waits for more.
static bool look(struct hello *h)
{
    static char bytes[CLIENT_HELLO_MAX];
    static struct buf message = BUF_LIMIT(CLIENT_HELLO_MAX);
    size_t n = net_peek(h->fd, bytes, sizeof bytes), need;
    struct str protocols;

    switch (client_hello_parse(str_at(bytes, n), &message, &protocols, &need)) {
    case CLIENT_HELLO_WHOLE:
        give(h, choice(h->port, protocols));
        return false;
    case CLIENT_HELLO_NONE:
        give(h, STR(""));
        return false;
    case CLIENT_HELLO_MORE:
        break;
    }
    // Called without anything new: the client has ended, or the kernel has no room for what is waited for.
    if ((h->source && n == h->seen) || !net_wake_at(h->fd, need)) {
        give(h, STR(""));
        return false;
    }
    h->seen = n;
    return true;
}

static void on_bytes(void *ctx, int events)
{
    (void)events;
    (void)look(ctx);
}

void hello_new(uint64_t conn, const struct ipc_listener *port, int fd, const char *remote)
{
    struct hello *h = heap_alloc(sizeof *h);
    struct err e = {0};

    *h = (struct hello){.conn = conn, .port = port, .fd = fd, .deadline_ms = os_monotonic_ms() + HELLO_MS, .next = first, .link = &first};
    memcpy(h->remote, remote, sizeof h->remote);
    if (first)
        first->link = &h->next;
    first = h;
    count++;
    if (!look(h))
        return;
    h->source = event_add(service_loop(), fd, EVENT_READ, on_bytes, h, &e);
    if (!h->source) {
        LOG(LOG_ERROR, "front", "cannot watch a connection", LOG_E(&e));
        give(h, STR(""));
    }
}

void hellos_tick(void)
{
    int64_t now = os_monotonic_ms();

    for (struct hello *h = first, *next; h; h = next) {
        next = h->next;
        if (h->deadline_ms < now)
            give(h, STR(""));
    }
}

void hellos_end(void)
{
    while (first) {
        int fd = first->fd;

        front_web_closed(first->remote);
        forget(first);
        fd_close(&fd);
    }
}
