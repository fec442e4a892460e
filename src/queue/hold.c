/*
 * Rules for what is not to be tried until a person says so (mox-smtp-delivery.md 3.1). All fields that a
 * rule has must match, for entries that are there as for those that come.
 */
#include "queue/manage.h"
#include "queue/queue_priv.h"

// A rollback undoes what the triggers did, which no count of our own would hear of.
bool hold_count_begin(struct queue *q, struct err *e)
{
    return db_exec(q->db,
                   "CREATE TEMP TABLE held (n INTEGER NOT NULL);"
                   "INSERT INTO held SELECT count(*) FROM entry WHERE is_held = 1;"
                   "CREATE TEMP TRIGGER held_new AFTER INSERT ON entry WHEN NEW.is_held = 1 "
                   "BEGIN UPDATE held SET n = n + 1; END;"
                   "CREATE TEMP TRIGGER held_gone AFTER DELETE ON entry WHEN OLD.is_held = 1 "
                   "BEGIN UPDATE held SET n = n - 1; END;"
                   "CREATE TEMP TRIGGER held_change AFTER UPDATE OF is_held ON entry "
                   "BEGIN UPDATE held SET n = n + NEW.is_held - OLD.is_held; END;", e);
}

bool queue_count_held(struct queue *q, uint64_t *out, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "SELECT n FROM held", e);

    if (!s || !stmt_step(s, e))
        return false;
    *out = stmt_u64(s, 0);
    return true;
}

bool hold_is_due(struct queue *q, const struct queue_new *m, struct str recipient_domain, bool *out,
                 struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_STMT s = db_prepare(q->db, "SELECT 1 FROM hold_rule WHERE account IN ('', ?1) AND "
                                    "sender_domain IN ('', ?2) AND recipient_domain IN ('', ?3) "
                                    "LIMIT 1", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, m->account);
    stmt_bind_str(s, 2, queue_domain_of(&a, m->reverse_path));
    stmt_bind_str(s, 3, recipient_domain);
    *out = stmt_step(s, e);
    return e->kind == ERR_NONE;
}
