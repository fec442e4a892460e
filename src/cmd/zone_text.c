#include "cmd/zone_text.h"

#include <stdarg.h>
#include <stdio.h>

#include "cmd/own_dns.h"
#include "cmd/paths.h"
#include "crypto/tlsa.h"
#include "text/idna.h"
#include "text/json.h"

enum { MAX_KEY_FILE = 64 * 1024, STRING_BYTES = 100, MOST_STRING = 255, MOST_URI = 1000, MAX_STATE = 4 << 20, MAX_STATE_VALUES = 100000 };

struct zone {
    struct arena *a;
    const struct config *config;
    const struct sconf_node *domain;
    struct str name, host; // A-labels
    bool has_dnssec;
    struct buf *out;
};

// One record: the owner, and what follows.
static void put(struct zone *z, struct str owner, const char *format, ...) PRINTF_LIKE(3, 4);
static void put(struct zone *z, struct str owner, const char *format, ...)
{
    char text[2048];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    buf_printf(z->out, "%-38.*s %s\n", STR_FMT(owner), text);
}

static struct str below(struct zone *z, const char *label, struct str name)
{
    return arena_printf(z->a, "%s%.*s.", label, STR_FMT(name));
}

static void comment(struct zone *z, const char *text)
{
    buf_printf(z->out, "\n; %s\n", text);
}

bool zone_host_keys(struct arena *a, const struct config *config, struct host_keys *out, struct err *e)
{
    *out = (struct host_keys){0};
    SCONF_EACH (l, sconf_get(config->main.root, "Listeners")) {
        if (!sconf_bool(sconf_get(l, "SMTP"), "Enabled"))
            continue;
        SCONF_EACH (file, sconf_get(sconf_get(l, "TLS"), "HostPrivateKeyFiles")) {
            struct host_key *k = ARENA_PUSH(a, out->items, &out->n, &out->cap);
            struct private_key *key;
            struct str pem;

            if (!paths_read_named(a, file->value, MAX_KEY_FILE, &pem, e))
                return false;
            key = private_key_parse(pem, e);
            if (!key || !tlsa_of_pem(a, pem, TLSA_SPKI, TLSA_SHA256, &k->digest, e)) {
                private_key_free(key);
                return fail_in(e, "%.*s", STR_FMT(file->value));
            }
            k->is_rsa = private_key_kind(key) == PRIVATE_KEY_RSA;
            private_key_free(key);
        }
    }
    return true;
}

void zone_put_hex(struct buf *out, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++)
        buf_printf(out, "%02x", (unsigned char)bytes.p[i]);
}

// Usage 3 (DANE-EE), selector 1, matching 1 (RFC 7672 3.1.1), of each key that the host keeps when its
// certificate is renewed.
static bool put_tlsa(struct zone *z, struct err *e)
{
    struct host_keys keys;

    if (!zone_host_keys(z->a, z->config, &keys, e))
        return false;
    if (keys.n)
        comment(z, z->has_dnssec ? "With DNSSEC, senders verify our certificate by these (DANE)."
                                 : "Without DNSSEC at this name DANE cannot be used; with it, uncomment these.");
    for (int is_rsa = 0; is_rsa < 2; is_rsa++)
        for (size_t i = 0; i < keys.n; i++) {
            AUTO_BUF hex = BUF_LIMIT(200);

            if (keys.items[i].is_rsa != is_rsa)
                continue;
            zone_put_hex(&hex, keys.items[i].digest);
            put(z, arena_printf(z->a, "%s_25._tcp.%.*s.", z->has_dnssec ? "" : ";; ", STR_FMT(z->host)),
                "TLSA 3 1 1 %.*s", STR_FMT(buf_str(&hex)));
        }
    return true;
}

// A TXT record has strings of at most 255 octets (RFC 1035 3.3.14); in shorter ones, lines stay readable.
static void put_txt(struct zone *z, struct str owner, struct str text)
{
    AUTO_BUF strings = BUF_LIMIT(8192);

    if (text.n <= STRING_BYTES) {
        put(z, owner, "TXT \"%.*s\"", STR_FMT(text));
        return;
    }
    for (size_t at = 0; at < text.n; at += STRING_BYTES)
        buf_printf(&strings, "\n\t\"%.*s\"", STR_FMT(str_sub(text, at, STRING_BYTES)));
    put(z, owner, "TXT (%.*s )", STR_FMT(buf_str(&strings)));
}

