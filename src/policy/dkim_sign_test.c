#include "policy/dkim_test.h"

#include <string.h>
#include <time.h>

// A domain with one key of each kind.
struct signer {
    struct private_key *rsa, *ed25519;
    struct str rsa_record, ed25519_record;
};

static struct str record_of(struct arena *a, const struct private_key *key)
{
    AUTO_BUF out = BUF_LIMIT(10000);
    struct dkim_record r = {.kind = private_key_kind(key) == PRIVATE_KEY_RSA ? DKIM_KEY_RSA
                                                                             : DKIM_KEY_ED25519};
    struct err e = {0};

    CHECK(private_key_public(a, key, &r.public_key, &e));
    dkim_record_put(&out, &r);
    return arena_dup(a, buf_str(&out));
}

static struct private_key *new_rsa(struct arena *a, unsigned bits)
{
    struct err e = {0};
    struct private_key *key;
    struct str pem;

    CHECK(key_rsa(a, bits, &pem, &e));
    key = private_key_parse(pem, &e);
    CHECK(key && private_key_bits(key) == bits);
    return key;
}

static void signer_init(struct arena *a, struct signer *s)
{
    struct err e = {0};
    struct str pem;

    s->rsa = new_rsa(a, 1024);
    CHECK(key_ed25519(a, &pem, &e));
    s->ed25519 = private_key_parse(pem, &e);
    s->rsa_record = record_of(a, s->rsa);
    s->ed25519_record = record_of(a, s->ed25519);
}

static void signer_fini(struct signer *s)
{
    private_key_free(s->rsa);
    private_key_free(s->ed25519);
}

static void signer_zone(struct arena *a, const struct signer *s, struct dns_zone *zone)
{
    test_zone(a,
              arena_printf(a, "r._domainkey.d.example TXT %.*s\ne._domainkey.d.example TXT %.*s\n",
                           STR_FMT(s->rsa_record), STR_FMT(s->ed25519_record)),
              zone);
}

static bool sign_message(struct arena *a, struct test_message *m, const struct dkim_selector *with,
                         size_t n, const char *localpart, struct err *e)
{
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    struct dkim_bodies *bodies = dkim_bodies_new();
    struct dkim_header *h = dkim_header_parse(a, m->header, e);
    bool ok;

    CHECK(h != NULL);
    dkim_sign_begin(with, n, bodies);
    dkim_bodies_feed(bodies, m->body);
    dkim_bodies_end(bodies);
    ok = dkim_sign_end(h, with, n, str_of(localpart), NOW, bodies, &out, e);
    dkim_bodies_free(bodies);
    buf_put(&out, m->header);
    m->header = arena_dup(a, buf_str(&out));
    return ok;
}

static struct dkim_selector selector(struct private_key *key)
{
    bool is_rsa = private_key_kind(key) == PRIVATE_KEY_RSA;

    return (struct dkim_selector){
        .name = is_rsa ? STR("r") : STR("e"),
        .domain = STR("d.example"),
        .signer = {is_rsa ? DKIM_RSA_SHA256 : DKIM_ED25519_SHA256, key, test_sign_with_key},
        .headers = dkim_default_headers,
        .n_headers = dkim_n_default_headers,
    };
}

static const struct test_message plain = {
    STR_("From: a@d.example\r\nTo: b@c\r\nSubject: s  t\r\nX-Other: x\r\n"),
    STR_("text  text \r\n\r\n")};

