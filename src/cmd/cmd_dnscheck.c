/*
 * config dnscheck: whether the DNS, and the servers that it leads to, are as the configuration wants them
 * (mox-web-http-api.md 3.4).
 */
#include <stdarg.h>
#include <stdio.h>

#include "cmd/own_dns.h"
#include "cmd/paths.h"
#include "cmd/probe.h"
#include "cmd/verbs.h"
#include "cmd/zone_text.h"
#include "crypto/crypto.h"
#include "os/clock.h"
#include "os/net.h"
#include "policy/dane.h"
#include "policy/dmarc.h"
#include "policy/mtasts.h"
#include "policy/mx.h"
#include "policy/spf/spf.h"
#include "policy/tlsrpt.h"
#include "text/idna.h"
#include "web/autoconfig.h"

enum {
    ALL_MS = 30 * 1000,    // after that no other server is connected to
    MAX_IPS = 64,
    MAX_KEY_FILE = 64 * 1024,
    SHORT_MAX_AGE = 24 * 3600,
};

struct own_ip {
    struct ip ip;
    bool is_listened;   // a listener names it
    struct str host;    // the name that it should have
};

struct check {
    struct arena *a;
    const struct config *config;
    const struct sconf_node *domain;
    struct str name, host, clients; // A-labels; clients: where they connect to
    struct dns dns;
    struct own_trust trust;
    struct prober prober;
    struct own_ip ips[MAX_IPS];     // that we send from, or are reached at
    size_t n_ips;
    bool has_nat;                   // IPsNATed: which addresses others see is not known
    struct dns_answer mx;
    bool is_mx_known;
    const char *section;
    bool is_section_begun;
    unsigned n_errors, n_warnings;
};

/* --- findings -------------------------------------------------------------------------------------------- */

static void put_finding(struct check *c, const char *kind, const char *format, va_list ap) PRINTF_LIKE(3, 0);
static void put_finding(struct check *c, const char *kind, const char *format, va_list ap)
{
    AUTO_BUF safe = BUF_LIMIT(8192);
    char text[2048];

    vsnprintf(text, sizeof text, format, ap);
    own_dns_put_text(&safe, str_of(text)); // much of it others have written
    if (!c->is_section_begun)
        printf("%s# %s\n", c->n_errors + c->n_warnings ? "\n" : "", c->section);
    c->is_section_begun = true;
    printf("%s: %.*s\n", kind, STR_FMT(buf_str(&safe)));
    fflush(stdout);
}

static void error(struct check *c, const char *format, ...) PRINTF_LIKE(2, 3);
static void error(struct check *c, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    put_finding(c, "error", format, ap);
    va_end(ap);
    c->n_errors++;
}

static void warn(struct check *c, const char *format, ...) PRINTF_LIKE(2, 3);
static void warn(struct check *c, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    put_finding(c, "warning", format, ap);
    va_end(ap);
    c->n_warnings++;
}

/* --- questions ---------------------------------------------------------------------------------------------- */

static struct str below(struct check *c, const char *label, struct str name)
{
    return arena_printf(c->a, "%s%.*s", label, STR_FMT(name));
}

static struct str ip_text(struct check *c, const struct ip *ip)
{
    AUTO_BUF text = BUF_LIMIT(64);

    ip_put(&text, ip);
    return arena_dup(c->a, buf_str(&text));
}

// False after an error: nobody knows whether there are records.
static bool ask(struct check *c, struct str name, enum dns_type type, struct dns_answer *out)
{
    dns_lookup(&c->dns, c->a, name, type, out);
    if (out->status == DNS_OK || dns_is_none(out))
        return true;
    error(c, "looking up %s of %.*s: %.*s", dns_type_name(type), STR_FMT(name), STR_FMT(out->why));
    return false;
}

static bool is_ours(const struct check *c, const struct ip *ip)
{
    for (size_t i = 0; i < c->n_ips; i++)
        if (ip_eq(&c->ips[i].ip, ip))
            return true;
    return false;
}

