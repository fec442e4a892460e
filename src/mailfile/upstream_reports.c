/*
 * Upstream's reports: those that others sent, and what is gathered for those to others.
 */
#include "mailfile/upstream_priv.h"
#include "mailfile/upstream_server.h"
#include "text/date.h"

static struct str *texts_of(struct arena *a, const struct bstore_value *list, size_t max, size_t *n)
{
    struct str *out = ARENA_ARRAY(a, list->n_items + 1, struct str);

    *n = list->n_items < max ? list->n_items : max;
    for (size_t i = 0; i < *n; i++)
        out[i] = list->items[i].text;
    return out;
}

/* --- of DMARC --------------------------------------------------------------------------------------- */

enum { DMARC_FROM, DMARC_VERSION, DMARC_METADATA, DMARC_POLICY, DMARC_RECORDS, DMARC_COUNT };
static const char *const dmarc_fields[DMARC_COUNT] = {"FromDomain", "Version", "ReportMetadata", "PolicyPublished",
                                                      "Records"};

static void read_results(struct arena *a, const struct bstore_value *v, struct dmarc_report_record *out)
{
    const struct bstore_value *reasons = bstore_in(v, "Row.PolicyEvaluated.Reasons"),
                              *dkim = bstore_in(v, "AuthResults.DKIM"), *spf = bstore_in(v, "AuthResults.SPF");

    out->reasons = ARENA_ARRAY(a, reasons->n_items + 1, struct dmarc_report_reason);
    out->dkim_results = ARENA_ARRAY(a, dkim->n_items + 1, struct dmarc_report_dkim);
    out->spf_results = ARENA_ARRAY(a, spf->n_items + 1, struct dmarc_report_spf);
    for (; out->n_reasons < reasons->n_items; out->n_reasons++) {
        const struct bstore_value *r = &reasons->items[out->n_reasons];

        out->reasons[out->n_reasons] = (struct dmarc_report_reason){bstore_in(r, "Type")->text,
                                                                    bstore_in(r, "Comment")->text};
    }
    for (; out->n_dkim < dkim->n_items; out->n_dkim++) {
        const struct bstore_value *r = &dkim->items[out->n_dkim];

        out->dkim_results[out->n_dkim] = (struct dmarc_report_dkim){
            bstore_in(r, "Domain")->text, bstore_in(r, "Selector")->text, bstore_in(r, "Result")->text,
            bstore_in(r, "HumanResult")->text};
    }
    for (; out->n_spf < spf->n_items; out->n_spf++) {
        const struct bstore_value *r = &spf->items[out->n_spf];

        out->spf_results[out->n_spf] = (struct dmarc_report_spf){
            .domain = bstore_in(r, "Domain")->text, .scope = bstore_in(r, "Scope")->text,
            .result = bstore_in(r, "Result")->text};
    }
}

// Counts are those of a report: nobody's business is what does not fit.
static uint64_t count_of(const struct bstore_value *v)
{
    return v->number <= INT64_MAX ? v->number : 0;
}

static void read_record(struct arena *a, const struct bstore_value *v, struct dmarc_report_record *out)
{
    *out = (struct dmarc_report_record){
        .source_ip = bstore_in(v, "Row.SourceIP")->text, .count = count_of(bstore_in(v, "Row.Count")),
        .disposition = bstore_in(v, "Row.PolicyEvaluated.Disposition")->text,
        .dkim = bstore_in(v, "Row.PolicyEvaluated.DKIM")->text,
        .spf = bstore_in(v, "Row.PolicyEvaluated.SPF")->text,
        .header_from = bstore_in(v, "Identifiers.HeaderFrom")->text,
        .envelope_from = bstore_in(v, "Identifiers.EnvelopeFrom")->text,
        .envelope_to = bstore_in(v, "Identifiers.EnvelopeTo")->text};
    read_results(a, v, out);
}

static void read_policy(struct arena *a, const struct bstore_value *v, struct dmarc_report *out)
{
    out->domain = upstream_ascii(a, bstore_in(v, "Domain")->text);
    out->adkim = bstore_in(v, "ADKIM")->text;
    out->aspf = bstore_in(v, "ASPF")->text;
    out->p = bstore_in(v, "Policy")->text;
    out->sp = bstore_in(v, "SubdomainPolicy")->text;
    out->pct = arena_printf(a, "%llu", (unsigned long long)count_of(bstore_in(v, "Percentage")));
    out->fo = bstore_in(v, "ReportingOptions")->text;
}

