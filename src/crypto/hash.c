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

static const EVP_MD *md_of(enum hash_kind kind)
{
    return kind == HASH_SHA1 ? EVP_sha1() : EVP_sha256();
}

size_t hash_bytes(enum hash_kind kind)
{
    return kind == HASH_SHA1 ? SHA1_BYTES : SHA256_BYTES;
}

void hash_digest(enum hash_kind kind, struct str bytes, unsigned char *out)
{
    if (!EVP_Digest(bytes.p, bytes.n, out, NULL, md_of(kind), NULL))
        die("hash failed");
}

void hash_hmac(enum hash_kind kind, struct str key, struct str bytes, unsigned char *out)
{
    unsigned n = HASH_MAX_BYTES;

    if (!HMAC(md_of(kind), key.p, (int)key.n, (const unsigned char *)bytes.p, bytes.n, out, &n))
        die("HMAC failed");
}

void hash_pbkdf2(enum hash_kind kind, struct str password, struct str salt, uint32_t iterations,
                 unsigned char *out)
{
    if (!PKCS5_PBKDF2_HMAC(password.p, (int)password.n, (const unsigned char *)salt.p,
                           (int)salt.n, (int)iterations, md_of(kind), (int)hash_bytes(kind), out))
        die("PBKDF2 failed");
}

void crypto_warm(void)
{
    unsigned char digest[SHA256_BYTES];

    OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CRYPTO_STRINGS | OPENSSL_INIT_LOAD_CONFIG, NULL);
    sha256(STR(""), digest); // fetches the hashes of the default provider
}

void crypto_warm_tls(void)
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
