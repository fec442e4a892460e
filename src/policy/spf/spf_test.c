#include "base/test.h"
#include "policy/dns_zone.h"
#include "policy/spf/spf_priv.h"

#include <string.h>

TEST(spf_records)
{
    static const struct {
        const char *text, *written; // NULL: refused
    } cases[] = {
        {"v=spf1", "v=spf1"},
        {"V=SPF1 ", "v=spf1"},
        {"v=spf1 -all", "v=spf1 -all"},
        {"v=spf1   +A ~MX  ?pTr -aLL  ", "v=spf1 a ~mx ?ptr -all"},
        {"v=spf1 a:a.example/24//64 mx/0 mx//0 a//128 a/32", "v=spf1 a:a.example/24//64 mx/0 mx//0 a a"},
        {"v=spf1 ip4:192.0.2.1 ip4:192.0.2.0/24 ip6:2001:DB8::/32 ip6:::1",
         "v=spf1 ip4:192.0.2.1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ip6:::1"},
        {"v=spf1 redirect=_spf.example exp=why.%{d2} x=%{c}%% -include:a.%{i}",
         "v=spf1 -include:a.%{i} redirect=_spf.example exp=why.%{d2} x=%{c}%%"},
        {"v=spf1 exists:%{l1r+-}.%{d} a:x.example.", "v=spf1 exists:%{l1r+-}.%{d} a:x.example."},
        {"v=spf1 a:a/b.example a:%{d/}/8 x= default=", "v=spf1 a:a/b.example a:%{d/}/8 x= default="},
        {"v=spf1 a:%{s999999999999999999999r=}", "v=spf1 a:%{s999999999999999999999r=}"},
        {"v=spf1 a:a.x--y", "v=spf1 a:a.x--y"},
        {"", NULL},
        {"v=spf", NULL},
        {"v=spf10", NULL},
        {"v=spf1\t-all", NULL},
        {"v=spf1 -all\t", NULL},
        {"v=spf1 all:x.example", NULL},
        {"v=spf1 all/8", NULL},
        {"v=spf1 b", NULL},
        {"v=spf1 --all", NULL},
        {"v=spf1 a/", NULL},
        {"v=spf1 a//", NULL},
        {"v=spf1 a/33", NULL},
        {"v=spf1 a/032", NULL},
        {"v=spf1 a/00", NULL},
        {"v=spf1 a//129", NULL},
        {"v=spf1 a///8", NULL},
        {"v=spf1 a//8/8", NULL},
        {"v=spf1 a/4294967328", NULL},
        {"v=spf1 a:", NULL},
        {"v=spf1 a:/8", NULL},
        {"v=spf1 a:example", NULL},
        {"v=spf1 a:example.123", NULL},
        {"v=spf1 a:example.-x", NULL},
        {"v=spf1 a:example.x-", NULL},
        {"v=spf1 a:.", NULL},
        {"v=spf1 a:%{d}.", NULL},
        {"v=spf1 a:x.example:8", NULL},
        {"v=spf1 ptr:x.example/8", NULL},
        {"v=spf1 include", NULL},
        {"v=spf1 exists", NULL},
        {"v=spf1 exists:x.example/8", NULL},
        {"v=spf1 ip4", NULL},
        {"v=spf1 ip4:192.0.2", NULL},
        {"v=spf1 ip4:192.0.2.1/", NULL},
        {"v=spf1 ip4:192.0.2.1/33", NULL},
        {"v=spf1 ip4:192.0.2.1//24", NULL},
        {"v=spf1 ip4:::1", NULL},
        {"v=spf1 ip6:192.0.2.1", NULL},
        {"v=spf1 ip6:::1/129", NULL},
        {"v=spf1 ip6:::1%lo", NULL},
        {"v=spf1 redirect=", NULL},
        {"v=spf1 redirect=a.example redirect=a.example", NULL},
        {"v=spf1 exp=a.example EXP=a.example", NULL},
        {"v=spf1 -redirect=a.example", NULL},
        {"v=spf1 =a.example", NULL},
        {"v=spf1 1x=a.example", NULL},
        {"v=spf1 x=%{d", NULL},
        {"v=spf1 x=%", NULL},
        {"v=spf1 x=%{", NULL},
        {"v=spf1 x=%{}", NULL},
        {"v=spf1 x=%{a}", NULL},
        {"v=spf1 x=%{d0}", NULL},
        {"v=spf1 x=%{dr2}", NULL},
        {"v=spf1 x=%{d;}", NULL},
        {"v=spf1 x=%x", NULL},
        {"v=spf1 x=\x80", NULL},
        {"v=spf1 a:%{c}", NULL}, // of explanations only
        {"v=spf1 a:%{R}.example", NULL},
        {"v=spf1 exp=%{t}", NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_EXACT in = exact_copy(str_of(cases[i].text));
        AUTO_BUF out = BUF_LIMIT(1000), again = BUF_LIMIT(1000);
        struct spf_record got;
        struct err e = {0};

        CHECK_CASE(spf_record_parse(&a, in.str, &got, &e) == (cases[i].written != NULL), i);
        CHECK_CASE(cases[i].written || e.kind == ERR_SYNTAX, i);
        for (size_t n = 0; n < in.str.n; n++) { // no truncation reads past its end
            AUTO_EXACT cut = exact_copy(str_sub(in.str, 0, n));
            struct spf_record unused;

            (void)!spf_record_parse(&a, cut.str, &unused, NULL);
        }
        if (!cases[i].written)
            continue;
        spf_record_put(&out, &got);
        CHECK_STR(buf_str(&out), str_of(cases[i].written));
        CHECK_CASE(spf_record_parse(&a, buf_str(&out), &got, &e), i);
        spf_record_put(&again, &got);
        CHECK_STR(buf_str(&again), str_of(cases[i].written));
    }
}

TEST(spf_record_fields)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct spf_record r;
    struct err e = {0};

    CHECK(spf_record_parse(&a, STR("v=spf1 ~a:x.example/24//64 ip6:2001:db8::/32 -ALL x=y exp=e.f"), &r, &e));
    CHECK(r.n_directives == 3 && r.n_others == 1);
    CHECK(r.directives[0].result == AUTH_SOFTFAIL && r.directives[0].mechanism == SPF_A);
    CHECK(r.directives[0].bits4 == 24 && r.directives[0].bits6 == 64);
    CHECK_STR(r.directives[0].domain, STR("x.example"));
    CHECK(r.directives[1].network.family == 6 && r.directives[1].bits6 == 32);
    CHECK_STR(r.directives[2].text, STR("-ALL"));
    CHECK_STR(r.exp, STR("e.f"));
    CHECK_STR(r.others[0].value, STR("y"));
    e = (struct err){0};
    CHECK(!spf_record_parse(&a, STR("v=spf1 a foo:bar -all"), &r, &e));
    CHECK(strcmp(e.text, "term \"foo:bar\": unknown mechanism") == 0);
}

