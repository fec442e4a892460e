/*
 * The selected mailbox as a client knows it, and what to tell it when that changes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "role/account/imap_conn.h"

enum {
    VIEW_KEYWORD_MEMORY = 64 << 20,
    SPARE_VIEWS = 8,
    SPARE_ROWS = 400 * 1000, // 56 bytes each
    VANISHED_BYTES = 4 * 1024 - 64, // of one line's set: mox-imap-store-cli-config.md 1.1
};

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

/* --- views that nobody uses at the moment ----------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    struct view *views; // the one given last first
} spare = {.lock = PTHREAD_MUTEX_INITIALIZER};

void view_give(struct view *v)
{
    struct view *drop = NULL;
    size_t rows = 0, n = 0;

    if (!v || !v->is_loaded) {
        view_free(v);
        return;
    }
    pthread_mutex_lock(&spare.lock);
    v->next = spare.views;
    spare.views = v;
    for (struct view **at = &spare.views; *at; at = &(*at)->next) {
        rows += (*at)->n;
        // Of one mailbox the latest is enough, and of all together not too much.
        if (++n > SPARE_VIEWS || rows > SPARE_ROWS || (*at != v && (*at)->mailbox == v->mailbox)) {
            drop = *at;
            *at = drop->next;
            break;
        }
    }
    pthread_mutex_unlock(&spare.lock);
    view_free(drop);
}

static struct view *take_spare(uint64_t mailbox, uint32_t uidvalidity)
{
    struct view *v = NULL;

    pthread_mutex_lock(&spare.lock);
    for (struct view **at = &spare.views; *at; at = &(*at)->next)
        if ((*at)->mailbox == mailbox && (*at)->uidvalidity == uidvalidity) {
            v = *at;
            *at = v->next;
            v->next = NULL;
            break;
        }
    pthread_mutex_unlock(&spare.lock);
    return v;
}

/* --- reading the rows ------------------------------------------------------------------------------- */

static bool add_row(void *ctx, const struct store_row *row)
{
    struct view *v = ctx;

    fill(v, push(v), row);
    return true;
}

static int by_uid(const void *a, const void *b)
{
    const struct view_row *x = a, *y = b;

    return (x->uid > y->uid) - (x->uid < y->uid);
}

static bool add_expunged(void *ctx, const struct store_gone *gone)
{
    struct view *v = ctx;

    if (gone->uid < v->uidnext) { // view_sync takes it away again, and says so
        struct view_row *row = push(v);

        row->uid = gone->uid;
        row->email = gone->email;
        row->modseq = gone->modseq;
    }
    return true;
}

// Rows as they are now, turned back to what the client knows: that of v->modseq and v->uidnext.
static bool load(struct view *v, struct store_reader *r, struct err *e)
{
    size_t known = 0;

    v->n = 0;
    if (!store_rows(r, v->mailbox, 0, add_row, v, e))
        return false;
    while (known < v->n && v->rows[known].uid < v->uidnext)
        known++;
    v->n = known;
    for (size_t i = 0; i < v->n; i++)
        if (v->rows[i].modseq > v->modseq) { // what it looked like then is not known: say it anew
            v->rows[i].modseq = 0;
            v->rows[i].flags = UINT32_MAX;
            v->has_unknown = true;
        }
    if (!store_expunged(r, v->mailbox, v->modseq, add_expunged, v, e))
        return false;
    for (size_t i = known; i < v->n; i++)
        if (!store_email_size(r, v->rows[i].email, &v->rows[i].size, &v->rows[i].received_unix, e))
            return false;
    if (v->n > known)
        qsort(v->rows, v->n, sizeof *v->rows, by_uid);
    v->is_loaded = true;
    return true;
}

bool view_load_within(struct view *v, struct store_reader *r, struct err *e)
{
    return v->is_loaded || load(v, r, e);
}

bool view_load(struct view *v, struct store_reader *r, struct err *e)
{
    bool is_ok = v->is_loaded;

    if (!is_ok) {
        is_ok = store_read_begin(r, e) && load(v, r, e);
        store_read_end(r);
    }
    return is_ok;
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
    bool has_skipped; // there are messages to be shown later
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

    ch->has_skipped |= row->uid >= ch->v->uidnext;
    return row->uid >= ch->v->uidnext || note_row(ctx, row);
}

static bool note_gone(void *ctx, const struct store_gone *gone)
{
    struct changes *ch = ctx;

    *ARENA_PUSH(&ch->a, ch->gone, &ch->n_gone, &ch->cap_gone) = gone->uid;
    return true;
}

