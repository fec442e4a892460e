/*
 * A reading position in borrowed bytes: all parsers look at their input through it,
 * so that no look-ahead passes the end.
 */
#pragma once

#include "base/str.h"

struct cur {
    const char *p, *end;
};

static inline struct cur cur_of(struct str s)
{
    return (struct cur){s.p, s.n ? s.p + s.n : s.p};
}

static inline size_t cur_left(const struct cur *c)
{
    return (size_t)(c->end - c->p);
}

/* The next byte as 0..255 without taking it, or -1 at the end. */
static inline int cur_peek(const struct cur *c)
{
    return c->p < c->end ? (unsigned char)*c->p : -1;
}

/* The byte at distance i, or -1 past the end. */
static inline int cur_peek_at(const struct cur *c, size_t i)
{
    return i < cur_left(c) ? (unsigned char)c->p[i] : -1;
}

/* Takes the next byte, or -1 at the end. */
static inline int cur_next(struct cur *c)
{
    return c->p < c->end ? (unsigned char)*c->p++ : -1;
}

/* Takes ch if it is next. */
static inline bool cur_skip(struct cur *c, char ch)
{
    if (c->p == c->end || *c->p != ch)
        return false;
    c->p++;
    return true;
}

/* Takes the word if it is next; _ci folds ASCII case. */
bool cur_skip_str(struct cur *c, struct str word);
bool cur_skip_str_ci(struct cur *c, struct str word);

/* Takes bytes while is_ok says so; the result points into the input. */
static inline struct str cur_while(struct cur *c, bool (*is_ok)(unsigned char))
{
    const char *start = c->p;

    while (c->p < c->end && is_ok((unsigned char)*c->p))
        c->p++;
    return str_at(start, (size_t)(c->p - start));
}

/* Takes exactly n bytes, or nothing and returns false. */
MUST_USE bool cur_take(struct cur *c, size_t n, struct str *out);

/* Takes one line without its LF or CRLF; the last line may lack one. False at the end. */
MUST_USE bool cur_line(struct cur *c, struct str *out);

/* Everything that is left, without taking it. */
static inline struct str cur_rest(const struct cur *c)
{
    return (struct str){c->p, cur_left(c)};
}

/* A decimal number no greater than max. Takes nothing and leaves out alone on failure. */
MUST_USE bool cur_u64(struct cur *c, uint64_t max, uint64_t *out);

/* The whole of s as a decimal number no greater than max. */
MUST_USE bool str_u64(struct str s, uint64_t max, uint64_t *out);
