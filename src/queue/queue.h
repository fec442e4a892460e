/*
 * Mail that was accepted and waits to be delivered: one message, one entry per recipient that is
 * still to be served. queue.db in the current directory; used by the queue process alone.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "message/dsn.h"

/*
 * Changes gather in one transaction: nothing is durable, and no answer may be given, before
 * queue_commit. A change that fails is undone alone.
 */
struct queue;
struct queue *queue_open(struct err *e);
/* Without a commit. */
void queue_close(struct queue *q);
/* The name in reports to senders; hostname outlives q. */
void queue_set_hostname(struct queue *q, struct str hostname);
/*
 * Whether there are entries that are not committed. None may be given out before: after a crash its number
 * would be another's, and with it the id by which an account knows what it has.
 */
bool queue_has_new(const struct queue *q);
/*
 * Signs reports that leave the server: appends fields that go before the message, or none. domain: of the
 * From field.
 */
typedef void queue_sign(struct str domain, struct str header, struct str body, struct buf *out);
void queue_set_signer(struct queue *q, queue_sign *sign);
/* All changes since the last commit, with one sync; false: none of them is there. */
MUST_USE bool queue_commit(struct queue *q, struct err *e);

/* --- adding ------------------------------------------------------------------------------------- */

/*
 * Where a message came from. Only what an account submitted, our own reports, and what the configuration
 * has passed on leave the server.
 */
enum queue_origin { QUEUE_SUBMITTED, QUEUE_FROM_OUTSIDE, QUEUE_OWN_REPORT, QUEUE_RELAYED };

/* RFC 3461 4.1: what the sender wants to hear. */
enum {
    QUEUE_NOTIFY_NEVER = 1,
    QUEUE_NOTIFY_SUCCESS = 2,
    QUEUE_NOTIFY_FAILURE = 4,
    QUEUE_NOTIFY_DELAY = 8,
    QUEUE_NOTIFY_ALL = 15,
};
/* RFC 3461 4.3: how much of the message a report returns. */
enum queue_ret { QUEUE_RET_UNSAID, QUEUE_RET_FULL, QUEUE_RET_HEADERS };

struct queue_recipient {
    struct str address;
    struct str delivery_id; // how the accounts know it; empty: by the entry
    uint8_t notify;         // QUEUE_NOTIFY_*; 0: not said
    struct str orcpt;       // decoded, "rfc822;address"; empty: not said
    // It is not to be tried, and for this reply; the sender is told at once. 0: it is to be tried.
    unsigned refused_code;
    struct str refused_enhanced, refused_text;
};
/* A message: prefix, then size bytes of fd from its start. */
struct queue_new {
    enum queue_origin origin;
    // QUEUE_FROM_OUTSIDE: the reverse path is known to be the sender's own. Nobody else is told anything: it
    // would go to somebody who has sent nothing.
    bool is_sender_real;
    struct str account, reverse_path, prefix;
    bool has_own_path;               // the reverse path is of this message only
    const struct str *reverse_paths; // one of its own for each recipient; NULL: they share reverse_path
    const struct queue_recipient *recipients;
    size_t n_recipients;
    bool is_8bit, is_binary, is_smtputf8;
    uint8_t require_tls; // 0 not said, 1 yes, 2 explicitly no
    int64_t hold_until_unix;
    struct str future_release; // "for;SECONDS", "until;TIME", or empty
    enum queue_ret ret;
    struct str envid;      // decoded; empty: not said
    struct str message_id; // with its angle brackets, or empty
    struct str name;       // of a message of this server's own: one that was added already is left as it is; or empty
    uint32_t keep_retired_s; // how long it is remembered what became of it
    uint32_t max_per_day, max_first_per_day; // of the account; 0: no limit
    uint32_t max_attempts;   // at another server; 0: as usual
    int fd;
    uint64_t size;
};
/* ERR_TEMPORARY when the disk is full. */
MUST_USE bool queue_add(struct queue *q, const struct queue_new *m, struct err *e);

/* Whether a message of the account has this reverse path, or one that is remembered had it. */
MUST_USE bool queue_path_is_used(struct queue *q, struct str account, struct str path, bool *out, struct err *e);

/* What another server reports of a message that it had taken: it came to this return path. */
struct queue_returned {
    struct str account, path;
    enum dsn_action action;
    struct str status; // "5.1.1"
    unsigned code;     // of an SMTP reply; 0: not said
    struct str text;
};
/*
 * Notes it with the message that is remembered; after a failure the recipient is suppressed as after one here.
 * found: which one it was can be told.
 */
MUST_USE bool queue_returned(struct queue *q, struct arena *a, const struct queue_returned *r, struct str *recipient,
                             bool *found, struct err *e);

/* --- trying ------------------------------------------------------------------------------------- */

