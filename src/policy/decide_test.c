#include <stdio.h>

#include "base/test.h"
#include "policy/decide.h"
#include "policy/subjectpass.h"
#include "policy/why.h"

enum { NOW = 1700000000, DAY = 24 * 3600 };

/* A scripted account: histories by sign, "g" and "j" newest first, each with an age in days. */
struct script {
    struct {
        enum decide_sign sign;
        const char *value, *judged;
        int age_days;
        const char *who; // one letter for each, as localpart
    } history[4];
    const char *written_localpart, *written_domain;
    int written_days;
    struct decide_traffic traffic[3];
    double probability;
    bool is_not_significant, is_broken, is_report, is_closed;
    struct str mailbox; // asked for last
};

static bool history(void *ctx, struct arena *a, struct str mailbox, enum decide_sign sign,
                    struct str value, int64_t since, size_t max, struct decide_judged *out, size_t *n,
                    struct err *e)
{
    struct script *s = ctx;

    (void)a;
    s->mailbox = mailbox;
    *n = 0;
    if (s->is_broken)
        return fail(e, ERR_TEMPORARY, "scripted");
    for (size_t i = 0; i < COUNT(s->history) && s->history[i].value; i++) {
        struct str judged = str_of(s->history[i].judged);

        if (s->history[i].sign != sign || !str_eq(str_of(s->history[i].value), value) ||
            NOW - s->history[i].age_days * DAY < since)
            continue;
        for (size_t k = 0; k < judged.n && *n < max; k++)
            out[(*n)++] = (struct decide_judged){
                judged.p[k] == 'j',
                s->history[i].who ? str_at(s->history[i].who + k, 1) : STR("x")};
    }
    return true;
}

static bool has_written(void *ctx, struct str localpart, struct str domain, bool with_subdomains,
                        int64_t since, bool *out, struct err *e)
{
    struct script *s = ctx;
    struct str own = s->written_domain ? str_of(s->written_domain) : STR("");

    (void)e;
    *out = s->written_domain && NOW - s->written_days * DAY >= since &&
           (!localpart.n || str_eq(localpart, str_of(s->written_localpart))) &&
           (str_eq(domain, own) || (with_subdomains && str_ends(own, domain)));
    return true;
}

static bool traffic(void *ctx, struct str network, int64_t now, struct decide_traffic *out,
                    struct err *e)
{
    struct script *s = ctx;

    (void)now, (void)e;
    *out = s->traffic[str_ends(network, STR("/32")) ? 0 : str_ends(network, STR("/26")) ? 1 : 2];
    return true;
}

static bool key(void *ctx, struct arena *a, struct str address, struct str *out, struct err *e)
{
    (void)ctx, (void)e;
    *out = arena_printf(a, "key of %.*s", STR_FMT(address));
    return true;
}

static bool junk(void *ctx, struct arena *a, struct decide_junk *out, struct err *e)
{
    struct script *s = ctx;

    (void)a;
    *out = (struct decide_junk){s->is_closed, s->probability, !s->is_not_significant, STR("words")};
    return s->probability >= 0 || fail(e, ERR_TEMPORARY, "scripted");
}

static bool report(void *ctx, bool is_tls, bool *is_valid, struct err *e)
{
    (void)is_tls, (void)e;
    *is_valid = ((struct script *)ctx)->is_report;
    return true;
}

/* What a case changes of a message that is taken for want of bad signs. */
struct setup {
    struct decide_account account;
    struct decide_destination destination;
    struct decide_message m;
    struct script script;
};

