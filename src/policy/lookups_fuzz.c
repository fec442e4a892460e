/*
 * Everything that policy asks the DNS about a domain and an address, beside SPF: the first line is the address and
 * the domain, the rest the zone. Whatever it says, so much is asked and no more, and what is found is in its bounds.
 */
#include <stdint.h>

#include "policy/dane.h"
#include "policy/dmarc.h"
#include "policy/dns_fuzz.h"
#include "policy/dnsbl.h"
#include "policy/iprev.h"
#include "policy/mtasts.h"
#include "policy/mx.h"
#include "policy/tls_rule.h"
#include "policy/tlsrpt.h"
#include "policy/update.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_QUESTIONS = 50 };

static void check_line(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < ' ' || s.p[i] > '~')
            die("byte %d in a result", s.p[i]);
}

static void check_server(const struct dns *dns, struct arena *a, struct str domain, const struct mx_result *mx,
                         const struct mx_host *host, const struct ip *tried)
{
    struct mx_addresses found;
    struct tls_rule rule;
    struct dane_server server = {.next_hop = domain, .expanded_next_hop = mx->expanded,
                                 .is_next_hop_secure = mx->is_secure, .host = host->name, .port = 25};
    struct tls_input in = {.host = host->name, .is_next_hop_secure = mx->is_secure};

    mx_addresses(dns, a, host->name, MX_IPV4 | MX_IPV6, tried, 1, &found);
    if (found.n > MX_MAX_ADDRESSES || (!found.n && !found.why.n))
        die("addresses without number");
    server.expanded_host = found.expanded;
    server.is_address_secure = found.is_secure;
    dane_find(dns, a, &server, &in.dane);
    if (in.dane.n_names > DANE_MAX_NAMES)
        die("too many names");
    for (int wish = TLS_WISH_NONE; wish <= TLS_WISH_OPTIONAL; wish++) {
        in.wish = (enum tls_wish)wish;
        tls_rule_make(a, &in, &rule);
        if (rule.is_unusable && (!rule.refusal.n || rule.code < 400))
            die("refused without a reason");
        if (in.dane.status == DANE_USABLE && wish != TLS_WISH_OPTIONAL && !rule.is_unusable && !rule.must_encrypt)
            die("DANE in plain text");
    }
}

static void check_mail(const struct dns *dns, struct arena *a, struct str domain, const struct ip *ip)
{
    struct mx_result mx;

    mx_lookup(dns, a, domain, STR("self.example"), domain.n, &mx);
    if (mx.n > MX_MAX_HOSTS || (mx.status == MX_OK) != (mx.n > 0))
        die("hosts without number");
    for (size_t i = 0; i < mx.n && i < 2; i++)
        check_server(dns, a, domain, &mx, &mx.hosts[i], ip);
}

static void check_records(const struct dns *dns, struct arena *a, struct str domain)
{
    struct mtasts_record sts;
    struct tlsrpt_record report;
    struct update_version version;
    struct str text = {0};
    struct err e = {0};
    bool is_secure;

    if (mtasts_find(dns, a, domain, &sts, &text, &is_secure, &e) && (!sts.id.n || sts.id.n > MTASTS_MAX_ID))
        die("a policy without an id");
    if (tlsrpt_find(dns, a, domain, &report, &text, &is_secure, &e) && !report.rua.n)
        die("reports to nobody");
    (void)!update_find(dns, a, domain, &version, &e);
}

static void check_dmarc(const struct dns *dns, struct arena *a, struct str domain)
{
    struct dmarc_dkim signatures[] = {{domain, STR("s"), AUTH_PASS}, {STR("other.example"), STR("s"), AUTH_TEMPERROR}};
    struct dmarc_input in = {.from = domain, .spf_domain = STR("mail.x.example"), .spf = AUTH_PASS, .dkim = signatures,
                             .sample = 50};
    struct dmarc_result r;

    for (in.n_dkim = 0; in.n_dkim <= COUNT(signatures); in.n_dkim++) {
        dmarc_evaluate(dns, a, &in, &r);
        if (in.n_dkim && domain.n && r.status == AUTH_FAIL)
            die("a signature of the domain itself does not count");
        if (r.is_reject && r.status != AUTH_FAIL)
            die("rejected without a failure");
    }
}

static void check_client(const struct dns *dns, struct arena *a, struct str domain, const struct ip *ip)
{
    struct dnsbl_result list;
    struct iprev_result names;
    struct str why;

    dnsbl_check(dns, a, domain, ip, &list);
    check_line(list.explanation);
    if (list.n_codes > DNSBL_MAX_CODES || (list.status == DNSBL_LISTED && !list.n_codes))
        die("codes without number");
    if (dnsbl_check_health(dns, a, domain, ip->family, &why) != DNSBL_HEALTHY && !why.n)
        die("not healthy, and nobody knows why");
    iprev_check(dns, a, ip, &names);
    if ((names.status == AUTH_PASS) != (names.name.n > 0))
        die("a name that does not lead back");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const checks[])(const struct dns *, struct arena *, struct str, const struct ip *) = {check_mail,
                                                                                                       check_client};
    static void (*const domain_checks[])(const struct dns *, struct arena *, struct str) = {check_records, check_dmarc};
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF text = BUF_LIMIT(1 << 17);
    struct cur c = cur_of(str_at(data, size));
    struct str line, address, domain;
    struct dns_zone zone;
    struct dns dns;
    struct ip ip;

    if (size > UINT16_MAX || !cur_line(&c, &line) || !str_cut(line, ' ', &address, &domain) || !ip_parse(address, &ip) ||
        domain.n > DNS_MAX_NAME)
        return 0;
    domain = arena_lower(&a, domain);
    fuzz_zone(&a, &c, &text, &zone);
    dns = dns_zone_dns(&zone);
    for (size_t i = 0; i < COUNT(checks) + COUNT(domain_checks); i++) {
        zone.n_lookups = 0;
        if (i < COUNT(checks))
            checks[i](&dns, &a, domain, &ip);
        else
            domain_checks[i - COUNT(checks)](&dns, &a, domain);
        if (zone.n_lookups > MOST_QUESTIONS)
            die("%u questions", zone.n_lookups);
    }
    return 0;
}
