/*
 * Repairing what store_check finds, as far as the rest of the database says how it must be. What the
 * user wrote or was sent is never thrown away: a message that lost its place, or bytes that lost their
 * message, come into a mailbox of their own.
 */
#include <stdlib.h>

#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "store/repair.h"
#include "store/store_priv.h"

// Messages of one transaction: others wait for the writer meanwhile.
enum { PARSE_AT_ONCE = 50 };

static const struct str recovered = STR_("Recovered");

struct step {
    const char *what, *sql; // ?1, if it is there, is the modseq of the repair
    bool takes_modseq;
};

static bool run_step(struct store *st, const struct step *step, struct buf *told, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, step->sql, e);
    uint64_t modseq, n;

    if (!s || (step->takes_modseq && !job_modseq(st, &modseq, e)))
        return false;
    if (step->takes_modseq)
        stmt_bind_u64(s, 1, modseq);
    if (!stmt_run(s, e))
        return fail_in(e, "%s", step->what);
    n = db_changes(st->db);
    if (n && told)
        buf_printf(told, "%s: %llu corrected\n", step->what, (unsigned long long)n);
    return true;
}

static bool run_steps(struct store *st, const struct step *steps, size_t n, struct buf *told,
                      struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (!run_step(st, &steps[i], told, e))
            return false;
    return true;
}

/* --- counts ----------------------------------------------------------------------------------------- */

static const struct step thread_counts[] = {
    {"threads of mailboxes",
     "DELETE FROM thread_mailbox WHERE (thread, mailbox) NOT IN (SELECT thread, mailbox FROM placement "
     "WHERE flags & 8 = 0)"},
    {"threads of mailboxes",
     "INSERT INTO thread_mailbox (thread, mailbox, emails, unread, newest) SELECT thread, mailbox, "
     "count(*), sum(flags & 17 = 0), max(received_unix) FROM placement WHERE flags & 8 = 0 GROUP BY "
     "thread, mailbox ON CONFLICT (thread, mailbox) DO UPDATE SET emails = excluded.emails, unread = "
     "excluded.unread WHERE emails <> excluded.emails OR unread <> excluded.unread"},
    {"numbers of threads",
     "UPDATE mailbox SET threads = c.n, unread_threads = c.u, modseq = ?1, countseq = ?1 FROM (SELECT "
     "m.id AS id, coalesce(t.n, 0) AS n, coalesce(t.u, 0) AS u FROM mailbox m LEFT JOIN (SELECT mailbox, "
     "count(*) AS n, sum(unread > 0) AS u FROM thread_mailbox GROUP BY mailbox) t ON t.mailbox = m.id) c "
     "WHERE c.id = mailbox.id AND (threads <> c.n OR unread_threads <> c.u)", true},
};
static const struct step used_bytes = {
    "used space",
    "UPDATE account SET used_bytes = u.n FROM (SELECT coalesce(sum(e.size), 0) AS n FROM email e JOIN "
    "email_state s ON s.id = e.id WHERE s.dead_modseq IS NULL) u WHERE used_bytes <> u.n"};

static bool recount(struct store *st, struct buf *told, struct err *e)
{
    AUTO_STMT s = db_prepare(
        st->db,
        "UPDATE mailbox SET (total, unseen, unread, deleted, size) = (c.total, c.unseen, c.unread, "
        "c.deleted, c.size), modseq = ?1, countseq = ?1 FROM (SELECT m.id AS id, count(p.uid) AS total, "
        "coalesce(sum(p.flags & 1 = 0), 0) AS unseen, coalesce(sum(p.flags & 9 = 0), 0) AS unread, "
        "coalesce(sum(p.flags & 8 <> 0), 0) AS deleted, coalesce(sum(p.size), 0) AS size FROM mailbox m "
        "LEFT JOIN placement p ON p.mailbox = m.id GROUP BY m.id) c WHERE c.id = mailbox.id AND "
        "(mailbox.total, mailbox.unseen, mailbox.unread, mailbox.deleted, mailbox.size) <> (c.total, "
        "c.unseen, c.unread, c.deleted, c.size) RETURNING name, total, unseen, unread, deleted, size", e);
    uint64_t modseq;

    if (!s || !job_modseq(st, &modseq, e))
        return false;
    stmt_bind_u64(s, 1, modseq);
    while (stmt_step(s, e)) {
        struct str name = stmt_str(s, 0);

        buf_printf(told, "for %.*s setting new counts: total %llu, unseen %llu, unread %llu, deleted "
                   "%llu, size %llu\n", STR_FMT(name), (unsigned long long)stmt_u64(s, 1),
                   (unsigned long long)stmt_u64(s, 2), (unsigned long long)stmt_u64(s, 3),
                   (unsigned long long)stmt_u64(s, 4), (unsigned long long)stmt_u64(s, 5));
    }
    touch(st, TOUCHED_MAILBOX);
    return e->kind == ERR_NONE && run_steps(st, thread_counts, COUNT(thread_counts), told, e) &&
           run_step(st, &used_bytes, told, e);
}

