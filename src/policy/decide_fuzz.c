/*
 * A decision about a message of which anything was found, for an account that remembers anything and has rules of
 * every kind: there is a verdict with a reason, and its record reads as it was written. The input: 24 bytes that
 * choose, texts that end with NUL, and the header as a stranger wrote it.
 */
#include <stdint.h>

#include "base/cur.h"
#include "base/die.h"
#include "policy/decide.h"
#include "policy/subjectpass.h"
#include "policy/why.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHOICES = 24, ANSWERS_AT = 12, TROUBLE = 250 };

/* What the account remembers: the last of the choices, one after the other, and again. */
struct memory {
    struct str choices;
    size_t at;
};

static unsigned next(void *ctx)
{
    struct memory *m = ctx;

    if (m->at >= m->choices.n)
        m->at = m->choices.n > ANSWERS_AT ? ANSWERS_AT : 0;
    return m->at < m->choices.n ? (unsigned char)m->choices.p[m->at++] : 0;
}

static bool is_well(unsigned answer, struct err *e)
{
    return answer < TROUBLE || fail(e, ERR_TEMPORARY, "it cannot be read");
}

static bool history(void *ctx, struct arena *a, struct str mailbox, enum decide_sign sign, struct str value,
                    int64_t since, size_t max, struct decide_judged *out, size_t *n, struct err *e)
{
    static const struct str who[] = {STR_("a"), STR_("b"), STR_("c"), STR_("d")};
    unsigned answer = next(ctx);

    (void)a, (void)mailbox, (void)sign, (void)value, (void)since;
    // Few, or as many as there may be; all junk, none, or a mixture.
    *n = answer & 8 ? max : answer & 7;
    *n = *n < max ? *n : max;
    for (size_t i = 0; i < *n; i++)
        out[i] = (struct decide_judged){answer & 16 ? i & 1 : answer & 32, answer & 64 ? who[i % COUNT(who)] : who[0]};
    return is_well(answer, e);
}

static bool has_written(void *ctx, struct str localpart, struct str domain, bool with_subdomains, int64_t since,
                        bool *out, struct err *e)
{
    unsigned answer = next(ctx);

    (void)localpart, (void)domain, (void)with_subdomains, (void)since;
    *out = answer % 4 == 3;
    return is_well(answer, e);
}

static bool traffic(void *ctx, struct str network, int64_t now, struct decide_traffic *out, struct err *e)
{
    unsigned answer = next(ctx);
    uint64_t many = answer % 8 == 7 ? UINT64_MAX : (uint64_t)(answer % 8) << 20;

    (void)network, (void)now;
    *out = (struct decide_traffic){answer & 8 ? many : 0, answer & 16 ? many : 0, answer & 32 ? many : 0,
                                   answer & 64 ? many : 0};
    return is_well(answer, e);
}

static bool one_key(void *ctx, struct arena *a, struct str address, struct str *out, struct err *e)
{
    unsigned answer = next(ctx);

    (void)a, (void)address;
    *out = STR("0123456789abcdef");
    return is_well(answer, e);
}

static bool junk(void *ctx, struct arena *a, struct decide_junk *out, struct err *e)
{
    unsigned answer = next(ctx);

    (void)a;
    *out = (struct decide_junk){.is_closed = answer == TROUBLE, .probability = (answer & 127) / 127.0,
                                .is_significant = answer & 128, .words = STR("word 0.9, other 0.1")};
    return is_well(answer, e);
}

static bool report(void *ctx, bool is_tls, bool *is_valid, struct err *e)
{
    unsigned answer = next(ctx);

    (void)is_tls;
    *is_valid = answer & 1;
    return is_well(answer, e);
}

static struct str text(struct str *rest)
{
    struct str out = {0};

    (void)!str_next(rest, '\0', &out);
    return out;
}

static struct decide_findings findings_of(struct str c, struct str *rest)
{
    const unsigned char *b = (const unsigned char *)c.p;

