#include "proto/http/response.h"

#include "base/cur.h"

// status-line (RFC 9112 4). The reason may be missing, and is not passed on.
static bool parse_line(struct str line, struct http_response *out, struct err *e)
{
    struct cur c = cur_of(line);
    struct str digits;
    uint64_t status;

    if (cur_skip_str(&c, STR("HTTP/1.1 ")))
        out->version = HTTP_1_1;
    else if (cur_skip_str(&c, STR("HTTP/1.0 ")))
        out->version = HTTP_1_0;
    else
        return fail(e, ERR_SYNTAX, "the response is none of HTTP/1");
    if (!cur_take(&c, 3, &digits) || !str_u64(digits, 599, &status) || status < 100 ||
        (cur_left(&c) && !cur_skip(&c, ' ')) || !http_is_field_value(cur_rest(&c)))
        return fail(e, ERR_SYNTAX, "the response has no status");
    out->status = (unsigned)status;
    return true;
}

static bool parse_field(struct arena *a, struct str line, struct http_response *out, struct err *e)
{
    struct str name, value;

    if (out->fields.n == HTTP_MAX_FIELDS)
        return fail(e, ERR_LIMIT, "the response has too many fields");
    // A line that begins with a space would be the rest of the one before (RFC 9112 5.2).
    if (!str_cut(line, ':', &name, &value) || !http_field_add(a, &out->fields, name, str_trim(value)))
        return fail(e, ERR_SYNTAX, "the response has a line that is no field");
    return true;
}

// RFC 9112 6.3.
static bool take_framing(struct http_response *r, bool is_head, struct err *e)
{
    size_t n_lengths = 0, n_codings = 0;

    for (size_t i = 0; i < r->fields.n; i++) {
        n_lengths += str_eq_ci(r->fields.items[i].name, STR("Content-Length"));
        n_codings += str_eq_ci(r->fields.items[i].name, STR("Transfer-Encoding"));
    }
    if (n_lengths + n_codings > 1)
        return fail(e, ERR_SYNTAX, "the response says more than once how long it is");
    if (n_codings && r->version == HTTP_1_0)
        return fail(e, ERR_SYNTAX, "the response has Transfer-Encoding in HTTP/1.0");
    if (n_codings && !str_eq_ci(http_field_get(&r->fields, STR("Transfer-Encoding")), STR("chunked")))
        return fail(e, ERR_SYNTAX, "the response has a transfer coding other than chunked");
    if (n_lengths && !str_u64(http_field_get(&r->fields, STR("Content-Length")), INT64_MAX, &r->length))
        return fail(e, ERR_SYNTAX, "the response has a length that is no number");
    if (is_head || r->status < 200 || r->status == 204 || r->status == 304)
        return true;
    r->until_close = !n_lengths && !n_codings;
    r->body = n_codings ? HTTP_BODY_CHUNKED : r->length ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    return true;
}

bool http_response_parse(struct arena *a, struct str head, bool is_head, struct http_response *out,
                         struct err *e)
{
    struct cur c = cur_of(head);
    struct str line;
    bool has_end = false;

    *out = (struct http_response){0};
    if (head.n > HTTP_MAX_HEAD)
        return fail(e, ERR_LIMIT, "the response has a head that is too long");
    if (!cur_line(&c, &line))
        return fail(e, ERR_SYNTAX, "there is no response");
    if (!parse_line(line, out, e))
        return false;
    while (!has_end && cur_line(&c, &line)) {
        has_end = !line.n;
        if (!has_end && !parse_field(a, line, out, e))
            return false;
    }
    if (!has_end || cur_left(&c))
        return fail(e, ERR_SYNTAX, "the head of the response does not end");
    if (!take_framing(out, is_head, e))
        return false;
    out->is_last = out->until_close || out->status == 101 ||
                   http_field_has_token(&out->fields, STR("Connection"), STR("close")) ||
                   (out->version == HTTP_1_0 &&
                    !http_field_has_token(&out->fields, STR("Connection"), STR("keep-alive")));
    return true;
}

struct http_body http_response_body(const struct http_response *r)
{
    return (struct http_body){.kind = r->body, .left = r->length, .is_done = r->body == HTTP_BODY_NONE};
}
