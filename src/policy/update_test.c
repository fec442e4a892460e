#include "base/test.h"
#include "crypto/crypto.h"
#include "policy/dns_zone.h"
#include "policy/update.h"
#include "text/encode.h"

TEST(update_versions)
{
    static const struct {
        const char *older, *newer;
    } order[] = {{"0.0.9", "0.0.10"}, {"v0.9.9", "v0.10.0"}, {"0.99.99", "v1.0.0"}, {"1.2.3", "1.2.4"}};
    static const char *const malformed[] = {"",      "v",      "1",      "1.2",    "1.2.3.4", "1.2.3-rc1", "01.2.3",
                                            "1..3",  "1.2.3 ", " 1.2.3", "vv1.2.3", "1.2.-3",  "1.2.1234567890"};
    struct update_version a, b;

    for (size_t i = 0; i < COUNT(order); i++) {
        CHECK_CASE(update_version_parse(str_of(order[i].older), &a), i);
        CHECK_CASE(update_version_parse(str_of(order[i].newer), &b), i);
        CHECK_CASE(update_version_compare(&a, &b) < 0 && update_version_compare(&b, &a) > 0 &&
                       !update_version_compare(&a, &a), i);
    }
    for (size_t i = 0; i < COUNT(malformed); i++) {
        AUTO_EXACT in = exact_copy(str_of(malformed[i]));

        CHECK_CASE(!update_version_parse(in.str, &a), i);
    }
}

TEST(update_records)
{
    static const struct {
        const char *in;
        const char *latest; // NULL: malformed
    } cases[] = {
        {"v=UPDATES0; l=v0.2.1", "v0.2.1"}, {"v=UPDATES0;l=v0.2.1;", "v0.2.1"},
        {"v=UPDATES0; x=y; l=1.2.3", "v1.2.3"}, {"v=UPDATES0; l=v1.0.0; l=v2.0.0", "v1.0.0"},
        {"v=UPDATES0", NULL}, {"v=UPDATES0; l=", NULL}, {"v=UPDATES0; l=latest", NULL},
        {"v=UPDATES1; l=v1.2.3", NULL}, {"l=v1.2.3; v=UPDATES0", NULL}, {"", NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        AUTO_BUF out = BUF_LIMIT(100);
        struct update_version v;

        CHECK_CASE(update_record_parse(in.str, &v, NULL) == (cases[i].latest != NULL), i);
        if (cases[i].latest) {
            update_version_put(&out, &v);
            CHECK_STR(buf_str(&out), str_of(cases[i].latest));
        }
    }
}

/* --- changelogs that are signed here ----------------------------------------------------------------- */

struct signer {
    struct private_key *key;
    struct str public;
};

static struct signer signer_new(struct arena *a)
{
    struct signer s;
    struct str pem;

    CHECK(key_ed25519(a, &pem, NULL));
    s.key = private_key_parse(pem, NULL);
    CHECK(s.key && private_key_public(a, s.key, &s.public, NULL));
    return s;
}

static void put_changes(struct buf *out, const struct signer *s, const char *one, const char *two)
{
    BUF_PUT(out, "{\"Changes\": [");
    CHECK(update_change_put(out, s->key, str_of(one), NULL));
    BUF_PUT(out, ", ");
    CHECK(update_change_put(out, s->key, str_of(two), NULL));
    BUF_PUT(out, "]}");
}

static bool parse(struct arena *a, struct str json, struct str key, const char *since, size_t *n,
                  struct update_change **out, struct err *e)
{
    AUTO_EXACT in = exact_copy(json);
    struct update_version v;

    *e = (struct err){0};
    return update_version_parse(str_of(since), &v) &&
           update_changelog_parse(a, in.str, key, &v, out, n, e);
}

TEST(update_changelogs)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF good = BUF_LIMIT(8192), turned = BUF_LIMIT(8192), unused = BUF_LIMIT(8192);
    struct signer s = signer_new(&a), other = signer_new(&a);
    struct update_change *changes;
    struct str altered;
    size_t n;
    struct err e;

    put_changes(&good, &s, "version: v0.3.0\ndate: 2026-11-01\n\n- faster\n",
                "version: v0.2.0\n\n- \xc3\xa4lter\n");
    CHECK(parse(&a, buf_str(&good), s.public, "0.1.0", &n, &changes, &e) && n == 2);
    CHECK_STR(changes[0].text, STR("version: v0.3.0\ndate: 2026-11-01\n\n- faster\n"));
    CHECK(changes[1].version.part[1] == 2);
    CHECK(parse(&a, buf_str(&good), s.public, "0.2.0", &n, &changes, &e) && n == 1);
    CHECK(parse(&a, buf_str(&good), s.public, "0.3.0", &n, &changes, &e) && n == 0);
    // Somebody else's key, and a text of which one letter is another.
    CHECK(!parse(&a, buf_str(&good), other.public, "0.1.0", &n, &changes, &e) && e.kind == ERR_DENIED && !n);
    altered = arena_dup(&a, buf_str(&good));
    ((char *)(uintptr_t)altered.p)[str_find_str(altered, STR("faster"))] = 'F';
    CHECK(!parse(&a, altered, s.public, "0.1.0", &n, &changes, &e) && e.kind == ERR_DENIED);
    // What is signed once cannot be put in another order.
    put_changes(&turned, &s, "version: v0.2.0\n", "version: v0.3.0\n");
    CHECK(!parse(&a, buf_str(&turned), s.public, "0.1.0", &n, &changes, &e) && e.kind == ERR_SYNTAX);
    // Not even its owner signs what would do things to a terminal.
    CHECK(!update_change_put(&unused, s.key, STR("version: v0.2.0\n\x1b[2J"), NULL));
    CHECK(!update_change_put(&unused, s.key, STR("version: v0.2.0\n\xff"), NULL));
    CHECK(!update_change_put(&unused, s.key, STR("what is new\n"), NULL));
    private_key_free(s.key);
    private_key_free(other.key);
}

