#include "proto/smtp/smtp.h"

#include "base/cur.h"

enum { REPLY_WIDTH = 510, REPLY_CUT_FROM = 400 };

// Where to cut a line that is too long: at a space when there is one late enough.
static size_t cut_at(struct str text, size_t room)
{
    if (text.n <= room)
        return text.n;
    for (size_t i = room; i > REPLY_CUT_FROM; i--)
        if (text.p[i] == ' ')
            return i;
    return room;
}

bool smtp_is_enhanced(struct str text)
{
    uint64_t subject, detail;
    struct cur c = cur_of(text);
    int class = cur_next(&c);

    return text.n <= sizeof "5.999.999" - 1 && (class == '2' || class == '4' || class == '5') && cur_skip(&c, '.') &&
           cur_u64(&c, 999, &subject) && cur_skip(&c, '.') && cur_u64(&c, 999, &detail) && !cur_left(&c);
}

void smtp_reply_put(struct buf *out, unsigned code, struct str enhanced, struct str text)
{
    if (!smtp_is_enhanced(enhanced))
        enhanced = STR("");
    do {
        ptrdiff_t lf = str_find(text, '\n');
        struct str line = lf == STR_NONE ? text : str_sub(text, 0, (size_t)lf);
        size_t n = cut_at(line, REPLY_WIDTH - 5 - enhanced.n);

        line = str_sub(line, 0, n);
        text = str_from(text, n);
        if (text.n && (text.p[0] == '\n' || text.p[0] == ' '))
            text = str_from(text, 1);
        buf_printf(out, "%03u%c", code, text.n ? '-' : ' ');
        buf_put(out, enhanced);
        if (enhanced.n)
            buf_put_char(out, ' ');
        // Nothing from outside can end the line.
        for (size_t i = 0; i < line.n; i++)
            buf_put_char(out, (unsigned char)line.p[i] < 32 || line.p[i] == 127 ? '?' : line.p[i]);
        BUF_PUT(out, "\r\n");
    } while (text.n);
}
