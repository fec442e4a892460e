/*
 * The selected mailbox as a client knows it, and what to tell it when that changes.
 */
#include <stdlib.h>
#include <string.h>

#include "role/account/imap_conn.h"

enum { VIEW_KEYWORD_MEMORY = 64 << 20 };

static struct str intern(struct view *v, struct str keywords)
{
    struct str *own;

    if (!keywords.n)
        return STR("");
    own = map_get(&v->keywords, keywords);
    if (!own) {
        own = ARENA_NEW(&v->a, struct str);
        *own = arena_dup(&v->a, keywords);
        map_put(&v->keywords, keywords, own);
    }
    return *own;
}

static struct view_row *push(struct view *v)
{
    if (v->n == v->cap) {
        v->cap = v->cap ? v->cap * 2 : 64;
        v->rows = heap_resize(v->rows, v->cap, sizeof *v->rows);
    }
    v->rows[v->n] = (struct view_row){0};
    return &v->rows[v->n++];
}

static void fill(struct view *v, struct view_row *row, const struct store_row *from)
{
    *row = (struct view_row){from->uid, from->flags, from->email, from->modseq, from->size,
                             from->received_unix, intern(v, from->keywords)};
}

static struct view *new_view(uint64_t mailbox, struct str name)
{
    struct view *v = heap_alloc(sizeof *v);

    v->a = (struct arena)ARENA_LIMIT(VIEW_KEYWORD_MEMORY);
    v->mailbox = mailbox;
    v->name = arena_dup(&v->a, name);
    return v;
}

void view_free(struct view *v)
{
    if (!v)
        return;
    map_fini(&v->keywords);
    arena_fini(&v->a);
    free(v->rows);
    free(v);
}

static bool add_row(void *ctx, const struct store_row *row)
{
    struct view *v = ctx;

    fill(v, push(v), row);
    return true;
}

struct view *view_open(struct store_reader *r, const struct store_mailbox *m, struct err *e)
{
    struct view *v = new_view(m->id, m->name);

    v->uidvalidity = m->uidvalidity;
    v->uidnext = m->uidnext;
    if (store_read_modseq(r, &v->modseq, e) && store_rows(r, m->id, 0, add_row, v, e)) {
        v->expunge_modseq = v->modseq;
        return v;
    }
    view_free(v);
    return NULL;
}

static int by_uid(const void *a, const void *b)
{
    const struct view_row *x = a, *y = b;

    return (x->uid > y->uid) - (x->uid < y->uid);
}

static bool add_expunged(void *ctx, uint32_t uid)
{
    struct view *v = ctx;

    if (uid < v->uidnext)
        push(v)->uid = uid; // view_sync takes it away again, and says so
    return true;
}

struct view *view_open_at(struct store_reader *r, uint64_t mailbox, struct str name,
                          uint32_t uidvalidity, uint32_t uidnext, uint64_t modseq, struct err *e)
{
    struct view *v = new_view(mailbox, name);
    size_t known = 0;

    v->uidvalidity = uidvalidity;
    v->uidnext = uidnext;
    v->modseq = v->expunge_modseq = modseq;
    if (!store_rows(r, mailbox, 0, add_row, v, e)) {
        view_free(v);
        return NULL;
    }
    while (known < v->n && v->rows[known].uid < uidnext)
        known++;
    v->n = known;
    for (size_t i = 0; i < v->n; i++)
        if (v->rows[i].modseq > modseq) { // what it looked like then is not known: say it anew
            v->rows[i].modseq = 0;
            v->rows[i].flags = UINT32_MAX;
        }
    if (!store_expunged(r, mailbox, modseq, add_expunged, v, e)) {
        view_free(v);
        return NULL;
    }
    qsort(v->rows, v->n, sizeof *v->rows, by_uid);
    return v;
}

size_t view_find(const struct view *v, uint32_t uid, bool *found)
{
    size_t low = 0, high = v->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (v->rows[mid].uid < uid)
            low = mid + 1;
        else
            high = mid;
    }
    *found = low < v->n && v->rows[low].uid == uid;
    return low;
}

