/*
 * CONDSTORE and QRESYNC: what a client that was away missed (RFC 7162).
 */
#include <stdlib.h>

#include "role/account/imap_conn.h"

void imap_enable_condstore(struct imap_conn *c)
{
    if (c->has_condstore)
        return;
    c->has_condstore = true;
    if (c->view)
        buf_printf(&c->out, "* OK [HIGHESTMODSEQ %llu] x\r\n",
                   (unsigned long long)c->view->highest);
}

/* --- what vanished --------------------------------------------------------------------------------- */

struct vanished {
    struct imap_conn *c;
    const struct imap_set *known;
    uint32_t *uids;
    size_t n, cap;
};

// What the view still shows is told when it goes, in a VANISHED of the other kind.
static bool add_vanished(void *ctx, const struct store_gone *gone)
{
    struct vanished *v = ctx;
    bool found;

    view_find(v->c->view, gone->uid, &found);
    if (!found && imap_set_has(v->known, gone->uid))
        *ARENA_PUSH(&v->c->a, v->uids, &v->n, &v->cap) = gone->uid;
    return true;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

// History does not reach back: all uids that are not there, as the gaps between those that are.
static void put_absent(struct imap_conn *c, const struct imap_set *known)
{
    struct imap_vanished out = {.out = &c->out, .kind = STR("(EARLIER) ")};
    const struct view *v = c->view;

    for (size_t i = 0; i < known->n; i++) {
        uint64_t next = known->ranges[i].first;
        bool found;

        for (size_t at = view_find(v, (uint32_t)next, &found);
             at < v->n && v->rows[at].uid <= known->ranges[i].last; at++) {
            if (v->rows[at].uid > next)
                imap_vanished_range_put(&out, (uint32_t)next, v->rows[at].uid - 1);
            next = (uint64_t)v->rows[at].uid + 1;
        }
        if (next <= known->ranges[i].last)
            imap_vanished_range_put(&out, (uint32_t)next, (uint32_t)known->ranges[i].last);
    }
    imap_vanished_end(&out);
}

static bool put_vanished(struct imap_conn *c, const struct imap_set *known, uint64_t since,
                         struct err *e)
{
    struct vanished v = {.c = c, .known = known};
    struct err short_history = {0};

    if (store_expunged(c->reader, c->view->mailbox, since, add_vanished, &v, &short_history)) {
        if (v.n) // qsort takes no null pointer
            qsort(v.uids, v.n, sizeof *v.uids, by_number);
        imap_vanished_put(&c->out, STR("(EARLIER) "), v.uids, v.n);
    } else if (short_history.kind == ERR_NOT_FOUND) {
        put_absent(c, known);
    } else {
        *e = short_history;
        return false;
    }
    return true;
}

bool imap_vanished_since(struct imap_conn *c, const struct imap_set *known, uint64_t since,
                         struct err *e)
{
    uint64_t last = c->view->n ? c->view->rows[c->view->n - 1].uid : 0;
    struct imap_set r = imap_set_sorted(&c->a, known, last, 1, c->view->uidnext - 1);

    return put_vanished(c, &r, since, e);
}

/* --- SELECT ... (QRESYNC ...) ----------------------------------------------------------------------- */

/*
 * RFC 7162 3.2.5.2: the last pair of sequence number and uid that is as the client says; up to there
 * it knows what is gone. Both sets are walked together and no further than the mailbox goes, however
 * far they reach.
 */
static uint32_t last_match(const struct view *v, const struct imap_select *s)
{
    size_t number_at = 0, uid_at = 0;
    uint64_t number = s->match_numbers.ranges[0].first, uid = s->match_uids.ranges[0].first;
    uint32_t last = 0;

    while (number <= v->n) {
        if (v->rows[number - 1].uid == uid)
            last = (uint32_t)uid;
        if (number++ == s->match_numbers.ranges[number_at].last) {
            if (++number_at == s->match_numbers.n)
                break;
            number = s->match_numbers.ranges[number_at].first;
        }
        if (uid++ == s->match_uids.ranges[uid_at].last) {
            if (++uid_at == s->match_uids.n)
                break;
            uid = s->match_uids.ranges[uid_at].first;
        }
    }
    return last;
}

struct inconsistent {
    const struct imap_set *uids;
    uint64_t since; // lowered to just before the removals that the client should have known
};

static bool look_at_gone(void *ctx, const struct store_gone *gone)
{
    struct inconsistent *i = ctx;

    if (gone->modseq <= i->since && imap_set_has(i->uids, gone->uid))
        i->since = gone->modseq - 1;
    return true;
}

// A client that names uids which were removed before its modseq is out of step: it gets more history.
static bool check_step(struct imap_conn *c, const struct imap_select *s, uint64_t *since,
                       struct err *e)
{
    struct imap_set uids = imap_set_sorted(&c->a, &s->match_uids, 0, 1, c->view->uidnext - 1);
    struct inconsistent i = {&uids, *since};
    struct err short_history = {0};

    if (!store_expunged(c->reader, c->view->mailbox, 0, look_at_gone, &i, &short_history) &&
        short_history.kind != ERR_NOT_FOUND) {
        *e = short_history;
        return false;
    }
    if (i.since < *since) {
        BUF_PUT(&c->out, "* OK [ALERT] the client knows of messages that were removed at or before "
                         "its modseq; all removals since then follow\r\n");
        *since = i.since;
    }
    return true;
}

static int by_modseq(const void *a, const void *b)
{
    const struct view_row *x = *(const struct view_row *const *)a;
    const struct view_row *y = *(const struct view_row *const *)b;

    return x->modseq != y->modseq ? (x->modseq > y->modseq) - (x->modseq < y->modseq)
                                  : (x->uid > y->uid) - (x->uid < y->uid);
}

// In the order of the changes: whoever loses the connection has a prefix of them.
static void put_flags(struct imap_conn *c, const struct imap_set *known, uint64_t since)
{
    const struct view *v = c->view;
    const struct view_row **rows = ARENA_ARRAY(&c->a, v->n + 1, const struct view_row *);
    size_t n = 0;

    for (size_t i = 0; i < v->n; i++)
        if (v->rows[i].modseq > since && imap_set_has(known, v->rows[i].uid))
            rows[n++] = &v->rows[i];
    qsort(rows, n, sizeof *rows, by_modseq);
    for (size_t i = 0; i < n && !c->is_ending; i++) {
        imap_row_put(&c->out, v, (size_t)(rows[i] - v->rows), true);
        (void)imap_flush(c, false);
    }
}

bool imap_resync_needs_rows(const struct view *v, const struct imap_select *s)
{
    // When nothing changed, and there is nothing to compare with, it does not.
    return s->has_qresync && s->uidvalidity == v->uidvalidity && v->uidnext != 1 &&
           (s->modseq < v->highest || s->has_match);
}

bool imap_resync(struct imap_conn *c, const struct imap_select *s, struct err *e)
{
    struct view *v = c->view;
    struct imap_range all = {1, UINT32_MAX};
    struct imap_set known = {.ranges = &all, .n = 1}, gone;
    uint64_t since = s->modseq, removals_since = since;
    uint32_t match = 0;

    if (!imap_resync_needs_rows(v, s))
        return true;
    if (s->has_match) {
        match = last_match(v, s);
        if (!check_step(c, s, &removals_since, e))
            return false;
        if (removals_since < since)
            match = 0;
    }
    if (s->has_known)
        known = s->known;
    gone = imap_set_sorted(&c->a, &known, 0, (uint64_t)match + 1, v->uidnext - 1);
    known = imap_set_sorted(&c->a, &known, 0, 1, v->uidnext - 1);
    // RFC 7162 3.2.6: what vanished before the flags.
    if (!put_vanished(c, &gone, removals_since, e))
        return false;
    put_flags(c, &known, since);
    return true;
}
