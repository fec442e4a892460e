/*
 * The envelope: MAIL and RCPT (RFC 5321 3.3, mox-smtp-delivery.md 1.6, 1.7).
 */
#include "base/log.h"
#include "os/clock.h"
#include "role/session/smtp_verify.h"

static bool is_literal(const struct smtp_address *a)
{
    return str_starts(a->domain, STR("["));
}

static struct str path_of(struct smtp_session *c, const struct smtp_address *a)
{
    AUTO_BUF path = BUF_LIMIT(4096);

    smtp_address_put(&path, a);
    return arena_dup(&c->a, buf_str(&path));
}

// A line that does not parse. Who has logged in is told where; strangers learn nothing.
static void refuse_syntax(struct smtp_session *c, const struct smtp_reading *r, const struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(2 * SMTP_MAX_LINE);

    buf_put(&text, str_of(e->text));
    if (c->is_authed && r->rest.n) {
        BUF_PUT(&text, ", at: ");
        buf_put(&text, r->rest);
    }
    LOG(LOG_DEBUG, smtp_package(c), "syntax error", LOG_E(e), LOG_S("rest", r->rest));
    smtp_reply(c, r->code, r->enhanced, buf_str(&text));
}

static struct smtp_reading reading(struct smtp_session *c)
{
    // What is kept is copied; lines that are refused leave nothing behind.
    return (struct smtp_reading){.a = &c->s->line_arena, .is_pedantic = c->is_pedantic,
                                 .is_submission = c->is_submission};
}

/* --- MAIL ---------------------------------------------------------------------------------------- */

static bool may_send_as(struct smtp_session *c, const struct smtp_address *from)
{
    enum ipc_outcome outcome;
    struct str canonical;
    struct err e = {0};

    if (!session_check_from(c->s, from->localpart, from->domain, &outcome, &canonical, &e)) {
        smtp_reply_broken(c, "asking auth about a sender", &e);
        return false;
    }
    if (outcome == IPC_TEMPORARY)
        SMTP_REPLY(c, 451, "4.3.0", "the domain of the sender is disabled for now");
    else if (outcome != IPC_OK)
        SMTP_REPLY(c, 550, "5.7.1", "that is not an address of your account");
    return outcome == IPC_OK;
}

static bool check_sender(struct smtp_session *c, const struct smtp_address *from)
{
    bool is_null = !from->localpart.n && !from->domain.n;

    if (is_literal(from)) {
        smtp_reply(c, 550, c->is_submission ? "5.7.1" : "5.7.0",
                   STR("address literals are not accepted as sender"));
        return false;
    }
    return !c->is_submission || is_null || may_send_as(c, from);
}

// RFC 4865 4: a time to come, and not too far away.
static bool check_hold(struct smtp_session *c, struct smtp_mail *m)
{
    int64_t now = os_now_unix();

    if (m->hold == SMTP_HOLD_FOR)
        m->hold_until_unix = now + m->hold_seconds;
    if (m->hold == SMTP_HOLD_NONE ||
        (m->hold_until_unix >= now && m->hold_until_unix <= now + SMTP_MAX_HOLD_S))
        return true;
    SMTP_REPLY(c, 554, "5.5.4", "the time of release is past, or more than 60 days away");
    return false;
}

static bool check_params(struct smtp_session *c, struct smtp_mail *m)
{
    const struct ipc_listener *port = c->s->port;

    if (m->size > port->max_message_bytes) // RFC 1870 6.1
        smtp_reply(c, 552, m->size < SMTP_USUAL_SIZE ? "5.2.3" : "5.3.4",
                   STR("message too large"));
    else if (m->require_tls && port->no_requiretls_extension)
        SMTP_REPLY(c, 555, "5.3.3", "REQUIRETLS is not offered");
    else if (m->require_tls && !c->s->is_tls) // RFC 8689 4.1
        SMTP_REPLY(c, 523, "5.7.10", "REQUIRETLS needs TLS");
    else
        return check_hold(c, m);
    return false;
}

/* RFC 5321 4.1.1.2. */
void smtp_cmd_mail(struct smtp_session *c, const struct smtp_command *cmd)
{
    struct smtp_reading r = reading(c);
    struct err e = {0};
    struct smtp_mail m;

    if (c->is_submission && !c->is_authed)
        SMTP_REPLY(c, 530, "5.7.0", "authentication required");
    else if (c->has_mail)
        SMTP_REPLY(c, 503, "5.5.1", "a transaction is open already");
    else if (c->bad > SMTP_MAX_BAD && !c->good) {
        SMTP_REPLY(c, 550, "5.1.0", "too many failed messages");
        c->is_ending = true;
    } else if (!smtp_parse_mail(&r, cmd->argument, &m, &e))
        refuse_syntax(c, &r, &e);
    else if (check_params(c, &m) && !smtp_fails_specially(c, m.from.localpart, SPECIAL_MAIL) &&
             check_sender(c, &m.from)) {
        c->mail = m;
        c->mail.from = (struct smtp_address){arena_dup(&c->a, m.from.localpart),
                                             arena_dup(&c->a, m.from.domain)};
        c->mail.envid = arena_dup(&c->a, m.envid);
        c->reverse_path = path_of(c, &m.from);
        c->has_mail = true;
        smtp_verify_begin(c);
        SMTP_REPLY(c, 250, "2.1.0", "looking good");
    }
}

/* --- RCPT ---------------------------------------------------------------------------------------- */

static size_t lines_of(struct str s)
{
    size_t n = s.n != 0;

    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == '\n';
    return n;
}

