/*
 * What admin knows of the configuration: our domains, and whose address their reports come to.
 */
#include <stdlib.h>

#include "base/map.h"
#include "role/admin/admin.h"

struct address {
    struct str account;
    bool is_host;
    const struct address *next;
};

static struct known {
    struct arena a;
    struct map addresses; // "d" or "t" and the domain -> struct address
    struct map domains;   // ours -> itself
} *known;

static struct str key_of(struct arena *a, bool is_tls, struct str domain)
{
    return arena_printf(a, "%s%.*s", is_tls ? "t" : "d", STR_FMT(domain));
}

static void forget(struct known *k)
{
    if (!k)
        return;
    map_fini(&k->addresses);
    map_fini(&k->domains);
    arena_fini(&k->a);
    free(k);
}

static bool read_address(struct known *k, struct str body, struct err *e)
{
    struct ipc_report_address m;
    struct address *own;
    struct str key;

    if (!ipc_report_address_get(body, &m, e))
        return false;
    key = key_of(&k->a, m.is_tls, m.domain);
    own = ARENA_NEW(&k->a, struct address);
    *own = (struct address){arena_dup(&k->a, m.account), m.is_host, map_get(&k->addresses, key)};
    map_put(&k->addresses, key, own);
    return true;
}

static bool read_domain(struct known *k, struct str body, struct err *e)
{
    struct ipc_own_domain m;
    struct str *own;

    if (!ipc_own_domain_get(body, &m, e))
        return false;
    own = ARENA_NEW(&k->a, struct str);
    *own = arena_dup(&k->a, m.domain);
    map_put(&k->domains, *own, own);
    return true;
}

bool admin_use_domains(struct str text, struct err *e)
{
    struct known *fresh = heap_alloc(sizeof *fresh);
    struct cur c = cur_of(text);
    enum compiled_type type;
    struct str body;

    fresh->a = (struct arena)ARENA_LIMIT(2 * COMPILED_MAX_BYTES);
    while (compiled_next(&c, &type, &body, e))
        if ((type == COMPILED_report_address && !read_address(fresh, body, e)) ||
            (type == COMPILED_own_domain && !read_domain(fresh, body, e)))
            break;
    if (e->kind) {
        forget(fresh);
        return false;
    }
    forget(known);
    known = fresh;
    return true;
}

bool admin_is_reporting(struct str account, struct str domain, bool is_tls, bool *is_host)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct str key = key_of(&a, is_tls, domain);

    for (const struct address *at = map_get(&known->addresses, key); at; at = at->next)
        if (str_eq(at->account, account)) {
            *is_host = at->is_host;
            return true;
        }
    return false;
}

struct str admin_host_domain(struct str hostname)
{
    struct str rest = hostname, label;

    for (;;) {
        const struct str *own = map_get(&known->domains, rest);

        if (own)
            return *own;
        if (!str_cut(rest, '.', &label, &rest))
            return STR("");
    }
}
