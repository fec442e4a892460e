/*
 * JSON from outside, read by jansson with a bound on what it may come to in memory.
 */
#pragma once

#include <jansson.h>

#include "base/arena.h"
#include "base/err.h"

/*
 * A text of JSON (RFC 8259) with at most max_values values; members of one name twice are malformed. The
 * caller gives it back with json_decref. NULL with ERR_SYNTAX or ERR_LIMIT.
 */
MUST_USE json_t *json_read(struct str text, size_t max_values, struct err *e);

/* The string that is a member of object; empty when there is none. It points into object. */
struct str json_text_at(const json_t *object, const char *name);
