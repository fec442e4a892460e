#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crypto.h"
#include "crypto/private_key.h"
#include "os/clock.h"

bool private_key_fail(struct err *e, const char *what)
{
    char text[120];

    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    ERR_clear_error();
    return fail(e, ERR_SYNTAX, "%s: %s", what, text);
}

static struct str bio_text(struct arena *a, BIO *bio)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);

    return arena_dup(a, str_at(p, n > 0 ? (size_t)n : 0));
}

bool private_key_to_pem(struct arena *a, EVP_PKEY *pkey, struct str *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = bio && PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);

    if (ok)
        *out = bio_text(a, bio);
    BIO_free(bio);
    return ok;
}

bool key_ed25519(struct arena *a, struct str *key, struct err *e)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    bool ok = pkey && private_key_to_pem(a, pkey, key);

    EVP_PKEY_free(pkey);
    return ok || private_key_fail(e, "make ed25519 key");
}

bool key_ecdsa_p256(struct arena *a, struct str *key, struct err *e)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    bool ok = pkey && private_key_to_pem(a, pkey, key);

    EVP_PKEY_free(pkey);
    return ok || private_key_fail(e, "make ECDSA key");
}

static bool add_extension(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;
    bool ok;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ok = ext && X509_add_ext(x, ext, -1);
    X509_EXTENSION_free(ext);
    return ok;
}

static bool fill_cert(X509 *x, EVP_PKEY *pkey, const char *name, unsigned days, struct arena *a)
{
    X509_NAME *subject = X509_get_subject_name(x);
    struct str alt = arena_printf(a, "DNS:%s,IP:127.0.0.1,IP:::1", name);
    uint64_t serial;

    os_random(&serial, sizeof serial);
    return X509_set_version(x, 2) && ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1) &&
           X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
           X509_gmtime_adj(X509_getm_notAfter(x), (long)days * 86400) &&
           X509_set_pubkey(x, pkey) &&
           X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8,
                                      (const unsigned char *)"mox localserve", -1, -1, 0) &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name,
                                      -1, -1, 0) &&
           X509_set_issuer_name(x, subject) &&
           add_extension(x, NID_subject_alt_name, arena_cstring(a, alt)) &&
           add_extension(x, NID_basic_constraints, "critical,CA:TRUE") &&
           add_extension(x, NID_ext_key_usage, "serverAuth") &&
           X509_sign(x, pkey, EVP_sha256());
}

bool cert_self_signed(struct arena *a, struct str name, unsigned days, struct str *cert,
                      struct str *key, struct err *e)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *x = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    const char *name_c = arena_cstring(a, name);
    bool ok = pkey && x && bio && name_c && fill_cert(x, pkey, name_c, days, a) &&
              PEM_write_bio_X509(bio, x) && private_key_to_pem(a, pkey, key);

    if (ok)
        *cert = bio_text(a, bio);
    BIO_free(bio);
    X509_free(x);
    EVP_PKEY_free(pkey);
    return ok || private_key_fail(e, "make certificate");
}

struct private_key *private_key_parse(struct str pem, struct err *e)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;
    struct private_key *k;

    BIO_free(bio);
    if (!pkey) {
        private_key_fail(e, "private key");
        return NULL;
    }
    k = heap_alloc(sizeof *k);
    k->pkey = pkey;
    return k;
}

bool cert_fits_key(struct str cert_pem, struct str key_pem, struct err *e)
{
    BIO *bio = BIO_new_mem_buf(cert_pem.p, (int)cert_pem.n);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    struct private_key *k = cert ? private_key_parse(key_pem, e) : NULL;
    bool fits = k && X509_check_private_key(cert, k->pkey) == 1;

    BIO_free(bio);
    if (!cert)
        (void)fail(e, ERR_SYNTAX, "no certificate in PEM");
    else if (k && !fits)
        (void)fail(e, ERR_CONFLICT, "the key is not that of the certificate");
    X509_free(cert);
    private_key_free(k);
    ERR_clear_error();
    return fits;
}

void private_key_free(struct private_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->pkey);
    free(k);
}

// Signs prepared bytes; padding is of RSA only.
static bool sign(const struct private_key *k, struct str digest, int padding, struct buf *out,
                 struct err *e)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(k->pkey, NULL);
    unsigned char signature[1024];
    size_t n = sizeof signature;
    bool ok = ctx && EVP_PKEY_sign_init(ctx) > 0 &&
              (!padding || EVP_PKEY_CTX_set_rsa_padding(ctx, padding) > 0) &&
              EVP_PKEY_sign(ctx, signature, &n, (const unsigned char *)digest.p, digest.n) > 0;

    EVP_PKEY_CTX_free(ctx);
    if (!ok)
        return private_key_fail(e, "sign");
    buf_put(out, str_at(signature, n));
    return true;
}

bool private_key_sign_ecdsa(const struct private_key *k, struct str digest, struct buf *out,
                            struct err *e)
{
    if (EVP_PKEY_get_base_id(k->pkey) != EVP_PKEY_EC)
        return fail(e, ERR_DENIED, "not an EC key");
    return sign(k, digest, 0, out, e);
}

bool private_key_rsa(const struct private_key *k, struct str bytes, unsigned padding,
                     struct buf *out, struct err *e)
{
    if (EVP_PKEY_get_base_id(k->pkey) != EVP_PKEY_RSA)
        return fail(e, ERR_DENIED, "not an RSA key");
    if (padding != RSA_PKCS1_PADDING && padding != RSA_NO_PADDING)
        return fail(e, ERR_DENIED, "RSA padding %u", padding);
    return sign(k, bytes, (int)padding, out, e);
}
