/*
 * TLS as a server, on a connected socket, with private keys that live in another process.
 *
 * All calls are non-blocking in the socket's sense: on a non-blocking descriptor they say what to
 * wait for. crypto/stream.h makes blocking calls with deadlines of them.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "crypto/crypto.h"

/* How a private-key operation is done: by asking the process that has the key. */
struct key_signer {
    void *ctx;
    /* type: 1 ECDSA of a digest, 2 RSA private operation with padding as parameter. */
    bool (*sign)(void *ctx, uint32_t key, int type, unsigned parameter, struct str digest,
                 struct buf *out, struct err *e);
};

struct tls_server;

enum tls_least { TLS_LEAST_1_2, TLS_LEAST_1_3 };

/* TLS from this version on, no renegotiation, no compression; tickets as told. signer outlives it. */
struct tls_server *tls_server_new(const struct key_signer *signer, enum tls_least least,
                                  bool has_tickets);
void tls_server_free(struct tls_server *s);
/*
 * Protocols that are spoken (ALPN, RFC 7301), with a space between them, the one that is preferred first. Clients that ask
 * for others alone are refused, so that none is made to speak with the wrong server (ALPACA). Before certificates are added.
 */
void tls_server_set_protocols(struct tls_server *s, struct str names);
/*
 * Clients that name no server, or one that there is no certificate for (mox-web-http-api.md 6.3): both get the default
 * certificate; only the former; or neither, but the alert unrecognized_name. Without this call, both. unknown, which may
 * be NULL, hears which name was asked for, empty for none.
 */
enum tls_names { TLS_NAMES_ANY, TLS_NAMES_KNOWN_OR_NONE, TLS_NAMES_KNOWN };
typedef void tls_unknown_name(void *ctx, struct str name);
void tls_server_set_names(struct tls_server *s, enum tls_names names, tls_unknown_name *unknown, void *ctx);
/*
 * Answers tls-alpn-01 (RFC 8737): fn is asked for the certificate of a name and its key, both PEM, which it puts into a. A
 * connection of that kind has nothing in it but its handshake: tls_is_challenge. With this, a server may have no
 * certificate of its own.
 */
typedef bool tls_challenge(void *ctx, struct arena *a, struct str name, struct str *cert_pem, struct str *key_pem);
void tls_server_set_challenge(struct tls_server *s, tls_challenge *fn, void *ctx);
/*
 * Adds a certificate chain (PEM) whose key has this number. The first is the default. One for the same names with a key of
 * the other kind, ECDSA and RSA, is for clients that cannot use the first.
 */
MUST_USE bool tls_server_add_cert(struct tls_server *s, struct str chain_pem, uint32_t key,
                                  struct err *e);
/* Unix time at which the first of its certificates ends; 0 when it has none. */
int64_t tls_server_expiry(const struct tls_server *s);

/*
 * Asks the client for a certificate, which it may refuse. What counts of one is its key alone: may_use
 * is asked whether the SHA-256 of the SubjectPublicKeyInfo is known, and when not, the handshake
 * fails. Before the handshake. A resumed session keeps its key and does not ask again.
 */
typedef bool tls_may_use_key(void *ctx, const unsigned char fingerprint[SHA256_BYTES]);
struct tls;
void tls_ask_client_key(struct tls *t, tls_may_use_key *may_use, void *ctx);
/* After the handshake: the fingerprint of the key that the client has proved to have. */
bool tls_client_key(const struct tls *t, unsigned char fingerprint[SHA256_BYTES]);

/*
 * After the handshake: bytes that both ends know, and nobody in between (RFC 5056). type is
 * "tls-exporter" with TLS 1.3 (RFC 9266), else "tls-unique" (RFC 5929 3). False when this connection
 * has none that is safe.
 */
enum { TLS_MAX_BINDING = 64 };
bool tls_binding(const struct tls *t, struct str *type, unsigned char data[TLS_MAX_BINDING],
                 size_t *n);

enum tls_result { TLS_DONE, TLS_WANT_READ, TLS_WANT_WRITE, TLS_CLOSED, TLS_FAILED };

/* A connection on fd, which stays the caller's. NULL on failure. The server may be freed before it. */
struct tls *tls_new(struct tls_server *s, int fd, struct err *e);
void tls_free(struct tls *t);
/* For this connection other protocols than the server's. Before the handshake. */
void tls_set_protocols(struct tls *t, struct str names);
enum tls_result tls_handshake(struct tls *t, struct err *e);
/*
 * What ended a handshake, in a word: "eof", "nottls", "unsupportedversions", or the client's alert, as
 * "alert-42-bad-certificate"; nothing when it was none of them, or t is NULL.
 */
void tls_end_put_label(const struct tls *t, struct buf *out);
/* TLS_DONE with *got > 0, or why not. */
enum tls_result tls_read(struct tls *t, char *p, size_t n, size_t *got, struct err *e);
/* May write less than n. */
enum tls_result tls_write(struct tls *t, struct str bytes, size_t *done, struct err *e);
/* Says goodbye without waiting for the other side's. */
void tls_bye(struct tls *t);
/* Bytes already decrypted and not yet read. */
bool tls_has_pending(const struct tls *t);

/* "TLS1.3" and the cipher's IANA name. */
struct str tls_version(const struct tls *t);
struct str tls_cipher(const struct tls *t);
/* What ALPN came to; empty when the client did not ask. */
struct str tls_protocol(const struct tls *t);
bool tls_is_challenge(const struct tls *t);
/* Whether the session is one of before. */
bool tls_is_resumed(const struct tls *t);
