/*
 * A message from outside, handed to the accounts of its recipients (mox-smtp-delivery.md 1.12).
 */
#include "base/log.h"
#include "ipc/metrics.h"
#include "role/session/smtp_verify.h"

enum { MAX_REASONS = 100 }; // lines of a refusal

/* One mailbox that gets the message, or an address that has none. */
struct delivery {
    size_t rcpt;
    struct channel account;
    bool is_relay; // no mailbox: the recipient's addresses at other servers; the last of a recipient's
    bool is_open, has_failed;
    bool is_refused; // by the account, which waits for whether that is the last word
    bool is_first_time;
    struct smtp_outcome outcome;
    unsigned code; // the last verdict
    const char *enhanced;
    struct str text;
};

static void failed(struct smtp_session *c, struct delivery *d, unsigned code, struct str enhanced,
                   struct str text)
{
    d->has_failed = true;
    d->code = code;
    d->enhanced = arena_cstring(&c->a, enhanced);
    d->text = arena_dup(&c->a, text);
    if (d->is_open)
        channel_close(&d->account);
    d->is_open = false;
}

static void failed_for_now(struct smtp_session *c, struct delivery *d, const char *doing,
                           const struct err *e)
{
    LOG(LOG_ERROR, "smtpserver", doing, LOG_E(e));
    failed(c, d, 451, STR("4.3.0"), STR("temporary failure, try again later"));
}

// mox-smtp-delivery.md 1.12, "Headers prepended on delivery".
static bool put_prefix(struct smtp_session *c, const struct smtp_message *m,
                       const struct smtp_rcpt *rcpt, struct buf *out, struct err *e)
{
    BUF_PUT(out, "Delivered-To: ");
    buf_put(out, rcpt->address);
    BUF_PUT(out, "\r\nReturn-Path: <");
    buf_put(out, c->reverse_path);
    BUF_PUT(out, ">\r\n");
    if (c->sender)
        buf_put(out, c->sender->fields);
    if (!smtp_put_received(c, m, rcpt, out, e))
        return false;
    smtp_end_prefix(m, out);
    return true;
}

// The same for all mailboxes of a recipient: each account adds which of its own it is.
static struct str delivery_id(struct smtp_session *c, const struct smtp_message *m,
                              const struct delivery *d)
{
    return arena_printf(&c->a, "s.%.*s.%zu", STR_FMT(m->id), d->rcpt);
}

static void offer(struct smtp_session *c, struct delivery *d, const struct smtp_message *m,
                  uint32_t grant)
{
    const struct smtp_rcpt *rcpt = &c->rcpts[d->rcpt];
    AUTO_BUF prefix = BUF_LIMIT(IPC_MAX_PREFIX);
    struct ipc_offer o = {.delivery_id = delivery_id(c, m, d), .size = m->size,
                          .reverse_path = c->reverse_path, .hello = buf_str(&c->hello),
                          .rcpt = rcpt->address};
    struct err e = {0};

    d->is_open = true;
    if (put_prefix(c, m, rcpt, &prefix, &e)) {
        o.prefix = buf_str(&prefix);
        if (session_offer(c->s, grant, c->sender ? &c->sender->findings : NULL, &o, m->fd, &d->account, &e))
            return;
    }
    failed_for_now(c, d, "offering a message", &e);
}

// What the account decided.
static void hear_decision(struct smtp_session *c, struct delivery *d)
{
    struct ipc_verdict v;
    struct err e = {0};

    if (!session_hear_verdict(c->s, &d->account, &v, &e)) {
        failed_for_now(c, d, "delivering", &e);
        return;
    }
    d->is_first_time = v.is_first_time;
    d->outcome = (struct smtp_outcome){.is_accepted = !v.is_reject,
                                       .is_dmarc_reject = str_eq(v.reason, STR("dmarc-policy")),
                                       .is_optional = v.is_report_optional,
                                       .override = (enum dmarc_override)v.dmarc_override};
    c->s->is_slow = c->s->is_slow || v.is_slow;
    if (v.code == 250)
        return;
    d->is_refused = d->has_failed = true;
    d->code = v.code;
    d->enhanced = arena_cstring(&c->a, v.enhanced);
    d->text = arena_dup(&c->a, v.text);
}

// Whether it is stored.
static void hear_end(struct smtp_session *c, struct delivery *d)
{
    struct ipc_verdict v;
    struct err e = {0};

    if (!session_hear_verdict(c->s, &d->account, &v, &e))
        failed_for_now(c, d, "delivering", &e);
    else if (v.code != 250)
        failed(c, d, v.code, v.enhanced, v.text);
}

