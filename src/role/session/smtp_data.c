/*
 * A message: reading it, completing it when a user submits it, and handing it to its recipients.
 */
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/session/smtp.h"
#include "text/date.h"
#include "text/encode.h"

/* The message of one DATA command. */
struct message {
    int fd; // sealed memory file
    uint64_t size;
    bool has_8bit, has_smuggling;
    struct str header;  // without the blank line
    bool has_separator; // between header and body
    struct str id;      // random, for delivery ids
};

enum spool { SPOOL_OK, SPOOL_GONE, SPOOL_TOO_LARGE, SPOOL_FAILED };

// Reads to the final dot, whatever happens: else its bytes would be taken for commands.
static enum spool spool(struct smtp_session *c, struct message *m, struct err *e)
{
    AUTO_BUF piece = BUF_LIMIT(4 * SESSION_BUFFER);
    int64_t deadline = os_monotonic_ms() + SMTP_DATA_MS;
    struct smtp_data d = {0};
    bool is_ok = true;

    while (!d.is_done) {
        struct str in = buf_str(&c->s->in);
        size_t had = in.n;

        smtp_data_feed(&d, &in, &piece);
        session_used(c->s, had - in.n);
        if (d.size > c->s->port->max_message_bytes)
            return SPOOL_TOO_LARGE;
        is_ok = is_ok && os_write_all(m->fd, buf_str(&piece), e);
        buf_reset(&piece);
        if (!d.is_done && (os_monotonic_ms() > deadline ||
                           !session_read_more(c->s, SESSION_READ_MS)))
            return SPOOL_GONE;
    }
    m->size = d.size;
    m->has_8bit = d.has_8bit;
    m->has_smuggling = d.has_smuggling;
    return is_ok && os_memfile_seal(m->fd, e) ? SPOOL_OK : SPOOL_FAILED;
}

// The header block at the start of the message.
static bool read_header(struct smtp_session *c, struct message *m, struct err *e)
{
    size_t n = m->size < SMTP_HEADER_LOOK ? (size_t)m->size : SMTP_HEADER_LOOK;
    char *p = arena_alloc(&c->a, n + 1);
    ssize_t got = pread(m->fd, p, n, 0);
    ptrdiff_t end;

    if (got < 0 || (size_t)got != n)
        return fail_errno(e, "reading the message back");
    m->header = str_at(p, n);
    if (str_starts(m->header, STR("\r\n"))) {
        m->header = STR("");
        m->has_separator = true;
        return true;
    }
    end = str_find_str(m->header, STR("\r\n\r\n"));
    m->has_separator = end >= 0 || m->size > n;
    if (end >= 0)
        m->header = str_sub(m->header, 0, (size_t)end + 2);
    return true;
}

