/*
 * Mailboxes: names, creating, deleting, renaming, subscriptions.
 */
#include <stdlib.h>
#include <uninorm.h>

#include "store/store_priv.h"
#include "text/encode.h"

static bool is_nfc(struct str s)
{
    size_t n = 0;
    uint8_t *normal = u8_normalize(UNINORM_NFC, (const uint8_t *)s.p, s.n, NULL, &n);
    bool same = normal && str_eq(s, str_at(normal, n));

    free(normal);
    return same;
}

static bool check_element(struct str element, struct err *e)
{
    if (!element.n)
        return fail(e, ERR_SYNTAX, "mailbox name has an empty element");
    if (str_eq(element, STR(".")) || str_eq(element, STR("..")))
        return fail(e, ERR_SYNTAX, "mailbox name has a \".\" or \"..\" element");
    return true;
}

bool store_mailbox_name(struct arena *a, struct str name, struct str *out, struct err *e)
{
    struct str left = name, element, first;

    if (!name.n || name.n > STORE_MAX_MAILBOX_NAME)
        return fail(e, ERR_SYNTAX, "mailbox name is empty or longer than %d bytes",
                    STORE_MAX_MAILBOX_NAME);
    if (!utf8_is_valid(name) || !is_nfc(name))
        return fail(e, ERR_SYNTAX, "mailbox name is not normalized UTF-8");
    if (name.p[0] == '#')
        return fail(e, ERR_SYNTAX, "mailbox name starts with #");
    for (struct str s = name; s.n;) {
        uint32_t cp = utf8_next(&s);

        if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 || cp == 0x2029)
            return fail(e, ERR_SYNTAX, "mailbox name has a control character");
    }
    while (str_cut(left, '/', &element, &left))
        if (!check_element(element, e))
            return false;
    if (!check_element(left, e))
        return false;
    if (!str_cut(name, '/', &first, &left))
        first = name;
    if (str_eq_ci(first, STR("inbox")))
        *out = arena_printf(a, "Inbox%.*s", STR_FMT(str_from(name, 5)));
    else
        *out = arena_dup(a, name);
    return true;
}

bool writer_find_mailbox(struct store *st, struct str name, struct writer_mailbox *out,
                         struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT id, uidvalidity, special_use = 'Sent' FROM mailbox "
                             "WHERE name = ?", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, name);
    if (!stmt_step(s, e))
        return e->kind == ERR_NONE ? fail(e, ERR_NOT_FOUND, "no such mailbox") : false;
    *out = (struct writer_mailbox){stmt_u64(s, 0), (uint32_t)stmt_u64(s, 1), stmt_u64(s, 2) != 0};
    return true;
}

// Inserts or deletes; *changed tells whether that made a difference.
static bool set_subscribed(struct store *st, struct str name, bool on, bool *changed,
                           struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, on ? "INSERT OR IGNORE INTO subscription (name) VALUES (?)"
                                        : "DELETE FROM subscription WHERE name = ?", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, name);
    if (!stmt_run(s, e))
        return false;
    *changed = db_changes(st->db) > 0;
    return true;
}

static bool is_subscribed(struct store *st, struct str name, bool *out, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT 1 FROM subscription WHERE name = ?", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, name);
    *out = stmt_step(s, e);
    return e->kind == ERR_NONE;
}

// Each mailbox ever made gets a uidvalidity of its own, so a deleted name that comes back is new.
static bool next_uidvalidity(struct store *st, uint64_t *out, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "UPDATE account SET next_uidvalidity = next_uidvalidity + 1 "
                             "RETURNING next_uidvalidity - 1", e);

    if (!s || !stmt_step(s, e))
        return false;
    *out = stmt_u64(s, 0);
    return stmt_step(s, e) || e->kind == ERR_NONE;
}

struct renew_job {
    struct str name; // empty: all
    uint32_t not_below, *out;
};

