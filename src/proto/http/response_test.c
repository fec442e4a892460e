#include "base/test.h"
#include "proto/http/response.h"

TEST(responses_of_servers)
{
    enum { NONE = HTTP_BODY_NONE, LENGTH = HTTP_BODY_LENGTH, CHUNKED = HTTP_BODY_CHUNKED };
    static const struct {
        struct str in;
        bool ok, is_head;
        unsigned status;
        int body;
        bool until_close, is_last;
    } cases[] = {
        {STR_("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), true, false, 200, LENGTH, false, false},
        {STR_("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), true, true, 200, NONE, false, false},
        {STR_("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), true, false, 200, NONE, false, false},
        {STR_("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n"), true, false, 200, CHUNKED, false, false},
        {STR_("HTTP/1.1 200 \r\n\r\n"), true, false, 200, NONE, true, true},
        {STR_("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n"), true, false, 200, LENGTH, false, true},
        {STR_("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n"), true, false, 200, LENGTH, false,
         false},
        {STR_("HTTP/1.1 304 x\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"), true, false, 304, NONE, false, true},
        {STR_("HTTP/1.1 204 x\r\n\r\n"), true, false, 204, NONE, false, false},
        {STR_("HTTP/1.1 100 Continue\r\n\r\n"), true, false, 100, NONE, false, false},
        {STR_("HTTP/1.1 101 x\r\n\r\n"), true, false, 101, NONE, false, true},
        // Who reads it otherwise sees another end.
        {STR_("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 200 OK\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 200 OK\r\nX: y\nContent-Length: 5\r\n\r\nz\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 200 OK\r\nX: y\rz\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 200 OK\r\nX: y\0z\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 200 OK\r\nX y\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 200 OK\r\n"), .ok = false},
        {STR_("HTTP/1.1 99 OK\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 600 OK\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 2000 OK\r\n\r\n"), .ok = false},
        {STR_("HTTP/1.1 +20 OK\r\n\r\n"), .ok = false},
        {STR_("HTTP/2 200\r\n\r\n"), .ok = false},
        {STR_("ICY 200 OK\r\n\r\n"), .ok = false},
        {STR_("\r\n\r\n"), .ok = false},
        {STR_(""), .ok = false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(cases[i].in);
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        struct http_response r;
        struct err e = {0};

        CHECK_CASE(http_response_parse(&a, in.str, cases[i].is_head, &r, &e) == cases[i].ok, i);
        CHECK_CASE(cases[i].ok || e.kind == ERR_SYNTAX, i);
        if (cases[i].ok)
            CHECK_CASE(r.status == cases[i].status && (int)r.body == cases[i].body &&
                           r.until_close == cases[i].until_close && r.is_last == cases[i].is_last,
                       i);
    }
}

TEST(truncated_responses)
{
    struct str whole = STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\n");

    for (size_t n = 0; n < whole.n; n++) {
        AUTO_EXACT in = exact_copy(str_sub(whole, 0, n));
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        struct http_response r;
        struct err e = {0};

        CHECK_CASE(!http_response_parse(&a, in.str, false, &r, &e), n);
    }
}