TEST(spf_record_of_many_terms)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_BUF text = BUF_LIMIT(1 << 20);
    struct spf_record r;
    struct err e = {0};

    BUF_PUT(&text, "v=spf1");
    for (int i = 0; i < SPF_MAX_TERMS; i++)
        buf_put(&text, i % 2 ? STR(" a") : STR(" x=y"));
    CHECK(spf_record_parse(&a, buf_str(&text), &r, &e));
    CHECK(r.n_directives + r.n_others == SPF_MAX_TERMS);
    BUF_PUT(&text, " a");
    CHECK(!spf_record_parse(&a, buf_str(&text), &r, &e) && e.kind == ERR_LIMIT);
}

/* --- evaluation --- */

struct asked {
    struct arena a;
    struct dns_zone zone;
    struct dns dns;
    struct spf_query q;
    struct spf_result r;
};

static void asked_fini(struct asked *x)
{
    arena_fini(&x->a);
}
#define AUTO_ASKED CLEANUP(asked_fini) struct asked

static void make_zone(struct asked *x, struct str zone)
{
    struct err e = {0};

    x->a = (struct arena)ARENA_LIMIT(16 << 20);
    CHECK(dns_zone_parse(&x->a, zone, &x->zone, &e));
    x->dns = dns_zone_dns(&x->zone);
    x->q = (struct spf_query){.helo = STR("mail.example.net"), .local_part = STR("user"),
                              .domain = STR("example.org"), .receiver = STR("mx.example.com"),
                              .now_unix = 1700000000};
    CHECK(ip_parse(STR("192.0.2.1"), &x->q.ip));
}

