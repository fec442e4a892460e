/*
 * What TLSA records say of certificates and keys (RFC 6698 2.1).
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

enum { TLSA_MAX_DER = 32 * 1024 };

enum tlsa_selector { TLSA_CERT = 0, TLSA_SPKI = 1 };
enum tlsa_matching { TLSA_FULL = 0, TLSA_SHA256 = 1, TLSA_SHA512 = 2 };

/* Whether all of der is one certificate, or one SubjectPublicKeyInfo. */
bool tlsa_is_full(enum tlsa_selector selector, struct str der);

/*
 * The association data for the first certificate, public key or private key of a PEM text; a whole
 * certificate (TLSA_CERT) is had of a certificate only. ERR_SYNTAX.
 */
MUST_USE bool tlsa_of_pem(struct arena *a, struct str pem, enum tlsa_selector selector,
                          enum tlsa_matching matching, struct str *out, struct err *e);
