#include "store/reputation.h"

#include <stdlib.h>
#include <string.h>

#include "base/cur.h"
#include "message/header.h"
#include "os/clock.h"
#include "store/store_priv.h"
#include "text/idna.h"

enum { MINUTE = 60, DAY_MINUTES = 24 * 60, MOST_CORRESPONDENTS = 1000 };
enum { NOT_JUDGED = 0, JUDGED_GOOD = 1, JUDGED_JUNK = 2 };

static int judge(uint32_t flags)
{
    return flags & FLAG_JUNK ? JUDGED_JUNK : flags & FLAG_NOTJUNK ? JUDGED_GOOD : NOT_JUDGED;
}

// Signs as they wait in origin: kind, and two texts each with its length in two octets.
static void put_text(struct buf *out, struct str text)
{
    buf_put_char(out, (char)(text.n >> 8));
    buf_put_char(out, (char)text.n);
    buf_put(out, text);
}

static void put_signs(struct buf *out, const struct store_origin *o)
{
    for (size_t i = 0; i < o->n_signs && i < STORE_MAX_SIGNS; i++)
        if (o->signs[i].value.n && o->signs[i].value.n <= UINT16_MAX &&
            o->signs[i].who.n <= UINT16_MAX) {
            buf_put_char(out, (char)o->signs[i].kind);
            put_text(out, o->signs[i].value);
            put_text(out, o->signs[i].who);
        }
}

static bool take_text(struct cur *c, struct str *out)
{
    int high = cur_next(c), low = cur_next(c);

    return low >= 0 && cur_take(c, (size_t)(high << 8 | low), out);
}

static bool take_sign(struct cur *c, struct store_sign *out)
{
    int kind = cur_next(c);

    out->kind = (enum store_sign_kind)kind;
    return kind > 0 && take_text(c, &out->value) && take_text(c, &out->who);
}

struct origin {
    uint64_t mailbox, destined;
    bool is_reject;
    int judged;
    int64_t received_unix;
    struct str signs;
};

// False when the message has none, or on failure.
static bool find_origin(struct store *st, struct arena *a, uint64_t email, struct origin *out,
                        struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT mailbox, destined, is_reject, judged, received_unix, "
                             "signs FROM origin WHERE email = ?", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, email);
    if (!stmt_step(s, e))
        return false;
    *out = (struct origin){stmt_u64(s, 0), stmt_u64(s, 1), stmt_u64(s, 2) != 0,
                           (int)stmt_u64(s, 3), stmt_i64(s, 4), arena_dup(a, stmt_str(s, 5))};
    return true;
}

// Takes the signs of a message out of the index, or puts them in; again as its mailbox and judgement are.
static bool index_signs(struct store *st, uint64_t email, const struct origin *o, bool is_in,
                        struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, is_in ? "INSERT OR REPLACE INTO sign (mailbox, kind, value, "
                                             "received_unix, email, is_junk, who) VALUES (?1, ?2, "
                                             "?3, ?4, ?5, ?6, ?7)"
                                           : "DELETE FROM sign WHERE mailbox = ?1 AND kind = ?2 AND "
                                             "value = ?3 AND received_unix = ?4 AND email = ?5", e);
    struct cur c = cur_of(o->signs);
    struct store_sign sign;

    if (!s)
        return false;
    while (take_sign(&c, &sign)) {
        stmt_bind_u64(s, 1, o->mailbox);
        stmt_bind_u64(s, 2, sign.kind);
        stmt_bind_str(s, 3, sign.value);
        stmt_bind_i64(s, 4, o->received_unix);
        stmt_bind_u64(s, 5, email);
        if (is_in) {
            stmt_bind_u64(s, 6, o->judged == JUDGED_JUNK);
            stmt_bind_str(s, 7, sign.who);
        }
        if (!stmt_run(s, e))
            return false;
    }
    return true;
}

