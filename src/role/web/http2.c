/*
 * HTTP/2 (RFC 9113) on a stream, by libnghttp2: each request has a fiber that its handler runs in, so that one that waits,
 * for a server behind the proxy or for its body, holds up no other. Loaded by the web template alone, with dlopen.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/fiber.h"
#include "role/web/http2_flood.h"
#include "role/web/web.h"

enum {
    MAX_STREAMS = 32,
    STREAM_WINDOW = 65535, // of a body that nobody has read yet; RFC 9113 6.9.2
    CONNECTION_WINDOW = MAX_STREAMS * STREAM_WINDOW,
    FLUSH_BYTES = 64 * 1024,
    FIELD_OVERHEAD = 32,   // RFC 9113 6.5.2
    LINGER_MS = 1000,      // for the rest of a body that nobody reads
};

#define FUNCTIONS(F)                                                                               \
    F(nghttp2_option_new)                                                                          \
    F(nghttp2_option_del)                                                                          \
    F(nghttp2_option_set_no_auto_window_update)                                                    \
    F(nghttp2_session_callbacks_new)                                                               \
    F(nghttp2_session_callbacks_del)                                                               \
    F(nghttp2_session_callbacks_set_on_begin_headers_callback)                                     \
    F(nghttp2_session_callbacks_set_on_header_callback)                                            \
    F(nghttp2_session_callbacks_set_on_frame_recv_callback)                                        \
    F(nghttp2_session_callbacks_set_on_data_chunk_recv_callback)                                   \
    F(nghttp2_session_callbacks_set_on_stream_close_callback)                                      \
    F(nghttp2_session_callbacks_set_on_frame_send_callback)                                        \
    F(nghttp2_session_server_new2)                                                                 \
    F(nghttp2_session_del)                                                                         \
    F(nghttp2_session_mem_recv)                                                                    \
    F(nghttp2_session_mem_send)                                                                    \
    F(nghttp2_session_want_read)                                                                   \
    F(nghttp2_session_want_write)                                                                  \
    F(nghttp2_session_set_local_window_size)                                                       \
    F(nghttp2_session_consume)                                                                     \
    F(nghttp2_session_consume_connection)                                                          \
    F(nghttp2_session_resume_data)                                                                 \
    F(nghttp2_session_terminate_session)                                                           \
    F(nghttp2_session_get_last_proc_stream_id)                                                     \
    F(nghttp2_submit_goaway)                                                                       \
    F(nghttp2_session_get_stream_user_data)                                                        \
    F(nghttp2_session_set_stream_user_data)                                                        \
    F(nghttp2_submit_settings)                                                                     \
    F(nghttp2_submit_response)                                                                     \
    F(nghttp2_submit_headers)                                                                      \
    F(nghttp2_submit_rst_stream)                                                                   \
    F(nghttp2_strerror)

#define MEMBER(name) __typeof__(&(name)) name;
static struct {
    FUNCTIONS(MEMBER)
} h2;

bool http2_open(struct err *e)
{
    void *library = dlopen("libnghttp2.so.14", RTLD_NOW | RTLD_LOCAL);

    if (!library)
        return fail(e, ERR_NOT_FOUND, "cannot load libnghttp2: %s", dlerror());
#define LOAD(name)                                                                                 \
    h2.name = (__typeof__(h2.name))dlsym(library, #name);                                          \
    if (!h2.name)                                                                                  \
        return fail(e, ERR_NOT_FOUND, "libnghttp2 has no %s", #name);
    FUNCTIONS(LOAD)
    return true;
}

/* A stream of HTTP/2: a request, and its reply. */
struct stream_state {
    struct web_exchange x; // first: handlers have a pointer to it
    struct http_request request;
    struct arena arena;
    struct session *session;
    int32_t id;
    size_t header_bytes;
    struct str path, authority;
    struct buf cookie; // of its pieces so far
    unsigned refused;  // status to answer instead of asking a handler; 0: none
    bool is_ready;     // its head is there
    bool is_started;   // a handler has it or had it
    struct fiber *fiber; // of the handler that has it
    bool is_closed;    // nghttp2 knows it no more
    bool body_ended, has_continued, has_replied;
    int64_t ended_ms;  // when the reply ended before the body did; 0: not yet
    struct buf body;   // that came and was not read
    int64_t body_began_ms;
    uint64_t body_bytes;
    struct str rest;   // of the reply's body
    struct web_source source;
    bool has_source, is_waiting; // for the source
    int64_t waits_until_ms;      // no longer than that
    struct stream_state *next;
};