bool repair_counts_job(struct store *st, void *ctx, struct err *e)
{
    return recount(st, ctx, e);
}

/* --- uids ------------------------------------------------------------------------------------------- */

static const struct step uids[] = {
    {"uids that were used before",
     "DELETE FROM expunged WHERE (mailbox, uid) IN (SELECT mailbox, uid FROM placement)"},
    {"uidnext",
     "UPDATE mailbox SET uidnext = u.n + 1, modseq = ?1 FROM (SELECT mailbox, max(uid) AS n FROM (SELECT "
     "mailbox, uid FROM placement UNION ALL SELECT mailbox, uid FROM expunged) GROUP BY mailbox) u WHERE "
     "u.mailbox = mailbox.id AND uidnext <= u.n", true},
    {"next uidvalidity",
     "UPDATE account SET next_uidvalidity = v.n + 1 FROM (SELECT max(uidvalidity) AS n FROM mailbox) v "
     "WHERE next_uidvalidity <= v.n"},
};

static bool uids_job(struct store *st, void *ctx, struct err *e)
{
    return run_steps(st, uids, COUNT(uids), ctx, e);
}

struct reassign_job {
    uint64_t mailbox; // 0: all
    struct buf *told;
};

struct renumber {
    uint64_t mailbox, modseq;
    uint32_t last;
};

// In their order: the new number is never one that a later message still has.
static bool renumber_one(struct store *st, void *ctx, struct arena *a, const struct copy *c,
                         struct err *e)
{
    struct renumber *r = ctx;
    AUTO_STMT s = db_prepare(st->db, "UPDATE placement SET uid = ?, modseq = ? WHERE mailbox = ? AND "
                             "uid = ?", e);

    (void)a;
    if (!s)
        return false;
    stmt_bind_u64(s, 1, ++r->last);
    stmt_bind_u64(s, 2, r->modseq);
    stmt_bind_u64(s, 3, r->mailbox);
    stmt_bind_u64(s, 4, c->uid);
    return stmt_run(s, e);
}

static bool renumber_mailbox(struct store *st, uint64_t id, uint32_t *last, struct err *e)
{
    static const struct store_range all = {1, UINT32_MAX};
    AUTO_STMT forget = db_prepare(st->db, "DELETE FROM expunged WHERE mailbox = ?", e);
    AUTO_STMT set = db_prepare(st->db, "UPDATE mailbox SET uidnext = ?, modseq = ?2, expunge_floor = ?2 "
                               "WHERE id = ?", e);
    struct renumber r = {.mailbox = id};

    if (!forget || !set || !job_modseq(st, &r.modseq, e))
        return false;
    stmt_bind_u64(forget, 1, id);
    if (!stmt_run(forget, e) || !each_copy(st, id, &all, 1, renumber_one, &r, e))
        return false;
    stmt_bind_u64(set, 1, (uint64_t)r.last + 1);
    stmt_bind_u64(set, 2, r.modseq);
    stmt_bind_u64(set, 3, id);
    *last = r.last;
    return stmt_run(set, e);
}

