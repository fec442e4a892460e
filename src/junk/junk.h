/*
 * The junk filter: what words say about a message, learnt from each user's own mail.
 *
 * junk_tokenise() makes a message into a set of tokens and is pure; classifying and learning read and
 * write the word table of a database, an account's or a file of its own. Learning and forgetting the
 * same message leaves the table as it was.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "db/db.h"
#include "message/mime.h"

enum {
    JUNK_MAX_HEADER = 64 * 1024, // bytes of the header that are looked at
    JUNK_MAX_TEXT = 512 * 1024,  // bytes of decoded text, of all parts
    JUNK_MAX_PARTS = 500,        // whose text is looked at
    JUNK_MAX_TOKENS = 30000,
    JUNK_MAX_WORD = 48,          // bytes; a longer one is told by its beginning
    JUNK_MEMORY = 48 << 20,      // what the tokens of a message and making them may take
    JUNK_MAX_DECIDERS = 20,      // words of a kind that are told with a result
    JUNK_FEW_HAM = 100,          // messages to learn before a result is significant
    JUNK_FEW_HAM_WORDS = 50,     // the same with upstream's formula
};

/* Hashes of words have 48 bits: a table of a million words has an unknown one by mistake once in 2^28. */
enum { JUNK_HASH_BITS = 48, JUNK_HASH_SHIFT = 64 - JUNK_HASH_BITS };
#define JUNK_MAX_HASH (UINT64_MAX >> JUNK_HASH_SHIFT)

/* How tokens are made and weighed. */
enum junk_method {
    JUNK_EVIDENCE, // all evidence of text, header, links and structure
    JUNK_WORDS,    // upstream's: words and their sequences, the strongest of which decide
};

struct junk_settings {
    enum junk_method method;
    // Of JUNK_WORDS (mox-smtp-delivery.md 2.4).
    bool onegrams, twograms, threegrams;
    double max_power, ignore_words;
    unsigned top_words, rare_words;
};
/* The settings that tokens depend on: what was learnt with others is of no use. */
struct str junk_settings_name(struct arena *a, const struct junk_settings *s);
/* The settings of that name, as far as tokens depend on them; false when they are of another version. */
MUST_USE bool junk_settings_of_name(struct str name, struct junk_settings *out);

/* Keys the hashes of words, so that nobody outside can make words that share one. */
struct junk_key {
    uint64_t k0, k1;
};

struct junk_token {
    uint64_t hash;
    struct str text; // such as "offer" or "subject:offer"
    bool is_about;   // of the header or the structure, not of the text
};
struct junk_tokens {
    struct junk_token *items;
    size_t n, cap;
};

/* Reads [offset, offset + n) of the message, less at its end. */
typedef bool junk_read_fn(void *ctx, uint64_t offset, size_t n, struct buf *out, struct err *e);
struct junk_message {
    const struct part *root;
    junk_read_fn *read;
    void *ctx;
};
/* A message in memory, and in a file. */
bool junk_read_str(void *str, uint64_t offset, size_t n, struct buf *out, struct err *e);
bool junk_read_fd(void *fd, uint64_t offset, size_t n, struct buf *out, struct err *e);

/*
 * The tokens of a message, each once, in the arena. Work and memory are bounded, whatever the message.
 * Fails only when reading does.
 */
MUST_USE bool junk_tokenise(struct arena *a, const struct junk_settings *s,
                            const struct junk_key *key, const struct junk_message *m,
                            struct junk_tokens *out, struct err *e);

/* A word that decided, with its probability of junk. */
struct junk_decider {
    struct str text; // in the arena
    double probability;
};
struct junk_result {
    double probability;  // that it is junk
    bool is_significant; // enough was learnt to say so
    uint64_t n_ham, n_spam; // messages learnt
    struct junk_decider ham[JUNK_MAX_DECIDERS], spam[JUNK_MAX_DECIDERS]; // strongest first
    size_t n_ham_deciders, n_spam_deciders;
};

/* What is known of a word. */
struct junk_count {
    uint64_t ham, spam;
};
/* The formula alone: counts[i] is of tokens->items[i]. */
void junk_decide(struct arena *a, const struct junk_settings *s, const struct junk_tokens *tokens,
                 const struct junk_count *counts, struct junk_count messages,
                 struct junk_result *out);

/* --- in a database ------------------------------------------------------------------------------- */

/* What the word table of d was learnt with. */
struct junk_state {
    struct junk_key key;
    struct str settings; // junk_settings_name of then, in the arena
    struct junk_count messages;
};
/* Reads the state; ERR_NOT_FOUND when nothing was ever learnt. */
MUST_USE bool junk_state_read(struct db *d, struct arena *a, struct junk_state *out, struct err *e);
/* Forgets everything and begins anew with these settings. In a transaction of the caller. */
MUST_USE bool junk_state_reset(struct db *d, const struct junk_settings *s, struct err *e);

MUST_USE bool junk_classify(struct db *d, struct arena *a, const struct junk_settings *s,
                            const struct junk_tokens *tokens, struct junk_result *out,
                            struct err *e);

/*
 * Changes of counts, gathered from messages and written together: a word that many have is written
 * once. Holds JUNK_BATCH_WORDS; is_full then asks to be written.
 */
enum { JUNK_BATCH_WORDS = 100000 };
struct junk_batch;
/* With room for so many words at first. */
struct junk_batch *junk_batch_new(size_t words);
void junk_batch_free(struct junk_batch *b);
bool junk_batch_is_full(const struct junk_batch *b);
/* sign +1 learns, -1 undoes it. */
void junk_batch_add(struct junk_batch *b, const struct junk_tokens *tokens, bool is_spam, int sign);
/* What was gathered, of a word and of messages: a batch alone is a filter in memory. */
struct junk_count junk_batch_word(const struct junk_batch *b, uint64_t hash);
struct junk_count junk_batch_messages(const struct junk_batch *b);
/* Gathers all that d has learnt: for classifying many messages. */
MUST_USE bool junk_batch_read(struct junk_batch *b, struct db *d, struct err *e);
/* How many words have a count other than 0: 0 when all that was learnt is undone. */
size_t junk_batch_left(const struct junk_batch *b);
/* In a transaction of the caller; the batch is empty again. */
MUST_USE bool junk_batch_write(struct junk_batch *b, struct db *d, struct err *e);
/* Problems of the word table alone, as lines. */
MUST_USE bool junk_check(struct db *d, struct buf *problems, struct err *e);