static enum auth_result check(struct asked *x)
{
    x->zone.n_lookups = 0;
    spf_check(&x->dns, &x->a, &x->q, SPF_MAILFROM, &x->r);
    CHECK(x->zone.n_lookups <= SPF_MAX_QUESTIONS);
    return x->r.status;
}

TEST(spf_identities)
{
    static const struct {
        const char *helo, *domain;
        enum spf_identity asked, used;
        enum auth_result status;
        const char *checked;
    } cases[] = {
        {"helo.example", "from.example", SPF_MAILFROM, SPF_MAILFROM, AUTH_PASS, "from.example"},
        {"helo.example", "from.example", SPF_HELO, SPF_HELO, AUTH_FAIL, "helo.example"},
        {"helo.example.", "", SPF_MAILFROM, SPF_HELO, AUTH_FAIL, "helo.example"},
        {"[192.0.2.1]", "", SPF_MAILFROM, SPF_HELO, AUTH_NONE, ""},
        {"192.0.2.1", "", SPF_HELO, SPF_HELO, AUTH_NONE, ""},
        {"localhost", "", SPF_HELO, SPF_HELO, AUTH_NONE, ""},
        {"", "", SPF_HELO, SPF_HELO, AUTH_NONE, ""},
        {"helo.example", "[192.0.2.1]", SPF_MAILFROM, SPF_MAILFROM, AUTH_NONE, ""},
        {"helo.example", "a..example", SPF_MAILFROM, SPF_MAILFROM, AUTH_NONE, ""},
        {"helo.example", "b\xc3\xbc" "cher.example", SPF_MAILFROM, SPF_MAILFROM, AUTH_NEUTRAL,
         "xn--bcher-kva.example"}, // RFC 8616
        {"helo.example", "\xff.example", SPF_MAILFROM, SPF_MAILFROM, AUTH_NONE, ""},
        {"helo.example", "unknown.example", SPF_MAILFROM, SPF_MAILFROM, AUTH_NONE, "unknown.example"},
    };
    AUTO_ASKED x = {0};

    make_zone(&x, STR("helo.example TXT v=spf1 -all exp=e.example\n"
                      "from.example TXT v=spf1 +all\n"
                      "xn--bcher-kva.example TXT v=spf1 ?all\n"
                      "e.example TXT %{s} %{l} %{o}\n"));
    for (size_t i = 0; i < COUNT(cases); i++) {
        x.q.helo = str_of(cases[i].helo);
        x.q.domain = str_of(cases[i].domain);
        spf_check(&x.dns, &x.a, &x.q, cases[i].asked, &x.r);
        CHECK_CASE(x.r.status == cases[i].status && x.r.identity == cases[i].used, i);
        CHECK_STR(x.r.domain, str_of(cases[i].checked));
        if (x.r.status == AUTH_FAIL)
            CHECK_STR(x.r.explanation, STR("postmaster@helo.example postmaster helo.example"));
    }
}

