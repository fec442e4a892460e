#include "policy/dmarc.h"

#include <stdio.h>

#include "base/test.h"
#include "policy/dns_zone.h"
#include "policy/psl.h"

#define VECTOR(name) MOX_SOURCE "/test/vectors/" name

/* --- public suffixes ------------------------------------------------------------------------------ */

// What the list's own test expects, with the private section that we leave out.
static bool is_of_private_section(struct str domain)
{
    return str_eq(domain, STR("uk.com")) || str_ends(domain, STR(".uk.com"));
}

TEST(public_suffix_vectors)
{
    FILE *f = fopen(VECTOR("psl/tests.txt"), "r");
    char line[300];
    size_t n = 0;

    CHECK(f);
    CHECK(psl_load(VECTOR("psl/public_suffix_list.dat")));
    while (fgets(line, sizeof line, f)) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 16);
        struct str text = str_trim(str_of(line)), domain, want;

        if (!text.n || str_starts(text, STR("//")) || !str_cut(text, ' ', &domain, &want))
            continue;
        domain = arena_lower(&a, domain);
        if (str_starts(domain, STR(".")) || str_eq(domain, STR("null"))) // no name
            continue;
        AUTO_EXACT in = exact_copy(domain);
        n++;
        if (is_of_private_section(domain)) {
            CHECK_STR(psl_organizational(in.str), STR("uk.com"));
            continue;
        }
        CHECK_CASE(psl_is_suffix(in.str) == str_eq(want, STR("null")), n);
        CHECK_STR(psl_organizational(in.str), str_eq(want, STR("null")) ? domain : want);
    }
    fclose(f);
    CHECK(n >= 60);
}

/* --- records -------------------------------------------------------------------------------------- */

