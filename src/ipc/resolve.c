#include "ipc/resolve.h"

#include "os/clock.h"
#include "policy/dns_wire.h"

static bool ask(struct resolver *r, uint64_t request, struct str name, enum dns_type type,
                struct err *e)
{
    if (!r->packet)
        r->packet = packet_new();
    return (r->ch.fd >= 0 || r->connect(r->ctx, &r->ch, e)) &&
           IPC_SEND(&r->ch, resolve, NULL, 0, e, .request = request, .type = type, .name = name);
}

// When the answer to a question of now is too late.
static int64_t end_of(const struct resolver *r)
{
    int64_t end = os_monotonic_ms() + RESOLVE_PATIENCE_MS;

    return r->deadline_ms && r->deadline_ms < end ? r->deadline_ms : end;
}

static bool has_time(const struct resolver *r, struct err *e)
{
    return os_monotonic_ms() < end_of(r) ||
           fail(e, ERR_TEMPORARY, "no time is left for questions to the DNS");
}

// Waits for the answer to this request; one that comes too late for its question is passed over.
static bool hear(struct resolver *r, uint64_t request, struct ipc_resolved *m, struct err *e)
{
    int64_t end = end_of(r);

    do {
        int64_t left = end - os_monotonic_ms();

        if (left <= 0)
            return fail(e, ERR_TEMPORARY, "resolve did not answer in time");
        if (!channel_expect(&r->ch, IPC_resolved, r->packet, (int)left, e) ||
            !ipc_resolved_get(r->packet->body, m, e))
            return false;
    } while (m->request != request);
    return true;
}

bool resolve_take_answer(struct arena *a, enum dns_type type, const struct ipc_resolved *m,
                         struct dns_answer *out, struct err *e)
{
    *out = (struct dns_answer){.status = (enum dns_status)m->status,
                               .ttl = m->ttl,
                               .name = arena_dup(a, m->name),
                               .why = arena_dup(a, m->why)};
    if (out->status == DNS_OK && !dns_records_parse(a, type, arena_dup(a, m->records), out, e))
        return false;
    if (out->status == DNS_OK && !out->n)
        return fail(e, ERR_SYNTAX, "an answer without records");
    // What is not known is not proved.
    out->is_secure = m->is_secure && (out->status == DNS_OK || dns_is_none(out));
    return true;
}

static void lookup(void *ctx, struct arena *a, struct str name, enum dns_type type,
                   struct dns_answer *out)
{
    struct resolver *r = ctx;
    uint64_t request = ++r->last_request;
    struct ipc_resolved m;
    struct err e = {0};

    *out = (struct dns_answer){.status = DNS_TEMPORARY};
    if (has_time(r, &e)) {
        if (!ask(r, request, name, type, &e) || !hear(r, request, &m, &e))
            channel_close(&r->ch); // the next question gets a channel to the next resolve
        else if (!resolve_take_answer(a, type, &m, out, &e))
            *out = (struct dns_answer){.status = DNS_TEMPORARY};
    }
    if (e.kind)
        out->why = arena_dup(a, str_of(e.text));
}

static void prefetch(void *ctx, struct str name, enum dns_type type)
{
    struct resolver *r = ctx;
    struct err e = {0};

    if (has_time(r, &e) && !ask(r, 0, name, type, &e))
        channel_close(&r->ch);
}

struct dns resolver_dns(struct resolver *r)
{
    return (struct dns){.ctx = r, .lookup = lookup, .prefetch = prefetch};
}

void resolver_fini(struct resolver *r)
{
    channel_close(&r->ch);
    packet_free(r->packet);
    r->packet = NULL;
}
