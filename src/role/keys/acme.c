/*
 * Keys of accounts at authorities, and of the certificates that they give (mox-web-http-api.md 6.2). Files are below the
 * directory: <provider>.key, and keycerts/<provider>/<host>, with "+rsa" behind that for a key of RSA, which has the
 * private key and after it the chain.
 *
 * What acme may have signed is a request of ACME, whose protected header is written here, and a CSR for a name that
 * the configuration has.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "policy/acme/acme.h"
#include "policy/dns_update.h"
#include "role/keys/keys.h"
#include "role/keys/maker.h"
#include "text/encode.h"

enum { MAX_FILE = 256 * 1024, RSA_BITS = 2048 };

/* The keys and the certificate of a host at an authority, of one kind. */
struct own {
    struct str provider, host; // heap
    enum ipc_key_kind kind;
    struct tls_key *current; // that of the certificate
    struct tls_key *previous; // another one, which clients may be shaking hands with
    struct str chain;        // heap
    struct str pem;          // heap: current's
    bool is_temporary;
    struct private_key *next; // of a request; heap, until there is its certificate
    struct str next_pem;
    struct str fresh_pem;     // heap: made for the first request, until there is a certificate
    struct own *next_own;
};

/* What the configuration says, all in one arena. */
static struct {
    struct arena arena;
    struct ipc_acme_provider *providers;
    struct ipc_acme_host *hosts;
    struct ipc_key_text *texts; // of keys
    struct ipc_acme_dns *dns;   // who takes updates of the DNS
    size_t n_providers, cap_providers, n_hosts, cap_hosts, n_texts, cap_texts, n_dns, cap_dns;
} configured = {.arena = ARENA_LIMIT(128 << 20)};

static struct role_start *self;
static struct own *owned;

static const struct ipc_acme_provider *provider_of(struct str name)
{
    for (size_t i = 0; i < configured.n_providers; i++)
        if (str_eq(configured.providers[i].name, name))
            return &configured.providers[i];
    return NULL;
}

static bool is_ours(struct str provider, struct str host)
{
    for (size_t i = 0; i < configured.n_hosts; i++)
        if (str_eq(configured.hosts[i].provider, provider) && str_eq(configured.hosts[i].host, host))
            return true;
    return false;
}

/* --- files ---------------------------------------------------------------------------------------------------- */

// Both names come from the configuration, and are parts of a path.
static bool is_file_name(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!ascii_is_alnum(name.p[i]) && str_find(STR("._-"), name.p[i]) < 0)
            return false;
    return name.n && name.p[0] != '.';
}

static bool make_dir(const char *path, struct err *e)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST || fail_errno(e, "making %s", path);
}

static const char *path_of(struct arena *a, struct str provider, struct str host, enum ipc_key_kind kind)
{
    return arena_cstring(a, arena_printf(a, "keycerts/%.*s/%.*s%s", STR_FMT(provider), STR_FMT(host),
                                         kind == IPC_KEY_RSA ? "+rsa" : ""));
}

/*
 * The private key of a PEM text without the headers that upstream writes ("Note: ..."), which are none of those that
 * PEM has for encrypted keys (RFC 1421 4.6), and after it the rest.
 */
static bool split_key(struct arena *a, struct str text, struct str *key, struct str *rest, struct err *e)
{
    AUTO_BUF out = BUF_LIMIT(MAX_FILE);
    struct cur c = cur_of(text);
    struct str line;

    while (cur_line(&c, &line)) {
        if (str_find(line, ':') < 0 && line.n) {
            buf_put(&out, line);
            BUF_PUT(&out, "\n");
        }
        if (str_starts(line, STR("-----END ")))
            break;
    }
    *key = arena_dup(a, buf_str(&out));
    *rest = cur_rest(&c);
    if (out.p)
        explicit_bzero(out.p, out.n);
    return str_starts(*key, STR("-----BEGIN ")) || fail(e, ERR_SYNTAX, "no private key");
}