TEST(dmarc_records)
{
    // What is read and written again; NULL: void.
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"v=DMARC1;p=reject", "v=DMARC1;p=reject"},
        {" v=DMARC1;p=reject", NULL},
        {"V=DMARC1;p=reject", NULL},
        {"v=dmarc1;p=reject", NULL},
        {"v=DMARC1p=reject", NULL},
        {"v=DMARC12;p=reject", NULL},
        {"v = DMARC1 ; P = Reject ; ", "v=DMARC1;p=reject"},
        {"v=DMARC1; sp=none; p=quarantine;;", "v=DMARC1;p=quarantine;sp=none"}, // any order
        {"v=DMARC1", NULL},
        {"v=DMARC1;rua=mailto:a@b.example", "v=DMARC1;p=none;rua=mailto:a@b.example"},
        {"v=DMARC1;p=bad;rua=mailto:a@b.example", "v=DMARC1;p=none;rua=mailto:a@b.example"},
        {"v=DMARC1;p=reject;sp=bad;rua=mailto:a@b", "v=DMARC1;p=none;rua=mailto:a@b"},
        {"v=DMARC1;p=reject;sp=bad", NULL},
        {"v=DMARC1;p=reject;np=bad", NULL},
        {"v=DMARC1;p=reject;sp=bad;rua=none", NULL},
        {"v=DMARC1;p=reject;p=none", NULL}, // an attacker in the middle adds, a typo repeats
        {"v=DMARC1;p=reject;x=1;x=2", "v=DMARC1;p=reject"},
        {"v=DMARC1;p=reject;v=DMARC1", NULL},
        {"v=DMARC1;p=reject;pct", NULL},
        {"v=DMARC1;p=reject;=1", NULL},
        {"v=DMARC1;p=reject;a b=1", NULL},
        {"v=DMARC1;p=reject;pct=0", "v=DMARC1;p=reject;pct=0"},
        {"v=DMARC1;p=reject;pct=100", "v=DMARC1;p=reject"},
        {"v=DMARC1;p=reject;pct=101", NULL},
        {"v=DMARC1;p=reject;pct=18446744073709551617", NULL},
        {"v=DMARC1;p=reject;pct=-1", NULL},
        {"v=DMARC1;p=reject;ri=4294967296", "v=DMARC1;p=reject"}, // means nothing: the default
        {"v=DMARC1;p=reject;ri=3600", "v=DMARC1;p=reject;ri=3600"},
        {"v=DMARC1;p=reject;adkim=s;aspf=x", "v=DMARC1;p=reject;adkim=s"},
        {"v=DMARC1;p=reject;aspf=S;fo=1:d:s;rf=afrf", "v=DMARC1;p=reject;aspf=s;fo=1:d:s;rf=afrf"},
        {"v=DMARC1;p=reject;psd=y;np=reject;t=Y", "v=DMARC1;p=reject;np=reject;psd=y;t=y"},
        {"v=DMARC1;p=reject;psd=n;t=n", "v=DMARC1;p=reject;psd=n"},
        {"v=DMARC1;p=reject;psd=u", "v=DMARC1;p=reject"},
        {"v=DMARC1;p=none;rua=mailto:a@b!10m, https://x/?y ,nonsense,mailto:,:x,mailto:c@d!0k",
         "v=DMARC1;p=none;rua=mailto:a@b!10m,https://x/?y,mailto:c@d"},
        {"v=DMARC1;p=none;ruf=mailto:a@b!1024,mailto:a@b!1025;rua=mailto:a@b!9t",
         "v=DMARC1;p=none;rua=mailto:a@b!9t;ruf=mailto:a@b!1k,mailto:a@b!1025"},
        {"v=DMARC1;p=none;rua=mailto:a@b!99999999999999999t,mailto:a@b!,mailto:a@b!1x,mailto:a@b!1kk",
         "v=DMARC1;p=none"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        AUTO_BUF out = BUF_LIMIT(4096);
        struct dmarc_record record;
        struct err e = {0};

        CHECK_CASE(dmarc_record_parse(&a, in.str, &record, &e) == !!cases[i].out, i);
        CHECK_CASE(cases[i].out || e.kind == ERR_SYNTAX, i);
        if (!cases[i].out)
            continue;
        dmarc_record_put(&out, &record);
        CHECK_STR(buf_str(&out), str_of(cases[i].out));
        for (size_t n = 0; n < in.str.n; n++) { // every truncation, for the sanitizer
            AUTO_EXACT cut = exact_copy(str_sub(in.str, 0, n));

            if (!dmarc_record_parse(&a, cut.str, &record, &e))
                CHECK_CASE(e.kind == ERR_SYNTAX, i);
        }
    }
}

TEST(dmarc_records_are_bounded)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF text = BUF_LIMIT(1 << 20);
    struct dmarc_record record;
    struct err e = {0};

    BUF_PUT(&text, "v=DMARC1;p=none;rua=mailto:a@b");
    for (int i = 0; i < 500; i++)
        BUF_PUT(&text, ",mailto:a@b");
    CHECK(dmarc_record_parse(&a, buf_str(&text), &record, &e) &&
          record.rua.n == REPORT_MAX_URIS);
    while (text.n <= DMARC_MAX_RECORD)
        BUF_PUT(&text, ",mailto:a@b");
    CHECK(!dmarc_record_parse(&a, buf_str(&text), &record, &e) && e.kind == ERR_LIMIT);
}

