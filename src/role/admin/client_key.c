/*
 * Keys of clients: `mox config tlspubkey`. The certificate is parsed here; auth keeps what it says.
 */
#include "crypto/crypto.h"
#include "role/admin/admin.h"
#include "text/encode.h"

static bool fingerprint_of(struct str text, struct buf *out, struct err *e)
{
    return (base64url_decode(out, text) && out->n == SHA256_BYTES) ||
           fail(e, ERR_SYNTAX, "a fingerprint is 43 letters of base64url");
}

// All of a list, whose pieces are asked for one by one.
static bool run_list(struct ctl *c, const struct str *arguments, struct err *e)
{
    struct ipc_admin_reply reply = {0};
    struct service_peer *auth;
    struct err why = {0};
    uint64_t after = 0;

    do {
        if (!admin_peer(ROLE_AUTH, &auth, &why) ||
            !IPC_SEND(&auth->ch, client_key_list, NULL, 0, &why, .account = arguments[0],
                      .after = after) ||
            !admin_await(&auth->ch, &reply, &why))
            return admin_answer(c, &why, e);
        if ((!after && !admin_put(c, STR("ok\n"), e)) || !admin_put_piece(c, reply.text, e))
            return false;
        after = reply.more;
    } while (after);
    return admin_put(c, STR("0\n"), e);
}

static bool run_get(struct ctl *c, const struct str *arguments, struct err *e)
{
    AUTO_BUF fingerprint = BUF_LIMIT(100);
    struct ipc_admin_reply reply;
    struct service_peer *auth;
    struct err why = {0};

    if (!fingerprint_of(arguments[0], &fingerprint, &why) ||
        !admin_peer(ROLE_AUTH, &auth, &why) ||
        !IPC_SEND(&auth->ch, client_key_get, NULL, 0, &why, .client_key = buf_str(&fingerprint)) ||
        !admin_await(&auth->ch, &reply, &why))
        return admin_answer(c, &why, e);
    return admin_put(c, STR("ok\n"), e) && admin_put_piece(c, reply.text, e) &&
           admin_put(c, STR("0\n"), e);
}

static bool add(struct ctl *c, const struct str *arguments, struct err *e)
{
    AUTO_BUF der = BUF_LIMIT(IPC_MAX_CERT);
    struct ipc_admin_reply reply;
    struct service_peer *auth;
    struct cert_key k;

    if (!base64_decode_strict(&der, arguments[3]) || der.full)
        return fail(e, ERR_LIMIT, "the certificate is longer than %d bytes", IPC_MAX_CERT);
    return cert_key_of(&c->a, buf_str(&der), &k, e) && removal_has_forgotten(STR(""), e) && admin_peer(ROLE_AUTH, &auth, e) &&
           IPC_SEND(&auth->ch, client_key_add, NULL, 0, e,
                    .client_key = str_at(k.fingerprint, sizeof k.fingerprint), .type = k.type,
                    .name = arguments[1].n ? arguments[1] : k.name, .login = arguments[0],
                    .no_imap_preauth = str_eq(arguments[2], STR("true")), .cert = buf_str(&der)) &&
           admin_await(&auth->ch, &reply, e);
}

static bool run_add(struct ctl *c, const struct str *arguments, struct err *e)
{
    struct err why = {0};

    if (!add(c, arguments, &why))
        return admin_answer(c, &why, e);
    return admin_put(c, STR("ok\n"), e);
}

static bool run_remove(struct ctl *c, const struct str *arguments, struct err *e)
{
    AUTO_BUF fingerprint = BUF_LIMIT(100);
    struct ipc_admin_reply reply;
    struct service_peer *auth;
    struct err why = {0};

    if (fingerprint_of(arguments[0], &fingerprint, &why) && admin_peer(ROLE_AUTH, &auth, &why) &&
        IPC_SEND(&auth->ch, client_key_remove, NULL, 0, &why,
                 .client_key = buf_str(&fingerprint)))
        (void)!admin_await(&auth->ch, &reply, &why);
    return admin_answer(c, &why, e);
}

const struct command client_key_commands[] = {
    {STR_("tlspubkeylist"), 1, run_list},
    {STR_("tlspubkeyget"), 1, run_get},
    {STR_("tlspubkeyadd"), 4, run_add},
    {STR_("tlspubkeyrm"), 1, run_remove},
};
const size_t client_key_command_count = COUNT(client_key_commands);