struct session {
    struct web_conn *c;
    nghttp2_session *ng;
    struct stream_state *streams; // in the order in which they came
    size_t n_streams;
    struct http2_flood flood;
    struct http2_frames frames;
    unsigned n_requests;
    size_t moved;        // bytes of replies since progress
    int64_t progress_ms; // when something last came or went that is worth waiting for
    int64_t blocked_ms;  // since when the client takes nothing of what is there for it; 0: it does
    short wants;         // of the client's socket, before more can be read
    bool is_over, is_winding_up;
};

// The handler has a look at what came, or at what will not come.
static void wake(struct stream_state *st)
{
    if (st->fiber)
        fiber_wake(st->fiber);
}

// Nothing more is answered, when there is a reason.
static void end_session(struct session *s, const char *why)
{
    if (!why || s->is_over)
        return;
    s->is_over = true;
    LOG(LOG_INFO, "http", "connection is ended", LOG_S("why", str_of(why)), LOG_S("remote", s->c->remote));
    (void)h2.nghttp2_session_terminate_session(s->ng, NGHTTP2_ENHANCE_YOUR_CALM);
}

// What has come is answered, and nothing after it.
static void wind_up(struct session *s)
{
    if (s->is_winding_up || s->is_over)
        return;
    s->is_winding_up = true;
    (void)h2.nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE, h2.nghttp2_session_get_last_proc_stream_id(s->ng),
                                   NGHTTP2_NO_ERROR, NULL, 0);
}

static void free_stream(struct stream_state *st)
{
    struct session *s = st->session;

    for (struct stream_state **at = &s->streams; *at; at = &(*at)->next)
        if (*at == st) {
            *at = st->next;
            break;
        }
    s->n_streams--;
    buf_fini(&st->cookie);
    buf_fini(&st->body);
    arena_fini(&st->arena);
    free(st);
}

/* --- what comes in ------------------------------------------------------------------------------ */

static struct stream_state *stream_of(struct session *s, int32_t id)
{
    return h2.nghttp2_session_get_stream_user_data(s->ng, id);
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct session *s = ctx;
    struct stream_state *st;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    st = heap_alloc(sizeof *st);
    st->arena = (struct arena)ARENA_LIMIT(WEB_REQUEST_MEMORY);
    st->cookie = (struct buf)BUF_LIMIT(HTTP_MAX_HEAD);
    st->body = (struct buf)BUF_LIMIT(2 * STREAM_WINDOW);
    st->session = s;
    st->id = frame->hd.stream_id;
    st->request.version = HTTP_2;
    st->x = (struct web_exchange){.conn = s->c, .request = &st->request, .arena = &st->arena, .client_ip = s->c->remote,
                                  .is_secure = s->c->is_tls, .handler = STR("(nomatch)"), .began_ms = os_monotonic_ms()};
    for (struct stream_state **at = &s->streams;; at = &(*at)->next)
        if (!*at) {
            *at = st;
            break;
        }
    s->n_streams++;
    (void)h2.nghttp2_session_set_stream_user_data(ng, st->id, st);
    return 0;
}