// That a name leads to addresses of ours, and to no others.
static void check_leads_here(struct check *c, const char *what, struct str name)
{
    struct mx_addresses to;
    size_t n_ours = 0;

    mx_addresses(&c->dns, c->a, name, MX_IPV4 | MX_IPV6, NULL, 0, &to);
    if (!to.n) {
        error(c, "%s %.*s: %.*s", what, STR_FMT(name), STR_FMT(to.why));
        return;
    }
    for (size_t i = 0; i < to.n; i++)
        n_ours += is_ours(c, &to.ips[i]);
    for (size_t i = 0; i < to.n && !c->has_nat; i++)
        if (!is_ours(c, &to.ips[i]))
            error(c, "%s %.*s has the address %.*s, which is not of this server%s", what, STR_FMT(name),
                  STR_FMT(ip_text(c, &to.ips[i])), n_ours ? "; others of its addresses are" : "");
}

static void add_ip(struct check *c, const struct ip *ip, bool is_listened, struct str host)
{
    for (size_t i = 0; i < c->n_ips; i++)
        if (ip_eq(&c->ips[i].ip, ip)) {
            c->ips[i].is_listened = c->ips[i].is_listened || is_listened;
            return;
        }
    if (c->n_ips < MAX_IPS)
        c->ips[c->n_ips++] = (struct own_ip){*ip, is_listened, host};
}

// Of listeners for mail, of the host's name, and where "all addresses" is said, of the machine.
static void find_own_ips(struct check *c)
{
    struct mx_addresses host;
    bool is_all = false;

    SCONF_EACH (l, sconf_get(c->config->main.root, "Listeners")) {
        const struct sconf_node *nat = sconf_get(l, "NATIPs");

        if (!sconf_bool(sconf_get(l, "SMTP"), "Enabled"))
            continue;
        c->has_nat = c->has_nat || sconf_bool(l, "IPsNATed");
        SCONF_EACH (n, nat && nat->child ? nat : sconf_get(l, "IPs")) {
            struct ip ip;

            if (ip_parse(n->value, &ip) && own_dns_is_address(&ip))
                add_ip(c, &ip, true, c->host);
            else
                is_all = true;
        }
    }
    if (is_all) {
        struct net_own own[MAX_IPS];
        size_t n = net_own_addresses(own, MAX_IPS);

        for (size_t i = 0; i < n; i++)
            if (own[i].is_public)
                add_ip(c, &own[i].ip, false, c->host);
    }
    mx_addresses(&c->dns, c->a, c->host, MX_IPV4 | MX_IPV6, NULL, 0, &host);
    for (size_t i = 0; i < host.n && is_all; i++)
        add_ip(c, &host.ips[i], false, c->host);
}

/* --- other servers ------------------------------------------------------------------------------------------------- */

typedef bool probe_fn(const struct prober *p, struct str name, const struct ip *ip, unsigned port, struct err *e);

// Every address of a name.
static void probe_all(struct check *c, struct str name, unsigned port, probe_fn *run)
{
    struct mx_addresses to;

    mx_addresses(&c->dns, c->a, name, MX_IPV4 | MX_IPV6, NULL, 0, &to);
    for (size_t i = 0; i < to.n; i++) {
        struct err e = {0};

        if (!run(&c->prober, name, &to.ips[i], port, &e))
            error(c, "%.*s, %.*s port %u: %s", STR_FMT(name), STR_FMT(ip_text(c, &to.ips[i])), port, e.text);
    }
}

/* --- sections ------------------------------------------------------------------------------------------------------ */

static void check_dnssec(struct check *c)
{
    struct dns_answer com;

    if (!ask(c, STR("com"), DNS_NS, &com))
        return;
    if (!com.is_secure)
        warn(c, "answers of the DNS are not validated: the resolver in /etc/resolv.conf withholds signatures; install one "
                "of your own, such as unbound");
    else if (c->is_mx_known && !c->mx.is_secure)
        warn(c, "the zone of %.*s is not signed: enable DNSSEC where its DNS is managed", STR_FMT(c->name));
}

