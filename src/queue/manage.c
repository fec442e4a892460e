#include "queue/manage.h"

#include <stdlib.h>

#include "base/map.h"
#include "config/sconf.h"
#include "message/header.h"
#include "os/clock.h"
#include "queue/queue_priv.h"
#include "text/date.h"
#include "text/encode.h"
#include "text/idna.h"

// An address has the text in it, is of the domain when that begins with "@", or is the one in "<>".
#define ADDRESS_MATCHES(column, p)                                                                 \
    "(" p " = '' OR CASE substr(" p ", 1, 1) "                                                     \
    "WHEN '@' THEN lower(substr(" column ", -length(" p "))) = lower(" p ") "                      \
    "WHEN '<' THEN '<' || lower(" column ") || '>' = lower(" p ") "                                \
    "ELSE instr(lower(" column "), lower(" p ")) > 0 END)"
#define TIME_MATCHES(column, when, p)                                                              \
    "(" when " = 0 OR (" when " = 1 AND " column " < " p ") OR (" when " = 2 AND " column " > " p "))"
// Parameters 1 to 11, see bind_filter.
#define ENTRY_MATCHES                                                                              \
    "(?1 = '' OR instr(?1, ',' || e.id || ',') > 0) AND (?2 = '' OR m.account = ?2) AND "          \
    ADDRESS_MATCHES("m.reverse_path", "?3") " AND " ADDRESS_MATCHES("e.recipient", "?4") " AND "   \
    "(?5 = 0 OR e.is_held = (?5 = 1)) AND " TIME_MATCHES("m.queued_unix", "?6", "?7") " AND "      \
    TIME_MATCHES("e.next_attempt_unix", "?8", "?9") " AND (?10 = 0 OR e.transport = ?11)"

static void bind_filter(struct stmt *s, const struct queue_filter *f)
{
    stmt_bind_str(s, 1, f->ids);
    stmt_bind_str(s, 2, f->account);
    stmt_bind_str(s, 3, f->from);
    stmt_bind_str(s, 4, f->to);
    stmt_bind_u64(s, 5, f->held);
    stmt_bind_u64(s, 6, f->submitted.when);
    stmt_bind_i64(s, 7, f->submitted.unix_seconds);
    stmt_bind_u64(s, 8, f->next_attempt.when);
    stmt_bind_i64(s, 9, f->next_attempt.unix_seconds);
    stmt_bind_u64(s, 10, f->has_transport);
    stmt_bind_str(s, 11, f->transport);
}

/* --- lists --------------------------------------------------------------------------------------- */

// "1h5m3s", as upstream prints durations.
static void put_duration(struct buf *out, int64_t seconds)
{
    if (seconds < 0) {
        BUF_PUT(out, "-");
        seconds = -seconds;
    }
    if (seconds >= 3600)
        buf_printf(out, "%lldh", (long long)(seconds / 3600));
    if (seconds >= 60)
        buf_printf(out, "%lldm", (long long)(seconds % 3600 / 60));
    buf_printf(out, "%llds", (long long)(seconds % 60));
}

// Text of others on a terminal: control characters would act there.
static void put_plain(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        buf_put_char(out, (unsigned char)s.p[i] < 32 || s.p[i] == 127 ? '?' : s.p[i]);
}

static void put_start(struct buf *out, struct stmt *s)
{
    buf_printf(out, "%5llu ", (unsigned long long)stmt_u64(s, 0));
    date_put_rfc3339(out, stmt_i64(s, 1));
    BUF_PUT(out, " from:<");
    put_plain(out, stmt_str(s, 2));
    BUF_PUT(out, "> to:<");
    put_plain(out, stmt_str(s, 3));
    BUF_PUT(out, "> ");
}

