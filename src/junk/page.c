/*
 * Pages of words. A page has words in the order of their hashes, from its number up to that of the next
 * page: each as the difference to the one before it (the first to the page's number), then in how many ham and how
 * many spam it was; numbers in groups of seven bits, lowest first, all but the last with the high bit. A word
 * takes some 7 bytes, and one is found after reading one row.
 */
#include "junk/junk_priv.h"

static bool take_number(struct cur *c, uint64_t *out)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 63; shift += 7) {
        int byte = cur_next(c);

        if (byte < 0)
            return false;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = v;
            return true;
        }
    }
    return false;
}

static char *number_at(char *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (char)(0x80 | (v & 0x7f));
    *p++ = (char)v;
    return p;
}

bool page_take(struct cur *c, uint64_t before, struct page_word *out)
{
    uint64_t step, ham, spam;

    if (!take_number(c, &step) || !take_number(c, &ham) || !take_number(c, &spam) ||
        before > JUNK_MAX_HASH || step > JUNK_MAX_HASH - before || ham > INT32_MAX ||
        spam > INT32_MAX)
        return false;
    *out = (struct page_word){before + step, (int32_t)ham, (int32_t)spam};
    return true;
}

void page_put(struct buf *out, uint64_t before, const struct page_word *w)
{
    char bytes[3 * 10], *end = number_at(bytes, w->hash - before);

    end = number_at(end, (uint64_t)w->ham);
    end = number_at(end, (uint64_t)w->spam);
    buf_put(out, str_at(bytes, (size_t)(end - bytes)));
}