TEST(dkim_signs_what_it_verifies)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct signer s;
    struct dns_zone zone;
    struct err e = {0};

    signer_init(&a, &s);
    signer_zone(&a, &s, &zone);
    for (unsigned i = 0; i < 16; i++) {
        struct dkim_selector with[] = {selector(s.rsa), selector(s.ed25519)};
        struct dkim_verification v;
        struct test_message m = plain, other;

        for (int k = 0; k < 2; k++) {
            with[k].header_is_relaxed = i & 1;
            with[k].body_is_relaxed = i & 2;
            with[k].is_unsealed = i & 4;
            with[k].expires_after = i & 8 ? 100 : 0;
        }
        CHECK_CASE(sign_message(&a, &m, with, 2, "a;=b c\xc3\xbc", &e), i);
        test_verify(&a, m, &zone, NOW, &v);
        CHECK_STR(test_statuses(&a, &v), STR("pass pass"));
        CHECK_STR(v.results[0].signature.identity, STR("\"a;=b c\xc3\xbc\"@d.example"));
        CHECK_CASE(v.results[0].key_bits == 1024 && v.results[1].key_bits == 256, i);
        CHECK_CASE(v.results[0].signature.expires_at == (i & 8 ? NOW + 100 : -1), i);
        // Folded, and no line is longer than it should be.
        for (struct str rest = m.header, line; str_cut(rest, '\n', &line, &rest);)
            CHECK_CASE(line.n <= 77, i);
        test_verify(&a, m, &zone, NOW + 101, &v);
        CHECK_STR(test_statuses(&a, &v), i & 8 ? STR("permerror permerror") : STR("pass pass"));
        // Only relaxed bodies and headers may change their blanks.
        other = m;
        other.body = STR("text text\r\n");
        test_verify(&a, other, &zone, NOW, &v);
        CHECK_STR(test_statuses(&a, &v), i & 2 ? STR("pass pass") : STR("fail fail"));
        // A second Subject below: the field that was signed is now the upper one.
        other = m;
        other.header = arena_printf(&a, "%.*sSubject: more\r\n", STR_FMT(m.header));
        test_verify(&a, other, &zone, NOW, &v);
        CHECK_STR(test_statuses(&a, &v), STR("fail fail"));
        // And above, with whatever blanks before its colon: the signature notices it of sealed names only.
        other.header = arena_printf(&a, "Subject : more\r\n%.*s", STR_FMT(m.header));
        test_verify(&a, other, &zone, NOW, &v);
        CHECK_STR(test_statuses(&a, &v), i & 4 ? STR("policy policy") : STR("fail fail"));
        other.header = arena_printf(&a, "Cc: more\r\n%.*s", STR_FMT(m.header));
        test_verify(&a, other, &zone, NOW, &v);
        CHECK_STR(test_statuses(&a, &v), i & 4 ? STR("pass pass") : STR("fail fail"));
        other.header = arena_printf(&a, "X-Other: more\r\n%.*s", STR_FMT(m.header));
        test_verify(&a, other, &zone, NOW, &v);
        CHECK_STR(test_statuses(&a, &v), STR("pass pass"));
    }
    signer_fini(&s);
}

TEST(dkim_signature_as_upstream_writes_it)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct test_message m = plain;
    struct dkim_selector with;
    struct signer s;
    struct err e = {0};

    signer_init(&a, &s);
    with = selector(s.ed25519);
    with.expires_after = 3600;
    with.body_is_relaxed = true;
    CHECK(sign_message(&a, &m, &with, 1, "a", &e));
    CHECK_STR(str_sub(m.header, 0, (size_t)str_find_str(m.header, STR(" bh="))),
              STR("DKIM-Signature: v=1; d=d.example; s=e; i=a@d.example; a=ed25519-sha256;\r\n"
                  "\tc=simple/relaxed; t=1600000000; x=1600003600; h=From:From:To:To:Cc:\r\n"
                  "\tBcc:Reply-To:References:In-Reply-To:Subject:Subject:Date:Message-Id:\r\n"
                  "\tContent-Type;"));
    signer_fini(&s);
}

TEST(dkim_signs_one_from)
{
    static const char *const headers[] = {"Subject: s\r\n", "From: a@b\r\nfrom: a@b\r\n",
                                          "From: a@b\r\nFrom : c@d\r\n"};
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct test_message m = {.body = STR("x")};
    struct str others[] = {STR("Subject")};
    struct dkim_selector with;
    struct signer s;
    struct err e = {0};

    signer_init(&a, &s);
    with = selector(s.ed25519);
    for (size_t i = 0; i < COUNT(headers); i++) {
        m.header = str_of(headers[i]);
        CHECK_CASE(!sign_message(&a, &m, &with, 1, "", &e) && e.kind == ERR_SYNTAX, i);
    }
    with.headers = others;
    with.n_headers = 1;
    m = plain;
    CHECK(!sign_message(&a, &m, &with, 1, "", &e) && e.kind == ERR_SYNTAX);
    signer_fini(&s);
}

