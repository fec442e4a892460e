/*
 * What the files of an SMTP session share.
 */
#pragma once

#include "message/header.h"
#include "proto/smtp/smtp.h"
#include "role/session/session.h"
#include "role/special.h"

enum {
    SMTP_MAX_BAD = 10,         // transactions that failed, without one that did not
    SMTP_MAX_RECEIVED = 100,   // mox-smtp-delivery.md 1.8
    SMTP_DATA_MS = 30 * 60 * 1000,
    SMTP_UNKNOWN_MS = 5000,    // before "no such address", so that guessing takes time
    SMTP_MAX_WAIT_MS = 60 * 60 * 1000, // of a first message, whatever is configured
    SMTP_MAX_TARGETS = 5000,   // mailboxes that one message goes to at once
    SMTP_HEADER_LOOK = 64 * 1024, // how much of a message is read for its header; more if need be
    SMTP_MAX_HEADER = 512 * 1024,
    SMTP_USUAL_SIZE = 100 << 20,   // a lower limit is the administrator's, says the reply
};

struct smtp_rcpt {
    struct str address; // as given, canonical quoting
    struct str localpart, domain;
    uint8_t notify;     // SMTP_NOTIFY_...; 0: not said
    struct str orcpt;   // as smtp_recipient's
    bool is_list;
    uint32_t grant, n_grants; // none: at delivery, an address that does not exist
    uint32_t relay, n_relays; // members of a list at other servers, and those whom a report returns to
    bool is_expanded;         // submission: a list whose members are all among the recipients themselves
};

/* The message of a transaction, as far as it has come. */
struct smtp_spool {
    int fd;            // memory file; -1 before DATA or the first BDAT
    struct smtp_data text;
    uint64_t size;     // written
    uint64_t received; // counts against the limit
    int64_t deadline_ms;
    bool has_failed;   // could not be written
    struct err why;
};

struct smtp_session {
    struct session *s;
    bool is_submission, is_pedantic;
    bool has_hello, is_esmtp;
    struct buf hello;    // what the client called itself
    bool is_authed, has_sasl; // may send mail: also by the client's key alone
    unsigned bad, good;  // transactions
    bool is_first;       // no command yet
    bool is_ending;
    unsigned code;       // of the last reply,
    unsigned enhanced;   // and its enhanced code as metrics have it: the text may be gone by then

    bool has_mail; // a transaction is open
    struct arena a; // of the transaction
    struct smtp_mail mail;
    struct str reverse_path;
    struct smtp_rcpt *rcpts;
    size_t n_rcpts, cap_rcpts;
    uint32_t n_targets; // mailboxes behind all recipients
    struct smtp_spool spool;
    struct smtp_sender *sender; // smtp_verify.h
};

/* One reply. Errors get the connection's id, by which the log can be searched. */
void smtp_reply(struct smtp_session *c, unsigned code, const char *enhanced, struct str text);
#define SMTP_REPLY(c, code, enhanced, literal) smtp_reply((c), (code), (enhanced), STR(literal))
/*
 * A conversation with another process broke off: a temporary failure, and the end, since what is
 * said later could not be told apart.
 */
void smtp_reply_broken(struct smtp_session *c, const char *doing, const struct err *e);
void smtp_reset(struct smtp_session *c);
/* The package of its log lines. */
const char *smtp_package(const struct smtp_session *c);
/* Whether a command that takes no argument has none; else the reply was made. */
bool smtp_has_no_argument(struct smtp_session *c, const struct smtp_command *cmd);

/* Commands (smtp_auth.c, smtp_envelope.c, smtp_data.c, smtp_bdat.c). */
void smtp_cmd_auth(struct smtp_session *c, const struct smtp_command *cmd);
void smtp_cmd_mail(struct smtp_session *c, const struct smtp_command *cmd);
void smtp_cmd_rcpt(struct smtp_session *c, const struct smtp_command *cmd);
void smtp_cmd_data(struct smtp_session *c, const struct smtp_command *cmd);
void smtp_cmd_bdat(struct smtp_session *c, const struct smtp_command *cmd);
/* The line of EHLO: "AUTH " and the mechanisms. */
void smtp_put_mechanisms(const struct smtp_session *c, struct buf *out);
/* TLS is there: who has a key that is registered need not say more. */
void smtp_login_by_key(struct smtp_session *c);