static bool write_origin(struct store *st, uint64_t email, const struct origin *before,
                         const struct origin *after, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "UPDATE origin SET mailbox = ?, destined = ?, is_reject = ?, "
                             "judged = ? WHERE email = ?", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, after->mailbox);
    stmt_bind_u64(s, 2, after->destined);
    stmt_bind_u64(s, 3, after->is_reject);
    stmt_bind_u64(s, 4, (uint64_t)after->judged);
    stmt_bind_u64(s, 5, email);
    return (before->judged == NOT_JUDGED || index_signs(st, email, before, false, e)) &&
           stmt_run(s, e) &&
           (after->judged == NOT_JUDGED || index_signs(st, email, after, true, e));
}

bool origin_judge(struct store *st, uint64_t email, uint32_t flags, bool is_dead, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct origin o, after;

    if (!find_origin(st, &a, email, &o, e))
        return e->kind == ERR_NONE;
    after = o;
    after.judged = is_dead ? NOT_JUDGED : judge(flags);
    return after.judged == o.judged || write_origin(st, email, &o, &after, e);
}

/*
 * mox-imap-store-cli-config.md 2.6 and 2.7. What leaves Rejects is a message like others from then on,
 * and counts for the mailbox that it was meant for. From the Introbox it does when the user has said
 * what it is; moving it where it was meant to go says that it is welcome.
 */
bool origin_moved(struct store *st, uint64_t from, uint64_t to, bool is_move, struct copy *c,
                  struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct origin o, after;

    if (!find_origin(st, &a, c->email, &o, e))
        return e->kind == ERR_NONE;
    if (!o.destined || o.mailbox != from)
        return true;
    after = o;
    if (o.is_reject) {
        if (is_move)
            c->flags &= ~(uint32_t)FLAG_SEEN;
    } else {
        if (to == o.destined && !(c->flags & (FLAG_JUNK | FLAG_NOTJUNK)))
            c->flags |= FLAG_NOTJUNK;
        if (to != o.destined && !(c->flags & (FLAG_JUNK | FLAG_NOTJUNK)))
            return true;
    }
    after.mailbox = o.destined;
    after.destined = 0;
    after.is_reject = false;
    return write_origin(st, c->email, &o, &after, e);
}

static bool note_arrival(struct store *st, struct str network, int64_t minute, uint64_t size,
                         struct err *e)
{
    AUTO_STMT drop = db_prepare(st->db, "DELETE FROM arrival WHERE network = ? AND minute < ?", e);
    AUTO_STMT s = db_prepare(st->db, "INSERT INTO arrival (network, minute, messages, bytes) VALUES "
                             "(?1, ?2, 1, ?3) ON CONFLICT (network, minute) DO UPDATE SET messages "
                             "= messages + 1, bytes = bytes + ?3", e);

    if (!drop || !s)
        return false;
    stmt_bind_str(drop, 1, network);
    stmt_bind_i64(drop, 2, minute - DAY_MINUTES);
    stmt_bind_str(s, 1, network);
    stmt_bind_i64(s, 2, minute);
    stmt_bind_u64(s, 3, size);
    return stmt_run(drop, e) && stmt_run(s, e);
}

static bool find_or_create(struct store *st, struct str name, uint64_t *out, struct err *e)
{
    struct writer_mailbox m;
    struct err missing = {0};

    if (!writer_find_mailbox(st, name, &m, &missing)) {
        if (missing.kind != ERR_NOT_FOUND) {
            *e = missing;
            return false;
        }
        if (!writer_create_mailbox(st, name, (struct str){0}, &m, e))
            return false;
    }
    *out = m.id;
    return true;
}

bool origin_add(struct store *st, uint64_t email, uint64_t mailbox, const struct store_new *m,
                struct err *e)
{
    const struct store_origin *o = m->origin;
    AUTO_BUF signs = BUF_LIMIT(1 << 20);
    AUTO_STMT s = db_prepare(st->db, "INSERT INTO origin (email, mailbox, destined, is_reject, "
                             "judged, received_unix, signs, digest) VALUES (?, ?, ?, ?, 0, ?, ?, ?)",
                             e);
    uint64_t destined = 0;

