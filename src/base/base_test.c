#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/cur.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/map.h"
#include "base/test.h"

TEST(cur_u64_never_wraps)
{
    static const struct {
        const char *in;
        uint64_t max;
        bool ok;
        uint64_t value;
        size_t left;
    } cases[] = {
        {"0", 9, true, 0, 0},
        {"42x", 100, true, 42, 1},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX, 0},
        {"18446744073709551616", UINT64_MAX, false, 7, 20},
        {"100", 99, false, 7, 3},
        {"", 9, false, 7, 0},
        {"-1", 9, false, 7, 2},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        struct cur c = cur_of(in.str);
        uint64_t v = 7;

        CHECK_CASE(cur_u64(&c, cases[i].max, &v) == cases[i].ok, i);
        CHECK_CASE(v == cases[i].value, i);
        CHECK_CASE(cur_left(&c) == cases[i].left, i);
    }
}

TEST(cur_lines)
{
    AUTO_EXACT in = exact_copy(STR("a\r\nb\n\nc"));
    struct cur c = cur_of(in.str);
    struct str line;

    CHECK(cur_line(&c, &line));
    CHECK_STR(line, STR("a"));
    CHECK(cur_line(&c, &line));
    CHECK_STR(line, STR("b"));
    CHECK(cur_line(&c, &line));
    CHECK_STR(line, STR(""));
    CHECK(cur_line(&c, &line));
    CHECK_STR(line, STR("c"));
    CHECK(!cur_line(&c, &line));
}

TEST(str_words)
{
    struct str rest = STR("a,,bc,"), word;

    CHECK(str_next(&rest, ',', &word) && str_eq(word, STR("a")));
    CHECK(str_next(&rest, ',', &word) && !word.n);
    CHECK(str_next(&rest, ',', &word) && str_eq(word, STR("bc")));
    CHECK(!str_next(&rest, ',', &word));
    rest = STR("all");
    CHECK(str_next(&rest, ',', &word) && str_eq(word, STR("all")) && !rest.n);
    CHECK(!str_next(&rest, ',', &word));
}

TEST(str_searches)
{
    struct str before, after, s = STR("Content-Type: text/plain");

    CHECK(str_cut(s, ':', &before, &after));
    CHECK_STR(before, STR("Content-Type"));
    CHECK_STR(str_trim(after), STR("text/plain"));
    CHECK(!str_cut(s, '!', &before, &after));
    CHECK(str_find_str_ci(s, STR("TEXT/")) == 14);
    CHECK(str_find_str(s, STR("TEXT/")) == STR_NONE);
    CHECK(str_find_str(STR("ab"), STR("abc")) == STR_NONE);
    CHECK(str_eq_ci(STR("INBOX"), STR("inbox")));
    CHECK(!str_eq_ci(STR("\xc3\x84"), STR("\xc3\xa4")));
    CHECK(str_starts(s, STR("Content")) && !str_starts(STR("Con"), STR("Content")));
    CHECK(str_ends_ci(s, STR("/PLAIN")));
    CHECK(str_cmp(STR("a"), STR("ab")) < 0 && str_cmp(STR("b"), STR("ab")) > 0);
    CHECK_STR(str_sub(s, 500, 5), STR(""));
    CHECK(str_eq_secret(STR("x"), STR("x")) && !str_eq_secret(STR("x"), STR("y")));
}

TEST(buf_stops_at_its_limit)
{
    AUTO_BUF b = BUF_LIMIT(10);

    BUF_PUT(&b, "12345");
    buf_put_u64(&b, 678);
    CHECK(!b.full);
    BUF_PUT(&b, "abc");
    CHECK(b.full);
    CHECK_STR(buf_str(&b), STR("12345678"));
    buf_drop(&b, 5);
    CHECK_STR(buf_str(&b), STR("678"));
}

TEST(arena_reset_and_growth)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct str *texts = NULL;
    size_t n = 0, cap = 0;

    for (int round = 0; round < 3; round++) {
        texts = NULL;
        n = cap = 0;
        for (int i = 0; i < 1000; i++)
            *ARENA_PUSH(&a, texts, &n, &cap) = arena_printf(&a, "text %d", i);
        CHECK_STR(texts[999], STR("text 999"));
        arena_reset(&a);
    }
    CHECK(arena_cstring(&a, STR("a\0b")) == NULL);
    CHECK(strcmp(arena_cstring(&a, STR("ab")), "ab") == 0);
}