/* --- signatures made by hand ------------------------------------------------------------------ */

// A message with a signature of the tags, without b= and with BH for the hash of so much of the
// body.
static struct test_message crafted(struct arena *a, struct private_key *key, const char *tags,
                                   struct test_message m, size_t body_bytes)
{
    AUTO_BUF field = BUF_LIMIT(100000), signature = BUF_LIMIT(2000);
    unsigned char digest[SHA256_BYTES];
    struct dkim_header *h;
    struct dkim_signature s;
    struct sha256 *hash = sha256_new();
    struct str name, value;
    struct err e = {0};

    sha256(str_sub(m.body, 0, body_bytes), digest);
    buf_printf(&field, "DKIM-Signature: v=1; %s; bh=", tags);
    base64_encode(&field, str_at(digest, sizeof digest));
    BUF_PUT(&field, "; b=");
    h = dkim_header_parse(a, m.header, &e);
    CHECK(str_cut(buf_str(&field), ':', &name, &value));
    CHECK(dkim_signature_parse(a, arena_printf(a, "%.*sAAAA", STR_FMT(value)), &s, &e));
    dkim_hash_fields(hash, h, s.headers, s.n_headers, 0, s.header_is_relaxed);
    dkim_hash_signature(hash, buf_str(&field), str_from(buf_str(&field), field.n),
                        s.header_is_relaxed);
    sha256_end(hash, digest);
    sha256_free(hash);
    CHECK(private_key_sign_sha256(key, str_at(digest, sizeof digest), &signature, &e));
    base64_encode(&field, buf_str(&signature));
    m.header = arena_printf(a, "%.*s\r\n%.*s", STR_FMT(buf_str(&field)), STR_FMT(m.header));
    return m;
}

static const char *status_of(struct arena *a, struct test_message m, struct dns_zone *zone)
{
    struct dkim_verification v;

    test_verify(a, m, zone, NOW, &v);
    return v.n == 1 ? auth_result_name(v.results[0].status) : "not one";
}

#define CHECK_STATUS(m, zone, want) CHECK_STR(str_of(status_of(&a, (m), (zone))), STR(want))

// attacks.md: replay, with fields added above those that are signed.
TEST(dkim_fields_that_are_added)
{
    static const struct {
        const char *signed_names, *added, *status;
    } cases[] = {
        {"From:Subject", "", "pass"},
        {"From:Subject", "Subject: another\r\n", "policy"},
        {"From:Subject", "subJECT: another\r\n", "policy"},
        {"From:Subject:Subject", "Subject: another\r\n", "fail"},
        {"From:Subject", "From: x@other.example\r\n", "policy"},
        {"From:Subject", "Reply-To: x@other.example\r\n", "pass"}, // not signed at all: DKIM says nothing of it
        {"From:Subject:Reply-To", "Reply-To: x@other.example\r\n", "fail"},
        {"From:Subject", "Received: x\r\nReceived: y\r\nComments: z\r\n", "pass"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(16 << 20);
        struct test_message m, body = {plain.header, STR("12345\r\n")};
        struct dkim_verification v;
        struct dns_zone zone;
        struct signer s;

        signer_init(&a, &s);
        signer_zone(&a, &s, &zone);
        m = crafted(&a, s.ed25519,
                    arena_cstring(&a, arena_printf(&a, "a=ed25519-sha256;d=d.example;s=e;h=%s", cases[i].signed_names)),
                    body, 7);
        m.header = arena_printf(&a, "%s%.*s", cases[i].added, STR_FMT(m.header));
        test_verify(&a, m, &zone, NOW, &v);
        CHECK_STR(test_statuses(&a, &v), str_of(cases[i].status));
        signer_fini(&s);
    }
}

// attacks.md: l= appends.
TEST(dkim_length_of_body)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct test_message m, body = {plain.header, STR("12345\r\n")};
    struct dns_zone zone;
    struct signer s;

    signer_init(&a, &s);
    signer_zone(&a, &s, &zone);
    m = crafted(&a, s.ed25519, "a=ed25519-sha256;d=d.example;s=e;h=From:Subject;l=7", body, 7);
    CHECK_STATUS(m, &zone, "pass"); // all of it is signed
    m.body = STR("12345\r\n\r\n");
    CHECK_STATUS(m, &zone, "pass"); // its canonical form is the same
    m.body = STR("12345\r\nmore\r\n");
    CHECK_STATUS(m, &zone, "policy");
    m.body = STR("12345");
    CHECK_STATUS(m, &zone, "pass");
    m.body = STR("1234");
    CHECK_STATUS(m, &zone, "permerror");
    m = crafted(&a, s.ed25519, "a=ed25519-sha256;d=d.example;s=e;h=From:Subject;l=0", body, 0);
    CHECK_STATUS(m, &zone, "policy");
    m = crafted(&a, s.ed25519, "a=ed25519-sha256;d=d.example;s=e;h=From:Subject;l=8", body, 7);
    CHECK_STATUS(m, &zone, "permerror");
    m = crafted(&a, s.ed25519, "a=ed25519-sha256;d=d.example;s=e;h=From", body, 7);
    CHECK_STATUS(m, &zone, "policy"); // Subject is not signed
    signer_fini(&s);
}

