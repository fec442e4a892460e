#include "base/test.h"
#include "policy/dns_zone.h"
#include "policy/iprev.h"

static const char zone_text[] =
    "1.2.0.192.in-addr.arpa PTR one.example\n"
    "one.example A 192.0.2.1\n"
    "2.2.0.192.in-addr.arpa PTR wrong.example\n"
    "2.2.0.192.in-addr.arpa PTR two.example\n"
    "wrong.example A 192.0.2.99\n"
    "two.example CNAME real.example\n"
    "real.example A 192.0.2.98\n"
    "real.example A 192.0.2.2\n"
    "3.2.0.192.in-addr.arpa PTR wrong.example\n"
    "4.2.0.192.in-addr.arpa * !timeout\n"
    "5.2.0.192.in-addr.arpa PTR slow.example\n"
    "5.2.0.192.in-addr.arpa PTR wrong.example\n"
    "slow.example * !servfail\n"
    "6.2.0.192.in-addr.arpa PTR slow.example\n"
    "6.2.0.192.in-addr.arpa PTR six.example\n"
    "six.example A 192.0.2.6\n"
    "7.2.0.192.in-addr.arpa PTR unknown.example\n"
    "8.2.0.192.in-addr.arpa PTR forged.example\n"
    "forged.example * !bogus\n"
    "$secure yes\n"
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR v6.example\n"
    "v6.example AAAA 2001:db8::1\n";

TEST(iprev_results)
{
    static const struct {
        const char *ip;
        enum auth_result status;
        const char *name;
        size_t n_names;
        bool is_secure;
    } cases[] = {
        {"192.0.2.1", AUTH_PASS, "one.example", 1, false},
        {"::ffff:192.0.2.1", AUTH_PASS, "one.example", 1, false},
        {"192.0.2.2", AUTH_PASS, "two.example", 2, false},
        {"192.0.2.3", AUTH_FAIL, "", 1, false},
        {"192.0.2.4", AUTH_TEMPERROR, "", 0, false},
        {"192.0.2.5", AUTH_TEMPERROR, "", 2, false}, // slow.example may have it
        {"192.0.2.6", AUTH_PASS, "six.example", 2, false},
        {"192.0.2.7", AUTH_FAIL, "", 1, false},
        {"192.0.2.8", AUTH_TEMPERROR, "", 1, false},
        {"192.0.2.9", AUTH_PERMERROR, "", 0, false},
        {"2001:db8::1", AUTH_PASS, "v6.example", 1, true},
        {"2001:db8::2", AUTH_PERMERROR, "", 0, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        struct iprev_result r;
        struct dns_zone zone;
        struct err e = {0};
        struct dns dns;
        struct ip ip;

        CHECK(dns_zone_parse(&a, STR(zone_text), &zone, &e));
        dns = dns_zone_dns(&zone);
        CHECK_CASE(ip_parse(str_of(cases[i].ip), &ip), i);
        iprev_check(&dns, &a, &ip, &r);
        CHECK_CASE(r.status == cases[i].status && r.n_names == cases[i].n_names, i);
        CHECK_CASE(r.is_secure == cases[i].is_secure, i);
        CHECK_CASE((r.why.n > 0) == (r.status == AUTH_TEMPERROR), i);
        CHECK_STR(r.name, str_of(cases[i].name));
    }
}

// A reverse zone is the client's own: it does not decide how much we ask.
TEST(iprev_names_are_bounded)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF text = BUF_LIMIT(100000);
    struct iprev_result r;
    struct dns_zone zone;
    struct err e = {0};
    struct dns dns;
    struct ip ip;

    for (int i = 0; i < 500; i++)
        buf_printf(&text, "1.2.0.192.in-addr.arpa PTR n%d.example\n", i);
    BUF_PUT(&text, "n400.example A 192.0.2.1\n");
    CHECK(dns_zone_parse(&a, buf_str(&text), &zone, &e));
    dns = dns_zone_dns(&zone);
    CHECK(ip_parse(STR("192.0.2.1"), &ip));
    iprev_check(&dns, &a, &ip, &r);
    CHECK(r.status == AUTH_FAIL && r.n_names == IPREV_MAX_NAMES);
    CHECK(zone.n_lookups == 1 + IPREV_MAX_NAMES);
}