/* What a sync found out. */
struct changes {
    struct view *v;
    size_t had; // rows before
    uint32_t *changed, *gone; // uids
    size_t n_changed, cap_changed, n_gone, cap_gone;
    struct arena a;
};

static bool note_row(void *ctx, const struct store_row *row)
{
    struct changes *ch = ctx;
    struct view *v = ch->v;
    bool found;
    size_t at = view_find(v, row->uid, &found);

    if (found) {
        if (row->modseq <= v->rows[at].modseq)
            return true;
        fill(v, &v->rows[at], row);
    } else if (row->uid >= v->uidnext) {
        fill(v, push(v), row);
        v->uidnext = row->uid + 1;
    } else {
        return true;
    }
    *ARENA_PUSH(&ch->a, ch->changed, &ch->n_changed, &ch->cap_changed) = row->uid;
    return true;
}

// While sequence numbers stay, nothing new is shown either: only flags.
static bool note_flags(void *ctx, const struct store_row *row)
{
    struct changes *ch = ctx;

    return row->uid >= ch->v->uidnext || note_row(ctx, row);
}

static bool note_gone(void *ctx, uint32_t uid)
{
    struct changes *ch = ctx;

    *ARENA_PUSH(&ch->a, ch->gone, &ch->n_gone, &ch->cap_gone) = uid;
    return true;
}

