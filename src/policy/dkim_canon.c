/*
 * Canonicalisation (RFC 6376 3.4), and the hashes of a body.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cur.h"
#include "base/die.h"
#include "policy/dkim_priv.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct str trim_blanks_right(struct str s)
{
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

// Unfolded, runs of blanks as one space, none at the ends.
static void put_relaxed_value(struct buf *out, struct str value)
{
    bool has_space = false, has_content = false;

    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '\r' && i + 1 < value.n && value.p[i + 1] == '\n') {
            i++;
            continue;
        }
        if (is_blank(value.p[i])) {
            has_space = true;
            continue;
        }
        if (has_space && has_content)
            buf_put_char(out, ' ');
        has_space = false;
        has_content = true;
        buf_put_char(out, value.p[i]);
    }
}

// Without the line end.
static void put_field(struct buf *out, struct str field, bool is_relaxed)
{
    struct str name, value;

    if (!is_relaxed || !str_cut(field, ':', &name, &value)) {
        buf_put(out, field);
        return;
    }
    name = trim_blanks_right(name);
    for (size_t i = 0; i < name.n; i++)
        buf_put_char(out, ascii_lower(name.p[i]));
    BUF_PUT(out, ":");
    put_relaxed_value(out, value);
}

static struct str without_line_end(struct str raw)
{
    if (str_ends(raw, STR("\r\n")))
        raw.n -= 2;
    return raw;
}

void dkim_canon_field(struct buf *out, struct str raw, bool is_relaxed)
{
    put_field(out, without_line_end(raw), is_relaxed);
    BUF_PUT(out, "\r\n");
}

void dkim_canon_signature(struct buf *out, struct str raw, struct str b_field, bool is_relaxed)
{
    AUTO_BUF field = BUF_LIMIT(raw.n);
    size_t at = (size_t)(b_field.p - raw.p);

    buf_put(&field, str_sub(raw, 0, at));
    buf_put(&field, str_from(raw, at + b_field.n));
    put_field(out, without_line_end(buf_str(&field)), is_relaxed);
}

/* --- bodies ----------------------------------------------------------------------------------- */

// What was held back, now that something follows it.
static void put_held(struct dkim_canon_body *c)
{
    static const char lines[] = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
    const uint64_t most = (sizeof lines - 1) / 2;

    c->has_content = true;
    for (; c->n_lines > most; c->n_lines -= most)
        c->put(c->ctx, STR(lines));
    if (c->n_lines)
        c->put(c->ctx, str_at(lines, 2 * (size_t)c->n_lines));
    c->n_lines = 0;
    if (c->has_space)
        c->put(c->ctx, STR(" "));
    c->has_space = false;
}

static void put_content(struct dkim_canon_body *c, struct str bytes)
{
    put_held(c);
    c->put(c->ctx, bytes);
}

// The run of bytes that are themselves, at least one. A single space between words is one of them.
static size_t plain_run(const struct dkim_canon_body *c, struct str s)
{
    size_t n = 1;

    if (!c->is_relaxed) {
        const char *cr = memchr(s.p, '\r', s.n);

        return cr ? (size_t)(cr - s.p) : s.n;
    }
    for (; n < s.n; n++) {
        if (s.p[n] == '\r' || s.p[n] == '\t')
            break;
        if (s.p[n] == ' ' && (n + 1 == s.n || is_blank(s.p[n + 1]) || s.p[n + 1] == '\r'))
            break;
    }
    return n;
}

void dkim_canon_body_feed(struct dkim_canon_body *c, struct str block)
{
    while (block.n) {
        char ch = block.p[0];
        size_t n = 1;

        if (c->has_cr) {
            c->has_cr = false;
            if (ch == '\n') {
                c->n_lines++;
                c->has_space = false;
                block = str_from(block, 1);
                continue;
            }
            put_content(c, STR("\r")); // RFC 6376 3.4.3: a line ends with CR LF, nothing else
        }
        if (ch == '\r')
            c->has_cr = true;
        else if (c->is_relaxed && is_blank(ch))
            c->has_space = true;
        else {
            n = plain_run(c, block);
            put_content(c, str_sub(block, 0, n));
        }
        block = str_from(block, n);
    }
}

