#include "proto/tls/client_hello.h"

#include "base/test.h"

/* A hello with these extensions, all of it: record, handshake, body. */
static void put_u16(struct buf *out, size_t n)
{
    buf_put_char(out, (char)(n >> 8));
    buf_put_char(out, (char)n);
}

static void put_message(struct buf *out, struct str extensions)
{
    AUTO_BUF body = BUF_LIMIT(1 << 20);

    BUF_PUT(&body, "\3\3" "0123456789abcdef0123456789abcdef" "\0" "\0\2\x13\1" "\1\0");
    put_u16(&body, extensions.n);
    buf_put(&body, extensions);
    BUF_PUT(out, "\1\0");
    put_u16(out, body.n);
    buf_put(out, buf_str(&body));
}

// In records of so many bytes.
static void put_records(struct buf *out, struct str message, size_t size)
{
    for (size_t at = 0; at < message.n; at += size) {
        struct str piece = str_sub(message, at, size);

        BUF_PUT(out, "\x16\3\1");
        put_u16(out, piece.n);
        buf_put(out, piece);
    }
}

static enum client_hello parse(struct str in, struct buf *message, struct str *protocols)
{
    AUTO_EXACT copy = exact_copy(in);
    size_t need = 0;
    enum client_hello r = client_hello_parse(copy.str, message, protocols, &need);

    CHECK(r != CLIENT_HELLO_MORE || (need > in.n && need <= CLIENT_HELLO_MAX));
    return r;
}

#define ALPN_IMAP "\0\x10\0\7\0\5\4imap"

