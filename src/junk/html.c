/*
 * The text of HTML for the tokeniser: one pass, no tree, memory in proportion to the text alone. It
 * is not shown to anybody, so what matters is that words come out as a reader sees them: tags inside a
 * word do not cut it, scripts and styles say nothing, references to characters are those characters, and what
 * a style hides goes elsewhere: it is there for filters.
 */
#include "base/cur.h"
#include "junk/junk_priv.h"
#include "text/encode.h"

// HTML's names of U+00A0 to U+00FF, in order.
static const struct str latin_names[] = {
    STR_("nbsp"), STR_("iexcl"), STR_("cent"), STR_("pound"), STR_("curren"), STR_("yen"),
    STR_("brvbar"), STR_("sect"), STR_("uml"), STR_("copy"), STR_("ordf"), STR_("laquo"),
    STR_("not"), STR_("shy"), STR_("reg"), STR_("macr"), STR_("deg"), STR_("plusmn"), STR_("sup2"),
    STR_("sup3"), STR_("acute"), STR_("micro"), STR_("para"), STR_("middot"), STR_("cedil"),
    STR_("sup1"), STR_("ordm"), STR_("raquo"), STR_("frac14"), STR_("frac12"), STR_("frac34"),
    STR_("iquest"), STR_("Agrave"), STR_("Aacute"), STR_("Acirc"), STR_("Atilde"), STR_("Auml"),
    STR_("Aring"), STR_("AElig"), STR_("Ccedil"), STR_("Egrave"), STR_("Eacute"), STR_("Ecirc"),
    STR_("Euml"), STR_("Igrave"), STR_("Iacute"), STR_("Icirc"), STR_("Iuml"), STR_("ETH"),
    STR_("Ntilde"), STR_("Ograve"), STR_("Oacute"), STR_("Ocirc"), STR_("Otilde"), STR_("Ouml"),
    STR_("times"), STR_("Oslash"), STR_("Ugrave"), STR_("Uacute"), STR_("Ucirc"), STR_("Uuml"),
    STR_("Yacute"), STR_("THORN"), STR_("szlig"), STR_("agrave"), STR_("aacute"), STR_("acirc"),
    STR_("atilde"), STR_("auml"), STR_("aring"), STR_("aelig"), STR_("ccedil"), STR_("egrave"),
    STR_("eacute"), STR_("ecirc"), STR_("euml"), STR_("igrave"), STR_("iacute"), STR_("icirc"),
    STR_("iuml"), STR_("eth"), STR_("ntilde"), STR_("ograve"), STR_("oacute"), STR_("ocirc"),
    STR_("otilde"), STR_("ouml"), STR_("divide"), STR_("oslash"), STR_("ugrave"), STR_("uacute"),
    STR_("ucirc"), STR_("uuml"), STR_("yacute"), STR_("thorn"), STR_("yuml"),
};

static const struct {
    struct str name;
    uint32_t code;
} other_names[] = {
    {STR_("amp"), '&'}, {STR_("lt"), '<'}, {STR_("gt"), '>'}, {STR_("quot"), '"'},
    {STR_("apos"), '\''}, {STR_("euro"), 0x20ac}, {STR_("ndash"), 0x2013},
    {STR_("mdash"), 0x2014}, {STR_("lsquo"), 0x2018}, {STR_("rsquo"), 0x2019},
    {STR_("ldquo"), 0x201c}, {STR_("rdquo"), 0x201d}, {STR_("bull"), 0x2022},
    {STR_("hellip"), 0x2026}, {STR_("trade"), 0x2122}, {STR_("zwnj"), 0x200c},
};

static uint32_t code_of_name(struct str name)
{
    for (size_t i = 0; i < COUNT(other_names); i++)
        if (str_eq(other_names[i].name, name))
            return other_names[i].code;
    for (size_t i = 0; i < COUNT(latin_names); i++)
        if (str_eq(latin_names[i], name))
            return 0xa0 + (uint32_t)i;
    return 0;
}

// After "&#": a number in base 10, or 16 after an x. 0 when it is none.
static uint32_t take_number(struct cur *c)
{
    bool is_hex = cur_skip(c, 'x') || cur_skip(c, 'X');
    uint32_t v = 0;

    for (int i = 0; i < 8; i++) {
        int ch = cur_peek(c);

        if (ch >= '0' && ch <= '9')
            v = v * (is_hex ? 16 : 10) + (uint32_t)(ch - '0');
        else if (is_hex && ((ch >= 'a' && ch <= 'f') || (ch >= 'A' && ch <= 'F')))
            v = v * 16 + (uint32_t)((ch | 0x20) - 'a' + 10);
        else
            break;
        cur_next(c);
    }
    return v <= 0x10ffff && (v < 0xd800 || v > 0xdfff) ? v : 0;
}

