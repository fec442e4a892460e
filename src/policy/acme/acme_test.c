#include "base/test.h"
#include "policy/acme/acme.h"
#include "text/encode.h"

#define DIRECTORY                                                                                  \
    "{\"newNonce\":\"https://ca.example/nonce\",\"newAccount\":\"https://ca.example/account\","    \
    "\"newOrder\":\"https://ca.example/order\",\"meta\":{\"termsOfService\":\"https://ca.example/terms\"}}"
#define ORDER(status, more)                                                                        \
    "{\"status\":\"" status "\",\"identifiers\":[{\"type\":\"dns\",\"value\":\"mail.example\"}],"  \
    "\"authorizations\":[\"https://ca.example/authz/1\"],\"finalize\":\"https://ca.example/finalize/1\"" more "}"
#define AUTHORIZATION(status, challenges)                                                          \
    "{\"status\":\"" status "\",\"identifier\":{\"type\":\"dns\",\"value\":\"mail.example\"},\"challenges\":[" challenges "]}"
#define CHALLENGE(type)                                                                            \
    "{\"type\":\"" type "\",\"url\":\"https://ca.example/chall/" type "\",\"token\":\"tok_-1\",\"status\":\"pending\"}"
#define REFUSED(type)                                                                              \
    "{\"type\":\"" type "\",\"url\":\"https://ca.example/chall/" type "\",\"token\":\"tok_-1\",\"error\":"              \
    "{\"type\":\"urn:ietf:params:acme:error:connection\",\"detail\":\"no route\"}}"
#define PROBLEM(type) "{\"type\":\"urn:ietf:params:acme:error:" type "\",\"detail\":\"so it is\"}"
#define CHAIN "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"

/* What a job asks for, and what it is answered; url NULL: it needs what `need` says. */
struct step {
    enum acme_need need;
    const char *url, *payload; // payload NULL: any
    unsigned code;
    const char *body, *location, *retry_after;
    bool has_no_nonce;
};

static void play(struct acme_job *j, const struct step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct step *s = &steps[i];
        struct acme_request r = {0};
        enum acme_need need = acme_job_next(j, &r);

        CHECK_CASE(need == s->need, i);
        if (need == ACME_NEED_CHALLENGE)
            acme_job_challenge_set(j);
        if (need == ACME_NEED_CSR)
            acme_job_csr(j, STR("\x30\x01"));
        if (need != ACME_NEED_REQUEST)
            continue;
        CHECK_STR(r.url, str_of(s->url));
        CHECK_CASE(!s->payload || str_eq(r.payload, str_of(s->payload)), i);
        acme_job_answer(j, &(struct acme_answer){
                               .code = s->code, .body = str_of(s->body ? s->body : ""),
                               .location = str_of(s->location ? s->location : ""),
                               .retry_after = str_of(s->retry_after ? s->retry_after : ""),
                               .replay_nonce = s->has_no_nonce ? STR("") : STR("n1")}, 1000);
    }
}

#define ASK(at, ...) {ACME_NEED_REQUEST, "https://ca.example/" at, __VA_ARGS__}
#define BEGIN                                                                                      \
    ASK("directory", "", 200, DIRECTORY), ASK("nonce", "", 200),                                  \
        ASK("account",                                                                             \
            "{\"termsOfServiceAgreed\":true,\"contact\":[\"mailto:me@example\"]", 201, "{}",       \
            "https://ca.example/account/7")
#define AN_ORDER "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"mail.example\"}]}"

static void begin(struct acme_authority *y, struct acme_job *j, unsigned kinds)
{
    acme_authority_init(y, STR("https://ca.example/directory"), STR("me@example"), false);
    acme_job_init(j, y, STR("mail.example"), kinds, STR(""));
}

static void end(struct acme_authority *y, struct acme_job *j)
{
    acme_job_fini(j);
    acme_authority_fini(y);
}

enum { ALL = 7, ALPN_AND_HTTP = 3 };

