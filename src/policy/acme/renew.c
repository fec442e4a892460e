#include "policy/acme/acme.h"

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// How long before the end it is time.
static int64_t threshold(int64_t not_before, int64_t not_after, int64_t before_s)
{
    int64_t life = not_after > not_before ? not_after - not_before : 0;

    return least(before_s > 0 ? before_s : ACME_RENEW_BEFORE_S, life / 3);
}

int64_t acme_renew_at(int64_t not_before, int64_t not_after, int64_t before_s, uint64_t random)
{
    int64_t before = threshold(not_before, not_after, before_s);
    int64_t jitter = least(before / 10, 3600);

    return not_after - before + (int64_t)(random % (uint64_t)(jitter + 1));
}

int64_t acme_renew_in_window(const struct acme_window *w, int64_t not_after, uint64_t random)
{
    int64_t at = w->start + (int64_t)(random % (uint64_t)(w->end - w->start));

    return least(at, not_after);
}

int64_t acme_retry_in(unsigned failures, int64_t retry_after_s, uint64_t random)
{
    unsigned doublings = failures > 1 ? failures - 1 : 0;
    int64_t wait = doublings < 16 ? (int64_t)ACME_RETRY_MIN_S << doublings : ACME_RETRY_MAX_S;

    wait = least(wait, ACME_RETRY_MAX_S);
    if (wait < retry_after_s)
        wait = retry_after_s;
    return wait + (int64_t)(random % (uint64_t)(wait / 4 + 1));
}

// Half of the time that there is for a renewal has passed.
bool acme_is_alarming(int64_t not_before, int64_t not_after, int64_t now)
{
    return not_after - now < threshold(not_before, not_after, 0) / 2;
}
