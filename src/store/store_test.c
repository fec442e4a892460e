#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/test.h"
#include "db/db.h"
#include "db/sql.h"
#include "os/clock.h"
#include "os/file.h"
#include "store/store_priv.h"

static char test_dir[64];

static struct store *open_here(uint64_t quota, struct err *e)
{
    static const struct store_initial_mailbox initial[] = {
        {STR_("Archive"), STR_("Archive")}, {STR_("Trash"), STR_("Trash")}};

    return store_open(&(struct store_options){initial, COUNT(initial), quota}, e);
}

static void enter_new_dir(void)
{
    snprintf(test_dir, sizeof test_dir, "/tmp/mox-store-XXXXXX");
    CHECK(mkdtemp(test_dir) != NULL);
    CHECK(chdir(test_dir) == 0);
}

static void remove_dir(void)
{
    CHECK(unlink("account.db") == 0);
    unlink("parsing");
    unlink("account.db-wal");
    unlink("account.db-shm");
    CHECK(chdir("/") == 0 && rmdir(test_dir) == 0);
}

static void check_clean(void)
{
    AUTO_BUF problems = BUF_LIMIT(10000);
    struct err e = {0};
    struct store_reader *r = store_reader_open(&e);

    CHECK(r && store_check(r, STORE_CHECK_ALL, &problems, &e));
    CHECK_STR(buf_str(&problems), STR(""));
    store_reader_close(r);
}

static int message_fd(struct str text)
{
    struct err e = {0};
    int fd = os_memfile("test", &e);

    CHECK(fd >= 0 && os_write_all(fd, text, &e));
    return fd;
}

static bool add(struct store *st, const char *mailbox, struct str text, struct str delivery_id,
                struct store_added *out, struct err *e)
{
    int fd = message_fd(text);
    struct store_new m = {.prefix = STR("Received: x\r\n"), .fd = fd, .size = text.n,
                          .received_unix = 1000, .delivery_id = delivery_id};
    bool ok = store_add(st, str_of(mailbox), true, &m, 1, out, e);

    close(fd);
    return ok;
}

static bool collect(void *ctx, struct str bytes)
{
    buf_put(ctx, bytes);
    return true;
}

static bool count_row(void *ctx, const struct store_row *row)
{
    (void)row;
    ++*(size_t *)ctx;
    return true;
}

static bool count_uid(void *ctx, uint32_t uid)
{
    (void)uid;
    ++*(size_t *)ctx;
    return true;
}

static bool count_gone(void *ctx, const struct store_gone *gone)
{
    (void)gone;
    ++*(size_t *)ctx;
    return true;
}

static bool count_copy(void *ctx, uint32_t from, uint32_t to)
{
    (void)from;
    (void)to;
    ++*(size_t *)ctx;
    return true;
}

TEST(messages_come_back_as_they_went_in)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF big = BUF_LIMIT(2 << 20), got = BUF_LIMIT(2 << 20);
    struct err e = {0};
    struct store_added added;
    struct store_email email;
    struct store_mailbox m;
    struct store *st;
    struct store_reader *r;

    enter_new_dir();
    st = open_here(0, &e);
    CHECK(st != NULL);
    BUF_PUT(&big, "Subject: big\r\nFrom: a@b.c\r\n\r\n");
    for (int i = 0; i < 60000; i++)
        buf_printf(&big, "line %d\r\n", i * 7919);
    CHECK(add(st, "Inbox", buf_str(&big), STR(""), &added, &e));
    CHECK(added.uid == 1);
    r = store_reader_open(&e);
    CHECK(store_email_read(r, added.email, 0, UINT64_MAX, collect, &got, &e));
    CHECK_STR(str_sub(buf_str(&got), 0, 13), STR("Received: x\r\n"));
    CHECK(str_eq(str_from(buf_str(&got), 13), buf_str(&big)));
    buf_reset(&got);
    CHECK(store_email_read(r, added.email, 300000, 5, collect, &got, &e));
    CHECK(str_eq(buf_str(&got), str_sub(buf_str(&big), 300000 - 13, 5)));
    CHECK(store_email_get(r, &a, added.email, &email, &e));
    CHECK_STR(email.envelope, STR("(NIL \"big\" ((NIL NIL \"a\" \"b.c\")) ((NIL NIL \"a\" \"b.c\")) "
                                  "((NIL NIL \"a\" \"b.c\")) NIL NIL NIL NIL NIL)"));
    CHECK(store_mailbox_find(r, &a, STR("Inbox"), &m, &e));
    CHECK(m.total == 1 && m.unseen == 1 && m.uidnext == 2 && m.size == big.n + 13);
    store_reader_close(r);
    store_close(st);
    check_clean();
    remove_dir();
}

