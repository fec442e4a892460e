#include "base/test.h"
#include "config/config.h"

static const struct str localhost_ip = STR_("127.0.0.1");

static void load(struct arena *a, struct str main, struct str domains, struct config *out,
                 struct buf *problems)
{
    (void)!config_load(a, STR("mox.conf"), main, STR("domains.conf"), domains, out, problems);
}

TEST(localserve_config_is_valid)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF m = BUF_LIMIT(1 << 20);
    AUTO_BUF d = BUF_LIMIT(1 << 20);
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    struct config c;

    config_localserve(&m, &d, &localhost_ip, 1);
    load(&a, buf_str(&m), buf_str(&d), &c, &problems);
    CHECK_STR(buf_str(&problems), STR(""));
}

TEST(config_all_problems_at_once)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF m = BUF_LIMIT(1 << 20);
    AUTO_BUF d = BUF_LIMIT(1 << 20);
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    struct config c;

    config_localserve(&m, &d, &localhost_ip, 1);
    BUF_PUT(&m, "Bogus: 1\nCheckUpdates: maybe\nPedantic: true\n");
    BUF_PUT(&d, "MonitorDNSBLs:\n\t- a.example\n\t- a.example\n");
    load(&a, buf_str(&m), buf_str(&d), &c, &problems);
    CHECK(str_find_str(buf_str(&problems), STR("unknown key \"Bogus\"")) > 0);
    CHECK(str_find_str(buf_str(&problems), STR("CheckUpdates must be true or false")) > 0);
    CHECK(str_find_str(buf_str(&problems), STR("duplicate key \"Pedantic\", which is in line ")) > 0);
    CHECK(str_find_str(buf_str(&problems), STR("domains.conf:")) >= 0);
    CHECK(str_find_str(buf_str(&problems), STR("the list is there twice")) > 0);
}

TEST(config_of_a_broken_file_only_the_first_fault)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF m = BUF_LIMIT(1 << 20);
    AUTO_BUF d = BUF_LIMIT(1 << 20);
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    struct config c;

    config_localserve(&m, &d, &localhost_ip, 1);
    load(&a, STR("Bogus: 1\nNocolon\n  Spaces: x\nBogus: 1\n"), buf_str(&d), &c, &problems);
    CHECK_STR(buf_str(&problems), STR("mox.conf:2: no colon after the key\n"));
    buf_reset(&problems);
    load(&a, buf_str(&m), STR("Domains:\n\tlocalhost:\n\t Accounts:\n"), &c, &problems);
    CHECK_STR(buf_str(&problems), STR("domains.conf:3: indent with tabs, not spaces\n"));
}

static struct str replaced(struct arena *a, struct str text, struct str from, struct str to)
{
    ptrdiff_t at = str_find_str(text, from);

    CHECK(at >= 0);
    return arena_printf(a, "%.*s%.*s%.*s", (int)at, text.p, STR_FMT(to),
                        STR_FMT(str_from(text, (size_t)at + from.n)));
}

TEST(config_says_what_does_nothing)
{
    static const struct str listener =
        STR_("Listeners:\n\tother:\n\t\tIPs:\n\t\t\t- 127.0.0.2\n\t\tTLS:\n\t\t\tMinVersion: TLSv1.1\n"
             "\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: a\n\t\t\t\t\tKeyFile: b\n"
             "\t\tSMTP:\n\t\t\tEnabled: true\n\t\t\tTLSSessionTicketsDisabled: false\n"
             "\t\tPprofHTTP:\n\t\t\tEnabled: true\n");
    static const struct str said[] = {
        STR_("MinVersion has no effect"), STR_("TLSSessionTicketsDisabled has no effect"), STR_("PprofHTTP has no effect"),
        STR_("IncomingWebhook has no effect"),
    };
    AUTO_ARENA a = ARENA_LIMIT(32 << 20);
    AUTO_BUF m = BUF_LIMIT(1 << 20);
    AUTO_BUF d = BUF_LIMIT(1 << 20);
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    AUTO_BUF idle = BUF_LIMIT(1 << 20);
    struct config c;

    config_localserve(&m, &d, &localhost_ip, 1);
    CHECK(config_load(&a, STR("mox.conf"), buf_str(&m), STR("domains.conf"), buf_str(&d), &c, &problems));
    config_put_idle(&c, &idle);
    CHECK_STR(buf_str(&idle), STR(""));
    CHECK(config_load(&a, STR("mox.conf"), replaced(&a, buf_str(&m), STR("Listeners:\n"), listener), STR("domains.conf"),
                      replaced(&a, buf_str(&d), STR("\tmox:\n"),
                               STR("\tmox:\n\t\tIncomingWebhook:\n\t\t\tURL: http://localhost/\n")), &c, &problems));
    config_put_idle(&c, &idle);
    for (size_t i = 0; i < COUNT(said); i++)
        CHECK_CASE(str_find_str(buf_str(&idle), said[i]) > 0, i);
}

