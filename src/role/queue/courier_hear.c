#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "proto/smtp/smtp.h"
#include "role/queue/courier.h"
#include "text/idna.h"

enum { SMTP_GOING = 421 }; // RFC 5321 3.8

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
        if (r.enhanced.n && !smtp_is_enhanced(r.enhanced)) // it goes into reports
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
        if (r.outcome == IPC_FAILED_FOR_GOOD && entry_is_dmarc_report(&item->entry))
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
        const struct courier *other = &couriers.all[i];
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
    const struct down_place where = entry_place(&item->entry, courier_transport(c));

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
        if (c->items[i].sending == WAITING && attempt_fails_alike(&c->items[i].entry, courier_transport(c)))
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
            courier_return(item);
            word = WINDOW_BUSY;
        } else {
            courier_note(item, &item->attempt);
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
    courier_look_for_more(c, &last);
    courier_drop_done(c);
    courier_begin_more(c);
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
        courier_end(c, str_of(e.text));
        return;
    }
    c->is_asking = false;
    courier_feed(c);
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

void courier_heard(void *ctx, int events)
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
        LOG(couriers.is_stopping ? LOG_DEBUG : LOG_ERROR, "queue", "deliver ended", LOG_E(&e),
            LOG_S("domain", c->to.domain));
        courier_end(c, str_of(e.text));
    }
}
