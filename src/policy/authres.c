#include "policy/authres.h"

#include "base/cur.h"
#include "message/header.h"
#include "text/encode.h"
#include "text/idna.h"

static const char *const result_names[] = {"none",    "pass",   "fail",      "softfail",
                                           "neutral", "policy", "temperror", "permerror"};

const char *auth_result_name(enum auth_result result)
{
    return result_names[result];
}

bool auth_result_parse(struct str name, enum auth_result *out)
{
    for (size_t i = 0; i < COUNT(result_names); i++)
        if (str_eq_ci(name, str_of(result_names[i]))) {
            *out = (enum auth_result)i;
            return true;
        }
    return false;
}

/* --- composing ------------------------------------------------------------------------------------ */

struct authres_method *authres_add(struct authres *ar, struct arena *a, const char *method,
                                   enum auth_result result)
{
    struct authres_method *m = ARENA_PUSH(a, ar->methods, &ar->n, &ar->cap);

    m->method = str_of(method);
    m->result = str_of(auth_result_name(result));
    return m;
}

void authres_add_property(struct authres_method *m, struct arena *a, const char *type,
                          const char *name, struct str value)
{
    if (value.n)
        *ARENA_PUSH(a, m->properties, &m->n, &m->cap) =
            (struct authres_property){str_of(type), str_of(name), value};
}

static struct str dnssec(bool is_secure)
{
    return is_secure ? STR("with dnssec") : STR("without dnssec");
}

static struct str ip_text(struct arena *a, const struct ip *ip)
{
    AUTO_BUF text = BUF_LIMIT(100);

    ip_put(&text, ip);
    return arena_dup(a, buf_str(&text));
}

void authres_add_iprev(struct authres *ar, struct arena *a, enum auth_result result,
                       const struct ip *ip, bool is_secure, struct str reason)
{
    struct authres_method *m = authres_add(ar, a, "iprev", result);

    m->comment = dnssec(is_secure);
    m->reason = reason;
    authres_add_property(m, a, "policy", "iprev", ip_text(a, ip));
}

void authres_add_dkim(struct authres *ar, struct arena *a, const struct authres_dkim *dkim)
{
    enum { SIGNATURE_SHOWN = 12 }; // enough to tell signatures apart (RFC 8601 2.7.1, RFC 6008)
    struct authres_method *m = authres_add(ar, a, "dkim", dkim->result);

    if (dkim->key_bits)
        m->comment = arena_printf(a, "%u bit %s, %.*s", dkim->key_bits,
                                  str_starts_ci(dkim->algorithm, STR("ed25519")) ? "ed25519" : "rsa",
                                  STR_FMT(dnssec(dkim->is_secure)));
    m->reason = dkim->reason;
    authres_add_property(m, a, "header", "d", dkim->domain);
    authres_add_property(m, a, "header", "s", dkim->selector);
    authres_add_property(m, a, "header", "a", dkim->algorithm);
    authres_add_property(m, a, "header", "b", str_sub(dkim->signature, 0, SIGNATURE_SHOWN));
    authres_add_property(m, a, "header", "i", dkim->identity);
}

void authres_add_spf(struct authres *ar, struct arena *a, enum auth_result result, bool is_helo,
                     struct str address, bool is_secure, struct str reason)
{
    struct authres_method *m = authres_add(ar, a, "spf", result);

    m->comment = dnssec(is_secure);
    m->reason = reason;
    authres_add_property(m, a, "smtp", is_helo ? "helo" : "mailfrom", address);
}

void authres_add_arc(struct authres *ar, struct arena *a, enum auth_result result,
                     const struct ip *ip, struct str reason)
{
    struct authres_method *m = authres_add(ar, a, "arc", result);

    m->reason = reason;
    authres_add_property(m, a, "smtp", "remote-ip", ip_text(a, ip)); // RFC 8617 10.2
}

/* --- writing -------------------------------------------------------------------------------------- */

/* Keyword, RFC 8601 2.2 by RFC 5321 4.1.2: Ldh-str. */
static bool is_keyword(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_alnum(s.p[i]) && s.p[i] != '-')
            return false;
    return s.n && s.p[s.n - 1] != '-';
}

