/*
 * Hashes, passwords and certificates, and what must be loaded before a sandbox closes.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { MD5_BYTES = 16, SHA1_BYTES = 20, SHA256_BYTES = 32, HASH_MAX_BYTES = 32 };

/* Makes OpenSSL load its configuration now, not after the sandbox is closed, and what children need for hashes. */
void crypto_warm(void);
/* That, and all that TLS needs: 250 KiB, which a process that speaks no TLS does without. */
void crypto_warm_tls(void);

void sha256(struct str bytes, unsigned char out[SHA256_BYTES]);
void hmac_sha256(struct str key, struct str bytes, unsigned char out[SHA256_BYTES]);

/* SHA-256 piece by piece; a copy goes on from what has been put so far. */
struct sha256;
struct sha256 *sha256_new(void);
struct sha256 *sha256_copy(const struct sha256 *h);
void sha256_free(struct sha256 *h);
void sha256_put(struct sha256 *h, struct str bytes);
/* The digest; after it, nothing but sha256_free. */
void sha256_end(struct sha256 *h, unsigned char out[SHA256_BYTES]);

/* The hashes of SCRAM; out has room for HASH_MAX_BYTES. */
enum hash_kind { HASH_SHA1, HASH_SHA256 };
size_t hash_bytes(enum hash_kind kind);
void hash_digest(enum hash_kind kind, struct str bytes, unsigned char *out);
void hash_hmac(enum hash_kind kind, struct str key, struct str bytes, unsigned char *out);
/* RFC 8018 5.2, as many bytes as the hash has. Takes its time: that is what it is for. */
void hash_pbkdf2(enum hash_kind kind, struct str password, struct str salt, uint32_t iterations,
                 unsigned char *out);

/*
 * HMAC-MD5 with the key's two blocks hashed beforehand (RFC 2104 4): the two states answer
 * challenges as the key does, and the key cannot be read from them.
 */
enum { HMAC_MD5_STATES = 2 * MD5_BYTES };
void hmac_md5_prepare(struct str key, unsigned char states[HMAC_MD5_STATES]);
void hmac_md5_finish(const unsigned char states[HMAC_MD5_STATES], struct str bytes,
                     unsigned char out[MD5_BYTES]);

/* Argon2id with 19 MiB and 2 passes, as an encoded text with its salt. */
MUST_USE bool password_hash(struct arena *a, struct str password, struct str *out, struct err *e);
/* True when password fits the hash: argon2id, or upstream's bcrypt. Takes 20 ms or more. */
bool password_verify(struct str hash, struct str password);
/* ERR_SYNTAX with a sentence when the password may not be set: too short, control characters. */
MUST_USE bool password_check_rules(struct str password, struct err *e);
enum { PASSWORD_MIN_BYTES = 8, PASSWORD_MAX_BYTES = 1024 };

/* A self-signed ECDSA P-256 certificate for name and loopback addresses, and its key, as PEM. */
MUST_USE bool cert_self_signed(struct arena *a, struct str name, unsigned days, struct str *cert,
                               struct str *key, struct err *e);
/* A certificate with an ed25519 key, for a client that is known by its key. */
MUST_USE bool cert_for_client(struct arena *a, struct str name, unsigned days, struct str *cert,
                              struct str *key, struct err *e);
/* The same with a key of the caller's: its seed, 32 octets. */
MUST_USE bool cert_for_client_seed(struct arena *a, struct str seed, struct str name, unsigned days,
                                   struct str *cert, struct str *key, struct err *e);
/* The bytes of the one CERTIFICATE block of a PEM text. */
MUST_USE bool cert_of_pem(struct arena *a, struct str pem, struct str *der, struct err *e);
MUST_USE bool cert_to_pem(struct arena *a, struct str der, struct str *pem, struct err *e);
/* What a certificate says of its key. */
struct cert_key {
    unsigned char fingerprint[SHA256_BYTES]; // SHA-256 of the SubjectPublicKeyInfo
    struct str type; // "rsa-2048", "ecdsa-p256", "ed25519"
    struct str name; // common name, or "serial <hex>"
};
/* ERR_SYNTAX for what is no certificate, ERR_DENIED for keys that are too weak. */
MUST_USE bool cert_key_of(struct arena *a, struct str der, struct cert_key *out, struct err *e);

/* New private keys as PKCS8 PEM, for DKIM and for certificates. */
MUST_USE bool key_ed25519(struct arena *a, struct str *key, struct err *e);
MUST_USE bool key_rsa(struct arena *a, unsigned bits, struct str *key, struct err *e);
MUST_USE bool key_ecdsa_p256(struct arena *a, struct str *key, struct err *e);

/* A private key, for the process that signs. */
struct private_key;
struct private_key *private_key_parse(struct str pem, struct err *e);
void private_key_free(struct private_key *k);
/*
 * What TLS asks of a key: an ECDSA signature of a digest (parameter 0), or RSA's private
 * operation on prepared bytes with OpenSSL's padding number as parameter.
 */
