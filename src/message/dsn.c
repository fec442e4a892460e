#include "message/dsn.h"

#include "base/cur.h"
#include "message/header.h"
#include "text/date.h"
#include "text/encode.h"

enum {
    COLUMNS = 76,
    MAX_WORD = 400, // octets; longer ones are cut in pieces: a line has at most 998 octets (RFC 5322 2.1.1)
    MAX_LINE = 998,
};

static const struct {
    struct str word, subject, text;
} actions[] = {
    [DSN_FAILED] = {STR_("failed"), STR_("mail delivery failed"),
                    STR_("Your message could not be delivered to the following recipients, and will not be "
                         "tried again.")},
    [DSN_DELAYED] = {STR_("delayed"), STR_("mail delivery delayed"),
                     STR_("Your message could not be delivered to the following recipients yet. It will be "
                          "tried again; there is nothing you have to do.")},
    [DSN_DELIVERED] = {STR_("delivered"), STR_("mail delivered"),
                       STR_("Your message was delivered to the following recipients.")},
    [DSN_RELAYED] = {STR_("relayed"), STR_("mail relayed"),
                     STR_("Your message was handed over to another server for the following recipients. "
                          "That server does not report deliveries, so this is the last you hear of it.")},
    [DSN_EXPANDED] = {STR_("expanded"), STR_("mail delivered to a list"),
                      STR_("Your message was delivered to the following lists, which send it on to their "
                           "members.")},
};

struct str dsn_action_word(enum dsn_action action)
{
    return actions[action].word;
}

// Text of others on one line: runs of blanks and control characters are one space, no word is longer than a
// line may be, and without is_utf8 everything is ASCII (RFC 6533 3, EmbeddedUnicodeChar).
static void put_plain(struct buf *out, struct str s, bool is_utf8)
{
    size_t start = out->n, word = out->n; // where the last word begins
    bool has_space = false;

    while (s.n && out->n - start < DSN_MAX_TEXT) {
        uint32_t c = utf8_next(&s);

        if (c <= ' ' || c == 0x7f || (c >= 0x80 && c < 0xa0) || c == 0x2028 || c == 0x2029) {
            has_space = out->n > start;
            continue;
        }
        if (out->n - word >= MAX_WORD)
            has_space = true;
        if (has_space) {
            buf_put_char(out, ' ');
            word = out->n;
        }
        has_space = false;
        if (c < 0x80)
            buf_put_char(out, (char)c);
        else if (is_utf8)
            utf8_put(out, c);
        else
            buf_printf(out, "\\x{%02X}", (unsigned)c);
    }
}

static struct str plain(struct arena *a, struct str s, bool is_utf8)
{
    AUTO_BUF b = BUF_LIMIT(16 * DSN_MAX_TEXT);

    put_plain(&b, s, is_utf8);
    return arena_dup(a, buf_str(&b));
}

// A sentence in lines of the text part, each after indent.
static void put_wrapped(struct buf *out, struct str text, struct str indent)
{
    size_t column = 0;

    while (text.n) {
        struct str word = text;

        if (!str_cut(text, ' ', &word, &text))
            text = STR("");
        if (column && column + 1 + word.n > COLUMNS) {
            BUF_PUT(out, "\r\n");
            column = 0;
        }
        if (column)
            buf_put_char(out, ' ');
        else
            buf_put(out, indent);
        column += (column ? 1 : indent.n) + word.n;
        buf_put(out, word);
    }
    BUF_PUT(out, "\r\n");
}

/* RFC 6533 3: an address as a field of a report has it, with its type. */
static struct str typed_address(struct arena *a, struct str address, bool is_utf8)
{
    AUTO_BUF b = BUF_LIMIT(16 * DSN_MAX_TEXT);

    buf_put(&b, str_is_ascii(address) ? STR("rfc822;") : STR("utf-8;"));
    put_plain(&b, address, is_utf8);
    return arena_dup(a, buf_str(&b));
}

static bool put_date(struct buf *out, struct str name, int64_t unix_seconds, struct err *e)
{
    AUTO_BUF b = BUF_LIMIT(128);

    date_put(&b, (struct date){.unix_seconds = unix_seconds});
    return header_put(out, name, buf_str(&b), e);
}

// A field, unless there is nothing to say.
static bool put_field(struct buf *out, const char *name, struct str value, struct err *e)
{
    return !value.n || header_put(out, str_of(name), value, e);
}

/* RFC 5321 4.1.3: "192.0.2.1" or "IPv6:2001:db8::1" between brackets. */
static struct str address_literal(struct arena *a, struct str ip)
{
    return arena_printf(a, str_find(ip, ':') == STR_NONE ? "[%.*s]" : "[IPv6:%.*s]", STR_FMT(ip));
}

static struct str mta(struct arena *a, struct str name, struct str address)
{
    struct str literal = address.n ? address_literal(a, address) : STR("");

