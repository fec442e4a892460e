/*
 * What auth is asked and what it says: logins, whose an address is, and to the monitor and queue what follows from
 * that. Nobody but auth says who somebody is.
 */
#pragma once

#include "ipc/messages/limits.h"

/* Answers to a login and to questions about addresses. */
enum ipc_outcome {
    IPC_OK = 1,
    IPC_CONTINUE = 2,  // here is a challenge
    IPC_BAD = 3,       // wrong credentials; refused
    IPC_TEMPORARY = 4, // cannot tell now
    IPC_LIMITED = 5,   // too many failures from this address
    IPC_SYNTAX = 6,    // malformed SASL message
    IPC_UNKNOWN = 7,   // no such mechanism
    IPC_NEEDS_TLS = 8, // a mechanism that makes no sense without
    IPC_ROLE = 9,      // may not act as the authorization identity
    IPC_DISABLED = 10, // right, but the account's logins are disabled; text says why
    IPC_BINDING = 11,  // the client is on another channel than we are
    IPC_SCRAM_FIRST = 12, // SCRAM's first message is malformed or asks for what we do not do
    IPC_SCRAM_FINAL = 13, // SCRAM's final message is malformed
    IPC_ABORTED = 14,  // the client does not go on
};
enum { IPC_LAST_OUTCOME = IPC_ABORTED };

/*
 * session -> auth: one SASL message of the client. Which connection, auth knows by the channel. With
 * a mechanism an exchange begins, possibly without a response; without one it goes on.
 */
#define ipc_auth_step_FIELDS(F)                                                                    \
    F(str, mechanism, 32)                                                                          \
    F(u8, has_response, 1)                                                                         \
    F(str, response, IPC_MAX_SASL)
/* session -> auth: the client gives the exchange up. The answer is `auth_reply` too. */
#define ipc_auth_abort_FIELDS(F)
/* session -> auth: does the client's key log it in, without SASL? The answer is `auth_reply`. */
#define ipc_auth_key_FIELDS(F)
/* auth -> session: text is a challenge, the name logged in, or a sentence for the client. */
#define ipc_auth_reply_FIELDS(F)                                                                   \
    F(u8, outcome, IPC_LAST_OUTCOME)                                                               \
    F(str, text, IPC_MAX_SASL)
/*
 * session, queue -> auth: may this recipient be delivered to? reverse_path: of the message, which becomes
 * another when it is passed on to other servers.
 */
#define ipc_rcpt_check_FIELDS(F)                                                                   \
    F(u64, request, 0)                                                                             \
    F(str, reverse_path, IPC_MAX_ADDRESS)                                                          \
    F(str, localpart, IPC_MAX_ADDRESS)                                                             \
    F(str, domain, IPC_MAX_ADDRESS)
/* queue -> auth: a report for the account that a message was from; the answer is a rcpt_reply. */
#define ipc_report_check_FIELDS(F)                                                                 \
    F(u64, request, 0)                                                                             \
    F(str, account, IPC_MAX_NAME)
/*
 * auth -> asker: code 250 and grants for local accounts (several for an alias: grant, grant+1 and
 * so on); 250 and none for a remote address a submitter may send to; else the reply code, enhanced
 * code and text to refuse with. is_report: an address for reports about TLS, which must not need it.
 * is_list: not everyone may write to it, see list_check. n_relays: to so many addresses at other servers
 * the message may be passed on (relay, relay+1 and so on, see relay_grant). elsewhere: for those who may
 * send anywhere, members of a list at other servers, with a line feed between them; for the queue, where
 * a report goes whose recipient was the sender of something passed on.
 */
#define ipc_rcpt_reply_FIELDS(F)                                                                   \
    F(u64, request, 0)                                                                             \
    F(u32, code, 599)                                                                              \
    F(str, enhanced, 16)                                                                           \
    F(str, text, IPC_MAX_TEXT)                                                                     \
    F(u32, grant, 0)                                                                               \
    F(u32, n_grants, IPC_MAX_TARGETS)                                                              \
    F(u8, is_report, 1)                                                                            \
    F(u8, is_list, 1)                                                                              \
    F(u32, relay, 0)                                                                               \
    F(u32, n_relays, IPC_MAX_TARGETS)                                                              \
    F(str, elsewhere, IPC_MAX_RECORD)
/* session -> auth: may the user logged in on this connection send as this address? */
#define ipc_from_check_FIELDS(F)                                                                   \
    F(str, localpart, IPC_MAX_ADDRESS)                                                             \
    F(str, domain, IPC_MAX_ADDRESS)
/* session -> auth: may a message from this address go to this list? The answer is a from_reply. */
#define ipc_list_check_FIELDS(F)                                                                   \
    F(str, localpart, IPC_MAX_ADDRESS)                                                             \
    F(str, domain, IPC_MAX_ADDRESS)                                                                \
    F(str, from_localpart, IPC_MAX_ADDRESS)                                                        \
    F(str, from_domain, IPC_MAX_ADDRESS)
/* address: of a from_check, the one spelling of it, domain in A-labels; when it is IPC_OK. */
#define ipc_from_reply_FIELDS(F)                                                                   \
    F(u8, outcome, IPC_LAST_OUTCOME)                                                               \
    F(str, address, IPC_MAX_ADDRESS)
/* auth -> monitor: the user of this connection has proved who they are. */
#define ipc_login_ok_FIELDS(F)                                                                     \
    F(u64, conn, 0)                                                                                \
    F(str, account, IPC_MAX_NAME)                                                                  \
    F(str, login, IPC_MAX_ADDRESS)
/*
 * auth -> monitor: this connection passes a message on for a list of this domain, and may have that sealed
 * in the domain's name (ARC).
 */
#define ipc_seal_grant_FIELDS(F)                                                                   \
    F(u64, conn, 0)                                                                                \
    F(str, domain, IPC_MAX_ADDRESS)
/* auth -> monitor: this connection (0: queue) may deliver once to this mailbox. */
#define ipc_delivery_grant_FIELDS(F)                                                               \
    F(u64, conn, 0)                                                                                \
    F(u32, grant, 0)                                                                               \
    F(str, account, IPC_MAX_NAME)                                                                  \
    F(str, mailbox, IPC_MAX_MAILBOX)                                                               \
    F(str, address, IPC_MAX_ADDRESS)
/*
 * auth -> queue: this connection may have a message passed on to this address, with this reverse path. It
 * is the configuration that says so, by a list with members at other servers, or that the address is one
 * of ours that was made when something was passed on (policy/srs.h).
 */
#define ipc_relay_grant_FIELDS(F)                                                                  \
    F(u64, conn, 0)                                                                                \
    F(u32, relay, 0)                                                                               \
    F(str, reverse_path, IPC_MAX_ADDRESS)                                                          \
    F(str, recipient, IPC_MAX_ADDRESS)
