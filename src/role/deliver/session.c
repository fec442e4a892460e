/*
 * A connection to a server: connecting, greeting, EHLO, STARTTLS, and the end.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "os/fd.h"
#include "role/deliver/deliver.h"

enum { READ_BYTES = 4096 };

bool failed(struct failure *f, struct arena *a, bool is_permanent, const char *enhanced,
            const char *format, ...)
{
    char text[600];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    *f = (struct failure){.is_permanent = is_permanent, .enhanced = str_of(enhanced),
                          .text = arena_dup(a, str_of(text))};
    return false;
}

static bool failed_here(const struct conn *c, struct failure *f, struct arena *a,
                        const char *enhanced, const char *what, const struct err *e)
{
    failed(f, a, false, enhanced, "%s: %s", what, e->text);
    f->mta = arena_dup(a, c->host);
    f->has_ip = c->has_ip;
    f->ip = c->ip;
    return false;
}

bool failed_reply(const struct conn *c, struct failure *f, struct arena *a, const char *enhanced)
{
    const struct smtp_reply *r = &c->reply;
    struct str text = smtp_reply_line(a, r);

    // A report has the server's words, and no code that it did not say (RFC 3464 2.3.6).
    if (r->enhanced[0])
        text = arena_printf(a, "%s %.*s", r->enhanced, STR_FMT(text));
    *f = (struct failure){.is_permanent = r->code >= 500,
                          .code = r->code,
                          .enhanced = arena_dup(a, str_of(r->enhanced[0] ? r->enhanced : enhanced)),
                          .text = text,
                          .mta = arena_dup(a, c->host),
                          .has_ip = c->has_ip,
                          .ip = c->ip};
    return false;
}

int deliver_timeout(const struct deliver *d, int ms)
{
    return d->cap_ms && d->cap_ms < ms ? d->cap_ms : ms;
}

/* --- reading and writing ------------------------------------------------------------------------ */

static int until_end(const struct deliver *d, int ms)
{
    int64_t left = d->conn.end_ms - os_monotonic_ms();

    ms = deliver_timeout(d, ms);
    return left < ms ? (left > 0 ? (int)left : 0) : ms;
}

bool conn_write(struct deliver *d, struct str bytes, int timeout_ms, struct arena *a,
                struct failure *f)
{
    struct conn *c = &d->conn;
    struct err e = {0};

    if (stream_write(&c->stream, bytes, until_end(d, timeout_ms), &e)) {
        c->said_ms = os_monotonic_ms();
        return true;
    }
    c->is_spent = true;
    return failed_here(c, f, a, "4.4.2", "writing to the server", &e);
}

// One reply, whose lines all come before the deadline: a byte now and then keeps nobody waiting.
bool conn_reply(struct deliver *d, struct str command, int timeout_ms, struct arena *a,
                struct failure *f, bool *is_stale)
{
    int64_t deadline = os_monotonic_ms() + until_end(d, timeout_ms);
    struct conn *c = &d->conn;
    struct err e = {0};

    smtp_reply_reset(&c->reply);
    *is_stale = false;
    for (;;) {
        struct str in = buf_str(&c->in);
        size_t had = in.n, got = 0;
        int64_t left;
        char *room;

        if (!smtp_reply_feed(&c->reply, &in, &e)) {
            c->is_spent = true;
            return failed_here(c, f, a, "4.5.0", "the server's reply", &e);
        }
        buf_drop(&c->in, had - in.n);
        if (c->reply.is_complete)
            break;
        left = deadline - os_monotonic_ms();
        room = buf_room(&c->in, READ_BYTES);
        if (!room || left <= 0 || !stream_read(&c->stream, room, READ_BYTES, (int)left, &got, &e)) {
            c->is_spent = true;
            if (!e.kind)
                fail(&e, ERR_TEMPORARY, "timeout");
            return failed_here(c, f, a, "4.4.2", "waiting for a reply", &e);
        }
        if (!got) {
            c->is_spent = true;
            *is_stale = !c->reply.n_bytes;
            fail(&e, ERR_TEMPORARY, "the server closed the connection");
            return failed_here(c, f, a, "4.4.2", "waiting for a reply", &e);
        }
        buf_claim(&c->in, got);
    }
    METRIC_TIME(smtpclient_command_duration_seconds, os_monotonic_ms() - c->said_ms,
                metric_word(METRIC_smtpclient_command_duration_seconds, 0, command), metric_code(c->reply.code),
                metric_foreign_word(METRIC_smtpclient_command_duration_seconds, 2, str_from(str_of(c->reply.enhanced), 2)));
    LOG(LOG_DEBUG, "deliver", "reply", LOG_S("host", c->host), LOG_N("code", c->reply.code),
        LOG_S("text", buf_str(&c->reply.text)));
    // RFC 5321 3.8: the server is going.
    c->is_spent |= c->reply.code == 421;
    return true;
}

