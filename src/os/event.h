/*
 * One loop over descriptors and one periodic tick, for the single-instance roles and `front`.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

enum { EVENT_READ = 1, EVENT_WRITE = 2 };

struct event_loop;
struct event_source;

/* events: which of EVENT_READ and EVENT_WRITE; an error or hang-up counts as both. */
typedef void event_fn(void *ctx, int events);

struct event_loop *event_loop_new(struct err *e);

/* Calls fn when fd is ready. NULL on failure. The descriptor stays the caller's. */
struct event_source *event_add(struct event_loop *l, int fd, int events, event_fn *fn, void *ctx,
                               struct err *e);
void event_change(struct event_loop *l, struct event_source *s, int events);
/* Before the descriptor is closed. Safe inside any callback of the same loop. NULL is allowed. */
void event_remove(struct event_loop *l, struct event_source *s);

/* fn(ctx, 0) about every interval_ms. */
void event_tick(struct event_loop *l, int interval_ms, event_fn *fn, void *ctx);

/* fn(ctx, 0) after each round: when the events that had happened have been handled. */
void event_after(struct event_loop *l, event_fn *fn, void *ctx);

/* Runs until event_stop. */
void event_run(struct event_loop *l);
void event_stop(struct event_loop *l);
