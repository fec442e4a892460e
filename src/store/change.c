/*
 * Changes to copies of messages: placing, flags, expunging, copying, moving. Each message is one
 * step of its own, so that a change of many takes no memory in proportion.
 */
#include <stdlib.h>

#include "os/clock.h"
#include "store/store_priv.h"

// An email has these when all its copies have them; the other flags when one has.
enum { AGGREGATE_ALL = FLAG_SEEN | FLAG_DELETED };
// By these the user says what mail is welcome.
enum { JUDGING = FLAG_JUNK | FLAG_NOTJUNK };

static struct mailbox_change *change_of(struct store *st, uint64_t mailbox)
{
    for (size_t i = 0; i < st->n_changes; i++)
        if (st->changes[i].id == mailbox)
            return &st->changes[i];
    if (st->n_changes == st->cap_changes) {
        st->cap_changes = st->cap_changes ? st->cap_changes * 2 : 4;
        st->changes = heap_resize(st->changes, st->cap_changes, sizeof *st->changes);
    }
    st->changes[st->n_changes] = (struct mailbox_change){.id = mailbox};
    return &st->changes[st->n_changes++];
}

bool write_mailbox_changes(struct store *st, struct err *e)
{
    AUTO_STMT s = NULL;
    uint64_t modseq;

    if (!st->n_changes)
        return true;
    s = db_prepare(st->db, "UPDATE mailbox SET total = total + ?1, unseen = unseen + ?2, unread = "
                   "unread + ?3, deleted = deleted + ?4, size = size + ?5, threads = threads + ?6, "
                   "unread_threads = unread_threads + ?7, uidnext = coalesce(?8, uidnext), modseq "
                   "= ?9, countseq = ?9 WHERE id = ?10", e);
    if (!s || !job_modseq(st, &modseq, e))
        return false;
    for (size_t i = 0; i < st->n_changes; i++) {
        const struct mailbox_change *c = &st->changes[i];

        stmt_bind_i64(s, 1, c->total);
        stmt_bind_i64(s, 2, c->unseen);
        stmt_bind_i64(s, 3, c->unread);
        stmt_bind_i64(s, 4, c->deleted);
        stmt_bind_i64(s, 5, c->size);
        stmt_bind_i64(s, 6, c->threads);
        stmt_bind_i64(s, 7, c->unread_threads);
        if (c->uidnext)
            stmt_bind_u64(s, 8, c->uidnext);
        else
            stmt_bind_null(s, 8);
        stmt_bind_u64(s, 9, modseq);
        stmt_bind_u64(s, 10, c->id);
        if (!stmt_run(s, e))
            return false;
    }
    st->n_changes = 0;
    return true;
}

// sign +1: a copy with these flags came; -1: it went.
static void count_copy(struct mailbox_change *m, int sign, uint32_t flags, uint64_t size)
{
    bool unseen = !(flags & FLAG_SEEN), deleted = flags & FLAG_DELETED;

    m->total += sign;
    m->unseen += unseen ? sign : 0;
    m->unread += unseen && !deleted ? sign : 0;
    m->deleted += deleted ? sign : 0;
    m->size += sign * (int64_t)size;
}

static bool note_keywords(struct store *st, uint64_t mailbox, struct str keywords, struct err *e)
{
    struct str word;
    AUTO_STMT s = db_prepare(st->db, "INSERT OR IGNORE INTO keyword (mailbox, name) VALUES (?, ?)",
                             e);

    if (!s)
        return false;
    while (str_next(&keywords, ' ', &word)) {
        stmt_bind_u64(s, 1, mailbox);
        stmt_bind_str(s, 2, word);
        if (!stmt_run(s, e))
            return false;
    }
    return true;
}

// wanted: the number that it must be; 0: the next.
static bool next_uid(struct store *st, struct mailbox_change *m, uint32_t wanted, uint32_t *out,
                     struct err *e)
{
    AUTO_STMT s = NULL;

