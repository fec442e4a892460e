#include "config/config.h"

void config_localserve(struct buf *main, struct buf *domains, const struct str *ips, size_t n_ips)
{
    static const struct {
        const char *service;
        unsigned port;
        bool plain_login;
        const char *path;
    } services[] = {
        {"SMTP", 1025, false},          {"Submission", 1587, true},  {"Submissions", 1465, false},
        {"IMAP", 1143, true},           {"IMAPS", 1993, false},      {"AccountHTTP", 1080, false, "/account/"},
        {"AccountHTTPS", 1443, false, "/account/"},  {"AdminHTTP", 1080, false},  {"AdminHTTPS", 1443, false},
        {"WebmailHTTP", 1080, false},   {"WebmailHTTPS", 1443, false}, {"WebAPIHTTP", 1080, false},
        {"WebAPIHTTPS", 1443, false},   {"MetricsHTTP", 1081, false},
        {"WebserverHTTP", 1080, false}, {"WebserverHTTPS", 1443, false},
    };

    BUF_PUT(main, "# Written by mox localserve at its first run; change it as you like.\n"
                  "DataDir: data\nLogLevel: traceauth\nHostname: localhost\nUser: nobody\n"
                  "Pedantic: true\nAdminPasswordFile: adminpasswd\nListeners:\n\tlocal:\n"
                  "\t\tIPs:\n");
    for (size_t i = 0; i < n_ips; i++) {
        BUF_PUT(main, "\t\t\t- ");
        buf_put(main, ips[i]);
        BUF_PUT(main, "\n");
    }
    BUF_PUT(main, "\t\tTLS:\n\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: localhost.crt\n"
                  "\t\t\t\t\tKeyFile: localhost.key\n");
    for (size_t i = 0; i < COUNT(services); i++) {
        buf_printf(main, "\t\t%s:\n\t\t\tEnabled: true\n\t\t\tPort: %u\n", services[i].service,
                   services[i].port);
        if (services[i].plain_login)
            BUF_PUT(main, "\t\t\tNoRequireSTARTTLS: true\n");
        if (services[i].path)
            buf_printf(main, "\t\t\tPath: %s\n", services[i].path);
    }
    BUF_PUT(main, "Postmaster:\n\tAccount: mox\n\tMailbox: Postmaster\n");

    BUF_PUT(domains,
            "# Written by mox localserve at its first run; change it as you like.\n"
            "Domains:\n\tlocalhost:\n\t\tLocalpartCatchallSeparator: +\n\t\tDKIM:\n"
            "\t\t\tSelectors:\n\t\t\t\tlocalserve:\n"
            "\t\t\t\t\tPrivateKeyFile: dkim.localserve.privatekey.pkcs8.pem\n"
            "\t\t\tSign:\n\t\t\t\t- localserve\n"
            "Accounts:\n\tmox:\n\t\tDomain: localhost\n\t\tDestinations:\n"
            "\t\t\tmox@localhost: nil\n\t\tRejectsMailbox: Rejects\n"
            "\t\tAutomaticJunkFlags:\n\t\t\tEnabled: true\n"
            "\t\t\tJunkMailboxRegexp: ^(junk|spam)\n"
            "\t\t\tNeutralMailboxRegexp: ^(inbox|postmaster|tlsrpt|dmarc|rejects)\n"
            // With all three, mailboxes that none of them names leave flags as they are.
            "\t\t\tNotJunkMailboxRegexp: ^archive\n"
            "\t\tJunkFilter:\n\t\t\tThreshold: 0.950000\n\t\t\tParams:\n"
            "\t\t\t\tOnegrams: true\n\t\t\t\tMaxPower: 0.010000\n\t\t\t\tTopWords: 10\n"
            "\t\t\t\tIgnoreWords: 0.100000\n\t\t\t\tRareWords: 2\n"
            "\t\tKeepRetiredMessagePeriod: 72h0m0s\n\t\tKeepRetiredWebhookPeriod: 72h0m0s\n"
            "\t\tNoFirstTimeSenderDelay: true\n"
            "WebHandlers:\n\t-\n\t\tLogName: workdir\n\t\tDomain: localhost\n"
            "\t\tPathRegexp: ^/workdir/\n\t\tDontRedirectPlainHTTP: true\n\t\tWebStatic:\n"
            "\t\t\tStripPrefix: /workdir/\n\t\t\tRoot: web\n\t\t\tListFiles: true\n");
}
