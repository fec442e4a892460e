#include "base/test.h"
#include "message/dsn_test.h"

static const struct dsn_recipient failed = {
    .address = STR_("bob@other.example"), .original = STR_("rfc822;Bob@other.example"),
    .status = STR_("5.1.1"), .remote_name = STR_("mx.other.example"),
    .remote_address = STR_("192.0.2.7"), .code = 550, .text = STR_("5.1.1 no such user"),
    .last_attempt_unix = 1795000000};

static struct dsn example(void)
{
    return (struct dsn){.hostname = STR("mox.example"), .from = STR("postmaster@mox.example"),
                        .to = STR("ann@mox.example"), .message_id = STR("<n1@mox.example>"),
                        .boundary = STR("b0undary"), .now_unix = 1795000000,
                        .queued_unix = 1794990000, .references = STR("<m1@mox.example>"),
                        .envid = STR("QQ314159"), .recipients = &failed, .n_recipients = 1,
                        .original = STR("From: <ann@mox.example>\r\nSubject: x\r\n\r\nbody\r\n")};
}

static struct str put(struct arena *a, const struct dsn *d)
{
    AUTO_BUF out = BUF_LIMIT(16 << 20);
    struct err e = {0};
    bool has_8bit;

    CHECK(dsn_put(&out, d, &has_8bit, &e));
    dsn_check(d, buf_str(&out), has_8bit);
    return arena_dup(a, buf_str(&out));
}

static bool has(struct str text, const char *part)
{
    return str_find_str(text, str_of(part)) != STR_NONE;
}

TEST(dsn_of_a_failure)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct dsn d = example();

    CHECK_STR(put(&a, &d),
              STR("From: <postmaster@mox.example>\r\n"
                  "To: <ann@mox.example>\r\n"
                  "Subject: mail delivery failed\r\n"
                  "Date: Wed, 18 Nov 2026 11:06:40 +0000\r\n"
                  "Message-Id: <n1@mox.example>\r\n"
                  "References: <m1@mox.example>\r\n"
                  "Auto-Submitted: auto-replied\r\n"
                  "User-Agent: mox/" MOX_VERSION "\r\n"
                  "MIME-Version: 1.0\r\n"
                  "Content-Type: multipart/report; report-type=\"delivery-status\";\r\n"
                  "\tboundary=\"b0undary\"\r\n"
                  "\r\n--b0undary\r\n"
                  "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
                  "This is the mail server at mox.example.\r\n\r\n"
                  "Your message could not be delivered to the following recipients, and will\r\n"
                  "not be tried again.\r\n\r\n"
                  "  bob@other.example\r\n"
                  "    550 5.1.1 no such user\r\n"
                  "\r\n--b0undary\r\n"
                  "Content-Type: message/delivery-status\r\n\r\n"
                  "Original-Envelope-Id: QQ314159\r\n"
                  "Reporting-MTA: dns; mox.example\r\n"
                  "Arrival-Date: Wed, 18 Nov 2026 08:20:00 +0000\r\n\r\n"
                  "Original-Recipient: rfc822;Bob@other.example\r\n"
                  "Final-Recipient: rfc822;bob@other.example\r\n"
                  "Action: failed\r\n"
                  "Status: 5.1.1\r\n"
                  "Remote-MTA: dns; mx.other.example ([192.0.2.7])\r\n"
                  "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
                  "Last-Attempt-Date: Wed, 18 Nov 2026 11:06:40 +0000\r\n"
                  "\r\n--b0undary\r\n"
                  "Content-Type: text/rfc822-headers\r\n\r\n"
                  "From: <ann@mox.example>\r\nSubject: x\r\n"
                  "\r\n--b0undary--\r\n"));
}

TEST(dsn_of_each_action)
{
    static const char *const words[] = {"failed", "delayed", "delivered", "relayed", "expanded"};
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct dsn_recipient to[2] = {failed, failed};
    struct dsn d = example();

    d.recipients = to;
    d.n_recipients = 2;
    to[1].address = STR("carol@other.example");
    for (size_t i = 0; i < COUNT(words); i++) {
        struct str report;

        to[0].action = to[1].action = (enum dsn_action)i;
        to[0].retry_until_unix = 1795090000;
        report = put(&a, &d);
        CHECK_CASE(has(report, arena_cstring(&a, arena_printf(&a, "Action: %s\r\n", words[i]))), i);
        CHECK_CASE(has(report, "Will-Retry-Until: ") == (i == DSN_DELAYED), i);
    }
}

