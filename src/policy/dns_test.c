#include "base/ip.h"
#include "base/test.h"
#include "policy/dns_wire.h"
#include "policy/dns_zone.h"

#include <string.h>

TEST(dns_names)
{
    static const char sixty_three[] =
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    static const struct {
        const char *name;
        bool is_ok;
    } cases[] = {
        {"", false},        {".", true},           {"a", true},           {"a.b", true},
        {".a", false},      {"a.", false},         {"a..b", false},       {"_dmarc.example", true},
        {"*.a b.c", true},  {sixty_three, true},
    };
    AUTO_BUF name = BUF_LIMIT(1000);

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i].name));

        CHECK_CASE(dns_name_is_ok(in.str) == cases[i].is_ok, i);
    }
    buf_put(&name, STR("a"));
    buf_put(&name, str_of(sixty_three));
    CHECK(!dns_name_is_ok(buf_str(&name))); // a label of 64
    buf_reset(&name);
    for (int i = 0; i < 3; i++) {
        buf_put(&name, str_of(sixty_three));
        buf_put_char(&name, '.');
    }
    buf_put(&name, str_sub(str_of(sixty_three), 0, 61));
    CHECK(name.n == DNS_MAX_NAME && dns_name_is_ok(buf_str(&name)));
    buf_put_char(&name, 'a');
    CHECK(!dns_name_is_ok(buf_str(&name)));
}

TEST(dns_names_on_the_wire)
{
    static const struct {
        const char *name;
        struct str wire;
    } cases[] = {
        {".", STR_("\0")},
        {"a", STR_("\001a\0")},
        {"mx.example", STR_("\002mx\007example\0")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF wire = BUF_LIMIT(1000);
        AUTO_ARENA a = ARENA_LIMIT(1 << 16);
        struct dns_record got;
        struct err e = {0};

        dns_name_put_wire(&wire, str_of(cases[i].name));
        CHECK_STR(buf_str(&wire), cases[i].wire);
        CHECK_CASE(dns_rdata_parse(&a, DNS_PTR, buf_str(&wire), &got, &e), i);
        CHECK_STR(got.name, str_of(cases[i].name));
    }
}

TEST(dns_names_escaped)
{
    AUTO_BUF out = BUF_LIMIT(1000);

    dns_name_put_escaped(&out, STR("a\\.b c\n-_.\xff"));
    CHECK_STR(buf_str(&out), STR("a\\092.b\\032c\\010-_.\\255"));
}

TEST(dns_records_of_each_type)
{
    static const struct {
        enum dns_type type;
        struct str rdata;
        bool is_ok;
        struct dns_record want;
    } cases[] = {
        {DNS_A, STR_("\300\0\2\1"), true, {.data = STR_("\300\0\2\1")}},
        {DNS_A, STR_("\300\0\2"), false, {{0}}},
        {DNS_A, STR_("\300\0\2\1\1"), false, {{0}}},
        {DNS_AAAA, STR_("0123456789abcdef"), true, {.data = STR_("0123456789abcdef")}},
        {DNS_AAAA, STR_("0123"), false, {{0}}},
        {DNS_MX, STR_("\0\012\002MX\007example\0"), true, {.name = STR_("mx.example"), .priority = 10}},
        {DNS_MX, STR_("\0\0\0"), true, {.name = STR_(".")}},
        {DNS_MX, STR_("\0"), false, {{0}}},
        {DNS_MX, STR_("\0\012\002mx\300\014"), false, {{0}}}, // compressed
        {DNS_MX, STR_("\0\012\002mx\0x"), false, {{0}}},      // something after the name
        {DNS_PTR, STR_("\003a.b\001\n\0"), true, {.name = STR_("a\\046b.\\010")}},
        {DNS_PTR, STR_("\077short\0"), false, {{0}}},
        {DNS_PTR, STR_("\001a"), false, {{0}}}, // no end
        {DNS_CNAME, STR_("\001a\0"), true, {.name = STR_("a")}},
        {DNS_NS, STR_(""), false, {{0}}},
        {DNS_TXT, STR_("\003v=s\0\003pf1"), true, {.data = STR_("v=spf1")}},
        {DNS_TXT, STR_("\0"), true, {.data = STR_("")}},
        {DNS_TXT, STR_(""), false, {{0}}},
        {DNS_TXT, STR_("\005four"), false, {{0}}},
        {DNS_SRV, STR_("\0\1\0\2\1\273\001h\0"), true,
         {.name = STR_("h"), .priority = 1, .weight = 2, .port = 443}},
        {DNS_TLSA, STR_("\3\1\1\1\2"), true,
         {.data = STR_("\1\2"), .usage = 3, .selector = 1, .matching = 1}},
        {DNS_TLSA, STR_("\3\1"), false, {{0}}},
        {DNS_CAA, STR_("\0\5issueca.example"), true, {.name = STR_("issue"), .data = STR_("ca.example")}},
        {DNS_CAA, STR_("\0\6issue"), false, {{0}}},
        {DNS_CAA, STR_("\0\0"), false, {{0}}},
        {(enum dns_type)99, STR_("x"), false, {{0}}},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_EXACT in = exact_copy(cases[i].rdata);
        struct dns_record got;
        struct err e = {0};

        CHECK_CASE(dns_rdata_parse(&a, cases[i].type, in.str, &got, &e) == cases[i].is_ok, i);
        CHECK_CASE(cases[i].is_ok || e.kind == ERR_SYNTAX, i);
        if (!cases[i].is_ok)
            continue;
        CHECK_STR(got.name, cases[i].want.name);
        CHECK_STR(got.data, cases[i].want.data);
        CHECK_CASE(got.priority == cases[i].want.priority && got.weight == cases[i].want.weight &&
                       got.port == cases[i].want.port && got.usage == cases[i].want.usage &&
                       got.selector == cases[i].want.selector &&
                       got.matching == cases[i].want.matching, i);
        for (size_t n = 0; n < in.str.n; n++) { // no truncation reads past its end
            AUTO_EXACT cut = exact_copy(str_sub(in.str, 0, n));

            (void)!dns_rdata_parse(&a, cases[i].type, cut.str, &got, &e);
        }
    }
}

TEST(dns_name_of_many_labels)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF wire = BUF_LIMIT(1000);
    struct dns_record got;
    struct err e = {0};

    for (int i = 0; i < 127; i++) // 254 octets, with the root 255: the most there can be
        buf_put(&wire, STR("\001\377"));
    buf_put_char(&wire, 0);
    CHECK(dns_rdata_parse(&a, DNS_PTR, buf_str(&wire), &got, &e));
    CHECK(got.name.n == 127 * 5 - 1);
    buf_reset(&wire);
    for (int i = 0; i < 128; i++)
        buf_put(&wire, STR("\001a"));
    buf_put_char(&wire, 0);
    CHECK(!dns_rdata_parse(&a, DNS_PTR, buf_str(&wire), &got, &e));
}