static bool is_of_kind(const struct private_key *k, enum ipc_key_kind kind)
{
    return private_key_use(k) == (kind == IPC_KEY_RSA ? PRIVATE_KEY_USE_RSA : PRIVATE_KEY_USE_P256);
}

/* --- keys and certificates -------------------------------------------------------------------------------------- */

static struct own *own_of(struct str provider, struct str host, enum ipc_key_kind kind)
{
    struct own *o = owned;

    while (o && !(o->kind == kind && str_eq(o->provider, provider) && str_eq(o->host, host)))
        o = o->next_own;
    if (o)
        return o;
    o = heap_alloc(sizeof *o);
    *o = (struct own){heap_dup(provider), heap_dup(host), kind, .next_own = owned};
    owned = o;
    return o;
}

static uint32_t number_of(const unsigned char fingerprint[SHA256_BYTES])
{
    uint32_t n;

    memcpy(&n, fingerprint, sizeof n);
    return n | KEYS_AUTHORITY_BIT;
}

// The certificate is in use from here on. Takes over the key, whatever comes of it.
static bool use(struct own *o, struct private_key *key, struct str pem, struct str chain, bool is_temporary,
                struct err *e)
{
    unsigned char fingerprint[SHA256_BYTES];
    struct tls_key *before = o->current;
    struct str old_pem = o->pem, old_chain = o->chain;

    if (!private_key_fingerprint(key, fingerprint)) {
        private_key_free(key);
        return fail(e, ERR_BUG, "a key without a public half");
    }
    o->current = keys_add(number_of(fingerprint), key, 0, o->provider);
    o->pem = heap_dup(pem);
    o->chain = heap_dup(chain);
    o->is_temporary = is_temporary;
    heap_free(&old_pem);
    heap_free(&old_chain);
    heap_free(&o->fresh_pem);
    if (!IPC_SEND(&self->monitor, certificate, NULL, 0, e, .provider = o->provider, .host = o->host,
                  .kind = (uint8_t)o->kind, .key = o->current->number, .is_temporary = is_temporary,
                  .chain = o->chain))
        return false;
    if (before && before->number == o->current->number) {
        keys_remove(before);
    } else if (before) {
        keys_remove(o->previous);
        o->previous = before;
    }
    return true;
}

static bool fits(struct arena *a, const struct private_key *k, struct str chain, struct str host, struct err *e)
{
    unsigned char fingerprint[SHA256_BYTES];
    struct cert_facts facts;

    return cert_facts_of(a, chain, host, &facts, e) &&
           ((private_key_fingerprint(k, fingerprint) &&
             memcmp(fingerprint, facts.fingerprint, sizeof fingerprint) == 0) ||
            fail(e, ERR_CONFLICT, "the certificate is for another key"));
}

static void load_one(const struct ipc_acme_host *h, enum ipc_key_kind kind)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    const char *path = path_of(&a, h->provider, h->host, kind);
    struct own *o = own_of(h->provider, h->host, kind);
    struct private_key *key = NULL;
    struct str text, pem, chain;
    struct err e = {0};

    if (o->current || access(path, F_OK))
        return;
    if (!os_read_file(&a, path, MAX_FILE, &text, &e) || !split_key(&a, text, &pem, &chain, &e) ||
        !(key = private_key_parse(pem, &e)) || !fits(&a, key, chain, h->host, &e) || !is_of_kind(key, kind)) {
        private_key_free(key);
        key = NULL;
    }
    if (!key || !use(o, key, pem, chain, false, &e))
        LOG(LOG_ERROR, "autotls", "certificate not usable", LOG_S("file", str_of(path)), LOG_E(&e));
}

