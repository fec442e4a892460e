#include "proto/http/proxy.h"

#include "base/cur.h"

enum {
    FIRST = 8,      // bytes by which the versions are told apart; no header is shorter
    MAX_LINE = 107, // version 1
    FIXED = 16,     // version 2, before the addresses
};

static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";

static bool is_version_2(struct str in)
{
    return str_starts(in, str_at(signature, FIRST));
}

static size_t length_of(struct str in)
{
    return (size_t)(unsigned char)in.p[14] << 8 | (unsigned char)in.p[15];
}

bool proxy_need(struct str in, size_t *more, struct err *e)
{
    *more = in.n < FIRST ? FIRST - in.n : 0;
    if (*more)
        return true;
    if (is_version_2(in)) {
        *more = in.n < FIXED ? FIXED - in.n : 0;
        if (*more)
            return true;
        if (length_of(in) > PROXY_MAX_HEADER - FIXED)
            return fail(e, ERR_LIMIT, "the header of the PROXY protocol is too long");
        *more = FIXED + length_of(in) > in.n ? FIXED + length_of(in) - in.n : 0;
        return true;
    }
    if (!str_starts(in, STR("PROXY ")))
        return fail(e, ERR_SYNTAX, "no header of the PROXY protocol");
    if (str_ends(in, STR("\n")))
        return str_ends(in, STR("\r\n")) || fail(e, ERR_SYNTAX, "a line ends in LF without CR");
    *more = 1;
    return in.n < MAX_LINE || fail(e, ERR_LIMIT, "the header of the PROXY protocol is too long");
}

static bool next_word(struct str *rest, struct str *out)
{
    return str_cut(*rest, ' ', out, rest) && out->n;
}

static bool parse_line(struct str line, bool *has_source, struct ip *source, struct err *e)
{
    struct str rest = str_from(line, 6), family, from, to, from_port;
    struct ip target;
    uint64_t port;

    if (str_eq(rest, STR("UNKNOWN")) || str_starts(rest, STR("UNKNOWN ")))
        return true;
    if (!next_word(&rest, &family) || !next_word(&rest, &from) || !next_word(&rest, &to) ||
        !next_word(&rest, &from_port) || !ip_parse(from, source) || !ip_parse(to, &target) ||
        source->family != target.family || !str_eq(family, source->family == 4 ? STR("TCP4") : STR("TCP6")) ||
        !str_u64(from_port, 65535, &port) || !str_u64(rest, 65535, &port))
        return fail(e, ERR_SYNTAX, "malformed header of the PROXY protocol");
    *has_source = true;
    return true;
}

static bool parse_binary(struct str header, bool *has_source, struct ip *source, struct err *e)
{
    unsigned command = (unsigned char)header.p[12], family = (unsigned char)header.p[13];
    size_t octets = family == 0x11 ? 4 : family == 0x21 ? 16 : 0; // TCP over IPv4, over IPv6
    struct str addresses = str_from(header, FIXED);

    if (!str_starts(header, str_at(signature, 12)) || (command != 0x20 && command != 0x21))
        return fail(e, ERR_SYNTAX, "malformed header of the PROXY protocol");
    if (command == 0x20 || !octets) // LOCAL: a check of the proxy's own; others are no clients of ours
        return true;
    if (addresses.n < 2 * octets + 4 || !ip_of_bytes(str_sub(addresses, 0, octets), source))
        return fail(e, ERR_SYNTAX, "malformed header of the PROXY protocol");
    *has_source = true;
    return true;
}

bool proxy_parse(struct str header, bool *has_source, struct ip *source, struct err *e)
{
    size_t more;

    *has_source = false;
    if (!proxy_need(header, &more, e))
        return false;
    if (more)
        return fail(e, ERR_SYNTAX, "half a header of the PROXY protocol");
    return is_version_2(header) ? parse_binary(header, has_source, source, e)
                                : parse_line(str_sub(header, 0, header.n - 2), has_source, source, e);
}
