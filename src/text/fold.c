#include <stdlib.h>
#include <unicase.h>

#include "text/encode.h"

struct str utf8_fold(struct arena *a, struct str s)
{
    size_t n = 0;
    uint8_t *folded = u8_casefold((const uint8_t *)s.p, s.n, NULL, UNINORM_NFC, NULL, &n);
    struct str out = folded ? arena_dup(a, str_at(folded, n)) : s;

    free(folded);
    return out;
}
