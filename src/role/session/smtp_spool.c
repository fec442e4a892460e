/*
 * The bytes of a message on their way into its memory file, and the end of them.
 */
#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/session/smtp.h"

bool smtp_spool_open(struct smtp_session *c)
{
    struct err e = {0};

    c->spool = (struct smtp_spool){.fd = os_memfile("message", &e),
                                   .deadline_ms = os_monotonic_ms() + SMTP_DATA_MS};
    if (c->spool.fd >= 0)
        return true;
    LOG(LOG_ERROR, smtp_package(c), "no room for a message", LOG_E(&e));
    SMTP_REPLY(c, 451, "4.3.0", "temporary failure, try again later");
    return false;
}

void smtp_spool_close(struct smtp_spool *p)
{
    fd_close(&p->fd);
    *p = (struct smtp_spool){.fd = -1};
}

void smtp_spool_write(struct smtp_spool *p, struct str bytes)
{
    if (p->has_failed)
        return;
    p->has_failed = !os_write_all(p->fd, bytes, &p->why);
    p->size += bytes.n;
}

bool smtp_read_message(struct smtp_session *c, int64_t deadline_ms)
{
    int64_t left = deadline_ms - os_monotonic_ms();

    // mox-smtp-delivery.md 1.2: each read has its time, and all of them together have theirs.
    return left > 0 && session_flush(c->s) &&
           session_read_more(c->s, left < SESSION_READ_MS ? (int)left : SESSION_READ_MS);
}

void smtp_accepted(struct smtp_session *c)
{
    c->good++;
    c->bad--;
    SMTP_REPLY(c, 250, "2.2.0", "it is done");
}

static void take(struct smtp_session *c)
{
    struct smtp_spool *p = &c->spool;
    AUTO_BUF id = BUF_LIMIT(64);
    struct smtp_message m = {.fd = p->fd, .size = p->size,
                             .is_binary = c->mail.body == SMTP_BODY_BINARYMIME};
    struct err e = {0};

    m.has_8bit = m.is_binary || p->text.has_8bit;
    os_random_name(&id);
    m.id = arena_dup(&c->a, buf_str(&id));
    if (p->has_failed || !os_memfile_seal(p->fd, &p->why)) {
        LOG(LOG_ERROR, smtp_package(c), "storing a message", LOG_E(&p->why));
        SMTP_REPLY(c, 452, "4.3.1", "no room for the message now, try again later");
    } else if (p->text.has_smuggling) {
        // RFC 5321 2.3.8: others may have seen the end of the message elsewhere than we did.
        SMTP_REPLY(c, 500, "5.5.2", "bare CR, or a dot line that is not ended by CR LF");
    } else if (smtp_check_message(c, &m)) {
        if (!c->is_submission)
            smtp_deliver(c, &m);
        else if (!smtp_drop_claims(c, &m, &e))
            smtp_reply_broken(c, "removing fields", &e);
        else
            smtp_submit(c, &m);
    }
}

void smtp_message_end(struct smtp_session *c)
{
    c->bad++; // until it turns out well
    take(c);
    smtp_reset(c);
}
