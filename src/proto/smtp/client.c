#include "proto/smtp/client.h"

#include <string.h>

#include "base/cur.h"
#include "proto/smtp/smtp.h"
#include "text/idna.h"

/* --- replies ------------------------------------------------------------------------------------ */

void smtp_reply_reset(struct smtp_reply *r)
{
    struct buf text = r->text, line = r->line;

    buf_reset(&text);
    buf_reset(&line);
    *r = (struct smtp_reply){.text = text, .line = line};
}

void smtp_reply_fini(struct smtp_reply *r)
{
    buf_fini(&r->text);
    buf_fini(&r->line);
}

static bool skip_digits(struct cur *c, int most)
{
    int n = 0;

    for (; cur_peek(c) >= '0' && cur_peek(c) <= '9'; n++)
        cur_next(c);
    return n >= 1 && n <= most;
}

// status-code of RFC 2034 4, followed by a space or the end; its class is that of the reply.
static void take_enhanced(struct cur *c, unsigned code, char out[12])
{
    struct cur at = *c;
    size_t n;

    if (cur_next(&at) != (int)('0' + code / 100) || !cur_skip(&at, '.') || !skip_digits(&at, 3) ||
        !cur_skip(&at, '.') || !skip_digits(&at, 3))
        return;
    n = (size_t)(at.p - c->p);
    if (cur_left(&at) && !cur_skip(&at, ' '))
        return;
    memcpy(out, c->p, n);
    out[n] = '\0';
    *c = at;
}

// Reply-line, RFC 5321 4.2: three digits, and a hyphen when more lines follow.
static bool take_line(struct smtp_reply *r, struct str line, struct err *e)
{
    struct cur c = cur_of(line);
    char enhanced[12] = "";
    unsigned code = 0;
    int separator;

    for (int i = 0; i < 3; i++) {
        int ch = cur_next(&c);

        if (ch < (i ? '0' : '2') || ch > (i ? '9' : '5'))
            return fail(e, ERR_SYNTAX, "no reply of SMTP");
        code = 10 * code + (unsigned)(ch - '0');
    }
    separator = cur_next(&c);
    if (separator != ' ' && separator != '-' && separator != -1)
        return fail(e, ERR_SYNTAX, "no reply of SMTP");
    // RFC 5321 4.2.1: all lines of a reply have the same code.
    if (r->n_lines && code != r->code)
        return fail(e, ERR_SYNTAX, "a reply with two codes, %u and %u", r->code, code);
    if (++r->n_lines > SMTP_REPLY_MAX_LINES)
        return fail(e, ERR_LIMIT, "a reply of more than %d lines", SMTP_REPLY_MAX_LINES);
    r->code = code;
    take_enhanced(&c, code, enhanced);
    if (r->n_lines == 1)
        memcpy(r->enhanced, enhanced, sizeof enhanced);
    else
        buf_put_char(&r->text, '\n');
    for (int ch; (ch = cur_next(&c)) >= 0;)
        buf_put_char(&r->text, ch < 32 || ch == 127 ? '?' : (char)ch);
    r->is_complete = separator != '-';
    return true;
}

bool smtp_reply_feed(struct smtp_reply *r, struct str *in, struct err *e)
{
    while (in->n && !r->is_complete) {
        ptrdiff_t lf = str_find(*in, '\n');
        size_t n = lf == STR_NONE ? in->n : (size_t)lf;
        struct str line;

        buf_put(&r->line, str_sub(*in, 0, n));
        r->n_bytes += n + 1;
        if (r->line.full)
            return fail(e, ERR_LIMIT, "a line of a reply has more than %d octets",
                        SMTP_REPLY_MAX_LINE);
        if (r->n_bytes > SMTP_REPLY_MAX_BYTES)
            return fail(e, ERR_LIMIT, "a reply of more than %d octets", SMTP_REPLY_MAX_BYTES);
        *in = str_from(*in, lf == STR_NONE ? n : n + 1);
        if (lf == STR_NONE) {
            r->n_bytes--;
            return true;
        }
        line = buf_str(&r->line);
        if (str_ends(line, STR("\r")))
            line.n--;
        if (!take_line(r, line, e))
            return false;
        buf_reset(&r->line);
    }
    return true;
}

struct str smtp_reply_line(struct arena *a, const struct smtp_reply *r)
{
    struct str text = arena_dup(a, buf_str(&r->text));
    char *p = (char *)(uintptr_t)text.p;

    for (size_t i = 0; i < text.n; i++)
        if (p[i] == '\n')
            p[i] = ' ';
    return text;
}

/* --- EHLO --------------------------------------------------------------------------------------- */

