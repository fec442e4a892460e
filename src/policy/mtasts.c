#include "policy/mtasts.h"

#include "base/cur.h"
#include "base/die.h"
#include "text/encode.h"
#include "text/idna.h"

static const struct str version = STR_("v=STSv1");

enum { MAX_FIELD_NAME = 32 };

static const char *const modes[] = {"none", "testing", "enforce"};

const char *mtasts_mode_name(enum mtasts_mode mode)
{
    if (mode >= COUNT(modes))
        die("mtasts_mode_name: no such mode");
    return modes[mode];
}

bool mtasts_mode_parse(struct str name, enum mtasts_mode *out)
{
    for (size_t i = 0; i < COUNT(modes); i++)
        if (str_eq(name, str_of(modes[i]))) {
            *out = (enum mtasts_mode)i;
            return true;
        }
    return false;
}

static bool is_blank(unsigned char c)
{
    return c == ' ' || c == '\t';
}

/* sts-ext-name, which our own names are as well. */
static bool is_field_name(struct str s)
{
    if (!s.n || s.n > MAX_FIELD_NAME || !ascii_is_alnum(s.p[0]))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_alnum(s.p[i]) && str_find(STR("_-."), s.p[i]) == STR_NONE)
            return false;
    return true;
}

static bool is_id(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_alnum(s.p[i]))
            return false;
    return s.n && s.n <= MTASTS_MAX_ID;
}

static bool is_extension_value(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '!' || s.p[i] > '~' || s.p[i] == '=' || s.p[i] == ';')
            return false;
    return s.n > 0;
}

// RFC 8461 3.1: what does not begin with "v=STSv1;" is another record.
static bool is_record(struct str text)
{
    struct cur c = cur_of(text);

    if (!cur_skip_str(&c, version))
        return false;
    cur_while(&c, is_blank);
    return cur_peek(&c) == ';';
}

bool mtasts_record_parse(struct str text, struct mtasts_record *out, struct err *e)
{
    struct str rest, field;

    *out = (struct mtasts_record){0};
    if (text.n > MTASTS_MAX_RECORD)
        return fail(e, ERR_LIMIT, "longer than %d bytes", MTASTS_MAX_RECORD);
    if (!is_record(text))
        return fail(e, ERR_SYNTAX, "does not begin with \"v=STSv1;\"");
    (void)str_cut(text, ';', &field, &rest);
    for (bool more = true; more;) {
        struct str name, value;

        more = str_cut(rest, ';', &field, &rest);
        if (!more)
            field = rest;
        field = str_trim(field);
        if (!field.n && !more)
            break; // the last ";"
        if (!str_cut(field, '=', &name, &value) || !is_field_name(name))
            return fail(e, ERR_SYNTAX, "not a list of name=value");
        if (!str_eq(name, STR("id"))) {
            if (!is_extension_value(value))
                return fail(e, ERR_SYNTAX, "bad value of field %.*s", STR_FMT(name));
            continue;
        }
        if (!is_id(value))
            return fail(e, ERR_SYNTAX, "the id is not 1 to %d letters and digits", MTASTS_MAX_ID);
        if (!out->id.n) // RFC 8461 3.2: all entries except for the first are ignored
            out->id = value;
    }
    return out->id.n || fail(e, ERR_SYNTAX, "no id");
}

void mtasts_record_put(struct buf *out, const struct mtasts_record *record)
{
    buf_put(out, version);
    BUF_PUT(out, "; id=");
    buf_put(out, record->id);
    BUF_PUT(out, ";");
}

bool mtasts_find(const struct dns *dns, struct arena *a, struct str domain,
                 struct mtasts_record *out, struct str *text, bool *is_secure, struct err *e)
{
    static const struct dns_sole_record sts = {"MTA-STS", "_mta-sts.", is_record};

    return dns_find_sole(dns, a, &sts, domain, text, is_secure, e) &&
           (mtasts_record_parse(*text, out, e) || fail_in(e, "MTA-STS record"));
}

/* sts-policy-mx-value: a domain in A-labels, perhaps after "*.". */
static bool take_mx(struct arena *a, struct str value, struct str *out)
{
    bool is_wildcard = str_starts(value, STR("*."));
    struct str domain;

    if (is_wildcard)
        value = str_from(value, 2);
    // A final dot is nowhere in the grammar, but does not make another name.
    if (value.n > 1 && value.p[value.n - 1] == '.')
        value.n--;
    if (!str_is_ascii(value) || !domain_to_ascii(a, value, &domain, NULL))
        return false;
    *out = is_wildcard ? arena_printf(a, "*.%.*s", STR_FMT(domain)) : domain;
    return true;
}

static bool is_policy_value(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return utf8_is_valid(s);
}

struct seen {
    bool version, mode, max_age;
    size_t cap;
};

static bool take_field(struct arena *a, struct str name, struct str value, struct seen *seen,
                       struct mtasts_policy *out, struct err *e)
{
    uint64_t seconds;

