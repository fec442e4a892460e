/*
 * What admin has others do for whoever runs a command: passwords and keys of clients, work on an account's mail,
 * imports, changes of domains.conf, the queue.
 */
#pragma once

#include "ipc/messages/limits.h"

/* --- admin: passwords and keys of clients ---------------------------------------------------- */

/* admin -> auth: a new password. */
#define ipc_set_password_FIELDS(F)                                                                 \
    F(str, account, IPC_MAX_NAME)                                                                  \
    F(str, password, IPC_MAX_TEXT)
/*
 * admin -> auth: an account is gone; another of its name has another password and other keys. is_anew: also if there is
 * another already, which was written into domains.conf by hand.
 */
#define ipc_forget_account_FIELDS(F)                                                               \
    F(str, account, IPC_MAX_NAME)                                                                  \
    F(u8, is_anew, 1)
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

/* --- admin: an account's mail ---------------------------------------------------------------- */

/* Work on all mail of an account. All but the first are told about in lines. */
enum ipc_task { IPC_TASK_RETRAIN = 0, IPC_TASK_COUNTS = 1, IPC_TASK_SIZES = 2, IPC_TASK_PARSE = 3,
                IPC_TASK_THREADS = 4, IPC_TASK_LAST = 4 };

/* admin -> monitor, and monitor -> account: work on all of its mail, see enum ipc_task. */
#define ipc_account_task_FIELDS(F)                                                                 \
    F(u64, request, 0)                                                                             \
    F(u8, task, IPC_TASK_LAST)                                                                     \
    F(str, account, IPC_MAX_NAME)
/* account -> monitor -> admin: not done yet, but so many messages of so many (0: of how many is not known). */
#define ipc_account_progress_FIELDS(F)                                                             \
    F(u64, request, 0)                                                                             \
    F(u64, n, 0)                                                                                   \
    F(u64, all, 0)
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

/* --- admin: domains.conf --------------------------------------------------------------------- */

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

/* What account_erase led to: there is no mail of it any more; it is an account, and keeps its mail; or it could not be. */
enum ipc_erased { IPC_ERASED = 0, IPC_ERASED_NOT = 1, IPC_ERASED_FAILED = 2, IPC_ERASED_LAST = 2 };

/* admin -> monitor: this account was removed, and its mail is to go; the answer comes when that is so. */
#define ipc_account_erase_FIELDS(F) F(str, account, IPC_MAX_NAME)
/* monitor -> admin: what has become of a removed account's mail, see enum ipc_erased. */
#define ipc_account_erased_FIELDS(F)                                                               \
    F(str, account, IPC_MAX_NAME)                                                                  \
    F(u8, outcome, IPC_ERASED_LAST)

/* --- admin: the queue ------------------------------------------------------------------------ */

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
    IPC_QUEUE_SENDERS, // value: an account; after: a number of a message. A reverse path per line
    IPC_QUEUE_FORGET,  // value: an account that is gone
    IPC_LAST_QUEUE_VERB = IPC_QUEUE_FORGET,
};
#define ipc_queue_command_FIELDS(F)                                                                \
    F(u8, verb, IPC_LAST_QUEUE_VERB)                                                               \
    F(str, filter, 16384)                                                                          \
    F(str, value, 4096)                                                                            \
    F(u64, after, 0)
