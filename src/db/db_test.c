#include "db/db.h"

#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "base/test.h"
#include "db/checksum.h"
#include "db/sql.h"

static const struct db_migration steps[] = {
    {"CREATE TABLE a (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO a (x) VALUES ('one');"},
    {"ALTER TABLE a ADD COLUMN y TEXT NOT NULL DEFAULT 'two';"},
    {"CREATE TABLE nonsense (; "},
};

static char test_dir[64];

static void enter_new_dir(void)
{
    snprintf(test_dir, sizeof test_dir, "/tmp/mox-db-XXXXXX");
    CHECK(mkdtemp(test_dir) != NULL && chdir(test_dir) == 0);
}

static void leave_dir(void)
{
    unlink("t.db");
    unlink("t.db-wal");
    unlink("t.db-shm");
    CHECK(chdir("/") == 0 && rmdir(test_dir) == 0);
}

TEST(migrations_are_applied_once_and_whole)
{
    struct err e = {0};
    struct db *d;

    enter_new_dir();
    d = db_open("t.db", steps, 1, &e);
    CHECK(d != NULL);
    db_close(d);
    // A database of the version before keeps its rows.
    d = db_open("t.db", steps, 2, &e);
    CHECK(d != NULL);
    {
        AUTO_STMT s = db_prepare(d, "SELECT x, y FROM a", &e);

        CHECK(stmt_step(s, &e));
        CHECK_STR(stmt_str(s, 0), STR("one"));
        CHECK_STR(stmt_str(s, 1), STR("two"));
        CHECK(!stmt_step(s, &e)); // inserted once
    }
    db_close(d);
    // One that fails leaves the version as it was.
    CHECK(!db_open("t.db", steps, 3, &e));
    e = (struct err){0};
    d = db_open("t.db", steps, 2, &e);
    CHECK(d != NULL);
    db_close(d);
    // A file of a newer program is not touched.
    CHECK(!db_open("t.db", steps, 1, &e) && e.kind == ERR_CONFLICT);
    leave_dir();
}

static bool collect(void *ctx, struct str bytes)
{
    buf_put(ctx, bytes);
    return true;
}

static void check_read(struct db *d, struct str all, uint64_t offset, uint64_t n)
{
    AUTO_BUF got = BUF_LIMIT(4 << 20);
    struct err e = {0};

    CHECK(chunk_read(d, 1, offset, n, collect, &got, &e));
    CHECK(str_eq(buf_str(&got), str_sub(all, (size_t)offset, (size_t)n)));
}

static uint64_t page_size(struct db *d)
{
    struct err e = {0};
    AUTO_STMT s = db_prepare(d, "PRAGMA page_size", &e);

    CHECK(s && stmt_step(s, &e));
    return stmt_u64(s, 0);
}

TEST(a_database_with_larger_pages_is_used_as_it_is)
{
    struct err e = {0};
    struct db *d;

    enter_new_dir();
    d = db_open("t.db", steps, 1, &e);
    CHECK(d != NULL && page_size(d) == 4096);
    // As databases were made before.
    CHECK(db_exec(d, "PRAGMA journal_mode = DELETE; PRAGMA page_size = 16384; VACUUM", &e));
    db_close(d);
    d = db_open("t.db", steps, 2, &e);
    CHECK(d != NULL && page_size(d) == 16384);
    {
        AUTO_STMT s = db_prepare(d, "SELECT x FROM a", &e);

        CHECK(stmt_step(s, &e));
        CHECK_STR(stmt_str(s, 0), STR("one"));
    }
    db_close(d);
    leave_dir();
}

