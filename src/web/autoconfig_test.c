#include "base/test.h"
#include "web/autoconfig.h"
#include "web/pages.h"

static const struct mail_settings settings = {
    .domain = STR_("example.org"),
    .imap = {STR_("mail.example.org"), 993, MAIL_SOCKET_TLS, true},
    .submission = {STR_("mail.example.org"), 465, MAIL_SOCKET_TLS, false},
};

static bool has(const struct buf *b, const char *part)
{
    return str_find_str(buf_str(b), str_of(part)) != STR_NONE;
}

TEST(web_addresses)
{
    static const struct {
        const char *in, *domain;
    } cases[] = {
        {"a@example.org", "example.org"}, {"a+b@Example.ORG", "example.org"}, {"a@b@example.org", "example.org"},
        {"a@b\xc3\xbc" "cher.example", "xn--bcher-kva.example"}, {"\xc3\xa9@example.org", "example.org"},
        {"", NULL}, {"@example.org", NULL}, {"a@", NULL}, {"a", NULL}, {"a b@example.org", NULL},
        {"a\n@example.org", NULL}, {"a@exam ple.org", NULL}, {"\xff@example.org", NULL}, {"a,b@example.org", NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 16);
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        struct mail_address m;
        struct err e = {0};
        bool is_ok = mail_address_parse(&a, in.str, &m, &e);

        CHECK_CASE(is_ok == (cases[i].domain != NULL), i);
        if (is_ok)
            CHECK_STR(m.domain, str_of(cases[i].domain));
    }
}

TEST(web_autoconfig)
{
    AUTO_BUF b = BUF_LIMIT(10000);

    autoconfig_put(&b, &settings, STR(""));
    CHECK(has(&b, "<emailProvider id=\"example.org\">") && has(&b, "<username>%EMAILADDRESS%</username>"));
    CHECK(has(&b, "<port>993</port>\n<socketType>SSL</socketType>") && has(&b, "<port>443</port>"));
    buf_reset(&b);
    autoconfig_put(&b, &settings, STR("<x>&\"@example.org")); // no text is markup
    CHECK(has(&b, "&lt;x&gt;&amp;&quot;@example.org") && !has(&b, "<x>"));
}

TEST(web_autodiscover_requests)
{
    static const char ns[] = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006";
    static const struct {
        const char *in, *email;
    } cases[] = {
        {"<Autodiscover xmlns='%'><Request><EMailAddress> a@b.c </EMailAddress></Request></Autodiscover>", "a@b.c"},
        {"<?xml version='1.0'?><Autodiscover><Request><X/><EMailAddress>a&amp;@b.c</EMailAddress></Request></Autodiscover>",
         "a&@b.c"},
        {"<Autodiscover><Request><EMailAddress>a@b</EMailAddress><EMailAddress>c@d</EMailAddress></Request></Autodiscover>",
         "a@b"},
        {"<Autodiscover><EMailAddress>a@b.c</EMailAddress></Autodiscover>", NULL},
        {"<Autodiscover><Request><X><EMailAddress>a@b.c</EMailAddress></X></Request></Autodiscover>", NULL},
        {"<Autodiscover><Request><EMailAddress>a@b.c</EMailAddress></Request>", NULL},
        {"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><Autodiscover><Request><EMailAddress>&a;</EMailAddress></Request></Autodiscover>",
         NULL},
        {"", NULL},
        {"<", NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 16);
        AUTO_BUF xml = BUF_LIMIT(10000);
        struct str email;
        struct err e = {0};

        for (const char *p = cases[i].in; *p; p++)
            if (*p == '%')
                buf_put(&xml, str_of(ns));
            else
                buf_put_char(&xml, *p);
        AUTO_EXACT in = exact_copy(buf_str(&xml));
        CHECK_CASE(autodiscover_parse(&a, in.str, &email, &e) == (cases[i].email != NULL), i);
        if (cases[i].email)
            CHECK_STR(email, str_of(cases[i].email));
    }
}

TEST(web_autodiscover_and_profiles)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_BUF b = BUF_LIMIT(10000);
    AUTO_BUF again = BUF_LIMIT(10000);
    struct mail_settings plain = settings;
    struct mail_address m[2];
    struct err e = {0};

    plain.imap.socket = MAIL_SOCKET_STARTTLS;
    plain.submission.host = STR("");
    autodiscover_put(&b, &plain, STR("a<b@example.org"));
    CHECK(has(&b, "<LoginName>a&lt;b@example.org</LoginName>") && has(&b, "<SSL>on</SSL>"));
    CHECK(!has(&b, "<Type>SMTP</Type>") && !has(&b, "<Encryption>"));
    buf_reset(&b);
    CHECK(mail_address_parse(&a, STR("a&b@sub.example.org"), &m[0], &e));
    CHECK(mail_address_parse(&a, STR("c@example.org"), &m[1], &e));
    mobileconfig_put(&b, &settings, m, 2, STR("A <B>"));
    CHECK(has(&b, "<string>org.example.sub.a&amp;b.email.account</string>"));
    CHECK(has(&b, "<string>a&amp;b@sub.example.org,c@example.org</string>") && has(&b, "A &lt;B&gt;"));
    mobileconfig_put(&again, &settings, m, 2, STR("A <B>"));
    CHECK_STR(buf_str(&again), buf_str(&b));
}

TEST(web_pacc)
{
    AUTO_BUF b = BUF_LIMIT(10000);
    AUTO_BUF record = BUF_LIMIT(1000);
    struct mail_settings other = settings;

    CHECK(pacc_put(&b, &settings));
    CHECK_STR(buf_str(&b), STR("{\"protocols\":{\"imap\":{\"host\":\"mail.example.org\"},\"smtp\":{\"host\":\"mail.example.org\"}},"
                               "\"authentication\":{\"password\":true},\"info\":{\"provider\":{\"name\":\"example.org\"}}}\n"));
    pacc_record_put(&record, STR("abc")); // digest: FIPS 180-2 B.1
    CHECK_STR(buf_str(&record), STR("v=UAAC1; a=sha256; d=ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="));
    buf_reset(&b);
    other.imap.port = 1993; // there is no place for it
    CHECK(pacc_put(&b, &other) && !has(&b, "imap"));
    buf_reset(&b);
    other.submission.socket = MAIL_SOCKET_STARTTLS;
    CHECK(!pacc_put(&b, &other));
}

TEST(web_pictures)
{
    static const unsigned char squares[] = {1, 0, 0, 1};
    AUTO_BUF b = BUF_LIMIT(10000);

    png_squares_put(&b, squares, 2, 3);
    CHECK(str_starts(buf_str(&b), STR("\x89PNG\r\n\x1a\n")) && str_ends(buf_str(&b), STR("\xae\x42\x60\x82")));
}

TEST(web_html)
{
    AUTO_BUF b = BUF_LIMIT(10000);

    html_put(&b, STR("a<b>&\"'c"));
    CHECK_STR(buf_str(&b), STR("a&lt;b&gt;&amp;&quot;&#39;c"));
    buf_reset(&b);
    web_page_put(&b, STR("admin"), STR("<host>"));
    CHECK(has(&b, "&lt;host&gt;") && !has(&b, "<host>"));
}
