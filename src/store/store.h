/*
 * An account's mail: mailboxes, messages, flags, threads, and what changed since when.
 *
 * Changes go through one writer and share transactions: callers on many threads each get their
 * answer when their change has been synced to disk. Reading is done beside it, each thread with a
 * reader of its own. The account process has entered its directory; the file is account.db.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "junk/junk.h"

enum {
    STORE_MAX_MAILBOX_NAME = 500,
    STORE_MAX_KEYWORDS = 100, // of one message
    STORE_MAX_KEYWORD = 100,  // bytes
    STORE_MAX_MAILBOXES = 10000,
};

/* Flags of a copy of a message; other keywords are text. */
enum store_flag {
    FLAG_SEEN = 1 << 0,
    FLAG_ANSWERED = 1 << 1,
    FLAG_FLAGGED = 1 << 2,
    FLAG_DELETED = 1 << 3,
    FLAG_DRAFT = 1 << 4,
    FLAG_FORWARDED = 1 << 5,
    FLAG_JUNK = 1 << 6,
    FLAG_NOTJUNK = 1 << 7,
    FLAG_PHISHING = 1 << 8,
    FLAG_MDNSENT = 1 << 9,
};

struct store_initial_mailbox {
    struct str name, special_use; // special_use such as "Sent", or empty
};

/* The junk filter, and which mailboxes say that their messages are junk or are not. */
struct store_junk {
    bool is_unknown; // not known here: what was learnt stays as it is
    bool learns;     // there is a filter
    struct junk_settings settings;
    bool sets_flags; // by name, besides the mailbox with the special use
    struct str junk, neutral, notjunk; // regular expressions for names in lower case; may be empty
};
struct store_options {
    const struct store_initial_mailbox *initial;
    size_t n_initial;
    uint64_t quota_bytes; // 0: none
    struct store_junk junk;
    bool opens_nothing_else; // than the database: what is being parsed is not noted
};

struct store;
/* Opens or creates account.db in the current directory and takes the next writer epoch. */
struct store *store_open(const struct store_options *o, struct err *e);
void store_close(struct store *st);
uint64_t store_modseq(struct store *st);
/*
 * Erases some of what was expunged and is shown by no session any more, and once a day forgets old
 * history. True when more is left: to be called again after every commit, by one thread.
 */
bool store_tidy(struct store *st);
/*
 * Whether enough has been committed that it should be written to its place in the file: once for each
 * such amount, to be asked by the thread that tidies. store_checkpoint then does it, on any thread,
 * beside everything else; until then the log just grows.
 */
bool store_wants_checkpoint(struct store *st);
MUST_USE bool store_checkpoint(struct err *e);

/*
 * The junk filter learns some of the messages whose flags say something new since it last looked, or
 * forgets them. What is due is kept with the change of the flags. True when more is left; by the thread
 * that tidies.
 */
bool store_learn(struct store *st);
/* Forgets all that was learnt, and makes all messages due that are marked. ERR_DENIED: no filter. */
MUST_USE bool store_retrain(struct store *st, struct err *e);
/* How many messages are due. */
MUST_USE bool store_learn_due(struct store *st, uint64_t *out, struct err *e);

/* An eventfd that is written to after every commit; the caller closes it after unwatching. */
void store_watch(struct store *st, int event_fd);
void store_unwatch(struct store *st, int event_fd);

/* A session that still shows messages as of a modseq: what was expunged later is kept for it. */
struct store_session;
struct store_session *store_session_begin(struct store *st);
void store_session_seen(struct store *st, struct store_session *s, uint64_t modseq);
void store_session_end(struct store *st, struct store_session *s);

/*
 * What happened to mailboxes, for sessions to tell their clients (RFC 9051 6.3.4 to 6.3.8). The last
 * thousand since the opening are kept; by is the session that asked for it, or NULL.
 */
enum store_event_kind { EVENT_CREATED, EVENT_DELETED, EVENT_RENAMED, EVENT_SUBSCRIPTION };
struct store_event {
    enum store_event_kind kind;
    uint64_t modseq, mailbox;
    const struct store_session *by;
    struct str name, old_name, special_use;
    bool exists, is_subscribed; // afterwards
};
typedef void store_event_fn(void *ctx, const struct store_event *event);
/* Calls fn for those after *seen, in order, and sets *seen to the present. */
void store_events(struct store *st, uint64_t *seen, store_event_fn *fn, void *ctx);

/* --- reading ----------------------------------------------------------------------------------- */

struct store_reader;
struct store_reader *store_reader_open(struct err *e);
void store_reader_close(struct store_reader *r);

