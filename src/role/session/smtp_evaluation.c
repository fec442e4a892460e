/*
 * For the reports of DMARC to domains that want to know (mox-smtp-delivery.md 5.3): what the policy came
 * to, told to admin when everything is decided. Nobody waits for it, and it is lost rather than late.
 */
#include "base/log.h"
#include "role/session/smtp_verify.h"
#include "text/idna.h"

static void put_signatures(const struct dmarc_evaluation *ev, struct buf *out)
{
    for (size_t i = 0; i < ev->n_dkim; i++)
        buf_printf(out, "%s %.*s %.*s\n", auth_result_name(ev->dkim[i].result),
                   STR_FMT(ev->dkim[i].domain), STR_FMT(ev->dkim[i].selector));
}

static void put_overrides(const struct dmarc_evaluation *ev, struct buf *out)
{
    for (size_t i = 0; i < ev->n_overrides; i++) {
        if (i)
            BUF_PUT(out, " ");
        buf_put(out, ev->overrides[i]);
    }
}

static struct str ascii_of(struct smtp_session *c, struct str domain)
{
    struct str out;

    return domain.n && domain_to_ascii(&c->a, domain, &out, NULL) ? out : STR("");
}

static bool tell(struct smtp_session *c, const struct dmarc_evaluation *ev, bool is_optional,
                 struct str envelope_to, struct err *e)
{
    AUTO_BUF record = BUF_LIMIT(IPC_MAX_REPORT_TEXT), dkim = BUF_LIMIT(IPC_MAX_REPORT_TEXT);
    AUTO_BUF overrides = BUF_LIMIT(256);

    dmarc_record_put(&record, &ev->published);
    put_signatures(ev, &dkim);
    put_overrides(ev, &overrides);
    if (record.full || dkim.full)
        return fail(e, ERR_LIMIT, "more about a message than is told");
    return session_tell_evaluation(
        c->s, &(struct ipc_dmarc_evaluation){.policy_domain = ev->policy_domain,
                                             .record = buf_str(&record),
                                             .is_optional = is_optional,
                                             .is_rejected = ev->is_rejected,
                                             .is_spf_aligned = ev->is_spf_aligned,
                                             .is_dkim_aligned = ev->is_dkim_aligned,
                                             .overrides = buf_str(&overrides),
                                             .header_from = ev->from,
                                             .envelope_from = ascii_of(c, c->mail.from.domain),
                                             .envelope_to = envelope_to,
                                             .spf_domain = ascii_of(c, ev->spf_domain),
                                             .is_spf_helo = str_eq(ev->spf_scope, STR("helo")),
                                             .spf = str_of(auth_result_name(ev->spf)),
                                             .dkim = buf_str(&dkim)},
        e);
}

void smtp_tell_outcome(struct smtp_session *c, const struct smtp_rcpt *rcpt,
                       const struct smtp_outcome *outcome)
{
    static const char *const names[] = {[DMARC_APPLIED] = "", [DMARC_MAILING_LIST] = "mailing_list",
                                        [DMARC_FORWARDED] = "forwarded"};
    struct smtp_sender *who = c->sender;
    struct dmarc_evaluation ev;
    struct err e = {0};

    if (!who || c->s->start->settings.no_dmarc_reports ||
        !(outcome->is_accepted || outcome->is_dmarc_reject) ||
        !dmarc_evaluation_of(&c->a, &who->dmarc_input, &who->dmarc, str_of(names[outcome->override]),
                             outcome->is_dmarc_reject, &ev))
        return;
    if (!tell(c, &ev, outcome->is_optional, ascii_of(c, rcpt->domain), &e))
        LOG(LOG_DEBUG, "smtpserver", "an evaluation is not told", LOG_E(&e));
}
