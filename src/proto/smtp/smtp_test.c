#include <time.h>

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
        {"FROM:<a@[IPv6:2001:db8::1]>", true, "a@[IPv6:2001:db8::1]"},
        {"FROM:<a@[2001:db8::1]>", false, NULL},
        {"FROM:<a@[300.0.2.1]>", false, NULL},
        {"FROM:<a@[]>", false, NULL},
        {"FROM:<a@[1.2.3.4>", false, NULL},
        {"FROM:<e\xcc\x81@b.c> SMTPUTF8", true, "\xc3\xa9@b.c"}, // NFC
        {"FROM:<a@\xc3\xa9.c>", false, NULL},
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
        struct smtp_reading r = {.a = &a};
        struct smtp_mail m;
        struct err e = {0};

        CHECK_CASE(smtp_parse_mail(&r, in.str, &m, &e) == cases[i].ok, i);
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
        unsigned code; // 0: taken
        const char *enhanced;
        uint64_t size;
    } cases[] = {
        {"FROM:<> SIZE=1024 BODY=8BITMIME", 0, "", 1024},
        {"FROM:<> size=18446744073709551615", 0, "", UINT64_MAX},
        {"FROM:<> SIZE=18446744073709551616", 501, "5.5.2", 0}, // must not wrap
        {"FROM:<> SIZE=000000000000000000001", 501, "5.5.2", 0},
        {"FROM:<> SIZE=1 SIZE=2", 501, "5.5.4", 0},
        {"FROM:<> SIZE=1 size=1", 501, "5.5.4", 0},
        {"FROM:<> SIZE=1x", 501, "5.5.2", 0},
        {"FROM:<> SIZE", 555, "5.3.3", 0},
        {"FROM:<>SIZE=1", 501, "5.5.2", 0},
        {"FROM:<>  SIZE=1", 501, "5.5.2", 0},
        {"FROM:<> NOSUCH=1", 555, "5.3.3", 0},
        {"FROM:<> BODY=9BIT", 555, "5.5.4", 0},
        {"FROM:<> BODY=BINARYMIME", 0, "", 0},
        {"FROM:<> AUTH=<>", 0, "", 0},
        {"FROM:<> AUTH=e+3Dmc2@example.com", 0, "", 0},
        {"FROM:<> AUTH=a+zz", 501, "5.5.2", 0},
        {"FROM:<> REQUIRETLS SMTPUTF8", 0, "", 0},
        {"FROM:<> REQUIRETLS=1", 555, "5.3.3", 0},
        {"FROM:<> SMTPUTF8=", 501, "5.5.2", 0},
        {"FROM:<> HOLDFOR=60", 555, "5.3.3", 0},
        {"FROM:<> ", 0, "", 0},
        {"FROM:<> SIZE=1 \t", 0, "", 1},
        {"FROM:<\xc3\xa9@b.c>", 550, "5.6.7", 0},
        {"FROM:<> A=1 B=1 C=1", 555, "5.3.3", 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 16);
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        struct smtp_reading r = {.a = &a};
        struct smtp_mail m;
        struct err e = {0};

        CHECK_CASE(smtp_parse_mail(&r, in.str, &m, &e) == (cases[i].code == 0), i);
        CHECK_CASE(r.code == cases[i].code, i);
        CHECK_CASE(!r.code || str_eq(str_of(r.enhanced), str_of(cases[i].enhanced)), i);
        CHECK_CASE(r.code || m.size == cases[i].size, i);
    }
}

