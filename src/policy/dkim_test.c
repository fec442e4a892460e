#include "policy/dkim_test.h"

#include <string.h>

/* --- the lists of tags ------------------------------------------------------------------------ */

TEST(lists_of_tags)
{
    static const struct {
        const char *text;
        bool is_ok;
        size_t n;
        const char *value; // of the tag a
    } cases[] = {
        {"a=1", true, 1, "1"},
        {"a=1;", true, 1, "1"},
        {" a = 1 2 ; b=; c_9=x ", true, 3, "1 2"},
        {"a=x=y;", true, 1, "x=y"},
        {"a=1\r\n\t2;\r\n b=3", true, 2, "1\r\n\t2"},
        {"A=1", true, 1, ""}, // another tag
        {"a=\xc3\xbc", true, 1, "\xc3\xbc"},
        {"", false, 0, ""},
        {";", false, 0, ""},
        {"a=1;;", false, 0, ""},
        {"a=1; ;b=2", false, 0, ""},
        {"a=1;a=1", false, 0, ""},
        {"a", false, 0, ""},
        {"1a=2", false, 0, ""},
        {"=2", false, 0, ""},
        {"a=1\r\n2", false, 0, ""}, // a line end that is no fold
        {"a=1\n 2", false, 0, ""},
        {"a=1\x01", false, 0, ""},
        {"a-b=1", false, 0, ""},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i].text));
        struct tag_list list;
        struct err e = {0};

        CHECK_CASE(tag_list_parse(in.str, &list, &e) == cases[i].is_ok, i);
        CHECK_CASE(cases[i].is_ok || e.kind == ERR_SYNTAX, i);
        if (!cases[i].is_ok)
            continue;
        CHECK_CASE(list.n == cases[i].n, i);
        CHECK_STR(tag_value(&list, "a"), str_of(cases[i].value));
    }
}

TEST(lists_of_tags_are_bounded)
{
    AUTO_BUF text = BUF_LIMIT(1 << 20);
    struct tag_list list;
    struct err e = {0};

    for (int i = 0; i <= TAG_LIST_MAX_TAGS; i++)
        buf_printf(&text, "t%d=1;", i);
    CHECK(!tag_list_parse(buf_str(&text), &list, &e) && e.kind == ERR_LIMIT);
    buf_reset(&text);
    BUF_PUT(&text, "a=");
    while (text.n <= TAG_LIST_MAX_BYTES)
        buf_put_char(&text, 'x');
    CHECK(!tag_list_parse(buf_str(&text), &list, &e) && e.kind == ERR_LIMIT);
}

/* --- signatures and records ------------------------------------------------------------------- */

#define BH "bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;"
#define BASE "v=1;a=rsa-sha256;d=Example.org;s=Sel;h=From:Subject;b=AAAA;" BH

