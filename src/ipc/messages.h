/*
 * Everything processes say to each other, and who may say it to whom: the one table.
 *
 * A message that is not in the table for this sender and receiver ends the channel. No message
 * names an account, a path or a user that its receiver then trusts: who a peer is was said by
 * `monitor` when it made the channel.
 */
#pragma once

#include "crypto/received_id.h"
#include "ipc/codec.h"
#include "ipc/role.h"
#include "policy/dkim.h"
#include "policy/findings.h"
#include "policy/mtasts.h"
#include "policy/srs.h"
#include "policy/tls_rule.h"
#include "text/url.h"

enum {
    IPC_MAX_ADDRESS = 1024,  // localpart (128 octets at most) or domain (255), generously
    IPC_MAX_ANSWER = 300,    // the text of a struct err
    IPC_MAX_PATTERN = 2000,  // a regular expression for names of mailboxes
    IPC_MAX_NAME = 255,      // account names, package names
    IPC_MAX_MAILBOX = 1024,
    IPC_MAX_TEXT = 2048,     // a sentence for a reply or a person
    IPC_MAX_DELIVERY_ID = 64,
    IPC_MAX_SASL = 16384,    // one SASL message
    IPC_MAX_UNREAD = 65536,  // input read by a session and not yet used
    IPC_MAX_PARKED = 4096,   // state of a parked connection
    IPC_MAX_TAG = 1024,
    IPC_MAX_LINES = 65536,   // output for a parked connection, or of a listing
    IPC_MAX_PREFIX = 65536,  // header fields put before a message at delivery
    IPC_MAX_RECORD = 131072, // a piece of configuration
    IPC_MAX_TARGETS = 1000,  // accounts behind one address
    IPC_MAX_DIGEST = 512,
    IPC_MAX_SIGNATURE = 2048,
    IPC_MAX_CERT = 16384,    // a certificate with a client's key
    IPC_MAX_TLS = 200,       // version, cipher and so on of a connection, as text
    IPC_MAX_BINDING = 64,    // what a channel is bound to
    IPC_MAX_KEY = 32,        // SHA-256 of a client's public key
    IPC_MAX_FINDINGS = 4096, // a list of domains
    IPC_MAX_REASON = 64,     // the word of a decision
    IPC_MAX_REPORT_TEXT = 4096, // what reports say in one place; a list of policies or hosts
    IPC_MAX_ARC_SETS = 50,   // RFC 8617 4.2.1
    IPC_MAX_STS_MX = MTASTS_MAX_POLICY, // the hosts of a policy, as text
    IPC_MAX_TRIED = 8192,    // hosts and their addresses
    IPC_MAX_WEB_BODY = 65536, // an answer of a web server
    IPC_MAX_WEB_FIELD = 4096,
};

/* The services a session, an account or a web process may ask the monitor for. */
enum ipc_service { IPC_SERVICE_AUTH = 1, IPC_SERVICE_QUEUE = 2, IPC_SERVICE_KEYS = 3,
                   IPC_SERVICE_RESOLVE = 4, IPC_SERVICE_ADMIN = 5, IPC_SERVICE_DKIM = 6,
                   IPC_SERVICE_ACME = 7, IPC_SERVICE_DIAL = 8 };

/* Work on all mail of an account. All but the first are told about in lines. */
enum ipc_task { IPC_TASK_RETRAIN = 0, IPC_TASK_COUNTS = 1, IPC_TASK_SIZES = 2, IPC_TASK_PARSE = 3,
                IPC_TASK_THREADS = 4, IPC_TASK_LAST = 4 };

enum ipc_protocol {
    IPC_PROTOCOL_SMTP = 1,
    IPC_PROTOCOL_SUBMISSION = 2,
    IPC_PROTOCOL_IMAP = 3,
    IPC_PROTOCOL_HTTP = 4,
};
enum { IPC_LAST_PROTOCOL = IPC_PROTOCOL_HTTP };

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
 * What is known of a connection's TLS, of which only front and auth make something: its description,
 * a value for channel binding and its type, and the fingerprint of the client's own key. Empty
 * without.
 */
#define IPC_TLS_FACTS(F)                                                                           \
    F(str, tls, IPC_MAX_TLS)                                                                       \
    F(str, binding_type, 32)                                                                       \
    F(str, binding, IPC_MAX_BINDING)                                                               \
    F(str, client_key, IPC_MAX_KEY)

/* --- between monitor and every role it starts ------------------------------------------------ */

/* monitor -> role: the role's own part of the configuration, a sealed memory file. */
#define ipc_config_FIELDS(F) F(u64, number, 0)
/* role -> monitor: that configuration is in use. */
#define ipc_config_done_FIELDS(F) F(u64, number, 0)
/*
 * monitor -> keys: the private key file of key; monitor -> front, session template: the certificate
 * chain that belongs to it, for a listener. The descriptor is the open file.
 */
#define ipc_tls_file_FIELDS(F)                                                                     \
    F(u32, listener, 0)                                                                            \
    F(u32, key, 0)
/* keys -> monitor: a key that came while it ran is there; now its certificate may be used. */
#define ipc_key_taken_FIELDS(F) F(u32, key, 0)
/* monitor -> session template: what the numbers of connections are shown with (crypto/received_id.h). */
#define ipc_received_key_FIELDS(F) F(str, key, RECEIVED_ID_KEY_BYTES)
/* monitor -> auth: the key of policy/srs.h. */
#define ipc_srs_key_FIELDS(F) F(str, key, SRS_KEY_BYTES)
/*
 * monitor -> account template: the user ids that its children may have, other than its own; it can become no others.
 */
#define ipc_account_ids_FIELDS(F)                                                                  \
    F(u32, first, 0)                                                                               \
    F(u32, last, 0)
/* monitor -> role: the page that it counts in (ipc/metrics.h). monitor -> web template: one to read, of a role. */
#define ipc_metrics_FIELDS(F)
#define ipc_metrics_page_FIELDS(F) F(u8, role, ROLE_COUNT - 1)
/* monitor -> role: all that belongs to the start has been said; close the sandbox and begin. */
#define ipc_go_FIELDS(F)
/* monitor -> role: finish what is begun and exit. */
#define ipc_stop_FIELDS(F)
/* monitor -> role, admin -> monitor: log level of a package. */
#define ipc_log_level_FIELDS(F)                                                                    \
    F(str, package, IPC_MAX_NAME)                                                                  \
    F(str, level, 16)
/*
 * monitor -> role: a channel to a peer. conn is the connection it acts for (0: none); account is
 * whom the peer has logged in as or is; protocol and listener are those it came in by, and say to keys
 * which a session may use; remote is its client's address. address: of a delivery the mailbox's; to dkim the
 * domains, with a space between them, that a session of port 25 may seal for. The maxima are the account's, for what it sends; 0 for
 * none. keep_retired_s: how long it wants to know what became of that.
 */
#define ipc_peer_FIELDS(F)                                                                         \
    F(u8, role, ROLE_COUNT - 1)                                                                    \
    F(u64, conn, 0)                                                                                \
    F(u8, protocol, IPC_LAST_PROTOCOL)                                                             \
    F(u32, listener, 0)                                                                            \
    F(u8, is_tls, 1)                                                                               \
    F(u32, max_per_day, 0)                                                                         \
    F(u32, max_first_per_day, 0)                                                                   \
    F(u32, keep_retired_s, 0)                                                                      \
    F(str, account, IPC_MAX_NAME)                                                                  \
    F(str, login, IPC_MAX_ADDRESS)                                                                 \
    F(str, remote, 64)                                                                             \
    F(str, local, 64)                                                                              \
    F(str, mailbox, IPC_MAX_MAILBOX)                                                               \
    F(str, address, IPC_MAX_ADDRESS)                                                               \
    IPC_TLS_FACTS(F)

