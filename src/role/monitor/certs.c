/*
 * Certificates from authorities: keys says which there are, and they are passed on to those who shake hands.
 * And the files with certificates and private keys that the configuration names: they are looked at every second.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "crypto/crypto.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/monitor/monitor_priv.h"

enum { MAX_CERTS = 1000 };

/* --- files ------------------------------------------------------------------------------------------------- */

static bool write_key(struct monitor *m, const struct ipc_key_file *f, int out, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct buf body = BUF_LIMIT(1 << 20);
    const char *path = arena_cstring(&a, f->path);
    AUTO_FD fd = !path        ? -1
                 : f->is_tsig ? os_open_beneath(m->config_dir, path, e)
                              : openat(m->config_dir, path, O_RDONLY | O_CLOEXEC);
    struct ipc_key_text key = {.provider = f->provider, .host = f->host, .is_tsig = f->is_tsig};
    bool is_ok = (fd >= 0 || fail_errno(e, "opening")) && os_read_fd(&a, fd, IPC_MAX_RECORD, &key.text, e);

    if (is_ok) {
        ipc_key_text_put(&body, &key);
        is_ok = key_file_put(out, COMPILED_key_text, &body, key.text, e);
    }
    return is_ok || fail_in(e, "%.*s", STR_FMT(f->path));
}

// mox-web-http-api.md 6.2: what cannot be used is said, and another key is made.
static bool take_key_file(struct monitor *m, enum compiled_type type, struct str body, int out, struct err *e)
{
    struct ipc_key_file file;
    struct ipc_listener port;
    struct err why = {0};

    if (type == COMPILED_listener && ipc_listener_get(body, &port, e))
        m->has_acme |= port.acme.n > 0;
    if (type == COMPILED_key_file && ipc_key_file_get(body, &file, e) && !write_key(m, &file, out, &why))
        LOG(LOG_ERROR, "autotls", "private key not usable", LOG_E(&why), LOG_S("host", file.host));
    return true;
}

int host_keys_read(struct monitor *m, int compiled, struct err *e)
{
    bool before = m->has_acme;
    int fd;

    m->has_acme = false;
    fd = key_files_read(m, compiled, "host keys", take_key_file, e);
    if (fd < 0)
        m->has_acme = before;
    return fd;
}

static int open_seen(struct monitor *m, struct seen_file *f, const char *what, struct err *e)
{
    int fd = f->path ? openat(m->config_dir, f->path, O_RDONLY | O_CLOEXEC) : -1;
    struct stat st;

    if (fd < 0 || fstat(fd, &st)) {
        (void)fail_errno(e, "opening %s %s", what, f->path ? f->path : "");
        fd_close(&fd);
        return -1;
    }
    f->inode = st.st_ino;
    f->changed_ns = st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return fd;
}

bool certificate_open(struct monitor *m, const struct ipc_tls_pair *p, struct err *e)
{
    struct tls_pair *out = &m->pairs[m->n_pairs];

    if (m->n_pairs == MAX_KEYS)
        return fail(e, ERR_LIMIT, "more than %d certificates", MAX_KEYS);
    *out = (struct tls_pair){.listener = p->listener, .key = p->key, .next_cert_fd = -1, .next_key_fd = -1,
                             .cert = {arena_cstring(&m->arena, p->cert_path)},
                             .key_file = {arena_cstring(&m->arena, p->key_path)}};
    if (m->last_key < p->key)
        m->last_key = p->key;
    out->cert_fd = open_seen(m, &out->cert, "certificate", e);
    if (out->cert_fd < 0)
        return false;
    out->key_fd = open_seen(m, &out->key_file, "private key", e);
    if (out->key_fd < 0)
        return false;
    m->n_pairs++;
    return true;
}

