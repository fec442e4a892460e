/*
 * IDLE (RFC 9051 6.3.13) and parking: a connection on which nothing happens is given to front as a
 * few bytes of state, and its thread ends.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "os/clock.h"
#include "role/account/imap_conn.h"
#include "role/account/parked.h"

// False when that is too much.
static bool put_state(struct buf *out, const struct imap_conn *c)
{
    AUTO_BUF saved = BUF_LIMIT(PARKED_MAX_SAVED);
    const struct view *v = c->view;
    struct ipc_parked_state s = {
        .flags = (uint8_t)((c->has_condstore ? PARKED_CONDSTORE : 0) |
                           (c->has_utf8 ? PARKED_UTF8 : 0) |
                           (c->has_qresync ? PARKED_QRESYNC : 0) |
                           (c->has_rev2 ? PARKED_REV2 : 0) |
                           (c->has_utf8_accept ? PARKED_UTF8_ACCEPT : 0)),
        .told_modseq = c->told_modseq,
        .tag = c->tag,
    };

    imap_uids_put(&saved, c->saved, c->n_saved);
    s.saved = buf_str(&saved);
    if (v) {
        s.flags |= PARKED_VIEW | (v->is_read_only ? PARKED_READ_ONLY : 0);
        s.mailbox = v->mailbox;
        s.uidvalidity = v->uidvalidity;
        s.uidnext = v->uidnext;
        s.modseq = v->modseq;
        s.highest = v->highest;
        s.name = v->name;
    }
    ipc_parked_state_put(out, &s);
    return !saved.full && c->n_saved <= PARKED_MAX_UIDS && !out->full;
}

static void take_state(struct imap_conn *c, const struct ipc_parked_state *s)
{
    c->tag = s->tag;
    c->command = STR("IDLE");
    c->has_condstore = s->flags & PARKED_CONDSTORE;
    c->has_utf8 = s->flags & PARKED_UTF8;
    c->has_qresync = s->flags & PARKED_QRESYNC;
    c->has_rev2 = s->flags & PARKED_REV2;
    c->has_utf8_accept = s->flags & PARKED_UTF8_ACCEPT;
    c->told_modseq = s->told_modseq;
    if (s->flags & PARKED_VIEW) {
        c->view = view_open_at(s->mailbox, s->name, s->uidvalidity, s->uidnext, s->modseq,
                               s->highest);
        c->view->is_read_only = s->flags & PARKED_READ_ONLY;
    }
}

/* --- the parked ones, in the main thread ----------------------------------------------------------- */

static void parked_free(struct parked *p)
{
    heap_free(&p->state);
    free(p);
}

static struct parked *untold;    // the first of those that may have something to hear
static struct parked *last_parked;
static uint64_t told;            // the modseq that those before untold have heard of

static void forget(uint64_t conn)
{
    struct parked *before = NULL;

    for (struct parked **at = &account.parked; *at; before = *at, at = &(*at)->next)
        if ((*at)->conn == conn) {
            struct parked *gone = *at;

            *at = gone->next;
            if (untold == gone)
                untold = gone->next;
            if (last_parked == gone)
                last_parked = before;
            parked_free(gone);
            return;
        }
}

// At the end, where it is told of what was committed while it was on its way to us.
static void remember(uint64_t conn, struct str state)
{
    struct parked *p = heap_alloc(sizeof *p);

    *p = (struct parked){conn, heap_dup(state), NULL};
    if (last_parked)
        last_parked->next = p;
    else
        account.parked = p;
    last_parked = p;
    if (!untold)
        untold = p;
}

void park_answer(uint64_t conn, bool is_parked, struct str state)
{
    pthread_mutex_lock(&account.lock);
    for (struct imap_conn *c = account.conns; c; c = c->next)
        if (c->conn == conn && c->park == PARK_ASKED)
            c->park = is_parked ? PARK_YES : PARK_NO;
    forget(conn);
    if (is_parked)
        remember(conn, state);
    pthread_cond_broadcast(&account.answered);
    pthread_mutex_unlock(&account.lock);
}

