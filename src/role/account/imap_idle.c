/*
 * IDLE (RFC 9051 6.3.13) and parking: a connection on which nothing happens is given to front as a
 * few bytes of state, and its thread ends.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ipc/codec.h"
#include "os/clock.h"
#include "role/account/imap_conn.h"

enum { PARKED_CONDSTORE = 1, PARKED_UTF8 = 2, PARKED_READ_ONLY = 4, PARKED_VIEW = 8 };

/* What must be kept of a connection while it is parked. */
#define ipc_parked_state_FIELDS(F)                                                                 \
    F(u8, flags, 15)                                                                               \
    F(u64, mailbox, 0)                                                                             \
    F(u32, uidvalidity, 0)                                                                         \
    F(u32, uidnext, 0)                                                                             \
    F(u64, modseq, 0)                                                                              \
    F(str, tag, IPC_MAX_TAG)                                                                       \
    F(str, name, IPC_MAX_MAILBOX)
IPC_DECLARE(parked_state)
IPC_DEFINE(parked_state)

static void put_state(struct buf *out, const struct imap_conn *c)
{
    const struct view *v = c->view;
    struct ipc_parked_state s = {
        .flags = (uint8_t)((c->has_condstore ? PARKED_CONDSTORE : 0) |
                           (c->has_utf8 ? PARKED_UTF8 : 0)),
        .tag = c->tag,
    };

    if (v) {
        s.flags |= PARKED_VIEW | (v->is_read_only ? PARKED_READ_ONLY : 0);
        s.mailbox = v->mailbox;
        s.uidvalidity = v->uidvalidity;
        s.uidnext = v->uidnext;
        s.modseq = v->modseq;
        s.name = v->name;
    }
    ipc_parked_state_put(out, &s);
}

// A view as the parked client knows it.
static struct view *view_of(struct store_reader *r, const struct ipc_parked_state *s,
                            struct err *e)
{
    struct view *v = view_open_at(r, s->mailbox, s->name, s->uidvalidity, s->uidnext, s->modseq, e);

    if (v)
        v->is_read_only = s->flags & PARKED_READ_ONLY;
    return v;
}

/* --- the parked ones, in the main thread ----------------------------------------------------------- */

static void parked_free(struct parked *p)
{
    free((void *)(uintptr_t)p->state.p);
    free(p);
}

static struct str heap_dup(struct str s)
{
    char *p = heap_alloc(s.n + 1);

    if (s.n)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

static void forget(uint64_t conn)
{
    for (struct parked **at = &account.parked; *at; at = &(*at)->next)
        if ((*at)->conn == conn) {
            struct parked *gone = *at;

            *at = gone->next;
            parked_free(gone);
            return;
        }
}

void park_answer(uint64_t conn, bool is_parked, struct str state)
{
    pthread_mutex_lock(&account.lock);
    for (struct imap_conn *c = account.conns; c; c = c->next)
        if (c->conn == conn && c->park == PARK_ASKED)
            c->park = is_parked ? PARK_YES : PARK_NO;
    forget(conn);
    if (is_parked) {
        struct parked *p = heap_alloc(sizeof *p);

        *p = (struct parked){conn, heap_dup(state), account.parked};
        account.parked = p;
    }
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

// Untagged lines for one parked connection, and its new state. False when there is nothing to say.
static bool lines_for(struct store_reader *r, const struct parked *p, struct buf *lines,
                      struct buf *state)
{
    struct imap_conn c = {0}; // as much of one as put_state looks at
    struct ipc_parked_state s;
    struct err e = {0};
    bool is_ok = false;

    if (!ipc_parked_state_get(p->state, &s, &e) || !(s.flags & PARKED_VIEW))
        return false;
    c.view = view_of(r, &s, &e);
    if (c.view && view_sync(c.view, r, SYNC_ALL, s.flags & PARKED_CONDSTORE, lines, &e)) {
        c.tag = s.tag;
        c.has_condstore = s.flags & PARKED_CONDSTORE;
        c.has_utf8 = s.flags & PARKED_UTF8;
        put_state(state, &c);
        is_ok = true;
    } else {
        LOG(LOG_ERROR, "imapserver", "cannot tell a parked connection", LOG_E(&e));
    }
    view_free(c.view);
    return is_ok;
}

void park_notify(void)
{
    static struct store_reader *reader; // of the main thread
    static uint64_t told;
    uint64_t now = store_modseq(account.store);
    struct err e = {0};

    if (!account.parked || told == now)
        return;
    if (!reader && !(reader = store_reader_open(&e))) {
        LOG(LOG_ERROR, "imapserver", "cannot open a reader", LOG_E(&e));
        return;
    }
    told = now;
    for (struct parked *p = account.parked; p; p = p->next) {
        AUTO_BUF lines = BUF_LIMIT(IPC_MAX_LINES);
        AUTO_BUF state = BUF_LIMIT(IPC_MAX_PARKED);

        // What is too much for one message waits until the client comes back.
        if (!lines_for(reader, p, &lines, &state) || !lines.n || lines.full)
            continue;
        if (account.front.fd < 0 ||
            !IPC_SEND(&account.front, parked_send, NULL, 0, &e, .conn = p->conn,
                      .lines = buf_str(&lines), .state = buf_str(&state)))
            return;
        pthread_mutex_lock(&account.lock);
        free((void *)(uintptr_t)p->state.p);
        p->state = heap_dup(buf_str(&state));
        pthread_mutex_unlock(&account.lock);
    }
}

/* --- a connection's own thread --------------------------------------------------------------------- */

// Asks front to keep the connection. True when it does: then this thread has nothing more to do.
static bool park(struct imap_conn *c)
{
    AUTO_BUF state = BUF_LIMIT(IPC_MAX_PARKED);
    struct err e = {0};
    bool is_parked;

    put_state(&state, c);
    pthread_mutex_lock(&account.lock);
    if (account.front.fd < 0 || state.full) {
        pthread_mutex_unlock(&account.lock);
        return false;
    }
    c->park = PARK_ASKED;
    if (!IPC_SEND(&account.front, park, &c->stream.fd, 1, &e, .conn = c->conn,
                  .state = buf_str(&state)))
        c->park = PARK_NO;
    while (c->park == PARK_ASKED)
        pthread_cond_wait(&account.answered, &account.lock);
    is_parked = c->park == PARK_YES;
    c->park = PARK_NONE;
    pthread_mutex_unlock(&account.lock);
    if (is_parked)
        LOG(LOG_DEBUG, "imapserver", "connection parked", LOG_X("cid", c->conn));
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

static void idle(struct imap_conn *c)
{
    int64_t quiet_since = os_monotonic_ms();

    while (!c->is_ending) {
        int64_t quiet_ms = os_monotonic_ms() - quiet_since;

        imap_sync(c, SYNC_ALL);
        if (c->out.n)
            quiet_since = os_monotonic_ms();
        if (!imap_flush(c, true) || take_done(c) || c->is_ending)
            return;
        if (quiet_ms >= IMAP_PARK_MS && !c->in.n) {
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
    c->tag = s.tag;
    c->command = STR("IDLE");
    c->has_condstore = s.flags & PARKED_CONDSTORE;
    c->has_utf8 = s.flags & PARKED_UTF8;
    if ((s.flags & PARKED_VIEW) && !(c->view = view_of(c->reader, &s, &e))) {
        LOG(LOG_ERROR, "imapserver", "mailbox of a parked connection", LOG_E(&e));
        BUF_PUT(&c->out, "* BYE the mailbox cannot be opened any more\r\n");
        c->is_ending = true;
        return;
    }
    idle(c);
}
