/*
 * What people do with the queue: look at it, and change what waits (mox-imap-store-cli-config.md 3.2,
 * `mox queue`).
 */
#pragma once

#include "queue/queue.h"

/* A time before or after another; NONE: any. */
enum queue_when { QUEUE_WHEN_ANY, QUEUE_WHEN_BEFORE, QUEUE_WHEN_AFTER };
struct queue_time {
    enum queue_when when;
    int64_t unix_seconds;
};

/* Which entries; what is empty says nothing. */
struct queue_filter {
    struct str ids; // ",1,2,"
    struct str account;
    struct str from, to; // a part of the address, or "@domain"
    enum { QUEUE_HELD_ANY, QUEUE_HELD_YES, QUEUE_HELD_NO } held;
    struct queue_time submitted, next_attempt, last_activity; // the last: of retired messages only
    bool has_transport;
    struct str transport;
    enum { QUEUE_RESULT_ANY, QUEUE_RESULT_SUCCESS, QUEUE_RESULT_FAILURE } result; // of retired ones
    uint64_t max; // 0: no limit
    bool by_queued, is_ascending; // order of a list; else by the next attempt, the last first
};
/*
 * "name=value" with tabs between: ids, n, account, from, to, hold, submitted, nextattempt, lastactivity,
 * transport, result, sort, asc. Times are "<1h" and ">-30m", from now on; texts live in a or in text.
 */
MUST_USE bool queue_filter_parse(struct arena *a, struct str text, int64_t now_unix,
                                 struct queue_filter *out, struct err *e);

/*
 * Lines about entries, after the one with that number (0: from the first); *last is the last that fitted, 0
 * at the end. filter's max is the caller's business.
 */
MUST_USE bool queue_list(struct queue *q, const struct queue_filter *filter, uint64_t after,
                         struct buf *out, uint64_t *last, struct err *e);
/* The same about retired messages, and all that is known of one as JSON. */
MUST_USE bool queue_retired_list(struct queue *q, const struct queue_filter *filter, uint64_t after,
                                 struct buf *out, uint64_t *last, struct err *e);
MUST_USE bool queue_retired_print(struct queue *q, uint64_t id, struct buf *out, struct err *e);

enum queue_change {
    QUEUE_HOLD,
    QUEUE_UNHOLD,
    QUEUE_ADD_TIME, // value: a duration, added to the time of the next attempt
    QUEUE_SET_TIME, // from now on
    QUEUE_TRANSPORT, // value: its name; empty: by the routes
    QUEUE_REQUIRE_TLS, // value: "yes", "no" or "default"
    QUEUE_FAIL, // as if the last attempt had failed; the sender is told
    QUEUE_DROP, // nobody is told
    QUEUE_CHANGE_COUNT,
};
/*
 * Changes up to max of the entries that match, in the order of their numbers, after the one with that number;
 * n: how many. *last is the last of them if there may be more, else 0.
 */
MUST_USE bool queue_change(struct queue *q, enum queue_change what, const struct queue_filter *filter,
                           struct str value, uint64_t after, size_t max, size_t *n, uint64_t *last,
                           struct err *e);
/*
 * The reverse paths of what an account has in the queue, a line each, of messages with numbers above after; *next is from
 * where on to ask again, 0 at the end. One answer has each of them once.
 */
MUST_USE bool queue_senders(struct queue *q, struct str account, uint64_t after, struct buf *out,
                            uint64_t *next, struct err *e);
/* Bytes of the message of an entry, from offset on, as many as fit; *next is 0 at the end. */
MUST_USE bool queue_dump(struct queue *q, uint64_t id, uint64_t offset, struct buf *out,
                         uint64_t *next, struct err *e);

/* Rules for holding; adding one holds what is there and matches. */
MUST_USE bool queue_hold_rules_list(struct queue *q, struct buf *out, struct err *e);
MUST_USE bool queue_hold_rules_add(struct queue *q, struct str account, struct str sender_domain,
                                   struct str recipient_domain, size_t *n_held, struct err *e);
MUST_USE bool queue_hold_rules_remove(struct queue *q, uint64_t id, struct err *e);
/* How many recipients are on hold: no more work for many than for few. */
MUST_USE bool queue_count_held(struct queue *q, uint64_t *out, struct err *e);

/* The suppression list; account empty: of all. */
MUST_USE bool queue_suppress_list(struct queue *q, struct str account, uint64_t after,
                                  struct buf *out, uint64_t *last, struct err *e);
MUST_USE bool queue_suppress_add(struct queue *q, struct str account, struct str address,
                                 struct err *e);
MUST_USE bool queue_suppress_remove(struct queue *q, struct str account, struct str address,
                                    struct err *e);
/* Of an account that is gone. */
MUST_USE bool queue_suppress_forget(struct queue *q, struct str account, struct err *e);
MUST_USE bool queue_suppress_lookup(struct queue *q, struct str account, struct str address,
                                    struct buf *out, struct err *e);