// attacks.md: weak and oversize keys, b= shorter than expected; records that do not fit.
TEST(dkim_keys_that_are_refused)
{
    static const struct {
        const char *record; // %s: the good key, or a replacement below
        const char *identity;
        const char *want;
    } cases[] = {
        {"v=DKIM1; k=ed25519; p=%s", "", "pass"},
        {"v=DKIM1; k=ed25519; s=foo:email; h=sha1:sha256; t=x; p=%s", "", "pass"},
        {"v=DKIM1; k=ed25519; p=", "", "permerror"},
        {"v=DKIM1; k=ed25519; p=AAAA", "", "permerror"},
        {"v=DKIM1; k=rsa; p=%s", "", "permerror"},
        {"v=DKIM1; k=other; p=%s", "", "permerror"},
        {"v=DKIM1; k=ed25519; s=web; p=%s", "", "permerror"},
        {"v=DKIM1; k=ed25519; h=sha1; p=%s", "", "permerror"},
        {"v=DKIM1; k=ed25519; p=%s; p=%s", "", "permerror"},
        {"v=DKIM1; k=ed25519; x", "", "permerror"},
        {"v=DKIM2; k=ed25519; p=%s", "", "temperror"}, // nobody's record
        {"v=spf1 -all", "", "temperror"},
        {"v=DKIM1; k=ed25519; t=y; p=", "", "none"}, // testing: as if it were not there
        {"v=DKIM1; k=ed25519; t=y; p=%s", "", "pass"},
        {"v=DKIM1; k=ed25519; t=s; p=%s", ";i=a@d.example", "pass"},
        {"v=DKIM1; k=ed25519; t=s; p=%s", ";i=@sub.d.example", "permerror"},
        {"v=DKIM1; k=ed25519; p=%s", ";i=@sub.d.example", "pass"},
        {"!nxdomain", "", "permerror"},
        {"!nodata", "", "permerror"},
        {"!servfail", "", "temperror"},
        {"!timeout", "", "temperror"},
        {"!bogus", "", "temperror"},
    };
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct signer s;
    struct str good;

    signer_init(&a, &s);
    good = str_from(s.ed25519_record, (size_t)str_find_str(s.ed25519_record, STR("p=")) + 2);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct str rest = str_of(cases[i].record);
        AUTO_BUF text = BUF_LIMIT(10000);
        struct test_message m;
        struct dns_zone zone;
        ptrdiff_t at;

        BUF_PUT(&text, "e._domainkey.d.example TXT ");
        for (; (at = str_find_str(rest, STR("%s"))) >= 0; rest = str_from(rest, (size_t)at + 2)) {
            buf_put(&text, str_sub(rest, 0, (size_t)at));
            buf_put(&text, good);
        }
        buf_put(&text, rest);
        test_zone(&a, arena_dup(&a, buf_str(&text)), &zone);
        m = crafted(
            &a, s.ed25519,
            arena_cstring(&a, arena_printf(&a, "a=ed25519-sha256;d=d.example;s=e;h=From:Subject%s",
                                           cases[i].identity)),
            (struct test_message){plain.header, STR("x\r\n")}, 3);
        CHECK_STR(arena_printf(&a, "%zu %s", i, status_of(&a, m, &zone)),
                  arena_printf(&a, "%zu %s", i, cases[i].want));
    }
    signer_fini(&s);
}

