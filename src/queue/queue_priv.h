/*
 * What the files of the queue share.
 */
#pragma once

#include "db/db.h"
#include "queue/queue.h"

struct queue {
    struct db *db;
    bool has_changes; // a transaction is open
};

/* Whether the account may send m now, which is counted. ERR_LIMIT when it may not (limits.c). */
MUST_USE bool queue_limits_take(struct queue *q, const struct queue_new *m, int64_t now,
                                struct err *e);
