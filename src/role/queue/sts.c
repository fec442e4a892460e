/*
 * MTA-STS policies (RFC 8461): what deliver asks for is answered from queue.db, or by a fetch process that
 * the monitor makes. One fetch serves all who ask meanwhile.
 */
#include <stdlib.h>

#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "role/queue/queue_role.h"

enum {
    MAX_FETCHES = 20,
    FETCH_TIMEOUT_MS = 80 * 1000, // fetch itself gives up after 60 seconds
    TURN_MS = 10 * 1000,          // then one gives way when others wait: it may be a server that trickles
    MAX_REFRESH_MS = 60 * 1000,   // between two that are due
    FORGET_MS = 24 * 3600 * 1000,
};

struct fetch {
    enum { FREE, WANTED, BUSY } state;
    uint64_t request;
    int64_t began_ms, deadline_ms;
    struct arena a;
    struct str domain, id;
    bool is_refresh; // nobody waits for it, and the record is to be looked at first
    struct channel ch;
    struct event_source *source;
};

struct waiter {
    struct fetch *fetch;
    sts_known_fn *fn;
    void *ctx;
    struct waiter *next;
};

static struct fetch fetches[MAX_FETCHES];
static struct waiter *waiters;
static uint64_t last_request;
static int64_t next_refresh_ms, next_forget_ms;
static int64_t turn_ms = TURN_MS;

void sts_begin(void)
{
    const char *setting = getenv("MOX_STS_TURN_MS"); // tests do not wait for so long
    uint64_t ms;

    if (setting && str_u64(str_of(setting), TURN_MS, &ms))
        turn_ms = (int64_t)ms;
}

/* --- telling those who wait ------------------------------------------------------------------------ */

static void tell(struct fetch *f, const struct sts_known *known)
{
    struct waiter **at = &waiters;

    while (*at) {
        struct waiter *w = *at;

        if (w->fetch != f) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->fn(w->ctx, known);
        free(w);
        at = &waiters; // who was told may have asked or left
    }
}

void sts_cancel(void *ctx)
{
    for (struct waiter **at = &waiters; *at;) {
        struct waiter *w = *at;

        if (w->ctx != ctx) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        free(w);
    }
}

static void end(struct fetch *f, const struct sts_known *known)
{
    struct arena a = f->a; // what is told may be in it

    event_remove(service_loop(), f->source);
    f->source = NULL;
    if (f->ch.fd >= 0)
        channel_close(&f->ch);
    f->a = (struct arena){0};
    tell(f, known);
    f->state = FREE;
    arena_fini(&a);
}

/* --- results ---------------------------------------------------------------------------------------- */

// What holds without the fetch, for a reason that is ours: nothing is noted of it.
static void end_without(struct fetch *f)
{
    struct sts_known known = {.status = STS_TEMPORARY};
    struct err e = {0};

    if (!queue_sts_ask(queue_role.queue, &f->a, f->domain, STS_RECORD_UNKNOWN, STR(""), &known, &e))
        LOG(LOG_ERROR, "mtasts", "reading the policies", LOG_E(&e));
    end(f, &known);
}

static void end_with(struct fetch *f, struct str id, const struct sts_fetched *got)
{
    struct sts_known known = {.status = STS_TEMPORARY};
    struct err e = {0};

    if (!queue_sts_fetched(queue_role.queue, &f->a, f->domain, id, got, &known, &e))
        LOG(LOG_ERROR, "mtasts", "noting a policy", LOG_E(&e));
    // RFC 8461 3.3: whoever runs this server should know, unless the policy asks for nothing.
    if (!got->policy && (known.status != STS_POLICY || known.policy.mode != MTASTS_NONE))
        LOG(LOG_INFO, "mtasts", "a policy was not fetched", LOG_S("domain", f->domain),
            LOG_S("result", str_of(tls_failure_name(got->failure))), LOG_S("why", got->why),
            LOG_N("has_older", known.status == STS_POLICY));
    end(f, &known);
}

static void end_failed(struct fetch *f, enum tls_failure failure, struct str why)
{
    end_with(f, f->id, &(struct sts_fetched){.failure = failure, .why = why});
}

static bool end_unchanged(struct fetch *f, bool is_gone, struct err *e)
{
    if (!f->is_refresh)
        return fail(e, ERR_DENIED, "an answer to another question");
    if (!queue_sts_unchanged(queue_role.queue, f->domain, is_gone, e))
        LOG(LOG_ERROR, "mtasts", "noting a policy", LOG_E(e));
    end_without(f);
    return true;
}

