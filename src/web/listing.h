/*
 * The page that lists a directory.
 */
#pragma once

#include "base/buf.h"

struct listing_entry {
    struct str name;
    bool is_dir;
    uint64_t size;
    int64_t modified; // unix seconds
};

/* path ends with a slash; entries are sorted here, by name. All text is escaped. */
void listing_put(struct buf *out, struct str path, struct listing_entry *entries, size_t n);
