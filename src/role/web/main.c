/*
 * The web template, and what a forked child does first.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/crypto.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/process.h"
#include "role/certificates.h"
#include "role/granted.h"
#include "role/template.h"
#include "role/web/web.h"

static struct tls_server *servers[ROLE_MAX_GIVEN]; // by listener index
static struct web_conn *current;                   // the one connection of a forked child

static struct granted granted(struct web_conn *c)
{
    return (struct granted){ROLE_WEB, &c->monitor, c->packet, WEB_IPC_TIMEOUT_MS};
}

bool web_grant(struct web_conn *c, enum ipc_service service, struct channel *out, enum role peer, struct err *e)
{
    struct granted g = granted(c);

    return granted_service(&g, service, peer, out, e);
}

static bool sign(void *ctx, uint32_t key, int type, unsigned parameter, struct str digest, struct buf *out,
                 struct err *e)
{
    const struct granted_operation op = {key, type, parameter, digest};
    struct granted g = granted(current);

    (void)ctx;
    return granted_sign(&g, &current->keys, &op, out, e);
}

static const struct key_signer signer = {NULL, sign};

static bool answer_challenge(void *ctx, struct arena *a, struct str name, struct str *cert_pem, struct str *key_pem)
{
    (void)ctx;
    return challenge_certificate(current, a, name, cert_pem, key_pem);
}

// It comes too late for this client; the next one may find it.
static void want_certificate(void *ctx, struct str name)
{
    (void)ctx;
    challenge_want(current, name);
}

int web_timeout(const struct web_conn *c, int ms)
{
    return c->cap_ms && c->cap_ms < ms ? c->cap_ms : ms;
}

static bool start_tls(struct web_conn *c)
{
    struct tls_server *server = c->info.listener < ROLE_MAX_GIVEN ? servers[c->info.listener] : NULL;
    struct err e = {0};

    if (c->port->tls != LISTENER_TLS_IMMEDIATE)
        return true;
    c->is_tls = server && stream_start_tls(&c->stream, server, web_timeout(c, WEB_TLS_MS), &e);
    if (!server)
        LOG(LOG_ERROR, "http", "no certificate for this port", LOG_N("port", c->port->port));
    else if (!c->is_tls)
        LOG(LOG_DEBUG, "http", "TLS handshake failed", LOG_E(&e), LOG_S("remote", c->remote));
    return c->is_tls && !tls_is_challenge(c->stream.tls); // RFC 8737 3: nothing is said after it
}

static void prepare_child(struct role_start *start)
{
    AUTO_BUF input = BUF_LIMIT(WEB_BUFFER);
    const int *roots;
    size_t n;

    roots = sites_roots(&n);
    child_enter_sandbox(start, roots, n);
    memset(buf_room(&input, WEB_BUFFER), 0, WEB_BUFFER); // pages that every child touches
}

static void run_child(struct role_start *start, struct packet *p)
{
    const char *cap = getenv("MOX_HTTP_TIMEOUT_MS");
    struct web_conn c = {.start = start, .monitor = {-1}, .keys = {-1}, .front = {-1}, .acme = {-1}, .dial = {-1}, .packet = p,
                         .arena = ARENA_LIMIT(1 << 20),
                         .request_arena = ARENA_LIMIT(WEB_REQUEST_MEMORY), .in = BUF_LIMIT(HTTP_MAX_HEAD + 2 * WEB_BUFFER),
                         .out = BUF_LIMIT(256 * 1024)};
    AUTO_BUF received_id = BUF_LIMIT(64);
    struct err e = {0};
    uint64_t ms;
    int on = 1;

    if (!ipc_session_start_get(p->body, &c.info, &e) || p->n_fds < 2 ||
        !stream_open(&c.stream, packet_take_fd(p, 0), &e))
        _exit(1);
    c.monitor = (struct channel){packet_take_fd(p, 1), ROLE_WEB, ROLE_MONITOR};
    if (p->n_fds == 3)
        c.front = (struct channel){packet_take_fd(p, 2), ROLE_WEB, ROLE_FRONT};
    c.port = role_port(start, c.info.listener);
    if (!c.port)
        _exit(1);
    c.remote = arena_dup(&c.arena, c.info.remote);
    // The key does not stay where strangers' bytes are read.
    received_id_put(&received_id, start->received_key, c.info.conn);
    explicit_bzero(start->received_key, sizeof start->received_key);
    c.received_id = buf_str(&received_id);
    if (cap && str_u64(str_of(cap), WEB_IDLE_MS, &ms))
        c.cap_ms = (int)ms;
    current = &c;
    os_title_set("mox: web %.*s", STR_FMT(c.remote));
    log_set_cid(c.info.conn);
    setsockopt(c.stream.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!client_of_proxy(&c, &e)) {
        LOG(LOG_INFO, "http", "no header of the PROXY protocol", LOG_E(&e), LOG_S("remote", c.remote));
    } else if (start_tls(&c)) {
        if (c.is_tls && str_eq(tls_protocol(c.stream.tls), STR("h2")))
            http2_serve(&c);
        else
            http1_serve(&c);
    }
    client_done(&c);
    stream_close(&c.stream);
    _exit(0);
}

_Noreturn void web_template_main(void)
{
    static const struct child_kind kind = {IPC_session_start, prepare_child, run_child};
    static const struct certificates_use use = {.protocols = 1u << IPC_PROTOCOL_HTTP, .signer = &signer,
                                                .alpn = STR_("h2 http/1.1"),
                                                .wanted = want_certificate, .challenge = answer_challenge};
    static struct role_start s;
    struct err e = {0};

    role_start(&s, ROLE_WEB_TEMPLATE);
    crypto_warm_tls();
    // Without tickets: their keys would be in every process that strangers' bytes are read in.
    certificates_load(&s, &use, servers);
    if (!dispatch_load(&s, &e) || !qr_open(&e) || !http2_open(&e) || !sites_load(&s, &e)) {
        LOG(LOG_ERROR, "http", "cannot start", LOG_E(&e));
        exit(1);
    }
    template_loop(&s, &kind);
}