static bool on_fetched(struct fetch *f, struct packet *p, struct err *e)
{
    struct mtasts_policy policy = {0};
    struct ipc_sts_fetched m;
    struct str id = f->id;

    if (!ipc_sts_fetched_get(p->body, &m, e))
        return false;
    if (f->is_refresh && m.id.n)
        id = m.id;
    switch ((enum ipc_sts_outcome)m.outcome) {
    case IPC_STS_POLICY:
        policy.mode = (enum mtasts_mode)m.mode;
        policy.max_age = m.max_age;
        if (!mtasts_mx_parse(&f->a, m.mx, &policy, e) || (!policy.n && policy.mode != MTASTS_NONE))
            return fail(e, ERR_SYNTAX, "a policy that is none");
        end_with(f, id, &(struct sts_fetched){.policy = &policy});
        return true;
    case IPC_STS_NONE:
    case IPC_STS_NOT_FETCHED:
        end_failed(f, TLS_STS_POLICY_FETCH_ERROR, m.why);
        return true;
    case IPC_STS_UNTRUSTED:
        end_failed(f, TLS_STS_WEBPKI_INVALID, m.why);
        return true;
    case IPC_STS_INVALID:
        end_failed(f, TLS_STS_POLICY_INVALID, m.why);
        return true;
    case IPC_STS_UNCHANGED:
        return end_unchanged(f, false, e);
    case IPC_STS_GONE:
        return end_unchanged(f, true, e);
    }
    return fail(e, ERR_SYNTAX, "no outcome");
}

static void on_fetch(void *ctx, int events)
{
    struct packet *p = packet_new();
    struct fetch *f = ctx;
    struct err e = {0};
    bool is_ok = true;

    (void)events;
    switch (channel_receive(&f->ch, p, 0, &e)) {
    case CHANNEL_TIMEOUT:
        break;
    case CHANNEL_MESSAGE:
        is_ok = p->type == IPC_sts_fetched ? on_fetched(f, p, &e)
                                           : fail(&e, ERR_DENIED, "unexpected message");
        break;
    case CHANNEL_CLOSED:
        is_ok = fail(&e, ERR_TEMPORARY, "the process that was fetching it ended");
        break;
    case CHANNEL_BAD:
        is_ok = false;
        break;
    }
    packet_close_fds(p);
    packet_free(p);
    // Who can end it, cannot keep us asking either.
    if (!is_ok)
        end_failed(f, TLS_STS_POLICY_FETCH_ERROR, str_of(e.text));
}

bool sts_made(struct packet *m, struct err *e)
{
    struct ipc_fetch_made made;
    struct fetch *f = NULL;

    if (!ipc_fetch_made_get(m->body, &made, e))
        return false;
    for (size_t i = 0; i < MAX_FETCHES; i++)
        if (fetches[i].state == WANTED && fetches[i].request == made.request)
            f = &fetches[i];
    if (!f)
        return true; // it was given up meanwhile
    if (!m->n_fds) {
        LOG(LOG_INFO, "mtasts", "no process to fetch with", LOG_S("why", made.reason));
        end_without(f);
        return true;
    }
    f->ch = (struct channel){packet_take_fd(m, 0), ROLE_QUEUE, ROLE_FETCH};
    f->state = BUSY;
    f->source = event_add(service_loop(), f->ch.fd, EVENT_READ, on_fetch, f, e);
    if (!f->source || !IPC_SEND(&f->ch, sts_fetch, NULL, 0, e, .domain = f->domain,
                                .is_refresh = f->is_refresh, .known_id = f->id)) {
        LOG(LOG_ERROR, "mtasts", "asking a fetch process", LOG_E(e));
        end_without(f);
    }
    return true;
}

/* --- asking ------------------------------------------------------------------------------------------- */

static struct fetch *free_fetch(void)
{
    for (size_t i = 0; i < MAX_FETCHES; i++)
        if (fetches[i].state == FREE)
            return &fetches[i];
    return NULL;
}

// The one that has been at it for longest, and has had its turn. Its mail waits, since nobody knows what it would have got.
static struct fetch *take_turn(void)
{
    struct fetch *longest = &fetches[0];

    for (size_t i = 1; i < MAX_FETCHES; i++)
        if (fetches[i].began_ms < longest->began_ms)
            longest = &fetches[i];
    if (os_monotonic_ms() - longest->began_ms < turn_ms)
        return NULL;
    LOG(LOG_INFO, "mtasts", "a policy takes long, and others wait", LOG_S("domain", longest->domain));
    longest->began_ms = INT64_MAX; // whoever is told, and asks for others, does not end it again
    end_without(longest);
    return free_fetch();
}

