#include "proto/smtp/smtp.h"

#include <string.h>

#include "base/cur.h"
#include "message/header.h"
#include "text/encode.h"

static const struct str verbs[] = {
    [SMTP_HELO] = STR_("HELO"), [SMTP_EHLO] = STR_("EHLO"), [SMTP_STARTTLS] = STR_("STARTTLS"),
    [SMTP_AUTH] = STR_("AUTH"), [SMTP_MAIL] = STR_("MAIL"), [SMTP_RCPT] = STR_("RCPT"),
    [SMTP_DATA] = STR_("DATA"), [SMTP_RSET] = STR_("RSET"), [SMTP_VRFY] = STR_("VRFY"),
    [SMTP_EXPN] = STR_("EXPN"), [SMTP_HELP] = STR_("HELP"), [SMTP_NOOP] = STR_("NOOP"),
    [SMTP_QUIT] = STR_("QUIT"),
};

void smtp_parse_command(struct str line, struct smtp_command *out)
{
    struct str word, rest;

    if (!str_cut(line, ' ', &word, &rest)) {
        word = line;
        rest = str_from(line, line.n);
    }
    *out = (struct smtp_command){SMTP_UNKNOWN, rest};
    for (size_t i = 0; i < COUNT(verbs); i++)
        if (str_eq_ci(word, verbs[i]))
            out->verb = (enum smtp_verb)i;
}

static bool is_let_dig(unsigned char c)
{
    return ascii_is_alnum((char)c) || c >= 128;
}

static bool is_domain_char(unsigned char c)
{
    return is_let_dig(c) || c == '-' || c == '.' || c == '_';
}

static bool is_literal_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || c == '.' || c == ':';
}

// Domain or address-literal, RFC 5321 4.1.2 and 4.1.3; UTF-8 by RFC 6531.
static bool take_domain(struct cur *c, struct str *out)
{
    const char *start = c->p;

    if (cur_skip(c, '[')) {
        if (!cur_while(c, is_literal_char).n || !cur_skip(c, ']'))
            return false;
    } else {
        struct str d = cur_while(c, is_domain_char);

        if (!d.n || d.p[0] == '.' || d.p[0] == '-' || d.p[d.n - 1] == '.' ||
            str_find_str(d, STR("..")) != STR_NONE || !utf8_is_valid(d))
            return false;
    }
    *out = str_at(start, (size_t)(c->p - start));
    return out->n <= SMTP_MAX_DOMAIN;
}

static bool is_atext(unsigned char c)
{
    return ascii_is_alnum((char)c) || c >= 128 || (c > 32 && c < 127 && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool is_dot_atext(unsigned char c)
{
    return c == '.' || is_atext(c);
}

// Dot-string or Quoted-string; the text without its quotes.
static bool take_localpart(struct arena *a, struct cur *c, struct str *out)
{
    AUTO_BUF b = BUF_LIMIT(SMTP_MAX_LOCALPART + 1);

    if (cur_skip(c, '"')) {
        int ch;

        while ((ch = cur_next(c)) != '"') {
            if (ch == '\\')
                ch = cur_next(c);
            if (ch < 32 || ch == 127)
                return false; // also the end of the line
            buf_put_char(&b, (char)ch);
        }
    } else {
        struct str s = cur_while(c, is_dot_atext);

        if (!s.n || s.p[0] == '.' || s.p[s.n - 1] == '.' || str_find_str(s, STR("..")) != STR_NONE)
            return false;
        buf_put(&b, s);
    }
    *out = arena_dup(a, buf_str(&b));
    return !b.full && b.n <= SMTP_MAX_LOCALPART && utf8_is_valid(*out);
}

// "@a,@b:" before an address, parsed and ignored (RFC 5321 4.1.2, A-d-l).
static bool skip_source_route(struct cur *c)
{
    struct str domain;

    if (cur_peek(c) != '@')
        return true;
    do {
        if (!cur_skip(c, '@') || !take_domain(c, &domain))
            return false;
    } while (cur_skip(c, ','));
    return cur_skip(c, ':');
}

static bool take_path(struct arena *a, struct cur *c, bool may_be_null, struct smtp_address *out,
                      struct err *e)
{
    const char *start = c->p;

    *out = (struct smtp_address){{"", 0}, {"", 0}};
    if (!cur_skip(c, '<'))
        return fail(e, ERR_SYNTAX, "address in <> expected");
    if (may_be_null && cur_skip(c, '>'))
        return true;
    if (!may_be_null && cur_skip_str_ci(c, STR("postmaster>"))) {
        out->localpart = STR("postmaster");
        return true;
    }
    if (!skip_source_route(c) || !take_localpart(a, c, &out->localpart) || !cur_skip(c, '@') ||
        !take_domain(c, &out->domain) || !cur_skip(c, '>'))
        return fail(e, ERR_SYNTAX, "malformed address");
    if (c->p - start > SMTP_MAX_PATH)
        return fail(e, ERR_SYNTAX, "address longer than %d octets", SMTP_MAX_PATH);
    return true;
}

static bool is_keyword_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || c == '-';
}

// esmtp-value, RFC 5321 4.1.2
static bool is_value_char(unsigned char c)
{
    return c > 32 && c < 127 && c != '=';
}

// xtext, RFC 3461 4: the value itself is not used.
static bool is_xtext(struct str s)
{
    if (str_eq(s, STR("<>")))
        return true;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '+') {
            if (i + 2 >= s.n || !memchr("0123456789ABCDEF", s.p[i + 1], 16) ||
                !memchr("0123456789ABCDEF", s.p[i + 2], 16))
                return false;
            i += 2;
        }
    return s.n > 0;
}

