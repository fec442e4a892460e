#include "base/test.h"
#include "config/config.h"
#include "config/edit.h"

static const struct str file =
    STR_("# Mine.\nDomains:\n\t# The only one.\n\ta.example:\n\t\tLocalpartCatchallSeparator: +\n"
         "\t\tAliases:\n\t\t\tteam:\n\t\t\t\tAddresses:\n\t\t\t\t\t- ann@a.example\n\t\t\t\t\t# new\n"
         "\t\t\t\t\t- bob@a.example\n"
         "Accounts:\n\tann:\n\t\tDomain: a.example\n\t\tDestinations:\n\t\t\tann@a.example: nil\n"
         "\t\t\t# for shops\n\t\t\tann2@a.example:\n\t\t\t\tMailbox: Shops\n"
         "\t# Bob came later.\n\tbob:\n\t\tDomain: a.example\n\t\tDestinations:\n\t\t\tbob: nil\n# The end.\n");

/* Runs a command with arguments "a|b|c"; the text that comes of it, or the reason as "error: ...". */
static struct str edit(struct arena *a, struct str text, struct str name, struct str arguments)
{
    const struct config_edit *command = config_edit_of(name);
    struct str list[CONFIG_EDIT_MAX_ARGUMENTS] = {{0}}, rest = arguments, out;
    struct config_editor ed;
    struct err e = {0};

    for (size_t i = 0; i < CONFIG_EDIT_MAX_ARGUMENTS && rest.n; i++)
        if (!str_cut(rest, '|', &list[i], &rest)) {
            list[i] = rest;
            break;
        }
    CHECK(command);
    if (!config_editor_begin(&ed, a, text, &e) || !command->run(&ed, list, &e))
        out = arena_printf(a, "error: %s", e.text);
    else
        out = command->is_question ? arena_dup(a, buf_str(&ed.answer))
                                   : arena_dup(a, ed.file.text);
    config_editor_end(&ed);
    return out;
}

static struct str replaced(struct arena *a, struct str text, struct str from, struct str to)
{
    ptrdiff_t at = str_find_str(text, from);

    CHECK(at >= 0);
    return arena_printf(a, "%.*s%.*s%.*s", (int)at, text.p, STR_FMT(to),
                        STR_FMT(str_from(text, (size_t)at + from.n)));
}