static uint8_t without_success(unsigned notify)
{
    unsigned rest = notify & ~(unsigned)SMTP_NOTIFY_SUCCESS;

    return (uint8_t)(notify && !rest ? SMTP_NOTIFY_NEVER : rest);
}

/*
 * A user's message to a list goes to its members at other servers as if they had been named. Of success one report is
 * wanted, not one of each member: that of the members here ("expanded"), else of the first (RFC 3461 5.2.7.3).
 */
static void add_members(struct smtp_session *c, const struct smtp_recipient *given, bool has_others, struct str members)
{
    uint8_t notify = has_others ? without_success(given->notify) : (uint8_t)given->notify;
    struct str orcpt = arena_dup(&c->a, given->orcpt);

    members = arena_dup(&c->a, members);
    while (members.n) {
        ptrdiff_t end = str_find(members, '\n');
        size_t n = end == STR_NONE ? members.n : (size_t)end;
        struct str member = str_sub(members, 0, n);
        struct address address = {0};

        if (address_parse_spec(&c->a, member, &address))
            *ARENA_PUSH(&c->a, c->rcpts, &c->n_rcpts, &c->cap_rcpts) = (struct smtp_rcpt){
                .address = member, .localpart = address.localpart, .domain = address.domain,
                .notify = notify, .orcpt = orcpt};
        notify = without_success(given->notify);
        members = str_from(members, n + (end != STR_NONE));
    }
}

static void add_rcpt(struct smtp_session *c, const struct smtp_recipient *given)
{
    const struct smtp_address *to = &given->to;
    bool needs_tls = !c->is_submission && c->s->port->require_tls && !c->s->is_tls;
    struct ipc_rcpt_reply r;
    struct err e = {0};

    if (!session_check_rcpt(c->s, c->reverse_path, to->localpart, to->domain, &r, &e)) {
        smtp_reply_broken(c, "asking auth about a recipient", &e);
    } else if (needs_tls && !r.is_report) {
        SMTP_REPLY(c, 530, "5.7.0", "STARTTLS is required");
    } else if (r.code != 250) {
        smtp_reply(c, r.code, arena_cstring(&c->s->line_arena, r.enhanced), r.text);
    } else if (r.n_grants + r.n_relays > SMTP_MAX_TARGETS - c->n_targets ||
               c->n_rcpts + lines_of(r.elsewhere) >= SMTP_MAX_RCPT) {
        SMTP_REPLY(c, 452, "4.5.3", "too many members of lists for one message");
    } else {
        *ARENA_PUSH(&c->a, c->rcpts, &c->n_rcpts, &c->cap_rcpts) = (struct smtp_rcpt){
            .address = path_of(c, to),
            .localpart = arena_dup(&c->a, to->localpart),
            .domain = arena_dup(&c->a, to->domain),
            .notify = (uint8_t)given->notify,
            .orcpt = arena_dup(&c->a, given->orcpt),
            .is_list = r.is_list,
            .grant = r.grant,
            .n_grants = r.n_grants,
            .relay = r.relay,
            .n_relays = r.n_relays,
            .is_expanded = r.elsewhere.n && !r.n_grants,
        };
        c->n_targets += r.n_grants + r.n_relays;
        if (r.n_relays && c->s->dkim.fd >= 0)
            channel_close(&c->s->dkim); // the next one seals for this domain too
        add_members(c, given, r.n_grants > 0, r.elsewhere);
        SMTP_REPLY(c, 250, "2.1.0", "now on the list");
    }
}

// A report that some of several recipients refused goes to MAIL FROM: only to who it really is
// (mox-smtp-delivery.md 1.7).
static bool may_have_several(struct smtp_session *c)
{
    smtp_verify_spf(c);
    return !c->sender || c->sender->spf.status == AUTH_PASS;
}

/* RFC 5321 4.1.1.3. */
void smtp_cmd_rcpt(struct smtp_session *c, const struct smtp_command *cmd)
{
    bool is_null = !c->reverse_path.n;
    struct smtp_reading r = reading(c);
    struct smtp_recipient given;
    const struct smtp_address *to = &given.to;
    struct err e = {0};

    if (!c->has_mail)
        SMTP_REPLY(c, 503, "5.5.1", "MAIL comes before RCPT");
    else if (c->spool.fd >= 0)
        SMTP_REPLY(c, 503, "5.5.1", "the message has begun with BDAT");
    else if (!smtp_parse_rcpt(&r, cmd->argument, &given, &e))
        refuse_syntax(c, &r, &e);
    else if (c->n_rcpts >= SMTP_MAX_RCPT) // RFC 9422 4.2
        SMTP_REPLY(c, 452, "4.5.3", "at most 1000 recipients");
    else if (!c->is_submission && is_null && c->n_rcpts)
        SMTP_REPLY(c, 452, "4.5.3", "one recipient for a message without sender");
    else if (c->n_rcpts == 1 && !may_have_several(c))
        SMTP_REPLY(c, 452, "4.5.3", "one recipient for a sender whose domain does not vouch for you");
    else if ((!str_is_ascii(to->localpart) || !str_is_ascii(to->domain)) && !c->mail.is_smtputf8)
        SMTP_REPLY(c, 553, "5.6.7", "an address with these letters needs SMTPUTF8");
    else if (!c->is_submission && is_literal(to))
        SMTP_REPLY(c, 550, "5.1.1", "address literals are not served");
    else if (!smtp_fails_specially(c, to->localpart, SPECIAL_RCPT))
        add_rcpt(c, &given);
}
