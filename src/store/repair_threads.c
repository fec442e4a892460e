/*
 * All messages are put into threads anew, in batches beside other writers. What breaks off is repeated from the beginning:
 * old threads go last.
 */
#include <stdlib.h>

#include "message/summary.h"
#include "store/repair.h"
#include "store/store_priv.h"

// What the thread of a message follows from, of what is stored of it.
static bool read_for_thread(struct arena *a, struct stmt *s, struct parsed *out, struct err *e)
{
    struct str tree = arena_dup(a, stmt_str(s, 4));

    *out = (struct parsed){.message_id = arena_dup(a, stmt_str(s, 2))};
    if (!part_decode(a, tree, &out->root, e))
        return false;
    if (!out->root->envelope)
        out->root->envelope = ARENA_NEW(a, struct envelope);
    out->subject_base = subject_base(a, encoded_word_decode(a, out->root->envelope->subject),
                                     &out->is_reply);
    out->is_dsn = message_is_dsn(out->root);
    return true;
}

/*
 * One message after the other, as if they had come in the order of their times. A thread up to `upto` is an old one:
 * none to join, and one that has no message in the end. What comes in meanwhile may join an old one, and is moved last.
 */
struct threads_job {
    uint64_t upto, n;
    const struct timed {
        int64_t received_unix;
        uint64_t id;
    } *emails; // NULL: any that is still in an old one
    size_t n_emails, at;
    uint64_t gone_after; // old threads up to this one are gone
    bool has_more;
};

static bool assign_one(struct store *st, const struct threads_job *j, uint64_t email, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(2 * MIME_MEMORY);
    AUTO_STMT s = db_prepare(st->db, "SELECT id, received_unix, message_id, thread, tree FROM email WHERE id = ?", e);
    struct parsed p;
    uint64_t thread;
    int64_t received;

    if (!s)
        return false;
    stmt_bind_u64(s, 1, email);
    if (!stmt_step(s, e))
        return e->kind == ERR_NONE; // it went meanwhile
    if (stmt_u64(s, 3) > j->upto)
        return true;
    if (!read_for_thread(&a, s, &p, e))
        return fail_in(e, "message %llu", (unsigned long long)email);
    received = stmt_i64(s, 1);
    stmt_reset(s);
    return assign_thread(st, &a, &p, received, &thread, e) && move_to_thread(st, email, thread, e) &&
           remember_references(st, &a, &p, thread, received, e);
}

static bool assign_some(struct store *st, struct threads_job *j, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT id FROM email WHERE thread <= ? LIMIT ?", e);
    uint64_t ids[REPAIR_AT_ONCE];
    size_t n = 0;

    if (!s)
        return false;
    while (j->at < j->n_emails && n < REPAIR_AT_ONCE)
        ids[n++] = j->emails[j->at++].id;
    stmt_bind_u64(s, 1, j->upto);
    stmt_bind_u64(s, 2, REPAIR_AT_ONCE);
    while (!j->emails && stmt_step(s, e))
        ids[n++] = stmt_u64(s, 0);
    stmt_reset(s);
    for (size_t i = 0; e->kind == ERR_NONE && i < n; i++, j->n++)
        if (!assign_one(st, j, ids[i], e))
            return false;
    j->has_more = n == REPAIR_AT_ONCE;
    return e->kind == ERR_NONE;
}

static bool threads_job(struct store *st, void *ctx, struct err *e)
{
    struct threads_job *j = ctx;
    bool is_ok;

    st->threads_after = j->upto;
    is_ok = assign_some(st, j, e);
    st->threads_after = 0;
    return is_ok;
}

static bool last_thread_job(struct store *st, void *ctx, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT coalesce(max(id), 0) FROM thread", e);

    if (!s || !stmt_step(s, e))
        return false;
    *(uint64_t *)ctx = stmt_u64(s, 0);
    return true;
}

static bool drop_thread(struct store *st, uint64_t thread, struct err *e)
{
    static const char *const steps[] = {
        "DELETE FROM thread_mailbox WHERE thread = ?1 AND ?2",
        "DELETE FROM thread_ref WHERE thread = ?1 AND ?2",
        ("INSERT OR IGNORE INTO tombstone (type, modseq, id, createseq) SELECT 'Thread', ?2, id, createseq "
         "FROM thread WHERE id = ?1"),
        "DELETE FROM thread WHERE id = ?1 AND ?2",
    };
    uint64_t modseq;

    if (!job_modseq(st, &modseq, e))
        return false;
    for (size_t i = 0; i < COUNT(steps); i++)
        if (!DB_RUN(st->db, steps[i], e, thread, modseq))
            return false;
    touch(st, TOUCHED_THREAD);
    return true;
}

