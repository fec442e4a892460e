/*
 * Servers behind the reverse proxy: whoever serves a client of the web asks for one by its name, and gets a
 * connection if the configuration has that name. Its addresses are not the asker's business.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "os/clock.h"
#include "policy/dns_wire.h"
#include "role/dial/dial.h"

enum { MAX_ADDRESSES = 8, MAX_DIALS = 2000, EACH_MS = 10000, TARGETS_MEMORY = 8 << 20 };

struct site_dial {
    struct service_peer *peer;
    uint64_t request;
    unsigned port;
    int64_t deadline_ms;
    uint64_t questions[2]; // that resolve has not answered; 0: none
    struct ip addresses[MAX_ADDRESSES];
    size_t n, next; // addresses, and that which is tried next
    struct site_dial *prev_dial, *next_dial;
};

static struct arena memory = ARENA_LIMIT(TARGETS_MEMORY);
static struct ipc_web_target *targets; // in memory
static size_t n_targets, cap_targets;
static struct site_dial *dials;
static unsigned n_dials;
static uint64_t last_question;

bool site_load(struct str config, struct err *e)
{
    struct cur c = cur_of(config);
    enum compiled_type type;
    struct str body;

    arena_reset(&memory);
    targets = NULL;
    n_targets = cap_targets = 0;
    while (compiled_next(&c, &type, &body, e)) {
        struct ipc_web_target m, *own;

        if (type != COMPILED_web_target)
            continue;
        if (!ipc_web_target_get(body, &m, e))
            return false;
        own = ARENA_PUSH(&memory, targets, &n_targets, &cap_targets);
        *own = (struct ipc_web_target){arena_dup(&memory, m.host), m.port};
    }
    return e->kind == ERR_NONE;
}

bool site_configure(struct packet *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(COMPILED_MAX_BYTES);
    struct str config;

    return role_read_config(m, &a, &config, e) && site_load(config, e);
}

static bool is_target(struct str host, unsigned port)
{
    for (size_t i = 0; i < n_targets; i++)
        if (targets[i].port == port && str_eq(targets[i].host, host))
            return true;
    return false;
}

void site_dial_free(struct site_dial *d)
{
    if (!d)
        return;
    *(d->prev_dial ? &d->prev_dial->next_dial : &dials) = d->next_dial;
    if (d->next_dial)
        d->next_dial->prev_dial = d->prev_dial;
    n_dials--;
    free(d);
}

static void give_up(struct site_dial *d, enum ipc_dial_outcome outcome, struct str why)
{
    struct service_peer *p = d->peer;
    struct err e = {0};
    bool is_ok = dial_answer(p, d->request, outcome, why, &e);

    site_dial_free(d);
    if (!is_ok) {
        LOG(LOG_INFO, "dial", "an answer was not taken, channel closed", LOG_E(&e), LOG_X("conn", p->conn));
        service_peer_close(p);
    }
}

// Of what is left, so that one address that is silent does not keep the next from being tried.
static int64_t deadline_of(const struct site_dial *d)
{
    int64_t soon = os_monotonic_ms() + EACH_MS;

    return d->next < d->n && soon < d->deadline_ms ? soon : d->deadline_ms;
}

void site_dial_next(struct site_dial *d, int code)
{
    while (d->next < d->n && os_monotonic_ms() < d->deadline_ms) {
        struct ip to = ip_unmapped(&d->addresses[d->next++]);
        struct err e = {0};

        if (dial_is_nobody(&to))
            code = EHOSTUNREACH;
        else if (dial_begin(d->peer, d->request, &to, d->port, NULL, deadline_of(d), d, &code, &e))
            return;
    }
    give_up(d, dial_outcome(code), code ? str_of(strerror(code)) : STR("it has no address"));
}

/* --- names ----------------------------------------------------------------------------------------- */

static void add_address(struct site_dial *d, struct str bytes)
{
    if (d->n < MAX_ADDRESSES && ip_of_bytes(bytes, &d->addresses[d->n]))
        d->n++;
}

