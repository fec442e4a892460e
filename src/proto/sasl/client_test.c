#include "base/test.h"
#include "proto/sasl/client.h"
#include "text/encode.h"

static struct sasl_client client_of(enum sasl_mechanism mechanism, const char *nonce)
{
    return (struct sasl_client){.mechanism = mechanism, .name = STR("user"),
                                .password = STR("pencil"), .nonce = str_of(nonce)};
}

// RFC 5802 5 and RFC 7677 3.
TEST(scram_client_vectors)
{
    static const struct {
        enum sasl_mechanism mechanism;
        const char *nonce, *messages[6]; // the server's, and what is answered
    } cases[] = {
        {SASL_SCRAM_SHA_1, "fyko+d2lbbFgONRv9qkxdawL",
         {"", "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
          "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
          "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
          "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", ""}},
        {SASL_SCRAM_SHA_256, "rOprNGfwEbeRWgbNEkqO",
         {"", "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
          "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
          "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
          "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
          "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", ""}},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        // The server's last message as a challenge, with the success, and not at all.
        for (int how = 0; how < 3; how++) {
            AUTO_ARENA a = ARENA_LIMIT(1 << 20);
            struct sasl_client c = client_of(cases[i].mechanism, cases[i].nonce);
            AUTO_EXACT last = exact_copy(str_of(cases[i].messages[4]));
            struct err e = {0};

            for (size_t m = 0; m < (how ? 4 : 6); m += 2) {
                AUTO_EXACT message = exact_copy(str_of(cases[i].messages[m]));
                AUTO_BUF out = BUF_LIMIT(4096);

                CHECK(sasl_client_step(&a, &c, message.str, &out, &e));
                CHECK_STR(buf_str(&out), str_of(cases[i].messages[m + 1]));
            }
            CHECK_CASE(sasl_client_is_done(&a, &c, how == 1 ? last.str : STR("")) == (how != 2), how);
        }
}

TEST(scram_client_refuses_servers_that_lie)
{
    static const char *const bad[] = {
        "",
        "r=abc,s=QSXCR+Q6sek8bf92,i=4096",     // nothing of its own
        "r=xabcdef,s=QSXCR+Q6sek8bf92,i=4096", // not ours
        "r=abcdef,s=QSXCR+Q6sek8bf92,i=4095",
        "r=abcdef,s=QSXCR+Q6sek8bf92,i=1000001",
        "r=abcdef,s=QSXCR+Q6sek8bf92,i=99999999999999999999999",
        "r=abcdef,s=QSXCR+Q6sek8bf92,i=4096x",
        "r=abcdef,s=QSXCR+Q6sek8bf92",
        "r=abcdef,s=,i=4096",
        "r=abcdef,s=!!!!,i=4096",
        "m=ext,r=abcdef,s=QSXCR+Q6sek8bf92,i=4096", // an extension that must be understood
        "e=other-error",
    };
    static const char *const bad_last[] = {"", "v=", "v=AAAA", "e=invalid-proof",
                                           "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="};

    for (size_t i = 0; i < COUNT(bad); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF out = BUF_LIMIT(4096);
        struct sasl_client c = client_of(SASL_SCRAM_SHA_256, "abc");
        AUTO_EXACT message = exact_copy(str_of(bad[i]));
        struct err e = {0};

        CHECK(sasl_client_step(&a, &c, STR(""), &out, &e));
        CHECK_CASE(!sasl_client_step(&a, &c, message.str, &out, &e), i);
        CHECK_CASE(!sasl_client_is_done(&a, &c, STR("")), i);
    }
    for (size_t i = 0; i < COUNT(bad_last); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF out = BUF_LIMIT(4096);
        struct sasl_client c = client_of(SASL_SCRAM_SHA_1, "abc");
        AUTO_EXACT message = exact_copy(str_of(bad_last[i]));
        struct err e = {0};

        CHECK(sasl_client_step(&a, &c, STR(""), &out, &e));
        CHECK(sasl_client_step(&a, &c, STR("r=abcdef,s=QSXCR+Q6sek8bf92,i=4096,x=y"), &out, &e));
        CHECK_CASE(!sasl_client_is_done(&a, &c, message.str), i);
        CHECK_CASE(!sasl_client_step(&a, &c, message.str, &out, &e), i);
    }
}

// Against our own server, names that need quoting and a bound channel included.
TEST(scram_client_and_server_agree)
{
    static const enum sasl_mechanism mechanisms[] = {SASL_SCRAM_SHA_1, SASL_SCRAM_SHA_256,
                                                     SASL_SCRAM_SHA_1_PLUS, SASL_SCRAM_SHA_256_PLUS};
    static const struct scram_channel plain = {0},
                                      tls = {true, STR_("tls-exporter"), STR_("bound-data")};

    for (size_t i = 0; i < COUNT(mechanisms); i++) {
        const struct sasl_mechanism_info *info = sasl_info(mechanisms[i]);
        const struct scram_channel *channel = info->is_plus ? &tls : &plain;
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF first = BUF_LIMIT(4096), challenge = BUF_LIMIT(4096), final = BUF_LIMIT(4096);
        AUTO_BUF last = BUF_LIMIT(4096);
        struct sasl_client c = client_of(mechanisms[i], "abc");
        struct scram_keys keys;
        struct err e = {0};
        struct scram s;

        c.name = STR("a,b=c@example.org");
        c.channel = *channel;
        CHECK(sasl_client_step(&a, &c, STR(""), &first, &e));
        CHECK(scram_begin(&a, mechanisms[i], channel, buf_str(&first), &s, &e));
        CHECK_STR(s.name, c.name);
        scram_derive(info->hash, STR("pencil"), STR("salt"), 4096, &keys);
        scram_challenge(&a, &s, STR("def"), STR("salt"), 4096, &challenge);
        CHECK(sasl_client_step(&a, &c, buf_str(&challenge), &final, &e));
        CHECK_CASE(scram_finish(&a, &s, &keys, buf_str(&final), &last, &e) == SCRAM_OK, i);
        CHECK_CASE(sasl_client_is_done(&a, &c, buf_str(&last)), i);
    }
}

// A client that could bind says so, and a server that can knows that somebody took its offer away.
TEST(scram_client_notices_a_downgrade)
{
    static const struct scram_channel tls = {true, STR_("tls-exporter"), STR_("bound-data")};

    for (int i = 0; i < 2; i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF first = BUF_LIMIT(4096);
        struct sasl_client c = client_of(SASL_SCRAM_SHA_256, "abc");
        struct err e = {0};
        struct scram s;

        c.channel = tls;
        c.server_has_plus = i;
        CHECK(sasl_client_step(&a, &c, STR(""), &first, &e));
        CHECK(str_starts(buf_str(&first), i ? STR("n,,") : STR("y,,")));
        CHECK(scram_begin(&a, SASL_SCRAM_SHA_256, &tls, buf_str(&first), &s, &e) == (i == 1));
    }
}

TEST(sasl_client_other_mechanisms)
{
    static const struct {
        enum sasl_mechanism mechanism;
        bool is_first;
        const char *messages[4];
        size_t n;
    } cases[] = {
        {SASL_CRAM_MD5, false, {"<1896.697170952@postoffice.reston.mci.net>",
                                "tim b913a602c7eda7a495b4e6e7334d3890"}, 2},
        {SASL_LOGIN, false, {"Username:", "tim", "Password:", "tanstaaftanstaaf"}, 4},
        {SASL_EXTERNAL, true, {"", ""}, 2},
    };
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(4096);
    struct err e = {0};
    struct sasl_client c = client_of(SASL_PLAIN, "");

    for (size_t i = 0; i < COUNT(cases); i++) {
        c = client_of(cases[i].mechanism, "");
        c.name = STR("tim"); // RFC 2195 2
        c.password = STR("tanstaaftanstaaf");
        CHECK_CASE(sasl_client_is_first(c.mechanism) == cases[i].is_first, i);
        for (size_t m = 0; m < cases[i].n; m += 2) {
            buf_reset(&out);
            CHECK(!sasl_client_is_done(&a, &c, STR("")));
            CHECK(sasl_client_step(&a, &c, str_of(cases[i].messages[m]), &out, &e));
            CHECK_STR(buf_str(&out), str_of(cases[i].messages[m + 1]));
        }
        CHECK(sasl_client_is_done(&a, &c, STR("")));
        CHECK(!sasl_client_step(&a, &c, STR("more"), &out, &e));
    }
    c = client_of(SASL_PLAIN, "");
    buf_reset(&out);
    CHECK(sasl_client_step(&a, &c, STR(""), &out, &e) && sasl_client_is_done(&a, &c, STR("")));
    CHECK_STR(buf_str(&out), str_at("\0user\0pencil", 12));
}

static bool offers(void *ctx, struct str mechanism)
{
    return str_find_str(str_of(ctx), mechanism) != STR_NONE;
}

TEST(sasl_client_chooses)
{
    static const enum sasl_mechanism wanted[] = {SASL_EXTERNAL, SASL_SCRAM_SHA_256_PLUS,
                                                 SASL_SCRAM_SHA_256, SASL_CRAM_MD5};
    static const struct scram_channel plain = {0}, tls = {true, STR_("t"), STR_("d")};
    static const struct {
        const char *offered;
        bool has_key, is_tls;
        enum sasl_mechanism want;
    } cases[] = {
        {"EXTERNAL SCRAM-SHA-256-PLUS SCRAM-SHA-256", true, true, SASL_EXTERNAL},
        {"EXTERNAL SCRAM-SHA-256-PLUS SCRAM-SHA-256", false, true, SASL_SCRAM_SHA_256_PLUS},
        {"SCRAM-SHA-256-PLUS SCRAM-SHA-256", false, false, SASL_SCRAM_SHA_256},
        {"LOGIN PLAIN CRAM-MD5", false, true, SASL_CRAM_MD5},
        {"PLAIN", false, true, SASL_MECHANISMS}, // not among those that are wanted
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_CASE(sasl_client_choose(wanted, COUNT(wanted), cases[i].has_key,
                                      cases[i].is_tls ? &tls : &plain, offers,
                                      (void *)(uintptr_t)cases[i].offered) == cases[i].want, i);
}