// mox-web-http-api.md 6.2: the first one of the kind that the configuration names for the host.
static struct private_key *configured_key(struct str provider, struct str host, enum ipc_key_kind kind, struct arena *a,
                                          struct str *pem)
{
    for (size_t i = 0; i < configured.n_texts; i++) {
        const struct ipc_key_text *t = &configured.texts[i];
        struct private_key *k;
        struct str rest;
        struct err e = {0};

        if (!str_eq(t->provider, provider) || !t->host.n || !str_eq(t->host, host))
            continue;
        if (!split_key(a, t->text, pem, &rest, &e) || !(k = private_key_parse(*pem, &e))) {
            LOG(LOG_ERROR, "autotls", "private key of the host not usable", LOG_S("host", host), LOG_E(&e));
            continue;
        }
        if (is_of_kind(k, kind))
            return k;
        if (private_key_use(k) == PRIVATE_KEY_USE_NONE)
            LOG(LOG_ERROR, "autotls", "private key of the host is neither ECDSA P-256 nor RSA of 2048 bits or more",
                LOG_S("host", host));
        private_key_free(k);
    }
    return NULL;
}

// Whether there is none yet, and to make one takes a while.
static bool lacks_rsa(const struct own *o)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct private_key *k;
    struct str pem;

    if (o->kind != IPC_KEY_RSA || o->pem.n || o->fresh_pem.n)
        return false;
    k = configured_key(o->provider, o->host, o->kind, &a, &pem);
    private_key_free(k);
    return !k;
}

// The key for the next certificate: that of the configuration, the one that there is, or a fresh one.
static struct private_key *choose_key(struct own *o, struct arena *a, struct str *pem, struct err *e)
{
    struct private_key *k = configured_key(o->provider, o->host, o->kind, a, pem);

    if (k)
        return k;
    if (o->pem.n)
        *pem = o->pem;
    else if (o->fresh_pem.n)
        *pem = o->fresh_pem;
    else if (!key_ecdsa_p256(a, pem, e))
        return NULL;
    return private_key_parse(*pem, e);
}

// For port 25, whose clients mostly look at no names: better than no TLS, and right for DANE when the key is the one
// that the DNS has.
static void make_placeholder(const struct ipc_acme_host *h)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct own *o = own_of(h->provider, h->host, IPC_KEY_ECDSA);
    struct private_key *k;
    struct str pem, cert;
    bool is_host = false;
    struct err e = {0};

    for (size_t i = 0; i < self->n_ports; i++)
        is_host |= str_eq(self->ports[i].acme, h->provider) && str_eq(self->ports[i].hostname, h->host) &&
                   self->ports[i].protocol == IPC_PROTOCOL_SMTP;
    if (o->current || !is_host || own_of(h->provider, h->host, IPC_KEY_RSA)->current)
        return;
    k = choose_key(o, &a, &pem, &e);
    if (k && !cert_placeholder(&a, k, h->host, &cert, &e)) {
        private_key_free(k);
        k = NULL;
    }
    if (!k || !use(o, k, pem, cert, true, &e))
        LOG(LOG_ERROR, "autotls", "cannot make a certificate", LOG_S("host", h->host), LOG_E(&e));
}

/* --- the configuration ---------------------------------------------------------------------------------------------- */

static bool take_records(struct str text, struct err *e)
{
    struct cur c = cur_of(text);
    enum compiled_type type;
    struct str body;

    while (compiled_next(&c, &type, &body, e))
        if ((type == COMPILED_acme_provider &&
             !ipc_acme_provider_get(body, ARENA_PUSH(&configured.arena, configured.providers, &configured.n_providers,
                                                     &configured.cap_providers), e)) ||
            (type == COMPILED_acme_host &&
             !ipc_acme_host_get(body, ARENA_PUSH(&configured.arena, configured.hosts, &configured.n_hosts,
                                                 &configured.cap_hosts), e)) ||
            (type == COMPILED_acme_dns &&
             !ipc_acme_dns_get(body, ARENA_PUSH(&configured.arena, configured.dns, &configured.n_dns,
                                                &configured.cap_dns), e)) ||
            (type == COMPILED_key_text &&
             !ipc_key_text_get(body, ARENA_PUSH(&configured.arena, configured.texts, &configured.n_texts,
                                                &configured.cap_texts), e)))
            return false;
    return e->kind == ERR_NONE;
}

