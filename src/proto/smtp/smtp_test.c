#include "base/test.h"
#include "proto/smtp/smtp.h"

TEST(smtp_paths)
{
    static const struct {
        const char *in;
        bool ok;
        const char *out;
    } cases[] = {
        {"FROM:<a@b.c>", true, "a@b.c"},
        {"FROM: <a@b.c>", true, "a@b.c"},
        {"from:<>", true, ""},
        {"FROM:<@x,@y.z:a@b.c>", true, "a@b.c"},
        {"FROM:<\"a b\"@c>", true, "\"a b\"@c"},
        {"FROM:<\"a\\\"b\"@c>", true, "\"a\\\"b\"@c"},
        {"FROM:<user%other@b.c>", true, "user%other@b.c"},
        {"FROM:<a@[192.0.2.1]>", true, "a@[192.0.2.1]"},
        {"FROM:<a@b.c.>", false, NULL},
        {"FROM:<.a@b.c>", false, NULL},
        {"FROM:<a..b@c>", false, NULL},
        {"FROM:<a@b@c>", false, NULL},
        {"FROM:<a b@c>", false, NULL},
        {"FROM:a@b.c", false, NULL},
        {"FROM:<a@b.c", false, NULL},
        {"FROM:<a\r@b.c>", false, NULL},
        {"FROM:<\"a\n\"@b.c>", false, NULL},
        {"FROM:<\"a", false, NULL},
        {"FROM:<a@>", false, NULL},
        {"FROM:<@b.c>", false, NULL},
        {"FROM:<postmaster>", false, NULL},
        {"FROM:<\xc3\xa9@b.c>", false, NULL},
        {"FROM:<\xc3\xa9@b.c> SMTPUTF8", true, "\xc3\xa9@b.c"},
        {"FROM:<\xff@b.c> SMTPUTF8", false, NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 16);
        AUTO_BUF b = BUF_LIMIT(1000);
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        struct smtp_mail m;
        struct err e = {0};

        CHECK_CASE(smtp_parse_mail(&a, in.str, &m, &e) == cases[i].ok, i);
        if (!cases[i].ok)
            continue;
        smtp_address_put(&b, &m.from);
        CHECK_STR(buf_str(&b), str_of(cases[i].out));
    }
}

TEST(smtp_mail_parameters)
{
    static const struct {
        const char *in;
        enum err_kind kind;
        uint64_t size;
    } cases[] = {
        {"FROM:<> SIZE=1024 BODY=8BITMIME", ERR_NONE, 1024},
        {"FROM:<> size=18446744073709551615", ERR_NONE, UINT64_MAX},
        {"FROM:<> SIZE=18446744073709551616", ERR_SYNTAX, 0}, // must not wrap
        {"FROM:<> SIZE=1 SIZE=2", ERR_SYNTAX, 0},
        {"FROM:<> SIZE=1x", ERR_SYNTAX, 0},
        {"FROM:<>SIZE=1", ERR_SYNTAX, 0},
        {"FROM:<> NOSUCH=1", ERR_NOT_FOUND, 0},
        {"FROM:<> BODY=9BIT", ERR_NOT_FOUND, 0},
        {"FROM:<> AUTH=<>", ERR_NONE, 0},
        {"FROM:<> AUTH=e+3Dmc2@example.com", ERR_NONE, 0},
        {"FROM:<> AUTH=a+zz", ERR_SYNTAX, 0},
        {"FROM:<> REQUIRETLS SMTPUTF8", ERR_NONE, 0},
        {"FROM:<> ", ERR_NONE, 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 16);
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        struct smtp_mail m;
        struct err e = {0};

        CHECK_CASE(smtp_parse_mail(&a, in.str, &m, &e) == (cases[i].kind == ERR_NONE), i);
        CHECK_CASE(e.kind == cases[i].kind, i);
        CHECK_CASE(e.kind != ERR_NONE || m.size == cases[i].size, i);
    }
}

TEST(smtp_recipients_and_hello)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct smtp_address r;
    struct err e = {0};

    CHECK(smtp_parse_rcpt(&a, STR("TO:<PostMaster>"), &r, &e) && !r.domain.n);
    CHECK(!smtp_parse_rcpt(&a, STR("TO:<>"), &r, &e));
    CHECK(!smtp_parse_rcpt(&a, STR("TO:<a@b.c> NOTIFY=NEVER"), &r, &e) && e.kind == ERR_NOT_FOUND);
    CHECK(smtp_is_hello(STR("mail.example.org")) && smtp_is_hello(STR("[192.0.2.1] text")));
    CHECK(smtp_is_hello(STR("[IPv6:2001:db8::1]")));
    CHECK(!smtp_is_hello(STR("")) && !smtp_is_hello(STR("a..b")) && !smtp_is_hello(STR("a\0b")));
}

