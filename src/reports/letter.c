#include "reports/reports_priv.h"

static bool has_room(struct reports *r, uint64_t size, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT count(*), coalesce(sum(size), 0) FROM letter", e);

    if (!s || !stmt_step(s, e))
        return false;
    return (stmt_u64(s, 0) < REPORTS_MAX_LETTERS && stmt_u64(s, 1) + size <= REPORTS_MAX_LETTER_BYTES) ||
           fail(e, ERR_LIMIT, "too many reports wait for the queue");
}

static bool add(struct reports *r, const struct report_letter *l, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "INSERT INTO letter (name, is_tls, domain, sender, recipients, created_unix, "
                                    "next_unix, size, message) VALUES (?1,?2,?3,?4,?5,?6,?6,?7,?8)", e);

    if (!s || !has_room(r, l->message.n, e))
        return false;
    stmt_bind_str(s, 1, l->name);
    stmt_bind_u64(s, 2, l->is_tls);
    stmt_bind_str(s, 3, l->domain);
    stmt_bind_str(s, 4, l->sender);
    stmt_bind_str(s, 5, l->recipients);
    stmt_bind_i64(s, 6, l->created_unix);
    stmt_bind_u64(s, 7, l->message.n);
    stmt_bind_blob(s, 8, l->message);
    return stmt_run(s, e);
}

bool reports_letter_add(struct reports *r, const struct report_letter *l, struct err *e)
{
    return reports_begin(r, e) && reports_end(r, add(r, l, e), e);
}

bool reports_letter_next(struct reports *r, struct arena *a, int64_t now_unix, struct report_letter *out,
                         bool *found, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT id, name, is_tls, domain, sender, recipients, created_unix, attempts, "
                                    "message FROM letter WHERE next_unix <= ? ORDER BY next_unix, id LIMIT 1", e);

    *found = false;
    if (!s)
        return false;
    stmt_bind_i64(s, 1, now_unix);
    *found = stmt_step(s, e);
    if (*found)
        *out = (struct report_letter){.id = stmt_u64(s, 0),
                                      .name = arena_dup(a, stmt_str(s, 1)),
                                      .is_tls = stmt_u64(s, 2),
                                      .domain = arena_dup(a, stmt_str(s, 3)),
                                      .sender = arena_dup(a, stmt_str(s, 4)),
                                      .recipients = arena_dup(a, stmt_str(s, 5)),
                                      .created_unix = stmt_i64(s, 6),
                                      .attempts = (uint32_t)stmt_u64(s, 7),
                                      .message = arena_dup(a, stmt_str(s, 8))};
    return !e->kind;
}

static bool again(struct reports *r, uint64_t id, int64_t next_unix, struct err *e)
{
    return DB_RUN(r->db, "UPDATE letter SET attempts = attempts + 1, next_unix = ? WHERE id = ?", e, next_unix, id);
}

bool reports_letter_again(struct reports *r, uint64_t id, int64_t next_unix, struct err *e)
{
    return reports_begin(r, e) && reports_end(r, again(r, id, next_unix, e), e);
}

static bool drop(struct reports *r, uint64_t id, struct err *e)
{
    return DB_RUN(r->db, "DELETE FROM letter WHERE id = ?", e, id);
}

bool reports_letter_done(struct reports *r, uint64_t id, struct err *e)
{
    return reports_begin(r, e) && reports_end(r, drop(r, id, e), e);
}
