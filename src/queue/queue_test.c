#include "queue/manage.h"
#include "queue/queue_priv.h"
#include "queue/queue_test.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/test.h"
#include "db/sql.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"

// All entries that are due, given out and left so.
static size_t take_all(struct queue *q, struct arena *a, struct queue_entry *out, size_t max)
{
    struct err e = {0};
    bool found = true;
    size_t n = 0;

    while (n < max) {
        CHECK(queue_next(q, a, &out[n], &found, &e));
        if (!found)
            break;
        n++;
    }
    return n;
}

static uint64_t chunks(struct queue *q)
{
    struct err e = {0};
    AUTO_STMT s = db_prepare(q->db, "SELECT count(*) FROM chunk", &e);

    CHECK(s && stmt_step(s, &e));
    return stmt_u64(s, 0);
}

static const struct attempt delivered = {.class = ATTEMPT_DELIVERED, .code = 250};

TEST(queue_add_next_result)
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
    n = take_all(q, &a, due, 4);
    CHECK(n == 2);
    CHECK(queue_read(q, due[0].message, copy, &e));
    CHECK(os_read_fd(&a, copy, 1000, &text, &e));
    CHECK_STR(text, STR("P: 1\r\n\r\nbody"));
    CHECK(take_all(q, &a, due + 2, 2) == 0); // given out once
    CHECK(queue_result(q, &due[0], &(struct attempt){.class = ATTEMPT_TEMPORARY,
                                                     .text = STR("no\nroom")}, &e));
    CHECK(queue_result(q, &due[1], &delivered, &e));
    CHECK(queue_list(q, &(struct queue_filter){0}, 0, &out, &last, &e) && last == 0);
    CHECK_STR(buf_str(&out), STR("    1 1970-01-01T00:16:40Z from:<r@x> to:<a@x> next 1s last "
                                 "0s error \"no?room\"\n"));
    os_clock_set_for_test(2000000);
    n = take_all(q, &a, due, 4);
    CHECK(n == 1);
    CHECK(queue_result(q, &due[0], &delivered, &e));
    buf_reset(&out);
    CHECK(queue_list(q, &(struct queue_filter){0}, 0, &out, &last, &e) && out.n == 0);
    queue_close(q); // what was not committed is forgotten
    q = queue_open(&e);
    n = take_all(q, &a, due, 4);
    CHECK(n == 2);
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
    CHECK(take_all(q, &a, due, 4) == 0);
    CHECK(queue_list(q, &(struct queue_filter){0}, 0, &out, &last, &e));
    CHECK_STR(buf_str(&out), STR("    1 1970-01-01T00:16:40Z from:<r@x> to:<a@x> next 1h0m0s last "
                                 "- error \"\" futurerelease \"for;3600\"\n"));
    os_clock_set_for_test(4600000);
    n = take_all(q, &a, due, 4);
    CHECK(n == 1);
    queue_close(q);
    os_clock_set_for_test(-1);
    CHECK(chdir("/") == 0);
}

TEST(queue_waits)
{
    // mox-smtp-delivery.md 3.1: 7.5m, 15m, 30m, 1h, 2h, 4h, 8h.
    static const int64_t minutes[] = {7, 15, 30, 60, 120, 240, 480, 960, 960};

    for (uint32_t i = 0; i < COUNT(minutes); i++)
        CHECK_CASE(queue_wait_s(true, i) / 60 == minutes[i], i);
    CHECK(queue_wait_s(true, UINT32_MAX) == 16 * 3600);
    CHECK(queue_wait_s(false, 0) == 1 && queue_wait_s(false, 3) == 8);
    CHECK(queue_wait_s(false, UINT32_MAX) == 3600);
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
                       "VALUES (1,'\"a@b\"@X.org',0),(1,'b@y',0)", &e));
    CHECK(db_exec(old, "INSERT INTO message (account, reverse_path, queued_unix, size, is_8bit, "
                       "is_smtputf8, require_tls) VALUES ('','s@y',0,0,0,0,1)", &e) &&
          db_exec(old, "INSERT INTO entry (message, recipient, next_attempt_unix) "
                       "VALUES (2,'postmaster',1)", &e));
    db_close(old);
    q = queue_open(&e);
    n = take_all(q, &a, due, 4);
    CHECK(n == 3);
    for (size_t i = 0; i < n; i++) {
        CHECK((due[i].origin == QUEUE_SUBMITTED) == (due[i].message == 1));
        CHECK(due[i].require_tls == (due[i].message == 2));
        CHECK_STR(due[i].domain, due[i].id == 1 ? STR("x.org") : due[i].id == 2 ? STR("y") : STR(""));
        CHECK(queue_result(q, &due[i], &delivered, &e));
    }
    CHECK(queue_list(q, &(struct queue_filter){0}, 0, &out, &last, &e) && out.n == 0);

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

