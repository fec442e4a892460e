/*
 * Attempts: when the next one is, and what follows from the end of one.
 */
#include "base/checked.h"
#include "os/clock.h"
#include "queue/queue_priv.h"

enum {
    FIRST_LOCAL_WAIT_S = 1, // at an account of ours; doubled each time
    LAST_LOCAL_WAIT_S = 3600,
    FIRST_WAIT_S = 450, // doubled as well
    LAST_WAIT_S = 16 * 3600,
    LOCAL_DELAY_S = 2 * 3600, // until the sender hears that an account of ours does not take it
    LOCAL_GIVE_UP_S = 2 * 24 * 3600,
    JITTER_S = 10, // so that what came together is not tried together for ever
};

int64_t queue_wait_s(bool is_remote, uint32_t attempts)
{
    int64_t wait_s = (int64_t)(is_remote ? FIRST_WAIT_S : FIRST_LOCAL_WAIT_S)
                     << (attempts < 12 ? attempts : 12);
    int64_t last_s = is_remote ? LAST_WAIT_S : LAST_LOCAL_WAIT_S;

    return wait_s < last_s ? wait_s : last_s;
}

static int64_t jitter_s(void)
{
    unsigned char r;

    os_random(&r, sizeof r);
    return r % JITTER_S - JITTER_S / 2;
}

static bool note_begin(struct queue *q, const struct queue_entry *entry, int64_t now, int64_t next, struct err *e)
{
    return DB_RUN(q->db, "UPDATE entry SET attempts = attempts + 1, "
                         "last_attempt_unix = ?2, last_error = 'delivering...', "
                         "next_attempt_unix = ?3 WHERE id = ?1", e, entry->id, now, next);
}

bool queue_begin(struct queue *q, struct queue_entry *entry, struct err *e)
{
    int64_t now = os_now_unix();
    int64_t next = now + queue_wait_s(true, entry->attempts) + jitter_s();

    if (!queue_change_begin(q, e) || !queue_change_end(q, note_begin(q, entry, now, next, e), e))
        return false;
    entry->attempts++;
    entry->begun_next_unix = next;
    return true;
}

// The next attempt is when it was to be before this was given out; what a person has set meanwhile stays.
static bool note_none(struct queue *q, const struct queue_entry *entry, struct err *e)
{
    return DB_RUN(q->db, "UPDATE entry SET attempts = attempts - 1, last_error = '', "
                         "next_attempt_unix = CASE WHEN next_attempt_unix = ?3 THEN ?2 "
                         "ELSE next_attempt_unix END WHERE id = ?1",
                  e, entry->id, entry->next_attempt_unix, entry->begun_next_unix);
}

bool queue_take_back(struct queue *q, const struct queue_entry *entry, struct err *e)
{
    bool is_ok = queue_change_begin(q, e) && queue_change_end(q, note_none(q, entry, e), e);

    schedule_end(q, entry);
    return is_ok;
}

// A message without entries; with the last that has them, its bytes.
static bool remove_message(struct queue *q, uint64_t message, struct err *e)
{
    uint64_t body;
    bool is_shared;

    if (!queue_body_of(q, message, &body, &is_shared, e) ||
        !DB_RUN(q->db, "DELETE FROM message WHERE id = ?", e, message))
        return false;
    if (is_shared) {
        AUTO_STMT s = db_prepare(q->db, "SELECT 1 FROM message WHERE body = ? AND body > 0", e);

        if (!s)
            return false;
        stmt_bind_u64(s, 1, body);
        if (stmt_step(s, e) || e->kind)
            return !e->kind;
    }
    return chunk_drop(q->db, body, e);
}

// The entry goes, and with the last one its message.
static bool remove_entry(struct queue *q, const struct queue_entry *entry, struct err *e)
{
    bool is_last;

    if (!DB_RUN(q->db, "DELETE FROM entry WHERE id = ?", e, entry->id))
        return false;
    if (!DB_RUN(q->db, "UPDATE message SET entries = entries - 1 WHERE id = ?", e, entry->message))
        return false;
    {
        AUTO_STMT s = db_prepare(q->db, "SELECT 1 FROM message WHERE id = ? AND entries = 0", e);

        if (!s)
            return false;
        stmt_bind_u64(s, 1, entry->message);
        is_last = stmt_step(s, e);
    }
    if (e->kind)
        return false;
    return !is_last || remove_message(q, entry->message, e);
}

// Its time was set when it began.
static bool note_remote_failure(struct queue *q, const struct queue_entry *entry,
                                const struct attempt *t, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_STMT s = db_prepare(q->db, "UPDATE entry SET last_error = ?2, dialed = ?3 WHERE id = ?1",
                             e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, entry->id);
    stmt_bind_str(s, 2, retired_error(&a, t));
    stmt_bind_str(s, 3, t->dialed);
    return stmt_run(s, e);
}