static bool reassign_uids_job(struct store *st, void *ctx, struct err *e)
{
    const struct reassign_job *j = ctx;
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_STMT s = db_prepare(st->db, "SELECT id, name FROM mailbox WHERE ?1 = 0 OR id = ?1 ORDER BY name", e);
    struct {
        uint64_t id;
        struct str name;
    } *list = NULL;
    size_t n = 0, cap = 0;

    if (!s)
        return false;
    stmt_bind_u64(s, 1, j->mailbox);
    while (stmt_step(s, e)) {
        typeof(list) one = ARENA_PUSH(&a, list, &n, &cap);

        one->id = stmt_u64(s, 0);
        one->name = arena_dup(&a, stmt_str(s, 1));
    }
    if (e->kind != ERR_NONE)
        return false;
    if (!n)
        return fail(e, ERR_NOT_FOUND, "no such mailbox");
    for (size_t i = 0; i < n; i++) {
        uint32_t last;

        if (!renumber_mailbox(st, list[i].id, &last, e))
            return false;
        buf_printf(j->told, "mailbox \"%.*s\" (id %llu): %u messages renumbered\n", STR_FMT(list[i].name),
                   (unsigned long long)list[i].id, last);
    }
    return true;
}

bool store_reassign_uids(struct store *st, uint64_t mailbox, struct buf *told, struct err *e)
{
    uint32_t uidvalidity;

    // The new numbers mean something only together with the new UIDVALIDITY, which therefore comes first.
    return store_renew_uidvalidity(st, STR(""), 1, &uidvalidity, e) &&
           store_write(st, reassign_uids_job, &(struct reassign_job){mailbox, told}, e);
}

/* --- parsing anew ------------------------------------------------------------------------------------ */

static bool to_file(void *ctx, struct str bytes)
{
    struct err ignored = {0};

    return os_write_all(*(int *)ctx, bytes, &ignored);
}

// The bytes of a message as a file in memory.
static bool stored_bytes(struct store *st, uint64_t email, uint64_t size, int *fd, struct err *e)
{
    *fd = os_memfile("message", e);
    return *fd >= 0 && chunk_read(st->db, email, 0, size, to_file, fd, e);
}

static bool write_parsed(struct store *st, uint64_t email, const struct parsed *p, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "UPDATE email SET sent_unix = ?2, message_id = ?3, message_id_hash = "
                             "?4, subject_base = ?5, has_attachment = ?6, preview = ?7, tree = ?8, "
                             "envelope = ?9, bodystructure = ?10 WHERE id = ?1", e);
    AUTO_STMT drop = db_prepare(st->db, "DELETE FROM header WHERE email = ?", e);

    if (!s || !drop)
        return false;
    stmt_bind_u64(s, 1, email);
    if (p->has_sent)
        stmt_bind_i64(s, 2, p->sent_unix);
    else
        stmt_bind_null(s, 2);
    stmt_bind_str(s, 3, p->message_id);
    stmt_bind_u64(s, 4, p->message_id.n ? message_id_hash(p->message_id) : 0);
    stmt_bind_str(s, 5, p->subject_base);
    stmt_bind_u64(s, 6, p->has_attachment);
    stmt_bind_str(s, 7, p->preview);
    stmt_bind_blob(s, 8, p->tree);
    stmt_bind_blob(s, 9, p->envelope);
    stmt_bind_blob(s, 10, p->bodystructure);
    stmt_bind_u64(drop, 1, email);
    return stmt_run(s, e) && stmt_run(drop, e) && insert_header(st, email, p->header, e);
}

// False with an error of the database; a message that cannot be read is told, and stays as it is.
static bool parse_one(struct store *st, uint64_t email, uint64_t size, struct buf *told, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(2 * MIME_MEMORY);
    AUTO_FD fd = -1;
    struct parsed parsed;
    struct err why = {0};

    if (!stored_bytes(st, email, size, &fd, &why) ||
        !parse_message(st, &a, &(struct store_new){.fd = fd, .size = size}, &parsed, &why)) {
        buf_printf(told, "message %llu: %s\n", (unsigned long long)email, why.text);
        return true;
    }
    return write_parsed(st, email, &parsed, e);
}

struct parse_job {
    uint64_t after, n;
    bool is_of_all, has_more;
    struct buf *told;
};

