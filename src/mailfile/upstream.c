#include "mailfile/upstream.h"

#include <stdio.h>
#include <stdlib.h>

#include "mailfile/upstream_priv.h"
#include "message/header.h"
#include "policy/decide.h"
#include "store/store.h"
#include "text/idna.h"

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

static bool on_mailbox(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct bstore_value *v = record->values;
    static const struct str uses[] = {STR_("Archive"), STR_("Drafts"), STR_("Junk"), STR_("Sent"),
                                      STR_("Trash")};
    struct reading *r = ctx;
    struct upstream_mailbox *m;

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

        if (!store_flag_parse(a, v->items[i].text, &unused, &names, &no_keyword))
            continue;
    }
    joined = store_keywords_join(a, &names);
    return joined;
}

static bool on_message(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct bstore_value *v = record->values;
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
        .remote_ip = v[MSG_REMOTEIP].text, .key = record->key, .record = record->bytes};
    if (v[MSG_KEYWORDS].n_items)
        m->keywords = arena_dup(r->a, keywords_of(record->a, &v[MSG_KEYWORDS]));
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

/* --- how messages came ------------------------------------------------------------------------------- */

enum { FROM_IP, FROM_REJECT, FROM_DELIVERED, FROM_DESTINED, FROM_HELLO, FROM_HELLO_PASSED, FROM_PATH_LOCALPART,
       FROM_PATH_DOMAIN, FROM_PATH_PASSED, FROM_LOCALPART, FROM_DOMAIN, FROM_ORG, FROM_PROVED, FROM_DKIM, FROM_COUNT };
static const char *const origin_fields[FROM_COUNT] = {
    "RemoteIP", "IsReject", "MailboxOrigID", "MailboxDestinedID", "EHLODomain", "EHLOValidated",
    "MailFromLocalpart", "MailFromDomain", "MailFromValidated", "MsgFromLocalpart", "MsgFromDomain",
    "MsgFromOrgDomain", "MsgFromValidated", "DKIMDomains"};

struct origin_reading {
    struct arena *a;
    struct upstream_origin *out;
    bool found;
};

struct str upstream_ascii(struct arena *a, struct str domain)
{
    struct err no_domain = {0};
    struct str out;

    return domain_to_ascii(a, domain, &out, &no_domain) ? out : STR("");
}

static void add_sign(struct upstream_origin *o, enum store_sign_kind kind, struct str value, struct str who)
{
    if (value.n && o->n_signs < STORE_MAX_SIGNS)
        o->signs[o->n_signs++] = (struct store_sign){kind, value, who};
}

static struct str joined(struct arena *a, struct str localpart, struct str domain)
{
    return domain.n ? arena_printf(a, "%.*s@%.*s", STR_FMT(localpart), STR_FMT(domain)) : STR("");
}

