/*
 * Upstream's auth.db: keys of clients' certificates, and who logged in how.
 */
#include "mailfile/upstream_priv.h"
#include "mailfile/upstream_server.h"
#include "text/encode.h"

enum { FINGERPRINT_BYTES = 32 };

static bool on_key(void *ctx, const struct bstore_record *record, struct err *e)
{
    AUTO_BUF fingerprint = BUF_LIMIT(1024);
    const struct bstore_value *v = record->values;
    const struct upstream_auth_reader *r = ctx;

    if (!base64url_decode(&fingerprint, v[0].text) || fingerprint.n != FINGERPRINT_BYTES)
        return fail(e, ERR_SYNTAX, "a fingerprint is none");
    return r->key(r->ctx, &(struct upstream_client_key){
        .fingerprint = buf_str(&fingerprint), .created_unix = v[1].unix_seconds, .type = v[2].text,
        .name = v[3].text, .no_imap_preauth = v[4].is_set, .cert = v[5].text, .account = v[6].text,
        .login = v[7].text}, e);
}

static bool on_login(void *ctx, const struct bstore_record *record, struct err *e)
{
    const struct bstore_value *v = record->values;
    const struct upstream_auth_reader *r = ctx;

    return r->login(r->ctx, &(struct upstream_login){
        .last_unix = v[0].unix_seconds, .first_unix = v[1].unix_seconds, .count = v[2].number,
        .account = v[3].text, .login = v[4].text, .remote_ip = v[5].text, .local_ip = v[6].text,
        .tls = v[7].text, .client_key = v[8].text, .protocol = v[9].text, .mechanism = v[10].text,
        .result = v[11].text}, e);
}

bool upstream_auth_read(struct str file, const struct upstream_auth_reader *r, struct err *e)
{
    const struct upstream_table tables[] = {
        {"TLSPublicKey", false, on_key,
         UPSTREAM_WANTED("Fingerprint", "Created", "Type", "Name", "NoIMAPPreauth", "CertDER", "Account",
                         "LoginAddress")},
        {"LoginAttempt", false, on_login,
         UPSTREAM_WANTED("Last", "First", "Count", "AccountName", "LoginAddress", "RemoteIP", "LocalIP", "TLS",
                         "TLSPubKeyFingerprint", "Protocol", "AuthMech", "Result")},
    };

    return upstream_tables_read(file, tables, COUNT(tables), (void *)(uintptr_t)r, e);
}
