#include "policy/tag_list.h"

#include "base/cur.h"
#include "text/encode.h"

static bool is_space(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* tag-name. */
static bool is_name_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || c == '_';
}

/* FWS, of which a header field has as many as it likes; but never a line end without a blank. */
static bool skip_fws(struct cur *c)
{
    for (;;) {
        int ch = cur_peek(c);

        if (ch == ' ' || ch == '\t') {
            cur_next(c);
            continue;
        }
        if (ch != '\r' && ch != '\n')
            return true;
        if (!cur_skip_str(c, STR("\r\n")) || (cur_peek(c) != ' ' && cur_peek(c) != '\t'))
            return false;
    }
}

/* tag-value. Bytes from 128 on are UTF-8 of an internationalised message (RFC 8616). */
static bool take_value(struct cur *c, struct tag *out)
{
    const char *start = c->p;

    for (;;) {
        int ch;

        if (!skip_fws(c))
            return false;
        ch = cur_peek(c);
        if (ch < 0 || ch == ';')
            break;
        if (ch < 33 || ch == 127)
            return false;
        cur_next(c);
    }
    out->field = str_at(start, (size_t)(c->p - start));
    out->value = str_trim(out->field);
    return true;
}

/* tag-spec. */
static bool take_tag(struct cur *c, struct tag *out)
{
    if (!skip_fws(c) || !ascii_is_alpha((char)cur_peek(c)))
        return false;
    out->name = cur_while(c, is_name_char);
    return skip_fws(c) && cur_skip(c, '=') && take_value(c, out);
}

bool tag_list_parse(struct str text, struct tag_list *out, struct err *e)
{
    struct cur c = cur_of(text);

    out->n = 0;
    if (text.n > TAG_LIST_MAX_BYTES)
        return fail(e, ERR_LIMIT, "a list of tags of %zu bytes", text.n);
    do {
        struct tag tag;

        if (!take_tag(&c, &tag))
            return fail(e, ERR_SYNTAX, "malformed list of tags");
        for (size_t i = 0; i < out->n; i++)
            if (str_eq(out->tags[i].name, tag.name))
                return fail(e, ERR_SYNTAX, "tag %.*s is there twice", STR_FMT(tag.name));
        if (out->n == TAG_LIST_MAX_TAGS)
            return fail(e, ERR_LIMIT, "more than %d tags", TAG_LIST_MAX_TAGS);
        out->tags[out->n++] = tag;
        if (!cur_skip(&c, ';'))
            break;
        if (!skip_fws(&c))
            return fail(e, ERR_SYNTAX, "malformed list of tags");
    } while (cur_left(&c));
    return true;
}

const struct tag *tag_find(const struct tag_list *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->tags[i].name, str_of(name)))
            return &list->tags[i];
    return NULL;
}

struct str tag_value(const struct tag_list *list, const char *name)
{
    const struct tag *tag = tag_find(list, name);

    return tag ? tag->value : STR("");
}

struct str tag_without_space(struct arena *a, struct str value)
{
    char *p = arena_alloc(a, value.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < value.n; i++)
        if (!is_space((unsigned char)value.p[i]))
            p[n++] = value.p[i];
    return str_at(p, n);
}

bool tag_base64(struct arena *a, struct str value, struct str *out)
{
    AUTO_BUF bytes = BUF_LIMIT(TAG_LIST_MAX_BYTES);

    if (!base64_decode_strict(&bytes, tag_without_space(a, value)) || !bytes.n)
        return false;
    *out = arena_dup(a, buf_str(&bytes));
    return true;
}

bool tag_part(struct str *rest, struct str *part)
{
    if (!rest->p)
        return false;
    if (!str_cut(*rest, ':', part, rest)) {
        *part = *rest;
        *rest = (struct str){0};
    }
    *part = str_trim(*part);
    return true;
}

bool tag_has_part(struct str value, struct str word)
{
    struct str part;

    while (tag_part(&value, &part))
        if (str_eq_ci(part, word))
            return true;
    return false;
}
