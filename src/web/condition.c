#include "web/condition.h"

#include "base/cur.h"
#include "proto/http/http.h"

void etag_put(struct buf *out, uint64_t size, int64_t modified_seconds, uint32_t modified_ns)
{
    buf_printf(out, "\"%llx.%x-%llx\"", (unsigned long long)modified_seconds, modified_ns,
               (unsigned long long)size);
}

static bool is_etag_char(unsigned char c)
{
    return c == 0x21 || (c >= 0x23 && c != 127);
}

// entity-tag (RFC 9110 8.8.3): the quoted part, and whether it is weak.
static bool take_etag(struct cur *c, struct str *opaque, bool *is_weak)
{
    const char *start;

    *is_weak = cur_skip_str(c, STR("W/"));
    start = c->p;
    if (!cur_skip(c, '"'))
        return false;
    cur_while(c, is_etag_char);
    if (!cur_skip(c, '"'))
        return false;
    *opaque = str_at(start, (size_t)(c->p - start));
    return true;
}

// Whether one of a list of tags is that of what there is (RFC 9110 8.8.3.2). "*" is any.
static bool list_has(struct str list, const struct validators *v, bool is_strong)
{
    struct cur c = cur_of(list);
    struct str opaque;
    bool is_weak;

    if (str_eq(str_trim(list), STR("*")))
        return true;
    while (cur_left(&c)) {
        if (cur_skip(&c, ' ') || cur_skip(&c, '\t') || cur_skip(&c, ','))
            continue;
        if (!take_etag(&c, &opaque, &is_weak))
            return false;
        if (str_eq(opaque, v->etag) && !(is_strong && is_weak))
            return true;
    }
    return false;
}

static bool take_date(struct str text, const struct validators *v, int64_t *out)
{
    return v->modified >= 0 && http_date_parse(text, out);
}

enum condition_result condition_check(const struct conditions *c, const struct validators *v)
{
    int64_t date;

    if (c->if_match.p) {
        if (!list_has(c->if_match, v, true))
            return CONDITION_FAILED;
    } else if (c->if_unmodified_since.p && take_date(c->if_unmodified_since, v, &date) &&
               v->modified > date) {
        return CONDITION_FAILED;
    }
    if (c->if_none_match.p)
        return list_has(c->if_none_match, v, false) ? CONDITION_NOT_MODIFIED : CONDITION_SEND;
    // RFC 9110 13.1.3: a date that is none is ignored, as is the field beside If-None-Match.
    if (c->if_modified_since.p && take_date(c->if_modified_since, v, &date) && v->modified <= date)
        return CONDITION_NOT_MODIFIED;
    return CONDITION_SEND;
}

bool condition_range_counts(const struct conditions *c, const struct validators *v, int64_t now)
{
    struct cur at = cur_of(c->if_range);
    struct str opaque;
    int64_t date;
    bool is_weak;

    if (!c->if_range.p)
        return true;
    if (take_etag(&at, &opaque, &is_weak))
        return !cur_left(&at) && !is_weak && str_eq(opaque, v->etag);
    return take_date(c->if_range, v, &date) && date == v->modified && now - date >= 2;
}
