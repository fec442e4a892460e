/*
 * Sequence sets as something to look numbers up in.
 */
#include <stdlib.h>

#include "proto/imap/imap.h"

static int by_first(const void *a, const void *b)
{
    const struct imap_range *x = a, *y = b;

    return (x->first > y->first) - (x->first < y->first);
}

static uint64_t number(uint64_t n, uint64_t star)
{
    return n == IMAP_STAR ? star : n;
}

struct imap_set imap_set_sorted(struct arena *a, const struct imap_set *set, uint64_t star,
                                uint64_t low, uint64_t high)
{
    struct imap_set out = {.ranges = ARENA_ARRAY(a, set->n + 1, struct imap_range),
                           .is_saved = set->is_saved};
    size_t to = 0;

    for (size_t i = 0; i < set->n; i++) {
        uint64_t first = number(set->ranges[i].first, star), last = number(set->ranges[i].last, star);
        struct imap_range r = first < last ? (struct imap_range){first, last}
                                           : (struct imap_range){last, first};

        r.first = r.first > low ? r.first : low;
        r.last = r.last < high ? r.last : high;
        if (r.first <= r.last)
            out.ranges[out.n++] = r;
    }
    qsort(out.ranges, out.n, sizeof *out.ranges, by_first);
    for (size_t i = 0; i < out.n; i++) {
        struct imap_range r = out.ranges[i];

        if (!to || r.first > out.ranges[to - 1].last + 1)
            out.ranges[to++] = r;
        else if (r.last > out.ranges[to - 1].last)
            out.ranges[to - 1].last = r.last;
    }
    out.n = to;
    return out;
}

bool imap_set_has(const struct imap_set *sorted, uint64_t n)
{
    size_t low = 0, high = sorted->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (sorted->ranges[mid].last < n)
            low = mid + 1;
        else
            high = mid;
    }
    return low < sorted->n && sorted->ranges[low].first <= n;
}