static bool is_name_char(unsigned char c)
{
    return ascii_is_alnum((char)c);
}

// The cursor is behind a "&".
static void put_reference(struct cur *c, struct buf *out)
{
    struct cur start = *c;
    uint32_t code;

    if (cur_skip(c, '#')) {
        code = take_number(c);
    } else {
        struct str name = cur_while(c, is_name_char);

        code = name.n <= 8 ? code_of_name(name) : 0;
    }
    if (!code) {
        *c = start;
        buf_put_char(out, '&');
        return;
    }
    cur_skip(c, ';');
    utf8_put(out, code == 0xa0 ? ' ' : code);
}

static bool is_not_gt(unsigned char c)
{
    return c != '>';
}

static bool is_text_char(unsigned char c)
{
    return c != '<' && c != '&';
}

static bool is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f';
}

static void skip_spaces(struct cur *c)
{
    while (is_space(cur_peek(c)))
        cur_next(c);
}

static bool is_attribute_char(unsigned char c)
{
    return !is_space(c) && c != '=' && c != '>' && c != '/';
}

static bool is_bare_char(unsigned char c)
{
    return !is_space(c) && c != '>';
}

static bool is_not_single(unsigned char c)
{
    return c != '\'';
}

static bool is_not_double(unsigned char c)
{
    return c != '"';
}

static struct str take_value(struct cur *c)
{
    struct str v;

    skip_spaces(c);
    if (cur_skip(c, '"')) {
        v = cur_while(c, is_not_double);
        cur_skip(c, '"');
    } else if (cur_skip(c, '\'')) {
        v = cur_while(c, is_not_single);
        cur_skip(c, '\'');
    } else {
        v = cur_while(c, is_bare_char);
    }
    return v;
}

struct html {
    struct cur c;
    struct buf *out; // one of the two
    struct buf *shown, *hidden;
    struct str hider;     // the name of the element that hides what is in it
    unsigned hider_depth; // of elements of that name; 0 when nothing is hidden
    html_link_fn *link;
    void *ctx;
    size_t n_links;
};

static bool is_one_of(struct str name, const struct str *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq_ci(words[i], name))
            return true;
    return false;
}

// What is inside is not shown.
static bool hides(struct str name)
{
    static const struct str names[] = {STR_("script"), STR_("style"), STR_("svg")};

    return is_one_of(name, names, COUNT(names));
}

// Holds what is between its start and its end, which must be there. Others end where a browser pleases.
static bool is_holder(struct str name)
{
    static const struct str names[] = {STR_("div"),   STR_("span"),   STR_("font"),    STR_("b"),
                                       STR_("i"),     STR_("a"),      STR_("small"),   STR_("center"),
                                       STR_("table"), STR_("strong"), STR_("section")};

    return is_one_of(name, names, COUNT(names));
}

// Whether the value of a property is nothing: "0", "0px", and not "0.9em".
static bool is_zero(struct str value)
{
    struct cur c = cur_of(value);

    while (cur_skip(&c, '0') || cur_skip(&c, '.'))
        continue;
    return value.n && value.p[0] == '0' && !(cur_peek(&c) >= '1' && cur_peek(&c) <= '9');
}

// Whether a style lets nobody see what is in the element.
static bool is_hiding_style(struct str style)
{
    static const struct str zeros[] = {STR_("font-size:"), STR_("opacity:"), STR_("max-height:")};
    char bytes[300];
    struct buf tight = {bytes, 0, sizeof bytes, sizeof bytes, false};
    struct str text;

    style = str_sub(style, 0, sizeof bytes);
    for (size_t i = 0; i < style.n; i++)
        if (!is_space(style.p[i]))
            buf_put_char(&tight, ascii_lower(style.p[i]));
    text = buf_str(&tight);
    for (size_t i = 0; i < COUNT(zeros); i++) {
        ptrdiff_t at = str_find_str(text, zeros[i]);

        if (at != STR_NONE && is_zero(str_from(text, (size_t)at + zeros[i].n)))
            return true;
    }
    return str_find_str(text, STR("display:none")) != STR_NONE ||
           str_find_str(text, STR("visibility:hidden")) != STR_NONE;
}

