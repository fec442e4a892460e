#include "queue/adopt.h"

#include "queue/queue_priv.h"

/* --- messages ------------------------------------------------------------------------------------- */

static bool note_taken(struct queue *q, const struct queue_adopted *m, bool *is_new, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "INSERT OR IGNORE INTO taken_over (number, queued_unix, recipient) VALUES (?,?,?)",
                             e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, m->number);
    stmt_bind_i64(s, 2, m->queued_unix);
    stmt_bind_str(s, 3, m->m.recipients[0].address);
    if (!stmt_run(s, e))
        return false;
    *is_new = db_changes(q->db) > 0;
    return true;
}

// What differs from a message that has just come.
static bool set_message(struct queue *q, uint64_t message, const struct queue_adopted *m, struct err *e)
{
    return DB_RUN(q->db, "UPDATE message SET queued_unix = ?2, size = CASE WHEN ?3 THEN ?3 ELSE size END "
                         "WHERE id = ?1", e, message, m->queued_unix, m->is_retired ? m->retired_size : 0);
}

static bool set_entry(struct queue *q, uint64_t entry, const struct queue_adopted *m, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "UPDATE entry SET attempts = ?2, next_attempt_unix = ?3, last_attempt_unix = ?4, "
                                    "last_error = ?5, is_held = ?6, transport = ?7, is_delay_told = ?8 WHERE id = ?1",
                             e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, entry);
    stmt_bind_u64(s, 2, m->attempts);
    stmt_bind_i64(s, 3, m->next_attempt_unix);
    if (m->last_attempt_unix)
        stmt_bind_i64(s, 4, m->last_attempt_unix);
    else
        stmt_bind_null(s, 4);
    stmt_bind_str(s, 5, m->n_results ? m->results[m->n_results - 1].text : STR(""));
    stmt_bind_u64(s, 6, m->is_held);
    stmt_bind_str(s, 7, m->transport);
    stmt_bind_u64(s, 8, m->attempts >= QUEUE_DELAY_ATTEMPTS);
    return stmt_run(s, e);
}

static bool put_results(struct queue *q, uint64_t entry, const struct queue_adopted *m, struct err *e)
{
    for (size_t i = 0; i < m->n_results; i++) {
        const struct queue_adopted_result *r = &m->results[i];
        struct attempt attempt = {.class = r->is_success ? ATTEMPT_DELIVERED : ATTEMPT_TEMPORARY, .code = r->code,
                                  .enhanced = r->enhanced, .text = r->text, .started_unix = r->started_unix,
                                  .duration_ms = r->duration_ms};

        if (!retired_put_result(q, &(struct queue_entry){.id = entry}, &attempt, e))
            return false;
    }
    return true;
}

// It was in the queue for as long as this takes, and so has its numbers.
static bool retire(struct queue *q, uint64_t message, uint64_t entry, const struct queue_adopted *m, struct err *e)
{
    struct queue_entry as = {.id = entry, .recipient = m->m.recipients[0].address, .attempts = m->attempts};
    struct attempt attempt = {.is_remote = true, .text = m->n_results ? m->results[m->n_results - 1].text : STR("")};
    AUTO_STMT s = NULL;

    if (!retired_put(q, &as, &attempt, m->is_success, e))
        return false;
    s = db_prepare(q->db, "UPDATE retired SET last_activity_unix = ?2, keep_until_unix = ?3 WHERE id = ?1", e);
    if (!s)
        return false;
    stmt_bind_u64(s, 1, entry);
    stmt_bind_i64(s, 2, m->last_activity_unix);
    stmt_bind_i64(s, 3, m->keep_until_unix);
    return stmt_run(s, e) && DB_RUN(q->db, "DELETE FROM entry WHERE id = ?", e, entry) &&
           DB_RUN(q->db, "DELETE FROM message WHERE id = ?", e, message);
}

static bool find_entry(struct queue *q, uint64_t *message, uint64_t *entry, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "SELECT message, id FROM entry ORDER BY id DESC LIMIT 1", e);

    if (!s || !stmt_step(s, e))
        return false;
    *message = stmt_u64(s, 0);
    *entry = stmt_u64(s, 1);
    return true;
}