TEST(spf_results_and_reasons)
{
    static const struct {
        const char *record;
        enum auth_result status;
        const char *mechanism, *why;
    } cases[] = {
        {"v=spf1 a:none.example ip4:192.0.2.0/28 -all", AUTH_PASS, "ip4:192.0.2.0/28", ""},
        {"v=spf1 ~include:pass.example", AUTH_SOFTFAIL, "~include:pass.example", ""},
        {"v=spf1", AUTH_NEUTRAL, "default", ""},
        {"v=spf1 redirect=pass.example", AUTH_PASS, "all", ""},
        {"v=spf1 a:slow.example", AUTH_TEMPERROR, "a:slow.example",
         "looking up A of slow.example: no answer in time"},
        {"v=spf1 a:forged.example", AUTH_TEMPERROR, "a:forged.example",
         "looking up A of forged.example: the signatures are wrong"},
        {"v=spf1 include:none.example", AUTH_PERMERROR, "include:none.example",
         "none.example is included and has no record"},
        {"v=spf1 redirect=none.example", AUTH_PERMERROR, "",
         "none.example is redirected to and has no record"},
        {"v=spf1 include:slow.example", AUTH_TEMPERROR, "include:slow.example",
         "record of slow.example: no answer in time"},
        {"v=spf1 oops", AUTH_PERMERROR, "",
         "record of example.org: term \"oops\": unknown mechanism"},
        {"v=spf1 a:none.example mx:none.example exists:none.example a:slow.example", AUTH_PERMERROR,
         "exists:none.example", "more than 2 terms name what does not exist"},
        {"v=spf1 mx:many.example", AUTH_PERMERROR, "mx:many.example",
         "more than 10 mail hosts of many.example"},
        {"v=spf1 mx:null.example -all", AUTH_FAIL, "-all", ""},
        // Hosts without an address: one void term, however many they are.
        {"v=spf1 mx:gone.example a:none.example ip4:192.0.2.1", AUTH_PASS, "ip4:192.0.2.1", ""},
        {"v=spf1 exists:\x7f.example", AUTH_PERMERROR, "", NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ASKED x = {0};
        AUTO_BUF zone = BUF_LIMIT(4000);

        BUF_PUT(&zone, "pass.example TXT v=spf1 all\n"
                       "slow.example * !timeout\n"
                       "forged.example * !bogus\n"
                       "null.example MX 0 .\n"
                       "gone.example MX 1 a.gone.example\n"
                       "gone.example MX 1 b.gone.example\n"
                       "gone.example MX 1 c.gone.example\n");
        for (int k = 0; k < 11; k++)
            buf_printf(&zone, "many.example MX 1 m.example\n");
        buf_printf(&zone, "m.example A 192.0.2.99\nexample.org TXT %s\n", cases[i].record);
        make_zone(&x, buf_str(&zone));
        CHECK_CASE(check(&x) == cases[i].status, i);
        CHECK_STR(x.r.mechanism, str_of(cases[i].mechanism));
        if (cases[i].why)
            CHECK_STR(x.r.why, str_of(cases[i].why));
    }
}

TEST(spf_dnssec)
{
    AUTO_ASKED x = {0};

    make_zone(&x, STR("$secure yes\n"
                      "example.org TXT v=spf1 a:a.example -a:b.example -all\n"
                      "a.example A 192.0.2.9\n"
                      "$secure no\n"
                      "b.example A 192.0.2.2\n"));
    CHECK(check(&x) == AUTH_FAIL && !x.r.is_secure);
    CHECK(ip_parse(STR("192.0.2.9"), &x.q.ip));
    CHECK(check(&x) == AUTH_PASS && x.r.is_secure); // the insecure answer was not needed
    CHECK(ip_parse(STR("::ffff:192.0.2.9"), &x.q.ip));
    CHECK(check(&x) == AUTH_PASS);
}

static const char *expand(struct asked *x, const char *text, struct buf *out)
{
    struct spf_run run = {.dns = &x->dns, .a = &x->a, .q = &x->q, .ip = x->q.ip,
                          .local = x->q.local_part, .domain = x->q.domain};

    buf_reset(out);
    CHECK(spf_macro_string_check(str_of(text), true, NULL));
    if (spf_expand(&run, str_of(text), STR("d.example"), out) != SPF_YES)
        return NULL;
    buf_put_char(out, '\0');
    return out->p;
}

TEST(spf_macros)
{
    // The examples of RFC 7208 7.4, and transformers at their limits.
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"%{s}", "strong-bad@email.example.com"},
        {"%{o}", "email.example.com"},
        {"%{d}", "d.example"},
        {"%{o4}", "email.example.com"},
        {"%{o3}", "email.example.com"},
        {"%{o2}", "example.com"},
        {"%{o1}", "com"},
        {"%{or}", "com.example.email"},
        {"%{o2r}", "example.email"},
        {"%{l}", "strong-bad"},
        {"%{l-}", "strong.bad"},
        {"%{lr}", "strong-bad"},
        {"%{lr-}", "bad.strong"},
        {"%{l1r-}", "strong"},
        {"%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.d.example"},
        {"%{o127}%{o128}%{o4294967297}%{o18446744073709551617}",
         "email.example.comemail.example.comemail.example.comemail.example.com"},
        {"%{o1r.-+,/_=}", "email"},
        {"%{OR.}%%%_%-", "com.example.email% %20"},
        {"%{S}", "strong-bad%40email.example.com"},
        {"%{h}|%{c}|%{r}|%{t}|%{p}", "mail.example.net|192.0.2.3|mx.example.com|1700000000|unknown"},
    };
    AUTO_ASKED x = {0};
    AUTO_BUF out = BUF_LIMIT(10000);

    make_zone(&x, STR("2.0.192.in-addr.arpa NS x.example\n"));
    x.q.local_part = STR("strong-bad");
    x.q.domain = STR("email.example.com");
    CHECK(ip_parse(STR("192.0.2.3"), &x.q.ip));
    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_STR(str_of(expand(&x, cases[i].text, &out)), str_of(cases[i].want));
    // Delimiters at both ends, and nothing else: parts are empty, and there is one more of them.
    x.q.local_part = STR("-a--b-");
    CHECK_STR(str_of(expand(&x, "%{l-}", &out)), STR(".a..b."));
    CHECK_STR(str_of(expand(&x, "%{l3-}", &out)), STR(".b."));
    CHECK_STR(str_of(expand(&x, "%{l2r-}", &out)), STR("a."));
    x.q.local_part = STR("---");
    CHECK_STR(str_of(expand(&x, "%{l2r-}", &out)), STR("."));
    CHECK_STR(str_of(expand(&x, "%{l1-}", &out)), STR(""));
    x.q.local_part = STR("\xc3\xbc");
    CHECK(!expand(&x, "%{l}", &out) && !expand(&x, "%{s}", &out) && expand(&x, "%{o}", &out));
    CHECK(ip_parse(STR("2001:db8::cb01"), &x.q.ip));
    CHECK_STR(str_of(expand(&x, "%{ir}.%{v}", &out)),
              STR("1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6"));
}

