/*
 * Tokens of any message, made in both ways: no more than allowed, none empty, each once, and the same
 * when made again. The first byte chooses the way, the rest is the message.
 */
#include <stdlib.h>

#include "base/die.h"
#include "junk/junk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int by_hash(const void *x, const void *y)
{
    uint64_t a = ((const struct junk_token *)x)->hash, b = ((const struct junk_token *)y)->hash;

    return a < b ? -1 : a > b;
}

static void tokenise(struct arena *a, const struct junk_settings *s, struct str message,
                     struct junk_tokens *out)
{
    bool is_broken;
    struct junk_message m = {mime_parse(a, message, &is_broken), junk_read_str, &message};
    struct err e = {0};

    if (!junk_tokenise(a, s, &(struct junk_key){1, 2}, &m, out, &e))
        die("bytes in memory cannot be read");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(2 * (MIME_MEMORY + JUNK_MEMORY));
    struct junk_tokens first, second;
    struct junk_settings s;

    if (!size || size > 200000)
        return 0;
    s = (struct junk_settings){.method = data[0] & 1 ? JUNK_WORDS : JUNK_EVIDENCE,
                               .onegrams = data[0] & 2, .twograms = data[0] & 4,
                               .threegrams = data[0] & 8};
    tokenise(&a, &s, str_at(data + 1, size - 1), &first);
    tokenise(&a, &s, str_at(data + 1, size - 1), &second);
    if (first.n != second.n || first.n > JUNK_MAX_TOKENS)
        die("tokens are not the same, or too many");
    for (size_t i = 0; i < first.n; i++)
        if (first.items[i].hash != second.items[i].hash || !first.items[i].text.n)
            die("a token is another one, or empty");
    if (first.n)
        qsort(first.items, first.n, sizeof *first.items, by_hash);
    for (size_t i = 1; i < first.n; i++)
        if (first.items[i].hash == first.items[i - 1].hash)
            die("a token is there twice");
    return 0;
}
