#include "crypto/tls_client.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/ip.h"
#include "crypto/private_key.h"
#include "crypto/tls_priv.h"

struct tls_client {
    SSL_CTX *ctx;  // with the public roots
    SSL_CTX *dane; // without: the usages of SMTP bring their own (RFC 7672 3.1)
    SSL_CTX *both; // for the usages of PKIX; NULL: not needed yet
};

// The handshake itself needs no good certificate; see tls_verify_roots.
static int accept_any(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static SSL_CTX *new_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (!ctx)
        return NULL;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_TICKET);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    return ctx;
}

struct tls_client *tls_client_new(struct err *e)
{
    struct tls_client *c = heap_alloc(sizeof *c);

    c->ctx = new_context();
    c->dane = new_context();
    if (!c->ctx || !c->dane || SSL_CTX_dane_enable(c->dane) <= 0) {
        tls_clear_errors(e, "TLS client");
        tls_client_free(c);
        return NULL;
    }
    SSL_CTX_set_cert_verify_callback(c->ctx, accept_any, NULL);
    // The file of roots is read now; the directory, which is looked into later, is left out. Without
    // the file nothing is trusted, and all that needs no trust works.
    if (!SSL_CTX_set_default_verify_file(c->ctx))
        ERR_clear_error();
    return c;
}

void tls_client_free(struct tls_client *c)
{
    if (!c)
        return;
    SSL_CTX_free(c->ctx);
    SSL_CTX_free(c->dane);
    SSL_CTX_free(c->both);
    free(c);
}

bool tls_client_use_roots(struct tls_client *c, const char *path, struct err *e)
{
    X509_STORE *store = X509_STORE_new();

    if (store)
        SSL_CTX_set_cert_store(c->ctx, store); // it is the context's
    if (store && SSL_CTX_load_verify_file(c->ctx, path) == 1)
        return true;
    tls_clear_errors(e, path);
    return false;
}

