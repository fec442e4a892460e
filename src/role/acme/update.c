/*
 * Records of dns-01 by updates of the DNS (RFC 2136): keys writes and signs the message and verifies the answer, dial
 * connects. What was set is looked for by way of resolve, as others will, before the authority is told to look.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/ip.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "policy/dns_update.h"
#include "policy/dns_wire.h"
#include "ipc/resolve.h"
#include "role/acme/acme_role.h"

enum {
    UPDATE_MS = 30 * 1000, // from the beginning to the answer
    ASK_EVERY_MS = 1000,
    SEEN_MS = (DNS_UPDATE_TTL + 30) * 1000, // what was there before may be remembered as long as it said
    MAX_UPDATES = 20,
    MAX_ANSWER = 4096,
};

struct update {
    uint64_t number;
    struct str provider, host, text; // heap
    bool is_set;
    int64_t deadline_ms;
    uint64_t dial_request; // 0: dial is not asked yet
    int fd;
    struct event_source *source;
    struct buf out, in; // with their lengths (RFC 1035 4.2.2)
    size_t n_sent;
    /* When it is done, and is to be seen: */
    bool is_done;
    int64_t next_question_ms;
    uint64_t question;
    struct update *next;
};

static struct update *updates;

static void disconnect(struct update *u)
{
    event_remove(service_loop(), u->source);
    u->source = NULL;
    fd_close(&u->fd);
}

// why: NULL when it is done.
static void finish(struct update *u, const struct err *why)
{
    struct update **at = &updates;
    uint64_t number = u->number;

    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    disconnect(u);
    if (why && !u->is_set)
        LOG(LOG_ERROR, "autotls", "a record is not removed from the DNS", LOG_S("host", u->host), LOG_E(why));
    heap_free(&u->provider);
    heap_free(&u->host);
    heap_free(&u->text);
    buf_fini(&u->out);
    buf_fini(&u->in);
    free(u);
    work_updated(number, why);
}

static void fail_update(struct update *u, const struct err *e)
{
    struct err why = *e;

    (void)fail_in(&why, "updating the DNS");
    finish(u, &why);
}

/* --- the message ------------------------------------------------------------------------------------------------ */

static bool write_message(struct update *u, struct err *e)
{
    struct str message;

    if (!ACME_ASK(&message, e, acme_update, .provider = u->provider, .host = u->host, .text = u->text,
                  .is_set = u->is_set))
        return false;
    buf_put_char(&u->out, (char)(unsigned char)(message.n >> 8));
    buf_put_char(&u->out, (char)(unsigned char)message.n);
    buf_put(&u->out, message);
    return true;
}

static bool verify(const struct update *u, struct str answer, struct err *e)
{
    struct str sent = str_from(buf_str(&u->out), 2), none;
    const struct provider *p = acme_provider(u->provider);
    AUTO_BUF input = BUF_LIMIT(2 * MAX_ANSWER);
    struct dns_update_answer got;

    if (!p || !p->dns.server.n)
        return fail(e, ERR_TEMPORARY, "the server is no longer configured");
    if (!dns_update_answer_parse(answer, dns_update_id(sent), p->dns.key_name, &got, e))
        return false;
    if (got.is_signed && got.mac.n) { // without one it says that it did not believe us (RFC 8945 5.3.2)
        if (got.mac.n != SHA256_BYTES)
            return fail(e, ERR_DENIED, "the answer's signature is wrong");
        dns_update_answer_put_signed(&input, answer, &got, p->dns.key_name, dns_update_mac(sent));
        if (!ACME_ASK(&none, e, acme_verify, .provider = u->provider, .bytes = buf_str(&input), .mac = got.mac))
            return false;
    } else {
        got.is_signed = false;
    }
    return dns_update_is_done(&got, os_now_unix_ms() / 1000, e);
}

static void take_answer(struct update *u, struct str answer)
{
    struct err e = {0};

    if (!verify(u, answer, &e)) {
        fail_update(u, &e);
        return;
    }
    LOG(LOG_DEBUG, "autotls", "the DNS is updated", LOG_S("host", u->host), LOG_S("does", u->is_set ? STR("set") : STR("clear")));
    disconnect(u);
    if (!u->is_set) {
        finish(u, NULL);
        return;
    }
    u->is_done = true;
    u->deadline_ms = os_monotonic_ms() + SEEN_MS;
    u->next_question_ms = os_monotonic_ms();
}

/* --- the connection ---------------------------------------------------------------------------------------------- */

static bool write_some(struct update *u)
{
    ssize_t n = write(u->fd, u->out.p + u->n_sent, u->out.n - u->n_sent);

    if (n > 0)
        u->n_sent += (size_t)n;
    if (u->n_sent == u->out.n)
        event_change(service_loop(), u->source, EVENT_READ);
    return n >= 0 || errno == EAGAIN || errno == EINTR;
}

// True: it goes on.
static bool read_some(struct update *u, struct err *e)
{
    char bytes[2048];
    ssize_t n = read(u->fd, bytes, sizeof bytes);
    size_t length;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n < 0)
        return fail_errno(e, "reading its answer");
    if (!n)
        return fail(e, ERR_TEMPORARY, "the server ends the connection without an answer");
    buf_put(&u->in, str_at(bytes, (size_t)n));
    length = u->in.n < 2 ? 0 : (size_t)((unsigned char)u->in.p[0] << 8 | (unsigned char)u->in.p[1]);
    if (u->in.full || length > MAX_ANSWER)
        return fail(e, ERR_LIMIT, "the server's answer is too long");
    return u->in.n < 2 || u->in.n < 2 + length;
}

