#include "role/web/backend.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/fiber.h"
#include "web/forward.h"

enum {
    MAX_INTERIM = 20, // responses with 1xx
    MAX_DIALING = 8,  // as many as dial makes at once for one who asks
};

static struct tls_client *tls;

bool backend_load(struct role_start *s, struct err *e)
{
    tls = role_tls_client(s, e);
    return tls;
}

void backend_free(struct backend *b)
{
    if (!b)
        return;
    stream_close(&b->stream);
    buf_fini(&b->in);
    free(b);
}

/*
 * Connections that are being made. dial answers in whatever order they come to be; who waits reads for all, and wakes
 * those whose answer it was.
 */
struct dialing {
    uint64_t request; // 0: not asked for yet, since there are MAX_DIALING
    struct fiber *fiber;
    int fd;
    unsigned status; // when it has no connection; 0: no answer yet
    struct err e;
    struct dialing *next;
};

static struct dialing *dialing; // in the order in which they came
static size_t n_dialing;        // asked for and not answered, be it that nobody wants the answer any more
static uint64_t last_request;

static void answered(struct dialing *d, int fd, unsigned status)
{
    d->fd = fd;
    d->status = fd < 0 ? status : 0;
    if (d->fiber)
        fiber_wake(d->fiber);
}

static void take_answer(struct packet *p, const struct ipc_dialed *m)
{
    bool is_ok = m->outcome == IPC_DIAL_OK && p->n_fds;

    n_dialing -= n_dialing > 0;
    for (struct dialing *d = dialing; d; d = d->next)
        if (d->request == m->request) {
            if (!is_ok)
                (void)fail(&d->e, ERR_TEMPORARY, "connecting: %.*s", STR_FMT(str_sub(m->why, 0, 150)));
            answered(d, is_ok ? packet_take_fd(p, 0) : -1, m->outcome == IPC_DIAL_TIMEOUT ? 504 : 502);
        }
    for (struct dialing *d = dialing; d; d = d->next) // there is room for another
        if (!d->request && d->fiber)
            fiber_wake(d->fiber);
}

// Without the other side there is no answer to anybody; the next request gets a channel to the next dial.
static void dial_has_gone(struct web_conn *c, const struct err *e)
{
    channel_close(&c->dial);
    n_dialing = 0;
    for (struct dialing *d = dialing; d; d = d->next)
        if (d->request && d->fd < 0 && !d->status) {
            d->e = *e;
            answered(d, -1, 502);
        }
}

static bool ask_dial(struct web_conn *c, const struct site_handler *h, struct dialing *d, struct err *e)
{
    if (d->request || n_dialing == MAX_DIALING)
        return true;
    d->request = ++last_request;
    if (!web_grant(c, IPC_SERVICE_DIAL, &c->dial, ROLE_DIAL, e) ||
        !IPC_SEND(&c->dial, dial_site, NULL, 0, e, .request = d->request, .host = h->target.host, .port = h->target.port,
                  .timeout_ms = (uint32_t)web_timeout(c, BACKEND_DIAL_MS)))
        return false;
    n_dialing++;
    return true;
}

static void hear_dial(struct web_conn *c)
{
    struct ipc_dialed m;
    struct err e = {0};

    switch (channel_receive(&c->dial, c->packet, 0, &e)) {
    case CHANNEL_MESSAGE:
        if (c->packet->type == IPC_dialed && ipc_dialed_get(c->packet->body, &m, &e)) {
            take_answer(c->packet, &m);
            return;
        }
        break;
    case CHANNEL_TIMEOUT: // another has read it
        return;
    case CHANNEL_CLOSED:
    case CHANNEL_BAD:
        break;
    }
    if (!e.kind)
        (void)fail(&e, ERR_TEMPORARY, "who makes connections has gone");
    dial_has_gone(c, &e);
}

static void wait_for_dial(struct web_conn *c, const struct site_handler *h, struct dialing *d)
{
    int64_t deadline = os_monotonic_ms() + BACKEND_DIAL_MS + WEB_IPC_TIMEOUT_MS;

    while (d->fd < 0 && !d->status) {
        struct pollfd p = {.events = POLLIN};
        int64_t left = deadline - os_monotonic_ms();
        struct err e = {0};
        int n;

        if (!ask_dial(c, h, d, &e)) {
            dial_has_gone(c, &e);
            continue;
        }
        p.fd = c->dial.fd;
        n = fiber_wait(&p, 1, left > 0 ? (int)left : 0);
        if (n > 0) {
            hear_dial(c);
        } else if (n < 0 && errno != EINTR) {
            d->status = 502;
            (void)fail_errno(&d->e, "waiting for a connection");
        } else if (left <= 0) {
            d->status = 504;
            (void)fail(&d->e, ERR_TEMPORARY, "no connection in time");
        }
    }
}

