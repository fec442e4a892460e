/*
 * The word table. Words are kept as keyed hashes, not as text: who gets hold of the file has no list of
 * what its owner writes about. The words that decided are known from the message itself. They lie in pages
 * (page.c): a row each would cost twice the room and many times the work of learning.
 */
#include <stdlib.h>
#include <string.h>

#include "junk/junk_priv.h"
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

    if (!s || !db_exec(d, "DELETE FROM junk_page", e))
        return false;
    os_random(&key, sizeof key);
    stmt_bind_i64(s, 1, (int64_t)key.k0);
    stmt_bind_i64(s, 2, (int64_t)key.k1);
    stmt_bind_str(s, 3, junk_settings_name(&a, settings));
    return stmt_run(s, e);
}

/* --- reading ---------------------------------------------------------------------------------------- */

static bool fail_damaged(struct err *e, uint64_t first)
{
    return fail(e, ERR_BUG, "page %llu of the junk filter's words is damaged",
                (unsigned long long)first);
}

/* A page being read, in order. */
struct page_reader {
    struct stmt *find;
    struct cur left;
    uint64_t first;
    struct page_word word; // the last one taken
    bool has_word;
};

static bool next_word(struct page_reader *r, struct err *e)
{
    uint64_t before = r->has_word ? r->word.hash : r->first;

    r->has_word = cur_left(&r->left) > 0;
    return !r->has_word || page_take(&r->left, before, &r->word) || fail_damaged(e, r->first);
}

// Takes the page that the word belongs to, and its first word.
static bool find_page(struct page_reader *r, uint64_t hash, struct err *e)
{
    stmt_reset(r->find);
    stmt_bind_u64(r->find, 1, hash);
    r->has_word = false;
    r->left = (struct cur){0};
    if (!stmt_step(r->find, e))
        return e->kind == ERR_NONE;
    r->first = stmt_u64(r->find, 0);
    r->left = cur_of(stmt_str(r->find, 1));
    return next_word(r, e);
}

// What is known of a word; words are asked for in order.
static bool count_of(struct page_reader *r, uint64_t hash, struct junk_count *out, struct err *e)
{
    bool is_found = false;

    for (;;) {
        while (r->has_word && r->word.hash < hash)
            if (!next_word(r, e))
                return false;
        if (r->has_word || is_found)
            break;
        if (!find_page(r, hash, e)) // the page that was read ends before it
            return false;
        is_found = true;
    }
    *out = r->has_word && r->word.hash == hash
               ? (struct junk_count){(uint64_t)r->word.ham, (uint64_t)r->word.spam}
               : (struct junk_count){0};
    return true;
}

/* A token's place in the message. */
struct asked {
    uint64_t hash;
    size_t at;
};

static int by_asked_hash(const void *x, const void *y)
{
    uint64_t a = ((const struct asked *)x)->hash, b = ((const struct asked *)y)->hash;

    return a < b ? -1 : a > b;
}

#define FIND_PAGE "SELECT first, words FROM junk_page WHERE first <= ? ORDER BY first DESC LIMIT 1"

bool junk_classify(struct db *d, struct arena *a, const struct junk_settings *settings,
                   const struct junk_tokens *tokens, struct junk_result *out, struct err *e)
{
    struct junk_count *counts = ARENA_ARRAY(a, tokens->n + 1, struct junk_count);
    struct asked *asked = ARENA_ARRAY(a, tokens->n + 1, struct asked);
    AUTO_STMT s = db_prepare(d, FIND_PAGE, e);
    struct page_reader r = {.find = s};
    struct junk_state state;

    if (!s || !junk_state_read(d, a, &state, e))
        return false;
    for (size_t i = 0; i < tokens->n; i++)
        asked[i] = (struct asked){tokens->items[i].hash, i};
    qsort(asked, tokens->n, sizeof *asked, by_asked_hash);
    for (size_t i = 0; i < tokens->n; i++)
        if (!count_of(&r, asked[i].hash, &counts[asked[i].at], e))
            return false;
    junk_decide(a, settings, tokens, counts, state.messages, out);
    return true;
}

