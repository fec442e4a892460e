#include "policy/dns_update.h"

#include "base/cur.h"
#include "policy/dns.h"
#include "policy/dns_wire.h"

enum {
    HEADER = 12,
    FLAG_RESPONSE = 0x80, OPCODE_UPDATE = 5, // RFC 2136 2.2
    TYPE_SOA = 6, TYPE_TXT = 16, TYPE_TSIG = 250,
    CLASS_IN = 1, CLASS_NONE = 254, CLASS_ANY = 255,
    MAX_RECORDS = 100,
    MAX_JUMPS = 20, // of a name
    BEHIND_MAC = 6, // original ID, error, length of other data: there is none
};

static const char algorithm[] = "hmac-sha256";

static void put_u16(struct buf *out, unsigned v)
{
    buf_put_char(out, (char)(unsigned char)(v >> 8));
    buf_put_char(out, (char)(unsigned char)v);
}

static void put_u32(struct buf *out, uint32_t v)
{
    put_u16(out, v >> 16);
    put_u16(out, v & 0xffff);
}

// RFC 8945 4.2: 48 bits.
static void put_time(struct buf *out, int64_t time)
{
    put_u16(out, (unsigned)(time >> 32) & 0xffff);
    put_u32(out, (uint32_t)time);
}

static void put_record(struct buf *out, struct str name, unsigned type, unsigned class, uint32_t ttl)
{
    dns_name_put_wire(out, name);
    put_u16(out, type);
    put_u16(out, class);
    put_u32(out, ttl);
}

static void put_text(struct buf *out, struct str text)
{
    put_u16(out, (unsigned)text.n + 1);
    buf_put_char(out, (char)(unsigned char)text.n);
    buf_put(out, text);
}

// RFC 2136 2.5: one section says which zone, another what changes in it.
static void put_changes(struct buf *out, const struct dns_update *u)
{
    dns_name_put_wire(out, u->zone);
    put_u16(out, TYPE_SOA);
    put_u16(out, CLASS_IN);
    if (u->is_set) {
        put_record(out, u->name, TYPE_TXT, CLASS_ANY, 0); // 2.5.2: the RRset goes
        put_u16(out, 0);
        put_record(out, u->name, TYPE_TXT, CLASS_IN, DNS_UPDATE_TTL);
    } else {
        put_record(out, u->name, TYPE_TXT, CLASS_NONE, 0); // 2.5.4
    }
    put_text(out, u->text);
}

static void put_header(struct buf *out, const struct dns_update *u, unsigned n_additional)
{
    put_u16(out, u->id);
    put_u16(out, OPCODE_UPDATE << 11);
    put_u16(out, 1);
    put_u16(out, 0);
    put_u16(out, u->is_set ? 2 : 1);
    put_u16(out, n_additional);
}

// RFC 8945 4.3.3: the fields of the record that the MAC is of as well.
static void put_variables(struct buf *out, struct str key_name, int64_t time, unsigned fudge, unsigned error,
                          struct str other)
{
    dns_name_put_wire(out, key_name);
    put_u16(out, CLASS_ANY);
    put_u32(out, 0); // TTL
    dns_name_put_wire(out, STR(algorithm));
    put_time(out, time);
    put_u16(out, fudge);
    put_u16(out, error);
    put_u16(out, (unsigned)other.n);
    buf_put(out, other);
}

// RFC 8945 4.2.
static void put_tsig(struct buf *out, const struct dns_update *u, struct str mac)
{
    AUTO_BUF data = BUF_LIMIT(DNS_UPDATE_MAX);

    dns_name_put_wire(&data, STR(algorithm));
    put_time(&data, u->time);
    put_u16(&data, DNS_UPDATE_FUDGE_S);
    put_u16(&data, (unsigned)mac.n);
    buf_put(&data, mac);
    put_u16(&data, u->id);
    put_u16(&data, 0);
    put_u16(&data, 0);
    put_record(out, u->key_name, TYPE_TSIG, CLASS_ANY, 0);
    put_u16(out, (unsigned)data.n);
    buf_put(out, buf_str(&data));
}