static void setup(struct setup *s)
{
    *s = (struct setup){
        .account = {.rejects_mailbox = STR("Rejects"), .has_junk_filter = true,
                    .junk_threshold = 0.95},
        .m = {.found = {.is_tls = true, .has_from = true, .from_localpart = STR("jane"),
                        .from_domain = STR("mail.example.org"),
                        .from_org_domain = STR("example.org"), .validation = VALIDATION_STRICT,
                        .mail_from_localpart = STR("bounce"),
                        .mail_from_domain = STR("mail.example.org"), .spf_mail_from = FINDING_PASS,
                        .hello_domain = STR("mx.example.org"), .spf_hello = FINDING_NONE,
                        .dkim_domains = STR("example.org other.test"), .dmarc = FINDING_PASS,
                        .dmarc_wish = DMARC_WISH_REJECT, .is_dmarc_sampled = true,
                        .iprev = FINDING_PASS, .iprev_name = STR("mx.example.org")},
              .reverse_path = STR("bounce@mail.example.org"), .rcpt = STR("me@here.test"),
              .address = STR("me@here.test"), .mailbox = STR("Inbox"), .remote_ip = STR("192.0.2.70"),
              .header = STR("From: jane@mail.example.org\r\nTo: me@here.test\r\nSubject: hello\r\n"),
              .size = 1000, .now_unix = NOW},
    };
}

// Valid until the next one.
static const struct decision *run(struct arena *a, struct setup *s)
{
    static struct decision out;
    struct decide_source source = {&s->script, history, has_written, traffic, key, junk, report};

    decide(a, &s->account, &s->destination, &s->m, &source, &out);
    return &out;
}

#define UNPROVED 1   // From is not validated
#define NO_SPF 2     // SPF fails
#define BAD_IPREV 4
#define NO_FROM 8
#define NO_DKIM 16
#define HELLO 32     // SPF of EHLO passes, that of MAIL FROM does not

static void apply(struct setup *s, int change)
{
    struct decide_findings *f = &s->m.found;

    if (change & UNPROVED) {
        f->validation = VALIDATION_NONE;
        f->dmarc = FINDING_NONE;
    }
    if (change & NO_SPF)
        f->spf_mail_from = FINDING_SOFTFAIL;
    if (change & BAD_IPREV)
        f->iprev = FINDING_FAIL;
    if (change & NO_FROM)
        f->has_from = false;
    if (change & NO_DKIM)
        f->dkim_domains = STR("");
    if (change & HELLO) {
        f->spf_mail_from = FINDING_NEUTRAL;
        f->spf_hello = FINDING_PASS;
    }
}

