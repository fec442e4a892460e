/*
 * A session: one connection of a stranger. What all its protocols share: reading lines, writing
 * replies, and the channel to the monitor with what it grants.
 */
#pragma once

#include "crypto/stream.h"
#include "ipc/dkim.h"
#include "ipc/resolve.h"
#include "role/granted.h"
#include "role/start.h"

enum {
    SESSION_IPC_TIMEOUT_MS = 60000,
    SESSION_DELIVERY_TIMEOUT_MS = 300000,
    SESSION_READ_MS = 30000,  // mox-smtp-delivery.md 1.2
    SESSION_WRITE_MS = 30000,
    SESSION_LINE_MS = 5 * 60 * 1000, // a whole line, and what precedes it; RFC 5321 4.5.3.2.7
    SESSION_SLOW_MS = 1000,          // before each read and after each byte, in slow mode
    SESSION_SLOW_END_MS = 5000,      // how near the deadline the rest is written at once
    SESSION_TLS_MS = 60000,
    SESSION_BUFFER = 16 * 1024,
};

struct session {
    const struct role_start *start;
    const struct ipc_listener *port;
    struct ipc_session_start conn; // texts live in the arena
    struct stream stream;
    struct dkim_client signer;
    struct channel monitor, front, auth, queue, keys, dkim, admin; // fd -1 until granted
    struct resolver resolver;
    struct packet *packet;
    struct arena arena; // of the connection
    struct tls_server *tls;
    bool is_tls;
    struct str tls_version, tls_cipher;
    struct str received_id; // what others are shown of its number
    bool has_client_key; // the client has a certificate whose key is somebody's
    unsigned failed_logins;
    bool is_slow; // a client that guesses passwords is kept waiting

    struct arena line_arena; // of the line being worked on; its protocol resets it
    struct buf in;           // read and not yet used
    struct buf out;          // to be written before the next wait
};

/* --- io.c ---------------------------------------------------------------------------------------- */

enum session_line {
    SESSION_LINE,
    SESSION_LINE_LONG, // longer than max
    SESSION_LINE_BARE, // ended by LF without CR
    SESSION_END,       // the client has gone or is too slow
    SESSION_STOPPING,  // the server stops
};
/* The next line without its CR LF, in line_arena. */
enum session_line session_read_line(struct session *s, size_t max, struct str *line);
/* Writes what is waiting and adds input to `in`; SESSION_LINE when there is some. */
enum session_line session_wait(struct session *s);
/* More input behind what is there; false at the end. */
bool session_read_more(struct session *s, int timeout_ms);
/* Waits that long; false when the client went away or the server stops. */
bool session_pause(struct session *s, int ms);
/* Drops n bytes of the input. */
void session_used(struct session *s, size_t n);
/* Writes what is waiting; false when the client is gone. */
bool session_flush(struct session *s);
/*
 * TLS, in this process or by front; text is the last plain line. False ends the connection: also
 * when bytes came in plain that would act after it.
 */
bool session_start_tls(struct session *s, struct str text);

/* --- login.c ------------------------------------------------------------------------------------- */

enum { SESSION_LOGIN_LINE = 12288 }; // RFC 4954 4

enum session_login {
    SESSION_LOGIN_OUTCOME,     // auth has decided
    SESSION_LOGIN_BASE64,      // the client's message is none
    SESSION_LOGIN_LONG,        // its line is longer than SESSION_LOGIN_LINE; the session must end
    SESSION_LOGIN_UNREACHABLE, // auth cannot be asked; the session must end
    SESSION_LOGIN_GONE,        // the client is gone, or breaks lines its own way; it must end
};
/* How a protocol carries an exchange. */
struct session_dialogue {
    struct str mechanism;
    bool has_initial;
    struct str initial; // in base64; "=" when empty
    struct str prefix;  // of a challenge
};
/*
 * A whole exchange between the client and auth. Delays those who failed before, and counts. text is
 * in the session's packet.
 */
enum session_login session_login(struct session *s, const struct session_dialogue *d,
                                 enum ipc_outcome *outcome, struct str *text);
