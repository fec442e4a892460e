/*
 * Messages of the queue to one destination, until there are no more.
 */
#include <unistd.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/process.h"
#include "role/deliver/deliver.h"

enum { IDLE_MS = 10 * 1000, POLICY_MS = 90 * 1000 };

bool message_read(struct message *m, uint64_t at, struct str *out)
{
    if (at < m->block_at || at - m->block_at >= m->block_n) {
        size_t size = m->info.size < BLOCK_BYTES ? (size_t)m->info.size : BLOCK_BYTES;
        ssize_t got;

        if (!m->block)
            m->block = arena_alloc(&m->a, size);
        m->block_n = 0;
        got = pread(m->fd, m->block, size, (off_t)at);
        if (got <= 0)
            return false;
        m->block_at = at;
        m->block_n = (size_t)got;
    }
    *out = str_from(str_at(m->block, m->block_n), (size_t)(at - m->block_at));
    return true;
}

// Until the results of the message before this one are noted.
static bool wait_noted(struct deliver *d)
{
    struct ipc_deliver_noted noted;
    struct err e = {0};

    if (!d->unnoted)
        return true;
    if (!channel_expect(&d->queue, IPC_deliver_noted, d->packet, IPC_MS, &e) ||
        !ipc_deliver_noted_get(d->packet->body, &noted, &e) || noted.message != d->unnoted) {
        LOG(LOG_INFO, "deliver", "the queue does not note what was sent", LOG_E(&e));
        return false;
    }
    d->unnoted = 0;
    return true;
}

bool deliver_may_end(struct deliver *d)
{
    d->is_ending = !wait_noted(d) || channel_has_ended(&d->queue);
    return !d->is_ending;
}

static void copy_texts(struct arena *a, struct ipc_deliver_message *m)
{
    m->reverse_path = arena_dup(a, m->reverse_path);
    m->envid = arena_dup(a, m->envid);
    m->tried = arena_dup(a, m->tried);
}

static bool take_rcpts(struct deliver *d, struct message *m, struct err *e)
{
    m->rcpts = ARENA_ARRAY(&m->a, m->info.recipients, struct rcpt);
    for (; m->n < m->info.recipients; m->n++) {
        struct ipc_deliver_rcpt r;

        if (!channel_expect(&d->queue, IPC_deliver_rcpt, d->packet, IPC_MS, e) ||
            !ipc_deliver_rcpt_get(d->packet->body, &r, e))
            return false;
        m->rcpts[m->n] = (struct rcpt){.entry = r.entry, .address = arena_dup(&m->a, r.address),
                                       .orcpt = arena_dup(&m->a, r.orcpt), .notify = r.notify};
    }
    return true;
}

// What was not begun or not ended because the process is to end has none, and neither has its message.
static bool send_results(struct deliver *d, struct message *m, struct err *e)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct rcpt *r = &m->rcpts[i];
        AUTO_BUF ip = BUF_LIMIT(64);

        if (d->is_ending && r->outcome == IPC_FAILED_FOR_NOW && !r->f.code)
            continue;
        if (r->f.has_ip)
            ip_put(&ip, &r->f.ip);
        if (!IPC_SEND(&d->queue, deliver_result, NULL, 0, e, .entry = r->entry,
                      .outcome = (uint8_t)r->outcome, .code = r->f.code,
                      .enhanced = str_sub(r->f.enhanced, 0, 12),
                      .text = str_sub(r->f.text, 0, IPC_MAX_TEXT),
                      .mta = str_sub(r->f.mta, 0, IPC_MAX_ADDRESS), .ip = buf_str(&ip),
                      .is_tls = r->is_tls,
                      .is_dsn_passed = r->is_dsn_passed && r->outcome == IPC_DELIVERED))
            return false;
    }
    if (d->is_ending)
        return fail(e, ERR_TEMPORARY, "a part of the server is going, or has gone");
    return IPC_SEND(&d->queue, deliver_end, NULL, 0, e, .message = m->info.message,
                    .tried = m->tried.full ? STR("") : buf_str(&m->tried), .is_unreached = m->is_unreached);
}