void park_forget_all(void)
{
    pthread_mutex_lock(&account.lock);
    while (account.parked)
        forget(account.parked->conn);
    for (struct imap_conn *c = account.conns; c; c = c->next)
        if (c->park == PARK_ASKED)
            c->park = PARK_NO;
    pthread_cond_broadcast(&account.answered);
    pthread_mutex_unlock(&account.lock);
}

/* What the last parked connection was told: the next one most often knows the same. */
struct telling {
    struct store_reader *reader;
    struct ipc_parked_state before, after;
    struct buf lines;
    bool is_valid;
};

static bool is_same(const struct ipc_parked_state *a, const struct ipc_parked_state *b)
{
    return a->flags == b->flags && a->mailbox == b->mailbox && a->uidnext == b->uidnext &&
           a->uidvalidity == b->uidvalidity && a->modseq == b->modseq &&
           a->told_modseq == b->told_modseq;
}

// Untagged lines for a connection that knows s, and what it knows then. False when that fails.
static bool tell(struct telling *t, const struct ipc_parked_state *s)
{
    struct imap_conn c = {.reader = t->reader, .out = BUF_LIMIT(IPC_MAX_LINES)};

    if (t->is_valid && is_same(&t->before, s))
        return true;
    buf_fini(&t->lines);
    take_state(&c, s);
    imap_sync(&c, SYNC_ALL);
    t->lines = c.out;
    t->before = t->after = *s;
    t->after.told_modseq = c.told_modseq;
    if (c.view) {
        t->after.uidnext = c.view->uidnext;
        t->after.modseq = c.view->modseq;
        t->after.highest = c.view->highest;
    }
    t->is_valid = !c.is_ending;
    view_give(c.view);
    return t->is_valid;
}

// False when front cannot be told anything any more.
static bool tell_parked(struct telling *t, struct parked *p)
{
    AUTO_BUF state = BUF_LIMIT(IPC_MAX_PARKED);
    struct ipc_parked_state s;
    struct err e = {0};

    // What is too much for one message waits until the client comes back.
    if (!ipc_parked_state_get(p->state, &s, &e) || !tell(t, &s) || !t->lines.n || t->lines.full)
        return true;
    s.uidnext = t->after.uidnext;
    s.modseq = t->after.modseq;
    s.highest = t->after.highest;
    s.told_modseq = t->after.told_modseq;
    ipc_parked_state_put(&state, &s);
    if (account.front.fd < 0 ||
        !IPC_SEND(&account.front, parked_send, NULL, 0, &e, .conn = p->conn,
                  .lines = buf_str(&t->lines), .state = buf_str(&state)))
        return false;
    pthread_mutex_lock(&account.lock);
    heap_free(&p->state);
    p->state = heap_dup(buf_str(&state));
    pthread_mutex_unlock(&account.lock);
    return true;
}

bool park_has_news(void)
{
    if (account.parked && told != store_modseq(account.store)) {
        told = store_modseq(account.store);
        untold = account.parked;
    }
    return untold && account.front.fd >= 0;
}

void park_notify(void)
{
    static struct store_reader *reader; // of the main thread
    struct telling t = {0};
    struct err e = {0};

    if (!reader && !(reader = store_reader_open(&e))) {
        LOG(LOG_ERROR, "imapserver", "cannot open a reader", LOG_E(&e));
        untold = NULL;
        return;
    }
    t.reader = reader;
    while (untold && channel_has_room(&account.front)) {
        struct parked *p = untold;

        untold = p->next;
        if (!tell_parked(&t, p))
            break;
    }
    buf_fini(&t.lines);
}

/* --- a connection's own thread --------------------------------------------------------------------- */

static void set_park(struct imap_conn *c, enum imap_park to)
{
    pthread_mutex_lock(&account.lock);
    c->park = to;
    pthread_mutex_unlock(&account.lock);
}