static bool on_dmarc(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct upstream_reports_reader *r = ctx;
    const struct bstore_value *v = record->values, *metadata = &v[DMARC_METADATA], *records = &v[DMARC_RECORDS];
    struct dmarc_report out = {.version = v[DMARC_VERSION].text, .org_name = bstore_in(metadata, "OrgName")->text,
                               .email = bstore_in(metadata, "Email")->text,
                               .extra_contact_info = bstore_in(metadata, "ExtraContactInfo")->text,
                               .report_id = bstore_in(metadata, "ReportID")->text,
                               .begin = (int64_t)bstore_in(metadata, "DateRange.Begin")->number,
                               .end = (int64_t)bstore_in(metadata, "DateRange.End")->number};

    out.errors = texts_of(record->a, bstore_in(metadata, "Errors"), DMARC_REPORT_MAX_ERRORS, &out.n_errors);
    read_policy(record->a, &v[DMARC_POLICY], &out);
    if (!out.domain.n)
        return true;
    out.records = ARENA_ARRAY(record->a, records->n_items + 1, struct dmarc_report_record);
    for (; out.n < records->n_items && out.n < DMARC_REPORT_MAX_RECORDS; out.n++)
        read_record(record->a, &records->items[out.n], &out.records[out.n]);
    return r->dmarc(r->ctx, &(struct report_origin){.from_domain = upstream_ascii(record->a, v[DMARC_FROM].text),
                                                    .received_unix = out.end}, &out, e);
}

bool upstream_dmarc_read(struct str file, const struct upstream_reports_reader *r, struct err *e)
{
    const struct upstream_table table = {"DomainFeedback", true, on_dmarc, dmarc_fields, DMARC_COUNT};

    return upstream_tables_read(file, &table, 1, (void *)(uintptr_t)r, e);
}

/* --- of TLS ----------------------------------------------------------------------------------------- */

static void read_failures(struct arena *a, const struct bstore_value *list, struct tlsrpt_policy *out)
{
    out->failures = ARENA_ARRAY(a, list->n_items + 1, struct tlsrpt_failure);
    for (; out->n_failures < list->n_items; out->n_failures++) {
        const struct bstore_value *f = &list->items[out->n_failures];

        out->failures[out->n_failures] = (struct tlsrpt_failure){
            .result_type = bstore_in(f, "ResultType")->text, .sending_mta_ip = bstore_in(f, "SendingMTAIP")->text,
            .receiving_mx_hostname = bstore_in(f, "ReceivingMXHostname")->text,
            .receiving_mx_helo = bstore_in(f, "ReceivingMXHelo")->text,
            .receiving_ip = bstore_in(f, "ReceivingIP")->text,
            .failed_session_count = count_of(bstore_in(f, "FailedSessionCount")),
            .additional_information = bstore_in(f, "AdditionalInformation")->text,
            .failure_reason_code = bstore_in(f, "FailureReasonCode")->text};
    }
}

static struct tlsrpt_policy *read_policies(struct arena *a, const struct bstore_value *list, size_t *n)
{
    struct tlsrpt_policy *out = ARENA_ARRAY(a, list->n_items + 1, struct tlsrpt_policy);

    *n = list->n_items < TLSRPT_MAX_POLICIES ? list->n_items : TLSRPT_MAX_POLICIES;
    for (size_t i = 0; i < *n; i++) {
        const struct bstore_value *v = &list->items[i];
        struct str domain = bstore_in(v, "Policy.Domain")->text, ascii = upstream_ascii(a, domain);

        out[i] = (struct tlsrpt_policy){
            .policy_type = bstore_in(v, "Policy.Type")->text, .policy_domain = ascii.n ? ascii : domain,
            .total_successful_session_count = count_of(bstore_in(v, "Summary.TotalSuccessfulSessionCount")),
            .total_failure_session_count = count_of(bstore_in(v, "Summary.TotalFailureSessionCount"))};
        out[i].policy_string = texts_of(a, bstore_in(v, "Policy.String"), SIZE_MAX, &out[i].n_policy_string);
        out[i].mx_host = texts_of(a, bstore_in(v, "Policy.MXHost"), SIZE_MAX, &out[i].n_mx_host);
        read_failures(a, bstore_in(v, "FailureDetails"), &out[i]);
    }
    return out;
}

