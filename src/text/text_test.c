#include "base/test.h"
#include "text/date.h"
#include "text/deflate.h"
#include "text/encode.h"
#include "text/json.h"
#include "text/prep.h"
#include "text/regex.h"

TEST(base64_both_ways)
{
    static const char *const cases[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
                                           {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}};
    static const char *const bad[] = {"Zg", "Zg=", "Z===", "Zh==", "Zm9=", "Zm 9", "====", "Zg==Zg=="};
    AUTO_BUF b = BUF_LIMIT(100);

    for (size_t i = 0; i < COUNT(cases); i++) {
        buf_reset(&b);
        base64_encode(&b, str_of(cases[i][0]));
        CHECK_STR(buf_str(&b), str_of(cases[i][1]));
        buf_reset(&b);
        CHECK_CASE(base64_decode_strict(&b, str_of(cases[i][1])), i);
        CHECK_STR(buf_str(&b), str_of(cases[i][0]));
    }
    buf_reset(&b);
    base64url_encode(&b, STR("\xfb\xff\xfe\xff"));
    CHECK_STR(buf_str(&b), STR("-__-_w"));
    buf_reset(&b);
    CHECK(base64url_decode(&b, STR("-__-_w")));
    CHECK_STR(buf_str(&b), STR("\xfb\xff\xfe\xff"));
    CHECK(!base64url_decode(&b, STR("+w")) && !base64url_decode(&b, STR("_w==")) &&
          !base64url_decode(&b, STR("_")));
    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK_CASE(!base64_decode_strict(&b, str_of(bad[i])), i);
}

TEST(transfer_decoding_does_not_depend_on_the_pieces)
{
    static const struct {
        enum transfer_encoding encoding;
        const char *in, *out;
    } cases[] = {
        {TRANSFER_QUOTED_PRINTABLE, "a=3Db=\r\nc  \r\nd=zz=", "a=bc\r\nd=zz"},
        {TRANSFER_QUOTED_PRINTABLE, "J'=C3=A9 \t x", "J'\xc3\xa9 \t x"},
        {TRANSFER_BASE64, "Zm9v\r\nYm!Fy==ignored", "foobar"},
        {TRANSFER_IDENTITY, "as it is", "as it is"},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t cut = 0; cut <= str_of(cases[i].in).n; cut++) {
            struct transfer_decoder d = {.encoding = cases[i].encoding};
            AUTO_BUF b = BUF_LIMIT(100);

            transfer_feed(&d, str_sub(str_of(cases[i].in), 0, cut), &b);
            transfer_feed(&d, str_from(str_of(cases[i].in), cut), &b);
            transfer_end(&d, &b);
            CHECK_STR(buf_str(&b), str_of(cases[i].out));
        }
}

TEST(utf8_wellformedness)
{
    static const struct {
        struct str in;
        bool ok;
    } cases[] = {
        {STR_("abc"), true},          {STR_("\xc3\xa9"), true},     {STR_("\xc0\x80"), false},
        {STR_("\xed\xa0\x80"), false}, {STR_("\xf4\x90\x80\x80"), false},
        {STR_("\xf0\x9f\x98\x80"), true}, {STR_("\xe2\x82"), false}, {STR_("\x80"), false},
    };
    AUTO_BUF b = BUF_LIMIT(100);

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(cases[i].in);

        CHECK_CASE(utf8_is_valid(in.str) == cases[i].ok, i);
        buf_reset(&b);
        utf8_put_valid(&b, in.str);
        CHECK_CASE(utf8_is_valid(buf_str(&b)), i);
    }
}

TEST(modified_utf7)
{
    static const char *const cases[][2] = {
        {"INBOX", "INBOX"},
        {"~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
         "~peter/mail/&U,BTFw-/&ZeVnLIqe-"}, // RFC 3501 5.1.3
        {"a&b", "a&-b"},
        {"\xc3\xa9&", "&AOk-&-"},
        {"\xf0\x9f\x98\x80", "&2D3eAA-"},
    };
    static const char *const bad[] = {"&", "&AOk", "&A-", "&AGE-", "&2D0-", "&3gA-", "&AOl-x&!-", "\xc3\xa9", "&AOk-&AOk-"};
    AUTO_BUF b = BUF_LIMIT(200);

    for (size_t i = 0; i < COUNT(cases); i++) {
        buf_reset(&b);
        mutf7_encode(&b, str_of(cases[i][0]));
        CHECK_STR(buf_str(&b), str_of(cases[i][1]));
        buf_reset(&b);
        CHECK_CASE(mutf7_decode(&b, str_of(cases[i][1])), i);
        CHECK_STR(buf_str(&b), str_of(cases[i][0]));
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        AUTO_EXACT in = exact_copy(str_of(bad[i]));

        buf_reset(&b);
        CHECK_CASE(!mutf7_decode(&b, in.str), i);
    }
}

