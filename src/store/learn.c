/*
 * What the junk filter learns from flags, and which mailboxes set them.
 *
 * A change of flags is one row more, in the same transaction: that the email is due. Reading it again,
 * and counting its words, is done afterwards in steps of bounded work, so that a STORE of 20,000
 * messages is not held up and no crash loses what is to be learnt. An email is learnt once, however many
 * copies it has.
 */
#include <stdlib.h>

#include "base/log.h"
#include "store/store_priv.h"
#include "text/encode.h"
#include "text/regex.h"

enum {
    LEARN_MESSAGES = 100, // at once: others wait for the writer meanwhile
    LEARN_BYTES = 4 << 20, // and of how many bytes of mail, roughly
};

/* As email_state.learnt has it. */
enum { LEARNT_NOT, LEARNT_HAM, LEARNT_SPAM };

struct junk_filter {
    struct store_junk o; // without its patterns
    struct regex *junk, *neutral, *notjunk;
    enum junk_rule otherwise; // when no pattern is found
    struct junk_batch *batch; // of the thread that learns, as long as something is due
    struct store_reader *reader;
};

static bool compile(struct str pattern, struct regex **out, struct err *e)
{
    if (!pattern.n)
        return true;
    *out = regex_new(pattern, e);
    return *out != NULL;
}

bool filter_open(struct store *st, const struct store_junk *o, struct err *e)
{
    struct junk_filter *f = heap_alloc(sizeof *f);

    st->junk = f;
    f->o = *o;
    f->otherwise = RULE_NONE;
    if (!o->sets_flags)
        return true;
    if (!compile(o->junk, &f->junk, e) || !compile(o->neutral, &f->neutral, e) ||
        !compile(o->notjunk, &f->notjunk, e))
        return false;
    // mox-imap-store-cli-config.md 2.7: of three patterns the one that is missing matches the rest.
    if (!f->junk && f->neutral && f->notjunk)
        f->otherwise = RULE_JUNK;
    if (f->junk && !f->neutral && f->notjunk)
        f->otherwise = RULE_NEUTRAL;
    if (f->junk && f->neutral && !f->notjunk)
        f->otherwise = RULE_NOTJUNK;
    return true;
}

// What takes memory goes with the last lesson, or with one that was not written.
static void rest(struct junk_filter *f)
{
    junk_batch_free(f->batch);
    store_reader_close(f->reader);
    f->batch = NULL;
    f->reader = NULL;
}

void filter_close(struct store *st)
{
    struct junk_filter *f = st->junk;

    if (!f)
        return;
    regex_free(f->junk);
    regex_free(f->neutral);
    regex_free(f->notjunk);
    rest(f);
    free(f);
}

/* --- flags by mailbox ------------------------------------------------------------------------------ */

static enum junk_rule rule_of(const struct junk_filter *f, struct str name, struct str special_use)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    struct str lower;

    if (str_eq(special_use, STR("Junk")))
        return RULE_JUNK;
    if (!f->o.sets_flags)
        return RULE_NONE;
    lower = utf8_fold(&a, name);
    if (f->junk && regex_finds(f->junk, lower))
        return RULE_JUNK;
    if (f->neutral && regex_finds(f->neutral, lower))
        return RULE_NEUTRAL;
    if (f->notjunk && regex_finds(f->notjunk, lower))
        return RULE_NOTJUNK;
    return f->otherwise;
}

bool junk_flags(struct store *st, struct mailbox_change *m, uint32_t *flags, struct err *e)
{
    AUTO_STMT s = NULL;

    if (m->junk == RULE_UNKNOWN) { // once in a job
        s = db_prepare(st->db, "SELECT name, special_use FROM mailbox WHERE id = ?", e);
        if (!s)
            return false;
        stmt_bind_u64(s, 1, m->id);
        if (!stmt_step(s, e))
            return e->kind == ERR_NONE ? fail(e, ERR_NOT_FOUND, "no such mailbox") : false;
        m->junk = rule_of(st->junk, stmt_str(s, 0), stmt_str(s, 1));
    }
    if (m->junk == RULE_NONE)
        return true;
    *flags &= ~(uint32_t)(FLAG_JUNK | FLAG_NOTJUNK);
    *flags |= m->junk == RULE_JUNK ? FLAG_JUNK : m->junk == RULE_NOTJUNK ? FLAG_NOTJUNK : 0;
    return true;
}

