#include "policy/authres.h"

#include "base/test.h"
#include "message/header.h"

static void check_same(const struct authres *a, const struct authres *b)
{
    CHECK_STR(a->host, b->host);
    CHECK(a->n == b->n);
    for (size_t i = 0; i < a->n; i++) {
        const struct authres_method *x = &a->methods[i], *y = &b->methods[i];

        CHECK_STR(x->method, y->method);
        CHECK_STR(x->result, y->result);
        CHECK_STR(x->comment, y->comment);
        CHECK_STR(x->reason, y->reason);
        CHECK(x->n == y->n);
        for (size_t k = 0; k < x->n; k++) {
            CHECK_STR(x->properties[k].type, y->properties[k].type);
            CHECK_STR(x->properties[k].name, y->properties[k].name);
            CHECK_STR(x->properties[k].value, y->properties[k].value);
        }
    }
}

static void check_written(struct arena *a, const struct authres *ar, struct buf *out)
{
    struct header_field field;
    struct authres again;
    struct err e = {0};

    CHECK(authres_put(out, ar, &e));
    CHECK(header_count(buf_str(out), STR("Authentication-Results")) == 1);
    CHECK(header_is_strict(buf_str(out)));
    CHECK(header_find(buf_str(out), STR("Authentication-Results"), &field));
    CHECK(field.raw.n == out->n); // one field, and nothing after it
    AUTO_EXACT in = exact_copy(field.value);
    if (!authres_parse(a, in.str, &again, &e))
        CHECK_STR(str_of(e.text), STR(""));
    check_same(ar, &again);
}

TEST(authres_of_a_message)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(AUTHRES_MAX_FIELD);
    struct authres ar = {.host = STR_("mx.example.com")};
    const struct authres_dkim good = {.result = AUTH_PASS, .domain = STR_("example.org"),
                                      .selector = STR_("2024a"), .algorithm = STR_("rsa-sha256"),
                                      .identity = STR_("@example.org"),
                                      .signature = STR_("AbCdEfGhIjKlMnOpQr"), .key_bits = 2048,
                                      .is_secure = true};
    const struct authres_dkim bad = {.result = AUTH_PERMERROR, .reason = STR_("no such key"),
                                     .domain = STR_("example.net"), .selector = STR_("x"),
                                     .algorithm = STR_("ed25519-sha256")};
    struct authres_method *dmarc;
    struct ip ip;

    CHECK(ip_parse(STR("2001:db8::1"), &ip));
    authres_add_iprev(&ar, &a, AUTH_PASS, &ip, false, STR(""));
    authres_add_dkim(&ar, &a, &good);
    authres_add_dkim(&ar, &a, &bad);
    authres_add_spf(&ar, &a, AUTH_SOFTFAIL, false, STR("x+\"y@example.org"), true, STR(""));
    dmarc = authres_add(&ar, &a, "dmarc", AUTH_PASS);
    dmarc->comment = STR("with dnssec, override forwarded");
    authres_add_property(dmarc, &a, "header", "from", STR("example.org"));
    authres_add_arc(&ar, &a, AUTH_NONE, &ip, STR(""));
    check_written(&a, &ar, &out);
    CHECK_STR(buf_str(&out),
              STR("Authentication-Results: mx.example.com;\r\n"
                  "\tiprev=pass (without dnssec) policy.iprev=\"2001:db8::1\";\r\n"
                  "\tdkim=pass (2048 bit rsa, with dnssec) header.d=example.org header.s=2024a\r\n"
                  "\theader.a=rsa-sha256 header.b=AbCdEfGhIjKl header.i=@example.org;\r\n"
                  "\tdkim=permerror reason=\"no such key\" header.d=example.net header.s=x\r\n"
                  "\theader.a=ed25519-sha256;\r\n"
                  "\tspf=softfail (with dnssec) smtp.mailfrom=\"x+\\\"y@example.org\";\r\n"
                  "\tdmarc=pass (with dnssec, override forwarded) header.from=example.org;\r\n"
                  "\tarc=none smtp.remote-ip=\"2001:db8::1\"\r\n"));
}

