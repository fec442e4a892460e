/*
 * ARC (RFC 8617): chains of those who passed a message on, each saying what it found, validated and
 * made longer.
 *
 * The header and the body are given as to DKIM, with which the hashes of the body are shared:
 * arc_verify_begin, then the body, then arc_verify_end.
 */
#pragma once

#include "policy/dkim.h"

enum { ARC_MAX_SETS = 50 }; // RFC 8617 4.2.1

/* What one of them added. Filled in as far as it is well-formed. */
struct arc_set {
    struct dkim_signature seal, message;
    enum auth_result cv; // what the seal says of the chain before it
    struct str results;  // of ARC-Authentication-Results, after "i=n;", folded
};

struct arc_chain {
    enum auth_result status;           // none, pass, fail; temperror: a key could not be had
    struct str why;                    // not empty for the last two
    struct arc_set *sets;              // from instance 1 on
    size_t n;                          // the highest instance, with a broken chain too
    bool is_ended;                     // it says of itself that it failed: nobody may add to it
    const struct dkim_body_hash *hash; // of the body, that it waits for; or NULL
    size_t numbers[ARC_MAX_SETS][3];   // of the fields of each set: results, message, seal; from 1
};

void arc_verify_begin(struct arena *a, struct dkim_header *header, const struct dkim_policy *policy,
                      const struct dns *dns, struct dkim_bodies *bodies, struct arc_chain *out);
void arc_verify_end(struct arc_chain *chain);

/* Who seals. */
struct arc_sealer {
    struct str domain, selector; // A-labels
    struct dkim_signer signer;
    const struct str *headers; // to sign in ARC-Message-Signature
    size_t n_headers;
};
void arc_seal_begin(struct dkim_bodies *bodies);
/*
 * Appends the fields of a new set, to go before the message: seal, signature, results. results is
 * the value of an Authentication-Results field on one line. chain is that of this message, ended.
 * ERR_DENIED when it may not be made longer, ERR_TEMPORARY when it is not known whether it holds.
 */
MUST_USE bool arc_seal_end(struct dkim_header *header, const struct arc_chain *chain,
                           const struct arc_sealer *sealer, struct str results, int64_t now_unix,
                           struct dkim_bodies *bodies, struct buf *out, struct err *e);
