/*
 * dkim: private keys of DKIM. Signs digests with the selectors of the domains that the asker may use;
 * no key ever leaves it.
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "crypto/crypto.h"
#include "ipc/metrics.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/service.h"

enum { MAX_KEYS_BYTES = 64 << 20 };

struct domain {
    struct str name;
    bool is_host;
    struct map accounts; // those that may send from it
    size_t first, n;     // of its selectors
};

struct selector {
    struct ipc_signing_selector info;
    struct private_key *key; // NULL: its file has none that is usable
    enum dkim_algorithm algorithm;
    const struct domain *domain;
};

/* A configuration with its keys. */
struct loaded {
    struct arena a;
    struct map domains; // by name
    const struct domain *host;  // that the server's own mail is from; NULL: none that signs
    struct selector *selectors; // in the order of their keys' numbers, which begin with 1
    size_t n, cap;
};

static struct role_start self;
static struct loaded *loaded;

/* --- configuration ------------------------------------------------------------------------------ */

static void loaded_free(struct loaded *l)
{
    struct map_entry *entry;

    if (!l)
        return;
    for (size_t i = 0; (entry = map_each(&l->domains, &i));)
        map_fini(&((struct domain *)entry->value)->accounts);
    for (size_t i = 0; i < l->n; i++)
        private_key_free(l->selectors[i].key);
    map_fini(&l->domains);
    arena_fini(&l->a);
    free(l);
}

static bool add_domain(struct loaded *l, struct str body, struct domain **out, struct err *e)
{
    struct ipc_signing_domain d;

    if (!ipc_signing_domain_get(body, &d, e))
        return false;
    *out = ARENA_NEW(&l->a, struct domain);
    **out = (struct domain){.name = d.name, .is_host = d.is_host, .first = l->n};
    map_put(&l->domains, d.name, *out);
    if (d.is_host)
        l->host = *out;
    return true;
}

static bool add_selector(struct loaded *l, struct str body, struct domain *domain, struct err *e)
{
    struct selector *s = ARENA_PUSH(&l->a, l->selectors, &l->n, &l->cap);

    *s = (struct selector){.domain = domain};
    if (!ipc_signing_selector_get(body, &s->info, e))
        return false;
    domain->n++;
    return s->info.key == l->n || fail(e, ERR_BUG, "keys are not in the order of their numbers");
}

// Who signs what. Texts live as long as what they are read from.
static bool read_records(struct loaded *l, struct str compiled, struct err *e)
{
    struct cur c = cur_of(compiled);
    struct domain *domain = NULL;
    struct ipc_signing_account account;
    enum compiled_type type;
    struct str body;
    bool is_ok = true;

    while (is_ok && compiled_next(&c, &type, &body, e)) {
        if (type == COMPILED_signing_domain) {
            is_ok = add_domain(l, body, &domain, e);
        } else if (type == COMPILED_signing_account) {
            is_ok = domain && ipc_signing_account_get(body, &account, e);
            if (is_ok)
                map_put(&domain->accounts, account.name, domain);
        } else if (type == COMPILED_signing_selector) {
            is_ok = domain && add_selector(l, body, domain, e);
        }
    }
    return e->kind ? false : is_ok || fail(e, ERR_BUG, "a record without its domain");
}

// The key that this selector had in the configuration before.
static bool take_old(struct selector *s, struct loaded *old)
{
    const struct domain *d = old ? map_get(&old->domains, s->domain->name) : NULL;

    for (size_t i = 0; d && i < d->n; i++) {
        struct selector *was = &old->selectors[d->first + i];

        if (!was->key || !str_eq(was->info.name, s->info.name))
            continue;
        s->key = was->key;
        s->algorithm = was->algorithm;
        was->key = NULL;
        return true;
    }
    return false;
}

