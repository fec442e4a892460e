/*
 * TLS as a client of mail servers: the handshake goes on whatever the certificate is, since to many
 * servers mail is sent all the same; what the certificate is worth is a question of its own, asked
 * before the first byte that must not be seen by others.
 */
#pragma once

#include "crypto/tls.h"

/* One TLSA record (RFC 6698 2.1). */
struct tls_association {
    uint8_t usage, selector, matching;
    struct str data;
};

/* What a connection asks of its server. Texts need to live only during the call. */
struct tls_target {
    struct str name; // the server's: said as SNI, and what certificates are checked for; or an address
    /* DANE (RFC 7672, RFC 6698): only usable records, see policy/dane.h. */
    const struct tls_association *associations;
    size_t n_associations;
    const struct str *names; // further names that a certificate may have with usage DANE-TA
    size_t n_names;
};

/* The roots that are trusted, and how TLS is spoken: once per process. */
struct tls_client;
/* Reads the system's certificate authorities, or SSL_CERT_FILE: before the sandbox. NULL on failure. */
struct tls_client *tls_client_new(struct err *e);
void tls_client_free(struct tls_client *c);
/* Trusts the certificates of this file (PEM) instead. */
MUST_USE bool tls_client_use_roots(struct tls_client *c, const char *path, struct err *e);
/* Trusts these certificates (PEM) too, or alone. ERR_SYNTAX when there is one that cannot be read, or none. */
MUST_USE bool tls_client_add_roots(struct tls_client *c, struct str pem, bool is_alone, struct err *e);
/*
 * How TLS is spoken where DANE plays no part, for whoever tries servers out. Lists have commas: suites by IANA's or
 * OpenSSL's names, groups such as "X25519,P-256". ERR_TEMPORARY when a name is not known.
 */
enum tls_client_version { TLS_CLIENT_ANY, TLS_CLIENT_1_0, TLS_CLIENT_1_1, TLS_CLIENT_1_2, TLS_CLIENT_1_3 };
struct tls_limits {
    enum tls_client_version least, most;
    struct str suites, groups; // empty: the usual ones
    bool may_renegotiate, may_have_tickets;
};
MUST_USE bool tls_client_limit(struct tls_client *c, const struct tls_limits *limits, struct err *e);
/* Servers that ask for a certificate get this one: PEM, both. */
MUST_USE bool tls_client_use_key(struct tls_client *c, struct str cert_pem, struct str key_pem,
                                 struct err *e);

/* A connection on fd, which stays the caller's. NULL on failure. */
struct tls *tls_client_connect(struct tls_client *c, const struct tls_target *target, int fd,
                               struct err *e);

/*
 * What ended a connection that failed: an alert with its number (RFC 8446 6), bytes that are no TLS, a
 * connection that was closed. Nothing when it was none of them.
 */
void tls_end_put(const struct tls *t, struct buf *out);
/*
 * Whether the server has sent one, or has closed the connection without reading what was sent, which may
 * have cost us the alert.
 */
bool tls_is_refused(const struct tls *t);

enum tls_worth {
    TLS_VERIFIED,
    TLS_HOST_MISMATCH, // the certificate is for other names
    TLS_EXPIRED,       // or not valid yet
    TLS_NOT_TRUSTED,   // no chain to a root
    TLS_DANE_MISMATCH, // no TLSA record matches
    TLS_INVALID,       // anything else
};
/*
 * After the handshake: what the certificate is worth by the public roots for this name, and by the
 * associations of the target. *e says why not.
 */
enum tls_worth tls_verify_roots(const struct tls_client *c, const struct tls *t, struct str name,
                                struct err *e);
enum tls_worth tls_verify_dane(const struct tls *t, struct err *e);
