/*
 * The Received field of a message (RFC 5321 4.4, mox-smtp-delivery.md 1.9).
 */
#include "os/clock.h"
#include "role/session/smtp.h"
#include "text/date.h"

bool smtp_put_received(struct smtp_session *c, struct buf *out, struct err *e)
{
    AUTO_BUF v = BUF_LIMIT(8192);
    const struct session *s = c->s;
    bool is_ipv6 = str_find(s->conn.local, ':') >= 0;

    BUF_PUT(&v, "from ");
    if (c->is_submission) {
        buf_put(&v, s->port->hostname); // where users are is nobody's business
    } else {
        buf_put(&v, c->hello);
        BUF_PUT(&v, " ([");
        if (str_find(s->conn.remote, ':') >= 0)
            BUF_PUT(&v, "IPv6:");
        buf_put(&v, s->conn.remote);
        BUF_PUT(&v, "])");
    }
    BUF_PUT(&v, " by ");
    buf_put(&v, s->port->hostname);
    buf_put(&v, is_ipv6 ? STR(" ([IPv6:") : STR(" (["));
    buf_put(&v, s->conn.local);
    BUF_PUT(&v, "]) via tcp with ");
    buf_put(&v, c->mail.is_smtputf8 ? STR("UTF8SMTP") : c->is_esmtp ? STR("ESMTP") : STR("SMTP"));
    if (s->is_tls)
        BUF_PUT(&v, "S");
    if (c->is_authed)
        BUF_PUT(&v, "A");
    if (c->mail.require_tls)
        BUF_PUT(&v, " (requiretls)");
    buf_printf(&v, " id %llx", (unsigned long long)s->conn.conn);
    if (s->is_tls && s->tls_version.n) {
        BUF_PUT(&v, " (");
        buf_put(&v, s->tls_version);
        BUF_PUT(&v, " ");
        buf_put(&v, s->tls_cipher);
        BUF_PUT(&v, ")");
    }
    if (c->n_rcpts == 1) {
        BUF_PUT(&v, " for <");
        buf_put(&v, c->rcpts[0].address);
        BUF_PUT(&v, ">");
    }
    BUF_PUT(&v, "; ");
    date_put(&v, (struct date){.unix_seconds = os_now_unix()});
    return header_put(out, STR("Received"), buf_str(&v), e);
}
