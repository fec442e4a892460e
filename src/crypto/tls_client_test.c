#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/test.h"
#include "crypto/crypto.h"
#include "crypto/tls_client.h"
#include "os/fd.h"
#include "os/file.h"

static bool sign_here(void *ctx, uint32_t key, int type, unsigned parameter, struct str digest,
                      struct buf *out, struct err *e)
{
    (void)key;
    return type == 1 ? private_key_sign_ecdsa(ctx, digest, out, e)
                     : private_key_rsa(ctx, digest, parameter, out, e);
}

// Both ends in turn, on a socket pair.
static bool shake(struct tls *server, struct tls *client)
{
    bool server_done = false, client_done = false;
    struct err e = {0};

    for (int i = 0; i < 50 && !(server_done && client_done); i++) {
        enum tls_result c = client_done ? TLS_DONE : tls_handshake(client, &e);
        enum tls_result s = server_done ? TLS_DONE : tls_handshake(server, &e);

        client_done |= c == TLS_DONE;
        server_done |= s == TLS_DONE;
        if (c == TLS_FAILED || s == TLS_FAILED)
            return false;
    }
    return server_done && client_done;
}

struct outcome {
    enum tls_worth roots, dane;
    struct str client_binding, server_binding;
};

static void connect_to(struct tls_server *server, struct tls_client *client,
                       const struct tls_target *target, struct arena *a, struct outcome *out)
{
    unsigned char data[TLS_MAX_BINDING];
    struct err e = {0};
    struct tls *s, *c;
    struct str type;
    int pair[2];
    size_t n;

    CHECK(fd_pair_stream(pair, &e) && fd_set_nonblocking(pair[0], &e) &&
          fd_set_nonblocking(pair[1], &e));
    s = tls_new(server, pair[0], &e);
    c = tls_client_connect(client, target, pair[1], &e);
    CHECK(s && c && shake(s, c));
    out->roots = tls_verify_roots(client, c, target->name, &e);
    out->dane = tls_verify_dane(c, &e);
    CHECK(tls_binding(c, &type, data, &n));
    out->client_binding = arena_dup(a, str_at(data, n));
    CHECK(tls_binding(s, &type, data, &n));
    out->server_binding = arena_dup(a, str_at(data, n));
    tls_free(s);
    tls_free(c);
    fd_close(&pair[0]);
    fd_close(&pair[1]);
}

TEST(tls_client_verifies)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    char path[] = "/tmp/mox-unit-roots-XXXXXX";
    struct key_signer signer = {NULL, sign_here};
    unsigned char sum[SHA256_BYTES] = {0}, wrong[SHA256_BYTES] = {1};
    struct tls_association right = {3, 0, 1, str_at(sum, sizeof sum)};
    struct tls_association other = {3, 0, 1, str_at(wrong, sizeof wrong)};
    struct tls_association both[2];
    struct tls_client *client, *trusting;
    struct str cert, key, der;
    struct private_key *k;
    struct tls_server *s;
    struct outcome o;
    struct err e = {0};
    int fd;

    CHECK(cert_self_signed(&a, STR("mx.example"), 30, &cert, &key, &e));
    CHECK(cert_of_pem(&a, cert, &der, &e));
    sha256(der, sum);
    k = private_key_parse(key, &e);
    signer.ctx = k;
    s = tls_server_new(&signer, TLS_LEAST_1_2, false);
    CHECK(k && tls_server_add_cert(s, cert, 7, &e));
    fd = mkstemp(path);
    CHECK(fd >= 0 && os_write_all(fd, cert, &e));
    client = tls_client_new(&e);
    setenv("SSL_CERT_FILE", path, 1);
    trusting = tls_client_new(&e);
    unsetenv("SSL_CERT_FILE");
    unlink(path);
    close(fd);
    CHECK(client && trusting);

    connect_to(s, client, &(struct tls_target){.name = STR("mx.example")}, &a, &o);
    CHECK(o.roots == TLS_NOT_TRUSTED && o.dane == TLS_DANE_MISMATCH);
    CHECK(str_eq(o.client_binding, o.server_binding));
    connect_to(s, trusting, &(struct tls_target){.name = STR("mx.example")}, &a, &o);
    CHECK(o.roots == TLS_VERIFIED && o.dane == TLS_DANE_MISMATCH);
    connect_to(s, trusting, &(struct tls_target){.name = STR("mx2.example")}, &a, &o);
    CHECK(o.roots == TLS_HOST_MISMATCH);
    connect_to(s, trusting, &(struct tls_target){.name = STR("192.0.2.1")}, &a, &o);
    CHECK(o.roots == TLS_HOST_MISMATCH);
    connect_to(s, trusting, &(struct tls_target){.name = STR("127.0.0.1")}, &a, &o);
    CHECK(o.roots == TLS_VERIFIED);
    // What the configuration names, beside the system's and instead of them (TLS.CA).
    for (int is_alone = 0; is_alone < 2; is_alone++) {
        struct tls_client *own = tls_client_new(&e);

        CHECK(own && tls_client_add_roots(own, arena_printf(&a, "said before\n%.*s\n", STR_FMT(cert)), is_alone, &e));
        connect_to(s, own, &(struct tls_target){.name = STR("mx.example")}, &a, &o);
        CHECK(o.roots == TLS_VERIFIED);
        CHECK(!tls_client_add_roots(own, STR("no certificate"), is_alone, &e) && e.kind == ERR_SYNTAX);
        e = (struct err){0};
        CHECK(!tls_client_add_roots(own, arena_printf(&a, "%.*s%.*s", STR_FMT(cert), (int)cert.n / 2, cert.p), is_alone, &e));
        e = (struct err){0};
        tls_client_free(own);
    }
    connect_to(s, client, &(struct tls_target){.name = STR("mx.example"), .associations = &right,
                                               .n_associations = 1}, &a, &o);
    CHECK(o.dane == TLS_VERIFIED);
    // RFC 7672 3.1.1: with DANE-EE the name in the certificate does not count.
    connect_to(s, client, &(struct tls_target){.name = STR("mx2.example"), .associations = &right,
                                               .n_associations = 1}, &a, &o);
    CHECK(o.dane == TLS_VERIFIED);
    connect_to(s, trusting, &(struct tls_target){.name = STR("mx.example"), .associations = &other,
                                                 .n_associations = 1}, &a, &o);
    CHECK(o.dane != TLS_VERIFIED && o.roots == TLS_VERIFIED);
    both[0] = other;
    both[1] = right;
    connect_to(s, client, &(struct tls_target){.name = STR("mx.example"), .associations = both,
                                               .n_associations = 2}, &a, &o);
    CHECK(o.dane == TLS_VERIFIED);
    tls_client_free(client);
    tls_client_free(trusting);
    tls_server_free(s);
    private_key_free(k);
}
