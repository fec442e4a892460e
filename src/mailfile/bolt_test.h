/* A bbolt database for tests, of one leaf page whose buckets are inside of it. */
#pragma once

#include "base/buf.h"

enum { BOLT_TEST_PAGE = 1024 };

struct bolt_test_item {
    struct str key, value;
    bool is_bucket;
};

static inline void bolt_test_number(struct buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_put_char(b, (char)(unsigned char)(v >> 8 * i));
}

static inline void bolt_test_page(struct buf *b, uint64_t id, uint64_t flags, size_t count, size_t overflow)
{
    bolt_test_number(b, id, 8);
    bolt_test_number(b, flags, 2);
    bolt_test_number(b, count, 2);
    bolt_test_number(b, overflow, 4);
}

// Elements say where their key and value are, counted from themselves.
static inline void bolt_test_elements(struct buf *b, const struct bolt_test_item *items, size_t n)
{
    size_t data = n * 16;

    for (size_t i = 0; i < n; i++) {
        bolt_test_number(b, items[i].is_bucket, 4);
        bolt_test_number(b, data - i * 16, 4);
        bolt_test_number(b, items[i].key.n, 4);
        bolt_test_number(b, items[i].value.n, 4);
        data += items[i].key.n + items[i].value.n;
    }
    for (size_t i = 0; i < n; i++) {
        buf_put(b, items[i].key);
        buf_put(b, items[i].value);
    }
}

/* The value of a bucket that holds these. */
static inline void bolt_test_bucket(struct buf *b, const struct bolt_test_item *items, size_t n)
{
    bolt_test_number(b, 0, 8);
    bolt_test_number(b, 0, 8);
    bolt_test_page(b, 0, 2, n, 0);
    bolt_test_elements(b, items, n);
}

/* The whole file. */
static inline void bolt_test_file(struct buf *b, const struct bolt_test_item *items, size_t n)
{
    AUTO_BUF elements = BUF_LIMIT(64 << 20);
    uint64_t sum = 14695981039346656037u;
    size_t pages;

    bolt_test_elements(&elements, items, n);
    pages = (16 + elements.n + BOLT_TEST_PAGE - 1) / BOLT_TEST_PAGE;
    bolt_test_page(b, 0, 4, 0, 0);
    bolt_test_number(b, 0xED0CDAED, 4); // magic
    bolt_test_number(b, 2, 4);          // version
    bolt_test_number(b, BOLT_TEST_PAGE, 4);
    bolt_test_number(b, 0, 4);
    bolt_test_number(b, 2, 8);          // the root
    bolt_test_number(b, 0, 8);          // its sequence
    bolt_test_number(b, UINT64_MAX, 8); // no list of free pages
    bolt_test_number(b, 2 + pages, 8);
    bolt_test_number(b, 1, 8);          // the transaction
    for (size_t i = 16; i < b->n; i++)
        sum = (sum ^ (unsigned char)b->p[i]) * 1099511628211u;
    bolt_test_number(b, sum, 8);
    while (b->n < 2 * BOLT_TEST_PAGE)
        buf_put_char(b, 0);
    bolt_test_page(b, 2, 2, n, pages - 1);
    buf_put(b, buf_str(&elements));
    while (b->n < (2 + pages) * BOLT_TEST_PAGE)
        buf_put_char(b, 0);
}
