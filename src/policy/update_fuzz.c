/*
 * Newer versions: the first byte chooses, the rest is a record, a list of changes, or a change that we sign:
 * what we sign can be read again, and what is served of a list, too.
 */
#include <stdint.h>

#include "base/die.h"
#include "crypto/crypto.h"
#include "policy/update.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_own(struct arena *a, struct str text)
{
    static const struct update_version none;
    AUTO_BUF json = BUF_LIMIT(4 << 20);
    struct update_change *changes;
    struct private_key *key;
    struct str pem, public;
    size_t n;
    struct err e = {0};

    if (!key_ed25519(a, &pem, &e))
        die("%s", e.text);
    key = private_key_parse(pem, &e);
    if (!key || !private_key_public(a, key, &public, &e))
        die("%s", e.text);
    BUF_PUT(&json, "{\"Changes\": [");
    if (update_change_put(&json, key, text, &e)) {
        BUF_PUT(&json, "]}");
        if (!update_changelog_parse(a, buf_str(&json), public, &none, &changes, &n, &e)) {
            if (e.kind != ERR_LIMIT)
                die("our own change cannot be read: %s", e.text);
        } else if (n == 1 && !str_eq(changes[0].text, text))
            die("the change is not the same");
    }
    private_key_free(key);
}

static void check_version(const struct update_version *v)
{
    AUTO_BUF text = BUF_LIMIT(100);
    struct update_version again;

    update_version_put(&text, v);
    if (!update_version_parse(buf_str(&text), &again) || update_version_compare(v, &again))
        die("the version is not the same");
}

static void check_served(struct str json)
{
    AUTO_BUF once = BUF_LIMIT(4 << 20), again = BUF_LIMIT(4 << 20);

    if (!update_changelog_since(&once, json, NULL, NULL))
        return;
    if (!update_changelog_since(&again, buf_str(&once), NULL, NULL) || !str_eq(buf_str(&once), buf_str(&again)))
        die("what is served of a list is another one");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char key[ED25519_BYTES] = "not a key that anybody has used";
    static const struct update_version none;
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct update_change *changes;
    struct update_version v;
    struct str rest;
    size_t n;

    if (!size || size > 100000)
        return 0;
    rest = str_at(data + 1, size - 1);
    if (data[0] % 3 == 0) {
        if (update_record_parse(rest, &v, NULL))
            check_version(&v);
    } else if (data[0] % 3 == 1) {
        if (update_changelog_parse(&a, rest, str_at(key, sizeof key), &none, &changes, &n, NULL) && n)
            die("a change that nobody has signed");
        check_served(rest);
    } else
        check_own(&a, rest);
    return 0;
}
