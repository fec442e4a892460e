/*
 * A logged-in IMAP connection, for the files that implement its commands.
 */
#pragma once

#include "base/map.h"
#include "role/account/account.h"

/* A message of the selected mailbox as the client knows it. */
struct view_row {
    uint32_t uid, flags;
    uint64_t email, modseq, size;
    int64_t received_unix;
    struct str keywords; // interned in the view
};

/* The selected mailbox as the client knows it: sequence numbers are positions in rows. */
struct view {
    uint64_t mailbox;
    struct str name;
    uint32_t uidvalidity, uidnext; // uidnext: the first uid the client has not been told of
    uint64_t modseq;               // flags and new messages are as of this
    uint64_t expunge_modseq;       // and expunges as of this
    bool is_read_only;
    struct view_row *rows; // by uid
    size_t n, cap;
    struct arena a; // keywords and name
    struct map keywords;
};

struct imap_conn {
    uint64_t conn;
    struct str login, remote; // in arena
    struct arena arena;       // of the connection
    struct stream stream;
    struct store_reader *reader;
    struct store_session *session; // keeps expunged messages that the client still sees
    int wake_fd;                   // commits, and the server's stop
    struct imap_input input;
    struct buf in, out;
    bool is_ending;
    bool is_handed; // parked: the stream is front's business again
    bool has_condstore, has_utf8;
    struct view *view; // NULL: nothing selected
    uint32_t *saved;   // SEARCHRES: uids, heap
    size_t n_saved;
    enum { PARK_NONE, PARK_ASKED, PARK_YES, PARK_NO } park; // under account.lock

    // Of the running command.
    struct arena a;
    struct str tag, command;
    struct err e;
    struct imap_conn *next;
};

/* --- imap.c ---------------------------------------------------------------------------------------- */

/* Tagged replies: "OK FETCH done", "NO [code] FETCH text", "BAD ...". */
void imap_ok(struct imap_conn *c, struct str code_and_text);
void imap_no(struct imap_conn *c, const char *code, struct str text);
void imap_bad(struct imap_conn *c, struct str text);
/* NO with the kind and text of an error of the store; missing: the code for ERR_NOT_FOUND. */
void imap_store_failed(struct imap_conn *c, const struct err *e, const char *missing);
/* Writes what is waiting when it is much, or in any case; false when the client is gone. */
bool imap_flush(struct imap_conn *c, bool is_forced);
/* Waits for input, at most timeout_ms. */
enum imap_wait { IMAP_WAIT_INPUT, IMAP_WAIT_CHANGE, IMAP_WAIT_STOP, IMAP_WAIT_TIMEOUT,
                 IMAP_WAIT_GONE };
enum imap_wait imap_wait(struct imap_conn *c, int timeout_ms);
bool imap_read_more(struct imap_conn *c, int timeout_ms);
void imap_free(struct imap_conn *c);

/* --- view.c ---------------------------------------------------------------------------------------- */

/* Selects a mailbox; NULL with *e when it cannot. */
struct view *view_open(struct store_reader *r, const struct store_mailbox *m, struct err *e);
/* As it was known at an earlier time (resuming a parked connection). */
struct view *view_open_at(struct store_reader *r, uint64_t mailbox, struct str name,
                          uint32_t uidvalidity, uint32_t uidnext, uint64_t modseq, struct err *e);
void view_free(struct view *v);
/* Position of a uid, or of the first above it; *found tells which. */
size_t view_find(const struct view *v, uint32_t uid, bool *found);

enum view_sync { SYNC_ALL, SYNC_NO_EXPUNGE, SYNC_QUIET };
/*
 * Brings the view up to date and writes the untagged lines to out. SYNC_NO_EXPUNGE: sequence numbers
 * stay (RFC 9051 7.5.1). SYNC_QUIET: flags only, and no lines.
 */
MUST_USE bool view_sync(struct view *v, struct store_reader *r, enum view_sync how,
                        bool has_condstore, struct buf *out, struct err *e);
/* For the commands: syncs the connection's view. */
void imap_sync(struct imap_conn *c, enum view_sync how);

/* Rows that a set names, as a sorted list of positions. */
struct view_set {
    uint32_t *at;
    size_t n, cap;
};
/* ERR_SYNTAX for a sequence number that does not exist, when is_uid is false. */
MUST_USE bool view_resolve(struct imap_conn *c, const struct imap_set *set, bool is_uid,
                           struct view_set *out, struct err *e);
/* Their uids as ranges for the store. */
void view_ranges(struct arena *a, const struct view *v, const struct view_set *set,
                 struct store_range **out, size_t *n);
/* "1:5,7" of sorted uids. */
void imap_uids_put(struct buf *out, const uint32_t *uids, size_t n);
/* " FLAGS (...)" and, if wanted, " MODSEQ (...)". */
void imap_flags_put(struct buf *out, const struct view_row *row, bool has_modseq);

/* --- the commands ---------------------------------------------------------------------------------- */

typedef void imap_command_fn(struct imap_conn *c, struct imap_parser *p);
imap_command_fn cmd_select, cmd_examine, cmd_create, cmd_delete, cmd_rename, cmd_subscribe,
    cmd_unsubscribe, cmd_list, cmd_lsub, cmd_namespace, cmd_status, cmd_close, cmd_unselect;
void cmd_fetch(struct imap_conn *c, struct imap_parser *p, bool is_uid);
void cmd_search(struct imap_conn *c, struct imap_parser *p, bool is_uid);
void cmd_store(struct imap_conn *c, struct imap_parser *p, bool is_uid);
void cmd_copy(struct imap_conn *c, struct imap_parser *p, bool is_uid);
void cmd_move(struct imap_conn *c, struct imap_parser *p, bool is_uid);
void cmd_expunge(struct imap_conn *c, struct imap_parser *p, bool is_uid);
/* Flag words as the store wants them. False after a reply. */
MUST_USE bool imap_store_flags(struct imap_conn *c, const struct imap_words *words, uint32_t *flags,
                               struct str *keywords);
/* The input stands before the first message literal. */
void cmd_append(struct imap_conn *c);
imap_command_fn cmd_idle, cmd_getquota, cmd_getquotaroot;
/* Bytes of \Deleted messages, for STATUS (RFC 9208 4.1.4); 0 when they cannot be counted. */
uint64_t imap_deleted_storage(struct imap_conn *c, uint64_t mailbox);
/* Continues to idle on a connection that was parked. */
void idle_resume(struct imap_conn *c, struct str state);
void imap_unselect(struct imap_conn *c);
