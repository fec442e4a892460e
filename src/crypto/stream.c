#include "crypto/stream.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/fd.h"

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
    fd_close(&s->fd);
}

static bool wait_until(const struct stream *s, short events, int64_t deadline_ms, struct err *e)
{
    struct pollfd p = {.fd = s->fd, .events = events};

    for (;;) {
        int64_t left = deadline_ms - os_monotonic_ms();
        int n = poll(&p, 1, left > 0 ? (int)left : 0);

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
        int n = poll(fds, 2, left > 0 ? (int)left : 0);

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

static enum tls_result try_read(struct stream *s, char *p, size_t n, size_t *got, struct err *e)
{
    ssize_t rc;

    if (s->tls)
        return tls_read(s->tls, p, n, got, e);
    rc = read(s->fd, p, n);
    *got = rc > 0 ? (size_t)rc : 0;
    return rc == 0 ? TLS_CLOSED : plain_result(rc, TLS_WANT_READ, e);
}

static enum tls_result try_write(struct stream *s, struct str bytes, size_t *done, struct err *e)
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

bool stream_read(struct stream *s, char *p, size_t n, int timeout_ms, size_t *got, struct err *e)
{
    int64_t deadline = os_monotonic_ms() + timeout_ms;

    for (;;) {
        enum tls_result r = try_read(s, p, n, got, e);

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

bool stream_write(struct stream *s, struct str bytes, int timeout_ms, struct err *e)
{
    int64_t deadline = os_monotonic_ms() + timeout_ms;

    while (bytes.n) {
        size_t done = 0;
        enum tls_result r = try_write(s, bytes, &done, e);

        bytes = str_from(bytes, done);
        if (r == TLS_CLOSED)
            return fail(e, ERR_TEMPORARY, "connection closed");
        if (r != TLS_DONE && !wait_for_result(s, r, deadline, e))
            return false;
    }
    return true;
}

bool stream_start_tls(struct stream *s, struct tls_server *server, int timeout_ms, struct err *e)
{
    int64_t deadline = os_monotonic_ms() + timeout_ms;
    enum tls_result r;

    s->tls = tls_new(server, s->fd, e);
    if (!s->tls)
        return false;
    while ((r = tls_handshake(s->tls, e)) != TLS_DONE)
        if (!wait_for_result(s, r, deadline, e)) {
            if (r == TLS_CLOSED)
                fail(e, ERR_TEMPORARY, "connection closed during the TLS handshake");
            return false;
        }
    return true;
}
