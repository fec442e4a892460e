/*
 * The head of a request.
 */
#include "base/cur.h"
#include "base/ip.h"
#include "proto/http/http.h"

bool http_head_find(struct str in, size_t *seen, size_t *n, struct err *e)
{
    *n = 0;
    // A request begins with its method: what does not is another protocol, and is told so at once.
    if (in.n && *seen == 0 && in.p[0] != '\r' && !http_is_token(str_sub(in, 0, 1)))
        return fail(e, ERR_SYNTAX, "this is no HTTP");
    while (*seen < in.n) {
        ptrdiff_t lf = str_find(str_from(in, *seen), '\n');
        size_t at = *seen + (size_t)lf;

        if (lf < 0) {
            *seen = in.n;
            break;
        }
        // RFC 9112 2.2 lets a bare LF end a line; others in front of us may think otherwise.
        if (!at || in.p[at - 1] != '\r')
            return fail(e, ERR_SYNTAX, "a line ends in LF without CR");
        *seen = at + 1;
        if (at >= 3 && in.p[at - 2] == '\n') {
            *n = at + 1;
            break;
        }
    }
    return true;
}

void http_request_set_method(struct http_request *r, struct str name)
{
    static const struct {
        struct str name;
        enum http_method method;
    } known[] = {
        {STR_("GET"), HTTP_GET},   {STR_("HEAD"), HTTP_HEAD},     {STR_("POST"), HTTP_POST},
        {STR_("PUT"), HTTP_PUT},   {STR_("DELETE"), HTTP_DELETE}, {STR_("OPTIONS"), HTTP_OPTIONS},
        {STR_("PATCH"), HTTP_PATCH},
    };

    r->method_name = name;
    r->method = HTTP_OTHER;
    for (size_t i = 0; i < COUNT(known); i++)
        if (str_eq(known[i].name, name)) // RFC 9110 9.1: case-sensitive
            r->method = known[i].method;
}

static bool refuse(unsigned *status, unsigned code, struct err *e, const char *why)
{
    *status = code;
    return fail(e, code == 431 || code == 414 ? ERR_LIMIT : ERR_SYNTAX, "%s", why);
}

// Printable ASCII; what RFC 3986 forbids beyond that is no danger and does occur.
static bool is_target_char(unsigned char c)
{
    return c > 32 && c < 127 && c != '#';
}

bool http_request_set_target(struct arena *a, struct http_request *r, struct str target, unsigned *status,
                             struct err *e)
{
    struct cur c = cur_of(target);
    AUTO_BUF decoded = BUF_LIMIT(HTTP_MAX_TARGET);

    if (target.n > HTTP_MAX_TARGET)
        return refuse(status, 414, e, "the target is too long");
    if (cur_while(&c, is_target_char).n != target.n || !target.n)
        return refuse(status, 400, e, "a byte in the target that cannot be there");
    r->target = r->raw_path = target;
    r->has_query = str_cut(target, '?', &r->raw_path, &r->query);
    if (str_eq(target, STR("*")) && r->method == HTTP_OPTIONS) { // RFC 9112 3.2.4
        r->path = target;
        return true;
    }
    if (!str_starts(r->raw_path, STR("/")))
        return refuse(status, 400, e, "the path begins with no slash");
    if (!http_percent_decode(&decoded, r->raw_path))
        return refuse(status, 400, e, "a percent sign without two digits");
    if (str_find(buf_str(&decoded), 0) != STR_NONE)
        return refuse(status, 400, e, "a NUL in the path");
    r->path = http_path_clean(a, buf_str(&decoded));
    return true;
}

static bool is_name_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || c == '-' || c == '.' || c == '_';
}

static bool is_ip_char(unsigned char c)
{
    return c != ']';
}

