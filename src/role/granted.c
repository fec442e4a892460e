#include "role/granted.h"

bool granted_take(const struct granted *g, enum role peer, struct channel *out, struct err *e)
{
    struct ipc_granted m;

    if (!channel_expect(g->monitor, IPC_granted, g->packet, g->timeout_ms, e) ||
        !ipc_granted_get(g->packet->body, &m, e))
        return false;
    if (!g->packet->n_fds)
        return fail(e, ERR_TEMPORARY, "%.*s", STR_FMT(m.reason));
    *out = (struct channel){packet_take_fd(g->packet, 0), g->self, peer};
    return true;
}

bool granted_service(const struct granted *g, enum ipc_service service, enum role peer, struct channel *out,
                     struct err *e)
{
    return out->fd >= 0 || (IPC_SEND(g->monitor, grant, NULL, 0, e, .service = (uint8_t)service) &&
                            granted_take(g, peer, out, e));
}

bool granted_sign(const struct granted *g, struct channel *keys, const struct granted_operation *op, struct buf *out,
                  struct err *e)
{
    struct ipc_signed m;

    if (!granted_service(g, IPC_SERVICE_KEYS, ROLE_KEYS, keys, e) ||
        !IPC_SEND(keys, sign, NULL, 0, e, .key = op->key, .type = (uint8_t)op->type, .parameter = op->parameter,
                  .digest = op->digest) ||
        !channel_expect(keys, IPC_signed, g->packet, g->timeout_ms, e) || !ipc_signed_get(g->packet->body, &m, e))
        return false;
    if (!m.is_ok)
        return fail(e, ERR_DENIED, "the key process refused");
    buf_put(out, m.signature);
    return true;
}