/* --- what is due ------------------------------------------------------------------------------------ */

// A message is learnt when exactly one of the two flags says what it is.
static unsigned wanted_of(uint32_t flags)
{
    switch (flags & (FLAG_JUNK | FLAG_NOTJUNK)) {
    case FLAG_JUNK:
        return LEARNT_SPAM;
    case FLAG_NOTJUNK:
        return LEARNT_HAM;
    default:
        return LEARNT_NOT;
    }
}

bool note_due(struct store *st, uint64_t email, uint32_t flags, uint64_t learnt, struct err *e)
{
    AUTO_STMT s = NULL;

    // A row that says so already, of a change that was taken back, is found to be nothing.
    if ((!st->junk->o.learns && !st->junk->o.is_unknown) || wanted_of(flags) == learnt)
        return true;
    s = db_prepare(st->db, "INSERT OR IGNORE INTO junk_due (email) VALUES (?)", e);
    if (!s)
        return false;
    stmt_bind_u64(s, 1, email);
    st->job_made_due = true;
    return stmt_run(s, e);
}

static bool run(struct store *st, const char *sql, struct err *e)
{
    AUTO_STMT s = db_prepare(st->db, sql, e);

    return s && stmt_run(s, e);
}

static bool begin_anew(struct store *st, void *ctx, struct err *e)
{
    (void)ctx;
    if (!run(st, "UPDATE email_state SET learnt = 0 WHERE learnt <> 0", e) ||
        !run(st, "DELETE FROM junk_due", e))
        return false;
    if (!st->junk->o.learns) // what is not kept up to date is not kept
        return run(st, "DELETE FROM junk_state", e) && run(st, "DELETE FROM junk_page", e);
    st->job_made_due = true;
    return junk_state_reset(st->db, &st->junk->o.settings, e) &&
           run(st, "INSERT INTO junk_due (email) SELECT id FROM email_state WHERE dead_modseq IS "
               "NULL AND flags & 192 IN (64, 128)", e);
}

bool filter_begin(struct store *st, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    struct err none = {0};
    struct junk_state state;
    bool exists = junk_state_read(st->db, &a, &state, &none);

    if (!exists && none.kind != ERR_NOT_FOUND) {
        *e = none;
        return false;
    }
    atomic_store(&st->has_due, st->junk->o.learns);
    if (st->junk->o.is_unknown ||
        (exists == st->junk->o.learns &&
         (!exists || str_eq(state.settings, junk_settings_name(&a, &st->junk->o.settings)))))
        return true;
    return begin_anew(st, NULL, e);
}

bool store_retrain(struct store *st, struct err *e)
{
    if (!st->junk->o.learns)
        return fail(e, ERR_DENIED, "the account has no junk filter");
    return store_write(st, begin_anew, NULL, e);
}

bool store_learn_due(struct store *st, uint64_t *out, struct err *e)
{
    struct store_reader *r = store_reader_open(e);
    struct stmt *s = r ? db_prepare(r->db, "SELECT count(*) FROM junk_due", e) : NULL;
    bool is_ok = s && stmt_step(s, e);

    (void)st;
    if (is_ok)
        *out = stmt_u64(s, 0);
    if (s)
        stmt_done(&s);
    store_reader_close(r);
    return is_ok;
}

/* --- learning --------------------------------------------------------------------------------------- */

struct lesson {
    uint64_t email, size;
    unsigned learnt, wanted; // before and now
};

struct lessons {
    struct junk_key key; // of the words' hashes
    struct lesson items[LEARN_MESSAGES];
    size_t n;
    bool has_more;
};

struct reading {
    struct store_reader *r;
    uint64_t email;
};

static bool put_bytes(void *ctx, struct str bytes)
{
    buf_put(ctx, bytes);
    return true;
}

