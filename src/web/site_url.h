/*
 * Addresses of web servers in the configuration: where redirects lead, and the servers behind the proxy.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

enum { SITE_URL_MAX = 2000 };

struct site_url {
    bool is_https, has_scheme; // "//host/" has none
    struct str authority;      // as it was written: host, and a port if there is one
    struct str host;           // without brackets; A-labels in lower case, or an IP address
    bool is_ip;
    unsigned port;             // also when it is the scheme's; 0 when there is neither
    struct str path;           // empty, or from its slash on
    struct str query;          // without its mark
    struct str fragment;
    bool has_query;
};

/*
 * "https://host[:port][/path][?query][#fragment]" (RFC 9110 4.2), or without the scheme. ERR_SYNTAX
 * for anything else: other schemes, user names, spaces and control characters, names that cannot be.
 */
MUST_USE bool site_url_parse(struct arena *a, struct str text, struct site_url *out, struct err *e);