// One change to the good domains.conf each, and a part of what must be said about it.
TEST(config_rules)
{
    static const struct {
        struct str from, to, say;
        bool in_main;
    } cases[] = {
        {STR_("Hostname: localhost"), STR_("Hostname: xn--nxasmq6b.example"), STR_("not as xn--"), true},
        {STR_("LogLevel: traceauth"), STR_("LogLevel: loud"), STR_("unknown log level \"loud\": error, warn, "), true},
        {STR_("\t\t\t- 127.0.0.1"), STR_("\t\t\t- 127.0.0.256"), STR_("is no IP address"), true},
        {STR_("Port: 1025"), STR_("Port: 65536"), STR_("is no port"), true},
        {STR_("Account: mox"), STR_("Account: nobody"), STR_("no account"), true},
        {STR_("Mailbox: Postmaster"), STR_("Mailbox: /x"), STR_("slash"), true},
        {STR_("DataDir: data"), STR_("DataDir:"), STR_("DataDir is empty"), true},
        {STR_("Threshold: 0.950000"), STR_("Threshold: 1.5"), STR_("Threshold must be between 0 and 1"), false},
        {STR_("\t\tDKIM:\n"), STR_("\t\tMTASTS:\n\t\t\tPolicyID: 1\n\t\t\tMode: strict\n\t\t\tMaxAge: 24h\n\t\tDKIM:\n"), STR_("\"strict\": one of "), false},
        {STR_("MaxPower: 0.010000"), STR_("MaxPower: -1"), STR_("between 0 and 0.5"), false},
        {STR_("mox@localhost: nil"), STR_("mox+x@localhost: nil"), STR_("separator"), false},
        {STR_("mox@localhost: nil"), STR_("mox@elsewhere: nil"), STR_("not configured"), false},
        {STR_("^(junk|spam)"), STR_("^(junk|spam"), STR_("regular expression"), false},
        {STR_("Threshold: 0.950000"), STR_("Threshold: 0.95\n\t\t\tMethod: magic"), STR_("evidence or words"), false},
        {STR_("RejectsMailbox: Rejects"), STR_("RejectsMailbox: Inbox"), STR_("Inbox cannot"), false},
        {STR_("- localserve"), STR_("- other"), STR_("no selector"), false},
        {STR_("PrivateKeyFile: dkim"), STR_("PrivateKeyFile: /dkim"), STR_("below the directory"), false},
        {STR_("PrivateKeyFile: dkim"), STR_("PrivateKeyFile: a/../../dkim"), STR_("below the directory"), false},
        {STR_("KeepRetiredMessagePeriod: 72h0m0s"), STR_("KeepRetiredMessagePeriod: 3 days"), STR_("duration"), false},
        {STR_("PathRegexp: ^/workdir/"), STR_("PathRegexp: /workdir/"), STR_("begin with ^"), false},
        {STR_("Domain: localhost\n\t\tDest"), STR_("Domain: other\n\t\tDest"), STR_("not configured"), false},
        {STR_("\t\tDKIM:\n"), STR_("\t\tAliases:\n\t\t\tx:\n\t\t\t\tAddresses: nil\n\t\tDKIM:\n"), STR_("at least one address"), false},
        {STR_("\t\tDKIM:\n"), STR_("\t\tAliases:\n\t\t\ta b:\n\t\t\t\tAddresses:\n\t\t\t\t\t- mox@localhost\n\t\tDKIM:\n"), STR_("is no localpart"), false},
        {STR_("Accounts:\n"), STR_("\tLOCALHOST: nil\nAccounts:\n"), STR_("in two spellings"), false},
        {STR_("RejectsMailbox: Rejects\n"), STR_("RejectsMailbox: Rejects\n\t\tLoginDisabled: a\tb\n"), STR_("no control characters"), false},
        {STR_("WebStatic:\n\t\t\tStripPrefix: /workdir/\n\t\t\tRoot: web\n\t\t\tListFiles: true"), STR_("WebRedirect:\n\t\t\tBaseURL: x.example"), STR_("https:// and a host"), false},
        {STR_("WebStatic:\n\t\t\tStripPrefix: /workdir/\n\t\t\tRoot: web\n\t\t\tListFiles: true"), STR_("WebRedirect:\n\t\t\tBaseURL: https://x.example/y"), STR_("not have a path"), false},
        {STR_("WebStatic:\n\t\t\tStripPrefix: /workdir/\n\t\t\tRoot: web\n\t\t\tListFiles: true"), STR_("WebRedirect:\n\t\t\tBaseURL: https://user@x.example/"), STR_("user name"), false},
        {STR_("WebStatic:\n\t\t\tStripPrefix: /workdir/\n\t\t\tRoot: web\n\t\t\tListFiles: true"), STR_("WebRedirect:\n\t\t\tOrigPathRegexp: ^/x"), STR_("belong together"), false},
        {STR_("WebStatic:\n\t\t\tStripPrefix: /workdir/\n\t\t\tRoot: web\n\t\t\tListFiles: true"), STR_("WebRedirect:\n\t\t\tBaseURL: //x.example/\n\t\t\tStatusCode: 200"), STR_("must be 3xx"), false},
        {STR_("WebStatic:\n\t\t\tStripPrefix: /workdir/\n\t\t\tRoot: web\n\t\t\tListFiles: true"), STR_("WebForward:\n\t\t\tURL: //x.example/"), STR_("begin with http"), false},
        {STR_("WebStatic:\n\t\t\tStripPrefix: /workdir/\n\t\t\tRoot: web\n\t\t\tListFiles: true"), STR_("WebForward:\n\t\t\tURL: http://x.example:70000/"), STR_("no number from 1"), false},
        {STR_("WebStatic:\n\t\t\tStripPrefix: /workdir/\n\t\t\tRoot: web\n\t\t\tListFiles: true"), STR_("WebForward:\n\t\t\tURL: http://x.example/\n\t\t\tResponseHeaders:\n\t\t\t\tX Y: z"), STR_("name of a header"), false},
        {STR_("WebStatic:\n\t\t\tStripPrefix: /workdir/\n\t\t\tRoot: web\n\t\t\tListFiles: true"), STR_("WebForward:\n\t\t\tURL: http://x.example/\n\t\t\tResponseHeaders:\n\t\t\t\tcontent-length: 5"), STR_("where a reply ends"), false},
        {STR_("WebStatic:\n\t\t\tStripPrefix: /workdir/\n\t\t\tRoot: web\n\t\t\tListFiles: true"), STR_("WebStatic:\n\t\t\tRoot: web\n\t\t\tStripPrefix: x"), STR_("begin with a slash"), false},
        {STR_("WebStatic:\n\t\t\tStripPrefix: /workdir/\n\t\t\tRoot: web\n\t\t\tListFiles: true"), STR_("WebStatic:\n\t\t\tRoot: web\n\t\tWebForward:\n\t\t\tURL: http://x.example"), STR_("one of WebStatic"), false},
        {STR_("\t\tWebserverHTTP:\n\t\t\tEnabled: true\n\t\t\tPort: 1080\n\t\tWebserverHTTPS:\n\t\t\tEnabled: true\n"), STR_("\t\tWebserverHTTPS:\n"), STR_("no listener of mox.conf"), true},
        {STR_("IPs:\n\t\t\t- 127.0.0.1\n"), STR_("IPs: nil\n"), STR_("at least one IP"), true},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(64 << 20);
        AUTO_BUF m = BUF_LIMIT(1 << 20);
        AUTO_BUF d = BUF_LIMIT(1 << 20);
        AUTO_BUF changed = BUF_LIMIT(1 << 20);
        AUTO_BUF problems = BUF_LIMIT(1 << 20);
        struct config c;
        struct str old;
        ptrdiff_t at;

        config_localserve(&m, &d, &localhost_ip, 1);
        old = cases[i].in_main ? buf_str(&m) : buf_str(&d);
        at = str_find_str(old, cases[i].from);
        CHECK_CASE(at >= 0, i);
        buf_put(&changed, str_sub(old, 0, (size_t)at));
        buf_put(&changed, cases[i].to);
        buf_put(&changed, str_from(old, (size_t)at + cases[i].from.n));
        load(&a, cases[i].in_main ? buf_str(&changed) : buf_str(&m),
             cases[i].in_main ? buf_str(&d) : buf_str(&changed), &c, &problems);
        CHECK_CASE(str_find_str(buf_str(&problems), cases[i].say) > 0, i);
    }
}