TEST(a_repeated_delivery_is_stored_once)
{
    struct store_added first, again;
    struct err e = {0};
    struct store *st;
    size_t n = 0;
    struct store_reader *r;

    enter_new_dir();
    st = open_here(0, &e);
    CHECK(add(st, "Inbox", STR("Subject: x\r\n\r\n"), STR("id1"), &first, &e));
    store_close(st);
    st = open_here(0, &e);
    CHECK(add(st, "Inbox", STR("Subject: x\r\n\r\n"), STR("id1"), &again, &e));
    CHECK(first.email == again.email);
    r = store_reader_open(&e);
    CHECK(store_rows(r, 1, 0, count_row, &n, &e) && n == 1);
    store_reader_close(r);
    store_close(st);
    remove_dir();
}

TEST(an_older_writer_is_refused)
{
    struct store_added added;
    struct err e = {0};
    struct store *old, *new;

    enter_new_dir();
    old = open_here(0, &e);
    new = open_here(0, &e);
    CHECK(old && new);
    CHECK(!add(old, "Inbox", STR("x\r\n\r\n"), STR(""), &added, &e) && e.kind == ERR_TEMPORARY);
    e = (struct err){0};
    CHECK(add(new, "Inbox", STR("x\r\n\r\n"), STR(""), &added, &e));
    store_close(old);
    store_close(new);
    check_clean();
    remove_dir();
}

TEST(quota_counts_each_email_once)
{
    struct store_added added;
    struct store_range all = {1, UINT32_MAX};
    struct err e = {0};
    struct store *st;
    uint32_t uidvalidity;
    size_t n = 0;

    enter_new_dir();
    st = open_here(100, &e);
    CHECK(add(st, "Inbox", STR("Subject: 1234567890123456789012345678901234\r\n\r\n"), STR(""),
              &added, &e));
    CHECK(store_copy(st, 1, &all, 1, STR("Archive"), false, &uidvalidity, count_copy, &n, &e));
    CHECK(n == 1);
    CHECK(!add(st, "Inbox", STR("Subject: 1234567890123456789012345678901234\r\n\r\n"), STR(""),
               &added, &e));
    CHECK(e.kind == ERR_LIMIT);
    store_close(st);
    check_clean();
    remove_dir();
}

TEST(flags_copies_and_expunges)
{
    struct store_added added;
    struct store_range all = {1, UINT32_MAX}, second = {2, 2};
    struct store_flags_change c = {.mailbox = 1, .ranges = &all, .n_ranges = 1, .op = FLAGS_ADD,
                                   .flags = FLAG_SEEN, .keywords = STR("work")};
    struct err e = {0};
    struct store_reader *r;
    struct store *st;
    uint64_t before;
    uint32_t uidvalidity;
    size_t n = 0;

    enter_new_dir();
    st = open_here(0, &e);
    for (int i = 0; i < 3; i++)
        CHECK(add(st, "Inbox", STR("Subject: x\r\n\r\nbody"), STR(""), &added, &e));
    before = store_modseq(st);
    CHECK(store_flags(st, &c, count_uid, &n, &e) && n == 0);
    CHECK(store_modseq(st) == before + 1);
    CHECK(store_flags(st, &c, count_uid, &n, &e)); // nothing changes: no new modseq
    CHECK(store_modseq(st) == before + 1);
    c.has_unchanged_since = true;
    c.unchanged_since = before;
    c.op = FLAGS_REMOVE;
    CHECK(store_flags(st, &c, count_uid, &n, &e) && n == 3);
    c = (struct store_flags_change){.mailbox = 1, .ranges = &second, .n_ranges = 1,
                                    .op = FLAGS_ADD, .flags = FLAG_DELETED};
    CHECK(store_flags(st, &c, count_uid, &n, &e));
    before = store_modseq(st);
    CHECK(store_expunge(st, 1, &all, 1, true, &e));
    r = store_reader_open(&e);
    n = 0;
    CHECK(store_rows(r, 1, 0, count_row, &n, &e) && n == 2);
    n = 0;
    CHECK(store_expunged(r, 1, before, count_gone, &n, &e) && n == 1);
    n = 0;
    CHECK(store_copy(st, 1, &all, 1, STR("Trash"), true, &uidvalidity, count_copy, &n, &e) && n == 2);
    CHECK(!store_copy(st, 1, &all, 1, STR("Nowhere"), true, &uidvalidity, count_copy, &n, &e));
    CHECK(e.kind == ERR_NOT_FOUND);
    n = 0;
    e = (struct err){0};
    CHECK(store_rows(r, 1, 0, count_row, &n, &e) && n == 0);
    store_reader_close(r);
    store_close(st);
    check_clean();
    remove_dir();
}

