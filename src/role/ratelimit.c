#include "role/ratelimit.h"

#include <stdlib.h>
#include <string.h>

#include "os/clock.h"
#include "os/net.h"

enum { MAX_COUNTED = 1 << 20 }; // networks; past it, everything is forgotten and starts again

// A network as a key: class, then the masked address.
struct network {
    char bytes[17];
    size_t n;
};

static bool network_of(struct str ip, unsigned class, struct network *out)
{
    static const unsigned prefix[2][3] = {{32, 26, 21}, {64, 48, 32}};
    unsigned char address[16] = {0};
    int family = net_parse_ip(ip, address);
    unsigned bits = prefix[family == 6][class];

    if (!family)
        return false;
    for (unsigned i = 0; i < 16; i++)
        if (i * 8 >= bits)
            address[i] = 0;
        else if (bits - i * 8 < 8)
            address[i] = (unsigned char)(address[i] & (0xff00 >> (bits - i * 8)));
    out->bytes[0] = (char)(class * 2 + (family == 6));
    memcpy(out->bytes + 1, address, 16);
    out->n = sizeof out->bytes;
    return true;
}

void ratelimit_fini(struct ratelimit *l)
{
    map_fini(&l->counts);
}

static void turn_window(struct ratelimit *l)
{
    int64_t now = l->window_ms ? os_now_unix_ms() / l->window_ms : 0;

    if (now != l->window || l->counts.count > MAX_COUNTED)
        map_fini(&l->counts);
    l->window = now;
}

// Counts are kept in the map's value itself, plus one so that it is never NULL.
static uint32_t count_get(struct ratelimit *l, const struct network *n)
{
    uintptr_t v = (uintptr_t)map_get(&l->counts, str_at(n->bytes, n->n));

    return v ? (uint32_t)(v - 1) : 0;
}

static void count_set(struct ratelimit *l, const struct network *n, uint32_t count)
{
    struct str key = str_at(n->bytes, n->n);

    if (count)
        map_put(&l->counts, key, (void *)(uintptr_t)(count + 1ull));
    else
        map_remove(&l->counts, key);
}

bool ratelimit_can(struct ratelimit *l, struct str ip, uint32_t n)
{
    struct network net;

    turn_window(l);
    for (unsigned class = 0; class < 3; class++)
        if (network_of(ip, class, &net) && count_get(l, &net) + n > l->limits[class])
            return false;
    return true;
}

bool ratelimit_add(struct ratelimit *l, struct str ip, uint32_t n)
{
    struct network net;

    if (!ratelimit_can(l, ip, n))
        return false;
    for (unsigned class = 0; class < 3; class++)
        if (network_of(ip, class, &net))
            count_set(l, &net, count_get(l, &net) + n);
    return true;
}

void ratelimit_subtract(struct ratelimit *l, struct str ip, uint32_t n)
{
    struct network net;

    turn_window(l);
    for (unsigned class = 0; class < 3; class++)
        if (network_of(ip, class, &net)) {
            uint32_t have = count_get(l, &net);

            count_set(l, &net, have > n ? have - n : 0);
        }
}

void ratelimit_reset(struct ratelimit *l, struct str ip)
{
    struct network net;

    turn_window(l);
    if (network_of(ip, 0, &net))
        ratelimit_subtract(l, ip, count_get(l, &net));
}
