/*
 * Address lists and single addresses: what parses as one address is written back so that it
 * parses to the same.
 */
#include <stdint.h>

#include "base/die.h"
#include "message/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(256 << 20);
    AUTO_BUF b = BUF_LIMIT(1 << 20);
    struct address_list list;
    struct address one, again;

    if (size > 100000)
        return 0;
    address_parse_list(&a, str_at(data, size), &list);
    if (!address_parse_spec(&a, str_at(data, size), &one))
        return 0;
    for (size_t i = 0; i < one.localpart.n; i++)
        if ((unsigned char)one.localpart.p[i] < ' ' || one.localpart.p[i] == 127)
            return 0; // left out when written
    address_put_localpart(&b, one.localpart);
    buf_put_char(&b, '@');
    buf_put(&b, one.domain);
    if (!address_parse_spec(&a, buf_str(&b), &again) || !str_eq(one.localpart, again.localpart) ||
        !str_eq(one.domain, again.domain))
        die("address is not the same when written");
    return 0;
}
