#include "text/encode.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t n = bytes.n - i < 3 ? bytes.n - i : 3;
        uint32_t v = 0;

        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (k < n ? (unsigned char)bytes.p[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            buf_put_char(out, k <= n ? alphabet[v >> (18 - 6 * k) & 63] : '=');
    }
}

void base64_encode_lines(struct buf *out, struct str bytes)
{
    enum { LINE = 57 }; // 76 characters

    for (size_t at = 0; at < bytes.n; at += LINE) {
        base64_encode(out, str_sub(bytes, at, LINE));
        BUF_PUT(out, "\r\n");
    }
}

static int base64_value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode_strict(struct buf *out, struct str text)
{
    struct transfer_decoder d = {.encoding = TRANSFER_BASE64};
    size_t padding = 0;

    if (text.n % 4)
        return false;
    while (padding < 2 && padding < text.n && text.p[text.n - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < text.n - padding; i++)
        if (base64_value((unsigned char)text.p[i]) < 0)
            return false;
    // The bits that padding leaves over must be zero: one text for one value.
    if (padding && base64_value((unsigned char)text.p[text.n - padding - 1]) &
                       (padding == 2 ? 15 : 3))
        return false;
    transfer_feed(&d, text, out);
    return true;
}

void base64url_encode(struct buf *out, struct str bytes)
{
    AUTO_BUF b = BUF_LIMIT(4 * bytes.n + 4);

    base64_encode(&b, bytes);
    for (size_t i = 0; i < b.n && b.p[i] != '='; i++)
        buf_put_char(out, b.p[i] == '+' ? '-' : b.p[i] == '/' ? '_' : b.p[i]);
}

bool base64url_decode(struct buf *out, struct str text)
{
    AUTO_BUF b = BUF_LIMIT(text.n + 4);

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (c == '+' || c == '/' || c == '=')
            return false;
        buf_put_char(&b, c == '-' ? '+' : c == '_' ? '/' : c);
    }
    while (b.n % 4)
        buf_put_char(&b, '=');
    return base64_decode_strict(out, buf_str(&b));
}

static void feed_base64(struct transfer_decoder *d, struct str bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.n && !d->is_ended; i++) {
        int v = base64_value((unsigned char)bytes.p[i]);

        if (bytes.p[i] == '=')
            d->is_ended = true;
        if (v < 0)
            continue;
        d->bits = d->bits << 6 | (uint32_t)v;
        d->n_bits += 6;
        if (d->n_bits >= 8) {
            d->n_bits -= 8;
            buf_put_char(out, (char)(d->bits >> d->n_bits));
        }
    }
}

void crockford_put(struct buf *out, uint64_t v)
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    unsigned shift = 60;

    while (shift && !(v >> shift))
        shift -= 5;
    for (;; shift -= 5) {
        buf_put_char(out, digits[v >> shift & 31]);
        if (!shift)
            return;
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_upper(c);
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void put_spaces(struct transfer_decoder *d, struct buf *out)
{
    for (; d->n_spaces; d->n_spaces--)
        buf_put_char(out, ' ');
}

// One byte outside an escape. Spaces at the end of a line are not content (RFC 2045 6.7).
static void qp_plain(struct transfer_decoder *d, char c, struct buf *out)
{
    if (c == ' ' && d->n_spaces < 1000) {
        d->n_spaces++;
        return;
    }
    if (c == '\n' || c == '\r')
        d->n_spaces = 0;
    put_spaces(d, out);
    buf_put_char(out, c);
}

// How many of the next bytes stand for themselves: words, mostly.
static size_t qp_word(struct str bytes)
{
    size_t n = 0;

    while (n < bytes.n && bytes.p[n] != '=' && bytes.p[n] != ' ' && bytes.p[n] != '\r' && bytes.p[n] != '\n')
        n++;
    return n;
}

static void feed_qp(struct transfer_decoder *d, struct str bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.n; i++) {
        size_t word = d->n_held ? 0 : qp_word(str_from(bytes, i));
        char c;

        if (word) {
            put_spaces(d, out);
            buf_put(out, str_sub(bytes, i, word));
            i += word;
            if (i == bytes.n)
                break;
        }
        c = bytes.p[i];
        if (!d->n_held) {
            if (c == '=')
                d->held[d->n_held++] = c;
            else
                qp_plain(d, c, out);
            continue;
        }
        if (c == '\n') { // a soft line break
            put_spaces(d, out);
            d->n_held = 0;
            continue;
        }
        if ((c == '\r' || c == ' ' || c == '\t') && d->n_held == 1)
            continue;
        d->held[d->n_held++] = c;
        if (d->n_held < 3)
            continue;
        put_spaces(d, out);
        if (hex_value(d->held[1]) >= 0 && hex_value(d->held[2]) >= 0)
            buf_put_char(out, (char)(hex_value(d->held[1]) << 4 | hex_value(d->held[2])));
        else
            buf_put(out, str_at(d->held, 3)); // not an escape: shown as it is
        d->n_held = 0;
    }
}