static void check_reverse(struct check *c)
{
    struct mx_addresses host;

    mx_addresses(&c->dns, c->a, c->host, MX_IPV4 | MX_IPV6, NULL, 0, &host);
    if (!host.n)
        error(c, "the hostname %.*s: %.*s", STR_FMT(c->host), STR_FMT(host.why));
    for (size_t i = 0; i < host.n; i++)
        if (!own_dns_is_address(&host.ips[i]))
            error(c, "the hostname %.*s leads to the loopback address %.*s: perhaps by /etc/hosts", STR_FMT(c->host),
                  STR_FMT(ip_text(c, &host.ips[i])));
        else if (!is_ours(c, &host.ips[i]) && !c->has_nat)
            error(c, "the hostname %.*s has the address %.*s, which is not of this server", STR_FMT(c->host),
                  STR_FMT(ip_text(c, &host.ips[i])));
    for (size_t i = 0; i < c->n_ips && !c->has_nat; i++) {
        AUTO_BUF arpa = BUF_LIMIT(128);
        struct dns_answer names;
        bool is_right = false;

        ip_put_arpa(&arpa, &c->ips[i].ip);
        if (!ask(c, arena_dup(c->a, buf_str(&arpa)), DNS_PTR, &names))
            continue;
        for (size_t j = 0; j < names.n; j++)
            is_right = is_right || str_eq(names.records[j].name, c->ips[i].host);
        if (!names.n)
            warn(c, "the address %.*s has no name: it should be %.*s", STR_FMT(ip_text(c, &c->ips[i].ip)),
                 STR_FMT(c->ips[i].host));
        else if (!is_right)
            warn(c, "the name of %.*s is %.*s: it should be %.*s", STR_FMT(ip_text(c, &c->ips[i].ip)),
                 STR_FMT(names.records[0].name), STR_FMT(c->ips[i].host));
    }
}

static void check_mx(struct check *c)
{
    if (!c->is_mx_known)
        error(c, "looking up MX of %.*s: %.*s", STR_FMT(c->name), STR_FMT(c->mx.why));
    else if (!c->mx.n)
        error(c, "no MX records: %.*s. MX 10 %.*s. is needed", STR_FMT(c->name), STR_FMT(c->host));
    for (size_t i = 0; i < c->mx.n; i++)
        if (str_eq(c->mx.records[i].name, STR(".")))
            error(c, "the MX record says that the domain takes no mail");
        else
            check_leads_here(c, "the mail server", c->mx.records[i].name);
}

static void check_tls(struct check *c)
{
    for (size_t i = 0; i < c->mx.n; i++)
        if (!str_eq(c->mx.records[i].name, STR(".")))
            probe_all(c, c->mx.records[i].name, 25, probe_smtp);
}

static void check_dane_host(struct check *c, struct str host, const struct host_keys *keys)
{
    struct str name = below(c, "_25._tcp.", host);
    struct mx_addresses addresses;
    struct dns_answer found;

    mx_addresses(&c->dns, c->a, host, MX_IPV4 | MX_IPV6, NULL, 0, &addresses);
    if (!ask(c, name, DNS_TLSA, &found))
        return;
    if (found.n && !found.is_secure) {
        error(c, "the TLSA records of %.*s are not signed, so that nobody uses them", STR_FMT(name));
        return;
    }
    for (size_t i = 0; i < found.n; i++) {
        AUTO_BUF text = BUF_LIMIT(1024);
        bool is_own = false;

        for (size_t j = 0; j < keys->n; j++)
            is_own = is_own || str_eq(found.records[i].data, keys->items[j].digest);
        dane_put_record(&text, &found.records[i]);
        if (!is_own || found.records[i].usage != DANE_EE || found.records[i].selector != 1 ||
            found.records[i].matching != 1)
            error(c, "unexpected TLSA record at %.*s: %.*s fits no key of this host", STR_FMT(name),
                  STR_FMT(buf_str(&text)));
    }
    for (size_t j = 0; j < keys->n && addresses.is_secure; j++) {
        AUTO_BUF hex = BUF_LIMIT(200);
        bool is_there = false;

        for (size_t i = 0; i < found.n; i++)
            is_there = is_there || str_eq(found.records[i].data, keys->items[j].digest);
        zone_put_hex(&hex, keys->items[j].digest);
        if (!is_there)
            error(c, "missing TLSA record: %.*s. TLSA 3 1 1 %.*s", STR_FMT(name), STR_FMT(buf_str(&hex)));
    }
}