static bool read_configuration(struct str config, int host_keys, struct err *e)
{
    struct str texts = STR("");

    arena_reset(&configured.arena);
    configured.providers = NULL;
    configured.hosts = NULL;
    configured.texts = NULL;
    configured.n_providers = configured.cap_providers = configured.n_hosts = configured.cap_hosts = 0;
    configured.n_texts = configured.cap_texts = 0;
    configured.dns = NULL;
    configured.n_dns = configured.cap_dns = 0;
    config = arena_dup(&configured.arena, config);
    return take_records(config, e) &&
           (host_keys < 0 || os_read_fd(&configured.arena, host_keys, COMPILED_MAX_BYTES, &texts, e)) &&
           take_records(texts, e);
}

static void load_all(void)
{
    for (size_t i = 0; i < configured.n_hosts; i++) {
        const struct ipc_acme_host *h = &configured.hosts[i];

        if (!is_file_name(h->provider) || !is_file_name(h->host))
            continue;
        load_one(h, IPC_KEY_ECDSA);
        load_one(h, IPC_KEY_RSA);
        make_placeholder(h);
    }
}

// Authorities are those of the start, and a sandbox in which no directories are made is the smaller one.
static bool make_dirs(struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);

    if (!configured.n_providers)
        return true;
    if (!make_dir("keycerts", e))
        return false;
    for (size_t i = 0; i < configured.n_providers; i++) {
        struct str name = configured.providers[i].name;

        if (is_file_name(name) && !make_dir(arena_cstring(&a, arena_printf(&a, "keycerts/%.*s", STR_FMT(name))), e))
            return false;
    }
    return true;
}

bool acme_open(struct role_start *s, struct err *e)
{
    int host_keys = s->n_dirs > 1 ? s->dirs[1] : -1;

    self = s;
    if (!s->n_dirs) // one that runs alone
        return true;
    s->n_dirs = 1; // the other is a memory file
    if (!read_configuration(s->config, host_keys, e))
        return false;
    fd_close(&host_keys);
    if (fchdir(s->dirs[0]))
        return fail_errno(e, "entering the directory acme");
    if (!make_dirs(e))
        return false;
    load_all();
    return true;
}

bool acme_reload(struct role_start *s, struct str config, int host_keys, struct err *e)
{
    (void)s;
    if (!read_configuration(config, host_keys, e))
        return false;
    load_all();
    return true;
}

/* --- what acme asks for ------------------------------------------------------------------------------------------------ */

static bool account_pem(struct arena *a, struct str provider, struct str *pem, struct err *e)
{
    const char *path = arena_cstring(a, arena_printf(a, "%.*s.key", STR_FMT(provider)));
    struct str text, rest;

    if (!provider_of(provider) || !is_file_name(provider))
        return fail(e, ERR_NOT_FOUND, "no such authority");
    if (access(path, F_OK) == 0)
        return os_read_file(a, path, MAX_FILE, &text, e) && split_key(a, text, pem, &rest, e);
    return key_ecdsa_p256(a, pem, e) && os_write_file(path, *pem, 0660, e);
}

static struct private_key *account_key(struct arena *a, struct str provider, struct err *e)
{
    struct str pem;

    return account_pem(a, provider, &pem, e) ? private_key_parse(pem, e) : NULL;
}

static bool sign_jws(const struct private_key *k, const struct ipc_acme_sign *m, struct str jwk, struct buf *out,
                     struct err *e)
{
    struct str alg = private_key_use(k) == PRIVATE_KEY_USE_RSA ? STR("RS256") : STR("ES256");
    AUTO_BUF header = BUF_LIMIT(IPC_MAX_JOSE), input = BUF_LIMIT(IPC_MAX_JOSE), signature = BUF_LIMIT(2048);

    acme_protected(&header, alg, m->nonce, m->url, m->kid, jwk);
    acme_signing_input(&input, buf_str(&header), m->payload);
    if (header.full || input.full || !private_key_sign_jws(k, buf_str(&input), &signature, e))
        return e->kind ? false : fail(e, ERR_LIMIT, "a request that is too long");
    acme_jws(out, buf_str(&input), buf_str(&signature));
    return !out->full || fail(e, ERR_LIMIT, "a request that is too long");
}

