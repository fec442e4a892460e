#include "policy/why.h"

static void put_clean(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        buf_put_char(out, (unsigned char)text.p[i] < 32 || text.p[i] == 127 ? ' ' : text.p[i]);
}

void why_put(struct buf *out, struct str check, struct str result, struct str evidence)
{
    put_clean(out, check);
    buf_put_char(out, '\t');
    put_clean(out, result);
    buf_put_char(out, '\t');
    put_clean(out, evidence);
    buf_put_char(out, '\n');
}

bool why_next(struct str *record, struct str *check, struct str *result, struct str *evidence)
{
    struct str line;

    if (!record->n)
        return false;
    if (!str_cut(*record, '\n', &line, record)) {
        line = *record;
        *record = (struct str){0};
    }
    *result = *evidence = (struct str){0};
    if (!str_cut(line, '\t', check, &line)) {
        *check = line;
    } else if (!str_cut(line, '\t', result, evidence)) {
        *result = line;
        *evidence = (struct str){0};
    }
    return true;
}
