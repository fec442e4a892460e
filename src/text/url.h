/*
 * URLs of the web that are taken apart to be asked for (RFC 3986, RFC 9110 4.2): the scheme http or https, a
 * name, a port, and what is sent to the server.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { URL_MAX_BYTES = 4096, URL_MAX_HOST = 253 };

struct url {
    bool is_https;
    struct str host;     // as it stands there: a DNS name, in A-labels
    unsigned port;       // 80 or 443 when none is given
    struct str authority; // host, and the port when one is given: for the Host field
    struct str target;   // path and query as they are; empty for the root without a slash
};

/*
 * The whole of text, whose bytes out points to. Stricter than RFC 3986: no user, no address literal, no
 * fragment, and no byte that would have to be encoded.
 */
MUST_USE bool url_parse(struct str text, struct url *out, struct err *e);
