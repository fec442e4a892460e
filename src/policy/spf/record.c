#include "policy/spf/spf_priv.h"

enum { HAS_DOMAIN = 1, NEEDS_DOMAIN = 2, HAS_BITS = 4, HAS_NETWORK = 8 };

static const struct {
    struct str name;
    unsigned takes;
} mechanisms[] = {
    [SPF_ALL] = {STR_("all"), 0},
    [SPF_INCLUDE] = {STR_("include"), HAS_DOMAIN | NEEDS_DOMAIN},
    [SPF_A] = {STR_("a"), HAS_DOMAIN | HAS_BITS},
    [SPF_MX] = {STR_("mx"), HAS_DOMAIN | HAS_BITS},
    [SPF_PTR] = {STR_("ptr"), HAS_DOMAIN},
    [SPF_IP4] = {STR_("ip4"), HAS_NETWORK},
    [SPF_IP6] = {STR_("ip6"), HAS_NETWORK},
    [SPF_EXISTS] = {STR_("exists"), HAS_DOMAIN | NEEDS_DOMAIN},
};

static const struct {
    char sign;
    enum auth_result result;
} qualifiers[] = {{'+', AUTH_PASS}, {'-', AUTH_FAIL}, {'~', AUTH_SOFTFAIL}, {'?', AUTH_NEUTRAL}};

static bool is_name_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || c == '-' || c == '_' || c == '.';
}

static bool is_term_char(unsigned char c)
{
    return c != ' ';
}

// ip4-cidr-length and ip6-cidr-length, RFC 7208 5.6, behind the slash: without leading zeros.
static bool parse_bits(struct str digits, unsigned max, uint8_t *out)
{
    uint64_t v;

    if (!str_u64(digits, max, &v) || (digits.n > 1 && digits.p[0] == '0'))
        return false;
    *out = (uint8_t)v;
    return true;
}

static size_t digits_at_end(struct str s)
{
    size_t n = 0;

    while (n < s.n && ascii_is_digit(s.p[s.n - n - 1]))
        n++;
    return n;
}

/*
 * Takes dual-cidr-length, RFC 7208 5.3, off the end of *rest. A domain-spec may have slashes of its
 * own, but never ends in one with digits: it ends in a label or in a macro.
 */
static bool take_dual_bits(struct str *rest, struct spf_directive *d)
{
    size_t n = digits_at_end(*rest);
    struct str before = str_sub(*rest, 0, rest->n - n), digits = str_from(*rest, rest->n - n);

    if (n && str_ends(before, STR("//"))) {
        if (!parse_bits(digits, 128, &d->bits6))
            return false;
        *rest = str_sub(before, 0, before.n - 2);
        n = digits_at_end(*rest);
        before = str_sub(*rest, 0, rest->n - n);
        digits = str_from(*rest, rest->n - n);
    }
    if (n && str_ends(before, STR("/"))) {
        if (!parse_bits(digits, 32, &d->bits4))
            return false;
        *rest = str_sub(before, 0, before.n - 1);
    }
    return true;
}

// ip4 and ip6, RFC 7208 5.6; rest begins with the colon.
static bool parse_network(struct str rest, struct spf_directive *d)
{
    unsigned family = d->mechanism == SPF_IP4 ? 4 : 6;
    struct str address, digits;
    bool has_bits;

    if (!str_starts(rest, STR(":")))
        return false;
    rest = str_from(rest, 1);
    has_bits = str_cut(rest, '/', &address, &digits);
    if (!ip_parse(has_bits ? address : rest, &d->network) || d->network.family != family)
        return false;
    return !has_bits || (family == 4 ? parse_bits(digits, 32, &d->bits4)
                                     : parse_bits(digits, 128, &d->bits6));
}

static bool find_mechanism(struct str name, enum spf_mechanism *out)
{
    for (size_t i = 0; i < COUNT(mechanisms); i++)
        if (str_eq_ci(name, mechanisms[i].name)) {
            *out = (enum spf_mechanism)i;
            return true;
        }
    return false;
}

// directive, RFC 7208 4.6.1.
static bool parse_directive(struct str term, struct spf_directive *d, struct err *e)
{
    struct cur c = cur_of(term);
    struct str rest;
    unsigned takes;

    *d = (struct spf_directive){.result = AUTH_PASS, .text = term, .bits4 = 32, .bits6 = 128};
    for (size_t i = 0; i < COUNT(qualifiers); i++)
        if (cur_skip(&c, qualifiers[i].sign)) {
            d->result = qualifiers[i].result;
            break;
        }
    if (!find_mechanism(cur_while(&c, is_name_char), &d->mechanism))
        return fail(e, ERR_SYNTAX, "unknown mechanism");
    takes = mechanisms[d->mechanism].takes;
    rest = cur_rest(&c);
    if (takes & HAS_NETWORK)
        return parse_network(rest, d) || fail(e, ERR_SYNTAX, "malformed network");
    if (takes & HAS_BITS && !take_dual_bits(&rest, d))
        return fail(e, ERR_SYNTAX, "malformed prefix length");
    if (takes & HAS_DOMAIN && str_starts(rest, STR(":"))) {
        d->domain = str_from(rest, 1);
        return spf_domain_spec_check(d->domain, e);
    }
    if (rest.n)
        return fail(e, ERR_SYNTAX, "unexpected text behind the name of a mechanism");
    return !(takes & NEEDS_DOMAIN) || fail(e, ERR_SYNTAX, "a mechanism lacks its domain");
}