void transfer_feed(struct transfer_decoder *d, struct str bytes, struct buf *out)
{
    switch (d->encoding) {
    case TRANSFER_IDENTITY:
        buf_put(out, bytes);
        break;
    case TRANSFER_BASE64:
        feed_base64(d, bytes, out);
        break;
    case TRANSFER_QUOTED_PRINTABLE:
        feed_qp(d, bytes, out);
        break;
    }
}

void transfer_end(struct transfer_decoder *d, struct buf *out)
{
    if (d->encoding != TRANSFER_QUOTED_PRINTABLE)
        return;
    put_spaces(d, out);
    if (d->n_held > 1)
        buf_put(out, str_at(d->held, d->n_held));
    d->n_held = 0;
}

void crlf_put(struct buf *out, struct str bytes, char *last)
{
    size_t kept = 0; // from here on nothing was put yet

    for (size_t at = 0; at < bytes.n;) {
        const char *lf = memchr(bytes.p + at, '\n', bytes.n - at);
        size_t n = lf ? (size_t)(lf - bytes.p) : bytes.n;
        char before = n ? bytes.p[n - 1] : *last;

        if (lf && before != '\r') {
            buf_put(out, str_sub(bytes, kept, n - kept));
            buf_put_char(out, '\r');
            kept = n;
        }
        at = n + 1;
    }
    buf_put(out, str_from(bytes, kept));
    if (bytes.n)
        *last = bytes.p[bytes.n - 1];
}

enum transfer_encoding transfer_of(struct str name)
{
    if (str_eq_ci(name, STR("base64")))
        return TRANSFER_BASE64;
    return str_eq_ci(name, STR("quoted-printable")) ? TRANSFER_QUOTED_PRINTABLE : TRANSFER_IDENTITY;
}

enum { REPLACEMENT = 0xfffd };

// Length of the well-formed sequence at the start of s, and its code point; 0 if malformed.
static size_t utf8_sequence(struct str s, uint32_t *out)
{
    unsigned char c = (unsigned char)s.p[0];
    size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3
               : c >= 0xf0 && c < 0xf5 ? 4 : 0;
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};

    if (!n || n > s.n)
        return 0;
    *out = n == 1 ? c : c & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if (((unsigned char)s.p[i] & 0xc0) != 0x80)
            return 0;
        *out = *out << 6 | ((unsigned char)s.p[i] & 0x3f);
    }
    if (*out < smallest[n] || (*out >= 0xd800 && *out < 0xe000) || *out > 0x10ffff)
        return 0;
    return n;
}

uint32_t utf8_next(struct str *s)
{
    uint32_t cp = REPLACEMENT;
    size_t n = utf8_sequence(*s, &cp);

    *s = str_from(*s, n ? n : 1);
    return n ? cp : REPLACEMENT;
}

bool utf8_is_valid(struct str s)
{
    uint32_t cp;

    while (s.n) {
        size_t n = utf8_sequence(s, &cp);

        if (!n)
            return false;
        s = str_from(s, n);
    }
    return true;
}

static bool is_shown(uint32_t cp)
{
    // Controls, then separators of lines, marks, embeddings, overrides and isolates (Unicode's UAX 9), and the
    // byte order mark.
    static const struct {
        uint32_t first, last;
    } hidden[] = {{0, 0x1f}, {0x7f, 0x9f}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0x61c, 0x61c},
                  {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f}};

    for (size_t i = 0; i < COUNT(hidden); i++)
        if (cp >= hidden[i].first && cp <= hidden[i].last)
            return false;
    return true;
}

void utf8_put_shown(struct buf *out, struct str s)
{
    while (s.n) {
        uint32_t cp = 0;
        size_t n = utf8_sequence(s, &cp), all = n ? n : 1;

        if (n && is_shown(cp))
            buf_put(out, str_sub(s, 0, n));
        else
            for (size_t i = 0; i < all; i++)
                buf_printf(out, "\\%03u", (unsigned char)s.p[i]);
        s = str_from(s, all);
    }
}

void utf8_put(struct buf *out, uint32_t cp)
{
    if (cp < 0x80) {
        buf_put_char(out, (char)cp);
    } else if (cp < 0x800) {
        buf_put_char(out, (char)(0xc0 | cp >> 6));
        buf_put_char(out, (char)(0x80 | (cp & 0x3f)));
    } else if (cp < 0x10000) {
        buf_put_char(out, (char)(0xe0 | cp >> 12));
        buf_put_char(out, (char)(0x80 | (cp >> 6 & 0x3f)));
        buf_put_char(out, (char)(0x80 | (cp & 0x3f)));
    } else {
        buf_put_char(out, (char)(0xf0 | cp >> 18));
        buf_put_char(out, (char)(0x80 | (cp >> 12 & 0x3f)));
        buf_put_char(out, (char)(0x80 | (cp >> 6 & 0x3f)));
        buf_put_char(out, (char)(0x80 | (cp & 0x3f)));
    }
}

