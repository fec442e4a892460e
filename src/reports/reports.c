#include "reports/reports.h"

#include <stdlib.h>

#include "base/log.h"
#include "db/sql.h"
#include "reports/reports_priv.h"

bool reports_count(struct reports *r, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT (SELECT count(*) FROM evaluation), "
                                    "(SELECT count(*) FROM tls_result)", e);

    if (!s || !stmt_step(s, e))
        return false;
    r->n_evaluations = stmt_u64(s, 0);
    r->n_tls_results = stmt_u64(s, 1);
    return true;
}

bool reports_has_gathered(const struct reports *r, bool is_tls)
{
    return (is_tls ? r->n_tls_results : r->n_evaluations) > 0;
}

struct reports *reports_open(struct err *e)
{
    struct reports *r = heap_alloc(sizeof *r);

    r->db = db_open("admin.db", sql_admin, sql_admin_count, e);
    if (r->db && reports_count(r, e))
        return r;
    if (r->db)
        db_close(r->db);
    free(r);
    return NULL;
}

void reports_close(struct reports *r)
{
    struct err e = {0};

    if (!reports_commit(r, &e))
        LOG(LOG_ERROR, "admin", "what was gathered last is lost", LOG_E(&e));
    db_close(r->db);
    free(r);
}

bool reports_commit(struct reports *r, struct err *e)
{
    if (!r->has_changes)
        return true;
    r->has_changes = false;
    return db_commit(r->db, e);
}

bool reports_begin(struct reports *r, struct err *e)
{
    if (!r->has_changes && !db_begin(r->db, e))
        return false;
    r->has_changes = true;
    return db_savepoint(r->db, e);
}

bool reports_end(struct reports *r, bool is_ok, struct err *e)
{
    if (!is_ok)
        db_undo(r->db);
    return is_ok && db_release(r->db, e);
}