// SipHash-1-3 under the key 00 01 ... 0f, of bytes that are none of ASCII's and others.
TEST(hash_of_each_length)
{
    static const uint64_t want[] = {
        0xabac0158050fc4dc, 0x6673f1a6394f5ccb, 0x06abb02f0bffcbe3, 0xcff17b523da87699,
        0xba5ee9ad5a6dc64f, 0x42da6c924cc6a267, 0x8ff31d9b6dd7cd10, 0xf2a28c0c6187803f,
        0x742fed90d18b787e, 0x1b56d35707d4d120, 0x531680b39c637dd6, 0x8eb6c51d4bf8f49c,
        0xcba4bf91a4a0141c, 0x31f5bbf5cbb6810b, 0x6cff124309df23b3, 0xc957c926fb7185f8,
        0xf11a9a1535d3cef1, 0x199f0fb081c940d3, 0x81a329086f252a14, 0x23e4d6f21cfc8806,
        0xece5d1508584f486,
    };
    char bytes[20];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7 + 200);
    for (size_t n = 0; n < COUNT(want); n++) {
        AUTO_EXACT in = exact_copy(str_at(bytes, n));

        CHECK_CASE(str_hash_keyed(0x0706050403020100, 0x0f0e0d0c0b0a0908, in.str) == want[n], n);
    }
}

TEST(map_has_an_empty_name)
{
    struct map m = {0};

    CHECK(!map_get(&m, (struct str){0}) && !map_put(&m, (struct str){0}, &m));
    CHECK(map_get(&m, STR("")) == &m && map_remove(&m, (struct str){0}) == &m && !map_get(&m, STR("")));
    map_fini(&m);
}

TEST(map_keeps_what_was_put)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct map m = {0};
    size_t at = 0, seen = 0;

    for (int i = 0; i < 500; i++)
        CHECK(!map_put(&m, arena_printf(&a, "key%d", i), &m));
    for (int i = 0; i < 500; i += 2)
        CHECK(map_remove(&m, arena_printf(&a, "key%d", i)) == &m);
    for (int i = 0; i < 500; i++)
        CHECK((map_get(&m, arena_printf(&a, "key%d", i)) != NULL) == (i % 2 == 1));
    while (map_each(&m, &at))
        seen++;
    CHECK(seen == 250 && m.count == 250);
    map_fini(&m);
}

TEST(errors_are_one_printable_line)
{
    struct err e = {0};

    CHECK(!fail(&e, ERR_SYNTAX, "bad byte in \"%s\"", "a\r\nb"));
    CHECK_STR(str_of(e.text), STR("bad byte in \"a??b\""));
    fail_in(&e, "line %d", 3);
    CHECK_STR(str_of(e.text), STR("line 3: bad byte in \"a??b\""));
    CHECK(e.kind == ERR_SYNTAX);
}

TEST(log_levels_per_package)
{
    AUTO_BUF out = BUF_LIMIT(1000);
    struct err e = {0};

    CHECK(log_set_level(STR("queue"), STR("trace"), &e));
    CHECK(log_set_level(STR("imapserver"), STR("error"), &e));
    CHECK(log_is_on(LOG_TRACE, "queue"));
    CHECK(!log_is_on(LOG_TRACE, "store"));
    CHECK(!log_is_on(LOG_INFO, "imapserver"));
    CHECK(!log_set_level(STR("x"), STR("loud"), &e));
    log_list_levels(&out);
    CHECK_STR(buf_str(&out), STR("(default): info\nimapserver: error\nqueue: trace\n"));
    CHECK(log_set_level(STR("queue"), STR(""), &e));
    CHECK(log_set_level(STR("imapserver"), STR(""), &e));
    CHECK(!log_is_on(LOG_TRACE, "queue"));
}

TEST(log_lines_cannot_be_forged)
{
    char line[4097];
    ssize_t n;
    int fds[2];
    struct err e = {ERR_SYNTAX, "no \"good\""};

    CHECK(pipe(fds) == 0);
    log_set_fd(fds[1]);
    LOG(LOG_INFO, "queue", "message queued", LOG_S("from", STR("a\nl=error m=x")), LOG_N("id", 7),
        LOG_E(&e));
    log_set_fd(2); // before anything is checked: a pipe that nobody reads would hold up later tests
    n = read(fds[0], line, sizeof line);
    close(fds[0]);
    close(fds[1]);
    CHECK(n > 0);
    CHECK_STR(str_at(line, (size_t)n),
              STR("l=info m=\"message queued\" err=\"no \\\"good\\\"\" pkg=queue "
                  "from=\"a\\nl=error m=x\" id=7\n"));
}

TEST(checked_sizes)
{
    size_t n;

    CHECK(size_add(1, 2, &n) && n == 3);
    CHECK(!size_add(SIZE_MAX, 1, &n));
    CHECK(!size_mul(SIZE_MAX / 2, 3, &n));
}

