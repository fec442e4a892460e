/*
 * The tokens of IMAP (RFC 9051 9).
 */
#include "proto/imap/imap.h"
#include "proto/imap/structure.h"
#include "text/encode.h"

static bool bad(struct imap_parser *p, const char *what)
{
    return fail(p->e, ERR_SYNTAX, "%s expected", what);
}

bool imap_space(struct imap_parser *p)
{
    return cur_skip(&p->c, ' ') || bad(p, "space");
}

bool imap_end(struct imap_parser *p)
{
    return !cur_left(&p->c) || fail(p->e, ERR_SYNTAX, "more than the command takes");
}

bool imap_open(struct imap_parser *p)
{
    return cur_skip(&p->c, '(') || bad(p, "\"(\"");
}

bool imap_close(struct imap_parser *p)
{
    return cur_skip(&p->c, ')') || bad(p, "\")\"");
}

/* atom-specials: RFC 9051 9. Bytes past ASCII are let through and checked where they matter. */
static bool is_atom_char(unsigned char c)
{
    return c > 32 && c != 127 && c != '(' && c != ')' && c != '{' && c != '%' && c != '*' &&
           c != '"' && c != '\\' && c != ']';
}

static bool is_astring_char(unsigned char c)
{
    return is_atom_char(c) || c == ']';
}

static bool is_tag_char(unsigned char c)
{
    return is_astring_char(c) && c != '+' && c < 128;
}

static bool is_list_char(unsigned char c)
{
    return is_astring_char(c) || c == '%' || c == '*';
}

static bool is_word_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || c == '-' || c == '.' || c == '=' || c == '8';
}

bool imap_tag(struct imap_parser *p, struct str *out)
{
    *out = cur_while(&p->c, is_tag_char);
    return out->n || bad(p, "tag");
}

bool imap_word(struct imap_parser *p, struct str *out)
{
    struct str raw = cur_while(&p->c, is_word_char);

    if (!raw.n)
        return bad(p, "keyword");
    *out = arena_upper(p->a, raw);
    return true;
}

bool imap_skip_word(struct imap_parser *p, struct str word)
{
    struct cur c = p->c;

    if (!cur_skip_str_ci(&c, word) || (cur_left(&c) && is_word_char((unsigned char)cur_peek(&c))))
        return false;
    p->c = c;
    return true;
}

bool imap_atom(struct imap_parser *p, struct str *out)
{
    *out = cur_while(&p->c, is_atom_char);
    return out->n || bad(p, "atom");
}

bool imap_number(struct imap_parser *p, uint64_t max, uint64_t *out)
{
    return cur_u64(&p->c, max, out) || bad(p, "number");
}

// How many bytes the quoted string takes; all that is left when it does not end.
static size_t quoted_length(struct cur c)
{
    const char *start = c.p;

    cur_next(&c);
    for (int ch = cur_next(&c); ch >= 0 && ch != '"'; ch = cur_next(&c))
        if (ch == '\\')
            cur_next(&c);
    return (size_t)(c.p - start);
}

static bool quoted(struct imap_parser *p, struct str *out)
{
    char *copy = arena_alloc(p->a, quoted_length(p->c));
    size_t n = 0;

    cur_next(&p->c);
    for (;;) {
        int c = cur_next(&p->c);

        if (c == '"')
            break;
        if (c == '\\') {
            c = cur_next(&p->c);
            if (c != '"' && c != '\\')
                return fail(p->e, ERR_SYNTAX, "only \\ and \" are escaped in a quoted string");
        }
        if (c <= 0 || c == '\r' || c == '\n')
            return fail(p->e, ERR_SYNTAX, "quoted string is not closed");
        copy[n++] = (char)c;
    }
    *out = str_at(copy, n);
    return true;
}

/* literal, literal8: the bytes are in place behind the announcement. */
static bool literal(struct imap_parser *p, struct str *out)
{
    uint64_t n;

    cur_skip(&p->c, '~');
    if (!cur_skip(&p->c, '{') || !cur_u64(&p->c, SIZE_MAX / 2, &n))
        return bad(p, "string");
    cur_skip(&p->c, '+');
    if (!cur_skip_str(&p->c, STR("}\r\n")) || !cur_take(&p->c, (size_t)n, out))
        return bad(p, "literal");
    // RFC 9051 4.3: a NUL is only in literal8, and none of our strings is binary.
    return str_find(*out, 0) == STR_NONE || fail(p->e, ERR_SYNTAX, "NUL in a literal");
}

bool imap_string(struct imap_parser *p, struct str *out)
{
    return imap_is_next(p, '"') ? quoted(p, out) : literal(p, out);
}