static uint64_t count_of(const char *sql)
{
    struct err e = {0};
    struct db *d = db_open_reader("account.db", &e);
    uint64_t n;

    {
        AUTO_STMT s = db_prepare(d, sql, &e);

        CHECK(s && stmt_step(s, &e));
        n = stmt_u64(s, 0);
    }
    db_close(d);
    return n;
}

TEST(expunged_messages_stay_while_a_session_shows_them)
{
    struct store_added added;
    struct store_range all = {1, UINT32_MAX};
    struct store_session *session;
    struct err e = {0};
    struct store *st;

    enter_new_dir();
    st = open_here(0, &e);
    for (int i = 0; i < 3; i++)
        CHECK(add(st, "Inbox", STR("Subject: x\r\n\r\nbody"), STR(""), &added, &e));
    session = store_session_begin(st);
    CHECK(store_expunge(st, 1, &all, 1, false, &e));
    CHECK(!store_tidy(st));
    CHECK(count_of("SELECT count(DISTINCT owner) FROM chunk") == 3);
    CHECK(count_of("SELECT used_bytes FROM account") == 0); // there is room for others at once
    check_clean();
    store_session_seen(st, session, store_modseq(st));
    while (store_tidy(st))
        ;
    CHECK(count_of("SELECT count(*) FROM chunk") == 0);
    CHECK(count_of("SELECT count(*) FROM email_state") == 0);
    store_session_end(st, session);
    store_close(st);
    check_clean();
    st = open_here(0, &e); // what was not erased before the end is erased by the next process
    CHECK(add(st, "Inbox", STR("Subject: x\r\n\r\nbody"), STR(""), &added, &e));
    CHECK(store_expunge(st, 1, &all, 1, false, &e));
    store_close(st);
    st = open_here(0, &e);
    while (store_tidy(st))
        ;
    CHECK(count_of("SELECT count(*) FROM chunk") == 0);
    store_close(st);
    remove_dir();
}

TEST(old_history_is_forgotten)
{
    enum { DAY_MS = 86400 * 1000 };
    struct store_range all = {1, UINT32_MAX};
    struct store_added added;
    struct store_reader *r;
    struct err e = {0};
    struct store *st;
    struct db *d;
    size_t n = 0;

    enter_new_dir();
    os_clock_set_for_test(DAY_MS * 1000LL);
    st = open_here(0, &e);
    CHECK(add(st, "Inbox", STR("Subject: x\r\n\r\nbody"), STR(""), &added, &e));
    CHECK(store_expunge(st, 1, &all, 1, false, &e));
    os_clock_set_for_test(DAY_MS * 1001LL);
    CHECK(!store_tidy(st)); // notes the day
    // More than are kept in any case.
    d = db_open("account.db", sql_account, sql_account_count, &e);
    CHECK(db_exec(d, "WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < "
                     "100000) INSERT INTO expunged (mailbox, uid, email, modseq) SELECT 1, 1000 + "
                     "i, 1000, 1000 FROM k", &e));
    db_close(d);
    os_clock_set_for_test(DAY_MS * 1090LL);
    CHECK(!store_tidy(st));
    CHECK(count_of("SELECT count(*) FROM expunged") == 100001); // 89 days
    os_clock_set_for_test(DAY_MS * 1091LL);
    CHECK(!store_tidy(st));
    CHECK(count_of("SELECT count(*) FROM expunged") == 100000);
    CHECK(count_of("SELECT expunge_floor = feed_floor AND feed_floor > 0 FROM mailbox, account "
                   "WHERE name = 'Inbox'") == 1);
    r = store_reader_open(&e);
    CHECK(!store_expunged(r, 1, 1, count_gone, &n, &e) && e.kind == ERR_NOT_FOUND);
    store_reader_close(r);
    os_clock_set_for_test(-1);
    store_close(st);
    remove_dir();
}

