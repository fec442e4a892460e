/*
 * Deliveries to other servers: a batch of entries for one destination goes to a deliver process, message
 * by message, and its results come back. A destination for which many wait has several such processes.
 *
 * A process has at most two messages: while one is being sent, the next is at hand. Their attempts have begun, on
 * the disk; those of others have not. It ends no message before it hears that the one before is noted here, so that
 * whatever dies, at most one message of a connection may come twice.
 */
#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/queue/queue_role.h"
#include "text/idna.h"

enum {
    MAX_COURIERS = 40,
    MAX_OF_ACCOUNT = 30, // of these: servers that never come to an end keep nobody else's mail waiting
    MAX_FURTHER = 20,  // of all, when a destination has one already: another's first finds room
    MANY_WAITING = 10, // messages that are worth another connection
    OPTIONAL_TLS = 2,  // require_tls: TLS-Required: No
    MAX_AHEAD = 2,     // messages that a process has and has not answered; the first is alone, until its server spoke
    // Of one process: the courier's arena has what is known of each entry, and what was said of it, until it ends.
    MAX_SERVED = 500,
    MEMORY = 4 << 20,
    MEMORY_LEFT = 2 << 20, // for as many entries as it may have at once, however long their texts
    MADE_TIMEOUT_MS = 60 * 1000,
    PAUSE_MS = 1000, // when there can be no process
    MAX_ALIKE = 1000, // entries in a second that fail for another's reason: what can be sent does not wait for all of them
    SMTP_GOING = 421, // RFC 5321 3.8
    // An attempt is over after half an hour, by deliver's own word (MAX_AHEAD of them).
    ANSWER_TIMEOUT_MS = 70 * 60 * 1000,
};

enum sending {
    WAITING,
    BEGUN, // is counted, as soon as that is committed
    READY,
    SENT,
    ANSWERED,
    DONE,
};

struct item {
    struct queue_entry entry;
    enum sending sending;
    int64_t started_unix, started_ms;
    struct attempt attempt; // ANSWERED; texts are in the courier's arena
};

/* A deliver process and what it has to do. */
struct courier {
    enum { FREE, TAKEN, WANTED, BUSY } state;
    uint64_t request;
    int64_t deadline_ms;
    struct arena a;
    struct queue_destination to;
    bool has_transport; // not directly
    struct ipc_transport transport; // texts are in a
    struct window *window; // of the destination
    struct item *items; // QUEUE_MAX_BATCH
    size_t served; // entries that it was given
    size_t n, n_begun; // BEGUN
    unsigned n_ahead; // messages that have begun, and not ended
    bool has_spoken; // the server
    uint64_t noted[MAX_AHEAD]; // messages whose results are here and wait for a commit
    size_t n_noted;
    bool has_asked;
    bool is_asking; // it is going to ask for the domain's MTA-STS policy, or waits for it
    struct channel ch;
    struct event_source *source;
};

static struct courier couriers[MAX_COURIERS];
static size_t n_couriers; // that are not free
static uint64_t last_request;
static int64_t pause_until_ms;
static bool is_stopping;
static size_t n_alike; // entries that failed for another's reason, since the last tick

static struct courier *free_courier(void)
{
    for (size_t i = 0; i < MAX_COURIERS; i++)
        if (couriers[i].state == FREE)
            return &couriers[i];
    return NULL;
}

bool outgoing_has_room(void)
{
    return n_couriers < MAX_COURIERS && os_monotonic_ms() >= pause_until_ms && !is_stopping && n_alike < MAX_ALIKE;
}

static size_t couriers_of(struct str account)
{
    size_t n = 0;

    for (size_t i = 0; i < MAX_COURIERS; i++)
        n += couriers[i].state != FREE && str_eq(couriers[i].to.account, account);
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
                                 n_couriers < MAX_FURTHER);
}

// Those about TLS say that they do not need it.
static bool is_dmarc_report(const struct queue_entry *entry)
{
    return entry->origin == QUEUE_OWN_REPORT && entry->max_attempts && entry->require_tls != OPTIONAL_TLS;
}

