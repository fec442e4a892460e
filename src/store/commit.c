/*
 * Group commit: jobs of many threads in one transaction and one sync.
 */
#include <unistd.h>

#include "base/die.h"
#include "os/clock.h"
#include "store/store_priv.h"

bool job_modseq(struct store *st, uint64_t *out, struct err *e)
{
    AUTO_STMT update = NULL;
    AUTO_STMT s = NULL;
    bool is_counted;

    if (!st->job_modseq) {
        update = db_prepare(st->db, "UPDATE account SET modseq = modseq + 1 WHERE writer = ? "
                            "AND modseq < 9223372036854775807", e);
        s = db_prepare(st->db, "SELECT modseq FROM account WHERE writer = ?", e);
        if (!update || !s)
            return false;
        stmt_bind_u64(update, 1, st->writer);
        stmt_bind_u64(s, 1, st->writer);
        if (!stmt_run(update, e))
            return false;
        is_counted = db_changes(st->db);
        if (!stmt_step(s, e))
            return fail(e, ERR_TEMPORARY, "another process has taken over this account");
        if (!is_counted) // RFC 7162 7: 63 bits
            return fail(e, ERR_LIMIT, "account has no modseqs left");
        st->job_modseq = stmt_u64(s, 0);
    }
    *out = st->job_modseq;
    return true;
}

// The types of objects that the job touched, and the rows of mailboxes that it changed.
bool job_end(struct store *st, struct err *e)
{
    static const struct {
        unsigned type;
        struct str name;
    } types[] = {{TOUCHED_EMAIL, STR_("Email")}, {TOUCHED_MAILBOX, STR_("Mailbox")},
                 {TOUCHED_THREAD, STR_("Thread")}};

    for (size_t i = 0; i < COUNT(types); i++) {
        AUTO_STMT s = NULL;
        uint64_t modseq;

        if (!(st->touched & types[i].type))
            continue;
        s = db_prepare(st->db, "INSERT INTO type_state (type, modseq) VALUES (?, ?) ON CONFLICT "
                       "(type) DO UPDATE SET modseq = excluded.modseq", e);
        if (!s || !job_modseq(st, &modseq, e))
            return false;
        stmt_bind_str(s, 1, types[i].name);
        stmt_bind_u64(s, 2, modseq);
        if (!stmt_run(s, e))
            return false;
    }
    return write_mailbox_changes(st, e);
}

void job_begin(struct store *st)
{
    st->job_modseq = 0;
    st->n_changes = 0;
    st->touched = 0;
    st->job_by = NULL;
}

/*
 * Each job in a savepoint: one that fails does not take the others with it. A job that is alone needs
 * none; and it must not have one, since SQLite walks through all pages that a savepoint remembers at
 * the end of many a statement: a change of 20,000 messages would take time with their square.
 */
static void run_job(struct store *st, struct job *j, bool is_alone)
{
    size_t n_events = st->n_job_events;

    job_begin(st);
    if (!is_alone && !db_savepoint(st->db, j->e))
        return;
    j->is_ok = j->fn(st, j->ctx, j->e) && job_end(st, j->e);
    if (!is_alone && j->is_ok)
        j->is_ok = db_release(st->db, j->e);
    if (!is_alone && !j->is_ok)
        db_undo(st->db); // also what could not be released: its owner hears that it failed
    if (!j->is_ok)
        st->n_job_events = n_events;
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
        run_job(st, j, j == jobs && !j->next);
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

// Under the lock, which is let go meanwhile: runs everything that has gathered.
static void commit_pending(struct store *st)
{
    struct job *jobs = st->pending;
    uint64_t modseq = st->modseq;
    bool ok;

    st->pending = NULL;
    st->pending_end = &st->pending;
    st->is_committing = true;
    pthread_mutex_unlock(&st->lock);
    ok = commit_jobs(st, jobs, &modseq);
    pthread_mutex_lock(&st->lock);
    st->is_committing = false;
    if (ok) {
        if (st->job_made_due)
            atomic_store(&st->has_due, true); // before what died is seen to have died
        st->job_made_due = false;
        st->modseq = modseq;
        publish_events(st);
        notify(st);
    }
    forget_job_events(st);
    for (struct job *j = jobs, *next; j; j = next) {
        next = j->next; // its owner may return, and j with it, as soon as it is done
        j->is_done = true;
    }
    pthread_cond_broadcast(&st->done);
}

// The first thread to come commits its job; those that come meanwhile gather, and one of them commits
// for all. Nobody leads longer than its own job takes: its client waits for an answer.
bool store_write(struct store *st, job_fn *fn, void *ctx, struct err *e)
{
    struct err unused = {0};
    struct job j = {.fn = fn, .ctx = ctx, .e = e ? e : &unused};

    pthread_mutex_lock(&st->lock);
    *st->pending_end = &j;
    st->pending_end = &j.next;
    while (!j.is_done)
        if (st->is_committing)
            pthread_cond_wait(&st->done, &st->lock);
        else
            commit_pending(st);
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

bool store_wants_checkpoint(struct store *st)
{
    unsigned pages = db_log_pages(st->db);

    if (pages < st->checkpointed) // it began anew
        st->checkpointed = 0;
    if (pages < st->checkpointed + CHECKPOINT_PAGES)
        return false;
    st->checkpointed = pages;
    return true;
}

bool store_checkpoint(struct err *e)
{
    struct db *d = db_open_reader("account.db", e);
    bool ok = d && db_checkpoint(d, e);

    db_close(d);
    return ok;
}