/* One message of an exchange that the session has in another form; response may be NULL. */
enum session_login session_login_begin(struct session *s, struct str mechanism,
                                       const struct str *response, enum ipc_outcome *outcome,
                                       struct str *text);
enum session_login session_login_step(struct session *s, struct str response,
                                      enum ipc_outcome *outcome, struct str *text);
/* Whether the client's key alone logs in: IPC_OK, and text is the name; IPC_UNKNOWN if not. */
enum session_login session_login_by_key(struct session *s, enum ipc_outcome *outcome,
                                        struct str *text);

/* --- peers.c: what is asked of other processes ----------------------------------------------------- */

/* How the monitor is asked. */
struct granted session_granted(struct session *s);
/* Asks the monitor for a channel to a service, unless there is one. */
MUST_USE bool session_grant(struct session *s, enum ipc_service service, struct channel *out,
                            enum role peer, struct err *e);
/*
 * Whoever answers DNS questions: resolve, by a channel of its own that is asked for at the first
 * one, which takes the session's packet.
 */
struct dns session_dns(struct session *s);
/* A channel for one delivery. */
MUST_USE bool session_open_delivery(struct session *s, uint32_t grant, struct channel *out,
                                    struct err *e);

/*
 * auth: a message of an exchange; with a mechanism it begins one, and response may be NULL. text is in
 * the session's packet.
 */
MUST_USE bool session_auth_step(struct session *s, struct str mechanism, const struct str *response,
                                enum ipc_outcome *outcome, struct str *text, struct err *e);
/* auth: the client gives the exchange up; does its key alone log it in? */
MUST_USE bool session_auth_abort(struct session *s, enum ipc_outcome *outcome, struct str *text,
                                 struct err *e);
MUST_USE bool session_auth_key(struct session *s, enum ipc_outcome *outcome, struct str *text,
                               struct err *e);

/* auth: may this recipient be delivered to? The reply's texts live until the next question. */
MUST_USE bool session_check_rcpt(struct session *s, struct str reverse_path, struct str localpart, struct str domain,
                                 struct ipc_rcpt_reply *r, struct err *e);
/*
 * auth: may the user who is logged in send as this address? IPC_TEMPORARY: not now. canonical: the one
 * spelling of it, in the session's packet.
 */
MUST_USE bool session_check_from(struct session *s, struct str localpart, struct str domain,
                                 enum ipc_outcome *outcome, struct str *canonical, struct err *e);
/* dkim: appends the signatures that a message of the user who is logged in gets. */
MUST_USE bool session_sign(struct session *s, const struct dkim_client_message *m, struct buf *out,
                           struct err *e);
/* dkim: what messages that are passed on for this domain are sealed with. */
MUST_USE bool session_selectors(struct session *s, struct arena *a, struct str domain,
                                struct dkim_selector **out, size_t *n, struct err *e);
/* auth: may a message from this address, or from none, go to this list? */
MUST_USE bool session_check_list(struct session *s, const struct ipc_list_check *question,
                                 bool *is_allowed, struct err *e);
/* queue: keep this message; recipients are as many as the envelope says. v: whether it is kept. */
MUST_USE bool session_enqueue(struct session *s, const struct ipc_submit *envelope,
                              const struct ipc_submit_rcpt *recipients, int fd, uint64_t size,
                              struct ipc_verdict *v, struct err *e);
/*
 * account: a message for the delivery that auth granted; the verdict comes later. Without findings
 * the account takes it for local mail and accepts it.
 */
MUST_USE bool session_offer(struct session *s, uint32_t grant, const struct ipc_findings *findings,
                            const struct ipc_offer *offer, int fd, struct channel *account,
                            struct err *e);
MUST_USE bool session_hear_verdict(struct session *s, struct channel *account,
                                   struct ipc_verdict *v, struct err *e);
/* account: store it; the next verdict says that it is done. */
MUST_USE bool session_commit(struct channel *account, struct err *e);

/* What DMARC came to, for admin; nobody answers. */
MUST_USE bool session_tell_evaluation(struct session *s, const struct ipc_dmarc_evaluation *m,
                                      struct err *e);

void smtp_session(struct session *s);
void imap_session(struct session *s);