TEST(dns_lists_of_records)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_BUF list = BUF_LIMIT(DNS_MAX_ANSWER);
    AUTO_BUF tight = BUF_LIMIT(5);
    struct dns_answer answer = {0};
    struct err e = {0};

    CHECK(dns_records_parse(&a, DNS_A, STR(""), &answer, &e) && answer.n == 0);
    CHECK(dns_records_put(&list, STR("\1\2\3\4")) && dns_records_put(&list, STR("\5\6\7\10")));
    CHECK(dns_records_parse(&a, DNS_A, buf_str(&list), &answer, &e));
    CHECK(answer.n == 2);
    CHECK_STR(answer.records[1].data, STR("\5\6\7\10"));
    for (size_t n = 1; n < list.n; n++) {
        AUTO_EXACT cut = exact_copy(str_sub(buf_str(&list), 0, n));

        CHECK_CASE(n == 6 || !dns_records_parse(&a, DNS_A, cut.str, &answer, &e), n);
    }
    CHECK(!dns_records_put(&tight, STR("1234")) && tight.n == 0 && !tight.full);
    while (list.n < (DNS_MAX_RECORDS + 1) * 6)
        CHECK(dns_records_put(&list, STR("\1\2\3\4")));
    e = (struct err){0};
    CHECK(!dns_records_parse(&a, DNS_A, buf_str(&list), &answer, &e) && e.kind == ERR_LIMIT);
}

static const char zone_text[] =
    "# a comment, and an empty line\n"
    "\n"
    "Example.com.      MX    10 mx.example.com\n"
    "example.com       MX    20 backup.example.com.\n"
    "example.com       TXT   v=spf1 mx -all\n"
    "example.com       TXT   \"two \" \"pieces \\\"\\010\"\n"
    "www.example.com   CNAME EXAMPLE.com\n"
    "loop.example.com  CNAME pool.example.com\n"
    "pool.example.com  CNAME loop.example.com\n"
    "a.deep.example.com A    192.0.2.1\r\n"
    "slow.example.com  *     !timeout\n"
    "half.example.com  A     192.0.2.2\n"
    "half.example.com  TXT   !servfail\n"
    "none.example.com  MX    !nxdomain\n"
    "$secure yes\n"
    "_25._tcp.mx.example.com TLSA 3 1 1 00fF\n"
    "six.example.com   AAAA  2001:db8::1\n"
    "_s._tcp.example.com SRV 1 2 443 six.example.com\n"
    "nothing.example.com TLSA !nodata\n"
    "forged.example.com * !bogus\n"
    "odd\\032name.\\255.example.com A 192.0.2.3\n"
    "to-secure.example.com CNAME six.example.com\n"
    "$secure no\n"
    "to-insecure.example.com CNAME six.example.com\n";