/*
 * localserve: fails as this address asks for at this stage; the reply was made when it is true
 * (smtp_localserve.c).
 */
bool smtp_fails_specially(struct smtp_session *c, struct str localpart, enum special_stage stage);

/* --- smtp_spool.c: the bytes of a message -------------------------------------------------------- */

/* False after a reply: there is no room. */
MUST_USE bool smtp_spool_open(struct smtp_session *c);
void smtp_spool_close(struct smtp_spool *p);
/* Text that has no more line ends to be put right, or bytes that are none of ours. */
void smtp_spool_write(struct smtp_spool *p, struct str bytes);
/* More input; false when the client is gone or its time is over. */
MUST_USE bool smtp_read_message(struct smtp_session *c, int64_t deadline_ms);
/* The whole message is there: what becomes of it, up to the final reply. Ends the transaction. */
void smtp_message_end(struct smtp_session *c);

/* --- what becomes of it -------------------------------------------------------------------------- */

/* A message that was received. */
struct smtp_message {
    int fd; // sealed memory file
    uint64_t size;
    bool has_8bit, is_binary;
    bool needs_utf8;    // SMTPUTF8 must be spoken by whoever gets it next
    struct str header;  // without the blank line
    uint64_t body_start; // after it
    bool has_separator; // between header and body
    struct str id;      // random, for delivery ids
};
/* mox-smtp-delivery.md 1.8: what the session must know of it; false after a reply (smtp_check.c). */
MUST_USE bool smtp_check_message(struct smtp_session *c, struct smtp_message *m);

/*
 * The address of From. False unless there is one such field with one address in it; is_strict: and
 * nothing had to be forgiven to read it.
 */
bool smtp_find_from(struct smtp_session *c, const struct smtp_message *m, struct address *out,
                    bool *is_strict);
/* Whether the message may go to this recipient, a list or not (mox-smtp-delivery.md 1.12). */
MUST_USE bool smtp_may_post(struct smtp_session *c, const struct smtp_message *m,
                            const struct smtp_rcpt *rcpt, bool *is_allowed, struct err *e);

/* mox-smtp-delivery.md 1.9; rcpt: the one recipient it names, or NULL (smtp_received.c). */
MUST_USE bool smtp_put_received(struct smtp_session *c, const struct smtp_message *m,
                                const struct smtp_rcpt *rcpt, struct buf *out, struct err *e);
/* The end of what we put before a message: a first line of it that begins with a blank would
 * otherwise continue our last field (RFC 5322, 2.2.3). */
void smtp_end_prefix(const struct smtp_message *m, struct buf *out);
/* To the queue, which answers when it is stored (smtp_submit.c). */
MUST_USE bool smtp_enqueue(struct smtp_session *c, const struct smtp_message *m, struct str prefix,
                           const struct ipc_submit_rcpt *rcpts, size_t n, struct ipc_verdict *v,
                           struct err *e);
/* Why a recipient does not get a message. */
struct smtp_refusal {
    unsigned code;
    const char *enhanced;
    struct str text;
};
/* Whether a message may be passed on to a recipient's addresses at other servers (smtp_relay.c). */
bool smtp_may_relay(const struct smtp_session *c, const struct smtp_message *m,
                    const struct smtp_rcpt *rcpt, struct smtp_refusal *why);
/* To the queue, for all of them. False: none of them gets it. */
MUST_USE bool smtp_relay(struct smtp_session *c, const struct smtp_message *m,
                         const struct smtp_rcpt *rcpt, struct err *e);
/* The message of a transaction, up to the final reply (smtp_submit.c, smtp_deliver.c). */
void smtp_submit(struct smtp_session *c, const struct smtp_message *m);
void smtp_deliver(struct smtp_session *c, struct smtp_message *m);
/* Without the fields that are not true of others: the message is another one then (smtp_claims.c). */
MUST_USE bool smtp_drop_claims(struct smtp_session *c, struct smtp_message *m, struct err *e);
/* The reply to a message that was taken. */
void smtp_accepted(struct smtp_session *c);
