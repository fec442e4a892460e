#include "base/map.h"
#include "reports/reports_priv.h"
#include "text/date.h"
#include "text/encode.h"

/* --- lists as JSON -------------------------------------------------------------------------------- */

struct member {
    const char *name;
    struct str value;
};

static void put_object(struct buf *out, const struct member *members, size_t n)
{
    bool is_first = true;

    if (out->n > 1)
        BUF_PUT(out, ",");
    BUF_PUT(out, "{");
    for (size_t i = 0; i < n; i++) {
        if (!members[i].value.n)
            continue;
        buf_printf(out, "%s\"%s\":", is_first ? "" : ",", members[i].name);
        json_put_string(out, members[i].value);
        is_first = false;
    }
    BUF_PUT(out, "}");
}

// Longer than a report can be: only if somebody else than our parser made it.
static struct str end_list(struct arena *a, struct buf *out)
{
    BUF_PUT(out, "]");
    return out->full ? STR("[]") : arena_dup(a, buf_str(out));
}

static struct str json_texts(struct arena *a, const struct str *texts, size_t n)
{
    AUTO_BUF out = BUF_LIMIT(DMARC_REPORT_MAX_TEXT);

    BUF_PUT(&out, "[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            BUF_PUT(&out, ",");
        json_put_string(&out, texts[i]);
    }
    return end_list(a, &out);
}

static struct str json_reasons(struct arena *a, const struct dmarc_report_record *row)
{
    AUTO_BUF out = BUF_LIMIT(DMARC_REPORT_MAX_TEXT);

    BUF_PUT(&out, "[");
    for (size_t i = 0; i < row->n_reasons; i++)
        put_object(&out, (struct member[]){{"type", row->reasons[i].type},
                                           {"comment", row->reasons[i].comment}}, 2);
    return end_list(a, &out);
}

static struct str json_dkim(struct arena *a, const struct dmarc_report_record *row)
{
    AUTO_BUF out = BUF_LIMIT(DMARC_REPORT_MAX_TEXT);

    BUF_PUT(&out, "[");
    for (size_t i = 0; i < row->n_dkim; i++) {
        const struct dmarc_report_dkim *d = &row->dkim_results[i];

        put_object(&out, (struct member[]){{"domain", d->domain},
                                           {"selector", d->selector},
                                           {"result", d->result},
                                           {"human_result", d->human_result}}, 4);
    }
    return end_list(a, &out);
}

static struct str json_spf(struct arena *a, const struct dmarc_report_record *row)
{
    AUTO_BUF out = BUF_LIMIT(DMARC_REPORT_MAX_TEXT);

    BUF_PUT(&out, "[");
    for (size_t i = 0; i < row->n_spf; i++) {
        const struct dmarc_report_spf *s = &row->spf_results[i];

        put_object(&out, (struct member[]){{"domain", s->domain},
                                           {"scope", s->scope},
                                           {"result", s->result},
                                           {"human_result", s->human_result}}, 4);
    }
    return end_list(a, &out);
}

/* --- how much there is ---------------------------------------------------------------------------- */

struct total {
    uint64_t n_reports, n_rows;
};

static bool total_of(struct reports *r, bool is_tls, struct str domain, struct total *out,
                     struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT n_reports, n_rows FROM received_total "
                                    "WHERE is_tls = ? AND domain = ?", e);

    *out = (struct total){0};
    if (!s)
        return false;
    stmt_bind_u64(s, 1, is_tls);
    stmt_bind_str(s, 2, domain);
    if (stmt_step(s, e))
        *out = (struct total){stmt_u64(s, 0), stmt_u64(s, 1)};
    return e->kind == ERR_NONE;
}

static bool add_total(struct reports *r, bool is_tls, struct str domain, int64_t reports,
                      int64_t rows, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "INSERT INTO received_total (is_tls, domain, n_reports, n_rows) "
                                    "VALUES (?1, ?2, ?3, ?4) ON CONFLICT (is_tls, domain) DO UPDATE "
                                    "SET n_reports = n_reports + ?3, n_rows = n_rows + ?4", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, is_tls);
    stmt_bind_str(s, 2, domain);
    stmt_bind_i64(s, 3, reports);
    stmt_bind_i64(s, 4, rows);
    return stmt_run(s, e);
}

