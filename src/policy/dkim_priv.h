/*
 * What DKIM and ARC share: canonicalisation, hashing, and the parts of a signature.
 */
#pragma once

#include "policy/dkim.h"
#include "policy/tag_list.h"

/* --- canonicalisation (RFC 6376 3.4) ---------------------------------------------------------- */

/* A whole field, with its line ends. */
void dkim_canon_field(struct buf *out, struct str raw, bool is_relaxed);
/* A field that holds a signature, without b_field, which is a part of it, and without its line end.
 */
void dkim_canon_signature(struct buf *out, struct str raw, struct str b_field, bool is_relaxed);

/* A body, block by block; put gets what comes out. Start with is_relaxed, put and ctx set. */
struct dkim_canon_body {
    bool is_relaxed;
    void (*put)(void *ctx, struct str bytes);
    void *ctx;
    bool has_cr;      // the last byte is one, and may begin a line end
    bool has_space;   // relaxed: blanks that may turn out to end a line
    bool has_content; // something was put
    uint64_t n_lines; // line ends that may turn out to end the body
};
void dkim_canon_body_feed(struct dkim_canon_body *c, struct str block);
void dkim_canon_body_end(struct dkim_canon_body *c);

struct dkim_body_hash {
    bool is_relaxed;
    bool is_done;           // false: the body is shorter than length
    uint64_t length, total; // octets hashed; of the canonical body
    unsigned char digest[SHA256_BYTES];
};
enum { DKIM_MAX_BODY_HASHES = 64 };
#define DKIM_WHOLE_BODY UINT64_MAX
/* The hash of that many octets of the body, from dkim_bodies_end on. Equal wants share it. */
const struct dkim_body_hash *dkim_bodies_want(struct dkim_bodies *b, bool is_relaxed,
                                              uint64_t length);
/* One that was wanted. */
const struct dkim_body_hash *dkim_bodies_get(const struct dkim_bodies *b, bool is_relaxed,
                                             uint64_t length);

/* --- header ----------------------------------------------------------------------------------- */

struct dkim_field {
    struct str raw, name, value; // name: as written
    size_t above;                // number of the next field of that name upwards, from 1; 0: none
};
struct dkim_name {
    struct str name;    // lower case
    size_t last, count; // number of its lowest field, from 1; how many there are
    size_t next;        // while fields are selected: as in round
    unsigned round;
};
struct dkim_header {
    struct dkim_field *fields;
    size_t n, cap;
    struct dkim_name *names; // a table by hash, a power of two
    size_t n_names;
    unsigned round;
};
/* NULL when there is no such field. */
struct dkim_name *dkim_header_name(struct dkim_header *h, struct str name);

/* Hashes the fields that h= selects, from the lowest up; not number skip (from 1; 0: none). */
void dkim_hash_fields(struct sha256 *hash, struct dkim_header *h, const struct str *names, size_t n,
                      size_t skip, bool is_relaxed);
void dkim_hash_signature(struct sha256 *hash, struct str raw, struct str b_field, bool is_relaxed);

/* --- signatures ------------------------------------------------------------------------------- */

/* a=, b=, d=, s=, which all have. */
MUST_USE bool dkim_parse_common(struct arena *a, const struct tag_list *tags,
                                struct dkim_signature *out, struct err *e);
/* And those of DKIM-Signature and ARC-Message-Signature. */
MUST_USE bool dkim_parse_message_tags(struct arena *a, const struct tag_list *tags,
                                      bool allows_empty_names, struct dkim_signature *out,
                                      struct err *e);
/* 1*12DIGIT of t= and x=; absent is -1. */
MUST_USE bool dkim_parse_time(const struct tag_list *tags, const char *name, int64_t *out,
                              struct err *e);
bool dkim_signs(const struct dkim_signature *s, struct str name);

/*
 * The key of a signature, and whether it verifies a digest: AUTH_PASS, or why not. Sets of *out
 * what is known.
 */
struct dkim_key {
    struct dkim_lookup lookup;
    struct public_key *key; // when the lookup passed and the key is usable; to be freed
    struct str why;
    enum auth_result status;
};
void dkim_key_get(const struct dns *dns, struct arena *a, const struct dkim_signature *s,
                  struct dkim_key *out);
void dkim_key_prefetch(const struct dns *dns, struct arena *a, const struct dkim_signature *s);

/* --- writing ---------------------------------------------------------------------------------- */

/* A header field made of tags, folded at 76 columns. */
struct tag_writer {
    struct buf *out;
    size_t start, column;
    size_t b_at; // offset in out of the value of b=
    bool is_first, folds_next;
};
void tag_writer_begin(struct tag_writer *w, struct buf *out, const char *field);
void tag_put(struct tag_writer *w, const char *name, struct str value);
void tag_put_number(struct tag_writer *w, const char *name, uint64_t value);
/* A list with colons, folded between its parts when folds. */
void tag_put_names(struct tag_writer *w, const char *name, const struct str *parts, size_t n);
/* b=, empty; what follows begins a new line. */
void tag_put_b(struct tag_writer *w);
/*
 * Signs and writes the signature into b=, and the line end. hash has what goes before the field
 * itself, which is hashed here.
 */
MUST_USE bool tag_writer_sign(struct tag_writer *w, struct sha256 *hash, bool is_relaxed,
                              const struct dkim_signer *signer, struct err *e);