TEST(a_first_certificate)
{
    static const struct step steps[] = {
        BEGIN,
        ASK("order", AN_ORDER, 201, ORDER("pending", ""), "https://ca.example/order/1"),
        ASK("authz/1", "", 200, AUTHORIZATION("pending", CHALLENGE("dns-01") "," CHALLENGE("http-01") "," CHALLENGE("tls-alpn-01") "," CHALLENGE("new-02"))),
        {ACME_NEED_CHALLENGE},
        ASK("chall/tls-alpn-01", "{}", 200, "{}"),
        {ACME_NEED_WAIT},
        ASK("authz/1", "", 200, AUTHORIZATION("pending", CHALLENGE("tls-alpn-01")), NULL, "7"),
        {ACME_NEED_WAIT},
        ASK("authz/1", "", 200, AUTHORIZATION("valid", CHALLENGE("tls-alpn-01"))),
        ASK("order/1", "", 200, ORDER("ready", "")),
        {ACME_NEED_CSR},
        ASK("finalize/1", "{\"csr\":\"MAE\"}", 200, ORDER("processing", "")),
        {ACME_NEED_WAIT},
        ASK("order/1", "", 200, ORDER("valid", ",\"certificate\":\"https://ca.example/cert/1\"")),
        ASK("cert/1", "", 200, CHAIN),
        {ACME_NEED_NOTHING},
    };
    struct acme_authority y;
    struct acme_job j;

    begin(&y, &j, ALL);
    play(&j, steps, COUNT(steps));
    CHECK_STR(j.chain, STR(CHAIN));
    CHECK_STR(y.account, STR("https://ca.example/account/7"));
    acme_job_fini(&j);
    // The next one begins with its order; an authorization that holds is used again.
    static const struct step again[] = {
        ASK("order", AN_ORDER, 201, ORDER("ready", ""), "https://ca.example/order/2"),
        {ACME_NEED_CSR},
        ASK("finalize/1", NULL, 200, ORDER("valid", ",\"certificate\":\"https://ca.example/cert/1\"")),
        ASK("cert/1", "", 200, CHAIN),
        {ACME_NEED_NOTHING},
    };
    acme_job_init(&j, &y, STR("mail.example"), ALL, STR(""));
    play(&j, again, COUNT(again));
    end(&y, &j);
}

TEST(a_kind_that_is_refused_gives_way_to_the_next)
{
    static const struct step steps[] = {
        BEGIN,
        ASK("order", AN_ORDER, 201, ORDER("pending", ""), "https://ca.example/order/1"),
        ASK("authz/1", "", 200, AUTHORIZATION("pending", CHALLENGE("http-01") "," CHALLENGE("tls-alpn-01"))),
        {ACME_NEED_CHALLENGE},
        ASK("chall/tls-alpn-01", "{}", 200, "{}"),
        {ACME_NEED_WAIT},
        ASK("authz/1", "", 200, AUTHORIZATION("invalid", REFUSED("tls-alpn-01"))),
        ASK("order", AN_ORDER, 201, ORDER("pending", ""), "https://ca.example/order/2"),
        ASK("authz/1", "", 200, AUTHORIZATION("pending", CHALLENGE("http-01") "," CHALLENGE("tls-alpn-01"))),
        {ACME_NEED_CHALLENGE},
        ASK("chall/http-01", "{}", 200, "{}"),
        {ACME_NEED_WAIT},
        ASK("authz/1", "", 200, AUTHORIZATION("invalid", REFUSED("http-01"))),
        {ACME_NEED_GIVE_UP},
    };
    struct acme_authority y;
    struct acme_job j;

    begin(&y, &j, ALPN_AND_HTTP);
    play(&j, steps, COUNT(steps));
    CHECK_STR(str_of(j.why.text), STR("answering a challenge: connection: no route"));
    end(&y, &j);
}

TEST(an_authorization_that_was_revoked_is_asked_for_again)
{
    static const struct step steps[] = {
        BEGIN,
        ASK("order", AN_ORDER, 201, ORDER("pending", ""), "https://ca.example/order/1"),
        ASK("authz/1", "", 200, AUTHORIZATION("revoked", "")),
        ASK("order", AN_ORDER, 201, ORDER("pending", ""), "https://ca.example/order/2"),
        ASK("authz/1", "", 200, AUTHORIZATION("pending", CHALLENGE("tls-alpn-01"))),
        {ACME_NEED_CHALLENGE},
    };
    struct acme_authority y;
    struct acme_job j;

    begin(&y, &j, ALPN_AND_HTTP);
    play(&j, steps, COUNT(steps));
    end(&y, &j);
}

