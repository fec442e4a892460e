/*
 * Regular expressions of the configuration, with limits against catastrophic backtracking.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Whether pattern is one. ERR_SYNTAX with what is wrong and where. */
MUST_USE bool regex_check(struct str pattern, struct err *e);

/* A compiled one. Matching gives up after bounded work, and then says no. */
struct regex;
struct regex *regex_new(struct str pattern, struct err *e);
void regex_free(struct regex *r);
/* Whether it is found anywhere in text, which should be UTF-8. */
bool regex_finds(const struct regex *r, struct str text);
/* Where it is found first: from `begin` to before `end`. */
bool regex_find(const struct regex *r, struct str text, size_t *begin, size_t *end);
/*
 * Appends text with each part in which it is found replaced. In the replacement $1, ${1} and ${name} stand
 * for groups, $$ for a dollar; $1x is the group "1x". A group that does not exist or matched nothing is
 * empty. False, and nothing appended, when it is not found.
 */
MUST_USE bool regex_replace(const struct regex *r, struct str text, struct str replacement,
                            struct buf *out);
