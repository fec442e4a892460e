#include "proto/sasl/client.h"

#include <string.h>

#include "base/cur.h"
#include "text/encode.h"
#include "text/prep.h"

enum sasl_mechanism sasl_client_choose(const enum sasl_mechanism *wanted, size_t n,
                                       bool has_client_key, const struct scram_channel *channel,
                                       bool (*offers)(void *ctx, struct str mechanism), void *ctx)
{
    for (size_t i = 0; i < n; i++) {
        const struct sasl_mechanism_info *info = sasl_info(wanted[i]);

        if ((wanted[i] == SASL_EXTERNAL && !has_client_key) || (info->is_plus && !channel->data.n))
            continue;
        if (offers(ctx, info->name))
            return wanted[i];
    }
    return SASL_MECHANISMS;
}

bool sasl_client_is_first(enum sasl_mechanism mechanism)
{
    return mechanism != SASL_CRAM_MD5 && mechanism != SASL_LOGIN;
}

/* --- SCRAM (RFC 5802) ---------------------------------------------------------------------------- */

static void put_saslname(struct buf *out, struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] == ',')
            BUF_PUT(out, "=2C");
        else if (name.p[i] == '=')
            BUF_PUT(out, "=3D");
        else
            buf_put_char(out, name.p[i]);
}

// client-first-message. "y": we could bind, and believe that the server cannot (RFC 5802 6).
static void scram_first(struct arena *a, struct sasl_client *c, struct buf *out)
{
    AUTO_BUF header = BUF_LIMIT(1024), bare = BUF_LIMIT(8192);
    bool is_plus = sasl_info(c->mechanism)->is_plus;

    if (is_plus) {
        BUF_PUT(&header, "p=");
        buf_put(&header, c->channel.type);
    } else {
        buf_put(&header, c->channel.data.n && !c->server_has_plus ? STR("y") : STR("n"));
    }
    BUF_PUT(&header, ",,");
    BUF_PUT(&bare, "n=");
    put_saslname(&bare, text_saslprep(a, c->name));
    BUF_PUT(&bare, ",r=");
    buf_put(&bare, c->nonce);
    c->gs2_header = arena_dup(a, buf_str(&header));
    c->bare = arena_dup(a, buf_str(&bare));
    buf_put(out, c->gs2_header);
    buf_put(out, c->bare);
}

struct server_first {
    struct str nonce, salt;
    uint64_t iterations;
};

static bool is_value_char(unsigned char ch)
{
    return ch && ch != ',';
}

// attr=value, up to a comma or the end.
static bool attribute(struct cur *in, char name, struct str *value)
{
    if (!cur_skip(in, name) || !cur_skip(in, '='))
        return false;
    *value = cur_while(in, is_value_char);
    return value->n > 0;
}

static bool parse_server_first(struct arena *a, const struct sasl_client *c, struct str message,
                               struct server_first *out, struct err *e)
{
    AUTO_BUF salt = BUF_LIMIT(SASL_MAX_MESSAGE);
    struct cur in = cur_of(message), number;
    struct str encoded, iterations;

    if (message.n > SASL_MAX_MESSAGE)
        return fail(e, ERR_LIMIT, "the server's message is too long");
    if (!attribute(&in, 'r', &out->nonce) || !cur_skip(&in, ',') ||
        !attribute(&in, 's', &encoded) || !cur_skip(&in, ',') ||
        !attribute(&in, 'i', &iterations) || (cur_left(&in) && cur_peek(&in) != ',') ||
        !base64_decode_strict(&salt, encoded) || !salt.n)
        return fail(e, ERR_SYNTAX, "malformed message of the server");
    number = cur_of(iterations);
    if (!cur_u64(&number, SCRAM_MAX_ITERATIONS, &out->iterations) || cur_left(&number) ||
        out->iterations < SCRAM_MIN_ITERATIONS)
        return fail(e, ERR_DENIED, "iterations of the server are not between %d and %d",
                    SCRAM_MIN_ITERATIONS, SCRAM_MAX_ITERATIONS);
    // RFC 5802 5.1: ours, and more. Without any of its own an old exchange could be played again.
    if (!str_starts(out->nonce, c->nonce) || out->nonce.n == c->nonce.n)
        return fail(e, ERR_DENIED, "the server's nonce does not continue ours");
    out->salt = arena_dup(a, buf_str(&salt));
    return true;
}

static bool scram_final(struct arena *a, struct sasl_client *c, struct str message,
                        struct buf *out, struct err *e)
{
    enum hash_kind hash = sasl_info(c->mechanism)->hash;
    AUTO_BUF final = BUF_LIMIT(4 * SASL_MAX_MESSAGE), all = BUF_LIMIT(8 * SASL_MAX_MESSAGE);
    AUTO_BUF binding = BUF_LIMIT(4096);
    unsigned char salted[HASH_MAX_BYTES], client_key[HASH_MAX_BYTES], stored[HASH_MAX_BYTES];
    unsigned char server_key[HASH_MAX_BYTES], signature[HASH_MAX_BYTES];
    size_t n = hash_bytes(hash);
    struct server_first s;

