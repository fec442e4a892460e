#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/test.h"
#include "db/sql.h"
#include "os/clock.h"
#include "os/file.h"
#include "store/store_priv.h"

static char test_dir[64];
static const struct store_range all = {1, UINT32_MAX};

static struct store *open_with(const struct store_junk *junk)
{
    static const struct store_initial_mailbox initial[] = {{STR_("Junk"), STR_("Junk")},
                                                           {STR_("Spam"), STR_("")},
                                                           {STR_("Lists"), STR_("")}};
    struct err e = {0};
    struct store *st = store_open(
        &(struct store_options){.initial = initial, .n_initial = COUNT(initial), .junk = *junk}, &e);

    CHECK(st != NULL);
    return st;
}

static const struct store_junk learning = {.learns = true};

static struct store *open_new(const struct store_junk *junk)
{
    snprintf(test_dir, sizeof test_dir, "/tmp/mox-learn-XXXXXX");
    CHECK(mkdtemp(test_dir) != NULL);
    CHECK(chdir(test_dir) == 0);
    return open_with(junk);
}

static void remove_dir(void)
{
    CHECK(unlink("account.db") == 0);
    unlink("parsing");
    unlink("account.db-wal");
    unlink("account.db-shm");
    CHECK(chdir("/") == 0 && rmdir(test_dir) == 0);
}

static uint64_t number(const char *sql)
{
    struct err e = {0};
    struct db *d = db_open_reader("account.db", &e);
    struct stmt *s = d ? db_prepare(d, sql, &e) : NULL;
    uint64_t v;

    CHECK(s && stmt_step(s, &e));
    v = stmt_u64(s, 0);
    stmt_done(&s);
    db_close(d);
    return v;
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

static void add(struct store *st, const char *mailbox, struct str text, uint32_t flags,
                struct store_added *out)
{
    struct err e = {0};
    int fd = os_memfile("test", &e);
    struct store_new m = {.fd = fd, .size = text.n, .flags = flags, .received_unix = 1000};

    CHECK(fd >= 0 && os_write_all(fd, text, &e));
    CHECK(store_add(st, str_of(mailbox), false, &m, 1, out, &e));
    close(fd);
}

static uint64_t mailbox_id(const char *name)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct err e = {0};
    struct store_reader *r = store_reader_open(&e);
    struct store_mailbox m;

    CHECK(store_mailbox_find(r, &a, str_of(name), &m, &e));
    store_reader_close(r);
    return m.id;
}

static bool count_uid(void *ctx, uint32_t uid)
{
    (void)uid;
    ++*(size_t *)ctx;
    return true;
}

static void flag(struct store *st, const char *mailbox, enum store_flags_op op, uint32_t flags)
{
    struct store_flags_change c = {.mailbox = mailbox_id(mailbox), .ranges = &all, .n_ranges = 1,
                                   .op = op, .flags = flags};
    struct err e = {0};
    size_t n = 0;

    CHECK(store_flags(st, &c, count_uid, &n, &e));
}

static void learn_all(struct store *st)
{
    while (store_learn(st))
        continue;
    CHECK(number("SELECT count(*) FROM junk_due") == 0);
    check_clean();
}

// ham * 100 + spam messages that are learnt.
static uint64_t learnt(void)
{
    return number("SELECT ham * 100 + spam FROM junk_state");
}

static size_t n_words(void)
{
    struct err e = {0};
    struct db *d = db_open_reader("account.db", &e);
    struct junk_batch *b = junk_batch_new(0);
    bool is_ok = d && junk_batch_read(b, d, &e);
    size_t n = junk_batch_left(b);

    CHECK(is_ok || e.kind == ERR_NOT_FOUND);
    db_close(d);
    junk_batch_free(b);
    return n;
}

static bool copied(void *ctx, uint32_t from, uint32_t to)
{
    (void)ctx;
    (void)from;
    (void)to;
    return true;
}

