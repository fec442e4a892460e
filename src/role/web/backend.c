#include "role/web/backend.h"

#include <stdlib.h>

#include "base/log.h"
#include "os/clock.h"
#include "web/forward.h"

enum { MAX_INTERIM = 20 }; // responses with 1xx

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

// A connected socket, from dial: which of its addresses it is, and whether we may, is not decided here.
static int dial(struct web_conn *c, const struct site_handler *h, unsigned *status, struct err *e)
{
    struct ipc_dialed m;

    *status = 502;
    if (!web_grant(c, IPC_SERVICE_DIAL, &c->dial, ROLE_DIAL, e) ||
        !IPC_SEND(&c->dial, dial_site, NULL, 0, e, .host = h->target.host, .port = h->target.port,
                  .timeout_ms = (uint32_t)web_timeout(c, BACKEND_DIAL_MS)) ||
        !channel_expect(&c->dial, IPC_dialed, c->packet, BACKEND_DIAL_MS + WEB_IPC_TIMEOUT_MS, e) ||
        !ipc_dialed_get(c->packet->body, &m, e)) {
        channel_close(&c->dial); // the next request gets a channel to the next dial
        return -1;
    }
    if (m.outcome == IPC_DIAL_OK && c->packet->n_fds)
        return packet_take_fd(c->packet, 0);
    *status = m.outcome == IPC_DIAL_TIMEOUT ? 504 : 502;
    (void)fail(e, ERR_TEMPORARY, "connecting: %.*s", STR_FMT(str_sub(m.why, 0, 150)));
    return -1;
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
