#include "base/test.h"
#include "web/condition.h"
#include "web/encoding.h"
#include "web/forward.h"
#include "web/listing.h"
#include "web/mime.h"
#include "web/range.h"
#include "web/site.h"
#include "web/site_url.h"

TEST(urls)
{
    static const struct {
        struct str in;
        bool ok;
        struct str host, path, query, fragment;
        unsigned port;
    } cases[] = {
        {STR_("https://Example.org"), true, STR_("example.org"), STR_(""), STR_(""), STR_(""), 443},
        {STR_("http://example.org:8080/a/b?c=d#e"), true, STR_("example.org"), STR_("/a/b"), STR_("c=d"), STR_("e"),
         8080},
        {STR_("//example.org/"), true, STR_("example.org"), STR_("/"), STR_(""), STR_(""), 0},
        {STR_("http://[::1]:81/"), true, STR_("::1"), STR_("/"), STR_(""), STR_(""), 81},
        {STR_("http://127.0.0.1?x"), true, STR_("127.0.0.1"), STR_(""), STR_("x"), STR_(""), 80},
        {STR_("http://m\xc3\xb6x.example"), true, STR_("xn--mx-fka.example"), STR_(""), STR_(""), STR_(""), 80},
        {STR_("ftp://example.org/"), .ok = false},
        {STR_("http://"), .ok = false},
        {STR_("http:///x"), .ok = false},
        {STR_("http://user@example.org/"), .ok = false},
        {STR_("http://example.org:0/"), .ok = false},
        {STR_("http://example.org:65536/"), .ok = false},
        {STR_("http://example.org:/"), .ok = false},
        {STR_("http://[::1/"), .ok = false},
        {STR_("http://[127.0.0.1]/"), .ok = false},
        {STR_("http://[::1]x/"), .ok = false},
        {STR_("http://exa mple.org/"), .ok = false},
        {STR_("http://example.org/\r\nX: y"), .ok = false},
        {STR_("http://-.example/"), .ok = false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(cases[i].in);
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        struct site_url u;
        struct err e = {0};

        CHECK_CASE(site_url_parse(&a, in.str, &u, &e) == cases[i].ok, i);
        CHECK_CASE(cases[i].ok || e.kind == ERR_SYNTAX, i);
        if (!cases[i].ok)
            continue;
        CHECK_STR(u.host, cases[i].host);
        CHECK_STR(u.path, cases[i].path);
        CHECK_STR(u.query, cases[i].query);
        CHECK_STR(u.fragment, cases[i].fragment);
        CHECK_CASE(u.port == cases[i].port, i);
    }
}

TEST(ranges)
{
    static const struct {
        struct str in;
        enum range_result result;
        size_t n;
        uint64_t first, last;
    } cases[] = { // of 1000 bytes
        {STR_("bytes=0-499"), RANGE_SOME, 1, 0, 499},
        {STR_("bytes=500-"), RANGE_SOME, 1, 500, 999},
        {STR_("bytes=-1"), RANGE_SOME, 1, 999, 999},
        {STR_("bytes=-5000"), RANGE_SOME, 1, 0, 999},
        {STR_("Bytes=0-0"), RANGE_SOME, 1, 0, 0},
        {STR_("bytes=0-9999"), RANGE_SOME, 1, 0, 999},
        {STR_("bytes=0-0, 2-2 ,,900-"), RANGE_SOME, 3, 0, 0},
        {STR_("bytes=1000-, 5-6"), RANGE_SOME, 1, 5, 6},
        {STR_("bytes=1000-"), RANGE_NOT_SATISFIABLE, .n = 0},
        {STR_("bytes=-0"), RANGE_NOT_SATISFIABLE, .n = 0},
        {STR_("bytes=18446744073709551615-"), RANGE_NOT_SATISFIABLE, .n = 0},
        {STR_("bytes=5-4"), RANGE_WHOLE, .n = 0},
        {STR_("bytes=18446744073709551616-"), RANGE_WHOLE, .n = 0},
        {STR_("bytes=0-1,x"), RANGE_WHOLE, .n = 0},
        {STR_("bytes=- 1"), RANGE_WHOLE, .n = 0},
        {STR_("bytes= "), RANGE_WHOLE, .n = 0},
        {STR_("lines=0-1"), RANGE_WHOLE, .n = 0},
        {STR_("bytes"), RANGE_WHOLE, .n = 0},
        {STR_(""), RANGE_WHOLE, .n = 0},
        // What asks for the same twice, or for more than there is.
        {STR_("bytes=0-9,5-14"), RANGE_WHOLE, .n = 0},
        {STR_("bytes=0-,0-,0-"), RANGE_WHOLE, .n = 0},
        {STR_("bytes=0-499,500-"), RANGE_WHOLE, .n = 0},
        {STR_("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30,32-32"),
         RANGE_WHOLE, .n = 0},
    };
    struct ranges r;

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(cases[i].in);

        CHECK_CASE(range_parse(in.str, 1000, &r) == cases[i].result, i);
        if (cases[i].result == RANGE_SOME)
            CHECK_CASE(r.n == cases[i].n && r.items[0].first == cases[i].first && r.items[0].last == cases[i].last,
                       i);
    }
    CHECK(range_parse(STR("bytes=0-"), 0, &r) == RANGE_NOT_SATISFIABLE);
    CHECK(range_parse(STR("bytes=-5"), 0, &r) == RANGE_NOT_SATISFIABLE);
}