static void put_entry(struct buf *out, struct stmt *s)
{
    static const struct str tls[] = {STR_(""), STR_(" requiretls yes"), STR_(" requiretls no")};
    int64_t now = os_now_unix();

    put_start(out, s);
    BUF_PUT(out, "next ");
    put_duration(out, stmt_i64(s, 4) - now);
    BUF_PUT(out, " last ");
    if (stmt_is_null(s, 5))
        BUF_PUT(out, "-");
    else
        put_duration(out, now - stmt_i64(s, 5));
    BUF_PUT(out, " error \"");
    put_plain(out, str_sub(stmt_str(s, 6), 0, 1000));
    BUF_PUT(out, "\"");
    if (stmt_u64(s, 7))
        BUF_PUT(out, " on hold");
    if (stmt_str(s, 8).n) {
        BUF_PUT(out, " transport \"");
        put_plain(out, stmt_str(s, 8));
        BUF_PUT(out, "\"");
    }
    buf_put(out, tls[stmt_u64(s, 9) % COUNT(tls)]);
    if (stmt_str(s, 10).n) {
        BUF_PUT(out, " futurerelease \"");
        put_plain(out, stmt_str(s, 10));
        BUF_PUT(out, "\"");
    }
    BUF_PUT(out, "\n");
}

#define LIST(order_by, after)                                                                      \
    "SELECT e.id, m.queued_unix, m.reverse_path, e.recipient, e.next_attempt_unix, "               \
    "e.last_attempt_unix, e.last_error, e.is_held, e.transport, e.require_tls, m.future_release "  \
    "FROM entry e JOIN message m ON m.id = e.message WHERE " ENTRY_MATCHES                         \
    " AND (?13 = 0 OR " after ") AND ?12 = ?12 ORDER BY " order_by
static const char *const lists[2][2] = {
    // By the next attempt: the last first, the first first. ?12: the time of the last one that was listed.
    {LIST("e.next_attempt_unix DESC, e.id DESC", "(e.next_attempt_unix, e.id) < (?12, ?13)"),
     LIST("e.next_attempt_unix, e.id", "(e.next_attempt_unix, e.id) > (?12, ?13)")},
    {LIST("e.id DESC", "e.id < ?13"), LIST("e.id", "e.id > ?13")},
};

bool queue_list(struct queue *q, const struct queue_filter *filter, uint64_t after,
                struct buf *out, uint64_t *last, struct err *e)
{
    enum { LONGEST_LINE = 4096 };
    AUTO_STMT s = db_prepare(q->db, lists[filter->by_queued][filter->is_ascending], e);

    *last = 0;
    if (!s)
        return false;
    q->n_listed = after ? q->n_listed : 0;
    bind_filter(s, filter);
    stmt_bind_i64(s, 12, q->listed_unix);
    stmt_bind_u64(s, 13, after);
    while ((!filter->max || q->n_listed < filter->max) && stmt_step(s, e)) {
        put_entry(out, s);
        q->n_listed++;
        if (out->n + LONGEST_LINE > out->limit) {
            *last = stmt_u64(s, 0);
            q->listed_unix = stmt_i64(s, 4);
            break;
        }
    }
    return e->kind == ERR_NONE;
}

/* --- changes ------------------------------------------------------------------------------------- */

static bool take_ids(struct queue *q, const struct queue_filter *f, uint64_t after, size_t max,
                     uint64_t *ids, size_t *n, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "SELECT e.id FROM entry e JOIN message m ON m.id = e.message "
                                    "WHERE e.id > ?12 AND " ENTRY_MATCHES " ORDER BY e.id LIMIT ?13",
                             e);

    *n = 0;
    if (!s)
        return false;
    bind_filter(s, f);
    stmt_bind_u64(s, 12, after);
    stmt_bind_u64(s, 13, max);
    while (*n < max && stmt_step(s, e))
        ids[(*n)++] = stmt_u64(s, 0);
    return e->kind == ERR_NONE;
}

static bool update(struct queue *q, const char *sql, uint64_t id, int64_t number, struct str text,
                   struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, sql, e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, id);
    stmt_bind_i64(s, 2, number);
    stmt_bind_str(s, 3, text);
    return stmt_run(s, e);
}

static bool end_by_hand(struct queue *q, uint64_t id, bool is_told, struct err *e)
{
    static const struct attempt canceled = {
        .class = ATTEMPT_PERMANENT, .enhanced = STR_("5.7.0"),
        .text = STR_("delivery canceled by the administrator")};
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct queue_entry entry;
    bool found;

    if (!schedule_read_entry(q, &a, id, &entry, &found, e))
        return false;
    return !found || result_end_by_hand(q, &entry, &canceled, is_told, e);
}

