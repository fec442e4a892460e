/*
 * A message that a user submits: checked, completed, and given to the queue
 * (mox-smtp-delivery.md 1.10).
 */
#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "role/session/smtp_verify.h"
#include "text/date.h"

static bool refuse(struct smtp_session *c, struct str why)
{
    smtp_reply(c, 550, "5.6.0", why);
    return false;
}

// One reading of the header by everyone who sees it: what is written so that readers differ about
// it is not sent in a user's name.
static bool check_header(struct smtp_session *c, const struct smtp_message *m)
{
    static const char *const once[] = {"Sender", "Date", "Message-Id"};

    if (!header_is_strict(m->header))
        return refuse(c, STR("the header has a line that is no field"));
    if (header_count(m->header, STR("From")) != 1)
        return refuse(c, STR("a message has exactly one From header"));
    for (size_t i = 0; i < COUNT(once); i++)
        if (header_count(m->header, str_of(once[i])) > 1)
            return refuse(c, STR("From, Sender, Date and Message-Id are given once"));
    if (c->is_pedantic && header_count(m->header, STR("Return-Path")))
        return refuse(c, STR("Return-Path is for the server of the recipient to add"));
    return true;
}

// *canonical: the address it is known by.
static bool check_from(struct smtp_session *c, const struct smtp_message *m, struct str *canonical)
{
    enum ipc_outcome outcome;
    struct address from;
    struct err e = {0};
    bool is_strict;

    if (!smtp_find_from(c, m, &from, &is_strict) || !is_strict)
        return refuse(c, STR("the From header has exactly one address"));
    if (!session_check_from(c->s, from.localpart, from.domain, &outcome, canonical, &e)) {
        smtp_reply_broken(c, "asking auth about a From address", &e);
        return false;
    }
    *canonical = arena_dup(&c->a, *canonical);
    if (outcome == IPC_TEMPORARY)
        SMTP_REPLY(c, 451, "4.3.0", "the domain of the From address is disabled for now");
    else if (outcome != IPC_OK)
        SMTP_REPLY(c, 550, "5.7.1", "the From address is not one of your account");
    return outcome == IPC_OK;
}

// Fields that a message must have and this one lacks.
static bool put_missing(struct smtp_session *c, const struct smtp_message *m, struct buf *out,
                        struct err *e)
{
    AUTO_BUF id = BUF_LIMIT(1024);
    AUTO_BUF date = BUF_LIMIT(128);

    if (!header_count(m->header, STR("Message-Id"))) {
        BUF_PUT(&id, "<");
        os_random_name(&id);
        BUF_PUT(&id, "@");
        buf_put(&id, c->s->port->hostname);
        BUF_PUT(&id, ">");
        if (!header_put(out, STR("Message-Id"), buf_str(&id), e))
            return false;
    }
    date_put(&date, (struct date){.unix_seconds = os_now_unix()});
    return header_count(m->header, STR("Date")) || header_put(out, STR("Date"), buf_str(&date), e);
}

/* RFC 8601: that the sender was known, and as whom it sends. */
static bool put_authentication(struct smtp_session *c, struct buf *out, struct err *e)
{
    AUTO_BUF v = BUF_LIMIT(4096);

    buf_put(&v, c->s->port->hostname);
    BUF_PUT(&v, "; auth=pass smtp.mailfrom=");
    buf_put(&v, c->reverse_path);
    return header_put(out, STR("Authentication-Results"), buf_str(&v), e);
}

/*
 * The signatures of the From address's domain, over the message as it is behind them: its fields and
 * those of ours in ours. A message that cannot be signed goes out as it is.
 */
static void sign(struct smtp_session *c, const struct smtp_message *m, struct str ours,
                 struct str from, struct buf *out)
{
    size_t at = (size_t)(str_find_last(from, '@') + 1);
    AUTO_BUF header = BUF_LIMIT(SMTP_HEADER_LOOK + IPC_MAX_PREFIX);
    struct dkim_client_message letter = {.domain = str_from(from, at),
                                         .localpart = str_sub(from, 0, at ? at - 1 : 0),
                                         .fd = m->fd, .body_start = m->body_start,
                                         .body_end = m->size};
    struct err e = {0};

