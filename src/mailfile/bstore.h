/*
 * Records of bstore, the layer above bbolt in which upstream declares its tables as types. Pure.
 *
 * A type is a bucket with two buckets in it: "types" has a JSON description of each version of the type,
 * "records" has for each primary key the number of the version that wrote it, a bitmap of the fields that are
 * not zero, and these, in the order of the description. Fields are found by name, whatever the version.
 */
#pragma once

#include "base/arena.h"
#include "mailfile/bolt.h"

struct bstore_version;
struct bstore_type {
    struct bolt_bucket records;
    struct bstore_version *versions;
    size_t n, cap;
};
/* ERR_NOT_FOUND: the file has no such type. */
MUST_USE bool bstore_type_read(const struct bolt *b, struct arena *a, struct str name,
                               struct bstore_type *out, struct err *e);

/*
 * A field of a record, with all that is in it. Zero values are not set. Texts point into the file, the rest is
 * of this record.
 */
struct bstore_field;
struct bstore_value {
    bool is_set;
    uint64_t number; // of all kinds of numbers, signed ones as they are cast; true is 1
    int64_t unix_seconds; // of a time
    struct str text;      // of strings and bytes
    struct bstore_value *items; // of a list; of a map: keys and values in turn; of a struct: its fields
    size_t n_items;
    const struct bstore_field *fields; // of a struct, in the same order
};
/* What is in a struct, in a struct of that, and so on: "Domain.ASCII". Not set when there is none. */
const struct bstore_value *bstore_in(const struct bstore_value *v, const char *path);
struct bstore_record {
    struct str key, bytes; // as they are in the file
    const struct bstore_value *values; // of the wanted fields, in that order
    struct arena *a;                   // of this record
};
typedef bool bstore_fn(void *ctx, const struct bstore_record *r, struct err *e);
/* The names of the fields that are read from now on; others are passed over. */
MUST_USE bool bstore_want(const struct bstore_type *type, const char *const *names, size_t n, struct err *e);
MUST_USE bool bstore_each(const struct bolt *b, const struct bstore_type *type, bstore_fn *fn, void *ctx,
                          struct err *e);
/* One record, of which key and bytes are known. */
MUST_USE bool bstore_read(const struct bstore_type *type, struct str key, struct str bytes, bstore_fn *fn,
                          void *ctx, struct err *e);