struct parsing {
    struct arena *a;
    struct spf_directive *directives;
    size_t directives_cap;
    struct spf_modifier *others;
    size_t others_cap;
    struct spf_record *out;
};

// redirect and exp, RFC 7208 6: at most once.
static bool set_once(struct str value, struct str *out, struct err *e)
{
    if (out->n)
        return fail(e, ERR_SYNTAX, "a modifier appears twice");
    *out = value;
    return spf_domain_spec_check(value, e);
}

static bool add_modifier(struct parsing *p, struct str name, struct str value, struct err *e)
{
    struct spf_modifier m = {name, value};

    if (!ascii_is_alpha(name.n ? name.p[0] : '\0'))
        return fail(e, ERR_SYNTAX, "malformed name of a modifier");
    if (str_eq_ci(name, STR("redirect")))
        return set_once(value, &p->out->redirect, e);
    if (str_eq_ci(name, STR("exp")))
        return set_once(value, &p->out->exp, e);
    *ARENA_PUSH(p->a, p->others, &p->out->n_others, &p->others_cap) = m;
    return spf_macro_string_check(value, false, e);
}

// A term is a modifier when '=' is right behind its name (RFC 7208 4.6.1).
static bool add_term(struct parsing *p, struct str term, struct err *e)
{
    struct cur c = cur_of(term);
    struct str name = cur_while(&c, is_name_char);

    if (p->out->n_directives + p->out->n_others >= SPF_MAX_TERMS)
        return fail(e, ERR_LIMIT, "more than %d terms", SPF_MAX_TERMS);
    if (cur_skip(&c, '='))
        return add_modifier(p, name, cur_rest(&c), e);
    return parse_directive(term, ARENA_PUSH(p->a, p->directives, &p->out->n_directives,
                                            &p->directives_cap), e);
}

bool spf_is_record(struct str text)
{
    return str_starts_ci(text, STR("v=spf1")) && (text.n == 6 || text.p[6] == ' ');
}

bool spf_record_parse(struct arena *a, struct str text, struct spf_record *out, struct err *e)
{
    struct parsing p = {.a = a, .out = out};
    struct cur c = cur_of(text);

    *out = (struct spf_record){0};
    if (!spf_is_record(text))
        return fail(e, ERR_SYNTAX, "the record does not begin with v=spf1");
    (void)cur_while(&c, is_term_char);
    for (;;) {
        struct str term;

        while (cur_skip(&c, ' '))
            ;
        if (!cur_left(&c))
            break;
        term = cur_while(&c, is_term_char);
        if (!add_term(&p, term, e))
            return fail_in(e, "term \"%.*s\"", STR_FMT(str_sub(term, 0, 60)));
    }
    out->directives = p.directives;
    out->others = p.others;
    return true;
}

static void put_directive(struct buf *out, const struct spf_directive *d)
{
    for (size_t i = 1; i < COUNT(qualifiers); i++) // + is understood
        if (qualifiers[i].result == d->result)
            buf_put_char(out, qualifiers[i].sign);
    buf_put(out, mechanisms[d->mechanism].name);
    if (mechanisms[d->mechanism].takes & HAS_NETWORK) {
        BUF_PUT(out, ":");
        ip_put(out, &d->network);
        if (d->mechanism == SPF_IP4 ? d->bits4 < 32 : d->bits6 < 128)
            buf_printf(out, "/%u", d->mechanism == SPF_IP4 ? d->bits4 : d->bits6);
        return;
    }
    if (d->domain.n) {
        BUF_PUT(out, ":");
        buf_put(out, d->domain);
    }
    if (d->bits4 < 32)
        buf_printf(out, "/%u", d->bits4);
    if (d->bits6 < 128)
        buf_printf(out, "//%u", d->bits6);
}

static void put_modifier(struct buf *out, struct str name, struct str value)
{
    BUF_PUT(out, " ");
    buf_put(out, name);
    BUF_PUT(out, "=");
    buf_put(out, value);
}

void spf_record_put(struct buf *out, const struct spf_record *record)
{
    BUF_PUT(out, "v=spf1");
    for (size_t i = 0; i < record->n_directives; i++) {
        BUF_PUT(out, " ");
        put_directive(out, &record->directives[i]);
    }
    if (record->redirect.n)
        put_modifier(out, STR("redirect"), record->redirect);
    if (record->exp.n)
        put_modifier(out, STR("exp"), record->exp);
    for (size_t i = 0; i < record->n_others; i++)
        put_modifier(out, record->others[i].name, record->others[i].value);
}
