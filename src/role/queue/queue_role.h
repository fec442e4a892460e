/*
 * What the files of the queue process share.
 */
#pragma once

#include "queue/queue.h"
#include "queue/sts.h"
#include "role/service.h"

enum {
    QUEUE_MAX_BATCH = 50, // entries for one destination that are handed out at once
};

struct queue_role {
    struct role_start start;
    struct queue *queue;
    bool has_work; // entries may be due
};
extern struct queue_role queue_role; // main.c

/* Commits, and tells those who wait for it. False: nothing since the last commit is there. */
bool queue_role_commit(void);
/* Whether an entry may go to another server; else it has ended, with queue_result. */
bool queue_role_may_send(const struct queue_entry *entry);

/* --- submit.c: what sessions bring -------------------------------------------------------------- */

void submit_opened(struct service_peer *p);
void submit_closed(struct service_peer *p);
MUST_USE bool submit_message(struct service_peer *p, struct packet *m, struct err *e);
/* Whether somebody waits for a commit. */
bool submit_is_waiting(void);
/* What has gathered was committed, or was not. */
void submit_committed(bool is_ok, const struct err *why);

/* --- fromid.c: return paths that tell which recipient a report is about --------------------------- */

/* Takes over the logins that want them, from a compiled configuration. */
MUST_USE bool fromid_use(struct str config, struct err *e);
/* Why a message is not taken; code 0: it is. */
struct fromid_refusal {
    unsigned code;
    const char *enhanced, *text;
};
/* Gives the recipients of m paths of their own, in a, if the login wants that. */
MUST_USE bool fromid_paths(struct arena *a, struct str login, struct queue_new *m, struct fromid_refusal *refusal,
                           struct err *e);
/* An account tells what came to one. */
MUST_USE bool fromid_returned(struct service_peer *p, struct packet *m, struct err *e);

/* --- passing.c: what auth lets through to other servers ------------------------------------------- */

struct passing {
    uint64_t conn;
    uint32_t number;
    int64_t end_ms;
    struct str reverse_path, recipient;
    struct passing *next;
};
MUST_USE bool passing_granted(struct packet *m, struct err *e);
/* What was granted to a connection under this number, or NULL. */
const struct passing *passing_find(uint64_t conn, uint32_t number);
void passing_closed(uint64_t conn);
void passing_tick(void);

/* --- local.c: deliveries to accounts of ours ---------------------------------------------------- */

/* Before the sandbox. */
void local_begin(void);
/* Whether another entry can be looked at. */
bool local_has_room(void);
/*
 * Asks auth whose the recipient is: delivers, or gives the entry to outgoing.c when it is at another
 * server and may go there.
 */
void local_start(const struct queue_entry *entry);
/* auth's and the monitor's answers. */
MUST_USE bool local_rcpt_reply(struct packet *m, struct err *e);
MUST_USE bool local_granted(struct packet *m, struct err *e);
void local_auth_closed(void);
/* Whether auth is being asked about an entry for this domain. */
bool local_is_asking(struct str domain);
void local_tick(void);

/* --- command.c: `mox queue` -------------------------------------------------------------------- */

MUST_USE bool command_message(struct service_peer *p, struct packet *m, struct err *e);

/* --- transport.c: by which transport an entry goes ------------------------------------------------ */

/* Takes over the transports and routes of a compiled configuration. */
MUST_USE bool transports_use(struct str config, struct err *e);
/* Whether mox.conf has a transport of that name. */
bool transport_is_known(struct str name);
/*
 * For the next attempt, which did not begin yet. NULL: directly. False: one that mox.conf does not have. Good until
 * the next configuration.
 */
bool transport_for(const struct queue_entry *entry, const struct ipc_transport **out);

/* --- outgoing.c: deliveries to other servers ---------------------------------------------------- */

/* Whether another batch can be taken now: at all, and for that destination. */
bool outgoing_has_room(void);
queue_may_fn outgoing_may;
/*
 * Entries of one destination, QUEUE_MAX_BATCH at most; what lasts longer than the call is copied. A process is
 * asked for when outgoing_go says that what began with the call is on the disk; when it is not, all are put back.
 *
 * In the end queue_result, queue_take_back or queue_put_back is called for each, and queue_role.has_work set.
 */
void outgoing_take(const struct queue_entry *entries, size_t n);
void outgoing_go(bool is_committed);
void outgoing_tick(void);
/* The monitor's answer: a deliver process. */
MUST_USE bool outgoing_made(struct packet *m, struct err *e);
/* Whether attempts that begin, or results, wait to be committed; and that they were. */
bool outgoing_is_waiting(void);
void outgoing_committed(bool is_ok);
/*
 * No message is begun from now on, and none is ended at its server. True when nothing waits for an answer any more,
 * which would come twice if it were not heard: to be asked again.
 */
bool outgoing_stop(void);

/* --- window.c: how many connections a destination has at once --------------------------------------- */

struct window;
/* How many it has, and whether it may have one more. The account does not matter. */
unsigned window_count(const struct queue_destination *to);
bool window_has_room(const struct queue_destination *to);
/* One more. */
struct window *window_enter(const struct queue_destination *to);
void window_leave(struct window *w);
/* What a connection has met with; true: there is room that there was not. */
enum window_word {
    WINDOW_SPOKE, // a server that did its work, whatever it said
    WINDOW_LOST,  // no server, or none to the end
    WINDOW_BUSY,  // one that has no time (421)
};
bool window_heard(struct window *w, enum window_word word);
/* Whether nobody is there when one more connection is lost: a server that spoke a moment ago may have had enough. */
bool window_is_dead(const struct window *w);
/* There are more than may be: some are to end. */
bool window_is_over(const struct window *w);

/* --- down.c: destinations that could not be reached ------------------------------------------------- */

/* Where messages go alike: way is what they ask of a server (a number of attempt.c's). */
struct down_place {
    struct str domain, transport;
    unsigned way;
};
/* Before the sandbox. */
void down_begin(void);
/* It could not be reached, which t says of one message. */
void down_note(const struct down_place *where, const struct attempt *t);
/* NULL: nothing is known against it; else what to say of others, good until the next call. */
const struct attempt *down_why(const struct down_place *where);
/* It was reached. */
void down_over(const struct down_place *where);
/* A person wants all to be tried. */
void down_forget(void);

/* --- sts.c: MTA-STS policies of other domains ---------------------------------------------------- */

/* Before the sandbox. */
void sts_begin(void);
/*
 * What holds for a domain (A-labels), of whose record deliver knows this: fn is told, before the return or
 * later, once, unless it is cancelled. Never STS_FETCH; texts live during the call.
 */
typedef void sts_known_fn(void *ctx, const struct sts_known *known);
void sts_want(struct str domain, enum sts_record record, struct str id, sts_known_fn *fn, void *ctx);
/* Whoever has this ctx does not want to know any more. */
void sts_cancel(void *ctx);
/* The monitor's answer. */
MUST_USE bool sts_made(struct packet *m, struct err *e);
void sts_tick(void);