TEST(the_first_schema_is_opened)
{
    static const char rows[] =
        "INSERT INTO account VALUES (1, 5, 3, 1, 0, 101, 11, 0);"
        "INSERT INTO mailbox (id, name, uidvalidity, uidnext, createseq, modseq, countseq, total, "
        "unseen, unread, deleted, size, threads, unread_threads) "
        "VALUES (1, 'Inbox', 100, 3, 1, 3, 3, 1, 1, 1, 0, 11, 1, 1);"
        "INSERT INTO thread VALUES (1, 2, 2, 0);"
        "INSERT INTO thread_mailbox VALUES (1, 1, 1, 1, 1000);"
        "INSERT INTO email (id, thread, size, received_unix, createseq, modseq, memberseq, flags, "
        "keywords, summary, tree, envelope, bodystructure) "
        "VALUES (1, 1, 11, 1000, 2, 3, 2, 4, 'work', x'', x'', x'', x'');"
        "INSERT INTO placement VALUES (1, 2, 1, 4, 'work', 2, 3, 1000);"
        "INSERT INTO keyword VALUES (1, 'work');";
    struct store_range all = {1, UINT32_MAX};
    struct store_flags_change c = {.mailbox = 1, .ranges = &all, .n_ranges = 1, .op = FLAGS_ADD,
                                   .flags = FLAG_SEEN};
    struct err e = {0};
    struct store *st;
    struct db *d;
    size_t n = 0;

    enter_new_dir();
    d = db_open("account.db", sql_account, 1, &e);
    CHECK(d && db_exec(d, rows, &e));
    CHECK(chunk_put(d, 1, 0, STR("Subject: x\n"), &e));
    db_close(d);
    st = open_here(0, &e);
    CHECK(st != NULL);
    check_clean();
    CHECK(count_of("SELECT flags = 4 AND keywords = 'work' AND modseq = 3 AND memberseq = 2 FROM "
                   "email_state") == 1);
    CHECK(count_of("SELECT size = 11 AND received_unix = 1000 AND thread = 1 FROM placement") == 1);
    CHECK(store_flags(st, &c, count_uid, &n, &e));
    CHECK(count_of("SELECT flags FROM email_state") == (FLAG_SEEN | FLAG_FLAGGED));
    store_close(st);
    check_clean();
    remove_dir();
}

static void change_with_sql(const char *sql)
{
    struct err e = {0};
    struct db *d = db_open("account.db", sql_account, sql_account_count, &e);

    CHECK(d && db_exec(d, sql, &e));
    db_close(d);
}

TEST(uids_and_modseqs_end)
{
    struct store_range all = {1, UINT32_MAX};
    struct store_flags_change c = {.mailbox = 1, .ranges = &all, .n_ranges = 1, .op = FLAGS_ADD,
                                   .flags = FLAG_SEEN};
    struct store_added added;
    struct err e = {0};
    struct store *st;
    size_t n = 0;

    enter_new_dir();
    st = open_here(0, &e);
    store_close(st);
    change_with_sql("UPDATE mailbox SET uidnext = 4294967294 WHERE name = 'Inbox'");
    st = open_here(0, &e);
    CHECK(add(st, "Inbox", STR("Subject: x\r\n\r\n"), STR(""), &added, &e));
    CHECK(added.uid == 4294967294);
    CHECK(!add(st, "Inbox", STR("Subject: x\r\n\r\n"), STR(""), &added, &e) && e.kind == ERR_LIMIT);
    store_close(st);
    change_with_sql("UPDATE account SET modseq = 9223372036854775806");
    e = (struct err){0};
    st = open_here(0, &e);
    CHECK(store_flags(st, &c, count_uid, &n, &e) && store_modseq(st) == INT64_MAX);
    c.op = FLAGS_REMOVE;
    CHECK(!store_flags(st, &c, count_uid, &n, &e) && e.kind == ERR_LIMIT);
    CHECK(count_of("SELECT typeof(modseq) = 'integer' FROM account") == 1);
    CHECK(count_of("SELECT flags FROM placement") == FLAG_SEEN);
    store_close(st);
    check_clean();
    remove_dir();
}

