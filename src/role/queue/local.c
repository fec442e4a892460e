/*
 * Deliveries to accounts of ours: auth says whose the recipient is, the monitor gives a channel to each
 * account, which is offered the message and keeps it.
 */
#include <stdlib.h>

#include "base/log.h"
#include "message/header.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/queue/queue_role.h"
#include "role/special.h"

enum {
    MAX_DELIVERIES = 16, // at once
    MAX_SILENT = MAX_DELIVERIES / 4, // of those, at one account that has not answered for long: the others are for others
    SILENT_MS = 20 * 1000,
    ANSWER_TIMEOUT_MS = 60 * 1000,  // of an account
    OTHERS_TIMEOUT_MS = 300 * 1000, // of auth and the monitor
};

struct reply {
    unsigned code;
    struct str enhanced, text;
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
    bool has_it, is_list;             // one of them; the recipient is a list
    struct str failed;                // why another does not have it for now
    struct reply refused;             // or for good
    int64_t started_unix, started_ms;
    int message_fd;
    struct channel account;
    uint64_t account_number; // the same for the same account
    int64_t asked_ms;        // it
    struct event_source *source;
};

static struct delivery deliveries[MAX_DELIVERIES];
static uint64_t next_request = 1;
static int64_t silent_ms = SILENT_MS;

void local_begin(void)
{
    const char *setting = getenv("MOX_SILENT_MS"); // tests do not wait for so long
    uint64_t ms;

    if (setting && str_u64(str_of(setting), SILENT_MS, &ms))
        silent_ms = (int64_t)ms;
}

static void finish(struct delivery *d)
{
    event_remove(service_loop(), d->source);
    d->source = NULL;
    if (d->account.fd >= 0)
        channel_close(&d->account);
    fd_close(&d->message_fd);
    arena_fini(&d->a);
    d->step = STEP_FREE;
    queue_role.has_work = true;
}

static void end_with(struct delivery *d, const struct attempt *attempt)
{
    struct err e = {0};

    if (attempt->class == ATTEMPT_DELIVERED)
        LOG(LOG_INFO, "queue", "delivered", LOG_S("to", d->entry.recipient));
    else
        LOG(LOG_INFO, "queue",
            attempt->class == ATTEMPT_PERMANENT ? "delivery failed" : "delivery put off",
            LOG_S("to", d->entry.recipient), LOG_S("why", attempt->text));
    if (!queue_result(queue_role.queue, &d->entry, attempt, &e))
        LOG(LOG_ERROR, "queue", "cannot note an attempt; it will be repeated and recognised",
            LOG_E(&e));
    finish(d);
}

static void end(struct delivery *d, enum attempt_class class, unsigned code, struct str enhanced,
                struct str text)
{
    end_with(d, &(struct attempt){.class = class, .code = code, .enhanced = enhanced, .text = text,
                                  .is_list = d->is_list, .started_unix = d->started_unix,
                                  .duration_ms = os_monotonic_ms() - d->started_ms});
}