// The message as received when the bytes come in pieces of the given length.
static struct smtp_data receive(struct str in, size_t piece, struct buf *out, size_t *used)
{
    struct smtp_data d = {0};

    *used = 0;
    while (*used < in.n && !d.is_done) {
        struct str part = str_sub(in, *used, piece), left = part;

        smtp_data_feed(&d, &left, out);
        *used += part.n - left.n;
    }
    return d;
}

TEST(smtp_end_of_data_matrix)
{
    // RFC 5321 4.1.1.4: only CR LF . CR LF ends a message, however it is split.
    static const struct str ends[] = {STR_("\r"), STR_("\n"), STR_("\r\n"), STR_("\r\0\n"),
                                      STR_("\n\r"), STR_("\n\n"), STR_("\r\r\n")};

    for (size_t before = 0; before < COUNT(ends); before++)
        for (size_t after = 0; after < COUNT(ends); after++) {
            AUTO_BUF in = BUF_LIMIT(100);
            AUTO_BUF whole = BUF_LIMIT(200);
            bool is_end = str_eq(ends[before], STR("\r\n")) && str_eq(ends[after], STR("\r\n"));
            size_t used, used_whole;
            struct smtp_data d;

            BUF_PUT(&in, "a");
            buf_put(&in, ends[before]);
            buf_put_char(&in, '.');
            buf_put(&in, ends[after]);
            BUF_PUT(&in, "MAIL FROM:<evil@x>\r\n.\r\n");
            d = receive(buf_str(&in), SIZE_MAX, &whole, &used_whole);
            CHECK_CASE(d.is_done, before * 10 + after);
            // "\r\r\n" before the dot ends a line with CR LF, too, after a bare CR.
            if (str_ends(ends[before], STR("\r\n")) && str_eq(ends[after], STR("\r\n")))
                is_end = true;
            CHECK_CASE((used_whole < in.n) == is_end, before * 10 + after);
            for (size_t piece = 1; piece < in.n; piece++) {
                AUTO_BUF pieces = BUF_LIMIT(200);

                CHECK(receive(buf_str(&in), piece, &pieces, &used).is_done);
                CHECK_CASE(used == used_whole, piece);
                CHECK_STR(buf_str(&pieces), buf_str(&whole));
            }
        }
}

TEST(smtp_smuggling_sequences_are_remembered)
{
    static const struct {
        struct str in;
        bool is_smuggling;
        struct str out;
    } cases[] = {
        {STR_("a\r\nb\r\n.\r\n"), false, STR_("a\r\nb\r\n")},
        {STR_("a\nb\r\n.\r\n"), false, STR_("a\r\nb\r\n")},
        {STR_("..a\r\n.b\r\n.\r\n"), false, STR_(".a\r\nb\r\n")},
        {STR_("a\n.\nb\r\n.\r\n"), true, STR_("a\r\n.\r\nb\r\n")},
        {STR_("a\n.\r\nb\r\n.\r\n"), true, STR_("a\r\n.\r\nb\r\n")},
        {STR_("a\r\n.\nb\r\n.\r\n"), true, STR_("a\r\n\r\nb\r\n")},
        {STR_("a\rb\r\n.\r\n"), true, STR_("a\rb\r\n")},
        {STR_("a\r.\r\r\n.\r\n"), true, STR_("a\r.\r\r\n")},
        {STR_(".\r\n"), false, STR_("")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_LIMIT(200);
        AUTO_EXACT in = exact_copy(cases[i].in);
        size_t used;
        struct smtp_data d = receive(in.str, SIZE_MAX, &out, &used);

        CHECK_CASE(d.is_done && used == in.str.n, i);
        CHECK_CASE(d.has_smuggling == cases[i].is_smuggling, i);
        CHECK_STR(buf_str(&out), cases[i].out);
        CHECK_CASE(d.size == out.n, i);
    }
}

TEST(smtp_replies_cannot_be_split)
{
    AUTO_BUF b = BUF_LIMIT(5000);
    AUTO_BUF text = BUF_LIMIT(5000);

    smtp_reply_put(&b, 550, STR("5.1.1"), STR("no \r250 ok"));
    CHECK_STR(buf_str(&b), STR("550 5.1.1 no ?250 ok\r\n"));
    buf_reset(&b);
    smtp_reply_put(&b, 250, STR(""), STR("host\nPIPELINING\nSIZE 5"));
    CHECK_STR(buf_str(&b), STR("250-host\r\n250-PIPELINING\r\n250 SIZE 5\r\n"));
    buf_reset(&b);
    for (int i = 0; i < 200; i++)
        BUF_PUT(&text, "words ");
    smtp_reply_put(&b, 550, STR("5.1.1"), buf_str(&text));
    for (struct str s = buf_str(&b), line; str_cut(s, '\n', &line, &s);)
        CHECK(line.n <= 511 && str_starts(str_from(line, 4), STR("5.1.1 ")));
}
