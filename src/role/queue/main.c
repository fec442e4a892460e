/*
 * queue: mail that was accepted, until its recipients have it. It reads envelopes and schedules,
 * and parses no message.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "message/header.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "queue/queue.h"
#include "role/service.h"
#include "role/special.h"

enum {
    MAX_DELIVERIES = 16, // at once
    MAX_RCPT = 1000,
    MAX_ANSWERS = 256, // that wait for one commit
    HOUR_S = 3600, // until the next look at what nothing can be done about
    DELIVERY_TIMEOUT_MS = 300 * 1000,
};

/* A message that a session is submitting. In service_peer's data. */
struct submission {
    struct arena a;
    bool is_open;
    struct queue_new message;
    struct queue_recipient *recipients;
    size_t n, cap;
    uint32_t expected;
    bool is_waiting; // for the commit
};

/* One entry on its way to one or more accounts. The steps follow each other in this order. */
enum step { STEP_FREE, STEP_CHECK, STEP_OPEN, STEP_OFFER, STEP_COMMIT };
struct delivery {
    enum step step;
    uint64_t request; // number of its question to auth
    int64_t deadline_ms;
    struct arena a;
    struct queue_entry entry;
    uint32_t grant, n_grants, target; // target: which of the grants is being served
    bool has_it;                      // one of them
    struct str failed, refused;       // why another does not have it, for now or for good
    int message_fd;
    struct channel account;
    struct event_source *source;
};

static struct role_start self;
static struct queue *queue;
static struct delivery deliveries[MAX_DELIVERIES];
static uint64_t next_request = 1;
static uint64_t answers[MAX_ANSWERS]; // peers whose messages wait for the commit
static size_t n_answers;
static bool has_work; // entries may be due

/* --- submissions -------------------------------------------------------------------------------- */

static bool on_submit(struct service_peer *p, struct packet *m, struct err *e)
{
    struct submission *s = p->data;
    struct ipc_submit submit;

    if (!ipc_submit_get(m->body, &submit, e))
        return false;
    // Port 25 gives back what some of several recipients could not take; it goes to local accounts
    // only, and has no account of its own.
    if (!p->account.n && p->protocol != IPC_PROTOCOL_SMTP)
        return fail(e, ERR_DENIED, "submission without a login");
    if (s->is_waiting)
        return fail(e, ERR_DENIED, "submission before the answer to the last one");
    arena_reset(&s->a);
    s->recipients = NULL;
    s->n = s->cap = 0;
    s->is_open = true;
    s->expected = submit.recipients;
    s->message = (struct queue_new){.account = p->account,
                                    .reverse_path = arena_dup(&s->a, submit.reverse_path),
                                    .prefix = arena_dup(&s->a, submit.prefix),
                                    .max_per_day = p->max_per_day,
                                    .max_first_per_day = p->max_first_per_day,
                                    .is_8bit = submit.is_8bit,
                                    .is_binary = submit.is_binary,
                                    .is_smtputf8 = submit.is_smtputf8,
                                    .require_tls = submit.require_tls,
                                    .hold_until_unix = (int64_t)submit.hold_until_unix,
                                    .future_release = arena_dup(&s->a, submit.future_release)};
    return true;
}

static bool on_submit_rcpt(struct service_peer *p, struct packet *m, struct err *e)
{
    struct submission *s = p->data;
    struct ipc_submit_rcpt rcpt;

    if (!ipc_submit_rcpt_get(m->body, &rcpt, e))
        return false;
    if (!s->is_open || s->n >= s->expected)
        return fail(e, ERR_DENIED, "more recipients than were announced");
    if ((rcpt.delivery_id.n || rcpt.refused.n) && p->protocol != IPC_PROTOCOL_SMTP)
        return fail(e, ERR_DENIED, "a submission that an account has seen");
    if (rcpt.delivery_id.n && !str_starts(rcpt.delivery_id, STR("s.")))
        return fail(e, ERR_DENIED, "the delivery id is not a session's");
    *ARENA_PUSH(&s->a, s->recipients, &s->n, &s->cap) = (struct queue_recipient){
        .address = arena_dup(&s->a, rcpt.address),
        .delivery_id = arena_dup(&s->a, rcpt.delivery_id),
        .refused = rcpt.refused.n
                       ? arena_printf(&s->a, "refused and kept here: %.*s", STR_FMT(rcpt.refused))
                       : STR("")};
    return true;
}

