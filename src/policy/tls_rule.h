/*
 * What must hold of a connection before a message may go over it, from all that has a say: the message
 * (RFC 8689), TLSA records of the server (RFC 7672), the MTA-STS policy of the domain (RFC 8461). What
 * is heard in reports about it are result types (RFC 8460 4.3).
 *
 * DANE goes before MTA-STS: what a TLSA record proves, the certificate need not prove again, but a host
 * that an enforced policy does not allow stays unused.
 */
#pragma once

#include "policy/dane.h"
#include "policy/mtasts.h"

/* What the message says; the numbers are those of require_tls in the queue. */
enum tls_wish {
    TLS_WISH_NONE = 0,
    TLS_WISH_REQUIRED = 1, // REQUIRETLS: encrypted and to the right server, or not at all
    TLS_WISH_OPTIONAL = 2, // TLS-Required: No: rather in plain text than not at all
};

/* RFC 8460 4.3. */
enum tls_failure {
    TLS_NO_FAILURE,
    TLS_STARTTLS_NOT_SUPPORTED,
    TLS_CERTIFICATE_HOST_MISMATCH,
    TLS_CERTIFICATE_EXPIRED,
    TLS_CERTIFICATE_NOT_TRUSTED,
    TLS_VALIDATION_FAILURE,
    TLS_TLSA_INVALID,
    TLS_DNSSEC_INVALID,
    TLS_DANE_REQUIRED,
    TLS_STS_POLICY_FETCH_ERROR,
    TLS_STS_POLICY_INVALID,
    TLS_STS_WEBPKI_INVALID,
};
/* "starttls-not-supported"; "" for none. */
const char *tls_failure_name(enum tls_failure failure);

/* failure-reason-code (RFC 8460 4.4) of a text: "HTTP status 404" is "http-status-404". Cut to 100 bytes. */
void tls_reason_put(struct buf *out, struct str text);

/* RFC 8460 4.4, policy-type. */
enum tls_policy_type { TLS_POLICY_NOT_FOUND, TLS_POLICY_STS, TLS_POLICY_TLSA };
/* "no-policy-found", "sts", "tlsa". */
const char *tls_policy_type_name(enum tls_policy_type type);

struct tls_input {
    enum tls_wish wish;
    struct str host;                 // as in the MX record: what MTA-STS compares
    const struct mtasts_policy *sts; // one that is valid now; NULL without
    struct dane_result dane;
    bool is_next_hop_secure; // as in struct dane_server
    bool is_bounce;          // with a null reverse path
    bool is_dmarc_report;    // not for strangers' eyes: never in plain text after TLS failed
};

enum tls_proof {
    TLS_PROOF_NONE, // any certificate
    TLS_PROOF_PKIX, // one that is trusted, not expired and for the host (RFC 8461 4.2)
    TLS_PROOF_DANE, // one that matches a TLSA record (RFC 7672 3)
};

struct tls_rule {
    bool is_unusable; // no connection to this server now; refusal says why
    bool must_encrypt;           // without STARTTLS nothing is sent
    enum tls_proof proof;        // what the certificate must prove, else nothing is sent
    bool may_retry_plain;        // when STARTTLS or the handshake fails: once more, without
    bool must_offer_requiretls;  // after the handshake, else nothing is sent (RFC 8689 4.2.1)
    /* Beyond what must hold, both are to be checked where they are known, for the reports. */
    bool has_tlsa, has_sts;
    /* Known before any connection: to be counted for the server's TLSA records and the domain's policy. */
    enum tls_failure tlsa_failure, sts_failure;
    struct str tlsa_reason, sts_reason; // failure-reason-code
    /* With is_unusable: 450 or 5xx; the enhanced code; a sentence. Permanent only if all servers are so. */
    unsigned code;
    const char *enhanced;
    struct str refusal;
};

/* refusal may be in a. */
void tls_rule_make(struct arena *a, const struct tls_input *in, struct tls_rule *out);
