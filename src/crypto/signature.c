/*
 * Hashing piece by piece, and the signatures of DKIM: RSA (PKCS #1 v1.5) and Ed25519 over a SHA-256
 * digest (RFC 8301, RFC 8463).
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/die.h"
#include "crypto/crypto.h"
#include "crypto/private_key.h"

// A public exponent as long as the modulus makes one verification cost what a signature costs.
enum { MAX_EXPONENT_BITS = 32, MAX_SIGNATURE = 2048 };

struct sha256 {
    EVP_MD_CTX *ctx;
};

static struct sha256 *take_ctx(EVP_MD_CTX *ctx, bool is_ok)
{
    struct sha256 *h = heap_alloc(sizeof *h);

    if (!ctx || !is_ok)
        die("SHA-256 failed");
    h->ctx = ctx;
    return h;
}

struct sha256 *sha256_new(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    return take_ctx(ctx, ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL));
}

struct sha256 *sha256_copy(const struct sha256 *h)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    return take_ctx(ctx, ctx && EVP_MD_CTX_copy_ex(ctx, h->ctx));
}

void sha256_free(struct sha256 *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    free(h);
}

void sha256_put(struct sha256 *h, struct str bytes)
{
    if (bytes.n && !EVP_DigestUpdate(h->ctx, bytes.p, bytes.n))
        die("SHA-256 failed");
}

void sha256_end(struct sha256 *h, unsigned char out[SHA256_BYTES])
{
    if (!EVP_DigestFinal_ex(h->ctx, out, NULL))
        die("SHA-256 failed");
}

/* --- public keys ------------------------------------------------------------------------------ */

struct public_key {
    EVP_PKEY *pkey;
};

static struct public_key *public_key_new(EVP_PKEY *pkey)
{
    struct public_key *k = heap_alloc(sizeof *k);

    k->pkey = pkey;
    return k;
}

// SubjectPublicKeyInfo, or RSAPublicKey alone; nothing after it.
static EVP_PKEY *parse_rsa(struct str der)
{
    const unsigned char *p = (const unsigned char *)der.p, *end = p + der.n;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &p, (long)der.n);

    if (!pkey) {
        p = (const unsigned char *)der.p;
        pkey = d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, (long)der.n);
    }
    if (pkey && (p != end || EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA)) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    ERR_clear_error();
    return pkey;
}

static bool has_small_exponent(const EVP_PKEY *pkey)
{
    BIGNUM *exponent = NULL;
    bool ok = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &exponent) &&
              BN_num_bits(exponent) <= MAX_EXPONENT_BITS;

    BN_free(exponent);
    return ok;
}

struct public_key *public_key_rsa(struct str der, struct err *e)
{
    EVP_PKEY *pkey = der.n && der.n <= PUBLIC_KEY_MAX_DER ? parse_rsa(der) : NULL;
    int bits = pkey ? EVP_PKEY_get_bits(pkey) : 0;

    if (!pkey)
        (void)fail(e, ERR_SYNTAX, "not an RSA public key");
    else if (bits < PUBLIC_KEY_MIN_RSA_BITS)
        (void)fail(e, ERR_DENIED, "RSA key of %d bits, at least %d are needed", bits,
                   PUBLIC_KEY_MIN_RSA_BITS);
    else if (bits > PUBLIC_KEY_MAX_RSA_BITS)
        (void)fail(e, ERR_DENIED, "RSA key of %d bits, at most %d are taken", bits,
                   PUBLIC_KEY_MAX_RSA_BITS);
    else if (!has_small_exponent(pkey))
        (void)fail(e, ERR_DENIED, "RSA key with a public exponent of more than %d bits",
                   MAX_EXPONENT_BITS);
    else
        return public_key_new(pkey);
    EVP_PKEY_free(pkey);
    return NULL;
}

struct public_key *public_key_ed25519(struct str bytes, struct err *e)
{
    EVP_PKEY *pkey = bytes.n == ED25519_BYTES
                         ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
                                                       (const unsigned char *)bytes.p, bytes.n)
                         : NULL;

    ERR_clear_error();
    if (pkey)
        return public_key_new(pkey);
    (void)fail(e, ERR_SYNTAX, "not an ed25519 public key: %zu octets", bytes.n);
    return NULL;
}

void public_key_free(struct public_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->pkey);
    free(k);
}

unsigned public_key_bits(const struct public_key *k)
{
    return (unsigned)EVP_PKEY_get_bits(k->pkey);
}

