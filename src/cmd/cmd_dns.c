/*
 * Verbs about the DNS.
 */
#include <stdio.h>
#include <string.h>

#include "base/ip.h"
#include "cmd/own_dns.h"
#include "cmd/verbs.h"
#include "text/idna.h"

/* What is shown of one record; an address for A and AAAA. */
typedef void show_fn(struct buf *out, const struct dns_record *r);

// Absolute, as in zone files.
static void put_host(struct buf *out, struct str name)
{
    buf_put(out, name);
    if (!str_eq(name, STR(".")))
        buf_put_char(out, '.');
}

static void show_host(struct buf *out, const struct dns_record *r)
{
    put_host(out, r->name);
}

static void show_mx(struct buf *out, const struct dns_record *r)
{
    put_host(out, r->name);
    buf_printf(out, ", preference %u", r->priority);
}

static void show_address(struct buf *out, const struct dns_record *r)
{
    struct ip ip;

    if (ip_of_bytes(r->data, &ip))
        ip_put(out, &ip);
}

static void show_text(struct buf *out, const struct dns_record *r)
{
    own_dns_put_text(out, r->data);
}

static void show_srv(struct buf *out, const struct dns_record *r)
{
    BUF_PUT(out, "host ");
    put_host(out, r->name);
    buf_printf(out, ", port %u, priority %u, weight %u", r->port, r->priority, r->weight);
}

/* Names of RFC 7218. */
static const char *name_of(const char *const *names, size_t n, unsigned value)
{
    return value < n ? names[value] : value == 255 ? "PrivX" : "unassigned";
}

static void show_tlsa(struct buf *out, const struct dns_record *r)
{
    static const char *const usages[] = {"PKIX-TA", "PKIX-EE", "DANE-TA", "DANE-EE"};
    static const char *const selectors[] = {"Cert", "SPKI"};
    static const char *const types[] = {"Full", "SHA2-256", "SHA2-512"};

    buf_printf(out, "usage \"%s\" (%u), selector \"%s\" (%u), matchtype \"%s\" (%u), data ",
               name_of(usages, COUNT(usages), r->usage), r->usage,
               name_of(selectors, COUNT(selectors), r->selector), r->selector,
               name_of(types, COUNT(types), r->matching), r->matching);
    for (size_t i = 0; i < r->data.n; i++)
        buf_printf(out, "%02x", (unsigned char)r->data.p[i]);
}

static const struct lookup {
    const char *word;
    enum dns_type type, second; // second: asked too, and both are shown; 0: none
    show_fn *show;
} lookups[] = {
    {"ptr", DNS_PTR, 0, show_host},    {"mx", DNS_MX, 0, show_mx},
    {"cname", DNS_CNAME, 0, show_host}, {"ips", DNS_A, DNS_AAAA, show_address},
    {"a", DNS_A, 0, show_address},     {"aaaa", DNS_AAAA, 0, show_address},
    {"ns", DNS_NS, 0, show_host},      {"txt", DNS_TXT, 0, show_text},
    {"srv", DNS_SRV, 0, show_srv},     {"tlsa", DNS_TLSA, 0, show_tlsa},
};

static bool fail_lookup(const struct lookup *l, struct str name, const struct dns_answer *a,
                        struct err *e)
{
    switch (a->status) {
    case DNS_OK:
        return true;
    case DNS_NXDOMAIN:
        return fail(e, ERR_NOT_FOUND, "looking up %s of %.*s: no such name (%s)", l->word,
                    STR_FMT(name), own_dns_security(a->is_secure));
    case DNS_NODATA:
        return fail(e, ERR_NOT_FOUND, "looking up %s of %.*s: no such record (%s)", l->word,
                    STR_FMT(name), own_dns_security(a->is_secure));
    case DNS_TEMPORARY:
        return fail(e, ERR_TEMPORARY, "looking up %s of %.*s: temporary failure: %.*s", l->word,
                    STR_FMT(name), STR_FMT(a->why));
    case DNS_BOGUS:
        break;
    }
    return fail(e, ERR_TEMPORARY, "looking up %s of %.*s: bogus: %.*s", l->word, STR_FMT(name),
                STR_FMT(a->why));
}