TEST(nonces_are_used_once_and_refused_ones_replaced)
{
    static const struct step steps[] = {
        ASK("directory", "", 200, DIRECTORY), ASK("nonce", "", 200),
        ASK("account", NULL, 400, PROBLEM("badNonce")),
        ASK("account", NULL, 400, PROBLEM("badNonce"), NULL, NULL, true),
        ASK("nonce", "", 200),
        ASK("account", NULL, 200, "{}", "https://ca.example/account/7"),
        ASK("order", AN_ORDER, 400, PROBLEM("badNonce")), // each request has its own tries
        ASK("order", AN_ORDER, 400, PROBLEM("badNonce")),
        ASK("order", AN_ORDER, 400, PROBLEM("badNonce")),
        ASK("order", AN_ORDER, 400, PROBLEM("badNonce")),
        ASK("order", AN_ORDER, 400, PROBLEM("badNonce")),
        ASK("order", AN_ORDER, 400, PROBLEM("badNonce")),
        {ACME_NEED_GIVE_UP},
    };
    struct acme_authority y;
    struct acme_job j;

    begin(&y, &j, ALL);
    play(&j, steps, COUNT(steps));
    CHECK_STR(str_of(j.why.text), STR("ordering a certificate: badNonce: so it is"));
    end(&y, &j);
}

TEST(an_account_that_is_gone_is_registered_again)
{
    static const struct step steps[] = {
        ASK("directory", "", 200, DIRECTORY), ASK("nonce", "", 200),
        ASK("order", AN_ORDER, 400, PROBLEM("accountDoesNotExist")),
        ASK("account", NULL, 201, "{}", "https://ca.example/account/8"),
        ASK("order", AN_ORDER, 429, PROBLEM("rateLimited"), NULL, "3600"),
        {ACME_NEED_GIVE_UP},
    };
    struct acme_authority y;
    struct acme_job j;

    begin(&y, &j, ALL);
    acme_authority_set_account(&y, STR("https://ca.example/account/7"));
    play(&j, steps, COUNT(steps));
    CHECK(j.retry_after_s == 3600 && str_find_str(str_of(j.why.text), STR("rateLimited: so it is")) > 0);
    end(&y, &j);
}

