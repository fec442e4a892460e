/*
 * A delivery into a mailbox of this account: offer, verdict, commit, verdict.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/account/account.h"
#include "role/account/judge.h"

enum { DELIVERY_MS = 5 * 60 * 1000 };

struct delivery {
    struct channel ch;
    uint64_t conn;
    struct packet *findings, *offer, *p; // what was received; texts point into them
    bool is_queued; // the queue offers it, and not a session
    char mailbox[IPC_MAX_MAILBOX + 1], remote[65], address[IPC_MAX_ADDRESS + 1];
};

static bool answer(struct delivery *d, unsigned code, const char *enhanced, const char *text,
                   struct err *e)
{
    return IPC_SEND(&d->ch, verdict, NULL, 0, e, .code = code, .enhanced = str_of(enhanced),
                    .text = str_of(text));
}

static bool answer_full(struct delivery *d, struct err *e)
{
    return answer(d, 452, "4.3.1", "no room for the message now, try again later", e); // RFC 3463 §3.4: "mail system full"
}

// What the store said, as a reply code.
static bool answer_failure(struct delivery *d, const struct err *why, struct err *e)
{
    LOG(LOG_ERROR, "store", "delivery not stored", LOG_E(why), LOG_S("account", account.name));
    if (why->kind == ERR_LIMIT)
        return answer(d, 452, "4.2.2", "mailbox full", e);
    if (why->is_full)
        return answer_full(d, e);
    return answer(d, 451, "4.3.0", "the message cannot be stored now, try again later", e);
}

static void new_message(const struct delivery *d, const struct ipc_offer *offer, int fd,
                        struct str id, struct store_new *out)
{
    *out = (struct store_new){.prefix = offer->prefix, .fd = fd, .size = offer->size,
                              .received_unix = os_now_unix(), .delivery_id = id,
                              .reverse_path = offer->reverse_path, .hello = offer->hello,
                              .remote_ip = str_of(d->remote)};
}

static bool store(struct str mailbox, const struct store_new *m, struct err *e)
{
    struct store_added added;

    if (!store_add(account.store, mailbox, true, m, 1, &added, e))
        return false;
    LOG(LOG_INFO, "store", "delivered", LOG_S("account", account.name), LOG_S("mailbox", mailbox),
        LOG_N("uid", added.uid), LOG_N("size", m->size));
    return true;
}

// What came to the server, not what the queue brings.
static void count(const struct delivery *d, unsigned result, struct str reason)
{
    if (d->ch.peer == ROLE_SESSION)
        METRIC(smtpserver_delivery_total, result, metric_word(METRIC_smtpserver_delivery_total, 1, reason));
}

static bool answer_stored(struct delivery *d, struct str mailbox, const struct store_new *m, struct str reason,
                          struct err *e)
{
    struct err why = {0};

    if (!store(mailbox, m, &why)) {
        count(d, METRIC_DELIVERY_ERROR, reason);
        return answer_failure(d, &why, e);
    }
    count(d, METRIC_DELIVERY_DELIVERED, reason);
    return answer(d, 250, "2.0.0", "", e);
}

/* --- mail from outside -------------------------------------------------------------------------- */

static bool answer_decision(struct delivery *d, const struct judged *j, struct err *e)
{
    const struct decision *by = &j->decision;

    return IPC_SEND(&d->ch, verdict, NULL, 0, e, .code = by->code, .enhanced = str_of(by->enhanced),
                    .text = str_sub(by->text, 0, IPC_MAX_TEXT), .reason = by->reason,
                    .is_slow = by->is_slow, .is_first_time = by->is_first_time,
                    .is_reject = by->is_reject, .dmarc_override = (uint8_t)by->dmarc_override,
                    .is_report_optional = j->is_report_optional);
}

// mox-smtp-delivery.md 2.7. The sender does not learn of it.
static void keep_reject(struct delivery *d, const struct rules *rules, struct judged *j,
                        struct store_new m)
{
    struct store_origin origin;
    struct err e = {0};
    bool stored = false;

    if (!j->decision.is_reject || !rules_account(rules)->rejects_mailbox.n)
        return;
    judge_origin(j, true, &origin);
    m.origin = &origin;
    m.flags = FLAG_SEEN;
    // Of the id there may be one only, and a delivery repeated later is to be stored.
    m.delivery_id = (struct str){0};
    if (!store_reject(account.store, rules_account(rules)->rejects_mailbox,
                      rules_account(rules)->keep_rejects, &m, &stored, &e))
        LOG(LOG_ERROR, "store", "a refused message is not kept", LOG_E(&e),
            LOG_S("account", account.name));
    else
        LOG(LOG_DEBUG, "store", stored ? "a refused message is kept" : "a refused message is not kept",
            LOG_S("account", account.name), LOG_S("remote", str_of(d->remote)));
}

// The verdict, and what the session makes of it: see ipc_verdict.
static bool conclude(struct delivery *d, const struct rules *rules, struct judged *j, struct str rcpt,
                     struct store_new *m, struct err *e)
{
    const struct decision *by = &j->decision;
    struct str mailbox = by->mailbox;
    struct store_origin origin;

