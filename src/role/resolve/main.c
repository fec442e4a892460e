/*
 * resolve: asks the DNS for everybody, validates and caches.
 *
 * A question is answered from the hosts file at once, or by libunbound, or at its deadline as "no
 * answer". While nobody answers at all, as on a machine without network, deadlines are short.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ipc/metrics.h"
#include "ipc/resolve.h"
#include "os/clock.h"
#include "os/file.h"
#include "role/resolve/hosts.h"
#include "role/resolve/source.h"
#include "role/resolve/unbound.h"
#include "role/service.h"

enum {
    MAX_OPEN = 2000,          // questions of all askers at once
    FIRST_DEADLINE_MS = 5000, // before anything has ever been answered
    DOWN_DEADLINE_MS = 2000,  // while nothing is
    DOWN_FAILURES = 3,        // in a row, and nothing counts as being answered
    COMPLAINT_MS = 600000,    // a line about that at most so often
};

struct question {
    struct service_peer *peer; // NULL: nobody waits for the answer
    uint64_t request;
    enum dns_type type;
    struct str name;           // lower case, behind the struct
    int id;
    int64_t began_ms, deadline_ms;
    struct question *prev, *next;
};

/* Of a peer: how many questions it has open. In service_peer's data. */
struct asker {
    unsigned n_open;
};

static struct role_start self;
static struct source source;
static struct hosts hosts;
static struct question *questions; // open ones, newest first
static unsigned n_open;

/* --- whether anybody answers -------------------------------------------------------------------- */

static enum { UNKNOWN, UP, DOWN } network;
static unsigned n_failures;     // in a row
static uint64_t n_unanswered;   // since the last line about it
static int64_t complained_ms;   // when that was; 0: never
static bool has_complained;     // since it was last up

static void note_answer(void)
{
    n_failures = 0;
    if (network != UP && has_complained)
        LOG(LOG_INFO, "dns", "DNS questions are answered again");
    has_complained = false;
    network = UP;
}

static void note_failure(struct str name, enum dns_type type, struct str why)
{
    int64_t now = os_monotonic_ms();

    n_failures++;
    n_unanswered++;
    if (network == UNKNOWN || n_failures >= DOWN_FAILURES)
        network = DOWN;
    if (network != DOWN || (complained_ms && now - complained_ms < COMPLAINT_MS))
        return;
    LOG(LOG_WARN, "dns", "no answer from the DNS; what depends on it is not checked",
        LOG_S("name", name), LOG_S("type", str_of(dns_type_name(type))), LOG_S("why", why),
        LOG_N("unanswered", n_unanswered));
    complained_ms = now ? now : 1;
    has_complained = true;
    n_unanswered = 0;
}

static int64_t deadline_ms(void)
{
    int64_t most = network == UP     ? source.deadline_ms
                   : network == DOWN ? DOWN_DEADLINE_MS
                                     : FIRST_DEADLINE_MS;

    return most < source.deadline_ms ? most : source.deadline_ms;
}

/* --- questions ------------------------------------------------------------------------------------ */

static bool reply(struct service_peer *p, uint64_t request, const struct unbound_answer *a,
                  struct err *e)
{
    if (!request)
        return true;
    // One that asks and does not read must not keep the others waiting.
    if (!channel_has_room(&p->ch))
        return fail(e, ERR_LIMIT, "it does not read");
    return IPC_SEND(&p->ch, resolved, NULL, 0, e, .request = request, .status = (uint8_t)a->status,
                    .is_secure = a->is_secure, .ttl = a->ttl, .name = a->name,
                    .records = a->records, .why = a->why);
}

static bool reply_temporary(struct service_peer *p, uint64_t request, struct str why,
                            struct err *e)
{
    const struct unbound_answer a = {.status = DNS_TEMPORARY, .why = why};

    return reply(p, request, &a, e);
}

static void forget(struct question *q)
{
    if (q->peer)
        ((struct asker *)q->peer->data)->n_open--;
    *(q->prev ? &q->prev->next : &questions) = q->next;
    if (q->next)
        q->next->prev = q->prev;
    n_open--;
    free(q);
}

// The asker is told, when it still wants to know.
static void finish(struct question *q, const struct unbound_answer *a)
{
    struct service_peer *p = q->peer;
    struct err e = {0};
    bool is_ok = !p || reply(p, q->request, a, &e);

    forget(q);
    if (!is_ok) {
        LOG(LOG_INFO, "dns", "an answer was not taken, channel closed", LOG_E(&e),
            LOG_S("peer", str_of(role_name(p->role))), LOG_X("conn", p->conn));
        service_peer_close(p);
    }
}

static void measure(const struct question *q, enum dns_status status)
{
    METRIC_TIME(dns_lookup_duration_seconds, os_monotonic_ms() - q->began_ms, q->peer ? q->peer->role : ROLE_RESOLVE,
                metric_word(METRIC_dns_lookup_duration_seconds, 1, str_of(dns_type_name(q->type))),
                status == DNS_OK || status == DNS_NODATA ? METRIC_DNS_OK
                : status == DNS_NXDOMAIN ? METRIC_DNS_NXDOMAIN
                : status == DNS_TEMPORARY ? METRIC_DNS_TEMPORARY
                                          : METRIC_DNS_ERROR);
}

