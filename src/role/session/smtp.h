/*
 * What the files of an SMTP session share.
 */
#pragma once

#include "message/header.h"
#include "proto/smtp/smtp.h"
#include "role/session/session.h"

enum {
    SMTP_SLOW_AFTER = 3,       // failed logins
    SMTP_MAX_BAD = 10,         // transactions that failed, without one that did not
    SMTP_MAX_RECEIVED = 100,   // mox-smtp-delivery.md 1.8
    SMTP_DATA_MS = 30 * 60 * 1000,
    SMTP_HEADER_LOOK = 256 * 1024, // how much of a message is searched for its header
};

struct smtp_rcpt {
    struct str address; // as given, canonical quoting
    uint32_t grant, n_grants;
};

struct smtp_session {
    struct session *s;
    bool is_submission;
    bool has_hello, is_esmtp;
    struct str hello;    // what the client called itself
    bool is_authed;
    unsigned failed_logins;
    unsigned bad, good;  // transactions
    bool is_first;       // no command yet
    bool is_ending;

    bool has_mail; // a transaction is open
    struct arena a; // of the transaction
    struct smtp_mail mail;
    struct str reverse_path;
    struct smtp_rcpt *rcpts;
    size_t n_rcpts, cap_rcpts;
};

/* One reply. Errors get the connection's id, by which the log can be searched. */
void smtp_reply(struct smtp_session *c, unsigned code, const char *enhanced, struct str text);
#define SMTP_REPLY(c, code, enhanced, literal) smtp_reply((c), (code), (enhanced), STR(literal))
void smtp_reset(struct smtp_session *c);
/* The package of its log lines. */
const char *smtp_package(const struct smtp_session *c);

/* Commands (smtp_auth.c, smtp_envelope.c). */
void smtp_cmd_auth(struct smtp_session *c, const struct smtp_command *cmd);
void smtp_cmd_mail(struct smtp_session *c, const struct smtp_command *cmd);
void smtp_cmd_rcpt(struct smtp_session *c, const struct smtp_command *cmd);
/* Passwords only where nobody on the way reads them. */
bool smtp_may_auth(const struct smtp_session *c);

/* The DATA command, from 354 to the final reply (smtp_data.c). */
void smtp_data(struct smtp_session *c);

/* A message that was received. */
struct smtp_message {
    int fd; // sealed memory file
    uint64_t size;
    bool has_8bit, has_smuggling;
    struct str header;  // without the blank line
    bool has_separator; // between header and body
    struct str id;      // random, for delivery ids
};
/* Text that nobody guesses, of letters, digits, "-" and "_". */
void smtp_put_random_name(struct buf *out);
/* mox-smtp-delivery.md 1.9 (smtp_received.c). */
MUST_USE bool smtp_put_received(struct smtp_session *c, struct buf *out, struct err *e);
/*
 * To the queue, which answers when it is stored (smtp_submit.c). is_done: recipients that are left
 * out; may be NULL.
 */
MUST_USE bool smtp_enqueue(struct smtp_session *c, const struct smtp_message *m, struct str prefix,
                           const bool *is_done, struct ipc_verdict *v, struct err *e);
/* The message of a transaction, up to the final reply (smtp_submit.c, smtp_deliver.c). */
void smtp_submit(struct smtp_session *c, const struct smtp_message *m);
void smtp_deliver(struct smtp_session *c, const struct smtp_message *m);
/* The reply to a message that was taken. */
void smtp_accepted(struct smtp_session *c);
