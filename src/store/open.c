/*
 * Opening an account, and group commit: jobs of many threads in one transaction and one sync.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/die.h"
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

static bool erase_dead(struct store *st, void *ctx, struct err *e)
{
    static const char *const deletes[] = {
        "DELETE FROM chunk WHERE owner IN (SELECT id FROM email WHERE dead_modseq <= ?)",
        "DELETE FROM email WHERE dead_modseq <= ?",
    };
    AUTO_STMT used = db_prepare(st->db, "UPDATE account SET used_bytes = used_bytes - (SELECT "
                                "coalesce(sum(size), 0) FROM email WHERE dead_modseq <= ?)", e);

    if (!used)
        return false;
    stmt_bind_u64(used, 1, *(uint64_t *)ctx);
    if (!stmt_run(used, e))
        return false;
    for (size_t i = 0; i < COUNT(deletes); i++) {
        AUTO_STMT s = db_prepare(st->db, deletes[i], e);

        if (!s)
            return false;
        stmt_bind_u64(s, 1, *(uint64_t *)ctx);
        if (!stmt_run(s, e))
            return false;
    }
    return true;
}

struct store *store_open(const struct store_options *o, struct err *e)
{
    struct store *st = heap_alloc(sizeof *st);
    uint64_t all = INT64_MAX;
    bool exists;

    pthread_mutex_init(&st->lock, NULL);
    pthread_cond_init(&st->done, NULL);
    st->pending_end = &st->pending;
    st->quota_bytes = o->quota_bytes;
    st->db = db_open("account.db", sql_account, sql_account_count, e);
    if (!st->db || !db_begin(st->db, e)) {
        store_close(st);
        return NULL;
    }
    if (has_account(st, &exists, e) && (exists || create_account(st, (void *)(uintptr_t)o, e)) &&
        take_epoch(st, e) && erase_dead(st, &all, e) && db_commit(st->db, e))
        return st;
    db_rollback(st->db);
    store_close(st);
    return NULL;
}

void store_close(struct store *st)
{
    if (!st)
        return;
    db_close(st->db);
    pthread_mutex_destroy(&st->lock);
    pthread_cond_destroy(&st->done);
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

bool job_modseq(struct store *st, uint64_t *out, struct err *e)
{
    AUTO_STMT update = NULL;
    AUTO_STMT s = NULL;

    if (!st->job_modseq) {
        update = db_prepare(st->db, "UPDATE account SET modseq = modseq + 1 WHERE writer = ?", e);
        s = db_prepare(st->db, "SELECT modseq FROM account WHERE writer = ?", e);
        if (!update || !s)
            return false;
        stmt_bind_u64(update, 1, st->writer);
        stmt_bind_u64(s, 1, st->writer);
        if (!stmt_run(update, e))
            return false;
        if (!stmt_step(s, e))
            return fail(e, ERR_TEMPORARY, "another process has taken over this account");
        st->job_modseq = stmt_u64(s, 0);
    }
    *out = st->job_modseq;
    return true;
}

bool touch_type(struct store *st, const char *type, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "INSERT INTO type_state (type, modseq) VALUES (?, ?) "
                             "ON CONFLICT (type) DO UPDATE SET modseq = excluded.modseq", e);
    uint64_t modseq;

    if (!s || !job_modseq(st, &modseq, e))
        return false;
    stmt_bind_str(s, 1, str_of(type));
    stmt_bind_u64(s, 2, modseq);
    return stmt_run(s, e);
}

// Each job alone in a savepoint: one that fails does not take the others with it.
static void run_job(struct store *st, struct job *j)
{
    st->job_modseq = 0;
    if (!db_savepoint(st->db, j->e))
        return;
    j->is_ok = j->fn(st, j->ctx, j->e);
    if (!j->is_ok)
        db_undo(st->db);
    else
        j->is_ok = db_release(st->db, j->e);
}

static void fail_all(struct job *jobs, const struct err *why)
{
    for (struct job *j = jobs; j; j = j->next)
        if (j->is_ok) {
            j->is_ok = false;
            *j->e = *why;
        }
}

// Without the lock: one transaction for all jobs.
static bool commit_jobs(struct store *st, struct job *jobs, uint64_t *modseq)
{
    struct err e = {0};
    bool any = false;

    if (!db_begin(st->db, &e)) {
        for (struct job *j = jobs; j; j = j->next)
            *j->e = e;
        return false;
    }
    for (struct job *j = jobs; j; j = j->next) {
        run_job(st, j);
        any |= j->is_ok;
        if (j->is_ok && st->job_modseq)
            *modseq = st->job_modseq;
    }
    if (!any) {
        db_rollback(st->db);
        return false;
    }
    if (db_commit(st->db, &e))
        return true;
    fail_all(jobs, &e);
    return false;
}

static void notify(struct store *st)
{
    uint64_t one = 1;

    for (size_t i = 0; i < st->n_watchers; i++)
        if (write(st->watchers[i], &one, sizeof one) < 0)
            continue; // it is full, so it has been told
}

// The first thread to come runs everything that has gathered; the others wait for it.
static void lead(struct store *st)
{
    while (st->pending) {
        struct job *jobs = st->pending;
        uint64_t modseq = st->modseq;
        bool ok;

        st->pending = NULL;
        st->pending_end = &st->pending;
        pthread_mutex_unlock(&st->lock);
        ok = commit_jobs(st, jobs, &modseq);
        pthread_mutex_lock(&st->lock);
        if (ok) {
            st->modseq = modseq;
            notify(st);
        }
        for (struct job *j = jobs, *next; j; j = next) {
            next = j->next; // its owner may return, and j with it, as soon as it is done
            j->is_done = true;
        }
        pthread_cond_broadcast(&st->done);
    }
}

bool store_write(struct store *st, job_fn *fn, void *ctx, struct err *e)
{
    struct err unused = {0};
    struct job j = {.fn = fn, .ctx = ctx, .e = e ? e : &unused};

    pthread_mutex_lock(&st->lock);
    *st->pending_end = &j;
    st->pending_end = &j.next;
    if (st->is_committing) {
        while (!j.is_done)
            pthread_cond_wait(&st->done, &st->lock);
    } else {
        st->is_committing = true;
        lead(st);
        st->is_committing = false;
    }
    pthread_mutex_unlock(&st->lock);
    return j.is_ok;
}

void store_watch(struct store *st, int event_fd)
{
    pthread_mutex_lock(&st->lock);
    if (st->n_watchers == MAX_WATCHERS)
        die("store: more than %d watchers", MAX_WATCHERS);
    st->watchers[st->n_watchers++] = event_fd;
    pthread_mutex_unlock(&st->lock);
}

void store_unwatch(struct store *st, int event_fd)
{
    pthread_mutex_lock(&st->lock);
    for (size_t i = 0; i < st->n_watchers; i++)
        if (st->watchers[i] == event_fd) {
            st->watchers[i] = st->watchers[--st->n_watchers];
            break;
        }
    pthread_mutex_unlock(&st->lock);
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

// Erases the bytes of emails that nobody shows any more.
static void erase_seen(struct store *st)
{
    struct err e = {0};
    uint64_t upto;

    pthread_mutex_lock(&st->lock);
    upto = st->has_dead ? st->modseq : 0;
    for (struct store_session *s = st->sessions; s; s = s->next)
        if (s->seen < upto)
            upto = s->seen;
    if (upto == st->modseq)
        st->has_dead = false;
    pthread_mutex_unlock(&st->lock);
    if (upto && !store_write(st, erase_dead, &upto, &e))
        return; // at the next opening, then
}

void store_session_seen(struct store *st, struct store_session *s, uint64_t modseq)
{
    pthread_mutex_lock(&st->lock);
    s->seen = modseq;
    pthread_mutex_unlock(&st->lock);
    erase_seen(st);
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
    erase_seen(st);
}
