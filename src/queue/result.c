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

static bool note_begin(struct queue *q, const struct queue_entry *entry, int64_t now, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "UPDATE entry SET attempts = attempts + 1, "
                                    "last_attempt_unix = ?2, last_error = 'delivering...', "
                                    "next_attempt_unix = ?3 WHERE id = ?1", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, entry->id);
    stmt_bind_i64(s, 2, now);
    stmt_bind_i64(s, 3, now + queue_wait_s(true, entry->attempts) + jitter_s());
    return stmt_run(s, e);
}

bool queue_begin(struct queue *q, struct queue_entry *entry, struct err *e)
{
    if (!queue_change_begin(q, e) ||
        !queue_change_end(q, note_begin(q, entry, os_now_unix(), e), e))
        return false;
    entry->attempts++;
    return true;
}

// The entry goes, and with the last one its message.
static bool remove_entry(struct queue *q, const struct queue_entry *entry, struct err *e)
{
    bool is_last;

    if (!queue_run_with_id(q, "DELETE FROM entry WHERE id = ?", entry->id, e))
        return false;
    if (!db_changes(q->db))
        return true; // somebody took it out meanwhile
    if (!queue_run_with_id(q, "UPDATE message SET entries = entries - 1 WHERE id = ?",
                           entry->message, e))
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
    return !is_last || (chunk_drop(q->db, entry->message, e) &&
                        queue_run_with_id(q, "DELETE FROM message WHERE id = ?", entry->message, e));
}

// Its time was set when it began.
static bool note_remote_failure(struct queue *q, const struct queue_entry *entry,
                                const struct attempt *t, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "UPDATE entry SET last_error = ?2, dialed = ?3 WHERE id = ?1",
                             e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, entry->id);
    stmt_bind_str(s, 2, t->text);
    stmt_bind_str(s, 3, t->dialed);
    return stmt_run(s, e);
}

static bool note_failure(struct queue *q, const struct queue_entry *entry, const struct attempt *t,
                         int64_t next_unix, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "UPDATE entry SET attempts = attempts + 1, "
                                    "last_attempt_unix = ?2, last_error = ?3, "
                                    "next_attempt_unix = ?4 WHERE id = ?1", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, entry->id);
    stmt_bind_i64(s, 2, os_now_unix());
    stmt_bind_str(s, 3, t->text);
    stmt_bind_i64(s, 4, next_unix);
    return stmt_run(s, e);
}

// Nobody can tell the sender yet: it is kept, for whoever looks at the queue.
static bool keep(struct queue *q, const struct queue_entry *entry, const struct attempt *t,
                 struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "UPDATE entry SET next_attempt_unix = ?3, last_error = "
                                    "'failed permanently and kept here: ' || ?2 WHERE id = ?1", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, entry->id);
    stmt_bind_str(s, 2, t->text);
    stmt_bind_i64(s, 3, QUEUE_NEVER_UNIX);
    return stmt_run(s, e);
}

static bool is_final(const struct queue_entry *entry, const struct attempt *t)
{
    return t->class == ATTEMPT_PERMANENT ||
           (t->is_remote && entry->attempts >= QUEUE_MAX_ATTEMPTS);
}

static bool apply(struct queue *q, const struct queue_entry *entry, const struct attempt *t,
                  struct err *e)
{
    if (t->class == ATTEMPT_DELIVERED)
        return remove_entry(q, entry, e);
    if (is_final(entry, t))
        return keep(q, entry, t, e);
    if (t->is_remote)
        return note_remote_failure(q, entry, t, e);
    return note_failure(q, entry, t, os_now_unix() + queue_wait_s(false, entry->attempts), e);
}

bool queue_result(struct queue *q, const struct queue_entry *entry, const struct attempt *attempt,
                  struct err *e)
{
    bool is_ok = queue_change_begin(q, e) &&
                 queue_change_end(q, apply(q, entry, attempt, e), e);

    schedule_end(q, entry);
    return is_ok;
}
