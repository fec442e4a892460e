/*
 * Decides about a message that is offered: what policy/decide.h asks for, from this account.
 */
#pragma once

#include "ipc/messages.h"
#include "role/account/report.h"
#include "role/account/rules.h"
#include "store/reputation.h"

struct judged {
    struct decision decision;
    bool is_report; // one that was taken
    bool is_report_optional; // the sender's domain need not hear of it (ipc_verdict)
    struct report_returned returned;
    struct str prefix; // to put before the message: X-Mox-Reason, and what the offer has
    unsigned char digest[32];
    struct store_sign signs[STORE_MAX_SIGNS];
};

/* address: the recipient in its canonical form. m: as it will be stored. All texts live in a. */
void judge(struct arena *a, const struct rules *rules, const struct ipc_findings *findings,
           const struct ipc_offer *offer, struct str address, struct str mailbox,
           const struct store_new *m, struct judged *out);
/* How it is remembered. With as_reject it is a copy of what was refused. */
void judge_origin(struct judged *j, bool as_reject, struct store_origin *out);