enum { TLS_DOMAIN, TLS_FROM, TLS_MAIL_FROM, TLS_HOST, TLS_REPORT, TLS_COUNT };
static const char *const tls_fields[TLS_COUNT] = {"Domain", "FromDomain", "MailFrom", "HostReport", "Report"};

static bool on_tls(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct upstream_reports_reader *r = ctx;
    const struct bstore_value *v = record->values, *report = &v[TLS_REPORT];
    struct str domain = upstream_ascii(record->a, v[TLS_DOMAIN].text);
    struct tlsrpt_report out = {.organization_name = bstore_in(report, "OrganizationName")->text,
                                .contact_info = bstore_in(report, "ContactInfo")->text,
                                .report_id = bstore_in(report, "ReportID")->text,
                                .start = bstore_in(report, "DateRange.Start")->unix_seconds,
                                .end = bstore_in(report, "DateRange.End")->unix_seconds};

    if (!domain.n)
        return true;
    out.policies = read_policies(record->a, bstore_in(report, "Policies"), &out.n);
    return r->tls(r->ctx, &(struct report_origin){.from_domain = upstream_ascii(record->a, v[TLS_FROM].text),
                                                  .mail_from = v[TLS_MAIL_FROM].text, .received_unix = out.end},
                  domain, v[TLS_HOST].is_set, &out, e);
}

bool upstream_tls_read(struct str file, const struct upstream_reports_reader *r, struct err *e)
{
    const struct upstream_table table = {"Record", true, on_tls, tls_fields, TLS_COUNT};

    return upstream_tables_read(file, &table, 1, (void *)(uintptr_t)r, e);
}

/* --- what is gathered --------------------------------------------------------------------------------- */

static bool on_suppressed(const struct upstream_reports_reader *r, bool is_tls, const struct bstore_value *v,
                          struct err *e)
{
    return !v[0].text.n || r->suppressed(r->ctx, is_tls, v[0].text, v[1].unix_seconds, v[2].text, e);
}

static bool on_suppressed_dmarc(void *ctx, const struct bstore_record *record, struct err *e)
{
    return on_suppressed(ctx, false, record->values, e);
}

static bool on_suppressed_tls(void *ctx, const struct bstore_record *record, struct err *e)
{
    return on_suppressed(ctx, true, record->values, e);
}

enum { EVAL_DOMAIN, EVAL_WHEN, EVAL_OPTIONAL, EVAL_HOURS, EVAL_ADDRESSES, EVAL_POLICY, EVAL_IP, EVAL_DISPOSITION,
       EVAL_DKIM_ALIGNED, EVAL_SPF_ALIGNED, EVAL_REASONS, EVAL_TO, EVAL_FROM, EVAL_HEADER, EVAL_DKIM, EVAL_SPF,
       EVAL_COUNT };
static const char *const evaluation_fields[EVAL_COUNT] = {
    "PolicyDomain", "Evaluated", "Optional", "IntervalHours", "Addresses", "PolicyPublished", "SourceIP",
    "Disposition", "AlignedDKIMPass", "AlignedSPFPass", "OverrideReasons", "EnvelopeTo", "EnvelopeFrom",
    "HeaderFrom", "DKIMResults", "SPFResults"};

// A word that goes into a list of words.
static bool is_word(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] == 127 || s.p[i] == ';' || s.p[i] == ',')
            return false;
    return s.n > 0;
}

// The record as it would be published, for the policy of the report.
static void put_record(struct buf *out, const struct bstore_value *policy, const struct bstore_value *addresses)
{
    static const struct {
        const char *field, *tag;
    } tags[] = {{"Policy", "p"}, {"SubdomainPolicy", "sp"}, {"ADKIM", "adkim"}, {"ASPF", "aspf"},
                {"ReportingOptions", "fo"}};
    uint64_t percentage = bstore_in(policy, "Percentage")->number;

    BUF_PUT(out, "v=DMARC1");
    for (size_t i = 0; i < COUNT(tags); i++) {
        struct str value = bstore_in(policy, tags[i].field)->text;

        if (is_word(value))
            buf_printf(out, ";%s=%.*s", tags[i].tag, STR_FMT(value));
    }
    if (percentage < 100)
        buf_printf(out, ";pct=%u", (unsigned)percentage);
    for (size_t i = 0, n = 0; i < addresses->n_items; i++)
        if (is_word(addresses->items[i].text))
            buf_printf(out, "%s%.*s", n++ ? "," : ";rua=", STR_FMT(addresses->items[i].text));
}

