/*
 * FETCH (RFC 9051 6.4.5, RFC 7162 3.1.4).
 */
#include "role/account/imap_fetch.h"

#include <stdlib.h>

#include "base/log.h"
#include "proto/imap/structure.h"
#include "text/date.h"
#include "text/encode.h"

bool fetch_begin_reading(struct fetching *f, struct err *e)
{
    if (!f->is_reading)
        f->is_reading = store_read_begin(f->c->reader, e);
    return f->is_reading;
}

bool fetch_need_text(struct fetching *f, struct err *e)
{
    if (!f->has_text)
        f->has_text = fetch_begin_reading(f, e) &&
                      store_texts_get(f->texts, f->row->email, &f->text, e);
    return f->has_text;
}

bool fetch_need_tree(struct fetching *f, struct err *e)
{
    // The tree's texts are its own: those of the statement end when the output is written.
    return f->root || (fetch_need_text(f, e) &&
                       part_decode(&f->a, arena_dup(&f->a, f->text.tree), &f->root, e));
}

// Ends the read transaction: the file could not be tidied up while a slow client reads.
static void end_reading(struct fetching *f)
{
    store_texts_rest(f->texts);
    f->has_text = false;
    if (f->is_reading)
        store_read_end(f->c->reader);
    f->is_reading = false;
}

bool fetch_flush(struct fetching *f)
{
    if (f->c->out.n < IMAP_OUT_BYTES)
        return true;
    end_reading(f);
    return imap_flush(f->c, true);
}

static bool put_saved_date(struct fetching *f, struct err *e)
{
    struct buf *out = &f->c->out;
    int64_t saved;

    BUF_PUT(out, "SAVEDATE ");
    if (!fetch_begin_reading(f, e))
        return false;
    if (!store_saved_unix(f->c->reader, f->c->view->mailbox, f->row->uid, &saved, e)) {
        BUF_PUT(out, "NIL");
        return e->kind == ERR_NONE;
    }
    BUF_PUT(out, "\"");
    date_put_imap(out, (struct date){.unix_seconds = saved});
    BUF_PUT(out, "\"");
    return true;
}

/* RFC 8970 3.2: at most 200 characters, and UTF-8 in a literal where it is not ASCII. */
static void put_preview(struct buf *out, struct str text)
{
    struct str left = text;

    for (size_t n = 0; left.n && n < 200; n++)
        (void)utf8_next(&left);
    BUF_PUT(out, "PREVIEW ");
    imap_string_put(out, str_trim(str_sub(text, 0, text.n - left.n)));
}

// One item but UID, FLAGS and MODSEQ, whose places are fixed.
static bool put_item(struct fetching *f, size_t at, struct err *e)
{
    const struct imap_fetch_item *item = &f->items->items[at];
    struct buf *out = &f->c->out;

    switch (item->kind) {
    case FETCH_ENVELOPE:
        BUF_PUT(out, "ENVELOPE ");
        if (!fetch_need_text(f, e))
            return false;
        buf_put(out, f->text.envelope);
        return true;
    case FETCH_INTERNALDATE:
        BUF_PUT(out, "INTERNALDATE \"");
        date_put_imap(out, (struct date){.unix_seconds = f->row->received_unix});
        BUF_PUT(out, "\"");
        return true;
    case FETCH_SIZE:
        BUF_PUT(out, "RFC822.SIZE ");
        buf_put_u64(out, f->row->size);
        return true;
    case FETCH_BODYSTRUCTURE:
        BUF_PUT(out, "BODYSTRUCTURE ");
        if (!fetch_need_text(f, e))
            return false;
        buf_put(out, f->text.bodystructure);
        return true;
    case FETCH_BODY:
        BUF_PUT(out, "BODY ");
        if (!fetch_need_tree(f, e))
            return false;
        imap_bodystructure_put(out, f->root, false);
        return true;
    case FETCH_SECTION:
    case FETCH_RFC822:
    case FETCH_RFC822_HEADER:
    case FETCH_RFC822_TEXT:
        return fetch_put_section(f, at, e);
    case FETCH_BINARY:
    case FETCH_BINARY_SIZE:
        return fetch_put_binary(f, item, e);
    case FETCH_PREVIEW:
        if (!fetch_need_text(f, e))
            return false;
        put_preview(out, f->text.preview);
        return true;
    case FETCH_SAVEDATE:
        return put_saved_date(f, e);
    case FETCH_EMAILID:
        BUF_PUT(out, "EMAILID (");
        imap_id_put(out, 'm', f->row->email);
        BUF_PUT(out, ")");
        return true;
    case FETCH_THREADID:
        if (!fetch_need_text(f, e))
            return false;
        BUF_PUT(out, "THREADID (");
        imap_id_put(out, 't', f->text.thread);
        BUF_PUT(out, ")");
        return true;
    case FETCH_FLAGS:
    case FETCH_UID:
    case FETCH_MODSEQ:
        break;
    }
    return true;
}

// What of a message's texts the items need.
static unsigned texts_of(const struct imap_fetch *items)
{
    unsigned wanted = 0;

    for (size_t i = 0; i < items->n; i++)
        switch (items->items[i].kind) {
        case FETCH_ENVELOPE:
            wanted |= STORE_ENVELOPE;
            break;
        case FETCH_BODYSTRUCTURE:
            wanted |= STORE_BODYSTRUCTURE;
            break;
        case FETCH_PREVIEW:
            wanted |= STORE_PREVIEW;
            break;
        case FETCH_BODY:
        case FETCH_SECTION:
        case FETCH_RFC822_HEADER:
        case FETCH_RFC822_TEXT:
        case FETCH_BINARY:
        case FETCH_BINARY_SIZE:
            wanted |= STORE_TREE;
            break;
        case FETCH_RFC822:
        case FETCH_THREADID:
        case FETCH_SAVEDATE:
        case FETCH_EMAILID:
        case FETCH_INTERNALDATE:
        case FETCH_SIZE:
        case FETCH_FLAGS:
        case FETCH_UID:
        case FETCH_MODSEQ:
            break;
        }
    return wanted;
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
        w.marks_seen |= ((kind == FETCH_SECTION || kind == FETCH_BINARY) &&
                         !items->items[i].is_peek) ||
                        kind == FETCH_RFC822 || kind == FETCH_RFC822_TEXT;
    }
    w.marks_seen &= !c->view->is_read_only;
    return w;
}

