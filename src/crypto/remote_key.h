/*
 * Private keys that are elsewhere: OpenSSL believes it has the key, and each private operation
 * goes through a key_signer. Only for crypto/.
 */
#pragma once

#include <openssl/evp.h>

#include "crypto/tls.h"

/* A key whose public half is given. signer must outlive it. NULL on failure. */
EVP_PKEY *remote_key_new(EVP_PKEY *public_half, const struct key_signer *signer, uint32_t key,
                         struct err *e);
