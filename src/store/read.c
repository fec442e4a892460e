/*
 * Reading beside the writer.
 */
#include <stdlib.h>

#include "store/store_priv.h"

struct store_reader *store_reader_open(struct err *e)
{
    struct db *d = db_open_reader("account.db", e);
    struct store_reader *r;

    if (!d)
        return NULL;
    r = heap_alloc(sizeof *r);
    r->db = d;
    return r;
}

void store_reader_close(struct store_reader *r)
{
    if (!r)
        return;
    db_close(r->db);
    free(r);
}

bool store_read_begin(struct store_reader *r, struct err *e)
{
    return db_exec(r->db, "BEGIN", e);
}

void store_read_end(struct store_reader *r)
{
    db_rollback(r->db);
}

bool store_read_modseq(struct store_reader *r, uint64_t *out, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT modseq FROM account", e);

    if (!s || !stmt_step(s, e))
        return false;
    *out = stmt_u64(s, 0);
    return true;
}

#define MAILBOX_COLUMNS                                                                            \
    "id, name, special_use, uidvalidity, uidnext, modseq, total, unseen, unread, deleted, size"

static struct store_mailbox mailbox_of(struct stmt *s, struct arena *a)
{
    return (struct store_mailbox){
        .id = stmt_u64(s, 0),
        .name = arena_dup(a, stmt_str(s, 1)),
        .special_use = arena_dup(a, stmt_str(s, 2)),
        .uidvalidity = (uint32_t)stmt_u64(s, 3),
        .uidnext = (uint32_t)stmt_u64(s, 4),
        .modseq = stmt_u64(s, 5),
        .total = stmt_u64(s, 6),
        .unseen = stmt_u64(s, 7),
        .unread = stmt_u64(s, 8),
        .deleted = stmt_u64(s, 9),
        .size = stmt_u64(s, 10),
    };
}

bool store_mailbox_find(struct store_reader *r, struct arena *a, struct str name,
                        struct store_mailbox *out, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT " MAILBOX_COLUMNS " FROM mailbox WHERE name = ?", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, name);
    if (!stmt_step(s, e))
        return e->kind == ERR_NONE ? fail(e, ERR_NOT_FOUND, "no such mailbox") : false;
    *out = mailbox_of(s, a);
    return true;
}

bool store_quota_get(struct store *st, struct store_reader *r, struct store_quota *out,
                     struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT used_bytes FROM account", e);

    if (!s || !stmt_step(s, e))
        return false;
    *out = (struct store_quota){stmt_u64(s, 0), st->quota_bytes};
    return true;
}

bool store_deleted_bytes(struct store_reader *r, uint64_t mailbox, uint64_t *out, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT coalesce(sum(size), 0) FROM placement WHERE mailbox = ? "
                             "AND flags & 8", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, mailbox);
    if (!stmt_step(s, e))
        return false;
    *out = stmt_u64(s, 0);
    return true;
}

bool store_mailbox_modseq(struct store_reader *r, uint64_t id, uint64_t *out, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT modseq FROM mailbox WHERE id = ?", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, id);
    if (!stmt_step(s, e))
        return e->kind == ERR_NONE ? fail(e, ERR_NOT_FOUND, "no such mailbox") : false;
    *out = stmt_u64(s, 0);
    return true;
}

bool store_mailbox_list(struct store_reader *r, struct arena *a, struct store_mailboxes *out,
                        struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT " MAILBOX_COLUMNS " FROM mailbox ORDER BY name", e);

    *out = (struct store_mailboxes){0};
    while (s && out->n < STORE_MAX_MAILBOXES && stmt_step(s, e))
        *ARENA_PUSH(a, out->items, &out->n, &out->cap) = mailbox_of(s, a);
    return s && e->kind == ERR_NONE;
}

