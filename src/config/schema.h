/*
 * What may stand in mox.conf and domains.conf: one table of fields for checking and describing.
 */
#pragma once

#include "config/sconf.h"

enum field_type {
    FIELD_STRING,
    FIELD_BOOL,
    FIELD_INT,
    FIELD_FLOAT,
    FIELD_DURATION,
    FIELD_STRUCT, // of `of`
    FIELD_LIST,   // of `item`
    FIELD_MAP,    // from any key to `item`
};

struct schema;
struct field {
    const char *name;
    enum field_type type, item;
    const struct schema *of; // for FIELD_STRUCT, or items that are one
    bool is_optional;
    const char *doc; // NULL: no comment
};
struct schema {
    const struct field *fields;
    size_t n;
};

extern const struct schema schema_static;  // mox.conf
extern const struct schema schema_dynamic; // domains.conf
extern const struct schema schema_submit;  // moxsubmit.conf

/* Form: unknown and missing fields, types of values. */
void schema_check(const struct schema *s, const struct sconf *file, struct problems *problems);

/* The annotated empty file of `mox config describe-static` and `describe-domains`. */
void schema_describe(const struct schema *s, struct buf *out);
