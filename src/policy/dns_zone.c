#include "policy/dns_zone.h"

#include "base/cur.h"
#include "base/ip.h"

enum { TTL = 300 };

struct dns_zone_entry {
    struct str name; // lower case
    bool is_any;     // every type
    enum dns_type type;
    enum dns_status status;
    bool is_secure;
    struct str why;
    struct dns_record record;
};

static bool is_blank(unsigned char c)
{
    return c == ' ' || c == '\t';
}

static bool is_word(unsigned char c)
{
    return !is_blank(c);
}

static struct str take_word(struct cur *c)
{
    cur_while(c, is_blank);
    return cur_while(c, is_word);
}

static bool take_number(struct cur *c, uint64_t max, uint64_t *out)
{
    return str_u64(take_word(c), max, out);
}

static struct str name_of(struct arena *a, struct str word)
{
    if (word.n > 1 && word.p[word.n - 1] == '.')
        word.n--;
    return arena_lower(a, word);
}

// The name at the beginning of a line: "\032" is a space in it.
static struct str owner_of(struct arena *a, struct str word)
{
    AUTO_BUF name = BUF_LIMIT(4 * DNS_MAX_NAME);
    struct cur c = cur_of(word);
    struct str digits;
    uint64_t v;
    int ch;

    while ((ch = cur_next(&c)) >= 0) {
        if (ch == '\\') {
            if (!cur_take(&c, 3, &digits) || !str_u64(digits, 255, &v))
                return STR("");
            ch = (int)v;
        }
        buf_put_char(&name, (char)(unsigned char)ch);
    }
    return name_of(a, buf_str(&name));
}

static bool take_host(struct arena *a, struct cur *c, struct str *out)
{
    *out = name_of(a, take_word(c));
    return dns_name_is_ok(*out);
}

static bool take_address(struct arena *a, struct cur *c, unsigned family, struct str *out)
{
    struct ip ip;

    if (!ip_parse(take_word(c), &ip) || ip.family != family)
        return false;
    *out = arena_dup(a, ip_bytes(&ip));
    return true;
}

// One byte of a quoted string, after a backslash: itself, or three decimal digits.
static bool take_escape(struct cur *c, struct buf *out)
{
    uint64_t v;
    struct str digits;

    if (!ascii_is_digit((char)cur_peek(c))) {
        int ch = cur_next(c);

        buf_put_char(out, (char)ch);
        return ch >= 0;
    }
    if (!cur_take(c, 3, &digits) || !str_u64(digits, 255, &v))
        return false;
    buf_put_char(out, (char)(unsigned char)v);
    return true;
}

static bool take_text(struct arena *a, struct cur *c, struct str *out)
{
    AUTO_BUF text = BUF_LIMIT(DNS_MAX_ANSWER);

    cur_while(c, is_blank);
    if (cur_peek(c) != '"') {
        *out = str_trim(cur_rest(c));
        c->p = c->end;
        return true;
    }
    while (cur_skip(c, '"')) {
        int ch;

        while ((ch = cur_next(c)) != '"')
            if (ch < 0 || (ch == '\\' && !take_escape(c, &text)))
                return false;
            else if (ch != '\\')
                buf_put_char(&text, (char)ch);
        cur_while(c, is_blank);
    }
    *out = arena_dup(a, buf_str(&text));
    return !text.full;
}

static bool take_hex(struct arena *a, struct cur *c, struct str *out)
{
    struct str word = take_word(c);
    char *bytes = arena_alloc(a, word.n / 2 + 1);

    for (size_t i = 0; i < word.n; i++) {
        char ch = ascii_lower(word.p[i]);
        int digit = ascii_is_digit(ch) ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;

        if (digit < 0)
            return false;
        bytes[i / 2] = (char)(unsigned char)((unsigned char)bytes[i / 2] << 4 | digit);
    }
    *out = str_at(bytes, word.n / 2);
    return word.n % 2 == 0;
}

static bool take_data(struct arena *a, struct cur *c, enum dns_type type, struct dns_record *out)
{
    uint64_t v[3] = {0};

    switch (type) {
    case DNS_A:
        return take_address(a, c, 4, &out->data);
    case DNS_AAAA:
        return take_address(a, c, 6, &out->data);
    case DNS_CNAME:
    case DNS_NS:
    case DNS_PTR:
        return take_host(a, c, &out->name);
    case DNS_MX:
        if (!take_number(c, UINT16_MAX, &v[0]))
            return false;
        out->priority = (uint16_t)v[0];
        return take_host(a, c, &out->name);
    case DNS_TXT:
        return take_text(a, c, &out->data);
    case DNS_SRV:
        for (size_t i = 0; i < 3; i++)
            if (!take_number(c, UINT16_MAX, &v[i]))
                return false;
        out->priority = (uint16_t)v[0];
        out->weight = (uint16_t)v[1];
        out->port = (uint16_t)v[2];
        return take_host(a, c, &out->name);
    case DNS_TLSA:
        for (size_t i = 0; i < 3; i++)
            if (!take_number(c, UINT8_MAX, &v[i]))
                return false;
        out->usage = (uint8_t)v[0];
        out->selector = (uint8_t)v[1];
        out->matching = (uint8_t)v[2];
        return take_hex(a, c, &out->data);
    case DNS_CAA:
        if (!take_number(c, UINT8_MAX, &v[0]))
            return false;
        out->flags = (uint8_t)v[0];
        out->name = arena_lower(a, take_word(c));
        return take_text(a, c, &out->data);
    }
    return false;
}