static void put_signatures(struct buf *out, const struct bstore_value *list)
{
    enum auth_result result;

    for (size_t i = 0; i < list->n_items; i++) {
        struct str word = bstore_in(&list->items[i], "Result")->text,
                   domain = bstore_in(&list->items[i], "Domain")->text,
                   selector = bstore_in(&list->items[i], "Selector")->text;

        if (auth_result_parse(word, &result) && is_word(domain) && is_word(selector))
            buf_printf(out, "%s %.*s %.*s\n", auth_result_name(result), STR_FMT(domain), STR_FMT(selector));
    }
}

static void put_reasons(struct buf *out, const struct bstore_value *list)
{
    for (size_t i = 0; i < list->n_items; i++) {
        struct str word = bstore_in(&list->items[i], "Type")->text;

        if (is_word(word))
            buf_printf(out, "%s%.*s", out->n ? " " : "", STR_FMT(word));
    }
}

static void read_spf(struct arena *a, const struct bstore_value *list, struct report_evaluation *out)
{
    const struct bstore_value *v = list->n_items ? &list->items[0] : list;
    enum auth_result result;

    if (!auth_result_parse(bstore_in(v, "Result")->text, &result))
        return;
    out->spf = str_of(auth_result_name(result));
    out->spf_domain = upstream_ascii(a, bstore_in(v, "Domain")->text);
    out->is_spf_helo = str_eq(bstore_in(v, "Scope")->text, STR("helo"));
}

static bool on_evaluation(void *ctx, const struct bstore_record *record, struct err *e)
{
    AUTO_BUF published = BUF_LIMIT(DMARC_MAX_RECORD), dkim = BUF_LIMIT(1 << 16), reasons = BUF_LIMIT(1 << 10);
    const struct bstore_value *v = record->values;
    const struct upstream_reports_reader *r = ctx;
    struct dmarc_record parsed;
    struct err no_record = {0};
    struct report_evaluation m = {
        .policy_domain = upstream_ascii(record->a, v[EVAL_DOMAIN].text), .source_ip = v[EVAL_IP].text,
        .header_from = upstream_ascii(record->a, v[EVAL_HEADER].text),
        .envelope_from = upstream_ascii(record->a, v[EVAL_FROM].text),
        .envelope_to = upstream_ascii(record->a, v[EVAL_TO].text), .is_optional = v[EVAL_OPTIONAL].is_set,
        .is_rejected = str_eq(v[EVAL_DISPOSITION].text, STR("reject")),
        .is_dkim_aligned = v[EVAL_DKIM_ALIGNED].is_set, .is_spf_aligned = v[EVAL_SPF_ALIGNED].is_set,
        .interval_hours = v[EVAL_HOURS].number && v[EVAL_HOURS].number <= 24 ? (unsigned)v[EVAL_HOURS].number : 24,
        .messages = 1};

    put_record(&published, &v[EVAL_POLICY], &v[EVAL_ADDRESSES]);
    put_signatures(&dkim, &v[EVAL_DKIM]);
    put_reasons(&reasons, &v[EVAL_REASONS]);
    read_spf(record->a, &v[EVAL_SPF], &m);
    m.record = buf_str(&published);
    m.dkim = buf_str(&dkim);
    m.overrides = buf_str(&reasons);
    if (!m.policy_domain.n || !m.header_from.n || !m.envelope_to.n || published.full || dkim.full || reasons.full ||
        !dmarc_record_parse(record->a, m.record, &parsed, &no_record))
        return true;
    return r->evaluation(r->ctx, v[EVAL_WHEN].unix_seconds, &m, e);
}

bool upstream_evaluations_read(struct str file, const struct upstream_reports_reader *r, struct err *e)
{
    const struct upstream_table tables[] = {
        {"Evaluation", true, on_evaluation, evaluation_fields, EVAL_COUNT},
        {"SuppressAddress", false, on_suppressed_dmarc, UPSTREAM_WANTED("ReportingAddress", "Until", "Comment")},
    };

    return upstream_tables_read(file, tables, COUNT(tables), (void *)(uintptr_t)r, e);
}