static bool note_failure(struct queue *q, const struct queue_entry *entry, const struct attempt *t,
                         int64_t next_unix, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "UPDATE entry SET attempts = attempts + 1, "
                                    "last_attempt_unix = ?2, last_error = ?3, next_attempt_unix = "
                                    "CASE WHEN next_attempt_unix = ?5 THEN ?4 ELSE next_attempt_unix END "
                                    "WHERE id = ?1", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, entry->id);
    stmt_bind_i64(s, 2, os_now_unix());
    stmt_bind_str(s, 3, t->text);
    stmt_bind_i64(s, 4, next_unix);
    stmt_bind_i64(s, 5, entry->next_attempt_unix); // a person may have set another meanwhile
    return stmt_run(s, e);
}

static bool tell_delay(struct queue *q, const struct queue_entry *entry, const struct attempt *t,
                       int64_t retry_until_unix, struct err *e)
{
    return report_put(q, entry, DSN_DELAYED, t, retry_until_unix, e) &&
           DB_RUN(q->db, "UPDATE entry SET is_delay_told = 1 WHERE id = ?", e, entry->id);
}

static uint32_t max_attempts(const struct queue_entry *entry)
{
    return entry->max_attempts ? entry->max_attempts : QUEUE_MAX_ATTEMPTS;
}

// When the last attempt at another server will be, after one that began now.
static int64_t last_attempt_unix(const struct queue_entry *entry, int64_t now)
{
    for (uint32_t i = entry->attempts; i < max_attempts(entry); i++)
        now += queue_wait_s(true, i - 1);
    return now;
}

static bool is_final(const struct queue_entry *entry, const struct attempt *t, int64_t now)
{
    return t->class == ATTEMPT_PERMANENT ||
           (t->is_remote ? entry->attempts >= max_attempts(entry)
                         : now - entry->queued_unix >= LOCAL_GIVE_UP_S);
}

static bool retire(struct queue *q, const struct queue_entry *entry, const struct attempt *t,
                   bool is_success, struct err *e)
{
    bool is_kept = entry->keep_retired_s > 0;

    if (is_kept ? !retired_put_result(q, entry, t, e) || !retired_put(q, entry, t, is_success, e)
                : entry->attempts > 1 &&
                      !DB_RUN(q->db, "DELETE FROM result WHERE entry = ?", e, entry->id))
        return false;
    return remove_entry(q, entry, e);
}

static bool end_failed(struct queue *q, const struct queue_entry *entry, const struct attempt *t,
                       struct err *e)
{
    return report_put(q, entry, DSN_FAILED, t, 0, e) && suppress_after_failure(q, entry, t, e) &&
           retire(q, entry, t, false, e);
}

// Another server that speaks RFC 3461 reports success itself (5.2.1); one that does not was the end of
// what can be known (5.2.2).
static bool end_delivered(struct queue *q, const struct queue_entry *entry, const struct attempt *t,
                          struct err *e)
{
    enum dsn_action action = t->is_remote ? DSN_RELAYED : t->is_list ? DSN_EXPANDED : DSN_DELIVERED;

    return ((t->is_remote && t->has_dsn_duty) || report_put(q, entry, action, t, 0, e)) &&
           retire(q, entry, t, true, e);
}

static bool put_off(struct queue *q, const struct queue_entry *entry, const struct attempt *t,
                    int64_t now, struct err *e)
{
    bool is_long = t->is_remote ? entry->attempts >= QUEUE_DELAY_ATTEMPTS
                                : now - entry->queued_unix >= LOCAL_DELAY_S;
    int64_t until = t->is_remote ? last_attempt_unix(entry, now)
                                 : entry->queued_unix + LOCAL_GIVE_UP_S;

    if (t->is_remote ? !note_remote_failure(q, entry, t, e)
                     : !note_failure(q, entry, t, now + queue_wait_s(false, entry->attempts), e))
        return false;
    // An account of ours is tried every hour at the least; what each said is not worth keeping.
    return (!t->is_remote || retired_put_result(q, entry, t, e)) &&
           (entry->is_delay_told || !is_long || tell_delay(q, entry, t, until, e));
}

static bool apply(struct queue *q, const struct queue_entry *entry, const struct attempt *t,
                  struct err *e)
{
    int64_t now = os_now_unix();
    bool is_there;

    {
        AUTO_STMT s = db_prepare(q->db, "SELECT 1 FROM entry WHERE id = ?", e);

        if (!s)
            return false;
        stmt_bind_u64(s, 1, entry->id);
        is_there = stmt_step(s, e);
    }
    if (!is_there)
        return e->kind == ERR_NONE; // somebody took it out meanwhile
    if (t->class == ATTEMPT_DELIVERED)
        return end_delivered(q, entry, t, e);
    return is_final(entry, t, now) ? end_failed(q, entry, t, e) : put_off(q, entry, t, now, e);
}

bool result_end_by_hand(struct queue *q, const struct queue_entry *entry,
                        const struct attempt *attempt, bool is_told, struct err *e)
{
    return (!is_told || report_put(q, entry, DSN_FAILED, attempt, 0, e)) &&
           retire(q, entry, attempt, false, e);
}

bool queue_result(struct queue *q, const struct queue_entry *entry, const struct attempt *attempt,
                  struct err *e)
{
    bool is_ok = queue_change_begin(q, e) &&
                 queue_change_end(q, apply(q, entry, attempt, e), e);

    schedule_end(q, entry);
    return is_ok;
}
