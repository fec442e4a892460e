/*
 * iprev (RFC 8601 3): does the name that the client's address has in the reverse zone lead back to
 * the address?
 */
#pragma once

#include "base/ip.h"
#include "policy/authres.h"
#include "policy/dns.h"

enum { IPREV_MAX_NAMES = 10 }; // that are looked up (RFC 8601 3, RFC 7208 5.5)

struct iprev_result {
    /*
     * pass; fail; temperror: no answer, for a name that may have been the right one; permerror: the
     * address has no name.
     */
    enum auth_result status;
    struct str name;         // of a pass
    const struct str *names; // all that were looked up, whether they lead back or not
    size_t n_names;
    bool is_secure; // DNSSEC proves every answer that led here
    struct str why; // of temperror, a sentence
};

void iprev_check(const struct dns *dns, struct arena *a, const struct ip *ip,
                 struct iprev_result *out);
/* Its first question: begin with it, and do not wait. */
void iprev_prefetch(const struct dns *dns, const struct ip *ip);
