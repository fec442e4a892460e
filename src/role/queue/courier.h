/*
 * One deliver process and the messages that it has: outgoing.c gives it entries of one destination, courier.c sends it
 * one message after another, courier_hear.c hears what became of them. What is said of each attempt is attempt.c's.
 */
#pragma once

#include "role/queue/queue_role.h"

enum {
    MAX_COURIERS = 40,
    MAX_AHEAD = 2, // messages that a process has and has not answered; the first is alone, until its server spoke
    // The courier's arena has what is known of each entry, and what was said of it, until the process ends.
    COURIER_MEMORY = 4 << 20,
};

enum sending {
    WAITING,
    BEGUN, // is counted, as soon as that is committed
    READY,
    SENT,
    ANSWERED,
    DONE,
};

struct item {
    struct queue_entry entry;
    enum sending sending;
    int64_t started_unix, started_ms;
    struct attempt attempt; // ANSWERED; texts are in the courier's arena
};

/* A deliver process and what it has to do. */
struct courier {
    enum { FREE, TAKEN, WANTED, BUSY } state;
    uint64_t request;
    int64_t deadline_ms;
    struct arena a;
    struct queue_destination to;
    bool has_transport; // not directly
    struct ipc_transport transport; // texts are in a
    struct window *window; // of the destination
    struct item *items; // QUEUE_MAX_BATCH
    size_t served; // entries that it was given
    size_t n, n_begun; // BEGUN
    unsigned n_ahead; // messages that have begun, and not ended
    bool has_spoken; // the server
    uint64_t noted[MAX_AHEAD]; // messages whose results are here and wait for a commit
    size_t n_noted;
    bool has_asked;
    bool is_asking; // it is going to ask for the domain's MTA-STS policy, or waits for it
    struct channel ch;
    struct event_source *source;
};

/* outgoing.c */
struct couriers {
    struct courier all[MAX_COURIERS];
    size_t n; // that are not free
    bool is_stopping;
};
extern struct couriers couriers;

/* --- courier.c ---------------------------------------------------------------------------------- */

void courier_add(struct courier *c, const struct queue_entry *entry);
/* NULL: directly. */
const struct ipc_transport *courier_transport(const struct courier *c);
/* Whether an entry's transport is the one that this connection serves. */
bool courier_goes_with(const struct courier *c, const struct queue_entry *entry);
/* Begins as many messages as the process may have. They are sent when this is committed. */
void courier_begin_more(struct courier *c);
/* What has begun or ended is on the disk, or is not. */
void courier_committed(struct courier *c, bool is_ok);
/* Its process is there, at the other end of fd. */
void courier_attach(struct courier *c, int fd);
/* Sends what is ready, and ends a courier that has nothing left to do. */
void courier_feed(struct courier *c);
/* More for the same connection, when it has begun with all there was; like: one that it has had. */
void courier_look_for_more(struct courier *c, const struct queue_entry *like);
/* What is done makes room. */
void courier_drop_done(struct courier *c);
/* An item is done with, or back where it was before it was given out. */
void courier_note(struct item *item, const struct attempt *attempt);
void courier_return(struct item *item);
/*
 * Ends it with what it has not done: what it did not get is due as before, and of what it has not
 * answered nobody knows; but when it was told to stop, it has ended no message without an answer.
 */
void courier_end(struct courier *c, struct str why);

/* --- courier_hear.c ----------------------------------------------------------------------------- */

/* On the loop: its channel has something. */
void courier_heard(void *ctx, int events);

/* --- attempt.c ---------------------------------------------------------------------------------- */

/* One of our own reports about DMARC. Those about TLS say that they do not need it. */
bool entry_is_dmarc_report(const struct queue_entry *entry);
/*
 * Where it goes, and what it asks of a server: those of which both are the same fare alike when none is reached. A
 * relay is one place for all domains.
 */
struct down_place entry_place(const struct queue_entry *entry, const struct ipc_transport *t);
/* How an attempt ended: for the log, and in the queue. */
void attempt_note(const struct queue_entry *entry, const struct attempt *attempt);
/* An entry that goes over no connection: its transport fails by its nature, or is not known (NULL). It has ended then. */
bool attempt_fails_here(const struct queue_entry *entry, const struct ipc_transport *t);
/* One whose destination another message has just not reached; likewise. */
bool attempt_fails_alike(const struct queue_entry *entry, const struct ipc_transport *t);
/* Whether more may fail alike in this second. */
bool attempt_has_room(void);
void attempt_tick(void);
