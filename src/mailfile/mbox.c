#include "mailfile/mailfile.h"
#include "message/header.h"
#include "text/date.h"

enum { MOST_KEYWORDS = 64 * 1024 }; // bytes of a field with them

static const struct str from_ = STR_("From ");

void mailfile_keyword(struct arena *a, struct mailfile_message *m, struct str word)
{
    static const struct {
        struct str name; // without "$", lower case
        uint32_t flag;
    } known[] = {{STR_("forwarded"), FLAG_FORWARDED}, {STR_("junk"), FLAG_JUNK},
                 {STR_("notjunk"), FLAG_NOTJUNK},     {STR_("nonjunk"), FLAG_NOTJUNK},
                 {STR_("phishing"), FLAG_PHISHING},   {STR_("mdnsent"), FLAG_MDNSENT}};
    struct str name = str_trim(word);
    struct err e = {0};

    if (str_starts(name, STR("$")))
        name = str_from(name, 1);
    for (size_t i = 0; i < COUNT(known); i++)
        if (str_eq_ci(name, known[i].name)) {
            m->flags |= known[i].flag;
            return;
        }
    if (!store_flag_parse(a, str_trim(word), &m->flags, &m->keywords, &e))
        return; // not a keyword here
}

/* --- reading ----------------------------------------------------------------------------------------- */

bool mbox_line(struct mbox_reader *r, struct str line, struct buf *out, bool *is_begin,
               struct err *e)
{
    size_t quotes = 0;

    if (str_ends(line, STR("\r")))
        line.n--;
    *is_begin = str_starts(line, from_) && (!r->has_message || r->has_blank);
    if (*is_begin) {
        r->has_message = true;
        r->has_blank = false;
        return true;
    }
    if (!r->has_message)
        return fail(e, ERR_SYNTAX, "the first line of an mbox begins with \"From \"");
    if (r->has_blank)
        BUF_PUT(out, "\r\n");
    r->has_blank = !line.n;
    if (r->has_blank)
        return true; // written when it is no separator
    while (quotes < line.n && line.p[quotes] == '>')
        quotes++;
    if (quotes && str_starts(str_from(line, quotes), from_))
        line = str_from(line, 1);
    buf_put(out, line);
    BUF_PUT(out, "\r\n");
    return true;
}

static bool month_of(struct str name, unsigned *out)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (unsigned i = 0; i < 12; i++)
        if (str_eq_ci(name, str_at(months + 3 * (size_t)i, 3))) {
            *out = i + 1;
            return true;
        }
    return false;
}

static bool clock_of(struct str text, uint64_t *seconds)
{
    uint64_t h, m, s;

    if (text.n != 8 || text.p[2] != ':' || text.p[5] != ':' || !str_u64(str_sub(text, 0, 2), 23, &h) ||
        !str_u64(str_sub(text, 3, 2), 59, &m) || !str_u64(str_from(text, 6), 60, &s))
        return false;
    *seconds = (h * 60 + m) * 60 + s;
    return true;
}

// "+0100" as seconds east; a name of a zone is taken for UTC.
static int64_t zone_of(struct str text)
{
    uint64_t n;
    int64_t seconds;

    if (text.n != 5 || (text.p[0] != '+' && text.p[0] != '-') || !str_u64(str_from(text, 1), 9999, &n))
        return 0;
    seconds = (int64_t)((n / 100 * 60 + n % 100) * 60);
    return text.p[0] == '-' ? -seconds : seconds;
}

// "Mon Jan  2 15:04:05 2006", "Mon Jan  2 15:04:05 MST 2006", "Mon Jan 02 15:04:05 -0700 2006".
int64_t mbox_received(struct str from_line)
{
    enum { WORDS = 8 };
    struct str words[WORDS], rest = str_trim(from_line), one;
    size_t n = 0, at;
    uint64_t day, seconds, year;
    unsigned month;

    while (str_next(&rest, ' ', &one)) { // the last ones count: a sender may have blanks
        if (!one.n)
            continue;
        if (n == WORDS) {
            for (size_t i = 1; i < WORDS; i++)
                words[i - 1] = words[i];
            n--;
        }
        words[n++] = one;
    }
    for (size_t back = 5; back <= 6 && back < n; back++) {
        at = n - back;
        if (month_of(words[at + 1], &month) && str_u64(words[at + 2], 31, &day) && day &&
            clock_of(words[at + 3], &seconds) && str_u64(words[n - 1], 9999, &year))
            return date_days((int64_t)year, month, (unsigned)day) * 86400 + (int64_t)seconds -
                   (back == 6 ? zone_of(words[at + 4]) : 0);
    }
    return 0;
}

void mbox_flags(struct arena *a, struct str header, struct mailfile_message *out)
{
    static const struct {
        struct str field;
        char letter;
        uint32_t flag;
    } letters[] = {{STR_("Status"), 'R', FLAG_SEEN},       {STR_("X-Status"), 'A', FLAG_ANSWERED},
                   {STR_("X-Status"), 'F', FLAG_FLAGGED},  {STR_("X-Status"), 'T', FLAG_DRAFT},
                   {STR_("X-Status"), 'D', FLAG_DELETED}};
    struct header_field f;
    struct str rest, one;

    for (size_t i = 0; i < COUNT(letters); i++)
        if (header_find(header, letters[i].field, &f) && str_find(f.value, letters[i].letter) >= 0)
            out->flags |= letters[i].flag;
    if (!header_find(header, STR("X-Keywords"), &f))
        return;
    rest = header_unfold(a, str_sub(f.value, 0, MOST_KEYWORDS));
    while (str_next(&rest, ',', &one)) {
        mailfile_keyword(a, out, one);
    }
}

