/*
 * SASL mechanisms as a server sees them: their names, and what their messages say (RFC 4422).
 *
 * Pure: messages are bytes, already out of their base64. Whoever calls knows passwords and keys,
 * draws nonces, counts failures.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "crypto/crypto.h"

enum {
    SASL_MAX_MESSAGE = 12288, // RFC 4954 4, in base64: no mechanism here needs as much
    SASL_MAX_NAME = 1024,     // user names and authorization identities
};

/* In the order of announcement, strongest first. */
enum sasl_mechanism {
    SASL_EXTERNAL,
    SASL_SCRAM_SHA_256_PLUS,
    SASL_SCRAM_SHA_256,
    SASL_SCRAM_SHA_1_PLUS,
    SASL_SCRAM_SHA_1,
    SASL_CRAM_MD5,
    SASL_PLAIN,
    SASL_LOGIN,
    SASL_MECHANISMS,
};

struct sasl_mechanism_info {
    struct str name;     // "SCRAM-SHA-1-PLUS"
    struct str log_name; // "scram-sha-1-plus"
    bool needs_tls;      // makes no sense without
    bool is_password;    // sends the password itself
    bool is_scram, is_plus;
    enum hash_kind hash;
};
/* SASL_MECHANISMS when there is none of that name; names are in upper case (RFC 4422 3.1). */
enum sasl_mechanism sasl_mechanism_of(struct str name);
const struct sasl_mechanism_info *sasl_info(enum sasl_mechanism mechanism);

/* RFC 4616 2: [authzid] NUL authcid NUL passwd. */
struct sasl_plain {
    struct str authzid, authcid, password;
};
MUST_USE bool sasl_plain_parse(struct str message, struct sasl_plain *out, struct err *e);

/* RFC 2195 2: the name, a space, 32 hexadecimal digits. */
struct sasl_cram {
    struct str name;
    unsigned char digest[MD5_BYTES];
};
MUST_USE bool sasl_cram_parse(struct str message, struct sasl_cram *out, struct err *e);
/* A challenge in the form of a message id, from numbers that never come again. */
void sasl_cram_challenge(struct buf *out, uint64_t random, uint64_t time_ns, struct str hostname);

/* RFC 4422 A: an authorization identity, or nothing. */
MUST_USE bool sasl_external_parse(struct str message, struct err *e);

/* --- SCRAM (RFC 5802, RFC 7677) ------------------------------------------------------------------ */

enum { SCRAM_SALT_BYTES = 16, SCRAM_NONCE_BYTES = 18, SCRAM_MAX_NONCE = 1024 };

/* What is stored of a password. */
struct scram_keys {
    unsigned char stored_key[HASH_MAX_BYTES], server_key[HASH_MAX_BYTES];
};
/* password is prepared (text_saslprep). RFC 5802 3. */
void scram_derive(enum hash_kind hash, struct str password, struct str salt, uint32_t iterations,
                  struct scram_keys *out);

/* What the connection has to bind to (RFC 5056, 5929, 9266). */
struct scram_channel {
    bool is_tls;
    struct str type, data; // "tls-exporter"; empty when TLS cannot tell
};

/* A connection's exchange. Texts live in the arena of the calls. */
struct scram {
    const struct sasl_mechanism_info *info;
    struct scram_channel channel;
    bool is_bound;                        // the client bound the channel
    struct str gs2_header, bare;          // the two parts of the client's first message
    struct str authzid, name;             // decoded; authzid empty when not given
    struct str client_nonce, nonce;       // the client's, and both
    struct str server_first;
};
/* The client's first message; its name is then known. Refuses what RFC 5802 5.1 and 6 forbid. */
MUST_USE bool scram_begin(struct arena *a, enum sasl_mechanism mechanism,
                          const struct scram_channel *channel, struct str message,
                          struct scram *out, struct err *e);
/* Our first message. nonce is printable and has no comma. */
void scram_challenge(struct arena *a, struct scram *s, struct str nonce, struct str salt,
                     uint32_t iterations, struct buf *out);
enum scram_verdict {
    SCRAM_OK,
    SCRAM_MALFORMED,   // *e says what; nothing is put
    SCRAM_BAD_NONCE,   // as a proof that is not for this exchange
    SCRAM_BAD_BINDING, // the client is on another channel than we are, or was told lies
    SCRAM_BAD_PROOF,
};
/* The client's final message. Our last one goes to out: a signature, or an error. */
enum scram_verdict scram_finish(struct arena *a, const struct scram *s,
                                const struct scram_keys *keys, struct str message,
                                struct buf *out, struct err *e);
