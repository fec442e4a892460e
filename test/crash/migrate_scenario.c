/*
 * An account of the first version, opened by this one, under faults: it is of one version or another
 * afterwards, has all its mail, and the next opening goes on.
 */
#include <stdio.h>

#include "db/sql.h"
#include "faults.h"
#include "store/store.h"

enum { SIZE = 40 };

static void text_of(unsigned i, char out[SIZE + 1])
{
    snprintf(out, SIZE + 1, "Subject: message %u\r\n\r\n%-17u", i, i);
}

static bool put_message(struct db *d, unsigned i, struct err *e)
{
    static const char *const rows[] = {
        "INSERT INTO thread (id, createseq, modseq) VALUES (?1, 2, 2)",
        "INSERT INTO email (id, thread, size, received_unix, createseq, modseq, memberseq, flags, summary, "
        "tree, envelope, bodystructure) VALUES (?1, ?1, 40, 1000, 2, 2, 2, 0, x'', x'', x'', x'')",
        "INSERT INTO placement (mailbox, uid, email, flags, createseq, modseq, saved_unix) VALUES (1, ?1, ?1, "
        "0, 2, 2, 1000)",
        "INSERT INTO thread_mailbox (thread, mailbox, emails, unread, newest) VALUES (?1, 1, 1, 1, 1000)",
    };
    char text[SIZE + 1];

    for (size_t k = 0; k < COUNT(rows); k++) {
        AUTO_STMT s = db_prepare(d, rows[k], e);

        if (!s)
            return false;
        stmt_bind_u64(s, 1, i + 1);
        if (!stmt_run(s, e))
            return false;
    }
    text_of(i, text);
    return chunk_put(d, i + 1, 0, str_at(text, SIZE), e);
}

static bool make_first_version(struct err *e)
{
    struct db *d = db_open("account.db", sql_account, 1, e);
    bool is_ok = d && db_begin(d, e) &&
                 db_exec(d, "INSERT INTO account (id, jmap_id, modseq, epoch, writer, next_uidvalidity, "
                         "used_bytes, feed_floor) VALUES (1, 1, 2, 1, 0, 10, 320, 0);"
                         "INSERT INTO mailbox (id, name, uidvalidity, uidnext, createseq, modseq, countseq, "
                         "total, unseen, unread, size, threads, unread_threads) VALUES (1, 'Inbox', 1, 9, 1, 2, "
                         "2, 8, 8, 8, 320, 8, 8)", e);

    for (unsigned i = 0; is_ok && i < MESSAGES; i++)
        is_ok = put_message(d, i, e);
    is_ok = is_ok && db_commit(d, e);
    db_close(d);
    return is_ok;
}

static void work(int to)
{
    static const struct store_options o = {0};
    struct err e = {0};

    if (!make_first_version(&e))
        return;
    for (unsigned i = 0; i < MESSAGES; i++)
        acknowledge(to, 'a', i);
    for (int attempt = 0; attempt < 3; attempt++) {
        struct store *st;

        e = (struct err){0};
        st = store_open(&o, &e);
        store_close(st);
        if (st)
            return;
    }
}

static bool collect(void *ctx, struct str bytes)
{
    buf_put(ctx, bytes);
    return true;
}

static int check_message(struct store_reader *r, unsigned i)
{
    AUTO_BUF got = BUF_LIMIT(1000);
    char text[SIZE + 1];
    struct err e = {0};

    text_of(i, text);
    if (store_email_read(r, i + 1, 0, UINT64_MAX, collect, &got, &e) &&
        str_eq(buf_str(&got), str_at(text, SIZE)))
        return 0;
    printf("message %u: %s\n", i, e.kind ? e.text : "is another");
    return 1;
}

static int check(const char *said, size_t n)
{
    static const struct store_options o = {0};
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    struct err e = {0};
    struct store *st = store_open(&o, &e);
    struct store_reader *r = st ? store_reader_open(&e) : NULL;
    int bad = 0;

    (void)said;
    if (!r || !store_check(r, STORE_CHECK_ALL, &problems, &e)) {
        printf("cannot be opened or checked: %s\n", e.text);
        bad++;
    }
    if (problems.n) {
        printf("%.*s", STR_FMT(buf_str(&problems)));
        bad++;
    }
    for (unsigned i = 0; r && n && i < MESSAGES; i++)
        bad += check_message(r, i);
    store_reader_close(r);
    store_close(st);
    return bad;
}

const struct scenario migrate_scenario = {"migrate", work, check};
