#include "base/test.h"
#include "proto/http/http.h"

#define HOST "Host: a.example\r\n"

TEST(http_requests)
{
    static const struct {
        const char *head;
        unsigned status; // 0: taken
        const char *path, *query, *host;
    } cases[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", 0, "/", "", "a.example"},
        {"\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 0, "/", "", "a.example"},
        {"GET /a%20b/../c//d/.?x=%41 HTTP/1.1\r\nHost: A.Example.:8080\r\n\r\n", 0, "/c/d/", "x=%41", "a.example"},
        {"GET http://a.example/x?y HTTP/1.1\r\n" HOST "\r\n", 0, "/x", "y", "a.example"},
        {"GET http://a.example HTTP/1.1\r\n" HOST "\r\n", 0, "/", "", "a.example"},
        {"GET HTTPS://a.example?q HTTP/1.1\r\n" HOST "\r\n", 0, "/", "q", "a.example"},
        {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 0, "*", "", "a.example"},
        {"GET / HTTP/1.0\r\n\r\n", 0, "/", "", ""},
        {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0, "/", "", "::1"},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 0, "/", "", ""},
        {"GET /%252e%252e/ HTTP/1.1\r\n" HOST "\r\n", 0, "/%2e%2e/", "", "a.example"},
        {"GET /%2e%2e/%2E%2E/etc/passwd HTTP/1.1\r\n" HOST "\r\n", 0, "/etc/passwd", "", "a.example"},
        {"GET /a/..%2f..%2fetc HTTP/1.1\r\n" HOST "\r\n", 0, "/etc", "", "a.example"},
        // The line.
        {"", 400, NULL, NULL, NULL},
        {"\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET  / HTTP/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET /  HTTP/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET\t/ HTTP/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1 \r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET / http/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.10\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/2.0\r\n" HOST "\r\n", 505, NULL, NULL, NULL},
        {"GET /\r\n\r\n", 400, NULL, NULL, NULL},
        {"G(T / HTTP/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"CONNECT a.example:443 HTTP/1.1\r\n" HOST "\r\n", 501, NULL, NULL, NULL},
        {"GET a HTTP/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET * HTTP/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET /#x HTTP/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET /\x80 HTTP/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET /%zz HTTP/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET /% HTTP/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET /a%00.html HTTP/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        // Host.
        {"GET / HTTP/1.1\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\nHost: user@a.example\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\nHost: a.example:x\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\nHost: a.example:65536\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\nHost: [1.2.3.4]\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\nHost: a.example..\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\nHost: a..example\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\nHost: .a.example\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET http://b.example/ HTTP/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET http://a.example:8080/ HTTP/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET http:/// HTTP/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET ftp://a.example/ HTTP/1.1\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        // Fields.
        {"GET / HTTP/1.1\r\n" HOST "X : y\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\n" HOST " X: y\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\n" HOST "X: y\r\n z\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\n X: y\r\n" HOST "\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\n" HOST ": y\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\n" HOST "X\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\n" HOST "X: a\r\r\n\r\n", 400, NULL, NULL, NULL},
        {"GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n", 400, NULL, NULL, NULL},
        // Framing.
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n", 400, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n", 400, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n", 400, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\n", 400, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", 501, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n", 501, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n\r\n", 501, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", 400, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\x0b\r\n\r\n", 400, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n", 400, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n chunked\r\n\r\n", 400, NULL, NULL, NULL},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, NULL, NULL, NULL},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n", 0, "/", "", "a.example"},
        {"POST / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n", 417, NULL, NULL, NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_EXACT in = exact_copy(str_of(cases[i].head));
        struct http_request r;
        struct err e = {0};
        unsigned status;
        bool is_ok = http_request_parse(&a, in.str, &r, &status, &e);

        CHECK_CASE(is_ok == !cases[i].status, i);
        CHECK_CASE(is_ok || status == cases[i].status, i);
        if (!is_ok)
            continue;
        CHECK_STR(r.path, str_of(cases[i].path));
        CHECK_STR(r.query, str_of(cases[i].query));
        CHECK_STR(r.host, str_of(cases[i].host));
    }
}

TEST(http_request_details)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_EXACT in = exact_copy(STR("POST /x HTTP/1.1\r\nHost: 127.0.0.1:81\r\nContent-Length: 3\r\nconnection: a, Close\r\n"
                                   "Expect: 100-Continue\r\nX: \t one  two\t\r\n\r\n"));
    struct http_request r;
    struct err e = {0};
    unsigned status;

    CHECK(http_request_parse(&a, in.str, &r, &status, &e));
    CHECK(r.method == HTTP_POST && r.version == HTTP_1_1 && r.is_last && r.expects_continue);
    CHECK(r.body == HTTP_BODY_LENGTH && r.length == 3 && r.host_is_ip && r.port == 81);
    CHECK_STR(http_field_get(&r.fields, STR("x")), STR("one  two"));
    CHECK(!http_field_find(&r.fields, STR("y")));
    CHECK(!http_field_has_token(&r.fields, STR("connection"), STR("clo")));
    in = (exact_fini(&in), exact_copy(STR("get / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n")));
    CHECK(http_request_parse(&a, in.str, &r, &status, &e));
    CHECK(r.method == HTTP_OTHER && !r.is_last && r.body == HTTP_BODY_NONE);
}

TEST(http_limits)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_BUF b = BUF_LIMIT(1 << 20);
    struct http_request r;
    struct err e = {0};
    unsigned status;

    BUF_PUT(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (size_t i = 1; i < HTTP_MAX_FIELDS; i++)
        BUF_PUT(&b, "x: y\r\n");
    BUF_PUT(&b, "\r\n");
    CHECK(http_request_parse(&a, buf_str(&b), &r, &status, &e));
    b.n -= 2;
    BUF_PUT(&b, "x: y\r\n\r\n");
    CHECK(!http_request_parse(&a, buf_str(&b), &r, &status, &e) && status == 431);
    buf_reset(&b);
    BUF_PUT(&b, "GET /");
    for (size_t i = 0; i < HTTP_MAX_TARGET; i++)
        buf_put_char(&b, 'a');
    BUF_PUT(&b, " HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(!http_request_parse(&a, buf_str(&b), &r, &status, &e) && status == 414);
    buf_reset(&b);
    BUF_PUT(&b, "GET / HTTP/1.1\r\nHost: a\r\nx: ");
    for (size_t i = 0; i < HTTP_MAX_HEAD; i++)
        buf_put_char(&b, 'a');
    BUF_PUT(&b, "\r\n\r\n");
    CHECK(!http_request_parse(&a, buf_str(&b), &r, &status, &e) && status == 431);
}

TEST(http_heads_are_found)
{
    static const struct {
        const char *in;
        int n; // -1: no head
    } cases[] = {
        {"", 0},
        {"G", 0},
        {"GET / HTTP/1.1\r\n", 0},
        {"GET / HTTP/1.1\r\n\r", 0},
        {"GET / HTTP/1.1\r\n\r\n", 18},
        {"GET / HTTP/1.1\r\n\r\nrest", 18},
        {"\r\nGET / HTTP/1.1\r\n\r\n", 20},
        {"GET / HTTP/1.1\n\n", -1},
        {"GET / HTTP/1.1\r\nHost: a\n\r\n", -1},
        {"GET / HTTP/1.1\r\nHost: a\r\n\n", -1},
        {"\n", -1},
        {"\x16\x03\x01", -1},
        {" GET / HTTP/1.1\r\n\r\n", -1},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        size_t seen = 0, n = 0;
        struct err e = {0};
        bool is_ok = true;

        // However it is cut.
        for (size_t part = 0; part <= in.str.n && is_ok && !n; part++)
            is_ok = http_head_find(str_sub(in.str, 0, part), &seen, &n, &e);
        CHECK_CASE(is_ok == (cases[i].n >= 0), i);
        CHECK_CASE(!is_ok || n == (size_t)cases[i].n, i);
    }
}

// Decodes in pieces of that size. False when refused; *left: what follows the body.
static bool decode(struct http_body b, struct str in, size_t piece, struct buf *out, struct str *left)
{
    AUTO_BUF have = BUF_LIMIT(1 << 20);

    while (!b.is_done) {
        struct str at = buf_str(&have), data;
        size_t had = at.n;
        struct err e = {0};

        if (!http_body_take(&b, &at, &data, &e))
            return false;
        buf_put(out, data);
        buf_drop(&have, had - at.n);
        if (b.is_done || had != at.n)
            continue;
        if (!in.n)
            return false;
        buf_put(&have, str_sub(in, 0, piece));
        in = str_from(in, piece);
    }
    *left = str_at(in.p - have.n, in.n + have.n);
    return true;
}

TEST(http_chunks)
{
    static const struct {
        const char *in, *data, *left;
    } cases[] = {
        {"0\r\n\r\n", "", ""},
        {"5\r\nhello\r\n0\r\n\r\nGET", "hello", "GET"},
        {"5;a=b;c\r\nhello\r\n00\r\n\r\n", "hello", ""},
        {"5 ;a=\"x\"\r\nhello\r\n0\r\nX: y\r\nZ: \r\n\r\n", "hello", ""},
        {"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", ""},
        {"5\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"5\r\nhello\n0\r\n\r\n", NULL, NULL},
        {"5\r\nhello!\r\n0\r\n\r\n", NULL, NULL},
        {"5\r\nhello\r\n0\r\n\n", NULL, NULL},
        {"5\r\nhello\r\n0\n\r\n", NULL, NULL},
        {"5;\nx\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"5;a\rb\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"+5\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"-5\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"0x5\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"5 5\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {" 5\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"5,\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"ffffffffffffffff\r\nhello", NULL, NULL},
        {"0000000000000005\r\nhello\r\n0\r\n\r\n", NULL, NULL},
        {"0\r\nX\r\n\r\n", NULL, NULL},
        {"0\r\nX : y\r\n\r\n", NULL, NULL},
        {"0\r\n X: y\r\n\r\n", NULL, NULL},
        {"5\r\nhello", NULL, NULL},
        {"5\r\nhello\r\n0\r\n", NULL, NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t piece = 1; piece < 40; piece++) {
            AUTO_EXACT in = exact_copy(str_of(cases[i].in));
            AUTO_BUF out = BUF_LIMIT(1000);
            struct str left = {0};
            bool is_ok = decode((struct http_body){.kind = HTTP_BODY_CHUNKED}, in.str, piece, &out, &left);

            CHECK_CASE(is_ok == (cases[i].data != NULL), i);
            if (!is_ok)
                continue;
            CHECK_STR(buf_str(&out), str_of(cases[i].data));
            CHECK_STR(left, str_of(cases[i].left));
        }
}

TEST(http_chunks_are_limited)
{
    AUTO_BUF in = BUF_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    struct str left;

    // A size line, then trailers, that go on and on.
    BUF_PUT(&in, "5;");
    for (size_t i = 0; i < HTTP_MAX_CHUNK_LINE; i++)
        buf_put_char(&in, 'a');
    BUF_PUT(&in, "\r\nhello\r\n0\r\n\r\n");
    CHECK(!decode((struct http_body){.kind = HTTP_BODY_CHUNKED}, buf_str(&in), 100, &out, &left));
    buf_reset(&in);
    BUF_PUT(&in, "0\r\n");
    for (size_t i = 0; i < HTTP_MAX_TRAILERS; i++)
        BUF_PUT(&in, "a: b\r\n");
    BUF_PUT(&in, "\r\n");
    CHECK(!decode((struct http_body){.kind = HTTP_BODY_CHUNKED}, buf_str(&in), 100, &out, &left));
    // Much about one byte, again and again.
    buf_reset(&in);
    for (size_t i = 0; i < 200; i++) {
        BUF_PUT(&in, "1;");
        for (size_t j = 0; j < 200; j++)
            buf_put_char(&in, 'a');
        BUF_PUT(&in, "\r\nx\r\n");
    }
    BUF_PUT(&in, "0\r\n\r\n");
    CHECK(!decode((struct http_body){.kind = HTTP_BODY_CHUNKED}, buf_str(&in), 100, &out, &left));
    // Small chunks are no crime.
    buf_reset(&in);
    buf_reset(&out);
    for (size_t i = 0; i < 20000; i++)
        BUF_PUT(&in, "1\r\nx\r\n");
    BUF_PUT(&in, "0\r\n\r\n");
    CHECK(decode((struct http_body){.kind = HTTP_BODY_CHUNKED}, buf_str(&in), 1000, &out, &left) && out.n == 20000);
}

TEST(http_body_of_known_length)
{
    AUTO_BUF out = BUF_LIMIT(100);
    struct str left;

    CHECK(decode((struct http_body){.kind = HTTP_BODY_LENGTH, .left = 3}, STR("abcdef"), 2, &out, &left));
    CHECK_STR(buf_str(&out), STR("abc"));
    CHECK_STR(left, STR("def"));
}

TEST(http_replies_cannot_be_split)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_BUF out = BUF_LIMIT(1000);
    struct http_fields fields = {0};

    CHECK(http_field_add(&a, &fields, STR("Location"), STR("/x")));
    CHECK(!http_field_add(&a, &fields, STR("Location"), STR("/x\r\nSet-Cookie: y")));
    CHECK(!http_field_add(&a, &fields, STR("Location"), STR("/x\ny")));
    CHECK(!http_field_add(&a, &fields, STR("Location\r\nX"), STR("y")));
    CHECK(!http_field_add(&a, &fields, STR("X"), str_at("a\0b", 3)));
    http_head_put(&out, HTTP_1_1, 404, &fields);
    CHECK_STR(buf_str(&out), STR("HTTP/1.1 404 Not Found\r\nLocation: /x\r\n\r\n"));
}

TEST(http_paths_and_queries)
{
    static const char *const paths[][2] = {
        {"", "/"}, {"/", "/"}, {"//", "/"}, {"/a", "/a"}, {"/a/", "/a/"}, {"/a//b", "/a/b"}, {"/a/./b", "/a/b"},
        {"/a/../b", "/b"}, {"/../..", "/"}, {"/a/..", "/"}, {"/a/b/..", "/a/"}, {"/a/.", "/a/"}, {"/...", "/..."},
        {"/a/..b", "/a/..b"}, {"/a/b/../../c/", "/c/"}, {"/a/../../../c", "/c"},
    };
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_BUF b = BUF_LIMIT(100);
    struct str value;

    for (size_t i = 0; i < COUNT(paths); i++)
        CHECK_STR(http_path_clean(&a, str_of(paths[i][0])), str_of(paths[i][1]));
    CHECK(http_query_get(&a, STR("a=1&b+c=x%40y+z&d&b+c=2"), STR("b c"), &value));
    CHECK_STR(value, STR("x@y z"));
    CHECK(http_query_get(&a, STR("a=1&d"), STR("d"), &value) && !value.n);
    CHECK(!http_query_get(&a, STR("a=1&d"), STR("e"), &value));
    CHECK(!http_query_get(&a, STR("a=%zz"), STR("a"), &value));
    http_percent_encode(&b, STR("/a b\xc3\xa9~"), true);
    CHECK_STR(buf_str(&b), STR("/a%20b%C3%A9~"));
}

TEST(http_dates)
{
    static const char *const bad[] = {
        "", "Sun, 06 Nov 1994 08:49:37 +0000", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37", "Sun, 6 Nov 1994 08:49:37 GMT",
    };
    AUTO_BUF b = BUF_LIMIT(100);
    int64_t t;

    http_date_put(&b, 784111777);
    CHECK_STR(buf_str(&b), STR("Sun, 06 Nov 1994 08:49:37 GMT"));
    CHECK(http_date_parse(buf_str(&b), &t) && t == 784111777);
    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK_CASE(!http_date_parse(str_of(bad[i]), &t), i);
}
