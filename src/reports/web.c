#include "reports/reports_priv.h"

static bool add(struct reports *r, const struct web_report *w, struct err *e)
{
    AUTO_STMT count = db_prepare(r->db, "SELECT count(*) FROM web_report", e);
    AUTO_STMT s = db_prepare(r->db, "INSERT INTO web_report (url, domain, body, created_unix, next_unix) "
                                    "VALUES (?,?,?,?,?)", e);

    if (!count || !s || !stmt_step(count, e))
        return false;
    if (stmt_u64(count, 0) >= REPORTS_MAX_WEB || w->body.n > REPORTS_MAX_WEB_BODY)
        return fail(e, ERR_LIMIT, "too many or too large reports wait for web servers");
    stmt_bind_str(s, 1, w->url);
    stmt_bind_str(s, 2, w->domain);
    stmt_bind_blob(s, 3, w->body);
    stmt_bind_i64(s, 4, w->created_unix);
    stmt_bind_i64(s, 5, w->created_unix);
    return stmt_run(s, e);
}

bool reports_web_add(struct reports *r, const struct web_report *w, struct err *e)
{
    return reports_begin(r, e) && reports_end(r, add(r, w, e), e);
}

static bool read_one(struct stmt *s, struct arena *a, struct web_report *out, bool *found, struct err *e)
{
    *found = stmt_step(s, e);
    if (*found)
        *out = (struct web_report){.id = stmt_u64(s, 0),
                                   .url = arena_dup(a, stmt_str(s, 1)),
                                   .domain = arena_dup(a, stmt_str(s, 2)),
                                   .body = arena_dup(a, stmt_str(s, 3)),
                                   .created_unix = stmt_i64(s, 4),
                                   .attempts = (uint32_t)stmt_u64(s, 5)};
    return !e->kind;
}

#define WEB_REPORT "SELECT id, url, domain, body, created_unix, attempts FROM web_report "

bool reports_web_next(struct reports *r, struct arena *a, int64_t now_unix, struct web_report *out,
                      bool *found, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, WEB_REPORT "WHERE next_unix <= ? AND NOT is_begun ORDER BY next_unix, id LIMIT 1", e);

    *found = false;
    if (!s)
        return false;
    stmt_bind_i64(s, 1, now_unix);
    return read_one(s, a, out, found, e);
}

bool reports_web_unknown(struct reports *r, struct arena *a, struct web_report *out, bool *found, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, WEB_REPORT "WHERE is_begun LIMIT 1", e);

    *found = false;
    return s && read_one(s, a, out, found, e);
}

static bool begun(struct reports *r, uint64_t id, struct err *e)
{
    return DB_RUN(r->db, "UPDATE web_report SET is_begun = 1 WHERE id = ?", e, id);
}

bool reports_web_begun(struct reports *r, uint64_t id, struct err *e)
{
    return reports_begin(r, e) && reports_end(r, begun(r, id, e), e);
}

static bool again(struct reports *r, uint64_t id, int64_t next_unix, struct err *e)
{
    return DB_RUN(r->db, "UPDATE web_report SET attempts = attempts + 1, is_begun = 0, "
                         "next_unix = ? WHERE id = ?", e, next_unix, id);
}

bool reports_web_again(struct reports *r, uint64_t id, int64_t next_unix, struct err *e)
{
    return reports_begin(r, e) && reports_end(r, again(r, id, next_unix, e), e);
}

static bool drop(struct reports *r, uint64_t id, struct err *e)
{
    return DB_RUN(r->db, "DELETE FROM web_report WHERE id = ?", e, id);
}

bool reports_web_done(struct reports *r, uint64_t id, struct err *e)
{
    return reports_begin(r, e) && reports_end(r, drop(r, id, e), e);
}
