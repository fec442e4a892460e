/*
 * SCRAM, the server's side (RFC 5802, RFC 7677).
 */
#include <string.h>

#include "base/cur.h"
#include "proto/sasl/sasl.h"
#include "text/encode.h"

void scram_derive(enum hash_kind hash, struct str password, struct str salt, uint32_t iterations,
                  struct scram_keys *out)
{
    unsigned char salted[HASH_MAX_BYTES], client_key[HASH_MAX_BYTES];
    struct str key = str_at(salted, hash_bytes(hash));

    hash_pbkdf2(hash, password, salt, iterations, salted);
    hash_hmac(hash, key, STR("Client Key"), client_key);
    hash_digest(hash, str_at(client_key, key.n), out->stored_key);
    hash_hmac(hash, key, STR("Server Key"), out->server_key);
    explicit_bzero(salted, sizeof salted);
    explicit_bzero(client_key, sizeof client_key);
}

/* --- grammar (RFC 5802 7) ------------------------------------------------------------------------ */

static bool is_binding_type_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || c == '.' || c == '-';
}

static bool is_nonce_char(unsigned char c)
{
    return c > ' ' && c < 127 && c != ',';
}

static bool is_value_char(unsigned char c)
{
    return c && c != ',';
}

// attr-val with this name; the value is not empty, and is UTF-8.
static bool attribute(struct cur *c, char name, struct str *value)
{
    if (!cur_skip(c, name) || !cur_skip(c, '='))
        return false;
    *value = cur_while(c, is_value_char);
    return value->n && utf8_is_valid(*value);
}

// saslname: "=2C" is a comma and "=3D" the equals sign; any other "=" is an error.
static bool saslname(struct arena *a, struct str text, struct str *out)
{
    char *p = arena_alloc(a, text.n + 1);
    size_t n = 0;

    if (text.n > SASL_MAX_NAME)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        struct str escape = str_sub(text, i, 3);

        if (text.p[i] != '=')
            p[n++] = text.p[i];
        else if (str_eq(escape, STR("=2C")))
            p[n++] = ',';
        else if (str_eq(escape, STR("=3D")))
            p[n++] = '=';
        else
            return false;
        i += text.p[i] == '=' ? 2 : 0;
    }
    *out = (struct str){p, n};
    return true;
}

// Optional extensions, each after a comma, up to the end or to the proof: none is known to us, and
// those that are not "m" may be passed over (RFC 5802 5.1).
static bool extensions(struct cur *c, bool has_proof)
{
    while (cur_peek(c) == ',' && !(has_proof && cur_peek_at(c, 1) == 'p')) {
        struct str value;
        int name = cur_peek_at(c, 1);

        if (!cur_skip(c, ',') || !ascii_is_alpha((char)name) || name == 'm' ||
            !attribute(c, (char)name, &value))
            return false;
    }
    return true;
}

/* --- the first messages -------------------------------------------------------------------------- */

// gs2-cbind-flag, judged by RFC 5802 6.
static bool binding_flag(struct cur *c, struct scram *s, struct err *e)
{
    struct str type;

    switch (cur_next(c)) {
    case 'n':
        break;
    case 'y':
        // Our announcement has the -PLUS mechanisms, and the client says that it has not: somebody
        // in between took them away. Without TLS there is nothing to bind to, and nothing to lose.
        if (s->channel.is_tls)
            return fail(e, ERR_DENIED, "server-does-support-channel-binding");
        break;
    case 'p':
        if (!cur_skip(c, '=') || !(type = cur_while(c, is_binding_type_char)).n)
            return fail(e, ERR_SYNTAX, "invalid-encoding");
        if (!s->info->is_plus)
            return fail(e, ERR_DENIED, "channel-binding-not-supported");
        if (!s->channel.data.n || !str_eq(type, s->channel.type))
            return fail(e, ERR_DENIED, "unsupported-channel-binding-type");
        s->is_bound = true;
        break;
    default:
        return fail(e, ERR_SYNTAX, "invalid-encoding");
    }
    if (s->info->is_plus && !s->is_bound)
        return fail(e, ERR_DENIED, "the mechanism binds the channel, its message does not");
    return true;
}

bool scram_begin(struct arena *a, enum sasl_mechanism mechanism,
                 const struct scram_channel *channel, struct str message, struct scram *out,
                 struct err *e)
{
    struct cur c = cur_of(message);
    struct str text;

    *out = (struct scram){.info = sasl_info(mechanism), .channel = *channel};
    if (message.n > SASL_MAX_MESSAGE)
        return fail(e, ERR_LIMIT, "message too long");
    if (!binding_flag(&c, out, e))
        return false;
    if (!cur_skip(&c, ','))
        return fail(e, ERR_SYNTAX, "invalid-encoding");
    if (cur_peek(&c) != ',' &&
        (!attribute(&c, 'a', &text) || !saslname(a, text, &out->authzid)))
        return fail(e, ERR_SYNTAX, "invalid-username-encoding");
    if (!cur_skip(&c, ','))
        return fail(e, ERR_SYNTAX, "invalid-encoding");
    out->bare = arena_dup(a, cur_rest(&c));
    out->gs2_header = arena_dup(a, str_sub(message, 0, message.n - out->bare.n));
    // RFC 5802 5.1: an extension that must be understood, which we do not.
    if (cur_peek(&c) == 'm')
        return fail(e, ERR_DENIED, "extensions-not-supported");
    if (!attribute(&c, 'n', &text) || !saslname(a, text, &out->name))
        return fail(e, ERR_SYNTAX, "invalid-username-encoding");
    if (!cur_skip(&c, ',') || !cur_skip(&c, 'r') || !cur_skip(&c, '='))
        return fail(e, ERR_SYNTAX, "invalid-encoding");
    out->client_nonce = arena_dup(a, cur_while(&c, is_nonce_char));
    if (!out->client_nonce.n || out->client_nonce.n > SCRAM_MAX_NONCE ||
        !extensions(&c, false) || cur_left(&c))
        return fail(e, ERR_SYNTAX, "invalid-encoding");
    return true;
}

