#include "queue/manage.h"
#include "queue/queue_priv.h"
#include "queue/queue_test.h"

static void add(struct queue_fixture *f, const char *account, const char *address)
{
    struct err e = {0};
    const struct queue_recipient to = {.address = str_of(address)};
    AUTO_FD fd = os_memfile("t", &e);

    CHECK(queue_add(f->q, &(struct queue_new){.account = str_of(account), .recipients = &to,
                                              .n_recipients = 1, .fd = fd}, &e));
}

// The entries in their order, by the first letters of account and recipient.
static struct str order(struct queue_fixture *f)
{
    AUTO_BUF b = BUF_LIMIT(1000);
    struct queue_entry entry;

    while (queue_fixture_next(f, &entry)) {
        buf_put_char(&b, entry.account.p[0]);
        buf_put_char(&b, entry.recipient.p[0]);
        BUF_PUT(&b, " ");
    }
    return arena_dup(&f->a, buf_str(&b));
}

TEST(queue_takes_accounts_and_domains_in_turn)
{
    struct queue_fixture f;

    queue_fixture_begin(&f);
    add(&f, "a", "1@x");
    add(&f, "a", "2@x");
    add(&f, "a", "3@x");
    add(&f, "a", "4@y");
    add(&f, "b", "5@x");
    add(&f, "b", "6@z");
    add(&f, "c", "7@X"); // the same domain
    CHECK_STR(order(&f), STR("a1 b5 c7 a4 b6 a2 a3 "));
    CHECK(!queue_has_ready(f.q));
    queue_fixture_end(&f);
}

static bool may_not_x(void *ctx, const struct queue_destination *to, size_t n_waiting)
{
    CHECK(n_waiting == (str_eq(to->domain, STR("x")) ? 6 : 1)); // of both accounts
    ++*(int *)ctx;
    return !str_eq(to->domain, STR("x"));
}

TEST(queue_gives_a_destination_what_is_for_it)
{
    struct queue_fixture f;
    struct queue_entry first, got[8];
    struct err e = {0};
    int asked = 0;
    size_t n;

    queue_fixture_begin(&f);
    for (int i = 0; i < 5; i++)
        add(&f, "a", "1@x");
    add(&f, "a", "2@y");
    add(&f, "b", "3@x");
    // Each was looked at once, and is at another server.
    for (int i = 0; i < 3; i++) {
        CHECK(queue_fixture_next(&f, &first));
        queue_put_back(f.q, &first);
        queue_is_remote(f.q, &first);
    }
    CHECK(!queue_fixture_next(&f, &first));
    CHECK(queue_next_remote(f.q, &f.a, may_not_x, &asked, got, 8, &n, &e) && n == 1);
    CHECK_STR(got[0].recipient, STR("2@y"));
    CHECK(queue_next_remote(f.q, &f.a, may_not_x, &asked, got, 8, &n, &e) && n == 0);
    CHECK(asked > 1);
    // Up to three of the one, then the other account's turn.
    CHECK(queue_next_remote(f.q, &f.a, NULL, NULL, got, 3, &n, &e));
    CHECK(n == 1 || n == 3);
    first = got[0];
    CHECK(queue_next_remote(f.q, &f.a, NULL, NULL, got, 3, &n, &e));
    CHECK(n == 1 || n == 3);
    CHECK(!str_eq(first.account, got[0].account));
    if (!str_eq(first.account, STR("a")))
        first = got[0];
    CHECK(queue_more(f.q, &f.a, &first, got, 8, &n, &e) && n == 2);
    CHECK(queue_more(f.q, &f.a, &first, got, 8, &n, &e) && n == 0);
    queue_fixture_end(&f);
}

TEST(queue_forgets_after_a_minute_where_a_domain_is)
{
    struct queue_fixture f;
    struct queue_entry entry, got[8];
    struct err e = {0};
    size_t n;

    queue_fixture_begin(&f);
    add(&f, "a", "1@x");
    CHECK(queue_fixture_next(&f, &entry));
    queue_put_back(f.q, &entry);
    queue_is_remote(f.q, &entry);
    os_clock_set_for_test(1000000 + 61 * 1000);
    CHECK(!queue_fixture_next(&f, &entry));
    CHECK(queue_next_remote(f.q, &f.a, NULL, NULL, got, 8, &n, &e) && n == 0);
    CHECK(queue_fixture_next(&f, &entry));
    queue_fixture_end(&f);
}