// RFC 9113 8.2.3: pieces of Cookie are one field for everybody else. HPACK makes each of them a byte: they are put
// together where that takes no more memory than they have.
static bool add_field(struct stream_state *st, struct str name, struct str value)
{
    if (str_eq(name, STR("cookie"))) {
        if (st->cookie.n)
            BUF_PUT(&st->cookie, "; ");
        buf_put(&st->cookie, value);
        return !st->cookie.full && http_is_field_value(value);
    }
    return http_field_add(&st->arena, &st->request.fields, arena_dup(&st->arena, name), arena_dup(&st->arena, value));
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name_bytes, size_t name_n,
                     const uint8_t *value_bytes, size_t value_n, uint8_t flags, void *ctx)
{
    struct session *s = ctx;
    struct stream_state *st = stream_of(s, frame->hd.stream_id);
    struct str name = str_at(name_bytes, name_n), value = str_at(value_bytes, value_n);

    (void)ng, (void)flags;
    // Trailers are dropped, as with HTTP/1.1.
    if (!st || frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    st->header_bytes += name_n + value_n + FIELD_OVERHEAD;
    end_session(s, http2_flood_header(st->header_bytes));
    if (st->header_bytes > HTTP_MAX_HEAD || st->request.fields.n == HTTP_MAX_FIELDS)
        st->refused = 431;
    if (st->refused)
        return 0;
    if (str_eq(name, STR(":method")))
        http_request_set_method(&st->request, arena_dup(&st->arena, value));
    else if (str_eq(name, STR(":path")))
        st->path = arena_dup(&st->arena, value);
    else if (str_eq(name, STR(":authority")))
        st->authority = arena_dup(&st->arena, value);
    else if (!str_starts(name, STR(":")) && !add_field(st, name, value))
        st->refused = 400;
    return 0;
}

// RFC 9113 8.3.1: :authority comes before Host, and says the same.
static bool take_head(struct stream_state *st, bool has_body, struct err *e)
{
    struct http_request *r = &st->request, of_host = {0};
    const struct http_field *host = http_field_find(&r->fields, STR("host"));
    unsigned status = 400;

    r->body = has_body ? HTTP_BODY_FRAMES : HTTP_BODY_NONE;
    if (!str_u64(http_field_get(&r->fields, STR("content-length")), INT64_MAX, &r->length)) // nghttp2 holds it to that
        r->length = 0;
    r->expects_continue = has_body && str_eq_ci(http_field_get(&r->fields, STR("expect")), STR("100-continue"));
    if (st->refused)
        return fail(e, ERR_LIMIT, "the head is too long");
    st->refused = 400;
    if (r->method_name.n > HTTP_MAX_METHOD || !http_is_token(r->method_name))
        return fail(e, ERR_SYNTAX, "no method");
    if (str_eq(r->method_name, STR("CONNECT"))) {
        st->refused = 501;
        return fail(e, ERR_SYNTAX, "this is no proxy");
    }
    if (st->cookie.n && !http_field_add(&st->arena, &r->fields, STR("cookie"), arena_dup(&st->arena, buf_str(&st->cookie))))
        return fail(e, ERR_SYNTAX, "a byte in a field that cannot be there");
    buf_fini(&st->cookie);
    if (!st->authority.n && !host)
        return fail(e, ERR_SYNTAX, "no host");
    if (!http_request_set_host(&st->arena, r, st->authority.n ? st->authority : host->value, e))
        return false;
    if (host && st->authority.n &&
        (!http_request_set_host(&st->arena, &of_host, host->value, e) || !str_eq(of_host.host, r->host) || of_host.port != r->port))
        return fail(e, ERR_SYNTAX, "target and Host name different hosts");
    if (!host && !http_field_add(&st->arena, &r->fields, STR("host"), st->authority)) // as all others see it
        return fail(e, ERR_SYNTAX, "no host");
    if (!http_request_set_target(&st->arena, r, st->path, &status, e)) {
        st->refused = status;
        return false;
    }
    st->refused = 0;
    return true;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct session *s = ctx;
    struct stream_state *st = frame->hd.stream_id ? stream_of(s, frame->hd.stream_id) : NULL;
    bool is_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct err e = {0};

    (void)ng;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (!st)
            break;
        s->progress_ms = os_monotonic_ms();
        st->body_ended |= is_end;
        wake(st);
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
            if (!take_head(st, !is_end, &e))
                LOG(LOG_DEBUG, "http", "no request", LOG_E(&e), LOG_S("remote", s->c->remote));
            st->is_ready = true;
        }
        break;
    case NGHTTP2_DATA:
        end_session(s, http2_flood_data(&s->flood, frame->hd.flags, frame->hd.length, frame->data.padlen));
        if (st) {
            st->body_ended |= is_end;
            wake(st);
        }
        break;
    default:
        break;
    }
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t n, void *ctx)
{
    struct session *s = ctx;
    struct stream_state *st = stream_of(s, id);

    (void)flags;
    s->progress_ms = os_monotonic_ms();
    if (!st || st->has_replied) { // nobody will read it: others may send instead
        (void)h2.nghttp2_session_consume_connection(ng, n);
        return 0;
    }
    buf_put(&st->body, str_at(data, n));
    if (st->body.full) // more than the window that it was given
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *ctx)
{
    struct session *s = ctx;
    struct stream_state *st = stream_of(s, id);

    (void)code;
    if (!st)
        return 0;
    if (st->body.n)
        (void)h2.nghttp2_session_consume_connection(ng, st->body.n);
    if (st->has_source && st->source.close)
        st->source.close(st->source.ctx);
    st->has_source = false;
    st->is_closed = true;
    s->progress_ms = os_monotonic_ms();
    if (st->x.status)
        web_log(&st->x);
    if (st->fiber) // it waits for nothing any more, and ends
        fiber_cancel(st->fiber);
    else
        free_stream(st);
    return 0;
}

