#include "base/test.h"
#include "proto/http/proxy.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"

TEST(proxy_headers)
{
    static const struct {
        struct str in;
        bool ok;
        const char *source; // NULL: none
    } cases[] = {
        {STR_("PROXY TCP4 192.0.2.1 198.51.100.1 1234 443\r\n"), true, "192.0.2.1"},
        {STR_("PROXY TCP6 2001:db8::1 2001:db8::2 1234 443\r\n"), true, "2001:db8::1"},
        {STR_("PROXY UNKNOWN\r\n"), true, NULL},
        {STR_("PROXY UNKNOWN whatever 1 2\r\n"), true, NULL},
        {STR_(V2 "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\4\xd2\1\xbb"), true, "192.0.2.1"},
        {STR_(V2 "\x21\x11\0\x0f\xc0\0\2\1\xc6\x33\x64\1\4\xd2\1\xbb\4\0\0"), true, "192.0.2.1"},
        {STR_(V2 "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\4\xd2\1\xbb"), true,
         "2001:db8::1"},
        {STR_(V2 "\x20\0\0\0"), true, NULL},
        {STR_(V2 "\x21\x31\0\0"), true, NULL},
        {STR_("PROXY TCP4 192.0.2.1 198.51.100.1 1234 443\n"), false, NULL},
        {STR_("PROXY TCP4 192.0.2.1 198.51.100.1 1234\r\n"), false, NULL},
        {STR_("PROXY TCP4 192.0.2.1 198.51.100.1 1234 443 \r\n"), false, NULL},
        {STR_("PROXY TCP4  192.0.2.1 198.51.100.1 1234 443\r\n"), false, NULL},
        {STR_("PROXY TCP4 2001:db8::1 2001:db8::2 1234 443\r\n"), false, NULL},
        {STR_("PROXY TCP6 192.0.2.1 198.51.100.1 1234 443\r\n"), false, NULL},
        {STR_("PROXY TCP4 192.0.2.1 198.51.100.1 99999 443\r\n"), false, NULL},
        {STR_("PROXY TCP4 192.0.2.300 198.51.100.1 1 443\r\n"), false, NULL},
        {STR_("PROXY UDP4 192.0.2.1 198.51.100.1 1 443\r\n"), false, NULL},
        {STR_("proxy TCP4 192.0.2.1 198.51.100.1 1 443\r\n"), false, NULL},
        {STR_("GET / HTTP/1.1\r\n"), false, NULL},
        {STR_(V2 "\x21\x11\0\x0b\xc0\0\2\1\xc6\x33\x64\1\4\xd2\1"), false, NULL},
        {STR_(V2 "\x11\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\4\xd2\1\xbb"), false, NULL},
        {STR_("\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\4\xd2\1\xbb"), false, NULL},
        {STR_(V2 "\x21\x11\xff\xff"), false, NULL},
        {STR_(""), false, NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(cases[i].in);
        AUTO_BUF text = BUF_LIMIT(100);
        bool has_source;
        struct ip ip;
        struct err e = {0};
        size_t n = 0, more = 1;

        CHECK_CASE(proxy_parse(in.str, &has_source, &ip, &e) == cases[i].ok, i);
        if (!cases[i].ok)
            continue;
        CHECK_CASE(has_source == (cases[i].source != NULL), i);
        if (has_source) {
            ip_put(&text, &ip);
            CHECK_STR(buf_str(&text), str_of(cases[i].source));
        }
        // Read in the steps that it asks for, it ends where it ends.
        while (proxy_need(str_sub(in.str, 0, n), &more, &e) && more)
            n += more;
        CHECK_CASE(n == in.str.n, i);
    }
}
