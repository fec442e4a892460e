#include "crypto/received_id.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/die.h"
#include "text/encode.h"

enum { KEY_BYTES = 16, PROOF_BYTES = 8, BLOCK_BYTES = 16 };

// One block needs no mode: no two connections of an installation have the same.
static void crypt(const unsigned char *key, const unsigned char in[BLOCK_BYTES],
                  unsigned char out[BLOCK_BYTES], bool is_encrypting)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;

    if (!ctx || !EVP_CipherInit_ex(ctx, EVP_aes_128_ecb(), NULL, key, NULL, is_encrypting) ||
        !EVP_CIPHER_CTX_set_padding(ctx, 0) ||
        !EVP_CipherUpdate(ctx, out, &n, in, BLOCK_BYTES) || n != BLOCK_BYTES)
        die("AES is not available");
    EVP_CIPHER_CTX_free(ctx);
}

void received_id_put(struct buf *out, const unsigned char *key, uint64_t cid)
{
    unsigned char plain[BLOCK_BYTES], block[BLOCK_BYTES];

    memcpy(plain, key + KEY_BYTES, PROOF_BYTES);
    for (int i = 0; i < 8; i++)
        plain[PROOF_BYTES + i] = (unsigned char)(cid >> (56 - 8 * i));
    crypt(key, plain, block, true);
    base64url_encode(out, str_at((const char *)block, sizeof block));
}

bool received_id_open(const unsigned char *key, struct str id, uint64_t *cid, struct err *e)
{
    AUTO_BUF block = BUF_LIMIT(64);
    unsigned char plain[BLOCK_BYTES];

    if (id.n != RECEIVED_ID_CHARS || !base64url_decode(&block, id) || block.n != BLOCK_BYTES)
        return fail(e, ERR_SYNTAX, "a received id has %d characters of base64url", RECEIVED_ID_CHARS);
    crypt(key, (const unsigned char *)block.p, plain, false);
    if (CRYPTO_memcmp(plain, key + KEY_BYTES, PROOF_BYTES))
        return fail(e, ERR_NOT_FOUND, "the id is not one of this server");
    *cid = 0;
    for (int i = 0; i < 8; i++)
        *cid = *cid << 8 | plain[PROOF_BYTES + i];
    return true;
}
