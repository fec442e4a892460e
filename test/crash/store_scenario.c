/*
 * An account's mail under faults: what was added, flagged, moved and expunged and acknowledged must be
 * there, exactly once and intact, and the store's own check must find nothing.
 */
#include <stdio.h>
#include <unistd.h>

#include "faults.h"
#include "os/fd.h"
#include "os/file.h"
#include "store/store.h"

/* --- what is done while the fault happens ----------------------------------------------------------- */

static uint32_t uids[MESSAGES];

static void add(struct store *st, int to, unsigned i)
{
    AUTO_FD fd = message_file(i);
    char id[20];
    struct store_new m = {.fd = fd, .size = (uint64_t)lseek(fd, 0, SEEK_END),
                          .received_unix = 1000};
    struct store_added added;
    struct err e = {0};

    snprintf(id, sizeof id, "d%u", i);
    m.delivery_id = str_of(id);
    // As a sender does: what was not acknowledged is sent again.
    for (int attempt = 0; attempt < 3; attempt++) {
        e = (struct err){0};
        if (store_add(st, STR("Inbox"), true, &m, 1, &added, &e)) {
            uids[i] = added.uid;
            acknowledge(to, 'a', i);
            return;
        }
    }
}

static uint64_t inbox(void)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct store_mailbox m = {0};
    struct err e = {0};
    struct store_reader *r = store_reader_open(&e);

    if (r && !store_mailbox_find(r, &a, STR("Inbox"), &m, &e))
        m.id = 0;
    if (r)
        store_reader_close(r);
    return m.id;
}

static bool on_copied(void *ctx, uint32_t from, uint32_t to)
{
    (void)ctx, (void)from, (void)to;
    return true;
}

static void change(struct store *st, int to)
{
    uint64_t mailbox = inbox();

    for (unsigned i = 0; i < MESSAGES && mailbox; i++) {
        struct store_range one = {uids[i], uids[i]};
        struct store_flags_change c = {.mailbox = mailbox, .ranges = &one, .n_ranges = 1,
                                       .op = FLAGS_ADD, .flags = i % 4 == 3 ? FLAG_DELETED
                                                                             : FLAG_FLAGGED};
        struct err e = {0};
        uint32_t uidvalidity;

        if (!uids[i])
            continue;
        if (i % 4 == 1 && store_flags(st, &c, NULL, NULL, &e))
            acknowledge(to, 'f', i);
        if (i % 4 == 2 && store_copy(st, mailbox, &one, 1, STR("Archive"), true, &uidvalidity,
                                     on_copied, NULL, &e))
            acknowledge(to, 'm', i);
        if (i % 4 == 3 && store_flags(st, &c, NULL, NULL, &e) &&
            store_expunge(st, mailbox, &one, 1, true, &e))
            acknowledge(to, 'x', i);
    }
}

static void work(int to)
{
    static const struct store_initial_mailbox initial[] = {{STR_("Inbox"), STR_("")},
                                                           {STR_("Archive"), STR_("Archive")}};
    struct store_options o = {initial, COUNT(initial), 0};
    struct err e = {0};
    struct store *st;

    st = store_open(&o, &e);
    if (!st) // the fault hit the opening: a role would be started again
        _exit(101);
    for (unsigned i = 0; i < MESSAGES; i++)
        add(st, to, i);
    change(st, to);
    store_close(st);
}

/* --- what must be there afterwards ------------------------------------------------------------------ */

struct found {
    unsigned in_inbox[MESSAGES], in_archive[MESSAGES], flags[MESSAGES];
    struct store_reader *r;
    unsigned *where;
    int problems;
};

static bool to_buf(void *ctx, struct str bytes)
{
    buf_put(ctx, bytes);
    return true;
}

static bool on_row(void *ctx, const struct store_row *row)
{
    AUTO_BUF got = BUF_LIMIT(1 << 20);
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct found *f = ctx;
    struct err e = {0};
    struct str want;
    unsigned i;

    if (!store_email_read(f->r, row->email, 0, row->size, to_buf, &got, &e) || got.n < 20) {
        printf("unreadable message: %s\n", e.text);
        f->problems++;
        return true;
    }
    i = (unsigned)(got.p[17] - '0');
    {
        AUTO_FD fd = message_file(i < MESSAGES ? i : 0);

        if (i >= MESSAGES || !os_read_fd(&a, fd, 1 << 20, &want, &e) ||
            !str_eq(want, buf_str(&got))) {
            printf("message %u is not intact\n", i);
            f->problems++;
            return true;
        }
    }
    f->where[i]++;
    f->flags[i] = row->flags;
    return true;
}

static void look(struct found *f, const char *mailbox, unsigned *where)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct store_mailbox m;
    struct err e = {0};

    f->where = where;
    if (store_mailbox_find(f->r, &a, str_of(mailbox), &m, &e) &&
        !store_rows(f->r, m.id, 0, on_row, f, &e)) {
        printf("%s: %s\n", mailbox, e.text);
        f->problems++;
    }
}

static void expect(struct found *f, bool is_so, const char *text, unsigned i)
{
    if (!is_so) {
        printf("message %u: %s\n", i, text);
        f->problems++;
    }
}

static int check(const char *said, size_t n)
{
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    bool is_added[MESSAGES] = {0}, is_moved[MESSAGES] = {0}, is_gone[MESSAGES] = {0},
         is_flagged[MESSAGES] = {0};
    struct found f = {.problems = 0};
    struct err e = {0};

    for (size_t i = 0; i + 1 < n; i += 2) {
        unsigned k = (unsigned char)said[i + 1] % MESSAGES;

        is_added[k] |= said[i] == 'a';
        is_moved[k] |= said[i] == 'm';
        is_gone[k] |= said[i] == 'x';
        is_flagged[k] |= said[i] == 'f';
    }
    // Opening for writing recovers, as the next start would.
    {
        struct store_options o = {0};
        struct store *st = store_open(&o, &e);

        if (!st) {
            printf("cannot be opened: %s\n", e.text);
            return 1;
        }
        store_close(st);
    }
    f.r = store_reader_open(&e);
    if (!f.r || !store_check(f.r, STORE_CHECK_ALL, &problems, &e)) {
        printf("cannot be checked: %s\n", e.text);
        return 1;
    }
    if (problems.n) {
        printf("%.*s", STR_FMT(buf_str(&problems)));
        f.problems++;
    }
    look(&f, "Inbox", f.in_inbox);
    look(&f, "Archive", f.in_archive);
    for (unsigned i = 0; i < MESSAGES; i++) {
        unsigned both = f.in_inbox[i] + f.in_archive[i];

        expect(&f, both <= 1, "is there twice", i);
        if (is_gone[i])
            expect(&f, both == 0, "was expunged and is there", i);
        else if (is_added[i] && i % 4 != 3) // an expunge that was not acknowledged may have happened
            expect(&f, both == 1, "was acknowledged and is missing", i);
        if (is_moved[i])
            expect(&f, f.in_archive[i] == 1, "was moved and is elsewhere", i);
        if (is_flagged[i])
            expect(&f, f.flags[i] & FLAG_FLAGGED, "was flagged and has no flag", i);
    }
    store_reader_close(f.r);
    return f.problems;
}

const struct scenario store_scenario = {"store", work, check};