bool dns_update_put(struct buf *out, const struct dns_update *u, struct str secret, struct err *e)
{
    AUTO_BUF body = BUF_LIMIT(DNS_UPDATE_MAX), input = BUF_LIMIT(DNS_UPDATE_MAX);
    unsigned char mac[SHA256_BYTES];

    if (!dns_name_is_ok(u->zone) || !dns_name_is_ok(u->name) || !dns_name_is_ok(u->key_name) ||
        u->text.n > DNS_UPDATE_MAX_TEXT)
        return fail(e, ERR_LIMIT, "no names or text for an update of the DNS");
    put_changes(&body, u);
    put_header(&input, u, 0);
    buf_put(&input, buf_str(&body));
    put_variables(&input, u->key_name, u->time, DNS_UPDATE_FUDGE_S, 0, STR(""));
    hmac_sha256(secret, buf_str(&input), mac);
    put_header(out, u, 1);
    buf_put(out, buf_str(&body));
    put_tsig(out, u, str_at(mac, sizeof mac));
    return !(body.full || input.full || out->full) || fail(e, ERR_LIMIT, "an update of the DNS that is too long");
}

uint16_t dns_update_id(struct str message)
{
    return (uint16_t)((unsigned char)message.p[0] << 8 | (unsigned char)message.p[1]);
}

struct str dns_update_mac(struct str message)
{
    return str_sub(message, message.n - BEHIND_MAC - SHA256_BYTES, SHA256_BYTES);
}

/* --- the answer -------------------------------------------------------------------------------------------------- */

static bool take_u16(struct cur *c, unsigned *out)
{
    struct str two;

    if (!cur_take(c, 2, &two))
        return false;
    *out = (unsigned)(unsigned char)two.p[0] << 8 | (unsigned char)two.p[1];
    return true;
}

static bool take_time(struct cur *c, int64_t *out)
{
    unsigned high, middle, low;

    if (!take_u16(c, &high) || !take_u16(c, &middle) || !take_u16(c, &low))
        return false;
    *out = (int64_t)high << 32 | (int64_t)middle << 16 | low;
    return true;
}

// RFC 1035 4.1.4: after a pointer the name goes on elsewhere in the message, and here it has ended.
static bool take_name(struct cur *c, struct str message, struct buf *text)
{
    struct cur at = *c;
    unsigned jumps = 0;

    for (;;) {
        int n = cur_next(&at);
        struct str label;

        if (n < 0 || (n > 63 && n < 0xc0))
            return false;
        if (n >= 0xc0) {
            int low = cur_next(&at);
            size_t to = (size_t)(n & 0x3f) << 8 | (size_t)low;

            if (low < 0 || to >= message.n || ++jumps > MAX_JUMPS)
                return false;
            if (jumps == 1)
                c->p = at.p;
            at = cur_of(str_from(message, to));
            continue;
        }
        if (!n)
            break;
        if (!cur_take(&at, (size_t)n, &label))
            return false;
        if (text->n)
            buf_put_char(text, '.');
        for (size_t i = 0; i < label.n; i++)
            buf_put_char(text, ascii_lower(label.p[i]));
        if (text->full)
            return false;
    }
    if (!jumps)
        c->p = at.p;
    return true;
}

struct record {
    struct str name, data;
    unsigned type, class;
    bool has_ttl; // another than 0
};

static bool take_record(struct cur *c, struct str message, bool is_question, struct buf *name, struct record *out)
{
    struct str ttl;
    unsigned n;

    buf_reset(name);
    if (!take_name(c, message, name) || !take_u16(c, &out->type) || !take_u16(c, &out->class))
        return false;
    out->name = buf_str(name);
    if (is_question)
        return true;
    if (!cur_take(c, 4, &ttl) || !take_u16(c, &n) || !cur_take(c, n, &out->data))
        return false;
    out->has_ttl = !str_eq(ttl, STR("\0\0\0\0"));
    return true;
}