// All selectors: a key must be known before the first message is signed with it.
static bool put_dkim(struct zone *z, struct err *e)
{
    SCONF_EACH (s, sconf_get(sconf_get(z->domain, "DKIM"), "Selectors")) {
        AUTO_BUF text = BUF_LIMIT(8192);
        struct dkim_record record = {0};
        enum dkim_algorithm algorithm;
        struct private_key *key;
        struct str pem, selector;
        bool is_ok;

        if (!paths_read_named(z->a, sconf_text(s, "PrivateKeyFile"), MAX_KEY_FILE, &pem, e) ||
            !domain_to_ascii(z->a, s->key, &selector, e))
            return false;
        key = dkim_private_key(pem, &algorithm, e);
        if (!key)
            return fail_in(e, "%.*s", STR_FMT(sconf_text(s, "PrivateKeyFile")));
        record.kind = algorithm == DKIM_RSA_SHA256 ? DKIM_KEY_RSA : DKIM_KEY_ED25519;
        is_ok = private_key_public(z->a, key, &record.public_key, e);
        private_key_free(key);
        if (!is_ok)
            return false;
        dkim_record_put(&text, &record);
        put_txt(z, arena_printf(z->a, "%.*s._domainkey.%.*s.", STR_FMT(selector), STR_FMT(z->name)),
                buf_str(&text));
    }
    return true;
}

// The addresses that we send from, as far as the configuration has them.
static void put_spf(struct zone *z)
{
    AUTO_BUF text = BUF_LIMIT(1500);

    BUF_PUT(&text, "v=spf1 ");
    SCONF_EACH (l, sconf_get(z->config->main.root, "Listeners")) {
        const struct sconf_node *list = sconf_get(l, "NATIPs");

        if (!sconf_bool(sconf_get(l, "SMTP"), "Enabled"))
            continue;
        SCONF_EACH (n, list && list->child ? list : sconf_get(l, "IPs")) {
            struct ip ip;

            if (ip_parse(n->value, &ip) && own_dns_is_address(&ip))
                buf_printf(&text, "%s:%.*s ", str_find(n->value, ':') >= 0 ? "ip6" : "ip4", STR_FMT(n->value));
        }
    }
    BUF_PUT(&text, "mx ~all");
    if (text.n <= MOST_STRING)
        put(z, below(z, "", z->name), "TXT \"%.*s\"", STR_FMT(buf_str(&text)));
    else // of many addresses
        put_txt(z, below(z, "", z->name), buf_str(&text));
}

static struct str report_address(struct zone *z, const char *section)
{
    const struct sconf_node *report = sconf_get(z->domain, section);
    struct str domain = sconf_text(report, "Domain");
    struct err e = {0};

    if (!report)
        return (struct str){0};
    if (!domain.n || !domain_to_ascii(z->a, domain, &domain, &e))
        domain = z->name;
    return arena_printf(z->a, "%.*s@%.*s", STR_FMT(sconf_text(report, "Localpart")), STR_FMT(domain));
}

static void put_host(struct zone *z)
{
    const struct sconf_node *report = sconf_get(z->config->main.root, "HostTLSRPT");

    if (str_eq(z->name, z->host))
        return;
    comment(z, "For the name of this server: it sends mail of its own, and none is forged in its name.");
    put(z, below(z, "", z->host), "TXT \"v=spf1 a -all\"");
    if (report)
        put(z, below(z, "_smtp._tls.", z->host), "TXT \"v=TLSRPTv1; rua=mailto:%.*s@%.*s\"",
            STR_FMT(sconf_text(report, "Localpart")), STR_FMT(z->host));
}

