#include "policy/claims.h"

#include "message/header.h"
#include "policy/authres.h"

static bool is_key_char(unsigned char c)
{
    return c > ' ' && c < 127 && str_find(STR("()<>@,;:\\\"[]="), (char)c) < 0;
}

// A quoted-string or a word; empty for a character that begins neither, which is passed over.
static struct str take_word(struct arena *a, struct cur *c)
{
    AUTO_BUF text = BUF_LIMIT(AUTHRES_MAX_FIELD);
    struct str word = cur_while(c, is_key_char);
    int ch;

    if (word.n || cur_next(c) != '"')
        return word;
    while ((ch = cur_next(c)) >= 0 && ch != '"')
        buf_put_char(&text, (char)(ch == '\\' && cur_left(c) ? cur_next(c) : ch));
    return arena_dup(a, buf_str(&text));
}

/* key-value-list, RFC 7208 9.1: whether a pair says receiver=host. */
static bool is_received_by(struct str value, struct str host)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct cur c = cur_of(str_sub(value, 0, AUTHRES_MAX_FIELD));

    while (header_skip_cfws(&c), cur_left(&c)) {
        struct str key = take_word(&a, &c);

        header_skip_cfws(&c);
        if (!key.n || !cur_skip(&c, '='))
            continue;
        header_skip_cfws(&c);
        if (str_eq_ci(key, STR("receiver")) && str_eq_ci(take_word(&a, &c), host))
            return true;
    }
    return false;
}

// Names under which only mox itself says something (mox-smtp-delivery.md 1.12).
static bool is_ours(struct str name)
{
    static const char *const names[] = {"X-Mox-Reason", "X-Mox-DMARCReport-Error",
                                        "X-Mox-TLSReport-Error", "X-Mox-Malformed"};

    for (size_t i = 0; i < COUNT(names); i++)
        if (str_eq_ci(name, str_of(names[i])))
            return true;
    return false;
}

static bool is_claim(struct str raw, struct str host)
{
    struct str name, value;

    if (!str_cut(raw, ':', &name, &value))
        return false;
    name = str_trim(name);
    if (str_eq_ci(name, STR("Authentication-Results")))
        return authres_claims_host(value, host);
    if (str_eq_ci(name, STR("Received-SPF")))
        return is_received_by(value, host);
    return is_ours(name);
}

size_t claims_find(struct arena *a, struct str header, struct str host, struct claim **out)
{
    struct cur c = cur_of(header);
    size_t n = 0, cap = 0;

    *out = NULL;
    while (cur_left(&c)) {
        size_t start = header.n - cur_left(&c);
        struct str raw = header_take_folded(&c);

        if (is_claim(raw, host))
            *ARENA_PUSH(a, *out, &n, &cap) = (struct claim){start, raw.n};
    }
    return n;
}
