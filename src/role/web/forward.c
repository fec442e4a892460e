/*
 * The reverse proxy (mox-web-http-api.md 5.5, WebForward): a request is written anew for the server behind, and its
 * response for the client, as it comes.
 */
#include <string.h>

#include "base/log.h"
#include "os/fiber.h"
#include "role/web/backend.h"
#include "web/forward.h"

enum { MAX_IDLE = 8 };

static struct backend *idle[MAX_IDLE]; // of responses that have ended, when they can be used again; the newest last
static size_t n_idle;

/* The body of a response. */
struct answer {
    struct backend *backend;
    struct http_body body;
    size_t ready; // bytes of the body at the begin of what was read
    bool until_close, is_done, is_last;
};

static enum web_got more(struct answer *s, struct err *e)
{
    switch (backend_try_read(s->backend, e)) {
    case TLS_DONE:
        return WEB_GOT;
    case TLS_WANT_READ:
    case TLS_WANT_WRITE:
        return WEB_WAIT;
    case TLS_CLOSED:
        s->is_done = s->until_close;
        if (s->is_done)
            return WEB_END;
        (void)fail(e, ERR_TEMPORARY, "the connection ends within the body");
        return WEB_FAILED;
    case TLS_FAILED:
        break;
    }
    return WEB_FAILED;
}

// Finds the next bytes of the body in what was read, and drops what is before them. False: it is none.
static bool find_data(struct answer *s, struct err *e)
{
    struct buf *held = &s->backend->in;
    struct str rest = buf_str(held), data = {0};

    if (s->until_close) {
        s->ready = held->n;
        return true;
    }
    if (!http_body_take(&s->body, &rest, &data, e))
        return false;
    buf_drop(held, data.n ? (size_t)(data.p - held->p) : held->n - rest.n);
    s->ready = data.n;
    return true;
}

static enum web_got read_answer(void *ctx, char *p, size_t n, size_t *got, struct err *e)
{
    struct answer *s = ctx;

    *got = 0;
    while (!s->ready && !s->is_done) {
        enum web_got r;

        if (!find_data(s, e))
            return WEB_FAILED;
        if (s->ready)
            break;
        s->is_done = !s->until_close && s->body.is_done;
        r = s->is_done ? WEB_GOT : more(s, e);
        if (r != WEB_GOT)
            return r;
    }
    if (!s->ready)
        return WEB_END;
    *got = n < s->ready ? n : s->ready;
    memcpy(p, s->backend->in.p, *got);
    buf_drop(&s->backend->in, *got);
    s->ready -= *got;
    return WEB_GOT;
}

static struct backend *remove_idle(size_t i)
{
    struct backend *b = idle[i];

    memmove(idle + i, idle + i + 1, (--n_idle - i) * sizeof *idle);
    return b;
}

static void close_answer(void *ctx)
{
    struct answer *s = ctx;
    // What there is behind the end of a response is nobody's.
    bool is_good = s->body.is_done && !s->ready && !s->is_last && !s->backend->in.n;

    if (!is_good) {
        backend_free(s->backend);
        return;
    }
    if (n_idle == MAX_IDLE)
        backend_free(remove_idle(0));
    s->backend->was_used = true;
    idle[n_idle++] = s->backend;
}

// Whether the server has said something, or has ended: what TLS says for itself is nothing.
static bool has_answered(struct backend *b)
{
    struct err e = {0};

    return b->in.n || (backend_try_read(b, &e) != TLS_WANT_READ);
}

// One that nobody has closed, and on which nothing was said that nobody asked for.
static struct backend *take_idle(const struct site_handler *h)
{
    for (size_t i = n_idle; i-- > 0;) {
        struct backend *b;

        if (idle[i]->handler != h->number)
            continue;
        b = remove_idle(i);
        if (!has_answered(b))
            return b;
        backend_free(b);
    }
    return NULL;
}

