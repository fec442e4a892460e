/*
 * Deliveries to other servers: a batch of entries for one destination goes to a deliver process, message
 * by message, and its results come back. A destination for which many wait has several such processes.
 *
 * A process has at most two messages: while one is being sent, the next is at hand. Their attempts have begun, on
 * the disk; those of others have not. It ends no message before it hears that the one before is noted here, so that
 * whatever dies, at most one message of a connection may come twice.
 */
#include "base/log.h"
#include "os/clock.h"
#include "role/queue/courier.h"

enum {
    MAX_OF_ACCOUNT = 30, // of MAX_COURIERS: servers that never come to an end keep nobody else's mail waiting
    MAX_FURTHER = 20,  // of all, when a destination has one already: another's first finds room
    MANY_WAITING = 10, // messages that are worth another connection
    MADE_TIMEOUT_MS = 60 * 1000,
    PAUSE_MS = 1000, // when there can be no process
};

struct couriers couriers;
static uint64_t last_request;
static int64_t pause_until_ms;

static struct courier *free_courier(void)
{
    for (size_t i = 0; i < MAX_COURIERS; i++)
        if (couriers.all[i].state == FREE)
            return &couriers.all[i];
    return NULL;
}

bool outgoing_has_room(void)
{
    return couriers.n < MAX_COURIERS && os_monotonic_ms() >= pause_until_ms && !couriers.is_stopping &&
           attempt_has_room();
}

static size_t couriers_of(struct str account)
{
    size_t n = 0;

    for (size_t i = 0; i < MAX_COURIERS; i++)
        n += couriers.all[i].state != FREE && str_eq(couriers.all[i].to.account, account);
    return n;
}

// With all recipients of a message: not while some are being looked at (RFC 5321 4.5.4.1). A further connection
// is for those that would wait for long.
bool outgoing_may(void *ctx, const struct queue_destination *to, size_t n_waiting)
{
    (void)ctx;
    if (local_is_asking(to->domain) || couriers_of(to->account) >= MAX_OF_ACCOUNT)
        return false;
    return !window_count(to) || (window_has_room(to) && n_waiting >= MANY_WAITING &&
                                 couriers.n < MAX_FURTHER);
}

static struct ipc_transport transport_dup(struct arena *a, const struct ipc_transport *t)
{
    struct ipc_transport copy = *t;

    copy.name = arena_dup(a, t->name);
    copy.host = arena_dup(a, t->host);
    copy.username = arena_dup(a, t->username);
    copy.password = arena_dup(a, t->password);
    copy.mechanisms = arena_dup(a, t->mechanisms);
    copy.hello = arena_dup(a, t->hello);
    copy.text = arena_dup(a, t->text);
    return copy;
}

// Of the rest of a batch, those that go by the same transport as the first; the others wait.
static void take_alike(const struct queue_entry *entries, size_t n, const struct ipc_transport *t,
                       bool *is_taken)
{
    struct courier *c = free_courier();

    if (!c) {
        queue_put_back(queue_role.queue, &entries[0]);
        return;
    }
    *c = (struct courier){.state = TAKEN, .a = ARENA_LIMIT(COURIER_MEMORY), .ch = {-1}};
    c->items = heap_resize(NULL, QUEUE_MAX_BATCH, sizeof *c->items);
    couriers.n++;
    c->has_transport = t != NULL;
    if (t)
        c->transport = transport_dup(&c->a, t);
    for (size_t i = 0; i < n; i++)
        if (!is_taken[i] && courier_goes_with(c, &entries[i])) {
            courier_add(c, &entries[i]);
            is_taken[i] = true;
        }
    c->to = (struct queue_destination){c->items[0].entry.account, c->items[0].entry.domain,
                                       c->items[0].entry.transport};
    c->window = window_enter(&c->to);
    courier_begin_more(c);
}

void outgoing_take(const struct queue_entry *entries, size_t n)
{
    bool is_taken[QUEUE_MAX_BATCH] = {false};

    for (size_t i = 0; i < n && i < QUEUE_MAX_BATCH; i++) {
        const struct ipc_transport *t;
        bool is_known = transport_for(&entries[i], &t);

        if (is_taken[i] || ((t || !is_known) && attempt_fails_here(&entries[i], t)) ||
            attempt_fails_alike(&entries[i], t))
            continue;
        take_alike(&entries[i], n - i, t, &is_taken[i]);
    }
}

bool outgoing_made(struct packet *m, struct err *e)
{
    struct ipc_deliver_made made;
    struct courier *c = NULL;

    if (!ipc_deliver_made_get(m->body, &made, e))
        return false;
    for (size_t i = 0; i < MAX_COURIERS; i++)
        if (couriers.all[i].state == WANTED && couriers.all[i].request == made.request)
            c = &couriers.all[i];
    if (!c)
        return true; // it was given up meanwhile
    if (!m->n_fds) {
        LOG(LOG_INFO, "queue", "no process to deliver with", LOG_S("why", made.reason));
        pause_until_ms = os_monotonic_ms() + PAUSE_MS;
        courier_end(c, made.reason);
        return true;
    }
    courier_attach(c, packet_take_fd(m, 0));
    return true;
}

void outgoing_go(bool is_committed)
{
    for (size_t i = 0; i < MAX_COURIERS; i++) {
        struct courier *c = &couriers.all[i];
        struct err e = {0};

        if (c->state != TAKEN)
            continue;
        c->request = ++last_request;
        c->deadline_ms = os_monotonic_ms() + MADE_TIMEOUT_MS;
        c->state = WANTED;
        if (!is_committed || !IPC_SEND(&queue_role.start.monitor, deliver_new, NULL, 0, &e,
                                       .request = c->request))
            courier_end(c, STR("the queue could not note the attempt"));
    }
}

bool outgoing_is_waiting(void)
{
    for (size_t i = 0; i < MAX_COURIERS; i++)
        if (couriers.all[i].state == BUSY && (couriers.all[i].n_noted || couriers.all[i].n_begun))
            return true;
    return false;
}

void outgoing_committed(bool is_ok)
{
    for (size_t i = 0; i < MAX_COURIERS; i++)
        courier_committed(&couriers.all[i], is_ok);
}

void outgoing_tick(void)
{
    int64_t now = os_monotonic_ms();

    attempt_tick();
    for (size_t i = 0; i < MAX_COURIERS; i++)
        if ((couriers.all[i].state == WANTED || couriers.all[i].state == BUSY) &&
            couriers.all[i].deadline_ms < now)
            courier_end(&couriers.all[i], STR("no answer in time from the process that was sending it"));
}

bool outgoing_stop(void)
{
    if (!couriers.is_stopping && couriers.n)
        LOG(LOG_INFO, "queue", "stopping: no message is ended any more at other servers",
            LOG_N("connections", couriers.n));
    if (!couriers.is_stopping)
        for (size_t i = 0; i < MAX_COURIERS; i++) {
            struct courier *c = &couriers.all[i];

            if (c->state == TAKEN || c->state == WANTED)
                courier_end(c, STR(""));
            // It hears that it is the end when it is about to end a message, or to read another.
            else if (c->state == BUSY)
                channel_say_no_more(&c->ch);
        }
    couriers.is_stopping = true;
    return couriers.n == 0;
}