static bool answer(struct service_peer *p, bool is_ok, const struct err *why, struct err *e)
{
    const struct submission *s = p->data;

    if (is_ok)
        LOG(LOG_INFO, "queue", "message queued", LOG_S("account", p->account),
            LOG_N("recipients", s->n), LOG_N("size", s->message.size), LOG_X("cid", p->conn));
    else
        LOG(LOG_ERROR, "queue", "message not queued", LOG_E(why), LOG_X("cid", p->conn));
    if (!is_ok && why->kind == ERR_LIMIT)
        return IPC_SEND(&p->ch, verdict, NULL, 0, e, .code = 451, .enhanced = STR("4.7.1"),
                        .text = str_of(why->text));
    return IPC_SEND(&p->ch, verdict, NULL, 0, e, .code = is_ok ? 250 : 451,
                    .enhanced = is_ok ? STR("2.2.0") : STR("4.3.0"),
                    .text = is_ok ? STR("queued") : STR("the message cannot be stored now"));
}

// One sync for all that has gathered; then those who wait hear it.
static void commit(void)
{
    struct err why = {0};
    bool is_ok = queue_commit(queue, &why);

    if (!is_ok && !n_answers)
        LOG(LOG_ERROR, "queue", "cannot note deliveries; they will be repeated and recognised",
            LOG_E(&why));
    has_work |= n_answers > 0;
    for (size_t i = 0; i < n_answers; i++) {
        struct service_peer *p = service_peer_by_id(answers[i]);
        struct err e = {0};

        if (!p)
            continue; // it has gone; its message is kept all the same
        ((struct submission *)p->data)->is_waiting = false;
        if (!answer(p, is_ok, &why, &e))
            LOG(LOG_INFO, "queue", "cannot answer", LOG_E(&e), LOG_X("cid", p->conn));
    }
    n_answers = 0;
}

static bool on_submit_data(struct service_peer *p, struct packet *m, struct err *e)
{
    struct submission *s = p->data;
    struct ipc_submit_data data;
    AUTO_FD fd = -1;
    struct err why = {0};

    if (!ipc_submit_data_get(m->body, &data, e))
        return false;
    if (!s->is_open || !s->n || s->n != s->expected)
        return fail(e, ERR_DENIED, "data without its envelope");
    fd = packet_take_fd(m, 0);
    if (!os_memfile_is_sealed(fd))
        return fail(e, ERR_DENIED, "the message is not sealed");
    s->is_open = false;
    s->message.recipients = s->recipients;
    s->message.n_recipients = s->n;
    s->message.fd = fd;
    s->message.size = data.size;
    if (!queue_add(queue, &s->message, &why))
        return answer(p, false, &why, e);
    s->is_waiting = true;
    answers[n_answers++] = p->id;
    if (n_answers == MAX_ANSWERS)
        commit();
    return true;
}

/* --- deliveries to local accounts ---------------------------------------------------------------- */

static void finish(struct delivery *d)
{
    event_remove(service_loop(), d->source);
    d->source = NULL;
    if (d->account.fd >= 0)
        channel_close(&d->account);
    fd_close(&d->message_fd);
    arena_fini(&d->a);
    d->step = STEP_FREE;
    has_work = true;
}

static void put_off(struct delivery *d, struct str why, int64_t wait_s)
{
    struct err e = {0};

    LOG(LOG_INFO, "queue", "delivery put off", LOG_S("to", d->entry.recipient),
        LOG_S("why", why), LOG_I("seconds", wait_s));
    if (!queue_retry(queue, d->entry.id, why, os_now_unix() + wait_s, &e))
        LOG(LOG_ERROR, "queue", "cannot note a failed attempt", LOG_E(&e));
    finish(d);
}

static void try_later(struct delivery *d, struct str why)
{
    put_off(d, why, queue_wait_s(QUEUE_FAILED_FOR_NOW, d->entry.attempts));
}

// Nobody can tell the sender yet: it is kept, for whoever looks at the queue.
static void fail_for_good(struct delivery *d, struct str why)
{
    put_off(d, arena_printf(&d->a, "failed permanently and kept here: %.*s", STR_FMT(why)),
            queue_wait_s(QUEUE_FAILED_FOR_GOOD, d->entry.attempts));
}