// RFC 9422 4: names and values, each at most once; what is malformed makes the whole of it void.
static void take_limits(struct str params, struct smtp_offer *out)
{
    static const struct str names[] = {STR_("RCPTMAX"), STR_("MAILMAX")};
    uint64_t *const values[] = {&out->rcpt_max, &out->mail_max};
    uint64_t found[COUNT(names)] = {0};
    struct str word;

    while (str_next(&params, ' ', &word)) {
        struct str name, value;

        if (!word.n)
            continue;
        if (!str_cut(word, '=', &name, &value) || !value.n || value.n > 6)
            return;
        for (size_t i = 0; i < COUNT(names); i++)
            if (str_eq_ci(name, names[i]) &&
                (found[i] || !str_u64(value, 999999, &found[i]) || !found[i]))
                return;
    }
    for (size_t i = 0; i < COUNT(names); i++)
        *values[i] = found[i];
}

static void take_extension(struct arena *a, struct str line, struct smtp_offer *out)
{
    const struct {
        struct str name;
        bool *flag;
    } flags[] = {
        {STR("STARTTLS"), &out->starttls},       {STR("PIPELINING"), &out->pipelining},
        {STR("8BITMIME"), &out->eightbitmime},   {STR("SMTPUTF8"), &out->smtputf8},
        {STR("CHUNKING"), &out->chunking},       {STR("BINARYMIME"), &out->binarymime},
        {STR("REQUIRETLS"), &out->requiretls},   {STR("DSN"), &out->dsn},
    };
    struct str word = line, params = STR("");

    // Servers of old announced "AUTH=LOGIN PLAIN".
    if (str_starts_ci(line, STR("AUTH="))) {
        word = str_sub(line, 0, 4);
        params = str_from(line, 5);
    } else {
        str_cut(line, ' ', &word, &params);
    }
    params = str_trim(params);
    for (size_t i = 0; i < COUNT(flags); i++)
        if (str_eq_ci(word, flags[i].name))
            *flags[i].flag = true;
    if (str_eq_ci(word, STR("SIZE")))
        out->has_size = !params.n || str_u64(params, UINT64_MAX, &out->size);
    if (str_eq_ci(word, STR("LIMITS")))
        take_limits(params, out);
    if (str_eq_ci(word, STR("AUTH")) && !out->has_auth) {
        out->has_auth = true;
        out->auth = arena_dup(a, params);
    }
}

void smtp_offer_parse(struct arena *a, struct str text, struct smtp_offer *out)
{
    struct cur c = cur_of(text);
    struct str line;
    bool is_first = true;

    *out = (struct smtp_offer){0};
    for (; cur_line(&c, &line); is_first = false)
        if (!is_first)
            take_extension(a, line, out);
}

bool smtp_offer_has_auth(const struct smtp_offer *offer, struct str mechanism)
{
    struct str rest = offer->auth, word;

    while (str_next(&rest, ' ', &word)) {
        if (str_eq_ci(word, mechanism))
            return true;
    }
    return false;
}

/* --- commands ----------------------------------------------------------------------------------- */

// As our own parser reads it, which refuses whatever could end a path or a line.
static bool put_path(struct buf *out, struct str address, bool may_be_utf8, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_BUF argument = BUF_LIMIT(SMTP_MAX_PATH + 32);
    struct smtp_reading reading = {.a = &a};
    struct smtp_address parsed;
    struct smtp_mail mail;

    BUF_PUT(&argument, "FROM:<");
    buf_put(&argument, address);
    BUF_PUT(&argument, "> SMTPUTF8");
    if (!address.n || argument.full || !smtp_parse_mail(&reading, buf_str(&argument), &mail, e))
        return fail(e, ERR_SYNTAX, "an address that cannot be sent");
    parsed = mail.from;
    // RFC 6531 3.2: without SMTPUTF8 a domain has its A-labels, and a localpart nothing of the kind.
    if (!may_be_utf8 && !str_is_ascii(parsed.domain) &&
        !domain_to_ascii(&a, parsed.domain, &parsed.domain, e))
        return false;
    if (!may_be_utf8 && !str_is_ascii(parsed.localpart))
        return fail(e, ERR_SYNTAX, "the address needs SMTPUTF8");
    BUF_PUT(out, "<");
    smtp_address_put(out, &parsed);
    BUF_PUT(out, ">");
    return true;
}

// xtext, RFC 3461 4.
static void xtext_put(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];

        if (ch > 32 && ch < 127 && ch != '+' && ch != '=')
            buf_put_char(out, (char)ch);
        else
            buf_printf(out, "+%02X", ch);
    }
}

// Nothing of a command that could not be written stays.
static bool end_command(struct buf *out, size_t start, bool is_ok, struct err *e)
{
    BUF_PUT(out, "\r\n");
    if (is_ok && out->full)
        is_ok = fail(e, ERR_LIMIT, "a command that is too long");
    if (!is_ok)
        out->n = start;
    return is_ok;
}

