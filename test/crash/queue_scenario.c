/*
 * The queue under faults: a message whose submission was acknowledged waits, exactly once and intact,
 * until its delivery was noted.
 */
#include <stdio.h>
#include <unistd.h>

#include "faults.h"
#include "os/fd.h"
#include "os/file.h"
#include "queue/manage.h"

static void add(struct queue *q, int to, unsigned i)
{
    AUTO_FD fd = message_file(i);
    struct queue_recipient rcpt = {.address = STR("to@example.org")};
    struct queue_new m = {.account = STR("mox"), .reverse_path = STR("from@example.org"),
                          .prefix = STR("Received: x\r\n"), .recipients = &rcpt,
                          .n_recipients = 1, .fd = fd,
                          .size = (uint64_t)lseek(fd, 0, SEEK_END)};

    // As a sender does: what was not acknowledged is sent again.
    for (int attempt = 0; attempt < 3; attempt++) {
        struct err e = {0};
        bool is_added = queue_add(q, &m, &e);

        // An addition that failed is undone alone: the commit is then of nothing.
        if (queue_commit(q, &e) && is_added) {
            acknowledge(to, 'a', i);
            return;
        }
    }
}

// Messages have their numbers in order of their entries' ids, as far as they were added.
static unsigned number_of(struct queue *q, const struct queue_entry *entry, struct buf *bytes)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct err e = {0};
    AUTO_FD fd = os_memfile("m", &e);
    struct str text;
    ptrdiff_t at;

    if (fd < 0 || !queue_read(q, entry->message, fd, &e) || !os_read_fd(&a, fd, 1 << 20, &text, &e))
        return MESSAGES;
    buf_put(bytes, text);
    at = str_find_str(text, STR("Subject: message "));
    return at < 0 || (size_t)at + 17 >= text.n ? MESSAGES : (unsigned)(text.p[at + 17] - '0');
}

// Half are delivered, a quarter fail for now.
static void change(struct queue *q, int to)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    const struct attempt delivered = {.class = ATTEMPT_DELIVERED, .code = 250};
    const struct attempt busy = {.class = ATTEMPT_TEMPORARY, .text = STR("busy")};
    struct queue_entry entry;
    struct err e = {0};
    bool found = true;

    for (size_t k = 0; k < MESSAGES && found; k++) {
        AUTO_BUF bytes = BUF_LIMIT(1 << 20);
        unsigned i;

        e = (struct err){0};
        if (!queue_next(q, &a, &entry, &found, &e) || !found)
            return;
        i = number_of(q, &entry, &bytes);
        e = (struct err){0};
        if (i % 2 == 1 && queue_result(q, &entry, &delivered, &e) && queue_commit(q, &e))
            acknowledge(to, 'd', i);
        if (i % 4 == 2 && queue_result(q, &entry, &busy, &e) && queue_commit(q, &e))
            acknowledge(to, 'r', i);
    }
}

static void work(int to)
{
    struct err e = {0};
    struct queue *q = queue_open(&e);

    if (!q)
        _exit(101);
    for (unsigned i = 0; i < MESSAGES; i++)
        add(q, to, i);
    change(q, to);
    queue_close(q);
}

static bool is_intact(unsigned i, struct str bytes)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_FD fd = message_file(i);
    struct err e = {0};
    struct str body;

    return os_read_fd(&a, fd, 1 << 20, &body, &e) &&
           str_eq(bytes, arena_printf(&a, "Received: x\r\n%.*s", STR_FMT(body)));
}

static int check(const char *said, size_t n)
{
    AUTO_BUF list = BUF_LIMIT(1 << 20);
    bool is_added[MESSAGES] = {0}, is_done[MESSAGES] = {0};
    unsigned there[MESSAGES] = {0};
    struct queue_entry entry = {0};
    struct err e = {0};
    struct queue *q = queue_open(&e);
    int problems = 0;
    uint64_t last;

    for (size_t i = 0; i + 1 < n; i += 2) {
        unsigned k = (unsigned char)said[i + 1] % MESSAGES;

        is_added[k] |= said[i] == 'a';
        is_done[k] |= said[i] == 'd';
    }
    if (!q || !queue_list(q, &(struct queue_filter){0}, 0, &list, &last, &e)) {
        printf("cannot be read: %s\n", e.text);
        return 1;
    }
    // Every message has one entry, and both count from 1: those that are gone cannot be read.
    for (entry.message = 1; entry.message < 100; entry.message++) {
        AUTO_BUF bytes = BUF_LIMIT(1 << 20);
        unsigned i = number_of(q, &entry, &bytes);

        if (!bytes.n)
            continue;
        if (i >= MESSAGES || !is_intact(i, buf_str(&bytes))) {
            printf("message %u is not intact\n", i);
            problems++;
        } else {
            there[i]++;
        }
    }
    for (unsigned i = 0; i < MESSAGES; i++) {
        bool is_wrong = there[i] > 1 || (is_done[i] && there[i]) ||
                        // A delivery that was not noted may have been noted all the same.
                        (is_added[i] && i % 2 == 0 && there[i] != 1);

        if (is_wrong) {
            printf("message %u is there %u times\n", i, there[i]);
            problems++;
        }
    }
    queue_close(q);
    return problems;
}

const struct scenario queue_scenario = {"queue", work, check};