TEST(report_addresses)
{
    static const struct {
        const char *uri, *localpart, *domain;
    } cases[] = {
        {"mailto:reports@Example.COM", "reports", "example.com"},
        {"MAILTO:a%2cb@b\xc3\xbc" "cher.example", NULL, NULL}, // a URI is ASCII
        {"mailto:a%2Cb@example.com?subject=x", NULL, NULL}, // a comma must be quoted in an address
        {"mailto:a%21b@example.com?subject=x", "a!b", "example.com"},
        {"mailto:a%0d%0aRCPT@example.com", NULL, NULL},
        {"mailto:a%2", NULL, NULL},
        {"mailto:a", NULL, NULL},
        {"mailto:a@[127.0.0.1]", NULL, NULL},
        {"https://example.com/", NULL, NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_EXACT in = exact_copy(str_of(cases[i].uri));
        struct report_uris uris;
        struct str localpart, domain;

        report_uris_parse(&a, in.str, false, &uris);
        if (!uris.n) {
            CHECK_CASE(!cases[i].domain, i);
            continue;
        }
        CHECK_CASE(report_uri_mailto(&a, &uris.items[0], &localpart, &domain) ==
                       !!cases[i].domain, i);
        if (cases[i].domain) {
            CHECK_STR(localpart, str_of(cases[i].localpart));
            CHECK_STR(domain, str_of(cases[i].domain));
        }
    }
}

/* --- evaluation ----------------------------------------------------------------------------------- */

static const char zone_text[] =
    "_dmarc.example.com      TXT v=DMARC1;p=reject;rua=mailto:r@example.com\n"
    "_dmarc.example.com      TXT some other text\n"
    "_dmarc.sub.example.com  TXT v=DMARC1;p=none\n"
    "x.example.com           A   192.0.2.1\n"
    "_dmarc.strict.example   TXT v=DMARC1;p=quarantine;adkim=s;aspf=s\n"
    "_dmarc.two.example      TXT v=DMARC1;p=reject\n"
    "_dmarc.two.example      TXT v=DMARC1;p=none\n"
    "_dmarc.x.two.example    TXT v=DMARC1;p=none\n"
    "_dmarc.broken.example   TXT v=DMARC1;p=reject;p=none\n"
    "_dmarc.slow.example     TXT !timeout\n"
    "_dmarc.forged.example   TXT !bogus\n"
    "_dmarc.sp.example       TXT v=DMARC1;p=none;sp=reject\n"
    "_dmarc.np.example       TXT v=DMARC1;p=none;sp=none;np=reject\n"
    "mx.np.example           MX  10 mx.example.com\n"
    "six.np.example          AAAA 2001:db8::1\n"
    "_dmarc.empty.np.example TXT unrelated\n"
    "_dmarc.test.example     TXT v=DMARC1;p=reject;t=y\n"
    "_dmarc.half.example     TXT v=DMARC1;p=reject;pct=50\n"
    // A company that rents out names, of which one is its own.
    "_dmarc.rent.example       TXT v=DMARC1;p=reject;psd=y\n"
    "_dmarc.tenant.rent.example TXT v=DMARC1;p=reject\n"
    // A part that is an organisation of its own.
    "_dmarc.corp.example       TXT v=DMARC1;p=reject\n"
    "_dmarc.uni.corp.example   TXT v=DMARC1;p=reject;psd=n\n"
    // A public suffix with a policy for those who have none.
    "_dmarc.bank               TXT v=DMARC1;p=none;sp=quarantine;np=reject;psd=y\n"
    "there.bank                A 192.0.2.1\n"
    "_dmarc.org                TXT v=DMARC1;p=reject\n" // without psd=y it is not one
    "_dmarc.l.tree.example     TXT v=DMARC1;p=reject;np=reject\n"
    "_dmarc.l.list.example     TXT v=DMARC1;p=reject\n";

struct question {
    const char *from;
    const char *spf;  // domain, after which comes "!" when it is a temporary error, "-" when it fails
    const char *dkim;
    const char *want; // status, policy domain, policy, "reject" when it is kept out
};

static enum auth_result result_of(struct str *domain)
{
    if (str_ends(*domain, STR("!"))) {
        domain->n--;
        return AUTH_TEMPERROR;
    }
    if (str_ends(*domain, STR("-"))) {
        domain->n--;
        return AUTH_FAIL;
    }
    return AUTH_PASS;
}

static void ask(struct dns_zone *zone, const struct question *question, unsigned sample,
                struct arena *a, struct dmarc_result *out)
{
    struct dns dns = dns_zone_dns(zone);
    struct dmarc_dkim dkim = {.domain = str_of(question->dkim), .selector = STR("s")};
    struct dmarc_input in = {.from = str_of(question->from),
                             .spf_domain = str_of(question->spf),
                             .dkim = &dkim, .n_dkim = dkim.domain.n != 0, .sample = sample};

    in.spf = in.spf_domain.n ? result_of(&in.spf_domain) : AUTH_NONE;
    dkim.result = result_of(&dkim.domain);
    dmarc_evaluate(&dns, a, &in, out);
}

static void check_answers(const struct question *questions, size_t n)
{
    AUTO_ARENA zone_arena = ARENA_LIMIT(1 << 20);
    struct dns_zone zone;
    struct err e = {0};

    CHECK(dns_zone_parse(&zone_arena, STR(zone_text), &zone, &e));
    for (size_t i = 0; i < n; i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 22);
        struct dmarc_result got;

        ask(&zone, &questions[i], 70, &a, &got);
        CHECK_STR(arena_printf(&a, "%s %.*s %s%s", auth_result_name(got.status),
                               STR_FMT(got.found.domain), dmarc_policy_name(got.found.policy),
                               got.is_reject ? " reject" : ""),
                  str_of(questions[i].want));
    }
}

