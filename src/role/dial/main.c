/*
 * dial: connects to addresses for `deliver` and `fetch`, from the addresses that the configuration names, to the
 * servers behind the reverse proxy for `web`, and to those that take updates of the DNS for `acme`.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/ip.h"
#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/net.h"
#include "role/dial/dial.h"

enum {
    MAX_OPEN = 2000,       // connections being made, of all askers
    MAX_TIMEOUT_MS = 60000,
    MAX_PORTS = 100,       // of transports, of ACME directories
    SMTP_PORT = 25,
    HTTPS_PORT = 443,
};

/* A connection that is being made. */
struct attempt {
    struct service_peer *peer;
    uint64_t request;
    struct site_dial *site; // has more addresses to try; or NULL
    int fd;
    int64_t deadline_ms;
    struct event_source *source;
    struct attempt *prev, *next;
};

/* Of an asker: how many connections are being made for it. In service_peer's data. */
struct asker {
    unsigned n_open;
};

static struct role_start self;
static struct attempt *attempts;
static uint32_t transport_ports[MAX_PORTS];
static size_t n_transport_ports;
static uint32_t web_ports[MAX_PORTS]; // of ACME directories
static size_t n_web_ports;
static struct {
    struct ip ip;
    unsigned port;
} update_servers[MAX_PORTS]; // that take updates of the DNS from acme
static size_t n_update_servers;
static unsigned n_open;
static bool is_private_allowed; // tests have their Internet on loopback

enum ipc_dial_outcome dial_outcome(int code)
{
    switch (code) {
    case ECONNREFUSED:
    case ECONNRESET:
        return IPC_DIAL_REFUSED;
    case ETIMEDOUT:
        return IPC_DIAL_TIMEOUT;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL: // no route of this family
    case EAFNOSUPPORT:
    case EACCES:        // a firewall here
    case EPERM:
        return IPC_DIAL_UNREACHABLE;
    default:
        return IPC_DIAL_FAILED;
    }
}

bool dial_answer(struct service_peer *p, uint64_t request, enum ipc_dial_outcome outcome, struct str why,
                 struct err *e)
{
    if (!channel_has_room(&p->ch))
        return fail(e, ERR_LIMIT, "it does not read");
    return IPC_SEND(&p->ch, dialed, NULL, 0, e, .request = request, .outcome = (uint8_t)outcome,
                    .why = why);
}

static void forget(struct attempt *a)
{
    if (a->peer)
        ((struct asker *)a->peer->data)->n_open--;
    event_remove(service_loop(), a->source);
    fd_close(&a->fd);
    *(a->prev ? &a->prev->next : &attempts) = a->next;
    if (a->next)
        a->next->prev = a->prev;
    n_open--;
    free(a);
}

// The asker hears what became of it.
static void finish(struct attempt *a, int code)
{
    struct service_peer *p = a->peer;
    struct site_dial *site = a->site;
    uint64_t request = a->request;
    char local[NET_ADDRESS_TEXT];
    struct err e = {0};
    bool is_ok = true;

    if (p && code && site) {
        forget(a);
        site_dial_next(site, code);
        return;
    }
    if (p && p->role == ROLE_DELIVER)
        METRIC(queue_connection_total, !code               ? METRIC_DIAL_OK
                                       : code == ETIMEDOUT ? METRIC_DIAL_TIMEOUT
                                                           : METRIC_DIAL_ERROR);
    if (p && !code && channel_has_room(&p->ch)) {
        net_local_text(a->fd, local);
        is_ok = IPC_SEND(&p->ch, dialed, &a->fd, 1, &e, .request = request,
                         .outcome = IPC_DIAL_OK, .local = str_of(local));
    } else if (p) {
        is_ok = dial_answer(p, request, dial_outcome(code), str_of(strerror(code)), &e);
    }
    forget(a);
    site_dial_free(site);
    if (!is_ok) {
        LOG(LOG_INFO, "dial", "an answer was not taken, channel closed", LOG_E(&e),
            LOG_X("conn", p->conn));
        service_peer_close(p);
    }
}

