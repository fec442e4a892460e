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
                         const struct store_names *keywords)
{
    static const char system_flags[] = "\\Seen \\Answered \\Flagged \\Deleted \\Draft $Forwarded "
                                       "$Junk $NotJunk $Phishing $MDNSent";
    const struct view *v = c->view;
    size_t unseen = 0;

    buf_printf(&c->out, "* FLAGS (%s", system_flags);
    for (size_t i = 0; i < keywords->n; i++) {
        BUF_PUT(&c->out, " ");
        buf_put(&c->out, keywords->items[i]);
    }
    buf_printf(&c->out, ")\r\n* OK [PERMANENTFLAGS (%s%s)] x\r\n* 0 RECENT\r\n* %zu EXISTS\r\n",
               v->is_read_only ? "" : system_flags, v->is_read_only ? "" : " \\*", v->n);
    while (unseen < v->n && (v->rows[unseen].flags & FLAG_SEEN))
        unseen++;
    if (unseen < v->n)
        buf_printf(&c->out, "* OK [UNSEEN %zu] x\r\n", unseen + 1);
    buf_printf(&c->out, "* OK [UIDVALIDITY %u] x\r\n* OK [UIDNEXT %u] x\r\n* LIST () \"/\" ",
               m->uidvalidity, m->uidnext);
    put_name(c, m->name);
    BUF_PUT(&c->out, "\r\n");
    if (c->has_condstore)
        buf_printf(&c->out, "* OK [HIGHESTMODSEQ %llu] x\r\n", (unsigned long long)m->modseq);
}

