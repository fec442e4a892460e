/*
 * SMTP as bytes: command lines, paths, parameters, the DATA phase, replies (RFC 5321).
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
    SMTP_MAX_RCPT = 1000,    // 4.5.3.1.8 says 100 at least
};

enum smtp_verb {
    SMTP_HELO, SMTP_EHLO, SMTP_STARTTLS, SMTP_AUTH, SMTP_MAIL, SMTP_RCPT, SMTP_DATA, SMTP_RSET,
    SMTP_VRFY, SMTP_EXPN, SMTP_HELP, SMTP_NOOP, SMTP_QUIT, SMTP_UNKNOWN,
};
struct smtp_command {
    enum smtp_verb verb;
    struct str argument; // after the verb and one space; trailing blanks are kept
};
/* line has no line end. */
void smtp_parse_command(struct str line, struct smtp_command *out);

struct smtp_address {
    struct str localpart; // unquoted; empty with an empty domain: the null reverse path
    struct str domain;    // as written; "[...]" for a literal; empty for a bare postmaster
};
enum smtp_body { SMTP_BODY_NONE, SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };
struct smtp_mail {
    struct smtp_address from;
    uint64_t size; // 0: not said
    enum smtp_body body;
    bool is_smtputf8, require_tls;
};
/* "FROM:<...> params". ERR_SYNTAX: 501. ERR_NOT_FOUND: unknown parameter, 555. */
MUST_USE bool smtp_parse_mail(struct arena *a, struct str argument, struct smtp_mail *out,
                              struct err *e);
/* "TO:<...>", no parameters. */
MUST_USE bool smtp_parse_rcpt(struct arena *a, struct str argument, struct smtp_address *out,
                              struct err *e);
/* The argument of HELO or EHLO: a domain or an address literal. */
MUST_USE bool smtp_is_hello(struct str argument);
/* localpart@domain, quoted as needed; nothing for the null path. */
void smtp_address_put(struct buf *out, const struct smtp_address *address);

/*
 * The DATA phase (RFC 5321 4.5.2). Ends at CR LF . CR LF alone; removes the stuffed dots; writes
 * bare LF as CR LF. Sequences that others might take for the end are remembered, not obeyed.
 */
struct smtp_data {
    int state;
    bool is_done;
    bool has_smuggling; // a bare CR, or a dot line ended by bare LF
    bool has_8bit;
    uint64_t size; // bytes given out
};
/* Takes bytes from *in until they or the message end; the message's go to out. */
void smtp_data_feed(struct smtp_data *d, struct str *in, struct buf *out);

/* One reply, in as many lines as needed: "250-2.0.0 text". enhanced may be empty. */
void smtp_reply_put(struct buf *out, unsigned code, struct str enhanced, struct str text);