TEST(edit_changes_what_is_asked_and_keeps_the_rest)
{
    static const struct {
        struct str name, arguments, from, to;
    } cases[] = {
        {STR_("accountdisabled"), STR_("bob|on leave"), STR_("bob: nil\n"),
         STR_("bob: nil\n\t\tLoginDisabled: on leave\n")},
        {STR_("accountrm"), STR_("bob"),
         STR_("\t# Bob came later.\n\tbob:\n\t\tDomain: a.example\n\t\tDestinations:\n\t\t\tbob: nil\n"),
         STR_("")},
        {STR_("addressadd"), STR_("info@a.example|bob"), STR_("bob: nil\n"),
         STR_("bob: nil\n\t\t\tinfo@a.example: nil\n")},
        {STR_("addressadd"), STR_("@a.example|ann"), STR_("Mailbox: Shops\n"),
         STR_("Mailbox: Shops\n\t\t\t@a.example: nil\n")},
        {STR_("addressrm"), STR_("ANN2@a.example"),
         STR_("\t\t\t# for shops\n\t\t\tann2@a.example:\n\t\t\t\tMailbox: Shops\n"), STR_("")},
        {STR_("aliasaddaddr"), STR_("team@a.example|ann2@a.example"), STR_("- bob@a.example\n"),
         STR_("- bob@a.example\n\t\t\t\t\t- ann2@a.example\n")},
        {STR_("aliasrmaddr"), STR_("team@a.example|bob@a.example"),
         STR_("\t\t\t\t\t# new\n\t\t\t\t\t- bob@a.example\n"), STR_("")},
        {STR_("aliasupdate"), STR_("team@a.example||true|"), STR_("- bob@a.example\n"),
         STR_("- bob@a.example\n\t\t\t\tListMembers: true\n")},
        {STR_("aliasrm"), STR_("Team@a.example"),
         STR_("\t\tAliases:\n\t\t\tteam:\n\t\t\t\tAddresses:\n\t\t\t\t\t- ann@a.example\n\t\t\t\t\t# new\n"
              "\t\t\t\t\t- bob@a.example\n"), STR_("")},
        {STR_("aliasadd"), STR_("all@a.example|ann@a.example bob@a.example"), STR_("- bob@a.example\n"),
         STR_("- bob@a.example\n\t\t\tall:\n\t\t\t\tAddresses:\n\t\t\t\t\t- ann@a.example\n"
              "\t\t\t\t\t- bob@a.example\n\t\t\t\tPostPublic: true\n")},
        {STR_("domaindisabled"), STR_("a.example|true"), STR_("- bob@a.example\n"),
         STR_("- bob@a.example\n\t\tDisabled: true\n")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(16 << 20);

        CHECK_STR(edit(&a, file, cases[i].name, cases[i].arguments),
                  replaced(&a, file, cases[i].from, cases[i].to));
    }
}

TEST(edit_refuses_with_a_reason)
{
    static const struct {
        struct str name, arguments, say;
    } cases[] = {
        {STR_("accountadd"), STR_("ann|x@a.example"), STR_("there is an account \"ann\"")},
        {STR_("accountadd"), STR_("eve|Ann@a.example"), STR_("is an address of account \"ann\"")},
        {STR_("accountadd"), STR_("eve|team@a.example"), STR_("is an alias")},
        {STR_("accountadd"), STR_("eve|eve@b.example"), STR_("no domain \"b.example\"")},
        {STR_("accountadd"), STR_("e:ve|eve@a.example"), STR_("cannot be the name of an account")},
        {STR_("accountadd"), STR_("-eve|eve@a.example"), STR_("cannot be the name of an account")},
        {STR_("accountadd"), STR_("eve|\"e:e\"@a.example"), STR_("cannot be an address")},
        {STR_("accountadd"), STR_("e\tve|eve@a.example"), STR_("no control characters")},
        {STR_("accountrm"), STR_("eve"), STR_("no account \"eve\"")},
        {STR_("accountdisabled"), STR_("ann|"), STR_("a message")},
        {STR_("addressadd"), STR_("bob@a.example|ann"), STR_("is an address of account \"bob\"")},
        {STR_("addressadd"), STR_("new@a.example|eve"), STR_("no account \"eve\"")},
        {STR_("addressrm"), STR_("eve@a.example"), STR_("no account has the address")},
        {STR_("domainrm"), STR_("a.example"), STR_("account \"ann\" has the address ann@a.example")},
        {STR_("domainrm"), STR_("b.example"), STR_("no domain")},
        {STR_("aliasadd"), STR_("ann@a.example|bob@a.example"), STR_("is an address of account")},
        {STR_("aliasadd"), STR_("all@a.example|eve@a.example"), STR_("no account has the address")},
        {STR_("aliasprint"), STR_("x@a.example"), STR_("no alias")},
        {STR_("aliasupdate"), STR_("team@a.example|yes||"), STR_("neither true nor false")},
        {STR_("aliasrmaddr"), STR_("team@a.example|ann@a.example bob@a.example"), STR_("the last member")},
        {STR_("aliasrmaddr"), STR_("team@a.example|ann2@a.example"), STR_("is no member")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(16 << 20);
        struct str said = edit(&a, file, cases[i].name, cases[i].arguments);

        CHECK(str_starts(said, STR("error: ")));
        CHECK(str_find_str(said, cases[i].say) > 0);
    }
}

TEST(edit_of_a_domain_names_its_keys)
{
    static const struct str text =
        STR_("Domains:\n\ta.example:\n\t\tDKIM:\n\t\t\tSelectors:\n"
             "\t\t\t\tone:\n\t\t\t\t\tPrivateKeyFile: dkim/one.pem\n"
             "\t\t\t\ttwo:\n\t\t\t\t\tPrivateKeyFile: dkim/two.pem\n"
             "\tb.example:\n\t\tDKIM:\n\t\t\tSelectors:\n"
             "\t\t\t\tone:\n\t\t\t\t\tPrivateKeyFile: dkim/two.pem\n"
             "Accounts:\n\tann:\n\t\tDomain: b.example\n");
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct str domain = STR("a.example");
    struct config_editor ed;
    struct err e = {0};

    CHECK(config_editor_begin(&ed, &a, text, &e));
    CHECK(config_edit_of(STR("domainrm"))->run(&ed, &domain, &e));
    CHECK_STR(ed.old_keys, STR("dkim/one.pem\n")); // the other signs for b.example
    config_editor_end(&ed);
}

TEST(edit_compares_addresses_as_the_directory_does)
{
    static const struct {
        struct str what, address;
        bool is;
    } cases[] = {
        {STR_("ann@a.example"), STR_("ANN+shop@A.example"), true},
        {STR_("ann@a.example"), STR_("ann2@a.example"), false},
        {STR_("ann@a.example"), STR_("ann@b.example"), false},
        {STR_("ann@a.example"), STR_(""), false},
        {STR_("@a.example"), STR_("ann@a.example"), false},
        {STR_("a.example"), STR_("who@A.example"), true},
        {STR_("a.example"), STR_("who@b.example"), false},
        {STR_("b.example"), STR_("who@b.example"), false}, // no domain of ours
    };
    static const struct {
        struct str address, account;
    } owners[] = {
        {STR_("ann+x@a.example"), STR_("ann")}, {STR_("bob@a.example"), STR_("")}, {STR_("eve@a.example"), STR_("")},
    };
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct config_editor ed;
    struct err e = {0};

    CHECK(config_editor_begin(&ed, &a, edit(&a, file, STR("addressadd"), STR("@a.example|bob")), &e));
    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_CASE(config_editor_is(&ed, cases[i].what, cases[i].address) == cases[i].is, i);
    for (size_t i = 0; i < COUNT(owners); i++)
        CHECK_STR(config_editor_sole_owner(&ed, owners[i].address), owners[i].account);
    config_editor_end(&ed);
}

TEST(edit_answers_questions)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct str disabled = edit(&a, file, STR("accountdisabled"), STR("ann|no"));

    CHECK_STR(edit(&a, disabled, STR("accountlist"), STR("")), STR("ann\t(disabled)\nbob\n"));
    CHECK_STR(edit(&a, edit(&a, disabled, STR("accountenable"), STR("ann")), STR("accountlist"), STR("")),
              STR("ann\nbob\n"));
    CHECK_STR(edit(&a, file, STR("accountaddresses"), STR("bob")), STR("bob@a.example\n"));
    CHECK_STR(edit(&a, file, STR("accountaddresses"), STR("ann")),
              STR("ann2@a.example\nann@a.example\n"));
    CHECK_STR(edit(&a, file, STR("aliaslist"), STR("a.example")), STR("team@a.example\n"));
    CHECK_STR(edit(&a, file, STR("aliasprint"), STR("team@A.example")),
              STR("# postpublic false\n# listmembers false\n# allowmsgfrom false\n# members:\n"
                  "ann@a.example\nbob@a.example\n"));
}

// What is left of members leaves aliases too, and the last one stays.
TEST(edit_an_address_leaves_its_aliases)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct str once = edit(&a, file, STR("addressrm"), STR("bob@a.example"));

    CHECK_STR(edit(&a, once, STR("aliasprint"), STR("team@a.example")),
              STR("# postpublic false\n# listmembers false\n# allowmsgfrom false\n# members:\n"
                  "ann@a.example\n"));
    CHECK_STR(edit(&a, once, STR("accountaddresses"), STR("bob")), STR(""));
    CHECK(str_find_str(edit(&a, once, STR("addressrm"), STR("ann@a.example")),
                       STR("the last member of the alias \"team\"")) > 0);
}

