/*
 * Challenges of authorities: what is to be answered, acme says (RFC 8555 8.3, RFC 8737).
 */
#include "base/log.h"
#include "crypto/crypto.h"
#include "role/web/web.h"

static bool ask(struct web_conn *c, enum ipc_challenge kind, struct str host, struct str token,
                struct ipc_challenge_answer *out, struct err *e)
{
    return web_grant(c, IPC_SERVICE_ACME, &c->acme, ROLE_ACME, e) &&
           IPC_SEND(&c->acme, challenge_ask, NULL, 0, e, .kind = (uint8_t)kind, .host = host, .token = token) &&
           channel_expect(&c->acme, IPC_challenge_answer, c->packet, WEB_IPC_TIMEOUT_MS, e) &&
           ipc_challenge_answer_get(c->packet->body, out, e);
}

void challenge_page(struct web_exchange *x, const struct web_route *route)
{
    struct ipc_challenge_answer m;
    struct err e = {0};

    if (!web_is_get(x))
        return;
    if (!ask(x->conn, IPC_CHALLENGE_HTTP, x->request->host, str_sub(str_from(x->request->path, route->path.n), 0, 256),
             &m, &e)) {
        LOG(LOG_ERROR, "http", "asking for the answer to a challenge", LOG_E(&e));
        web_fail(x, 503, STR(""));
        return;
    }
    // mox-web-http-api.md 6.2.
    if (m.status == IPC_CHALLENGE_OK)
        web_reply_text(x, STR("text/plain"), arena_dup(x->arena, m.text));
    else
        web_fail(x, m.status == IPC_CHALLENGE_NOT_OURS ? 403 : 404, STR(""));
}

bool challenge_certificate(struct web_conn *c, struct arena *a, struct str name, struct str *cert_pem,
                           struct str *key_pem)
{
    unsigned char digest[SHA256_BYTES];
    struct ipc_challenge_answer m = {0};
    struct err e = {0};
    bool is_ok = ask(c, IPC_CHALLENGE_TLS_ALPN, str_sub(name, 0, 255), STR(""), &m, &e);

    if (is_ok && m.status == IPC_CHALLENGE_OK) {
        name = arena_lower(a, name);
        sha256(m.text, digest);
        if (cert_for_challenge(a, name, digest, cert_pem, key_pem, &e))
            return true;
    }
    LOG(LOG_INFO, "http", "tls-alpn-01 was asked for and is not answered", LOG_S("name", name), LOG_E(&e));
    return false;
}

void challenge_want(struct web_conn *c, struct str name)
{
    struct err e = {0};

    if (!web_grant(c, IPC_SERVICE_ACME, &c->acme, ROLE_ACME, &e) ||
        !IPC_SEND(&c->acme, cert_wanted, NULL, 0, &e, .host = str_sub(name, 0, 255)))
        LOG(LOG_DEBUG, "http", "asking for a certificate", LOG_E(&e));
}
