/*
 * What a report about DMARC says: the evaluations of messages from its domain (RFC 7489 7.2).
 */
#include "role/admin/report_send.h"
#include "text/deflate.h"

static void split_overrides(struct arena *a, struct str words, struct dmarc_report_record *row)
{
    struct str one;

    while (str_next(&words, ' ', &one)) {
        // The schema knows no other words; RFC 9990's are told as comments.
        if (str_eq(one, STR("policy_test_mode")))
            *ARENA_PUSH(a, row->reasons, &row->n_reasons, &row->cap_reasons) =
                (struct dmarc_report_reason){STR("other"), one};
        else if (one.n)
            *ARENA_PUSH(a, row->reasons, &row->n_reasons, &row->cap_reasons) =
                (struct dmarc_report_reason){one, STR("")};
    }
}

static void split_signatures(struct arena *a, struct str lines, struct dmarc_report_record *row)
{
    struct cur c = cur_of(lines);
    struct str line, result, domain, selector;

    while (cur_line(&c, &line))
        if (str_cut(line, ' ', &result, &line) && str_cut(line, ' ', &domain, &selector))
            *ARENA_PUSH(a, row->dkim_results, &row->n_dkim, &row->cap_dkim) =
                (struct dmarc_report_dkim){domain, selector, result, STR("")};
}

static void fill_row(struct arena *a, const struct report_evaluation *m,
                     struct dmarc_report_record *row)
{
    *row = (struct dmarc_report_record){
        .source_ip = m->source_ip, .count = m->messages,
        .disposition = m->is_rejected ? STR("reject") : STR("none"),
        .dkim = m->is_dkim_aligned ? STR("pass") : STR("fail"),
        .spf = m->is_spf_aligned ? STR("pass") : STR("fail"),
        .header_from = m->header_from, .envelope_from = m->envelope_from,
        .envelope_to = m->envelope_to};
    split_overrides(a, m->overrides, row);
    split_signatures(a, m->dkim, row);
    if (m->spf_domain.n)
        *ARENA_PUSH(a, row->spf_results, &row->n_spf, &row->cap_spf) =
            (struct dmarc_report_spf){m->spf_domain, m->is_spf_helo ? STR("helo") : STR("mfrom"),
                                      m->spf, STR("")};
}

static struct str policy_name(enum dmarc_policy policy)
{
    return str_of(dmarc_policy_name(policy));
}

static bool fill_report(struct arena *a, const struct report_job *job, const struct report_evaluations *ev,
                        const struct letter *l, struct dmarc_report *out, struct err *e)
{
    struct dmarc_record record;

    if (!dmarc_record_parse(a, ev->record, &record, e))
        return false;
    *out = (struct dmarc_report){
        .org_name = l->m.submitter,
        .email = arena_printf(a, "postmaster@%.*s", STR_FMT(l->m.submitter)),
        .report_id = l->m.report_id, .begin = l->m.begin, .end = l->m.end, .domain = job->domain,
        .adkim = record.is_adkim_strict ? STR("s") : STR("r"),
        .aspf = record.is_aspf_strict ? STR("s") : STR("r"), .p = policy_name(record.p),
        .sp = policy_name(record.sp ? record.sp : record.p), .np = policy_name(record.np),
        .pct = arena_printf(a, "%u", record.pct), .fo = record.fo.n ? record.fo : STR("0"),
        .testing = record.is_test ? STR("y") : STR("")};
    out->records = ARENA_ARRAY(a, ev->n, struct dmarc_report_record);
    for (size_t i = 0; i < ev->n; i++)
        fill_row(a, &ev->rows[i], &out->records[out->n++]);
    return true;
}

static bool write_dmarc(struct arena *a, const struct report_job *job, const struct report_evaluations *ev,
                        const struct recipients *to, struct letter *l, struct err *e)
{
    AUTO_BUF xml = BUF_LIMIT(LETTER_MAX_BYTES);
    int64_t interval_s = (int64_t)ev->interval_hours * HOUR_S;
    struct dmarc_report report;

    letter_start(a, REPORT_DMARC, job->domain, l);
    l->m.end = job->end_unix;
    l->m.begin = job->end_hour * HOUR_S - interval_s;
    while (l->m.begin > ev->first_hour * HOUR_S)
        l->m.begin -= interval_s;
    l->m.report_id = arena_printf(a, "%.*s.%02d.%.*s", STR_FMT(report_day_name(a, job->end_hour * HOUR_S)),
                                  (int)(job->end_hour % 24), STR_FMT(str_sub(l->m.random, 0, 12)));
    if (!fill_report(a, job, ev, l, &report, e))
        return false;
    dmarc_report_put(&xml, &report);
    gzip_put(&l->attachment, buf_str(&xml));
    if (xml.full || l->attachment.full)
        return fail(e, ERR_LIMIT, "the report is too large");
    l->m.attachment = buf_str(&l->attachment);
    return letter_write(a, l, to, e);
}

bool report_dmarc_has_reason(const struct report_job *job, bool *out, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(REPORT_MAX_MEMORY);
    struct report_evaluations ev;

    if (!reports_evaluations(admin_reports, &a, job->domain, job->end_hour, &ev, e))
        return false;
    *out = ev.has_reason;
    return true;
}

bool report_dmarc_finish(struct arena *a, const struct report_job *job, struct recipients *to, struct err *e)
{
    AUTO_LETTER l = {.m = {.n_to = 0}};
    struct report_evaluations ev;

    if (!reports_evaluations(admin_reports, a, job->domain, job->end_hour, &ev, e) ||
        !report_to_wanted(false, to, e) ||
        (to->n && ev.n && !write_dmarc(a, job, &ev, to, &l, e)))
        return false;
    return reports_begin(admin_reports, e) &&
           reports_end(admin_reports, letter_keep(a, &l, e) &&
                                          reports_drop_evaluations(admin_reports, job->domain, job->end_hour, e), e);
}