TEST(smtp_submission_and_pedantic)
{
    static const struct {
        const char *in;
        bool is_pedantic;
        unsigned code;
        const char *rest;
        int64_t hold_for, hold_until;
    } cases[] = {
        {"FROM:<> HOLDFOR=60", false, 0, "", 60, 0},
        {"FROM:<> HOLDFOR=060", false, 501, "", 0, 0},
        {"FROM:<> HOLDFOR=0", false, 501, "", 0, 0},
        {"FROM:<> HOLDFOR=1234567890", false, 501, "", 0, 0},
        {"FROM:<> HOLDFOR=-1", false, 501, "", 0, 0},
        {"FROM:<> HOLDUNTIL=2026-11-25T16:00:00Z", false, 0, "", 0, 1795622400},
        {"FROM:<> HOLDUNTIL=2026-11-25T16:00:00.123Z", false, 0, "", 0, 1795622400},
        {"FROM:<> HOLDUNTIL=2026-11-25T16:00:00+01:00", false, 501, "", 0, 0},
        {"FROM:<> HOLDUNTIL=2026-02-30T16:00:00Z", false, 501, "", 0, 0},
        {"FROM:<> HOLDUNTIL=2026-11-25", false, 501, "", 0, 0},
        {"FROM:<> HOLDFOR=60 HOLDUNTIL=2026-11-25T16:00:00Z", false, 501, "", 0, 0},
        {"FROM:<> SIZE=1 ", false, 501, "", 0, 0}, // blanks at the end
        {"FROM: <>", false, 0, "", 0, 0},
        {"FROM: <>", true, 501, " <>", 0, 0},
        {"FROM:<a b@c>", false, 501, " b@c>", 0, 0},
        {"FROM:<aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg@c>", true, 501,
         "@c>", 0, 0},
        {"FROM:<aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg@c>", false, 0,
         "", 0, 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 16);
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        struct smtp_reading r = {.a = &a, .is_submission = true,
                                 .is_pedantic = cases[i].is_pedantic};
        struct smtp_mail m;
        struct err e = {0};

        CHECK_CASE(smtp_parse_mail(&r, in.str, &m, &e) == (cases[i].code == 0), i);
        CHECK_CASE(r.code == cases[i].code, i);
        CHECK_CASE(!cases[i].rest[0] || str_eq(r.rest, str_of(cases[i].rest)), i);
        CHECK_CASE(r.code || m.hold_seconds == cases[i].hold_for, i);
        CHECK_CASE(r.code || m.hold_until_unix == cases[i].hold_until, i);
    }
}

TEST(smtp_recipients_and_hello)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct smtp_reading r = {.a = &a};
    struct smtp_recipient to;
    struct err e = {0};

    CHECK(smtp_parse_rcpt(&r, STR("TO:<PostMaster>"), &to, &e) && !to.to.domain.n);
    CHECK(!smtp_parse_rcpt(&r, STR("TO:<>"), &to, &e) && r.code == 501);
    CHECK(!smtp_parse_rcpt(&r, STR("TO:<a@b.c> NOTIFY=NEVER"), &to, &e) && r.code == 555);
    CHECK(!smtp_parse_rcpt(&r, STR("TO:<a@b.c>x"), &to, &e) && r.code == 501);
    CHECK(smtp_parse_rcpt(&r, STR("TO:<a@b.c>  "), &to, &e));
    r.is_submission = true;
    CHECK(!smtp_parse_rcpt(&r, STR("TO:<a@b.c> "), &to, &e));
    CHECK(smtp_is_hello(STR("mail.example.org")) && smtp_is_hello(STR("[192.0.2.1] text")));
    CHECK(smtp_is_hello(STR("[IPv6:2001:db8::1]")) && !smtp_is_hello(STR("[2001:db8::1]")));
    CHECK(!smtp_is_hello(STR("")) && !smtp_is_hello(STR("a..b")) && !smtp_is_hello(STR("a\0b")));
    CHECK(!smtp_is_hello(STR("a.b text")) && !smtp_is_hello(STR("[192.0.2.1]text")));
}