// Stops when the server answers before it has everything: it wants no more.
static bool send_body(struct web_exchange *x, struct backend *b, bool *is_whole, struct err *e)
{
    bool is_chunked = x->request->body == HTTP_BODY_CHUNKED || x->request->body == HTTP_BODY_FRAMES;
    AUTO_BUF out = BUF_LIMIT(2 * WEB_BUFFER);
    char *piece = arena_alloc(x->arena, WEB_BUFFER);
    size_t got;

    *is_whole = true;
    do {
        if (!web_body_read(x, piece, WEB_BUFFER, &got, e))
            return false;
        buf_reset(&out);
        if (is_chunked)
            http_chunk_put(&out, got);
        buf_put(&out, str_at(piece, got));
        if (is_chunked)
            BUF_PUT(&out, "\r\n");
        *is_whole = !has_answered(b) &&
                    (!out.n || stream_write(&b->stream, buf_str(&out), web_timeout(x->conn, WEB_WRITE_MS), e));
    } while (got && *is_whole);
    return true;
}

static void report(struct web_exchange *x, const struct site_handler *h, unsigned status, const struct err *e)
{
    LOG(LOG_INFO, "webserver", "the server behind the proxy fails", LOG_E(e), LOG_S("handler", h->name),
        LOG_S("host", h->target.host), LOG_N("port", h->target.port));
    web_fail(x, status, STR(""));
}

static void reply(struct web_exchange *x, const struct site_handler *h, struct backend *b,
                  const struct http_response *response, bool is_last)
{
    struct answer *s = ARENA_NEW(x->arena, struct answer);
    struct web_source *source = ARENA_NEW(x->arena, struct web_source);
    struct web_reply r = {.status = response->status, .source = source};

    *s = (struct answer){.backend = b, .body = http_response_body(response), .until_close = response->until_close,
                         .is_last = is_last || response->is_last};
    s->is_done = !s->until_close && s->body.is_done;
    *source = (struct web_source){s, b->stream.fd, read_answer, close_answer};
    // Of HEAD, what GET would have.
    r.has_length = http_field_find(&response->fields, STR("Content-Length"));
    r.length = response->length;
    forward_response_fields(x->arena, response, &r.fields);
    for (size_t i = 0; i < h->fields.n; i++)
        web_field(x, &r, h->fields.items[i].name, h->fields.items[i].value);
    web_reply(x, &r);
}

// RFC 9110 9.2.2, RFC 9112 9.3.1: may be sent again when a connection was closed while we used it.
static bool may_repeat(const struct http_request *r)
{
    return r->body == HTTP_BODY_NONE && (r->method == HTTP_GET || r->method == HTTP_HEAD || r->method == HTTP_OPTIONS);
}

static bool exchange(struct web_exchange *x, const struct site_handler *h, struct backend *b,
                     struct http_response *response, bool *is_whole, unsigned *status, struct err *e)
{
    struct err written = {0};

    *status = 502;
    *is_whole = true;
    if (!backend_put_head(x, h, b, false, e))
        return false;
    if (x->request->body != HTTP_BODY_NONE && !send_body(x, b, is_whole, &written)) {
        *status = 0; // the client's fault
        *e = written;
        return false;
    }
    return backend_read_head(x, b, BACKEND_HEAD_MS, response, status, e) &&
           (response->status != 101 || fail(e, ERR_SYNTAX, "it switches protocols unasked"));
}

void forward_serve(struct web_exchange *x, const struct site_handler *h)
{
    struct backend *b = take_idle(h);
    struct http_response response;
    unsigned status = 502;
    struct err e = {0};
    bool is_whole;

    for (;;) {
        bool was_used = b;

        if (!b)
            b = backend_open(x->conn, h, &status, &e);
        if (!b)
            break;
        if (exchange(x, h, b, &response, &is_whole, &status, &e)) {
            reply(x, h, b, &response, !is_whole);
            return;
        }
        backend_free(b);
        b = NULL;
        if (!was_used || status != 502 || !may_repeat(x->request))
            break;
        e = (struct err){0};
    }
    if (fiber_is_cancelled()) // the client has taken its request back: that is no fault of the server's, and nobody is answered
        return;
    if (status)
        report(x, h, status, &e);
    else if (!x->is_broken)
        web_fail_err(x, &e);
}
