/*
 * AUTH on a submission port (RFC 4954).
 */
#include "base/log.h"
#include "proto/sasl/sasl.h"
#include "role/session/smtp.h"

// Passwords only where nobody on the way reads them.
static bool may_send_password(const struct smtp_session *c)
{
    return c->s->is_tls || !c->s->port->require_tls;
}

/* mox-smtp-delivery.md 1.4: strongest first; those that bind the channel also where there is none,
 * so that clients notice when somebody takes them away. */
void smtp_put_mechanisms(const struct smtp_session *c, struct buf *out)
{
    bool is_first = true;

    BUF_PUT(out, "AUTH ");
    for (int i = 0; i < SASL_MECHANISMS && may_send_password(c); i++) {
        if (i == SASL_EXTERNAL && !c->s->has_client_key)
            continue;
        buf_put(out, is_first ? STR("") : STR(" "));
        buf_put(out, sasl_info((enum sasl_mechanism)i)->name);
        is_first = false;
    }
}

void smtp_login_by_key(struct smtp_session *c)
{
    enum ipc_outcome outcome;
    struct str text;

    if (!c->is_submission || !c->s->has_client_key)
        return;
    if (session_login_by_key(c->s, &outcome, &text) == SESSION_LOGIN_OUTCOME && outcome == IPC_OK)
        c->is_authed = true;
}

/* mox-smtp-delivery.md 1.5. */
static void reply_outcome(struct smtp_session *c, enum ipc_outcome outcome, struct str text)
{
    static const struct {
        unsigned code;
        const char *enhanced;
    } replies[] = {
        [IPC_OK] = {235, "2.7.0"},           [IPC_BAD] = {535, "5.7.8"},
        [IPC_TEMPORARY] = {454, "4.7.0"},    [IPC_LIMITED] = {535, "5.7.8"},
        [IPC_SYNTAX] = {501, "5.5.4"},       [IPC_UNKNOWN] = {504, "5.5.4"},
        [IPC_NEEDS_TLS] = {538, "5.7.11"},   [IPC_ROLE] = {535, "5.7.8"},
        [IPC_DISABLED] = {525, "5.7.13"},    [IPC_BINDING] = {535, "5.7.7"},
        [IPC_SCRAM_FIRST] = {455, "4.7.0"},  [IPC_SCRAM_FINAL] = {535, "5.7.0"},
        [IPC_ABORTED] = {501, "5.5.0"},
    };

    if (outcome == IPC_OK) {
        c->is_authed = c->has_sasl = true;
        text = STR("nice");
    } else if (outcome == IPC_ABORTED) {
        text = STR("authentication aborted");
    } else if (outcome == IPC_BINDING) {
        text = STR("channel binding does not match: is somebody in between?");
    }
    smtp_reply(c, replies[outcome].code, replies[outcome].enhanced, text);
    c->is_ending = outcome == IPC_LIMITED;
}

static void authenticate(struct smtp_session *c, const struct session_dialogue *d)
{
    enum ipc_outcome outcome;
    struct str text;

    switch (session_login(c->s, d, &outcome, &text)) {
    case SESSION_LOGIN_OUTCOME:
        reply_outcome(c, outcome, text);
        return;
    case SESSION_LOGIN_BASE64:
        SMTP_REPLY(c, 501, "5.5.2", "bad base64");
        return;
    case SESSION_LOGIN_LONG:
        SMTP_REPLY(c, 500, "5.5.6", "line of authentication too long");
        break;
    case SESSION_LOGIN_UNREACHABLE:
        SMTP_REPLY(c, 454, "4.7.0", "cannot check credentials now, try again later");
        break;
    case SESSION_LOGIN_GONE:
        break;
    }
    c->is_ending = true;
}

void smtp_cmd_auth(struct smtp_session *c, const struct smtp_command *cmd)
{
    struct session_dialogue d = {.mechanism = cmd->argument, .prefix = STR("334 ")};
    bool is_pedantic = c->s->start->settings.is_pedantic;
    enum sasl_mechanism mechanism;

    d.has_initial = str_cut(cmd->argument, ' ', &d.mechanism, &d.initial);
    if (!is_pedantic) // Windows Mail has more spaces
        d.initial = str_trim(d.initial);
    mechanism = sasl_mechanism_of(d.mechanism);
    if (!c->is_submission)
        SMTP_REPLY(c, 503, "5.5.1", "no authentication on this port");
    else if (c->has_sasl || c->has_mail)
        SMTP_REPLY(c, 503, "5.5.1", "not now: authenticated already, or in a transaction");
    else if (d.has_initial && !d.initial.n)
        SMTP_REPLY(c, 501, "5.5.2", "initial response missing after the space");
    else if (mechanism == SASL_MECHANISMS)
        SMTP_REPLY(c, 504, "5.5.4", "mechanism not supported");
    else if (sasl_info(mechanism)->is_password && !may_send_password(c))
        SMTP_REPLY(c, 538, "5.7.11", "TLS is required before passwords");
    else
        authenticate(c, &d);
}
