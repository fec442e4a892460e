#include <stdlib.h>
#include <unistd.h>

#include "base/test.h"
#include "db/sql.h"
#include "os/clock.h"
#include "os/file.h"
#include "store/reputation.h"
#include "store/store_priv.h"

static char test_dir[64];
static struct store *st;
static struct store_reader *reader;

static void begin(void)
{
    static const struct store_initial_mailbox initial[] = {{STR_("Sent"), STR_("Sent")}};
    struct err e = {0};

    snprintf(test_dir, sizeof test_dir, "/tmp/mox-reputation-XXXXXX");
    CHECK(mkdtemp(test_dir) && chdir(test_dir) == 0);
    st = store_open(&(struct store_options){initial, COUNT(initial), 0}, &e);
    reader = store_reader_open(&e);
    CHECK(st && reader);
}

static void end(void)
{
    AUTO_BUF problems = BUF_LIMIT(10000);
    struct err e = {0};

    CHECK(store_check(reader, STORE_CHECK_ALL, &problems, &e));
    CHECK_STR(buf_str(&problems), STR(""));
    store_reader_close(reader);
    store_close(st);
    unlink("account.db");
    unlink("account.db-wal");
    unlink("account.db-shm");
    unlink("parsing");
    CHECK(chdir("/") == 0 && rmdir(test_dir) == 0);
}

static uint64_t mailbox_id(const char *name)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct store_mailbox m;
    struct err e = {0};

    return store_mailbox_find(reader, &a, str_of(name), &m, &e) ? m.id : 0;
}

static int text_fd(const char *text, struct err *e)
{
    int fd = os_memfile("test", e);

    CHECK(fd >= 0 && os_write_all(fd, str_of(text), e));
    return fd;
}

// A message from jane@example.org, whose domain was validated, at a time.
static uint32_t add(const char *mailbox, int64_t when, uint32_t flags, const char *destined,
                    const char *text)
{
    const struct store_sign signs[] = {{SIGN_FROM_PROVED, STR("jane@example.org"), STR("")},
                                       {SIGN_FROM_DOMAIN_PROVED, STR("example.org"), STR("jane")},
                                       {SIGN_IP1, STR("192.0.2.1"), STR("")}};
    struct store_origin o = {.signs = signs, .n_signs = COUNT(signs), .networks = {STR("192.0.2.1")},
                             .destined = str_of(destined), .facts = STR("facts")};
    struct err e = {0};
    int fd = text_fd(text, &e);
    struct store_new m = {.fd = fd, .size = str_of(text).n, .received_unix = when, .flags = flags,
                          .origin = &o, .rejects = STR("Rejects")};
    struct store_added added;

    CHECK(store_add(st, str_of(mailbox), true, &m, 1, &added, &e));
    close(fd);
    return added.uid;
}

static bool reject(int64_t when, const char *digest, const char *text)
{
    struct store_origin o = {.is_reject = true, .destined = STR("Inbox"), .digest = str_of(digest)};
    struct err e = {0};
    int fd = text_fd(text, &e);
    struct store_new m = {.fd = fd, .size = str_of(text).n, .received_unix = when,
                          .flags = FLAG_SEEN, .origin = &o};
    bool stored = false;

    CHECK(store_reject(st, STR("Rejects"), false, &m, &stored, &e));
    close(fd);
    return stored;
}

// "j" for junk, "g" for good, newest first.
static const char *history(const char *mailbox, enum store_sign_kind kind, const char *value,
                           int64_t since)
{
    static char out[STORE_MAX_HISTORY + 1];
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct store_judged got[STORE_MAX_HISTORY];
    struct err e = {0};
    size_t n;

    CHECK(store_history(reader, &a, mailbox_id(mailbox), kind, str_of(value), since,
                        STORE_MAX_HISTORY, got, &n, &e));
    for (size_t i = 0; i < n; i++)
        out[i] = got[i].is_junk ? 'j' : 'g';
    out[n] = 0;
    return out;
}