TEST(dkim_rsa_keys_have_a_size)
{
    static const unsigned bits[] = {512, 1023, 1024, 2048};
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);

    for (size_t i = 0; i < COUNT(bits); i++) {
        struct private_key *key = new_rsa(&a, bits[i]);
        struct dkim_verification v;
        struct test_message m;
        struct dns_zone zone;
        ptrdiff_t b;

        test_zone(&a,
                  arena_printf(&a, "r._domainkey.d.example TXT %.*s", STR_FMT(record_of(&a, key))),
                  &zone);
        m = crafted(&a, key, "a=rsa-sha256;d=d.example;s=r;h=From:Subject",
                    (struct test_message){plain.header, STR("x\r\n")}, 3);
        test_verify(&a, m, &zone, NOW, &v);
        CHECK_STR(test_statuses(&a, &v), bits[i] < 1024 ? STR("permerror") : STR("pass"));
        CHECK_CASE(bits[i] < 1024 || v.results[0].key_bits == bits[i], i);
        if (bits[i] >= 1024) { // a shorter signature is another number
            b = str_find_str(m.header, STR(" b="));
            m.header = arena_printf(&a, "%.*s%.*s", (int)b + 3, m.header.p,
                                    STR_FMT(str_from(m.header, (size_t)b + 7)));
            CHECK_STATUS(m, &zone, "fail");
        }
        private_key_free(key);
    }
}

TEST(dkim_rsa_keys_that_cost_too_much)
{
    // SEQUENCE of a modulus of n octets and an exponent of e, as RSAPublicKey has it.
    static const struct {
        size_t modulus, exponent;
        const char *error;
    } cases[] = {
        {256, 3, NULL},    {256, 5, "exponent"}, {256, 256, "exponent"}, {1024, 3, NULL},
        {1025, 3, "8192"}, {128, 3, NULL},       {127, 3, "1024"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF der = BUF_LIMIT(10000);
        size_t n = cases[i].modulus + 1, total = 8 + n + cases[i].exponent;
        struct public_key *key;
        struct err e = {0};

        buf_put(&der, STR("\x30\x82"));
        buf_put_char(&der, (char)(total >> 8));
        buf_put_char(&der, (char)total);
        buf_put(&der, STR("\x02\x82"));
        buf_put_char(&der, (char)(n >> 8));
        buf_put_char(&der, (char)n);
        buf_put(&der, STR("\0"));
        for (size_t k = 0; k < n - 1; k++)
            buf_put_char(&der, (char)0xc3);
        buf_put(&der, STR("\x02\x82"));
        buf_put_char(&der, (char)(cases[i].exponent >> 8));
        buf_put_char(&der, (char)cases[i].exponent);
        for (size_t k = 0; k < cases[i].exponent; k++)
            buf_put_char(&der, 1 + 2 * (k == 0));
        // The long form of a short length is not DER; OpenSSL reads it all the same.
        key = public_key_rsa(buf_str(&der), &e);
        CHECK_CASE((key != NULL) == !cases[i].error, i);
        CHECK_CASE(!cases[i].error || strstr(e.text, cases[i].error), i);
        public_key_free(key);
        buf_put_char(&der, 0);
        CHECK_CASE(!public_key_rsa(buf_str(&der), &e), i); // something after it
        for (size_t k = 0; k < 40; k++) {
            AUTO_EXACT cut = exact_copy(str_sub(buf_str(&der), 0, k));

            CHECK_CASE(!public_key_rsa(cut.str, &e), i);
        }
    }
}

TEST(dkim_several_keys_at_one_name)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct test_message m;
    struct dns_zone zone;
    struct signer s;

    signer_init(&a, &s);
    m = crafted(&a, s.ed25519, "a=ed25519-sha256;d=d.example;s=e;h=From:Subject",
                (struct test_message){plain.header, STR("x\r\n")}, 3);
    test_zone(&a,
              arena_printf(&a, "e._domainkey.d.example TXT %.*s\ne._domainkey.d.example TXT %.*s\n",
                           STR_FMT(s.ed25519_record), STR_FMT(s.rsa_record)),
              &zone);
    CHECK_STATUS(m, &zone, "temperror");
    test_zone(&a,
              arena_printf(&a,
                           "e._domainkey.d.example TXT hello\n$secure yes\n"
                           "e._domainkey.d.example TXT %.*s\n",
                           STR_FMT(s.ed25519_record)),
              &zone);
    CHECK_STATUS(m, &zone, "pass");
    signer_fini(&s);
}