static bool list_names(struct stmt *s, struct arena *a, struct store_names *out, struct err *e)
{
    *out = (struct store_names){0};
    while (out->n < STORE_MAX_MAILBOXES && stmt_step(s, e))
        *ARENA_PUSH(a, out->items, &out->n, &out->cap) = arena_dup(a, stmt_str(s, 0));
    return e->kind == ERR_NONE;
}

bool store_subscriptions(struct store_reader *r, struct arena *a, struct store_names *out,
                         struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT name FROM subscription ORDER BY name", e);

    return s && list_names(s, a, out, e);
}

bool store_keywords(struct store_reader *r, struct arena *a, uint64_t mailbox,
                    struct store_names *out, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT name FROM keyword WHERE mailbox = ? ORDER BY name", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, mailbox);
    return list_names(s, a, out, e);
}

bool store_rows(struct store_reader *r, uint64_t mailbox, uint64_t since, store_row_fn *fn,
                void *ctx, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, since ?
                             "SELECT uid, email, flags, keywords, modseq, size, received_unix FROM "
                             "placement INDEXED BY placement_modseq WHERE mailbox = ? AND modseq > "
                             "? ORDER BY uid" :
                             "SELECT uid, email, flags, keywords, modseq, size, received_unix FROM "
                             "placement WHERE mailbox = ? AND modseq > ? ORDER BY uid", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, mailbox);
    stmt_bind_u64(s, 2, since);
    while (stmt_step(s, e)) {
        struct store_row row = {.uid = (uint32_t)stmt_u64(s, 0),
                                .email = stmt_u64(s, 1),
                                .flags = (uint32_t)stmt_u64(s, 2),
                                .keywords = stmt_str(s, 3),
                                .modseq = stmt_u64(s, 4),
                                .size = stmt_u64(s, 5),
                                .received_unix = stmt_i64(s, 6)};

        if (!fn(ctx, &row))
            return fail(e, ERR_LIMIT, "too many messages");
    }
    return e->kind == ERR_NONE;
}

bool store_expunged(struct store_reader *r, uint64_t mailbox, uint64_t since, store_gone_fn *fn,
                    void *ctx, struct err *e)
{
    AUTO_STMT floor = db_prepare(r->db, "SELECT expunge_floor FROM mailbox WHERE id = ?", e);
    AUTO_STMT s = db_prepare(r->db, "SELECT uid, email, modseq FROM expunged WHERE mailbox = ? AND "
                             "modseq > ? ORDER BY modseq", e);

    if (!floor || !s)
        return false;
    stmt_bind_u64(floor, 1, mailbox);
    if (stmt_step(floor, e) && since < stmt_u64(floor, 0))
        return fail(e, ERR_NOT_FOUND, "history does not reach back to modseq %llu",
                    (unsigned long long)since);
    stmt_bind_u64(s, 1, mailbox);
    stmt_bind_u64(s, 2, since);
    while (e->kind == ERR_NONE && stmt_step(s, e)) {
        struct store_gone gone = {(uint32_t)stmt_u64(s, 0), stmt_u64(s, 1), stmt_u64(s, 2)};

        if (!fn(ctx, &gone))
            return fail(e, ERR_LIMIT, "too many messages");
    }
    return e->kind == ERR_NONE;
}

bool store_email_size(struct store_reader *r, uint64_t email, uint64_t *size,
                      int64_t *received_unix, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT size, received_unix FROM email WHERE id = ?", e);

    *size = 0;
    *received_unix = 0;
    if (!s)
        return false;
    stmt_bind_u64(s, 1, email);
    if (stmt_step(s, e)) {
        *size = stmt_u64(s, 0);
        *received_unix = stmt_i64(s, 1);
    }
    return e->kind == ERR_NONE;
}

