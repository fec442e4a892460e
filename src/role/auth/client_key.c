/*
 * Keys of clients' certificates, by their fingerprint.
 */
#include "os/clock.h"
#include "role/auth/credentials_priv.h"

// Columns of both SELECTs, from the second on.
static void read_key(struct stmt *s, struct arena *a, struct client_key *out)
{
    *out = (struct client_key){.fingerprint = arena_dup(a, stmt_str(s, 1)),
                               .type = arena_dup(a, stmt_str(s, 2)),
                               .name = arena_dup(a, stmt_str(s, 3)),
                               .no_imap_preauth = stmt_u64(s, 4),
                               .cert = arena_dup(a, stmt_str(s, 5)),
                               .account = arena_dup(a, stmt_str(s, 6)),
                               .login = arena_dup(a, stmt_str(s, 7))};
}

bool client_key_get(struct credentials *c, struct arena *a, struct str fingerprint,
                    struct client_key *out, struct err *e)
{
    AUTO_STMT s = db_prepare(c->db, "SELECT id, fingerprint, type, name, no_imap_preauth, cert, "
                                    "account, login FROM client_key WHERE fingerprint = ?", e);

    if (!s)
        return false;
    stmt_bind_blob(s, 1, fingerprint);
    if (!stmt_step(s, e))
        return e->kind ? false : fail(e, ERR_NOT_FOUND, "no such key");
    read_key(s, a, out);
    return true;
}

bool client_key_add(struct credentials *c, const struct client_key *k, struct err *e)
{
    AUTO_STMT s = db_prepare(c->db, "INSERT INTO client_key (fingerprint, created_unix, type, name, "
                                    "no_imap_preauth, cert, account, login) "
                                    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", e);

    if (!s)
        return false;
    stmt_bind_blob(s, 1, k->fingerprint);
    stmt_bind_i64(s, 2, os_now_unix());
    stmt_bind_str(s, 3, k->type);
    stmt_bind_str(s, 4, k->name);
    stmt_bind_u64(s, 5, k->no_imap_preauth);
    stmt_bind_blob(s, 6, k->cert);
    stmt_bind_str(s, 7, k->account);
    stmt_bind_str(s, 8, k->login);
    if (!stmt_run(s, e))
        return e->kind == ERR_CONFLICT ? fail(e, ERR_CONFLICT, "this key is registered already")
                                       : false;
    return true;
}

bool client_key_remove(struct credentials *c, struct str fingerprint, struct err *e)
{
    AUTO_STMT s = db_prepare(c->db, "DELETE FROM client_key WHERE fingerprint = ?", e);

    if (!s)
        return false;
    stmt_bind_blob(s, 1, fingerprint);
    return stmt_run(s, e) && (db_changes(c->db) || fail(e, ERR_NOT_FOUND, "no such key"));
}

bool client_key_count(struct credentials *c, struct str account, uint64_t *out, struct err *e)
{
    AUTO_STMT s = db_prepare(c->db, "SELECT count(*) FROM client_key WHERE ?1 IN ('', account)", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    if (!stmt_step(s, e))
        return false;
    *out = stmt_u64(s, 0);
    return true;
}

bool client_key_next(struct credentials *c, struct arena *a, struct str account, uint64_t after,
                     uint64_t *number, struct client_key *out, struct err *e)
{
    AUTO_STMT s = db_prepare(c->db, "SELECT id, fingerprint, type, name, no_imap_preauth, cert, "
                                    "account, login FROM client_key "
                                    "WHERE id > ?1 AND ?2 IN ('', account) ORDER BY id LIMIT 1", e);

    *number = 0;
    if (!s)
        return false;
    stmt_bind_u64(s, 1, after);
    stmt_bind_str(s, 2, account);
    if (!stmt_step(s, e))
        return e->kind == ERR_NONE;
    *number = stmt_u64(s, 0);
    read_key(s, a, out);
    return true;
}