static bool parse_job(struct store *st, void *ctx, struct err *e)
{
    struct parse_job *j = ctx;
    // No message has structure without a byte.
    AUTO_STMT s = db_prepare(st->db, "SELECT id, size FROM email WHERE id > ?1 AND (?3 OR length(tree) = 0 OR "
                             "length(envelope) = 0 OR length(bodystructure) = 0) ORDER BY id LIMIT ?2", e);
    struct {
        uint64_t id, size;
    } emails[PARSE_AT_ONCE];
    size_t n = 0;

    if (!s)
        return false;
    stmt_bind_u64(s, 1, j->after);
    stmt_bind_u64(s, 2, COUNT(emails));
    stmt_bind_u64(s, 3, j->is_of_all);
    while (stmt_step(s, e)) {
        emails[n].id = stmt_u64(s, 0);
        emails[n++].size = stmt_u64(s, 1);
    }
    for (size_t i = 0; e->kind == ERR_NONE && i < n; i++, j->n++)
        if (!parse_one(st, j->after = emails[i].id, emails[i].size, j->told, e))
            return false;
    j->has_more = n == COUNT(emails);
    return e->kind == ERR_NONE;
}

static bool parse_all(struct store *st, bool is_of_all, store_progress_fn *progress, struct buf *told, struct err *e)
{
    struct parse_job j = {.is_of_all = is_of_all, .told = told};

    do {
        if (!store_write(st, parse_job, &j, e))
            return false;
        if (progress)
            progress(j.n, 0);
    } while (j.has_more);
    if (!is_of_all && !j.n)
        BUF_PUT(told, "nothing to do: the structure of all messages is stored\n");
    else
        buf_printf(told, "%llu message(s) %s\n", (unsigned long long)j.n, is_of_all ? "reparsed" : "parsed");
    return true;
}

/* --- sizes ------------------------------------------------------------------------------------------- */

static const struct step copies_like_messages = {
    "sizes, times and threads of copies",
    "UPDATE placement SET (size, received_unix, thread) = (e.size, e.received_unix, e.thread) FROM email e "
    "WHERE e.id = placement.email AND (placement.size <> e.size OR placement.received_unix <> "
    "e.received_unix OR placement.thread <> e.thread)"};

// A message whose bytes have another length than it says; what was parsed of it is wrong, too.
struct sizes_job {
    uint64_t after, n;
    bool has_more;
    struct buf *told;
};

static bool set_size(struct store *st, uint64_t email, uint64_t size, struct err *e)
{
    return DB_RUN(st->db, "UPDATE email SET size = ? WHERE id = ?", e, size, email);
}

static bool sizes_job(struct store *st, void *ctx, struct err *e)
{
    struct sizes_job *j = ctx;
    AUTO_STMT s = db_prepare(st->db, "SELECT e.id, (SELECT sum(size) FROM chunk WHERE owner = e.id) AS n FROM email e "
                             "WHERE e.id > ? AND e.size <> n ORDER BY e.id LIMIT ?", e);
    struct {
        uint64_t id, size;
    } emails[PARSE_AT_ONCE];
    size_t n = 0;

    if (!s)
        return false;
    stmt_bind_u64(s, 1, j->after);
    stmt_bind_u64(s, 2, COUNT(emails));
    while (stmt_step(s, e)) {
        emails[n].id = stmt_u64(s, 0);
        emails[n++].size = stmt_u64(s, 1);
    }
    stmt_reset(s);
    for (size_t i = 0; e->kind == ERR_NONE && i < n; i++, j->n++)
        if (!set_size(st, j->after = emails[i].id, emails[i].size, e) ||
            !parse_one(st, emails[i].id, emails[i].size, j->told, e))
            return false;
    j->has_more = n == COUNT(emails);
    return e->kind == ERR_NONE;
}

static bool copies_job(struct store *st, void *ctx, struct err *e)
{
    return run_step(st, &copies_like_messages, ctx, e);
}

static bool fix_sizes(struct store *st, store_progress_fn *progress, struct buf *told, struct err *e)
{
    struct sizes_job j = {.told = told};

    do {
        if (!store_write(st, sizes_job, &j, e))
            return false;
        if (progress && j.n)
            progress(j.n, 0);
    } while (j.has_more);
    if (j.n)
        buf_printf(told, "sizes of messages: %llu corrected, and the messages parsed anew\n", (unsigned long long)j.n);
    return store_write(st, copies_job, told, e);
}

