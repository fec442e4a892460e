/*
 * The addresses by which a program under test asks localserve to fail
 * (mox-imap-store-cli-config.md 3.6).
 */
#pragma once

#include "base/str.h"

/* Where it fails: the beginning of the localpart says so. */
enum special_stage {
    SPECIAL_MAIL,    // "mailfrom..."
    SPECIAL_RCPT,    // "rcptto..."
    SPECIAL_SUBMIT,  // when a submission is complete: neither of those, nor "queue..."
    SPECIAL_DELIVER, // when a message is delivered: neither of the first two
};
/* How it fails: the end of the localpart says so. Code 0: not at all. */
struct special {
    unsigned code;
    bool is_timeout; // no answer for an hour, then the code
};
enum { SPECIAL_TIMEOUT_MS = 3600 * 1000 };

struct special special_of(struct str localpart, enum special_stage stage);