/* Calls fn for each word, in order; it says whether to go on. */
typedef bool word_fn(void *ctx, const struct page_word *w, struct err *e);

static bool each_word(struct db *d, word_fn *fn, void *ctx, struct err *e)
{
    AUTO_STMT s = db_prepare(d, "SELECT first, words FROM junk_page ORDER BY first", e);

    while (s && stmt_step(s, e)) {
        struct page_reader r = {.first = stmt_u64(s, 0), .left = cur_of(stmt_str(s, 1))};

        while (next_word(&r, e) && r.has_word)
            if (!fn(ctx, &r.word, e))
                return false;
        if (e->kind != ERR_NONE)
            return false;
    }
    return s && e->kind == ERR_NONE;
}

/* --- changes of counts ---------------------------------------------------------------------------- */

/* The table has a power of two of places, at most four fifths of them used; a free one changes nothing. */
enum { FIRST_PLACES = 4096 };
struct junk_batch {
    struct page_word *places;
    size_t cap, n;
    int64_t ham, spam; // messages
};

static void make_places(struct junk_batch *b, size_t cap)
{
    b->cap = cap;
    b->places = heap_array(cap, sizeof *b->places);
    // A page of new memory that is read before it is written costs two faults.
    memset(b->places, 0, cap * sizeof *b->places);
}

struct junk_batch *junk_batch_new(size_t words)
{
    struct junk_batch *b = heap_alloc(sizeof *b);
    size_t cap = FIRST_PLACES;

    while (words / 4 >= cap / 5)
        cap *= 2;
    make_places(b, cap);
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

static size_t home(const struct junk_batch *b, uint64_t hash)
{
    return hash & (b->cap - 1);
}

// Its place, or the free one where it would go. A place that is used has a hash other than 0.
static struct page_word *place(const struct junk_batch *b, uint64_t hash)
{
    size_t at = home(b, hash);

    while (b->places[at].hash && b->places[at].hash != hash)
        at = (at + 1) & (b->cap - 1);
    return &b->places[at];
}

static void grow(struct junk_batch *b)
{
    struct page_word *old = b->places;
    size_t n = b->cap;

    make_places(b, 2 * n);
    for (size_t i = 0; i < n; i++)
        if (old[i].hash)
            *place(b, old[i].hash) = old[i];
    free(old);
}

static struct page_word *change_of(struct junk_batch *b, uint64_t hash)
{
    struct page_word *c;

    if (b->n / 4 >= b->cap / 5)
        grow(b);
    c = place(b, hash);
    b->n += !c->hash;
    c->hash = hash;
    return c;
}

void junk_batch_add(struct junk_batch *b, const struct junk_tokens *tokens, bool is_spam, int sign)
{
    enum { AHEAD = 32 }; // the table is larger than what the processor has at hand

    for (size_t i = 0; i < tokens->n; i++) {
        struct page_word *c;

        if (i + AHEAD < tokens->n)
            __builtin_prefetch(&b->places[home(b, tokens->items[i + AHEAD].hash)], 1);
        c = change_of(b, tokens->items[i].hash);
        *(is_spam ? &c->spam : &c->ham) += sign;
    }
    *(is_spam ? &b->spam : &b->ham) += sign;
}

struct junk_count junk_batch_word(const struct junk_batch *b, uint64_t hash)
{
    const struct page_word *c = place(b, hash);

