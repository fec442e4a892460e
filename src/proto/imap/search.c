/*
 * The arguments of SEARCH (RFC 9051 6.4.4, RFC 7162 3.1.5, RFC 8474, RFC 8514).
 */
#include "proto/imap/imap.h"
#include "text/date.h"

struct search_parser {
    struct imap_parser *p;
    struct imap_search *out;
    unsigned n_keys;
};

static bool key_list(struct search_parser *s, unsigned depth, struct imap_search_key **out);

enum argument { ARG_NONE, ARG_STRING, ARG_KEYWORD, ARG_DATE, ARG_NUMBER, ARG_HEADER, ARG_UID_SET,
                ARG_MODSEQ, ARG_KEY, ARG_TWO_KEYS };
struct key_rule {
    struct str name;
    enum imap_search_op op;
    enum argument argument;
    struct str value; // flag, or header field
};
static const struct key_rule rules[] = {
    {STR_("ALL"), SEARCH_ALL, ARG_NONE, STR_("")},
    {STR_("ANSWERED"), SEARCH_FLAG, ARG_NONE, STR_("\\Answered")},
    {STR_("BCC"), SEARCH_HEADER, ARG_STRING, STR_("Bcc")},
    {STR_("BEFORE"), SEARCH_BEFORE, ARG_DATE, STR_("")},
    {STR_("BODY"), SEARCH_BODY, ARG_STRING, STR_("")},
    {STR_("CC"), SEARCH_HEADER, ARG_STRING, STR_("Cc")},
    {STR_("DELETED"), SEARCH_FLAG, ARG_NONE, STR_("\\Deleted")},
    {STR_("DRAFT"), SEARCH_FLAG, ARG_NONE, STR_("\\Draft")},
    {STR_("EMAILID"), SEARCH_EMAILID, ARG_STRING, STR_("")},
    {STR_("FLAGGED"), SEARCH_FLAG, ARG_NONE, STR_("\\Flagged")},
    {STR_("FROM"), SEARCH_HEADER, ARG_STRING, STR_("From")},
    {STR_("HEADER"), SEARCH_HEADER, ARG_HEADER, STR_("")},
    {STR_("KEYWORD"), SEARCH_KEYWORD, ARG_KEYWORD, STR_("")},
    {STR_("LARGER"), SEARCH_LARGER, ARG_NUMBER, STR_("")},
    {STR_("MODSEQ"), SEARCH_MODSEQ, ARG_MODSEQ, STR_("")},
    // RFC 9051 has no \Recent; nothing is new, and everything is old.
    {STR_("NEW"), SEARCH_NONE, ARG_NONE, STR_("")},
    {STR_("NOT"), SEARCH_NOT, ARG_KEY, STR_("")},
    {STR_("OLD"), SEARCH_ALL, ARG_NONE, STR_("")},
    {STR_("ON"), SEARCH_ON, ARG_DATE, STR_("")},
    {STR_("OR"), SEARCH_OR, ARG_TWO_KEYS, STR_("")},
    {STR_("RECENT"), SEARCH_NONE, ARG_NONE, STR_("")},
    {STR_("SAVEDATESUPPORTED"), SEARCH_ALL, ARG_NONE, STR_("")}, // each message has one
    {STR_("SAVEDBEFORE"), SEARCH_SAVEDBEFORE, ARG_DATE, STR_("")},
    {STR_("SAVEDON"), SEARCH_SAVEDON, ARG_DATE, STR_("")},
    {STR_("SAVEDSINCE"), SEARCH_SAVEDSINCE, ARG_DATE, STR_("")},
    {STR_("SEEN"), SEARCH_FLAG, ARG_NONE, STR_("\\Seen")},
    {STR_("SENTBEFORE"), SEARCH_SENTBEFORE, ARG_DATE, STR_("")},
    {STR_("SENTON"), SEARCH_SENTON, ARG_DATE, STR_("")},
    {STR_("SENTSINCE"), SEARCH_SENTSINCE, ARG_DATE, STR_("")},
    {STR_("SINCE"), SEARCH_SINCE, ARG_DATE, STR_("")},
    {STR_("SMALLER"), SEARCH_SMALLER, ARG_NUMBER, STR_("")},
    {STR_("SUBJECT"), SEARCH_HEADER, ARG_STRING, STR_("Subject")},
    {STR_("TEXT"), SEARCH_TEXT, ARG_STRING, STR_("")},
    {STR_("THREADID"), SEARCH_THREADID, ARG_STRING, STR_("")},
    {STR_("TO"), SEARCH_HEADER, ARG_STRING, STR_("To")},
    {STR_("UID"), SEARCH_UID, ARG_UID_SET, STR_("")},
    {STR_("UNANSWERED"), SEARCH_NOT_FLAG, ARG_NONE, STR_("\\Answered")},
    {STR_("UNDELETED"), SEARCH_NOT_FLAG, ARG_NONE, STR_("\\Deleted")},
    {STR_("UNDRAFT"), SEARCH_NOT_FLAG, ARG_NONE, STR_("\\Draft")},
    {STR_("UNFLAGGED"), SEARCH_NOT_FLAG, ARG_NONE, STR_("\\Flagged")},
    {STR_("UNKEYWORD"), SEARCH_NOT_KEYWORD, ARG_KEYWORD, STR_("")},
    {STR_("UNSEEN"), SEARCH_NOT_FLAG, ARG_NONE, STR_("\\Seen")},
};