    if (!s || (o->destined.n && !find_or_create(st, o->destined, &destined, e)) ||
        (o->delivered.n && !find_or_create(st, o->delivered, &mailbox, e)))
        return false;
    put_signs(&signs, o);
    stmt_bind_u64(s, 1, email);
    stmt_bind_u64(s, 2, mailbox);
    stmt_bind_u64(s, 3, destined);
    stmt_bind_u64(s, 4, o->is_reject);
    stmt_bind_i64(s, 5, m->received_unix);
    stmt_bind_blob(s, 6, buf_str(&signs));
    if (o->digest.n)
        stmt_bind_blob(s, 7, o->digest);
    else
        stmt_bind_null(s, 7);
    if (!stmt_run(s, e))
        return false;
    for (size_t i = 0; i < STORE_NETWORKS; i++)
        if (o->networks[i].n && !note_arrival(st, o->networks[i], m->received_unix / MINUTE,
                                              m->prefix.n + m->size, e))
            return false;
    return true;
}

bool drop_rejects_like(struct store *st, struct str rejects, struct str message_id, uint64_t except,
                       struct err *e)
{
    AUTO_STMT s = NULL;
    struct writer_mailbox m;
    struct err missing = {0};
    uint32_t uids[STORE_MAX_HISTORY];
    size_t n = 0;

    if (!message_id.n)
        return true;
    if (!writer_find_mailbox(st, rejects, &m, &missing)) {
        if (missing.kind != ERR_NOT_FOUND)
            *e = missing;
        return missing.kind == ERR_NOT_FOUND;
    }
    s = db_prepare(st->db, "SELECT p.uid FROM email m JOIN placement p ON p.email = m.id WHERE "
                   "m.message_id_hash = ? AND m.message_id = ? AND p.mailbox = ? AND m.id <> ?", e);
    if (!s)
        return false;
    stmt_bind_u64(s, 1, message_id_hash(message_id));
    stmt_bind_str(s, 2, message_id);
    stmt_bind_u64(s, 3, m.id);
    stmt_bind_u64(s, 4, except);
    while (n < COUNT(uids) && stmt_step(s, e))
        uids[n++] = (uint32_t)stmt_u64(s, 0);
    stmt_reset(s);
    if (e->kind != ERR_NONE)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!remove_placement(st, m.id, uids[i], e) && e->kind != ERR_NONE)
            return false;
    return true;
}

/* --- whom the user has written to -------------------------------------------------------------- */

// "mail.example.org" as "org.example.mail."; A-labels where they can be had.
static struct str reversed_domain(struct arena *a, struct str domain)
{
    AUTO_BUF out = BUF_LIMIT(1 << 12);
    struct err e = {0};

    if (!domain_to_ascii(a, domain, &domain, &e))
        domain = arena_lower(a, domain);
    while (domain.n) {
        ptrdiff_t dot = str_find_last(domain, '.');

        buf_put(&out, dot >= 0 ? str_from(domain, (size_t)dot + 1) : domain);
        buf_put_char(&out, '.');
        domain = dot >= 0 ? str_sub(domain, 0, (size_t)dot) : (struct str){0};
    }
    return arena_dup(a, buf_str(&out));
}

static bool note_correspondent(struct store *st, struct arena *a, const struct address *to,
                               int64_t sent_unix, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "INSERT INTO correspondent (domain, localpart, sent_unix) "
                             "VALUES (?1, ?2, ?3) ON CONFLICT (domain, localpart) DO UPDATE SET "
                             "sent_unix = max(sent_unix, ?3)", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, reversed_domain(a, to->domain));
    stmt_bind_str(s, 2, to->localpart);
    stmt_bind_i64(s, 3, sent_unix);
    return stmt_run(s, e);
}

static bool can_be_noted(const struct address *to)
{
    return to->domain.n && to->domain.n <= 255 && to->localpart.n <= 255;
}