static void check_dane(struct check *c)
{
    struct host_keys keys;
    struct err e = {0};

    if (!zone_host_keys(c->a, c->config, &keys, &e)) {
        error(c, "%s", e.text);
        return;
    }
    if (!c->mx.is_secure)
        warn(c, "the MX records are not signed with DNSSEC: DANE cannot be used");
    if (!keys.n)
        warn(c, "no private keys of the host are kept (HostPrivateKeyFiles), so that TLSA records would be wrong after each "
                "new certificate: \"mox config ensureacmehostprivatekeys\" makes them");
    for (size_t i = 0; i < c->mx.n; i++)
        if (!str_eq(c->mx.records[i].name, STR(".")))
            check_dane_host(c, c->mx.records[i].name, &keys);
}

static void check_spf_of(struct check *c, struct str domain, const char *wanted)
{
    struct spf_lookup found;

    spf_lookup(&c->dns, c->a, domain, &found);
    if (found.status != AUTH_PASS) {
        error(c, "SPF record of %.*s: %.*s; it could be TXT \"%s\"", STR_FMT(domain),
              STR_FMT(found.why.n ? found.why : STR("there is none")), wanted);
        return;
    }
    for (size_t i = 0; i < c->n_ips && !c->has_nat; i++) {
        struct spf_query q = {.ip = c->ips[i].ip, .helo = c->host, .domain = domain, .receiver = c->host,
                              .now_unix = (uint64_t)os_now_unix()};
        struct spf_result r;

        spf_check(&c->dns, c->a, &q, SPF_MAILFROM, &r);
        if (r.status != AUTH_PASS)
            error(c, "the SPF record of %.*s does not allow mail from %.*s: %s%s%.*s", STR_FMT(domain),
                  STR_FMT(ip_text(c, &c->ips[i].ip)), auth_result_name(r.status), r.why.n ? ", " : "", STR_FMT(r.why));
    }
}

static void check_spf(struct check *c)
{
    AUTO_BUF wanted = BUF_LIMIT(1024);
    bool is_explicit = false;

    BUF_PUT(&wanted, "v=spf1 ");
    for (size_t i = 0; i < c->n_ips; i++)
        if (c->ips[i].is_listened) {
            is_explicit = true;
            buf_printf(&wanted, "ip%u:%.*s ", c->ips[i].ip.family, STR_FMT(ip_text(c, &c->ips[i].ip)));
        }
    BUF_PUT(&wanted, "mx ~all");
    if (!is_explicit && !c->has_nat)
        warn(c, "no listener for mail names its addresses: mail may leave from others than the SPF record has");
    check_spf_of(c, c->name, arena_cstring(c->a, buf_str(&wanted)));
    if (!str_eq(c->host, c->name))
        check_spf_of(c, c->host, "v=spf1 a -all");
}

static void check_selector(struct check *c, const struct sconf_node *s)
{
    struct str file = sconf_text(s, "PrivateKeyFile"), pem, selector, public;
    enum dkim_algorithm algorithm;
    struct private_key *key;
    struct dkim_lookup found;
    struct err e = {0};
    bool is_ok;

    if (!domain_to_ascii(c->a, s->key, &selector, &e) || !paths_read_named(c->a, file, MAX_KEY_FILE, &pem, &e)) {
        error(c, "selector %.*s: %s", STR_FMT(s->key), e.text);
        return;
    }
    key = dkim_private_key(pem, &algorithm, &e);
    is_ok = key && private_key_public(c->a, key, &public, &e);
    private_key_free(key);
    if (!is_ok) {
        error(c, "selector %.*s: %s", STR_FMT(s->key), e.text);
        return;
    }
    dkim_lookup(&c->dns, c->a, selector, c->name, &found);
    if (found.status != AUTH_PASS)
        error(c, "record of selector %.*s, %.*s._domainkey.%.*s: %.*s", STR_FMT(s->key), STR_FMT(selector),
              STR_FMT(c->name), STR_FMT(found.why.n ? found.why : STR("there is none")));
    else if (!str_eq(found.record.public_key, public))
        error(c, "record of selector %.*s, %.*s._domainkey.%.*s: it has another key than the configuration", STR_FMT(s->key),
              STR_FMT(selector), STR_FMT(c->name));
}