// A stranger's answers are as long as DNS allows; what is kept of them is one key.
TEST(dkim_long_answers_are_not_kept)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20), used = ARENA_LIMIT(1 << 20);
    AUTO_BUF text = BUF_LIMIT(1 << 20);
    struct dkim_lookup found;
    struct dns_zone zone;
    struct dns dns = dns_zone_dns(&zone);
    struct signer s;

    signer_init(&a, &s);
    for (int i = 0; i < 60; i++) {
        BUF_PUT(&text, "e._domainkey.d.example TXT p=");
        for (int k = 0; k < 2000; k++)
            buf_put_char(&text, 'A');
        BUF_PUT(&text, "; v=DKIM1\n");
    }
    buf_printf(&text, "e._domainkey.d.example TXT %.*s\n", STR_FMT(s.ed25519_record));
    test_zone(&a, buf_str(&text), &zone);
    dkim_lookup(&dns, &used, STR("e"), STR("d.example"), &found);
    CHECK(found.status == AUTH_PASS && used.used < 32 * 1024);
    CHECK_STR(found.record.text, s.ed25519_record);
    CHECK(found.record.public_key.n == ED25519_BYTES);
    signer_fini(&s);
}

// Twice the fields, twice the work, also when each signature names them all.
TEST(dkim_work_is_linear)
{
    AUTO_ARENA a = ARENA_LIMIT(256 << 20);
    double seconds[2] = {1e9, 1e9};
    struct signer s;

    signer_init(&a, &s);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 2; i++) {
            AUTO_BUF header = BUF_LIMIT(4 << 20);
            AUTO_ARENA own = ARENA_LIMIT(64 << 20);
            struct dkim_verification v;
            struct test_message m;
            struct dns_zone zone;
            clock_t start;

            signer_zone(&own, &s, &zone);
            for (int k = 0; k < DKIM_MAX_SIGNATURES; k++) {
                BUF_PUT(&header, "DKIM-Signature: v=1;a=ed25519-sha256;d=d.example;s=e;" "bh="
                                 "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;b=AAAA;h=From");
                for (int f = 0; f < 900 * (i + 1); f++)
                    BUF_PUT(&header, ":\r\n\tx");
                BUF_PUT(&header, "\r\n");
            }
            for (int f = 0; f < 4000 * (i + 1); f++)
                BUF_PUT(&header, "x: y\r\n");
            m = (struct test_message){buf_str(&header), STR("")};
            start = clock();
            test_verify(&own, m, &zone, NOW, &v);
            CHECK(v.n == DKIM_MAX_SIGNATURES && v.results[9].status == AUTH_FAIL);
            if ((double)(clock() - start) / CLOCKS_PER_SEC < seconds[i])
                seconds[i] = (double)(clock() - start) / CLOCKS_PER_SEC;
        }
    // Squared, it would be 4 times.
    CHECK(seconds[1] < 3.2 * seconds[0] + 0.002);
    signer_fini(&s);
}