static void flag(const char *mailbox, uint32_t uid, enum store_flags_op op, uint32_t flags)
{
    struct store_range one = {uid, uid};
    struct err e = {0};

    CHECK(store_flags(st, &(struct store_flags_change){.mailbox = mailbox_id(mailbox), .ranges = &one,
                                                       .n_ranges = 1, .op = op, .flags = flags},
                      NULL, NULL, &e));
}

static bool no_uid(void *ctx, uint32_t from, uint32_t to)
{
    (void)from;
    *(uint32_t *)ctx = to;
    return true;
}

static uint32_t move(const char *from, uint32_t uid, const char *to, bool is_move)
{
    struct store_range one = {uid, uid};
    uint32_t uidvalidity, out = 0;
    struct err e = {0};

    CHECK(store_copy(st, mailbox_id(from), &one, 1, str_of(to), is_move, &uidvalidity, no_uid, &out,
                     &e));
    return out;
}

static bool first_flags(void *ctx, const struct store_row *row)
{
    *(uint32_t *)ctx = row->flags;
    return true;
}

static uint32_t flags_of_last(const char *mailbox)
{
    uint32_t flags = UINT32_MAX;
    struct err e = {0};

    CHECK(store_rows(reader, mailbox_id(mailbox), 0, first_flags, &flags, &e));
    return flags;
}

TEST(reputation_follows_flags)
{
    uint32_t first, second;

    begin();
    first = add("Inbox", 1000, 0, "", "Subject: a\r\n\r\n");
    second = add("Inbox", 2000, FLAG_JUNK, "", "Subject: b\r\n\r\n");
    CHECK_STR(str_of(history("Inbox", SIGN_FROM_PROVED, "jane@example.org", 0)), STR("j"));
    flag("Inbox", first, FLAGS_ADD, FLAG_NOTJUNK);
    CHECK_STR(str_of(history("Inbox", SIGN_FROM_PROVED, "jane@example.org", 0)), STR("jg"));
    CHECK_STR(str_of(history("Inbox", SIGN_FROM_DOMAIN_PROVED, "example.org", 0)), STR("jg"));
    CHECK_STR(str_of(history("Inbox", SIGN_IP1, "192.0.2.1", 1001)), STR("j"));
    CHECK_STR(str_of(history("Inbox", SIGN_FROM, "jane@example.org", 0)), STR(""));
    CHECK_STR(str_of(history("Sent", SIGN_IP1, "192.0.2.1", 0)), STR(""));
    flag("Inbox", second, FLAGS_SET, FLAG_NOTJUNK | FLAG_SEEN);
    CHECK_STR(str_of(history("Inbox", SIGN_IP1, "192.0.2.1", 0)), STR("gg"));
    flag("Inbox", first, FLAGS_REMOVE, FLAG_NOTJUNK);
    CHECK_STR(str_of(history("Inbox", SIGN_IP1, "192.0.2.1", 0)), STR("g"));
    flag("Inbox", first, FLAGS_ADD, FLAG_JUNK | FLAG_NOTJUNK); // both: junk counts
    CHECK_STR(str_of(history("Inbox", SIGN_IP1, "192.0.2.1", 0)), STR("gj"));
    end();
}

TEST(reputation_stays_with_the_mailbox_of_delivery)
{
    uint32_t uid, moved;
    struct store_range all = {1, UINT32_MAX};
    struct err e = {0};

    begin();
    uid = add("Inbox", 1000, FLAG_NOTJUNK, "", "Subject: a\r\n\r\n");
    CHECK(store_mailbox_create(st, NULL, STR("Other"), STR(""), &e));
    moved = move("Inbox", uid, "Other", true);
    CHECK_STR(str_of(history("Inbox", SIGN_IP1, "192.0.2.1", 0)), STR("g"));
    CHECK_STR(str_of(history("Other", SIGN_IP1, "192.0.2.1", 0)), STR(""));
    flag("Other", moved, FLAGS_SET, FLAG_JUNK);
    CHECK_STR(str_of(history("Inbox", SIGN_IP1, "192.0.2.1", 0)), STR("j"));
    // Expunged mail is forgotten.
    CHECK(store_expunge(st, mailbox_id("Other"), &all, 1, false, &e));
    CHECK_STR(str_of(history("Inbox", SIGN_IP1, "192.0.2.1", 0)), STR(""));
    end();
}

