#include "policy/srs.h"

#include <string.h>

#include "crypto/crypto.h"

enum { DAY_S = 86400, DAYS = 1024, HASH_CHARS = 8, MAX_LOCALPART = 512 };

static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";

// 40 bits: as many as can be guessed at with mail only in ages.
static void put_hash(struct arena *a, const unsigned char key[SRS_KEY_BYTES], struct str text,
                     struct buf *out)
{
    unsigned char digest[SHA256_BYTES];

    hmac_sha256(str_at(key, SRS_KEY_BYTES), arena_lower(a, text), digest);
    for (size_t i = 0; i < HASH_CHARS; i++) {
        unsigned bit = (unsigned)i * 5;
        unsigned pair = (unsigned)digest[bit / 8] << 8 | digest[bit / 8 + 1];

        buf_put_char(out, base32[pair >> (11 - bit % 8) & 31]);
    }
}

static unsigned day_of(int64_t now_unix)
{
    return (unsigned)((now_unix < 0 ? 0 : now_unix) / DAY_S % DAYS);
}

static int digit(char c)
{
    const char *at = c ? strchr(base32, ascii_lower(c)) : NULL;

    return at ? (int)(at - base32) : -1;
}

static bool too_long(struct err *e)
{
    return fail(e, ERR_SYNTAX, "the sender's address is too long to be rewritten");
}

// What is signed, at the end of the new localpart: "day=domain=local", or "host=rest".
static bool put(const unsigned char key[SRS_KEY_BYTES], const char *tag, struct str signed_text,
                struct buf *out, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);

    if (signed_text.n > MAX_LOCALPART)
        return too_long(e);
    buf_put(out, str_of(tag));
    put_hash(&a, key, signed_text, out);
    BUF_PUT(out, "=");
    buf_put(out, signed_text);
    return true;
}

bool srs_is(struct str localpart)
{
    char separator = localpart.n > 4 ? localpart.p[4] : 0;

    return (separator == '=' || separator == '+' || separator == '-') &&
           (str_eq_ci(str_sub(localpart, 0, 4), STR("SRS0")) ||
            str_eq_ci(str_sub(localpart, 0, 4), STR("SRS1")));
}

static bool is_second(struct str localpart)
{
    return srs_is(localpart) && localpart.p[3] == '1';
}

bool srs_forward(const unsigned char key[SRS_KEY_BYTES], int64_t now_unix, struct str localpart,
                 struct str domain, struct buf *out, struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(4096);
    unsigned day = day_of(now_unix);

    if (!localpart.n || !domain.n || str_find(domain, '=') != STR_NONE)
        return fail(e, ERR_SYNTAX, "no address to come back to");
    // Before anything is put together: a buffer that is full keeps less than it was given.
    if (localpart.n > MAX_LOCALPART || domain.n > MAX_LOCALPART)
        return too_long(e);
    if (is_second(localpart)) {
        // The first that rewrote it stays the one it goes back to; the hash before us was its sender's.
        ptrdiff_t end = str_find(str_from(localpart, 5), '=');

        if (end == STR_NONE)
            return fail(e, ERR_SYNTAX, "malformed SRS1 address");
        return put(key, "SRS1=", str_from(localpart, 5 + (size_t)end + 1), out, e);
    }
    if (srs_is(localpart)) {
        buf_put(&text, domain);
        BUF_PUT(&text, "=");
        buf_put(&text, str_from(localpart, 4)); // with its separator
        return put(key, "SRS1=", buf_str(&text), out, e);
    }
    buf_put_char(&text, base32[day >> 5 & 31]);
    buf_put_char(&text, base32[day & 31]);
    BUF_PUT(&text, "=");
    buf_put(&text, domain);
    BUF_PUT(&text, "=");
    buf_put(&text, localpart);
    return put(key, "SRS0=", buf_str(&text), out, e);
}

// The text behind a hash that is ours.
static bool check(const unsigned char key[SRS_KEY_BYTES], struct arena *a, struct str localpart,
                  struct str *out, struct err *e)
{
    AUTO_BUF hash = BUF_LIMIT(64);
    struct str rest = str_from(localpart, 5);

    if (localpart.n > 2 * MAX_LOCALPART || rest.n < HASH_CHARS + 2 || rest.p[HASH_CHARS] != '=')
        return fail(e, ERR_DENIED, "malformed SRS address");
    *out = str_from(rest, HASH_CHARS + 1);
    put_hash(a, key, *out, &hash);
    return str_eq_secret(arena_lower(a, str_sub(rest, 0, HASH_CHARS)), buf_str(&hash)) ||
           fail(e, ERR_DENIED, "the SRS address was not made here");
}

static bool is_fresh(struct str day, int64_t now_unix)
{
    int high = digit(day.p[0]), low = digit(day.p[1]);

    return high >= 0 && low >= 0 &&
           (day_of(now_unix) + DAYS - (unsigned)(high << 5 | low)) % DAYS <= SRS_DAYS;
}

bool srs_reverse(const unsigned char key[SRS_KEY_BYTES], int64_t now_unix, struct arena *a,
                 struct str localpart, struct str *out_localpart, struct str *out_domain,
                 struct err *e)
{
    struct str text;
    ptrdiff_t end;

    if (!srs_is(localpart))
        return fail(e, ERR_DENIED, "no SRS address");
    if (!check(key, a, localpart, &text, e))
        return false;
    if (is_second(localpart)) {
        end = str_find(text, '=');
        if (end <= 0)
            return fail(e, ERR_DENIED, "malformed SRS address");
        *out_domain = str_sub(text, 0, (size_t)end);
        *out_localpart = arena_printf(a, "SRS0%.*s", STR_FMT(str_from(text, (size_t)end + 1)));
        return srs_is(*out_localpart) || fail(e, ERR_DENIED, "malformed SRS address");
    }
    if (text.n < 4 || text.p[2] != '=' || !is_fresh(str_sub(text, 0, 2), now_unix))
        return fail(e, ERR_DENIED, "the SRS address is too old");
    text = str_from(text, 3);
    end = str_find(text, '=');
    if (end <= 0 || (size_t)end + 1 == text.n)
        return fail(e, ERR_DENIED, "malformed SRS address");
    *out_domain = str_sub(text, 0, (size_t)end);
    *out_localpart = str_from(text, (size_t)end + 1);
    return true;
}