// One that is gone for now has not changed.
static bool has_changed(struct monitor *m, const struct seen_file *f)
{
    struct stat st;

    return fstatat(m->config_dir, f->path, &st, 0) == 0 &&
           (f->inode != st.st_ino || f->changed_ns != st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
}

static bool fit(int cert_fd, int key_fd, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct str cert, key;
    bool is_ok;

    if (!os_read_fd(&a, cert_fd, 1 << 20, &cert, e) || !os_read_fd(&a, key_fd, 1 << 20, &key, e))
        return false;
    is_ok = cert_fits_key(cert, key, e);
    explicit_bzero((char *)(uintptr_t)key.p, key.n);
    return is_ok;
}

// keys gets the new key first: who then shows the certificate can have it signed for.
static bool renew_pair(struct monitor *m, struct process *keys, struct tls_pair *p, struct err *e)
{
    AUTO_FD cert = open_seen(m, &p->cert, "certificate", e), key = open_seen(m, &p->key_file, "private key", e);

    if (cert < 0 || key < 0 || !fit(cert, key, e))
        return false;
    p->next_key = ++m->last_key;
    if (!IPC_SEND(&keys->ch, tls_file, &key, 1, e, .listener = p->listener, .key = p->next_key))
        return false;
    fd_close(&p->next_cert_fd);
    fd_close(&p->next_key_fd);
    p->next_cert_fd = fd_take(&cert);
    p->next_key_fd = fd_take(&key);
    return true;
}

void certificates_look(struct monitor *m)
{
    struct process *keys = role_process(m, ROLE_KEYS);

    for (size_t i = 0; i < m->n_pairs && keys; i++) {
        struct tls_pair *p = &m->pairs[i];
        struct err e = {0};

        // What comes next to one another is often written one after the other: a pair that does not fit is no error
        // that lasts, and looked at again when either changes.
        if ((has_changed(m, &p->cert) || has_changed(m, &p->key_file)) && !renew_pair(m, keys, p, &e))
            LOG(LOG_ERROR, "mox", "a certificate has changed and cannot be used; the previous one stays in use", LOG_E(&e),
                LOG_S("file", str_of(p->cert.path)));
    }
}

void certificate_key_taken(struct monitor *m, uint32_t key)
{
    for (size_t i = 0; i < m->n_pairs; i++) {
        struct tls_pair *p = &m->pairs[i];

        if (p->next_key != key || p->next_cert_fd < 0)
            continue;
        fd_close(&p->cert_fd);
        fd_close(&p->key_fd);
        p->cert_fd = fd_take(&p->next_cert_fd);
        p->key_fd = fd_take(&p->next_key_fd);
        p->key = key;
        m->are_certs_new = true;
        LOG(LOG_INFO, "mox", "a certificate has changed and is in use", LOG_S("file", str_of(p->cert.path)),
            LOG_N("listener", p->listener));
    }
}

/* --- what keys announces ---------------------------------------------------------------------------------------- */

static void drop(struct cert *c)
{
    fd_close(&c->fd);
    heap_free(&c->provider);
    heap_free(&c->host);
}

static struct cert *place_for(struct monitor *m, const struct ipc_certificate *info)
{
    for (size_t i = 0; i < m->n_certs; i++) {
        struct cert *c = &m->certs[i];

        if (c->kind == info->kind && str_eq(c->provider, info->provider) && str_eq(c->host, info->host)) {
            drop(c);
            return c;
        }
    }
    if (m->n_certs == MAX_CERTS)
        return NULL;
    m->certs = heap_resize(m->certs, m->n_certs + 1, sizeof *m->certs);
    return &m->certs[m->n_certs++];
}

bool certificate_take(struct monitor *m, struct packet *p, struct err *e)
{
    struct ipc_certificate info;
    AUTO_FD fd = -1;
    struct cert *c;

    if (!ipc_certificate_get(p->body, &info, e))
        return false;
    fd = os_memfile("certificate", e);
    if (fd < 0 || !os_write_all(fd, info.chain, e) || !os_memfile_seal(fd, e))
        return false;
    c = place_for(m, &info);
    if (!c)
        return fail(e, ERR_LIMIT, "more than %d certificates", MAX_CERTS);
    *c = (struct cert){heap_dup(info.provider), heap_dup(info.host), info.kind, info.key, info.is_temporary,
                       fd_take(&fd)};
    m->are_certs_new = true;
    return true;
}

/* --- who uses them ------------------------------------------------------------------------------------------------- */

bool certificates_send(struct monitor *m, struct process *p, struct err *e)
{
    for (size_t i = 0; i < m->n_certs; i++)
        if (!IPC_SEND(&p->ch, tls_cert, &m->certs[i].fd, 1, e, .provider = m->certs[i].provider,
                      .host = m->certs[i].host, .key = m->certs[i].key, .is_temporary = m->certs[i].is_temporary))
            return false;
    return true;
}

// front has connections, which go on; the templates' children each have theirs, and a fresh template follows.
void certificates_pass_on(struct monitor *m)
{
    static const enum role templates[] = {ROLE_SESSION_TEMPLATE, ROLE_WEB_TEMPLATE};
    struct process *front = role_process(m, ROLE_FRONT);
    struct err e = {0};

    if (!m->are_certs_new || !m->is_ready || m->stopping_ms)
        return;
    m->are_certs_new = false;
    if (front && (!role_send_certificates(m, front, &e) || !IPC_SEND(&front->ch, tls_use, NULL, 0, &e)))
        LOG(LOG_ERROR, "autotls", "passing certificates on", LOG_E(&e));
    for (size_t i = 0; i < COUNT(templates); i++)
        if (role_begun(m, templates[i])) // one that is not ready yet has the old ones
            process_start(m, templates[i]);
}
