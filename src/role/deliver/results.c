/*
 * What the TLS of each attempt came to, for reports to the domains concerned (RFC 8460,
 * mox-smtp-delivery.md 5.6): for the recipient domain by its MTA-STS policy or none, for the MX host by its
 * TLSA records or none. The queue passes it on; nobody answers.
 */
#include "base/log.h"
#include "ipc/metrics.h"
#include "role/deliver/deliver.h"

enum { MAX_HELO = 200 };

static enum tls_failure failure_of(enum tls_worth worth)
{
    static const enum tls_failure failures[] = {
        [TLS_VERIFIED] = TLS_NO_FAILURE,
        [TLS_HOST_MISMATCH] = TLS_CERTIFICATE_HOST_MISMATCH,
        [TLS_EXPIRED] = TLS_CERTIFICATE_EXPIRED,
        [TLS_NOT_TRUSTED] = TLS_CERTIFICATE_NOT_TRUSTED,
        [TLS_DANE_MISMATCH] = TLS_VALIDATION_FAILURE,
        [TLS_INVALID] = TLS_VALIDATION_FAILURE,
    };

    return failures[worth];
}

void results_begin(struct deliver *d)
{
    d->seen = (struct tls_seen){.helo_n = 0};
}

void results_greeting(struct deliver *d, struct str text)
{
    struct str helo, rest;

    if (!str_cut(text, ' ', &helo, &rest))
        helo = text;
    for (size_t i = 0; i < helo.n && d->seen.helo_n < MAX_HELO; i++)
        d->seen.helo[d->seen.helo_n++] = helo.p[i] > 32 && helo.p[i] < 127 ? helo.p[i] : '?';
}

void results_no_tls(struct deliver *d, enum tls_failure failure, const char *reason)
{
    d->seen.is_known = true;
    d->seen.host = d->seen.domain = failure;
    snprintf(d->seen.host_reason, sizeof d->seen.host_reason, "%s", reason);
    snprintf(d->seen.domain_reason, sizeof d->seen.domain_reason, "%s", reason);
}

void results_broken_tls(struct deliver *d)
{
    AUTO_BUF text = BUF_LIMIT(256), reason = BUF_LIMIT(sizeof d->seen.host_reason);

    if (d->conn.stream.tls)
        tls_end_put(d->conn.stream.tls, &text);
    tls_reason_put(&reason, text.n ? buf_str(&text) : STR("I/O timeout during handshake"));
    buf_put_char(&reason, 0);
    results_no_tls(d, TLS_VALIDATION_FAILURE, reason.p);
}

// RFC 8460 4.3.1, 4.3.3: the types that have many causes say which it was.
static void put_reason(char *out, size_t size, enum tls_worth worth, const struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(256);

    if (worth == TLS_DANE_MISMATCH)
        BUF_PUT(&text, "dane-no-match");
    else if (worth == TLS_NOT_TRUSTED || worth == TLS_INVALID)
        tls_reason_put(&text, str_of(e->text));
    snprintf(out, size, "%.*s", STR_FMT(buf_str(&text)));
}

void results_tls(struct deliver *d, const struct target *t)
{
    enum tls_worth worth;
    struct err e = {0};

    d->seen.is_known = true;
    // Looked at beyond what the rule demands: who publishes something hears whether it is right.
    if (t->rule->has_tlsa) {
        worth = tls_verify_dane(d->conn.stream.tls, &e);
        d->seen.host = failure_of(worth);
        if (worth != TLS_VERIFIED && t->wish == TLS_WISH_OPTIONAL)
            METRIC(smtpclient_tlsrequiredno_ignored_total);
        put_reason(d->seen.host_reason, sizeof d->seen.host_reason, worth, &e);
    }
    if (t->rule->has_sts) {
        e = (struct err){0};
        worth = tls_verify_roots(d->tls, d->conn.stream.tls, t->host, &e);
        d->seen.domain = failure_of(worth);
        put_reason(d->seen.domain_reason, sizeof d->seen.domain_reason, worth, &e);
    }
}

/* --- telling -------------------------------------------------------------------------------------- */

static void put_tlsa(struct buf *out, const struct dane_result *dane)
{
    for (size_t i = 0; i < dane->n; i++) {
        const struct dns_record *r = &dane->records[i];

        if (i)
            BUF_PUT(out, "\n");
        buf_printf(out, "%u %u %u ", r->usage, r->selector, r->matching);
        for (size_t k = 0; k < r->data.n; k++)
            buf_printf(out, "%02x", (unsigned char)r->data.p[k]);
    }
}

