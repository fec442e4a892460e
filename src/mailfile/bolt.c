#include "mailfile/bolt.h"

enum {
    PAGE_HEADER = 16, // id u64, flags u16, count u16, overflow u32
    ELEMENT = 16,     // leaf: flags, pos, key size, value size, each u32; branch: pos, key size, page u64
    BUCKET_HEADER = 16, // root u64, sequence u64
    META_BYTES = 64,
    META_SUMMED = 56, // of these, what the checksum behind them is of
    MOST_DEPTH = 32,
    LEAST_PAGE = 1024,
    MOST_PAGE = 65536,
};
enum { FLAG_BRANCH = 1, FLAG_LEAF = 2, FLAG_META = 4 };
enum { ELEMENT_IS_BUCKET = 1 };
static const uint32_t magic = 0xED0CDAED, version = 2;

// Little-endian, as on all machines that upstream runs on. The caller has looked that it is there.
static uint64_t number(struct str s, size_t at, size_t n)
{
    uint64_t v = 0;

    for (size_t i = n; i-- > 0;)
        v = v << 8 | (unsigned char)s.p[at + i];
    return v;
}

static uint64_t fnv1a(struct str s)
{
    uint64_t h = 14695981039346656037u;

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 1099511628211u;
    return h;
}

struct meta {
    uint64_t page_size, root, n_pages, transaction;
};

static bool read_meta(struct str file, size_t at, struct meta *out)
{
    struct str page = str_from(file, at), meta;

    if (page.n < PAGE_HEADER + META_BYTES || !(number(page, 8, 2) & FLAG_META))
        return false;
    meta = str_from(page, PAGE_HEADER);
    if (number(meta, 0, 4) != magic || number(meta, 4, 4) != version ||
        number(meta, META_SUMMED, 8) != fnv1a(str_sub(meta, 0, META_SUMMED)))
        return false;
    *out = (struct meta){number(meta, 8, 4), number(meta, 16, 8), number(meta, 40, 8),
                         number(meta, 48, 8)};
    return out->page_size >= LEAST_PAGE && out->page_size <= MOST_PAGE &&
           !(out->page_size & (out->page_size - 1)) && (at == 0 || at == out->page_size);
}

bool bolt_open(struct bolt *b, struct str file, struct err *e)
{
    struct meta best = {0}, meta;

    if (read_meta(file, 0, &meta))
        best = meta;
    // Where the second one is, the first says; it may be the one that is broken. Elsewhere are bytes of mail, in
    // which a sender could have put one.
    for (size_t at = LEAST_PAGE; at <= MOST_PAGE && at < file.n; at *= 2)
        if ((!best.page_size || at == best.page_size) && read_meta(file, at, &meta) &&
            (!best.page_size || meta.transaction > best.transaction))
            best = meta;
    if (!best.page_size)
        return fail(e, ERR_SYNTAX, "this is no bbolt database, or it is damaged");
    if (best.n_pages > file.n / best.page_size)
        return fail(e, ERR_SYNTAX, "the bbolt database is cut off");
    *b = (struct bolt){file, best.page_size, best.n_pages, best.root};
    return true;
}

struct walk {
    const struct bolt *b;
    bolt_fn *fn;
    void *ctx;
    uint64_t pages_left;
};

// A page with what overflows from it.
static bool page_of(struct walk *w, uint64_t id, struct str *out, struct err *e)
{
    const struct bolt *b = w->b;
    struct str head;
    uint64_t n;

    if (id < 2 || id >= b->n_pages)
        return fail(e, ERR_SYNTAX, "bbolt: there is no page %llu", (unsigned long long)id);
    head = str_sub(b->file, (size_t)(id * b->page_size), (size_t)b->page_size);
    n = 1 + number(head, 12, 4);
    if (n > b->n_pages - id)
        return fail(e, ERR_SYNTAX, "bbolt: page %llu is longer than the file", (unsigned long long)id);
    if (n > w->pages_left)
        return fail(e, ERR_SYNTAX, "bbolt: pages refer to each other in a circle");
    w->pages_left -= n;
    if (number(head, 0, 8) != id)
        return fail(e, ERR_SYNTAX, "bbolt: page %llu says that it is another", (unsigned long long)id);
    *out = str_sub(b->file, (size_t)(id * b->page_size), (size_t)(n * b->page_size));
    return true;
}

