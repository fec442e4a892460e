/*
 * Mail that was accepted and waits to be delivered: one message, one entry per recipient that is
 * still to be served. queue.db in the current directory; used by the queue process alone.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/*
 * Changes gather in one transaction: nothing is durable, and no answer may be given, before
 * queue_commit. A change that fails is undone alone.
 */
struct queue;
struct queue *queue_open(struct err *e);
/* Without a commit. */
void queue_close(struct queue *q);
/* All changes since the last commit, with one sync; false: none of them is there. */
MUST_USE bool queue_commit(struct queue *q, struct err *e);

struct queue_recipient {
    struct str address;
    struct str delivery_id; // how the accounts know it; empty: by the entry
    struct str refused;     // not to be tried, and why; empty: to be tried
};
/* A message: prefix, then size bytes of fd from its start. */
struct queue_new {
    struct str account, reverse_path, prefix;
    const struct queue_recipient *recipients;
    size_t n_recipients;
    bool is_8bit, is_binary, is_smtputf8;
    uint8_t require_tls; // 0 not said, 1 yes, 2 explicitly no
    int64_t hold_until_unix;
    struct str future_release; // "for;SECONDS", "until;TIME", or empty
    uint32_t max_per_day, max_first_per_day; // of the account; 0: no limit
    int fd;
    uint64_t size;
};
/* ERR_TEMPORARY when the disk is full. */
MUST_USE bool queue_add(struct queue *q, const struct queue_new *m, struct err *e);

struct queue_entry {
    uint64_t id, message;
    struct str recipient, reverse_path, account, delivery_id;
    int64_t queued_unix;
    uint64_t size;
    uint32_t attempts;
};
/* Up to max entries that are due, longest waiting first. */
MUST_USE bool queue_due(struct queue *q, struct arena *a, struct queue_entry *out, size_t max,
                        size_t *n, struct err *e);
/*
 * Seconds until the next attempt after so many that failed. For now: soon, since it is an account of
 * ours, and at least once an hour. For good: as mox-smtp-delivery.md 3.1 has it, and from then on with
 * the last of its intervals, since somebody may still put it right.
 */
enum queue_failure { QUEUE_FAILED_FOR_NOW, QUEUE_FAILED_FOR_GOOD };
int64_t queue_wait_s(enum queue_failure how, uint32_t attempts);

/* Writes the message's bytes to fd. */
MUST_USE bool queue_read(struct queue *q, uint64_t message, int fd, struct err *e);
/* The recipient has it: the entry goes, and with the last one the message. */
MUST_USE bool queue_done(struct queue *q, const struct queue_entry *entry, struct err *e);
/* It did not work: why, and when to try again. */
MUST_USE bool queue_retry(struct queue *q, uint64_t entry, struct str why,
                          int64_t next_attempt_unix, struct err *e);

/*
 * Lines for people, entries with an id above after; *last is the last that fitted, 0 at the end.
 * mox-imap-store-cli-config.md 3.2, "queue list".
 */
MUST_USE bool queue_list(struct queue *q, uint64_t after, struct buf *out, uint64_t *last,
                         struct err *e);
