#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/test.h"
#include "policy/dmarc_report.h"
#include "policy/dns_later.h"
#include "policy/dns_zone.h"
#include "policy/dmarc.h"
#include "policy/report_compose.h"
#include "policy/report_mail.h"
#include "policy/tlsrpt.h"
#include "text/deflate.h"
#include "text/encode.h"

#define VECTORS MOX_SOURCE "/test/vectors/"

static void read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    size_t n;

    CHECK(f);
    do {
        char *p = buf_room(out, 65536);

        CHECK(p);
        n = fread(p, 1, 65536, f);
        buf_claim(out, n);
    } while (n);
    fclose(f);
}

/* Calls each with every file below the folder. */
static void walk(const char *folder, void (*each)(const char *path, void *ctx), void *ctx)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort);

    CHECK(n > 0);
    for (int i = 0; i < n; i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 16);
        const char *name = entries[i]->d_name;
        char *path = arena_cstring(&a, arena_printf(&a, "%s/%s", folder, name));
        struct stat st;

        CHECK(stat(path, &st) == 0);
        if (S_ISDIR(st.st_mode) && name[0] != '.')
            walk(path, each, ctx);
        else if (S_ISREG(st.st_mode) && strncmp(name, "LICENSE", 7) && strncmp(name, "README", 6))
            each(path, ctx);
        free(entries[i]);
    }
    free(entries);
}

static bool ends(const char *path, const char *end)
{
    return str_ends(str_of(path), str_of(end));
}

static bool feed(void *ctx, struct str piece, struct err *e)
{
    return dmarc_report_feed(ctx, piece, e);
}

/* A report that may be packed, in pieces of step bytes. */
static bool parse_packed(struct arena *a, struct str bytes, size_t step, struct dmarc_report **out,
                         struct err *e)
{
    struct dmarc_report_parser *p = dmarc_report_parser_new(a);
    struct unpacker *u = unpacker_new(REPORT_MAX_SIZE, feed, p);
    struct err later = {0};
    bool is_ok = true;

    for (; is_ok && bytes.n; bytes = str_from(bytes, step)) {
        AUTO_EXACT piece = exact_copy(str_sub(bytes, 0, step));

        is_ok = unpacker_feed(u, piece.str, e);
    }
    is_ok = is_ok && unpacker_end(u, e);
    unpacker_free(u);
    return dmarc_report_end(p, out, is_ok ? e : &later) && is_ok;
}

/* --- DMARC ---------------------------------------------------------------------------------------- */

// Vectors that are refused, and why.
static const struct refusal {
    const char *end, *reason;
} dmarc_refusals[] = {
    {"dmarc-cat/bad.xml", "no element found"},
    {"dmarc-cat/bad.zip", "no element found"}, // the file in it is empty
    {"dmarc-cat/empty.txt", "no element found"},
    {"dmarc-cat/notempty.txt", "syntax error"},
    {"dmarc-cat/notempty.txt.gz", "syntax error"},
    {"dmarc-cat/notempty.zip", "syntax error"},
    {"parsedmarc/empty.xml", "no element found"},
    {"parsedmarc/aggregate/invalid_utf_8.xml", "not well-formed"},
    {"parsedmarc/aggregate/invalid_xml.xml", "not well-formed"},
    {"ikea.com!example.de!1538690400!1538776800.xml", "no feedback element"}, // and has no end
    {"dmarc-report-converter/test.xml.gz.gz", "not well-formed"}, // packed twice
};

struct tally {
    size_t n_read, n_refused, n_bad;
};

static const struct refusal *refusal_of(const char *path, const struct refusal *refusals, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ends(path, refusals[i].end))
            return &refusals[i];
    return NULL;
}

static void check_outcome(const char *path, bool is_ok, const struct err *e,
                          const struct refusal *refusal, struct tally *tally)
{
    bool is_as_wanted = refusal ? !is_ok && strstr(e->text, refusal->reason) != NULL : is_ok;

    tally->n_read += is_ok;
    tally->n_refused += !is_ok;
    if (!is_as_wanted) {
        tally->n_bad++;
        printf("# %s: %s\n", path, is_ok ? "was not refused" : e->text);
    }
}

static bool parse_dmarc(struct arena *a, const char *path, size_t step, struct dmarc_report **out,
                        struct err *e)
{
    AUTO_BUF file = BUF_LIMIT(4 << 20);
    bool is_broken;

    read_file(path, &file);
    if (!ends(path, ".eml"))
        return parse_packed(a, buf_str(&file), step, out, e);
    return dmarc_report_of_message(a, buf_str(&file), mime_parse(a, buf_str(&file), &is_broken),
                                   out, e);
}

static void check_dmarc(const char *path, void *ctx)
{
    AUTO_ARENA a = ARENA_LIMIT(DMARC_REPORT_MEMORY + MIME_MEMORY);
    struct dmarc_report *report = NULL;
    struct err e = {0};

    if (ends(path, ".json") || strstr(path, "/failure/") || strstr(path, "/arf/"))
        return;
    bool is_ok = parse_dmarc(&a, path, 1000, &report, &e);
    check_outcome(path, is_ok, &e, refusal_of(path, dmarc_refusals, COUNT(dmarc_refusals)), ctx);
    CHECK(is_ok == (report != NULL));
    if (!is_ok)
        return;
    CHECK(report->domain.n && report->begin && report->end >= report->begin);
    for (size_t i = 0; i < report->n; i++)
        CHECK((report->records[i].source_ip.n && report->records[i].count) ||
              ends(path, "test_empty.xml"));
}