/* --- what goes out ------------------------------------------------------------------------------ */

static ssize_t read_reply(nghttp2_session *ng, int32_t id, uint8_t *out, size_t n, uint32_t *flags,
                          nghttp2_data_source *source, void *ctx)
{
    struct stream_state *st = source->ptr;
    struct session *s = ctx;
    struct err e = {0};
    size_t got = 0;

    (void)ng, (void)id;
    if (!st->has_source) {
        struct str piece = str_sub(st->rest, 0, n);

        memcpy(out, piece.p, piece.n);
        st->rest = str_from(st->rest, piece.n);
        got = piece.n;
        if (!st->rest.n)
            *flags |= NGHTTP2_DATA_FLAG_EOF;
    } else {
        switch (st->source.read(st->source.ctx, (char *)out, n, &got, &e)) {
        case WEB_GOT:
            break;
        case WEB_WAIT:
            st->is_waiting = true;
            st->waits_until_ms = os_monotonic_ms() + web_timeout(s->c, WEB_SOURCE_MS);
            return NGHTTP2_ERR_DEFERRED;
        case WEB_END:
            *flags |= NGHTTP2_DATA_FLAG_EOF;
            break;
        case WEB_FAILED:
            LOG(LOG_DEBUG, "http", "the source of a reply failed", LOG_E(&e));
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
    }
    st->x.sent += got;
    http2_flood_sent(&s->flood);
    s->moved += got;
    // Not of every byte: who makes room for a few of them again and again is as good as one who does not read.
    if (s->moved >= WEB_BUFFER || (*flags & NGHTTP2_DATA_FLAG_EOF)) {
        s->progress_ms = os_monotonic_ms();
        s->moved = 0;
    }
    return (ssize_t)got;
}

// The end of a reply.
static int on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct session *s = ctx;
    struct stream_state *st = frame->hd.stream_id ? stream_of(s, frame->hd.stream_id) : NULL;
    bool may_end = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;

    (void)ng;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        end_session(s, http2_flood_reset(&s->flood, frame->rst_stream.error_code));
    if (st && may_end && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && !st->body_ended)
        st->ended_ms = os_monotonic_ms();
    return 0;
}

// Frames that can be sent now, as far as there is room for them.
static bool collect(struct session *s, struct err *e)
{
    while (s->c->out.n < FLUSH_BYTES) {
        const uint8_t *p;
        ssize_t n = h2.nghttp2_session_mem_send(s->ng, &p);

        if (n < 0)
            return fail(e, ERR_BUG, "%s", h2.nghttp2_strerror((int)n));
        if (!n)
            break;
        buf_put(&s->c->out, str_at(p, (size_t)n));
    }
    return !s->c->out.full || fail(e, ERR_BUG, "the reply does not fit");
}

// Sends what the client takes without being waited for. *wants: what the rest waits for.
static bool send_some(struct session *s, short *wants, struct err *e)
{
    struct buf *out = &s->c->out;

    for (;;) {
        enum tls_result r;
        size_t done = 0;

        if (!collect(s, e))
            return false;
        if (!out->n) {
            if (s->blocked_ms)
                s->progress_ms = os_monotonic_ms();
            s->blocked_ms = 0;
            return true;
        }
        r = stream_try_write(&s->c->stream, buf_str(out), &done, e);
        buf_drop(out, done);
        if (r == TLS_CLOSED)
            return fail(e, ERR_TEMPORARY, "the client has gone");
        if (r == TLS_FAILED)
            return false;
        if (r != TLS_DONE) {
            *wants |= r == TLS_WANT_READ ? POLLIN : POLLOUT;
            if (done || !s->blocked_ms)
                s->blocked_ms = os_monotonic_ms();
            return true;
        }
    }
}

