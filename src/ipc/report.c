#include "ipc/report.h"

#include "text/encode.h"

/* --- structs of texts: where these are ------------------------------------------------------------ */

struct texts {
    const size_t *at;
    size_t n;
};
#define TEXTS(name, type, ...)                                                                     \
    static const size_t name##_at[] = {__VA_ARGS__};                                               \
    static const struct texts name = {name##_at, COUNT(name##_at)};
#define D(field) offsetof(struct dmarc_report, field)
#define R(field) offsetof(struct dmarc_report_record, field)
#define T(field) offsetof(struct tlsrpt_failure, field)

TEXTS(of_dmarc, dmarc_report, D(version), D(org_name), D(email), D(extra_contact_info),
      D(report_id), D(generator), D(domain), D(adkim), D(aspf), D(p), D(sp), D(np), D(pct), D(fo),
      D(testing), D(discovery_method))
TEXTS(of_record, dmarc_report_record, R(source_ip), R(disposition), R(dkim), R(spf), R(header_from),
      R(envelope_from), R(envelope_to))
TEXTS(of_reason, dmarc_report_reason, offsetof(struct dmarc_report_reason, type),
      offsetof(struct dmarc_report_reason, comment))
TEXTS(of_dkim, dmarc_report_dkim, offsetof(struct dmarc_report_dkim, domain),
      offsetof(struct dmarc_report_dkim, selector), offsetof(struct dmarc_report_dkim, result),
      offsetof(struct dmarc_report_dkim, human_result))
TEXTS(of_spf, dmarc_report_spf, offsetof(struct dmarc_report_spf, domain),
      offsetof(struct dmarc_report_spf, scope), offsetof(struct dmarc_report_spf, result),
      offsetof(struct dmarc_report_spf, human_result))
TEXTS(of_tls, tlsrpt_report, offsetof(struct tlsrpt_report, organization_name),
      offsetof(struct tlsrpt_report, contact_info), offsetof(struct tlsrpt_report, report_id))
TEXTS(of_policy, tlsrpt_policy, offsetof(struct tlsrpt_policy, policy_type),
      offsetof(struct tlsrpt_policy, policy_domain))
TEXTS(of_failure, tlsrpt_failure, T(result_type), T(sending_mta_ip), T(receiving_mx_hostname),
      T(receiving_mx_helo), T(receiving_ip), T(additional_information), T(failure_reason_code))
TEXTS(one_text, str, 0)

static void put_texts(struct buf *out, const void *object, struct texts texts)
{
    for (size_t i = 0; i < texts.n; i++)
        ipc_put_str(out, *(const struct str *)((const char *)object + texts.at[i]));
}

static void put_list(struct buf *out, const void *items, size_t n, size_t size, struct texts texts)
{
    ipc_put_u32(out, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        put_texts(out, (const char *)items + i * size, texts);
}

/* What is read: within the limits of a report as it is parsed, whatever the list. */
struct reader {
    struct cur c;
    struct arena *a;
    uint64_t n_items; // of all lists
};
enum { MAX_ITEMS = DMARC_REPORT_MAX_RECORDS + DMARC_REPORT_MAX_RESULTS + TLSRPT_MAX_VALUES };
_Static_assert((int)DMARC_REPORT_MAX_FIELD == (int)TLSRPT_MAX_FIELD, "one limit for both");

static bool get_text(struct reader *r, struct str *out)
{
    return ipc_get_str(&r->c, DMARC_REPORT_MAX_FIELD, out) && utf8_is_valid(*out) &&
           str_find(*out, '\0') == STR_NONE;
}

static bool get_texts(struct reader *r, void *object, struct texts texts)
{
    for (size_t i = 0; i < texts.n; i++)
        if (!get_text(r, (struct str *)((char *)object + texts.at[i])))
            return false;
    return true;
}

/* How many there are; each takes a byte at least. */
static bool get_count(struct reader *r, size_t *out)
{
    uint32_t n;

    if (!ipc_get_u32(&r->c, 0, &n) || n > cur_left(&r->c) || (r->n_items += n) > MAX_ITEMS)
        return false;
    *out = n;
    return true;
}

static bool get_list(struct reader *r, void *items_out, size_t *n, size_t size, struct texts texts)
{
    char *items;

    if (!get_count(r, n))
        return false;
    items = arena_array(r->a, *n, size);
    *(void **)items_out = items;
    for (size_t i = 0; i < *n; i++)
        if (!get_texts(r, items + i * size, texts))
            return false;
    return true;
}

static bool get_u64(struct reader *r, uint64_t max, uint64_t *out)
{
    return ipc_get_u64(&r->c, max, out);
}

static bool get_time(struct reader *r, int64_t *out)
{
    const uint64_t max = 253402300799; // the year 9999
    uint64_t v;

    if (!get_u64(r, max, &v))
        return false;
    *out = (int64_t)v;
    return true;
}

#define PUT_LIST(out, items, n, texts) put_list((out), (items), (n), sizeof *(items), (texts))
#define GET_LIST(r, items, n, texts) get_list((r), &(items), &(n), sizeof *(items), (texts))

/* --- DMARC ---------------------------------------------------------------------------------------- */

void ipc_put_dmarc_report(struct buf *out, const struct dmarc_report *report)
{
    put_texts(out, report, of_dmarc);
    ipc_put_u64(out, (uint64_t)report->begin);
    ipc_put_u64(out, (uint64_t)report->end);
    PUT_LIST(out, report->errors, report->n_errors, one_text);
    ipc_put_u32(out, (uint32_t)report->n);
    for (size_t i = 0; i < report->n; i++) {
        const struct dmarc_report_record *row = &report->records[i];

        put_texts(out, row, of_record);
        ipc_put_u64(out, row->count);
        PUT_LIST(out, row->reasons, row->n_reasons, of_reason);
        PUT_LIST(out, row->dkim_results, row->n_dkim, of_dkim);
        PUT_LIST(out, row->spf_results, row->n_spf, of_spf);
    }
}

static bool get_record(struct reader *r, struct dmarc_report_record *row)
{
    return get_texts(r, row, of_record) && get_u64(r, INT32_MAX, &row->count) &&
           GET_LIST(r, row->reasons, row->n_reasons, of_reason) &&
           GET_LIST(r, row->dkim_results, row->n_dkim, of_dkim) &&
           GET_LIST(r, row->spf_results, row->n_spf, of_spf);
}

static bool get_dmarc(struct reader *r, struct dmarc_report *out)
{
    if (!get_texts(r, out, of_dmarc) || !get_time(r, &out->begin) || !get_time(r, &out->end) ||
        !GET_LIST(r, out->errors, out->n_errors, one_text) || !get_count(r, &out->n) ||
        out->n > DMARC_REPORT_MAX_RECORDS)
        return false;
    out->records = ARENA_ARRAY(r->a, out->n, struct dmarc_report_record);
    for (size_t i = 0; i < out->n; i++)
        if (!get_record(r, &out->records[i]))
            return false;
    return !cur_left(&r->c) && out->begin && out->end >= out->begin && out->domain.n;
}

bool ipc_get_dmarc_report(struct arena *a, struct str bytes, struct dmarc_report **out,
                          struct err *e)
{
    struct reader r = {.c = cur_of(bytes), .a = a};

    *out = ARENA_NEW(a, struct dmarc_report);
    return get_dmarc(&r, *out) || fail(e, ERR_SYNTAX, "a DMARC report that no account would send");
}

/* --- TLS ------------------------------------------------------------------------------------------ */

void ipc_put_tls_report(struct buf *out, const struct tlsrpt_report *report)
{
    put_texts(out, report, of_tls);
    ipc_put_u64(out, (uint64_t)report->start);
    ipc_put_u64(out, (uint64_t)report->end);
    ipc_put_u32(out, (uint32_t)report->n);
    for (size_t i = 0; i < report->n; i++) {
        const struct tlsrpt_policy *p = &report->policies[i];

        put_texts(out, p, of_policy);
        PUT_LIST(out, p->policy_string, p->n_policy_string, one_text);
        PUT_LIST(out, p->mx_host, p->n_mx_host, one_text);
        ipc_put_u64(out, p->total_successful_session_count);
        ipc_put_u64(out, p->total_failure_session_count);
        ipc_put_u32(out, (uint32_t)p->n_failures);
        for (size_t j = 0; j < p->n_failures; j++) {
            put_texts(out, &p->failures[j], of_failure);
            ipc_put_u64(out, p->failures[j].failed_session_count);
        }
    }
}

static bool get_policy(struct reader *r, struct tlsrpt_policy *p)
{
    const uint64_t max = (uint64_t)1 << 50;

    if (!get_texts(r, p, of_policy) ||
        !GET_LIST(r, p->policy_string, p->n_policy_string, one_text) ||
        !GET_LIST(r, p->mx_host, p->n_mx_host, one_text) ||
        !get_u64(r, max, &p->total_successful_session_count) ||
        !get_u64(r, max, &p->total_failure_session_count) || !get_count(r, &p->n_failures) ||
        p->n_failures > TLSRPT_MAX_FAILURES)
        return false;
    p->failures = ARENA_ARRAY(r->a, p->n_failures, struct tlsrpt_failure);
    for (size_t i = 0; i < p->n_failures; i++)
        if (!get_texts(r, &p->failures[i], of_failure) ||
            !get_u64(r, max, &p->failures[i].failed_session_count))
            return false;
    return true;
}

static bool get_tls(struct reader *r, struct tlsrpt_report *out)
{
    if (!get_texts(r, out, of_tls) || !get_time(r, &out->start) || !get_time(r, &out->end) ||
        !get_count(r, &out->n) || out->n > TLSRPT_MAX_POLICIES)
        return false;
    out->policies = ARENA_ARRAY(r->a, out->n, struct tlsrpt_policy);
    for (size_t i = 0; i < out->n; i++)
        if (!get_policy(r, &out->policies[i]))
            return false;
    return !cur_left(&r->c);
}

bool ipc_get_tls_report(struct arena *a, struct str bytes, struct tlsrpt_report **out,
                        struct err *e)
{
    struct reader r = {.c = cur_of(bytes), .a = a};

    *out = ARENA_NEW(a, struct tlsrpt_report);
    return get_tls(&r, *out) || fail(e, ERR_SYNTAX, "a TLS report that no account would send");
}
