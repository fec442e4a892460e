/*
 * What became of messages, as long as their account keeps that (KeepRetiredMessagePeriod).
 */
#include "os/clock.h"
#include "queue/queue_priv.h"

// Nobody gives a message again after so long.
enum { NAMES_KEPT_S = 7 * 24 * 3600 };

struct str retired_error(struct arena *a, const struct attempt *attempt)
{
    return attempt->is_remote && attempt->code
               ? arena_printf(a, "%u %.*s", attempt->code, STR_FMT(attempt->text))
               : attempt->text;
}

bool retired_put_result(struct queue *q, const struct queue_entry *entry,
                        const struct attempt *attempt, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "INSERT INTO result (entry, started_unix, duration_ms, "
                                    "is_success, code, enhanced, text) VALUES (?,?,?,?,?,?,?)", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, entry->id);
    stmt_bind_i64(s, 2, attempt->started_unix ? attempt->started_unix : os_now_unix());
    stmt_bind_i64(s, 3, attempt->duration_ms);
    stmt_bind_u64(s, 4, attempt->class == ATTEMPT_DELIVERED);
    stmt_bind_u64(s, 5, attempt->code);
    stmt_bind_str(s, 6, attempt->enhanced);
    stmt_bind_str(s, 7, attempt->text);
    return stmt_run(s, e);
}

bool retired_put(struct queue *q, const struct queue_entry *entry, const struct attempt *attempt,
                 bool is_success, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_STMT s = db_prepare(q->db,
                             "INSERT INTO retired SELECT e.id, e.message, m.account, m.reverse_path, "
                             "e.recipient, ?2, m.message_id, m.envid, e.transport, e.require_tls, "
                             "m.future_release, m.size, m.queued_unix, ?3, ?4, ?5, ?6, "
                             "?6 + m.keep_retired_s FROM entry e JOIN message m ON m.id = e.message "
                             "WHERE e.id = ?1", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, entry->id);
    stmt_bind_str(s, 2, suppress_base(&a, entry->recipient));
    stmt_bind_u64(s, 3, entry->attempts + !attempt->is_remote);
    stmt_bind_u64(s, 4, is_success);
    stmt_bind_str(s, 5, is_success ? STR("") : retired_error(&a, attempt));
    stmt_bind_i64(s, 6, os_now_unix());
    return stmt_run(s, e);
}

bool queue_forget_retired(struct queue *q, size_t max, size_t *n, struct err *e)
{
    AUTO_STMT results = db_prepare(q->db, "DELETE FROM result WHERE entry IN (SELECT id FROM retired "
                                          "WHERE keep_until_unix <= ?1 LIMIT ?2)", e);
    AUTO_STMT names = db_prepare(q->db, "DELETE FROM named WHERE queued_unix <= ?", e);
    AUTO_STMT rows = db_prepare(q->db, "DELETE FROM retired WHERE id IN (SELECT id FROM retired "
                                       "WHERE keep_until_unix <= ?1 LIMIT ?2)", e);
    int64_t now = os_now_unix();
    bool is_ok;

    *n = 0;
    if (!results || !names || !rows || !queue_change_begin(q, e))
        return false;
    stmt_bind_i64(results, 1, now);
    stmt_bind_u64(results, 2, max);
    stmt_bind_i64(rows, 1, now);
    stmt_bind_u64(rows, 2, max);
    stmt_bind_i64(names, 1, now - NAMES_KEPT_S);
    is_ok = stmt_run(results, e) && stmt_run(names, e) && stmt_run(rows, e);
    *n = db_changes(q->db);
    return queue_change_end(q, is_ok, e);
}