static bool on_key(struct arena *a, struct str provider, struct buf *out, struct err *e)
{
    struct private_key *k = account_key(a, provider, e);
    bool is_ok = k && private_key_jwk(k, out, e);

    private_key_free(k);
    return is_ok;
}

static bool on_sign(struct arena *a, const struct ipc_acme_sign *m, struct buf *out, struct err *e)
{
    struct private_key *k = account_key(a, m->provider, e);
    AUTO_BUF jwk = BUF_LIMIT(IPC_MAX_JOSE);
    bool is_ok = k && private_key_jwk(k, &jwk, e) && sign_jws(k, m, buf_str(&jwk), out, e);

    private_key_free(k);
    return is_ok;
}

// RFC 8555 7.3.4: the account's key, with a MAC by the key that the authority has given.
static bool on_bind(struct arena *a, const struct ipc_acme_bind *m, struct buf *out, struct err *e)
{
    const struct ipc_acme_provider *provider = provider_of(m->provider);
    AUTO_BUF mac_key = BUF_LIMIT(4096), jwk = BUF_LIMIT(IPC_MAX_JOSE), header = BUF_LIMIT(IPC_MAX_JOSE);
    AUTO_BUF input = BUF_LIMIT(IPC_MAX_JOSE);
    unsigned char mac[SHA256_BYTES];
    const struct ipc_key_text *t = NULL;

    for (size_t i = 0; i < configured.n_texts; i++)
        if (!configured.texts[i].host.n && !configured.texts[i].is_tsig && str_eq(configured.texts[i].provider, m->provider))
            t = &configured.texts[i];
    if (!provider || !t || !base64url_decode(&mac_key, str_trim(t->text)) || !mac_key.n)
        return fail(e, ERR_NOT_FOUND, "no usable key of ExternalAccountBinding for this authority");
    if (!on_key(a, m->provider, &jwk, e))
        return false;
    acme_protected(&header, STR("HS256"), STR(""), m->url, provider->binding_key_id, STR(""));
    acme_signing_input(&input, buf_str(&header), buf_str(&jwk));
    hmac_sha256(buf_str(&mac_key), buf_str(&input), mac);
    explicit_bzero(mac_key.p, mac_key.n);
    acme_jws(out, buf_str(&input), str_at(mac, sizeof mac));
    return true;
}

static bool may_request(const struct ipc_acme_csr *m, struct err *e)
{
    return (is_ours(m->provider, m->host) && is_file_name(m->host) && m->kind) ||
           fail(e, ERR_DENIED, "not a name for this authority");
}

static bool on_csr(struct arena *a, const struct ipc_acme_csr *m, struct buf *out, struct err *e)
{
    struct str pem, der;
    struct own *o;

    if (!may_request(m, e))
        return false;
    o = own_of(m->provider, m->host, (enum ipc_key_kind)m->kind);
    private_key_free(o->next);
    heap_free(&o->next_pem);
    o->next = choose_key(o, a, &pem, e);
    if (!o->next)
        return false;
    o->next_pem = heap_dup(pem);
    if (!csr_make(a, o->next, m->host, &der, e))
        return false;
    buf_put(out, der);
    return true;
}

static bool answer(struct service_peer *p, uint64_t request, bool is_ok, struct str bytes, const struct err *why,
                   struct err *e)
{
    return IPC_SEND(&p->ch, acme_made, NULL, 0, e, .request = request, .is_ok = is_ok, .bytes = is_ok ? bytes : STR(""),
                    .why = str_of(why->text));
}

/* The request that a key is being made for. */
static struct {
    struct own *own;
    uint64_t peer, request;
} key_for;

