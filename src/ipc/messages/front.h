/*
 * Connections of clients as front has them: accepted, given to sessions, secured with STARTTLS, parked, and taken up
 * again.
 */
#pragma once

#include "ipc/messages/limits.h"

/* monitor -> front: a listening socket. index is that of the configuration's listener records. */
#define ipc_listen_FIELDS(F) F(u32, index, 0)
/* monitor -> front: everybody is ready: take connections. Until then they wait in the sockets' queues. */
#define ipc_accept_FIELDS(F)
/*
 * front -> monitor: a connection was accepted. Descriptors: the session's stream, and for
 * protocols whose TLS front does, a control channel for STARTTLS.
 */
#define ipc_conn_new_FIELDS(F)                                                                     \
    F(u64, conn, 0)                                                                                \
    F(u32, listener, 0)                                                                            \
    F(u8, is_tls, 1)                                                                               \
    F(str, remote, 64)                                                                             \
    F(str, local, 64)                                                                              \
    F(str, version, 16)                                                                            \
    F(str, cipher, 64)                                                                             \
    IPC_TLS_FACTS(F)
/* front -> monitor: the connection has TLS now. */
#define ipc_conn_tls_FIELDS(F)                                                                     \
    F(u64, conn, 0)                                                                                \
    IPC_TLS_FACTS(F)
/*
 * front -> auth: during a handshake: does this key belong to somebody? The rest is for the record
 * when it does not.
 */
#define ipc_key_check_FIELDS(F)                                                                    \
    F(u64, request, 0)                                                                             \
    F(str, client_key, IPC_MAX_KEY)                                                                \
    F(u8, protocol, IPC_PROTOCOL_IMAP)                                                             \
    F(str, remote, 64)                                                                             \
    F(str, local, 64)
#define ipc_key_checked_FIELDS(F)                                                                  \
    F(u64, request, 0)                                                                             \
    F(u8, is_known, 1)
/* monitor -> front: nobody serves this connection any more; crashed when its session died. */
#define ipc_conn_end_FIELDS(F)                                                                     \
    F(u64, conn, 0)                                                                                \
    F(u8, crashed, 1)
/*
 * session -> front: send this last plain line and start TLS. From then on front passes no plain
 * bytes on; what the session still finds unread on the old stream ends the connection.
 */
#define ipc_starttls_FIELDS(F) F(str, text, IPC_MAX_TEXT)
/* front -> session: TLS is up; the descriptor is the new stream. */
#define ipc_starttls_done_FIELDS(F)                                                                \
    F(str, version, 16)                                                                            \
    F(str, cipher, 64)                                                                             \
    F(u8, has_client_key, 1)
/*
 * web -> front: may so many more requests of this client be answered? address: what X-Forwarded-For says, which counts on
 * ports that believe it. The answer says how many may, 0: it asks too much. unused: of what was allowed for the
 * address before; with n 0 that is all, and there is no answer.
 */
#define ipc_web_rate_FIELDS(F)                                                                     \
    F(u32, n, 100)                                                                                 \
    F(u32, unused, 100)                                                                            \
    F(str, unused_address, 64)                                                                     \
    F(str, address, 64)
#define ipc_web_rated_FIELDS(F) F(u32, n, 100)
/* front -> monitor: the client of a parked connection is gone. */
#define ipc_conn_gone_FIELDS(F) F(u64, conn, 0)
/*
 * account -> front: keep this connection while nothing happens on it. Descriptor: the account's end
 * of the stream, which proves that the connection is its own. The answer is `parked`, or `unparked`
 * when the client has written meanwhile and the stream goes on being used.
 */
#define ipc_park_FIELDS(F)                                                                         \
    F(u64, conn, 0)                                                                                \
    F(str, state, IPC_MAX_PARKED)
/* front -> account: this is parked; said in answer, and for all when their channel is new. */
#define ipc_parked_FIELDS(F)                                                                       \
    F(u64, conn, 0)                                                                                \
    F(str, state, IPC_MAX_PARKED)
/* account -> front: send these lines on a parked connection, and keep its new state. */
#define ipc_parked_send_FIELDS(F)                                                                  \
    F(u64, conn, 0)                                                                                \
    F(str, lines, IPC_MAX_LINES)                                                                   \
    F(str, state, IPC_MAX_PARKED)
/* front -> monitor: the client of a parked connection wrote; its new stream and its state. */
#define ipc_conn_resume_FIELDS(F)                                                                  \
    F(u64, conn, 0)                                                                                \
    F(str, state, IPC_MAX_PARKED)
/* front -> account: a parked connection is attached again or gone; forget it. */
#define ipc_unparked_FIELDS(F) F(u64, conn, 0)
