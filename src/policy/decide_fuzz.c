/*
 * A header as a stranger wrote it and a decision about it: whatever it says, there is a verdict with a
 * reason, and its record reads as it was written. The account knows nobody.
 */
#include <stdint.h>

#include "base/die.h"
#include "policy/decide.h"
#include "policy/subjectpass.h"
#include "policy/why.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool no_history(void *ctx, struct arena *a, struct str mailbox, enum decide_sign sign,
                       struct str value, int64_t since, size_t max, struct decide_judged *out,
                       size_t *n, struct err *e)
{
    (void)ctx, (void)a, (void)mailbox, (void)sign, (void)value, (void)since, (void)max, (void)out;
    (void)e;
    *n = 0;
    return true;
}

static bool not_written(void *ctx, struct str localpart, struct str domain, bool with_subdomains,
                        int64_t since, bool *out, struct err *e)
{
    (void)ctx, (void)localpart, (void)domain, (void)with_subdomains, (void)since, (void)e;
    *out = false;
    return true;
}

static bool no_traffic(void *ctx, struct str network, int64_t now, struct decide_traffic *out,
                       struct err *e)
{
    (void)ctx, (void)network, (void)now, (void)e;
    *out = (struct decide_traffic){0};
    return true;
}

static bool one_key(void *ctx, struct arena *a, struct str address, struct str *out, struct err *e)
{
    (void)ctx, (void)a, (void)address, (void)e;
    *out = STR("0123456789abcdef");
    return true;
}

static bool half_junk(void *ctx, struct arena *a, struct decide_junk *out, struct err *e)
{
    (void)ctx, (void)a, (void)e;
    *out = (struct decide_junk){.probability = 0.5, .is_significant = true};
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    const struct decide_source source = {NULL, no_history, not_written, no_traffic, one_key,
                                         half_junk, NULL};
    struct str input = str_at(data, size), left, check, result, evidence;
    struct err e = {0};
    struct decide_header_rule header = {regex_new(STR("^list-id$"), &e), regex_new(STR("^<(a+)+b"), &e)};
    struct decide_ruleset ruleset = {.headers = &header, .n_headers = 1, .mailbox = STR("List")};
    struct decide_destination destination = {.rulesets = &ruleset, .n_rulesets = 1};
    struct decide_account account = {.has_junk_filter = true, .junk_threshold = 0.6,
                                     .subjectpass_seconds = 3600};
    struct decide_message m = {.found = {.is_tls = true, .has_from = true, .from_localpart = STR("a"),
                                         .from_domain = STR("x.test"), .iprev = FINDING_PASS,
                                         .iprev_name = str_sub(input, 0, 100)},
                               .rcpt = STR("me@here.test"), .mailbox = STR("Inbox"),
                               .remote_ip = STR("192.0.2.1"), .header = input, .now_unix = 1700000000};
    static struct decision out;

    if (!header.name || !header.value)
        die("an expression is none");
    decide(&a, &account, &destination, &m, &source, &out);
    if (!out.reason.n || (out.code != 250) == out.is_accepted)
        die("no verdict");
    for (left = out.why; why_next(&left, &check, &result, &evidence);)
        if (!check.n)
            die("a line without a check");
    if (!str_eq(check, STR("decision")))
        die("the record does not end with the decision");
    (void)subjectpass_verify(input, STR("key"), STR("a@x.test"), 1700000000, 3600);
    for (left = input; why_next(&left, &check, &result, &evidence);)
        if (check.n > size)
            die("longer than the input");
    regex_free(header.name);
    regex_free(header.value);
    return 0;
}
