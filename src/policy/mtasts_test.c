#include "base/test.h"
#include "policy/dns_zone.h"
#include "policy/mtasts.h"

TEST(mtasts_records)
{
    static const struct {
        const char *in;
        const char *id; // NULL: malformed
    } cases[] = {
        {"v=STSv1; id=20160831085700Z;", "20160831085700Z"},
        {"v=STSv1; id=20160831085700Z", "20160831085700Z"},
        {"v=STSv1;id=a", "a"},
        {"v=STSv1 \t;\tid=a ; ", "a"},
        {"v=STSv1; x=y; id=a; other_one.x-y=!\"#", "a"},
        {"v=STSv1; id=a; id=b;", "a"},
        {"v=STSv1; id=12345678901234567890123456789012;", "12345678901234567890123456789012"},
        {"v=STSv1; id=123456789012345678901234567890123;", NULL},
        {"", NULL},
        {"v=STSv1", NULL},
        {"v=STSv1;", NULL},
        {"v=STSv1; id=;", NULL},
        {"v=STSv1; id=a-b;", NULL},
        {"v=STSv1; id = a;", NULL},
        {"v=STSv1; ID=a;", NULL},
        {"v=STSv1; id=a;;", NULL},
        {"v=STSv1;; id=a", NULL},
        {"v=STSv1; id=a; x", NULL},
        {"v=STSv1; id=a; x=", NULL},
        {"v=STSv1; id=a; x=a=b", NULL},
        {"v=STSv1; id=a; -x=a", NULL},
        {"v=STSv1; id=a; x=\xc3\xa4", NULL},
        {"v=stsv1; id=a", NULL},
        {"v=STSv2; id=a", NULL},
        {"id=a; v=STSv1;", NULL},
        {" v=STSv1; id=a", NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        struct mtasts_record r;
        struct err e = {0};

        CHECK_CASE(mtasts_record_parse(in.str, &r, &e) == (cases[i].id != NULL), i);
        if (cases[i].id)
            CHECK_STR(r.id, str_of(cases[i].id));
        else
            CHECK_CASE(e.kind == ERR_SYNTAX, i);
    }
}

TEST(mtasts_policies)
{
    static const struct {
        const char *in;
        const char *out; // written again; NULL: malformed
    } cases[] = {
        {"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\n"
         "max_age: 604800\r\n",
         "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\n"
         "max_age: 604800\r\n"},
        // Line feeds alone, other order, no end of the last line, blanks, fields unknown to us.
        {"max_age:1\nmx:\t MX.Example.COM \t\nmode: testing\nx: \xc3\xa4 y:z\nversion:STSv1",
         "version: STSv1\r\nmode: testing\r\nmx: mx.example.com\r\nmax_age: 1\r\n"},
        {"version: STSv1\nmode: none\nmax_age: 0\n",
         "version: STSv1\r\nmode: none\r\nmax_age: 0\r\n"},
        {"version: STSv1\nmode: enforce\nmode: none\nmx: a.b\nmax_age: 5\nmax_age: x\n"
         "version: 2\n",
         "version: STSv1\r\nmode: enforce\r\nmx: a.b\r\nmax_age: 5\r\n"},
        {"version: STSv1\nmode: enforce\nmx: a.b.\nmax_age: 9999999999\n\n",
         "version: STSv1\r\nmode: enforce\r\nmx: a.b\r\nmax_age: 31557600\r\n"},
        {"", NULL},
        {"version: STSv1\nmode: enforce\nmax_age: 5\n", NULL},
        {"version: STSv1\nmode: enforce\nmx: a.b\n", NULL},
        {"version: STSv1\nmx: a.b\nmax_age: 5\n", NULL},
        {"mode: enforce\nmx: a.b\nmax_age: 5\n", NULL},
        {"version: STSv2\nmode: enforce\nmx: a.b\nmax_age: 5\n", NULL},
        {"version: STSv1\nmode: Enforce\nmx: a.b\nmax_age: 5\n", NULL},
        {"Version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 5\n", NULL},
        {"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 12345678901\n", NULL},
        {"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: -5\n", NULL},
        {"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 5s\n", NULL},
        {"version: STSv1\nmode: enforce\nmx: a.b\nmax_age:\n", NULL},
        {"version: STSv1\nmode: enforce\nmx: *\nmax_age: 5\n", NULL},
        {"version: STSv1\nmode: enforce\nmx: *.*.b\nmax_age: 5\n", NULL},
        {"version: STSv1\nmode: enforce\nmx: a*.b\nmax_age: 5\n", NULL},
        {"version: STSv1\nmode: enforce\nmx: .b\nmax_age: 5\n", NULL},
        {"version: STSv1\nmode: enforce\nmx: a b\nmax_age: 5\n", NULL},
        {"version: STSv1\nmode: enforce\nmx: b\xc3\xbc" "cher.de\nmax_age: 5\n", NULL},
        {"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 5\nx: \xc3\n", NULL},
        {"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 5\nx: a\x01\n", NULL},
        {"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 5\nx\n", NULL},
        {"version : STSv1\nmode: enforce\nmx: a.b\nmax_age: 5\n", NULL},
        {"version: STSv1\rmode: enforce\rmx: a.b\rmax_age: 5\r", NULL},
        {"<html>\nversion: STSv1\nmode: enforce\nmx: a.b\nmax_age: 5\n", NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF out = BUF_LIMIT(1 << 20);
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        struct mtasts_policy p;
        struct err e = {0};

        CHECK_CASE(mtasts_policy_parse(&a, in.str, &p, &e) == (cases[i].out != NULL), i);
        CHECK_CASE(cases[i].out || e.kind == ERR_SYNTAX, i);
        if (!cases[i].out)
            continue;
        mtasts_policy_put(&out, &p);
        CHECK_STR(buf_str(&out), str_of(cases[i].out));
    }
}

TEST(mtasts_patterns_as_one_text)
{
    static const struct {
        const char *text;
        bool is_ok;
        size_t n;
    } cases[] = {
        {"", true, 0},     {"a.b", true, 1},  {"a.b *.c.d", true, 2}, {"a.b ", false, 0},
        {" a.b", false, 0}, {"a  b", false, 0}, {"*", false, 0},      {"a.b\n", false, 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF out = BUF_LIMIT(1000);
        AUTO_EXACT in = exact_copy(str_of(cases[i].text));
        struct mtasts_policy p = {.mode = MTASTS_ENFORCE};
        struct err e = {0};

        CHECK_CASE(mtasts_mx_parse(&a, in.str, &p, &e) == cases[i].is_ok, i);
        if (!cases[i].is_ok)
            continue;
        CHECK_CASE(p.n == cases[i].n, i);
        mtasts_mx_put(&out, &p);
        CHECK_STR(buf_str(&out), in.str);
    }
}

TEST(mtasts_limits)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_BUF text = BUF_LIMIT(1 << 20);
    struct mtasts_policy p;
    struct err e = {0};

    BUF_PUT(&text, "version: STSv1\nmode: enforce\nmax_age: 5\n");
    for (int i = 0; i < MTASTS_MAX_MX; i++)
        BUF_PUT(&text, "mx: a.b\n");
    CHECK(mtasts_policy_parse(&a, buf_str(&text), &p, &e) && p.n == MTASTS_MAX_MX);
    BUF_PUT(&text, "mx: a.b\n");
    CHECK(!mtasts_policy_parse(&a, buf_str(&text), &p, &e) && e.kind == ERR_LIMIT);

    buf_reset(&text);
    BUF_PUT(&text, "version: STSv1\nmode: enforce\nmax_age: 5\nmx: a.b\n");
    while (text.n < MTASTS_MAX_POLICY)
        BUF_PUT(&text, "\n");
    CHECK(mtasts_policy_parse(&a, buf_str(&text), &p, &e));
    BUF_PUT(&text, "\n");
    CHECK(!mtasts_policy_parse(&a, buf_str(&text), &p, &e) && e.kind == ERR_LIMIT);
}

TEST(mtasts_matching)
{
    static const struct {
        const char *host;
        bool is_allowed;
    } cases[] = {
        {"mail.example.com", true},     {"MAIL.example.COM.", true}, {"a.example.net", true},
        {"A.Example.Net", true},        {"example.net", false},      {"a.b.example.net", false},
        {".example.net", false},        {"aexample.net", false},     {"mail.example.com.x", false},
        {"x.mail.example.com", false},  {"", false},                 {".", false},
        {"*.example.net", true}, // no host has that name
    };
    static struct str mx[] = {STR_("mail.example.com"), STR_("*.example.net")};
    const struct mtasts_policy p = {.mode = MTASTS_ENFORCE, .mx = mx, .n = COUNT(mx)};

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT host = exact_copy(str_of(cases[i].host));

        CHECK_CASE(mtasts_allows(&p, host.str) == cases[i].is_allowed, i);
    }
}

TEST(mtasts_domains)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct str domain;

    CHECK(mtasts_domain_of(&a, STR("B\xc3\xbc" "cher.example"), &domain));
    CHECK_STR(domain, STR("xn--bcher-kva.example"));
    CHECK(!mtasts_domain_of(&a, STR("[192.0.2.1]"), &domain));
    CHECK(!mtasts_domain_of(&a, STR("a b"), &domain));
}

