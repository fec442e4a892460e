/*
 * Reading and writing on the stream of a session.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "role/session/session.h"

static void pause_second(void)
{
    struct timespec second = {.tv_sec = 1};

    nanosleep(&second, NULL);
}

// mox-smtp-delivery.md 1.2, "Slow mode": a byte per second, and the rest before the deadline.
static bool write_slowly(struct session *s, struct str *bytes, struct err *e)
{
    for (int i = 0; i < SESSION_WRITE_MS / 1000 - 5 && bytes->n; i++) {
        if (!stream_write(&s->stream, str_sub(*bytes, 0, 1), SESSION_WRITE_MS, e))
            return false;
        *bytes = str_from(*bytes, 1);
        pause_second();
    }
    return true;
}

bool session_flush(struct session *s)
{
    struct str bytes = buf_str(&s->out);
    struct err e = {0};
    bool is_ok = !s->out.full && (!s->is_slow || write_slowly(s, &bytes, &e)) &&
                 stream_write(&s->stream, bytes, SESSION_WRITE_MS, &e);

    buf_reset(&s->out);
    if (!is_ok)
        LOG(LOG_DEBUG, "session", "writing to the client", LOG_E(&e));
    return is_ok;
}

bool session_has_input(const struct session *s)
{
    return s->in.n > 0;
}

void session_used(struct session *s, size_t n)
{
    buf_drop(&s->in, n);
}

// Waits for input or for the monitor's word that the server stops.
static enum session_line wait_input(struct session *s, int timeout_ms)
{
    struct pollfd fds[2] = {{.fd = s->stream.fd, .events = POLLIN},
                            {.fd = s->monitor.fd, .events = POLLIN}};
    int64_t deadline = os_monotonic_ms() + timeout_ms;

    if (s->stream.tls && tls_has_pending(s->stream.tls))
        return SESSION_LINE;
    for (;;) {
        int64_t left = deadline - os_monotonic_ms();
        int n = poll(fds, 2, left > 0 ? (int)left : 0);

        if (n > 0 && fds[0].revents)
            return SESSION_LINE;
        if (n > 0) // all the monitor says unasked is stop, or nothing because it is gone
            return SESSION_STOPPING;
        if (n == 0 || errno != EINTR)
            return SESSION_END;
    }
}

bool session_read_more(struct session *s, int timeout_ms)
{
    char *room = buf_room(&s->in, SESSION_BUFFER);
    struct err e = {0};
    size_t got = 0;

    if (!room || !stream_read(&s->stream, room, SESSION_BUFFER, timeout_ms, &got, &e) || !got) {
        LOG(LOG_DEBUG, "session", "client gone", LOG_E(&e));
        return false;
    }
    buf_claim(&s->in, got);
    return true;
}

enum session_line session_wait(struct session *s)
{
    enum session_line w;

    if (!session_flush(s))
        return SESSION_END;
    if (s->is_slow)
        pause_second();
    w = wait_input(s, SESSION_READ_MS);
    return w == SESSION_LINE && !session_read_more(s, SESSION_READ_MS) ? SESSION_END : w;
}

enum session_line session_read_line(struct session *s, size_t max, struct str *line)
{
    for (;;) {
        ptrdiff_t lf = str_find(buf_str(&s->in), '\n');
        enum session_line w;

        if (lf >= 0 && (size_t)lf <= max) {
            *line = arena_dup(&s->line_arena, str_sub(buf_str(&s->in), 0, (size_t)lf));
            session_used(s, (size_t)lf + 1);
            if (!str_ends(*line, STR("\r")))
                return SESSION_LINE_BARE;
            line->n--;
            return SESSION_LINE;
        }
        if (lf >= 0 || s->in.n > max)
            return SESSION_LINE_LONG;
        w = session_wait(s);
        if (w != SESSION_LINE)
            return w;
    }
}

static bool start_tls_by_front(struct session *s, struct str text)
{
    struct ipc_starttls_done done;
    struct err e = {0};
    char byte;
    bool is_clean;

    if (!IPC_SEND(&s->front, starttls, NULL, 0, &e, .text = text) ||
        !channel_expect(&s->front, IPC_starttls_done, s->packet, SESSION_TLS_MS, &e) ||
        !ipc_starttls_done_get(s->packet->body, &done, &e) || !s->packet->n_fds) {
        LOG(LOG_INFO, "session", "STARTTLS failed", LOG_E(&e));
        return false;
    }
    s->tls_version = arena_dup(&s->arena, done.version);
    s->tls_cipher = arena_dup(&s->arena, done.cipher);
    is_clean = recv(s->stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
    stream_close(&s->stream);
    if (!stream_open(&s->stream, packet_take_fd(s->packet, 0), &e))
        return false;
    channel_close(&s->front);
    if (!is_clean)
        LOG(LOG_INFO, "session", "plain bytes after STARTTLS, connection ended");
    return is_clean;
}

bool session_start_tls(struct session *s, struct str text)
{
    struct err e = {0};

    // RFC 3207 4.2: whatever came in plain does not count after TLS; pipelining it is an attack.
    if (session_has_input(s)) {
        LOG(LOG_INFO, "session", "plain bytes after STARTTLS, connection ended",
            LOG_S("remote", s->conn.remote));
        return false;
    }
    if (s->front.fd >= 0) {
        if (!session_flush(s) || !start_tls_by_front(s, text))
            return false;
    } else {
        buf_put(&s->out, text);
        if (!session_flush(s))
            return false;
        if (!stream_start_tls(&s->stream, s->tls, SESSION_TLS_MS, &e)) {
            LOG(LOG_INFO, "session", "TLS handshake failed", LOG_E(&e),
                LOG_S("remote", s->conn.remote));
            return false;
        }
        s->tls_version = tls_version(s->stream.tls);
        s->tls_cipher = tls_cipher(s->stream.tls);
    }
    s->is_tls = true;
    return true;
}
