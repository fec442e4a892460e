/*
 * Moving bytes between a client and whoever serves it, and TLS on the client's side.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/net.h"
#include "role/front/front.h"

static struct map relays; // conn as 8 bytes -> struct relay
static struct relay *handshaking; // those with a deadline

static void on_client(void *ctx, int events);
static void on_server(void *ctx, int events);
static void on_control(void *ctx, int events);

static struct str key_of(const uint64_t *conn)
{
    return str_at(conn, sizeof *conn);
}

struct relay *relay_find(uint64_t conn)
{
    return map_get(&relays, key_of(&conn));
}

size_t relay_count(void)
{
    return relays.count;
}

static void set_deadline(struct relay *r)
{
    r->deadline_ms = os_monotonic_ms() + HANDSHAKE_MS;
    r->next = handshaking;
    r->link = &handshaking;
    if (r->next)
        r->next->link = &r->next;
    handshaking = r;
}

static void clear_deadline(struct relay *r)
{
    if (!r->deadline_ms)
        return;
    r->deadline_ms = 0;
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
}

void relays_tick(void)
{
    int64_t now = os_monotonic_ms();

    for (struct relay *r = handshaking, *next; r; r = next) {
        next = r->next;
        if (r->deadline_ms < now)
            relay_close(r);
    }
}

static void pending_free(struct pending *b)
{
    free(b->p);
    *b = (struct pending){0};
}

void relay_drop_server(struct relay *r)
{
    event_remove(service_loop(), r->server_source);
    r->server_source = NULL;
    fd_close(&r->server);
    event_remove(service_loop(), r->control_source);
    r->control_source = NULL;
    if (r->control.fd >= 0)
        channel_close(&r->control);
    pending_free(&r->to_server);
    r->server_ended = false;
}

void relay_close(struct relay *r)
{
    clear_deadline(r);
    map_remove(&relays, key_of(&r->conn));
    relay_drop_server(r);
    event_remove(service_loop(), r->client_source);
    if (r->tls) {
        tls_bye(r->tls);
        tls_free(r->tls);
    }
    fd_close(&r->client);
    pending_free(&r->to_client);
    heap_free(&r->account);
    heap_free(&r->parked);
    front_conn_closed(r->remote);
    free(r);
}

bool relay_make_stream(struct relay *r, int *out, struct err *e)
{
    int pair[2];

    if (!fd_pair_stream(pair, e))
        return false;
    if (!fd_set_nonblocking(pair[0], e)) {
        fd_close(&pair[0]);
        fd_close(&pair[1]);
        return false;
    }
    r->server = pair[0];
    r->server_inode = os_inode(pair[1]);
    r->server_events = EVENT_READ;
    r->server_source = event_add(service_loop(), r->server, EVENT_READ, on_server, r, e);
    *out = pair[1];
    return r->server_source != NULL;
}

/* What is known of a connection's TLS, for auth (IPC_TLS_FACTS). */
struct facts {
    char text[IPC_MAX_TLS];
    unsigned char binding[TLS_MAX_BINDING], key[SHA256_BYTES];
    struct str tls, binding_type, binding_data, client_key; // into the above
};

static void take_facts(const struct relay *r, struct facts *f)
{
    size_t n = 0;

    *f = (struct facts){0};
    if (!r->tls)
        return;
    snprintf(f->text, sizeof f->text, "version=%.*s ciphersuite=%.*s resumed=%s%s%.*s",
             STR_FMT(tls_version(r->tls)), STR_FMT(tls_cipher(r->tls)),
             tls_is_resumed(r->tls) ? "yes" : "no", r->alpn.n ? " alpn=" : "", STR_FMT(r->alpn));
    f->tls = str_of(f->text);
    if (tls_binding(r->tls, &f->binding_type, f->binding, &n))
        f->binding_data = str_at(f->binding, n);
    if (tls_client_key(r->tls, f->key))
        f->client_key = str_at(f->key, sizeof f->key);
}