TEST(sconf_rewriting_keeps_comments)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    struct problems p = {&problems, 0};
    struct sconf f;
    static const struct str text =
        STR_("# top\nA:\n\t# about b\n\tB: 1\n\n\t# about c\n\tC:\n\t\t- x\n# end\n");

    sconf_parse(&a, STR("f"), text, &f, &p);
    CHECK(p.n == 0);
    sconf_write_value(&out, &f, sconf_get(sconf_get(f.root, "A"), "B"), STR("2"));
    CHECK_STR(buf_str(&out),
              STR("# top\nA:\n\t# about b\n\tB: 2\n\n\t# about c\n\tC:\n\t\t- x\n# end\n"));
    buf_reset(&out);
    sconf_write_added(&out, &f, sconf_get(sconf_get(f.root, "A"), "C"), STR("- y\n"));
    CHECK_STR(buf_str(&out),
              STR("# top\nA:\n\t# about b\n\tB: 1\n\n\t# about c\n\tC:\n\t\t- x\n\t\t- y\n# end\n"));
    buf_reset(&out);
    sconf_write_removed(&out, &f, sconf_get(sconf_get(f.root, "A"), "C"));
    CHECK_STR(buf_str(&out), STR("# top\nA:\n\t# about b\n\tB: 1\n\n# end\n"));
}

