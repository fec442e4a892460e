/*
 * What the monitor says to the roles that it starts, and they to it: how each begins and ends, channels between
 * them, and the forks of templates.
 */
#pragma once

#include "crypto/received_id.h"
#include "ipc/messages/limits.h"
#include "ipc/role.h"
#include "policy/srs.h"

/* --- between monitor and every role it starts ------------------------------------------------- */

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

/* --- config ----------------------------------------------------------------------------------- */

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

/* --- session -> monitor ----------------------------------------------------------------------- */

/* The services a session, an account or a web process may ask the monitor for. */
enum ipc_service { IPC_SERVICE_AUTH = 1, IPC_SERVICE_QUEUE = 2, IPC_SERVICE_KEYS = 3,
                   IPC_SERVICE_RESOLVE = 4, IPC_SERVICE_ADMIN = 5, IPC_SERVICE_DKIM = 6,
                   IPC_SERVICE_ACME = 7, IPC_SERVICE_DIAL = 8 };

/* A channel to a service, granted when first asked for. Also account -> monitor, for admin. */
#define ipc_grant_FIELDS(F) F(u8, service, IPC_SERVICE_DIAL)
/* A channel for one delivery that auth granted, by its number. Also queue -> monitor. */
#define ipc_deliver_open_FIELDS(F) F(u32, grant, 0)
/*
 * monitor -> asker: the channel, or no descriptor and a reason. grant: as in deliver_open. account: for queue, the same number for
 * the same process of an account, whose it need not know.
 */
#define ipc_granted_FIELDS(F)                                                                      \
    F(u32, grant, 0)                                                                               \
    F(u64, account, 0)                                                                             \
    F(str, reason, IPC_MAX_TEXT)
/*
 * After a login: the stream, the tag to answer and the unread input go to the account. The answer
 * is `granted`: without a reason it is done and the session ends.
 */
#define ipc_hand_over_FIELDS(F)                                                                    \
    F(str, tag, IPC_MAX_TAG)                                                                       \
    F(str, unread, IPC_MAX_UNREAD)
