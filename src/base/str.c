#include "base/str.h"

#include <string.h>

struct str str_of(const char *cstring)
{
    return cstring ? (struct str){cstring, strlen(cstring)} : (struct str){"", 0};
}

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (!a.n || memcmp(a.p, b.p, a.n) == 0);
}

bool str_eq_ci(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
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

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq(str_sub(s, 0, prefix.n), prefix);
}

bool str_starts_ci(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq_ci(str_sub(s, 0, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq(str_from(s, s.n - suffix.n), suffix);
}

bool str_ends_ci(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq_ci(str_from(s, s.n - suffix.n), suffix);
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

struct str str_sub(struct str s, size_t from, size_t n)
{
    if (from >= s.n)
        return (struct str){s.n ? s.p + s.n : s.p, 0};
    return (struct str){s.p + from, n > s.n - from ? s.n - from : n};
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

bool str_is_ascii(struct str s)
{
    size_t i = 0;

    for (; i + 8 <= s.n; i += 8) {
        uint64_t eight;

        memcpy(&eight, s.p + i, 8);
        if (eight & 0x8080808080808080u)
            return false;
    }
    for (; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 128)
            return false;
    return true;
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