TEST(dns_scripted_zone)
{
    static const struct {
        const char *name, *type;
        enum dns_status status;
        size_t n;
        bool is_secure;
    } cases[] = {
        {"example.com", "MX", DNS_OK, 2, false},
        {"EXAMPLE.com.", "txt", DNS_OK, 2, false},
        {"www.example.com", "MX", DNS_OK, 2, false},
        {"www.example.com", "CNAME", DNS_OK, 1, false},
        {"loop.example.com", "A", DNS_TEMPORARY, 0, false},
        {"deep.example.com", "A", DNS_NODATA, 0, false}, // only a name below it
        {"example.com", "AAAA", DNS_NODATA, 0, false},
        {"xample.com", "A", DNS_NXDOMAIN, 0, false},
        {"slow.example.com", "PTR", DNS_TEMPORARY, 0, false},
        {"half.example.com", "A", DNS_OK, 1, false},
        {"half.example.com", "TXT", DNS_TEMPORARY, 0, false},
        {"none.example.com", "MX", DNS_NXDOMAIN, 0, false},
        {"_25._tcp.mx.example.com", "TLSA", DNS_OK, 1, true},
        {"_s._tcp.example.com", "SRV", DNS_OK, 1, true},
        {"nothing.example.com", "TLSA", DNS_NODATA, 0, true},
        {"forged.example.com", "A", DNS_BOGUS, 0, false},
        {"odd name.\xff.example.com", "A", DNS_OK, 1, true},
        {"to-secure.example.com", "AAAA", DNS_OK, 1, true},
        {"to-insecure.example.com", "AAAA", DNS_OK, 1, false},
        {"a..b", "A", DNS_NXDOMAIN, 0, false},
        {"", "A", DNS_NXDOMAIN, 0, false},
    };
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct dns_zone zone;
    struct dns_answer got;
    struct err e = {0};
    struct dns dns;

    CHECK(dns_zone_parse(&a, STR(zone_text), &zone, &e));
    dns = dns_zone_dns(&zone);
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum dns_type type;

        CHECK_CASE(dns_type_parse(str_of(cases[i].type), &type), i);
        dns_lookup(&dns, &a, str_of(cases[i].name), type, &got);
        CHECK_CASE(got.status == cases[i].status, i);
        CHECK_CASE(got.n == cases[i].n && got.is_secure == cases[i].is_secure, i);
        CHECK_CASE((got.why.n > 0) == (got.status >= DNS_TEMPORARY), i);
    }
    CHECK(zone.n_lookups == COUNT(cases) - 2); // two names that nobody has to be asked about
    dns_lookup(&dns, &a, STR("www.example.com"), DNS_MX, &got);
    CHECK_STR(got.name, STR("example.com"));
    CHECK_STR(got.records[1].name, STR("backup.example.com"));
    CHECK(got.records[1].priority == 20);
    dns_lookup(&dns, &a, STR("example.com"), DNS_TXT, &got);
    CHECK_STR(got.records[1].data, STR("two pieces \"\n"));
    dns_lookup(&dns, &a, STR("_25._tcp.mx.example.com"), DNS_TLSA, &got);
    CHECK(got.records[0].usage == 3);
    CHECK_STR(got.records[0].data, STR("\0\377"));
}

TEST(dns_zone_lines_that_are_wrong)
{
    static const char *const cases[] = {
        "example.com", "example.com A", "example.com A 1.2.3", "example.com AAAA 1.2.3.4",
        "a..b A 1.2.3.4", "example.com MX mx", "example.com MX 65536 mx", "example.com HINFO x",
        "example.com A 1.2.3.4 5.6.7.8", "example.com * 1.2.3.4", "example.com A !never",
        "example.com TXT \"open", "example.com TXT \"a\\300\"", "example.com TLSA 3 1 1 0",
        "example.com TLSA 3 1 1 xx", "a\\25 A 1.2.3.4", "a\\256 A 1.2.3.4", "a\\b12 A 1.2.3.4",
    };
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct dns_zone zone;

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i]));
        struct err e = {0};

        CHECK_CASE(!dns_zone_parse(&a, in.str, &zone, &e) && e.kind == ERR_SYNTAX, i);
    }
}
