/*
 * What the files of "import upstream" share: databases of a directory that is only read, and the files of messages.
 */
#pragma once

#include "cmd/paths.h"

/*
 * The file as it is when nobody writes to it: upstream's server holds a lock on it, which is had until *fd is closed.
 * *out has to be unmapped. ERR_NOT_FOUND, ERR_CONFLICT.
 */
MUST_USE bool upstream_map(int dir, const char *name, struct str *out, int *fd, struct err *e);
void upstream_unmap(struct str file);

/* A process that opens the files of messages below dir by their number, for one that may not; *files: to ask it. */
MUST_USE bool upstream_start_opener(int dir, int *files, struct err *e);
/* -1 when it cannot be. */
int upstream_open_file(int files, uint64_t id);

/* A directory of our data directory, made if need be, for whoever has that. */
enum { UPSTREAM_DIR_MODE = 0700 };
MUST_USE bool upstream_make_dir(struct arena *a, struct str data, const char *name, mode_t mode, const char **out,
                                struct err *e);

/*
 * What belongs to no account: the queue, reports, policies, logins. Only what is of these accounts, unless all are
 * wanted. What was taken over, and what was not and why, is printed. *code is 0 when all is well.
 */
MUST_USE bool upstream_take_server(struct str data, struct str theirs, const struct paths_names *accounts, bool all,
                                   int *code, struct err *e);
