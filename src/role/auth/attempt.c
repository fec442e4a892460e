/*
 * Login attempts in the database (mox-imap-store-cli-config.md 2.3).
 */
#include "os/clock.h"
#include "role/auth/credentials_priv.h"

#define INSERT                                                                                     \
    "INSERT INTO login_attempt (key, account, login, remote_ip, local_ip, tls, client_key, "       \
    "protocol, mechanism, result, first_unix, last_unix, count) "                                  \
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT (key) DO "

static bool insert(struct credentials *c, const char *sql, const struct login_attempts *m, struct err *e)
{
    const struct login_attempt *t = &m->what;
    AUTO_BUF key = BUF_LIMIT(1 << 16);
    AUTO_STMT s = db_prepare(c->db, sql, e);
    const struct str parts[] = {t->account, t->login, t->remote_ip, t->local_ip, t->tls,
                                t->client_key, t->protocol, t->mechanism, t->result};
    unsigned char sum[SHA256_BYTES];

    if (!s)
        return false;
    for (size_t i = 0; i < COUNT(parts); i++) {
        buf_put_u64(&key, parts[i].n);
        BUF_PUT(&key, ":");
        buf_put(&key, parts[i]);
        stmt_bind_str(s, (int)i + 2, parts[i]);
    }
    sha256(buf_str(&key), sum);
    stmt_bind_blob(s, 1, str_at(sum, sizeof sum));
    stmt_bind_i64(s, 11, m->first_unix);
    stmt_bind_i64(s, 12, m->last_unix);
    stmt_bind_u64(s, 13, m->count);
    return stmt_run(s, e);
}

static bool note(struct credentials *c, const struct login_attempt *t, struct err *e)
{
    int64_t now = os_now_unix();

    return insert(c, INSERT "UPDATE SET last_unix = ?12, count = count + 1", &(struct login_attempts){*t, now, now, 1},
                  e);
}

// The index has failures alone, newest first: what comes after so many of them goes.
static bool drop_oldest_failures(struct credentials *c, struct str account, struct err *e)
{
    AUTO_STMT s = db_prepare(c->db, "DELETE FROM login_attempt WHERE id IN (SELECT id FROM "
                                    "login_attempt WHERE account = ?1 AND result <> 'ok' "
                                    "ORDER BY last_unix DESC LIMIT -1 OFFSET ?2)", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_u64(s, 2, ATTEMPT_MAX_FAILED);
    return stmt_run(s, e);
}

static bool note_all(struct credentials *c, const struct login_attempt *attempts, size_t n,
                     struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (!note(c, &attempts[i], e))
            return false;
    for (size_t i = 0; i < n; i++) {
        bool is_first = true;

        for (size_t k = 0; k < i && is_first; k++)
            is_first = !str_eq(attempts[k].account, attempts[i].account);
        if (is_first && !drop_oldest_failures(c, attempts[i].account, e))
            return false;
    }
    return true;
}

bool credentials_note(struct credentials *c, const struct login_attempt *attempts, size_t n,
                      struct err *e)
{
    if (!db_begin(c->db, e))
        return false;
    if (!note_all(c, attempts, n, e)) {
        db_rollback(c->db);
        return false;
    }
    return db_commit(c->db, e);
}

static bool adopt_all(struct credentials *c, const struct login_attempts *attempts, size_t n, uint64_t *n_new,
                      struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        if (!insert(c, INSERT "NOTHING", &attempts[i], e))
            return false;
        *n_new += db_changes(c->db) > 0;
    }
    return true;
}

bool credentials_adopt_attempts(struct credentials *c, const struct login_attempts *attempts, size_t n,
                                uint64_t *n_new, struct err *e)
{
    if (!db_begin(c->db, e))
        return false;
    if (!adopt_all(c, attempts, n, n_new, e)) {
        db_rollback(c->db);
        return false;
    }
    return db_commit(c->db, e);
}

bool credentials_prune(struct credentials *c, struct err *e)
{
    return DB_RUN(c->db, "DELETE FROM login_attempt WHERE last_unix < ?",
                  e, os_now_unix() - (int64_t)ATTEMPT_DAYS * 86400);
}
