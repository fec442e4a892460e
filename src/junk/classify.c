/*
 * From counts to a probability.
 */
#include <math.h>
#include <stdlib.h>

#include "junk/junk.h"

/* A word that may count. */
struct evidence {
    double probability, strength; // of junk; distance from 0.5
    uint32_t at;                  // in the tokens
    uint32_t n_bytes;
};

static int by_strength(const void *x, const void *y)
{
    const struct evidence *a = x, *b = y;

    if (a->strength != b->strength)
        return a->strength < b->strength ? 1 : -1;
    if (a->n_bytes != b->n_bytes) // longer words are rarer, and say more
        return a->n_bytes < b->n_bytes ? 1 : -1;
    return a->at < b->at ? -1 : a->at > b->at;
}

// How often a word is in junk, were there as much junk as ham. False when that is unknown.
static bool raw_probability(struct junk_count word, struct junk_count messages, double *out)
{
    double ham = messages.ham ? (double)word.ham / (double)messages.ham : 0;
    double spam = messages.spam ? (double)word.spam / (double)messages.spam : 0;

    if (!(ham + spam > 0))
        return false;
    *out = spam / (ham + spam);
    return true;
}

static void tell(struct arena *a, const struct junk_tokens *tokens, const struct evidence *v,
                 struct junk_result *out)
{
    bool is_spam = v->probability > 0.5;
    size_t *n = is_spam ? &out->n_spam_deciders : &out->n_ham_deciders;

    if (*n < JUNK_MAX_DECIDERS)
        (is_spam ? out->spam : out->ham)[(*n)++] = (struct junk_decider){
            arena_dup(a, tokens->items[v->at].text), v->probability};
}

/* --- upstream's formula (mox-smtp-delivery.md 2.4) ------------------------------------------------ */

static double decide_words(struct arena *a, const struct junk_settings *s,
                           const struct junk_tokens *tokens, const struct junk_count *counts,
                           struct junk_count messages, struct junk_result *out)
{
    struct evidence *list = ARENA_ARRAY(a, tokens->n + 1, struct evidence);
    size_t n = 0, n_ham = 0, n_spam = 0;
    double eta = 0;

    for (size_t i = 0; i < tokens->n; i++) {
        uint64_t seen = counts[i].ham + counts[i].spam;
        double r;

        if (!raw_probability(counts[i], messages, &r))
            continue;
        r = fmin(fmax(r, s->max_power), 1 - s->max_power);
        if (seen <= s->rare_words)
            r += (double)(1 + s->rare_words - seen) * (0.5 - r) / 10;
        if (fabs(0.5 - r) < s->ignore_words)
            continue;
        list[n++] = (struct evidence){r, fabs(0.5 - r), (uint32_t)i,
                                      (uint32_t)tokens->items[i].text.n};
    }
    qsort(list, n, sizeof *list, by_strength);
    for (size_t i = 0; i < n; i++) {
        double r = list[i].probability;

        if (r == 0.5 || (r < 0.5 ? n_ham++ : n_spam++) >= s->top_words)
            continue;
        eta += log1p(-r) - log(r);
        tell(a, tokens, &list[i], out);
    }
    return 1 / (1 + exp(eta));
}

/* --- all evidence ---------------------------------------------------------------------------------- */

/*
 * What a word says is how much more often it is in junk, as a logarithm, with a little added to both counts:
 * what was seen once in ten times as many messages then says less than what was seen once in few. It counts by how clear
 * it is. The mean over the words of the text decides together with that over header and structure, not a
 * sum over all: words of a message depend on each other, and a sum takes every further word for new evidence,
 * so that long messages get certain of anything; and a long text does not drown out who wrote it. Measured in
 * doc/decisions/junk-filter.md.
 */
static const double smoothing = 0.05, damping = 5, slope = 2;

// Keeps the strongest of each kind, in order.
static void keep(struct evidence *kept, size_t *n, const struct evidence *v)
{
    size_t at = *n;

    if (at == JUNK_MAX_DECIDERS && by_strength(v, &kept[at - 1]) > 0)
        return;
    if (at < JUNK_MAX_DECIDERS)
        ++*n;
    else
        at--;
    for (; at && by_strength(v, &kept[at - 1]) < 0; at--)
        kept[at] = kept[at - 1];
    kept[at] = *v;
}

static double decide_evidence(struct arena *a, const struct junk_tokens *tokens,
                              const struct junk_count *counts, struct junk_count messages,
                              struct junk_result *out)
{
    double per_ham = 1 / ((double)messages.ham + 2 * smoothing);
    double per_spam = 1 / ((double)messages.spam + 2 * smoothing);
    struct evidence kept[2][JUNK_MAX_DECIDERS]; // ham, spam
    size_t n_kept[2] = {0};
    double sum[2] = {0}, weight[2] = {damping, damping}; // of the text, of what is about it

    for (size_t i = 0; i < tokens->n; i++) {
        const struct junk_token *token = &tokens->items[i];
        double ham, spam, p, clarity;

        if (!(counts[i].ham + counts[i].spam))
            continue;
        ham = ((double)counts[i].ham + smoothing) * per_ham;
        spam = ((double)counts[i].spam + smoothing) * per_spam;
        p = spam / (ham + spam);
        clarity = 2 * fabs(p - 0.5);
        sum[token->is_about] += clarity * log(spam / ham);
        weight[token->is_about] += clarity;
        if (p != 0.5)
            keep(kept[p > 0.5], &n_kept[p > 0.5],
                 &(struct evidence){p, fabs(p - 0.5), (uint32_t)i, (uint32_t)token->text.n});
    }
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < n_kept[k]; i++)
            tell(a, tokens, &kept[k][i], out);
    return 1 / (1 + exp(-slope * (sum[0] / weight[0] + sum[1] / weight[1])));
}

void junk_decide(struct arena *a, const struct junk_settings *s, const struct junk_tokens *tokens,
                 const struct junk_count *counts, struct junk_count messages,
                 struct junk_result *out)
{
    unsigned few = s->method == JUNK_WORDS ? JUNK_FEW_HAM_WORDS : JUNK_FEW_HAM;

    *out = (struct junk_result){.n_ham = messages.ham, .n_spam = messages.spam,
                                .is_significant = messages.ham >= few};
    out->probability = s->method == JUNK_WORDS
                           ? decide_words(a, s, tokens, counts, messages, out)
                           : decide_evidence(a, tokens, counts, messages, out);
}