/* --- everything -------------------------------------------------------------------------------------- */

// Rows without what they are about, and what has to be there for the steps that follow.
static const struct step rows[] = {
    {"modseq of the account",
     "UPDATE account SET modseq = m.n FROM (SELECT max(n) AS n FROM (SELECT max(modseq) AS n FROM mailbox "
     "UNION ALL SELECT max(modseq) FROM email_state UNION ALL SELECT max(createseq) FROM email UNION ALL "
     "SELECT max(modseq) FROM placement UNION ALL SELECT max(modseq) FROM expunged UNION ALL SELECT "
     "max(memberseq) FROM email_state UNION ALL SELECT max(countseq) FROM mailbox UNION ALL SELECT "
     "max(createseq) FROM mailbox UNION ALL SELECT max(createseq) FROM placement)) m WHERE modseq < m.n"},
    {"copies of messages that are not there",
     "DELETE FROM placement WHERE email NOT IN (SELECT id FROM email)"},
    {"copies in mailboxes that are not there",
     "DELETE FROM placement WHERE mailbox NOT IN (SELECT id FROM mailbox)"},
    {"keywords of mailboxes that are not there",
     "DELETE FROM keyword WHERE mailbox NOT IN (SELECT id FROM mailbox)"},
    {"states of messages that are not there",
     "DELETE FROM email_state WHERE id NOT IN (SELECT id FROM email)"},
    {"header fields of messages that are not there",
     "DELETE FROM header WHERE email NOT IN (SELECT id FROM email)"},
    {"origins of messages that are not there",
     "DELETE FROM origin WHERE email NOT IN (SELECT id FROM email)"},
    {"messages to be learnt that are not there",
     "DELETE FROM junk_due WHERE email NOT IN (SELECT id FROM email)"},
    {"messages without a state",
     "INSERT INTO email_state (id, flags, keywords, modseq, memberseq) SELECT id, 0, '', ?1, ?1 FROM email "
     "WHERE id NOT IN (SELECT id FROM email_state)", true},
    {"messages in threads that are not there",
     "INSERT INTO thread (id, createseq, modseq) SELECT DISTINCT thread, ?1, ?1 FROM email WHERE thread NOT "
     "IN (SELECT id FROM thread)", true},
    {"ids of threads that are not there",
     "DELETE FROM thread_ref WHERE thread NOT IN (SELECT id FROM thread)"},
    {"tombstones of messages that are there",
     "DELETE FROM tombstone WHERE type = 'Email' AND id IN (SELECT p.email FROM placement p)"},
    {"messages with a place that were marked dead",
     "UPDATE email_state SET dead_modseq = NULL, modseq = ?1 WHERE dead_modseq IS NOT NULL AND id IN (SELECT "
     "email FROM placement)", true},
    {"special uses that two mailboxes have",
     "UPDATE mailbox SET special_use = '', modseq = ?1 WHERE special_use <> '' AND id NOT IN (SELECT min(id) "
     "FROM mailbox GROUP BY special_use)", true},
};

static const struct step sequences[] = {
    {"flags of messages",
     "UPDATE email_state SET flags = f.flags, modseq = ?1 FROM (SELECT email, (min(flags & 1) | min(flags & "
     "8) | max(flags & 2) | max(flags & 4) | max(flags & 16) | max(flags & 32) | max(flags & 64) | "
     "max(flags & 128) | max(flags & 256) | max(flags & 512)) AS flags FROM placement GROUP BY email) f "
     "WHERE f.email = email_state.id AND email_state.flags <> f.flags", true},
    {"messages that are learnt otherwise than their flags say",
     "INSERT OR IGNORE INTO junk_due (email) SELECT e.id FROM email_state e WHERE e.learnt <> CASE e.flags & "
     "192 WHEN 64 THEN 2 WHEN 128 THEN 1 ELSE 0 END AND EXISTS (SELECT 1 FROM junk_state)"},
    {"times of creation of copies",
     "UPDATE placement SET createseq = modseq WHERE createseq > modseq"},
    {"modseqs of messages",
     "UPDATE email_state SET modseq = max(email_state.modseq, memberseq, e.createseq) FROM email e WHERE "
     "e.id = email_state.id AND email_state.modseq < max(memberseq, e.createseq)"},
    {"modseqs of mailboxes",
     "UPDATE mailbox SET modseq = m.n FROM (SELECT mailbox, max(modseq) AS n FROM (SELECT mailbox, modseq "
     "FROM placement UNION ALL SELECT mailbox, modseq FROM expunged) GROUP BY mailbox) m WHERE m.mailbox = "
     "mailbox.id AND modseq < m.n"},
    {"modseqs of mailboxes",
     "UPDATE mailbox SET modseq = max(modseq, countseq, createseq) WHERE modseq < max(countseq, createseq)"},
};

