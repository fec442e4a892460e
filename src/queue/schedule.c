/*
 * Whose turn it is. Entries that are due wait in lanes, one for each account, domain and transport;
 * the lanes of an account are in a ring, and so are the accounts. What is in memory are numbers of entries
 * that were due when they were read: each is looked at again in the database when its turn comes, so
 * nothing here has to follow a change other than by schedule_reset.
 */
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "os/clock.h"
#include "queue/queue_priv.h"

enum {
    LOAD_MAX = 10000, // entries read at once
    BELIEVED_MS = 60 * 1000,
    MAX_DESTINATION = 2048, // bytes of account, domain and transport
};

/* A circle of things that have their turn one after the other; `next` of the circle is who is next. */
struct ring {
    struct ring *prev, *next;
};

/* A domain by a transport: how much waits for it, of all accounts. */
struct place {
    size_t n_lanes; // goes with the last one
    size_t n_waiting;
};

struct lane {
    struct ring ring; // first: a ring's member is its lane
    struct sender *sender;
    struct place *place;
    struct queue_destination to;
    bool is_remote;
    int64_t believed_until_ms;
    uint64_t *ids;
    size_t n, at, cap; // ids[at] to ids[n - 1] wait
};

struct sender {
    struct ring ring; // first as well
    struct str account;
    struct ring lanes;
    size_t n_lanes; // goes with the last one
};

/* 0: not known to be remote, 1: remote. */
struct side {
    struct ring senders;
    size_t n_senders;
    struct map by_account;
};

struct schedule {
    struct side sides[2];
    struct map lanes;     // by destination
    struct map places;
    struct map under_way; // by number of the entry
    size_t n_ready;
    int64_t read_unix; // entries up to this time and number are in the lanes
    uint64_t read_id;
    bool is_all_read;
};

static void ring_init(struct ring *r)
{
    r->prev = r->next = r;
}

static void ring_remove(struct ring *r)
{
    r->prev->next = r->next;
    r->next->prev = r->prev;
}

// At the end of the circle: after all others had their turn.
static void ring_append(struct ring *circle, struct ring *r)
{
    r->prev = circle->prev;
    r->next = circle;
    circle->prev->next = r;
    circle->prev = r;
}

struct schedule *schedule_new(void)
{
    struct schedule *s = heap_alloc(sizeof *s);

    for (size_t i = 0; i < COUNT(s->sides); i++)
        ring_init(&s->sides[i].senders);
    s->read_unix = INT64_MIN;
    return s;
}

static void leave_side(struct schedule *s, struct lane *l)
{
    struct sender *of = l->sender;
    struct side *side = &s->sides[l->is_remote];

    ring_remove(&l->ring);
    if (!--of->n_lanes) {
        ring_remove(&of->ring);
        side->n_senders--;
        map_remove(&side->by_account, of->account);
        heap_free(&of->account);
        free(of);
    }
}

static void join_side(struct schedule *s, struct lane *l, bool is_remote)
{
    struct side *side = &s->sides[is_remote];
    struct sender *of = map_get(&side->by_account, l->to.account);

    if (!of) {
        of = heap_alloc(sizeof *of);
        of->account = heap_dup(l->to.account);
        ring_init(&of->lanes);
        ring_append(&side->senders, &of->ring);
        side->n_senders++;
        map_put(&side->by_account, of->account, of);
    }
    l->sender = of;
    l->is_remote = is_remote;
    ring_append(&of->lanes, &l->ring);
    of->n_lanes++;
}

// Texts of the outside have no NUL here: the envelope's grammar has none, nor have names of accounts.
static struct str lane_key(struct buf *out, const struct queue_destination *to)
{
    buf_put(out, to->account);
    buf_put_char(out, '\0');
    buf_put(out, to->domain);
    buf_put_char(out, '\0');
    buf_put(out, to->transport);
    return buf_str(out);
}

// The same without the account.
static struct str place_key(struct str lane_key, const struct queue_destination *to)
{
    return str_from(lane_key, to->account.n + 1);
}

static struct place *join_place(struct schedule *s, struct str key)
{
    struct place *p = map_get(&s->places, key);

    if (!p) {
        p = heap_alloc(sizeof *p);
        map_put(&s->places, key, p);
    }
    p->n_lanes++;
    return p;
}

static struct lane *lane_of(struct schedule *s, const struct queue_destination *to, bool is_made)
{
    AUTO_BUF b = BUF_LIMIT(MAX_DESTINATION);
    struct str key = lane_key(&b, to);
    struct lane *l = map_get(&s->lanes, key);

