/*
 * Where a domain's mail goes (RFC 5321 5.1, RFC 7505), and in which order its hosts and their
 * addresses are tried.
 */
#pragma once

#include "base/ip.h"
#include "policy/dns.h"

enum {
    MX_MAX_HOSTS = 10,      // the best of them; more are not tried in one attempt
    MX_MAX_ADDRESSES = 10,  // of one host
};

struct mx_host {
    struct str name;
    uint16_t preference;
};

enum mx_status {
    MX_OK,
    MX_NULL,      // the domain takes no mail
    MX_NONE,      // there is no such domain, or nothing at it
    MX_INVALID,   // its MX records name no hosts
    MX_LOOP,      // its best host is this one
    MX_TEMPORARY, // cannot be told now, see why
};

struct mx_result {
    enum mx_status status;
    bool is_secure;      // DNSSEC proves the records, or that there are none
    bool is_bogus;       // of MX_TEMPORARY: forged
    bool has_mx;         // false: the domain itself is the host, without an MX record
    struct str expanded; // the domain after CNAMEs
    const struct mx_host *hosts;
    size_t n;
    struct str why;
};
/*
 * self is this host's name: a host that is this one, and those that are not better, are left out
 * (RFC 5321 5.1). random orders hosts of equal preference.
 */
void mx_lookup(const struct dns *dns, struct arena *a, struct str domain, struct str self,
               uint64_t random, struct mx_result *out);

struct mx_addresses {
    struct ip ips[MX_MAX_ADDRESSES];
    size_t n;
    bool is_secure;      // all of them
    bool is_bogus;
    bool is_dual;        // addresses of both families
    struct str expanded; // the host after CNAMEs
    struct str why;      // with n 0: why there are none, and whether for now
    bool is_temporary;
};
enum { MX_IPV4 = 1, MX_IPV6 = 2 };
/*
 * The addresses of a host, of the families asked for. tried are the addresses of this host that
 * earlier attempts of the same message spoke to, oldest first: then the family that was not spoken to
 * last comes first; and an address of it that was spoken to once comes before the others, for servers
 * that want to see the same client again (greylisting).
 */
void mx_addresses(const struct dns *dns, struct arena *a, struct str host, unsigned families,
                  const struct ip *tried, size_t n_tried, struct mx_addresses *out);
