#include "base/test.h"
#include "policy/dane.h"
#include "policy/dns_zone.h"

#define A32 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define B32 "00000000000000000000000000000000ffffffffffffffffffffffffffffffff"

static const char zone_text[] =
    "_25._tcp.insecure.example TLSA 3 1 1 " A32 "\n"
    "_25._tcp.insecure-tlsa.example TLSA 3 1 1 " A32 "\n"
    "away.insecure.example CNAME elsewhere.example\n"
    "$secure yes\n"
    "_25._tcp.mx.example TLSA 3 1 1 " A32 "\n"
    "_25._tcp.mx.example TLSA 2 0 1 " B32 "\n"
    "_25._tcp.mx.example TLSA 1 0 1 " B32 "\n"
    "_587._tcp.mx.example TLSA 3 1 1 " B32 "\n"
    "none.example A 192.0.2.1\n"
    "_25._tcp.unusable.example TLSA 0 0 1 " A32 "\n"
    "_25._tcp.unusable.example TLSA 3 0 1 00\n"
    "_25._tcp.slow.example * !timeout\n"
    "_25._tcp.forged.example * !bogus\n"
    "_25._tcp.shared.example CNAME tlsa._dane.example\n"
    "tlsa._dane.example TLSA 2 0 1 " B32 "\n"
    "_25._tcp.away.example CNAME _25._tcp.insecure-tlsa.example\n"
    "alias.example CNAME mx.example\n"
    "_25._tcp.alias.example TLSA 3 1 1 " B32 "\n"
    "alias2.example CNAME none.example\n"
    "_25._tcp.alias2.example TLSA 3 1 1 " B32 "\n"
    "alias3.example CNAME slow.example\n"
    "alias4.example CNAME elsewhere.insecure.example\n"
    "_25._tcp.alias4.example TLSA 3 1 1 " B32 "\n"
    "alias5.example * !bogus\n";

static struct dane_result find(struct arena *a, const char *host, const char *expanded,
                               bool is_address_secure, bool is_next_hop_secure, uint16_t port)
{
    struct dane_server server = {
        .next_hop = STR("example.com"),
        .expanded_next_hop = STR("hosted.example"),
        .is_next_hop_secure = is_next_hop_secure,
        .host = str_of(host),
        .expanded_host = str_of(expanded),
        .is_address_secure = is_address_secure,
        .port = port,
    };
    struct dane_result r;
    struct dns_zone zone;
    struct err e = {0};
    struct dns dns;

    CHECK(dns_zone_parse(a, STR(zone_text), &zone, &e));
    dns = dns_zone_dns(&zone);
    dane_find(&dns, a, &server, &r);
    return r;
}

TEST(dane_which_records)
{
    static const struct {
        const char *host, *expanded;
        bool is_address_secure, is_next_hop_secure;
        uint16_t port;
        enum dane_status status;
        const char *base;
        size_t n, n_unusable;
    } cases[] = {
        {"mx.example", "", true, true, 25, DANE_USABLE, "mx.example", 2, 1},
        {"mx.example", "MX.example", true, true, 25, DANE_USABLE, "mx.example", 2, 1},
        {"mx.example", "", true, true, 587, DANE_USABLE, "mx.example", 1, 0},
        {"mx.example", "", true, true, 465, DANE_NONE, "", 0, 0},
        // Whoever forges the MX records or the address has no use of TLSA records.
        {"mx.example", "", true, false, 25, DANE_NONE, "", 0, 0},
        {"mx.example", "", false, true, 25, DANE_NONE, "", 0, 0},
        {"none.example", "", true, true, 25, DANE_NONE, "", 0, 0},
        {"insecure.example", "", true, true, 25, DANE_NONE, "", 0, 0},
        {"unusable.example", "", true, true, 25, DANE_UNUSABLE, "unusable.example", 0, 2},
        {"slow.example", "", true, true, 25, DANE_FAILED, "", 0, 0},
        {"forged.example", "", true, true, 25, DANE_FAILED, "", 0, 0},
        {"slow.example", "", false, true, 25, DANE_NONE, "", 0, 0},
        // CNAMEs of the TLSA name do not change the base, and must all be secure.
        {"shared.example", "", true, true, 25, DANE_USABLE, "shared.example", 1, 0},
        {"away.example", "", true, true, 25, DANE_NONE, "", 0, 0},
        // CNAMEs of the server: the end first, then the beginning.
        {"alias.example", "mx.example", true, true, 25, DANE_USABLE, "mx.example", 2, 1},
        {"alias2.example", "none.example", true, true, 25, DANE_USABLE, "alias2.example", 1, 0},
        {"alias3.example", "slow.example", true, true, 25, DANE_FAILED, "", 0, 0},
        // The end is in an unsigned zone: the beginning only, if that is signed.
        {"alias4.example", "elsewhere.insecure.example", false, true, 25, DANE_USABLE,
         "alias4.example", 1, 0},
        {"away.insecure.example", "elsewhere.example", false, true, 25, DANE_NONE, "", 0, 0},
        {"alias5.example", "elsewhere.example", false, true, 25, DANE_FAILED, "", 0, 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        struct dane_result r = find(&a, cases[i].host, cases[i].expanded,
                                    cases[i].is_address_secure, cases[i].is_next_hop_secure,
                                    cases[i].port);

        CHECK_CASE(r.status == cases[i].status, i);
        CHECK_CASE(r.n == cases[i].n && r.n_unusable == cases[i].n_unusable, i);
        CHECK_CASE((r.status == DANE_FAILED) == (r.why.n > 0), i);
        CHECK_STR(r.base, str_of(cases[i].base));
        CHECK_CASE((r.n_names > 0) == (r.base.n > 0), i);
    }
}

TEST(dane_forged_or_silent)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);

    CHECK(find(&a, "forged.example", "", true, true, 25).is_bogus);
    CHECK(!find(&a, "slow.example", "", true, true, 25).is_bogus);
}

