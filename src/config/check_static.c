/*
 * The rules of mox.conf (mox-imap-store-cli-config.md 4.3 to 4.5).
 */
#include "base/cur.h"
#include "base/ip.h"
#include "base/log.h"
#include "config/config_priv.h"
#include "crypto/crypto.h"
#include "os/net.h"
#include "policy/dns.h"
#include "text/encode.h"
#include "text/url.h"

static void check_level(struct check *c, const struct sconf_node *node)
{
    enum log_level level;
    struct err e = {0};

    if (node && !log_level_parse(node->value, &level, &e))
        problem_add(c->problems, c->file, node, "%s", e.text);
}

static void check_port(struct check *c, const struct sconf_node *node)
{
    uint64_t port;

    if (node && !str_u64(node->value, 65535, &port))
        problem_add(c->problems, c->file, node, "\"%.*s\" is no port", STR_FMT(node->value));
}

static bool is_unusable_public(const unsigned char *ip, int family)
{
    static const unsigned char zero[16], loopback[16] = {[15] = 1};

    if (family == 4)
        return ip[0] == 127 || str_eq(str_at(ip, 4), str_at(zero, 4));
    return str_eq(str_at(ip, 16), str_at(zero, 16)) || str_eq(str_at(ip, 16), str_at(loopback, 16));
}

static void check_ips(struct check *c, const struct sconf_node *l)
{
    const struct sconf_node *ips = sconf_get(l, "IPs"), *nat = sconf_get(l, "NATIPs");
    unsigned char ip[16];

    SCONF_EACH (n, ips)
        if (!net_parse_ip(n->value, ip))
            problem_add(c->problems, c->file, n, "\"%.*s\" is no IP address", STR_FMT(n->value));
    SCONF_EACH (n, nat) {
        int family = net_parse_ip(n->value, ip);

        if (!family)
            problem_add(c->problems, c->file, n, "\"%.*s\" is no IP address", STR_FMT(n->value));
        else if (is_unusable_public(ip, family))
            problem_add(c->problems, c->file, n, "\"%.*s\" is not a public address",
                        STR_FMT(n->value));
    }
    if (ips && !ips->child)
        problem_add(c->problems, c->file, ips, "a listener needs at least one IP address");
    if (nat && sconf_bool(l, "IPsNATed"))
        problem_add(c->problems, c->file, nat, "NATIPs and IPsNATed exclude each other");
}

static void check_tls(struct check *c, const struct sconf_node *tls)
{
    static const char *const versions[] = {"TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3", NULL};
    const struct sconf_node *acme = sconf_get(tls, "ACME"), *certs = sconf_get(tls, "KeyCerts");

    if (!tls)
        return;
    if (!acme == !certs)
        problem_add(c->problems, c->file, tls, "TLS needs either ACME or KeyCerts");
    if (acme) {
        bool is_known = false;

        SCONF_EACH (n, sconf_get(c->file->root, "ACME"))
            is_known = is_known || str_eq(n->key, acme->value);
        if (!is_known)
            problem_add(c->problems, c->file, acme, "no ACME section \"%.*s\"",
                        STR_FMT(acme->value));
    }
    SCONF_EACH (n, certs)
        if (!sconf_text(n, "CertFile").n || !sconf_text(n, "KeyFile").n)
            problem_add(c->problems, c->file, n, "KeyCerts needs CertFile and KeyFile");
    check_one_of(c, sconf_get(tls, "MinVersion"), versions);
}

static void check_https_url(struct check *c, const struct sconf_node *url)
{
    struct url parsed;
    struct err e = {0};

    if (!url)
        return;
    if (!str_starts(url->value, STR("https://")))
        problem_add(c->problems, c->file, url, "%.*s must begin with https://", STR_FMT(url->key));
    else if (!url_parse(url->value, &parsed, &e))
        problem_add(c->problems, c->file, url, "%.*s: %s", STR_FMT(url->key), e.text);
}

static void check_updates(struct check *c, const struct sconf_node *updates)
{
    const struct sconf_node *key = sconf_get(updates, "PublicKey");
    AUTO_BUF bytes = BUF_LIMIT(ED25519_BYTES);

    if (!updates)
        return;
    check_domain(c, sconf_get(updates, "Domain"), sconf_text(updates, "Domain"));
    check_https_url(c, sconf_get(updates, "ChangelogURL"));
    if (key && (!base64_decode_strict(&bytes, key->value) || bytes.full || bytes.n != ED25519_BYTES))
        problem_add(c->problems, c->file, key, "PublicKey must be %d octets in base64", ED25519_BYTES);
}