    if (!m->uidnext) {
        s = db_prepare(st->db, "SELECT uidnext FROM mailbox WHERE id = ?", e);
        if (!s)
            return false;
        stmt_bind_u64(s, 1, m->id);
        if (!stmt_step(s, e))
            return e->kind == ERR_NONE ? fail(e, ERR_NOT_FOUND, "no such mailbox") : false;
        m->uidnext = stmt_u64(s, 0);
    }
    if (wanted) {
        if (wanted < m->uidnext)
            return fail(e, ERR_CONFLICT, "uid %u was used before", wanted);
        m->uidnext = wanted;
    }
    if (m->uidnext >= UINT32_MAX)
        return fail(e, ERR_LIMIT, "mailbox has no uids left");
    *out = (uint32_t)m->uidnext++;
    return true;
}

static bool is_shown(uint32_t flags)
{
    return !(flags & FLAG_DELETED);
}

static bool is_thread_unread(uint32_t flags)
{
    return is_shown(flags) && !(flags & (FLAG_SEEN | FLAG_DRAFT));
}

/*
 * The thread's row of a mailbox, and the mailbox's thread counts, after emails and unread ones came
 * or went. newest is of all that ever came there. Never counted anew: a thread may be long.
 */
static bool count_thread(struct store *st, struct mailbox_change *m, const struct copy *c,
                         int emails, int unread, struct err *e)
{
    AUTO_STMT put = NULL;
    AUTO_STMT drop = NULL;
    int64_t now, now_unread;

    if (!emails && !unread)
        return true;
    put = db_prepare(st->db, "INSERT INTO thread_mailbox (thread, mailbox, emails, unread, newest) "
                     "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (thread, mailbox) DO UPDATE SET "
                     "emails = emails + ?3, unread = unread + ?4, newest = max(newest, ?5) "
                     "RETURNING emails, unread", e);
    if (!put)
        return false;
    stmt_bind_u64(put, 1, c->thread);
    stmt_bind_u64(put, 2, m->id);
    stmt_bind_i64(put, 3, emails);
    stmt_bind_i64(put, 4, unread);
    stmt_bind_i64(put, 5, c->received_unix);
    if (!stmt_step(put, e))
        return false;
    now = stmt_i64(put, 0);
    now_unread = stmt_i64(put, 1);
    if (stmt_step(put, e) || e->kind != ERR_NONE)
        return false;
    m->threads += (now > 0) - (now - emails > 0);
    m->unread_threads += (now_unread > 0) - (now_unread - unread > 0);
    if (now)
        return true;
    drop = db_prepare(st->db, "DELETE FROM thread_mailbox WHERE thread = ? AND mailbox = ?", e);
    if (!drop)
        return false;
    stmt_bind_u64(drop, 1, c->thread);
    stmt_bind_u64(drop, 2, m->id);
    return stmt_run(drop, e);
}

/* What the copies of an email have together (store-for-jmap.md 2.1). */
struct aggregate {
    size_t n;
    uint32_t any, all; // flags
    struct store_names keywords;
};

static bool read_aggregate(struct store *st, struct arena *a, uint64_t email,
                           struct aggregate *out, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT flags, keywords FROM placement WHERE email = ?", e);

    *out = (struct aggregate){.all = UINT32_MAX};
    if (!s)
        return false;
    stmt_bind_u64(s, 1, email);
    while (stmt_step(s, e)) {
        uint32_t flags = (uint32_t)stmt_u64(s, 0);
        struct str words = arena_dup(a, stmt_str(s, 1)), word;

        out->n++;
        out->any |= flags;
        out->all &= flags;
        while (str_next(&words, ' ', &word)) {
            *ARENA_PUSH(a, out->keywords.items, &out->keywords.n, &out->keywords.cap) = word;
        }
    }
    return e->kind == ERR_NONE;
}

