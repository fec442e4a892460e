#include "policy/dane.h"

#include "base/cur.h"
#include "crypto/tlsa.h"

enum { SHA256_N = 32, SHA512_N = 64 };

// RFC 7218 2.
static const char *const usages[] = {"PKIX-TA", "PKIX-EE", "DANE-TA", "DANE-EE"};
static const char *const selectors[] = {"Cert", "SPKI"};
static const char *const matchings[] = {"Full", "SHA2-256", "SHA2-512"};

static bool parse_name(struct str text, const char *const *names, size_t n, uint8_t *out)
{
    uint64_t number;

    if (str_u64(text, n - 1, &number)) {
        *out = (uint8_t)number;
        return true;
    }
    for (size_t i = 0; i < n; i++)
        if (str_eq_ci(text, str_of(names[i]))) {
            *out = (uint8_t)i;
            return true;
        }
    return false;
}

bool dane_usage_parse(struct str text, uint8_t *out)
{
    return parse_name(text, usages, COUNT(usages), out);
}

bool dane_selector_parse(struct str text, uint8_t *out)
{
    return parse_name(text, selectors, COUNT(selectors), out);
}

bool dane_matching_parse(struct str text, uint8_t *out)
{
    return parse_name(text, matchings, COUNT(matchings), out);
}

static void put_name(struct buf *out, uint8_t value, const char *const *names, size_t n)
{
    if (value < n)
        buf_put(out, str_of(names[value]));
    else
        buf_printf(out, "%u", value);
    BUF_PUT(out, " ");
}

void dane_put_record(struct buf *out, const struct dns_record *record)
{
    put_name(out, record->usage, usages, COUNT(usages));
    put_name(out, record->selector, selectors, COUNT(selectors));
    put_name(out, record->matching, matchings, COUNT(matchings));
    for (size_t i = 0; i < record->data.n; i++)
        buf_printf(out, "%02x", (unsigned char)record->data.p[i]);
}

static bool is_well_formed(const struct dns_record *record)
{
    if (record->selector != TLSA_CERT && record->selector != TLSA_SPKI)
        return false;
    switch (record->matching) {
    case TLSA_FULL:
        return tlsa_is_full((enum tlsa_selector)record->selector, record->data);
    case TLSA_SHA256:
        return record->data.n == SHA256_N;
    case TLSA_SHA512:
        return record->data.n == SHA512_N;
    default:
        return false;
    }
}

bool dane_is_usable(const struct dns_record *record)
{
    return (record->usage == DANE_TA || record->usage == DANE_EE) && is_well_formed(record);
}

static void take_records(struct arena *a, const struct dns_answer *answer, bool has_all_usages,
                         struct dane_result *out)
{
    struct dns_record *usable = NULL;
    size_t cap = 0;

    for (size_t i = 0; i < answer->n; i++) {
        const struct dns_record *r = &answer->records[i];
        bool is_usable = has_all_usages ? r->usage <= DANE_EE && is_well_formed(r) : dane_is_usable(r);

        if (out->n < DANE_MAX_RECORDS && is_usable)
            *ARENA_PUSH(a, usable, &out->n, &cap) = answer->records[i];
        else
            out->n_unusable++;
    }
    out->records = usable;
    out->status = out->n ? DANE_USABLE : DANE_UNUSABLE;
}

static void fail_with(struct arena *a, const struct dns_answer *answer, struct str name,
                      struct dane_result *out)
{
    *out = (struct dane_result){.status = DANE_FAILED, .is_bogus = answer->status == DNS_BOGUS};
    out->why = arena_printf(a, "looking up %.*s: %.*s", STR_FMT(name), STR_FMT(answer->why));
}

static bool is_failure(const struct dns_answer *answer)
{
    return answer->status == DNS_TEMPORARY || answer->status == DNS_BOGUS;
}

/* RFC 7672 2.2.3: one candidate. False: try the next one. */
static bool try_base(const struct dns *dns, struct arena *a, const struct dane_server *server, struct str base,
                     struct dane_result *out)
{
    struct str name = arena_printf(a, "_%u._tcp.%.*s", server->port, STR_FMT(base));
    struct dns_answer answer;

    dns_lookup(dns, a, name, DNS_TLSA, &answer);
    if (is_failure(&answer)) {
        fail_with(a, &answer, name, out);
        return true;
    }
    if (answer.status != DNS_OK || !answer.is_secure || !answer.n)
        return false;
    out->base = base;
    take_records(a, &answer, server->has_all_usages, out);
    return true;
}

static void add_name(struct dane_result *out, struct str name)
{
    if (!name.n)
        return;
    for (size_t i = 0; i < out->n_names; i++)
        if (str_eq_ci(out->names[i], name))
            return;
    out->names[out->n_names++] = name;
}

static void put_names(const struct dane_server *server, struct dane_result *out)
{
    // RFC 7672 3.2.2 names the base and both of the domain; the server's own name, of which the base
    // is an alias's end, is as secure as they are.
    add_name(out, out->base);
    add_name(out, server->host);
    add_name(out, server->next_hop);
    add_name(out, server->expanded_next_hop);
}

static bool is_alias(const struct dane_server *server)
{
    return server->expanded_host.n && !str_eq_ci(server->expanded_host, server->host);
}

/* RFC 7672 2.2.2, insecure CNAME: whether the alias itself is in a signed zone. False: it failed. */
static bool ask_alias(const struct dns *dns, struct arena *a, const struct dane_server *server,
                      bool *is_secure, struct dane_result *out)
{
    struct dns_answer answer;

    dns_lookup(dns, a, server->host, DNS_CNAME, &answer);
    if (is_failure(&answer)) {
        fail_with(a, &answer, server->host, out);
        return false;
    }
    *is_secure = answer.status == DNS_OK && answer.is_secure;
    return true;
}

static void search(const struct dns *dns, struct arena *a, const struct dane_server *server,
                   struct dane_result *out)
{
    bool is_alias_secure;

    if (server->is_address_secure) {
        if (is_alias(server) && try_base(dns, a, server, server->expanded_host, out))
            return;
        (void)try_base(dns, a, server, server->host, out);
        return;
    }
    // In an unsigned zone there is nothing secure to be found, and some servers there fail when asked.
    if (is_alias(server) && ask_alias(dns, a, server, &is_alias_secure, out) && is_alias_secure)
        (void)try_base(dns, a, server, server->host, out);
}

void dane_find(const struct dns *dns, struct arena *a, const struct dane_server *server,
               struct dane_result *out)
{
    *out = (struct dane_result){.status = DANE_NONE};
    // RFC 7672 2.2.1: who controls insecure MX records chooses the server, and its TLSA records too.
    if (!server->is_next_hop_secure)
        return;
    search(dns, a, server, out);
    if (out->status == DANE_USABLE || out->status == DANE_UNUSABLE)
        put_names(server, out);
}