/* RFC 3461 4, 5.4; RFC 6533 3. */
TEST(smtp_notification_parameters)
{
    static const struct {
        const char *in;
        bool ok;
        unsigned notify;
        const char *orcpt;
    } rcpt[] = {
        {"TO:<a@b.c> NOTIFY=NEVER", true, SMTP_NOTIFY_NEVER, ""},
        {"TO:<a@b.c> notify=success,Failure", true, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE, ""},
        {"TO:<a@b.c> NOTIFY=DELAY ORCPT=rfc822;A+2BB@b.c", true, SMTP_NOTIFY_DELAY, "rfc822;A+B@b.c"},
        {"TO:<a@b.c> ORCPT=utf-8;b\\x{F6}b@c", true, 0, "utf-8;b\xc3\xb6\x62@c"},
        {"TO:<a@b.c> ORCPT=utf-8;b\xc3\xb6\x62@c", true, 0, "utf-8;b\xc3\xb6\x62@c"},
        {"TO:<a@b.c> ORCPT=utf-8;a\\x{2B}b@c", true, 0, "utf-8;a+b@c"},
        {"TO:<a@b.c> NOTIFY=NEVER,SUCCESS", false, 0, ""},
        {"TO:<a@b.c> NOTIFY=SUCCESS,SUCCESS", false, 0, ""},
        {"TO:<a@b.c> NOTIFY=SUCCESS,", false, 0, ""},
        {"TO:<a@b.c> NOTIFY=,SUCCESS", false, 0, ""},
        {"TO:<a@b.c> NOTIFY=", false, 0, ""},
        {"TO:<a@b.c> NOTIFY", false, 0, ""},
        {"TO:<a@b.c> NOTIFY=SOON", false, 0, ""},
        {"TO:<a@b.c> NOTIFY=DELAY NOTIFY=DELAY", false, 0, ""},
        {"TO:<a@b.c> ORCPT=a@b.c", false, 0, ""},
        {"TO:<a@b.c> ORCPT=rfc822;", false, 0, ""},
        {"TO:<a@b.c> ORCPT=;a@b.c", false, 0, ""},
        {"TO:<a@b.c> ORCPT=rfc822;a+2", false, 0, ""},
        {"TO:<a@b.c> ORCPT=rfc822;a+2b", false, 0, ""}, // lower case
        {"TO:<a@b.c> ORCPT=rfc822;a+0D+0ABcc:+20x", false, 0, ""}, // would begin a field
        {"TO:<a@b.c> ORCPT=rfc822;a+00", false, 0, ""},
        {"TO:<a@b.c> ORCPT=rfc822;\xc3\xb6@c", false, 0, ""},
        {"TO:<a@b.c> ORCPT=rfc822;+C3+B6@c", false, 0, ""},
        {"TO:<a@b.c> ORCPT=utf-8;\xc3@c", false, 0, ""},
        {"TO:<a@b.c> ORCPT=utf-8;\\x{0A}@c", false, 0, ""},
        {"TO:<a@b.c> ORCPT=utf-8;\\x{D800}@c", false, 0, ""},
        {"TO:<a@b.c> ORCPT=utf-8;\\x{110000}@c", false, 0, ""},
        {"TO:<a@b.c> ORCPT=utf-8;\\x{1}@c", false, 0, ""},
        {"TO:<a@b.c> RET=FULL", false, 0, ""},
    };
    static const struct {
        const char *in;
        bool ok;
        enum smtp_ret ret;
        const char *envid;
    } mail[] = {
        {"FROM:<a@b.c> RET=FULL", true, SMTP_RET_FULL, ""},
        {"FROM:<a@b.c> ret=hdrs ENVID=QQ+2B314159", true, SMTP_RET_HDRS, "QQ+314159"},
        {"FROM:<a@b.c> ENVID=a+20b", true, SMTP_RET_NONE, "a b"},
        {"FROM:<a@b.c> RET=ALL", false, 0, ""},
        {"FROM:<a@b.c> RET", false, 0, ""},
        {"FROM:<a@b.c> ENVID=", false, 0, ""},
        {"FROM:<a@b.c> ENVID=a+0Ab", false, 0, ""},
        {"FROM:<a@b.c> ENVID=+E2+82+AC", false, 0, ""},
        {"FROM:<a@b.c> ENVID=<>", true, SMTP_RET_NONE, "<>"},
        {"FROM:<a@b.c> NOTIFY=NEVER", false, 0, ""},
    };

    for (int is_submission = 1; is_submission >= 0; is_submission--) {
        for (size_t i = 0; i < COUNT(rcpt); i++) {
            AUTO_ARENA a = ARENA_LIMIT(1 << 16);
            AUTO_EXACT in = exact_copy(str_of(rcpt[i].in));
            struct smtp_reading r = {.a = &a, .is_submission = is_submission};
            struct smtp_recipient to;
            struct err e = {0};
            bool ok = smtp_parse_rcpt(&r, in.str, &to, &e);

            CHECK_CASE(ok == (rcpt[i].ok && is_submission), i); // port 25 does not offer it
            CHECK_CASE(!ok || to.notify == rcpt[i].notify, i);
            CHECK_CASE(!ok || str_eq(to.orcpt, str_of(rcpt[i].orcpt)), i);
        }
        for (size_t i = 0; i < COUNT(mail); i++) {
            AUTO_ARENA a = ARENA_LIMIT(1 << 16);
            AUTO_EXACT in = exact_copy(str_of(mail[i].in));
            struct smtp_reading r = {.a = &a, .is_submission = is_submission};
            struct smtp_mail m;
            struct err e = {0};
            bool ok = smtp_parse_mail(&r, in.str, &m, &e);

            CHECK_CASE(ok == (mail[i].ok && is_submission), i);
            CHECK_CASE(!ok || m.ret == mail[i].ret, i);
            CHECK_CASE(!ok || str_eq(m.envid, str_of(mail[i].envid)), i);
        }
    }
}

