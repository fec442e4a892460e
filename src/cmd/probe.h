/*
 * Servers that a check connects to: each from a process of its own, since what they say is read in a sandbox, which is
 * closed for good.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/ip.h"
#include "policy/dns.h"

struct prober {
    struct arena *a;
    const struct dns *dns;
    int64_t end_ms; // no other server is connected to after that
};

/* Whether STARTTLS there comes to a certificate for the name, of an authority. */
MUST_USE bool probe_smtp(const struct prober *p, struct str name, const struct ip *ip, unsigned port, struct err *e);
/* The same of TLS from the first byte on. */
MUST_USE bool probe_tls(const struct prober *p, struct str name, const struct ip *ip, unsigned port, struct err *e);
/* The document with the policy of MTA-STS of a domain. */
MUST_USE bool probe_policy(const struct prober *p, struct str domain, struct str *body, struct err *e);
