/*
 * Sections of a message: BODY[...] as it is, BINARY[...] decoded (RFC 9051 6.4.5.1, RFC 3516).
 * Bytes are read in pieces and written before the next is read, however long the message.
 */
#include <stdlib.h>

#include "role/account/imap_fetch.h"
#include "text/encode.h"

enum {
    MOST_HEADER = 4 << 20, // a larger header is cut when single fields are asked for
    PIECE = 256 * 1024,    // read at once: a chunk of the store
    KEPT_DECODED = 1 << 20, // of a decoded part, so that a small one is decoded once
};

static bool to_buf(void *ctx, struct str bytes)
{
    buf_put(ctx, bytes);
    return true;
}

// Bytes [start, end) of the message to the output.
static bool put_bytes(struct fetching *f, uint64_t start, uint64_t end, struct err *e)
{
    struct buf *out = &f->c->out;

    while (start < end) {
        uint64_t n = PIECE - start % PIECE;
        size_t had = out->n;

        if (n > end - start)
            n = end - start;
        if (!fetch_begin_reading(f, e) ||
            !store_email_read(f->c->reader, f->row->email, start, n, to_buf, out, e))
            return false;
        // What was announced must come.
        if (out->n - had != n)
            return fail(e, ERR_BUG, "message %llu: bytes are missing",
                        (unsigned long long)f->row->email);
        start += n;
        if (!fetch_flush(f))
            return fail(e, ERR_TEMPORARY, "client is gone");
    }
    return true;
}

/*
 * The part that numbers name (RFC 9051 6.4.5.1): children of a multipart, or for any other body
 * its only part 1; below an embedded message its own. NULL when there is none.
 */
static const struct part *find_part(const struct part *root, const uint32_t *numbers, size_t n)
{
    const struct part *p = root;
    bool is_message = true; // p is a message whose parts are counted, not a part itself

    for (size_t i = 0; i < n; i++) {
        if (!is_message && p->is_message && p->child) {
            p = p->child;
            is_message = true;
        }
        if (p->is_multipart) {
            p = p->child;
            for (uint32_t k = 1; p && k < numbers[i]; k++)
                p = p->next;
        } else if (!is_message || numbers[i] != 1) {
            return NULL;
        }
        if (!p)
            return NULL;
        is_message = false;
    }
    return p;
}

struct span {
    bool exists;
    uint64_t start, end;
};

// Header, body or all of the whole message, for which one number of its tree is enough.
static bool find_own_section(struct fetching *f, enum imap_section_text text, struct span *out,
                             struct err *e)
{
    uint64_t header_end = 0;

    *out = (struct span){true, 0, f->row->size};
    if (text == SECTION_ALL)
        return true;
    if (!fetch_need_text(f, e) || !part_decode_header_end(f->text.tree, &header_end, e))
        return false;
    if (text == SECTION_TEXT)
        out->start = header_end;
    else
        out->end = header_end;
    return true;
}

// The bytes of a section that is a contiguous piece of the message.
static bool find_section(struct fetching *f, const struct imap_fetch_item *item, struct span *out,
                         struct err *e)
{
    const struct part *p;

    *out = (struct span){0};
    if (!item->n_part)
        return find_own_section(f, item->text, out, e);
    if (!fetch_need_tree(f, e))
        return false;
    p = find_part(f->root, item->part, item->n_part);
    if (!p)
        return true;
    if (item->text != SECTION_ALL && item->text != SECTION_MIME) {
        // HEADER and TEXT of a part are those of the message inside it.
        if (!p->is_message || !p->child)
            return true;
        p = p->child;
    }
    switch (item->text) {
    case SECTION_ALL:
    case SECTION_TEXT:
        *out = (struct span){true, p->body_start, p->body_end};
        break;
    case SECTION_HEADER:
    case SECTION_FIELDS:
    case SECTION_FIELDS_NOT:
    case SECTION_MIME:
        *out = (struct span){true, p->header_start, p->body_start};
        break;
    }
    return true;
}

