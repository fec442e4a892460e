/*
 * IMAP before login (RFC 9051 6.1, 6.2): what a stranger may say. After it, the account takes over.
 */
#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "os/fd.h"
#include "proto/imap/imap.h"
#include "proto/imap/capability.h"
#include "proto/sasl/sasl.h"
#include "role/session/session.h"

struct imap_stranger {
    struct session *s;
    struct imap_input input;
    struct str tag; // of the running command
    bool is_first, is_ending;
};

static struct buf *out(struct imap_stranger *c)
{
    return &c->s->out;
}

static void reply(struct imap_stranger *c, const char *what, struct str text)
{
    buf_put(out(c), c->tag);
    buf_printf(out(c), " %s ", what);
    for (size_t i = 0; i < text.n; i++) // nothing from elsewhere ends the line
        buf_put_char(out(c), (unsigned char)text.p[i] < 32 ? '?' : text.p[i]);
    BUF_PUT(out(c), "\r\n");
    LOG(LOG_TRACE, "imapserver", "S:", LOG_S("what", str_of(what)), LOG_S("text", text));
}

static void put_capabilities(struct imap_stranger *c)
{
    const struct session *s = c->s;

    imap_capabilities_put(out(c), STR(""));
    if (s->port->tls == LISTENER_TLS_STARTTLS && !s->is_tls)
        BUF_PUT(out(c), " STARTTLS");
    buf_put(out(c), s->is_tls || !s->port->require_tls ? STR(" AUTH=PLAIN")
                                                       : STR(" LOGINDISABLED"));
    if (s->has_client_key)
        BUF_PUT(out(c), " AUTH=EXTERNAL");
}

static void cmd_capability(struct imap_stranger *c)
{
    BUF_PUT(out(c), "* CAPABILITY ");
    put_capabilities(c);
    BUF_PUT(out(c), "\r\n");
    reply(c, "OK", STR("CAPABILITY done"));
}

static void cmd_noop(struct imap_stranger *c)
{
    reply(c, "OK", STR("NOOP done"));
}

static void cmd_logout(struct imap_stranger *c)
{
    BUF_PUT(out(c), "* BYE thanks\r\n");
    reply(c, "OK", STR("LOGOUT done"));
    c->is_ending = true;
}

// The version is for those who have logged in.
static void cmd_id(struct imap_stranger *c)
{
    BUF_PUT(out(c), "* ID (\"name\" \"mox\")\r\n");
    reply(c, "OK", STR("ID done"));
}

static void cmd_starttls(struct imap_stranger *c)
{
    AUTO_BUF line = BUF_LIMIT(2048);

    if (c->s->is_tls || c->s->port->tls != LISTENER_TLS_STARTTLS) {
        reply(c, "BAD", c->s->is_tls ? STR("STARTTLS tls already active")
                                     : STR("STARTTLS starttls not announced"));
        return;
    }
    buf_put(&line, c->tag);
    buf_printf(&line, " OK STARTTLS go ahead (%.*s)\r\n", STR_FMT(c->s->received_id));
    if (!session_start_tls(c->s, buf_str(&line)))
        c->is_ending = true;
}

/* --- login ---------------------------------------------------------------------------------------- */

static void refuse_account(struct imap_stranger *c)
{
    struct str text = STR("[UNAVAILABLE] cannot open the account now, try again later");

    if (!c->tag.n) { // there was no greeting yet
        c->tag = STR("*");
        reply(c, "BYE", text);
    } else {
        reply(c, "NO", text);
    }
}

// The stream, the tag and what was read already go to the account, which says OK; without a tag it
// greets.
static void hand_over(struct imap_stranger *c)
{
    struct session *s = c->s;
    struct ipc_granted m;
    struct err e = {0};

    if (!session_flush(s) ||
        !IPC_SEND(&s->monitor, hand_over, &s->stream.fd, 1, &e, .tag = c->tag,
                  .unread = buf_str(&s->in)) ||
        !channel_expect(&s->monitor, IPC_granted, s->packet, SESSION_IPC_TIMEOUT_MS, &e) ||
        !ipc_granted_get(s->packet->body, &m, &e)) {
        LOG(LOG_ERROR, "imapserver", "handing a connection over", LOG_E(&e));
        refuse_account(c);
    } else if (m.reason.n) {
        LOG(LOG_ERROR, "imapserver", "account refused", LOG_S("why", m.reason));
        refuse_account(c);
    } else {
        fd_close(&s->stream.fd); // the account has it
    }
    c->is_ending = true;
}

static bool may_send_password(const struct imap_stranger *c)
{
    return c->s->is_tls || !c->s->port->require_tls;
}