    buf_put(&header, ours);
    buf_put(&header, m->header);
    letter.header = buf_str(&header);
    if (m->header.n >= SMTP_HEADER_LOOK)
        (void)fail(&e, ERR_LIMIT, "the header is too long");
    else if (session_sign(c->s, &letter, out, &e))
        return;
    METRIC(smtpserver_errors_total, METRIC_ERROR_DKIM_SIGN);
    LOG(LOG_ERROR, smtp_package(c), "a message is not signed", LOG_E(&e),
        LOG_S("domain", letter.domain));
}

/*
 * mox-smtp-delivery.md 1.10 (9): Received, what was missing, signatures, Authentication-Results, in
 * this order.
 */
static bool put_prefix(struct smtp_session *c, const struct smtp_message *m, struct str from,
                       struct buf *out, struct err *e)
{
    // A copy for each of several recipients is the same to the byte: it names none of them.
    const struct smtp_rcpt *only = c->n_rcpts == 1 ? &c->rcpts[0] : NULL;
    AUTO_BUF missing = BUF_LIMIT(4096), results = BUF_LIMIT(8192), both = BUF_LIMIT(16384);

    if (!smtp_put_received(c, m, only, out, e) || !put_missing(c, m, &missing, e) ||
        !put_authentication(c, &results, e))
        return false;
    buf_put(&both, buf_str(&missing));
    buf_put(&both, buf_str(&results));
    buf_put(out, buf_str(&missing));
    sign(c, m, buf_str(&both), from, out);
    buf_put(out, buf_str(&results));
    smtp_end_prefix(m, out);
    return true;
}

/* RFC 8689 5: "TLS-Required: no", in every such field there is. */
static bool wants_no_tls(const struct smtp_message *m)
{
    struct cur c = cur_of(m->header);
    struct header_field field;
    bool wants = false;

    while (header_next(&c, &field)) {
        if (!str_eq_ci(field.name, STR("TLS-Required")))
            continue;
        if (!str_eq_ci(str_trim(field.value), STR("no")))
            return false;
        wants = true;
    }
    return wants;
}

// RFC 4865: until when the queue keeps it, and what was asked for.
static void set_hold(struct smtp_session *c, struct ipc_submit *m)
{
    AUTO_BUF text = BUF_LIMIT(64);

    if (c->mail.hold == SMTP_HOLD_NONE)
        return;
    m->hold_until_unix = (uint64_t)c->mail.hold_until_unix;
    if (c->mail.hold == SMTP_HOLD_FOR) {
        buf_printf(&text, "for;%lld", (long long)c->mail.hold_seconds);
    } else {
        BUF_PUT(&text, "until;");
        date_put_rfc3339(&text, c->mail.hold_until_unix);
    }
    m->future_release = arena_dup(&c->a, buf_str(&text));
}

// For reports about it; one that cannot be named on one line is not.
static struct str message_id_of(struct smtp_session *c, const struct smtp_message *m,
                                struct str prefix)
{
    struct header_field field;
    struct str id;

    if (!header_find(m->header, STR("Message-Id"), &field) &&
        !header_find(prefix, STR("Message-Id"), &field)) // ours
        return STR("");
    id = header_unfold(&c->a, field.value);
    for (size_t i = 0; i < id.n; i++)
        if ((unsigned char)id.p[i] <= ' ' || id.p[i] == 127)
            return STR("");
    return id.n <= IPC_MAX_ADDRESS && str_starts(id, STR("<")) && str_ends(id, STR(">")) ? id : STR("");
}

