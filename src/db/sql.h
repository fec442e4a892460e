/*
 * The migrations of sql/, embedded by the build.
 */
#pragma once

#include "db/db.h"

extern const struct db_migration sql_account[], sql_auth[], sql_junk[], sql_queue[],
    sql_admin[];
extern const size_t sql_account_count, sql_auth_count, sql_junk_count, sql_queue_count,
    sql_admin_count;