static void delivered(struct delivery *d)
{
    struct err e = {0};

    LOG(LOG_INFO, "queue", "delivered", LOG_S("to", d->entry.recipient));
    if (!queue_done(queue, &d->entry, &e))
        LOG(LOG_ERROR, "queue", "cannot note a delivery; it will be repeated and recognised",
            LOG_E(&e));
    finish(d);
}

static void open_next(struct delivery *d);

// Of a list, each member is asked, whatever became of those before it. One that has it satisfies the
// list, but those that may take it later get it then; a repetition is known by its id.
static void end_target(struct delivery *d)
{
    event_remove(service_loop(), d->source);
    d->source = NULL;
    if (d->account.fd >= 0)
        channel_close(&d->account);
    d->account.fd = -1;
    if (++d->target < d->n_grants)
        open_next(d);
    else if (d->failed.n)
        try_later(d, d->failed);
    else if (d->has_it)
        delivered(d);
    else
        fail_for_good(d, d->refused);
}

static void target_failed(struct delivery *d, struct str why)
{
    LOG(LOG_INFO, "queue", "a mailbox does not have it yet", LOG_S("to", d->entry.recipient),
        LOG_S("why", why));
    if (!d->failed.n)
        d->failed = arena_dup(&d->a, why);
    end_target(d);
}

static void open_next(struct delivery *d)
{
    struct err e = {0};

    d->step = STEP_OPEN;
    d->deadline_ms = os_monotonic_ms() + DELIVERY_TIMEOUT_MS;
    if (!IPC_SEND(&self.monitor, deliver_open, NULL, 0, &e, .grant = d->grant + d->target))
        try_later(d, str_of(e.text));
}

static struct delivery *checking(uint64_t request)
{
    for (size_t i = 0; i < MAX_DELIVERIES; i++)
        if (deliveries[i].step == STEP_CHECK && deliveries[i].request == request)
            return &deliveries[i];
    return NULL;
}

static struct delivery *opening(uint32_t grant)
{
    for (size_t i = 0; i < MAX_DELIVERIES; i++) {
        struct delivery *d = &deliveries[i];

        if (d->step == STEP_OPEN && d->grant + d->target == grant)
            return d;
    }
    return NULL;
}

static bool on_rcpt_reply(struct packet *m, struct err *e)
{
    struct ipc_rcpt_reply r;
    struct delivery *d;

    if (!ipc_rcpt_reply_get(m->body, &r, e))
        return false;
    d = checking(r.request);
    if (!d)
        return true; // it was given up meanwhile
    d->grant = r.grant;
    d->n_grants = r.n_grants;
    if (r.code >= 500)
        fail_for_good(d, arena_printf(&d->a, "%u %.*s %.*s", r.code, STR_FMT(r.enhanced),
                                      STR_FMT(r.text)));
    else if (r.code != 250)
        try_later(d, r.text);
    else if (!r.n_grants && !d->entry.account.n)
        // Whatever a session of port 25 says: nobody relays through this server.
        fail_for_good(d, STR("it came from outside, and the recipient is at another server"));
    else if (!r.n_grants)
        put_off(d, STR("this version delivers to its own accounts only; mail for other servers "
                       "waits here"), HOUR_S);
    else
        open_next(d);
    return true;
}

static bool send_offer(struct delivery *d, struct err *e)
{
    struct str id = d->entry.delivery_id.n
                        ? d->entry.delivery_id
                        : arena_printf(&d->a, "q.%llu.%lld", (unsigned long long)d->entry.id,
                                       (long long)d->entry.queued_unix);
    AUTO_BUF prefix = BUF_LIMIT(8192);

    BUF_PUT(&prefix, "Delivered-To: ");
    buf_put(&prefix, d->entry.recipient);
    BUF_PUT(&prefix, "\r\nReturn-Path: <");
    buf_put(&prefix, d->entry.reverse_path);
    BUF_PUT(&prefix, ">\r\n");
    return IPC_SEND(&d->account, offer, &d->message_fd, 1, e, .delivery_id = id,
                    .size = d->entry.size, .reverse_path = d->entry.reverse_path,
                    .prefix = buf_str(&prefix));
}

