#include "policy/subjectpass.h"

#include <string.h>

#include "crypto/crypto.h"
#include "text/encode.h"

/*
 * Four bytes of time, four of its bits being the version 0, and the first twelve of a keyed hash. The
 * time is in units of 256 seconds.
 */
enum { TIME_BYTES = 4, SUM_BYTES = 12, TOKEN_BYTES = TIME_BYTES + SUM_BYTES, TIME_SHIFT = 8 };

static void make(unsigned char out[TOKEN_BYTES], struct str key, struct str from, uint32_t units)
{
    unsigned char sum[SHA256_BYTES];
    AUTO_BUF signed_part = BUF_LIMIT(4096);

    for (int i = 0; i < TIME_BYTES; i++)
        out[i] = (unsigned char)(units >> (24 - 8 * i));
    buf_put(&signed_part, str_at(out, TIME_BYTES));
    buf_put(&signed_part, from);
    hmac_sha256(key, buf_str(&signed_part), sum);
    memcpy(out + TIME_BYTES, sum, SUM_BYTES);
}

struct str subjectpass_token(struct arena *a, struct str key, struct str from, int64_t now_unix)
{
    unsigned char token[TOKEN_BYTES];
    AUTO_BUF text = BUF_LIMIT(64);

    make(token, key, from, (uint32_t)(now_unix >> TIME_SHIFT) & 0x0fffffff);
    base64url_encode(&text, str_at(token, sizeof token));
    return arena_printf(a, "(pass:%.*s)", STR_FMT(buf_str(&text)));
}

static bool is_good(struct str text, struct str key, struct str from, int64_t now_unix,
                    uint64_t period_seconds)
{
    AUTO_BUF got = BUF_LIMIT(64);
    unsigned char wanted[TOKEN_BYTES];
    uint32_t units = 0;
    int64_t made_unix;

    if (!base64url_decode(&got, text) || got.n != TOKEN_BYTES)
        return false;
    for (int i = 0; i < TIME_BYTES; i++)
        units = units << 8 | (unsigned char)got.p[i];
    made_unix = (int64_t)units << TIME_SHIFT;
    if (units >> 28 || made_unix > now_unix || (uint64_t)(now_unix - made_unix) > period_seconds)
        return false;
    make(wanted, key, from, units);
    return str_eq_secret(buf_str(&got), str_at(wanted, sizeof wanted));
}

bool subjectpass_verify(struct str subject, struct str key, struct str from, int64_t now_unix,
                        uint64_t period_seconds)
{
    static const struct str start = STR_("(pass:");

    for (ptrdiff_t at; (at = str_find_str(subject, start)) >= 0;) {
        struct str token;

        subject = str_from(subject, (size_t)at + start.n);
        if (str_cut(subject, ')', &token, &subject) &&
            is_good(token, key, from, now_unix, period_seconds))
            return true;
    }
    return false;
}
