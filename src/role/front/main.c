#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ip.h"
#include "base/log.h"
#include "crypto/crypto.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/net.h"
#include "role/certificates.h"
#include "role/front/front.h"
#include "role/ratelimit.h"

enum { KEYS_TIMEOUT_MS = 5000, AUTH_TIMEOUT_MS = 5000, PAUSE_MS = 30 * 1000 };

/* Connections per address and network. Browsers make many, and mail waits for none of theirs. */
struct limits {
    struct ratelimit per_minute, at_once;
};

static struct role_start self;
static struct tls_server *servers[ROLE_MAX_GIVEN];
static struct packet *packet;
static struct map paused;  // address -> heap int64_t: until when
static uint64_t next_conn;
static bool is_stopping;
static struct limits of_mail = {RATELIMIT(60 * 1000, 300, 900, 2700), RATELIMIT(0, 30, 90, 270)};
static struct limits of_web = {RATELIMIT(60 * 1000, 1000, 3000, 9000), RATELIMIT(0, 100, 300, 900)};

struct tls_server *front_tls(uint32_t listener)
{
    return listener < ROLE_MAX_GIVEN ? servers[listener] : NULL;
}

struct channel *front_monitor(void)
{
    return &self.monitor;
}

// Tests and programs on the own machine are not the attack that the limits are against.
bool front_is_exempt(const char *remote)
{
    return self.settings.is_localserve && (str_starts(str_of(remote), STR("127.")) ||
                                           str_eq(str_of(remote), STR("::1")));
}

void front_conn_closed(const char *remote)
{
    if (!front_is_exempt(remote))
        ratelimit_subtract(&of_mail.at_once, str_of(remote), 1);
}

void front_web_closed(const char *remote)
{
    if (!front_is_exempt(remote))
        ratelimit_subtract(&of_web.at_once, str_of(remote), 1);
}

// Waits for the answer to the last request. Those that came too late for the ones before are passed
// over: a peer that was slow once is still good for the next.
static bool await(struct service_peer *p, enum ipc_type type, uint64_t request, int timeout_ms,
                  struct err *e)
{
    int64_t deadline = os_monotonic_ms() + timeout_ms;
    uint64_t got = 0;

    do {
        int64_t left = deadline - os_monotonic_ms();
        struct cur c;

        if (!channel_expect(&p->ch, type, packet, left > 0 ? (int)left : 0, e))
            return false;
        c = cur_of(packet->body);
        if (!ipc_get_u64(&c, 0, &got)) // the first field of all answers
            return fail(e, ERR_SYNTAX, "an answer without a number");
    } while (got != request);
    return true;
}

static bool sign(void *ctx, uint32_t key, int type, unsigned parameter, struct str digest,
                 struct buf *out, struct err *e)
{
    static uint64_t request;
    struct service_peer *keys = service_peer_of(ROLE_KEYS);
    struct ipc_signed m;

    (void)ctx;
    if (!keys)
        return fail(e, ERR_TEMPORARY, "the key process is starting again");
    if (!IPC_SEND(&keys->ch, sign, NULL, 0, e, .request = ++request, .key = key,
                  .type = (uint8_t)type, .parameter = parameter, .digest = digest) ||
        !await(keys, IPC_signed, request, KEYS_TIMEOUT_MS, e) ||
        !ipc_signed_get(packet->body, &m, e))
        return false;
    if (!m.is_ok)
        return fail(e, ERR_DENIED, "the key process refused");
    buf_put(out, m.signature);
    return true;
}

static const struct key_signer signer = {NULL, sign};

bool front_is_key_known(const struct relay *r, struct str fingerprint)
{
    static uint64_t request;
    struct service_peer *auth = service_peer_of(ROLE_AUTH);
    struct ipc_key_checked m = {0};
    struct err e = {0};
    bool is_ok = auth && IPC_SEND(&auth->ch, key_check, NULL, 0, &e, .request = ++request,
                                  .client_key = fingerprint, .protocol = r->port->protocol,
                                  .remote = str_of(r->remote), .local = str_of(r->local)) &&
                 await(auth, IPC_key_checked, request, AUTH_TIMEOUT_MS, &e) &&
                 ipc_key_checked_get(packet->body, &m, &e);

    if (!is_ok)
        LOG(LOG_ERROR, "front", "asking for a client's key", LOG_E(&e), LOG_X("cid", r->conn));
    return is_ok && m.is_known;
}