static void on_account(void *ctx, int events)
{
    struct packet *m = packet_new();
    struct delivery *d = ctx;
    struct ipc_verdict v;
    struct err e = {0};
    enum channel_result r = channel_receive(&d->account, m, 0, &e);

    (void)events;
    if (r == CHANNEL_TIMEOUT) {
        // nothing yet
    } else if (r != CHANNEL_MESSAGE || m->type != IPC_verdict ||
               !ipc_verdict_get(m->body, &v, &e)) {
        target_failed(d, STR("the account's process ended"));
    } else if (v.code >= 500) {
        if (!d->refused.n)
            d->refused = arena_printf(&d->a, "%u %.*s %.*s", v.code, STR_FMT(v.enhanced),
                                      STR_FMT(v.text));
        end_target(d);
    } else if (v.code != 250) {
        target_failed(d, v.text);
    } else if (d->step == STEP_OFFER) {
        d->step = STEP_COMMIT;
        if (!IPC_SEND(&d->account, commit, NULL, 0, &e))
            target_failed(d, str_of(e.text));
    } else {
        d->has_it = true;
        end_target(d);
    }
    packet_close_fds(m);
    packet_free(m);
}

static bool on_granted(struct packet *m, struct err *e)
{
    struct ipc_granted g;
    struct delivery *d;

    if (!ipc_granted_get(m->body, &g, e))
        return false;
    d = opening(g.grant);
    if (!d)
        return true; // it was given up meanwhile
    if (!m->n_fds) {
        target_failed(d, g.reason);
        return true;
    }
    d->account = (struct channel){packet_take_fd(m, 0), ROLE_QUEUE, ROLE_ACCOUNT};
    d->step = STEP_OFFER;
    d->source = event_add(service_loop(), d->account.fd, EVENT_READ, on_account, d, e);
    if (!d->source || !send_offer(d, e))
        target_failed(d, str_of(e->text));
    return true;
}

static bool read_message(struct delivery *d, struct err *e)
{
    d->message_fd = os_memfile("message", e);
    return d->message_fd >= 0 && queue_read(queue, d->entry.message, d->message_fd, e) &&
           os_memfile_seal(d->message_fd, e);
}

static void start_delivery(struct delivery *d, const struct queue_entry *entry)
{
    struct service_peer *auth = service_peer_of(ROLE_AUTH);
    struct special special;
    struct address to;
    struct err e = {0};

    *d = (struct delivery){.step = STEP_CHECK, .a = ARENA_LIMIT(1 << 20), .entry = *entry,
                           .message_fd = -1, .account = {-1}, .request = next_request++,
                           .deadline_ms = os_monotonic_ms() + DELIVERY_TIMEOUT_MS};
    d->entry.recipient = arena_dup(&d->a, entry->recipient);
    d->entry.reverse_path = arena_dup(&d->a, entry->reverse_path);
    d->entry.account = arena_dup(&d->a, entry->account);
    d->entry.delivery_id = arena_dup(&d->a, entry->delivery_id);
    if (!address_parse_spec(&d->a, d->entry.recipient, &to)) {
        if (!str_eq_ci(d->entry.recipient, STR("postmaster"))) {
            fail_for_good(d, STR("the recipient is no address"));
            return;
        }
        to = (struct address){.localpart = d->entry.recipient};
    }
    special = self.settings.is_localserve ? special_of(to.localpart, SPECIAL_DELIVER)
                                          : (struct special){0};
    if (special.code) {
        put_off(d, arena_printf(&d->a, special.is_timeout ? "%u timeout due to special localpart"
                                                          : "%u failure due to special localpart",
                                special.code), HOUR_S);
        return;
    }
    if (!read_message(d, &e) ||
        !IPC_SEND(&auth->ch, rcpt_check, NULL, 0, &e, .request = d->request, .localpart = to.localpart,
                  .domain = to.domain))
        try_later(d, str_of(e.text));
}

static bool is_under_way(uint64_t entry)
{
    for (size_t i = 0; i < MAX_DELIVERIES; i++)
        if (deliveries[i].step != STEP_FREE && deliveries[i].entry.id == entry)
            return true;
    return false;
}

static struct delivery *free_delivery(void)
{
    for (size_t i = 0; i < MAX_DELIVERIES; i++)
        if (deliveries[i].step == STEP_FREE)
            return &deliveries[i];
    return NULL;
}

