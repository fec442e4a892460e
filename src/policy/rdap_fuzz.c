/*
 * RDAP: the list of servers, and what one says. What is found can be asked for.
 */
#include <stdint.h>

#include "base/die.h"
#include "policy/rdap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(8 << 20);
    struct str bytes = str_at(data, size), url;
    struct err e = {0}, f = {0};
    int64_t day;

    if (size > 100000)
        return 0;
    if (rdap_url(&a, bytes, STR("mail.example"), &url, &e) && !str_starts_ci(url, STR("https://")))
        die("a server without TLS");
    // Years have four digits.
    if (rdap_registered(bytes, &day, &f) && (day < -62200000000 || day > 253500000000))
        die("a day that there is not");
    if ((e.kind && e.kind != ERR_SYNTAX && e.kind != ERR_LIMIT && e.kind != ERR_NOT_FOUND) ||
        (f.kind && f.kind != ERR_SYNTAX && f.kind != ERR_LIMIT && f.kind != ERR_NOT_FOUND))
        die("refused for a strange reason");
    return 0;
}
