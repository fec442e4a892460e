/*
 * A private key as OpenSSL has it. Only for crypto/.
 */
#pragma once

#include <openssl/evp.h>

#include "crypto/crypto.h"

struct private_key {
    EVP_PKEY *pkey;
};

/* PKCS8 PEM. */
MUST_USE bool private_key_to_pem(struct arena *a, EVP_PKEY *pkey, struct str *out);
/* ERR_SYNTAX: "what: " and what OpenSSL says. */
bool private_key_fail(struct err *e, const char *what);
