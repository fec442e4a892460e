#include "base/cur.h"
#include "base/map.h"
#include "policy/report_mail.h"
#include "policy/tlsrpt.h"
#include "text/date.h"
#include "text/encode.h"
#include "text/idna.h"
#include "text/json.h"

/* --- values of the JSON --------------------------------------------------------------------------- */

struct reader {
    struct arena *a;
    size_t n_failures;
};

static struct str text_of(struct reader *r, const json_t *value)
{
    if (!json_is_string(value))
        return STR("");
    return arena_dup(r->a, str_sub(str_at(json_string_value(value), json_string_length(value)), 0,
                                   TLSRPT_MAX_FIELD));
}

static struct str text_at(struct reader *r, const json_t *object, const char *name)
{
    return text_of(r, json_object_get(object, name));
}

/* A number of either kind, or as text; missing, it is 0. */
static bool count_at(const json_t *object, const char *name, uint64_t *out, struct err *e)
{
    const uint64_t max = (uint64_t)1 << 50; // exact in either kind
    const json_t *value = json_object_get(object, name);

    *out = 0;
    if (!value || json_is_null(value))
        return true;
    if (json_is_integer(value) && json_integer_value(value) >= 0 &&
        (uint64_t)json_integer_value(value) <= max) {
        *out = (uint64_t)json_integer_value(value);
        return true;
    }
    if (json_is_real(value) && json_real_value(value) >= 0 &&
        json_real_value(value) <= (double)max) {
        *out = (uint64_t)json_real_value(value);
        return true;
    }
    if (json_is_string(value) &&
        str_u64(str_at(json_string_value(value), json_string_length(value)), max, out))
        return true;
    return fail(e, ERR_SYNTAX, "%s is no count", name);
}

static bool time_at(struct reader *r, const json_t *object, const char *name, int64_t *out,
                    struct err *e)
{
    struct str text = text_at(r, object, name);

    return date_parse_rfc3339(text, out) ||
           date_parse_rfc3339(arena_printf(r->a, "%.*sZ", STR_FMT(text)), out) ||
           fail(e, ERR_SYNTAX, "%s is no time", name);
}

/* A list of texts, or one text that stands for it. */
static void texts_at(struct reader *r, const json_t *object, const char *name, struct str **out,
                     size_t *n)
{
    const json_t *value = json_object_get(object, name);
    size_t cap = 0;

    *n = 0;
    if (json_is_string(value))
        *ARENA_PUSH(r->a, *out, n, &cap) = text_of(r, value);
    for (size_t i = 0; i < json_array_size(value); i++)
        if (json_is_string(json_array_get(value, i)))
            *ARENA_PUSH(r->a, *out, n, &cap) = text_of(r, json_array_get(value, i));
}

/* --- the report ----------------------------------------------------------------------------------- */

static bool take_failures(struct reader *r, const json_t *details, struct tlsrpt_policy *out,
                          struct err *e)
{
    size_t n = json_array_size(details);

    r->n_failures += n;
    if (r->n_failures > TLSRPT_MAX_FAILURES)
        return fail(e, ERR_LIMIT, "too many failure details");
    out->failures = ARENA_ARRAY(r->a, n, struct tlsrpt_failure);
    for (size_t i = 0; i < n; i++) {
        const json_t *d = json_array_get(details, i);
        struct tlsrpt_failure *f = &out->failures[out->n_failures++];

        if (!json_is_object(d))
            return fail(e, ERR_SYNTAX, "failure-details have no object");
        f->result_type = text_at(r, d, "result-type");
        f->sending_mta_ip = text_at(r, d, "sending-mta-ip");
        f->receiving_mx_hostname = text_at(r, d, "receiving-mx-hostname");
        f->receiving_mx_helo = text_at(r, d, "receiving-mx-helo");
        f->receiving_ip = text_at(r, d, "receiving-ip");
        f->additional_information = text_at(r, d, "additional-information");
        f->failure_reason_code = text_at(r, d, "failure-reason-code");
        if (!count_at(d, "failed-session-count", &f->failed_session_count, e))
            return false;
    }
    return true;
}

static bool take_policy(struct reader *r, const json_t *value, struct tlsrpt_policy *out,
                        struct err *e)
{
    const json_t *policy = json_object_get(value, "policy");
    const json_t *summary = json_object_get(value, "summary");
    struct str domain;

    if (!json_is_object(policy))
        return fail(e, ERR_SYNTAX, "an item of policies has no policy");
    out->policy_type = text_at(r, policy, "policy-type");
    texts_at(r, policy, "policy-string", &out->policy_string, &out->n_policy_string);
    texts_at(r, policy, "mx-host", &out->mx_host, &out->n_mx_host);
    domain = text_at(r, policy, "policy-domain");
    if (!domain_to_ascii(r->a, domain, &out->policy_domain, NULL))
        out->policy_domain = domain;
    return count_at(summary, "total-successful-session-count",
                    &out->total_successful_session_count, e) &&
           count_at(summary, "total-failure-session-count", &out->total_failure_session_count,
                    e) &&
           take_failures(r, json_object_get(value, "failure-details"), out, e);
}

static bool take_report(struct reader *r, const json_t *root, struct tlsrpt_report *out,
                        struct err *e)
{
    const json_t *range = json_object_get(root, "date-range");
    const json_t *policies = json_object_get(root, "policies");
    size_t n = json_array_size(policies);