static void tell(struct deliver *d, struct ipc_tls_result *m, enum tls_failure failure,
                 struct str reason, const struct target *t)
{
    AUTO_BUF body = BUF_LIMIT(IPC_MAX_BYTES), ip = BUF_LIMIT(64);
    struct err e = {0};

    m->successes = failure == TLS_NO_FAILURE;
    m->failures = failure != TLS_NO_FAILURE;
    if (failure != TLS_NO_FAILURE) {
        if (d->seen.is_known)
            ip_put(&ip, &t->ip);
        m->result_type = str_of(tls_failure_name(failure));
        m->mx_host = t->host;
        m->mx_helo = str_at(d->seen.helo, d->seen.helo_n);
        m->receiving_ip = buf_str(&ip);
        m->sending_ip = str_of(d->seen.local);
        m->reason_code = str_sub(reason, 0, 256);
    }
    ipc_tls_result_put(&body, m);
    if (body.full || !channel_send(&d->queue, IPC_tls_result, buf_str(&body), NULL, 0, &e))
        LOG(LOG_DEBUG, "deliver", "a TLS result is not told", LOG_E(&e));
}

static void tell_host(struct deliver *d, struct str domain, const struct target *t)
{
    AUTO_BUF records = BUF_LIMIT(IPC_MAX_REPORT_TEXT);
    bool is_dane = t->rule->has_tlsa || t->rule->tlsa_failure;
    struct ipc_tls_result m = {.policy_domain = t->host, .is_host = true, .recipient_domain = domain,
                               .policy_type = is_dane ? IPC_TLS_POLICY_TLSA : IPC_TLS_POLICY_NONE};

    if (is_dane && t->dane)
        put_tlsa(&records, t->dane);
    m.policy_strings = records.full ? STR("") : buf_str(&records);
    if (t->rule->tlsa_failure)
        tell(d, &m, t->rule->tlsa_failure, t->rule->tlsa_reason, t);
    else if (d->seen.is_known)
        tell(d, &m, d->seen.host, str_of(d->seen.host_reason), t);
}

// RFC 8460 4.4: its lines, and its patterns of hosts.
static void put_policy(const struct mtasts_policy *policy, struct buf *lines, struct buf *hosts)
{
    AUTO_BUF text = BUF_LIMIT(MTASTS_MAX_POLICY);

    mtasts_policy_put(&text, policy);
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != '\r' && i + 1 < text.n)
            buf_put_char(lines, text.p[i]);
    for (size_t i = 0; i < policy->n; i++) {
        if (i)
            BUF_PUT(hosts, "\n");
        buf_put(hosts, policy->mx[i]);
    }
}

static void tell_domain(struct deliver *d, struct str domain, const struct target *t)
{
    AUTO_BUF lines = BUF_LIMIT(IPC_MAX_REPORT_TEXT), hosts = BUF_LIMIT(IPC_MAX_REPORT_TEXT);
    struct ipc_tls_result m = {.policy_domain = domain, .recipient_domain = domain};

    if (d->sts == STS_OF_DOMAIN && d->policy.mode != MTASTS_NONE) {
        m.policy_type = IPC_TLS_POLICY_STS;
        put_policy(&d->policy, &lines, &hosts);
        m.policy_strings = lines.full ? STR("") : buf_str(&lines);
        m.mx_hosts = hosts.full ? STR("") : buf_str(&hosts);
    }
    if (t->rule->sts_failure)
        tell(d, &m, t->rule->sts_failure, t->rule->sts_reason, t);
    else if (d->seen.is_known)
        tell(d, &m, d->seen.domain, str_of(d->seen.domain_reason), t);
    // That the policy could not be had is beside what became of the connection; said once.
    if (d->sts_failure) {
        m.policy_type = IPC_TLS_POLICY_STS;
        tell(d, &m, d->sts_failure, d->sts_reason, t);
        d->sts_failure = TLS_NO_FAILURE;
    }
}

// Reports about reports would never end.
static bool is_told(const struct deliver *d, const struct message *m)
{
    return !m->info.is_own_report && !d->start->settings.no_tls_reports;
}

void results_tell_forged(struct deliver *d, const struct message *m, struct str domain)
{
    struct ipc_tls_result r = {.policy_domain = domain, .recipient_domain = domain};
    const struct target none = {.port = 0};

    results_begin(d);
    if (is_told(d, m)) // RFC 8914 4.7
        tell(d, &r, TLS_VALIDATION_FAILURE, STR("dns-extended-error-6-dnssec-bogus"), &none);
}

void results_tell(struct deliver *d, const struct message *m, struct str domain,
                  const struct target *t)
{
    if (!is_told(d, m))
        return;
    tell_host(d, domain, t);
    tell_domain(d, domain, t);
}