struct store_mailbox {
    uint64_t id;
    struct str name, special_use;
    uint32_t uidvalidity, uidnext;
    uint64_t modseq; // highest of the mailbox and its messages
    uint64_t total, unseen, unread, deleted, size; // total counts all messages
};
struct store_mailboxes {
    struct store_mailbox *items;
    size_t n, cap;
};
/* ERR_NOT_FOUND when there is none. */
MUST_USE bool store_mailbox_find(struct store_reader *r, struct arena *a, struct str name,
                                 struct store_mailbox *out, struct err *e);
/* Bytes of all messages, and how many there may be; limit 0: any number. */
struct store_quota {
    uint64_t used, limit;
};
MUST_USE bool store_quota_get(struct store *st, struct store_reader *r, struct store_quota *out,
                              struct err *e);
/* Bytes of a mailbox's messages that are marked \Deleted. */
MUST_USE bool store_deleted_bytes(struct store_reader *r, uint64_t mailbox, uint64_t *out,
                                  struct err *e);
/* The modseq of a mailbox by its id, which it keeps when renamed. ERR_NOT_FOUND. */
MUST_USE bool store_mailbox_modseq(struct store_reader *r, uint64_t id, uint64_t *out,
                                   struct err *e);
/* Sorted by name. */
MUST_USE bool store_mailbox_list(struct store_reader *r, struct arena *a,
                                 struct store_mailboxes *out, struct err *e);
struct store_names {
    struct str *items;
    size_t n, cap;
};
MUST_USE bool store_subscriptions(struct store_reader *r, struct arena *a, struct store_names *out,
                                  struct err *e);
MUST_USE bool store_keywords(struct store_reader *r, struct arena *a, uint64_t mailbox,
                             struct store_names *out, struct err *e);

/* A message as a selected mailbox shows it. keywords: separated by spaces, sorted. */
struct store_row {
    uint32_t uid, flags;
    uint64_t email, modseq, size;
    int64_t received_unix;
    struct str keywords; // valid during the callback
};
typedef bool store_row_fn(void *ctx, const struct store_row *row);
typedef bool store_uid_fn(void *ctx, uint32_t uid);
/* All messages of a mailbox whose modseq is above since, by uid. */
MUST_USE bool store_rows(struct store_reader *r, uint64_t mailbox, uint64_t since,
                         store_row_fn *fn, void *ctx, struct err *e);
/* A message that is no longer in a mailbox, and the modseq of its removal. */
struct store_gone {
    uint32_t uid;
    uint64_t email, modseq;
};
typedef bool store_gone_fn(void *ctx, const struct store_gone *gone);
/* What was expunged after since, by modseq. ERR_NOT_FOUND: history does not reach that far back. */
MUST_USE bool store_expunged(struct store_reader *r, uint64_t mailbox, uint64_t since,
                             store_gone_fn *fn, void *ctx, struct err *e);
/* Size and arrival of an email that may be dead; 0 when it is erased. */
MUST_USE bool store_email_size(struct store_reader *r, uint64_t email, uint64_t *size,
                               int64_t *received_unix, struct err *e);
/* The sequence number of the first message without \Seen; 0 when there is none. */
MUST_USE bool store_first_unseen(struct store_reader *r, uint64_t mailbox, uint32_t *out,
                                 struct err *e);
/* For a consistent picture of several reads. */
MUST_USE bool store_read_begin(struct store_reader *r, struct err *e);
void store_read_end(struct store_reader *r);
MUST_USE bool store_read_modseq(struct store_reader *r, uint64_t *out, struct err *e);

struct store_email {
    uint64_t size;
    int64_t received_unix, sent_unix;
    struct str envelope, bodystructure, tree; // ready to send; encoded part tree
};
MUST_USE bool store_email_get(struct store_reader *r, struct arena *a, uint64_t email,
                              struct store_email *out, struct err *e);
/*
 * Many emails one after the other, with one statement and without copies: the texts of the one got
 * last are valid until the next get or rest. rest also lets go of the picture of the file that a
 * reader holds: before waiting for somebody.
 */
enum { STORE_ENVELOPE = 1, STORE_BODYSTRUCTURE = 2, STORE_TREE = 4, STORE_PREVIEW = 8 };
struct store_text {
    uint64_t thread;
    struct str envelope, bodystructure, tree, preview; // those that were wanted
};
struct store_texts;
struct store_texts *store_texts_open(struct store_reader *r, unsigned wanted, struct err *e);
MUST_USE bool store_texts_get(struct store_texts *t, uint64_t email, struct store_text *out,
                              struct err *e);
void store_texts_rest(struct store_texts *t);
void store_texts_close(struct store_texts *t);
MUST_USE bool store_thread_of(struct store_reader *r, uint64_t email, uint64_t *out, struct err *e);
/* When a message came into its mailbox; false, without an error, when it is there no more. */
MUST_USE bool store_saved_unix(struct store_reader *r, uint64_t mailbox, uint32_t uid,
                               int64_t *out, struct err *e);

