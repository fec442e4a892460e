/*
 * The word table. Words are kept as keyed 64-bit hashes, not as text: a row takes some 15 bytes
 * whatever the word, pairs of words cost no more than words, and who gets hold of the file has no
 * list of what its owner writes about. The words that decided are known from the message itself.
 */
#include <stdlib.h>
#include <string.h>

#include "junk/junk.h"
#include "os/clock.h"

bool junk_state_read(struct db *d, struct arena *a, struct junk_state *out, struct err *e)
{
    AUTO_STMT s = db_prepare(d, "SELECT key0, key1, settings, ham, spam FROM junk_state", e);

    if (!s)
        return false;
    if (!stmt_step(s, e))
        return e->kind == ERR_NONE && fail(e, ERR_NOT_FOUND, "the junk filter has learnt nothing");
    *out = (struct junk_state){{stmt_u64(s, 0), stmt_u64(s, 1)}, arena_dup(a, stmt_str(s, 2)),
                               {stmt_u64(s, 3), stmt_u64(s, 4)}};
    return true;
}

bool junk_state_reset(struct db *d, const struct junk_settings *settings, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(4096);
    AUTO_STMT s = db_prepare(d, "INSERT OR REPLACE INTO junk_state (id, key0, key1, settings, ham, "
                             "spam) VALUES (1, ?, ?, ?, 0, 0)", e);
    struct junk_key key;

    if (!s || !db_exec(d, "DELETE FROM junk_word", e))
        return false;
    os_random(&key, sizeof key);
    stmt_bind_i64(s, 1, (int64_t)key.k0);
    stmt_bind_i64(s, 2, (int64_t)key.k1);
    stmt_bind_str(s, 3, junk_settings_name(&a, settings));
    return stmt_run(s, e);
}

bool junk_classify(struct db *d, struct arena *a, const struct junk_settings *settings,
                   const struct junk_tokens *tokens, struct junk_result *out, struct err *e)
{
    struct junk_count *counts = ARENA_ARRAY(a, tokens->n + 1, struct junk_count);
    AUTO_STMT s = db_prepare(d, "SELECT ham, spam FROM junk_word WHERE hash = ?", e);
    struct junk_state state;

    if (!s || !junk_state_read(d, a, &state, e))
        return false;
    for (size_t i = 0; i < tokens->n; i++) {
        stmt_reset(s);
        stmt_bind_i64(s, 1, (int64_t)tokens->items[i].hash);
        if (stmt_step(s, e))
            counts[i] = (struct junk_count){stmt_u64(s, 0), stmt_u64(s, 1)};
        else if (e->kind != ERR_NONE)
            return false;
    }
    junk_decide(a, settings, tokens, counts, state.messages, out);
    return true;
}

/* --- changes of counts ---------------------------------------------------------------------------- */

struct change {
    uint64_t hash;
    int32_t ham, spam;
};

/* The table has a power of two of places, at most half of them used; a free one changes nothing. */
struct junk_batch {
    struct change *places;
    size_t cap, n;
    int64_t ham, spam; // messages
};

struct junk_batch *junk_batch_new(void)
{
    struct junk_batch *b = heap_alloc(sizeof *b);

    b->cap = 4096;
    b->places = heap_array(b->cap, sizeof *b->places);
    return b;
}

void junk_batch_free(struct junk_batch *b)
{
    if (!b)
        return;
    free(b->places);
    free(b);
}

bool junk_batch_is_full(const struct junk_batch *b)
{
    return b->n >= JUNK_BATCH_WORDS;
}

// Its place, or the free one where it would go. A place that is used has a hash other than 0.
static struct change *place(const struct junk_batch *b, uint64_t hash)
{
    size_t at = hash & (b->cap - 1);

    while (b->places[at].hash && b->places[at].hash != hash)
        at = (at + 1) & (b->cap - 1);
    return &b->places[at];
}

static void grow(struct junk_batch *b)
{
    struct change *old = b->places;
    size_t n = b->cap;

    b->cap *= 2;
    b->places = heap_array(b->cap, sizeof *b->places);
    for (size_t i = 0; i < n; i++)
        if (old[i].hash)
            *place(b, old[i].hash) = old[i];
    free(old);
}

static struct change *change_of(struct junk_batch *b, uint64_t hash)
{
    struct change *c;