// RFC 7672 3.2.2
TEST(dane_names)
{
    static const char *const want[] = {"mx.example", "alias.example", "example.com",
                                       "hosted.example"};
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct dane_result r = find(&a, "alias.example", "mx.example", true, true, 25);

    CHECK(r.n_names == COUNT(want));
    for (size_t i = 0; i < COUNT(want); i++)
        CHECK_STR(r.names[i], str_of(want[i]));
    r = find(&a, "mx.example", "", true, true, 25);
    CHECK(r.n_names == 3);
    CHECK_STR(r.names[0], STR("mx.example"));
    CHECK_STR(r.names[1], STR("example.com"));
}

TEST(dane_usable_records)
{
    static const char zeros[64];
    static const struct {
        uint8_t usage, selector, matching;
        size_t n;
        bool is_usable;
    } cases[] = {
        {DANE_EE, 1, 1, 32, true},  {DANE_EE, 0, 1, 32, true},  {DANE_TA, 0, 1, 32, true},
        {DANE_TA, 1, 2, 64, true},  {DANE_EE, 1, 2, 64, true},  {DANE_PKIX_TA, 0, 1, 32, false},
        {DANE_PKIX_EE, 1, 1, 32, false}, {4, 1, 1, 32, false},  {255, 1, 1, 32, false},
        {DANE_EE, 2, 1, 32, false}, {DANE_EE, 1, 3, 32, false}, {DANE_EE, 1, 1, 31, false},
        {DANE_EE, 1, 1, 33, false}, {DANE_EE, 1, 1, 0, false},  {DANE_EE, 1, 2, 32, false},
        {DANE_EE, 1, 0, 64, false}, {DANE_TA, 0, 0, 64, false}, {DANE_TA, 0, 0, 0, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT data = exact_copy(str_at(zeros, cases[i].n < 64 ? cases[i].n : 64));
        struct dns_record r = {.usage = cases[i].usage, .selector = cases[i].selector,
                               .matching = cases[i].matching, .data = data.str};

        CHECK_CASE(dane_is_usable(&r) == cases[i].is_usable, i);
    }
}

TEST(dane_words)
{
    AUTO_BUF out = BUF_LIMIT(1000);
    struct dns_record r = {.usage = 3, .selector = 1, .matching = 2, .data = STR("\xff\x01")};
    uint8_t n;

    dane_put_record(&out, &r);
    CHECK_STR(buf_str(&out), STR("DANE-EE SPKI SHA2-512 ff01"));
    buf_reset(&out);
    r.usage = 9;
    dane_put_record(&out, &r);
    CHECK_STR(buf_str(&out), STR("9 SPKI SHA2-512 ff01"));
    CHECK(dane_usage_parse(STR("dane-ta"), &n) && n == 2);
    CHECK(dane_usage_parse(STR("3"), &n) && n == 3);
    CHECK(!dane_usage_parse(STR("4"), &n) && !dane_usage_parse(STR(""), &n));
    CHECK(dane_selector_parse(STR("CERT"), &n) && n == 0);
    CHECK(!dane_selector_parse(STR("2"), &n));
    CHECK(dane_matching_parse(STR("sha2-256"), &n) && n == 1);
    CHECK(!dane_matching_parse(STR("sha256"), &n));
}

// However many records there are, few go to the TLS library.
TEST(dane_records_are_bounded)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_BUF text = BUF_LIMIT(1 << 20);
    struct dane_server server = {.next_hop = STR("example.com"), .is_next_hop_secure = true,
                                 .host = STR("mx.example"), .is_address_secure = true, .port = 25};
    struct dane_result r;
    struct dns_zone zone;
    struct err e = {0};
    struct dns dns;

    BUF_PUT(&text, "$secure yes\n");
    for (int i = 0; i < 500; i++)
        BUF_PUT(&text, "_25._tcp.mx.example TLSA 3 1 1 " A32 "\n");
    CHECK(dns_zone_parse(&a, buf_str(&text), &zone, &e));
    dns = dns_zone_dns(&zone);
    dane_find(&dns, &a, &server, &r);
    CHECK(r.status == DANE_USABLE && r.n == DANE_MAX_RECORDS);
    CHECK(r.n_unusable == 500 - DANE_MAX_RECORDS);
}
