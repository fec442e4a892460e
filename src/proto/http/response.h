/*
 * The head of another server's response (RFC 9112 4), as strict as requests are read: where two readers could
 * disagree where it ends, it is none.
 */
#pragma once

#include "proto/http/http.h"

struct http_response {
    enum http_version version;
    unsigned status; // 100 to 599
    struct http_fields fields;
    enum http_body_kind body;
    bool until_close; // the body ends with the connection; body is HTTP_BODY_NONE
    uint64_t length;  // of HTTP_BODY_LENGTH
    bool is_last;     // the connection cannot be used again
};

/*
 * Parses a head with its empty line (http_head_find finds its end). is_head: of a response to HEAD, which has
 * no body whatever it says.
 */
MUST_USE bool http_response_parse(struct arena *a, struct str head, bool is_head, struct http_response *out,
                                  struct err *e);
/* How its body is read; not for until_close. */
struct http_body http_response_body(const struct http_response *r);
