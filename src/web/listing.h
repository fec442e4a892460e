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

/* A page that is made piece by piece: as text it is many times as long as what it is made of. */
struct listing {
    struct str path; // ends with a slash
    struct listing_entry *entries;
    size_t n;
    bool has_more; // that are not listed
    enum { LISTING_HEAD, LISTING_ENTRIES, LISTING_TAIL, LISTING_DONE } at; // what comes next
    size_t next;   // entry
};

enum { LISTING_PIECE = 16 * 1024 }; // no piece is longer

/* The next piece; nothing more comes when it is empty. The first one sorts the entries by name. All text is escaped. */
void listing_put(struct buf *out, struct listing *l);
