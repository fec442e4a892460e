/*
 * Fields, percent-encoding, paths, queries and dates.
 */
#include "proto/http/http.h"

#include "base/cur.h"
#include "text/date.h"

// RFC 9110 5.6.2.
static bool is_token_char(unsigned char c)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    return ascii_is_alnum((char)c) || (c && str_find(STR(others), (char)c) != STR_NONE);
}

// RFC 9110 5.5: printable, space, tab and bytes above ASCII.
static bool is_value_char(unsigned char c)
{
    return (c >= 32 && c != 127) || c == '\t';
}

bool http_is_token(struct str s)
{
    struct cur c = cur_of(s);

    return cur_while(&c, is_token_char).n == s.n && s.n;
}

bool http_is_field_value(struct str s)
{
    struct cur c = cur_of(s);

    return cur_while(&c, is_value_char).n == s.n;
}

const struct http_field *http_field_find(const struct http_fields *fields, struct str name)
{
    for (size_t i = 0; i < fields->n; i++)
        if (str_eq_ci(fields->items[i].name, name))
            return &fields->items[i];
    return NULL;
}

struct str http_field_get(const struct http_fields *fields, struct str name)
{
    const struct http_field *f = http_field_find(fields, name);

    return f ? f->value : STR("");
}

bool http_field_has_token(const struct http_fields *fields, struct str name, struct str token)
{
    for (size_t i = 0; i < fields->n; i++) {
        struct str rest = fields->items[i].value, one;

        if (!str_eq_ci(fields->items[i].name, name))
            continue;
        while (str_next(&rest, ',', &one))
            if (str_eq_ci(str_trim(one), token))
                return true;
    }
    return false;
}

bool http_field_add(struct arena *a, struct http_fields *fields, struct str name, struct str value)
{
    if (!http_is_token(name) || !http_is_field_value(value))
        return false;
    *ARENA_PUSH(a, fields->items, &fields->n, &fields->cap) = (struct http_field){name, value};
    return true;
}

static int hex_of(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool http_percent_decode(struct buf *out, struct str s)
{
    struct cur c = cur_of(s);

    while (cur_left(&c)) {
        int ch = cur_next(&c), high, low;

        if (ch == '%') {
            high = hex_of(cur_next(&c));
            low = hex_of(cur_next(&c));
            if (high < 0 || low < 0)
                return false;
            ch = high << 4 | low;
        }
        buf_put_char(out, (char)ch);
    }
    return !out->full;
}

void http_percent_encode(struct buf *out, struct str s, bool keeps_slash)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (ascii_is_alnum((char)c) || c == '-' || c == '.' || c == '_' || c == '~' || (c == '/' && keeps_slash)) {
            buf_put_char(out, (char)c);
            continue;
        }
        buf_put_char(out, '%');
        buf_put_char(out, digits[c >> 4]);
        buf_put_char(out, digits[c & 15]);
    }
}

struct str http_path_clean(struct arena *a, struct str path)
{
    char *out = arena_alloc(a, path.n + 2);
    bool ends_open = false; // in a slash, or in "." or ".." that stand for a directory
    struct str rest = path, segment;
    size_t n = 0;

    while (str_next(&rest, '/', &segment)) {
        ends_open = true;
        if (!segment.n || str_eq(segment, STR(".")))
            continue;
        if (str_eq(segment, STR(".."))) {
            while (n && out[--n] != '/')
                ;
            continue;
        }
        out[n++] = '/';
        for (size_t i = 0; i < segment.n; i++)
            out[n++] = segment.p[i];
        ends_open = false;
    }
    if (ends_open || !n || str_ends(path, STR("/")))
        out[n++] = '/';
    return str_at(out, n);
}

// A space is a plus sign there.
static bool form_decode(struct arena *a, struct str s, struct str *out)
{
    AUTO_BUF spaced = BUF_LIMIT(s.n);
    AUTO_BUF b = BUF_LIMIT(s.n);

    for (size_t i = 0; i < s.n; i++)
        buf_put_char(&spaced, s.p[i] == '+' ? ' ' : s.p[i]);
    if (!http_percent_decode(&b, buf_str(&spaced)))
        return false;
    *out = arena_dup(a, buf_str(&b));
    return true;
}

bool http_query_get(struct arena *a, struct str query, struct str name, struct str *out)
{
    struct str one;

    while (str_next(&query, '&', &one)) {
        struct str key = one, value = {0};

        (void)str_cut(one, '=', &key, &value);
        if (form_decode(a, key, &key) && str_eq(key, name))
            return form_decode(a, value, out);
    }
    return false;
}

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

void http_date_put(struct buf *out, int64_t unix_seconds)
{
    AUTO_BUF b = BUF_LIMIT(64);

    // The same but for the zone, which has a name here, and the day, which has two digits.
    date_put(&b, (struct date){unix_seconds, 0});
    buf_put(out, str_sub(buf_str(&b), 0, 5));
    if (b.n == 30)
        BUF_PUT(out, "0");
    buf_put(out, str_sub(buf_str(&b), 5, b.n - 10));
    BUF_PUT(out, "GMT");
}

static bool take_word(struct cur *c, const char *words, size_t n_words, unsigned *out)
{
    struct str word;

    if (!cur_take(c, 3, &word))
        return false;
    for (*out = 0; *out < n_words; ++*out)
        if (str_eq(word, str_at(words + (size_t)*out * 3, 3)))
            return true;
    return false;
}

static bool take_number(struct cur *c, size_t digits, uint64_t max, uint64_t *out)
{
    struct str text;

    return cur_take(c, digits, &text) && str_u64(text, max, out);
}

bool http_date_parse(struct str text, int64_t *unix_seconds)
{
    uint64_t day, year, hour, minute, second;
    struct cur c = cur_of(text);
    unsigned weekday, month;

    if (!take_word(&c, days, 7, &weekday) || !cur_skip_str(&c, STR(", ")) || !take_number(&c, 2, 31, &day) ||
        !cur_skip(&c, ' ') || !take_word(&c, months, 12, &month) || !cur_skip(&c, ' ') ||
        !take_number(&c, 4, 9999, &year) || !cur_skip(&c, ' ') || !take_number(&c, 2, 23, &hour) ||
        !cur_skip(&c, ':') || !take_number(&c, 2, 59, &minute) || !cur_skip(&c, ':') ||
        !take_number(&c, 2, 60, &second) || !cur_skip_str(&c, STR(" GMT")) || cur_left(&c) || !day)
        return false;
    *unix_seconds = date_days((int64_t)year, month + 1, (unsigned)day) * 86400 +
                    (int64_t)(hour * 3600 + minute * 60 + second);
    return true;
}