TEST(chunks_come_back_in_any_range)
{
    AUTO_BUF all = BUF_LIMIT(4 << 20);
    AUTO_BUF got = BUF_LIMIT(4 << 20);
    struct err e = {0};
    struct db *d;
    unsigned number = 0;

    enter_new_dir();
    for (int i = 0; all.n < 2 * CHUNK_BYTES + 1000; i++)
        buf_printf(&all, "line %d\r\n", i * 7919);
    d = db_open("t.db", sql_queue, sql_queue_count, &e);
    CHECK(d != NULL);
    // A short first chunk, such as a message's header.
    CHECK(chunk_put(d, 1, number++, str_sub(buf_str(&all), 0, 700), &e));
    for (size_t at = 700; at < all.n; at += CHUNK_BYTES)
        CHECK(chunk_put(d, 1, number++, str_sub(buf_str(&all), at, CHUNK_BYTES), &e));
    check_read(d, buf_str(&all), 0, 700);
    check_read(d, buf_str(&all), 690, 20);
    check_read(d, buf_str(&all), 700, 1);
    check_read(d, buf_str(&all), 700 + CHUNK_BYTES - 3, 6);
    check_read(d, buf_str(&all), 700 + CHUNK_BYTES, 5);
    check_read(d, buf_str(&all), all.n - 1, 100);
    check_read(d, buf_str(&all), all.n + 5, 100);
    CHECK(chunk_drop(d, 1, &e));
    number = 0;
    for (size_t at = 0; at < all.n; at += CHUNK_BYTES)
        CHECK(chunk_put(d, 1, number++, str_sub(buf_str(&all), at, CHUNK_BYTES), &e));
    check_read(d, buf_str(&all), 0, all.n);
    check_read(d, buf_str(&all), CHUNK_BYTES - 3, 6);
    check_read(d, buf_str(&all), CHUNK_BYTES, 1);
    check_read(d, buf_str(&all), all.n - 1, 100);
    check_read(d, buf_str(&all), all.n + 5, 100);
    CHECK(db_exec(d, "UPDATE chunk SET sum = sum + 1 WHERE number = 1", &e));
    CHECK(!chunk_read(d, 1, 0, all.n, collect, &got, &e) && e.kind == ERR_BUG);
    e = (struct err){0};
    CHECK(chunk_drop(d, 1, &e));
    buf_reset(&got);
    CHECK(chunk_read(d, 1, 0, all.n, collect, &got, &e) && !got.n);
    db_close(d);
    leave_dir();
}

TEST(checksums_are_those_of_zlib)
{
    AUTO_BUF all = BUF_LIMIT(1 << 20);
    uint32_t x = 1;

    while (all.n < 5000) {
        x = x * 1664525 + 1013904223;
        buf_put_char(&all, (char)(x >> 24));
    }
    // Every length up to many strides, and others from other bytes on.
    for (size_t from = 0; from < 17; from++)
        for (size_t n = 0; n < (from ? 300 : all.n); n++) {
            AUTO_EXACT in = exact_copy(str_at(all.p + from, n));

            CHECK(checksum(in.str) == crc32_z(0, (const unsigned char *)in.str.p, n));
        }
}

// As chunks were written before: compressed, with the checksum of the plain bytes.
TEST(a_chunk_with_the_checksum_of_its_plain_bytes_is_read)
{
    AUTO_BUF all = BUF_LIMIT(1 << 20);
    AUTO_BUF got = BUF_LIMIT(1 << 20);
    struct err e = {0};
    struct db *d;

    enter_new_dir();
    for (int i = 0; all.n < 20000; i++)
        buf_printf(&all, "line %d\r\n", i * 7919);
    d = db_open("t.db", sql_queue, sql_queue_count, &e);
    CHECK(d && chunk_put(d, 1, 0, buf_str(&all), &e));
    for (int damage = 0; damage < 2; damage++) {
        AUTO_STMT s = db_prepare(d, "UPDATE chunk SET codec = 1, sum = ? WHERE codec > 0", &e);

        CHECK(s != NULL);
        stmt_bind_u64(s, 1, crc32_z(0, (const unsigned char *)all.p, all.n) + (unsigned)damage);
        CHECK(stmt_run(s, &e) && db_changes(d) == 1);
        buf_reset(&got);
        CHECK(chunk_read(d, 1, 0, all.n, collect, &got, &e) == !damage);
        CHECK(damage || str_eq(buf_str(&got), buf_str(&all)));
    }
    CHECK(e.kind == ERR_BUG);
    e = (struct err){0};
    // One that is compressed is not taken for plain, whatever its length.
    CHECK(chunk_drop(d, 1, &e) && chunk_put(d, 1, 0, buf_str(&all), &e));
    CHECK(db_exec(d, "UPDATE chunk SET sum = sum + 1, size = length(bytes)", &e));
    CHECK(!chunk_read(d, 1, 0, all.n, collect, &got, &e) && e.kind == ERR_BUG);
    db_close(d);
    leave_dir();
}

TEST(a_missing_reference_is_found)
{
    AUTO_BUF problems = BUF_LIMIT(10000);
    struct err e = {0};
    struct db *d;

    enter_new_dir();
    d = db_open("t.db", sql_queue, sql_queue_count, &e);
    CHECK(db_check(d, &problems, &e) && !problems.n);
    CHECK(db_exec(d, "PRAGMA foreign_keys = OFF; INSERT INTO entry (message, recipient, "
                     "next_attempt_unix) VALUES (77, 'x@y', 0)", &e));
    CHECK(db_check(d, &problems, &e));
    CHECK(str_find_str(buf_str(&problems), STR("a row of entry refers to a row of message")) >= 0);
    db_close(d);
    leave_dir();
}
