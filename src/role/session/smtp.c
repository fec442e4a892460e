/*
 * SMTP and submission (RFC 5321, 6409): the commands.
 */
#include "role/session/smtp.h"

#include <time.h>

#include "base/log.h"
#include "text/encode.h"

static const char *package(const struct smtp_session *c)
{
    return c->is_submission ? "submission" : "smtpserver";
}

void smtp_reply(struct smtp_session *c, unsigned code, const char *enhanced, struct str text)
{
    AUTO_BUF b = BUF_LIMIT(1 << 16);

    buf_put(&b, text);
    if (code >= 400)
        buf_printf(&b, " (%llx)", (unsigned long long)c->s->conn.conn);
    smtp_reply_put(&c->s->out, code, str_of(enhanced), buf_str(&b));
    LOG(LOG_TRACE, package(c), "S:", LOG_N("code", code), LOG_S("text", text));
}

void smtp_reset(struct smtp_session *c)
{
    arena_reset(&c->a);
    c->has_mail = false;
    c->mail = (struct smtp_mail){0};
    c->rcpts = NULL;
    c->n_rcpts = c->cap_rcpts = 0;
}

static bool has_starttls(const struct smtp_session *c)
{
    return c->s->port->tls == LISTENER_TLS_STARTTLS && !c->s->is_tls;
}

// Passwords only where nobody on the way reads them.
static bool may_auth(const struct smtp_session *c)
{
    return c->s->is_tls || !c->s->port->require_tls;
}

/* mox-smtp-delivery.md 1.4: the extensions and their order. */
static void reply_hello(struct smtp_session *c)
{
    AUTO_BUF b = BUF_LIMIT(4096);
    const struct ipc_listener *port = c->s->port;

    buf_put(&b, port->hostname);
    BUF_PUT(&b, "\nPIPELINING\nSIZE ");
    buf_put_u64(&b, port->max_message_bytes);
    if (has_starttls(c))
        BUF_PUT(&b, "\nSTARTTLS");
    else if (!port->no_requiretls_extension)
        BUF_PUT(&b, "\nREQUIRETLS");
    if (c->is_submission)
        buf_put(&b, may_auth(c) ? STR("\nAUTH PLAIN LOGIN") : STR("\nAUTH "));
    BUF_PUT(&b, "\nENHANCEDSTATUSCODES\n8BITMIME\nLIMITS RCPTMAX=1000\nSMTPUTF8");
    smtp_reply_put(&c->s->out, 250, STR(""), buf_str(&b));
}

static void cmd_hello(struct smtp_session *c, const struct smtp_command *cmd)
{
    struct str name = str_trim(cmd->argument);

    // Clients of users say all sorts of things here; their address says more.
    if (c->is_submission && !c->s->start->settings.is_pedantic)
        name = c->s->conn.remote;
    else if (!smtp_is_hello(name)) {
        SMTP_REPLY(c, 501, "5.5.2", "a domain or address literal belongs after the command");
        return;
    }
    smtp_reset(c);
    c->has_hello = true;
    c->is_esmtp = cmd->verb == SMTP_EHLO;
    c->hello = arena_dup(&c->s->arena, name);
    reply_hello(c);
}

static void cmd_starttls(struct smtp_session *c, const struct smtp_command *cmd)
{
    AUTO_BUF line = BUF_LIMIT(1024);

    if (cmd->argument.n)
        SMTP_REPLY(c, 501, "5.5.2", "STARTTLS takes no argument");
    else if (c->s->is_tls)
        SMTP_REPLY(c, 503, "5.5.1", "TLS is active already");
    else if (!has_starttls(c))
        SMTP_REPLY(c, 503, "5.5.1", "TLS is not available here");
    else if (c->is_authed)
        SMTP_REPLY(c, 503, "5.5.1", "STARTTLS comes before AUTH");
    else {
        buf_printf(&line, "go ahead (%llx)", (unsigned long long)c->s->conn.conn);
        {
            AUTO_BUF text = BUF_LIMIT(1024);

            smtp_reply_put(&text, 220, STR("2.0.0"), buf_str(&line));
            if (!session_start_tls(c->s, buf_str(&text))) {
                c->is_ending = true;
                return;
            }
        }
        // RFC 3207 4.2: all that was said before is forgotten.
        smtp_reset(c);
        c->has_hello = c->is_esmtp = false;
    }
}

/* --- AUTH (RFC 4954) ----------------------------------------------------------------------------- */

