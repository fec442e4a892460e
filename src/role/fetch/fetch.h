/*
 * A fetch: a process that asks one thing of one web server.
 */
#pragma once

#include "ipc/resolve.h"
#include "role/start.h"

struct fetch {
    struct channel asker, dial;
    struct resolver resolver;
    struct packet *packet;
    struct arena arena;
    int64_t deadline_ms;
    int resolve_fd; // -1 when the resolver has it
};

/* For RESOLVER: the channel to resolve, once. */
bool fetch_give_resolver(void *ctx, struct channel *out, struct err *e);
/* Hears what is wanted, and answers. False: that was none of what is asked for. */
bool fetch_serve(struct fetch *f);