// What a stranger chooses stays inside its quotes or comment.
TEST(authres_keeps_strangers_in_their_place)
{
    static const struct str texts[] = {
        STR_("x\r\nBcc: victim@example.com"), STR_("x\r\n\r\nbody"), STR_("x\nFrom: y"),
        STR_("a;\r\n\tdmarc=pass"),           STR_("a; dmarc=pass"), STR_("\"; dmarc=pass (\""),
        STR_(") dmarc=pass ("),               STR_("\\"),            STR_("x\\\""),
        STR_("((((((((("),                    STR_("a\0b"),          STR_("\xff\xfe\xc0\xaf"),
        STR_("\xe2\x80\xa8"),                 STR_("\x7f\x1b[31m"),  STR_(" "),
        STR_("\xe2\x82"),                     STR_("b\xc3\xbc" "cher"),
    };

    for (size_t i = 0; i < COUNT(texts); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF out = BUF_LIMIT(AUTHRES_MAX_FIELD);
        AUTO_EXACT in = exact_copy(texts[i]);
        struct authres ar = {.host = in.str}, again;
        struct authres_method *m = authres_add(&ar, &a, "spf", AUTH_FAIL);
        struct header_field field;
        struct err e = {0};

        m->comment = m->reason = in.str;
        authres_add_property(m, &a, "smtp", "mailfrom", in.str);
        authres_add_property(m, &a, "smtp", "helo", STR("after"));
        CHECK_CASE(authres_put(&out, &ar, &e), i);
        CHECK_CASE(header_is_strict(buf_str(&out)), i);
        CHECK_CASE(header_find(buf_str(&out), STR("Authentication-Results"), &field) &&
                       field.raw.n == out.n, i);
        CHECK_CASE(authres_parse(&a, field.value, &again, &e), i);
        CHECK_CASE(again.n == 1 && again.methods[0].n == 2, i);
        CHECK_STR(again.methods[0].result, STR("fail"));
        CHECK_STR(again.methods[0].properties[1].value, STR("after"));
        for (size_t k = 0; k < out.n; k++)
            CHECK_CASE((unsigned char)out.p[k] >= ' ' || out.p[k] == '\r' || out.p[k] == '\n' ||
                           out.p[k] == '\t', i);
    }
}

TEST(authres_lines_are_short)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(AUTHRES_MAX_FIELD), text = BUF_LIMIT(1 << 20);
    struct authres ar = {.host = STR_("mx")};
    struct authres_method *m = authres_add(&ar, &a, "spf", AUTH_FAIL);
    struct err e = {0};
    struct cur c;
    struct str line;

    for (int i = 0; i < 5000; i++)
        BUF_PUT(&text, "\"");
    m->comment = m->reason = buf_str(&text);
    authres_add_property(m, &a, "smtp", "mailfrom", buf_str(&text)); // left out, not cut
    CHECK(authres_put(&out, &ar, &e));
    CHECK(str_find_str(buf_str(&out), STR("mailfrom")) == STR_NONE);
    c = cur_of(buf_str(&out));
    while (cur_line(&c, &line))
        CHECK(line.n <= 998); // RFC 5322 2.1.1
    m->method = STR("a b");
    CHECK(!authres_put(&out, &ar, &e) && e.kind == ERR_BUG);
}

