/*
 * keys: private keys of TLS. Signs digests with the keys it was given; no key ever leaves it.
 */
#include <stdlib.h>

#include "base/log.h"
#include "crypto/crypto.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/service.h"

enum { MAX_KEY_NUMBER = 256 };

static struct {
    struct private_key *key;
    uint32_t listener;
} keys[MAX_KEY_NUMBER];

// Who serves one connection signs as the listener that it came in by, and as no other.
static bool may_use(const struct service_peer *p, uint32_t key)
{
    return (p->role != ROLE_SESSION && p->role != ROLE_WEB) || keys[key].listener == p->listener;
}

static bool sign(const struct service_peer *p, const struct ipc_sign *m, struct buf *out,
                 struct err *e)
{
    const struct private_key *k = m->key < MAX_KEY_NUMBER ? keys[m->key].key : NULL;

    if (!k)
        return fail(e, ERR_NOT_FOUND, "no key %u", m->key);
    if (!may_use(p, m->key))
        return fail(e, ERR_DENIED, "key %u is not of this session's listener", m->key);
    return m->type == IPC_SIGN_RSA ? private_key_rsa(k, m->digest, m->parameter, out, e)
                                   : private_key_sign_ecdsa(k, m->digest, out, e);
}

static bool on_message(struct service_peer *p, struct packet *packet, struct err *e)
{
    AUTO_BUF out = BUF_LIMIT(IPC_MAX_SIGNATURE);
    struct ipc_sign m;
    struct err why = {0};
    bool is_ok;

    if (!ipc_sign_get(packet->body, &m, e))
        return false;
    is_ok = sign(p, &m, &out, &why) && !out.full;
    if (!is_ok)
        LOG(LOG_ERROR, "keys", "cannot sign", LOG_E(&why), LOG_X("cid", p->conn));
    return IPC_SEND(&p->ch, signed, NULL, 0, e, .request = m.request, .is_ok = is_ok,
                    .signature = is_ok ? buf_str(&out) : STR(""));
}

static void load_keys(struct role_start *s)
{
    for (size_t i = 0; i < s->n_tls_files; i++) {
        struct given_file *f = &s->tls_files[i];
        struct err e = {0};
        struct str pem;

        if (f->key >= MAX_KEY_NUMBER || !os_read_fd(&s->arena, f->fd, 1 << 20, &pem, &e) ||
            !(keys[f->key].key = private_key_parse(pem, &e)))
            LOG(LOG_ERROR, "keys", "private key not usable", LOG_E(&e), LOG_N("key", f->key));
        else
            keys[f->key].listener = f->listener;
        fd_close(&f->fd);
    }
}

_Noreturn void keys_main(void)
{
    static struct role_start s;
    static const struct service_handlers handlers = {.message = on_message};

    role_start(&s, ROLE_KEYS);
    crypto_warm();
    load_keys(&s);
    service_run(&s, &handlers);
}