static void add_key(struct loaded *l, const struct ipc_signing_key *file, struct loaded *old)
{
    struct selector *s = file->key && file->key <= l->n ? &l->selectors[file->key - 1] : NULL;
    struct err e = {0};
    bool has_old;

    if (!s)
        return;
    s->key = dkim_private_key(file->pem, &s->algorithm, &e);
    if (s->key)
        return;
    has_old = take_old(s, old);
    LOG(LOG_ERROR, "dkim",
        has_old ? "private key not usable, the previous one stays in use"
                : "private key not usable, nothing is signed with this selector",
        LOG_E(&e), LOG_S("domain", s->domain->name), LOG_S("selector", s->info.name));
}

static bool read_keys(struct loaded *l, int fd, struct loaded *old, struct err *e)
{
    struct arena a = ARENA_LIMIT(MAX_KEYS_BYTES);
    struct ipc_signing_key key;
    enum compiled_type type;
    struct str text, body;
    bool is_ok = os_read_fd(&a, fd, MAX_KEYS_BYTES, &text, e);
    struct cur c = cur_of(is_ok ? text : STR(""));

    while (is_ok && compiled_next(&c, &type, &body, e)) {
        is_ok = type == COMPILED_signing_key && ipc_signing_key_get(body, &key, e);
        if (is_ok)
            add_key(l, &key, old);
    }
    if (text.n)
        explicit_bzero((char *)(uintptr_t)text.p, text.n);
    arena_fini(&a);
    return is_ok && !e->kind;
}

// A key that signs for two domains makes whoever has the use of it for one a signer for the other.
static void note_shared_keys(const struct loaded *l)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct map owners = {0};

    for (size_t i = 0; i < l->n; i++) {
        struct selector *s = &l->selectors[i];
        const struct selector *other;
        struct err e = {0};
        struct str public;

        if (!s->key || !private_key_public(&a, s->key, &public, &e))
            continue;
        other = map_put(&owners, public, s);
        if (other && other->domain != s->domain)
            LOG(LOG_WARN, "dkim", "two domains have the same private key",
                LOG_S("domain", s->domain->name), LOG_S("other", other->domain->name));
    }
    map_fini(&owners);
}

static struct loaded *load(struct str compiled, int keys, struct loaded *old, struct err *e)
{
    struct loaded *l = heap_alloc(sizeof *l);

    l->a = (struct arena)ARENA_LIMIT(128 << 20);
    if (!read_records(l, arena_dup(&l->a, compiled), e) || !read_keys(l, keys, old, e)) {
        loaded_free(l);
        return NULL;
    }
    note_shared_keys(l);
    return l;
}

static bool on_monitor(struct packet *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(COMPILED_MAX_BYTES + (1 << 20));
    struct ipc_config config;
    struct loaded *fresh;
    struct str text;
    AUTO_FD keys = -1;

    if (m->type != IPC_config || m->n_fds != 2)
        return fail(e, ERR_BUG, "unexpected message");
    keys = packet_take_fd(m, 1);
    if (!ipc_config_get(m->body, &config, e) || !role_read_config(m, &a, &text, e) ||
        !(fresh = load(text, keys, loaded, e)))
        return false;
    loaded_free(loaded);
    loaded = fresh;
    LOG(LOG_INFO, "dkim", "selectors are in use", LOG_N("selectors", loaded->n),
        LOG_N("number", config.number));
    return IPC_SEND(&self.monitor, config_done, NULL, 0, e, .number = config.number);
}

/* --- signing ------------------------------------------------------------------------------------ */

static bool has_word(struct str list, struct str word)
{
    struct str one;

    while (str_cut(list, ' ', &one, &list))
        if (str_eq(one, word))
            return true;
    return str_eq(list, word);
}

// A session signs for the domains of the account that it has logged in as, and on port 25 seals for those
// whose lists it passes a message on for: auth told the monitor of both. The server's own mail comes from
// the host's domain; reports of the queue, from the one that was written to.
static bool may_use(const struct service_peer *p, const struct domain *d)
{
    if (p->role != ROLE_SESSION)
        return d->is_host || p->role == ROLE_QUEUE;
    return p->protocol == IPC_PROTOCOL_SMTP ? has_word(p->address, d->name)
                                            : p->account.n && map_get(&d->accounts, p->account);
}