// One message, from its first word to its results.
static bool serve(struct deliver *d, struct err *e)
{
    struct message m = {.a = ARENA_LIMIT(64 << 20), .fd = -1, .tried = BUF_LIMIT(IPC_MAX_TRIED)};
    bool is_ok = ipc_deliver_message_get(d->packet->body, &m.info, e);

    if (is_ok) {
        m.fd = packet_take_fd(d->packet, 0);
        copy_texts(&m.a, &m.info);
        is_ok = take_rcpts(d, &m, e);
    }
    if (is_ok) {
        deliver_send(d, &m);
        // What was not ended in between must be noted before this can be.
        is_ok = wait_noted(d) && send_results(d, &m, e);
        d->unnoted = m.info.message;
    }
    buf_fini(&m.tried);
    fd_close(&m.fd);
    arena_fini(&m.a);
    return is_ok;
}

static bool take_way(struct deliver *d, struct err *e)
{
    if (!channel_expect(&d->queue, IPC_deliver_way, d->packet, IPC_MS, e) ||
        !ipc_deliver_way_get(d->packet->body, &d->way, e))
        return false;
    d->way.domain = arena_dup(&d->arena, d->way.domain);
    d->way.host = arena_dup(&d->arena, d->way.host);
    d->way.username = arena_dup(&d->arena, d->way.username);
    d->way.password = arena_dup(&d->arena, d->way.password);
    d->way.mechanisms = arena_dup(&d->arena, d->way.mechanisms);
    d->hello = d->way.hello.n ? arena_dup(&d->arena, d->way.hello) : d->start->settings.hostname;
    return true;
}

// The policy of the domain itself, not of what it is an alias of (RFC 8461 3.4).
static bool ask_policy(struct deliver *d, struct err *e)
{
    uint8_t known = 1;
    struct mtasts_record record = {0};
    struct ipc_sts_answer m;
    struct str domain, text;
    bool is_secure;

    if (d->way.way == IPC_WAY_RELAY || !mtasts_domain_of(&d->arena, d->way.domain, &domain))
        return true;
    d->resolver.deadline_ms = os_monotonic_ms() + deliver_timeout(d, CONNECT_MS);
    if (!mtasts_find(&d->dns, &d->arena, domain, &record, &text, &is_secure, e))
        known = e->kind == ERR_TEMPORARY ? 2 : 0;
    *e = (struct err){0};
    if (!IPC_SEND(&d->queue, sts_ask, NULL, 0, e, .domain = domain, .record = known,
                  .id = known == 1 ? record.id : STR("")) ||
        !channel_expect(&d->queue, IPC_sts_answer, d->packet, POLICY_MS, e) ||
        !ipc_sts_answer_get(d->packet->body, &m, e))
        return false;
    d->sts = m.status == 2 ? STS_OF_DOMAIN : m.status == 3 ? STS_NOT_KNOWN : STS_OF_NONE;
    d->sts_failure = (enum tls_failure)m.failure;
    d->sts_reason = arena_dup(&d->arena, m.reason);
    d->policy.mode = (enum mtasts_mode)m.mode;
    d->policy.max_age = m.max_age;
    return mtasts_mx_parse(&d->arena, m.mx, &d->policy, e);
}

void deliver_serve(struct deliver *d)
{
    struct err e = {0};

    if (!take_way(d, &e)) {
        LOG(LOG_INFO, "deliver", "no destination", LOG_E(&e));
        return;
    }
    os_title_set("mox: deliver %.*s", STR_FMT(d->way.domain.n ? d->way.domain : d->way.host));
    if (!ask_policy(d, &e)) {
        LOG(LOG_INFO, "deliver", "no answer about the domain's policy", LOG_E(&e));
        return;
    }
    for (;;) {
        enum channel_result r = channel_receive(&d->queue, d->packet, IDLE_MS, &e);

        if (r == CHANNEL_MESSAGE && d->packet->type == IPC_deliver_noted) {
            d->unnoted = 0;
            continue;
        }
        if (r != CHANNEL_MESSAGE || d->packet->type != IPC_deliver_message ||
            channel_has_ended(&d->queue))
            break;
        if (!serve(d, &e)) {
            LOG(LOG_INFO, "deliver", "ended", LOG_E(&e));
            break;
        }
    }
    channel_close(&d->queue); // it may wait for the end of this
    conn_quit(d);
}
