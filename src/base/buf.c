#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/die.h"

void buf_fini(struct buf *b)
{
    free(b->p);
    *b = (struct buf)BUF_LIMIT(b->limit);
}

void buf_reset(struct buf *b)
{
    b->n = 0;
    b->full = false;
}

// True when n more bytes fit below the limit; makes room for them.
static bool reserve(struct buf *b, size_t n)
{
    size_t need, cap = b->cap ? b->cap : 256;

    if (b->full || __builtin_add_overflow(b->n, n, &need) || need > b->limit) {
        b->full = true;
        return false;
    }
    if (need <= b->cap)
        return true;
    while (cap < need)
        cap = cap > b->limit / 2 ? b->limit : cap * 2;
    b->p = heap_resize(b->p, cap, 1);
    b->cap = cap;
    return true;
}

void buf_put(struct buf *b, struct str s)
{
    if (!s.n || ((b->full || s.n > b->cap - b->n || s.n > b->limit - b->n) && !reserve(b, s.n)))
        return;
    memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
}

void buf_put_growing(struct buf *b, char c)
{
    if (reserve(b, 1))
        b->p[b->n++] = c;
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    char digits[20];
    size_t i = sizeof digits;

    do
        digits[--i] = (char)('0' + v % 10);
    while (v /= 10);
    buf_put(b, str_at(digits + i, sizeof digits - i));
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    int n;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        die("buf_printf: bad format");
    // vsnprintf wants room for a terminator, which is not part of the text.
    if (reserve(b, (size_t)n) && reserve(b, (size_t)n + 1)) {
        vsnprintf(b->p + b->n, (size_t)n + 1, format, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

char *buf_room(struct buf *b, size_t n)
{
    return reserve(b, n) ? b->p + b->n : NULL;
}

void buf_claim(struct buf *b, size_t n)
{
    if (n > b->cap - b->n)
        die("buf_claim: more than there was room for");
    b->n += n;
}

void buf_drop(struct buf *b, size_t n)
{
    if (n > b->n)
        die("buf_drop: more than there is");
    if (n)
        memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}
