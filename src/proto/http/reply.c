#include "proto/http/http.h"

struct str http_reason(unsigned status)
{
    static const struct {
        unsigned status;
        struct str reason;
    } reasons[] = {
        {100, STR_("Continue")},
        {101, STR_("Switching Protocols")},
        {200, STR_("OK")},
        {201, STR_("Created")},
        {202, STR_("Accepted")},
        {204, STR_("No Content")},
        {206, STR_("Partial Content")},
        {207, STR_("Multi-Status")},
        {300, STR_("Multiple Choices")},
        {301, STR_("Moved Permanently")},
        {302, STR_("Found")},
        {303, STR_("See Other")},
        {304, STR_("Not Modified")},
        {307, STR_("Temporary Redirect")},
        {308, STR_("Permanent Redirect")},
        {400, STR_("Bad Request")},
        {401, STR_("Unauthorized")},
        {403, STR_("Forbidden")},
        {404, STR_("Not Found")},
        {405, STR_("Method Not Allowed")},
        {406, STR_("Not Acceptable")},
        {408, STR_("Request Timeout")},
        {409, STR_("Conflict")},
        {410, STR_("Gone")},
        {411, STR_("Length Required")},
        {412, STR_("Precondition Failed")},
        {413, STR_("Content Too Large")},
        {414, STR_("URI Too Long")},
        {415, STR_("Unsupported Media Type")},
        {416, STR_("Range Not Satisfiable")},
        {417, STR_("Expectation Failed")},
        {421, STR_("Misdirected Request")},
        {422, STR_("Unprocessable Content")},
        {426, STR_("Upgrade Required")},
        {429, STR_("Too Many Requests")},
        {431, STR_("Request Header Fields Too Large")},
        {500, STR_("Internal Server Error")},
        {501, STR_("Not Implemented")},
        {502, STR_("Bad Gateway")},
        {503, STR_("Service Unavailable")},
        {504, STR_("Gateway Timeout")},
        {505, STR_("HTTP Version Not Supported")},
    };

    for (size_t i = 0; i < COUNT(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return STR("Unknown");
}

void http_fields_put(struct buf *out, const struct http_fields *fields)
{
    for (size_t i = 0; i < fields->n; i++) {
        buf_put(out, fields->items[i].name);
        BUF_PUT(out, ": ");
        buf_put(out, fields->items[i].value);
        BUF_PUT(out, "\r\n");
    }
    BUF_PUT(out, "\r\n");
}

void http_head_put(struct buf *out, enum http_version version, unsigned status, const struct http_fields *fields)
{
    if (version == HTTP_1_0)
        BUF_PUT(out, "HTTP/1.0 ");
    else
        BUF_PUT(out, "HTTP/1.1 ");
    buf_put_u64(out, status);
    BUF_PUT(out, " ");
    buf_put(out, http_reason(status));
    BUF_PUT(out, "\r\n");
    http_fields_put(out, fields);
}

void http_chunk_put(struct buf *out, size_t n)
{
    buf_printf(out, "%zx\r\n", n);
}