// All of them, or why not: an authority that is left out unsaid would be looked for elsewhere.
static bool add_certificates(X509_STORE *store, BIO *in)
{
    bool has_any = false;
    X509 *cert;

    while ((cert = PEM_read_bio_X509(in, NULL, NULL, NULL))) {
        bool is_ok = X509_STORE_add_cert(store, cert) == 1;

        X509_free(cert);
        if (!is_ok)
            return false;
        has_any = true;
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return false;
    ERR_clear_error(); // the end of the text
    return has_any;
}

bool tls_client_add_roots(struct tls_client *c, struct str pem, bool is_alone, struct err *e)
{
    X509_STORE *store = is_alone ? X509_STORE_new() : SSL_CTX_get_cert_store(c->ctx);
    BIO *in = pem.n < INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    bool is_ok = store && in && add_certificates(store, in);

    BIO_free(in);
    if (store && is_alone)
        SSL_CTX_set_cert_store(c->ctx, store); // it is the context's
    ERR_clear_error();
    return is_ok || fail(e, ERR_SYNTAX, "the certificates of authorities are none that can be read");
}

/* A list with commas as OpenSSL has it, with each name put in its own words by `translate`. */
static const char *list_of(struct arena *a, struct str names, struct str (*translate)(struct arena *, struct str))
{
    AUTO_BUF out = BUF_LIMIT(8192);
    struct str name;

    while (str_next(&names, ',', &name)) {
        if (out.n)
            BUF_PUT(&out, ":");
        buf_put(&out, translate(a, str_trim(name)));
    }
    return arena_cstring(a, arena_dup(a, buf_str(&out)));
}

// Names of IANA, as they are said elsewhere.
static struct str cipher_name(struct arena *a, struct str name)
{
    const char *text = arena_cstring(a, name), *own = text ? OPENSSL_cipher_name(text) : NULL;

    return own && !str_eq(str_of(own), STR("(NONE)")) ? arena_dup(a, str_of(own)) : name;
}

static struct str group_name(struct arena *a, struct str name)
{
    return str_starts_ci(name, STR("CurveP")) ? arena_printf(a, "P-%.*s", STR_FMT(str_from(name, 6))) : name;
}

static bool is_of_1_3(struct str suite)
{
    return str_starts(suite, STR("TLS_AES_")) || str_starts(suite, STR("TLS_CHACHA20_"));
}

// Suites of TLS 1.3 and of before it are two lists.
static bool limit_suites(SSL_CTX *ctx, struct arena *a, struct str suites)
{
    AUTO_BUF newer = BUF_LIMIT(8192), older = BUF_LIMIT(8192);
    struct str suite;

    while (str_next(&suites, ',', &suite)) {
        struct buf *to = is_of_1_3(suite = str_trim(suite)) ? &newer : &older;

        if (to->n)
            BUF_PUT(to, ",");
        buf_put(to, suite);
    }
    return SSL_CTX_set_ciphersuites(ctx, list_of(a, buf_str(&newer), cipher_name)) == 1 &&
           (!older.n || SSL_CTX_set_cipher_list(ctx, list_of(a, buf_str(&older), cipher_name)) == 1);
}

static int version_number(enum tls_client_version version)
{
    static const int numbers[] = {0, TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};

    return numbers[version];
}

bool tls_client_limit(struct tls_client *c, const struct tls_limits *l, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    bool is_old = (l->least && l->least < TLS_CLIENT_1_2) || (l->most && l->most < TLS_CLIENT_1_2);

    // OpenSSL has the versions of before 1.2 for whoever asks for no security at all.
    if ((!is_old || SSL_CTX_set_cipher_list(c->ctx, "DEFAULT:@SECLEVEL=0") == 1) &&
        (!l->least || SSL_CTX_set_min_proto_version(c->ctx, version_number(l->least)) == 1) &&
        (!l->most || SSL_CTX_set_max_proto_version(c->ctx, version_number(l->most)) == 1) &&
        (!l->suites.n || limit_suites(c->ctx, &a, l->suites)) &&
        (!l->groups.n || SSL_CTX_set1_groups_list(c->ctx, list_of(&a, l->groups, group_name)) == 1)) {
        if (l->may_renegotiate)
            SSL_CTX_clear_options(c->ctx, SSL_OP_NO_RENEGOTIATION);
        if (l->may_have_tickets)
            SSL_CTX_clear_options(c->ctx, SSL_OP_NO_TICKET);
        return true;
    }
    tls_clear_errors(e, "limits of TLS");
    return false;
}

bool tls_client_use_key(struct tls_client *c, struct str cert_pem, struct str key_pem,
                        struct err *e)
{
    BIO *bio = BIO_new_mem_buf(cert_pem.p, (int)cert_pem.n);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    struct private_key *key = cert ? private_key_parse(key_pem, e) : NULL;
    bool is_ok = key && SSL_CTX_use_certificate(c->ctx, cert) == 1 &&
                 SSL_CTX_use_PrivateKey(c->ctx, key->pkey) == 1 &&
                 SSL_CTX_use_certificate(c->dane, cert) == 1 &&
                 SSL_CTX_use_PrivateKey(c->dane, key->pkey) == 1;

    BIO_free(bio);
    X509_free(cert);
    private_key_free(key);
    if (!is_ok)
        tls_clear_errors(e, "certificate and key for the client");
    return is_ok;
}

// RFC 6698 2.1.1: usages PKIX-TA and PKIX-EE say which of the public roots' certificates it is.
static bool needs_roots(const struct tls_target *target)
{
    for (size_t i = 0; i < target->n_associations; i++)
        if (target->associations[i].usage < 2)
            return true;
    return false;
}

static SSL_CTX *context_for(struct tls_client *c, const struct tls_target *target)
{
    if (!target->n_associations)
        return c->ctx;
    if (!needs_roots(target))
        return c->dane;
    if (!c->both && (c->both = new_context())) {
        SSL_CTX_set1_cert_store(c->both, SSL_CTX_get_cert_store(c->ctx));
        SSL_CTX_dane_enable(c->both);
    }
    return c->both;
}

// RFC 7672 3.1.1, 3.2: with DANE-EE neither names nor dates count, with DANE-TA one of the names.
static bool add_dane(SSL *ssl, struct arena *a, const struct tls_target *target, struct err *e)
{
    const char *name = arena_cstring(a, target->name);
    bool has_one = false;

    if (!name || SSL_dane_enable(ssl, name) <= 0) {
        tls_clear_errors(e, "DANE");
        return false;
    }
    SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    for (size_t i = 0; i < target->n_names; i++) {
        const char *other = arena_cstring(a, target->names[i]);

        if (other && !SSL_add1_host(ssl, other))
            tls_clear_errors(e, "DANE name");
    }
    for (size_t i = 0; i < target->n_associations; i++) {
        const struct tls_association *r = &target->associations[i];

        // One that OpenSSL cannot read, such as a certificate that is none, is as if it were not there.
        has_one |= SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching,
                                     (const unsigned char *)r->data.p, r->data.n) == 1;
    }
    ERR_clear_error();
    return has_one || fail(e, ERR_SYNTAX, "no usable TLSA record");
}