bool conn_command(struct deliver *d, struct str line, int timeout_ms, struct arena *a,
                  struct failure *f)
{
    struct conn *c = &d->conn;
    struct str command = line;
    struct err e = {0};
    bool is_stale;

    for (size_t i = 0; i < line.n && command.n == line.n; i++)
        if (line.p[i] == ' ' || line.p[i] == '\r')
            command = str_sub(line, 0, i);
    // What was said before it was asked would be taken for the answer.
    if (c->in.n) {
        c->is_spent = true;
        fail(&e, ERR_SYNTAX, "more than was asked for");
        return failed_here(c, f, a, "4.5.0", "the server's reply", &e);
    }
    return conn_write(d, line, timeout_ms, a, f) && conn_reply(d, command, timeout_ms, a, f, &is_stale);
}

/* --- the beginning ------------------------------------------------------------------------------ */

static bool dial(struct deliver *d, const struct target *t, int *fd, struct arena *a,
                 struct failure *f)
{
    int timeout_ms = deliver_timeout(d, CONNECT_MS);
    struct ipc_dialed m = {0};
    struct err e = {0};

    if (!IPC_SEND(&d->dial, dial, NULL, 0, &e, .request = ++d->last_request,
                  .address = ip_bytes(t->has_proxy ? &t->proxy : &t->ip),
                  .port = t->has_proxy ? d->way.port : t->port, .timeout_ms = (uint32_t)timeout_ms) ||
        !channel_expect(&d->dial, IPC_dialed, d->packet, timeout_ms + IPC_MS, &e) ||
        !ipc_dialed_get(d->packet->body, &m, &e)) {
        failed(f, a, false, "4.3.0", "connecting: %s", e.text);
        f->is_ours = true;
        return false;
    }
    snprintf(d->seen.local, sizeof d->seen.local, "%.*s", STR_FMT(m.local));
    *fd = packet_take_fd(d->packet, 0);
    packet_close_fds(d->packet);
    if (*fd >= 0)
        return true;
    failed(f, a, false, m.outcome == IPC_DIAL_FORBIDDEN ? "4.4.3" : "4.4.1", "connecting to %.*s: %.*s",
           STR_FMT(t->host), STR_FMT(m.why));
    f->is_ours = m.outcome == IPC_DIAL_FAILED;
    f->mta = arena_dup(a, t->host);
    f->has_ip = true;
    f->ip = t->ip;
    return false;
}

// RFC 5321 3.2: EHLO, and HELO to servers of old; not after STARTTLS, which those do not know.
static bool say_hello(struct deliver *d, bool may_helo, struct arena *a, struct failure *f)
{
    AUTO_BUF line = BUF_LIMIT(1024);
    struct conn *c = &d->conn;
    struct err e = {0};

    if (!smtp_put_hello(&line, true, d->hello, &e))
        return failed_here(c, f, a, "4.3.5", "EHLO", &e);
    if (!conn_command(d, buf_str(&line), COMMAND_MS, a, f))
        return false;
    if (c->reply.code / 100 == 2) {
        smtp_offer_parse(&c->a, buf_str(&c->reply.text), &c->offer);
        return true;
    }
    c->offer = (struct smtp_offer){0};
    if (!may_helo || c->reply.code < 500 || c->reply.code > 504)
        return failed_reply(c, f, a, "4.5.0");
    buf_reset(&line);
    if (!smtp_put_hello(&line, false, d->hello, &e))
        return failed_here(c, f, a, "4.3.5", "HELO", &e);
    return conn_command(d, buf_str(&line), COMMAND_MS, a, f) &&
           (c->reply.code / 100 == 2 || failed_reply(c, f, a, "4.5.0"));
}

