/*
 * What a session found out about the sender of a message, while its transaction lasts.
 */
#pragma once

#include "policy/arc.h"
#include "policy/dkim.h"
#include "policy/dmarc.h"
#include "policy/iprev.h"
#include "policy/spf/spf.h"
#include "role/session/smtp.h"

/* NULL in a transaction in which nobody is asked: submission, localserve. All texts in its arena. */
struct smtp_sender {
    struct ip ip;
    struct iprev_result iprev;
    bool has_spf;
    struct spf_result spf; // of MAIL FROM, or of EHLO when that is the null path
    struct dkim_verification dkim;
    bool has_from;
    struct address from; // domain: A-labels in lower case
    bool has_too_many_authors;
    struct dmarc_input dmarc_input; // what dmarc is about
    struct dmarc_result dmarc;
    struct arc_chain arc;
    struct ipc_findings findings; // for the accounts
    struct str fields;            // Authentication-Results and Received-SPF
};

/* The body of a message, for those hashes that are wanted of it. */
MUST_USE bool smtp_feed_body(const struct smtp_message *m, struct dkim_bodies *bodies, struct arena *a);

/* Whether the name of HELO may exist (mox-smtp-delivery.md 1.3). */
bool smtp_verify_hello(struct smtp_session *c, struct str name);
/* With MAIL FROM: the first questions are on their way while the client goes on. */
void smtp_verify_begin(struct smtp_session *c);
/* SPF alone, for a decision about recipients. */
void smtp_verify_spf(struct smtp_session *c);
/* What became of a message for one recipient, for the report to the From domain. */
struct smtp_outcome {
    bool is_accepted, is_dmarc_reject; // one of them, or there is nothing to tell
    bool is_optional;
    enum dmarc_override override;
};
/* Tells admin, as far as the domain wants to know (smtp_evaluation.c). */
void smtp_tell_outcome(struct smtp_session *c, const struct smtp_rcpt *rcpt,
                       const struct smtp_outcome *outcome);
/* With the message: everything. False when it cannot be told what was found. */
MUST_USE bool smtp_verify(struct smtp_session *c, const struct smtp_message *m, struct err *e);
