#include "base/str.h"

struct str str_of(const char *cstring)
{
    return cstring ? (struct str){cstring, strlen(cstring)} : (struct str){"", 0};
}

bool str_eq_folded(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ascii_lower(a[i]) != ascii_lower(b[i]))
            return false;
    return true;
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;

    if (order)
        return order;
    return a.n < b.n ? -1 : a.n > b.n;
}

struct str str_put_at(char **at, struct str s)
{
    struct str out = {*at, s.n};

    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return out;
}

ptrdiff_t str_find(struct str s, char c)
{
    const char *found = s.n ? memchr(s.p, c, s.n) : NULL;

    return found ? found - s.p : STR_NONE;
}

ptrdiff_t str_find_last(struct str s, char c)
{
    const char *found = s.n ? memrchr(s.p, c, s.n) : NULL;

    return found ? found - s.p : STR_NONE;
}

ptrdiff_t str_find_str(struct str s, struct str part)
{
    const char *found;

    if (!part.n)
        return 0;
    found = s.n ? memmem(s.p, s.n, part.p, part.n) : NULL;
    return found ? found - s.p : STR_NONE;
}

ptrdiff_t str_find_str_ci(struct str s, struct str part)
{
    if (!part.n)
        return 0;
    for (size_t i = 0; i + part.n <= s.n; i++)
        if (ascii_lower(s.p[i]) == ascii_lower(part.p[0]) &&
            str_eq_ci(str_sub(s, i, part.n), part))
            return (ptrdiff_t)i;
    return STR_NONE;
}

bool str_cut(struct str s, char c, struct str *before, struct str *after)
{
    ptrdiff_t at = str_find(s, c);

    if (at == STR_NONE)
        return false;
    *before = str_sub(s, 0, (size_t)at);
    *after = str_from(s, (size_t)at + 1);
    return true;
}

bool str_next(struct str *rest, char c, struct str *out)
{
    if (!rest->n)
        return false;
    if (!str_cut(*rest, c, out, rest)) {
        *out = *rest;
        *rest = (struct str){"", 0};
    }
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.n && is_blank(s.p[0]))
        s = str_from(s, 1);
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

size_t str_ascii_n(struct str s)
{
    size_t i = 0;

    for (; i + 8 <= s.n; i += 8) {
        uint64_t eight;

        memcpy(&eight, s.p + i, 8);
        if (eight & 0x8080808080808080)
            break;
    }
    while (i < s.n && !(s.p[i] & 0x80))
        i++;
    return i;
}

bool str_eq_secret(struct str a, struct str b)
{
    volatile unsigned char differs = 0;

    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        differs |= (unsigned char)(a.p[i] ^ b.p[i]);
    return differs == 0;
}
