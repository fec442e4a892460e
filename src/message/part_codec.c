/*
 * The part tree as bytes for the store: a version byte, then each part followed by its children.
 */
#include "message/mime.h"

enum { VERSION = 1 };

static void put_number(struct buf *b, uint64_t v)
{
    for (; v >= 128; v >>= 7)
        buf_put_char(b, (char)(v | 128));
    buf_put_char(b, (char)v);
}

static void put_text(struct buf *b, struct str s)
{
    // Absent and empty are told apart: 0 is absent.
    put_number(b, s.p ? s.n + 1 : 0);
    buf_put(b, s);
}

static bool get_number(struct cur *c, uint64_t max, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
        int ch = cur_next(c);

        if (ch < 0)
            return false;
        *out |= (uint64_t)(ch & 127) << shift;
        if (ch < 128)
            return *out <= max;
    }
    return false;
}

static bool get_text(struct cur *c, struct str *out)
{
    uint64_t n;

    *out = (struct str){0};
    if (!get_number(c, UINT32_MAX, &n))
        return false;
    return !n || cur_take(c, (size_t)n - 1, out);
}

static void put_params(struct buf *b, const struct params *p)
{
    put_number(b, p->n);
    for (size_t i = 0; i < p->n; i++) {
        put_text(b, p->items[i].name);
        put_text(b, p->items[i].value);
    }
}

static bool get_params(struct arena *a, struct cur *c, struct params *out)
{
    uint64_t n;

    if (!get_number(c, HEADER_MAX_PARAMS, &n))
        return false;
    out->items = ARENA_ARRAY(a, n, struct param);
    out->cap = n;
    for (; out->n < n; out->n++)
        if (!get_text(c, &out->items[out->n].name) || !get_text(c, &out->items[out->n].value))
            return false;
    return true;
}

#define PART_TEXTS(F)                                                                              \
    F(type) F(subtype) F(encoding) F(id) F(description) F(md5) F(language) F(location)             \
    F(disposition)
#define ENVELOPE_TEXTS(F)                                                                          \
    F(date) F(subject) F(from) F(sender) F(reply_to) F(to) F(cc) F(bcc) F(in_reply_to)             \
    F(message_id) F(references) F(list_id)

static void put_part(struct buf *b, const struct part *p)
{
    uint64_t children = 0;

    put_number(b, p->header_start);
    put_number(b, p->body_start - p->header_start);
    put_number(b, p->body_end - p->body_start);
    put_number(b, p->lines);
    put_number(b, (p->envelope ? 1u : 0u) | (p->is_multipart ? 2u : 0u) | (p->is_message ? 4u : 0u));
#define PUT(field) put_text(b, p->field);
    PART_TEXTS(PUT)
#undef PUT
    put_params(b, &p->params);
    put_params(b, &p->disposition_params);
#define PUT(field) put_text(b, p->envelope->field);
    if (p->envelope) {
        ENVELOPE_TEXTS(PUT)
    }
#undef PUT
    for (const struct part *child = p->child; child; child = child->next)
        children++;
    put_number(b, children);
    for (const struct part *child = p->child; child; child = child->next)
        put_part(b, child);
}

void part_encode(struct buf *out, const struct part *p)
{
    buf_put_char(out, VERSION);
    put_part(out, p);
}

static struct part *get_part(struct arena *a, struct cur *c, unsigned depth, size_t *n_parts)
{
    struct part *p = ARENA_NEW(a, struct part);
    struct part **next = &p->child;
    uint64_t header, body, bits, children;

    if (depth > MIME_MAX_DEPTH || ++*n_parts > MIME_MAX_PARTS ||
        !get_number(c, INT64_MAX, &p->header_start) || !get_number(c, INT64_MAX, &header) ||
        !get_number(c, INT64_MAX, &body) || !get_number(c, INT64_MAX, &p->lines) ||
        !get_number(c, 7, &bits))
        return NULL;
    p->body_start = p->header_start + header;
    p->body_end = p->body_start + body;
    if (p->body_start > INT64_MAX || p->body_end > INT64_MAX)
        return NULL;
    p->is_multipart = bits & 2;
    p->is_message = bits & 4;
#define GET(field)                                                                                 \
    if (!get_text(c, &p->field))                                                                   \
        return NULL;
    PART_TEXTS(GET)
#undef GET
    if (!get_params(a, c, &p->params) || !get_params(a, c, &p->disposition_params))
        return NULL;
#define GET(field)                                                                                 \
    if (!get_text(c, &p->envelope->field))                                                         \
        return NULL;
    if (bits & 1) {
        p->envelope = ARENA_NEW(a, struct envelope);
        ENVELOPE_TEXTS(GET)
    }
#undef GET
    if (!get_number(c, MIME_MAX_PARTS, &children))
        return NULL;
    for (; children; children--) {
        *next = get_part(a, c, depth + 1, n_parts);
        if (!*next)
            return NULL;
        next = &(*next)->next;
    }
    if (p->is_message && (!p->child || !p->child->envelope))
        return NULL;
    return p;
}

bool part_decode_header_end(struct str bytes, uint64_t *out, struct err *e)
{
    struct cur c = cur_of(bytes);
    uint64_t start;

    if (cur_next(&c) != VERSION || !get_number(&c, INT64_MAX, &start) ||
        !get_number(&c, INT64_MAX, out) || __builtin_add_overflow(start, *out, out))
        return fail(e, ERR_BUG, "stored part tree is damaged");
    return true;
}

bool part_decode(struct arena *a, struct str bytes, struct part **out, struct err *e)
{
    struct cur c = cur_of(bytes);
    size_t n_parts = 0;

    if (cur_next(&c) != VERSION || !(*out = get_part(a, &c, 0, &n_parts)) || cur_left(&c))
        return fail(e, ERR_SYNTAX, "stored message structure is malformed");
    return true;
}
