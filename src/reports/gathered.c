#include "base/log.h"
#include "reports/reports_priv.h"

/* --- evaluations of DMARC ------------------------------------------------------------------------- */

static bool rows_of(struct reports *r, struct str domain, uint64_t *out, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT n_rows FROM evaluation_total WHERE policy_domain = ?", e);

    *out = 0;
    if (!s)
        return false;
    stmt_bind_str(s, 1, domain);
    if (stmt_step(s, e))
        *out = stmt_u64(s, 0);
    return e->kind == ERR_NONE;
}

static bool count_row(struct reports *r, struct str domain, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "INSERT INTO evaluation_total (policy_domain, n_rows) "
                                    "VALUES (?, 1) ON CONFLICT (policy_domain) DO UPDATE "
                                    "SET n_rows = n_rows + 1", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, domain);
    return stmt_run(s, e);
}

static void bind_evaluation(struct stmt *s, int64_t hour, const struct report_evaluation *m)
{
    const struct str texts[] = {m->policy_domain, m->record, m->source_ip, m->overrides,
                                m->header_from, m->envelope_from, m->envelope_to, m->spf_domain,
                                m->spf, m->dkim};
    const bool flags[] = {m->is_optional, m->is_rejected, m->is_dkim_aligned, m->is_spf_aligned,
                          m->is_spf_helo};
    int at = 1;

    for (size_t i = 0; i < COUNT(texts); i++)
        stmt_bind_str(s, at++, texts[i]);
    for (size_t i = 0; i < COUNT(flags); i++)
        stmt_bind_u64(s, at++, flags[i]);
    stmt_bind_i64(s, at, hour);
}

/* One more message like one of this hour; false when there was none, or with *e set. */
static bool count_again(struct reports *r, int64_t now_unix, const struct report_evaluation *m,
                        struct err *e)
{
    AUTO_STMT s = db_prepare(r->db,
                             "UPDATE evaluation SET messages = messages + 1, last_unix = ?17 WHERE "
                             "policy_domain = ?1 AND record = ?2 AND source_ip = ?3 AND "
                             "overrides = ?4 AND header_from = ?5 AND envelope_from = ?6 AND "
                             "envelope_to = ?7 AND spf_domain = ?8 AND spf = ?9 AND dkim = ?10 AND "
                             "is_optional = ?11 AND is_rejected = ?12 AND is_dkim_aligned = ?13 AND "
                             "is_spf_aligned = ?14 AND is_spf_helo = ?15 AND hour = ?16", e);

    if (!s)
        return false;
    bind_evaluation(s, now_unix / 3600, m);
    stmt_bind_i64(s, 17, now_unix);
    return stmt_run(s, e) && db_changes(r->db) > 0;
}

static bool insert_evaluation(struct reports *r, int64_t now_unix,
                              const struct report_evaluation *m, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db,
                             "INSERT INTO evaluation (policy_domain, record, source_ip, overrides, "
                             "header_from, envelope_from, envelope_to, spf_domain, spf, dkim, "
                             "is_optional, is_rejected, is_dkim_aligned, is_spf_aligned, is_spf_helo, "
                             "hour, last_unix, interval_hours, messages) "
                             "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,1)", e);

    if (!s)
        return false;
    bind_evaluation(s, now_unix / 3600, m);
    stmt_bind_i64(s, 17, now_unix);
    stmt_bind_u64(s, 18, m->interval_hours);
    return stmt_run(s, e);
}

static bool add_evaluation(struct reports *r, int64_t now_unix, const struct report_evaluation *m,
                           struct err *e)
{
    uint64_t rows;

    if (count_again(r, now_unix, m, e))
        return true;
    if (e->kind || !rows_of(r, m->policy_domain, &rows, e))
        return false;
    if (rows >= REPORTS_MAX_EVALUATIONS || r->n_evaluations >= REPORTS_MAX_ALL)
        return fail(e, ERR_LIMIT, "more is known of %.*s than is reported",
                    STR_FMT(m->policy_domain));
    if (!insert_evaluation(r, now_unix, m, e) || !count_row(r, m->policy_domain, e))
        return false;
    r->n_evaluations++;
    return true;
}

bool reports_add_evaluation(struct reports *r, int64_t now_unix,
                            const struct report_evaluation *m, struct err *e)
{
    return reports_begin(r, e) && reports_end(r, add_evaluation(r, now_unix, m, e), e);
}

/* --- results of TLS ------------------------------------------------------------------------------- */

// What makes two results count together: parameters 1 to 7.
static void bind_key(struct stmt *s, int64_t day, const struct report_tls_result *m)
{
    stmt_bind_i64(s, 1, day);
    stmt_bind_str(s, 2, m->policy_domain);
    stmt_bind_str(s, 3, m->recipient_domain);
    stmt_bind_u64(s, 4, m->is_host);
    stmt_bind_u64(s, 5, m->policy_type);
    stmt_bind_str(s, 6, m->policy_strings);
    stmt_bind_str(s, 7, m->mx_hosts);
}