// One line of the client in answer to a challenge, decoded. False after a reply or at the end.
static bool read_response(struct smtp_session *c, struct str challenge, struct buf *out)
{
    AUTO_BUF text = BUF_LIMIT(4096);
    struct str line;

    base64_encode(&text, challenge);
    BUF_PUT(&c->s->out, "334 ");
    buf_put(&c->s->out, buf_str(&text));
    BUF_PUT(&c->s->out, "\r\n");
    if (session_read_line(c->s, SMTP_MAX_LINE, &line) != SESSION_LINE) {
        c->is_ending = true;
        return false;
    }
    if (str_eq(line, STR("*"))) {
        SMTP_REPLY(c, 501, "5.5.0", "authentication aborted");
        return false;
    }
    if (!base64_decode_strict(out, line)) {
        SMTP_REPLY(c, 501, "5.5.2", "bad base64");
        return false;
    }
    return true;
}

// mox-smtp-delivery.md 1.5, "Delay".
static void wait_after_failures(const struct smtp_session *c)
{
    struct timespec t = {.tv_sec = c->failed_logins > SMTP_SLOW_AFTER
                                       ? (long)c->failed_logins - SMTP_SLOW_AFTER : 0};

    if (t.tv_sec)
        nanosleep(&t, NULL);
}

static void verify(struct smtp_session *c, struct str plain)
{
    enum ipc_outcome outcome;
    struct str text;
    struct err e = {0};

    wait_after_failures(c);
    if (!session_auth(c->s, STR("PLAIN"), plain, &outcome, &text, &e)) {
        LOG(LOG_ERROR, package(c), "asking auth", LOG_E(&e));
        SMTP_REPLY(c, 454, "4.7.0", "cannot check the password now, try again later");
        c->is_ending = true; // its answers could no longer be told apart
        return;
    }
    switch (outcome) {
    case IPC_OK:
        c->is_authed = true;
        c->failed_logins = 0;
        c->s->is_slow = false;
        SMTP_REPLY(c, 235, "2.7.0", "nice");
        return;
    case IPC_SYNTAX:
        SMTP_REPLY(c, 501, "5.5.4", "malformed credentials");
        return;
    case IPC_TEMPORARY:
        smtp_reply(c, 454, "4.7.0", text);
        return;
    case IPC_BAD:
    case IPC_LIMITED:
    case IPC_CONTINUE:
    case IPC_UNKNOWN:
        break;
    }
    if (++c->failed_logins >= SMTP_SLOW_AFTER)
        c->s->is_slow = true;
    smtp_reply(c, str_starts(text, STR("login disabled")) ? 525 : 535,
               str_starts(text, STR("login disabled")) ? "5.7.13" : "5.7.8", text);
    c->is_ending = outcome == IPC_LIMITED;
}

static void auth_plain(struct smtp_session *c, struct str initial, bool has_initial)
{
    AUTO_BUF message = BUF_LIMIT(SMTP_MAX_LINE);

    if (!has_initial) {
        if (!read_response(c, STR(""), &message))
            return;
    } else if (!str_eq(initial, STR("=")) && !base64_decode_strict(&message, initial)) {
        SMTP_REPLY(c, 501, "5.5.2", "bad base64");
        return;
    }
    verify(c, buf_str(&message));
}

/* The mechanism without a specification: name and password, each asked for. */
static void auth_login(struct smtp_session *c, struct str initial, bool has_initial)
{
    AUTO_BUF name = BUF_LIMIT(SMTP_MAX_LINE);
    AUTO_BUF password = BUF_LIMIT(SMTP_MAX_LINE);
    AUTO_BUF message = BUF_LIMIT(2 * SMTP_MAX_LINE);

    if (has_initial && !str_eq(initial, STR("=")) && !base64_decode_strict(&name, initial)) {
        SMTP_REPLY(c, 501, "5.5.2", "bad base64");
        return;
    }
    if (!has_initial && !read_response(c, STR("Username:"), &name))
        return;
    if (!read_response(c, STR("Password:"), &password))
        return;
    if (!session_plain_message(&message, buf_str(&name), buf_str(&password)))
        SMTP_REPLY(c, 501, "5.5.4", "malformed credentials");
    else
        verify(c, buf_str(&message));
}