// CPU time of changing n messages of one thread in one mailbox.
static int64_t cost_of_changes(size_t n)
{
    struct store_new *messages = heap_array(n, sizeof *messages);
    struct store_added *added = heap_array(n, sizeof *added);
    struct store_range all = {1, UINT32_MAX};
    struct store_flags_change c = {.mailbox = 1, .ranges = &all, .n_ranges = 1, .op = FLAGS_ADD,
                                   .flags = FLAG_SEEN};
    struct timespec start, end;
    struct err e = {0};
    uint32_t uidvalidity;
    size_t copied = 0;
    struct store *st;
    struct str text = STR("Message-ID: <1@x>\r\nSubject: same\r\n\r\nx\r\n");
    int fd = message_fd(text);

    enter_new_dir();
    st = open_here(0, &e);
    for (size_t i = 0; i < n; i++)
        messages[i] = (struct store_new){.fd = fd, .size = text.n, .received_unix = 1000};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    CHECK(store_add(st, STR("Inbox"), false, messages, n, added, &e));
    CHECK(store_flags(st, &c, count_uid, &copied, &e));
    CHECK(store_copy(st, 1, &all, 1, STR("Archive"), false, &uidvalidity, count_copy, &copied, &e));
    CHECK(store_copy(st, 1, &all, 1, STR("Trash"), true, &uidvalidity, count_copy, &copied, &e));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    CHECK(copied == 2 * n);
    store_close(st);
    check_clean();
    remove_dir();
    close(fd);
    free(messages);
    free(added);
    return (end.tv_sec - start.tv_sec) * 1000000 + (end.tv_nsec - start.tv_nsec) / 1000;
}

TEST(many_messages_of_one_thread_cost_no_more_each)
{
    int64_t some = cost_of_changes(1000), more = cost_of_changes(4000);

    CHECK(more < 8 * some); // quadratic work would be 16 times
}

TEST(mailboxes_have_parents)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct store_mailboxes list;
    struct store_added added;
    struct err e = {0};
    struct store_reader *r;
    struct store *st;

    enter_new_dir();
    st = open_here(0, &e);
    CHECK(store_mailbox_create(st, NULL, STR("a/b/c"), STR(""), &e));
    CHECK(!store_mailbox_create(st, NULL, STR("a/b"), STR(""), &e) && e.kind == ERR_CONFLICT);
    CHECK(!store_mailbox_delete(st, NULL, STR("a"), &e) && e.kind == ERR_CONFLICT);
    CHECK(!store_mailbox_delete(st, NULL, STR("Inbox"), &e) && e.kind == ERR_DENIED);
    e = (struct err){0};
    CHECK(add(st, "a/b/c", STR("x\r\n\r\n"), STR(""), &added, &e));
    CHECK(store_mailbox_rename(st, NULL, STR("a/b"), STR("z/y"), &e));
    r = store_reader_open(&e);
    CHECK(store_mailbox_list(r, &a, &list, &e));
    CHECK(list.n == 7); // Archive Inbox Trash a z z/y z/y/c
    CHECK_STR(list.items[6].name, STR("z/y/c"));
    CHECK(list.items[6].total == 1);
    CHECK(add(st, "Inbox", STR("x\r\n\r\n"), STR(""), &added, &e));
    CHECK(store_mailbox_rename(st, NULL, STR("Inbox"), STR("Old"), &e));
    CHECK(store_mailbox_delete(st, NULL, STR("z/y/c"), &e));
    store_reader_close(r);
    store_close(st);
    check_clean();
    remove_dir();
}

