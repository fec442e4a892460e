#include "text/idna.h"

#include <idn2.h>
#include <stdlib.h>
#include <uninorm.h>

#include "text/encode.h"

enum { DOMAIN_MAX = 255, LABEL_MAX = 63 };

static bool is_ascii_name(struct str s)
{
    struct str rest = s, label;

    if (!s.n || s.n > DOMAIN_MAX)
        return false;
    for (bool more = true; more;) {
        more = str_cut(rest, '.', &label, &rest);
        if (!more)
            label = rest;
        if (!label.n || label.n > LABEL_MAX || label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
        for (size_t i = 0; i < label.n; i++)
            if (!ascii_is_alnum(label.p[i]) && label.p[i] != '-' && label.p[i] != '_')
                return false;
    }
    return true;
}

bool domain_to_ascii(struct arena *a, struct str domain, struct str *out, struct err *e)
{
    const char *text = arena_cstring(a, domain);
    char *ascii = NULL;

    if (!text || domain.n > 4 * DOMAIN_MAX || !utf8_is_valid(domain))
        return fail(e, ERR_SYNTAX, "not a domain name");
    if (str_is_ascii(domain)) {
        *out = arena_lower(a, domain);
    } else {
        if (idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
            return fail(e, ERR_SYNTAX, "not an internationalized domain name");
        *out = arena_dup(a, str_of(ascii));
        free(ascii);
    }
    if (!is_ascii_name(*out))
        return fail(e, ERR_SYNTAX, "not a domain name");
    return true;
}

bool domain_to_unicode(struct arena *a, struct str domain, struct str *out, struct err *e)
{
    struct str ascii;
    char *text = NULL;

    if (!domain_to_ascii(a, domain, &ascii, e))
        return false;
    if (idn2_to_unicode_8z8z(arena_cstring(a, ascii), &text, IDN2_NONTRANSITIONAL) != IDN2_OK)
        return fail(e, ERR_SYNTAX, "not an internationalized domain name");
    *out = arena_dup(a, str_of(text));
    free(text);
    return true;
}

struct str text_nfc(struct arena *a, struct str s)
{
    uint8_t *got;
    size_t n = 0;
    struct str out;

    if (str_is_ascii(s) || !utf8_is_valid(s))
        return s;
    got = u8_normalize(UNINORM_NFC, (const uint8_t *)s.p, s.n, NULL, &n);
    if (!got)
        return s;
    out = arena_dup(a, str_at(got, n));
    free(got);
    return out;
}