static bool one_key(struct search_parser *s, unsigned depth, struct imap_search_key **out);

/* date, quoted or not: "1-Feb-1994". */
static bool date(struct imap_parser *p, int64_t *out)
{
    struct str text;

    if (!imap_astring(p, &text))
        return false;
    return date_parse_imap_day(text, out) || fail(p->e, ERR_SYNTAX, "bad date");
}

/* RFC 7162 3.1.5: an entry name and type, which change nothing, and a number. */
static bool modseq(struct search_parser *s, uint64_t *out)
{
    struct imap_parser *p = s->p;
    struct str ignored;

    s->out->has_modseq = true;
    if (imap_is_next(p, '"') && (!imap_string(p, &ignored) || !imap_space(p) ||
                                 !imap_word(p, &ignored) || !imap_space(p)))
        return false;
    return imap_number(p, INT64_MAX, out);
}

static bool argument(struct search_parser *s, const struct key_rule *rule, unsigned depth,
                     struct imap_search_key *key)
{
    struct imap_parser *p = s->p;

    if (rule->argument != ARG_NONE && !imap_space(p))
        return false;
    switch (rule->argument) {
    case ARG_NONE:
        return true;
    case ARG_STRING:
        return imap_astring(p, &key->value);
    case ARG_KEYWORD:
        return imap_atom(p, &key->value);
    case ARG_DATE:
        return date(p, &key->day);
    case ARG_NUMBER:
        return imap_number(p, INT64_MAX, &key->number);
    case ARG_HEADER:
        return imap_astring(p, &key->name) && imap_space(p) && imap_astring(p, &key->value);
    case ARG_UID_SET:
        return imap_sequence_set(p, &key->set);
    case ARG_MODSEQ:
        return modseq(s, &key->number);
    case ARG_KEY:
        return one_key(s, depth + 1, &key->child);
    case ARG_TWO_KEYS:
        return one_key(s, depth + 1, &key->child) && imap_space(p) &&
               one_key(s, depth + 1, &key->child->next);
    }
    return false;
}

static bool one_key(struct search_parser *s, unsigned depth, struct imap_search_key **out)
{
    struct imap_parser *p = s->p;
    struct imap_search_key *key = ARENA_NEW(p->a, struct imap_search_key);
    int next = cur_peek(&p->c);
    struct str word;

    *out = key;
    if (depth > IMAP_MAX_SEARCH_DEPTH || ++s->n_keys > IMAP_MAX_SEARCH_KEYS)
        return fail(p->e, ERR_LIMIT, "the search is too complex");
    if (cur_skip(&p->c, '(')) {
        key->op = SEARCH_AND;
        return key_list(s, depth + 1, &key->child) && imap_close(p);
    }
    if ((next >= '0' && next <= '9') || next == '*' || next == '$') {
        key->op = SEARCH_SEQUENCE;
        s->out->has_numbers |= next != '$';
        return imap_sequence_set(p, &key->set);
    }
    if (!imap_word(p, &word))
        return false;
    for (size_t i = 0; i < COUNT(rules); i++)
        if (str_eq(word, rules[i].name)) {
            key->op = rules[i].op;
            key->name = rules[i].value;
            return argument(s, &rules[i], depth, key);
        }
    return fail(p->e, ERR_SYNTAX, "unknown search key");
}

static bool key_list(struct search_parser *s, unsigned depth, struct imap_search_key **out)
{
    do {
        if (!one_key(s, depth, out))
            return false;
        out = &(*out)->next;
    } while (cur_skip(&s->p->c, ' '));
    return true;
}

static bool return_options(struct imap_parser *p, struct imap_search *out)
{
    static const struct {
        struct str name;
        unsigned bit;
    } options[] = {{STR_("MIN"), RETURN_MIN}, {STR_("MAX"), RETURN_MAX}, {STR_("ALL"), RETURN_ALL},
                   {STR_("COUNT"), RETURN_COUNT}, {STR_("SAVE"), RETURN_SAVE}};

    out->has_return = true;
    if (!imap_space(p) || !imap_open(p))
        return false;
    while (!cur_skip(&p->c, ')')) {
        struct str word;
        bool is_known = false;

        if ((out->returns && !imap_space(p)) || !imap_word(p, &word))
            return false;
        for (size_t i = 0; i < COUNT(options); i++)
            if (str_eq(word, options[i].name)) {
                out->returns |= options[i].bit;
                is_known = true;
            }
        if (!is_known)
            return fail(p->e, ERR_SYNTAX, "unknown return option");
    }
    return imap_space(p);
}

bool imap_search_arguments(struct imap_parser *p, struct imap_search *out)
{
    struct search_parser s = {.p = p, .out = out};
    struct str charset;

    *out = (struct imap_search){.key = ARENA_NEW(p->a, struct imap_search_key)};
    out->key->op = SEARCH_AND;
    if (imap_skip_word(p, STR("RETURN")) && !return_options(p, out))
        return false;
    if (out->has_return && !out->returns)
        out->returns = RETURN_ALL;
    if (imap_skip_word(p, STR("CHARSET"))) {
        if (!imap_space(p) || !imap_astring(p, &charset) || !imap_space(p))
            return false;
        out->has_bad_charset = !str_eq_ci(charset, STR("UTF-8")) &&
                               !str_eq_ci(charset, STR("US-ASCII"));
    }
    return key_list(&s, 0, &out->key->child) && imap_end(p);
}