TEST(charsets)
{
    AUTO_BUF b = BUF_LIMIT(200);

    charset_put_utf8(&b, STR("iso-8859-1"), STR("\xe9"));
    charset_put_utf8(&b, STR("windows-1252"), STR("\x80"));
    charset_put_utf8(&b, STR("cp1251"), STR("\xef"));
    charset_put_utf8(&b, STR("unknown-8bit"), STR("x\xff"));
    charset_put_utf8(&b, STR("iso-2022-jp"), STR("\x1b$B$\"\x1b(B"));
    CHECK_STR(buf_str(&b), STR("\xc3\xa9\xe2\x82\xac\xd0\xbfx\xef\xbf\xbd\xe3\x81\x82"));
    buf_reset(&b);
    charset_put_utf8(&b, STR("latin1"), STR("a longer \xe9\xe8 one\0\xff"));
    charset_put_utf8(&b, STR("iso-8859-3"), STR("x\xa5y")); // no character
    charset_put_utf8(&b, STR("shift_jis"), STR("\xb1"));
    CHECK_STR(buf_str(&b), STR("a longer \xc3\xa9\xc3\xa8 one\0\xc3\xbf" "x\xef\xbf\xbdy\xef\xbd\xb1"));
    // Marks that make one character with the one before, and one that gets none.
    buf_reset(&b);
    charset_put_utf8(&b, STR("windows-1258"), STR("a\xec" "o\xcc" "e"));
    charset_put_utf8(&b, STR("windows-1255"), STR("\xf9\xd1"));
    CHECK_STR(buf_str(&b), STR("\xc3\xa1\xc3\xb2" "e\xef\xac\xaa"));
}

TEST(message_dates)
{
    static const struct {
        const char *in;
        bool ok;
        int64_t unix_seconds;
        int zone;
    } cases[] = {
        {"Tue, 24 Nov 2026 09:16:53 +0100", true, 1795508213, 60},
        {"24 Nov 2026 09:16 GMT", true, 1795511760, 0},
        {"Thu, 1 Jan 1970 00:00:00 +0000", true, 0, 0},
        {"Fri, 21 Nov 97 09(comment):   55  :  06 -0600", true, 880127706, -360},
        {"21 Nov 1997 09:55:06 EST", true, 880124106, -300},
        {"29 Feb 2023 00:00:00 +0000", false, 0, 0},
        {"29 Feb 2024 00:00:00 +0000", true, 1709164800, 0},
        {"", false, 0, 0},
        {"Tue, 24 Nov", false, 0, 0},
        {"24 Nov 2026 24:00:00 +0000", false, 0, 0},
        {"(unclosed 24 Nov 2026 09:16:53 +0100", false, 0, 0},
    };
    AUTO_BUF b = BUF_LIMIT(200);
    struct date d;

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));

        d = (struct date){0};
        CHECK_CASE(date_parse(in.str, &d) == cases[i].ok, i);
        CHECK_CASE(!cases[i].ok || (d.unix_seconds == cases[i].unix_seconds &&
                                    d.zone_minutes == cases[i].zone), i);
    }
    date_put(&b, (struct date){1795508213, 60});
    buf_put_char(&b, '|');
    date_put_imap(&b, (struct date){1795508213 - 20 * 86400, -90});
    buf_put_char(&b, '|');
    date_put_rfc3339(&b, -1);
    CHECK_STR(buf_str(&b), STR("Tue, 24 Nov 2026 09:16:53 +0100| 4-Nov-2026 06:46:53 -0130|"
                               "1969-12-31T23:59:59Z"));
}

