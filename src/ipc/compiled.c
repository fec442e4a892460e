#include "ipc/compiled.h"

#define COMPILED_DEFINE_(record) IPC_DEFINE(record)
COMPILED_RECORDS(COMPILED_DEFINE_)

void compiled_put(struct buf *out, enum compiled_type type, struct str body)
{
    ipc_put_u8(out, (uint8_t)type);
    ipc_put_u32(out, (uint32_t)body.n);
    buf_put(out, body);
}

bool compiled_next(struct cur *c, enum compiled_type *type, struct str *body, struct err *e)
{
    uint8_t number;
    uint32_t n;

    if (!cur_left(c))
        return false;
    if (!ipc_get_u8(c, COMPILED_TYPE_COUNT - 1, &number) || number == COMPILED_none ||
        !ipc_get_u32(c, COMPILED_MAX_BYTES, &n) || !cur_take(c, n, body))
        return fail(e, ERR_SYNTAX, "compiled configuration: malformed record");
    *type = (enum compiled_type)number;
    return true;
}