/*
 * The fields that are searched for most, without the message: store_header_kind tells whether a field
 * is among them (-1: no), store_header_next takes the next text of that kind, decoded or not. exists:
 * false for a message that has none kept, whose own header has to be looked at.
 */
typedef void store_header_fn(void *ctx, struct str fields); // valid during the callback
MUST_USE bool store_header_read(struct store_reader *r, uint64_t email, store_header_fn *fn,
                                void *ctx, bool *exists, struct err *e);
int store_header_kind(struct str name);
bool store_header_next(struct str *fields, int kind, struct str *out);

typedef bool store_bytes_fn(void *ctx, struct str bytes);
/* Bytes [offset, offset + n) of the message, in pieces; less when it is shorter. */
MUST_USE bool store_email_read(struct store_reader *r, uint64_t email, uint64_t offset, uint64_t n,
                               store_bytes_fn *fn, void *ctx, struct err *e);

/*
 * What the junk filter says of a message. ERR_NOT_FOUND when there is none or it learnt nothing. *is_open:
 * it could be read, so that an error is about this message.
 */
MUST_USE bool store_junk_classify(struct store *st, struct store_reader *r, struct arena *a,
                                  const struct junk_message *m, bool *is_open, struct junk_result *out,
                                  struct err *e);

/* --- changing ----------------------------------------------------------------------------------- */

/* The canonical form of a mailbox name (Inbox in any case); ERR_SYNTAX when it may not exist. */
MUST_USE bool store_mailbox_name(struct arena *a, struct str name, struct str *out, struct err *e);

/* In these by is the session to which the change is no news, or NULL. */
/* Missing parents are made too; all are subscribed. ERR_CONFLICT when it exists. */
MUST_USE bool store_mailbox_create(struct store *st, const struct store_session *by,
                                   struct str name, struct str special_use, struct err *e);
/* ERR_NOT_FOUND; ERR_CONFLICT when it has children; ERR_DENIED for Inbox. */
MUST_USE bool store_mailbox_delete(struct store *st, const struct store_session *by,
                                   struct str name, struct err *e);
/*
 * Children move along; from Inbox only its messages do. Subscriptions stay with the names.
 * ERR_NOT_FOUND, ERR_CONFLICT.
 */
MUST_USE bool store_mailbox_rename(struct store *st, const struct store_session *by,
                                   struct str from, struct str to, struct err *e);
/*
 * Gives a mailbox, or all (name empty), one new UIDVALIDITY, at least as high as not_below: clients
 * forget what they knew of its messages. ERR_NOT_FOUND.
 */
MUST_USE bool store_renew_uidvalidity(struct store *st, struct str name, uint32_t not_below,
                                      uint32_t *out, struct err *e);
/* ERR_NOT_FOUND when a name to unsubscribe is neither subscribed nor a mailbox. */
MUST_USE bool store_subscribe(struct store *st, const struct store_session *by, struct str name,
                              bool on, struct err *e);

struct store_origin;
/* A message to add: prefix and then size bytes of fd from offset. */
struct store_new {
    struct str prefix;
    int fd;
    uint64_t offset, size;
    uint32_t flags;
    struct str keywords; // canonical, see store_keyword_add
    int64_t received_unix;
    struct str delivery_id; // empty: none. A second message with the same one is not stored.
    struct str reverse_path, hello, remote_ip;
    const struct store_origin *origin; // NULL: it did not come from outside (store/reputation.h)
    struct str rejects; // unless empty: what has its Message-ID is removed from this mailbox
    uint32_t uid; // it had elsewhere, and keeps, with its flags as they are (store_adopt); 0: the next
};
struct store_added {
    uint64_t email;
    uint32_t uid, uidvalidity;
};
/*
 * Adds n messages to a mailbox, all or none. create: the mailbox is made when it is missing.
 * ERR_NOT_FOUND for the mailbox; ERR_LIMIT over quota; ERR_TEMPORARY when the disk is full.
 */
MUST_USE bool store_add(struct store *st, struct str mailbox, bool create,
                        const struct store_new *messages, size_t n, struct store_added *out,
                        struct err *e);

/*
 * Around work on the bytes of a message before it is stored: when that ends the process twice,
 * is_opaque says so the third time, and the message is not to be looked at.
 */
struct suspect;
struct suspect *store_look_begin(struct store *st, const struct store_new *m, bool *is_opaque);
void store_look_end(struct store *st, struct suspect *s);

/*
 * Adds one message and expunges another, both or neither. As store_add; ERR_CONFLICT when the old one
 * is gone.
 */
MUST_USE bool store_replace(struct store *st, uint64_t old_mailbox, uint32_t old_uid,
                            struct str mailbox, const struct store_new *message,
                            struct store_added *out, struct err *e);