static bool read_email(void *ctx, uint64_t offset, size_t n, struct buf *out, struct err *e)
{
    const struct reading *r = ctx;

    return store_email_read(r->r, r->email, offset, n, put_bytes, out, e);
}

static bool tokens_of(struct store_reader *reader, struct arena *a,
                      const struct junk_settings *settings, const struct junk_key *key,
                      uint64_t email, struct junk_tokens *out, struct err *e)
{
    struct reading reading = {reader, email};
    struct junk_message m = {.read = read_email, .ctx = &reading};
    struct store_email stored;
    struct part *root;

    if (!store_email_get(reader, a, email, &stored, e) ||
        !part_decode(a, stored.tree, &root, e))
        return false;
    m.root = root;
    return junk_tokenise(a, settings, key, &m, out, e);
}

// Puts what one message changes into the batch. What cannot be read teaches nothing, once and for all.
static void study(struct store *st, const struct junk_key *key, const struct lesson *l)
{
    AUTO_ARENA a = ARENA_LIMIT(JUNK_MEMORY + 2 * MIME_MEMORY);
    struct junk_tokens tokens = {0};
    bool is_opaque;
    struct suspect *s = suspect_begin_email(st, l->email, &is_opaque);
    struct err e = {0};

    if (!is_opaque &&
        !tokens_of(st->junk->reader, &a, &st->junk->o.settings, key, l->email, &tokens, &e)) {
        LOG(LOG_ERROR, "store", "a message cannot be learnt", LOG_E(&e), LOG_N("email", l->email));
        tokens.n = 0;
    }
    store_look_end(st, s);
    if (l->learnt)
        junk_batch_add(st->junk->batch, &tokens, l->learnt == LEARNT_SPAM, -1);
    if (l->wanted)
        junk_batch_add(st->junk->batch, &tokens, l->wanted == LEARNT_SPAM, 1);
}

static bool read_due(struct store *st, struct lessons *out, struct err *e)
{
    AUTO_STMT s = db_prepare(st->junk->reader->db,
                             "SELECT d.email, s.flags, s.learnt, m.size FROM junk_due d JOIN "
                             "email_state s ON s.id = d.email JOIN email m ON m.id = d.email "
                             "ORDER BY d.email LIMIT ?", e);
    uint64_t bytes = 0;

    if (!s)
        return false;
    stmt_bind_u64(s, 1, LEARN_MESSAGES);
    while (bytes < LEARN_BYTES && stmt_step(s, e)) {
        struct lesson *l = &out->items[out->n++];

        *l = (struct lesson){stmt_u64(s, 0), stmt_u64(s, 3), (unsigned)stmt_u64(s, 2),
                             wanted_of((uint32_t)stmt_u64(s, 1))};
        bytes += l->size < JUNK_MAX_TEXT ? l->size : JUNK_MAX_TEXT;
    }
    return e->kind == ERR_NONE;
}

// Flags may have changed again meanwhile: then the email stays due.
static bool learn_job(struct store *st, void *ctx, struct err *e)
{
    const struct lessons *l = ctx;
    AUTO_STMT set = db_prepare(st->db, "UPDATE email_state SET learnt = ? WHERE id = ?", e);
    AUTO_STMT flags = db_prepare(st->db, "SELECT flags FROM email_state WHERE id = ?", e);
    AUTO_STMT drop = db_prepare(st->db, "DELETE FROM junk_due WHERE email = ?", e);

    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    struct junk_state state;

    if (!set || !flags || !drop || !junk_state_read(st->db, &a, &state, e))
        return false;
    if (state.key.k0 != l->key.k0 || state.key.k1 != l->key.k1)
        return fail(e, ERR_CONFLICT, "it was begun anew meanwhile");
    for (size_t i = 0; i < l->n; i++) {
        uint64_t email = l->items[i].email;

        stmt_bind_u64(set, 1, l->items[i].wanted);
        stmt_bind_u64(set, 2, email);
        stmt_reset(flags);
        stmt_bind_u64(flags, 1, email);
        stmt_bind_u64(drop, 1, email);
        if (!stmt_run(set, e) || !stmt_step(flags, e) ||
            (wanted_of((uint32_t)stmt_u64(flags, 0)) == l->items[i].wanted && !stmt_run(drop, e)))
            return false;
    }
    return junk_batch_write(st->junk->batch, st->db, e);
}