static void cmd_auth(struct smtp_session *c, const struct smtp_command *cmd)
{
    struct str mechanism = cmd->argument, initial = {0};
    bool has_initial = str_cut(cmd->argument, ' ', &mechanism, &initial);

    initial = str_trim(initial);
    if (!c->is_submission)
        SMTP_REPLY(c, 503, "5.5.1", "no authentication on this port");
    else if (c->is_authed || c->has_mail)
        SMTP_REPLY(c, 503, "5.5.1", "not now: authenticated already, or in a transaction");
    else if (has_initial && !initial.n)
        SMTP_REPLY(c, 501, "5.5.2", "initial response missing after the space");
    else if (!str_eq(mechanism, STR("PLAIN")) && !str_eq(mechanism, STR("LOGIN")))
        SMTP_REPLY(c, 504, "5.5.4", "mechanism not supported");
    else if (!may_auth(c))
        SMTP_REPLY(c, 538, "5.7.11", "TLS is required before passwords");
    else if (str_eq(mechanism, STR("PLAIN")))
        auth_plain(c, initial, has_initial);
    else
        auth_login(c, initial, has_initial);
}

/* --- the envelope -------------------------------------------------------------------------------- */

static bool may_send_as(struct smtp_session *c, struct str localpart, struct str domain,
                        bool *is_allowed, struct err *e)
{
    struct session *s = c->s;
    struct ipc_from_reply r;

    if (!session_grant(s, IPC_SERVICE_AUTH, &s->auth, ROLE_AUTH, e) ||
        !IPC_SEND(&s->auth, from_check, NULL, 0, e, .localpart = localpart, .domain = domain) ||
        !channel_expect(&s->auth, IPC_from_reply, s->packet, SESSION_IPC_TIMEOUT_MS, e) ||
        !ipc_from_reply_get(s->packet->body, &r, e))
        return false;
    *is_allowed = r.outcome == IPC_OK;
    return true;
}

static bool check_sender(struct smtp_session *c, const struct smtp_mail *m)
{
    bool is_literal = str_starts(m->from.domain, STR("["));
    bool is_null = !m->from.localpart.n && !m->from.domain.n, is_allowed = true;
    struct err e = {0};

    if (is_literal) {
        smtp_reply(c, 550, c->is_submission ? "5.7.1" : "5.7.0",
                   STR("address literals are not accepted as sender"));
        return false;
    }
    if (!c->is_submission || is_null)
        return true;
    if (!may_send_as(c, m->from.localpart, m->from.domain, &is_allowed, &e)) {
        LOG(LOG_ERROR, package(c), "asking auth", LOG_E(&e));
        SMTP_REPLY(c, 451, "4.3.0", "cannot check the sender now, try again later");
        c->is_ending = true;
        return false;
    }
    if (!is_allowed)
        SMTP_REPLY(c, 550, "5.7.1", "that is not an address of your account");
    return is_allowed;
}

// A line that does not parse, as a reply. utf8_code: for an address that needs SMTPUTF8.
static void refuse_syntax(struct smtp_session *c, const struct err *e, unsigned utf8_code)
{
    if (e->kind == ERR_DENIED)
        smtp_reply(c, utf8_code, "5.6.7", str_of(e->text));
    else
        smtp_reply(c, e->kind == ERR_NOT_FOUND ? 555 : 501,
                   e->kind == ERR_NOT_FOUND ? "5.3.3" : "5.5.2", str_of(e->text));
}

static bool is_utf8_needed(const struct smtp_address *a)
{
    return !str_is_ascii(a->localpart) || !str_is_ascii(a->domain);
}

/* RFC 5321 3.3, 4.1.1.2. */
static void cmd_mail(struct smtp_session *c, const struct smtp_command *cmd)
{
    const struct ipc_listener *port = c->s->port;
    AUTO_BUF path = BUF_LIMIT(4096);
    struct err e = {0};
    struct smtp_mail m;

    if (c->is_submission && !c->is_authed)
        SMTP_REPLY(c, 530, "5.7.0", "authentication required");
    else if (c->has_mail)
        SMTP_REPLY(c, 503, "5.5.1", "a transaction is open already");
    else if (c->bad > SMTP_MAX_BAD && !c->good) {
        SMTP_REPLY(c, 550, "5.1.0", "too many failed messages");
        c->is_ending = true;
    } else if (!smtp_parse_mail(&c->a, cmd->argument, &m, &e))
        refuse_syntax(c, &e, 550);
    else if (m.size > port->max_message_bytes)
        smtp_reply(c, 552, port->max_message_bytes < 104857600 ? "5.2.3" : "5.3.4",
                   STR("message too large"));
    else if (is_utf8_needed(&m.from) && !m.is_smtputf8)
        SMTP_REPLY(c, 550, "5.6.7", "an address with these letters needs SMTPUTF8");
    else if (m.require_tls && port->no_requiretls_extension)
        SMTP_REPLY(c, 555, "5.3.3", "REQUIRETLS is not offered");
    else if (m.require_tls && !c->s->is_tls)
        SMTP_REPLY(c, 523, "5.7.10", "REQUIRETLS needs TLS");
    else if (check_sender(c, &m)) {
        smtp_address_put(&path, &m.from);
        c->mail = m;
        c->reverse_path = arena_dup(&c->a, buf_str(&path));
        c->has_mail = true;
        SMTP_REPLY(c, 250, "2.1.0", "looking good");
    }
}