static const struct step judgements[] = {
    {"judgements that their signs do not fit",
     "UPDATE origin SET judged = 0 WHERE judged <> 0 AND email IN (SELECT s.email FROM sign s JOIN origin o "
     "ON o.email = s.email WHERE o.mailbox <> s.mailbox OR o.received_unix <> s.received_unix OR s.is_junk "
     "<> (o.judged = 2))"},
    {"judgements of messages",
     "UPDATE origin SET judged = 0 FROM email_state s WHERE s.id = origin.email AND origin.judged <> 0 AND "
     "origin.judged <> CASE WHEN s.dead_modseq IS NOT NULL THEN 0 WHEN s.flags & 64 THEN 2 WHEN s.flags & "
     "128 THEN 1 ELSE 0 END"},
    {"signs of senders",
     "DELETE FROM sign WHERE email NOT IN (SELECT email FROM origin WHERE judged <> 0)"},
};

// Up to REPAIR_AT_ONCE of them are done by each call.
struct batch_job {
    uint64_t after, n;
    bool has_more;
};

// Judged from their flags, with their signs.
static bool judge_job(struct store *st, void *ctx, struct err *e)
{
    struct batch_job *j = ctx;
    AUTO_STMT s = db_prepare(st->db, "SELECT o.email, s.flags FROM origin o JOIN email_state s ON s.id = o.email WHERE "
                             "o.email > ? AND o.judged = 0 AND s.flags & 192 AND s.dead_modseq IS NULL ORDER BY o.email "
                             "LIMIT ?", e);
    struct {
        uint64_t email;
        uint32_t flags;
    } list[REPAIR_AT_ONCE];
    size_t n = 0;

    if (!s)
        return false;
    stmt_bind_u64(s, 1, j->after);
    stmt_bind_u64(s, 2, REPAIR_AT_ONCE);
    while (stmt_step(s, e)) {
        list[n].email = stmt_u64(s, 0);
        list[n++].flags = (uint32_t)stmt_u64(s, 1);
    }
    stmt_reset(s);
    for (size_t i = 0; e->kind == ERR_NONE && i < n; i++, j->n++)
        if (!origin_judge(st, j->after = list[i].email, list[i].flags, false, e))
            return false;
    j->has_more = n == REPAIR_AT_ONCE;
    return e->kind == ERR_NONE;
}

static bool find_or_create(struct store *st, struct str name, struct writer_mailbox *out, bool *is_new,
                           struct err *e)
{
    struct err missing = {0};

    *is_new = false;
    if (writer_find_mailbox(st, name, out, &missing))
        return true;
    if (missing.kind != ERR_NOT_FOUND) {
        *e = missing;
        return false;
    }
    *is_new = true;
    return writer_create_mailbox(st, name, (struct str){0}, out, e);
}

// Inbox, and the mailboxes above others.
static bool create_missing(struct store *st, struct buf *told, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_STMT s = db_prepare(st->db, "SELECT name FROM mailbox", e);
    struct store_names names = {0};

    if (!s)
        return false;
    *ARENA_PUSH(&a, names.items, &names.n, &names.cap) = STR("Inbox");
    while (stmt_step(s, e)) {
        struct str name = arena_dup(&a, stmt_str(s, 0));
        ptrdiff_t slash = str_find_last(name, '/');

        if (slash > 0)
            *ARENA_PUSH(&a, names.items, &names.n, &names.cap) = str_sub(name, 0, (size_t)slash);
    }
    for (size_t i = 0; e->kind == ERR_NONE && i < names.n; i++) {
        struct writer_mailbox unused;
        bool is_new;

        if (!find_or_create(st, names.items[i], &unused, &is_new, e))
            return false;
        if (is_new)
            buf_printf(told, "mailbox \"%.*s\": made\n", STR_FMT(names.items[i]));
    }
    return e->kind == ERR_NONE;
}

