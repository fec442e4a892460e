/*
 * What a report about TLS says: the results of a day (RFC 8460 4).
 */
#include "base/log.h"
#include "role/admin/report_send.h"
#include "text/deflate.h"

static struct str joined(struct arena *a, const struct recipients *r)
{
    AUTO_BUF out = BUF_LIMIT(1 << 16);

    for (size_t i = 0; i < r->n; i++) {
        if (i)
            BUF_PUT(&out, " ");
        buf_put(&out, r->items[i].address);
    }
    return arena_dup(a, buf_str(&out));
}

/* Until the web servers have it. */
static bool keep_for_web(const struct letter *l, const struct recipients *all, struct err *e)
{
    for (size_t i = 0; i < all->n; i++) {
        const struct web_report w = {.url = all->items[i].address, .domain = l->m.domain,
                                     .body = l->m.attachment, .created_unix = l->m.now_unix};

        if (!all->items[i].is_web || reports_web_add(admin_reports, &w, e))
            continue;
        if (e->kind != ERR_LIMIT)
            return false;
        LOG(LOG_WARN, "admin", "a report is not sent", LOG_E(e), LOG_S("url", w.url));
        *e = (struct err){0};
    }
    return true;
}

static bool write_tls(struct arena *a, const struct report_job *job, struct tlsrpt_policy *policies, size_t n,
                      const struct recipients *to, struct letter *l, struct err *e)
{
    AUTO_BUF json = BUF_LIMIT(LETTER_MAX_BYTES);
    struct recipients by_mail = {0};
    struct tlsrpt_report report;

    letter_start(a, REPORT_TLS, job->domain, l);
    l->m.begin = job->tls.day * DAY_S;
    l->m.end = l->m.begin + DAY_S - 1;
    // Of a day that is told in parts, by command and at its end, each has a name of its own: what has none is a repetition.
    l->m.report_id = arena_printf(a, "%.*s.%.*s.%.*s@%.*s", STR_FMT(report_day_name(a, l->m.begin)), STR_FMT(job->domain),
                                  STR_FMT(str_sub(l->m.random, 0, 12)), STR_FMT(l->m.submitter));
    report = (struct tlsrpt_report){.organization_name = l->m.submitter, .contact_info = l->m.from,
                                    .report_id = l->m.report_id, .start = l->m.begin, .end = l->m.end,
                                    .policies = policies, .n = n};
    tlsrpt_report_put(&json, &report);
    gzip_put(&l->attachment, buf_str(&json));
    if (json.full || l->attachment.full)
        return fail(e, ERR_LIMIT, "the report is too large");
    l->m.attachment = buf_str(&l->attachment);
    for (size_t i = 0; i < to->n; i++)
        if (!to->items[i].is_web)
            *ARENA_PUSH(a, by_mail.items, &by_mail.n, &by_mail.cap) = to->items[i];
    return !by_mail.n || letter_write(a, l, &by_mail, e);
}

bool report_tls_finish(struct arena *a, const struct report_job *job, struct recipients *to, struct err *e)
{
    struct str addresses = joined(a, to);
    AUTO_LETTER l = {.m = {.n_to = 0}};
    struct tlsrpt_policy *policies;
    uint64_t failures = 0;
    bool is_told;
    size_t n;

    if (!reports_tls_policies(admin_reports, a, &job->tls, addresses, &policies, &n, e) ||
        !report_to_wanted(true, to, e))
        return false;
    for (size_t i = 0; i < n; i++)
        failures += policies[i].total_failure_session_count;
    is_told = to->n && n && (failures || admin_settings()->reports_success);
    if (is_told && !write_tls(a, job, policies, n, to, &l, e))
        return false;
    return reports_begin(admin_reports, e) &&
           reports_end(admin_reports, (!is_told || (keep_for_web(&l, to, e) && letter_keep(a, &l, e))) &&
                                          reports_tls_told(admin_reports, &job->tls, addresses, e), e);
}
