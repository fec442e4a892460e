#include "role/auth/credentials.h"

#include <stdlib.h>

#include "crypto/crypto.h"
#include "db/db.h"
#include "db/sql.h"
#include "os/clock.h"

struct credentials {
    struct db *db;
};

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

bool credentials_hash(struct credentials *c, struct arena *a, struct str account, struct str *out,
                      struct err *e)
{
    AUTO_STMT s = db_prepare(c->db, "SELECT password_hash FROM credential WHERE account = ?", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    if (!stmt_step(s, e))
        return e->kind ? false : fail(e, ERR_NOT_FOUND, "the account has no password");
    *out = arena_dup(a, stmt_str(s, 0));
    return true;
}

bool credentials_set(struct credentials *c, struct str account, struct str password, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_STMT s = NULL;
    struct str hash;

    if (!password_check_rules(password, e) || !password_hash(&a, password, &hash, e))
        return false;
    s = db_prepare(c->db, "INSERT INTO credential (account, password_hash, changed_unix) "
                          "VALUES (?1, ?2, ?3) ON CONFLICT (account) DO UPDATE SET "
                          "password_hash = ?2, changed_unix = ?3", e);
    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_str(s, 2, hash);
    stmt_bind_i64(s, 3, os_now_unix());
    return stmt_run(s, e);
}

static bool note(struct credentials *c, const struct login_attempt *t, struct err *e)
{
    AUTO_BUF key = BUF_LIMIT(1 << 16);
    AUTO_STMT s = db_prepare(
        c->db, "INSERT INTO login_attempt (key, first_unix, last_unix, count, account, login, "
               "remote_ip, protocol, mechanism, result) VALUES (?1, ?2, ?2, 1, ?3, ?4, ?5, ?6, ?7, "
               "?8) ON CONFLICT (key) DO UPDATE SET last_unix = ?2, count = count + 1", e);
    const struct str parts[] = {t->account, t->login, t->remote_ip, t->protocol, t->mechanism,
                                t->result};
    unsigned char sum[SHA256_BYTES];

    if (!s)
        return false;
    for (size_t i = 0; i < COUNT(parts); i++) {
        buf_put_u64(&key, parts[i].n);
        BUF_PUT(&key, ":");
        buf_put(&key, parts[i]);
        stmt_bind_str(s, (int)i + 3, parts[i]);
    }
    sha256(buf_str(&key), sum);
    stmt_bind_blob(s, 1, str_at(sum, sizeof sum));
    stmt_bind_i64(s, 2, os_now_unix());
    return stmt_run(s, e);
}

bool credentials_note(struct credentials *c, const struct login_attempt *attempts, size_t n,
                      struct err *e)
{
    if (!db_begin(c->db, e))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!note(c, &attempts[i], e)) {
            db_rollback(c->db);
            return false;
        }
    return db_commit(c->db, e);
}
