/*
 * The Received field of a message (RFC 5321 4.4, mox-smtp-delivery.md 1.9): tokens that header_put
 * folds.
 */
#include "os/clock.h"
#include "role/session/smtp_verify.h"
#include "text/date.h"

static void put_literal(struct buf *out, struct str ip)
{
    buf_put(out, str_find(ip, ':') >= 0 ? STR("[IPv6:") : STR("["));
    buf_put(out, ip);
    BUF_PUT(out, "]");
}

// The name that the address has, when that is not what the client called itself.
static void put_reverse_name(struct buf *out, const struct smtp_session *c)
{
    struct str name = {0};

    if (c->sender && c->sender->iprev.name.n)
        name = c->sender->iprev.name;
    else if (c->sender && c->sender->iprev.n_names)
        name = c->sender->iprev.names[0];
    if (!name.n || str_eq_ci(name, buf_str(&c->hello)) || !smtp_is_hello(name))
        return;
    buf_put(out, name);
    BUF_PUT(out, " ");
}

// RFC 3848, RFC 6531 4.3.
static void put_protocol(struct buf *out, const struct smtp_session *c, bool is_utf8)
{
    buf_put(out, is_utf8 ? STR("UTF8SMTP") : c->is_esmtp ? STR("ESMTP") : STR("SMTP"));
    if (c->s->is_tls)
        BUF_PUT(out, "S");
    if (c->is_authed)
        BUF_PUT(out, "A");
    if (c->mail.require_tls)
        BUF_PUT(out, " (requiretls)");
}

bool smtp_put_received(struct smtp_session *c, const struct smtp_message *m,
                       const struct smtp_rcpt *rcpt, struct buf *out, struct err *e)
{
    AUTO_BUF v = BUF_LIMIT(8192);
    const struct session *s = c->s;

    BUF_PUT(&v, "from ");
    if (c->is_submission) {
        buf_put(&v, s->port->hostname); // where users are is nobody's business
    } else {
        buf_put(&v, buf_str(&c->hello));
        BUF_PUT(&v, " (");
        put_reverse_name(&v, c);
        put_literal(&v, s->conn.remote);
        BUF_PUT(&v, ")");
    }
    BUF_PUT(&v, " by ");
    buf_put(&v, s->port->hostname);
    BUF_PUT(&v, " (");
    put_literal(&v, s->conn.local);
    BUF_PUT(&v, ") via tcp with ");
    put_protocol(&v, c, m->needs_utf8);
    BUF_PUT(&v, " id ");
    buf_put(&v, s->received_id);
    if (s->is_tls && s->tls_version.n) {
        BUF_PUT(&v, " (");
        buf_put(&v, s->tls_version);
        BUF_PUT(&v, " ");
        buf_put(&v, s->tls_cipher);
        BUF_PUT(&v, ")");
    }
    if (rcpt) {
        BUF_PUT(&v, " for <");
        buf_put(&v, rcpt->address);
        BUF_PUT(&v, ">");
    }
    BUF_PUT(&v, "; ");
    date_put_without_weekday(&v, (struct date){.unix_seconds = os_now_unix()});
    return header_put(out, STR("Received"), buf_str(&v), e);
}

void smtp_end_prefix(const struct smtp_message *m, struct buf *out)
{
    if (str_starts(m->header, STR(" ")) || str_starts(m->header, STR("\t")))
        BUF_PUT(out, "X-Mox-Malformed: the header began with:\r\n");
}