bool imap_astring(struct imap_parser *p, struct str *out)
{
    if (imap_is_next(p, '"') || imap_is_next(p, '{') || imap_is_next(p, '~'))
        return imap_string(p, out);
    *out = cur_while(&p->c, is_astring_char);
    return out->n || bad(p, "string");
}

// From the wire's form to UTF-8 (RFC 3501 5.1.3, RFC 9051 5.1).
static bool name_to_utf8(struct imap_parser *p, struct str *name)
{
    AUTO_BUF b = BUF_LIMIT(64 * 1024);

    if (p->is_utf8)
        return utf8_is_valid(*name) || fail(p->e, ERR_SYNTAX, "mailbox name is not UTF-8");
    if (!mutf7_decode(&b, *name) || b.full) {
        // A name with "&" as it stands, from clients that never heard of the encoding.
        if (!str_is_ascii(*name) && !utf8_is_valid(*name))
            return fail(p->e, ERR_SYNTAX, "mailbox name is not modified UTF-7");
        return true;
    }
    *name = arena_dup(p->a, buf_str(&b));
    return true;
}

bool imap_mailbox(struct imap_parser *p, struct str *out)
{
    return imap_astring(p, out) && name_to_utf8(p, out);
}

// A list-mailbox, with wildcards, in UTF-8.
static bool list_mailbox(struct imap_parser *p, struct str *out)
{
    if (imap_is_next(p, '"') || imap_is_next(p, '{') || imap_is_next(p, '~'))
        return imap_string(p, out) && name_to_utf8(p, out);
    *out = cur_while(&p->c, is_list_char);
    return out->n ? name_to_utf8(p, out) : bad(p, "mailbox pattern");
}

static bool set_number(struct imap_parser *p, uint64_t *out)
{
    if (cur_skip(&p->c, '*')) {
        *out = IMAP_STAR;
        return true;
    }
    return imap_number(p, UINT32_MAX, out) && (*out || fail(p->e, ERR_SYNTAX, "0 is no number of "
                                                                              "a message"));
}

bool imap_sequence_set(struct imap_parser *p, struct imap_set *out)
{
    *out = (struct imap_set){0};
    if (cur_skip(&p->c, '$')) {
        out->is_saved = true;
        return true;
    }
    do {
        struct imap_range r;

        if (out->n >= IMAP_MAX_SET)
            return fail(p->e, ERR_LIMIT, "sequence set has more than %d parts", IMAP_MAX_SET);
        if (!set_number(p, &r.first))
            return false;
        r.last = r.first;
        if (cur_skip(&p->c, ':') && !set_number(p, &r.last))
            return false;
        *ARENA_PUSH(p->a, out->ranges, &out->n, &out->cap) = r;
    } while (cur_skip(&p->c, ','));
    return true;
}

static bool flag(struct imap_parser *p, struct str *out)
{
    const char *start = p->c.p;

    cur_skip(&p->c, '\\');
    if (!cur_while(&p->c, is_atom_char).n)
        return bad(p, "flag");
    *out = str_at(start, (size_t)(p->c.p - start));
    return true;
}

bool imap_flag_list(struct imap_parser *p, bool may_be_bare, struct imap_words *out)
{
    bool is_list = cur_skip(&p->c, '(');

    *out = (struct imap_words){0};
    if (!is_list && !may_be_bare)
        return bad(p, "\"(\"");
    if (is_list && cur_skip(&p->c, ')'))
        return true;
    do {
        struct str one;

        if (out->n >= IMAP_MAX_LIST)
            return fail(p->e, ERR_LIMIT, "too many flags");
        if (!flag(p, &one))
            return false;
        *ARENA_PUSH(p->a, out->items, &out->n, &out->cap) = one;
    } while (cur_skip(&p->c, ' '));
    return !is_list || imap_close(p);
}

bool imap_enable_arguments(struct imap_parser *p, struct imap_words *out)
{
    *out = (struct imap_words){0};
    do {
        struct str word;

        if (out->n >= IMAP_MAX_LIST)
            return fail(p->e, ERR_LIMIT, "too many capabilities");
        if (!imap_atom(p, &word))
            return false;
        *ARENA_PUSH(p->a, out->items, &out->n, &out->cap) = arena_upper(p->a, word);
    } while (cur_skip(&p->c, ' '));
    return imap_end(p);
}

static bool nstring(struct imap_parser *p, struct str *out)
{
    *out = STR("");
    return imap_skip_word(p, STR("NIL")) || imap_string(p, out);
}

