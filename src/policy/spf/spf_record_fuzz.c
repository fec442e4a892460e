/*
 * A record: what is accepted is written and read again as the same, and its texts lie in the input.
 */
#include <stdint.h>

#include "base/die.h"
#include "policy/spf/spf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct str all, struct str part)
{
    if (part.n && (part.p < all.p || part.p + part.n > all.p + all.n))
        die("a text that is not of the record");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_BUF once = BUF_LIMIT(1 << 20), twice = BUF_LIMIT(1 << 20);
    struct str text = str_at(data, size);
    struct spf_record r;
    struct err e = {0};

    if (size > UINT16_MAX)
        return 0;
    if (!spf_record_parse(&a, text, &r, &e)) {
        if (e.kind != ERR_SYNTAX && e.kind != ERR_LIMIT)
            die("a record refused for a strange reason");
        return 0;
    }
    for (size_t i = 0; i < r.n_directives; i++) {
        check_inside(text, r.directives[i].text);
        check_inside(text, r.directives[i].domain);
        if (r.directives[i].bits4 > 32 || r.directives[i].bits6 > 128)
            die("a prefix that is too long");
    }
    check_inside(text, r.redirect);
    check_inside(text, r.exp);
    spf_record_put(&once, &r);
    if (!spf_record_parse(&a, buf_str(&once), &r, &e))
        die("what was written is refused: %s", e.text);
    spf_record_put(&twice, &r);
    if (!str_eq(buf_str(&once), buf_str(&twice)))
        die("a record is not the same when written");
    return 0;
}