/* --- config ------------------------------------------------------------------------------------- */

/* monitor -> config: the two open files, mox.conf and domains.conf, and their names for messages. */
#define ipc_check_files_FIELDS(F)                                                                  \
    F(str, main_name, IPC_MAX_TEXT)                                                                \
    F(str, domains_name, IPC_MAX_TEXT)                                                             \
    F(u8, is_localserve, 1)                                                                        \
    F(u8, is_pedantic, 1)
/* One role's compiled configuration, with its memory file. */
#define ipc_compiled_FIELDS(F) F(u8, role, ROLE_COUNT - 1)
/* The end: is_ok, or problems as lines "file:line: message". */
#define ipc_compiled_end_FIELDS(F)                                                                 \
    F(u8, is_ok, 1)                                                                                \
    F(str, problems, IPC_MAX_LINES)

/* --- front ------------------------------------------------------------------------------------ */

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

/* --- templates -------------------------------------------------------------------------------- */

/* monitor -> session template -> spare session: serve this connection. Descriptors: stream, channel to monitor, [front]. */
#define ipc_session_start_FIELDS(F)                                                                \
    F(u64, conn, 0)                                                                                \
    F(u32, listener, 0)                                                                            \
    F(u8, is_tls, 1)                                                                               \
    F(u8, has_client_key, 1)                                                                       \
    F(str, version, 16)                                                                            \
    F(str, cipher, 64)                                                                             \
    F(str, remote, 64)                                                                             \
    F(str, local, 64)
/*
 * monitor -> account template: fork an account. Descriptors: its directory, channel to monitor, its part
 * of the configuration in a sealed memory file (ipc/compiled.h, account_part).
 */
#define ipc_account_start_FIELDS(F)                                                                \
    F(u64, conn, 0)                                                                                \
    F(str, account, IPC_MAX_NAME)                                                                  \
    F(u64, quota_bytes, 0)                                                                         \
    F(u32, uid, 0) /* its user id; 0: that of the template */
/* template -> monitor: the child of that number is running, and how it ended. */
#define ipc_child_started_FIELDS(F)                                                                \
    F(u64, conn, 0)                                                                                \
    F(u32, pid, 0)
#define ipc_child_ended_FIELDS(F)                                                                  \
    F(u64, conn, 0)                                                                                \
    F(u32, wait_status, 0)

/* --- session -> monitor ------------------------------------------------------------------------ */

/* A channel to a service, granted when first asked for. Also account -> monitor, for admin. */
#define ipc_grant_FIELDS(F) F(u8, service, IPC_SERVICE_DIAL)
/* A channel for one delivery that auth granted, by its number. Also queue -> monitor. */
#define ipc_deliver_open_FIELDS(F) F(u32, grant, 0)
/* monitor -> asker: the channel, or no descriptor and a reason. grant: as in deliver_open. */
#define ipc_granted_FIELDS(F)                                                                      \
    F(u32, grant, 0)                                                                               \
    F(str, reason, IPC_MAX_TEXT)
/*
 * After a login: the stream, the tag to answer and the unread input go to the account. The answer
 * is `granted`: without a reason it is done and the session ends.
 */
#define ipc_hand_over_FIELDS(F)                                                                    \
    F(str, tag, IPC_MAX_TAG)                                                                       \
    F(str, unread, IPC_MAX_UNREAD)

/* --- auth -------------------------------------------------------------------------------------- */

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
/* admin -> auth: a new password. */
#define ipc_set_password_FIELDS(F)                                                                 \
    F(str, account, IPC_MAX_NAME)                                                                  \
    F(str, password, IPC_MAX_TEXT)
/* admin -> auth: an account is gone; another of its name has another password and other keys. */
#define ipc_forget_account_FIELDS(F) F(str, account, IPC_MAX_NAME)
/* admin -> auth: keys of clients. The answers are `admin_reply`; a list may need several. */
#define ipc_client_key_list_FIELDS(F)                                                              \
    F(str, account, IPC_MAX_NAME)                                                                  \
    F(u64, after, 0)
#define ipc_client_key_get_FIELDS(F) F(str, client_key, IPC_MAX_KEY)
#define ipc_client_key_add_FIELDS(F)                                                               \
    F(str, client_key, IPC_MAX_KEY)                                                                \
    F(str, type, 32)                                                                               \
    F(str, name, IPC_MAX_NAME)                                                                     \
    F(str, login, IPC_MAX_ADDRESS)                                                                 \
    F(u8, no_imap_preauth, 1)                                                                      \
    F(str, cert, IPC_MAX_CERT)
#define ipc_client_key_remove_FIELDS(F) F(str, client_key, IPC_MAX_KEY)
/* Answer to an administrative request: text or why not; more: ask again from there on. */
#define ipc_admin_reply_FIELDS(F)                                                                  \
    F(u8, is_ok, 1)                                                                                \
    F(u64, more, 0)                                                                                \
    F(str, text, IPC_MAX_LINES)

/* --- account ----------------------------------------------------------------------------------- */

/* monitor -> account: a connection of the account's user. Descriptor: the stream. */
#define ipc_attach_FIELDS(F)                                                                       \
    F(u64, conn, 0)                                                                                \
    F(u8, is_tls, 1)                                                                               \
    F(str, login, IPC_MAX_ADDRESS)                                                                 \
    F(str, remote, 64)                                                                             \
    F(str, tag, IPC_MAX_TAG)                                                                       \
    F(str, unread, IPC_MAX_UNREAD)                                                                 \
    F(str, parked, IPC_MAX_PARKED)
/* monitor -> account: its part of the configuration is another now, in a sealed memory file. */
#define ipc_account_config_FIELDS(F)
/* account -> monitor: the connection has ended or was parked. */
#define ipc_detached_FIELDS(F)                                                                     \
    F(u64, conn, 0)                                                                                \
    F(u8, is_parked, 1)
/* account -> monitor: nothing to do, and this many messages of yours seen. May I go? */
#define ipc_account_idle_FIELDS(F) F(u64, seen, 0)
/* admin -> monitor, and monitor -> account: work on all of its mail, see enum ipc_task. */
#define ipc_account_task_FIELDS(F)                                                                 \
    F(u64, request, 0)                                                                             \
    F(u8, task, IPC_TASK_LAST)                                                                     \
    F(str, account, IPC_MAX_NAME)
/* account -> monitor -> admin: it is done (or, to retrain, noted), and what there is to tell; or why not. */
#define ipc_account_done_FIELDS(F)                                                                 \
    F(u64, request, 0)                                                                             \
    F(u8, is_ok, 1)                                                                                \
    F(str, text, IPC_MAX_LINES)
/* admin -> monitor: a channel to put messages into a mailbox of this account. */
#define ipc_import_open_FIELDS(F)                                                                  \
    F(u64, request, 0)                                                                             \
    F(str, account, IPC_MAX_NAME)                                                                  \
    F(str, mailbox, IPC_MAX_MAILBOX)
/* monitor -> admin: the channel, which admin hands to the command; or none, and why. */
#define ipc_import_channel_FIELDS(F)                                                               \
    F(u64, request, 0)                                                                             \
    F(str, why, IPC_MAX_ANSWER)
/*
 * Over that channel, admin -> account: a message of the batch to come: where the one before it ends in
 * the batch's file, for size bytes. id says where it comes from: what the account has already of that
 * id is not added again. keywords: separated by spaces.
 */
#define ipc_import_message_FIELDS(F)                                                               \
    F(u64, size, 0)                                                                                \
    F(u64, received_unix, INT64_MAX)                                                               \
    F(u32, flags, 0)                                                                               \
    F(str, keywords, IPC_MAX_TEXT)                                                                 \
    F(str, id, IPC_MAX_DELIVERY_ID)
