#include "base/test.h"
#include "proto/smtp/client.h"

// Feeds in pieces of n bytes; what is left over goes to *rest.
static bool feed(struct smtp_reply *r, struct str in, size_t n, struct str *rest, struct err *e)
{
    while (in.n && !r->is_complete) {
        struct str piece = str_sub(in, 0, n);
        size_t had = piece.n;

        if (!smtp_reply_feed(r, &piece, e))
            return false;
        in = str_from(in, had - piece.n);
    }
    *rest = in;
    return true;
}

TEST(smtp_reply_lines)
{
    static const struct {
        const char *in;
        bool ok, is_complete;
        unsigned code;
        const char *enhanced, *text, *rest;
    } cases[] = {
        {"250 ok\r\n", true, true, 250, "", "ok", ""},
        {"250\r\n", true, true, 250, "", "", ""},
        {"250 \n", true, true, 250, "", "", ""},
        {"250 2.1.0 sender ok\r\n", true, true, 250, "2.1.0", "sender ok", ""},
        {"550-5.7.1 first\r\n550 5.7.1 second\r\n", true, true, 550, "5.7.1", "first\nsecond", ""},
        {"550 5.7.1\r\n", true, true, 550, "5.7.1", "", ""},
        {"550 2.7.1 a success in a failure\r\n", true, true, 550, "", "2.7.1 a success in a failure", ""},
        {"550 5.7.1.2 no\r\n", true, true, 550, "", "5.7.1.2 no", ""},
        {"550 5.7777.1 no\r\n", true, true, 550, "", "5.7777.1 no", ""},
        {"550 5..1 no\r\n", true, true, 550, "", "5..1 no", ""},
        {"250 a\tb\x1b[31m\x7f\r\n", true, true, 250, "", "a?b?[31m?", ""},
        {"250 a\rb\r\n", true, true, 250, "", "a?b", ""},
        {"354 go\r\n250 next\r\n", true, true, 354, "", "go", "250 next\r\n"},
        {"250-ok\r\n", true, false, 250, "", "ok", ""},
        {"250-ok\r\n251 other\r\n", false, false, 0, "", "", ""},
        {"250-ok\r\n\r\n", false, false, 0, "", "", ""},
        {"hello\r\n", false, false, 0, "", "", ""},
        {"25 ok\r\n", false, false, 0, "", "", ""},
        {"2500 ok\r\n", false, false, 0, "", "", ""},
        {"150 ok\r\n", false, false, 0, "", "", ""},
        {"650 ok\r\n", false, false, 0, "", "", ""},
        {"250_ok\r\n", false, false, 0, "", "", ""},
        {"\r\n", false, false, 0, "", "", ""},
        {"HTTP/1.1 400 Bad Request\r\n", false, false, 0, "", "", ""},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t n = 1; n < 40; n += 13) {
            AUTO_EXACT in = exact_copy(str_of(cases[i].in));
            struct smtp_reply r = SMTP_REPLY;
            struct err e = {0};
            struct str rest = STR("");

            CHECK_CASE(feed(&r, in.str, n, &rest, &e) == cases[i].ok, i);
            CHECK_CASE(cases[i].ok || e.kind == ERR_SYNTAX, i);
            if (cases[i].ok) {
                CHECK_CASE(r.is_complete == cases[i].is_complete && r.code == cases[i].code, i);
                CHECK_STR(str_of(r.enhanced), str_of(cases[i].enhanced));
                CHECK_STR(buf_str(&r.text), str_of(cases[i].text));
                CHECK_STR(rest, str_of(cases[i].rest));
            }
            smtp_reply_fini(&r);
        }
}