static bool check_rcpt(struct smtp_session *c, const struct smtp_address *to,
                       struct ipc_rcpt_reply *r, struct err *e)
{
    struct session *s = c->s;

    return session_grant(s, IPC_SERVICE_AUTH, &s->auth, ROLE_AUTH, e) &&
           IPC_SEND(&s->auth, rcpt_check, NULL, 0, e, .localpart = to->localpart,
                    .domain = to->domain) &&
           channel_expect(&s->auth, IPC_rcpt_reply, s->packet, SESSION_IPC_TIMEOUT_MS, e) &&
           ipc_rcpt_reply_get(s->packet->body, r, e);
}

static void add_rcpt(struct smtp_session *c, const struct smtp_address *to)
{
    AUTO_BUF path = BUF_LIMIT(4096);
    char enhanced[17] = {0};
    struct ipc_rcpt_reply r;
    struct err e = {0};

    if (!check_rcpt(c, to, &r, &e)) {
        LOG(LOG_ERROR, package(c), "asking auth", LOG_E(&e));
        SMTP_REPLY(c, 451, "4.3.0", "cannot check the recipient now, try again later");
        c->is_ending = true;
        return;
    }
    for (size_t i = 0; i < r.enhanced.n && i < sizeof enhanced - 1; i++)
        enhanced[i] = r.enhanced.p[i];
    if (r.code == 250) {
        smtp_address_put(&path, to);
        *ARENA_PUSH(&c->a, c->rcpts, &c->n_rcpts, &c->cap_rcpts) =
            (struct smtp_rcpt){arena_dup(&c->a, buf_str(&path)), r.grant, r.n_grants};
        SMTP_REPLY(c, 250, "2.1.0", "now on the list");
    } else {
        smtp_reply(c, r.code, enhanced, r.text);
    }
}

/* RFC 5321 3.3, 4.1.1.3. */
static void cmd_rcpt(struct smtp_session *c, const struct smtp_command *cmd)
{
    bool is_null = !c->reverse_path.n;
    struct smtp_address to;
    struct err e = {0};

    if (!c->has_mail)
        SMTP_REPLY(c, 503, "5.5.1", "MAIL comes before RCPT");
    else if (!smtp_parse_rcpt(&c->a, cmd->argument, &to, &e))
        refuse_syntax(c, &e, 553);
    else if (c->n_rcpts >= SMTP_MAX_RCPT)
        SMTP_REPLY(c, 452, "4.5.3", "at most 1000 recipients");
    else if (!c->is_submission && is_null && c->n_rcpts)
        SMTP_REPLY(c, 452, "4.5.3", "one recipient for a message without sender");
    else if (!c->is_submission && c->s->port->require_tls && !c->s->is_tls)
        SMTP_REPLY(c, 530, "5.7.0", "STARTTLS is required");
    else if (is_utf8_needed(&to) && !c->mail.is_smtputf8)
        SMTP_REPLY(c, 553, "5.6.7", "an address with these letters needs SMTPUTF8");
    else if (!c->is_submission && str_starts(to.domain, STR("[")))
        SMTP_REPLY(c, 550, "5.1.1", "address literals are not served");
    else
        add_rcpt(c, &to);
}

static void cmd_data(struct smtp_session *c, const struct smtp_command *cmd)
{
    if (cmd->argument.n)
        SMTP_REPLY(c, 501, "5.5.2", "DATA takes no argument");
    else if (!c->has_mail)
        SMTP_REPLY(c, 503, "5.5.1", "MAIL comes before DATA");
    else if (!c->n_rcpts)
        SMTP_REPLY(c, 554, "5.5.1", "no valid recipients");
    else
        smtp_data(c);
}

/* --- the rest ------------------------------------------------------------------------------------ */