struct queue_entry {
    uint64_t id, message;
    struct str recipient, domain, transport; // domain in lower case; transport: empty, or set by a person
    struct str reverse_path, account, delivery_id;
    struct str dialed; // what deliver noted with the last attempt
    int64_t queued_unix;
    uint64_t size;
    uint32_t attempts; // that were begun
    enum queue_origin origin;
    bool is_8bit, is_binary, is_smtputf8;
    uint8_t require_tls;
    uint8_t notify;
    struct str orcpt, envid;
    enum queue_ret ret;
    // For queue_result.
    uint32_t max_attempts, keep_retired_s;
    bool is_sender_real, is_delay_told, is_held;
    int64_t next_attempt_unix, begun_next_unix; // as it was given out; as queue_begin has set it
    struct str message_id;
};
/* A copy with its texts in a. */
struct queue_entry queue_entry_dup(struct arena *a, const struct queue_entry *entry);

/*
 * Entries are given out in turn: account after account, and of each one destination after the other, so
 * that nobody waits for another's many messages. None is given out again before its end was said, with
 * queue_result or queue_put_back.
 *
 * queue_next: one entry that is due, of a destination that is not known to be another server. Who has asked auth says
 * so with queue_is_remote, and is believed for a minute.
 */
MUST_USE bool queue_next(struct queue *q, struct arena *a, struct queue_entry *out, bool *found,
                         struct err *e);
/*
 * queue_next_remote: entries of one account for one domain by one transport, one of those that `may` says can be
 * served now, for which so many of all accounts wait; up to max, and of QUEUE_MAX_MESSAGES. They can go over one
 * connection. n is 0 when there are none.
 */
enum { QUEUE_MAX_MESSAGES = 10 };
struct queue_destination {
    struct str account, domain, transport;
};
typedef bool queue_may_fn(void *ctx, const struct queue_destination *to, size_t n_waiting);
MUST_USE bool queue_next_remote(struct queue *q, struct arena *a, queue_may_fn *may, void *ctx,
                                struct queue_entry *out, size_t max, size_t *n, struct err *e);
/*
 * More of the same as entry, for a connection that has done with its first ones. A connection asks a few
 * times only, then it is somebody else's turn.
 */
MUST_USE bool queue_more(struct queue *q, struct arena *a, const struct queue_entry *entry,
                         struct queue_entry *out, size_t max, size_t *n, struct err *e);
void queue_is_remote(struct queue *q, const struct queue_entry *entry);
/* Given out and not tried: due as before. */
void queue_put_back(struct queue *q, const struct queue_entry *entry);
/* Whether more is due than was given out: worth another queue_next. */
bool queue_has_ready(const struct queue *q);
/*
 * An attempt at another server begins. It counts, and the time of the next is set, before the first byte
 * is sent: after queue_commit a crash leads to no second attempt before its time.
 */
MUST_USE bool queue_begin(struct queue *q, struct queue_entry *entry, struct err *e);
/* It did not begin after all: it does not count, and the entry is due as before, or when a person has said meanwhile. */
MUST_USE bool queue_take_back(struct queue *q, const struct queue_entry *entry, struct err *e);

enum attempt_class { ATTEMPT_DELIVERED, ATTEMPT_TEMPORARY, ATTEMPT_PERMANENT };
/* What became of an attempt for one recipient. */
struct attempt {
    enum attempt_class class;
    bool is_remote;      // it went to another server, or would have; queue_begin was called
    unsigned code;       // of the SMTP reply; 0: there was none
    struct str enhanced; // "5.1.1"; empty: unknown
    struct str text;     // of the reply, its lines joined, or what else went wrong
    struct str remote_name, remote_address; // of the server that spoke; may be empty
    bool is_list;        // delivered to a list, whose members are not the sender's business
    bool has_dsn_duty;   // delivered to a server that reports success itself (RFC 3461 5.2.1)
    int64_t started_unix, duration_ms;
    struct str dialed;   // kept for the next attempt
};
/*
 * The end of an attempt: an entry that is delivered, failed for good or was tried often enough goes, and
 * with the last one its message; others are tried again at their time. The sender is told of failures, and
 * of delays and successes if that is wanted, by a message of our own that is queued with the same commit.
 * Nothing happens when the entry was taken out meanwhile.
 */
MUST_USE bool queue_result(struct queue *q, const struct queue_entry *entry,
                           const struct attempt *attempt, struct err *e);
/*
 * Seconds until the next attempt after so many that failed: at an account of ours soon, and at least once
 * an hour; at another server as mox-smtp-delivery.md 3.1 has it.
 */
enum {
    QUEUE_MAX_ATTEMPTS = 8,   // at another server, unless the entry says otherwise
    QUEUE_DELAY_ATTEMPTS = 5, // after so many that failed the sender hears of a delay
};
int64_t queue_wait_s(bool is_remote, uint32_t attempts);

/*
 * Whether the account's mail to this recipient is not to be tried (mox-smtp-delivery.md 3.8): the attempt
 * is over before it begins, with queue_suppressed_attempt.
 */
MUST_USE bool queue_is_suppressed(struct queue *q, const struct queue_entry *entry, bool *out,
                                  struct err *e);
extern const struct attempt queue_suppressed_attempt;

/* Writes the message's bytes to fd. */
MUST_USE bool queue_read(struct queue *q, uint64_t message, int fd, struct err *e);

/* Forgets up to max retired messages whose time has come, and names of long ago; n: how many messages there were. */
MUST_USE bool queue_forget_retired(struct queue *q, size_t max, size_t *n, struct err *e);