TEST(smtp_reply_floods_are_bounded)
{
    AUTO_BUF flood = BUF_LIMIT(1 << 20);
    struct smtp_reply r = SMTP_REPLY;
    struct err e = {0};
    struct str in;

    // A line without end.
    for (int i = 0; i < 4000; i++)
        buf_put_char(&flood, '2');
    in = buf_str(&flood);
    CHECK(!smtp_reply_feed(&r, &in, &e) && e.kind == ERR_LIMIT);
    // A reply without end, of short lines and of long ones.
    for (int is_long = 0; is_long < 2; is_long++) {
        smtp_reply_reset(&r);
        e = (struct err){0};
        buf_reset(&flood);
        for (int i = 0; i < 1000; i++) {
            BUF_PUT(&flood, "250-");
            for (int k = 0; k < 500 * is_long; k++)
                buf_put_char(&flood, 'x');
            BUF_PUT(&flood, "\r\n");
        }
        in = buf_str(&flood);
        CHECK(!smtp_reply_feed(&r, &in, &e) && e.kind == ERR_LIMIT);
        CHECK(!r.text.full);
    }
    smtp_reply_fini(&r);
}

TEST(smtp_offer)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct smtp_offer o;

    smtp_offer_parse(&a, STR("mx.example STARTTLS\nSIZE 1000\npipelining\nAUTH PLAIN  SCRAM-SHA-1\nDSN\n"
                             "LIMITS RCPTMAX=5 MAILMAX=20 RCPTDOMAINMAX=1\nCHUNKINGS\nX"), &o);
    CHECK(!o.starttls && o.pipelining && o.dsn && !o.chunking && !o.eightbitmime);
    CHECK(o.has_size && o.size == 1000 && o.rcpt_max == 5 && o.mail_max == 20);
    CHECK(o.has_auth && smtp_offer_has_auth(&o, STR("plain")) && smtp_offer_has_auth(&o, STR("SCRAM-SHA-1")));
    CHECK(!smtp_offer_has_auth(&o, STR("SCRAM-SHA-1-PLUS")) && !smtp_offer_has_auth(&o, STR("SCRAM")));
    smtp_offer_parse(&a, STR("mx\nSIZE\nAUTH=LOGIN\nLIMITS RCPTMAX=5 RCPTMAX=6\nBINARYMIME\nCHUNKING\nREQUIRETLS"), &o);
    CHECK(o.has_size && o.size == 0 && o.rcpt_max == 0 && o.binarymime && o.chunking && o.requiretls);
    CHECK(smtp_offer_has_auth(&o, STR("LOGIN")));
    smtp_offer_parse(&a, STR("mx\nSIZE 99999999999999999999\nLIMITS RCPTMAX=1000000\nLIMITS MAILMAX=0"), &o);
    CHECK(!o.has_size && o.rcpt_max == 0 && o.mail_max == 0);
    smtp_offer_parse(&a, STR(""), &o);
    CHECK(!o.has_size && !o.has_auth);
}

TEST(smtp_commands_cannot_be_split)
{
    static const struct {
        struct str address;
        bool may_be_utf8, ok;
        const char *out;
    } cases[] = {
        {STR_("a@b.example"), false, true, "RCPT TO:<a@b.example>\r\n"},
        {STR_("\"a b\"@b.example"), false, true, "RCPT TO:<\"a b\"@b.example>\r\n"},
        {STR_("Postmaster"), false, true, "RCPT TO:<postmaster>\r\n"},
        {STR_("a@[192.0.2.1]"), false, true, "RCPT TO:<a@[192.0.2.1]>\r\n"},
        {STR_("a@ex\xc3\xa4mple.org"), false, true, "RCPT TO:<a@xn--exmple-cua.org>\r\n"},
        {STR_("a@ex\xc3\xa4mple.org"), true, true, "RCPT TO:<a@ex\xc3\xa4mple.org>\r\n"},
        {STR_("\xc3\xa4@b.example"), true, true, "RCPT TO:<\xc3\xa4@b.example>\r\n"},
        {STR_("\xc3\xa4@b.example"), false, false, ""},
        {STR_("a@b.example> SIZE=1"), false, false, ""},
        {STR_("a@b.example>\r\nDATA"), false, false, ""},
        {STR_("a\r\n@b.example"), false, false, ""},
        {STR_("\"a\r\nb\"@b.example"), false, false, ""},
        {STR_("\"a\0b\"@b.example"), false, false, ""},
        {STR_("a@b.example\0"), false, false, ""},
        {STR_("@x,@y:a@b.example"), false, true, "RCPT TO:<a@b.example>\r\n"},
        {STR_("a"), false, false, ""},
        {STR_(""), false, false, ""},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_LIMIT(1000);
        struct smtp_send_rcpt r = {.address = cases[i].address, .may_be_utf8 = cases[i].may_be_utf8};
        struct err e = {0};

        CHECK_CASE(smtp_put_rcpt(&out, &r, &e) == cases[i].ok, i);
        CHECK_STR(buf_str(&out), str_of(cases[i].out));
    }
}

