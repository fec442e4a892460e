/*
 * Changes to copies of messages: placing, flags, expunging, copying, moving. Each message is one
 * step of its own, so that a change of many takes no memory in proportion.
 */
#include <stdlib.h>

#include "os/clock.h"
#include "store/store_priv.h"

bool count_message(struct store *st, uint64_t mailbox, int sign, uint32_t flags, uint64_t size,
                   struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "UPDATE mailbox SET total = total + ?1, unseen = unseen + ?2, "
                             "unread = unread + ?3, deleted = deleted + ?4, size = size + ?5, "
                             "modseq = ?6, countseq = ?6 WHERE id = ?7", e);
    bool unseen = !(flags & FLAG_SEEN), deleted = flags & FLAG_DELETED;
    uint64_t modseq;

    if (!s || !job_modseq(st, &modseq, e))
        return false;
    stmt_bind_i64(s, 1, sign);
    stmt_bind_i64(s, 2, unseen ? sign : 0);
    stmt_bind_i64(s, 3, unseen && !deleted ? sign : 0);
    stmt_bind_i64(s, 4, deleted ? sign : 0);
    stmt_bind_i64(s, 5, sign * (int64_t)size);
    stmt_bind_u64(s, 6, modseq);
    stmt_bind_u64(s, 7, mailbox);
    return stmt_run(s, e);
}

static bool note_keywords(struct store *st, uint64_t mailbox, struct str keywords, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "INSERT OR IGNORE INTO keyword (mailbox, name) VALUES (?, ?)",
                             e);

    if (!s)
        return false;
    while (keywords.n) {
        struct str word;

        if (!str_cut(keywords, ' ', &word, &keywords)) {
            word = keywords;
            keywords = (struct str){0};
        }
        stmt_bind_u64(s, 1, mailbox);
        stmt_bind_str(s, 2, word);
        if (!stmt_run(s, e))
            return false;
    }
    return true;
}

static bool next_uid(struct store *st, uint64_t mailbox, uint32_t *out, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "UPDATE mailbox SET uidnext = uidnext + 1 WHERE id = ? AND "
                             "uidnext < 4294967295 RETURNING uidnext - 1", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, mailbox);
    if (!stmt_step(s, e))
        return e->kind == ERR_NONE ? fail(e, ERR_LIMIT, "mailbox has no uids left") : false;
    *out = (uint32_t)stmt_u64(s, 0);
    return stmt_step(s, e) || e->kind == ERR_NONE;
}

static bool email_size(struct store *st, uint64_t email, uint64_t *out, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT size FROM email WHERE id = ?", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, email);
    if (!stmt_step(s, e))
        return e->kind == ERR_NONE ? fail(e, ERR_BUG, "message without bytes") : false;
    *out = stmt_u64(s, 0);
    return true;
}

bool add_placement(struct store *st, uint64_t mailbox, uint64_t email, uint32_t flags,
                   struct str keywords, uint32_t *uid, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "INSERT INTO placement (mailbox, uid, email, flags, keywords, "
                             "createseq, modseq, saved_unix) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, "
                             "?7)", e);
    AUTO_STMT alive = db_prepare(st->db, "UPDATE email SET dead_modseq = NULL, memberseq = ?, "
                                 "modseq = ? WHERE id = ?", e);
    uint64_t modseq, size;

    if (!s || !alive || !job_modseq(st, &modseq, e) || !email_size(st, email, &size, e) ||
        !next_uid(st, mailbox, uid, e))
        return false;
    stmt_bind_u64(s, 1, mailbox);
    stmt_bind_u64(s, 2, *uid);
    stmt_bind_u64(s, 3, email);
    stmt_bind_u64(s, 4, flags);
    stmt_bind_str(s, 5, keywords);
    stmt_bind_u64(s, 6, modseq);
    stmt_bind_i64(s, 7, os_now_unix());
    stmt_bind_u64(alive, 1, modseq);
    stmt_bind_u64(alive, 2, modseq);
    stmt_bind_u64(alive, 3, email);
    return stmt_run(s, e) && stmt_run(alive, e) && note_keywords(st, mailbox, keywords, e) &&
           count_message(st, mailbox, 1, flags, size, e) && refresh_email(st, email, mailbox, e) &&
           touch_type(st, "Mailbox", e);
}