static bool inline_bucket(struct str value, struct bolt_bucket *out, struct err *e)
{
    if (value.n < BUCKET_HEADER)
        return fail(e, ERR_SYNTAX, "bbolt: a bucket is cut off");
    *out = (struct bolt_bucket){.root = number(value, 0, 8)};
    if (!out->root)
        out->page = str_from(value, BUCKET_HEADER);
    return out->root || out->page.n >= PAGE_HEADER || fail(e, ERR_SYNTAX, "bbolt: a bucket is cut off");
}

// bytes_left: keys and values of a page do not overlap, so that all of them are no more than the page.
static bool leaf_element(struct walk *w, struct str page, size_t at, uint64_t *bytes_left, struct err *e)
{
    uint64_t flags = number(page, at, 4), pos = number(page, at + 4, 4), key = number(page, at + 8, 4),
             value = number(page, at + 12, 4);
    struct bolt_bucket bucket;
    struct str k, v;

    if (key + value > *bytes_left || at + pos > page.n || key + value > page.n - at - pos)
        return fail(e, ERR_SYNTAX, "bbolt: a value is outside of its page");
    *bytes_left -= key + value;
    k = str_sub(page, at + (size_t)pos, (size_t)key);
    v = str_sub(page, at + (size_t)(pos + key), (size_t)value);
    if (!(flags & ELEMENT_IS_BUCKET))
        return w->fn(w->ctx, k, v, NULL, e);
    return inline_bucket(v, &bucket, e) && w->fn(w->ctx, k, v, &bucket, e);
}

static bool walk_page(struct walk *w, struct str page, unsigned depth, struct err *e)
{
    uint64_t flags = number(page, 8, 2), bytes_left = page.n;
    size_t n = (size_t)number(page, 10, 2);

    if (depth > MOST_DEPTH)
        return fail(e, ERR_SYNTAX, "bbolt: the tree is too deep");
    if (PAGE_HEADER + n * ELEMENT > page.n || !(flags & (FLAG_BRANCH | FLAG_LEAF)))
        return fail(e, ERR_SYNTAX, "bbolt: a page is of no kind that belongs here");
    for (size_t i = 0; i < n; i++) {
        size_t at = PAGE_HEADER + i * ELEMENT;
        struct str below;

        if (flags & FLAG_LEAF) {
            if (!leaf_element(w, page, at, &bytes_left, e))
                return false;
        } else if (!page_of(w, number(page, at + 8, 8), &below, e) ||
                   !walk_page(w, below, depth + 1, e)) {
            return false;
        }
    }
    return true;
}

bool bolt_each(const struct bolt *b, const struct bolt_bucket *bucket, bolt_fn *fn, void *ctx,
               struct err *e)
{
    struct walk w = {b, fn, ctx, b->n_pages};
    struct str page;

    if (bucket && !bucket->root)
        return walk_page(&w, bucket->page, 0, e);
    return page_of(&w, bucket ? bucket->root : b->root, &page, e) && walk_page(&w, page, 0, e);
}

struct find {
    struct str name;
    struct bolt_bucket *out;
    bool is_found;
};

static bool find_one(void *ctx, struct str key, struct str value, const struct bolt_bucket *bucket,
                     struct err *e)
{
    struct find *f = ctx;

    (void)value, (void)e;
    if (bucket && str_eq(key, f->name)) {
        *f->out = *bucket;
        f->is_found = true;
    }
    return true;
}

bool bolt_find(const struct bolt *b, const struct bolt_bucket *in, struct str name,
               struct bolt_bucket *out, struct err *e)
{
    struct find f = {name, out, false};

    return bolt_each(b, in, find_one, &f, e) &&
           (f.is_found || fail(e, ERR_NOT_FOUND, "bbolt: there is no bucket %.*s", STR_FMT(name)));
}
