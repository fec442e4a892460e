/*
 * The credentials database: passwords as hashes and as what SCRAM and CRAM-MD5 need, keys of
 * clients, and what was tried. auth.db in the current directory; used by the auth process alone, or
 * by a command while no server runs.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "proto/sasl/sasl.h"

struct credentials;
struct credentials *credentials_open(struct err *e);
void credentials_close(struct credentials *c);

/* --- passwords ------------------------------------------------------------------------------------ */

/*
 * How often SCRAM's clients have to hash. RFC 7677 4 asks for 4096 or more; upstream has 4096 for
 * SHA-256 and 8192 for SHA-1. It is the clients that pay, at each login, and phones are among them.
 */
enum { SCRAM_ITERATIONS = 10000 };

/* What SCRAM checks against. */
struct scram_secret {
    unsigned char salt[SCRAM_SALT_BYTES];
    uint32_t iterations;
    struct scram_keys keys;
};
/* All that is derived from a password for mechanisms that do not send it. */
struct derived {
    struct scram_secret scram[2]; // by enum hash_kind
    unsigned char cram_md5[HMAC_MD5_STATES];
};
/* password as it was given. Takes 10 ms or more. */
void derived_make(struct str password, struct derived *out);

struct password {
    struct str hash;
    bool has_derived;
};
/* ERR_NOT_FOUND when the account has none. */
MUST_USE bool credentials_password(struct credentials *c, struct arena *a, struct str account,
                                   struct password *out, struct err *e);
/* Sets the password and all that is derived from it. ERR_SYNTAX when it breaks the rules. */
MUST_USE bool credentials_set(struct credentials *c, struct str account, struct str password,
                              struct err *e);
/*
 * A bcrypt hash of upstream's, for an account that has no password yet. What other mechanisms need comes
 * with the first login. *is_new: it was taken. ERR_SYNTAX when it is no such hash.
 */
MUST_USE bool credentials_adopt(struct credentials *c, struct str account, struct str hash, bool *is_new,
                                struct err *e);
/* Adds what is derived from a password, if it still is the account's: hash says which it was. */
MUST_USE bool credentials_derive(struct credentials *c, struct str account, struct str hash,
                                 const struct derived *d, struct err *e);
/* ERR_NOT_FOUND when the account has none, which is so until the first login with its password. */
MUST_USE bool credentials_scram(struct credentials *c, struct str account, enum hash_kind hash,
                                struct scram_secret *out, struct err *e);
MUST_USE bool credentials_cram_md5(struct credentials *c, struct str account,
                                   unsigned char out[HMAC_MD5_STATES], struct err *e);
/* Removes what an account logged in with, and what was tried. */
MUST_USE bool credentials_forget(struct credentials *c, struct str account, struct err *e);
/* 32 random bytes that stay the same as long as the database does. */
MUST_USE bool credentials_secret(struct credentials *c, const char *name, unsigned char out[32],
                                 struct err *e);

/* --- keys of clients ------------------------------------------------------------------------------ */

struct client_key {
    struct str fingerprint; // SHA-256 of the SubjectPublicKeyInfo
    struct str type, name, cert, account, login;
    bool no_imap_preauth;
};
/* ERR_NOT_FOUND when there is none. */
MUST_USE bool client_key_get(struct credentials *c, struct arena *a, struct str fingerprint,
                             struct client_key *out, struct err *e);
/* ERR_CONFLICT when there is one of this fingerprint. */
MUST_USE bool client_key_add(struct credentials *c, const struct client_key *k, struct err *e);
MUST_USE bool client_key_remove(struct credentials *c, struct str fingerprint, struct err *e);
MUST_USE bool client_key_count(struct credentials *c, struct str account, uint64_t *out,
                               struct err *e);
/* The next key after that number (0: the first), of an account or of all; *number 0 at the end. */
MUST_USE bool client_key_next(struct credentials *c, struct arena *a, struct str account,
                              uint64_t after, uint64_t *number, struct client_key *out,
                              struct err *e);

/* --- attempts ------------------------------------------------------------------------------------- */

enum {
    ATTEMPT_DAYS = 30,           // how long they are kept
    ATTEMPT_MAX_FAILED = 10000,  // of an account; the oldest go
};

struct login_attempt {
    struct str account, login, remote_ip, local_ip, tls, client_key, protocol, mechanism, result;
};
/* Notes attempts, all in one transaction; equal ones are counted. Drops what is too much. */
MUST_USE bool credentials_note(struct credentials *c, const struct login_attempt *attempts,
                               size_t n, struct err *e);
/* Attempts that another server has noted, all in one transaction; those that are here stay as they are. */
struct login_attempts {
    struct login_attempt what;
    int64_t first_unix, last_unix;
    uint64_t count;
};
MUST_USE bool credentials_adopt_attempts(struct credentials *c, const struct login_attempts *attempts, size_t n,
                                         uint64_t *n_new, struct err *e);
/* Drops what is too old. */
MUST_USE bool credentials_prune(struct credentials *c, struct err *e);
