/*
 * What the files of the store share. The writer's handle is used by one job at a time.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "db/db.h"
#include "message/mime.h"
#include "store/store.h"

enum { MAX_WATCHERS = 1024, MAX_EVENTS = 1000 };

typedef bool job_fn(struct store *st, void *ctx, struct err *e);

struct job {
    job_fn *fn;
    void *ctx;
    struct err *e;
    bool is_ok, is_done;
    struct job *next;
};

struct store_session {
    uint64_t seen;
    struct store_session *next;
};

/* What a job changes in the row of a mailbox: written once, at its end. */
struct mailbox_change {
    uint64_t id, uidnext; // uidnext 0: not used
    int64_t total, unseen, unread, deleted, size, threads, unread_threads;
    enum junk_rule { RULE_UNKNOWN, RULE_NONE, RULE_JUNK, RULE_NEUTRAL, RULE_NOTJUNK } junk;
};

/* Types of objects that a job touched (store-for-jmap.md 2.3). */
enum { TOUCHED_EMAIL = 1, TOUCHED_MAILBOX = 2, TOUCHED_THREAD = 4 };

struct store {
    struct db *db;
    uint64_t quota_bytes;
    struct junk_filter *junk;
    struct suspect *suspects; // shared with those who come after us; NULL when that failed
    uint64_t writer; // our epoch; another one in the file means that we are no longer the writer

    pthread_mutex_t lock; // of what follows
    pthread_cond_t done;
    struct job *pending, **pending_end;
    bool is_committing;
    int watchers[MAX_WATCHERS];
    size_t n_watchers;
    struct store_session *sessions;
    uint64_t modseq; // committed
    // Emails that died with the first modseq may wait to be erased; those up to the second are.
    uint64_t newest_dead, erased_upto;
    struct store_event *events; // the oldest at n_events % MAX_EVENTS once full; texts on the heap
    size_t n_events;            // ever

    // Of the job that runs.
    uint64_t job_modseq; // 0 until the job first asks for one
    struct mailbox_change *changes; // heap
    size_t n_changes, cap_changes;
    unsigned touched;
    uint64_t threads_after; // a thread with this id or a lower one gets no more messages
    bool job_made_due;
    const struct store_session *job_by;
    struct arena event_arena; // of the jobs of one transaction
    struct store_event *job_events;
    size_t n_job_events, cap_job_events;

    // Of the thread that tidies.
    int64_t tidied_day;
    unsigned checkpointed; // pages in the log when a checkpoint was last wanted
    atomic_bool has_due; // messages wait to be learnt
};

struct store_reader {
    struct db *db;
};

/* Runs fn in a transaction, together with what other threads have waiting; true when synced. */
bool store_write(struct store *st, job_fn *fn, void *ctx, struct err *e);

/* The modseq of the running job: one for all that it changes. */
bool job_modseq(struct store *st, uint64_t *out, struct err *e);
/* For the sessions, when the transaction is committed. */
bool note_event(struct store *st, struct store_event event, struct err *e);
/* Under the lock: after the commit; when the transaction is over; at the end. */
void publish_events(struct store *st);
void forget_job_events(struct store *st);
void free_events(struct store *st);
/* Notes that objects of this type changed. */
static inline void touch(struct store *st, unsigned type)
{
    st->touched |= type;
}
/* At the end of a job: what it changed in the rows of mailboxes. */
bool write_mailbox_changes(struct store *st, struct err *e);

/* Around the function of a job. */
void job_begin(struct store *st);
bool job_end(struct store *st, struct err *e);

struct writer_mailbox {
    uint64_t id;
    uint32_t uidvalidity;
    bool is_sent; // has the special use Sent
};
bool writer_find_mailbox(struct store *st, struct str name, struct writer_mailbox *out,
                         struct err *e);
/* With parents, subscribed; for deliveries and CREATE. */
bool writer_create_mailbox(struct store *st, struct str name, struct str special_use,
                           struct writer_mailbox *out, struct err *e);

/* A copy of an email in a mailbox. */
struct copy {
    uint64_t email, thread, modseq, size;
    int64_t received_unix;
    uint32_t uid, flags;
    struct str keywords;
    bool is_ruled; // its flags are those that the mailbox it goes to asks for
    uint32_t wanted_uid; // that it gets there; 0: the next
};
/* Calls step for each copy in the ranges, by uid; it may remove the copy. a is reset between. */
typedef bool step_fn(struct store *st, void *ctx, struct arena *a, const struct copy *c,
                     struct err *e);