static void cmd_rset(struct smtp_session *c, const struct smtp_command *cmd)
{
    if (cmd->argument.n) {
        SMTP_REPLY(c, 501, "5.5.2", "RSET takes no argument");
        return;
    }
    smtp_reset(c);
    SMTP_REPLY(c, 250, "2.0.0", "all clear");
}

static void cmd_vrfy(struct smtp_session *c, const struct smtp_command *cmd)
{
    if (cmd->argument.n)
        SMTP_REPLY(c, 252, "2.7.0", "no verification here, but send it");
    else
        SMTP_REPLY(c, 501, "5.5.2", "an argument is required");
}

static void cmd_help(struct smtp_session *c, const struct smtp_command *cmd)
{
    (void)cmd;
    SMTP_REPLY(c, 214, "2.0.0", "see RFC 5321");
}

static void cmd_noop(struct smtp_session *c, const struct smtp_command *cmd)
{
    (void)cmd;
    SMTP_REPLY(c, 250, "2.0.0", "alrighty");
}

static void cmd_quit(struct smtp_session *c, const struct smtp_command *cmd)
{
    if (cmd->argument.n) {
        SMTP_REPLY(c, 501, "5.5.2", "QUIT takes no argument");
        return;
    }
    SMTP_REPLY(c, 221, "2.0.0", "okay thanks bye");
    c->is_ending = true;
}

struct verb {
    void (*run)(struct smtp_session *c, const struct smtp_command *cmd);
    bool needs_hello;
};
static const struct verb verbs[] = {
    [SMTP_HELO] = {cmd_hello, false},    [SMTP_EHLO] = {cmd_hello, false},
    [SMTP_STARTTLS] = {cmd_starttls, true}, [SMTP_AUTH] = {cmd_auth, true},
    [SMTP_MAIL] = {cmd_mail, true},      [SMTP_RCPT] = {cmd_rcpt, true},
    [SMTP_DATA] = {cmd_data, true},      [SMTP_RSET] = {cmd_rset, false},
    [SMTP_VRFY] = {cmd_vrfy, false},     [SMTP_EXPN] = {cmd_vrfy, false},
    [SMTP_HELP] = {cmd_help, false},     [SMTP_NOOP] = {cmd_noop, false},
    [SMTP_QUIT] = {cmd_quit, false},
};

static void run_command(struct smtp_session *c, struct str line)
{
    struct smtp_command cmd;

    smtp_parse_command(line, &cmd);
    if (cmd.verb == SMTP_AUTH)
        LOG(LOG_TRACEAUTH, package(c), "C:", LOG_S("line", line));
    else
        LOG(LOG_TRACE, package(c), "C:", LOG_S("line", line));
    if (cmd.verb == SMTP_UNKNOWN) {
        // A first line that is no SMTP is from someone who thinks that we speak something else.
        SMTP_REPLY(c, 500, c->is_first ? "5.5.2" : "5.5.1", "unknown command");
        c->is_ending = c->is_first;
    } else if (verbs[cmd.verb].needs_hello && !c->has_hello) {
        SMTP_REPLY(c, 503, "5.5.1", "EHLO or HELO comes first");
    } else {
        verbs[cmd.verb].run(c, &cmd);
    }
    c->is_first = false;
}

void smtp_session(struct session *s)
{
    struct smtp_session c = {.s = s, .is_submission = s->port->protocol == IPC_PROTOCOL_SUBMISSION,
                             .is_first = true, .a = ARENA_LIMIT(8 << 20)};
    AUTO_BUF greeting = BUF_LIMIT(1024);

    buf_put(&greeting, s->port->hostname);
    BUF_PUT(&greeting, " ESMTP mox");
    smtp_reply_put(&s->out, 220, STR(""), buf_str(&greeting));
    while (!c.is_ending) {
        struct str line;

        arena_reset(&s->line_arena);
        switch (session_read_line(s, SMTP_MAX_LINE, &line)) {
        case SESSION_LINE:
            run_command(&c, line);
            break;
        case SESSION_LINE_LONG:
            SMTP_REPLY(&c, 500, "5.5.0", "line too long");
            c.is_ending = true;
            break;
        case SESSION_LINE_BARE:
            // RFC 5321 2.3.8: lines end in CR LF and nothing else.
            SMTP_REPLY(&c, 500, "5.5.2", "a line must end in CR LF");
            c.is_ending = true;
            break;
        case SESSION_STOPPING:
            SMTP_REPLY(&c, 421, "4.3.2", "shutting down");
            c.is_ending = true;
            break;
        case SESSION_END:
            return;
        }
    }
    (void)session_flush(s);
}
