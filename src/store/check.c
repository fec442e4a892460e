/*
 * The invariants of doc/store.md, checked from the rows themselves.
 */
#include "store/store_priv.h"

static const struct {
    const char *what, *sql; // rows of the query are violations
    bool is_size;
} invariants[] = {
    {"mailbox counts differ from its messages",
     "SELECT m.name FROM mailbox m LEFT JOIN (SELECT p.mailbox, count(*) AS total, sum(p.flags & 1 "
     "= 0) AS unseen, sum(p.flags & 9 = 0) AS unread, sum(p.flags & 8 <> 0) AS deleted, "
     "sum(e.size) AS size FROM placement p JOIN email e ON e.id = p.email GROUP BY p.mailbox) c "
     "ON c.mailbox = m.id WHERE m.total <> coalesce(c.total, 0) OR m.unseen <> coalesce(c.unseen, "
     "0) OR m.unread <> coalesce(c.unread, 0) OR m.deleted <> coalesce(c.deleted, 0) OR m.size <> "
     "coalesce(c.size, 0)"},
    {"thread counts differ from the messages",
     "SELECT m.name FROM mailbox m WHERE m.threads <> (SELECT count(*) FROM thread_mailbox t WHERE "
     "t.mailbox = m.id) OR m.unread_threads <> (SELECT count(*) FROM thread_mailbox t WHERE "
     "t.mailbox = m.id AND t.unread > 0)"},
    {"thread's row differs from its messages",
     "WITH c AS (SELECT e.thread, p.mailbox, count(*) AS emails, sum(p.flags & 17 = 0) AS unread "
     "FROM placement p JOIN email e ON e.id = p.email WHERE p.flags & 8 = 0 GROUP BY e.thread, "
     "p.mailbox) SELECT thread FROM (SELECT * FROM c EXCEPT SELECT thread, mailbox, emails, unread "
     "FROM thread_mailbox) UNION SELECT thread FROM (SELECT thread, mailbox, emails, unread FROM "
     "thread_mailbox EXCEPT SELECT * FROM c)"},
    {"flags of a message differ from those of its copies",
     "SELECT e.id FROM email_state e JOIN placement p ON p.email = e.id GROUP BY e.id HAVING "
     "(e.flags & 9) <> min(p.flags & 1) | min(p.flags & 8) OR (e.flags & 1014) <> max(p.flags & 2) "
     "| max(p.flags & 4) | max(p.flags & 16) | max(p.flags & 32) | max(p.flags & 64) | max(p.flags "
     "& 128) | max(p.flags & 256) | max(p.flags & 512)"},
    {"two mailboxes have the same special use",
     "SELECT special_use FROM mailbox WHERE special_use <> '' GROUP BY special_use HAVING count(*) > "
     "1"},
    {"uid is not below uidnext",
     "SELECT m.name FROM mailbox m JOIN placement p ON p.mailbox = m.id WHERE p.uid >= m.uidnext"},
    {"uid was used before",
     "SELECT x.uid FROM expunged x JOIN placement p ON p.mailbox = x.mailbox AND p.uid = x.uid"},
    {"uidvalidity is not below the next one",
     "SELECT m.name FROM mailbox m, account a WHERE m.uidvalidity >= a.next_uidvalidity"},
    {"modseq is above the account's",
     "SELECT p.uid FROM placement p, account a WHERE p.modseq > a.modseq OR p.createseq > p.modseq"},
    {"modseq of a mailbox is above the account's",
     "SELECT m.name FROM mailbox m, account a WHERE m.modseq > a.modseq OR m.countseq > m.modseq OR "
     "m.createseq > m.modseq"},
    {"modseq of a message is above the account's",
     "SELECT e.id FROM email e JOIN email_state s ON s.id = e.id, account a WHERE s.modseq > "
     "a.modseq OR e.createseq > s.modseq OR s.memberseq > s.modseq"},
    {"modseq of an expunged uid is above its mailbox's",
     "SELECT x.uid FROM expunged x JOIN mailbox m ON m.id = x.mailbox WHERE x.modseq > m.modseq"},
    {"message modseq is above its mailbox's",
     "SELECT m.name FROM mailbox m JOIN placement p ON p.mailbox = m.id WHERE p.modseq > m.modseq"},
    {"copy of a message that is not there",
     "SELECT p.uid FROM placement p LEFT JOIN email_state e ON e.id = p.email WHERE e.id IS NULL OR "
     "e.dead_modseq IS NOT NULL"},
    {"copy differs from its message",
     "SELECT p.uid FROM placement p JOIN email e ON e.id = p.email WHERE p.size <> e.size OR "
     "p.received_unix <> e.received_unix OR p.thread <> e.thread"},
    {"message without a place is not marked dead",
     "SELECT e.id FROM email_state e WHERE e.dead_modseq IS NULL AND NOT EXISTS (SELECT 1 FROM "
     "placement p WHERE p.email = e.id)"},
    {"message and its state are not together",
     "SELECT e.id FROM email e LEFT JOIN email_state s ON s.id = e.id WHERE s.id IS NULL"},
    {"message bytes are missing or of another length",
     "SELECT e.id FROM email e WHERE e.size <> (SELECT coalesce(sum(c.size), -1) FROM chunk c WHERE "
     "c.owner = e.id)", true},
    {"message bytes of no message",
     "SELECT c.owner FROM chunk c LEFT JOIN email e ON e.id = c.owner WHERE e.id IS NULL"},
    {"used space differs from the messages",
     "SELECT a.used_bytes FROM account a WHERE a.used_bytes <> (SELECT coalesce(sum(e.size), 0) FROM "
     "email e JOIN email_state s ON s.id = e.id WHERE s.dead_modseq IS NULL)"},
    {"parent mailbox is missing",
     "SELECT m.name FROM mailbox m WHERE instr(m.name, '/') > 0 AND NOT EXISTS (SELECT 1 FROM "
     "mailbox p WHERE p.name = rtrim(rtrim(m.name, replace(m.name, '/', '')), '/'))"},
    {"judgement of a message differs from its flags",
     "SELECT o.email FROM origin o JOIN email_state s ON s.id = o.email WHERE o.judged <> CASE WHEN "
     "s.dead_modseq IS NOT NULL THEN 0 WHEN s.flags & 64 THEN 2 WHEN s.flags & 128 THEN 1 ELSE 0 END"},
    {"sign of a message differs from its judgement",
     "SELECT s.email FROM sign s LEFT JOIN origin o ON o.email = s.email WHERE o.email IS NULL OR "
     "o.judged = 0 OR o.mailbox <> s.mailbox OR o.received_unix <> s.received_unix OR s.is_junk <> "
     "(o.judged = 2)"},
    {"message is learnt otherwise than its flags say, and not due",
     "SELECT e.id FROM email_state e WHERE e.learnt <> CASE e.flags & 192 WHEN 64 THEN 2 WHEN 128 "
     "THEN 1 ELSE 0 END AND EXISTS (SELECT 1 FROM junk_state) AND NOT EXISTS (SELECT 1 FROM "
     "junk_due d WHERE d.email = e.id)"},
    {"numbers of learnt messages differ from the messages",
     "SELECT 'ham or spam' FROM junk_state j WHERE j.ham <> (SELECT count(*) FROM email_state WHERE "
     "learnt = 1) OR j.spam <> (SELECT count(*) FROM email_state WHERE learnt = 2)"},
    {"no Inbox", "SELECT 'Inbox' WHERE NOT EXISTS (SELECT 1 FROM mailbox WHERE name = 'Inbox')"},
};