static void answered(void *question, const struct unbound_answer *found)
{
    struct question *q = question;
    struct unbound_answer a = *found;

    if (a.status == DNS_OK && !a.name.n)
        a.name = q->name;
    LOG(LOG_DEBUG, "dns", "dns lookup", LOG_S("name", q->name),
        LOG_S("type", str_of(dns_type_name(q->type))),
        LOG_S("status", str_of(dns_status_name(a.status))), LOG_N("secure", a.is_secure),
        LOG_S("why", a.why));
    measure(q, a.status);
    if (a.is_failure)
        note_failure(q->name, q->type, a.why);
    else
        note_answer();
    if (a.status == DNS_BOGUS && str_eq(q->name, STR(".")))
        LOG(LOG_ERROR, "dns", "no trust anchor validates the root of the DNS: every answer "
            "counts as forged", LOG_S("why", a.why));
    finish(q, &a);
}

// Sends a question off. NULL when libunbound does not take it.
static struct question *begin(struct service_peer *p, uint64_t request, enum dns_type type,
                              struct str name, struct err *e)
{
    struct question *q = heap_alloc(sizeof *q + name.n);
    char *own = (char *)(q + 1);

    memcpy(own, name.p, name.n);
    *q = (struct question){.peer = p, .request = request, .type = type,
                           .name = str_at(own, name.n), .next = questions,
                           .began_ms = os_monotonic_ms(), .deadline_ms = os_monotonic_ms() + deadline_ms()};
    if (!unbound_ask(q->name, q->type, q, &q->id, e)) {
        free(q);
        return NULL;
    }
    if (questions)
        questions->prev = q;
    questions = q;
    n_open++;
    if (p)
        ((struct asker *)p->data)->n_open++;
    return q;
}

// With the first question, so that wrong trust anchors do not look like forgers everywhere.
static void check_root(void)
{
    static bool is_done;
    struct err e = {0};

    if (!is_done && !begin(NULL, 0, DNS_NS, STR("."), &e))
        LOG(LOG_DEBUG, "dns", "asking for the root", LOG_E(&e));
    is_done = true;
}

static bool ask(struct service_peer *p, const struct ipc_resolve *m, struct str name,
                struct err *e)
{
    const struct asker *asker = p->data;
    struct err why = {0};

    check_root();
    if (n_open >= MAX_OPEN || asker->n_open >= RESOLVE_MAX_OPEN)
        return reply_temporary(p, m->request, STR("too many questions at once"), e);
    return begin(p, m->request, (enum dns_type)m->type, name, &why) ||
           reply_temporary(p, m->request, str_of(why.text), e);
}

static bool on_message(struct service_peer *p, struct packet *packet, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_BUF records = BUF_LIMIT(DNS_MAX_ANSWER);
    struct unbound_answer known = {.ttl = HOSTS_TTL};
    struct ipc_resolve m;
    struct str name;

    if (!ipc_resolve_get(packet->body, &m, e))
        return false;
    if (!dns_type_name((enum dns_type)m.type)[0] || !dns_name_is_ok(m.name))
        return fail(e, ERR_SYNTAX, "a question that nobody may ask");
    name = arena_lower(&a, m.name);
    if (!hosts_answer(&hosts, name, (enum dns_type)m.type, &known.status, &records))
        return source.kind == SOURCE_NONE
                   ? reply_temporary(p, m.request, STR("no resolver is configured"), e)
                   : ask(p, &m, name, e);
    known.records = buf_str(&records);
    known.name = records.n ? name : STR("");
    return reply(p, m.request, &known, e);
}

static void on_opened(struct service_peer *p)
{
    p->data = heap_alloc(sizeof(struct asker));
}

// What a peer asked for is worth knowing all the same.
static void on_closed(struct service_peer *p)
{
    for (struct question *q = questions; q; q = q->next)
        if (q->peer == p)
            q->peer = NULL;
    free(p->data);
}

static void on_tick(void)
{
    const struct unbound_answer late = {.status = DNS_TEMPORARY, .why = STR_("no answer in time")};
    int64_t now = os_monotonic_ms();

    for (struct question *q = questions, *next; q; q = next) {
        next = q->next;
        if (now < q->deadline_ms)
            continue;
        unbound_cancel(q->id);
        note_failure(q->name, q->type, late.why);
        finish(q, &late);
    }
}

static void unbound_ready(void *ctx, int events)
{
    (void)ctx, (void)events;
    unbound_process();
}

/* --- start ------------------------------------------------------------------------------------------ */

static struct str read_optional(const char *path, size_t limit)
{
    struct str text = {0};
    struct err e = {0};

    // A machine need not have it.
    if (path && !os_read_file(&self.arena, path, limit, &text, &e))
        LOG(e.kind == ERR_NOT_FOUND ? LOG_DEBUG : LOG_WARN, "dns",
            e.kind == ERR_NOT_FOUND ? "no such file, done without" : "a file cannot be read, done without", LOG_E(&e));
    return text;
}

static bool open_all(struct err *e)
{
    const char *setting = getenv("MOX_RESOLVER"), *anchor = getenv("MOX_TRUST_ANCHOR");

    if (!source_parse(str_of(setting ? setting : ""), read_optional("/etc/resolv.conf", 1 << 20),
                      &source, e))
        return false;
    hosts_parse(&self.arena,
                read_optional(arena_cstring(&self.arena, source.hosts_path), HOSTS_MAX_BYTES),
                &hosts);
    if (source.kind == SOURCE_NONE)
        return true;
    return unbound_open(&source, anchor, answered, e) &&
           event_add(service_loop(), unbound_fd(), EVENT_READ, unbound_ready, NULL, e);
}

_Noreturn void resolve_main(void)
{
    static const struct service_handlers handlers = {.message = on_message, .opened = on_opened,
                                                     .closed = on_closed, .tick = on_tick};
    struct err e = {0};

    role_start(&self, ROLE_RESOLVE);
    if (!open_all(&e)) {
        LOG(LOG_ERROR, "dns", "cannot start", LOG_E(&e));
        exit(1);
    }
    service_run(&self, &handlers);
}
