#include "base/cur.h"

#include <string.h>

bool cur_skip_str(struct cur *c, struct str word)
{
    if (!str_starts(cur_rest(c), word))
        return false;
    c->p += word.n;
    return true;
}

bool cur_skip_str_ci(struct cur *c, struct str word)
{
    if (!str_starts_ci(cur_rest(c), word))
        return false;
    c->p += word.n;
    return true;
}

bool cur_take(struct cur *c, size_t n, struct str *out)
{
    if (n > cur_left(c))
        return false;
    *out = str_at(c->p, n);
    c->p += n;
    return true;
}

bool cur_line(struct cur *c, struct str *out)
{
    const char *lf;

    if (c->p == c->end)
        return false;
    lf = memchr(c->p, '\n', cur_left(c));
    *out = str_at(c->p, (size_t)((lf ? lf : c->end) - c->p));
    c->p = lf ? lf + 1 : c->end;
    if (lf && out->n && out->p[out->n - 1] == '\r')
        out->n--;
    return true;
}

bool cur_u64(struct cur *c, uint64_t max, uint64_t *out)
{
    struct cur at = *c;
    uint64_t v = 0;

    for (int ch; (ch = cur_peek(&at)) >= '0' && ch <= '9'; at.p++)
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(ch - '0'), &v) || v > max)
            return false;
    if (at.p == c->p)
        return false;
    *c = at;
    *out = v;
    return true;
}

bool str_u64(struct str s, uint64_t max, uint64_t *out)
{
    struct cur c = cur_of(s);
    uint64_t v;

    if (!cur_u64(&c, max, &v) || cur_left(&c))
        return false;
    *out = v;
    return true;
}
