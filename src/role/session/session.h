/*
 * A session: one connection of a stranger. What all its protocols share: the channel to the
 * monitor and what it grants.
 */
#pragma once

#include "crypto/stream.h"
#include "role/start.h"

enum { SESSION_IPC_TIMEOUT_MS = 60000, SESSION_DELIVERY_TIMEOUT_MS = 300000 };

struct session {
    const struct role_start *start;
    const struct ipc_listener *port;
    struct ipc_session_start conn; // texts live in the arena
    struct stream stream;
    struct channel monitor, front, auth, queue, keys; // fd -1 until granted
    struct packet *packet;
    struct arena arena; // of the connection
    struct tls_server *tls;
    bool is_tls;
};

/* Asks the monitor for a channel to a service, unless there is one. */
MUST_USE bool session_grant(struct session *s, enum ipc_service service, struct channel *out,
                            enum role peer, struct err *e);
/* A channel for one delivery. */
MUST_USE bool session_open_delivery(struct session *s, uint32_t grant, struct channel *out,
                                    struct err *e);

/* One SASL message to auth. text: the challenge or why not, in the session's packet. */
MUST_USE bool session_auth(struct session *s, struct str mechanism, struct str response,
                           enum ipc_outcome *outcome, struct str *text, struct err *e);

void smtp_session(struct session *s);
void imap_session(struct session *s);
