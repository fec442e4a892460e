#include "base/test.h"
#include "policy/tls_rule.h"

static struct str allowed[] = {STR_("mx.example")};
static const struct mtasts_policy enforce = {MTASTS_ENFORCE, 86400, allowed, 1},
                                  testing = {MTASTS_TESTING, 86400, allowed, 1},
                                  none = {MTASTS_NONE, 86400, NULL, 0};

enum { PLAIN_OK = 1, RETRY = 2, REQUIRETLS = 4, BOUNCE = 8 };

/* Every combination that has a meaning of its own; RFC 7672 2.2, RFC 8461 5, RFC 8689 4.2. */
TEST(tls_rules)
{
    static const struct {
        enum tls_wish wish;
        const struct mtasts_policy *sts;
        enum dane_status dane;
        bool is_secure;
        const char *host;
        enum tls_proof proof;
        unsigned flags, code; // code: not to be connected to
        enum tls_failure tlsa, failed_sts;
    } cases[] = {
        // The message says nothing.
        {0, NULL, DANE_NONE, false, "mx.example", TLS_PROOF_NONE, PLAIN_OK | RETRY, 0, 0, 0},
        {0, NULL, DANE_NONE, true, "mx.example", TLS_PROOF_NONE, PLAIN_OK | RETRY, 0, 0, 0},
        {0, NULL, DANE_USABLE, true, "mx.example", TLS_PROOF_DANE, 0, 0, 0, 0},
        {0, NULL, DANE_UNUSABLE, true, "mx.example", TLS_PROOF_NONE, 0, 0, TLS_TLSA_INVALID, 0},
        {0, NULL, DANE_FAILED, true, "mx.example", TLS_PROOF_NONE, PLAIN_OK | RETRY, 450,
         TLS_TLSA_INVALID, 0},
        {0, &enforce, DANE_NONE, false, "mx.example", TLS_PROOF_PKIX, 0, 0, 0, 0},
        {0, &enforce, DANE_NONE, false, "other.example", TLS_PROOF_PKIX, 0, 450, 0,
         TLS_VALIDATION_FAILURE},
        {0, &testing, DANE_NONE, false, "mx.example", TLS_PROOF_NONE, PLAIN_OK | RETRY, 0, 0, 0},
        {0, &testing, DANE_NONE, false, "other.example", TLS_PROOF_NONE, PLAIN_OK | RETRY, 0, 0,
         TLS_VALIDATION_FAILURE},
        {0, &none, DANE_NONE, false, "other.example", TLS_PROOF_NONE, PLAIN_OK | RETRY, 0, 0, 0},
        // DANE goes before MTA-STS, but does not let hosts in that the policy keeps out.
        {0, &enforce, DANE_USABLE, true, "mx.example", TLS_PROOF_DANE, 0, 0, 0, 0},
        {0, &enforce, DANE_UNUSABLE, true, "mx.example", TLS_PROOF_PKIX, 0, 0, TLS_TLSA_INVALID, 0},
        {0, &enforce, DANE_FAILED, true, "mx.example", TLS_PROOF_PKIX, 0, 450, TLS_TLSA_INVALID, 0},
        {0, &enforce, DANE_USABLE, true, "other.example", TLS_PROOF_DANE, 0, 450, 0,
         TLS_VALIDATION_FAILURE},
        {0, &testing, DANE_USABLE, true, "other.example", TLS_PROOF_DANE, 0, 0, 0,
         TLS_VALIDATION_FAILURE},
        // REQUIRETLS
        {TLS_WISH_REQUIRED, NULL, DANE_NONE, false, "mx.example", TLS_PROOF_NONE, REQUIRETLS, 554,
         0, 0},
        {TLS_WISH_REQUIRED, NULL, DANE_NONE, true, "mx.example", TLS_PROOF_PKIX, REQUIRETLS, 0, 0,
         0},
        {TLS_WISH_REQUIRED, NULL, DANE_USABLE, true, "mx.example", TLS_PROOF_DANE, REQUIRETLS, 0,
         0, 0},
        {TLS_WISH_REQUIRED, NULL, DANE_UNUSABLE, true, "mx.example", TLS_PROOF_PKIX, REQUIRETLS, 0,
         TLS_TLSA_INVALID, 0},
        {TLS_WISH_REQUIRED, &enforce, DANE_NONE, false, "mx.example", TLS_PROOF_PKIX, REQUIRETLS,
         0, 0, 0},
        {TLS_WISH_REQUIRED, &testing, DANE_NONE, false, "mx.example", TLS_PROOF_NONE, REQUIRETLS,
         554, 0, 0},
        {TLS_WISH_REQUIRED, &enforce, DANE_NONE, false, "other.example", TLS_PROOF_PKIX, REQUIRETLS,
         450, 0, TLS_VALIDATION_FAILURE},
        {TLS_WISH_REQUIRED, NULL, DANE_FAILED, true, "mx.example", TLS_PROOF_PKIX, REQUIRETLS, 450,
         TLS_TLSA_INVALID, 0},
        // A report about such a message.
        {TLS_WISH_REQUIRED, NULL, DANE_NONE, false, "mx.example", TLS_PROOF_NONE, BOUNCE, 0, 0, 0},
        {TLS_WISH_REQUIRED, NULL, DANE_NONE, true, "mx.example", TLS_PROOF_PKIX, BOUNCE, 0, 0, 0},
        {TLS_WISH_REQUIRED, &enforce, DANE_NONE, false, "other.example", TLS_PROOF_PKIX, BOUNCE, 450, 0,
         TLS_VALIDATION_FAILURE},
        // TLS-Required: No
        {TLS_WISH_OPTIONAL, &enforce, DANE_NONE, false, "other.example", TLS_PROOF_NONE,
         PLAIN_OK | RETRY, 0, 0, TLS_VALIDATION_FAILURE},
        {TLS_WISH_OPTIONAL, NULL, DANE_USABLE, true, "mx.example", TLS_PROOF_NONE, PLAIN_OK | RETRY,
         0, 0, 0},
        {TLS_WISH_OPTIONAL, NULL, DANE_FAILED, true, "mx.example", TLS_PROOF_NONE, PLAIN_OK | RETRY,
         0, TLS_TLSA_INVALID, 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        struct tls_input in = {.wish = cases[i].wish,
                               .host = str_of(cases[i].host),
                               .sts = cases[i].sts,
                               .dane = {.status = cases[i].dane, .why = STR("no answer")},
                               .is_next_hop_secure = cases[i].is_secure,
                               .is_bounce = cases[i].flags & BOUNCE};
        struct tls_rule r;

        tls_rule_make(&a, &in, &r);
        CHECK_CASE(r.proof == cases[i].proof, i);
        CHECK_CASE(!r.must_encrypt == !!(cases[i].flags & PLAIN_OK), i);
        CHECK_CASE(r.may_retry_plain == !!(cases[i].flags & RETRY), i);
        CHECK_CASE(r.must_offer_requiretls == !!(cases[i].flags & REQUIRETLS), i);
        CHECK_CASE(r.is_unusable == (cases[i].code > 0) && r.code == cases[i].code, i);
        CHECK_CASE(r.tlsa_failure == cases[i].tlsa && r.sts_failure == cases[i].failed_sts, i);
        CHECK_CASE(r.has_tlsa ==
                       (cases[i].dane == DANE_USABLE || cases[i].dane == DANE_UNUSABLE),
                   i);
        CHECK_CASE(r.has_sts == (cases[i].sts && cases[i].sts != &none), i);
    }
}

TEST(tls_rule_of_reports_and_forgeries)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct tls_input in = {.host = STR("mx.example"), .is_dmarc_report = true};
    struct tls_rule r;

    tls_rule_make(&a, &in, &r);
    CHECK(!r.must_encrypt && !r.may_retry_plain);
    in.wish = TLS_WISH_OPTIONAL;
    tls_rule_make(&a, &in, &r);
    CHECK(r.may_retry_plain);
    in = (struct tls_input){.host = STR("mx.example"), .is_next_hop_secure = true,
                            .dane = {.status = DANE_FAILED, .is_bogus = true, .why = STR("forged")}};
    tls_rule_make(&a, &in, &r);
    CHECK(r.tlsa_failure == TLS_DNSSEC_INVALID && r.is_unusable);
    CHECK_STR(str_of(tls_failure_name(r.tlsa_failure)), STR("dnssec-invalid"));
    CHECK_STR(str_of(tls_policy_type_name(TLS_POLICY_TLSA)), STR("tlsa"));
}

TEST(tls_reason_codes)
{
    static const char *const cases[][2] = {
        {"HTTP status 404", "http-status-404"},
        {"TLS remote alert 70 protocol version", "tls-remote-alert-70-protocol-version"},
        {"  \r\n\"quoted\", <and> \xc3\xa9 so on. ", "quoted-and-so-on"},
        {"one+other", "one+other"},
        {"", ""},
        {"..", ""},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i][0]));
        AUTO_BUF out = BUF_LIMIT(200);

        tls_reason_put(&out, in.str);
        CHECK_CASE(str_eq(buf_str(&out), str_of(cases[i][1])), i);
    }
    for (size_t n = 95; n < 110; n++) {
        AUTO_BUF in = BUF_LIMIT(400), out = BUF_LIMIT(400);

        for (size_t i = 0; i < n; i++)
            BUF_PUT(&in, "x ");
        tls_reason_put(&out, buf_str(&in));
        CHECK_CASE(out.n <= 100 && out.n > 95 && out.p[out.n - 1] == 'x', n);
    }
}