TEST(mailbox_names)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"INBOX", "Inbox"}, {"inbox/Sub", "Inbox/Sub"}, {"Inboxes", "Inboxes"}, {"a&b%c", "a&b%c"},
        {"", NULL}, {"/a", NULL}, {"a/", NULL}, {"a//b", NULL}, {"..", NULL}, {"a/../b", NULL},
        {"#x", NULL}, {"a\nb", NULL}, {"e\xcc\x81", NULL}, {"\xff", NULL}, {"caf\xc3\xa9", "caf\xc3\xa9"},
    };
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err e = {0};
        struct str out = {0};

        CHECK_CASE(store_mailbox_name(&a, str_of(cases[i].in), &out, &e) == (cases[i].out != NULL), i);
        if (cases[i].out)
            CHECK_STR(out, str_of(cases[i].out));
    }
}

TEST(replies_join_their_threads)
{
    static const char *const messages[] = {
        "Message-ID: <1@x>\r\nSubject: plan\r\n\r\n",
        "Message-ID: <2@x>\r\nIn-Reply-To: <1@x>\r\nSubject: Re: plan\r\n\r\n",
        "Message-ID: <4@x>\r\nReferences: <3@x>\r\nSubject: Re: other\r\n\r\n", // before its parent
        "Message-ID: <3@x>\r\nSubject: other\r\n\r\n",
        "Message-ID: <5@x>\r\nSubject: plan\r\n\r\n",
    };
    static const char want[] = "1 1 2 2 3 ";
    AUTO_BUF got = BUF_LIMIT(100);
    struct store_added added;
    struct err e = {0};
    struct store *st;
    struct db *d;

    enter_new_dir();
    st = open_here(0, &e);
    for (size_t i = 0; i < COUNT(messages); i++)
        CHECK(add(st, "Inbox", str_of(messages[i]), STR(""), &added, &e));
    store_close(st);
    d = db_open_reader("account.db", &e);
    {
        AUTO_STMT s = db_prepare(d, "SELECT thread FROM email ORDER BY id", &e);

        while (stmt_step(s, &e))
            buf_printf(&got, "%llu ", (unsigned long long)stmt_u64(s, 0));
    }
    db_close(d);
    CHECK_STR(buf_str(&got), STR(want));
    check_clean();
    remove_dir();
}

// mox-imap-store-cli-config.md 2.8: without references a reply joins the same subject of four weeks.
TEST(threads_by_subject_and_reports)
{
    enum { DAY = 86400 };
    static const struct {
        const char *text;
        int64_t received;
    } messages[] = {
        {"Message-ID: <1@x>\r\nSubject: lunch\r\n\r\n", 100 * DAY},
        {"Message-ID: <2@x>\r\nSubject: Re: Lunch\r\n\r\n", 127 * DAY},           // joins 1
        {"Message-ID: <3@x>\r\nSubject: Re: lunch\r\n\r\n", 127 * DAY + 29 * DAY}, // too late for 2
        {"Message-ID: <4@x>\r\nSubject: lunch\r\n\r\n", 128 * DAY},               // no reply
        {"Message-ID: <5@x>\r\nReferences: <1@x>\r\nSubject: other\r\n\r\n", 101 * DAY}, // another subject
        {"Message-ID: <6@x>\r\nReferences: <1@x>\r\nSubject: failed\r\nContent-Type: "
         "multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\n--b--\r\n",
         101 * DAY},                                                    // a report joins all the same
        {"Message-ID: <1@x>\r\nSubject: again\r\n\r\n", 200 * DAY}, // the same id
    };
    AUTO_BUF got = BUF_LIMIT(100);
    struct store_added added;
    struct err e = {0};
    struct store *st;
    struct db *d;

    enter_new_dir();
    st = open_here(0, &e);
    for (size_t i = 0; i < COUNT(messages); i++) {
        struct str text = str_of(messages[i].text);
        int fd = message_fd(text);
        struct store_new m = {.fd = fd, .size = text.n, .received_unix = messages[i].received};

        CHECK_CASE(store_add(st, STR("Inbox"), true, &m, 1, &added, &e), i);
        close(fd);
    }
    store_close(st);
    d = db_open_reader("account.db", &e);
    {
        AUTO_STMT s = db_prepare(d, "SELECT thread FROM email ORDER BY id", &e);

        while (stmt_step(s, &e))
            buf_printf(&got, "%llu ", (unsigned long long)stmt_u64(s, 0));
    }
    db_close(d);
    CHECK_STR(buf_str(&got), STR("1 1 2 3 4 1 1 "));
    check_clean();
    remove_dir();
}