struct service_rule {
    const char *name;
    bool is_http; // has a path
    enum { NEEDS_NOTHING, NEEDS_TLS, NEEDS_TLS_UNLESS } tls;
    const char *unless; // switch that makes TLS unnecessary
    bool is_web;
};
static const struct service_rule services[] = {
    {"SMTP", false, NEEDS_TLS_UNLESS, "NoSTARTTLS"},
    {"Submission", false, NEEDS_TLS_UNLESS, "NoRequireSTARTTLS"},
    {"Submissions", false, NEEDS_TLS, NULL},
    {"IMAP", false, NEEDS_TLS_UNLESS, "NoRequireSTARTTLS"},
    {"IMAPS", false, NEEDS_TLS, NULL},
    {"AccountHTTP", true, NEEDS_NOTHING, NULL, true},
    {"AccountHTTPS", true, NEEDS_TLS, NULL, true},
    {"AdminHTTP", true, NEEDS_NOTHING, NULL, true},
    {"AdminHTTPS", true, NEEDS_TLS, NULL, true},
    {"WebmailHTTP", true, NEEDS_NOTHING, NULL, true},
    {"WebmailHTTPS", true, NEEDS_TLS, NULL, true},
    {"WebAPIHTTP", true, NEEDS_NOTHING, NULL, true},
    {"WebAPIHTTPS", true, NEEDS_TLS, NULL, true},
    {"MetricsHTTP", false, NEEDS_NOTHING, NULL, true},
    {"PprofHTTP", false, NEEDS_NOTHING, NULL},
    {"AutoconfigHTTPS", false, NEEDS_TLS_UNLESS, "NonTLS", true},
    {"MTASTSHTTPS", false, NEEDS_TLS_UNLESS, "NonTLS", true},
    {"WebserverHTTP", false, NEEDS_NOTHING, NULL, true},
    {"WebserverHTTPS", false, NEEDS_TLS, NULL, true},
};

static void check_service(struct check *c, const struct sconf_node *l, const struct service_rule *r)
{
    const struct sconf_node *s = sconf_get(l, r->name), *path = sconf_get(s, "Path");

    if (!s)
        return;
    check_port(c, sconf_get(s, "Port"));
    if (!sconf_bool(s, "Enabled"))
        return;
    if (!sconf_get(l, "TLS") &&
        (r->tls == NEEDS_TLS || (r->tls == NEEDS_TLS_UNLESS && !sconf_bool(s, r->unless))))
        problem_add(c->problems, c->file, s, "%s needs a TLS section%s%s", r->name,
                    r->unless ? ", or " : "", r->unless ? r->unless : "");
    if (r->is_http && path && !str_starts(path->value, STR("/")))
        problem_add(c->problems, c->file, path, "Path must begin with a slash");
}

static bool has_web_tls(const struct sconf_node *l, const struct service_rule *r)
{
    return r->tls == NEEDS_TLS || (r->tls == NEEDS_TLS_UNLESS && !sconf_bool(sconf_get(l, r->name), r->unless));
}

static uint64_t web_port(const struct sconf_node *l, const struct service_rule *r)
{
    struct str name = str_of(r->name);
    uint64_t usual = str_eq(name, STR("MetricsHTTP")) ? 8010 : str_ends(name, STR("HTTPS")) ? 443 : 80;

    return sconf_u64(sconf_get(l, r->name), "Port", usual);
}

// What is served by HTTP on one port is told apart by host and path, but not by TLS.
static void check_web_ports(struct check *c, const struct sconf_node *l)
{
    for (size_t i = 0; i < COUNT(services); i++)
        for (size_t j = 0; j < i; j++) {
            const struct service_rule *a = &services[j], *b = &services[i];

            if (a->is_web && b->is_web && sconf_bool(sconf_get(l, a->name), "Enabled") &&
                sconf_bool(sconf_get(l, b->name), "Enabled") && web_port(l, a) == web_port(l, b) &&
                has_web_tls(l, a) != has_web_tls(l, b)) {
                problem_add(c->problems, c->file, sconf_get(l, b->name),
                            "%s and %s share a port, and only one of them has TLS", a->name, b->name);
                return;
            }
        }
}

