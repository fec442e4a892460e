/*
 * Fields of a message from outside that only this server writes: what it found out about a sender, and
 * why it took a message. Who sends them along wants to be believed; they are removed before ours are
 * put in (RFC 8601 5).
 */
#pragma once

#include "base/arena.h"
#include "base/str.h"

struct claim {
    size_t start, n; // whole lines of the header
};

/*
 * Finds them in a header, in their order, in the arena. host: our name, as in our fields. Lines count
 * that some readers take for a field, with blanks before the colon.
 */
size_t claims_find(struct arena *a, struct str header, struct str host, struct claim **out);
