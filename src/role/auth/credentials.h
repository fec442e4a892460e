/*
 * The credentials database: password hashes by account, and what was tried. auth.db in the
 * current directory; used by the auth process alone, or by a command while no server runs.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct credentials;
struct credentials *credentials_open(struct err *e);
void credentials_close(struct credentials *c);

/* The hash of an account's password; ERR_NOT_FOUND when it has none. */
MUST_USE bool credentials_hash(struct credentials *c, struct arena *a, struct str account,
                               struct str *out, struct err *e);
/* ERR_SYNTAX when the password breaks the rules. */
MUST_USE bool credentials_set(struct credentials *c, struct str account, struct str password,
                              struct err *e);

struct login_attempt {
    struct str account, login, remote_ip, protocol, mechanism, result;
};
/* Notes attempts, all in one transaction; equal ones are counted. */
MUST_USE bool credentials_note(struct credentials *c, const struct login_attempt *attempts,
                               size_t n, struct err *e);