static void put_random_name(struct buf *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char bytes[22];

    os_random(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        buf_put_char(out, alphabet[bytes[i] % 64]);
}

/* mox-smtp-delivery.md 1.9: one line of tokens, folded by header_put. */
static bool put_received(struct smtp_session *c, const struct message *m, struct buf *out,
                         struct err *e)
{
    AUTO_BUF v = BUF_LIMIT(8192);
    const struct session *s = c->s;
    bool is_ipv6 = str_find(s->conn.local, ':') >= 0;

    BUF_PUT(&v, "from ");
    if (c->is_submission) {
        buf_put(&v, s->port->hostname); // where users are is nobody's business
    } else {
        buf_put(&v, c->hello);
        BUF_PUT(&v, " ([");
        if (str_find(s->conn.remote, ':') >= 0)
            BUF_PUT(&v, "IPv6:");
        buf_put(&v, s->conn.remote);
        BUF_PUT(&v, "])");
    }
    BUF_PUT(&v, " by ");
    buf_put(&v, s->port->hostname);
    buf_put(&v, is_ipv6 ? STR(" ([IPv6:") : STR(" (["));
    buf_put(&v, s->conn.local);
    BUF_PUT(&v, "]) via tcp with ");
    buf_put(&v, c->mail.is_smtputf8 ? STR("UTF8SMTP") : c->is_esmtp ? STR("ESMTP") : STR("SMTP"));
    if (s->is_tls)
        BUF_PUT(&v, "S");
    if (c->is_authed)
        BUF_PUT(&v, "A");
    if (c->mail.require_tls)
        BUF_PUT(&v, " (requiretls)");
    buf_printf(&v, " id %llx", (unsigned long long)s->conn.conn);
    if (s->is_tls && s->tls_version.n) {
        BUF_PUT(&v, " (");
        buf_put(&v, s->tls_version);
        BUF_PUT(&v, " ");
        buf_put(&v, s->tls_cipher);
        BUF_PUT(&v, ")");
    }
    if (c->n_rcpts == 1) {
        BUF_PUT(&v, " for <");
        buf_put(&v, c->rcpts[0].address);
        BUF_PUT(&v, ">");
    }
    BUF_PUT(&v, "; ");
    date_put(&v, (struct date){.unix_seconds = os_now_unix()});
    (void)m;
    return header_put(out, STR("Received"), buf_str(&v), e);
}

/* --- submission (mox-smtp-delivery.md 1.10) ------------------------------------------------------ */

static bool check_from(struct smtp_session *c, const struct message *m)
{
    struct session *s = c->s;
    struct address_list from;
    struct header_field field;
    struct ipc_from_reply r;
    struct err e = {0};

    if (header_count(m->header, STR("From")) != 1 ||
        !header_find(m->header, STR("From"), &field)) {
        SMTP_REPLY(c, 550, "5.6.0", "a message has exactly one From header");
        return false;
    }
    address_parse_list(&c->a, field.value, &from);
    if (from.n != 1) {
        SMTP_REPLY(c, 550, "5.6.0", "the From header has exactly one address");
        return false;
    }
    if (!IPC_SEND(&s->auth, from_check, NULL, 0, &e, .localpart = from.items[0].localpart,
                  .domain = from.items[0].domain) ||
        !channel_expect(&s->auth, IPC_from_reply, s->packet, SESSION_IPC_TIMEOUT_MS, &e) ||
        !ipc_from_reply_get(s->packet->body, &r, &e)) {
        LOG(LOG_ERROR, "submission", "asking auth", LOG_E(&e));
        SMTP_REPLY(c, 451, "4.3.0", "cannot check the From address now, try again later");
        c->is_ending = true;
        return false;
    }
    if (r.outcome != IPC_OK)
        SMTP_REPLY(c, 550, "5.7.1", "the From address is not one of your account");
    return r.outcome == IPC_OK;
}

// Fields that a message must have and this one lacks.
static bool put_missing(struct smtp_session *c, const struct message *m, struct buf *out,
                        struct err *e)
{
    AUTO_BUF id = BUF_LIMIT(1024);
    AUTO_BUF date = BUF_LIMIT(128);

    if (!header_count(m->header, STR("Message-Id"))) {
        BUF_PUT(&id, "<");
        put_random_name(&id);
        BUF_PUT(&id, "@");
        buf_put(&id, c->s->port->hostname);
        BUF_PUT(&id, ">");
        if (!header_put(out, STR("Message-Id"), buf_str(&id), e))
            return false;
    }
    date_put(&date, (struct date){.unix_seconds = os_now_unix()});
    return header_count(m->header, STR("Date")) || header_put(out, STR("Date"), buf_str(&date), e);
}

static bool wants_no_tls(const struct message *m)
{
    struct header_field field;

    return header_count(m->header, STR("TLS-Required")) == 1 &&
           header_find(m->header, STR("TLS-Required"), &field) &&
           str_eq_ci(str_trim(field.value), STR("no"));
}

// To the queue, which answers when it is stored. rcpts: those that are not marked as done.
static bool enqueue(struct smtp_session *c, const struct message *m, struct str prefix,
                    const bool *is_done, struct ipc_verdict *v, struct err *e)
{
    struct session *s = c->s;
    uint32_t n = 0;

    for (size_t i = 0; i < c->n_rcpts; i++)
        n += !is_done || !is_done[i];
    if (!session_grant(s, IPC_SERVICE_QUEUE, &s->queue, ROLE_QUEUE, e) ||
        !IPC_SEND(&s->queue, submit, NULL, 0, e, .reverse_path = c->reverse_path, .recipients = n,
                  .is_8bit = m->has_8bit, .is_smtputf8 = c->mail.is_smtputf8,
                  .require_tls = c->mail.require_tls ? 1 : wants_no_tls(m) ? 2 : 0,
                  .prefix = prefix))
        return false;
    for (size_t i = 0; i < c->n_rcpts; i++)
        if ((!is_done || !is_done[i]) &&
            !IPC_SEND(&s->queue, submit_rcpt, NULL, 0, e, .address = c->rcpts[i].address))
            return false;
    return IPC_SEND(&s->queue, submit_data, &m->fd, 1, e, .size = m->size) &&
           channel_expect(&s->queue, IPC_verdict, s->packet, SESSION_DELIVERY_TIMEOUT_MS, e) &&
           ipc_verdict_get(s->packet->body, v, e);
}

static void accepted(struct smtp_session *c)
{
    c->good++;
    c->bad--;
    SMTP_REPLY(c, 250, "2.2.0", "it is done");
}

static void submit(struct smtp_session *c, const struct message *m)
{
    AUTO_BUF prefix = BUF_LIMIT(IPC_MAX_PREFIX);
    struct ipc_verdict v;
    struct err e = {0};

    if (!m->has_separator) {
        SMTP_REPLY(c, 554, "5.6.0", "no blank line between header and body");
        return;
    }
    if (!check_from(c, m))
        return;
    if (!put_received(c, m, &prefix, &e) || !put_missing(c, m, &prefix, &e) ||
        !enqueue(c, m, buf_str(&prefix), NULL, &v, &e)) {
        LOG(LOG_ERROR, "submission", "queueing a message", LOG_E(&e));
        SMTP_REPLY(c, 451, "4.3.0", "the message cannot be queued now, try again later");
        c->is_ending = true; // what the queue says later could no longer be told apart
        return;
    }
    if (v.code == 250)
        accepted(c);
    else
        smtp_reply(c, v.code, v.code >= 500 ? "5.3.0" : "4.3.0", v.text);
}

/* --- delivery ------------------------------------------------------------------------------------ */

/* One mailbox that gets the message. */
struct delivery {
    size_t rcpt;
    struct channel account;
    bool is_open, has_failed;
    unsigned code; // the last verdict
    struct str text;
};

static void failed(struct smtp_session *c, struct delivery *d, unsigned code, struct str text)
{
    d->has_failed = true;
    d->code = code;
    d->text = arena_dup(&c->a, text);
    if (d->is_open)
        channel_close(&d->account);
    d->is_open = false;
}

static bool offer(struct smtp_session *c, struct delivery *d, const struct message *m,
                  struct str received, uint32_t grant, struct err *e)
{
    AUTO_BUF prefix = BUF_LIMIT(IPC_MAX_PREFIX);
    struct str id = arena_printf(&c->a, "s.%.*s.%u", STR_FMT(m->id), grant);

    if (!session_open_delivery(c->s, grant, &d->account, e))
        return false;
    d->is_open = true;
    // mox-smtp-delivery.md 1.12, "Headers prepended on delivery".
    BUF_PUT(&prefix, "Delivered-To: ");
    buf_put(&prefix, c->rcpts[d->rcpt].address);
    BUF_PUT(&prefix, "\r\nReturn-Path: <");
    buf_put(&prefix, c->reverse_path);
    BUF_PUT(&prefix, ">\r\n");
    buf_put(&prefix, received);
    return IPC_SEND(&d->account, offer, &m->fd, 1, e, .delivery_id = id, .size = m->size,
                    .reverse_path = c->reverse_path, .hello = c->hello,
                    .prefix = buf_str(&prefix));
}

static void hear_verdict(struct smtp_session *c, struct delivery *d)
{
    struct ipc_verdict v;
    struct err e = {0};

    if (!channel_expect(&d->account, IPC_verdict, c->s->packet, SESSION_DELIVERY_TIMEOUT_MS, &e) ||
        !ipc_verdict_get(c->s->packet->body, &v, &e)) {
        LOG(LOG_ERROR, "smtpserver", "delivering", LOG_E(&e));
        failed(c, d, 451, STR("temporary failure, try again later"));
    } else if (v.code != 250) {
        failed(c, d, v.code, v.text);
    }
}

static size_t count_grants(const struct smtp_session *c)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_rcpts; i++)
        n += c->rcpts[i].n_grants;
    return n;
}

