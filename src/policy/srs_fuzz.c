/*
 * SRS: a localpart. What comes back was signed; what is rewritten comes back as it was.
 */
#include "base/die.h"
#include "policy/srs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned char key[SRS_KEY_BYTES] = "nobody guesses this";
    enum { NOW = 1764100000 };
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(1 << 16);
    struct str in = str_at(data, size), local, domain;
    struct err e = {0};

    if (srs_reverse(key, NOW, &a, in, &local, &domain, &e))
        die("an address that was not made here");
    if (!srs_forward(key, NOW, in, STR("example.org"), &out, &e))
        return 0;
    if (!srs_reverse(key, NOW, &a, buf_str(&out), &local, &domain, &e)) {
        // One whose first rewriter cannot be found in it goes nowhere.
        if (!srs_is(in))
            die("a rewritten address does not come back");
    } else if (!srs_is(in) && (!str_eq(local, in) || !str_eq(domain, STR("example.org")))) {
        die("it comes back to somebody else");
    }
    return 0;
}