TEST(ip_addresses)
{
    static const struct {
        const char *text, *canonical, *arpa;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", "1.2.0.192.in-addr.arpa"},
        {"2001:DB8:0::1", "2001:db8::1",
         "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"},
        {"", NULL, NULL},
        {"192.0.2", NULL, NULL},
        {"192.0.2.1 ", NULL, NULL},
        {"192.0.2.256", NULL, NULL},
        {"::g", NULL, NULL},
        {"1:2:3:4:5:6:7:8:9", NULL, NULL},
    };
    static const struct {
        const char *a, *b;
        unsigned bits;
        bool is_in;
    } networks[] = {
        {"192.0.2.1", "192.0.2.1", 32, true},    {"192.0.2.1", "192.0.2.2", 32, false},
        {"192.0.2.1", "192.0.2.2", 30, true},    {"192.0.2.1", "192.0.2.2", 31, false},
        {"192.0.2.1", "10.0.0.0", 0, true},      {"192.0.2.1", "192.0.2.1", 999, true},
        {"192.0.2.1", "::", 0, false},           {"2001:db8::1", "2001:db9::", 31, true},
        {"2001:db8::1", "2001:db9::", 32, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i].text));
        AUTO_BUF out = BUF_LIMIT(200);
        struct ip ip, again;

        CHECK_CASE(ip_parse(in.str, &ip) == (cases[i].canonical != NULL), i);
        if (!cases[i].canonical)
            continue;
        ip_put(&out, &ip);
        CHECK_STR(buf_str(&out), str_of(cases[i].canonical));
        CHECK_CASE(ip_of_bytes(ip_bytes(&ip), &again) && ip_eq(&ip, &again), i);
        buf_reset(&out);
        ip_put_arpa(&out, &ip);
        CHECK_STR(buf_str(&out), str_of(cases[i].arpa));
    }
    for (size_t i = 0; i < COUNT(networks); i++) {
        struct ip a, b;

        CHECK_CASE(ip_parse(str_of(networks[i].a), &a) && ip_parse(str_of(networks[i].b), &b), i);
        CHECK_CASE(ip_in_network(&a, &b, networks[i].bits) == networks[i].is_in, i);
        CHECK_CASE(!ip_is_loopback(&a), i);
    }
}

TEST(ip_public)
{
    static const struct {
        const char *ip;
        bool is_public;
    } cases[] = {
        {"1.1.1.1", true},          {"9.255.255.255", true},    {"10.0.0.0", false},
        {"10.255.255.255", false},  {"11.0.0.0", true},         {"100.63.255.255", true},
        {"100.64.0.0", false},      {"100.127.255.255", false}, {"100.128.0.0", true},
        {"126.255.255.255", true},  {"127.0.0.1", false},       {"169.254.169.254", false},
        {"172.15.255.255", true},   {"172.16.0.1", false},      {"172.31.255.255", false},
        {"172.32.0.0", true},       {"192.0.0.1", false},       {"192.0.2.1", false},
        {"192.168.0.1", false},     {"198.18.0.1", false},      {"198.20.0.0", true},
        {"203.0.113.9", false},     {"223.255.255.255", true},  {"224.0.0.1", false},
        {"239.1.1.1", false},       {"255.255.255.255", false}, {"0.0.0.0", false},
        {"2606:4700::1111", true},  {"2a00::1", true},          {"::1", false},
        {"::", false},              {"::ffff:1.1.1.1", false},  {"fe80::1", false},
        {"fc00::1", false},         {"ff02::1", false},         {"64:ff9b::101:101", false},
        {"2001::1", false},         {"2001:db8::1", false},     {"2001:4860::1", true},
        {"2002:101:101::", false},  {"3fff::1", false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ip ip;

        CHECK_CASE(ip_parse(str_of(cases[i].ip), &ip) && ip_is_public(&ip) == cases[i].is_public, i);
    }
}

TEST(ip_unmapping)
{
    static const struct {
        const char *ip, *want;
    } cases[] = {
        {"::ffff:192.0.2.1", "192.0.2.1"}, {"::fffe:192.0.2.1", "::fffe:c000:201"},
        {"192.0.2.1", "192.0.2.1"},        {"::1", "::1"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_LIMIT(100);
        struct ip ip;

        CHECK_CASE(ip_parse(str_of(cases[i].ip), &ip), i);
        ip = ip_unmapped(&ip);
        ip_put(&out, &ip);
        CHECK_STR(buf_str(&out), str_of(cases[i].want));
    }
}