static void on_key_made(bool is_ok, struct str pem, const struct err *made)
{
    AUTO_ARENA a = ARENA_LIMIT(8 << 20);
    AUTO_BUF out = BUF_LIMIT(IPC_MAX_JOSE);
    struct own *o = key_for.own;
    struct ipc_acme_csr m = {key_for.request, o->provider, o->host, (uint8_t)o->kind};
    struct service_peer *p = service_peer_by_id(key_for.peer);
    struct err why = *made, e = {0};

    LOG(LOG_DEBUG, "autotls", "a key is made", LOG_S("host", o->host), LOG_E(made));
    if (is_ok) { // kept for the next request if this one is not waited for any more
        heap_free(&o->fresh_pem);
        o->fresh_pem = heap_dup(pem);
    }
    if (!p)
        return;
    is_ok = is_ok && on_csr(&a, &m, &out, &why);
    if (!answer(p, m.request, is_ok, buf_str(&out), &why, &e)) {
        LOG(LOG_INFO, "autotls", "answering that a key is made", LOG_E(&e));
        service_peer_close(p);
    }
}

// Whether it is answered later.
static bool has_to_wait(struct service_peer *p, const struct ipc_acme_csr *m, struct err *e)
{
    struct own *o;

    if (!may_request(m, e))
        return false;
    o = own_of(m->provider, m->host, (enum ipc_key_kind)m->kind);
    if (!lacks_rsa(o) || !maker_begin(RSA_BITS, on_key_made, e))
        return false;
    key_for.own = o;
    key_for.peer = p->id;
    key_for.request = m->request;
    return true;
}

static bool write_keycert(struct arena *a, const struct own *o, struct str chain, struct err *e)
{
    struct str both = arena_printf(a, "%.*s%.*s", STR_FMT(o->next_pem), STR_FMT(chain));

    return os_write_file(path_of(a, o->provider, o->host, o->kind), both, 0660, e);
}

// On disk before it is used: after a restart it is the same.
static bool on_store(struct arena *a, const struct ipc_acme_store *m, struct err *e)
{
    struct private_key *key;
    struct str pem;
    struct own *o;
    bool is_ok;

    if (!is_ours(m->provider, m->host) || !m->kind)
        return fail(e, ERR_DENIED, "not a name for this authority");
    o = own_of(m->provider, m->host, (enum ipc_key_kind)m->kind);
    if (!o->next)
        return fail(e, ERR_CONFLICT, "no certificate was requested");
    if (!fits(a, o->next, m->chain, m->host, e) || !write_keycert(a, o, m->chain, e))
        return false;
    key = o->next;
    pem = o->next_pem;
    o->next = NULL;
    o->next_pem = (struct str){0};
    is_ok = use(o, key, pem, m->chain, false, e);
    heap_free(&pem);
    return is_ok;
}

static bool tell_all(struct service_peer *p, struct err *e)
{
    for (const struct own *o = owned; o; o = o->next_own)
        if (o->current && !o->is_temporary && is_ours(o->provider, o->host) &&
            !IPC_SEND(&p->ch, acme_have, NULL, 0, e, .provider = o->provider, .host = o->host,
                      .kind = (uint8_t)o->kind, .chain = o->chain))
            return false;
    return true;
}

/* --- updates of the DNS ------------------------------------------------------------------------------------------------- */

// What updates are signed with, to be wiped.
static bool tsig_secret(struct str provider, struct buf *out, struct err *e)
{
    for (size_t i = 0; i < configured.n_texts; i++) {
        const struct ipc_key_text *t = &configured.texts[i];

        if (t->is_tsig && str_eq(t->provider, provider) && base64_decode_strict(out, str_trim(t->text)) && out->n)
            return true;
    }
    return fail(e, ERR_NOT_FOUND, "no usable key for updates of the DNS");
}