TEST(queue_limits_know_a_recipient_again)
{
    const struct queue_recipient as_written[] = {{.address = STR_("Bob@Example.ORG")},
                                                 {.address = STR_("Bob@b\xc3\xbc" "cher.example")}},
                                 again[] = {{.address = STR_("Bob@example.org")},
                                            {.address = STR_("Bob@xn--bcher-kva.example")}},
                                 another[] = {{.address = STR_("bob@example.org")}};
    struct queue_fixture f;
    struct err e = {0};

    queue_fixture_begin(&f);
    CHECK(send_to(f.q, as_written, 2, 0, 2, &e));
    CHECK(send_to(f.q, again, 2, 0, 2, &e)); // as many as one likes
    CHECK(!send_to(f.q, another, 1, 0, 2, &e) && e.kind == ERR_LIMIT);
    queue_fixture_end(&f);
}

// What the database does for one message more of an account that has sent so many in this day.
static uint64_t steps_of_one_more(int sent)
{
    const struct queue_recipient to = {.address = STR_("a@x")};
    struct queue_fixture f;
    struct err e = {0};
    uint64_t before;

    queue_fixture_begin(&f);
    for (int i = 0; i < sent; i++)
        CHECK(send_to(f.q, &to, 1, 100000, 100000, &e));
    before = db_steps(f.q->db);
    CHECK(send_to(f.q, &to, 1, 100000, 100000, &e));
    before = db_steps(f.q->db) - before;
    queue_fixture_end(&f);
    return before;
}

TEST(queue_limits_cost_the_same_however_much_was_sent)
{
    CHECK(steps_of_one_more(100) == steps_of_one_more(1000));
}

TEST(queue_limits_of_an_older_queue)
{
    char dir[] = "/tmp/mox-queue-XXXXXX";
    const struct queue_recipient to[] = {{.address = STR_("a@x.org")}};
    struct err e = {0};
    struct queue *q;
    struct db *old;

    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    os_clock_set_for_test(1000000);
    old = db_open("queue.db", sql_queue, 7, &e);
    CHECK(old && db_exec(old, "INSERT INTO sent (account, sent_unix) VALUES ('mox', 900), ('mox', 950)", &e) &&
          db_exec(old, "INSERT INTO correspondent (account, recipient, first_unix) VALUES "
                       "('mox', 'a@X.Org', 900), ('mox', 'b@y', 950)", &e));
    db_close(old);
    q = queue_open(&e);
    CHECK(q && send_to(q, to, 1, 3, 2, &e)); // the third of the day, to one that is known
    CHECK(!send_to(q, to, 1, 3, 0, &e) && e.kind == ERR_LIMIT);
    queue_close(q);
    os_clock_set_for_test(-1);
    CHECK(chdir("/") == 0);
}