TEST(a_server_that_fails_is_said_to)
{
    static const struct {
        struct step step;
        const char *why;
    } cases[] = {
        {ASK("directory", "", 503, "busy", NULL, "120"), "reading its directory: HTTP status 503"},
        {ASK("directory", "", 200, "<html>"), "reading its directory: line 1"},
        {ASK("directory", "", 200, "{}"), "reading its directory: no newNonce"},
        {ASK("directory", "", 200, "{\"newNonce\":\"http://ca.example/\"}"), "newNonce is no https URL"},
        {ASK("directory", "", 301, ""), "HTTP status 301"},
        {ASK("directory", "", 403, PROBLEM("userActionRequired")), "userActionRequired"},
        {ASK("directory", "", 403, PROBLEM("externalAccountRequired")), "ExternalAccountBinding"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct acme_authority y;
        struct acme_request r;
        struct acme_job j;

        begin(&y, &j, ALL);
        play(&j, &cases[i].step, 1);
        CHECK_CASE(acme_job_next(&j, &r) == ACME_NEED_GIVE_UP, i);
        CHECK_CASE(str_find_str(str_of(j.why.text), str_of(cases[i].why)) >= 0, i);
        CHECK_CASE(j.retry_after_s == (i ? 0 : 120), i);
        end(&y, &j);
    }
}

// From where the steps lead to, always the same answer: how often we ask, waiting or not.
static size_t ask_until_it_ends(const struct step *steps, size_t n_steps, struct str body)
{
    struct acme_authority y;
    struct acme_request r;
    struct acme_job j;
    size_t n = 0;

    begin(&y, &j, ALL);
    play(&j, steps, n_steps);
    for (enum acme_need need; (need = acme_job_next(&j, &r)) != ACME_NEED_GIVE_UP && n < 1000; n++)
        if (need == ACME_NEED_REQUEST)
            acme_job_answer(&j, &(struct acme_answer){.code = 200, .body = body, .replay_nonce = STR("n"),
                                                      .retry_after = STR("86400")}, 0);
    CHECK(j.wait_ms <= 60000);
    end(&y, &j);
    return n;
}

TEST(what_an_authority_cannot_make_us_do)
{
    static const struct step csr[] = {
        BEGIN,
        ASK("order", AN_ORDER, 201, ORDER("ready", ""), "https://ca.example/order/1"),
        {ACME_NEED_CSR},
    };
    static const struct step challenge[] = {
        BEGIN,
        ASK("order", AN_ORDER, 201, ORDER("pending", ""), "https://ca.example/order/1"),
        ASK("authz/1", "", 200, AUTHORIZATION("pending", CHALLENGE("http-01"))),
        {ACME_NEED_CHALLENGE},
        ASK("chall/http-01", "{}", 200, "{}"),
    };
    AUTO_BUF many = BUF_LIMIT(ACME_MAX_ANSWER);

    CHECK(ask_until_it_ends(csr, COUNT(csr), STR(ORDER("processing", ""))) < 200);
    CHECK(ask_until_it_ends(csr, COUNT(csr), STR(ORDER("ready", ""))) < 200); // though it has the CSR
    // As much as goes into an answer, each time.
    BUF_PUT(&many, "{\"status\":\"pending\",\"challenges\":[" REFUSED("http-01"));
    for (size_t i = 0; i < 160; i++)
        BUF_PUT(&many, "," REFUSED("http-01"));
    BUF_PUT(&many, "]}");
    CHECK(ask_until_it_ends(challenge, COUNT(challenge), buf_str(&many)) < 200);
}

TEST(where_an_order_is_must_be_a_url)
{
    static const char *const bad[] = {"", "http://ca.example/order/1", "https://ca.example/a b", "/order/1", "https://"};

    for (size_t i = 0; i < COUNT(bad); i++) {
        const struct step steps[] = {
            BEGIN,
            ASK("order", AN_ORDER, 201, ORDER("pending", ""), bad[i]),
            {ACME_NEED_GIVE_UP},
        };
        struct acme_authority y;
        struct acme_job j;

        begin(&y, &j, ALL);
        play(&j, steps, COUNT(steps));
        CHECK_STR(str_of(j.why.text), STR("ordering a certificate: no URL of the order"));
        end(&y, &j);
    }
}

TEST(problems_are_one_printable_line)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct acme_problem p;

    acme_problem_parse(&a, STR("{\"type\":\"urn:ietf:params:acme:error:caa\",\"detail\":\"a\\nb\\u00e9\","
                               "\"subproblems\":[{\"type\":\"x\",\"detail\":\"more\"}]}"), &p);
    CHECK_STR(p.type, STR("caa"));
    CHECK_STR(p.detail, STR("a?b?? (more)"));
    acme_problem_parse(&a, STR("[]"), &p);
    CHECK(!p.type.n);
    acme_problem_parse(&a, STR("no"), &p);
    CHECK(!p.type.n);
}

TEST(tokens_are_parts_of_a_path_and_nothing_else)
{
    static const char *const bad[] = {"", "a/b", "../x", "a b", "a\\r\\nb", "a.b", "%2e"};
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct acme_authorization z;
    struct err e = {0};

    for (size_t i = 0; i < COUNT(bad); i++) {
        struct str text = arena_printf(&a, "{\"status\":\"pending\",\"challenges\":[{\"type\":\"http-01\",\"url\":"
                                       "\"https://ca.example/\",\"token\":\"%s\"}]}", bad[i]);

        CHECK_CASE(!acme_authorization_parse(&a, text, &z, &e), i);
    }
}