TEST(dmarc_alignment_and_policy)
{
    static const struct question questions[] = {
        {"", "example.com", "example.com", "none  "}, // no From that counts
        {"example.com", "", "", "fail example.com reject reject"},
        {"example.com", "example.com", "", "pass example.com reject"},
        {"example.com", "example.com-", "", "fail example.com reject reject"},
        {"example.com", "bounce.example.com", "", "pass example.com reject"},
        {"example.com", "", "mail.example.com", "pass example.com reject"},
        {"example.com", "", "Mail.EXAMPLE.com", "pass example.com reject"},
        {"example.com", "other.example", "com", "fail example.com reject reject"},
        {"example.com", "notexample.com", "example.com.evil.example",
         "fail example.com reject reject"},
        {"x.example.com", "example.com", "", "pass example.com reject"},
        {"x.example.com", "", "", "fail example.com reject reject"},
        {"sub.example.com", "", "", "fail sub.example.com none"},
        {"strict.example", "a.strict.example", "a.strict.example",
         "fail strict.example quarantine reject"},
        {"strict.example", "strict.example", "", "pass strict.example quarantine"},
        {"strict.example", "", "strict.example", "pass strict.example quarantine"},
        {"a.strict.example", "strict.example", "", "fail strict.example quarantine reject"},
        {"two.example", "", "", "none  "}, // of several records none counts
        {"x.two.example", "", "", "fail x.two.example none"},
        {"broken.example", "broken.example", "", "permerror broken.example "},
        {"x.broken.example", "", "", "permerror broken.example "},
        {"nothing.example", "nothing.example", "", "none  "},
        {"sp.example", "", "", "fail sp.example none"},
        {"x.sp.example", "", "", "fail sp.example reject reject"},
        {"test.example", "", "", "fail test.example reject"},
        {"half.example", "", "", "fail half.example reject"},
    };

    check_answers(questions, COUNT(questions));
}

TEST(dmarc_temporary_errors)
{
    static const struct question questions[] = {
        {"slow.example", "slow.example", "", "temperror slow.example "},
        {"x.slow.example", "", "", "temperror slow.example "},
        {"forged.example", "forged.example", "", "temperror forged.example "}, // no downgrade
        {"example.com", "example.com!", "", "temperror example.com reject"},
        {"example.com", "", "x.example.com!", "temperror example.com reject"},
        {"example.com", "x.example.com!", "example.com", "pass example.com reject"},
        // A stranger's slow DNS is no way past a policy.
        {"example.com", "evil.example!", "evil.example!", "fail example.com reject reject"},
        {"strict.example", "a.strict.example!", "", "fail strict.example quarantine reject"},
    };

    check_answers(questions, COUNT(questions));
}