enum { RESULT_DOMAIN, RESULT_DAY, RESULT_RECIPIENT, RESULT_HOST, RESULT_WANTED, RESULT_TOLD, RESULT_LIST,
       RESULT_COUNT };
static const char *const result_fields[RESULT_COUNT] = {"PolicyDomain", "DayUTC", "RecipientDomain", "IsHost",
                                                        "SendReport", "SentToRecipientDomain", "Results"};

// "20261126"
static bool read_day(struct str text, int64_t *unix_seconds)
{
    uint64_t day;

    if (text.n != 8 || !str_u64(text, 99999999, &day) || day / 100 % 100 < 1 || day / 100 % 100 > 12)
        return false;
    *unix_seconds = date_days((int64_t)(day / 10000), (unsigned)(day / 100 % 100), (unsigned)(day % 100)) * 24 * 3600;
    return true;
}

static struct str lines_of(struct arena *a, const struct str *texts, size_t n)
{
    AUTO_BUF out = BUF_LIMIT(1 << 16);

    for (size_t i = 0; i < n; i++) {
        if (i)
            BUF_PUT(&out, "\n");
        buf_put(&out, texts[i]);
    }
    return out.full ? STR("") : arena_dup(a, buf_str(&out));
}

// Each failure by itself, and successes with the first.
static bool give_policy(const struct upstream_reports_reader *r, struct arena *a, int64_t day,
                        const struct tlsrpt_policy *p, struct report_tls_result m, struct err *e)
{
    m.policy_type = str_eq(p->policy_type, STR("tlsa")) ? REPORT_POLICY_TLSA
                    : str_eq(p->policy_type, STR("sts")) ? REPORT_POLICY_STS : REPORT_POLICY_NONE;
    m.policy_strings = lines_of(a, p->policy_string, p->n_policy_string);
    m.mx_hosts = lines_of(a, p->mx_host, p->n_mx_host);
    m.successes = p->total_successful_session_count;
    m.failures = p->total_failure_session_count;
    for (size_t i = 0; i < p->n_failures; i++) {
        const struct tlsrpt_failure *f = &p->failures[i];
        struct report_tls_result one = m;

        one.successes = 0;
        one.failures = f->failed_session_count < m.failures ? f->failed_session_count : m.failures;
        one.result_type = f->result_type;
        one.sending_ip = f->sending_mta_ip;
        one.mx_host = f->receiving_mx_hostname;
        one.mx_helo = f->receiving_mx_helo;
        one.receiving_ip = f->receiving_ip;
        one.additional = f->additional_information;
        one.reason_code = f->failure_reason_code;
        m.failures -= one.failures;
        if (one.failures && !r->result(r->ctx, day, &one, e))
            return false;
    }
    // Failures that no detail is about are counted as such.
    if (m.failures)
        m.result_type = STR("validation-failure");
    return !(m.successes || m.failures) || r->result(r->ctx, day, &m, e);
}

static bool on_result(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct bstore_value *v = record->values;
    const struct upstream_reports_reader *r = ctx;
    struct report_tls_result m = {.policy_domain = upstream_ascii(record->a, v[RESULT_DOMAIN].text),
                                  .recipient_domain = upstream_ascii(record->a, v[RESULT_RECIPIENT].text),
                                  .is_host = v[RESULT_HOST].is_set};
    struct tlsrpt_policy *policies;
    int64_t day;
    size_t n;

    if (!m.policy_domain.n || !m.recipient_domain.n || !v[RESULT_WANTED].is_set || v[RESULT_TOLD].is_set ||
        !read_day(v[RESULT_DAY].text, &day))
        return true;
    policies = read_policies(record->a, &v[RESULT_LIST], &n);
    for (size_t i = 0; i < n; i++)
        if (!give_policy(r, record->a, day, &policies[i], m, e))
            return false;
    return true;
}

bool upstream_results_read(struct str file, const struct upstream_reports_reader *r, struct err *e)
{
    const struct upstream_table tables[] = {
        {"TLSResult", true, on_result, result_fields, RESULT_COUNT},
        {"TLSRPTSuppressAddress", false, on_suppressed_tls, UPSTREAM_WANTED("ReportingAddress", "Until", "Comment")},
    };

    return upstream_tables_read(file, tables, COUNT(tables), (void *)(uintptr_t)r, e);
}
