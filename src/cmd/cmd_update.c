/*
 * Newer versions of this program: looked for, and lists of changes made by whoever publishes them.
 */
#include <stdio.h>

#include "cmd/own_dns.h"
#include "cmd/own_https.h"
#include "cmd/paths.h"
#include "cmd/verbs.h"
#include "crypto/crypto.h"
#include "os/file.h"
#include "policy/update.h"
#include "text/encode.h"
#include "text/idna.h"

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

/* --- looking for one ------------------------------------------------------------------------------ */

static void print_version(const char *name, const struct update_version *v)
{
    AUTO_BUF text = BUF_LIMIT(100);

    update_version_put(&text, v);
    printf("%s: %.*s\n", name, STR_FMT(buf_str(&text)));
}

static bool find_updates(struct arena *a, struct config *config, const struct sconf_node **out,
                         struct err *e)
{
    AUTO_BUF problems = BUF_LIMIT(1 << 16);

    if (!paths_load(a, config, &problems, e)) {
        if (problems.n)
            fwrite(problems.p, 1, problems.n, stderr);
        return false;
    }
    *out = sconf_get(config->main.root, "Updates");
    return *out || fail(e, ERR_NOT_FOUND, "mox.conf has no Updates section that says where to look");
}

static bool print_changes(struct arena *a, const struct dns *dns, const struct config *config,
                          const struct sconf_node *updates, const struct update_version *own, struct err *e)
{
    AUTO_BUF key = BUF_LIMIT(ED25519_BYTES);
    struct update_change *changes;
    struct str text = update_changelog_url(a, sconf_text(updates, "ChangelogURL"), STR("v" MOX_VERSION));
    struct own_trust trust;
    struct own_https how = {&trust, .max_body = UPDATE_MAX_CHANGELOG};
    struct str body;
    struct url url;
    size_t n;

    if (!base64_decode_strict(&key, sconf_text(updates, "PublicKey")) || !url_parse(text, &url, e) ||
        !own_trust_of(a, config, &trust, e) || !own_https_get(a, dns, &url, &how, &body, e) ||
        !update_changelog_parse(a, body, buf_str(&key), own, &changes, &n, e))
        return fail_in(e, "%.*s", STR_FMT(text));
    for (size_t i = 0; i < n; i++)
        printf("\n%.*s", STR_FMT(changes[i].text));
    return true;
}

static bool check(struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    const struct sconf_node *updates;
    struct update_version own, latest;
    struct config config;
    struct str domain;
    struct dns dns;

    if (!find_updates(&a, &config, &updates, e) ||
        !domain_to_ascii(&a, sconf_text(updates, "Domain"), &domain, e))
        return false;
    if (!update_version_parse(STR(MOX_VERSION), &own))
        return fail(e, ERR_BUG, "this program has no version");
    crypto_warm_tls();
    if (!own_dns_open(&dns, e) || !update_find(&dns, &a, domain, &latest, e))
        return false;
    print_version("current version", &own);
    print_version("latest version", &latest);
    fflush(stdout);
    return update_version_compare(&latest, &own) <= 0 || print_changes(&a, &dns, &config, updates, &own, e);
}

int cmd_checkupdate(int argc, char **argv)
{
    struct err e = {0};

    (void)argv;
    if (argc > 1)
        return cmd_usage("checkupdate");
    return check(&e) ? 0 : cmd_fail(&e);
}
