#include "base/map.h"
#include "db/db.h"
#include "queue/manage.h"
#include "queue/queue_priv.h"
#include "queue/queue_test.h"

static void add(struct queue_fixture *f, const char *account, const char *from, const char *to)
{
    const struct queue_recipient rcpt = {.address = str_of(to)};
    struct err e = {0};

    CHECK(queue_add(f->q, &(struct queue_new){.account = str_of(account), .reverse_path = str_of(from),
                                              .prefix = STR("Subject: x\r\n\r\n"),
                                              .recipients = &rcpt, .n_recipients = 1, .fd = -1}, &e));
}

// Numbers of what a filter lists, in the order of the list.
static struct str listed(struct queue_fixture *f, const char *text)
{
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    AUTO_BUF ids = BUF_LIMIT(1000);
    struct queue_filter filter;
    struct err e = {0};
    struct str line, rest;
    uint64_t last;

    CHECK(queue_filter_parse(&f->a, str_of(text), f->now_unix, &filter, &e));
    CHECK(queue_list(f->q, &filter, 0, &out, &last, &e) && !last);
    for (rest = buf_str(&out); str_cut(rest, '\n', &line, &rest);) {
        struct str id;

        CHECK(str_cut(str_trim(line), ' ', &id, &line));
        buf_put(&ids, id);
        BUF_PUT(&ids, " ");
    }
    return arena_dup(&f->a, buf_str(&ids));
}

static size_t change(struct queue_fixture *f, enum queue_change what, const char *text,
                     const char *value)
{
    struct queue_filter filter;
    struct err e = {0};
    uint64_t last;
    size_t n;

    CHECK(queue_filter_parse(&f->a, str_of(text), f->now_unix, &filter, &e));
    CHECK(queue_change(f->q, what, &filter, str_of(value), 0, 100, &n, &last, &e) && !last);
    return n;
}

static uint64_t held(struct queue_fixture *f)
{
    struct err e = {0};
    uint64_t n = 0;

    CHECK(queue_count_held(f->q, &n, &e));
    return n;
}

TEST(queue_filters)
{
    struct queue_fixture f;

    queue_fixture_begin(&f);
    add(&f, "ann", "ann@mox.example", "bob@other.example");
    add(&f, "ann", "Ann@MOX.example", "carl@far.example");
    queue_fixture_wait(&f, 100);
    add(&f, "dora", "dora@mox.example", "bob@other.example");
    CHECK(change(&f, QUEUE_ADD_TIME, "ids=2", "1h") == 1);
    CHECK(change(&f, QUEUE_HOLD, "ids=3", "") == 1);
    CHECK(change(&f, QUEUE_TRANSPORT, "ids=1", "smart") == 1);
    CHECK_STR(listed(&f, ""), STR("2 3 1 "));
    CHECK_STR(listed(&f, "asc=true"), STR("1 3 2 "));
    CHECK_STR(listed(&f, "sort=queued\tasc=true"), STR("1 2 3 "));
    CHECK_STR(listed(&f, "sort=queued"), STR("3 2 1 "));
    CHECK_STR(listed(&f, "n=2"), STR("2 3 "));
    CHECK_STR(listed(&f, "ids=3,1,99"), STR("3 1 "));
    CHECK_STR(listed(&f, "account=ann"), STR("2 1 "));
    CHECK_STR(listed(&f, "account=an"), STR(""));
    CHECK_STR(listed(&f, "from=DORA"), STR("3 "));
    CHECK_STR(listed(&f, "to=@OTHER.example"), STR("3 1 "));
    CHECK_STR(listed(&f, "to=@ther.example"), STR(""));
    CHECK_STR(listed(&f, "to=other"), STR("3 1 "));
    CHECK_STR(listed(&f, "to=<BOB@other.example>"), STR("3 1 "));
    CHECK_STR(listed(&f, "to=<ob@other.example>"), STR(""));
    CHECK_STR(listed(&f, "to=<bob@other.example"), STR(""));
    CHECK_STR(listed(&f, "hold=true"), STR("3 "));
    CHECK_STR(listed(&f, "hold=false"), STR("2 1 "));
    CHECK_STR(listed(&f, "transport=smart"), STR("1 "));
    CHECK_STR(listed(&f, "transport="), STR("2 3 "));
    CHECK_STR(listed(&f, "submitted=<-50s"), STR("2 1 "));
    CHECK_STR(listed(&f, "submitted=>-50s"), STR("3 "));
    CHECK_STR(listed(&f, "nextattempt=>now"), STR("2 "));
    CHECK_STR(listed(&f, "nextattempt=<1m\taccount=dora"), STR("3 "));
    queue_fixture_end(&f);
}