static bool place_job(struct store *st, void *ctx, struct err *e)
{
    struct batch_job *j = ctx;
    AUTO_STMT s = db_prepare(st->db, "SELECT m.id, m.thread, m.size, m.received_unix FROM email m JOIN "
                             "email_state s ON s.id = m.id WHERE m.id > ? AND s.dead_modseq IS NULL AND NOT EXISTS (SELECT "
                             "1 FROM placement p WHERE p.email = m.id) ORDER BY m.id LIMIT ?", e);
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct writer_mailbox to;
    struct copy *list = NULL;
    size_t n = 0, cap = 0;
    bool is_new;

    if (!s)
        return false;
    stmt_bind_u64(s, 1, j->after);
    stmt_bind_u64(s, 2, REPAIR_AT_ONCE);
    while (stmt_step(s, e)) {
        *ARENA_PUSH(&a, list, &n, &cap) =
            (struct copy){.email = stmt_u64(s, 0), .thread = stmt_u64(s, 1), .size = stmt_u64(s, 2),
                          .received_unix = stmt_i64(s, 3)};
    }
    stmt_reset(s);
    j->has_more = n == REPAIR_AT_ONCE;
    if (e->kind != ERR_NONE || !n)
        return e->kind == ERR_NONE;
    if (!find_or_create(st, recovered, &to, &is_new, e))
        return false;
    for (size_t i = 0; i < n; i++, j->n++) {
        uint32_t uid;

        if (!add_placement(st, to.id, &list[i], &uid, e))
            return false;
        j->after = list[i].email;
    }
    return true;
}

static bool rows_job(struct store *st, void *ctx, struct err *e)
{
    return run_steps(st, rows, COUNT(rows), ctx, e) && run_steps(st, uids, COUNT(uids), ctx, e) &&
           create_missing(st, ctx, e);
}

static bool sequences_job(struct store *st, void *ctx, struct err *e)
{
    return run_steps(st, sequences, COUNT(sequences), ctx, e) && run_steps(st, judgements, COUNT(judgements), ctx, e);
}

static bool in_batches(struct store *st, bool (*job)(struct store *, void *, struct err *), store_progress_fn *progress,
                       uint64_t *n, struct err *e)
{
    struct batch_job j = {0};

    do {
        if (!store_write(st, job, &j, e))
            return false;
        if (progress && j.n)
            progress(j.n, 0);
    } while (j.has_more);
    *n = j.n;
    return true;
}

// Each step stands on those before; all are done again after one that was broken off.
static bool repair_rows(struct store *st, store_progress_fn *progress, struct buf *told, struct err *e)
{
    uint64_t n_placed, n_judged;

    if (!store_write(st, rows_job, told, e) || !fix_sizes(st, progress, told, e) ||
        !in_batches(st, place_job, progress, &n_placed, e))
        return false;
    if (n_placed)
        buf_printf(told, "messages without a place: %llu put into mailbox \"%.*s\"\n", (unsigned long long)n_placed,
                   STR_FMT(recovered));
    if (!store_write(st, sequences_job, told, e) || !in_batches(st, judge_job, progress, &n_judged, e))
        return false;
    if (n_judged)
        buf_printf(told, "messages judged by their flags: %llu corrected\n", (unsigned long long)n_judged);
    return store_write(st, repair_counts_job, told, e);
}

/* Bytes whose message is not there become a message again. */
struct orphan {
    uint64_t owner, size;
};

static bool drop_orphan_job(struct store *st, void *ctx, struct err *e)
{
    return chunk_drop(st->db, *(uint64_t *)ctx, e);
}