TEST(reputation_of_what_leaves_the_introbox)
{
    struct err e = {0};
    uint32_t uid;

    begin();
    CHECK(store_mailbox_create(st, NULL, STR("Other"), STR(""), &e));
    // Where it was meant to go: welcome, and it counts there.
    uid = add("Introbox", 1000, 0, "Inbox", "Subject: a\r\n\r\n");
    move("Introbox", uid, "Inbox", true);
    CHECK(flags_of_last("Inbox") == FLAG_NOTJUNK);
    CHECK_STR(str_of(history("Inbox", SIGN_IP1, "192.0.2.1", 0)), STR("g"));
    // Elsewhere without a judgement: still the Introbox's.
    uid = add("Introbox", 2000, 0, "Inbox", "Subject: b\r\n\r\n");
    uid = move("Introbox", uid, "Other", true);
    flag("Other", uid, FLAGS_ADD, FLAG_JUNK);
    CHECK_STR(str_of(history("Inbox", SIGN_IP1, "192.0.2.1", 0)), STR("g"));
    CHECK_STR(str_of(history("Introbox", SIGN_IP1, "192.0.2.1", 0)), STR("j"));
    // Elsewhere as junk.
    uid = add("Introbox", 3000, FLAG_JUNK, "Inbox", "Subject: c\r\n\r\n");
    move("Introbox", uid, "Other", true);
    CHECK_STR(str_of(history("Inbox", SIGN_IP1, "192.0.2.1", 0)), STR("jg"));
    end();
}

TEST(rejects_are_kept_once_and_go_when_delivered)
{
    int64_t now = os_now_unix();
    uint32_t moved;

    begin();
    CHECK(reject(now, "digest 1", "Message-Id: <One@x>\r\n\r\n1"));
    CHECK(!reject(now, "digest 2", "Message-Id: <one@x>\r\n\r\n2")); // by id
    CHECK(reject(now, "digest 3", "Subject: without id\r\n\r\n3"));
    CHECK(!reject(now, "digest 3", "Subject: without id\r\n\r\n3")); // by digest
    CHECK(flags_of_last("Rejects") == FLAG_SEEN);
    // Delivered after all: the copy in Rejects goes, the other one stays.
    add("Inbox", now, 0, "", "Message-Id: <one@x>\r\n\r\n1");
    CHECK(reject(now, "digest 1", "Message-Id: <One@x>\r\n\r\n1"));
    // Moved to where it was meant to go: unread, and no reject any more.
    moved = move("Rejects", 2, "Inbox", true);
    CHECK(moved == 2 && flags_of_last("Inbox") == 0);
    CHECK(reject(now, "digest 3", "Subject: without id\r\n\r\n3"));
    end();
}

TEST(rejects_are_limited_by_age_and_number)
{
    int64_t now = os_now_unix();
    struct err e = {0};
    uint64_t modseq;

    begin();
    CHECK(reject(now - STORE_REJECTS_SECONDS - 1, "old", "Message-Id: <old@x>\r\n\r\n"));
    for (int i = 1; i < STORE_MAX_REJECTS; i++) {
        char text[64];

        snprintf(text, sizeof text, "Message-Id: <%d@x>\r\n\r\n", i);
        CHECK(reject(now, text, text));
    }
    CHECK(reject(now, "last", "Message-Id: <last@x>\r\n\r\n")); // the old one made room
    CHECK(!reject(now, "more", "Message-Id: <more@x>\r\n\r\n"));
    CHECK(store_mailbox_modseq(reader, mailbox_id("Rejects"), &modseq, &e));
    end();
}

