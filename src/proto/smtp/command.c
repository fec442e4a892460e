#include "proto/smtp/smtp.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/cur.h"
#include "message/header.h"
#include "text/date.h"
#include "text/encode.h"
#include "text/idna.h"

static const struct str verbs[] = {
    [SMTP_HELO] = STR_("HELO"), [SMTP_EHLO] = STR_("EHLO"), [SMTP_STARTTLS] = STR_("STARTTLS"),
    [SMTP_AUTH] = STR_("AUTH"), [SMTP_MAIL] = STR_("MAIL"), [SMTP_RCPT] = STR_("RCPT"),
    [SMTP_DATA] = STR_("DATA"), [SMTP_BDAT] = STR_("BDAT"), [SMTP_RSET] = STR_("RSET"), [SMTP_VRFY] = STR_("VRFY"),
    [SMTP_EXPN] = STR_("EXPN"), [SMTP_HELP] = STR_("HELP"), [SMTP_NOOP] = STR_("NOOP"),
    [SMTP_QUIT] = STR_("QUIT"),
};

void smtp_parse_command(struct str line, struct smtp_command *out)
{
    struct str word, rest;

    bool has_space = str_cut(line, ' ', &word, &rest);

    if (!has_space) {
        word = line;
        rest = str_from(line, line.n);
    }
    *out = (struct smtp_command){SMTP_UNKNOWN, rest, has_space};
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

// IPv4-address-literal or IPv6-address-literal without its brackets, RFC 5321 4.1.3.
static bool is_literal(struct str s)
{
    char text[INET6_ADDRSTRLEN] = {0};
    unsigned char bytes[16];
    int family = AF_INET;

    if (str_starts_ci(s, STR("IPv6:"))) {
        s = str_from(s, 5);
        family = AF_INET6;
    }
    if (!s.n || s.n >= sizeof text)
        return false;
    memcpy(text, s.p, s.n);
    return inet_pton(family, text, bytes) == 1;
}

// Domain or address-literal, RFC 5321 4.1.2 and 4.1.3; UTF-8 by RFC 6531.
static bool take_domain(struct cur *c, struct str *out)
{
    const char *start = c->p;

    if (cur_skip(c, '[')) {
        if (!is_literal(cur_while(c, is_literal_char)) || !cur_skip(c, ']'))
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
static bool take_localpart(const struct smtp_reading *r, struct cur *c, struct str *out)
{
    size_t max = r->is_pedantic ? SMTP_MAX_LOCALPART_PEDANTIC : SMTP_MAX_LOCALPART;
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
    if (b.full || !utf8_is_valid(buf_str(&b)))
        return false;
    // RFC 6532 3.1: one way to write each letter.
    *out = str_is_ascii(buf_str(&b)) ? arena_dup(r->a, buf_str(&b)) : text_nfc(r->a, buf_str(&b));
    return out->n <= max;
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

// The reply to an argument that is refused, and what of it was not understood.
static bool refuse(struct smtp_reading *r, const struct cur *c, unsigned code, const char *enhanced,
                   struct err *e, const char *text)
{
    r->code = code;
    r->enhanced = enhanced;
    r->rest = cur_rest(c);
    return fail(e, ERR_SYNTAX, "%s", text);
}

static bool malformed(struct smtp_reading *r, const struct cur *c, struct err *e, const char *text)
{
    return refuse(r, c, 501, "5.5.2", e, text);
}

static bool take_path(struct smtp_reading *r, struct cur *c, bool is_reverse,
                      struct smtp_address *out, struct err *e)
{
    const char *start;

    *out = (struct smtp_address){{"", 0}, {"", 0}};
    if (!r->is_pedantic)
        cur_skip(c, ' '); // widespread, and harmless
    start = c->p;
    if (!cur_skip(c, '<'))
        return malformed(r, c, e, "address in <> expected");
    if (is_reverse && cur_skip(c, '>'))
        return true;
    if (!is_reverse && cur_skip_str_ci(c, STR("postmaster>"))) {
        out->localpart = STR("postmaster");
        return true;
    }
    if (!skip_source_route(c) || !take_localpart(r, c, &out->localpart) || !cur_skip(c, '@') ||
        !take_domain(c, &out->domain) || !cur_skip(c, '>'))
        return malformed(r, c, e, "malformed address");
    if (c->p - start > SMTP_MAX_PATH)
        return malformed(r, c, e, "address longer than 256 octets");
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

// The same with letters beyond ASCII (RFC 6531 3.3).
static bool is_orcpt_char(unsigned char c)
{
    return is_value_char(c) || c > 127;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// xtext, RFC 3461 4. Not empty.
static bool take_xtext(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        int high, low;

        if (s.p[i] != '+') {
            buf_put_char(out, s.p[i]);
            continue;
        }
        if (i + 2 >= s.n || (high = hex_digit(s.p[i + 1])) < 0 || (low = hex_digit(s.p[i + 2])) < 0)
            return false;
        buf_put_char(out, (char)(high << 4 | low));
        i += 2;
    }
    return s.n > 0 && !out->full;
}

// AUTH=: the value itself is not used.
static bool is_auth_value(struct str s)
{
    AUTO_BUF value = BUF_LIMIT(SMTP_MAX_LINE);

    return str_eq(s, STR("<>")) || take_xtext(&value, s);
}

// These texts go into reports: what is in code would begin a line of its own there.
static bool is_printable(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 127)
            return false;
    return utf8_is_valid(s);
}

/* RFC 3461 4.4 */
static bool apply_envid(struct smtp_reading *r, struct str value, struct smtp_mail *m)
{
    AUTO_BUF text = BUF_LIMIT(SMTP_MAX_ENVID);

    if (value.n > SMTP_MAX_ENVID || !take_xtext(&text, value) || !is_printable(buf_str(&text)) ||
        !str_is_ascii(buf_str(&text)))
        return false;
    m->envid = arena_dup(r->a, buf_str(&text));
    return true;
}

static bool apply_ret(struct str value, struct smtp_mail *m)
{
    m->ret = str_eq_ci(value, STR("FULL"))   ? SMTP_RET_FULL
             : str_eq_ci(value, STR("HDRS")) ? SMTP_RET_HDRS
                                             : SMTP_RET_NONE;
    return m->ret != SMTP_RET_NONE;
}

/* RFC 3461 4.1: NEVER alone, or a list of the others. */
static bool take_notify(struct str value, unsigned *out)
{
    static const struct {
        struct str word;
        unsigned bit;
    } words[] = {{STR_("NEVER"), SMTP_NOTIFY_NEVER}, {STR_("SUCCESS"), SMTP_NOTIFY_SUCCESS},
                 {STR_("FAILURE"), SMTP_NOTIFY_FAILURE}, {STR_("DELAY"), SMTP_NOTIFY_DELAY}};

    for (bool has_more = true; has_more;) {
        struct str word = value;
        unsigned bit = 0;

        has_more = str_cut(value, ',', &word, &value);
        for (size_t i = 0; i < COUNT(words); i++)
            if (str_eq_ci(word, words[i].word))
                bit = words[i].bit;
        if (!bit || *out & bit)
            return false;
        *out |= bit;
    }
    return *out == SMTP_NOTIFY_NEVER || !(*out & SMTP_NOTIFY_NEVER);
}

// utf-8-enc-addr, RFC 6533 3: "\\x{HEXPOINT}" stands for a letter.
static bool take_unitext(struct buf *out, struct str s)
{
    struct cur c = cur_of(s);

    while (cur_left(&c)) {
        uint32_t point = 0;
        unsigned digits = 0;

        if (!cur_skip_str(&c, STR("\\x{"))) {
            buf_put_char(out, (char)cur_next(&c));
            continue;
        }
        for (int d; (d = hex_digit((char)cur_peek(&c))) >= 0 && digits < 6; digits++, c.p++)
            point = point << 4 | (uint32_t)d;
        if (digits < 2 || !cur_skip(&c, '}') || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            return false;
        utf8_put(out, point);
    }
    return s.n > 0 && !out->full;
}

static bool is_type_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || c == '-';
}

/* RFC 3461 4.2: "addr-type;xtext", RFC 6533 3 for the type utf-8. */
static bool take_orcpt(struct smtp_reading *r, struct str value, struct str *out)
{
    AUTO_BUF text = BUF_LIMIT(SMTP_MAX_ORCPT);
    struct cur c = cur_of(value);
    struct str type = cur_while(&c, is_type_char);
    bool is_utf8 = str_eq_ci(type, STR("utf-8"));

    if (value.n > SMTP_MAX_ORCPT || !type.n || !cur_skip(&c, ';'))
        return false;
    buf_put(&text, type);
    BUF_PUT(&text, ";");
    if (!(is_utf8 ? take_unitext(&text, cur_rest(&c)) : take_xtext(&text, cur_rest(&c))) ||
        !is_printable(buf_str(&text)) || (!is_utf8 && !str_is_ascii(buf_str(&text))))
        return false;
    *out = arena_dup(r->a, buf_str(&text));
    return true;
}

// future-release-integer, RFC 4865 4.1.
static bool is_hold_seconds(struct str s, int64_t *out)
{
    uint64_t v;

    if (!s.n || s.n > 9 || s.p[0] == '0' || !str_u64(s, 999999999, &v))
        return false;
    *out = (int64_t)v;
    return true;
}

static bool has_value(struct str key, struct str value, const char *wanted)
{
    return value.p && str_eq_ci(key, str_of(wanted));
}

static bool is_flag(struct str key, struct str value, const char *wanted)
{
    return !value.p && str_eq_ci(key, str_of(wanted));
}

static bool apply_body(struct smtp_mail *m, struct str value)
{
    static const struct str names[] = {[SMTP_BODY_NONE] = STR_(""),
                                       [SMTP_BODY_7BIT] = STR_("7BIT"),
                                       [SMTP_BODY_8BITMIME] = STR_("8BITMIME"),
                                       [SMTP_BODY_BINARYMIME] = STR_("BINARYMIME")};

    for (size_t i = SMTP_BODY_7BIT; i < COUNT(names); i++)
        if (str_eq_ci(value, names[i]))
            m->body = (enum smtp_body)i;
    return m->body != SMTP_BODY_NONE;
}

// RFC 4865 4: on submission ports only, and one of the two.
static bool apply_hold(struct smtp_reading *r, const struct cur *c, struct smtp_mail *m,
                       struct str key, struct str value, struct err *e)
{
    bool is_for = str_eq_ci(key, STR("HOLDFOR"));

    if (!r->is_submission)
        return refuse(r, c, 555, "5.3.3", e, "FUTURERELEASE is for submission");
    if (m->hold != SMTP_HOLD_NONE)
        return refuse(r, c, 501, "5.5.4", e, "HOLDFOR and HOLDUNTIL exclude each other");
    m->hold = is_for ? SMTP_HOLD_FOR : SMTP_HOLD_UNTIL;
    if (is_for ? !is_hold_seconds(value, &m->hold_seconds)
               : !date_parse_rfc3339(value, &m->hold_until_unix))
        return malformed(r, c, e, is_for ? "malformed HOLDFOR" : "malformed HOLDUNTIL");
    return true;
}

static bool apply_mail_param(struct smtp_reading *r, const struct cur *c, void *out, struct str key,
                             struct str value, struct err *e)
{
    struct smtp_mail *m = out;

    if (has_value(key, value, "SIZE"))
        return (value.n <= 20 && str_u64(value, UINT64_MAX, &m->size)) ||
               malformed(r, c, e, "malformed SIZE");
    if (has_value(key, value, "BODY"))
        return apply_body(m, value) || refuse(r, c, 555, "5.5.4", e, "unknown BODY");
    if (has_value(key, value, "AUTH"))
        return is_auth_value(value) || malformed(r, c, e, "malformed AUTH");
    if (r->is_submission && has_value(key, value, "RET"))
        return apply_ret(value, m) || malformed(r, c, e, "malformed RET");
    if (r->is_submission && has_value(key, value, "ENVID"))
        return apply_envid(r, value, m) || malformed(r, c, e, "malformed ENVID");
    if (has_value(key, value, "HOLDFOR") || has_value(key, value, "HOLDUNTIL"))
        return apply_hold(r, c, m, key, value, e);
    if (is_flag(key, value, "SMTPUTF8")) {
        m->is_smtputf8 = true;
        return true;
    }
    if (is_flag(key, value, "REQUIRETLS")) {
        m->require_tls = true;
        return true;
    }
    return refuse(r, c, 555, "5.3.3", e, "unknown parameter");
}

static bool apply_rcpt_param(struct smtp_reading *r, const struct cur *c, void *out, struct str key,
                             struct str value, struct err *e)
{
    struct smtp_recipient *m = out;

    if (r->is_submission && has_value(key, value, "NOTIFY"))
        return take_notify(value, &m->notify) || malformed(r, c, e, "malformed NOTIFY");
    if (r->is_submission && has_value(key, value, "ORCPT"))
        return take_orcpt(r, value, &m->orcpt) || malformed(r, c, e, "malformed ORCPT");
    return refuse(r, c, 555, "5.3.3", e, "unknown parameter");
}

// One " name" or " name=value" of Mail-parameters, RFC 5321 4.1.2.
static bool take_param(struct smtp_reading *r, struct cur *c, struct str *key, struct str *value,
                       struct err *e)
{
    *value = (struct str){0};
    if (!cur_skip(c, ' '))
        return malformed(r, c, e, "space expected before a parameter");
    *key = cur_while(c, is_keyword_char);
    if (!key->n)
        return malformed(r, c, e, "parameter name expected");
    if (cur_skip(c, '=')) {
        // RFC 6533 3: addresses of type utf-8 are as they are.
        *value = str_eq_ci(*key, STR("AUTH")) && cur_skip_str(c, STR("<>")) ? STR("<>")
                 : str_eq_ci(*key, STR("ORCPT")) ? cur_while(c, is_orcpt_char)
                                                 : cur_while(c, is_value_char);
        if (!value->n)
            return malformed(r, c, e, "value expected");
    }
    return true;
}

// Blanks at the end of a line: forgiven to servers, whose software cannot be changed from here.
static void skip_trailing(const struct smtp_reading *r, struct cur *c)
{
    struct str rest = cur_rest(c);

    if (!r->is_submission && !str_trim(rest).n)
        c->p = c->end;
}

enum { MAX_PARAMS = 10 };

typedef bool apply_fn(struct smtp_reading *r, const struct cur *c, void *out, struct str key,
                      struct str value, struct err *e);

static bool parse_params(struct smtp_reading *r, struct cur *c, apply_fn *apply, void *out,
                         struct err *e)
{
    struct str seen[MAX_PARAMS], key, value;
    size_t n = 0;

    for (skip_trailing(r, c); cur_left(c); skip_trailing(r, c)) {
        if (!take_param(r, c, &key, &value, e))
            return false;
        for (size_t i = 0; i < n; i++)
            if (str_eq_ci(seen[i], key))
                return refuse(r, c, 501, "5.5.4", e, "parameter given twice");
        if (n == MAX_PARAMS)
            return malformed(r, c, e, "too many parameters");
        seen[n++] = key;
        if (!apply(r, c, out, key, value, e))
            return false;
    }
    return true;
}

static bool is_ascii(const struct smtp_address *a)
{
    return str_is_ascii(a->localpart) && str_is_ascii(a->domain);
}

bool smtp_parse_mail(struct smtp_reading *r, struct str argument, struct smtp_mail *out,
                     struct err *e)
{
    struct cur c = cur_of(argument);

    *out = (struct smtp_mail){0};
    if (!cur_skip_str_ci(&c, STR("FROM:")))
        return malformed(r, &c, e, "FROM: expected");
    if (!take_path(r, &c, true, &out->from, e) || !parse_params(r, &c, apply_mail_param, out, e))
        return false;
    // RFC 6531 3.5
    if (!out->is_smtputf8 && !is_ascii(&out->from))
        return refuse(r, &c, 550, "5.6.7", e, "an address with these letters needs SMTPUTF8");
    return true;
}

bool smtp_parse_rcpt(struct smtp_reading *r, struct str argument, struct smtp_recipient *out,
                     struct err *e)
{
    struct cur c = cur_of(argument);

    *out = (struct smtp_recipient){0};
    if (!cur_skip_str_ci(&c, STR("TO:")))
        return malformed(r, &c, e, "TO: expected");
    if (!take_path(r, &c, false, &out->to, e))
        return false;
    skip_trailing(r, &c);
    if (cur_left(&c) && cur_peek(&c) != ' ')
        return malformed(r, &c, e, "malformed address");
    return parse_params(r, &c, apply_rcpt_param, out, e);
}

bool smtp_parse_bdat(struct str argument, struct smtp_bdat *out)
{
    struct str size = argument, last = {0};

    out->is_last = str_cut(argument, ' ', &size, &last);
    if (out->is_last && !str_eq_ci(last, STR("LAST")))
        return false;
    return size.n <= 20 && str_u64(size, UINT64_MAX, &out->size);
}

bool smtp_is_hello(struct str argument)
{
    bool is_literal_hello = str_starts(argument, STR("["));
    struct cur c = cur_of(argument);
    struct str domain;

    return take_domain(&c, &domain) && (!cur_left(&c) || (is_literal_hello && cur_peek(&c) == ' '));
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