/* A change, and what of its value is used. */
struct change {
    enum queue_change what;
    int64_t number;
    struct str text;
};

static bool change_one(struct queue *q, const struct change *c, uint64_t id, struct err *e)
{
    // Every statement has the parameters of update: the entry, a number, a text.
#define SET(assignment) "UPDATE entry SET " assignment " WHERE id = ?1 AND ?2 = ?2 AND ?3 = ?3"
    switch (c->what) {
    case QUEUE_HOLD:
        return update(q, SET("is_held = 1"), id, 0, STR(""), e);
    case QUEUE_UNHOLD:
        return update(q, SET("is_held = 0"), id, 0, STR(""), e);
    case QUEUE_ADD_TIME:
        return update(q, SET("next_attempt_unix = next_attempt_unix + ?2"), id, c->number, STR(""),
                      e);
    case QUEUE_SET_TIME:
        return update(q, SET("next_attempt_unix = ?2"), id, c->number, STR(""), e);
    case QUEUE_TRANSPORT:
        return update(q, SET("transport = ?3"), id, 0, c->text, e);
    case QUEUE_REQUIRE_TLS:
        return update(q, SET("require_tls = ?2"), id, c->number, STR(""), e);
    case QUEUE_FAIL:
    case QUEUE_DROP:
        return end_by_hand(q, id, c->what == QUEUE_FAIL, e);
    case QUEUE_CHANGE_COUNT:
        break;
    }
#undef SET
    return fail(e, ERR_BUG, "no such change");
}

static bool read_value(enum queue_change what, struct str value, struct change *out, struct err *e)
{
    enum { MAX_S = 10 * 365 * 24 * 3600 };
    bool is_negative = str_starts(value, STR("-"));
    int64_t ns = 0;

    *out = (struct change){.what = what, .text = value};
    if (what == QUEUE_ADD_TIME || what == QUEUE_SET_TIME) {
        if (!sconf_duration(str_from(value, is_negative), &ns) || ns < 0 ||
            ns / 1000000000 > MAX_S)
            return fail(e, ERR_SYNTAX, "\"%.*s\" is no duration such as 1h30m", STR_FMT(value));
        ns /= 1000000000;
        out->number = (is_negative ? -ns : ns) + (what == QUEUE_SET_TIME ? os_now_unix() : 0);
    }
    if (what == QUEUE_REQUIRE_TLS) {
        out->number = str_eq(value, STR("yes")) ? 1 : str_eq(value, STR("no")) ? 2 : 0;
        if (!out->number && !str_eq(value, STR("default")))
            return fail(e, ERR_SYNTAX, "\"%.*s\" is none of yes, no, default", STR_FMT(value));
    }
    return true;
}

static bool change_all(struct queue *q, const struct change *c, const uint64_t *ids, size_t n,
                       struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (!change_one(q, c, ids[i], e))
            return false;
    return true;
}

bool queue_change(struct queue *q, enum queue_change what, const struct queue_filter *filter,
                  struct str value, uint64_t after, size_t max, size_t *n, uint64_t *last,
                  struct err *e)
{
    struct change c;
    uint64_t *ids;
    bool is_ok;

    *n = 0;
    *last = 0;
    if (!read_value(what, value, &c, e))
        return false;
    ids = heap_array(max, sizeof *ids);
    is_ok = take_ids(q, filter, after, max, ids, n, e) && queue_change_begin(q, e) &&
            queue_change_end(q, change_all(q, &c, ids, *n, e), e);
    if (is_ok && *n == max)
        *last = ids[max - 1];
    free(ids);
    schedule_reset(q);
    return is_ok;
}

