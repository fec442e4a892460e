/*
 * Commands that change messages: STORE, COPY, MOVE, EXPUNGE (RFC 9051 6.4).
 */
#include "role/account/imap_conn.h"

bool imap_store_flags(struct imap_conn *c, const struct imap_words *words, uint32_t *flags,
                      struct str *keywords)
{
    struct store_names names = {0};
    struct err e = {0};

    *flags = 0;
    for (size_t i = 0; i < words->n; i++)
        if (!store_flag_parse(&c->a, words->items[i], flags, &names, &e)) {
            imap_bad(c, str_of(e.text));
            return false;
        }
    *keywords = store_keywords_join(&c->a, &names);
    return true;
}

static bool is_read_only(struct imap_conn *c)
{
    if (c->view->is_read_only)
        imap_no(c, NULL, STR("the mailbox is open read-only"));
    return c->view->is_read_only;
}

/* --- STORE (RFC 9051 6.4.6, RFC 7162 3.1.3) -------------------------------------------------------- */

struct store_args {
    struct imap_set set;
    struct store_flags_change change;
    bool is_silent;
};

static bool store_arguments(struct imap_parser *p, struct store_args *out,
                            struct imap_words *words)
{
    *out = (struct store_args){0};
    if (!imap_space(p) || !imap_sequence_set(p, &out->set) || !imap_space(p))
        return false;
    if (cur_skip(&p->c, '(')) {
        if (!imap_skip_word(p, STR("UNCHANGEDSINCE")) || !imap_space(p) ||
            !imap_number(p, INT64_MAX, &out->change.unchanged_since) || !imap_close(p) ||
            !imap_space(p))
            return fail(p->e, ERR_SYNTAX, "(UNCHANGEDSINCE number) expected");
        out->change.has_unchanged_since = true;
    }
    out->change.op = cur_skip(&p->c, '+')   ? FLAGS_ADD
                     : cur_skip(&p->c, '-') ? FLAGS_REMOVE
                                            : FLAGS_SET;
    out->is_silent = imap_skip_word(p, STR("FLAGS.SILENT"));
    if (!out->is_silent && !imap_skip_word(p, STR("FLAGS")))
        return fail(p->e, ERR_SYNTAX, "FLAGS expected");
    return imap_space(p) && imap_flag_list(p, true, words) && imap_end(p);
}

enum { STORED_FOUND = 1, STORED_TOLD = 2 }; // it is there; its flags have to be told

/* What the store said about the messages of a STORE. */
struct stored {
    struct imap_conn *c;
    const struct view_set *rows;
    unsigned char *state; // per row
    uint64_t *after;      // per row: the modseq it has by this command
    uint32_t *failed;    // uids, ascending
    size_t n_failed, cap_failed, n_found, at;
};

// Both are in the order of uids.
static size_t row_of(struct stored *s, uint32_t uid)
{
    while (s->at < s->rows->n && s->c->view->rows[s->rows->at[s->at]].uid < uid)
        s->at++;
    return s->at;
}

static void note_found(void *ctx, uint32_t uid, uint64_t before, uint64_t after)
{
    struct stored *s = ctx;
    size_t i = row_of(s, uid);

    s->n_found++;
    if (i == s->rows->n)
        return;
    s->state[i] |= STORED_FOUND;
    s->after[i] = after;
    // Somebody else changed it since it was told: then silence would hide that (RFC 9051 6.4.6).
    if (before > s->c->view->rows[s->rows->at[i]].modseq)
        s->state[i] |= STORED_TOLD;
}

static bool note_failed(void *ctx, uint32_t uid)
{
    struct stored *s = ctx;
    size_t i = row_of(s, uid);

    if (i < s->rows->n)
        s->state[i] |= STORED_TOLD;
    *ARENA_PUSH(&s->c->a, s->failed, &s->n_failed, &s->cap_failed) = uid;
    return true;
}

// The view is newer than the store's change: which has not come to a message there, did to one that somebody
// expunged the moment after. It is gone, as one that went before.
static void drop_gone(struct stored *s)
{
    for (size_t i = 0; i < s->rows->n; i++)
        if ((s->state[i] & STORED_FOUND) && s->c->view->rows[s->rows->at[i]].modseq < s->after[i]) {
            s->state[i] = 0;
            s->n_found--;
        }
}

// What the messages look like now: for all when not silent, and modseqs in any case.
static void put_stored(struct imap_conn *c, const struct stored *s, bool is_silent)
{
    for (size_t i = 0; i < s->rows->n && !c->is_ending; i++) {
        uint32_t at = s->rows->at[i];
        const struct view_row *row = &c->view->rows[at];

        if (!(s->state[i] & STORED_FOUND))
            continue;
        // The same when somebody changed it since the store did, for the view is newer than that.
        if (!is_silent || (s->state[i] & STORED_TOLD) || row->modseq > s->after[i])
            imap_row_put(&c->out, c->view, at, c->has_condstore);
        else if (c->has_condstore)
            buf_printf(&c->out, "* %u FETCH (UID %u MODSEQ (%llu))\r\n", at + 1, row->uid,
                       (unsigned long long)row->modseq);
        (void)imap_flush(c, false);
    }
}

