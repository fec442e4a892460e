/*
 * What repair.c and repair_threads.c share; in the process that has the store, or the command in its place.
 */
#pragma once

#include "store/store.h"

// Messages of one transaction: others wait for the writer meanwhile.
enum { REPAIR_AT_ONCE = 500 };

/* Assigns threads anew, and counts them; says in told how many there are. */
MUST_USE bool repair_threads(struct store *st, store_progress_fn *progress, struct buf *told, struct err *e);

/* A job of store_write: counts of mailboxes and threads as they must be; ctx is the struct buf that is told. */
MUST_USE bool repair_counts_job(struct store *st, void *ctx, struct err *e);
