#include "base/cur.h"
#include "config/sconf.h"
#include "queue/manage.h"

enum { MAX_IDS = 1000 };

/* "<1h", ">-30m", "<now": before or after that much from now on. */
static bool take_time(struct str value, int64_t now, struct queue_time *out, struct err *e)
{
    struct str text = str_trim(str_from(value, 1));
    bool is_negative = str_starts(text, STR("-"));
    int64_t ns = 0;

    if (!str_starts(value, STR("<")) && !str_starts(value, STR(">")))
        return fail(e, ERR_SYNTAX, "a time is \"<\" for before or \">\" for after, and a duration or now");
    out->when = value.p[0] == '<' ? QUEUE_WHEN_BEFORE : QUEUE_WHEN_AFTER;
    if (!str_eq(text, STR("now")) &&
        (!sconf_duration(str_from(text, is_negative), &ns) || ns < 0))
        return fail(e, ERR_SYNTAX, "\"%.*s\" is no duration such as 1h30m", STR_FMT(text));
    ns /= 1000000000;
    out->unix_seconds = now + (is_negative ? -ns : ns);
    return true;
}

static bool take_ids(struct arena *a, struct str value, struct str *out, struct err *e)
{
    AUTO_BUF ids = BUF_LIMIT(24 * MAX_IDS);

    BUF_PUT(&ids, ",");
    for (bool has_more = true; has_more;) {
        struct str id = value;
        uint64_t n;

        has_more = str_cut(value, ',', &id, &value);
        if (!str_u64(str_trim(id), INT64_MAX, &n))
            return fail(e, ERR_SYNTAX, "\"%.*s\" is no number of a message", STR_FMT(id));
        buf_put_u64(&ids, n);
        BUF_PUT(&ids, ",");
    }
    *out = arena_dup(a, buf_str(&ids));
    return !ids.full || fail(e, ERR_LIMIT, "too many numbers");
}

static bool take_word(struct str value, struct str yes, struct str no, int *out, struct err *e)
{
    *out = str_eq(value, yes) ? 1 : str_eq(value, no) ? 2 : 0;
    return *out || fail(e, ERR_SYNTAX, "\"%.*s\" is neither %.*s nor %.*s", STR_FMT(value),
                        STR_FMT(yes), STR_FMT(no));
}

static bool apply(struct arena *a, struct str name, struct str value, int64_t now,
                  struct queue_filter *f, struct err *e)
{
    int word = 0;

    if (str_eq(name, STR("ids")))
        return take_ids(a, value, &f->ids, e);
    if (str_eq(name, STR("n")))
        return str_u64(value, INT64_MAX, &f->max) || fail(e, ERR_SYNTAX, "-n is a number");
    if (str_eq(name, STR("account")))
        f->account = value;
    else if (str_eq(name, STR("from")))
        f->from = value;
    else if (str_eq(name, STR("to")))
        f->to = value;
    else if (str_eq(name, STR("submitted")))
        return take_time(value, now, &f->submitted, e);
    else if (str_eq(name, STR("nextattempt")))
        return take_time(value, now, &f->next_attempt, e);
    else if (str_eq(name, STR("lastactivity")))
        return take_time(value, now, &f->last_activity, e);
    else if (str_eq(name, STR("transport"))) {
        f->has_transport = true;
        f->transport = value;
    } else if (str_eq(name, STR("hold"))) {
        if (!take_word(value, STR("true"), STR("false"), &word, e))
            return false;
        f->held = word == 1 ? QUEUE_HELD_YES : QUEUE_HELD_NO;
    } else if (str_eq(name, STR("result"))) {
        if (!take_word(value, STR("success"), STR("failure"), &word, e))
            return false;
        f->result = word == 1 ? QUEUE_RESULT_SUCCESS : QUEUE_RESULT_FAILURE;
    } else if (str_eq(name, STR("sort"))) {
        if (!str_eq(value, STR("nextattempt")) && !str_eq(value, STR("lastactivity")) &&
            !str_eq(value, STR("queued")))
            return fail(e, ERR_SYNTAX, "lists are not sorted by \"%.*s\"", STR_FMT(value));
        f->by_queued = str_eq(value, STR("queued"));
    } else if (str_eq(name, STR("asc"))) {
        f->is_ascending = true;
    } else {
        return fail(e, ERR_SYNTAX, "unknown filter \"%.*s\"", STR_FMT(name));
    }
    return true;
}

bool queue_filter_parse(struct arena *a, struct str text, int64_t now_unix,
                        struct queue_filter *out, struct err *e)
{
    *out = (struct queue_filter){0};
    while (text.n) {
        struct str field = text, name, value;

        if (!str_cut(text, '\t', &field, &text))
            text = STR("");
        if (!str_cut(field, '=', &name, &value))
            return fail(e, ERR_SYNTAX, "a filter is name=value");
        if (!apply(a, name, value, now_unix, out, e))
            return false;
    }
    return true;
}
