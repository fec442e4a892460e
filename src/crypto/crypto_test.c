#include <string.h>

#include "base/buf.h"
#include "base/test.h"
#include "crypto/crypto.h"
#include "crypto/received_id.h"
#include "crypto/tls.h"

static void check_hex(const unsigned char *got, size_t n, const char *want)
{
    AUTO_BUF b = BUF_LIMIT(1000);

    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%02x", got[i]);
    CHECK_STR(buf_str(&b), str_of(want));
}

TEST(digests_of_known_inputs)
{
    unsigned char d[SHA256_BYTES];

    sha256(STR("abc"), d); // FIPS 180-2, appendix B.1
    check_hex(d, sizeof d, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?"), d); // RFC 4231 4.3
    check_hex(d, sizeof d, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(hashes_of_scram)
{
    unsigned char d[HASH_MAX_BYTES];

    hash_digest(HASH_SHA1, STR("abc"), d); // FIPS 180-2, appendix A.1
    check_hex(d, SHA1_BYTES, "a9993e364706816aba3e25717850c26c9cd0d89d");
    hash_hmac(HASH_SHA1, STR("Jefe"), STR("what do ya want for nothing?"), d); // RFC 2202 3
    check_hex(d, SHA1_BYTES, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    hash_pbkdf2(HASH_SHA1, STR("password"), STR("salt"), 4096, d); // RFC 6070 2
    check_hex(d, SHA1_BYTES, "4b007901b765489abead49d926f721d065a429c1");
    hash_pbkdf2(HASH_SHA256, STR("passwd"), STR("salt"), 1, d); // RFC 7914 11
    check_hex(d, SHA256_BYTES, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
}

// RFC 2202 2: a short key, and one longer than a block; RFC 2195 2, the example.
TEST(hmac_md5_from_states)
{
    static const struct {
        const char *key, *bytes, *want;
    } cases[] = {
        {"Jefe", "what do ya want for nothing?", "750c783e6ab0b503eaa86e310a5db738"},
        {"\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
         "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
         "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
         "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa",
         "Test Using Larger Than Block-Size Key - Hash Key First",
         "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"},
        {"tanstaaftanstaaf", "<1896.697170952@postoffice.reston.mci.net>",
         "b913a602c7eda7a495b4e6e7334d3890"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        unsigned char states[HMAC_MD5_STATES], d[MD5_BYTES];

        hmac_md5_prepare(str_of(cases[i].key), states);
        hmac_md5_finish(states, str_of(cases[i].bytes), d);
        check_hex(d, sizeof d, cases[i].want);
    }
}

TEST(passwords)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct str hash;
    struct err e = {0};

    CHECK(password_hash(&a, STR("correct horse"), &hash, &e));
    CHECK(password_verify(hash, STR("correct horse")));
    CHECK(!password_verify(hash, STR("correct horsf")));
    CHECK(!password_verify(hash, STR("")));
    CHECK(!password_verify(STR("garbage"), STR("correct horse")));
    CHECK(!password_check_rules(STR("short"), &e));
    CHECK(!password_check_rules(STR("with\nnewline"), &e));
    CHECK(password_check_rules(STR("moxmoxmox"), &e));
}

TEST(bcrypt_hashes_of_upstream)
{
    // The vector of the bcrypt paper's reference implementation for "U*U".
    struct str hash = STR("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");

    CHECK(password_verify(hash, STR("U*U")));
    CHECK(!password_verify(hash, STR("U*V")));
}

static bool sign_here(void *ctx, uint32_t key, int type, unsigned parameter, struct str digest,
                      struct buf *out, struct err *e)
{
    CHECK(key == 7);
    return type == 1 ? private_key_sign_ecdsa(ctx, digest, out, e)
                     : private_key_rsa(ctx, digest, parameter, out, e);
}

TEST(self_signed_certificate_serves)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct str cert, key;
    struct err e = {0};
    struct private_key *k;
    struct key_signer signer = {NULL, sign_here};
    struct tls_server *s;

    CHECK(cert_self_signed(&a, STR("localhost"), 30, &cert, &key, &e));
    CHECK(str_starts(cert, STR("-----BEGIN CERTIFICATE-----")));
    k = private_key_parse(key, &e);
    CHECK(k != NULL);
    signer.ctx = k;
    s = tls_server_new(&signer, TLS_LEAST_1_2, false);
    CHECK(tls_server_add_cert(s, cert, 7, &e));
    CHECK(!tls_server_add_cert(s, STR("no certificate"), 7, &e));
    tls_server_free(s);
    private_key_free(k);
    CHECK(!private_key_parse(STR("no key"), &e));
    CHECK(key_ed25519(&a, &key, &e));
}

TEST(certificates_of_clients)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct str cert, key, der = {0}, again = {0}, pem = {0}, both;
    struct cert_key k = {0}, other = {0};
    struct err e = {0};

    CHECK(cert_for_client(&a, STR("my laptop"), 30, &cert, &key, &e));
    CHECK(str_starts(key, STR("-----BEGIN PRIVATE KEY-----")));
    CHECK(cert_of_pem(&a, cert, &der, &e) && cert_key_of(&a, der, &k, &e));
    CHECK_STR(k.type, STR("ed25519"));
    CHECK_STR(k.name, STR("my laptop"));
    CHECK(cert_to_pem(&a, der, &pem, &e) && cert_of_pem(&a, pem, &again, &e));
    CHECK_STR(again, der);
    CHECK(cert_self_signed(&a, STR("localhost"), 30, &cert, &key, &e));
    CHECK(cert_of_pem(&a, cert, &der, &e) && cert_key_of(&a, der, &other, &e));
    CHECK_STR(other.type, STR("ecdsa-p256"));
    CHECK(!str_eq(str_at(k.fingerprint, 32), str_at(other.fingerprint, 32)));
    CHECK(!cert_of_pem(&a, key, &der, &e));       // not a certificate
    both = arena_printf(&a, "%.*s%.*s", STR_FMT(cert), STR_FMT(pem));
    CHECK(!cert_of_pem(&a, both, &der, &e));      // one too many
    CHECK(!cert_of_pem(&a, STR("text"), &der, &e));
    for (size_t n = 0; n < again.n; n++) {
        AUTO_EXACT cut = exact_copy(str_sub(again, 0, n));

        CHECK_CASE(!cert_key_of(&a, cut.str, &k, &e), n);
    }
}

TEST(received_ids)
{
    // FIPS 197, appendix B: the key, and a block whose second half is the connection's number.
    static const unsigned char key[RECEIVED_ID_KEY_BYTES] = {
        0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88,
        0x09, 0xcf, 0x4f, 0x3c, 0x32, 0x43, 0xf6, 0xa8, 0x88, 0x5a, 0x30, 0x8d};
    AUTO_BUF out = BUF_LIMIT(64);
    unsigned char other[RECEIVED_ID_KEY_BYTES];
    struct err e = {0};
    uint64_t cid = 0;

    received_id_put(&out, key, 0x313198a2e0370734);
    CHECK_STR(buf_str(&out), STR("OSWEHQLcCfvcEYWXGWoLMg"));
    CHECK(received_id_open(key, buf_str(&out), &cid, &e) && cid == 0x313198a2e0370734);
    memcpy(other, key, sizeof other);
    other[0] ^= 1;
    CHECK(!received_id_open(other, buf_str(&out), &cid, &e) && e.kind == ERR_NOT_FOUND);
    for (size_t i = 0; i < buf_str(&out).n; i++) {
        AUTO_EXACT cut = exact_copy(str_at(out.p, i));

        e = (struct err){0};
        CHECK_CASE(!received_id_open(key, cut.str, &cid, &e) && e.kind == ERR_SYNTAX, i);
    }
    e = (struct err){0};
    CHECK(!received_id_open(key, STR("!!!!!!!!!!!!!!!!!!!!!!"), &cid, &e) && e.kind == ERR_SYNTAX);
}