static bool renew_job(struct store *st, void *ctx, struct err *e)
{
    AUTO_STMT least = db_prepare(st->db, "UPDATE account SET next_uidvalidity = max(next_uidvalidity, ?)", e);
    AUTO_STMT s = db_prepare(st->db, "UPDATE mailbox SET uidvalidity = ?1, modseq = ?2 "
                             "WHERE ?3 = '' OR name = ?3", e);
    const struct renew_job *j = ctx;
    uint64_t modseq, uidvalidity;

    if (!least || !s)
        return false;
    stmt_bind_u64(least, 1, j->not_below);
    if (!stmt_run(least, e) || !job_modseq(st, &modseq, e) || !next_uidvalidity(st, &uidvalidity, e))
        return false;
    if (uidvalidity > UINT32_MAX)
        return fail(e, ERR_LIMIT, "there are no more values for UIDVALIDITY");
    stmt_bind_u64(s, 1, uidvalidity);
    stmt_bind_u64(s, 2, modseq);
    stmt_bind_str(s, 3, j->name);
    touch(st, TOUCHED_MAILBOX);
    *j->out = (uint32_t)uidvalidity;
    return stmt_run(s, e) && (db_changes(st->db) || fail(e, ERR_NOT_FOUND, "no such mailbox"));
}

bool store_renew_uidvalidity(struct store *st, struct str name, uint32_t not_below, uint32_t *out,
                             struct err *e)
{
    return store_write(st, renew_job, &(struct renew_job){name, not_below, out}, e);
}

static bool insert_mailbox(struct store *st, struct str name, struct str special_use,
                           bool subscribes, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "INSERT INTO mailbox (name, special_use, uidvalidity, "
                             "createseq, modseq, countseq) VALUES (?, ?, ?, ?, ?, ?)", e);
    AUTO_STMT take = db_prepare(st->db, "UPDATE mailbox SET special_use = '', modseq = ? "
                                "WHERE special_use = ? AND ? <> ''", e);
    struct store_event event = {.kind = EVENT_CREATED, .name = name, .special_use = special_use,
                                .exists = true};
    uint64_t modseq, uidvalidity;
    bool changed;

    if (!s || !take || !job_modseq(st, &modseq, e) || !next_uidvalidity(st, &uidvalidity, e))
        return false;
    stmt_bind_u64(take, 1, modseq);
    stmt_bind_str(take, 2, special_use);
    stmt_bind_str(take, 3, special_use);
    stmt_bind_str(s, 1, name);
    stmt_bind_str(s, 2, special_use);
    stmt_bind_u64(s, 3, uidvalidity);
    stmt_bind_u64(s, 4, modseq);
    stmt_bind_u64(s, 5, modseq);
    stmt_bind_u64(s, 6, modseq);
    touch(st, TOUCHED_MAILBOX);
    if (!stmt_run(take, e) || !stmt_run(s, e))
        return false;
    event.mailbox = db_last_id(st->db);
    return (!subscribes || set_subscribed(st, name, true, &changed, e)) &&
           is_subscribed(st, name, &event.is_subscribed, e) && note_event(st, event, e);
}

static bool create_path(struct store *st, struct str name, struct str special_use,
                        bool subscribes, struct writer_mailbox *out, struct err *e)
{
    // Parents first: a child never exists without its parent.
    for (size_t i = 1; i <= name.n; i++) {
        struct str part = str_sub(name, 0, i);
        struct err ignored = {0};

        if (i < name.n && name.p[i] != '/')
            continue;
        if (writer_find_mailbox(st, part, out, &ignored)) {
            if (i == name.n)
                return fail(e, ERR_CONFLICT, "mailbox exists already");
            continue;
        }
        if (ignored.kind != ERR_NOT_FOUND) {
            *e = ignored;
            return false;
        }
        if (!insert_mailbox(st, part, i == name.n ? special_use : (struct str){0}, subscribes, e))
            return false;
    }
    return writer_find_mailbox(st, name, out, e);
}

bool writer_create_mailbox(struct store *st, struct str name, struct str special_use,
                           struct writer_mailbox *out, struct err *e)
{
    return create_path(st, name, special_use, true, out, e);
}

struct name_job {
    const struct store_session *by;
    struct str name, to, special_use;
    bool on;
};