static bool note_held(void *ctx, const struct store_gone *gone)
{
    struct changes *ch = ctx;

    (void)gone;
    ch->v->is_behind = true;
    return true;
}

// Brings the rows up to the present; in a read transaction.
static bool read_changes(struct changes *ch, struct store_reader *r, enum view_sync how,
                         struct err *e)
{
    struct view *v = ch->v;
    uint64_t now, highest;
    struct err missing = {0};

    if (!store_read_modseq(r, &now, e))
        return false;
    if (!store_mailbox_modseq(r, v->mailbox, &highest, &missing)) {
        if (missing.kind != ERR_NOT_FOUND) {
            *e = missing;
            return false;
        }
        highest = now; // deleted: its messages are gone
    }
    // Others' mailboxes change too; whether this one did is one row to read.
    if (highest > (how == SYNC_ALL ? v->modseq : v->flags_modseq)) {
        if (!v->is_loaded && !load(v, r, e))
            return false;
        ch->had = v->n;
        if (!store_rows(r, v->mailbox, v->flags_modseq,
                        how == SYNC_ALL ? note_row : note_flags, ch, e) ||
            !store_expunged(r, v->mailbox, v->modseq, how == SYNC_ALL ? note_gone : note_held, ch,
                            e))
            return false;
        v->has_unknown = false;
        v->is_behind |= ch->has_skipped;
    }
    // Rows have modseqs of their own; the view's stays behind while something is held back.
    if (!ch->has_skipped)
        v->flags_modseq = now;
    if (how == SYNC_ALL) {
        v->is_behind = false;
        v->modseq = now;
        v->highest = highest;
    }
    return true;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/*
 * RFC 9051 7.5.1: each number counts after the removals before it. RFC 7162 3.2.10: with QRESYNC
 * uids instead, and only of messages that the client knew. out NULL: in silence.
 */
static void remove_gone(struct changes *ch, unsigned style, struct buf *out)
{
    struct view *v = ch->v;
    size_t to = 0, gone = 0, n_told = 0;

    qsort(ch->gone, ch->n_gone, sizeof *ch->gone, by_number);
    for (size_t i = 0; i < v->n; i++) {
        while (gone < ch->n_gone && ch->gone[gone] < v->rows[i].uid)
            gone++;
        if (gone == ch->n_gone || ch->gone[gone] != v->rows[i].uid) {
            v->rows[to++] = v->rows[i];
            continue;
        }
        if (style & VIEW_QRESYNC)
            ch->gone[n_told++] = v->rows[i].uid;
        else if (out)
            buf_printf(out, "* %zu EXPUNGE\r\n", to + 1);
    }
    ch->had -= v->n - to;
    v->n = to;
    if (out && (style & VIEW_QRESYNC))
        imap_vanished_put(out, STR(""), ch->gone, n_told);
}

// These lines come by the hundred thousand: printf would be most of the work.
void imap_fetch_begin(struct buf *out, size_t at, const struct view_row *row)
{
    BUF_PUT(out, "* ");
    buf_put_u64(out, at + 1);
    BUF_PUT(out, " FETCH (UID ");
    buf_put_u64(out, row->uid);
}

void imap_modseq_put(struct buf *out, const struct view_row *row)
{
    BUF_PUT(out, " MODSEQ (");
    buf_put_u64(out, row->modseq);
    BUF_PUT(out, ")");
}

void imap_flags_put(struct buf *out, const struct view_row *row, bool has_modseq)
{
    BUF_PUT(out, " FLAGS (");
    store_flags_put(out, row->flags, row->keywords);
    BUF_PUT(out, ")");
    if (has_modseq)
        imap_modseq_put(out, row);
}

void imap_row_put(struct buf *out, const struct view *v, size_t at, bool has_modseq)
{
    imap_fetch_begin(out, at, &v->rows[at]);
    imap_flags_put(out, &v->rows[at], has_modseq);
    BUF_PUT(out, ")\r\n");
}

static void put_changed(struct changes *ch, const struct view_set *own, unsigned style,
                        struct buf *out)
{
    size_t next = 0;

