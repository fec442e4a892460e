/*
 * A message: reading it, and what becomes of it.
 */
#include <unistd.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/session/smtp.h"

enum spool { SPOOL_OK, SPOOL_GONE, SPOOL_TOO_LARGE, SPOOL_FAILED };

// Reads to the final dot, whatever happens: else its bytes would be taken for commands.
static enum spool spool(struct smtp_session *c, struct smtp_message *m, struct err *e)
{
    AUTO_BUF piece = BUF_LIMIT(4 * SESSION_BUFFER);
    int64_t deadline = os_monotonic_ms() + SMTP_DATA_MS;
    struct smtp_data d = {0};
    bool is_ok = true;

    while (!d.is_done) {
        struct str in = buf_str(&c->s->in);
        size_t had = in.n;

        smtp_data_feed(&d, &in, &piece);
        session_used(c->s, had - in.n);
        if (d.size > c->s->port->max_message_bytes)
            return SPOOL_TOO_LARGE;
        is_ok = is_ok && os_write_all(m->fd, buf_str(&piece), e);
        buf_reset(&piece);
        if (!d.is_done && (os_monotonic_ms() > deadline ||
                           !session_read_more(c->s, SESSION_READ_MS)))
            return SPOOL_GONE;
    }
    m->size = d.size;
    m->has_8bit = d.has_8bit;
    m->has_smuggling = d.has_smuggling;
    return is_ok && os_memfile_seal(m->fd, e) ? SPOOL_OK : SPOOL_FAILED;
}

// The header block at the start of the message.
static bool read_header(struct smtp_session *c, struct smtp_message *m, struct err *e)
{
    size_t n = m->size < SMTP_HEADER_LOOK ? (size_t)m->size : SMTP_HEADER_LOOK;
    char *p = arena_alloc(&c->a, n + 1);
    ssize_t got = pread(m->fd, p, n, 0);
    ptrdiff_t end;

    if (got < 0 || (size_t)got != n)
        return fail_errno(e, "reading the message back");
    m->header = str_at(p, n);
    if (str_starts(m->header, STR("\r\n"))) {
        m->header = STR("");
        m->has_separator = true;
        return true;
    }
    end = str_find_str(m->header, STR("\r\n\r\n"));
    m->has_separator = end >= 0 || m->size > n;
    if (end >= 0)
        m->header = str_sub(m->header, 0, (size_t)end + 2);
    return true;
}

void smtp_put_random_name(struct buf *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char bytes[22];

    os_random(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        buf_put_char(out, alphabet[bytes[i] % 64]);
}

void smtp_accepted(struct smtp_session *c)
{
    c->good++;
    c->bad--;
    SMTP_REPLY(c, 250, "2.2.0", "it is done");
}

static void handle(struct smtp_session *c, struct smtp_message *m, struct err *e)
{
    AUTO_BUF id = BUF_LIMIT(64);

    smtp_put_random_name(&id);
    m->id = arena_dup(&c->a, buf_str(&id));
    if (m->has_smuggling) {
        // RFC 5321 2.3.8: others may have seen the end of the message elsewhere than we did.
        SMTP_REPLY(c, 500, "5.5.2", "bare CR, or a dot line that is not ended by CR LF");
        return;
    }
    if (!read_header(c, m, e)) {
        LOG(LOG_ERROR, "smtpserver", "reading a message back", LOG_E(e));
        SMTP_REPLY(c, 451, "4.3.0", "temporary failure, try again later");
        return;
    }
    if (c->is_submission)
        smtp_submit(c, m);
    else
        smtp_deliver(c, m);
}

void smtp_data(struct smtp_session *c)
{
    struct err e = {0};
    struct smtp_message m = {.fd = os_memfile("message", &e)};
    uint64_t limit = c->s->port->max_message_bytes;

    if (m.fd < 0) {
        LOG(LOG_ERROR, "smtpserver", "no room for a message", LOG_E(&e));
        SMTP_REPLY(c, 451, "4.3.0", "temporary failure, try again later");
        return;
    }
    smtp_reply_put(&c->s->out, 354, STR(""), STR("see you at the bare dot"));
    if (!session_flush(c->s)) {
        c->is_ending = true;
    } else {
        c->bad++; // until it turns out well
        switch (spool(c, &m, &e)) {
        case SPOOL_OK:
            handle(c, &m, &e);
            break;
        case SPOOL_TOO_LARGE:
            smtp_reply(c, 451, limit < 104857600 ? "4.2.3" : "4.3.4", STR("message too large"));
            c->is_ending = true;
            break;
        case SPOOL_FAILED:
            LOG(LOG_ERROR, "smtpserver", "storing a message", LOG_E(&e));
            SMTP_REPLY(c, 452, "4.3.1", "no room for the message now, try again later");
            break;
        case SPOOL_GONE:
            c->is_ending = true;
            break;
        }
    }
    fd_close(&m.fd);
    smtp_reset(c);
}
