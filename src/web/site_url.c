#include "web/site_url.h"

#include "base/cur.h"
#include "base/ip.h"
#include "text/idna.h"

// The characters of a URI (RFC 3986 2), and others beyond ASCII in names.
static bool is_url_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c <= ' ' || c == 127 || c == '"' || c == '<' || c == '>' || c == '\\' || c == '^' || c == '`' ||
            c == '{' || c == '|' || c == '}')
            return false;
    }
    return true;
}

static bool take_port(struct str text, struct site_url *out)
{
    uint64_t port;

    if (!str_u64(text, 65535, &port) || !port)
        return false;
    out->port = (unsigned)port;
    return true;
}

static bool take_authority(struct arena *a, struct site_url *out, struct err *e)
{
    struct str host = out->authority, port = {0};
    bool is_bracketed = str_starts(host, STR("[")), has_port;
    struct ip ip;

    if (is_bracketed) {
        if (!str_cut(str_from(host, 1), ']', &host, &port) || !ip_parse(host, &ip) || ip.family != 6)
            return fail(e, ERR_SYNTAX, "the address in brackets is none of IPv6");
        has_port = port.n;
        if (has_port && port.p[0] != ':')
            return fail(e, ERR_SYNTAX, "a port begins with a colon");
        port = str_from(port, 1);
    } else {
        has_port = str_cut(host, ':', &host, &port);
    }
    out->port = !out->has_scheme ? 0 : out->is_https ? 443 : 80;
    if (has_port && !take_port(port, out))
        return fail(e, ERR_SYNTAX, "the port is no number from 1 to 65535");
    out->is_ip = ip_parse(host, &ip);
    if (out->is_ip) {
        out->host = arena_dup(a, host);
        return true;
    }
    return domain_to_ascii(a, host, &out->host, e);
}

bool site_url_parse(struct arena *a, struct str text, struct site_url *out, struct err *e)
{
    struct str rest = text, before;
    ptrdiff_t end;

    *out = (struct site_url){.fragment = STR("")};
    if (text.n > SITE_URL_MAX)
        return fail(e, ERR_SYNTAX, "it is too long");
    if (!is_url_text(text))
        return fail(e, ERR_SYNTAX, "it has characters that an address cannot have");
    out->is_https = str_starts_ci(rest, STR("https:"));
    out->has_scheme = out->is_https || str_starts_ci(rest, STR("http:"));
    if (out->has_scheme)
        rest = str_from(rest, out->is_https ? 6 : 5);
    if (!str_starts(rest, STR("//")))
        return fail(e, ERR_SYNTAX, "it must begin with http:// or https:// and a host");
    rest = str_from(rest, 2);
    if (str_cut(rest, '#', &before, &out->fragment))
        rest = before;
    out->has_query = str_cut(rest, '?', &before, &out->query);
    if (out->has_query)
        rest = before;
    end = str_find(rest, '/');
    out->authority = end == STR_NONE ? rest : str_sub(rest, 0, (size_t)end);
    out->path = str_from(rest, out->authority.n);
    if (!out->authority.n)
        return fail(e, ERR_SYNTAX, "it must begin with http:// or https:// and a host");
    if (str_find(out->authority, '@') != STR_NONE)
        return fail(e, ERR_SYNTAX, "a user name in it is not supported");
    return take_authority(a, out, e);
}
