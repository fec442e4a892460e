/*
 * The MIME tree of a message, made in one pass over its bytes with bounded memory.
 *
 * Feed blocks of any size; the tree does not depend on where they are cut. A message never fails
 * to parse: what is broken beyond repair makes the whole message one application/octet-stream
 * part, with its header fields and envelope kept.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "message/header.h"

enum {
    MIME_MAX_PARTS = 10000,
    MIME_MAX_DEPTH = 100,
    MIME_MAX_HEADER = 256 * 1024, // bytes of one header block that are looked at
    MIME_MAX_BOUNDARY = 200,      // RFC 2046 5.1.1 says 70
    MIME_MAX_TEXT = 4 << 20,      // bytes of kept header fields, of all parts: after that no more parts
    MIME_MEMORY = 64 << 20,       // what a tree may take
};

/* The header fields of a message that lists show. Texts are raw values, unfolded. */
struct envelope {
    struct str date, subject, from, sender, reply_to, to, cc, bcc, in_reply_to, message_id;
    struct str references, list_id;
};

struct part {
    uint64_t header_start, body_start, body_end; // offsets in the message
    uint64_t lines;                              // line ends in the body
    struct str type, subtype;                    // lower case; empty when there is no Content-Type
    struct params params;
    struct str encoding; // lower case; empty when there is none
    struct str id, description, md5, language, location;
    struct str disposition; // lower case
    struct params disposition_params;
    struct envelope *envelope; // of the message itself and of embedded ones
    bool is_multipart;
    bool is_message;       // its one child is an embedded message
    struct part *child;    // first
    struct part *next;     // sibling
};

struct mime_parser;

/* The tree and all its texts live in a. */
struct mime_parser *mime_parser_new(struct arena *a);
void mime_parser_feed(struct mime_parser *p, struct str bytes);
/* The tree; the parser is freed. is_broken tells that the structure was given up. */
struct part *mime_parser_end(struct mime_parser *p, bool *is_broken);
/* Makes the whole message one application/octet-stream part; its header fields and envelope stay. */
void part_make_opaque(struct part *root);

/* All at once. */
struct part *mime_parse(struct arena *a, struct str bytes, bool *is_broken);

/* True for text/plain and for parts without a usable type. */
bool part_is_text(const struct part *p);

/*
 * The tree as bytes for the store, and back. Decoding checks every length and count, and copies
 * nothing: texts point into bytes.
 */
void part_encode(struct buf *out, const struct part *p);
/* Where the header of the whole message ends, without decoding the rest. */
MUST_USE bool part_decode_header_end(struct str bytes, uint64_t *out, struct err *e);
MUST_USE bool part_decode(struct arena *a, struct str bytes, struct part **out, struct err *e);