static void check_listener(struct check *c, const struct sconf_node *l)
{
    const struct sconf_node *smtp = sconf_get(l, "SMTP"), *autoconf = sconf_get(l, "AutoconfigHTTPS");
    const struct sconf_node *mtasts = sconf_get(l, "MTASTSHTTPS"), *host = sconf_get(l, "Hostname");

    check_ips(c, l);
    check_tls(c, sconf_get(l, "TLS"));
    if (host)
        check_domain(c, host, host->value);
    check_not_negative(c, sconf_get(l, "SMTPMaxMessageSize"));
    SCONF_EACH (n, sconf_get(l, "ProxyProtocolFrom")) {
        struct ip ip;
        unsigned bits;

        if (!ip_network_parse(n->value, &ip, &bits))
            problem_add(c->problems, c->file, n, "\"%.*s\" is no address and no network", STR_FMT(n->value));
    }
    check_not_negative(c, sconf_get(smtp, "FirstTimeSenderDelay"));
    SCONF_EACH (n, sconf_get(smtp, "DNSBLs"))
        check_domain(c, n, n->value);
    for (size_t i = 0; i < COUNT(services); i++)
        check_service(c, l, &services[i]);
    if (sconf_bool(autoconf, "Enabled") && sconf_bool(mtasts, "Enabled") &&
        sconf_u64(autoconf, "Port", 443) == sconf_u64(mtasts, "Port", 443) &&
        sconf_bool(autoconf, "NonTLS") != sconf_bool(mtasts, "NonTLS"))
        problem_add(c->problems, c->file, mtasts,
                    "AutoconfigHTTPS and MTASTSHTTPS share a port and must agree on NonTLS");
    else
        check_web_ports(c, l);
}

static void check_initial_mailboxes(struct check *c)
{
    const struct sconf_node *root = c->file->root, *initial = sconf_get(root, "InitialMailboxes");
    const struct sconf_node *old = sconf_get(root, "DefaultMailboxes");

    if (initial && old)
        problem_add(c->problems, c->file, old,
                    "InitialMailboxes and DefaultMailboxes exclude each other");
    SCONF_EACH (n, sconf_get(initial, "SpecialUse"))
        check_mailbox(c, n, false);
    SCONF_EACH (n, sconf_get(initial, "Regular")) {
        check_mailbox(c, n, false);
        if (str_find(n->value, '/') != STR_NONE)
            problem_add(c->problems, c->file, n, "an initial mailbox cannot have a slash");
    }
    SCONF_EACH (n, old)
        check_mailbox(c, n, false);
}

static void check_transport_smtp(struct check *c, const struct sconf_node *t, bool is_immediate)
{
    static const char *const mechanisms[] = {
        "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "CRAM-MD5",
        "PLAIN", NULL};

    if (!t)
        return;
    check_port(c, sconf_get(t, "Port"));
    if (!sconf_text(t, "Host").n)
        problem_add(c->problems, c->file, t, "Host is empty");
    if (is_immediate &&
        (sconf_bool(t, "STARTTLSInsecureSkipVerify") || sconf_bool(t, "NoSTARTTLS")))
        problem_add(c->problems, c->file, t, "Submissions has TLS from the start: no STARTTLS "
                                             "settings");
    SCONF_EACH (n, sconf_get(sconf_get(t, "Auth"), "Mechanisms"))
        check_one_of(c, n, mechanisms);
}

static void check_transport(struct check *c, const struct sconf_node *t)
{
    const struct sconf_node *socks = sconf_get(t, "Socks"), *direct = sconf_get(t, "Direct");
    const struct sconf_node *fail = sconf_get(t, "Fail"), *text = sconf_get(fail, "SMTPMessage");
    uint64_t code = sconf_u64(fail, "SMTPCode", 554);
    unsigned char ip[16];
    size_t kinds = 0;

    SCONF_EACH (n, t)
        kinds++;
    if (kinds > 1)
        problem_add(c->problems, c->file, t, "a transport has one kind, not %zu", kinds);
    check_transport_smtp(c, sconf_get(t, "Submissions"), true);
    check_transport_smtp(c, sconf_get(t, "Submission"), false);
    check_transport_smtp(c, sconf_get(t, "SMTP"), false);
    if (socks) {
        const struct sconf_node *host = sconf_get(socks, "RemoteHostname");

        if (str_find_last(sconf_text(socks, "Address"), ':') <= 0)
            problem_add(c->problems, c->file, socks, "Address must be host:port");
        SCONF_EACH (n, sconf_get(socks, "RemoteIPs"))
            if (!net_parse_ip(n->value, ip))
                problem_add(c->problems, c->file, n, "\"%.*s\" is no IP address",
                            STR_FMT(n->value));
        if (host)
            check_domain(c, host, host->value);
    }
    if (sconf_bool(direct, "DisableIPv4") && sconf_bool(direct, "DisableIPv6"))
        problem_add(c->problems, c->file, direct, "without IPv4 and IPv6 nothing is left");
    if (fail && (code < 400 || code > 599))
        problem_add(c->problems, c->file, fail, "SMTPCode must be 4xx or 5xx");
    if (text && (text->value.n > 256 || !str_is_ascii(text->value)))
        problem_add(c->problems, c->file, text, "SMTPMessage must be ASCII, at most 256 bytes");
}