    return (struct junk_count){c->ham > 0 ? (uint64_t)c->ham : 0,
                               c->spam > 0 ? (uint64_t)c->spam : 0};
}

struct junk_count junk_batch_messages(const struct junk_batch *b)
{
    return (struct junk_count){b->ham > 0 ? (uint64_t)b->ham : 0,
                               b->spam > 0 ? (uint64_t)b->spam : 0};
}

static bool gather(void *ctx, const struct page_word *w, struct err *e)
{
    struct page_word *c = change_of(ctx, w->hash);

    (void)e;
    c->ham += w->ham;
    c->spam += w->spam;
    return true;
}

bool junk_batch_read(struct junk_batch *b, struct db *d, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    struct junk_state state;

    if (!junk_state_read(d, &a, &state, e) || !each_word(d, gather, b, e))
        return false;
    b->ham += (int64_t)state.messages.ham;
    b->spam += (int64_t)state.messages.spam;
    return true;
}

static bool is_change(const struct page_word *w)
{
    return w->hash && (w->ham || w->spam);
}

size_t junk_batch_left(const struct junk_batch *b)
{
    size_t n = 0;

    for (size_t i = 0; i < b->cap; i++)
        n += is_change(&b->places[i]);
    return n;
}

/*
 * The changes in the order of the table, which is then walked through once: heap. Hashes of words are spread evenly, so
 * that each has almost its place when the first bits of all are counted.
 */
enum { FEW_WORDS = 4 }; // that begin with the same bits
static struct page_word *sort_changes(const struct junk_batch *b, size_t *n_out)
{
    size_t n = junk_batch_left(b);
    unsigned bits = 1;
    struct page_word *sorted = heap_array(n, sizeof *sorted);
    uint32_t *starts;

