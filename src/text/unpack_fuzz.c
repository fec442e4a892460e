/*
 * Packed files: what comes out is bounded, and does not depend on where the input is cut.
 */
#include <stdint.h>

#include "base/buf.h"
#include "base/die.h"
#include "text/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 20 };

static bool to_buf(void *ctx, struct str piece, struct err *e)
{
    (void)e;
    if (!piece.n || piece.n > UNPACK_PIECE)
        die("a piece of %zu bytes", piece.n);
    buf_put(ctx, piece);
    return true;
}

static bool unpack(struct str packed, size_t step, struct buf *out)
{
    struct unpacker *u = unpacker_new(MOST, to_buf, out);
    struct err e = {0};
    bool is_ok = true;

    for (size_t at = 0; is_ok && at < packed.n; at += step)
        is_ok = unpacker_feed(u, str_sub(packed, at, step), &e);
    is_ok = is_ok && unpacker_end(u, &e);
    if (!is_ok && e.kind != ERR_SYNTAX && e.kind != ERR_LIMIT)
        die("refused for a strange reason");
    unpacker_free(u);
    return is_ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF whole = BUF_LIMIT(2 * MOST), cut = BUF_LIMIT(2 * MOST);
    struct str packed = str_at(data, size);

    if (size > 100000)
        return 0;
    bool is_ok = unpack(packed, size ? size : 1, &whole);
    if (unpack(packed, 1 + size % 7, &cut) != is_ok)
        die("it depends on where the input is cut");
    if (is_ok && !str_eq(buf_str(&whole), buf_str(&cut)))
        die("what comes out depends on where the input is cut");
    if (whole.n > MOST || cut.n > MOST)
        die("more than is allowed");
    return 0;
}
