/*
 * MTA-STS: the first byte chooses, the rest is a record or a policy. What is read and written again is
 * the same; a policy allows what it names and nothing above or below that.
 */
#include <stdint.h>

#include "base/die.h"
#include "policy/mtasts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(void *ctx, struct arena *a, struct str name, enum dns_type type, struct dns_answer *out)
{
    (void)a;
    if (type != DNS_TXT)
        die("another type than asked for");
    *out = *(struct dns_answer *)ctx;
    out->name = name;
}

// As the DNS gives it, once or twice, or not at all.
static void check_lookup(struct arena *a, struct str text)
{
    struct dns_record records[2] = {{.data = text}, {.data = STR("v=STSv1; id=other;")}};
    struct dns_answer given = {.status = DNS_OK, .records = records, .is_secure = true};
    struct dns dns = {.ctx = &given, .lookup = answer};
    struct mtasts_record record, alone;
    struct str found;
    bool is_secure, is_one = mtasts_record_parse(text, &alone, &(struct err){0});

    given.n = 1;
    if (mtasts_find(&dns, a, STR("example.org"), &record, &found, &is_secure, &(struct err){0}) &&
        (!is_one || !str_eq(record.id, alone.id) || !is_secure))
        die("another record than the DNS gave");
    given.n = 2;
    if (mtasts_find(&dns, a, STR("example.org"), &record, &found, &is_secure, &(struct err){0}) && is_one)
        die("one of two records was taken");
    for (enum dns_status s = DNS_OK; s <= DNS_BOGUS; s++) {
        given = (struct dns_answer){.status = s};
        if (mtasts_find(&dns, a, STR("example.org"), &record, &found, &is_secure, &(struct err){0}))
            die("a record that is not there");
    }
}

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
    mtasts_mx_put(&once, &policy);
    if (!mtasts_mx_parse(a, buf_str(&once), &(struct mtasts_policy){.mode = policy.mode}, &e))
        die("our own list of hosts cannot be read: %s", e.text);
    buf_reset(&once);
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
    if (data[0] % 2) {
        check_record(str_at(data + 1, size - 1));
        check_lookup(&a, str_at(data + 1, size - 1));
    } else {
        check_policy(&a, str_at(data + 1, size - 1));
    }
    return 0;
}