    while (((size_t)FEW_WORDS << bits) < n)
        bits++;
    starts = heap_array(((size_t)1 << bits) + 1, sizeof *starts);
    for (size_t i = 0; i < b->cap; i++)
        if (is_change(&b->places[i]))
            starts[(b->places[i].hash >> (JUNK_HASH_BITS - bits)) + 1]++;
    for (size_t i = 1; i < (size_t)1 << bits; i++)
        starts[i] += starts[i - 1];
    for (size_t i = 0; i < b->cap; i++)
        if (is_change(&b->places[i]))
            sorted[starts[b->places[i].hash >> (JUNK_HASH_BITS - bits)]++] = b->places[i];
    free(starts);
    for (size_t i = 1; i < n; i++) {
        struct page_word word = sorted[i];
        size_t at = i;

        for (; at && sorted[at - 1].hash > word.hash; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = word;
    }
    *n_out = n;
    return sorted;
}

static bool write_messages(struct junk_batch *b, struct db *d, struct err *e)
{
    return DB_RUN(d, "UPDATE junk_state SET ham = max(0, ham + ?), spam = max(0, spam + "
                     "?)", e, b->ham, b->spam);
}

/*
 * Pages are cut when they get larger, into parts with room to grow: two of them fit a page of the database,
 * without the chains of pages that larger rows make.
 */
enum { PAGE_BYTES = 2000, CUT_BYTES = 1400 };

/* What writing takes, and the page in progress. */
struct page_writer {
    struct stmt *find, *next, *put, *drop;
    struct page_word *words; // heap
    size_t n, cap;
    struct buf bytes;
};

static void keep_word(struct page_writer *w, const struct page_word *old, const struct page_word *change)
{
    struct page_word sum = {old ? old->hash : change->hash,
                            (old ? old->ham : 0) + (change ? change->ham : 0),
                            (old ? old->spam : 0) + (change ? change->spam : 0)};

    sum.ham = sum.ham > 0 ? sum.ham : 0;
    sum.spam = sum.spam > 0 ? sum.spam : 0;
    if (!sum.ham && !sum.spam)
        return; // what no message has any more is not kept
    if (w->n == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 1024;
        w->words = heap_resize(w->words, w->cap, sizeof *w->words);
    }
    w->words[w->n++] = sum;
}

// The words of the page that the first change belongs to, with all changes of that page.
static bool merge(struct page_writer *w, const struct page_word *changes, size_t n, size_t *used,
                  uint64_t *first, struct err *e)
{
    struct page_reader r = {.find = w->find};
    uint64_t end = UINT64_MAX;
    size_t i = 0;

    w->n = 0;
    if (!find_page(&r, changes[0].hash, e))
        return false;
    *first = r.first; // 0 when there is none
    stmt_reset(w->next);
    stmt_bind_u64(w->next, 1, r.has_word ? r.first : changes[0].hash);
    if (!stmt_step(w->next, e))
        return false;
    if (!stmt_is_null(w->next, 0))
        end = stmt_u64(w->next, 0);
    while (r.has_word || (i < n && changes[i].hash < end)) {
        bool has_change = i < n && changes[i].hash < end;
        bool takes_old = r.has_word && (!has_change || r.word.hash <= changes[i].hash);
        bool takes_change = has_change && (!r.has_word || changes[i].hash <= r.word.hash);

        keep_word(w, takes_old ? &r.word : NULL, takes_change ? &changes[i] : NULL);
        i += takes_change;
        if (takes_old && !next_word(&r, e))
            return false;
    }
    *used = i;
    return true;
}

static bool put_page(struct page_writer *w, uint64_t first, struct err *e)
{
    stmt_bind_u64(w->put, 1, first);
    stmt_bind_blob(w->put, 2, buf_str(&w->bytes));
    return stmt_run(w->put, e);
}

static bool write_words(struct page_writer *w, uint64_t first, struct err *e)
{
    uint64_t before = first;
    size_t whole, part;

    buf_reset(&w->bytes);
    for (size_t i = 0; i < w->n; before = w->words[i++].hash)
        page_put(&w->bytes, before, &w->words[i]);
    whole = w->bytes.n;
    if (whole <= PAGE_BYTES)
        return put_page(w, first, e);
    part = whole / (whole / CUT_BYTES + 1) + 1;
    buf_reset(&w->bytes);
    before = first;
    for (size_t i = 0; i < w->n; before = w->words[i++].hash) {
        if (w->bytes.n >= part) {
            if (!put_page(w, first, e))
                return false;
            buf_reset(&w->bytes);
            first = before = w->words[i].hash;
        }
        page_put(&w->bytes, before, &w->words[i]);
    }
    return put_page(w, first, e);
}

static bool write_changes(struct page_writer *w, const struct page_word *changes, size_t n,
                          struct err *e)
{
    while (n) {
        uint64_t first;
        size_t used;

        if (!merge(w, changes, n, &used, &first, e))
            return false;
        stmt_reset(w->find);
        stmt_bind_u64(w->drop, 1, first);
        if (w->n ? !write_words(w, first, e) : !stmt_run(w->drop, e))
            return false;
        changes += used;
        n -= used;
    }
    return true;
}

bool junk_batch_write(struct junk_batch *b, struct db *d, struct err *e)
{
    AUTO_STMT find = db_prepare(d, FIND_PAGE, e);
    AUTO_STMT next = db_prepare(d, "SELECT min(first) FROM junk_page WHERE first > ?", e);
    AUTO_STMT put = db_prepare(d, "INSERT OR REPLACE INTO junk_page (first, words) VALUES (?, ?)", e);
    AUTO_STMT drop = db_prepare(d, "DELETE FROM junk_page WHERE first = ?", e);
    struct page_writer w = {find, next, put, drop, .bytes = BUF_LIMIT((size_t)64 << 20)};
    size_t n;
    struct page_word *changes = sort_changes(b, &n);
    bool is_ok = find && next && put && drop && write_messages(b, d, e) &&
                 write_changes(&w, changes, n, e);

    free(changes);
    free(w.words);
    buf_fini(&w.bytes);
    memset(b->places, 0, b->cap * sizeof *b->places);
    b->n = 0;
    b->ham = b->spam = 0;
    return is_ok;
}

/* --- checking ---------------------------------------------------------------------------------------- */

struct check {
    struct junk_count messages;
    uint64_t last;
    size_t n_wrong;
};

static bool check_word(void *ctx, const struct page_word *w, struct err *e)
{
    struct check *c = ctx;

    (void)e;
    c->n_wrong += (uint64_t)w->ham > c->messages.ham || (uint64_t)w->spam > c->messages.spam ||
                  !(w->ham || w->spam) || w->hash <= c->last;
    c->last = w->hash;
    return true;
}

bool junk_check(struct db *d, struct buf *problems, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    struct err damaged = {0};
    struct junk_state state;
    struct check c = {0};

    if (!junk_state_read(d, &a, &state, &damaged)) {
        if (damaged.kind == ERR_NOT_FOUND)
            return true;
        *e = damaged;
        return false;
    }
    c.messages = state.messages;
    if (!each_word(d, check_word, &c, &damaged))
        buf_printf(problems, "%s\n", damaged.text);
    if (c.n_wrong)
        buf_printf(problems, "words in no message, in more than were learnt, or out of order: %zu\n",
                   c.n_wrong);
    return true;
}