    if (!name.n && !address.n)
        return STR("");
    return arena_printf(a, "dns; %.*s%s%.*s%s", STR_FMT(name.n ? name : literal),
                        name.n && address.n ? " (" : "", STR_FMT(name.n ? literal : STR("")),
                        name.n && address.n ? ")" : "");
}

/* RFC 3464 2.3. */
static bool put_recipient(struct buf *out, const struct dsn *d, const struct dsn_recipient *r,
                          struct arena *a, struct err *e)
{
    struct str text = plain(a, r->text, d->is_utf8);
    struct str name = plain(a, r->remote_name, d->is_utf8);
    struct str address = plain(a, r->remote_address, d->is_utf8);

    BUF_PUT(out, "\r\n");
    return put_field(out, "Original-Recipient", plain(a, r->original, d->is_utf8), e) &&
           put_field(out, "Final-Recipient", typed_address(a, r->address, d->is_utf8), e) &&
           put_field(out, "Action", actions[r->action].word, e) &&
           put_field(out, "Status", plain(a, r->status, false), e) &&
           put_field(out, "Remote-MTA", mta(a, name, address), e) &&
           (!r->code || put_field(out, "Diagnostic-Code",
                                  arena_printf(a, "smtp; %u %.*s", r->code, STR_FMT(text)), e)) &&
           (!r->last_attempt_unix ||
            put_date(out, STR("Last-Attempt-Date"), r->last_attempt_unix, e)) &&
           (r->action != DSN_DELAYED || !r->retry_until_unix ||
            put_date(out, STR("Will-Retry-Until"), r->retry_until_unix, e));
}

/* RFC 3464 2.2, and then the recipients. */
static bool put_status(struct buf *out, const struct dsn *d, struct arena *a, struct err *e)
{
    if (!put_field(out, "Original-Envelope-Id", plain(a, d->envid, d->is_utf8), e) ||
        !put_field(out, "Reporting-MTA", mta(a, d->hostname, STR("")), e) ||
        !put_field(out, "Received-From-MTA", mta(a, plain(a, d->received_from, d->is_utf8), STR("")),
                   e) ||
        !put_date(out, STR("Arrival-Date"), d->queued_unix, e) ||
        !put_field(out, "Future-Release-Request", plain(a, d->future_release, false), e))
        return false;
    for (size_t i = 0; i < d->n_recipients; i++)
        if (!put_recipient(out, d, &d->recipients[i], a, e))
            return false;
    return true;
}

static void put_text(struct buf *out, const struct dsn *d, struct arena *a)
{
    enum dsn_action action = d->recipients[0].action;

    put_wrapped(out, arena_printf(a, "This is the mail server at %.*s.", STR_FMT(d->hostname)),
                STR(""));
    BUF_PUT(out, "\r\n");
    put_wrapped(out, actions[action].text, STR(""));
    for (size_t i = 0; i < d->n_recipients; i++) {
        const struct dsn_recipient *r = &d->recipients[i];
        struct str text = plain(a, r->text, d->is_utf8);
        struct str code = r->code ? arena_printf(a, "%u ", r->code) : STR("");

        BUF_PUT(out, "\r\n");
        put_wrapped(out, plain(a, r->address, d->is_utf8), STR("  "));
        if (text.n || code.n)
            put_wrapped(out, arena_printf(a, "%.*s%.*s", STR_FMT(code), STR_FMT(text)), STR("    "));
        if (r->action == DSN_DELAYED && r->retry_until_unix) {
            AUTO_BUF date = BUF_LIMIT(128);

            date_put(&date, (struct date){.unix_seconds = r->retry_until_unix});
            put_wrapped(out, arena_printf(a, "It is tried until %.*s.", STR_FMT(buf_str(&date))),
                        STR("    "));
        }
    }
}

/* What bytes need to be sent as they are (RFC 2045 2.7 to 2.9). */
enum kind { KIND_7BIT, KIND_8BIT, KIND_BINARY };
static enum kind kind_of(struct str s)
{
    enum kind kind = KIND_7BIT;
    size_t line = 0;

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '\n') {
            if (!i || s.p[i - 1] != '\r')
                return KIND_BINARY;
            line = 0;
            continue;
        }
        if (!c || ++line > MAX_LINE + 1 || (c == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')))
            return KIND_BINARY;
        if (c > 127)
            kind = KIND_8BIT;
    }
    return kind;
}

// The header of a message with the line end of its last field; whole lines only.
static struct str header_of(struct str message)
{
    ptrdiff_t end = str_find_str(message, STR("\r\n\r\n"));
    ptrdiff_t last;

    if (str_starts(message, STR("\r\n")))
        return STR("");
    if (end != STR_NONE && end + 2 <= DSN_MAX_HEADER)
        return str_sub(message, 0, (size_t)end + 2);
    if (message.n <= DSN_MAX_HEADER && end == STR_NONE && str_ends(message, STR("\r\n")))
        return message;
    message = str_sub(message, 0, DSN_MAX_HEADER);
    last = str_find_last(message, '\n');
    return str_sub(message, 0, last == STR_NONE ? 0 : (size_t)last + 1);
}

