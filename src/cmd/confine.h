/*
 * Work on an account's directory without the server, by a process of its own that can reach nothing else:
 * what mail says is a stranger's word here, too.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Runs fn in a child, confined as the role account is, in the directory account_dir and, unless it is -1,
 * with the directory other_dir. Started by root it is the owner of account_dir. What fn answers is the
 * exit code: 0 when all is well. A child that crashed is an error.
 */
typedef int confine_fn(void *ctx);
MUST_USE bool confine_run(int account_dir, int other_dir, confine_fn *fn, void *ctx, int *code,
                          struct err *e);
/*
 * Runs fn in a child that can open nothing at all and, started by root, is nobody: for databases whose contents are the word
 * of a process that may have been taken over. The files of those named, in directories that are open, are opened for it when
 * SQLite wants them, and no links are followed; what is made belongs to whom the directory does. To the child the first is
 * also its name alone, the others are "/1/<name>". One that is not there is made only with is_new. What it makes of them it
 * prints, or writes to the file out, or in the directory out, as whose that is; -1: neither.
 */
struct confine_database {
    int dir;
    const char *name;
    bool is_new;
};
MUST_USE bool confine_databases(const struct confine_database *dbs, size_t n, int out, confine_fn *fn, void *ctx, int *code,
                                struct err *e);
/*
 * Runs fn in a child that has the connection and nothing else, and, started by root, is nobody: for bytes of strangers. box is the
 * sandbox that closes around it. Does not wait for it. The process id, or -1; the connection stays the caller's, too.
 */
struct sandbox;
pid_t confine_connection(int connection, const struct sandbox *box, confine_fn *fn, void *ctx, struct err *e);
/* Memory that a child's changes of can be seen in. */
void *confine_shared(size_t n);
