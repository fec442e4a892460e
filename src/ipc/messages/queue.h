/*
 * Mail that is accepted and mail that leaves: what queue is given by those who submit, and what it and its deliver
 * processes say about each attempt.
 */
#pragma once

#include "ipc/messages/limits.h"

/* --- queue ------------------------------------------------------------------------------------ */

/*
 * session -> queue: the envelope of a message to come. future_release: what RFC 4865 was asked for,
 * "for;SECONDS" or "until;TIME", or empty. ret, envid: RFC 3461, decoded. message_id: of the header, or empty.
 * is_sender_real: from port 25, the reverse path is known to be the sender's, who can be told of failures. name:
 * admin's alone, of a message that it may give twice and that is stored once; or empty.
 */
#define ipc_submit_FIELDS(F)                                                                       \
    F(str, reverse_path, IPC_MAX_ADDRESS)                                                          \
    F(u32, recipients, 1000)                                                                       \
    F(u8, is_8bit, 1)                                                                              \
    F(u8, is_binary, 1)                                                                            \
    F(u8, is_smtputf8, 1)                                                                          \
    F(u8, require_tls, 2)                                                                          \
    F(u64, hold_until_unix, 0)                                                                     \
    F(str, future_release, 64)                                                                     \
    F(u8, ret, 2)                                                                                  \
    F(str, envid, 100)                                                                             \
    F(str, message_id, IPC_MAX_ADDRESS)                                                            \
    F(u8, is_sender_real, 1)                                                                       \
    F(str, prefix, IPC_MAX_PREFIX)                                                                 \
    F(str, name, 64)
/*
 * One recipient; notify and orcpt: RFC 3461. From port 25 only, about what its accounts have said already:
 * delivery_id, as those know it that have the message, or the reply for which it is not to be tried.
 */
#define ipc_submit_rcpt_FIELDS(F)                                                                  \
    F(str, address, IPC_MAX_ADDRESS)                                                               \
    F(str, delivery_id, IPC_MAX_DELIVERY_ID)                                                       \
    F(u8, notify, 15)                                                                              \
    F(str, orcpt, 500)                                                                             \
    F(u32, refused_code, 599)                                                                      \
    F(str, refused_enhanced, 16)                                                                   \
    F(str, refused_text, IPC_MAX_TEXT)                                                             \
    F(u32, relay, 0) /* not 0: the address of this relay_grant, and its reverse path */
/*
 * account -> queue: another server's report about a message of this account's, that came to this return path: what it
 * says of its one recipient (enum dsn_action). Nobody answers.
 */
#define ipc_returned_FIELDS(F)                                                                     \
    F(str, path, IPC_MAX_ADDRESS)                                                                  \
    F(u8, action, 4)                                                                               \
    F(str, status, 16)                                                                             \
    F(u32, code, 599)                                                                              \
    F(str, text, IPC_MAX_TEXT)
/* The message itself, a sealed memory file; the answer is a verdict. */
#define ipc_submit_data_FIELDS(F) F(u64, size, 0)

/* --- deliver ---------------------------------------------------------------------------------- */

/* queue -> monitor: a fresh deliver process; the answer has the same number, and a channel to it or none. */
#define ipc_deliver_new_FIELDS(F) F(u64, request, 0)
#define ipc_deliver_made_FIELDS(F)                                                                 \
    F(u64, request, 0)                                                                             \
    F(str, reason, IPC_MAX_TEXT)
/*
 * queue -> deliver, first and once: how to reach the destination of all its messages. Direct: the hosts
 * of domain, which may be an address literal, by families (1 IPv4, 2 IPv6); by a proxy at host and port;
 * or the relay there. hello is said in EHLO; empty: our own name.
 */
