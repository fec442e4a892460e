#include "base/cur.h"
#include "base/test.h"
#include "mailfile/mailfile.h"

/* All messages of an mbox, each with "[seconds]" before it. */
static struct str read_all(struct arena *a, struct str text)
{
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    AUTO_BUF all = BUF_LIMIT(1 << 20);
    struct mbox_reader r = {0};
    struct cur c = cur_of(text);
    struct err e = {0};
    struct str line;
    bool is_begin;

    while (cur_line(&c, &line)) {
        if (!mbox_line(&r, line, &out, &is_begin, &e))
            return arena_printf(a, "error: %s", e.text);
        if (is_begin) {
            buf_put(&all, buf_str(&out));
            buf_reset(&out);
            buf_printf(&all, "[%lld]", (long long)mbox_received(line));
        }
    }
    buf_put(&all, buf_str(&out));
    return arena_dup(a, buf_str(&all));
}

TEST(mbox_is_read)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);

    CHECK_STR(read_all(&a, STR("From a@b Sat Jan  3 01:05:34 1996\nSubject: x\n\nhi\n\nFrom here on\n"
                               ">From there\n>>From quoted\n\nFrom b@c Mon Jan 01 00:00:00 +0100 2024\r\nA: b\r\n\r\n"
                               "Fromage\n\n\n")),
              STR("[820631134]Subject: x\r\n\r\nhi\r\n[0]From there\r\n>From quoted\r\n"
                  "[1704063600]A: b\r\n\r\nFromage\r\n\r\n"));
    CHECK_STR(read_all(&a, STR("Subject: x\n")),
              STR("error: the first line of an mbox begins with \"From \""));
    // Inside of a paragraph it is text.
    CHECK_STR(read_all(&a, STR("From x Fri Feb 30 00:00:00 UTC 2024\nA: b\n\nx\nFrom y\n")),
              STR("[1709251200]A: b\r\n\r\nx\r\nFrom y\r\n"));
}

TEST(mbox_times)
{
    CHECK(mbox_received(STR("From a Mon Jan  2 15:04:05 2006")) == 1136214245);
    CHECK(mbox_received(STR("From a Mon Jan  2 15:04:05 MST 2006")) == 1136214245);
    CHECK(mbox_received(STR("From a b Mon Jan 02 15:04:05 -0700 2006")) == 1136239445);
    CHECK(mbox_received(STR("From a")) == 0);
    CHECK(mbox_received(STR("From a Mon Jan  2 25:04:05 2006")) == 0);
    CHECK(mbox_received(STR("From ")) == 0);
}

TEST(mbox_flags_of_a_header)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct mailfile_message m = {0};

    mbox_flags(&a, STR("Status: RO\r\nX-Status: AFTD\r\nX-Keywords: $Forwarded, NonJunk,work,a b\r\n"), &m);
    CHECK(m.flags == (FLAG_SEEN | FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DRAFT | FLAG_DELETED |
                      FLAG_FORWARDED | FLAG_NOTJUNK));
    CHECK(m.keywords.n == 1);
    CHECK_STR(m.keywords.items[0], STR("work"));
}

// What is written is read back: bytes, time and flags.
TEST(mbox_round_trip)
{
    static const struct str messages[] = {
        STR_("Subject: x\r\nStatus: old\r\n folded\r\nTo: y\r\n\r\nFrom me\r\n>From you\r\n\r\nFrom us\r\n\r\n\r\n"),
        STR_("Subject: x\r\n"),
        STR_("Subject: x\r\n\r\n"),
        STR_("\r\nno header\r\n"),
        STR_("no header, no field\r\nFrom x\r\n\r\n\tbody\r\n"),
    };
    static const struct str expected[] = {
        STR_("Subject: x\r\nTo: y\r\nStatus: R\r\nX-Status: F\r\nX-Keywords: $Junk,work\r\n\r\nFrom me\r\n>From you\r\n\r\nFrom us\r\n\r\n\r\n"),
        STR_("Subject: x\r\nStatus: R\r\nX-Status: F\r\nX-Keywords: $Junk,work\r\n"),
        STR_("Subject: x\r\nStatus: R\r\nX-Status: F\r\nX-Keywords: $Junk,work\r\n\r\n"),
        STR_("Status: R\r\nX-Status: F\r\nX-Keywords: $Junk,work\r\n\r\nno header\r\n"),
        STR_("no header, no field\r\nFrom x\r\nStatus: R\r\nX-Status: F\r\nX-Keywords: $Junk,work\r\n\r\n\tbody\r\n"),
    };
    struct str work = STR("work");
    const struct mailfile_message m = {1136214245, FLAG_SEEN | FLAG_FLAGGED | FLAG_JUNK,
                                       {&work, 1, 1}};

    for (size_t i = 0; i < COUNT(messages); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF out = BUF_LIMIT(1 << 20);
        struct str twice;

        mbox_put(&out, messages[i], STR("a@b.example"), &m);
        mbox_put(&out, messages[i], STR(""), &m);
        CHECK(str_starts(buf_str(&out), STR("From a@b.example Mon Jan  2 15:04:05 2006\n")));
        CHECK(str_find_str(buf_str(&out), STR("\nFrom mox Mon Jan  2 15:04:05 2006\n")) > 0);
        twice = arena_printf(&a, "[1136214245]%.*s[1136214245]%.*s", STR_FMT(expected[i]),
                             STR_FMT(expected[i]));
        CHECK_STR(read_all(&a, buf_str(&out)), twice);
    }
}

TEST(maildir_names)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(1000);
    struct mailfile_message m = {0};
    struct maildir_keywords keywords;

    maildir_keywords_parse(STR("0 $Forwarded\n1 NonJunk\n3 work\n26 no\nx y\n"), &keywords);
    CHECK_STR(maildir_name(&a, STR("1136214245.M5P6.host,S=9:2,FSabdz"), &keywords, &m),
              STR("1136214245.M5P6.host,S=9"));
    CHECK(m.received_unix == 1136214245);
    CHECK(m.flags == (FLAG_FLAGGED | FLAG_SEEN | FLAG_FORWARDED | FLAG_NOTJUNK));
    CHECK(m.keywords.n == 1);
    CHECK_STR(m.keywords.items[0], STR("work"));
    m = (struct mailfile_message){0};
    CHECK_STR(maildir_name(&a, STR("message"), &keywords, &m), STR("message"));
    CHECK(!m.received_unix && !m.flags);
    maildir_put_flags(&out, FLAG_SEEN | FLAG_DRAFT | FLAG_JUNK | FLAG_MDNSENT);
    CHECK_STR(buf_str(&out), STR(":2,DSbe"));
    maildir_keywords_parse(maildir_own_keywords, &keywords);
    maildir_name(&a, buf_str(&out), &keywords, &m);
    CHECK(m.flags == (FLAG_SEEN | FLAG_DRAFT | FLAG_JUNK | FLAG_MDNSENT));
}