TEST(dkim_signatures)
{
    static const struct {
        const char *text;
        const char *error; // NULL: good
    } cases[] = {
        {BASE, NULL},
        {BASE "t=1;x=2;l=0;q=dns/foo:dns/txt;i=@sub.example.org;z=From:x|To:y;foo=bar", NULL},
        {BASE "c=relaxed", NULL},
        {BASE "c=simple/relaxed;i=joe=40x@EXAMPLE.org", NULL},
        {BASE "c=", "canonicalization"},
        {BASE "c=relaxed/nofws", "canonicalization"},
        {BASE "c=relaxed/simple/x", "canonicalization"},
        {BASE "l=", "l="},
        {BASE "l=-1", "l="},
        {BASE "l=99999999999999999999", "l="},
        {BASE "t=x", "t="},
        {BASE "t=", "t="},
        {BASE "t=2;x=2", "x="},
        {BASE "q=http", "q="},
        {BASE "i=@example.com", "i="},
        {BASE "i=@notexample.org", "i="},
        {BASE "i=example.org", "i="},
        {BASE "i=@org", "i="},
        {BASE "b=AAAA", "twice"},
        {"v=1;a=rsa-sha256;d=example.org;s=sel;h=Subject;b=AAAA;" BH, "From"},
        {"v=2;a=rsa-sha256;d=example.org;s=sel;h=From;b=AAAA;" BH, "v="},
        {"a=rsa-sha256;d=example.org;s=sel;h=From;b=AAAA;" BH, "v="},
        {"v=1;a=rsa-md5;d=example.org;s=sel;h=From;b=AAAA;" BH, "algorithm"},
        {"v=1;d=example.org;s=sel;h=From;b=AAAA;" BH, "a="},
        {"v=1;a=rsa-sha256;s=sel;h=From;b=AAAA;" BH, "d="},
        {"v=1;a=rsa-sha256;d=exa mple.org;s=sel;h=From;b=AAAA;" BH, "d="},
        {"v=1;a=rsa-sha256;d=example.org;h=From;b=AAAA;" BH, "s="},
        {"v=1;a=rsa-sha256;d=example.org;s=a..b;h=From;b=AAAA;" BH, "s="},
        {"v=1;a=rsa-sha256;d=example.org;s=a/b;h=From;b=AAAA;" BH, "s="},
        {"v=1;a=rsa-sha256;d=example.org;s=a_b.c-d;h=From;b=AAAA;" BH, NULL},
        {"v=1;a=rsa-sha256;d=example.org;s=sel;h=From;b=;" BH, "b="},
        {"v=1;a=rsa-sha256;d=example.org;s=sel;h=From;b=A*AA;" BH, "b="},
        {"v=1;a=rsa-sha256;d=example.org;s=sel;b=AAAA;" BH, "h="},
        {"v=1;a=rsa-sha256;d=example.org;s=sel;h=From::To;b=AAAA;" BH, "h="},
        {"v=1;a=rsa-sha256;d=example.org;s=sel;h=From;b=AAAA;", "bh="},
        {"v=1;a=rsa-sha256;d=example.org;s=sel;h=From;b=AAAA;bh=AAAA", "bh="},
        {"v=1;a=rsa-sha1;d=example.org;s=sel;h=From;b=AAAA;" BH, "bh="},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_EXACT in = exact_copy(str_of(cases[i].text));
        struct dkim_signature s;
        struct err e = {0};

        CHECK_CASE(dkim_signature_parse(&a, in.str, &s, &e) == !cases[i].error, i);
        CHECK_CASE(!cases[i].error || strstr(e.text, cases[i].error), i);
        for (size_t n = 0; n < in.str.n; n++) {
            AUTO_EXACT cut = exact_copy(str_sub(in.str, 0, n));

            (void)!dkim_signature_parse(&a, cut.str, &s, &e);
        }
    }
}

TEST(dkim_signature_says_what_it_says)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct dkim_signature s;
    struct err e = {0};

    CHECK(dkim_signature_parse(&a,
                               STR(" " BASE "c=relaxed; l=7;\r\n\tt=5; x = 9 ;"
                                   " i=a=3Bb=C3=BC@sub.example.org"),
                               &s, &e));
    CHECK(s.algorithm == DKIM_RSA_SHA256 && s.header_is_relaxed && !s.body_is_relaxed);
    CHECK_STR(s.domain, STR("example.org"));
    CHECK_STR(s.selector, STR("sel"));
    CHECK_STR(s.identity, STR("a;b\xc3\xbc@sub.example.org"));
    CHECK(s.has_length && s.length == 7 && s.signed_at == 5 && s.expires_at == 9);
    CHECK(s.n_headers == 2 && s.body_hash.n == 32 && s.signature.n == 3);
    CHECK_STR(s.headers[1], STR("Subject"));
    CHECK_STR(s.b_field, STR("AAAA"));
}

