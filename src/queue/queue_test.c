#include "queue/queue.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/test.h"
#include "db/sql.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"

TEST(queue_add_due_retry_done)
{
    char dir[] = "/tmp/mox-queue-XXXXXX";
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    const struct queue_recipient to[] = {{.address = STR_("a@x")}, {.address = STR_("b@x")}};
    struct queue_entry due[4];
    struct err e = {0};
    struct queue *q;
    struct str text;
    uint64_t last;
    size_t n;
    AUTO_FD fd = os_memfile("t", &e);
    AUTO_FD copy = os_memfile("t", &e);

    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    os_clock_set_for_test(1000000);
    q = queue_open(&e);
    CHECK(q != NULL);
    CHECK(os_write_all(fd, STR("body"), &e));
    CHECK(queue_add(q, &(struct queue_new){.account = STR("mox"), .reverse_path = STR("r@x"),
                                           .prefix = STR("P: 1\r\n\r\n"), .recipients = to,
                                           .n_recipients = 2, .fd = fd, .size = 4}, &e));
    CHECK(queue_commit(q, &e) && queue_commit(q, &e));
    CHECK(queue_due(q, &a, due, 4, &n, &e) && n == 2);
    CHECK(queue_read(q, due[0].message, copy, &e));
    CHECK(os_read_fd(&a, copy, 1000, &text, &e));
    CHECK_STR(text, STR("P: 1\r\n\r\nbody"));
    CHECK(queue_retry(q, due[0].id, STR("no\nroom"), 2000, &e));
    CHECK(queue_due(q, &a, due, 4, &n, &e) && n == 1);
    CHECK(queue_done(q, &due[0], &e));
    CHECK(queue_list(q, 0, &out, &last, &e) && last == 0);
    CHECK_STR(buf_str(&out), STR("    1 1970-01-01T00:16:40Z from:<r@x> to:<a@x> next 16m40s last "
                                 "0s error \"no?room\"\n"));
    os_clock_set_for_test(2000000);
    CHECK(queue_due(q, &a, due, 4, &n, &e) && n == 1);
    CHECK(queue_done(q, &due[0], &e));
    buf_reset(&out);
    CHECK(queue_list(q, 0, &out, &last, &e) && out.n == 0);
    queue_close(q); // what was not committed is forgotten
    q = queue_open(&e);
    CHECK(q && queue_due(q, &a, due, 4, &n, &e) && n == 2);
    queue_close(q);
    os_clock_set_for_test(-1);
    CHECK(chdir("/") == 0);
}

TEST(queue_holds_until_release)
{
    char dir[] = "/tmp/mox-queue-XXXXXX";
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    const struct queue_recipient to[] = {{.address = STR_("a@x")}};
    struct queue_entry due[4];
    struct err e = {0};
    struct queue *q;
    uint64_t last;
    size_t n;
    AUTO_FD fd = os_memfile("t", &e);

    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    os_clock_set_for_test(1000000);
    q = queue_open(&e);
    CHECK(q && os_write_all(fd, STR("body"), &e));
    CHECK(queue_add(q, &(struct queue_new){.account = STR("mox"), .reverse_path = STR("r@x"),
                                           .recipients = to, .n_recipients = 1, .fd = fd, .size = 4,
                                           .is_binary = true, .hold_until_unix = 4600,
                                           .future_release = STR("for;3600")}, &e));
    CHECK(queue_commit(q, &e));
    CHECK(queue_due(q, &a, due, 4, &n, &e) && n == 0);
    CHECK(queue_list(q, 0, &out, &last, &e));
    CHECK_STR(buf_str(&out), STR("    1 1970-01-01T00:16:40Z from:<r@x> to:<a@x> next 1h0m0s last "
                                 "- error \"\" futurerelease \"for;3600\"\n"));
    os_clock_set_for_test(4600000);
    CHECK(queue_due(q, &a, due, 4, &n, &e) && n == 1);
    queue_close(q);
    os_clock_set_for_test(-1);
    CHECK(chdir("/") == 0);
}