enum ipc_way { IPC_WAY_DIRECT = 1, IPC_WAY_SOCKS = 2, IPC_WAY_RELAY = 3 };
enum ipc_way_tls {
    IPC_WAY_STARTTLS = 1,   // needed, with a good certificate
    IPC_WAY_UNVERIFIED = 2, // needed, with any
    IPC_WAY_PLAIN = 3,
    IPC_WAY_IMMEDIATE = 4,  // with a good certificate
};
#define ipc_deliver_way_FIELDS(F)                                                                  \
    F(u8, way, IPC_WAY_RELAY)                                                                      \
    F(str, domain, IPC_MAX_ADDRESS)                                                                \
    F(u8, families, 3)                                                                             \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u32, port, UINT16_MAX)                                                                       \
    F(u8, tls, IPC_WAY_IMMEDIATE)                                                                  \
    F(str, username, IPC_MAX_ADDRESS)                                                              \
    F(str, password, IPC_MAX_ADDRESS)                                                              \
    F(str, mechanisms, IPC_MAX_ADDRESS)                                                            \
    F(str, hello, IPC_MAX_ADDRESS)
/*
 * queue -> deliver: a message, with its bytes in a sealed memory file; that many recipients follow.
 * tried: lines of a host and the addresses of it that were spoken to before. ret, notify: RFC 3461 4.
 */
#define ipc_deliver_message_FIELDS(F)                                                              \
    F(u64, message, 0)                                                                             \
    F(str, reverse_path, IPC_MAX_ADDRESS)                                                          \
    F(u32, recipients, 1000)                                                                       \
    F(u64, size, 0)                                                                                \
    F(u8, is_binary, 1)                                                                            \
    F(u8, is_smtputf8, 1)                                                                          \
    F(u8, require_tls, 2)                                                                          \
    F(u8, is_dmarc_report, 1)                                                                      \
    F(u8, is_own_report, 1) /* of any kind: what becomes of it is not reported itself */           \
    F(u8, ret, 2)                                                                                  \
    F(str, envid, 100)                                                                             \
    F(str, tried, IPC_MAX_TRIED)
#define ipc_deliver_rcpt_FIELDS(F)                                                                 \
    F(u64, entry, 0)                                                                               \
    F(str, address, IPC_MAX_ADDRESS)                                                               \
    F(u8, notify, 15)                                                                              \
    F(str, orcpt, IPC_MAX_ADDRESS)
/*
 * deliver -> queue: what became of a recipient. code 0 when no server said it; mta and ip: the server
 * that did. is_dsn_passed: it will tell the sender itself what was asked for (RFC 3461).
 */
enum ipc_delivery { IPC_DELIVERED = 1, IPC_FAILED_FOR_NOW = 2, IPC_FAILED_FOR_GOOD = 3 };
#define ipc_deliver_result_FIELDS(F)                                                               \
    F(u64, entry, 0)                                                                               \
    F(u8, outcome, IPC_FAILED_FOR_GOOD)                                                            \
    F(u32, code, 599)                                                                              \
    F(str, enhanced, 12)                                                                           \
    F(str, text, IPC_MAX_TEXT)                                                                     \
    F(str, mta, IPC_MAX_ADDRESS)                                                                   \
    F(str, ip, 64)                                                                                 \
    F(u8, is_tls, 1)                                                                               \
    F(u8, is_dsn_passed, 1)
/*
 * deliver -> queue: all recipients of the message have been said. tried as above, with what came to it. is_unreached: no
 * server has heard of it, for a reason that is not this message's; others that ask the same of a server would fare alike.
 */
#define ipc_deliver_end_FIELDS(F)                                                                  \
    F(u64, message, 0)                                                                             \
    F(str, tried, IPC_MAX_TRIED)                                                                   \
    F(u8, is_unreached, 1)
/* queue -> deliver: that has been noted; now the next message may be ended, and no more than one is lost track of. */
#define ipc_deliver_noted_FIELDS(F) F(u64, message, 0)

/* monitor -> deliver template, and from there to the child: its channels to queue, resolve and dial. */
#define ipc_deliver_start_FIELDS(F) F(u64, conn, 0)