// The certificate, as far as the rule wants it.
static bool is_proved(struct deliver *d, const struct target *t, struct arena *a, struct failure *f)
{
    enum tls_worth worth = TLS_VERIFIED;
    struct conn *c = &d->conn;
    struct err e = {0};

    if (t->rule->proof == TLS_PROOF_DANE) {
        worth = tls_verify_dane(c->stream.tls, &e);
        METRIC(dane_verify_total);
        if (worth != TLS_VERIFIED)
            METRIC(dane_verify_errors_total);
    }
    if (t->rule->proof == TLS_PROOF_PKIX)
        worth = tls_verify_roots(d->tls, c->stream.tls, t->host, &e);
    return worth == TLS_VERIFIED ||
           failed_here(c, f, a, "4.7.5",
                       t->rule->proof == TLS_PROOF_DANE
                           ? "the server's certificate does not match its TLSA records"
                           : "the server's certificate is not trusted", &e);
}

static bool handshake(struct deliver *d, const struct target *t, struct arena *a, struct failure *f)
{
    struct tls_target wanted = {.name = t->dane && t->dane->base.n ? t->dane->base : t->host};
    struct conn *c = &d->conn;
    struct err e = {0};

    if (t->dane && t->dane->status == DANE_USABLE) {
        struct tls_association *list = ARENA_ARRAY(a, t->dane->n, struct tls_association);

        for (size_t i = 0; i < t->dane->n; i++)
            list[i] = (struct tls_association){t->dane->records[i].usage, t->dane->records[i].selector,
                                               t->dane->records[i].matching, t->dane->records[i].data};
        wanted.associations = list;
        wanted.n_associations = t->dane->n;
        wanted.names = t->dane->names;
        wanted.n_names = t->dane->n_names;
    }
    if (stream_connect_tls(&c->stream, d->tls, &wanted, until_end(d, HANDSHAKE_MS), &e))
        return true;
    c->is_spent = true;
    return failed_here(c, f, a, "4.7.5", "STARTTLS", &e);
}

// RFC 3207 4. False with *is_tls_failure: the connection without TLS might have worked.
static bool start_tls(struct deliver *d, const struct target *t, bool *is_tls_failure,
                      struct arena *a, struct failure *f)
{
    struct conn *c = &d->conn;
    struct err e = {0};

    if (!c->offer.starttls)
        results_no_tls(d, TLS_STARTTLS_NOT_SUPPORTED, "");
    if (!c->offer.starttls && t->rule->must_offer_requiretls) { // RFC 8689 4.2.1
        failed(f, a, true, "5.7.10", "REQUIRETLS: the server does not offer STARTTLS");
        f->mta = arena_dup(a, c->host);
        f->has_ip = c->has_ip;
        f->ip = c->ip;
        return false;
    }
    if (!c->offer.starttls)
        return !t->rule->must_encrypt ||
               (fail(&e, ERR_DENIED, "the server does not offer it"),
                failed_here(c, f, a, "4.7.4", "STARTTLS is needed", &e));
    if (!conn_command(d, STR("STARTTLS\r\n"), COMMAND_MS, a, f))
        return false;
    if (c->reply.code != 220) {
        char reason[40];

        snprintf(reason, sizeof reason, "smtp-starttls-reply-code-%u", c->reply.code);
        results_no_tls(d, TLS_STARTTLS_NOT_SUPPORTED, reason);
        *is_tls_failure = true;
        failed_reply(c, f, a, "4.7.4");
        f->is_permanent = false;
        f->is_of_tls = true;
        return false;
    }
    // What is here already was sent by somebody who cannot do TLS: it would be taken for what the
    // server says inside. Nothing is to be said to that server, in plain text neither.
    if (c->in.n) {
        c->is_spent = true;
        fail(&e, ERR_SYNTAX, "plain bytes behind the reply");
        return failed_here(c, f, a, "4.7.5", "STARTTLS", &e);
    }
    if (!handshake(d, t, a, f)) {
        results_broken_tls(d);
        *is_tls_failure = true;
        return false;
    }
    results_tls(d, t);
    if (!is_proved(d, t, a, f)) {
        *is_tls_failure = true;
        return false;
    }
    if (say_hello(d, false, a, f))
        return true;
    // With TLS 1.3 a server refuses what it was shown, such as no certificate, behind the handshake.
    if (tls_is_refused(c->stream.tls)) {
        results_broken_tls(d);
        *is_tls_failure = true;
    }
    return false;
}