// Old threads that no message is in. One may have got one again, which was moved there from elsewhere.
static bool gone_job(struct store *st, void *ctx, struct err *e)
{
    struct threads_job *j = ctx;
    AUTO_STMT s = db_prepare(st->db, "SELECT id, EXISTS (SELECT 1 FROM email WHERE thread = thread.id) FROM thread WHERE "
                             "id > ? AND id <= ? ORDER BY id LIMIT ?", e);
    struct {
        uint64_t id;
        bool has_message;
    } list[REPAIR_AT_ONCE];
    size_t n = 0;

    if (!s)
        return false;
    stmt_bind_u64(s, 1, j->gone_after);
    stmt_bind_u64(s, 2, j->upto);
    stmt_bind_u64(s, 3, REPAIR_AT_ONCE);
    while (stmt_step(s, e)) {
        list[n].id = stmt_u64(s, 0);
        list[n++].has_message = stmt_u64(s, 1);
    }
    stmt_reset(s);
    for (size_t i = 0; e->kind == ERR_NONE && i < n; i++) {
        j->gone_after = list[i].id;
        if (!list[i].has_message && !drop_thread(st, list[i].id, e))
            return false;
    }
    j->has_more = n == REPAIR_AT_ONCE;
    return e->kind == ERR_NONE;
}

static int by_time(const void *a, const void *b)
{
    const struct timed *x = a, *y = b;

    if (x->received_unix != y->received_unix)
        return x->received_unix < y->received_unix ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

// All messages by their time: sixteen bytes for each.
static bool list_emails(struct arena *a, struct threads_job *j, struct err *e)
{
    struct store_reader *r = store_reader_open(e);
    struct stmt *s = r ? db_prepare(r->db, "SELECT received_unix, id FROM email", e) : NULL;
    struct timed *list = NULL;
    size_t cap = 0;

    while (s && stmt_step(s, e)) {
        *ARENA_PUSH(a, list, &j->n_emails, &cap) = (struct timed){stmt_i64(s, 0), stmt_u64(s, 1)};
    }
    if (s)
        stmt_done(&s);
    store_reader_close(r);
    if (list)
        qsort(list, j->n_emails, sizeof *list, by_time);
    j->emails = list;
    return e->kind == ERR_NONE;
}

// Beside the writer, row by row.
static bool ask_number(const char *sql, uint64_t *out, struct err *e)
{
    struct store_reader *r = store_reader_open(e);
    struct stmt *s = r ? db_prepare(r->db, sql, e) : NULL;

    *out = s && stmt_step(s, e) ? stmt_u64(s, 0) : 0;
    if (s)
        stmt_done(&s);
    store_reader_close(r);
    return e->kind == ERR_NONE;
}

// What is counted of threads is as right as it was before. Only when it was not, all is counted, at one time. The order
// of the tables is given: by way of the mailbox, each thread would be looked for in all of its messages.
static bool count_if_wrong(struct store *st, struct err *e)
{
    static const char wrong[] =
        "SELECT EXISTS (SELECT 1 FROM thread_mailbox t WHERE (t.emails, t.unread) <> (SELECT count(*), "
        "coalesce(sum(p.flags & 17 = 0), 0) FROM email e CROSS JOIN placement p ON p.email = e.id WHERE e.thread = "
        "t.thread AND +p.mailbox = t.mailbox AND p.flags & 8 = 0)) OR (SELECT coalesce(sum(emails), 0) FROM thread_mailbox) <> "
        "(SELECT count(*) FROM placement WHERE flags & 8 = 0) OR EXISTS (SELECT 1 FROM mailbox m LEFT JOIN (SELECT "
        "mailbox, count(*) AS n, sum(unread > 0) AS u FROM thread_mailbox GROUP BY mailbox) t ON t.mailbox = m.id WHERE "
        "(m.threads, m.unread_threads) <> (coalesce(t.n, 0), coalesce(t.u, 0)))";
    uint64_t is_wrong;

    return ask_number(wrong, &is_wrong, e) &&
           (!is_wrong || store_write(st, repair_counts_job, &(struct buf)BUF_LIMIT(0), e));
}

static bool run_batches(struct store *st, bool (*job)(struct store *, void *, struct err *), struct threads_job *j,
                        store_progress_fn *progress, struct err *e)
{
    do {
        if (!store_write(st, job, j, e))
            return false;
        if (progress)
            progress(j->n, j->n_emails);
    } while (j->has_more);
    return true;
}

static bool schema_job(struct store *st, void *ctx, struct err *e)
{
    return db_exec(st->db, ctx, e);
}

// With an index that is there meanwhile: a thread that goes is looked for in all that is mentioned, by SQLite as well.
static bool drop_old(struct store *st, struct threads_job *j, struct err *e)
{
    static char make[] = "CREATE INDEX IF NOT EXISTS thread_ref_meanwhile ON thread_ref (thread)",
                drop[] = "DROP INDEX IF EXISTS thread_ref_meanwhile";

    return store_write(st, schema_job, make, e) && run_batches(st, gone_job, j, NULL, e) &&
           store_write(st, schema_job, drop, e);
}

bool repair_threads(struct store *st, store_progress_fn *progress, struct buf *told, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(SIZE_MAX / 2);
    struct threads_job j = {0};
    uint64_t n_threads;

    if (!store_write(st, last_thread_job, &j.upto, e) || !list_emails(&a, &j, e) ||
        (j.emails && !run_batches(st, threads_job, &j, progress, e)))
        return false;
    j.emails = NULL;
    j.at = j.n_emails;
    if (!run_batches(st, threads_job, &j, progress, e) || !drop_old(st, &j, e) ||
        !count_if_wrong(st, e) || !ask_number("SELECT count(*) FROM thread", &n_threads, e))
        return false;
    buf_printf(told, "%llu message(s) in %llu thread(s)\n", (unsigned long long)j.n, (unsigned long long)n_threads);
    return true;
}