bool note_recipients(struct store *st, struct arena *a, const struct envelope *env,
                     int64_t sent_unix, struct err *e)
{
    struct str fields[] = {env->to, env->cc, env->bcc};
    size_t n = 0;

    for (size_t i = 0; i < COUNT(fields); i++) {
        struct address_list list = {0};

        address_parse_list(a, fields[i], &list);
        for (size_t k = 0; k < list.n && n < MOST_CORRESPONDENTS; k++)
            if (can_be_noted(&list.items[k])) {
                if (!note_correspondent(st, a, &list.items[k], sent_unix, e))
                    return false;
                n++;
            }
    }
    return true;
}

// The fields of a kind, as they were written. What an encoded word says is no address.
static struct str recipients_of(struct arena *a, struct str fields, int kind)
{
    AUTO_BUF all = BUF_LIMIT(1 << 16);
    struct str field, before = {0};

    while (store_header_next(&fields, kind, &field)) {
        if (before.n && str_eq(field, encoded_word_decode(a, before))) {
            before = (struct str){0};
            continue;
        }
        if (all.n)
            BUF_PUT(&all, ", ");
        buf_put(&all, field);
        before = field;
    }
    return arena_dup(a, buf_str(&all));
}

// Some clients write what they send into another mailbox first, and move it.
bool note_recipients_of(struct store *st, struct arena *a, uint64_t email, int64_t sent_unix,
                        struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, "SELECT fields FROM header WHERE email = ?", e);
    struct envelope env = {0};
    struct str fields;

    if (!s)
        return false;
    stmt_bind_u64(s, 1, email);
    if (!stmt_step(s, e))
        return e->kind == ERR_NONE;
    fields = arena_dup(a, stmt_str(s, 0));
    env.to = recipients_of(a, fields, store_header_kind(STR("To")));
    env.cc = recipients_of(a, fields, store_header_kind(STR("Cc")));
    env.bcc = recipients_of(a, fields, store_header_kind(STR("Bcc")));
    return note_recipients(st, a, &env, sent_unix, e);
}

bool store_has_written(struct store_reader *r, struct str localpart, struct str domain,
                       bool with_subdomains, int64_t since_unix, bool *out, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct str key = reversed_domain(&a, domain);
    AUTO_STMT s = db_prepare(
        r->db, localpart.n ? "SELECT 1 FROM correspondent WHERE domain = ?1 AND localpart = ?2 AND "
                             "sent_unix >= ?3"
               : with_subdomains
                   // "/" follows ".": all that begin with the key.
                   ? "SELECT 1 FROM correspondent WHERE domain >= ?1 AND domain < ?2 AND sent_unix "
                     ">= ?3 LIMIT 1"
                   : "SELECT 1 FROM correspondent WHERE domain = ?1 AND ?2 = '' AND sent_unix >= ?3 "
                     "LIMIT 1", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, key);
    stmt_bind_str(s, 2, localpart.n ? localpart
                        : with_subdomains
                            ? arena_printf(&a, "%.*s/", STR_FMT(str_sub(key, 0, key.n - (key.n > 0))))
                            : STR(""));
    stmt_bind_i64(s, 3, since_unix);
    *out = key.n && stmt_step(s, e);
    return e->kind == ERR_NONE;
}

/* --- questions --------------------------------------------------------------------------------- */

bool store_history(struct store_reader *r, struct arena *a, uint64_t mailbox,
                   enum store_sign_kind kind, struct str value, int64_t since_unix, size_t max,
                   struct store_judged *out, size_t *n, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT is_junk, who FROM sign WHERE mailbox = ? AND kind = ? "
                             "AND value = ? AND received_unix >= ? ORDER BY received_unix DESC, "
                             "email DESC LIMIT ?", e);

    *n = 0;
    if (!s)
        return false;
    stmt_bind_u64(s, 1, mailbox);
    stmt_bind_u64(s, 2, kind);
    stmt_bind_str(s, 3, value);
    stmt_bind_i64(s, 4, since_unix);
    stmt_bind_u64(s, 5, max);
    while (*n < max && stmt_step(s, e))
        out[(*n)++] = (struct store_judged){stmt_u64(s, 0) != 0, arena_dup(a, stmt_str(s, 1))};
    return e->kind == ERR_NONE;
}

