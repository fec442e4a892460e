#include "base/cur.h"
#include "reports/reports_priv.h"

/* --- DMARC ---------------------------------------------------------------------------------------- */

bool reports_due_dmarc(struct reports *r, struct arena *a, int64_t end_hour, bool all,
                       struct report_names *out, struct err *e)
{
    // At midnight every interval ends (mox-smtp-delivery.md 5.4).
    AUTO_STMT s = db_prepare(r->db, "SELECT DISTINCT policy_domain FROM evaluation WHERE hour < ?1 "
                                    "AND (?2 OR (?1 % 24) % interval_hours = 0) "
                                    "ORDER BY policy_domain", e);

    *out = (struct report_names){0};
    if (!s)
        return false;
    stmt_bind_i64(s, 1, end_hour);
    stmt_bind_u64(s, 2, all);
    while (stmt_step(s, e))
        *ARENA_PUSH(a, out->items, &out->n, &out->cap) = arena_dup(a, stmt_str(s, 0));
    return e->kind == ERR_NONE;
}

static bool last_record(struct reports *r, struct arena *a, struct str domain, int64_t end_hour,
                        struct str *out, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT record FROM evaluation WHERE policy_domain = ? AND "
                                    "hour < ? ORDER BY last_unix DESC LIMIT 1", e);

    *out = STR("");
    if (!s)
        return false;
    stmt_bind_str(s, 1, domain);
    stmt_bind_i64(s, 2, end_hour);
    if (stmt_step(s, e))
        *out = arena_dup(a, stmt_str(s, 0));
    return e->kind == ERR_NONE;
}

static void take_evaluation(struct stmt *s, struct arena *a, struct report_evaluation *m)
{
    struct str *const texts[] = {&m->source_ip, &m->overrides, &m->header_from, &m->envelope_from,
                                 &m->envelope_to, &m->spf_domain, &m->spf, &m->dkim};
    bool *const flags[] = {&m->is_rejected, &m->is_dkim_aligned, &m->is_spf_aligned,
                           &m->is_spf_helo};
    int at = 0;

    for (size_t i = 0; i < COUNT(texts); i++)
        *texts[i] = arena_dup(a, stmt_str(s, at++));
    for (size_t i = 0; i < COUNT(flags); i++)
        *flags[i] = stmt_u64(s, at++);
    m->messages = stmt_u64(s, at++);
}

bool reports_evaluations(struct reports *r, struct arena *a, struct str domain, int64_t end_hour,
                         struct report_evaluations *out, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db,
                             "SELECT source_ip, overrides, header_from, envelope_from, envelope_to, "
                             "spf_domain, spf, dkim, is_rejected, is_dkim_aligned, is_spf_aligned, "
                             "is_spf_helo, sum(messages), min(hour), max(interval_hours), "
                             "min(is_optional) FROM evaluation WHERE policy_domain = ? AND hour < ? "
                             "GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12", e);

    *out = (struct report_evaluations){.first_hour = end_hour};
    if (!s)
        return false;
    stmt_bind_str(s, 1, domain);
    stmt_bind_i64(s, 2, end_hour);
    while (stmt_step(s, e)) {
        int64_t hour = stmt_i64(s, 13);
        unsigned hours = (unsigned)stmt_u64(s, 14);

        take_evaluation(s, a, ARENA_PUSH(a, out->rows, &out->n, &out->cap));
        out->first_hour = hour < out->first_hour ? hour : out->first_hour;
        out->interval_hours = hours > out->interval_hours ? hours : out->interval_hours;
        out->has_reason = out->has_reason || !stmt_u64(s, 15);
    }
    return e->kind == ERR_NONE && last_record(r, a, domain, end_hour, &out->record, e);
}

static bool run_for(struct reports *r, const char *sql, struct str domain, int64_t number,
                    struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, sql, e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, domain);
    stmt_bind_i64(s, 2, number);
    return stmt_run(s, e);
}

static bool drop_evaluations(struct reports *r, struct str domain, int64_t end_hour, struct err *e)
{
    uint64_t n;

    if (!run_for(r, "DELETE FROM evaluation WHERE policy_domain = ? AND hour < ?", domain, end_hour, e))
        return false;
    n = db_changes(r->db);
    r->n_evaluations -= n < r->n_evaluations ? n : r->n_evaluations;
    return run_for(r, "UPDATE evaluation_total SET n_rows = n_rows - ?2 WHERE policy_domain = ?1",
                   domain, (int64_t)n, e) &&
           run_for(r, "DELETE FROM evaluation_total WHERE policy_domain = ? AND n_rows <= ?", domain,
                   0, e);
}