// The accounts decide first; those that accept commit together.
static size_t run_deliveries(struct smtp_session *c, const struct message *m, struct str received,
                             struct delivery *all, size_t n)
{
    size_t at = 0, committed = 0;

    for (size_t i = 0; i < c->n_rcpts; i++)
        for (uint32_t g = 0; g < c->rcpts[i].n_grants && at < n; g++) {
            struct delivery *d = &all[at++];
            struct err e = {0};

            *d = (struct delivery){.rcpt = i, .account = {-1}};
            if (!offer(c, d, m, received, c->rcpts[i].grant + g, &e)) {
                LOG(LOG_ERROR, "smtpserver", "offering a message", LOG_E(&e));
                failed(c, d, 451, STR("temporary failure, try again later"));
            }
        }
    for (size_t i = 0; i < n; i++)
        if (!all[i].has_failed)
            hear_verdict(c, &all[i]);
    for (size_t i = 0; i < n; i++) {
        struct err e = {0};

        if (!all[i].has_failed && !IPC_SEND(&all[i].account, commit, NULL, 0, &e))
            failed(c, &all[i], 451, STR("temporary failure, try again later"));
    }
    for (size_t i = 0; i < n; i++) {
        if (!all[i].has_failed)
            hear_verdict(c, &all[i]);
        if (all[i].is_open)
            channel_close(&all[i].account);
        committed += !all[i].has_failed;
    }
    return committed;
}