/* mox-imap-store-cli-config.md 1.3. */
static void reply_outcome(struct imap_stranger *c, enum ipc_outcome outcome, struct str text)
{
    switch (outcome) {
    case IPC_OK:
        hand_over(c);
        return;
    case IPC_SYNTAX:
    case IPC_ABORTED:
        reply(c, "BAD", outcome == IPC_SYNTAX ? STR("malformed credentials")
                                              : STR("AUTHENTICATE aborted by client"));
        return;
    case IPC_TEMPORARY:
        reply(c, "NO", STR("[UNAVAILABLE] cannot check credentials now, try again"));
        return;
    case IPC_LIMITED:
        BUF_PUT(out(c), "* BYE too many failed logins, try again later\r\n");
        c->is_ending = true;
        return;
    case IPC_UNKNOWN:
        reply(c, "NO", STR("AUTHENTICATE mechanism not supported"));
        return;
    case IPC_NEEDS_TLS:
        reply(c, "NO", STR("[PRIVACYREQUIRED] tls required for this mechanism"));
        return;
    case IPC_ROLE:
        reply(c, "NO", STR("[AUTHORIZATIONFAILED] cannot assume role"));
        return;
    case IPC_DISABLED:
        reply(c, "NO", text);
        return;
    case IPC_BINDING:
        reply(c, "NO", STR("[AUTHENTICATIONFAILED] channel binding does not match: is somebody in "
                           "between?"));
        return;
    case IPC_SCRAM_FIRST:
    case IPC_SCRAM_FINAL: {
        AUTO_BUF line = BUF_LIMIT(4096);

        BUF_PUT(&line, "[AUTHENTICATIONFAILED] scram: ");
        buf_put(&line, text);
        reply(c, "NO", buf_str(&line));
        return;
    }
    case IPC_BAD:
    case IPC_CONTINUE:
        break;
    }
    reply(c, "NO", STR("[AUTHENTICATIONFAILED] bad user name or password"));
}

static void finish_login(struct imap_stranger *c, enum session_login r, enum ipc_outcome outcome,
                         struct str text)
{
    switch (r) {
    case SESSION_LOGIN_OUTCOME:
        reply_outcome(c, outcome, text);
        return;
    case SESSION_LOGIN_BASE64:
        reply(c, "BAD", STR("AUTHENTICATE bad base64"));
        return;
    case SESSION_LOGIN_LONG:
        reply(c, "BAD", STR("[TOOBIG] AUTHENTICATE line too long"));
        break;
    case SESSION_LOGIN_UNREACHABLE:
        reply(c, "NO", STR("[UNAVAILABLE] cannot check credentials now, try again later"));
        break;
    case SESSION_LOGIN_GONE:
        break;
    }
    c->is_ending = true;
}

static void cmd_login(struct imap_stranger *c, struct imap_parser *p)
{
    enum ipc_outcome outcome;
    struct str name, password, text;
    enum session_login r;

    if (!imap_space(p) || !imap_astring(p, &name) || !imap_space(p) ||
        !imap_astring(p, &password) || !imap_end(p)) {
        reply(c, "BAD", STR("LOGIN takes a name and a password"));
        return;
    }
    if (!may_send_password(c)) {
        reply(c, "NO", STR("[PRIVACYREQUIRED] tls required for login"));
        return;
    }
    r = session_login_begin(c->s, STR("LOGIN"), &name, &outcome, &text);
    if (r == SESSION_LOGIN_OUTCOME && outcome == IPC_CONTINUE)
        r = session_login_step(c->s, password, &outcome, &text);
    finish_login(c, r, outcome, text);
}

/* RFC 9051 6.2.2, RFC 4959. LOGIN is a command here, and no mechanism. */
static void cmd_authenticate(struct imap_stranger *c, struct imap_parser *p)
{
    struct session_dialogue d = {.prefix = STR("+ ")};
    enum sasl_mechanism mechanism;
    enum ipc_outcome outcome;
    struct str text;
    enum session_login r;

    if (!imap_space(p) || !imap_word(p, &d.mechanism) ||
        !((d.has_initial = cur_skip(&p->c, ' ')) || imap_end(p))) {
        reply(c, "BAD", STR("AUTHENTICATE takes a mechanism"));
        return;
    }
    mechanism = sasl_mechanism_of(d.mechanism);
    if (mechanism == SASL_MECHANISMS || mechanism == SASL_LOGIN) {
        reply(c, "NO", STR("AUTHENTICATE mechanism not supported"));
        return;
    }
    if (sasl_info(mechanism)->is_password && !may_send_password(c)) {
        reply(c, "NO", STR("[PRIVACYREQUIRED] tls required for login"));
        return;
    }
    d.initial = cur_rest(&p->c);
    r = session_login(c->s, &d, &outcome, &text);
    finish_login(c, r, outcome, text);
}

// RFC 9051 7.1.4: who has shown a key that is registered is logged in already, and the account
// greets. False when the session has ended.
static bool greet(struct imap_stranger *c)
{
    enum ipc_outcome outcome = IPC_UNKNOWN;
    struct str text;

    if (c->s->has_client_key &&
        session_login_by_key(c->s, &outcome, &text) == SESSION_LOGIN_OUTCOME &&
        outcome == IPC_OK) {
        c->tag = STR("");
        hand_over(c);
        return false;
    }
    BUF_PUT(out(c), "* OK [CAPABILITY ");
    put_capabilities(c);
    BUF_PUT(out(c), "] mox imap\r\n");
    return true;
}

