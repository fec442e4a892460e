/*
 * The public suffix list: where names under which anyone may register end, and whose a name is.
 *
 * Only the ICANN section counts, as upstream has it; a top-level domain that is not in the list is
 * a public suffix (its rule is "*").
 */
#pragma once

#include "base/str.h"

/*
 * Opens the newest list of the system, if that is newer than the one that is built in. It is for
 * before the sandbox; without it the built-in list is used.
 */
void psl_warm(void);

/*
 * The organisational domain (RFC 7489 3.2): the public suffix and one label, a part of domain, which
 * is in A-labels or U-labels and lower case, without a final dot. A public suffix is its own.
 */
struct str psl_organizational(struct str domain);
bool psl_is_suffix(struct str domain);

/* For tests: the list of this file, until the process ends. */
MUST_USE bool psl_load(const char *path);