// attacks.md: the number of signatures is bounded, and so is what each may ask for.
TEST(dkim_many_signatures)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF header = BUF_LIMIT(1 << 20);
    struct test_message m, one;
    struct dkim_verification v;
    struct dns_zone zone;
    struct signer s;

    signer_init(&a, &s);
    signer_zone(&a, &s, &zone);
    one = crafted(&a, s.ed25519, "a=ed25519-sha256;d=d.example;s=e;h=From:Subject",
                  (struct test_message){plain.header, STR("x\r\n")}, 3);
    for (int i = 0; i < 1000; i++)
        buf_put(&header, str_sub(one.header, 0, one.header.n - plain.header.n));
    buf_put(&header, plain.header);
    m = (struct test_message){buf_str(&header), one.body};
    zone.n_lookups = 0;
    test_verify(&a, m, &zone, NOW, &v);
    CHECK(v.n == DKIM_MAX_SIGNATURES && v.n_more == 1000 - DKIM_MAX_SIGNATURES);
    CHECK(zone.n_lookups == DKIM_MAX_SIGNATURES);
    for (size_t i = 0; i < v.n; i++)
        CHECK_CASE(v.results[i].status == AUTH_PASS, i);
    signer_fini(&s);
}

static bool is_example(struct str domain)
{
    return str_eq(domain, STR("d.example"));
}

TEST(dkim_public_suffixes_sign_for_nobody)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct dkim_policy policy = {NOW, is_example};
    struct dkim_verification v;
    struct test_message m;
    struct dns_zone zone;
    struct signer s;

    signer_init(&a, &s);
    signer_zone(&a, &s, &zone);
    m = crafted(&a, s.ed25519, "a=ed25519-sha256;d=d.example;s=e;h=From:Subject",
                (struct test_message){plain.header, STR("x\r\n")}, 3);
    test_verify_with(&a, m, &zone, &policy, &v);
    CHECK_STR(test_statuses(&a, &v), STR("permerror"));
    CHECK(!zone.n_lookups);
    signer_fini(&s);
}

TEST(dkim_headers_that_are_refused)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF text = BUF_LIMIT(8 << 20);
    struct dkim_header *h;
    struct err e = {0};

    CHECK(!dkim_header_parse(&a, STR("From: a\nTo: b\r\n"), &e) && e.kind == ERR_SYNTAX);
    CHECK(!dkim_header_parse(&a, STR("From: a"), &e) && e.kind == ERR_SYNTAX);
    h = dkim_header_parse(&a, STR("no field\r\nFrom \t: a\r\n b\r\n: x\r\n\r\nTo: body\r\n"),
                          &e);
    CHECK(h && h->n == 1 && dkim_header_name(h, STR("FROM")) && !dkim_header_name(h, STR("to")));
    CHECK_STR(h->fields[0].value, STR(" a\r\n b"));
    CHECK(!dkim_header_parse(&a, STR("\tx: y\r\nFrom: a\r\n"), &e) && e.kind == ERR_SYNTAX);
    h = dkim_header_parse(&a, STR(""), &e);
    CHECK(h && !h->n && !dkim_header_name(h, STR("from")));
    for (int i = 0; i < DKIM_MAX_FIELDS; i++)
        buf_printf(&text, "f%d:\r\n", i);
    CHECK(dkim_header_parse(&a, buf_str(&text), &e) != NULL);
    BUF_PUT(&text, "x:\r\n");
    CHECK(!dkim_header_parse(&a, buf_str(&text), &e) && e.kind == ERR_LIMIT);
    buf_reset(&text);
    while (text.n <= DKIM_MAX_HEADER_BYTES)
        BUF_PUT(&text, "x: 0123456789012345678901234567890123456789012345678901234567890\r\n");
    CHECK(!dkim_header_parse(&a, buf_str(&text), &e) && e.kind == ERR_LIMIT);
}

static struct private_key *key_of_file(struct arena *a, const char *path)
{
    struct err e = {0};
    struct private_key *key = private_key_parse(vector_file(a, path), &e);

    CHECK_STR(str_of(e.text), STR(""));
    return key;
}

