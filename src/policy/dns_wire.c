#include "policy/dns_wire.h"

#include "base/cur.h"

enum { MAX_LABEL = 63, MAX_WIRE_NAME = 255 };

static bool is_plain(unsigned char c)
{
    return ascii_is_alnum((char)c) || c == '-' || c == '_';
}

static void put_byte(struct buf *out, unsigned char c)
{
    if (is_plain(c))
        buf_put_char(out, (char)c);
    else
        buf_printf(out, "\\%03u", c);
}

void dns_name_put_escaped(struct buf *out, struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] == '.')
            buf_put_char(out, '.');
        else
            put_byte(out, (unsigned char)name.p[i]);
}

void dns_name_put_wire(struct buf *out, struct str name)
{
    struct str label, rest;

    if (str_eq(name, STR(".")))
        name.n = 0;
    while (name.n) {
        if (!str_cut(name, '.', &label, &rest)) {
            label = name;
            rest = (struct str){0};
        }
        buf_put_char(out, (char)(unsigned char)label.n);
        buf_put(out, label);
        name = rest;
    }
    buf_put_char(out, 0);
}

static bool take_u8(struct cur *c, uint8_t *out)
{
    int ch = cur_next(c);

    *out = (uint8_t)ch;
    return ch >= 0;
}

static bool take_u16(struct cur *c, uint16_t *out)
{
    uint8_t high, low;

    if (!take_u8(c, &high) || !take_u8(c, &low))
        return false;
    *out = (uint16_t)(high << 8 | low);
    return true;
}

/* domain-name, RFC 1035 3.1: labels, the last one empty. A pointer is none (its length is over 63). */
static bool take_name(struct arena *a, struct cur *c, struct str *out)
{
    AUTO_BUF text = BUF_LIMIT(DNS_MAX_NAME_TEXT);
    size_t total = 1;
    uint8_t n;

    for (;;) {
        struct str label;

        if (!take_u8(c, &n) || n > MAX_LABEL || !cur_take(c, n, &label))
            return false;
        if (!n)
            break;
        total += 1u + n;
        if (total > MAX_WIRE_NAME)
            return false;
        if (text.n)
            buf_put_char(&text, '.');
        for (size_t i = 0; i < n; i++)
            put_byte(&text, (unsigned char)ascii_lower(label.p[i]));
    }
    *out = text.n ? arena_dup(a, buf_str(&text)) : STR(".");
    return !text.full;
}

/* TXT-DATA, RFC 1035 3.3.14; joined without anything between (RFC 7208 3.3, RFC 6376 3.6.2.2). */
static bool take_strings(struct arena *a, struct cur *c, struct str *out)
{
    AUTO_BUF text = BUF_LIMIT(UINT16_MAX);
    uint8_t n;

    do {
        struct str part;

        if (!take_u8(c, &n) || !cur_take(c, n, &part))
            return false;
        buf_put(&text, part);
    } while (cur_left(c));
    *out = arena_dup(a, buf_str(&text));
    return !text.full;
}

/* RFC 8659 4.1: flags, the length of the tag, tag and value. */
static bool take_caa(struct arena *a, struct cur *c, struct dns_record *out)
{
    struct str tag;
    uint8_t n;

    if (!take_u8(c, &out->flags) || !take_u8(c, &n) || !n || !cur_take(c, n, &tag))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!ascii_is_alnum(tag.p[i]))
            return false;
    out->name = arena_lower(a, tag);
    return cur_take(c, cur_left(c), &out->data);
}

static bool take_rdata(struct arena *a, enum dns_type type, struct cur *c, struct dns_record *out)
{
    switch (type) {
    case DNS_A:
        return cur_take(c, 4, &out->data);
    case DNS_AAAA:
        return cur_take(c, 16, &out->data);
    case DNS_CNAME:
    case DNS_NS:
    case DNS_PTR:
        return take_name(a, c, &out->name);
    case DNS_MX:
        return take_u16(c, &out->priority) && take_name(a, c, &out->name);
    case DNS_TXT:
        return take_strings(a, c, &out->data);
    case DNS_SRV:
        return take_u16(c, &out->priority) && take_u16(c, &out->weight) &&
               take_u16(c, &out->port) && take_name(a, c, &out->name);
    case DNS_TLSA:
        return take_u8(c, &out->usage) && take_u8(c, &out->selector) &&
               take_u8(c, &out->matching) && cur_take(c, cur_left(c), &out->data);
    case DNS_CAA:
        return take_caa(a, c, out);
    }
    return false;
}

bool dns_rdata_parse(struct arena *a, enum dns_type type, struct str rdata, struct dns_record *out,
                     struct err *e)
{
    struct cur c = cur_of(rdata);

    *out = (struct dns_record){0};
    return (take_rdata(a, type, &c, out) && !cur_left(&c)) ||
           fail(e, ERR_SYNTAX, "malformed %s record", dns_type_name(type));
}

bool dns_records_parse(struct arena *a, enum dns_type type, struct str bytes,
                       struct dns_answer *out, struct err *e)
{
    struct cur c = cur_of(bytes);
    struct dns_record *records = NULL;
    size_t n = 0, cap = 0;

    while (cur_left(&c)) {
        struct str rdata;
        uint16_t length;

        if (n == DNS_MAX_RECORDS)
            return fail(e, ERR_LIMIT, "more than %d records", DNS_MAX_RECORDS);
        if (!take_u16(&c, &length) || !cur_take(&c, length, &rdata))
            return fail(e, ERR_SYNTAX, "truncated list of records");
        if (!dns_rdata_parse(a, type, rdata, ARENA_PUSH(a, records, &n, &cap), e))
            return false;
    }
    out->records = records;
    out->n = n;
    return true;
}

bool dns_records_put(struct buf *out, struct str rdata)
{
    if (rdata.n > UINT16_MAX || out->n + 2 + rdata.n > out->limit)
        return false;
    buf_put_char(out, (char)(unsigned char)(rdata.n >> 8));
    buf_put_char(out, (char)(unsigned char)rdata.n);
    buf_put(out, rdata);
    return true;
}
