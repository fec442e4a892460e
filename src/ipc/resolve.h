/*
 * Asking the `resolve` process: the blocking calls of sessions, the queue and the command line, as
 * the interface that policy code is given.
 */
#pragma once

#include "ipc/channel.h"
#include "ipc/messages.h"
#include "policy/dns.h"

enum {
    RESOLVE_MAX_MS = 15000,   // the longest that resolve keeps a question
    RESOLVE_PATIENCE_MS = RESOLVE_MAX_MS + 5000, // when even resolve does not answer
    RESOLVE_MAX_OPEN = 100,   // questions of one asker at once; more are answered as temporary
};

struct resolver {
    struct channel ch; // fd -1 until the first question, and after resolve has ended
    struct packet *packet;
    uint64_t last_request;
    /*
     * Of os_monotonic_ms; 0: none. After it every answer is DNS_TEMPORARY at once: what is to be decided
     * with many questions takes no longer, however slow a stranger's servers are.
     */
    int64_t deadline_ms;
    /* Gets a channel to resolve. */
    bool (*connect)(void *ctx, struct channel *out, struct err *e);
    void *ctx;
};
#define RESOLVER(connect_fn, connect_ctx)                                                          \
    {                                                                                              \
        .ch = {.fd = -1}, .connect = (connect_fn), .ctx = (connect_ctx)                            \
    }

/* What resolve answered to a question of that type; copied to a. ERR_SYNTAX when it is no answer. */
MUST_USE bool resolve_take_answer(struct arena *a, enum dns_type type, const struct ipc_resolved *m,
                                  struct dns_answer *out, struct err *e);

/* Whoever answers: resolve. When it is not there or does not say, the answer is DNS_TEMPORARY. */
struct dns resolver_dns(struct resolver *r);
void resolver_fini(struct resolver *r);
