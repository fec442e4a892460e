/*
 * The Sender Rewriting Scheme: the envelope sender of mail that is passed on is an address of ours, so
 * that SPF of whoever gets it passes, and what comes back to it is returned to who sent it.
 *
 *     user@example.org        becomes  SRS0=hash=day=example.org=user@ours
 *     SRS0=...@relay.example  becomes  SRS1=hash=relay.example==...@ours
 *
 * The hash is made with a key that only we have, and the day ends: nobody can have us return to an address
 * what never was passed on from it. Both are compared without regard to case, which some servers change.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    SRS_KEY_BYTES = 32,
    SRS_DAYS = 21, // for which bounces are returned
};

/*
 * Appends the new localpart. localpart is unquoted. ERR_SYNTAX for an address that cannot be rewritten
 * so that it comes back.
 */
MUST_USE bool srs_forward(const unsigned char key[SRS_KEY_BYTES], int64_t now_unix,
                          struct str localpart, struct str domain, struct buf *out, struct err *e);
/* Whether a localpart is one of SRS at all. */
bool srs_is(struct str localpart);
/*
 * Whom a message to such a localpart is returned to. ERR_DENIED when it was not made with our key, or too
 * long ago.
 */
MUST_USE bool srs_reverse(const unsigned char key[SRS_KEY_BYTES], int64_t now_unix, struct arena *a,
                          struct str localpart, struct str *out_localpart, struct str *out_domain,
                          struct err *e);
