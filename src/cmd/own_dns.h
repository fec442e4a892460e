/*
 * The DNS for verbs: a `resolve` process of their own, so that they need no running server.
 */
#pragma once

#include "base/ip.h"
#include "policy/dns.h"

/*
 * Starts resolve, confined as in the server, and waits until it is ready. It ends with this process.
 * It logs errors only, unless -loglevel says otherwise.
 */
MUST_USE bool own_dns_open(struct dns *out, struct err *e);

/* Whether the addresses of a host are signed. Without an answer, no. */
bool own_dns_is_signed(struct arena *a, struct str host);
/*
 * Whether others can reach the address, as far as it says so by itself: it is neither loopback nor "all".
 * With MOX_DIAL_PRIVATE=1, in tests, this machine is the Internet, and loopback addresses are as good as any.
 */
bool own_dns_is_address(const struct ip *ip);

/* "with dnssec" or "without dnssec" */
const char *own_dns_security(bool is_secure);
/* A stranger's text for a terminal: other bytes than printable ASCII as \DDD, and the backslash too. */
void own_dns_put_text(struct buf *out, struct str text);