/* admin -> account: what follows is for this mailbox. */
#define ipc_import_mailbox_FIELDS(F) F(str, mailbox, IPC_MAX_MAILBOX)
/* admin -> account: the batch, a sealed memory file. The answer is imported. An empty one makes the mailbox. */
#define ipc_import_batch_FIELDS(F) F(u64, size, 0)
/* account -> admin: the batch is stored, and how many of it were not there yet; or why not. */
#define ipc_imported_FIELDS(F)                                                                     \
    F(u8, is_ok, 1)                                                                                \
    F(u32, added, 0)                                                                               \
    F(str, text, IPC_MAX_ANSWER)
/* admin -> monitor: domains.conf, please. */
#define ipc_domains_read_FIELDS(F) F(u64, request, 0)
/* monitor -> admin: the open file; or none, and why. version: to be said with a change of it. */
#define ipc_domains_text_FIELDS(F)                                                                      \
    F(u64, request, 0)                                                                             \
    F(u64, version, 0)                                                                             \
    F(str, why, IPC_MAX_ANSWER)
/*
 * admin -> monitor: what domains.conf is to be, in a memory file: to be checked like any other, written
 * and used. added_account: there must be no mail of it yet; removed_account: its mail goes. new_keys: names of
 * files for keys of DKIM, a line each, that the monitor makes first; old_keys: of those that it puts away
 * afterwards, unless something else signs with them.
 */
#define ipc_domains_write_FIELDS(F)                                                                  \
    F(u64, request, 0)                                                                             \
    F(u64, version, 0)                                                                             \
    F(str, added_account, IPC_MAX_NAME)                                                            \
    F(str, removed_account, IPC_MAX_NAME)                                                          \
    F(str, new_keys, IPC_MAX_TEXT)                                                                 \
    F(str, old_keys, IPC_MAX_LINES)
/* monitor -> admin: it is in use; or why not. */
#define ipc_domains_written_FIELDS(F)                                                              \
    F(u64, request, 0)                                                                             \
    F(u8, is_ok, 1)                                                                                \
    F(str, text, IPC_MAX_LINES)
/* monitor -> account: yes. (When something was sent meanwhile, no answer: go on.) */
#define ipc_account_end_FIELDS(F)
/*
 * session -> account, before an offer: what was found out about the sender of a message that came to
 * port 25. Without it the message is local or already judged, and is not decided about. A session
 * that was taken over can say here what it likes; it could have invented the message too.
 *
 * Domains are A-labels in lower case. Lists have a space between their items.
 */
#define ipc_findings_FIELDS(F)                                                                     \
    F(u8, is_tls, 1)            /* the message came over TLS */                                    \
    F(u8, is_smtputf8, 1)       /* the sender understands UTF-8 (RFC 6531) */                      \
    F(u8, has_from, 1)          /* the header has one From field with one address: the next three */ \
    F(str, from_localpart, IPC_MAX_ADDRESS)      /* unquoted, in its own case */                   \
    F(str, from_domain, IPC_MAX_ADDRESS)                                                           \
    F(str, from_org_domain, IPC_MAX_ADDRESS)     /* the organisational domain of it */             \
    F(u8, validation, VALIDATION_STRICT)         /* of the From address */                         \
    F(str, mail_from_localpart, IPC_MAX_ADDRESS) /* of MAIL FROM, unquoted; empty: null path */    \
    F(str, mail_from_domain, IPC_MAX_ADDRESS)                                                      \
    F(u8, spf_mail_from, FINDING_PERMERROR)      /* SPF of it; NONE for a null path */             \
    F(str, hello_domain, IPC_MAX_ADDRESS)        /* of EHLO; empty for an address literal */       \
    F(u8, spf_hello, FINDING_PERMERROR)          /* SPF of that */                                 \
    F(str, dkim_domains, IPC_MAX_FINDINGS)       /* d= of the signatures that verified; a list */  \
    F(u8, dmarc, FINDING_PERMERROR)              /* pass, fail, none, or what went wrong */        \
    F(u8, dmarc_wish, DMARC_WISH_REJECT)         /* of the policy that was found */                \
    F(u8, is_dmarc_sampled, 1)                   /* the policy is for this message, by its pct */  \
    F(u8, iprev, FINDING_PERMERROR)              /* reverse name of the client's address */        \
    F(str, iprev_name, IPC_MAX_ADDRESS)          /* that name, when it passes */                   \
    F(str, dnsbl_zones, IPC_MAX_FINDINGS)        /* those that list the address; a list */         \
    F(u8, is_tlsrpt_signed, 1)                   /* good enough for a report about TLS */         \
    F(u8, arc, FINDING_PERMERROR)                /* the chain of those who passed it on; NONE: none */ \
    F(u8, arc_sets, IPC_MAX_ARC_SETS)            /* how long it is */                              \
    F(str, arc_domain, IPC_MAX_ADDRESS)          /* d= of the last of them, when it passes */
/*
 * session, queue -> account: a message for the mailbox this channel was granted for, in a sealed
 * memory file; prefix is put before it. delivery_id makes a repetition harmless: it says which
 * message for which recipient this is, "s.", the session's own, or "q.", the queue's. rcpt: the
 * recipient as the client wrote it.
 */
#define ipc_offer_FIELDS(F)                                                                        \
    F(str, delivery_id, IPC_MAX_DELIVERY_ID)                                                       \
    F(u64, size, 0)                                                                                \
    F(str, reverse_path, IPC_MAX_ADDRESS)                                                          \
    F(str, hello, IPC_MAX_ADDRESS)                                                                 \
    F(str, rcpt, IPC_MAX_ADDRESS)                                                                  \
    F(str, prefix, IPC_MAX_PREFIX)
/*
 * account -> asker: the decision, or after a commit that it is done. Code 250, 4xx or 5xx. reason: the
 * word for it (mox-smtp-delivery.md 2.1), for logs and reports; empty when nothing was decided.
 * is_slow: answer this client slowly from now on. is_first_time: nothing is known of the sender; the
 * session waits the listener's FirstTimeSenderDelay before it commits. dmarc_override: why the
 * domain's policy was left aside. is_reject: what is committed is to be refused all the same but for a
 * ruleset, so it does not count as accepted in a report. is_report_optional: the domain is not told of
 * this message alone.
 *
 * After a refusal the account waits too: a commit stores the message nonetheless (another member of
 * the list has accepted it); the end of the channel makes the refusal final, and the message goes to
 * the Rejects mailbox.
 */
#define ipc_verdict_FIELDS(F)                                                                      \
    F(u32, code, 599)                                                                              \
    F(str, enhanced, 16)                                                                           \
    F(str, text, IPC_MAX_TEXT)                                                                     \
    F(str, reason, IPC_MAX_REASON)                                                                 \
    F(u8, is_slow, 1)                                                                              \
    F(u8, is_first_time, 1)                                                                        \
    F(u8, is_reject, 1)                                                                            \
    F(u8, dmarc_override, DMARC_FORWARDED)                                                         \
    F(u8, is_report_optional, 1)
/* asker -> account: all recipients have answered; store it. */
#define ipc_commit_FIELDS(F)

/* --- queue ------------------------------------------------------------------------------------- */

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
/*
 * admin -> queue: what a person wants of it (enum ipc_queue_verb). filter: as queue_filter_parse has it; value and
 * after are the verb's. The answer is an admin_reply with lines, bytes, or the number of entries changed; more: ask
 * again with that as after.
 */