static void reply_stored(struct imap_conn *c, struct stored *s, bool is_uid)
{
    if (s->n_failed) {
        AUTO_BUF text = BUF_LIMIT(4 << 20);

        // RFC 7162 3.1.3: in the numbers of the command.
        for (size_t i = 0; i < s->n_failed && !is_uid; i++) {
            bool found;

            s->failed[i] = (uint32_t)view_find(c->view, s->failed[i], &found) + 1;
        }
        BUF_PUT(&text, "[MODIFIED ");
        imap_uids_put(&text, s->failed, s->n_failed);
        BUF_PUT(&text, "] some were changed meanwhile");
        imap_ok(c, buf_str(&text));
    } else if (s->n_found < s->rows->n && !is_uid) {
        // RFC 5530, RFC 7162 3.1.3: their numbers cannot be taken back before the next command.
        imap_no(c, "EXPUNGEISSUED", STR("some of the messages are gone"));
    } else {
        imap_ok(c, arena_printf(&c->a, "%sSTORE done", is_uid ? "UID " : ""));
    }
}

void cmd_store(struct imap_conn *c, struct imap_parser *p, bool is_uid)
{
    struct imap_words words;
    struct store_range *ranges;
    struct view_set rows;
    struct store_args a;
    struct stored s = {.c = c, .rows = &rows};
    struct err e = {0};

    if (!store_arguments(p, &a, &words)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (!imap_store_flags(c, &words, &a.change.flags, &a.change.keywords) || is_read_only(c))
        return;
    if (!view_resolve(c, &a.set, is_uid, &rows, &e)) {
        imap_bad(c, str_of(e.text));
        return;
    }
    if (a.change.has_unchanged_since)
        imap_enable_condstore(c);
    view_ranges(&c->a, c->view, &rows, &ranges, &a.change.n_ranges);
    s.state = arena_alloc(&c->a, rows.n + 1);
    s.after = ARENA_ARRAY(&c->a, rows.n + 1, uint64_t);
    a.change.mailbox = c->view->mailbox;
    a.change.ranges = ranges;
    a.change.found = note_found;
    a.change.found_ctx = &s;
    if (rows.n && (!store_flags(account.store, &a.change, note_failed, &s, &e) ||
                   !imap_refresh(c, &rows, &e))) {
        imap_store_failed(c, &e, NULL);
        return;
    }
    drop_gone(&s);
    put_stored(c, &s, a.is_silent);
    reply_stored(c, &s, is_uid);
}

/* --- COPY, MOVE (RFC 9051 6.4.7, 6.4.8, RFC 4315) -------------------------------------------------- */

/* Uids as they come, ascending: ranges, so that thousands in a row take no memory. */
struct uid_ranges {
    struct store_range *items;
    size_t n, cap;
};

static void add_uid(struct arena *a, struct uid_ranges *r, uint32_t uid)
{
    if (r->n && r->items[r->n - 1].last + 1 == uid)
        r->items[r->n - 1].last = uid;
    else
        *ARENA_PUSH(a, r->items, &r->n, &r->cap) = (struct store_range){uid, uid};
}

static void put_uids(struct buf *out, const struct uid_ranges *r)
{
    for (size_t i = 0; i < r->n; i++) {
        buf_printf(out, i ? ",%u" : "%u", r->items[i].first);
        if (r->items[i].last > r->items[i].first)
            buf_printf(out, ":%u", r->items[i].last);
    }
}

struct copied {
    struct arena *a;
    struct uid_ranges from, to;
};

static bool add_copied(void *ctx, uint32_t from, uint32_t to)
{
    struct copied *copied = ctx;

    add_uid(copied->a, &copied->from, from);
    add_uid(copied->a, &copied->to, to);
    return true;
}

static void put_copyuid(struct buf *out, uint32_t uidvalidity, const struct copied *copied)
{
    buf_printf(out, "[COPYUID %u ", uidvalidity);
    put_uids(out, &copied->from);
    BUF_PUT(out, " ");
    put_uids(out, &copied->to);
    BUF_PUT(out, "]");
}

// The tagged OK of a command that removed messages: RFC 7162 3.2.7, 3.2.9.
static void ok_removed(struct imap_conn *c, const char *command, bool is_uid)
{
    struct str done = arena_printf(&c->a, "%s%s done", is_uid ? "UID " : "", command);

    if (c->has_condstore)
        done = arena_printf(&c->a, "[HIGHESTMODSEQ %llu] %.*s",
                            (unsigned long long)c->view->highest, STR_FMT(done));
    imap_ok(c, done);
}

static void reply_copied(struct imap_conn *c, uint32_t uidvalidity, const struct copied *copied,
                         bool is_move, bool is_uid)
{
    AUTO_BUF code = BUF_LIMIT(16 << 20);

    put_copyuid(&code, uidvalidity, copied);
    if (is_move) {
        // RFC 6851 3.3: where they went, before they disappear.
        BUF_PUT(&c->out, "* OK ");
        buf_put(&c->out, buf_str(&code));
        BUF_PUT(&c->out, " moved\r\n");
        imap_sync(c, SYNC_ALL);
        ok_removed(c, "MOVE", is_uid);
    } else {
        imap_sync(c, SYNC_ALL);
        BUF_PUT(&code, " copied");
        imap_ok(c, buf_str(&code));
    }
}

static void copy_or_move(struct imap_conn *c, struct imap_parser *p, bool is_uid, bool is_move)
{
    struct copied copied = {.a = &c->a};
    struct store_range *ranges;
    struct store_mailbox target;
    struct imap_set set;
    struct view_set rows;
    struct str to;
    uint32_t uidvalidity = 0;
    size_t n;
    struct err e = {0};

    if (!imap_space(p) || !imap_sequence_set(p, &set) || !imap_space(p) || !imap_mailbox(p, &to) ||
        !imap_end(p)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (is_move && is_read_only(c))
        return;
    if (!view_resolve(c, &set, is_uid, &rows, &e)) {
        imap_bad(c, str_of(e.text));
        return;
    }
    if (!store_mailbox_name(&c->a, to, &to, &e)) {
        imap_no(c, "TRYCREATE", STR("no such mailbox"));
        return;
    }
    if (!store_mailbox_find(c->reader, &c->a, to, &target, &e)) {
        imap_store_failed(c, &e, "TRYCREATE");
        return;
    }
    if (target.id == c->view->mailbox) {
        imap_no(c, NULL, STR("source and destination are the same mailbox"));
        return;
    }
    view_ranges(&c->a, c->view, &rows, &ranges, &n);
    if (n && !store_copy(account.store, c->view->mailbox, ranges, n, to, is_move, &uidvalidity,
                         add_copied, &copied, &e)) {
        imap_store_failed(c, &e, "TRYCREATE");
        return;
    }
    if (copied.from.n) {
        reply_copied(c, uidvalidity, &copied, is_move, is_uid);
        return;
    }
    imap_sync(c, SYNC_ALL);
    // RFC 9051 6.4.9: uids that do not exist are no error. Numbers always do, "$" may be empty.
    if (is_uid || !rows.n)
        imap_ok(c, arena_printf(&c->a, "%s%s done, no messages", is_uid ? "UID " : "",
                                is_move ? "MOVE" : "COPY"));
    else
        imap_no(c, "EXPUNGEISSUED", STR("the messages are gone"));
}

void cmd_copy(struct imap_conn *c, struct imap_parser *p, bool is_uid)
{
    copy_or_move(c, p, is_uid, false);
}

void cmd_move(struct imap_conn *c, struct imap_parser *p, bool is_uid)
{
    copy_or_move(c, p, is_uid, true);
}

/* --- EXPUNGE (RFC 9051 6.4.3, RFC 4315 2.1) -------------------------------------------------------- */

void cmd_expunge(struct imap_conn *c, struct imap_parser *p, bool is_uid)
{
    struct imap_range all = {1, IMAP_STAR};
    struct imap_set set = {.ranges = &all, .n = 1};
    struct store_range *ranges;
    struct view_set rows;
    size_t n = 0;
    struct err e = {0};

    if ((is_uid && (!imap_space(p) || !imap_sequence_set(p, &set))) || !imap_end(p)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (is_read_only(c))
        return;
    if (!view_resolve(c, &set, true, &rows, &e)) {
        imap_bad(c, str_of(e.text));
        return;
    }
    // Flags were brought up to date before: only those rows need a look, not the whole mailbox.
    for (size_t i = 0; i < rows.n; i++)
        if (c->view->rows[rows.at[i]].flags & FLAG_DELETED)
            rows.at[n++] = rows.at[i];
    rows.n = n;
    view_ranges(&c->a, c->view, &rows, &ranges, &n);
    if (n && !store_expunge(account.store, c->view->mailbox, ranges, n, true, &e)) {
        imap_store_failed(c, &e, NULL);
        return;
    }
    imap_sync(c, SYNC_ALL);
    ok_removed(c, "EXPUNGE", is_uid);
}
