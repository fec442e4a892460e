/*
 * Flags and keywords as text (mox-imap-store-cli-config.md 2.9).
 */
#include <string.h>

#include "store/store_priv.h"

static const struct {
    struct str name;
    uint32_t flag;
} flag_names[] = {
    {STR_("\\Seen"), FLAG_SEEN},         {STR_("\\Answered"), FLAG_ANSWERED},
    {STR_("\\Flagged"), FLAG_FLAGGED},   {STR_("\\Deleted"), FLAG_DELETED},
    {STR_("\\Draft"), FLAG_DRAFT},       {STR_("$Forwarded"), FLAG_FORWARDED},
    {STR_("$Junk"), FLAG_JUNK},          {STR_("$NotJunk"), FLAG_NOTJUNK},
    {STR_("$Phishing"), FLAG_PHISHING},  {STR_("$MDNSent"), FLAG_MDNSENT},
};

bool store_flag_parse(struct arena *a, struct str word, uint32_t *flags,
                      struct store_names *keywords, struct err *e)
{
    for (size_t i = 0; i < COUNT(flag_names); i++)
        if (str_eq_ci(word, flag_names[i].name)) {
            *flags |= flag_names[i].flag;
            return true;
        }
    if (!word.n || word.n > STORE_MAX_KEYWORD || word.p[0] == '\\')
        return fail(e, ERR_SYNTAX, "unknown flag");
    for (size_t i = 0; i < word.n; i++)
        if (word.p[i] <= 0x20 || word.p[i] >= 0x7f || memchr("(){%*\"\\]", word.p[i], 8))
            return fail(e, ERR_SYNTAX, "keyword with a forbidden character");
    if (keywords->n >= STORE_MAX_KEYWORDS)
        return fail(e, ERR_LIMIT, "more than %d keywords", STORE_MAX_KEYWORDS);
    *ARENA_PUSH(a, keywords->items, &keywords->n, &keywords->cap) = arena_lower(a, word);
    return true;
}

struct str store_keywords_join(struct arena *a, const struct store_names *names)
{
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    struct str last = {0};

    for (;;) { // a hundred words at most: picking the smallest each time is quick enough
        const struct str *next = NULL;

        for (size_t i = 0; i < names->n; i++)
            if ((!last.p || str_cmp(names->items[i], last) > 0) &&
                (!next || str_cmp(names->items[i], *next) < 0))
                next = &names->items[i];
        if (!next)
            return arena_dup(a, buf_str(&out));
        if (out.n)
            buf_put_char(&out, ' ');
        buf_put(&out, *next);
        last = *next;
    }
}

void store_flags_put(struct buf *out, uint32_t flags, struct str keywords)
{
    bool first = true;

    for (size_t i = 0; flags && i < COUNT(flag_names); i++)
        if (flags & flag_names[i].flag) {
            if (!first)
                buf_put_char(out, ' ');
            buf_put(out, flag_names[i].name);
            first = false;
        }
    if (keywords.n && !first)
        buf_put_char(out, ' ');
    buf_put(out, keywords);
}