TEST(dsn_returns_all_when_asked)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct dsn d = example();
    struct str report;

    d.is_full = true;
    report = put(&a, &d);
    CHECK(has(report, "Content-Type: message/rfc822\r\n\r\nFrom: <ann@mox.example>\r\nSubject: x\r\n"
                      "\r\nbody\r\n\r\n--b0undary--"));
    d.original = STR("From: <ann@mox.example>\r\n\r\nb\xc3\xb6" "dy\r\n");
    CHECK(has(put(&a, &d), "message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nFrom:"));
    // What cannot be a line of mail is not returned: its header is.
    d.original = STR("From: <ann@mox.example>\r\n\r\nbare\nline end\r\n");
    CHECK(has(put(&a, &d), "text/rfc822-headers\r\n\r\nFrom: <ann@mox.example>\r\n\r\n--"));
    CHECK(!has(put(&a, &d), "bare"));
    d.original = STR("\r\nno header\r\n");
    CHECK(has(put(&a, &d), "message/rfc822\r\n\r\n\r\nno header\r\n"));
}

TEST(dsn_is_bounded)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF b = BUF_LIMIT(1 << 20);
    struct dsn_recipient to = failed;
    struct dsn d = example();

    for (int i = 0; i < 10000; i++)
        BUF_PUT(&b, "X-Field: 0123456789012345678901234567890123456789\r\n");
    BUF_PUT(&b, "\r\nbody\r\n");
    d.original = buf_str(&b);
    d.is_full = true; // too long for it
    CHECK(put(&a, &d).n < DSN_MAX_HEADER + 4096);
    CHECK(!has(put(&a, &d), "body"));
    d.original = STR("");
    to.text = buf_str(&b);
    d.recipients = &to;
    CHECK(put(&a, &d).n < 3 * DSN_MAX_TEXT + 4096);
    buf_reset(&b);
    for (int i = 0; i < 100000; i++)
        buf_put_char(&b, 'x'); // one word, of many lines
    to.text = to.address = to.remote_name = d.envid = d.references = buf_str(&b);
    d.original = buf_str(&b);
    CHECK(put(&a, &d).n < 8 * DSN_MAX_TEXT + DSN_MAX_HEADER);
    buf_reset(&b);
    for (int i = 0; i < 10000; i++)
        BUF_PUT(&b, "\xff"); // each of them several octets when it is written as ASCII
    CHECK(put(&a, &d).n < 8 * DSN_MAX_TEXT + DSN_MAX_HEADER);
}

TEST(dsn_texts_of_others_break_nothing)
{
    // attacks.md, "CRLF/NUL injection through ... ORCPT/ENVID xtext ... DSN texts".
    static const struct str hostile[] = {
        STR_("x\r\nAction: delivered\r\n\r\nFinal-Recipient: rfc822;y@z"), STR_("x\r\n\r\n--b0undary\r\n"),
        STR_("x\r\n--b0undary--\r\n"), STR_("a\0b"), STR_("\r"), STR_("\n"), STR_("\t \t"), STR_(""),
        STR_("\xff\xfe"), STR_("line\xe2\x80\xa8separator"), STR_("x@\xc3\xa9.example"),
        STR_("\x1b]0;title\x07"), STR_("\"a b\"@x"), STR_("> <"),
    };
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);

    for (size_t i = 0; i < COUNT(hostile); i++)
        for (int is_utf8 = 0; is_utf8 < 2; is_utf8++) {
            AUTO_EXACT text = exact_copy(hostile[i]);
            struct dsn_recipient to = failed;
            struct dsn d = example();
            struct str report;

            to.text = to.remote_name = to.remote_address = to.original = to.address = text.str;
            d.envid = d.references = d.received_from = d.future_release = text.str;
            d.recipients = &to;
            d.is_utf8 = is_utf8;
            report = put(&a, &d);
            CHECK_CASE(!has(report, "\r\nAction: delivered"), i);
            CHECK_CASE(!has(report, "\x1b"), i);
        }
}

TEST(dsn_boundary_in_the_original)
{
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    struct dsn d = example();
    struct err e = {0};
    bool has_8bit;

    d.original = STR("Subject: x\r\n\r\n--b0undary--\r\n");
    CHECK(!dsn_put(&out, &d, &has_8bit, &e) && e.kind == ERR_CONFLICT);
}

TEST(dsn_with_other_letters)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct dsn_recipient to = failed;
    struct dsn d = example();
    struct str report;

    to.address = STR("b\xc3\xb6\x62@other.example");
    to.text = STR("5.1.1 \xe2\x82\xac");
    to.original = STR("");
    d.recipients = &to;
    d.original = STR("Subject: \xc3\xa9\r\n\r\n");
    report = put(&a, &d);
    CHECK(has(report, "Final-Recipient: utf-8;b\\x{F6}b@other.example\r\n"));
    CHECK(has(report, "Diagnostic-Code: smtp; 550 5.1.1 \\x{20AC}\r\n"));
    CHECK(has(report, "Content-Type: text/rfc822-headers; charset=utf-8\r\n"
                      "Content-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogw6kNCg==\r\n"));
    CHECK(str_is_ascii(report));
    d.is_utf8 = true;
    d.to = STR("\xc3\xa5nn@mox.example");
    report = put(&a, &d);
    CHECK(has(report, "report-type=\"global-delivery-status\""));
    CHECK(has(report, "To: <\xc3\xa5nn@mox.example>\r\n"));
    CHECK(has(report, "Final-Recipient: utf-8;b\xc3\xb6\x62@other.example\r\n"));
    CHECK(has(report, "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
                      "Subject: \xc3\xa9\r\n"));
    d.is_full = true;
    CHECK(has(put(&a, &d), "Content-Type: message/global\r\n"));
}