static bool read_changes(struct changes *ch, struct store_reader *r, enum view_sync how,
                         uint64_t *modseq, struct err *e)
{
    struct view *v = ch->v;
    bool is_ok = store_read_begin(r, e) && store_read_modseq(r, modseq, e) &&
                 store_rows(r, v->mailbox, v->modseq, how == SYNC_ALL ? note_row : note_flags, ch,
                            e);

    if (is_ok && how == SYNC_ALL)
        is_ok = store_expunged(r, v->mailbox, v->expunge_modseq, note_gone, ch, e);
    store_read_end(r);
    return is_ok;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* RFC 9051 7.5.1: each number counts after the removals before it. */
static void remove_gone(struct changes *ch, struct buf *out)
{
    struct view *v = ch->v;
    size_t to = 0, gone = 0;

    qsort(ch->gone, ch->n_gone, sizeof *ch->gone, by_number);
    for (size_t i = 0; i < v->n; i++) {
        while (gone < ch->n_gone && ch->gone[gone] < v->rows[i].uid)
            gone++;
        if (gone < ch->n_gone && ch->gone[gone] == v->rows[i].uid) {
            if (i < ch->had) // others came and went between two syncs
                buf_printf(out, "* %zu EXPUNGE\r\n", to + 1);
        } else {
            v->rows[to++] = v->rows[i];
        }
    }
    v->n = to;
}

void imap_flags_put(struct buf *out, const struct view_row *row, bool has_modseq)
{
    BUF_PUT(out, " FLAGS (");
    store_flags_put(out, row->flags, row->keywords);
    BUF_PUT(out, ")");
    if (has_modseq)
        buf_printf(out, " MODSEQ (%llu)", (unsigned long long)row->modseq);
}

static void put_changed(struct changes *ch, bool has_condstore, struct buf *out)
{
    for (size_t i = 0; i < ch->n_changed; i++) {
        bool found;
        size_t at = view_find(ch->v, ch->changed[i], &found);

        if (!found)
            continue;
        buf_printf(out, "* %zu FETCH (UID %u", at + 1, ch->changed[i]);
        imap_flags_put(out, &ch->v->rows[at], has_condstore);
        BUF_PUT(out, ")\r\n");
    }
}

bool view_sync(struct view *v, struct store_reader *r, enum view_sync how, bool has_condstore,
               struct buf *out, struct err *e)
{
    struct changes ch = {.v = v, .had = v->n, .a = ARENA_LIMIT(1 << 30)};
    uint64_t modseq = 0;
    size_t had = v->n;
    bool is_ok = read_changes(&ch, r, how, &modseq, e);

    if (is_ok && how == SYNC_ALL) {
        if (ch.n_gone) {
            size_t before = v->n;

            remove_gone(&ch, out);
            had -= had < before - v->n ? had : before - v->n;
        }
        if (v->n > had)
            buf_printf(out, "* %zu EXISTS\r\n", v->n);
        v->modseq = v->expunge_modseq = modseq;
    }
    // Without new messages the view is behind for those: its modseq stays, and rows have their own.
    if (is_ok && how != SYNC_QUIET)
        put_changed(&ch, has_condstore, out);
    arena_fini(&ch.a);
    return is_ok;
}

void imap_sync(struct imap_conn *c, enum view_sync how)
{
    struct err e = {0};

    if (!c->view || store_modseq(account.store) == c->view->modseq)
        return;
    if (!view_sync(c->view, c->reader, how, c->has_condstore, &c->out, &e)) {
        BUF_PUT(&c->out, "* BYE cannot read the mailbox any more\r\n");
        c->is_ending = true;
    }
    store_session_seen(account.store, c->session, c->view->expunge_modseq);
}

// One range of a set as positions [*first, *last); false when a sequence number does not exist.
static bool resolve_range(const struct view *v, const struct imap_range *r, bool is_uid,
                          size_t *first, size_t *last)
{
    uint64_t low = r->first < r->last ? r->first : r->last;
    uint64_t high = r->first < r->last ? r->last : r->first;
    uint64_t star = is_uid ? (v->n ? v->rows[v->n - 1].uid : 0) : v->n;
    bool found;

    if (low == IMAP_STAR)
        low = star;
    // RFC 9051 9, seq-range: "n:*" always has the last message.
    if (high == IMAP_STAR) {
        high = star;
        if (low > high)
            low = high;
    }
    if (is_uid) {
        *first = view_find(v, (uint32_t)low, &found);
        *last = view_find(v, (uint32_t)high, &found) + found;
        return true;
    }
    *first = low ? low - 1 : 0;
    *last = high;
    return low && high <= v->n;
}

bool view_resolve(struct imap_conn *c, const struct imap_set *set, bool is_uid,
                  struct view_set *out, struct err *e)
{
    const struct view *v = c->view;
    unsigned char *chosen;
    size_t n = 0;

    *out = (struct view_set){0};
    chosen = arena_alloc(&c->a, v->n + 1);
    for (size_t i = 0; set->is_saved && i < c->n_saved; i++) {
        bool found;
        size_t at = view_find(v, c->saved[i], &found);

        if (found)
            chosen[at] = 1;
    }
    for (size_t i = 0; i < set->n; i++) {
        size_t first, last;

        if (!resolve_range(v, &set->ranges[i], is_uid, &first, &last))
            return fail(e, ERR_SYNTAX, "no message with that sequence number");
        // Ranges may overlap ten thousand times: what is chosen already is skipped in one piece.
        if (first < last && first < v->n)
            memset(chosen + first, 1, last - first);
    }
    for (size_t i = 0; i < v->n; i++)
        n += chosen[i];
    out->at = ARENA_ARRAY(&c->a, n + 1, uint32_t);
    for (size_t i = 0; i < v->n; i++)
        if (chosen[i])
            out->at[out->n++] = (uint32_t)i;
    return true;
}

void view_ranges(struct arena *a, const struct view *v, const struct view_set *set,
                 struct store_range **out, size_t *n)
{
    size_t cap = 0;

    *out = NULL;
    *n = 0;
    for (size_t i = 0; i < set->n; i++) {
        uint32_t uid = v->rows[set->at[i]].uid;

        // Neighbours in the view have nothing between them: uids only grow.
        if (i && set->at[i] == set->at[i - 1] + 1)
            (*out)[*n - 1].last = uid;
        else
            *ARENA_PUSH(a, *out, n, &cap) = (struct store_range){uid, uid};
    }
}

void imap_uids_put(struct buf *out, const uint32_t *uids, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t last = i;

        while (last + 1 < n && uids[last + 1] == uids[last] + 1)
            last++;
        buf_printf(out, i ? ",%u" : "%u", uids[i]);
        if (last > i)
            buf_printf(out, ":%u", uids[last]);
        i = last + 1;
    }
}
