/*
 * SMTP as bytes: command lines, paths, parameters, DATA and BDAT, replies (RFC 5321, 3030).
 *
 * Pure: the session reads and writes. Strict where leniency would change meaning for someone else.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    SMTP_MAX_LINE = 2048,    // RFC 5321 4.5.3.1.4 says 512 and more for extensions
    SMTP_MAX_PATH = 256,     // 4.5.3.1.3
    SMTP_MAX_DOMAIN = 255,   // 4.5.3.1.2
    SMTP_MAX_LOCALPART = 128, // 4.5.3.1.1 says 64; longer ones are in use
    SMTP_MAX_LOCALPART_PEDANTIC = 64,
    SMTP_MAX_RCPT = 1000,    // 4.5.3.1.8 says 100 at least
    SMTP_MAX_ENVID = 100,    // RFC 3461 5.4
    SMTP_MAX_ORCPT = 500,
    SMTP_MAX_HOLD_S = 60 * 24 * 3600, // RFC 4865: how far in the future a release may be
};

enum smtp_verb {
    SMTP_HELO, SMTP_EHLO, SMTP_STARTTLS, SMTP_AUTH, SMTP_MAIL, SMTP_RCPT, SMTP_DATA, SMTP_BDAT,
    SMTP_RSET, SMTP_VRFY, SMTP_EXPN, SMTP_HELP, SMTP_NOOP, SMTP_QUIT, SMTP_UNKNOWN,
};
struct smtp_command {
    enum smtp_verb verb;
    struct str argument; // after the verb and one space; trailing blanks are kept
    bool has_space;      // something followed the verb, be it a space alone
};
/* line has no line end. */
void smtp_parse_command(struct str line, struct smtp_command *out);

struct smtp_address {
    struct str localpart; // unquoted, NFC; empty with an empty domain: the null reverse path
    struct str domain;    // as written; "[...]" for a literal; empty for a bare postmaster
};
enum smtp_body { SMTP_BODY_NONE, SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };
/* RFC 3461 4.3 and 4.1: what a report returns, and when one is wanted. */
enum smtp_ret { SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS };
enum { SMTP_NOTIFY_NEVER = 1, SMTP_NOTIFY_SUCCESS = 2, SMTP_NOTIFY_FAILURE = 4, SMTP_NOTIFY_DELAY = 8 };
enum smtp_hold { SMTP_HOLD_NONE, SMTP_HOLD_FOR, SMTP_HOLD_UNTIL };
struct smtp_mail {
    struct smtp_address from;
    uint64_t size; // 0: not said
    enum smtp_body body;
    bool is_smtputf8, require_tls;
    enum smtp_hold hold;     // RFC 4865; in range only when the session has seen to it
    int64_t hold_seconds;    // SMTP_HOLD_FOR
    int64_t hold_until_unix; // SMTP_HOLD_UNTIL
    enum smtp_ret ret;
    struct str envid;        // decoded, printable ASCII; empty: not said
};
struct smtp_recipient {
    struct smtp_address to;
    unsigned notify;  // SMTP_NOTIFY_...; 0: not said
    struct str orcpt; // decoded, "rfc822;address" or the like, without control characters; empty: not said
};

/* How the argument of MAIL or RCPT is read, and when it is refused, with what reply. */
struct smtp_reading {
    struct arena *a;       // for the result
    bool is_pedantic;      // mox-smtp-delivery.md 6.7
    bool is_submission;    // blanks at the end are an error, RFC 4865 and 3461 are spoken
    unsigned code;         // of the refusal
    const char *enhanced;
    struct str rest;       // what was not understood
};
/* "FROM:<...> params" */
MUST_USE bool smtp_parse_mail(struct smtp_reading *r, struct str argument, struct smtp_mail *out,
                              struct err *e);
/* "TO:<...> params" */
MUST_USE bool smtp_parse_rcpt(struct smtp_reading *r, struct str argument,
                              struct smtp_recipient *out, struct err *e);
/* The argument of HELO or EHLO: a domain, or an address literal and any text behind it. */
MUST_USE bool smtp_is_hello(struct str argument);
/* localpart@domain, quoted as needed; nothing for the null path. */
void smtp_address_put(struct buf *out, const struct smtp_address *address);

/* BDAT's argument: "size" or "size LAST" (RFC 3030 2). False: where the chunk ends is unknown. */
struct smtp_bdat {
    uint64_t size;
    bool is_last;
};
MUST_USE bool smtp_parse_bdat(struct str argument, struct smtp_bdat *out);

/*
 * The text of a message as it arrives. DATA (RFC 5321 4.5.2) ends at CR LF . CR LF alone, and its
 * stuffed dots are removed; chunks of BDAT (RFC 3030) have neither. Bare LF becomes CR LF.
 * Sequences that others might take for the end of DATA are remembered, not obeyed: also in chunks,
 * whose message may go on by DATA.
 */
struct smtp_data {
    bool is_chunked; // BDAT; set before the first byte
    int state;
    bool is_done; // the end of DATA was seen
    bool has_smuggling; // a bare CR, or a dot line ended by bare LF
    bool has_8bit;
    uint64_t size;  // bytes given out
    uint64_t added; // of those, CRs that were not there
};
/* Takes bytes from *in until they or the message end; the message's go to out. */
void smtp_data_feed(struct smtp_data *d, struct str *in, struct buf *out);
/* No more bytes come, after the last chunk: a CR at the very end is bare. */
void smtp_data_end(struct smtp_data *d, struct buf *out);

/* Whether it is a status code such as "5.1.1" (RFC 3463 2). */
bool smtp_is_enhanced(struct str text);
/* One reply, in as many lines as needed: "250-2.0.0 text". enhanced is left out when it is none. */
void smtp_reply_put(struct buf *out, unsigned code, struct str enhanced, struct str text);
