#include "base/test.h"
#include "policy/dns_zone.h"
#include "policy/mx.h"

static const struct str zone_text = STR_(
    "one.example MX 10 mx.one.example\n"
    "mx.one.example A 192.0.2.1\n"
    "mx.one.example AAAA 2001:db8::1\n"
    "many.example MX 20 c.example\n"
    "many.example MX 10 a.example\n"
    "many.example MX 10 b.example\n"
    "many.example MX 30 a.example\n"
    "null.example MX 0 .\n"
    "half.example MX 0 .\n"
    "half.example MX 10 a.example\n"
    "address.example MX 10 192.0.2.1\n"
    "self.example MX 10 me.example\n"
    "self.example MX 20 b.example\n"
    "backup.example MX 10 a.example\n"
    "backup.example MX 20 me.example\n"
    "backup.example MX 20 c.example\n"
    "backup.example MX 30 b.example\n"
    "bare.example A 192.0.2.2\n"
    "me.example A 192.0.2.9\n"
    "alias.example CNAME one.example\n"
    "alias2.example CNAME bare.example\n"
    "slow.example MX !timeout\n"
    "forged.example MX !bogus\n"
    "hostslow.example A !timeout\n"
    "hostslow.example AAAA 2001:db8::2\n"
    "$secure yes\n"
    "safe.example MX 10 mx.one.example\n");

static void look(struct arena *a, const char *domain, uint64_t random, struct mx_result *out)
{
    static struct dns_zone zone;
    struct err e = {0};
    struct dns dns;

    CHECK(dns_zone_parse(a, zone_text, &zone, &e));
    dns = dns_zone_dns(&zone);
    mx_lookup(&dns, a, str_of(domain), STR("me.example"), random, out);
}

TEST(mx_lookup)
{
    static const struct {
        const char *domain;
        enum mx_status status;
        const char *hosts, *expanded;
    } cases[] = {
        {"one.example", MX_OK, "mx.one.example ", "one.example"},
        {"null.example", MX_NULL, "", "null.example"},
        {"half.example", MX_OK, "a.example ", "half.example"},
        {"address.example", MX_INVALID, "", "address.example"},
        {"self.example", MX_LOOP, "", "self.example"},
        {"me.example", MX_LOOP, "me.example ", "me.example"},
        {"backup.example", MX_OK, "a.example ", "backup.example"},
        {"bare.example", MX_OK, "bare.example ", "bare.example"},
        {"alias.example", MX_OK, "mx.one.example ", "one.example"},
        {"alias2.example", MX_OK, "alias2.example ", "alias2.example"},
        {"slow.example", MX_TEMPORARY, "", "slow.example"},
        {"forged.example", MX_TEMPORARY, "", "forged.example"},
        {"nowhere.example", MX_NONE, "", "nowhere.example"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF hosts = BUF_LIMIT(1000);
        struct mx_result r;

        look(&a, cases[i].domain, i, &r);
        CHECK_CASE(r.status == cases[i].status, i);
        for (size_t k = 0; k < r.n; k++) {
            buf_put(&hosts, r.hosts[k].name);
            BUF_PUT(&hosts, " ");
        }
        CHECK_STR(buf_str(&hosts), str_of(cases[i].hosts));
        CHECK_STR(r.expanded, str_of(cases[i].expanded));
        CHECK_CASE(!r.is_secure, i);
    }
}

TEST(mx_equal_preferences_take_turns)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    unsigned first_is_a = 0;
    struct mx_result r;

    for (uint64_t random = 0; random < 200; random++) {
        look(&a, "many.example", random, &r);
        CHECK(r.status == MX_OK && r.n == 3);
        CHECK_STR(r.hosts[2].name, STR("c.example"));
        first_is_a += str_eq(r.hosts[0].name, STR("a.example"));
    }
    CHECK(first_is_a > 60 && first_is_a < 140);
    look(&a, "safe.example", 0, &r);
    CHECK(r.is_secure);
    look(&a, "forged.example", 0, &r);
    CHECK(r.is_bogus);
}

TEST(mx_addresses_change_families)
{
    static const struct {
        const char *tried; // of mx.one.example: '4' or '6' each
        const char *order;
    } cases[] = {{"", "64"}, {"6", "46"}, {"4", "64"}, {"64", "64"}, {"46", "46"}, {"644", "64"}};
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct dns_zone zone;
    struct mx_addresses r;
    struct err e = {0};
    struct dns dns;

    CHECK(dns_zone_parse(&a, zone_text, &zone, &e));
    dns = dns_zone_dns(&zone);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ip tried[8];
        size_t n = 0;

        for (const char *p = cases[i].tried; *p; p++, n++)
            CHECK(ip_parse(*p == '4' ? STR("192.0.2.1") : STR("2001:db8::1"), &tried[n]));
        mx_addresses(&dns, &a, STR("mx.one.example"), MX_IPV4 | MX_IPV6, tried, n, &r);
        CHECK_CASE(r.n == 2 && r.is_dual && !r.is_temporary, i);
        for (size_t k = 0; k < r.n; k++)
            CHECK_CASE(r.ips[k].family == cases[i].order[k] - '0', i);
    }
    mx_addresses(&dns, &a, STR("mx.one.example"), MX_IPV4, NULL, 0, &r);
    CHECK(r.n == 1 && r.ips[0].family == 4 && !r.is_dual);
    mx_addresses(&dns, &a, STR("hostslow.example"), MX_IPV4 | MX_IPV6, NULL, 0, &r);
    CHECK(r.n == 1 && r.is_temporary);
    mx_addresses(&dns, &a, STR("one.example"), MX_IPV4 | MX_IPV6, NULL, 0, &r);
    CHECK(r.n == 0 && !r.is_temporary && r.why.n);
}