static bool apply_mail_param(struct smtp_mail *m, struct str key, struct str value, struct err *e)
{
    if (str_eq_ci(key, STR("SIZE")))
        return (value.n && value.n <= 20 && str_u64(value, UINT64_MAX, &m->size)) ||
               fail(e, ERR_SYNTAX, "malformed SIZE");
    if (str_eq_ci(key, STR("BODY"))) {
        m->body = str_eq_ci(value, STR("7BIT"))       ? SMTP_BODY_7BIT
                  : str_eq_ci(value, STR("8BITMIME")) ? SMTP_BODY_8BITMIME
                                                      : SMTP_BODY_NONE;
        return m->body != SMTP_BODY_NONE || fail(e, ERR_NOT_FOUND, "unknown BODY");
    }
    if (str_eq_ci(key, STR("AUTH")))
        return is_xtext(value) || fail(e, ERR_SYNTAX, "malformed AUTH");
    if (str_eq_ci(key, STR("SMTPUTF8")) && !value.p) {
        m->is_smtputf8 = true;
        return true;
    }
    if (str_eq_ci(key, STR("REQUIRETLS")) && !value.p) {
        m->require_tls = true;
        return true;
    }
    return fail(e, ERR_NOT_FOUND, "unknown parameter");
}

enum { MAX_PARAMS = 10 };

static bool parse_mail_params(struct cur *c, struct smtp_mail *m, struct err *e)
{
    struct str seen[MAX_PARAMS];
    size_t n = 0;

    while (cur_left(c)) {
        struct str key, value = {0};

        if (!cur_skip(c, ' '))
            return fail(e, ERR_SYNTAX, "space expected before a parameter");
        if (!cur_left(c))
            return true; // a space at the end of the line
        key = cur_while(c, is_keyword_char);
        if (!key.n)
            return fail(e, ERR_SYNTAX, "parameter name expected");
        if (cur_skip(c, '=')) {
            value = str_eq_ci(key, STR("AUTH")) && cur_skip_str(c, STR("<>"))
                        ? STR("<>") : cur_while(c, is_value_char);
            if (!value.n)
                return fail(e, ERR_SYNTAX, "value expected");
        }
        for (size_t i = 0; i < n; i++)
            if (str_eq_ci(seen[i], key))
                return fail(e, ERR_SYNTAX, "parameter given twice");
        if (n == MAX_PARAMS)
            return fail(e, ERR_SYNTAX, "too many parameters");
        seen[n++] = key;
        if (!apply_mail_param(m, key, value, e))
            return false;
    }
    return true;
}

bool smtp_parse_mail(struct arena *a, struct str argument, struct smtp_mail *out, struct err *e)
{
    struct cur c = cur_of(argument);

    *out = (struct smtp_mail){0};
    if (!cur_skip_str_ci(&c, STR("FROM:")))
        return fail(e, ERR_SYNTAX, "FROM: expected");
    cur_skip(&c, ' '); // widespread, and harmless
    if (!take_path(a, &c, true, &out->from, e) || !parse_mail_params(&c, out, e))
        return false;
    if (!out->is_smtputf8 && !str_is_ascii(out->from.localpart))
        return fail(e, ERR_DENIED, "address needs SMTPUTF8");
    return true;
}

bool smtp_parse_rcpt(struct arena *a, struct str argument, struct smtp_address *out, struct err *e)
{
    struct cur c = cur_of(argument);

    if (!cur_skip_str_ci(&c, STR("TO:")))
        return fail(e, ERR_SYNTAX, "TO: expected");
    cur_skip(&c, ' ');
    if (!take_path(a, &c, false, out, e))
        return false;
    while (cur_skip(&c, ' '))
        ;
    return !cur_left(&c) || fail(e, ERR_NOT_FOUND, "RCPT takes no parameters");
}

bool smtp_is_hello(struct str argument)
{
    struct cur c = cur_of(argument);
    struct str domain;

    if (!take_domain(&c, &domain))
        return false;
    // After an address literal, free text may follow.
    return !cur_left(&c) || cur_peek(&c) == ' ';
}

