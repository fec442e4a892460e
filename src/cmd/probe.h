/*
 * Servers that a check connects to: each from a process of its own, since what they say is read in a sandbox, which is
 * closed for good.
 */
#pragma once

#include "base/ip.h"
#include "cmd/own_trust.h"
#include "policy/dns.h"

struct prober {
    struct arena *a;
    const struct dns *dns;
    const struct own_trust *trust; // NULL: the system's
    int64_t end_ms; // no other server is connected to after that
};

/* Whether STARTTLS there comes to a certificate for the name, of an authority. */
MUST_USE bool probe_smtp(const struct prober *p, struct str name, const struct ip *ip, unsigned port, struct err *e);
/* The same of TLS from the first byte on. */
MUST_USE bool probe_tls(const struct prober *p, struct str name, const struct ip *ip, unsigned port, struct err *e);
/*
 * What a web server has at a URL, with fields of the request's own (struct own_https); up to four times it may say that it
 * is elsewhere. ERR_LIMIT when it is more than max_body.
 */
MUST_USE bool probe_get(const struct prober *p, struct str url, struct str fields, size_t max_body, struct str *body,
                        struct err *e);
/* The document with the policy of MTA-STS of a domain, which must be there itself (RFC 8461 3.3). */
MUST_USE bool probe_policy(const struct prober *p, struct str domain, struct str *body, struct err *e);
