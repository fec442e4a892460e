/*
 * The part of the configuration that an account gets.
 */
#pragma once

#include "base/map.h"
#include "config/config.h"

struct compile_accounts {
    struct arena *a;
    struct directory *directory;
    struct map reports; // account -> addresses for reports
};
/* What lives in a, and as long as the process. */
void compile_accounts_begin(struct compile_accounts *c, struct arena *a,
                            const struct config *config);
/* Appends an account's records: account_rules, account_junk, and each account_destination with its rulesets. */
void compile_account(struct compile_accounts *c, const struct sconf_node *account, struct buf *out);