// The name to ask for: of an address for ptr, with A-labels for others.
static bool question_name(struct arena *a, const struct lookup *l, struct str text,
                          struct str *out, struct err *e)
{
    AUTO_BUF arpa = BUF_LIMIT(200);
    struct ip ip;

    if (l->type == DNS_PTR) {
        if (!ip_parse(text, &ip))
            return fail(e, ERR_SYNTAX, "\"%.*s\" is not an IP address", STR_FMT(text));
        ip_put_arpa(&arpa, &ip);
        *out = arena_dup(a, buf_str(&arpa));
        return true;
    }
    *out = text; // as it is: names such as _dmarc.example.org are no host names
    if (!str_is_ascii(text))
        return domain_to_ascii(a, text, out, e);
    return dns_name_is_ok(text.n > 1 && str_ends(text, STR(".")) ? str_sub(text, 0, text.n - 1) : text) ||
           fail(e, ERR_SYNTAX, "\"%.*s\" is no name in the DNS", STR_FMT(text));
}

// Those to try first come first; they arrive in any order.
static void sort_by_priority(struct arena *a, struct dns_answer *answer)
{
    struct dns_record *sorted = ARENA_ARRAY(a, answer->n + 1, struct dns_record);

    for (size_t i = 0; i < answer->n; i++) {
        size_t at = i;

        for (; at && sorted[at - 1].priority > answer->records[i].priority; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = answer->records[i];
    }
    answer->records = sorted;
}

static void show(const struct lookup *l, const struct dns_answer answers[2], bool is_secure)
{
    AUTO_BUF out = BUF_LIMIT(8 << 20);

    if (l->type == DNS_CNAME) {
        put_host(&out, answers[0].records[0].name);
        buf_printf(&out, " (%s)\n", own_dns_security(is_secure));
    } else
        buf_printf(&out, "%s records (%zu, %s):\n", l->word, answers[0].n + answers[1].n,
                   own_dns_security(is_secure));
    for (size_t i = 0; i < 2 && l->type != DNS_CNAME; i++)
        for (size_t k = 0; k < answers[i].n; k++) {
            BUF_PUT(&out, "- ");
            l->show(&out, &answers[i].records[k]);
            BUF_PUT(&out, "\n");
        }
    fwrite(out.p, 1, out.n, stdout);
}

static bool look_up(const struct lookup *l, struct str text, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct dns_answer answers[2] = {{0}};
    struct str name;
    struct dns dns;
    bool is_secure;

    if (!question_name(&a, l, text, &name, e) || !own_dns_open(&dns, e))
        return false;
    if (l->second)
        dns_prefetch(&dns, name, l->second);
    dns_lookup(&dns, &a, name, l->type, &answers[0]);
    is_secure = answers[0].is_secure;
    if (l->second) {
        dns_lookup(&dns, &a, name, l->second, &answers[1]);
        is_secure &= answers[1].is_secure;
    }
    // One family is enough, but not when the other is withheld: a failure is no absence.
    if (l->second && (answers[0].status == DNS_OK || dns_is_none(&answers[0])) &&
        answers[1].status != DNS_OK && !dns_is_none(&answers[1]))
        return fail_lookup(l, text, &answers[1], e);
    if (answers[0].status != DNS_OK &&
        !(l->second && dns_is_none(&answers[0]) && answers[1].status == DNS_OK))
        return fail_lookup(l, text, &answers[0], e);
    sort_by_priority(&a, &answers[0]);
    show(l, answers, is_secure);
    return true;
}

static const struct lookup *lookup_of(const char *word)
{
    for (size_t i = 0; i < COUNT(lookups); i++)
        if (strcmp(lookups[i].word, word) == 0)
            return &lookups[i];
    return NULL;
}

int cmd_dns_lookup(int argc, char **argv)
{
    const struct lookup *type;
    struct err e = {0};

    if (argc != 2 && argc != 3)
        return cmd_usage("dns lookup");
    // A type alone has lost its name.
    type = lookup_of(argv[1]);
    if (argc == 2)
        type = type ? NULL : lookup_of("ips");
    if (!type)
        return cmd_usage("dns lookup");
    return look_up(type, str_of(argv[argc - 1]), &e) ? 0 : cmd_fail(&e);
}
