/*
 * Delivery status notifications: what became of a message, for its sender (RFC 3461, 3464, 6522, 6533).
 *
 * A pure writer, and a reader of others'. All texts may be another server's or the sender's: what would end a line or a part is
 * taken out, and what is too long is cut.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "message/mime.h"

enum {
    DSN_MAX_ORIGINAL = 256 * 1024, // a longer original is not returned in full
    DSN_MAX_HEADER = 64 * 1024,    // of its header; the rest of the fields is left out
    DSN_MAX_TEXT = 4096,           // of a diagnostic
    DSN_MAX_STATUS = 1 << 20,      // of the fields of a report that is read
    DSN_MAX_RECIPIENTS = 1000,     // in it
};

/* RFC 3464 2.3.3. */
enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED };

/* "failed". */
struct str dsn_action_word(enum dsn_action action);

struct dsn_recipient {
    struct str address;
    struct str original; // ORCPT as it was given, decoded: "rfc822;address"; or empty
    enum dsn_action action;
    struct str status;   // "5.1.1"
    struct str remote_name, remote_address; // who said so; empty: we
    unsigned code;       // of an SMTP reply; 0: there was none
    struct str text;     // the reply after its code, or what else went wrong
    int64_t last_attempt_unix;  // 0: none
    int64_t retry_until_unix;   // DSN_DELAYED; 0: not said
};

struct dsn {
    struct str hostname; // ours, A-labels
    struct str from, to; // addresses; to is the reverse path of the message
    struct str message_id, boundary; // new ones; of the boundary nobody knows before
    int64_t now_unix, queued_unix;
    struct str references;     // Message-Id of the message, with its angle brackets; or empty
    struct str envid;          // decoded; or empty
    struct str received_from;  // name of the server it came from; or empty
    struct str future_release; // "for;SECONDS"; or empty
    bool is_utf8;              // the sender understands UTF-8 (RFC 6533)
    const struct dsn_recipient *recipients;
    size_t n_recipients;
    /*
     * The beginning of the message, with its whole header if that is no longer than DSN_MAX_HEADER; all of
     * it when is_full, which the sender has asked for, and it is no longer than DSN_MAX_ORIGINAL.
     */
    struct str original;
    bool is_full;
};

/*
 * The whole message, to be sent with a null reverse path. has_8bit: it has bytes above 127. ERR_CONFLICT when
 * the original has the boundary in it.
 */
MUST_USE bool dsn_put(struct buf *out, const struct dsn *d, bool *has_8bit, struct err *e);

/* What a report says. Texts are as they stand there, on one line each. */
struct dsn_said {
    struct str original;  // Original-Recipient with its type, or empty
    struct str recipient; // address of Final-Recipient
    enum dsn_action action;
    struct str status;    // "5.1.1"
    unsigned code;        // of the SMTP reply in Diagnostic-Code; 0: there is none
    struct str text;      // that reply
};
struct dsn_report {
    struct str envid;
    struct dsn_said *items;
    size_t n; // one at least
};
/*
 * RFC 3464, 6522, 6533. ERR_NOT_FOUND when the message is no such report; ERR_SYNTAX when a field is missing,
 * is there twice or says nothing that is known; ERR_LIMIT.
 */
MUST_USE bool dsn_read(struct arena *a, struct str message, const struct part *root, struct dsn_report *out,
                       struct err *e);