/*
 * The classes of CVE-2021-20314, CVE-2021-33912, CVE-2021-33913 and CVE-2023-42118: sizes of expansions,
 * escapes that need three octets, reversed parts, and delimiters, with inputs as long as they can be.
 */
TEST(spf_macros_are_bounded)
{
    AUTO_ASKED x = {0};
    AUTO_BUF zone = BUF_LIMIT(1 << 20), local = BUF_LIMIT(1000), helo = BUF_LIMIT(100000);

    for (int i = 0; i < 300; i++)
        buf_put_char(&local, i % 3 ? '-' : '\x01');
    for (int i = 0; i < 50000; i++)
        buf_put_char(&helo, '.');
    BUF_PUT(&zone, "example.org TXT v=spf1 exists:");
    for (int i = 0; i < 9000; i++)
        BUF_PUT(&zone, "%{S9r-}");
    BUF_PUT(&zone, ".example ?include:%{H128r.-+,/_=}.example.com -all exp=why.example.org\n"
                   "why.example.org TXT ");
    for (int i = 0; i < 9000; i++)
        BUF_PUT(&zone, "%{S}%{L}");
    BUF_PUT(&zone, "\n");
    make_zone(&x, buf_str(&zone));
    x.q.local_part = buf_str(&local);
    x.q.helo = buf_str(&helo);
    CHECK(check(&x) == AUTH_PERMERROR); // what is included does not exist
    buf_reset(&helo);
    x.q.helo = STR("x");
    CHECK(check(&x) == AUTH_PERMERROR);
}

TEST(spf_explanations)
{
    static const struct {
        const char *zone, *want;
    } cases[] = {
        {"why.example TXT %{i} is not allowed", "192.0.2.1 is not allowed"},
        {"why.example TXT \"a\\010b\"", ""},  // no line may end in it
        {"why.example TXT \"a\\200b\"", ""},
        {"why.example TXT %{x}", ""},
        {"why.example TXT one\nwhy.example TXT two", ""},
        {"why.example TXT !timeout", ""},
        {"other.example TXT x", ""},
        {"why.example TXT %{h}", ""}, // expands to what no line may have
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ASKED x = {0};
        AUTO_BUF zone = BUF_LIMIT(4000);

        buf_printf(&zone, "example.org TXT v=spf1 -all exp=why.example\n%s\n", cases[i].zone);
        make_zone(&x, buf_str(&zone));
        x.q.helo = STR("x\r\nInjected: yes");
        CHECK(check(&x) == AUTH_FAIL);
        CHECK_STR(x.r.explanation, str_of(cases[i].want));
    }
}

