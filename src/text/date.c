#include "text/date.h"

static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

struct civil {
    int64_t year;
    unsigned month, day, hour, minute, second, weekday;
};

int64_t date_days(int64_t year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400;
    unsigned of_era = (unsigned)(y - era * 400);
    unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static struct civil civil_of(int64_t seconds)
{
    int64_t days = seconds >= 0 ? seconds / 86400 : -((86399 - seconds) / 86400);
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned rest = (unsigned)(seconds - days * 86400), of_era = (unsigned)(z - era * 146097);
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned m = (5 * of_year + 2) / 153;
    struct civil c = {.day = of_year - (153 * m + 2) / 5 + 1,
                      .month = m < 10 ? m + 3 : m - 9,
                      .hour = rest / 3600,
                      .minute = rest / 60 % 60,
                      .second = rest % 60,
                      .weekday = (unsigned)(((days + 4) % 7 + 7) % 7)};

    c.year = (int64_t)year + era * 400 + (c.month <= 2);
    return c;
}

// Comments and white space; false for a comment without end.
static bool skip_cfws(struct cur *c)
{
    int depth = 0;

    while (cur_left(c)) {
        int ch = cur_peek(c);

        if (ch == '(')
            depth++;
        else if (ch == ')' && depth)
            depth--;
        else if (ch == '\\' && depth)
            cur_next(c);
        else if (!depth && ch != ' ' && ch != '\t' && ch != '\r' && ch != '\n')
            break;
        cur_next(c);
    }
    return depth == 0;
}

static bool is_alpha(unsigned char c)
{
    return ascii_is_alpha((char)c);
}

static bool take_month(struct cur *c, unsigned *out)
{
    struct str word = cur_while(c, is_alpha);

    for (unsigned i = 0; i < 12; i++)
        if (str_starts_ci(word, str_at(months[i], 3))) {
            *out = i + 1;
            return true;
        }
    return false;
}

static bool take_number(struct cur *c, uint64_t max, unsigned *out)
{
    uint64_t v;

    if (!cur_u64(c, max, &v))
        return false;
    *out = (unsigned)v;
    return true;
}

static bool is_valid_day(int64_t year, unsigned month, unsigned day)
{
    static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] + (month == 2 && is_leap);
}

// "+0100", or the names of RFC 5322 4.3; an unknown name counts as -0000.
static bool take_zone(struct cur *c, int *minutes)
{
    static const struct {
        struct str name;
        int hours;
    } names[] = {{STR_("EST"), -5}, {STR_("EDT"), -4}, {STR_("CST"), -6}, {STR_("CDT"), -5},
                 {STR_("MST"), -7}, {STR_("MDT"), -6}, {STR_("PST"), -8}, {STR_("PDT"), -7}};
    int sign = cur_peek(c);
    struct str word;
    uint64_t v;

    *minutes = 0;
    if (sign == '+' || sign == '-') {
        cur_next(c);
        if (!cur_u64(c, 9999, &v) || v % 100 > 59)
            return false;
        *minutes = (int)(v / 100 * 60 + v % 100) * (sign == '-' ? -1 : 1);
        return true;
    }
    word = cur_while(c, is_alpha);
    for (size_t i = 0; i < COUNT(names); i++)
        if (str_eq_ci(word, names[i].name))
            *minutes = names[i].hours * 60;
    return true;
}

static bool take_time(struct cur *c, struct civil *t)
{
    if (!take_number(c, 23, &t->hour) || !skip_cfws(c) || !cur_skip(c, ':') || !skip_cfws(c) ||
        !take_number(c, 59, &t->minute) || !skip_cfws(c))
        return false;
    return !cur_skip(c, ':') || (skip_cfws(c) && take_number(c, 60, &t->second));
}

static struct date date_of(const struct civil *t, int zone_minutes)
{
    return (struct date){.unix_seconds = date_days(t->year, t->month, t->day) * 86400 +
                                         t->hour * 3600 + t->minute * 60 + t->second -
                                         zone_minutes * 60,
                         .zone_minutes = zone_minutes};
}

bool date_parse(struct str text, struct date *out)
{
    struct cur c = cur_of(text);
    struct civil t = {0};
    const char *year_start;
    unsigned year;
    int zone;

    if (!skip_cfws(&c))
        return false;
    if (cur_while(&c, is_alpha).n && (!skip_cfws(&c) || !cur_skip(&c, ',') || !skip_cfws(&c)))
        return false;
    if (!take_number(&c, 31, &t.day) || !skip_cfws(&c) || !take_month(&c, &t.month) ||
        !skip_cfws(&c))
        return false;
    year_start = c.p;
    if (!take_number(&c, 9999, &year))
        return false;
    t.year = year;
    if (c.p - year_start <= 2) // RFC 5322 4.3: obs-year
        t.year += year < 50 ? 2000 : 1900;
    else if (c.p - year_start == 3)
        t.year += 1900;
    if (!is_valid_day(t.year, t.month, t.day) || !skip_cfws(&c) || !take_time(&c, &t) ||
        !skip_cfws(&c) || !take_zone(&c, &zone))
        return false;
    *out = date_of(&t, zone);
    return true;
}

