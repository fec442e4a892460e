/*
 * What senders are told of their mail: reports are messages of our own in the queue, with a null reverse
 * path, so that nothing is ever told about them.
 *
 * Who is told: accounts of ours, into their own Inbox; and senders outside of whom port 25 knew that the
 * reverse path is theirs. A report to an address that somebody invented goes to one who has sent nothing.
 */
#include "base/log.h"
#include "os/clock.h"
#include "queue/queue_priv.h"

enum {
    MAX_REPORT = 1 << 20,
    MAX_OUTSIDE = 500, // reports to senders outside in an hour; a storm is somebody's attack
    HOUR_S = 3600,
};

// RFC 3461 4.1: without NOTIFY, failures and what is not said to be unwanted.
static bool is_wanted(uint8_t notify, enum dsn_action action, enum queue_origin origin)
{
    if (action == DSN_FAILED)
        return !notify || notify & QUEUE_NOTIFY_FAILURE;
    if (action == DSN_DELAYED) // a sender outside has a server that has done with it
        return notify ? notify & QUEUE_NOTIFY_DELAY : origin == QUEUE_SUBMITTED;
    return notify & QUEUE_NOTIFY_SUCCESS;
}

static bool is_from_outside(enum queue_origin origin)
{
    return origin == QUEUE_FROM_OUTSIDE || origin == QUEUE_RELAYED;
}

static bool has_sender(enum queue_origin origin, struct str reverse_path, bool is_sender_real)
{
    return reverse_path.n && (origin == QUEUE_SUBMITTED || (is_from_outside(origin) && is_sender_real));
}

static bool is_within_rate(struct queue *q, int64_t now)
{
    if (now - q->rate.since_unix >= HOUR_S || now < q->rate.since_unix)
        q->rate = (struct report_rate){.since_unix = now};
    if (q->rate.n++ == MAX_OUTSIDE)
        LOG(LOG_WARN, "queue", "no more reports to senders outside in this hour");
    return q->rate.n <= MAX_OUTSIDE;
}

static struct str random_name(struct arena *a)
{
    AUTO_BUF b = BUF_LIMIT(64);

    os_random_name(&b);
    return arena_dup(a, buf_str(&b));
}

/* What is needed of the message. */
struct about {
    enum queue_origin origin;
    struct str account, reverse_path, message_id, envid, original, domain, future_release;
    int64_t queued_unix;
    enum queue_ret ret;
    bool is_smtputf8;
    uint8_t require_tls;
};

// RFC 6533: a sender who wrote with SMTPUTF8 reads it; one at another server that may not have it is
// written to without it where the address allows.
static bool is_utf8(const struct about *m)
{
    return !str_is_ascii(m->reverse_path) || (m->is_smtputf8 && m->origin == QUEUE_SUBMITTED);
}

void queue_set_signer(struct queue *q, queue_sign *sign)
{
    q->sign = sign;
}

// The report with the signatures of its From domain before it.
static struct str sign_report(const struct queue *q, struct arena *a, struct str from, struct str report)
{
    AUTO_BUF out = BUF_LIMIT(MAX_REPORT + (64 << 10));
    ptrdiff_t end = str_find_str(report, STR("\r\n\r\n"));

    if (q->sign && end >= 0)
        q->sign(str_from(from, (size_t)(str_find_last(from, '@') + 1)),
                str_sub(report, 0, (size_t)end + 2), str_from(report, (size_t)end + 4), &out);
    buf_put(&out, report);
    return arena_dup(a, buf_str(&out));
}

static bool put(struct queue *q, struct arena *a, const struct about *m,
                const struct dsn_recipient *recipients, size_t n, struct err *e)
{
    bool is_outside = is_from_outside(m->origin);
    // What was refused here is reported by the domain that was written to.
    bool is_here = m->origin == QUEUE_FROM_OUTSIDE && m->domain.n;
    struct str hostname = q->hostname.n ? q->hostname : STR("localhost");
    AUTO_BUF report = BUF_LIMIT(MAX_REPORT);
    struct dsn d = {.hostname = hostname,
                    .from = arena_printf(a, "postmaster@%.*s",
                                         STR_FMT(is_here ? m->domain : hostname)),
                    .to = m->reverse_path,
                    .message_id = arena_printf(a, "<%.*s@%.*s>", STR_FMT(random_name(a)),
                                               STR_FMT(hostname)),
                    .now_unix = os_now_unix(), .queued_unix = m->queued_unix,
                    .references = m->message_id, .envid = m->envid,
                    .future_release = m->future_release, .is_utf8 = is_utf8(m),
                    .recipients = recipients, .n_recipients = n, .original = m->original,
                    // RFC 3461 4.3: only failures return the message. RFC 8689 5: not where it must have TLS.
                    .is_full = m->ret == QUEUE_RET_FULL && recipients[0].action == DSN_FAILED &&
                               m->require_tls != 1 && !is_outside};
    const struct queue_recipient to = {.address = m->reverse_path};
    bool has_8bit;

    do {
        buf_reset(&report);
        d.boundary = random_name(a);
        *e = (struct err){0};
        if (dsn_put(&report, &d, &has_8bit, e))
            break;
    } while (e->kind == ERR_CONFLICT);
    if (e->kind)
        return false;
    LOG(LOG_INFO, "queue", "report to the sender", LOG_S("to", m->reverse_path),
        LOG_S("about", recipients[0].address), LOG_S("status", recipients[0].status));
    return queue_insert(q, &(struct queue_new){.origin = QUEUE_OWN_REPORT, .account = m->account,
                                               .prefix = is_outside ? sign_report(q, a, d.from, buf_str(&report))
                                                                    : buf_str(&report),
                                               .recipients = &to,
                                               .n_recipients = 1, .fd = -1, .is_8bit = has_8bit,
                                               .is_smtputf8 = d.is_utf8,
                                               .require_tls = m->require_tls == 1,
                                               .message_id = d.message_id}, e);
}