static void try_later(struct delivery *d, struct str why)
{
    end(d, ATTEMPT_TEMPORARY, 0, STR(""), why);
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
        end(d, ATTEMPT_DELIVERED, 250, STR("2.0.0"), STR(""));
    else
        end(d, ATTEMPT_PERMANENT, d->refused.code, d->refused.enhanced, d->refused.text);
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
    d->deadline_ms = os_monotonic_ms() + OTHERS_TIMEOUT_MS;
    if (!IPC_SEND(&queue_role.start.monitor, deliver_open, NULL, 0, &e, .grant = d->grant + d->target))
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

static bool read_message(struct delivery *d, struct err *e)
{
    d->message_fd = os_memfile("message", e);
    return d->message_fd >= 0 && queue_read(queue_role.queue, d->entry.message, d->message_fd, e) &&
           os_memfile_seal(d->message_fd, e);
}

// Then it waits with the others for there.
static void at_another_server(struct delivery *d)
{
    if (d->entry.origin == QUEUE_FROM_OUTSIDE) {
        end(d, ATTEMPT_PERMANENT, 550, STR("5.7.1"),
            STR("it came from outside, and the recipient is at another server"));
        return;
    }
    queue_put_back(queue_role.queue, &d->entry);
    queue_is_remote(queue_role.queue, &d->entry);
    finish(d);
}

// A report to an address that was made for somebody elsewhere: it goes there as another message. Nothing
// but reports does (RFC 5321 4.5.5: those have no reverse path).
static void return_to(struct delivery *d, struct str address)
{
    const struct queue_recipient to = {.address = arena_dup(&d->a, address)};
    struct queue_new m = {.origin = QUEUE_OWN_REPORT, .recipients = &to, .n_recipients = 1,
                          .size = d->entry.size, .is_8bit = d->entry.is_8bit,
                          .is_binary = d->entry.is_binary, .is_smtputf8 = d->entry.is_smtputf8,
                          .require_tls = d->entry.require_tls, .message_id = d->entry.message_id};
    struct err e = {0};

    if (d->entry.reverse_path.n) {
        end(d, ATTEMPT_PERMANENT, 550, STR("5.7.1"), STR("this address takes reports about mail only"));
        return;
    }
    if (!read_message(d, &e)) {
        try_later(d, str_of(e.text));
        return;
    }
    m.fd = d->message_fd;
    if (!queue_add(queue_role.queue, &m, &e))
        try_later(d, str_of(e.text));
    else
        end(d, ATTEMPT_DELIVERED, 250, STR("2.0.0"), STR(""));
}

bool local_rcpt_reply(struct packet *m, struct err *e)
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
    d->is_list = r.is_list;
    if (r.elsewhere.n)
        return_to(d, r.elsewhere);
    else if (r.code >= 500)
        end(d, ATTEMPT_PERMANENT, r.code, r.enhanced, r.text);
    else if (r.code != 250)
        end(d, ATTEMPT_TEMPORARY, r.code, r.enhanced, r.text);
    else if (!r.n_grants)
        at_another_server(d);
    else if (!read_message(d, e))
        try_later(d, str_of(e->text));
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

static void ask(struct delivery *d, enum step step)
{
    d->step = step;
    d->asked_ms = os_monotonic_ms();
    d->deadline_ms = d->asked_ms + ANSWER_TIMEOUT_MS;
}

static bool is_silent(const struct delivery *d)
{
    return (d->step == STEP_OFFER || d->step == STEP_COMMIT) && os_monotonic_ms() - d->asked_ms >= silent_ms;
}

// Whether so many others wait for the account already, which may have been taken over, that this one is to wait elsewhere.
static bool is_past_share(const struct delivery *d)
{
    size_t n = 0;

    for (size_t i = 0; i < MAX_DELIVERIES; i++)
        n += &deliveries[i] != d && is_silent(&deliveries[i]) && deliveries[i].account_number == d->account_number;
    return n >= MAX_SILENT;
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
        if (!d->refused.code)
            d->refused = (struct reply){v.code, arena_dup(&d->a, v.enhanced),
                                        arena_dup(&d->a, v.text)};
        end_target(d);
    } else if (v.code != 250) {
        target_failed(d, v.text);
    } else if (d->step == STEP_OFFER) {
        ask(d, STEP_COMMIT);
        if (!IPC_SEND(&d->account, commit, NULL, 0, &e))
            target_failed(d, str_of(e.text));
    } else {
        d->has_it = true;
        end_target(d);
    }
    packet_close_fds(m);
    packet_free(m);
}

bool local_granted(struct packet *m, struct err *e)
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
    d->account_number = g.account;
    if (is_past_share(d)) {
        target_failed(d, STR("the account gives no answer"));
        return true;
    }
    ask(d, STEP_OFFER);
    d->source = event_add(service_loop(), d->account.fd, EVENT_READ, on_account, d, e);
    if (!d->source || !send_offer(d, e))
        target_failed(d, str_of(e->text));
    return true;
}

