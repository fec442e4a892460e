/*
 * Parameters of Content-Type and Content-Disposition (RFC 2045 5.1, RFC 2231), and encoded words
 * (RFC 2047).
 */
#include <stdlib.h>
#include <string.h>

#include "message/header.h"
#include "text/encode.h"

// A piece as written: base name, section number, whether it is percent-encoded.
struct piece {
    struct str name, value;
    uint64_t section;
    bool is_encoded, is_split;
};

static struct piece piece_of(struct arena *a, struct str name, struct str value)
{
    struct piece p = {.name = arena_lower(a, name), .value = value};
    struct str base, rest;

    if (!str_cut(p.name, '*', &base, &rest))
        return p;
    if (str_ends(rest, STR("*"))) {
        p.is_encoded = true;
        rest.n--;
    } else if (!rest.n) {
        p.is_encoded = true;
    }
    if (rest.n && !str_u64(rest, HEADER_MAX_PARAMS, &p.section))
        return (struct piece){.name = p.name, .value = value}; // a name with a star in it
    p.is_split = rest.n > 0;
    p.name = base;
    return p;
}

static bool take_value(struct cur *c, struct arena *a, struct str *out)
{
    AUTO_BUF b = BUF_LIMIT(65536);

    header_skip_cfws(c);
    if (cur_peek(c) != '"') {
        const char *start = c->p;

        // Wider than a token: unquoted names with spaces or slashes are common.
        while (cur_left(c) && cur_peek(c) != ';' && cur_peek(c) != '\r' && cur_peek(c) != '\n')
            cur_next(c);
        *out = str_trim(str_at(start, (size_t)(c->p - start)));
        return out->n > 0;
    }
    cur_next(c);
    while (cur_left(c) && cur_peek(c) != '"') {
        int ch = cur_next(c);

        if (ch == '\\' && cur_left(c))
            ch = cur_next(c);
        if (ch != '\r' && ch != '\n')
            buf_put_char(&b, (char)ch);
    }
    cur_skip(c, '"');
    *out = arena_dup(a, buf_str(&b));
    return true;
}

static int hex(int c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void put_percent_decoded(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
            buf_put_char(out, (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2])));
            i += 2;
        } else {
            buf_put_char(out, s.p[i]);
        }
    }
}

// Pieces of one name together, by number, the first written first.
static int by_name_and_section(const void *a, const void *b)
{
    const struct piece *x = *(const struct piece *const *)a, *y = *(const struct piece *const *)b;
    int order = str_cmp(x->name, y->name);

    if (!order)
        order = (x->section > y->section) - (x->section < y->section);
    return order ? order : (x > y) - (x < y);
}

// RFC 2231 3 and 4: the n pieces of one name in the order of their numbers, the charset first.
static struct str join_pieces(struct arena *a, const struct piece *const *pieces, size_t n)
{
    AUTO_BUF bytes = BUF_LIMIT(65536);
    AUTO_BUF utf8 = BUF_LIMIT(262144);
    struct str charset = STR("utf-8");
    uint64_t section = 0; // that comes next

    for (size_t i = 0; i < n; i++) {
        const struct piece *p = pieces[i];
        struct str value = p->value, language;

        if ((!p->is_split && !p->is_encoded) || p->section < section)
            continue;
        if (p->section > section)
            break;
        if (p->is_encoded && section == 0 && str_cut(value, '\'', &charset, &value) &&
            !str_cut(value, '\'', &language, &value))
            charset = STR("utf-8");
        if (p->is_encoded)
            put_percent_decoded(&bytes, value);
        else
            buf_put(&bytes, value);
        if (!p->is_split)
            break;
        section++;
    }
    charset_put_utf8(&utf8, charset, buf_str(&bytes));
    return arena_dup(a, buf_str(&utf8));
}

static struct str plain_value(struct arena *a, struct str value)
{
    AUTO_BUF utf8 = BUF_LIMIT(262144);

    // Encoded words have no place in parameters, and are found there all the same.
    if (str_find_str(value, STR("=?")) != STR_NONE)
        return encoded_word_decode(a, value);
    utf8_put_valid(&utf8, value);
    return arena_dup(a, buf_str(&utf8));
}

