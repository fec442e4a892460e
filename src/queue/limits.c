/*
 * How much an account may send in a day, and to how many it has not written before
 * (mox-smtp-delivery.md 1.11): what a stolen password is worth to its thief.
 */
#include "queue/adopt.h"
#include "queue/queue_priv.h"

enum { DAY_S = 24 * 3600 };

static bool count_sent(struct queue *q, struct str account, uint64_t *n, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "SELECT n FROM sent_total WHERE account = ?", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    *n = stmt_step(s, e) ? stmt_u64(s, 0) : 0;
    return e->kind == ERR_NONE;
}

// Recipients that the account has not written to before this day, as many as matter.
static bool count_first(struct queue *q, const struct queue_new *m, int64_t since, uint64_t *n,
                        struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "SELECT count(*) FROM (SELECT 1 FROM correspondent WHERE account = ? AND "
                                    "first_unix > ? LIMIT ?)", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, m->account);
    stmt_bind_i64(s, 2, since);
    stmt_bind_u64(s, 3, (uint64_t)m->max_first_per_day + 1);
    *n = stmt_step(s, e) ? stmt_u64(s, 0) : 0;
    return e->kind == ERR_NONE;
}

// The same recipient, however its domain is spelled.
static struct str spelled(struct arena *a, struct str recipient)
{
    ptrdiff_t at = str_find_last(recipient, '@');

    return at < 0 ? recipient
                  : arena_printf(a, "%.*s%.*s", STR_FMT(str_sub(recipient, 0, (size_t)at + 1)),
                                 STR_FMT(queue_domain_of(a, recipient)));
}

// Recipients of m that the account has not written to.
static bool count_new(struct queue *q, const struct queue_new *m, uint64_t *n, struct err *e)
{
    *n = 0;
    for (size_t i = 0; i < m->n_recipients; i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 16);
        AUTO_STMT s = db_prepare(q->db, "SELECT 1 FROM correspondent WHERE account = ? AND "
                                        "recipient = ?", e);

        if (!s)
            return false;
        stmt_bind_str(s, 1, m->account);
        stmt_bind_str(s, 2, spelled(&a, m->recipients[i].address));
        *n += !stmt_step(s, e);
        if (e->kind)
            return false;
    }
    return true;
}

static bool check(struct queue *q, const struct queue_new *m, int64_t now, struct err *e)
{
    uint64_t sent, first, fresh;

    if (!count_sent(q, m->account, &sent, e))
        return false;
    if (m->max_per_day && sent + m->n_recipients > m->max_per_day)
        return fail(e, ERR_LIMIT, "at most %u recipients a day", m->max_per_day);
    // Who sends little may send it to anyone.
    if (!m->max_first_per_day || sent + m->n_recipients < m->max_first_per_day)
        return true;
    if (!count_first(q, m, now - DAY_S, &first, e) || !count_new(q, m, &fresh, e))
        return false;
    return first + fresh <= m->max_first_per_day ||
           fail(e, ERR_LIMIT, "at most %u recipients a day that were not written to before",
                m->max_first_per_day);
}

static bool add_to_total(struct queue *q, struct str account, int64_t n, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "INSERT INTO sent_total (account, n) VALUES (?1, ?2) "
                                    "ON CONFLICT DO UPDATE SET n = n + ?2", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_i64(s, 2, n);
    return stmt_run(s, e);
}

static bool note(struct queue *q, struct str account, struct str recipient, int64_t now,
                 struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_STMT sent = db_prepare(q->db, "INSERT INTO sent (account, sent_unix) VALUES (?,?)", e);
    AUTO_STMT known = db_prepare(q->db, "INSERT OR IGNORE INTO correspondent (account, recipient, "
                                        "first_unix) VALUES (?,?,?)", e);

    if (!sent || !known)
        return false;
    stmt_bind_str(sent, 1, account);
    stmt_bind_i64(sent, 2, now);
    stmt_bind_str(known, 1, account);
    stmt_bind_str(known, 2, spelled(&a, recipient));
    stmt_bind_i64(known, 3, now);
    return stmt_run(sent, e) && stmt_run(known, e);
}

static bool adopt_written(struct queue *q, struct str account, struct str recipient, int64_t first_unix, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_STMT s = db_prepare(q->db, "INSERT INTO correspondent (account, recipient, first_unix) VALUES (?1,?2,?3) "
                                    "ON CONFLICT DO UPDATE SET first_unix = min(first_unix, ?3)", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_str(s, 2, spelled(&a, recipient));
    stmt_bind_i64(s, 3, first_unix);
    return stmt_run(s, e);
}

bool queue_adopt_written(struct queue *q, struct str account, struct str recipient, int64_t first_unix, struct err *e)
{
    return queue_change_begin(q, e) && queue_change_end(q, adopt_written(q, account, recipient, first_unix, e), e);
}

static bool forget_old(struct queue *q, struct str account, int64_t now, struct err *e)
{
    uint64_t n;

    {
        AUTO_STMT s = db_prepare(q->db, "DELETE FROM sent WHERE account = ? AND sent_unix <= ?", e);

        if (!s)
            return false;
        stmt_bind_str(s, 1, account);
        stmt_bind_i64(s, 2, now - DAY_S);
        if (!stmt_run(s, e))
            return false;
        n = db_changes(q->db);
    }
    return !n || add_to_total(q, account, -(int64_t)n, e);
}

bool queue_limits_take(struct queue *q, const struct queue_new *m, int64_t now, struct err *e)
{
    if (!m->max_per_day && !m->max_first_per_day)
        return true;
    if (!forget_old(q, m->account, now, e) || !check(q, m, now, e))
        return false;
    for (size_t i = 0; i < m->n_recipients; i++)
        if (!note(q, m->account, m->recipients[i].address, now, e))
            return false;
    return add_to_total(q, m->account, (int64_t)m->n_recipients, e);
}