// RFC 9110 7.2, uri-host [ ":" port ].
bool http_request_set_host(struct arena *a, struct http_request *r, struct str authority, struct err *e)
{
    struct cur c = cur_of(authority);
    bool is_ipv6 = cur_skip(&c, '[');
    struct str host = cur_while(&c, is_ipv6 ? is_ip_char : is_name_char);
    uint64_t port = 0;
    struct ip ip;

    if (is_ipv6 && (!cur_skip(&c, ']') || !ip_parse(host, &ip) || ip.family != 6))
        return fail(e, ERR_SYNTAX, "no address in brackets");
    if (cur_skip(&c, ':') && cur_left(&c) && !cur_u64(&c, 65535, &port))
        return fail(e, ERR_SYNTAX, "no port");
    if (cur_left(&c))
        return fail(e, ERR_SYNTAX, "a byte in the host that cannot be there");
    r->host_is_ip = ip_parse(host, &ip);
    if (!r->host_is_ip && str_ends(host, STR(".")))
        host.n--;
    // RFC 1035 2.3.1: no label is empty. With one that is, another reader may take off another dot.
    if (str_ends(host, STR(".")) || str_starts(host, STR(".")) || str_find_str(host, STR("..")) >= 0)
        return fail(e, ERR_SYNTAX, "a host with an empty label");
    r->host = arena_lower(a, host);
    r->port = (uint32_t)port;
    return true;
}

// RFC 9112 3.2.2: scheme, authority and the rest. What it says of the host must be what Host says.
static bool set_absolute(struct arena *a, struct http_request *r, struct str target, struct str *authority,
                         unsigned *status, struct err *e)
{
    struct cur c = cur_of(target);
    struct str rest;
    ptrdiff_t end;

    if (!cur_skip_str_ci(&c, STR("http://")) && !cur_skip_str_ci(&c, STR("https://")))
        return refuse(status, 400, e, "no form of target that is served");
    rest = cur_rest(&c);
    for (end = 0; (size_t)end < rest.n && rest.p[end] != '/' && rest.p[end] != '?'; end++)
        ;
    *authority = str_sub(rest, 0, (size_t)end);
    rest = str_from(rest, (size_t)end);
    if (!authority->n)
        return refuse(status, 400, e, "no host in the target");
    if (!str_starts(rest, STR("/"))) // "http://host?query"
        rest = arena_printf(a, "/%.*s", STR_FMT(rest));
    return http_request_set_target(a, r, rest, status, e);
}

static bool is_space(unsigned char c)
{
    return c == ' ';
}

static bool is_not_space(unsigned char c)
{
    return c != ' ';
}

// RFC 9112 3: one space between the parts, and no other.
static bool parse_line(struct arena *a, struct str line, struct http_request *out, struct str *authority,
                       unsigned *status, struct err *e)
{
    struct cur c = cur_of(line);
    struct str method = cur_while(&c, is_not_space), target, version;

    if (cur_while(&c, is_space).n != 1 || !http_is_token(method) || method.n > HTTP_MAX_METHOD)
        return refuse(status, 400, e, "no method");
    target = cur_while(&c, is_not_space);
    if (cur_while(&c, is_space).n != 1)
        return refuse(status, 400, e, "no version");
    version = cur_rest(&c);
    if (version.n != 8 || !str_starts(version, STR("HTTP/")) || !ascii_is_digit(version.p[5]) || version.p[6] != '.' ||
        !ascii_is_digit(version.p[7]))
        return refuse(status, 400, e, "no version");
    if (version.p[5] != '1')
        return refuse(status, 505, e, "another version of HTTP");
    out->version = version.p[7] == '0' ? HTTP_1_0 : HTTP_1_1;
    http_request_set_method(out, method);
    if (str_eq(method, STR("CONNECT")))
        return refuse(status, 501, e, "this is no proxy");
    if (str_starts(target, STR("/")) || str_eq(target, STR("*")))
        return http_request_set_target(a, out, target, status, e);
    return set_absolute(a, out, target, authority, status, e);
}

// RFC 9112 5: nothing before the name, nothing between it and the colon, and no folded line.
static bool parse_field(struct arena *a, struct str line, struct http_request *out, unsigned *status, struct err *e)
{
    struct str name, value;

    if (out->fields.n == HTTP_MAX_FIELDS)
        return refuse(status, 431, e, "too many fields");
    if (!str_cut(line, ':', &name, &value) || !http_is_token(name))
        return refuse(status, 400, e, "a line that is no field");
    // Before trimming, which would take a CR away as well.
    if (!http_is_field_value(value) || !http_field_add(a, &out->fields, name, str_trim(value)))
        return refuse(status, 400, e, "a byte in a field that cannot be there");
    return true;
}