static void on_socket(void *ctx, int events)
{
    struct update *u = ctx;
    struct err e = {0};

    if ((events & EVENT_WRITE) && u->n_sent < u->out.n && !write_some(u)) {
        (void)fail_errno(&e, "sending it");
        fail_update(u, &e);
    } else if ((events & EVENT_READ) && !read_some(u, &e)) {
        if (e.kind)
            fail_update(u, &e);
        else
            take_answer(u, str_sub(buf_str(&u->in), 2, (size_t)((unsigned char)u->in.p[0] << 8 | (unsigned char)u->in.p[1])));
    }
}

static void ask_dial(struct update *u)
{
    const struct provider *p = acme_provider(u->provider);
    struct service_peer *dial = service_peer_of(ROLE_DIAL);
    struct err e = {0};
    struct ip ip;

    if (!dial) // it is starting
        return;
    u->dial_request = acme_next_request();
    if (!p || !ip_parse(p->dns.server, &ip))
        (void)fail(&e, ERR_TEMPORARY, "the server is no longer configured");
    if (e.kind || !IPC_SEND(&dial->ch, dial, NULL, 0, &e, .request = u->dial_request, .address = ip_bytes(&ip),
                            .port = p->dns.port, .timeout_ms = UPDATE_MS))
        fail_update(u, &e);
}

bool update_dialed(struct packet *m, struct err *e)
{
    struct update *u = updates;
    struct ipc_dialed dialed;
    struct err why = {0};

    if (!ipc_dialed_get(m->body, &dialed, e))
        return false;
    while (u && u->dial_request != dialed.request)
        u = u->next;
    if (!u || u->fd >= 0 || u->is_done)
        return true; // given up meanwhile
    if (dialed.outcome != IPC_DIAL_OK || !m->n_fds) {
        (void)fail(&why, ERR_TEMPORARY, "connecting: %.*s", STR_FMT(dialed.why));
    } else {
        u->fd = packet_take_fd(m, 0);
        if (write_message(u, &why))
            u->source = event_add(service_loop(), u->fd, EVENT_READ | EVENT_WRITE, on_socket, u, &why);
    }
    if (!u->source)
        fail_update(u, &why);
    return true;
}

/* --- seeing it ------------------------------------------------------------------------------------------------------ */

static void ask_resolve(struct update *u, int64_t now)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct service_peer *resolve = service_peer_of(ROLE_RESOLVE);
    struct err e = {0};

    u->next_question_ms = now + ASK_EVERY_MS;
    if (u->question || !resolve)
        return;
    u->question = acme_next_request();
    if (!IPC_SEND(&resolve->ch, resolve, NULL, 0, &e, .request = u->question, .type = DNS_TXT,
                  .name = arena_printf(&a, "_acme-challenge.%.*s", STR_FMT(u->host))))
        LOG(LOG_DEBUG, "autotls", "asking for the record", LOG_E(&e));
}

bool update_resolved(struct packet *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct update *u = updates;
    struct ipc_resolved resolved;
    struct dns_answer answer;
    struct err why = {0};

    if (!ipc_resolved_get(m->body, &resolved, e))
        return false;
    while (u && (!u->question || u->question != resolved.request))
        u = u->next;
    if (!u)
        return true;
    u->question = 0;
    if (!resolve_take_answer(&a, DNS_TXT, &resolved, &answer, &why))
        return true; // it is asked again
    for (size_t i = 0; i < answer.n; i++)
        if (str_eq(answer.records[i].data, u->text)) {
            LOG(LOG_DEBUG, "autotls", "the record can be seen", LOG_S("host", u->host));
            finish(u, NULL);
            return true;
        }
    return true;
}

/* --- all of them --------------------------------------------------------------------------------------------------------- */

uint64_t update_begin(const struct provider *p, struct str host, struct str text, bool is_set, struct err *e)
{
    struct update *u;
    size_t n = 0;

    for (u = updates; u; u = u->next)
        n++;
    if (n >= MAX_UPDATES) {
        (void)fail(e, ERR_TEMPORARY, "too many updates of the DNS at once");
        return 0;
    }
    u = heap_alloc(sizeof *u);
    *u = (struct update){.number = acme_next_request(), .provider = heap_dup(p->name), .host = heap_dup(host),
                         .text = heap_dup(text), .is_set = is_set, .deadline_ms = os_monotonic_ms() + UPDATE_MS,
                         .fd = -1, .out = BUF_LIMIT(DNS_UPDATE_MAX + 2), .in = BUF_LIMIT(2 * MAX_ANSWER), .next = updates};
    updates = u;
    return u->number;
}

// What is to be done with one of them may end others: keys is heard meanwhile. So one in a round is enough.
static bool look_at(struct update *u, int64_t now)
{
    struct err e = {0};

    if (now >= u->deadline_ms && u->is_done) {
        // Our view need not be that of the authority, which will say so if it is.
        LOG(LOG_INFO, "autotls", "the record of a challenge cannot be seen from here", LOG_S("host", u->host));
        finish(u, NULL);
    } else if (now >= u->deadline_ms) {
        (void)fail(&e, ERR_TEMPORARY, "no answer in time");
        fail_update(u, &e);
    } else if (!u->dial_request) {
        ask_dial(u);
    } else if (u->is_done && now >= u->next_question_ms) {
        ask_resolve(u, now);
    } else {
        return false;
    }
    return true;
}

void update_tick(void)
{
    int64_t now = os_monotonic_ms();

    for (struct update *u = updates; u; u = u->next)
        if (look_at(u, now))
            return;
}