// An email without a place is dead: destroyed for every reader, erased when all have seen that.
static bool bury_email(struct store *st, uint64_t email, uint64_t modseq, struct err *e)
{
    // The room it took is free at once, though its bytes stay until all have seen that.
    AUTO_STMT used = db_prepare(st->db, "UPDATE account SET used_bytes = used_bytes - (SELECT size "
                                "FROM email WHERE id = ?)", e);
    AUTO_STMT tomb = db_prepare(st->db, "INSERT OR IGNORE INTO tombstone (type, id, createseq, "
                                "modseq) SELECT 'Email', id, createseq, ? FROM email WHERE id = ?",
                                e);
    AUTO_STMT dead = db_prepare(st->db, "UPDATE email_state SET dead_modseq = ? WHERE id = ?", e);

    if (!used || !tomb || !dead)
        return false;
    stmt_bind_u64(used, 1, email);
    stmt_bind_u64(tomb, 1, modseq);
    stmt_bind_u64(tomb, 2, email);
    stmt_bind_u64(dead, 1, modseq);
    stmt_bind_u64(dead, 2, email);
    pthread_mutex_lock(&st->lock);
    st->newest_dead = modseq;
    pthread_mutex_unlock(&st->lock);
    return stmt_run(used, e) && stmt_run(tomb, e) && stmt_run(dead, e);
}

// After its copies changed; is_moved: one came or went; is_judged: one with a flag of JUDGING.
static bool refresh_email(struct store *st, uint64_t email, bool is_moved, bool is_judged,
                          struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    AUTO_STMT s = db_prepare(st->db, "UPDATE email_state SET flags = ?1, keywords = ?2, modseq = "
                             "?3, memberseq = CASE WHEN ?4 THEN ?3 ELSE memberseq END WHERE id = "
                             "?5 RETURNING learnt", e);
    struct aggregate g;
    uint64_t modseq, learnt;
    uint32_t flags;

    if (!s || !job_modseq(st, &modseq, e) || !read_aggregate(st, &a, email, &g, e))
        return false;
    if (!g.n && !bury_email(st, email, modseq, e))
        return false;
    flags = g.n ? (g.any & ~AGGREGATE_ALL) | (g.all & AGGREGATE_ALL) : 0;
    stmt_bind_u64(s, 1, flags);
    stmt_bind_str(s, 2, store_keywords_join(&a, &g.keywords));
    stmt_bind_u64(s, 3, modseq);
    stmt_bind_u64(s, 4, is_moved);
    stmt_bind_u64(s, 5, email);
    touch(st, TOUCHED_EMAIL);
    touch(st, TOUCHED_MAILBOX);
    if (!stmt_step(s, e))
        return false;
    learnt = stmt_u64(s, 0);
    return !stmt_step(s, e) && e->kind == ERR_NONE && note_due(st, email, flags, learnt, e) &&
           (!is_judged || origin_judge(st, email, g.any, !g.n, e));
}

bool add_placement(struct store *st, uint64_t mailbox, const struct copy *c, uint32_t *uid,
                   struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "INSERT INTO placement (mailbox, uid, email, flags, keywords, "
                             "createseq, modseq, saved_unix, size, received_unix, thread) VALUES "
                             "(?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10)", e);
    struct mailbox_change *m = change_of(st, mailbox);
    uint32_t flags = c->flags;
    uint64_t modseq;

    if (!s || !job_modseq(st, &modseq, e) || !next_uid(st, m, c->wanted_uid, uid, e) ||
        (!c->is_ruled && !junk_flags(st, m, &flags, e)))
        return false;
    stmt_bind_u64(s, 1, mailbox);
    stmt_bind_u64(s, 2, *uid);
    stmt_bind_u64(s, 3, c->email);
    stmt_bind_u64(s, 4, flags);
    stmt_bind_str(s, 5, c->keywords);
    stmt_bind_u64(s, 6, modseq);
    stmt_bind_i64(s, 7, os_now_unix());
    stmt_bind_u64(s, 8, c->size);
    stmt_bind_i64(s, 9, c->received_unix);
    stmt_bind_u64(s, 10, c->thread);
    count_copy(m, 1, flags, c->size);
    return stmt_run(s, e) && note_keywords(st, mailbox, c->keywords, e) &&
           count_thread(st, m, c, is_shown(flags), is_thread_unread(flags), e) &&
           refresh_email(st, c->email, true, flags & JUDGING, e);
}