/*
 * Mail of another server under the names and numbers that clients know it by. Before the messages: the
 * mailbox is made, with parents, and gets this UIDVALIDITY; ERR_CONFLICT when there is one with mail under
 * another UIDVALIDITY. Then store_add with uids, ascending. At the end uidnext, when it is higher.
 */
struct store_adopted {
    struct str name, special_use;
    uint32_t uidvalidity, uidnext;
};
MUST_USE bool store_adopt_mailbox(struct store *st, const struct store_adopted *m, struct err *e);
MUST_USE bool store_adopt_end(struct store *st, const struct store_adopted *m, struct err *e);
/* No modseq or UIDVALIDITY that was given there is given again here. */
MUST_USE bool store_adopt_counters(struct store *st, uint64_t modseq, uint32_t next_uidvalidity,
                                   struct err *e);

/* A message that flags are changed of, with the modseq it had, and the one it has by this change. */
typedef void store_found_fn(void *ctx, uint32_t uid, uint64_t before, uint64_t after);
enum store_flags_op { FLAGS_SET, FLAGS_ADD, FLAGS_REMOVE };
/* Uid ranges, sorted and merged. */
struct store_range {
    uint32_t first, last;
};
struct store_flags_change {
    uint64_t mailbox;
    const struct store_range *ranges;
    size_t n_ranges;
    enum store_flags_op op;
    uint32_t flags;
    struct str keywords;
    bool has_unchanged_since;
    uint64_t unchanged_since;
    store_found_fn *found; // unless NULL: called for each that is there
    void *found_ctx;
};
/* failed is called, by uid, for those changed since. */
MUST_USE bool store_flags(struct store *st, const struct store_flags_change *c,
                          store_uid_fn *failed, void *ctx, struct err *e);

/* Removes messages of the ranges; with only_deleted those with \Deleted. */
MUST_USE bool store_expunge(struct store *st, uint64_t mailbox, const struct store_range *ranges,
                            size_t n_ranges, bool only_deleted, struct err *e);

typedef bool store_copied_fn(void *ctx, uint32_t from_uid, uint32_t to_uid);
/* Copies or moves to a mailbox by name; the email keeps its id. ERR_NOT_FOUND for the target. */
MUST_USE bool store_copy(struct store *st, uint64_t mailbox, const struct store_range *ranges,
                         size_t n_ranges, struct str to, bool is_move, uint32_t *uidvalidity,
                         store_copied_fn *fn, void *ctx, struct err *e);

/* --- flags as text ------------------------------------------------------------------------------ */

/* A flag or keyword as the protocol writes it ("\Seen", "$Junk", "work"). */
MUST_USE bool store_flag_parse(struct arena *a, struct str word, uint32_t *flags,
                               struct store_names *keywords, struct err *e);
/* Sorted, unique, in one text. */
struct str store_keywords_join(struct arena *a, const struct store_names *keywords);
/* "\Seen \Answered $Junk work" */
void store_flags_put(struct buf *out, uint32_t flags, struct str keywords);

/* --- checking ----------------------------------------------------------------------------------- */

/* All invariants of doc/store.md; problems as lines. False only when it could not be checked. */
enum store_check { STORE_CHECK_ALL, STORE_CHECK_NO_SIZES }; // whether messages are as long as is written of them
MUST_USE bool store_check(struct store_reader *r, enum store_check what, struct buf *problems, struct err *e);

/*
 * Corrections of what is counted, numbered or derived; told gets a line for each that was needed. With
 * REPAIR_ALL all that store_check finds, as far as the rest of the database says how it must be: what
 * lost its place comes into the mailbox "Recovered". Bytes that are damaged stay so, and are told.
 * Work on each message is done in batches, between which others have their turn; what ends before the end is done by
 * repairing again.
 */
enum store_repair {
    REPAIR_COUNTS,  // of mailboxes, threads in them, and used space
    REPAIR_UIDS,    // UIDNEXT and the next UIDVALIDITY
    REPAIR_SIZES,   // of messages, which are parsed anew then; and counts
    REPAIR_PARSE,   // all that is kept of the messages' structure
    REPAIR_PARSE_MISSING, // the same of those messages of which there is none
    REPAIR_THREADS, // which thread a message is in; all threads are new ones
    REPAIR_ALL,
};
/* Called between batches, if it is not NULL: so many messages of so many are done; all is 0 when that is not known. */
typedef void store_progress_fn(uint64_t n, uint64_t all);
MUST_USE bool store_repair(struct store *st, enum store_repair what, store_progress_fn *progress, struct buf *told,
                           struct err *e);
/*
 * UIDs from 1 on in a mailbox, or all (mailbox 0), and a new UIDVALIDITY for all. What is expunged is
 * forgotten. No session may have a mailbox selected.
 */
MUST_USE bool store_reassign_uids(struct store *st, uint64_t mailbox, struct buf *told, struct err *e);
