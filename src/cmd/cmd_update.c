/*
 * Lists of changes: made and signed by whoever publishes versions of this program.
 */
#include <stdio.h>

#include "cmd/verbs.h"
#include "crypto/crypto.h"
#include "os/file.h"
#include "policy/update.h"
#include "text/encode.h"

enum { MAX_KEY = 16 * 1024 };

static struct private_key *read_key(struct arena *a, const char *path, struct str *public,
                                    struct err *e)
{
    struct private_key *key;
    struct str pem;

    if (!os_read_file(a, path, MAX_KEY, &pem, e))
        return NULL;
    key = private_key_parse(pem, e);
    if (key && private_key_kind(key) == PRIVATE_KEY_ED25519 && private_key_public(a, key, public, e))
        return key;
    private_key_free(key);
    (void)fail(e, ERR_DENIED, "%s has no ed25519 private key", path);
    return NULL;
}

int cmd_updates_genkey(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct str key;
    struct err e = {0};

    (void)argv;
    if (argc > 1)
        return cmd_usage("updates genkey");
    if (!key_ed25519(&a, &key, &e))
        return cmd_fail(&e);
    fwrite(key.p, 1, key.n, stdout);
    return 0;
}

int cmd_updates_pubkey(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF text = BUF_LIMIT(1024);
    struct private_key *key;
    struct str public;
    struct err e = {0};

    if (argc != 2)
        return cmd_usage("updates pubkey");
    key = read_key(&a, argv[1], &public, &e);
    if (!key)
        return cmd_fail(&e);
    private_key_free(key);
    base64_encode(&text, public);
    printf("%.*s\n", STR_FMT(buf_str(&text)));
    return 0;
}

// The items of the list that there is, with a comma before each.
static bool put_older(struct buf *out, struct str changelog, struct str key, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    static const struct update_version none;
    struct update_change *changes;
    size_t n;
    ptrdiff_t from = str_find(changelog, '['), to = (ptrdiff_t)changelog.n - 1;

    // Only our own list, in our own form, is added to.
    if (!update_changelog_parse(&a, changelog, key, &none, &changes, &n, e))
        return false;
    while (to > from && changelog.p[to] != ']')
        to--;
    if (from >= 0 && n) {
        BUF_PUT(out, ",\n");
        buf_put(out, str_trim(str_sub(changelog, (size_t)from + 1, (size_t)(to - from - 1))));
    }
    return true;
}

static bool add_signed(struct arena *a, const char *key_path, const char *path, struct str text,
                       struct buf *out, struct err *e)
{
    static const struct update_version none;
    struct update_change *changes;
    struct private_key *key;
    struct str public, older;
    size_t n;
    bool is_ok;

    if (!os_read_file(a, path, UPDATE_MAX_CHANGELOG, &older, e))
        return false;
    key = read_key(a, key_path, &public, e);
    if (!key)
        return false;
    BUF_PUT(out, "{\"Changes\": [\n");
    is_ok = update_change_put(out, key, text, e);
    private_key_free(key);
    if (!is_ok || (older.n && !put_older(out, older, public, e)))
        return false;
    BUF_PUT(out, "\n]}\n");
    // What is not newer than the last, or no longer fits, nobody would take.
    return update_changelog_parse(a, buf_str(out), public, &none, &changes, &n, e);
}

int cmd_updates_addsigned(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    AUTO_BUF text = BUF_LIMIT(64 * 1024), out = BUF_LIMIT(2 * UPDATE_MAX_CHANGELOG);
    struct err e = {0};

    if (argc != 3)
        return cmd_usage("updates addsigned");
    if (!cmd_read_stdin(&text, "the change", &e) ||
        !add_signed(&a, argv[1], argv[2], buf_str(&text), &out, &e) ||
        !os_write_file(argv[2], buf_str(&out), 0644, &e))
        return cmd_fail(&e);
    return 0;
}

int cmd_updates_verify(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    AUTO_BUF json = BUF_LIMIT(UPDATE_MAX_CHANGELOG), key = BUF_LIMIT(ED25519_BYTES);
    static const struct update_version none;
    struct update_change *changes;
    size_t n;
    struct err e = {0};

    if (argc != 2)
        return cmd_usage("updates verify");
    if (!base64_decode_strict(&key, str_of(argv[1])) || key.full)
        (void)fail(&e, ERR_SYNTAX, "the key must be %d octets in base64", ED25519_BYTES);
    if (e.kind || !cmd_read_stdin(&json, "the list of changes", &e) ||
        !update_changelog_parse(&a, buf_str(&json), buf_str(&key), &none, &changes, &n, &e))
        return cmd_fail(&e);
    printf("%zu changes, all signed by this key\n", n);
    for (size_t i = 0; i < n; i++)
        printf("\n%.*s", STR_FMT(changes[i].text));
    return 0;
}