// The thread's row of a mailbox as the placements say, and the mailbox's thread counts with it.
static bool refresh_thread(struct store *st, uint64_t thread, uint64_t mailbox, struct err *e)
{
    AUTO_STMT old = db_prepare(st->db, "SELECT unread FROM thread_mailbox WHERE thread = ? AND "
                               "mailbox = ?", e);
    AUTO_STMT now = db_prepare(st->db, "SELECT count(*), coalesce(sum(p.flags & 1 = 0 AND p.flags "
                               "& 16 = 0), 0), coalesce(max(m.received_unix), 0) FROM email m JOIN "
                               "placement p ON p.email = m.id WHERE m.thread = ? AND p.mailbox = ? "
                               "AND p.flags & 8 = 0", e);
    AUTO_STMT drop = db_prepare(st->db, "DELETE FROM thread_mailbox WHERE thread = ? AND mailbox = "
                                "?", e);
    AUTO_STMT put = db_prepare(st->db, "INSERT INTO thread_mailbox (thread, mailbox, emails, "
                               "unread, newest) VALUES (?, ?, ?, ?, ?)", e);
    AUTO_STMT count = db_prepare(st->db, "UPDATE mailbox SET threads = threads + ?, unread_threads "
                                 "= unread_threads + ? WHERE id = ?", e);
    int64_t threads = 0, unread = 0;

    if (!old || !now || !drop || !put || !count)
        return false;
    stmt_bind_u64(old, 1, thread);
    stmt_bind_u64(old, 2, mailbox);
    if (stmt_step(old, e)) {
        threads--;
        unread -= stmt_u64(old, 0) > 0;
    }
    stmt_bind_u64(drop, 1, thread);
    stmt_bind_u64(drop, 2, mailbox);
    stmt_bind_u64(now, 1, thread);
    stmt_bind_u64(now, 2, mailbox);
    if (e->kind != ERR_NONE || !stmt_run(drop, e) || !stmt_step(now, e))
        return false;
    if (stmt_u64(now, 0)) {
        threads++;
        unread += stmt_u64(now, 1) > 0;
        stmt_bind_u64(put, 1, thread);
        stmt_bind_u64(put, 2, mailbox);
        stmt_bind_u64(put, 3, stmt_u64(now, 0));
        stmt_bind_u64(put, 4, stmt_u64(now, 1));
        stmt_bind_i64(put, 5, stmt_i64(now, 2));
        if (!stmt_run(put, e))
            return false;
    }
    if (!threads && !unread)
        return true;
    stmt_bind_i64(count, 1, threads);
    stmt_bind_i64(count, 2, unread);
    stmt_bind_u64(count, 3, mailbox);
    return stmt_run(count, e);
}

bool refresh_email(struct store *st, uint64_t email, uint64_t mailbox, struct err *e)
{
    // store-for-jmap.md 2.1: \Seen when every copy has it, any other flag when one has it.
    AUTO_STMT s = db_prepare(
        st->db,
        "UPDATE email SET flags = coalesce((SELECT min(flags & 1) | max(flags & 2) | max(flags & 4) "
        "| min(flags & 8) | max(flags & 16) | max(flags & 32) | max(flags & 64) | max(flags & 128) "
        "| max(flags & 256) | max(flags & 512) FROM placement WHERE email = ?1), 0), modseq = ?2 "
        "WHERE id = ?1 RETURNING thread", e);
    uint64_t modseq, thread;

    if (!s || !job_modseq(st, &modseq, e))
        return false;
    stmt_bind_u64(s, 1, email);
    stmt_bind_u64(s, 2, modseq);
    if (!stmt_step(s, e))
        return e->kind == ERR_NONE ? fail(e, ERR_BUG, "copy of no message") : false;
    thread = stmt_u64(s, 0);
    if (stmt_step(s, e) || e->kind != ERR_NONE)
        return false;
    return refresh_thread(st, thread, mailbox, e);
}

struct copy {
    uint64_t email, modseq, size;
    uint32_t uid, flags;
    struct str keywords;
};

// The next copy of the mailbox with a uid in [from, to]. False at the end or on failure.
static bool next_copy(struct store *st, struct arena *a, uint64_t mailbox, uint64_t from,
                      uint32_t to, struct copy *out, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT p.uid, p.email, p.flags, p.keywords, p.modseq, m.size "
                             "FROM placement p JOIN email m ON m.id = p.email WHERE p.mailbox = ? "
                             "AND p.uid BETWEEN ? AND ? ORDER BY p.uid LIMIT 1", e);

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
                         .size = stmt_u64(s, 5)};
    return true;
}

// Calls step for each copy in the ranges, which may remove it.
typedef bool step_fn(struct store *st, void *ctx, struct arena *a, const struct copy *c,
                     struct err *e);
