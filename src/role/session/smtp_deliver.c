/*
 * A message from outside, handed to the accounts of its recipients (mox-smtp-delivery.md 1.12).
 */
#include "base/log.h"
#include "role/session/smtp.h"

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

static bool offer(struct smtp_session *c, struct delivery *d, const struct smtp_message *m,
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
static size_t run_deliveries(struct smtp_session *c, const struct smtp_message *m, struct str received,
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
static void queue_rest(struct smtp_session *c, const struct smtp_message *m, struct str received,
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
    if (smtp_enqueue(c, m, received, is_done, &v, &e) && v.code == 250) {
        smtp_accepted(c);
        return;
    }
    // The sender repeats it for all; the mailboxes that have it get a second copy.
    LOG(LOG_ERROR, "smtpserver", "queueing for the remaining recipients", LOG_E(&e));
    SMTP_REPLY(c, 451, "4.3.0", "not delivered to all recipients, try again later");
    c->is_ending = true;
}

void smtp_deliver(struct smtp_session *c, const struct smtp_message *m)
{
    AUTO_BUF received = BUF_LIMIT(8192);
    size_t n = count_grants(c), committed;
    struct delivery *all = ARENA_ARRAY(&c->a, n, struct delivery);
    struct err e = {0};

    if (header_count(m->header, STR("Received")) > SMTP_MAX_RECEIVED) {
        SMTP_REPLY(c, 550, "5.4.6", "too many Received headers: this message goes round in circles");
        return;
    }
    if (!smtp_put_received(c, &received, &e)) {
        SMTP_REPLY(c, 451, "4.3.0", "temporary failure");
        return;
    }
    committed = run_deliveries(c, m, buf_str(&received), all, n);
    LOG(LOG_INFO, "smtpserver", "message", LOG_S("from", c->reverse_path),
        LOG_N("recipients", c->n_rcpts), LOG_N("delivered", committed), LOG_N("size", m->size));
    if (committed == n)
        smtp_accepted(c);
    else if (!committed)
        refuse(c, all, n);
    else
        queue_rest(c, m, buf_str(&received), all, n);
}