// Asks front to keep the connection. True when it does: then this thread has nothing more to do.
static bool park(struct imap_conn *c)
{
    AUTO_BUF state = BUF_LIMIT(IPC_MAX_PARKED);
    struct err e = {0};
    bool is_parked;

    if (!put_state(&state, c))
        return false;
    pthread_mutex_lock(&account.front_lock);
    if (account.front.fd < 0) {
        pthread_mutex_unlock(&account.front_lock);
        return false;
    }
    set_park(c, PARK_ASKED);
    if (!IPC_SEND(&account.front, park, &c->stream.fd, 1, &e, .conn = c->conn,
                  .state = buf_str(&state)))
        set_park(c, PARK_NO);
    pthread_mutex_unlock(&account.front_lock);
    pthread_mutex_lock(&account.lock);
    while (c->park == PARK_ASKED)
        pthread_cond_wait(&account.answered, &account.lock);
    is_parked = c->park == PARK_YES;
    c->park = PARK_NONE;
    pthread_mutex_unlock(&account.lock);
    LOG(LOG_DEBUG, "imapserver", is_parked ? "connection parked" : "connection not parked",
        LOG_X("cid", c->conn));
    c->is_handed = is_parked;
    c->is_ending |= is_parked;
    return is_parked;
}

// The line that ends IDLE. False when there is none yet.
static bool take_done(struct imap_conn *c)
{
    ptrdiff_t lf = str_find(buf_str(&c->in), '\n');
    struct str line;

    if (lf < 0) {
        c->is_ending |= c->in.n > 100; // whatever it is, it is not DONE
        return false;
    }
    line = str_trim(str_sub(buf_str(&c->in), 0, (size_t)lf));
    if (str_eq_ci(line, STR("DONE"))) {
        buf_drop(&c->in, (size_t)lf + 1);
        imap_ok(c, STR("IDLE done"));
        return true;
    }
    BUF_PUT(&c->out, "* BYE DONE expected\r\n");
    c->is_ending = true;
    return true;
}

// A person's few connections are parked when they prove to be quiet; of a crowd each one makes room.
static int park_after_ms(void)
{
    return atomic_load(&account.threads) > IMAP_CROWD ? 0 : IMAP_PARK_MS;
}

static void idle(struct imap_conn *c)
{
    int64_t quiet_since = os_monotonic_ms();

    while (!c->is_ending) {
        int64_t quiet_ms = os_monotonic_ms() - quiet_since;
        int wait_ms = park_after_ms();

        imap_sync(c, SYNC_ALL);
        if (c->out.n)
            quiet_since = os_monotonic_ms();
        if (!imap_flush(c, true) || take_done(c) || c->is_ending)
            return;
        // The state of a compressed connection is its last 32 KiB: too much to be parked. It keeps its
        // thread and gives back what compressing takes.
        if (quiet_ms >= wait_ms && c->stream.compression) {
            stream_rest(&c->stream);
        } else if (quiet_ms >= wait_ms && !c->in.n) {
            if (park(c))
                return;
            quiet_since = os_monotonic_ms();
        }
        switch (imap_wait(c, IMAP_PARK_MS)) {
        case IMAP_WAIT_INPUT:
            if (!imap_read_more(c, IMAP_LITERAL_MS))
                return;
            break;
        case IMAP_WAIT_CHANGE:
        case IMAP_WAIT_TIMEOUT:
            break;
        case IMAP_WAIT_STOP:
            BUF_PUT(&c->out, "* BYE shutting down\r\n");
            c->is_ending = true;
            break;
        case IMAP_WAIT_GONE:
            c->is_ending = true;
            break;
        }
    }
}

void cmd_idle(struct imap_conn *c, struct imap_parser *p)
{
    (void)p;
    BUF_PUT(&c->out, "+ waiting\r\n");
    idle(c);
}

void idle_resume(struct imap_conn *c, struct str state)
{
    struct ipc_parked_state s;
    struct err e = {0};

    if (!ipc_parked_state_get(state, &s, &e)) {
        LOG(LOG_ERROR, "imapserver", "state of a parked connection", LOG_E(&e));
        c->is_ending = true;
        return;
    }
    take_state(c, &s);
    if (!parked_saved(&c->a, s.saved, &c->saved, &c->n_saved, &e)) {
        LOG(LOG_ERROR, "imapserver", "state of a parked connection", LOG_E(&e));
        c->is_ending = true;
        return;
    }
    idle(c);
}
