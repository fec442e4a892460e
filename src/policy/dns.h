/*
 * What policy code asks of the DNS: a question by name and type, and an answer that says how much
 * it is worth.
 *
 * Names are text without the final dot, in questions every byte but the dots between labels for
 * itself. In answers they are in lower case, and a byte other than a letter, digit, hyphen or
 * underscore is written \DDD, so that such a name is nobody's host name and harmless in a log line.
 * The root is ".".
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    DNS_MAX_NAME = 253,          // of a question, without the final dot (RFC 1035 2.3.4)
    DNS_MAX_NAME_TEXT = 1024,    // of an answer, with its escapes
    DNS_MAX_RECORDS = 2000,      // of one answer; with more it counts as temporary
    DNS_MAX_ANSWER = 128 * 1024, // octets of their data
};

enum dns_type {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_PTR = 12,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_SRV = 33,
    DNS_TLSA = 52,
    DNS_CAA = 257,
};

enum dns_status {
    DNS_OK,        // there are records
    DNS_NXDOMAIN,  // there is no such name, nor can there be one
    DNS_NODATA,    // the name exists, without records of that type
    DNS_TEMPORARY, // no usable answer, this time
    DNS_BOGUS,     // answers came, and DNSSEC says they are forged: temporary as well, never "none"
};

/* One record; only what its type has is set. */
struct dns_record {
    struct str name;    // CNAME, MX, NS, PTR, SRV: the host; "." in a null MX (RFC 7505)
    struct str data;    // A, AAAA: 4 or 16 octets; TXT: its strings joined; TLSA: the association
    uint16_t priority;  // MX: the preference; SRV
    uint16_t weight, port;                // SRV
    uint8_t usage, selector, matching;    // TLSA
    uint8_t flags;   // CAA, whose tag is in name and value in data
};

struct dns_answer {
    enum dns_status status;
    bool is_secure;  // DNSSEC proves it, also that there is nothing; never for the last two
    uint32_t ttl;    // seconds
    struct str name; // whose records they are, after CNAMEs; empty when there are none
    const struct dns_record *records;
    size_t n;
    struct str why;  // of the last two, a sentence for the log and for the report
};

static inline bool dns_is_none(const struct dns_answer *answer)
{
    return answer->status == DNS_NXDOMAIN || answer->status == DNS_NODATA;
}

/* Whoever answers. */
struct dns {
    void *ctx;
    /* name is one that dns_name_is_ok allows. What the answer points to lives in a. */
    void (*lookup)(void *ctx, struct arena *a, struct str name, enum dns_type type,
                   struct dns_answer *out);
    /* May be NULL. This is going to be asked: begin with it, and do not wait. */
    void (*prefetch)(void *ctx, struct str name, enum dns_type type);
};

/*
 * Asks. A final dot is taken off; a name that cannot be in the DNS is not asked for, and the answer
 * is DNS_NXDOMAIN. CNAMEs are followed, except for type CNAME.
 */
void dns_lookup(const struct dns *dns, struct arena *a, struct str name, enum dns_type type,
                struct dns_answer *out);
void dns_prefetch(const struct dns *dns, struct str name, enum dns_type type);

/* A TXT record of which a domain has one or none, in its own way: several are none. */
struct dns_sole_record {
    const char *what;   // "TLSRPT", for sentences
    const char *prefix; // of its name: "_smtp._tls."
    bool (*is_one)(struct str text);
};
/* ERR_TEMPORARY: the DNS does not say; ERR_NOT_FOUND: there is none. */
MUST_USE bool dns_find_sole(const struct dns *dns, struct arena *a, const struct dns_sole_record *of, struct str domain,
                            struct str *text, bool *is_secure, struct err *e);

/* Labels of 1 to 63 octets, DNS_MAX_NAME in all; "." alone is the root. */
bool dns_name_is_ok(struct str name);

/* "TXT"; "" for a type that is not in the list. */
const char *dns_type_name(enum dns_type type);
/* By name, letters of any case; false when it is not in the list. */
MUST_USE bool dns_type_parse(struct str name, enum dns_type *out);
/* "ok", "nxdomain", "nodata", "temporary", "bogus". */
const char *dns_status_name(enum dns_status status);
