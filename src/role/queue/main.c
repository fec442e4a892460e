/*
 * queue: mail that was accepted, until its recipients have it. It reads envelopes and schedules,
 * and parses no message.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "queue/manage.h"
#include "role/own_mail.h"
#include "role/queue/queue_role.h"

struct queue_role queue_role;
static enum { RUNNING, STOPPING_OUTGOING, STOPPING } stopping;

// One sync for all that has gathered; then those who wait hear it.
bool queue_role_commit(void)
{
    struct err why = {0};
    bool is_ok = queue_commit(queue_role.queue, &why);

    if (!is_ok && !submit_is_waiting())
        LOG(LOG_ERROR, "queue", "cannot note deliveries; they will be repeated and recognised",
            LOG_E(&why));
    queue_role.has_work |= submit_is_waiting();
    submit_committed(is_ok, &why);
    outgoing_committed(is_ok);
    return is_ok;
}

// Reports that came of the last results are on the disk before they are given out.
static bool settle(void)
{
    return !queue_has_new(queue_role.queue) || queue_role_commit();
}

// Looks at entries whose way is not known or leads to an account of ours, as many as there is room for.
static bool pump_local(struct err *e)
{
    bool found = true;

    while (found && local_has_room() && settle()) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 16);
        struct queue_entry entry;

        if (!queue_next(queue_role.queue, &a, &entry, &found, e))
            return false;
        if (found)
            local_start(&entry);
    }
    return true;
}

// What is on the account's suppression list has failed before it begins.
static bool is_wanted(const struct queue_entry *entry, struct err *e)
{
    bool is_suppressed;

    if (!queue_is_suppressed(queue_role.queue, entry, &is_suppressed, e)) {
        LOG(LOG_ERROR, "queue", "reading the suppression list", LOG_E(e));
        return true;
    }
    if (is_suppressed && !queue_result(queue_role.queue, entry, &queue_suppressed_attempt, e))
        LOG(LOG_ERROR, "queue", "cannot note an attempt", LOG_E(e));
    return !is_suppressed;
}

// A domain that other entries were found to be at another server for: what came from outside stays here
// all the same.
static bool may_leave(const struct queue_entry *entry, struct err *e)
{
    static const struct attempt refused = {
        .class = ATTEMPT_PERMANENT, .code = 550, .enhanced = STR_("5.7.1"),
        .text = STR_("it came from outside, and the recipient is at another server")};

    if (entry->origin != QUEUE_FROM_OUTSIDE)
        return true;
    if (!queue_result(queue_role.queue, entry, &refused, e))
        LOG(LOG_ERROR, "queue", "cannot note an attempt", LOG_E(e));
    return false;
}

bool queue_role_may_send(const struct queue_entry *entry)
{
    struct err e = {0};

    return may_leave(entry, &e) && is_wanted(entry, &e);
}

static bool take_remote(struct arena *a, size_t *n_taken, struct err *e)
{
    struct queue_entry *all = ARENA_ARRAY(a, QUEUE_MAX_BATCH, struct queue_entry);
    size_t n, kept = 0;

    *n_taken = 0;
    if (!queue_next_remote(queue_role.queue, a, outgoing_may, NULL, all, QUEUE_MAX_BATCH, &n, e))
        return false;
    *n_taken = n;
    for (size_t i = 0; i < n; i++)
        if (queue_role_may_send(&all[i]))
            all[kept++] = all[i];
    if (kept)
        outgoing_take(all, kept);
    return true;
}

static bool pump_remote(struct err *e)
{
    bool is_ok = true, has_taken = false;

    for (size_t n = 1; is_ok && n && outgoing_has_room() && settle();) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);

        is_ok = take_remote(&a, &n, e);
        has_taken = has_taken || n;
    }
    // Not before this is on the disk: after a crash nobody knows of a connection that was open.
    if (has_taken)
        outgoing_go(queue_role_commit());
    return is_ok;
}

// Starts deliveries that are due.
static void pump(void)
{
    struct err e = {0};

    queue_role.has_work = false;
    if (!service_peer_of(ROLE_AUTH) || stopping == STOPPING)
        return;
    if (!pump_local(&e) || !pump_remote(&e))
        LOG(LOG_ERROR, "queue", "reading the queue", LOG_E(&e));
}

static bool on_message(struct service_peer *p, struct packet *m, struct err *e)
{
    switch ((int)m->type) {
    case IPC_submit:
    case IPC_submit_rcpt:
    case IPC_submit_data:
        return submit_message(p, m, e);
    case IPC_rcpt_reply:
        return local_rcpt_reply(m, e);
    case IPC_relay_grant:
        return passing_granted(m, e);
    case IPC_returned:
        return fromid_returned(p, m, e);
    case IPC_queue_command:
        return command_message(p, m, e);
    default:
        return fail(e, ERR_DENIED, "unexpected message");
    }
}

static bool on_config(struct packet *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(2 * COMPILED_MAX_BYTES);
    struct ipc_config config;
    struct str text;

    down_forget(); // the way there may be another now
    return ipc_config_get(m->body, &config, e) && role_read_config(m, &a, &text, e) &&
           transports_use(text, e) && fromid_use(text, e) &&
           IPC_SEND(&queue_role.start.monitor, config_done, NULL, 0, e, .number = config.number);
}

static bool on_monitor(struct packet *m, struct err *e)
{
    switch ((int)m->type) {
    case IPC_granted:
        return local_granted(m, e);
    case IPC_deliver_made:
        return outgoing_made(m, e);
    case IPC_fetch_made:
        return sts_made(m, e);
    case IPC_config:
        return on_config(m, e);
    default:
        return fail(e, ERR_BUG, "unexpected message");
    }
}

static void on_opened(struct service_peer *p)
{
    submit_opened(p);
    queue_role.has_work |= p->role == ROLE_AUTH;
}

static void on_closed(struct service_peer *p)
{
    submit_closed(p);
    if (p->role == ROLE_SESSION)
        passing_closed(p->conn);
    if (p->role == ROLE_AUTH)
        local_auth_closed();
}

// A few at a time: what is kept by many accounts may run out together.
static void forget_retired(void)
{
    enum { AT_ONCE = 1000, EVERY_MS = 3600 * 1000 };
    static int64_t next_ms;
    struct err e = {0};
    size_t n = 0;

    if (os_monotonic_ms() < next_ms)
        return;
    if (!queue_forget_retired(queue_role.queue, AT_ONCE, &n, &e))
        LOG(LOG_ERROR, "queue", "forgetting retired messages", LOG_E(&e));
    if (n < AT_ONCE)
        next_ms = os_monotonic_ms() + EVERY_MS;
}

static void show_held(void)
{
    struct err e = {0};
    uint64_t n;

    if (queue_count_held(queue_role.queue, &n, &e))
        METRIC_SET(queue_hold, n, 0);
    else
        LOG(LOG_ERROR, "queue", "counting what is on hold", LOG_E(&e));
}

static void on_tick(void)
{
    show_held();
    forget_retired();
    passing_tick();
    local_tick();
    outgoing_tick();
    sts_tick();
    (void)queue_role_commit();
    queue_role.has_work = true;
}

// What was submitted is synced at once. What was delivered is noted with it, or within a second:
// until then a crash only repeats a delivery, which the account recognises by its id.
static void on_round_done(void)
{
    if (submit_is_waiting() || outgoing_is_waiting())
        (void)queue_role_commit();
    if (stopping && outgoing_stop() && stopping == STOPPING) {
        (void)queue_role_commit();
        queue_close(queue_role.queue);
        exit(0);
    }
    if (queue_role.has_work)
        pump();
}

// The first time sessions may still have something to submit. on_round_done follows.
static void on_stop(void)
{
    stopping = stopping ? STOPPING : STOPPING_OUTGOING;
}

_Noreturn void queue_main(void)
{
    static const struct service_handlers handlers = {.message = on_message, .opened = on_opened,
                                                     .closed = on_closed, .monitor = on_monitor,
                                                     .tick = on_tick, .after = on_round_done,
                                                     .stop = on_stop};
    struct err e = {0};

    role_start(&queue_role.start, ROLE_QUEUE);
    if (fchdir(queue_role.start.dirs[0]) || !(queue_role.queue = queue_open(&e)) ||
        !transports_use(queue_role.start.config, &e) || !fromid_use(queue_role.start.config, &e)) {
        LOG(LOG_ERROR, "queue", "cannot start", LOG_E(&e));
        exit(1);
    }
    down_begin();
    local_begin();
    sts_begin();
    queue_set_hostname(queue_role.queue, queue_role.start.settings.hostname);
    queue_set_signer(queue_role.queue, own_mail_sign);
    service_run(&queue_role.start, &handlers);
}