TEST(dmarc_tags_of_the_tree)
{
    static const struct question questions[] = {
        // np: for a domain that is not there (RFC 9989 4.7).
        {"np.example", "", "", "fail np.example none"},
        {"ghost.np.example", "", "", "fail np.example reject reject"},
        {"empty.np.example", "", "", "fail np.example reject reject"},
        {"mx.np.example", "", "", "fail np.example none"},
        {"six.np.example", "", "", "fail np.example none"},
        // psd=y: tenants are strangers to each other and to the landlord.
        {"tenant.rent.example", "tenant.rent.example", "", "pass tenant.rent.example reject"},
        {"tenant.rent.example", "x.tenant.rent.example", "", "pass tenant.rent.example reject"},
        {"tenant.rent.example", "other.rent.example", "", "fail tenant.rent.example reject reject"},
        {"tenant.rent.example", "", "rent.example", "fail tenant.rent.example reject reject"},
        {"rent.example", "", "tenant.rent.example", "fail rent.example reject reject"},
        {"x.tenant.rent.example", "", "", "fail tenant.rent.example reject reject"},
        {"other.rent.example", "", "", "fail rent.example reject reject"},
        // psd=n: an organisation of its own.
        {"corp.example", "a.corp.example", "", "pass corp.example reject"},
        {"corp.example", "uni.corp.example", "", "fail corp.example reject reject"},
        {"uni.corp.example", "corp.example", "", "fail uni.corp.example reject reject"},
        {"a.uni.corp.example", "b.uni.corp.example", "", "pass uni.corp.example reject"},
        {"a.uni.corp.example", "a.corp.example", "", "fail uni.corp.example reject reject"},
        // A public suffix's own policy.
        {"there.bank", "", "", "fail bank quarantine reject"},
        {"ghost.bank", "", "", "fail bank reject reject"},
        {"there.bank", "there.bank", "", "pass bank quarantine"},
        {"there.bank", "bank", "", "fail bank quarantine reject"},
        {"nobody.org", "", "", "none  "},
        // Between domain and organisation, only who knows the tree walk counts.
        {"x.l.tree.example", "", "", "fail l.tree.example reject reject"},
        {"x.l.list.example", "", "", "none  "},
    };

    check_answers(questions, COUNT(questions));
}

TEST(dmarc_existence_that_nobody_knows)
{
    static const struct question question = {"slow.np.example", "", "", ""};
    AUTO_ARENA a = ARENA_LIMIT(1 << 22);
    struct dns_zone zone;
    struct dmarc_result got;
    struct err e = {0};

    CHECK(dns_zone_parse(&a, STR("_dmarc.np.example TXT v=DMARC1;p=none;np=reject\n"
                                 "slow.np.example MX !timeout\n"), &zone, &e));
    ask(&zone, &question, 0, &a, &got);
    CHECK(got.status == AUTH_TEMPERROR && !got.is_reject && got.found.why.n);
}

TEST(dmarc_sample)
{
    static const struct question question = {"half.example", "", "", ""};
    AUTO_ARENA a = ARENA_LIMIT(1 << 22);
    struct dns_zone zone;
    struct err e = {0};

    CHECK(dns_zone_parse(&a, STR(zone_text), &zone, &e));
    for (unsigned sample = 0; sample < 100; sample++) {
        struct dmarc_result got;

        ask(&zone, &question, sample, &a, &got);
        CHECK_CASE(got.status == AUTH_FAIL && got.is_reject == (sample < 50) &&
                   got.is_sampled_out == (sample >= 50), sample);
    }
}