// A change in many places takes no more memory than one: the trees in between are given up.
TEST(edit_of_many_aliases_is_bounded)
{
    enum { ALIASES = 300, LINES = 3000 };
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_BUF text = BUF_LIMIT(1 << 20);
    struct str after;

    BUF_PUT(&text, "Domains:\n\ta.example:\n\t\tAliases:\n");
    for (int i = 0; i < ALIASES; i++)
        buf_printf(&text, "\t\t\talias%d:\n\t\t\t\tAddresses:\n\t\t\t\t\t- bob@a.example\n\t\t\t\t\t- user1@a.example\n", i);
    BUF_PUT(&text, "Accounts:\n\tann:\n\t\tDomain: a.example\n\t\tDestinations:\n\t\t\tbob@a.example: nil\n");
    for (int i = 0; i < LINES; i++)
        buf_printf(&text, "\t\t\tuser%d@a.example: nil\n", i);
    after = edit(&a, buf_str(&text), STR("addressrm"), STR("BOB@a.example"));
    CHECK(str_starts(after, STR("Domains:")));
    CHECK(str_find_str(after, STR("bob@")) == STR_NONE);
}

// A new account is one that the rules accept.
TEST(edit_a_domain_with_letters_of_its_own)
{
    static const struct str names[] = {STR_("m\xc3\xbcnchen.example"), STR_("xn--mnchen-3ya.example"),
                                       STR_("M\xc3\x9cNCHEN.example")};

    for (size_t i = 0; i < COUNT(names); i++) {
        AUTO_ARENA a = ARENA_LIMIT(64 << 20);
        AUTO_BUF m = BUF_LIMIT(1 << 20);
        AUTO_BUF d = BUF_LIMIT(1 << 20);
        AUTO_BUF problems = BUF_LIMIT(1 << 20);
        struct str ip = STR("127.0.0.1"), text;
        struct config c;

        config_localserve(&m, &d, &ip, 1);
        text = edit(&a, buf_str(&d), STR("domainadd"), arena_printf(&a, "false|%.*s|eve|eve", STR_FMT(names[i])));
        CHECK(config_load(&a, STR("mox.conf"), buf_str(&m), STR("domains.conf"), text, &c, &problems));
        CHECK_STR(buf_str(&problems), STR(""));
        CHECK_STR(edit(&a, text, STR("accountaddresses"), STR("eve")), STR("eve@m\xc3\xbcnchen.example\n"));
        // Names of files are for all tools.
        CHECK(str_find_str(text, STR("dkim/1970a._domainkey.xn--mnchen-3ya.example.")) > 0);
    }
}