static void put_policies(struct zone *z)
{
    struct str dmarc = report_address(z, "DMARC"), tlsrpt = report_address(z, "TLSRPT");
    struct str sts = sconf_text(sconf_get(z->domain, "MTASTS"), "PolicyID");

    comment(z, "Mail that says it is from the domain and cannot prove it is refused; we hear of it.");
    if (dmarc.n)
        put(z, below(z, "_dmarc.", z->name), "TXT \"v=DMARC1;p=reject;rua=mailto:%.*s!10m\"", STR_FMT(dmarc));
    else
        put(z, below(z, "_dmarc.", z->name), "TXT \"v=DMARC1;p=reject\"");
    if (sts.n) {
        comment(z, "Senders use TLS, and verify our certificate (MTA-STS).");
        put(z, below(z, "mta-sts.", z->name), "CNAME %.*s.", STR_FMT(z->host));
        put(z, below(z, "_mta-sts.", z->name), "TXT \"v=STSv1; id=%.*s\"", STR_FMT(sts));
    } else {
        comment(z, "MTA-STS is not configured for the domain, so there are no records for it.");
    }
    if (tlsrpt.n) {
        comment(z, "Others tell us about trouble with TLS.");
        put(z, below(z, "_smtp._tls.", z->name), "TXT \"v=TLSRPTv1; rua=mailto:%.*s\"", STR_FMT(tlsrpt));
    }
}

/* --- clients ------------------------------------------------------------------------------------------------------ */

const struct zone_service zone_services[ZONE_SERVICES] = {
    {"_imaps._tcp.", 993, "IMAPS", NULL},     {"_submissions._tcp.", 465, "Submissions", NULL},
    {"_imap._tcp.", 143, "IMAP", "IMAPS"},    {"_submission._tcp.", 587, "Submission", "Submissions"},
    {"_pop3._tcp.", 110, NULL, NULL},         {"_pop3s._tcp.", 995, NULL, NULL},
};

bool zone_has_service(const struct config *config, const char *name)
{
    SCONF_EACH (l, sconf_get(config->main.root, "Listeners"))
        if (sconf_bool(sconf_get(l, name), "Enabled"))
            return true;
    return false;
}

bool zone_offers(const struct config *config, const struct zone_service *service)
{
    return service->name && zone_has_service(config, service->name) &&
           (!service->over || !zone_has_service(config, service->over));
}

// The document is what the server will serve: its digest is that of its bytes.
struct str zone_pacc(struct arena *a, const struct config *config, const struct sconf_node *domain)
{
    AUTO_BUF document = BUF_LIMIT(4096);
    AUTO_BUF record = BUF_LIMIT(256);
    struct mail_settings settings;

    config_mail_settings(config, a, domain, &settings);
    if (!pacc_put(&document, &settings))
        return STR("");
    pacc_record_put(&record, buf_str(&document));
    return arena_dup(a, buf_str(&record));
}

static void put_pacc(struct zone *z)
{
    struct str record = zone_pacc(z->a, z->config, z->domain);

    if (!record.n)
        return;
    put(z, below(z, PACC_HOST_PREFIX, z->name), "CNAME %.*s.", STR_FMT(z->host));
    put(z, below(z, "_ua-auto-config.", z->name), "TXT \"%.*s\"", STR_FMT(record));
}

static void put_clients(struct zone *z)
{
    struct str settings = sconf_text(z->domain, "ClientSettingsDomain"), ascii;
    struct err e = {0};

    comment(z, "Mail clients find their settings.");
    if (!settings.n || !domain_to_ascii(z->a, settings, &ascii, &e))
        ascii = z->host;
    else if (!str_eq(ascii, z->host))
        put(z, below(z, "", ascii), "CNAME %.*s.", STR_FMT(z->host));
    if (zone_has_service(z->config, "AutoconfigHTTPS")) {
        put(z, below(z, "autoconfig.", z->name), "CNAME %.*s.", STR_FMT(z->host));
        put(z, below(z, "_autodiscover._tcp.", z->name), "SRV 0 1 443 %.*s.", STR_FMT(z->host));
        put_pacc(z);
    }
    for (size_t i = 0; i < ZONE_SERVICES; i++)
        if (zone_offers(z->config, &zone_services[i]))
            put(z, below(z, zone_services[i].label, z->name), "SRV 0 1 %u %.*s.", zone_services[i].port, STR_FMT(ascii));
        else
            put(z, below(z, zone_services[i].label, z->name), "SRV 0 0 0 .");
}

/* --- authorities --------------------------------------------------------------------------------------------------- */

// mox-imap-store-cli-config.md 4.3
struct str zone_issuer(const struct sconf_node *provider)
{
    struct str issuer = sconf_text(provider, "IssuerDomainName");

    if (!issuer.n && str_starts(sconf_text(provider, "DirectoryURL"), STR("https://acme-v02.api.letsencrypt.org/")))
        return STR("letsencrypt.org");
    return issuer;
}

