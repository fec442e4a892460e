#include "policy/spf/spf_priv.h"

enum {
    MAX_VALUE = 4096, // of a macro: an address has fewer than 600 octets, escaped three times that
    MAX_DIGITS = 128, // labels to keep; there are no more (RFC 7208 7.3)
    // When a name is expanded, only its end counts: more than this is dropped at the front.
    KEEP = 1024,
    DROP_AT = 8192,
};

/* One macro-expand, RFC 7208 7.1, or a piece of text. */
struct piece {
    bool is_macro;
    struct str literal; // when letter is 0
    char letter;        // in lower case
    bool is_escaped;    // it was in upper case
    bool is_reversed;
    unsigned n_parts;   // 0: all
    struct str delimiters; // empty: a dot
};

static bool is_delimiter(unsigned char c)
{
    return c && str_find(STR(".-+,/_="), (char)c) != STR_NONE;
}

static bool is_literal(unsigned char c)
{
    return c > ' ' && c < 127 && c != '%';
}

static bool is_literal_or_space(unsigned char c)
{
    return c == ' ' || is_literal(c);
}

// transformers, RFC 7208 7.1: digits of any number; zero is an error (7.3).
static bool take_transformers(struct cur *c, struct piece *out)
{
    bool has_digits = false;

    for (; ascii_is_digit((char)cur_peek(c)); has_digits = true) {
        out->n_parts = out->n_parts * 10 + (unsigned)(cur_next(c) - '0');
        if (out->n_parts > MAX_DIGITS)
            out->n_parts = MAX_DIGITS;
    }
    out->is_reversed = cur_skip(c, 'r') || cur_skip(c, 'R');
    return !has_digits || out->n_parts;
}

// What follows a '%'.
static bool take_macro(struct cur *c, struct piece *out)
{
    int ch = cur_next(c);

    out->is_macro = true;
    switch (ch) {
    case '%':
        out->literal = STR("%");
        return true;
    case '_':
        out->literal = STR(" ");
        return true;
    case '-':
        out->literal = STR("%20");
        return true;
    case '{':
        break;
    default:
        return false;
    }
    ch = cur_next(c);
    if (ch < 0 || !ascii_is_alpha((char)ch))
        return false;
    out->letter = ascii_lower((char)ch);
    out->is_escaped = out->letter != (char)ch;
    if (str_find(STR("slodiphvcrt"), out->letter) == STR_NONE || !take_transformers(c, out))
        return false;
    out->delimiters = cur_while(c, is_delimiter);
    return cur_skip(c, '}');
}

// The next piece of text; false at its end and at an error, which leaves something over.
static bool take_piece(struct cur *c, struct piece *out)
{
    *out = (struct piece){0};
    if (cur_skip(c, '%')) {
        if (take_macro(c, out))
            return true;
        c->p--; // so that something is left over, also at the end
        return false;
    }
    out->literal = cur_while(c, is_literal_or_space);
    return out->literal.n > 0;
}

bool spf_macro_string_check(struct str text, bool has_spaces, struct err *e)
{
    struct cur c = cur_of(text);
    struct piece piece;

    while (take_piece(&c, &piece))
        ;
    if (cur_left(&c) || (!has_spaces && str_find(text, ' ') != STR_NONE))
        return fail(e, ERR_SYNTAX, "malformed macro, or a character that is not allowed");
    return true;
}

// toplabel, RFC 7208 7.1: letters, digits and inner hyphens, not digits alone.
static bool is_top_label(struct str label)
{
    bool has_other = false;

    for (size_t i = 0; i < label.n; i++) {
        if (!ascii_is_alnum(label.p[i]) && label.p[i] != '-')
            return false;
        has_other |= !ascii_is_digit(label.p[i]);
    }
    return has_other && label.p[0] != '-' && label.p[label.n - 1] != '-';
}

bool spf_domain_spec_check(struct str text, struct err *e)
{
    struct cur c = cur_of(text);
    struct piece piece;
    const char *end = c.p; // of the last macro
    struct str tail;
    ptrdiff_t dot;

    while (take_piece(&c, &piece)) {
        if (piece.letter && str_find(STR("crt"), piece.letter) != STR_NONE)
            return fail(e, ERR_SYNTAX, "a macro that is for explanations only");
        if (piece.is_macro)
            end = c.p;
    }
    if (cur_left(&c) || str_find(text, ' ') != STR_NONE)
        return fail(e, ERR_SYNTAX, "malformed macro, or a character that is not allowed");
    tail = str_at(end, (size_t)(c.end - end));
    if (!tail.n)
        return text.n || fail(e, ERR_SYNTAX, "empty domain");
    if (str_ends(tail, STR(".")))
        tail.n--;
    dot = str_find_last(tail, '.');
    if (dot == STR_NONE || !is_top_label(str_from(tail, (size_t)dot + 1)))
        return fail(e, ERR_SYNTAX, "a domain that ends in no top-level label");
    return true;
}

/* --- expansion --- */

// %{i}: an IPv6 address as its nibbles, as the test suite of the RFC writes them.
static void put_dotted(struct buf *out, const struct ip *ip)
{
    static const char hex[] = "0123456789ABCDEF";

    if (ip->family == 4) {
        ip_put(out, ip);
        return;
    }
    for (size_t i = 0; i < 16; i++)
        buf_printf(out, "%s%c.%c", i ? "." : "", hex[ip->bytes[i] >> 4], hex[ip->bytes[i] & 15]);
}