TEST(authres_fields_of_others)
{
    // What is read, written in a short form; NULL: refused.
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"example.org 1; none", "example.org"},
        {" example.com; none;", "example.com"},
        {"example.com", NULL},
        {"example.com;", NULL},
        {"", NULL},
        {"example.com 2; none", NULL},
        {"example.com; none; spf=pass", NULL},
        {"example.com; spf=pass; none", NULL},
        {"example.com; nonesuch=pass", "example.com nonesuch=pass"},
        {"example.com;\r\n spf=pass smtp.mailfrom=example.net",
         "example.com spf=pass smtp.mailfrom=example.net"},
        {"example.com; auth=pass (cram-md5) smtp.auth=sender@example.net; spf=fail smtp.mailfrom=a",
         "example.com auth=pass(cram-md5) smtp.auth=sender@example.net spf=fail smtp.mailfrom=a"},
        // RFC 8601 B.7
        {"foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait for "
         "it) fail\r\n policy (A dot can go here) . (like that) expired\r\n (this surprised me) = "
         "(as I wasn't expecting it) 1362471462",
         "foo.example.net dkim=fail(wait for it) policy.expired=1362471462"},
        {"x; dkim=pass reason=\"good; \\\"signature\\\"\" header.i=@a.b header.b=\"x/y=\"",
         "x dkim=pass{good; \"signature\"} header.i=@a.b header.b=x/y="},
        {"x; spf=pass smtp.mailfrom=\"a b\"@c.example", "x spf=pass smtp.mailfrom=a b@c.example"},
        {"x; spf=hard_fail", "x spf=hard_fail"},
        {"x; SPF=Pass", "x spf=pass"},
        {"x; spf", NULL},
        {"x; spf=", NULL},
        {"x; =pass", NULL},
        {"x; spf=pass smtp", NULL},
        {"x; spf=pass smtp.", NULL},
        {"x; spf=pass smtp.mailfrom", NULL},
        {"x; spf=pass smtp.mailfrom=", NULL},
        {"x; spf=pass smtp.mailfrom=\"a", NULL},
        {"x; spf=pass (comment", NULL},
        {"x; spf/2=pass", NULL},
        {"x; spf/x=pass", NULL},
        {"x y; spf=pass", NULL},
        {"x; spf=pass, dkim=pass", NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF out = BUF_LIMIT(4096);
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        struct authres ar;
        struct err e = {0};

        CHECK_CASE(authres_parse(&a, in.str, &ar, &e) == !!cases[i].out, i);
        CHECK_CASE(cases[i].out || e.kind == ERR_SYNTAX, i);
        if (!cases[i].out)
            continue;
        buf_put(&out, ar.host);
        for (size_t k = 0; k < ar.n; k++) {
            const struct authres_method *m = &ar.methods[k];

            buf_printf(&out, " %.*s=%.*s", STR_FMT(m->method), STR_FMT(m->result));
            if (m->comment.n)
                buf_printf(&out, "(%.*s)", STR_FMT(m->comment));
            if (m->reason.n)
                buf_printf(&out, "{%.*s}", STR_FMT(m->reason));
            for (size_t j = 0; j < m->n; j++)
                buf_printf(&out, " %.*s.%.*s=%.*s", STR_FMT(m->properties[j].type),
                           STR_FMT(m->properties[j].name), STR_FMT(m->properties[j].value));
        }
        CHECK_STR(buf_str(&out), str_of(cases[i].out));
        for (size_t n = 0; n < in.str.n; n++) { // every truncation, for the sanitizer
            AUTO_EXACT cut = exact_copy(str_sub(in.str, 0, n));

            if (!authres_parse(&a, cut.str, &ar, &e))
                CHECK_CASE(e.kind == ERR_SYNTAX, i);
        }
    }
}

TEST(authres_is_bounded)
{
    static const struct {
        const char *piece;
        enum err_kind kind;
    } cases[] = {
        {"; spf=pass", ERR_LIMIT}, {" a.b=c", ERR_LIMIT}, {"(", ERR_LIMIT}, {"\\", ERR_SYNTAX},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 22);
        AUTO_BUF text = BUF_LIMIT(1 << 20);
        struct authres ar;
        struct err e = {0};

        BUF_PUT(&text, "x; spf=pass");
        for (int k = 0; k < 5000; k++)
            buf_put(&text, str_of(cases[i].piece));
        CHECK_CASE(!authres_parse(&a, buf_str(&text), &ar, &e) && e.kind == cases[i].kind, i);
        while (text.n <= AUTHRES_MAX_FIELD)
            buf_put(&text, str_of(cases[i].piece));
        CHECK_CASE(!authres_parse(&a, buf_str(&text), &ar, &e) && e.kind == ERR_LIMIT, i);
    }
}

TEST(authres_claims)
{
    CHECK(authres_claims_host(STR(" MX.example.com; spf=pass"), STR("mx.example.com")));
    CHECK(authres_claims_host(STR("(x)\r\n \"mx.example.com\" ; what ever ("), STR("mx.example.com")));
    CHECK(authres_claims_host(STR("mx.example.com"), STR("mx.example.com")));
    CHECK(authres_claims_host(STR("mx.example.com."), STR("mx.example.com")));
    CHECK(authres_claims_host(STR("mx:.co."), STR("mx:.co.")) && authres_claims_host(STR("mx:.co"), STR("mx:.co.")));
    CHECK(!authres_claims_host(STR("mx.example.com.evil.example; spf=pass"), STR("mx.example.com")));
    CHECK(authres_claims_host(STR(""), STR("mx.example.com")));
    CHECK(authres_claims_host(STR("(((((mx.example.com"), STR("mx.example.com")));
    CHECK(authres_claims_host(STR("b\xc3\xbc" "cher.example; none"), STR("xn--bcher-kva.example")));
    CHECK(!authres_claims_host(STR("xn--bcher-kva.example; none"), STR("mx.example.com")));
}
