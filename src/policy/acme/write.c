#include "crypto/crypto.h"
#include "policy/acme/acme.h"
#include "text/encode.h"

static void put_member(struct buf *out, const char *name, struct str value)
{
    if (out->n > 1)
        BUF_PUT(out, ",");
    json_put_string(out, str_of(name));
    BUF_PUT(out, ":");
    json_put_string(out, value);
}

void acme_protected(struct buf *out, struct str alg, struct str nonce, struct str url, struct str kid,
                    struct str jwk)
{
    BUF_PUT(out, "{");
    put_member(out, "alg", alg);
    if (nonce.n)
        put_member(out, "nonce", nonce);
    put_member(out, "url", url);
    if (kid.n) {
        put_member(out, "kid", kid);
    } else {
        BUF_PUT(out, ",\"jwk\":");
        buf_put(out, jwk);
    }
    BUF_PUT(out, "}");
}

void acme_signing_input(struct buf *out, struct str protected_header, struct str payload)
{
    base64url_encode(out, protected_header);
    BUF_PUT(out, ".");
    base64url_encode(out, payload);
}

void acme_jws(struct buf *out, struct str input, struct str signature)
{
    struct str header = {0}, payload = {0};

    (void)str_cut(input, '.', &header, &payload);
    BUF_PUT(out, "{\"protected\":\"");
    buf_put(out, header);
    BUF_PUT(out, "\",\"payload\":\"");
    buf_put(out, payload);
    BUF_PUT(out, "\",\"signature\":\"");
    base64url_encode(out, signature);
    BUF_PUT(out, "\"}");
}

static struct str encoded_digest(struct arena *a, struct str text)
{
    AUTO_BUF out = BUF_LIMIT(100);
    unsigned char digest[SHA256_BYTES];

    sha256(text, digest);
    base64url_encode(&out, str_at(digest, sizeof digest));
    return arena_dup(a, buf_str(&out));
}

struct str acme_key_authorization(struct arena *a, struct str token, struct str jwk)
{
    return arena_printf(a, "%.*s.%.*s", STR_FMT(token), STR_FMT(encoded_digest(a, jwk)));
}

struct str acme_dns_text(struct arena *a, struct str key_authorization)
{
    return encoded_digest(a, key_authorization);
}

struct str acme_certificate_id(struct arena *a, struct str authority_key, struct str serial)
{
    AUTO_BUF out = BUF_LIMIT(1024);

    if (!authority_key.n || !serial.n)
        return STR("");
    base64url_encode(&out, authority_key);
    BUF_PUT(&out, ".");
    base64url_encode(&out, serial);
    return out.full ? STR("") : arena_dup(a, buf_str(&out));
}
