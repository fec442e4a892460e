#include "mailfile/upstream_server.h"

#include <unistd.h>

#include "base/test.h"
#include "mailfile/bolt.h"
#include "mailfile/bolt_test.h"
#include "mailfile/mailarchive.h"
#include "os/fd.h"
#include "os/file.h"
#include "store/store.h"

static struct str file_of(struct arena *a, const char *path)
{
    struct err e = {0};
    struct str out;

    CHECK(os_read_file(a, path, 1 << 20, &out, &e));
    return out;
}

TEST(a_file_of_the_real_bbolt_is_read)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_EXACT file = exact_copy(file_of(&a, MOX_SOURCE "/test/data/upstream/index.db"));
    struct upstream_account got;
    struct err e = {0};

    CHECK(upstream_read(file.str, &a, &got, &e));
    CHECK(got.n_mailboxes == 5 && got.n_subscriptions == 4 && got.modseq == 950 &&
          got.next_uidvalidity == 2000 && got.password_hash.n == 60);
    CHECK_STR(got.mailboxes[1].name, STR("Sent"));
    CHECK_STR(got.mailboxes[1].special_use, STR("Sent"));
    CHECK(got.mailboxes[0].uidvalidity == 1000 && got.mailboxes[0].uidnext == 170);
    CHECK(got.n_messages == 113);
    for (size_t i = 1; i < got.n_messages; i++)
        CHECK_CASE(got.messages[i - 1].mailbox < got.messages[i].mailbox ||
                       got.messages[i - 1].uid < got.messages[i].uid, i);
    // The first of Inbox is the second that came: the first one was moved away and back.
    CHECK(got.messages[0].mailbox == 1 && got.messages[0].uid == 2 && got.messages[0].id == 2 &&
          got.messages[0].received_unix > 1600000000);
    CHECK_STR(got.messages[0].reverse_path, STR("a@b.example"));
    for (size_t i = 0; i < got.n_messages; i++)
        if (got.messages[i].uid == 10) {
            CHECK(got.messages[i].flags == (FLAG_SEEN | FLAG_FLAGGED));
            CHECK_STR(got.messages[i].keywords, STR("later urgent"));
        }
}

TEST(what_is_cut_off_or_changed_is_an_error_or_less)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct str good = file_of(&a, MOX_SOURCE "/test/corpus/upstream/small");
    struct upstream_account got;
    struct err e = {0};

    CHECK(upstream_read(good, &a, &got, &e) && got.n_messages == 6);
    for (size_t n = 0; n < good.n; n += n < 3000 ? 1 : 97) {
        AUTO_ARENA b = ARENA_LIMIT(64 << 20);
        AUTO_EXACT cut = exact_copy(str_sub(good, 0, n));

        e = (struct err){0};
        CHECK_CASE(!upstream_read(cut.str, &b, &got, &e) && e.kind == ERR_SYNTAX, n);
    }
    for (size_t at = 2048; at < good.n; at += 7) {
        AUTO_ARENA b = ARENA_LIMIT(64 << 20);
        AUTO_EXACT bad = exact_copy(good);

        bad.memory[at] = (char)~bad.memory[at];
        e = (struct err){0};
        (void)!upstream_read(bad.str, &b, &got, &e);
    }
}

struct seen {
    size_t n, n_held;
    struct buf recipients; // a space behind each
};

static bool see_queued(void *ctx, const struct upstream_queued *m, struct err *e)
{
    struct seen *s = ctx;

    (void)e;
    s->n++;
    s->n_held += m->is_held;
    buf_put(&s->recipients, m->recipient);
    BUF_PUT(&s->recipients, " ");
    if (m->id == 2) {
        CHECK(m->attempts == 2 && m->max_attempts == 5 && m->require_tls == 2 && m->n_results == 2);
        CHECK(m->results[1].code == 451 && m->results[1].duration_ms == 2500);
        CHECK_STR(m->results[1].text, STR("come again"));
    }
    return true;
}

static bool see_no_rule(void *ctx, const struct upstream_hold_rule *rule, struct err *e)
{
    (void)ctx, (void)e;
    CHECK_STR(rule->recipient_domain, STR("xn--bcher-kva.example"));
    return true;
}

static bool see_suppression(void *ctx, const struct upstream_suppression *s, struct err *e)
{
    (void)ctx, (void)e;
    CHECK_STR(s->account, STR("mox"));
    return true;
}

