/*
 * Logins, the same for all protocols: the exchange between a client and auth, message by message,
 * and what failures cost.
 */
#include "base/log.h"
#include "os/clock.h"
#include "role/session/session.h"
#include "text/encode.h"

enum { SLOW_AFTER = 3 }; // failed logins; mox-smtp-delivery.md 1.2 and 1.5

// What is wrong with the conversation with auth: its answers can no longer be told apart.
static enum session_login unreachable(struct session *s, const struct err *e)
{
    LOG(LOG_ERROR, "session", "asking auth", LOG_E(e), LOG_S("remote", s->conn.remote));
    channel_close(&s->auth);
    return SESSION_LOGIN_UNREACHABLE;
}

static void wait_after_failures(const struct session *s)
{
    if (s->failed_logins > SLOW_AFTER)
        os_sleep_ms(1000 * (int64_t)(s->failed_logins - SLOW_AFTER));
}

static void count_outcome(struct session *s, enum ipc_outcome outcome)
{
    switch (outcome) {
    case IPC_OK:
        s->failed_logins = 0;
        s->is_slow = false;
        break;
    case IPC_BAD:
    case IPC_ROLE:
    case IPC_BINDING:
    case IPC_SCRAM_FINAL:
    case IPC_LIMITED:
        if (++s->failed_logins >= SLOW_AFTER)
            s->is_slow = true;
        break;
    case IPC_CONTINUE:
    case IPC_TEMPORARY:
    case IPC_SYNTAX:
    case IPC_UNKNOWN:
    case IPC_NEEDS_TLS:
    case IPC_DISABLED:
    case IPC_SCRAM_FIRST:
    case IPC_ABORTED:
        break;
    }
}

enum session_login session_login_begin(struct session *s, struct str mechanism,
                                       const struct str *response, enum ipc_outcome *outcome,
                                       struct str *text)
{
    struct err e = {0};

    wait_after_failures(s);
    if (!session_auth_step(s, mechanism, response, outcome, text, &e))
        return unreachable(s, &e);
    count_outcome(s, *outcome);
    return SESSION_LOGIN_OUTCOME;
}

enum session_login session_login_step(struct session *s, struct str response,
                                      enum ipc_outcome *outcome, struct str *text)
{
    struct err e = {0};

    if (!session_auth_step(s, STR(""), &response, outcome, text, &e))
        return unreachable(s, &e);
    count_outcome(s, *outcome);
    return SESSION_LOGIN_OUTCOME;
}

// The client does not go on; auth may have had something to say already.
static enum session_login give_up(struct session *s, enum ipc_outcome *outcome, struct str *text)
{
    struct err e = {0};

    if (!session_auth_abort(s, outcome, text, &e))
        return unreachable(s, &e);
    count_outcome(s, *outcome);
    return SESSION_LOGIN_OUTCOME;
}

// Sends a challenge and reads the client's answer. SESSION_LOGIN_OUTCOME when there is one, decoded,
// or when it is the word for giving up.
static enum session_login ask(struct session *s, const struct session_dialogue *d,
                              struct str challenge, struct buf *response, bool *has_given_up)
{
    struct str line;

    buf_put(&s->out, d->prefix);
    base64_encode(&s->out, challenge);
    BUF_PUT(&s->out, "\r\n");
    switch (session_read_line(s, SESSION_LOGIN_LINE, &line)) {
    case SESSION_LINE:
        break;
    case SESSION_LINE_LONG:
        return SESSION_LOGIN_LONG;
    case SESSION_LINE_BARE:
    case SESSION_END:
    case SESSION_STOPPING:
        return SESSION_LOGIN_GONE;
    }
    *has_given_up = str_eq(line, STR("*"));
    buf_reset(response);
    return *has_given_up || base64_decode_strict(response, line) ? SESSION_LOGIN_OUTCOME
                                                                 : SESSION_LOGIN_BASE64;
}

enum session_login session_login(struct session *s, const struct session_dialogue *d,
                                 enum ipc_outcome *outcome, struct str *text)
{
    AUTO_BUF response = BUF_LIMIT(SESSION_LOGIN_LINE);
    struct str initial;
    enum session_login r;

    if (d->has_initial && !str_eq(d->initial, STR("=")) &&
        !base64_decode_strict(&response, d->initial))
        return SESSION_LOGIN_BASE64;
    initial = buf_str(&response);
    r = session_login_begin(s, d->mechanism, d->has_initial ? &initial : NULL, outcome, text);
    while (r == SESSION_LOGIN_OUTCOME && *outcome == IPC_CONTINUE) {
        bool has_given_up = false;

        r = ask(s, d, *text, &response, &has_given_up);
        if (r == SESSION_LOGIN_BASE64) { // RFC 4954 4, RFC 9051 6.2.2: the exchange is over
            enum session_login ended = give_up(s, outcome, text);

            return ended == SESSION_LOGIN_OUTCOME ? r : ended;
        }
        if (r != SESSION_LOGIN_OUTCOME)
            break;
        r = has_given_up ? give_up(s, outcome, text)
                         : session_login_step(s, buf_str(&response), outcome, text);
    }
    return r;
}

enum session_login session_login_by_key(struct session *s, enum ipc_outcome *outcome,
                                        struct str *text)
{
    struct err e = {0};

    return session_auth_key(s, outcome, text, &e) ? SESSION_LOGIN_OUTCOME : unreachable(s, &e);
}
