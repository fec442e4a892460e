#include <string.h>
#include <unistd.h>

#include "base/test.h"
#include "db/sql.h"
#include "os/clock.h"
#include "role/auth/credentials_priv.h"

static char test_dir[64];

static void enter_new_dir(void)
{
    snprintf(test_dir, sizeof test_dir, "/tmp/mox-auth-XXXXXX");
    CHECK(mkdtemp(test_dir) != NULL);
    CHECK(chdir(test_dir) == 0);
}

static void remove_dir(void)
{
    CHECK(unlink("auth.db") == 0);
    unlink("auth.db-wal");
    unlink("auth.db-shm");
    CHECK(chdir("/") == 0 && rmdir(test_dir) == 0);
}

// What a client with this password would make of the stored salt.
static bool fits(struct credentials *c, enum hash_kind hash, struct str password)
{
    struct scram_secret s;
    struct scram_keys want;
    struct err e = {0};

    if (!credentials_scram(c, STR("alice"), hash, &s, &e))
        return false;
    CHECK(s.iterations == SCRAM_ITERATIONS);
    scram_derive(hash, password, str_at(s.salt, sizeof s.salt), s.iterations, &want);
    return memcmp(&want, &s.keys, sizeof want) == 0;
}

static bool cram_fits(struct credentials *c, struct str password)
{
    unsigned char states[HMAC_MD5_STATES], want[HMAC_MD5_STATES];
    struct err e = {0};

    hmac_md5_prepare(password, want);
    return credentials_cram_md5(c, STR("alice"), states, &e) &&
           memcmp(want, states, sizeof want) == 0;
}

TEST(a_password_serves_every_mechanism)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct password p;
    struct err e = {0};
    struct credentials *c;

    enter_new_dir();
    c = credentials_open(&e);
    CHECK(c != NULL);
    CHECK(!credentials_password(c, &a, STR("alice"), &p, &e) && e.kind == ERR_NOT_FOUND);
    for (int i = 0; i < 2; i++) { // set, and changed
        struct str password = i ? STR("another long one") : STR("correct horse");
        struct str other = i ? STR("correct horse") : STR("another long one");

        CHECK(credentials_set(c, STR("alice"), password, &e));
        CHECK(credentials_password(c, &a, STR("alice"), &p, &e) && p.has_derived);
        CHECK(password_verify(p.hash, password) && !password_verify(p.hash, other));
        CHECK(fits(c, HASH_SHA1, password) && fits(c, HASH_SHA256, password));
        CHECK(!fits(c, HASH_SHA1, other) && !fits(c, HASH_SHA256, other));
        CHECK(cram_fits(c, password) && !cram_fits(c, other));
    }
    CHECK(!credentials_set(c, STR("alice"), STR("short"), &e));
    // In the forms of its letters that clients derive from: decomposed, and with a ligature.
    CHECK(credentials_set(c, STR("alice"), STR("pass e\xcc\x81 o\xef\xac\x83" "ce"), &e));
    CHECK(fits(c, HASH_SHA256, STR("pass \xc3\xa9 office")));
    CHECK(credentials_password(c, &a, STR("alice"), &p, &e));
    CHECK(password_verify(p.hash, STR("pass \xc3\xa9 o\xef\xac\x83" "ce")));
    credentials_close(c);
    remove_dir();
}

// A database of before SCRAM and CRAM-MD5: only the password's hash is there.
TEST(database_of_version_1)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct password p;
    struct derived d;
    struct str hash;
    struct err e = {0};
    struct credentials *c;
    struct db *old;
    struct stmt *s;

    enter_new_dir();
    CHECK(password_hash(&a, STR("correct horse"), &hash, &e));
    old = db_open("auth.db", sql_auth, 1, &e);
    CHECK(old != NULL);
    s = db_prepare(old, "INSERT INTO credential VALUES ('alice', ?, 0)", &e);
    stmt_bind_str(s, 1, hash);
    CHECK(stmt_run(s, &e));
    stmt_done(&s);
    CHECK(db_exec(old, "INSERT INTO login_attempt (key, first_unix, last_unix, count, account, "
                       "login, remote_ip, protocol, mechanism, result) VALUES "
                       "(x'00', 1, 1, 1, '', 'x', '127.0.0.1', 'imap', 'plain', 'baduser')", &e));
    db_close(old);

    c = credentials_open(&e);
    CHECK(c != NULL);
    CHECK(credentials_password(c, &a, STR("alice"), &p, &e) && !p.has_derived);
    CHECK(password_verify(p.hash, STR("correct horse")));
    CHECK(!fits(c, HASH_SHA1, STR("correct horse")) && !cram_fits(c, STR("correct horse")));
    derived_make(STR("correct horse"), &d);
    // Of a password that was changed meanwhile: nothing happens.
    CHECK(credentials_derive(c, STR("alice"), STR("another hash"), &d, &e));
    CHECK(credentials_password(c, &a, STR("alice"), &p, &e) && !p.has_derived);
    CHECK(credentials_derive(c, STR("alice"), p.hash, &d, &e));
    CHECK(credentials_password(c, &a, STR("alice"), &p, &e) && p.has_derived);
    CHECK(fits(c, HASH_SHA1, STR("correct horse")) && fits(c, HASH_SHA256, STR("correct horse")));
    CHECK(cram_fits(c, STR("correct horse")));
    credentials_close(c);
    remove_dir();
}

