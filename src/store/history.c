/*
 * What is kept of the past: expunged messages that sessions still show, and the history of changes.
 */
#include <stdlib.h>

#include "base/log.h"
#include "os/clock.h"
#include "store/store_priv.h"

// design.md "Storage": 90 days or 100,000 entries, whichever is more.
enum { KEEP_DAYS = 90, KEEP_ENTRIES = 100000, DAY = 86400 };
// Others wait for the writer meanwhile.
enum { ERASE_AT_ONCE = 200 };

struct erase_job {
    uint64_t upto; // died with this modseq at the latest
    bool has_more;
};

// The next email to erase; false when there is none, or on failure.
static bool next_dead(struct store *st, uint64_t upto, uint64_t *email, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT id FROM email_state WHERE dead_modseq <= ? ORDER BY "
                             "dead_modseq LIMIT 1", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, upto);
    if (!stmt_step(s, e))
        return false;
    *email = stmt_u64(s, 0);
    return true;
}

static bool erase_job(struct store *st, void *ctx, struct err *e)
{
    struct erase_job *j = ctx;

    for (int i = 0; i < ERASE_AT_ONCE; i++) {
        uint64_t email;

        if (!next_dead(st, j->upto, &email, e)) {
            j->has_more = false;
            return e->kind == ERR_NONE;
        }
        // Its state goes with it.
        if (!chunk_drop(st->db, email, e) ||
            !DB_RUN(st->db, "DELETE FROM email WHERE id = ?", e, email))
            return false;
    }
    j->has_more = true;
    return true;
}

// Erases some of the emails that nobody shows any more.
static bool erase_some(struct store *st)
{
    struct erase_job j = {0};
    struct err e = {0};

    pthread_mutex_lock(&st->lock);
    j.upto = st->newest_dead > st->erased_upto ? st->modseq : 0;
    for (struct store_session *s = st->sessions; s; s = s->next)
        if (s->seen < j.upto)
            j.upto = s->seen;
    if (j.upto <= st->erased_upto)
        j.upto = 0;
    pthread_mutex_unlock(&st->lock);
    // What was learnt of a message is undone with the message's help.
    if (!j.upto || atomic_load(&st->has_due))
        return false;
    if (!store_write(st, erase_job, &j, &e)) {
        LOG(LOG_ERROR, "store", "erasing expunged messages", LOG_E(&e));
        return false;
    }
    pthread_mutex_lock(&st->lock);
    if (!j.has_more)
        st->erased_upto = j.upto;
    pthread_mutex_unlock(&st->lock);
    return j.has_more;
}

static bool read_number(struct store *st, const char *sql, int64_t arg, uint64_t *out,
                        struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, sql, e);

    if (!s)
        return false;
    stmt_bind_i64(s, 1, arg);
    *out = stmt_step(s, e) ? stmt_u64(s, 0) : 0;
    return e->kind == ERR_NONE;
}

static bool note_day(struct store *st, int64_t day, struct err *e)
{
    return DB_RUN(st->db, "INSERT OR IGNORE INTO modseq_day (day, modseq) SELECT ?, "
                          "modseq FROM account", e, day);
}

// Up to which modseq there is more history than must be kept.
static bool find_floor(struct store *st, int64_t day, uint64_t *out, struct err *e)
{
    static const char *const newest[] = {
        "SELECT modseq FROM expunged ORDER BY modseq DESC LIMIT 1 OFFSET ?",
        "SELECT modseq FROM tombstone ORDER BY modseq DESC LIMIT 1 OFFSET ?",
    };
    uint64_t kept = 0;

    if (!read_number(st, "SELECT modseq FROM modseq_day WHERE day <= ? ORDER BY day DESC LIMIT 1",
                     day - KEEP_DAYS, out, e))
        return false;
    for (size_t i = 0; i < COUNT(newest); i++) {
        uint64_t modseq;

        if (!read_number(st, newest[i], KEEP_ENTRIES, &modseq, e))
            return false;
        if (modseq > kept)
            kept = modseq;
    }
    if (kept < *out)
        *out = kept;
    return true;
}

static bool forget_job(struct store *st, void *ctx, struct err *e)
{
    static const char *const steps[] = {
        "DELETE FROM expunged WHERE modseq <= ?",
        "DELETE FROM tombstone WHERE modseq <= ?",
        "UPDATE mailbox SET expunge_floor = ?1 WHERE expunge_floor < ?1",
        "UPDATE account SET feed_floor = ?",
        "DELETE FROM modseq_day WHERE modseq < ?",
    };
    int64_t day = *(int64_t *)ctx;
    uint64_t floor;

    // Message-ids that were only mentioned are remembered as long.
    if (!note_day(st, day, e) || !find_floor(st, day, &floor, e) ||
        !DB_RUN(st->db, "DELETE FROM thread_ref WHERE seen_unix < ?",
                e, day > KEEP_DAYS ? (uint64_t)((day - KEEP_DAYS) * DAY) : 0))
        return false;
    for (size_t i = 0; floor && i < COUNT(steps); i++)
        if (!DB_RUN(st->db, steps[i], e, floor))
            return false;
    return true;
}

bool store_tidy(struct store *st)
{
    int64_t day = os_now_unix() / DAY;
    struct err e = {0};

    if (st->tidied_day != day) {
        st->tidied_day = day;
        if (!store_write(st, forget_job, &day, &e))
            LOG(LOG_ERROR, "store", "forgetting old history", LOG_E(&e));
    }
    return erase_some(st);
}

struct store_session *store_session_begin(struct store *st)
{
    struct store_session *s = heap_alloc(sizeof *s);

    pthread_mutex_lock(&st->lock);
    s->seen = st->modseq;
    s->next = st->sessions;
    st->sessions = s;
    pthread_mutex_unlock(&st->lock);
    return s;
}

void store_session_seen(struct store *st, struct store_session *s, uint64_t modseq)
{
    pthread_mutex_lock(&st->lock);
    s->seen = modseq;
    pthread_mutex_unlock(&st->lock);
}

void store_session_end(struct store *st, struct store_session *s)
{
    pthread_mutex_lock(&st->lock);
    for (struct store_session **at = &st->sessions; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    pthread_mutex_unlock(&st->lock);
    free(s);
}