static bool begin(struct deliver *d, const struct target *t, bool *is_tls_failure, struct arena *a,
                  struct failure *f)
{
    struct conn *c = &d->conn;
    struct err e = {0};
    bool is_stale;

    if (t->is_immediate && (!handshake(d, t, a, f) || !is_proved(d, t, a, f)))
        return false;
    if (!conn_reply(d, STR("greeting"), GREETING_MS, a, f, &is_stale))
        return false;
    if (c->in.n) {
        fail(&e, ERR_SYNTAX, "more than a greeting");
        return failed_here(c, f, a, "4.5.0", "the server's reply", &e);
    }
    results_greeting(d, buf_str(&c->reply.text));
    if (c->reply.code / 100 != 2) {
        failed_reply(c, f, a, "4.3.2");
        f->is_permanent = false; // RFC 5321 3.1: this server does not speak to us; others may
        return false;
    }
    if (!say_hello(d, true, a, f))
        return false;
    if (!t->is_immediate && !t->is_plain && !start_tls(d, t, is_tls_failure, a, f))
        return false;
    if (t->rule->must_offer_requiretls && !c->offer.requiretls) {
        // RFC 8689 4.2.1
        METRIC(queue_requiretls_unsupported_total, METRIC_REQUIRETLS_NOT_OFFERED);
        failed(f, a, true, "5.7.30", "the server does not support REQUIRETLS");
        f->mta = arena_dup(a, c->host);
        f->has_ip = c->has_ip;
        f->ip = c->ip;
        return false;
    }
    c->has_requiretls = t->rule->must_offer_requiretls;
    c->says_requiretls = t->wish == TLS_WISH_REQUIRED && c->stream.tls && c->offer.requiretls;
    return d->way.way != IPC_WAY_RELAY || !d->way.username.n || conn_authenticate(d, a, f);
}

enum opened conn_open(struct deliver *d, const struct target *t, struct arena *a, struct failure *f)
{
    struct conn *c = &d->conn;
    bool is_tls_failure = false;
    struct err e = {0};
    int fd = -1;

    conn_quit(d);
    results_begin(d);
    if (!dial(d, t, &fd, a, f))
        return OPEN_NEXT_ADDRESS;
    if (!stream_open(&c->stream, fd, &e)) {
        failed(f, a, false, "4.3.0", "%s", e.text);
        f->is_ours = true;
        return OPEN_NEXT_HOST;
    }
    c->is_open = true;
    c->host = arena_dup(&c->a, t->host);
    c->has_ip = true;
    c->ip = t->ip;
    c->is_dual = t->is_dual;
    c->wish = t->wish;
    c->said_ms = os_monotonic_ms();
    c->end_ms = c->said_ms + SESSION_MS;
    if (t->has_proxy && !socks_connect(d, &t->ip, t->port, a, f)) {
        conn_close(d);
        return OPEN_NEXT_ADDRESS;
    }
    if (begin(d, t, &is_tls_failure, a, f)) {
        LOG(LOG_DEBUG, "deliver", "connected", LOG_S("host", c->host),
            LOG_N("tls", c->stream.tls != NULL));
        return OPENED;
    }
    LOG(LOG_DEBUG, "deliver", "no session", LOG_S("host", c->host), LOG_S("why", f->text));
    conn_quit(d);
    return is_tls_failure && t->rule->may_retry_plain ? OPEN_PLAIN : OPEN_NEXT_HOST;
}

void conn_close(struct deliver *d)
{
    struct conn *c = &d->conn;
    struct buf in = c->in;
    struct smtp_reply reply = c->reply;
    struct arena a = c->a;

    if (c->is_open)
        stream_close(&c->stream);
    buf_reset(&in);
    smtp_reply_reset(&reply);
    arena_reset(&a);
    *c = (struct conn){.stream = {.fd = -1}, .in = in, .reply = reply, .a = a};
}

void conn_quit(struct deliver *d)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct failure f;

    if (d->conn.is_open && !d->conn.is_spent && !conn_command(d, STR("QUIT\r\n"), QUIT_MS, &a, &f))
        LOG(LOG_DEBUG, "deliver", "no answer to QUIT", LOG_S("why", f.text));
    conn_close(d);
}