static void check_dkim(struct check *c)
{
    const struct sconf_node *dkim = sconf_get(c->domain, "DKIM"), *selectors = sconf_get(dkim, "Selectors");

    if (!selectors || !selectors->child)
        error(c, "no selectors are configured: mail is not signed");
    else if (!sconf_get(dkim, "Sign") || !sconf_get(dkim, "Sign")->child)
        warn(c, "no selector is in Sign: mail is not signed");
    SCONF_EACH (s, selectors)
        check_selector(c, s);
}

static bool has_address(struct check *c, const struct report_uris *uris, struct str localpart, struct str domain)
{
    for (size_t i = 0; i < uris->n; i++) {
        struct str own_localpart, own_domain;

        if (report_uri_mailto(c->a, &uris->items[i], &own_localpart, &own_domain) &&
            str_eq_ci(own_localpart, localpart) && str_eq_ci(own_domain, domain))
            return true;
    }
    return false;
}

// The address of a section for reports; false when there is no such section.
static bool report_address(struct check *c, const char *section, struct str *localpart, struct str *domain)
{
    const struct sconf_node *report = sconf_get(c->domain, section);
    struct err e = {0};

    *localpart = sconf_text(report, "Localpart");
    *domain = c->name;
    if (report && sconf_text(report, "Domain").n && !domain_to_ascii(c->a, sconf_text(report, "Domain"), domain, &e))
        *domain = c->name;
    return report != NULL;
}

static void check_dmarc(struct check *c)
{
    struct str localpart, domain;
    struct dmarc_found found;

    dmarc_find(&c->dns, c->a, c->name, &found);
    if (found.result != AUTH_PASS) {
        error(c, "DMARC record: %.*s", STR_FMT(found.why.n ? found.why : STR("there is none")));
        return;
    }
    if (!str_eq(found.domain, c->name))
        warn(c, "the domain has no DMARC record of its own; that of %.*s counts", STR_FMT(found.domain));
    if (found.record.p == DMARC_NO_POLICY)
        warn(c, "the policy is p=none: mail that others forge in the domain's name is taken");
    if (found.record.sp == DMARC_NO_POLICY)
        warn(c, "the policy of domains below is sp=none: mail that others forge in their names is taken");
    if (!found.record.rua.n)
        warn(c, "nobody gets reports: there is no rua");
    for (size_t i = 0; i < found.record.rua.n; i++) {
        struct report_uris unused;
        struct str to, why;

        if (report_uri_mailto(c->a, &found.record.rua.items[i], &localpart, &to) &&
            dmarc_report_consent(&c->dns, c->a, found.domain, to, &unused, &why) == DMARC_CONSENT_NO)
            error(c, "%.*s does not say that it wants the reports: %.*s._report._dmarc.%.*s needs a record", STR_FMT(to),
                  STR_FMT(found.domain), STR_FMT(to));
    }
    if (report_address(c, "DMARC", &localpart, &domain) && !has_address(c, &found.record.rua, localpart, domain))
        error(c, "the configured address for reports is not in rua: %.*s@%.*s", STR_FMT(localpart), STR_FMT(domain));
}

static void check_tlsrpt(struct check *c, struct str of, bool is_configured, struct str localpart, struct str domain)
{
    struct tlsrpt_record record;
    struct str text;
    bool is_secure;
    struct err e = {0};

    if (!tlsrpt_find(&c->dns, c->a, of, &record, &text, &is_secure, &e)) {
        if (is_configured || e.kind != ERR_NOT_FOUND)
            error(c, "%s", e.text);
        else
            warn(c, "no reports about TLS are asked for: there is no TLSRPT in the configuration, and no record");
    } else if (is_configured && !has_address(c, &record.rua, localpart, domain)) {
        error(c, "the configured address for reports is not in rua of _smtp._tls.%.*s: %.*s@%.*s", STR_FMT(of),
              STR_FMT(localpart), STR_FMT(domain));
    }
}

