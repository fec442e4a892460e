#include "base/test.h"
#include "config/config.h"

static const char main_text[] =
    "DataDir: data\nUser: mox\nLogLevel: info\nHostname: mail.example\nACME:\n\tca:\n"
    "\t\tDirectoryURL: https://ca.example/directory\n\t\tContactEmail: me@example.org\n"
    "\tother:\n\t\tDirectoryURL: https://other.example/directory\n\t\tContactEmail: me@example.org\n"
    "Listeners:\n"
    "\tinside:\n\t\tIPs:\n\t\t\t- 127.0.0.1\n\t\tHostname: mail.example\n\t\tTLS:\n\t\t\tACME: ca\n"
    "\t\t\tHostPrivateKeyFiles:\n\t\t\t\t- inside.pem\n"
    "\tpublic:\n\t\tIPs:\n\t\t\t- 127.0.0.2\n\t\tTLS:\n\t\t\tACME: ca\n"
    "\t\t\tHostPrivateKeyFiles:\n\t\t\t\t- public.pem\n"
    "\t\tAutoconfigHTTPS:\n\t\t\tEnabled: true\n\t\tMTASTSHTTPS:\n\t\t\tEnabled: true\n"
    "\t\tWebserverHTTPS:\n\t\t\tEnabled: true\n"
    "\tsecond:\n\t\tIPs:\n\t\t\t- 127.0.0.3\n\t\tHostname: m\xc3\xbcnchen.example\n\t\tTLS:\n\t\t\tACME: other\n"
    "\t\t\tHostPrivateKeyFiles:\n\t\t\t\t- second.pem\n"
    "\tplain:\n\t\tIPs:\n\t\t\t- 127.0.0.4\n\t\tHostname: plain.example\n"
    "Postmaster:\n\tAccount: me\n\tMailbox: Inbox\n";
static const char domains_text[] =
    "Domains:\n"
    "\texample.org:\n\t\tClientSettingsDomain: imap.example.org\n\t\tMTASTS:\n\t\t\tPolicyID: a\n\t\t\tMode: none\n\t\t\tMaxAge: 24h\n"
    "\tgone.example:\n\t\tDisabled: true\n\t\tClientSettingsDomain: imap.gone.example\n"
    "\tm\xc3\xbcnchen.example: nil\n"
    "Accounts:\n\tme:\n\t\tDomain: example.org\n\t\tDestinations:\n\t\t\tme@example.org: nil\n"
    "WebDomainRedirects:\n\told.example: www.example\n"
    "WebHandlers:\n\t-\n\t\tDomain: www.example\n\t\tPathRegexp: ^/\n\t\tWebStatic:\n\t\t\tRoot: web\n";

static void load(struct arena *a, struct config *c)
{
    AUTO_BUF problems = BUF_LIMIT(1 << 20);

    (void)!config_load(a, STR("mox.conf"), str_of(main_text), STR("domains.conf"), str_of(domains_text), c, &problems);
    CHECK_STR(buf_str(&problems), STR(""));
}

TEST(names_that_certificates_are_requested_for)
{
    static const char *const want[] = {
        "ca mail.example 1", "other mail.example 1", "other xn--mnchen-3ya.example 1",
        "ca imap.example.org 0", "ca autoconfig.example.org 1", "ca ua-auto-config.example.org 0", "ca mta-sts.example.org 0",
        "ca autoconfig.xn--mnchen-3ya.example 1", "ca ua-auto-config.xn--mnchen-3ya.example 0",
        "ca old.example 0", "ca www.example 0", "other imap.example.org 0",
    };
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct config_hosts got;
    struct config c;

    load(&a, &c);
    config_acme_hosts(&c, &a, &got);
    CHECK(got.n == COUNT(want));
    for (size_t i = 0; i < got.n; i++)
        CHECK_STR(arena_printf(&a, "%.*s %.*s %d", STR_FMT(got.items[i].provider), STR_FMT(got.items[i].host),
                               got.items[i].is_proactive), str_of(want[i]));
}

TEST(private_keys_of_hosts_in_their_order)
{
    static const struct {
        const char *host, *files;
    } cases[] = {
        {"mail.example", "inside.pem public.pem second.pem "},
        {"xn--mnchen-3ya.example", "second.pem inside.pem public.pem "},
        {"plain.example", "inside.pem public.pem second.pem "},
        {"imap.example.org", ""}, // no host's name: its keys are fresh ones
    };
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct config c;

    load(&a, &c);
    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF got = BUF_LIMIT(1000);
        struct addresses files;

        config_host_keys(&c, &a, str_of(cases[i].host), &files);
        for (size_t j = 0; j < files.n; j++)
            buf_printf(&got, "%.*s ", STR_FMT(files.items[j]));
        CHECK_STR(buf_str(&got), str_of(cases[i].files));
    }
}