TEST(spf_explanation_is_cut)
{
    AUTO_ASKED x = {0};
    AUTO_BUF zone = BUF_LIMIT(4000);

    BUF_PUT(&zone, "example.org TXT v=spf1 -all exp=why.example\nwhy.example TXT ");
    for (int i = 0; i < 200; i++)
        BUF_PUT(&zone, "%{s} ");
    make_zone(&x, buf_str(&zone));
    CHECK(check(&x) == AUTH_FAIL);
    CHECK(x.r.explanation.n <= SPF_MAX_EXPLANATION && x.r.explanation.n > SPF_MAX_EXPLANATION - 100);
}

// The most questions that one domain can make us ask.
TEST(spf_questions_are_bounded)
{
    AUTO_ASKED x = {0};
    AUTO_BUF zone = BUF_LIMIT(100000);

    BUF_PUT(&zone, "example.org TXT v=spf1 ptr:other.example");
    for (int i = 0; i < 8; i++)
        buf_printf(&zone, " mx:m%d.example", i);
    BUF_PUT(&zone, " redirect=%{p}.last.example\n"
                   "unknown.last.example TXT v=spf1 -all exp=%{p}.why.example\n");
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 10; k++)
            buf_printf(&zone, "m%d.example MX 1 h%d-%d.example\nh%d-%d.example A 192.0.2.77\n", i, i, k, i, k);
    for (int k = 0; k < 20; k++)
        buf_printf(&zone, "1.2.0.192.in-addr.arpa PTR p%d.example\n", k);
    make_zone(&x, buf_str(&zone));
    CHECK(check(&x) == AUTH_PERMERROR); // %{p} is the eleventh
    CHECK_STR(x.r.why, STR("more than 10 terms that need the DNS"));
    CHECK(x.zone.n_lookups == 1 + 11 + 8 * 11);
}

TEST(spf_loops_end)
{
    static const char *const records[] = {
        "v=spf1 include:example.org", "v=spf1 redirect=example.org",
        "v=spf1 include:b.example.org redirect=example.org", "v=spf1 -include:%{d} ?all",
    };

    for (size_t i = 0; i < COUNT(records); i++) {
        AUTO_ASKED x = {0};
        AUTO_BUF zone = BUF_LIMIT(4000);

        buf_printf(&zone, "example.org TXT %s\nb.example.org TXT v=spf1 include:example.org\n", records[i]);
        make_zone(&x, buf_str(&zone));
        CHECK_CASE(check(&x) == AUTH_PERMERROR, i);
        CHECK_CASE(x.zone.n_lookups <= 12, i);
    }
}

TEST(spf_long_record)
{
    AUTO_ASKED x = {0};
    AUTO_BUF zone = BUF_LIMIT(100000);

    BUF_PUT(&zone, "example.org TXT v=spf1");
    for (int i = 0; i < SPF_MAX_TERMS - 1; i++)
        buf_printf(&zone, " ip4:10.%d.%d.0/24", i / 256, i % 256);
    make_zone(&x, buf_str(&zone));
    CHECK(check(&x) == AUTH_NEUTRAL);
    BUF_PUT(&zone, " a a -all");
    arena_fini(&x.a);
    make_zone(&x, buf_str(&zone));
    CHECK(check(&x) == AUTH_PERMERROR);
}