static bool receive(struct session *s, struct err *e)
{
    char piece[4096];
    size_t got = 0;
    ssize_t n;

    s->wants = POLLIN;
    switch (stream_try_read(&s->c->stream, piece, sizeof piece, &got, e)) {
    case TLS_DONE:
        break;
    case TLS_WANT_WRITE:
        s->wants = POLLOUT;
        return true;
    case TLS_WANT_READ:
        return true;
    case TLS_CLOSED:
        return fail(e, ERR_TEMPORARY, "the client has gone");
    case TLS_FAILED:
        return false;
    }
    end_session(s, http2_flood_take(&s->flood, &s->frames, str_at(piece, got)));
    n = h2.nghttp2_session_mem_recv(s->ng, (const uint8_t *)piece, got);
    if (n >= 0)
        return true;
    end_session(s, h2.nghttp2_strerror((int)n)); // a flood, CVE-2024-28182 among them
    return fail(e, ERR_SYNTAX, "%s", h2.nghttp2_strerror((int)n));
}

// How long nothing may happen. Sources and handlers have times of their own; a client that does not read has this.
static int64_t patience_ms(const struct session *s)
{
    for (const struct stream_state *st = s->streams; st; st = st->next)
        if (!st->is_waiting && !st->fiber)
            return web_timeout(s->c, WEB_WRITE_MS);
    return s->streams ? INT32_MAX : web_timeout(s->c, WEB_IDLE_MS);
}

/*
 * Streams that need not go on. RFC 9113 8.1: who still sends a body that nobody reads; not at once, since there are
 * clients that throw the reply away with the stream. And those whose source has been silent for too long. *wake_ms
 * becomes the time to look again. Whether there were any.
 */
static bool end_streams(struct session *s, int64_t *wake_ms)
{
    int64_t now = os_monotonic_ms();
    bool has_any = false;

    for (struct stream_state *st = s->streams; st; st = st->next) {
        int64_t until = st->ended_ms     ? st->ended_ms + web_timeout(s->c, LINGER_MS)
                        : st->is_waiting ? st->waits_until_ms
                                         : INT64_MAX;

        if (st->is_closed)
            continue;
        if (now >= until) {
            if (st->is_waiting)
                LOG(LOG_DEBUG, "http", "the source of a reply is silent", LOG_S("remote", s->c->remote));
            (void)h2.nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, st->id,
                                               st->ended_ms ? NGHTTP2_NO_ERROR : NGHTTP2_INTERNAL_ERROR);
            st->ended_ms = 0;
            st->is_waiting = false;
            has_any = true;
        } else if (until < *wake_ms) {
            *wake_ms = until;
        }
    }
    return has_any;
}

// Sends, and waits for something to come: from the client, from a source, for a handler, or from the monitor. False: it
// is over.
static bool pump(struct session *s, struct err *e)
{
    struct pollfd fds[MAX_STREAMS + 2] = {
        {.fd = s->c->stream.fd, .events = s->wants},
        {.fd = s->is_winding_up ? -1 : s->c->monitor.fd, .events = POLLIN}, // says stop, or nothing
    };
    struct stream_state *waiting[MAX_STREAMS];
    int64_t now, deadline_ms, wake_ms = INT64_MAX;
    nfds_t n = 2;

    if (!send_some(s, &fds[0].events, e))
        return false;
    if (!h2.nghttp2_session_want_read(s->ng) && !h2.nghttp2_session_want_write(s->ng) && !s->c->out.n)
        return fail(e, ERR_TEMPORARY, "the session is over");
    if (end_streams(s, &wake_ms))
        return true; // and that is sent
    if (tls_has_pending(s->c->stream.tls))
        return receive(s, e);
    for (struct stream_state *st = s->streams; st && n < MAX_STREAMS + 2; st = st->next)
        if (st->is_waiting) {
            waiting[n - 2] = st;
            fds[n++] = (struct pollfd){.fd = st->source.fd, .events = POLLIN};
        }
    now = os_monotonic_ms();
    deadline_ms = s->blocked_ms ? s->blocked_ms + web_timeout(s->c, WEB_WRITE_MS) : s->progress_ms + patience_ms(s);
    if (now >= deadline_ms)
        return fail(e, ERR_TEMPORARY, "timeout");
    if (deadline_ms < wake_ms)
        wake_ms = deadline_ms;
    if (fibers_poll(fds, n, wake_ms > now ? (int)(wake_ms - now) : 0) < 0 && errno != EINTR)
        return fail_errno(e, "poll");
    for (nfds_t i = 2; i < n; i++)
        if (fds[i].revents) {
            waiting[i - 2]->is_waiting = false;
            (void)h2.nghttp2_session_resume_data(s->ng, waiting[i - 2]->id);
        }
    if (fds[1].revents)
        wind_up(s);
    return !fds[0].revents || receive(s, e);
}

