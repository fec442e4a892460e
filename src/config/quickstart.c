/*
 * The mox.conf of a new installation (mox-imap-store-cli-config.md 3.5, step 12; mox-web-http-api.md 9.1).
 */
#include "config/config.h"

static void put_list(struct buf *out, const char *key, const struct str *items, size_t n, const char *indent)
{
    buf_printf(out, "%s%s:\n", indent, key);
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s\t- %.*s\n", indent, STR_FMT(items[i]));
}

static void put_switches(struct buf *out, const char *const *names, size_t n, const char *more)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "\t\t%s:\n\t\t\tEnabled: true\n%s", names[i], more);
}

static void put_tls(struct buf *out, const struct config_new *new)
{
    static const char *const prefixes[] = {"", "mta-sts.", "autoconfig.", "ua-auto-config.", "mail."};

    BUF_PUT(out, "\t\tTLS:\n");
    if (!new->has_webserver) {
        BUF_PUT(out, "\t\t\tACME: letsencrypt\n\n"
                     "\t\t\t# Keys that certificates of this host are made with, so that its DANE records (TLSA) stay\n"
                     "\t\t\t# right when certificates are renewed.\n");
        put_list(out, "HostPrivateKeyFiles", new->host_keys, new->n_host_keys, "\t\t\t");
        return;
    }
    BUF_PUT(out, "\n\t\t\t# Certificates that your web server's ACME client gets. Put their paths here, and let it write\n"
                 "\t\t\t# them where mox finds them; with DANE, it must keep the key when it renews a certificate.\n"
                 "\t\t\tKeyCerts:\n");
    for (size_t i = 0; i < COUNT(prefixes); i++) {
        struct str of = i ? new->domain : new->hostname;

        buf_printf(out, "\t\t\t\t-\n\t\t\t\t\tCertFile: path/to/%s%.*s-chain.crt.pem\n"
                        "\t\t\t\t\tKeyFile: path/to/%s%.*s.key.pem\n", prefixes[i], STR_FMT(of), prefixes[i], STR_FMT(of));
    }
}

static void put_public(struct buf *out, const struct config_new *new)
{
    static const char *const mail[] = {"Submissions", "IMAPS"};
    static const char *const web[] = {"AutoconfigHTTPS", "MTASTSHTTPS", "WebserverHTTP", "WebserverHTTPS"};

    BUF_PUT(out, "\n\t# What the Internet sees. DNS records point here.\n\tpublic:\n");
    put_list(out, "IPs", new->ips, new->n_ips, "\t\t");
    if (new->n_nat_ips) {
        BUF_PUT(out, "\n\t\t# The addresses that others see.\n");
        put_list(out, "NATIPs", new->nat_ips, new->n_nat_ips, "\t\t");
    }
    put_tls(out, new);
    BUF_PUT(out, "\t\tSMTP:\n\t\t\tEnabled: true\n\n"
                 "\t\t\t# Block lists to ask about senders of whom nothing else is known. Ask only lists whose terms\n"
                 "\t\t\t# allow it, from a resolver of your own.\n"
                 "\t\t\t#DNSBLs:\n\t\t\t#\t- sbl.spamhaus.org\n\t\t\t#\t- bl.spamcop.net\n");
    put_switches(out, mail, COUNT(mail), "");
    if (!new->has_webserver)
        put_switches(out, web, COUNT(web), "");
}

static void put_internal(struct buf *out, const struct config_new *new)
{
    static const char *const pages[] = {"AccountHTTP", "AdminHTTP", "WebmailHTTP", "WebAPIHTTP"};
    static const char *const policies[] = {"AutoconfigHTTPS", "MTASTSHTTPS"};

    BUF_PUT(out, "\n\t# For this machine and its private network only.\n\tinternal:\n");
    put_list(out, "IPs", new->internal_ips, new->n_internal_ips, "\t\t");
    BUF_PUT(out, "\t\tHostname: localhost\n");
    if (new->has_webserver) {
        BUF_PUT(out, "\n\t\t# Behind your web server as a reverse proxy, which must set X-Forwarded-For and -Proto. Have it\n"
                     "\t\t# pass on requests for mta-sts., autoconfig. and ua-auto-config.<domain> to port 81.\n");
        put_switches(out, pages, COUNT(pages), "\t\t\tPort: 1080\n\t\t\tForwarded: true\n");
        put_switches(out, policies, COUNT(policies), "\t\t\tPort: 81\n\t\t\tNonTLS: true\n\t\t\tForwarded: true\n");
        BUF_PUT(out, "\t\tWebserverHTTP:\n\t\t\tEnabled: true\n\t\t\tPort: 81\n");
    } else {
        put_switches(out, pages, COUNT(pages), new->is_everywhere ? "\t\t\tPort: 1080\n" : "");
    }
    BUF_PUT(out, "\t\tMetricsHTTP:\n\t\t\tEnabled: true\n");
}

void config_put_new(struct buf *out, const struct config_new *new)
{
    buf_printf(out,
               "# mox.conf: read when the server starts. Written by mox quickstart; change it as you like: indent with\n"
               "# tabs, comments on lines of their own. \"mox config describe-static\" prints all there is, \"mox config\n"
               "# test\" checks it. Domains and accounts are in domains.conf.\n\n"
               "# Where mail and databases are; relative to this file's directory.\nDataDir: ../data\n\n"
               "# Whom the processes run as that talk to others.\nUser: %.*s\n\n"
               "# error, warn, info, debug, trace, traceauth or tracedata.\nLogLevel: debug\n\n"
               "# The name of this machine: that of its addresses in the DNS, and of its certificate.\nHostname: %.*s\n\n"
               "# RECOMMENDED, if whoever you have this program from publishes versions: look once a day whether there is a\n"
               "# newer one, and mail the postmaster if so. Where, a section Updates says.\n"
               "#CheckUpdates: true\n\n"
               "AdminPasswordFile: adminpasswd\n", STR_FMT(new->user), STR_FMT(new->hostname));
    if (!new->has_webserver)
        buf_printf(out, "\n# Certificates are made by Let's Encrypt, and renewed when they are due.\nACME:\n\tletsencrypt:\n"
                        "\t\tDirectoryURL: https://acme-v02.api.letsencrypt.org/directory\n"
                        "\t\tContactEmail: %.*s\n\t\tIssuerDomainName: letsencrypt.org\n", STR_FMT(new->contact));
    BUF_PUT(out, "\nListeners:\n");
    put_public(out, new);
    put_internal(out, new);
    buf_printf(out, "\n# Mail for the postmaster goes here, whatever the domain.\nPostmaster:\n\tAccount: %.*s\n\tMailbox: Postmaster\n"
                    "\n# What other servers report about TLS with this one.\nHostTLSRPT:\n\tAccount: %.*s\n\tMailbox: TLSRPT\n"
                    "\tLocalpart: tlsreports\n", STR_FMT(new->account), STR_FMT(new->account));
}