/* RFC 2971 3.1, 3.3: no name twice, at most 30 pairs, names of 30 and texts of 1024 bytes. */
bool imap_id_arguments(struct imap_parser *p, struct imap_words *out)
{
    enum { MOST_PAIRS = 30, MOST_NAME = 30, MOST_VALUE = 1024 };

    *out = (struct imap_words){0};
    if (imap_skip_word(p, STR("NIL")))
        return imap_end(p);
    if (!imap_open(p))
        return false;
    if (cur_skip(&p->c, ')'))
        return imap_end(p);
    do {
        struct str name, value;

        if (!imap_string(p, &name) || !imap_space(p) || !nstring(p, &value))
            return false;
        if (out->n >= 2 * MOST_PAIRS || name.n > MOST_NAME || value.n > MOST_VALUE)
            return fail(p->e, ERR_LIMIT, "more than the ID command may hold");
        for (size_t i = 0; i < out->n; i += 2)
            if (str_eq_ci(out->items[i], name))
                return fail(p->e, ERR_SYNTAX, "a name is given twice");
        *ARENA_PUSH(p->a, out->items, &out->n, &out->cap) = name;
        *ARENA_PUSH(p->a, out->items, &out->n, &out->cap) = value;
    } while (cur_skip(&p->c, ' '));
    return imap_close(p) && imap_end(p);
}

bool imap_status_items(struct imap_parser *p, unsigned *out)
{
    static const struct {
        struct str name;
        unsigned bit;
    } items[] = {
        {STR_("MESSAGES"), STATUS_MESSAGES},       {STR_("UIDNEXT"), STATUS_UIDNEXT},
        {STR_("UIDVALIDITY"), STATUS_UIDVALIDITY}, {STR_("UNSEEN"), STATUS_UNSEEN},
        {STR_("DELETED"), STATUS_DELETED},         {STR_("SIZE"), STATUS_SIZE},
        {STR_("RECENT"), STATUS_RECENT},           {STR_("APPENDLIMIT"), STATUS_APPENDLIMIT},
        {STR_("HIGHESTMODSEQ"), STATUS_HIGHESTMODSEQ},
        {STR_("DELETED-STORAGE"), STATUS_DELETED_STORAGE},
        {STR_("MAILBOXID"), STATUS_MAILBOXID},
    };

    *out = 0;
    if (!imap_open(p))
        return false;
    do {
        struct str word;
        bool is_known = false;

        if (!imap_word(p, &word))
            return false;
        for (size_t i = 0; i < COUNT(items); i++)
            if (str_eq(word, items[i].name)) {
                *out |= items[i].bit;
                is_known = true;
            }
        if (!is_known)
            return fail(p->e, ERR_SYNTAX, "unknown status item");
    } while (cur_skip(&p->c, ' '));
    return imap_close(p);
}

static bool list_selection(struct imap_parser *p, struct imap_list *out)
{
    static const struct {
        struct str name;
        unsigned bit;
    } options[] = {{STR_("SUBSCRIBED"), LIST_SELECT_SUBSCRIBED}, {STR_("REMOTE"), 0},
                   {STR_("SPECIAL-USE"), LIST_SELECT_SPECIAL_USE},
                   {STR_("RECURSIVEMATCH"), LIST_SELECT_RECURSIVEMATCH}};

    out->options |= LIST_IS_EXTENDED;
    if (!imap_open(p) || cur_skip(&p->c, ')'))
        return p->e->kind == ERR_NONE;
    do {
        struct str word;
        bool is_known = false;

        if (!imap_word(p, &word))
            return false;
        for (size_t i = 0; i < COUNT(options); i++)
            if (str_eq(word, options[i].name)) {
                out->options |= options[i].bit;
                is_known = true;
            }
        if (!is_known)
            return fail(p->e, ERR_SYNTAX, "unknown list selection option");
    } while (cur_skip(&p->c, ' '));
    // RFC 5258 3.5: RECURSIVEMATCH alone says nothing.
    if ((out->options & LIST_SELECT_RECURSIVEMATCH) &&
        !(out->options & (LIST_SELECT_SUBSCRIBED | LIST_SELECT_SPECIAL_USE)))
        return fail(p->e, ERR_SYNTAX, "RECURSIVEMATCH needs another selection option");
    return imap_close(p);
}

static bool list_return(struct imap_parser *p, struct imap_list *out)
{
    out->options |= LIST_IS_EXTENDED;
    if (!imap_space(p) || !imap_open(p) || cur_skip(&p->c, ')'))
        return p->e->kind == ERR_NONE;
    do {
        struct str word;

        if (!imap_word(p, &word))
            return false;
        if (str_eq(word, STR("SUBSCRIBED")))
            out->options |= LIST_RETURN_SUBSCRIBED;
        else if (str_eq(word, STR("CHILDREN")))
            out->options |= LIST_RETURN_CHILDREN;
        else if (str_eq(word, STR("SPECIAL-USE")))
            out->options |= LIST_RETURN_SPECIAL_USE;
        else if (!str_eq(word, STR("STATUS")))
            return fail(p->e, ERR_SYNTAX, "unknown list return option");
        else if (!imap_space(p) || !imap_status_items(p, &out->status))
            return false;
    } while (cur_skip(&p->c, ' '));
    return imap_close(p);
}

