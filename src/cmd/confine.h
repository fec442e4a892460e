/*
 * Work on an account's directory without the server, by a process of its own that can reach nothing else:
 * what mail says is a stranger's word here, too.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/*
 * Runs fn in a child, confined as the role account is, in the directory account_dir and, unless it is -1,
 * with the directory other_dir. Started by root it is the owner of account_dir. What fn answers is the
 * exit code: 0 when all is well. A child that crashed is an error.
 */
typedef int confine_fn(void *ctx);
MUST_USE bool confine_run(int account_dir, int other_dir, confine_fn *fn, void *ctx, int *code,
                          struct err *e);
/* Memory that a child's changes of can be seen in. */
void *confine_shared(size_t n);
