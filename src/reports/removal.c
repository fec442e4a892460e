#include "reports/reports_priv.h"

static bool note(struct reports *r, struct str account, enum removal_step step, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "INSERT OR REPLACE INTO removal (account, step) VALUES (?,?)", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_u64(s, 2, step);
    return stmt_run(s, e);
}

static bool end(struct reports *r, struct str account, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "DELETE FROM removal WHERE account = ?", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    return stmt_run(s, e);
}

bool reports_note_removal(struct reports *r, struct str account, enum removal_step step, struct err *e)
{
    return reports_begin(r, e) && reports_end(r, note(r, account, step, e), e) && reports_commit(r, e);
}

bool reports_end_removal(struct reports *r, struct str account, struct err *e)
{
    return reports_begin(r, e) && reports_end(r, end(r, account, e), e) && reports_commit(r, e);
}

bool reports_next_removal(struct reports *r, struct arena *a, struct str after, struct str *account, enum removal_step *step,
                          struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT account, step FROM removal WHERE account > ? ORDER BY account LIMIT 1", e);

    *account = STR("");
    if (!s)
        return false;
    stmt_bind_str(s, 1, after);
    if (!stmt_step(s, e))
        return !e->kind;
    *account = arena_dup(a, stmt_str(s, 0));
    *step = (enum removal_step)stmt_u64(s, 1);
    return true;
}