// Nothing of a message that cannot be told whole is told.
static bool put_message(struct fetching *f, uint32_t at, struct wanted w, bool is_marked,
                        struct err *e)
{
    struct imap_conn *c = f->c;
    const struct imap_fetch *items = f->items;

    f->row = &c->view->rows[at];
    f->has_text = false;
    f->root = NULL;
    buf_reset(&f->header);
    arena_reset(&f->a);
    if (!fetch_can_decode(f, e))
        return e->kind == ERR_NONE;
    imap_fetch_begin(&c->out, at, f->row);
    for (size_t i = 0; i < items->n; i++) {
        enum imap_fetch_kind kind = items->items[i].kind;

        if (kind == FETCH_FLAGS || kind == FETCH_UID || kind == FETCH_MODSEQ)
            continue;
        BUF_PUT(&c->out, " ");
        if (!put_item(f, i, e))
            return false;
    }
    // RFC 7162 3.2: a change of flags comes with its modseq.
    w.modseq |= is_marked && c->has_condstore;
    if (w.flags || is_marked)
        imap_flags_put(&c->out, f->row, w.modseq);
    else if (w.modseq)
        imap_modseq_put(&c->out, f->row);
    BUF_PUT(&c->out, ")\r\n");
    return fetch_flush(f) || fail(e, ERR_TEMPORARY, "client is gone");
}

static bool put_messages(struct fetching *f, const struct view_set *rows, struct wanted w,
                         const unsigned char *is_marked, struct err *e)
{
    bool is_ok = true;

    f->a = (struct arena)ARENA_LIMIT(MIME_MEMORY);
    fetch_sort_fields(f);
    f->texts = store_texts_open(f->c->reader, texts_of(f->items), e);
    if (!f->texts)
        return false;
    for (size_t i = 0; i < rows->n && is_ok; i++)
        is_ok = put_message(f, rows->at[i], w, is_marked[i], e);
    end_reading(f);
    store_texts_close(f->texts);
    buf_fini(&f->header);
    arena_fini(&f->a);
    return is_ok;
}

/* RFC 5530: some messages were expunged meanwhile; they are told all the same while we have them. */
struct gone {
    const struct view *v;
    const struct view_set *rows;
    bool is_any;
};

static int by_position(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static bool note_gone(void *ctx, const struct store_gone *gone)
{
    struct gone *g = ctx;
    bool found;
    uint32_t at = (uint32_t)view_find(g->v, gone->uid, &found);

    g->is_any |= found && bsearch(&at, g->rows->at, g->rows->n, sizeof at, by_position);
    return true;
}

static bool has_expunged(struct imap_conn *c, const struct view_set *rows)
{
    struct gone g = {c->view, rows, false};
    struct err e = {0};

    return rows->n && store_modseq(account.store) != c->view->modseq &&
           store_expunged(c->reader, c->view->mailbox, c->view->modseq, note_gone, &g, &e) &&
           g.is_any;
}

// Marks what is about to be read, in one transaction. seen_before: which were already.
static bool mark_seen(struct imap_conn *c, const struct view_set *set, unsigned char *is_marked,
                      struct err *e)
{
    struct view_set unseen = {.at = ARENA_ARRAY(&c->a, set->n + 1, uint32_t)};
    struct store_flags_change change = {.mailbox = c->view->mailbox, .op = FLAGS_ADD,
                                        .flags = FLAG_SEEN};
    struct store_range *ranges;

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
           imap_refresh(c, &unseen, e);
}

void cmd_fetch(struct imap_conn *c, struct imap_parser *p, bool is_uid)
{
    struct imap_fetch items;
    struct fetching f = {.c = c, .items = &items};
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
    if (items.has_vanished && (!is_uid || !c->has_qresync)) {
        imap_bad(c, STR("VANISHED is for UID FETCH with QRESYNC enabled"));
        return;
    }
    w = look_at(c, &items);
    if (w.modseq)
        imap_enable_condstore(c); // RFC 7162 3.1
    w.modseq |= is_uid && c->has_qresync;
    if (items.has_vanished && !imap_vanished_since(c, &set, items.changed_since, &e)) {
        imap_store_failed(c, &e, NULL);
        return;
    }
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
    if (!put_messages(&f, &rows, w, is_marked, &e)) {
        // The response is half written: only the end of the connection is unambiguous.
        if (!c->is_ending) {
            LOG(LOG_ERROR, "imapserver", "reading a message", LOG_E(&e),
                LOG_S("account", account.name));
            BUF_PUT(&c->out, "\r\n* BYE a message cannot be read\r\n");
            (void)imap_flush(c, true);
        }
        c->is_ending = true;
        return;
    }
    if (f.refused.n)
        imap_no(c, f.refused_code, f.refused);
    else
        imap_ok(c, arena_printf(&c->a, "%s%sFETCH done",
                                has_expunged(c, &rows) ? "[EXPUNGEISSUED] " : "",
                                is_uid ? "UID " : ""));
}
