/*
 * What the files of the reports share: the database of the reports that came and of what is gathered for ours, and
 * the changes of it that wait for a commit.
 */
#pragma once

#include "db/db.h"
#include "reports/reports.h"

struct reports {
    struct db *db;
    bool has_changes; // a transaction is open
    bool was_new;     // the report that was added last
    uint64_t n_evaluations, n_tls_results; // rows
};

/* How many rows there are. */
MUST_USE bool reports_count(struct reports *r, struct err *e);
/* Part of reports_expire. */
MUST_USE bool reports_expire_received(struct reports *r, bool is_tls, int64_t before_unix,
                                      struct err *e);
