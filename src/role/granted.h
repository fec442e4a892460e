/*
 * What a forked child asks for when it needs it: channels that the monitor grants, and one operation of a private key
 * in `keys`. For the roles `session` and `web`.
 */
#pragma once

#include "base/buf.h"
#include "ipc/channel.h"
#include "ipc/messages.h"

/* A child's way to ask: its own role, its channel to the monitor, where answers are read to, and for how long it waits. */
struct granted {
    enum role self;
    struct channel *monitor;
    struct packet *packet;
    int timeout_ms;
};

/* Takes the channel of the monitor's answer that is awaited. ERR_TEMPORARY with its reason when there is none. */
MUST_USE bool granted_take(const struct granted *g, enum role peer, struct channel *out, struct err *e);
/* A channel to that service; nothing is done when out is open already. */
MUST_USE bool granted_service(const struct granted *g, enum ipc_service service, enum role peer, struct channel *out,
                              struct err *e);

struct granted_operation { // as in crypto/remote_key.h
    uint32_t key;
    int type;
    unsigned parameter;
    struct str digest;
};
/* The private key is in `keys`, to which *keys is the channel, -1 before the first time; this asks for one operation. */
MUST_USE bool granted_sign(const struct granted *g, struct channel *keys, const struct granted_operation *op,
                           struct buf *out, struct err *e);
