#include "queue/sts.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/test.h"
#include "db/sql.h"
#include "os/clock.h"
#include "queue/queue_priv.h"

static struct str hosts[] = {STR_("mx.x"), STR_("*.y")};
static const struct mtasts_policy enforce = {MTASTS_ENFORCE, 86400 * 7, hosts, 2},
                                  none = {MTASTS_NONE, 86400, NULL, 0};

static void at(int64_t unix_seconds)
{
    os_clock_set_for_test(unix_seconds * 1000);
}

static struct queue *open_fresh(void)
{
    char dir[] = "/tmp/mox-sts-XXXXXX";
    struct err e = {0};
    struct queue *q;

    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    at(1000000);
    q = queue_open(&e);
    CHECK(q != NULL);
    return q;
}

static struct sts_known ask(struct queue *q, struct arena *a, enum sts_record record, const char *id)
{
    struct sts_known k;
    struct err e = {0};

    CHECK(queue_sts_ask(q, a, STR("d.example"), record, str_of(id), &k, &e));
    return k;
}

static struct sts_known fetched(struct queue *q, struct arena *a, const char *id,
                                const struct mtasts_policy *policy)
{
    struct sts_fetched got = {.policy = policy, .failure = TLS_STS_WEBPKI_INVALID, .why = STR("expired")};
    struct sts_known k;
    struct err e = {0};

    CHECK(queue_sts_fetched(q, a, STR("d.example"), str_of(id), &got, &k, &e));
    return k;
}

TEST(sts_fetched_kept_and_replaced)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct queue *q = open_fresh();
    struct sts_known k;
    struct err e = {0};

    CHECK(ask(q, &a, STS_RECORD_NONE, "").status == STS_NONE);
    CHECK(ask(q, &a, STS_RECORD_UNKNOWN, "").status == STS_TEMPORARY);
    CHECK(ask(q, &a, STS_RECORD_ID, "1").status == STS_FETCH);
    k = fetched(q, &a, "1", &enforce);
    CHECK(k.status == STS_POLICY && k.policy.mode == MTASTS_ENFORCE && !k.failure);
    CHECK(queue_commit(q, &e));
    // Known now, and the record need not be there any more.
    for (int r = STS_RECORD_NONE; r <= STS_RECORD_UNKNOWN; r++) {
        k = ask(q, &a, (enum sts_record)r, "1");
        CHECK_CASE(k.status == STS_POLICY && k.policy.n == 2 && k.policy.max_age == 86400 * 7, r);
        CHECK_STR(k.policy.mx[1], STR("*.y"));
        CHECK_STR(k.id, STR("1"));
    }
    CHECK(ask(q, &a, STS_RECORD_ID, "2").status == STS_FETCH);
    k = fetched(q, &a, "2", &none);
    CHECK(k.status == STS_POLICY && k.policy.mode == MTASTS_NONE && !k.policy.n);
    CHECK(ask(q, &a, STS_RECORD_ID, "2").policy.mode == MTASTS_NONE);
    // It expires.
    at(1000000 + 86400);
    CHECK(ask(q, &a, STS_RECORD_NONE, "").status == STS_NONE);
    CHECK(ask(q, &a, STS_RECORD_UNKNOWN, "").status == STS_TEMPORARY);
    CHECK(ask(q, &a, STS_RECORD_ID, "2").status == STS_FETCH);
    queue_close(q);
    os_clock_set_for_test(-1);
}