TEST(queue_filters_that_are_none)
{
    static const char *const bad[] = {"ids=", "ids=x", "ids=1,,2", "ids=-1", "n=x", "hold=maybe",
                                      "submitted=1h", "submitted=<", "submitted=<x", "submitted=<--1h",
                                      "nextattempt=>1", "result=x", "sort=size", "color=red", "x"};
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);

    for (size_t i = 0; i < COUNT(bad); i++) {
        AUTO_EXACT text = exact_copy(str_of(bad[i]));
        struct queue_filter f;
        struct err e = {0};

        CHECK_CASE(!queue_filter_parse(&a, text.str, 0, &f, &e) && e.kind == ERR_SYNTAX, i);
    }
}

TEST(queue_changes_by_hand)
{
    const struct attempt delivered = {.class = ATTEMPT_DELIVERED};
    struct queue_fixture f;
    struct queue_entry entry;
    struct err e = {0};
    uint64_t last;
    size_t n;

    queue_fixture_begin(&f);
    add(&f, "ann", "ann@mox.example", "bob@other.example");
    add(&f, "ann", "ann@mox.example", "carl@other.example");
    CHECK(change(&f, QUEUE_HOLD, "", "") == 2);
    CHECK(!queue_fixture_next(&f, &entry));
    CHECK(change(&f, QUEUE_UNHOLD, "ids=2", "") == 1);
    CHECK(queue_fixture_next(&f, &entry) && entry.id == 2);
    CHECK(change(&f, QUEUE_REQUIRE_TLS, "ids=1", "yes") == 1);
    CHECK(change(&f, QUEUE_UNHOLD, "ids=1", "") == 1);
    CHECK(queue_fixture_next(&f, &entry) && entry.id == 1 && entry.require_tls == 1);
    // While it is under way: it is not given out again before its end, and then at the time that was set.
    CHECK(queue_begin(f.q, &entry, &e));
    CHECK(change(&f, QUEUE_SET_TIME, "ids=1", "0s") == 1);
    {
        struct queue_entry other;

        CHECK(!queue_fixture_next(&f, &other));
    }
    CHECK(queue_result(f.q, &entry, &(struct attempt){.class = ATTEMPT_TEMPORARY, .is_remote = true}, &e));
    CHECK(queue_fixture_next(&f, &entry) && entry.id == 1);
    // Taken out while it is under way: its end finds nothing.
    CHECK(change(&f, QUEUE_DROP, "ids=1", "") == 1);
    CHECK(queue_result(f.q, &entry, &delivered, &e));
    CHECK(change(&f, QUEUE_DROP, "ids=1", "") == 0);
    CHECK(change(&f, QUEUE_FAIL, "to=carl", "") == 1);
    CHECK(queue_fixture_next(&f, &entry) && entry.origin == QUEUE_OWN_REPORT);
    CHECK(str_find_str(queue_fixture_bytes(&f, &entry), STR("canceled by the administrator")) > 0);
    CHECK(!queue_change(f.q, QUEUE_ADD_TIME, &(struct queue_filter){0}, STR("soon"), 0, 1, &n, &last, &e));
    CHECK(!queue_change(f.q, QUEUE_REQUIRE_TLS, &(struct queue_filter){0}, STR("perhaps"), 0, 1, &n, &last, &e));
    queue_fixture_end(&f);
}

TEST(queue_changes_many_in_pieces)
{
    struct queue_fixture f;
    struct err e = {0};
    uint64_t last = 0;
    size_t n, total = 0, pieces = 0;

    queue_fixture_begin(&f);
    for (int i = 0; i < 25; i++)
        add(&f, "ann", "ann@mox.example", "bob@other.example");
    do {
        CHECK(queue_change(f.q, QUEUE_DROP, &(struct queue_filter){0}, STR(""), last, 10, &n, &last, &e));
        total += n;
        pieces++;
    } while (last);
    CHECK(total == 25 && pieces == 3);
    queue_fixture_end(&f);
}

TEST(queue_lists_in_pieces)
{
    struct queue_fixture f;

    queue_fixture_begin(&f);
    for (int i = 0; i < 100; i++)
        add(&f, "ann", "ann@mox.example", "bob@other.example");
    for (int order = 0; order < 4; order++) {
        struct queue_filter filter = {.by_queued = order & 1, .is_ascending = order & 2};
        uint64_t last = 0;
        size_t lines = 0;

        do {
            AUTO_BUF out = BUF_LIMIT(6000);
            struct err e = {0};

            CHECK(queue_list(f.q, &filter, last, &out, &last, &e));
            for (size_t i = 0; i < out.n; i++)
                lines += out.p[i] == '\n';
        } while (last);
        CHECK_CASE(lines == 100, (size_t)order);
        filter.max = 70; // over several pieces
        lines = 0;
        do {
            AUTO_BUF out = BUF_LIMIT(6000);
            struct err e = {0};

            CHECK(queue_list(f.q, &filter, last, &out, &last, &e));
            for (size_t i = 0; i < out.n; i++)
                lines += out.p[i] == '\n';
        } while (last);
        CHECK_CASE(lines == 70, (size_t)order);
    }
    queue_fixture_end(&f);
}

