/*
 * SMTP as a client has it: replies as they come in, what EHLO announces, the commands that carry an
 * envelope (RFC 5321, 1870, 2034, 3030, 3461, 4954, 6152, 6531, 8689).
 *
 * Pure and bounded: whoever calls reads and writes. What a server says is a stranger's text.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "proto/smtp/smtp.h"

enum {
    SMTP_REPLY_MAX_LINE = 2048,   // RFC 5321 4.5.3.1.5 says 512
    SMTP_REPLY_MAX_LINES = 200,   // of one reply
    SMTP_REPLY_MAX_BYTES = 32768, // of one reply
};

/* A reply that is being read, and when it is complete, what it says. */
struct smtp_reply {
    unsigned code;       // 200 to 599
    char enhanced[12];   // "5.7.30", or "" when there is none of the code's class (RFC 2034 4)
    struct buf text;     // its lines with '\n' between them, without codes; control characters are '?'
    unsigned n_lines;
    bool is_complete;
    struct buf line;     // bytes of a line that has not ended
    size_t n_bytes;
};
#define SMTP_REPLY                                                                                 \
    {                                                                                              \
        .text = BUF_LIMIT(SMTP_REPLY_MAX_BYTES), .line = BUF_LIMIT(SMTP_REPLY_MAX_LINE)            \
    }
/* Before the next one; keeps the memory. */
void smtp_reply_reset(struct smtp_reply *r);
void smtp_reply_fini(struct smtp_reply *r);
/*
 * Takes bytes from *in until they or the reply end. ERR_SYNTAX when that is no reply (RFC 5321 4.2),
 * ERR_LIMIT when it is too long: nothing more can be understood on that connection.
 */
MUST_USE bool smtp_reply_feed(struct smtp_reply *r, struct str *in, struct err *e);
/* The text on one line. */
struct str smtp_reply_line(struct arena *a, const struct smtp_reply *r);

/* What a reply to EHLO announces. */
struct smtp_offer {
    bool starttls, pipelining, eightbitmime, smtputf8, chunking, binarymime, requiretls, dsn;
    bool has_size;
    uint64_t size;      // the largest message; 0: no limit is known
    bool has_auth;
    struct str auth;    // mechanisms with a space between them
    uint64_t rcpt_max, mail_max; // LIMITS (RFC 9422); 0: not said
};
/* text: that of an EHLO reply. What is malformed is passed over; texts are in a. */
void smtp_offer_parse(struct arena *a, struct str text, struct smtp_offer *out);
/* Whether AUTH was offered with this mechanism. */
bool smtp_offer_has_auth(const struct smtp_offer *offer, struct str mechanism);

/* --- commands ----------------------------------------------------------------------------------- */

/* Parameters are written as they stand here: the caller knows what was offered. */
struct smtp_send_mail {
    struct str reverse_path; // as text, or empty
    bool has_size;
    uint64_t size;
    bool is_8bitmime, is_binary, is_7bit; // at most one
    bool is_smtputf8, is_requiretls;
    enum smtp_ret ret;
    struct str envid;        // decoded; empty: none
};
struct smtp_send_rcpt {
    struct str address;
    bool may_be_utf8;   // SMTPUTF8 was given with MAIL
    unsigned notify;    // SMTP_NOTIFY_..., 0: none
    struct str orcpt_type, orcpt; // "rfc822" and the address, decoded; empty: none
};
/*
 * Append one command. ERR_SYNTAX and nothing appended when an address or text cannot be said: no
 * argument can end the line or begin another parameter.
 */
MUST_USE bool smtp_put_mail(struct buf *out, const struct smtp_send_mail *m, struct err *e);
MUST_USE bool smtp_put_rcpt(struct buf *out, const struct smtp_send_rcpt *r, struct err *e);
/* "EHLO name"; the name is a domain or an address literal. */
MUST_USE bool smtp_put_hello(struct buf *out, bool is_ehlo, struct str name, struct err *e);

/*
 * The text of a message for DATA: dots at the beginning of lines are doubled (RFC 5321 4.5.2), in
 * pieces; *state begins at 0. False when a CR or LF stands alone (RFC 5321 2.3.8): such a message
 * cannot be sent by DATA. After the last piece smtp_stuff_end ends the text with CR LF . CR LF.
 */
MUST_USE bool smtp_stuff(struct buf *out, int *state, struct str piece, struct err *e);
MUST_USE bool smtp_stuff_end(struct buf *out, int state, struct err *e);
