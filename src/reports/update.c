#include "reports/reports_priv.h"

bool reports_update_state(struct reports *r, struct arena *a, struct str *known, int64_t *checked_unix,
                          struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT known, checked_unix FROM update_check", e);

    if (!s || !stmt_step(s, e))
        return false;
    *known = arena_dup(a, stmt_str(s, 0));
    *checked_unix = stmt_i64(s, 1);
    return true;
}

static bool set_state(struct reports *r, struct str known, int64_t checked_unix, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "UPDATE update_check SET known = ?, checked_unix = ?", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, known);
    stmt_bind_i64(s, 2, checked_unix);
    return stmt_run(s, e);
}

bool reports_set_update_state(struct reports *r, struct str known, int64_t checked_unix, struct err *e)
{
    return reports_begin(r, e) && reports_end(r, set_state(r, known, checked_unix, e), e);
}
