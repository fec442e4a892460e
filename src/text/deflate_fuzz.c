/*
 * COMPRESS: whatever comes is inflated into pieces of the size asked for, the same however it is cut;
 * and what is deflated comes back.
 */
#include "base/die.h"
#include "text/deflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 20 };

// Fed in steps, taken in pieces of room bytes. False when it is malformed.
static bool inflate_all(struct str in, size_t step, size_t room, struct buf *out)
{
    struct inflater *i = inflater_new();
    struct err e = {0};
    bool is_end = false, is_ok = true;

    for (size_t at = 0; is_ok && !is_end && at < in.n && !out->full; at += step) {
        struct str piece = str_sub(in, at, step);
        size_t got = 1;

        while (is_ok && !is_end && (piece.n || got) && !out->full) {
            char *p = buf_room(out, room);

            if (!p)
                break;
            is_ok = inflater_take(i, &piece, p, room, &got, &is_end, &e);
            if (got > room)
                die("more than there was room for");
            buf_claim(out, got);
        }
    }
    inflater_free(i);
    return is_ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF whole = BUF_LIMIT(MOST);
    AUTO_BUF pieces = BUF_LIMIT(MOST);
    AUTO_BUF squeezed = BUF_LIMIT(MOST + size * 2);
    AUTO_BUF back = BUF_LIMIT(MOST + size * 2);
    struct str in = str_at(data, size);
    struct deflater *d;
    bool is_ok;

    if (size > 100000)
        return 0;
    is_ok = inflate_all(in, size + 1, 4096, &whole);
    if (inflate_all(in, 1 + size % 13, 1 + size % 100, &pieces) != is_ok ||
        (is_ok && !whole.full && !pieces.full && !str_eq(buf_str(&whole), buf_str(&pieces))))
        die("inflated bytes depend on the pieces");
    d = deflater_new();
    for (size_t at = 0; at < size; at += 1 + size / 3) {
        deflater_put(d, str_sub(in, at, 1 + size / 3), &squeezed);
        if (size % 2) { // a new one goes on in the same stream
            deflater_free(d);
            d = deflater_new();
        }
    }
    deflater_free(d);
    if (!inflate_all(buf_str(&squeezed), 777, 512, &back) || !str_eq(buf_str(&back), in))
        die("what was deflated does not come back");
    return 0;
}