static bool take_failure(struct cur *c, struct dns_zone_entry *out)
{
    static const struct {
        const char *word;
        enum dns_status status;
        const char *why;
    } failures[] = {
        {"!timeout", DNS_TEMPORARY, "no answer in time"},
        {"!servfail", DNS_TEMPORARY, "the servers of the name fail"},
        {"!nxdomain", DNS_NXDOMAIN, ""},
        {"!nodata", DNS_NODATA, ""},
        {"!bogus", DNS_BOGUS, "the signatures are wrong"},
    };
    struct str word = take_word(c);

    for (size_t i = 0; i < COUNT(failures); i++)
        if (str_eq(word, str_of(failures[i].word))) {
            out->status = failures[i].status;
            out->why = str_of(failures[i].why);
            return true;
        }
    return false;
}

static bool parse_line(struct arena *a, struct str line, struct dns_zone *z, bool *is_secure)
{
    struct cur c = cur_of(line);
    struct dns_zone_entry *entry;
    struct str name = take_word(&c), type;

    if (!name.n || name.p[0] == '#')
        return true;
    if (str_eq(name, STR("$secure"))) {
        *is_secure = str_eq(take_word(&c), STR("yes"));
        return true;
    }
    entry = ARENA_PUSH(a, z->entries, &z->n, &z->cap);
    entry->name = owner_of(a, name);
    entry->is_secure = *is_secure;
    type = take_word(&c);
    entry->is_any = str_eq(type, STR("*"));
    if (!dns_name_is_ok(entry->name) || (!entry->is_any && !dns_type_parse(type, &entry->type)))
        return false;
    cur_while(&c, is_blank);
    if (cur_peek(&c) == '!' ? !take_failure(&c, entry)
                            : entry->is_any || !take_data(a, &c, entry->type, &entry->record))
        return false;
    return !str_trim(cur_rest(&c)).n;
}

bool dns_zone_parse(struct arena *a, struct str text, struct dns_zone *out, struct err *e)
{
    struct cur c = cur_of(text);
    struct str line;
    bool is_secure = false;
    unsigned number = 0;

    *out = (struct dns_zone){0};
    while (cur_line(&c, &line)) {
        number++;
        if (!parse_line(a, line, out, &is_secure))
            return fail(e, ERR_SYNTAX, "line %u of the zone is malformed", number);
    }
    return true;
}

static bool is_below(struct str name, struct str zone)
{
    return name.n > zone.n && str_ends(name, zone) && name.p[name.n - zone.n - 1] == '.';
}

// The answer for one name; true when it is an alias that is to be followed, in *target.
static bool answer_one(const struct dns_zone *z, struct arena *a, struct str name,
                       enum dns_type type, struct dns_answer *out, struct str *target)
{
    struct dns_record *records = NULL;
    size_t n = 0, cap = 0;
    bool exists = false;

    for (size_t i = 0; i < z->n; i++) {
        const struct dns_zone_entry *entry = &z->entries[i];
        bool is_own = str_eq(entry->name, name);

        exists |= is_own || is_below(entry->name, name);
        if (!is_own || !(entry->is_any || entry->type == type || entry->type == DNS_CNAME))
            continue;
        if (entry->status != DNS_OK) {
            out->status = entry->status;
            out->is_secure &= entry->is_secure && dns_is_none(out);
            out->why = entry->why;
            return false;
        }
        out->is_secure &= entry->is_secure;
        if (entry->type == DNS_CNAME && type != DNS_CNAME) {
            *target = entry->record.name;
            return true;
        }
        *ARENA_PUSH(a, records, &n, &cap) = entry->record;
    }
    out->status = n ? DNS_OK : exists ? DNS_NODATA : DNS_NXDOMAIN;
    out->is_secure &= n > 0;
    out->name = n ? name : STR("");
    out->records = records;
    out->n = n;
    return false;
}

static void lookup(void *ctx, struct arena *a, struct str name, enum dns_type type,
                   struct dns_answer *out)
{
    struct dns_zone *z = ctx;

    z->n_lookups++;
    name = arena_lower(a, name);
    *out = (struct dns_answer){.ttl = TTL, .is_secure = true};
    for (int i = 0; i <= DNS_ZONE_MAX_CNAMES; i++)
        if (!answer_one(z, a, name, type, out, &name))
            return;
    *out = (struct dns_answer){.status = DNS_TEMPORARY, .why = STR("a loop of aliases")};
}

struct dns dns_zone_dns(struct dns_zone *zone)
{
    return (struct dns){.ctx = zone, .lookup = lookup};
}