TEST(spf_received_field)
{
    AUTO_ASKED x = {0};
    AUTO_BUF out = BUF_LIMIT(10000);

    make_zone(&x, STR("example.org TXT v=spf1 ip4:192.0.2.0/24 -all\n"
                      "bad.example TXT v=spf1 a:this-is-a-term-that-is-longer-than-what-fits-in-a-problem-field..\n"));
    CHECK(check(&x) == AUTH_PASS);
    spf_put_received(&out, &x.q, &x.r);
    CHECK_STR(buf_str(&out), STR("Received-SPF: pass (without dnssec)\r\n"
                                 "\tclient-ip=192.0.2.1;\r\n"
                                 "\tenvelope-from=\"user@example.org\";\r\n"
                                 "\thelo=mail.example.net;\r\n"
                                 "\tmechanism=\"ip4:192.0.2.0/24\";\r\n"
                                 "\treceiver=mx.example.com;\r\n"
                                 "\tidentity=mailfrom\r\n"));
    buf_reset(&out);
    x.q.domain = STR("bad.example");
    x.q.local_part = STR("a\"\\b\r\n.c\xc3\xbc");
    x.q.helo = STR("\0x\r\n y");
    CHECK(check(&x) == AUTH_PERMERROR);
    spf_put_received(&out, &x.q, &x.r);
    CHECK_STR(buf_str(&out),
              STR("Received-SPF: permerror (without dnssec)\r\n"
                  "\tclient-ip=192.0.2.1;\r\n"
                  "\tenvelope-from=\"a\\\"\\\\b?\?.c\xc3\xbc@bad.example\";\r\n"
                  "\thelo=\"?x?? y\";\r\n"
                  "\tproblem=\"record of bad.example: term \\\"a:this-is-a-term-that-is-longer-than-w\";\r\n"
                  "\treceiver=mx.example.com;\r\n"
                  "\tidentity=mailfrom\r\n"));
    buf_reset(&out);
    x.q.domain = STR("");
    x.q.local_part = STR("");
    CHECK(check(&x) == AUTH_NONE);
    spf_put_received(&out, &x.q, &x.r);
    CHECK(str_find_str(buf_str(&out), STR("\tenvelope-from=\"\";\r\n")) != STR_NONE);
    CHECK(str_ends(buf_str(&out), STR("\tidentity=helo\r\n")));
}

/* --- questions begun early --- */

struct early {
    struct dns_zone zone;
    struct buf asked; // "TXT name\n"
    unsigned n;
};

static void early_lookup(void *ctx, struct arena *a, struct str name, enum dns_type type,
                         struct dns_answer *out)
{
    struct early *x = ctx;
    struct dns dns = dns_zone_dns(&x->zone);

    dns.lookup(dns.ctx, a, name, type, out);
}

static void early_prefetch(void *ctx, struct str name, enum dns_type type)
{
    struct early *x = ctx;

    buf_printf(&x->asked, "%s %.*s\n", dns_type_name(type), STR_FMT(name));
    x->n++;
}

TEST(spf_begins_questions_early)
{
    AUTO_ASKED x = {0};
    AUTO_BUF loop = BUF_LIMIT(10000);
    struct early early = {.asked = BUF_LIMIT(10000)};

    make_zone(&x, STR("example.org TXT v=spf1 include:a.example a mx:b.example a:c.example include:%{d}.x.example "
                      "exists:d.example include:e.example ip4:192.0.2.1 -all a:after-all.example\n"
                      "a.example TXT v=spf1 -all\n"
                      "example.org A 192.0.2.99\n"
                      "b.example MX 1 m1.example\n"
                      "b.example MX 1 m2.example\n"
                      "m1.example A 192.0.2.99\n"
                      "m2.example A 192.0.2.1\n"));
    early.zone = x.zone;
    x.dns = (struct dns){.ctx = &early, .lookup = early_lookup, .prefetch = early_prefetch};
    spf_prefetch(&x.dns, &x.q, SPF_MAILFROM);
    CHECK_STR(buf_str(&early.asked), STR("TXT example.org\n"));
    buf_reset(&early.asked);
    CHECK(check(&x) == AUTH_PASS);
    CHECK_STR(buf_str(&early.asked), STR("MX b.example\nA c.example\nA d.example\nTXT e.example\nA m2.example\n"));
    arena_fini(&x.a);
    // A record does not make us begin more than that, whatever it names.
    BUF_PUT(&loop, "example.org TXT v=spf1 include:example.org");
    for (int i = 0; i < 100; i++)
        buf_printf(&loop, " a:h%d.example", i);
    make_zone(&x, buf_str(&loop));
    early.zone = x.zone;
    early.n = 0;
    x.dns = (struct dns){.ctx = &early, .lookup = early_lookup, .prefetch = early_prefetch};
    CHECK(check(&x) == AUTH_PERMERROR && early.n == 20);
    buf_fini(&early.asked);
}
