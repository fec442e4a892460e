/*
 * Rules for what is not to be tried until a person says so (mox-smtp-delivery.md 3.1). All fields that a
 * rule has must match, for entries that are there as for those that come.
 */
#include "queue/queue_priv.h"

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
