#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/regex.h"

#include <pcre2.h>
#include <stdlib.h>

#include "base/arena.h"

// Steps, and KiB of memory for going back.
enum { MATCH_STEPS = 100000, MATCH_DEPTH = 1000, MATCH_HEAP_KIB = 1024 };

static pcre2_code *compile(struct str pattern, struct err *e)
{
    int code;
    PCRE2_SIZE at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)(pattern.n ? pattern.p : ""), pattern.n,
                                   PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);

    if (!re) {
        PCRE2_UCHAR text[128];

        pcre2_get_error_message(code, text, sizeof text);
        (void)fail(e, ERR_SYNTAX, "%s at position %zu", (const char *)text, (size_t)at);
    }
    return re;
}

bool regex_check(struct str pattern, struct err *e)
{
    pcre2_code *re = compile(pattern, e);

    pcre2_code_free(re);
    return re;
}

struct regex {
    pcre2_code *code;
    pcre2_match_context *limits;
};

struct regex *regex_new(struct str pattern, struct err *e)
{
    pcre2_code *code = compile(pattern, e);
    struct regex *r;

    if (!code)
        return NULL;
    r = heap_alloc(sizeof *r);
    r->code = code;
    r->limits = pcre2_match_context_create(NULL);
    if (r->limits) {
        pcre2_set_match_limit(r->limits, MATCH_STEPS);
        pcre2_set_depth_limit(r->limits, MATCH_DEPTH);
        pcre2_set_heap_limit(r->limits, MATCH_HEAP_KIB);
    }
    return r;
}

void regex_free(struct regex *r)
{
    if (!r)
        return;
    pcre2_match_context_free(r->limits);
    pcre2_code_free(r->code);
    free(r);
}

bool regex_finds(const struct regex *r, struct str text)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    bool is_found = r->limits && data &&
                    pcre2_match(r->code, (PCRE2_SPTR)(text.n ? text.p : ""), text.n, 0, 0, data,
                                r->limits) >= 0;

    pcre2_match_data_free(data);
    return is_found;
}
