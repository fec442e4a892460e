/*
 * What the files about upstream's databases share.
 */
#pragma once

#include "mailfile/bstore.h"

struct upstream_table {
    const char *name;
    bool is_needed;
    bstore_fn *fn;
    const char *const *wanted;
    size_t n;
};
#define UPSTREAM_WANTED(...)                                                                       \
    (const char *const[]){__VA_ARGS__}, COUNT(((const char *const[]){__VA_ARGS__}))

MUST_USE bool upstream_tables_read(struct str file, const struct upstream_table *tables, size_t n, void *ctx,
                                   struct err *e);
/* The A-labels of a domain, which is in Unicode there; empty when it is none. */
struct str upstream_ascii(struct arena *a, struct str domain);