    if (!json_is_object(root) || !json_is_array(policies))
        return fail(e, ERR_SYNTAX, "it is not a report: there are no policies");
    if (n > TLSRPT_MAX_POLICIES)
        return fail(e, ERR_LIMIT, "too many policies");
    out->organization_name = text_at(r, root, "organization-name");
    out->contact_info = text_at(r, root, "contact-info");
    out->report_id = text_at(r, root, "report-id");
    if (!time_at(r, range, "start-datetime", &out->start, e) ||
        !time_at(r, range, "end-datetime", &out->end, e))
        return false;
    out->policies = ARENA_ARRAY(r->a, n, struct tlsrpt_policy);
    for (; out->n < n; out->n++)
        if (!take_policy(r, json_array_get(policies, out->n), &out->policies[out->n], e))
            return false;
    return true;
}

bool tlsrpt_report_parse(struct arena *a, struct str json, struct tlsrpt_report **out,
                         struct err *e)
{
    struct reader r = {.a = a};
    json_t *root;
    bool is_ok;

    *out = NULL;
    if (json.n > REPORT_MAX_SIZE)
        return fail(e, ERR_LIMIT, "a report of more bytes than are allowed");
    root = json_read(json, TLSRPT_MAX_VALUES, e);
    if (!root)
        return false;
    *out = ARENA_NEW(a, struct tlsrpt_report);
    is_ok = take_report(&r, root, *out, e);
    json_decref(root);
    if (!is_ok)
        *out = NULL;
    return is_ok;
}

/* --- writing -------------------------------------------------------------------------------------- */

static void put_text(struct buf *out, const char *indent, const char *name, struct str value)
{
    if (!value.n)
        return;
    buf_printf(out, "%s\"%s\": ", indent, name);
    json_put_string(out, value);
    BUF_PUT(out, ",\n");
}

static void put_texts(struct buf *out, const char *indent, const char *name,
                      const struct str *values, size_t n)
{
    if (!n)
        return;
    buf_printf(out, "%s\"%s\": [", indent, name);
    for (size_t i = 0; i < n; i++) {
        if (i)
            BUF_PUT(out, ", ");
        json_put_string(out, values[i]);
    }
    BUF_PUT(out, "],\n");
}

static void put_time(struct buf *out, const char *indent, const char *name, int64_t time,
                     const char *end)
{
    buf_printf(out, "%s\"%s\": \"", indent, name);
    date_put_rfc3339(out, time);
    buf_printf(out, "\"%s\n", end);
}

static void put_failures(struct buf *out, const struct tlsrpt_policy *p)
{
    static const char in[] = "                    ";

    BUF_PUT(out, ",\n            \"failure-details\": [");
    for (size_t i = 0; i < p->n_failures; i++) {
        const struct tlsrpt_failure *f = &p->failures[i];

        buf_put(out, i ? STR(",\n                {\n") : STR("\n                {\n"));
        put_text(out, in, "result-type", f->result_type);
        put_text(out, in, "sending-mta-ip", f->sending_mta_ip);
        put_text(out, in, "receiving-mx-hostname", f->receiving_mx_hostname);
        put_text(out, in, "receiving-mx-helo", f->receiving_mx_helo);
        put_text(out, in, "receiving-ip", f->receiving_ip);
        put_text(out, in, "additional-information", f->additional_information);
        put_text(out, in, "failure-reason-code", f->failure_reason_code);
        buf_printf(out, "%s\"failed-session-count\": %llu\n                }", in,
                   (unsigned long long)f->failed_session_count);
    }
    BUF_PUT(out, "\n            ]");
}

static void put_policy(struct buf *out, const struct tlsrpt_policy *p)
{
    static const char in[] = "                ";

    BUF_PUT(out, "        {\n            \"policy\": {\n");
    put_text(out, in, "policy-type", p->policy_type);
    put_texts(out, in, "policy-string", p->policy_string, p->n_policy_string);
    put_texts(out, in, "mx-host", p->mx_host, p->n_mx_host);
    buf_printf(out, "%s\"policy-domain\": ", in);
    json_put_string(out, p->policy_domain);
    buf_printf(out,
               "\n            },\n            \"summary\": {\n"
               "%s\"total-successful-session-count\": %llu,\n"
               "%s\"total-failure-session-count\": %llu\n            }",
               in, (unsigned long long)p->total_successful_session_count, in,
               (unsigned long long)p->total_failure_session_count);
    if (p->n_failures)
        put_failures(out, p);
    BUF_PUT(out, "\n        }");
}

void tlsrpt_report_put(struct buf *out, const struct tlsrpt_report *report)
{
    BUF_PUT(out, "{\n");
    put_text(out, "    ", "organization-name", report->organization_name);
    BUF_PUT(out, "    \"date-range\": {\n");
    put_time(out, "        ", "start-datetime", report->start, ",");
    put_time(out, "        ", "end-datetime", report->end, "");
    BUF_PUT(out, "    },\n");
    put_text(out, "    ", "contact-info", report->contact_info);
    put_text(out, "    ", "report-id", report->report_id);
    BUF_PUT(out, "    \"policies\": [\n");
    for (size_t i = 0; i < report->n; i++) {
        put_policy(out, &report->policies[i]);
        buf_put(out, i + 1 < report->n ? STR(",\n") : STR("\n"));
    }
    BUF_PUT(out, "    ]\n}\n");
}

static bool keep(void *ctx, struct str piece, struct err *e)
{
    (void)e;
    buf_put(ctx, piece); // report_unpack keeps to the limit
    return true;
}

bool tlsrpt_report_of_message(struct arena *a, struct str message, const struct part *root,
                              struct tlsrpt_report **out, struct err *e)
{
    AUTO_BUF json = BUF_LIMIT(REPORT_MAX_SIZE);

    *out = NULL;
    return report_unpack(message, root, REPORT_TLS, keep, &json, e) &&
           tlsrpt_report_parse(a, buf_str(&json), out, e);
}
