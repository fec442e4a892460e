/*
 * The state of a parked connection, as front may give it back: what decodes encodes to the same bytes,
 * and a search result is ascending and no longer than it may be.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/die.h"
#include "role/account/parked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    AUTO_BUF again = BUF_LIMIT(1 << 20);
    struct ipc_parked_state s;
    struct err e = {0};
    uint32_t *uids;
    size_t n;

    if (!ipc_parked_state_get(str_at(data, size), &s, &e))
        return 0;
    ipc_parked_state_put(&again, &s);
    if (!str_eq(buf_str(&again), str_at(data, size)))
        die("not the same bytes");
    if (!parked_saved(&a, s.saved, &uids, &n, &e))
        return 0;
    if (n > PARKED_MAX_UIDS)
        die("%zu UIDs", n);
    for (size_t i = 0; i < n; i++)
        if (!uids[i] || (i && uids[i] <= uids[i - 1]))
            die("UID %u is not above the one before", uids[i]);
    free(uids);
    return 0;
}