static void check_host_tlsrpt(struct check *c)
{
    const struct sconf_node *report = sconf_get(c->config->main.root, "HostTLSRPT");

    if (!str_eq(c->host, c->name))
        check_tlsrpt(c, c->host, report != NULL, sconf_text(report, "Localpart"), c->host);
}

static void check_domain_tlsrpt(struct check *c)
{
    struct str localpart, domain;
    bool is_configured = report_address(c, "TLSRPT", &localpart, &domain);

    check_tlsrpt(c, c->name, is_configured, localpart, domain);
}

static void check_policy(struct check *c)
{
    struct mtasts_policy policy;
    struct str body;
    struct err e = {0};

    if (!probe_policy(&c->prober, c->name, &body, &e) || !mtasts_policy_parse(c->a, body, &policy, &e)) {
        error(c, "policy at https://" MTASTS_HOST_PREFIX "%.*s" MTASTS_PATH ": %s", STR_FMT(c->name), e.text);
        return;
    }
    if (policy.mode != MTASTS_ENFORCE)
        warn(c, "the mode of the policy is %s: senders do not insist on TLS", mtasts_mode_name(policy.mode));
    if (policy.max_age < SHORT_MAX_AGE)
        warn(c, "senders forget the policy after %u seconds: MaxAge should be a day or more", policy.max_age);
    if (!mtasts_allows(&policy, c->host))
        error(c, "the policy does not have this host, %.*s", STR_FMT(c->host));
    for (size_t i = 0; i < c->mx.n; i++)
        if (!mtasts_allows(&policy, c->mx.records[i].name))
            error(c, "the mail server %.*s is not in the policy: no mail will come to it", STR_FMT(c->mx.records[i].name));
    for (size_t i = 0; i < policy.n; i++) {
        struct mtasts_policy one = {.mx = &policy.mx[i], .n = 1};
        bool is_used = false;

        for (size_t j = 0; j < c->mx.n; j++)
            is_used = is_used || mtasts_allows(&one, c->mx.records[j].name);
        if (!is_used)
            warn(c, "the policy has %.*s, which no MX record names", STR_FMT(policy.mx[i]));
    }
}

static void check_mtasts(struct check *c)
{
    struct str wanted = sconf_text(sconf_get(c->domain, "MTASTS"), "PolicyID"), text;
    struct mtasts_record record;
    bool is_secure;
    struct err e = {0};

    if (!wanted.n) {
        warn(c, "MTA-STS is not configured for the domain");
        return;
    }
    if (!mtasts_find(&c->dns, c->a, c->name, &record, &text, &is_secure, &e))
        error(c, "%s", e.text);
    else if (!str_eq(record.id, wanted))
        error(c, "the record at _mta-sts.%.*s has the id %.*s, the configuration %.*s: senders do not ask for the present "
                 "policy", STR_FMT(c->name), STR_FMT(record.id), STR_FMT(wanted));
    check_policy(c);
}

