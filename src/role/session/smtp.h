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
/* The DATA command, from 354 to the final reply (smtp_data.c). */
void smtp_data(struct smtp_session *c);