void param_parse(struct arena *a, struct cur *c, struct params *out)
{
    AUTO_ARENA scratch = ARENA_LIMIT(1 << 20); // of ten thousand parts, each may have parameters
    struct piece *pieces = NULL;
    const struct piece **sorted;
    struct str *values; // of those pieces that are the first of their name
    size_t n = 0, cap = 0;

    *out = (struct params){0};
    while (cur_left(c) && n < HEADER_MAX_PARAMS) {
        struct str name, value;

        header_skip_cfws(c);
        if (!cur_skip(c, ';')) {
            cur_next(c);
            continue;
        }
        header_skip_cfws(c);
        name = header_token(c);
        header_skip_cfws(c);
        if (name.n && cur_skip(c, '=') && take_value(c, a, &value))
            *ARENA_PUSH(&scratch, pieces, &n, &cap) = piece_of(a, name, value);
    }
    sorted = ARENA_ARRAY(&scratch, n, const struct piece *);
    for (size_t i = 0; i < n; i++)
        sorted[i] = &pieces[i];
    if (n)
        qsort(sorted, n, sizeof *sorted, by_name_and_section);
    values = ARENA_ARRAY(&scratch, n, struct str);
    for (size_t i = 0, same; i < n; i += same) {
        const struct piece *first = sorted[i]; // as it was written: it says what the name means

        for (same = 1; i + same < n && str_eq(sorted[i + same]->name, first->name); same++)
            ;
        for (size_t k = i; k < i + same; k++)
            first = sorted[k] < first ? sorted[k] : first;
        values[first - pieces] = first->is_split || first->is_encoded
                                     ? join_pieces(a, &sorted[i], same)
                                     : plain_value(a, first->value);
    }
    out->items = ARENA_ARRAY(a, n, struct param); // and no more: a message may be full of them
    out->cap = n;
    for (size_t i = 0; i < n; i++)
        if (values[i].p)
            out->items[out->n++] = (struct param){pieces[i].name, values[i]};
}

struct str param_get(const struct params *p, struct str name)
{
    for (size_t i = 0; i < p->n; i++)
        if (str_eq_ci(p->items[i].name, name))
            return p->items[i].value;
    return (struct str){0};
}

// "=?charset?q?text?=" at the start of text; *used is its length.
static bool decode_word(struct str text, struct buf *out, size_t *used)
{
    AUTO_BUF bytes = BUF_LIMIT(65536);
    struct str charset, encoding, code, rest, language;
    struct transfer_decoder d = {0};

    if (!str_starts(text, STR("=?")) || !str_cut(str_from(text, 2), '?', &charset, &rest) ||
        !str_cut(rest, '?', &encoding, &rest) || !str_cut(rest, '?', &code, &rest) ||
        !str_starts(rest, STR("=")) || !charset.n || encoding.n != 1 || charset.n > 100)
        return false;
    str_cut(charset, '*', &charset, &language); // RFC 2231 5
    if (str_find(code, '\n') != STR_NONE)
        return false;
    if (ascii_lower(encoding.p[0]) == 'b') {
        d.encoding = TRANSFER_BASE64;
        transfer_feed(&d, code, &bytes);
    } else if (ascii_lower(encoding.p[0]) == 'q') {
        for (size_t i = 0; i < code.n; i++) {
            if (code.p[i] == '_')
                buf_put_char(&bytes, ' ');
            else if (code.p[i] == '=' && i + 2 < code.n && hex(code.p[i + 1]) >= 0 &&
                     hex(code.p[i + 2]) >= 0) {
                buf_put_char(&bytes, (char)(hex(code.p[i + 1]) << 4 | hex(code.p[i + 2])));
                i += 2;
            } else
                buf_put_char(&bytes, code.p[i]);
        }
    } else {
        return false;
    }
    charset_put_utf8(out, charset, buf_str(&bytes));
    *used = (size_t)(rest.p + 1 - text.p);
    return true;
}

struct str encoded_word_decode(struct arena *a, struct str text)
{
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    bool after_word = false;

    while (text.n) {
        size_t used, blank = 0;
        ptrdiff_t next;

        if (decode_word(text, &out, &used)) {
            text = str_from(text, used);
            after_word = true;
            continue;
        }
        // RFC 2047 6.2: blanks between two encoded words are not shown.
        while (blank < text.n && (text.p[blank] == ' ' || text.p[blank] == '\t'))
            blank++;
        if (after_word && blank && decode_word(str_from(text, blank), &out, &used)) {
            text = str_from(text, blank + used);
            continue;
        }
        after_word = false;
        next = text.n > 1 ? str_find_str(str_from(text, 1), STR("=?")) : STR_NONE;
        if (next != STR_NONE && blank && (size_t)next + 1 == blank)
            next = (ptrdiff_t)blank - 1;
        used = next == STR_NONE ? text.n : (size_t)next + 1;
        utf8_put_valid(&out, str_sub(text, 0, used));
        text = str_from(text, used);
    }
    return arena_dup(a, buf_str(&out));
}