TEST(mtasts_lookup)
{
    static const char zone_text[] = "_mta-sts.one.example TXT v=STSv1; id=1;\n"
                                    "_mta-sts.one.example TXT something else\n"
                                    "_mta-sts.two.example TXT v=STSv1; id=1;\n"
                                    "_mta-sts.two.example TXT v=STSv1; id=2;\n"
                                    "_mta-sts.bad.example TXT v=STSv1; id=-;\n"
                                    "_mta-sts.alias.example CNAME _mta-sts.one.example\n"
                                    "_mta-sts.joined.example TXT \"v=STSv1; i\" \"d=12;\"\n"
                                    "_mta-sts.slow.example * !timeout\n"
                                    "_mta-sts.forged.example * !bogus\n";
    static const struct {
        const char *domain, *id;
        enum err_kind kind;
    } cases[] = {
        {"one.example", "1", ERR_NONE},      {"two.example", "", ERR_NOT_FOUND},
        {"none.example", "", ERR_NOT_FOUND}, {"bad.example", "", ERR_SYNTAX},
        {"alias.example", "1", ERR_NONE},    {"joined.example", "12", ERR_NONE},
        {"slow.example", "", ERR_TEMPORARY}, {"forged.example", "", ERR_TEMPORARY},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        struct mtasts_record r;
        struct dns_zone zone;
        struct err e = {0};
        struct str text;
        struct dns dns;
        bool is_secure;

        CHECK(dns_zone_parse(&a, STR(zone_text), &zone, &e));
        dns = dns_zone_dns(&zone);
        CHECK_CASE(mtasts_find(&dns, &a, str_of(cases[i].domain), &r, &text, &is_secure, &e) ==
                       !cases[i].kind,
                   i);
        CHECK_CASE(cases[i].kind == e.kind && !is_secure, i);
        if (!cases[i].kind)
            CHECK_STR(r.id, str_of(cases[i].id));
    }
}