static void put_zone(struct buf *out, int minutes)
{
    int m = minutes < 0 ? -minutes : minutes;

    buf_printf(out, "%c%02d%02d", minutes < 0 ? '-' : '+', m / 60, m % 60);
}

void date_put(struct buf *out, struct date d)
{
    struct civil t = civil_of(d.unix_seconds + d.zone_minutes * 60);

    buf_printf(out, "%s, ", weekdays[t.weekday]);
    date_put_without_weekday(out, d);
}

void date_put_without_weekday(struct buf *out, struct date d)
{
    struct civil t = civil_of(d.unix_seconds + d.zone_minutes * 60);

    buf_printf(out, "%u %s %04lld %02u:%02u:%02u ", t.day, months[t.month - 1], (long long)t.year,
               t.hour, t.minute, t.second);
    put_zone(out, d.zone_minutes);
}

static bool take_imap_day(struct cur *c, struct civil *t)
{
    unsigned year;

    cur_skip(c, ' ');
    if (!take_number(c, 31, &t->day) || !cur_skip(c, '-') || !take_month(c, &t->month) ||
        !cur_skip(c, '-') || !take_number(c, 9999, &year))
        return false;
    t->year = year;
    return is_valid_day(t->year, t->month, t->day);
}

bool date_parse_imap_day(struct str text, int64_t *days)
{
    struct cur c = cur_of(text);
    struct civil t = {0};

    if (!take_imap_day(&c, &t) || cur_left(&c))
        return false;
    *days = date_days(t.year, t.month, t.day);
    return true;
}

bool date_parse_imap(struct str text, struct date *out)
{
    struct cur c = cur_of(text);
    struct civil t = {0};
    int zone;

    // RFC 9051 9, date-time: each part has a fixed width.
    if (text.n != sizeof "01-Jan-2026 00:00:00 +0000" - 1 || !take_imap_day(&c, &t) ||
        !cur_skip(&c, ' ') || !take_time(&c, &t) || !cur_skip(&c, ' ') ||
        (cur_peek(&c) != '+' && cur_peek(&c) != '-') || !take_zone(&c, &zone) || cur_left(&c))
        return false;
    *out = date_of(&t, zone);
    return true;
}

void date_put_imap(struct buf *out, struct date d)
{
    struct civil t = civil_of(d.unix_seconds + d.zone_minutes * 60);

    buf_printf(out, "%2u-%s-%04lld %02u:%02u:%02u ", t.day, months[t.month - 1],
               (long long)t.year, t.hour, t.minute, t.second);
    put_zone(out, d.zone_minutes);
}

void date_put_rfc3339(struct buf *out, int64_t unix_seconds)
{
    struct civil t = civil_of(unix_seconds);

    buf_printf(out, "%04lld-%02u-%02uT%02u:%02u:%02uZ", (long long)t.year, t.month, t.day, t.hour,
               t.minute, t.second);
}

static bool take_digits(struct cur *c, size_t n, uint64_t max, unsigned *out)
{
    struct str digits = str_sub(cur_rest(c), 0, n), taken;
    uint64_t v;

    if (digits.n != n || !str_u64(digits, max, &v) || !cur_take(c, n, &taken))
        return false;
    *out = (unsigned)v;
    return true;
}

void date_put_stamp(struct buf *out, int64_t unix_seconds)
{
    AUTO_BUF text = BUF_LIMIT(100);

    date_put_rfc3339(&text, unix_seconds);
    for (size_t i = 0; i < text.n && text.p[i] != 'Z'; i++)
        if (text.p[i] != '-' && text.p[i] != ':')
            buf_put_char(out, text.p[i]);
}

bool date_parse_rfc3339(struct str text, int64_t *unix_seconds)
{
    struct cur c = cur_of(text);
    struct civil t = {0};
    unsigned year, ignored;

    if (!take_digits(&c, 4, 9999, &year) || !cur_skip(&c, '-') ||
        !take_digits(&c, 2, 12, &t.month) || !cur_skip(&c, '-') ||
        !take_digits(&c, 2, 31, &t.day) || !cur_skip(&c, 'T') ||
        !take_digits(&c, 2, 23, &t.hour) || !cur_skip(&c, ':') ||
        !take_digits(&c, 2, 59, &t.minute) || !cur_skip(&c, ':') ||
        !take_digits(&c, 2, 60, &t.second) || !is_valid_day(year, t.month, t.day))
        return false;
    if (cur_skip(&c, '.')) { // a fraction of a second changes nothing
        if (!take_digits(&c, 1, 9, &ignored))
            return false;
        while (take_digits(&c, 1, 9, &ignored))
            ;
    }
    if (!cur_skip(&c, 'Z') || cur_left(&c))
        return false;
    t.year = year;
    *unix_seconds = date_of(&t, 0).unix_seconds;
    return true;
}