static void put_base64(struct buf *out, struct str bytes)
{
    for (size_t at = 0; at < bytes.n; at += COLUMNS / 4 * 3) {
        base64_encode(out, str_sub(bytes, at, COLUMNS / 4 * 3));
        BUF_PUT(out, "\r\n");
    }
}

/* RFC 6522 3: the message or its header, as a part that needs nothing the other parts do not. */
static void put_original(struct buf *out, const struct dsn *d)
{
    enum kind kind = kind_of(d->original);
    struct str header;

    // message/rfc822 has no transfer encoding (RFC 2046 5.2.1): what needs one is not returned whole.
    if (d->is_full && d->original.n <= DSN_MAX_ORIGINAL && kind != KIND_BINARY) {
        buf_put(out, d->is_utf8 ? STR("Content-Type: message/global\r\n")
                                : STR("Content-Type: message/rfc822\r\n"));
        if (kind == KIND_8BIT)
            BUF_PUT(out, "Content-Transfer-Encoding: 8bit\r\n");
        BUF_PUT(out, "\r\n");
        buf_put(out, d->original);
        return;
    }
    header = header_of(d->original);
    kind = kind_of(header);
    buf_put(out, d->is_utf8 ? STR("Content-Type: message/global-headers\r\n")
            : kind == KIND_7BIT ? STR("Content-Type: text/rfc822-headers\r\n")
                                : STR("Content-Type: text/rfc822-headers; charset=utf-8\r\n"));
    if (kind == KIND_7BIT || (kind == KIND_8BIT && d->is_utf8)) {
        if (kind == KIND_8BIT)
            BUF_PUT(out, "Content-Transfer-Encoding: 8bit\r\n");
        BUF_PUT(out, "\r\n");
        buf_put(out, header);
    } else {
        BUF_PUT(out, "Content-Transfer-Encoding: base64\r\n\r\n");
        put_base64(out, header);
    }
}

static void put_boundary(struct buf *out, const struct dsn *d, struct str end)
{
    BUF_PUT(out, "\r\n--");
    buf_put(out, d->boundary);
    buf_put(out, end);
    BUF_PUT(out, "\r\n");
}

static bool put_header(struct buf *out, const struct dsn *d, struct arena *a, struct err *e)
{
    struct str type = arena_printf(a, "multipart/report; report-type=\"%sdelivery-status\"; "
                                      "boundary=\"%.*s\"",
                                   d->is_utf8 ? "global-" : "", STR_FMT(d->boundary));

    return put_field(out, "From", arena_printf(a, "<%.*s>", STR_FMT(plain(a, d->from, true))), e) &&
           put_field(out, "To", arena_printf(a, "<%.*s>", STR_FMT(plain(a, d->to, true))), e) &&
           put_field(out, "Subject", actions[d->recipients[0].action].subject, e) &&
           put_date(out, STR("Date"), d->now_unix, e) &&
           put_field(out, "Message-Id", d->message_id, e) &&
           put_field(out, "References", plain(a, d->references, d->is_utf8), e) &&
           put_field(out, "Auto-Submitted", STR("auto-replied"), e) && // RFC 3834 3.1.8
           put_field(out, "User-Agent", STR("mox/" MOX_VERSION), e) &&
           put_field(out, "MIME-Version", STR("1.0"), e) && put_field(out, "Content-Type", type, e);
}

bool dsn_put(struct buf *out, const struct dsn *d, bool *has_8bit, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    size_t start = out->n;

    if (str_find_str(d->original, d->boundary) != STR_NONE)
        return fail(e, ERR_CONFLICT, "the original has the boundary in it");
    if (!put_header(out, d, &a, e))
        return false;
    put_boundary(out, d, STR(""));
    buf_put(out, d->is_utf8 ? STR("Content-Type: text/plain; charset=utf-8\r\n"
                                  "Content-Transfer-Encoding: 8bit\r\n\r\n")
                            : STR("Content-Type: text/plain; charset=us-ascii\r\n\r\n"));
    put_text(out, d, &a);
    put_boundary(out, d, STR(""));
    buf_put(out, d->is_utf8 ? STR("Content-Type: message/global-delivery-status\r\n"
                                  "Content-Transfer-Encoding: 8bit\r\n\r\n")
                            : STR("Content-Type: message/delivery-status\r\n\r\n"));
    if (!put_status(out, d, &a, e))
        return false;
    put_boundary(out, d, STR(""));
    put_original(out, d);
    put_boundary(out, d, STR("--"));
    *has_8bit = !str_is_ascii(str_from(buf_str(out), start));
    return !out->full || fail(e, ERR_LIMIT, "the report is too long");
}