static bool each_copy(struct store *st, uint64_t mailbox, const struct store_range *ranges,
                      size_t n, step_fn *step, void *ctx, struct err *e)
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
        for (struct str left = lists[i], word; left.n;) {
            if (!str_cut(left, ' ', &word, &left)) {
                word = left;
                left = (struct str){0};
            }
            if (i == 1 && op == FLAGS_REMOVE)
                *ARENA_PUSH(a, drop.items, &drop.n, &drop.cap) = word;
            else if (i == 1 || op != FLAGS_SET)
                *ARENA_PUSH(a, names.items, &names.n, &names.cap) = word;
        }
    for (size_t i = 0; i < drop.n; i++)
        for (size_t k = 0; k < names.n; k++)
            if (str_eq(names.items[k], drop.items[i]))
                names.items[k--] = names.items[--names.n];
    return store_keywords_join(a, &names);
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
    struct str keywords;
    uint64_t modseq;

    if (change->has_unchanged_since && c->modseq > change->unchanged_since)
        return j->failed(j->ctx, c->uid) || fail(e, ERR_LIMIT, "too many messages");
    keywords = combine(a, c->keywords, change->keywords, change->op);
    if (flags == c->flags && str_eq(keywords, c->keywords))
        return true; // no change, no modseq
    s = db_prepare(st->db, "UPDATE placement SET flags = ?, keywords = ?, modseq = ? "
                   "WHERE mailbox = ? AND uid = ?", e);
    if (!s || !job_modseq(st, &modseq, e))
        return false;
    stmt_bind_u64(s, 1, flags);
    stmt_bind_str(s, 2, keywords);
    stmt_bind_u64(s, 3, modseq);
    stmt_bind_u64(s, 4, change->mailbox);
    stmt_bind_u64(s, 5, c->uid);
    return stmt_run(s, e) && note_keywords(st, change->mailbox, keywords, e) &&
           count_message(st, change->mailbox, -1, c->flags, c->size, e) &&
           count_message(st, change->mailbox, 1, flags, c->size, e) &&
           refresh_email(st, c->email, change->mailbox, e) && touch_type(st, "Email", e) &&
           touch_type(st, "Mailbox", e);
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

// An email without a place is dead: destroyed for every reader, erased when all have seen that.
static bool bury_email(struct store *st, uint64_t email, uint64_t modseq, struct err *e)
{
    AUTO_STMT left = db_prepare(st->db, "SELECT 1 FROM placement WHERE email = ? LIMIT 1", e);
    AUTO_STMT tomb = db_prepare(st->db, "INSERT OR IGNORE INTO tombstone (type, id, createseq, "
                                "modseq) SELECT 'Email', id, createseq, ? FROM email WHERE id = ?",
                                e);
    AUTO_STMT dead = db_prepare(st->db, "UPDATE email SET dead_modseq = ?, delivery_id = NULL WHERE id = ?", e);

    if (!left || !tomb || !dead)
        return false;
    stmt_bind_u64(left, 1, email);
    if (stmt_step(left, e))
        return true;
    stmt_bind_u64(tomb, 1, modseq);
    stmt_bind_u64(tomb, 2, email);
    stmt_bind_u64(dead, 1, modseq);
    stmt_bind_u64(dead, 2, email);
    pthread_mutex_lock(&st->lock);
    st->has_dead = true;
    pthread_mutex_unlock(&st->lock);
    return e->kind == ERR_NONE && stmt_run(tomb, e) && stmt_run(dead, e);
}

static bool remove_copy(struct store *st, uint64_t mailbox, const struct copy *c, struct err *e)
{
    AUTO_STMT drop = db_prepare(st->db, "DELETE FROM placement WHERE mailbox = ? AND uid = ?", e);
    AUTO_STMT grave = db_prepare(st->db, "INSERT INTO expunged (mailbox, uid, email, modseq) "
                                 "VALUES (?, ?, ?, ?)", e);
    uint64_t modseq;

    if (!drop || !grave || !job_modseq(st, &modseq, e))
        return false;
    stmt_bind_u64(drop, 1, mailbox);
    stmt_bind_u64(drop, 2, c->uid);
    stmt_bind_u64(grave, 1, mailbox);
    stmt_bind_u64(grave, 2, c->uid);
    stmt_bind_u64(grave, 3, c->email);
    stmt_bind_u64(grave, 4, modseq);
    return stmt_run(drop, e) && stmt_run(grave, e) &&
           count_message(st, mailbox, -1, c->flags, c->size, e) &&
           refresh_email(st, c->email, mailbox, e) && bury_email(st, c->email, modseq, e) &&
           touch_type(st, "Email", e) && touch_type(st, "Mailbox", e);
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
    uint32_t uid;

    (void)a;
    if (!add_placement(st, j->target.id, c->email, c->flags, c->keywords, &uid, e) ||
        !touch_type(st, "Email", e))
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
