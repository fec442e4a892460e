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
/* Opens for reading what lies below a directory; ERR_DENIED when path, or a link on it, leads out. -1 on failure. */
int os_open_beneath(int dir_fd, const char *path, struct err *e);
/*
 * The same with flags of open besides, and with errno: EXDEV when it leads out. Links are followed as long as they
 * stay below, those of /proc never.
 */
int os_open_beneath_flags(int dir_fd, const char *path, unsigned flags);
/*
 * Opens a directory that lies in one that another user may write to. A link is followed if it is root's; ERR_DENIED when it
 * is another's, who could have it lead anywhere. -1 on failure.
 */
int os_open_dir_of_root(int dir_fd, const char *name, struct err *e);

/* Replaces path whole or not at all: temporary file in the same directory, sync, rename, sync. */
MUST_USE bool os_write_file(const char *path, struct str bytes, mode_t mode, struct err *e);

/* The same for a file that must not be there yet: ERR_CONFLICT. */
MUST_USE bool os_create_file(const char *path, struct str bytes, mode_t mode, struct err *e);

/* Creates the directory and its parents where they are missing. */
MUST_USE bool os_make_dirs(const char *path, mode_t mode, struct err *e);
/* Calls fn with each name in a directory, until one fails. what: the directory, for the error. */
typedef bool os_entry_fn(void *ctx, int dir, const char *name, struct err *e);
MUST_USE bool os_each_entry(int dir, const char *what, os_entry_fn *fn, void *ctx, struct err *e);
/* Removes the directory of that name in dir_fd with the files in it; one that has directories stays. */
MUST_USE bool os_remove_dir(int dir_fd, struct str name, struct err *e);

/* A file in memory, close-on-exec, that can be sealed. -1 on failure. */
int os_memfile(const char *name, struct err *e);
/* No process can change it any more. */
MUST_USE bool os_memfile_seal(int fd, struct err *e);
/* One of n bytes for good, all 0, which may be written to. */
int os_memfile_sized(const char *name, size_t n, struct err *e);
/* True when fd is a memory file that nobody can change. */
bool os_memfile_is_sealed(int fd);

/*
 * Bytes that wait for something: in memory while they are few; a file without a name in the current
 * directory when they are more, so that what waits is bounded by the disk and not by memory.
 */
enum { OS_SPOOL_IN_MEMORY = 1 << 20 };
struct os_spool {
    int fd; // -1 before the first byte
    uint64_t size;
    bool is_file;
};
#define OS_SPOOL_EMPTY {.fd = -1}
MUST_USE bool os_spool_put(struct os_spool *s, struct str bytes, struct err *e);
void os_spool_close(struct os_spool *s);

/* All of bytes to fd, in order. ENOSPC and the like are ERR_TEMPORARY. */
MUST_USE bool os_write_all(int fd, struct str bytes, struct err *e);
