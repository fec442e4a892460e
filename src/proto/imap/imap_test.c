#include "base/test.h"
#include "proto/imap/imap.h"
#include "proto/imap/structure.h"

// Feeds all of text and tells the results as letters.
static void results(const char *text, struct buf *out, struct buf *last)
{
    static const char letters[] = "mcCDblB";
    struct str left = str_of(text);
    struct imap_input in;

    imap_input_init(&in, &imap_limits_stranger);
    while (left.n) {
        enum imap_input_result r = imap_input_feed(&in, &left);

        buf_put_char(out, letters[r]);
        if (r == IMAP_INPUT_COMMAND) {
            buf_reset(last);
            buf_put(last, buf_str(&in.bytes));
            imap_input_reset(&in);
        }
        if (r == IMAP_INPUT_DATA || r == IMAP_INPUT_TOO_BIG || r == IMAP_INPUT_BAD_LINE)
            break;
    }
    imap_input_fini(&in);
}

TEST(imap_input_lines_and_literals)
{
    static const struct {
        const char *in, *results, *last;
    } cases[] = {
        {"a NOOP\r\n", "C", "a NOOP"},
        {"a NOOP\r\nb NOOP\r\n", "CC", "b NOOP"},
        {"a NOOP\n", "b", ""},
        {"a LOGIN {3}\r\nbob {2+}\r\nxy\r\n", "cC", "a LOGIN {3}\r\nbob {2+}\r\nxy"},
        {"a LOGIN {5000}\r\n", "B", ""},
        {"a LOGIN {0}\r\n x\r\n", "cC", "a LOGIN {0}\r\n x"},
        {"a APPEND {5}\r\nInbox {10}\r\n", "cD", ""},
        {"a APPEND Inbox (\\Seen) {10+}\r\n", "D", ""},
        {"a APPEND Inbox {99999999999}\r\n", "D", ""},
        {"a append Inbox ~{5+}\r\n", "D", ""},
        {"a APPEND ~{5+}\r\nInbox UTF8 (~{9}\r\n", "D", ""},
        {"a REPLACE 4 Inbox {5}\r\n", "D", ""},
        {"a UID REPLACE 4 {5}\r\nInbox {5}\r\n", "cD", ""},
        {"a UID FETCH 4 {2}\r\nab\r\n", "cC", "a UID FETCH 4 {2}\r\nab"},
        {"a REPLACE {2}\r\nab\r\n", "cC", "a REPLACE {2}\r\nab"},
        {"a X {18446744073709551616}\r\n", "B", ""},
        {"a X {x}\r\n", "C", "a X {x}"},
        {"a X {}\r\n", "C", "a X {}"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_LIMIT(1000);
        AUTO_BUF last = BUF_LIMIT(1000);

        results(cases[i].in, &out, &last);
        CHECK_CASE(str_eq(buf_str(&out), str_of(cases[i].results)), i);
        CHECK_CASE(str_eq(buf_str(&last), str_of(cases[i].last)), i);
    }
}

static bool parses(const char *text, int which)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    AUTO_EXACT in = exact_copy(str_of(text));
    struct err e = {0};
    struct imap_parser p = {cur_of(in.str), &a, false, &e};
    struct imap_fetch fetch;
    struct imap_search search;
    struct imap_list list;
    struct imap_set set;
    struct imap_words flags;
    struct imap_select select;
    unsigned items;
    bool ok = which == 5   ? imap_select_arguments(&p, &select)
              : which == 6 ? imap_enable_arguments(&p, &flags)
              : which == 7 ? imap_id_arguments(&p, &flags)
              : which == 8 ? imap_status_items(&p, &items) && imap_end(&p)
              : which == 0   ? imap_fetch_arguments(&p, &fetch)
              : which == 1 ? imap_search_arguments(&p, &search)
              : which == 2 ? imap_list_arguments(&p, &list)
              : which == 3 ? imap_sequence_set(&p, &set) && imap_end(&p)
                           : imap_flag_list(&p, true, &flags) && imap_end(&p);

    CHECK(ok == (e.kind == ERR_NONE));
    return ok;
}

