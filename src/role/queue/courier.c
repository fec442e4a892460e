#include "role/queue/courier.h"

#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"

enum {
    MAX_SERVED = 500, // entries of one process
    MEMORY_LEFT = 2 << 20, // for as many entries as it may have at once, however long their texts
    // An attempt is over after half an hour, by deliver's own word (MAX_AHEAD of them).
    ANSWER_TIMEOUT_MS = 70 * 60 * 1000,
};

void courier_add(struct courier *c, const struct queue_entry *entry)
{
    if (c->n < QUEUE_MAX_BATCH)
        c->items[c->n++] = (struct item){.entry = queue_entry_dup(&c->a, entry)};
    c->served++;
}

const struct ipc_transport *courier_transport(const struct courier *c)
{
    return c->has_transport ? &c->transport : NULL;
}

bool courier_goes_with(const struct courier *c, const struct queue_entry *entry)
{
    const struct ipc_transport *t;

    return transport_for(entry, &t) && (t ? c->has_transport && str_eq(t->name, c->transport.name)
                                          : !c->has_transport);
}

/* --- beginning ---------------------------------------------------------------------------------- */

// The first in that state.
static struct item *first(struct courier *c, enum sending sending)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->items[i].sending == sending)
            return &c->items[i];
    return NULL;
}

// A message of which some recipients are being served: the others come after their end.
static bool is_ahead(const struct courier *c, uint64_t message)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->items[i].entry.message == message && c->items[i].sending != WAITING &&
            c->items[i].sending != DONE)
            return true;
    return false;
}

static bool begin(struct courier *c, uint64_t message)
{
    size_t before = c->n_begun;
    struct err e = {0};

    for (size_t i = 0; i < c->n; i++) {
        struct item *item = &c->items[i];

        if (item->sending != WAITING || item->entry.message != message)
            continue;
        if (!queue_begin(queue_role.queue, &item->entry, &e)) {
            LOG(LOG_ERROR, "queue", "cannot note that an attempt begins", LOG_E(&e));
            break;
        }
        item->sending = BEGUN;
        c->n_begun++;
    }
    c->n_ahead += c->n_begun > before;
    return e.kind == ERR_NONE;
}

void courier_begin_more(struct courier *c)
{
    for (size_t i = 0; i < c->n && c->n_ahead < (c->has_spoken ? MAX_AHEAD : 1); i++)
        if (c->items[i].sending == WAITING && !is_ahead(c, c->items[i].entry.message) &&
            !begin(c, c->items[i].entry.message))
            break;
}

/* --- results ------------------------------------------------------------------------------------ */

void courier_return(struct item *item)
{
    struct err e = {0};

    if (item->sending == WAITING)
        queue_put_back(queue_role.queue, &item->entry);
    else if (!queue_take_back(queue_role.queue, &item->entry, &e))
        LOG(LOG_ERROR, "queue", "cannot take an attempt back", LOG_E(&e));
    item->sending = DONE;
}

void courier_note(struct item *item, const struct attempt *attempt)
{
    struct attempt full = *attempt;

    full.is_remote = true;
    full.started_unix = item->started_unix ? item->started_unix : os_now_unix();
    full.duration_ms = item->started_ms ? os_monotonic_ms() - item->started_ms : 0;
    attempt_note(&item->entry, &full);
    item->sending = DONE;
}

void courier_end(struct courier *c, struct str why)
{
    struct attempt lost = {.class = ATTEMPT_TEMPORARY, .text = why, .enhanced = STR_("4.3.0")};

    for (size_t i = 0; i < c->n; i++) {
        struct item *item = &c->items[i];

        if (item->sending == ANSWERED)
            courier_note(item, &item->attempt);
        else if (item->sending == SENT && !couriers.is_stopping)
            courier_note(item, &lost);
        else if (item->sending != DONE)
            courier_return(item);
    }
    sts_cancel(c);
    event_remove(service_loop(), c->source);
    if (c->ch.fd >= 0)
        channel_close(&c->ch);
    window_leave(c->window);
    free(c->items);
    arena_fini(&c->a);
    c->state = FREE;
    couriers.n--;
    queue_role.has_work = true;
}

/* --- giving ------------------------------------------------------------------------------------- */

static bool send_way(struct courier *c, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct str domain;
    const struct ipc_transport *t = &c->transport;
    bool is_relay = c->has_transport && t->kind == TRANSPORT_RELAY;

    // A relay is whom the administrator trusts with it, whatever the domain says (mox-smtp-delivery.md 3.6).
    c->is_asking = !is_relay && mtasts_domain_of(&a, c->to.domain, &domain);
    if (!c->has_transport)
        return IPC_SEND(&c->ch, deliver_way, NULL, 0, e, .way = IPC_WAY_DIRECT,
                        .domain = c->to.domain, .families = 3);
    return IPC_SEND(&c->ch, deliver_way, NULL, 0, e,
                    .way = is_relay                       ? IPC_WAY_RELAY
                           : t->kind == TRANSPORT_SOCKS ? IPC_WAY_SOCKS
                                                        : IPC_WAY_DIRECT,
                    .domain = c->to.domain, .families = t->families, .host = t->host,
                    .port = t->port, .tls = t->tls, .username = t->username,
                    .password = t->password, .mechanisms = t->mechanisms, .hello = t->hello);
}