// A connected socket, from dial: which of its addresses it is, and whether we may, is not decided here.
static int dial(struct web_conn *c, const struct site_handler *h, unsigned *status, struct err *e)
{
    struct dialing d = {.fiber = fiber_current(), .fd = -1}, **at = &dialing;

    while (*at)
        at = &(*at)->next;
    *at = &d;
    wait_for_dial(c, h, &d);
    for (at = &dialing; *at != &d;)
        at = &(*at)->next;
    *at = d.next;
    *status = d.status ? d.status : 502;
    if (d.fd < 0)
        *e = d.e;
    return d.fd;
}

static bool start_tls(struct web_conn *c, const struct site_handler *h, struct backend *b, struct err *e)
{
    struct tls_target target = {.name = h->target.host};

    if (!tls)
        return fail(e, ERR_BUG, "no certificate authorities are loaded");
    return stream_connect_tls(&b->stream, tls, &target, web_timeout(c, BACKEND_HANDSHAKE_MS), e) &&
           tls_verify_roots(tls, b->stream.tls, h->target.host, e) == TLS_VERIFIED;
}

struct backend *backend_open(struct web_conn *c, const struct site_handler *h, unsigned *status, struct err *e)
{
    int fd = dial(c, h, status, e);
    struct backend *b;

    if (fd < 0)
        return NULL;
    b = heap_alloc(sizeof *b);
    *b = (struct backend){.stream = {.fd = -1}, .in = BUF_LIMIT(HTTP_MAX_HEAD + 2 * WEB_BUFFER), .handler = h->number};
    if (stream_open(&b->stream, fd, e) && (!h->target.is_https || start_tls(c, h, b, e)))
        return b;
    backend_free(b);
    return NULL;
}

enum tls_result backend_try_read(struct backend *b, struct err *e)
{
    char *room = buf_room(&b->in, WEB_BUFFER);
    enum tls_result r;
    size_t got = 0;

    if (!room) {
        (void)fail(e, ERR_LIMIT, "the response is in no form that is understood");
        return TLS_FAILED;
    }
    r = stream_try_read(&b->stream, room, WEB_BUFFER, &got, e);
    buf_claim(&b->in, got);
    return r;
}

bool backend_put_head(struct web_exchange *x, const struct site_handler *h, struct backend *b, bool is_websocket,
                      struct err *e)
{
    AUTO_BUF head = BUF_LIMIT(4 * HTTP_MAX_HEAD);
    struct forward_client client = {x->client_ip, x->is_secure};
    struct http_fields fields = {0};

    forward_request_fields(x->arena, x->request, &client, is_websocket, &fields);
    buf_put(&head, x->request->method_name);
    BUF_PUT(&head, " ");
    site_put_target(&head, h, x->request);
    BUF_PUT(&head, " HTTP/1.1\r\n");
    http_fields_put(&head, &fields);
    if (head.full)
        return fail(e, ERR_LIMIT, "the request has become too long");
    return stream_write(&b->stream, buf_str(&head), web_timeout(x->conn, WEB_WRITE_MS), e);
}

// One head, into the arena; it stays in the input until *n bytes of it are dropped.
static bool read_head(struct web_exchange *x, struct backend *b, int64_t deadline, struct str *head, unsigned *status,
                      struct err *e)
{
    size_t seen = 0, n = 0, got;

    for (;;) {
        int64_t left = deadline - os_monotonic_ms();
        char *room;

        if (!http_head_find(buf_str(&b->in), &seen, &n, e))
            return false;
        if (n)
            break;
        if (b->in.n >= HTTP_MAX_HEAD)
            return fail(e, ERR_LIMIT, "the head of the response is too long");
        if (left <= 0 || stream_wait(&b->stream, -1, (int)left) != STREAM_READY) {
            *status = 504;
            return fail(e, ERR_TEMPORARY, "no response in time");
        }
        room = buf_room(&b->in, WEB_BUFFER);
        if (!stream_read(&b->stream, room, WEB_BUFFER, (int)left, &got, e))
            return false;
        if (!got)
            return fail(e, ERR_TEMPORARY, "the connection ends without a response");
        buf_claim(&b->in, got);
    }
    *head = arena_dup(x->arena, str_sub(buf_str(&b->in), 0, n));
    buf_drop(&b->in, n);
    return true;
}

bool backend_read_head(struct web_exchange *x, struct backend *b, int timeout_ms, struct http_response *out,
                       unsigned *status, struct err *e)
{
    int64_t deadline = os_monotonic_ms() + web_timeout(x->conn, timeout_ms);
    bool is_head = x->request->method == HTTP_HEAD;
    struct str head;

    *status = 502;
    for (size_t n = 0; n < MAX_INTERIM; n++) {
        if (!read_head(x, b, deadline, &head, status, e) || !http_response_parse(x->arena, head, is_head, out, e))
            return false;
        if (out->status >= 200 || out->status == 101) // RFC 9110 15.2
            return true;
    }
    return fail(e, ERR_LIMIT, "it goes on and on with 1xx");
}
