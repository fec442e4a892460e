/*
 * Certificates of clients, of which only the key counts.
 */
#include <limits.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "crypto/crypto.h"
#include "os/clock.h"

enum { RSA_MIN_BITS = 2048, MAX_NAME = 200 };

static struct str bio_text(struct arena *a, BIO *bio)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);

    return arena_dup(a, str_at(p, n > 0 ? (size_t)n : 0));
}

static bool fill(X509 *x, EVP_PKEY *pkey, const char *name, unsigned days)
{
    X509_NAME *subject = X509_get_subject_name(x);
    uint64_t serial;

    os_random(&serial, sizeof serial);
    return X509_set_version(x, 2) &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1) &&
           X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
           X509_gmtime_adj(X509_getm_notAfter(x), (long)days * 86400) &&
           X509_set_pubkey(x, pkey) &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name,
                                      -1, -1, 0) &&
           X509_set_issuer_name(x, subject) && X509_sign(x, pkey, NULL);
}

static bool make(struct arena *a, EVP_PKEY *pkey, struct str name, unsigned days, struct str *cert,
                 struct str *key, struct err *e)
{
    X509 *x = X509_new();
    BIO *to = BIO_new(BIO_s_mem()), *key_to = BIO_new(BIO_s_mem());
    const char *name_c = arena_cstring(a, name);
    bool ok = pkey && x && to && key_to && name_c && fill(x, pkey, name_c, days) &&
              PEM_write_bio_X509(to, x) &&
              PEM_write_bio_PKCS8PrivateKey(key_to, pkey, NULL, NULL, 0, NULL, NULL);

    if (ok) {
        *cert = bio_text(a, to);
        *key = bio_text(a, key_to);
    }
    BIO_free(to);
    BIO_free(key_to);
    X509_free(x);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return ok || fail(e, ERR_SYNTAX, "cannot make a certificate with this name");
}

bool cert_for_client(struct arena *a, struct str name, unsigned days, struct str *cert,
                     struct str *key, struct err *e)
{
    return make(a, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), name, days, cert, key, e);
}

bool cert_for_client_seed(struct arena *a, struct str seed, struct str name, unsigned days,
                          struct str *cert, struct str *key, struct err *e)
{
    if (seed.n != ED25519_BYTES)
        return fail(e, ERR_SYNTAX, "not an ed25519 private key: %zu octets", seed.n);
    return make(a, EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL,
                                                (const unsigned char *)seed.p, seed.n),
                name, days, cert, key, e);
}

bool cert_of_pem(struct arena *a, struct str pem, struct str *der, struct err *e)
{
    BIO *bio = pem.n < INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    char *name = NULL, *header = NULL, *other = NULL;
    unsigned char *bytes = NULL;
    long n = 0;
    bool ok = bio && PEM_read_bio(bio, &name, &header, &bytes, &n);

    if (!ok)
        (void)fail(e, ERR_SYNTAX, "no certificate in PEM");
    else if (!str_eq(str_of(name), STR("CERTIFICATE")))
        ok = fail(e, ERR_SYNTAX, "a PEM block of type CERTIFICATE is needed, not %.40s", name);
    else
        *der = arena_dup(a, str_at(bytes, (size_t)n));
    OPENSSL_free(bytes);
    OPENSSL_free(name);
    OPENSSL_free(header);
    bytes = NULL;
    header = NULL;
    if (ok && PEM_read_bio(bio, &other, &header, &bytes, &n))
        ok = fail(e, ERR_SYNTAX, "more than one PEM block");
    OPENSSL_free(bytes);
    OPENSSL_free(other);
    OPENSSL_free(header);
    BIO_free(bio);
    ERR_clear_error(); // the end of the file is an error to OpenSSL
    return ok;
}

bool cert_to_pem(struct arena *a, struct str der, struct str *pem, struct err *e)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = bio && der.n < INT_MAX &&
              PEM_write_bio(bio, "CERTIFICATE", "", (const unsigned char *)der.p, (long)der.n) > 0;

    if (ok)
        *pem = bio_text(a, bio);
    BIO_free(bio);
    return ok || fail(e, ERR_TEMPORARY, "cannot write a certificate");
}

static bool type_of(struct arena *a, X509 *x, struct str *out, struct err *e)
{
    const EVP_PKEY *pkey = X509_get0_pubkey(x);
    int bits = pkey ? EVP_PKEY_get_bits(pkey) : 0;

    switch (pkey ? EVP_PKEY_get_base_id(pkey) : 0) {
    case EVP_PKEY_RSA:
        if (bits < RSA_MIN_BITS)
            return fail(e, ERR_DENIED, "an RSA key needs %d bits at least, not %d", RSA_MIN_BITS,
                        bits);
        *out = arena_printf(a, "rsa-%d", bits);
        return true;
    case EVP_PKEY_EC:
        *out = arena_printf(a, "ecdsa-p%d", bits);
        return true;
    case EVP_PKEY_ED25519:
        *out = STR("ed25519");
        return true;
    default:
        return fail(e, ERR_DENIED, "a key of a kind that is not supported");
    }
}

static struct str name_of(struct arena *a, X509 *x)
{
    X509_NAME *subject = X509_get_subject_name(x);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    char *hex = serial ? BN_bn2hex(serial) : NULL;
    struct str out = arena_lower(a, arena_printf(a, "serial %.100s", hex ? hex : "0"));
    unsigned char *text = NULL;
    int n = at < 0 ? -1 : ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(
                                                         X509_NAME_get_entry(subject, at)));

    if (n > 0 && n <= MAX_NAME)
        out = arena_dup(a, str_at(text, (size_t)n));
    if (n >= 0)
        OPENSSL_free(text);
    OPENSSL_free(hex);
    BN_free(serial);
    return out;
}

bool cert_key_of(struct arena *a, struct str der, struct cert_key *out, struct err *e)
{
    const unsigned char *at = (const unsigned char *)der.p;
    X509 *x = der.n && der.n < LONG_MAX ? d2i_X509(NULL, &at, (long)der.n) : NULL;
    unsigned char *spki = NULL;
    int n = x && at == (const unsigned char *)der.p + der.n
                ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki)
                : -1;
    bool ok = n > 0 ? type_of(a, x, &out->type, e) : fail(e, ERR_SYNTAX, "not a certificate");

    if (ok) {
        sha256(str_at(spki, (size_t)n), out->fingerprint);
        out->name = name_of(a, x);
    }
    OPENSSL_free(spki);
    X509_free(x);
    ERR_clear_error();
    return ok;
}