TEST(queue_counts_an_attempt_when_it_begins)
{
    struct queue_fixture f;
    struct queue_entry entry;
    struct err e = {0};
    const struct attempt failed = {.class = ATTEMPT_TEMPORARY, .is_remote = true, .code = 450,
                                   .text = STR("later"), .dialed = STR("192.0.2.1")};

    queue_fixture_begin(&f);
    add(&f, "a", "1@x");
    CHECK(queue_fixture_next(&f, &entry));
    CHECK(queue_begin(f.q, &entry, &e) && entry.attempts == 1);
    CHECK(queue_commit(f.q, &e));
    queue_close(f.q); // a crash: it is not tried at once
    f.q = queue_open(&e);
    CHECK(!queue_fixture_next(&f, &entry));
    os_clock_set_for_test(1000000 + 440 * 1000);
    CHECK(!queue_fixture_next(&f, &entry));
    os_clock_set_for_test(1000000 + 455 * 1000);
    CHECK(queue_fixture_next(&f, &entry) && entry.attempts == 1);
    CHECK(queue_begin(f.q, &entry, &e));
    CHECK(queue_result(f.q, &entry, &failed, &e));
    CHECK(!queue_fixture_next(&f, &entry));
    os_clock_set_for_test(1000000 + (455 + 900 - 6) * 1000);
    CHECK(!queue_fixture_next(&f, &entry));
    os_clock_set_for_test(1000000 + (455 + 900 + 5) * 1000);
    CHECK(queue_fixture_next(&f, &entry) && entry.attempts == 2);
    CHECK_STR(entry.dialed, STR("192.0.2.1"));
    queue_fixture_end(&f);
}

TEST(queue_takes_an_attempt_back)
{
    struct queue_fixture f;
    struct queue_entry entry, got[2];
    struct err e = {0};
    size_t n;

    queue_fixture_begin(&f);
    add(&f, "a", "1@x");
    CHECK(queue_fixture_next(&f, &entry));
    CHECK(queue_begin(f.q, &entry, &e) && queue_commit(f.q, &e));
    CHECK(queue_take_back(f.q, &entry, &e) && queue_commit(f.q, &e));
    CHECK(queue_fixture_next(&f, &got[0]) && got[0].attempts == 0);
    CHECK(!queue_fixture_next(&f, &got[1]));
    queue_put_back(f.q, &got[0]);
    queue_is_remote(f.q, &got[0]);
    // Also when others have become due meanwhile.
    CHECK(queue_next_remote(f.q, &f.a, NULL, NULL, got, 2, &n, &e) && n == 1);
    CHECK(queue_begin(f.q, &got[0], &e));
    queue_fixture_wait(&f, 100);
    add(&f, "a", "2@x");
    CHECK(queue_fixture_next(&f, &entry) && entry.id != got[0].id);
    CHECK(queue_take_back(f.q, &got[0], &e));
    CHECK(queue_fixture_next(&f, &entry) && entry.id == got[0].id && entry.attempts == 0);
    queue_fixture_end(&f);
}

static void set_time(struct queue_fixture *f, const char *value)
{
    struct err e = {0};
    uint64_t last;
    size_t n;

    CHECK(queue_change(f->q, QUEUE_SET_TIME, &(struct queue_filter){0}, str_of(value), 0, 10, &n, &last, &e) && n == 1);
}

// What a person has said while an attempt was going on holds, whatever becomes of that.
TEST(queue_keeps_a_time_that_was_set_meanwhile)
{
    struct queue_fixture f;
    struct queue_entry entry;
    struct err e = {0};

    queue_fixture_begin(&f);
    add(&f, "a", "1@x");
    CHECK(queue_fixture_next(&f, &entry) && queue_begin(f.q, &entry, &e));
    set_time(&f, "1h");
    CHECK(queue_take_back(f.q, &entry, &e) && !queue_fixture_next(&f, &entry));
    queue_fixture_wait(&f, 3599);
    CHECK(!queue_fixture_next(&f, &entry));
    queue_fixture_wait(&f, 1);
    CHECK(queue_fixture_next(&f, &entry) && entry.attempts == 0);
    // At an account of ours, likewise.
    set_time(&f, "2h");
    CHECK(queue_result(f.q, &entry, &(struct attempt){.class = ATTEMPT_TEMPORARY, .text = STR("full")}, &e));
    queue_fixture_wait(&f, 7199);
    CHECK(!queue_fixture_next(&f, &entry));
    queue_fixture_wait(&f, 1);
    CHECK(queue_fixture_next(&f, &entry) && entry.attempts == 1);
    CHECK(queue_begin(f.q, &entry, &e) && queue_take_back(f.q, &entry, &e) && queue_fixture_next(&f, &entry));
    queue_fixture_end(&f);
}

