/*
 * The user that roles run as when the server was started by root.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct os_user {
    bool is_set; // false: the user we are
    uid_t uid;
    gid_t gid;
    bool keeps_setuid; // it goes on to become others (CAP_SETUID, over exec too): see os/sandbox.h for whom
};

/* Whether the program runs with a group that its user has not given it: set-group-id. */
bool os_is_setgid(void);
/* By name or number. ERR_NOT_FOUND; ERR_DENIED for root. */
MUST_USE bool os_user_find(const char *name, struct os_user *out, struct err *e);
/* For what needs no files and no name: the number that owns nothing. */
struct os_user os_user_nobody(void);
/*
 * Ids that the system keeps for a user beside its own: the largest range that /etc/subuid has for it, by name or number.
 * How many there are; 0: none.
 */
uint32_t os_user_range(const char *name, uid_t uid, uid_t *first);
/* Whether the user may be become, and may then use the directory by its path. ERR_DENIED with a sentence. */
MUST_USE bool os_user_may_use(const struct os_user *u, int dir_fd, struct err *e);
/*
 * The directory and all in it belong to root, who alone may write, and others may not read, but programs; what lies in
 * except (or -1) stays as it is. One that is another's than root's or user's, or lies where a system has all its
 * files, is left alone.
 */
enum os_protected {
    OS_WAS_PROTECTED,
    OS_IS_PROTECTED_NOW,
    OS_NOT_PROTECTED,
};
MUST_USE bool os_protect(int dir_fd, int except_fd, uid_t user, enum os_protected *how, struct err *e);
/* Becomes the user for good, without further groups. */
MUST_USE bool os_user_become(const struct os_user *u);
/* The directory and all that is in it belong to the user from now on; links are not followed. */
MUST_USE bool os_user_give(int dir_fd, const struct os_user *u, struct err *e);
