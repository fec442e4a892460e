#include <argon2.h>
#include <crypt.h>
#include <string.h>

#include "base/buf.h"
#include "crypto/crypto.h"
#include "os/clock.h"

// RFC 9106 and OWASP's second choice: 19 MiB, 2 passes, 1 lane.
enum { ARGON2_KIB = 19 * 1024, ARGON2_PASSES = 2, SALT_BYTES = 16, HASH_BYTES = 32, ENCODED = 200 };

bool password_hash(struct arena *a, struct str password, struct str *out, struct err *e)
{
    unsigned char salt[SALT_BYTES];
    char encoded[ENCODED];
    int rc;

    os_random(salt, sizeof salt);
    rc = argon2id_hash_encoded(ARGON2_PASSES, ARGON2_KIB, 1, password.p, password.n, salt,
                               sizeof salt, HASH_BYTES, encoded, sizeof encoded);
    if (rc != ARGON2_OK)
        return fail(e, ERR_TEMPORARY, "hash password: %s", argon2_error_message(rc));
    *out = arena_dup(a, str_of(encoded));
    return true;
}

// Upstream's accounts have bcrypt hashes ("$2a$10$...").
static bool verify_bcrypt(struct str hash, struct str password)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    const char *setting = arena_cstring(&a, hash);
    const char *phrase = arena_cstring(&a, password);
    struct crypt_data *data = ARENA_NEW(&a, struct crypt_data);
    const char *got;

    if (!setting || !phrase)
        return false;
    got = crypt_rn(phrase, setting, data, (int)sizeof *data);
    return got && str_eq_secret(str_of(got), hash);
}

bool password_verify(struct str hash, struct str password)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    const char *encoded;

    if (password.n > PASSWORD_MAX_BYTES)
        return false;
    if (str_starts(hash, STR("$2")))
        return verify_bcrypt(hash, password);
    encoded = arena_cstring(&a, str_sub(hash, 0, 1000));
    return encoded && argon2id_verify(encoded, password.p, password.n) == ARGON2_OK;
}

bool password_check_rules(struct str password, struct err *e)
{
    if (password.n < PASSWORD_MIN_BYTES)
        return fail(e, ERR_SYNTAX, "password must be at least %d bytes", PASSWORD_MIN_BYTES);
    if (password.n > PASSWORD_MAX_BYTES)
        return fail(e, ERR_LIMIT, "password is longer than %d bytes", PASSWORD_MAX_BYTES);
    for (size_t i = 0; i < password.n; i++)
        if ((unsigned char)password.p[i] < 32 || password.p[i] == 127)
            return fail(e, ERR_SYNTAX, "password has a control character");
    return true;
}