static bool on_origin(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct bstore_value *v = record->values;
    struct origin_reading *r = ctx;
    struct upstream_origin *o = r->out;
    struct str networks[DECIDE_NETWORKS], domain = upstream_ascii(r->a, v[FROM_DOMAIN].text), who = v[FROM_LOCALPART].text;
    bool is_proved = v[FROM_PROVED].is_set;

    (void)e;
    r->found = v[FROM_IP].text.n > 0;
    o->is_reject = v[FROM_REJECT].is_set;
    o->delivered = v[FROM_DELIVERED].number;
    o->destined = v[FROM_DESTINED].number;
    if (domain.n) {
        add_sign(o, is_proved ? SIGN_FROM_PROVED : SIGN_FROM, joined(r->a, who, domain), STR(""));
        add_sign(o, is_proved ? SIGN_FROM_DOMAIN_PROVED : SIGN_FROM_DOMAIN, domain, who);
        add_sign(o, is_proved ? SIGN_FROM_ORG_PROVED : SIGN_FROM_ORG, upstream_ascii(r->a, v[FROM_ORG].text), who);
    }
    for (size_t i = 0; i < v[FROM_DKIM].n_items && i < DECIDE_MAX_DKIM; i++)
        add_sign(o, SIGN_DKIM, upstream_ascii(r->a, v[FROM_DKIM].items[i].text), STR(""));
    if (v[FROM_PATH_PASSED].is_set) {
        domain = upstream_ascii(r->a, v[FROM_PATH_DOMAIN].text);
        add_sign(o, SIGN_MAIL_FROM, joined(r->a, v[FROM_PATH_LOCALPART].text, domain), STR(""));
        add_sign(o, SIGN_MAIL_FROM_DOMAIN, domain, STR(""));
    }
    if (v[FROM_HELLO_PASSED].is_set)
        add_sign(o, SIGN_HELLO, upstream_ascii(r->a, v[FROM_HELLO].text), STR(""));
    decide_networks(r->a, v[FROM_IP].text, networks);
    for (size_t i = 0; i < DECIDE_NETWORKS; i++)
        add_sign(o, (enum store_sign_kind)(SIGN_IP1 + i), networks[i], STR(""));
    return true;
}

bool upstream_origin(const struct upstream_account *account, const struct upstream_message *m,
                     struct arena *a, struct upstream_origin *out, bool *found, struct err *e)
{
    struct origin_reading r = {a, out, false};

    *out = (struct upstream_origin){0};
    if (!bstore_read(&account->origins, m->key, m->record, on_origin, &r, e))
        return false;
    *found = r.found;
    return true;
}

/* --- the rest ---------------------------------------------------------------------------------------- */

static bool on_subscription(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct bstore_value *v = record->values;
    struct reading *r = ctx;

    (void)e;
    *ARENA_PUSH(r->a, r->out->subscriptions, &r->out->n_subscriptions, &r->out->cap_subscriptions) =
        v[0].text;
    return true;
}

// The first field is the key, so there is one record in practice.
static bool on_password(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct bstore_value *v = record->values;
    struct reading *r = ctx;

    (void)e;
    r->out->password_hash = v[0].text;
    return true;
}

static bool on_uidvalidity(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct bstore_value *v = record->values;
    struct reading *r = ctx;

    r->out->next_uidvalidity = (uint32_t)v[0].number;
    return in_range(&v[0], 0, e);
}

static bool on_state(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct bstore_value *v = record->values;
    struct reading *r = ctx;

    r->out->modseq = v[0].number;
    return v[0].number <= INT64_MAX / 2 || fail(e, ERR_SYNTAX, "a modseq is none");
}

static bool on_recipient(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct bstore_value *v = record->values;
    struct str localpart = v[0].text;
    struct reading *r = ctx;
    struct address parsed;

    (void)e;
    // As it is written in an address.
    if (localpart.n && localpart.p[0] == '"' &&
        address_parse_spec(r->a, joined(record->a, localpart, STR("x.example")), &parsed))
        localpart = parsed.localpart;
    *ARENA_PUSH(r->a, r->out->recipients, &r->out->n_recipients, &r->out->cap_recipients) =
        (struct store_written){localpart, v[1].text, v[2].unix_seconds};
    return true;
}

static bool on_key(void *ctx, const struct bstore_record *record, struct err *e)
{
    struct reading *r = ctx;

    (void)e;
    *ARENA_PUSH(r->a, r->out->keys, &r->out->n_keys, &r->out->cap_keys) =
        (struct upstream_key){record->values[0].text, record->values[1].text};
    return true;
}

static bool on_annotation(void *ctx, const struct bstore_record *record, struct err *e)
{
    struct reading *r = ctx;

    (void)e;
    r->out->n_annotations += !record->values[0].is_set; // of those that were removed something is kept
    return true;
}

// Each account has a record of settings; it says something when one of them was changed.
static const char *const settings[] = {"Signature", "Quoting", "ShowHTML", "NoShowShortcuts", "ShowHeaders"};