    m->prefix = j->prefix;
    if (!answer_decision(d, j, e))
        return false;
    if (by->is_accepted) {
        if (!channel_expect(&d->ch, IPC_commit, d->p, DELIVERY_MS, e))
            return false;
        m->flags = by->is_reject || j->is_report ? FLAG_SEEN : 0;
    } else {
        switch (channel_receive(&d->ch, d->p, DELIVERY_MS, e)) {
        case CHANNEL_CLOSED:
            count(d, METRIC_DELIVERY_REJECT, by->reason);
            keep_reject(d, rules, j, *m);
            return true;
        case CHANNEL_MESSAGE:
            if (d->p->type == IPC_commit)
                break; // another member of the list takes it
            return fail(e, ERR_BUG, "unexpected message");
        case CHANNEL_TIMEOUT:
        case CHANNEL_BAD:
            return false;
        }
        mailbox = by->destined.n ? by->destined : str_of(d->mailbox);
    }
    judge_origin(j, by->is_accepted && by->is_reject, &origin);
    m->origin = &origin;
    m->rejects = rules_account(rules)->rejects_mailbox;
    if (!answer_stored(d, mailbox, m, by->reason, e))
        return false;
    report_tell_returned(&j->returned, rcpt);
    return true;
}

static bool decide_about(struct delivery *d, const struct ipc_findings *findings,
                         const struct ipc_offer *offer, struct store_new *m, struct err *e)
{
    struct rules *rules = rules_get();
    struct arena a = ARENA_LIMIT(256 << 20);
    struct judged *j = heap_alloc(sizeof *j);
    bool is_ok;

    judge(&a, rules, findings, offer, str_of(d->address), str_of(d->mailbox), m, j);
    is_ok = conclude(d, rules, j, offer->rcpt, m, e);
    free(j);
    arena_fini(&a);
    rules_put(rules);
    return is_ok;
}

// Of mail from outside, what was found out about its sender comes before the offer.
static bool hear_offer(struct delivery *d, struct ipc_findings *findings, bool *has_findings,
                       struct ipc_offer *offer, struct err *e)
{
    struct packet *first = d->findings;

    *has_findings = false;
    if (channel_receive(&d->ch, first, DELIVERY_MS, e) != CHANNEL_MESSAGE)
        return e->kind == ERR_NONE ? fail(e, ERR_TEMPORARY, "no message is offered") : false;
    if (first->type == IPC_offer) {
        d->findings = d->offer;
        d->offer = first;
        return ipc_offer_get(first->body, offer, e);
    }
    *has_findings = first->type == IPC_findings;
    return (*has_findings || fail(e, ERR_BUG, "unexpected message")) &&
           ipc_findings_get(first->body, findings, e) &&
           channel_expect(&d->ch, IPC_offer, d->offer, DELIVERY_MS, e) &&
           ipc_offer_get(d->offer->body, offer, e);
}

static bool serve(struct delivery *d, struct err *e)
{
    AUTO_BUF id = BUF_LIMIT(IPC_MAX_DELIVERY_ID + IPC_MAX_ADDRESS + 1);
    struct ipc_findings findings;
    struct ipc_offer offer;
    struct store_new m;
    AUTO_FD fd = -1;
    bool has_findings;

    if (!hear_offer(d, &findings, &has_findings, &offer, e))
        return false;
    if (!account.store)
        return answer_full(d, e);
    fd = packet_take_fd(d->offer, 0);
    // What could change while it is parsed would be read twice.
    if (!os_memfile_is_sealed(fd))
        return fail(e, ERR_DENIED, "the message is not sealed");
    // A captured session could else have the queue's next message taken for a repetition.
    if (!d->is_queued && !str_starts(offer.delivery_id, STR("s.")))
        return fail(e, ERR_DENIED, "the delivery id is not a session's");
    // Of a list, several addresses may be of this account.
    buf_put(&id, offer.delivery_id);
    BUF_PUT(&id, " ");
    buf_put(&id, str_of(d->address));
    new_message(d, &offer, fd, buf_str(&id), &m);
    if (has_findings)
        return decide_about(d, &findings, &offer, &m, e);
    return answer(d, 250, "2.0.0", "", e) &&
           channel_expect(&d->ch, IPC_commit, d->p, DELIVERY_MS, e) &&
           answer_stored(d, str_of(d->mailbox), &m, STR(""), e);
}

static void run(void *ctx)
{
    struct delivery *d = ctx;
    struct err e = {0};

    log_set_cid(d->conn);
    d->findings = packet_new();
    d->offer = packet_new();
    d->p = packet_new();
    if (!serve(d, &e))
        LOG(LOG_INFO, "store", "delivery given up", LOG_E(&e), LOG_S("account", account.name));
    channel_close(&d->ch);
    packet_close_fds(d->offer);
    packet_free(d->findings);
    packet_free(d->offer);
    packet_free(d->p);
    free(d);
}

void deliver_start(const struct ipc_peer *who, int fd)
{
    struct delivery *d = heap_alloc(sizeof *d);

    d->ch = (struct channel){fd, ROLE_ACCOUNT, (enum role)who->role};
    d->conn = who->conn;
    d->is_queued = who->role == ROLE_QUEUE;
    memcpy(d->mailbox, who->mailbox.p, who->mailbox.n);
    memcpy(d->remote, who->remote.p, who->remote.n);
    memcpy(d->address, who->address.p, who->address.n);
    if (!account_thread(run, d)) {
        LOG(LOG_ERROR, "store", "too many deliveries at once", LOG_S("account", account.name));
        channel_close(&d->ch);
        free(d);
    }
}
