/*
 * SMTP and submission (RFC 5321, 6409): the commands.
 */
#include "role/session/smtp_verify.h"

#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "text/date.h"

const char *smtp_package(const struct smtp_session *c)
{
    return c->is_submission ? "submission" : "smtpserver";
}

void smtp_reply(struct smtp_session *c, unsigned code, const char *enhanced, struct str text)
{
    AUTO_BUF b = BUF_LIMIT(1 << 16);

    c->code = code;
    c->enhanced = metric_enhanced(str_of(enhanced));
    buf_put(&b, text);
    if (code >= 400)
        buf_printf(&b, " (%.*s)", STR_FMT(c->s->received_id));
    smtp_reply_put(&c->s->out, code, str_of(enhanced), buf_str(&b));
    LOG(LOG_TRACE, smtp_package(c), "S:", LOG_N("code", code), LOG_S("text", text));
}

void smtp_reply_broken(struct smtp_session *c, const char *doing, const struct err *e)
{
    LOG(LOG_ERROR, smtp_package(c), doing, LOG_E(e));
    SMTP_REPLY(c, 451, "4.3.0", "temporary failure, try again later");
    c->is_ending = true;
}

void smtp_reset(struct smtp_session *c)
{
    smtp_spool_close(&c->spool);
    arena_reset(&c->a);
    c->has_mail = false;
    c->mail = (struct smtp_mail){0};
    c->rcpts = NULL;
    c->n_rcpts = c->cap_rcpts = 0;
    c->n_targets = 0;
    c->sender = NULL;
}

static bool has_starttls(const struct smtp_session *c)
{
    return c->s->port->tls == LISTENER_TLS_STARTTLS && !c->s->is_tls;
}

/* mox-smtp-delivery.md 1.3: blanks at the end are forgiven to servers, not to submitters. */
bool smtp_has_no_argument(struct smtp_session *c, const struct smtp_command *cmd)
{
    if (c->is_submission ? !cmd->has_space : !str_trim(cmd->argument).n)
        return true;
    SMTP_REPLY(c, 501, "5.5.2", "no argument belongs after this command");
    return false;
}

/* mox-smtp-delivery.md 1.4: the extensions and their order; CHUNKING and BINARYMIME are ours. */
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
    if (c->is_submission) {
        BUF_PUT(&b, "\n");
        smtp_put_mechanisms(c, &b);
        buf_printf(&b, "\nFUTURERELEASE %d ", SMTP_MAX_HOLD_S);
        date_put_rfc3339(&b, os_now_unix() + SMTP_MAX_HOLD_S);
        BUF_PUT(&b, "\nDSN");
    }
    BUF_PUT(&b, "\nENHANCEDSTATUSCODES\n8BITMIME\nCHUNKING\nBINARYMIME\nLIMITS RCPTMAX=1000\nSMTPUTF8");
    smtp_reply_put(&c->s->out, 250, STR(""), buf_str(&b));
    c->code = 250;
}

static void cmd_hello(struct smtp_session *c, const struct smtp_command *cmd)
{
    struct str name = c->is_submission ? cmd->argument : str_trim(cmd->argument);

    // Clients of users say all sorts of things here; their address says more.
    if (c->is_submission && !c->is_pedantic)
        name = c->s->conn.remote;
    else if (!smtp_is_hello(name)) {
        SMTP_REPLY(c, 501, "5.5.2", "a domain or address literal belongs after the command");
        return;
    }
    if (cmd->verb == SMTP_HELO && !smtp_verify_hello(c, name)) {
        SMTP_REPLY(c, 550, "5.5.0", "your name after HELO does not exist");
        return;
    }
    smtp_reset(c);
    c->has_hello = true;
    c->is_esmtp = cmd->verb == SMTP_EHLO;
    buf_reset(&c->hello);
    buf_put(&c->hello, name);
    reply_hello(c);
}

static void count_failed_tls(const struct tls *tls)
{
    AUTO_BUF reason = BUF_LIMIT(100);

    tls_end_put_label(tls, &reason);
    METRIC(smtpserver_delivery_starttls_errors_total,
           metric_word(METRIC_smtpserver_delivery_starttls_errors_total, 0, buf_str(&reason)));
}

static void cmd_starttls(struct smtp_session *c, const struct smtp_command *cmd)
{
    AUTO_BUF line = BUF_LIMIT(1024);

    if (!smtp_has_no_argument(c, cmd))
        return;
    if (c->s->is_tls)
        SMTP_REPLY(c, 503, "5.5.1", "TLS is active already");
    else if (!has_starttls(c))
        SMTP_REPLY(c, 503, "5.5.1", "TLS is not available here");
    else if (c->is_authed)
        SMTP_REPLY(c, 503, "5.5.1", "STARTTLS comes before AUTH");
    else {
        AUTO_BUF reply = BUF_LIMIT(1024);

        buf_printf(&line, "go ahead (%.*s)", STR_FMT(c->s->received_id));
        smtp_reply_put(&reply, 220, STR("2.0.0"), buf_str(&line));
        c->code = 220;
        if (!c->is_submission)
            METRIC(smtpserver_delivery_starttls_total);
        if (!session_start_tls(c->s, buf_str(&reply))) {
            if (!c->is_submission)
                count_failed_tls(c->s->stream.tls);
            c->is_ending = true;
            return;
        }
        // RFC 3207 4.2: all that was said before is forgotten.
        smtp_reset(c);
        c->has_hello = c->is_esmtp = false;
        smtp_login_by_key(c);
    }
}

