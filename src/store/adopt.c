/*
 * Taking over mailboxes of another server, so that clients go on with what they know: UIDVALIDITY, UIDs,
 * and modseqs that only grow.
 */
#include "store/store_priv.h"

struct adopt_job {
    const struct store_adopted *m;
    uint64_t modseq;
    uint32_t next_uidvalidity;
};

// Whether the mailbox has, or had, mail under another UIDVALIDITY than this.
static bool is_free(struct store *st, const struct writer_mailbox *box, uint32_t uidvalidity, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT 1 FROM mailbox WHERE id = ? AND uidvalidity <> ? AND uidnext > 1", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, box->id);
    stmt_bind_u64(s, 2, uidvalidity);
    return !stmt_step(s, e) && e->kind == ERR_NONE;
}

static bool set_special_use(struct store *st, uint64_t mailbox, struct str use, struct err *e)
{
    AUTO_STMT take = db_prepare(st->db, "UPDATE mailbox SET special_use = '' WHERE special_use = ?1 AND ?1 "
                                "<> ''", e);
    AUTO_STMT give = db_prepare(st->db, "UPDATE mailbox SET special_use = ? WHERE id = ?", e);

    if (!take || !give)
        return false;
    stmt_bind_str(take, 1, use);
    stmt_bind_str(give, 1, use);
    stmt_bind_u64(give, 2, mailbox);
    return stmt_run(take, e) && stmt_run(give, e);
}

static bool adopt_job(struct store *st, void *ctx, struct err *e)
{
    const struct store_adopted *m = ((const struct adopt_job *)ctx)->m;
    struct writer_mailbox box;
    struct err missing = {0};
    uint64_t modseq;

    if (!job_modseq(st, &modseq, e))
        return false;
    if (!writer_find_mailbox(st, m->name, &box, &missing)) {
        if (missing.kind != ERR_NOT_FOUND) {
            *e = missing;
            return false;
        }
        if (!writer_create_mailbox(st, m->name, (struct str){0}, &box, e))
            return false;
    } else if (!is_free(st, &box, m->uidvalidity, e)) {
        return e->kind ? false : fail(e, ERR_CONFLICT, "mailbox %.*s has mail already", STR_FMT(m->name));
    }
    touch(st, TOUCHED_MAILBOX);
    // No history is there of what was before: who asks for it is told to look at all.
    return set_special_use(st, box.id, m->special_use, e) &&
           DB_RUN(st->db, "UPDATE mailbox SET uidvalidity = ?2 WHERE id = ?1", e, box.id, m->uidvalidity) &&
           DB_RUN(st->db, "UPDATE mailbox SET modseq = ?2, countseq = ?2, expunge_floor = max(expunge_floor, ?2) "
                          "WHERE id = ?1", e, box.id, modseq) &&
           DB_RUN(st->db, "UPDATE account SET next_uidvalidity = max(next_uidvalidity, ?2 + 1) WHERE id <> ?1",
                  e, 0, m->uidvalidity);
}

bool store_adopt_mailbox(struct store *st, const struct store_adopted *m, struct err *e)
{
    return store_write(st, adopt_job, &(struct adopt_job){.m = m}, e);
}

static bool end_job(struct store *st, void *ctx, struct err *e)
{
    const struct store_adopted *m = ((const struct adopt_job *)ctx)->m;
    struct writer_mailbox box;

    return writer_find_mailbox(st, m->name, &box, e) &&
           DB_RUN(st->db, "UPDATE mailbox SET uidnext = max(uidnext, ?2) WHERE id = ?1", e, box.id, m->uidnext);
}

bool store_adopt_end(struct store *st, const struct store_adopted *m, struct err *e)
{
    return store_write(st, end_job, &(struct adopt_job){.m = m}, e);
}

static bool counters_job(struct store *st, void *ctx, struct err *e)
{
    const struct adopt_job *j = ctx;

    return DB_RUN(st->db, "UPDATE account SET modseq = max(modseq, ?1), next_uidvalidity = max(next_uidvalidity, "
                          "?2)", e, j->modseq, j->next_uidvalidity);
}

bool store_adopt_counters(struct store *st, uint64_t modseq, uint32_t next_uidvalidity, struct err *e)
{
    return store_write(st, counters_job,
                       &(struct adopt_job){.modseq = modseq, .next_uidvalidity = next_uidvalidity}, e);
}