static bool find_result(struct reports *r, int64_t day, const struct report_tls_result *m,
                        uint64_t *id, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db,
                             "SELECT id FROM tls_result WHERE day = ? AND policy_domain = ? AND "
                             "recipient_domain = ? AND is_host = ? AND policy_type = ? AND "
                             "policy_strings = ? AND mx_hosts = ?", e);

    *id = 0;
    if (!s)
        return false;
    bind_key(s, day, m);
    if (stmt_step(s, e))
        *id = stmt_u64(s, 0);
    return e->kind == ERR_NONE;
}

static bool insert_result(struct reports *r, int64_t day, const struct report_tls_result *m,
                          uint64_t *id, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db,
                             "INSERT INTO tls_result (day, policy_domain, recipient_domain, is_host, "
                             "policy_type, policy_strings, mx_hosts, successes, failures) "
                             "VALUES (?,?,?,?,?,?,?,0,0)", e);

    if (!s)
        return false;
    if (r->n_tls_results >= REPORTS_MAX_ALL)
        return fail(e, ERR_LIMIT, "more TLS results than are kept");
    bind_key(s, day, m);
    if (!stmt_run(s, e))
        return false;
    *id = db_last_id(r->db);
    r->n_tls_results++;
    return true;
}

static bool count_result(struct reports *r, uint64_t id, const struct report_tls_result *m,
                         struct err *e)
{
    return DB_RUN(r->db, "UPDATE tls_result SET successes = successes + ?2, "
                         "failures = failures + ?3 WHERE id = ?1", e, id, m->successes, m->failures);
}

static bool has_room_for_failure(struct reports *r, uint64_t result, bool *out, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT count(*) FROM tls_failure WHERE result = ?", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, result);
    if (!stmt_step(s, e))
        return false;
    *out = stmt_u64(s, 0) < REPORTS_MAX_FAILURES;
    return true;
}

static bool count_failure(struct reports *r, uint64_t id, const struct report_tls_result *m,
                          struct err *e)
{
    bool has_room;
    AUTO_STMT s = db_prepare(r->db,
                             "INSERT INTO tls_failure (result, result_type, sending_ip, mx_host, "
                             "mx_helo, receiving_ip, additional, reason_code, sessions) "
                             "VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9) ON CONFLICT DO UPDATE "
                             "SET sessions = sessions + ?9", e);

    if (!s || !has_room_for_failure(r, id, &has_room, e))
        return false;
    if (!has_room)
        return true;
    stmt_bind_u64(s, 1, id);
    stmt_bind_str(s, 2, m->result_type);
    stmt_bind_str(s, 3, m->sending_ip);
    stmt_bind_str(s, 4, m->mx_host);
    stmt_bind_str(s, 5, m->mx_helo);
    stmt_bind_str(s, 6, m->receiving_ip);
    stmt_bind_str(s, 7, m->additional);
    stmt_bind_str(s, 8, m->reason_code);
    stmt_bind_u64(s, 9, m->failures);
    return stmt_run(s, e);
}

static bool add_result(struct reports *r, int64_t now_unix, const struct report_tls_result *m,
                       struct err *e)
{
    int64_t day = now_unix / (24 * 3600);
    uint64_t id;

    if (!find_result(r, day, m, &id, e) || (!id && !insert_result(r, day, m, &id, e)))
        return false;
    return count_result(r, id, m, e) && (!m->failures || count_failure(r, id, m, e));
}

bool reports_add_tls_result(struct reports *r, int64_t now_unix, const struct report_tls_result *m,
                            struct err *e)
{
    return reports_begin(r, e) && reports_end(r, add_result(r, now_unix, m, e), e);
}

/* --- age ------------------------------------------------------------------------------------------ */

static bool expire(struct reports *r, int64_t now_unix, struct err *e)
{
    enum { DAY_S = 24 * 3600, MARGIN_S = 12 * 3600 };
    int64_t hour = (now_unix - REPORTS_GATHERED_S) / 3600;
    int64_t day = (now_unix - REPORTS_GATHERED_S - MARGIN_S) / DAY_S;

    return reports_expire_received(r, false, now_unix - REPORTS_KEPT_S, e) &&
           reports_expire_received(r, true, now_unix - REPORTS_KEPT_S, e) &&
           DB_RUN(r->db, "UPDATE evaluation_total SET n_rows = n_rows - (SELECT count(*) FROM "
                         "evaluation WHERE evaluation.policy_domain = evaluation_total.policy_domain "
                         "AND hour < ?1) WHERE policy_domain IN "
                         "(SELECT policy_domain FROM evaluation WHERE hour < ?1)", e, hour) &&
           DB_RUN(r->db, "DELETE FROM evaluation WHERE hour < ?", e, hour) &&
           DB_RUN(r->db, "DELETE FROM evaluation_total WHERE n_rows <= ?", e, 0) &&
           DB_RUN(r->db, "DELETE FROM tls_failure WHERE result IN "
                         "(SELECT id FROM tls_result WHERE day < ?)", e, day) &&
           DB_RUN(r->db, "DELETE FROM tls_result WHERE day < ?", e, day) &&
           DB_RUN(r->db, "DELETE FROM suppressed WHERE until_unix < ?", e, now_unix);
}

bool reports_expire(struct reports *r, int64_t now_unix, struct err *e)
{
    return reports_begin(r, e) && reports_end(r, expire(r, now_unix, e) && reports_count(r, e), e);
}
