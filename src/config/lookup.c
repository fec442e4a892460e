/*
 * Which account an address belongs to (mox-imap-store-cli-config.md, "Address lookup order").
 */
#include "config/config_priv.h"
#include "text/idna.h"

#include <stdlib.h>

struct entry {
    struct str account, mailbox, smtp_error;
    const struct sconf_node *alias; // when it is one
};
struct domain_entry {
    const struct sconf_node *node;
    bool is_local; // some address exists at it
};

struct directory {
    const struct config *config;
    struct arena a;
    struct map addresses; // canonical "localpart@domain" or "@domain" -> struct entry
    struct map domains;   // A-labels -> struct domain_entry
    struct map logins;    // account name -> node
    struct map hosts;     // names of this server
    struct entry postmaster, tlsrpt;
    struct str tlsrpt_key;
};

size_t domain_separators(const struct sconf_node *domain, struct str out[MAX_SEPARATORS])
{
    struct str one = sconf_text(domain, "LocalpartCatchallSeparator");
    size_t n = 0;

    if (one.n)
        out[n++] = one;
    SCONF_EACH (s, sconf_get(domain, "LocalpartCatchallSeparators"))
        if (n < MAX_SEPARATORS && s->value.n)
            out[n++] = s->value;
    return n;
}

// The reporting localpart of the domain that localpart is, possibly with a separator after it.
static struct str reporting_localpart(const struct sconf_node *domain, struct str localpart,
                                      const struct str *separators, size_t n)
{
    for (int i = 0; i < 2; i++) {
        struct str own = sconf_text(sconf_get(domain, i ? "TLSRPT" : "DMARC"), "Localpart");

        if (!own.n || !str_starts(localpart, own))
            continue;
        if (localpart.n == own.n)
            return own;
        for (size_t s = 0; s < n; s++)
            if (str_starts(str_from(localpart, own.n), separators[s]))
                return own;
    }
    return STR("");
}

struct str localpart_canonical(struct arena *a, const struct sconf_node *domain,
                               struct str localpart)
{
    struct str separators[MAX_SEPARATORS], reporting;
    size_t n = domain_separators(domain, separators);

    localpart = text_nfc(a, localpart);
    if (!sconf_bool(domain, "LocalpartCaseSensitive"))
        localpart = arena_lower(a, localpart);
    reporting = reporting_localpart(domain, localpart, separators, n);
    if (reporting.n)
        return reporting;
    for (size_t i = 0; i < n; i++) {
        ptrdiff_t at = str_find_str(localpart, separators[i]);

        if (at >= 0)
            localpart = str_sub(localpart, 0, (size_t)at);
    }
    return localpart;
}

const struct sconf_node *domain_node(const struct config *c, struct arena *a, struct str domain)
{
    struct str wanted, own;
    struct err e = {0};

    if (!domain_to_ascii(a, domain, &wanted, &e))
        return NULL;
    SCONF_EACH (n, sconf_get(c->domains.root, "Domains"))
        if (domain_to_ascii(a, n->key, &own, &e) && str_eq(own, wanted))
            return n;
    return NULL;
}

static struct str ascii_of(struct arena *a, struct str domain)
{
    struct str out;
    struct err e = {0};

    return domain_to_ascii(a, domain, &out, &e) ? out : STR("");
}

static struct str key_of(struct arena *a, struct str localpart, struct str domain)
{
    AUTO_BUF b = BUF_LIMIT(4096);

    buf_put(&b, localpart);
    BUF_PUT(&b, "@");
    buf_put(&b, domain);
    return arena_dup(a, buf_str(&b));
}

static struct entry *add_entry(struct directory *d, struct str key, struct str account,
                               struct str mailbox)
{
    struct entry *entry = ARENA_NEW(&d->a, struct entry);

    *entry = (struct entry){.account = account, .mailbox = mailbox.n ? mailbox : STR("Inbox")};
    map_put(&d->addresses, key, entry);
    return entry;
}

