/*
 * Whole files with a limit, and memory files that are handed between processes.
 */
#pragma once

#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"

/* The whole file into the arena. ERR_LIMIT when it is larger than limit bytes. */
MUST_USE bool os_read_file(struct arena *a, const char *path, size_t limit, struct str *out,
                           struct err *e);
/* The same from an open descriptor, from its start. */
MUST_USE bool os_read_fd(struct arena *a, int fd, size_t limit, struct str *out, struct err *e);

/* Replaces path whole or not at all: temporary file in the same directory, sync, rename, sync. */
MUST_USE bool os_write_file(const char *path, struct str bytes, mode_t mode, struct err *e);

/* Creates the directory and its parents where they are missing. */
MUST_USE bool os_make_dirs(const char *path, mode_t mode, struct err *e);

/* A file in memory, close-on-exec, that can be sealed. -1 on failure. */
int os_memfile(const char *name, struct err *e);
/* No process can change it any more. */
MUST_USE bool os_memfile_seal(int fd, struct err *e);
/* True when fd is a memory file that nobody can change. */
bool os_memfile_is_sealed(int fd);

/* All of bytes to fd, in order. ENOSPC and the like are ERR_TEMPORARY. */
MUST_USE bool os_write_all(int fd, struct str bytes, struct err *e);
