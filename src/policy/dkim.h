/*
 * DKIM (RFC 6376, RFC 8301, RFC 8463): signatures of domains on messages, verified and made.
 *
 * A message is given in two parts: its header as one text, and its body, which is fed once, in
 * blocks of any size, whatever the number of signatures. So both verifying and signing have three
 * steps:
 *
 *     bodies = dkim_bodies_new();
 *     dkim_verify_begin(...);      parses, asks for keys, verifies what is signed of the header
 *     dkim_bodies_feed(...);       for each block of the body
 *     dkim_bodies_end(bodies);
 *     dkim_verify_end(...);        compares the hashes of the body
 *
 * Work is bounded: signatures, header and keys by the limits below, the body by two passes of
 * SHA-256 over it, one per canonicalisation, for DKIM and ARC together.
 */
#pragma once

#include "crypto/crypto.h"
#include "policy/authres.h"
#include "policy/dns.h"

enum {
    DKIM_MAX_SIGNATURES = 10,        // verified of one message, from the top; the rest is counted
    DKIM_MAX_HEADER_BYTES = 2 << 20, // of a message whose signatures are looked at
    DKIM_MAX_FIELDS = 10000,
    DKIM_MAX_SIGNED_FIELDS = 2000, // names in h=
    DKIM_MAX_RECORD = 16 * 1024,   // bytes of a key record
};

enum dkim_algorithm { DKIM_RSA_SHA256, DKIM_ED25519_SHA256, DKIM_RSA_SHA1 };
/* "rsa-sha256", ... */
const char *dkim_algorithm_name(enum dkim_algorithm algorithm);

/* --- what is written -------------------------------------------------------------------------- */

/* A DKIM-Signature field (RFC 6376 3.5), or an ARC-Message-Signature (RFC 8617 4.1.2). */
struct dkim_signature {
    enum dkim_algorithm algorithm;
    bool header_is_relaxed, body_is_relaxed;
    struct str domain, selector; // A-labels, lower case
    struct str identity;         // i=, as it is written, decoded; empty when absent
    const struct str *headers;   // h=
    size_t n_headers;
    bool has_length;
    uint64_t length;   // l=
    int64_t signed_at; // t=, x=; -1 when absent
    int64_t expires_at;
    struct str body_hash, signature; // decoded
    struct str b;                    // b= without white space
    unsigned instance;               // of ARC: i=
    struct str b_field;              // what is left out of the field when it is hashed
};

/*
 * The value of a DKIM-Signature field, as header_next gives it. ERR_SYNTAX and ERR_LIMIT with a
 * sentence. Results live in a and in value.
 */
MUST_USE bool dkim_signature_parse(struct arena *a, struct str value, struct dkim_signature *out,
                                   struct err *e);

/* A key record (RFC 6376 3.6.1). */
struct dkim_record {
    bool has_version;
    bool allows_sha256;                                           // h=
    bool is_for_email;                                            // s=
    bool is_testing, is_strict;                                   // t=y, t=s
    enum { DKIM_KEY_RSA, DKIM_KEY_ED25519, DKIM_KEY_OTHER } kind; // k=
    struct str notes;                                             // n=, as it is written
    struct str public_key;                                        // p=, decoded; empty: revoked
    struct str text;                                              // all of it
};

/* *is_dkim: whether it was meant to be one, well-formed or not. */
MUST_USE bool dkim_record_parse(struct arena *a, struct str text, struct dkim_record *out,
                                bool *is_dkim, struct err *e);
/* The text of a record: v, h, k, t, p. */
void dkim_record_put(struct buf *out, const struct dkim_record *record);

/* The key of a selector, as DNS has it. */
struct dkim_lookup {
    enum auth_result status; // AUTH_PASS: there is one, well-formed
    bool is_secure;
    struct dkim_record record;
    struct str why;
};
/* <selector>._domainkey.<domain>; selector and domain in A-labels. */
void dkim_lookup(const struct dns *dns, struct arena *a, struct str selector, struct str domain,
                 struct dkim_lookup *out);