// A list has a message for all its members, or for none: when one of them takes it, those who would
// have refused it get it too (mox-smtp-delivery.md 1.12, "Aliases").
static void overrule(struct delivery *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n && all[i].is_refused; k++)
            if (all[k].rcpt == all[i].rcpt && !all[k].has_failed)
                all[i].is_refused = all[i].has_failed = false;
}

static bool has_stranger(const struct delivery *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!all[i].has_failed && all[i].is_first_time)
            return true;
    return false;
}

// A sender of whom nobody knows anything is kept waiting: the impatient are no loss.
static void wait_for_strangers(struct smtp_session *c, struct delivery *all, size_t n)
{
    uint32_t ms = c->s->port->first_time_delay_ms;

    if (!ms || !has_stranger(all, n))
        return;
    LOG(LOG_DEBUG, "smtpserver", "a stranger waits", LOG_N("ms", ms));
    if (session_pause(c->s, ms < SMTP_MAX_WAIT_MS ? (int)ms : SMTP_MAX_WAIT_MS))
        return;
    // Gone, or we are to stop. Nobody would hear that we have the message, so it is still the sender's.
    LOG(LOG_INFO, "smtpserver", "a stranger did not wait");
    c->is_ending = true;
    for (size_t i = 0; i < n; i++)
        if (!all[i].has_failed)
            failed(c, &all[i], 451, STR("4.3.2"), STR("the connection ends before its message is stored"));
}

static void end_refused(struct delivery *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (all[i].is_refused && all[i].is_open) {
            channel_close(&all[i].account);
            all[i].is_open = false;
        }
}

// What is known of a recipient without asking its mailbox.
static void judge(struct smtp_session *c, const struct smtp_message *m, struct delivery *d)
{
    const struct smtp_rcpt *rcpt = &c->rcpts[d->rcpt];
    struct err e = {0};
    bool is_allowed;

    if (!rcpt->n_grants && !rcpt->n_relays)
        failed(c, d, 550, STR("5.1.1"), STR("no such address here"));
    else if (!smtp_may_post(c, m, rcpt, &is_allowed, &e))
        failed_for_now(c, d, "asking auth about a list", &e);
    else if (!is_allowed)
        failed(c, d, 550, STR("5.7.2"), STR("the list takes no mail from this address"));
}

// Mailboxes, one more for what is at other servers, and one for an address that does not exist.
static size_t places(const struct smtp_rcpt *rcpt)
{
    size_t n = rcpt->n_grants + (rcpt->n_relays != 0);

    return n ? n : 1;
}

// Where the message goes: each mailbox behind each recipient.
static struct delivery *plan(struct smtp_session *c, const struct smtp_message *m, size_t *n)
{
    struct delivery *all;
    size_t at = 0;

    for (size_t i = 0; i < c->n_rcpts; i++)
        at += places(&c->rcpts[i]);
    *n = at;
    all = ARENA_ARRAY(&c->a, at, struct delivery);
    at = 0;
    for (size_t i = 0; i < c->n_rcpts; i++) {
        size_t end = at + places(&c->rcpts[i]);

        struct delivery first = {.rcpt = i, .account = {-1}};

        judge(c, m, &first);
        for (; at < end; at++)
            all[at] = first;
        all[end - 1].is_relay = c->rcpts[i].n_relays != 0;
    }
    return all;
}

static void offer_all(struct smtp_session *c, const struct smtp_message *m, struct delivery *all,
                      size_t n)
{
    uint32_t nth = 0; // grant of its recipient

    for (size_t i = 0; i < n; i++) {
        nth = i && all[i].rcpt == all[i - 1].rcpt ? nth + 1 : 0;
        if (!all[i].has_failed && !all[i].is_relay)
            offer(c, &all[i], m, c->rcpts[all[i].rcpt].grant + nth);
    }
}

// A list is passed on when one of its members here takes the message.
static void decide_relays(struct smtp_session *c, const struct smtp_message *m, struct delivery *all,
                          size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct delivery *d = &all[i];
        const struct smtp_rcpt *rcpt = &c->rcpts[d->rcpt];
        const struct delivery *members = d - rcpt->n_grants;
        struct smtp_refusal why;
        bool is_taken = !rcpt->n_grants;

        if (!d->is_relay || d->has_failed)
            continue;
        d->outcome.is_accepted = true;
        for (size_t k = 0; k < rcpt->n_grants; k++)
            is_taken |= !members[k].has_failed;
        if (!is_taken) {
            failed(c, d, members->code, str_of(members->enhanced), members->text);
            d->is_refused = members->is_refused;
        } else if (!smtp_may_relay(c, m, rcpt, &why)) {
            failed(c, d, why.code, str_of(why.enhanced), why.text);
        }
    }
}