// By number, not by what they are: each answer goes on where the one before ended, and reads no more than it tells of.
bool queue_senders(struct queue *q, struct str account, uint64_t after, struct buf *out,
                   uint64_t *next, struct err *e)
{
    enum { LONGEST_LINE = 2048, AT_ONCE = 10000 };
    AUTO_STMT s = db_prepare(q->db, "SELECT id, account = ?1, reverse_path FROM message WHERE id > ?2 ORDER BY id LIMIT ?3", e);
    struct map told = {0};
    size_t n = 0;

    *next = 0;
    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_u64(s, 2, after);
    stmt_bind_u64(s, 3, AT_ONCE);
    while (out->n + LONGEST_LINE <= out->limit && stmt_step(s, e)) {
        struct str path = stmt_str(s, 2);

        n++;
        *next = stmt_u64(s, 0);
        if (!stmt_u64(s, 1) || map_get(&told, path))
            continue;
        map_put(&told, path, q);
        put_plain(out, path);
        BUF_PUT(out, "\n");
    }
    map_fini(&told);
    if (n < AT_ONCE && out->n + LONGEST_LINE <= out->limit)
        *next = 0;
    return e->kind == ERR_NONE;
}

bool queue_dump(struct queue *q, uint64_t id, uint64_t offset, struct buf *out, uint64_t *next,
                struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "SELECT m.id, m.size FROM entry e JOIN message m "
                                    "ON m.id = e.message WHERE e.id = ?", e);
    uint64_t message = 0, size = 0;

    *next = 0;
    if (!s)
        return false;
    stmt_bind_u64(s, 1, id);
    if (stmt_step(s, e)) {
        message = stmt_u64(s, 0);
        size = stmt_u64(s, 1);
    } else if (!e->kind) {
        return fail(e, ERR_NOT_FOUND, "no message %llu in the queue", (unsigned long long)id);
    }
    if (e->kind || !queue_read_part(q, message, offset, out->limit - out->n, out, e))
        return false;
    if (offset + out->n < size && out->n)
        *next = offset + out->n;
    return true;
}

/* --- rules for holding --------------------------------------------------------------------------- */

bool queue_hold_rules_list(struct queue *q, struct buf *out, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "SELECT id, account, sender_domain, recipient_domain "
                                    "FROM hold_rule ORDER BY id", e);
    static const char *const names[] = {"account", "sender domain", "recipient domain"};

    if (!s)
        return false;
    while (stmt_step(s, e)) {
        bool has_one = false;

        buf_printf(out, "id %llu: ", (unsigned long long)stmt_u64(s, 0));
        for (int i = 0; i < 3; i++) {
            if (!stmt_str(s, i + 1).n)
                continue;
            buf_printf(out, "%s%s \"", has_one ? ", " : "", names[i]);
            put_plain(out, stmt_str(s, i + 1));
            BUF_PUT(out, "\"");
            has_one = true;
        }
        buf_put(out, has_one ? STR("\n") : STR("all messages\n"));
    }
    return e->kind == ERR_NONE;
}

static bool add_rule(struct queue *q, struct str account, struct str sender_domain,
                     struct str recipient_domain, size_t *n_held, struct err *e)
{
    AUTO_STMT rule = db_prepare(q->db, "INSERT INTO hold_rule (account, sender_domain, "
                                       "recipient_domain) VALUES (?,?,?)", e);
    AUTO_STMT hold = db_prepare(q->db,
                                "UPDATE entry SET is_held = 1 WHERE is_held = 0 AND "
                                "(?3 = '' OR domain = ?3) AND message IN (SELECT id FROM message "
                                "WHERE (?1 = '' OR account = ?1) AND (?2 = '' OR "
                                "lower(substr(reverse_path, -length(?2) - 1)) = '@' || ?2))", e);

    for (int i = 0; i < 2 && rule && hold; i++) {
        struct stmt *s = i ? hold : rule;

        stmt_bind_str(s, 1, account);
        stmt_bind_str(s, 2, sender_domain);
        stmt_bind_str(s, 3, recipient_domain);
        if (!stmt_run(s, e))
            return false;
        *n_held = db_changes(q->db);
    }
    return rule && hold;
}

// The one spelling of the DNS, as entries have it; or empty, or an address between brackets.
static bool take_rule_domain(struct arena *a, struct str text, struct str *out, struct err *e)
{
    *out = text.n ? queue_domain_of(a, arena_printf(a, "@%.*s", STR_FMT(text))) : STR("");
    return !text.n || str_starts(text, STR("[")) || domain_to_ascii(a, text, &(struct str){0}, NULL) ||
           fail(e, ERR_SYNTAX, "\"%.*s\" is no domain", STR_FMT(text));
}