/* --- the message ------------------------------------------------------------------------------ */

/* A header, taken apart once for all who sign or verify. The text must outlive it. */
struct dkim_header;
/*
 * NULL with ERR_LIMIT, or ERR_SYNTAX when a line does not end in CR LF or the first one continues
 * another: such a message is neither signed nor is its signature believed.
 */
struct dkim_header *dkim_header_parse(struct arena *a, struct str text, struct err *e);

/* Hashes of the body, for all who want one. */
struct dkim_bodies;
struct dkim_bodies *dkim_bodies_new(void);
void dkim_bodies_free(struct dkim_bodies *b);
/* Whether anybody wants one; if not, the body need not be fed. */
bool dkim_bodies_are_wanted(const struct dkim_bodies *b);
void dkim_bodies_feed(struct dkim_bodies *b, struct str block);
void dkim_bodies_end(struct dkim_bodies *b);

/* --- verifying -------------------------------------------------------------------------------- */

struct dkim_result {
    enum auth_result status;        // none: also every failure of a domain that tests (t=y)
    struct str why;                 // not empty unless it is pass
    bool has_signature, has_record; // the field was well-formed; its key is known
    struct dkim_signature signature;
    struct dkim_record record;
    struct str field;  // the value, folded
    bool is_secure;    // the key came with DNSSEC
    unsigned key_bits; // 0: not known
};

struct dkim_policy {
    int64_t now_unix;
    /* Whether anyone may register names under the domain: it signs for nobody. May be NULL. */
    bool (*is_public_suffix)(struct str domain);
};

/* Verification under way, and its results when ended; in order of the header. */
struct dkim_verification {
    struct dkim_result *results;
    size_t n;
    size_t n_more;                        // signatures past DKIM_MAX_SIGNATURES
    const struct dkim_body_hash **hashes; // that each result waits for, or NULL
};
void dkim_verify_begin(struct arena *a, struct dkim_header *header,
                       const struct dkim_policy *policy, const struct dns *dns,
                       struct dkim_bodies *bodies, struct dkim_verification *out);
void dkim_verify_end(struct dkim_verification *v);

/* --- signing ---------------------------------------------------------------------------------- */

/* Whoever has the private key: a signature of a SHA-256 digest. */
struct dkim_signer {
    enum dkim_algorithm algorithm;
    void *ctx;
    bool (*sign)(void *ctx, struct str digest, struct buf *signature, struct err *e);
};

/*
 * A private key that DKIM signs with, as PEM: RSA of 1024 bits or more (RFC 8301 3.2), or ed25519
 * (RFC 8463). NULL with a sentence when it is none.
 */
struct private_key *dkim_private_key(struct str pem, enum dkim_algorithm *algorithm, struct err *e);

/* What a selector is configured to do. */
struct dkim_selector {
    struct str name, domain; // A-labels
    struct dkim_signer signer;
    const struct str *headers; // to sign
    size_t n_headers;
    bool is_unsealed; // fields may be added to the message
    bool header_is_relaxed, body_is_relaxed;
    int64_t expires_after; // seconds; 0: never
};
/* Upstream's list of fields, for a selector that does not say otherwise. */
extern const struct str dkim_default_headers[];
extern const size_t dkim_n_default_headers;

/* Wants the hashes of the body that signing needs. */
void dkim_sign_begin(const struct dkim_selector *selectors, size_t n, struct dkim_bodies *bodies);
/*
 * Appends a DKIM-Signature field per selector, to go before the message. localpart is that of the
 * From address, for i=; it may be empty. ERR_SYNTAX when there is not exactly one From field.
 */
MUST_USE bool dkim_sign_end(struct dkim_header *header, const struct dkim_selector *selectors,
                            size_t n, struct str localpart, int64_t now_unix,
                            struct dkim_bodies *bodies, struct buf *out, struct err *e);
