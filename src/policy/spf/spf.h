/*
 * SPF (RFC 7208): may this address send mail in the name of this domain?
 *
 * Records as values, their evaluation with the RFC's limits, and the Received-SPF field. How long an
 * evaluation takes is up to whoever answers, who should have a deadline of 20 seconds or more (RFC 7208
 * 4.6.4): at the first answer that does not come it ends with temperror, except where the RFC wants the
 * name skipped.
 */
#pragma once

#include "base/ip.h"
#include "policy/authres.h"
#include "policy/dns.h"

enum {
    SPF_MAX_TERMS = 2000,      // of one record: a TXT record of 64 KiB could have 32,000
    SPF_MAX_LOOKUPS = 10,      // terms that ask the DNS (RFC 7208 4.6.4)
    SPF_MAX_VOID = 2,          // of them, those to which the DNS has nothing to say
    SPF_MAX_HOSTS = 10,        // of one mx, and PTR names that are looked at
    SPF_MAX_QUESTIONS = 123,   // what all this comes to in one spf_check
    SPF_MAX_EXPLANATION = 800, // octets; what is longer is cut
    SPF_MAX_WHY = 300,
};

enum spf_mechanism {
    SPF_ALL,
    SPF_INCLUDE,
    SPF_A,
    SPF_MX,
    SPF_PTR,
    SPF_IP4,
    SPF_IP6,
    SPF_EXISTS,
};

struct spf_directive {
    enum auth_result result; // what its qualifier says: pass, fail, softfail, neutral
    enum spf_mechanism mechanism;
    struct str text;     // as it is written
    struct str domain;   // domain-spec, with its macros; empty: the domain of the record
    struct ip network;   // ip4, ip6
    uint8_t bits4, bits6; // a, mx, ip4, ip6: 32 and 128 when nothing is written
};

/* A modifier that nobody knows yet. */
struct spf_modifier {
    struct str name, value;
};

struct spf_record {
    const struct spf_directive *directives;
    size_t n_directives;
    struct str redirect, exp; // domain-spec; empty: none
    const struct spf_modifier *others;
    size_t n_others;
};

/*
 * Parses a record, all of it (RFC 7208 4.6). Texts in it are slices of text. ERR_SYNTAX, or ERR_LIMIT
 * past SPF_MAX_TERMS.
 */
MUST_USE bool spf_record_parse(struct arena *a, struct str text, struct spf_record *out,
                               struct err *e);
/* Writes the record: mechanisms in their order, then the modifiers. */
void spf_record_put(struct buf *out, const struct spf_record *record);

/* Whether TXT data claims to be a record (RFC 7208 4.5). */
bool spf_is_record(struct str text);

struct spf_lookup {
    enum auth_result status; // AUTH_PASS: there is one; none, temperror, permerror: there is not
    struct spf_record record;
    struct str text; // the record as published, also when it is malformed
    struct str why;  // of an error
    bool is_secure;
};
/* The record of a domain, in A-labels. */
void spf_lookup(const struct dns *dns, struct arena *a, struct str domain, struct spf_lookup *out);

enum spf_identity { SPF_HELO, SPF_MAILFROM };

/* An SMTP transaction as its server sees it. */
struct spf_query {
    struct ip ip;          // the client's
    struct str helo;       // the argument of HELO or EHLO, whatever it is
    struct str local_part; // of MAIL FROM, without quotes; empty: postmaster
    struct str domain;     // of MAIL FROM, in either spelling; empty for the null reverse path
    struct str receiver;   // our name, for explanations and Received-SPF
    uint64_t now_unix;     // the time, for explanations
};

struct spf_result {
    enum auth_result status;
    enum spf_identity identity; // that was checked
    struct str domain;          // of that identity, in A-labels; empty when it has none
    struct str mechanism;       // that matched, as written; "default" when none did; or empty
    struct str explanation;     // of the domain's owner, of a fail: printable ASCII; or empty
    struct str why;             // of an error, a printable sentence; or empty
    bool is_secure;             // DNSSEC proves every answer that led here
};

/*
 * check_host of one identity. For the null reverse path, MAIL FROM is postmaster at the name in HELO
 * (RFC 7208 2.4), and out->identity says so. Texts of *out are in a.
 */
void spf_check(const struct dns *dns, struct arena *a, const struct spf_query *q,
               enum spf_identity identity, struct spf_result *out);

/* The first question of that spf_check: begin with it, and do not wait. */
void spf_prefetch(const struct dns *dns, const struct spf_query *q, enum spf_identity identity);

/* The Received-SPF field with its final CRLF (RFC 7208 9.1), safe in a header whatever was said. */
void spf_put_received(struct buf *out, const struct spf_query *q, const struct spf_result *r);