bool queue_hold_rules_add(struct queue *q, struct str account, struct str sender_domain,
                          struct str recipient_domain, size_t *n_held, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct str sender, recipient;

    *n_held = 0;
    return take_rule_domain(&a, sender_domain, &sender, e) && take_rule_domain(&a, recipient_domain, &recipient, e) &&
           queue_change_begin(q, e) &&
           queue_change_end(q, add_rule(q, account, sender, recipient, n_held, e), e);
}

bool queue_hold_rules_remove(struct queue *q, uint64_t id, struct err *e)
{
    bool is_ok = queue_change_begin(q, e) &&
                 queue_change_end(q, DB_RUN(q->db, "DELETE FROM hold_rule WHERE id = ?", e, id), e);

    return is_ok && (db_changes(q->db) ||
                     fail(e, ERR_NOT_FOUND, "no hold rule %llu", (unsigned long long)id));
}

/* --- suppression --------------------------------------------------------------------------------- */

static void put_quoted(struct buf *out, struct str s)
{
    json_put_string(out, str_sub(s, 0, 1000));
}

bool queue_suppress_list(struct queue *q, struct str account, uint64_t after, struct buf *out,
                         uint64_t *last, struct err *e)
{
    enum { LONGEST_LINE = 16384 };
    AUTO_STMT s = db_prepare(q->db, "SELECT id, account, address, is_manual, created_unix, "
                                    "base_address, reason FROM suppression WHERE id > ?1 AND "
                                    "(?2 = '' OR account = ?2) ORDER BY id", e);

    *last = 0;
    if (!s)
        return false;
    stmt_bind_u64(s, 1, after);
    stmt_bind_str(s, 2, account);
    while (stmt_step(s, e)) {
        put_quoted(out, stmt_str(s, 1));
        BUF_PUT(out, "\t");
        put_quoted(out, stmt_str(s, 2));
        buf_put(out, stmt_u64(s, 3) ? STR("\ttrue\t") : STR("\tfalse\t"));
        date_put_rfc3339(out, stmt_i64(s, 4));
        BUF_PUT(out, "\t");
        put_quoted(out, stmt_str(s, 5));
        BUF_PUT(out, "\t");
        put_quoted(out, stmt_str(s, 6));
        BUF_PUT(out, "\n");
        if (out->n + LONGEST_LINE > out->limit) {
            *last = stmt_u64(s, 0);
            break;
        }
    }
    return e->kind == ERR_NONE;
}

static bool is_address(struct str text, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);

    return address_parse_spec(&a, text, &(struct address){0}) ||
           fail(e, ERR_SYNTAX, "\"%.*s\" is no email address", STR_FMT(text));
}

bool queue_suppress_add(struct queue *q, struct str account, struct str address, struct err *e)
{
    if (!account.n)
        return fail(e, ERR_SYNTAX, "an account is needed");
    if (!is_address(address, e))
        return false;
    if (!queue_change_begin(q, e) ||
        !queue_change_end(q, suppress_add(q, account, address, true, STR("added by the administrator"), e),
                          e))
        return false;
    return db_changes(q->db) || fail(e, ERR_CONFLICT, "the address is on the list already");
}