static void check_srv(struct check *c)
{
    for (size_t i = 0; i < ZONE_SERVICES; i++) {
        const struct zone_service *s = &zone_services[i];
        struct str name = below(c, s->label, c->name);
        bool is_had = s->name && zone_has_service(c->config, s->name), is_needed = zone_offers(c->config, s);
        struct dns_answer found;

        if (!ask(c, name, DNS_SRV, &found))
            continue;
        if (!found.n && is_needed)
            error(c, "missing: %.*s. SRV 0 1 %u %.*s.", STR_FMT(name), s->port, STR_FMT(c->clients));
        else if (!found.n)
            warn(c, "missing, to say that there is no such service: %.*s. SRV 0 0 0 .", STR_FMT(name));
        for (size_t j = 0; j < found.n; j++) {
            const struct dns_record *r = &found.records[j];
            bool is_none = str_eq(r->name, STR("."));

            if (is_none && is_needed)
                error(c, "the record at %.*s says that there is no such service", STR_FMT(name));
            else if (!is_none && !is_had)
                error(c, "the record at %.*s leads to %.*s port %u, which this server does not have; it should be SRV 0 0 0 .",
                      STR_FMT(name), STR_FMT(r->name), r->port);
            else if (!is_none && (!str_eq(r->name, c->clients) || r->port != s->port))
                error(c, "the record at %.*s leads to %.*s port %u; it should lead to %.*s port %u", STR_FMT(name),
                      STR_FMT(r->name), r->port, STR_FMT(c->clients), s->port);
            else if (is_none && r->port)
                warn(c, "the record at %.*s says that there is no such service, and should have port 0", STR_FMT(name));
        }
    }
}

static void check_settings_server(struct check *c, struct str name)
{
    unsigned before = c->n_errors;

    check_leads_here(c, "the name for settings,", name);
    if (c->n_errors == before)
        probe_all(c, name, 443, probe_tls);
}

// Clients compare the document with its digest in the DNS.
static void check_pacc(struct check *c, struct str wanted)
{
    struct str name = below(c, "_ua-auto-config.", c->name);
    struct dns_answer found;

    check_settings_server(c, below(c, PACC_HOST_PREFIX, c->name));
    if (!ask(c, name, DNS_TXT, &found))
        return;
    for (size_t i = 0; i < found.n; i++)
        if (str_eq(found.records[i].data, wanted))
            return;
    error(c, "%s: %.*s. TXT \"%.*s\" is needed", found.n ? "the record is for other settings" : "missing", STR_FMT(name),
          STR_FMT(wanted));
}

static void check_autoconf(struct check *c)
{
    struct str pacc = zone_pacc(c->a, c->config, c->domain);

    if (!str_eq(c->clients, c->host))
        check_leads_here(c, "the name for clients,", c->clients);
    if (!zone_has_service(c->config, "AutoconfigHTTPS"))
        return;
    check_settings_server(c, below(c, "autoconfig.", c->name));
    if (pacc.n)
        check_pacc(c, pacc);
}

static void check_autodiscover(struct check *c)
{
    struct str name = below(c, "_autodiscover._tcp.", c->name);
    struct dns_answer found;
    bool has_port = false;

    if (!zone_has_service(c->config, "AutoconfigHTTPS") || !ask(c, name, DNS_SRV, &found))
        return;
    for (size_t i = 0; i < found.n; i++) {
        unsigned before = c->n_errors;

        if (found.records[i].port != 443) {
            warn(c, "the record at %.*s with port %u is not used: it should be 443", STR_FMT(name), found.records[i].port);
            continue;
        }
        has_port = true;
        check_leads_here(c, "the server of settings,", found.records[i].name);
        if (c->n_errors == before)
            probe_all(c, found.records[i].name, 443, probe_tls);
    }
    if (!has_port)
        error(c, "no record with port 443: %.*s. SRV 0 1 443 %.*s. is needed", STR_FMT(name), STR_FMT(c->host));
}

// A parameter of a CAA record (RFC 8659 4.2); empty when it has none of that name.
static struct str caa_parameter(struct str parameters, struct str name)
{
    struct str one, key, value;

    while (str_next(&parameters, ';', &one))
        if (str_cut(one, '=', &key, &value) && str_eq_ci(str_trim(key), name))
            return str_trim(value);
    return STR("");
}

// RFC 8657: that the record is for us, and for a way in which we show that names are ours.
static bool caa_takes(struct check *c, const struct sconf_node *provider, struct str parameters)
{
    struct str uri = caa_parameter(parameters, STR("accounturi")), own = zone_account_uri(c->a, c->config, provider);
    struct str methods = caa_parameter(parameters, STR("validationmethods")), ours, theirs;
    bool is_usable = !methods.n;

    while (str_next(&methods, ',', &theirs))
        for (struct str rest = zone_validation_methods(provider); str_next(&rest, ',', &ours);)
            is_usable = is_usable || str_eq_ci(str_trim(theirs), ours);
    return is_usable && (!uri.n || !own.n || str_eq(uri, own));
}

