/*
 * By which transport an entry goes (mox-smtp-delivery.md 3.6): the one a person has set for it, or that of the
 * first route that fits, of its account, of its sender's domain, of all.
 */
#include "role/queue/queue_role.h"
#include "text/idna.h"

static struct arena arena = ARENA_LIMIT(4 * COMPILED_MAX_BYTES);
static struct ipc_transport *transports;
static size_t n_transports, cap_transports;
static struct ipc_route *routes;
static size_t n_routes, cap_routes;

static bool read_records(struct str config, struct err *e)
{
    struct cur c = cur_of(config);
    enum compiled_type type;
    struct str body;

    while (compiled_next(&c, &type, &body, e)) {
        if (type == COMPILED_transport &&
            !ipc_transport_get(body, ARENA_PUSH(&arena, transports, &n_transports, &cap_transports), e))
            return false;
        if (type == COMPILED_route &&
            !ipc_route_get(body, ARENA_PUSH(&arena, routes, &n_routes, &cap_routes), e))
            return false;
    }
    return e->kind == ERR_NONE;
}

bool transports_use(struct str config, struct err *e)
{
    arena_reset(&arena);
    transports = NULL;
    routes = NULL;
    n_transports = cap_transports = n_routes = cap_routes = 0;
    return read_records(arena_dup(&arena, config), e);
}

static bool has_domain(struct str list, struct str domain)
{
    struct str word;

    if (!list.n)
        return true;
    while (str_next(&list, ' ', &word)) {
        if (str_eq(word, STR(".")) || str_eq_ci(word, domain))
            return true;
        // ".example.org" is example.org and all below it.
        if (str_starts(word, STR(".")) &&
            (str_eq_ci(str_from(word, 1), domain) || str_ends_ci(domain, word)))
            return true;
    }
    return false;
}

static struct str ascii_domain(struct arena *a, struct str address)
{
    struct str domain = str_from(address, (size_t)(str_find_last(address, '@') + 1)), out;
    struct err e = {0};

    return domain_to_ascii(a, domain, &out, &e) ? out : domain;
}

static bool is_of(const struct ipc_route *r, struct str account, struct str from)
{
    return r->scope == ROUTE_ALL || (r->scope == ROUTE_ACCOUNT && str_eq(r->owner, account)) ||
           (r->scope == ROUTE_DOMAIN && str_eq_ci(r->owner, from));
}

// The records stand in the order in which they are tried.
static struct str routed(const struct queue_entry *entry)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct str from = ascii_domain(&a, entry->reverse_path), to = ascii_domain(&a, entry->domain);

    for (size_t i = 0; i < n_routes; i++) {
        const struct ipc_route *r = &routes[i];

        if (is_of(r, entry->account, from) && entry->attempts >= r->min_attempts &&
            has_domain(r->from, from) && has_domain(r->to, to))
            return r->transport;
    }
    return STR("");
}

static const struct ipc_transport *named(struct str name)
{
    for (size_t i = 0; i < n_transports; i++)
        if (str_eq(transports[i].name, name))
            return &transports[i];
    return NULL;
}

bool transport_is_known(struct str name)
{
    return named(name) != NULL;
}

bool transport_for(const struct queue_entry *entry, const struct ipc_transport **out)
{
    struct str name = entry->transport.n ? entry->transport : routed(entry);

    *out = name.n ? named(name) : NULL;
    return !name.n || *out;
}