static bool verify_rsa(EVP_PKEY *pkey, const unsigned char *digest, struct str signature)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    bool ok = ctx && EVP_PKEY_verify_init(ctx) > 0 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
              EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) > 0 &&
              EVP_PKEY_verify(ctx, (const unsigned char *)signature.p, signature.n, digest,
                              SHA256_BYTES) == 1;

    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static bool verify_ed25519(EVP_PKEY *pkey, struct str text, struct str signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) > 0 &&
              EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n,
                               (const unsigned char *)text.p, text.n) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

bool public_key_verify(const struct public_key *k, const unsigned char digest[SHA256_BYTES],
                       struct str signature)
{
    bool ok = EVP_PKEY_get_base_id(k->pkey) == EVP_PKEY_RSA
                  ? verify_rsa(k->pkey, digest, signature)
                  : verify_ed25519(k->pkey, str_at(digest, SHA256_BYTES), signature);

    ERR_clear_error();
    return ok;
}

bool public_key_verify_text(const struct public_key *k, struct str text, struct str signature)
{
    bool ok = EVP_PKEY_get_base_id(k->pkey) == EVP_PKEY_ED25519 &&
              verify_ed25519(k->pkey, text, signature);

    ERR_clear_error();
    return ok;
}

/* --- private keys ----------------------------------------------------------------------------- */

bool key_rsa(struct arena *a, unsigned bits, struct str *key, struct err *e)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
    bool ok = pkey && private_key_to_pem(a, pkey, key);

    EVP_PKEY_free(pkey);
    return ok || private_key_fail(e, "make RSA key");
}

enum private_key_kind private_key_kind(const struct private_key *k)
{
    switch (EVP_PKEY_get_base_id(k->pkey)) {
    case EVP_PKEY_RSA:
        return PRIVATE_KEY_RSA;
    case EVP_PKEY_ED25519:
        return PRIVATE_KEY_ED25519;
    default:
        return PRIVATE_KEY_OTHER;
    }
}

unsigned private_key_bits(const struct private_key *k)
{
    return (unsigned)EVP_PKEY_get_bits(k->pkey);
}

bool private_key_public(struct arena *a, const struct private_key *k, struct str *out,
                        struct err *e)
{
    unsigned char *der = NULL;
    int n;

    if (private_key_kind(k) == PRIVATE_KEY_ED25519) {
        size_t raw = ED25519_BYTES;
        unsigned char *bytes = arena_alloc(a, raw);

        *out = str_at(bytes, raw);
        return EVP_PKEY_get_raw_public_key(k->pkey, bytes, &raw) > 0 ||
               private_key_fail(e, "public half of a key");
    }
    n = i2d_PUBKEY(k->pkey, &der);
    if (n <= 0)
        return private_key_fail(e, "public half of a key");
    *out = arena_dup(a, str_at(der, (size_t)n));
    OPENSSL_free(der);
    return true;
}

static bool sign_rsa(EVP_PKEY *pkey, struct str digest, unsigned char *signature, size_t *n)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    bool ok = ctx && EVP_PKEY_sign_init(ctx) > 0 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
              EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) > 0 &&
              EVP_PKEY_sign(ctx, signature, n, (const unsigned char *)digest.p, digest.n) > 0;

    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static bool sign_ed25519(EVP_PKEY *pkey, struct str text, unsigned char *signature, size_t *n)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) > 0 &&
              EVP_DigestSign(ctx, signature, n, (const unsigned char *)text.p, text.n) > 0;

    EVP_MD_CTX_free(ctx);
    return ok;
}

bool private_key_sign_sha256(const struct private_key *k, struct str digest, struct buf *out,
                             struct err *e)
{
    unsigned char signature[MAX_SIGNATURE];
    size_t n = sizeof signature;
    enum private_key_kind kind = private_key_kind(k);

    if (digest.n != SHA256_BYTES || kind == PRIVATE_KEY_OTHER)
        return fail(e, ERR_DENIED, "not a digest, or neither an RSA nor an ed25519 key");
    if (!(kind == PRIVATE_KEY_RSA ? sign_rsa : sign_ed25519)(k->pkey, digest, signature, &n))
        return private_key_fail(e, "sign");
    buf_put(out, str_at(signature, n));
    return true;
}

bool private_key_sign_text(const struct private_key *k, struct str text, struct buf *out,
                           struct err *e)
{
    unsigned char signature[MAX_SIGNATURE];
    size_t n = sizeof signature;

    if (private_key_kind(k) != PRIVATE_KEY_ED25519)
        return fail(e, ERR_DENIED, "not an ed25519 key");
    if (!sign_ed25519(k->pkey, text, signature, &n))
        return private_key_fail(e, "sign");
    buf_put(out, str_at(signature, n));
    return true;
}