static bool remove_report(struct reports *r, bool is_tls, uint64_t id, struct str domain,
                          uint64_t rows, struct err *e)
{
    if (is_tls)
        return DB_RUN(r->db, "DELETE FROM tls_row_failure WHERE report = ?", e, id) &&
               DB_RUN(r->db, "DELETE FROM tls_row WHERE report = ?", e, id) &&
               DB_RUN(r->db, "DELETE FROM tls_report WHERE id = ?", e, id) &&
               add_total(r, true, domain, -1, -(int64_t)rows, e);
    return DB_RUN(r->db, "DELETE FROM dmarc_row WHERE report = ?", e, id) &&
           DB_RUN(r->db, "DELETE FROM dmarc_report WHERE id = ?", e, id) &&
           add_total(r, false, domain, -1, -(int64_t)rows, e);
}

static struct stmt *prepare_oldest(struct reports *r, bool is_tls, struct err *e)
{
    if (is_tls)
        return db_prepare(r->db, "SELECT id, n_rows FROM tls_report WHERE domain = ? "
                                 "ORDER BY received_unix, id LIMIT 1", e);
    return db_prepare(r->db, "SELECT id, n_rows FROM dmarc_report WHERE domain = ? "
                             "ORDER BY received_unix, id LIMIT 1", e);
}

/* Makes room for one more report with so many rows. */
static bool make_room(struct reports *r, bool is_tls, struct str domain, uint64_t rows,
                      struct err *e)
{
    struct total total;

    if (!total_of(r, is_tls, domain, &total, e))
        return false;
    while (total.n_reports &&
           (total.n_reports >= REPORTS_MAX_RECEIVED || total.n_rows + rows > REPORTS_MAX_ROWS)) {
        uint64_t id, gone;
        {
            AUTO_STMT s = prepare_oldest(r, is_tls, e);

            if (!s)
                return false;
            stmt_bind_str(s, 1, domain);
            if (!stmt_step(s, e))
                return e->kind ? false : fail(e, ERR_BUG, "reports that were counted are gone");
            id = stmt_u64(s, 0);
            gone = stmt_u64(s, 1);
        }
        if (!remove_report(r, is_tls, id, domain, gone, e))
            return false;
        total.n_reports--;
        total.n_rows -= gone < total.n_rows ? gone : total.n_rows;
    }
    return true;
}

static struct stmt *prepare_recent(struct reports *r, bool is_tls, struct err *e)
{
    if (is_tls)
        return db_prepare(r->db, "SELECT count(*) FROM tls_report WHERE domain = ?1 AND "
                                 "received_unix > ?2 AND from_domain = ?3", e);
    return db_prepare(r->db, "SELECT count(*) FROM dmarc_report WHERE domain = ?1 AND "
                             "received_unix > ?2 AND from_domain = ?3", e);
}

/* A flood of one sender does not push out what others have sent. */
static bool check_flood(struct reports *r, bool is_tls, struct str domain,
                        const struct report_origin *from, struct err *e)
{
    enum { DAY_S = 24 * 3600 };
    AUTO_STMT s = prepare_recent(r, is_tls, e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, domain);
    stmt_bind_i64(s, 2, from->received_unix - DAY_S);
    stmt_bind_str(s, 3, from->from_domain);
    if (!stmt_step(s, e))
        return false;
    return stmt_u64(s, 0) < REPORTS_MAX_DAY ||
           fail(e, ERR_LIMIT, "%.*s has sent %d reports about %.*s in a day already",
                STR_FMT(from->from_domain), REPORTS_MAX_DAY, STR_FMT(domain));
}

/* --- DMARC ---------------------------------------------------------------------------------------- */