static struct fetch *begin(struct str domain, struct str id, bool is_refresh)
{
    struct fetch *f = free_fetch();
    struct err e = {0};

    if (!f && !is_refresh)
        f = take_turn();
    if (!f || !IPC_SEND(&queue_role.start.monitor, fetch_new, NULL, 0, &e, .request = last_request + 1))
        return NULL;
    *f = (struct fetch){.state = WANTED, .request = ++last_request, .a = ARENA_LIMIT(4 << 20),
                        .is_refresh = is_refresh, .ch = {-1}, .began_ms = os_monotonic_ms(),
                        .deadline_ms = os_monotonic_ms() + FETCH_TIMEOUT_MS};
    f->domain = arena_dup(&f->a, domain);
    f->id = arena_dup(&f->a, id);
    return f;
}

static struct fetch *running(struct str domain, struct str id)
{
    for (size_t i = 0; i < MAX_FETCHES; i++)
        if (fetches[i].state != FREE && !fetches[i].is_refresh && str_eq(fetches[i].domain, domain) &&
            str_eq(fetches[i].id, id))
            return &fetches[i];
    return NULL;
}

void sts_want(struct str domain, enum sts_record record, struct str id, sts_known_fn *fn, void *ctx)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct sts_known known = {.status = STS_TEMPORARY};
    struct fetch *f = NULL;
    struct waiter *w;
    struct err e = {0};

    if (!queue_sts_ask(queue_role.queue, &a, domain, record, id, &known, &e))
        LOG(LOG_ERROR, "mtasts", "reading the policies", LOG_E(&e), LOG_S("domain", domain));
    METRIC(mtastsdb_get_total, known.status - STS_NONE);
    if (known.status == STS_FETCH && !(f = running(domain, id)) && !(f = begin(domain, id, false)) &&
        !queue_sts_ask(queue_role.queue, &a, domain, STS_RECORD_UNKNOWN, STR(""), &known, &e))
        LOG(LOG_ERROR, "mtasts", "reading the policies", LOG_E(&e), LOG_S("domain", domain));
    if (!f) {
        fn(ctx, &known);
        return;
    }
    w = heap_alloc(sizeof *w);
    *w = (struct waiter){f, fn, ctx, waiters};
    waiters = w;
}

/* --- keeping them fresh ------------------------------------------------------------------------------- */

static void refresh(int64_t now)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct str domain, id;
    uint64_t n_due = 0, random;
    int64_t wait;
    struct err e = {0};
    bool found;

    if (!queue_sts_due(queue_role.queue, &a, &domain, &id, &n_due, &found, &e)) {
        LOG(LOG_ERROR, "mtasts", "reading the policies", LOG_E(&e));
        next_refresh_ms = now + MAX_REFRESH_MS;
        return;
    }
    if (found && !begin(domain, id, true))
        LOG(LOG_DEBUG, "mtasts", "a policy is not looked at again now", LOG_S("domain", domain));
    // All that are due within three hours, and not like a clock.
    os_random(&random, sizeof random);
    wait = n_due ? (int64_t)STS_SPREAD_S * 1000 / (int64_t)n_due : MAX_REFRESH_MS;
    wait = wait > MAX_REFRESH_MS ? MAX_REFRESH_MS : wait;
    next_refresh_ms = now + wait / 2 + (int64_t)(random % ((uint64_t)wait + 1));
}

static bool is_refreshing(void)
{
    for (size_t i = 0; i < MAX_FETCHES; i++)
        if (fetches[i].state != FREE && fetches[i].is_refresh)
            return true;
    return false;
}

void sts_tick(void)
{
    int64_t now = os_monotonic_ms();
    struct err e = {0};

    for (size_t i = 0; i < MAX_FETCHES; i++)
        if (fetches[i].state == WANTED && fetches[i].deadline_ms < now)
            end_without(&fetches[i]);
        else if (fetches[i].state == BUSY && fetches[i].deadline_ms < now)
            end_failed(&fetches[i], TLS_STS_POLICY_FETCH_ERROR, STR("no answer in time"));
    if (now >= next_refresh_ms && !is_refreshing())
        refresh(now);
    if (now < next_forget_ms)
        return;
    next_forget_ms = now + FORGET_MS;
    if (!queue_sts_forget(queue_role.queue, &e))
        LOG(LOG_ERROR, "mtasts", "forgetting policies", LOG_E(&e));
}