struct many {
    struct store *st;
    int n;
};

static void *add_many(void *ctx)
{
    struct many *m = ctx;

    for (int i = 0; i < 50; i++) {
        struct store_added added;
        struct err e = {0};

        if (add(m->st, "Inbox", STR("Subject: many\r\n\r\nbody\r\n"), STR(""), &added, &e))
            m->n++;
    }
    return NULL;
}

TEST(threads_share_commits)
{
    pthread_t threads[8];
    struct many many[8];
    struct err e = {0};
    struct store_reader *r;
    struct store *st;
    size_t n = 0;

    enter_new_dir();
    st = open_here(0, &e);
    for (size_t i = 0; i < COUNT(threads); i++) {
        many[i] = (struct many){st, 0};
        CHECK(pthread_create(&threads[i], NULL, add_many, &many[i]) == 0);
    }
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < COUNT(threads); i++)
        CHECK(many[i].n == 50);
    r = store_reader_open(&e);
    CHECK(store_rows(r, 1, 0, count_row, &n, &e) && n == 400);
    store_reader_close(r);
    store_close(st);
    check_clean();
    remove_dir();
}

static void die_here(void)
{
    _exit(9);
}

// A digest of messages with many addresses in few bytes, whose structure takes twenty times as much.
TEST(a_structure_has_an_end)
{
    static const char whole[] = "(\"APPLICATION\" \"OCTET-STREAM\" NIL NIL NIL \"7BIT\" ";
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF text = BUF_LIMIT(4 << 20);
    struct store_added added;
    struct store_email email;
    struct store_reader *r;
    struct store *st;
    struct err e = {0};

    enter_new_dir();
    st = open_here(0, &e);
    CHECK(st != NULL);
    BUF_PUT(&text, "Subject: many\r\nContent-Type: multipart/digest; boundary=b\r\n\r\n");
    for (unsigned i = 0; i < 1000; i++) {
        BUF_PUT(&text, "--b\r\n\r\nFrom:a");
        for (unsigned k = 0; k < 400; k++)
            BUF_PUT(&text, ",a");
        BUF_PUT(&text, "\r\n\r\n");
    }
    CHECK(add(st, "Inbox", buf_str(&text), STR(""), &added, &e));
    r = store_reader_open(&e);
    CHECK(r && store_email_get(r, &a, added.email, &email, &e));
    CHECK(str_starts(email.bodystructure, str_of(whole)) && str_ends(email.bodystructure, STR(")")));
    CHECK(str_find_str(email.envelope, STR("\"many\"")) >= 0);
    store_reader_close(r);
    store_close(st);
    check_clean();
    remove_dir();
}

struct relay_race {
    struct store *st;
    pthread_t second;
    atomic_bool has_returned; // the first
    bool had_returned;        // before the second was committed
};

static bool second_leg(struct store *st, void *ctx, struct err *e)
{
    struct relay_race *r = ctx;
    uint64_t modseq;

    for (unsigned ms = 0; ms < 10000 && !atomic_load(&r->has_returned); ms++)
        os_sleep_ms(1);
    r->had_returned = atomic_load(&r->has_returned);
    return job_modseq(st, &modseq, e);
}

static void *run_second(void *ctx)
{
    struct relay_race *r = ctx;
    struct err e = {0};

    CHECK(store_write(r->st, second_leg, r, &e));
    return NULL;
}

static bool first_leg(struct store *st, void *ctx, struct err *e)
{
    struct relay_race *r = ctx;
    bool is_waiting = false;
    uint64_t modseq;

    CHECK(pthread_create(&r->second, NULL, run_second, r) == 0);
    while (!is_waiting) {
        pthread_mutex_lock(&st->lock);
        is_waiting = st->pending != NULL;
        pthread_mutex_unlock(&st->lock);
    }
    return job_modseq(st, &modseq, e);
}