/* --- what handlers ask for ---------------------------------------------------------------------- */

static bool read_body(struct web_exchange *x, char *p, size_t n, size_t *got, struct err *e)
{
    struct stream_state *st = (struct stream_state *)x;
    struct session *s = st->session;

    *got = 0;
    if (st->request.expects_continue && !st->has_continued && !st->body.n && !st->body_ended) {
        nghttp2_nv nv = {(uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "100", 7, 3, NGHTTP2_NV_FLAG_NONE};

        (void)h2.nghttp2_submit_headers(s->ng, NGHTTP2_FLAG_NONE, st->id, NULL, &nv, 1, NULL);
        st->has_continued = true;
    }
    if (!st->body_began_ms)
        st->body_began_ms = os_monotonic_ms();
    while (!st->body.n && !st->body_ended) {
        int64_t left = st->body_began_ms + web_timeout(s->c, WEB_BODY_MS) +
                       (int64_t)(st->body_bytes * 1000 / WEB_BODY_RATE) - os_monotonic_ms();

        if (st->is_closed || s->is_over)
            return fail(e, ERR_TEMPORARY, "the client has taken its request back");
        if (left <= 0)
            return fail(e, ERR_TEMPORARY, "the body does not come");
        (void)fiber_wait(NULL, 0, left < INT_MAX ? (int)left : INT_MAX); // until what came wakes it
    }
    *got = n < st->body.n ? n : st->body.n;
    if (*got) {
        memcpy(p, st->body.p, *got);
        buf_drop(&st->body, *got);
        st->body_bytes += *got;
        if (!st->is_closed)
            (void)h2.nghttp2_session_consume(s->ng, st->id, *got);
    }
    return true;
}

// RFC 9113 8.2.2.
static bool is_of_connection(struct str name)
{
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"};

    for (size_t i = 0; i < COUNT(names); i++)
        if (str_eq_ci(name, str_of(names[i])))
            return true;
    return false;
}

static void add_nv(nghttp2_nv *nv, size_t *n, struct str name, struct str value)
{
    nv[(*n)++] = (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n, value.n,
                              NGHTTP2_NV_FLAG_NONE};
}

static bool reply(struct web_exchange *x, const struct web_reply *r, struct err *e)
{
    struct stream_state *st = (struct stream_state *)x;
    struct session *s = st->session;
    nghttp2_nv *nv = ARENA_ARRAY(x->arena, r->fields.n + 3, nghttp2_nv);
    nghttp2_data_provider provider = {.source = {.ptr = st}, .read_callback = read_reply};
    bool may_have_body = r->status != 204 && r->status != 304, is_known = !r->source || r->has_length, has_body;
    size_t n = 0;
    int rc;

    has_body = may_have_body && st->request.method != HTTP_HEAD && (r->source || r->body.n);
    st->has_replied = true;
    if (r->source && !has_body && r->source->close)
        r->source->close(r->source->ctx);
    if (st->is_closed || s->is_over) {
        if (r->source && has_body && r->source->close)
            r->source->close(r->source->ctx);
        return fail(e, ERR_TEMPORARY, "the client has taken its request back");
    }
    s->progress_ms = os_monotonic_ms();
    add_nv(nv, &n, STR(":status"), arena_printf(x->arena, "%u", r->status));
    for (size_t i = 0; i < r->fields.n; i++)
        if (!is_of_connection(r->fields.items[i].name))
            add_nv(nv, &n, arena_lower(x->arena, r->fields.items[i].name), r->fields.items[i].value);
    if (!http_field_find(&r->fields, STR("Date"))) // of a server behind us
        add_nv(nv, &n, STR("date"), web_date());
    if (may_have_body && is_known)
        add_nv(nv, &n, STR("content-length"),
               arena_printf(x->arena, "%llu", (unsigned long long)(r->source ? r->length : r->body.n)));
    st->rest = r->body;
    if (has_body && r->source) {
        st->source = *r->source;
        st->has_source = true;
    }
    rc = h2.nghttp2_submit_response(s->ng, st->id, nv, n, has_body ? &provider : NULL);
    if (rc)
        return fail(e, ERR_BUG, "%s", h2.nghttp2_strerror(rc));
    if (st->body.n) // it will not be read
        (void)h2.nghttp2_session_consume_connection(s->ng, st->body.n);
    buf_reset(&st->body);
    return true;
}

static const struct web_wire wire = {read_body, reply};

/* --- the connection ----------------------------------------------------------------------------- */

// In a fiber.
static void serve_stream(void *ctx)
{
    struct stream_state *st = ctx;
    struct session *s = st->session;

    st->x.wire = &wire;
    st->fiber = fiber_current();
    if (st->refused) {
        st->x.handler = STR("(badrequest)");
        if (client_may_ask(&st->x))
            web_fail(&st->x, st->refused, STR(""));
    } else {
        dispatch(&st->x);
    }
    st->fiber = NULL;
    if (!st->is_closed && !st->has_replied)
        (void)h2.nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_INTERNAL_ERROR);
    if (st->is_closed)
        free_stream(st);
}