static bool sum_arrivals(struct store_reader *r, struct str network, int64_t from,
                         struct store_arrivals *out, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT coalesce(sum(messages), 0), coalesce(sum(bytes), 0) FROM "
                             "arrival WHERE network = ? AND minute >= ?", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, network);
    stmt_bind_i64(s, 2, from);
    if (!stmt_step(s, e))
        return false;
    *out = (struct store_arrivals){stmt_u64(s, 0), stmt_u64(s, 1)};
    return true;
}

// By minutes of the clock: the last minute is the present one with the one before it, so that nobody
// gets twice the limit across the turn of a minute.
bool store_arrivals(struct store_reader *r, struct str network, int64_t now_unix,
                    struct store_arrivals *minute, struct store_arrivals *day, struct err *e)
{
    int64_t now = now_unix / MINUTE;

    return sum_arrivals(r, network, now - 1, minute, e) &&
           sum_arrivals(r, network, now - DAY_MINUTES, day, e);
}

struct key_job {
    struct str address;
    char *out;
};

static bool key_job(struct store *st, void *ctx, struct err *e)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    struct key_job *j = ctx;
    AUTO_STMT s = db_prepare(st->db, "INSERT INTO subjectpass (address, key) VALUES (?1, ?2) ON "
                             "CONFLICT (address) DO UPDATE SET key = key RETURNING key", e);
    unsigned char random[STORE_SUBJECTPASS_KEY];
    char key[STORE_SUBJECTPASS_KEY];
    struct str got;

    if (!s)
        return false;
    os_random(random, sizeof random);
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = alphabet[random[i] % (sizeof alphabet - 1)];
    stmt_bind_str(s, 1, j->address);
    stmt_bind_str(s, 2, str_at(key, sizeof key));
    if (!stmt_step(s, e))
        return false;
    got = stmt_str(s, 0);
    if (got.n != STORE_SUBJECTPASS_KEY)
        return fail(e, ERR_BUG, "the key for tokens has another length");
    memcpy(j->out, got.p, got.n);
    return stmt_step(s, e) || e->kind == ERR_NONE;
}

bool store_subjectpass_key(struct store *st, struct str address, char out[STORE_SUBJECTPASS_KEY],
                           struct err *e)
{
    return store_write(st, key_job, &(struct key_job){address, out}, e);
}

struct written_job {
    const struct store_written *items;
    size_t n;
};

static bool written_job(struct store *st, void *ctx, struct err *e)
{
    const struct written_job *j = ctx;
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);

    for (size_t i = 0; i < j->n; i++) {
        struct address to = {.localpart = j->items[i].localpart, .domain = j->items[i].domain};

        arena_reset(&a);
        if (can_be_noted(&to) && !note_correspondent(st, &a, &to, j->items[i].sent_unix, e))
            return false;
    }
    return true;
}

bool store_adopt_written(struct store *st, const struct store_written *written, size_t n, struct err *e)
{
    return store_write(st, written_job, &(struct written_job){written, n}, e);
}

struct adopt_key_job {
    struct str address, key;
};

static bool adopt_key_job(struct store *st, void *ctx, struct err *e)
{
    const struct adopt_key_job *j = ctx;
    AUTO_STMT s = db_prepare(st->db, "INSERT OR IGNORE INTO subjectpass (address, key) VALUES (?, ?)", e);

    if (!s)
        return false;
    stmt_bind_str(s, 1, j->address);
    stmt_bind_str(s, 2, j->key);
    return stmt_run(s, e);
}

bool store_adopt_subjectpass_key(struct store *st, struct str address, struct str key, struct err *e)
{
    return key.n == STORE_SUBJECTPASS_KEY ? store_write(st, adopt_key_job, &(struct adopt_key_job){address, key}, e)
                                          : fail(e, ERR_SYNTAX, "a key for tokens has another length");
}

