/*
 * What can be found out about the sender of a message before its bytes are believed: the words in
 * which a session tells an account's decision (ipc/messages/account.h, `findings`; policy/decide.h).
 */
#pragma once

/* The outcome of SPF, DMARC or iprev (RFC 8601 2.7). NONE: not checked, or there was nothing to. */
enum finding {
    FINDING_NONE,
    FINDING_PASS,
    FINDING_FAIL,
    FINDING_SOFTFAIL,
    FINDING_NEUTRAL,
    FINDING_TEMPERROR,
    FINDING_PERMERROR,
};

/*
 * How well the domain of the From address is proved, weakest first: a DKIM signature or SPF of the
 * same organisational domain; a DMARC policy that passes; a DKIM signature or SPF of that very domain.
 */
enum validation { VALIDATION_NONE, VALIDATION_RELAXED, VALIDATION_DMARC, VALIDATION_STRICT };

/* What a DMARC policy asks for when it does not pass. */
enum dmarc_wish { DMARC_WISH_NONE, DMARC_WISH_QUARANTINE, DMARC_WISH_REJECT };

/* Why an account did not apply a DMARC policy, for the domain's report (RFC 7489 7.2). */
enum dmarc_override { DMARC_APPLIED, DMARC_MAILING_LIST, DMARC_FORWARDED };
