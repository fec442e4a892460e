/*
 * A header with claims in it, as a stranger chose it: they are whole lines, and without them there are
 * none left.
 */
#include <stdint.h>

#include "base/die.h"
#include "message/header.h"
#include "policy/claims.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF rest = BUF_LIMIT(1 << 20);
    struct str header = str_at(data, size);
    struct claim *claims, *again;
    size_t n, at = 0;

    if (size > 1 << 18)
        return 0;
    n = claims_find(&a, header, STR("mx.example.com"), &claims);
    for (size_t i = 0; i < n; i++) {
        size_t end = claims[i].start + claims[i].n;

        if (!claims[i].n || claims[i].start < at || end > header.n)
            die("claims overlap");
        if ((claims[i].start && header.p[claims[i].start - 1] != '\n') ||
            (end < header.n && header.p[end - 1] != '\n'))
            die("half a line");
        buf_put(&rest, str_sub(header, at, claims[i].start - at));
        at = end;
    }
    buf_put(&rest, str_from(header, at));
    if (claims_find(&a, buf_str(&rest), STR("mx.example.com"), &again))
        die("there is still a claim");
    return 0;
}
