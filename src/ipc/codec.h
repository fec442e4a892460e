/*
 * The bytes of one message between processes: fields in the order of their definition, nothing
 * between them and nothing after the last. From a list of fields come the struct, the encoder and
 * the decoder, so that the two sides cannot drift apart.
 *
 *     #define ipc_ready_FIELDS(F)  F(u32, generation, 0)  F(str, title, 64)
 *     IPC_DECLARE(ready)   // struct ipc_ready, ipc_ready_put(), ipc_ready_get()
 */
#pragma once

#include "base/buf.h"
#include "base/cur.h"
#include "base/err.h"

/* One datagram; what does not fit is not sent. */
enum { IPC_MAX_BYTES = 160 * 1024 };

void ipc_put_u8(struct buf *b, uint8_t v);
void ipc_put_u32(struct buf *b, uint32_t v);
void ipc_put_u64(struct buf *b, uint64_t v);
void ipc_put_str(struct buf *b, struct str v);

/* max is the largest value allowed; 0 means any. False leaves *out undefined. */
MUST_USE bool ipc_get_u8(struct cur *c, uint64_t max, uint8_t *out);
MUST_USE bool ipc_get_u32(struct cur *c, uint64_t max, uint32_t *out);
MUST_USE bool ipc_get_u64(struct cur *c, uint64_t max, uint64_t *out);
/* max is the largest length; the text points into the input. */
MUST_USE bool ipc_get_str(struct cur *c, uint64_t max, struct str *out);

#define IPC_CTYPE_u8 uint8_t
#define IPC_CTYPE_u32 uint32_t
#define IPC_CTYPE_u64 uint64_t
#define IPC_CTYPE_str struct str

#define IPC_MEMBER(type, name, max) IPC_CTYPE_##type name;
#define IPC_SIZE_u8(value) (value)
#define IPC_SIZE_u32(value) (value)
#define IPC_SIZE_u64(value) (value)
#define IPC_SIZE_str(value) ((value).n)
// What the other side would not take, and end whoever says it, is not said: b is full then.
#define IPC_PUT(type, name, max)                                                                   \
    if ((max) && IPC_SIZE_##type(m->name) > (max))                                                 \
        b->full = true;                                                                            \
    ipc_put_##type(b, m->name);
#define IPC_GET(type, name, max)                                                                   \
    if (!ipc_get_##type(&c, (max), &out->name))                                                    \
        return fail(e, ERR_SYNTAX, "message %s: bad field %s", what, #name);

#define IPC_DECLARE(message)                                                                       \
    struct ipc_##message {                                                                         \
        ipc_##message##_FIELDS(IPC_MEMBER)                                                         \
    };                                                                                             \
    void ipc_##message##_put(struct buf *b, const struct ipc_##message *m);                        \
    MUST_USE bool ipc_##message##_get(struct str bytes, struct ipc_##message *out, struct err *e);

/* The decoder accepts exactly the bytes of one message: nothing missing, nothing left over. */
#define IPC_DEFINE(message)                                                                        \
    void ipc_##message##_put(struct buf *b, const struct ipc_##message *m)                         \
    {                                                                                              \
        (void)m;                                                                                   \
        (void)b;                                                                                   \
        ipc_##message##_FIELDS(IPC_PUT)                                                            \
    }                                                                                              \
    bool ipc_##message##_get(struct str bytes, struct ipc_##message *out, struct err *e)           \
    {                                                                                              \
        static const char what[] = #message;                                                       \
        struct cur c = cur_of(bytes);                                                              \
                                                                                                   \
        (void)out;                                                                                 \
        ipc_##message##_FIELDS(IPC_GET)                                                            \
        if (cur_left(&c))                                                                          \
            return fail(e, ERR_SYNTAX, "message %s: %zu bytes too many", what, cur_left(&c));      \
        return true;                                                                               \
    }
