/*
 * Where the configuration of the command line and its data are.
 */
#pragma once

#include "config/config.h"

/* The directory of mox.conf, with its slash; empty for the current one. */
struct str paths_config_dir(void);
/* Both files, read and checked. Problems go to problems, and e says that there are some. */
MUST_USE bool paths_load(struct arena *a, struct config *out, struct buf *problems, struct err *e);
/* The entry of a domain, in either spelling. ERR_NOT_FOUND. */
MUST_USE bool paths_domain(struct arena *a, const struct config *c, const char *name,
                           const struct sconf_node **out, struct err *e);
/* The path of a file that the configuration names: relative to the directory of mox.conf. And its bytes. */
struct str paths_named(struct arena *a, struct str name);
MUST_USE bool paths_read_named(struct arena *a, struct str name, size_t limit, struct str *out,
                               struct err *e);
/* Opens an account's directory below the data directory. ERR_NOT_FOUND. */
MUST_USE bool paths_open_account(struct arena *a, struct str data_dir, struct str account, int *out,
                                 struct err *e);
/* The accounts that have a directory, by name. */
struct paths_names {
    const char **items;
    size_t n, cap;
};
MUST_USE bool paths_accounts(struct arena *a, struct str data_dir, struct paths_names *out,
                             struct err *e);
/* DataDir of mox.conf, from the current directory. */
MUST_USE bool paths_data_dir(struct arena *a, struct str *out, struct err *e);
/* That the server of this data does not run, and cannot be started until lock is closed. ERR_CONFLICT. */
MUST_USE bool paths_lock(struct arena *a, struct str data_dir, int *lock, struct err *e);
MUST_USE bool paths_lock_data(struct arena *a, struct str *out, int *lock, struct err *e);