// A client that comes back later may find one: acme knows which names are ours.
static void want_certificate(void *ctx, struct str name)
{
    struct service_peer *acme = service_peer_of(ROLE_ACME);
    struct err e = {0};

    (void)ctx;
    if (acme && channel_has_room(&acme->ch) && !IPC_SEND(&acme->ch, cert_wanted, NULL, 0, &e, .host = name))
        LOG(LOG_DEBUG, "front", "asking for a certificate", LOG_E(&e));
}

static void load_certificates(void)
{
    static const struct certificates_use use = {
        .protocols = 1u << IPC_PROTOCOL_SUBMISSION | 1u << IPC_PROTOCOL_IMAP, .signer = &signer, .has_tickets = true,
        .wanted = want_certificate};

    certificates_load(&self, &use, servers);
}

// Connections that are open keep what they have.
static void use_certificates(void)
{
    for (size_t i = 0; i < ROLE_MAX_GIVEN; i++) {
        tls_server_free(servers[i]);
        servers[i] = NULL;
    }
    load_certificates();
}

static void refuse(int fd, const struct ipc_listener *port, const char *remote, const char *why)
{
    struct str text = port->protocol == IPC_PROTOCOL_IMAP ? STR("* BYE ")
                      : port->protocol == IPC_PROTOCOL_HTTP
                          ? STR("HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
                                "Retry-After: 30\r\nConnection: close\r\n\r\n503 - ")
                      : is_stopping ? STR("421 4.3.2 ")
                                    : STR("421 4.7.0 ");
    AUTO_BUF out = BUF_LIMIT(512);

    LOG(LOG_INFO, "front", "connection refused", LOG_S("why", str_of(why)),
        LOG_S("remote", str_of(remote)));
    buf_put(&out, text);
    buf_put(&out, str_of(why));
    BUF_PUT(&out, "\r\n");
    if (port->tls != LISTENER_TLS_IMMEDIATE)
        (void)!send(fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    fd_close(&fd);
}

static bool is_paused(const char *remote)
{
    int64_t *until = map_get(&paused, str_of(remote));

    if (until && *until < os_monotonic_ms()) {
        free(map_remove(&paused, str_of(remote)));
        return false;
    }
    return until != NULL;
}

// mox-smtp-delivery.md 1.2, "Order at connect".
static const char *reason_to_refuse(const struct ipc_listener *port, const char *remote)
{
    struct limits *l = port->protocol == IPC_PROTOCOL_HTTP ? &of_web : &of_mail;

    if (is_stopping)
        return "shutting down";
    if (relay_count() + hello_count() >= MAX_RELAYS)
        return "too many connections";
    if (front_is_exempt(remote) || ip_in_networks(str_of(remote), port->proxies))
        return NULL;
    if (is_paused(remote))
        return "a connection from you ended badly, try again later";
    if (!ratelimit_add(&l->per_minute, str_of(remote), 1))
        return "connection rate from your ip or network too high, slow down please";
    if (!ratelimit_add(&l->at_once, str_of(remote), 1))
        return "too many open connections from your ip or network";
    return NULL;
}

static void on_accept(void *ctx, int events)
{
    const struct given_file *listener = ctx;
    const struct ipc_listener *port = role_port(&self, listener->listener);
    int fd = net_accept(listener->fd);
    char remote[NET_ADDRESS_TEXT] = {0};
    const char *why;
    uint64_t conn;

    (void)events;
    if (fd < 0)
        return;
    net_remote_text(fd, remote);
    why = reason_to_refuse(port, remote);
    if (why) {
        refuse(fd, port, remote, why);
        return;
    }
    conn = next_conn++;
    LOG(LOG_DEBUG, "front", "new connection", LOG_S("remote", str_of(remote)),
        LOG_N("port", port->port), LOG_X("cid", conn));
    if ((port->alpn_smtp || port->alpn_imap) && !ip_in_networks(str_of(remote), port->proxies))
        hello_new(conn, port, fd, remote);
    else if (port->protocol == IPC_PROTOCOL_SMTP || port->protocol == IPC_PROTOCOL_HTTP)
        handed_new(conn, port, fd, remote);
    else
        relay_new(conn, port, fd, STR(""));
}

// From here on it is as if it had come on the port of that protocol, whose limits it was not counted by yet.
void front_has_chosen(uint64_t conn, const struct ipc_listener *port, int fd, const char *remote, struct str alpn)
{
    uint32_t index = str_eq(alpn, STR("imap")) ? port->alpn_imap : port->alpn_smtp;
    const struct ipc_listener *mail = alpn.n && index ? role_port(&self, index - 1) : NULL;
    const char *why;

    if (!mail) {
        handed_new(conn, port, fd, remote);
        return;
    }
    front_web_closed(remote);
    why = reason_to_refuse(mail, remote);
    if (why)
        refuse(fd, mail, remote, why);
    else
        relay_new(conn, mail, fd, alpn);
}

static void tick(void)
{
    relays_tick();
    hellos_tick();
}

static void pause_address(const char *remote)
{
    int64_t *until = heap_alloc(sizeof *until);

    if (paused.count > 100000)
        map_fini(&paused);
    *until = os_monotonic_ms() + PAUSE_MS;
    free(map_put(&paused, str_of(remote), until));
    LOG(LOG_INFO, "front", "address paused after a crash", LOG_S("remote", str_of(remote)));
}

static bool on_conn_end(struct packet *m, struct err *e)
{
    struct ipc_conn_end end;
    const char *remote;
    struct relay *r;

    if (!ipc_conn_end_get(m->body, &end, e))
        return false;
    r = relay_find(end.conn);
    remote = r ? r->remote : handed_remote(end.conn);
    if (end.crashed && remote)
        pause_address(remote);
    handed_closed(end.conn);
    // Its server end closes by itself when nobody has the other end any more; a session that never
    // began leaves nobody.
    if (r && r->state == RELAY_OPEN)
        relay_move(r);
    return true;
}

static bool begin_accepting(struct err *e)
{
    for (size_t i = 0; i < self.n_listeners; i++)
        if (!event_add(service_loop(), self.listeners[i].fd, EVENT_READ, on_accept, &self.listeners[i], e))
            return false;
    return true;
}

static bool on_monitor(struct packet *m, struct err *e)
{
    switch ((int)m->type) {
    case IPC_conn_end:
        return on_conn_end(m, e);
    case IPC_accept:
        return begin_accepting(e);
    case IPC_tls_file:
    case IPC_tls_cert:
        return role_keep_certificate(&self, m, e);
    case IPC_tls_use:
        use_certificates();
        return true;
    default:
        return fail(e, ERR_BUG, "unexpected message");
    }
}

static bool on_message(struct service_peer *p, struct packet *m, struct err *e)
{
    if (m->type == IPC_key_checked || m->type == IPC_signed)
        return true; // nobody waits for it any more
    return p->role == ROLE_ACCOUNT ? park_message(p, m, e)
                                   : fail(e, ERR_DENIED, "unexpected message");
}

// The first time: no new connections, those that are open go on. The second time all is over.
static void on_stop(void)
{
    if (is_stopping)
        exit(0);
    is_stopping = true;
    hellos_end();
    park_end_all();
}

_Noreturn void front_main(void)
{
    static const struct service_handlers handlers = {.message = on_message, .opened = park_opened,
                                                     .writable = park_writable,
                                                     .monitor = on_monitor, .tick = tick,
                                                     .stop = on_stop};

    role_start(&self, ROLE_FRONT);
    packet = packet_new();
    crypto_warm_tls();
    load_certificates();
    next_conn = (uint64_t)os_now_unix_ms();
    service_run(&self, &handlers);
}