bool reports_drop_evaluations(struct reports *r, struct str domain, int64_t end_hour, struct err *e)
{
    return reports_begin(r, e) && reports_end(r, drop_evaluations(r, domain, end_hour, e), e);
}

/* --- TLS ------------------------------------------------------------------------------------------ */

static bool add_days(struct arena *a, struct stmt *s, int64_t before_day, bool is_host,
                     struct report_days *out, struct err *e)
{
    if (!s)
        return false;
    stmt_bind_i64(s, 1, before_day);
    while (stmt_step(s, e))
        *ARENA_PUSH(a, out->items, &out->n, &out->cap) =
            (struct report_day){arena_dup(a, stmt_str(s, 0)), stmt_i64(s, 1), is_host};
    return e->kind == ERR_NONE;
}

bool reports_due_tls(struct reports *r, struct arena *a, int64_t before_day,
                     struct report_days *out, struct err *e)
{
    AUTO_STMT domains = db_prepare(r->db, "SELECT DISTINCT recipient_domain, day FROM tls_result "
                                          "WHERE day < ? AND reported_to = '' ORDER BY 1, 2", e);
    AUTO_STMT hosts = db_prepare(r->db, "SELECT DISTINCT policy_domain, day FROM tls_result "
                                        "WHERE day < ? AND is_host ORDER BY 1, 2", e);

    *out = (struct report_days){0};
    return add_days(a, domains, before_day, false, out, e) &&
           add_days(a, hosts, before_day, true, out, e);
}

// Lines as a list.
static void split_lines(struct arena *a, struct str text, struct str **out, size_t *n)
{
    struct cur c = cur_of(text);
    struct str line;
    size_t cap = 0;

    *n = 0;
    while (cur_line(&c, &line))
        if (line.n)
            *ARENA_PUSH(a, *out, n, &cap) = arena_dup(a, line);
}

static struct stmt *prepare_failures(struct reports *r, bool is_host, struct err *e)
{
#define FAILURES(which)                                                                            \
    "SELECT f.result_type, f.sending_ip, f.mx_host, f.mx_helo, f.receiving_ip, f.additional, "     \
    "f.reason_code, sum(f.sessions) FROM tls_failure f JOIN tls_result t ON t.id = f.result "      \
    "WHERE t.day = ?1 AND " which " AND t.policy_domain = ?4 AND t.policy_type = ?5 AND "          \
    "t.policy_strings = ?6 AND t.mx_hosts = ?7 GROUP BY 1, 2, 3, 4, 5, 6, 7"
    return is_host ? db_prepare(r->db, FAILURES("t.is_host AND t.policy_domain = ?2 AND "
                                                "(?3 = '' OR t.reported_to <> ?3)"), e)
                   : db_prepare(r->db, FAILURES("t.recipient_domain = ?2 AND t.is_host = ?8 AND "
                                                "?3 = ?3"), e);
}

static bool read_failures(struct reports *r, struct arena *a, const struct report_day *day,
                          struct str addresses, struct stmt *row, struct tlsrpt_policy *p,
                          struct err *e)
{
    AUTO_STMT s = prepare_failures(r, day->is_host, e);
    size_t cap = 0;

    if (!s)
        return false;
    stmt_bind_i64(s, 1, day->day);
    stmt_bind_str(s, 2, day->domain);
    stmt_bind_str(s, 3, addresses);
    stmt_bind_str(s, 4, p->policy_domain);
    stmt_bind_u64(s, 5, stmt_u64(row, 1));
    stmt_bind_str(s, 6, stmt_str(row, 2));
    stmt_bind_str(s, 7, stmt_str(row, 3));
    if (!day->is_host)
        stmt_bind_u64(s, 8, stmt_u64(row, 6));
    while (stmt_step(s, e)) {
        struct tlsrpt_failure *f = ARENA_PUSH(a, p->failures, &p->n_failures, &cap);
        struct str *const texts[] = {&f->result_type, &f->sending_mta_ip, &f->receiving_mx_hostname,
                                     &f->receiving_mx_helo, &f->receiving_ip,
                                     &f->additional_information, &f->failure_reason_code};

        for (size_t i = 0; i < COUNT(texts); i++)
            *texts[i] = arena_dup(a, stmt_str(s, (int)i));
        f->failed_session_count = stmt_u64(s, (int)COUNT(texts));
    }
    return e->kind == ERR_NONE;
}