enum ipc_queue_verb {
    IPC_QUEUE_CHANGE, // and the following: enum queue_change
    IPC_QUEUE_LIST = 16,
    IPC_QUEUE_DUMP, // after: where to begin
    IPC_QUEUE_RETIRED_LIST,
    IPC_QUEUE_RETIRED_PRINT,
    IPC_QUEUE_HOLD_RULES_LIST,
    IPC_QUEUE_HOLD_RULES_ADD, // value: three words with tabs between them
    IPC_QUEUE_HOLD_RULES_REMOVE,
    IPC_QUEUE_SUPPRESS_LIST, // value: the account
    IPC_QUEUE_SUPPRESS_ADD,  // value: account and address with a tab between them, and so on
    IPC_QUEUE_SUPPRESS_REMOVE,
    IPC_QUEUE_SUPPRESS_LOOKUP,
    IPC_QUEUE_SENDERS, // value: an account; after: how many were told already. A reverse path per line
    IPC_QUEUE_FORGET,  // value: an account that is gone
    IPC_LAST_QUEUE_VERB = IPC_QUEUE_FORGET,
};
#define ipc_queue_command_FIELDS(F)                                                                \
    F(u8, verb, IPC_LAST_QUEUE_VERB)                                                               \
    F(str, filter, 16384)                                                                          \
    F(str, value, 4096)                                                                            \
    F(u64, after, 0)

/* --- keys -------------------------------------------------------------------------------------- */

/*
 * front, session -> keys: sign a digest with a key of the configuration. The answer has the same
 * number, for askers that do not wait for ever.
 */
enum ipc_signature { IPC_SIGN_ECDSA = 1, IPC_SIGN_RSA = 2 };
#define ipc_sign_FIELDS(F)                                                                         \
    F(u64, request, 0)                                                                             \
    F(u32, key, 0)                                                                                 \
    F(u8, type, IPC_SIGN_RSA)                                                                      \
    F(u32, parameter, 0)                                                                           \
    F(str, digest, IPC_MAX_DIGEST)
#define ipc_signed_FIELDS(F)                                                                       \
    F(u64, request, 0)                                                                             \
    F(u8, is_ok, 1)                                                                                \
    F(str, signature, IPC_MAX_SIGNATURE)

/* --- acme: certificates ------------------------------------------------------------------------- */

enum ipc_key_kind { IPC_KEY_ECDSA = 1, IPC_KEY_RSA = 2 };
enum { IPC_MAX_CHAIN = IPC_MAX_WEB_BODY, IPC_MAX_JOSE = IPC_MAX_WEB_BODY };
/*
 * acme -> keys: requests about an authority of the configuration, called provider, and a host that it may have
 * certificates for. Each is answered by acme_made. What keys signs for acme is a request of ACME, of which it writes the
 * protected header itself, or a request for a certificate: no bytes of acme's choice.
 *
 * acme_list: all certificates that there are, an acme_have for each before the answer. acme_key: the public key of the
 * account as JWK, made if there is none. acme_sign: a request, as JWS; with kid, or the public key when that is empty.
 * acme_bind: the account's key signed with the one of ExternalAccountBinding. acme_csr: a request for a certificate,
 * with a key that is kept until there is one. acme_store: that certificate; it is in use from then on.
 */
#define ipc_acme_list_FIELDS(F) F(u64, request, 0)
#define ipc_acme_have_FIELDS(F)                                                                    \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u8, kind, IPC_KEY_RSA)                                                                       \
    F(str, chain, IPC_MAX_CHAIN)
#define ipc_acme_key_FIELDS(F)                                                                     \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)
#define ipc_acme_sign_FIELDS(F)                                                                    \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, url, URL_MAX_BYTES)                                                                     \
    F(str, nonce, 512)                                                                             \
    F(str, kid, URL_MAX_BYTES)                                                                     \
    F(str, payload, IPC_MAX_TEXT * 16)
#define ipc_acme_bind_FIELDS(F)                                                                    \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, url, URL_MAX_BYTES)
#define ipc_acme_csr_FIELDS(F)                                                                     \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u8, kind, IPC_KEY_RSA)
#define ipc_acme_store_FIELDS(F)                                                                   \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u8, kind, IPC_KEY_RSA)                                                                       \
    F(str, chain, IPC_MAX_CHAIN)
/*
 * For dns-01 by updates of the DNS (DNSUpdate): acme_update has the whole message written and signed that sets the TXT record
 * of _acme-challenge below the host, or removes it; acme_verify asks whether this is the MAC of these bytes, of an answer.
 */
#define ipc_acme_update_FIELDS(F)                                                                  \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(str, text, 100)                                                                              \
    F(u8, is_set, 1)
#define ipc_acme_verify_FIELDS(F)                                                                  \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, bytes, 8192)                                                                            \
    F(str, mac, SHA256_BYTES)
#define ipc_acme_made_FIELDS(F)                                                                    \
    F(u64, request, 0)                                                                             \
    F(u8, is_ok, 1)                                                                                \
    F(str, bytes, IPC_MAX_JOSE)                                                                    \
    F(str, why, IPC_MAX_ANSWER)
/*
 * keys -> monitor: a certificate to use, whose key has that number; in place of what there was for that host and kind.
 * is_temporary: one of our own, until an authority has given one.
 */
#define ipc_certificate_FIELDS(F)                                                                  \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u8, kind, IPC_KEY_RSA)                                                                       \
    F(u32, key, 0)                                                                                 \
    F(u8, is_temporary, 1)                                                                         \
    F(str, chain, IPC_MAX_CHAIN)
/* monitor -> who shakes hands: such a certificate, a memory file, for all listeners that name its provider. */
#define ipc_tls_cert_FIELDS(F)                                                                     \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u32, key, 0)                                                                                 \
    F(u8, is_temporary, 1)
/* monitor -> front: the certificates that were sent since it began or since the last of these are all there are now. */
#define ipc_tls_use_FIELDS(F)
/* front, web -> acme: a client asked for a name that there is no certificate for. No answer. */
#define ipc_cert_wanted_FIELDS(F) F(str, host, IPC_MAX_ADDRESS)
/*
 * web -> acme: what an authority is to be answered that asks this server for a name: to http-01 for a token, to
 * tls-alpn-01 for the name alone. The answer is the key authorization; none: not a name of ours, or nothing is asked
 * about it.
 */
enum ipc_challenge { IPC_CHALLENGE_HTTP = 1, IPC_CHALLENGE_TLS_ALPN = 2 };
#define ipc_challenge_ask_FIELDS(F)                                                                \
    F(u8, kind, IPC_CHALLENGE_TLS_ALPN)                                                            \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(str, token, 256)
enum ipc_challenge_status { IPC_CHALLENGE_OK = 1, IPC_CHALLENGE_NOT_OURS = 2, IPC_CHALLENGE_UNKNOWN = 3 };
#define ipc_challenge_answer_FIELDS(F)                                                             \
    F(u8, status, IPC_CHALLENGE_UNKNOWN)                                                           \
    F(str, text, 512)

/*
 * acme -> monitor: have the administrator's program of this authority set the TXT record of _acme-challenge below the host,
 * or remove it; and how that came out.
 */
#define ipc_dns_hook_FIELDS(F)                                                                     \
    F(u64, request, 0)                                                                             \
    F(str, provider, IPC_MAX_NAME)                                                                 \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(str, text, 100)                                                                              \
    F(u8, is_set, 1)
#define ipc_dns_hooked_FIELDS(F)                                                                   \
    F(u64, request, 0)                                                                             \
    F(u8, is_ok, 1)                                                                                \
    F(str, why, IPC_MAX_ANSWER)

/* --- dkim -------------------------------------------------------------------------------------- */

/*
 * session, queue, admin -> dkim: what mail from this domain (A-labels) is signed with; empty: what
 * this server itself writes. The answer is a dkim_selector for each selector, with the same request;
 * one without a name when there is none, or none that this asker may use.
 */