    if (!parse_server_first(a, c, message, &s, e))
        return false;
    buf_put(&binding, c->gs2_header);
    if (sasl_info(c->mechanism)->is_plus)
        buf_put(&binding, c->channel.data);
    BUF_PUT(&final, "c=");
    base64_encode(&final, buf_str(&binding));
    BUF_PUT(&final, ",r=");
    buf_put(&final, s.nonce);
    buf_put(&all, c->bare);
    BUF_PUT(&all, ",");
    buf_put(&all, message);
    BUF_PUT(&all, ",");
    buf_put(&all, buf_str(&final));
    hash_pbkdf2(hash, text_saslprep(a, c->password), s.salt, (uint32_t)s.iterations, salted);
    hash_hmac(hash, str_at(salted, n), STR("Client Key"), client_key);
    hash_hmac(hash, str_at(salted, n), STR("Server Key"), server_key);
    hash_digest(hash, str_at(client_key, n), stored);
    hash_hmac(hash, str_at(stored, n), buf_str(&all), signature);
    hash_hmac(hash, str_at(server_key, n), buf_str(&all), c->server_signature);
    for (size_t i = 0; i < n; i++)
        client_key[i] ^= signature[i];
    buf_put(out, buf_str(&final));
    BUF_PUT(out, ",p=");
    base64_encode(out, str_at(client_key, n));
    explicit_bzero(salted, sizeof salted);
    explicit_bzero(client_key, sizeof client_key);
    explicit_bzero(server_key, sizeof server_key);
    return true;
}

// server-final-message: "v=" and the signature, possibly with extensions.
static bool scram_verify(struct sasl_client *c, struct str message)
{
    AUTO_BUF signature = BUF_LIMIT(SASL_MAX_MESSAGE);
    struct cur in = cur_of(message);
    struct str encoded;
    size_t n = hash_bytes(sasl_info(c->mechanism)->hash);

    return attribute(&in, 'v', &encoded) && base64_decode_strict(&signature, encoded) &&
           str_eq_secret(buf_str(&signature), str_at(c->server_signature, n));
}

// server-error (RFC 5802 7): a word for why not.
static bool is_error(struct str message, struct err *e)
{
    AUTO_BUF word = BUF_LIMIT(64);

    if (!str_starts(message, STR("e=")))
        return false;
    for (size_t i = 2; i < message.n && i < 50 && (ascii_is_alnum(message.p[i]) || message.p[i] == '-'); i++)
        buf_put_char(&word, message.p[i]);
    (void)fail(e, ERR_DENIED, "the server refuses the login: %.*s", STR_FMT(buf_str(&word)));
    return true;
}

static bool scram_step(struct arena *a, struct sasl_client *c, struct str challenge,
                       struct buf *out, struct err *e)
{
    if (is_error(challenge, e))
        return false;
    switch (c->step) {
    case 1:
        scram_first(a, c, out);
        return true;
    case 2:
        return scram_final(a, c, challenge, out, e);
    case 3:
        c->is_done = scram_verify(c, challenge);
        return c->is_done || fail(e, ERR_DENIED, "the server does not prove that it knows the password");
    default:
        return fail(e, ERR_SYNTAX, "the server goes on after the end of the exchange");
    }
}

/* --- all mechanisms ------------------------------------------------------------------------------ */

static void put_cram(struct sasl_client *c, struct str challenge, struct buf *out)
{
    unsigned char states[HMAC_MD5_STATES], digest[MD5_BYTES];

    hmac_md5_prepare(c->password, states);
    hmac_md5_finish(states, challenge, digest);
    explicit_bzero(states, sizeof states);
    buf_put(out, c->name);
    BUF_PUT(out, " ");
    for (size_t i = 0; i < sizeof digest; i++)
        buf_printf(out, "%02x", digest[i]);
}

bool sasl_client_step(struct arena *a, struct sasl_client *c, struct str challenge,
                      struct buf *out, struct err *e)
{
    unsigned step = ++c->step;

    if (sasl_info(c->mechanism)->is_scram)
        return scram_step(a, c, challenge, out, e);
    if (step > (c->mechanism == SASL_LOGIN ? 2 : 1))
        return fail(e, ERR_SYNTAX, "the server goes on after the end of the exchange");
    if (c->mechanism == SASL_PLAIN) {
        buf_put_char(out, '\0');
        buf_put(out, c->name);
        buf_put_char(out, '\0');
        buf_put(out, c->password);
    } else if (c->mechanism == SASL_CRAM_MD5) {
        put_cram(c, challenge, out);
    } else if (c->mechanism == SASL_LOGIN) {
        buf_put(out, step == 1 ? c->name : c->password);
    }
    // EXTERNAL: an empty message asks for the identity of the certificate (RFC 4422 A.1).
    c->is_done = c->mechanism != SASL_LOGIN || step == 2;
    return true;
}

bool sasl_client_is_done(struct arena *a, struct sasl_client *c, struct str data)
{
    AUTO_BUF nothing = BUF_LIMIT(1024);
    struct err e = {0};

    if (!c->is_done && c->step == 2 && data.n && sasl_info(c->mechanism)->is_scram)
        return sasl_client_step(a, c, data, &nothing, &e);
    return c->is_done;
}
