#include "queue/sts.h"

#include "os/clock.h"
#include "queue/queue_priv.h"

enum { USED_AGAIN_S = 24 * 3600 }; // using a policy is noted at most so often

struct row {
    struct str id, mx, failed_id;
    enum mtasts_mode mode;
    uint32_t max_age;
    int64_t valid_until, used, retry;
    enum tls_failure failure;
};

static bool read_row(struct queue *q, struct arena *a, struct str domain, struct row *out, bool *found,
                     struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "SELECT record_id, mx, failed_id, mode, max_age, valid_until_unix, "
                                    "used_unix, retry_unix, failure FROM sts WHERE domain = ?", e);

    *out = (struct row){0};
    if (!s)
        return false;
    stmt_bind_str(s, 1, domain);
    *found = stmt_step(s, e);
    if (!*found)
        return e->kind == ERR_NONE;
    *out = (struct row){.id = arena_dup(a, stmt_str(s, 0)),
                        .mx = arena_dup(a, stmt_str(s, 1)),
                        .failed_id = arena_dup(a, stmt_str(s, 2)),
                        .mode = (enum mtasts_mode)stmt_u64(s, 3),
                        .max_age = (uint32_t)stmt_u64(s, 4),
                        .valid_until = stmt_i64(s, 5),
                        .used = stmt_i64(s, 6),
                        .retry = stmt_i64(s, 7),
                        .failure = (enum tls_failure)stmt_u64(s, 8)};
    return (out->mode <= MTASTS_ENFORCE && out->failure <= TLS_STS_WEBPKI_INVALID) ||
           fail(e, ERR_BUG, "the stored policy of %.*s is damaged", STR_FMT(domain));
}

static bool run_2(struct queue *q, const char *sql, int64_t number, struct str domain, struct err *e)
{
    AUTO_STMT s = NULL;

    if (!queue_change_begin(q, e))
        return false;
    s = db_prepare(q->db, sql, e);
    if (s) {
        stmt_bind_i64(s, 1, number);
        stmt_bind_str(s, 2, domain);
    }
    return queue_change_end(q, s && stmt_run(s, e), e);
}

static bool note_use(struct queue *q, struct str domain, const struct row *row, struct err *e)
{
    int64_t now = os_now_unix();

    return now - row->used < USED_AGAIN_S ||
           run_2(q, "UPDATE sts SET used_unix = ? WHERE domain = ?", now, domain, e);
}

static bool take_policy(struct arena *a, const struct row *row, struct sts_known *out, struct err *e)
{
    out->status = STS_POLICY;
    out->id = row->id;
    out->policy.mode = row->mode;
    out->policy.max_age = row->max_age;
    return mtasts_mx_parse(a, row->mx, &out->policy, e) || fail_in(e, "stored MTA-STS policy");
}

bool queue_sts_ask(struct queue *q, struct arena *a, struct str domain, enum sts_record record,
                   struct str id, struct sts_known *out, struct err *e)
{
    int64_t now = os_now_unix();
    bool found, is_valid, has_failed;
    struct row row;

    *out = (struct sts_known){.status = STS_NONE};
    if (!read_row(q, a, domain, &row, &found, e))
        return false;
    is_valid = found && row.valid_until > now;
    if (is_valid && (!take_policy(a, &row, out, e) || !note_use(q, domain, &row, e)))
        return false;
    // RFC 8461 3.3: what is valid is applied, whatever the DNS says or does not say.
    if (record == STS_RECORD_UNKNOWN && !is_valid)
        out->status = STS_TEMPORARY;
    if (record != STS_RECORD_ID || (is_valid && str_eq(row.id, id)))
        return true;
    has_failed = found && row.retry > now && str_eq(row.failed_id, id);
    if (!has_failed) {
        out->status = STS_FETCH;
        return true;
    }
    out->failure = row.failure;
    out->reason = is_valid ? STR("back-off-after-recent-fetch-error+fallback-to-cached-policy")
                           : STR("back-off-after-recent-fetch-error");
    return true;
}

static bool store_policy(struct queue *q, struct str domain, struct str id,
                         const struct mtasts_policy *policy, struct err *e)
{
    AUTO_BUF mx = BUF_LIMIT(MTASTS_MAX_POLICY);
    int64_t now = os_now_unix();
    AUTO_STMT s = db_prepare(q->db, "INSERT OR REPLACE INTO sts (domain, record_id, mode, max_age, mx, "
                                    "valid_until_unix, checked_unix, used_unix) "
                                    "VALUES (?,?,?,?,?,?,?,?)", e);

    if (!s)
        return false;
    mtasts_mx_put(&mx, policy);
    stmt_bind_str(s, 1, domain);
    stmt_bind_str(s, 2, id);
    stmt_bind_u64(s, 3, policy->mode);
    stmt_bind_u64(s, 4, policy->max_age);
    stmt_bind_str(s, 5, buf_str(&mx));
    stmt_bind_i64(s, 6, now + policy->max_age);
    stmt_bind_i64(s, 7, now);
    stmt_bind_i64(s, 8, now);
    return stmt_run(s, e);
}

