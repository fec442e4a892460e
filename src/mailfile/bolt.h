/*
 * Reading a file of the key-value store bbolt, in which upstream keeps its tables. Pure: the file is bytes.
 *
 * A file is pages. Two of them, the first, are meta pages, of which the one with the later transaction and
 * a right checksum counts; it names the page of the root bucket. A bucket is a tree of branch pages above
 * leaf pages with keys and values in order; a value may be a bucket in turn, small ones lie in the value.
 * What a page says is checked against the file's size, and no walk looks at more pages than the file has.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct bolt {
    struct str file;
    uint64_t page_size, n_pages, root;
};
struct bolt_bucket {
    uint64_t root;   // its page; 0: it is inline
    struct str page; // then
};

/* ERR_SYNTAX when it is no such file, or not whole. The bytes must stay. */
MUST_USE bool bolt_open(struct bolt *b, struct str file, struct err *e);

/* bucket: what the value is, or NULL when it is plain. False with *e set ends the walk. */
typedef bool bolt_fn(void *ctx, struct str key, struct str value, const struct bolt_bucket *bucket,
                     struct err *e);
/* Everything in a bucket (NULL: the root), in order. Texts point into the file. */
MUST_USE bool bolt_each(const struct bolt *b, const struct bolt_bucket *bucket, bolt_fn *fn, void *ctx,
                        struct err *e);
/* The bucket of that name in another one. ERR_NOT_FOUND. */
MUST_USE bool bolt_find(const struct bolt *b, const struct bolt_bucket *in, struct str name,
                        struct bolt_bucket *out, struct err *e);
