/*
 * HTTP/1.1 on a stream: one request after the other.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "role/web/web.h"

enum { LINGER_MS = 2000, LINGER_BYTES = 256 * 1024 };

/* What belongs to a request beside its exchange. */
struct request_state {
    struct web_exchange x; // first: handlers have a pointer to it
    struct http_request request;
    struct http_body body;
    int64_t body_began_ms;
    uint64_t body_bytes;
    bool has_continued; // 100 was sent
    bool is_last;       // the connection ends
    struct buf tail;    // body bytes that were decoded and did not fit
};

bool web_flush(struct web_conn *c, struct err *e)
{
    bool is_ok = !c->out.full || fail(e, ERR_BUG, "the reply does not fit");

    is_ok = is_ok && stream_write(&c->stream, buf_str(&c->out), web_timeout(c, WEB_WRITE_MS), e);
    buf_reset(&c->out);
    return is_ok;
}

// More input behind what is there. False: at the end, or too late.
static bool read_more(struct web_conn *c, int64_t deadline_ms, struct err *e)
{
    int64_t left = deadline_ms - os_monotonic_ms();
    char *room = buf_room(&c->in, WEB_BUFFER);
    size_t got = 0;

    if (!room)
        return fail(e, ERR_LIMIT, "more input than is taken");
    if (!web_flush(c, e) || !stream_read(&c->stream, room, WEB_BUFFER, left > 0 ? (int)left : 0, &got, e))
        return false;
    buf_claim(&c->in, got);
    return got || fail(e, ERR_TEMPORARY, "the client has gone");
}

// Waits for the first byte of a request. False: none comes, or the server stops.
static bool await_request(struct web_conn *c)
{
    struct err e = {0};

    // Replies to requests that came all at once are written together, but not without end: each may be a page.
    if (c->in.n)
        return c->out.n < WEB_BUFFER || web_flush(c, &e);
    // All the monitor says unasked is stop.
    if (!web_flush(c, &e) ||
        stream_wait(&c->stream, c->monitor.fd,
                    web_timeout(c, c->n_requests ? WEB_IDLE_MS : WEB_HEAD_MS)) != STREAM_READY)
        return false;
    return read_more(c, os_monotonic_ms() + 1000, &e);
}

