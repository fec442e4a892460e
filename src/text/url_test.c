#include "text/url.h"

#include "base/test.h"

TEST(urls_are_taken_apart)
{
    static const struct {
        const char *in, *host, *authority, *target; // host NULL: refused
        unsigned port;
        bool is_https;
    } cases[] = {
        {"https://ca.example/dir", "ca.example", "ca.example", "/dir", 443, true},
        {"HTTPS://CA.example", "CA.example", "CA.example", "", 443, true},
        {"http://a.b-c.example:8080/x?y=%41&z=/?", "a.b-c.example", "a.b-c.example:8080", "/x?y=%41&z=/?", 8080, false},
        {"http://localhost/", "localhost", "localhost", "/", 80, false},
        {"https://ca.example?q", "ca.example", "ca.example", "?q", 443, true},
        {"https://xn--mnchen-3ya.example:1/", "xn--mnchen-3ya.example", "xn--mnchen-3ya.example:1", "/", 1, true},
        {.in = "ftp://ca.example/"},
        {.in = "https:/ca.example/"},
        {.in = "https://"},
        {.in = "https:///x"},
        {.in = "https://user@ca.example/"},
        {.in = "https://ca.example:/"},
        {.in = "https://ca.example:0/"},
        {.in = "https://ca.example:65536/"},
        {.in = "https://ca.example:443x/"},
        {.in = "https://ca.example/a b"},
        {.in = "https://ca.example/a\r\nX: y"},
        {.in = "https://ca.example/#part"},
        {.in = "https://ca.example/%4"},
        {.in = "https://ca.example/%zz"},
        {.in = "https://ca.example\\@x/"},
        {.in = "https://ca..example/"},
        {.in = "https://.example/"},
        {.in = "https://example./"},
        {.in = "https://-a.example/"},
        {.in = "https://127.0.0.1/"},
        {.in = "https://2130706433/"},
        {.in = "https://0x7f.1/"},
        {.in = "https://[::1]/"},
        {.in = "https://m\xc3\xbcnchen.example/"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        struct err e = {0};
        struct url got;
        bool is_ok = url_parse(in.str, &got, &e);

        CHECK_CASE(is_ok == (cases[i].host != NULL), i);
        CHECK_CASE(is_ok || e.kind == ERR_SYNTAX, i);
        CHECK_CASE(!is_ok || (str_eq(got.host, str_of(cases[i].host)) && got.port == cases[i].port &&
                              str_eq(got.authority, str_of(cases[i].authority)) &&
                              str_eq(got.target, str_of(cases[i].target)) &&
                              got.is_https == cases[i].is_https), i);
    }
}
