/*
 * Owned bytes that grow up to a limit: what we write to a peer, a file or a message is built here.
 *
 * Past the limit nothing more is added and `full` stays set; ask once, when done.
 */
#pragma once

#include "base/compiler.h"
#include "base/str.h"

struct buf {
    char *p;
    size_t n, cap, limit;
    bool full; // something did not fit
};

#define BUF_LIMIT(limit_bytes)                                                                     \
    {                                                                                              \
        .limit = (limit_bytes)                                                                     \
    }
#define AUTO_BUF CLEANUP(buf_fini) struct buf

void buf_fini(struct buf *b);
/* Forgets the content and keeps the memory. */
void buf_reset(struct buf *b);

void buf_put(struct buf *b, struct str s);
/* One byte; buf_put_growing is for when there may be no room yet. */
void buf_put_growing(struct buf *b, char c);
static inline void buf_put_char(struct buf *b, char c)
{
    if (b->n < b->cap && b->n < b->limit && !b->full)
        b->p[b->n++] = c;
    else
        buf_put_growing(b, c);
}
void buf_put_u64(struct buf *b, uint64_t v);
/* Formatted text; text from outside goes through buf_put instead, since printf stops at a NUL. */
void buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
/* A literal. */
#define BUF_PUT(b, literal) buf_put((b), STR(literal))

/* Room for n more bytes to be written at the returned address and then claimed with buf_claim. */
char *buf_room(struct buf *b, size_t n);
void buf_claim(struct buf *b, size_t n);
/* Drops the first n bytes. */
void buf_drop(struct buf *b, size_t n);

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->p ? b->p : "", b->n};
}