// Where it goes, and what it asks of a server: those of which both are the same fare alike when none is reached. A
// relay is one place for all domains.
static struct down_place place_of(const struct queue_entry *entry, const struct ipc_transport *t)
{
    return (struct down_place){.domain = t && t->kind == TRANSPORT_RELAY ? STR("") : entry->domain,
                               .transport = t ? t->name : STR(""),
                               .way = entry->require_tls + (is_dmarc_report(entry) ? 3u : 0u)};
}

static void add_items(struct courier *c, const struct queue_entry *entries, size_t n)
{
    for (size_t i = 0; i < n && c->n < QUEUE_MAX_BATCH; i++)
        c->items[c->n++] = (struct item){.entry = queue_entry_dup(&c->a, &entries[i])};
    c->served += n;
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

static const struct ipc_transport *transport_of(const struct courier *c)
{
    return c->has_transport ? &c->transport : NULL;
}

// The transport of those that this connection serves.
static bool goes_with(const struct courier *c, const struct queue_entry *entry)
{
    const struct ipc_transport *t;

    return transport_for(entry, &t) && (t ? c->has_transport && str_eq(t->name, c->transport.name)
                                          : !c->has_transport);
}

// An attempt without a connection.
static void end_at_once(const struct queue_entry *entry, const struct attempt *why)
{
    struct attempt attempt = *why;
    struct queue_entry begun = *entry;
    struct err e = {0};

    if (!queue_begin(queue_role.queue, &begun, &e)) {
        LOG(LOG_ERROR, "queue", "cannot note an attempt", LOG_E(&e));
        queue_put_back(queue_role.queue, entry);
        return;
    }
    attempt.is_remote = true;
    attempt.started_unix = os_now_unix();
    attempt.duration_ms = 0;
    LOG(LOG_INFO, "queue", attempt.class == ATTEMPT_PERMANENT ? "delivery failed" : "delivery put off",
        LOG_S("to", entry->recipient), LOG_S("host", attempt.remote_name), LOG_S("ip", attempt.remote_address),
        LOG_N("code", attempt.code), LOG_S("enhanced", attempt.enhanced), LOG_S("text", attempt.text));
    if (!queue_result(queue_role.queue, &begun, &attempt, &e))
        LOG(LOG_ERROR, "queue", "cannot note an attempt", LOG_E(&e));
}

// An entry that goes over no connection: its transport fails by its nature, or is not known.
static bool fails_here(const struct queue_entry *entry, const struct ipc_transport *t)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct attempt attempt = {.class = ATTEMPT_TEMPORARY, .is_remote = true, .enhanced = STR("4.3.5")};

    if (t && t->kind != TRANSPORT_FAIL)
        return false;
    if (t) {
        attempt.class = t->code >= 500 ? ATTEMPT_PERMANENT : ATTEMPT_TEMPORARY;
        attempt.code = t->code;
        attempt.enhanced = t->code >= 500 ? STR("5.7.0") : STR("4.7.0");
        attempt.text = t->text;
    } else {
        attempt.text = arena_printf(&a, "there is no transport \"%.*s\" in mox.conf",
                                    STR_FMT(entry->transport));
    }
    end_at_once(entry, &attempt);
    return true;
}