// Announces the connection: from here on a session serves it.
static void announce(struct relay *r)
{
    int fds[2] = {-1, -1}, control[2];
    size_t n = 1;
    struct err e = {0};
    bool is_ok = relay_make_stream(r, &fds[0], &e);
    struct facts f;

    take_facts(r, &f);
    clear_deadline(r);
    r->state = RELAY_OPEN;
    if (is_ok && r->port->tls == LISTENER_TLS_STARTTLS) {
        is_ok = fd_pair_packets(control, &e);
        if (is_ok) {
            r->control = (struct channel){control[0], ROLE_FRONT, ROLE_SESSION};
            r->control_source =
                event_add(service_loop(), control[0], EVENT_READ, on_control, r, &e);
            fds[n++] = control[1];
        }
    }
    is_ok = is_ok && IPC_SEND(front_monitor(), conn_new, fds, n, &e, .conn = r->conn,
                              .listener = r->port->index, .is_tls = r->tls != NULL,
                              .remote = str_of(r->remote), .local = str_of(r->local),
                              .version = r->tls ? tls_version(r->tls) : STR(""),
                              .cipher = r->tls ? tls_cipher(r->tls) : STR(""), .tls = f.tls,
                              .binding_type = f.binding_type, .binding = f.binding_data,
                              .client_key = f.client_key);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
    if (!is_ok) {
        LOG(LOG_ERROR, "front", "cannot announce a connection", LOG_E(&e));
        relay_close(r);
    }
}

// Called by TLS when the client shows a certificate.
static bool may_use_key(void *ctx, const unsigned char fingerprint[SHA256_BYTES])
{
    struct relay *r = ctx;

    r->is_key_known = front_is_key_known(r, str_at(fingerprint, SHA256_BYTES));
    return r->is_key_known;
}

// A resumed session brings the key of the one before, which may have been removed since.
static bool is_key_welcome(struct relay *r)
{
    unsigned char key[SHA256_BYTES];

    return !tls_client_key(r->tls, key) || r->is_key_known || may_use_key(r, key);
}

// True when the handshake is done; false when it waits or the relay is closed.
static bool shake_hands(struct relay *r)
{
    struct err e = {0};
    int events = EVENT_READ;

    switch (tls_handshake(r->tls, &e)) {
    case TLS_DONE:
        // The hello that was looked at is not one that was agreed on: a second one may have asked for nothing.
        if (r->alpn.n && !str_eq(tls_protocol(r->tls), r->alpn)) {
            LOG(LOG_INFO, "front", "the protocol was not agreed on", LOG_X("cid", r->conn), LOG_S("remote", str_of(r->remote)));
            relay_close(r);
            return false;
        }
        if (!is_key_welcome(r)) {
            LOG(LOG_INFO, "front", "client's key is not known any more", LOG_X("cid", r->conn),
                LOG_S("remote", str_of(r->remote)));
            relay_close(r);
            return false;
        }
        r->client_events = EVENT_READ;
        event_change(service_loop(), r->client_source, EVENT_READ);
        return true;
    case TLS_WANT_WRITE:
        events = EVENT_WRITE;
        break;
    case TLS_WANT_READ:
        break;
    case TLS_CLOSED:
    case TLS_FAILED:
        LOG(LOG_INFO, "front", "TLS handshake failed", LOG_E(&e), LOG_X("cid", r->conn),
            LOG_S("remote", str_of(r->remote)));
        relay_close(r);
        return false;
    }
    if (events != r->client_events)
        event_change(service_loop(), r->client_source, events);
    r->client_events = events;
    return false;
}

static bool begin_tls(struct relay *r)
{
    struct tls_server *server = front_tls(r->port->index);
    struct err e = {0};

    if (!server) { // whose fault that is, autotls has said; anybody can connect as often as he likes
        LOG(LOG_INFO, "front", "no TLS, there is no certificate yet", LOG_X("cid", r->conn), LOG_S("remote", str_of(r->remote)));
        relay_close(r);
        return false;
    }
    r->tls = tls_new(server, r->client, &e);
    if (!r->tls) {
        LOG(LOG_ERROR, "front", "cannot start TLS", LOG_E(&e), LOG_X("cid", r->conn));
        relay_close(r);
        return false;
    }
    if (r->alpn.n)
        tls_set_protocols(r->tls, r->alpn);
    if (!r->port->no_client_auth)
        tls_ask_client_key(r->tls, may_use_key, r);
    return true;
}