static bool parse_tsig(struct str message, const struct record *r, struct dns_update_answer *out)
{
    AUTO_BUF name = BUF_LIMIT(DNS_MAX_NAME);
    struct cur c = cur_of(r->data);
    unsigned n_mac, n_other;

    return take_name(&c, message, &name) && str_eq(buf_str(&name), STR(algorithm)) && take_time(&c, &out->time) &&
           take_u16(&c, &out->fudge) && take_u16(&c, &n_mac) && cur_take(&c, n_mac, &out->mac) &&
           take_u16(&c, &out->original_id) && take_u16(&c, &out->error) && take_u16(&c, &n_other) &&
           cur_take(&c, n_other, &out->other) && !cur_left(&c);
}

// The record is the last one (RFC 8945 5.1): nothing behind it that nobody vouches for.
static bool parse_records(struct cur *c, struct str message, const unsigned counts[4], struct str key_name,
                          struct dns_update_answer *out)
{
    unsigned n = counts[0] + counts[1] + counts[2] + counts[3];
    AUTO_BUF name = BUF_LIMIT(DNS_MAX_NAME);
    struct record r = {0};

    if (n > MAX_RECORDS)
        return false;
    for (unsigned i = 0; i < n; i++) {
        size_t at = message.n - cur_left(c);

        if (!take_record(c, message, i < counts[0], &name, &r))
            return false;
        if (i < counts[0] || r.type != TYPE_TSIG)
            continue;
        if (i < n - 1 || !counts[3] || r.class != CLASS_ANY || r.has_ttl || !str_eq(r.name, key_name) || !parse_tsig(message, &r, out))
            return false;
        out->is_signed = true;
        out->signed_bytes = at;
    }
    return !cur_left(c);
}

bool dns_update_answer_parse(struct str message, uint16_t id, struct str key_name, struct dns_update_answer *out,
                             struct err *e)
{
    struct cur c = cur_of(message);
    unsigned counts[4], own_id, flags;
    bool is_ok = take_u16(&c, &own_id) && take_u16(&c, &flags);

    *out = (struct dns_update_answer){0};
    for (size_t i = 0; i < COUNT(counts); i++)
        is_ok = is_ok && take_u16(&c, &counts[i]);
    if (!is_ok || own_id != id || !(flags & FLAG_RESPONSE << 8) || (flags >> 11 & 15) != OPCODE_UPDATE)
        return fail(e, ERR_SYNTAX, "no answer to the update");
    out->rcode = flags & 15;
    return parse_records(&c, message, counts, key_name, out) ||
           fail(e, ERR_SYNTAX, "malformed answer to the update");
}

void dns_update_answer_put_signed(struct buf *out, struct str message, const struct dns_update_answer *answer,
                                  struct str key_name, struct str request_mac)
{
    unsigned n_additional = (unsigned)(unsigned char)message.p[HEADER - 2] << 8 | (unsigned char)message.p[HEADER - 1];

    put_u16(out, (unsigned)request_mac.n);
    buf_put(out, request_mac);
    put_u16(out, answer->original_id);
    buf_put(out, str_sub(message, 2, HEADER - 4));
    put_u16(out, n_additional - 1);
    buf_put(out, str_sub(message, HEADER, answer->signed_bytes - HEADER));
    put_variables(out, key_name, answer->time, answer->fudge, answer->error, answer->other);
}

static const char *rcode_name(unsigned rcode)
{
    // RFC 2136 2.2, RFC 8945 3.
    static const char *const names[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN",
                                        "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE", "", "", "", "", "", "BADSIG",
                                        "BADKEY", "BADTIME"};

    return rcode < COUNT(names) && names[rcode][0] ? names[rcode] : "an unknown error";
}

bool dns_update_is_done(const struct dns_update_answer *a, int64_t now, struct err *e)
{
    int64_t off = now > a->time ? now - a->time : a->time - now;

    if (a->is_signed && a->error)
        return fail(e, ERR_DENIED, "the server says %s", rcode_name(a->error));
    if (a->rcode)
        return fail(e, ERR_DENIED, "the server says %s", rcode_name(a->rcode));
    if (!a->is_signed)
        return fail(e, ERR_DENIED, "the server's answer is not signed");
    // RFC 8945 5.2.3.
    return off <= a->fudge || fail(e, ERR_TEMPORARY, "the server's answer is of another time");
}
