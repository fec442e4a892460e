/*
 * Which domains sign with which keys, and who may have it done.
 */
#include "role/config/dkim.h"

#include "base/map.h"
#include "ipc/compiled.h"
#include "text/idna.h"

/* An account that may send from a domain. */
struct sender {
    struct str account;
    const struct sender *next;
};

static void add_sender(struct map *senders, struct arena *a, struct str ascii, struct str account)
{
    struct sender *first = map_get(senders, ascii), *own;

    // Accounts come one after the other: a repetition is the newest.
    if (first && str_eq(first->account, account))
        return;
    own = ARENA_NEW(a, struct sender);
    *own = (struct sender){account, first};
    map_put(senders, ascii, own);
}

static struct str domain_of(struct str address)
{
    return str_from(address, (size_t)(str_find_last(address, '@') + 1));
}

// Members of a list from which its members may write as the list.
static void add_members(struct map *senders, struct arena *a, const struct directory *directory,
                        const struct sconf_node *domain, struct str ascii)
{
    SCONF_EACH (alias, sconf_get(domain, "Aliases")) {
        struct targets members;

        if (sconf_bool(alias, "AllowMsgFrom") &&
            directory_find(directory, a, alias->key, ascii, &members) == LOOKUP_LOCAL)
            for (size_t i = 0; i < members.n; i++)
                add_sender(senders, a, ascii, members.items[i].account);
    }
}

/* mox-smtp-delivery.md 4.3, "Domain choice": the first of ours at or above the host's name. */
static struct str host_domain(const struct map *domains, struct str hostname)
{
    while (hostname.n && !map_get(domains, hostname)) {
        ptrdiff_t dot = str_find(hostname, '.');

        hostname = dot == STR_NONE ? STR("") : str_from(hostname, (size_t)dot + 1);
    }
    return hostname;
}

static void put_selectors(const struct config_selectors *selectors, uint32_t *key,
                          struct buf *domains, struct buf *files)
{
    for (size_t i = 0; i < selectors->n; i++) {
        const struct dkim_selector *s = &selectors->items[i].selector;
        AUTO_BUF headers = BUF_LIMIT(IPC_MAX_RECORD);

        for (size_t h = 0; h < s->n_headers; h++) {
            if (h)
                BUF_PUT(&headers, ":");
            buf_put(&headers, s->headers[h]);
        }
        COMPILED_PUT(domains, signing_selector, .key = ++*key, .is_unsealed = s->is_unsealed,
                     .header_is_relaxed = s->header_is_relaxed,
                     .body_is_relaxed = s->body_is_relaxed,
                     .expires_after = (uint64_t)s->expires_after, .name = s->name,
                     .headers = buf_str(&headers));
        COMPILED_PUT(files, signing_file, .key = *key, .path = selectors->items[i].key_file);
    }
}

void compile_dkim(struct arena *a, const struct config *config, const struct directory *directory,
                  struct buf *domains, struct buf *files)
{
    const struct sconf_node *root = config->domains.root;
    struct map senders = {0}, names = {0};
    uint32_t key = 0;
    struct str host;

    SCONF_EACH (account, sconf_get(root, "Accounts"))
        SCONF_EACH (d, sconf_get(account, "Destinations"))
            add_sender(&senders, a, domain_of(directory_destination(directory, a, account, d)),
                       account->key);
    SCONF_EACH (domain, sconf_get(root, "Domains")) {
        struct err e = {0};
        struct str ascii;

        if (!domain_to_ascii(a, domain->key, &ascii, &e))
            continue; // the check has refused it
        map_put(&names, ascii, (void *)(uintptr_t)domain);
        add_members(&senders, a, directory, domain, ascii);
    }
    host = host_domain(&names, config->hostname);
    SCONF_EACH (domain, sconf_get(root, "Domains")) {
        struct config_selectors selectors;
        struct err e = {0};
        struct str ascii;

        if (!domain_to_ascii(a, domain->key, &ascii, &e) ||
            !config_dkim_of(domain, a, &selectors, &e) || !selectors.n)
            continue;
        COMPILED_PUT(domains, signing_domain, .name = ascii, .is_host = str_eq(ascii, host));
        for (const struct sender *s = map_get(&senders, ascii); s; s = s->next)
            COMPILED_PUT(domains, signing_account, .name = s->account);
        put_selectors(&selectors, &key, domains, files);
    }
    map_fini(&senders);
    map_fini(&names);
}