static void cmd_rset(struct smtp_session *c, const struct smtp_command *cmd)
{
    if (!smtp_has_no_argument(c, cmd))
        return;
    smtp_reset(c);
    SMTP_REPLY(c, 250, "2.0.0", "all clear");
}

static void cmd_vrfy(struct smtp_session *c, const struct smtp_command *cmd)
{
    if (str_trim(cmd->argument).n)
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
    if (!smtp_has_no_argument(c, cmd))
        return;
    SMTP_REPLY(c, 221, "2.0.0", "okay thanks bye");
    c->is_ending = true;
}

struct verb {
    void (*run)(struct smtp_session *c, const struct smtp_command *cmd);
    bool needs_hello;
};
static const struct verb verbs[] = {
    [SMTP_HELO] = {cmd_hello, false},         [SMTP_EHLO] = {cmd_hello, false},
    [SMTP_STARTTLS] = {cmd_starttls, true},   [SMTP_AUTH] = {smtp_cmd_auth, true},
    [SMTP_MAIL] = {smtp_cmd_mail, true},      [SMTP_RCPT] = {smtp_cmd_rcpt, true},
    [SMTP_DATA] = {smtp_cmd_data, true},      [SMTP_RSET] = {cmd_rset, false},
    [SMTP_BDAT] = {smtp_cmd_bdat, false}, // it has a chunk to swallow, whatever the state
    [SMTP_VRFY] = {cmd_vrfy, false},          [SMTP_EXPN] = {cmd_vrfy, false},
    [SMTP_HELP] = {cmd_help, false},          [SMTP_NOOP] = {cmd_noop, false},
    [SMTP_QUIT] = {cmd_quit, false},
};

static void run_command(struct smtp_session *c, struct str line)
{
    int64_t began = os_monotonic_ms();
    struct smtp_command cmd;

    smtp_parse_command(line, &cmd);
    c->code = 0;
    c->enhanced = 0;
    if (cmd.verb == SMTP_AUTH)
        LOG(LOG_TRACEAUTH, smtp_package(c), "C:", LOG_S("line", line));
    else
        LOG(LOG_TRACE, smtp_package(c), "C:", LOG_S("line", line));
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
    METRIC_TIME(smtpserver_command_duration_seconds, os_monotonic_ms() - began, c->is_submission, cmd.verb, c->code,
                c->enhanced);
}

// One line of the client. False when there is nobody to answer.
static bool serve_line(struct smtp_session *c)
{
    struct str line;

    arena_reset(&c->s->line_arena);
    switch (session_read_line(c->s, SMTP_MAX_LINE, &line)) {
    case SESSION_LINE:
        run_command(c, line);
        return true;
    case SESSION_LINE_LONG:
        SMTP_REPLY(c, 500, "5.5.0", "line too long");
        break;
    case SESSION_LINE_BARE:
        // RFC 5321 2.3.8: lines end in CR LF and nothing else.
        SMTP_REPLY(c, 500, "5.5.2", "a line must end in CR LF");
        break;
    case SESSION_STOPPING:
        SMTP_REPLY(c, 421, "4.3.2", "shutting down");
        break;
    case SESSION_END:
        return false;
    }
    c->is_ending = true;
    return true;
}

void smtp_session(struct session *s)
{
    struct smtp_session c = {.s = s, .is_submission = s->port->protocol == IPC_PROTOCOL_SUBMISSION,
                             .is_pedantic = s->start->settings.is_pedantic, .is_first = true,
                             .hello = BUF_LIMIT(SMTP_MAX_LINE), .a = ARENA_LIMIT(16 << 20), .spool = {.fd = -1}};
    AUTO_BUF greeting = BUF_LIMIT(1024);

    buf_put(&greeting, s->port->hostname);
    BUF_PUT(&greeting, " ESMTP mox");
    METRIC(smtpserver_connection_total, c.is_submission);
    smtp_reply_put(&s->out, 220, STR(""), buf_str(&greeting));
    smtp_login_by_key(&c);
    while (!c.is_ending)
        if (!serve_line(&c))
            break;
    if (c.is_ending)
        (void)session_flush(s);
    smtp_reset(&c);
    arena_fini(&c.a);
    buf_fini(&c.hello);
}
