/*
 * Functions that block, side by side on one thread: each has a stack of its own, and while one waits for a descriptor,
 * the others go on. What they share needs no locks: another goes on only where one waits.
 *
 * Who starts fibers runs them: fibers_poll takes the place of poll in its loop.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>

enum { FIBERS_MAX = 32, FIBER_STACK = 256 * 1024, FIBER_MAX_FDS = 4 };

struct fiber;

/* Calls run(ctx) on a stack of its own, until it waits or ends. False: there are FIBERS_MAX already. */
bool fiber_start(void (*run)(void *ctx), void *ctx);
/* The one that this is called in; NULL: none. */
struct fiber *fiber_current(void);

/*
 * As poll, for at most FIBER_MAX_FDS descriptors: in a fiber the others go on meanwhile, elsewhere it is poll. ECANCELED,
 * always, in one that is to come to its end.
 */
int fiber_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
/* The same, and 0 also when it is woken, since what it waits for may have happened though no descriptor tells. */
int fiber_wait(struct pollfd *fds, nfds_t n, int timeout_ms);
/* One that is not in fiber_wait hears nothing of it: look first, then wait. */
void fiber_wake(struct fiber *f);
/* It waits for nothing any more. */
void fiber_cancel(struct fiber *f);
/* Whether the one that this is called in is to come to its end. */
bool fiber_is_cancelled(void);

/*
 * As poll, outside of fibers: lets those go on whose wait is over. Returns when something happened, be it to them alone
 * (then 0).
 */
int fibers_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
