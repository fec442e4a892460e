#include "ipc/codec.h"

static void put_bytes(struct buf *b, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        buf_put_char(b, (char)(unsigned char)(v >> (8 * i)));
}

static bool get_bytes(struct cur *c, int n, uint64_t max, uint64_t *out)
{
    struct str bytes;

    if (!cur_take(c, (size_t)n, &bytes))
        return false;
    *out = 0;
    for (int i = 0; i < n; i++)
        *out |= (uint64_t)(unsigned char)bytes.p[i] << (8 * i);
    return !max || *out <= max;
}

void ipc_put_u8(struct buf *b, uint8_t v)
{
    put_bytes(b, v, 1);
}

void ipc_put_u32(struct buf *b, uint32_t v)
{
    put_bytes(b, v, 4);
}

void ipc_put_u64(struct buf *b, uint64_t v)
{
    put_bytes(b, v, 8);
}

void ipc_put_str(struct buf *b, struct str v)
{
    ipc_put_u32(b, (uint32_t)(v.n > IPC_MAX_BYTES ? IPC_MAX_BYTES + 1 : v.n));
    buf_put(b, v); // a text too long makes the message too long, and channel_send says so
}

bool ipc_get_u8(struct cur *c, uint64_t max, uint8_t *out)
{
    uint64_t v;

    if (!get_bytes(c, 1, max, &v))
        return false;
    *out = (uint8_t)v;
    return true;
}

bool ipc_get_u32(struct cur *c, uint64_t max, uint32_t *out)
{
    uint64_t v;

    if (!get_bytes(c, 4, max, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

bool ipc_get_u64(struct cur *c, uint64_t max, uint64_t *out)
{
    return get_bytes(c, 8, max, out);
}

bool ipc_get_str(struct cur *c, uint64_t max, struct str *out)
{
    uint64_t n;

    return get_bytes(c, 4, max ? max : IPC_MAX_BYTES, &n) && cur_take(c, (size_t)n, out);
}