    if (!l && is_made) {
        l = heap_alloc(sizeof *l);
        l->to = (struct queue_destination){heap_dup(to->account), heap_dup(to->domain),
                                           heap_dup(to->transport)};
        map_put(&s->lanes, key, l);
        l->place = join_place(s, place_key(key, to));
        join_side(s, l, false);
    }
    return l;
}

static void lane_free(struct schedule *s, struct lane *l)
{
    AUTO_BUF b = BUF_LIMIT(MAX_DESTINATION);
    struct str key = lane_key(&b, &l->to);

    leave_side(s, l);
    map_remove(&s->lanes, key);
    s->n_ready -= l->n - l->at;
    l->place->n_waiting -= l->n - l->at;
    if (!--l->place->n_lanes)
        free(map_remove(&s->places, place_key(key, &l->to)));
    heap_free(&l->to.account);
    heap_free(&l->to.domain);
    heap_free(&l->to.transport);
    free(l->ids);
    free(l);
}

static void push(struct schedule *s, const struct queue_destination *to, uint64_t id)
{
    struct lane *l = lane_of(s, to, true);

    if (l->n == l->cap) {
        l->n -= l->at;
        if (l->n)
            memmove(l->ids, l->ids + l->at, l->n * sizeof *l->ids);
        l->at = 0;
        // Twice as many as wait, so that moving them is paid for by as many that come.
        if (l->n * 2 > l->cap || !l->cap) {
            l->cap = l->cap ? l->cap * 2 : 4;
            l->ids = heap_resize(l->ids, l->cap, sizeof *l->ids);
        }
    }
    l->ids[l->n++] = id;
    s->n_ready++;
    l->place->n_waiting++;
}

static void clear(struct schedule *s)
{
    for (size_t i = 0; i < COUNT(s->sides); i++)
        while (s->sides[i].senders.next != &s->sides[i].senders)
            lane_free(s, (struct lane *)((struct sender *)s->sides[i].senders.next)->lanes.next);
    s->read_unix = INT64_MIN;
    s->read_id = 0;
    s->is_all_read = false;
}

void schedule_free(struct schedule *s)
{
    if (!s)
        return;
    clear(s);
    map_fini(&s->lanes);
    map_fini(&s->places);
    map_fini(&s->under_way);
    for (size_t i = 0; i < COUNT(s->sides); i++)
        map_fini(&s->sides[i].by_account);
    free(s);
}

void schedule_reset(struct queue *q)
{
    clear(q->schedule);
}

static struct str id_key(const uint64_t *id)
{
    return str_at(id, sizeof *id);
}

// Of what is on hold no more is read than its place in the index. With one comparison of both columns SQLite
// would look again at all that is of the same second.
#define DUE(condition)                                                                             \
    "SELECT id, next_attempt_unix, is_held, "                                                      \
    "CASE WHEN is_held = 0 THEN (SELECT account FROM message WHERE id = e.message) END, "          \
    "CASE WHEN is_held = 0 THEN domain END, CASE WHEN is_held = 0 THEN transport END "             \
    "FROM entry e WHERE " condition " ORDER BY next_attempt_unix, id LIMIT ?3"

// Goes on from what was read.
static bool load_part(struct queue *q, const char *sql, uint64_t to, size_t *left, struct err *e)
{
    AUTO_STMT stmt = db_prepare(q->db, sql, e);
    struct schedule *s = q->schedule;

    if (!stmt)
        return false;
    stmt_bind_i64(stmt, 1, s->read_unix);
    stmt_bind_u64(stmt, 2, to);
    stmt_bind_u64(stmt, 3, *left);
    for (; stmt_step(stmt, e); --*left) {
        if (!stmt_u64(stmt, 2))
            push(s, &(struct queue_destination){stmt_str(stmt, 3), stmt_str(stmt, 4), stmt_str(stmt, 5)},
                 stmt_u64(stmt, 0));
        s->read_id = stmt_u64(stmt, 0);
        s->read_unix = stmt_i64(stmt, 1);
    }
    return e->kind == ERR_NONE;
}

// What has become due since the last time: of the second that was read last, and of those after it.
static bool load(struct queue *q, int64_t now, struct err *e)
{
    struct schedule *s = q->schedule;
    size_t left = LOAD_MAX;

    if (now < s->read_unix) // the clock was set back
        clear(s);
    if (!load_part(q, DUE("next_attempt_unix = ?1 AND id > ?2"), s->read_id, &left, e) ||
        (left && !load_part(q, DUE("next_attempt_unix > ?1 AND next_attempt_unix <= ?2"), (uint64_t)now,
                            &left, e)))
        return false;
    s->is_all_read = left > 0;
    return true;
}

