/*
 * How many connections a destination has at once. It begins with one. Each that does its work makes room for
 * one more, as with Postfix, so that many messages for one place do not wait for each other; each that fails
 * takes one away, and a server that says 421 gets half as many, and a minute without more.
 */
#include "base/map.h"
#include "os/clock.h"
#include "role/queue/queue_role.h"

enum {
    MAX_WINDOWS = 200, // more than there are connections: those without one are memories
    MAX_AT_ONCE = 20,  // of one destination
    REST_MS = 60 * 1000,
    KEPT_MS = 300 * 1000, // without a connection
    DEAD_AFTER = 3,       // connections that are lost one after the other
};

struct window {
    uint64_t hash; // of both
    struct str domain, transport;
    unsigned n, most; // connections there are, and may be
    bool has_spoken;  // a server there, lately
    unsigned n_lost;  // connections since then
    int64_t rest_until_ms, used_ms;
};

static struct window windows[MAX_WINDOWS];

static uint64_t hash_of(const struct queue_destination *to)
{
    return str_hash(to->domain) + 31 * str_hash(to->transport);
}

static struct window *find(const struct queue_destination *to)
{
    uint64_t hash = hash_of(to);

    for (size_t i = 0; i < MAX_WINDOWS; i++)
        if (windows[i].hash == hash && windows[i].most && str_eq(windows[i].domain, to->domain) &&
            str_eq(windows[i].transport, to->transport))
            return &windows[i];
    return NULL;
}

// The place of what was not used for longest, if none is free.
static struct window *make(const struct queue_destination *to)
{
    struct window *oldest = NULL;

    for (size_t i = 0; i < MAX_WINDOWS; i++)
        if (!windows[i].n && (!oldest || windows[i].used_ms < oldest->used_ms))
            oldest = &windows[i];
    if (oldest->most) {
        heap_free(&oldest->domain);
        heap_free(&oldest->transport);
    }
    *oldest = (struct window){.hash = hash_of(to), .domain = heap_dup(to->domain),
                              .transport = heap_dup(to->transport), .most = 1};
    return oldest;
}

unsigned window_count(const struct queue_destination *to)
{
    const struct window *w = find(to);

    return w ? w->n : 0;
}

bool window_has_room(const struct queue_destination *to)
{
    const struct window *w = find(to);

    return !w || w->n < w->most;
}

struct window *window_enter(const struct queue_destination *to)
{
    struct window *w = find(to);
    int64_t now = os_monotonic_ms();

    if (!w)
        w = make(to);
    else if (!w->n && now - w->used_ms > KEPT_MS) {
        w->most = 1;
        w->has_spoken = false;
    }
    w->n++;
    w->used_ms = now;
    return w;
}

void window_leave(struct window *w)
{
    w->n--;
    w->used_ms = os_monotonic_ms();
}

bool window_is_over(const struct window *w)
{
    return w->n > w->most;
}

bool window_is_dead(const struct window *w)
{
    return !w->has_spoken || w->n_lost + 1 >= DEAD_AFTER;
}

bool window_heard(struct window *w, enum window_word word)
{
    int64_t now = os_monotonic_ms();

    switch (word) {
    case WINDOW_SPOKE:
        w->has_spoken = true;
        w->n_lost = 0;
        if (w->n < w->most || w->most >= MAX_AT_ONCE || now < w->rest_until_ms)
            return false;
        w->most++;
        return true;
    case WINDOW_LOST:
        w->n_lost++;
        w->most -= w->most > 1;
        return false;
    case WINDOW_BUSY:
        w->most = w->most > 1 ? w->most / 2 : 1;
        w->rest_until_ms = now + REST_MS;
        return false;
    }
    return false;
}
