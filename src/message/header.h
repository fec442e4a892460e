/*
 * Header fields of a message: walking a block of them, unfolding, addresses, parameters and
 * encoded words. Lenient where mail in the wild is broken, bounded everywhere.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/cur.h"
#include "base/err.h"

enum {
    HEADER_MAX_ADDRESSES = 10000, // of one field; the rest is left out
    HEADER_MAX_PARAMS = 200,
    HEADER_MAX_COMMENT_DEPTH = 50,
};

struct header_field {
    struct str name;  // without the colon
    struct str value; // raw, folded, without the last line end
    struct str raw;   // the whole field with its line ends
};
/* Takes the next field. Lines that are none (no colon, blank before it) are passed over. */
MUST_USE bool header_next(struct cur *c, struct header_field *out);
/* Takes the next line with those that continue it: a field, or one that is none. */
struct str header_take_folded(struct cur *c);
/* The first field of that name. */
bool header_find(struct str block, struct str name, struct header_field *out);
/* How many fields have that name. */
size_t header_count(struct str block, struct str name);
/*
 * Whether every line of the block is a field or continues one, with nothing between name and colon
 * (RFC 5322 2.2, without the obsolete forms of 4.5), each ended by CR LF.
 */
bool header_is_strict(struct str block);
/* The value on one line: line ends removed, trimmed (RFC 5322 2.2.3). */
struct str header_unfold(struct arena *a, struct str value);

struct address {
    struct str name;      // display name as written, unquoted, not decoded; may be empty
    struct str localpart; // unquoted
    struct str domain;    // empty when there is none
    // Where address_parse_groups found a group to begin (name is the group's) and to end.
    enum { ADDRESS_MAILBOX, ADDRESS_GROUP_START, ADDRESS_GROUP_END } kind;
};
struct address_list {
    struct address *items;
    size_t n, cap;
    bool has_errors; // something was passed over or forgiven
    bool is_guessed; // words were left out, or put together, that may have been addresses of their own
};
/* RFC 5322 3.4, with groups flattened, obsolete forms and UTF-8 (RFC 6532). Never fails. */
void address_parse_list(struct arena *a, struct str text, struct address_list *out);
/* The same with groups told: each start has its end. */
void address_parse_groups(struct arena *a, struct str text, struct address_list *out);
/* addr-spec alone, such as an envelope's: false unless the whole text is one. */
MUST_USE bool address_parse_spec(struct arena *a, struct str text, struct address *out);
/* The localpart as it is written before an "@", quoted when it must be. */
void address_put_localpart(struct buf *out, struct str localpart);

struct param {
    struct str name;  // lower case
    struct str value; // decoded (RFC 2231), UTF-8
};
struct params {
    struct param *items;
    size_t n, cap;
};
/* "; name=value; ..." from c to the end; what is malformed is passed over. */
void param_parse(struct arena *a, struct cur *c, struct params *out);
struct str param_get(const struct params *p, struct str name);

/* RFC 2047: text with its encoded words as UTF-8. */
struct str encoded_word_decode(struct arena *a, struct str text);

/* Comments and white space, with a cap on depth. */
void header_skip_cfws(struct cur *c);
/* A token of RFC 2045 5.1, possibly empty. */
struct str header_token(struct cur *c);

/* Appends "name: value\r\n" folded at 77 columns. ERR_SYNTAX for CR, LF or NUL in either. */
MUST_USE bool header_put(struct buf *out, struct str name, struct str value, struct err *e);