// RFC 8555 6.2, 8.1: the forms, and a thumbprint (RFC 7638 3.1).
TEST(what_is_signed_and_served)
{
    static const char jwk[] =
        "{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7"
        "aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2"
        "QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3"
        "XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\"}";
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF header = BUF_LIMIT(4096), input = BUF_LIMIT(4096), jws = BUF_LIMIT(4096), account = BUF_LIMIT(4096);

    acme_protected(&header, STR("ES256"), STR("n\"1"), STR("https://ca.example/order"), STR("https://ca.example/a/1"),
                   STR(""));
    CHECK_STR(buf_str(&header), STR("{\"alg\":\"ES256\",\"nonce\":\"n\\\"1\",\"url\":\"https://ca.example/order\","
                                    "\"kid\":\"https://ca.example/a/1\"}"));
    acme_protected(&account, STR("RS256"), STR(""), STR("u"), STR(""), STR("{\"kty\":1}"));
    CHECK_STR(buf_str(&account), STR("{\"alg\":\"RS256\",\"url\":\"u\",\"jwk\":{\"kty\":1}}"));
    acme_signing_input(&input, STR("{}"), STR(""));
    CHECK_STR(buf_str(&input), STR("e30."));
    acme_jws(&jws, buf_str(&input), STR("\xff\xff"));
    CHECK_STR(buf_str(&jws), STR("{\"protected\":\"e30\",\"payload\":\"\",\"signature\":\"__8\"}"));
    CHECK_STR(acme_key_authorization(&a, STR("tok"), str_of(jwk)), STR("tok.NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
    CHECK(acme_dns_text(&a, STR("tok.x")).n == 43);
    // RFC 9773 4.1, its example.
    CHECK_STR(acme_certificate_id(&a, STR("\x69\x88\x5b\x6b\x87\x46\x40\x41\xe1\xb3\x7b\x84\x7b\xa0\xae\x2c\xde\x01\xc8\xd4"),
                                  STR("\x00\x87\x65\x43\x21")), STR("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"));
}

TEST(renewals_come_in_time_and_not_at_once)
{
    enum { DAY = 86400 };

    // A third of a short life, 30 days of a long one, or what is configured; an hour of chance at most.
    CHECK(acme_renew_at(0, 90 * DAY, 0, 0) == 60 * DAY);
    CHECK(acme_renew_at(0, 365 * DAY, 0, 0) == 335 * DAY);
    CHECK(acme_renew_at(0, 365 * DAY, 10 * DAY, 0) == 355 * DAY);
    CHECK(acme_renew_at(0, 6 * DAY, 0, 0) == 4 * DAY);
    CHECK(acme_renew_at(0, 90 * DAY, 0, 3600) == 60 * DAY + 3600 && acme_renew_at(0, 90 * DAY, 0, 3601) == 60 * DAY);
    CHECK(acme_renew_at(0, 30, 0, 1) == 21 && acme_renew_at(0, 30, 0, 2) == 20);
    CHECK(acme_renew_at(10, 10, 0, 99) == 10 && acme_renew_at(10, 5, 0, 99) == 5);
    for (uint64_t random = 0; random < 100; random++) {
        struct acme_window w = {.start = 1000, .end = 1050};
        int64_t at = acme_renew_in_window(&w, 5000, random);

        CHECK(at >= 1000 && at < 1050 && acme_renew_in_window(&w, 900, random) == 900);
    }
    CHECK(!acme_is_alarming(0, 90 * DAY, 74 * DAY) && acme_is_alarming(0, 90 * DAY, 76 * DAY));
    CHECK(acme_is_alarming(0, 90 * DAY, 91 * DAY));
}

TEST(attempts_that_fail_become_rare)
{
    CHECK(acme_retry_in(1, 0, 0) == 60 && acme_retry_in(2, 0, 0) == 120 && acme_retry_in(5, 0, 0) == 960);
    CHECK(acme_retry_in(100, 0, 0) == 6 * 3600 && acme_retry_in(1000000, 0, UINT64_MAX) <= 6 * 3600 * 5 / 4);
    CHECK(acme_retry_in(1, 7200, 0) == 7200 && acme_retry_in(0, 0, 0) == 60);
    CHECK(acme_retry_after(STR("120"), 0) == 120 && acme_retry_after(STR(""), 0) == 0);
    CHECK(acme_retry_after(STR("Thu, 01 Jan 1970 00:02:00 GMT"), 20) == 100);
    CHECK(acme_retry_after(STR("Thu, 01 Jan 1970 00:02:00 GMT"), 500) == 0);
    CHECK(acme_retry_after(STR("-5"), 0) == 0 && acme_retry_after(STR("99999999999"), 0) == 0);
}

TEST(windows_of_renewal)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct acme_window w;
    struct err e = {0};

    CHECK(acme_window_parse(&a, STR("{\"suggestedWindow\":{\"start\":\"2025-01-02T04:00:00Z\",\"end\":"
                                    "\"2025-01-03T04:00:00Z\"},\"explanationURL\":\"https://ca.example/why\"}"), &w, &e));
    CHECK(w.end - w.start == 86400);
    CHECK_STR(w.explanation_url, STR("https://ca.example/why"));
    CHECK(!acme_window_parse(&a, STR("{\"suggestedWindow\":{\"start\":\"2025-01-03T04:00:00Z\",\"end\":"
                                     "\"2025-01-02T04:00:00Z\"}}"), &w, &e));
    CHECK(!acme_window_parse(&a, STR("{\"suggestedWindow\":[]}"), &w, &e));
}