/* RFC 9051 6.3.9, RFC 5258. */
bool imap_list_arguments(struct imap_parser *p, struct imap_list *out)
{
    struct str pattern;

    *out = (struct imap_list){0};
    if (imap_is_next(p, '(') && (!list_selection(p, out) || !imap_space(p)))
        return false;
    if (!imap_mailbox(p, &out->reference) || !imap_space(p))
        return false;
    if (cur_skip(&p->c, '(')) {
        out->options |= LIST_IS_EXTENDED;
        do {
            if (out->patterns.n >= IMAP_MAX_LIST)
                return fail(p->e, ERR_LIMIT, "too many patterns");
            if (!list_mailbox(p, &pattern))
                return false;
            *ARENA_PUSH(p->a, out->patterns.items, &out->patterns.n, &out->patterns.cap) = pattern;
        } while (cur_skip(&p->c, ' '));
        if (!imap_close(p))
            return false;
    } else {
        if (!list_mailbox(p, &pattern))
            return false;
        *ARENA_PUSH(p->a, out->patterns.items, &out->patterns.n, &out->patterns.cap) = pattern;
    }
    if (cur_skip_str_ci(&p->c, STR(" RETURN")) && !list_return(p, out))
        return false;
    return imap_end(p);
}

// Wildcards side by side are one, and a pattern with more letters than the name has matches nothing.
static bool simplify(struct str pattern, size_t most, char *out, size_t *n)
{
    size_t letters = 0;

    *n = 0;
    for (size_t i = 0; i < pattern.n; i++) {
        char ch = pattern.p[i];
        bool is_wild = ch == '*' || ch == '%', was_wild = *n && (out[*n - 1] == '*' ||
                                                                out[*n - 1] == '%');

        if (!is_wild && ++letters > most)
            return false;
        if (!is_wild || !was_wild)
            out[(*n)++] = ch;
        else if (ch == '*')
            out[*n - 1] = '*';
    }
    return true;
}

// The last wildcard is where to go on when a later part does not fit: no other needs trying again,
// but "%" cannot pass a "/", so both kinds are remembered.
static bool match(struct str pattern, struct str name)
{
    size_t p = 0, n = 0, star_p = SIZE_MAX, star_n = 0, percent_p = SIZE_MAX, percent_n = 0;

    while (n < name.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star_p = ++p;
            star_n = n;
            percent_p = SIZE_MAX;
        } else if (p < pattern.n && pattern.p[p] == '%') {
            percent_p = ++p;
            percent_n = n;
        } else if (p < pattern.n && pattern.p[p] == name.p[n]) {
            p++;
            n++;
        } else if (percent_p != SIZE_MAX && name.p[percent_n] != '/') {
            p = percent_p;
            n = ++percent_n;
        } else if (star_p != SIZE_MAX) {
            p = star_p;
            n = ++star_n;
            percent_p = SIZE_MAX;
        } else {
            return false;
        }
    }
    while (p < pattern.n && (pattern.p[p] == '*' || pattern.p[p] == '%'))
        p++;
    return p == pattern.n;
}

bool imap_list_match(struct str pattern, struct str name)
{
    enum { LONGEST_NAME = 1000 };
    char simple[2 * LONGEST_NAME + 2];
    size_t n;

    return name.n <= LONGEST_NAME && simplify(pattern, name.n, simple, &n) &&
           match(str_at(simple, n), name);
}

void imap_mailbox_put(struct buf *out, struct str name, bool is_utf8)
{
    AUTO_BUF b = BUF_LIMIT(64 * 1024);
    bool is_plain = name.n > 0;

    if (is_utf8) {
        // RFC 9051 5.1, RFC 6855 3: quoted strings hold UTF-8.
        BUF_PUT(out, "\"");
        for (size_t i = 0; i < name.n; i++) {
            if (name.p[i] == '"' || name.p[i] == '\\')
                BUF_PUT(out, "\\");
            buf_put_char(out, name.p[i]);
        }
        BUF_PUT(out, "\"");
        return;
    }
    mutf7_encode(&b, name);
    for (size_t i = 0; i < b.n; i++)
        is_plain = is_plain && is_astring_char((unsigned char)b.p[i]);
    if (is_plain)
        buf_put(out, buf_str(&b));
    else
        imap_string_put(out, buf_str(&b));
}