#define ipc_dkim_domain_FIELDS(F)                                                                  \
    F(u64, request, 0)                                                                             \
    F(str, domain, IPC_MAX_ADDRESS)
/* dkim -> asker: left more follow. headers: the fields to sign, with a colon between them. */
#define ipc_dkim_selector_FIELDS(F)                                                                \
    F(u64, request, 0)                                                                             \
    F(u32, left, 0)                                                                                \
    F(u32, key, 0)                                                                                 \
    F(u8, algorithm, DKIM_ED25519_SHA256)                                                          \
    F(u8, is_unsealed, 1)                                                                          \
    F(u8, header_is_relaxed, 1)                                                                    \
    F(u8, body_is_relaxed, 1)                                                                      \
    F(u64, expires_after, 0)                                                                       \
    F(str, domain, IPC_MAX_ADDRESS)                                                                \
    F(str, name, IPC_MAX_ADDRESS)                                                                  \
    F(str, headers, IPC_MAX_RECORD)
/* session, queue, admin -> dkim: sign this SHA-256 digest with the key of a selector of a domain it may use. */
#define ipc_dkim_sign_FIELDS(F)                                                                    \
    F(u64, request, 0)                                                                             \
    F(u32, key, 0)                                                                                 \
    F(str, digest, SHA256_BYTES)
#define ipc_dkim_signed_FIELDS(F)                                                                  \
    F(u64, request, 0)                                                                             \
    F(u8, is_ok, 1)                                                                                \
    F(str, signature, IPC_MAX_SIGNATURE)

/* --- resolve ------------------------------------------------------------------------------------ */

/* asker -> resolve: a question. No answer is wanted to request 0, only that it be known soon. */
#define ipc_resolve_FIELDS(F)                                                                      \
    F(u64, request, 0)                                                                             \
    F(u32, type, UINT16_MAX)                                                                       \
    F(str, name, DNS_MAX_NAME)
/*
 * resolve -> asker: as struct dns_answer. records: for each the length of its data in two octets
 * and the data (policy/dns_wire.h).
 */
#define ipc_resolved_FIELDS(F)                                                                     \
    F(u64, request, 0)                                                                             \
    F(u8, status, DNS_BOGUS)                                                                       \
    F(u8, is_secure, 1)                                                                            \
    F(u32, ttl, 0)                                                                                 \
    F(str, name, DNS_MAX_NAME_TEXT)                                                                \
    F(str, records, DNS_MAX_ANSWER)                                                                \
    F(str, why, IPC_MAX_TEXT)

/* --- reports ------------------------------------------------------------------------------------ */

/*
 * account -> admin: a report about a domain of ours that came to the account's address for such
 * (mox-smtp-delivery.md 5.2, 5.5), in a sealed memory file (ipc/report.h). Whose it is, admin knows
 * by the channel, and which domains have their address there, by the configuration.
 */
#define ipc_report_received_FIELDS(F)                                                              \
    F(u8, is_tls, 1)                                                                               \
    F(str, from_domain, IPC_MAX_ADDRESS)                                                           \
    F(str, mail_from, IPC_MAX_ADDRESS)
/* The answer: it is stored (also when it was there already), is not wanted, or is to come again. */
enum ipc_report_outcome { IPC_REPORT_STORED, IPC_REPORT_REFUSED, IPC_REPORT_TEMPORARY };
#define ipc_report_taken_FIELDS(F)                                                                 \
    F(u8, outcome, IPC_REPORT_TEMPORARY)                                                           \
    F(str, why, IPC_MAX_ANSWER)
/*
 * session -> admin: what DMARC came to for a message and one of its recipients, for a report to the
 * domain that published the policy (mox-smtp-delivery.md 5.3). The client's address admin knows by
 * the channel. No answer. Domains are A-labels in lower case.
 */
#define ipc_dmarc_evaluation_FIELDS(F)                                                             \
    F(str, policy_domain, IPC_MAX_ADDRESS)                                                         \
    F(str, record, IPC_MAX_REPORT_TEXT)     /* the published policy, as dmarc_record_put has it */ \
    F(u8, is_optional, 1)                   /* no reason for a report by itself */                 \
    F(u8, is_rejected, 1)                                                                          \
    F(u8, is_spf_aligned, 1)                                                                       \
    F(u8, is_dkim_aligned, 1)                                                                      \
    F(str, overrides, 256)                  /* words with a space between them */                  \
    F(str, header_from, IPC_MAX_ADDRESS)                                                           \
    F(str, envelope_from, IPC_MAX_ADDRESS)  /* domains */                                          \
    F(str, envelope_to, IPC_MAX_ADDRESS)                                                           \
    F(str, spf_domain, IPC_MAX_ADDRESS)     /* empty: SPF was not asked */                         \
    F(u8, is_spf_helo, 1)                                                                          \
    F(str, spf, 16)                         /* the word of its result */                           \
    F(str, dkim, IPC_MAX_REPORT_TEXT)       /* per signature a line: result, domain, selector */
/*
 * deliver -> queue -> admin: what the TLS of an attempt at delivery came to, for one policy
 * (mox-smtp-delivery.md 5.6, RFC 8460 4.3): for the recipient's domain, MTA-STS or none; for each MX
 * host that was tried, DANE or none. Attempts with transports, or at an address literal, are none of
 * it. The counts are of sessions; several attempts may be told together. Each failure is of one
 * kind, which the texts say: another kind is told in a message of its own, with successes 0.
 *
 * Of a delivered report about TLS nothing is told, of one about DMARC only failures (no loops). Domains and hosts are A-labels in lower case, lists have LF between.
 * No answer. queue passes it on as it is.
 */
enum ipc_tls_policy { IPC_TLS_POLICY_NONE, IPC_TLS_POLICY_TLSA, IPC_TLS_POLICY_STS };
#define ipc_tls_result_FIELDS(F)                                                                   \
    F(str, policy_domain, IPC_MAX_ADDRESS)    /* recipient domain, or the MX host */               \
    F(u8, is_host, 1)                         /* it is the MX host */                              \
    F(str, recipient_domain, IPC_MAX_ADDRESS)                                                      \
    F(u8, policy_type, IPC_TLS_POLICY_STS)                                                         \
    F(str, policy_strings, IPC_MAX_REPORT_TEXT) /* lines of the policy, or TLSA records; a list */ \
    F(str, mx_hosts, IPC_MAX_REPORT_TEXT)     /* patterns of an MTA-STS policy; a list */          \
    F(u32, successes, 1000000)                                                                     \
    F(u32, failures, 1000000)                                                                      \
    F(str, result_type, 64)                   /* of the failures: "starttls-not-supported" */      \
    F(str, sending_ip, 64)                                                                         \
    F(str, mx_host, IPC_MAX_ADDRESS)                                                               \
    F(str, mx_helo, IPC_MAX_ADDRESS)          /* what the host called itself in its greeting */    \
    F(str, receiving_ip, 64)                                                                       \
    F(str, additional, IPC_MAX_TEXT)          /* additional-information */                         \
    F(str, reason_code, 256)                  /* failure-reason-code */
/* --- dial ---------------------------------------------------------------------------------------- */

/* What became of a connection. */
enum ipc_dial_outcome {
    IPC_DIAL_OK = 1,
    IPC_DIAL_REFUSED = 2,
    IPC_DIAL_UNREACHABLE = 3,
    IPC_DIAL_TIMEOUT = 4,
    IPC_DIAL_FORBIDDEN = 5, // not for this asker
    IPC_DIAL_FAILED = 6,    // here: no descriptors, no such address
};
/* deliver, fetch, acme -> dial: connect to this address, of 4 or 16 octets. */
#define ipc_dial_FIELDS(F)                                                                         \
    F(u64, request, 0)                                                                             \
    F(str, address, 16)                                                                            \
    F(u32, port, UINT16_MAX)                                                                       \
    F(u32, timeout_ms, 0)