static bool send_rcpts(struct courier *c, uint64_t message, struct err *e)
{
    for (size_t i = 0; i < c->n; i++) {
        struct item *item = &c->items[i];

        if (item->sending != READY || item->entry.message != message)
            continue;
        if (!IPC_SEND(&c->ch, deliver_rcpt, NULL, 0, e, .entry = item->entry.id,
                      .address = item->entry.recipient, .notify = item->entry.notify & 15,
                      .orcpt = item->entry.orcpt))
            return false;
        item->sending = SENT;
        item->started_unix = os_now_unix();
        item->started_ms = os_monotonic_ms();
    }
    return true;
}

// The message of this item, for all its recipients that are ready here.
static bool send_message(struct courier *c, const struct queue_entry *entry, struct err *e)
{
    AUTO_FD fd = os_memfile("message", e);
    uint32_t recipients = 0;

    for (size_t i = 0; i < c->n; i++)
        recipients += c->items[i].sending == READY && c->items[i].entry.message == entry->message;
    if (fd < 0 || !queue_read(queue_role.queue, entry->message, fd, e) ||
        !os_memfile_seal(fd, e) ||
        !IPC_SEND(&c->ch, deliver_message, &fd, 1, e, .message = entry->message,
                  .reverse_path = entry->reverse_path, .recipients = recipients,
                  .size = entry->size, .is_binary = entry->is_binary,
                  .is_smtputf8 = entry->is_smtputf8, .require_tls = entry->require_tls,
                  .is_dmarc_report = entry_is_dmarc_report(entry),
                  .is_own_report = entry->origin == QUEUE_OWN_REPORT,
                  .ret = (uint8_t)entry->ret, .envid = str_sub(entry->envid, 0, 100),
                  .tried = entry->dialed) ||
        !send_rcpts(c, entry->message, e))
        return false;
    c->deadline_ms = os_monotonic_ms() + ANSWER_TIMEOUT_MS;
    return true;
}

void courier_feed(struct courier *c)
{
    struct item *item;
    struct err e = {0};

    if (c->state != BUSY || c->is_asking || couriers.is_stopping)
        return;
    while ((item = first(c, READY)))
        if (!send_message(c, &item->entry, &e)) {
            LOG(LOG_ERROR, "queue", "cannot give a message to deliver", LOG_E(&e));
            courier_end(c, str_of(e.text));
            return;
        }
    if (!c->n_ahead && !c->n_noted)
        courier_end(c, STR(""));
}

void courier_attach(struct courier *c, int fd)
{
    struct err e = {0};

    c->ch = (struct channel){fd, ROLE_QUEUE, ROLE_DELIVER};
    c->state = BUSY;
    c->source = event_add(service_loop(), c->ch.fd, EVENT_READ, courier_heard, c, &e);
    if (!c->source || !send_way(c, &e))
        courier_end(c, str_of(e.text));
    else
        courier_feed(c);
}

static bool tell_noted(struct courier *c, struct err *e)
{
    for (size_t i = 0; i < c->n_noted && !couriers.is_stopping; i++)
        if (!IPC_SEND(&c->ch, deliver_noted, NULL, 0, e, .message = c->noted[i]))
            return false;
    c->n_noted = 0;
    return true;
}

// What had begun has: or it has not, and is as it was.
static void settle_begun(struct courier *c, bool is_ok)
{
    for (size_t i = 0; i < c->n && c->n_begun; i++) {
        struct item *item = &c->items[i];

        if (item->sending != BEGUN)
            continue;
        item->sending = is_ok ? READY : WAITING;
        item->entry.attempts -= !is_ok;
    }
    c->n_begun = 0;
}

void courier_committed(struct courier *c, bool is_ok)
{
    struct err e = {0};

    if (c->state == FREE || (!c->n_noted && !c->n_begun))
        return;
    settle_begun(c, is_ok);
    if (c->state != BUSY)
        return; // outgoing_go hears of it as well
    // What is not noted may come twice: nothing more is sent then.
    if (!is_ok || !tell_noted(c, &e))
        courier_end(c, STR("the queue could not note the results"));
    else
        courier_feed(c);
}

void courier_look_for_more(struct courier *c, const struct queue_entry *like)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct queue_entry *more;
    size_t n = 0;
    struct err e = {0};

    if (window_is_over(c->window)) { // another connection has them
        for (size_t i = 0; i < c->n; i++)
            if (c->items[i].sending == WAITING)
                courier_return(&c->items[i]);
        return;
    }
    if (first(c, WAITING) || c->served >= MAX_SERVED || c->a.used > COURIER_MEMORY - MEMORY_LEFT || couriers.is_stopping)
        return;
    more = ARENA_ARRAY(&a, QUEUE_MAX_BATCH, struct queue_entry);
    if (!queue_more(queue_role.queue, &a, like, more, QUEUE_MAX_BATCH - c->n, &n, &e))
        LOG(LOG_ERROR, "queue", "reading the queue", LOG_E(&e));
    for (size_t i = 0; i < n; i++) {
        if (!queue_role_may_send(&more[i]))
            continue;
        if (courier_goes_with(c, &more[i]) && attempt_fails_alike(&more[i], courier_transport(c)))
            continue;
        if (courier_goes_with(c, &more[i]))
            courier_add(c, &more[i]);
        else
            queue_put_back(queue_role.queue, &more[i]);
    }
}

void courier_drop_done(struct courier *c)
{
    size_t kept = 0;

    for (size_t i = 0; i < c->n; i++)
        if (c->items[i].sending != DONE)
            c->items[kept++] = c->items[i];
    c->n = kept;
}