    if (b->n * 2 >= b->cap)
        grow(b);
    c = place(b, hash);
    b->n += !c->hash;
    c->hash = hash;
    return c;
}

void junk_batch_add(struct junk_batch *b, const struct junk_tokens *tokens, bool is_spam, int sign)
{
    for (size_t i = 0; i < tokens->n; i++) {
        struct change *c = change_of(b, tokens->items[i].hash);

        *(is_spam ? &c->spam : &c->ham) += sign;
    }
    *(is_spam ? &b->spam : &b->ham) += sign;
}

struct junk_count junk_batch_word(const struct junk_batch *b, uint64_t hash)
{
    const struct change *c = place(b, hash);

    return (struct junk_count){c->ham > 0 ? (uint64_t)c->ham : 0,
                               c->spam > 0 ? (uint64_t)c->spam : 0};
}

struct junk_count junk_batch_messages(const struct junk_batch *b)
{
    return (struct junk_count){b->ham > 0 ? (uint64_t)b->ham : 0,
                               b->spam > 0 ? (uint64_t)b->spam : 0};
}

bool junk_batch_read(struct junk_batch *b, struct db *d, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    AUTO_STMT s = db_prepare(d, "SELECT hash, ham, spam FROM junk_word", e);
    struct junk_state state;

    if (!s || !junk_state_read(d, &a, &state, e))
        return false;
    while (stmt_step(s, e)) {
        struct change *c = change_of(b, stmt_u64(s, 0));

        c->ham += (int32_t)stmt_i64(s, 1);
        c->spam += (int32_t)stmt_i64(s, 2);
    }
    b->ham += (int64_t)state.messages.ham;
    b->spam += (int64_t)state.messages.spam;
    return e->kind == ERR_NONE;
}

static int by_hash(const void *x, const void *y)
{
    int64_t a = (int64_t)((const struct change *)x)->hash;
    int64_t b = (int64_t)((const struct change *)y)->hash;

    return a < b ? -1 : a > b;
}

// In the order of the table, which is then walked through once.
static size_t sort_changes(struct junk_batch *b)
{
    size_t n = 0;

    for (size_t i = 0; i < b->cap; i++)
        if (b->places[i].hash && (b->places[i].ham || b->places[i].spam))
            b->places[n++] = b->places[i];
    qsort(b->places, n, sizeof *b->places, by_hash);
    return n;
}

static bool write_messages(struct junk_batch *b, struct db *d, struct err *e)
{
    AUTO_STMT s = db_prepare(d, "UPDATE junk_state SET ham = max(0, ham + ?), spam = max(0, spam + "
                             "?)", e);

    if (!s)
        return false;
    stmt_bind_i64(s, 1, b->ham);
    stmt_bind_i64(s, 2, b->spam);
    return stmt_run(s, e);
}

static bool write_change(const struct change *c, struct stmt *put, struct stmt *drop, struct err *e)
{
    stmt_bind_i64(put, 1, (int64_t)c->hash);
    stmt_bind_i64(put, 2, c->ham);
    stmt_bind_i64(put, 3, c->spam);
    if (c->ham >= 0 && c->spam >= 0)
        return stmt_run(put, e);
    if (!stmt_run(put, e))
        return false;
    // What no message has any more is not kept.
    stmt_bind_i64(drop, 1, (int64_t)c->hash);
    return stmt_run(drop, e);
}

bool junk_batch_write(struct junk_batch *b, struct db *d, struct err *e)
{
    AUTO_STMT put = db_prepare(d, "INSERT INTO junk_word (hash, ham, spam) VALUES (?1, max(0, ?2), "
                               "max(0, ?3)) ON CONFLICT (hash) DO UPDATE SET ham = max(0, ham + "
                               "?2), spam = max(0, spam + ?3)", e);
    AUTO_STMT drop = db_prepare(d, "DELETE FROM junk_word WHERE hash = ? AND ham = 0 AND spam = 0",
                                e);
    size_t n = sort_changes(b);
    bool is_ok = put && drop && write_messages(b, d, e);

    for (size_t i = 0; is_ok && i < n; i++)
        is_ok = write_change(&b->places[i], put, drop, e);
    memset(b->places, 0, b->cap * sizeof *b->places);
    b->n = 0;
    b->ham = b->spam = 0;
    return is_ok;
}