/*
 * web -> dial: connect to this server behind the reverse proxy, which must be one that the configuration
 * names. dial looks its addresses up, and tries them.
 */
#define ipc_dial_site_FIELDS(F)                                                                    \
    F(u64, request, 0)                                                                             \
    F(str, host, IPC_MAX_ADDRESS)                                                                  \
    F(u32, port, UINT16_MAX)                                                                       \
    F(u32, timeout_ms, 0)
/* dial -> whoever asked: the connected socket and its own address, or why not. */
#define ipc_dialed_FIELDS(F)                                                                       \
    F(u64, request, 0)                                                                             \
    F(u8, outcome, IPC_DIAL_FAILED)                                                                \
    F(str, local, 64)                                                                              \
    F(str, why, IPC_MAX_ANSWER)

/* --- deliver ------------------------------------------------------------------------------------- */

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

/* --- fetch --------------------------------------------------------------------------------------- */

/* Its asker -> monitor: a fresh fetch process; the answer has the same number, and a channel to it or none. */
#define ipc_fetch_new_FIELDS(F) F(u64, request, 0)
#define ipc_fetch_made_FIELDS(F)                                                                   \
    F(u64, request, 0)                                                                             \
    F(str, reason, IPC_MAX_TEXT)
/* monitor -> fetch template: its channels to whom it is for, resolve and dial. */
#define ipc_fetch_start_FIELDS(F)                                                                  \
    F(u64, conn, 0)                                                                                \
    F(u8, asker, ROLE_COUNT - 1)

/*
 * Its asker -> fetch: a request to a web server, at an https URL (text/url.h). fields are lines "Name: value"
 * with LF between them, of the request's own; the descriptor is the body of a POST. max_body: octets of the
 * answer's body that are wanted at most.
 */
enum ipc_web_method { IPC_WEB_GET = 1, IPC_WEB_HEAD = 2, IPC_WEB_POST = 3 };
#define ipc_web_fetch_FIELDS(F)                                                                    \
    F(u8, method, IPC_WEB_POST)                                                                    \
    F(str, url, URL_MAX_BYTES)                                                                     \
    F(str, fields, IPC_MAX_TEXT)                                                                   \
    F(u32, max_body, IPC_MAX_WEB_BODY)                                                             \
    F(u32, timeout_ms, 0)
enum ipc_web_outcome {
    IPC_WEB_ANSWER = 1,    // with any status code
    IPC_WEB_NO_HOST = 2,
    IPC_WEB_FAILED = 3,    // no connection, no TLS, no HTTP, broken off, or too slow
    IPC_WEB_UNTRUSTED = 4, // its certificate
    IPC_WEB_TOO_LARGE = 5,
};
/*
 * fetch -> its asker: the answer, with those of its fields that somebody wants to know; of a field that is
 * there more than once the last, but of Link all, with LF between them. why is for people, without an answer.
 */
#define ipc_web_fetched_FIELDS(F)                                                                  \
    F(u8, outcome, IPC_WEB_TOO_LARGE)                                                              \
    F(u32, code, 999)                                                                              \
    F(str, content_type, IPC_MAX_WEB_FIELD)                                                        \
    F(str, location, IPC_MAX_WEB_FIELD)                                                            \
    F(str, replay_nonce, IPC_MAX_WEB_FIELD)                                                        \
    F(str, retry_after, IPC_MAX_WEB_FIELD)                                                         \
    F(str, links, IPC_MAX_WEB_FIELD)                                                               \
    F(str, body, IPC_MAX_WEB_BODY)                                                                 \
    F(str, why, IPC_MAX_ANSWER)

/*
 * queue -> fetch: the MTA-STS policy of a domain, which is in A-labels. With is_refresh the record is
 * looked up first, and nothing is fetched when it still has the id that is known.
 */
#define ipc_sts_fetch_FIELDS(F)                                                                    \
    F(str, domain, DNS_MAX_NAME)                                                                   \
    F(u8, is_refresh, 1)                                                                           \
    F(str, known_id, MTASTS_MAX_ID)
enum ipc_sts_outcome {
    IPC_STS_POLICY = 1,
    IPC_STS_NONE = 2,        // no such host or page
    IPC_STS_NOT_FETCHED = 3, // no connection, no HTTP, another status
    IPC_STS_UNTRUSTED = 4,   // its certificate
    IPC_STS_INVALID = 5,     // what came is no policy
    IPC_STS_UNCHANGED = 6,   // the record has the id that is known
    IPC_STS_GONE = 7,        // there is no record
};
/*
 * fetch -> queue: mx is as mtasts_mx_put writes it; id that of the record, if it was looked up; why is for
 * people, when there is no policy.
 */
#define ipc_sts_fetched_FIELDS(F)                                                                  \
    F(u8, outcome, IPC_STS_GONE)                                                                   \
    F(str, id, MTASTS_MAX_ID)                                                                      \
    F(u8, mode, MTASTS_ENFORCE)                                                                    \
    F(u32, max_age, MTASTS_MAX_AGE)                                                                \
    F(str, mx, IPC_MAX_STS_MX)                                                                     \
    F(str, why, IPC_MAX_ANSWER)

/*
 * deliver -> queue: what the DNS says of the domain's MTA-STS record: 0 none, 1 this id, 2 no answer. First
 * of all that deliver says, and only with IPC_WAY_DIRECT to a domain.
 */
#define ipc_sts_ask_FIELDS(F)                                                                      \
    F(str, domain, DNS_MAX_NAME)                                                                   \
    F(u8, record, 2)                                                                               \
    F(str, id, MTASTS_MAX_ID)
/*
 * queue -> deliver: the policy that holds (status 2), none (1), or nobody knows and mail must wait (3).
 * failure, reason: for the report (policy/tls_rule.h, RFC 8460 4.3), of a fetch that failed lately.
 */
#define ipc_sts_answer_FIELDS(F)                                                                   \
    F(u8, status, 3)                                                                               \
    F(u8, mode, MTASTS_ENFORCE)                                                                    \
    F(u32, max_age, MTASTS_MAX_AGE)                                                                \
    F(str, mx, IPC_MAX_STS_MX)                                                                     \
    F(u8, failure, TLS_STS_WEBPKI_INVALID)                                                         \
    F(str, reason, IPC_MAX_REASON)

/* --- the table: message, from, to, descriptors at least and at most ---------------------------- */

#define R_(role) ROLE_BIT(ROLE_##role)
#define R_STARTED                                                                                  \
    (R_(FRONT) | R_(SESSION_TEMPLATE) | R_(ACCOUNT_TEMPLATE) | R_(AUTH) | R_(QUEUE) | R_(KEYS) |   \
     R_(DKIM) | R_(ACME) | R_(RESOLVE) | R_(ADMIN) | R_(DIAL) | R_(DELIVER_TEMPLATE) | \
     R_(FETCH_TEMPLATE) | R_(WEB_TEMPLATE))
#define R_TEMPLATES (R_(SESSION_TEMPLATE) | R_(ACCOUNT_TEMPLATE) | R_(DELIVER_TEMPLATE) |             \
                     R_(FETCH_TEMPLATE) | R_(WEB_TEMPLATE))
#define R_FETCHERS (R_(QUEUE) | R_(ADMIN) | R_(ACME))
#define R_DIALERS (R_(DELIVER) | R_(FETCH) | R_(ACME))
#define R_ASKERS (R_(SESSION) | R_(QUEUE) | R_(AUTH) | R_(ADMIN) | R_(DIAL) | R_DIALERS)