// Not one of upstream's: a record that allows others, and not the authority that we ask, ends renewals.
static void check_caa(struct check *c)
{
    SCONF_EACH (provider, sconf_get(c->config->main.root, "ACME")) {
        struct str issuer = zone_issuer(provider);
        struct dns_answer found;
        bool is_allowed = false, is_other = false, has_issue = false;

        if (!issuer.n || !ask(c, c->name, DNS_CAA, &found))
            continue;
        for (size_t i = 0; i < found.n; i++) {
            struct str of = found.records[i].data, rest = STR("");

            if (!str_eq(found.records[i].name, STR("issue")))
                continue;
            has_issue = true;
            str_cut(of, ';', &of, &rest);
            if (!str_eq_ci(str_trim(of), issuer))
                continue;
            is_allowed = is_allowed || caa_takes(c, provider, rest);
            is_other = is_other || !caa_takes(c, provider, rest);
        }
        if (!has_issue)
            warn(c, "anybody may make certificates for the domain: %.*s. CAA 0 issue \"%.*s\" is missing", STR_FMT(c->name),
                 STR_FMT(issuer));
        else if (!is_allowed && is_other)
            error(c, "the CAA records allow %.*s to make certificates for the domain, but not for this account, or not in the "
                     "ways that are used here (%.*s)", STR_FMT(issuer), STR_FMT(zone_validation_methods(provider)));
        else if (!is_allowed)
            error(c, "the CAA records do not allow %.*s to make certificates for the domain", STR_FMT(issuer));
    }
}

static const struct section {
    const char *name;
    void (*run)(struct check *c);
} sections[] = {
    {"DNSSEC", check_dnssec},
    {"IPRev", check_reverse},
    {"MX", check_mx},
    {"TLS", check_tls},
    {"DANE", check_dane},
    {"SPF", check_spf},
    {"DKIM", check_dkim},
    {"DMARC", check_dmarc},
    {"Host TLSRPT", check_host_tlsrpt},
    {"Domain TLSRPT", check_domain_tlsrpt},
    {"MTASTS", check_mtasts},
    {"SRV conf", check_srv},
    {"Autoconf", check_autoconf},
    {"Autodiscover", check_autodiscover},
    {"CAA", check_caa},
};

static bool begin(struct check *c, const char *domain, struct err *e)
{
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    struct config *config = ARENA_NEW(c->a, struct config);
    struct str settings;

    crypto_warm_tls();
    if (!paths_load(c->a, config, &problems, e) || !paths_domain(c->a, config, domain, &c->domain, e) ||
        !own_trust_of(c->a, config, &c->trust, e) || !domain_to_ascii(c->a, c->domain->key, &c->name, e) ||
        !own_dns_open(&c->dns, e))
        return false;
    c->config = config;
    c->host = config->hostname;
    c->prober = (struct prober){c->a, &c->dns, &c->trust, os_monotonic_ms() + ALL_MS};
    settings = sconf_text(c->domain, "ClientSettingsDomain");
    c->clients = c->host;
    if (settings.n && !domain_to_ascii(c->a, settings, &c->clients, e))
        return false;
    find_own_ips(c);
    dns_lookup(&c->dns, c->a, c->name, DNS_MX, &c->mx);
    c->is_mx_known = c->mx.status == DNS_OK || dns_is_none(&c->mx);
    return true;
}

int cmd_dnscheck(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(512 << 20);
    struct check c = {.a = &a};
    struct err e = {0};

    if (argc != 2)
        return cmd_usage("config dnscheck");
    if (!begin(&c, argv[1], &e))
        return cmd_fail(&e);
    for (size_t i = 0; i < COUNT(sections); i++) {
        c.section = sections[i].name;
        c.is_section_begun = false;
        sections[i].run(&c);
    }
    if (!c.n_errors && !c.n_warnings)
        puts("DNS OK");
    return c.n_errors ? 1 : 0;
}
