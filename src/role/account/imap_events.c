/*
 * What happens to mailboxes in other sessions, told as untagged LIST (RFC 9051 6.3.4 to 6.3.8;
 * mox-imap-store-cli-config.md 1.3, "Unsolicited updates").
 */
#include "role/account/imap_conn.h"

static void put_flag(struct imap_conn *c, bool *is_first, const char *before, struct str name)
{
    if (!*is_first)
        BUF_PUT(&c->out, " ");
    buf_put(&c->out, str_of(before));
    buf_put(&c->out, name);
    *is_first = false;
}

static void put_line(struct imap_conn *c, const struct store_event *event, struct str old_name)
{
    bool is_first = true;

    BUF_PUT(&c->out, "* LIST (");
    if (!event->exists)
        put_flag(c, &is_first, "\\", STR("NonExistent"));
    if (event->is_subscribed)
        put_flag(c, &is_first, "\\", STR("Subscribed"));
    if (event->exists && event->special_use.n)
        put_flag(c, &is_first, "\\", event->special_use);
    BUF_PUT(&c->out, ") \"/\" ");
    imap_mailbox_put(&c->out, event->name, c->has_utf8);
    if (c->has_rev2 && old_name.n) {
        BUF_PUT(&c->out, " (\"OLDNAME\" (");
        imap_mailbox_put(&c->out, old_name, c->has_utf8);
        BUF_PUT(&c->out, "))");
    }
    BUF_PUT(&c->out, "\r\n");
}

struct telling {
    struct imap_conn *c;
    struct str created, asked; // the client's words for a mailbox that it created
};

static void tell(void *ctx, const struct store_event *event)
{
    struct telling *t = ctx;
    struct imap_conn *c = t->c;
    struct view *v = c->view;

    if (event->kind == EVENT_RENAMED && v && v->mailbox == event->mailbox)
        v->name = arena_dup(&v->a, event->name);
    // What a session did itself is in its reply, but what else CREATE made is news.
    if (c->session && event->by == c->session && event->kind != EVENT_CREATED)
        return;
    if (event->kind == EVENT_DELETED && !c->has_rev2)
        return; // RFC 3501 has no word for it
    put_line(c, event,
             event->kind == EVENT_CREATED && str_eq(event->name, t->created) ? t->asked
                                                                            : event->old_name);
}

void imap_events_put(struct imap_conn *c)
{
    store_events(account.store, &c->told_modseq, tell, &(struct telling){.c = c});
}

void imap_created_put(struct imap_conn *c, struct str asked, struct str name)
{
    struct telling t = {c, name, str_eq(asked, name) ? STR("") : asked};

    store_events(account.store, &c->told_modseq, tell, &t);
}
