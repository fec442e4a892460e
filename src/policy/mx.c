#include "policy/mx.h"

#include <stdlib.h>

static uint64_t mix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int by_preference(const void *a, const void *b)
{
    const struct mx_host *x = a, *y = b;

    return (x->preference > y->preference) - (x->preference < y->preference);
}

// By preference; those of equal preference in an order of chance (RFC 5321 5.1).
static void sort_hosts(struct mx_host *hosts, size_t n, uint64_t random)
{
    qsort(hosts, n, sizeof *hosts, by_preference);
    for (size_t start = 0, end; start < n; start = end) {
        for (end = start + 1; end < n && hosts[end].preference == hosts[start].preference; end++)
            ;
        for (size_t i = end - 1; i > start; i--) {
            size_t k = start + mix(&random) % (i - start + 1);
            struct mx_host h = hosts[i];

            hosts[i] = hosts[k];
            hosts[k] = h;
        }
    }
}

// A name that can be a host's: not the root, not an address, nothing that was escaped.
static bool is_host(struct str name)
{
    struct ip ip;

    return dns_name_is_ok(name) && !str_eq(name, STR(".")) && str_find(name, '\\') == STR_NONE &&
           !ip_parse(name, &ip);
}

static bool has_host(const struct mx_host *hosts, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq_ci(hosts[i].name, name))
            return true;
    return false;
}

static void take_hosts(struct arena *a, const struct dns_answer *answer, struct str self,
                       uint64_t random, struct mx_result *out)
{
    struct mx_host *hosts = ARENA_ARRAY(a, answer->n, struct mx_host);
    uint32_t limit = UINT32_MAX; // preferences below
    size_t n = 0, kept = 0;

    // RFC 7505 3: a null MX stands alone; beside others it says nothing.
    if (answer->n == 1 && str_eq(answer->records[0].name, STR("."))) {
        out->status = MX_NULL;
        return;
    }
    for (size_t i = 0; i < answer->n; i++) {
        const struct dns_record *r = &answer->records[i];

        if (!is_host(r->name))
            continue;
        if (self.n && str_eq_ci(r->name, self) && r->priority < limit)
            limit = r->priority;
        hosts[n++] = (struct mx_host){r->name, r->priority};
    }
    sort_hosts(hosts, n, random);
    // Sorted: the first of a name is its best.
    for (size_t i = 0; i < n && kept < MX_MAX_HOSTS; i++)
        if (hosts[i].preference < limit && !has_host(hosts, kept, hosts[i].name))
            hosts[kept++] = hosts[i];
    out->hosts = hosts;
    out->n = kept;
    out->status = kept ? MX_OK : n ? MX_LOOP : MX_INVALID;
}

void mx_lookup(const struct dns *dns, struct arena *a, struct str domain, struct str self,
               uint64_t random, struct mx_result *out)
{
    struct dns_answer answer;
    struct mx_host *only;

    dns_lookup(dns, a, domain, DNS_MX, &answer);
    *out = (struct mx_result){.is_secure = answer.is_secure,
                              .expanded = answer.name.n ? answer.name : domain};
    if (answer.status == DNS_OK) {
        out->has_mx = true;
        take_hosts(a, &answer, self, random, out);
        return;
    }
    if (!dns_is_none(&answer)) {
        out->status = MX_TEMPORARY;
        out->is_bogus = answer.status == DNS_BOGUS;
        out->why = arena_printf(a, "looking up MX of %.*s: %.*s", STR_FMT(domain),
                                STR_FMT(answer.why));
        return;
    }
    if (answer.status == DNS_NXDOMAIN) {
        out->status = MX_NONE;
        out->why = arena_printf(a, "the domain %.*s does not exist", STR_FMT(domain));
        return;
    }
    // RFC 5321 5.1: without MX records the domain is its own host.
    out->hosts = only = ARENA_NEW(a, struct mx_host);
    out->n = 1;
    *only = (struct mx_host){domain, 0};
    out->status = self.n && str_eq_ci(domain, self) ? MX_LOOP : MX_OK;
}

/* --- addresses ---------------------------------------------------------------------------------- */

static void take_addresses(const struct dns *dns, struct arena *a, struct str host,
                           enum dns_type type, size_t max, struct mx_addresses *out)
{
    struct dns_answer answer;

    dns_lookup(dns, a, host, type, &answer);
    out->is_secure &= answer.is_secure;
    if (answer.status != DNS_OK && !dns_is_none(&answer)) {
        out->is_temporary = true;
        out->is_bogus |= answer.status == DNS_BOGUS;
        out->why = arena_printf(a, "looking up %s of %.*s: %.*s", dns_type_name(type),
                                STR_FMT(host), STR_FMT(answer.why));
    }
    if (answer.n)
        out->expanded = answer.name;
    for (size_t i = 0; i < answer.n && max && out->n < MX_MAX_ADDRESSES; i++)
        if (ip_of_bytes(answer.records[i].data, &out->ips[out->n])) {
            out->n++;
            max--;
        }
}

// How often each family was tried before, and which one last: those that were not tried come first.
static unsigned rank(const struct ip *ip, const struct ip *tried, size_t n_tried)
{
    unsigned of_family = 0, of_ip = 0;

    if (!n_tried)
        return 0;
    for (size_t i = 0; i < n_tried; i++) {
        of_family += tried[i].family == ip->family;
        of_ip += ip_eq(&tried[i], ip);
    }
    return (tried[n_tried - 1].family == ip->family ? 2 : 0) + (of_family == 1 && of_ip ? 0 : 1);
}

void mx_addresses(const struct dns *dns, struct arena *a, struct str host, unsigned families,
                  const struct ip *tried, size_t n_tried, struct mx_addresses *out)
{
    struct ip sorted[MX_MAX_ADDRESSES];
    size_t n = 0, n_first;

    *out = (struct mx_addresses){.is_secure = true, .expanded = host};
    if ((families & MX_IPV4) && (families & MX_IPV6))
        dns_prefetch(dns, host, DNS_AAAA);
    // Many of one family leave room for the other.
    if (families & MX_IPV4)
        take_addresses(dns, a, host, DNS_A, families & MX_IPV6 ? MX_MAX_ADDRESSES / 2 : MX_MAX_ADDRESSES,
                       out);
    n_first = out->n;
    if (families & MX_IPV6)
        take_addresses(dns, a, host, DNS_AAAA, MX_MAX_ADDRESSES, out);
    out->is_dual = n_first && out->n > n_first;
    if (!out->n && !out->is_temporary)
        out->why = arena_printf(a, "%.*s has no addresses", STR_FMT(host));
    // Stable: what is equal stays in its order, IPv6 first.
    for (unsigned r = 0; r < 4; r++)
        for (size_t k = 0; k < out->n; k++) {
            size_t i = k < out->n - n_first ? n_first + k : k - (out->n - n_first);

            if (rank(&out->ips[i], tried, n_tried) == r)
                sorted[n++] = out->ips[i];
        }
    for (size_t i = 0; i < n; i++)
        out->ips[i] = sorted[i];
}
