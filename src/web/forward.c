#include "web/forward.h"

#include "crypto/crypto.h"
#include "text/encode.h"

enum { KEY_BYTES = 16 };

// RFC 9110 7.6.1, and others that are for one connection.
static const struct str of_connection[] = {
    STR_("Connection"),          STR_("Keep-Alive"),    STR_("Proxy-Connection"), STR_("Proxy-Authenticate"),
    STR_("Proxy-Authorization"), STR_("TE"),            STR_("Trailer"),          STR_("Transfer-Encoding"),
    STR_("Upgrade"),             STR_("HTTP2-Settings"), STR_("Content-Length"),
};
// What we say ourselves; and Proxy, which no standard has, and which CGI makes the variable HTTP_PROXY of: programs
// behind us would send their own requests to where a stranger says (CVE-2016-5385).
static const struct str of_request[] = {STR_("Host"), STR_("Expect"), STR_("Forwarded"), STR_("X-Forwarded"),
                                        STR_("Proxy")};

// As programs see it that get fields as variables: CGI and its kin make '-' and '_' one.
static bool is_name(struct str name, struct str other, bool is_prefix)
{
    if (is_prefix ? name.n < other.n : name.n != other.n)
        return false;
    for (size_t i = 0; i < other.n; i++) {
        char a = ascii_lower(name.p[i]), b = ascii_lower(other.p[i]);

        if ((a == '_' ? '-' : a) != b)
            return false;
    }
    return true;
}

static bool is_one_of(struct str name, const struct str *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is_name(name, names[i], false))
            return true;
    return false;
}

static bool is_of_connection(struct str name, const struct http_fields *fields)
{
    return is_one_of(name, of_connection, COUNT(of_connection)) ||
           http_field_has_token(fields, STR("Connection"), name);
}

static void add(struct arena *a, struct http_fields *out, struct str name, struct str value)
{
    // What was parsed can be written; what could not be is left out.
    (void)!http_field_add(a, out, name, value);
}

static struct str host_of(struct arena *a, const struct http_request *r)
{
    bool is_ipv6 = r->host_is_ip && str_find(r->host, ':') != STR_NONE;
    struct str host = is_ipv6 ? arena_printf(a, "[%.*s]", STR_FMT(r->host)) : r->host;

    return r->port ? arena_printf(a, "%.*s:%u", STR_FMT(host), r->port) : host;
}

static void add_framing(struct arena *a, const struct http_request *r, struct http_fields *out)
{
    switch (r->body) {
    case HTTP_BODY_LENGTH:
        add(a, out, STR("Content-Length"), arena_printf(a, "%llu", (unsigned long long)r->length));
        break;
    case HTTP_BODY_CHUNKED:
    case HTTP_BODY_FRAMES:
        add(a, out, STR("Transfer-Encoding"), STR("chunked"));
        break;
    case HTTP_BODY_NONE:
        // RFC 9110 8.6: of methods that mean something with a body.
        if (r->method != HTTP_GET && r->method != HTTP_HEAD && r->method != HTTP_OPTIONS && r->method != HTTP_DELETE)
            add(a, out, STR("Content-Length"), STR("0"));
        break;
    }
}

void forward_request_fields(struct arena *a, const struct http_request *r, const struct forward_client *client,
                            bool is_websocket, struct http_fields *out)
{
    struct str host = host_of(a, r);

    add(a, out, STR("Host"), host);
    for (size_t i = 0; i < r->fields.n; i++) {
        const struct http_field *f = &r->fields.items[i];

        if (!is_of_connection(f->name, &r->fields) && !is_one_of(f->name, of_request, COUNT(of_request)) &&
            !is_name(f->name, STR("X-Forwarded-"), true))
            add(a, out, f->name, f->value);
    }
    add(a, out, STR("X-Forwarded-For"), client->ip);
    add(a, out, STR("X-Forwarded-Host"), host);
    add(a, out, STR("X-Forwarded-Proto"), client->is_https ? STR("https") : STR("http"));
    if (is_websocket) {
        add(a, out, STR("Connection"), STR("Upgrade"));
        add(a, out, STR("Upgrade"), STR("websocket"));
    } else {
        add_framing(a, r, out);
    }
}

void forward_response_fields(struct arena *a, const struct http_response *r, struct http_fields *out)
{
    for (size_t i = 0; i < r->fields.n; i++) {
        const struct http_field *f = &r->fields.items[i];

        if (!is_of_connection(f->name, &r->fields))
            add(a, out, f->name, f->value);
    }
}

bool websocket_is_asked(const struct http_request *r)
{
    return r->version == HTTP_1_1 && http_field_has_token(&r->fields, STR("Upgrade"), STR("websocket"));
}

bool websocket_check(const struct http_request *r, bool *is_version, struct err *e)
{
    AUTO_BUF key = BUF_LIMIT(64);
    size_t n_keys = 0;

    for (size_t i = 0; i < r->fields.n; i++)
        n_keys += str_eq_ci(r->fields.items[i].name, STR("Sec-WebSocket-Key"));
    *is_version = !str_eq(http_field_get(&r->fields, STR("Sec-WebSocket-Version")), STR("13"));
    if (*is_version)
        return fail(e, ERR_SYNTAX, "websocket version 13 is required");
    if (r->method != HTTP_GET || r->body != HTTP_BODY_NONE)
        return fail(e, ERR_SYNTAX, "websocket begins with a GET without body");
    if (!http_field_has_token(&r->fields, STR("Connection"), STR("upgrade")))
        return fail(e, ERR_SYNTAX, "websocket needs Connection: upgrade");
    if (n_keys != 1 || !base64_decode_strict(&key, http_field_get(&r->fields, STR("Sec-WebSocket-Key"))) ||
        key.n != KEY_BYTES)
        return fail(e, ERR_SYNTAX, "websocket needs a key of 16 bytes");
    return true;
}

void websocket_put_accept(struct buf *out, struct str key)
{
    AUTO_BUF text = BUF_LIMIT(256);
    unsigned char digest[HASH_MAX_BYTES];

    buf_put(&text, key);
    BUF_PUT(&text, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    hash_digest(HASH_SHA1, buf_str(&text), digest);
    base64_encode(out, str_at(digest, SHA1_BYTES));
}

bool websocket_is_accepted(const struct http_request *r, const struct http_response *response)
{
    AUTO_BUF want = BUF_LIMIT(64);

    websocket_put_accept(&want, http_field_get(&r->fields, STR("Sec-WebSocket-Key")));
    return response->status == 101 && http_field_has_token(&response->fields, STR("Connection"), STR("upgrade")) &&
           http_field_has_token(&response->fields, STR("Upgrade"), STR("websocket")) &&
           str_eq(http_field_get(&response->fields, STR("Sec-WebSocket-Accept")), buf_str(&want));
}
