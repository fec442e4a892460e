/*
 * Counting per network: an address is counted in three classes of ever larger networks (IPv4 /32,
 * /26, /21; IPv6 /64, /48, /32), each with its limit (mox-smtp-delivery.md 1.2).
 */
#pragma once

#include "base/map.h"

struct ratelimit {
    int64_t window_ms; // fixed windows, aligned to the epoch; 0: counts until subtracted
    uint32_t limits[3];
    int64_t window; // number of the current one
    struct map counts;
};
#define RATELIMIT(window_length_ms, one, two, three)                                               \
    {                                                                                              \
        .window_ms = (window_length_ms), .limits = { (one), (two), (three) }                       \
    }

/* Whether n more would be within the limits; does not count. */
bool ratelimit_can(struct ratelimit *l, struct str ip, uint32_t n);
/* Counts n when they are within the limits; false and uncounted otherwise. */
bool ratelimit_add(struct ratelimit *l, struct str ip, uint32_t n);
void ratelimit_subtract(struct ratelimit *l, struct str ip, uint32_t n);
/* Forgets the address: its own count is taken from its networks too. */
void ratelimit_reset(struct ratelimit *l, struct str ip);
void ratelimit_fini(struct ratelimit *l);
