/*
 * What ACME wants made: requests for certificates (RFC 8555 7.4), and the certificates that answer
 * tls-alpn-01 (RFC 8737 3).
 */
#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "crypto/crypto.h"
#include "crypto/private_key.h"
#include "os/clock.h"

enum { MAX_HOST = 253 };

static bool is_host(struct str host)
{
    for (size_t i = 0; i < host.n; i++)
        if (!ascii_is_alnum(host.p[i]) && str_find(STR(".-_*"), host.p[i]) < 0)
            return false;
    return host.n && host.n <= MAX_HOST;
}

static X509_EXTENSION *name_extension(struct arena *a, struct str host)
{
    return X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
                               arena_cstring(a, arena_printf(a, "DNS:%.*s", STR_FMT(host))));
}

static bool add_name(X509_REQ *req, struct arena *a, struct str host)
{
    STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
    X509_EXTENSION *ext = name_extension(a, host);
    bool is_ok = list && ext && sk_X509_EXTENSION_push(list, ext) && X509_REQ_add_extensions(req, list);

    X509_EXTENSION_free(ext);
    sk_X509_EXTENSION_free(list);
    return is_ok;
}

bool csr_make(struct arena *a, const struct private_key *k, struct str host, struct str *der, struct err *e)
{
    X509_REQ *req = is_host(host) ? X509_REQ_new() : NULL;
    unsigned char *bytes = NULL;
    bool is_ok = req && X509_REQ_set_version(req, 0) && X509_REQ_set_pubkey(req, k->pkey) &&
                 add_name(req, a, host) && X509_REQ_sign(req, k->pkey, EVP_sha256()) > 0;
    int n = is_ok ? i2d_X509_REQ(req, &bytes) : -1;

    if (n > 0)
        *der = arena_dup(a, str_at(bytes, (size_t)n));
    OPENSSL_free(bytes);
    X509_REQ_free(req);
    return n > 0 || private_key_fail(e, "making a certificate request");
}

// RFC 8737 3: critical, an OCTET STRING of the digest.
static bool add_identifier(X509 *x, const unsigned char digest[SHA256_BYTES])
{
    static const char oid[] = "1.3.6.1.5.5.7.1.31";
    unsigned char value[2 + SHA256_BYTES] = {V_ASN1_OCTET_STRING, SHA256_BYTES};
    ASN1_OBJECT *name = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *data = ASN1_OCTET_STRING_new();
    X509_EXTENSION *ext = NULL;
    bool is_ok;

    memcpy(value + 2, digest, SHA256_BYTES);
    is_ok = name && data && ASN1_OCTET_STRING_set(data, value, sizeof value) &&
            (ext = X509_EXTENSION_create_by_OBJ(NULL, name, 1, data)) && X509_add_ext(x, ext, -1);
    X509_EXTENSION_free(ext);
    ASN1_OCTET_STRING_free(data);
    ASN1_OBJECT_free(name);
    return is_ok;
}

static bool fill(X509 *x, EVP_PKEY *pkey, struct arena *a, struct str host,
                 const unsigned char *digest)
{
    X509_EXTENSION *name = name_extension(a, host);
    X509_NAME *subject = X509_get_subject_name(x);
    uint64_t serial;
    bool is_ok;

    os_random(&serial, sizeof serial);
    is_ok = name && X509_set_version(x, 2) &&
            ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1) &&
            X509_gmtime_adj(X509_getm_notBefore(x), -86400) &&
            X509_gmtime_adj(X509_getm_notAfter(x), 7 * 86400) && X509_set_pubkey(x, pkey) &&
            X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const unsigned char *)"mox", -1, -1, 0) &&
            X509_set_issuer_name(x, subject) && X509_add_ext(x, name, -1) &&
            (!digest || add_identifier(x, digest)) && X509_sign(x, pkey, EVP_sha256()) > 0;
    X509_EXTENSION_free(name);
    return is_ok;
}

static bool make(struct arena *a, EVP_PKEY *pkey, struct str host, const unsigned char *digest,
                 struct str *cert_pem, struct err *e)
{
    X509 *x = pkey && is_host(host) ? X509_new() : NULL;
    unsigned char *bytes = NULL;
    int n = x && fill(x, pkey, a, host, digest) ? i2d_X509(x, &bytes) : -1;
    bool is_ok = n > 0 && cert_to_pem(a, str_at(bytes, (size_t)n), cert_pem, e);

    OPENSSL_free(bytes);
    X509_free(x);
    return is_ok || private_key_fail(e, "making a certificate");
}

bool cert_placeholder(struct arena *a, const struct private_key *k, struct str host, struct str *cert_pem,
                      struct err *e)
{
    return make(a, k->pkey, host, NULL, cert_pem, e);
}

bool cert_for_challenge(struct arena *a, struct str host, const unsigned char digest[SHA256_BYTES],
                        struct str *cert_pem, struct str *key_pem, struct err *e)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    bool is_ok = make(a, pkey, host, digest, cert_pem, e) && private_key_to_pem(a, pkey, key_pem);

    EVP_PKEY_free(pkey);
    return is_ok;
}