    if (str_eq(name, STR("mx"))) {
        if (out->n == MTASTS_MAX_MX)
            return fail(e, ERR_LIMIT, "more than %d mx", MTASTS_MAX_MX);
        return take_mx(a, value, ARENA_PUSH(a, out->mx, &out->n, &seen->cap)) ||
               fail(e, ERR_SYNTAX, "an mx that is not a domain name");
    }
    // RFC 8461 3.2: of the others, all entries except for the first are ignored.
    if (str_eq(name, STR("version")) && !seen->version) {
        seen->version = true;
        return str_eq(value, STR("STSv1")) || fail(e, ERR_SYNTAX, "version is not STSv1");
    }
    if (str_eq(name, STR("mode")) && !seen->mode) {
        seen->mode = true;
        return mtasts_mode_parse(value, &out->mode) || fail(e, ERR_SYNTAX, "unknown mode");
    }
    if (str_eq(name, STR("max_age")) && !seen->max_age) {
        seen->max_age = true;
        if (value.n > 10 || !str_u64(value, UINT64_MAX, &seconds))
            return fail(e, ERR_SYNTAX, "max_age is not a number of 1 to 10 digits");
        out->max_age = (uint32_t)(seconds > MTASTS_MAX_AGE ? MTASTS_MAX_AGE : seconds);
    }
    return true;
}

static struct str without_blanks_behind(struct str s)
{
    while (s.n && is_blank((unsigned char)s.p[s.n - 1]))
        s.n--;
    return s;
}

bool mtasts_policy_parse(struct arena *a, struct str text, struct mtasts_policy *out,
                         struct err *e)
{
    struct cur c = cur_of(text);
    struct seen seen = {0};
    struct str line;

    *out = (struct mtasts_policy){0};
    if (text.n > MTASTS_MAX_POLICY)
        return fail(e, ERR_LIMIT, "longer than %d bytes", MTASTS_MAX_POLICY);
    while (cur_line(&c, &line)) {
        struct str name, value;

        line = without_blanks_behind(line);
        if (!line.n)
            continue; // more lenient than the grammar: nothing can hide in an empty line
        if (!str_cut(line, ':', &name, &value) || !is_field_name(name))
            return fail(e, ERR_SYNTAX, "a line that is not \"name: value\"");
        while (value.n && is_blank((unsigned char)value.p[0]))
            value = str_from(value, 1);
        if (!value.n || !is_policy_value(value))
            return fail(e, ERR_SYNTAX, "bad value of field %.*s", STR_FMT(name));
        if (!take_field(a, name, value, &seen, out, e))
            return false;
    }
    if (!seen.version || !seen.mode || !seen.max_age)
        return fail(e, ERR_SYNTAX, "version, mode or max_age is missing");
    return out->n || out->mode == MTASTS_NONE || fail(e, ERR_SYNTAX, "no mx");
}

void mtasts_policy_put(struct buf *out, const struct mtasts_policy *policy)
{
    buf_printf(out, "version: STSv1\r\nmode: %s\r\n", mtasts_mode_name(policy->mode));
    for (size_t i = 0; i < policy->n; i++) {
        BUF_PUT(out, "mx: ");
        buf_put(out, policy->mx[i]);
        BUF_PUT(out, "\r\n");
    }
    buf_printf(out, "max_age: %u\r\n", policy->max_age);
}

void mtasts_mx_put(struct buf *out, const struct mtasts_policy *policy)
{
    for (size_t i = 0; i < policy->n; i++) {
        if (i)
            BUF_PUT(out, " ");
        buf_put(out, policy->mx[i]);
    }
}

bool mtasts_mx_parse(struct arena *a, struct str text, struct mtasts_policy *out, struct err *e)
{
    size_t cap = 0;

    out->mx = NULL;
    out->n = 0;
    for (bool more = text.n > 0; more;) {
        struct str pattern, rest = STR("");

        more = str_cut(text, ' ', &pattern, &rest);
        if (!more)
            pattern = text;
        text = rest;
        if (out->n == MTASTS_MAX_MX)
            return fail(e, ERR_LIMIT, "more than %d mx", MTASTS_MAX_MX);
        if (!take_mx(a, pattern, ARENA_PUSH(a, out->mx, &out->n, &cap)))
            return fail(e, ERR_SYNTAX, "an mx that is not a domain name");
    }
    return true;
}

bool mtasts_allows(const struct mtasts_policy *policy, struct str host)
{
    struct str first, rest;

    if (host.n && host.p[host.n - 1] == '.')
        host.n--;
    for (size_t i = 0; i < policy->n; i++) {
        struct str pattern = policy->mx[i];

        if (!str_starts(pattern, STR("*."))) {
            if (str_eq_ci(pattern, host))
                return true;
        } else if (str_cut(host, '.', &first, &rest) && first.n &&
                   str_eq_ci(str_from(pattern, 2), rest)) {
            return true; // RFC 8461 4.1: "*" stands for the whole left-most label, and one only
        }
    }
    return false;
}

bool mtasts_domain_of(struct arena *a, struct str destination, struct str *out)
{
    return !str_starts(destination, STR("[")) && domain_to_ascii(a, destination, out, NULL);
}