/* --- writing ----------------------------------------------------------------------------------------- */

void mailfile_put_lf(struct buf *out, struct str message)
{
    while (message.n) {
        ptrdiff_t cr = str_find(message, '\r');
        size_t n = cr < 0 ? message.n : (size_t)cr;

        buf_put(out, str_sub(message, 0, n));
        if (cr >= 0 && !(n + 1 < message.n && message.p[n + 1] == '\n'))
            buf_put_char(out, '\r');
        message = str_from(message, cr < 0 ? n : n + 1);
    }
}

// "From sender Sat Jan  3 01:05:34 1996"
static void put_from(struct buf *out, struct str reverse_path, int64_t received_unix)
{
    static const char days[] = "ThuFriSatSunMonTueWed"; // 1970-01-01 was a Thursday
    AUTO_BUF date = BUF_LIMIT(100);
    size_t weekday = (size_t)((received_unix / 86400 % 7 + 7) % 7);
    struct str day, month, year, time, rest;

    date_put_without_weekday(&date, (struct date){.unix_seconds = received_unix});
    if (!str_cut(buf_str(&date), ' ', &day, &rest) || !str_cut(rest, ' ', &month, &rest) ||
        !str_cut(rest, ' ', &year, &rest) || !str_cut(rest, ' ', &time, &rest))
        day = month = year = time = STR("");
    buf_printf(out, "From %.*s %.3s %.*s %s%.*s %.*s %.*s\n",
               STR_FMT(reverse_path.n && str_find(reverse_path, ' ') < 0 ? reverse_path : STR("mox")),
               days + 3 * weekday, STR_FMT(month), day.n < 2 ? " " : "", STR_FMT(day),
               STR_FMT(time), STR_FMT(year));
}

static void put_flags(struct buf *out, const struct mailfile_message *m)
{
    static const struct {
        struct str name;
        uint32_t flag;
    } keywords[] = {{STR_("$Forwarded"), FLAG_FORWARDED}, {STR_("$Junk"), FLAG_JUNK},
                    {STR_("$NotJunk"), FLAG_NOTJUNK},     {STR_("$Phishing"), FLAG_PHISHING},
                    {STR_("$MDNSent"), FLAG_MDNSENT}};
    const char *between = "X-Keywords: ";

    if (m->flags & FLAG_SEEN)
        BUF_PUT(out, "Status: R\n");
    if (m->flags & (FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DRAFT | FLAG_DELETED))
        buf_printf(out, "X-Status: %s%s%s%s\n", m->flags & FLAG_ANSWERED ? "A" : "",
                   m->flags & FLAG_FLAGGED ? "F" : "", m->flags & FLAG_DRAFT ? "T" : "",
                   m->flags & FLAG_DELETED ? "D" : "");
    for (size_t i = 0; i < COUNT(keywords); i++)
        if (m->flags & keywords[i].flag) {
            buf_printf(out, "%s%.*s", between, STR_FMT(keywords[i].name));
            between = ",";
        }
    for (size_t i = 0; i < m->keywords.n; i++) {
        buf_printf(out, "%s%.*s", between, STR_FMT(m->keywords.items[i]));
        between = ",";
    }
    if (between[0] == ',')
        BUF_PUT(out, "\n");
}

static void put_quoted(struct buf *out, struct str text)
{
    struct cur c = cur_of(text);
    struct str line;

    while (cur_line(&c, &line)) {
        size_t quotes = 0;

        while (quotes < line.n && line.p[quotes] == '>')
            quotes++;
        if (str_starts(str_from(line, quotes), from_))
            BUF_PUT(out, ">");
        buf_put(out, line);
        BUF_PUT(out, "\n");
    }
}

// A header without the fields that say what put_flags does.
static void put_header(struct buf *out, struct str header)
{
    static const struct str ours[] = {STR_("Status:"), STR_("X-Status:"), STR_("X-Keywords:"),
                                      STR_("Content-Length:")};
    struct cur c = cur_of(header);
    bool is_ours = false;
    struct str line;

    while (cur_line(&c, &line)) {
        if (!str_starts(line, STR(" ")) && !str_starts(line, STR("\t"))) {
            is_ours = false;
            for (size_t i = 0; i < COUNT(ours); i++)
                is_ours = is_ours || str_eq_ci(str_sub(line, 0, ours[i].n), ours[i]);
        }
        if (!is_ours)
            put_quoted(out, line);
    }
}

void mbox_put(struct buf *out, struct str message, struct str reverse_path,
              const struct mailfile_message *m)
{
    AUTO_BUF lf = BUF_LIMIT(SIZE_MAX / 2);
    struct str text;
    ptrdiff_t end;
    size_t header;

    mailfile_put_lf(&lf, message);
    text = buf_str(&lf);
    end = str_starts(text, STR("\n")) ? -1 : str_find_str(text, STR("\n\n"));
    header = str_starts(text, STR("\n")) ? 0 : end < 0 ? text.n : (size_t)end + 1;
    put_from(out, reverse_path, m->received_unix);
    put_header(out, str_sub(text, 0, header));
    put_flags(out, m);
    put_quoted(out, str_from(text, header)); // with the empty line between
    BUF_PUT(out, "\n");
}