static bool ask(struct site_dial *d, struct str host, struct err *e)
{
    static const enum dns_type types[] = {DNS_A, DNS_AAAA};
    struct service_peer *resolve = service_peer_of(ROLE_RESOLVE);

    if (!resolve || !dns_name_is_ok(host))
        return fail(e, ERR_TEMPORARY, resolve ? "the name of the server is none" : "resolve is starting");
    for (size_t i = 0; i < COUNT(types); i++) {
        d->questions[i] = ++last_question;
        if (!IPC_SEND(&resolve->ch, resolve, NULL, 0, e, .request = last_question, .type = types[i], .name = host))
            return false;
    }
    return true;
}

static struct site_dial *who_asked(uint64_t question, size_t *which)
{
    for (struct site_dial *d = question ? dials : NULL; d; d = d->next_dial)
        for (*which = 0; *which < COUNT(d->questions); ++*which)
            if (d->questions[*which] == question)
                return d;
    return NULL;
}

bool site_resolved(struct packet *packet, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct dns_answer answer = {0};
    struct ipc_resolved m;
    struct site_dial *d;
    size_t which;

    if (!ipc_resolved_get(packet->body, &m, e))
        return false;
    d = who_asked(m.request, &which);
    if (!d) // too late
        return true;
    d->questions[which] = 0;
    if (m.status == DNS_OK && dns_records_parse(&a, which ? DNS_AAAA : DNS_A, m.records, &answer, e))
        for (size_t i = 0; i < answer.n; i++)
            add_address(d, answer.records[i].data);
    if (e->kind) // a bad answer is no reason to hear resolve no more
        LOG(LOG_INFO, "dial", "an answer of the DNS", LOG_E(e));
    if (!d->questions[0] && !d->questions[1])
        site_dial_next(d, 0);
    return true;
}

/* --- requests ---------------------------------------------------------------------------------------- */

static void begin(struct site_dial *d, struct str host)
{
    static const struct ip local[] = {{4, {127, 0, 0, 1}}, {6, {[15] = 1}}};
    struct err e = {0};
    struct ip ip;

    if (ip_parse(host, &ip)) {
        d->addresses[d->n++] = ip;
    } else if (str_eq(host, STR("localhost"))) { // RFC 6761 6.3
        d->addresses[d->n++] = local[0];
        d->addresses[d->n++] = local[1];
    } else if (ask(d, host, &e)) {
        return;
    } else {
        give_up(d, IPC_DIAL_FAILED, str_of(e.text));
        return;
    }
    site_dial_next(d, 0);
}

// Those whose addresses are not known yet too: one asker takes no places of all others.
static bool has_room(const struct service_peer *p)
{
    unsigned n_own = 0;

    for (const struct site_dial *d = dials; d; d = d->next_dial)
        n_own += d->peer == p;
    return n_own < DIAL_MAX_OF_ONE && n_dials < MAX_DIALS && dial_has_room(p);
}

bool site_dial(struct service_peer *p, struct packet *packet, struct err *e)
{
    struct ipc_dial_site m;
    struct site_dial *d;

    if (!ipc_dial_site_get(packet->body, &m, e))
        return false;
    if (!is_target(m.host, m.port))
        return dial_answer(p, m.request, IPC_DIAL_FORBIDDEN, STR("no server that the configuration names"), e);
    if (!has_room(p))
        return dial_answer(p, m.request, IPC_DIAL_FAILED, STR("too many connections at once"), e);
    d = heap_alloc(sizeof *d);
    *d = (struct site_dial){.peer = p, .request = m.request, .port = m.port,
                            .deadline_ms = dial_deadline(m.timeout_ms), .next_dial = dials};
    if (dials)
        dials->prev_dial = d;
    dials = d;
    n_dials++;
    begin(d, m.host);
    return true;
}

void site_peer_closed(const struct service_peer *p)
{
    for (struct site_dial *d = dials, *next; d; d = next) {
        next = d->next_dial;
        if (d->peer == p) // its attempt is gone already
            site_dial_free(d);
    }
}

void site_tick(int64_t now)
{
    for (struct site_dial *d = dials; d;)
        if ((d->questions[0] || d->questions[1]) && now >= d->deadline_ms) {
            d->questions[0] = d->questions[1] = 0;
            give_up(d, IPC_DIAL_TIMEOUT, STR("its addresses were not found in time"));
            d = dials; // with its asker, others may have gone
        } else {
            d = d->next_dial;
        }
}
