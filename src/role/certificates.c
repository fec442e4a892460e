#include "role/certificates.h"

#include "base/log.h"
#include "ipc/metrics.h"
#include "os/fd.h"
#include "os/file.h"

static struct tls_server *server_of(const struct ipc_listener *port, const struct certificates_use *use,
                                    struct tls_server **servers)
{
    struct tls_server **s = &servers[port->index];

    if (!*s) {
        *s = tls_server_new(use->signer, port->needs_tls13 ? TLS_LEAST_1_3 : TLS_LEAST_1_2, use->has_tickets);
        if (use->alpn.n)
            tls_server_set_protocols(*s, use->alpn);
    }
    return *s;
}

static void add(struct tls_server *server, int fd, uint32_t key)
{
    AUTO_ARENA a = ARENA_LIMIT(2 << 20);
    struct err e = {0};
    struct str pem;

    if (!os_read_fd(&a, fd, 1 << 20, &pem, &e) || !tls_server_add_cert(server, pem, key, &e))
        LOG(LOG_ERROR, "autotls", "certificate not usable", LOG_E(&e), LOG_N("key", key));
}

// mox-web-http-api.md 6.3.
static enum tls_names names_for(uint8_t protocol)
{
    return protocol == IPC_PROTOCOL_SMTP   ? TLS_NAMES_ANY
           : protocol == IPC_PROTOCOL_HTTP ? TLS_NAMES_KNOWN
                                           : TLS_NAMES_KNOWN_OR_NONE;
}

// One of our own is better than none where nobody looks at who made it, and good for DANE; a person who would be asked
// whether to trust it is better told that there is none yet.
static bool is_for(const struct given_cert *c, const struct ipc_listener *port)
{
    return str_eq(c->provider, port->acme) && (!c->is_temporary || port->protocol == IPC_PROTOCOL_SMTP);
}

static tls_unknown_name *wanted; // of certificates_use

static void on_name(void *ctx, struct str name)
{
    if (!name.n)
        METRIC(autotls_missing_servername_total);
    else
        METRIC(autotls_unknown_servername_total);
    if (name.n && wanted)
        wanted(ctx, name);
}

// That of the listener's own name is the first.
static void load_given(struct role_start *s, const struct ipc_listener *port, const struct certificates_use *use,
                       struct tls_server **servers)
{
    for (int is_first = 1; is_first >= 0; is_first--)
        for (size_t i = 0; i < s->n_certs; i++)
            if (is_for(&s->certs[i], port) && str_eq(s->certs[i].host, port->hostname) == (bool)is_first)
                add(server_of(port, use, servers), s->certs[i].fd, s->certs[i].key);
    if (use->challenge)
        tls_server_set_challenge(server_of(port, use, servers), use->challenge, NULL);
    if (servers[port->index])
        tls_server_set_names(servers[port->index], names_for(port->protocol), on_name, NULL);
}

static void show_expiry(struct tls_server *const servers[ROLE_MAX_GIVEN])
{
    int64_t first = 0;

    for (size_t i = 0; i < ROLE_MAX_GIVEN; i++) {
        int64_t end = servers[i] ? tls_server_expiry(servers[i]) : 0;

        if (end && (!first || end < first))
            first = end;
    }
    if (first)
        METRIC_SET(tls_certificate_expiry_seconds, first > 0 ? (uint64_t)first : 0);
}

void certificates_load(struct role_start *s, const struct certificates_use *use,
                       struct tls_server *servers[ROLE_MAX_GIVEN])
{
    wanted = use->wanted;
    for (size_t i = 0; i < s->n_tls_files; i++) {
        const struct ipc_listener *port = role_port(s, s->tls_files[i].listener);

        if (port && port->index < ROLE_MAX_GIVEN)
            add(server_of(port, use, servers), s->tls_files[i].fd, s->tls_files[i].key);
        fd_close(&s->tls_files[i].fd);
    }
    for (size_t i = 0; i < s->n_ports; i++)
        if ((use->protocols & (1u << s->ports[i].protocol)) && s->ports[i].index < ROLE_MAX_GIVEN &&
            s->ports[i].acme.n && s->ports[i].tls != LISTENER_TLS_NONE)
            load_given(s, &s->ports[i], use, servers);
    for (size_t i = 0; i < s->n_certs; i++) {
        fd_close(&s->certs[i].fd);
        heap_free(&s->certs[i].provider);
        heap_free(&s->certs[i].host);
    }
    s->n_tls_files = s->n_certs = 0;
    show_expiry(servers);
}
