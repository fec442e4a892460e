/*
 * AUTH on a submission port (RFC 4954).
 */
#include "base/log.h"
#include "os/clock.h"
#include "role/session/smtp.h"
#include "text/encode.h"

// Passwords only where nobody on the way reads them.
bool smtp_may_auth(const struct smtp_session *c)
{
    return c->s->is_tls || !c->s->port->require_tls;
}

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
    if (c->failed_logins > SMTP_SLOW_AFTER)
        os_sleep_ms(1000 * (int64_t)(c->failed_logins - SMTP_SLOW_AFTER));
}

static void verify(struct smtp_session *c, struct str plain)
{
    enum ipc_outcome outcome;
    struct str text;
    struct err e = {0};

    wait_after_failures(c);
    if (!session_auth(c->s, STR("PLAIN"), plain, &outcome, &text, &e)) {
        LOG(LOG_ERROR, smtp_package(c), "asking auth", LOG_E(&e));
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

void smtp_cmd_auth(struct smtp_session *c, const struct smtp_command *cmd)
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
    else if (!smtp_may_auth(c))
        SMTP_REPLY(c, 538, "5.7.11", "TLS is required before passwords");
    else if (str_eq(mechanism, STR("PLAIN")))
        auth_plain(c, initial, has_initial);
    else
        auth_login(c, initial, has_initial);
}