// A status fits the action: 2 delivered, 4 not yet, 5 not (RFC 3463 3).
static struct str status_of(struct arena *a, enum dsn_action action, const struct attempt *t)
{
    char class = action == DSN_FAILED ? (t->class == ATTEMPT_TEMPORARY ? '4' : '5')
                 : action == DSN_DELAYED ? '4' : '2';

    if (t->enhanced.n && t->enhanced.p[0] == class)
        return t->enhanced;
    if (action == DSN_FAILED && t->class == ATTEMPT_TEMPORARY)
        return STR("4.4.7"); // delivery time expired
    return arena_printf(a, "%c.0.0", class);
}

// A reply with its enhanced code: as the server said it, or our own about one that was not spoken to.
static struct str reply_of(struct arena *a, const struct attempt *t)
{
    if (!t->is_remote || !t->code || !t->enhanced.n || t->remote_address.n)
        return t->text;
    return arena_printf(a, "%.*s %.*s", STR_FMT(t->enhanced), STR_FMT(t->text));
}

// Whom nobody asks for as long as all is well, it is not with every entry.
static bool read_future_release(struct queue *q, struct arena *a, uint64_t message, struct str *out,
                                struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "SELECT future_release FROM message WHERE id = ?", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, message);
    if (stmt_step(s, e))
        *out = arena_dup(a, stmt_str(s, 0));
    return !e->kind;
}

bool report_put(struct queue *q, const struct queue_entry *entry, enum dsn_action action,
                const struct attempt *attempt, int64_t retry_until_unix, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_BUF original = BUF_LIMIT(2 * DSN_MAX_ORIGINAL);
    struct about m = {.origin = entry->origin, .account = entry->account,
                      .reverse_path = entry->reverse_path, .message_id = entry->message_id,
                      .envid = entry->envid, .domain = entry->domain, .ret = entry->ret,
                      .queued_unix = entry->queued_unix, .is_smtputf8 = entry->is_smtputf8,
                      .require_tls = entry->require_tls};
    struct dsn_recipient to = {.address = entry->recipient, .original = entry->orcpt,
                               .action = action, .status = status_of(&a, action, attempt),
                               .remote_name = attempt->remote_name,
                               .remote_address = attempt->remote_address,
                               // A delivery to an account of ours had no reply to speak of.
                               .code = attempt->text.n ? attempt->code : 0,
                               .text = reply_of(&a, attempt),
                               .last_attempt_unix = attempt->started_unix,
                               .retry_until_unix = retry_until_unix};

    if (!is_wanted(entry->notify, action, entry->origin))
        return true;
    if (!has_sender(entry->origin, entry->reverse_path, entry->is_sender_real)) {
        if (action == DSN_FAILED)
            LOG(LOG_WARN, "queue", "a message is gone and its sender not told",
                LOG_S("from", entry->reverse_path), LOG_S("to", entry->recipient));
        return true;
    }
    if (is_from_outside(entry->origin) && !is_within_rate(q, os_now_unix()))
        return true;
    if (!queue_read_part(q, entry->message, 0, DSN_MAX_ORIGINAL + 1, &original, e) ||
        !read_future_release(q, &a, entry->message, &m.future_release, e))
        return false;
    m.original = buf_str(&original);
    return put(q, &a, &m, &to, 1, e);
}

bool report_put_refused(struct queue *q, const struct queue_new *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(8 << 20);
    AUTO_BUF original = BUF_LIMIT(2 * DSN_MAX_ORIGINAL);
    struct about about = {.origin = m->origin, .account = m->account,
                          .reverse_path = m->reverse_path, .message_id = m->message_id,
                          .envid = m->envid, .ret = m->ret, .queued_unix = os_now_unix(),
                          .is_smtputf8 = m->is_smtputf8, .require_tls = m->require_tls};
    struct dsn_recipient *to = ARENA_ARRAY(&a, m->n_recipients, struct dsn_recipient);
    size_t n = 0;

    for (size_t i = 0; i < m->n_recipients; i++) {
        const struct queue_recipient *r = &m->recipients[i];
        const struct attempt refused = {
            .class = r->refused_code < 500 ? ATTEMPT_TEMPORARY : ATTEMPT_PERMANENT,
            .enhanced = r->refused_enhanced};

        if (!r->refused_code || !is_wanted(r->notify, DSN_FAILED, m->origin))
            continue;
        if (!n)
            about.domain = queue_domain_of(&a, r->address);
        to[n++] = (struct dsn_recipient){.address = r->address, .original = r->orcpt,
                                         .action = DSN_FAILED,
                                         .status = status_of(&a, DSN_FAILED, &refused),
                                         .code = r->refused_code, .text = r->refused_text,
                                         .last_attempt_unix = about.queued_unix};
    }
    if (!n)
        return true;
    if (!has_sender(m->origin, m->reverse_path, m->is_sender_real) ||
        (m->origin == QUEUE_FROM_OUTSIDE && !is_within_rate(q, about.queued_unix))) {
        LOG(LOG_WARN, "queue", "recipients were refused and the sender not told",
            LOG_S("from", m->reverse_path), LOG_N("recipients", n));
        return true;
    }
    buf_put(&original, str_sub(m->prefix, 0, DSN_MAX_ORIGINAL + 1));
    if (!queue_read_file(m, DSN_MAX_ORIGINAL + 1, &original, e))
        return false;
    about.original = buf_str(&original);
    return put(q, &a, &about, to, n, e);
}