// However long the name and however many the signatures, questions are few.
TEST(dmarc_questions_are_bounded)
{
    enum { SIGNATURES = 500 };
    AUTO_ARENA a = ARENA_LIMIT(1 << 24);
    AUTO_BUF from = BUF_LIMIT(300);
    struct dmarc_dkim *dkim = ARENA_ARRAY(&a, SIGNATURES, struct dmarc_dkim);
    struct dmarc_input in = {.dkim = dkim, .n_dkim = SIGNATURES};
    struct dmarc_result got;
    struct dmarc_found found;
    struct dns_zone zone;
    struct dns dns;
    struct err e = {0};

    CHECK(dns_zone_parse(&a, STR("_dmarc.deep.example TXT v=DMARC1;p=reject\n"), &zone, &e));
    dns = dns_zone_dns(&zone);
    for (int i = 0; i < 100; i++)
        BUF_PUT(&from, "a.");
    BUF_PUT(&from, "deep.example");
    dmarc_find(&dns, &a, buf_str(&from), &found);
    CHECK_STR(found.domain, STR("deep.example"));
    CHECK(zone.n_lookups <= DMARC_MAX_QUERIES);
    zone.n_lookups = 0;
    in.from = buf_str(&from);
    for (int i = 0; i < SIGNATURES; i++) {
        // Each is one that might be aligned, and must be asked for.
        dkim[i] = (struct dmarc_dkim){.result = AUTH_TEMPERROR};
        dkim[i].domain = arena_printf(&a, "b.b.b.b.b.b.b.b.b.x%d.deep.example", i);
    }
    dmarc_evaluate(&dns, &a, &in, &got);
    CHECK(got.status == AUTH_TEMPERROR);
    CHECK(zone.n_lookups <= DMARC_MAX_QUERIES * (DMARC_MAX_IDENTITIES + 2));
}

TEST(dmarc_authors_are_all_that_readers_may_see)
{
    static const struct {
        const char *header, *domains; // with a blank after each
    } cases[] = {
        {"From: a@Example.COM\r\n", "example.com "},
        {"From: a@one.example\r\nSubject: x\r\nFROM: b@two.example, c@one.example\r\n", "one.example two.example "},
        {"From : a@one.example\r\nFrom: b@two.example\r\n", "one.example two.example "},
        {" From: a@one.example\r\n", "one.example "},
        {"From: group: a@one.example, b@two.example;\r\n", "one.example two.example "},
        {"From:\r\n a@one.example (c@two.example)\r\n", "one.example "},
        {"From: a@one.example.\r\n", "one.example "},
        {"From: a@b\xc3\xbc" "cher.example\r\n", "xn--bcher-kva.example "},
        {"From: a@[127.0.0.1], b, <>, x@-.example\r\n", ""},
        {"Sender: a@one.example\r\nFrom\r\n", ""},
        {"From: a@a.example,a@b.example,a@c.example,a@d.example,a@e.example,a@f.example,a@g.example\r\n",
         "a.example b.example c.example d.example e.example f.example "},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF all = BUF_LIMIT(1000);
        AUTO_EXACT in = exact_copy(str_of(cases[i].header));
        struct str domains[DMARC_MAX_AUTHORS + 1];
        size_t n = dmarc_authors(&a, in.str, domains);

        for (size_t k = 0; k < n; k++)
            buf_printf(&all, "%.*s ", STR_FMT(domains[k]));
        CHECK_STR(buf_str(&all), str_of(cases[i].domains));
    }
}

