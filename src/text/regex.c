#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/regex.h"

#include <pcre2.h>

bool regex_check(struct str pattern, struct err *e)
{
    int code;
    PCRE2_SIZE at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)(pattern.n ? pattern.p : ""), pattern.n,
                                   PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);

    if (!re) {
        PCRE2_UCHAR text[128];

        pcre2_get_error_message(code, text, sizeof text);
        return fail(e, ERR_SYNTAX, "%s at position %zu", (const char *)text, (size_t)at);
    }
    pcre2_code_free(re);
    return true;
}
