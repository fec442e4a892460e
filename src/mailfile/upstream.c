#include "mailfile/upstream.h"

#include <stdio.h>
#include <stdlib.h>

#include "mailfile/bstore.h"
#include "store/store.h"

struct str upstream_path(uint64_t id, char out[UPSTREAM_MAX_PATH])
{
    // 8192 files in a directory; its name has the lowest digit first.
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    char dir[16] = {0};
    size_t n = 0;

    for (uint64_t v = id >> 13; !n || v; v >>= 6)
        dir[n++] = digits[v & 63];
    snprintf(out, UPSTREAM_MAX_PATH, "msg/%s/%llu", dir, (unsigned long long)id);
    return str_of(out);
}

struct reading {
    struct upstream_account *out;
    struct arena *a;
};

static bool in_range(const struct bstore_value *v, uint64_t min, struct err *e)
{
    return (v->number >= min && v->number <= UINT32_MAX) ||
           fail(e, ERR_SYNTAX, "a UID, or a UIDVALIDITY, is not one");
}

/* --- mailboxes --------------------------------------------------------------------------------------- */

enum { BOX_ID, BOX_NAME, BOX_UIDVALIDITY, BOX_UIDNEXT, BOX_EXPUNGED, BOX_ARCHIVE, BOX_DRAFT, BOX_JUNK,
       BOX_SENT, BOX_TRASH, BOX_COUNT };
static const char *const box_fields[BOX_COUNT] = {"ID", "Name", "UIDValidity", "UIDNext", "Expunged",
                                                  "Archive", "Draft", "Junk", "Sent", "Trash"};

static bool on_mailbox(void *ctx, struct arena *unused, const struct bstore_value *v, struct err *e)
{
    static const struct str uses[] = {STR_("Archive"), STR_("Drafts"), STR_("Junk"), STR_("Sent"),
                                      STR_("Trash")};
    struct reading *r = ctx;
    struct upstream_mailbox *m;

    (void)unused;
    if (v[BOX_EXPUNGED].is_set)
        return true;
    if (!in_range(&v[BOX_UIDVALIDITY], 1, e) || !in_range(&v[BOX_UIDNEXT], 1, e))
        return false;
    m = ARENA_PUSH(r->a, r->out->mailboxes, &r->out->n_mailboxes, &r->out->cap_mailboxes);
    *m = (struct upstream_mailbox){.id = v[BOX_ID].number, .name = v[BOX_NAME].text,
                                   .uidvalidity = (uint32_t)v[BOX_UIDVALIDITY].number,
                                   .uidnext = (uint32_t)v[BOX_UIDNEXT].number};
    for (size_t i = 0; i < COUNT(uses); i++)
        if (v[BOX_ARCHIVE + i].is_set)
            m->special_use = uses[i];
    return true;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct upstream_mailbox *)a)->name, ((const struct upstream_mailbox *)b)->name);
}

/* --- messages ---------------------------------------------------------------------------------------- */

enum { MSG_ID, MSG_UID, MSG_MAILBOX, MSG_EXPUNGED, MSG_RECEIVED, MSG_SIZE, MSG_PREFIX, MSG_KEYWORDS,
       MSG_MAILFROM, MSG_EHLO, MSG_REMOTEIP, MSG_FLAGS };
static const struct {
    const char *name;
    uint32_t flag;
} flags[] = {{"Seen", FLAG_SEEN}, {"Answered", FLAG_ANSWERED}, {"Flagged", FLAG_FLAGGED},
             {"Forwarded", FLAG_FORWARDED}, {"Junk", FLAG_JUNK}, {"Notjunk", FLAG_NOTJUNK},
             {"Deleted", FLAG_DELETED}, {"Draft", FLAG_DRAFT}, {"Phishing", FLAG_PHISHING},
             {"MDNSent", FLAG_MDNSENT}};

// Words that cannot be keywords here are left out.
static struct str keywords_of(struct arena *a, const struct bstore_value *v)
{
    struct store_names names = {0};
    struct str joined;

    for (size_t i = 0; i < v->n_items; i++) {
        struct err no_keyword = {0};
        uint32_t unused = 0;

        if (!store_flag_parse(a, v->items[i], &unused, &names, &no_keyword))
            continue;
    }
    joined = store_keywords_join(a, &names);
    return joined;
}

