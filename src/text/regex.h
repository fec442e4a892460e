/*
 * Regular expressions of the configuration, with limits against catastrophic backtracking.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* Whether pattern is one. ERR_SYNTAX with what is wrong and where. */
MUST_USE bool regex_check(struct str pattern, struct err *e);