TEST(learn_follows_flags)
{
    struct store *st = open_new(&learning);
    uint32_t uidvalidity;
    struct store_added a;
    struct err e = {0};

    add(st, "Inbox", STR("Subject: one\r\n\r\nsome words"), 0, &a);
    learn_all(st);
    CHECK(learnt() == 0);
    flag(st, "Inbox", FLAGS_ADD, FLAG_JUNK);
    CHECK(number("SELECT count(*) FROM junk_due") == 1); // with the change itself
    CHECK(learnt() == 0);
    learn_all(st);
    CHECK(learnt() == 1 && n_words() > 10);
    flag(st, "Inbox", FLAGS_ADD, FLAG_NOTJUNK); // both: says nothing
    learn_all(st);
    CHECK(learnt() == 0 && n_words() == 0);
    flag(st, "Inbox", FLAGS_REMOVE, FLAG_JUNK);
    learn_all(st);
    CHECK(learnt() == 100);
    flag(st, "Inbox", FLAGS_SET, FLAG_JUNK); // from one to the other
    learn_all(st);
    CHECK(learnt() == 1);
    flag(st, "Inbox", FLAGS_SET, 0); // and back before anybody looked
    flag(st, "Inbox", FLAGS_SET, FLAG_JUNK);
    learn_all(st);
    CHECK(learnt() == 1);
    // A copy is the same email: it is learnt once, until the last copy goes.
    CHECK(store_copy(st, mailbox_id("Inbox"), &all, 1, STR("Lists"), false, &uidvalidity, copied,
                     NULL, &e));
    learn_all(st);
    CHECK(learnt() == 1);
    CHECK(store_expunge(st, mailbox_id("Inbox"), &all, 1, false, &e));
    learn_all(st);
    CHECK(learnt() == 1);
    CHECK(store_expunge(st, mailbox_id("Lists"), &all, 1, false, &e));
    CHECK(!store_tidy(st) && number("SELECT count(*) FROM email") == 1); // needed for forgetting
    learn_all(st);
    CHECK(learnt() == 0 && n_words() == 0);
    while (store_tidy(st))
        continue;
    CHECK(number("SELECT count(*) FROM email") == 0);
    store_close(st);
    check_clean();
    remove_dir();
}

TEST(learn_of_what_is_due_survives)
{
    struct store *st = open_new(&learning);
    struct store_added a;
    char text[200];

    for (int i = 0; i < 250; i++) {
        snprintf(text, sizeof text, "Subject: %d\r\n\r\nunique%d common", i, i);
        add(st, "Inbox", str_of(text), 0, &a);
    }
    flag(st, "Inbox", FLAGS_ADD, FLAG_JUNK);
    CHECK(number("SELECT count(*) FROM junk_due") == 250);
    CHECK(store_learn(st)); // one step of several
    CHECK(number("SELECT spam FROM junk_state") == 100 && number("SELECT count(*) FROM junk_due") == 150);
    check_clean();
    store_close(st);
    st = open_with(&learning);
    learn_all(st);
    CHECK(number("SELECT spam FROM junk_state") == 250);
    store_close(st);
    remove_dir();
}

static void check_says(const char *sql, const char *want)
{
    AUTO_BUF problems = BUF_LIMIT(10000);
    struct err e = {0};
    struct db *d = db_open("account.db", sql_account, sql_account_count, &e);
    struct store_reader *r;

    CHECK(d && db_exec(d, sql, &e));
    db_close(d);
    r = store_reader_open(&e);
    CHECK(r && store_check(r, STORE_CHECK_ALL, &problems, &e));
    CHECK(str_find_str(buf_str(&problems), str_of(want)) != STR_NONE);
    store_reader_close(r);
}