struct str directory_destination(const struct directory *d, struct arena *a,
                                 const struct sconf_node *account, const struct sconf_node *node)
{
    struct str localpart = node->key, domain = sconf_text(account, "Domain"), ascii;
    ptrdiff_t at = str_find_last(node->key, '@');
    const struct domain_entry *own;

    if (at >= 0) {
        localpart = str_sub(node->key, 0, (size_t)at);
        domain = str_from(node->key, (size_t)at + 1);
    }
    ascii = ascii_of(a, domain);
    own = map_get(&d->domains, ascii);
    if (localpart.n && own)
        localpart = localpart_canonical(a, own->node, localpart);
    return key_of(a, localpart, ascii);
}

struct str directory_report(const struct directory *d, struct arena *a,
                            const struct sconf_node *domain, const struct sconf_node *report)
{
    struct str at = sconf_text(report, "Domain");

    return key_of(a, arena_lower(a, sconf_text(report, "Localpart")),
                  at.n ? ascii_of(a, at) : domain ? ascii_of(a, domain->key)
                                                  : d->config->hostname);
}

static void add_destination(struct directory *d, const struct sconf_node *account,
                            const struct sconf_node *node)
{
    struct str address = directory_destination(d, &d->a, account, node);
    struct domain_entry *own =
        map_get(&d->domains, str_from(address, (size_t)str_find_last(address, '@') + 1));

    if (!own)
        return;
    own->is_local = true;
    add_entry(d, address, account->key, sconf_text(node, "Mailbox"))->smtp_error =
        sconf_text(node, "SMTPError");
}

static void add_domain_extras(struct directory *d, const struct domain_entry *own, struct str ascii)
{
    for (int i = 0; i < 2; i++) {
        const struct sconf_node *report = sconf_get(own->node, i ? "TLSRPT" : "DMARC");

        if (report)
            add_entry(d, directory_report(d, &d->a, own->node, report),
                      sconf_text(report, "Account"), sconf_text(report, "Mailbox"));
    }
    SCONF_EACH (alias, sconf_get(own->node, "Aliases"))
        add_entry(d, key_of(&d->a, localpart_canonical(&d->a, own->node, alias->key), ascii),
                  STR(""), STR(""))
            ->alias = alias;
}

struct directory *directory_new(const struct config *c)
{
    struct directory *d = heap_alloc(sizeof *d);
    const struct sconf_node *root = c->main.root, *tlsrpt = sconf_get(root, "HostTLSRPT");
    const struct sconf_node *postmaster = sconf_get(root, "Postmaster");
    const struct map_entry *m;

    d->config = c;
    d->a = (struct arena)ARENA_LIMIT(256 << 20);
    SCONF_EACH (n, sconf_get(c->domains.root, "Domains")) {
        struct domain_entry *own = ARENA_NEW(&d->a, struct domain_entry);

        own->node = n;
        map_put(&d->domains, ascii_of(&d->a, n->key), own);
    }
    SCONF_EACH (account, sconf_get(c->domains.root, "Accounts")) {
        map_put(&d->logins, account->key, (void *)(uintptr_t)account);
        SCONF_EACH (n, sconf_get(account, "Destinations"))
            add_destination(d, account, n);
    }
    for (size_t i = 0; (m = map_each(&d->domains, &i));)
        add_domain_extras(d, m->value, m->key);
    map_put(&d->hosts, c->hostname, d);
    SCONF_EACH (l, sconf_get(root, "Listeners"))
        if (sconf_bool(sconf_get(l, "SMTP"), "Enabled") && sconf_text(l, "Hostname").n)
            map_put(&d->hosts, ascii_of(&d->a, sconf_text(l, "Hostname")), d);
    d->postmaster = (struct entry){.account = sconf_text(postmaster, "Account"),
                                   .mailbox = sconf_text(postmaster, "Mailbox")};
    if (tlsrpt) {
        d->tlsrpt = (struct entry){.account = sconf_text(tlsrpt, "Account"),
                                   .mailbox = sconf_text(tlsrpt, "Mailbox")};
        d->tlsrpt_key = directory_report(d, &d->a, NULL, tlsrpt);
    }
    return d;
}

void directory_free(struct directory *d)
{
    if (!d)
        return;
    map_fini(&d->addresses);
    map_fini(&d->domains);
    map_fini(&d->logins);
    map_fini(&d->hosts);
    arena_fini(&d->a);
    free(d);
}

