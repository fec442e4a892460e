#include <stdlib.h>
#include <string.h>

#include "db/sql.h"
#include "os/clock.h"
#include "role/auth/credentials_priv.h"
#include "text/prep.h"

static const struct str hash_names[] = {[HASH_SHA1] = STR_("SHA-1"), [HASH_SHA256] = STR_("SHA-256")};

struct credentials *credentials_open(struct err *e)
{
    struct credentials *c = heap_alloc(sizeof *c);

    c->db = db_open("auth.db", sql_auth, sql_auth_count, e);
    if (!c->db) {
        free(c);
        return NULL;
    }
    return c;
}

void credentials_close(struct credentials *c)
{
    if (c) {
        db_close(c->db);
        free(c);
    }
}

/* --- derived from passwords ----------------------------------------------------------------------- */

void derived_make(struct str password, struct derived *out)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 18);
    struct str prepared = text_saslprep(&a, password);

    for (int i = 0; i < 2; i++) {
        struct scram_secret *s = &out->scram[i];

        os_random(s->salt, sizeof s->salt);
        s->iterations = SCRAM_ITERATIONS;
        scram_derive((enum hash_kind)i, prepared, str_at(s->salt, sizeof s->salt), s->iterations,
                     &s->keys);
    }
    hmac_md5_prepare(text_opaque(&a, password), out->cram_md5);
}

static bool put_scram(struct credentials *c, struct str account, enum hash_kind hash,
                      const struct scram_secret *s, struct err *e)
{
    AUTO_STMT put = db_prepare(c->db, "INSERT OR REPLACE INTO scram (account, hash, salt, "
                                      "iterations, stored_key, server_key) "
                                      "VALUES (?1, ?2, ?3, ?4, ?5, ?6)", e);

    if (!put)
        return false;
    stmt_bind_str(put, 1, account);
    stmt_bind_str(put, 2, hash_names[hash]);
    stmt_bind_blob(put, 3, str_at(s->salt, sizeof s->salt));
    stmt_bind_u64(put, 4, s->iterations);
    stmt_bind_blob(put, 5, str_at(s->keys.stored_key, hash_bytes(hash)));
    stmt_bind_blob(put, 6, str_at(s->keys.server_key, hash_bytes(hash)));
    return stmt_run(put, e);
}

static bool put_derived(struct credentials *c, struct str account, const struct derived *d,
                        struct err *e)
{
    AUTO_STMT put = db_prepare(c->db, "UPDATE credential SET cram_md5 = ?2 WHERE account = ?1", e);

    if (!put)
        return false;
    stmt_bind_str(put, 1, account);
    stmt_bind_blob(put, 2, str_at(d->cram_md5, sizeof d->cram_md5));
    return stmt_run(put, e) && put_scram(c, account, HASH_SHA1, &d->scram[HASH_SHA1], e) &&
           put_scram(c, account, HASH_SHA256, &d->scram[HASH_SHA256], e);
}

bool credentials_derive(struct credentials *c, struct str account, struct str hash,
                        const struct derived *d, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct password now;

    if (!db_begin(c->db, e))
        return false;
    if (!credentials_password(c, &a, account, &now, e) ||
        (str_eq(now.hash, hash) && !put_derived(c, account, d, e))) {
        db_rollback(c->db);
        return false;
    }
    return db_commit(c->db, e);
}

/* --- passwords ------------------------------------------------------------------------------------ */

