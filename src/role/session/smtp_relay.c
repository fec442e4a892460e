/*
 * A message that the configuration passes on to other servers: to the members that a list has there, or back
 * to whom a report is for (policy/srs.h). What may be passed on where, auth has told the queue.
 */
#include "base/log.h"
#include "role/session/smtp_verify.h"

// Whether we have passed it on to the same list before: who forwards to us in a circle sends it back as
// it got it (Received alone would stop it after a hundred rounds).
static bool was_here(const struct smtp_message *m, const struct smtp_rcpt *rcpt)
{
    struct cur c = cur_of(m->header);
    struct header_field field;

    while (header_next(&c, &field))
        if (str_eq_ci(field.name, STR("Delivered-To")) &&
            str_eq_ci(str_trim(field.value), rcpt->address))
            return true;
    return false;
}

// What no mailbox here judges is not passed on when its sender's domain asks that it be refused, or the
// client is on a block list: others would hold it against us.
static bool is_unwanted(const struct smtp_sender *who)
{
    const struct ipc_findings *f = &who->findings;

    return f->dnsbl_zones.n || (f->dmarc == FINDING_FAIL && f->dmarc_wish != DMARC_WISH_NONE &&
                                f->is_dmarc_sampled);
}

bool smtp_may_relay(const struct smtp_session *c, const struct smtp_message *m,
                    const struct smtp_rcpt *rcpt, struct smtp_refusal *why)
{
    if (was_here(m, rcpt))
        *why = (struct smtp_refusal){550, "5.4.6", STR("this message has been passed on here before")};
    else if (!rcpt->n_grants && c->sender && is_unwanted(c->sender))
        *why = (struct smtp_refusal){550, "5.7.1", STR("what its sender is known for forbids to pass this on")};
    else
        return true;
    return false;
}

static bool put_prefix(struct smtp_session *c, const struct smtp_message *m,
                       const struct smtp_rcpt *rcpt, struct buf *out, struct err *e)
{
    BUF_PUT(out, "Delivered-To: ");
    buf_put(out, rcpt->address);
    BUF_PUT(out, "\r\n");
    if (c->sender)
        buf_put(out, c->sender->fields);
    if (!smtp_put_received(c, m, rcpt, out, e))
        return false;
    smtp_end_prefix(m, out);
    return true;
}

bool smtp_relay(struct smtp_session *c, const struct smtp_message *m, const struct smtp_rcpt *rcpt,
                struct err *e)
{
    struct ipc_submit_rcpt *to = ARENA_ARRAY(&c->a, rcpt->n_relays, struct ipc_submit_rcpt);
    AUTO_BUF prefix = BUF_LIMIT(IPC_MAX_PREFIX);
    struct ipc_verdict v;

    for (uint32_t i = 0; i < rcpt->n_relays; i++)
        to[i] = (struct ipc_submit_rcpt){.relay = rcpt->relay + i};
    if (!put_prefix(c, m, rcpt, &prefix, e) ||
        !smtp_enqueue(c, m, buf_str(&prefix), to, rcpt->n_relays, &v, e))
        return false;
    LOG(LOG_INFO, "smtpserver", "message passed on", LOG_S("to", rcpt->address),
        LOG_N("addresses", rcpt->n_relays));
    return v.code == 250 || fail(e, ERR_TEMPORARY, "%.*s", STR_FMT(v.text));
}
