/*
 * Time and randomness, which tests can supply.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Seconds and milliseconds since 1970, UTC. */
int64_t os_now_unix(void);
int64_t os_now_unix_ms(void);
/* Milliseconds of a clock that only goes forward; for deadlines. */
int64_t os_monotonic_ms(void);
/* Waits; a test's time goes on at once instead. */
void os_sleep_ms(int64_t ms);
/* A test's time: both clocks stand at this many milliseconds; -1 gives the real ones back. */
void os_clock_set_for_test(int64_t unix_ms);

/* Random bytes from the kernel. Ends the process when there are none. */
void os_random(void *p, size_t n);
/* Appends 22 letters, digits, "-" and "_" that nobody guesses: the name of a message, or a boundary in it. */
void os_random_name(struct buf *out);
/* A test's random bytes: a counter from this seed on; 0 gives the real ones back. */
void os_random_set_for_test(uint64_t seed);