// Does not set apart what is before from what is behind it.
static bool is_inline(struct str name)
{
    static const struct str names[] = {
        STR_("a"), STR_("b"), STR_("i"), STR_("u"), STR_("s"), STR_("em"), STR_("tt"), STR_("big"),
        STR_("sub"), STR_("sup"), STR_("wbr"), STR_("font"), STR_("span"), STR_("abbr"),
        STR_("small"), STR_("strong")};

    return is_one_of(name, names, COUNT(names));
}

// To behind the end of what began as <name>, or to the end of all.
static void skip_element(struct cur *c, struct str name)
{
    while (cur_left(c)) {
        if (cur_skip(c, '<') && cur_skip(c, '/') && cur_skip_str_ci(c, name)) {
            cur_while(c, is_not_gt);
            cur_skip(c, '>');
            return;
        }
        if (cur_peek(c) != '<')
            cur_next(c);
    }
}

static void skip_comment(struct cur *c)
{
    while (cur_left(c)) {
        if (cur_skip_str(c, STR("-->")))
            return;
        cur_next(c);
    }
}

static void attribute(struct html *h, struct str tag, struct str name, struct str value,
                      bool *is_hiding)
{
    if (str_eq_ci(name, STR("href")) || str_eq_ci(name, STR("src"))) {
        if (h->link && h->n_links++ < HTML_MAX_LINKS)
            h->link(h->ctx, str_trim(value));
    } else if (str_eq_ci(name, STR("style"))) {
        *is_hiding |= is_hiding_style(value);
    } else if (str_eq_ci(name, STR("alt")) && str_eq_ci(tag, STR("img"))) {
        struct cur c = cur_of(value);

        buf_put_char(h->out, ' ');
        while (cur_left(&c))
            if (cur_skip(&c, '&'))
                put_reference(&c, h->out);
            else
                buf_put_char(h->out, (char)cur_next(&c));
        buf_put_char(h->out, ' ');
    }
}

// Where text goes after a tag. Elements of the same name inside a hidden one are counted, others do not matter.
static void hide(struct html *h, struct str name, bool is_end, bool is_hiding)
{
    if (h->hider_depth) {
        if (str_eq_ci(name, h->hider))
            h->hider_depth += is_end ? -1u : 1;
    } else if (is_hiding && !is_end && is_holder(name)) {
        h->hider = name;
        h->hider_depth = 1;
    }
    h->out = h->hider_depth ? h->hidden : h->shown;
}

// The cursor is behind a "<" that begins a tag.
static void tag(struct html *h)
{
    struct cur *c = &h->c;
    bool is_hiding = false;
    bool is_end = cur_skip(c, '/');
    struct str name = cur_while(c, is_name_char);

    skip_spaces(c);
    while (cur_left(c) && cur_peek(c) != '>') {
        struct str attribute_name = cur_while(c, is_attribute_char);

        skip_spaces(c);
        if (cur_skip(c, '=')) {
            attribute(h, name, attribute_name, take_value(c), &is_hiding);
        } else {
            is_hiding |= str_eq_ci(attribute_name, STR("hidden"));
            cur_skip(c, '/');
        }
        skip_spaces(c);
    }
    cur_skip(c, '>');
    if (!is_end && hides(name))
        skip_element(c, name);
    else if (!is_inline(name))
        buf_put_char(h->out, '\n'); // what is set apart is not one word
    hide(h, name, is_end, is_hiding);
}

void html_text(struct str html, struct buf *shown, struct buf *hidden, html_link_fn *link, void *ctx)
{
    struct html h = {.c = cur_of(html), .out = shown, .shown = shown, .hidden = hidden, .link = link,
                     .ctx = ctx};
    struct cur *c = &h.c;

    while (cur_left(c)) {
        int next;

        buf_put(h.out, cur_while(c, is_text_char));
        if (cur_skip(c, '&')) {
            put_reference(c, h.out);
            continue;
        }
        if (!cur_skip(c, '<'))
            break;
        next = cur_peek(c);
        if (cur_skip_str(c, STR("!--"))) {
            skip_comment(c);
        } else if (next == '!' || next == '?') {
            cur_while(c, is_not_gt);
            cur_skip(c, '>');
        } else if (next == '/' || (next >= 0 && ascii_is_alpha((char)next))) {
            tag(&h);
        } else {
            buf_put_char(h.out, '<');
        }
    }
}
