#include "base/test.h"
#include "proto/sasl/sasl.h"
#include "text/encode.h"

static const struct scram_channel plain_channel = {0};
static const struct scram_channel exporter = {true, STR_("tls-exporter"), STR_("BOUND-DATA")};

TEST(mechanism_names)
{
    CHECK(sasl_mechanism_of(STR("SCRAM-SHA-256-PLUS")) == SASL_SCRAM_SHA_256_PLUS);
    CHECK(sasl_mechanism_of(STR("LOGIN")) == SASL_LOGIN);
    CHECK(sasl_mechanism_of(STR("plain")) == SASL_MECHANISMS);
    CHECK(sasl_mechanism_of(STR("")) == SASL_MECHANISMS);
    for (int i = 0; i < SASL_MECHANISMS; i++)
        CHECK_CASE(str_eq_ci(sasl_info(i)->name, sasl_info(i)->log_name), (size_t)i);
}

TEST(plain_messages)
{
    static const struct {
        struct str in;
        bool is_ok;
    } cases[] = {
        {STR_("\0tim\0tanstaaftanstaaf"), true},         // RFC 4616 4
        {STR_("Ursel\0Kurt\0xipj3plmq"), true},          // RFC 4616 4
        {STR_(""), false},
        {STR_("\0tim"), false},
        {STR_("\0tim\0"), false},
        {STR_("\0\0password"), false},
        {STR_("\0tim\0pass\0word"), false},
        {STR_("\0t\xff\0password"), false},
    };
    struct sasl_plain p;
    struct err e = {0};

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(cases[i].in);

        CHECK_CASE(sasl_plain_parse(in.str, &p, &e) == cases[i].is_ok, i);
    }
    CHECK(sasl_plain_parse(cases[1].in, &p, &e));
    CHECK_STR(p.authzid, STR("Ursel"));
    CHECK_STR(p.authcid, STR("Kurt"));
    CHECK_STR(p.password, STR("xipj3plmq"));
}

