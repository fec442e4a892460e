#include "crypto/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/cur.h"
#include "crypto/remote_key.h"
#include "crypto/tls_priv.h"

enum { MAX_CERTS = 1000 };

struct tls_server {
    const struct key_signer *signer;
    SSL_CTX **contexts; // one per certificate, or two of the same names; the first is the default
    size_t n, cap;
    enum tls_least least;
    bool has_tickets;
    struct buf protocols; // as ALPN has them: each after a byte with its length
    enum tls_names names;
    tls_unknown_name *unknown;
    void *ctx;
    tls_challenge *challenge;
    void *challenge_ctx;
    SSL_CTX *bare; // without a certificate, for challenges
    size_t n_users; // its owner, and connections
    int64_t expiry; // Unix time at which the first of the certificates ends; 0: none
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
    s->n_users = 1;
    return s;
}

// Handshakes that have begun ask it for names.
void tls_server_free(struct tls_server *s)
{
    if (!s || --s->n_users)
        return;
    SSL_CTX_free(s->bare);
    for (size_t i = 0; i < s->n; i++)
        SSL_CTX_free(s->contexts[i]);
    buf_fini(&s->protocols);
    free(s->contexts);
    free(s);
}

static void set_protocols(struct buf *out, struct str names)
{
    struct str one;

    buf_reset(out);
    out->limit = 256;
    while (str_next(&names, ' ', &one)) {
        buf_put_char(out, (char)one.n);
        buf_put(out, one);
    }
}

void tls_server_set_protocols(struct tls_server *s, struct str names)
{
    set_protocols(&s->protocols, names);
}

void tls_set_protocols(struct tls *t, struct str names)
{
    set_protocols(&t->protocols, names);
}

void tls_server_set_names(struct tls_server *s, enum tls_names names, tls_unknown_name *unknown, void *ctx)
{
    s->names = names;
    s->unknown = unknown;
    s->ctx = ctx;
}

// RFC 6066 3: the certificate that fits the name; the default one, or an alert, when none does.
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct tls *t = SSL_get_app_data(ssl);
    struct tls_server *s = arg;

    *alert = SSL_AD_UNRECOGNIZED_NAME;
    if (t && t->is_challenge)
        return SSL_TLSEXT_ERR_OK;
    if (!name && s->unknown)
        s->unknown(s->ctx, STR(""));
    if (!name)
        return s->names == TLS_NAMES_KNOWN ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
    for (size_t i = 0; i < s->n; i++)
        if (X509_check_host(SSL_CTX_get0_certificate(s->contexts[i]), name, 0, 0, NULL) == 1) {
            SSL_set_SSL_CTX(ssl, s->contexts[i]);
            return SSL_TLSEXT_ERR_OK;
        }
    if (s->unknown)
        s->unknown(s->ctx, str_of(name));
    return s->names == TLS_NAMES_ANY ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* --- tls-alpn-01 (RFC 8737) -------------------------------------------------------------------------- */

static const char challenge_protocol[] = "acme-tls/1";

void tls_server_set_challenge(struct tls_server *s, tls_challenge *fn, void *ctx)
{
    s->challenge = fn;
    s->challenge_ctx = ctx;
}

static bool take_u16(struct cur *c, struct str *out)
{
    int high = cur_next(c), low = cur_next(c);

    return high >= 0 && low >= 0 && cur_take(c, (size_t)(high << 8 | low), out);
}

static bool extension(SSL *ssl, unsigned type, struct cur *out)
{
    const unsigned char *p;
    size_t n;
    struct str list;

    if (SSL_client_hello_get0_ext(ssl, type, &p, &n) != 1)
        return false;
    *out = cur_of(str_at(p, n));
    if (!take_u16(out, &list) || cur_left(out))
        return false;
    *out = cur_of(list);
    return true;
}

// RFC 8737 3: that protocol and no other, and one name.
static bool is_challenge(SSL *ssl, struct str *name)
{
    struct cur protocols, names;
    struct str protocol;
    int n;

    return extension(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &protocols) &&
           (n = cur_next(&protocols)) > 0 && cur_take(&protocols, (size_t)n, &protocol) && !cur_left(&protocols) &&
           str_eq(protocol, str_of(challenge_protocol)) && extension(ssl, TLSEXT_TYPE_server_name, &names) &&
           cur_next(&names) == TLSEXT_NAMETYPE_host_name && take_u16(&names, name) && !cur_left(&names);
}

