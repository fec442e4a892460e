#include "text/prep.h"

#include <stdlib.h>
#include <unictype.h>
#include <uninorm.h>

#include "base/buf.h"
#include "text/encode.h"

// RFC 3454 B.1: mapped to nothing.
static bool is_invisible(uint32_t c)
{
    return c == 0x00ad || c == 0x034f || c == 0x1806 || (c >= 0x180b && c <= 0x180d) ||
           (c >= 0x200b && c <= 0x200d) || c == 0x2060 || (c >= 0xfe00 && c <= 0xfe0f) ||
           c == 0xfeff;
}

static struct str prepare(struct arena *a, struct str s, bool is_saslprep)
{
    AUTO_BUF mapped = BUF_LIMIT(1 << 16);
    struct str left = s, out;
    uint8_t *normal;
    size_t n = 0;

    if (str_is_ascii(s) || !utf8_is_valid(s))
        return s;
    while (left.n) {
        uint32_t c = utf8_next(&left);

        if (uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Cc | UC_CATEGORY_MASK_Cn))
            return s;
        if (is_saslprep && is_invisible(c))
            continue;
        utf8_put(&mapped, uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Zs) ? ' ' : c);
    }
    if (mapped.full)
        return s;
    normal = u8_normalize(is_saslprep ? UNINORM_NFKC : UNINORM_NFC, (const uint8_t *)mapped.p,
                          mapped.n, NULL, &n);
    if (!normal)
        return s;
    out = arena_dup(a, str_at(normal, n));
    free(normal);
    return out;
}

struct str text_opaque(struct arena *a, struct str s)
{
    return prepare(a, s, false);
}

struct str text_saslprep(struct arena *a, struct str s)
{
    return prepare(a, s, true);
}