static bool learn_some(struct store *st, struct lessons *l, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    struct junk_state state;

    if (!st->junk->reader) {
        st->junk->reader = store_reader_open(e);
        st->junk->batch = junk_batch_new(0);
    }
    // Noted before looking: what becomes due from here on is seen the next time.
    atomic_store(&st->has_due, false);
    if (!st->junk->reader || !read_due(st, l, e))
        return false;
    if (!l->n)
        return true;
    atomic_store(&st->has_due, true);
    if (!junk_state_read(st->junk->reader->db, &a, &state, e))
        return false;
    l->key = state.key;
    for (size_t i = 0; i < l->n; i++)
        if (l->items[i].learnt != l->items[i].wanted)
            study(st, &l->key, &l->items[i]);
    return store_write(st, learn_job, l, e);
}

bool store_learn(struct store *st)
{
    struct lessons *l;
    struct err e = {0};
    bool is_ok;

    if (!st->junk->o.learns || !atomic_load(&st->has_due))
        return false;
    l = heap_alloc(sizeof *l);
    is_ok = learn_some(st, l, &e);
    free(l);
    if (!is_ok) {
        LOG(LOG_ERROR, "store", "learning what is junk", LOG_E(&e));
        atomic_store(&st->has_due, true);
    }
    if (!is_ok || !atomic_load(&st->has_due))
        rest(st->junk);
    return is_ok && atomic_load(&st->has_due);
}

bool store_junk_classify(struct store *st, struct store_reader *r, struct arena *a,
                         const struct junk_message *m, bool *is_open, struct junk_result *out,
                         struct err *e)
{
    struct junk_tokens tokens;
    struct junk_state state;

    *is_open = false;
    if (!st->junk->o.learns)
        return fail(e, ERR_NOT_FOUND, "the account has no junk filter");
    if (!junk_state_read(r->db, a, &state, e))
        return false;
    *is_open = true;
    return junk_tokenise(a, &st->junk->o.settings, &state.key, m, &tokens, e) &&
           junk_classify(r->db, a, &st->junk->o.settings, &tokens, out, e);
}

/* --- checking --------------------------------------------------------------------------------------- */

static void unlearn(struct store_reader *r, struct junk_batch *b, const struct junk_settings *settings,
                    const struct junk_key *key, uint64_t email, bool is_spam)
{
    AUTO_ARENA a = ARENA_LIMIT(JUNK_MEMORY + 2 * MIME_MEMORY);
    struct junk_tokens tokens = {0};
    struct err e = {0};

    if (!tokens_of(r, &a, settings, key, email, &tokens, &e))
        tokens.n = 0; // as when it was learnt; that it cannot be read is told elsewhere
    junk_batch_add(b, &tokens, is_spam, -1);
}

bool learn_check(struct store_reader *r, struct buf *problems, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    AUTO_STMT s = db_prepare(r->db, "SELECT id, learnt FROM email_state WHERE learnt <> 0", e);
    struct junk_batch *b;
    struct junk_settings settings;
    struct junk_state state;
    struct err none = {0};

    if (!s || !junk_check(r->db, problems, e))
        return false;
    // What was learnt by an older version is learnt anew when the account is opened.
    if (!junk_state_read(r->db, &a, &state, &none) ||
        !junk_settings_of_name(state.settings, &settings))
        return none.kind == ERR_NONE || none.kind == ERR_NOT_FOUND;
    b = junk_batch_new(0);
    if (junk_batch_read(b, r->db, &none)) { // else its damage is told already
        while (stmt_step(s, e))
            unlearn(r, b, &settings, &state.key, stmt_u64(s, 0), stmt_u64(s, 1) == LEARNT_SPAM);
        if (junk_batch_left(b))
            buf_printf(problems, "words learnt differ from those of the messages: %zu\n",
                       junk_batch_left(b));
    }
    junk_batch_free(b);
    return e->kind == ERR_NONE;
}
