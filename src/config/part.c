/*
 * The part of the files that a directory is made of (lookup.c): what `auth` is given, which has no use
 * for the passwords of transports, for keys, or for people's rules.
 */
#include "config/config_priv.h"
#include "text/idna.h"

/* Entries that are kept; "*" is every key, and below NULL is everything below. */
struct kept {
    const char *key;
    const struct kept *below;
};

static const struct kept nothing[] = {{NULL, NULL}};
static const struct kept smtp[] = {{"Enabled", nothing}, {NULL, NULL}};
static const struct kept listener[] = {{"Hostname", nothing}, {"SMTP", smtp}, {NULL, NULL}};
static const struct kept listeners[] = {{"*", listener}, {NULL, NULL}};
static const struct kept kept_main[] = {{"Hostname", nothing},
                                        {"Listeners", listeners},
                                        {"Postmaster", NULL},
                                        {"HostTLSRPT", NULL},
                                        {NULL, NULL}};

static const struct kept report[] = {{"Localpart", nothing},
                                     {"Domain", nothing},
                                     {"Account", nothing},
                                     {"Mailbox", nothing},
                                     {NULL, NULL}};
static const struct kept domain[] = {{"Disabled", nothing},
                                     {"LocalpartCatchallSeparator", nothing},
                                     {"LocalpartCatchallSeparators", NULL},
                                     {"LocalpartCaseSensitive", nothing},
                                     {"DMARC", report},
                                     {"TLSRPT", report},
                                     {"Aliases", NULL},
                                     {NULL, NULL}};
static const struct kept destination[] = {{"Mailbox", nothing}, {"SMTPError", nothing}, {NULL, NULL}};
static const struct kept destinations[] = {{"*", destination}, {NULL, NULL}};
static const struct kept account[] = {{"Domain", nothing},
                                      {"LoginDisabled", nothing},
                                      {"Destinations", destinations},
                                      {NULL, NULL}};
static const struct kept domains[] = {{"*", domain}, {NULL, NULL}};
static const struct kept accounts[] = {{"*", account}, {NULL, NULL}};
static const struct kept kept_domains[] = {{"Domains", domains}, {"Accounts", accounts}, {NULL, NULL}};

static const struct kept *find(const struct kept *list, struct str key)
{
    for (; list->key; list++)
        if (str_eq(str_of(list->key), STR("*")) || str_eq(str_of(list->key), key))
            return list;
    return NULL;
}

static void put_line(struct buf *out, const struct sconf_node *n, size_t depth)
{
    while (depth--)
        BUF_PUT(out, "\t");
    if (n->is_item) {
        BUF_PUT(out, "-");
    } else {
        buf_put(out, n->key);
        BUF_PUT(out, ":");
    }
    if (n->value.n) {
        BUF_PUT(out, " ");
        buf_put(out, n->value);
    }
    BUF_PUT(out, "\n");
}

// The depth is that of a file that was parsed, at most SCONF_MAX_DEPTH.
static void put_children(struct buf *out, const struct sconf_node *parent, const struct kept *list,
                         size_t depth)
{
    SCONF_EACH (n, parent) {
        const struct kept *k = list ? find(list, n->key) : NULL;

        if (list && !k)
            continue;
        put_line(out, n, depth);
        put_children(out, n, k ? k->below : NULL, depth + 1);
    }
}

void config_put_directory(const struct config *c, struct buf *main, struct buf *domains_out)
{
    put_children(main, c->main.root, kept_main, 0);
    put_children(domains_out, c->domains.root, kept_domains, 0);
}

bool config_read_directory(struct arena *a, struct str main, struct str domains_text,
                           struct config *out, struct err *e)
{
    AUTO_BUF problems = BUF_LIMIT(1 << 16);
    struct problems found = {&problems, 0};

    *out = (struct config){0};
    sconf_parse(a, STR("mox.conf"), main, &out->main, &found);
    sconf_parse(a, STR("domains.conf"), domains_text, &out->domains, &found);
    if (found.n)
        return fail(e, ERR_BUG, "%.*s", STR_FMT(buf_str(&problems)));
    return domain_to_ascii(a, sconf_text(out->main.root, "Hostname"), &out->hostname, e);
}
