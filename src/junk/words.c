/*
 * Words of a text, in two ways: ours, and upstream's as its parameters expect them.
 */
#include <endian.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>

#include "junk/junk_priv.h"
#include "text/encode.h"

enum kind {
    KIND_OTHER,
    KIND_INNER, // belongs to a word when it is inside: it and others begin none
    KIND_LETTER,
    KIND_DIGIT,
    KIND_SYMBOL,    // belongs to a word at its ends too
    KIND_SPACELESS, // of a script that sets no spaces between words
    KIND_INVISIBLE, // hides words from filters
};

static bool is_spaceless(uint32_t c)
{
    return (c >= 0x0e00 && c <= 0x0eff) || // Thai, Lao
           (c >= 0x1000 && c <= 0x109f) || // Burmese
           (c >= 0x1780 && c <= 0x17ff) || // Khmer
           (c >= 0x2e80 && c <= 0x9fff && !(c >= 0x3100 && c <= 0x312f)) || // Han, kana
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x3ffff);
}

// Most text is ASCII.
static const unsigned char ascii_kinds[128] = {
    ['A' ... 'Z'] = KIND_LETTER, ['a' ... 'z'] = KIND_LETTER, ['0' ... '9'] = KIND_DIGIT,
    ['$'] = KIND_SYMBOL, ['!'] = KIND_SYMBOL, ['%'] = KIND_SYMBOL, ['\''] = KIND_INNER,
    ['-'] = KIND_INNER, ['.'] = KIND_INNER, [','] = KIND_INNER, ['_'] = KIND_INNER,
};

static enum kind kind_of_rare(uint32_t c)
{
    if (c == 0xad || (c >= 0x200b && c <= 0x200f) || (c >= 0x2060 && c <= 0x2064) || c == 0xfeff)
        return KIND_INVISIBLE;
    if (c == 0x2019)
        return KIND_INNER;
    if (c == 0x20ac || c == 0xa3)
        return KIND_SYMBOL;
    if (!uc_is_alnum(c) && !uc_is_property_combining(c))
        return KIND_OTHER;
    return is_spaceless(c) ? KIND_SPACELESS : uc_is_digit(c) ? KIND_DIGIT : KIND_LETTER;
}

static inline enum kind kind_of(uint32_t c)
{
    return c < 128 ? ascii_kinds[c] : kind_of_rare(c);
}

// The next character, when something is left.
static inline uint32_t take(struct cur *c)
{
    int next = cur_peek(c);
    struct str rest;
    uint32_t code;

    if (next < 128)
        return (uint32_t)cur_next(c);
    rest = cur_rest(c);
    code = utf8_next(&rest);
    *c = cur_of(rest);
    return code;
}

/* A word that is being read, in lower case. */
struct word {
    char bytes[JUNK_MAX_WORD];
    size_t n;     // of bytes
    size_t whole; // with those that did not fit
    size_t n_letters, n_digits;
};

static inline void word_add_ascii(struct word *w, char c)
{
    if (w->whole++ < sizeof w->bytes)
        w->bytes[w->n++] = ascii_lower(c);
}

static void word_add(struct word *w, uint32_t c)
{
    char bytes[8];
    struct buf b = {bytes, 0, sizeof bytes, sizeof bytes, false};

    if (c < 128) {
        word_add_ascii(w, (char)c);
        return;
    }
    utf8_put(&b, uc_tolower(c));
    w->whole += b.n;
    if (w->whole > sizeof w->bytes)
        return;
    memcpy(w->bytes + w->n, bytes, b.n);
    w->n += b.n;
}

// How many of eight bytes, the first one lowest, are plain letters, up to the first that is not.
static inline size_t letters_at(uint64_t eight)
{
    const uint64_t ones = 0x0101010101010101, high = 0x80 * ones;
    uint64_t low = (eight & ~high) | 0x20 * ones; // no sum of these carries into the next byte
    uint64_t from_a = low + (0x80 - 'a') * ones, behind_z = low + (0x80 - 'z' - 1) * ones;
    uint64_t others = ~(from_a & ~behind_z & ~eight) & high;

    return others ? (size_t)__builtin_ctzll(others) / 8 : 8;
}

static inline bool is_letter(char c)
{
    return (unsigned char)((c | 0x20) - 'a') < 26;
}