TEST(a_queue_is_read_with_what_is_in_its_records)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct str good = file_of(&a, MOX_SOURCE "/test/corpus/upstream/queue");
    struct seen s = {.recipients = BUF_LIMIT(1 << 16)};
    struct upstream_queue_reader r = {&s, see_queued, see_queued, see_no_rule, see_suppression, 0};
    struct err e = {0};

    CHECK(upstream_queue_read(good, &r, &e));
    CHECK(s.n == 10 && s.n_held == 1 && r.n_hooks == 1);
    CHECK_STR(buf_str(&s.recipients),
              STR("gone@c.example old@c.example mox@localhost a@xn--bcher-kva.example \"held user\"@c.example "
                  "x@c.example x@c.example  x@[127.0.0.1] x@c.example "));
    for (size_t n = 0; n < good.n; n += 97) {
        AUTO_EXACT cut = exact_copy(str_sub(good, 0, n));

        e = (struct err){0};
        CHECK_CASE(!upstream_queue_read(cut.str, &r, &e) && e.kind == ERR_SYNTAX, n);
    }
    buf_fini(&s.recipients);
}

static void put(char *p, uint64_t number, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(number >> 8 * i);
}

// A large value goes on at the beginning of a page: a message could have the second meta page of a database with larger
// pages there, and a root of its own.
TEST(a_meta_page_in_the_middle_is_none)
{
    enum { AT = 16384, META = 16, META_SUMMED = 56 };
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct str good = file_of(&a, MOX_SOURCE "/test/data/upstream/index.db");
    AUTO_EXACT file = exact_copy(good);
    struct bolt before, after;
    char *forged = file.memory + AT;
    uint64_t sum = 14695981039346656037u;
    struct err e = {0};

    CHECK(bolt_open(&before, good, &e) && before.page_size < AT && good.n > 2 * AT);
    memcpy(forged, good.p, META + 64);
    put(forged + META + 8, AT, 4);                 // the size of pages
    put(forged + META + 16, 2, 8);                 // the root
    put(forged + META + 40, 2, 8);                 // how many pages there are
    put(forged + META + 48, UINT64_MAX / 2, 8);    // the newest
    for (size_t i = 0; i < META_SUMMED; i++)
        sum = (sum ^ (unsigned char)forged[META + i]) * 1099511628211u;
    put(forged + META + META_SUMMED, sum, 8);
    CHECK(bolt_open(&after, file.str, &e));
    CHECK(after.page_size == before.page_size && after.root == before.root);
    // Where the first is broken, any may be the second.
    file.memory[META] = 'x';
    file.memory[before.page_size + META] = 'x';
    CHECK(bolt_open(&after, file.str, &e) && after.page_size == AT);
}

static bool count(void *ctx, struct str key, struct str value, const struct bolt_bucket *bucket, struct err *e)
{
    (void)key, (void)value, (void)bucket, (void)e;
    ++*(size_t *)ctx;
    return true;
}

// A branch page that names itself, or its own parent, would be walked for ever.
TEST(pages_in_a_circle_are_an_error)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_EXACT file = exact_copy(file_of(&a, MOX_SOURCE "/test/corpus/upstream/tree"));
    struct err e = {0};
    struct bolt b;
    size_t n = 0, circles = 0;

    CHECK(bolt_open(&b, file.str, &e) && bolt_each(&b, NULL, count, &n, &e) && n == 6);
    for (uint64_t page = 2; page < b.n_pages; page++) {
        char *p = file.memory + page * b.page_size;
        struct bolt_bucket bucket = {.root = page};

        if (p[8] != 1) // a branch
            continue;
        p[16 + 8] = (char)(page & 255);
        p[16 + 9] = (char)(page >> 8);
        e = (struct err){0};
        CHECK_CASE(!bolt_each(&b, &bucket, count, &n, &e) && e.kind == ERR_SYNTAX, page);
        circles++;
    }
    CHECK(circles > 0);
}

// A table of one version: its description, and one record.
static void put_table(struct buf *out, const char *description, struct str record)
{
    AUTO_BUF types = BUF_LIMIT(1 << 20), records = BUF_LIMIT(1 << 20);
    struct bolt_test_item type = {str_at("\0\0\0\1", 4), str_of(description), false},
                          one = {str_at("\x80\0\0\0\0\0\0\1", 8), record, false};

    bolt_test_bucket(&types, &type, 1);
    bolt_test_bucket(&records, &one, record.n > 0);
    bolt_test_bucket(out, (struct bolt_test_item[]){{STR("records"), buf_str(&records), true},
                                                    {STR("types"), buf_str(&types), true}}, 2);
}