// Starts deliveries that are due, as many as there is room for.
static void pump(void)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct queue_entry due[2 * MAX_DELIVERIES];
    struct err e = {0};
    size_t n;

    has_work = false;
    if (!service_peer_of(ROLE_AUTH) || !free_delivery())
        return;
    if (!queue_due(queue, &a, due, COUNT(due), &n, &e)) {
        LOG(LOG_ERROR, "queue", "reading the queue", LOG_E(&e));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct delivery *d = free_delivery();

        if (!d)
            return;
        if (!is_under_way(due[i].id))
            start_delivery(d, &due[i]);
    }
}

/* --- the loop ------------------------------------------------------------------------------------ */

static bool on_queue_list(struct service_peer *p, struct packet *m, struct err *e)
{
    AUTO_BUF out = BUF_LIMIT(IPC_MAX_LINES - 64);
    struct ipc_queue_list list;
    struct err why = {0};
    uint64_t last = 0;
    bool is_ok;

    if (!ipc_queue_list_get(m->body, &list, e))
        return false;
    is_ok = queue_list(queue, list.after, &out, &last, &why);
    return IPC_SEND(&p->ch, admin_reply, NULL, 0, e, .is_ok = is_ok, .more = last,
                    .text = is_ok ? buf_str(&out) : str_of(why.text));
}

static bool on_message(struct service_peer *p, struct packet *m, struct err *e)
{
    switch ((int)m->type) {
    case IPC_submit:
        return on_submit(p, m, e);
    case IPC_submit_rcpt:
        return on_submit_rcpt(p, m, e);
    case IPC_submit_data:
        return on_submit_data(p, m, e);
    case IPC_rcpt_reply:
        return on_rcpt_reply(m, e);
    case IPC_queue_list:
        return on_queue_list(p, m, e);
    default:
        return fail(e, ERR_DENIED, "unexpected message");
    }
}

static bool on_monitor(struct packet *m, struct err *e)
{
    return m->type == IPC_granted ? on_granted(m, e) : fail(e, ERR_BUG, "unexpected message");
}

static void on_opened(struct service_peer *p)
{
    struct submission *s = heap_alloc(sizeof *s);

    s->a = (struct arena)ARENA_LIMIT(4 << 20);
    p->data = s;
    has_work |= p->role == ROLE_AUTH;
}

static void on_closed(struct service_peer *p)
{
    struct submission *s = p->data;

    arena_fini(&s->a);
    free(s);
    if (p->role == ROLE_AUTH) // its answers will not come
        for (size_t i = 0; i < MAX_DELIVERIES; i++)
            if (deliveries[i].step == STEP_CHECK || deliveries[i].step == STEP_OPEN)
                try_later(&deliveries[i], STR("a part of the server was starting again"));
}

static void on_tick(void)
{
    int64_t now = os_monotonic_ms();

    for (size_t i = 0; i < MAX_DELIVERIES; i++)
        if (deliveries[i].step != STEP_FREE && deliveries[i].deadline_ms < now) {
            if (deliveries[i].step == STEP_CHECK)
                try_later(&deliveries[i], STR("no answer about the recipient in time"));
            else
                target_failed(&deliveries[i], STR("the account gave no answer in time"));
        }
    commit();
    has_work = true;
}

// What was submitted is synced at once. What was delivered is noted with it, or within a second:
// until then a crash only repeats a delivery, which the account recognises by its id.
static void on_round_done(void)
{
    if (n_answers)
        commit();
    if (has_work)
        pump();
}

static void on_stop(void)
{
    commit();
    queue_close(queue);
    exit(0);
}

_Noreturn void queue_main(void)
{
    static const struct service_handlers handlers = {.message = on_message, .opened = on_opened,
                                                     .closed = on_closed, .monitor = on_monitor,
                                                     .tick = on_tick, .after = on_round_done,
                                                     .stop = on_stop};
    struct err e = {0};

    role_start(&self, ROLE_QUEUE);
    if (fchdir(self.dirs[0]) || !(queue = queue_open(&e))) {
        LOG(LOG_ERROR, "queue", "cannot start", LOG_E(&e));
        exit(1);
    }
    service_run(&self, &handlers);
}