void dkim_canon_body_end(struct dkim_canon_body *c)
{
    if (c->has_cr)
        put_content(c, STR("\r"));
    // Blanks that no line end follows are not at the end of a line (RFC 6376 3.4.4), as others have
    // it too. In SMTP that does not happen.
    if (c->has_space)
        put_held(c);
    // 3.4.3: an empty body is one line end; 3.4.4: it is nothing.
    if (c->has_content || !c->is_relaxed)
        c->put(c->ctx, STR("\r\n"));
}

struct pass {
    struct dkim_canon_body canon;
    struct sha256 *hash; // of all that was put
    uint64_t total;
    struct dkim_body_hash *wants[DKIM_MAX_BODY_HASHES]; // by length, the longest first
    size_t n;                                           // not yet hashed
};

struct dkim_bodies {
    struct pass passes[2]; // simple, relaxed
    struct dkim_body_hash hashes[DKIM_MAX_BODY_HASHES];
    size_t n;
};

static void take_digest(struct pass *p)
{
    struct dkim_body_hash *want = p->wants[--p->n];
    struct sha256 *copy = sha256_copy(p->hash);

    sha256_end(copy, want->digest);
    sha256_free(copy);
    want->is_done = true;
}

// A stretch of the canonical body: the hash runs once, and is copied where a length ends.
static void put_hash(void *ctx, struct str bytes)
{
    struct pass *p = ctx;

    while (p->n && p->wants[p->n - 1]->length <= p->total + bytes.n) {
        size_t n = (size_t)(p->wants[p->n - 1]->length - p->total);

        sha256_put(p->hash, str_sub(bytes, 0, n));
        p->total += n;
        bytes = str_from(bytes, n);
        take_digest(p);
    }
    if (p->n)
        sha256_put(p->hash, bytes);
    p->total += bytes.n;
}

struct dkim_bodies *dkim_bodies_new(void)
{
    struct dkim_bodies *b = heap_alloc(sizeof *b);

    for (int i = 0; i < 2; i++)
        b->passes[i].canon =
            (struct dkim_canon_body){.is_relaxed = i, .put = put_hash, .ctx = &b->passes[i]};
    return b;
}

void dkim_bodies_free(struct dkim_bodies *b)
{
    if (!b)
        return;
    for (int i = 0; i < 2; i++)
        sha256_free(b->passes[i].hash);
    free(b);
}

const struct dkim_body_hash *dkim_bodies_get(const struct dkim_bodies *b, bool is_relaxed,
                                             uint64_t length)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->hashes[i].is_relaxed == is_relaxed && b->hashes[i].length == length)
            return &b->hashes[i];
    return NULL;
}

const struct dkim_body_hash *dkim_bodies_want(struct dkim_bodies *b, bool is_relaxed,
                                              uint64_t length)
{
    const struct dkim_body_hash *known = dkim_bodies_get(b, is_relaxed, length);
    struct pass *p = &b->passes[is_relaxed];
    size_t at = 0;

    if (known)
        return known;
    while (at < p->n && p->wants[at]->length > length)
        at++;
    if (b->n == DKIM_MAX_BODY_HASHES)
        die("more hashes of a body than signatures are looked at");
    if (!p->hash)
        p->hash = sha256_new();
    memmove(&p->wants[at + 1], &p->wants[at], (p->n - at) * sizeof p->wants[0]);
    p->n++;
    p->wants[at] = &b->hashes[b->n++];
    *p->wants[at] = (struct dkim_body_hash){.is_relaxed = is_relaxed, .length = length};
    return p->wants[at];
}

bool dkim_bodies_are_wanted(const struct dkim_bodies *b)
{
    return b->n > 0;
}

void dkim_bodies_feed(struct dkim_bodies *b, struct str block)
{
    for (int i = 0; i < 2; i++)
        if (b->passes[i].hash)
            dkim_canon_body_feed(&b->passes[i].canon, block);
}

void dkim_bodies_end(struct dkim_bodies *b)
{
    for (int i = 0; i < 2; i++) {
        struct pass *p = &b->passes[i];

        if (!p->hash)
            continue;
        dkim_canon_body_end(&p->canon);
        while (p->n && p->wants[p->n - 1]->length <= p->total)
            take_digest(p);
        if (p->n && p->wants[0]->length == DKIM_WHOLE_BODY) {
            sha256_end(p->hash, p->wants[0]->digest);
            p->wants[0]->is_done = true;
        }
    }
    for (size_t i = 0; i < b->n; i++)
        b->hashes[i].total = b->passes[b->hashes[i].is_relaxed].total;
}