// It names files below data/acme.
static bool is_file_name(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!ascii_is_alnum(name.p[i]) && str_find(STR("._-"), name.p[i]) < 0)
            return false;
    return name.n && name.n <= 100 && name.p[0] != '.';
}

static void check_dns_update(struct check *c, const struct sconf_node *acme)
{
    const struct sconf_node *update = sconf_get(acme, "DNSUpdate");
    struct str path = sconf_text(update, "KeyFile");
    struct ip ip;

    if (!update)
        return;
    if (sconf_text(acme, "DNSHook").n)
        problem_add(c->problems, c->file, update, "DNSHook and DNSUpdate exclude each other");
    if (!ip_parse(sconf_text(update, "Server"), &ip))
        problem_add(c->problems, c->file, update, "Server of DNSUpdate is no address");
    check_port(c, sconf_get(update, "Port"));
    if (!dns_name_is_ok(sconf_text(update, "Zone")) || !dns_name_is_ok(sconf_text(update, "KeyName")))
        problem_add(c->problems, c->file, update, "Zone and KeyName of DNSUpdate are names of the DNS, without a dot at the end");
    if (!path.n || path.p[0] == '/')
        problem_add(c->problems, c->file, update, "KeyFile of DNSUpdate is a file below the configuration directory");
}

static void check_acme(struct check *c, const struct sconf_node *acme)
{
    const struct sconf_node *mail = sconf_get(acme, "ContactEmail");
    const struct sconf_node *issuer = sconf_get(acme, "IssuerDomainName");

    check_https_url(c, sconf_get(acme, "DirectoryURL"));
    if (mail && str_find(mail->value, '@') <= 0)
        problem_add(c->problems, c->file, mail, "ContactEmail is no address");
    if (!is_file_name(acme->key))
        problem_add(c->problems, c->file, acme, "the name of an ACME section has letters, digits, \".\", \"_\" and \"-\" only");
    check_not_negative(c, sconf_get(acme, "RenewBefore"));
    check_port(c, sconf_get(acme, "Port"));
    check_dns_update(c, acme);
    if (issuer)
        check_domain(c, issuer, issuer->value);
}

void check_static(struct check *c)
{
    const struct sconf_node *root = c->file->root, *host = sconf_get(root, "Hostname");
    const struct sconf_node *postmaster = sconf_get(root, "Postmaster");
    const struct sconf_node *tlsrpt = sconf_get(root, "HostTLSRPT");
    const struct sconf_node *data_dir = sconf_get(root, "DataDir");

    if (data_dir && !data_dir->value.n)
        problem_add(c->problems, c->file, data_dir, "DataDir is empty");
    if (host)
        check_domain(c, host, host->value);
    check_level(c, sconf_get(root, "LogLevel"));
    SCONF_EACH (n, sconf_get(root, "PackageLogLevels"))
        check_level(c, n);
    SCONF_EACH (n, sconf_get(root, "ACME"))
        check_acme(c, n);
    SCONF_EACH (n, sconf_get(root, "Listeners"))
        check_listener(c, n);
    SCONF_EACH (n, sconf_get(root, "Transports"))
        check_transport(c, n);
    check_account(c, sconf_get(postmaster, "Account"));
    check_mailbox(c, sconf_get(postmaster, "Mailbox"), true);
    check_account(c, sconf_get(tlsrpt, "Account"));
    check_mailbox(c, sconf_get(tlsrpt, "Mailbox"), true);
    check_localpart(c, sconf_get(tlsrpt, "Localpart"));
    check_initial_mailboxes(c);
    check_not_negative(c, sconf_get(root, "QuotaMessageSize"));
    check_updates(c, sconf_get(root, "Updates"));
}