/* token, RFC 2045 5.1. */
static bool is_token_char(unsigned char c)
{
    return c > 32 && c < 127 && str_find(STR("()<>@,;:\\\"/[]?="), (char)c) == STR_NONE;
}

/* What a pvalue may have without quotes: a token, and "@" and what stands in addresses. */
static bool is_plain_value(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_token_char((unsigned char)s.p[i]) && s.p[i] != '@')
            return false;
    return s.n != 0;
}

/* One character of s, harmless: neither a control character nor a piece of one. */
static void put_char_of(struct buf *out, struct str *s, struct str special)
{
    struct str at = *s;
    uint32_t c = utf8_next(s);

    at.n -= s->n;
    // U+FFFD stands for what was malformed, U+2028 and U+2029 end lines somewhere.
    if (c < ' ' || (c >= 127 && c < 0xa0) || c == 0xfffd || c == 0x2028 || c == 0x2029) {
        buf_put_char(out, '?');
        return;
    }
    if (at.n == 1 && str_find(special, at.p[0]) != STR_NONE)
        buf_put_char(out, '\\');
    buf_put(out, at);
}

static void put_quoted(struct buf *out, struct str s)
{
    BUF_PUT(out, "\"");
    while (s.n)
        put_char_of(out, &s, STR("\\\""));
    BUF_PUT(out, "\"");
}

static void put_value(struct buf *out, struct str s)
{
    if (is_plain_value(s))
        buf_put(out, s);
    else
        put_quoted(out, s);
}

static void put_comment(struct buf *out, struct str s)
{
    s = str_sub(s, 0, AUTHRES_MAX_VALUE);
    BUF_PUT(out, "(");
    while (s.n)
        put_char_of(out, &s, STR("\\()"));
    BUF_PUT(out, ")");
}

/* A piece that is not cut, on the line if it fits there (RFC 5322 2.1.1: 78 characters). */
static void put_piece(struct buf *out, size_t *line_start, struct str piece)
{
    enum { WIDTH = 78 };

    if (out->n - *line_start + 1 + piece.n > WIDTH && out->n > *line_start + 1) {
        BUF_PUT(out, "\r\n\t");
        *line_start = out->n - 1;
    } else
        BUF_PUT(out, " ");
    buf_put(out, piece);
}

static bool put_method(struct buf *out, const struct authres_method *m, struct err *e)
{
    AUTO_BUF piece = BUF_LIMIT(AUTHRES_MAX_FIELD);
    size_t line_start;

    if (!is_keyword(m->method) || !is_keyword(m->result))
        return fail(e, ERR_BUG, "no method and result for Authentication-Results");
    BUF_PUT(out, ";\r\n\t");
    line_start = out->n - 1;
    buf_put(out, m->method);
    BUF_PUT(out, "=");
    buf_put(out, m->result);
    if (m->comment.n) {
        put_comment(&piece, m->comment);
        put_piece(out, &line_start, buf_str(&piece));
    }
    if (m->reason.n) {
        buf_reset(&piece);
        BUF_PUT(&piece, "reason=");
        put_quoted(&piece, str_sub(m->reason, 0, AUTHRES_MAX_VALUE));
        put_piece(out, &line_start, buf_str(&piece));
    }
    for (size_t i = 0; i < m->n; i++) {
        const struct authres_property *p = &m->properties[i];

        if (!is_keyword(p->type) || !is_keyword(p->name))
            return fail(e, ERR_BUG, "no property for Authentication-Results");
        if (p->value.n > AUTHRES_MAX_VALUE) // cut, it would be another's
            continue;
        buf_reset(&piece);
        buf_put(&piece, p->type);
        BUF_PUT(&piece, ".");
        buf_put(&piece, p->name);
        BUF_PUT(&piece, "=");
        put_value(&piece, p->value);
        put_piece(out, &line_start, buf_str(&piece));
    }
    return true;
}

bool authres_put(struct buf *out, const struct authres *ar, struct err *e)
{
    BUF_PUT(out, "Authentication-Results: ");
    put_value(out, ar->host);
    if (!ar->n)
        BUF_PUT(out, "; none"); // RFC 8601 2.2
    for (size_t i = 0; i < ar->n && i < AUTHRES_MAX_METHODS; i++)
        if (!put_method(out, &ar->methods[i], e))
            return false;
    BUF_PUT(out, "\r\n");
    return !out->full || fail(e, ERR_LIMIT, "Authentication-Results are too long");
}

