/*
 * Canonicalisation of bodies: the first two bytes say how the rest is cut. The result does not
 * depend on that, is canonical itself, and its hashes are those of what comes out.
 */
#include <string.h>

#include "policy/dkim_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(void *ctx, struct str bytes)
{
    buf_put(ctx, bytes);
}

static void canonical(struct buf *out, struct str body, bool is_relaxed, size_t first, size_t block)
{
    struct dkim_canon_body c = {.is_relaxed = is_relaxed, .put = put, .ctx = out};

    dkim_canon_body_feed(&c, str_sub(body, 0, first));
    for (body = str_from(body, first); body.n; body = str_from(body, block))
        dkim_canon_body_feed(&c, str_sub(body, 0, block));
    dkim_canon_body_end(&c);
}

static void check_hash(const struct dkim_body_hash *hash, struct str want)
{
    unsigned char digest[SHA256_BYTES];

    if (hash->total != want.n ||
        hash->is_done != (hash->length == DKIM_WHOLE_BODY || hash->length <= want.n))
        die("a hash of %llu octets", (unsigned long long)hash->total);
    sha256(str_sub(want, 0, (size_t)hash->length), digest);
    if (hash->is_done && memcmp(digest, hash->digest, sizeof digest))
        die("the hash of %llu octets is another", (unsigned long long)hash->length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF whole = BUF_LIMIT(1 << 20);
    AUTO_BUF cut = BUF_LIMIT(1 << 20), again = BUF_LIMIT(1 << 20), field = BUF_LIMIT(1 << 20),
             field2 = BUF_LIMIT(1 << 20);
    const struct dkim_body_hash *hashes[4];
    struct dkim_bodies *bodies;
    struct str body;

    if (size < 2 || size > 64 * 1024)
        return 0;
    body = str_at(data + 2, size - 2);
    bodies = dkim_bodies_new();
    for (int i = 0; i < 4; i++)
        hashes[i] = dkim_bodies_want(bodies, i & 1, i & 2 ? data[0] : DKIM_WHOLE_BODY);
    for (size_t at = 0; at < body.n; at += 1u + data[1])
        dkim_bodies_feed(bodies, str_sub(body, at, 1u + data[1]));
    dkim_bodies_end(bodies);
    for (int relaxed = 0; relaxed < 2; relaxed++) {
        buf_reset(&whole);
        buf_reset(&cut);
        buf_reset(&again);
        canonical(&whole, body, relaxed, body.n, 1);
        canonical(&cut, body, relaxed, data[0], 1u + data[1]);
        canonical(&again, buf_str(&cut), relaxed, data[0], 1u + data[1]);
        if (!str_eq(buf_str(&whole), buf_str(&cut)))
            die("it matters how a body is cut");
        // Blanks before a line end that was not there are at the end of a line now.
        if (!str_eq(buf_str(&again), buf_str(&cut)) && !str_ends(buf_str(&cut), STR(" \r\n")))
            die("what is canonical changes");
        check_hash(hashes[relaxed], buf_str(&cut));
        check_hash(hashes[relaxed + 2], buf_str(&cut));
    }
    dkim_bodies_free(bodies);
    dkim_canon_field(&field, body, true);
    dkim_canon_field(&field2, buf_str(&field), true);
    if (!str_eq(buf_str(&field), buf_str(&field2)) && str_find_str(body, STR("\n")) == STR_NONE)
        die("a field that is canonical changes");
    return 0;
}
