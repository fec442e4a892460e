/*
 * Block lists of IP addresses in the DNS (RFC 5782).
 *
 * A list is asked only when it is healthy: one whose owner has given up answers with nothing, or
 * lists the world. Who asks often keeps what dnsbl_check_health says for DNSBL_HEALTH_SECONDS.
 */
#pragma once

#include "base/ip.h"
#include "policy/dns.h"

enum {
    DNSBL_MAX_CODES = 16,
    DNSBL_MAX_EXPLANATION = 255,
    DNSBL_HEALTH_SECONDS = 4 * 3600,
};

enum dnsbl_status {
    DNSBL_NOT_LISTED,
    DNSBL_LISTED,
    DNSBL_ERROR, // nobody knows: no answer, or the list refuses to give one
};

/* "pass", "fail", "temperror" */
const char *dnsbl_status_name(enum dnsbl_status status);

struct dnsbl_result {
    enum dnsbl_status status;
    bool is_refused;  // the list itself answered with an error; trying again helps nobody
    struct ip codes[DNSBL_MAX_CODES]; // of a listing: which part of the list, and how sure it is
    size_t n_codes;
    struct str explanation; // of a listing: printable ASCII, fit for an SMTP reply; or empty
    struct str why;         // of an error, a sentence
    bool is_secure;
};

/*
 * Asks a list. Answers in 127.255.255.0/24 are the operator's errors, such as "you ask through a
 * public resolver", and answers outside of 127.0.0.0/8 come from whoever has the domain now: neither
 * is a listing.
 */
void dnsbl_check(const struct dns *dns, struct arena *a, struct str zone, const struct ip *ip,
                 struct dnsbl_result *out);
/* Its question: begin with it, and do not wait. */
void dnsbl_prefetch(const struct dns *dns, struct str zone, const struct ip *ip);

enum dnsbl_health {
    DNSBL_HEALTHY,
    DNSBL_UNHEALTHY,
    DNSBL_HEALTH_UNKNOWN, // the DNS does not answer; asking the list is as good as asking again
};

/*
 * The test entries of RFC 5782 5, for lists of IPv4 addresses (family 4: 127.0.0.2 is listed, 127.0.0.1
 * is not) or IPv6 addresses (::ffff:7f00:2, ::ffff:7f00:1). *why gets a sentence unless it is healthy.
 */
enum dnsbl_health dnsbl_check_health(const struct dns *dns, struct arena *a, struct str zone,
                                     uint8_t family, struct str *why);