bool credentials_password(struct credentials *c, struct arena *a, struct str account,
                          struct password *out, struct err *e)
{
    AUTO_STMT s = db_prepare(c->db, "SELECT password_hash, cram_md5 IS NOT NULL FROM credential "
                                    "WHERE account = ?", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    if (!stmt_step(s, e))
        return e->kind ? false : fail(e, ERR_NOT_FOUND, "the account has no password");
    out->hash = arena_dup(a, stmt_str(s, 0));
    out->has_derived = stmt_u64(s, 1);
    return true;
}

static bool put_password(struct credentials *c, struct str account, struct str hash, struct err *e)
{
    AUTO_STMT s = db_prepare(c->db, "INSERT INTO credential (account, password_hash, changed_unix) "
                                    "VALUES (?1, ?2, ?3) ON CONFLICT (account) DO UPDATE SET "
                                    "password_hash = ?2, changed_unix = ?3", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_str(s, 2, hash);
    stmt_bind_i64(s, 3, os_now_unix());
    return stmt_run(s, e);
}

bool credentials_set(struct credentials *c, struct str account, struct str password, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct derived d;
    struct str hash;
    bool is_ok;

    if (!password_check_rules(password, e) ||
        !password_hash(&a, text_opaque(&a, password), &hash, e))
        return false;
    derived_make(password, &d);
    if (!db_begin(c->db, e))
        return false;
    is_ok = put_password(c, account, hash, e) && put_derived(c, account, &d, e);
    explicit_bzero(&d, sizeof d);
    if (!is_ok) {
        db_rollback(c->db);
        return false;
    }
    return db_commit(c->db, e);
}

static bool delete_all(struct credentials *c, struct str account, struct err *e)
{
    static const char *const deletions[] = {
        "DELETE FROM credential WHERE account = ?", "DELETE FROM scram WHERE account = ?",
        "DELETE FROM client_key WHERE account = ?", "DELETE FROM login_attempt WHERE account = ?"};

    for (size_t i = 0; i < COUNT(deletions); i++) {
        AUTO_STMT s = db_prepare(c->db, deletions[i], e);

        if (!s)
            return false;
        stmt_bind_str(s, 1, account);
        if (!stmt_run(s, e))
            return false;
    }
    return true;
}

bool credentials_forget(struct credentials *c, struct str account, struct err *e)
{
    if (!db_begin(c->db, e))
        return false;
    if (!delete_all(c, account, e)) {
        db_rollback(c->db);
        return false;
    }
    return db_commit(c->db, e);
}

static bool is_bcrypt(struct str hash)
{
    if (hash.n != 60 || !str_starts(hash, STR("$2")))
        return false;
    for (size_t i = 0; i < hash.n; i++)
        if (hash.p[i] <= ' ' || hash.p[i] > '~')
            return false;
    return true;
}

bool credentials_adopt(struct credentials *c, struct str account, struct str hash, bool *is_new,
                       struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    struct password there;
    struct err none = {0};

    *is_new = false;
    if (!is_bcrypt(hash))
        return fail(e, ERR_SYNTAX, "the password's hash is none of bcrypt");
    if (credentials_password(c, &a, account, &there, &none))
        return true;
    if (none.kind != ERR_NOT_FOUND) {
        *e = none;
        return false;
    }
    if (!db_begin(c->db, e))
        return false;
    if (!put_password(c, account, hash, e)) {
        db_rollback(c->db);
        return false;
    }
    *is_new = true;
    return db_commit(c->db, e);
}

// Stored bytes of exactly this length; the database is not trusted to be whole.
static bool copy_exactly(struct str stored, void *out, size_t n, struct err *e)
{
    if (stored.n != n)
        return fail(e, ERR_BUG, "stored credentials are damaged");
    memcpy(out, stored.p, n);
    return true;
}

bool credentials_scram(struct credentials *c, struct str account, enum hash_kind hash,
                       struct scram_secret *out, struct err *e)
{
    AUTO_STMT s = db_prepare(c->db, "SELECT salt, iterations, stored_key, server_key FROM scram "
                                    "WHERE account = ?1 AND hash = ?2", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_str(s, 2, hash_names[hash]);
    if (!stmt_step(s, e))
        return e->kind ? false : fail(e, ERR_NOT_FOUND, "the account has no SCRAM secrets yet");
    *out = (struct scram_secret){.iterations = (uint32_t)stmt_u64(s, 1)};
    return copy_exactly(stmt_str(s, 0), out->salt, sizeof out->salt, e) &&
           copy_exactly(stmt_str(s, 2), out->keys.stored_key, hash_bytes(hash), e) &&
           copy_exactly(stmt_str(s, 3), out->keys.server_key, hash_bytes(hash), e);
}

bool credentials_cram_md5(struct credentials *c, struct str account,
                          unsigned char out[HMAC_MD5_STATES], struct err *e)
{
    AUTO_STMT s = db_prepare(c->db, "SELECT cram_md5 FROM credential WHERE account = ? AND "
                                    "cram_md5 IS NOT NULL", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    if (!stmt_step(s, e))
        return e->kind ? false : fail(e, ERR_NOT_FOUND, "the account has no CRAM-MD5 secret yet");
    return copy_exactly(stmt_str(s, 0), out, HMAC_MD5_STATES, e);
}

bool credentials_secret(struct credentials *c, const char *name, unsigned char out[32],
                        struct err *e)
{
    AUTO_STMT put = db_prepare(c->db, "INSERT OR IGNORE INTO secret (name, value) VALUES (?1, ?2)",
                               e);
    AUTO_STMT get = db_prepare(c->db, "SELECT value FROM secret WHERE name = ?", e);
    unsigned char fresh[32];

    if (!put || !get)
        return false;
    os_random(fresh, sizeof fresh);
    stmt_bind_str(put, 1, str_of(name));
    stmt_bind_blob(put, 2, str_at(fresh, sizeof fresh));
    stmt_bind_str(get, 1, str_of(name));
    if (!stmt_run(put, e) || !stmt_step(get, e))
        return e->kind ? false : fail(e, ERR_BUG, "no secret %s", name);
    return copy_exactly(stmt_str(get, 0), out, sizeof fresh, e);
}