bool each_copy(struct store *st, uint64_t mailbox, const struct store_range *ranges, size_t n,
               step_fn *step, void *ctx, struct err *e);
/* Whom a message that is copied to where sent ones lie was written to (reputation.c). */
bool note_recipients_of(struct store *st, struct arena *a, uint64_t email, int64_t sent_unix,
                        struct err *e);
/* Another copy with these flags: uid, counts, keywords, thread. */
bool add_placement(struct store *st, uint64_t mailbox, const struct copy *c, uint32_t *uid,
                   struct err *e);
/* The email is in another thread now, with all its copies; unless it is in that one already. */
bool move_to_thread(struct store *st, uint64_t email, uint64_t thread, struct err *e);
/* Expunges one copy, with its tombstone. */
bool remove_copy(struct store *st, uint64_t mailbox, const struct copy *c, struct err *e);
/* The same by uid; false, without an error, when it is not there. */
bool remove_placement(struct store *st, uint64_t mailbox, uint32_t uid, struct err *e);

/* A message as parsed before its transaction. */
struct parsed {
    struct part *root;
    struct str envelope, bodystructure, tree, header;
    struct str message_id, subject_base, preview;
    bool is_reply, is_dsn, has_attachment, has_sent;
    int64_t sent_unix;
    uint64_t size;
};
/* header.c: p NULL when the header is too long for it. */
void header_summary(struct arena *a, const struct store_new *m, const struct part *root,
                    struct str *out);
bool insert_header(struct store *st, uint64_t email, struct str fields, struct err *e);

bool parse_message(struct store *st, struct arena *a, const struct store_new *m,
                   struct parsed *out, struct err *e);

/* reputation.c: how the email came; its copies have other flags together now; it leaves a mailbox. */
bool origin_add(struct store *st, uint64_t email, uint64_t mailbox, const struct store_new *m,
                struct err *e);
bool origin_judge(struct store *st, uint64_t email, uint32_t flags, bool is_dead, struct err *e);
/* Before a copy is copied or moved: it may change the flags that the new one gets, which are ruled. */
bool origin_moved(struct store *st, uint64_t from, uint64_t to, bool is_move, struct copy *c,
                  struct err *e);
/* Those of Rejects with this Message-ID go: the message has been accepted meanwhile. */
bool drop_rejects_like(struct store *st, struct str rejects, struct str message_id, uint64_t except,
                       struct err *e);
/* Whether a refused message is kept in this mailbox; unless keep_all, old ones make room. */
bool reject_wanted(struct store *st, uint64_t mailbox, bool keep_all, struct str message_id,
                   struct str digest, bool *out, struct err *e);
/* The user has sent a message with this envelope. */
bool note_recipients(struct store *st, struct arena *a, const struct envelope *env,
                     int64_t sent_unix, struct err *e);

/* learn.c */
MUST_USE bool filter_open(struct store *st, const struct store_junk *o, struct err *e);
void filter_close(struct store *st);
/* In the transaction of the opening: begins anew when the settings are others than before. */
bool filter_begin(struct store *st, struct err *e);
/* Problems of what was learnt, by learning all of it again. Takes as long as that. */
bool learn_check(struct store_reader *r, struct buf *problems, struct err *e);
/* The flags of a message that comes into a mailbox. */
bool junk_flags(struct store *st, struct mailbox_change *m, uint32_t *flags, struct err *e);
/* Notes that an email is learnt otherwise than its flags say, if so. */
bool note_due(struct store *st, uint64_t email, uint32_t flags, uint64_t learnt, struct err *e);

/* suspect.c */
void suspects_open(struct store *st);
void suspects_close(struct store *st);
/* As store_look_begin, for an email that is read again. */
struct suspect *suspect_begin_email(struct store *st, uint64_t email, bool *is_opaque);
/* Called while a message counts as being parsed. */
extern void (*store_parsing_for_test)(void);
/* mox-imap-store-cli-config.md 2.8 and store-for-jmap.md 2.1. */
bool assign_thread(struct store *st, struct arena *a, const struct parsed *p,
                   int64_t received_unix, uint64_t *thread, struct err *e);
bool remember_references(struct store *st, struct arena *a, const struct parsed *p,
                         uint64_t thread, int64_t received_unix, struct err *e);

/* A hash that is the same in every process, for the index on message ids. */
uint64_t message_id_hash(struct str id);