TEST(imap_dates)
{
    struct date d;
    int64_t days;

    CHECK(date_parse_imap(STR(" 4-Nov-2026 06:46:53 -0130"), &d) && d.zone_minutes == -90);
    CHECK(!date_parse_imap(STR("4-Nov-2026 06:46:53"), &d));
    CHECK(!date_parse_imap(STR("31-Nov-2026 06:46:53 +0000"), &d));
    CHECK(date_parse_imap_day(STR("1-Jan-1970"), &days) && days == 0);
    CHECK(!date_parse_imap_day(STR("1-Jan-1970x"), &days));
}

TEST(json_strings)
{
    AUTO_BUF b = BUF_LIMIT(200);

    json_put_string(&b, STR("a\"\\\n\xc3\xa9\xff"));
    CHECK_STR(buf_str(&b), STR("\"a\\\"\\\\\\u000a\xc3\xa9\xef\xbf\xbd\""));
}

TEST(why_a_text_is_no_json_is_in_ascii)
{
    AUTO_EXACT in = exact_copy(STR("\xc3\xa9\x01"));
    struct err e = {0};

    CHECK(!json_read(in.str, 10, &e) && e.kind == ERR_SYNTAX);
    for (const char *p = e.text; *p; p++)
        CHECK(*p >= ' ' && *p < 127);
}

TEST(passwords_are_prepared)
{
    static const struct {
        const char *in, *opaque, *saslprep;
    } cases[] = {
        {"plain ascii", "plain ascii", "plain ascii"},
        {"e\xcc\x81", "\xc3\xa9", "\xc3\xa9"},                 // composed
        {"a\xc2\xa0" "b", "a b", "a b"},                        // no-break space
        {"\xe3\x80\x80", " ", " "},                            // ideographic space
        {"I\xc2\xadX", "I\xc2\xadX", "IX"},                    // RFC 4013 3: soft hyphen
        {"\xc2\xaa", "\xc2\xaa", "a"},                         // RFC 4013 3: U+00AA
        {"\xe2\x85\xa8", "\xe2\x85\xa8", "IX"},               // RFC 4013 3: U+2168
        {"\xc3", "\xc3", "\xc3"},                              // not UTF-8
        {"\xc3\xa9\x07", "\xc3\xa9\x07", "\xc3\xa9\x07"},    // a control character
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 16);
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));

        CHECK_STR(text_opaque(&a, in.str), str_of(cases[i].opaque));
        CHECK_STR(text_saslprep(&a, in.str), str_of(cases[i].saslprep));
    }
}

TEST(deflate_in_one_stream)
{
    AUTO_BUF squeezed = BUF_LIMIT(1 << 20);
    AUTO_BUF back = BUF_LIMIT(1 << 20);
    AUTO_BUF want = BUF_LIMIT(1 << 20);
    struct inflater *in = inflater_new();
    struct str from;
    struct err e = {0};
    bool is_end = false;

    // Each in a deflater of its own, and each can be read before the next is written.
    for (unsigned i = 0; i < 20; i++) {
        struct deflater *d = deflater_new();
        size_t got = 1;

        buf_reset(&squeezed);
        for (unsigned k = 0; k < i * 100; k++)
            buf_printf(&want, "line %u\r\n", k);
        deflater_put(d, str_from(buf_str(&want), back.n), &squeezed);
        deflater_free(d);
        from = buf_str(&squeezed);
        while (got) {
            char *p = buf_room(&back, 100);

            CHECK(inflater_take(in, &from, p, 100, &got, &is_end, &e) && got <= 100);
            buf_claim(&back, got);
        }
        CHECK(!from.n && !is_end && str_eq(buf_str(&back), buf_str(&want)));
    }
    from = STR("\xff\xff\xff");
    {
        size_t got;

        CHECK(!inflater_take(in, &from, buf_room(&back, 100), 100, &got, &is_end, &e));
        CHECK(e.kind == ERR_SYNTAX);
    }
    inflater_free(in);
}

TEST(crlf_for_bare_lf)
{
    static const char *const cases[][2] = {
        {"", ""}, {"a\nb", "a\r\nb"}, {"a\r\nb\n", "a\r\nb\r\n"}, {"\n\n", "\r\n\r\n"}, {"\r\r\n", "\r\r\n"}, {"\r", "\r"}};

    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t step = 1; step < 5; step++) {
            AUTO_BUF out = BUF_LIMIT(100);
            struct str in = str_of(cases[i][0]);
            char last = 0;

            for (size_t at = 0; at < in.n; at += step)
                crlf_put(&out, str_sub(in, at, step), &last);
            CHECK_CASE(str_eq(buf_str(&out), str_of(cases[i][1])), i);
        }
}