// All reverse paths of an account that has so many, each its own; what the database does for them.
static uint64_t steps_of_senders(int paths)
{
    struct queue_fixture f;
    struct map told = {0};
    uint64_t after = 0, before;
    struct err e = {0};
    size_t lines = 0;

    queue_fixture_begin(&f);
    for (int i = 0; i < paths; i++) {
        struct str path = arena_printf(&f.a, "ann+%d@mox.example", i);

        add(&f, "ann", arena_cstring(&f.a, path), "bob@other.example");
        add(&f, "bob", "bob@mox.example", "ann@other.example");
        add(&f, "ann", arena_cstring(&f.a, path), "eve@other.example");
    }
    before = db_steps(f.q->db);
    do {
        AUTO_BUF out = BUF_LIMIT(6000);
        struct str line;
        struct cur c;

        CHECK(queue_senders(f.q, STR("ann"), after, &out, &after, &e));
        for (c = cur_of(buf_str(&out)); cur_line(&c, &line); lines++) {
            CHECK(str_starts(line, STR("ann+")));
            map_put(&told, line, &told);
        }
    } while (after);
    before = db_steps(f.q->db) - before;
    CHECK(told.count == (size_t)paths && lines <= 2 * (size_t)paths);
    map_fini(&told);
    queue_fixture_end(&f);
    return before;
}

TEST(queue_senders_in_pieces)
{
    // From 5 pieces to 20.
    CHECK(steps_of_senders(2000) < 5 * steps_of_senders(500));
}

TEST(queue_hold_rules)
{
    AUTO_BUF out = BUF_LIMIT(1 << 16);
    struct queue_fixture f;
    struct queue_entry entry;
    struct err e = {0};
    size_t n;

    queue_fixture_begin(&f);
    add(&f, "ann", "ann@mox.example", "bob@other.example");
    add(&f, "ann", "ann@xmox.example", "bob@other.example");
    add(&f, "ann", "ann@mox.example", "bob@far.example");
    CHECK(queue_hold_rules_add(f.q, STR("ann"), STR("MOX.example"), STR("Other.example"), &n, &e) && n == 1);
    CHECK(queue_hold_rules_list(f.q, &out, &e));
    CHECK_STR(buf_str(&out), STR("id 1: account \"ann\", sender domain \"mox.example\", recipient domain "
                                 "\"other.example\"\n"));
    CHECK_STR(listed(&f, "hold=true"), STR("1 "));
    CHECK(held(&f) == 1);
    add(&f, "ann", "ann@mox.example", "dora@other.example"); // all three fields
    add(&f, "bob", "ann@mox.example", "dora@other.example"); // two of them
    CHECK_STR(listed(&f, "hold=true"), STR("4 1 "));
    CHECK(held(&f) == 2);
    CHECK(queue_hold_rules_remove(f.q, 1, &e) && !queue_hold_rules_remove(f.q, 1, &e));
    CHECK_STR(listed(&f, "hold=true"), STR("4 1 ")); // until somebody says so
    e = (struct err){0};
    CHECK(queue_hold_rules_add(f.q, STR(""), STR(""), STR(""), &n, &e) && n == 3);
    add(&f, "x", "y@z", "a@b");
    CHECK(held(&f) == 6);
    CHECK(change(&f, QUEUE_UNHOLD, "ids=1", "") == 1 && change(&f, QUEUE_HOLD, "ids=2", "") == 1);
    CHECK(change(&f, QUEUE_DROP, "ids=3", "") == 1 && held(&f) == 4);
    // What is undone is not counted, and after a restart it is the same.
    CHECK(queue_commit(f.q, &e) && change(&f, QUEUE_UNHOLD, "", "") == 5 && held(&f) == 0);
    db_rollback(f.q->db);
    f.q->has_changes = false;
    CHECK(held(&f) == 4);
    queue_close(f.q);
    f.q = queue_open(&e);
    CHECK(f.q && held(&f) == 4);
    CHECK(change(&f, QUEUE_HOLD, "ids=1", "") == 1);
    CHECK(!queue_fixture_next(&f, &entry));
    buf_reset(&out);
    CHECK(queue_hold_rules_list(f.q, &out, &e));
    CHECK_STR(buf_str(&out), STR("id 2: all messages\n"));
    queue_fixture_end(&f);
}