bool store_facts(struct store_reader *r, struct arena *a, uint64_t mailbox, uint32_t uid,
                 struct str *out, struct err *e)
{
    AUTO_STMT s = db_prepare(r->db, "SELECT m.facts FROM placement p JOIN email m ON m.id = p.email "
                             "WHERE p.mailbox = ? AND p.uid = ?", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, mailbox);
    stmt_bind_u64(s, 2, uid);
    if (!stmt_step(s, e))
        return e->kind == ERR_NONE ? fail(e, ERR_NOT_FOUND, "no such message") : false;
    *out = arena_dup(a, stmt_str(s, 0));
    return true;
}

/* --- the Rejects mailbox ----------------------------------------------------------------------- */

struct reject_age {
    uint64_t mailbox;
    int64_t before_unix;
};

// The oldest come first by uid: at most as many are looked at as are removed, and one.
static bool remove_old(struct store *st, void *ctx, struct arena *a, const struct copy *c,
                       struct err *e)
{
    struct reject_age *age = ctx;

    (void)a;
    if (c->received_unix >= age->before_unix)
        return fail(e, ERR_NOT_FOUND, "the rest is younger");
    return remove_copy(st, age->mailbox, c, e);
}

static bool has_room(struct store *st, uint64_t mailbox, int64_t now_unix, bool *out, struct err *e)
{
    static const struct store_range all = {1, UINT32_MAX};
    struct reject_age age = {mailbox, now_unix - STORE_REJECTS_SECONDS};
    AUTO_STMT s = NULL;
    struct err younger = {0};

    if (!each_copy(st, mailbox, &all, 1, remove_old, &age, &younger) &&
        younger.kind != ERR_NOT_FOUND) {
        *e = younger;
        return false;
    }
    s = db_prepare(st->db, "SELECT count(*) < ?2 FROM (SELECT 1 FROM placement WHERE mailbox = ?1 "
                   "LIMIT ?2)", e);
    if (!s)
        return false;
    stmt_bind_u64(s, 1, mailbox);
    stmt_bind_u64(s, 2, STORE_MAX_REJECTS);
    if (!stmt_step(s, e))
        return false;
    *out = stmt_u64(s, 0) != 0;
    return true;
}

static bool is_kept_already(struct store *st, uint64_t mailbox, struct str message_id,
                            struct str digest, bool *out, struct err *e)
{
    AUTO_STMT by_id = db_prepare(st->db, "SELECT 1 FROM email m JOIN placement p ON p.email = m.id "
                                 "WHERE m.message_id_hash = ? AND m.message_id = ? AND p.mailbox = "
                                 "?", e);
    AUTO_STMT by_digest = db_prepare(st->db, "SELECT 1 FROM origin o JOIN placement p ON p.email = "
                                     "o.email WHERE o.digest = ? AND p.mailbox = ?", e);

    *out = false;
    if (!by_id || !by_digest)
        return false;
    if (message_id.n) {
        stmt_bind_u64(by_id, 1, message_id_hash(message_id));
        stmt_bind_str(by_id, 2, message_id);
        stmt_bind_u64(by_id, 3, mailbox);
        *out = stmt_step(by_id, e);
    }
    if (!*out && e->kind == ERR_NONE && digest.n) {
        stmt_bind_blob(by_digest, 1, digest);
        stmt_bind_u64(by_digest, 2, mailbox);
        *out = stmt_step(by_digest, e);
    }
    return e->kind == ERR_NONE;
}

bool reject_wanted(struct store *st, uint64_t mailbox, bool keep_all, struct str message_id,
                   struct str digest, bool *out, struct err *e)
{
    bool exists;

    *out = false;
    if (!is_kept_already(st, mailbox, message_id, digest, &exists, e))
        return false;
    if (exists)
        return true;
    *out = true;
    return keep_all || has_room(st, mailbox, os_now_unix(), out, e);
}