static bool use_challenge(SSL *ssl, struct str cert_pem, struct str key_pem)
{
    BIO *cert_bio = BIO_new_mem_buf(cert_pem.p, (int)cert_pem.n), *key_bio = BIO_new_mem_buf(key_pem.p, (int)key_pem.n);
    X509 *cert = cert_bio ? PEM_read_bio_X509(cert_bio, NULL, NULL, NULL) : NULL;
    EVP_PKEY *key = key_bio ? PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL) : NULL;
    bool ok = cert && key && SSL_use_cert_and_key(ssl, cert, key, NULL, 1) == 1;

    X509_free(cert);
    EVP_PKEY_free(key);
    BIO_free(cert_bio);
    BIO_free(key_bio);
    return ok;
}

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct tls *t = SSL_get_app_data(ssl);
    struct tls_server *s = arg;
    struct str name, cert, key;

    if (!s->challenge || !t || !is_challenge(ssl, &name))
        return SSL_CLIENT_HELLO_SUCCESS;
    t->is_challenge = true;
    if (s->challenge(s->challenge_ctx, &a, name, &cert, &key) && use_challenge(ssl, cert, key))
        return SSL_CLIENT_HELLO_SUCCESS;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_CLIENT_HELLO_ERROR;
}

static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
                           unsigned in_n, void *arg)
{
    const struct tls *t = SSL_get_app_data(ssl);
    const struct tls_server *s = arg;
    const struct buf *ours = t && t->protocols.n ? &t->protocols : &s->protocols;
    unsigned char *found, n;

    if (t && t->is_challenge) {
        *out = (const unsigned char *)challenge_protocol;
        *out_n = sizeof challenge_protocol - 1;
        return SSL_TLSEXT_ERR_OK;
    }
    if (!ours->n)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_select_next_proto(&found, &n, (const unsigned char *)ours->p, (unsigned)ours->n, in, in_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; // RFC 7301 3.2
    *out = found;
    *out_n = n;
    return SSL_TLSEXT_ERR_OK;
}

bool tls_is_challenge(const struct tls *t)
{
    return t->is_challenge;
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
    SSL_CTX_set_client_hello_cb(ctx, on_client_hello, s);
    SSL_CTX_set_alpn_select_cb(ctx, select_protocol, s);
    SSL_CTX_set_cert_verify_callback(ctx, verify_client, NULL);
    // Sessions in which a certificate was asked for are not resumed without one.
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"mox", 3);
    return ctx;
}

static STACK_OF(X509) *read_chain(BIO *bio)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *next;

    while (chain && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        if (!sk_X509_push(chain, next)) {
            X509_free(next);
            break;
        }
    ERR_clear_error(); // the end of the file is an error to OpenSSL
    return chain;
}

static bool have_same_names(const X509 *a, const X509 *b)
{
    const ASN1_OCTET_STRING *names[2] = {NULL, NULL};
    const X509 *certs[] = {a, b};

    for (int i = 0; i < 2; i++) {
        int at = X509_get_ext_by_NID(certs[i], NID_subject_alt_name, -1);

        if (at >= 0)
            names[i] = X509_EXTENSION_get_data(X509_get_ext(certs[i], at));
    }
    return names[0] && names[1] && ASN1_OCTET_STRING_cmp(names[0], names[1]) == 0;
}

// The context that lacks but this kind of key.
static SSL_CTX *context_for(struct tls_server *s, const X509 *leaf)
{
    for (size_t i = 0; i < s->n; i++) {
        const X509 *other = SSL_CTX_get0_certificate(s->contexts[i]);
        int kinds[] = {EVP_PKEY_get_base_id(X509_get0_pubkey(leaf)), EVP_PKEY_get_base_id(X509_get0_pubkey(other))};

        if (kinds[0] != kinds[1] && have_same_names(leaf, other))
            return s->contexts[i];
    }
    return NULL;
}

static bool use_chain(struct tls_server *s, SSL_CTX *ctx, X509 *leaf, STACK_OF(X509) *chain, uint32_t key,
                      struct err *e)
{
    EVP_PKEY *pkey = remote_key_new(X509_get0_pubkey(leaf), s->signer, key, e);
    bool ok = pkey && SSL_CTX_use_cert_and_key(ctx, leaf, pkey, chain, 0) == 1;