// One whose destination another message has just not reached.
static bool fails_alike(const struct queue_entry *entry, const struct ipc_transport *t)
{
    const struct down_place where = place_of(entry, t);
    const struct attempt *why = down_why(&where);

    if (!why)
        return false;
    end_at_once(entry, why);
    n_alike++;
    return true;
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

// As many messages as the process may have. They are sent when this is committed.
static void begin_more(struct courier *c)
{
    for (size_t i = 0; i < c->n && c->n_ahead < (c->has_spoken ? MAX_AHEAD : 1); i++)
        if (c->items[i].sending == WAITING && !is_ahead(c, c->items[i].entry.message) &&
            !begin(c, c->items[i].entry.message))
            break;
}

// Back to where it was before it was given out.
static void return_item(struct item *item)
{
    struct err e = {0};

    if (item->sending == WAITING)
        queue_put_back(queue_role.queue, &item->entry);
    else if (!queue_take_back(queue_role.queue, &item->entry, &e))
        LOG(LOG_ERROR, "queue", "cannot take an attempt back", LOG_E(&e));
    item->sending = DONE;
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
    *c = (struct courier){.state = TAKEN, .a = ARENA_LIMIT(MEMORY), .ch = {-1}};
    c->items = heap_resize(NULL, QUEUE_MAX_BATCH, sizeof *c->items);
    n_couriers++;
    c->has_transport = t != NULL;
    if (t)
        c->transport = transport_dup(&c->a, t);
    for (size_t i = 0; i < n; i++)
        if (!is_taken[i] && goes_with(c, &entries[i])) {
            add_items(c, &entries[i], 1);
            is_taken[i] = true;
        }
    c->to = (struct queue_destination){c->items[0].entry.account, c->items[0].entry.domain,
                                       c->items[0].entry.transport};
    c->window = window_enter(&c->to);
    begin_more(c);
}

void outgoing_take(const struct queue_entry *entries, size_t n)
{
    bool is_taken[QUEUE_MAX_BATCH] = {false};

    for (size_t i = 0; i < n && i < QUEUE_MAX_BATCH; i++) {
        const struct ipc_transport *t;
        bool is_known = transport_for(&entries[i], &t);

        if (is_taken[i] || ((t || !is_known) && fails_here(&entries[i], t)) || fails_alike(&entries[i], t))
            continue;
        take_alike(&entries[i], n - i, t, &is_taken[i]);
    }
}

/* --- results ------------------------------------------------------------------------------------ */

static void note(struct item *item, const struct attempt *attempt)
{
    struct attempt full = *attempt;
    struct err e = {0};

    full.is_remote = true;
    full.started_unix = item->started_unix ? item->started_unix : os_now_unix();
    full.duration_ms = item->started_ms ? os_monotonic_ms() - item->started_ms : 0;
    LOG(LOG_INFO, "queue",
        attempt->class == ATTEMPT_DELIVERED   ? "delivered"
        : attempt->class == ATTEMPT_PERMANENT ? "delivery failed"
                                              : "delivery put off",
        LOG_S("to", item->entry.recipient), LOG_S("host", attempt->remote_name),
        LOG_S("ip", attempt->remote_address), LOG_N("code", attempt->code),
        LOG_S("enhanced", attempt->enhanced), LOG_S("text", attempt->text));
    if (!queue_result(queue_role.queue, &item->entry, &full, &e))
        LOG(LOG_ERROR, "queue", "cannot note an attempt", LOG_E(&e));
    item->sending = DONE;
}

// Ends it with what it has not done: what it did not get is due as before, and of what it has not
// answered nobody knows; but when it was told to stop, it has ended no message without an answer.
static void end(struct courier *c, struct str why)
{
    struct attempt lost = {.class = ATTEMPT_TEMPORARY, .text = why, .enhanced = STR_("4.3.0")};

    for (size_t i = 0; i < c->n; i++) {
        struct item *item = &c->items[i];

        if (item->sending == ANSWERED)
            note(item, &item->attempt);
        else if (item->sending == SENT && !is_stopping)
            note(item, &lost);
        else if (item->sending != DONE)
            return_item(item);
    }
    sts_cancel(c);
    event_remove(service_loop(), c->source);
    if (c->ch.fd >= 0)
        channel_close(&c->ch);
    window_leave(c->window);
    free(c->items);
    arena_fini(&c->a);
    c->state = FREE;
    n_couriers--;
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
                  .is_dmarc_report = is_dmarc_report(entry),
                  .is_own_report = entry->origin == QUEUE_OWN_REPORT,
                  .ret = (uint8_t)entry->ret, .envid = str_sub(entry->envid, 0, 100),
                  .tried = entry->dialed) ||
        !send_rcpts(c, entry->message, e))
        return false;
    c->deadline_ms = os_monotonic_ms() + ANSWER_TIMEOUT_MS;
    return true;
}

