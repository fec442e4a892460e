#include "message/header.h"

#include <string.h>

static bool is_name_char(unsigned char c)
{
    return c > 32 && c < 127 && c != ':';
}

struct str header_take_folded(struct cur *c)
{
    const char *start = c->p;

    for (;;) {
        const char *lf = cur_left(c) ? memchr(c->p, '\n', cur_left(c)) : NULL;

        c->p = lf ? lf + 1 : c->end;
        if (!lf || (cur_peek(c) != ' ' && cur_peek(c) != '\t'))
            return str_at(start, (size_t)(c->p - start));
    }
}

bool header_next(struct cur *c, struct header_field *out)
{
    while (cur_left(c)) {
        struct str raw = header_take_folded(c);
        struct cur f = cur_of(raw);
        struct str value;

        out->name = cur_while(&f, is_name_char);
        // RFC 5322 4.5: blanks before the colon were once allowed; as a boundary between two
        // readings they are not safe, so such a line is no field.
        if (!out->name.n || !cur_skip(&f, ':'))
            continue;
        value = cur_rest(&f);
        if (str_ends(value, STR("\n")))
            value.n--;
        if (str_ends(value, STR("\r")))
            value.n--;
        out->value = value;
        out->raw = raw;
        return true;
    }
    return false;
}

bool header_find(struct str block, struct str name, struct header_field *out)
{
    struct cur c = cur_of(block);

    while (header_next(&c, out))
        if (str_eq_ci(out->name, name))
            return true;
    return false;
}

size_t header_count(struct str block, struct str name)
{
    struct cur c = cur_of(block);
    struct header_field f;
    size_t n = 0;

    while (header_next(&c, &f))
        n += str_eq_ci(f.name, name);
    return n;
}

bool header_is_strict(struct str block)
{
    bool is_first = true;
    struct str line;

    for (; str_cut(block, '\n', &line, &block); is_first = false) {
        struct cur c = cur_of(line);
        bool is_continued = cur_peek(&c) == ' ' || cur_peek(&c) == '\t';

        if (!str_ends(line, STR("\r")) || (is_continued && is_first) || str_find(line, 0) != STR_NONE)
            return false;
        if (!is_continued && (!cur_while(&c, is_name_char).n || !cur_skip(&c, ':')))
            return false;
    }
    return !block.n;
}

struct str header_unfold(struct arena *a, struct str value)
{
    char *p = arena_alloc(a, value.n);
    size_t n = 0;

    if (str_find(value, '\n') == STR_NONE && str_find(value, '\r') == STR_NONE &&
        str_find(value, '\0') == STR_NONE) { // like most
        if (value.n)
            memcpy(p, value.p, value.n);
        return str_trim(str_at(p, value.n));
    }
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] != '\r' && value.p[i] != '\n')
            p[n++] = value.p[i] ? value.p[i] : ' ';
    return str_trim(str_at(p, n));
}

static void skip_comment(struct cur *c)
{
    int depth = 0;

    do {
        int ch = cur_next(c);

        if (ch == '(' && depth < HEADER_MAX_COMMENT_DEPTH)
            depth++;
        else if (ch == ')')
            depth--;
        else if (ch == '\\')
            cur_next(c);
    } while (depth > 0 && cur_left(c));
}

void header_skip_cfws(struct cur *c)
{
    for (;;) {
        int ch = cur_peek(c);

        if (ch == '(')
            skip_comment(c);
        else if (ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n')
            cur_next(c);
        else
            return;
    }
}

static bool is_token_char(unsigned char c)
{
    static const bool is_special[128] = {
        ['('] = true, [')'] = true, ['<'] = true, ['>'] = true, ['@'] = true, [','] = true, [';'] = true, [':'] = true,
        ['\\'] = true, ['"'] = true, ['/'] = true, ['['] = true, [']'] = true, ['?'] = true, ['='] = true,
    };

    return c > 32 && c != 127 && (c > 127 || !is_special[c]);
}

struct str header_token(struct cur *c)
{
    return cur_while(c, is_token_char);
}

bool header_put(struct buf *out, struct str name, struct str value, struct err *e)
{
    size_t column = name.n + 2;

    for (size_t i = 0; i < name.n; i++)
        if (!is_name_char((unsigned char)name.p[i]))
            return fail(e, ERR_SYNTAX, "header name with a forbidden character");
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] == '\r' || value.p[i] == '\n' || !value.p[i])
            return fail(e, ERR_SYNTAX, "header value with a line break or NUL");
    buf_put(out, name);
    BUF_PUT(out, ": ");
    while (value.n) {
        ptrdiff_t space = str_find(str_from(value, 1), ' ');
        size_t word = space == STR_NONE ? value.n : (size_t)space + 1;

        if (column + word > 77 && value.p[0] == ' ') {
            BUF_PUT(out, "\r\n\t");
            value = str_from(value, 1);
            word--;
            column = 8;
        }
        buf_put(out, str_sub(value, 0, word));
        column += word;
        value = str_from(value, word);
    }
    BUF_PUT(out, "\r\n");
    return true;
}