TEST(dmarc_report_vectors)
{
    struct tally tally = {0};

    walk(VECTORS "dmarc", check_dmarc, &tally);
    printf("# %zu reports read, %zu refused\n", tally.n_read, tally.n_refused);
    CHECK(!tally.n_bad && tally.n_refused == COUNT(dmarc_refusals) && tally.n_read > 40);
}

static struct str member(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);

    return json_is_string(v) ? str_at(json_string_value(v), json_string_length(v)) : STR("");
}

// As another library read them; words begin with a capital there, "unspecified" is nothing.
static void check_word(struct arena *a, struct str got, struct str theirs)
{
    if (!str_eq(theirs, STR("Unspecified")))
        CHECK_STR(got, arena_lower(a, theirs));
}

static void compare(const char *path, void *ctx)
{
    AUTO_ARENA a = ARENA_LIMIT(DMARC_REPORT_MEMORY + MIME_MEMORY);
    const json_t *meta, *policy, *records;
    struct dmarc_report *report;
    struct err e = {0};
    json_error_t why;
    json_t *theirs;

    if (!ends(path, ".json"))
        return;
    struct str stem = str_sub(str_of(path), 0, strlen(path) - 5);
    char *xml = arena_cstring(&a, arena_printf(&a, "%.*s.xml", STR_FMT(stem)));
    char *eml = arena_cstring(&a, arena_printf(&a, "%.*s.eml", STR_FMT(stem)));
    struct stat st;

    CHECK(parse_dmarc(&a, stat(xml, &st) ? eml : xml, 7, &report, &e));
    theirs = json_load_file(path, 0, &why);
    CHECK(theirs);
    meta = json_object_get(theirs, "report_metadata");
    policy = json_object_get(theirs, "policy_published");
    records = json_object_get(theirs, "record");
    CHECK_STR(report->org_name, member(meta, "org_name"));
    CHECK_STR(report->email, member(meta, "email"));
    CHECK_STR(report->report_id, member(meta, "report_id"));
    CHECK(report->begin ==
          json_integer_value(json_object_get(json_object_get(meta, "date_range"), "begin")));
    CHECK_STR(report->domain, member(policy, "domain"));
    check_word(&a, report->p, member(policy, "p"));
    CHECK(report->n == json_array_size(records));
    for (size_t i = 0; i < report->n; i++) {
        const struct dmarc_report_record *ours = &report->records[i];
        const json_t *row = json_object_get(json_array_get(records, i), "row");
        const json_t *results = json_object_get(json_array_get(records, i), "auth_results");
        const json_t *dkim = json_object_get(results, "dkim");

        CHECK_STR(ours->source_ip, member(row, "source_ip"));
        CHECK(ours->count == (uint64_t)json_integer_value(json_object_get(row, "count")));
        check_word(&a, ours->disposition,
                   member(json_object_get(row, "policy_evaluated"), "disposition"));
        CHECK_STR(ours->header_from,
                  member(json_object_get(json_array_get(records, i), "identifiers"), "header_from"));
        CHECK(ours->n_dkim == json_array_size(dkim));
        for (size_t k = 0; k < ours->n_dkim; k++) {
            CHECK_STR(ours->dkim_results[k].selector, member(json_array_get(dkim, k), "selector"));
            check_word(&a, ours->dkim_results[k].result, member(json_array_get(dkim, k), "result"));
        }
    }
    json_decref(theirs);
    ++*(size_t *)ctx;
}

TEST(dmarc_reports_as_another_library_reads_them)
{
    size_t n = 0;

    walk(VECTORS "dmarc/mail-auth", compare, &n);
    CHECK(n == 10);
}

#define HEAD                                                                                       \
    "<feedback><report_metadata><date_range><begin>1</begin><end>2</end></date_range>"             \
    "</report_metadata><policy_published><domain>Example.COM</domain></policy_published>"

static bool parse_text(struct arena *a, const char *xml, struct dmarc_report **out, struct err *e)
{
    return parse_packed(a, str_of(xml), 5, out, e);
}

