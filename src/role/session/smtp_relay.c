/*
 * A message that the configuration passes on to other servers: to the members that a list has there, or back
 * to whom a report is for (policy/srs.h). What may be passed on where, auth has told the queue.
 */
#include "base/log.h"
#include "os/clock.h"
#include "policy/psl.h"
#include "role/session/smtp_verify.h"
#include "text/idna.h"

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

// Our results, of the field that was written for them, on one line.
static struct str results_of(struct smtp_session *c)
{
    struct header_field field;

    return c->sender && header_find(c->sender->fields, STR("Authentication-Results"), &field)
               ? header_unfold(&c->a, field.value)
               : STR("");
}

static bool make_seal(struct smtp_session *c, const struct smtp_message *m,
                      const struct dkim_selector *s, struct buf *out, struct err *e)
{
    struct dkim_policy policy = {.now_unix = os_now_unix(), .is_public_suffix = psl_is_suffix};
    struct arc_sealer sealer = {.domain = s->domain, .selector = s->name, .signer = s->signer,
                                .headers = dkim_default_headers, .n_headers = dkim_n_default_headers};
    struct dkim_header *header = dkim_header_parse(&c->a, m->header, e);
    struct dkim_bodies *bodies;
    struct dns dns = session_dns(c->s);
    struct arc_chain chain;
    bool is_ok;

    if (!header)
        return false;
    // The chain once more, since fields above it may have been taken out of the message; its keys are known.
    bodies = dkim_bodies_new();
    arc_verify_begin(&c->a, header, &policy, &dns, bodies, &chain);
    arc_seal_begin(bodies);
    is_ok = smtp_feed_body(m, bodies, &c->a) || fail(e, ERR_TEMPORARY, "reading a message back");
    dkim_bodies_end(bodies);
    arc_verify_end(&chain);
    is_ok = is_ok && arc_seal_end(header, &chain, &sealer, results_of(c), os_now_unix(), bodies, out, e);
    dkim_bodies_free(bodies);
    return is_ok;
}

// RFC 8617 knows the algorithms of RFC 6376 and 8301: RSA where there is one.
static const struct dkim_selector *sealing_one(const struct dkim_selector *selectors, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (selectors[i].signer.algorithm == DKIM_RSA_SHA256)
            return &selectors[i];
    return &selectors[0];
}

/*
 * RFC 8617: what we found out about the sender, for those who believe us, with a key of the list's
 * domain. Without one, or when the chain cannot be made longer, the message goes on as it is.
 */
static void seal(struct smtp_session *c, const struct smtp_message *m, const struct smtp_rcpt *rcpt,
                 struct buf *out)
{
    AUTO_BUF set = BUF_LIMIT(IPC_MAX_PREFIX / 2);
    struct dkim_selector *selectors;
    struct err e = {0};
    struct str domain;
    size_t n;

    if (!results_of(c).n || m->header.n >= SMTP_HEADER_LOOK || !domain_to_ascii(&c->a, rcpt->domain, &domain, &e))
        return;
    if (session_selectors(c->s, &c->a, domain, &selectors, &n, &e) &&
        (!n || make_seal(c, m, sealing_one(selectors, n), &set, &e)))
        buf_put(out, buf_str(&set));
    else
        LOG(LOG_INFO, "smtpserver", "a message is passed on without a seal", LOG_E(&e));
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
    seal(c, m, rcpt, out);
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
