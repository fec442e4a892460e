#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "crypto/crypto.h"
#include "crypto/private_key.h"
#include "crypto/tls_priv.h"

enum { MAX_CHAIN = 10 };

bool unix_of_asn1(const ASN1_TIME *t, int64_t *out)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days, seconds;
    bool is_ok = epoch && ASN1_TIME_diff(&days, &seconds, epoch, t) == 1;

    ASN1_TIME_free(epoch);
    if (is_ok)
        *out = (int64_t)days * 86400 + seconds;
    return is_ok;
}

static struct str string_of(struct arena *a, const ASN1_STRING *s)
{
    return s ? arena_dup(a, str_at(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s))) : STR("");
}

// The value of the INTEGER as DER has it: with a zero before a first bit that is set.
static struct str serial_of(struct arena *a, const X509 *x)
{
    unsigned char *der = NULL;
    int n = i2d_ASN1_INTEGER(X509_get0_serialNumber(x), &der);
    struct str out = n > 2 ? arena_dup(a, str_at(der + 2, (size_t)n - 2)) : STR("");

    OPENSSL_free(der);
    return out;
}

static bool read_leaf(struct arena *a, X509 *x, struct cert_facts *out)
{
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);

    if (n > 0)
        sha256(str_at(der, (size_t)n), out->fingerprint);
    OPENSSL_free(der);
    out->serial = serial_of(a, x);
    out->authority_key = string_of(a, X509_get0_authority_key_id(x));
    out->is_rsa = EVP_PKEY_get_base_id(X509_get0_pubkey(x)) == EVP_PKEY_RSA;
    return n > 0 && unix_of_asn1(X509_get0_notBefore(x), &out->not_before) &&
           unix_of_asn1(X509_get0_notAfter(x), &out->not_after);
}

bool cert_facts_of(struct arena *a, struct str chain_pem, struct str host, struct cert_facts *out, struct err *e)
{
    BIO *bio = BIO_new_mem_buf(chain_pem.p, (int)chain_pem.n);
    X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL, *next;
    bool is_ok = leaf && read_leaf(a, leaf, out);

    *out = is_ok ? *out : (struct cert_facts){0};
    if (is_ok && X509_check_host(leaf, host.p, host.n, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) != 1)
        is_ok = fail(e, ERR_CONFLICT, "the certificate is not for %.*s", STR_FMT(host));
    else if (!is_ok)
        is_ok = private_key_fail(e, "certificate");
    for (size_t i = 0; is_ok && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL)); i++) {
        X509_free(next);
        if (i == MAX_CHAIN)
            is_ok = fail(e, ERR_LIMIT, "a chain of more than %d certificates", MAX_CHAIN);
    }
    X509_free(leaf);
    BIO_free(bio);
    ERR_clear_error(); // the end of the text is an error to OpenSSL
    return is_ok;
}

bool private_key_fingerprint(const struct private_key *k, unsigned char out[SHA256_BYTES])
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(k->pkey, &der);

    if (n > 0)
        sha256(str_at(der, (size_t)n), out);
    OPENSSL_free(der);
    return n > 0;
}
