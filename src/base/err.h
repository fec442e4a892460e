/*
 * Why something failed: whose problem it is, and a sentence for the person who must act on it.
 */
#pragma once

#include <stdbool.h>

#include "base/compiler.h"

enum err_kind {
    ERR_NONE,
    ERR_SYNTAX,    // the peer's or the file's bytes are malformed
    ERR_LIMIT,     // well-formed, but more than we take
    ERR_DENIED,    // not allowed to this peer
    ERR_NOT_FOUND, // what was named does not exist
    ERR_CONFLICT,  // exists already, or changed meanwhile
    ERR_TEMPORARY, // may work later: a full disk, a dead process, a timeout
    ERR_BUG,       // ours
};

struct err {
    enum err_kind kind;
    char text[200];
    bool is_full; // ERR_TEMPORARY, for want of room on a disk
};

/* Fills *e (which may be NULL) and returns false, so that callers write `return fail(e, ...)`. */
bool fail(struct err *e, enum err_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);

/* As fail, with ": " and the text of errno at the end. ENOSPC, EIO and the like are TEMPORARY. */
bool fail_errno(struct err *e, const char *format, ...) PRINTF_LIKE(2, 3);

/* Puts "context: " before the text of *e and returns false. */
bool fail_in(struct err *e, const char *format, ...) PRINTF_LIKE(2, 3);