static size_t count(const struct http_fields *fields, struct str name)
{
    size_t n = 0;

    for (size_t i = 0; i < fields->n; i++)
        n += str_eq_ci(fields->items[i].name, name);
    return n;
}

static bool take_host(struct arena *a, struct http_request *r, struct str authority, unsigned *status, struct err *e)
{
    size_t n = count(&r->fields, STR("Host"));
    struct http_request of_target = {0};

    // RFC 9112 3.2: one, of everybody who speaks 1.1.
    if (n > 1 || (!n && r->version == HTTP_1_1))
        return refuse(status, 400, e, n ? "more than one Host" : "no Host");
    *status = 400;
    if (n && !http_request_set_host(a, r, http_field_get(&r->fields, STR("Host")), e))
        return false;
    if (!authority.n)
        return true;
    if (!http_request_set_host(a, &of_target, authority, e))
        return false;
    if (n && (!str_eq(r->host, of_target.host) || r->port != of_target.port))
        return fail(e, ERR_SYNTAX, "target and Host name different hosts");
    r->host = of_target.host;
    r->host_is_ip = of_target.host_is_ip;
    r->port = of_target.port;
    return true;
}

// RFC 9112 6.1 to 6.3, without any of what they tolerate.
static bool take_framing(struct http_request *r, unsigned *status, struct err *e)
{
    size_t n_lengths = count(&r->fields, STR("Content-Length"));
    size_t n_codings = count(&r->fields, STR("Transfer-Encoding"));

    if (n_lengths + n_codings > 1)
        return refuse(status, 400, e, "more than one word about the length of the body");
    if (n_codings) {
        if (r->version == HTTP_1_0)
            return refuse(status, 400, e, "Transfer-Encoding in HTTP/1.0");
        if (!str_eq_ci(http_field_get(&r->fields, STR("Transfer-Encoding")), STR("chunked")))
            return refuse(status, 501, e, "a transfer coding other than chunked");
        r->body = HTTP_BODY_CHUNKED;
    }
    if (n_lengths) {
        if (!str_u64(http_field_get(&r->fields, STR("Content-Length")), INT64_MAX, &r->length))
            return refuse(status, 400, e, "Content-Length is no number");
        r->body = r->length ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    }
    return true;
}

static bool take_connection(struct http_request *r, unsigned *status, struct err *e)
{
    struct str expect = http_field_get(&r->fields, STR("Expect"));

    r->is_last = http_field_has_token(&r->fields, STR("Connection"), STR("close")) ||
                 (r->version == HTTP_1_0 &&
                  !http_field_has_token(&r->fields, STR("Connection"), STR("keep-alive")));
    if (expect.n && r->version != HTTP_1_0) {
        if (!str_eq_ci(expect, STR("100-continue")))
            return refuse(status, 417, e, "an expectation that is not known");
        r->expects_continue = r->body != HTTP_BODY_NONE;
    }
    return true;
}

bool http_request_parse(struct arena *a, struct str head, struct http_request *out, unsigned *status, struct err *e)
{
    struct str authority = {0}, line;
    struct cur c = cur_of(head);
    bool has_line = false, has_end = false;

    *out = (struct http_request){0};
    *status = 400;
    if (head.n > HTTP_MAX_HEAD)
        return refuse(status, 431, e, "the head is too long");
    while (!has_end && cur_line(&c, &line)) {
        // cur_line takes LF alone as well; http_head_find has refused that, and so has the check of bytes.
        if (line.n && !has_line) {
            has_line = true;
            if (!parse_line(a, line, out, &authority, status, e))
                return false;
        } else if (line.n) {
            if (!parse_field(a, line, out, status, e))
                return false;
        } else {
            has_end = has_line; // RFC 9112 2.2: empty lines may come before a request
        }
    }
    if (!has_end || cur_left(&c))
        return refuse(status, 400, e, "no request");
    return take_host(a, out, authority, status, e) && take_framing(out, status, e) &&
           take_connection(out, status, e);
}
