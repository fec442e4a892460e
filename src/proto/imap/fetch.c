/*
 * The arguments of FETCH (RFC 9051 6.4.5, RFC 3516, RFC 8474, RFC 8514, RFC 8970).
 */
#include "proto/imap/imap.h"
#include "proto/imap/structure.h"

static struct imap_fetch_item *add(struct imap_parser *p, struct imap_fetch *out,
                                   enum imap_fetch_kind kind)
{
    struct imap_fetch_item *item = ARENA_PUSH(p->a, out->items, &out->n, &out->cap);

    item->kind = kind;
    return item;
}

static bool header_list(struct imap_parser *p, struct imap_words *out)
{
    if (!imap_space(p) || !imap_open(p))
        return false;
    do {
        struct str name;

        if (out->n >= IMAP_MAX_LIST)
            return fail(p->e, ERR_LIMIT, "too many header fields");
        if (!imap_astring(p, &name))
            return false;
        *ARENA_PUSH(p->a, out->items, &out->n, &out->cap) = name;
    } while (cur_skip(&p->c, ' '));
    return imap_close(p);
}

static bool section_text(struct imap_parser *p, struct imap_fetch_item *item)
{
    if (imap_skip_word(p, STR("HEADER.FIELDS.NOT"))) {
        item->text = SECTION_FIELDS_NOT;
        return header_list(p, &item->fields);
    }
    if (imap_skip_word(p, STR("HEADER.FIELDS"))) {
        item->text = SECTION_FIELDS;
        return header_list(p, &item->fields);
    }
    if (imap_skip_word(p, STR("HEADER")))
        item->text = SECTION_HEADER;
    else if (imap_skip_word(p, STR("TEXT")))
        item->text = SECTION_TEXT;
    else if (item->n_part && imap_skip_word(p, STR("MIME")))
        item->text = SECTION_MIME;
    else
        return fail(p->e, ERR_SYNTAX, "unknown section");
    return true;
}

// section-part, and what follows the numbers: section-text only where it is allowed.
static bool section(struct imap_parser *p, struct imap_fetch_item *item, bool has_text)
{
    uint64_t number;

    if (cur_skip(&p->c, ']'))
        return true;
    item->part = ARENA_ARRAY(p->a, IMAP_MAX_PART_DEPTH, uint32_t);
    while (cur_peek(&p->c) >= '0' && cur_peek(&p->c) <= '9') {
        if (item->n_part == IMAP_MAX_PART_DEPTH)
            return fail(p->e, ERR_LIMIT, "part number is too deep");
        if (!imap_number(p, UINT32_MAX, &number) || !number)
            return fail(p->e, ERR_SYNTAX, "bad part number");
        item->part[item->n_part++] = (uint32_t)number;
        if (!cur_skip(&p->c, '.'))
            return cur_skip(&p->c, ']') || fail(p->e, ERR_SYNTAX, "\"]\" expected");
    }
    if (!has_text)
        return fail(p->e, ERR_SYNTAX, "part number expected");
    return section_text(p, item) &&
           (cur_skip(&p->c, ']') || fail(p->e, ERR_SYNTAX, "\"]\" expected"));
}

static bool partial(struct imap_parser *p, struct imap_fetch_item *item)
{
    if (!cur_skip(&p->c, '<'))
        return true;
    item->has_partial = true;
    if (!imap_number(p, INT64_MAX, &item->offset) || !cur_skip(&p->c, '.') ||
        !imap_number(p, INT64_MAX, &item->count) || !item->count || !cur_skip(&p->c, '>'))
        return fail(p->e, ERR_SYNTAX, "bad partial range");
    return true;
}

// BODY and BODY.PEEK, with a section or without.
static bool body_att(struct imap_parser *p, struct imap_fetch *out, bool is_peek)
{
    struct imap_fetch_item *item;

    if (!cur_skip(&p->c, '[')) {
        add(p, out, FETCH_BODY);
        return !is_peek || fail(p->e, ERR_SYNTAX, "\"[\" expected");
    }
    item = add(p, out, FETCH_SECTION);
    item->is_peek = is_peek;
    if (!section(p, item, true) || !partial(p, item))
        return false;
    out->n_costly += item->fields.n > 0;
    return true;
}

/* RFC 3516 4.2, 4.3; RFC 9051 6.4.5. */
static bool binary_att(struct imap_parser *p, struct imap_fetch *out, enum imap_fetch_kind kind,
                       bool is_peek)
{
    struct imap_fetch_item *item = add(p, out, kind);

    item->is_peek = is_peek;
    if (!cur_skip(&p->c, '['))
        return fail(p->e, ERR_SYNTAX, "\"[\" expected");
    if (!section(p, item, false) || (kind == FETCH_BINARY && !partial(p, item)))
        return false;
    out->n_costly += kind == FETCH_BINARY_SIZE || item->has_partial;
    return true;
}

