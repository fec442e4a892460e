#include "crypto/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/fiber.h"
#include "text/deflate.h"

enum { RAW_BYTES = 8 * 1024, AHEAD_BYTES = 4 * 1024, SQUEEZE_BYTES = 64 * 1024 };

struct compression {
    struct inflater *in;
    struct deflater *out; // NULL while nothing is written
    struct buf raw;       // came in, not inflated yet
    struct buf ahead;     // inflated to see whether there is something
    struct buf squeezed;
    bool is_end;
    struct err e; // found while looking ahead; the next read tells
};

static void compression_free(struct compression *z)
{
    if (!z)
        return;
    inflater_free(z->in);
    deflater_free(z->out);
    buf_fini(&z->raw);
    buf_fini(&z->ahead);
    buf_fini(&z->squeezed);
    free(z);
}

bool stream_open(struct stream *s, int fd, struct err *e)
{
    *s = (struct stream){.fd = fd};
    return fd_set_nonblocking(fd, e);
}

void stream_close(struct stream *s)
{
    if (s->tls)
        tls_bye(s->tls);
    tls_free(s->tls);
    s->tls = NULL;
    compression_free(s->compression);
    s->compression = NULL;
    fd_close(&s->fd);
}

static bool wait_until(const struct stream *s, short events, int64_t deadline_ms, struct err *e)
{
    struct pollfd p = {.fd = s->fd, .events = events};

    for (;;) {
        int64_t left = deadline_ms - os_monotonic_ms();
        int n = fiber_poll(&p, 1, left > 0 ? (int)left : 0);

        if (n > 0)
            return true;
        if (n == 0)
            return fail(e, ERR_TEMPORARY, "timeout");
        if (errno != EINTR)
            return fail_errno(e, "poll");
    }
}

static enum stream_event wait_two(const struct stream *s, short events, int other, int timeout_ms)
{
    struct pollfd fds[2] = {{.fd = s->fd, .events = events}, {.fd = other, .events = POLLIN}};
    int64_t deadline = os_monotonic_ms() + timeout_ms;

    for (;;) {
        int64_t left = deadline - os_monotonic_ms();
        int n = fiber_poll(fds, 2, left > 0 ? (int)left : 0);

        if (n > 0)
            return fds[0].revents ? STREAM_READY : STREAM_OTHER;
        if (n == 0 || errno != EINTR)
            return STREAM_TIMEOUT;
    }
}

enum stream_event stream_wait(const struct stream *s, int other, int timeout_ms)
{
    if (s->tls && tls_has_pending(s->tls))
        return STREAM_READY;
    return wait_two(s, POLLIN, other, timeout_ms);
}

enum stream_event stream_wait_end(const struct stream *s, int other, int timeout_ms)
{
    return wait_two(s, POLLRDHUP, other, timeout_ms);
}

static enum tls_result plain_result(ssize_t n, enum tls_result when_blocked, struct err *e)
{
    if (n >= 0)
        return TLS_DONE;
    if (errno == EAGAIN || errno == EINTR)
        return when_blocked;
    fail_errno(e, "connection");
    return TLS_FAILED;
}

enum tls_result stream_try_read(struct stream *s, char *p, size_t n, size_t *got, struct err *e)
{
    ssize_t rc;

    if (s->tls)
        return tls_read(s->tls, p, n, got, e);
    rc = read(s->fd, p, n);
    *got = rc > 0 ? (size_t)rc : 0;
    return rc == 0 ? TLS_CLOSED : plain_result(rc, TLS_WANT_READ, e);
}

enum tls_result stream_try_write(struct stream *s, struct str bytes, size_t *done, struct err *e)
{
    ssize_t rc;

    if (s->tls)
        return tls_write(s->tls, bytes, done, e);
    rc = write(s->fd, bytes.p, bytes.n);
    *done = rc > 0 ? (size_t)rc : 0;
    return plain_result(rc, TLS_WANT_WRITE, e);
}

// Waits for what the result asks for; false when there is nothing to wait for.
static bool wait_for_result(struct stream *s, enum tls_result r, int64_t deadline_ms, struct err *e)
{
    if (r != TLS_WANT_READ && r != TLS_WANT_WRITE)
        return false;
    return wait_until(s, r == TLS_WANT_READ ? POLLIN : POLLOUT, deadline_ms, e);
}

static bool read_plain(struct stream *s, char *p, size_t n, int64_t deadline, size_t *got,
                       struct err *e)
{
    for (;;) {
        enum tls_result r = stream_try_read(s, p, n, got, e);

        if (r == TLS_DONE)
            return true;
        if (r == TLS_CLOSED) {
            *got = 0;
            return true;
        }
        if (!wait_for_result(s, r, deadline, e))
            return false;
    }
}

static bool write_plain(struct stream *s, struct str bytes, int64_t deadline, struct err *e)
{
    while (bytes.n) {
        size_t done = 0;
        enum tls_result r = stream_try_write(s, bytes, &done, e);

        bytes = str_from(bytes, done);
        if (r == TLS_CLOSED)
            return fail(e, ERR_TEMPORARY, "connection closed");
        if (r != TLS_DONE && !wait_for_result(s, r, deadline, e))
            return false;
    }
    return true;
}

/* --- compression ----------------------------------------------------------------------------------- */

