/*
 * Lists of tags, "v=1; a=rsa-sha256; ..." (RFC 6376 3.2): of DKIM's signatures and key records, and
 * of ARC.
 *
 * Values are where they stand in the text, folded, so that one of them can be cut out of a header
 * field. Names are compared exactly. A tag that is there twice makes the list malformed.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

enum { TAG_LIST_MAX_TAGS = 50, TAG_LIST_MAX_BYTES = 64 * 1024 };

struct tag {
    struct str name;
    struct str value; // without white space at its ends
    struct str field; // all between "=" and ";"
};

struct tag_list {
    struct tag tags[TAG_LIST_MAX_TAGS];
    size_t n;
};

/* All of text. ERR_SYNTAX, or ERR_LIMIT past the limits above. */
MUST_USE bool tag_list_parse(struct str text, struct tag_list *out, struct err *e);
/* NULL when it is not there. */
const struct tag *tag_find(const struct tag_list *list, const char *name);
/* Its value; empty when it is not there. */
struct str tag_value(const struct tag_list *list, const char *name);

/* White space inside too is left out. */
struct str tag_without_space(struct arena *a, struct str value);
/* base64string (RFC 6376 2.10): not empty, white space anywhere. */
MUST_USE bool tag_base64(struct arena *a, struct str value, struct str *out);
/*
 * The next part of a list with colons, white space around it left out; false at the end. Start with
 * *rest the whole value, which has at least one part, if empty.
 */
bool tag_part(struct str *rest, struct str *part);
/* Whether a list with colons has the word, in any case. */
bool tag_has_part(struct str value, struct str word);
