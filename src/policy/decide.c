#include "policy/decide.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/ip.h"
#include "message/header.h"
#include "policy/decide_priv.h"
#include "policy/subjectpass.h"
#include "policy/why.h"

enum { MAX_EVIDENCE = 500, MAX_WHY = 16 * 1024, MAX_DETAILS = 800, MAX_RECIPIENT_FIELD = 64 * 1024 };

static const char refusal[] = "the message cannot be taken now, try again later";

void decide_note(struct decide *d, const char *check, struct str result, const char *evidence, ...)
{
    char text[MAX_EVIDENCE];
    va_list args;
    int n;

    va_start(args, evidence);
    n = vsnprintf(text, sizeof text, evidence, args);
    va_end(args);
    if (n < 0)
        n = 0;
    why_put(&d->why, str_of(check), result,
            str_at(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
    if (d->details.n + (size_t)n < MAX_DETAILS - 100)
        buf_printf(&d->details, "; %s %.*s%s%.*s", check, STR_FMT(result), n ? ": " : "",
                   n < (int)sizeof text ? n : (int)sizeof text - 1, text);
}

/* --- limits (step 1) ---------------------------------------------------------------------------- */

static const struct {
    uint64_t minute_messages, day_messages, minute_bytes, day_bytes;
} limits[DECIDE_NETWORKS] = {
    {500, 10000, 1000ull << 20, 3000ull << 20},
    {1500, 30000, 3000ull << 20, 9000ull << 20},
    {4500, 90000, 9000ull << 20, 27000ull << 20},
};

void decide_networks(struct arena *a, struct str text, struct str out[DECIDE_NETWORKS])
{
    static const unsigned bits4[] = {32, 26, 21}, bits6[] = {64, 48, 32};
    struct ip ip;

    for (size_t i = 0; i < DECIDE_NETWORKS; i++)
        out[i] = (struct str){0};
    if (!ip_parse(text, &ip))
        return;
    for (size_t i = 0; i < DECIDE_NETWORKS; i++) {
        unsigned bits = ip.family == 4 ? bits4[i] : bits6[i];
        AUTO_BUF name = BUF_LIMIT(64);
        struct ip network = ip;

        for (unsigned k = 0; k < (ip.family == 4 ? 4u : 16u); k++)
            if (8 * k >= bits)
                network.bytes[k] = 0;
            else if (8 * k + 8 > bits)
                network.bytes[k] &= (unsigned char)(0xff << (8 - (bits - 8 * k)));
        ip_put(&name, &network);
        buf_printf(&name, "/%u", bits);
        out[i] = arena_dup(a, buf_str(&name));
    }
}

static bool is_within_limits(struct decide *d, bool *out, struct err *e)
{
    *out = true;
    for (size_t i = 0; i < DECIDE_NETWORKS && *out; i++) {
        struct decide_traffic t;

        if (!d->networks[i].n)
            continue;
        if (!d->source->traffic(d->source->ctx, d->networks[i], d->m->now_unix, &t, e))
            return false;
        *out = t.minute_messages < limits[i].minute_messages &&
               t.day_messages < limits[i].day_messages &&
               t.minute_bytes + d->m->size <= limits[i].minute_bytes &&
               t.day_bytes + d->m->size <= limits[i].day_bytes;
        if (!*out)
            decide_note(d, "rate", d->networks[i],
                        "%llu messages in a minute, %llu in a day, %llu and %llu bytes",
                        (unsigned long long)t.minute_messages, (unsigned long long)t.day_messages,
                        (unsigned long long)t.minute_bytes, (unsigned long long)t.day_bytes);
    }
    return true;
}

/* --- outcomes ----------------------------------------------------------------------------------- */

static void accept(struct decide *d, const char *reason)
{
    d->out->is_accepted = true;
    d->out->code = 250;
    d->out->enhanced = "2.0.0";
    d->out->text = STR("");
    d->out->reason = str_of(reason);
}

static void refuse(struct decide *d, const char *reason, unsigned code, const char *enhanced,
                   struct str text)
{
    d->out->is_accepted = false;
    d->out->code = code;
    d->out->enhanced = enhanced;
    d->out->text = text;
    d->out->reason = str_of(reason);
    d->out->is_slow = true;
}

static void refuse_for_now(struct decide *d, const char *reason)
{
    refuse(d, reason, 451, "4.3.0", str_of(refusal));
}

static void broken(struct decide *d, const char *reason, const struct err *e)
{
    decide_note(d, reason, STR("error"), "%s", e->text);
    refuse_for_now(d, reason);
    d->out->is_slow = false; // ours is the fault
}

/* --- content (steps 14 to 18) -------------------------------------------------------------------- */

// Whether the recipient stands in To or Cc: whoever sends to many usually leaves that out.
static bool is_addressed(const struct decide *d)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct cur c = cur_of(d->m->header);
    struct address rcpt;
    struct header_field f;

    if (!address_parse_spec(&a, d->m->rcpt, &rcpt) || !rcpt.localpart.n)
        return true;
    while (header_next(&c, &f)) {
        struct address_list list = {0};

        if (!str_eq_ci(f.name, STR("To")) && !str_eq_ci(f.name, STR("Cc")))
            continue;
        address_parse_list(&a, str_sub(f.value, 0, MAX_RECIPIENT_FIELD), &list);
        for (size_t i = 0; i < list.n; i++)
            if (str_eq(list.items[i].localpart, rcpt.localpart) &&
                str_eq_ci(list.items[i].domain, rcpt.domain))
                return true;
    }
    return false;
}

enum { STRICT_PERCENT = 25 };

struct content {
    bool is_refused, is_moderate; // not far from the threshold: a person may get through by a token
    const char *reason;
};

// Step 15. False with an error, and the reason for it.
static bool judge_content(struct decide *d, bool is_iprev_suspicious, struct content *out,
                          struct err *e)
{
    const double strict = STRICT_PERCENT / 100.0;
    double threshold = d->account->junk_threshold + d->m->jitter;
    const char *why = "";
    struct decide_junk junk = {0};

    *out = (struct content){.reason = "junk-content"};
    if (!d->account->has_junk_filter || !d->source->junk)
        return true;
    if (threshold > strict) {
        if (is_iprev_suspicious)
            why = ", strict: suspicious reverse name";
        else if (!d->m->found.is_tls)
            why = ", strict: no TLS";
        else if (!d->out->is_forward && !is_addressed(d))
            why = ", strict: recipient is not in To or Cc";
        if (*why) {
            threshold = strict;
            out->reason = "junk-content-strict";
        }
    }
    if (!d->source->junk(d->source->ctx, d->a, &junk, e)) {
        out->reason = junk.is_closed ? "junk-filter-error" : "junk-classify-error";
        return false;
    }
    out->is_refused = junk.probability > threshold && (junk.is_significant || is_iprev_suspicious);
    out->is_moderate = junk.probability < threshold - 0.2;
    decide_note(d, "junk-filter", out->is_refused ? STR("junk") : STR("pass"),
                "%.2f of %.2f%s%s; %.*s", junk.probability, threshold, why,
                junk.is_significant ? "" : ", not significant", STR_FMT(junk.words));
    return true;
}

static bool has_token(struct decide *d, bool *out, struct err *e)
{
    struct header_field subject;
    struct str key;

    *out = false;
    if (!d->account->subjectpass_seconds || !d->from.n ||
        !header_find(d->m->header, STR("Subject"), &subject) ||
        str_find_str(subject.value, STR("(pass:")) < 0)
        return true;
    if (!d->source->subjectpass_key(d->source->ctx, d->a, d->m->address, &key, e))
        return false;
    *out = subjectpass_verify(subject.value, key, d->from, d->m->now_unix,
                              d->account->subjectpass_seconds);
    d->out->token = *out ? DECIDE_TOKEN_VALID : DECIDE_TOKEN_INVALID;
    decide_note(d, "subjectpass", *out ? STR("valid") : STR("invalid"), "%s", "");
    return true;
}

// Step 18: a sender whom nobody knows and who is proved gets a way through.
static bool give_token(struct decide *d, bool *given, struct err *e)
{
    struct str key;

    *given = false;
    if (!d->account->subjectpass_seconds || !d->from.n)
        return true;
    if (!d->source->subjectpass_key(d->source->ctx, d->a, d->m->address, &key, e))
        return false;
    refuse(d, "give-subjectpass", 550, "5.7.1",
           arena_printf(d->a, "your message looks like junk mail; if it is not, send it again with %.*s "
                        "in its subject", STR_FMT(subjectpass_token(d->a, key, d->from,
                                                                    d->m->now_unix))));
    *given = true;
    return true;
}

static bool is_little_known(const struct reputation *r)
{
    static const char *const methods[] = {"dkimspf", "ip1", "ip2", "ip3", "none"};

    for (size_t i = 0; i < COUNT(methods); i++)
        if (str_eq(str_of(r->method), str_of(methods[i])))
            return true;
    return false;
}

// Steps 12 to 19: nothing conclusive is known of the sender.
static void decide_by_content(struct decide *d, const struct reputation *r)
{
    const struct decide_findings *f = &d->m->found;
    bool is_suspicious = false, is_listed = false, has_valid_token, is_given;
    struct content content;
    struct err e = {0};

    if (is_little_known(r)) {
        if (f->spf_mail_from == FINDING_FAIL || f->spf_mail_from == FINDING_SOFTFAIL) {
            decide_note(d, "spf", f->spf_mail_from == FINDING_FAIL ? STR("fail") : STR("softfail"),
                        "%.*s", STR_FMT(f->mail_from_domain));
            refuse_for_now(d, "spf-policy");
            return;
        }
        is_suspicious = f->iprev != FINDING_PASS;
        decide_note(d, "iprev", is_suspicious ? STR("suspicious") : STR("pass"), "%.*s",
                    STR_FMT(f->iprev_name));
        if (is_suspicious && r->opinion == OPINION_JUNK) {
            refuse_for_now(d, "iprev");
            return;
        }
    }
    if (!has_token(d, &has_valid_token, &e)) {
        broken(d, "subjectpass-error", &e);
        return;
    }
    if (has_valid_token) {
        accept(d, "subjectpass");
        return;
    }
    if (!judge_content(d, is_suspicious, &content, &e)) {
        broken(d, content.reason, &e);
        return;
    }
    if (content.is_refused) {
        refuse_for_now(d, content.reason);
    } else if (f->dnsbl_zones.n) {
        is_listed = true;
        decide_note(d, "dnsbl", STR("listed"), "%.*s", STR_FMT(f->dnsbl_zones));
        refuse_for_now(d, "dns-blocklisted");
    } else {
        accept(d, "no-bad-signals");
        d->out->is_first_time = !d->out->is_forward && !d->account->no_first_time_delay;
        return;
    }
    if (f->dmarc == FINDING_PASS && str_eq(str_of(r->method), STR("none")) &&
        (is_listed || content.is_moderate) && !give_token(d, &is_given, &e))
        broken(d, "subjectpass-error", &e);
}

/* --- the order (2.1) ----------------------------------------------------------------------------- */

// Step 4: what the forwarder proved says nothing about the sender.
static void ignore_forwarder(struct decide *d)
{
    size_t kept = 0;

    for (size_t i = 0; i < d->n_dkim; i++)
        if (!str_eq(d->dkim[i], d->ruleset->verified_domain))
            d->dkim[kept++] = d->dkim[i];
    d->n_dkim = kept;
    d->counts_mail_from = d->counts_hello = false;
    for (size_t i = 0; i < DECIDE_NETWORKS; i++)
        d->networks[i] = (struct str){0};
    d->out->is_forward = true;
    d->out->dmarc_override = DMARC_FORWARDED;
}

// Steps 5 and 7. True when they refuse.
static bool is_unproved(struct decide *d)
{
    const struct decide_findings *f = &d->m->found;
    struct str text = d->destination ? d->destination->auth_required : (struct str){0};

    if (!d->out->is_forward && f->dmarc == FINDING_FAIL && f->dmarc_wish != DMARC_WISH_NONE &&
        f->is_dmarc_sampled) {
        decide_note(d, "dmarc", STR("fail"), "policy of %.*s: %s",
                    STR_FMT(f->has_from ? f->from_domain : STR("one of several authors")),
                    f->dmarc_wish == DMARC_WISH_REJECT ? "reject" : "quarantine");
        refuse(d, "dmarc-policy", 550, "5.7.26",
               STR("the policy of the sender's domain refuses this message (DMARC)"));
        return true;
    }
    if (!text.n || f->validation != VALIDATION_NONE)
        return false;
    decide_note(d, "validation", STR("none"), "required here");
    if (f->dmarc == FINDING_TEMPERROR)
        refuse(d, "msg-auth-required", 451, "4.7.26", text);
    else
        refuse(d, "msg-auth-required", 550, "5.7.26", text);
    return true;
}

// Step 6. False with an error.
static bool take_report(struct decide *d, bool *is_report, struct err *e)
{
    const struct decide_destination *to = d->destination;

    *is_report = false;
    if (!to || !(to->is_dmarc_report || to->is_tls_report) || !d->source->report)
        return true;
    // An address may be for both.
    for (int is_tls = !to->is_dmarc_report; is_tls <= to->is_tls_report && !*is_report; is_tls++) {
        if (!d->source->report(d->source->ctx, is_tls, is_report, e))
            return false;
        decide_note(d, "report", *is_report ? STR("valid") : STR("invalid"), "%s",
                    is_tls ? "TLS" : "DMARC");
    }
    return true;
}

// Step 9.
static void introduce(struct decide *d, const struct reputation *r, bool is_report)
{
    if (!d->account->introbox.n || !str_eq(d->out->mailbox, STR("Inbox")) ||
        str_eq(str_of(r->method), STR("msgfromfull")) ||
        str_eq(str_of(r->method), STR("msgtofull")) || d->out->is_forward || is_report)
        return;
    d->out->destined = d->out->mailbox;
    d->out->mailbox = d->account->introbox;
}

// As upstream: who passed a message on is told, and makes no difference. A ruleset says whom to trust.
static void note_chain(struct decide *d)
{
    const struct decide_findings *f = &d->m->found;

    if (f->arc == FINDING_PASS)
        decide_note(d, "arc", STR("pass"), "passed on %u times, last by %.*s", f->arc_sets,
                    STR_FMT(f->arc_domain));
    else if (f->arc != FINDING_NONE)
        decide_note(d, "arc", f->arc == FINDING_TEMPERROR ? STR("temperror") : STR("fail"),
                    "a chain of %u", f->arc_sets);
}

static void decide_steps(struct decide *d)
{
    struct reputation r;
    bool is_within, is_report;
    struct err e = {0};

    if (!is_within_limits(d, &is_within, &e)) {
        broken(d, "reputation-error", &e);
        return;
    }
    if (!is_within) {
        refuse(d, "high-rate", 452, "4.2.2", STR("too much mail from your network, try again later"));
        return;
    }
    note_chain(d);
    d->ruleset = decide_ruleset_of(d);
    if (d->ruleset && d->ruleset->mailbox.n)
        d->out->mailbox = d->ruleset->mailbox;
    if (d->ruleset && d->ruleset->list_allow_domain.n &&
        decide_is_list(d, d->ruleset->list_allow_domain)) {
        decide_note(d, "list", STR("verified"), "%.*s", STR_FMT(d->ruleset->list_allow_domain));
        d->out->is_list = true;
        d->out->dmarc_override = DMARC_MAILING_LIST;
        accept(d, "list-allow");
        return;
    }
    if (d->ruleset && d->ruleset->is_forward)
        ignore_forwarder(d);
    if (is_unproved(d))
        return;
    if (!take_report(d, &is_report, &e) || !decide_reputation(d, &r, &e)) {
        broken(d, "reputation-error", &e);
        return;
    }
    if (r.is_conclusive && r.opinion == OPINION_JUNK)
        refuse_for_now(d, r.method);
    else if (r.is_conclusive)
        accept(d, r.method);
    else if (is_report)
        accept(d, "reporting");
    else
        decide_by_content(d, &r);
    introduce(d, &r, is_report);
}

static void split_domains(struct decide *d)
{
    struct str left = d->m->found.dkim_domains, one;

    while (d->n_dkim < DECIDE_MAX_DKIM && str_next(&left, ' ', &one)) {
        if (one.n)
            d->dkim[d->n_dkim++] = one;
    }
}

static void prepare(struct decide *d)
{
    const struct decide_findings *f = &d->m->found;

    split_domains(d);
    decide_networks(d->a, d->m->remote_ip, d->networks);
    if (f->has_from && f->from_domain.n)
        d->from = arena_printf(d->a, "%.*s@%.*s", STR_FMT(f->from_localpart),
                               STR_FMT(f->from_domain));
    if (f->mail_from_domain.n)
        d->mail_from = arena_printf(d->a, "%.*s@%.*s", STR_FMT(f->mail_from_localpart),
                                    STR_FMT(f->mail_from_domain));
    d->counts_mail_from = f->spf_mail_from == FINDING_PASS;
    d->counts_hello = f->spf_hello == FINDING_PASS;
}

// A refusal that a ruleset turns into a delivery; and where refused mail was meant to go.
static void finish_refusal(struct decide *d)
{
    const char *words = "refuse";

    d->out->destined = d->out->destined.n ? d->out->destined : d->out->mailbox;
    d->out->is_reject = !str_eq(d->out->reason, STR("high-rate"));
    if (d->ruleset && d->ruleset->accept_rejects_mailbox.n) {
        decide_note(d, "ruleset", STR("accept rejects"), "%.*s",
                    STR_FMT(d->ruleset->accept_rejects_mailbox));
        d->out->is_accepted = true;
        d->out->code = 250;
        d->out->enhanced = "2.0.0";
        d->out->text = STR("");
        d->out->is_slow = false;
        d->out->mailbox = d->ruleset->accept_rejects_mailbox;
        words = "accept a reject";
    } else {
        d->out->mailbox = d->account->rejects_mailbox;
    }
    decide_note(d, "decision", str_of(words), "%.*s", STR_FMT(d->out->reason));
}

void decide(struct arena *a, const struct decide_account *account,
            const struct decide_destination *destination, const struct decide_message *m,
            const struct decide_source *source, struct decision *out)
{
    struct decide d = {.a = a, .account = account, .destination = destination, .m = m,
                       .source = source, .out = out, .why = BUF_LIMIT(MAX_WHY),
                       .details = BUF_LIMIT(MAX_DETAILS)};

    *out = (struct decision){.mailbox = m->mailbox};
    prepare(&d);
    decide_steps(&d);
    if (out->is_accepted)
        decide_note(&d, "decision", STR("accept"), "%.*s", STR_FMT(out->reason));
    else
        finish_refusal(&d);
    decide_signs(&d, out);
    for (size_t i = 0; i < DECIDE_NETWORKS; i++)
        out->networks[i] = d.networks[i];
    out->details = arena_dup(a, buf_str(&d.details));
    out->why = arena_dup(a, buf_str(&d.why));
    buf_fini(&d.details);
    buf_fini(&d.why);
}