static bool tell_selectors(struct service_peer *p, uint64_t request, const struct domain *d,
                           struct err *e)
{
    uint32_t left = 0;

    for (size_t i = 0; d && i < d->n; i++)
        left += loaded->selectors[d->first + i].key != NULL;
    if (!left)
        return IPC_SEND(&p->ch, dkim_selector, NULL, 0, e, .request = request);
    for (size_t i = 0; i < d->n; i++) {
        const struct selector *s = &loaded->selectors[d->first + i];

        if (s->key &&
            !IPC_SEND(&p->ch, dkim_selector, NULL, 0, e, .request = request, .left = --left,
                      .key = s->info.key, .domain = d->name,
                      .algorithm = (uint8_t)s->algorithm, .is_unsealed = s->info.is_unsealed,
                      .header_is_relaxed = s->info.header_is_relaxed,
                      .body_is_relaxed = s->info.body_is_relaxed,
                      .expires_after = s->info.expires_after, .name = s->info.name,
                      .headers = s->info.headers))
            return false;
    }
    return true;
}

static bool on_domain(struct service_peer *p, struct packet *packet, struct err *e)
{
    const struct domain *d;
    struct ipc_dkim_domain m;

    if (!ipc_dkim_domain_get(packet->body, &m, e))
        return false;
    d = m.domain.n ? map_get(&loaded->domains, m.domain) : loaded->host;
    return tell_selectors(p, m.request, d && may_use(p, d) ? d : NULL, e);
}

static bool sign(const struct service_peer *p, const struct ipc_dkim_sign *m, struct buf *out,
                 struct err *e)
{
    const struct selector *s = m->key && m->key <= loaded->n ? &loaded->selectors[m->key - 1] : NULL;

    if (!s || !s->key)
        return fail(e, ERR_NOT_FOUND, "no key %u", m->key);
    if (!may_use(p, s->domain))
        return fail(e, ERR_DENIED, "the asker may not sign for %.*s", STR_FMT(s->domain->name));
    return private_key_sign_sha256(s->key, m->digest, out, e);
}

static bool on_sign(struct service_peer *p, struct packet *packet, struct err *e)
{
    AUTO_BUF out = BUF_LIMIT(IPC_MAX_SIGNATURE);
    struct ipc_dkim_sign m;
    struct err why = {0};
    bool is_ok;

    if (!ipc_dkim_sign_get(packet->body, &m, e))
        return false;
    is_ok = sign(p, &m, &out, &why) && !out.full;
    if (is_ok)
        METRIC(dkim_sign_total, loaded->selectors[m.key - 1].algorithm == DKIM_ED25519_SHA256);
    else
        LOG(LOG_ERROR, "dkim", "cannot sign", LOG_E(&why), LOG_X("cid", p->conn));
    return IPC_SEND(&p->ch, dkim_signed, NULL, 0, e, .request = m.request, .is_ok = is_ok,
                    .signature = is_ok ? buf_str(&out) : STR(""));
}

static bool on_message(struct service_peer *p, struct packet *m, struct err *e)
{
    switch ((int)m->type) {
    case IPC_dkim_domain:
        return on_domain(p, m, e);
    case IPC_dkim_sign:
        return on_sign(p, m, e);
    default:
        return fail(e, ERR_DENIED, "unexpected message");
    }
}

_Noreturn void dkim_main(void)
{
    static const struct service_handlers handlers = {.message = on_message, .monitor = on_monitor};
    struct err e = {0};

    role_start(&self, ROLE_DKIM);
    crypto_warm();
    if (self.n_dirs != 1 || !(loaded = load(self.config, self.dirs[0], NULL, &e))) {
        LOG(LOG_ERROR, "dkim", "cannot start", LOG_E(&e));
        exit(1);
    }
    fd_close(&self.dirs[0]);
    self.n_dirs = 0; // it was no directory
    service_run(&self, &handlers);
}
