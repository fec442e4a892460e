/*
 * Destinations that could not be reached, and why: for a while this holds for all messages that would go there in the
 * same way, so that a dead server with thousands of them is dialed once and not thousands of times. Each message has
 * its attempt and its own next one all the same.
 */
#include <stdlib.h>

#include "base/map.h"
#include "os/clock.h"
#include "role/queue/queue_role.h"

enum {
    MAX_DOWN = 200, // beyond them the oldest is forgotten, and dialed again
    FIRST_MS = 10 * 1000, // doubled each time that it is not reached
    LAST_MS = 300 * 1000, // less than the shortest wait of a message: its next attempt is one
    KEPT_MS = 24 * 3600 * 1000,
};

struct down {
    uint64_t hash; // of all of where; 0: free
    struct down_place where;
    int64_t noted_ms, hold_ms;
    struct attempt attempt;
};

static struct down downs[MAX_DOWN];
static int64_t first_ms = FIRST_MS;

void down_begin(void)
{
    const char *setting = getenv("MOX_DOWN_MS"); // tests have servers that are there again a moment later
    uint64_t ms;

    if (setting && str_u64(str_of(setting), FIRST_MS, &ms))
        first_ms = (int64_t)ms;
}

static uint64_t hash_of(const struct down_place *where)
{
    return (str_hash(where->domain) + 31 * str_hash(where->transport) + 961 * where->way) | 1;
}

static struct down *find(const struct down_place *where)
{
    uint64_t hash = hash_of(where);

    for (size_t i = 0; i < MAX_DOWN; i++)
        if (downs[i].hash == hash && downs[i].where.way == where->way &&
            str_eq(downs[i].where.domain, where->domain) && str_eq(downs[i].where.transport, where->transport))
            return &downs[i];
    return NULL;
}

static void drop(struct down *d)
{
    struct str *const texts[] = {&d->where.domain, &d->where.transport, &d->attempt.enhanced, &d->attempt.text,
                                 &d->attempt.remote_name, &d->attempt.remote_address, &d->attempt.dialed};

    if (d->hash)
        for (size_t i = 0; i < COUNT(texts); i++)
            heap_free(texts[i]);
    *d = (struct down){0};
}

static struct down *oldest(void)
{
    struct down *out = &downs[0];

    for (size_t i = 0; i < MAX_DOWN && out->hash; i++)
        if (!downs[i].hash || downs[i].noted_ms < out->noted_ms)
            out = &downs[i];
    return out;
}

void down_note(const struct down_place *where, const struct attempt *t)
{
    int64_t now = os_monotonic_ms(), hold_ms = first_ms;
    struct down *d = find(where);

    if (d && now - d->noted_ms < KEPT_MS)
        hold_ms = 2 * d->hold_ms < LAST_MS ? 2 * d->hold_ms : LAST_MS;
    d = d ? d : oldest();
    // What is kept of this one may be what is told.
    {
        struct down fresh = {.hash = hash_of(where), .where = *where, .noted_ms = now, .hold_ms = hold_ms, .attempt = *t};
        struct str *const texts[] = {&fresh.where.domain, &fresh.where.transport, &fresh.attempt.enhanced,
                                     &fresh.attempt.text, &fresh.attempt.remote_name,
                                     &fresh.attempt.remote_address, &fresh.attempt.dialed};

        for (size_t i = 0; i < COUNT(texts); i++)
            *texts[i] = heap_dup(*texts[i]);
        drop(d);
        *d = fresh;
    }
}

const struct attempt *down_why(const struct down_place *where)
{
    const struct down *d = find(where);

    return d && os_monotonic_ms() - d->noted_ms < d->hold_ms ? &d->attempt : NULL;
}

void down_over(const struct down_place *where)
{
    struct down *d = find(where);

    if (d)
        drop(d);
}

void down_forget(void)
{
    for (size_t i = 0; i < MAX_DOWN; i++)
        drop(&downs[i]);
}