// Nobody has it: one refusal for all (mox-smtp-delivery.md 1.12, step 10).
static void refuse(struct smtp_session *c, const struct delivery *all, size_t n)
{
    bool is_same = true, has_permanent = false;

    for (size_t i = 0; i < n; i++) {
        is_same = is_same && all[i].code == all[0].code;
        has_permanent = has_permanent || all[i].code >= 500;
    }
    if (is_same)
        smtp_reply(c, all[0].code, all[0].code == 452 ? "4.2.2" : all[0].code >= 500 ? "5.3.0"
                                                                                     : "4.3.0",
                   all[0].text);
    else
        smtp_reply(c, has_permanent ? 554 : 451, has_permanent ? "5.3.0" : "4.3.0",
                   STR("the recipients refused for different reasons"));
}

// Some have it: what is promised to the others is kept by the queue.
static void queue_rest(struct smtp_session *c, const struct message *m, struct str received,
                       const struct delivery *all, size_t n)
{
    bool *is_done = ARENA_ARRAY(&c->a, c->n_rcpts, bool);
    struct ipc_verdict v;
    struct err e = {0};

    for (size_t i = 0; i < c->n_rcpts; i++)
        is_done[i] = true;
    for (size_t i = 0; i < n; i++)
        if (all[i].has_failed)
            is_done[all[i].rcpt] = false;
    if (enqueue(c, m, received, is_done, &v, &e) && v.code == 250) {
        accepted(c);
        return;
    }
    // The sender repeats it for all; the mailboxes that have it get a second copy.
    LOG(LOG_ERROR, "smtpserver", "queueing for the remaining recipients", LOG_E(&e));
    SMTP_REPLY(c, 451, "4.3.0", "not delivered to all recipients, try again later");
    c->is_ending = true;
}

static void deliver(struct smtp_session *c, const struct message *m)
{
    AUTO_BUF received = BUF_LIMIT(8192);
    size_t n = count_grants(c), committed;
    struct delivery *all = ARENA_ARRAY(&c->a, n, struct delivery);
    struct err e = {0};

    if (header_count(m->header, STR("Received")) > SMTP_MAX_RECEIVED) {
        SMTP_REPLY(c, 550, "5.4.6", "too many Received headers: this message goes round in circles");
        return;
    }
    if (!put_received(c, m, &received, &e)) {
        SMTP_REPLY(c, 451, "4.3.0", "temporary failure");
        return;
    }
    committed = run_deliveries(c, m, buf_str(&received), all, n);
    LOG(LOG_INFO, "smtpserver", "message", LOG_S("from", c->reverse_path),
        LOG_N("recipients", c->n_rcpts), LOG_N("delivered", committed), LOG_N("size", m->size));
    if (committed == n)
        accepted(c);
    else if (!committed)
        refuse(c, all, n);
    else
        queue_rest(c, m, buf_str(&received), all, n);
}

static void handle(struct smtp_session *c, struct message *m, struct err *e)
{
    AUTO_BUF id = BUF_LIMIT(64);

    put_random_name(&id);
    m->id = arena_dup(&c->a, buf_str(&id));
    if (m->has_smuggling) {
        // RFC 5321 2.3.8: others may have seen the end of the message elsewhere than we did.
        SMTP_REPLY(c, 500, "5.5.2", "bare CR, or a dot line that is not ended by CR LF");
        return;
    }
    if (!read_header(c, m, e)) {
        LOG(LOG_ERROR, "smtpserver", "reading a message back", LOG_E(e));
        SMTP_REPLY(c, 451, "4.3.0", "temporary failure, try again later");
        return;
    }
    if (c->is_submission)
        submit(c, m);
    else
        deliver(c, m);
}

void smtp_data(struct smtp_session *c)
{
    struct err e = {0};
    struct message m = {.fd = os_memfile("message", &e)};
    uint64_t limit = c->s->port->max_message_bytes;

    if (m.fd < 0) {
        LOG(LOG_ERROR, "smtpserver", "no room for a message", LOG_E(&e));
        SMTP_REPLY(c, 451, "4.3.0", "temporary failure, try again later");
        return;
    }
    smtp_reply_put(&c->s->out, 354, STR(""), STR("see you at the bare dot"));
    if (!session_flush(c->s)) {
        c->is_ending = true;
    } else {
        c->bad++; // until it turns out well
        switch (spool(c, &m, &e)) {
        case SPOOL_OK:
            handle(c, &m, &e);
            break;
        case SPOOL_TOO_LARGE:
            smtp_reply(c, 451, limit < 104857600 ? "4.2.3" : "4.3.4", STR("message too large"));
            c->is_ending = true;
            break;
        case SPOOL_FAILED:
            LOG(LOG_ERROR, "smtpserver", "storing a message", LOG_E(&e));
            SMTP_REPLY(c, 452, "4.3.1", "no room for the message now, try again later");
            break;
        case SPOOL_GONE:
            c->is_ending = true;
            break;
        }
    }
    fd_close(&m.fd);
    smtp_reset(c);
}