// Data of the body: what is left of the last read first. *data is in the input, which is dropped by the caller.
static bool body_data(struct request_state *s, struct str *data, size_t *used, struct err *e)
{
    struct web_conn *c = s->x.conn;
    struct str in;

    for (;;) {
        in = buf_str(&c->in);
        if (!http_body_take(&s->body, &in, data, e))
            return false;
        *used = c->in.n - in.n;
        if (data->n || s->body.is_done)
            return true;
        buf_drop(&c->in, *used);
        if (s->request.expects_continue && !s->has_continued) {
            BUF_PUT(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
            s->has_continued = true;
        }
        if (!s->body_began_ms)
            s->body_began_ms = os_monotonic_ms();
        // However slow a network is: it is not as slow as those who want to keep us waiting.
        if (!read_more(c, s->body_began_ms + web_timeout(c, WEB_BODY_MS) +
                              (int64_t)(s->body_bytes * 1000 / WEB_BODY_RATE), e))
            return false;
    }
}

static bool read_body(struct web_exchange *x, char *p, size_t n, size_t *got, struct err *e)
{
    struct request_state *s = (struct request_state *)x;
    struct str data;
    size_t used;

    *got = 0;
    if (!s->tail.n && !s->body.is_done) {
        if (!body_data(s, &data, &used, e)) {
            s->is_last = true;
            return false;
        }
        s->body_bytes += data.n;
        buf_put(&s->tail, data);
        buf_drop(&x->conn->in, used);
    }
    *got = n < s->tail.n ? n : s->tail.n;
    if (*got)
        memcpy(p, s->tail.p, *got);
    buf_drop(&s->tail, *got);
    return true;
}

static bool has_body(const struct request_state *s, unsigned status)
{
    return status >= 200 && status != 204 && status != 304 && s->request.method != HTTP_HEAD;
}

static bool write_source(struct request_state *s, const struct web_source *source, bool is_chunked, struct err *e)
{
    struct web_conn *c = s->x.conn;
    char *piece = arena_alloc(s->x.arena, WEB_BUFFER);

    for (;;) {
        size_t got = 0;
        enum web_got r = source->read(source->ctx, piece, WEB_BUFFER, &got, e);

        if (r == WEB_FAILED)
            return false;
        if (r == WEB_WAIT) {
            struct pollfd fds[2] = {{.fd = source->fd, .events = POLLIN},
                                    {.fd = c->stream.fd, .events = POLLRDHUP}};
            int n;

            if (!web_flush(c, e))
                return false;
            n = poll(fds, 2, web_timeout(c, WEB_SOURCE_MS));
            if (n == 0)
                return fail(e, ERR_TEMPORARY, "the source of the reply is silent");
            if (n < 0 && errno != EINTR)
                return fail_errno(e, "poll");
            if (fds[1].revents & (POLLRDHUP | POLLHUP | POLLERR))
                return fail(e, ERR_TEMPORARY, "the client has gone");
            continue;
        }
        if (got && is_chunked)
            http_chunk_put(&c->out, got);
        buf_put(&c->out, str_at(piece, got));
        if (got && is_chunked)
            BUF_PUT(&c->out, "\r\n");
        s->x.sent += got;
        if (c->out.n > WEB_BUFFER && !web_flush(c, e))
            return false;
        if (r == WEB_END)
            break;
    }
    if (is_chunked)
        BUF_PUT(&c->out, "0\r\n\r\n");
    return true;
}

static ssize_t pread_some(int fd, char *p, uint64_t n, uint64_t at, struct err *e)
{
    ssize_t rc = pread(fd, p, n < 4 * WEB_BUFFER ? (size_t)n : 4 * WEB_BUFFER, (off_t)at);

    if (rc < 0)
        (void)fail_errno(e, "reading a file");
    if (rc == 0)
        (void)fail(e, ERR_TEMPORARY, "the file has become shorter");
    return rc;
}

// By the kernel, without a copy here.
static bool send_file(struct web_conn *c, const struct web_file *file, uint64_t left, struct err *e)
{
    struct pollfd p = {.fd = c->stream.fd, .events = POLLOUT};
    off_t at = (off_t)file->at;

    while (left) {
        ssize_t rc = sendfile(c->stream.fd, file->fd, &at, left < (1 << 20) ? (size_t)left : 1 << 20);

        if (rc > 0)
            left -= (uint64_t)rc;
        else if (rc == 0)
            return fail(e, ERR_TEMPORARY, "the file has become shorter");
        else if (errno != EAGAIN && errno != EINTR)
            return fail_errno(e, "sending a file");
        else if (errno == EAGAIN && poll(&p, 1, web_timeout(c, WEB_WRITE_MS)) == 0)
            return fail(e, ERR_TEMPORARY, "timeout");
    }
    return true;
}

static bool copy_file(struct request_state *s, const struct web_file *file, uint64_t left, struct err *e)
{
    struct web_conn *c = s->x.conn;
    char *piece = arena_alloc(s->x.arena, 4 * WEB_BUFFER);

    for (uint64_t at = file->at; left;) {
        ssize_t n = pread_some(file->fd, piece, left, at, e);

        if (n <= 0 || !stream_write(&c->stream, str_at(piece, (size_t)n), web_timeout(c, WEB_WRITE_MS), e))
            return false;
        at += (uint64_t)n;
        left -= (uint64_t)n;
    }
    return true;
}

// A small one goes with its head.
static bool write_file(struct request_state *s, const struct web_file *file, uint64_t length, struct err *e)
{
    struct web_conn *c = s->x.conn;

    s->x.sent = length;
    if (length && length <= WEB_BUFFER) {
        char *room = buf_room(&c->out, (size_t)length);
        ssize_t n = room ? pread_some(file->fd, room, length, file->at, e) : -1;

        if (n > 0)
            buf_claim(&c->out, (size_t)n);
        return n == (ssize_t)length || fail(e, ERR_TEMPORARY, "the file has become shorter");
    }
    return web_flush(c, e) && (c->is_tls ? copy_file(s, file, length, e) : send_file(c, file, length, e));
}

static bool write_body(struct request_state *s, const struct web_reply *r, bool is_chunked, struct err *e)
{
    struct web_conn *c = s->x.conn;

    if (r->file)
        return write_file(s, r->file, r->length, e);
    if (r->source)
        return write_source(s, r->source, is_chunked, e);
    s->x.sent = r->body.n;
    if (r->body.n <= WEB_BUFFER) {
        buf_put(&c->out, r->body);
        return true;
    }
    for (struct str rest = r->body; rest.n; rest = str_from(rest, 4 * WEB_BUFFER))
        if (!web_flush(c, e) ||
            !stream_write(&c->stream, str_sub(rest, 0, 4 * WEB_BUFFER), web_timeout(c, WEB_WRITE_MS), e))
            return false;
    return true;
}

static bool reply(struct web_exchange *x, const struct web_reply *r, struct err *e)
{
    struct request_state *s = (struct request_state *)x;
    bool is_known = !r->source || r->has_length, has_file = r->file, may_have_body = r->status >= 200 && r->status != 204 && r->status != 304;
    bool is_chunked = may_have_body && !is_known && s->request.version != HTTP_1_0, is_ok;
    struct http_fields fields = r->fields;

    // Who still sends a body that nobody reads is not asked for another request behind it.
    s->is_last = s->is_last || s->request.is_last || !s->body.is_done || ++x->conn->n_requests >= WEB_MAX_REQUESTS ||
                 (may_have_body && !is_known && !is_chunked);
    is_ok = http_field_find(&fields, STR("Date")) || // of a server behind us
            http_field_add(x->arena, &fields, STR("Date"), web_date());
    if (is_chunked)
        is_ok &= http_field_add(x->arena, &fields, STR("Transfer-Encoding"), STR("chunked"));
    else if (may_have_body && is_known)
        is_ok &= http_field_add(x->arena, &fields, STR("Content-Length"),
                                arena_printf(x->arena, "%llu", (unsigned long long)(r->source || has_file ? r->length : r->body.n)));
    if (s->is_last)
        is_ok &= http_field_add(x->arena, &fields, STR("Connection"), STR("close"));
    else if (s->request.version == HTTP_1_0)
        is_ok &= http_field_add(x->arena, &fields, STR("Connection"), STR("keep-alive"));
    http_head_put(&x->conn->out, s->request.version, r->status, &fields);
    is_ok = is_ok && (!has_body(s, r->status) || write_body(s, r, is_chunked, e));
    if (r->source && r->source->close)
        r->source->close(r->source->ctx);
    return is_ok;
}

static const struct web_wire wire = {read_body, reply, true};

// Reads a head. False: the connection ends, after a reply if *status is set.
static bool read_head(struct web_conn *c, struct request_state *s, struct arena *a, unsigned *status, struct err *e)
{
    int64_t deadline = os_monotonic_ms() + web_timeout(c, WEB_HEAD_MS);
    size_t seen = 0, n = 0;

    for (;;) {
        *status = 400;
        if (!http_head_find(buf_str(&c->in), &seen, &n, e))
            return false;
        if (n)
            break;
        *status = 431;
        if (c->in.n >= HTTP_MAX_HEAD)
            return fail(e, ERR_LIMIT, "the head is too long");
        *status = 0;
        if (!read_more(c, deadline, e)) {
            *status = os_monotonic_ms() >= deadline ? 408 : 0;
            return false;
        }
    }
    if (!http_request_parse(a, arena_dup(a, str_sub(buf_str(&c->in), 0, n)), &s->request, status, e))
        return false;
    buf_drop(&c->in, n);
    s->body = http_body_of(&s->request);
    return true;
}

// Whether there may be another request on the connection.
static bool serve_one(struct web_conn *c)
{
    struct arena *a = &c->request_arena;
    struct request_state s = {.tail = BUF_LIMIT(2 * WEB_BUFFER + HTTP_MAX_HEAD)};
    struct err e = {0};
    unsigned status = 0;

    s.x = (struct web_exchange){.conn = c, .wire = &wire, .request = &s.request, .arena = a, .client_ip = c->remote,
                                .is_secure = c->is_tls, .handler = STR("(nomatch)"), .began_ms = os_monotonic_ms()};
    if (!read_head(c, &s, a, &status, &e)) {
        LOG(LOG_DEBUG, "http", "no request", LOG_E(&e), LOG_S("remote", c->remote));
        s.is_last = true;
        if (status) {
            s.x.handler = STR("(badrequest)");
            web_fail(&s.x, status, status == 408 ? STR("") : str_of(e.text));
            web_log(&s.x);
        }
        return false;
    }
    dispatch(&s.x);
    web_log(&s.x);
    buf_fini(&s.tail);
    arena_reset(a);
    return !s.is_last && !s.x.is_broken;
}

// RFC 9112 9.6: a client that is still sending would have our last reply destroyed by a reset.
static void linger(struct web_conn *c)
{
    int64_t deadline = os_monotonic_ms() + web_timeout(c, LINGER_MS);
    char piece[4096];
    size_t n = 0, got;
    struct err e = {0};

    if (c->is_tls || shutdown(c->stream.fd, SHUT_WR))
        return;
    do {
        int64_t left = deadline - os_monotonic_ms();

        if (left <= 0 || !stream_read(&c->stream, piece, sizeof piece, (int)left, &got, &e))
            return;
        n += got;
    } while (got && n < LINGER_BYTES);
}

void http1_serve(struct web_conn *c)
{
    struct err e = {0};

    while (await_request(c) && serve_one(c))
        ;
    if (web_flush(c, &e))
        linger(c);
}