// Checking learns all again: a word more or less in one message does not pass.
TEST(learn_check_finds_damage)
{
    struct store *st = open_new(&learning);
    struct store_added a;

    add(st, "Inbox", STR("Subject: one\r\n\r\nsome words"), FLAG_NOTJUNK, &a);
    add(st, "Inbox", STR("Subject: two\r\n\r\nother words"), FLAG_JUNK, &a);
    learn_all(st);
    check_says("CREATE TABLE kept AS SELECT * FROM junk_page; UPDATE junk_page SET words = "
               "substr(words, 1, length(words) - 1) || x'02'",
               "words in no message, in more than were learnt");
    // Each word a step further on: it looks well, and is that of no message.
    check_says("DELETE FROM junk_page; INSERT INTO junk_page SELECT first + 1, words FROM kept",
               "words learnt differ from those of the messages: ");
    check_says("DELETE FROM junk_page", "words learnt differ from those of the messages: ");
    check_says("INSERT INTO junk_page VALUES (5, x'ff')", "page 5 of the junk filter's words is damaged");
    check_says("DELETE FROM junk_page; INSERT INTO junk_page SELECT * FROM kept; DROP TABLE kept", "");
    check_clean();
    store_close(st);
    remove_dir();
}

// Its words were rows: they are learnt anew, from the flags.
TEST(learn_in_account_of_version_5)
{
    struct store *st = open_new(&learning);
    struct store_added a;
    struct err e = {0};
    struct db *old;

    store_close(st);
    CHECK(unlink("account.db") == 0);
    old = db_open("account.db", sql_account, 5, &e);
    CHECK(old && db_exec(old, "INSERT INTO account VALUES (1, 1, 1, 1, 0, 7, 0, 0); INSERT INTO mailbox "
                         "(name, uidvalidity, createseq, modseq, countseq) VALUES ('Inbox', 6, 1, 1, 1); "
                         "INSERT INTO junk_state VALUES (1, 1, 2, 'evidence 1', 4, 5); "
                         "INSERT INTO junk_word VALUES (7, 4, 5)", &e));
    db_close(old);
    st = open_with(&learning);
    CHECK(learnt() == 0 && n_words() == 0 && number("SELECT key0 FROM junk_state") != 1);
    add(st, "Inbox", STR("Subject: one\r\n\r\nsome words"), FLAG_NOTJUNK, &a);
    learn_all(st);
    CHECK(learnt() == 100 && n_words() > 10);
    store_close(st);
    remove_dir();
}

TEST(learn_again_from_flags)
{
    struct store_junk other = learning;
    struct store *st = open_new(&learning);
    struct store_added a;
    struct err e = {0};
    uint64_t words, key, due;

    add(st, "Inbox", STR("Subject: one\r\n\r\nsome words"), FLAG_NOTJUNK, &a);
    add(st, "Inbox", STR("Subject: two\r\n\r\nother words"), FLAG_JUNK, &a);
    learn_all(st);
    CHECK(learnt() == 101);
    words = n_words();
    key = number("SELECT key0 FROM junk_state");
    CHECK(store_retrain(st, &e) && learnt() == 0 && n_words() == 0);
    CHECK(store_learn_due(st, &due, &e) && due == 2);
    learn_all(st);
    CHECK(learnt() == 101 && n_words() == words);
    CHECK(number("SELECT key0 FROM junk_state") != key);
    store_close(st);

    // Other settings make other words.
    other.settings = (struct junk_settings){.method = JUNK_WORDS, .onegrams = true};
    st = open_with(&other);
    CHECK(learnt() == 0);
    learn_all(st);
    CHECK(learnt() == 101 && n_words() < words);
    store_close(st);

    // Without a filter nothing is kept, and flags are not followed.
    st = open_with(&(struct store_junk){0});
    CHECK(number("SELECT (SELECT count(*) FROM junk_page) + (SELECT count(*) FROM junk_state)") == 0);
    flag(st, "Inbox", FLAGS_SET, FLAG_JUNK);
    CHECK(!store_learn(st) && number("SELECT count(*) FROM junk_due") == 0);
    CHECK(!store_retrain(st, &e) && e.kind == ERR_DENIED);
    store_close(st);
    st = open_with(&learning);
    learn_all(st);
    CHECK(learnt() == 2);
    store_close(st);
    check_clean();
    remove_dir();
}

static uint32_t flags_in(const char *mailbox)
{
    char sql[200];

    snprintf(sql, sizeof sql, "SELECT flags & 192 FROM placement WHERE mailbox = %u ORDER BY uid "
             "DESC LIMIT 1", (unsigned)mailbox_id(mailbox));
    return (uint32_t)number(sql);
}