// Whether the sender outside has been seen to own the reverse path, by SPF: reports may go there
// (mox-smtp-delivery.md 1.7). A session that was taken over may lie, and gains a report with a header of its
// choice; the queue counts those.
static bool is_sender_real(const struct smtp_session *c)
{
    return c->is_submission || (c->sender && c->sender->has_spf && c->reverse_path.n &&
                                c->sender->spf.status == AUTH_PASS);
}

bool smtp_enqueue(struct smtp_session *c, const struct smtp_message *m, struct str prefix,
                  const struct ipc_submit_rcpt *rcpts, size_t n, struct ipc_verdict *v,
                  struct err *e)
{
    struct ipc_submit envelope = {.reverse_path = c->reverse_path, .recipients = (uint32_t)n,
                                  .is_8bit = m->has_8bit,
                                  .is_binary = m->is_binary, .is_smtputf8 = m->needs_utf8,
                                  .require_tls = c->mail.require_tls ? 1 : wants_no_tls(m) ? 2 : 0,
                                  .ret = (uint8_t)c->mail.ret, .envid = c->mail.envid,
                                  .message_id = message_id_of(c, m, prefix),
                                  .is_sender_real = is_sender_real(c), .prefix = prefix};

    set_hold(c, &envelope);
    return session_enqueue(c->s, &envelope, rcpts, m->fd, m->size, v, e);
}

static bool check_lists(struct smtp_session *c, const struct smtp_message *m)
{
    for (size_t i = 0; i < c->n_rcpts; i++) {
        struct err e = {0};
        bool is_allowed;

        if (!smtp_may_post(c, m, &c->rcpts[i], &is_allowed, &e)) {
            smtp_reply_broken(c, "asking auth about a list", &e);
            return false;
        }
        if (!is_allowed) {
            SMTP_REPLY(c, 550, "5.7.2", "the list takes no mail from this address");
            return false;
        }
    }
    return true;
}

void smtp_submit(struct smtp_session *c, const struct smtp_message *m)
{
    struct ipc_submit_rcpt *rcpts = ARENA_ARRAY(&c->a, c->n_rcpts, struct ipc_submit_rcpt);
    size_t n = 0;
    AUTO_BUF prefix = BUF_LIMIT(IPC_MAX_PREFIX);
    struct ipc_verdict v;
    struct err e = {0};
    struct str from;

    if (!check_header(c, m)) {
        METRIC(smtpserver_submission_total, METRIC_SUBMISSION_BAD_HEADER);
        return;
    }
    if (!check_from(c, m, &from) || !check_lists(c, m)) {
        METRIC(smtpserver_submission_total, METRIC_SUBMISSION_BAD_FROM);
        return;
    }
    for (size_t i = 0; i < c->n_rcpts; i++)
        if (smtp_fails_specially(c, c->rcpts[i].localpart, SPECIAL_SUBMIT))
            return;
    for (size_t i = 0; i < c->n_rcpts; i++)
        if (!c->rcpts[i].is_expanded)
            rcpts[n++] = (struct ipc_submit_rcpt){.address = c->rcpts[i].address,
                                                  .notify = c->rcpts[i].notify,
                                                  .orcpt = c->rcpts[i].orcpt};
    if (!put_prefix(c, m, from, &prefix, &e) ||
        !smtp_enqueue(c, m, buf_str(&prefix), rcpts, n, &v, &e)) {
        smtp_reply_broken(c, "queueing a message", &e);
        METRIC(smtpserver_submission_total, METRIC_SUBMISSION_QUEUE_ERROR);
        return;
    }
    if (v.code == 250)
        smtp_accepted(c);
    else
        smtp_reply(c, v.code, arena_cstring(&c->a, v.enhanced), v.text);
    METRIC(smtpserver_submission_total, v.code == 250   ? METRIC_SUBMISSION_OK
                                        : v.code == 451 ? METRIC_SUBMISSION_QUEUE_ERROR
                                                        : METRIC_SUBMISSION_LIMIT);
}
