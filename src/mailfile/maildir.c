#include "base/cur.h"
#include "mailfile/mailfile.h"

const struct str maildir_own_keywords =
    STR_("0 $Forwarded\n1 $Junk\n2 $NotJunk\n3 $Phishing\n4 $MDNSent\n");

static const struct {
    char letter;
    uint32_t flag;
} letters[] = {{'D', FLAG_DRAFT}, {'F', FLAG_FLAGGED}, {'R', FLAG_ANSWERED}, {'S', FLAG_SEEN},
               {'T', FLAG_DELETED}},
  own[] = {{'a', FLAG_FORWARDED}, {'b', FLAG_JUNK}, {'c', FLAG_NOTJUNK}, {'d', FLAG_PHISHING},
           {'e', FLAG_MDNSENT}};

void maildir_keywords_parse(struct str text, struct maildir_keywords *out)
{
    struct cur c = cur_of(text);
    struct str line, index, name;
    uint64_t n;

    *out = (struct maildir_keywords){0};
    while (cur_line(&c, &line))
        if (str_cut(str_trim(line), ' ', &index, &name) &&
            str_u64(index, MAILDIR_MAX_KEYWORDS - 1, &n))
            out->names[n] = str_trim(name);
}

struct str maildir_name(struct arena *a, struct str name, const struct maildir_keywords *keywords,
                        struct mailfile_message *out)
{
    struct str unique, flags, first, rest, more;
    uint64_t received;

    if (!str_cut(name, ':', &unique, &flags)) {
        unique = name;
        flags = STR("");
    }
    // "<seconds>.<unique>.<host>"
    if (str_cut(unique, '.', &first, &rest) && str_cut(rest, '.', &rest, &more) &&
        str_u64(first, INT64_MAX, &received))
        out->received_unix = (int64_t)received;
    if (!str_starts(flags, STR("2,")))
        return unique;
    for (size_t i = 2; i < flags.n; i++) {
        char letter = flags.p[i];

        for (size_t k = 0; k < COUNT(letters); k++)
            if (letters[k].letter == letter)
                out->flags |= letters[k].flag;
        if (letter >= 'a' && letter <= 'z' && keywords->names[letter - 'a'].n)
            mailfile_keyword(a, out, keywords->names[letter - 'a']);
    }
    return unique;
}

void maildir_put_flags(struct buf *out, uint32_t flags)
{
    BUF_PUT(out, ":2,");
    for (size_t i = 0; i < COUNT(letters); i++)
        if (flags & letters[i].flag)
            buf_put_char(out, letters[i].letter);
    for (size_t i = 0; i < COUNT(own); i++)
        if (flags & own[i].flag)
            buf_put_char(out, own[i].letter);
}