TEST(edit_a_domain_goes_without_its_accounts)
{
    static const struct str text =
        STR_("Domains:\n\ta.example: nil\n\tb.example:\n\t\tDMARC:\n\t\t\tAccount: bob\n\tc.example: nil\n"
             "Accounts:\n\tann:\n\t\tDomain: B.example\n\t\tDestinations:\n\t\t\tann@c.example: nil\n"
             "\tbob:\n\t\tDomain: b.example\n");
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct str left;

    CHECK_STR(edit(&a, text, STR("accountrm"), STR("bob")),
              STR("error: it has the reports for b.example: name another account under DMARC and TLSRPT of that domain"
                  " in domains.conf first"));
    left = edit(&a, text, STR("domainrm"), STR("b.example"));
    CHECK_STR(left, STR("Domains:\n\ta.example: nil\n\tc.example: nil\n"
                        "Accounts:\n\tann:\n\t\tDomain: c.example\n\t\tDestinations:\n\t\t\tann@c.example: nil\n"
                        "\tbob:\n\t\tDomain: a.example\n"));
    left = edit(&a, edit(&a, left, STR("accountrm"), STR("bob")), STR("domainrm"), STR("a.example"));
    CHECK(str_starts(edit(&a, left, STR("domainrm"), STR("c.example")), STR("error: account \"ann\" has the address")));
    left = edit(&a, left, STR("addressrm"), STR("ann@c.example"));
    CHECK(str_find_str(edit(&a, left, STR("domainrm"), STR("c.example")), STR("it is the only domain")) > 0);
}

TEST(edit_a_new_account_is_valid)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF m = BUF_LIMIT(1 << 20);
    AUTO_BUF d = BUF_LIMIT(1 << 20);
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    struct str ip = STR("127.0.0.1"), text;
    struct config c;

    config_localserve(&m, &d, &ip, 1);
    text = edit(&a, buf_str(&d), STR("accountadd"), STR("eve|eve@localhost"));
    CHECK(config_load(&a, STR("mox.conf"), buf_str(&m), STR("domains.conf"), text, &c, &problems));
    CHECK_STR(buf_str(&problems), STR(""));
    CHECK_STR(edit(&a, text, STR("accountaddresses"), STR("eve")), STR("eve@localhost\n"));
    CHECK(str_find_str(text, STR("\t\tSubjectPass:\n\t\t\tPeriod: 12h\n")) > 0); // as upstream's new accounts
}
