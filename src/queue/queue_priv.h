/*
 * What the files of the queue share.
 */
#pragma once

#include "db/db.h"
#include "message/dsn.h"
#include "queue/queue.h"

struct schedule;

/* Reports to senders outside, of this hour. */
struct report_rate {
    int64_t since_unix;
    unsigned n;
};

struct queue {
    struct db *db;
    bool has_changes; // a transaction is open
    bool has_new;     // with entries in it
    struct schedule *schedule;
    queue_sign *sign; // NULL: none
    struct str hostname;
    struct report_rate rate;
    int64_t listed_unix; // of the last line of a list that goes on
    uint64_t n_listed;   // its lines
};

/* The last second of the year 9999: never, and yet a date. */
#define QUEUE_NEVER_UNIX INT64_C(253402300799)

/* Every change is between these two: it opens the transaction, and what fails is undone alone. */
MUST_USE bool queue_change_begin(struct queue *q, struct err *e);
MUST_USE bool queue_change_end(struct queue *q, bool is_ok, struct err *e);

/* Whether the account may send m now, which is counted. ERR_LIMIT when it may not (limits.c). */
MUST_USE bool queue_limits_take(struct queue *q, const struct queue_new *m, int64_t now,
                                struct err *e);

/* schedule.c: what is due, in memory; the database has the last word. */
struct schedule *schedule_new(void);
void schedule_free(struct schedule *s);
/* Times or destinations of entries were changed: read them all again. */
void schedule_reset(struct queue *q);
/* An entry that was given out has been dealt with; it may be due again. */
void schedule_end(struct queue *q, const struct queue_entry *entry);
/* An entry, be it due or not; texts in a. */
MUST_USE bool schedule_read_entry(struct queue *q, struct arena *a, uint64_t id,
                                  struct queue_entry *out, bool *found, struct err *e);

/* result.c: an entry that a person takes out, within a change. is_told: its sender is. */
MUST_USE bool result_end_by_hand(struct queue *q, const struct queue_entry *entry,
                                 const struct attempt *attempt, bool is_told, struct err *e);

/* queue.c: inserts in the transaction that is open; entries that are refused are left out. */
MUST_USE bool queue_insert(struct queue *q, const struct queue_new *m, struct err *e);
/* By which number the bytes of a message are stored; is_shared: others may have the same. */
MUST_USE bool queue_body_of(struct queue *q, uint64_t message, uint64_t *body, bool *is_shared, struct err *e);
/* Appends the first bytes of m's file, until out has max. */
MUST_USE bool queue_read_file(const struct queue_new *m, size_t max, struct buf *out, struct err *e);
/* The destination of an address: its domain, in the one spelling of the DNS. */
struct str queue_domain_of(struct arena *a, struct str address);
/* Up to max bytes of a message from offset on. */
MUST_USE bool queue_read_part(struct queue *q, uint64_t message, uint64_t offset, size_t max,
                              struct buf *out, struct err *e);

/* report.c: what the sender is told. */
/*
 * Queues a report about the entry, if its sender is to hear of that. retry_until_unix: of a delay.
 */
MUST_USE bool report_put(struct queue *q, const struct queue_entry *entry, enum dsn_action action,
                         const struct attempt *attempt, int64_t retry_until_unix, struct err *e);
/* Queues a report about the recipients of m that are refused. */
MUST_USE bool report_put_refused(struct queue *q, const struct queue_new *m, struct err *e);

/* retired.c: what is remembered of an entry that goes. */
MUST_USE bool retired_put(struct queue *q, const struct queue_entry *entry,
                          const struct attempt *attempt, bool is_success, struct err *e);
/* Why an attempt failed, as lists show it: with the code, if a server had one. */
struct str retired_error(struct arena *a, const struct attempt *attempt);
/* Results of earlier attempts, kept with the entry. */
MUST_USE bool retired_put_result(struct queue *q, const struct queue_entry *entry,
                                 const struct attempt *attempt, struct err *e);

/* suppress.c: puts the recipient on the account's list, if the failure says it is no use to try again. */
MUST_USE bool suppress_after_failure(struct queue *q, const struct queue_entry *entry,
                                     const struct attempt *attempt, struct err *e);
MUST_USE bool suppress_add(struct queue *q, struct str account, struct str address, bool is_manual,
                           struct str reason, struct err *e);
/* The address without what people put into it to tell mail apart; in a. */
struct str suppress_base(struct arena *a, struct str address);

/* hold.c: begins to count what is on hold. */
MUST_USE bool hold_count_begin(struct queue *q, struct err *e);
/* Whether a rule holds a new entry. */
MUST_USE bool hold_is_due(struct queue *q, const struct queue_new *m, struct str recipient_domain,
                          bool *out, struct err *e);
