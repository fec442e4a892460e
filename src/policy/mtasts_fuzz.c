/*
 * MTA-STS: the first byte chooses, the rest is a record or a policy. What is read and written again is
 * the same; a policy allows what it names and nothing above or below that.
 */
#include <stdint.h>

#include "base/die.h"
#include "policy/mtasts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(struct str text)
{
    AUTO_BUF once = BUF_LIMIT(1000);
    struct mtasts_record record, again;
    struct err e = {0};

    if (!mtasts_record_parse(text, &record, &e)) {
        if (e.kind != ERR_SYNTAX && e.kind != ERR_LIMIT)
            die("refused for a strange reason");
        return;
    }
    mtasts_record_put(&once, &record);
    if (record.id.n > MTASTS_MAX_ID || !mtasts_record_parse(buf_str(&once), &again, &e) ||
        !str_eq(again.id, record.id))
        die("our own record cannot be read");
}

static void check_patterns(struct arena *a, const struct mtasts_policy *p)
{
    for (size_t i = 0; i < p->n && i < 20; i++) {
        struct str mx = p->mx[i], host = mx;
        struct mtasts_policy alone = {.mode = p->mode, .mx = &mx, .n = 1};

        if (str_starts(mx, STR("*."))) {
            if (mtasts_allows(&alone, str_from(mx, 2)))
                die("a wildcard stands for no label");
            host = arena_printf(a, "x.%.*s", STR_FMT(str_from(mx, 2)));
        }
        if (!mtasts_allows(p, host))
            die("a host that is named is not allowed");
        if (mtasts_allows(&alone, arena_printf(a, "x.%.*s", STR_FMT(host))))
            die("a host below is allowed");
    }
}

static void check_policy(struct arena *a, struct str text)
{
    AUTO_BUF once = BUF_LIMIT(1 << 20), twice = BUF_LIMIT(1 << 20);
    struct mtasts_policy policy, again;
    struct err e = {0};

    if (!mtasts_policy_parse(a, text, &policy, &e)) {
        if (e.kind != ERR_SYNTAX && e.kind != ERR_LIMIT)
            die("refused for a strange reason");
        return;
    }
    if (policy.max_age > MTASTS_MAX_AGE || (!policy.n && policy.mode != MTASTS_NONE))
        die("values out of their range");
    check_patterns(a, &policy);
    mtasts_policy_put(&once, &policy);
    if (once.n > MTASTS_MAX_POLICY)
        return;
    if (!mtasts_policy_parse(a, buf_str(&once), &again, &e))
        die("our own policy cannot be read: %s", e.text);
    mtasts_policy_put(&twice, &again);
    if (!str_eq(buf_str(&once), buf_str(&twice)))
        die("the policy is not the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);

    if (!size || size > 2 * MTASTS_MAX_POLICY)
        return 0;
    if (data[0] % 2)
        check_record(str_at(data + 1, size - 1));
    else
        check_policy(&a, str_at(data + 1, size - 1));
    return 0;
}
