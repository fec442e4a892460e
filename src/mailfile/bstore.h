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

/* A field of a record. Zero values are not set. */
struct bstore_value {
    bool is_set;
    uint64_t number; // of all kinds of numbers, signed ones as they are cast; true is 1
    int64_t unix_seconds; // of a time
    struct str text;      // of strings and bytes; points into the file
    struct str *items;    // of a list of strings
    size_t n_items;
};
/* values: those of the wanted fields, in that order. a: of this record. */
typedef bool bstore_fn(void *ctx, struct arena *a, const struct bstore_value *values, struct err *e);
MUST_USE bool bstore_each(const struct bolt *b, const struct bstore_type *type, const char *const *wanted,
                          size_t n, bstore_fn *fn, void *ctx, struct err *e);
