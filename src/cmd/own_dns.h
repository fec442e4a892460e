/*
 * The DNS for verbs: a `resolve` process of their own, so that they need no running server.
 */
#pragma once

#include "policy/dns.h"

/*
 * Starts resolve, confined as in the server, and waits until it is ready. It ends with this process.
 * It logs errors only, unless -loglevel says otherwise.
 */
MUST_USE bool own_dns_open(struct dns *out, struct err *e);

/* "with dnssec" or "without dnssec" */
const char *own_dns_security(bool is_secure);
/* A stranger's text for a terminal: other bytes than printable ASCII as \DDD, and the backslash too. */
void own_dns_put_text(struct buf *out, struct str text);