MUST_USE bool private_key_sign_ecdsa(const struct private_key *k, struct str digest,
                                     struct buf *out, struct err *e);
MUST_USE bool private_key_rsa(const struct private_key *k, struct str bytes, unsigned padding,
                              struct buf *out, struct err *e);
/* Whether a TLS server can use both: the first certificate of a PEM text, and the private key's. */
MUST_USE bool cert_fits_key(struct str cert_pem, struct str key_pem, struct err *e);
/* What DKIM asks of a key: a signature of a SHA-256 digest, by RSA (PKCS #1 v1.5) or Ed25519. */
enum private_key_kind { PRIVATE_KEY_RSA, PRIVATE_KEY_ED25519, PRIVATE_KEY_OTHER };
enum private_key_kind private_key_kind(const struct private_key *k);
unsigned private_key_bits(const struct private_key *k);
MUST_USE bool private_key_sign_sha256(const struct private_key *k, struct str digest,
                                      struct buf *out, struct err *e);
/* A signature of the text itself (RFC 8032 5.1.6), by Ed25519. ERR_DENIED for another key. */
MUST_USE bool private_key_sign_text(const struct private_key *k, struct str text, struct buf *out,
                                    struct err *e);
/* The public half: of ed25519 its 32 octets, else a SubjectPublicKeyInfo. */
MUST_USE bool private_key_public(struct arena *a, const struct private_key *k, struct str *out,
                                 struct err *e);

/*
 * What ACME asks of a key (RFC 8555). Only keys of these kinds are for it, and for the certificates of TLS.
 */
enum private_key_use { PRIVATE_KEY_USE_NONE, PRIVATE_KEY_USE_P256, PRIVATE_KEY_USE_RSA };
enum private_key_use private_key_use(const struct private_key *k);
/* The public half as a JWK, in the form that RFC 7638 hashes. */
MUST_USE bool private_key_jwk(const struct private_key *k, struct buf *out, struct err *e);
/* A signature by ES256 or RS256, whichever the key is for (RFC 7518 3). */
MUST_USE bool private_key_sign_jws(const struct private_key *k, struct str bytes, struct buf *out,
                                   struct err *e);
/* SHA-256 of the SubjectPublicKeyInfo. */
MUST_USE bool private_key_fingerprint(const struct private_key *k, unsigned char out[SHA256_BYTES]);
/* A PKCS #10 request for this one name, which may begin with "*.". */
MUST_USE bool csr_make(struct arena *a, const struct private_key *k, struct str host, struct str *der,
                       struct err *e);
/* A self-signed certificate of the key, until there is a better one. */
MUST_USE bool cert_placeholder(struct arena *a, const struct private_key *k, struct str host,
                               struct str *cert_pem, struct err *e);
/* The certificate that answers tls-alpn-01 with the digest of a key authorization (RFC 8737 3), and its key. */
MUST_USE bool cert_for_challenge(struct arena *a, struct str host, const unsigned char digest[SHA256_BYTES],
                                 struct str *cert_pem, struct str *key_pem, struct err *e);
/* What the first certificate of a chain in PEM says of itself. */
struct cert_facts {
    int64_t not_before, not_after;
    unsigned char fingerprint[SHA256_BYTES]; // SHA-256 of the SubjectPublicKeyInfo
    struct str serial;        // the value of the INTEGER as DER has it
    struct str authority_key; // the keyIdentifier of the AuthorityKeyIdentifier; may be empty
    bool is_rsa;
};
/* ERR_CONFLICT when it is not for host, ERR_LIMIT when the chain is too long. */
MUST_USE bool cert_facts_of(struct arena *a, struct str chain_pem, struct str host, struct cert_facts *out,
                            struct err *e);

/*
 * A public key out of a DNS record. RSA as SubjectPublicKeyInfo or RSAPublicKey; ERR_DENIED when it
 * is too weak (RFC 8301 3.2) or costs too much to verify with. NULL on failure.
 */
enum {
    ED25519_BYTES = 32,
    ED25519_SIGNATURE_BYTES = 64,
    PUBLIC_KEY_MIN_RSA_BITS = 1024,
    PUBLIC_KEY_MAX_RSA_BITS = 8192,
    PUBLIC_KEY_MAX_DER = 2048,
};
struct public_key;
struct public_key *public_key_rsa(struct str der, struct err *e);
struct public_key *public_key_ed25519(struct str bytes, struct err *e);
void public_key_free(struct public_key *k);
unsigned public_key_bits(const struct public_key *k);
bool public_key_verify(const struct public_key *k, const unsigned char digest[SHA256_BYTES],
                       struct str signature);
/* A signature of the text itself (RFC 8032 5.1.7); false unless k is an ed25519 key. */
bool public_key_verify_text(const struct public_key *k, struct str text, struct str signature);
