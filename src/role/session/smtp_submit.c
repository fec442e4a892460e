/*
 * A message that a user submits: checked, completed, and given to the queue
 * (mox-smtp-delivery.md 1.10).
 */
#include "base/log.h"
#include "os/clock.h"
#include "role/session/smtp.h"
#include "text/date.h"

static bool check_from(struct smtp_session *c, const struct smtp_message *m)
{
    struct session *s = c->s;
    struct address_list from;
    struct header_field field;
    struct ipc_from_reply r;
    struct err e = {0};

    if (header_count(m->header, STR("From")) != 1 ||
        !header_find(m->header, STR("From"), &field)) {
        SMTP_REPLY(c, 550, "5.6.0", "a message has exactly one From header");
        return false;
    }
    address_parse_list(&c->a, field.value, &from);
    if (from.n != 1) {
        SMTP_REPLY(c, 550, "5.6.0", "the From header has exactly one address");
        return false;
    }
    if (!IPC_SEND(&s->auth, from_check, NULL, 0, &e, .localpart = from.items[0].localpart,
                  .domain = from.items[0].domain) ||
        !channel_expect(&s->auth, IPC_from_reply, s->packet, SESSION_IPC_TIMEOUT_MS, &e) ||
        !ipc_from_reply_get(s->packet->body, &r, &e)) {
        LOG(LOG_ERROR, "submission", "asking auth", LOG_E(&e));
        SMTP_REPLY(c, 451, "4.3.0", "cannot check the From address now, try again later");
        c->is_ending = true;
        return false;
    }
    if (r.outcome != IPC_OK)
        SMTP_REPLY(c, 550, "5.7.1", "the From address is not one of your account");
    return r.outcome == IPC_OK;
}

// Fields that a message must have and this one lacks.
static bool put_missing(struct smtp_session *c, const struct smtp_message *m, struct buf *out,
                        struct err *e)
{
    AUTO_BUF id = BUF_LIMIT(1024);
    AUTO_BUF date = BUF_LIMIT(128);

    if (!header_count(m->header, STR("Message-Id"))) {
        BUF_PUT(&id, "<");
        smtp_put_random_name(&id);
        BUF_PUT(&id, "@");
        buf_put(&id, c->s->port->hostname);
        BUF_PUT(&id, ">");
        if (!header_put(out, STR("Message-Id"), buf_str(&id), e))
            return false;
    }
    date_put(&date, (struct date){.unix_seconds = os_now_unix()});
    return header_count(m->header, STR("Date")) || header_put(out, STR("Date"), buf_str(&date), e);
}

static bool wants_no_tls(const struct smtp_message *m)
{
    struct header_field field;

    return header_count(m->header, STR("TLS-Required")) == 1 &&
           header_find(m->header, STR("TLS-Required"), &field) &&
           str_eq_ci(str_trim(field.value), STR("no"));
}

// To the queue, which answers when it is stored. rcpts: those that are not marked as done.
bool smtp_enqueue(struct smtp_session *c, const struct smtp_message *m, struct str prefix,
                    const bool *is_done, struct ipc_verdict *v, struct err *e)
{
    struct session *s = c->s;
    uint32_t n = 0;

    for (size_t i = 0; i < c->n_rcpts; i++)
        n += !is_done || !is_done[i];
    if (!session_grant(s, IPC_SERVICE_QUEUE, &s->queue, ROLE_QUEUE, e) ||
        !IPC_SEND(&s->queue, submit, NULL, 0, e, .reverse_path = c->reverse_path, .recipients = n,
                  .is_8bit = m->has_8bit, .is_smtputf8 = c->mail.is_smtputf8,
                  .require_tls = c->mail.require_tls ? 1 : wants_no_tls(m) ? 2 : 0,
                  .prefix = prefix))
        return false;
    for (size_t i = 0; i < c->n_rcpts; i++)
        if ((!is_done || !is_done[i]) &&
            !IPC_SEND(&s->queue, submit_rcpt, NULL, 0, e, .address = c->rcpts[i].address))
            return false;
    return IPC_SEND(&s->queue, submit_data, &m->fd, 1, e, .size = m->size) &&
           channel_expect(&s->queue, IPC_verdict, s->packet, SESSION_DELIVERY_TIMEOUT_MS, e) &&
           ipc_verdict_get(s->packet->body, v, e);
}

void smtp_submit(struct smtp_session *c, const struct smtp_message *m)
{
    AUTO_BUF prefix = BUF_LIMIT(IPC_MAX_PREFIX);
    struct ipc_verdict v;
    struct err e = {0};

    if (!m->has_separator) {
        SMTP_REPLY(c, 554, "5.6.0", "no blank line between header and body");
        return;
    }
    if (!check_from(c, m))
        return;
    if (!smtp_put_received(c, &prefix, &e) || !put_missing(c, m, &prefix, &e) ||
        !smtp_enqueue(c, m, buf_str(&prefix), NULL, &v, &e)) {
        LOG(LOG_ERROR, "submission", "queueing a message", LOG_E(&e));
        SMTP_REPLY(c, 451, "4.3.0", "the message cannot be queued now, try again later");
        c->is_ending = true; // what the queue says later could no longer be told apart
        return;
    }
    if (v.code == 250)
        smtp_accepted(c);
    else
        smtp_reply(c, v.code, v.code >= 500 ? "5.3.0" : "4.3.0", v.text);
}