// mox-imap-store-cli-config.md 2.7, "Junk flag rules".
TEST(junk_flags_by_mailbox)
{
    static const struct {
        struct store_junk junk;
        uint32_t given, inbox, in_junk, spam, lists;
    } cases[] = {
        {{0}, FLAG_NOTJUNK, FLAG_NOTJUNK, FLAG_JUNK, FLAG_NOTJUNK, FLAG_NOTJUNK},
        {{.sets_flags = true}, FLAG_JUNK, FLAG_JUNK, FLAG_JUNK, FLAG_JUNK, FLAG_JUNK},
        {{.sets_flags = true, .junk = STR_("^(junk|spam)")}, 0, 0, FLAG_JUNK, FLAG_JUNK, 0},
        // Two of three: the third is for the rest.
        {{.sets_flags = true, .junk = STR_("^(junk|spam)"), .neutral = STR_("^inbox")}, FLAG_JUNK, 0,
         FLAG_JUNK, FLAG_JUNK, FLAG_NOTJUNK},
        {{.sets_flags = true, .junk = STR_("^spam"), .notjunk = STR_("^lists")}, FLAG_JUNK, 0,
         FLAG_JUNK, FLAG_JUNK, FLAG_NOTJUNK},
        {{.sets_flags = true, .neutral = STR_("^inbox"), .notjunk = STR_("^lists")}, 0, 0, FLAG_JUNK,
         FLAG_JUNK, FLAG_NOTJUNK},
        // All three: what none matches is left alone. The first in order counts.
        {{.sets_flags = true, .junk = STR_("^(inbox|spam)"), .neutral = STR_("^inbox"),
          .notjunk = STR_("^spam")}, FLAG_NOTJUNK, FLAG_JUNK, FLAG_JUNK, FLAG_JUNK, FLAG_NOTJUNK},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct store *st = open_new(&cases[i].junk);
        uint32_t uidvalidity;
        struct store_added a;
        struct err e = {0};

        add(st, "Inbox", STR("Subject: x\r\n\r\n"), cases[i].given, &a);
        CHECK_CASE(flags_in("Inbox") == cases[i].inbox, i);
        flag(st, "Inbox", FLAGS_SET, cases[i].given);
        CHECK_CASE(store_copy(st, mailbox_id("Inbox"), &all, 1, STR("Junk"), false, &uidvalidity,
                              copied, NULL, &e), i);
        CHECK_CASE(flags_in("Junk") == cases[i].in_junk, i);
        CHECK_CASE(store_copy(st, mailbox_id("Inbox"), &all, 1, STR("Spam"), false, &uidvalidity,
                              copied, NULL, &e), i);
        CHECK_CASE(flags_in("Spam") == cases[i].spam, i);
        CHECK_CASE(store_copy(st, mailbox_id("Inbox"), &all, 1, STR("Lists"), true, &uidvalidity,
                              copied, NULL, &e), i);
        CHECK_CASE(flags_in("Lists") == cases[i].lists, i);
        store_close(st);
        check_clean();
        remove_dir();
    }
}

TEST(learn_then_classify)
{
    struct store *st = open_new(&learning);
    AUTO_ARENA a = ARENA_LIMIT(2 * JUNK_MEMORY);
    struct str message = STR("Subject: cheap pills\r\n\r\nbuy pills");
    bool is_broken, is_open;
    struct junk_message m = {mime_parse(&a, message, &is_broken), junk_read_str, &message};
    struct junk_result result;
    struct store_added added;
    struct err e = {0};
    struct store_reader *r = store_reader_open(&e);

    add(st, "Inbox", STR("Subject: lunch\r\n\r\nat noon"), FLAG_NOTJUNK, &added);
    add(st, "Inbox", STR("Subject: pills\r\n\r\nbuy cheap pills"), FLAG_JUNK, &added);
    learn_all(st);
    CHECK(store_junk_classify(st, r, &a, &m, &is_open, &result, &e) && is_open);
    CHECK(result.probability > 0.5 && !result.is_significant && result.n_spam_deciders > 0);
    store_reader_close(r);
    store_close(st);
    remove_dir();
}
