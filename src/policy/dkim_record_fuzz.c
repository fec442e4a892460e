/*
 * Key records and the values of signatures: what is understood is within its limits, and a record
 * is the same when written.
 */
#include <stdint.h>

#include "policy/dkim_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(struct arena *a, struct str text)
{
    AUTO_BUF out = BUF_LIMIT(DKIM_MAX_RECORD * 2);
    struct dkim_record r, again;
    struct err e = {0};
    bool is_dkim;

    if (!dkim_record_parse(a, text, &r, &is_dkim, &e))
        return;
    if (!is_dkim)
        die("a record, and not meant to be one");
    if (r.kind == DKIM_KEY_OTHER)
        return;
    dkim_record_put(&out, &r);
    if (!dkim_record_parse(a, buf_str(&out), &again, &is_dkim, &e) || again.kind != r.kind ||
        again.is_testing != r.is_testing || again.is_strict != r.is_strict ||
        !str_eq(again.public_key, r.public_key))
        die("a record is not the same when written");
}

static void check_signature(struct arena *a, struct str value)
{
    struct dkim_signature s;
    struct err e = {0};

    if (!dkim_signature_parse(a, value, &s, &e)) {
        if (e.kind != ERR_SYNTAX && e.kind != ERR_LIMIT)
            die("a signature refused for a strange reason");
        return;
    }
    if (!dns_name_is_ok(s.domain) || !dns_name_is_ok(s.selector) || !s.signature.n ||
        s.n_headers > DKIM_MAX_SIGNED_FIELDS || s.b_field.p < value.p ||
        s.b_field.p + s.b_field.n > value.p + value.n)
        die("a signature that cannot be");
}

// The key that the record has, asked for by a signature that fits nothing.
static void check_key(struct arena *a, struct str text)
{
    AUTO_BUF zone_text = BUF_LIMIT(100000);
    struct dkim_signature s = {.domain = STR("d"), .selector = STR("s"), .signature = STR("x")};
    unsigned char digest[SHA256_BYTES] = {0};
    struct dns_zone zone;
    struct err e = {0};

    if (str_find(text, '\n') != STR_NONE)
        return;
    BUF_PUT(&zone_text, "s._domainkey.d TXT ");
    buf_put(&zone_text, text);
    if (!dns_zone_parse(a, buf_str(&zone_text), &zone, &e))
        return;
    for (int i = 0; i < 2; i++) {
        struct dns dns = dns_zone_dns(&zone);
        struct dkim_key key;

        s.algorithm = i ? DKIM_ED25519_SHA256 : DKIM_RSA_SHA256;
        dkim_key_prefetch(&dns, a, &s);
        dkim_key_get(&dns, a, &s, &key);
        if ((key.key != NULL) != (key.status == AUTH_PASS))
            die("a key that is and is not there");
        if (key.key && public_key_verify(key.key, digest, s.signature))
            die("a signature of one octet");
        public_key_free(key.key);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);

    if (size > 64 * 1024)
        return 0;
    check_record(&a, str_at(data, size));
    check_signature(&a, str_at(data, size));
    check_key(&a, str_at(data, size));
    return 0;
}
