#include "crypto/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/arena.h"
#include "crypto/remote_key.h"
#include "crypto/tls_priv.h"

enum { MAX_CERTS = 64 };

struct tls_server {
    const struct key_signer *signer;
    SSL_CTX *contexts[MAX_CERTS]; // one per certificate; the first is the default
    size_t n;
    enum tls_least least;
    bool has_tickets;
    struct buf protocols; // as ALPN has them: each after a byte with its length
};

void tls_clear_errors(struct err *e, const char *what)
{
    char text[120] = "connection broken";
    unsigned long code = ERR_get_error();

    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    fail(e, ERR_TEMPORARY, "%s: %s", what, text);
}

struct tls_server *tls_server_new(const struct key_signer *signer, enum tls_least least,
                                  bool has_tickets)
{
    struct tls_server *s = heap_alloc(sizeof *s);

    s->signer = signer;
    s->least = least;
    s->has_tickets = has_tickets;
    return s;
}

void tls_server_free(struct tls_server *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        SSL_CTX_free(s->contexts[i]);
    buf_fini(&s->protocols);
    free(s);
}

void tls_server_set_protocols(struct tls_server *s, struct str names)
{
    struct str one;

    buf_reset(&s->protocols);
    s->protocols.limit = 256;
    while (str_next(&names, ' ', &one)) {
        buf_put_char(&s->protocols, (char)one.n);
        buf_put(&s->protocols, one);
    }
}

static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
                           unsigned in_n, void *arg)
{
    const struct tls_server *s = arg;
    unsigned char *found, n;

    (void)ssl;
    if (!s->protocols.n)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_select_next_proto(&found, &n, (const unsigned char *)s->protocols.p, (unsigned)s->protocols.n, in, in_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; // RFC 7301 3.2
    *out = found;
    *out_n = n;
    return SSL_TLSEXT_ERR_OK;
}

// RFC 6066 3: the certificate that fits the name; the default one when none does.
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    struct tls_server *s = arg;

    (void)alert;
    if (!name)
        return SSL_TLSEXT_ERR_NOACK;
    for (size_t i = 0; i < s->n; i++)
        if (X509_check_host(SSL_CTX_get0_certificate(s->contexts[i]), name, 0, 0, NULL) == 1) {
            SSL_set_SSL_CTX(ssl, s->contexts[i]);
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_NOACK;
}

static bool fingerprint_of(const X509 *cert, unsigned char out[SHA256_BYTES])
{
    unsigned char *der = NULL;
    int n = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : -1;

    if (n > 0)
        sha256(str_at(der, (size_t)n), out);
    OPENSSL_free(der);
    return n > 0;
}

// In place of OpenSSL's own verification: no issuer counts, and no date.
static int verify_client(X509_STORE_CTX *store, void *arg)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct tls *t = SSL_get_app_data(ssl);
    unsigned char fingerprint[SHA256_BYTES];
    bool is_ok = t && t->may_use && fingerprint_of(X509_STORE_CTX_get0_cert(store), fingerprint) &&
                 t->may_use(t->ctx, fingerprint);

    (void)arg;
    X509_STORE_CTX_set_error(store, is_ok ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
    return is_ok;
}

static SSL_CTX *new_context(struct tls_server *s)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    long options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF;

    if (!ctx)
        return NULL;
    if (!s->has_tickets)
        options |= SSL_OP_NO_TICKET;
    SSL_CTX_set_options(ctx, (uint64_t)options);
    SSL_CTX_set_min_proto_version(ctx, s->least == TLS_LEAST_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (!s->has_tickets)
        SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, s);
    SSL_CTX_set_alpn_select_cb(ctx, select_protocol, s);
    SSL_CTX_set_cert_verify_callback(ctx, verify_client, NULL);
    // Sessions in which a certificate was asked for are not resumed without one.
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"mox", 3);
    return ctx;
}

static bool use_chain(SSL_CTX *ctx, struct str pem, const struct key_signer *signer, uint32_t key,
                      struct err *e)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL, *next;
    EVP_PKEY *pkey = leaf ? remote_key_new(X509_get0_pubkey(leaf), signer, key, e) : NULL;
    bool ok = pkey && SSL_CTX_use_certificate(ctx, leaf) && SSL_CTX_use_PrivateKey(ctx, pkey);

    while (ok && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        if (!SSL_CTX_add0_chain_cert(ctx, next)) {
            X509_free(next);
            ok = false;
        }
    if (!leaf || (pkey && !ok))
        tls_clear_errors(e, "certificate");
    ERR_clear_error(); // the end of the file is an error to OpenSSL
    EVP_PKEY_free(pkey);
    X509_free(leaf);
    BIO_free(bio);
    return ok;
}

bool tls_server_add_cert(struct tls_server *s, struct str chain_pem, uint32_t key, struct err *e)
{
    SSL_CTX *ctx;

    if (s->n == MAX_CERTS)
        return fail(e, ERR_LIMIT, "more than %d certificates", MAX_CERTS);
    ctx = new_context(s);
    if (!ctx)
        return fail(e, ERR_TEMPORARY, "TLS context");
    if (!use_chain(ctx, chain_pem, s->signer, key, e)) {
        SSL_CTX_free(ctx);
        return false;
    }
    s->contexts[s->n++] = ctx;
    return true;
}