void stream_compress(struct stream *s, struct str unread)
{
    struct compression *z = heap_alloc(sizeof *z);

    z->in = inflater_new();
    z->raw = (struct buf)BUF_LIMIT(RAW_BYTES + unread.n);
    z->ahead = (struct buf)BUF_LIMIT(AHEAD_BYTES);
    z->squeezed = (struct buf)BUF_LIMIT(2 * SQUEEZE_BYTES);
    buf_put(&z->raw, unread);
    s->compression = z;
}

// What the raw bytes at hand give: *got 0 when that is nothing yet.
static bool inflate_some(struct compression *z, char *p, size_t n, size_t *got, struct err *e)
{
    struct str from = buf_str(&z->raw);
    size_t had = from.n;
    bool is_ok = inflater_take(z->in, &from, p, n, got, &z->is_end, e);

    buf_drop(&z->raw, had - from.n);
    return is_ok;
}

static bool read_compressed(struct stream *s, char *p, size_t n, int64_t deadline, size_t *got,
                            struct err *e)
{
    struct compression *z = s->compression;
    char *room;
    size_t n_raw;

    if (z->ahead.n) {
        struct str have = str_sub(buf_str(&z->ahead), 0, n);

        memcpy(p, have.p, have.n);
        *got = have.n;
        buf_drop(&z->ahead, have.n);
        return true;
    }
    for (;;) {
        *got = 0;
        if (z->e.kind) {
            *e = z->e;
            return false;
        }
        if (z->is_end)
            return true;
        if (!inflate_some(z, p, n, got, e))
            return false;
        if (*got)
            return true;
        if (z->is_end)
            continue;
        room = buf_room(&z->raw, RAW_BYTES);
        if (!room)
            return fail(e, ERR_BUG, "no room for compressed bytes");
        if (!read_plain(s, room, RAW_BYTES, deadline, &n_raw, e))
            return false;
        if (!n_raw)
            return true;
        buf_claim(&z->raw, n_raw);
    }
}

bool stream_has_input(struct stream *s)
{
    struct compression *z = s->compression;
    bool has_read = false;
    char *room;

    if (!z || z->ahead.n || z->is_end || z->e.kind)
        return z != NULL;
    for (;; has_read = true) {
        size_t got = 0;

        room = buf_room(&z->ahead, AHEAD_BYTES);
        if (!inflate_some(z, room, AHEAD_BYTES, &got, &z->e))
            return true;
        buf_claim(&z->ahead, got);
        if (got || z->is_end)
            return true;
        if (has_read) // one read at a time: those who send nothing in many bytes do not hold us up
            return false;
        room = buf_room(&z->raw, RAW_BYTES);
        switch (stream_try_read(s, room, RAW_BYTES, &got, &z->e)) {
        case TLS_DONE:
            buf_claim(&z->raw, got);
            break;
        case TLS_WANT_READ:
        case TLS_WANT_WRITE:
            return false;
        case TLS_CLOSED:
            z->is_end = true;
            return true;
        case TLS_FAILED:
            return true;
        }
    }
}

static bool write_compressed(struct stream *s, struct str bytes, int64_t deadline, struct err *e)
{
    struct compression *z = s->compression;

    if (!z->out)
        z->out = deflater_new();
    while (bytes.n) {
        struct str piece = str_sub(bytes, 0, SQUEEZE_BYTES);

        bytes = str_from(bytes, piece.n);
        buf_reset(&z->squeezed);
        deflater_put(z->out, piece, &z->squeezed);
        if (z->squeezed.full)
            return fail(e, ERR_BUG, "compressed bytes do not fit");
        if (!write_plain(s, buf_str(&z->squeezed), deadline, e))
            return false;
    }
    return true;
}

void stream_rest(struct stream *s)
{
    if (!s->compression)
        return;
    deflater_free(s->compression->out);
    s->compression->out = NULL;
    buf_fini(&s->compression->squeezed);
}

bool stream_read(struct stream *s, char *p, size_t n, int timeout_ms, size_t *got, struct err *e)
{
    int64_t deadline = os_monotonic_ms() + timeout_ms;

    return s->compression ? read_compressed(s, p, n, deadline, got, e)
                          : read_plain(s, p, n, deadline, got, e);
}

bool stream_write(struct stream *s, struct str bytes, int timeout_ms, struct err *e)
{
    int64_t deadline = os_monotonic_ms() + timeout_ms;

    return s->compression ? write_compressed(s, bytes, deadline, e)
                          : write_plain(s, bytes, deadline, e);
}

static bool shake_hands(struct stream *s, int timeout_ms, struct err *e)
{
    int64_t deadline = os_monotonic_ms() + timeout_ms;
    enum tls_result r;

    while ((r = tls_handshake(s->tls, e)) != TLS_DONE)
        if (!wait_for_result(s, r, deadline, e)) {
            if (r == TLS_CLOSED)
                fail(e, ERR_TEMPORARY, "connection closed during the TLS handshake");
            return false;
        }
    return true;
}

bool stream_start_tls(struct stream *s, struct tls_server *server, int timeout_ms, struct err *e)
{
    s->tls = tls_new(server, s->fd, e);
    return s->tls && shake_hands(s, timeout_ms, e);
}

bool stream_connect_tls(struct stream *s, struct tls_client *client, const struct tls_target *target,
                        int timeout_ms, struct err *e)
{
    s->tls = tls_client_connect(client, target, s->fd, e);
    return s->tls && shake_hands(s, timeout_ms, e);
}