static void feed(struct courier *c)
{
    struct item *item;
    struct err e = {0};

    if (c->state != BUSY || c->is_asking || is_stopping)
        return;
    while ((item = first(c, READY)))
        if (!send_message(c, &item->entry, &e)) {
            LOG(LOG_ERROR, "queue", "cannot give a message to deliver", LOG_E(&e));
            end(c, str_of(e.text));
            return;
        }
    if (!c->n_ahead && !c->n_noted)
        end(c, STR(""));
}

// More for the same connection, when it has begun with all there was.
static void look_for_more(struct courier *c, const struct queue_entry *like)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct queue_entry *more;
    size_t n = 0;
    struct err e = {0};

    if (window_is_over(c->window)) { // another connection has them
        for (size_t i = 0; i < c->n; i++)
            if (c->items[i].sending == WAITING)
                return_item(&c->items[i]);
        return;
    }
    if (first(c, WAITING) || c->served >= MAX_SERVED || c->a.used > MEMORY - MEMORY_LEFT || is_stopping)
        return;
    more = ARENA_ARRAY(&a, QUEUE_MAX_BATCH, struct queue_entry);
    if (!queue_more(queue_role.queue, &a, like, more, QUEUE_MAX_BATCH - c->n, &n, &e))
        LOG(LOG_ERROR, "queue", "reading the queue", LOG_E(&e));
    for (size_t i = 0; i < n; i++) {
        if (!queue_role_may_send(&more[i]))
            continue;
        if (goes_with(c, &more[i]) && fails_alike(&more[i], transport_of(c)))
            continue;
        if (goes_with(c, &more[i]))
            add_items(c, &more[i], 1);
        else
            queue_put_back(queue_role.queue, &more[i]);
    }
}

// What is done makes room.
static void drop_done(struct courier *c)
{
    size_t kept = 0;

    for (size_t i = 0; i < c->n; i++)
        if (c->items[i].sending != DONE)
            c->items[kept++] = c->items[i];
    c->n = kept;
}

/* --- hearing ------------------------------------------------------------------------------------ */

// RFC 3463 2, or none: it goes into reports.
static bool is_status(struct str s)
{
    unsigned n;

    if (!s.n)
        return true;
    if (s.p[0] != '2' && s.p[0] != '4' && s.p[0] != '5')
        return false;
    for (n = 0; s.n; n++) {
        size_t digits = 0;

        if (n && !str_starts(s, STR(".")))
            return false;
        s = str_from(s, n > 0);
        while (digits < s.n && ascii_is_digit(s.p[digits]))
            digits++;
        if (!digits || digits > (n ? 3u : 1u))
            return false;
        s = str_from(s, digits);
    }
    return n == 3;
}

static bool on_result(struct courier *c, struct packet *m, struct err *e)
{
    static const enum attempt_class classes[] = {[IPC_DELIVERED] = ATTEMPT_DELIVERED,
                                                 [IPC_FAILED_FOR_NOW] = ATTEMPT_TEMPORARY,
                                                 [IPC_FAILED_FOR_GOOD] = ATTEMPT_PERMANENT};
    struct ipc_deliver_result r;

    if (!ipc_deliver_result_get(m->body, &r, e))
        return false;
    for (size_t i = 0; i < c->n; i++) {
        struct item *item = &c->items[i];

        if (item->entry.id != r.entry || item->sending != SENT || !r.outcome)
            continue;
        if (!is_status(r.enhanced))
            return fail(e, ERR_DENIED, "a status that is none");
        item->attempt = (struct attempt){.class = classes[r.outcome],
                                         .code = r.code,
                                         .enhanced = arena_dup(&c->a, r.enhanced),
                                         .text = arena_dup(&c->a, r.text),
                                         .remote_name = arena_dup(&c->a, r.mta),
                                         .remote_address = arena_dup(&c->a, r.ip),
                                         .has_dsn_duty = r.is_dsn_passed};
        item->sending = ANSWERED;
        METRIC_TIME(queue_delivery_duration_seconds, os_monotonic_ms() - item->started_ms, item->entry.attempts,
                    c->has_transport ? metric_name(c->transport.name) : 0,
                    r.is_tls, r.outcome == IPC_DELIVERED          ? METRIC_ATTEMPT_OK
                              : r.outcome == IPC_FAILED_FOR_GOOD ? METRIC_ATTEMPT_PERMERROR
                                                                 : METRIC_ATTEMPT_TEMPERROR);
        if (r.outcome == IPC_FAILED_FOR_GOOD && is_dmarc_report(&item->entry))
            METRIC(queue_dmarcreport_failure_total);
        return true;
    }
    return fail(e, ERR_DENIED, "a result for what it was not given");
}