static bool create_job(struct store *st, void *ctx, struct err *e)
{
    struct name_job *j = ctx;
    struct writer_mailbox m;

    st->job_by = j->by;
    return writer_create_mailbox(st, j->name, j->special_use, &m, e);
}

bool store_mailbox_create(struct store *st, const struct store_session *by, struct str name,
                          struct str special_use, struct err *e)
{
    return store_write(st, create_job, &(struct name_job){by, name, name, special_use, true}, e);
}

static bool has_children(struct store *st, struct str name, bool *out, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT 1 FROM mailbox WHERE substr(name, 1, length(?1) + 1) "
                             "= ?1 || '/' LIMIT 1", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, name);
    *out = stmt_step(s, e);
    return e->kind == ERR_NONE;
}

static bool bury(struct store *st, const char *type, uint64_t id, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "INSERT INTO tombstone (type, id, createseq, modseq) "
                             "SELECT ?, id, createseq, ? FROM mailbox WHERE id = ?", e);
    uint64_t modseq;

    if (!s || !job_modseq(st, &modseq, e))
        return false;
    stmt_bind_str(s, 1, str_of(type));
    stmt_bind_u64(s, 2, modseq);
    stmt_bind_u64(s, 3, id);
    return stmt_run(s, e);
}

static const struct store_range all_uids = {1, UINT32_MAX};

static bool expunge_one(struct store *st, void *ctx, struct arena *a, const struct copy *c,
                        struct err *e)
{
    (void)a;
    return remove_copy(st, *(uint64_t *)ctx, c, e);
}

static bool delete_job(struct store *st, void *ctx, struct err *e)
{
    struct name_job *j = ctx;
    AUTO_STMT s = db_prepare(st->db, "DELETE FROM mailbox WHERE id = ?", e);
    struct store_event event = {.kind = EVENT_DELETED, .name = j->name};
    struct writer_mailbox m;
    bool children;

    st->job_by = j->by;
    if (!s)
        return false;
    if (str_eq(j->name, STR("Inbox")))
        return fail(e, ERR_DENIED, "Inbox cannot be deleted");
    if (!writer_find_mailbox(st, j->name, &m, e) || !has_children(st, j->name, &children, e))
        return false;
    if (children)
        return fail(e, ERR_CONFLICT, "mailbox has children");
    event.mailbox = m.id;
    if (!each_copy(st, m.id, &all_uids, 1, expunge_one, &m.id, e) ||
        !bury(st, "Mailbox", m.id, e) || !note_event(st, event, e))
        return false;
    touch(st, TOUCHED_MAILBOX);
    stmt_bind_u64(s, 1, m.id);
    return stmt_run(s, e);
}

bool store_mailbox_delete(struct store *st, const struct store_session *by, struct str name,
                          struct err *e)
{
    return store_write(st, delete_job, &(struct name_job){.by = by, .name = name}, e);
}

static bool create_parents(struct store *st, struct str name, struct err *e)
{
    ptrdiff_t slash = str_find_last(name, '/');
    struct writer_mailbox m;
    struct err exists = {0};

    if (slash == STR_NONE)
        return true;
    if (create_path(st, str_sub(name, 0, (size_t)slash), (struct str){0}, false, &m, &exists) ||
        exists.kind == ERR_CONFLICT)
        return true;
    *e = exists;
    return false;
}

struct inbox_move {
    uint64_t inbox, target;
};

static bool move_one(struct store *st, void *ctx, struct arena *a, const struct copy *c,
                     struct err *e)
{
    const struct inbox_move *m = ctx;
    uint32_t uid;

    (void)a;
    return add_placement(st, m->target, c, &uid, e) && remove_copy(st, m->inbox, c, e);
}

static bool rename_inbox(struct store *st, struct str to, struct err *e)
{
    struct writer_mailbox inbox, target;

    return writer_find_mailbox(st, STR("Inbox"), &inbox, e) &&
           writer_create_mailbox(st, to, (struct str){0}, &target, e) &&
           each_copy(st, inbox.id, &all_uids, 1, move_one,
                     &(struct inbox_move){inbox.id, target.id}, e);
}

