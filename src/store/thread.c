/*
 * Which thread a message belongs to. Thread ids never change; threads are never merged.
 */
#include "message/summary.h"
#include "store/store_priv.h"

enum { WEEK = 7 * 86400, REFERENCE_LIFE = 90 * 86400 };

uint64_t message_id_hash(struct str id)
{
    uint64_t h = 14695981039346656037u; // FNV-1a: an index, not a promise; ids are compared too

    for (size_t i = 0; i < id.n; i++)
        h = (h ^ (unsigned char)id.p[i]) * 1099511628211u;
    return h >> 1; // a positive number in SQL
}

// The thread of the oldest message with this id; subject empty: any subject.
static bool find_by_id(struct store *st, struct str id, const struct str *subject,
                       uint64_t *thread, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT thread FROM email WHERE message_id_hash = ? AND "
                             "message_id = ? AND (? OR subject_base = ?) AND thread > ? "
                             "ORDER BY id LIMIT 1", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, message_id_hash(id));
    stmt_bind_str(s, 2, id);
    stmt_bind_u64(s, 3, subject == NULL);
    stmt_bind_str(s, 4, subject ? *subject : (struct str){0});
    stmt_bind_u64(s, 5, st->threads_after);
    if (!stmt_step(s, e))
        return false;
    *thread = stmt_u64(s, 0);
    return true;
}

// A thread that mentions this message, which came before it.
static bool find_mentioned(struct store *st, struct str id, uint64_t *thread, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT thread FROM thread_ref WHERE hash = ? AND thread > ? "
                             "LIMIT 1", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, message_id_hash(id));
    stmt_bind_u64(s, 2, st->threads_after);
    if (!stmt_step(s, e))
        return false;
    *thread = stmt_u64(s, 0);
    return true;
}

static bool find_by_subject(struct store *st, struct str subject, int64_t received,
                            uint64_t *thread, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT thread FROM email WHERE subject_base = ? AND "
                             "received_unix BETWEEN ? AND ? AND thread > ? "
                             "ORDER BY received_unix DESC LIMIT 1", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, subject);
    stmt_bind_i64(s, 2, received - 4 * WEEK);
    stmt_bind_i64(s, 3, received + 86400);
    stmt_bind_u64(s, 4, st->threads_after);
    if (!stmt_step(s, e))
        return false;
    *thread = stmt_u64(s, 0);
    return true;
}

static bool find_thread(struct store *st, struct arena *a, const struct parsed *p,
                        int64_t received, uint64_t *thread, struct err *e)
{
    struct str_list refs;

    message_references(a, p->root->envelope, &refs);
    if (p->message_id.n && find_by_id(st, p->message_id, NULL, thread, e))
        return true;
    for (size_t i = refs.n; i-- > 0;)
        if (!str_eq(refs.items[i], p->message_id) &&
            find_by_id(st, refs.items[i], p->is_dsn ? NULL : &p->subject_base, thread, e))
            return true;
    if (p->message_id.n && find_mentioned(st, p->message_id, thread, e))
        return true;
    return !refs.n && p->is_reply && p->subject_base.n &&
           find_by_subject(st, p->subject_base, received, thread, e);
}

bool assign_thread(struct store *st, struct arena *a, const struct parsed *p, int64_t received,
                   uint64_t *thread, struct err *e)
{
    AUTO_STMT s = NULL;
    uint64_t modseq;

    if (!job_modseq(st, &modseq, e))
        return false;
    if (find_thread(st, a, p, received, thread, e)) {
        s = db_prepare(st->db, "UPDATE thread SET modseq = ? WHERE id = ?", e);
        if (!s)
            return false;
        stmt_bind_u64(s, 1, modseq);
        stmt_bind_u64(s, 2, *thread);
        touch(st, TOUCHED_THREAD);
        return stmt_run(s, e);
    }
    if (e->kind != ERR_NONE)
        return false;
    s = db_prepare(st->db, "INSERT INTO thread (createseq, modseq) VALUES (?1, ?1)", e);
    if (!s)
        return false;
    stmt_bind_u64(s, 1, modseq);
    if (!stmt_run(s, e))
        return false;
    *thread = db_last_id(st->db);
    touch(st, TOUCHED_THREAD);
    return true;
}

bool remember_references(struct store *st, struct arena *a, const struct parsed *p,
                         uint64_t thread, int64_t received, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "INSERT OR IGNORE INTO thread_ref (hash, thread, seen_unix) "
                             "VALUES (?, ?, ?)", e);
    struct str_list refs;

    if (!s)
        return false;
    message_references(a, p->root->envelope, &refs);
    for (size_t i = 0; i < refs.n; i++) {
        stmt_bind_u64(s, 1, message_id_hash(refs.items[i]));
        stmt_bind_u64(s, 2, thread);
        stmt_bind_i64(s, 3, received);
        if (!stmt_run(s, e))
            return false;
    }
    return true;
}