void relay_new(uint64_t conn, const struct ipc_listener *port, int client, struct str alpn)
{
    struct relay *r = heap_alloc(sizeof *r);
    struct err e = {0};

    *r = (struct relay){.conn = conn, .port = port, .client = client, .alpn = alpn, .server = -1,
                        .control = {-1}, .client_events = EVENT_READ};
    net_remote_text(client, r->remote);
    net_local_text(client, r->local);
    map_put(&relays, key_of(&r->conn), r);
    r->client_source = event_add(service_loop(), client, EVENT_READ, on_client, r, &e);
    if (!r->client_source || !fd_set_nonblocking(client, &e)) {
        LOG(LOG_ERROR, "front", "cannot watch a connection", LOG_E(&e));
        relay_close(r);
        return;
    }
    if (port->tls != LISTENER_TLS_IMMEDIATE) {
        announce(r);
        return;
    }
    r->state = RELAY_HANDSHAKE;
    set_deadline(r);
    if (begin_tls(r) && shake_hands(r))
        announce(r);
}

/* --- moving ------------------------------------------------------------------------------------- */

enum moved { MOVED, MOVE_WAIT_READ, MOVE_WAIT_WRITE, MOVE_END, MOVE_FAILED };

static enum moved of_tls(enum tls_result t)
{
    static const enum moved map[] = {[TLS_DONE] = MOVED, [TLS_WANT_READ] = MOVE_WAIT_READ,
                                     [TLS_WANT_WRITE] = MOVE_WAIT_WRITE, [TLS_CLOSED] = MOVE_END,
                                     [TLS_FAILED] = MOVE_FAILED};

    return map[t];
}

static enum moved read_client(struct relay *r, char *p, size_t n, size_t *got)
{
    struct err e = {0};
    ssize_t k;

    if (r->tls)
        return of_tls(tls_read(r->tls, p, n, got, &e));
    k = read(r->client, p, n);
    *got = k > 0 ? (size_t)k : 0;
    return k > 0 ? MOVED : k == 0 ? MOVE_END : errno == EAGAIN ? MOVE_WAIT_READ : MOVE_FAILED;
}

static enum moved write_client(struct relay *r, struct str bytes, size_t *done)
{
    struct err e = {0};
    ssize_t k;

    if (r->tls)
        return of_tls(tls_write(r->tls, bytes, done, &e));
    k = send(r->client, bytes.p, bytes.n, MSG_NOSIGNAL);
    *done = k > 0 ? (size_t)k : 0;
    return k >= 0 ? MOVED : errno == EAGAIN ? MOVE_WAIT_WRITE : MOVE_FAILED;
}

static enum moved read_server(struct relay *r, char *p, size_t n, size_t *got)
{
    ssize_t k = read(r->server, p, n);

    *got = k > 0 ? (size_t)k : 0;
    return k > 0 ? MOVED : k == 0 ? MOVE_END : errno == EAGAIN ? MOVE_WAIT_READ : MOVE_FAILED;
}

static enum moved write_server(struct relay *r, struct str bytes, size_t *done)
{
    ssize_t k = send(r->server, bytes.p, bytes.n, MSG_NOSIGNAL);

    *done = k > 0 ? (size_t)k : 0;
    return k >= 0 ? MOVED : errno == EAGAIN ? MOVE_WAIT_WRITE : MOVE_FAILED;
}

struct direction {
    enum moved (*take)(struct relay *r, char *p, size_t n, size_t *got);
    enum moved (*give)(struct relay *r, struct str bytes, size_t *done);
};

// Writes what is pending; MOVED when nothing is left.
static enum moved flush(struct relay *r, struct pending *b, const struct direction *d)
{
    while (b->at < b->n) {
        size_t done;
        enum moved m = d->give(r, str_at(b->p + b->at, b->n - b->at), &done);

        if (m != MOVED)
            return m;
        b->at += done;
    }
    pending_free(b);
    return MOVED;
}