static struct stmt *prepare_policies(struct reports *r, bool is_host, struct err *e)
{
    if (is_host)
        return db_prepare(r->db,
                          "SELECT policy_domain, policy_type, policy_strings, mx_hosts, "
                          "sum(successes), sum(failures), 1 FROM tls_result WHERE day = ?1 AND is_host "
                          "AND policy_domain = ?2 AND (?3 = '' OR reported_to <> ?3) "
                          "GROUP BY 1, 2, 3, 4", e);
    // Of the domain itself none is told when there is DANE for a host of that name.
    return db_prepare(r->db,
                      "SELECT policy_domain, policy_type, policy_strings, mx_hosts, sum(successes), "
                      "sum(failures), is_host FROM tls_result t WHERE day = ?1 AND "
                      "recipient_domain = ?2 AND ?3 = ?3 AND NOT (NOT is_host AND policy_type = 0 AND "
                      "EXISTS (SELECT 1 FROM tls_result o WHERE o.day = t.day AND "
                      "o.policy_domain = t.policy_domain AND o.recipient_domain = t.recipient_domain AND "
                      "o.is_host AND o.policy_type = 1)) "
                      "GROUP BY 7, 1, 2, 3, 4", e);
}

bool reports_tls_policies(struct reports *r, struct arena *a, const struct report_day *day,
                          struct str addresses, struct tlsrpt_policy **out, size_t *n,
                          struct err *e)
{
    static const struct str types[] = {[REPORT_POLICY_NONE] = STR_("no-policy-found"),
                                       [REPORT_POLICY_TLSA] = STR_("tlsa"),
                                       [REPORT_POLICY_STS] = STR_("sts")};
    AUTO_STMT s = prepare_policies(r, day->is_host, e);
    size_t cap = 0;

    *out = NULL;
    *n = 0;
    if (!s)
        return false;
    stmt_bind_i64(s, 1, day->day);
    stmt_bind_str(s, 2, day->domain);
    stmt_bind_str(s, 3, addresses);
    while (stmt_step(s, e)) {
        struct tlsrpt_policy *p = ARENA_PUSH(a, *out, n, &cap);
        uint64_t type = stmt_u64(s, 1);

        p->policy_domain = arena_dup(a, stmt_str(s, 0));
        p->policy_type = types[type < COUNT(types) ? type : 0];
        split_lines(a, stmt_str(s, 2), &p->policy_string, &p->n_policy_string);
        split_lines(a, stmt_str(s, 3), &p->mx_host, &p->n_mx_host);
        p->total_successful_session_count = stmt_u64(s, 4);
        p->total_failure_session_count = stmt_u64(s, 5);
        if (!read_failures(r, a, day, addresses, s, p, e))
            return false;
    }
    return e->kind == ERR_NONE;
}

static bool delete_results(struct reports *r, const struct report_day *day, struct err *e)
{
    if (day->is_host)
        return run_for(r, "DELETE FROM tls_failure WHERE result IN (SELECT id FROM tls_result WHERE "
                          "policy_domain = ? AND day = ? AND is_host)", day->domain, day->day, e) &&
               run_for(r, "DELETE FROM tls_result WHERE policy_domain = ? AND day = ? AND is_host",
                       day->domain, day->day, e);
    return run_for(r, "DELETE FROM tls_failure WHERE result IN (SELECT id FROM tls_result WHERE "
                      "recipient_domain = ? AND day = ? AND NOT is_host)", day->domain, day->day, e) &&
           run_for(r, "DELETE FROM tls_result WHERE recipient_domain = ? AND day = ? AND NOT is_host",
                   day->domain, day->day, e);
}

static bool drop_results(struct reports *r, const struct report_day *day, struct err *e)
{
    uint64_t n;

    if (!delete_results(r, day, e))
        return false;
    n = db_changes(r->db);
    r->n_tls_results -= n < r->n_tls_results ? n : r->n_tls_results;
    return true;
}

static bool note_told(struct reports *r, const struct report_day *day, struct str addresses,
                      struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "UPDATE tls_result SET reported_to = ?3 WHERE "
                                    "recipient_domain = ?1 AND day = ?2", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, day->domain);
    stmt_bind_i64(s, 2, day->day);
    // Not asked about again, also when nobody was told.
    stmt_bind_str(s, 3, addresses.n ? addresses : STR("-"));
    return stmt_run(s, e);
}

bool reports_tls_told(struct reports *r, const struct report_day *day, struct str addresses,
                      struct err *e)
{
    return reports_begin(r, e) &&
           reports_end(r, drop_results(r, day, e) &&
                              (day->is_host || note_told(r, day, addresses, e)), e);
}
