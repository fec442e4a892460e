#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "base/die.h"
#include "crypto/crypto.h"

void sha256(struct str bytes, unsigned char out[SHA256_BYTES])
{
    if (!EVP_Digest(bytes.p, bytes.n, out, NULL, EVP_sha256(), NULL))
        die("SHA-256 failed");
}

void hmac_sha256(struct str key, struct str bytes, unsigned char out[SHA256_BYTES])
{
    unsigned n = SHA256_BYTES;

    if (!HMAC(EVP_sha256(), key.p, (int)key.n, (const unsigned char *)bytes.p, bytes.n, out, &n))
        die("HMAC failed");
}

void crypto_warm(void)
{
    unsigned char random[8];
    SSL_CTX *ctx;

    OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS |
                         OPENSSL_INIT_LOAD_CONFIG,
                     NULL);
    RAND_bytes(random, sizeof random);
    ctx = SSL_CTX_new(TLS_server_method()); // fetches the algorithms of the default provider
    SSL_CTX_free(ctx);
}
