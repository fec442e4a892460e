#include "role/account/parked.h"

#include "proto/imap/imap.h"

IPC_DEFINE(parked_state)

bool parked_saved(struct arena *a, struct str saved, uint32_t **out, size_t *n, struct err *e)
{
    struct imap_parser p = {cur_of(saved), a, true, e};
    struct imap_set set = {0};
    uint64_t total = 0;

    *out = NULL;
    *n = 0;
    if (!saved.n)
        return true;
    if (!imap_sequence_set(&p, &set) || !imap_end(&p))
        return false;
    // Neither "*" nor "$" is what was sent away; ranges may overlap or run backwards all the same.
    set = imap_set_sorted(a, &set, 0, 1, UINT32_MAX);
    for (size_t i = 0; i < set.n; i++)
        total += set.ranges[i].last - set.ranges[i].first + 1;
    if (total > PARKED_MAX_UIDS || set.is_saved)
        return fail(e, ERR_LIMIT, "the search result of a parked connection is none");
    *out = total ? heap_array(total, sizeof **out) : NULL;
    for (size_t i = 0; i < set.n; i++)
        for (uint64_t uid = set.ranges[i].first; uid <= set.ranges[i].last; uid++)
            (*out)[(*n)++] = (uint32_t)uid;
    return true;
}
