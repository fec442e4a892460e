#include "crypto/tlsa.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "crypto/private_key.h"

bool tlsa_is_full(enum tlsa_selector selector, struct str der)
{
    const unsigned char *at = (const unsigned char *)der.p;
    bool is_read, is_all;

    if (!der.n || der.n > TLSA_MAX_DER)
        return false;
    if (selector == TLSA_CERT) {
        X509 *x = d2i_X509(NULL, &at, (long)der.n);

        is_read = x && X509_get0_pubkey(x);
        X509_free(x);
    } else {
        EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)der.n);

        is_read = key;
        EVP_PKEY_free(key);
    }
    is_all = is_read && (const char *)at == der.p + der.n;
    ERR_clear_error();
    return is_all;
}

static int no_password(char *p, int n, int is_writing, void *ctx)
{
    (void)p;
    (void)n;
    (void)is_writing;
    (void)ctx;
    return -1;
}

static BIO *of_memory(struct str pem)
{
    return BIO_new_mem_buf(pem.p, pem.n > TLSA_MAX_DER * 2 ? TLSA_MAX_DER * 2 : (int)pem.n);
}

static X509 *read_cert(struct str pem)
{
    BIO *bio = of_memory(pem);
    X509 *x = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;

    BIO_free(bio);
    return x;
}

static EVP_PKEY *read_key(struct str pem)
{
    BIO *bio = of_memory(pem);
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL) : NULL;

    BIO_free(bio);
    if (key)
        return key;
    bio = of_memory(pem);
    key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    return key;
}

static bool take_digest(struct arena *a, const unsigned char *der, size_t n,
                        enum tlsa_matching matching, struct str *out)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    if (matching == TLSA_FULL) {
        *out = arena_dup(a, str_at(der, n));
        return true;
    }
    if (!EVP_Digest(der, n, digest, &length, matching == TLSA_SHA256 ? EVP_sha256() : EVP_sha512(),
                    NULL))
        return false;
    *out = arena_dup(a, str_at(digest, length));
    return true;
}

bool tlsa_of_pem(struct arena *a, struct str pem, enum tlsa_selector selector,
                 enum tlsa_matching matching, struct str *out, struct err *e)
{
    X509 *x = read_cert(pem);
    EVP_PKEY *key = x ? NULL : read_key(pem);
    unsigned char *der = NULL;
    int n = -1;
    bool ok;

    if (selector == TLSA_CERT && x)
        n = i2d_X509(x, &der);
    else if (selector == TLSA_SPKI && x)
        n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    else if (selector == TLSA_SPKI && key)
        n = i2d_PUBKEY(key, &der);
    ok = n > 0 && take_digest(a, der, (size_t)n, matching, out);
    OPENSSL_free(der);
    X509_free(x);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok || fail(e, ERR_SYNTAX, selector == TLSA_CERT ? "no certificate in the PEM text"
                                                           : "no certificate or key in the PEM text");
}