static enum window_word word_of(const struct attempt *t)
{
    return t->class != ATTEMPT_TEMPORARY ? WINDOW_SPOKE
           : t->code == SMTP_GOING       ? WINDOW_BUSY
           : t->code                     ? WINDOW_SPOKE
                                         : WINDOW_LOST;
}

// Whether another process speaks to a server there: one connection too many is no dead destination.
static bool has_others(const struct courier *c)
{
    for (size_t i = 0; i < MAX_COURIERS; i++) {
        const struct courier *other = &couriers[i];
        bool is_relay = c->has_transport && c->transport.kind == TRANSPORT_RELAY;

        if (other != c && other->state == BUSY && other->has_spoken && other->has_transport == c->has_transport &&
            (!c->has_transport || str_eq(other->transport.name, c->transport.name)) &&
            (is_relay || str_eq(other->to.domain, c->to.domain)))
            return true;
    }
    return false;
}

// What the server was too busy for, or has closed the connection before, when there are connections on which it does
// its work, goes over one of these: nobody but us is to blame for there being so many.
static bool is_for_others(const struct courier *c, const struct attempt *t, bool is_unreached)
{
    return window_count(&c->to) > 1 &&
           (word_of(t) == WINDOW_BUSY || (is_unreached && t->class == ATTEMPT_TEMPORARY && has_others(c)));
}

// What a message's end says of its destination. Only that of now, not for good: who says it has read what the server
// wrote, and speaks here for others' messages.
static void note_reached(struct courier *c, const struct item *item, bool is_unreached)
{
    const struct down_place where = place_of(&item->entry, transport_of(c));

    if (!is_unreached)
        down_over(&where);
    else if (item->attempt.class == ATTEMPT_TEMPORARY && !has_others(c) && window_is_dead(c->window))
        down_note(&where, &item->attempt);
    c->has_spoken |= !is_unreached;
}

// Those that would be next and fare alike.
static void end_alike(struct courier *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->items[i].sending == WAITING && fails_alike(&c->items[i].entry, transport_of(c)))
            c->items[i].sending = DONE;
}

static bool on_end(struct courier *c, struct packet *m, struct err *e)
{
    struct ipc_deliver_end done;
    struct queue_entry last = {0};
    enum window_word word = WINDOW_SPOKE;
    bool has_any = false;

    if (!ipc_deliver_end_get(m->body, &done, e))
        return false;
    for (size_t i = 0; i < c->n; i++) {
        struct item *item = &c->items[i];

        if (item->entry.message != done.message)
            continue;
        if (item->sending == SENT)
            return fail(e, ERR_DENIED, "a message without all its results");
        if (item->sending != ANSWERED)
            continue;
        if (word != WINDOW_BUSY && word_of(&item->attempt) != WINDOW_SPOKE)
            word = word_of(&item->attempt);
        item->attempt.dialed = done.tried;
        if (!has_any)
            note_reached(c, item, done.is_unreached);
        if (is_for_others(c, &item->attempt, done.is_unreached)) {
            return_item(item);
            word = WINDOW_BUSY;
        } else {
            note(item, &item->attempt);
        }
        last = item->entry;
        has_any = true;
    }
    if (!has_any || !c->n_ahead || c->n_noted == MAX_AHEAD)
        return fail(e, ERR_DENIED, "the end of what it was not given");
    c->n_ahead--;
    c->noted[c->n_noted++] = done.message;
    if (window_heard(c->window, word))
        queue_role.has_work = true;
    if (done.is_unreached)
        end_alike(c);
    look_for_more(c, &last);
    drop_done(c);
    begin_more(c);
    return true;
}