bool queue_has_ready(const struct queue *q)
{
    return q->schedule->n_ready || !q->schedule->is_all_read;
}

bool schedule_read_entry(struct queue *q, struct arena *a, uint64_t id, struct queue_entry *out,
                         bool *found, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db,
                             "SELECT e.message, e.recipient, e.domain, e.transport, e.delivery_id, "
                             "e.dialed, e.attempts, e.require_tls, m.reverse_path, m.account, "
                             "m.queued_unix, m.size, m.origin, m.is_8bit, m.is_binary, "
                             "m.is_smtputf8, e.notify, e.orcpt, m.envid, m.ret, e.max_attempts, "
                             "m.keep_retired_s, m.is_sender_real, e.is_delay_told, m.message_id, "
                             "e.next_attempt_unix, e.is_held "
                             "FROM entry e JOIN message m ON m.id = e.message "
                             "WHERE e.id = ?", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, id);
    *found = stmt_step(s, e);
    if (*found)
        *out = (struct queue_entry){.id = id,
                                    .message = stmt_u64(s, 0),
                                    .recipient = arena_dup(a, stmt_str(s, 1)),
                                    .domain = arena_dup(a, stmt_str(s, 2)),
                                    .transport = arena_dup(a, stmt_str(s, 3)),
                                    .delivery_id = arena_dup(a, stmt_str(s, 4)),
                                    .dialed = arena_dup(a, stmt_str(s, 5)),
                                    .attempts = (uint32_t)stmt_u64(s, 6),
                                    .require_tls = (uint8_t)stmt_u64(s, 7),
                                    .reverse_path = arena_dup(a, stmt_str(s, 8)),
                                    .account = arena_dup(a, stmt_str(s, 9)),
                                    .queued_unix = stmt_i64(s, 10),
                                    .size = stmt_u64(s, 11),
                                    .origin = (enum queue_origin)stmt_u64(s, 12),
                                    .is_8bit = stmt_u64(s, 13),
                                    .is_binary = stmt_u64(s, 14),
                                    .is_smtputf8 = stmt_u64(s, 15),
                                    .notify = (uint8_t)stmt_u64(s, 16),
                                    .orcpt = arena_dup(a, stmt_str(s, 17)),
                                    .envid = arena_dup(a, stmt_str(s, 18)),
                                    .ret = (enum queue_ret)stmt_u64(s, 19),
                                    .max_attempts = (uint32_t)stmt_u64(s, 20),
                                    .keep_retired_s = (uint32_t)stmt_u64(s, 21),
                                    .is_sender_real = stmt_u64(s, 22),
                                    .is_delay_told = stmt_u64(s, 23),
                                    .message_id = arena_dup(a, stmt_str(s, 24)),
                                    .next_attempt_unix = stmt_i64(s, 25),
                                    .is_held = stmt_u64(s, 26)};
    return e->kind == ERR_NONE;
}

struct queue_entry queue_entry_dup(struct arena *a, const struct queue_entry *entry)
{
    struct queue_entry copy = *entry;
    struct str *const texts[] = {&copy.recipient,    &copy.domain,      &copy.transport,
                                 &copy.reverse_path, &copy.account,     &copy.delivery_id,
                                 &copy.dialed,       &copy.orcpt,       &copy.envid,
                                 &copy.message_id};

    for (size_t i = 0; i < COUNT(texts); i++)
        *texts[i] = arena_dup(a, *texts[i]);
    return copy;
}

// Up to max entries of a lane; numbers of those that are not due any more are passed over. Those of a message
// that stand together stay together, as far as max goes.
static bool take(struct queue *q, struct arena *a, struct lane *l, int64_t now,
                 struct queue_entry *out, size_t max, size_t *n, struct err *e)
{
    struct schedule *s = q->schedule;
    size_t messages = 0;

    for (; *n < max && l->at < l->n; l->at++, s->n_ready--, l->place->n_waiting--) {
        uint64_t id = l->ids[l->at];
        bool found;

        if (map_get(&s->under_way, id_key(&id)))
            continue;
        if (!schedule_read_entry(q, a, id, &out[*n], &found, e))
            return false;
        if (!found || out[*n].next_attempt_unix > now || out[*n].is_held)
            continue;
        messages += !*n || out[*n].message != out[*n - 1].message;
        if (messages > QUEUE_MAX_MESSAGES)
            break;
        map_put(&s->under_way, id_key(&id), s);
        (*n)++;
    }
    return true;
}