// One direction, until one of the two ends has to be waited for. The buffer is one for all.
static enum moved move(struct relay *r, struct pending *b, const struct direction *d)
{
    static char shared[RELAY_BUFFER];

    // Bounded rounds, so that one busy connection does not keep the others waiting.
    for (int round = 0; round < 16; round++) {
        enum moved m = flush(r, b, d);
        size_t got, at = 0;

        if (m != MOVED)
            return m == MOVE_WAIT_READ || m == MOVE_WAIT_WRITE ? MOVE_WAIT_WRITE : MOVE_FAILED;
        m = d->take(r, shared, sizeof shared, &got);
        if (m != MOVED)
            return m;
        while (at < got) {
            size_t done = 0;

            m = d->give(r, str_at(shared + at, got - at), &done);
            at += done;
            if (m == MOVED)
                continue;
            if (m != MOVE_WAIT_READ && m != MOVE_WAIT_WRITE)
                return MOVE_FAILED;
            b->p = heap_alloc(got - at);
            memcpy(b->p, shared + at, got - at);
            b->n = got - at;
            b->at = 0;
            return MOVE_WAIT_WRITE;
        }
    }
    return MOVED; // there may be more
}

static const struct direction inwards = {read_client, write_server};
static const struct direction outwards = {read_server, write_client};

void relay_say(struct relay *r, struct str line)
{
    size_t done;

    // What waits is part of other lines: nothing may come between.
    if (flush(r, &r->to_client, &outwards) == MOVED)
        (void)write_client(r, line, &done);
}

static void watch(struct relay *r, int client_events, int server_events)
{
    if (client_events != r->client_events)
        event_change(service_loop(), r->client_source, client_events);
    if (r->server_source && server_events != r->server_events)
        event_change(service_loop(), r->server_source, server_events);
    r->client_events = client_events;
    r->server_events = server_events;
}

void relay_move(struct relay *r)
{
    enum moved in = r->client_ended ? MOVE_END : move(r, &r->to_server, &inwards);
    enum moved out;
    int client = 0, server = 0;

    // Output last: a session that has ended may have left its last words.
    out = r->server_ended ? flush(r, &r->to_client, &outwards) : move(r, &r->to_client, &outwards);
    if (in == MOVE_FAILED || out == MOVE_FAILED) {
        relay_close(r);
        return;
    }
    if (in == MOVE_END && !r->client_ended) {
        r->client_ended = true;
        shutdown(r->server, SHUT_WR);
    }
    if (out == MOVE_END && !r->server_ended) {
        r->server_ended = true;
        out = flush(r, &r->to_client, &outwards);
    }
    if (r->server_ended && !r->to_client.n) {
        relay_close(r);
        return;
    }
    if (!r->client_ended)
        client |= in == MOVE_WAIT_WRITE ? 0 : EVENT_READ;
    if (in == MOVE_WAIT_WRITE)
        server |= EVENT_WRITE;
    if (!r->server_ended && out != MOVE_WAIT_WRITE)
        server |= EVENT_READ;
    if (out == MOVE_WAIT_WRITE)
        client |= EVENT_WRITE;
    watch(r, client, server);
    // OpenSSL may hold decrypted bytes that epoll does not know of; `in` was MOVED then, and the
    // level-triggered loop would not come back for them.
    if (in == MOVED && r->tls && tls_has_pending(r->tls))
        watch(r, client | EVENT_WRITE, server);
}

/* --- STARTTLS ------------------------------------------------------------------------------------ */

