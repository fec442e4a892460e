/*
 * MTA-STS policies of other domains (RFC 8461 5.1): what is known, when it is asked for again, and what
 * holds when that fails. A table of queue.db; changes are committed with the queue's others.
 */
#pragma once

#include "policy/mtasts.h"
#include "policy/tls_rule.h"
#include "queue/queue.h"

enum {
    STS_BACKOFF_S = 300,               // after a fetch that failed (RFC 8461 3.3)
    STS_REFRESH_S = 24 * 3600,         // of policies that are kept
    STS_UNUSED_S = 180 * 24 * 3600,    // then they are forgotten
    STS_SPREAD_S = 3 * 3600,           // in which all that are due are asked for
};

/* What the DNS says of a domain now. */
enum sts_record {
    STS_RECORD_NONE = 0,    // no record, several, or a malformed one
    STS_RECORD_ID = 1,      // there is one
    STS_RECORD_UNKNOWN = 2, // the DNS gave no answer
};

enum sts_status {
    STS_NONE = 1,      // no policy
    STS_POLICY = 2,    // one that is valid now
    STS_TEMPORARY = 3, // nobody knows: mail must wait
    STS_FETCH = 4,     // to be fetched first
};

struct sts_known {
    enum sts_status status;
    struct mtasts_policy policy;
    struct str id;            // of the record that it came with
    enum tls_failure failure; // of the last fetch, for the report
    struct str reason;        // failure-reason-code
};

/* What holds for domain (A-labels), whose record the DNS was asked for. Texts are in a. */
MUST_USE bool queue_sts_ask(struct queue *q, struct arena *a, struct str domain, enum sts_record record,
                            struct str id, struct sts_known *out, struct err *e);

/* A fetch for the record with this id has ended. */
struct sts_fetched {
    const struct mtasts_policy *policy; // NULL: it failed
    enum tls_failure failure;
    struct str why;                     // for people
};
/* Notes it, and says what holds now: STS_POLICY, maybe an old one, or STS_NONE. */
MUST_USE bool queue_sts_fetched(struct queue *q, struct arena *a, struct str domain, struct str id,
                                const struct sts_fetched *got, struct sts_known *out,
                                struct err *e);

/*
 * A policy that is due to be looked at again: its domain and the id that it came with. n_due is how many
 * there are.
 */
MUST_USE bool queue_sts_due(struct queue *q, struct arena *a, struct str *domain, struct str *id,
                            uint64_t *n_due, bool *found, struct err *e);
/* The record is as it was, or gone: in both cases a policy stays, but one of mode none goes with its record. */
MUST_USE bool queue_sts_unchanged(struct queue *q, struct str domain, bool is_gone, struct err *e);
/* Drops what nobody has used for long. */
MUST_USE bool queue_sts_forget(struct queue *q, struct err *e);