static bool count_moved(struct store *st, uint64_t mailbox, struct copy *c, uint64_t thread, struct err *e)
{
    struct mailbox_change *m = change_of(st, mailbox);

    if (!count_thread(st, m, c, -is_shown(c->flags), -is_thread_unread(c->flags), e))
        return false;
    c->thread = thread;
    return count_thread(st, m, c, is_shown(c->flags), is_thread_unread(c->flags), e);
}

static bool set_thread(struct store *st, uint64_t email, uint64_t thread, struct err *e)
{
    static const char *const steps[] = {
        "UPDATE email SET thread = ?2 WHERE id = ?1 AND ?3",
        "UPDATE placement SET thread = ?2, modseq = ?3 WHERE email = ?1",
        "UPDATE email_state SET modseq = ?3 WHERE id = ?1 AND dead_modseq IS NULL AND ?2",
    };
    uint64_t modseq;

    if (!job_modseq(st, &modseq, e))
        return false;
    for (size_t i = 0; i < COUNT(steps); i++)
        if (!DB_RUN(st->db, steps[i], e, email, thread, modseq))
            return false;
    touch(st, TOUCHED_EMAIL);
    touch(st, TOUCHED_THREAD);
    return true;
}

bool move_to_thread(struct store *st, uint64_t email, uint64_t thread, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    AUTO_STMT s = db_prepare(st->db, "SELECT mailbox, flags, thread, received_unix FROM placement WHERE email = ?", e);
    struct {
        uint64_t mailbox;
        struct copy copy;
    } *list = NULL;
    size_t n = 0, cap = 0;

    if (!s)
        return false;
    stmt_bind_u64(s, 1, email);
    while (stmt_step(s, e)) {
        typeof(list) one = ARENA_PUSH(&a, list, &n, &cap);

        one->mailbox = stmt_u64(s, 0);
        one->copy = (struct copy){.flags = (uint32_t)stmt_u64(s, 1), .thread = stmt_u64(s, 2),
                                  .received_unix = stmt_i64(s, 3)};
    }
    stmt_reset(s);
    for (size_t i = 0; e->kind == ERR_NONE && i < n; i++)
        if (list[i].copy.thread != thread && !count_moved(st, list[i].mailbox, &list[i].copy, thread, e))
            return false;
    return e->kind == ERR_NONE && set_thread(st, email, thread, e);
}

// The next copy of the mailbox with a uid in [from, to]. False at the end or on failure.
static bool next_copy(struct store *st, struct arena *a, uint64_t mailbox, uint64_t from,
                      uint32_t to, struct copy *out, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT uid, email, flags, keywords, modseq, size, "
                             "thread, received_unix FROM placement WHERE mailbox = ? AND uid "
                             "BETWEEN ? AND ? ORDER BY uid LIMIT 1", e);

    arena_reset(a);
    if (!s)
        return false;
    stmt_bind_u64(s, 1, mailbox);
    stmt_bind_u64(s, 2, from);
    stmt_bind_u64(s, 3, to);
    if (!stmt_step(s, e))
        return false;
    *out = (struct copy){.uid = (uint32_t)stmt_u64(s, 0),
                         .email = stmt_u64(s, 1),
                         .flags = (uint32_t)stmt_u64(s, 2),
                         .keywords = arena_dup(a, stmt_str(s, 3)),
                         .modseq = stmt_u64(s, 4),
                         .size = stmt_u64(s, 5),
                         .thread = stmt_u64(s, 6),
                         .received_unix = stmt_i64(s, 7)};
    return true;
}

bool each_copy(struct store *st, uint64_t mailbox, const struct store_range *ranges, size_t n,
               step_fn *step, void *ctx, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);

    for (size_t i = 0; i < n; i++) {
        uint64_t from = ranges[i].first;
        struct copy c;

        while (from <= ranges[i].last && next_copy(st, &a, mailbox, from, ranges[i].last, &c, e)) {
            from = (uint64_t)c.uid + 1;
            if (!step(st, ctx, &a, &c, e))
                return false;
        }
        if (e->kind != ERR_NONE)
            return false;
    }
    return true;
}

struct flags_job {
    const struct store_flags_change *c;
    store_uid_fn *failed;
    void *ctx;
};

