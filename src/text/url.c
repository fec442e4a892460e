#include "text/url.h"

#include "base/cur.h"

static bool is_host_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || c == '-' || c == '_' || c == '.';
}

// RFC 3986 3.3, 3.4: pchar, "/" and "?"; what "%" begins is looked at below.
static bool is_target_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || (c && str_find(STR("-._~!$&'()*+,;=:@/?%"), (char)c) >= 0);
}

static bool is_hex(int c)
{
    return c >= 0 && (ascii_is_digit((char)c) || (ascii_lower((char)c) >= 'a' && ascii_lower((char)c) <= 'f'));
}

// RFC 1123 2.1: labels that are not empty. The last must not be a number: that would be an address
// (RFC 3986 3.2.2), and which hosts those are is not for the text of a URL to say.
static bool is_host(struct str host)
{
    struct str label = {0}, rest = host;

    if (!host.n || host.n > URL_MAX_HOST || host.p[0] == '.' || host.p[host.n - 1] == '.')
        return false;
    while (str_next(&rest, '.', &label))
        if (!label.n || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
    return !ascii_is_digit(label.p[0]);
}

static bool has_good_escapes(struct str text)
{
    struct cur c = cur_of(text);

    for (int ch; (ch = cur_next(&c)) >= 0;)
        if (ch == '%' && (!is_hex(cur_next(&c)) || !is_hex(cur_next(&c))))
            return false;
    return true;
}

bool url_parse(struct str text, struct url *out, struct err *e)
{
    struct cur c = cur_of(text);
    const char *begin;

    *out = (struct url){0};
    if (text.n > URL_MAX_BYTES)
        return fail(e, ERR_LIMIT, "a URL of %zu bytes", text.n);
    out->is_https = cur_skip_str_ci(&c, STR("https://"));
    if (!out->is_https && !cur_skip_str_ci(&c, STR("http://")))
        return fail(e, ERR_SYNTAX, "a URL must begin with https:// or http://");
    begin = c.p;
    out->host = cur_while(&c, is_host_char);
    out->port = out->is_https ? 443 : 80;
    if (!is_host(out->host))
        return fail(e, ERR_SYNTAX, "the host of a URL must be a name");
    if (cur_skip(&c, ':')) {
        uint64_t port;

        if (!cur_u64(&c, UINT16_MAX, &port) || !port)
            return fail(e, ERR_SYNTAX, "bad port in a URL");
        out->port = (unsigned)port;
    }
    out->authority = str_at(begin, (size_t)(c.p - begin));
    out->target = cur_while(&c, is_target_char);
    if (cur_left(&c) || (out->target.n && out->target.p[0] != '/' && out->target.p[0] != '?') ||
        !has_good_escapes(out->target))
        return fail(e, ERR_SYNTAX, "bad character in a URL");
    return true;
}