/* --- reading -------------------------------------------------------------------------------------- */

static bool is_keyword_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || c == '-' || c == '_';
}

static bool is_value_char(unsigned char c)
{
    return is_token_char(c) || c == '@' || c == '/' || c == ':' || c == '=' || c == '[' ||
           c == ']' || c >= 128;
}

/* A comment, its content with what is nested in it. c is at the "(". */
static bool take_comment(struct arena *a, struct cur *c, struct str *out, struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(AUTHRES_MAX_FIELD);
    int depth = 0;

    do {
        int ch = cur_next(c);

        if (ch == '\\')
            ch = cur_next(c);
        else if (ch == '(' && depth++ == 0)
            continue;
        else if (ch == ')' && --depth == 0)
            break;
        if (ch < 0)
            return fail(e, ERR_SYNTAX, "a comment without an end");
        if (depth > HEADER_MAX_COMMENT_DEPTH)
            return fail(e, ERR_LIMIT, "comments nested too deep");
        buf_put_char(&text, (char)ch);
    } while (depth);
    *out = arena_dup(a, buf_str(&text));
    return true;
}

/* CFWS; the first comment is kept in *comment when that is empty. NULL: none is. */
static bool skip_cfws(struct arena *a, struct cur *c, struct str *comment, struct err *e)
{
    struct str text;

    for (;;) {
        int ch = cur_peek(c);

        if (ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n')
            (void)cur_next(c);
        else if (ch != '(')
            return true;
        else if (!take_comment(a, c, &text, e))
            return false;
        else if (comment && !comment->n)
            *comment = text;
    }
}

/* A quoted-string after its first quote, or plain characters. */
static bool take_value(struct arena *a, struct cur *c, struct str *out, struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(AUTHRES_MAX_FIELD);

    if (!cur_skip(c, '"')) {
        *out = arena_dup(a, cur_while(c, is_value_char));
        return out->n || fail(e, ERR_SYNTAX, "a value is missing");
    }
    for (int ch; (ch = cur_next(c)) != '"';) {
        if (ch == '\\')
            ch = cur_next(c);
        if (ch < 0)
            return fail(e, ERR_SYNTAX, "a quoted string without an end");
        if (ch != '\r' && ch != '\n')
            buf_put_char(&text, (char)ch);
    }
    buf_put(&text, cur_while(c, is_value_char)); // "local part"@domain
    *out = arena_dup(a, buf_str(&text));
    return true;
}

static bool take_keyword(struct arena *a, struct cur *c, const char *what, struct str *out,
                         struct err *e)
{
    *out = arena_lower(a, cur_while(c, is_keyword_char));
    return out->n || fail(e, ERR_SYNTAX, "%s is missing", what);
}

/* propspec, RFC 8601 2.2: ptype "." property "=" pvalue. After ptype. */
static bool take_property(struct arena *a, struct cur *c, struct authres_method *m,
                          struct str type, struct err *e)
{
    struct authres_property p = {.type = type};

    if (!cur_skip(c, '.'))
        return fail(e, ERR_SYNTAX, "no property");
    if (!skip_cfws(a, c, &m->comment, e) || !take_keyword(a, c, "the name of a property", &p.name, e) ||
        !skip_cfws(a, c, &m->comment, e))
        return false;
    if (!cur_skip(c, '='))
        return fail(e, ERR_SYNTAX, "a property without \"=\"");
    if (!skip_cfws(a, c, &m->comment, e) || !take_value(a, c, &p.value, e))
        return false;
    *ARENA_PUSH(a, m->properties, &m->n, &m->cap) = p;
    return true;
}

/* resinfo, RFC 8601 2.2, after its ";". */
static bool take_method(struct arena *a, struct cur *c, struct authres_method *m, size_t *left,
                        struct err *e)
{
    uint64_t version = 1;

    *m = (struct authres_method){0};
    if (!take_keyword(a, c, "a method", &m->method, e) || !skip_cfws(a, c, NULL, e))
        return false;
    if (cur_skip(c, '/') &&
        (!skip_cfws(a, c, NULL, e) || !cur_u64(c, 999, &version) || !skip_cfws(a, c, NULL, e)))
        return fail(e, ERR_SYNTAX, "the version of a method is no number");
    if (version != 1)
        return fail(e, ERR_SYNTAX, "a method's version is not 1");
    if (!cur_skip(c, '='))
        return fail(e, ERR_SYNTAX, "a method without a result");
    if (!skip_cfws(a, c, &m->comment, e) || !take_keyword(a, c, "a result", &m->result, e))
        return false;
    for (;;) {
        struct str word;

        if (!skip_cfws(a, c, &m->comment, e))
            return false;
        if (!cur_left(c) || cur_peek(c) == ';')
            return true;
        if (!(*left)--)
            return fail(e, ERR_LIMIT, "too many properties");
        if (!take_keyword(a, c, "a property", &word, e) || !skip_cfws(a, c, &m->comment, e))
            return false;
        if (str_eq(word, STR("reason")) && !m->n && cur_skip(c, '=')) {
            if (!skip_cfws(a, c, &m->comment, e) || !take_value(a, c, &m->reason, e))
                return false;
        } else if (!take_property(a, c, m, word, e))
            return false;
    }
}

static struct str without_dot(struct str host)
{
    return str_sub(host, 0, host.n - str_ends(host, STR(".")));
}

/* authserv-id [ CFWS authres-version ]. */
static bool take_host(struct arena *a, struct cur *c, struct str *out, struct err *e)
{
    uint64_t version = 1;

    if (!skip_cfws(a, c, NULL, e) || !take_value(a, c, out, e) || !skip_cfws(a, c, NULL, e))
        return false;
    if (cur_left(c) && cur_peek(c) != ';' &&
        (!cur_u64(c, 999, &version) || !skip_cfws(a, c, NULL, e)))
        return fail(e, ERR_SYNTAX, "after the host, \";\" expected");
    return version == 1 || fail(e, ERR_SYNTAX, "version is not 1");
}

bool authres_parse(struct arena *a, struct str value, struct authres *out, struct err *e)
{
    struct cur c = cur_of(value);
    size_t properties_left = AUTHRES_MAX_PROPERTIES;
    bool is_none = false;

    *out = (struct authres){0};
    if (value.n > AUTHRES_MAX_FIELD)
        return fail(e, ERR_LIMIT, "longer than %d bytes", AUTHRES_MAX_FIELD);
    if (!take_host(a, &c, &out->host, e))
        return false;
    if (!cur_left(&c))
        return fail(e, ERR_SYNTAX, "no results");
    while (cur_skip(&c, ';')) {
        struct authres_method m;
        struct cur at;

        if (!skip_cfws(a, &c, NULL, e))
            return false;
        if (!cur_left(&c) && (out->n || is_none)) // a final ";"
            break;
        if (is_none)
            return fail(e, ERR_SYNTAX, "results after \"none\"");
        at = c;
        if (!out->n && cur_skip_str_ci(&at, STR("none")) && skip_cfws(a, &at, NULL, e) &&
            (!cur_left(&at) || cur_peek(&at) == ';')) {
            c = at;
            is_none = true;
            continue;
        }
        if (out->n == AUTHRES_MAX_METHODS)
            return fail(e, ERR_LIMIT, "too many results");
        if (!take_method(a, &c, &m, &properties_left, e))
            return false;
        *ARENA_PUSH(a, out->methods, &out->n, &out->cap) = m;
    }
    return !cur_left(&c) || fail(e, ERR_SYNTAX, "\";\" expected");
}

bool authres_claims_host(struct str value, struct str host)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct cur c = cur_of(str_sub(value, 0, AUTHRES_MAX_FIELD));
    struct str claimed, ascii;
    uint64_t version;

    // Others may find a host where we do not: behind a comment that is too long or too deep.
    if (!skip_cfws(&a, &c, NULL, NULL) || !take_value(&a, &c, &claimed, NULL))
        return true;
    claimed = without_dot(claimed);
    host = without_dot(host);
    if (str_eq_ci(claimed, host) ||
        (domain_to_ascii(&a, claimed, &ascii, NULL) && str_eq_ci(ascii, host)))
        return true;
    return skip_cfws(&a, &c, NULL, NULL) && cur_u64(&c, UINT64_MAX, &version) && version != 1;
}
