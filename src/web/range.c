#include "web/range.h"

#include "base/cur.h"

enum item { ITEM_GOOD, ITEM_NOT_THERE, ITEM_BAD };

// int-range or suffix-range (RFC 9110 14.1.2).
static enum item take_item(struct str text, uint64_t size, struct range *out)
{
    struct cur c = cur_of(text);
    uint64_t first, last = UINT64_MAX;

    if (cur_skip(&c, '-')) {
        if (!cur_u64(&c, UINT64_MAX, &last) || cur_left(&c))
            return ITEM_BAD;
        if (!last || !size)
            return ITEM_NOT_THERE;
        *out = (struct range){last < size ? size - last : 0, size - 1};
        return ITEM_GOOD;
    }
    if (!cur_u64(&c, UINT64_MAX, &first) || !cur_skip(&c, '-'))
        return ITEM_BAD;
    if (cur_left(&c) && (!cur_u64(&c, UINT64_MAX, &last) || cur_left(&c) || last < first))
        return ITEM_BAD;
    if (first >= size)
        return ITEM_NOT_THERE;
    *out = (struct range){first, last < size ? last : size - 1};
    return ITEM_GOOD;
}

static bool overlaps(const struct ranges *r, const struct range *other)
{
    for (size_t i = 0; i < r->n; i++)
        if (other->first <= r->items[i].last && r->items[i].first <= other->last)
            return true;
    return false;
}

enum range_result range_parse(struct str value, uint64_t size, struct ranges *out)
{
    struct str rest = value, item, unit;
    uint64_t sum = 0;
    size_t asked = 0;

    *out = (struct ranges){.n = 0};
    if (!str_cut(value, '=', &unit, &rest) || !str_eq_ci(unit, STR("bytes")))
        return RANGE_WHOLE; // RFC 9110 14.2: an unknown unit is ignored
    while (str_next(&rest, ',', &item)) {
        struct range range;

        item = str_trim(item);
        if (!item.n) // RFC 9110 5.6.1.2: empty elements of a list
            continue;
        if (++asked > RANGE_MAX)
            return RANGE_WHOLE;
        switch (take_item(item, size, &range)) {
        case ITEM_BAD:
            return RANGE_WHOLE;
        case ITEM_NOT_THERE:
            continue;
        case ITEM_GOOD:
            break;
        }
        if (overlaps(out, &range))
            return RANGE_WHOLE;
        out->items[out->n++] = range;
        sum += range.last - range.first + 1; // they do not overlap: no more than size
    }
    if (!asked)
        return RANGE_WHOLE;
    if (!out->n)
        return RANGE_NOT_SATISFIABLE;
    return out->n > 1 && sum >= size ? RANGE_WHOLE : RANGE_SOME;
}

void range_put_content(struct buf *out, const struct range *range, uint64_t size)
{
    BUF_PUT(out, "bytes ");
    if (range) {
        buf_put_u64(out, range->first);
        buf_put_char(out, '-');
        buf_put_u64(out, range->last);
    } else {
        buf_put_char(out, '*');
    }
    buf_put_char(out, '/');
    buf_put_u64(out, size);
}

void range_put_part(struct buf *out, struct str boundary, struct str type, const struct range *range,
                    uint64_t size)
{
    BUF_PUT(out, "\r\n--");
    buf_put(out, boundary);
    if (type.n) {
        BUF_PUT(out, "\r\nContent-Type: ");
        buf_put(out, type);
    }
    BUF_PUT(out, "\r\nContent-Range: ");
    range_put_content(out, range, size);
    BUF_PUT(out, "\r\n\r\n");
}

void range_put_end(struct buf *out, struct str boundary)
{
    BUF_PUT(out, "\r\n--");
    buf_put(out, boundary);
    BUF_PUT(out, "--\r\n");
}

uint64_t range_body_size(const struct ranges *ranges, struct str boundary, struct str type, uint64_t size)
{
    AUTO_BUF frame = BUF_LIMIT(64 * 1024);
    uint64_t n = 0;

    for (size_t i = 0; i < ranges->n; i++) {
        range_put_part(&frame, boundary, type, &ranges->items[i], size);
        n += ranges->items[i].last - ranges->items[i].first + 1;
    }
    range_put_end(&frame, boundary);
    return n + frame.n;
}
