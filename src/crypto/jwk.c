/*
 * Keys and signatures of JOSE, as far as ACME has them: ES256 and RS256 (RFC 7518 3.3, 3.4).
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "crypto/crypto.h"
#include "crypto/private_key.h"
#include "text/encode.h"

enum { P256_BYTES = 32, MAX_MODULUS = 1024 };

// RFC 7518 6.2.1.2, 6.3.1.1: a number of a fixed length, or as short as it is.
static bool put_number(struct buf *out, const EVP_PKEY *pkey, const char *name, int length)
{
    unsigned char bytes[MAX_MODULUS];
    BIGNUM *n = NULL;
    bool is_ok = EVP_PKEY_get_bn_param(pkey, name, &n) == 1 && BN_num_bytes(n) <= MAX_MODULUS;

    if (is_ok && !length)
        length = BN_num_bytes(n);
    is_ok = is_ok && BN_bn2binpad(n, bytes, length) == length;
    BN_free(n);
    if (is_ok)
        base64url_encode(out, str_at(bytes, (size_t)length));
    return is_ok;
}

static bool is_p256(const EVP_PKEY *pkey)
{
    char group[32];
    size_t n;

    return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC &&
           EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, &n) == 1 &&
           str_eq(str_at(group, n), STR("prime256v1"));
}

enum private_key_use private_key_use(const struct private_key *k)
{
    return is_p256(k->pkey)                                       ? PRIVATE_KEY_USE_P256
           : EVP_PKEY_get_base_id(k->pkey) == EVP_PKEY_RSA &&
                   EVP_PKEY_get_bits(k->pkey) >= 2048 &&
                   EVP_PKEY_get_bits(k->pkey) <= MAX_MODULUS * 8 ? PRIVATE_KEY_USE_RSA
                                                                 : PRIVATE_KEY_USE_NONE;
}

// RFC 7638 3.2: the required members in the order of their names, without spaces.
bool private_key_jwk(const struct private_key *k, struct buf *out, struct err *e)
{
    bool is_ok = false;

    switch (private_key_use(k)) {
    case PRIVATE_KEY_USE_P256:
        BUF_PUT(out, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
        is_ok = put_number(out, k->pkey, OSSL_PKEY_PARAM_EC_PUB_X, P256_BYTES);
        BUF_PUT(out, "\",\"y\":\"");
        is_ok = is_ok && put_number(out, k->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, P256_BYTES);
        break;
    case PRIVATE_KEY_USE_RSA:
        BUF_PUT(out, "{\"e\":\"");
        is_ok = put_number(out, k->pkey, OSSL_PKEY_PARAM_RSA_E, 0);
        BUF_PUT(out, "\",\"kty\":\"RSA\",\"n\":\"");
        is_ok = is_ok && put_number(out, k->pkey, OSSL_PKEY_PARAM_RSA_N, 0);
        break;
    case PRIVATE_KEY_USE_NONE:
        break;
    }
    BUF_PUT(out, "\"}");
    return is_ok || fail(e, ERR_DENIED, "only keys of ECDSA P-256 and of RSA with 2048 bits or more can be used");
}

// RFC 7518 3.4: the two numbers of an ECDSA signature, one after the other, without ASN.1.
static bool put_raw_ecdsa(struct buf *out, struct str der)
{
    const unsigned char *p = (const unsigned char *)der.p;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)der.n);
    unsigned char raw[2 * P256_BYTES];
    bool is_ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, P256_BYTES) == P256_BYTES &&
                 BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + P256_BYTES, P256_BYTES) == P256_BYTES;

    ECDSA_SIG_free(sig);
    if (is_ok)
        buf_put(out, str_at(raw, sizeof raw));
    return is_ok;
}

bool private_key_sign_jws(const struct private_key *k, struct str bytes, struct buf *out, struct err *e)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char signature[MAX_MODULUS];
    size_t n = sizeof signature;
    bool is_ok = ctx && private_key_use(k) != PRIVATE_KEY_USE_NONE &&
                 EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
                 EVP_DigestSign(ctx, signature, &n, (const unsigned char *)bytes.p, bytes.n) == 1;

    EVP_MD_CTX_free(ctx);
    if (is_ok && private_key_use(k) == PRIVATE_KEY_USE_P256)
        is_ok = put_raw_ecdsa(out, str_at(signature, n));
    else if (is_ok)
        buf_put(out, str_at(signature, n));
    return is_ok || private_key_fail(e, "signing for ACME");
}
