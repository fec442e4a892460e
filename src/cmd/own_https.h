/*
 * Web servers that verbs ask: as the role fetch does it, but for the process that it is in.
 */
#pragma once

#include "cmd/own_trust.h"
#include "policy/dns.h"
#include "role/fetch/https.h"
#include "text/url.h"

struct own_https {
    const struct own_trust *trust; // NULL: the system's
    struct str fields;             // of the request's own: lines "Name: value" with LF between
    size_t max_body;
};
/* What it says, whichever status it has. Afterwards the process is confined as fetch is. */
MUST_USE bool own_https_ask(struct arena *a, const struct dns *dns, const struct url *url, const struct own_https *how,
                            struct https_answer *out, struct err *e);
/* The body of the document. */
MUST_USE bool own_https_get(struct arena *a, const struct dns *dns, const struct url *url, const struct own_https *how,
                            struct str *body, struct err *e);