TEST(arrivals_are_counted_by_network_and_time)
{
    struct store_arrivals minute, day;
    struct err e = {0};

    begin();
    add("Inbox", 600000, 0, "", "x");
    add("Inbox", 600060, 0, "", "xyz");
    CHECK(store_arrivals(reader, STR("192.0.2.1"), 600061, &minute, &day, &e));
    CHECK(minute.messages == 2 && minute.bytes == 4 && day.messages == 2);
    CHECK(store_arrivals(reader, STR("192.0.2.1"), 600121, &minute, &day, &e));
    CHECK(minute.messages == 1 && minute.bytes == 3 && day.messages == 2);
    CHECK(store_arrivals(reader, STR("192.0.2.1"), 600000 + 25 * 3600, &minute, &day, &e));
    CHECK(minute.messages == 0 && day.messages == 0);
    CHECK(store_arrivals(reader, STR("192.0.2.2"), 600061, &minute, &day, &e));
    CHECK(day.messages == 0);
    end();
}

static bool has_written(const char *localpart, const char *domain, bool with_subdomains, int64_t since)
{
    struct err e = {0};
    bool out;

    CHECK(store_has_written(reader, str_of(localpart), str_of(domain), with_subdomains, since, &out,
                            &e));
    return out;
}

TEST(correspondents_are_those_of_sent_messages)
{
    struct err e = {0};
    const char *text = "From: me@here.example\r\nTo: Jane <jane@Mail.Example.org>, b@x.test\r\n"
                       "Cc: c@x.test\r\nBcc: d@b\xc3\xbc" "cher.example\r\n\r\n";
    int fd;
    struct store_new m;
    struct store_added added;

    begin();
    fd = text_fd(text, &e);
    m = (struct store_new){.fd = fd, .size = str_of(text).n, .received_unix = 1000};
    CHECK(store_add(st, STR("Inbox"), false, &m, 1, &added, &e));
    CHECK(!has_written("jane", "mail.example.org", false, 0));
    CHECK(store_add(st, STR("Sent"), false, &m, 1, &added, &e));
    CHECK(has_written("jane", "mail.example.org", false, 1000));
    CHECK(!has_written("jane", "mail.example.org", false, 1001));
    CHECK(!has_written("jane", "example.org", false, 0));
    CHECK(!has_written("", "example.org", false, 0));
    CHECK(has_written("", "example.org", true, 0));
    CHECK(!has_written("", "xample.org", true, 0));
    CHECK(!has_written("", "org.example", true, 0));
    CHECK(has_written("", "mail.example.org", true, 0));
    CHECK(has_written("", "x.test", false, 0));
    CHECK(has_written("c", "x.test", false, 0));
    CHECK(has_written("d", "xn--bcher-kva.example", false, 0));
    CHECK(!has_written("", "", true, 0));
    close(fd);
    end();
}

TEST(correspondents_are_those_of_messages_moved_to_sent)
{
    const char *text = "From: me@here.example\r\nTo: =?utf-8?q?x=2C_boss=40bank.example=2C?= <jane@example.org>\r\n"
                       "Cc: c@x.test\r\nCc: d@x.test\r\nBcc: e@y.test\r\nReply-To: f@y.test\r\n\r\n";

    for (int is_move = 0; is_move < 2; is_move++) {
        uint32_t uid;

        begin();
        uid = add("Outbox", 1000, 0, "", text);
        CHECK(!has_written("jane", "example.org", false, 0));
        move("Outbox", uid, "Sent", is_move);
        CHECK(has_written("jane", "example.org", false, 1000));
        CHECK(!has_written("jane", "example.org", false, 1001));
        CHECK(has_written("c", "x.test", false, 0) && has_written("d", "x.test", false, 0));
        CHECK(has_written("e", "y.test", false, 0) && !has_written("f", "y.test", false, 0));
        CHECK(!has_written("", "bank.example", true, 0)); // the name of somebody
        end();
    }
}