TEST(dkim_records)
{
    static const struct {
        const char *text;
        bool is_ok, is_dkim;
        int kind;
    } cases[] = {
        {"v=DKIM1; p=AAAA", true, true, DKIM_KEY_RSA},
        {"p=AAAA", true, true, DKIM_KEY_RSA},
        {"k=ed25519; p=AAAA;", true, true, DKIM_KEY_ED25519},
        {"k=dsa; p=AAAA", true, true, DKIM_KEY_OTHER},
        {"v=DKIM1; p=", true, true, DKIM_KEY_RSA}, // revoked
        {"v=DKIM1; g=*; p=AA AA", true, true, DKIM_KEY_RSA},
        {"p=AAAA; v=DKIM1", false, true, 0},
        {"v=DKIM2; p=AAAA", false, false, 0},
        {"v=dkim1; p=AAAA", false, false, 0},
        {"v=DKIM1", false, true, 0},
        {"v=DKIM1; p=A", false, true, 0},
        {"v=DKIM1; p=AAAA; p=AAAA", false, true, 0},
        {"v=spf1 -all", false, false, 0},
        {"anything", false, false, 0},
        {"", false, false, 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_EXACT in = exact_copy(str_of(cases[i].text));
        struct dkim_record r;
        struct err e = {0};
        bool is_dkim;

        CHECK_CASE(dkim_record_parse(&a, in.str, &r, &is_dkim, &e) == cases[i].is_ok, i);
        CHECK_CASE(is_dkim == cases[i].is_dkim, i);
        CHECK_CASE(!cases[i].is_ok || (int)r.kind == cases[i].kind, i);
    }
}

TEST(dkim_records_written)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(1000);
    struct dkim_record r = {.kind = DKIM_KEY_ED25519, .is_strict = true, .public_key = STR("abc")},
                       got;
    struct err e = {0};
    bool is_dkim;

    dkim_record_put(&out, &r);
    CHECK_STR(buf_str(&out), STR("v=DKIM1;h=sha256;k=ed25519;t=s;p=YWJj"));
    CHECK(dkim_record_parse(&a, buf_str(&out), &got, &is_dkim, &e));
    CHECK(got.kind == r.kind && got.is_strict && !got.is_testing && got.allows_sha256 &&
          got.is_for_email);
    CHECK_STR(got.public_key, r.public_key);
}

/* --- canonicalisation ------------------------------------------------------------------------- */

static void put_to_buf(void *ctx, struct str bytes)
{
    buf_put(ctx, bytes);
}

static void canonical_body(struct buf *out, struct str body, bool is_relaxed, size_t block)
{
    struct dkim_canon_body c = {.is_relaxed = is_relaxed, .put = put_to_buf, .ctx = out};

    for (; body.n; body = str_from(body, block))
        dkim_canon_body_feed(&c, str_sub(body, 0, block));
    dkim_canon_body_end(&c);
}

static void canonical_message(struct buf *out, struct arena *a, struct str text, bool is_relaxed)
{
    struct test_message m = test_message_of(a, text);
    struct err e = {0};
    struct dkim_header *h = dkim_header_parse(a, m.header, &e);

    CHECK(h != NULL);
    for (size_t i = 0; i < h->n; i++)
        dkim_canon_field(out, h->fields[i].raw, is_relaxed);
    BUF_PUT(out, "\r\n");
    canonical_body(out, m.body, is_relaxed, m.body.n + 1);
}

TEST(dkim_canonicalisation_vectors)
{
    int n = 0;

    for (int i = 1; i <= 25; i++)
        for (int is_relaxed = 0; is_relaxed < 2 && (i < 15 || i > 18); is_relaxed++) {
            AUTO_ARENA a = ARENA_LIMIT(1 << 20);
            AUTO_BUF out = BUF_LIMIT(1 << 20);
            struct str dir = STR("dkim/canonicalization");
            struct str path = arena_printf(&a, "%.*s/email.%02d", STR_FMT(dir), i);
            struct str want = arena_printf(&a, "%.*s/%s.expected.%02d", STR_FMT(dir),
                                           is_relaxed ? "relaxed" : "simple", i);

            canonical_message(&out, &a, vector_file(&a, arena_cstring(&a, path)), is_relaxed);
            CHECK_STR(buf_str(&out), vector_file(&a, arena_cstring(&a, want)));
            n++;
        }
    CHECK(n == 42);
}