// Those that have come; where there are too many, some wait for others.
static void serve_ready(struct session *s)
{
    for (struct stream_state *st = s->streams, *next; st && !s->is_over; st = next) {
        next = st->next; // it may be gone after that
        if (!st->is_ready || st->is_started)
            continue;
        st->is_started = true;
        if (!fiber_start(serve_stream, st)) {
            st->is_started = false;
            return;
        }
        if (++s->n_requests >= WEB_MAX_REQUESTS)
            wind_up(s);
    }
}

// Handlers that still wait do so no more.
static void end_handlers(struct session *s)
{
    bool has_any = true;

    s->is_over = true;
    while (has_any) {
        has_any = false;
        for (struct stream_state *st = s->streams; st; st = st->next)
            if (st->fiber) {
                fiber_cancel(st->fiber);
                has_any = true;
            }
        if (has_any)
            (void)fibers_poll(NULL, 0, 0);
    }
}

static bool begin(struct session *s, struct err *e)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, MAX_STREAMS},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_MAX_HEAD},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
    };
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    bool is_ok = !h2.nghttp2_session_callbacks_new(&callbacks) && !h2.nghttp2_option_new(&option);

    if (is_ok) {
        h2.nghttp2_option_set_no_auto_window_update(option, 1);
        h2.nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
        h2.nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        h2.nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        h2.nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        h2.nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
        h2.nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
        is_ok = !h2.nghttp2_session_server_new2(&s->ng, callbacks, s, option) &&
                !h2.nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, settings, COUNT(settings)) &&
                !h2.nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
    }
    h2.nghttp2_option_del(option);
    h2.nghttp2_session_callbacks_del(callbacks);
    return is_ok || fail(e, ERR_TEMPORARY, "no memory for HTTP/2");
}

void http2_serve(struct web_conn *c)
{
    struct session s = {.c = c, .frames = HTTP2_FRAMES, .progress_ms = os_monotonic_ms(), .wants = POLLIN};
    struct err e = {0};
    bool is_open = begin(&s, &e);

    http2_flood_begin(&s.flood);
    while (is_open) {
        serve_ready(&s);
        is_open = pump(&s, &e);
    }
    LOG(LOG_DEBUG, "http", "HTTP/2 connection has ended", LOG_E(&e), LOG_S("remote", c->remote));
    if (s.ng) {
        wind_up(&s);
        end_handlers(&s);
        if (collect(&s, &e) && !web_flush(c, &e))
            LOG(LOG_DEBUG, "http", "saying goodbye", LOG_E(&e));
        h2.nghttp2_session_del(s.ng);
    }
    while (s.streams) {
        struct stream_state *st = s.streams;

        if (st->has_source && st->source.close)
            st->source.close(st->source.ctx);
        free_stream(st);
    }
}
