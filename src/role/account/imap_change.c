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

struct uids {
    struct imap_conn *c;
    uint32_t *items;
    size_t n, cap;
};

static bool add_uid(void *ctx, uint32_t uid)
{
    struct uids *u = ctx;

    *ARENA_PUSH(&u->c->a, u->items, &u->n, &u->cap) = uid;
    return true;
}

static bool has_uid(const struct uids *u, uint32_t uid)
{
    for (size_t i = 0; i < u->n; i++)
        if (u->items[i] == uid)
            return true;
    return false;
}

// What the messages look like now: for all when not silent, and modseqs in any case.
static void put_stored(struct imap_conn *c, const struct view_set *rows, const struct store_args *a,
                       const struct uids *failed)
{
    for (size_t i = 0; i < rows->n && !c->is_ending; i++) {
        const struct view_row *row = &c->view->rows[rows->at[i]];
        bool has_failed = failed->n && has_uid(failed, row->uid);

        if (a->is_silent && !c->has_condstore && !has_failed)
            continue;
        buf_printf(&c->out, "* %u FETCH (UID %u", rows->at[i] + 1, row->uid);
        if (a->is_silent && !has_failed)
            buf_printf(&c->out, " MODSEQ (%llu)", (unsigned long long)row->modseq);
        else
            imap_flags_put(&c->out, row, c->has_condstore);
        BUF_PUT(&c->out, ")\r\n");
        (void)imap_flush(c, false);
    }
}

void cmd_store(struct imap_conn *c, struct imap_parser *p, bool is_uid)
{
    struct uids failed = {.c = c};
    struct buf none = BUF_LIMIT(0);
    struct imap_words words;
    struct store_range *ranges;
    struct view_set rows;
    struct store_args a;
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
    c->has_condstore |= a.change.has_unchanged_since;
    view_ranges(&c->a, c->view, &rows, &ranges, &a.change.n_ranges);
    a.change.mailbox = c->view->mailbox;
    a.change.ranges = ranges;
    if ((rows.n && !store_flags(account.store, &a.change, add_uid, &failed, &e)) ||
        !view_sync(c->view, c->reader, SYNC_QUIET, false, &none, &e)) {
        imap_store_failed(c, &e, NULL);
        return;
    }
    put_stored(c, &rows, &a, &failed);
    if (failed.n) {
        AUTO_BUF text = BUF_LIMIT(1 << 20);

        // RFC 7162 3.1.3: in the numbers of the command.
        for (size_t i = 0; i < failed.n && !is_uid; i++) {
            bool found;

            failed.items[i] = (uint32_t)view_find(c->view, failed.items[i], &found) + 1;
        }
        BUF_PUT(&text, "[MODIFIED ");
        imap_uids_put(&text, failed.items, failed.n);
        BUF_PUT(&text, "] some were changed meanwhile");
        imap_ok(c, buf_str(&text));
        return;
    }
    imap_ok(c, arena_printf(&c->a, "%sSTORE done", is_uid ? "UID " : ""));
}

/* --- COPY, MOVE (RFC 9051 6.4.7, 6.4.8, RFC 4315) -------------------------------------------------- */

struct copied {
    struct uids from, to;
};

static bool add_copied(void *ctx, uint32_t from, uint32_t to)
{
    struct copied *copied = ctx;

    return add_uid(&copied->from, from) && add_uid(&copied->to, to);
}

static void put_copyuid(struct buf *out, uint32_t uidvalidity, const struct copied *copied)
{
    buf_printf(out, "[COPYUID %u ", uidvalidity);
    imap_uids_put(out, copied->from.items, copied->from.n);
    BUF_PUT(out, " ");
    imap_uids_put(out, copied->to.items, copied->to.n);
    BUF_PUT(out, "]");
}

static void copy_or_move(struct imap_conn *c, struct imap_parser *p, bool is_uid, bool is_move)
{
    struct copied copied = {{.c = c}, {.c = c}};
    AUTO_BUF code = BUF_LIMIT(4 << 20);
    struct store_range *ranges;
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
    if (str_eq(to, c->view->name)) {
        imap_no(c, NULL, STR("source and destination are the same mailbox"));
        return;
    }
    view_ranges(&c->a, c->view, &rows, &ranges, &n);
    if (!rows.n) {
        imap_no(c, NULL, STR("no messages to copy"));
        return;
    }
    if (!store_copy(account.store, c->view->mailbox, ranges, n, to, is_move, &uidvalidity,
                    add_copied, &copied, &e)) {
        imap_store_failed(c, &e, "TRYCREATE");
        return;
    }
    if (!copied.from.n) {
        imap_no(c, NULL, STR("the messages are gone"));
        return;
    }
    put_copyuid(&code, uidvalidity, &copied);
    if (is_move) {
        // RFC 6851 3.3: where they went, before they disappear.
        BUF_PUT(&c->out, "* OK ");
        buf_put(&c->out, buf_str(&code));
        BUF_PUT(&c->out, " moved\r\n");
        imap_sync(c, SYNC_ALL);
        imap_ok(c, arena_printf(&c->a, "%sMOVE done", is_uid ? "UID " : ""));
    } else {
        imap_sync(c, SYNC_ALL);
        BUF_PUT(&code, " copied");
        imap_ok(c, buf_str(&code));
    }
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
    struct imap_set set = {0};
    struct store_range *ranges;
    struct view_set rows;
    size_t n;
    struct err e = {0};

    if (is_uid && (!imap_space(p) || !imap_sequence_set(p, &set))) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (!imap_end(p)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (is_read_only(c))
        return;
    if (!is_uid) {
        set.ranges = ARENA_NEW(&c->a, struct imap_range);
        set.ranges[0] = (struct imap_range){1, IMAP_STAR};
        set.n = 1;
    }
    if (!view_resolve(c, &set, true, &rows, &e)) {
        imap_bad(c, str_of(e.text));
        return;
    }
    view_ranges(&c->a, c->view, &rows, &ranges, &n);
    if (n && !store_expunge(account.store, c->view->mailbox, ranges, n, true, &e)) {
        imap_store_failed(c, &e, NULL);
        return;
    }
    imap_sync(c, SYNC_ALL);
    if (c->has_condstore)
        imap_ok(c, arena_printf(&c->a, "[HIGHESTMODSEQ %llu] %sEXPUNGE done",
                                (unsigned long long)c->view->modseq, is_uid ? "UID " : ""));
    else
        imap_ok(c, arena_printf(&c->a, "%sEXPUNGE done", is_uid ? "UID " : ""));
}
