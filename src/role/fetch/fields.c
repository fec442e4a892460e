#include "base/cur.h"
#include "role/fetch/https.h"

bool https_is_value(struct str value)
{
    for (size_t i = 0; i < value.n; i++)
        if ((unsigned char)value.p[i] < ' ' && value.p[i] != '\t')
            return false;
    return value.n <= HTTPS_MAX_FIELD;
}

static bool is_token_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || (c && str_find(STR("!#$%&'*+-.^_`|~"), (char)c) >= 0); // RFC 9110 5.6.2
}

bool https_check_fields(struct str fields, struct err *e)
{
    struct str line, rest = fields;

    while (str_next(&rest, '\n', &line)) {
        struct cur c = cur_of(line);

        if (!cur_while(&c, is_token_char).n || !cur_skip(&c, ':') || !https_is_value(cur_rest(&c)))
            return fail(e, ERR_SYNTAX, "no field of a request");
    }
    return true;
}
