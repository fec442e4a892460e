#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/test.h"
#include "db/db.h"

static const struct db_migration first[] = {
    {"CREATE TABLE message (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT); CREATE INDEX message_text ON message (text);"
     "CREATE TABLE chunk (owner INTEGER NOT NULL, number INTEGER NOT NULL, size INTEGER NOT NULL, codec INTEGER "
     "NOT NULL, sum INTEGER NOT NULL, key INTEGER NOT NULL DEFAULT 0, nonce BLOB, tag BLOB, bytes BLOB NOT NULL, "
     "PRIMARY KEY (owner, number));"
     "CREATE TABLE word (name TEXT PRIMARY KEY) WITHOUT ROWID"},
    {"ALTER TABLE message ADD COLUMN size INTEGER NOT NULL DEFAULT 7"},
};

static void enter_directory(void)
{
    char path[] = "/tmp/mox-backup-XXXXXX";

    CHECK(mkdtemp(path) && chdir(path) == 0);
}

static struct str value(struct arena *a, const char *file, const char *sql)
{
    struct err e = {0};
    struct db *d = db_open_reader(file, &e);
    struct str out = STR("failed");

    CHECK(d);
    {
        AUTO_STMT s = db_prepare(d, sql, &e);

        if (s && stmt_step(s, &e))
            out = arena_dup(a, stmt_str(s, 0));
    }
    db_close(d);
    return out;
}

static bool copy_here(void *ctx, const char *source, const char *to, bool is_new, bool *is_other, struct err *e)
{
    (void)ctx;
    return db_copy(source, to, is_new, is_other, e);
}

static bool backup(const char *source, const char *copy, struct err *e)
{
    return db_backup(source, copy, copy_here, NULL, e);
}

TEST(backup_follows_the_source)
{
    static const char all[] = "SELECT group_concat(id || text || size) FROM (SELECT * FROM message ORDER BY id)";
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF problems = BUF_LIMIT(1 << 16);
    struct err e = {0};
    struct db *d, *copy;
    struct stat before, after;

    enter_directory();
    d = db_open("a.db", first, 1, &e);
    CHECK(d && db_exec(d, "INSERT INTO message (text) VALUES ('x'), ('y'), ('gone'); INSERT INTO word VALUES "
                          "('w')", &e));
    CHECK(db_exec(d, "DELETE FROM message WHERE text = 'gone'", &e));
    CHECK(chunk_put(d, 1, 0, STR("bytes of one"), &e) && chunk_put(d, 2, 0, STR("bytes of two"), &e));
    // While a writer is in the middle of something: what it has not committed is not in the copy.
    CHECK(db_begin(d, &e) && db_exec(d, "INSERT INTO message (text) VALUES ('later')", &e));
    CHECK(backup("a.db", "b.db", &e));
    CHECK_STR(value(&a, "b.db", "SELECT group_concat(id || text) FROM message"), STR("1x,2y"));
    CHECK(db_commit(d, &e));
    // The same rows of chunk, one that is gone, a new one.
    CHECK(chunk_drop(d, 1, &e) && chunk_put(d, 4, 0, STR("bytes of four"), &e));
    CHECK(db_exec(d, "UPDATE message SET text = 'z' WHERE id = 1; DELETE FROM message WHERE id = 2", &e));
    CHECK(stat("b.db", &before) == 0);
    CHECK(backup("a.db", "b.db", &e));
    CHECK(stat("b.db", &after) == 0 && before.st_ino == after.st_ino);
    CHECK_STR(value(&a, "b.db", "SELECT group_concat(id || text) FROM message"), STR("1z,4later"));
    CHECK_STR(value(&a, "b.db", "SELECT group_concat(owner) FROM (SELECT owner FROM chunk ORDER BY owner)"),
              STR("2,4"));
    CHECK_STR(value(&a, "b.db", "SELECT seq FROM sqlite_sequence WHERE name = 'message'"), STR("4"));
    CHECK_STR(value(&a, "b.db", "SELECT count(*) FROM sqlite_schema WHERE name = 'message_text'"), STR("1"));
    db_close(d);
    // A newer version of the source: the copy is made anew, and is that version.
    d = db_open("a.db", first, 2, &e);
    CHECK(d && backup("a.db", "b.db", &e));
    CHECK_STR(value(&a, "b.db", all), STR("1z7,4later7"));
    db_close(d);
    // It opens as what it is.
    copy = db_open("b.db", first, 2, &e);
    CHECK(copy && db_check(copy, &problems, &e) && !problems.n);
    db_close(copy);
    CHECK(access("b.db.new", F_OK) != 0);
}

TEST(backup_that_fails_leaves_the_copy)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct err e = {0};
    struct db *d;

    enter_directory();
    d = db_open("a.db", first, 1, &e);
    CHECK(d && db_exec(d, "INSERT INTO message (text) VALUES ('x')", &e) && backup("a.db", "b.db", &e));
    db_close(d);
    CHECK(truncate("a.db", 5000) == 0);
    CHECK(!backup("a.db", "b.db", &e));
    CHECK_STR(value(&a, "b.db", "SELECT text FROM message"), STR("x"));
    e = (struct err){0};
    CHECK(!backup("none.db", "c.db", &e) || access("none.db", F_OK) == 0);
}