// Those that come next, of which most text consists; eight at a time.
static inline void take_letters(struct cur *c, struct word *w)
{
    const char *p = c->p;
    size_t n;

    while (c->end - p >= 8 && w->whole + 8 <= sizeof w->bytes) {
        uint64_t eight, lower;

        memcpy(&eight, p, 8);
        n = letters_at(le64toh(eight));
        lower = eight | 0x2020202020202020; // what is behind the letters is written over, or not looked at
        __builtin_memcpy(w->bytes + w->n, &lower, 8); // there is room; the checked one is a call
        w->n += n;
        w->whole += n;
        p += n;
        if (n < 8)
            goto end;
    }
    for (; p < c->end && is_letter(*p); p++)
        word_add_ascii(w, *p);
end:
    w->n_letters += (size_t)(p - c->p);
    c->p = p;
}

// Numbers, in dates and addresses, come in rows, too.
static inline void take_digits(struct cur *c, struct word *w)
{
    const char *p = c->p;

    for (; p < c->end && ascii_is_digit(*p); p++)
        word_add_ascii(w, *p);
    w->n_digits += (size_t)(p - c->p);
    c->p = p;
}

// And those that say nothing before the next word.
static inline void skip_others(struct cur *c)
{
    const char *p = c->p;

    while (p < c->end && !(*p & 0x80) && ascii_kinds[(unsigned char)*p] <= KIND_INNER)
        p++;
    c->p = p;
}

static void word_clear(struct word *w)
{
    w->n = w->whole = w->n_letters = w->n_digits = 0;
}

// Of a long word, or of a long number, only how long it is.
static void put_length(struct tokeniser *t, struct str prefix, const struct word *w)
{
    struct str s = str_at(w->bytes, w->n);
    char text[32];
    struct buf b = {text, 0, sizeof text, sizeof text, false};

    if (w->whole > sizeof w->bytes) {
        BUF_PUT(&b, "long:");
        utf8_put(&b, utf8_next(&s));
        buf_put_u64(&b, w->whole / 16 < 20 ? w->whole / 16 : 20);
    } else {
        BUF_PUT(&b, "digits:");
        buf_put_u64(&b, w->n_digits);
    }
    token_put(t, prefix, buf_str(&b));
}

// The first n of eight bytes as one number, the first one lowest: no word has a NUL.
static inline uint64_t short_word(const char *p, size_t n)
{
    uint64_t eight;

    memcpy(&eight, p, sizeof eight);
    return le64toh(eight) & UINT64_MAX >> (64 - 8 * n);
}

/*
 * Whether this short word was put and not forgotten since: two words of three stand in the message already, and need no
 * keyed hash to be known. Who fills the places with words of their choice makes it slower, by a constant.
 */
static inline bool was_seen(struct tokeniser *t, uint64_t word)
{
    uint64_t *place = &t->seen[word * 0x9e3779b97f4a7c15 >> (64 - TOKEN_SEEN_BITS)];

    if (*place == word)
        return true;
    *place = word;
    return false;
}

static void end_word(struct tokeniser *t, struct str prefix, struct word *w)
{
    if (w->whole > sizeof w->bytes || (!w->n_letters && w->n_digits > 5))
        put_length(t, prefix, w);
    else if ((w->n_letters + w->n_digits > 1 || w->n > 1) &&
             (prefix.n || w->n > 8 || !was_seen(t, short_word(w->bytes, w->n))))
        token_put(t, prefix, str_at(w->bytes, w->n));
    word_clear(w);
}

// A word of a few plain letters with what ends it, of which most text consists: what the loop of words_put would do,
// without looking at each character.
static inline bool take_short_word(struct tokeniser *t, struct str prefix, struct cur *c)
{
    uint64_t word;
    char bytes[8];
    size_t n;

    if (cur_left(c) <= sizeof bytes)
        return false;
    word = short_word(c->p, 8);
    n = letters_at(word);
    if (!n || n == 8 || (c->p[n] & 0x80) || ascii_kinds[(unsigned char)c->p[n]] != KIND_OTHER)
        return false;
    word = (word | 0x2020202020202020) & UINT64_MAX >> (64 - 8 * n);
    if (n > 1 && (prefix.n || !was_seen(t, word))) {
        word = htole64(word);
        memcpy(bytes, &word, sizeof bytes);
        token_put(t, prefix, str_at(bytes, n));
    }
    c->p += n + 1;
    return true;
}

