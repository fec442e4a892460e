/*
 * keys: private keys of TLS. Signs digests with the keys it was given or has made; no key ever leaves it.
 */
#include "role/keys/keys.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "os/fd.h"
#include "os/file.h"

static struct role_start self;
static struct tls_key *keys;

struct tls_key *keys_add(uint32_t number, struct private_key *key, uint32_t listener, struct str provider)
{
    struct tls_key *k = heap_alloc(sizeof *k);

    *k = (struct tls_key){number, key, listener, heap_dup(provider), keys};
    keys = k;
    return k;
}

void keys_remove(struct tls_key *k)
{
    struct tls_key **at = &keys;

    if (!k)
        return;
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    private_key_free(k->key);
    heap_free(&k->provider);
    free(k);
}

// Who serves one connection signs as the listener that it came in by, and as no other; where that has its
// certificates from an authority, for the names that this one was asked for.
static bool may_use(const struct service_peer *p, const struct tls_key *k)
{
    const struct ipc_listener *port = role_port(&self, p->listener);

    if (p->role != ROLE_SESSION && p->role != ROLE_WEB)
        return true;
    return k->provider.n ? port && str_eq(port->acme, k->provider) : k->listener == p->listener;
}

static bool sign(const struct service_peer *p, const struct ipc_sign *m, struct buf *out,
                 struct err *e)
{
    const struct tls_key *k = keys;
    bool is_known = false;

    for (; k && !(k->number == m->key && may_use(p, k)); k = k->next)
        is_known |= k->number == m->key;
    if (!k && !is_known)
        return fail(e, ERR_NOT_FOUND, "no key %u", m->key);
    if (!k)
        return fail(e, ERR_DENIED, "key %u is not of this session's listener", m->key);
    return m->type == IPC_SIGN_RSA ? private_key_rsa(k->key, m->digest, m->parameter, out, e)
                                   : private_key_sign_ecdsa(k->key, m->digest, out, e);
}

static bool on_sign(struct service_peer *p, struct packet *packet, struct err *e)
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

static bool on_message(struct service_peer *p, struct packet *packet, struct err *e)
{
    return packet->type == IPC_sign ? on_sign(p, packet, e) : acme_message(p, packet, e);
}

static bool on_config(struct packet *m, struct err *e)
{
    AUTO_FD host_keys = m->n_fds > 1 ? packet_take_fd(m, 1) : -1;
    AUTO_ARENA a = ARENA_LIMIT(2 * COMPILED_MAX_BYTES);
    struct ipc_config config;
    struct str text;

    return ipc_config_get(m->body, &config, e) && role_read_config(m, &a, &text, e) &&
           acme_reload(&self, text, host_keys, e) &&
           IPC_SEND(&self.monitor, config_done, NULL, 0, e, .number = config.number);
}

// Those that were there before stay: connections may be shaking hands with them.
static void load_keys(void)
{
    for (size_t i = 0; i < self.n_tls_files; i++) {
        AUTO_ARENA a = ARENA_LIMIT(2 << 20);
        struct given_file *f = &self.tls_files[i];
        struct private_key *key;
        struct err e = {0};
        struct str pem;

        if (!os_read_fd(&a, f->fd, 1 << 20, &pem, &e) || !(key = private_key_parse(pem, &e)))
            LOG(LOG_ERROR, "keys", "private key not usable", LOG_E(&e), LOG_N("key", f->key));
        else
            keys_add(f->key, key, f->listener, STR(""));
        fd_close(&f->fd);
    }
    self.n_tls_files = 0;
}

static bool on_file(struct packet *m, struct err *e)
{
    struct ipc_tls_file file;

    if (!ipc_tls_file_get(m->body, &file, e) || !role_keep_certificate(&self, m, e))
        return false;
    load_keys();
    return IPC_SEND(&self.monitor, key_taken, NULL, 0, e, .key = file.key);
}

static bool on_monitor(struct packet *m, struct err *e)
{
    switch ((int)m->type) {
    case IPC_config:
        return on_config(m, e);
    case IPC_tls_file:
        return on_file(m, e);
    default:
        return fail(e, ERR_BUG, "unexpected message");
    }
}

_Noreturn void keys_main(void)
{
    static const struct service_handlers handlers = {.message = on_message, .monitor = on_monitor};
    struct err e = {0};

    role_start(&self, ROLE_KEYS);
    crypto_warm();
    load_keys();
    if (!acme_open(&self, &e)) {
        LOG(LOG_ERROR, "keys", "cannot start", LOG_E(&e));
        exit(1);
    }
    service_run(&self, &handlers);
}
