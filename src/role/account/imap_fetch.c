/*
 * FETCH (RFC 9051 6.4.5, RFC 7162 3.1.4).
 */
#include "message/mime.h"
#include "proto/imap/structure.h"
#include "role/account/imap_conn.h"
#include "text/date.h"

enum { MOST_HEADER = 4 << 20 }; // a larger header is cut when single fields are asked for

/* A message being fetched; what is expensive is read when first needed. */
struct fetched {
    struct imap_conn *c;
    const struct view_row *row;
    struct arena a;
    struct store_email email;
    bool has_email;
    struct part *root;
};

static bool need_email(struct fetched *f, struct err *e)
{
    if (f->has_email)
        return true;
    f->has_email = store_email_get(f->c->reader, &f->a, f->row->email, &f->email, e);
    return f->has_email;
}

static bool need_tree(struct fetched *f, struct err *e)
{
    return f->root || (need_email(f, e) && part_decode(&f->a, f->email.tree, &f->root, e));
}


static bool to_output(void *ctx, struct str bytes)
{
    struct imap_conn *c = ctx;

    buf_put(&c->out, bytes);
    return imap_flush(c, false);
}

bool imap_bytes_put(struct imap_conn *c, uint64_t email, uint64_t start, uint64_t end,
                    struct err *e)
{
    return start >= end || store_email_read(c->reader, email, start, end - start, to_output, c, e);
}