TEST(dmarc_from_fields)
{
    static const struct {
        const char *header, *domain;
    } cases[] = {
        {"From: a@Example.COM\r\n\r\n", "example.com"},
        {"Subject: x\r\nFROM:\r\n =?utf-8?q?x?= <a@b\xc3\xbc" "cher.example>\r\n",
         "xn--bcher-kva.example"},
        {"Subject: x\r\n", NULL},
        {"From: a@example.com\r\nFrom: b@example.com\r\n", NULL},
        {"From: a@example.com, b@example.com\r\n", NULL},
        {"From: group: a@example.com, b@example.com;\r\n", NULL},
        {"From: \"a@trusted.example\" <b@example.com>\r\n", "example.com"},
        {"From: undisclosed:;\r\n", NULL},
        {"From: <>\r\n", NULL},
        {"From: a\r\n", NULL},
        {"From: a@[127.0.0.1]\r\n", NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_EXACT in = exact_copy(str_of(cases[i].header));
        struct str domain;
        struct err e = {0};

        CHECK_CASE(dmarc_from(&a, in.str, &domain, &e) == !!cases[i].domain, i);
        if (cases[i].domain)
            CHECK_STR(domain, str_of(cases[i].domain));
        else
            CHECK_CASE(e.kind == ERR_SYNTAX, i);
    }
}

/* --- reports -------------------------------------------------------------------------------------- */

TEST(dmarc_intervals)
{
    static const struct {
        uint32_t seconds;
        unsigned hours;
    } cases[] = {{0, 1},      {1, 1},      {3600, 1},   {3601, 2},        {5 * 3600, 4},
                 {7200, 2},   {86399, 24}, {86400, 24}, {UINT32_MAX, 24}, {11 * 3600, 8},
                 {10800, 3},  {7 * 3600, 6}, {12 * 3600, 12}};

    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_CASE(dmarc_interval_hours(cases[i].seconds) == cases[i].hours, i);
}

TEST(dmarc_evaluations)
{
    static const struct dmarc_dkim dkim[] = {{STR_("other.example"), STR_("a"), AUTH_PASS},
                                             {STR_("x.example.com"), STR_("b"), AUTH_FAIL}};
    AUTO_ARENA a = ARENA_LIMIT(1 << 22);
    struct dmarc_input in = {.from = STR_("x.example.com"), .spf_domain = STR_("mx.other.example"),
                             .is_spf_helo = true, .spf = AUTH_SOFTFAIL, .dkim = dkim,
                             .n_dkim = COUNT(dkim)};
    struct dmarc_result result;
    struct dmarc_evaluation got;
    struct dns_zone zone;
    struct dns dns;
    struct err e = {0};

    CHECK(dns_zone_parse(&a, STR(zone_text), &zone, &e));
    dns = dns_zone_dns(&zone);
    dmarc_evaluate(&dns, &a, &in, &result);
    CHECK(dmarc_evaluation_of(&a, &in, &result, STR("forwarded"), false, &got));
    CHECK_STR(got.policy_domain, STR("example.com"));
    CHECK_STR(got.from, STR("x.example.com"));
    CHECK(got.interval_hours == 24 && !got.is_rejected && !got.is_spf_aligned);
    CHECK(got.n_overrides == 1);
    CHECK_STR(got.spf_scope, STR("helo"));
    CHECK(got.n_dkim == 1 && got.dkim[0].result == AUTH_FAIL);
    // Without rua nobody wants to know.
    in.from = STR("sub.example.com");
    dmarc_evaluate(&dns, &a, &in, &result);
    CHECK(!dmarc_evaluation_of(&a, &in, &result, STR(""), false, &got));
}

TEST(dmarc_consent_to_reports)
{
    static const struct {
        const char *to;
        enum dmarc_consent want;
        size_t n_rua;
    } cases[] = {
        {"reports.example.com", DMARC_CONSENT_SAME, 0},
        {"yes.example", DMARC_CONSENT_YES, 0},
        {"victim.example", DMARC_CONSENT_NO, 0},
        {"text.example", DMARC_CONSENT_NO, 0},
        {"slow.example", DMARC_CONSENT_TEMPORARY, 0},
        {"forged.example", DMARC_CONSENT_TEMPORARY, 0},
        {"else.example", DMARC_CONSENT_YES, 1}, // only what stays at that host
    };
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct dns_zone zone;
    struct dns dns;
    struct err e = {0};

    CHECK(dns_zone_parse(
        &a,
        STR("example.com._report._dmarc.yes.example TXT v=DMARC1\n"
            "example.com._report._dmarc.text.example TXT yes please\n"
            "example.com._report._dmarc.slow.example TXT !timeout\n"
            "example.com._report._dmarc.forged.example TXT !bogus\n"
            "example.com._report._dmarc.else.example TXT "
            "v=DMARC1;rua=mailto:x@else.example,mailto:x@victim.example\n"),
        &zone, &e));
    dns = dns_zone_dns(&zone);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct report_uris rua;
        struct str why;

        CHECK_CASE(dmarc_report_consent(&dns, &a, STR("example.com"), str_of(cases[i].to), &rua,
                                        &why) == cases[i].want, i);
        CHECK_CASE(rua.n == cases[i].n_rua, i);
    }
}
