#include "base/test.h"
#include "crypto/crypto.h"
#include "text/encode.h"

// RFC 7638 3.1: the key of its example cannot be had without its private half, so its thumbprint is that of a
// text; what is checked of ours is the form of that text.
TEST(thumbprints_are_of_the_form_that_rfc_7638_hashes)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF jwk = BUF_LIMIT(4096), rsa_jwk = BUF_LIMIT(4096), encoded = BUF_LIMIT(100);
    unsigned char digest[SHA256_BYTES];
    struct private_key *k = NULL, *r = NULL;
    struct str pem, rsa;
    struct err e = {0};

    CHECK(key_ecdsa_p256(&a, &pem, &e) && (k = private_key_parse(pem, &e)));
    CHECK(private_key_use(k) == PRIVATE_KEY_USE_P256 && private_key_jwk(k, &jwk, &e));
    CHECK(str_starts(buf_str(&jwk), STR("{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"")));
    CHECK(jwk.n == STR("{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"\",\"y\":\"\"}").n + 2 * 43);
    CHECK(key_rsa(&a, 2048, &rsa, &e) && (r = private_key_parse(rsa, &e)));
    CHECK(private_key_use(r) == PRIVATE_KEY_USE_RSA && private_key_jwk(r, &rsa_jwk, &e));
    CHECK(str_starts(buf_str(&rsa_jwk), STR("{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"")));
    sha256(STR("{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4c"
               "bbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt"
               "7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI"
               "SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnq"
               "DKgw\"}"), digest);
    base64url_encode(&encoded, str_at(digest, sizeof digest));
    CHECK_STR(buf_str(&encoded), STR("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
    private_key_free(k);
    private_key_free(r);
}

TEST(jws_signatures_have_the_length_of_their_kind)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct private_key *k = NULL;
    struct str pem;
    struct err e = {0};

    CHECK(key_ecdsa_p256(&a, &pem, &e) && (k = private_key_parse(pem, &e)));
    for (int i = 0; i < 50; i++) { // numbers with zeros in front come now and then
        AUTO_BUF out = BUF_LIMIT(1024);

        CHECK(private_key_sign_jws(k, STR("a.b"), &out, &e) && out.n == 64);
    }
    private_key_free(k);
    CHECK(key_ed25519(&a, &pem, &e) && (k = private_key_parse(pem, &e)));
    AUTO_BUF out = BUF_LIMIT(1024);
    CHECK(private_key_use(k) == PRIVATE_KEY_USE_NONE && !private_key_sign_jws(k, STR("a.b"), &out, &e));
    CHECK(!private_key_jwk(k, &out, &e));
    private_key_free(k);
}

TEST(certificates_say_what_they_are_for)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct str pem, cert, key, der;
    unsigned char digest[SHA256_BYTES] = {1, 2, 3}, own[SHA256_BYTES];
    struct cert_facts facts;
    struct private_key *k = NULL;
    struct err e = {0};

    CHECK(key_ecdsa_p256(&a, &pem, &e) && (k = private_key_parse(pem, &e)));
    CHECK(cert_placeholder(&a, k, STR("mail.example"), &cert, &e));
    CHECK(cert_facts_of(&a, cert, STR("mail.example"), &facts, &e));
    CHECK(private_key_fingerprint(k, own) && memcmp(own, facts.fingerprint, sizeof own) == 0);
    CHECK(!facts.is_rsa && facts.not_after - facts.not_before == 8 * 86400 && facts.serial.n >= 1);
    CHECK(!cert_facts_of(&a, cert, STR("other.example"), &facts, &e) && e.kind == ERR_CONFLICT);
    CHECK(!cert_facts_of(&a, STR("nothing"), STR("mail.example"), &facts, &e));
    CHECK(cert_for_challenge(&a, STR("mail.example"), digest, &cert, &key, &e) && cert_fits_key(cert, key, &e));
    CHECK(cert_of_pem(&a, cert, &der, &e));
    // RFC 8737 3: the OID, TRUE, and an OCTET STRING in an OCTET STRING.
    CHECK(str_find_str(der, STR("\x06\x08\x2b\x06\x01\x05\x05\x07\x01\x1f\x01\x01\xff\x04\x22\x04\x20\x01\x02\x03")) >= 0);
    CHECK(csr_make(&a, k, STR("*.mail.example"), &der, &e) && str_find_str(der, STR("\x82\x0e*.mail.example")) >= 0);
    CHECK(!csr_make(&a, k, STR("a.example,DNS:b.example"), &der, &e));
    CHECK(!csr_make(&a, k, STR(""), &der, &e));
    private_key_free(k);
}