// Of a message that is given again, since nobody heard that it was taken.
TEST(queue_takes_a_named_message_once)
{
    const struct queue_recipient to = {.address = STR_("a@x")};
    struct queue_new m = {.origin = QUEUE_OWN_REPORT, .recipients = &to, .n_recipients = 1, .fd = -1,
                          .prefix = STR_("P: 1\r\n\r\n"), .name = STR_("n1")};
    struct queue_entry entry, other;
    struct queue_fixture f;
    struct err e = {0};
    struct db *old;
    size_t n;

    queue_fixture_begin(&f);
    queue_close(f.q);
    CHECK(unlink("queue.db") == 0);
    old = db_open("queue.db", sql_queue, 9, &e); // of a program that knew no names
    CHECK(old != NULL);
    db_close(old);
    f.q = queue_open(&e);
    CHECK(f.q && queue_add(f.q, &m, &e) && queue_add(f.q, &m, &e) && queue_commit(f.q, &e));
    CHECK(queue_fixture_next(&f, &entry) && !queue_fixture_next(&f, &other));
    CHECK(queue_result(f.q, &entry, &delivered, &e) && queue_commit(f.q, &e));
    queue_close(f.q);
    f.q = queue_open(&e);
    CHECK(f.q && queue_add(f.q, &m, &e) && !queue_fixture_next(&f, &entry)); // also when it has gone
    m.name = STR("n2");
    CHECK(queue_add(f.q, &m, &e) && queue_fixture_next(&f, &entry));
    // One that could not be stored is none.
    m.name = STR("n3");
    m.size = 5;
    CHECK(!queue_add(f.q, &m, &e));
    m.size = 0;
    e = (struct err){0};
    CHECK(queue_add(f.q, &m, &e) && queue_fixture_next(&f, &entry));
    // After a week nobody does that.
    queue_fixture_wait(&f, 7 * 24 * 3600);
    CHECK(queue_forget_retired(f.q, 10, &n, &e) && queue_add(f.q, &m, &e) && queue_fixture_next(&f, &entry));
    queue_fixture_end(&f);
}

// Return paths of their own make messages of their own, but the bytes are there once.
TEST(queue_keeps_bytes_once)
{
    static const struct str paths[] = {STR_("r+1@x"), STR_("r+2@x"), STR_("r+3@x")};
    const struct queue_recipient to[] = {{.address = STR_("a@x"), .refused_code = 550, .notify = QUEUE_NOTIFY_NEVER},
                                         {.address = STR_("b@x")}, {.address = STR_("c@x")}};
    const struct queue_new m = {.account = STR_("ann"), .reverse_path = STR_("r@x"), .has_own_path = true,
                                .reverse_paths = paths, .recipients = to, .n_recipients = 3, .fd = -1,
                                .prefix = STR_("P: 1\r\n\r\n")};
    const struct queue_new alone = {.account = STR_("ann"), .reverse_path = STR_("r@x"), .recipients = &to[2],
                                    .n_recipients = 1, .fd = -1, .prefix = STR_("P: 2\r\n\r\n")};
    struct queue_entry first, second, own;
    struct queue_fixture f;
    struct err e = {0};

    queue_fixture_begin(&f);
    CHECK(queue_add(f.q, &m, &e) && queue_add(f.q, &alone, &e));
    CHECK(queue_fixture_next(&f, &first) && queue_fixture_next(&f, &second) && queue_fixture_next(&f, &own));
    CHECK_STR(first.reverse_path, STR("r+2@x"));
    CHECK_STR(second.reverse_path, STR("r+3@x"));
    CHECK(first.message != second.message);
    CHECK(queue_commit(f.q, &e) && chunks(f.q) == 2);
    CHECK_STR(queue_fixture_bytes(&f, &second), m.prefix);
    // Whose number they have may go first.
    CHECK(queue_result(f.q, &first, &delivered, &e) && chunks(f.q) == 2);
    CHECK_STR(queue_fixture_bytes(&f, &second), m.prefix);
    CHECK(queue_result(f.q, &second, &delivered, &e) && chunks(f.q) == 1);
    CHECK_STR(queue_fixture_bytes(&f, &own), alone.prefix);
    CHECK(queue_result(f.q, &own, &delivered, &e) && chunks(f.q) == 0);
    queue_fixture_end(&f);
}