// To admin, when it has time: of the destination that the process was given, and no other.
static bool on_tls_result(const struct courier *c, struct packet *m, struct err *e)
{
    struct service_peer *admin = service_peer_of(ROLE_ADMIN);
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct ipc_tls_result r;
    struct err lost = {0};
    struct str domain;

    if (!ipc_tls_result_get(m->body, &r, e) || !domain_to_ascii(&a, c->to.domain, &domain, e))
        return false;
    if (!str_eq(r.recipient_domain, domain) || (!r.is_host && !str_eq(r.policy_domain, domain)))
        return fail(e, ERR_DENIED, "a TLS result of another destination");
    if (r.successes + r.failures != 1)
        return fail(e, ERR_DENIED, "a TLS result of more than one connection");
    if (!admin || !channel_has_room(&admin->ch) ||
        !channel_send(&admin->ch, IPC_tls_result, m->body, NULL, 0, &lost))
        LOG(LOG_DEBUG, "queue", "a TLS result is lost", LOG_E(&lost));
    return true;
}

static void on_policy(void *ctx, const struct sts_known *known)
{
    AUTO_BUF mx = BUF_LIMIT(IPC_MAX_STS_MX);
    bool has_policy = known->status == STS_POLICY;
    struct courier *c = ctx;
    struct err e = {0};

    mtasts_mx_put(&mx, &known->policy);
    if (!IPC_SEND(&c->ch, sts_answer, NULL, 0, &e, .status = (uint8_t)known->status,
                  .mode = (uint8_t)(has_policy ? known->policy.mode : MTASTS_NONE),
                  .max_age = has_policy ? known->policy.max_age : 0,
                  .mx = has_policy ? buf_str(&mx) : STR(""), .failure = (uint8_t)known->failure,
                  .reason = known->reason)) {
        end(c, str_of(e.text));
        return;
    }
    c->is_asking = false;
    feed(c);
}

static bool on_sts_ask(struct courier *c, struct packet *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct ipc_sts_ask ask;
    struct str domain;

    if (!ipc_sts_ask_get(m->body, &ask, e))
        return false;
    // Its own domain alone: of no other does it learn, or store, anything here.
    if (!c->is_asking || c->has_asked || !mtasts_domain_of(&a, c->to.domain, &domain) ||
        !str_eq(domain, ask.domain))
        return fail(e, ERR_DENIED, "a question about another domain");
    c->has_asked = true;
    sts_want(ask.domain, (enum sts_record)ask.record, ask.id, on_policy, c);
    return true;
}

static void on_deliver(void *ctx, int events)
{
    struct packet *m = packet_new();
    struct courier *c = ctx;
    struct err e = {0};
    bool is_ok = true;

    (void)events;
    switch (channel_receive(&c->ch, m, 0, &e)) {
    case CHANNEL_TIMEOUT:
        break;
    case CHANNEL_MESSAGE:
        is_ok = m->type == IPC_deliver_result ? on_result(c, m, &e)
                : m->type == IPC_deliver_end  ? on_end(c, m, &e)
                : m->type == IPC_tls_result   ? on_tls_result(c, m, &e)
                : m->type == IPC_sts_ask      ? on_sts_ask(c, m, &e)
                                              : fail(&e, ERR_DENIED, "unexpected message");
        break;
    case CHANNEL_CLOSED:
        is_ok = fail(&e, ERR_TEMPORARY, "the process that was sending it ended");
        break;
    case CHANNEL_BAD:
        is_ok = false;
        break;
    }
    packet_close_fds(m);
    packet_free(m);
    if (!is_ok) {
        LOG(is_stopping ? LOG_DEBUG : LOG_ERROR, "queue", "deliver ended", LOG_E(&e),
            LOG_S("domain", c->to.domain));
        end(c, str_of(e.text));
    }
}

