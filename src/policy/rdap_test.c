#include "policy/rdap.h"

#include "base/test.h"

static const struct str bootstrap =
    STR_("{\"version\":\"1.0\",\"services\":["
         "[[\"example\",\"net\"],[\"http://plain.example/\",\"https://rdap.example/v1/\"]],"
         "[[\"co.example\"],[\"https://co.example/rdap\"]],"
         "[[\"old\"],[\"http://old.example/\"]],"
         "[[5,null],7],[],3]}");

TEST(rdap_finds_the_server)
{
    static const struct {
        struct str domain, url; // empty: none knows of it
    } cases[] = {
        {STR_("a.example"), STR_("https://rdap.example/v1/domain/a.example")},
        {STR_("b.a.net"), STR_("https://rdap.example/v1/domain/b.a.net")},
        {STR_("a.co.example"), STR_("https://co.example/rdap/domain/a.co.example")}, // more labels
        {STR_("a.xco.example"), STR_("https://rdap.example/v1/domain/a.xco.example")},
        {STR_("a.old"), STR_("")}, // without TLS anybody could say anything
        {STR_("a.test"), STR_("")},
        {STR_("example"), STR_("https://rdap.example/v1/domain/example")},
        {STR_("notexample"), STR_("")},
    };
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err e = {0};
        struct str url;

        CHECK_CASE(rdap_url(&a, bootstrap, cases[i].domain, &url, &e) == (cases[i].url.n > 0), i);
        CHECK_CASE(cases[i].url.n ? str_eq(url, cases[i].url) : e.kind == ERR_NOT_FOUND, i);
    }
    for (size_t n = 0; n < bootstrap.n; n++) {
        AUTO_EXACT cut = exact_copy(str_sub(bootstrap, 0, n));
        struct err e = {0};
        struct str url;

        CHECK_CASE(!rdap_url(&a, cut.str, STR("a.example"), &url, &e) && e.kind == ERR_SYNTAX, n);
    }
}

TEST(rdap_tells_the_day_of_registration)
{
    static const struct {
        const char *in;
        int64_t day; // -1: it does not say
    } cases[] = {
        {"{\"events\":[{\"eventAction\":\"expiration\",\"eventDate\":\"2030-01-01T00:00:00Z\"},"
         "{\"eventAction\":\"registration\",\"eventDate\":\"1970-01-11T23:59:59.5+02:00\"}]}", 10},
        {"{\"events\":[{\"eventAction\":\"Registration\",\"eventDate\":\"1970-01-02\"}]}", 1},
        {"{\"events\":[{\"eventAction\":\"registration\",\"eventDate\":\"1970-13-02T00:00:00Z\"}]}", -1},
        {"{\"events\":[{\"eventAction\":\"registration\",\"eventDate\":\"1970-1-2\"}]}", -1},
        {"{\"events\":[{\"eventAction\":\"registration\",\"eventDate\":5},7,[]]}", -1},
        {"{\"events\":{}}", -1},
        {"{}", -1},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        struct err e = {0};
        int64_t at = 0;

        CHECK_CASE(rdap_registered(in.str, &at, &e) == (cases[i].day >= 0), i);
        CHECK_CASE(cases[i].day < 0 ? e.kind == ERR_NOT_FOUND : at == cases[i].day * 86400, i);
    }
}

TEST(rdap_ages)
{
    static const struct {
        int64_t seconds;
        struct str text;
    } cases[] = {
        {-5, STR_("0 days")}, {86400, STR_("1 day")}, {364 * 86400, STR_("364 days")},
        {366 * 86400 + 1, STR_("1 year, 1 day")}, {(2LL * 365 + 30) * 86400, STR_("2 years, 30 days")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_LIMIT(100);

        rdap_put_age(&out, cases[i].seconds);
        CHECK_STR(buf_str(&out), cases[i].text);
    }
}
