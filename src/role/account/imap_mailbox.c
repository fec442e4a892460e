/*
 * Commands about mailboxes (RFC 9051 6.3).
 */
#include <stdlib.h>
#include "role/account/imap_conn.h"

static void put_name(struct imap_conn *c, struct str name)
{
    imap_mailbox_put(&c->out, name, c->has_utf8);
}

// The one argument of many commands. False after a reply.
static bool one_mailbox(struct imap_conn *c, struct imap_parser *p, struct str *out)
{
    if (imap_space(p) && imap_mailbox(p, out) && imap_end(p))
        return true;
    imap_bad(c, str_of(c->e.text));
    return false;
}

// The canonical form of a name that a client chose.
static bool canonical(struct imap_conn *c, struct str *name)
{
    struct err e = {0};

    if (store_mailbox_name(&c->a, *name, name, &e))
        return true;
    imap_no(c, "CANNOT", str_of(e.text));
    return false;
}

static void ok_done(struct imap_conn *c)
{
    imap_ok(c, arena_printf(&c->a, "%.*s done", STR_FMT(c->command)));
}

static bool find(struct imap_conn *c, struct str name, struct store_mailbox *out, struct err *e)
{
    struct str own;

    // A name that may not exist does not exist.
    if (!store_mailbox_name(&c->a, name, &own, e))
        return fail(e, ERR_NOT_FOUND, "no such mailbox");
    return store_mailbox_find(c->reader, &c->a, own, out, e);
}

/* --- SELECT (RFC 9051 6.3.2, RFC 7162 3.1.8) ------------------------------------------------------- */

static void put_selected(struct imap_conn *c, const struct store_mailbox *m,
                         const struct store_names *keywords, uint32_t first_unseen)
{
    static const char system_flags[] = "\\Seen \\Answered \\Flagged \\Deleted \\Draft $Forwarded "
                                       "$Junk $NotJunk $Phishing $MDNSent";
    const struct view *v = c->view;

    buf_printf(&c->out, "* FLAGS (%s", system_flags);
    for (size_t i = 0; i < keywords->n; i++) {
        BUF_PUT(&c->out, " ");
        buf_put(&c->out, keywords->items[i]);
    }
    buf_printf(&c->out, ")\r\n* OK [PERMANENTFLAGS (%s%s)] x\r\n",
               v->is_read_only ? "" : system_flags, v->is_read_only ? "" : " \\*");
    if (!c->has_rev2) // RFC 9051 appendix E: neither exists any more
        BUF_PUT(&c->out, "* 0 RECENT\r\n");
    buf_printf(&c->out, "* %llu EXISTS\r\n", (unsigned long long)m->total);
    if (!c->has_rev2 && first_unseen)
        buf_printf(&c->out, "* OK [UNSEEN %u] x\r\n", first_unseen);
    buf_printf(&c->out, "* OK [UIDVALIDITY %u] x\r\n* OK [UIDNEXT %u] x\r\n* LIST () \"/\" ",
               m->uidvalidity, m->uidnext);
    put_name(c, m->name);
    BUF_PUT(&c->out, "\r\n* OK [MAILBOXID (");
    imap_id_put(&c->out, 'b', m->id);
    BUF_PUT(&c->out, ")] x\r\n");
    if (c->has_condstore)
        buf_printf(&c->out, "* OK [HIGHESTMODSEQ %llu] x\r\n", (unsigned long long)m->modseq);
}

// All that SELECT says, of one moment. Rows are read for QRESYNC alone.
static bool open_mailbox(struct imap_conn *c, const struct imap_select *s, bool is_read_only,
                         struct err *e)
{
    struct store_names keywords = {0};
    struct store_mailbox m;
    uint32_t first_unseen = 0;
    bool is_ok = store_read_begin(c->reader, e) && find(c, s->mailbox, &m, e) &&
                 store_keywords(c->reader, &c->a, m.id, &keywords, e);