void utf8_put_valid(struct buf *out, struct str s)
{
    while (s.n) {
        size_t n = str_ascii_n(s);

        buf_put(out, str_sub(s, 0, n)); // of which most text consists
        s = str_from(s, n);
        if (s.n)
            utf8_put(out, utf8_next(&s));
    }
}

static const char mutf7_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

// The bits of one UTF-16 unit; *n is how many are waiting.
static void mutf7_put_unit(struct buf *out, uint32_t unit, uint32_t *bits, unsigned *n)
{
    *bits = *bits << 16 | unit;
    *n += 16;
    while (*n >= 6) {
        *n -= 6;
        buf_put_char(out, mutf7_alphabet[*bits >> *n & 63]);
    }
}

void mutf7_encode(struct buf *out, struct str s)
{
    bool shifted = false;
    uint32_t bits = 0;
    unsigned n = 0;

    while (s.n) {
        uint32_t cp = utf8_next(&s);
        bool is_plain = cp >= 0x20 && cp < 0x7f;

        if (is_plain && shifted) {
            if (n)
                buf_put_char(out, mutf7_alphabet[bits << (6 - n) & 63]);
            buf_put_char(out, '-');
            shifted = false;
        }
        if (is_plain) {
            buf_put_char(out, (char)cp);
            if (cp == '&')
                buf_put_char(out, '-');
            continue;
        }
        if (!shifted) {
            buf_put_char(out, '&');
            shifted = true;
            bits = n = 0;
        }
        if (cp >= 0x10000) {
            mutf7_put_unit(out, 0xd800 + ((cp - 0x10000) >> 10), &bits, &n);
            cp = 0xdc00 + ((cp - 0x10000) & 0x3ff);
        }
        mutf7_put_unit(out, cp, &bits, &n);
    }
    if (!shifted)
        return;
    if (n)
        buf_put_char(out, mutf7_alphabet[bits << (6 - n) & 63]);
    buf_put_char(out, '-');
}

static bool decode_shifted(struct buf *out, struct str code)
{
    uint32_t bits = 0, high = 0;
    unsigned n = 0;

    for (size_t i = 0; i < code.n; i++) {
        const char *at = memchr(mutf7_alphabet, code.p[i], 64);
        uint32_t unit;

        if (!at)
            return false;
        bits = bits << 6 | (uint32_t)(at - mutf7_alphabet);
        n += 6;
        if (n < 16)
            continue;
        n -= 16;
        unit = bits >> n & 0xffff;
        if (high) {
            if (unit < 0xdc00 || unit >= 0xe000)
                return false;
            utf8_put(out, 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00));
            high = 0;
        } else if (unit >= 0xd800 && unit < 0xdc00) {
            high = unit;
        } else if ((unit >= 0xdc00 && unit < 0xe000) || (unit >= 0x20 && unit < 0x7f)) {
            return false; // a lone surrogate, or what needs no shift
        } else {
            utf8_put(out, unit);
        }
    }
    return !high && n < 6 && !(bits & ((1u << n) - 1));
}

bool mutf7_decode(struct buf *out, struct str text)
{
    while (text.n) {
        struct str code, rest;

        if ((unsigned char)text.p[0] < 0x20 || (unsigned char)text.p[0] >= 0x7f)
            return false;
        if (text.p[0] != '&') {
            buf_put_char(out, text.p[0]);
            text = str_from(text, 1);
            continue;
        }
        if (!str_cut(str_from(text, 1), '-', &code, &rest))
            return false;
        if (!code.n)
            buf_put_char(out, '&');
        else if (!decode_shifted(out, code) || str_starts(rest, STR("&")))
            // Two shifts in a row have a shorter form, unless the second is "&-".
            return code.n && str_starts(rest, STR("&-")) && mutf7_decode(out, rest);
        text = rest;
    }
    return true;
}

void json_put_string(struct buf *out, struct str s)
{
    buf_put_char(out, '"');
    while (s.n) {
        uint32_t cp = utf8_next(&s);

        if (cp == '"' || cp == '\\') {
            buf_put_char(out, '\\');
            buf_put_char(out, (char)cp);
        } else if (cp < 0x20 || cp == 0x7f || cp == 0x2028 || cp == 0x2029) {
            buf_printf(out, "\\u%04x", cp);
        } else {
            utf8_put(out, cp);
        }
    }
    buf_put_char(out, '"');
}
