/*
 * What `mox` commands ask of auth, by way of admin: passwords and keys of clients.
 */
#include "base/log.h"
#include "message/header.h"
#include "role/auth/auth.h"
#include "text/encode.h"
#include "text/idna.h"

enum { LIST_BYTES = 48 * 1024 }; // of one answer; then the next

static bool answer(struct service_peer *p, const struct err *why, struct err *e)
{
    return IPC_SEND(&p->ch, admin_reply, NULL, 0, e, .is_ok = !why->kind, .text = str_of(why->text));
}

static bool set_password(struct service_peer *p, struct packet *packet, struct err *e)
{
    struct ipc_set_password m;
    struct err why = {0};

    if (!ipc_set_password_get(packet->body, &m, e))
        return false;
    if (!auth_has_account(m.account)) {
        (void)fail(&why, ERR_NOT_FOUND, "no account %.*s", STR_FMT(m.account));
    } else if (credentials_set(auth.credentials, m.account, m.password, &why)) {
        login_forget();
        LOG(LOG_INFO, "auth", "password changed", LOG_S("account", m.account));
    }
    return answer(p, &why, e);
}

static bool forget_account(struct service_peer *p, struct packet *packet, struct err *e)
{
    struct ipc_forget_account m;
    struct err why = {0};

    if (!ipc_forget_account_get(packet->body, &m, e))
        return false;
    if (!m.is_anew && auth_has_account(m.account)) {
        (void)fail(&why, ERR_CONFLICT, "account %.*s is in the configuration", STR_FMT(m.account));
    } else if (credentials_forget(auth.credentials, m.account, &why)) {
        login_forget();
        LOG(LOG_INFO, "auth", "account forgotten", LOG_S("account", m.account));
    }
    return answer(p, &why, e);
}

/* --- keys of clients ------------------------------------------------------------------------------ */

static void put_key_line(struct buf *out, const struct client_key *k)
{
    base64url_encode(out, k->fingerprint);
    BUF_PUT(out, "\t");
    buf_put(out, k->type);
    BUF_PUT(out, "\t");
    buf_put(out, k->name);
    BUF_PUT(out, "\t");
    buf_put(out, k->account);
    BUF_PUT(out, "\t");
    buf_put(out, k->login);
    buf_put(out, k->no_imap_preauth ? STR("\ttrue\n") : STR("\tfalse\n"));
}

static bool list(struct str account, uint64_t after, struct buf *out, uint64_t *more,
                 struct err *e)
{
    uint64_t n;

    if (!after) {
        if (!client_key_count(auth.credentials, account, &n, e))
            return false;
        buf_printf(out, "# fingerprint, type, name, account, login address, no imap preauth "
                        "(%llu)\n", (unsigned long long)n);
    }
    for (*more = after; out->n < LIST_BYTES;) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        struct client_key k;

        if (!client_key_next(auth.credentials, &a, account, *more, more, &k, e))
            return false;
        if (!*more)
            return true;
        put_key_line(out, &k);
    }
    return true;
}

static bool key_list(struct service_peer *p, struct packet *packet, struct err *e)
{
    AUTO_BUF out = BUF_LIMIT(IPC_MAX_LINES);
    struct ipc_client_key_list m;
    uint64_t more = 0;
    struct err why = {0};

    if (!ipc_client_key_list_get(packet->body, &m, e))
        return false;
    if (m.account.n && !auth_has_account(m.account))
        (void)fail(&why, ERR_NOT_FOUND, "no account %.*s", STR_FMT(m.account));
    else if (list(m.account, m.after, &out, &more, &why))
        return IPC_SEND(&p->ch, admin_reply, NULL, 0, e, .is_ok = true, .more = more,
                        .text = buf_str(&out));
    return answer(p, &why, e);
}

static bool key_get(struct service_peer *p, struct packet *packet, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(IPC_MAX_LINES);
    struct ipc_client_key_get m;
    struct client_key k;
    struct str pem;
    struct err why = {0};

    if (!ipc_client_key_get_get(packet->body, &m, e))
        return false;
    if (!client_key_get(auth.credentials, &a, m.client_key, &k, &why) ||
        !cert_to_pem(&a, k.cert, &pem, &why))
        return answer(p, &why, e);
    const struct str parts[] = {STR("type: "), k.type, STR("\nname: "), k.name,
                                STR("\naccount: "), k.account, STR("\naddress: "), k.login,
                                STR("\nno imap preauth: "),
                                k.no_imap_preauth ? STR("true\n") : STR("false\n"), pem};

    for (size_t i = 0; i < COUNT(parts); i++)
        buf_put(&out, parts[i]);
    return IPC_SEND(&p->ch, admin_reply, NULL, 0, e, .is_ok = true, .text = buf_str(&out));
}

// These texts go into lines, of lists and of greetings.
static bool is_one_line(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 127)
            return false;
    return utf8_is_valid(s);
}

static bool add(const struct ipc_client_key_add *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct client_key k = {.fingerprint = m->client_key, .type = m->type, .name = m->name,
                           .cert = m->cert, .no_imap_preauth = m->no_imap_preauth};
    struct str disabled;

    k.login = text_nfc(&a, m->login);
    k.account = auth_account_of(&a, k.login, &disabled);
    if (!k.account.n)
        return fail(e, ERR_NOT_FOUND, "no account has the address %.*s", STR_FMT(m->login));
    if (m->client_key.n != IPC_MAX_KEY)
        return fail(e, ERR_SYNTAX, "not a fingerprint");
    if (!is_one_line(k.name) || !is_one_line(k.login))
        return fail(e, ERR_SYNTAX, "a name is UTF-8, without control characters");
    return client_key_add(auth.credentials, &k, e);
}

static bool key_add(struct service_peer *p, struct packet *packet, struct err *e)
{
    struct ipc_client_key_add m;
    struct err why = {0};

    if (!ipc_client_key_add_get(packet->body, &m, e))
        return false;
    if (add(&m, &why))
        LOG(LOG_INFO, "auth", "client's key added", LOG_S("login", m.login));
    return answer(p, &why, e);
}

static bool key_remove(struct service_peer *p, struct packet *packet, struct err *e)
{
    struct ipc_client_key_remove m;
    struct err why = {0};

    if (!ipc_client_key_remove_get(packet->body, &m, e))
        return false;
    if (client_key_remove(auth.credentials, m.client_key, &why))
        LOG(LOG_INFO, "auth", "client's key removed");
    return answer(p, &why, e);
}

bool manage_message(struct service_peer *p, struct packet *m, struct err *e)
{
    switch ((int)m->type) {
    case IPC_set_password:
        return set_password(p, m, e);
    case IPC_forget_account:
        return forget_account(p, m, e);
    case IPC_client_key_list:
        return key_list(p, m, e);
    case IPC_client_key_get:
        return key_get(p, m, e);
    case IPC_client_key_add:
        return key_add(p, m, e);
    case IPC_client_key_remove:
        return key_remove(p, m, e);
    default:
        return fail(e, ERR_DENIED, "unexpected message");
    }
}
