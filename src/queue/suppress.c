/*
 * Recipients that an account's mail is not tried for any more: who keeps sending to addresses that do not
 * exist is taken for a spammer (mox-smtp-delivery.md 3.8).
 */
#include "message/header.h"
#include "os/clock.h"
#include "queue/queue_priv.h"

const struct attempt queue_suppressed_attempt = {
    .class = ATTEMPT_PERMANENT, .enhanced = STR_("5.7.1"),
    .text = STR_("the recipient is on the account's suppression list, after earlier failures or by "
                 "request; remove it there to send again")};

struct str suppress_base(struct arena *a, struct str address)
{
    ptrdiff_t at = str_find_last(address, '@');
    struct str localpart = str_sub(address, 0, at < 0 ? address.n : (size_t)at);
    struct str domain = at < 0 ? STR("") : str_from(address, (size_t)at);
    AUTO_BUF b = BUF_LIMIT(4096);
    struct address parsed;

    if (address_parse_spec(a, address, &parsed))
        localpart = parsed.localpart;
    str_cut(localpart, '+', &localpart, &(struct str){0});
    str_cut(localpart, '-', &localpart, &(struct str){0});
    for (size_t i = 0; i < localpart.n; i++)
        if (localpart.p[i] != '.')
            buf_put_char(&b, localpart.p[i]);
    buf_put(&b, domain);
    return arena_lower(a, buf_str(&b));
}

bool queue_is_suppressed(struct queue *q, const struct queue_entry *entry, bool *out, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_STMT s = db_prepare(q->db, "SELECT 1 FROM suppression WHERE account = ? AND "
                                    "base_address = ?", e);

    *out = false;
    if (!s)
        return false;
    if (entry->origin != QUEUE_SUBMITTED)
        return true;
    stmt_bind_str(s, 1, entry->account);
    stmt_bind_str(s, 2, suppress_base(&a, entry->recipient));
    *out = stmt_step(s, e);
    return e->kind == ERR_NONE;
}

// Replies that say the address is not there, or takes nothing from us, ever.
static bool is_clear(const struct attempt *t)
{
    static const unsigned codes[] = {521, 550, 551, 553, 556};
    static const struct str details[] = {STR_("1.1"), STR_("1.2"), STR_("1.3"),
                                         STR_("1.6"), STR_("2.1"), STR_("7.1")};

    for (size_t i = 0; i < COUNT(codes); i++)
        if (t->code == codes[i])
            return true;
    for (size_t i = 0; i < COUNT(details); i++)
        if (t->code >= 500 && str_eq(str_from(t->enhanced, 2), details[i]))
            return true;
    return false;
}

// Whether the last two of this account's messages to the address failed as well.
static bool have_failed(struct queue *q, struct str account, struct str base, bool *out,
                        struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "SELECT is_success FROM retired WHERE account = ? AND "
                                    "base_address = ? ORDER BY last_activity_unix DESC, id DESC "
                                    "LIMIT 2", e);
    unsigned n = 0;

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_str(s, 2, base);
    while (stmt_step(s, e))
        n += !stmt_u64(s, 0);
    *out = n == 2;
    return e->kind == ERR_NONE;
}

bool suppress_add(struct queue *q, struct str account, struct str address, bool is_manual,
                  struct str reason, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_STMT s = db_prepare(q->db, "INSERT OR IGNORE INTO suppression (account, base_address, "
                                    "address, is_manual, reason, created_unix) "
                                    "VALUES (?,?,?,?,?,?)", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_str(s, 2, suppress_base(&a, address));
    stmt_bind_str(s, 3, address);
    stmt_bind_u64(s, 4, is_manual);
    stmt_bind_str(s, 5, reason);
    stmt_bind_i64(s, 6, os_now_unix());
    return stmt_run(s, e);
}

bool suppress_after_failure(struct queue *q, const struct queue_entry *entry,
                            const struct attempt *attempt, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    bool is_listed;

    if (entry->origin != QUEUE_SUBMITTED || !attempt->is_remote || !attempt->code)
        return true;
    is_listed = is_clear(attempt);
    if (!is_listed && !have_failed(q, entry->account, suppress_base(&a, entry->recipient),
                                   &is_listed, e))
        return false;
    return !is_listed || suppress_add(q, entry->account, entry->recipient, false,
                                      arena_printf(&a, "delivery failure from server: %u %.*s",
                                                   attempt->code, STR_FMT(attempt->text)), e);
}