static bool read_message(struct arena *a, const char *description, struct str record,
                         struct upstream_account *out)
{
    AUTO_BUF mailboxes = BUF_LIMIT(1 << 20), messages = BUF_LIMIT(8 << 20), file = BUF_LIMIT(16 << 20);
    struct err e = {0};

    put_table(&mailboxes, "{\"Fields\":[{\"Name\":\"ID\",\"Type\":{\"Kind\":\"int64\"}}]}", STR(""));
    put_table(&messages, description, record);
    bolt_test_file(&file, (struct bolt_test_item[]){{STR("Mailbox"), buf_str(&mailboxes), true},
                                                    {STR("Message"), buf_str(&messages), true}}, 2);
    AUTO_EXACT exact = exact_copy(buf_str(&file));

    return upstream_read(exact.str, a, out, &e);
}

#define FIELD(name, type) "{\"Name\":\"" name "\",\"Type\":" type "}"
#define WORDS "{\"Kind\":\"slice\",\"List\":{\"Kind\":\"string\"}}"
#define MESSAGE(more) "{\"Fields\":[" FIELD("ID", "{\"Kind\":\"int64\"}") "," \
                      FIELD("UID", "{\"Kind\":\"uint32\"}") "," more "]}"

// The room of a list was counted from nothing, and what was in it was not.
TEST(two_fields_of_one_name_are_no_longer_list)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    // Version, which fields are set, the UID, then each list: how many, which are set, the words.
    static const char record[] = "\1\xe0\7" "\7\xfe\1a\1b\1c\1d\1e\1f\1g" "\7\xfe\1h\1i\1j\1k\1l\1m\1n";
    struct upstream_account got;

    CHECK(read_message(&a, MESSAGE(FIELD("Keywords", WORDS) "," FIELD("Keywords", WORDS)),
                       str_at(record, sizeof record - 1), &got));
    CHECK(got.n_messages == 1 && got.messages[0].uid == 7);
    CHECK_STR(got.messages[0].keywords, STR("a b c d e f g"));
}

// Empty words are bits in the file, and were sixteen bytes in memory, in each of the lists that nobody asked for.
TEST(lists_that_are_not_wanted_take_no_memory)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF record = BUF_LIMIT(4 << 20);
    struct upstream_account got;
    size_t lists = 2000;

    bolt_test_number(&record, 0x07e001, 3);
    for (int field = 0; field < 2; field++) {
        bolt_test_number(&record, (lists & 127) | 128 | (lists >> 7) << 8, 2);
        for (size_t i = 0; i < lists / 8; i++)
            buf_put_char(&record, (char)0xff);
        for (size_t i = 0; i < lists; i++) {
            bolt_test_number(&record, (1000 & 127) | 128 | (1000 >> 7) << 8, 2);
            for (size_t k = 0; k < 1000 / 8; k++)
                buf_put_char(&record, 0);
        }
    }
    CHECK(read_message(&a, MESSAGE(FIELD("Some", "{\"Kind\":\"slice\",\"List\":" WORDS "}") ","
                                   FIELD("Other", "{\"Kind\":\"slice\",\"List\":" WORDS "}")),
                       buf_str(&record), &got));
    CHECK(got.n_messages == 1 && !got.messages[0].keywords.n);
    // In a field that is wanted, more than a record can have is an error.
    CHECK(!read_message(&a, MESSAGE(FIELD("Keywords", "{\"Kind\":\"slice\",\"List\":" WORDS "}") ","
                                    FIELD("Other", "{\"Kind\":\"slice\",\"List\":" WORDS "}")),
                        buf_str(&record), &got));
}

// Structs that are as another one was described, or as none was.
TEST(types_that_are_as_others)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    // UID, then three structs: of the first all is set, the second is as the first, the third has nothing.
    static const char record[] = "\1\xf0\7" "\xc0\2\4" "\x80\6" "";
    struct upstream_account got;

    CHECK(read_message(&a, MESSAGE(FIELD("A", "{\"Kind\":\"struct\",\"FieldsTypeSeq\":2,\"Fields\":[" FIELD("X", "{\"Kind\":\"int\"}")
                                         "," FIELD("Y", "{\"Kind\":\"int\"}") "]}") ","
                                   FIELD("B", "{\"Kind\":\"struct\",\"FieldsTypeSeq\":-2}") ","
                                   FIELD("C", "{\"Kind\":\"struct\",\"FieldsTypeSeq\":-9223372036854775808}")),
                       str_at(record, sizeof record - 1), &got));
    CHECK(got.n_messages == 1 && got.messages[0].uid == 7);
}