void smtp_address_put(struct buf *out, const struct smtp_address *address)
{
    if (!address->localpart.n && !address->domain.n)
        return;
    address_put_localpart(out, address->localpart);
    if (address->domain.n) {
        buf_put_char(out, '@');
        buf_put(out, address->domain);
    }
}

// What precedes the next byte.
enum {
    AT_LINE_START, // CR LF, or the beginning
    IN_LINE,
    AFTER_CR,
    AFTER_LF,     // a bare LF
    AFTER_DOT,    // CR LF "."
    AFTER_DOT_CR, // CR LF "." CR
    AFTER_LF_DOT, // bare LF "."
    AFTER_LF_DOT_CR,
};

static void put_data(struct smtp_data *d, struct buf *out, char c)
{
    d->has_8bit |= (unsigned char)c >= 128;
    d->size++;
    buf_put_char(out, c);
}

static void put_line_end(struct smtp_data *d, struct buf *out)
{
    put_data(d, out, '\r');
    put_data(d, out, '\n');
}

static void ordinary(struct smtp_data *d, struct buf *out, char c)
{
    if (c == '\r') {
        d->state = AFTER_CR;
    } else if (c == '\n') {
        put_line_end(d, out);
        d->state = AFTER_LF;
    } else {
        put_data(d, out, c);
        d->state = IN_LINE;
    }
}

// A CR that no LF followed: kept as it came, and remembered.
static void bare_cr(struct smtp_data *d, struct buf *out, char c)
{
    d->has_smuggling = true;
    put_data(d, out, '\r');
    ordinary(d, out, c);
}

static void step(struct smtp_data *d, char c, struct buf *out)
{
    switch (d->state) {
    case AT_LINE_START:
        if (c == '.')
            d->state = AFTER_DOT;
        else
            ordinary(d, out, c);
        break;
    case AFTER_LF:
        if (c == '.') {
            put_data(d, out, c); // not at the start of an SMTP line: no dot to remove
            d->state = AFTER_LF_DOT;
        } else {
            ordinary(d, out, c);
        }
        break;
    case AFTER_CR:
        if (c == '\n') {
            put_line_end(d, out);
            d->state = AT_LINE_START;
        } else {
            bare_cr(d, out, c);
        }
        break;
    case AFTER_DOT:
        if (c == '\r') {
            d->state = AFTER_DOT_CR;
        } else {
            d->has_smuggling |= c == '\n'; // CR LF . LF
            ordinary(d, out, c);           // the stuffed dot is dropped
        }
        break;
    case AFTER_DOT_CR:
        if (c == '\n')
            d->is_done = true;
        else
            bare_cr(d, out, c);
        break;
    case AFTER_LF_DOT:
        if (c == '\r') {
            d->state = AFTER_LF_DOT_CR;
        } else {
            d->has_smuggling |= c == '\n'; // LF . LF
            ordinary(d, out, c);
        }
        break;
    case AFTER_LF_DOT_CR:
        if (c == '\n') {
            d->has_smuggling = true; // LF . CR LF
            put_line_end(d, out);
            d->state = AT_LINE_START;
        } else {
            bare_cr(d, out, c);
        }
        break;
    default: // IN_LINE
        ordinary(d, out, c);
    }
}

void smtp_data_feed(struct smtp_data *d, struct str *in, struct buf *out)
{
    size_t i = 0;

    for (; i < in->n && !d->is_done; i++)
        step(d, in->p[i], out);
    *in = str_from(*in, i);
}

enum { REPLY_WIDTH = 510, REPLY_CUT_FROM = 400 };

// Where to cut a line that is too long: at a space when there is one late enough.
static size_t cut_at(struct str text, size_t room)
{
    if (text.n <= room)
        return text.n;
    for (size_t i = room; i > REPLY_CUT_FROM; i--)
        if (text.p[i] == ' ')
            return i;
    return room;
}

void smtp_reply_put(struct buf *out, unsigned code, struct str enhanced, struct str text)
{
    do {
        ptrdiff_t lf = str_find(text, '\n');
        struct str line = lf == STR_NONE ? text : str_sub(text, 0, (size_t)lf);
        size_t n = cut_at(line, REPLY_WIDTH - 5 - enhanced.n);

        line = str_sub(line, 0, n);
        text = str_from(text, n);
        if (text.n && (text.p[0] == '\n' || text.p[0] == ' '))
            text = str_from(text, 1);
        buf_printf(out, "%03u%c", code, text.n ? '-' : ' ');
        buf_put(out, enhanced);
        if (enhanced.n)
            buf_put_char(out, ' ');
        // Nothing from outside can end the line.
        for (size_t i = 0; i < line.n; i++)
            buf_put_char(out, (unsigned char)line.p[i] < 32 || line.p[i] == 127 ? '?' : line.p[i]);
        BUF_PUT(out, "\r\n");
    } while (text.n);
}