// %{p}: the domain itself, a name below it, any name, in this order (RFC 7208 7.3).
static struct str validated_name(struct spf_run *run, struct str domain)
{
    struct str found = STR("unknown");

    spf_find_names(run);
    for (size_t i = run->n_names; i-- > 0;)
        if (!spf_is_within(found, domain) || spf_is_within(run->names[i], domain))
            found = run->names[i];
    for (size_t i = 0; i < run->n_names; i++)
        if (str_eq_ci(run->names[i], domain))
            found = run->names[i];
    return found;
}

static enum spf_step put_value(struct spf_run *run, char letter, struct str domain, struct buf *out)
{
    switch (letter) {
    case 's':
    case 'l':
        // RFC 8616 4: such a local part is never part of a name.
        if (!str_is_ascii(run->local))
            return SPF_NO;
        buf_put(out, run->local);
        if (letter == 's') {
            BUF_PUT(out, "@");
            buf_put(out, run->domain);
        }
        break;
    case 'o':
        buf_put(out, run->domain);
        break;
    case 'd':
        buf_put(out, domain);
        break;
    case 'i':
        put_dotted(out, &run->ip);
        break;
    case 'p':
        if (spf_count(run) != SPF_YES)
            return SPF_STOP;
        buf_put(out, validated_name(run, domain));
        break;
    case 'v':
        buf_put(out, run->ip.family == 4 ? STR("in-addr") : STR("ip6"));
        break;
    case 'h':
        buf_put(out, run->q->helo);
        break;
    case 'c':
        ip_put(out, &run->ip);
        break;
    case 'r':
        buf_put(out, run->q->receiver.n ? run->q->receiver : STR("unknown"));
        break;
    default: // 't'
        buf_put_u64(out, run->q->now_unix);
        break;
    }
    return SPF_YES;
}

static bool is_split_at(const struct piece *p, char c)
{
    return p->delimiters.n ? str_find(p->delimiters, c) != STR_NONE : c == '.';
}

// The part of s between positions from and to, in URL encoding when asked for (RFC 3986 2.3).
static void put_part(struct buf *out, const struct piece *p, struct str s, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        char c = s.p[i];

        if (!p->is_escaped || ascii_is_alnum(c) || (c && str_find(STR("-._~"), c) != STR_NONE))
            buf_put_char(out, c);
        else
            buf_printf(out, "%%%02X", (unsigned char)c);
    }
}

// The right-hand parts of s, after reversal, joined with dots (RFC 7208 7.3).
static void put_transformed(struct buf *out, const struct piece *p, struct str s)
{
    size_t n = 1, left, from = 0, to = s.n;

    for (size_t i = 0; i < s.n; i++)
        n += is_split_at(p, s.p[i]);
    left = p->n_parts && p->n_parts < n ? p->n_parts : n;
    if (!p->is_reversed) {
        for (size_t skip = n - left; skip; from++)
            skip -= is_split_at(p, s.p[from]);
        for (size_t i = from; i < s.n; i++)
            if (is_split_at(p, s.p[i])) {
                put_part(out, p, s, from, i);
                BUF_PUT(out, ".");
                from = i + 1;
            }
        put_part(out, p, s, from, s.n);
        return;
    }
    // Parts from the last to the first; of them the right-hand ones are the first of s.
    for (size_t skip = n - left; skip; to--)
        skip -= is_split_at(p, s.p[to - 1]);
    for (size_t i = to; i > 0; i--)
        if (is_split_at(p, s.p[i - 1])) {
            put_part(out, p, s, i, to);
            BUF_PUT(out, ".");
            to = i - 1;
        }
    put_part(out, p, s, 0, to);
}

static enum spf_step put_piece(struct spf_run *run, const struct piece *p, struct str domain,
                               struct buf *out)
{
    AUTO_BUF value = BUF_LIMIT(MAX_VALUE);
    enum spf_step step;

    if (!p->letter) {
        buf_put(out, p->literal);
        return SPF_YES;
    }
    step = put_value(run, p->letter, domain, &value);
    if (step == SPF_YES)
        put_transformed(out, p, buf_str(&value));
    return step;
}

enum spf_step spf_expand(struct spf_run *run, struct str text, struct str domain,
                         struct buf *out)
{
    struct cur c = cur_of(text);
    enum spf_step step = SPF_YES;
    struct piece piece;

    while (step == SPF_YES && !out->full && take_piece(&c, &piece))
        step = put_piece(run, &piece, domain, out);
    return step;
}

enum spf_step spf_expand_name(struct spf_run *run, struct str spec, struct str domain,
                              struct str *out)
{
    AUTO_BUF name = BUF_LIMIT(DROP_AT + 3 * MAX_VALUE + UINT16_MAX);
    struct cur c = cur_of(spec);
    enum spf_step step = SPF_YES;
    struct piece piece;
    struct str s;

    while (step == SPF_YES && take_piece(&c, &piece)) {
        step = put_piece(run, &piece, domain, &name);
        if (name.n > DROP_AT)
            buf_drop(&name, name.n - KEEP);
    }
    s = buf_str(&name);
    if (str_ends(s, STR(".")))
        s.n--;
    // RFC 7208 7.3: labels are taken off on the left until it fits.
    while (s.n > DNS_MAX_NAME) {
        ptrdiff_t dot = str_find(s, '.');

        s = dot == STR_NONE ? STR("") : str_from(s, (size_t)dot + 1);
    }
    *out = arena_dup(run->a, s);
    return step;
}