/* --- chosen header fields -------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const struct str *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;

    for (size_t i = 0; i < n; i++) {
        int d = (unsigned char)ascii_lower(x->p[i]) - (unsigned char)ascii_lower(y->p[i]);

        if (d)
            return d;
    }
    return (x->n > y->n) - (x->n < y->n);
}

void fetch_sort_fields(struct fetching *f)
{
    f->sorted = ARENA_ARRAY(&f->c->a, f->items->n, struct str *);
    for (size_t i = 0; i < f->items->n; i++) {
        const struct imap_words *fields = &f->items->items[i].fields;

        f->sorted[i] = ARENA_ARRAY(&f->c->a, fields->n, struct str);
        for (size_t k = 0; k < fields->n; k++)
            f->sorted[i][k] = fields->items[k];
        if (fields->n)
            qsort(f->sorted[i], fields->n, sizeof(struct str), by_name);
    }
}

// Several items may choose from one header: it is read once.
static bool read_header(struct fetching *f, struct span span, struct err *e)
{
    if (span.end - span.start > MOST_HEADER)
        span.end = span.start + MOST_HEADER;
    if (f->header_end == span.end && f->header_start == span.start && f->header.n)
        return true;
    buf_reset(&f->header);
    f->header.limit = MOST_HEADER + 1;
    f->header_start = span.start;
    f->header_end = span.end;
    return span.start >= span.end ||
           (fetch_begin_reading(f, e) &&
            store_email_read(f->c->reader, f->row->email, span.start, span.end - span.start, to_buf,
                             &f->header, e));
}

static bool put_fields(struct fetching *f, size_t at, struct span span, struct buf *out,
                       struct err *e)
{
    const struct imap_fetch_item *item = &f->items->items[at];
    struct header_field field;
    struct cur c;

    if (!read_header(f, span, e))
        return false;
    c = cur_of(buf_str(&f->header));
    while (header_next(&c, &field)) {
        bool is_named = bsearch(&field.name, f->sorted[at], item->fields.n, sizeof(struct str),
                                by_name);

        if (is_named != (item->text == SECTION_FIELDS))
            continue;
        buf_put(out, field.raw);
        if (!str_ends(field.raw, STR("\n")))
            BUF_PUT(out, "\r\n");
    }
    // A message that ends without a blank line has none to tell.
    if (f->header.n == MOST_HEADER || str_eq(buf_str(&f->header), STR("\r\n")) ||
        str_ends(buf_str(&f->header), STR("\n\r\n")))
        BUF_PUT(out, "\r\n");
    return true;
}

/* --- the items ------------------------------------------------------------------------------------- */

static void cut(const struct imap_fetch_item *item, uint64_t *start, uint64_t *end)
{
    if (!item->has_partial)
        return;
    *start = item->offset < *end - *start ? *start + item->offset : *end;
    if (item->count < *end - *start)
        *end = *start + item->count;
}

static void put_literal(struct buf *out, uint64_t n)
{
    BUF_PUT(out, " {");
    buf_put_u64(out, n);
    BUF_PUT(out, "}\r\n");
}

static bool put_rfc822(struct fetching *f, const struct imap_fetch_item *item, struct err *e)
{
    struct buf *out = &f->c->out;
    struct span span;

    if (!find_own_section(f, item->kind == FETCH_RFC822          ? SECTION_ALL
                             : item->kind == FETCH_RFC822_HEADER ? SECTION_HEADER
                                                                 : SECTION_TEXT, &span, e))
        return false;
    buf_put(out, item->kind == FETCH_RFC822          ? STR("RFC822")
                 : item->kind == FETCH_RFC822_HEADER ? STR("RFC822.HEADER")
                                                     : STR("RFC822.TEXT"));
    put_literal(out, span.end - span.start);
    return put_bytes(f, span.start, span.end, e);
}

bool fetch_put_section(struct fetching *f, size_t at, struct err *e)
{
    const struct imap_fetch_item *item = &f->items->items[at];
    struct buf *out = &f->c->out;
    struct span span;

    if (item->kind != FETCH_SECTION)
        return put_rfc822(f, item, e);
    if (!find_section(f, item, &span, e))
        return false;
    imap_fetch_name_put(out, item);
    if (!span.exists) {
        BUF_PUT(out, " NIL");
        return true;
    }
    if (item->text == SECTION_FIELDS || item->text == SECTION_FIELDS_NOT) {
        AUTO_BUF fields = BUF_LIMIT(2 * MOST_HEADER);
        uint64_t start = 0, end;

        if (!put_fields(f, at, span, &fields, e))
            return false;
        end = fields.n;
        cut(item, &start, &end);
        put_literal(out, end - start);
        buf_put(out, str_sub(buf_str(&fields), (size_t)start, (size_t)(end - start)));
        return true;
    }
    cut(item, &span.start, &span.end);
    put_literal(out, span.end - span.start);
    return put_bytes(f, span.start, span.end, e);
}

/* --- BINARY ---------------------------------------------------------------------------------------- */

static bool is_known_encoding(struct str encoding)
{
    static const struct str known[] = {STR_("7bit"), STR_("8bit"), STR_("binary"), STR_("base64"),
                                       STR_("quoted-printable")};

    for (size_t i = 0; i < COUNT(known); i++)
        if (str_eq(encoding, known[i]))
            return true;
    return !encoding.n;
}