TEST(dmarc_reports_that_are_strange)
{
    static const struct {
        const char *xml, *reason; // NULL: taken
    } cases[] = {
        {HEAD "</feedback>", NULL},
        {"<?xml version='1.0' encoding='ISO-8859-1'?>" HEAD "<x>\xe9</x></feedback>", NULL},
        {"<d:feedback xmlns:d='urn:x'>" "<d:report_metadata><d:date_range><d:begin>1</d:begin>"
         "<d:end>2</d:end></d:date_range></d:report_metadata><d:policy_published>"
         "<d:domain>a.example</d:domain></d:policy_published></d:feedback>", NULL},
        {HEAD "</feedback><feedback>", "junk after document"},
        {HEAD, "no element found"},
        {"<html/>", "no feedback element"},
        {"<feedback/>", "no domain"},
        {HEAD "<record><row><count>x</count></row></record></feedback>", "no number"},
        {HEAD "<record><row><count>-1</count></row></record></feedback>", "no number"},
        {HEAD "<record><row><count>99999999999</count></row></record></feedback>", "no number"},
        {HEAD "<policy_published><domain>a b</domain></policy_published></feedback>", "domain"},
        {"<feedback><policy_published><domain>a.b</domain></policy_published></feedback>",
         "which time"},
        {HEAD "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>", "too deep"},
        // Where a stranger's document reaches out or grows: no document type at all.
        {"<!DOCTYPE feedback><feedback/>", "document type"},
        {"<!DOCTYPE feedback SYSTEM 'http://127.0.0.1/x.dtd'><feedback/>", "document type"},
        {"<!DOCTYPE feedback [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" HEAD "<x>&x;</x></feedback>",
         "document type"},
        {"<!DOCTYPE l [<!ENTITY a 'lol'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;'>"
         "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;'>]>" HEAD "<x>&c;</x></feedback>",
         "document type"},
        {HEAD "<x>&lol;</x></feedback>", "undefined entity"},
        {"<?xml version='1.0' encoding='EBCDIC-XYZ'?>" HEAD "</feedback>", "unknown encoding"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(DMARC_REPORT_MEMORY);
        struct dmarc_report *report;
        struct err e = {0};

        CHECK_CASE(parse_text(&a, cases[i].xml, &report, &e) == !cases[i].reason, i);
        CHECK_CASE(!cases[i].reason || strstr(e.text, cases[i].reason), i);
        CHECK_CASE(!cases[i].reason || e.kind == ERR_SYNTAX || e.kind == ERR_LIMIT, i);
    }
}

TEST(dmarc_report_fields)
{
    AUTO_ARENA a = ARENA_LIMIT(DMARC_REPORT_MEMORY);
    struct dmarc_report *report;
    struct err e = {0};

    CHECK(parse_text(&a, HEAD
        "<record><row><source_ip> 192.0.2.1 </source_ip><count>2</count><policy_evaluated>"
        "<disposition>None</disposition><dkim>PASS</dkim><reason><type>forwarded</type>"
        "<comment>a &amp; b<![CDATA[ <c>]]></comment></reason></policy_evaluated></row>"
        "<identifiers><header_from>x<nested>y</nested>z</header_from></identifiers>"
        "<auth_results><dkim><domain>d</domain></dkim><dkim><selector>s</selector></dkim>"
        "<spf><scope>mfrom</scope></spf></auth_results></record></feedback>", &report, &e));
    CHECK(report->n == 1);
    CHECK_STR(report->domain, STR("example.com"));
    CHECK_STR(report->records[0].source_ip, STR("192.0.2.1"));
    CHECK_STR(report->records[0].disposition, STR("none"));
    CHECK_STR(report->records[0].dkim, STR("pass"));
    CHECK_STR(report->records[0].reasons[0].comment, STR("a & b <c>"));
    CHECK_STR(report->records[0].header_from, STR("xz"));
    CHECK(report->records[0].n_dkim == 2);
    CHECK_STR(report->records[0].dkim_results[1].selector, STR("s"));
    CHECK_STR(report->records[0].spf_results[0].scope, STR("mfrom"));
}

/* A report with n times the piece at its end. */
static bool parse_long(struct arena *a, const char *piece, size_t n, size_t *n_records,
                       struct err *e)
{
    struct dmarc_report_parser *p = dmarc_report_parser_new(a);
    struct dmarc_report *report;
    struct err later = {0};
    bool is_ok = dmarc_report_feed(p, STR(HEAD), e);

    for (size_t i = 0; i < n && is_ok; i++)
        is_ok = dmarc_report_feed(p, str_of(piece), e);
    is_ok = is_ok && dmarc_report_feed(p, STR("</feedback>"), e);
    is_ok = dmarc_report_end(p, &report, is_ok ? e : &later) && is_ok;
    *n_records = is_ok ? report->n : 0;
    return is_ok;
}

TEST(dmarc_reports_are_bounded)
{
    static const struct {
        const char *piece;
        size_t n;
        bool is_ok;
    } cases[] = {
        {"<record/>", DMARC_REPORT_MAX_RECORDS, true},
        {"<record/>", DMARC_REPORT_MAX_RECORDS + 1, false},
        {"<record><auth_results><dkim/><spf/><dkim/><dkim/><spf/></auth_results></record>",
         DMARC_REPORT_MAX_RESULTS / 5 + 1, false},
        {"<x/>", DMARC_REPORT_MAX_UNKNOWN + 1, false},
        {"<x a='1234567890' ", 1000000, false},
        {"<!-- a comment without an end ", 1000000, false},
        {"<![CDATA[ text without an end ", 1, false},
        {"a long text of nothing ", 100000, true},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(DMARC_REPORT_MEMORY);
        struct err e = {0};
        size_t n_records;

        CHECK_CASE(parse_long(&a, cases[i].piece, cases[i].n, &n_records, &e) == cases[i].is_ok, i);
        CHECK_CASE(cases[i].is_ok || e.kind == ERR_LIMIT || e.kind == ERR_SYNTAX, i);
        CHECK_CASE(i || n_records == DMARC_REPORT_MAX_RECORDS, i);
    }
}

/* --- in messages ---------------------------------------------------------------------------------- */

static void put_gzip(struct buf *out, struct str bytes)
{
    AUTO_BUF packed = BUF_LIMIT(8 << 20);
    z_stream z = {0};

    CHECK(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (Bytef *)(uintptr_t)bytes.p;
    z.avail_in = (uInt)bytes.n;
    do {
        z.next_out = (Bytef *)buf_room(&packed, 65536);
        z.avail_out = 65536;
        (void)deflate(&z, Z_FINISH);
        buf_claim(&packed, 65536 - z.avail_out);
    } while (!z.avail_out);
    deflateEnd(&z);
    base64_encode(out, buf_str(&packed));
}

static bool of_message(struct arena *a, struct str message, enum report_kind kind, struct err *e)
{
    struct dmarc_report *dmarc;
    struct tlsrpt_report *tls;
    bool is_broken;
    struct part *root = mime_parse(a, message, &is_broken);

    return kind == REPORT_DMARC ? dmarc_report_of_message(a, message, root, &dmarc, e)
                                : tlsrpt_report_of_message(a, message, root, &tls, e);
}

#define JSON                                                                                       \
    "{\"date-range\":{\"start-datetime\":\"2026-01-01T00:00:00\",\"end-datetime\":"                \
    "\"2026-01-01T23:59:59Z\"},\"policies\":[{\"policy\":{\"policy-domain\":\"A.Example\"}}]}"

TEST(reports_in_messages)
{
    static const struct {
        const char *message;
        enum report_kind kind;
        bool is_ok;
    } cases[] = {
        {"Content-Type: text/xml\r\n\r\n" HEAD "</feedback>", REPORT_DMARC, true},
        {"Content-Type: application/xml\r\n\r\n" HEAD "</feedback>", REPORT_DMARC, true},
        {"\r\n" HEAD "</feedback>", REPORT_DMARC, true},
        {"\r\nhello", REPORT_DMARC, false},
        {"Content-Type: text/plain\r\n\r\n" HEAD "</feedback>", REPORT_DMARC, false},
        {"Content-Type: text/html\r\n\r\n<html>", REPORT_DMARC, false},
        {"Content-Type: application/octet-stream\r\n\r\n " HEAD "</feedback>", REPORT_DMARC, true},
        {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\n"
         "Content-Type: multipart/x; boundary=c\r\n\r\n--c\r\nContent-Type: text/xml\r\n\r\n" HEAD
         "</feedback>\r\n--c--\r\n--b--\r\n", REPORT_DMARC, true},
        // What somebody else was sent is no report of the sender.
        {"Content-Type: message/rfc822\r\n\r\nContent-Type: text/xml\r\n\r\n" HEAD "</feedback>",
         REPORT_DMARC, false},
        {"Content-Type: application/tlsrpt+json\r\n\r\n" JSON, REPORT_TLS, true},
        {"Content-Type: application/json\r\n\r\n" JSON, REPORT_TLS, false},
        {"Content-Type: multipart/report; report-type=TLSRPT; boundary=b\r\n\r\n--b\r\n"
         "Content-Type: application/tlsrpt+json\r\n\r\n" JSON "\r\n--b--\r\n", REPORT_TLS, true},
        {"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n"
         "Content-Type: application/tlsrpt+json\r\n\r\n" JSON "\r\n--b--\r\n", REPORT_TLS, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(DMARC_REPORT_MEMORY + MIME_MEMORY);
        AUTO_EXACT in = exact_copy(str_of(cases[i].message));
        struct err e = {0};

        CHECK_CASE(of_message(&a, in.str, cases[i].kind, &e) == cases[i].is_ok, i);
        CHECK_CASE(cases[i].is_ok || e.kind == ERR_NOT_FOUND, i);
    }
}

// Few bytes in a message that would be very many.
TEST(report_bombs_in_messages)
{
    AUTO_BUF bomb = BUF_LIMIT(64 << 20);

    BUF_PUT(&bomb, HEAD "<x>");
    memset(buf_room(&bomb, 60 << 20), ' ', 60 << 20);
    buf_claim(&bomb, 60 << 20);
    for (int kind = REPORT_DMARC; kind <= REPORT_TLS; kind++) {
        AUTO_ARENA a = ARENA_LIMIT(DMARC_REPORT_MEMORY + MIME_MEMORY);
        AUTO_BUF message = BUF_LIMIT(1 << 20);
        struct err e = {0};

        buf_put(&message, kind == REPORT_DMARC ? STR("Content-Type: application/gzip\r\n")
                                               : STR("Content-Type: application/tlsrpt+gzip\r\n"));
        BUF_PUT(&message, "Content-Transfer-Encoding: base64\r\n\r\n");
        put_gzip(&message, buf_str(&bomb));
        CHECK(message.n < 200000);
        CHECK(!of_message(&a, buf_str(&message), (enum report_kind)kind, &e));
        CHECK(e.kind == ERR_LIMIT);
    }
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct part root = {.type = STR_("text"), .subtype = STR_("xml"), .body_end = bomb.n};
    struct dmarc_report *report;
    struct err e = {0};

    CHECK(!dmarc_report_of_message(&a, buf_str(&bomb), &root, &report, &e) && e.kind == ERR_LIMIT);
}

/* --- TLS ------------------------------------------------------------------------------------------ */

static void check_tls(const char *path, void *ctx)
{
    AUTO_ARENA a = ARENA_LIMIT(TLSRPT_REPORT_MEMORY + MIME_MEMORY);
    AUTO_BUF file = BUF_LIMIT(4 << 20), once = BUF_LIMIT(4 << 20), twice = BUF_LIMIT(4 << 20);
    struct tlsrpt_report *report = NULL;
    struct err e = {0};
    bool is_ok, is_broken;

    read_file(path, &file);
    AUTO_EXACT in = exact_copy(buf_str(&file));
    if (ends(path, ".eml"))
        is_ok = tlsrpt_report_of_message(&a, in.str, mime_parse(&a, in.str, &is_broken), &report, &e);
    else
        is_ok = tlsrpt_report_parse(&a, in.str, &report, &e);
    check_outcome(path, is_ok, &e, NULL, ctx);
    if (!is_ok)
        return;
    CHECK(report->n && report->policies[0].policy_type.n && report->end > report->start);
    tlsrpt_report_put(&once, report);
    CHECK(tlsrpt_report_parse(&a, buf_str(&once), &report, &e));
    tlsrpt_report_put(&twice, report);
    CHECK_STR(buf_str(&twice), buf_str(&once));
}

TEST(tls_report_vectors)
{
    struct tally tally = {0};

    walk(VECTORS "tlsrpt", check_tls, &tally);
    printf("# %zu reports read, %zu refused\n", tally.n_read, tally.n_refused);
    CHECK(!tally.n_bad && tally.n_read > 15);
}

TEST(tls_reports_that_are_strange)
{
#define TIMES                                                                                      \
    "\"date-range\":{\"start-datetime\":\"2026-01-01T00:00:00Z\",\"end-datetime\":"                \
    "\"2026-01-01T23:59:59.5Z\"}"
#define POLICY(more) "{" TIMES ",\"policies\":[{\"policy\":{}" more "}]}"
    static const struct {
        const char *json;
        bool is_ok;
    } cases[] = {
        {"", false},
        {"null", false},
        {"[]", false},
        {"{}", false},
        {"{" TIMES "}", false},
        {"{\"policies\":[]}", false},
        {"{" TIMES ",\"policies\":[]}", true},
        {"{" TIMES ",\"policies\":[]}x", false},
        {"{" TIMES ",\"policies\":[],\"policies\":[]}", false}, // which one counts?
        {"{" TIMES ",\"policies\":{}}", false},
        {"{" TIMES ",\"policies\":[1]}", false},
        {"{" TIMES ",\"policies\":[{}]}", false},
        {POLICY(""), true},
        {POLICY(",\"summary\":{\"total-failure-session-count\":1.0}"), true},
        {POLICY(",\"summary\":{\"total-failure-session-count\":\"12\"}"), true},
        {POLICY(",\"summary\":{\"total-failure-session-count\":null}"), true},
        {POLICY(",\"summary\":{\"total-failure-session-count\":-1}"), false},
        {POLICY(",\"summary\":{\"total-failure-session-count\":1e300}"), false},
        {POLICY(",\"summary\":{\"total-failure-session-count\":[]}"), false},
        {POLICY(",\"summary\":{\"total-failure-session-count\":9999999999999999999999}"), false},
        {POLICY(",\"failure-details\":[{\"failed-session-count\":2}]"), true},
        {POLICY(",\"failure-details\":[2]"), false},
        {"{\"date-range\":{\"start-datetime\":\"yesterday\"},\"policies\":[]}", false},
        {"{" TIMES ",\"policies\":[],\"contact-info\":\"\xff\"}", false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(TLSRPT_REPORT_MEMORY);
        AUTO_EXACT in = exact_copy(str_of(cases[i].json));
        struct tlsrpt_report *report;
        struct err e = {0};

        CHECK_CASE(tlsrpt_report_parse(&a, in.str, &report, &e) == cases[i].is_ok, i);
        CHECK_CASE(cases[i].is_ok ? report != NULL : !report && e.kind == ERR_SYNTAX, i);
    }
}

TEST(tls_reports_are_bounded)
{
    static const struct {
        const char *start, *piece, *end;
        size_t n;
    } cases[] = {
        {"", "[", "", 300000},
        {"", "{\"a\":", "", 50000},
        {"{" TIMES ",\"policies\":[{}", ",{}", "]}", 50000},
        {"{" TIMES ",\"policies\":[{\"policy\":{},\"failure-details\":[{}", ",{}", "]}]}", 60000},
        {"[0", ",0", "]", 5000000},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(TLSRPT_REPORT_MEMORY);
        AUTO_BUF json = BUF_LIMIT(64 << 20);
        struct tlsrpt_report *report;
        struct err e = {0};

        buf_put(&json, str_of(cases[i].start));
        for (size_t k = 0; k < cases[i].n; k++)
            buf_put(&json, str_of(cases[i].piece));
        buf_put(&json, str_of(cases[i].end));
        CHECK_CASE(!tlsrpt_report_parse(&a, buf_str(&json), &report, &e), i);
        CHECK_CASE(e.kind == ERR_LIMIT || (i == 1 && e.kind == ERR_SYNTAX), i);
    }
}

TEST(tlsrpt_records)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"v=TLSRPTv1; rua=mailto:r@example.com", "v=TLSRPTv1; rua=mailto:r@example.com"},
        {"v=TLSRPTv1;rua=mailto:a@b,https://c/d ; x=y; rua=mailto:e@f;",
         "v=TLSRPTv1; rua=mailto:a@b,https://c/d,mailto:e@f"},
        {"v=TLSRPTv1", NULL},
        {"v=TLSRPTv1;", NULL},
        {"v=TLSRPTv1; rua=", NULL},
        {"v=TLSRPTv1; rua=nobody", NULL},
        {"v=TLSRPTv1 rua=mailto:a@b", NULL},
        {"v=TLSRPTv12; rua=mailto:a@b", NULL},
        {"v=tlsrptv1; rua=mailto:a@b", NULL},
        {"v=TLSRPTv1; rua", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        AUTO_BUF out = BUF_LIMIT(1000);
        struct tlsrpt_record record;
        struct err e = {0};

        CHECK_CASE(tlsrpt_record_parse(&a, in.str, &record, &e) == !!cases[i].out, i);
        CHECK_CASE(cases[i].out || e.kind == ERR_SYNTAX, i);
        if (!cases[i].out)
            continue;
        tlsrpt_record_put(&out, &record);
        CHECK_STR(buf_str(&out), str_of(cases[i].out));
    }
}

TEST(tlsrpt_lookups)
{
    static const struct {
        const char *domain;
        enum err_kind kind;
    } cases[] = {{"a.example", ERR_NONE},      {"two.example", ERR_NOT_FOUND},
                 {"none.example", ERR_NOT_FOUND}, {"slow.example", ERR_TEMPORARY},
                 {"forged.example", ERR_TEMPORARY}, {"bad.example", ERR_SYNTAX}};
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct dns_zone zone;
    struct dns dns;
    struct err e = {0};

    CHECK(dns_zone_parse(&a, STR("_smtp._tls.a.example TXT v=TLSRPTv1; rua=mailto:r@a.example\n"
                                 "_smtp._tls.a.example TXT other\n"
                                 "_smtp._tls.two.example TXT v=TLSRPTv1; rua=mailto:r@a.example\n"
                                 "_smtp._tls.two.example TXT v=TLSRPTv1; rua=mailto:s@a.example\n"
                                 "_smtp._tls.bad.example TXT v=TLSRPTv1;\n"
                                 "_smtp._tls.slow.example TXT !timeout\n"
                                 "_smtp._tls.forged.example TXT !bogus\n"), &zone, &e));
    dns = dns_zone_dns(&zone);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct tlsrpt_record record;
        struct str text;
        bool is_secure;

        e = (struct err){0};
        CHECK_CASE(tlsrpt_find(&dns, &a, str_of(cases[i].domain), &record, &text, &is_secure, &e) ==
                       !cases[i].kind, i);
        CHECK_CASE(e.kind == cases[i].kind, i);
    }
}

/* --- our own reports ------------------------------------------------------------------------------- */

static struct dmarc_report_reason reasons[] = {{STR_("forwarded"), STR_("a <b> & \"c\"")},
                                               {STR_("sampled_out"), STR_("")}};
static struct dmarc_report_dkim dkims[] = {
    {.domain = STR_("x.example"), .selector = STR_("s"), .result = STR_("pass")},
    {.domain = STR_("y.example"), .result = STR_("fail")}};
static struct dmarc_report_spf spfs[] = {
    {.domain = STR_("x.example"), .scope = STR_("mfrom"), .result = STR_("softfail")}};
static struct dmarc_report_record ours_rows[] = {
    {.source_ip = STR_("192.0.2.1"), .count = 3, .disposition = STR_("none"), .dkim = STR_("pass"),
     .spf = STR_("fail"), .reasons = reasons, .n_reasons = 2, .header_from = STR_("x.example"),
     .envelope_from = STR_("b.x.example"), .envelope_to = STR_("ours.example"), .dkim_results = dkims,
     .n_dkim = 2, .spf_results = spfs, .n_spf = 1},
    {.source_ip = STR_("2001:db8:0:0:0:0:0:1"), .count = 1, .disposition = STR_("reject"),
     .dkim = STR_("fail"), .spf = STR_("fail"), .header_from = STR_("x.example"), .spf_results = spfs,
     .n_spf = 1}};
static struct str ours_errors[] = {STR_("an error")};
static const struct dmarc_report ours = {
    .org_name = STR_("mail.ours.example"), .email = STR_("postmaster@mail.ours.example"),
    .report_id = STR_("20261125.24.abc"), .begin = 1790000000, .end = 1790086399,
    .errors = ours_errors, .n_errors = 1, .domain = STR_("x.example"), .adkim = STR_("r"),
    .aspf = STR_("s"), .p = STR_("reject"), .sp = STR_("none"), .pct = STR_("50"), .fo = STR_("1"),
    .records = ours_rows, .n = 2};

static void check_same(const struct dmarc_report *a, const struct dmarc_report *b)
{
    CHECK_STR(a->org_name, b->org_name);
    CHECK_STR(a->email, b->email);
    CHECK_STR(a->report_id, b->report_id);
    CHECK(a->begin == b->begin && a->end == b->end && a->n_errors == b->n_errors);
    CHECK_STR(a->domain, b->domain);
    CHECK_STR(a->adkim, b->adkim);
    CHECK_STR(a->aspf, b->aspf);
    CHECK_STR(a->p, b->p);
    CHECK_STR(a->sp, b->sp);
    CHECK_STR(a->pct, b->pct);
    CHECK_STR(a->fo, b->fo);
    CHECK(a->n == b->n);
    for (size_t i = 0; i < a->n; i++) {
        const struct dmarc_report_record *r = &a->records[i], *s = &b->records[i];

        CHECK_STR(r->source_ip, s->source_ip);
        CHECK(r->count == s->count && r->n_reasons == s->n_reasons && r->n_dkim == s->n_dkim &&
              r->n_spf == s->n_spf);
        CHECK_STR(r->disposition, s->disposition);
        CHECK_STR(r->dkim, s->dkim);
        CHECK_STR(r->spf, s->spf);
        CHECK_STR(r->header_from, s->header_from);
        CHECK_STR(r->envelope_from, s->envelope_from);
        CHECK_STR(r->envelope_to, s->envelope_to);
        for (size_t k = 0; k < r->n_reasons; k++) {
            CHECK_STR(r->reasons[k].type, s->reasons[k].type);
            CHECK_STR(r->reasons[k].comment, s->reasons[k].comment);
        }
        for (size_t k = 0; k < r->n_dkim; k++) {
            CHECK_STR(r->dkim_results[k].domain, s->dkim_results[k].domain);
            CHECK_STR(r->dkim_results[k].selector, s->dkim_results[k].selector);
            CHECK_STR(r->dkim_results[k].result, s->dkim_results[k].result);
        }
        for (size_t k = 0; k < r->n_spf; k++) {
            CHECK_STR(r->spf_results[k].domain, s->spf_results[k].domain);
            CHECK_STR(r->spf_results[k].scope, s->spf_results[k].scope);
            CHECK_STR(r->spf_results[k].result, s->spf_results[k].result);
        }
    }
}

static struct report_message message_of(enum report_kind kind, struct str attachment)
{
    static const struct str to[] = {STR_("a@x.example"), STR_("b@y.example")};

    return (struct report_message){.kind = kind, .domain = STR("x.example"),
                                   .submitter = STR("mail.ours.example"),
                                   .from = STR("postmaster@mail.ours.example"), .to = to, .n_to = 2,
                                   .report_id = STR("20261125.24.abc"), .begin = 1790000000,
                                   .end = 1790086399, .now_unix = 1790100000,
                                   .random = STR("ABC123"), .attachment = attachment};
}

TEST(our_dmarc_reports_are_read_as_they_were_meant)
{
    AUTO_ARENA a = ARENA_LIMIT(DMARC_REPORT_MEMORY + MIME_MEMORY);
    AUTO_BUF xml = BUF_LIMIT(1 << 20), packed = BUF_LIMIT(1 << 20), message = BUF_LIMIT(1 << 20);
    struct dmarc_report *report;
    struct report_message m;
    struct err e = {0};
    bool is_broken;

    dmarc_report_put(&xml, &ours);
    CHECK(parse_text(&a, arena_cstring(&a, buf_str(&xml)), &report, &e));
    check_same(report, &ours);
    gzip_put(&packed, buf_str(&xml));
    m = message_of(REPORT_DMARC, buf_str(&packed));
    CHECK(report_compose(&message, &m, &e));
    CHECK(dmarc_report_of_message(&a, buf_str(&message),
                                  mime_parse(&a, buf_str(&message), &is_broken), &report, &e));
    check_same(report, &ours);
    CHECK_STR(report_file_name(&a, &m),
              STR("mail.ours.example!x.example!1790000000!1790086399.xml.gz"));
    CHECK(str_find_str(buf_str(&message), STR("\r\nTo: <a@x.example>, <b@y.example>\r\n")) >= 0);
    for (size_t i = 0; i < message.n; i++)
        CHECK(message.p[i] != '\n' || (i && message.p[i - 1] == '\r'));
    m.domain = STR("x\r\nBcc: z@z.example");
    buf_reset(&message);
    CHECK(!report_compose(&message, &m, &e) && e.kind == ERR_SYNTAX);
}

TEST(what_others_wrote_stays_text_in_our_xml)
{
    AUTO_ARENA a = ARENA_LIMIT(DMARC_REPORT_MEMORY);
    AUTO_BUF xml = BUF_LIMIT(1 << 20);
    struct dmarc_report m = ours, *report;
    struct dmarc_report_record row = ours_rows[1];
    struct err e = {0};

    row.header_from = STR("a</header_from></identifiers>&x;<![CDATA[\"'");
    row.envelope_from = STR("\0\x01\n\x7f\xff\xef\xbf\xbf\xc3\xa4");
    m.records = &row;
    m.n = 1;
    dmarc_report_put(&xml, &m);
    CHECK(parse_text(&a, arena_cstring(&a, buf_str(&xml)), &report, &e));
    CHECK(report->n == 1);
    CHECK_STR(report->records[0].header_from, row.header_from);
    CHECK_STR(report->records[0].envelope_from, STR("????\xef\xbf\xbd?\xc3\xa4"));
}

TEST(our_xml_follows_the_schema)
{
    AUTO_BUF xml = BUF_LIMIT(1 << 20);
    char path[] = "/tmp/mox-report-XXXXXX", command[400];
    int fd = mkstemp(path);

    dmarc_report_put(&xml, &ours);
    CHECK(fd >= 0 && write(fd, xml.p, xml.n) == (ssize_t)xml.n);
    close(fd);
    snprintf(command, sizeof command, "xmllint --noout --schema '%s/test/schema/rfc7489.xsd' %s >/dev/null 2>&1",
             MOX_SOURCE, path);
    CHECK(system(command) == 0);
    unlink(path);
}

TEST(our_tls_reports_are_read_as_they_were_meant)
{
    AUTO_ARENA a = ARENA_LIMIT(TLSRPT_REPORT_MEMORY + MIME_MEMORY);
    AUTO_BUF json = BUF_LIMIT(1 << 20), packed = BUF_LIMIT(1 << 20), message = BUF_LIMIT(1 << 20);
    AUTO_BUF again = BUF_LIMIT(1 << 20);
    struct tlsrpt_failure failure = {.result_type = STR_("validation-failure"),
                                     .receiving_mx_helo = STR_("\"\n\x01<"),
                                     .failed_session_count = 2};
    struct tlsrpt_policy policy = {.policy_type = STR_("no-policy-found"),
                                   .policy_domain = STR_("x.example"),
                                   .total_successful_session_count = 1,
                                   .total_failure_session_count = 2,
                                   .failures = &failure, .n_failures = 1};
    const struct tlsrpt_report sent = {.organization_name = STR_("o"), .contact_info = STR_("c"),
                                       .report_id = STR_("i"), .start = 1790000000,
                                       .end = 1790086399, .policies = &policy, .n = 1};
    struct tlsrpt_report *report;
    struct report_message m;
    struct err e = {0};
    bool is_broken;

    tlsrpt_report_put(&json, &sent);
    gzip_put(&packed, buf_str(&json));
    m = message_of(REPORT_TLS, buf_str(&packed));
    CHECK(report_compose(&message, &m, &e));
    CHECK(tlsrpt_report_of_message(&a, buf_str(&message),
                                   mime_parse(&a, buf_str(&message), &is_broken), &report, &e));
    tlsrpt_report_put(&again, report);
    CHECK(str_eq(buf_str(&json), buf_str(&again)));
    CHECK(str_find_str(buf_str(&message), STR("\r\nTLS-Report-Domain: x.example\r\n")) >= 0);
    CHECK(str_find_str(buf_str(&message), STR("report-type=\"tlsrpt\"")) >= 0);
}

TEST(large_files_are_packed_whole)
{
    AUTO_BUF big = BUF_LIMIT(16 << 20), packed = BUF_LIMIT(16 << 20), back = BUF_LIMIT(16 << 20);
    struct inflater *i = inflater_new_gzip();
    struct err e = {0};
    struct str rest;
    bool is_end = false;

    for (unsigned n = 0; big.n < 3 << 20; n++)
        buf_printf(&big, "%u ", n * 2654435761u);
    gzip_put(&packed, buf_str(&big));
    CHECK(!packed.full);
    for (rest = buf_str(&packed); !is_end;) {
        char *p = buf_room(&back, 65536);
        size_t got;

        CHECK(p);
        CHECK(inflater_take(i, &rest, p, 65536, &got, &is_end, &e));
        buf_claim(&back, got);
        CHECK(got || is_end);
    }
    CHECK(!rest.n && str_eq(buf_str(&back), buf_str(&big)));
    inflater_free(i);
}

TEST(questions_are_asked_one_after_the_other)
{
    AUTO_ARENA a = ARENA_LIMIT(8 << 20);
    struct dns_later later;
    struct dmarc_found found;
    unsigned n = 0;

    dns_later_init(&later);
    for (;; n++) {
        struct dns dns = dns_later_dns(&later);
        struct dns_record txt = {.data = STR("v=DMARC1; p=none; rua=mailto:a@y.example")};
        struct dns_answer answer = {.status = DNS_NXDOMAIN};

        dns_later_begin(&later);
        dmarc_find(&dns, &a, STR("x.example"), &found);
        if (!later.is_missing)
            break;
        CHECK(n < 10);
        if (str_eq(later.name, STR("_dmarc.x.example")) && later.type == DNS_TXT)
            answer = (struct dns_answer){.status = DNS_OK, .records = &txt, .n = 1};
        dns_later_put(&later, &answer);
    }
    CHECK(n >= 1 && found.result == AUTH_PASS && found.record.rua.n == 1);
    dns_later_fini(&later);
}