static bool insert_dmarc(struct reports *r, struct arena *a, const struct report_origin *from,
                         const struct dmarc_report *m, bool *is_new, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "INSERT INTO dmarc_report (domain, from_domain, received_unix, "
                                    "begin_unix, end_unix, report_id, org_name, email, "
                                    "extra_contact_info, generator, version, errors, adkim, aspf, p, "
                                    "sp, np, pct, fo, testing, discovery_method, n_rows) VALUES "
                                    "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) "
                                    "ON CONFLICT DO NOTHING", e);
    const struct str texts[] = {m->report_id, m->org_name, m->email, m->extra_contact_info,
                                m->generator, m->version, json_texts(a, m->errors, m->n_errors),
                                m->adkim, m->aspf, m->p, m->sp, m->np, m->pct, m->fo, m->testing,
                                m->discovery_method};

    if (!s)
        return false;
    stmt_bind_str(s, 1, m->domain);
    stmt_bind_str(s, 2, from->from_domain);
    stmt_bind_i64(s, 3, from->received_unix);
    stmt_bind_i64(s, 4, m->begin);
    stmt_bind_i64(s, 5, m->end);
    for (size_t i = 0; i < COUNT(texts); i++)
        stmt_bind_str(s, 6 + (int)i, texts[i]);
    stmt_bind_u64(s, 6 + (int)COUNT(texts), m->n);
    if (!stmt_run(s, e))
        return false;
    *is_new = db_changes(r->db) > 0;
    return true;
}

static bool insert_row(struct reports *r, struct arena *a, uint64_t report, uint64_t number,
                       const struct dmarc_report_record *row, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "INSERT INTO dmarc_row (report, number, count, source_ip, "
                                    "disposition, dkim, spf, header_from, envelope_from, envelope_to, "
                                    "reasons, dkim_results, spf_results) "
                                    "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", e);
    const struct str texts[] = {row->source_ip, row->disposition, row->dkim, row->spf,
                                row->header_from, row->envelope_from, row->envelope_to,
                                json_reasons(a, row), json_dkim(a, row), json_spf(a, row)};

    if (!s)
        return false;
    stmt_bind_u64(s, 1, report);
    stmt_bind_u64(s, 2, number);
    stmt_bind_u64(s, 3, row->count);
    for (size_t i = 0; i < COUNT(texts); i++)
        stmt_bind_str(s, 4 + (int)i, texts[i]);
    return stmt_run(s, e);
}

static bool add_dmarc(struct reports *r, const struct report_origin *from,
                      const struct dmarc_report *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(4 * DMARC_REPORT_MAX_TEXT);
    bool is_new = false;
    uint64_t id;

    if (!check_flood(r, false, m->domain, from, e) ||
        !make_room(r, false, m->domain, m->n, e) ||
        !insert_dmarc(r, &a, from, m, &is_new, e))
        return false;
    r->was_new = is_new;
    if (!is_new)
        return true;
    id = db_last_id(r->db);
    for (size_t i = 0; i < m->n; i++) {
        arena_reset(&a);
        if (!insert_row(r, &a, id, i, &m->records[i], e))
            return false;
    }
    return add_total(r, false, m->domain, 1, (int64_t)m->n, e);
}

bool reports_was_new(const struct reports *r)
{
    return r->was_new;
}

bool reports_add_dmarc(struct reports *r, const struct report_origin *from,
                       const struct dmarc_report *report, struct err *e)
{
    return reports_begin(r, e) && reports_end(r, add_dmarc(r, from, report, e), e);
}

/* --- TLS ------------------------------------------------------------------------------------------ */

static bool insert_failure(struct reports *r, uint64_t report, uint64_t row, uint64_t number,
                           const struct tlsrpt_failure *f, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "INSERT INTO tls_row_failure (report, row, number, sessions, "
                                    "result_type, sending_ip, mx_host, mx_helo, receiving_ip, "
                                    "additional, reason_code) VALUES (?,?,?,?,?,?,?,?,?,?,?)", e);
    const struct str texts[] = {f->result_type, f->sending_mta_ip, f->receiving_mx_hostname,
                                f->receiving_mx_helo, f->receiving_ip, f->additional_information,
                                f->failure_reason_code};

    if (!s)
        return false;
    stmt_bind_u64(s, 1, report);
    stmt_bind_u64(s, 2, row);
    stmt_bind_u64(s, 3, number);
    stmt_bind_u64(s, 4, f->failed_session_count);
    for (size_t i = 0; i < COUNT(texts); i++)
        stmt_bind_str(s, 5 + (int)i, texts[i]);
    return stmt_run(s, e);
}