TEST(parts_of_ranges)
{
    AUTO_BUF b = BUF_LIMIT(10000);
    struct ranges r;

    CHECK(range_parse(STR("bytes=0-1,5-5"), 100, &r) == RANGE_SOME);
    for (size_t i = 0; i < r.n; i++) {
        range_put_part(&b, STR("xyz"), STR("text/plain"), &r.items[i], 100);
        buf_put(&b, str_sub(STR("abc"), 0, r.items[i].last - r.items[i].first + 1));
    }
    range_put_end(&b, STR("xyz"));
    CHECK_STR(buf_str(&b), STR("\r\n--xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/100\r\n\r\nab"
                               "\r\n--xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-5/100\r\n\r\na"
                               "\r\n--xyz--\r\n"));
    CHECK(range_body_size(&r, STR("xyz"), STR("text/plain"), 100) == b.n);
    buf_reset(&b);
    range_put_content(&b, NULL, 7);
    CHECK_STR(buf_str(&b), STR("bytes */7"));
}

TEST(conditional_requests)
{
#define OLD "Tue, 24 Nov 2026 08:16:52 GMT"
#define SAME "Tue, 24 Nov 2026 08:16:53 GMT"
#define NEWER "Tue, 24 Nov 2026 08:16:54 GMT"
#define NO {0}
    static const struct {
        struct str match, none_match, modified_since, unmodified_since;
        enum condition_result result;
    } cases[] = {
        {NO, NO, NO, NO, CONDITION_SEND},
        {STR_("\"a\""), NO, NO, NO, CONDITION_SEND},
        {STR_("\"x\" , \"a\""), NO, NO, NO, CONDITION_SEND},
        {STR_("*"), NO, NO, NO, CONDITION_SEND},
        {STR_("\"x\""), NO, NO, NO, CONDITION_FAILED},
        {STR_("W/\"a\""), NO, NO, NO, CONDITION_FAILED}, // strong comparison
        {STR_(""), NO, NO, NO, CONDITION_FAILED},
        {STR_("\"a"), NO, NO, NO, CONDITION_FAILED},
        {NO, STR_("\"a\""), NO, NO, CONDITION_NOT_MODIFIED},
        {NO, STR_("W/\"a\""), NO, NO, CONDITION_NOT_MODIFIED}, // weak comparison
        {NO, STR_("*"), NO, NO, CONDITION_NOT_MODIFIED},
        {NO, STR_("\"b\", \"c\""), NO, NO, CONDITION_SEND},
        {NO, STR_("\"b\""), STR_(NEWER), NO, CONDITION_SEND}, // the date is not asked then
        {NO, NO, STR_(SAME), NO, CONDITION_NOT_MODIFIED},
        {NO, NO, STR_(NEWER), NO, CONDITION_NOT_MODIFIED},
        {NO, NO, STR_(OLD), NO, CONDITION_SEND},
        {NO, NO, STR_("yesterday"), NO, CONDITION_SEND},
        {NO, NO, NO, STR_(OLD), CONDITION_FAILED},
        {NO, NO, NO, STR_(SAME), CONDITION_SEND},
        {NO, NO, NO, STR_("never"), CONDITION_SEND},
        {STR_("\"a\""), NO, NO, STR_(OLD), CONDITION_SEND}, // the tag counts
    };
    struct validators v = {.etag = STR("\"a\""), .modified = 1795508213};
    static const struct {
        struct str in;
        bool counts;
    } if_ranges[] = {
        {{0}, true},
        {STR_("\"a\""), true},
        {STR_("W/\"a\""), false},
        {STR_("\"b\""), false},
        {STR_("\"a\", \"b\""), false},
        {STR_(SAME), true},
        {STR_(NEWER), false},
        {STR_(""), false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct conditions c = {cases[i].match, cases[i].none_match, cases[i].modified_since,
                               cases[i].unmodified_since, {0}};

        CHECK_CASE(condition_check(&c, &v) == cases[i].result, i);
    }
    for (size_t i = 0; i < COUNT(if_ranges); i++) {
        struct conditions c = {.if_range = if_ranges[i].in};

        CHECK_CASE(condition_range_counts(&c, &v, v.modified + 10) == if_ranges[i].counts, i);
    }
    // It may have changed again in this second.
    CHECK(!condition_range_counts(&(struct conditions){.if_range = STR(SAME)}, &v, v.modified));
}

TEST(what_is_compressed)
{
    static const struct {
        struct str in;
        bool takes;
    } accepts[] = {
        {STR_("gzip"), true},       {STR_("deflate, GZIP;q=0.5"), true}, {STR_("gzip;q=0"), false},
        {STR_("gzip; q=0.000"), false}, {STR_("*"), true},           {STR_("*;q=0"), false},
        {STR_("*, gzip;q=0"), false},   {STR_("identity"), false},   {STR_(""), false},
        {STR_("x-gzip"), true},         {STR_("gzipped"), false},    {STR_("gzip;q=0.001"), true},
    };
    static const struct {
        struct str in;
        bool is_worth;
    } types[] = {
        {STR_("text/html; charset=utf-8"), true}, {STR_("image/svg+xml"), true}, {STR_("application/json"), true},
        {STR_("Application/LD+JSON"), true},      {STR_("image/png"), false},    {STR_("font/woff2"), false},
        {STR_(""), false},                        {STR_("+json"), false},
    };

    for (size_t i = 0; i < COUNT(accepts); i++) {
        AUTO_EXACT in = exact_copy(accepts[i].in);

        CHECK_CASE(encoding_takes_gzip(in.str) == accepts[i].takes, i);
    }
    for (size_t i = 0; i < COUNT(types); i++)
        CHECK_CASE(encoding_is_worth_it(types[i].in) == types[i].is_worth, i);
}

TEST(types_of_files)
{
    static const struct {
        struct str first, type;
    } cases[] = {
        {STR_(""), STR_("text/plain; charset=utf-8")},
        {STR_("plain"), STR_("text/plain; charset=utf-8")},
        {STR_(" \n<!DOCTYPE HTML>"), STR_("text/html; charset=utf-8")},
        {STR_("<html>"), STR_("text/html; charset=utf-8")},
        {STR_("<htmlx>"), STR_("text/plain; charset=utf-8")},
        {STR_("<?xml version"), STR_("text/xml; charset=utf-8")},
        {STR_("\x89PNG\r\n\x1a\n"), STR_("image/png")},
        {STR_("\x89PN"), STR_("text/plain; charset=utf-8")},
        {STR_("a\0b"), STR_("application/octet-stream")},
        {STR_("RIFFxxxxWEBP"), STR_("image/webp")},
        {STR_("RIFFxxxxWEB"), STR_("text/plain; charset=utf-8")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(cases[i].first);

        CHECK_STR(mime_of_bytes(in.str), cases[i].type);
    }
    CHECK_STR(mime_of_name(STR("a.tar.GZ")), STR("application/gzip"));
    CHECK_STR(mime_of_name(STR("index.html")), STR("text/html; charset=utf-8"));
    CHECK(!mime_of_name(STR("README")).n && !mime_of_name(STR("x.")).n && !mime_of_name(STR("")).n);
}

static void put_listing(struct buf *out, struct listing *l)
{
    AUTO_BUF piece = BUF_LIMIT(LISTING_PIECE);

    do {
        buf_reset(&piece);
        listing_put(&piece, l);
        CHECK(!piece.full);
        buf_put(out, buf_str(&piece));
    } while (piece.n);
    CHECK(!out->full);
}

TEST(a_long_listing_comes_in_pieces)
{
    enum { N = 1000 };
    AUTO_ARENA a = ARENA_LIMIT(10 << 20);
    AUTO_BUF b = BUF_LIMIT(10 << 20), path = BUF_LIMIT(10000);
    struct listing l = {.entries = ARENA_ARRAY(&a, N, struct listing_entry), .n = N, .has_more = true};
    char *name;

    for (size_t i = 0; i < 8000; i++)
        buf_put_char(&path, '"');
    l.path = buf_str(&path);
    for (size_t i = 0; i < N; i++) { // each as long as a name can be, in bytes that become the most
        name = arena_alloc(&a, 255);
        memset(name, '"', 255);
        l.entries[i] = (struct listing_entry){str_at(name, 255), i % 2, UINT64_MAX, 1795508213};
    }
    put_listing(&b, &l);
    CHECK(b.n > N * 255 * 9);
    CHECK(str_find_str(buf_str(&b), STR("There are more than the 1000 that are listed.")) >= 0);
    CHECK(str_ends(buf_str(&b), STR("</html>\n")));
}

TEST(a_listing_escapes_names)
{
    AUTO_BUF b = BUF_LIMIT(10000);
    struct listing_entry entries[] = {
        {STR("z<script>\"'&.txt"), false, 12345678, 1795508213},
        {STR("a:b"), true, 0, 0},
    };

    put_listing(&b, &(struct listing){.path = STR("/<x>/"), .entries = entries, .n = 2});
    CHECK(str_find_str(buf_str(&b), STR("<title>/&lt;x&gt;/</title>")) >= 0);
    CHECK(str_find_str(buf_str(&b), STR("<a href=\"./z%3Cscript%3E%22%27%26.txt\">z&lt;script&gt;&quot;&#39;&amp;.txt</a>")) >= 0);
    CHECK(str_find_str(buf_str(&b), STR("<a href=\"./a%3Ab/\">a:b/</a>")) >= 0);
    CHECK(str_find_str(buf_str(&b), STR("<td class=\"n\" title=\"12345678 bytes\">11</td>")) >= 0);
    CHECK(str_find_str(buf_str(&b), STR("2026-11-24 08:16:53")) >= 0);
    CHECK(str_find_str(buf_str(&b), STR("<a href=\"..\">")) >= 0);
    CHECK(str_find_str(buf_str(&b), STR("a:b/")) < str_find_str(buf_str(&b), STR("z&lt;")));
    buf_reset(&b);
    put_listing(&b, &(struct listing){.path = STR("/")});
    CHECK(str_find_str(buf_str(&b), STR("No files.")) >= 0 && str_find_str(buf_str(&b), STR("..\"")) < 0);
    CHECK(str_find_str(buf_str(&b), STR("more than")) < 0);
}

/* --- requests --------------------------------------------------------------------------------------- */

static struct http_request request_of(struct arena *a, struct str text)
{
    struct http_request r;
    struct err e = {0};
    unsigned status;

    CHECK(http_request_parse(a, arena_dup(a, text), &r, &status, &e));
    return r;
}

static struct http_request get(struct arena *a, const char *target)
{
    return request_of(a, arena_printf(a, "GET %s HTTP/1.1\r\nHost: site.example\r\n\r\n", target));
}

static struct regex *expression(const char *text)
{
    struct err e = {0};
    struct regex *r = regex_new(str_of(text), &e);

    CHECK(r);
    return r;
}

TEST(handlers_are_found_in_order)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct site_handler handlers[] = {
        {.number = 0, .domain = STR("other.example"), .path = expression("^/")},
        {.number = 1, .domain = STR("site.example"), .path = expression("^/a/")},
        {.number = 2, .domain = STR("site.example"), .path = expression("^/")},
        {.number = 3, .domain = STR("site.example"), .path = expression("^/(a+)+$")},
    };
    struct site_moved moved[] = {{STR("old.example"), STR("new.example")}};
    struct site s = {.handlers = handlers, .n = 4, .moved = moved, .n_moved = 1};
    static const struct {
        const char *target;
        int first, second;
    } cases[] = {
        {"/a/x", 1, 2}, {"/b", 2, -1}, {"/a/../b", 2, -1}, {"/b/../a/x", 1, 2},
        {"/%61/x", 1, 2}, {"/%2561/x", 2, -1}, {"//a//x", 1, 2}, {"/a%2fx", 1, 2}, {"/aa", 2, 3},
        // The expression gives up, and does not match.
        {"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", 2, -1},
        {"/%ff", -1, -1}, // no UTF-8
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct http_request r = get(&a, cases[i].target);
        const struct site_handler *h;
        size_t at = 0;

        h = site_next(&s, &r, &at);
        CHECK_CASE((h ? (int)h->number : -1) == cases[i].first, i);
        h = site_next(&s, &r, &at);
        CHECK_CASE((h ? (int)h->number : -1) == cases[i].second, i);
    }
    CHECK(site_moved_to(&s, STR("old.example")) == &moved[0] && !site_moved_to(&s, STR("new.example")));
    for (size_t i = 0; i < COUNT(handlers); i++)
        regex_free(handlers[i].path);
}

TEST(redirects_of_sites)
{
    static const struct {
        const char *base, *orig, *replace, *target;
        enum site_redirect result;
        struct str location;
    } cases[] = {
        {"https://new.example", NULL, NULL, "/a?b=c", SITE_REDIRECT_TO, STR_("https://new.example/a?b=c")},
        {"https://new.example:81/?x=y#f", NULL, NULL, "/a?b=c", SITE_REDIRECT_TO,
         STR_("https://new.example:81/a?x=y&b=c#f")},
        {"https://new.example?x", NULL, NULL, "/", SITE_REDIRECT_TO, STR_("https://new.example/?x")},
        {"//new.example/", NULL, NULL, "/%C3%B6", SITE_REDIRECT_TO, STR_("//new.example/%C3%B6")},
        {NULL, "^/old/(.*)$", "/new/$1", "/old/x", SITE_REDIRECT_TO, STR_("/new/x")},
        {NULL, "^/old/(.*)$", "/new/$1", "/other", SITE_REDIRECT_NONE, STR_("")},
        {NULL, "a", "b${0}$$", "/aca", SITE_REDIRECT_TO, STR_("/ba%24cba%24")},
        {NULL, "(?<n>[0-9]+)", "${n}-$2x", "/7", SITE_REDIRECT_TO, STR_("/7-")},
        {NULL, "^/(.*)$", "$1", "/x", SITE_REDIRECT_DECLINE, STR_("")},
        // Nothing of a path becomes a host, a line or a query.
        {NULL, "^/go/(.*)$", "/$1", "/go/%2Fevil.example/", SITE_REDIRECT_TO, STR_("/evil.example/")},
        {NULL, "^/go", "//evil.example", "/go/", SITE_REDIRECT_TO, STR_("/evil.example/")},
        {NULL, "^/go/((?s).*)$", "/$1", "/go/a%0d%0aSet-Cookie:%20x%3Fy", SITE_REDIRECT_TO,
         STR_("/a%0D%0ASet-Cookie%3A%20x%3Fy")},
        {NULL, "^/go/(.*)$", "/$1", "/go/%5C%5Cevil.example", SITE_REDIRECT_TO, STR_("/%5C%5Cevil.example")},
        // Loops.
        {"http://site.example", NULL, NULL, "/a", SITE_REDIRECT_DECLINE, STR_("")},
        {"http://site.example:80", NULL, NULL, "/a", SITE_REDIRECT_DECLINE, STR_("")},
        {"//Site.Example", NULL, NULL, "/a", SITE_REDIRECT_DECLINE, STR_("")},
        {"https://site.example", NULL, NULL, "/a", SITE_REDIRECT_TO, STR_("https://site.example/a")},
        {"http://site.example:81", NULL, NULL, "/a", SITE_REDIRECT_TO, STR_("http://site.example:81/a")},
        {"http://site.example", "^/", "/", "//a", SITE_REDIRECT_DECLINE, STR_("")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF out = BUF_LIMIT(10000);
        struct http_request r = get(&a, cases[i].target);
        struct site_handler h = {.kind = SITE_REDIRECT, .code = 308,
                                 .orig_path = cases[i].orig ? expression(cases[i].orig) : NULL,
                                 .replace_path = cases[i].replace ? str_of(cases[i].replace) : STR("")};
        struct err e = {0};

        CHECK_CASE(!cases[i].base || site_url_parse(&a, str_of(cases[i].base), &h.base, &e), i);
        CHECK_CASE(site_redirect(&h, &r, false, &out) == cases[i].result, i);
        CHECK_STR(buf_str(&out), cases[i].location);
        regex_free(h.orig_path);
    }
}

TEST(to_https)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(10000);
    struct http_request r = get(&a, "/a%2Fb/c?d=%20e");

    site_put_https(&out, STR("site.example"), &r);
    CHECK_STR(buf_str(&out), STR("https://site.example/a%2Fb/c?d=%20e"));
    r = get(&a, "//x/../%2e%2e/y\"<");
    buf_reset(&out);
    site_put_https(&out, STR("site.example"), &r);
    CHECK_STR(buf_str(&out), STR("https://site.example/y%22%3C"));
}

TEST(paths_of_files)
{
    static const struct {
        struct str prefix;
        const char *target;
        bool ok;
        struct str path;
    } cases[] = {
        {STR_(""), "/", true, STR_("")},
        {STR_(""), "/a/b", true, STR_("a/b")},
        {STR_("/files/"), "/files/a", true, STR_("a")},
        {STR_("/files"), "/files/a", true, STR_("a")},
        {STR_("/files"), "/files", true, STR_("")},
        {STR_("/files"), "/filesystem", false, STR_("")},
        {STR_("/files/"), "/other/a", false, STR_("")},
        {STR_("/files/"), "/files/../x", false, STR_("")},
        {STR_(""), "/../../etc/passwd", true, STR_("etc/passwd")},
        {STR_(""), "/%2e%2e/%2e%2e/etc/passwd", true, STR_("etc/passwd")},
        {STR_(""), "/%252e%252e/x", true, STR_("%2e%2e/x")},
        {STR_(""), "/..%2f..%2fetc", true, STR_("etc")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        struct http_request r = get(&a, cases[i].target);
        struct site_handler h = {.strip_prefix = cases[i].prefix};
        struct str path;

        CHECK_CASE(site_file_path(&h, &r, &path) == cases[i].ok, i);
        if (cases[i].ok)
            CHECK_STR(path, cases[i].path);
    }
}

TEST(targets_behind_the_proxy)
{
    static const struct {
        const char *url, *expression;
        bool strips;
        const char *target;
        struct str want;
    } cases[] = {
        {"http://b.example", "^/", false, "/a/b?c", STR_("/a/b?c")},
        {"http://b.example/", "^/", false, "/", STR_("/")},
        {"http://b.example/base", "^/", false, "/a", STR_("/base/a")},
        {"http://b.example/base/", "^/", false, "/a/", STR_("/base/a/")},
        {"http://b.example/base?x=1", "^/", false, "/a?y=2", STR_("/base/a?x=1&y=2")},
        {"http://b.example/base?x=1", "^/", false, "/a", STR_("/base/a?x=1")},
        {"http://b.example", "^/app", true, "/app/a", STR_("/a")},
        {"http://b.example", "^/app/", true, "/app/a", STR_("/a")},
        {"http://b.example", "^/app", true, "/app", STR_("/")},
        {"http://b.example/base", "^/app", true, "/app", STR_("/base")},
        {"http://b.example/base", "^/app", true, "/app/", STR_("/base/")},
        // What was matched is what is asked for.
        {"http://b.example", "^/app/", false, "/app/../admin", STR_("/admin")},
        {"http://b.example", "^/app/", false, "/app/%2e%2e/admin", STR_("/admin")},
        {"http://b.example", "^/app/", false, "/app/..%2fadmin", STR_("/admin")},
        {"http://b.example", "^/app/", false, "/app/%252e%252e/x", STR_("/app/%252e%252e/x")},
        {"http://b.example", "^/app/", false, "/app/a%2Fb", STR_("/app/a%2Fb")},
        {"http://b.example", "^/app/", true, "/app/a%2Fb%0d%0aX:%20y", STR_("/a/b%0D%0AX%3A%20y")},
        {"http://b.example", "^/", false, "/..\\x", STR_("/..%5Cx")},
        {"http://b.example", "^/", false, "//x", STR_("/x")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF out = BUF_LIMIT(10000);
        struct http_request r = get(&a, cases[i].target);
        struct site_handler h = {.path = expression(cases[i].expression), .strips_path = cases[i].strips};
        struct err e = {0};

        CHECK_CASE(site_url_parse(&a, str_of(cases[i].url), &h.target, &e), i);
        site_put_target(&out, &h, &r);
        CHECK_STR(buf_str(&out), cases[i].want);
        regex_free(h.path);
    }
}

static struct str fields_text(struct arena *a, const struct http_fields *fields)
{
    AUTO_BUF b = BUF_LIMIT(10000);

    for (size_t i = 0; i < fields->n; i++) {
        buf_put(&b, fields->items[i].name);
        BUF_PUT(&b, ": ");
        buf_put(&b, fields->items[i].value);
        BUF_PUT(&b, "\n");
    }
    return arena_dup(a, buf_str(&b));
}

TEST(fields_behind_the_proxy)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct http_fields out = {0};
    struct forward_client client = {.ip = STR("192.0.2.1"), .is_https = true};
    struct http_request r = request_of(&a, STR("POST /x HTTP/1.1\r\nHost: Site.Example:8443\r\nAccept: a/b\r\n"
                                               "Connection: close, X-Mine, Accept-Language\r\nX-Mine: 1\r\n"
                                               "accept-language: x\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
                                               "Proxy-Authorization: x\r\nProxy: http://192.0.2.9\r\nX-Forwarded-For: 1.2.3.4\r\n"
                                               "x_forwarded_for: 1.2.3.4\r\nX-Forwarded-Prefix: /\r\n"
                                               "Forwarded: for=1.2.3.4\r\nX-Forwarded: x\r\nUpgrade: h2c\r\n"
                                               "HTTP2-Settings: x\r\nContent_Length: 9\r\n"
                                               "Transfer_Encoding: chunked\r\nExpect: 100-continue\r\n"
                                               "X-Real: stays\r\nContent-Length: 5\r\n\r\n"));

    forward_request_fields(&a, &r, &client, false, &out);
    CHECK_STR(fields_text(&a, &out), STR("Host: site.example:8443\nAccept: a/b\nX-Real: stays\n"
                                         "X-Forwarded-For: 192.0.2.1\nX-Forwarded-Host: site.example:8443\n"
                                         "X-Forwarded-Proto: https\nContent-Length: 5\n"));
    r = request_of(&a, STR("PUT / HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\n"));
    out = (struct http_fields){0};
    client.is_https = false;
    forward_request_fields(&a, &r, &client, false, &out);
    CHECK_STR(fields_text(&a, &out), STR("Host: [::1]\nX-Forwarded-For: 192.0.2.1\nX-Forwarded-Host: [::1]\n"
                                         "X-Forwarded-Proto: http\nTransfer-Encoding: chunked\n"));
}

TEST(fields_from_behind_the_proxy)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct http_fields out = {0};
    struct http_response response;
    struct err e = {0};

    CHECK(http_response_parse(&a, STR("HTTP/1.1 200 OK\r\nServer: x\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
                                      "Transfer-Encoding: chunked\r\nTrailer: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n"),
                              false, &response, &e));
    forward_response_fields(&a, &response, &out);
    CHECK_STR(fields_text(&a, &out), STR("Server: x\nSet-Cookie: a\nSet-Cookie: b\n"));
}

TEST(websocket_handshakes)
{
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define ASK "Upgrade: foo, WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
#define V13 "Sec-WebSocket-Version: 13\r\n"
    static const struct {
        const char *head;
        bool is_asked, is_ok, is_version;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n" ASK KEY V13 "\r\n", true, true, false},
        {"GET / HTTP/1.0\r\nHost: x\r\n" ASK KEY V13 "\r\n", false, false, false},
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", false, false, false},
        {"GET / HTTP/1.1\r\nHost: x\r\n" ASK KEY "Sec-WebSocket-Version: 8\r\n\r\n", true, false, true},
        {"GET / HTTP/1.1\r\nHost: x\r\n" ASK KEY "\r\n", true, false, true},
        {"POST / HTTP/1.1\r\nHost: x\r\n" ASK KEY V13 "\r\n", true, false, false},
        {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n" ASK KEY V13 "\r\n", true, false, false},
        {"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n" KEY V13 "\r\n", true, false, false},
        {"GET / HTTP/1.1\r\nHost: x\r\n" ASK V13 "\r\n", true, false, false},
        {"GET / HTTP/1.1\r\nHost: x\r\n" ASK KEY KEY V13 "\r\n", true, false, false},
        {"GET / HTTP/1.1\r\nHost: x\r\n" ASK "Sec-WebSocket-Key: dGhl\r\n" V13 "\r\n", true, false, false},
    };
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF accept = BUF_LIMIT(100);
    struct http_fields fields = {0};
    struct http_request r;
    struct http_response response;
    struct err e = {0};

    for (size_t i = 0; i < COUNT(cases); i++) {
        bool is_version = false;

        r = request_of(&a, str_of(cases[i].head));
        CHECK_CASE(websocket_is_asked(&r) == cases[i].is_asked, i);
        if (cases[i].is_asked)
            CHECK_CASE(websocket_check(&r, &is_version, &e) == cases[i].is_ok && is_version == cases[i].is_version,
                       i);
    }
    // RFC 6455 1.3.
    websocket_put_accept(&accept, STR("dGhlIHNhbXBsZSBub25jZQ=="));
    CHECK_STR(buf_str(&accept), STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    r = request_of(&a, str_of(cases[0].head));
    forward_request_fields(&a, &r, &(struct forward_client){.ip = STR("192.0.2.1")}, true, &fields);
    CHECK_STR(fields_text(&a, &fields), STR("Host: x\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
                                            "Sec-WebSocket-Version: 13\nX-Forwarded-For: 192.0.2.1\n"
                                            "X-Forwarded-Host: x\nX-Forwarded-Proto: http\n"
                                            "Connection: Upgrade\nUpgrade: websocket\n"));
    CHECK(http_response_parse(&a, STR("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                                      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
                              false, &response, &e));
    CHECK(websocket_is_accepted(&r, &response));
    CHECK(http_response_parse(&a, STR("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                                      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n\r\n"),
                              false, &response, &e));
    CHECK(!websocket_is_accepted(&r, &response));
}
