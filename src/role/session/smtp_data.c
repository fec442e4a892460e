/*
 * DATA (RFC 5321 4.1.1.4).
 */
#include "os/clock.h"
#include "role/session/smtp.h"

static void too_large(struct smtp_session *c)
{
    smtp_reply(c, 451, c->s->port->max_message_bytes < SMTP_USUAL_SIZE ? "4.2.3" : "4.3.4",
               STR("message too large"));
    c->is_ending = true;
}

// Reads to the final dot, whatever happens: else its bytes would be taken for commands.
static void receive(struct smtp_session *c)
{
    AUTO_BUF piece = BUF_LIMIT(4 * SESSION_BUFFER);
    struct smtp_spool *p = &c->spool;

    while (!p->text.is_done) {
        struct str in = str_sub(buf_str(&c->s->in), 0, SESSION_BUFFER);
        size_t had = in.n;

        if (!had && !smtp_read_message(c, p->deadline_ms)) {
            c->is_ending = true;
            return;
        }
        smtp_data_feed(&p->text, &in, &piece);
        session_used(c->s, had - in.n);
        p->received = p->text.size - p->text.added;
        if (p->received > c->s->port->max_message_bytes) {
            too_large(c);
            return;
        }
        smtp_spool_write(p, buf_str(&piece));
        buf_reset(&piece);
    }
    smtp_message_end(c);
}

void smtp_cmd_data(struct smtp_session *c, const struct smtp_command *cmd)
{
    if (!smtp_has_no_argument(c, cmd))
        return;
    if (!c->has_mail)
        SMTP_REPLY(c, 503, "5.5.1", "MAIL comes before DATA");
    else if (!c->n_rcpts)
        SMTP_REPLY(c, 554, "5.5.1", "no valid recipients");
    else if (c->spool.fd >= 0) // RFC 3030 2
        SMTP_REPLY(c, 503, "5.5.1", "the message has begun with BDAT");
    else if (c->mail.body == SMTP_BODY_BINARYMIME) // RFC 3030 3
        SMTP_REPLY(c, 503, "5.5.1", "BODY=BINARYMIME needs BDAT");
    else if (smtp_spool_open(c)) {
        smtp_reply_put(&c->s->out, 354, STR(""), STR("see you at the bare dot"));
        receive(c);
    }
}
