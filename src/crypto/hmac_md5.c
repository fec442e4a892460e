/*
 * HMAC-MD5 from stored states (RFC 2104 4). Only OpenSSL's low-level MD5 shows its state; it is
 * deprecated with all of its kind, and CRAM-MD5 has no use for more.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/md5.h>
#include <string.h>

#include "base/die.h"
#include "crypto/crypto.h"

enum { BLOCK_BYTES = 64 };

static void put_word(unsigned char *out, MD5_LONG word)
{
    for (int i = 0; i < 4; i++)
        out[i] = (unsigned char)(word >> (8 * i));
}

static MD5_LONG word_of(const unsigned char *in)
{
    MD5_LONG word = 0;

    for (int i = 0; i < 4; i++)
        word |= (MD5_LONG)in[i] << (8 * i);
    return word;
}

// The state after the key's block.
static void prepare(const unsigned char key[BLOCK_BYTES], unsigned char pad,
                    unsigned char state[MD5_BYTES])
{
    unsigned char block[BLOCK_BYTES];
    MD5_CTX ctx;

    for (size_t i = 0; i < sizeof block; i++)
        block[i] = key[i] ^ pad;
    if (!MD5_Init(&ctx) || !MD5_Update(&ctx, block, sizeof block))
        die("MD5 failed");
    put_word(state, ctx.A);
    put_word(state + 4, ctx.B);
    put_word(state + 8, ctx.C);
    put_word(state + 12, ctx.D);
    explicit_bzero(block, sizeof block);
    explicit_bzero(&ctx, sizeof ctx);
}

void hmac_md5_prepare(struct str key, unsigned char states[HMAC_MD5_STATES])
{
    unsigned char block[BLOCK_BYTES] = {0};
    MD5_CTX ctx;

    if (key.n > sizeof block) {
        if (!MD5_Init(&ctx) || !MD5_Update(&ctx, key.p, key.n) || !MD5_Final(block, &ctx))
            die("MD5 failed");
    } else if (key.n) {
        memcpy(block, key.p, key.n);
    }
    prepare(block, 0x36, states);
    prepare(block, 0x5c, states + MD5_BYTES);
    explicit_bzero(block, sizeof block);
}

// Goes on from a state after one block.
static void finish(const unsigned char state[MD5_BYTES], struct str bytes,
                   unsigned char out[MD5_BYTES])
{
    MD5_CTX ctx;

    if (!MD5_Init(&ctx))
        die("MD5 failed");
    ctx.A = word_of(state);
    ctx.B = word_of(state + 4);
    ctx.C = word_of(state + 8);
    ctx.D = word_of(state + 12);
    ctx.Nl = BLOCK_BYTES * 8; // bits
    if (!MD5_Update(&ctx, bytes.p, bytes.n) || !MD5_Final(out, &ctx))
        die("MD5 failed");
}

void hmac_md5_finish(const unsigned char states[HMAC_MD5_STATES], struct str bytes,
                     unsigned char out[MD5_BYTES])
{
    unsigned char inner[MD5_BYTES];

    finish(states, bytes, inner);
    finish(states + MD5_BYTES, str_at(inner, sizeof inner), out);
}