struct str zone_validation_methods(const struct sconf_node *provider)
{
    return sconf_text(provider, "DNSHook").n || sconf_get(provider, "DNSUpdate") ? STR("dns-01") : STR("tls-alpn-01,http-01");
}

// What the record has as it is: the authority has chosen it (RFC 8657 3: a URI, so that a semicolon would be its own).
static bool is_plain_uri(struct str uri)
{
    for (size_t i = 0; i < uri.n; i++)
        if (uri.p[i] <= ' ' || uri.p[i] > '~' || uri.p[i] == '"' || uri.p[i] == '\\' || uri.p[i] == ';')
            return false;
    return str_starts(uri, STR("https://")) && uri.n <= MOST_URI;
}

struct str zone_account_uri(struct arena *a, const struct config *config, const struct sconf_node *provider)
{
    struct str text, uri = {0};
    struct err e = {0};
    json_t *state;
    size_t i;
    const json_t *account;
    // Written by the role acme, which alone may read it beside root: who may not is told of no account.
    struct str path = arena_printf(a, "%.*s/acme/state/state.json", STR_FMT(sconf_text(config->main.root, "DataDir")));

    if (!paths_read_named(a, path, MAX_STATE, &text, &e) || !(state = json_read(text, MAX_STATE_VALUES, &e)))
        return STR("");
    json_array_foreach(json_object_get(state, "accounts"), i, account)
        if (str_eq(json_text_at(account, "provider"), provider->key) &&
            str_eq(json_text_at(account, "directory"), sconf_text(provider, "DirectoryURL")))
            uri = arena_dup(a, json_text_at(account, "url"));
    json_decref(state);
    return is_plain_uri(uri) ? uri : STR("");
}

// RFC 8657: not even that authority for anybody else. Not by default, since a new account would then need another record.
// Names that are aliases of the host have its record.
static void put_narrow_caa(struct zone *z, const struct sconf_node *provider, struct str issuer)
{
    struct str uri = zone_account_uri(z->a, z->config, provider), methods = zone_validation_methods(provider);
    struct str owners[] = {z->name, z->host};

    if (!uri.n)
        return;
    comment(z, "Instead of that, or beside it for the name of this server: nobody but our account at the authority, in the ways\n"
               "; that we use. Another account needs another record.");
    for (size_t i = 0; i < (str_eq(z->name, z->host) ? 1 : COUNT(owners)); i++)
        put(z, arena_printf(z->a, ";; %.*s.", STR_FMT(owners[i])),
            "CAA 0 issue \"%.*s; accounturi=%.*s; validationmethods=%.*s\"", STR_FMT(issuer), STR_FMT(uri), STR_FMT(methods));
}

static void put_caa(struct zone *z)
{
    const struct sconf_node *acme = sconf_get(z->config->main.root, "ACME");

    SCONF_EACH (provider, acme) {
        struct str issuer = zone_issuer(provider);

        if (!issuer.n)
            continue;
        comment(z, "Nobody else makes certificates for the domain.");
        put(z, below(z, "", z->name), "CAA 0 issue \"%.*s\"", STR_FMT(issuer));
        put_narrow_caa(z, provider, issuer);
    }
}

static bool put_zone(struct zone *z, struct err *e)
{
    buf_printf(z->out, "; DNS records of %.*s, as this configuration wants them.\n$TTL 300\n",
               STR_FMT(z->name));
    if (!put_tlsa(z, e))
        return false;
    put_host(z);
    comment(z, "Mail for the domain comes to this server.");
    put(z, below(z, "", z->name), "MX 10 %.*s.", STR_FMT(z->host));
    comment(z, "Keys of our signatures.");
    if (!put_dkim(z, e))
        return false;
    comment(z, "Our servers may send mail of the domain.");
    put_spf(z);
    put_policies(z);
    put_clients(z);
    put_caa(z);
    return true;
}

bool zone_text_put(struct arena *a, const struct config *config, const struct sconf_node *domain, bool has_dnssec,
                     struct buf *out, struct err *e)
{
    struct zone z = {.a = a, .config = config, .domain = domain, .host = config->hostname,
                     .has_dnssec = has_dnssec, .out = out};

    return domain_to_ascii(a, domain->key, &z.name, e) && put_zone(&z, e);
}
