#include "policy/tlsrpt.h"

#include "base/cur.h"

static const struct str version = STR_("v=TLSRPTv1");

static bool is_tag_end(int c)
{
    return c < 0 || c == ';' || c == ' ' || c == '\t';
}

static bool is_record(struct str text)
{
    struct cur c = cur_of(text);

    return cur_skip_str(&c, version) && is_tag_end(cur_peek(&c));
}

bool tlsrpt_record_parse(struct arena *a, struct str text, struct tlsrpt_record *out,
                         struct err *e)
{
    struct str rest = text, field;

    *out = (struct tlsrpt_record){0};
    if (text.n > TLSRPT_MAX_RECORD)
        return fail(e, ERR_LIMIT, "longer than %d bytes", TLSRPT_MAX_RECORD);
    if (!is_record(text))
        return fail(e, ERR_SYNTAX, "not v=TLSRPTv1");
    rest = str_from(rest, version.n);
    if (str_trim(rest).n && str_trim(rest).p[0] != ';')
        return fail(e, ERR_SYNTAX, "after the version, \";\" expected");
    while (str_next(&rest, ';', &field)) {
        struct str name, value;
        struct report_uris uris;

        if (!str_trim(field).n)
            continue;
        if (!str_cut(field, '=', &name, &value))
            return fail(e, ERR_SYNTAX, "a field without a value");
        if (!str_eq(str_trim(name), STR("rua")))
            continue; // tlsrpt-extension
        report_uris_parse(a, str_trim(value), false, &uris);
        for (size_t i = 0; i < uris.n && out->rua.n < REPORT_MAX_URIS; i++)
            *ARENA_PUSH(a, out->rua.items, &out->rua.n, &out->rua.cap) = uris.items[i];
    }
    return out->rua.n || fail(e, ERR_SYNTAX, "no rua with an address");
}

void tlsrpt_record_put(struct buf *out, const struct tlsrpt_record *record)
{
    buf_put(out, version);
    BUF_PUT(out, "; rua=");
    report_uris_put(out, &record->rua);
}

bool tlsrpt_find(const struct dns *dns, struct arena *a, struct str domain,
                 struct tlsrpt_record *out, struct str *text, bool *is_secure, struct err *e)
{
    static const struct dns_sole_record tlsrpt = {"TLSRPT", "_smtp._tls.", is_record};

    return dns_find_sole(dns, a, &tlsrpt, domain, text, is_secure, e) &&
           (tlsrpt_record_parse(a, *text, out, e) || fail_in(e, "TLSRPT record"));
}