static void select_mailbox(struct imap_conn *c, struct imap_parser *p, bool is_read_only)
{
    struct store_names keywords = {0};
    struct store_mailbox m;
    struct err e = {0};
    struct str name;
    bool is_ok;

    if (!imap_space(p) || !imap_mailbox(p, &name)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (cur_skip(&p->c, ' ')) {
        if (!imap_open(p) || !imap_skip_word(p, STR("CONDSTORE")) || !imap_close(p)) {
            imap_bad(c, STR("unknown parameter"));
            return;
        }
        c->has_condstore = true;
    }
    if (!imap_end(p)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (c->view) {
        imap_unselect(c);
        BUF_PUT(&c->out, "* OK [CLOSED] x\r\n");
    }
    // From here on what is expunged is kept for us; the picture is of one moment.
    is_ok = store_read_begin(c->reader, &e) && find(c, name, &m, &e) &&
            store_keywords(c->reader, &c->a, m.id, &keywords, &e) &&
            (c->view = view_open(c->reader, &m, &e)) != NULL;
    store_read_end(c->reader);
    if (!is_ok) {
        imap_store_failed(c, &e, "NONEXISTENT");
        return;
    }
    store_session_seen(account.store, c->session, c->view->expunge_modseq);
    c->view->is_read_only = is_read_only;
    put_selected(c, &m, &keywords);
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

void cmd_create(struct imap_conn *c, struct imap_parser *p)
{
    struct str name, use = STR("");
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
    if (!canonical(c, &name))
        return;
    if (str_eq(name, STR("Inbox"))) {
        imap_no(c, NULL, STR("special mailboxname Inbox not allowed"));
    } else if (!store_mailbox_create(account.store, name, use, &e)) {
        imap_store_failed(c, &e, NULL);
    } else {
        BUF_PUT(&c->out, "* LIST (\\Subscribed");
        if (use.n) {
            BUF_PUT(&c->out, " \\");
            buf_put(&c->out, use);
        }
        BUF_PUT(&c->out, ") \"/\" ");
        put_name(c, name);
        BUF_PUT(&c->out, "\r\n");
        ok_done(c);
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
    if (store_mailbox_delete(account.store, name, &e))
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
    if (store_mailbox_rename(account.store, from, to, &e))
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
    if (store_subscribe(account.store, name, true, &e))
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
    if (store_subscribe(account.store, name, false, &e))
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
    BUF_PUT(&c->out, ")\r\n");
    if (items & STATUS_HIGHESTMODSEQ)
        c->has_condstore = true;
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

/* A mailbox that exists, or a subscription to one that does not. */
struct listed {
    struct str name;
    const struct store_mailbox *mailbox;
    bool is_subscribed, has_children, has_subscribed_child;
};

struct listing {
    struct listed *items;
    size_t n, cap;
};

static bool is_below(struct str name, struct str parent)
{
    return name.n > parent.n && name.p[parent.n] == '/' && str_starts(name, parent);
}

static void note_subscription(struct imap_conn *c, struct listing *out, struct str name)
{
    for (size_t i = 0; i < out->n; i++)
        if (str_eq(out->items[i].name, name)) {
            out->items[i].is_subscribed = true;
            return;
        }
    *ARENA_PUSH(&c->a, out->items, &out->n, &out->cap) =
        (struct listed){.name = name, .is_subscribed = true};
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

static bool collect(struct imap_conn *c, struct listing *out, struct err *e)
{
    struct store_mailboxes mailboxes = {0};
    struct store_names subscriptions = {0};

    if (!store_mailbox_list(c->reader, &c->a, &mailboxes, e) ||
        !store_subscriptions(c->reader, &c->a, &subscriptions, e))
        return false;
    for (size_t i = 0; i < mailboxes.n; i++)
        *ARENA_PUSH(&c->a, out->items, &out->n, &out->cap) =
            (struct listed){.name = mailboxes.items[i].name, .mailbox = &mailboxes.items[i]};
    for (size_t i = 0; i < subscriptions.n; i++)
        note_subscription(c, out, subscriptions.items[i]);
    qsort(out->items, out->n, sizeof *out->items, by_name);
    for (size_t i = 0; i < out->n; i++)
        for (size_t k = 0; k < out->n; k++)
            if (is_below(out->items[k].name, out->items[i].name)) {
                out->items[i].has_children |= out->items[k].mailbox != NULL;
                out->items[i].has_subscribed_child |= out->items[k].is_subscribed;
            }
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

static bool matches(struct imap_conn *c, const struct imap_list *l, struct str name)
{
    for (size_t i = 0; i < l->patterns.n; i++) {
        struct str pattern;

        if (full_pattern(c, l->reference, l->patterns.items[i], &pattern) &&
            imap_list_match(pattern, name))
            return true;
    }
    return false;
}

static void put_listed(struct imap_conn *c, const struct listed *m, const struct imap_list *l,
                       bool is_lsub)
{
    unsigned o = l->options;
    const char *space = "";

#define FLAG(text)                                                                                 \
    do {                                                                                           \
        buf_printf(&c->out, "%s%s", space, (text));                                                \
        space = " ";                                                                               \
    } while (0)
    buf_printf(&c->out, is_lsub ? "* LSUB (" : "* LIST (");
    if (!is_lsub) {
        if (!m->mailbox)
            FLAG("\\NonExistent");
        if (m->is_subscribed && (o & (LIST_SELECT_SUBSCRIBED | LIST_RETURN_SUBSCRIBED)))
            FLAG("\\Subscribed");
        if (m->mailbox)
            FLAG(m->has_children ? "\\HasChildren" : "\\HasNoChildren");
        if (m->mailbox && m->mailbox->special_use.n) {
            FLAG("\\");
            buf_put(&c->out, m->mailbox->special_use);
        }
    } else if (!m->is_subscribed) {
        FLAG("\\NoSelect");
    }
#undef FLAG
    BUF_PUT(&c->out, ") \"/\" ");
    put_name(c, m->name);
    if ((o & LIST_SELECT_RECURSIVEMATCH) && (o & LIST_SELECT_SUBSCRIBED) &&
        m->has_subscribed_child)
        BUF_PUT(&c->out, " (\"CHILDINFO\" (\"SUBSCRIBED\"))");
    BUF_PUT(&c->out, "\r\n");
}

static bool is_selected(const struct listed *m, unsigned o)
{
    if (o & LIST_SELECT_SUBSCRIBED)
        return m->is_subscribed || ((o & LIST_SELECT_RECURSIVEMATCH) && m->has_subscribed_child);
    if (!m->mailbox)
        return false;
    return !(o & LIST_SELECT_SPECIAL_USE) || m->mailbox->special_use.n;
}

void cmd_list(struct imap_conn *c, struct imap_parser *p)
{
    struct listing all = {0};
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
    for (size_t i = 0; i < all.n; i++) {
        const struct listed *m = &all.items[i];

        if (!is_selected(m, l.options) || !matches(c, &l, m->name))
            continue;
        put_listed(c, m, &l, false);
        if (l.status && m->mailbox)
            put_status(c, m->mailbox, l.status);
    }
    ok_done(c);
}

/* RFC 3501 6.3.9: with "%", a parent that is not subscribed stands for its subscribed children. */
void cmd_lsub(struct imap_conn *c, struct imap_parser *p)
{
    struct listing all = {0};
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
    has_percent = str_ends(l.patterns.items[0], STR("%"));
    for (size_t i = 0; i < all.n; i++) {
        const struct listed *m = &all.items[i];

        if ((m->is_subscribed || (has_percent && m->has_subscribed_child)) &&
            matches(c, &l, m->name))
            put_listed(c, m, &l, true);
    }
    ok_done(c);
}

void cmd_namespace(struct imap_conn *c, struct imap_parser *p)
{
    (void)p;
    BUF_PUT(&c->out, "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
    ok_done(c);
}