TEST(queue_gives_so_many_messages_and_keeps_recipients_together)
{
    enum { RECIPIENTS = 3, MESSAGES = QUEUE_MAX_MESSAGES + 2 };
    const struct queue_recipient to[RECIPIENTS] = {{.address = STR_("1@x")}, {.address = STR_("2@x")},
                                                   {.address = STR_("3@x")}};
    struct queue_entry first, *got;
    struct queue_fixture f;
    struct err e = {0};
    size_t n;

    queue_fixture_begin(&f);
    got = ARENA_ARRAY(&f.a, 100, struct queue_entry);
    for (int i = 0; i < MESSAGES; i++) {
        AUTO_FD fd = os_memfile("t", &e);

        CHECK(queue_add(f.q, &(struct queue_new){.account = STR("a"), .recipients = to,
                                                 .n_recipients = RECIPIENTS, .fd = fd}, &e));
    }
    CHECK(queue_fixture_next(&f, &first));
    queue_is_remote(f.q, &first);
    CHECK(queue_result(f.q, &first, &(struct attempt){.class = ATTEMPT_DELIVERED}, &e));
    CHECK(queue_next_remote(f.q, &f.a, NULL, NULL, got, 100, &n, &e));
    CHECK(n == QUEUE_MAX_MESSAGES * RECIPIENTS - 1);
    CHECK(got[n - 1].message == got[n - 3].message);
    CHECK(queue_more(f.q, &f.a, &first, got, 4, &n, &e) && n == 4); // as many as there is room for
    CHECK(queue_more(f.q, &f.a, &first, got, 100, &n, &e) && n == 2);
    CHECK(!queue_has_ready(f.q));
    queue_fixture_end(&f);
}

TEST(queue_survives_a_clock_set_back)
{
    struct queue_fixture f;
    struct queue_entry entry;

    queue_fixture_begin(&f);
    add(&f, "a", "1@x");
    CHECK(queue_fixture_next(&f, &entry));
    os_clock_set_for_test(500000);
    add(&f, "a", "2@x");
    CHECK(queue_fixture_next(&f, &entry));
    CHECK_STR(entry.recipient, STR("2@x"));
    queue_fixture_end(&f);
}

// Entries of a stuck destination do not cost those of others anything: work is linear in what is there.
TEST(queue_lanes_grow_and_shrink)
{
    struct queue_fixture f;
    struct queue_entry entry;
    struct err e = {0};
    const struct attempt delivered = {.class = ATTEMPT_DELIVERED};
    size_t n = 0;

    queue_fixture_begin(&f);
    for (int i = 0; i < 500; i++)
        add(&f, "a", i % 2 ? "1@x" : "2@y");
    for (; n < 250 && queue_fixture_next(&f, &entry); n++)
        CHECK(queue_result(f.q, &entry, &delivered, &e));
    for (int i = 0; i < 500; i++)
        add(&f, "b", i % 2 ? "1@x" : "2@y");
    for (; queue_fixture_next(&f, &entry); n++)
        CHECK(queue_result(f.q, &entry, &delivered, &e));
    CHECK(n == 1000 && !queue_has_ready(f.q));
    queue_fixture_end(&f);
}

// What the database does to find nothing that is due, among so many that wait for later and are held.
static uint64_t steps_to_look(int n)
{
    struct queue_fixture f;
    struct queue_entry entry;
    struct err e = {0};
    uint64_t before;

    queue_fixture_begin(&f);
    for (int i = 0; i < n; i++)
        add(&f, "a", "1@x");
    CHECK(db_exec(f.q->db, "UPDATE entry SET next_attempt_unix = 2000 WHERE id % 2", &e) &&
          db_exec(f.q->db, "UPDATE entry SET is_held = 1 WHERE id % 2 = 0", &e));
    CHECK(!queue_fixture_next(&f, &entry)); // those on hold are passed by once, in the index
    before = db_steps(f.q->db);
    CHECK(!queue_fixture_next(&f, &entry));
    before = db_steps(f.q->db) - before;
    CHECK(db_scanned_rows(f.q->db) == 0);
    queue_fixture_end(&f);
    return before;
}

TEST(queue_looks_for_what_is_due_alone)
{
    CHECK(steps_to_look(100) == steps_to_look(1000));
}