static struct delivery *free_delivery(void)
{
    for (size_t i = 0; i < MAX_DELIVERIES; i++)
        if (deliveries[i].step == STEP_FREE)
            return &deliveries[i];
    return NULL;
}

bool local_has_room(void)
{
    return free_delivery() != NULL;
}

// For an account of ours, whatever its addresses lead to; reports to others go by their address.
static bool is_own_report(const struct delivery *d)
{
    return d->entry.origin == QUEUE_OWN_REPORT && d->entry.account.n;
}

void local_start(const struct queue_entry *entry)
{
    struct service_peer *auth = service_peer_of(ROLE_AUTH);
    struct delivery *d = free_delivery();
    struct special special;
    struct address to;
    bool is_suppressed;
    struct err e = {0};

    *d = (struct delivery){.step = STEP_CHECK, .a = ARENA_LIMIT(1 << 20), .message_fd = -1,
                           .account = {-1}, .request = next_request++,
                           .started_unix = os_now_unix(), .started_ms = os_monotonic_ms(),
                           .deadline_ms = os_monotonic_ms() + OTHERS_TIMEOUT_MS};
    d->entry = queue_entry_dup(&d->a, entry);
    if (is_own_report(d)) {
        if (!IPC_SEND(&auth->ch, report_check, NULL, 0, &e, .request = d->request,
                      .account = d->entry.account))
            try_later(d, str_of(e.text));
        return;
    }
    if (!queue_is_suppressed(queue_role.queue, &d->entry, &is_suppressed, &e)) {
        try_later(d, str_of(e.text));
        return;
    }
    if (is_suppressed) {
        end_with(d, &queue_suppressed_attempt);
        return;
    }
    if (!address_parse_spec(&d->a, d->entry.recipient, &to)) {
        if (!str_eq_ci(d->entry.recipient, STR("postmaster"))) {
            end(d, ATTEMPT_PERMANENT, 553, STR("5.1.3"), STR("the recipient is no address"));
            return;
        }
        to = (struct address){.localpart = d->entry.recipient};
    }
    special = queue_role.start.settings.is_localserve ? special_of(to.localpart, SPECIAL_DELIVER)
                                                      : (struct special){0};
    if (special.code) {
        end(d, special.code < 500 ? ATTEMPT_TEMPORARY : ATTEMPT_PERMANENT, special.code, STR(""),
            special.is_timeout ? STR("timeout due to special localpart")
                               : STR("failure due to special localpart"));
        return;
    }
    if (!IPC_SEND(&auth->ch, rcpt_check, NULL, 0, &e, .request = d->request,
                  .reverse_path = d->entry.reverse_path, .localpart = to.localpart, .domain = to.domain))
        try_later(d, str_of(e.text));
}

void local_auth_closed(void)
{
    for (size_t i = 0; i < MAX_DELIVERIES; i++) // its answers will not come
        if (deliveries[i].step == STEP_CHECK || deliveries[i].step == STEP_OPEN)
            try_later(&deliveries[i], STR("a part of the server was starting again"));
}

bool local_is_asking(struct str domain)
{
    for (size_t i = 0; i < MAX_DELIVERIES; i++)
        if (deliveries[i].step == STEP_CHECK && str_eq(deliveries[i].entry.domain, domain))
            return true;
    return false;
}

void local_tick(void)
{
    int64_t now = os_monotonic_ms();

    for (struct delivery *d = deliveries; d < deliveries + MAX_DELIVERIES; d++)
        if (d->step == STEP_CHECK && d->deadline_ms < now)
            try_later(d, STR("no answer about the recipient in time"));
        else if (d->step != STEP_FREE && d->deadline_ms < now)
            target_failed(d, STR("the account gave no answer in time"));
        else if (is_silent(d) && is_past_share(d))
            target_failed(d, STR("the account gives no answer"));
}