    if (pkey && !ok)
        tls_clear_errors(e, "certificate");
    EVP_PKEY_free(pkey);
    return ok;
}

static void keep_context(struct tls_server *s, SSL_CTX *ctx)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 8;
        s->contexts = heap_resize(s->contexts, s->cap, sizeof(SSL_CTX *));
    }
    s->contexts[s->n++] = ctx;
}

static bool add_cert(struct tls_server *s, X509 *leaf, STACK_OF(X509) *chain, uint32_t key, struct err *e)
{
    SSL_CTX *ctx = context_for(s, leaf);

    if (ctx)
        return use_chain(s, ctx, leaf, chain, key, e);
    if (s->n == MAX_CERTS)
        return fail(e, ERR_LIMIT, "more than %d certificates", MAX_CERTS);
    ctx = new_context(s);
    if (!ctx)
        return fail(e, ERR_TEMPORARY, "TLS context");
    if (!use_chain(s, ctx, leaf, chain, key, e)) {
        SSL_CTX_free(ctx);
        return false;
    }
    keep_context(s, ctx);
    return true;
}

bool tls_server_add_cert(struct tls_server *s, struct str chain_pem, uint32_t key, struct err *e)
{
    BIO *bio = BIO_new_mem_buf(chain_pem.p, (int)chain_pem.n);
    X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    STACK_OF(X509) *chain = leaf ? read_chain(bio) : NULL;
    bool ok = chain && add_cert(s, leaf, chain, key, e);
    int64_t end;

    if (ok && unix_of_asn1(X509_get0_notAfter(leaf), &end) && (!s->expiry || end < s->expiry))
        s->expiry = end;
    if (!chain)
        tls_clear_errors(e, "certificate");
    sk_X509_pop_free(chain, X509_free);
    X509_free(leaf);
    BIO_free(bio);
    return ok;
}

int64_t tls_server_expiry(const struct tls_server *s)
{
    return s->expiry;
}

void tls_note_alert(const SSL *ssl, int where, int value)
{
    struct tls *t = SSL_get_app_data(ssl);

    if (!(where & SSL_CB_ALERT) || value >> 8 != SSL3_AL_FATAL)
        return;
    t->alert = where & SSL_CB_READ ? ALERT_THEIRS : ALERT_OURS;
    t->alert_number = (uint8_t)value;
}

void tls_end_put_label(const struct tls *t, struct buf *out)
{
    enum { PROTOCOL_VERSION = 70 };
    size_t at = out->n;

    if (!t)
        return;
    if (t->is_not_tls)
        BUF_PUT(out, "nottls");
    else if (t->alert == ALERT_OURS && t->alert_number == PROTOCOL_VERSION)
        BUF_PUT(out, "unsupportedversions");
    else if (t->alert == ALERT_THEIRS)
        buf_printf(out, "alert-%u-%s", t->alert_number, SSL_alert_desc_string_long(t->alert_number));
    else if (t->is_closed)
        BUF_PUT(out, "eof");
    for (; at < out->n; at++)
        if (out->p[at] == ' ' || out->p[at] == '_')
            out->p[at] = '-';
}

struct tls *tls_new(struct tls_server *s, int fd, struct err *e)
{
    SSL_CTX *ctx = s->n ? s->contexts[0] : s->bare;
    struct tls *t;

    if (!ctx && s->challenge)
        ctx = s->bare = new_context(s);
    if (!ctx) {
        fail(e, ERR_NOT_FOUND, "no certificate");
        return NULL;
    }
    t = heap_alloc(sizeof *t);
    t->server = s;
    s->n_users++;
    t->ssl = SSL_new(ctx);
    if (!t->ssl || !SSL_set_fd(t->ssl, fd)) {
        tls_clear_errors(e, "TLS");
        tls_free(t);
        return NULL;
    }
    SSL_set_accept_state(t->ssl);
    SSL_set_app_data(t->ssl, t);
    SSL_set_info_callback(t->ssl, tls_note_alert);
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
    buf_fini(&t->protocols);
    tls_server_free(t->server);
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
        t->is_not_tls = ERR_GET_REASON(ERR_peek_error()) == SSL_R_WRONG_VERSION_NUMBER ||
                        ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST;
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