TEST(dkim_canonicalisation_of_fields)
{
    static const struct {
        const char *raw, *relaxed;
    } cases[] = {
        {"A: X\r\n", "a:X\r\n"}, // RFC 6376 3.4.5
        {"B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"},
        {"Subject:\r\n", "subject:\r\n"},
        {"Subject: \r\n \r\n", "subject:\r\n"},
        {"S:a\rb\r\n", "s:a\rb\r\n"},
        {"S:a", "s:a\r\n"},
        {"S:a:b", "s:a:b\r\n"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_LIMIT(1000);
        AUTO_EXACT in = exact_copy(str_of(cases[i].raw));

        dkim_canon_field(&out, in.str, true);
        CHECK_STR(buf_str(&out), str_of(cases[i].relaxed));
    }
}

TEST(dkim_canonicalisation_of_bodies_in_any_blocks)
{
    static const struct {
        const char *body, *simple, *relaxed;
    } cases[] = {
        {"", "\r\n", ""},
        {"\r\n", "\r\n", ""},
        {"\r\n\r\n", "\r\n", ""},
        {" \r\n\t\r\n", " \r\n\t\r\n", ""},
        {" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"}, // RFC 6376 3.4.5
        {"a", "a\r\n", "a\r\n"},
        {"a ", "a \r\n", "a \r\n"}, // no line end: as dkimpy and the vectors have it
        {"\r\n \t", "\r\n \t\r\n", "\r\n \r\n"},
        {"a\r", "a\r\r\n", "a\r\r\n"},
        {"a\r\r\n", "a\r\r\n", "a\r\r\n"},
        {"a \r b\n c", "a \r b\n c\r\n", "a \r b\n c\r\n"},
        {"\r\n\r\na\r\n \r\n\r\nb", "\r\n\r\na\r\n \r\n\r\nb\r\n", "\r\n\r\na\r\n\r\n\r\nb\r\n"},
        {"\n\r\n\n", "\n\r\n\n\r\n", "\n\r\n\n\r\n"},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t block = 1; block < 9; block++) {
            AUTO_BUF simple = BUF_LIMIT(1000), relaxed = BUF_LIMIT(1000);
            AUTO_EXACT in = exact_copy(str_of(cases[i].body));

            canonical_body(&simple, in.str, false, block);
            canonical_body(&relaxed, in.str, true, block);
            CHECK_STR(buf_str(&simple), str_of(cases[i].simple));
            CHECK_STR(buf_str(&relaxed), str_of(cases[i].relaxed));
        }
}

TEST(dkim_hashes_of_a_body_cost_one_pass)
{
    static const uint64_t lengths[] = {DKIM_WHOLE_BODY, 0, 5, 3, 9, 10, 11};
    struct dkim_bodies *b = dkim_bodies_new();
    const struct dkim_body_hash *got[COUNT(lengths)];
    unsigned char want[SHA256_BYTES];

    CHECK(!dkim_bodies_are_wanted(b));
    for (size_t i = 0; i < COUNT(lengths); i++)
        got[i] = dkim_bodies_want(b, true, lengths[i]);
    CHECK(dkim_bodies_want(b, true, 5) == got[2] && dkim_bodies_want(b, false, 5) != got[2]);
    dkim_bodies_feed(b, STR("ab  cd\r"));
    dkim_bodies_feed(b, STR("\nx \r\n\r\n"));
    dkim_bodies_end(b);
    for (size_t i = 0; i < COUNT(lengths); i++) { // "ab cd\r\nx\r\n" has 10 octets
        struct str part = str_sub(STR("ab cd\r\nx\r\n"), 0, (size_t)lengths[i]);

        CHECK_CASE(got[i]->total == 10, i);
        CHECK_CASE(got[i]->is_done == (lengths[i] != 11), i);
        sha256(part, want);
        CHECK_CASE(!got[i]->is_done || memcmp(want, got[i]->digest, sizeof want) == 0, i);
    }
    dkim_bodies_free(b);
}

/* --- messages --------------------------------------------------------------------------------- */

// Lines "name value" of the vectors, as lines of a scripted zone.
static struct str zone_of_lines(struct arena *a, struct str text)
{
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    struct cur c = cur_of(text);
    struct str line, name, value;

    while (cur_line(&c, &line)) {
        if (str_starts(line, STR("#")) || !str_cut(line, ' ', &name, &value))
            continue;
        value = str_trim(value);
        buf_put(&out, name);
        BUF_PUT(&out, " TXT ");
        buf_put(&out, str_eq(value, STR("NXDOMAIN"))      ? STR("!nxdomain")
                      : str_starts(value, STR("~~Query")) ? STR("!timeout")
                      : str_starts(value, STR("~~"))      ? STR("!servfail")
                                                          : value);
        BUF_PUT(&out, "\n");
    }
    return arena_dup(a, buf_str(&out));
}

TEST(dkim_vectors_mail_dkim)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct dns_zone zone;
    struct cur c = cur_of(vector_file(&a, "dkim/mail-dkim/expected-here.tsv"));
    struct str line, name, want;
    int n = 0;

    test_zone(&a, zone_of_lines(&a, vector_file(&a, "dkim/mail-dkim/FAKE_DNS.dat")), &zone);
    while (cur_line(&c, &line)) {
        struct dkim_verification v;
        struct str path;

        if (str_starts(line, STR("#")) || !str_cut(line, '\t', &name, &want))
            continue;
        path = arena_printf(&a, "dkim/mail-dkim/corpus/%.*s", STR_FMT(name));
        test_verify(&a, test_message_of(&a, vector_file(&a, arena_cstring(&a, path))), &zone, NOW,
                    &v);
        CHECK_STR(arena_printf(&a, "%.*s\t%.*s", STR_FMT(name), STR_FMT(test_statuses(&a, &v))),
                  line);
        n++;
    }
    CHECK(n == 79);
}