static bool on_settings(void *ctx, const struct bstore_record *record, struct err *e)
{
    struct reading *r = ctx;

    (void)e;
    for (size_t i = 0; i < COUNT(settings); i++)
        r->out->has_settings = r->out->has_settings || record->values[i].is_set;
    return true;
}

static bool read_table(const struct bolt *b, const struct upstream_table *t, void *ctx, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(512 << 20);
    struct bstore_type type;
    struct err missing = {0};

    if (!bstore_type_read(b, &a, str_of(t->name), &type, &missing)) {
        if (missing.kind == ERR_NOT_FOUND && !t->is_needed)
            return true;
        *e = missing;
        return fail_in(e, "table %s", t->name);
    }
    return (bstore_want(&type, t->wanted, t->n, e) && bstore_each(b, &type, t->fn, ctx, e)) ||
           fail_in(e, "table %s", t->name);
}

bool upstream_tables_read(struct str file, const struct upstream_table *tables, size_t n, void *ctx, struct err *e)
{
    struct bolt b;

    if (!bolt_open(&b, file, e))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!read_table(&b, &tables[i], ctx, e))
            return false;
    return true;
}

bool upstream_read(struct str file, struct arena *a, struct upstream_account *out, struct err *e)
{
    const char *message_fields[MSG_FLAGS + COUNT(flags)] = {
        "ID", "UID", "MailboxID", "Expunged", "Received", "Size", "MsgPrefix", "Keywords", "MailFrom",
        "EHLODomain", "RemoteIP"};
    const struct upstream_table tables[] = {
        {"Mailbox", true, on_mailbox, box_fields, BOX_COUNT},
        {"Message", true, on_message, message_fields, COUNT(message_fields)},
        {"Subscription", false, on_subscription, UPSTREAM_WANTED("Name")},
        {"Recipient", false, on_recipient, UPSTREAM_WANTED("Localpart", "Domain", "Sent")},
        {"Subjectpass", false, on_key, UPSTREAM_WANTED("Email", "Key")},
        {"Annotation", false, on_annotation, UPSTREAM_WANTED("Expunged")},
        {"Settings", false, on_settings, settings, COUNT(settings)},
        {"Password", false, on_password, UPSTREAM_WANTED("Hash")},
        {"NextUIDValidity", false, on_uidvalidity, UPSTREAM_WANTED("Next")},
        {"SyncState", false, on_state, UPSTREAM_WANTED("LastModSeq")},
    };
    struct reading r = {out, a};
    struct bolt b;

    *out = (struct upstream_account){0};
    for (size_t i = 0; i < COUNT(flags); i++)
        message_fields[MSG_FLAGS + i] = flags[i].name;
    if (!bolt_open(&b, file, e))
        return false;
    for (size_t i = 0; i < COUNT(tables); i++)
        if (!read_table(&b, &tables[i], &r, e))
            return false;
    if (out->n_mailboxes)
        qsort(out->mailboxes, out->n_mailboxes, sizeof *out->mailboxes, by_name);
    if (out->n_messages)
        qsort(out->messages, out->n_messages, sizeof *out->messages, by_uid);
    return bstore_type_read(&b, a, STR("Message"), &out->origins, e) &&
           bstore_want(&out->origins, origin_fields, FROM_COUNT, e);
}

struct sent {
    upstream_sent_fn *fn;
    void *ctx;
};

static bool on_sent(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct sent *s = ctx;

    return s->fn(s->ctx, record->values[0].text, record->values[1].unix_seconds, e);
}

bool upstream_sent_read(struct str file, upstream_sent_fn *fn, void *ctx, struct err *e)
{
    const struct upstream_table table = {"Outgoing", false, on_sent, UPSTREAM_WANTED("Recipient", "Submitted")};

    return upstream_tables_read(file, &table, 1, &(struct sent){fn, ctx}, e);
}