bool outgoing_made(struct packet *m, struct err *e)
{
    struct ipc_deliver_made made;
    struct courier *c = NULL;

    if (!ipc_deliver_made_get(m->body, &made, e))
        return false;
    for (size_t i = 0; i < MAX_COURIERS; i++)
        if (couriers[i].state == WANTED && couriers[i].request == made.request)
            c = &couriers[i];
    if (!c)
        return true; // it was given up meanwhile
    if (!m->n_fds) {
        LOG(LOG_INFO, "queue", "no process to deliver with", LOG_S("why", made.reason));
        pause_until_ms = os_monotonic_ms() + PAUSE_MS;
        end(c, made.reason);
        return true;
    }
    c->ch = (struct channel){packet_take_fd(m, 0), ROLE_QUEUE, ROLE_DELIVER};
    c->state = BUSY;
    c->source = event_add(service_loop(), c->ch.fd, EVENT_READ, on_deliver, c, e);
    if (!c->source || !send_way(c, e)) {
        end(c, str_of(e->text));
        return true;
    }
    feed(c);
    return true;
}

void outgoing_go(bool is_committed)
{
    for (size_t i = 0; i < MAX_COURIERS; i++) {
        struct courier *c = &couriers[i];
        struct err e = {0};

        if (c->state != TAKEN)
            continue;
        c->request = ++last_request;
        c->deadline_ms = os_monotonic_ms() + MADE_TIMEOUT_MS;
        c->state = WANTED;
        if (!is_committed || !IPC_SEND(&queue_role.start.monitor, deliver_new, NULL, 0, &e,
                                       .request = c->request))
            end(c, STR("the queue could not note the attempt"));
    }
}

bool outgoing_is_waiting(void)
{
    for (size_t i = 0; i < MAX_COURIERS; i++)
        if (couriers[i].state == BUSY && (couriers[i].n_noted || couriers[i].n_begun))
            return true;
    return false;
}

static bool tell_noted(struct courier *c, struct err *e)
{
    for (size_t i = 0; i < c->n_noted && !is_stopping; i++)
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

void outgoing_committed(bool is_ok)
{
    for (size_t i = 0; i < MAX_COURIERS; i++) {
        struct courier *c = &couriers[i];
        struct err e = {0};

        if (c->state == FREE || (!c->n_noted && !c->n_begun))
            continue;
        settle_begun(c, is_ok);
        if (c->state != BUSY)
            continue; // outgoing_go hears of it as well
        // What is not noted may come twice: nothing more is sent then.
        if (!is_ok || !tell_noted(c, &e))
            end(c, STR("the queue could not note the results"));
        else
            feed(c);
    }
}

void outgoing_tick(void)
{
    int64_t now = os_monotonic_ms();

    n_alike = 0;
    for (size_t i = 0; i < MAX_COURIERS; i++)
        if ((couriers[i].state == WANTED || couriers[i].state == BUSY) &&
            couriers[i].deadline_ms < now)
            end(&couriers[i], STR("no answer in time from the process that was sending it"));
}

bool outgoing_stop(void)
{
    if (!is_stopping && n_couriers)
        LOG(LOG_INFO, "queue", "stopping: no message is ended any more at other servers",
            LOG_N("connections", n_couriers));
    if (!is_stopping)
        for (size_t i = 0; i < MAX_COURIERS; i++) {
            struct courier *c = &couriers[i];

            if (c->state == TAKEN || c->state == WANTED)
                end(c, STR(""));
            // It hears that it is the end when it is about to end a message, or to read another.
            else if (c->state == BUSY)
                channel_say_no_more(&c->ch);
        }
    is_stopping = true;
    return n_couriers == 0;
}
