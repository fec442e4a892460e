/*
 * Opening an account, and making it the first time.
 */
#include <stdlib.h>

#include "db/sql.h"
#include "os/clock.h"
#include "store/store_priv.h"

static bool create_account(struct store *st, void *ctx, struct err *e)
{
    const struct store_options *o = ctx;
    AUTO_STMT s = db_prepare(st->db,
                             "INSERT INTO account (id, jmap_id, modseq, epoch, writer, "
                             "next_uidvalidity, used_bytes, feed_floor) "
                             "VALUES (1, ?, 1, 1, 0, ?, 0, 0)", e);
    struct writer_mailbox m;
    uint64_t id;

    if (!s)
        return false;
    os_random(&id, sizeof id);
    stmt_bind_u64(s, 1, id >> 1);
    // mox-imap-store-cli-config.md 2.4: seconds / 2.
    stmt_bind_i64(s, 2, os_now_unix() / 2);
    if (!stmt_run(s, e) || !writer_create_mailbox(st, STR("Inbox"), (struct str){0}, &m, e))
        return false;
    for (size_t i = 0; i < o->n_initial; i++)
        if (!str_eq_ci(o->initial[i].name, STR("Inbox")) &&
            !writer_create_mailbox(st, o->initial[i].name, o->initial[i].special_use, &m, e))
            return false;
    return true;
}

static bool has_account(struct store *st, bool *out, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT modseq FROM account", e);

    if (!s)
        return false;
    *out = stmt_step(s, e);
    return e->kind == ERR_NONE;
}

// From now on a process that opened the account earlier can no longer write.
static bool take_epoch(struct store *st, struct err *e)
{
    AUTO_STMT update = db_prepare(st->db, "UPDATE account SET writer = writer + 1", e);
    AUTO_STMT s = db_prepare(st->db, "SELECT writer, modseq FROM account", e);

    if (!update || !s || !stmt_run(update, e) || !stmt_step(s, e))
        return false;
    st->writer = stmt_u64(s, 0);
    st->modseq = stmt_u64(s, 1);
    return true;
}

struct store *store_open(const struct store_options *o, struct err *e)
{
    struct store *st = heap_alloc(sizeof *st);
    bool exists;

    pthread_mutex_init(&st->lock, NULL);
    pthread_cond_init(&st->done, NULL);
    st->pending_end = &st->pending;
    st->event_arena = (struct arena)ARENA_LIMIT(64 << 20);
    st->quota_bytes = o->quota_bytes;
    if (filter_open(st, &o->junk, e))
        st->db = db_open("account.db", sql_account, sql_account_count, e);
    if (!st->db || !db_begin(st->db, e)) {
        store_close(st);
        return NULL;
    }
    job_begin(st);
    if (has_account(st, &exists, e) &&
        (exists || (create_account(st, (void *)(uintptr_t)o, e) && job_end(st, e))) &&
        take_epoch(st, e) && filter_begin(st, e) && db_commit(st->db, e)) {
        st->newest_dead = st->modseq;
        forget_job_events(st); // nobody is there to be told
        if (!o->opens_nothing_else)
            suspects_open(st);
        db_leave_checkpoints(st->db);
        return st;
    }
    db_rollback(st->db);
    store_close(st);
    return NULL;
}

void store_close(struct store *st)
{
    if (!st)
        return;
    suspects_close(st);
    filter_close(st);
    db_close(st->db);
    free_events(st);
    pthread_mutex_destroy(&st->lock);
    pthread_cond_destroy(&st->done);
    free(st->changes);
    free(st);
}

uint64_t store_modseq(struct store *st)
{
    uint64_t v;

    pthread_mutex_lock(&st->lock);
    v = st->modseq;
    pthread_mutex_unlock(&st->lock);
    return v;
}