static bool adopt(struct queue *q, const struct queue_adopted *m, bool *is_new, struct err *e)
{
    uint64_t message, entry;

    if (!note_taken(q, m, is_new, e) || !*is_new)
        return e->kind == ERR_NONE;
    return queue_insert(q, &m->m, e) && find_entry(q, &message, &entry, e) && set_message(q, message, m, e) &&
           set_entry(q, entry, m, e) && put_results(q, entry, m, e) &&
           (!m->is_retired || retire(q, message, entry, m, e));
}

bool queue_adopt(struct queue *q, const struct queue_adopted *m, bool *is_new, struct err *e)
{
    return queue_change_begin(q, e) && queue_change_end(q, adopt(q, m, is_new, e), e);
}

/* --- the rest ------------------------------------------------------------------------------------- */

static bool adopt_suppression(struct queue *q, const struct queue_adopted_suppression *a, bool *is_new, struct err *e)
{
    AUTO_STMT s = NULL;

    if (!suppress_add(q, a->account, a->address, a->is_manual, a->reason, e))
        return false;
    *is_new = db_changes(q->db) > 0;
    if (!*is_new)
        return true;
    s = db_prepare(q->db, "UPDATE suppression SET created_unix = ?2 WHERE id = ?1", e);
    if (!s)
        return false;
    stmt_bind_u64(s, 1, db_last_id(q->db));
    stmt_bind_i64(s, 2, a->created_unix);
    return stmt_run(s, e);
}

bool queue_adopt_suppression(struct queue *q, const struct queue_adopted_suppression *s, bool *is_new, struct err *e)
{
    return queue_change_begin(q, e) && queue_change_end(q, adopt_suppression(q, s, is_new, e), e);
}

static bool adopt_hold_rule(struct queue *q, struct str account, struct str sender_domain, struct str recipient_domain,
                            bool *is_new, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "INSERT INTO hold_rule (account, sender_domain, recipient_domain) "
                                    "SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM hold_rule WHERE account = ?1 "
                                    "AND sender_domain = ?2 AND recipient_domain = ?3)", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_str(s, 2, sender_domain);
    stmt_bind_str(s, 3, recipient_domain);
    if (!stmt_run(s, e))
        return false;
    *is_new = db_changes(q->db) > 0;
    return true;
}

bool queue_adopt_hold_rule(struct queue *q, struct str account, struct str sender_domain, struct str recipient_domain,
                           bool *is_new, struct err *e)
{
    return queue_change_begin(q, e) &&
           queue_change_end(q, adopt_hold_rule(q, account, sender_domain, recipient_domain, is_new, e), e);
}

static bool adopt_policy(struct queue *q, const struct queue_adopted_policy *p, bool *is_new, struct err *e)
{
    AUTO_BUF mx = BUF_LIMIT(MTASTS_MAX_POLICY);
    AUTO_STMT s = db_prepare(q->db, "INSERT OR IGNORE INTO sts (domain, record_id, mode, max_age, mx, "
                                    "valid_until_unix, checked_unix, used_unix) VALUES (?,?,?,?,?,?,?,?)", e);

    if (!s)
        return false;
    mtasts_mx_put(&mx, p->policy);
    stmt_bind_str(s, 1, p->domain);
    stmt_bind_str(s, 2, p->id);
    stmt_bind_u64(s, 3, p->policy->mode);
    stmt_bind_u64(s, 4, p->policy->max_age);
    stmt_bind_str(s, 5, buf_str(&mx));
    stmt_bind_i64(s, 6, p->valid_until_unix);
    stmt_bind_i64(s, 7, p->checked_unix);
    stmt_bind_i64(s, 8, p->used_unix);
    if (!stmt_run(s, e))
        return false;
    *is_new = db_changes(q->db) > 0;
    return true;
}

bool queue_adopt_policy(struct queue *q, const struct queue_adopted_policy *p, bool *is_new, struct err *e)
{
    return queue_change_begin(q, e) && queue_change_end(q, adopt_policy(q, p, is_new, e), e);
}