static void run_command(struct imap_stranger *c)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct err e = {0};
    struct str line = buf_str(&c->input.bytes);
    struct imap_parser p = {cur_of(line), &a, false, &e};
    static const struct {
        struct str name;
        void (*run)(struct imap_stranger *c);
        void (*run_with)(struct imap_stranger *c, struct imap_parser *p);
        bool takes_any; // arguments are read over
    } verbs[] = {
        {STR_("CAPABILITY"), cmd_capability, NULL, false}, {STR_("NOOP"), cmd_noop, NULL, false},
        {STR_("LOGOUT"), cmd_logout, NULL, false},         {STR_("ID"), cmd_id, NULL, true},
        {STR_("STARTTLS"), cmd_starttls, NULL, false},     {STR_("LOGIN"), NULL, cmd_login, false},
        {STR_("AUTHENTICATE"), NULL, cmd_authenticate, false},
    };
    struct str word = {0};
    bool was_first = c->is_first, is_open = false;

    c->is_first = false;
    if (!imap_tag(&p, &c->tag) || !imap_space(&p) || !imap_word(&p, &word)) {
        c->tag = STR("*");
        // A first line that is no IMAP is from someone who thinks that we speak something else.
        reply(c, was_first ? "BYE" : "BAD", STR("not an IMAP command"));
        c->is_ending = was_first;
        return;
    }
    c->tag = arena_dup(&c->s->arena, c->tag);
    // What has arguments has a password in them, and so has what was mistyped.
    for (size_t i = 0; i < COUNT(verbs); i++)
        is_open = is_open || (!verbs[i].run_with && str_eq(word, verbs[i].name));
    if (is_open || log_is_on(LOG_TRACEAUTH, "imapserver"))
        LOG(LOG_TRACE, "imapserver", "C:", LOG_S("line", str_sub(line, 0, IMAP_MAX_TRACED)));
    else
        LOG(LOG_TRACE, "imapserver", "C:", LOG_S("command", word), LOG_S("arguments", STR("***")));
    for (size_t i = 0; i < COUNT(verbs); i++) {
        if (!str_eq(word, verbs[i].name))
            continue;
        if (verbs[i].run_with)
            verbs[i].run_with(c, &p);
        else if (!verbs[i].takes_any && cur_left(&p.c))
            reply(c, "BAD", STR("the command takes no arguments"));
        else
            verbs[i].run(c);
        return;
    }
    if (imap_is_command(word)) {
        reply(c, "NO", STR("log in first"));
        return;
    }
    reply(c, "BAD", STR("unknown command"));
    if (was_first) {
        BUF_PUT(out(c), "* BYE not an IMAP client\r\n");
        c->is_ending = true;
    }
}

// Takes the next command out of the stream. False when the session ends.
static bool read_command(struct imap_stranger *c)
{
    struct session *s = c->s;

    imap_input_reset(&c->input);
    for (;;) {
        struct str bytes = buf_str(&s->in);
        size_t had = bytes.n;
        enum imap_input_result r = imap_input_feed(&c->input, &bytes);

        session_used(s, had - bytes.n);
        switch (r) {
        case IMAP_INPUT_COMMAND:
            return true;
        case IMAP_INPUT_CONTINUE:
            BUF_PUT(out(c), "+ \r\n");
            break;
        case IMAP_INPUT_MORE:
            break;
        case IMAP_INPUT_DATA: // strangers append nothing
        case IMAP_INPUT_TOO_BIG:
            BUF_PUT(out(c), "* BYE [TOOBIG] literal too large before login\r\n");
            return false;
        case IMAP_INPUT_TOO_LONG:
            BUF_PUT(out(c), "* BYE line too long\r\n");
            return false;
        case IMAP_INPUT_BAD_LINE:
            BUF_PUT(out(c), "* BYE a line must end in CR LF\r\n");
            return false;
        }
        if (s->in.n)
            continue;
        switch (session_wait(s)) {
        case SESSION_LINE:
            break;
        case SESSION_STOPPING:
            BUF_PUT(out(c), "* BYE shutting down\r\n");
            return false;
        case SESSION_END:
        case SESSION_LINE_LONG:
        case SESSION_LINE_BARE:
            BUF_PUT(out(c), "* BYE inactive\r\n");
            return false;
        }
    }
}

void imap_session(struct session *s)
{
    struct imap_stranger c = {.s = s, .is_first = true};

    METRIC(imap_connection_total, s->port->tls == LISTENER_TLS_IMMEDIATE);
    imap_input_init(&c.input, &imap_limits_stranger);
    c.is_ending = !greet(&c);
    while (!c.is_ending && read_command(&c)) {
        run_command(&c);
        if (s->arena.used > 8u << 20) // tags of someone who never logs in
            break;
        arena_reset(&s->line_arena);
    }
    if (s->stream.fd >= 0)
        (void)session_flush(s);
    imap_input_fini(&c.input);
}
