/*
 * WebSocket through the reverse proxy (RFC 6455): the handshake is checked on both sides, and then bytes are moved in
 * both directions, unread.
 */
#include <errno.h>
#include <poll.h>

#include "base/log.h"
#include "os/clock.h"
#include "role/web/backend.h"
#include "web/forward.h"

enum { SILENT_MS = 60 * 60 * 1000 }; // neither side says anything; most ping each other every minute

/* One direction. */
struct half {
    struct stream *from, *to;
    struct buf held; // read and not written
    uint64_t moved;
    bool is_ended;   // nothing more will come
};

struct wants {
    short client, server; // events of poll
};

static short *events_of(struct wants *w, const struct stream *s, const struct stream *client)
{
    return s == client ? &w->client : &w->server;
}

static void want(struct wants *w, const struct stream *s, const struct stream *client, enum tls_result r)
{
    if (r == TLS_WANT_READ)
        *events_of(w, s, client) |= POLLIN;
    if (r == TLS_WANT_WRITE)
        *events_of(w, s, client) |= POLLOUT;
}

// Until it would wait. False: this direction is at its end.
static bool move(struct half *h, struct wants *w, const struct stream *client, struct err *e)
{
    for (;;) {
        enum tls_result r;
        size_t n = 0;

        if (h->held.n) {
            r = stream_try_write(h->to, buf_str(&h->held), &n, e);
            buf_drop(&h->held, n);
            h->moved += n;
            if (r == TLS_DONE)
                continue;
            want(w, h->to, client, r);
            return r == TLS_WANT_READ || r == TLS_WANT_WRITE;
        }
        if (h->is_ended)
            return false;
        r = stream_try_read(h->from, buf_room(&h->held, WEB_BUFFER), WEB_BUFFER, &n, e);
        buf_claim(&h->held, n);
        if (r == TLS_DONE)
            continue;
        want(w, h->from, client, r);
        h->is_ended = r == TLS_CLOSED;
        if (r != TLS_WANT_READ && r != TLS_WANT_WRITE)
            return false;
        return true;
    }
}

static void pump(struct web_exchange *x, struct backend *b)
{
    struct web_conn *c = x->conn;
    struct half up = {&c->stream, &b->stream, BUF_LIMIT(HTTP_MAX_HEAD + 4 * WEB_BUFFER), 0, false};
    struct half down = {&b->stream, &c->stream, BUF_LIMIT(HTTP_MAX_HEAD + 4 * WEB_BUFFER), 0, false};
    int64_t moved_ms = os_monotonic_ms();
    struct err e = {0};

    buf_put(&up.held, buf_str(&c->in)); // came with the handshake
    buf_put(&down.held, buf_str(&b->in));
    buf_reset(&c->in);
    for (uint64_t before = 0;; before = up.moved + down.moved) {
        struct wants w = {0};
        bool goes_on = move(&up, &w, &c->stream, &e);
        int64_t left;
        int n;

        goes_on &= move(&down, &w, &c->stream, &e);
        if (!goes_on)
            break;
        if (up.moved + down.moved != before)
            moved_ms = os_monotonic_ms();
        // Who does not read what is there for it is not waited for as long as who says nothing.
        left = moved_ms + web_timeout(c, up.held.n || down.held.n ? WEB_WRITE_MS : SILENT_MS) - os_monotonic_ms();
        // Of whom nothing is wanted now, poll would tell that it has hung up, again and again.
        struct pollfd fds[3] = {{.fd = w.client ? c->stream.fd : -1, .events = w.client},
                                {.fd = w.server ? b->stream.fd : -1, .events = w.server},
                                {.fd = c->monitor.fd, .events = POLLIN}}; // all it says unasked is stop
        n = poll(fds, 3, left > 0 ? (int)left : 0);
        if (n == 0)
            (void)fail(&e, ERR_TEMPORARY, "timeout");
        if (n == 0 || (n < 0 && errno != EINTR) || fds[2].revents)
            break;
    }
    x->sent = down.moved;
    LOG(LOG_DEBUG, "webserver", "websocket ended", LOG_E(&e), LOG_S("handler", x->handler),
        LOG_N("sizefromclient", up.moved), LOG_N("sizetoclient", down.moved));
    buf_fini(&up.held);
    buf_fini(&down.held);
}

static bool accept_client(struct web_exchange *x, const struct site_handler *h, const struct http_response *response,
                          struct err *e)
{
    struct web_conn *c = x->conn;
    struct http_fields fields = {0};
    bool is_ok = http_field_add(x->arena, &fields, STR("Connection"), STR("Upgrade")) &&
                 http_field_add(x->arena, &fields, STR("Upgrade"), STR("websocket"));

    forward_response_fields(x->arena, response, &fields);
    for (size_t i = 0; i < h->fields.n && is_ok; i++)
        is_ok = http_field_add(x->arena, &fields, h->fields.items[i].name, h->fields.items[i].value);
    if (!is_ok)
        return fail(e, ERR_BUG, "a field cannot be written");
    http_head_put(&c->out, HTTP_1_1, 101, &fields);
    x->status = 101;
    return web_flush(c, e);
}

static void refuse(struct web_exchange *x, bool is_version, struct str why)
{
    struct web_reply r = {.status = 400, .body = arena_printf(x->arena, "400 - bad request - %.*s\n", STR_FMT(why))};

    if (is_version)
        web_field(x, &r, STR("Sec-WebSocket-Version"), STR("13"));
    web_field(x, &r, STR("Content-Type"), STR("text/plain; charset=utf-8"));
    web_reply(x, &r);
}

void websocket_serve(struct web_exchange *x, const struct site_handler *h)
{
    struct http_response response;
    struct backend *b = NULL;
    unsigned status = 502;
    struct err e = {0};
    bool is_version;

    if (!websocket_check(x->request, &is_version, &e)) {
        refuse(x, is_version, str_of(e.text));
        return;
    }
    b = backend_open(x->conn, h, &status, &e);
    if (!b || !backend_put_head(x, h, b, true, &e) ||
        !backend_read_head(x, b, BACKEND_HANDSHAKE_MS, &response, &status, &e)) {
        LOG(LOG_INFO, "webserver", "websocket to the server behind the proxy fails", LOG_E(&e),
            LOG_S("handler", h->name));
        web_fail(x, status, STR(""));
    } else if (!websocket_is_accepted(x->request, &response)) {
        refuse(x, false, STR("websocket not supported"));
    } else {
        if (accept_client(x, h, &response, &e))
            pump(x, b);
        x->is_broken = true; // it is no HTTP any more
    }
    backend_free(b);
}