// RFC 8461 3.3: a failed fetch is no reason to ask again at once, nor to forget.
TEST(sts_failures_are_remembered)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct queue *q = open_fresh();
    struct sts_known k = fetched(q, &a, "1", NULL);

    CHECK(k.status == STS_NONE && k.failure == TLS_STS_WEBPKI_INVALID);
    CHECK_STR(k.reason, STR("expired"));
    k = ask(q, &a, STS_RECORD_ID, "1");
    CHECK(k.status == STS_NONE && k.failure == TLS_STS_WEBPKI_INVALID);
    CHECK_STR(k.reason, STR("back-off-after-recent-fetch-error"));
    CHECK(ask(q, &a, STS_RECORD_ID, "2").status == STS_FETCH); // another version may be better
    CHECK(ask(q, &a, STS_RECORD_UNKNOWN, "").status == STS_TEMPORARY);
    at(1000000 + STS_BACKOFF_S);
    CHECK(ask(q, &a, STS_RECORD_ID, "1").status == STS_FETCH);
    // With a policy in hand, that holds.
    CHECK(fetched(q, &a, "1", &enforce).status == STS_POLICY);
    k = fetched(q, &a, "2", NULL);
    CHECK(k.status == STS_POLICY && k.policy.mode == MTASTS_ENFORCE);
    CHECK(k.failure == TLS_STS_WEBPKI_INVALID);
    CHECK_STR(k.reason, STR("expired+fallback-to-cached-policy"));
    k = ask(q, &a, STS_RECORD_ID, "2");
    CHECK(k.status == STS_POLICY && k.failure == TLS_STS_WEBPKI_INVALID);
    CHECK_STR(k.reason, STR("back-off-after-recent-fetch-error+fallback-to-cached-policy"));
    k = ask(q, &a, STS_RECORD_ID, "1");
    CHECK(k.status == STS_POLICY && !k.failure);
    queue_close(q);
    os_clock_set_for_test(-1);
}

TEST(sts_refreshing)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct queue *q = open_fresh();
    struct str domain, id;
    struct err e = {0};
    uint64_t n;
    bool found;

    CHECK(fetched(q, &a, "1", &enforce).status == STS_POLICY);
    CHECK(queue_sts_due(q, &a, &domain, &id, &n, &found, &e) && !found && n == 0);
    at(1000000 + STS_REFRESH_S);
    CHECK(queue_sts_due(q, &a, &domain, &id, &n, &found, &e) && found && n == 1);
    CHECK_STR(domain, STR("d.example"));
    CHECK_STR(id, STR("1"));
    CHECK(queue_sts_unchanged(q, domain, false, &e));
    CHECK(queue_sts_due(q, &a, &domain, &id, &n, &found, &e) && !found);
    // It lives longer for that.
    at(1000000 + 86400 * 7);
    CHECK(ask(q, &a, STS_RECORD_UNKNOWN, "").status == STS_POLICY);
    // The record is gone: what was promised stays until it expires.
    CHECK(queue_sts_unchanged(q, STR("d.example"), true, &e));
    CHECK(ask(q, &a, STS_RECORD_NONE, "").status == STS_POLICY);
    at(1000000 + 86400 * 8);
    CHECK(ask(q, &a, STS_RECORD_NONE, "").status == STS_NONE);
    // Of "none", nothing needs to stay.
    CHECK(fetched(q, &a, "2", &none).status == STS_POLICY);
    CHECK(queue_sts_unchanged(q, STR("d.example"), true, &e));
    CHECK(ask(q, &a, STS_RECORD_NONE, "").status == STS_NONE);
    queue_close(q);
    os_clock_set_for_test(-1);
}

TEST(sts_unused_policies_go)
{
    static const struct mtasts_policy year = {MTASTS_TESTING, MTASTS_MAX_AGE, hosts, 2};
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct queue *q = open_fresh();
    struct err e = {0};

    CHECK(fetched(q, &a, "1", &year).status == STS_POLICY);
    at(1000000 + STS_UNUSED_S - 1);
    CHECK(queue_sts_forget(q, &e));
    CHECK(ask(q, &a, STS_RECORD_NONE, "").status == STS_POLICY); // used: another 180 days
    at(1000000 + STS_UNUSED_S + 10);
    CHECK(queue_sts_forget(q, &e));
    CHECK(ask(q, &a, STS_RECORD_NONE, "").status == STS_POLICY);
    at(1000000 + 2 * (int64_t)STS_UNUSED_S + 86400);
    CHECK(queue_sts_forget(q, &e));
    CHECK(ask(q, &a, STS_RECORD_NONE, "").status == STS_NONE);
    queue_close(q);
    os_clock_set_for_test(-1);
}

// A file of a program that knew no policies.
TEST(sts_in_an_older_queue)
{
    char dir[] = "/tmp/mox-sts-XXXXXX";
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct err e = {0};
    struct queue *q;
    struct db *old;

    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    old = db_open("queue.db", sql_queue, 5, &e);
    CHECK(old != NULL);
    db_close(old);
    q = queue_open(&e);
    CHECK(q != NULL);
    CHECK(ask(q, &a, STS_RECORD_ID, "1").status == STS_FETCH);
    CHECK(fetched(q, &a, "1", &enforce).status == STS_POLICY);
    queue_close(q);
}