TEST(secrets_stay)
{
    unsigned char first[32], again[32], other[32];
    struct err e = {0};
    struct credentials *c;

    enter_new_dir();
    c = credentials_open(&e);
    CHECK(credentials_secret(c, "one", first, &e) && credentials_secret(c, "two", other, &e));
    credentials_close(c);
    c = credentials_open(&e);
    CHECK(credentials_secret(c, "one", again, &e));
    CHECK(memcmp(first, again, 32) == 0 && memcmp(first, other, 32) != 0);
    credentials_close(c);
    remove_dir();
}

TEST(keys_of_clients)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct client_key k = {.fingerprint = STR("0123456789abcdef0123456789abcdef"),
                           .type = STR("ed25519"), .name = STR("laptop"), .cert = STR("cert"),
                           .account = STR("alice"), .login = STR("alice@example.org"),
                           .no_imap_preauth = true};
    struct client_key got;
    uint64_t n, number;
    struct err e = {0};
    struct credentials *c;

    enter_new_dir();
    c = credentials_open(&e);
    CHECK(client_key_add(c, &k, &e));
    CHECK(!client_key_add(c, &k, &e) && e.kind == ERR_CONFLICT);
    e = (struct err){0};
    CHECK(client_key_get(c, &a, k.fingerprint, &got, &e));
    CHECK_STR(got.login, k.login);
    CHECK_STR(got.cert, k.cert);
    CHECK(got.no_imap_preauth);
    CHECK(!client_key_get(c, &a, STR("other"), &got, &e) && e.kind == ERR_NOT_FOUND);
    e = (struct err){0};
    k.fingerprint = STR("other");
    k.account = STR("bob");
    CHECK(client_key_add(c, &k, &e));
    CHECK(client_key_count(c, STR(""), &n, &e) && n == 2);
    CHECK(client_key_count(c, STR("bob"), &n, &e) && n == 1);
    CHECK(client_key_next(c, &a, STR(""), 0, &number, &got, &e) && number);
    CHECK_STR(got.account, STR("alice"));
    CHECK(client_key_next(c, &a, STR(""), number, &number, &got, &e) && number);
    CHECK_STR(got.account, STR("bob"));
    CHECK(client_key_next(c, &a, STR(""), number, &number, &got, &e) && !number);
    CHECK(client_key_remove(c, STR("other"), &e) && !client_key_remove(c, STR("other"), &e));
    credentials_close(c);
    remove_dir();
}

TEST(an_account_is_forgotten)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct client_key k = {.fingerprint = STR("0123456789abcdef0123456789abcdef"), .type = STR("ed25519"),
                           .name = STR("laptop"), .cert = STR("cert"), .account = STR("alice"),
                           .login = STR("alice@example.org")};
    struct scram_secret secret;
    struct password p;
    struct err e = {0}, none = {0};
    struct credentials *c;
    uint64_t n;

    enter_new_dir();
    c = credentials_open(&e);
    CHECK(credentials_set(c, STR("alice"), STR("password of alice"), &e));
    CHECK(credentials_set(c, STR("bob"), STR("password of bob"), &e));
    CHECK(client_key_add(c, &k, &e));
    CHECK(credentials_forget(c, STR("alice"), &e) && credentials_forget(c, STR("nobody"), &e));
    CHECK(!credentials_password(c, &a, STR("alice"), &p, &none) && none.kind == ERR_NOT_FOUND);
    none = (struct err){0};
    CHECK(!credentials_scram(c, STR("alice"), HASH_SHA256, &secret, &none) && none.kind == ERR_NOT_FOUND);
    CHECK(client_key_count(c, STR("alice"), &n, &e) && !n);
    CHECK(credentials_password(c, &a, STR("bob"), &p, &e) && p.has_derived);
    credentials_close(c);
    remove_dir();
}

static uint64_t count_attempts(struct credentials *c)
{
    struct err e = {0};
    struct stmt *s = db_prepare(c->db, "SELECT count(*) FROM login_attempt", &e);
    uint64_t n;

    CHECK(stmt_step(s, &e));
    n = stmt_u64(s, 0);
    stmt_done(&s);
    return n;
}

TEST(attempts_are_counted_and_pruned)
{
    enum { BATCH = 500, DAY_MS = 24 * 3600 * 1000 };
    static struct login_attempt batch[BATCH];
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct login_attempt one = {STR("alice"), STR("alice@x"), STR("192.0.2.1"), STR("192.0.2.2"),
                                STR("version=TLS1.3"), STR(""), STR("imap"), STR("plain"),
                                STR("ok")};
    struct err e = {0};
    struct credentials *c;

    enter_new_dir();
    os_clock_set_for_test((int64_t)1000 * DAY_MS);
    c = credentials_open(&e);
    CHECK(credentials_note(c, (struct login_attempt[]){one, one}, 2, &e) && count_attempts(c) == 1);
    for (int round = 0; round * BATCH < ATTEMPT_MAX_FAILED + 2 * BATCH; round++) {
        for (int i = 0; i < BATCH; i++) {
            batch[i] = one;
            batch[i].login = arena_printf(&a, "%d", round * BATCH + i);
            batch[i].result = STR("badpassword");
        }
        os_clock_set_for_test((int64_t)1000 * DAY_MS + round * 1000);
        CHECK(credentials_note(c, batch, BATCH, &e));
    }
    CHECK(count_attempts(c) == ATTEMPT_MAX_FAILED + 1); // and the one that was good
    os_clock_set_for_test((int64_t)(1000 + ATTEMPT_DAYS + 1) * DAY_MS);
    CHECK(credentials_note(c, &one, 1, &e) && credentials_prune(c, &e));
    CHECK(count_attempts(c) == 1);
    credentials_close(c);
    os_clock_set_for_test(-1);
    remove_dir();
}
