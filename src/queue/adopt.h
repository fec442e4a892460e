/*
 * Taking over what another server keeps of its queue, for a command that runs without the server. What was taken
 * over before is not again, even when it has left the queue meanwhile. Changes are committed as the queue's others.
 */
#pragma once

#include "policy/mtasts.h"
#include "queue/queue.h"

struct queue_adopted_result {
    int64_t started_unix, duration_ms;
    bool is_success;
    unsigned code;
    struct str enhanced, text;
};
struct queue_adopted {
    uint64_t number;      // there
    struct queue_new m;   // with one recipient
    int64_t queued_unix, next_attempt_unix, last_attempt_unix; // the last 0: not tried yet
    struct str transport; // empty: by the routes
    uint32_t attempts;
    bool is_held;
    const struct queue_adopted_result *results;
    size_t n_results;
    // Of one that is only remembered; its size without bytes.
    bool is_retired, is_success;
    uint64_t retired_size;
    int64_t last_activity_unix, keep_until_unix;
};
/* No limit of the account counts. is_new: it was not taken over before. */
MUST_USE bool queue_adopt(struct queue *q, const struct queue_adopted *m, bool *is_new, struct err *e);

/* The account has written to this recipient, at this time first: none of those that its limit is about. */
MUST_USE bool queue_adopt_written(struct queue *q, struct str account, struct str recipient, int64_t first_unix,
                                  struct err *e);

struct queue_adopted_suppression {
    struct str account, address, reason;
    bool is_manual;
    int64_t created_unix;
};
MUST_USE bool queue_adopt_suppression(struct queue *q, const struct queue_adopted_suppression *s, bool *is_new,
                                      struct err *e);
/* Domains are A-labels; what is empty matches all. Holds nothing that is in the queue. */
MUST_USE bool queue_adopt_hold_rule(struct queue *q, struct str account, struct str sender_domain,
                                    struct str recipient_domain, bool *is_new, struct err *e);
/* A policy of another domain; one that is known already stays. */
struct queue_adopted_policy {
    struct str domain, id;
    const struct mtasts_policy *policy;
    int64_t checked_unix, used_unix, valid_until_unix;
};
MUST_USE bool queue_adopt_policy(struct queue *q, const struct queue_adopted_policy *p, bool *is_new, struct err *e);