struct turn {
    struct arena *a;
    queue_may_fn *may;
    void *ctx;
    struct queue_entry *out;
    size_t max, *n;
};

// Goes once round the lanes of an account, to the first that has entries.
static bool turn_of(struct queue *q, struct sender *of, const struct turn *t, struct err *e)
{
    struct schedule *s = q->schedule;
    int64_t now = os_now_unix(), now_ms = os_monotonic_ms();

    for (size_t left = of->n_lanes; left && !*t->n; left--) {
        struct lane *l = (struct lane *)of->lanes.next;

        ring_remove(&l->ring); // its turn is over, whatever it has
        ring_append(&of->lanes, &l->ring);
        if (l->is_remote && l->believed_until_ms < now_ms) { // to be asked about again
            leave_side(s, l); // of goes with its last lane, and then this was the last round
            join_side(s, l, false);
        } else if (!t->may || t->may(t->ctx, &l->to, l->place->n_waiting)) {
            if (!take(q, t->a, l, now, t->out, t->max, t->n, e))
                return false;
            if (l->at == l->n)
                lane_free(s, l);
        }
    }
    return true;
}

// Once round the accounts.
static bool next_of(struct queue *q, bool is_remote, const struct turn *t, struct err *e)
{
    struct side *side = &q->schedule->sides[is_remote];

    *t->n = 0;
    if (!load(q, os_now_unix(), e))
        return false;
    for (size_t left = side->n_senders; left && !*t->n; left--) {
        struct sender *of = (struct sender *)side->senders.next;

        ring_remove(&of->ring);
        ring_append(&side->senders, &of->ring);
        if (!turn_of(q, of, t, e))
            return false;
    }
    return true;
}

bool queue_next(struct queue *q, struct arena *a, struct queue_entry *out, bool *found,
                struct err *e)
{
    size_t n = 0;
    bool is_ok = next_of(q, false, &(struct turn){.a = a, .out = out, .max = 1, .n = &n}, e);

    *found = n;
    return is_ok;
}

bool queue_next_remote(struct queue *q, struct arena *a, queue_may_fn *may, void *ctx,
                       struct queue_entry *out, size_t max, size_t *n, struct err *e)
{
    return next_of(q, true, &(struct turn){a, may, ctx, out, max, n}, e);
}

static struct queue_destination destination_of(const struct queue_entry *entry)
{
    return (struct queue_destination){entry->account, entry->domain, entry->transport};
}

bool queue_more(struct queue *q, struct arena *a, const struct queue_entry *entry,
                struct queue_entry *out, size_t max, size_t *n, struct err *e)
{
    struct queue_destination to = destination_of(entry);
    struct lane *l = lane_of(q->schedule, &to, false);
    bool is_ok;

    *n = 0;
    if (!l || !l->is_remote || l->believed_until_ms < os_monotonic_ms())
        return true;
    is_ok = take(q, a, l, os_now_unix(), out, max, n, e);
    if (l->at == l->n)
        lane_free(q->schedule, l);
    return is_ok;
}

void queue_is_remote(struct queue *q, const struct queue_entry *entry)
{
    struct queue_destination to = destination_of(entry);
    struct lane *l = lane_of(q->schedule, &to, false);

    if (!l)
        return;
    leave_side(q->schedule, l);
    join_side(q->schedule, l, true);
    l->believed_until_ms = os_monotonic_ms() + BELIEVED_MS;
}

void queue_put_back(struct queue *q, const struct queue_entry *entry)
{
    struct queue_destination to = destination_of(entry);

    if (map_remove(&q->schedule->under_way, id_key(&entry->id)))
        push(q->schedule, &to, entry->id);
}

void schedule_end(struct queue *q, const struct queue_entry *entry)
{
    struct schedule *s = q->schedule;
    struct err e = {0};
    AUTO_STMT stmt = db_prepare(q->db, "SELECT next_attempt_unix, domain, transport FROM entry "
                                       "WHERE id = ?", &e);

    map_remove(&s->under_way, id_key(&entry->id));
    if (!stmt)
        return;
    stmt_bind_u64(stmt, 1, entry->id);
    // Somebody has set its time while it was under way: it was passed over then.
    if (stmt_step(stmt, &e) && stmt_i64(stmt, 0) <= s->read_unix)
        push(s, &(struct queue_destination){entry->account, stmt_str(stmt, 1), stmt_str(stmt, 2)},
             entry->id);
}
