/*
 * A FETCH that is running, for the files that implement it.
 */
#pragma once

#include "message/mime.h"
#include "role/account/imap_conn.h"

struct fetching {
    struct imap_conn *c;
    const struct imap_fetch *items;
    struct str **sorted; // of each item its field names, in order
    struct store_texts *texts;
    bool is_reading; // in a read transaction, which is never held while the client is waited for

    // Of the message in progress; what is expensive is read when first needed.
    const struct view_row *row;
    struct arena a;
    struct store_text text;
    bool has_text;
    struct part *root;
    struct buf header; // the bytes of [header_start, header_end), for chosen fields
    uint64_t header_start, header_end;

    // What part of the messages could not be told: a NO at the end.
    const char *refused_code;
    struct str refused;
};

/* --- imap_fetch.c ---------------------------------------------------------------------------------- */

MUST_USE bool fetch_begin_reading(struct fetching *f, struct err *e);
MUST_USE bool fetch_need_text(struct fetching *f, struct err *e);
MUST_USE bool fetch_need_tree(struct fetching *f, struct err *e);
/* Writes what is waiting when it is much; false when the client is gone. */
MUST_USE bool fetch_flush(struct fetching *f);

/* --- imap_section.c -------------------------------------------------------------------------------- */

/* Sorted names of the items' header fields. */
void fetch_sort_fields(struct fetching *f);
/* BODY[...], RFC822.HEADER and the like. */
MUST_USE bool fetch_put_section(struct fetching *f, size_t item, struct err *e);
/* BINARY[...], BINARY.SIZE[...], for which fetch_can_decode was true. */
MUST_USE bool fetch_put_binary(struct fetching *f, const struct imap_fetch_item *item,
                               struct err *e);
/* Whether all items of the message can be decoded; otherwise f->refused, or *e, says why not. */
MUST_USE bool fetch_can_decode(struct fetching *f, struct err *e);