static void connected(void *ctx, int events)
{
    struct attempt *a = ctx;

    (void)events;
    finish(a, net_dial_result(a->fd));
}

bool dial_is_nobody(const struct ip *to)
{
    static const struct ip six_none = {.family = 6}, six_multicast = {6, {0xff}};
    struct ip four = ip_unmapped(to);

    if (four.family == 4)
        return four.bytes[0] == 0 || four.bytes[0] >= 224;
    return ip_eq(to, &six_none) || ip_in_network(to, &six_multicast, 8);
}

// mox-smtp-delivery.md 3.3: from the first address of the same family that SMTP listens on. One that
// only this machine can answer is good for this machine.
static bool source_for(const struct ip *to, struct ip *out)
{
    for (size_t i = 0; i < self.n_ports; i++) {
        static const struct ip none[] = {{.family = 4}, {.family = 6}};

        if (self.ports[i].protocol == IPC_PROTOCOL_SMTP && ip_parse(self.ports[i].ip, out) &&
            out->family == to->family && !ip_eq(out, &none[out->family == 6]) &&
            (!ip_is_loopback(out) || ip_is_loopback(to)))
            return true;
    }
    return false;
}

bool dial_has_room(const struct service_peer *p)
{
    return n_open < MAX_OPEN && ((struct asker *)p->data)->n_open < DIAL_MAX_OF_ONE;
}

bool dial_begin(struct service_peer *p, uint64_t request, const struct ip *to, unsigned port, const struct ip *from,
                int64_t deadline_ms, struct site_dial *site, int *code, struct err *e)
{
    struct asker *asker = p->data;
    struct attempt *a;
    int fd = net_dial(to, port, from, code, e);

    if (fd < 0)
        return false;
    a = heap_alloc(sizeof *a);
    *a = (struct attempt){.peer = p, .request = request, .site = site, .fd = fd, .next = attempts,
                          .deadline_ms = deadline_ms};
    a->source = event_add(service_loop(), fd, EVENT_WRITE, connected, a, e);
    if (!a->source) {
        fd_close(&a->fd);
        free(a);
        *code = ENOMEM;
        return false;
    }
    if (attempts)
        attempts->prev = a;
    attempts = a;
    n_open++;
    asker->n_open++;
    return true;
}

int64_t dial_deadline(uint32_t timeout_ms)
{
    return os_monotonic_ms() + (timeout_ms < MAX_TIMEOUT_MS ? timeout_ms : MAX_TIMEOUT_MS);
}

static bool begin(struct service_peer *p, const struct ipc_dial *m, const struct ip *to, struct err *e)
{
    struct err why = {0};
    struct ip from;
    int code = 0;

    if (!dial_has_room(p))
        return dial_answer(p, m->request, IPC_DIAL_FAILED, STR("too many connections at once"), e);
    return dial_begin(p, m->request, to, m->port, source_for(to, &from) ? &from : NULL,
                      dial_deadline(m->timeout_ms), NULL, &code, &why) ||
           dial_answer(p, m->request, dial_outcome(code), str_of(why.text), e);
}

static bool add_update_server(struct str body, struct err *e)
{
    struct ipc_acme_dns m;

    if (!ipc_acme_dns_get(body, &m, e))
        return false;
    if (n_update_servers == MAX_PORTS || !ip_parse(m.server, &update_servers[n_update_servers].ip))
        return fail(e, ERR_LIMIT, "a server for updates of the DNS that is no address, or more than %d", MAX_PORTS);
    update_servers[n_update_servers].ip = ip_unmapped(&update_servers[n_update_servers].ip);
    update_servers[n_update_servers++].port = m.port;
    return true;
}