#define IPC_MESSAGES(M)                                                                            \
    M(config, R_(MONITOR), R_STARTED, 1, 4)                                                        \
    M(config_done, R_STARTED, R_(MONITOR), 0, 0)                                                   \
    M(tls_file, R_(MONITOR), R_(KEYS) | R_(FRONT) | R_(SESSION_TEMPLATE) | R_(WEB_TEMPLATE), 1, 1)   \
    M(key_taken, R_(KEYS), R_(MONITOR), 0, 0)                                                      \
    M(received_key, R_(MONITOR), R_(SESSION_TEMPLATE) | R_(WEB_TEMPLATE), 0, 0)                      \
    M(srs_key, R_(MONITOR), R_(AUTH), 0, 0)                                                        \
    M(account_ids, R_(MONITOR), R_(ACCOUNT_TEMPLATE), 0, 0)                                        \
    M(metrics, R_(MONITOR), R_STARTED, 1, 1)                                                       \
    M(metrics_page, R_(MONITOR), R_(WEB_TEMPLATE), 1, 1)                                           \
    M(go, R_(MONITOR), R_STARTED, 0, 0)                                                            \
    M(stop, R_(MONITOR) | R_(ADMIN), R_STARTED | R_(ACCOUNT) | R_(SESSION) | R_(WEB) | R_(MONITOR), 0, 0) \
    M(log_level, R_(MONITOR) | R_(ADMIN), R_STARTED | R_(ACCOUNT) | R_(MONITOR), 0, 0)             \
    M(peer, R_(MONITOR), R_STARTED | R_(ACCOUNT), 1, 1)                                            \
    M(check_files, R_(MONITOR), R_(CONFIG), 2, 2)                                                  \
    M(compiled, R_(CONFIG), R_(MONITOR), 1, 1)                                                     \
    M(compiled_end, R_(CONFIG), R_(MONITOR), 0, 0)                                                 \
    M(listen, R_(MONITOR), R_(FRONT) | R_(ADMIN), 1, 1)                                            \
    M(accept, R_(MONITOR), R_(FRONT), 0, 0)                                                        \
    M(conn_new, R_(FRONT), R_(MONITOR), 1, 2)                                                      \
    M(conn_tls, R_(FRONT), R_(MONITOR), 0, 0)                                                      \
    M(key_check, R_(FRONT), R_(AUTH), 0, 0)                                                        \
    M(key_checked, R_(AUTH), R_(FRONT), 0, 0)                                                      \
    M(conn_end, R_(MONITOR), R_(FRONT), 0, 0)                                                      \
    M(starttls, R_(SESSION), R_(FRONT), 0, 0)                                                      \
    M(starttls_done, R_(FRONT), R_(SESSION), 1, 1)                                                 \
    M(web_rate, R_(WEB), R_(FRONT), 0, 0)                                                          \
    M(web_rated, R_(FRONT), R_(WEB), 0, 0)                                                         \
    M(park, R_(ACCOUNT), R_(FRONT), 1, 1)                                                          \
    M(parked, R_(FRONT), R_(ACCOUNT), 0, 0)                                                        \
    M(parked_send, R_(ACCOUNT), R_(FRONT), 0, 0)                                                   \
    M(conn_resume, R_(FRONT), R_(MONITOR), 1, 1)                                                   \
    M(conn_gone, R_(FRONT), R_(MONITOR), 0, 0)                                                     \
    M(unparked, R_(FRONT), R_(ACCOUNT), 0, 0)                                                      \
    M(session_start, R_(MONITOR) | R_(SESSION_TEMPLATE) | R_(WEB_TEMPLATE),                         \
      R_(SESSION_TEMPLATE) | R_(SESSION) | R_(WEB_TEMPLATE) | R_(WEB), 2, 3)                       \
    M(account_start, R_(MONITOR), R_(ACCOUNT_TEMPLATE), 3, 3)                                      \
    M(child_started, R_TEMPLATES, R_(MONITOR), 0, 0)                                               \
    M(child_ended, R_TEMPLATES, R_(MONITOR), 0, 0)                                                 \
    M(grant, R_(SESSION) | R_(ACCOUNT) | R_(WEB), R_(MONITOR), 0, 0)                                \
    M(deliver_open, R_(SESSION) | R_(QUEUE), R_(MONITOR), 0, 0)                                    \
    M(granted, R_(MONITOR), R_(SESSION) | R_(QUEUE) | R_(ACCOUNT) | R_(WEB), 0, 1)                  \
    M(hand_over, R_(SESSION), R_(MONITOR), 1, 1)                                                   \
    M(auth_step, R_(SESSION), R_(AUTH), 0, 0)                                                      \
    M(auth_abort, R_(SESSION), R_(AUTH), 0, 0)                                                     \
    M(auth_key, R_(SESSION), R_(AUTH), 0, 0)                                                       \
    M(auth_reply, R_(AUTH), R_(SESSION), 0, 0)                                                     \
    M(rcpt_check, R_(SESSION) | R_(QUEUE), R_(AUTH), 0, 0)                                         \
    M(report_check, R_(QUEUE), R_(AUTH), 0, 0)                                                     \
    M(rcpt_reply, R_(AUTH), R_(SESSION) | R_(QUEUE), 0, 0)                                         \
    M(from_check, R_(SESSION), R_(AUTH), 0, 0)                                                     \
    M(list_check, R_(SESSION), R_(AUTH), 0, 0)                                                     \
    M(from_reply, R_(AUTH), R_(SESSION), 0, 0)                                                     \
    M(relay_grant, R_(AUTH), R_(QUEUE), 0, 0)                                                      \
    M(login_ok, R_(AUTH), R_(MONITOR), 0, 0)                                                       \
    M(seal_grant, R_(AUTH), R_(MONITOR), 0, 0)                                                     \
    M(delivery_grant, R_(AUTH), R_(MONITOR), 0, 0)                                                 \
    M(set_password, R_(ADMIN), R_(AUTH), 0, 0)                                                     \
    M(forget_account, R_(ADMIN), R_(AUTH), 0, 0)                                                   \
    M(client_key_list, R_(ADMIN), R_(AUTH), 0, 0)                                                  \
    M(client_key_get, R_(ADMIN), R_(AUTH), 0, 0)                                                   \
    M(client_key_add, R_(ADMIN), R_(AUTH), 0, 0)                                                   \
    M(client_key_remove, R_(ADMIN), R_(AUTH), 0, 0)                                                \
    M(admin_reply, R_(MONITOR) | R_(AUTH) | R_(QUEUE), R_(ADMIN), 0, 0)                            \
    M(attach, R_(MONITOR), R_(ACCOUNT), 1, 1)                                                      \
    M(account_config, R_(MONITOR), R_(ACCOUNT), 1, 1)                                              \
    M(detached, R_(ACCOUNT), R_(MONITOR), 0, 0)                                                    \
    M(account_idle, R_(ACCOUNT), R_(MONITOR), 0, 0)                                                \
    M(account_task, R_(ADMIN) | R_(MONITOR), R_(MONITOR) | R_(ACCOUNT), 0, 0)                    \
    M(import_open, R_(ADMIN), R_(MONITOR), 0, 0)                                                   \
    M(import_channel, R_(MONITOR), R_(ADMIN), 0, 1)                                                \
    M(import_message, R_(ADMIN), R_(ACCOUNT), 0, 0)                                                \
    M(import_mailbox, R_(ADMIN), R_(ACCOUNT), 0, 0)                                                \
    M(import_batch, R_(ADMIN), R_(ACCOUNT), 1, 1)                                                  \
    M(imported, R_(ACCOUNT), R_(ADMIN), 0, 0)                                                      \
    M(domains_read, R_(ADMIN), R_(MONITOR), 0, 0)                                                  \
    M(domains_text, R_(MONITOR), R_(ADMIN), 0, 1)                                                  \
    M(domains_write, R_(ADMIN), R_(MONITOR), 1, 1)                                                 \
    M(domains_written, R_(MONITOR), R_(ADMIN), 0, 0)                                               \
    M(account_done, R_(ACCOUNT) | R_(MONITOR), R_(MONITOR) | R_(ADMIN), 0, 0)                         \
    M(account_end, R_(MONITOR), R_(ACCOUNT), 0, 0)                                                 \
    M(findings, R_(SESSION), R_(ACCOUNT), 0, 0)                                                    \
    M(offer, R_(SESSION) | R_(QUEUE), R_(ACCOUNT), 1, 1)                                           \
    M(verdict, R_(ACCOUNT) | R_(QUEUE), R_(SESSION) | R_(QUEUE) | R_(ADMIN), 0, 0)                 \
    M(commit, R_(SESSION) | R_(QUEUE), R_(ACCOUNT), 0, 0)                                          \
    M(submit, R_(SESSION) | R_(ADMIN), R_(QUEUE), 0, 0)                                            \
    M(submit_rcpt, R_(SESSION) | R_(ADMIN), R_(QUEUE), 0, 0)                                       \
    M(returned, R_(ACCOUNT), R_(QUEUE), 0, 0)                                                      \
    M(submit_data, R_(SESSION) | R_(ADMIN), R_(QUEUE), 1, 1)                                       \
    M(queue_command, R_(ADMIN), R_(QUEUE), 0, 0)                                                      \
    M(sign, R_(FRONT) | R_(SESSION) | R_(WEB), R_(KEYS), 0, 0)                                      \
    M(signed, R_(KEYS), R_(FRONT) | R_(SESSION) | R_(WEB), 0, 0)                                    \
    M(acme_list, R_(ACME), R_(KEYS), 0, 0)                                                         \
    M(acme_have, R_(KEYS), R_(ACME), 0, 0)                                                         \
    M(acme_key, R_(ACME), R_(KEYS), 0, 0)                                                          \
    M(acme_sign, R_(ACME), R_(KEYS), 0, 0)                                                         \
    M(acme_bind, R_(ACME), R_(KEYS), 0, 0)                                                         \
    M(acme_csr, R_(ACME), R_(KEYS), 0, 0)                                                          \
    M(acme_store, R_(ACME), R_(KEYS), 0, 0)                                                        \
    M(acme_update, R_(ACME), R_(KEYS), 0, 0)                                                       \
    M(acme_verify, R_(ACME), R_(KEYS), 0, 0)                                                       \
    M(acme_made, R_(KEYS), R_(ACME), 0, 0)                                                         \
    M(certificate, R_(KEYS), R_(MONITOR), 0, 0)                                                    \
    M(tls_cert, R_(MONITOR), R_(FRONT) | R_(SESSION_TEMPLATE) | R_(WEB_TEMPLATE), 1, 1)            \
    M(tls_use, R_(MONITOR), R_(FRONT), 0, 0)                                                       \
    M(cert_wanted, R_(FRONT) | R_(WEB), R_(ACME), 0, 0)                                            \
    M(dns_hook, R_(ACME), R_(MONITOR), 0, 0)                                                       \
    M(dns_hooked, R_(MONITOR), R_(ACME), 0, 0)                                                     \
    M(challenge_ask, R_(WEB), R_(ACME), 0, 0)                                                      \
    M(challenge_answer, R_(ACME), R_(WEB), 0, 0)                                                   \
    M(dkim_domain, R_(SESSION) | R_(QUEUE) | R_(ADMIN), R_(DKIM), 0, 0)                            \
    M(dkim_selector, R_(DKIM), R_(SESSION) | R_(QUEUE) | R_(ADMIN), 0, 0)                          \
    M(dkim_sign, R_(SESSION) | R_(QUEUE) | R_(ADMIN), R_(DKIM), 0, 0)                              \
    M(dkim_signed, R_(DKIM), R_(SESSION) | R_(QUEUE) | R_(ADMIN), 0, 0)                            \
    M(report_received, R_(ACCOUNT), R_(ADMIN), 1, 1)                                               \
    M(report_taken, R_(ADMIN), R_(ACCOUNT), 0, 0)                                                  \
    M(dmarc_evaluation, R_(SESSION), R_(ADMIN), 0, 0)                                              \
    M(tls_result, R_(DELIVER) | R_(QUEUE), R_(QUEUE) | R_(ADMIN), 0, 0)                            \
    M(resolve, R_ASKERS, R_(RESOLVE), 0, 0)                                                        \
    M(resolved, R_(RESOLVE), R_ASKERS, 0, 0)                                                       \
    M(dial, R_DIALERS, R_(DIAL), 0, 0)                                                             \
    M(dial_site, R_(WEB), R_(DIAL), 0, 0)                                                          \
    M(dialed, R_(DIAL), R_DIALERS | R_(WEB), 0, 1)                                                 \
    M(fetch_new, R_FETCHERS, R_(MONITOR), 0, 0)                                                    \
    M(fetch_made, R_(MONITOR), R_FETCHERS, 0, 1)                                                   \
    M(fetch_start, R_(MONITOR), R_(FETCH_TEMPLATE), 3, 3)                                          \
    M(web_fetch, R_FETCHERS, R_(FETCH), 0, 1)                                                      \
    M(web_fetched, R_(FETCH), R_FETCHERS, 0, 0)                                                    \
    M(sts_fetch, R_(QUEUE), R_(FETCH), 0, 0)                                                       \
    M(sts_fetched, R_(FETCH), R_(QUEUE), 0, 0)                                                     \
    M(sts_ask, R_(DELIVER), R_(QUEUE), 0, 0)                                                       \
    M(sts_answer, R_(QUEUE), R_(DELIVER), 0, 0)                                                    \
    M(deliver_new, R_(QUEUE), R_(MONITOR), 0, 0)                                                   \
    M(deliver_made, R_(MONITOR), R_(QUEUE), 0, 1)                                                  \
    M(deliver_way, R_(QUEUE), R_(DELIVER), 0, 0)                                                   \
    M(deliver_message, R_(QUEUE), R_(DELIVER), 1, 1)                                               \
    M(deliver_rcpt, R_(QUEUE), R_(DELIVER), 0, 0)                                                  \
    M(deliver_result, R_(DELIVER), R_(QUEUE), 0, 0)                                                \
    M(deliver_end, R_(DELIVER), R_(QUEUE), 0, 0)                                                   \
    M(deliver_noted, R_(QUEUE), R_(DELIVER), 0, 0)                                                 \
    M(deliver_start, R_(MONITOR) | R_(DELIVER_TEMPLATE), R_(DELIVER_TEMPLATE) | R_(DELIVER), 3, 3)

#define IPC_ENUM_(message, from, to, min_fds, max_fds) IPC_##message,
enum ipc_type { IPC_none, IPC_MESSAGES(IPC_ENUM_) IPC_TYPE_COUNT };

#define IPC_DECLARE_(message, from, to, min_fds, max_fds) IPC_DECLARE(message)
IPC_MESSAGES(IPC_DECLARE_)

struct ipc_rule {
    const char *name;
    role_set from, to;
    unsigned min_fds, max_fds;
    /* Decodes and encodes again, for tests: the bytes of a valid message come out the same. */
    bool (*recode)(struct str bytes, struct buf *out, struct err *e);
};

/* The rule of a type; NULL for a number that is no type. */
const struct ipc_rule *ipc_rule_of(unsigned type);