static void add_target(struct arena *a, struct targets *out, const struct entry *entry,
                       struct str address)
{
    *ARENA_PUSH(a, out->items, &out->n, &out->cap) =
        (struct target){entry->account, entry->mailbox, address, entry->smtp_error};
}

// The entry of an address at one of our domains; *key is how it is known.
static const struct entry *find_entry(const struct directory *d, struct arena *a,
                                      const struct domain_entry *own, struct str localpart,
                                      struct str ascii, struct str *key)
{
    struct str canonical = localpart_canonical(a, own->node, localpart);
    const struct entry *entry;

    *key = key_of(a, canonical, ascii);
    entry = map_get(&d->addresses, *key);
    return entry ? entry : map_get(&d->addresses, key_of(a, STR(""), ascii));
}

static void add_alias(const struct directory *d, struct arena *a, const struct sconf_node *alias,
                      struct targets *out)
{
    SCONF_EACH (n, sconf_get(alias, "Addresses")) {
        ptrdiff_t at = str_find_last(n->value, '@');
        struct str ascii = ascii_of(a, str_from(n->value, (size_t)(at + 1))), key;
        const struct domain_entry *own = map_get(&d->domains, ascii);
        const struct entry *entry =
            own ? find_entry(d, a, own, str_sub(n->value, 0, (size_t)at), ascii, &key) : NULL;

        if (entry && !entry->alias)
            add_target(a, out, entry, key);
    }
}

enum lookup_result directory_find(const struct directory *d, struct arena *a, struct str localpart,
                                  struct str domain, struct targets *out)
{
    bool is_postmaster = str_eq_ci(localpart, STR("postmaster"));
    struct str ascii = domain.n ? ascii_of(a, domain) : STR(""), key;
    const struct domain_entry *own;
    const struct entry *entry;

    *out = (struct targets){0};
    if (is_postmaster && (!domain.n || map_get(&d->hosts, ascii))) {
        add_target(a, out, &d->postmaster, key_of(a, STR("postmaster"), d->config->hostname));
        return LOOKUP_LOCAL;
    }
    key = key_of(a, arena_lower(a, localpart), ascii);
    if (d->tlsrpt_key.n && str_eq(key, d->tlsrpt_key)) {
        add_target(a, out, &d->tlsrpt, key);
        return LOOKUP_LOCAL;
    }
    own = ascii.n ? map_get(&d->domains, ascii) : NULL;
    if (!own || !own->is_local)
        return domain.n ? LOOKUP_REMOTE : LOOKUP_NO_ADDRESS;
    if (sconf_bool(own->node, "Disabled"))
        return LOOKUP_DISABLED;
    entry = find_entry(d, a, own, localpart, ascii, &key);
    if (!entry && is_postmaster)
        entry = &d->postmaster;
    if (!entry)
        return LOOKUP_NO_ADDRESS;
    if (entry->alias)
        add_alias(d, a, entry->alias, out);
    else
        add_target(a, out, entry, key);
    return LOOKUP_LOCAL;
}

struct str directory_canonical(const struct directory *d, struct arena *a, struct str localpart,
                               struct str domain)
{
    struct str ascii = ascii_of(a, domain);
    const struct domain_entry *own = ascii.n ? map_get(&d->domains, ascii) : NULL;

    localpart = own ? localpart_canonical(a, own->node, localpart)
                    : arena_lower(a, text_nfc(a, localpart));
    return key_of(a, localpart, ascii.n ? ascii : arena_lower(a, domain));
}

struct str directory_login(const struct directory *d, struct arena *a, struct str localpart,
                           struct str domain, struct str *disabled)
{
    struct str ascii = ascii_of(a, domain), key;
    const struct domain_entry *own = ascii.n ? map_get(&d->domains, ascii) : NULL;
    const struct entry *entry = own ? find_entry(d, a, own, localpart, ascii, &key) : NULL;
    const struct sconf_node *account;

    *disabled = STR("");
    if (!entry || entry->alias)
        return STR("");
    account = map_get(&d->logins, entry->account);
    *disabled = sconf_text(account, "LoginDisabled");
    return account ? account->key : STR("");
}