// Before the mailboxes have it: when the queue does not take it, none of the recipient's does, and the
// sender sends it again.
static void relay_all(struct smtp_session *c, const struct smtp_message *m, struct delivery *all,
                      size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct err e = {0};

        if (!all[i].is_relay || all[i].has_failed ||
            smtp_relay(c, m, &c->rcpts[all[i].rcpt], &e))
            continue;
        channel_close(&c->s->queue); // what it says later would be taken for another answer
        for (size_t k = 0; k < n; k++)
            if (all[k].rcpt == all[i].rcpt && !all[k].has_failed)
                failed_for_now(c, &all[k], "passing a message on", &e);
    }
}

// The accounts decide first; those that accept commit together.
static size_t run_deliveries(struct smtp_session *c, const struct smtp_message *m,
                             struct delivery *all, size_t n)
{
    size_t committed = 0;

    offer_all(c, m, all, n);
    for (size_t i = 0; i < n; i++)
        if (!all[i].has_failed && !all[i].is_relay)
            hear_decision(c, &all[i]);
    decide_relays(c, m, all, n);
    overrule(all, n);
    end_refused(all, n);
    wait_for_strangers(c, all, n);
    relay_all(c, m, all, n);
    for (size_t i = 0; i < n; i++) {
        struct err e = {0};

        if (!all[i].has_failed && !all[i].is_relay && !session_commit(&all[i].account, &e))
            failed_for_now(c, &all[i], "committing a message", &e);
    }
    for (size_t i = 0; i < n; i++) {
        if (!all[i].has_failed && !all[i].is_relay)
            hear_end(c, &all[i]);
        if (all[i].is_open)
            channel_close(&all[i].account);
        committed += !all[i].has_failed;
    }
    return committed;
}

// Nobody has it: one refusal for all (mox-smtp-delivery.md 1.12, step 10).
static void refuse(struct smtp_session *c, const struct delivery *all, size_t n)
{
    AUTO_BUF text = BUF_LIMIT(1 << 16);
    bool is_same = true, has_permanent = false;

    for (size_t i = 0; i < n; i++) {
        is_same = is_same && all[i].code == all[0].code &&
                  str_eq(str_of(all[i].enhanced), str_of(all[0].enhanced));
        has_permanent = has_permanent || all[i].code >= 500;
    }
    for (size_t i = 0, lines = 0; i < n && lines < MAX_REASONS && c->n_rcpts > 1; i++) {
        if (i && all[i].rcpt == all[i - 1].rcpt)
            continue; // one line for a recipient, also when it is a list
        if (lines++)
            BUF_PUT(&text, "\n");
        buf_put(&text, c->rcpts[all[i].rcpt].address);
        BUF_PUT(&text, ": ");
        if (!is_same)
            buf_printf(&text, "%u %s ", all[i].code, all[i].enhanced);
        buf_put(&text, all[i].text);
    }
    if (c->n_rcpts == 1)
        buf_put(&text, all[0].text);
    if (is_same)
        smtp_reply(c, all[0].code, all[0].enhanced, buf_str(&text));
    else
        smtp_reply(c, has_permanent ? 554 : 451, has_permanent ? "5.3.0" : "4.3.0",
                   buf_str(&text));
}

/*
 * Whether something is left to do for a recipient, whose deliveries are n: a mailbox that failed for
 * now, or a sender who is to hear that all refuse. A list whose members refuse is content with the
 * one that has it (mox-smtp-delivery.md 1.12, "Aliases").
 */
static bool is_left(struct smtp_session *c, const struct smtp_message *m, const struct delivery *d,
                    size_t n, struct ipc_submit_rcpt *out)
{
    bool has_it = false;

    *out = (struct ipc_submit_rcpt){.address = c->rcpts[d->rcpt].address};
    for (size_t i = 0; i < n; i++) {
        // What the account refused is not offered again by the queue, which knows nothing of the sender.
        if (d[i].has_failed && !d[i].is_refused && d[i].code < 500) {
            // Repeated for all mailboxes of the recipient: those that have it know the id.
            out->delivery_id = delivery_id(c, m, d);
            return true;
        }
        has_it = has_it || !d[i].has_failed;
    }
    out->refused_code = d->code;
    out->refused_enhanced = str_of(d->enhanced);
    out->refused_text = d->text;
    return !has_it;
}

