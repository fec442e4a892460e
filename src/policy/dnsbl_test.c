#include "base/test.h"
#include "policy/dns_zone.h"
#include "policy/dnsbl.h"

static const char zone_text[] =
    "2.0.0.127.bl.example A 127.0.0.2\n"
    "1.2.0.192.bl.example A 127.0.0.2\n"
    "1.2.0.192.bl.example A 127.0.0.4\n"
    "1.2.0.192.bl.example TXT \"see \" \"https://bl.example\"\n"
    "1.2.0.192.bl.example TXT \"a\\013\\010b\\255\"\n"
    "2.2.0.192.bl.example A 127.255.255.254\n"
    "2.2.0.192.bl.example TXT \"an error\"\n"
    "3.2.0.192.bl.example A 127.0.0.2\n"
    "3.2.0.192.bl.example A 127.255.255.255\n"
    "4.2.0.192.bl.example A 203.0.113.5\n"
    "5.2.0.192.bl.example * !timeout\n"
    "6.2.0.192.bl.example A 127.0.0.3\n"
    "6.2.0.192.bl.example TXT !servfail\n"
    "7.2.0.192.bl.example A 127.0.0.255\n"
    "8.2.0.192.bl.example A 127.255.255.252\n"
    "9.2.0.192.bl.example A 127.255.255.1\n"
    "10.2.0.192.bl.example * !bogus\n"
    "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.six.example A 127.0.0.2\n"
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.six.example A 127.0.0.9\n"
    "1.0.0.127.world.example A 127.0.0.2\n"
    "2.0.0.127.world.example A 127.0.0.2\n"
    "2.0.0.127.public.example A 127.255.255.254\n"
    "2.0.0.127.slow.example A !servfail\n"
    "1.0.0.127.parked.example A 203.0.113.5\n";

struct lists {
    struct arena a;
    struct dns_zone zone;
    struct dns dns;
};

static void lists_fini(struct lists *x)
{
    arena_fini(&x->a);
}
#define AUTO_LISTS CLEANUP(lists_fini) struct lists

static void make_lists(struct lists *x)
{
    struct err e = {0};

    x->a = (struct arena)ARENA_LIMIT(1 << 20);
    CHECK(dns_zone_parse(&x->a, STR(zone_text), &x->zone, &e));
    x->dns = dns_zone_dns(&x->zone);
}

TEST(dnsbl_listings)
{
    static const struct {
        const char *zone, *ip;
        enum dnsbl_status status;
        size_t n_codes;
        const char *explanation, *why;
    } cases[] = {
        {"bl.example", "192.0.2.1", DNSBL_LISTED, 2, "see https://bl.example; a??b?", ""},
        {"bl.example.", "::ffff:192.0.2.1", DNSBL_LISTED, 2,
         "see https://bl.example; a??b?", ""},
        {"bl.example", "192.0.2.2", DNSBL_ERROR, 0, "",
         "bl.example answers 127.255.255.254, asked through a public resolver"},
        {"bl.example", "192.0.2.3", DNSBL_ERROR, 0, "",
         "bl.example answers 127.255.255.255, asked too often"},
        {"bl.example", "192.0.2.4", DNSBL_ERROR, 0, "",
         "bl.example answers 203.0.113.5, which no list answers: its domain may have another owner "
         "(RFC 5782 2.1)"},
        {"bl.example", "192.0.2.5", DNSBL_ERROR, 0, "",
         "asking bl.example: no answer in time"},
        {"bl.example", "192.0.2.6", DNSBL_LISTED, 1, "", ""},
        {"bl.example", "192.0.2.8", DNSBL_ERROR, 0, "",
         "bl.example answers 127.255.255.252, the zone is misspelt"},
        {"bl.example", "192.0.2.9", DNSBL_ERROR, 0, "",
         "bl.example answers 127.255.255.1, an error of the list"},
        {"bl.example", "192.0.2.10", DNSBL_ERROR, 0, "",
         "asking bl.example: the signatures are wrong"},
        {"bl.example", "192.0.2.7", DNSBL_LISTED, 1, "", ""},
        {"bl.example", "192.0.2.77", DNSBL_NOT_LISTED, 0, "", ""},
        {"six.example", "2001:db8::1", DNSBL_LISTED, 1, "", ""},
        {"six.example", "2001:db8::2", DNSBL_NOT_LISTED, 0, "", ""},
    };
    AUTO_LISTS x = {0};

    make_lists(&x);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct dnsbl_result r;
        struct ip ip;

        CHECK_CASE(ip_parse(str_of(cases[i].ip), &ip), i);
        dnsbl_check(&x.dns, &x.a, str_of(cases[i].zone), &ip, &r);
        CHECK_CASE(r.status == cases[i].status && r.n_codes == cases[i].n_codes, i);
        CHECK_STR(r.explanation, str_of(cases[i].explanation));
        CHECK_STR(r.why, str_of(cases[i].why));
    }
}

TEST(dnsbl_health)
{
    static const struct {
        const char *zone;
        uint8_t family;
        enum dnsbl_health health;
        const char *why;
    } cases[] = {
        {"bl.example", 4, DNSBL_HEALTHY, ""},
        {"bl.example", 6, DNSBL_UNHEALTHY, "the test address ::ffff:7f00:2 is not listed and must be"},
        {"six.example", 6, DNSBL_HEALTHY, ""},
        {"six.example", 4, DNSBL_UNHEALTHY, "the test address 127.0.0.2 is not listed and must be"},
        {"world.example", 4, DNSBL_UNHEALTHY, "the test address 127.0.0.1 is listed and must not be"},
        {"public.example", 4, DNSBL_UNHEALTHY,
         "public.example answers 127.255.255.254, asked through a public resolver"},
        {"slow.example", 4, DNSBL_HEALTH_UNKNOWN, "asking slow.example: the servers of the name fail"},
        {"parked.example", 4, DNSBL_UNHEALTHY,
         "parked.example answers 203.0.113.5, which no list answers: its domain may have another "
         "owner (RFC 5782 2.1)"},
        {"gone.example", 4, DNSBL_UNHEALTHY, "the test address 127.0.0.2 is not listed and must be"},
    };
    AUTO_LISTS x = {0};

    make_lists(&x);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct str why;

        CHECK_CASE(dnsbl_check_health(&x.dns, &x.a, str_of(cases[i].zone), cases[i].family, &why) ==
                       cases[i].health, i);
        CHECK_STR(why, str_of(cases[i].why));
    }
}

TEST(dnsbl_explanation_is_cut)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF text = BUF_LIMIT(100000);
    struct dnsbl_result r;
    struct dns_zone zone;
    struct err e = {0};
    struct dns dns;
    struct ip ip;

    for (int i = 0; i < 100; i++)
        buf_printf(&text, "1.2.0.192.bl.example A 127.0.0.%d\n1.2.0.192.bl.example TXT reason %d\n", i, i);
    CHECK(dns_zone_parse(&a, buf_str(&text), &zone, &e));
    dns = dns_zone_dns(&zone);
    CHECK(ip_parse(STR("192.0.2.1"), &ip));
    dnsbl_check(&dns, &a, STR("bl.example"), &ip, &r);
    CHECK(r.status == DNSBL_LISTED && r.n_codes == DNSBL_MAX_CODES);
    CHECK(r.explanation.n > 200 && r.explanation.n <= DNSBL_MAX_EXPLANATION);
}