/* What a decision asks of an account, with its answers. */
static void ask_all(bool *has_history)
{
    static const struct {
        enum store_sign_kind kind;
        const char *value;
    } signs[] = {{SIGN_FROM_PROVED, "jane@example.org"}, {SIGN_FROM_DOMAIN_PROVED, "example.org"},
                 {SIGN_IP1, "192.0.2.1"}, {SIGN_FROM, "stranger@example.net"}, {SIGN_IP3, "192.0.0.0/21"}};
    struct store_arrivals minute, day;
    struct err e = {0};

    *has_history = true;
    for (size_t i = 0; i < COUNT(signs); i++)
        *has_history &= (i < 3) == (history("Inbox", signs[i].kind, signs[i].value, 0)[0] != 0);
    CHECK(store_arrivals(reader, STR("192.0.2.1"), 600000, &minute, &day, &e));
    *has_history &= has_written("p1", "example.com", false, 0) && has_written("", "example.com", false, 0) &&
                    has_written("", "example.com", true, 0) && !has_written("", "example.net", true, 0);
}

// How much work the same questions are in a mailbox that grows.
TEST(questions_cost_the_same_in_mailboxes_of_any_size)
{
    uint64_t before = 0;

    begin();
    for (int n = 0, goal = 100; goal <= 800; goal *= 2) {
        uint64_t steps;
        bool is_answered;

        for (; n < goal; n++) {
            char text[100];

            // Not all judged, and all in the same few minutes.
            add("Inbox", 600000 - n % 200, n % 3 ? n % 2 ? FLAG_JUNK : FLAG_NOTJUNK : 0, "", "x");
            snprintf(text, sizeof text, "To: p%d@example.com, q%d@d%d.example.com\r\n\r\n", n, n, n);
            add("Sent", 600000, 0, "", text);
        }
        ask_all(&is_answered); // statements are prepared
        CHECK(is_answered);
        steps = db_steps(reader->db);
        ask_all(&is_answered);
        steps = db_steps(reader->db) - steps;
        // With 200 there are as many for each sign as are asked for.
        CHECK_CASE(goal <= 200 || steps <= before + before / 20, goal);
        before = steps;
    }
    CHECK(db_scanned_rows(reader->db) == 0);
    end();
}

TEST(subjectpass_keys_stay)
{
    char one[STORE_SUBJECTPASS_KEY], again[STORE_SUBJECTPASS_KEY], other[STORE_SUBJECTPASS_KEY];
    struct err e = {0};

    begin();
    CHECK(store_subjectpass_key(st, STR("a@x"), one, &e));
    CHECK(store_subjectpass_key(st, STR("b@x"), other, &e));
    CHECK(store_subjectpass_key(st, STR("a@x"), again, &e));
    CHECK(str_eq(str_at(one, sizeof one), str_at(again, sizeof again)));
    CHECK(!str_eq(str_at(one, sizeof one), str_at(other, sizeof other)));
    end();
}

TEST(account_of_version_3_is_opened)
{
    struct err e = {0};
    struct db *old;

    begin();
    store_reader_close(reader);
    store_close(st);
    CHECK(unlink("account.db") == 0);
    old = db_open("account.db", sql_account, 3, &e);
    CHECK(old && db_exec(old, "INSERT INTO account VALUES (1, 1, 1, 1, 0, 7, 0, 0); INSERT INTO mailbox "
                         "(name, uidvalidity, createseq, modseq, countseq) VALUES ('Inbox', 6, 1, 1, 1)",
                         &e));
    db_close(old);
    st = store_open(&(struct store_options){0}, &e);
    reader = store_reader_open(&e);
    CHECK(st && reader);
    add("Inbox", 1000, FLAG_JUNK, "", "x");
    CHECK_STR(str_of(history("Inbox", SIGN_IP1, "192.0.2.1", 0)), STR("j"));
    end();
}

TEST(facts_are_kept_with_the_message)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct err e = {0};
    struct str facts;

    begin();
    add("Inbox", 1000, 0, "", "x");
    CHECK(store_facts(reader, &a, mailbox_id("Inbox"), 1, &facts, &e));
    CHECK_STR(facts, STR("facts"));
    CHECK(!store_facts(reader, &a, mailbox_id("Inbox"), 2, &facts, &e) && e.kind == ERR_NOT_FOUND);
    end();
}
