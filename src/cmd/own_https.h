/*
 * Web servers that verbs ask: as the role fetch does it, but for the process that it is in.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "policy/dns.h"
#include "text/url.h"

/* The body of the document, of max_body octets at most. Afterwards the process is confined as fetch is. */
MUST_USE bool own_https_get(struct arena *a, const struct dns *dns, const struct url *url, size_t max_body,
                            struct str *body, struct err *e);