// One event for each mailbox that moves, before it does.
static bool note_renames(struct store *st, const struct name_job *j, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT name, special_use, id FROM mailbox WHERE name = ?1 OR "
                             "substr(name, 1, length(?1) + 1) = ?1 || '/' ORDER BY name", e);
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);

    if (!s)
        return false;
    stmt_bind_str(s, 1, j->name);
    while (stmt_step(s, e)) {
        struct store_event event = {.kind = EVENT_RENAMED, .old_name = stmt_str(s, 0),
                                    .special_use = stmt_str(s, 1), .mailbox = stmt_u64(s, 2),
                                    .exists = true};

        event.name = arena_printf(&a, "%.*s%.*s", STR_FMT(j->to),
                                  STR_FMT(str_from(event.old_name, j->name.n)));
        if (!is_subscribed(st, event.name, &event.is_subscribed, e) || !note_event(st, event, e))
            return false;
    }
    return e->kind == ERR_NONE;
}

static bool rename_job(struct store *st, void *ctx, struct err *e)
{
    struct name_job *j = ctx;
    AUTO_STMT s = db_prepare(st->db, "UPDATE mailbox SET name = ?1 || substr(name, length(?2) + 1), "
                             "modseq = ?3 WHERE name = ?2 OR substr(name, 1, length(?2) + 1) "
                             "= ?2 || '/'", e);
    struct writer_mailbox m;
    struct err missing = {0};
    uint64_t modseq;

    st->job_by = j->by;
    if (!s)
        return false;
    if (!writer_find_mailbox(st, j->name, &m, e))
        return false;
    if (writer_find_mailbox(st, j->to, &m, &missing))
        return fail(e, ERR_CONFLICT, "target mailbox exists already");
    if (str_eq(j->name, STR("Inbox")))
        return rename_inbox(st, j->to, e);
    if (str_starts(j->to, j->name) && str_starts(str_from(j->to, j->name.n), STR("/")))
        return fail(e, ERR_DENIED, "a mailbox cannot be moved into itself");
    if (!create_parents(st, j->to, e) || !note_renames(st, j, e) || !job_modseq(st, &modseq, e))
        return false;
    touch(st, TOUCHED_MAILBOX);
    stmt_bind_str(s, 1, j->to);
    stmt_bind_str(s, 2, j->name);
    stmt_bind_u64(s, 3, modseq);
    return stmt_run(s, e);
}

bool store_mailbox_rename(struct store *st, const struct store_session *by, struct str from,
                          struct str to, struct err *e)
{
    return store_write(st, rename_job, &(struct name_job){.by = by, .name = from, .to = to}, e);
}

static bool subscribe_job(struct store *st, void *ctx, struct err *e)
{
    struct name_job *j = ctx;
    AUTO_STMT s = db_prepare(st->db, "UPDATE mailbox SET modseq = ? WHERE name = ?", e);
    struct store_event event = {.kind = EVENT_SUBSCRIPTION, .name = j->name,
                                .is_subscribed = j->on};
    struct writer_mailbox m;
    struct err missing = {0};
    uint64_t modseq;
    bool changed;

    st->job_by = j->by;
    if (!s || !set_subscribed(st, j->name, j->on, &changed, e))
        return false;
    event.exists = writer_find_mailbox(st, j->name, &m, &missing);
    if (!event.exists && missing.kind != ERR_NOT_FOUND) {
        *e = missing;
        return false;
    }
    // Not subscribed and not there: an error. Not subscribed and there: fine.
    if (!changed)
        return j->on || event.exists || fail(e, ERR_NOT_FOUND, "no such mailbox");
    if (!job_modseq(st, &modseq, e))
        return false;
    event.mailbox = event.exists ? m.id : 0;
    stmt_bind_u64(s, 1, modseq);
    stmt_bind_str(s, 2, j->name);
    touch(st, TOUCHED_MAILBOX);
    return stmt_run(s, e) && note_event(st, event, e);
}

bool store_subscribe(struct store *st, const struct store_session *by, struct str name, bool on,
                     struct err *e)
{
    return store_write(st, subscribe_job, &(struct name_job){.by = by, .name = name, .on = on}, e);
}
