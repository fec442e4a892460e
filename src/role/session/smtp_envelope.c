/*
 * The envelope: MAIL and RCPT (RFC 5321 3.3).
 */
#include "base/log.h"
#include "role/session/smtp.h"

static bool may_send_as(struct smtp_session *c, struct str localpart, struct str domain,
                        bool *is_allowed, struct err *e)
{
    struct session *s = c->s;
    struct ipc_from_reply r;

    if (!session_grant(s, IPC_SERVICE_AUTH, &s->auth, ROLE_AUTH, e) ||
        !IPC_SEND(&s->auth, from_check, NULL, 0, e, .localpart = localpart, .domain = domain) ||
        !channel_expect(&s->auth, IPC_from_reply, s->packet, SESSION_IPC_TIMEOUT_MS, e) ||
        !ipc_from_reply_get(s->packet->body, &r, e))
        return false;
    *is_allowed = r.outcome == IPC_OK;
    return true;
}

static bool check_sender(struct smtp_session *c, const struct smtp_mail *m)
{
    bool is_literal = str_starts(m->from.domain, STR("["));
    bool is_null = !m->from.localpart.n && !m->from.domain.n, is_allowed = true;
    struct err e = {0};

    if (is_literal) {
        smtp_reply(c, 550, c->is_submission ? "5.7.1" : "5.7.0",
                   STR("address literals are not accepted as sender"));
        return false;
    }
    if (!c->is_submission || is_null)
        return true;
    if (!may_send_as(c, m->from.localpart, m->from.domain, &is_allowed, &e)) {
        LOG(LOG_ERROR, smtp_package(c), "asking auth", LOG_E(&e));
        SMTP_REPLY(c, 451, "4.3.0", "cannot check the sender now, try again later");
        c->is_ending = true;
        return false;
    }
    if (!is_allowed)
        SMTP_REPLY(c, 550, "5.7.1", "that is not an address of your account");
    return is_allowed;
}

// A line that does not parse, as a reply. utf8_code: for an address that needs SMTPUTF8.
static void refuse_syntax(struct smtp_session *c, const struct err *e, unsigned utf8_code)
{
    if (e->kind == ERR_DENIED)
        smtp_reply(c, utf8_code, "5.6.7", str_of(e->text));
    else
        smtp_reply(c, e->kind == ERR_NOT_FOUND ? 555 : 501,
                   e->kind == ERR_NOT_FOUND ? "5.3.3" : "5.5.2", str_of(e->text));
}

static bool is_utf8_needed(const struct smtp_address *a)
{
    return !str_is_ascii(a->localpart) || !str_is_ascii(a->domain);
}

/* RFC 5321 3.3, 4.1.1.2. */
void smtp_cmd_mail(struct smtp_session *c, const struct smtp_command *cmd)
{
    const struct ipc_listener *port = c->s->port;
    AUTO_BUF path = BUF_LIMIT(4096);
    struct err e = {0};
    struct smtp_mail m;

    if (c->is_submission && !c->is_authed)
        SMTP_REPLY(c, 530, "5.7.0", "authentication required");
    else if (c->has_mail)
        SMTP_REPLY(c, 503, "5.5.1", "a transaction is open already");
    else if (c->bad > SMTP_MAX_BAD && !c->good) {
        SMTP_REPLY(c, 550, "5.1.0", "too many failed messages");
        c->is_ending = true;
    } else if (!smtp_parse_mail(&c->a, cmd->argument, &m, &e))
        refuse_syntax(c, &e, 550);
    else if (m.size > port->max_message_bytes)
        smtp_reply(c, 552, port->max_message_bytes < 104857600 ? "5.2.3" : "5.3.4",
                   STR("message too large"));
    else if (is_utf8_needed(&m.from) && !m.is_smtputf8)
        SMTP_REPLY(c, 550, "5.6.7", "an address with these letters needs SMTPUTF8");
    else if (m.require_tls && port->no_requiretls_extension)
        SMTP_REPLY(c, 555, "5.3.3", "REQUIRETLS is not offered");
    else if (m.require_tls && !c->s->is_tls)
        SMTP_REPLY(c, 523, "5.7.10", "REQUIRETLS needs TLS");
    else if (check_sender(c, &m)) {
        smtp_address_put(&path, &m.from);
        c->mail = m;
        c->reverse_path = arena_dup(&c->a, buf_str(&path));
        c->has_mail = true;
        SMTP_REPLY(c, 250, "2.1.0", "looking good");
    }
}

static bool check_rcpt(struct smtp_session *c, const struct smtp_address *to,
                       struct ipc_rcpt_reply *r, struct err *e)
{
    struct session *s = c->s;

    return session_grant(s, IPC_SERVICE_AUTH, &s->auth, ROLE_AUTH, e) &&
           IPC_SEND(&s->auth, rcpt_check, NULL, 0, e, .localpart = to->localpart,
                    .domain = to->domain) &&
           channel_expect(&s->auth, IPC_rcpt_reply, s->packet, SESSION_IPC_TIMEOUT_MS, e) &&
           ipc_rcpt_reply_get(s->packet->body, r, e);
}

static void add_rcpt(struct smtp_session *c, const struct smtp_address *to)
{
    AUTO_BUF path = BUF_LIMIT(4096);
    char enhanced[17] = {0};
    struct ipc_rcpt_reply r;
    struct err e = {0};

    if (!check_rcpt(c, to, &r, &e)) {
        LOG(LOG_ERROR, smtp_package(c), "asking auth", LOG_E(&e));
        SMTP_REPLY(c, 451, "4.3.0", "cannot check the recipient now, try again later");
        c->is_ending = true;
        return;
    }
    for (size_t i = 0; i < r.enhanced.n && i < sizeof enhanced - 1; i++)
        enhanced[i] = r.enhanced.p[i];
    if (r.code == 250) {
        smtp_address_put(&path, to);
        *ARENA_PUSH(&c->a, c->rcpts, &c->n_rcpts, &c->cap_rcpts) =
            (struct smtp_rcpt){arena_dup(&c->a, buf_str(&path)), r.grant, r.n_grants};
        SMTP_REPLY(c, 250, "2.1.0", "now on the list");
    } else {
        smtp_reply(c, r.code, enhanced, r.text);
    }
}

/* RFC 5321 3.3, 4.1.1.3. */
void smtp_cmd_rcpt(struct smtp_session *c, const struct smtp_command *cmd)
{
    bool is_null = !c->reverse_path.n;
    struct smtp_address to;
    struct err e = {0};

    if (!c->has_mail)
        SMTP_REPLY(c, 503, "5.5.1", "MAIL comes before RCPT");
    else if (!smtp_parse_rcpt(&c->a, cmd->argument, &to, &e))
        refuse_syntax(c, &e, 553);
    else if (c->n_rcpts >= SMTP_MAX_RCPT)
        SMTP_REPLY(c, 452, "4.5.3", "at most 1000 recipients");
    else if (!c->is_submission && is_null && c->n_rcpts)
        SMTP_REPLY(c, 452, "4.5.3", "one recipient for a message without sender");
    else if (!c->is_submission && c->s->port->require_tls && !c->s->is_tls)
        SMTP_REPLY(c, 530, "5.7.0", "STARTTLS is required");
    else if (is_utf8_needed(&to) && !c->mail.is_smtputf8)
        SMTP_REPLY(c, 553, "5.6.7", "an address with these letters needs SMTPUTF8");
    else if (!c->is_submission && str_starts(to.domain, STR("[")))
        SMTP_REPLY(c, 550, "5.1.1", "address literals are not served");
    else
        add_rcpt(c, &to);
}