static bool since(struct buf *out, const char *json, const char *version)
{
    AUTO_EXACT in = exact_copy(str_of(json));
    struct update_version v;

    buf_reset(out);
    return update_changelog_since(out, in.str, version && update_version_parse(str_of(version), &v) ? &v : NULL, NULL);
}

TEST(update_changelogs_to_be_served)
{
    static const char list[] = "{\"Changes\": [{\"Text\": \"version: v0.3.0\\n\", \"Sig\": \"Ym9i\", \"PubKey\": \"YW5u\"},"
                               " {\"Text\": \"version: v0.2.0\"}]}";
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(8192), good = BUF_LIMIT(8192), small = BUF_LIMIT(32);
    struct signer s = signer_new(&a);
    struct update_change *changes;
    size_t n;
    struct err e;

    CHECK(since(&out, list, "v0.2.0"));
    CHECK_STR(buf_str(&out), STR("{\"Changes\": [\n{\"PubKey\": \"YW5u\", \"Sig\": \"Ym9i\", \"Text\": \"version: v0.3.0\\u000a\"}\n]}\n"));
    CHECK(since(&out, list, "v0.3.0"));
    CHECK_STR(buf_str(&out), STR("{\"Changes\": [\n]}\n"));
    CHECK(since(&out, list, NULL) && str_find_str(buf_str(&out), STR("v0.2.0")) > 0);
    CHECK(!since(&small, list, NULL) && !since(&out, "", NULL) && !since(&out, "{}", NULL) &&
          !since(&out, "{\"Changes\": [1]}", NULL));
    // What is served is believed by who asks.
    put_changes(&good, &s, "version: v0.3.0\ndate: 2026-11-01\n\n- \"faster\"\t\xc3\xa4\n", "version: v0.2.0\n");
    buf_reset(&out);
    CHECK(update_changelog_since(&out, buf_str(&good), NULL, NULL));
    CHECK(parse(&a, buf_str(&out), s.public, "0.1.0", &n, &changes, &e) && n == 2);
    private_key_free(s.key);
}