TEST(imap_arguments)
{
    static const struct {
        const char *in;
        int which;
        bool ok;
    } cases[] = {
        {"FAST", 0, true},
        {"(FLAGS UID)", 0, true},
        {"BODY[1.2.MIME]<0.100>", 0, true},
        {"BODY.PEEK[HEADER.FIELDS (From \"To\")]", 0, true},
        {"(BODY[] RFC822.SIZE) (CHANGEDSINCE 5)", 0, true},
        {"BODY.PEEK", 0, false},
        {"BODY[MIME]", 0, false},
        {"BODY[0]", 0, false},
        {"BODY[1", 0, false},
        {"(FLAGS", 0, false},
        {"BODY[]<0.0>", 0, false},
        {"ALL", 1, true},
        {"RETURN (MIN COUNT) UNSEEN", 1, true},
        {"RETURN () 1:*", 1, true},
        {"OR (FROM x SUBJECT \"y\") NOT SINCE 1-Feb-1994", 1, true},
        {"CHARSET utf-8 TEXT {2}\r\nab", 1, true},
        {"HEADER X-Foo \"\"", 1, true},
        {"MODSEQ \"/flags/\\\\draft\" all 620162338", 1, true},
        {"SINCE yesterday", 1, false},
        {"OR ALL", 1, false},
        {"TEXT {3}\r\nab", 1, false},
        {"FROBNICATE", 1, false},
        {"\"\" *", 2, true},
        {"(SUBSCRIBED) \"\" (a% \"b*\") RETURN (STATUS (MESSAGES SIZE) CHILDREN)", 2, true},
        {"(RECURSIVEMATCH) \"\" *", 2, false},
        {"\"\"", 2, false},
        {"1,3:5,*:7,$", 3, false},
        {"1,3:5,*:7", 3, true},
        {"0", 3, false},
        {"4294967296", 3, false},
        {"(\\Seen work)", 4, true},
        {"\\Seen work", 4, true},
        {"()", 4, true},
        {"(\\)", 4, false},
        {"1 (FLAGS)", 0, false},
        {"FLAGS (CHANGEDSINCE 5 VANISHED)", 0, true},
        {"FLAGS (VANISHED CHANGEDSINCE 5)", 0, true},
        {"FLAGS (VANISHED)", 0, false},
        {"FLAGS (VANISHED CHANGEDSINCE 5 VANISHED)", 0, false},
        {"FLAGS (CHANGEDSINCE 9223372036854775808)", 0, false},
        {"RETURN (SAVE) $", 1, true},
        {"RETURN (MIN  MAX) ALL", 1, false},
        {"RETURN ( MIN) ALL", 1, false},
        {"Inbox", 5, true},
        {"\"a b\" (CONDSTORE)", 5, true},
        {"Inbox (CONDSTORE QRESYNC (1 2))", 5, true},
        {"Inbox (QRESYNC (67890007 90060115194045000 41:211,214:541))", 5, true},
        {"Inbox (QRESYNC (1 2 1:29997 (5000,7500,9000,9990:9999 15000,22500,27000,29970,29973,29976,"
         "29979,29982,29985,29988,29991,29994,29997)))", 5, true}, // RFC 7162 3.2.5.2
        {"Inbox (QRESYNC (1 2 (1,3:4 2,5:6)))", 5, true},
        {"Inbox (QRESYNC (1 2 (1:4294967295 1:4294967295)))", 5, true},
        {"Inbox (QRESYNC (1 2 (1:2 1:3)))", 5, false},
        {"Inbox (QRESYNC (1 2 (2,1 1,2)))", 5, false},
        {"Inbox (QRESYNC (1 2 (1,1 1,2)))", 5, false},
        {"Inbox (QRESYNC (1 2 1:*))", 5, false},
        {"Inbox (QRESYNC (1 2 $))", 5, false},
        {"Inbox (QRESYNC (0 2))", 5, false},
        {"Inbox (QRESYNC (1 0))", 5, false},
        {"Inbox (QRESYNC (1 9223372036854775807))", 5, true},
        {"Inbox (QRESYNC (1 9223372036854775808))", 5, false},
        {"Inbox (QRESYNC (4294967296 1))", 5, false},
        {"Inbox (QRESYNC 1 2)", 5, false},
        {"Inbox (CONDSTORE CONDSTORE)", 5, false},
        {"Inbox ()", 5, false},
        {"Inbox (CONDSTORE) x", 5, false},
        {"CONDSTORE X-GOOD+IDEA", 6, true},
        {"", 6, false},
        {"CONDSTORE ", 6, false},
        {"(CONDSTORE)", 6, false},
        {"NIL", 7, true},
        {"()", 7, true},
        {"(\"name\" \"x\" \"os\" NIL)", 7, true},
        {"(\"name\" \"x\" \"NAME\" \"y\")", 7, false},
        {"(\"name\")", 7, false},
        {"(name x)", 7, false},
        {"(\"0123456789012345678901234567890\" \"x\")", 7, false},
        {"(MESSAGES size)", 8, true},
        {"()", 8, false},
        {"(MESSAGES  SIZE)", 8, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_CASE(parses(cases[i].in, cases[i].which) == cases[i].ok, i);
}

TEST(imap_search_depth_is_limited)
{
    AUTO_BUF deep = BUF_LIMIT(1 << 20);

    for (int i = 0; i < 10000; i++)
        BUF_PUT(&deep, "NOT ");
    BUF_PUT(&deep, "ALL");
    buf_put_char(&deep, 0);
    CHECK(!parses(deep.p, 1));
}

// What comes behind a string takes no memory for it: a user's own command would end the account's process.
TEST(imap_many_strings_before_a_long_one)
{
    enum { STRINGS = 900, LONG = 90 * 1024 };
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_BUF line = BUF_LIMIT(1 << 20);
    struct imap_search search;
    struct err e = {0};
    struct imap_parser p;

    for (size_t i = 0; i < STRINGS; i++)
        BUF_PUT(&line, "TO \"\\\"x\" ");
    buf_printf(&line, "TEXT {%d+}\r\n", LONG);
    for (size_t i = 0; i < LONG; i++)
        buf_put_char(&line, 'y');
    p = (struct imap_parser){cur_of(buf_str(&line)), &a, false, &e};
    CHECK(imap_search_arguments(&p, &search));
    CHECK_STR(search.key->child->value, STR("\"x"));
}

TEST(imap_sets_sorted)
{
    static const struct {
        const char *in;
        uint64_t low, high;
        const char *out;
    } cases[] = {
        {"5,3,4", 1, 100, "3:5 "},
        {"9:7,1", 1, 100, "1:1 7:9 "},
        {"*,2", 1, 100, "2:2 10:10 "},
        {"12:*", 1, 100, "10:12 "},
        {"*:4", 1, 100, "4:10 "},
        {"1:4294967295,5,1:*", 3, 8, "3:8 "},
        {"1,2,9", 3, 8, ""},
        {"1:3,3:5,7", 1, 100, "1:5 7:7 "},
        {"4294967295", 1, UINT32_MAX, "4294967295:4294967295 "},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF out = BUF_LIMIT(1000);
        struct err e = {0};
        struct imap_parser p = {cur_of(str_of(cases[i].in)), &a, false, &e};
        struct imap_set set, sorted;

        CHECK(imap_sequence_set(&p, &set));
        sorted = imap_set_sorted(&a, &set, 10, cases[i].low, cases[i].high);
        for (size_t k = 0; k < sorted.n; k++)
            buf_printf(&out, "%llu:%llu ", (unsigned long long)sorted.ranges[k].first,
                       (unsigned long long)sorted.ranges[k].last);
        CHECK_CASE(str_eq(buf_str(&out), str_of(cases[i].out)), i);
        for (uint64_t n = 0; n < 20; n++) {
            bool is_in = false;

            for (size_t k = 0; k < sorted.n; k++)
                is_in |= n >= sorted.ranges[k].first && n <= sorted.ranges[k].last;
            CHECK_CASE(imap_set_has(&sorted, n) == is_in, i);
        }
    }
}

TEST(imap_list_patterns)
{
    static const struct {
        const char *pattern, *name;
        bool match;
    } cases[] = {
        {"*", "a/b/c", true},   {"%", "a", true},        {"%", "a/b", false},
        {"a/%", "a/b", true},   {"a/%", "a/b/c", false}, {"a*c", "a/b/c", true},
        {"%/c", "a/b/c", false}, {"*/c", "a/b/c", true}, {"", "", true},
        {"", "a", false},       {"*%", "a/b", true},     {"%*", "a/b", true},
        {"**", "a/b", true},     {"%%", "a/b", false},   {"%*%", "a/b", true},
        {"a%%%b", "axb", true},  {"aaaa*", "aaa", false}, {"***a***", "a", true},
        {"a%b*c", "axxb/yc", true}, {"a%b", "a/b", false}, {"*a%c", "xa/yabc", true},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_CASE(imap_list_match(str_of(cases[i].pattern), str_of(cases[i].name)) ==
                       cases[i].match, i);
}

/* --- ENVELOPE, BODYSTRUCTURE ----------------------------------------------------------------------- */

static void structure_of(const char *text, bool extended, struct buf *out)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    AUTO_EXACT in = exact_copy(str_of(text));
    bool is_broken;

    imap_bodystructure_put(out, mime_parse(&a, in.str, &is_broken), extended);
}

TEST(imap_bodystructure)
{
    static const struct {
        const char *in, *body, *bodystructure;
    } cases[] = {
        {"Subject: x\r\n\r\none\r\ntwo\r\n",
         "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 10 2)",
         "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 10 2 NIL NIL NIL NIL)"},
        {"Content-Type: image/png; name=\"a b\"\r\nContent-ID: <i@x>\r\nContent-Description: d\r\n"
         "Content-Transfer-Encoding: base64\r\nContent-MD5: abc\r\nContent-Language: en, de\r\n"
         "Content-Location: http://x/\r\nContent-Disposition: attachment; filename=f.png\r\n\r\nAAAA",
         "(\"IMAGE\" \"PNG\" (\"NAME\" \"a b\") \"<i@x>\" \"d\" \"BASE64\" 4)",
         "(\"IMAGE\" \"PNG\" (\"NAME\" \"a b\") \"<i@x>\" \"d\" \"BASE64\" 4 \"abc\" (\"ATTACHMENT\" "
         "(\"FILENAME\" \"f.png\")) (\"en\" \"de\") \"http://x/\")"},
        {"Content-Type: text/html\r\nContent-Disposition: inline\r\nContent-Language: de\r\n\r\n",
         "(\"TEXT\" \"HTML\" NIL NIL NIL \"7BIT\" 0 0)",
         "(\"TEXT\" \"HTML\" NIL NIL NIL \"7BIT\" 0 0 NIL (\"INLINE\" NIL) \"de\" NIL)"},
        // RFC 2231: continuations are joined, what is not ASCII keeps the extended form.
        {"Content-Type: application/x; name*0*=utf-8''%C3%A4; name*1=\"b\"\r\n\r\n",
         "(\"APPLICATION\" \"X\" (\"NAME*\" \"utf-8''%C3%A4b\") NIL NIL \"7BIT\" 0)",
         "(\"APPLICATION\" \"X\" (\"NAME*\" \"utf-8''%C3%A4b\") NIL NIL \"7BIT\" 0 NIL NIL NIL NIL)"},
        {"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nb\r\n",
         "(\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 18 (NIL \"in\" NIL NIL NIL NIL NIL NIL NIL NIL) "
         "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3 1) 3)",
         NULL},
        {"Content-Type: message/global\r\n\r\nSubject: in\r\n\r\n",
         "(\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"7BIT\" 15 (NIL \"in\" NIL NIL NIL NIL NIL NIL NIL NIL) "
         "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 0 0) 2)",
         NULL},
        // An encoded message is not taken apart.
        {"Content-Type: message/rfc822; name=m\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA",
         "(\"APPLICATION\" \"OCTET-STREAM\" (\"NAME\" \"m\") NIL NIL \"BASE64\" 4)", NULL},
        // RFC 2046 5.1.5: parts of a digest are messages when they do not say otherwise.
        {"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: s\r\n\r\n\r\n--b--\r\n",
         "((\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 14 (NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) "
         "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 0 0) 2) \"DIGEST\")", NULL},
        {"Content-Type: multipart/mixed; boundary=b; x=y\r\nContent-Language: en\r\n\r\n--b\r\n\r\nt\r\n--b--",
         "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 1 0) \"MIXED\")",
         "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 1 0 NIL NIL NIL NIL) \"MIXED\" "
         "(\"BOUNDARY\" \"b\" \"X\" \"y\") NIL \"en\" NIL)"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF body = BUF_LIMIT(100000);
        AUTO_BUF full = BUF_LIMIT(100000);

        structure_of(cases[i].in, false, &body);
        CHECK_CASE(str_eq(buf_str(&body), str_of(cases[i].body)), i);
        structure_of(cases[i].in, true, &full);
        CHECK_CASE(!cases[i].bodystructure || str_eq(buf_str(&full), str_of(cases[i].bodystructure)),
                   i);
    }
}

TEST(imap_envelope)
{
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"\r\n", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"},
        {"Date: d\r\nSubject:\r\nFrom: A B <a@x>\r\nIn-Reply-To: <r>\r\nMessage-ID: <m>\r\n\r\n",
         "(\"d\" \"\" ((\"A B\" NIL \"a\" \"x\")) ((\"A B\" NIL \"a\" \"x\")) ((\"A B\" NIL \"a\" "
         "\"x\")) NIL NIL NIL \"<r>\" \"<m>\")"},
        // There, but empty, is as good as missing.
        {"From: a@x\r\nSender:\r\nReply-To: r@x\r\nTo: b@x, c@x\r\nTo: d@x\r\n\r\n",
         "(NIL NIL ((NIL NIL \"a\" \"x\")) ((NIL NIL \"a\" \"x\")) ((NIL NIL \"r\" \"x\")) "
         "((NIL NIL \"b\" \"x\")(NIL NIL \"c\" \"x\")(NIL NIL \"d\" \"x\")) NIL NIL NIL NIL)"},
        {"To: undisclosed recipients:;\r\nCc: a@x, Team: b@x, C <c@x>; , d\r\nBcc: open: e@x\r\n\r\n",
         "(NIL NIL NIL NIL NIL ((NIL NIL \"undisclosed recipients\" NIL)(NIL NIL NIL NIL)) "
         "((NIL NIL \"a\" \"x\")(NIL NIL \"Team\" NIL)(NIL NIL \"b\" \"x\")(\"C\" NIL \"c\" \"x\")"
         "(NIL NIL NIL NIL)(NIL NIL \"d\" \"\")) ((NIL NIL \"open\" NIL)(NIL NIL \"e\" \"x\")"
         "(NIL NIL NIL NIL)) NIL NIL)"},
        {"Subject: =?utf-8?q?=C3=A4?=\r\nFrom: =?utf-8?q?=C3=A4?= <a@x>\r\nSender: s@x\r\n"
         "Reply-To: r@x\r\n\r\n",
         "(NIL \"=?utf-8?q?=C3=A4?=\" ((\"=?utf-8?q?=C3=A4?=\" NIL \"a\" \"x\")) ((NIL NIL \"s\" \"x\")) "
         "((NIL NIL \"r\" \"x\")) NIL NIL NIL NIL NIL)"},
        {"Subject: \xc3\xa4 \"q\\\r\n\r\n",
         "(NIL {6}\r\n\xc3\xa4 \"q\\ NIL NIL NIL NIL NIL NIL NIL NIL)"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(16 << 20);
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        AUTO_BUF out = BUF_LIMIT(100000);
        bool is_broken;

        imap_envelope_put(&out, mime_parse(&a, in.str, &is_broken)->envelope);
        CHECK_CASE(str_eq(buf_str(&out), str_of(cases[i].want)), i);
    }
}