bool directory_may_send(const struct directory *d, struct arena *a, struct str account,
                        struct str localpart, struct str domain)
{
    struct str ascii = ascii_of(a, domain), key;
    const struct domain_entry *own = ascii.n ? map_get(&d->domains, ascii) : NULL;
    const struct entry *entry = own ? find_entry(d, a, own, localpart, ascii, &key) : NULL;
    struct targets members = {0};

    if (!entry)
        return false;
    if (!entry->alias)
        return str_eq(entry->account, account);
    if (!sconf_bool(entry->alias, "AllowMsgFrom"))
        return false;
    add_alias(d, a, entry->alias, &members);
    for (size_t i = 0; i < members.n; i++)
        if (str_eq(members.items[i].account, account))
            return true;
    return false;
}

bool directory_is_tlsrpt(const struct directory *d, struct arena *a, struct str localpart,
                         struct str domain)
{
    struct str ascii = ascii_of(a, domain), own;
    const struct domain_entry *entry = ascii.n ? map_get(&d->domains, ascii) : NULL;

    if (d->tlsrpt_key.n && str_eq(key_of(a, arena_lower(a, localpart), ascii), d->tlsrpt_key))
        return true;
    own = entry ? sconf_text(sconf_get(entry->node, "TLSRPT"), "Localpart") : STR("");
    return own.n && str_eq(localpart_canonical(a, entry->node, localpart), arena_lower(a, own));
}

bool directory_is_disabled(const struct directory *d, struct arena *a, struct str domain)
{
    struct str ascii = ascii_of(a, domain);
    const struct domain_entry *entry = ascii.n ? map_get(&d->domains, ascii) : NULL;

    return entry && sconf_bool(entry->node, "Disabled");
}

// The entry of an address, when it is one of ours.
static const struct entry *entry_of(const struct directory *d, struct arena *a,
                                    struct str localpart, struct str domain)
{
    struct str ascii = ascii_of(a, domain), key;
    const struct domain_entry *own = ascii.n ? map_get(&d->domains, ascii) : NULL;

    return own ? find_entry(d, a, own, localpart, ascii, &key) : NULL;
}

bool directory_is_list(const struct directory *d, struct arena *a, struct str localpart,
                       struct str domain)
{
    const struct entry *entry = entry_of(d, a, localpart, domain);

    return entry && entry->alias;
}

void directory_elsewhere(const struct directory *d, struct arena *a, struct str localpart,
                         struct str domain, struct addresses *out)
{
    const struct entry *entry = entry_of(d, a, localpart, domain);

    *out = (struct addresses){0};
    SCONF_EACH (n, sconf_get(entry ? entry->alias : NULL, "Addresses")) {
        ptrdiff_t at = str_find_last(n->value, '@');

        if (!map_get(&d->domains, ascii_of(a, str_from(n->value, (size_t)(at + 1)))))
            *ARENA_PUSH(a, out->items, &out->n, &out->cap) = n->value;
    }
}

bool directory_is_ours(const struct directory *d, struct arena *a, struct str domain)
{
    struct str ascii = ascii_of(a, domain);
    const struct domain_entry *own = ascii.n ? map_get(&d->domains, ascii) : NULL;

    return own && own->is_local;
}

/* mox-smtp-delivery.md 1.12, "Aliases". */
bool directory_may_post(const struct directory *d, struct arena *a, struct str localpart,
                        struct str domain, struct str from_localpart, struct str from_domain)
{
    const struct entry *list = entry_of(d, a, localpart, domain);
    const struct entry *from = entry_of(d, a, from_localpart, from_domain);

    if (!list || !list->alias)
        return true;
    if (from == list)
        return sconf_bool(list->alias, "AllowMsgFrom");
    if (sconf_bool(list->alias, "PostPublic"))
        return true;
    SCONF_EACH (n, sconf_get(list->alias, "Addresses")) {
        ptrdiff_t at = str_find_last(n->value, '@');

        struct str local = str_sub(n->value, 0, (size_t)at), at_domain = str_from(n->value, (size_t)(at + 1));

        if (from && entry_of(d, a, local, at_domain) == from)
            return true;
        // A member at another server.
        if (!from && str_eq_ci(local, from_localpart) && ascii_of(a, at_domain).n &&
            str_eq(ascii_of(a, at_domain), ascii_of(a, from_domain)))
            return true;
    }
    return false;
}
