/*
 * Reading and writing on the stream of a session.
 */
#include <sys/socket.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "role/session/session.h"

// mox-smtp-delivery.md 1.2, "Slow mode": a byte per second, and the rest before the deadline.
static bool write_slowly(struct session *s, struct str *bytes, int64_t deadline, struct err *e)
{
    for (int64_t left; bytes->n; *bytes = str_from(*bytes, 1)) {
        left = deadline - os_monotonic_ms();
        if (left < SESSION_SLOW_END_MS)
            return true;
        if (!stream_write(&s->stream, str_sub(*bytes, 0, 1), (int)left, e))
            return false;
        os_sleep_ms(SESSION_SLOW_MS);
    }
    return true;
}

bool session_flush(struct session *s)
{
    int64_t deadline = os_monotonic_ms() + SESSION_WRITE_MS, left;
    struct str bytes = buf_str(&s->out);
    struct err e = {0};
    bool is_ok = !s->out.full && (!s->is_slow || write_slowly(s, &bytes, deadline, &e));

    left = deadline - os_monotonic_ms();
    is_ok = is_ok && stream_write(&s->stream, bytes, left > 0 ? (int)left : 0, &e);
    buf_reset(&s->out);
    if (!is_ok)
        LOG(LOG_DEBUG, "session", "writing to the client", LOG_E(&e));
    return is_ok;
}

// Whether bytes are there that were read and not used.
static bool has_input(const struct session *s)
{
    return s->in.n > 0;
}

void session_used(struct session *s, size_t n)
{
    buf_drop(&s->in, n);
}

bool session_read_more(struct session *s, int timeout_ms)
{
    char *room = buf_room(&s->in, SESSION_BUFFER);
    struct err e = {0};
    size_t got = 0;

    if (s->is_slow)
        os_sleep_ms(SESSION_SLOW_MS);
    if (!room || !stream_read(&s->stream, room, SESSION_BUFFER, timeout_ms, &got, &e) || !got) {
        LOG(LOG_DEBUG, "session", "client gone", LOG_E(&e));
        return false;
    }
    buf_claim(&s->in, got);
    return true;
}

enum session_line session_wait(struct session *s)
{
    if (!session_flush(s))
        return SESSION_END;
    // All the monitor says unasked is stop, or nothing because it is gone.
    switch (stream_wait(&s->stream, s->monitor.fd, SESSION_READ_MS)) {
    case STREAM_READY:
        return session_read_more(s, SESSION_READ_MS) ? SESSION_LINE : SESSION_END;
    case STREAM_OTHER:
        return SESSION_STOPPING;
    case STREAM_TIMEOUT:
        break;
    }
    return SESSION_END;
}

bool session_pause(struct session *s, int ms)
{
    return session_flush(s) &&
           stream_wait_end(&s->stream, s->monitor.fd, ms) == STREAM_TIMEOUT;
}

enum session_line session_read_line(struct session *s, size_t max, struct str *line)
{
    int64_t deadline = os_monotonic_ms() + SESSION_LINE_MS;

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
        if (os_monotonic_ms() > deadline)
            return SESSION_END; // a byte now and then does not keep a session
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
    s->has_client_key = done.has_client_key;
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
    if (has_input(s)) {
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
    // RFC 3207 4.2: what was said in plain is forgotten, an exchange with auth too; and what is known
    // of this TLS comes with a new channel.
    channel_close(&s->auth);
    return true;
}
