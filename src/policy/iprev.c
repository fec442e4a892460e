#include "policy/iprev.h"

static bool has_address(const struct dns_answer *answer, const struct ip *ip)
{
    for (size_t i = 0; i < answer->n; i++)
        if (str_eq(answer->records[i].data, ip_bytes(ip)))
            return true;
    return false;
}

static void set_temporary(struct arena *a, struct str name, const struct dns_answer *answer,
                          struct iprev_result *out)
{
    out->status = AUTH_TEMPERROR;
    out->why = arena_printf(a, "looking up %.*s: %.*s", STR_FMT(name), STR_FMT(answer->why));
}

// Looks for a name that leads back. One that cannot be looked up may be it: then nobody knows.
static void check_names(const struct dns *dns, struct arena *a, const struct ip *ip,
                        struct iprev_result *out)
{
    enum dns_type type = ip->family == 4 ? DNS_A : DNS_AAAA;

    out->status = AUTH_FAIL;
    for (size_t i = 1; i < out->n_names; i++)
        dns_prefetch(dns, out->names[i], type);
    for (size_t i = 0; i < out->n_names; i++) {
        struct dns_answer answer;

        dns_lookup(dns, a, out->names[i], type, &answer);
        out->is_secure &= answer.is_secure;
        if (has_address(&answer, ip)) {
            out->status = AUTH_PASS;
            out->name = out->names[i];
            out->why = STR("");
            return;
        }
        if (answer.status != DNS_OK && !dns_is_none(&answer))
            set_temporary(a, out->names[i], &answer, out);
    }
}

void iprev_check(const struct dns *dns, struct arena *a, const struct ip *ip,
                 struct iprev_result *out)
{
    AUTO_BUF arpa = BUF_LIMIT(DNS_MAX_NAME);
    struct ip client = ip_unmapped(ip);
    struct dns_answer answer;
    struct str *names;

    ip_put_arpa(&arpa, &client);
    dns_lookup(dns, a, buf_str(&arpa), DNS_PTR, &answer);
    *out = (struct iprev_result){.status = AUTH_PERMERROR, .is_secure = answer.is_secure};
    if (answer.status != DNS_OK && !dns_is_none(&answer))
        set_temporary(a, buf_str(&arpa), &answer, out);
    if (!answer.n)
        return;
    out->n_names = answer.n < IPREV_MAX_NAMES ? answer.n : IPREV_MAX_NAMES;
    out->names = names = ARENA_ARRAY(a, out->n_names, struct str);
    for (size_t i = 0; i < out->n_names; i++)
        names[i] = answer.records[i].name;
    check_names(dns, a, &client, out);
    out->is_secure &= out->status != AUTH_TEMPERROR;
}

void iprev_prefetch(const struct dns *dns, const struct ip *ip)
{
    AUTO_BUF arpa = BUF_LIMIT(DNS_MAX_NAME);
    struct ip client = ip_unmapped(ip);

    ip_put_arpa(&arpa, &client);
    dns_prefetch(dns, buf_str(&arpa), DNS_PTR);
}