    for (size_t i = 0; i < ch->n_changed; i++) { // by uid, as own is
        bool found;
        size_t at = view_find(ch->v, ch->changed[i], &found);

        while (own && next < own->n && own->at[next] < at)
            next++;
        if (found && !(own && next < own->n && own->at[next] == at))
            imap_row_put(out, ch->v, at, style & VIEW_CONDSTORE);
    }
}

static bool sync_view(struct view *v, struct store_reader *r, enum view_sync how, unsigned style,
                      const struct view_set *own, struct buf *out, struct err *e)
{
    struct changes ch = {.v = v, .had = v->n, .a = ARENA_LIMIT(1 << 30)};
    bool is_ok = read_changes(&ch, r, how, e);

    if (is_ok && ch.n_gone)
        remove_gone(&ch, style, out);
    if (is_ok && out) {
        if (v->n > ch.had)
            buf_printf(out, "* %zu EXISTS\r\n", v->n);
        put_changed(&ch, own, style, out);
    }
    arena_fini(&ch.a);
    return is_ok;
}

struct view *view_open(struct store_reader *r, const struct store_mailbox *m, struct err *e)
{
    struct view *v = take_spare(m->id, m->uidvalidity);
    struct err stale = {0};

    if (v && !sync_view(v, r, SYNC_ALL, 0, NULL, NULL, &stale)) {
        view_free(v);
        v = NULL;
    }
    if (!v) {
        v = new_view(m->id, m->name);
        v->uidvalidity = m->uidvalidity;
        v->highest = m->modseq;
        if (!store_read_modseq(r, &v->modseq, e)) {
            view_free(v);
            return NULL;
        }
        v->flags_modseq = v->modseq;
    }
    v->uidnext = m->uidnext;
    if (!str_eq(v->name, m->name))
        v->name = arena_dup(&v->a, m->name);
    return v;
}

struct view *view_open_at(uint64_t mailbox, struct str name, uint32_t uidvalidity, uint32_t uidnext,
                          uint64_t modseq, uint64_t highest)
{
    struct view *v = new_view(mailbox, name);

    v->uidvalidity = uidvalidity;
    v->uidnext = uidnext;
    v->modseq = v->flags_modseq = modseq;
    v->highest = highest;
    return v;
}

static unsigned style_of(const struct imap_conn *c)
{
    return (c->has_condstore ? VIEW_CONDSTORE : 0) | (c->has_qresync ? VIEW_QRESYNC : 0);
}

static bool sync_conn(struct imap_conn *c, enum view_sync how, const struct view_set *own,
                      struct err *e)
{
    bool is_ok = store_read_begin(c->reader, e) &&
                 sync_view(c->view, c->reader, how, style_of(c), own, &c->out, e);

    store_read_end(c->reader);
    return is_ok;
}

void imap_sync(struct imap_conn *c, enum view_sync how)
{
    uint64_t now = store_modseq(account.store);
    struct err e = {0};

    if (how == SYNC_ALL && !c->is_listing && c->told_modseq != now)
        imap_events_put(c);
    // A reader sees a commit before the store's modseq says so.
    if (!c->view || (now == c->view->modseq && !c->view->has_unknown))
        return;
    if (!sync_conn(c, how, NULL, &e)) {
        LOG(LOG_ERROR, "imapserver", "cannot read the mailbox", LOG_E(&e));
        BUF_PUT(&c->out, "* BYE cannot read the mailbox any more\r\n");
        c->is_ending = true;
    }
    if (c->session)
        store_session_seen(account.store, c->session, c->view->modseq);
}

bool imap_refresh(struct imap_conn *c, const struct view_set *own, struct err *e)
{
    return sync_conn(c, SYNC_NO_EXPUNGE, own, e);
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

void imap_vanished_range_put(struct imap_vanished *v, uint32_t first, uint32_t last)
{
    size_t start;

    if (v->n_bytes > VANISHED_BYTES) {
        BUF_PUT(v->out, "\r\n");
        v->n_bytes = 0;
    }
    if (!v->n_bytes) {
        BUF_PUT(v->out, "* VANISHED ");
        buf_put(v->out, v->kind);
    }
    start = v->out->n;
    buf_printf(v->out, v->n_bytes ? ",%u" : "%u", first);
    if (last > first)
        buf_printf(v->out, ":%u", last);
    v->n_bytes += v->out->n - start;
}

void imap_vanished_end(struct imap_vanished *v)
{
    if (v->n_bytes)
        BUF_PUT(v->out, "\r\n");
}

void imap_vanished_put(struct buf *out, struct str kind, const uint32_t *uids, size_t n)
{
    struct imap_vanished v = {.out = out, .kind = kind};

    for (size_t i = 0, last; i < n; i = last + 1) {
        for (last = i; last + 1 < n && uids[last + 1] == uids[last] + 1;)
            last++;
        imap_vanished_range_put(&v, uids[i], uids[last]);
    }
    imap_vanished_end(&v);
}
