/*
 * How much an account may send in a day, and to how many it has not written before
 * (mox-smtp-delivery.md 1.11): what a stolen password is worth to its thief.
 */
#include "queue/queue_priv.h"

enum { DAY_S = 24 * 3600 };

static bool count(struct queue *q, const char *sql, struct str account, int64_t since, uint64_t *n,
                  struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, sql, e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_i64(s, 2, since);
    *n = stmt_step(s, e) ? stmt_u64(s, 0) : 0;
    return e->kind == ERR_NONE;
}

// Recipients of m that the account has not written to.
static bool count_new(struct queue *q, const struct queue_new *m, uint64_t *n, struct err *e)
{
    *n = 0;
    for (size_t i = 0; i < m->n_recipients; i++) {
        AUTO_STMT s = db_prepare(q->db, "SELECT 1 FROM correspondent WHERE account = ? AND "
                                        "recipient = ?", e);

        if (!s)
            return false;
        stmt_bind_str(s, 1, m->account);
        stmt_bind_str(s, 2, m->recipients[i].address);
        *n += !stmt_step(s, e);
        if (e->kind)
            return false;
    }
    return true;
}

static bool check(struct queue *q, const struct queue_new *m, int64_t now, struct err *e)
{
    uint64_t sent, first, fresh;

    if (!count(q, "SELECT count(*) FROM sent WHERE account = ? AND sent_unix > ?", m->account,
               now - DAY_S, &sent, e))
        return false;
    if (m->max_per_day && sent + m->n_recipients > m->max_per_day)
        return fail(e, ERR_LIMIT, "at most %u recipients a day", m->max_per_day);
    // Who sends little may send it to anyone.
    if (!m->max_first_per_day || sent + m->n_recipients < m->max_first_per_day)
        return true;
    if (!count(q, "SELECT count(*) FROM correspondent WHERE account = ? AND first_unix > ?",
               m->account, now - DAY_S, &first, e) ||
        !count_new(q, m, &fresh, e))
        return false;
    return first + fresh <= m->max_first_per_day ||
           fail(e, ERR_LIMIT, "at most %u recipients a day that were not written to before",
                m->max_first_per_day);
}

static bool note(struct queue *q, struct str account, struct str recipient, int64_t now,
                 struct err *e)
{
    AUTO_STMT sent = db_prepare(q->db, "INSERT INTO sent (account, sent_unix) VALUES (?,?)", e);
    AUTO_STMT known = db_prepare(q->db, "INSERT OR IGNORE INTO correspondent (account, recipient, "
                                        "first_unix) VALUES (?,?,?)", e);

    if (!sent || !known)
        return false;
    stmt_bind_str(sent, 1, account);
    stmt_bind_i64(sent, 2, now);
    stmt_bind_str(known, 1, account);
    stmt_bind_str(known, 2, recipient);
    stmt_bind_i64(known, 3, now);
    return stmt_run(sent, e) && stmt_run(known, e);
}

static bool forget_old(struct queue *q, struct str account, int64_t now, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "DELETE FROM sent WHERE account = ? AND sent_unix <= ?", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_i64(s, 2, now - DAY_S);
    return stmt_run(s, e);
}

bool queue_limits_take(struct queue *q, const struct queue_new *m, int64_t now, struct err *e)
{
    if (!m->max_per_day && !m->max_first_per_day)
        return true;
    if (!check(q, m, now, e) || !forget_old(q, m->account, now, e))
        return false;
    for (size_t i = 0; i < m->n_recipients; i++)
        if (!note(q, m->account, m->recipients[i].address, now, e))
            return false;
    return true;
}
