/*
 * Address lists: one walk over the text, in time proportional to its length.
 */
#include <string.h>

#include "message/header.h"

static bool is_atom_char(unsigned char c)
{
    static const bool is_special[128] = {
        ['('] = true, [')'] = true, ['<'] = true, ['>'] = true, ['@'] = true, [','] = true, [';'] = true, [':'] = true,
        ['\\'] = true, ['"'] = true, ['.'] = true, ['['] = true, [']'] = true,
    };

    return c > 32 && c != 127 && (c > 127 || !is_special[c]);
}

static bool is_dot_atom_char(unsigned char c)
{
    return c == '.' || is_atom_char(c);
}

// What has been read of the mailbox that is being parsed.
struct pending {
    struct buf words;  // words joined as a display name, with single spaces
    struct buf joined; // the same without spaces, as a localpart would be
    struct str comment; // the last comment, which some use for the name
    bool has_space;    // blank before the next word
};

static void add_word(struct pending *p, struct str word, bool is_glued)
{
    if (p->words.n && p->has_space && !is_glued)
        buf_put_char(&p->words, ' ');
    buf_put(&p->words, word);
    buf_put(&p->joined, word);
    p->has_space = false;
}

// The text of a quoted string without its quotes; false when it does not end.
static bool take_quoted(struct cur *c, struct buf *out)
{
    cur_next(c);
    while (cur_left(c)) {
        int ch = cur_next(c);

        if (ch == '"')
            return true;
        if (ch == '\\' && cur_left(c))
            ch = cur_next(c);
        if (ch != '\r' && ch != '\n' && ch)
            buf_put_char(out, (char)ch);
    }
    return false;
}

static struct str take_domain(struct cur *c, struct arena *a, bool *has_errors)
{
    AUTO_BUF d = BUF_LIMIT(65536);
    const char *start;

    header_skip_cfws(c);
    start = c->p;
    if (cur_peek(c) == '[') {
        while (cur_left(c) && cur_peek(c) != ']' && cur_peek(c) != '\n')
            cur_next(c);
        *has_errors |= !cur_skip(c, ']');
        return arena_dup(a, str_at(start, (size_t)(c->p - start)));
    }
    for (;;) {
        struct cur next;

        buf_put(&d, cur_while(c, is_dot_atom_char));
        // obs-domain, RFC 5322 4.4: blanks and comments around its dots. What others read as a domain
        // must not be half of one here.
        next = *c;
        header_skip_cfws(&next);
        if (!d.n || !cur_left(&next) || cur_left(&next) == cur_left(c) ||
            (cur_peek(&next) != '.' &&
             !(d.p[d.n - 1] == '.' && is_dot_atom_char((unsigned char)cur_peek(&next)))))
            break;
        *has_errors = true;
        *c = next;
    }
    *has_errors |= !d.n || d.p[0] == '.' || d.p[d.n - 1] == '.' ||
                   str_find_str(buf_str(&d), STR("..")) != STR_NONE;
    return arena_dup(a, buf_str(&d));
}

// After '<': an address up to '>', with an obsolete route before it passed over.
static bool take_angle(struct cur *c, struct arena *a, struct address *out, struct address_list *list)
{
    AUTO_BUF local = BUF_LIMIT(65536);

    header_skip_cfws(c);
    if (cur_peek(c) == '@') {
        list->has_errors = true;
        while (cur_left(c) && cur_peek(c) != ':' && cur_peek(c) != '>')
            cur_next(c);
        cur_skip(c, ':');
    }
    for (;;) {
        const char *before = c->p;
        bool has_blank;

        header_skip_cfws(c);
        has_blank = c->p > before && local.n;
        if (cur_peek(c) == '"') {
            list->has_errors |= !take_quoted(c, &local);
        } else {
            struct str word = cur_while(c, is_dot_atom_char);

            buf_put(&local, word);
            if (!word.n)
                break;
        }
        list->is_guessed |= has_blank;
    }
    out->localpart = arena_dup(a, buf_str(&local));
    if (cur_skip(c, '@'))
        out->domain = take_domain(c, a, &list->has_errors);
    header_skip_cfws(c);
    while (cur_left(c) && cur_peek(c) != '>' && cur_peek(c) != ',') {
        list->has_errors = list->is_guessed = true;
        cur_next(c);
    }
    list->has_errors |= !cur_skip(c, '>') || !out->localpart.n || !out->domain.n;
    return out->localpart.n || out->domain.n;
}

static void push(struct arena *a, struct address_list *out, struct address address)
{
    if (out->n == HEADER_MAX_ADDRESSES) {
        out->has_errors = out->is_guessed = true;
        return;
    }
    *ARENA_PUSH(a, out->items, &out->n, &out->cap) = address;
}

// At a comma, a semicolon or the end: what is pending is a name without an address, or nothing.
static void finish(struct arena *a, struct pending *p, struct address_list *out)
{
    if (p->words.n) {
        push(a, out, (struct address){.name = arena_dup(a, buf_str(&p->words))});
        out->has_errors = true;
    }
    buf_reset(&p->words);
    buf_reset(&p->joined);
    p->comment = (struct str){0};
    p->has_space = false;
}

static void note_comment(struct cur *c, struct pending *p)
{
    const char *start = c->p;
    struct str text;

    header_skip_cfws(c);
    p->has_space = true;
    text = str_trim(str_at(start, (size_t)(c->p - start)));

    if (text.n > 2 && text.p[0] == '(' && str_ends(text, STR(")")))
        p->comment = str_sub(text, 1, text.n - 2);
}