bool smtp_put_mail(struct buf *out, const struct smtp_send_mail *m, struct err *e)
{
    size_t start = out->n;

    BUF_PUT(out, "MAIL FROM:");
    if (!m->reverse_path.n)
        BUF_PUT(out, "<>");
    else if (!put_path(out, m->reverse_path, m->is_smtputf8, e))
        return end_command(out, start, false, e);
    if (m->has_size)
        buf_printf(out, " SIZE=%llu", (unsigned long long)m->size); // RFC 1870 5
    if (m->is_binary)
        BUF_PUT(out, " BODY=BINARYMIME"); // RFC 3030 3
    else if (m->is_8bitmime)
        BUF_PUT(out, " BODY=8BITMIME"); // RFC 6152 3
    else if (m->is_7bit)
        BUF_PUT(out, " BODY=7BIT");
    if (m->is_smtputf8)
        BUF_PUT(out, " SMTPUTF8"); // RFC 6531 3.4
    if (m->is_requiretls)
        BUF_PUT(out, " REQUIRETLS"); // RFC 8689 2
    if (m->ret == SMTP_RET_FULL)
        BUF_PUT(out, " RET=FULL"); // RFC 3461 4.3
    if (m->ret == SMTP_RET_HDRS)
        BUF_PUT(out, " RET=HDRS");
    if (m->envid.n && m->envid.n <= SMTP_MAX_ENVID) { // RFC 3461 4.4
        BUF_PUT(out, " ENVID=");
        xtext_put(out, m->envid);
    }
    return end_command(out, start, true, e);
}

// RFC 3461 4.1
static void put_notify(struct buf *out, unsigned notify)
{
    static const struct {
        unsigned bit;
        struct str name;
    } names[] = {{SMTP_NOTIFY_SUCCESS, STR_("SUCCESS")},
                 {SMTP_NOTIFY_FAILURE, STR_("FAILURE")},
                 {SMTP_NOTIFY_DELAY, STR_("DELAY")}};
    const char *before = " NOTIFY=";

    if (notify & SMTP_NOTIFY_NEVER) {
        BUF_PUT(out, " NOTIFY=NEVER");
        return;
    }
    for (size_t i = 0; i < COUNT(names); i++)
        if (notify & names[i].bit) {
            buf_put(out, str_of(before));
            buf_put(out, names[i].name);
            before = ",";
        }
}

static bool is_atom_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_alnum(s.p[i]) && s.p[i] != '-')
            return false;
    return s.n > 0 && s.n < 64;
}

bool smtp_put_rcpt(struct buf *out, const struct smtp_send_rcpt *r, struct err *e)
{
    size_t start = out->n;

    BUF_PUT(out, "RCPT TO:");
    if (str_eq_ci(r->address, STR("postmaster")))
        BUF_PUT(out, "<postmaster>"); // RFC 5321 4.1.1.3
    else if (!put_path(out, r->address, r->may_be_utf8, e))
        return end_command(out, start, false, e);
    put_notify(out, r->notify);
    if (r->orcpt.n && r->orcpt.n <= SMTP_MAX_ORCPT && is_atom_text(r->orcpt_type)) { // RFC 3461 4.2
        BUF_PUT(out, " ORCPT=");
        buf_put(out, r->orcpt_type);
        BUF_PUT(out, ";");
        xtext_put(out, r->orcpt);
    }
    return end_command(out, start, true, e);
}

bool smtp_put_hello(struct buf *out, bool is_ehlo, struct str name, struct err *e)
{
    size_t start = out->n;

    if (!str_is_ascii(name) || !smtp_is_hello(name) || str_find(name, ' ') != STR_NONE)
        return fail(e, ERR_SYNTAX, "a name that cannot be said in EHLO");
    buf_put(out, is_ehlo ? STR("EHLO ") : STR("HELO "));
    buf_put(out, name);
    return end_command(out, start, true, e);
}

/* --- DATA --------------------------------------------------------------------------------------- */

enum { STUFF_LINE_START, STUFF_IN_LINE, STUFF_CR };

static bool fail_bare(struct err *e)
{
    return fail(e, ERR_SYNTAX, "the message has a CR or LF that is no line end");
}

bool smtp_stuff(struct buf *out, int *state, struct str piece, struct err *e)
{
    while (piece.n) {
        ptrdiff_t cr;
        size_t n;

        if (*state == STUFF_CR) {
            if (piece.p[0] != '\n')
                return fail_bare(e);
            buf_put_char(out, '\n');
            piece = str_from(piece, 1);
            *state = STUFF_LINE_START;
            continue;
        }
        if (*state == STUFF_LINE_START && piece.p[0] == '.')
            buf_put_char(out, '.');
        // The rest of the line, with its CR.
        cr = str_find(piece, '\r');
        n = cr < 0 ? piece.n : (size_t)cr + 1;
        if (str_find(str_sub(piece, 0, n), '\n') >= 0)
            return fail_bare(e);
        buf_put(out, str_sub(piece, 0, n));
        piece = str_from(piece, n);
        *state = cr < 0 ? STUFF_IN_LINE : STUFF_CR;
    }
    return !out->full || fail(e, ERR_BUG, "no room for a piece of a message");
}

bool smtp_stuff_end(struct buf *out, int state, struct err *e)
{
    if (state == STUFF_CR)
        return fail(e, ERR_SYNTAX, "the message ends with a CR alone");
    if (state == STUFF_IN_LINE)
        BUF_PUT(out, "\r\n");
    BUF_PUT(out, ".\r\n");
    return true;
}