static bool read_status(struct arena *a, const char *status, struct dsn_report *out, struct err *e)
{
    struct str message = arena_printf(a, "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n"
                                         "\r\n--b\r\n\r\nsorry\r\n--b\r\nContent-Type: message/delivery-status\r\n"
                                         "\r\n%s\r\n--b--\r\n", status);
    AUTO_EXACT copy = exact_copy(message);
    bool is_broken, is_read = dsn_read(a, copy.str, mime_parse(a, copy.str, &is_broken), out, e);

    for (size_t i = 0; i < out->n; i++)
        out->items[i].text = arena_dup(a, out->items[i].text);
    return is_read;
}

TEST(dsn_reports_of_others)
{
#define MTA "Reporting-MTA: dns; mx.example\r\n\r\n"
#define TO "Final-Recipient: rfc822; bob@x\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    static const struct {
        const char *status;
        size_t n;
        enum dsn_action action;
        unsigned code;
        const char *read; // status
    } cases[] = {
        {MTA TO, 1, DSN_FAILED, 0, "5.1.1"},
        {"reporting-mta: dns;m\r\n\r\n\r\n\r\nfinal-recipient:RFC822;bob@x\r\naction: Delayed\r\nstatus: 4.2.2 (full)", 1,
         DSN_DELAYED, 0, "4.2.2"},
        {MTA "Action: delivered\r\nFinal-Recipient: utf-8; b\xc3\xb6\x62@x\r\nStatus: 2.0.0", 1, DSN_DELIVERED, 0, "2.0.0"},
        {MTA TO "Diagnostic-Code: smtp; 550 5.1.1\r\n nobody here\r\n", 1, DSN_FAILED, 550, "5.1.1"},
        {MTA TO "Diagnostic-Code: smtp;550-5.1.1 nobody\r\n", 1, DSN_FAILED, 550, "5.1.1"},
        {MTA TO "Diagnostic-Code: x-unix; 550 no\r\n", 1, DSN_FAILED, 0, "5.1.1"},
        {MTA TO "Diagnostic-Code: smtp; 5500 no\r\n", 1, DSN_FAILED, 0, "5.1.1"},
        {MTA TO "\r\n" TO, 2, DSN_FAILED, 0, "5.1.1"},
        {MTA TO "Action: failed\r\n", 0, 0, 0, ""},             // twice
        {MTA "Action: failed\r\nStatus: 5.1.1\r\n", 0, 0, 0, ""}, // of whom
        {MTA "Final-Recipient: rfc822; bob@x\r\nStatus: 5.1.1\r\n", 0, 0, 0, ""},
        {MTA "Final-Recipient: rfc822; bob@x\r\nAction: failed\r\n", 0, 0, 0, ""},
        {MTA "Final-Recipient: rfc822; bob@x\r\nAction: lost\r\nStatus: 5.1.1\r\n", 0, 0, 0, ""},
        {MTA "Final-Recipient: rfc822; bob@x\r\nAction: failed\r\nStatus: 3.1.1\r\n", 0, 0, 0, ""},
        {MTA "Final-Recipient: rfc822; bob@x\r\nAction: failed\r\nStatus: 5.1\r\n", 0, 0, 0, ""},
        {MTA "Final-Recipient: rfc822; bob@x\r\nAction: failed\r\nStatus: 5.1.1000\r\n", 0, 0, 0, ""},
        {MTA "Final-Recipient: x400; bob\r\nAction: failed\r\nStatus: 5.1.1\r\n", 0, 0, 0, ""},
        {"Arrival-Date: x\r\n\r\n" TO, 0, 0, 0, ""},
        {MTA, 0, 0, 0, ""},
        {"", 0, 0, 0, ""},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(64 << 20);
        struct dsn_report r;
        struct err e = {0};

        CHECK_CASE(read_status(&a, cases[i].status, &r, &e) == (cases[i].n > 0), i);
        CHECK_CASE(e.kind == (cases[i].n ? ERR_NONE : ERR_SYNTAX), i);
        if (!cases[i].n)
            continue;
        CHECK_CASE(r.n == cases[i].n && r.items[0].action == cases[i].action && r.items[0].code == cases[i].code, i);
        CHECK_CASE(str_eq(r.items[0].status, str_of(cases[i].read)), i);
    }
}