TEST(smtp_command_parameters)
{
    AUTO_BUF out = BUF_LIMIT(4000);
    struct smtp_send_mail m = {.has_size = true, .size = 12, .is_8bitmime = true, .is_requiretls = true,
                               .ret = SMTP_RET_HDRS, .envid = STR("a b+=\r\n\xc3\xa4")};
    struct smtp_send_rcpt r = {.address = STR("a@b.c"), .notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY,
                               .orcpt_type = STR("rfc822"), .orcpt = STR("x+y@z")};
    struct err e = {0};

    CHECK(smtp_put_mail(&out, &m, &e));
    CHECK_STR(buf_str(&out), STR("MAIL FROM:<> SIZE=12 BODY=8BITMIME REQUIRETLS RET=HDRS "
                                 "ENVID=a+20b+2B+3D+0D+0A+C3+A4\r\n"));
    buf_reset(&out);
    CHECK(smtp_put_rcpt(&out, &r, &e));
    CHECK_STR(buf_str(&out), STR("RCPT TO:<a@b.c> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@z\r\n"));
    buf_reset(&out);
    r.orcpt_type = STR("rfc822 X=Y");
    r.notify = SMTP_NOTIFY_NEVER;
    CHECK(smtp_put_rcpt(&out, &r, &e));
    CHECK_STR(buf_str(&out), STR("RCPT TO:<a@b.c> NOTIFY=NEVER\r\n"));
    buf_reset(&out);
    m = (struct smtp_send_mail){.reverse_path = STR("a@b.c"), .is_binary = true, .is_smtputf8 = true};
    CHECK(smtp_put_mail(&out, &m, &e));
    CHECK_STR(buf_str(&out), STR("MAIL FROM:<a@b.c> BODY=BINARYMIME SMTPUTF8\r\n"));
    buf_reset(&out);
    m.reverse_path = STR("a@b.c> X");
    CHECK(!smtp_put_mail(&out, &m, &e) && !out.n);
    CHECK(smtp_put_hello(&out, true, STR("mx.example"), &e));
    CHECK_STR(buf_str(&out), STR("EHLO mx.example\r\n"));
    CHECK(!smtp_put_hello(&out, true, STR("mx example"), &e));
    CHECK(!smtp_put_hello(&out, true, STR("mx\r\nRSET"), &e));
}

TEST(smtp_dots_are_stuffed_and_bare_line_ends_refused)
{
    static const struct {
        const char *in;
        bool ok;
        const char *out;
    } cases[] = {
        {"", true, ".\r\n"},
        {"a\r\n", true, "a\r\n.\r\n"},
        {"a", true, "a\r\n.\r\n"},
        {".\r\n", true, "..\r\n.\r\n"},
        {"..a\r\n.b\r\n", true, "...a\r\n..b\r\n.\r\n"},
        {"a.\r\n.\r\n.", true, "a.\r\n..\r\n..\r\n.\r\n"},
        {"a\n.\n", false, ""},
        {"a\r.\r", false, ""},
        {"a\r\r\n", false, ""},
        {"a\r", false, ""},
        {"\n", false, ""},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t n = 1; n < 12; n++) {
            AUTO_BUF out = BUF_LIMIT(1000);
            AUTO_EXACT in = exact_copy(str_of(cases[i].in));
            struct err e = {0};
            struct str rest = in.str;
            int state = 0;
            bool ok = true;

            for (; ok && rest.n; rest = str_from(rest, n))
                ok = smtp_stuff(&out, &state, str_sub(rest, 0, n), &e);
            ok = ok && smtp_stuff_end(&out, state, &e);
            CHECK_CASE(ok == cases[i].ok, i);
            if (ok)
                CHECK_STR(buf_str(&out), str_of(cases[i].out));
        }
}
