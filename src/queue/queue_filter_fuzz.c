/*
 * Filters of `mox queue`: what is taken is within its limits.
 */
#include <stdint.h>

#include "base/die.h"
#include "queue/manage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct queue_filter f;
    struct err e = {0};

    if (size > 20000 || !queue_filter_parse(&a, str_at(data, size), 1000000, &f, &e))
        return 0;
    if (f.ids.n && (f.ids.n < 3 || f.ids.p[0] != ',' || f.ids.p[f.ids.n - 1] != ','))
        die("numbers without their commas");
    if (f.max > INT64_MAX || f.from.n > size || f.transport.n > size)
        die("more than there was");
    return 0;
}