static bool store_failure(struct queue *q, struct str domain, struct str id,
                          const struct sts_fetched *got, struct err *e)
{
    int64_t now = os_now_unix();
    AUTO_STMT s = db_prepare(q->db, "INSERT INTO sts (domain, record_id, mode, max_age, mx, "
                                    "valid_until_unix, checked_unix, used_unix, failed_id, failure, "
                                    "failed_why, retry_unix) VALUES (?1,'',0,0,'',0,?2,?2,?3,?4,?5,?6) "
                                    "ON CONFLICT (domain) DO UPDATE SET checked_unix = ?2, "
                                    "failed_id = ?3, failure = ?4, failed_why = ?5, retry_unix = ?6", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, domain);
    stmt_bind_i64(s, 2, now);
    stmt_bind_str(s, 3, id);
    stmt_bind_u64(s, 4, got->failure);
    stmt_bind_str(s, 5, got->why);
    stmt_bind_i64(s, 6, now + STS_BACKOFF_S);
    return stmt_run(s, e);
}

// The failure-reason-code: why, and what holds instead.
static struct str reason_of(struct arena *a, struct str why, bool has_older)
{
    AUTO_BUF out = BUF_LIMIT(256);

    tls_reason_put(&out, why);
    if (has_older)
        buf_put(&out, out.n ? STR("+fallback-to-cached-policy") : STR("fallback-to-cached-policy"));
    return arena_dup(a, buf_str(&out));
}

bool queue_sts_fetched(struct queue *q, struct arena *a, struct str domain, struct str id,
                       const struct sts_fetched *got, struct sts_known *out, struct err *e)
{
    bool is_ok;

    if (!queue_change_begin(q, e))
        return false;
    is_ok = got->policy ? store_policy(q, domain, id, got->policy, e)
                        : store_failure(q, domain, id, got, e);
    if (!queue_change_end(q, is_ok, e))
        return false;
    if (!got->policy) {
        if (!queue_sts_ask(q, a, domain, STS_RECORD_NONE, STR(""), out, e))
            return false;
        out->failure = got->failure;
        out->reason = reason_of(a, got->why, out->status == STS_POLICY);
        return true;
    }
    *out = (struct sts_known){.status = STS_POLICY, .policy = *got->policy, .id = id};
    return true;
}

bool queue_sts_due(struct queue *q, struct arena *a, struct str *domain, struct str *id, uint64_t *n_due,
                   bool *found, struct err *e)
{
    int64_t now = os_now_unix();
    AUTO_STMT count = db_prepare(q->db, "SELECT count(*) FROM sts WHERE valid_until_unix > 0 AND "
                                        "checked_unix <= ?", e);
    AUTO_STMT s = db_prepare(q->db, "SELECT domain, record_id FROM sts WHERE valid_until_unix > 0 AND "
                                    "checked_unix <= ? ORDER BY checked_unix LIMIT 1", e);

    *found = false;
    if (!count || !s)
        return false;
    stmt_bind_i64(count, 1, now - STS_REFRESH_S);
    stmt_bind_i64(s, 1, now - STS_REFRESH_S);
    *n_due = stmt_step(count, e) ? stmt_u64(count, 0) : 0;
    if (e->kind)
        return false;
    *found = stmt_step(s, e);
    if (!*found)
        return e->kind == ERR_NONE;
    *domain = arena_dup(a, stmt_str(s, 0));
    *id = arena_dup(a, stmt_str(s, 1));
    return true;
}

bool queue_sts_unchanged(struct queue *q, struct str domain, bool is_gone, struct err *e)
{
    int64_t now = os_now_unix();

    // RFC 8461 8.3: who has published "none" and then removed the record is done with it. Any other policy
    // stays as long as it said: a record may be missing because somebody wants it to.
    if (is_gone)
        return run_2(q, "DELETE FROM sts WHERE mode = ? AND domain = ?", MTASTS_NONE, domain, e) &&
               run_2(q, "UPDATE sts SET checked_unix = ? WHERE domain = ?", now, domain, e);
    return run_2(q, "UPDATE sts SET checked_unix = ?1, valid_until_unix = ?1 + max_age WHERE domain = ?2",
                 now, domain, e);
}

bool queue_sts_forget(struct queue *q, struct err *e)
{
    int64_t now = os_now_unix();
    AUTO_STMT s = NULL;

    if (!queue_change_begin(q, e))
        return false;
    s = db_prepare(q->db, "DELETE FROM sts WHERE used_unix < ? OR (valid_until_unix < ? AND "
                          "retry_unix < ?)", e);
    if (s) {
        stmt_bind_i64(s, 1, now - STS_UNUSED_S);
        stmt_bind_i64(s, 2, now);
        stmt_bind_i64(s, 3, now);
    }
    return queue_change_end(q, s && stmt_run(s, e), e);
}