// A character of a text without spaces stands for itself, and a pair with the one before for a word.
static void put_spaceless(struct tokeniser *t, struct str prefix, uint32_t c, uint32_t before)
{
    char bytes[16];
    struct buf b = {bytes, 0, sizeof bytes, sizeof bytes, false};

    utf8_put(&b, c);
    token_put(t, prefix, buf_str(&b));
    if (!before)
        return;
    buf_reset(&b);
    utf8_put(&b, before);
    utf8_put(&b, c);
    token_put(t, prefix, buf_str(&b));
}

static bool is_url_char(unsigned char c)
{
    return c > ' ' && c != '"' && c != '<' && c != '>' && c != '\'' && c != ')' && c != ']';
}

// At the start of a word: "http://", "https://", "www." and what follows.
static bool take_url(struct cur *c, struct str *out)
{
    int first = cur_peek(c) | 0x20;
    struct str text = cur_rest(c);

    if ((first != 'h' && first != 'w') || text.n < 5 || (text.p[1] | 0x20) != (first == 'h' ? 't' : 'w'))
        return false;
    if (!str_starts_ci(text, STR("http://")) && !str_starts_ci(text, STR("https://")) &&
        !str_starts_ci(text, STR("www.")))
        return false;
    *out = cur_while(c, is_url_char);
    return true;
}

static bool is_wordlike(const struct cur *c)
{
    struct str rest = cur_rest(c);
    enum kind k = rest.n ? kind_of(utf8_next(&rest)) : KIND_OTHER;

    return k == KIND_LETTER || k == KIND_DIGIT;
}

void words_put(struct tokeniser *t, struct str prefix, struct str text)
{
    struct cur left = cur_of(text);
    uint32_t before = 0; // of a script without spaces
    struct str url;
    struct word w;

    word_clear(&w);
    while (cur_left(&left)) {
        const char *start = left.p;
        uint32_t c;
        enum kind k;

        if (!w.whole) {
            skip_others(&left);
            if (take_url(&left, &url)) {
                url_put(t, url);
                before = 0;
                continue;
            }
            if (take_short_word(t, prefix, &left)) {
                before = 0;
                continue;
            }
        }
        take_letters(&left, &w);
        take_digits(&left, &w);
        if (left.p != start)
            before = 0;
        if (!cur_left(&left))
            break;
        c = take(&left);
        k = kind_of(c);
        if (k == KIND_INVISIBLE)
            continue;
        if (k == KIND_LETTER || k == KIND_DIGIT || k == KIND_SYMBOL ||
            (k == KIND_INNER && w.whole && is_wordlike(&left))) {
            w.n_letters += k == KIND_LETTER;
            w.n_digits += k == KIND_DIGIT;
            word_add(&w, c);
        } else if (w.whole) {
            end_word(t, prefix, &w);
        }
        if (k == KIND_SPACELESS)
            put_spaceless(t, prefix, c, before);
        before = k == KIND_SPACELESS ? c : 0;
    }
    if (w.whole)
        end_word(t, prefix, &w);
}

static bool is_host_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || c == '.' || c == '-' || c >= 128;
}

static bool is_path_word(unsigned char c)
{
    return ascii_is_alnum((char)c) || c >= 128;
}

// The host and the domains above it, and the words of the path: the same places are linked again.
void url_put(struct tokeniser *t, struct str url)
{
    struct cur c = cur_of(str_sub(url, 0, 1000));
    struct str host, word;
    char lower[100];

    cur_skip_str_ci(&c, STR("http"));
    cur_skip(&c, 's');
    cur_skip_str(&c, STR("://"));
    cur_skip_str_ci(&c, STR("www."));
    host = cur_while(&c, is_host_char);
    if (cur_skip(&c, '@')) { // what was a name is there to look like a host
        token_put(t, STR("url:"), STR("user"));
        host = cur_while(&c, is_host_char);
    }
    if (cur_peek(&c) == ':')
        token_put(t, STR("url:"), cur_peek_at(&c, 1) >= '0' ? STR("port") : STR("scheme"));
    host = str_sub(host, 0, sizeof lower);
    for (size_t i = 0; i < host.n; i++)
        lower[i] = ascii_lower(host.p[i]);
    host = str_at(lower, host.n);
    if (host.n && ascii_is_digit(host.p[host.n - 1]))
        token_put(t, STR("url:"), STR("number"));
    for (struct str rest = host; str_find(rest, '.') != STR_NONE;) {
        token_put(t, STR("url:"), rest);
        if (!str_cut(rest, '.', &word, &rest))
            break;
    }
    for (int i = 0; i < 20 && cur_left(&c); i++) {
        word = cur_while(&c, is_path_word);
        if (word.n > 2 && word.n <= 20)
            token_put(t, STR("path:"), word);
        cur_next(&c);
    }
}