TEST(queue_keeps_what_was_refused)
{
    char dir[] = "/tmp/mox-queue-XXXXXX";
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    const struct queue_recipient to[] = {{.address = STR_("a@x"), .delivery_id = STR_("s.abc.0")},
                                         {.address = STR_("b@x"), .refused = STR_("550 no")}};
    struct queue_entry due[4];
    struct err e = {0};
    struct queue *q;
    uint64_t last;
    size_t n;
    AUTO_FD fd = os_memfile("t", &e);

    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    os_clock_set_for_test(1000000);
    q = queue_open(&e);
    CHECK(q && os_write_all(fd, STR("body"), &e));
    CHECK(queue_add(q, &(struct queue_new){.recipients = to, .n_recipients = 2, .fd = fd,
                                           .size = 4}, &e));
    os_clock_set_for_test(INT64_C(9000000000) * 1000); // the year 2255
    CHECK(queue_due(q, &a, due, 4, &n, &e) && n == 1);
    CHECK_STR(due[0].delivery_id, STR("s.abc.0"));
    CHECK(due[0].account.n == 0);
    CHECK(queue_done(q, &due[0], &e));
    CHECK(queue_list(q, 0, &out, &last, &e));
    CHECK_STR(buf_str(&out), STR("    2 1970-01-01T00:16:40Z from:<> to:<b@x> next never last - "
                                 "error \"550 no\"\n"));
    queue_close(q);
    os_clock_set_for_test(-1);
    CHECK(chdir("/") == 0);
}

TEST(queue_waits)
{
    // mox-smtp-delivery.md 3.1: 7.5m, 15m, 30m, 1h, 2h, 4h, 8h, and no more often after that.
    static const int64_t minutes[] = {7, 15, 30, 60, 120, 240, 480, 480, 480};

    for (uint32_t i = 0; i < COUNT(minutes); i++)
        CHECK_CASE(queue_wait_s(QUEUE_FAILED_FOR_GOOD, i) / 60 == minutes[i], i);
    CHECK(queue_wait_s(QUEUE_FAILED_FOR_GOOD, UINT32_MAX) == 8 * 3600);
    CHECK(queue_wait_s(QUEUE_FAILED_FOR_NOW, 0) == 1 && queue_wait_s(QUEUE_FAILED_FOR_NOW, 3) == 8);
    CHECK(queue_wait_s(QUEUE_FAILED_FOR_NOW, UINT32_MAX) == 3600);
}

TEST(queue_of_the_first_version)
{
    char dir[] = "/tmp/mox-queue-XXXXXX";
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    struct queue_entry due[4];
    struct err e = {0};
    struct queue *q;
    struct db *old;
    uint64_t last;
    size_t n;

    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    old = db_open("queue.db", sql_queue, 1, &e);
    CHECK(old && db_exec(old, "INSERT INTO message (account, reverse_path, queued_unix, size, "
                              "is_8bit, is_smtputf8, require_tls) VALUES ('mox','r@x',0,0,0,0,0)",
                         &e));
    CHECK(db_exec(old, "INSERT INTO entry (message, recipient, next_attempt_unix) "
                       "VALUES (1,'a@x',0)", &e));
    db_close(old);
    q = queue_open(&e);
    CHECK(q && queue_due(q, &a, due, 4, &n, &e) && n == 1);
    CHECK(queue_list(q, 0, &out, &last, &e) && out.n > 0);
    queue_close(q);
    CHECK(chdir("/") == 0);
}

static bool send_to(struct queue *q, const struct queue_recipient *to, size_t n, uint32_t max,
                    uint32_t first, struct err *e)
{
    AUTO_FD fd = os_memfile("t", e);

    *e = (struct err){0};
    return queue_add(q, &(struct queue_new){.account = STR("mox"), .recipients = to,
                                            .n_recipients = n, .fd = fd, .max_per_day = max,
                                            .max_first_per_day = first}, e);
}

TEST(queue_limits_of_a_day)
{
    char dir[] = "/tmp/mox-queue-XXXXXX";
    const struct queue_recipient to[] = {{.address = STR_("a@x")}, {.address = STR_("b@x")},
                                         {.address = STR_("c@x")}, {.address = STR_("d@x")},
                                         {.address = STR_("e@x")}};
    struct err e = {0};
    struct queue *q;

    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    os_clock_set_for_test(1000000);
    q = queue_open(&e);
    CHECK(q && send_to(q, to, 3, 5, 0, &e));
    CHECK(!send_to(q, to, 3, 5, 0, &e) && e.kind == ERR_LIMIT); // 6 of 5: none of it is counted
    CHECK(send_to(q, to, 2, 5, 0, &e));
    CHECK(!send_to(q, to, 1, 5, 0, &e) && e.kind == ERR_LIMIT);
    CHECK(send_to(q, to, 3, 0, 3, &e)); // known by now, however many
    CHECK(!send_to(q, to + 3, 1, 0, 3, &e) && e.kind == ERR_LIMIT); // a fourth address
    os_clock_set_for_test(1000000 + 86400 * 1000ll);
    CHECK(send_to(q, to, 5, 5, 4, &e)); // two of them new, and three of yesterday
    CHECK(!send_to(q, to, 1, 5, 4, &e));
    CHECK(queue_commit(q, &e));
    queue_close(q);
    os_clock_set_for_test(-1);
    CHECK(chdir("/") == 0);
}
