/*
 * The arguments of FETCH (RFC 9051 6.4.5).
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

static bool section(struct imap_parser *p, struct imap_fetch_item *item)
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
    return section_text(p, item) &&
           (cur_skip(&p->c, ']') || fail(p->e, ERR_SYNTAX, "\"]\" expected"));
}

static bool partial(struct imap_parser *p, struct imap_fetch_item *item)
{
    if (!cur_skip(&p->c, '<'))
        return true;
    item->has_partial = true;
    if (!imap_number(p, UINT32_MAX, &item->offset) || !cur_skip(&p->c, '.') ||
        !imap_number(p, UINT32_MAX, &item->count) || !item->count || !cur_skip(&p->c, '>'))
        return fail(p->e, ERR_SYNTAX, "bad partial range");
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
    };
    struct str word;

    if (out->n >= IMAP_MAX_FETCH_ITEMS)
        return fail(p->e, ERR_LIMIT, "too many items to fetch");
    if (!imap_word(p, &word))
        return false;
    if (str_eq(word, STR("BODY")) || str_eq(word, STR("BODY.PEEK"))) {
        struct imap_fetch_item *item;

        if (!cur_skip(&p->c, '[')) {
            add(p, out, FETCH_BODY);
            return word.n == 4 || fail(p->e, ERR_SYNTAX, "\"[\" expected");
        }
        item = add(p, out, FETCH_SECTION);
        item->is_peek = word.n > 4;
        return section(p, item) && partial(p, item);
    }
    for (size_t i = 0; i < COUNT(simple); i++)
        if (str_eq(word, simple[i].name)) {
            add(p, out, simple[i].kind);
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

/* RFC 7162 3.1.4. */
static bool modifiers(struct imap_parser *p, struct imap_fetch *out)
{
    if (!imap_open(p))
        return false;
    do {
        if (!imap_skip_word(p, STR("CHANGEDSINCE")) || out->has_changed_since)
            return fail(p->e, ERR_SYNTAX, "unknown modifier");
        if (!imap_space(p) || !imap_number(p, INT64_MAX, &out->changed_since))
            return false;
        out->has_changed_since = true;
    } while (cur_skip(&p->c, ' '));
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

void imap_fetch_name_put(struct buf *out, const struct imap_fetch_item *item)
{
    static const struct str names[] = {
        [SECTION_ALL] = STR_(""),           [SECTION_HEADER] = STR_("HEADER"),
        [SECTION_FIELDS] = STR_("HEADER.FIELDS"), [SECTION_FIELDS_NOT] = STR_("HEADER.FIELDS.NOT"),
        [SECTION_TEXT] = STR_("TEXT"),      [SECTION_MIME] = STR_("MIME"),
    };

    BUF_PUT(out, "BODY[");
    for (size_t i = 0; i < item->n_part; i++)
        buf_printf(out, i ? ".%u" : "%u", item->part[i]);
    if (item->n_part && item->text != SECTION_ALL)
        BUF_PUT(out, ".");
    buf_put(out, names[item->text]);
    for (size_t i = 0; i < item->fields.n; i++) {
        buf_put(out, i ? STR(" ") : STR(" ("));
        imap_string_put(out, item->fields.items[i]);
    }
    if (item->fields.n)
        BUF_PUT(out, ")");
    BUF_PUT(out, "]");
    if (item->has_partial)
        buf_printf(out, "<%llu>", (unsigned long long)item->offset);
}