bool fetch_can_decode(struct fetching *f, struct err *e)
{
    for (size_t i = 0; i < f->items->n; i++) {
        const struct imap_fetch_item *item = &f->items->items[i];
        const struct part *p;

        if ((item->kind != FETCH_BINARY && item->kind != FETCH_BINARY_SIZE) || !item->n_part)
            continue;
        if (!fetch_need_tree(f, e))
            return false;
        p = find_part(f->root, item->part, item->n_part);
        if (p && (p->is_multipart || p->is_message)) {
            f->refused = STR("only parts that hold no others can be decoded");
            return false;
        }
        if (p && !is_known_encoding(p->encoding)) {
            f->refused_code = "UNKNOWN-CTE";
            f->refused = STR("unknown content transfer encoding");
            return false;
        }
    }
    return true;
}

/*
 * A part while it is decoded: its decoded bytes [start, end) are kept or written, all are counted.
 * Lines of text end in CR LF, whatever was encoded (RFC 9051 7.5.2).
 */
struct decoding {
    struct fetching *f;
    const struct part *p; // NULL: the whole message, which is not encoded
    struct transfer_decoder decoder;
    char last; // of a text, for its line ends
    struct buf piece, converted;
    uint64_t start, end, size;
    bool has_nul; // in [start, end)
    struct buf *to;
};

static void take_decoded(struct decoding *d)
{
    struct str bytes;

    if (d->p && part_is_text(d->p)) {
        crlf_put(&d->converted, buf_str(&d->piece), &d->last);
        bytes = buf_str(&d->converted);
    } else {
        bytes = buf_str(&d->piece);
    }
    d->size += bytes.n;
    if (d->size > d->start && d->size - bytes.n < d->end) {
        uint64_t at = d->size - bytes.n, from = d->start > at ? d->start - at : 0;

        bytes = str_sub(bytes, (size_t)from,
                        d->end - at - from < bytes.n ? (size_t)(d->end - at - from) : bytes.n);
        d->has_nul = d->has_nul || str_find(bytes, 0) != STR_NONE;
        buf_put(d->to, bytes);
    }
    buf_reset(&d->piece);
    buf_reset(&d->converted);
}

static bool decode_piece(void *ctx, struct str bytes)
{
    struct decoding *d = ctx;

    transfer_feed(&d->decoder, bytes, &d->piece);
    take_decoded(d);
    return true;
}

// Decodes into *to. is_output: that is the connection's output, which is written as it fills.
static bool decode(struct decoding *d, bool is_output, struct err *e)
{
    struct fetching *f = d->f;
    uint64_t at = d->p ? d->p->body_start : 0, end = d->p ? d->p->body_end : f->row->size;
    bool is_ok = true;

    d->decoder = (struct transfer_decoder){0};
    d->decoder.encoding = d->p ? transfer_of(d->p->encoding) : TRANSFER_IDENTITY;
    d->piece = d->converted = (struct buf)BUF_LIMIT(4 * PIECE);
    d->size = 0;
    d->last = 0;
    while (is_ok && at < end && d->size < d->end) {
        uint64_t n = PIECE - at % PIECE;

        if (n > end - at)
            n = end - at;
        is_ok = fetch_begin_reading(f, e) &&
                store_email_read(f->c->reader, f->row->email, at, n, decode_piece, d, e);
        at += n;
        if (is_ok && is_output && !fetch_flush(f))
            is_ok = fail(e, ERR_TEMPORARY, "client is gone");
    }
    if (is_ok && at >= end) {
        transfer_end(&d->decoder, &d->piece);
        take_decoded(d);
    }
    buf_fini(&d->piece);
    buf_fini(&d->converted);
    return is_ok;
}

bool fetch_put_binary(struct fetching *f, const struct imap_fetch_item *item, struct err *e)
{
    AUTO_BUF kept = BUF_LIMIT(KEPT_DECODED);
    struct decoding d = {.f = f, .to = &kept, .end = UINT64_MAX};
    struct buf *out = &f->c->out;
    bool is_size = item->kind == FETCH_BINARY_SIZE;

    if (item->n_part) {
        if (!fetch_need_tree(f, e))
            return false;
        d.p = find_part(f->root, item->part, item->n_part);
    }
    imap_fetch_name_put(out, item);
    if (item->n_part && !d.p) {
        buf_put(out, is_size ? STR(" 0") : STR(" NIL"));
        return true;
    }
    if (item->has_partial) {
        d.start = item->offset;
        __builtin_add_overflow(item->offset, item->count, &d.end); // each is 63 bits
    } else if (is_size) {
        d.start = UINT64_MAX;
    }
    if (!decode(&d, false, e))
        return false;
    if (is_size) {
        buf_printf(out, " %llu", (unsigned long long)d.size);
        return true;
    }
    if (d.start > d.size)
        d.start = d.size;
    if (d.end > d.size)
        d.end = d.size;
    buf_printf(out, d.has_nul ? " ~{%llu}\r\n" : " {%llu}\r\n",
               (unsigned long long)(d.end - d.start));
    if (!kept.full) {
        buf_put(out, buf_str(&kept));
        return true;
    }
    d.to = out;
    return decode(&d, true, e);
}