static bool insert_policy(struct reports *r, uint64_t report, uint64_t number,
                          const struct tlsrpt_policy *p, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(3 * DMARC_REPORT_MAX_TEXT);
    AUTO_STMT s = db_prepare(r->db, "INSERT INTO tls_row (report, number, policy_type, "
                                    "policy_strings, mx_hosts, successes, failures) "
                                    "VALUES (?,?,?,?,?,?,?)", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, report);
    stmt_bind_u64(s, 2, number);
    stmt_bind_str(s, 3, p->policy_type);
    stmt_bind_str(s, 4, json_texts(&a, p->policy_string, p->n_policy_string));
    stmt_bind_str(s, 5, json_texts(&a, p->mx_host, p->n_mx_host));
    stmt_bind_u64(s, 6, p->total_successful_session_count);
    stmt_bind_u64(s, 7, p->total_failure_session_count);
    if (!stmt_run(s, e))
        return false;
    for (size_t i = 0; i < p->n_failures; i++)
        if (!insert_failure(r, report, number, i, &p->failures[i], e))
            return false;
    return true;
}

static bool insert_tls(struct reports *r, const struct report_origin *from, struct str domain,
                       bool is_host, uint64_t rows, const struct tlsrpt_report *m, bool *is_new,
                       struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "INSERT INTO tls_report (domain, is_host, from_domain, mail_from, "
                                    "received_unix, begin_unix, end_unix, report_id, org_name, "
                                    "contact_info, n_rows) VALUES (?,?,?,?,?,?,?,?,?,?,?) "
                                    "ON CONFLICT DO NOTHING", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, domain);
    stmt_bind_u64(s, 2, is_host);
    stmt_bind_str(s, 3, from->from_domain);
    stmt_bind_str(s, 4, from->mail_from);
    stmt_bind_i64(s, 5, from->received_unix);
    stmt_bind_i64(s, 6, m->start);
    stmt_bind_i64(s, 7, m->end);
    stmt_bind_str(s, 8, m->report_id);
    stmt_bind_str(s, 9, m->organization_name);
    stmt_bind_str(s, 10, m->contact_info);
    stmt_bind_u64(s, 11, rows);
    if (!stmt_run(s, e))
        return false;
    *is_new = db_changes(r->db) > 0;
    return true;
}

static bool add_tls(struct reports *r, const struct report_origin *from, struct str domain,
                    bool is_host, const struct tlsrpt_report *m, struct err *e)
{
    uint64_t rows = 0, id, number = 0;
    bool is_new = false;

    for (size_t i = 0; i < m->n; i++)
        if (str_eq(m->policies[i].policy_domain, domain))
            rows += 1 + m->policies[i].n_failures;
    if (!check_flood(r, true, domain, from, e) || !make_room(r, true, domain, rows, e) ||
        !insert_tls(r, from, domain, is_host, rows, m, &is_new, e))
        return false;
    r->was_new = is_new;
    if (!is_new)
        return true;
    id = db_last_id(r->db);
    for (size_t i = 0; i < m->n; i++)
        if (str_eq(m->policies[i].policy_domain, domain) &&
            !insert_policy(r, id, number++, &m->policies[i], e))
            return false;
    return add_total(r, true, domain, 1, (int64_t)rows, e);
}

bool reports_add_tls(struct reports *r, const struct report_origin *from, struct str domain,
                     bool is_host, const struct tlsrpt_report *report, struct err *e)
{
    return reports_begin(r, e) &&
           reports_end(r, add_tls(r, from, domain, is_host, report, e), e);
}

/* --- age ------------------------------------------------------------------------------------------ */

