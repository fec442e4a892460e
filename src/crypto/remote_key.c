// The method tables are the only way to keep a private key out of the process without a provider;
// OpenSSL 3 calls them deprecated and still has them.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "crypto/remote_key.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"

struct remote {
    const struct key_signer *signer;
    uint32_t key;
};

static int ec_index, rsa_index;
static EC_KEY_METHOD *ec_method;
static RSA_METHOD *rsa_method;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool ask(const struct remote *r, int type, unsigned parameter, struct str digest,
                struct buf *out)
{
    struct err e = {0};

    if (r && r->signer->sign(r->signer->ctx, r->key, type, parameter, digest, out, &e))
        return true;
    LOG(LOG_ERROR, "autotls", "private key operation failed", LOG_E(&e));
    return false;
}

static ECDSA_SIG *ec_sign(const unsigned char *digest, int n, const BIGNUM *kinv, const BIGNUM *r,
                          EC_KEY *key)
{
    AUTO_BUF signature = BUF_LIMIT(1024);
    const unsigned char *p;

    (void)kinv;
    (void)r;
    if (!ask(EC_KEY_get_ex_data(key, ec_index), 1, 0, str_at(digest, (size_t)n), &signature))
        return NULL;
    p = (const unsigned char *)signature.p;
    return d2i_ECDSA_SIG(NULL, &p, (long)signature.n);
}

static int ec_sign_der(int type, const unsigned char *digest, int n, unsigned char *out,
                       unsigned *out_n, const BIGNUM *kinv, const BIGNUM *r, EC_KEY *key)
{
    AUTO_BUF signature = BUF_LIMIT(1024);

    (void)type;
    (void)kinv;
    (void)r;
    if (!ask(EC_KEY_get_ex_data(key, ec_index), 1, 0, str_at(digest, (size_t)n), &signature) ||
        signature.n > (size_t)ECDSA_size(key))
        return 0;
    memcpy(out, signature.p, signature.n);
    *out_n = (unsigned)signature.n;
    return 1;
}

static int rsa_private(int n, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
    AUTO_BUF result = BUF_LIMIT(2048);

    if (!ask(RSA_get_ex_data(rsa, rsa_index), 2, (unsigned)padding, str_at(from, (size_t)n),
             &result) ||
        result.n > (size_t)RSA_size(rsa))
        return -1;
    memcpy(to, result.p, result.n);
    return (int)result.n;
}

static void free_remote(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl,
                        void *argp)
{
    (void)parent;
    (void)ad;
    (void)index;
    (void)argl;
    (void)argp;
    free(ptr);
}

static void make_methods(void)
{
    ec_index = EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, free_remote);
    rsa_index = RSA_get_ex_new_index(0, NULL, NULL, NULL, free_remote);
    ec_method = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
    EC_KEY_METHOD_set_sign(ec_method, ec_sign_der, NULL, ec_sign);
    rsa_method = RSA_meth_dup(RSA_PKCS1_OpenSSL());
    RSA_meth_set_priv_enc(rsa_method, rsa_private);
}

static struct remote *new_remote(const struct key_signer *signer, uint32_t key)
{
    struct remote *r = heap_alloc(sizeof *r);

    *r = (struct remote){signer, key};
    return r;
}

static bool set_ec(EVP_PKEY *out, EVP_PKEY *public_half, struct remote *r)
{
    EC_KEY *ec = EVP_PKEY_get1_EC_KEY(public_half);
    bool ok = ec && EC_KEY_set_method(ec, ec_method) && EC_KEY_set_ex_data(ec, ec_index, r) &&
              EVP_PKEY_set1_EC_KEY(out, ec);

    EC_KEY_free(ec);
    return ok;
}

static bool set_rsa(EVP_PKEY *out, EVP_PKEY *public_half, struct remote *r)
{
    RSA *rsa = EVP_PKEY_get1_RSA(public_half);
    bool ok = rsa && RSA_set_method(rsa, rsa_method) && RSA_set_ex_data(rsa, rsa_index, r) &&
              EVP_PKEY_set1_RSA(out, rsa);

    RSA_free(rsa);
    return ok;
}

EVP_PKEY *remote_key_new(EVP_PKEY *public_half, const struct key_signer *signer, uint32_t key,
                         struct err *e)
{
    EVP_PKEY *out = EVP_PKEY_new();
    int type = EVP_PKEY_get_base_id(public_half);
    bool ok = false;

    pthread_once(&once, make_methods);
    if (out && type == EVP_PKEY_EC)
        ok = set_ec(out, public_half, new_remote(signer, key));
    else if (out && type == EVP_PKEY_RSA)
        ok = set_rsa(out, public_half, new_remote(signer, key));
    if (ok)
        return out;
    fail(e, ERR_SYNTAX, "certificate's key is neither ECDSA nor RSA, or unusable");
    EVP_PKEY_free(out);
    return NULL;
}
