/*
 * Borrowed text: a pointer and a length. Never owned, may hold any byte including NUL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

struct str {
    const char *p;
    size_t n;
};

/* A str of a string literal: STR in expressions, STR_ in static initialisers. */
#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

/* The two arguments of "%.*s". The length is cut at 1 MiB, and printf stops at a NUL. */
#define STR_FMT(s) ((int)((s).n > 1048576 ? 1048576 : (s).n)), ((s).n ? (s).p : "")

/* Text of a NUL-terminated string that is our own: a literal, argv, an environment value. */
struct str str_of(const char *cstring);

static inline struct str str_at(const void *p, size_t n)
{
    return (struct str){p, n};
}

/* The part from position from, at most n bytes; both are clamped to s. */
static inline struct str str_sub(struct str s, size_t from, size_t n)
{
    if (from >= s.n)
        return (struct str){s.n ? s.p + s.n : s.p, 0};
    return (struct str){s.p + from, n > s.n - from ? s.n - from : n};
}
static inline struct str str_from(struct str s, size_t from)
{
    return str_sub(s, from, SIZE_MAX);
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (!a.n || memcmp(a.p, b.p, a.n) == 0);
}
bool str_eq_folded(const char *a, const char *b, size_t n);
/* Equal when ASCII letters are folded; other bytes compare exactly. */
static inline bool str_eq_ci(struct str a, struct str b)
{
    return a.n == b.n && str_eq_folded(a.p, b.p, a.n);
}
/* Order by bytes, shorter first: negative, 0, positive. */
int str_cmp(struct str a, struct str b);
/* Copies s to *at, where there is room for it, and moves *at behind it: for texts that share one block. The copy. */
struct str str_put_at(char **at, struct str s);

static inline bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq(str_sub(s, 0, prefix.n), prefix);
}
static inline bool str_starts_ci(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq_folded(s.p, prefix.p, prefix.n);
}
static inline bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq(str_from(s, s.n - suffix.n), suffix);
}
static inline bool str_ends_ci(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq_ci(str_from(s, s.n - suffix.n), suffix);
}

enum { STR_NONE = -1 };
/* Position of the first or last byte c, or of a part; STR_NONE when absent. */
ptrdiff_t str_find(struct str s, char c);
ptrdiff_t str_find_last(struct str s, char c);
ptrdiff_t str_find_str(struct str s, struct str part);
ptrdiff_t str_find_str_ci(struct str s, struct str part);

/* Cuts s at the first c: *before gets what precedes it, *after what follows. False if absent. */
bool str_cut(struct str s, char c, struct str *before, struct str *after);
/* Takes what *rest has up to the next c, or all of it; false when nothing is left. */
bool str_next(struct str *rest, char c, struct str *out);

/* Without spaces, tabs, CR and LF at both ends. */
struct str str_trim(struct str s);

/* ASCII only, whatever the locale. */
static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}
static inline char ascii_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
}
static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static inline bool ascii_is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static inline bool ascii_is_alnum(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c);
}

/* How many bytes there are before the first that is not below 128. */
size_t str_ascii_n(struct str s);
static inline bool str_is_ascii(struct str s)
{
    return str_ascii_n(s) == s.n;
}

/* Takes the same time wherever the difference is; for secrets. */
bool str_eq_secret(struct str a, struct str b);
