#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/regex.h"

#include <pcre2.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/cur.h"

// Steps, and KiB of memory for going back.
enum { MATCH_STEPS = 100000, MATCH_DEPTH = 1000, MATCH_HEAP_KIB = 1024 };

static pcre2_code *compile(struct str pattern, struct err *e)
{
    int code;
    PCRE2_SIZE at;
    // As in RE2, whose syntax it is, '$' is the end, and not a line feed before it.
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)(pattern.n ? pattern.p : ""), pattern.n,
                                   PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);

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

// From position `from` on; the groups are in data.
static bool match(const struct regex *r, struct str text, size_t from, pcre2_match_data *data)
{
    return r->limits && data &&
           pcre2_match(r->code, (PCRE2_SPTR)(text.n ? text.p : ""), text.n, from, 0, data,
                       r->limits) >= 0;
}

bool regex_finds(const struct regex *r, struct str text)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    bool is_found = match(r, text, 0, data);

    pcre2_match_data_free(data);
    return is_found;
}

bool regex_find(const struct regex *r, struct str text, size_t *begin, size_t *end)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    bool is_found = match(r, text, 0, data);

    if (is_found) {
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);

        // \K in a lookahead may put the begin behind the end.
        is_found = at[0] <= at[1];
        *begin = at[0];
        *end = at[1];
    }
    pcre2_match_data_free(data);
    return is_found;
}

static bool is_group_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || c == '_';
}

// By number or by name.
static void put_group(const struct regex *r, pcre2_match_data *data, struct str text, struct str group,
                      struct buf *out)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
    uint64_t number;
    char name[33];

    if (!str_u64(group, 9999, &number)) {
        int rc;

        if (!group.n || group.n >= sizeof name)
            return;
        for (size_t i = 0; i < group.n; i++)
            name[i] = group.p[i];
        name[group.n] = 0;
        rc = pcre2_substring_number_from_name(r->code, (PCRE2_SPTR)name);
        if (rc < 0)
            return;
        number = (uint64_t)rc;
    }
    if (number < pcre2_get_ovector_count(data) && at[2 * number] != PCRE2_UNSET &&
        at[2 * number] <= at[2 * number + 1])
        buf_put(out, str_sub(text, at[2 * number], at[2 * number + 1] - at[2 * number]));
}

static void put_replacement(const struct regex *r, pcre2_match_data *data, struct str text,
                            struct str replacement, struct buf *out)
{
    struct cur c = cur_of(replacement);

    while (cur_left(&c)) {
        struct cur after;
        struct str group;

        if (!cur_skip(&c, '$')) {
            buf_put_char(out, (char)cur_next(&c));
            continue;
        }
        after = c;
        if (cur_skip(&c, '$')) {
            buf_put_char(out, '$');
        } else if (cur_skip(&after, '{')) {
            group = cur_while(&after, is_group_char);
            if (group.n && cur_skip(&after, '}')) {
                put_group(r, data, text, group, out);
                c = after;
            } else {
                buf_put_char(out, '$');
            }
        } else if ((group = cur_while(&c, is_group_char)).n) {
            put_group(r, data, text, group, out);
        } else {
            buf_put_char(out, '$');
        }
    }
}

// Past a character, not into it.
static size_t next_character(struct str text, size_t at)
{
    for (at++; at < text.n && ((unsigned char)text.p[at] & 0xc0) == 0x80; at++)
        ;
    return at;
}

bool regex_replace(const struct regex *r, struct str text, struct str replacement, struct buf *out)
{
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(r->code, NULL);
    size_t from = 0, copied = 0;
    bool is_found = false;

    while (from <= text.n && !out->full && match(r, text, from, data)) {
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);

        if (at[0] > at[1] || at[0] < copied) // \K in a lookaround
            break;
        is_found = true;
        buf_put(out, str_sub(text, copied, at[0] - copied));
        put_replacement(r, data, text, replacement, out);
        copied = at[1];
        from = at[1] > at[0] ? at[1] : next_character(text, at[1]);
    }
    if (is_found)
        buf_put(out, str_from(text, copied));
    pcre2_match_data_free(data);
    return is_found;
}
