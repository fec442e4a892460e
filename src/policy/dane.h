/*
 * DANE for SMTP (RFC 7672, RFC 7671): which TLSA records speak for a mail server, and which names its
 * certificate may have. Pure: what the connection does with them is the TLS library's.
 */
#pragma once

#include "base/arena.h"
#include "policy/dns.h"

enum dane_usage { DANE_PKIX_TA = 0, DANE_PKIX_EE = 1, DANE_TA = 2, DANE_EE = 3 };

enum {
    DANE_MAX_NAMES = 4,
    DANE_MAX_RECORDS = 100, // that are used; what is behind them counts as unusable
};

/* How far the DNS is to be trusted on the way to one server. Names are in A-labels. */
struct dane_server {
    struct str next_hop;          // the domain of the recipient, or of a route
    struct str expanded_next_hop; // what its CNAMEs lead to, else the same or empty
    /*
     * DNSSEC proves what led from next_hop to host: its CNAMEs, and the MX records or that there are
     * none. True for a host that the administrator names.
     */
    bool is_next_hop_secure;
    struct str host;          // the server's name: out of the MX record, or next_hop itself
    struct str expanded_host; // whose addresses they are, after CNAMEs, else the same or empty
    bool is_address_secure;   // DNSSEC proves the addresses, and every CNAME on the way
    uint16_t port;
    bool has_all_usages;      // not SMTP: the usages of PKIX count as well (RFC 6698 2.1.1)
};

enum dane_status {
    DANE_NONE,     // nothing secure: DANE does not apply
    DANE_USABLE,   // the certificate must match one of the records
    DANE_UNUSABLE, // records, but none that can be used: TLS must be, whatever the certificate
    DANE_FAILED,   // the DNS does not say: this server must not be used now (RFC 7672 2.1.2)
};

struct dane_result {
    enum dane_status status;
    struct str base; // TLSA base domain: what SNI says; empty with DANE_NONE and DANE_FAILED
    /*
     * What a certificate may be named, where names count (DANE-TA): the base first, then the server,
     * the domain and what it is an alias of.
     */
    struct str names[DANE_MAX_NAMES];
    size_t n_names;
    const struct dns_record *records; // those that can be used
    size_t n;
    size_t n_unusable;
    bool is_bogus;  // DANE_FAILED: because answers are forged
    struct str why; // DANE_FAILED: a sentence
};

/* Looks for the records (RFC 7672 2.2). What the result points to is in a, or a name of the server's. */
void dane_find(const struct dns *dns, struct arena *a, const struct dane_server *server,
               struct dane_result *out);

/*
 * Whether SMTP can use it: usage DANE-TA or DANE-EE (RFC 7672 3.1.3), a selector and a matching type
 * that we know, and data that can be such. Others are as if they were not there (RFC 6698 4.1).
 */
bool dane_is_usable(const struct dns_record *record);

/* "DANE-EE SPKI SHA2-256 00ff...": acronyms of RFC 7218, numbers where there is none. */
void dane_put_record(struct buf *out, const struct dns_record *record);
/* Names in any case, or numbers: "dane-ee", "3"; "spki"; "sha2-256", "1". */
MUST_USE bool dane_usage_parse(struct str text, uint8_t *out);
MUST_USE bool dane_selector_parse(struct str text, uint8_t *out);
MUST_USE bool dane_matching_parse(struct str text, uint8_t *out);