// Key records, an empty line, the message.
static void check_with_records(const char *path, int64_t now, const char *want)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct str text = vector_file(&a, path);
    ptrdiff_t end = str_find_str(text, STR("\n\n"));
    struct dkim_verification v;
    struct dns_zone zone;

    CHECK(end > 0);
    test_zone(&a, zone_of_lines(&a, str_sub(text, 0, (size_t)end)), &zone);
    test_verify(&a, test_message_of(&a, str_from(text, (size_t)end + 2)), &zone, now, &v);
    CHECK_STR(test_statuses(&a, &v), str_of(want));
}

TEST(dkim_vectors_mail_auth)
{
    check_with_records("dkim/mail-auth/001.txt", NOW, "pass pass");
    check_with_records("dkim/mail-auth/002.txt", NOW, "pass");
    check_with_records("dkim/mail-auth/003.txt", NOW, "pass pass");
    check_with_records("dkim/mail-auth/004.txt", NOW, "pass");
    check_with_records("dkim/mail-auth/005.txt", NOW, "pass");
    check_with_records("dkim/mail-auth/006.txt", NOW, "pass");
}

static const char rfc8463_zone[] =
    "brisbane._domainkey.football.example.com TXT v=DKIM1; k=ed25519; "
    "p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
    "test._domainkey.football.example.com TXT v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQ"
    "KBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC"
    "/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB\n";

TEST(dkim_vectors_rfc8463)
{
    static const char *const paths[] = {"dkim/rfc8463/signed.eml",
                                        "dkim/mimekit/rfc8463-example.msg"};

    for (size_t i = 0; i < COUNT(paths); i++) {
        AUTO_ARENA a = ARENA_LIMIT(16 << 20);
        struct dkim_verification v;
        struct dns_zone zone;

        test_zone(&a, STR(rfc8463_zone), &zone);
        test_verify(&a, test_message_of(&a, vector_file(&a, paths[i])), &zone, NOW, &v);
        CHECK_STR(test_statuses(&a, &v), STR("pass pass"));
    }
}

// A public key in PEM is a record without its frame.
TEST(dkim_vectors_mimekit)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    AUTO_BUF text = BUF_LIMIT(10000);
    struct cur c = cur_of(vector_file(&a, "dkim/mimekit/gmail.pub"));
    struct dkim_verification v;
    struct dns_zone zone;
    struct str line;

    BUF_PUT(&text, "20120113._domainkey.gmail.com TXT v=DKIM1; k=rsa; p=");
    while (cur_line(&c, &line))
        if (!str_starts(line, STR("-")))
            buf_put(&text, line);
    test_zone(&a, buf_str(&text), &zone);
    test_verify(&a, test_message_of(&a, vector_file(&a, "dkim/mimekit/gmail.msg")), &zone, NOW, &v);
    CHECK_STR(test_statuses(&a, &v), STR("pass"));
}