void tls_end_put(const struct tls *t, struct buf *out)
{
    if (t->is_not_tls)
        BUF_PUT(out, "TLS record header error");
    else if (t->alert)
        buf_printf(out, "TLS %s alert %u %s", t->alert == ALERT_THEIRS ? "remote" : "local", t->alert_number,
                   SSL_alert_desc_string_long(t->alert_number));
    else if (t->is_closed)
        BUF_PUT(out, "connection closed during handshake");
}

bool tls_is_refused(const struct tls *t)
{
    return t->alert == ALERT_THEIRS || t->is_reset;
}

struct tls *tls_client_connect(struct tls_client *c, const struct tls_target *target, int fd,
                               struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct tls *t = heap_alloc(sizeof *t);
    const char *name = arena_cstring(&a, target->name);
    struct ip ip;

    t->ssl = SSL_new(context_for(c, target));
    if (!t->ssl || !SSL_set_fd(t->ssl, fd)) {
        tls_clear_errors(e, "TLS");
        tls_free(t);
        return NULL;
    }
    SSL_set_app_data(t->ssl, t);
    SSL_set_info_callback(t->ssl, tls_note_alert);
    SSL_set_connect_state(t->ssl);
    // RFC 6066 3: an address is not said.
    if (name && target->name.n && !ip_parse(target->name, &ip) &&
        !SSL_set_tlsext_host_name(t->ssl, name))
        tls_clear_errors(e, "server name");
    if (target->n_associations && !add_dane(t->ssl, &a, target, e)) {
        tls_free(t);
        return NULL;
    }
    return t;
}

static enum tls_worth worth_of(long code, struct err *e)
{
    if (code == X509_V_OK)
        return TLS_VERIFIED;
    fail(e, ERR_DENIED, "%s", X509_verify_cert_error_string(code));
    switch (code) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return TLS_HOST_MISMATCH;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return TLS_EXPIRED;
    case X509_V_ERR_DANE_NO_MATCH:
        return TLS_DANE_MISMATCH;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_REJECTED:
    case X509_V_ERR_INVALID_CA:
        return TLS_NOT_TRUSTED;
    default:
        return TLS_INVALID;
    }
}

enum tls_worth tls_verify_roots(const struct tls_client *c, const struct tls *t, struct str name,
                                struct err *e)
{
    X509 *leaf = SSL_get0_peer_certificate(t->ssl);
    X509_STORE_CTX *store = X509_STORE_CTX_new();
    X509_VERIFY_PARAM *param = X509_VERIFY_PARAM_new();
    enum tls_worth worth = TLS_INVALID;
    struct ip ip;
    bool is_ok = leaf && store && param &&
                 X509_STORE_CTX_init(store, SSL_CTX_get_cert_store(c->ctx), leaf,
                                     SSL_get_peer_cert_chain(t->ssl));

    if (is_ok) {
        X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
        X509_VERIFY_PARAM_set_depth(param, 16);
        X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        if (ip_parse(name, &ip))
            is_ok = X509_VERIFY_PARAM_set1_ip(param, ip.bytes, ip.family == 4 ? 4 : 16);
        else
            is_ok = name.n && X509_VERIFY_PARAM_set1_host(param, name.p, name.n);
    }
    if (is_ok) {
        X509_STORE_CTX_set0_param(store, param);
        param = NULL;
        X509_verify_cert(store);
        worth = worth_of(X509_STORE_CTX_get_error(store), e);
    } else {
        tls_clear_errors(e, "verifying the certificate");
    }
    X509_VERIFY_PARAM_free(param);
    X509_STORE_CTX_free(store);
    ERR_clear_error();
    return worth;
}

enum tls_worth tls_verify_dane(const struct tls *t, struct err *e)
{
    long code = SSL_get_verify_result(t->ssl);

    // Without a record that was found to match nothing is verified, whatever the result says.
    if (code == X509_V_OK && SSL_get0_dane_authority(t->ssl, NULL, NULL) < 0)
        code = X509_V_ERR_DANE_NO_MATCH;
    return worth_of(code, e);
}