static bool to_buf(void *ctx, struct str bytes)
{
    buf_put(ctx, bytes);
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

// The bytes of a section that is a contiguous piece of the message.
static bool find_section(struct fetched *f, const struct imap_fetch_item *item, struct span *out,
                         struct err *e)
{
    const struct part *p;

    *out = (struct span){0};
    if (!item->n_part && item->text == SECTION_ALL) {
        *out = (struct span){true, 0, f->row->size};
        return true;
    }
    if (!need_tree(f, e))
        return false;
    p = find_part(f->root, item->part, item->n_part);
    if (!p)
        return true;
    if (item->n_part && item->text != SECTION_ALL && item->text != SECTION_MIME) {
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

static bool has_word(const struct imap_words *words, struct str name)
{
    for (size_t i = 0; i < words->n; i++)
        if (str_eq_ci(words->items[i], name))
            return true;
    return false;
}

static bool put_fields(struct fetched *f, const struct imap_fetch_item *item, struct span span,
                       struct buf *out, struct err *e)
{
    AUTO_BUF header = BUF_LIMIT(MOST_HEADER + 1);
    struct header_field field;
    struct cur c;

    if (span.end - span.start > MOST_HEADER)
        span.end = span.start + MOST_HEADER;
    if (span.start < span.end && !store_email_read(f->c->reader, f->row->email, span.start,
                                                   span.end - span.start, to_buf, &header, e))
        return false;
    c = cur_of(buf_str(&header));
    while (header_next(&c, &field))
        if (has_word(&item->fields, field.name) == (item->text == SECTION_FIELDS)) {
            buf_put(out, field.raw);
            if (!str_ends(field.raw, STR("\n")))
                BUF_PUT(out, "\r\n");
        }
    BUF_PUT(out, "\r\n");
    return true;
}

static void cut(const struct imap_fetch_item *item, uint64_t *start, uint64_t *end)
{
    if (!item->has_partial)
        return;
    *start = item->offset < *end - *start ? *start + item->offset : *end;
    if (item->count < *end - *start)
        *end = *start + item->count;
}

static bool put_section(struct fetched *f, const struct imap_fetch_item *item, struct err *e)
{
    struct buf *out = &f->c->out;
    struct span span;

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

        if (!put_fields(f, item, span, &fields, e))
            return false;
        end = fields.n;
        cut(item, &start, &end);
        buf_printf(out, " {%llu}\r\n", (unsigned long long)(end - start));
        buf_put(out, str_sub(buf_str(&fields), (size_t)start, (size_t)(end - start)));
        return true;
    }
    cut(item, &span.start, &span.end);
    buf_printf(out, " {%llu}\r\n", (unsigned long long)(span.end - span.start));
    return imap_bytes_put(f->c, f->row->email, span.start, span.end, e);
}

static bool put_rfc822(struct fetched *f, const struct imap_fetch_item *item, struct err *e)
{
    struct buf *out = &f->c->out;
    struct span span = {true, 0, f->row->size};

    if (item->kind != FETCH_RFC822) {
        if (!need_tree(f, e))
            return false;
        if (item->kind == FETCH_RFC822_HEADER)
            span.end = f->root->body_start;
        else
            span.start = f->root->body_start;
    }
    buf_printf(out, "%s {%llu}\r\n",
               item->kind == FETCH_RFC822          ? "RFC822"
               : item->kind == FETCH_RFC822_HEADER ? "RFC822.HEADER"
                                                   : "RFC822.TEXT",
               (unsigned long long)(span.end - span.start));
    return imap_bytes_put(f->c, f->row->email, span.start, span.end, e);
}

// One item but UID, FLAGS and MODSEQ, whose places are fixed.
static bool put_item(struct fetched *f, const struct imap_fetch_item *item, struct err *e)
{
    struct buf *out = &f->c->out;

    switch (item->kind) {
    case FETCH_ENVELOPE:
        BUF_PUT(out, "ENVELOPE ");
        if (!need_email(f, e))
            return false;
        buf_put(out, f->email.envelope);
        return true;
    case FETCH_INTERNALDATE:
        BUF_PUT(out, "INTERNALDATE \"");
        date_put_imap(out, (struct date){.unix_seconds = f->row->received_unix});
        BUF_PUT(out, "\"");
        return true;
    case FETCH_SIZE:
        buf_printf(out, "RFC822.SIZE %llu", (unsigned long long)f->row->size);
        return true;
    case FETCH_BODYSTRUCTURE:
        BUF_PUT(out, "BODYSTRUCTURE ");
        if (!need_email(f, e))
            return false;
        buf_put(out, f->email.bodystructure);
        return true;
    case FETCH_BODY:
        BUF_PUT(out, "BODY ");
        if (!need_tree(f, e))
            return false;
        imap_bodystructure_put(out, f->root, false);
        return true;
    case FETCH_SECTION:
        return put_section(f, item, e);
    case FETCH_RFC822:
    case FETCH_RFC822_HEADER:
    case FETCH_RFC822_TEXT:
        return put_rfc822(f, item, e);
    case FETCH_FLAGS:
    case FETCH_UID:
    case FETCH_MODSEQ:
        break;
    }
    return true;
}

struct wanted {
    bool flags, modseq, marks_seen;
};

static struct wanted look_at(const struct imap_conn *c, const struct imap_fetch *items)
{
    struct wanted w = {.modseq = items->has_changed_since};

    for (size_t i = 0; i < items->n; i++) {
        enum imap_fetch_kind kind = items->items[i].kind;

        w.flags |= kind == FETCH_FLAGS;
        w.modseq |= kind == FETCH_MODSEQ;
        w.marks_seen |= (kind == FETCH_SECTION && !items->items[i].is_peek) ||
                        kind == FETCH_RFC822 || kind == FETCH_RFC822_TEXT;
    }
    w.marks_seen &= !c->view->is_read_only;
    return w;
}

static bool put_message(struct imap_conn *c, uint32_t at, const struct imap_fetch *items,
                        struct wanted w, bool has_flags, struct err *e)
{
    struct fetched f = {.c = c, .row = &c->view->rows[at], .a = ARENA_LIMIT(MIME_MEMORY)};
    bool is_ok = true;

    buf_printf(&c->out, "* %u FETCH (UID %u", at + 1, f.row->uid);
    for (size_t i = 0; i < items->n && is_ok; i++) {
        enum imap_fetch_kind kind = items->items[i].kind;

        if (kind == FETCH_FLAGS || kind == FETCH_UID || kind == FETCH_MODSEQ)
            continue;
        BUF_PUT(&c->out, " ");
        is_ok = put_item(&f, &items->items[i], e);
    }
    arena_fini(&f.a);
    if (!is_ok)
        return false;
    if (has_flags)
        imap_flags_put(&c->out, f.row, w.modseq);
    else if (w.modseq)
        buf_printf(&c->out, " MODSEQ (%llu)", (unsigned long long)f.row->modseq);
    BUF_PUT(&c->out, ")\r\n");
    return imap_flush(c, false);
}

// Marks what is about to be read, in one transaction. seen_before: which were already.
static bool mark_seen(struct imap_conn *c, const struct view_set *set, unsigned char *is_marked,
                      struct err *e)
{
    struct view_set unseen = {.at = ARENA_ARRAY(&c->a, set->n + 1, uint32_t)};
    struct store_flags_change change = {.mailbox = c->view->mailbox, .op = FLAGS_ADD,
                                        .flags = FLAG_SEEN};
    struct store_range *ranges;
    struct buf none = BUF_LIMIT(0);

    for (size_t i = 0; i < set->n; i++)
        if (!(c->view->rows[set->at[i]].flags & FLAG_SEEN)) {
            unseen.at[unseen.n++] = set->at[i];
            is_marked[i] = 1;
        }
    if (!unseen.n)
        return true;
    view_ranges(&c->a, c->view, &unseen, &ranges, &change.n_ranges);
    change.ranges = ranges;
    return store_flags(account.store, &change, NULL, NULL, e) &&
           view_sync(c->view, c->reader, SYNC_QUIET, false, &none, e);
}

void cmd_fetch(struct imap_conn *c, struct imap_parser *p, bool is_uid)
{
    struct imap_fetch items;
    struct imap_set set;
    struct view_set rows;
    struct wanted w;
    unsigned char *is_marked;
    struct err e = {0};

    if (!imap_space(p) || !imap_sequence_set(p, &set) || !imap_space(p) ||
        !imap_fetch_arguments(p, &items)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (!view_resolve(c, &set, is_uid, &rows, &e)) {
        imap_bad(c, str_of(e.text));
        return;
    }
    w = look_at(c, &items);
    c->has_condstore |= w.modseq; // RFC 7162 3.1.2
    if (items.has_changed_since) {
        size_t n = 0;

        for (size_t i = 0; i < rows.n; i++)
            if (c->view->rows[rows.at[i]].modseq > items.changed_since)
                rows.at[n++] = rows.at[i];
        rows.n = n;
    }
    is_marked = arena_alloc(&c->a, rows.n + 1);
    if (w.marks_seen && !mark_seen(c, &rows, is_marked, &e)) {
        imap_store_failed(c, &e, NULL);
        return;
    }
    for (size_t i = 0; i < rows.n && !c->is_ending; i++)
        if (!put_message(c, rows.at[i], &items, w, w.flags || is_marked[i], &e)) {
            // The response is half written: only the end of the connection is unambiguous.
            c->is_ending = true;
            BUF_PUT(&c->out, "\r\n* BYE a message cannot be read\r\n");
            (void)imap_flush(c, true);
            return;
        }
    imap_ok(c, arena_printf(&c->a, "%sFETCH done", is_uid ? "UID " : ""));
}