    if (is_ok && !c->has_rev2 && m.unseen)
        is_ok = m.unseen == m.total ? (first_unseen = 1) == 1
                                    : store_first_unseen(c->reader, m.id, &first_unseen, e);
    if (is_ok)
        is_ok = (c->view = view_open(c->reader, &m, e)) != NULL;
    if (is_ok && imap_resync_needs_rows(c->view, s))
        is_ok = view_load_within(c->view, c->reader, e);
    store_read_end(c->reader);
    if (!is_ok) {
        view_free(c->view);
        c->view = NULL;
        return false;
    }
    // From here on what is expunged is kept for us.
    store_session_seen(account.store, c->session, c->view->modseq);
    c->view->is_read_only = is_read_only;
    put_selected(c, &m, &keywords, first_unseen);
    return true;
}

static void select_mailbox(struct imap_conn *c, struct imap_parser *p, bool is_read_only)
{
    struct imap_select s;
    struct err e = {0};

    if (!imap_space(p) || !imap_select_arguments(p, &s)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (s.has_qresync && !c->has_qresync) {
        imap_bad(c, STR("QRESYNC is not enabled"));
        return;
    }
    if (c->view) {
        imap_unselect(c);
        BUF_PUT(&c->out, "* OK [CLOSED] x\r\n");
    }
    c->has_condstore |= s.has_condstore;
    // Expunged messages are kept from before the picture is taken, so that none is lost in between.
    store_session_seen(account.store, c->session, store_modseq(account.store));
    if (!open_mailbox(c, &s, is_read_only, &e)) {
        imap_store_failed(c, &e, "NONEXISTENT");
        return;
    }
    if (s.has_qresync && !imap_resync(c, &s, &e)) {
        imap_unselect(c);
        imap_store_failed(c, &e, NULL);
        return;
    }
    imap_ok(c, is_read_only ? STR("[READ-ONLY] x") : STR("[READ-WRITE] x"));
}

void cmd_select(struct imap_conn *c, struct imap_parser *p)
{
    select_mailbox(c, p, false);
}

void cmd_examine(struct imap_conn *c, struct imap_parser *p)
{
    select_mailbox(c, p, true);
}

void cmd_close(struct imap_conn *c, struct imap_parser *p)
{
    struct store_range all = {1, UINT32_MAX};
    struct err e = {0};

    (void)p;
    // RFC 9051 6.4.1: removed without a word, and only what the client has seen.
    all.last = c->view->uidnext - 1;
    if (!c->view->is_read_only && all.last &&
        !store_expunge(account.store, c->view->mailbox, &all, 1, true, &e)) {
        imap_store_failed(c, &e, NULL);
        return;
    }
    imap_unselect(c);
    ok_done(c);
}

void cmd_unselect(struct imap_conn *c, struct imap_parser *p)
{
    (void)p;
    imap_unselect(c);
    ok_done(c);
}

/* --- changing mailboxes ---------------------------------------------------------------------------- */

// "(USE (\Sent))": RFC 6154 3. False after a reply.
static bool create_use(struct imap_conn *c, struct imap_parser *p, struct str *use)
{
    static const struct str uses[] = {STR_("Archive"), STR_("Drafts"), STR_("Junk"), STR_("Sent"),
                                      STR_("Trash")};
    struct imap_words words;

    if (!imap_open(p) || !imap_skip_word(p, STR("USE")) || !imap_space(p) ||
        !imap_is_next(p, '(') || !imap_flag_list(p, false, &words) || !imap_close(p)) {
        imap_bad(c, STR("(USE (...)) expected"));
        return false;
    }
    for (size_t i = 0; i < words.n; i++) {
        bool is_known = false;

        for (size_t k = 0; k < COUNT(uses); k++)
            if (str_starts(words.items[i], STR("\\")) &&
                str_eq_ci(str_from(words.items[i], 1), uses[k])) {
                *use = uses[k];
                is_known = true;
            }
        if (!is_known || words.n > 1) {
            imap_no(c, "USEATTR", STR("one of \\Archive \\Drafts \\Junk \\Sent \\Trash"));
            return false;
        }
    }
    return true;
}

/* RFC 8474 4.1. */
static void created_done(struct imap_conn *c, struct str name)
{
    AUTO_BUF text = BUF_LIMIT(256);
    struct store_mailbox m;
    struct err e = {0};

    if (!store_mailbox_find(c->reader, &c->a, name, &m, &e)) { // somebody has deleted it again
        ok_done(c);
        return;
    }
    BUF_PUT(&text, "[MAILBOXID (");
    imap_id_put(&text, 'b', m.id);
    BUF_PUT(&text, ")] CREATE done");
    imap_ok(c, buf_str(&text));
}

void cmd_create(struct imap_conn *c, struct imap_parser *p)
{
    struct str name, asked, use = STR("");
    struct err e = {0};

    if (!imap_space(p) || !imap_mailbox(p, &name)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (cur_skip(&p->c, ' ') && !create_use(c, p, &use))
        return;
    if (!imap_end(p)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (str_ends(name, STR("/")))
        name.n--;
    asked = name;
    if (!canonical(c, &name))
        return;
    if (str_eq(name, STR("Inbox"))) {
        imap_no(c, NULL, STR("special mailboxname Inbox not allowed"));
    } else if (!store_mailbox_create(account.store, c->session, name, use, &e)) {
        imap_store_failed(c, &e, NULL);
    } else {
        imap_created_put(c, asked, name);
        created_done(c, name);
    }
}

void cmd_delete(struct imap_conn *c, struct imap_parser *p)
{
    struct str name;
    struct err e = {0};

    if (!one_mailbox(c, p, &name))
        return;
    if (!store_mailbox_name(&c->a, name, &name, &e)) {
        imap_no(c, "NONEXISTENT", STR("no such mailbox"));
        return;
    }
    if (store_mailbox_delete(account.store, c->session, name, &e))
        ok_done(c);
    else if (e.kind == ERR_CONFLICT)
        imap_no(c, "HASCHILDREN", str_of(e.text));
    else
        imap_store_failed(c, &e, "NONEXISTENT");
}

void cmd_rename(struct imap_conn *c, struct imap_parser *p)
{
    struct str from, to;
    struct err e = {0};

    if (!imap_space(p) || !imap_mailbox(p, &from) || !imap_space(p) || !imap_mailbox(p, &to) ||
        !imap_end(p)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (str_ends(to, STR("/")))
        to.n--;
    if (!store_mailbox_name(&c->a, from, &from, &e)) {
        imap_no(c, "NONEXISTENT", STR("no such mailbox"));
        return;
    }
    if (!canonical(c, &to))
        return;
    if (store_mailbox_rename(account.store, c->session, from, to, &e))
        ok_done(c);
    else
        imap_store_failed(c, &e, "NONEXISTENT");
}

void cmd_subscribe(struct imap_conn *c, struct imap_parser *p)
{
    struct str name;
    struct err e = {0};

    if (!one_mailbox(c, p, &name) || !canonical(c, &name))
        return;
    if (store_subscribe(account.store, c->session, name, true, &e))
        ok_done(c);
    else
        imap_store_failed(c, &e, NULL);
}

void cmd_unsubscribe(struct imap_conn *c, struct imap_parser *p)
{
    struct str name;
    struct err e = {0};

    if (!one_mailbox(c, p, &name) || !canonical(c, &name))
        return;
    if (store_subscribe(account.store, c->session, name, false, &e))
        ok_done(c);
    else
        imap_store_failed(c, &e, "NONEXISTENT");
}

/* --- STATUS ---------------------------------------------------------------------------------------- */

static void put_status(struct imap_conn *c, const struct store_mailbox *m, unsigned items)
{
    const struct {
        unsigned bit;
        const char *name;
        uint64_t value;
    } numbers[] = {
        {STATUS_MESSAGES, "MESSAGES", m->total},
        {STATUS_UIDNEXT, "UIDNEXT", m->uidnext},
        {STATUS_UIDVALIDITY, "UIDVALIDITY", m->uidvalidity},
        {STATUS_UNSEEN, "UNSEEN", m->unseen},
        {STATUS_DELETED, "DELETED", m->deleted},
        {STATUS_SIZE, "SIZE", m->size},
        {STATUS_RECENT, "RECENT", 0},
        {STATUS_HIGHESTMODSEQ, "HIGHESTMODSEQ", m->modseq},
        {STATUS_APPENDLIMIT, "APPENDLIMIT", IMAP_APPEND_LIMIT},
        {STATUS_DELETED_STORAGE, "DELETED-STORAGE",
         items & STATUS_DELETED_STORAGE ? imap_deleted_storage(c, m->id) : 0},
    };
    bool is_first = true;

    BUF_PUT(&c->out, "* STATUS ");
    put_name(c, m->name);
    BUF_PUT(&c->out, " (");
    for (size_t i = 0; i < COUNT(numbers); i++)
        if (items & numbers[i].bit) {
            buf_printf(&c->out, "%s%s %llu", is_first ? "" : " ", numbers[i].name,
                       (unsigned long long)numbers[i].value);
            is_first = false;
        }
    if (items & STATUS_MAILBOXID) {
        buf_put(&c->out, is_first ? STR("MAILBOXID (") : STR(" MAILBOXID ("));
        imap_id_put(&c->out, 'b', m->id);
        BUF_PUT(&c->out, ")");
    }
    BUF_PUT(&c->out, ")\r\n");
    if (items & STATUS_HIGHESTMODSEQ)
        imap_enable_condstore(c);
}

void cmd_status(struct imap_conn *c, struct imap_parser *p)
{
    struct store_mailbox m;
    struct err e = {0};
    struct str name;
    unsigned items;

    if (!imap_space(p) || !imap_mailbox(p, &name) || !imap_space(p) ||
        !imap_status_items(p, &items) || !imap_end(p)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (!find(c, name, &m, &e)) {
        imap_store_failed(c, &e, "NONEXISTENT");
        return;
    }
    put_status(c, &m, items);
    ok_done(c);
}

/* --- LIST (RFC 9051 6.3.9, RFC 5258, RFC 5819, RFC 6154) ------------------------------------------- */

/* A mailbox that exists, a subscription to one that does not, or a parent of such a subscription. */
struct listed {
    struct str name;
    const struct store_mailbox *mailbox;
    bool is_subscribed, has_children;
    bool is_wanted, is_named;              // by the selection options; by a pattern
    bool has_wanted_below, has_other_below; // wanted ones; wanted ones that no pattern names
    struct listed *parent;
};

struct listing {
    struct listed **items; // sorted by name
    size_t n, cap;
    struct map by_name;
    struct imap_words patterns; // with the reference, Inbox as it is called
};

static void listing_fini(struct listing *l)
{
    map_fini(&l->by_name);
}

static struct listed *enter(struct imap_conn *c, struct listing *l, struct str name)
{
    struct listed *m = map_get(&l->by_name, name);

    if (!m) {
        m = ARENA_NEW(&c->a, struct listed);
        m->name = name;
        map_put(&l->by_name, name, m);
        *ARENA_PUSH(&c->a, l->items, &l->n, &l->cap) = m;
    }
    return m;
}

// With all parents, which a subscription may be all that is left of.
static struct listed *enter_path(struct imap_conn *c, struct listing *l, struct str name)
{
    struct listed *parent = NULL;

    for (size_t i = 1; i <= name.n; i++)
        if (i == name.n || name.p[i] == '/') {
            struct listed *m = enter(c, l, str_sub(name, 0, i));

            m->parent = parent;
            parent = m;
        }
    return parent;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp((*(const struct listed *const *)a)->name,
                   (*(const struct listed *const *)b)->name);
}

static bool collect(struct imap_conn *c, struct listing *out, struct err *e)
{
    struct store_mailboxes mailboxes = {0};
    struct store_names subscriptions = {0};
    bool is_ok = store_read_begin(c->reader, e) &&
                 store_mailbox_list(c->reader, &c->a, &mailboxes, e) &&
                 store_subscriptions(c->reader, &c->a, &subscriptions, e);

    store_read_end(c->reader);
    if (!is_ok)
        return false;
    for (size_t i = 0; i < mailboxes.n; i++) {
        struct listed *m = enter_path(c, out, mailboxes.items[i].name);

        m->mailbox = &mailboxes.items[i];
        for (struct listed *above = m->parent; above && !above->has_children; above = above->parent)
            above->has_children = true;
    }
    for (size_t i = 0; i < subscriptions.n; i++)
        enter_path(c, out, subscriptions.items[i])->is_subscribed = true;
    qsort(out->items, out->n, sizeof *out->items, by_name);
    return true;
}

// Reference and pattern as one, as a path (RFC 9051 6.3.9). False: matches nothing.
static bool full_pattern(struct imap_conn *c, struct str reference, struct str pattern,
                         struct str *out)
{
    if (str_starts(pattern, STR("/")) || str_starts(reference, STR("/")))
        return false;
    *out = pattern;
    if (reference.n)
        *out = arena_printf(&c->a, "%.*s%s%.*s", STR_FMT(reference),
                            str_ends(reference, STR("/")) ? "" : "/", STR_FMT(pattern));
    // Inbox in any case (RFC 9051 5.1).
    if (out->n >= 5 && str_eq_ci(str_sub(*out, 0, 5), STR("Inbox")) &&
        (out->n == 5 || out->p[5] == '/'))
        *out = arena_printf(&c->a, "Inbox%.*s", STR_FMT(str_from(*out, 5)));
    return true;
}

// What the command asks for: names that a pattern matches, and what is below them.
static void choose(struct imap_conn *c, struct listing *all, const struct imap_list *l)
{
    for (size_t i = 0; i < l->patterns.n; i++) {
        struct str pattern;

        if (full_pattern(c, l->reference, l->patterns.items[i], &pattern))
            *ARENA_PUSH(&c->a, all->patterns.items, &all->patterns.n, &all->patterns.cap) = pattern;
    }
    for (size_t i = 0; i < all->n; i++) {
        struct listed *m = all->items[i];

        for (size_t k = 0; k < all->patterns.n && !m->is_named; k++)
            m->is_named = imap_list_match(all->patterns.items[k], m->name);
        m->is_wanted = (l->options & LIST_SELECT_SUBSCRIBED) ? m->is_subscribed
                                                             : m->mailbox != NULL;
        if (l->options & LIST_SELECT_SPECIAL_USE)
            m->is_wanted &= m->mailbox && m->mailbox->special_use.n;
        for (struct listed *above = m->parent; m->is_wanted && above; above = above->parent) {
            above->has_wanted_below = true;
            above->has_other_below |= !m->is_named;
        }
    }
}

static void put_flag(struct imap_conn *c, bool *is_first, const char *text, struct str more)
{
    buf_printf(&c->out, "%s%s", *is_first ? "" : " ", text);
    buf_put(&c->out, more);
    *is_first = false;
}

static void put_listed(struct imap_conn *c, const struct listed *m, unsigned options)
{
    bool is_first = true;

    BUF_PUT(&c->out, "* LIST (");
    if (!m->mailbox)
        put_flag(c, &is_first, "\\NonExistent", STR(""));
    if (m->is_subscribed && (options & (LIST_SELECT_SUBSCRIBED | LIST_RETURN_SUBSCRIBED)))
        put_flag(c, &is_first, "\\Subscribed", STR(""));
    if (m->mailbox)
        put_flag(c, &is_first, m->has_children ? "\\HasChildren" : "\\HasNoChildren", STR(""));
    if (m->mailbox && m->mailbox->special_use.n)
        put_flag(c, &is_first, "\\", m->mailbox->special_use);
    BUF_PUT(&c->out, ") \"/\" ");
    put_name(c, m->name);
    // RFC 5258 3.5: by which criteria there is something below.
    if ((options & LIST_SELECT_RECURSIVEMATCH) && m->has_wanted_below)
        buf_printf(&c->out, " (\"CHILDINFO\" (%s%s%s))",
                   options & LIST_SELECT_SUBSCRIBED ? "\"SUBSCRIBED\"" : "",
                   (options & LIST_SELECT_SUBSCRIBED) && (options & LIST_SELECT_SPECIAL_USE) ? " "
                                                                                            : "",
                   options & LIST_SELECT_SPECIAL_USE ? "\"SPECIAL-USE\"" : "");
    BUF_PUT(&c->out, "\r\n");
}

void cmd_list(struct imap_conn *c, struct imap_parser *p)
{
    CLEANUP(listing_fini) struct listing all = {0};
    struct imap_list l;
    struct err e = {0};

    if (!imap_space(p) || !imap_list_arguments(p, &l)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (l.patterns.n == 1 && !l.patterns.items[0].n && !(l.options & LIST_IS_EXTENDED)) {
        BUF_PUT(&c->out, "* LIST () \"/\" \"\"\r\n"); // the separator is asked for
        ok_done(c);
        return;
    }
    if (!collect(c, &all, &e)) {
        imap_store_failed(c, &e, NULL);
        return;
    }
    choose(c, &all, &l);
    for (size_t i = 0; i < all.n && !c->is_ending; i++) {
        const struct listed *m = all.items[i];

        // RFC 5258 3: one that is not wanted itself only for others that are not in the answer.
        if (!m->is_named || (!m->is_wanted && !((l.options & LIST_SELECT_RECURSIVEMATCH) &&
                                                m->has_other_below)))
            continue;
        put_listed(c, m, l.options);
        if (l.status && m->mailbox && m->is_wanted)
            put_status(c, m->mailbox, l.status);
        (void)imap_flush(c, false);
    }
    ok_done(c);
}

/* RFC 3501 6.3.9: with "%", a parent that is not subscribed stands for its subscribed children. */
void cmd_lsub(struct imap_conn *c, struct imap_parser *p)
{
    CLEANUP(listing_fini) struct listing all = {0};
    struct imap_list l;
    struct err e = {0};
    bool has_percent;

    if (!imap_space(p) || !imap_list_arguments(p, &l) || l.options) {
        imap_bad(c, c->e.kind ? str_of(c->e.text) : STR("LSUB has no options"));
        return;
    }
    if (!collect(c, &all, &e)) {
        imap_store_failed(c, &e, NULL);
        return;
    }
    l.options = LIST_SELECT_SUBSCRIBED;
    choose(c, &all, &l);
    has_percent = str_ends(l.patterns.items[0], STR("%"));
    for (size_t i = 0; i < all.n && !c->is_ending; i++) {
        const struct listed *m = all.items[i];

        if (!m->is_named || !(m->is_subscribed || (has_percent && m->has_other_below)))
            continue;
        buf_put(&c->out, m->is_subscribed ? STR("* LSUB () \"/\" ")
                                          : STR("* LSUB (\\NoSelect) \"/\" "));
        put_name(c, m->name);
        BUF_PUT(&c->out, "\r\n");
        (void)imap_flush(c, false);
    }
    ok_done(c);
}

void cmd_namespace(struct imap_conn *c, struct imap_parser *p)
{
    (void)p;
    BUF_PUT(&c->out, "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
    ok_done(c);
}
