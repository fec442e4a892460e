/*
 * Policy code that asks the DNS while others are served: it is run, and run again from its start with each answer of
 * resolve, until it has all (policy/dns_later.h).
 */
#pragma once

#include "ipc/channel.h"
#include "policy/dns_later.h"

struct lookup {
    /* Runs it with lookup_dns, and then asks lookup_is_missing. */
    void (*run)(void);
    struct dns_later later;
    bool is_open;
    uint64_t request; // to resolve; 0: none
    int64_t asked_ms;
    struct lookup *next; // of those that are open
};

/* Nothing is known yet. run is to be called. */
void lookup_begin(struct lookup *l);
/* Also when it has not begun. */
void lookup_end(struct lookup *l);
/* Before each run. */
struct dns lookup_dns(struct lookup *l);
/* True: the run has met a question without an answer, and has no result. resolve is asked, and run called again. */
bool lookup_is_missing(struct lookup *l);
/* resolve has said something. */
MUST_USE bool lookup_resolved(struct packet *m, struct err *e);
/* Every second: what could not be asked, or is not answered, is asked again. */
void lookup_tick(void);
