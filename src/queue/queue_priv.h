/*
 * What the files of the queue share.
 */
#pragma once

#include "db/db.h"
#include "queue/queue.h"

struct schedule;

struct queue {
    struct db *db;
    bool has_changes; // a transaction is open
    struct schedule *schedule;
};

/* The last second of the year 9999: never, and yet a date. */
#define QUEUE_NEVER_UNIX INT64_C(253402300799)

/* Every change is between these two: it opens the transaction, and what fails is undone alone. */
MUST_USE bool queue_change_begin(struct queue *q, struct err *e);
MUST_USE bool queue_change_end(struct queue *q, bool is_ok, struct err *e);
/* Runs a statement with one parameter. */
MUST_USE bool queue_run_with_id(struct queue *q, const char *sql, uint64_t id, struct err *e);

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