static void take_mailbox_rest(struct cur *c, struct arena *a, struct pending *p,
                              struct address_list *out)
{
    struct address found = {0};
    bool is_angle = cur_next(c) == '<';

    if (is_angle) {
        found.name = arena_dup(a, buf_str(&p->words));
        if (!take_angle(c, a, &found, out) && !found.name.n) {
            finish(a, p, out);
            return;
        }
    } else {
        found.localpart = arena_dup(a, buf_str(&p->joined));
        out->is_guessed |= p->joined.n != p->words.n;
        found.domain = take_domain(c, a, &out->has_errors);
        out->has_errors |= !found.localpart.n || p->has_space;
    }
    buf_reset(&p->words);
    buf_reset(&p->joined);
    if (cur_peek(c) == ' ' || cur_peek(c) == '(')
        note_comment(c, p);
    if (!found.name.n && p->comment.n)
        found.name = arena_dup(a, p->comment);
    push(a, out, found);
    p->comment = (struct str){0};
    header_skip_cfws(c);
    // Anything before the next separator belongs to no address.
    while (cur_left(c) && cur_peek(c) != ',' && cur_peek(c) != ';') {
        out->has_errors = out->is_guessed = true;
        cur_next(c);
    }
}

static void parse_list(struct arena *a, struct str text, bool has_groups, struct address_list *out)
{
    struct cur c = cur_of(text);
    struct pending p = {.words = BUF_LIMIT(65536), .joined = BUF_LIMIT(65536)};
    bool in_group = false;

    *out = (struct address_list){0};
    while (cur_left(&c) && out->n < HEADER_MAX_ADDRESSES) {
        int ch = cur_peek(&c);

        if (ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n' || ch == '(') {
            note_comment(&c, &p);
        } else if (ch == ',' || ch == ';') {
            cur_next(&c);
            finish(a, &p, out);
            out->has_errors |= ch == ';' && !in_group;
            if (ch == ';' && in_group) {
                if (has_groups)
                    push(a, out, (struct address){.kind = ADDRESS_GROUP_END});
                in_group = false;
            }
        } else if (ch == ':') {
            cur_next(&c);
            out->has_errors |= in_group || !p.words.n;
            if (has_groups && !in_group)
                push(a, out, (struct address){.name = arena_dup(a, buf_str(&p.words)),
                                              .kind = ADDRESS_GROUP_START});
            in_group = true;
            buf_reset(&p.words);
            buf_reset(&p.joined);
        } else if (ch == '<' || ch == '@') {
            take_mailbox_rest(&c, a, &p, out);
        } else if (ch == '"') {
            AUTO_BUF word = BUF_LIMIT(65536);

            out->has_errors |= !take_quoted(&c, &word);
            add_word(&p, buf_str(&word), false);
        } else {
            struct str word = cur_while(&c, is_dot_atom_char);

            if (word.n) {
                add_word(&p, word, word.p[0] == '.');
            } else {
                out->has_errors = out->is_guessed = true;
                cur_next(&c);
            }
        }
    }
    finish(a, &p, out);
    out->has_errors |= in_group;
    out->is_guessed |= cur_left(&c) > 0;
    if (has_groups && in_group) // in any case, even past the limit: a start has its end
        *ARENA_PUSH(a, out->items, &out->n, &out->cap) = (struct address){.kind = ADDRESS_GROUP_END};
    buf_fini(&p.words);
    buf_fini(&p.joined);
}

void address_parse_list(struct arena *a, struct str text, struct address_list *out)
{
    parse_list(a, text, false, out);
}

void address_parse_groups(struct arena *a, struct str text, struct address_list *out)
{
    parse_list(a, text, true, out);
}

bool address_parse_spec(struct arena *a, struct str text, struct address *out)
{
    struct cur c = cur_of(text);
    AUTO_BUF local = BUF_LIMIT(1024);
    bool has_errors = false;

    *out = (struct address){0};
    if (cur_peek(&c) == '"') {
        has_errors = !take_quoted(&c, &local);
    } else {
        struct str word = cur_while(&c, is_dot_atom_char);

        has_errors = !word.n || word.p[0] == '.' || word.p[word.n - 1] == '.' ||
                     str_find_str(word, STR("..")) != STR_NONE;
        buf_put(&local, word);
    }
    if (has_errors || local.full || !cur_skip(&c, '@') || cur_peek(&c) <= ' ')
        return false;
    out->localpart = arena_dup(a, buf_str(&local));
    out->domain = take_domain(&c, a, &has_errors);
    return !has_errors && !cur_left(&c);
}

void address_put_localpart(struct buf *out, struct str localpart)
{
    bool is_dot_atom = localpart.n && localpart.p[0] != '.' && localpart.p[localpart.n - 1] != '.' &&
                       str_find_str(localpart, STR("..")) == STR_NONE;

    for (size_t i = 0; i < localpart.n; i++)
        is_dot_atom &= is_dot_atom_char((unsigned char)localpart.p[i]);
    if (is_dot_atom) {
        buf_put(out, localpart);
        return;
    }
    buf_put_char(out, '"');
    for (size_t i = 0; i < localpart.n; i++) {
        char c = localpart.p[i];

        if (c == '"' || c == '\\')
            buf_put_char(out, '\\');
        if ((unsigned char)c >= ' ' && c != 127)
            buf_put_char(out, c);
    }
    buf_put_char(out, '"');
}