TEST(upstream_paths)
{
    static const struct {
        uint64_t id;
        const char *path;
    } cases[] = {{0, "msg/a/0"}, {8191, "msg/a/8191"}, {8192, "msg/b/8192"}, {8192 * 63, "msg/_/516096"},
                 {8192 * 64, "msg/ab/524288"}, {8192ull * 64 * 64 + 1, "msg/aab/33554433"}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        char path[UPSTREAM_MAX_PATH];

        CHECK_STR(upstream_path(cases[i].id, path), str_of(cases[i].path));
    }
}

TEST(names_in_archives)
{
    static const struct {
        const char *name;
        bool is_dir;
        enum mailarchive_what what;
        const char *mailbox, *file;
    } cases[] = {
        {"a.mbox", false, MAILARCHIVE_MBOX, "a", "a.mbox"},
        {"./x/a.mbox", false, MAILARCHIVE_MBOX, "x/a", "a.mbox"},
        {".mbox", false, MAILARCHIVE_UNKNOWN, "", ".mbox"},
        {"x/.mbox", false, MAILARCHIVE_UNKNOWN, "", ".mbox"},
        {"a.mbox/", true, MAILARCHIVE_NOTHING, "", "a.mbox"},
        {"Box/new/", true, MAILARCHIVE_MAILDIR, "Box", "new"},
        {"new/", true, MAILARCHIVE_NOTHING, "", "new"},
        {"new/1", false, MAILARCHIVE_UNKNOWN, "", "1"},
        {"a/b/cur/1:2,S", false, MAILARCHIVE_MESSAGE, "a/b", "1:2,S"},
        {"a/tmp/1", false, MAILARCHIVE_MESSAGE, "a", "1"},
        {"a/b/1", false, MAILARCHIVE_UNKNOWN, "", "1"},
        {"a/dovecot-keywords", false, MAILARCHIVE_KEYWORDS, "a", "dovecot-keywords"},
        {"dovecot-keywords", false, MAILARCHIVE_UNKNOWN, "", "dovecot-keywords"},
        {"/etc/cur/passwd", false, MAILARCHIVE_MESSAGE, "etc", "passwd"},
        {"../../cur/x", false, MAILARCHIVE_MESSAGE, "../..", "x"}, // a mailbox's name, and none that can be
        {"old/Box/new/1", false, MAILARCHIVE_MESSAGE, "Box", "1"}, // old/ is the prefix
        {"old", true, MAILARCHIVE_NOTHING, "", ""},
        {"", false, MAILARCHIVE_UNKNOWN, "", ""},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT name = exact_copy(str_of(cases[i].name));
        struct mailarchive_place got;

        mailarchive_place(name.str, cases[i].is_dir, STR("old/"), &got);
        CHECK_CASE(got.what == cases[i].what, i);
        CHECK_STR(got.mailbox, str_of(cases[i].mailbox));
        CHECK_STR(got.file, str_of(cases[i].file));
    }
}

// Some of what zip can hold is unpacked with as much memory as the file says.
TEST(files_in_a_zip_are_deflated_or_stored)
{
    static const char methods[] = {0, 8, 1, 9, 12, 14, 95, 98};
    struct err e = {0};
    AUTO_FD fd = os_memfile("zip", &e);
    struct mailarchive_writer *w = NULL;

    CHECK(fd >= 0 && mailarchive_load(&e) && (w = mailarchive_create(fd, MAILARCHIVE_ZIP, &e)));
    CHECK(mailarchive_begin(w, STR("a/new/1"), 5, 0, &e) && mailarchive_put(w, STR("hello"), &e) &&
          mailarchive_finish(w, &e));
    mailarchive_free(w);
    for (size_t i = 0; i < COUNT(methods); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        struct mailarchive_entry entry;
        struct mailarchive_reader *r;
        struct str all;
        bool is_known = methods[i] == 0 || methods[i] == 8;

        CHECK(os_read_fd(&a, fd, 1 << 16, &all, &e));
        // In the file's own header, and in the list at the end.
        CHECK(pwrite(fd, &methods[i], 1, 8) == 1 &&
              pwrite(fd, &methods[i], 1, str_find_str(all, STR("PK\1\2")) + 10) == 1);
        e = (struct err){0};
        r = mailarchive_open(fd, &e);
        CHECK_CASE(r && mailarchive_next(r, &entry, &e) == is_known && is_known == !e.kind, i);
        mailarchive_close(r);
    }
}