// Words of a that are (keep true) or are not (false) in b, sorted, as one text.
static struct str combine(struct arena *a, struct str x, struct str y, enum store_flags_op op)
{
    struct store_names names = {0}, drop = {0};
    struct str lists[2] = {x, y};

    for (size_t i = 0; i < 2; i++)
        for (struct str left = lists[i], word; str_next(&left, ' ', &word);)
            if (i == 1 && op == FLAGS_REMOVE)
                *ARENA_PUSH(a, drop.items, &drop.n, &drop.cap) = word;
            else if (i == 1 || op != FLAGS_SET)
                *ARENA_PUSH(a, names.items, &names.n, &names.cap) = word;
    for (size_t i = 0; i < drop.n; i++)
        for (size_t k = 0; k < names.n; k++)
            if (str_eq(names.items[k], drop.items[i]))
                names.items[k--] = names.items[--names.n];
    return store_keywords_join(a, &names);
}

static void tell_found(const struct flags_job *j, const struct copy *c, uint64_t after)
{
    if (j->c->found)
        j->c->found(j->c->found_ctx, c->uid, c->modseq, after);
}

static bool set_flags(struct store *st, void *ctx, struct arena *a, const struct copy *c,
                      struct err *e)
{
    struct flags_job *j = ctx;
    const struct store_flags_change *change = j->c;
    uint32_t flags = change->op == FLAGS_SET   ? change->flags
                     : change->op == FLAGS_ADD ? c->flags | change->flags
                                               : c->flags & ~change->flags;
    AUTO_STMT s = NULL;
    struct mailbox_change *m;
    struct str keywords;
    uint64_t modseq;

    if (change->has_unchanged_since && c->modseq > change->unchanged_since) {
        tell_found(j, c, c->modseq);
        return j->failed(j->ctx, c->uid) || fail(e, ERR_LIMIT, "too many messages");
    }
    keywords = combine(a, c->keywords, change->keywords, change->op);
    if (flags == c->flags && str_eq(keywords, c->keywords)) {
        tell_found(j, c, c->modseq); // no change, no modseq
        return true;
    }
    s = db_prepare(st->db, "UPDATE placement SET flags = ?, keywords = ?, modseq = ? "
                   "WHERE mailbox = ? AND uid = ?", e);
    if (!s || !job_modseq(st, &modseq, e))
        return false;
    tell_found(j, c, modseq);
    stmt_bind_u64(s, 1, flags);
    stmt_bind_str(s, 2, keywords);
    stmt_bind_u64(s, 3, modseq);
    stmt_bind_u64(s, 4, change->mailbox);
    stmt_bind_u64(s, 5, c->uid);
    m = change_of(st, change->mailbox);
    count_copy(m, -1, c->flags, c->size);
    count_copy(m, 1, flags, c->size);
    return stmt_run(s, e) &&
           (str_eq(keywords, c->keywords) || note_keywords(st, change->mailbox, keywords, e)) &&
           count_thread(st, m, c, is_shown(flags) - is_shown(c->flags),
                        is_thread_unread(flags) - is_thread_unread(c->flags), e) &&
           refresh_email(st, c->email, false, (flags ^ c->flags) & JUDGING, e);
}

static bool flags_job(struct store *st, void *ctx, struct err *e)
{
    struct flags_job *j = ctx;

    return each_copy(st, j->c->mailbox, j->c->ranges, j->c->n_ranges, set_flags, j, e);
}

bool store_flags(struct store *st, const struct store_flags_change *c, store_uid_fn *failed,
                 void *ctx, struct err *e)
{
    return store_write(st, flags_job, &(struct flags_job){c, failed, ctx}, e);
}