static struct stmt *prepare_old(struct reports *r, bool is_tls, struct err *e)
{
    if (is_tls)
        return db_prepare(r->db, "SELECT id, n_rows, domain FROM tls_report "
                                 "WHERE received_unix < ? LIMIT 1", e);
    return db_prepare(r->db, "SELECT id, n_rows, domain FROM dmarc_report "
                             "WHERE received_unix < ? LIMIT 1", e);
}

bool reports_expire_received(struct reports *r, bool is_tls, int64_t before_unix, struct err *e)
{
    for (;;) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 16);
        struct str domain;
        uint64_t id, rows;
        {
            AUTO_STMT s = prepare_old(r, is_tls, e);

            if (!s)
                return false;
            stmt_bind_i64(s, 1, before_unix);
            if (!stmt_step(s, e))
                return e->kind == ERR_NONE;
            id = stmt_u64(s, 0);
            rows = stmt_u64(s, 1);
            domain = arena_dup(&a, stmt_str(s, 2));
        }
        if (!remove_report(r, is_tls, id, domain, rows, e))
            return false;
    }
}

/* --- for people ----------------------------------------------------------------------------------- */

// Text of others on a terminal: control characters would act there.
static void put_plain(struct buf *out, const char *before, struct str s)
{
    buf_printf(out, "%s\"", before);
    for (size_t i = 0; i < s.n && i < 200; i++)
        buf_put_char(out, (unsigned char)s.p[i] < 32 || s.p[i] == 127 || s.p[i] == '"' ? '?' : s.p[i]);
    BUF_PUT(out, "\"");
}

static struct stmt *prepare_list(struct reports *r, bool is_tls, struct err *e)
{
    if (is_tls)
        return db_prepare(r->db,
                          "SELECT id, received_unix, domain, begin_unix, end_unix, org_name, "
                          "from_domain, report_id, "
                          "(SELECT sum(successes) FROM tls_row WHERE report = id), "
                          "(SELECT sum(failures) FROM tls_row WHERE report = id) "
                          "FROM tls_report WHERE id > ?1 AND (?2 = '' OR domain = ?2) ORDER BY id", e);
    return db_prepare(r->db,
                      "SELECT id, received_unix, domain, begin_unix, end_unix, org_name, from_domain, "
                      "report_id, "
                      "(SELECT sum(count) FROM dmarc_row WHERE report = id AND (dkim = 'pass' OR "
                      "spf = 'pass')), "
                      "(SELECT sum(count) FROM dmarc_row WHERE report = id AND dkim <> 'pass' AND "
                      "spf <> 'pass') "
                      "FROM dmarc_report WHERE id > ?1 AND (?2 = '' OR domain = ?2) ORDER BY id", e);
}

bool reports_list(struct reports *r, bool is_tls, struct str domain, uint64_t after,
                  struct buf *out, uint64_t *last, struct err *e)
{
    enum { LONGEST_LINE = 2000 };
    AUTO_STMT s = prepare_list(r, is_tls, e);

    *last = 0;
    if (!s)
        return false;
    stmt_bind_u64(s, 1, after);
    stmt_bind_str(s, 2, domain);
    while (stmt_step(s, e)) {
        buf_printf(out, "%5llu ", (unsigned long long)stmt_u64(s, 0));
        date_put_rfc3339(out, stmt_i64(s, 1));
        put_plain(out, " domain ", stmt_str(s, 2));
        BUF_PUT(out, " period ");
        date_put_rfc3339(out, stmt_i64(s, 3));
        BUF_PUT(out, " to ");
        date_put_rfc3339(out, stmt_i64(s, 4));
        put_plain(out, " by ", stmt_str(s, 5));
        put_plain(out, " from ", stmt_str(s, 6));
        put_plain(out, " id ", stmt_str(s, 7));
        buf_printf(out, " pass %llu fail %llu\n", (unsigned long long)stmt_u64(s, 8),
                   (unsigned long long)stmt_u64(s, 9));
        if (out->n + LONGEST_LINE > out->limit) {
            *last = stmt_u64(s, 0);
            break;
        }
    }
    return e->kind == ERR_NONE;
}