static bool read_ports(struct err *e)
{
    struct cur c = cur_of(self.config);
    enum compiled_type type;
    struct ipc_dial_port port;
    struct ipc_web_port web;
    struct str body;

    while (compiled_next(&c, &type, &body, e))
        if (type == COMPILED_dial_port) {
            if (!ipc_dial_port_get(body, &port, e))
                return false;
            if (n_transport_ports == MAX_PORTS)
                return fail(e, ERR_LIMIT, "more than %d transports", MAX_PORTS);
            transport_ports[n_transport_ports++] = port.port;
        } else if (type == COMPILED_web_port) {
            if (!ipc_web_port_get(body, &web, e))
                return false;
            if (n_web_ports == MAX_PORTS)
                return fail(e, ERR_LIMIT, "more than %d ACME directories", MAX_PORTS);
            web_ports[n_web_ports++] = web.port;
        } else if (type == COMPILED_acme_dns && !add_update_server(body, e)) {
            return false;
        }
    return e->kind == ERR_NONE;
}

static bool is_mail_port(unsigned port)
{
    for (size_t i = 0; i < n_transport_ports; i++)
        if (transport_ports[i] == port)
            return true;
    return port == SMTP_PORT;
}

static bool is_web_port(unsigned port)
{
    for (size_t i = 0; i < n_web_ports; i++)
        if (web_ports[i] == port)
            return true;
    return port == HTTPS_PORT;
}

static bool is_update_server(const struct ip *to, unsigned port)
{
    for (size_t i = 0; i < n_update_servers; i++)
        if (update_servers[i].port == port && ip_eq(&update_servers[i].ip, to))
            return true;
    return false;
}

// What a captured asker could reach in the name of this machine.
static bool may_reach(const struct service_peer *p, const struct ip *to, unsigned port)
{
    if (p->role == ROLE_FETCH)
        return is_web_port(port) && (is_private_allowed || ip_is_public(to));
    if (p->role == ROLE_ACME)
        return is_update_server(to, port);
    return is_mail_port(port) && !dial_is_nobody(to);
}

static bool on_message(struct service_peer *p, struct packet *packet, struct err *e)
{
    struct ipc_dial m;
    struct ip to;

    if (packet->type == IPC_resolved)
        return site_resolved(packet, e);
    if (packet->type == IPC_dial_site)
        return site_dial(p, packet, e);
    if (!ipc_dial_get(packet->body, &m, e))
        return false;
    if (!ip_of_bytes(m.address, &to))
        return fail(e, ERR_SYNTAX, "what is to be dialed is no address");
    // localserve never sends mail to others (mox-smtp-delivery.md 1.12).
    if (self.settings.is_localserve)
        return dial_answer(p, m.request, IPC_DIAL_FORBIDDEN, STR("this server sends no mail to others"), e);
    to = ip_unmapped(&to);
    if (!may_reach(p, &to, m.port))
        return dial_answer(p, m.request, IPC_DIAL_FORBIDDEN, STR("not a destination for this purpose"), e);
    return begin(p, &m, &to, e);
}

static void on_opened(struct service_peer *p)
{
    p->data = heap_alloc(sizeof(struct asker));
}

static void on_closed(struct service_peer *p)
{
    for (struct attempt *a = attempts, *next; a; a = next) {
        next = a->next;
        if (a->peer == p) {
            a->peer = NULL;
            forget(a);
        }
    }
    site_peer_closed(p);
    free(p->data);
}

static void on_tick(void)
{
    int64_t now = os_monotonic_ms();

    for (struct attempt *a = attempts; a;)
        if (now >= a->deadline_ms) {
            finish(a, ETIMEDOUT);
            a = attempts; // with its asker, others may have gone
        } else {
            a = a->next;
        }
    site_tick(now);
}

// A new configuration: only the servers behind the proxy are of domains.conf.
static bool on_monitor(struct packet *m, struct err *e)
{
    return m->type == IPC_config && site_configure(m, e);
}

_Noreturn void dial_main(void)
{
    static const struct service_handlers handlers = {.message = on_message, .opened = on_opened,
                                                     .closed = on_closed, .tick = on_tick,
                                                     .monitor = on_monitor};
    const char *setting = getenv("MOX_DIAL_PRIVATE");
    struct err e = {0};

    is_private_allowed = setting && strcmp(setting, "1") == 0;
    role_start(&self, ROLE_DIAL);
    if (!read_ports(&e) || !site_load(self.config, &e)) {
        LOG(LOG_ERROR, "dial", "cannot start", LOG_E(&e));
        exit(1);
    }
    service_run(&self, &handlers);
}