TEST(sconf_durations)
{
    static const struct {
        const char *in;
        bool ok;
        int64_t ns;
    } cases[] = {
        {"15s", true, 15000000000}, {"24h0m0s", true, 86400000000000}, {"1.5h", true, 5400000000000},
        {"-5m", true, -300000000000}, {"0", true, 0}, {"100ms", true, 100000000}, {"", false, 0},
        {"5", false, 0}, {"5d", false, 0}, {"s", false, 0}, {"9999999999h", false, 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t ns = 0;

        CHECK_CASE(sconf_duration(str_of(cases[i].in), &ns) == cases[i].ok, i);
        CHECK_CASE(!cases[i].ok || ns == cases[i].ns, i);
    }
}

TEST(directory_lookup)
{
    static const struct str transports = STR_(
        "Transports:\n\trelay:\n\t\tSubmissions:\n\t\t\tHost: relay.example\n\t\t\tAuth:\n"
        "\t\t\t\tUsername: u\n\t\t\t\tPassword: secret\n");
    static const struct str d = STR_(
        "Domains:\n\tEx\xc3\xa4mple.org:\n\t\tLocalpartCatchallSeparator: +\n\t\tAliases:\n"
        "\t\t\tall:\n\t\t\t\tAddresses:\n\t\t\t\t\t- a@ex\xc3\xa4mple.org\n"
        "\t\t\t\t\t- b@ex\xc3\xa4mple.org\n"
        "\t\tDKIM:\n\t\t\tSelectors:\n\t\t\t\tsel:\n\t\t\t\t\tPrivateKeyFile: secret.pem\n"
        "\tdis.example:\n\t\tDisabled: true\n"
        "Accounts:\n\ta:\n\t\tDomain: ex\xc3\xa4mple.org\n\t\tDestinations:\n"
        "\t\t\ta@ex\xc3\xa4mple.org:\n\t\t\t\tRulesets:\n\t\t\t\t\t-\n"
        "\t\t\t\t\t\tSMTPMailFromRegexp: secret\n\t\t\t\t\t\tMailbox: S\n"
        "\t\t\t\tMailbox: A\n\t\t\tx@dis.example: nil\n"
        "\tmox:\n\t\tDomain: ex\xc3\xa4mple.org\n\t\tDestinations:\n\t\t\tb@ex\xc3\xa4mple.org: nil\n"
        "\t\t\tgone@ex\xc3\xa4mple.org:\n\t\t\t\tSMTPError: 550 gone\n");
    static const struct {
        const char *localpart, *domain;
        enum lookup_result result;
        size_t n;
        const char *account;
    } cases[] = {
        {"a", "ex\xc3\xa4mple.org", LOOKUP_LOCAL, 1, "a"},
        {"A+tag", "xn--exmple-cua.org", LOOKUP_LOCAL, 1, "a"},
        {"all", "ex\xc3\xa4mple.org", LOOKUP_LOCAL, 2, "a"},
        {"gone", "ex\xc3\xa4mple.org", LOOKUP_LOCAL, 1, "mox"},
        {"none", "ex\xc3\xa4mple.org", LOOKUP_NO_ADDRESS, 0, ""},
        {"x", "dis.example", LOOKUP_DISABLED, 0, ""},
        {"x", "far.example", LOOKUP_REMOTE, 0, ""},
        {"Postmaster", "", LOOKUP_LOCAL, 1, "mox"},
        {"postmaster", "localhost", LOOKUP_LOCAL, 1, "mox"},
        {"postmaster", "ex\xc3\xa4mple.org", LOOKUP_LOCAL, 1, "mox"},
    };
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF m = BUF_LIMIT(1 << 20);
    AUTO_BUF unused = BUF_LIMIT(1 << 20);
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    AUTO_BUF part_m = BUF_LIMIT(1 << 20);
    AUTO_BUF part_d = BUF_LIMIT(1 << 20);
    struct config c, part;
    struct directory *dir;
    struct str disabled;
    struct err e = {0};

    config_localserve(&m, &unused, &localhost_ip, 1);
    buf_put(&m, transports);
    load(&a, buf_str(&m), d, &c, &problems);
    CHECK_STR(buf_str(&problems), STR(""));
    // As auth has it: without what is nobody's business there.
    config_put_directory(&c, &part_m, &part_d);
    CHECK(str_find_str(buf_str(&part_m), STR("secret")) < 0 &&
          str_find_str(buf_str(&part_m), STR("KeyFile")) < 0);
    CHECK(str_find_str(buf_str(&part_d), STR("secret")) < 0);
    CHECK(config_read_directory(&a, buf_str(&part_m), buf_str(&part_d), &part, &e));
    dir = directory_new(&part);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct targets t;

        CHECK_CASE(directory_find(dir, &a, str_of(cases[i].localpart), str_of(cases[i].domain),
                                  &t) == cases[i].result, i);
        CHECK_CASE(t.n == cases[i].n, i);
        CHECK_CASE(!t.n || str_eq(t.items[0].account, str_of(cases[i].account)), i);
    }
    CHECK_STR(directory_login(dir, &a, STR("b+x"), STR("ex\xc3\xa4mple.org"), &disabled), STR("mox"));
    CHECK_STR(directory_login(dir, &a, STR("postmaster"), STR("localhost"), &disabled), STR(""));
    CHECK(directory_may_send(dir, &a, STR("a"), STR("a"), STR("ex\xc3\xa4mple.org")));
    CHECK(!directory_may_send(dir, &a, STR("a"), STR("b"), STR("ex\xc3\xa4mple.org")));
    CHECK(!directory_may_send(dir, &a, STR("a"), STR("all"), STR("ex\xc3\xa4mple.org")));
    directory_free(dir);
}

TEST(schema_description_parses)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF text = BUF_LIMIT(1 << 20);
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    struct problems p = {&problems, 0};
    struct sconf f;

    schema_describe(&schema_static, &text);
    sconf_parse(&a, STR("f"), buf_str(&text), &f, &p);
    CHECK_STR(buf_str(&problems), STR(""));
    CHECK(sconf_get(f.root, "Listeners"));
    buf_reset(&text);
    schema_describe(&schema_dynamic, &text);
    sconf_parse(&a, STR("f"), buf_str(&text), &f, &p);
    CHECK_STR(buf_str(&problems), STR(""));
    CHECK(sconf_get(f.root, "Accounts"));
}