static void go_on_starttls(struct relay *r)
{
    enum moved m = r->tls ? MOVED : flush(r, &r->to_client, &outwards);
    struct err e = {0};
    AUTO_FD stream = -1;
    struct channel control;
    struct facts f;

    if (m == MOVE_WAIT_WRITE) {
        watch(r, EVENT_WRITE, 0);
        return;
    }
    if (m != MOVED) {
        relay_close(r);
        return;
    }
    if (!r->tls && !begin_tls(r))
        return;
    if (!shake_hands(r))
        return;
    clear_deadline(r);
    r->state = RELAY_OPEN;
    // The old stream ends here, with whatever plain bytes are in it.
    event_remove(service_loop(), r->server_source);
    r->server_source = NULL;
    fd_close(&r->server);
    control = r->control;
    take_facts(r, &f);
    // The monitor knows before the session does, and so does auth when it is asked.
    if (!relay_make_stream(r, &stream, &e) ||
        !IPC_SEND(front_monitor(), conn_tls, NULL, 0, &e, .conn = r->conn, .tls = f.tls,
                  .binding_type = f.binding_type, .binding = f.binding_data,
                  .client_key = f.client_key) ||
        !IPC_SEND(&control, starttls_done, &stream, 1, &e, .version = tls_version(r->tls),
                  .cipher = tls_cipher(r->tls), .has_client_key = f.client_key.n > 0)) {
        LOG(LOG_INFO, "front", "session gone during STARTTLS", LOG_E(&e), LOG_X("cid", r->conn));
        relay_close(r);
        return;
    }
    event_remove(service_loop(), r->control_source);
    r->control_source = NULL;
    channel_close(&r->control);
    relay_move(r);
}

static void start_tls(struct relay *r, const struct ipc_starttls *m)
{
    struct pending *b = &r->to_client;

    if (r->tls || r->state != RELAY_OPEN || r->to_server.n) {
        // RFC 3207 4.2, RFC 9051 6.2.1: nothing sent in plain may act after STARTTLS.
        LOG(LOG_INFO, "front", "plain bytes after STARTTLS, connection ended",
            LOG_X("cid", r->conn), LOG_S("remote", str_of(r->remote)));
        relay_close(r);
        return;
    }
    // What the session wrote before goes out first.
    if (move(r, b, &outwards) == MOVE_FAILED) {
        relay_close(r);
        return;
    }
    b->p = heap_resize(b->p, b->n + m->text.n + 1, 1);
    memcpy(b->p + b->n, m->text.p, m->text.n);
    b->n += m->text.n;
    r->state = RELAY_STARTTLS;
    set_deadline(r);
    watch(r, EVENT_READ, 0);
    go_on_starttls(r);
}

static void on_control(void *ctx, int events)
{
    struct packet *p = packet_new();
    struct relay *r = ctx;
    struct ipc_starttls m;
    struct err e = {0};
    enum channel_result got = channel_receive(&r->control, p, 0, &e);

    (void)events;
    if (got == CHANNEL_MESSAGE && p->type == IPC_starttls &&
        ipc_starttls_get(p->body, &m, &e)) {
        start_tls(r, &m);
    } else if (got == CHANNEL_CLOSED) { // the session is gone or has handed over
        event_remove(service_loop(), r->control_source);
        r->control_source = NULL;
        channel_close(&r->control);
    } else if (got != CHANNEL_TIMEOUT) {
        relay_close(r);
    }
    packet_free(p);
}

static void on_client(void *ctx, int events)
{
    struct relay *r = ctx;

    (void)events;
    switch (r->state) {
    case RELAY_HANDSHAKE:
        if (shake_hands(r))
            announce(r);
        break;
    case RELAY_OPEN:
        // Nothing is awaited of a client that has said its last: it is gone altogether. The kernel
        // says so again and again.
        if (r->client_ended && !r->client_events)
            relay_close(r);
        else
            relay_move(r);
        break;
    case RELAY_STARTTLS:
        go_on_starttls(r);
        break;
    case RELAY_PARKED:
        if (r->to_client.n && (events & EVENT_WRITE)) {
            enum moved m = flush(r, &r->to_client, &outwards);

            if (m == MOVE_FAILED || m == MOVE_END) {
                park_gone(r);
                return;
            }
            watch(r, m == MOVED ? EVENT_READ : EVENT_READ | EVENT_WRITE, 0);
        }
        if (events & EVENT_READ)
            park_resume(r);
        break;
    }
}

static void on_server(void *ctx, int events)
{
    struct relay *r = ctx;

    (void)events;
    if (r->state == RELAY_OPEN) {
        relay_move(r);
    } else {
        // Who served it is gone in the middle of STARTTLS; there will be another stream, or none.
        event_remove(service_loop(), r->server_source);
        r->server_source = NULL;
    }
}