struct tls *tls_new(struct tls_server *s, int fd, struct err *e)
{
    struct tls *t;

    if (!s->n) {
        fail(e, ERR_NOT_FOUND, "no certificate");
        return NULL;
    }
    t = heap_alloc(sizeof *t);
    t->ssl = SSL_new(s->contexts[0]);
    if (!t->ssl || !SSL_set_fd(t->ssl, fd)) {
        tls_clear_errors(e, "TLS");
        tls_free(t);
        return NULL;
    }
    SSL_set_accept_state(t->ssl);
    SSL_set_app_data(t->ssl, t);
    return t;
}

void tls_ask_client_key(struct tls *t, tls_may_use_key *may_use, void *ctx)
{
    t->may_use = may_use;
    t->ctx = ctx;
    SSL_set_verify(t->ssl, SSL_VERIFY_PEER, NULL);
}

bool tls_client_key(const struct tls *t, unsigned char fingerprint[SHA256_BYTES])
{
    return t->may_use && SSL_is_init_finished(t->ssl) &&
           fingerprint_of(SSL_get0_peer_certificate(t->ssl), fingerprint);
}

bool tls_binding(const struct tls *t, struct str *type, unsigned char data[TLS_MAX_BINDING],
                 size_t *n)
{
    static const char label[] = "EXPORTER-Channel-Binding"; // RFC 9266 2
    bool is_resumed = SSL_session_reused(t->ssl);

    if (!SSL_is_init_finished(t->ssl))
        return false;
    if (SSL_version(t->ssl) == TLS1_3_VERSION) {
        *type = STR("tls-exporter");
        *n = 32;
        return SSL_export_keying_material(t->ssl, data, *n, label, sizeof label - 1,
                                          (const unsigned char *)"", 0, 1) == 1;
    }
    // RFC 7627 6.1: a session that is resumed without the extended master secret may have been
    // made so that two connections have the same value.
    if (is_resumed && SSL_get_extms_support(t->ssl) != 1)
        return false;
    // RFC 5929 3.1: the first Finished message, the client's, or the server's when a session is resumed.
    *type = STR("tls-unique");
    *n = is_resumed == (bool)SSL_is_server(t->ssl) ? SSL_get_finished(t->ssl, data, TLS_MAX_BINDING)
                                                   : SSL_get_peer_finished(t->ssl, data, TLS_MAX_BINDING);
    return *n > 0 && *n <= TLS_MAX_BINDING;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t);
}

static enum tls_result result_of(struct tls *t, int rc, const char *what, struct err *e)
{
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_NONE:
        return TLS_DONE;
    case SSL_ERROR_WANT_READ:
        return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        t->is_closed = true;
        return TLS_CLOSED;
    case SSL_ERROR_SYSCALL:
        t->is_closed = t->is_reset = true;
        tls_clear_errors(e, what);
        return TLS_FAILED;
    default:
        t->is_not_tls = ERR_GET_REASON(ERR_peek_error()) == SSL_R_WRONG_VERSION_NUMBER;
        tls_clear_errors(e, what);
        return TLS_FAILED;
    }
}

enum tls_result tls_handshake(struct tls *t, struct err *e)
{
    ERR_clear_error();
    return result_of(t, SSL_do_handshake(t->ssl), "TLS handshake", e);
}

enum tls_result tls_read(struct tls *t, char *p, size_t n, size_t *got, struct err *e)
{
    *got = 0;
    ERR_clear_error();
    return result_of(t, SSL_read_ex(t->ssl, p, n, got), "TLS read", e);
}

enum tls_result tls_write(struct tls *t, struct str bytes, size_t *done, struct err *e)
{
    *done = 0;
    if (!bytes.n)
        return TLS_DONE;
    ERR_clear_error();
    return result_of(t, SSL_write_ex(t->ssl, bytes.p, bytes.n, done), "TLS write", e);
}

void tls_bye(struct tls *t)
{
    if (SSL_is_init_finished(t->ssl))
        SSL_shutdown(t->ssl);
    ERR_clear_error();
}

bool tls_has_pending(const struct tls *t)
{
    return SSL_pending(t->ssl) > 0;
}

struct str tls_version(const struct tls *t)
{
    return SSL_version(t->ssl) == TLS1_3_VERSION ? STR("TLS1.3") : STR("TLS1.2");
}

struct str tls_cipher(const struct tls *t)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);

    return str_of(cipher ? SSL_CIPHER_standard_name(cipher) : "");
}

struct str tls_protocol(const struct tls *t)
{
    const unsigned char *p = NULL;
    unsigned n = 0;

    SSL_get0_alpn_selected(t->ssl, &p, &n);
    return str_at(p, n);
}

bool tls_is_resumed(const struct tls *t)
{
    return SSL_session_reused(t->ssl);
}
