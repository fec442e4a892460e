/*
 * What the files of the tokeniser share.
 */
#pragma once

#include "junk/junk.h"

enum { TOKEN_SEEN_BITS = 9, TOKEN_SEEN = 1 << TOKEN_SEEN_BITS };
enum { TOKEN_MAX_PREFIX = 32, TOKEN_MAX_WORD = 4 * JUNK_MAX_WORD };

/* Tokens being made. */
struct tokeniser {
    struct arena *a;
    const struct junk_settings *s;
    struct junk_key key;
    bool is_about; // as in the tokens that are made
    struct junk_tokens *out;
    uint32_t *table; // places in out plus 1, by hash
    size_t table_cap;
    char *room; // for texts of tokens
    size_t room_left;
    char bytes[TOKEN_MAX_PREFIX + TOKEN_MAX_WORD]; // of the token in progress
    uint64_t seen[TOKEN_SEEN]; // short words without prefix that were put, each where it fits

    struct str before[2]; // upstream's: words before, newest first
};

/* Adds prefix and word, as far as they fit a token, unless they are there or there are too many. */
void token_put(struct tokeniser *t, struct str prefix, struct str word);

/* page.c: a word of a page, or what is to be added to it. */
struct page_word {
    uint64_t hash;
    int32_t ham, spam;
};
/* Takes the word after the one with hash before; false when what is left is none. */
bool page_take(struct cur *c, uint64_t before, struct page_word *out);
void page_put(struct buf *out, uint64_t before, const struct page_word *w);

/* words.c: the words of a text in UTF-8; prefix such as "subject:" or empty. */
void words_put(struct tokeniser *t, struct str prefix, struct str text);
void url_put(struct tokeniser *t, struct str url);
/* Upstream's words, at least min bytes long. */
void upstream_words_put(struct tokeniser *t, struct str prefix, size_t min, struct str text);

/*
 * html.c: the text of HTML, without scripts and styles; what is hidden from readers goes to hidden, which may be shown. link is called for each link and image,
 * with an undecoded address in html; links are few: at most HTML_MAX_LINKS.
 */
enum { HTML_MAX_LINKS = 500 };
typedef void html_link_fn(void *ctx, struct str url);
void html_text(struct str html, struct buf *shown, struct buf *hidden, html_link_fn *link, void *ctx);
