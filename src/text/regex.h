/*
 * Regular expressions of the configuration, with limits against catastrophic backtracking.
 */
#pragma once

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