TEST(crockford_numbers)
{
    static const struct {
        uint64_t v;
        const char *text;
    } cases[] = {{0, "0"}, {31, "z"}, {32, "10"}, {18, "j"}, {UINT64_MAX, "fzzzzzzzzzzzz"}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_LIMIT(100);

        crockford_put(&out, cases[i].v);
        CHECK_CASE(str_eq(buf_str(&out), str_of(cases[i].text)), i);
    }
}

TEST(expressions_find_and_replace)
{
    static const struct {
        const char *pattern, *text, *replacement;
        bool is_found;
        struct str want;
    } cases[] = {
        {"a", "banana", "o", true, STR_("bonono")},
        {"^a", "banana", "o", false, STR_("")},
        {"(n)(x)?", "banana", "<$1|$2|$3>", true, STR_("ba<n||>a<n||>a")},
        {"x*", "\xc3\xb6y", "-", true, STR_("-\xc3\xb6-y-")}, // between characters, not within
        {"(?<w>[a-z]+)", "one two", "${w}$w$$$1x$", true, STR_("oneone$$ twotwo$$")},
        {"b", "b", "${1", true, STR_("${1")},
        {"a$", "a\n", "b", false, STR_("")},
        {"", "", "x", true, STR_("x")},
        {"a", "\xff" "a", "b", false, STR_("")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT text = exact_copy(str_of(cases[i].text));
        AUTO_BUF out = BUF_LIMIT(1000);
        struct err e = {0};
        struct regex *r = regex_new(str_of(cases[i].pattern), &e);
        size_t begin = 99, end = 99;

        CHECK_CASE(r, i);
        CHECK_CASE(regex_replace(r, text.str, str_of(cases[i].replacement), &out) == cases[i].is_found, i);
        CHECK_STR(buf_str(&out), cases[i].want);
        CHECK_CASE(regex_find(r, text.str, &begin, &end) == cases[i].is_found, i);
        CHECK_CASE(!cases[i].is_found || (begin <= end && end <= text.str.n), i);
        regex_free(r);
    }
}

TEST(a_gzip_member_in_pieces)
{
    AUTO_BUF packed = BUF_LIMIT(100000), back = BUF_LIMIT(10000);
    struct deflater *d = deflater_new_gzip();
    struct inflater *i = inflater_new_gzip();
    struct str rest;
    struct err e = {0};
    bool is_end = false;
    size_t flushed;

    deflater_put(d, STR("first, "), &packed);
    flushed = packed.n;
    deflater_put_more(d, STR("second, "), &packed);
    CHECK(packed.n == flushed); // kept back
    deflater_put_more(d, STR(""), &packed);
    deflater_put(d, STR("third"), &packed);
    deflater_end(d, &packed);
    rest = buf_str(&packed);
    for (size_t n = 0; !is_end; n++) {
        char piece[8];
        size_t got;

        CHECK(n < 1000);
        CHECK(inflater_take(i, &rest, piece, sizeof piece, &got, &is_end, &e));
        buf_put(&back, str_at(piece, got));
    }
    CHECK(!rest.n);
    CHECK_STR(buf_str(&back), STR("first, second, third"));
    deflater_free(d);
    inflater_free(i);
}

TEST(what_is_shown_on_a_terminal)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", ""},
        {"Caf\xc3\xa9 \\ \xe2\x82\xac", "Caf\xc3\xa9 \\ \xe2\x82\xac"},
        {"\x1b[2J\r\n\t\x7f", "\\027[2J\\013\\010\\009\\127"},
        {"\xc2\x9b" "31m", "\\194\\155" "31m"},     // CSI as one character
        {"a\xe2\x80\xae" "b", "a\\226\\128\\174" "b"}, // right to left from here
        {"\xff\xc3", "\\255\\195"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        AUTO_BUF out = BUF_LIMIT(1000);

        utf8_put_shown(&out, in.str);
        CHECK_STR(buf_str(&out), str_of(cases[i].out));
    }
}
