#include "policy/dns.h"

#include "base/die.h"

static const struct {
    enum dns_type type;
    const char *name;
} types[] = {
    {DNS_A, "A"},     {DNS_NS, "NS"},   {DNS_CNAME, "CNAME"}, {DNS_PTR, "PTR"},  {DNS_MX, "MX"},
    {DNS_TXT, "TXT"}, {DNS_AAAA, "AAAA"}, {DNS_SRV, "SRV"},   {DNS_TLSA, "TLSA"},
    {DNS_CAA, "CAA"},
};

const char *dns_type_name(enum dns_type type)
{
    for (size_t i = 0; i < COUNT(types); i++)
        if (types[i].type == type)
            return types[i].name;
    return "";
}

bool dns_type_parse(struct str name, enum dns_type *out)
{
    for (size_t i = 0; i < COUNT(types); i++)
        if (str_eq_ci(name, str_of(types[i].name))) {
            *out = types[i].type;
            return true;
        }
    return false;
}

const char *dns_status_name(enum dns_status status)
{
    static const char *const names[] = {"ok", "nxdomain", "nodata", "temporary", "bogus"};

    if (status >= COUNT(names))
        die("dns_status_name: no such status");
    return names[status];
}

bool dns_name_is_ok(struct str name)
{
    size_t label = 0;

    if (str_eq(name, STR(".")))
        return true;
    if (!name.n || name.n > DNS_MAX_NAME)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        label = name.p[i] == '.' ? 0 : label + 1;
        if (label > 63 || (name.p[i] == '.' && (!i || name.p[i - 1] == '.')))
            return false;
    }
    return label > 0;
}

static struct str without_dot(struct str name)
{
    if (name.n > 1 && name.p[name.n - 1] == '.')
        name.n--;
    return name;
}

void dns_lookup(const struct dns *dns, struct arena *a, struct str name, enum dns_type type,
                struct dns_answer *out)
{
    *out = (struct dns_answer){.status = DNS_NXDOMAIN};
    name = without_dot(name);
    if (dns_name_is_ok(name))
        dns->lookup(dns->ctx, a, name, type, out);
}

bool dns_find_sole(const struct dns *dns, struct arena *a, const struct dns_sole_record *of, struct str domain,
                   struct str *text, bool *is_secure, struct err *e)
{
    struct dns_answer answer;
    size_t n = 0;

    *text = STR("");
    dns_lookup(dns, a, arena_printf(a, "%s%.*s", of->prefix, STR_FMT(domain)), DNS_TXT, &answer);
    *is_secure = answer.is_secure;
    if (answer.status == DNS_TEMPORARY || answer.status == DNS_BOGUS)
        return fail(e, ERR_TEMPORARY, "looking up the %s record of %.*s: %.*s", of->what, STR_FMT(domain),
                    STR_FMT(answer.why));
    for (size_t i = 0; i < answer.n; i++)
        if (of->is_one(answer.records[i].data)) {
            *text = answer.records[i].data;
            n++;
        }
    return n == 1 || fail(e, ERR_NOT_FOUND, "%zu %s records for %.*s", n, of->what, STR_FMT(domain));
}

void dns_prefetch(const struct dns *dns, struct str name, enum dns_type type)
{
    name = without_dot(name);
    if (dns->prefetch && dns_name_is_ok(name))
        dns->prefetch(dns->ctx, name, type);
}
