/*
 * What other servers report later of messages that they took: it comes to the return path that was made for one
 * recipient (mox-smtp-delivery.md 3.9).
 */
#include "os/clock.h"
#include "queue/queue_priv.h"

struct found {
    uint64_t id;
    struct str recipient;
};

// The one message that has this return path; some servers change the case of a localpart.
static bool find(struct queue *q, struct arena *a, const struct queue_returned *r, struct found *out, bool *is_one,
                 struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "SELECT id, recipient FROM retired WHERE account = ? AND "
                                    "reverse_path = ? COLLATE NOCASE LIMIT 2", e);
    size_t n = 0;

    *is_one = false;
    if (!s)
        return false;
    stmt_bind_str(s, 1, r->account);
    stmt_bind_str(s, 2, r->path);
    for (; stmt_step(s, e); n++)
        *out = (struct found){stmt_u64(s, 0), arena_dup(a, stmt_str(s, 1))};
    *is_one = n == 1;
    return !e->kind;
}

// RFC 3464 2.3.3: a failure is the end; the others change nothing in what is known of it.
static bool note_failure(struct queue *q, const struct queue_returned *r, uint64_t id, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "UPDATE retired SET is_success = 0, last_error = ?2, "
                                    "last_activity_unix = ?3 WHERE id = ?1", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, id);
    stmt_bind_str(s, 2, r->text);
    stmt_bind_i64(s, 3, os_now_unix());
    return stmt_run(s, e);
}

static bool note(struct queue *q, const struct queue_returned *r, const struct found *f, struct err *e)
{
    // Without a reply, its class by the status (mox-smtp-delivery.md 3.9).
    unsigned class = r->status.n && r->status.p[0] >= '2' && r->status.p[0] <= '5' ? (unsigned)(r->status.p[0] - '0') : 0;
    const struct queue_entry entry = {.id = f->id, .recipient = f->recipient, .account = r->account,
                                      .origin = QUEUE_SUBMITTED};
    const struct attempt attempt = {.class = r->action == DSN_FAILED    ? ATTEMPT_PERMANENT
                                             : r->action == DSN_DELAYED ? ATTEMPT_TEMPORARY
                                                                        : ATTEMPT_DELIVERED,
                                    .is_remote = true, .code = r->code ? r->code : 100 * class,
                                    .enhanced = r->status, .text = r->text,
                                    .started_unix = os_now_unix()};

    if (!retired_put_result(q, &entry, &attempt, e))
        return false;
    return r->action != DSN_FAILED ||
           (note_failure(q, r, f->id, e) && suppress_after_failure(q, &entry, &attempt, e));
}

bool queue_returned(struct queue *q, struct arena *a, const struct queue_returned *r, struct str *recipient,
                    bool *found, struct err *e)
{
    struct found f;

    if (!find(q, a, r, &f, found, e) || !*found)
        return !e->kind;
    *recipient = f.recipient;
    return queue_change_begin(q, e) && queue_change_end(q, note(q, r, &f, e), e);
}