bool store_first_unseen(struct store_reader *r, uint64_t mailbox, uint32_t *out, struct err *e)
{
    AUTO_STMT first = db_prepare(r->db, "SELECT uid FROM placement WHERE mailbox = ? AND flags & 1 "
                                 "= 0 ORDER BY uid LIMIT 1", e);
    AUTO_STMT count = db_prepare(r->db, "SELECT count(*) FROM placement WHERE mailbox = ? AND uid "
                                 "<= ?", e);

    *out = 0;
    if (!first || !count)
        return false;
    stmt_bind_u64(first, 1, mailbox);
    if (!stmt_step(first, e))
        return e->kind == ERR_NONE;
    stmt_bind_u64(count, 1, mailbox);
    stmt_bind_u64(count, 2, stmt_u64(first, 0));
    if (!stmt_step(count, e))
        return false;
    *out = (uint32_t)stmt_u64(count, 0);
    return true;
}

bool store_email_get(struct store_reader *r, struct arena *a, uint64_t email,
                     struct store_email *out, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT size, received_unix, sent_unix, envelope, "
                             "bodystructure, tree FROM email WHERE id = ?", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, email);
    if (!stmt_step(s, e))
        return e->kind == ERR_NONE ? fail(e, ERR_NOT_FOUND, "message is gone") : false;
    *out = (struct store_email){.size = stmt_u64(s, 0),
                                .received_unix = stmt_i64(s, 1),
                                .sent_unix = stmt_is_null(s, 2) ? stmt_i64(s, 1) : stmt_i64(s, 2),
                                .envelope = arena_dup(a, stmt_str(s, 3)),
                                .bodystructure = arena_dup(a, stmt_str(s, 4)),
                                .tree = arena_dup(a, stmt_str(s, 5))};
    return true;
}

struct store_texts {
    struct stmt *s;
    unsigned wanted;
};

struct store_texts *store_texts_open(struct store_reader *r, unsigned wanted, struct err *e)
{
    // SQLite copies each text that is selected, so what is not wanted is not.
    struct stmt *s = db_prepare(r->db,
                                "SELECT thread, CASE WHEN ?2 & 1 THEN envelope END, "
                                "CASE WHEN ?2 & 2 THEN bodystructure END, "
                                "CASE WHEN ?2 & 4 THEN tree END, "
                                "CASE WHEN ?2 & 8 THEN preview END FROM email WHERE id = ?1", e);
    struct store_texts *t;

    if (!s)
        return NULL;
    t = heap_alloc(sizeof *t);
    *t = (struct store_texts){s, wanted};
    return t;
}

bool store_texts_get(struct store_texts *t, uint64_t email, struct store_text *out, struct err *e)
{
    stmt_reset(t->s);
    stmt_bind_u64(t->s, 1, email);
    stmt_bind_u64(t->s, 2, t->wanted);
    if (!stmt_step(t->s, e))
        return e->kind == ERR_NONE ? fail(e, ERR_NOT_FOUND, "message is gone") : false;
    *out = (struct store_text){stmt_u64(t->s, 0), stmt_str(t->s, 1), stmt_str(t->s, 2),
                               stmt_str(t->s, 3), stmt_str(t->s, 4)};
    return true;
}

void store_texts_rest(struct store_texts *t)
{
    stmt_reset(t->s);
}

void store_texts_close(struct store_texts *t)
{
    if (!t)
        return;
    stmt_done(&t->s);
    free(t);
}

bool store_thread_of(struct store_reader *r, uint64_t email, uint64_t *out, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT thread FROM email WHERE id = ?", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, email);
    if (!stmt_step(s, e))
        return false;
    *out = stmt_u64(s, 0);
    return true;
}

bool store_saved_unix(struct store_reader *r, uint64_t mailbox, uint32_t uid, int64_t *out,
                      struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT saved_unix FROM placement WHERE mailbox = ? AND uid = ?",
                             e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, mailbox);
    stmt_bind_u64(s, 2, uid);
    if (!stmt_step(s, e))
        return false;
    *out = stmt_i64(s, 0);
    return true;
}

bool store_email_read(struct store_reader *r, uint64_t email, uint64_t offset, uint64_t n,
                      store_bytes_fn *fn, void *ctx, struct err *e)
{
    return chunk_read(r->db, email, offset, n, fn, ctx, e);
}