// Some have it: what is promised to the others is kept by the queue.
static void queue_rest(struct smtp_session *c, const struct smtp_message *m,
                       const struct delivery *all, size_t n)
{
    struct ipc_submit_rcpt *left = ARENA_ARRAY(&c->a, c->n_rcpts, struct ipc_submit_rcpt);
    AUTO_BUF received = BUF_LIMIT(8192);
    struct ipc_verdict v;
    struct err e = {0};
    size_t n_left = 0;

    for (size_t i = 0, own; i < n; i += own) {
        for (own = 1; i + own < n && all[i + own].rcpt == all[i].rcpt;)
            own++;
        n_left += is_left(c, m, &all[i], own, &left[n_left]);
    }
    if (!n_left) {
        smtp_accepted(c);
        return;
    }
    if (smtp_put_received(c, m, NULL, &received, &e)) {
        smtp_end_prefix(m, &received);
        if (smtp_enqueue(c, m, buf_str(&received), left, n_left, &v, &e) && v.code == 250) {
            smtp_accepted(c);
            return;
        }
    }
    // The sender repeats it for all; the mailboxes that have it get a second copy.
    smtp_reply_broken(c, "queueing for the remaining recipients", &e);
}

// One outcome per recipient: that of the mailbox which has the message, or of the first that refused.
static void tell_outcomes(struct smtp_session *c, const struct delivery *all, size_t n)
{
    for (size_t i = 0, own; i < n; i += own) {
        const struct delivery *d = &all[i];

        for (own = 1; i + own < n && all[i + own].rcpt == d->rcpt; own++)
            if (d->has_failed && !all[i + own].has_failed)
                d = &all[i + own];
        smtp_tell_outcome(c, &c->rcpts[d->rcpt],
                          &(struct smtp_outcome){.is_accepted = !d->has_failed && d->outcome.is_accepted,
                                                 .is_dmarc_reject = d->is_refused &&
                                                                    d->outcome.is_dmarc_reject,
                                                 .is_optional = d->outcome.is_optional,
                                                 .override = d->outcome.override});
    }
}

static bool are_all_unknown(const struct smtp_session *c)
{
    for (size_t i = 0; i < c->n_rcpts; i++)
        if (c->rcpts[i].n_grants || c->rcpts[i].n_relays)
            return false;
    return true;
}

void smtp_deliver(struct smtp_session *c, struct smtp_message *m)
{
    struct delivery *all;
    size_t n, committed;
    struct err e = {0};

    if (header_count(m->header, STR("Received")) > SMTP_MAX_RECEIVED) {
        SMTP_REPLY(c, 550, "5.4.6", "too many Received headers: this message goes round in circles");
        return;
    }
    for (size_t i = 0; i < c->n_rcpts; i++)
        if (smtp_fails_specially(c, c->rcpts[i].localpart, SPECIAL_DELIVER))
            return;
    if (are_all_unknown(c) && !session_pause(c->s, SMTP_UNKNOWN_MS)) {
        c->is_ending = true;
        return;
    }
    if (!smtp_verify(c, m, &e)) {
        smtp_reply_broken(c, "writing down what was found out", &e);
        return;
    }
    // RFC 7489 6.6.1: nobody can be asked about them all.
    if (c->sender && c->sender->has_too_many_authors) {
        SMTP_REPLY(c, 550, "5.6.0", "the message has too many authors");
        return;
    }
    // After the signatures were verified: a claim may be signed by who makes it.
    if (!smtp_drop_claims(c, m, &e)) {
        smtp_reply_broken(c, "removing fields", &e);
        return;
    }
    for (size_t i = 0; i < c->n_rcpts; i++)
        if (!c->rcpts[i].n_grants && !c->rcpts[i].n_relays)
            METRIC(smtpserver_delivery_total, METRIC_DELIVERY_UNKNOWN);
    all = plan(c, m, &n);
    committed = run_deliveries(c, m, all, n);
    LOG(LOG_INFO, "smtpserver", "message", LOG_S("from", c->reverse_path),
        LOG_N("recipients", c->n_rcpts), LOG_N("delivered", committed), LOG_N("size", m->size));
    if (committed == n)
        smtp_accepted(c);
    else if (!committed)
        refuse(c, all, n);
    else
        queue_rest(c, m, all, n);
    tell_outcomes(c, all, n);
}