TEST(cram_md5_messages)
{
    static const struct {
        const char *in, *name;
    } cases[] = {
        {"tim b913a602c7eda7a495b4e6e7334d3890", "tim"}, // RFC 2195 2
        {"tim B913A602C7EDA7A495B4E6E7334D3890", "tim"},
        {"a b b913a602c7eda7a495b4e6e7334d3890", "a b"},
        {" b913a602c7eda7a495b4e6e7334d3890", NULL},
        {"b913a602c7eda7a495b4e6e7334d3890", NULL},
        {"tim b913a602c7eda7a495b4e6e7334d389", NULL},
        {"tim b913a602c7eda7a495b4e6e7334d3890 ", NULL},
        {"tim b913a602c7eda7a495b4e6e7334d389g", NULL},
        {"t\xff b913a602c7eda7a495b4e6e7334d3890", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        struct sasl_cram c;
        struct err e = {0};

        CHECK_CASE(sasl_cram_parse(in.str, &c, &e) == (cases[i].name != NULL), i);
        if (cases[i].name) {
            CHECK_STR(c.name, str_of(cases[i].name));
            CHECK_CASE(c.digest[0] == 0xb9 && c.digest[15] == 0x90, i);
        }
    }
}

struct vector {
    enum sasl_mechanism mechanism;
    const char *client_nonce, *server_nonce, *salt, *first, *challenge, *final, *signature;
};
// RFC 5802 5 and RFC 7677 3: user "user", password "pencil".
static const struct vector vectors[] = {
    {SASL_SCRAM_SHA_1, "fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j", "QSXCR+Q6sek8bf92",
     "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
     "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
     "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
     "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
    {SASL_SCRAM_SHA_256, "rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
     "W22ZaJ0SNY7soEsUEjb6gQ==", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
     "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
     "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
     "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
     "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
};

// Everything up to the client's final message, whose verdict is returned.
static enum scram_verdict play(const struct vector *v, struct str first, struct str final,
                               struct buf *out)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF salt = BUF_LIMIT(100);
    AUTO_BUF challenge = BUF_LIMIT(4096);
    AUTO_EXACT first_copy = exact_copy(first);
    AUTO_EXACT final_copy = exact_copy(final);
    struct scram_keys keys;
    struct err e = {0};
    struct scram s;

    CHECK(base64_decode_strict(&salt, str_of(v->salt)));
    scram_derive(sasl_info(v->mechanism)->hash, STR("pencil"), buf_str(&salt), 4096, &keys);
    CHECK(scram_begin(&a, v->mechanism, &plain_channel, first_copy.str, &s, &e));
    CHECK_STR(s.name, STR("user"));
    CHECK_STR(s.client_nonce, str_of(v->client_nonce));
    scram_challenge(&a, &s, str_of(v->server_nonce), buf_str(&salt), 4096, &challenge);
    CHECK_STR(buf_str(&challenge), str_of(v->challenge));
    return scram_finish(&a, &s, &keys, final_copy.str, out, &e);
}

TEST(scram_vectors)
{
    for (size_t i = 0; i < COUNT(vectors); i++) {
        const struct vector *v = &vectors[i];
        AUTO_BUF out = BUF_LIMIT(4096);

        CHECK_CASE(play(v, str_of(v->first), str_of(v->final), &out) == SCRAM_OK, i);
        CHECK_STR(buf_str(&out), str_of(v->signature));
    }
}

// Every truncation of the final message, and every byte of it changed.
TEST(scram_refuses_other_final_messages)
{
    for (size_t i = 0; i < COUNT(vectors); i++) {
        const struct vector *v = &vectors[i];
        struct str final = str_of(v->final);

        for (size_t n = 0; n < final.n; n++) {
            AUTO_BUF out = BUF_LIMIT(4096);
            AUTO_EXACT changed = exact_copy(final);

            CHECK_CASE(play(v, str_of(v->first), str_sub(final, 0, n), &out) != SCRAM_OK, n);
            changed.memory[n] ^= 1;
            buf_reset(&out);
            CHECK_CASE(play(v, str_of(v->first), changed.str, &out) != SCRAM_OK, n);
            CHECK_CASE(!str_starts(buf_str(&out), STR("v=")), n);
        }
    }
}

TEST(scram_final_verdicts)
{
    static const struct {
        const char *final;
        enum scram_verdict want;
        const char *out;
    } cases[] = {
        // An exchange of another time: nonce reuse.
        {"c=biws,r=fyko+d2lbbFgONRv9qkxdawLxxxxxxxxxxxxxxxxxx,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
         SCRAM_BAD_NONCE, "e=other-error"},
        {"c=biws,r=fyko+d2lbbFgONRv9qkxdawL,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", SCRAM_BAD_NONCE,
         "e=other-error"},
        // "y,," where "n,," was said.
        {"c=eSws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
         SCRAM_BAD_BINDING, "e=channel-bindings-dont-match"},
        {"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=w0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
         SCRAM_BAD_PROOF, "e=invalid-proof"},
        // An extension is part of what is proven, so this proof is not for it.
        {"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,x=y,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
         SCRAM_BAD_PROOF, "e=invalid-proof"},
        {"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,m=y,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
         SCRAM_MALFORMED, ""},
        {"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts",
         SCRAM_MALFORMED, ""},
        {"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI",
         SCRAM_MALFORMED, ""},
        {"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=,",
         SCRAM_MALFORMED, ""},
        {"c=biws,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
         SCRAM_MALFORMED, ""},
        {"c=b!ws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
         SCRAM_MALFORMED, ""},
        {"", SCRAM_MALFORMED, ""},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_LIMIT(4096);

        CHECK_CASE(play(&vectors[0], str_of(vectors[0].first), str_of(cases[i].final), &out) ==
                       cases[i].want, i);
        CHECK_STR(buf_str(&out), str_of(cases[i].out));
    }
}

TEST(scram_first_messages)
{
    static const struct {
        enum sasl_mechanism mechanism;
        const struct scram_channel *channel;
        const char *in, *error, *name, *authzid;
    } cases[] = {
        {SASL_SCRAM_SHA_1, &plain_channel, "n,,n=user,r=x", NULL, "user", ""},
        {SASL_SCRAM_SHA_1, &plain_channel, "y,,n=user,r=x", NULL, "user", ""},
        {SASL_SCRAM_SHA_1, &exporter, "n,,n=user,r=x", NULL, "user", ""},
        {SASL_SCRAM_SHA_1, &plain_channel, "n,a=you,n=user,r=x,y=z,q==", NULL, "user", "you"},
        {SASL_SCRAM_SHA_1, &plain_channel, "n,a=a=2Cb,n==3D=2C=3D,r=x", NULL, "=,=", "a,b"},
        {SASL_SCRAM_SHA_1_PLUS, &exporter, "p=tls-exporter,,n=user,r=x", NULL, "user", ""},
        // Downgrades (RFC 5802 6).
        {SASL_SCRAM_SHA_1, &exporter, "y,,n=user,r=x", "server-does-support-channel-binding"},
        {SASL_SCRAM_SHA_1, &exporter, "p=tls-exporter,,n=user,r=x",
         "channel-binding-not-supported"},
        {SASL_SCRAM_SHA_1_PLUS, &exporter, "n,,n=user,r=x",
         "the mechanism binds the channel, its message does not"},
        {SASL_SCRAM_SHA_1_PLUS, &exporter, "y,,n=user,r=x", "server-does-support-channel-binding"},
        {SASL_SCRAM_SHA_1_PLUS, &exporter, "p=tls-unique,,n=user,r=x",
         "unsupported-channel-binding-type"},
        {SASL_SCRAM_SHA_1_PLUS, &plain_channel, "p=tls-exporter,,n=user,r=x",
         "unsupported-channel-binding-type"},
        // Extensions that must be understood.
        {SASL_SCRAM_SHA_1, &plain_channel, "n,,m=ext,n=user,r=x", "extensions-not-supported"},
        {SASL_SCRAM_SHA_1, &plain_channel, "n,,n=user,r=x,m=ext", "invalid-encoding"},
        // Grammar.
        {SASL_SCRAM_SHA_1, &plain_channel, "", "invalid-encoding"},
        {SASL_SCRAM_SHA_1, &plain_channel, "N,,n=user,r=x", "invalid-encoding"},
        {SASL_SCRAM_SHA_1, &plain_channel, "n,n=user,r=x", "invalid-username-encoding"},
        {SASL_SCRAM_SHA_1, &plain_channel, "nn,,n=user,r=x", "invalid-encoding"},
        {SASL_SCRAM_SHA_1, &plain_channel, "n,,n=,r=x", "invalid-username-encoding"},
        {SASL_SCRAM_SHA_1, &plain_channel, "n,,n=a=b,r=x", "invalid-username-encoding"},
        {SASL_SCRAM_SHA_1, &plain_channel, "n,,n=a=2,r=x", "invalid-username-encoding"},
        {SASL_SCRAM_SHA_1, &plain_channel, "n,,n=a=2c,r=x", "invalid-username-encoding"},
        {SASL_SCRAM_SHA_1, &plain_channel, "n,,n=\xff,r=x", "invalid-username-encoding"},
        {SASL_SCRAM_SHA_1, &plain_channel, "n,,n=user,r=", "invalid-encoding"},
        {SASL_SCRAM_SHA_1, &plain_channel, "n,,n=user,r=a b", "invalid-encoding"},
        {SASL_SCRAM_SHA_1, &plain_channel, "n,,n=user,r=x,", "invalid-encoding"},
        {SASL_SCRAM_SHA_1, &plain_channel, "n,,n=user,r=x,y=", "invalid-encoding"},
        {SASL_SCRAM_SHA_1, &plain_channel, "n,,n=user,r=x,1=y", "invalid-encoding"},
        {SASL_SCRAM_SHA_1, &plain_channel, "n,,r=x,n=user", "invalid-username-encoding"},
        {SASL_SCRAM_SHA_1_PLUS, &exporter, "p=,,n=user,r=x", "invalid-encoding"},
        {SASL_SCRAM_SHA_1_PLUS, &exporter, "p=tls exporter,,n=user,r=x",
         "unsupported-channel-binding-type"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 16);
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        struct err e = {0};
        struct scram s;
        bool is_ok = scram_begin(&a, cases[i].mechanism, cases[i].channel, in.str, &s, &e);

        CHECK_CASE(is_ok == !cases[i].error, i);
        if (is_ok) {
            CHECK_STR(s.name, str_of(cases[i].name));
            CHECK_STR(s.authzid, str_of(cases[i].authzid));
        } else {
            CHECK_STR(str_of(e.text), str_of(cases[i].error));
        }
    }
}

// A proof is good on the channel for which it was made, and on no other.
TEST(scram_binds_the_channel)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct scram_channel other = exporter;
    struct scram_keys keys;
    struct err e = {0};

    other.data = STR("OTHER-DATA");
    scram_derive(HASH_SHA256, STR("pencil"), STR("salt"), 4096, &keys);
    for (int i = 0; i < 2; i++) {
        AUTO_BUF challenge = BUF_LIMIT(4096);
        AUTO_BUF out = BUF_LIMIT(4096);
        AUTO_BUF final = BUF_LIMIT(4096);
        AUTO_BUF auth_message = BUF_LIMIT(4096);
        unsigned char salted[32], client_key[32], stored_key[32], signature[32];
        struct scram s;

        CHECK(scram_begin(&a, SASL_SCRAM_SHA_256_PLUS, i ? &other : &exporter,
                          STR("p=tls-exporter,,n=user,r=abc"), &s, &e));
        scram_challenge(&a, &s, STR("def"), STR("salt"), 4096, &challenge);
        // The client's side, on the channel `exporter`.
        BUF_PUT(&final, "c=");
        base64_encode(&final, STR("p=tls-exporter,,BOUND-DATA"));
        BUF_PUT(&final, ",r=abcdef");
        BUF_PUT(&auth_message, "n=user,r=abc,");
        buf_put(&auth_message, buf_str(&challenge));
        BUF_PUT(&auth_message, ",");
        buf_put(&auth_message, buf_str(&final));
        hash_pbkdf2(HASH_SHA256, STR("pencil"), STR("salt"), 4096, salted);
        hash_hmac(HASH_SHA256, str_at(salted, 32), STR("Client Key"), client_key);
        hash_digest(HASH_SHA256, str_at(client_key, 32), stored_key);
        hash_hmac(HASH_SHA256, str_at(stored_key, 32), buf_str(&auth_message), signature);
        for (size_t k = 0; k < 32; k++)
            client_key[k] ^= signature[k];
        BUF_PUT(&final, ",p=");
        base64_encode(&final, str_at(client_key, 32));
        CHECK(scram_finish(&a, &s, &keys, buf_str(&final), &out, &e) ==
              (i ? SCRAM_BAD_BINDING : SCRAM_OK));
    }
}