    return (struct decide_findings){
        .is_tls = b[0] & 1, .is_smtputf8 = b[0] & 2, .has_from = b[0] & 4, .is_dmarc_sampled = b[0] & 8,
        .validation = (enum validation)(b[1] % (VALIDATION_STRICT + 1)),
        .spf_mail_from = (enum finding)(b[2] % (FINDING_PERMERROR + 1)),
        .spf_hello = (enum finding)(b[3] % (FINDING_PERMERROR + 1)),
        .dmarc = (enum finding)(b[4] % (FINDING_PERMERROR + 1)),
        .dmarc_wish = (enum dmarc_wish)(b[5] % (DMARC_WISH_REJECT + 1)),
        .iprev = (enum finding)(b[6] % (FINDING_PERMERROR + 1)),
        .arc = (enum finding)(b[7] % (FINDING_PERMERROR + 1)), .arc_sets = b[7] >> 3,
        .from_localpart = text(rest), .from_domain = text(rest), .from_org_domain = text(rest),
        .mail_from_localpart = text(rest), .mail_from_domain = text(rest), .hello_domain = text(rest),
        .dkim_domains = text(rest), .iprev_name = text(rest), .dnsbl_zones = text(rest), .arc_domain = text(rest)};
}

// A line of anything has no more in it than there was.
static void check_lines(struct str record)
{
    struct str check, result, evidence;

    for (struct str left = record; why_next(&left, &check, &result, &evidence);)
        if (check.n + result.n + evidence.n > record.n)
            die("longer than the input");
}

static void check_record(struct str record)
{
    struct str check = {0}, result, evidence;

    for (struct str left = record; why_next(&left, &check, &result, &evidence);)
        if (!check.n)
            die("a line without a check");
    if (!str_eq(check, STR("decision")))
        die("the record does not end with the decision");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct str input = str_at(data, size), choices = str_sub(input, 0, CHOICES), rest = str_from(input, CHOICES);
    struct memory memory = {choices, ANSWERS_AT};
    const struct decide_source source = {&memory, history, has_written, traffic, one_key, junk,
                                         size > CHOICES && data[8] & 1 ? report : NULL};
    struct err e = {0};
    struct decide_header_rule header = {regex_new(STR("^list-id$"), &e), regex_new(STR("^<(a+)+b"), &e)};
    struct regex *address = regex_new(STR("@x\\.test$"), &e);
    static struct decision out;

    if (!header.name || !header.value || !address)
        die("an expression is none");
    if (choices.n == CHOICES) {
        const uint8_t *b = data;
        struct decide_ruleset rulesets[] = {
            {.mail_from = b[9] & 1 ? address : NULL, .msg_from = b[9] & 2 ? address : NULL, .headers = &header,
             .n_headers = b[9] & 4 ? 1 : 0, .verified_domain = b[9] & 8 ? STR("x.test") : STR(""),
             .is_forward = b[9] & 16, .list_allow_domain = b[9] & 32 ? STR("x.test") : STR(""),
             .accept_rejects_mailbox = b[9] & 64 ? STR("Taken") : STR(""), .mailbox = STR("List")},
            {.headers = &header, .n_headers = 1, .mailbox = STR("List")}};
        struct decide_destination destination = {
            .auth_required = b[8] & 2 ? STR("nobody unknown") : STR(""), .is_dmarc_report = b[8] & 4,
            .is_tls_report = b[8] & 8, .rulesets = rulesets, .n_rulesets = b[8] & 16 ? COUNT(rulesets) : 0};
        struct decide_account account = {
            .rejects_mailbox = b[10] & 1 ? STR("Rejects") : STR(""), .introbox = b[10] & 2 ? STR("Intro") : STR(""),
            .no_first_time_delay = b[10] & 4, .has_junk_filter = b[10] & 8, .junk_threshold = 0.6,
            .subjectpass_seconds = b[10] & 16 ? 3600 : 0};
        struct decide_message m = {.found = findings_of(choices, &rest), .mailbox = STR("Inbox"),
                                   .now_unix = 1700000000, .jitter = (b[11] % 11 - 5) / 100.0};

        m.reverse_path = text(&rest);
        m.rcpt = text(&rest);
        m.address = m.rcpt;
        m.remote_ip = text(&rest);
        m.header = rest;
        m.size = rest.n;
        decide(&a, &account, b[8] & 32 ? NULL : &destination, &m, &source, &out);
        if (!out.reason.n || (out.code != 250) == out.is_accepted || out.n_signs > DECIDE_MAX_SIGNS)
            die("no verdict");
        check_record(out.why);
    }
    (void)subjectpass_verify(input, STR("key"), STR("a@x.test"), 1700000000, 3600);
    check_lines(input);
    regex_free(header.name);
    regex_free(header.value);
    regex_free(address);
    return 0;
}