TEST(dkim_vectors_signing)
{
    static const char *const keys[] = {"dkim/mail-dkim/sign/test.key",
                                       "dkim/mail-dkim/sign/test.ed.key", "dkim/mimekit/example.pem",
                                       "dkim/rfc8463/private-rsa.key"};
    static const char *const messages[] = {
        "dkim/mail-dkim/sign/test5.txt", "dkim/mimekit/related.msg",
        "dkim/mimekit/multipart-no-end-boundary.msg", "dkim/mimekit/gmail.msg"};

    for (size_t i = 0; i < COUNT(keys); i++)
        for (size_t k = 0; k < COUNT(messages); k++) {
            AUTO_ARENA a = ARENA_LIMIT(64 << 20);
            struct private_key *key = key_of_file(&a, keys[i]);
            struct test_message m = test_message_of(&a, vector_file(&a, messages[k]));
            struct dkim_selector with = selector(key);
            struct dkim_verification v;
            struct dns_zone zone;
            struct err e = {0};

            test_zone(&a,
                      arena_printf(&a, "%.*s._domainkey.d.example TXT %.*s", STR_FMT(with.name),
                                   STR_FMT(record_of(&a, key))),
                      &zone);
            with.header_is_relaxed = k & 1;
            with.body_is_relaxed = k & 2;
            CHECK_CASE(sign_message(&a, &m, &with, 1, "x", &e), i);
            test_verify(&a, m, &zone, NOW, &v);
            CHECK_CASE(v.results[0].status == AUTH_PASS, 10 * i + k);
            m.body = arena_printf(&a, "%.*sx", STR_FMT(m.body));
            test_verify(&a, m, &zone, NOW, &v);
            CHECK_CASE(v.results[0].status == AUTH_FAIL, 10 * i + k);
            private_key_free(key);
        }
}

// Both kinds of signatures are the same each time: with the keys of RFC 8463 A.2 come those of A.3.
TEST(dkim_vectors_rfc8463_signatures)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    AUTO_BUF pkcs8 = BUF_LIMIT(1000), pem = BUF_LIMIT(1000);
    struct test_message m = test_message_of(&a, vector_file(&a, "dkim/rfc8463/signed.eml"));
    struct str seed = str_trim(vector_file(&a, "dkim/rfc8463/private-ec.key"));
    struct private_key *keys[2];
    struct err e = {0};
    struct dkim_header *h = dkim_header_parse(&a, m.header, &e);
    size_t n = 0;

    // RFC 8410 10.3: what is before the seed.
    buf_put(&pkcs8, STR("\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"));
    CHECK(base64_decode_strict(&pkcs8, seed));
    BUF_PUT(&pem, "-----BEGIN PRIVATE KEY-----\n");
    base64_encode(&pem, buf_str(&pkcs8));
    BUF_PUT(&pem, "\n-----END PRIVATE KEY-----\n");
    keys[0] = key_of_file(&a, "dkim/rfc8463/private-rsa.key");
    keys[1] = private_key_parse(buf_str(&pem), &e);
    CHECK(keys[0] && keys[1]);
    for (size_t i = 0; i < h->n; i++) {
        AUTO_BUF signature = BUF_LIMIT(1000);
        unsigned char digest[SHA256_BYTES];
        struct dkim_signature s;
        struct sha256 *hash;

        if (!str_eq(h->fields[i].name, STR("DKIM-Signature")))
            continue;
        CHECK(dkim_signature_parse(&a, h->fields[i].value, &s, &e));
        hash = sha256_new();
        dkim_hash_fields(hash, h, s.headers, s.n_headers, i + 1, s.header_is_relaxed);
        dkim_hash_signature(hash, h->fields[i].raw, s.b_field, s.header_is_relaxed);
        sha256_end(hash, digest);
        sha256_free(hash);
        CHECK(private_key_sign_sha256(keys[s.algorithm == DKIM_ED25519_SHA256],
                                      str_at(digest, sizeof digest), &signature, &e));
        CHECK_STR(buf_str(&signature), s.signature);
        n++;
    }
    CHECK(n == 2);
    private_key_free(keys[0]);
    private_key_free(keys[1]);
}