static bool read_nothing(void *ctx, struct str bytes)
{
    *(uint64_t *)ctx += bytes.n;
    return true;
}

// Every chunk is read, so that every checksum is looked at.
static bool check_bytes(struct store_reader *r, enum store_check what, struct buf *problems, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, what == STORE_CHECK_NO_SIZES
                             ? "SELECT e.id, (SELECT coalesce(sum(c.size), 0) FROM chunk c WHERE c.owner = e.id) "
                               "FROM email e ORDER BY e.id"
                             : "SELECT id, size FROM email ORDER BY id", e);

    while (s && stmt_step(s, e)) {
        struct err damaged = {0};
        uint64_t n = 0;

        if (!chunk_read(r->db, stmt_u64(s, 0), 0, stmt_u64(s, 1), read_nothing, &n, &damaged))
            buf_printf(problems, "%s\n", damaged.text);
    }
    return s && e->kind == ERR_NONE;
}

bool store_check(struct store_reader *r, enum store_check what, struct buf *problems, struct err *e)
{
    if (!db_check(r->db, problems, e) || !store_read_begin(r, e))
        return false;
    for (size_t i = 0; i < COUNT(invariants); i++) {
        AUTO_STMT s = NULL;

        if (invariants[i].is_size && what == STORE_CHECK_NO_SIZES)
            continue;
        s = db_prepare(r->db, invariants[i].sql, e);
        while (s && stmt_step(s, e))
            buf_printf(problems, "%s: %.*s\n", invariants[i].what, STR_FMT(stmt_str(s, 0)));
        if (!s || e->kind != ERR_NONE) {
            store_read_end(r);
            return false;
        }
    }
    if (!learn_check(r, problems, e)) {
        store_read_end(r);
        return false;
    }
    store_read_end(r);
    return check_bytes(r, what, problems, e);
}