static bool fetch_att(struct imap_parser *p, struct imap_fetch *out)
{
    static const struct {
        struct str name;
        enum imap_fetch_kind kind;
    } simple[] = {
        {STR_("ENVELOPE"), FETCH_ENVELOPE},           {STR_("FLAGS"), FETCH_FLAGS},
        {STR_("INTERNALDATE"), FETCH_INTERNALDATE},   {STR_("RFC822.SIZE"), FETCH_SIZE},
        {STR_("BODYSTRUCTURE"), FETCH_BODYSTRUCTURE}, {STR_("UID"), FETCH_UID},
        {STR_("MODSEQ"), FETCH_MODSEQ},               {STR_("RFC822"), FETCH_RFC822},
        {STR_("RFC822.HEADER"), FETCH_RFC822_HEADER}, {STR_("RFC822.TEXT"), FETCH_RFC822_TEXT},
        {STR_("PREVIEW"), FETCH_PREVIEW},             {STR_("SAVEDATE"), FETCH_SAVEDATE},
        {STR_("EMAILID"), FETCH_EMAILID},             {STR_("THREADID"), FETCH_THREADID},
    };
    struct str word;

    if (out->n >= IMAP_MAX_FETCH_ITEMS || out->n_costly > IMAP_MAX_COSTLY_ITEMS)
        return fail(p->e, ERR_LIMIT, "too many items to fetch");
    if (!imap_word(p, &word))
        return false;
    if (str_eq(word, STR("BODY")) || str_eq(word, STR("BODY.PEEK")))
        return body_att(p, out, word.n > 4);
    if (str_eq(word, STR("BINARY")) || str_eq(word, STR("BINARY.PEEK")))
        return binary_att(p, out, FETCH_BINARY, word.n > 6);
    if (str_eq(word, STR("BINARY.SIZE")))
        return binary_att(p, out, FETCH_BINARY_SIZE, true);
    for (size_t i = 0; i < COUNT(simple); i++)
        if (str_eq(word, simple[i].name)) {
            add(p, out, simple[i].kind);
            // RFC 8970 4.1: previews are made at delivery, so LAZY asks for no less.
            if (simple[i].kind == FETCH_PREVIEW)
                cur_skip_str_ci(&p->c, STR(" (LAZY)"));
            return true;
        }
    return fail(p->e, ERR_SYNTAX, "unknown item to fetch");
}

static bool macro(struct imap_parser *p, struct imap_fetch *out)
{
    bool is_all = imap_skip_word(p, STR("ALL")), is_full = !is_all && imap_skip_word(p, STR("FULL"));

    if (!is_all && !is_full && !imap_skip_word(p, STR("FAST")))
        return false;
    add(p, out, FETCH_FLAGS);
    add(p, out, FETCH_INTERNALDATE);
    add(p, out, FETCH_SIZE);
    if (is_all || is_full)
        add(p, out, FETCH_ENVELOPE);
    if (is_full)
        add(p, out, FETCH_BODY);
    return true;
}

/* RFC 7162 3.1.4, 3.2.6. */
static bool modifiers(struct imap_parser *p, struct imap_fetch *out)
{
    if (!imap_open(p))
        return false;
    do {
        if (imap_skip_word(p, STR("VANISHED")) && !out->has_vanished) {
            out->has_vanished = true;
        } else if (imap_skip_word(p, STR("CHANGEDSINCE")) && !out->has_changed_since) {
            if (!imap_space(p) || !imap_number(p, INT64_MAX, &out->changed_since))
                return false;
            out->has_changed_since = true;
        } else {
            return fail(p->e, ERR_SYNTAX, "unknown modifier");
        }
    } while (cur_skip(&p->c, ' '));
    if (out->has_vanished && !out->has_changed_since)
        return fail(p->e, ERR_SYNTAX, "VANISHED needs CHANGEDSINCE");
    return imap_close(p);
}

bool imap_fetch_arguments(struct imap_parser *p, struct imap_fetch *out)
{
    *out = (struct imap_fetch){0};
    if (cur_skip(&p->c, '(')) {
        do {
            if (!fetch_att(p, out))
                return false;
        } while (cur_skip(&p->c, ' '));
        if (!imap_close(p))
            return false;
    } else if (!macro(p, out) && !fetch_att(p, out)) {
        return false;
    }
    if (cur_skip(&p->c, ' ') && !modifiers(p, out))
        return false;
    return imap_end(p);
}

// As an atom where it can be one: that is what clients compare with.
static void put_field_name(struct buf *out, struct str name)
{
    bool is_atom = name.n > 0;

    for (size_t i = 0; i < name.n; i++)
        is_atom &= ascii_is_alnum(name.p[i]) || name.p[i] == '-' || name.p[i] == '_';
    if (is_atom)
        buf_put(out, name);
    else
        imap_string_put(out, name);
}

void imap_fetch_name_put(struct buf *out, const struct imap_fetch_item *item)
{
    static const struct str names[] = {
        [SECTION_ALL] = STR_(""),           [SECTION_HEADER] = STR_("HEADER"),
        [SECTION_FIELDS] = STR_("HEADER.FIELDS"), [SECTION_FIELDS_NOT] = STR_("HEADER.FIELDS.NOT"),
        [SECTION_TEXT] = STR_("TEXT"),      [SECTION_MIME] = STR_("MIME"),
    };

    buf_put(out, item->kind == FETCH_BINARY        ? STR("BINARY[")
                 : item->kind == FETCH_BINARY_SIZE ? STR("BINARY.SIZE[")
                                                   : STR("BODY["));
    for (size_t i = 0; i < item->n_part; i++)
        buf_printf(out, i ? ".%u" : "%u", item->part[i]);
    if (item->n_part && item->text != SECTION_ALL)
        BUF_PUT(out, ".");
    buf_put(out, names[item->text]);
    for (size_t i = 0; i < item->fields.n; i++) {
        buf_put(out, i ? STR(" ") : STR(" ("));
        put_field_name(out, item->fields.items[i]);
    }
    if (item->fields.n)
        BUF_PUT(out, ")");
    BUF_PUT(out, "]");
    if (item->has_partial)
        buf_printf(out, "<%llu>", (unsigned long long)item->offset);
}