static bool remove_suppressed(struct queue *q, struct str account, struct str address,
                              struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_STMT s = db_prepare(q->db, "DELETE FROM suppression WHERE account = ? AND base_address = ?",
                             e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_str(s, 2, suppress_base(&a, address));
    return stmt_run(s, e) &&
           (db_changes(q->db) || fail(e, ERR_NOT_FOUND, "the address is not on the account's list"));
}

bool queue_suppress_remove(struct queue *q, struct str account, struct str address, struct err *e)
{
    return queue_change_begin(q, e) &&
           queue_change_end(q, remove_suppressed(q, account, address, e), e);
}

static bool forget_suppressed(struct queue *q, struct str account, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "DELETE FROM suppression WHERE account = ?", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    return stmt_run(s, e);
}

bool queue_suppress_forget(struct queue *q, struct str account, struct err *e)
{
    return queue_change_begin(q, e) && queue_change_end(q, forget_suppressed(q, account, e), e);
}

bool queue_suppress_lookup(struct queue *q, struct str account, struct str address,
                           struct buf *out, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_STMT s = db_prepare(q->db, "SELECT created_unix, is_manual, base_address, reason "
                                    "FROM suppression WHERE account = ? AND base_address = ?", e);

    if (!is_address(address, e))
        return false;
    if (!s)
        return false;
    stmt_bind_str(s, 1, account);
    stmt_bind_str(s, 2, suppress_base(&a, address));
    if (!stmt_step(s, e)) {
        BUF_PUT(out, "not present\n");
        return e->kind == ERR_NONE;
    }
    BUF_PUT(out, "present\nadded: ");
    date_put_rfc3339(out, stmt_i64(s, 0));
    buf_put(out, stmt_u64(s, 1) ? STR("\nmanual: true\nbase address: ") : STR("\nmanual: false\nbase address: "));
    put_quoted(out, stmt_str(s, 2));
    BUF_PUT(out, "\nreason: ");
    put_quoted(out, stmt_str(s, 3));
    BUF_PUT(out, "\n");
    return true;
}

/* --- retired messages ---------------------------------------------------------------------------- */

#define RETIRED_LIST(order_by, after)                                                              \
    "SELECT id, queued_unix, reverse_path, recipient, is_success, last_activity_unix, last_error " \
    "FROM retired WHERE (?1 = '' OR instr(?1, ',' || id || ',') > 0) AND "                         \
    "(?2 = '' OR account = ?2) AND " ADDRESS_MATCHES("reverse_path", "?3") " AND "                 \
    ADDRESS_MATCHES("recipient", "?4") " AND (?5 = 0 OR is_success = (?5 = 1)) AND "               \
    TIME_MATCHES("queued_unix", "?6", "?7") " AND "                                                \
    TIME_MATCHES("last_activity_unix", "?8", "?9") " AND (?10 = 0 OR transport = ?11)"             \
    " AND (?13 = 0 OR " after ") AND ?12 = ?12 ORDER BY " order_by
static const char *const retired_lists[2][2] = {
    {RETIRED_LIST("last_activity_unix DESC, id DESC", "(last_activity_unix, id) < (?12, ?13)"),
     RETIRED_LIST("last_activity_unix, id", "(last_activity_unix, id) > (?12, ?13)")},
    {RETIRED_LIST("id DESC", "id < ?13"), RETIRED_LIST("id", "id > ?13")},
};

bool queue_retired_list(struct queue *q, const struct queue_filter *filter, uint64_t after,
                        struct buf *out, uint64_t *last, struct err *e)
{
    enum { LONGEST_LINE = 4096 };
    AUTO_STMT s = db_prepare(q->db, retired_lists[filter->by_queued][filter->is_ascending], e);
    int64_t now = os_now_unix();

    *last = 0;
    if (!s)
        return false;
    q->n_listed = after ? q->n_listed : 0;
    bind_filter(s, filter);
    stmt_bind_u64(s, 5, filter->result);
    stmt_bind_u64(s, 8, filter->last_activity.when);
    stmt_bind_i64(s, 9, filter->last_activity.unix_seconds);
    stmt_bind_i64(s, 12, q->listed_unix);
    stmt_bind_u64(s, 13, after);
    while ((!filter->max || q->n_listed < filter->max) && stmt_step(s, e)) {
        put_start(out, s);
        buf_put(out, stmt_u64(s, 4) ? STR("success last ") : STR("failure last "));
        put_duration(out, now - stmt_i64(s, 5));
        BUF_PUT(out, " error \"");
        put_plain(out, str_sub(stmt_str(s, 6), 0, 1000));
        BUF_PUT(out, "\"\n");
        q->n_listed++;
        if (out->n + LONGEST_LINE > out->limit) {
            *last = stmt_u64(s, 0);
            q->listed_unix = stmt_i64(s, 5);
            break;
        }
    }
    return e->kind == ERR_NONE;
}

static void put_name(struct buf *out, const char *name)
{
    BUF_PUT(out, "\t\"");
    buf_put(out, str_of(name));
    BUF_PUT(out, "\": ");
}

static void put_json_time(struct buf *out, int64_t unix_seconds)
{
    BUF_PUT(out, "\"");
    date_put_rfc3339(out, unix_seconds);
    BUF_PUT(out, "\"");
}

static bool put_results(struct queue *q, uint64_t id, struct buf *out, struct err *e)
{
    AUTO_STMT s = db_prepare(q->db, "SELECT started_unix, duration_ms, is_success, code, enhanced, text "
                                    "FROM result WHERE entry = ? ORDER BY id", e);
    bool has_one = false;

    if (!s)
        return false;
    stmt_bind_u64(s, 1, id);
    put_name(out, "Results");
    BUF_PUT(out, "[");
    for (; stmt_step(s, e); has_one = true) {
        buf_put(out, has_one ? STR(",\n\t\t{\n\t\t\t\"Start\": ") : STR("\n\t\t{\n\t\t\t\"Start\": "));
        put_json_time(out, stmt_i64(s, 0));
        BUF_PUT(out, ",\n\t\t\t\"DurationMs\": ");
        buf_put_u64(out, stmt_u64(s, 1));
        buf_put(out, stmt_u64(s, 2) ? STR(",\n\t\t\t\"Success\": true") : STR(",\n\t\t\t\"Success\": false"));
        BUF_PUT(out, ",\n\t\t\t\"Code\": ");
        buf_put_u64(out, stmt_u64(s, 3));
        BUF_PUT(out, ",\n\t\t\t\"Secode\": ");
        put_quoted(out, stmt_str(s, 4));
        BUF_PUT(out, ",\n\t\t\t\"Error\": ");
        put_quoted(out, stmt_u64(s, 2) ? STR("") : stmt_str(s, 5));
        BUF_PUT(out, "\n\t\t}");
    }
    buf_put(out, has_one ? STR("\n\t]\n") : STR("]\n"));
    return e->kind == ERR_NONE;
}

bool queue_retired_print(struct queue *q, uint64_t id, struct buf *out, struct err *e)
{
    static const struct {
        const char *name;
        enum { TEXT, NUMBER, BOOL, TIME } type;
    } columns[] = {{"ID", NUMBER}, {"BaseID", NUMBER}, {"SenderAccount", TEXT}, {"Sender", TEXT},
                   {"Recipient", TEXT}, {"MessageID", TEXT}, {"EnvelopeID", TEXT},
                   {"Transport", TEXT}, {"RequireTLS", NUMBER}, {"FutureReleaseRequest", TEXT},
                   {"Size", NUMBER}, {"Queued", TIME}, {"Attempts", NUMBER}, {"Success", BOOL},
                   {"LastActivity", TIME}, {"KeepUntil", TIME}};
    AUTO_STMT s = db_prepare(q->db,
                             "SELECT id, message, account, reverse_path, recipient, message_id, envid, "
                             "transport, require_tls, future_release, size, queued_unix, attempts, "
                             "is_success, last_activity_unix, keep_until_unix FROM retired WHERE id = ?",
                             e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, id);
    if (!stmt_step(s, e))
        return !e->kind ? fail(e, ERR_NOT_FOUND, "no retired message %llu", (unsigned long long)id)
                        : false;
    BUF_PUT(out, "{\n");
    for (int i = 0; i < (int)COUNT(columns); i++) {
        put_name(out, columns[i].name);
        switch (columns[i].type) {
        case TEXT:
            put_quoted(out, stmt_str(s, i));
            break;
        case NUMBER:
            buf_put_u64(out, stmt_u64(s, i));
            break;
        case BOOL:
            buf_put(out, stmt_u64(s, i) ? STR("true") : STR("false"));
            break;
        case TIME:
            put_json_time(out, stmt_i64(s, i));
            break;
        }
        BUF_PUT(out, ",\n");
    }
    if (!put_results(q, id, out, e))
        return false;
    BUF_PUT(out, "}\n");
    return !out->full || fail(e, ERR_LIMIT, "too much to print");
}