/* --- upstream's words (mox-smtp-delivery.md 2.4) -------------------------------------------------- */

static bool is_vowel(char c)
{
    return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y';
}

// A stretch of six or more consonants or digits from 2 to 9.
static bool is_random_looking(struct str word)
{
    size_t stretch = 0;

    for (size_t i = 0; i < word.n; i++) {
        char c = word.p[i];

        if (c & 0x80)
            return false;
        stretch = (ascii_is_alpha(c) && !is_vowel(c)) || (c >= '2' && c <= '9') ? stretch + 1 : 0;
        if (stretch == 6)
            return true;
    }
    return false;
}

static bool is_numeric_looking(struct str word)
{
    struct str s = str_starts(word, STR("0x")) ? str_from(word, 2) : word;
    size_t in_row = 0, most = 0;
    bool is_hex = true;

    for (size_t i = 0; i < s.n; i++) {
        bool is_digit = ascii_is_digit(s.p[i]);

        in_row = is_digit ? in_row + 1 : 0;
        if (in_row > most)
            most = in_row;
        is_hex &= is_digit || (s.p[i] >= 'a' && s.p[i] <= 'f');
    }
    return most >= 4 || (is_hex && most >= 3);
}

// A word, and it with the one or two kept before it.
static void put_sequences(struct tokeniser *t, struct str prefix, struct str word)
{
    if (t->s->onegrams)
        token_put(t, prefix, word);
    if (t->s->twograms && t->before[0].n)
        token_put(t, prefix, arena_printf(t->a, "%.*s %.*s", STR_FMT(t->before[0]), STR_FMT(word)));
    if (t->s->threegrams && t->before[1].n)
        token_put(t, prefix, arena_printf(t->a, "%.*s %.*s %.*s", STR_FMT(t->before[1]),
                                          STR_FMT(t->before[0]), STR_FMT(word)));
    t->before[1] = t->before[0];
    t->before[0] = arena_dup(t->a, word);
}

static void end_upstream_word(struct tokeniser *t, struct str prefix, size_t min, struct word *w)
{
    struct str s = str_at(w->bytes, w->n);

    if (w->whole <= sizeof w->bytes && s.n >= min) {
        while (s.n && s.p[0] == '\'')
            s = str_from(s, 1);
        while (s.n && s.p[s.n - 1] == '\'')
            s.n--;
        if (s.n >= min && w->n_letters && !is_random_looking(s) && !is_numeric_looking(s))
            put_sequences(t, prefix, s);
    }
    word_clear(w);
}

// An apostrophe cuts a word when a letter follows it, and otherwise belongs to it.
static bool is_cut(const struct word *w, const struct cur *after)
{
    struct str rest = cur_rest(after);
    enum kind next = w->whole && rest.n ? kind_of(utf8_next(&rest)) : KIND_OTHER;

    return next == KIND_LETTER || next == KIND_SPACELESS;
}

void upstream_words_put(struct tokeniser *t, struct str prefix, size_t min, struct str text)
{
    struct cur left = cur_of(text);
    struct word w;

    word_clear(&w);
    t->before[0] = t->before[1] = (struct str){0};
    while (cur_left(&left)) {
        enum kind k;
        uint32_t c;
        bool is_letter;

        take_letters(&left, &w);
        if (!cur_left(&left))
            break;
        c = take(&left);
        k = kind_of(c);
        is_letter = k == KIND_LETTER || k == KIND_SPACELESS;
        if (is_letter || k == KIND_DIGIT || (c == '\'' && !is_cut(&w, &left))) {
            w.n_letters += is_letter;
            word_add(&w, c);
        } else if (w.whole) {
            end_upstream_word(t, prefix, min, &w);
        }
    }
    if (w.whole)
        end_upstream_word(t, prefix, min, &w);
}