TEST(decide_reputation_by_steps)
{
#define H1(s, v, j, d) {{s, v, j, d, NULL}}
#define WHO(s, v, j, d, w) {{s, v, j, d, w}}
    static const char full[] = "jane@mail.example.org", domain[] = "mail.example.org",
                      org[] = "example.org";
    static const struct {
        int change;
        struct script script;
        unsigned code;
        const char *reason;
    } cases[] = {
        // 1: the address, the last two of three years
        {0, {.history = H1(DECIDE_FROM_PROVED, full, "g", 1)}, 250, "msgfromfull"},
        {0, {.history = H1(DECIDE_FROM_PROVED, full, "j", 1)}, 451, "msgfromfull"},
        {0, {.history = H1(DECIDE_FROM_PROVED, full, "jj", 1)}, 451, "msgfromfull"},
        {0, {.history = H1(DECIDE_FROM_PROVED, full, "jgj", 1)}, 250, "msgfromfull"},
        {0, {.history = H1(DECIDE_FROM_PROVED, full, "gjj", 1)}, 250, "msgfromfull"},
        {0, {.history = H1(DECIDE_FROM_PROVED, full, "j", 3 * 365)}, 451, "msgfromfull"},
        {0, {.history = H1(DECIDE_FROM_PROVED, full, "j", 3 * 365 + 1)}, 250, "no-bad-signals"},
        {0, {.history = H1(DECIDE_FROM, full, "jj", 1)}, 250, "no-bad-signals"},
        // without validation it is not conclusive
        {UNPROVED, {.history = H1(DECIDE_FROM, full, "j", 1)}, 250, "no-bad-signals"},
        // 2: formerly validated
        {UNPROVED, {.history = H1(DECIDE_FROM_PROVED, full, "gg", 1)}, 250, "no-bad-signals"},
        {UNPROVED, {.history = H1(DECIDE_FROM_PROVED, full, "jj", 1)}, 451, "msgfromfull"},
        // 3: written to
        {0, {.written_localpart = "jane", .written_domain = domain, .written_days = 3 * 365}, 250,
         "msgtofull"},
        {0, {.written_localpart = "jane", .written_domain = domain, .written_days = 3 * 365 + 1}, 250,
         "no-bad-signals"},
        {UNPROVED | NO_SPF, {.written_localpart = "jane", .written_domain = domain}, 250, "msgtofull"},
        // 4: the domain; more than 80 % good
        {0, {.history = H1(DECIDE_FROM_DOMAIN_PROVED, domain, "g", 2 * 365)}, 250, "msgfromdomain"},
        {0, {.history = H1(DECIDE_FROM_DOMAIN_PROVED, domain, "g", 2 * 365 + 1)}, 250, "no-bad-signals"},
        {0, {.history = H1(DECIDE_FROM_DOMAIN_PROVED, domain, "gggggj", 1)}, 250, "msgfromdomain"},
        {NO_SPF, {.history = H1(DECIDE_FROM_DOMAIN_PROVED, domain, "ggggj", 1)}, 250, "no-bad-signals"},
        {0, {.history = WHO(DECIDE_FROM_DOMAIN_PROVED, domain, "jjj", 1, "abc")}, 451, "msgfromdomain"},
        {0, {.history = WHO(DECIDE_FROM_DOMAIN_PROVED, domain, "jjj", 1, "aba")}, 250, "no-bad-signals"},
        {UNPROVED, {.history = H1(DECIDE_FROM_DOMAIN_PROVED, domain, "jj", 1)}, 451, "msgfromdomain"},
        {UNPROVED, {.history = H1(DECIDE_FROM_DOMAIN_PROVED, domain, "jg", 1)}, 250, "no-bad-signals"},
        {UNPROVED, {.history = H1(DECIDE_FROM_DOMAIN, domain, "g", 1)}, 250, "msgfromdomain"},
        {NO_SPF, {.written_localpart = "joe", .written_domain = domain, .written_days = 730}, 250,
         "msgtodomain"},
        {0, {.history = H1(DECIDE_FROM_ORG_PROVED, org, "g", 1)}, 250, "msgfromorgdomain"},
        {0, {.history = WHO(DECIDE_FROM_ORG_PROVED, org, "jjj", 1, "abc")}, 451, "msgfromorgdomain"},
        {0, {.written_localpart = "joe", .written_domain = "www.example.org"}, 250, "msgtoorgdomain"},
        {0, {.written_localpart = "joe", .written_domain = "www.example.org", .written_days = 731}, 250,
         "no-bad-signals"},
        // the domain decides before the signature, also when it knows nothing for sure
        {NO_SPF, {.history = {{DECIDE_FROM_DOMAIN_PROVED, domain, "gj", 1, NULL},
                              {DECIDE_DKIM, org, "jj", 1, NULL}}}, 250, "no-bad-signals"},
        // B: signatures and SPF
        {0, {.history = H1(DECIDE_DKIM, "other.test", "g", 182)}, 250, "dkimspf"},
        {0, {.history = H1(DECIDE_DKIM, "other.test", "g", 183)}, 250, "no-bad-signals"},
        {0, {.history = H1(DECIDE_DKIM, org, "j", 1)}, 250, "no-bad-signals"},
        {0, {.history = H1(DECIDE_DKIM, org, "jj", 1)}, 451, "dkimspf"},
        {0, {.history = H1(DECIDE_DKIM, org, "gggggggggj", 1)}, 250, "no-bad-signals"}, // 0.1 is not below
        {0, {.history = H1(DECIDE_DKIM, org, "jjjjjjjjjg", 1)}, 250, "no-bad-signals"}, // 0.9 not above
        {0, {.history = {{DECIDE_DKIM, org, "jj", 1, NULL}, {DECIDE_DKIM, "other.test", "g", 1, NULL}}},
         250, "no-bad-signals"},
        {0, {.history = H1(DECIDE_MAIL_FROM, "bounce@mail.example.org", "jj", 1)}, 451, "dkimspf"},
        {0, {.history = H1(DECIDE_MAIL_FROM_DOMAIN, domain, "g", 1)}, 250, "dkimspf"},
        {0, {.history = {{DECIDE_MAIL_FROM, "bounce@mail.example.org", "jj", 1, NULL},
                         {DECIDE_MAIL_FROM_DOMAIN, domain, "gg", 1, NULL}}}, 451, "dkimspf"},
        {HELLO, {.history = H1(DECIDE_HELLO, "mx.example.org", "g", 1)}, 250, "dkimspf"},
        {0, {.history = H1(DECIDE_HELLO, "mx.example.org", "jj", 1)}, 250, "no-bad-signals"},
        {NO_SPF, {.history = H1(DECIDE_MAIL_FROM, "bounce@mail.example.org", "g", 1)}, 451, "spf-policy"},
        {NO_FROM, {.history = H1(DECIDE_DKIM, org, "g", 1)}, 250, "dkimspf"},
        // C: networks
        {0, {.history = H1(DECIDE_IP1, "192.0.2.70/32", "gg", 91)}, 250, "ip1"},
        {0, {.history = H1(DECIDE_IP1, "192.0.2.70/32", "gg", 92)}, 250, "no-bad-signals"},
        {0, {.history = H1(DECIDE_IP1, "192.0.2.70/32", "j", 1)}, 250, "no-bad-signals"},
        {BAD_IPREV, {.history = H1(DECIDE_IP1, "192.0.2.70/32", "j", 1)}, 451, "iprev"},
        {0, {.history = H1(DECIDE_IP1, "192.0.2.70/32", "jj", 1)}, 451, "ip1"},
        {0, {.history = H1(DECIDE_IP2, "192.0.2.64/26", "jjjj", 1)}, 250, "no-bad-signals"},
        {0, {.history = H1(DECIDE_IP2, "192.0.2.64/26", "jjjjj", 1)}, 451, "ip2"},
        {0, {.history = H1(DECIDE_IP3, "192.0.0.0/21", "jjjjjjjjj", 1)}, 250, "no-bad-signals"},
        {0, {.history = H1(DECIDE_IP3, "192.0.0.0/21", "jjjjjjjjjg", 1)}, 451, "ip3"}, // 0.9 is enough
        {0, {.history = H1(DECIDE_IP3, "192.0.0.0/21", "gggggggggj", 1)}, 250, "ip3"},
        {BAD_IPREV, {.history = H1(DECIDE_IP1, "192.0.2.70/32", "jjjg", 1)}, 250, "no-bad-signals"},
        {BAD_IPREV, {.history = H1(DECIDE_IP1, "192.0.2.70/32", "jjjjg", 1)}, 451, "iprev"},
        // a smaller network decides before a larger one
        {0, {.history = {{DECIDE_IP1, "192.0.2.70/32", "gg", 1, NULL},
                         {DECIDE_IP2, "192.0.2.64/26", "jjjjj", 1, NULL}}}, 250, "ip1"},
        // D
        {NO_SPF, {.probability = 0}, 451, "spf-policy"},
        {0, {.is_broken = true}, 451, "reputation-error"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        struct setup s;
        const struct decision *d;

        setup(&s);
        s.script = cases[i].script;
        apply(&s, cases[i].change);
        d = run(&a, &s);
        if (!str_eq(d->reason, str_of(cases[i].reason)))
            printf("case %zu: %.*s\n%.*s", i, STR_FMT(d->reason), STR_FMT(d->why));
        CHECK_CASE(str_eq(d->reason, str_of(cases[i].reason)), i);
        CHECK_CASE(d->code == cases[i].code && d->is_accepted == (cases[i].code == 250), i);
        CHECK_CASE(d->is_slow == (!d->is_accepted && !cases[i].script.is_broken), i);
        CHECK_CASE(str_eq(d->mailbox, d->is_accepted ? STR("Inbox") : STR("Rejects")), i);
        CHECK_CASE(d->is_first_time == str_eq(d->reason, STR("no-bad-signals")), i);
        CHECK_CASE(str_eq(s.script.mailbox, STR("Inbox")) || d->reason.n, i);
    }
}

TEST(decide_limits)
{
    static const struct {
        size_t at;
        struct decide_traffic t;
        bool ok;
    } cases[] = {
        {0, {499, 0, 9999, 0}, true},       {0, {500, 0, 500, 0}, false},
        {0, {0, 0, 10000, 0}, false},       {1, {1499, 0, 29999, 0}, true},
        {1, {1500, 0, 0, 0}, false},        {1, {0, 0, 30000, 0}, false},
        {2, {4499, 0, 89999, 0}, true},     {2, {4500, 0, 0, 0}, false},
        {2, {0, 0, 90000, 0}, false},       {0, {0, (1000ull << 20) - 1000, 0, 0}, true},
        {0, {0, (1000ull << 20) - 999, 0, 0}, false},
        {0, {0, 0, 0, (3000ull << 20) - 1000}, true},
        {0, {0, 0, 0, (3000ull << 20) - 999}, false},
        {2, {0, 0, 0, (27000ull << 20) - 999}, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        struct setup s;
        const struct decision *d;

        setup(&s);
        s.script.traffic[cases[i].at] = cases[i].t;
        d = run(&a, &s);
        CHECK_CASE(d->is_accepted == cases[i].ok, i);
        CHECK_CASE(cases[i].ok || (str_eq(d->reason, STR("high-rate")) && d->code == 452 &&
                                   !d->is_reject && d->is_slow), i);
    }
}

TEST(decide_content)
{
    static const struct {
        double probability, threshold, jitter;
        bool no_tls, bad_iprev, not_addressed, not_significant;
        unsigned code;
        const char *reason;
    } cases[] = {
        {0.95, 0.95, 0, false, false, false, false, 250, "no-bad-signals"},
        {0.951, 0.95, 0, false, false, false, false, 451, "junk-content"},
        {0.951, 0.95, 0.04, false, false, false, false, 250, "no-bad-signals"},
        {0.92, 0.95, -0.04, false, false, false, false, 451, "junk-content"},
        {0.99, 0.95, 0, false, false, false, true, 250, "no-bad-signals"},
        {0.25, 0.95, 0, true, false, false, false, 250, "no-bad-signals"},
        {0.26, 0.95, 0, true, false, false, false, 451, "junk-content-strict"},
        {0.26, 0.95, 0, false, true, false, false, 451, "junk-content-strict"},
        {0.26, 0.95, 0, false, true, false, true, 451, "junk-content-strict"},
        {0.26, 0.95, 0, false, false, true, false, 451, "junk-content-strict"},
        {0.26, 0.95, 0, false, false, true, true, 250, "no-bad-signals"},
        {0.22, 0.20, 0, true, false, false, false, 451, "junk-content"}, // a lower one stays
        {-1, 0.95, 0, false, false, false, false, 451, "junk-classify-error"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        struct setup s;
        const struct decision *d;

        setup(&s);
        s.account.junk_threshold = cases[i].threshold;
        s.m.jitter = cases[i].jitter;
        s.m.found.is_tls = !cases[i].no_tls;
        if (cases[i].bad_iprev)
            s.m.found.iprev = FINDING_TEMPERROR;
        if (cases[i].not_addressed)
            s.m.rcpt = STR("other@here.test");
        s.script.probability = cases[i].probability;
        s.script.is_not_significant = cases[i].not_significant;
        d = run(&a, &s);
        CHECK_CASE(str_eq(d->reason, str_of(cases[i].reason)) && d->code == cases[i].code, i);
    }
}

TEST(decide_order_of_the_rest)
{
    AUTO_ARENA a = ARENA_LIMIT(8 << 20);
    struct setup s;
    const struct decision *d;
    struct str token;

    // DMARC: reject and quarantine, when the message is in the sample.
    setup(&s);
    s.m.found.dmarc = FINDING_FAIL;
    s.m.found.dmarc_wish = DMARC_WISH_QUARANTINE;
    d = run(&a, &s);
    CHECK(d->code == 550 && str_eq(d->reason, STR("dmarc-policy")) && d->is_reject);
    CHECK_STR(str_of(d->enhanced), STR("5.7.26"));
    CHECK_STR(d->destined, STR("Inbox"));
    s.m.found.is_dmarc_sampled = false;
    CHECK(run(&a, &s)->is_accepted);
    s.m.found.is_dmarc_sampled = true;
    s.m.found.dmarc_wish = DMARC_WISH_NONE;
    CHECK(run(&a, &s)->is_accepted);

    // Authentication required.
    setup(&s);
    s.destination.auth_required = STR("prove yourself");
    CHECK(run(&a, &s)->is_accepted);
    s.m.found.validation = VALIDATION_NONE;
    s.m.found.dmarc = FINDING_NONE;
    d = run(&a, &s);
    CHECK(d->code == 550 && str_eq(d->reason, STR("msg-auth-required")));
    CHECK_STR(d->text, STR("prove yourself"));
    s.m.found.dmarc = FINDING_TEMPERROR;
    CHECK(run(&a, &s)->code == 451);

    // Lists of block addresses, only when nothing else refuses.
    setup(&s);
    s.m.found.dnsbl_zones = STR("bl.test");
    d = run(&a, &s);
    CHECK(d->code == 451 && str_eq(d->reason, STR("dns-blocklisted")));
    s.script.probability = 1;
    CHECK_STR(run(&a, &s)->reason, STR("junk-content"));

    // A token for those whom nobody knows and who are proved; and its use.
    setup(&s);
    s.account.subjectpass_seconds = 12 * 3600;
    s.m.found.dnsbl_zones = STR("bl.test");
    d = run(&a, &s);
    CHECK(d->code == 550 && str_eq(d->reason, STR("give-subjectpass")));
    token = subjectpass_token(&a, STR("key of me@here.test"), STR("jane@mail.example.org"), NOW);
    CHECK(str_find_str(d->text, token) >= 0);
    s.m.header = arena_printf(&a, "Subject: it is me %.*s\r\nTo: me@here.test\r\n", STR_FMT(token));
    CHECK_STR(run(&a, &s)->reason, STR("subjectpass"));
    s.m.now_unix = NOW + 12 * 3600 + 256;
    CHECK_STR(run(&a, &s)->reason, STR("give-subjectpass"));
    s.m.found.dmarc = FINDING_NONE;
    CHECK_STR(run(&a, &s)->reason, STR("dns-blocklisted"));
    // Moderate junk gets one, other junk none.
    setup(&s);
    s.account.subjectpass_seconds = 3600;
    s.m.found.is_tls = false;
    s.m.found.dmarc = FINDING_PASS;
    s.script.probability = 0.3;
    CHECK_STR(run(&a, &s)->reason, STR("junk-content-strict"));

    // A filter that cannot be read is not the message's fault, and nobody is kept waiting for it.
    setup(&s);
    s.script.probability = -1;
    s.script.is_closed = true;
    d = run(&a, &s);
    CHECK(d->code == 451 && str_eq(d->reason, STR("junk-filter-error")) && !d->is_slow);

    // Reports.
    setup(&s);
    s.destination.is_dmarc_report = true;
    s.script.is_report = true;
    s.script.probability = 1;
    d = run(&a, &s);
    CHECK(d->is_accepted && str_eq(d->reason, STR("reporting")) && !d->is_first_time);
    s.script.is_report = false;
    CHECK_STR(run(&a, &s)->reason, STR("junk-content"));

    // Introbox: for senders who are not known by address.
    setup(&s);
    s.account.introbox = STR("Introbox");
    d = run(&a, &s);
    CHECK_STR(d->mailbox, STR("Introbox"));
    CHECK_STR(d->destined, STR("Inbox"));
    s.script = (struct script){.history = {{DECIDE_FROM_PROVED, "jane@mail.example.org", "g", 1, NULL}}};
    d = run(&a, &s);
    CHECK_STR(d->mailbox, STR("Inbox"));
    CHECK(!d->destined.n);
    s.script = (struct script){0};
    s.m.mailbox = STR("Work");
    CHECK_STR(run(&a, &s)->mailbox, STR("Work"));

    // No delay where the account wants none.
    setup(&s);
    s.account.no_first_time_delay = true;
    CHECK(run(&a, &s)->is_accepted && !run(&a, &s)->is_first_time);
}

static struct regex *regex(const char *pattern)
{
    struct err e = {0};
    struct regex *r = regex_new(str_of(pattern), &e);

    CHECK(r != NULL);
    return r;
}

TEST(decide_rulesets)
{
    AUTO_ARENA a = ARENA_LIMIT(8 << 20);
    struct regex *from = regex("^bounce@"), *msg = regex("^jane@"), *name = regex("^list-id$"),
                 *value = regex("^<chat\\."), *slow = regex("(a+)+$");
    struct decide_header_rule header = {name, value}, costly = {name, slow};
    struct decide_ruleset r = {.mailbox = STR("Lists")};
    struct setup s;
    const struct decision *d;

#define RUN(set) (setup(&s), r = (struct decide_ruleset){.mailbox = STR("Lists")}, (set),           \
                  s.destination.rulesets = &r, s.destination.n_rulesets = 1, d = run(&a, &s))
    RUN(r.mail_from = from);
    CHECK_STR(d->mailbox, STR("Lists"));
    RUN(r.mail_from = msg);
    CHECK_STR(d->mailbox, STR("Inbox"));
    RUN((r.msg_from = msg, r.mail_from = from));
    CHECK_STR(d->mailbox, STR("Lists"));
    RUN((r.msg_from = msg, s.m.found.has_from = false));
    CHECK_STR(d->mailbox, STR("Inbox"));
    // By SPF, a parent of it, a signature; not half of a label.
    RUN(r.verified_domain = STR("example.org"));
    CHECK_STR(d->mailbox, STR("Lists"));
    RUN((r.verified_domain = STR("other.test"), s.m.found.spf_mail_from = FINDING_FAIL));
    CHECK_STR(d->destined, STR("Lists"));
    RUN(r.verified_domain = STR("ample.org"));
    CHECK_STR(d->mailbox, STR("Inbox"));
    RUN((r.verified_domain = STR("mail.example.org"), s.m.found.spf_mail_from = FINDING_NEUTRAL));
    CHECK_STR(d->mailbox, STR("Inbox"));
    // Any field of that name, in lower case and trimmed.
    RUN((r.headers = &header, r.n_headers = 1));
    CHECK_STR(d->mailbox, STR("Inbox"));
    RUN((r.headers = &header, r.n_headers = 1,
         s.m.header = STR("LIST-ID: x\r\nList-Id:  <CHAT.\r\n example>\r\n")));
    CHECK_STR(d->mailbox, STR("Lists"));
    // An expression that takes too long matches nothing.
    RUN((r.headers = &costly, r.n_headers = 1,
         s.m.header = STR("List-Id: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\r\n")));
    CHECK_STR(d->mailbox, STR("Inbox"));
    // A list that is proved is not judged, not even by its domain's policy.
    RUN((r.mail_from = from, r.list_allow_domain = STR("example.org"), s.script.probability = 1,
         s.m.found.dmarc = FINDING_FAIL));
    CHECK(d->is_accepted && d->is_list && d->dmarc_override == DMARC_MAILING_LIST);
    CHECK_STR(d->reason, STR("list-allow"));
    RUN((r.mail_from = from, r.list_allow_domain = STR("org"), s.script.probability = 1));
    CHECK_STR(d->reason, STR("junk-content"));
    // A forward: no policy, no network, no domain of the forwarder.
    RUN((r.mail_from = from, r.verified_domain = STR("example.org"), r.is_forward = true,
         s.m.found.dmarc = FINDING_FAIL, s.m.rcpt = STR("x@y.test"), s.script.probability = 0.5,
         s.account.introbox = STR("Introbox")));
    CHECK(d->is_accepted && d->is_forward && d->dmarc_override == DMARC_FORWARDED && !d->is_first_time);
    CHECK(!d->networks[0].n && str_eq(d->mailbox, STR("Lists")));
    for (size_t i = 0; i < d->n_signs; i++)
        CHECK(d->signs[i].sign < DECIDE_DKIM ||
              (d->signs[i].sign == DECIDE_DKIM && str_eq(d->signs[i].value, STR("other.test"))));
    // A refusal that is taken all the same.
    RUN((r.mail_from = from, r.accept_rejects_mailbox = STR("Bad"), s.script.probability = 1));
    CHECK(d->is_accepted && d->is_reject && d->code == 250);
    CHECK_STR(d->mailbox, STR("Bad"));
    CHECK_STR(d->destined, STR("Lists"));
    CHECK_STR(d->reason, STR("junk-content"));
    regex_free(from);
    regex_free(msg);
    regex_free(name);
    regex_free(value);
    regex_free(slow);
}

TEST(decide_signs_and_networks)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct setup s;
    const struct decision *d;
    struct str n[DECIDE_NETWORKS];

    setup(&s);
    d = run(&a, &s);
    CHECK(d->n_signs == 10);
    CHECK(d->signs[1].sign == DECIDE_FROM_DOMAIN_PROVED && str_eq(d->signs[1].who, STR("jane")));
    apply(&s, UNPROVED | NO_SPF | NO_DKIM);
    d = run(&a, &s);
    CHECK(d->n_signs == 6 && d->signs[0].sign == DECIDE_FROM);
    decide_networks(&a, STR("2001:db8:1:2:3:4:5:6"), n);
    CHECK_STR(n[0], STR("2001:db8:1:2::/64"));
    CHECK_STR(n[1], STR("2001:db8:1::/48"));
    CHECK_STR(n[2], STR("2001:db8::/32"));
    decide_networks(&a, STR("nonsense"), n);
    CHECK(!n[0].n && !n[2].n);
}

TEST(subjectpass)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct str token = subjectpass_token(&a, STR("key"), STR("a@x"), NOW);
    struct str subject = arena_printf(&a, "Re: (pass:x) %.*s (pass:", STR_FMT(token));

    CHECK(token.n == 6 + 22 + 1);
    CHECK(subjectpass_verify(subject, STR("key"), STR("a@x"), NOW, 3600));
    CHECK(subjectpass_verify(subject, STR("key"), STR("a@x"), NOW + 3600 - 256, 3600));
    CHECK(!subjectpass_verify(subject, STR("key"), STR("a@x"), NOW + 3600 + 256, 3600));
    CHECK(!subjectpass_verify(subject, STR("key"), STR("a@x"), NOW - 256, 3600));
    CHECK(!subjectpass_verify(subject, STR("key"), STR("b@x"), NOW, 3600));
    CHECK(!subjectpass_verify(subject, STR("kez"), STR("a@x"), NOW, 3600));
    for (size_t i = 0; i < token.n; i++)
        CHECK_CASE(!subjectpass_verify(str_sub(token, 0, i), STR("key"), STR("a@x"), NOW, 3600), i);
}

TEST(why_records)
{
    AUTO_BUF b = BUF_LIMIT(1000);
    struct str left, check, result, evidence;

    why_put(&b, STR("a"), STR("b\tc"), STR("d\ne"));
    BUF_PUT(&b, "x\ny\tz");
    left = buf_str(&b);
    CHECK(why_next(&left, &check, &result, &evidence));
    CHECK_STR(check, STR("a"));
    CHECK_STR(result, STR("b c"));
    CHECK_STR(evidence, STR("d e"));
    CHECK(why_next(&left, &check, &result, &evidence) && str_eq(check, STR("x")) && !result.n);
    CHECK(why_next(&left, &check, &result, &evidence) && str_eq(result, STR("z")) && !evidence.n);
    CHECK(!why_next(&left, &check, &result, &evidence));
}