TEST(queue_suppression_by_hand)
{
    AUTO_BUF out = BUF_LIMIT(1 << 16);
    struct queue_fixture f;
    struct err e = {0};
    uint64_t last;

    queue_fixture_begin(&f);
    CHECK(queue_suppress_lookup(f.q, STR("ann"), STR("b@x"), &out, &e));
    CHECK_STR(buf_str(&out), STR("not present\n"));
    CHECK(queue_suppress_add(f.q, STR("ann"), STR("B.o-x@X"), &e));
    CHECK(!queue_suppress_add(f.q, STR("ann"), STR("bo+y@x"), &e) && e.kind == ERR_CONFLICT);
    CHECK(!queue_suppress_add(f.q, STR(""), STR("bo@x"), &e) && !queue_suppress_add(f.q, STR("a"), STR("b"), &e));
    e = (struct err){0};
    buf_reset(&out);
    CHECK(queue_suppress_lookup(f.q, STR("ann"), STR("bo@x"), &out, &e));
    CHECK_STR(buf_str(&out), STR("present\nadded: 1970-01-01T00:16:40Z\nmanual: true\nbase address: \"bo@x\"\n"
                                 "reason: \"added by the administrator\"\n"));
    buf_reset(&out);
    CHECK(queue_suppress_list(f.q, STR(""), 0, &out, &last, &e) && !last);
    CHECK_STR(buf_str(&out), STR("\"ann\"\t\"B.o-x@X\"\ttrue\t1970-01-01T00:16:40Z\t\"bo@x\"\t"
                                 "\"added by the administrator\"\n"));
    buf_reset(&out);
    CHECK(queue_suppress_list(f.q, STR("bob"), 0, &out, &last, &e) && !out.n);
    CHECK(queue_suppress_add(f.q, STR("bob"), STR("bo@x"), &e) && queue_suppress_forget(f.q, STR("bob"), &e));
    CHECK(queue_suppress_list(f.q, STR("bob"), 0, &out, &last, &e) && !out.n);
    CHECK(queue_suppress_remove(f.q, STR("ann"), STR("bo@x"), &e));
    CHECK(!queue_suppress_remove(f.q, STR("ann"), STR("bo@x"), &e) && e.kind == ERR_NOT_FOUND);
    queue_fixture_end(&f);
}

TEST(queue_retired_messages_are_listed)
{
    const struct queue_recipient to = {.address = STR_("bob@other.example"), .notify = QUEUE_NOTIFY_NEVER};
    AUTO_BUF out = BUF_LIMIT(1 << 16);
    struct queue_filter filter = {0};
    struct queue_fixture f;
    struct queue_entry entry;
    struct err e = {0};
    uint64_t last;

    queue_fixture_begin(&f);
    for (int i = 0; i < 2; i++) {
        CHECK(queue_add(f.q, &(struct queue_new){.account = STR("ann"), .reverse_path = STR("a@b"),
                                                 .prefix = STR("x"), .recipients = &to,
                                                 .n_recipients = 1, .fd = -1, .keep_retired_s = 60}, &e));
        CHECK(queue_fixture_next(&f, &entry));
        CHECK(queue_result(f.q, &entry, &(struct attempt){.class = i ? ATTEMPT_PERMANENT : ATTEMPT_DELIVERED,
                                                          .code = i ? 550 : 250, .text = STR("no\"")}, &e));
    }
    CHECK(queue_retired_list(f.q, &filter, 0, &out, &last, &e) && !last);
    CHECK_STR(buf_str(&out), STR("    2 1970-01-01T00:16:40Z from:<a@b> to:<bob@other.example> failure last 0s "
                                 "error \"no\"\"\n"
                                 "    1 1970-01-01T00:16:40Z from:<a@b> to:<bob@other.example> success last 0s "
                                 "error \"\"\n"));
    filter.result = QUEUE_RESULT_SUCCESS;
    buf_reset(&out);
    CHECK(queue_retired_list(f.q, &filter, 0, &out, &last, &e));
    CHECK(str_starts(buf_str(&out), STR("    1 ")));
    buf_reset(&out);
    CHECK(queue_retired_print(f.q, 2, &out, &e));
    CHECK(str_find_str(buf_str(&out), STR("\t\t\t\"Code\": 550,\n\t\t\t\"Secode\": \"\",\n\t\t\t\"Error\": \"no\\\"\"\n")) > 0);
    CHECK(!queue_retired_print(f.q, 3, &out, &e) && e.kind == ERR_NOT_FOUND);
    queue_fixture_end(&f);
}