TEST(client_hello_protocols)
{
    static const struct {
        struct str extensions;
        bool ok;
        struct str protocols;
    } cases[] = {
        {STR_(""), true, STR_("")},
        {STR_("\0\0\0\0"), true, STR_("")},
        {STR_(ALPN_IMAP), true, STR_("\4imap")},
        {STR_("\0\x17\0\0" ALPN_IMAP "\0\x2b\0\3\2\3\4"), true, STR_("\4imap")},
        {STR_("\0\x10\0\x0e\0\x0c\2h2\x8http/1.1"), true, STR_("\2h2\x8http/1.1")},
        {STR_(ALPN_IMAP ALPN_IMAP), false, STR_("")},
        {STR_("\0\x10\0\0"), false, STR_("")},
        {STR_("\0\x10\0\2\0\0"), false, STR_("")},
        {STR_("\0\x10\0\3\0\1\0"), false, STR_("")},
        {STR_("\0\x10\0\7\0\4\4imap"), false, STR_("")},
        {STR_("\0\x10\0\7\0\6\4imap"), false, STR_("")},
        {STR_("\0\x10\0\7\0\5\5imap"), false, STR_("")},
        {STR_("\0\x10\0\7\0\5\3imap"), false, STR_("")},
        {STR_("\0\x10\0\x08\0\5\4imap"), false, STR_("")},
        {STR_("\0"), false, STR_("")},
        {STR_("\0\x10\0"), false, STR_("")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF message = BUF_LIMIT(CLIENT_HELLO_MAX);
        AUTO_BUF plain = BUF_LIMIT(1 << 20);
        AUTO_BUF in = BUF_LIMIT(1 << 20);
        struct str protocols;

        put_message(&plain, cases[i].extensions);
        put_records(&in, buf_str(&plain), 1000);
        CHECK_CASE(parse(buf_str(&in), &message, &protocols) == (cases[i].ok ? CLIENT_HELLO_WHOLE : CLIENT_HELLO_NONE), i);
        if (cases[i].ok)
            CHECK_STR(protocols, cases[i].protocols);
    }
}

TEST(client_hello_before_extensions)
{
    // RFC 5246 7.4.1.2: there may be none at all.
    static const char old[] = "\x16\3\1\0\x2d\1\0\0\x29\3\3" "0123456789abcdef0123456789abcdef" "\0" "\0\2\x13\1" "\1\0";
    AUTO_BUF message = BUF_LIMIT(CLIENT_HELLO_MAX);
    struct str protocols;

    CHECK(parse(str_at(old, sizeof old - 1), &message, &protocols) == CLIENT_HELLO_WHOLE && !protocols.n);
}

// In any number of pieces, and however far it has come, no more is wanted than there is.
TEST(client_hello_grows)
{
    AUTO_BUF plain = BUF_LIMIT(1 << 20);

    put_message(&plain, STR(ALPN_IMAP));
    for (size_t size = 1; size <= plain.n; size++) {
        AUTO_BUF message = BUF_LIMIT(CLIENT_HELLO_MAX);
        AUTO_BUF in = BUF_LIMIT(1 << 20);
        bool is_known = (plain.n + size - 1) / size <= 32;
        struct str protocols;
        size_t have = 0, need;

        put_records(&in, buf_str(&plain), size);
        if (is_known)
            for (size_t n = 0; n < in.n; n++)
                CHECK_CASE(parse(str_sub(buf_str(&in), 0, n), &message, &protocols) == CLIENT_HELLO_MORE, n);
        CHECK_CASE(parse(buf_str(&in), &message, &protocols) == (is_known ? CLIENT_HELLO_WHOLE : CLIENT_HELLO_NONE), size);
        CHECK_CASE(client_hello_has(protocols, STR("imap")) == is_known, size);
        // Who waits for what is asked for is woken twice per record.
        for (int steps = 0; is_known; steps++) {
            CHECK_CASE(steps <= 64, size);
            if (client_hello_parse(str_sub(buf_str(&in), 0, have), &message, &protocols, &need) == CLIENT_HELLO_WHOLE)
                break;
            have = need;
            CHECK_CASE(have <= in.n, size);
        }
    }
}

TEST(client_hello_is_none)
{
    static const struct str cases[] = {
        STR_("G"), STR_("GET / HTTP/1.1\r\n"), STR_("\x16\2"), STR_("\x15\3\1\0\2\2\x28"), STR_("\x16\3\1\0\0"),
        STR_("\x16\3\1\x40\1"), STR_("\x16\3\1\0\1\2"), STR_("\x16\3\1\0\4\1\0\0\0"), STR_("\x80\x2e\1\3\1"),
        STR_("PROXY TCP4 192.0.2.1 198.51.100.1 1234 443\r\n"), STR_("\x16\3\1\0\x06\1\0\0\2\3\3"),
    };
    AUTO_BUF message = BUF_LIMIT(CLIENT_HELLO_MAX);
    struct str protocols;

    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_CASE(parse(cases[i], &message, &protocols) == CLIENT_HELLO_NONE, i);
}

// What never becomes whole is given up at the bound.
TEST(client_hello_is_bounded)
{
    AUTO_BUF plain = BUF_LIMIT(1 << 20);
    AUTO_BUF in = BUF_LIMIT(1 << 20);
    AUTO_BUF message = BUF_LIMIT(CLIENT_HELLO_MAX);
    struct str protocols;

    BUF_PUT(&plain, "\1\xff\xff\xff");
    for (int i = 0; i < 20000; i++)
        buf_put_char(&plain, 'x');
    put_records(&in, buf_str(&plain), 1000);
    CHECK(parse(buf_str(&in), &message, &protocols) == CLIENT_HELLO_NONE);
    CHECK(parse(str_sub(buf_str(&in), 0, 4000), &message, &protocols) == CLIENT_HELLO_MORE);
}

TEST(client_hello_list)
{
    CHECK(client_hello_has(STR("\2h2\4imap"), STR("imap")) && client_hello_has(STR("\2h2\4imap"), STR("h2")));
    CHECK(!client_hello_has(STR("\2h2\5imaps"), STR("imap")) && !client_hello_has(STR("\4IMAP"), STR("imap")));
    CHECK(!client_hello_has(STR(""), STR("imap")) && !client_hello_has(STR("\4ima"), STR("ima")));
}