TEST(update_changelogs_that_are_none)
{
    static const struct {
        const char *json;
        enum err_kind kind;
    } cases[] = {
        {"", ERR_SYNTAX},
        {"[[[[", ERR_SYNTAX},
        {"{\"Changes\": 1}", ERR_SYNTAX},
        {"{\"Changes\": [], \"Changes\": []}", ERR_SYNTAX},
        {"{\"Changes\": [1]}", ERR_SYNTAX},
        {"{\"Changes\": [{\"Text\": \"version: v9.9.9\"}]}", ERR_DENIED},
        {"{\"Changes\": [{\"Text\": \"version: v9.9.9\", \"Sig\": \"AAAA\"}]}", ERR_DENIED},
        {"{\"Changes\": [{\"Text\": \"version: v9.9.9\\n\\u001b[2J\"}]}", ERR_SYNTAX},
    };
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct signer s = signer_new(&a);
    struct update_change *changes;
    size_t n;

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err e;

        CHECK_CASE(!parse(&a, str_of(cases[i].json), s.public, "0.1.0", &n, &changes, &e) &&
                       e.kind == cases[i].kind && !n, i);
    }
    private_key_free(s.key);
}

TEST(update_messages)
{
    AUTO_BUF out = BUF_LIMIT(1 << 16), none = BUF_LIMIT(100);
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    const struct update_message m = {.hostname = STR_("mail.example.org"), .random = STR_("r1"), .now_unix = 0,
                                     .url = STR_("https://x.example/")};
    const struct update_change changes[] = {{.version = {{0, 3, 0}}, .text = STR_("version: v0.3.0\n\n- a\n")},
                                            {.version = {{0, 2, 0}}, .text = STR_("version: v0.2.0\n")}};
    struct err e = {0};

    CHECK(update_compose(&out, &m, changes, COUNT(changes), &e));
    CHECK(str_find_str(buf_str(&out), STR("Subject: mox v0.3.0 available\r\n")) > 0);
    CHECK(str_find_str(buf_str(&out), STR("To: <postmaster@mail.example.org>\r\n")) > 0);
    CHECK(str_find_str(buf_str(&out), STR("\r\n\r\nQSBuZXdlciB2ZXJzaW9u")) > 0); // "A newer version"
    CHECK(!update_compose(&none, &m, changes, COUNT(changes), &e) && e.kind == ERR_LIMIT);
    CHECK_STR(update_changelog_url(&a, STR("https://x.example/c"), STR("v1.2.3")),
              STR("https://x.example/c?from=v1.2.3"));
    CHECK_STR(update_changelog_url(&a, STR("https://x.example/c?a=b"), STR("v1.2.3")),
              STR("https://x.example/c?a=b&from=v1.2.3"));
}

TEST(update_is_found_in_the_dns)
{
    static const char zone_text[] = "_updates.one.example TXT v=UPDATES0; l=v1.2.3\n"
                                    "_updates.one.example TXT something else\n"
                                    "_updates.two.example TXT v=UPDATES0; l=v1.2.3\n"
                                    "_updates.two.example TXT v=UPDATES0; l=v1.2.4\n"
                                    "_updates.bad.example TXT v=UPDATES0; l=new\n"
                                    "_updates.slow.example * !timeout\n"
                                    "_updates.forged.example * !bogus\n";
    static const struct {
        const char *domain;
        enum err_kind kind;
    } cases[] = {
        {"one.example", ERR_NONE},        {"two.example", ERR_NOT_FOUND}, {"none.example", ERR_NOT_FOUND},
        {"bad.example", ERR_SYNTAX},      {"slow.example", ERR_TEMPORARY},
        {"forged.example", ERR_TEMPORARY},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        struct update_version v;
        struct dns_zone zone;
        struct err e = {0};
        struct dns dns;

        CHECK(dns_zone_parse(&a, STR(zone_text), &zone, &e));
        dns = dns_zone_dns(&zone);
        CHECK_CASE(update_find(&dns, &a, str_of(cases[i].domain), &v, &e) == !cases[i].kind, i);
        CHECK_CASE(e.kind == cases[i].kind, i);
    }
}