void scram_challenge(struct arena *a, struct scram *s, struct str nonce, struct str salt,
                     uint32_t iterations, struct buf *out)
{
    AUTO_BUF both = BUF_LIMIT(2 * SCRAM_MAX_NONCE);
    AUTO_BUF text = BUF_LIMIT(4 * SCRAM_MAX_NONCE);

    buf_put(&both, s->client_nonce);
    buf_put(&both, nonce);
    s->nonce = arena_dup(a, buf_str(&both));
    BUF_PUT(&text, "r=");
    buf_put(&text, s->nonce);
    BUF_PUT(&text, ",s=");
    base64_encode(&text, salt);
    BUF_PUT(&text, ",i=");
    buf_put_u64(&text, iterations);
    s->server_first = arena_dup(a, buf_str(&text));
    buf_put(out, s->server_first);
}

/* --- the final messages -------------------------------------------------------------------------- */

struct final {
    struct str binding; // decoded
    struct str nonce;
    struct str without_proof;
    unsigned char proof[HASH_MAX_BYTES];
};

static bool decode(struct arena *a, struct str text, struct str *out)
{
    AUTO_BUF b = BUF_LIMIT(SASL_MAX_MESSAGE);

    if (!base64_decode_strict(&b, text) || b.full)
        return false;
    *out = arena_dup(a, buf_str(&b));
    return true;
}

static bool parse_final(struct arena *a, const struct scram *s, struct str message,
                        struct final *out, struct err *e)
{
    struct cur c = cur_of(message);
    struct str text, proof;

    if (message.n > SASL_MAX_MESSAGE)
        return fail(e, ERR_LIMIT, "message too long");
    if (!attribute(&c, 'c', &text) || !decode(a, text, &out->binding) || !cur_skip(&c, ',') ||
        !cur_skip(&c, 'r') || !cur_skip(&c, '='))
        return fail(e, ERR_SYNTAX, "malformed channel binding");
    out->nonce = cur_while(&c, is_nonce_char);
    if (!extensions(&c, true))
        return fail(e, ERR_SYNTAX, "malformed nonce or extension");
    out->without_proof = str_sub(message, 0, message.n - cur_left(&c));
    if (!cur_skip(&c, ',') || !attribute(&c, 'p', &text) || !decode(a, text, &proof) ||
        proof.n != hash_bytes(s->info->hash) || cur_left(&c))
        return fail(e, ERR_SYNTAX, "malformed proof");
    memcpy(out->proof, proof.p, proof.n);
    return true;
}

// RFC 5802 6: cbind-input is the header of the first message, and the channel's data when bound.
static bool is_bound_as_said(const struct scram *s, struct str binding)
{
    AUTO_BUF want = BUF_LIMIT(2 * SASL_MAX_MESSAGE);

    buf_put(&want, s->gs2_header);
    if (s->is_bound)
        buf_put(&want, s->channel.data);
    return str_eq_secret(buf_str(&want), binding);
}

// RFC 5802 3. The stored key is the hash of what the proof unveils; compared in constant time.
static bool is_proven(const struct scram *s, const struct scram_keys *keys, struct str auth_message,
                      const unsigned char proof[HASH_MAX_BYTES])
{
    enum hash_kind hash = s->info->hash;
    size_t n = hash_bytes(hash);
    unsigned char signature[HASH_MAX_BYTES], got[HASH_MAX_BYTES];
    bool is_ok;

    hash_hmac(hash, str_at(keys->stored_key, n), auth_message, signature);
    for (size_t i = 0; i < n; i++)
        signature[i] ^= proof[i]; // the client's key
    hash_digest(hash, str_at(signature, n), got);
    is_ok = str_eq_secret(str_at(got, n), str_at(keys->stored_key, n));
    explicit_bzero(signature, sizeof signature);
    return is_ok;
}

enum scram_verdict scram_finish(struct arena *a, const struct scram *s,
                                const struct scram_keys *keys, struct str message,
                                struct buf *out, struct err *e)
{
    AUTO_BUF auth_message = BUF_LIMIT(4 * SASL_MAX_MESSAGE);
    unsigned char signature[HASH_MAX_BYTES];
    size_t n = hash_bytes(s->info->hash);
    struct final f;

    if (!parse_final(a, s, message, &f, e))
        return SCRAM_MALFORMED;
    if (!str_eq_secret(f.nonce, s->nonce)) {
        BUF_PUT(out, "e=other-error");
        return SCRAM_BAD_NONCE;
    }
    if (!is_bound_as_said(s, f.binding)) {
        BUF_PUT(out, "e=channel-bindings-dont-match");
        return SCRAM_BAD_BINDING;
    }
    buf_put(&auth_message, s->bare);
    BUF_PUT(&auth_message, ",");
    buf_put(&auth_message, s->server_first);
    BUF_PUT(&auth_message, ",");
    buf_put(&auth_message, f.without_proof);
    if (!is_proven(s, keys, buf_str(&auth_message), f.proof)) {
        BUF_PUT(out, "e=invalid-proof");
        return SCRAM_BAD_PROOF;
    }
    hash_hmac(s->info->hash, str_at(keys->server_key, n), buf_str(&auth_message), signature);
    BUF_PUT(out, "v=");
    base64_encode(out, str_at(signature, n));
    return SCRAM_OK;
}
