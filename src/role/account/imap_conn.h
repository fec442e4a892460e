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
    uint64_t modseq;               // of the account: it knows everything up to this
    uint64_t flags_modseq;         // and the flags of its messages up to this
    uint64_t highest;              // the mailbox's then: HIGHESTMODSEQ
    bool is_behind;                // flags were told that are newer than what is still held back
    bool has_unknown;              // some rows' flags are to be read before they are told
    bool is_read_only;
    bool is_loaded;        // rows are there: read when first needed, SELECT does without
    struct view_row *rows; // by uid
    size_t n, cap;
    struct arena a; // keywords and name
    struct map keywords;
    struct view *next; // among those that nobody uses
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
    unsigned result; // of the command in progress: METRIC_IMAP_..., for the metrics
    bool is_handed; // parked: the stream is front's business again
    bool has_condstore, has_utf8, has_qresync, has_rev2, has_utf8_accept;
    uint64_t told_modseq; // what happened to mailboxes has been told up to this
    struct view *view; // NULL: nothing selected
    uint32_t *saved;   // SEARCHRES: uids, heap
    size_t n_saved;
    enum imap_park { PARK_NONE, PARK_ASKED, PARK_YES, PARK_NO } park; // under account.lock

    // Of the running command.
    struct arena a;
    struct str tag, command;
    bool is_listing;   // of LIST and LSUB: news of mailboxes would look like answers
    bool used_numbers; // sequence numbers in UID SEARCH: they stay until the reply (RFC 7162 3.2.10)
    struct err e;
    struct imap_conn *next;
};

/* --- imap.c ---------------------------------------------------------------------------------------- */

/* Tagged replies: "OK FETCH done", "NO [code] FETCH text", "BAD ...". */
void imap_ok(struct imap_conn *c, struct str code_and_text);
/* An object's id (RFC 8474, store-for-jmap.md 2.1): b mailbox, m email, t thread. */
void imap_id_put(struct buf *out, char type, uint64_t number);
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

/* --- view.c ---------------------------------------------------------------------------------------- */

/* In a read transaction: selects a mailbox. NULL with *e when it cannot. */
struct view *view_open(struct store_reader *r, const struct store_mailbox *m, struct err *e);
/* As it was known at an earlier time (resuming a parked connection). */
struct view *view_open_at(uint64_t mailbox, struct str name, uint32_t uidvalidity, uint32_t uidnext,
                          uint64_t modseq, uint64_t highest);
/* Reads the rows unless they are there. */
MUST_USE bool view_load(struct view *v, struct store_reader *r, struct err *e);
/* The same inside a read transaction of the caller. */
MUST_USE bool view_load_within(struct view *v, struct store_reader *r, struct err *e);
/* No longer needed: kept for a while, since the same mailbox is often selected again, or freed. */
void view_give(struct view *v);
void view_free(struct view *v);
/* Position of a uid, or of the first above it; *found tells which. */
size_t view_find(const struct view *v, uint32_t uid, bool *found);

enum { VIEW_CONDSTORE = 1, VIEW_QRESYNC = 2 }; // styles of telling: RFC 7162 3.2.3, 3.2.4
enum view_sync { SYNC_ALL, SYNC_NO_EXPUNGE };
/*
 * Tells the client what changed. SYNC_NO_EXPUNGE: sequence numbers stay (RFC 9051 7.5.1), so flags
 * alone are told.
 */
void imap_sync(struct imap_conn *c, enum view_sync how);
struct view_set;
/* After flags of own rows were changed: reads them, and tells what others changed elsewhere. */
MUST_USE bool imap_refresh(struct imap_conn *c, const struct view_set *own, struct err *e);

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
/* " FLAGS (...)" and, if wanted, " MODSEQ (...)"; and that alone. */
void imap_flags_put(struct buf *out, const struct view_row *row, bool has_modseq);
void imap_modseq_put(struct buf *out, const struct view_row *row);
/* "* 3 FETCH (UID 7", of the row at that place. */
void imap_fetch_begin(struct buf *out, size_t at, const struct view_row *row);
/* "* 3 FETCH (UID 7 FLAGS (...) ...)" as a line. */
void imap_row_put(struct buf *out, const struct view *v, size_t at, bool has_modseq);
/* "* VANISHED (EARLIER) 1:5,7" in lines of bounded length; kind is "" or "(EARLIER) ". */
struct imap_vanished {
    struct buf *out;
    struct str kind;
    size_t n_bytes; // of the set in the current line
};
void imap_vanished_range_put(struct imap_vanished *v, uint32_t first, uint32_t last);
void imap_vanished_end(struct imap_vanished *v);
/* Of sorted uids. */
void imap_vanished_put(struct buf *out, struct str kind, const uint32_t *uids, size_t n);

/* --- imap_events.c --------------------------------------------------------------------------------- */

/* What happened to mailboxes, as untagged LIST. */
void imap_events_put(struct imap_conn *c);
/* The same after a CREATE of a name that was not in its canonical form: asked is that form. */
void imap_created_put(struct imap_conn *c, struct str asked, struct str name);

/* --- imap_resync.c --------------------------------------------------------------------------------- */

/* A client that asks for modseqs in any way is told them from then on (RFC 7162 3.1). */
void imap_enable_condstore(struct imap_conn *c);
/* The answer to QRESYNC of SELECT (RFC 7162 3.2.5). False with *e. */
MUST_USE bool imap_resync(struct imap_conn *c, const struct imap_select *s, struct err *e);
/* Whether that will look at messages, which then are of the same moment as the rest of SELECT. */
bool imap_resync_needs_rows(const struct view *v, const struct imap_select *s);
/* "VANISHED (EARLIER)" for the uids of a set, after a modseq (RFC 7162 3.2.6). */
MUST_USE bool imap_vanished_since(struct imap_conn *c, const struct imap_set *known,
                                  uint64_t since, struct err *e);

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