bool remove_copy(struct store *st, uint64_t mailbox, const struct copy *c, struct err *e)
{
    AUTO_STMT drop = db_prepare(st->db, "DELETE FROM placement WHERE mailbox = ? AND uid = ?", e);
    AUTO_STMT grave = db_prepare(st->db, "INSERT INTO expunged (mailbox, uid, email, modseq) "
                                 "VALUES (?, ?, ?, ?)", e);
    struct mailbox_change *m = change_of(st, mailbox);
    uint64_t modseq;

    if (!drop || !grave || !job_modseq(st, &modseq, e))
        return false;
    stmt_bind_u64(drop, 1, mailbox);
    stmt_bind_u64(drop, 2, c->uid);
    stmt_bind_u64(grave, 1, mailbox);
    stmt_bind_u64(grave, 2, c->uid);
    stmt_bind_u64(grave, 3, c->email);
    stmt_bind_u64(grave, 4, modseq);
    count_copy(m, -1, c->flags, c->size);
    return stmt_run(drop, e) && stmt_run(grave, e) &&
           count_thread(st, m, c, -is_shown(c->flags), -is_thread_unread(c->flags), e) &&
           refresh_email(st, c->email, true, c->flags & JUDGING, e);
}

bool remove_placement(struct store *st, uint64_t mailbox, uint32_t uid, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct copy c;

    return next_copy(st, &a, mailbox, uid, uid, &c, e) && remove_copy(st, mailbox, &c, e);
}

struct expunge_job {
    uint64_t mailbox;
    const struct store_range *ranges;
    size_t n_ranges;
    bool only_deleted;
};

static bool expunge_one(struct store *st, void *ctx, struct arena *a, const struct copy *c,
                        struct err *e)
{
    struct expunge_job *j = ctx;

    (void)a;
    return (j->only_deleted && !(c->flags & FLAG_DELETED)) || remove_copy(st, j->mailbox, c, e);
}

static bool expunge_job(struct store *st, void *ctx, struct err *e)
{
    struct expunge_job *j = ctx;

    return each_copy(st, j->mailbox, j->ranges, j->n_ranges, expunge_one, j, e);
}

bool store_expunge(struct store *st, uint64_t mailbox, const struct store_range *ranges,
                   size_t n_ranges, bool only_deleted, struct err *e)
{
    return store_write(st, expunge_job,
                       &(struct expunge_job){mailbox, ranges, n_ranges, only_deleted}, e);
}

struct copy_job {
    uint64_t mailbox;
    const struct store_range *ranges;
    size_t n_ranges;
    struct str to;
    bool is_move;
    struct writer_mailbox target;
    store_copied_fn *fn;
    void *ctx;
};

static bool copy_one(struct store *st, void *ctx, struct arena *a, const struct copy *c,
                     struct err *e)
{
    struct copy_job *j = ctx;
    struct copy placed = *c;
    uint32_t uid;

    placed.is_ruled = true;
    if (!junk_flags(st, change_of(st, j->target.id), &placed.flags, e) ||
        !origin_moved(st, j->mailbox, j->target.id, j->is_move, &placed, e) ||
        !add_placement(st, j->target.id, &placed, &uid, e) ||
        (j->target.is_sent && !note_recipients_of(st, a, c->email, c->received_unix, e)))
        return false;
    if (!j->fn(j->ctx, c->uid, uid))
        return fail(e, ERR_LIMIT, "too many messages");
    return !j->is_move || remove_copy(st, j->mailbox, c, e);
}

static bool copy_job(struct store *st, void *ctx, struct err *e)
{
    struct copy_job *j = ctx;

    if (!writer_find_mailbox(st, j->to, &j->target, e))
        return false;
    if (j->target.id == j->mailbox)
        return fail(e, ERR_CONFLICT, "source and destination are the same mailbox");
    return each_copy(st, j->mailbox, j->ranges, j->n_ranges, copy_one, j, e);
}

bool store_copy(struct store *st, uint64_t mailbox, const struct store_range *ranges,
                size_t n_ranges, struct str to, bool is_move, uint32_t *uidvalidity,
                store_copied_fn *fn, void *ctx, struct err *e)
{
    struct copy_job j = {.mailbox = mailbox, .ranges = ranges, .n_ranges = n_ranges, .to = to,
                         .is_move = is_move, .fn = fn, .ctx = ctx};

    if (!store_write(st, copy_job, &j, e))
        return false;
    *uidvalidity = j.target.uidvalidity;
    return true;
}
