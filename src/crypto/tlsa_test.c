#include "base/test.h"
#include "base/buf.h"
#include "crypto/tlsa.h"

// Made and hashed by openssl's command line.
static const char cert_pem[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBgTCCASegAwIBAgIUD20pK/K8prPyrybei6wfZD77b60wCgYIKoZIzj0EAwIw\n"
    "FTETMBEGA1UEAwwKbXguZXhhbXBsZTAgFw0yNjExMjUxOTI2MDhaGA8yMTI2MTEw\n"
    "MTE5MjYwOFowFTETMBEGA1UEAwwKbXguZXhhbXBsZTBZMBMGByqGSM49AgEGCCqG\n"
    "SM49AwEHA0IABNcCpWNtjL1SIv3y1T/VtvyDFXkg/6YwhF20xM+5QmZUmp0CjVE6\n"
    "YIOi8nPtjhXdJNIMYrMjaU+er8cgGDLbXPyjUzBRMB0GA1UdDgQWBBQmC9d+5UVa\n"
    "/0NKI2/gL9lrJvyYDTAfBgNVHSMEGDAWgBQmC9d+5UVa/0NKI2/gL9lrJvyYDTAP\n"
    "BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQC0+TdyZrbBjwjJ0onp\n"
    "Bdt8xGfW/N+r51rzVdM56gt+yAIgda5tlYkOOKOF3ss8YcVIfgepKskpA2n3YGuc\n"
    "nLnavvs=\n"
    "-----END CERTIFICATE-----\n";
static const char public_pem[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1wKlY22MvVIi/fLVP9W2/IMVeSD/\n"
    "pjCEXbTEz7lCZlSanQKNUTpgg6Lyc+2OFd0k0gxisyNpT56vxyAYMttc/A==\n"
    "-----END PUBLIC KEY-----\n";
static const char private_pem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgTC/fzyNitbken241\n"
    "qrfTTMmLWxCH6RKL38cO2Igias2hRANCAATXAqVjbYy9UiL98tU/1bb8gxV5IP+m\n"
    "MIRdtMTPuUJmVJqdAo1ROmCDovJz7Y4V3STSDGKzI2lPnq/HIBgy21z8\n"
    "-----END PRIVATE KEY-----\n";
static const char cert_hex[] =
    "3082018130820127a00302010202140f6d292bf2bca6b3f2af26de8bac1f643efb6fad300a06082a8648ce3d04"
    "030230153113301106035504030c0a6d782e6578616d706c653020170d3236313132353139323630385a180f32"
    "313236313130313139323630385a30153113301106035504030c0a6d782e6578616d706c653059301306072a86"
    "48ce3d020106082a8648ce3d03010703420004d702a5636d8cbd5222fdf2d53fd5b6fc83157920ffa630845db4"
    "c4cfb94266549a9d028d513a6083a2f273ed8e15dd24d20c62b323694f9eafc7201832db5cfca3533051301d06"
    "03551d0e04160414260bd77ee5455aff434a236fe02fd96b26fc980d301f0603551d23041830168014260bd77e"
    "e5455aff434a236fe02fd96b26fc980d300f0603551d130101ff040530030101ff300a06082a8648ce3d040302"
    "0348003045022100b4f9377266b6c18f08c9d289e905db7cc467d6fcdfabe75af355d339ea0b7ec8022075ae6d"
    "95890e38a385decb3c61c5487e07a92ac9290369f7606b9c9cb9dabefb";
static const char key_hex[] =
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004d702a5636d8cbd5222fdf2d53fd5b6fc8315"
    "7920ffa630845db4c4cfb94266549a9d028d513a6083a2f273ed8e15dd24d20c62b323694f9eafc7201832db5c"
    "fc";

TEST(tlsa_of_certificates_and_keys)
{
    static const struct {
        const char *pem;
        enum tlsa_selector selector;
        enum tlsa_matching matching;
        const char *hex; // NULL: refused
    } cases[] = {
        {cert_pem, TLSA_CERT, TLSA_FULL, cert_hex},
        {cert_pem, TLSA_CERT, TLSA_SHA256,
         "49e5dc6ab146c7813b5eb06af6422136374b53f72b1ed8640733a22aa82d6655"},
        {cert_pem, TLSA_CERT, TLSA_SHA512,
         "b409256edb858a5a726d1b6be2a979bf66c6b70b8cbdf35c20d83d20a0513a58"
         "6dc469fd0b8c64c2a27a57ed80707c159f20315bca05f387db414831763c474e"},
        {cert_pem, TLSA_SPKI, TLSA_FULL, key_hex},
        {cert_pem, TLSA_SPKI, TLSA_SHA256,
         "c79f9d98e9d89e746e73f746d4738ee3a792cca0deec44352e108e77ee9506d0"},
        {public_pem, TLSA_SPKI, TLSA_SHA512,
         "f04eb4257bc04005f4a4651a1027bc8a10ccba962f3787690a1b890648f4c639"
         "b94e99b7641ca6a96ac5cb99f6f39425361fc3c883da15ff9b4e13722240129a"},
        {public_pem, TLSA_SPKI, TLSA_FULL, key_hex},
        {private_pem, TLSA_SPKI, TLSA_SHA256,
         "c79f9d98e9d89e746e73f746d4738ee3a792cca0deec44352e108e77ee9506d0"},
        {public_pem, TLSA_CERT, TLSA_SHA256, NULL},
        {private_pem, TLSA_CERT, TLSA_SHA256, NULL},
        {"", TLSA_SPKI, TLSA_SHA256, NULL},
        {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", TLSA_SPKI, TLSA_FULL, NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF hex = BUF_LIMIT(10000);
        AUTO_EXACT pem = exact_copy(str_of(cases[i].pem));
        struct str data;
        struct err e = {0};

        CHECK_CASE(tlsa_of_pem(&a, pem.str, cases[i].selector, cases[i].matching, &data, &e) ==
                       (cases[i].hex != NULL),
                   i);
        CHECK_CASE(cases[i].hex || e.kind == ERR_SYNTAX, i);
        if (!cases[i].hex)
            continue;
        for (size_t k = 0; k < data.n; k++)
            buf_printf(&hex, "%02x", (unsigned char)data.p[k]);
        CHECK_STR(buf_str(&hex), str_of(cases[i].hex));
    }
}

TEST(tlsa_full_records)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct str cert, key;
    struct err e = {0};

    CHECK(tlsa_of_pem(&a, STR(cert_pem), TLSA_CERT, TLSA_FULL, &cert, &e));
    CHECK(tlsa_of_pem(&a, STR(cert_pem), TLSA_SPKI, TLSA_FULL, &key, &e));
    CHECK(tlsa_is_full(TLSA_CERT, cert) && tlsa_is_full(TLSA_SPKI, key));
    CHECK(!tlsa_is_full(TLSA_SPKI, cert) && !tlsa_is_full(TLSA_CERT, key));
    CHECK(!tlsa_is_full(TLSA_CERT, STR("")));
    for (size_t n = 0; n < cert.n; n++) {
        AUTO_EXACT part = exact_copy(str_sub(cert, 0, n));

        CHECK_CASE(!tlsa_is_full(TLSA_CERT, part.str), n);
    }
    for (size_t n = 0; n < key.n; n++) {
        AUTO_EXACT part = exact_copy(str_sub(key, 0, n));

        CHECK_CASE(!tlsa_is_full(TLSA_SPKI, part.str), n);
    }
}