// Who commits for all has an answer to give as well: it is not kept as long as others come.
TEST(who_leads_commits_returns_when_its_own_is_done)
{
    struct relay_race r = {0};
    struct err e = {0};

    enter_new_dir();
    r.st = open_here(0, &e);
    CHECK(r.st != NULL);
    CHECK(store_write(r.st, first_leg, &r, &e));
    atomic_store(&r.has_returned, true);
    pthread_join(r.second, NULL);
    CHECK(r.had_returned);
    store_close(r.st);
    remove_dir();
}

TEST(a_message_that_ended_us_twice_is_not_parsed)
{
    struct str text = STR("Subject: deadly\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n");
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF got = BUF_LIMIT(10000);
    struct store_reader *r;
    struct store_added added;
    struct store_email email;
    struct err e = {0};
    struct store *st;

    enter_new_dir();
    for (int i = 0; i < 2; i++) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
            store_parsing_for_test = die_here;
            st = open_here(0, &e);
            (void)!add(st, "Inbox", text, STR(""), &added, &e);
            _exit(0);
        }
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 9);
    }
    st = open_here(0, &e);
    CHECK(add(st, "Inbox", text, STR(""), &added, &e));
    r = store_reader_open(&e);
    CHECK(store_email_get(r, &a, added.email, &email, &e));
    CHECK(str_find_str(email.envelope, STR("deadly")) == STR_NONE);
    CHECK(store_email_read(r, added.email, 0, UINT64_MAX, collect, &got, &e));
    CHECK(str_eq(str_from(buf_str(&got), 13), text));
    CHECK(add(st, "Inbox", STR("Subject: harmless\r\n\r\n"), STR(""), &added, &e));
    CHECK(store_email_get(r, &a, added.email, &email, &e));
    CHECK(str_find_str(email.envelope, STR("harmless")) != STR_NONE);
    store_reader_close(r);
    store_close(st);
    check_clean();
    remove_dir();
}

TEST(damage_is_found)
{
    AUTO_BUF problems = BUF_LIMIT(10000);
    struct store_added added;
    struct err e = {0};
    struct store_reader *r;
    struct store *st;
    struct db *d;

    enter_new_dir();
    st = open_here(0, &e);
    CHECK(add(st, "Inbox", STR("Subject: x\r\n\r\nbody"), STR(""), &added, &e));
    store_close(st);
    d = db_open("account.db", sql_account, sql_account_count, &e);
    CHECK(db_exec(d, "UPDATE chunk SET bytes = replace(bytes, 'body', 'bodx')", &e));
    CHECK(db_exec(d, "UPDATE mailbox SET total = 5 WHERE name = 'Inbox'", &e));
    CHECK(db_exec(d, "UPDATE thread_mailbox SET unread = 0", &e));
    CHECK(db_exec(d, "UPDATE email_state SET flags = 1, modseq = 100", &e));
    CHECK(db_exec(d, "UPDATE mailbox SET special_use = 'Trash', modseq = 200 WHERE name = 'Archive'", &e));
    db_close(d);
    r = store_reader_open(&e);
    CHECK(store_check(r, STORE_CHECK_ALL, &problems, &e));
    CHECK(str_find_str(buf_str(&problems), STR("damaged")) != STR_NONE);
    CHECK(str_find_str(buf_str(&problems), STR("counts differ")) != STR_NONE);
    CHECK(str_find_str(buf_str(&problems), STR("thread's row differs")) != STR_NONE);
    CHECK(str_find_str(buf_str(&problems), STR("flags of a message differ")) != STR_NONE);
    CHECK(str_find_str(buf_str(&problems), STR("modseq of a message is above")) != STR_NONE);
    CHECK(str_find_str(buf_str(&problems), STR("modseq of a mailbox is above")) != STR_NONE);
    CHECK(str_find_str(buf_str(&problems), STR("same special use: Trash")) != STR_NONE);
    store_reader_close(r);
    remove_dir();
}
