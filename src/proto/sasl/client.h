/*
 * SASL as a client: one exchange with a server that has said which mechanisms it takes.
 *
 * Pure: messages are bytes, out of their base64. Whoever calls carries them, and draws the nonce.
 * With SCRAM the server has to prove that it knows the password too (RFC 5802 3): until
 * sasl_client_is_done says so, it has not.
 */
#pragma once

#include "proto/sasl/sasl.h"

enum {
    SCRAM_MIN_ITERATIONS = 4096,    // RFC 5802 5.1: fewer makes guessing the password cheap
    SCRAM_MAX_ITERATIONS = 1000000, // RFC 5802 9: a server could keep us computing for ever
};

struct sasl_client {
    enum sasl_mechanism mechanism;
    struct str name, password;
    struct scram_channel channel; // SCRAM: what can be bound
    bool server_has_plus;         // SCRAM: it offers to bind (RFC 5802 6)
    struct str nonce;             // SCRAM: printable, without a comma; never used before
    // From here on the exchange's own.
    unsigned step;
    struct str bare, gs2_header;
    unsigned char server_signature[HASH_MAX_BYTES];
    bool is_done;
};

/*
 * The first of wanted that the server offers and that is possible here: EXTERNAL with has_client_key,
 * -PLUS with a channel to bind. offers asks the server's list. SASL_MECHANISMS: none.
 */
enum sasl_mechanism sasl_client_choose(const enum sasl_mechanism *wanted, size_t n,
                                       bool has_client_key, const struct scram_channel *channel,
                                       bool (*offers)(void *ctx, struct str mechanism), void *ctx);
/* Whether the client speaks first (RFC 4422 3: an initial response). */
bool sasl_client_is_first(enum sasl_mechanism mechanism);
/*
 * The next message, to a challenge; for the initial response that is empty. What is kept lives in a.
 * ERR_SYNTAX or ERR_DENIED for a server that is not to be talked to: the exchange is over.
 */
MUST_USE bool sasl_client_step(struct arena *a, struct sasl_client *c, struct str challenge,
                               struct buf *out, struct err *e);
/*
 * After the server has said that the login is good: whether this exchange got as far. With SCRAM some
 * protocols send the server's last message along (data); it was a challenge otherwise.
 */
bool sasl_client_is_done(struct arena *a, struct sasl_client *c, struct str data);