TEST(smtp_notification_parameters_are_bounded)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct smtp_reading r = {.a = &a, .is_submission = true};
    struct smtp_recipient to;
    struct smtp_mail m;
    struct err e = {0};
    char x[600];

    for (size_t i = 0; i < sizeof x; i++)
        x[i] = 'x';
    CHECK(smtp_parse_mail(&r, arena_printf(&a, "FROM:<> ENVID=%.100s", x), &m, &e));
    CHECK(!smtp_parse_mail(&r, arena_printf(&a, "FROM:<> ENVID=%.101s", x), &m, &e));
    CHECK(smtp_parse_rcpt(&r, arena_printf(&a, "TO:<a@b.c> ORCPT=rfc822;%.493s", x), &to, &e));
    CHECK(!smtp_parse_rcpt(&r, arena_printf(&a, "TO:<a@b.c> ORCPT=rfc822;%.494s", x), &to, &e));
}

TEST(smtp_bdat_argument)
{
    static const struct {
        struct str in;
        bool ok, is_last;
        uint64_t size;
    } cases[] = {
        {STR_("0"), true, false, 0},
        {STR_("86 LAST"), true, true, 86},
        {STR_("0 last"), true, true, 0},
        {STR_("18446744073709551615"), true, false, UINT64_MAX},
        {STR_("18446744073709551616"), false, false, 0},
        {STR_("000000000000000000086"), false, false, 0}, // 21 digits
        {STR_(""), false, false, 0},
        {STR_(" 86"), false, false, 0},
        {STR_("86 "), false, false, 0},
        {STR_("86  LAST"), false, false, 0},
        {STR_("86 LAST "), false, false, 0},
        {STR_("86 FIRST"), false, false, 0},
        {STR_("-1"), false, false, 0},
        {STR_("0x10"), false, false, 0},
        {STR_("8\0"), false, false, 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(cases[i].in);
        struct smtp_bdat got;

        CHECK_CASE(smtp_parse_bdat(in.str, &got) == cases[i].ok, i);
        CHECK_CASE(!cases[i].ok || (got.size == cases[i].size && got.is_last == cases[i].is_last), i);
    }
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

TEST(smtp_chunks)
{
    static const struct {
        struct str in;
        bool is_smuggling;
        struct str out;
    } cases[] = {
        {STR_("a\r\n.\r\nb\r\n"), false, STR_("a\r\n.\r\nb\r\n")}, // a line like any other
        {STR_("..a\r\n.b"), false, STR_("..a\r\n.b")},
        {STR_("a\nb"), false, STR_("a\r\nb")},
        {STR_("a\n.\nb"), true, STR_("a\r\n.\r\nb")},
        {STR_("a\r\n.\nb"), true, STR_("a\r\n.\r\nb")},
        {STR_("a\n.\r\nb"), true, STR_("a\r\n.\r\nb")},
        {STR_("a\rb"), true, STR_("a\rb")},
        {STR_("a\r\n.\rb"), true, STR_("a\r\n.\rb")},
        {STR_("a\r"), true, STR_("a\r")},
        {STR_(".\r"), true, STR_(".\r")},
        {STR_(""), false, STR_("")},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t piece = 1; piece <= cases[i].in.n + 1; piece++) {
            AUTO_BUF out = BUF_LIMIT(200);
            AUTO_EXACT in = exact_copy(cases[i].in);
            struct smtp_data d = {.is_chunked = true};

            for (size_t at = 0; at < in.str.n; at += piece) {
                struct str part = str_sub(in.str, at, piece);

                smtp_data_feed(&d, &part, &out);
                CHECK_CASE(!part.n, i);
            }
            smtp_data_end(&d, &out);
            CHECK_CASE(!d.is_done && d.has_smuggling == cases[i].is_smuggling, i);
            CHECK_STR(buf_str(&out), cases[i].out);
            CHECK_CASE(d.size == out.n && d.size - d.added == in.str.n, i);
        }
}

TEST(smtp_enhanced_status_codes)
{
    static const struct str good[] = {STR_("2.0.0"), STR_("4.3.0"), STR_("5.1.1"), STR_("5.7.30"), STR_("5.999.999")};
    static const struct str bad[] = {STR_(""), STR_("5"), STR_("5.1"), STR_("5.1."), STR_("3.0.0"), STR_("1.0.0"), STR_("6.0.0"), STR_("5.1000.1"), STR_("5..1"),
                                     STR_("5.1.1 "), STR_("5.1.1\r\n"), STR_("5.1.1\0"), STR_(" 5.1.1"), STR_("5.1.-1"), STR_("5.1.000000001"), STR_("05.1.1")};

    for (size_t i = 0; i < COUNT(good) + COUNT(bad); i++) {
        AUTO_EXACT text = exact_copy(i < COUNT(good) ? good[i] : bad[i - COUNT(good)]);

        CHECK_CASE(smtp_is_enhanced(text.str) == (i < COUNT(good)), i);
    }
}

TEST(smtp_replies_cannot_be_split)
{
    AUTO_BUF b = BUF_LIMIT(5000);
    AUTO_BUF text = BUF_LIMIT(5000);

    smtp_reply_put(&b, 550, STR("5.1.1\r\n250 ok"), STR("no"));
    CHECK_STR(buf_str(&b), STR("550 no\r\n"));
    buf_reset(&b);

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

// Bare CRs end no line, and each was looked for to the end of the bytes at hand.
TEST(smtp_data_with_many_bare_line_ends_is_read_in_linear_time)
{
    static const char *const pieces[] = {"a\r", "a\n"};
    enum { PIECES = 32 * 1024 };

    for (size_t i = 0; i < COUNT(pieces); i++) {
        double seconds[2] = {1e9, 1e9};

        for (size_t k = 0; k < 2; k++) {
            AUTO_BUF text = BUF_LIMIT(16 << 20);

            for (size_t n = 0; n < PIECES * (k ? 4 : 1); n++)
                buf_put(&text, str_of(pieces[i]));
            for (unsigned repeat = 0; repeat < 3; repeat++) {
                AUTO_BUF out = BUF_LIMIT(16 << 20);
                struct str in = buf_str(&text);
                struct smtp_data d = {0};
                clock_t start = clock();

                smtp_data_feed(&d, &in, &out);
                if ((double)(clock() - start) / CLOCKS_PER_SEC < seconds[k])
                    seconds[k] = (double)(clock() - start) / CLOCKS_PER_SEC;
            }
        }
        CHECK_CASE(seconds[1] < 10 * seconds[0] + 0.01, i); // four times, not sixteen
    }
}