static bool on_message(void *ctx, struct arena *a, const struct bstore_value *v, struct err *e)
{
    struct reading *r = ctx;
    struct upstream_message *m;

    if (v[MSG_EXPUNGED].is_set)
        return true;
    if (!in_range(&v[MSG_UID], 1, e))
        return false;
    m = ARENA_PUSH(r->a, r->out->messages, &r->out->n_messages, &r->out->cap_messages);
    *m = (struct upstream_message){
        .id = v[MSG_ID].number, .mailbox = v[MSG_MAILBOX].number, .uid = (uint32_t)v[MSG_UID].number,
        .size = v[MSG_SIZE].number, .received_unix = v[MSG_RECEIVED].unix_seconds,
        .prefix = v[MSG_PREFIX].text, .reverse_path = v[MSG_MAILFROM].text, .hello = v[MSG_EHLO].text,
        .remote_ip = v[MSG_REMOTEIP].text};
    if (v[MSG_KEYWORDS].n_items)
        m->keywords = arena_dup(r->a, keywords_of(a, &v[MSG_KEYWORDS]));
    for (size_t i = 0; i < COUNT(flags); i++)
        if (v[MSG_FLAGS + i].is_set)
            m->flags |= flags[i].flag;
    return true;
}

static int by_uid(const void *a, const void *b)
{
    const struct upstream_message *x = a, *y = b;

    if (x->mailbox != y->mailbox)
        return x->mailbox < y->mailbox ? -1 : 1;
    return (x->uid > y->uid) - (x->uid < y->uid);
}

/* --- the rest ---------------------------------------------------------------------------------------- */

static bool on_subscription(void *ctx, struct arena *unused, const struct bstore_value *v, struct err *e)
{
    struct reading *r = ctx;

    (void)unused, (void)e;
    *ARENA_PUSH(r->a, r->out->subscriptions, &r->out->n_subscriptions, &r->out->cap_subscriptions) =
        v[0].text;
    return true;
}

// The first field is the key, so there is one record in practice.
static bool on_password(void *ctx, struct arena *unused, const struct bstore_value *v, struct err *e)
{
    struct reading *r = ctx;

    (void)unused, (void)e;
    r->out->password_hash = v[0].text;
    return true;
}

static bool on_uidvalidity(void *ctx, struct arena *unused, const struct bstore_value *v, struct err *e)
{
    struct reading *r = ctx;

    (void)unused;
    r->out->next_uidvalidity = (uint32_t)v[0].number;
    return in_range(&v[0], 0, e);
}

static bool on_state(void *ctx, struct arena *unused, const struct bstore_value *v, struct err *e)
{
    struct reading *r = ctx;

    (void)unused;
    r->out->modseq = v[0].number;
    return v[0].number <= INT64_MAX / 2 || fail(e, ERR_SYNTAX, "a modseq is none");
}

static bool read_table(const struct bolt *b, struct reading *r, const char *name,
                       const char *const *wanted, size_t n, bool is_needed, bstore_fn *fn, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(512 << 20);
    struct bstore_type type;
    struct err missing = {0};

    if (!bstore_type_read(b, &a, str_of(name), &type, &missing)) {
        if (missing.kind == ERR_NOT_FOUND && !is_needed)
            return true;
        *e = missing;
        return fail_in(e, "table %s", name);
    }
    return bstore_each(b, &type, wanted, n, fn, r, e) || fail_in(e, "table %s", name);
}

bool upstream_read(struct str file, struct arena *a, struct upstream_account *out, struct err *e)
{
    static const char *const name[] = {"Name"}, *const next[] = {"Next"}, *const last[] = {"LastModSeq"},
                             *const hash[] = {"Hash"};
    const char *message_fields[MSG_FLAGS + COUNT(flags)] = {
        "ID", "UID", "MailboxID", "Expunged", "Received", "Size", "MsgPrefix", "Keywords", "MailFrom",
        "EHLODomain", "RemoteIP"};
    struct reading r = {out, a};
    struct bolt b;

    *out = (struct upstream_account){0};
    for (size_t i = 0; i < COUNT(flags); i++)
        message_fields[MSG_FLAGS + i] = flags[i].name;
    if (!bolt_open(&b, file, e) ||
        !read_table(&b, &r, "Mailbox", box_fields, BOX_COUNT, true, on_mailbox, e) ||
        !read_table(&b, &r, "Message", message_fields, COUNT(message_fields), true, on_message, e) ||
        !read_table(&b, &r, "Subscription", name, 1, false, on_subscription, e) ||
        !read_table(&b, &r, "Password", hash, 1, false, on_password, e) ||
        !read_table(&b, &r, "NextUIDValidity", next, 1, false, on_uidvalidity, e) ||
        !read_table(&b, &r, "SyncState", last, 1, false, on_state, e))
        return false;
    if (out->n_mailboxes)
        qsort(out->mailboxes, out->n_mailboxes, sizeof *out->mailboxes, by_name);
    if (out->n_messages)
        qsort(out->messages, out->n_messages, sizeof *out->messages, by_uid);
    return true;
}