// Written here as a whole: what is signed can be nothing but a challenge for a name of ours.
static bool on_update(struct arena *a, const struct ipc_acme_update *m, struct buf *out, struct err *e)
{
    AUTO_BUF secret = BUF_LIMIT(4096);
    const struct ipc_acme_dns *dns = NULL;
    struct dns_update u;
    bool is_ok;

    for (size_t i = 0; i < configured.n_dns; i++)
        if (str_eq(configured.dns[i].provider, m->provider))
            dns = &configured.dns[i];
    if (!dns || !is_ours(m->provider, m->host))
        return fail(e, ERR_DENIED, "not a name for this authority");
    u = (struct dns_update){.time = os_now_unix_ms() / 1000, .zone = dns->zone, .text = m->text, .is_set = m->is_set,
                            .name = arena_printf(a, "_acme-challenge.%.*s", STR_FMT(m->host)),
                            .key_name = dns->key_name};
    os_random(&u.id, sizeof u.id);
    is_ok = tsig_secret(m->provider, &secret, e) && dns_update_put(out, &u, buf_str(&secret), e);
    if (secret.p)
        explicit_bzero(secret.p, secret.n);
    return is_ok;
}

// Yes or no: a MAC that acme could sign with is not given away.
static bool on_verify(const struct ipc_acme_verify *m, struct err *e)
{
    AUTO_BUF secret = BUF_LIMIT(4096);
    unsigned char mac[SHA256_BYTES];
    int differs = m->mac.n != sizeof mac;

    if (!tsig_secret(m->provider, &secret, e))
        return false;
    hmac_sha256(buf_str(&secret), m->bytes, mac);
    explicit_bzero(secret.p, secret.n);
    // To the end, whichever octet is wrong: how long it takes says nothing.
    for (size_t i = 0; i < sizeof mac && i < m->mac.n; i++)
        differs |= mac[i] ^ (unsigned char)m->mac.p[i];
    return !differs || fail(e, ERR_DENIED, "the answer's signature is wrong");
}

bool acme_message(struct service_peer *p, struct packet *packet, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(8 << 20);
    AUTO_BUF out = BUF_LIMIT(IPC_MAX_JOSE);
    struct ipc_acme_list list;
    struct ipc_acme_key key;
    struct ipc_acme_sign sign;
    struct ipc_acme_bind bind;
    struct ipc_acme_csr csr;
    struct ipc_acme_store store;
    struct ipc_acme_update update;
    struct ipc_acme_verify verify;
    struct err why = {0};
    uint64_t request;
    bool is_ok;

    switch ((int)packet->type) {
    case IPC_acme_list:
        if (!ipc_acme_list_get(packet->body, &list, e) || !tell_all(p, e))
            return false;
        request = list.request;
        is_ok = true;
        break;
    case IPC_acme_key:
        if (!ipc_acme_key_get(packet->body, &key, e))
            return false;
        request = key.request;
        is_ok = on_key(&a, key.provider, &out, &why);
        break;
    case IPC_acme_sign:
        if (!ipc_acme_sign_get(packet->body, &sign, e))
            return false;
        request = sign.request;
        is_ok = on_sign(&a, &sign, &out, &why);
        break;
    case IPC_acme_bind:
        if (!ipc_acme_bind_get(packet->body, &bind, e))
            return false;
        request = bind.request;
        is_ok = on_bind(&a, &bind, &out, &why);
        break;
    case IPC_acme_csr:
        if (!ipc_acme_csr_get(packet->body, &csr, e))
            return false;
        request = csr.request;
        if (has_to_wait(p, &csr, &why))
            return true;
        is_ok = !why.kind && on_csr(&a, &csr, &out, &why);
        break;
    case IPC_acme_store:
        if (!ipc_acme_store_get(packet->body, &store, e))
            return false;
        request = store.request;
        is_ok = on_store(&a, &store, &why);
        break;
    case IPC_acme_update:
        if (!ipc_acme_update_get(packet->body, &update, e))
            return false;
        request = update.request;
        is_ok = on_update(&a, &update, &out, &why);
        break;
    case IPC_acme_verify:
        if (!ipc_acme_verify_get(packet->body, &verify, e))
            return false;
        request = verify.request;
        is_ok = on_verify(&verify, &why);
        break;
    default:
        return fail(e, ERR_DENIED, "unexpected message");
    }
    return answer(p, request, is_ok, buf_str(&out), &why, e);
}