static bool recover_one(struct store *st, const struct orphan *o, struct buf *told, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    AUTO_FD fd = -1;
    struct store_added added;
    struct store_new m = {.size = o->size, .received_unix = os_now_unix()};
    struct err why = {0};
    uint64_t owner = o->owner;

    if (!stored_bytes(st, o->owner, o->size, &fd, &why)) {
        buf_printf(told, "bytes of message %llu: %s\n", (unsigned long long)o->owner, why.text);
        return true;
    }
    m.fd = fd;
    // Should this end between the two steps, the next one knows that it is there.
    m.delivery_id = arena_printf(&a, "recovered.%llu", (unsigned long long)o->owner);
    if (!store_add(st, recovered, true, &m, 1, &added, e) || !store_write(st, drop_orphan_job, &owner, e))
        return false;
    buf_printf(told, "bytes of no message: put into mailbox \"%.*s\" as a new one\n", STR_FMT(recovered));
    return true;
}

static bool recover_bytes(struct store *st, struct buf *told, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct store_reader *r = store_reader_open(e);
    struct stmt *s = r ? db_prepare(r->db, "SELECT owner, sum(size) FROM chunk WHERE owner NOT IN (SELECT id FROM "
                                    "email) GROUP BY owner", e) : NULL;
    struct orphan *list = NULL;
    size_t n = 0, cap = 0;

    while (s && stmt_step(s, e)) {
        *ARENA_PUSH(&a, list, &n, &cap) = (struct orphan){stmt_u64(s, 0), stmt_u64(s, 1)};
    }
    if (s)
        stmt_done(&s);
    store_reader_close(r);
    for (size_t i = 0; e->kind == ERR_NONE && i < n; i++)
        if (!recover_one(st, &list[i], told, e))
            return false;
    return e->kind == ERR_NONE;
}

/* Without its state, what the junk filter learnt is learnt anew at the next opening. */
static bool forget_learnt_job(struct store *st, void *ctx, struct err *e)
{
    static const struct step step = {"what the junk filter learnt, which is learnt anew",
                                     "DELETE FROM junk_state"};

    return run_step(st, &step, ctx, e);
}

static bool check_learnt(struct store *st, struct buf *told, struct err *e)
{
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    struct store_reader *r = store_reader_open(e);
    bool is_ok = r && store_read_begin(r, e);

    if (is_ok) {
        AUTO_STMT s = db_prepare(r->db, "SELECT 1 FROM junk_state j WHERE j.ham <> (SELECT count(*) FROM "
                                 "email_state WHERE learnt = 1) OR j.spam <> (SELECT count(*) FROM "
                                 "email_state WHERE learnt = 2)", e);

        if (s && stmt_step(s, e))
            BUF_PUT(&problems, "numbers differ\n");
        is_ok = s && e->kind == ERR_NONE && learn_check(r, &problems, e);
    }
    if (is_ok)
        store_read_end(r);
    store_reader_close(r);
    return is_ok && (!problems.n || store_write(st, forget_learnt_job, told, e));
}

// What SQLite itself finds wrong with indexes, these are made of their tables again.
static bool reindex(struct store *st, struct buf *told, struct err *e)
{
    AUTO_BUF problems = BUF_LIMIT(1 << 20);

    if (!db_check(st->db, &problems, e))
        return false;
    if (str_find_str(buf_str(&problems), STR("index")) == STR_NONE)
        return true;
    BUF_PUT(told, "indexes: made anew\n");
    return db_exec(st->db, "REINDEX", e);
}

static bool repair_all(struct store *st, store_progress_fn *progress, struct buf *told, struct err *e)
{
    return reindex(st, told, e) && repair_rows(st, progress, told, e) && recover_bytes(st, told, e) &&
           check_learnt(st, told, e);
}

bool store_repair(struct store *st, enum store_repair what, store_progress_fn *progress, struct buf *told,
                  struct err *e)
{
    switch (what) {
    case REPAIR_COUNTS:
        return store_write(st, repair_counts_job, told, e);
    case REPAIR_UIDS:
        return store_write(st, uids_job, told, e);
    case REPAIR_SIZES:
        return fix_sizes(st, progress, told, e) && store_write(st, repair_counts_job, told, e);
    case REPAIR_PARSE:
    case REPAIR_PARSE_MISSING:
        return parse_all(st, what == REPAIR_PARSE, progress, told, e);
    case REPAIR_THREADS:
        return repair_threads(st, progress, told, e);
    case REPAIR_ALL:
        return repair_all(st, progress, told, e);
    }
    return fail(e, ERR_BUG, "no such repair");
}
