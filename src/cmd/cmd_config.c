/*
 * Verbs about the configuration files.
 */
#include <stdio.h>

#include "cmd/paths.h"
#include "cmd/verbs.h"
#include "crypto/crypto.h"
#include "os/user.h"

/* --- files that the configuration names ------------------------------------------------------------- */

enum { PEM_BYTES = 1 << 20 };

struct files {
    struct arena a;
    struct problems problems;
};

// False after a problem.
static bool read_named(struct files *f, const struct sconf *file, const struct sconf_node *at,
                       struct str *out)
{
    struct err e = {0};

    if (paths_read_named(&f->a, at->value, PEM_BYTES, out, &e))
        return true;
    problem_add(&f->problems, file, at, "%s", e.text);
    return false;
}

static void check_certificates(struct files *f, const struct config *c)
{
    SCONF_EACH (l, sconf_get(c->main.root, "Listeners"))
        SCONF_EACH (pair, sconf_get(sconf_get(l, "TLS"), "KeyCerts")) {
            const struct sconf_node *cert = sconf_get(pair, "CertFile");
            const struct sconf_node *key = sconf_get(pair, "KeyFile");
            struct str cert_pem, key_pem;
            struct err e = {0};
            bool has_cert = cert && read_named(f, &c->main, cert, &cert_pem);

            if (key && read_named(f, &c->main, key, &key_pem) && has_cert &&
                !cert_fits_key(cert_pem, key_pem, &e))
                problem_add(&f->problems, &c->main, pair, "%.*s and %.*s: %s", STR_FMT(cert->value),
                            STR_FMT(key->value), e.text);
        }
}

static void check_host_keys(struct files *f, const struct config *c)
{
    SCONF_EACH (l, sconf_get(c->main.root, "Listeners"))
        SCONF_EACH (at, sconf_get(sconf_get(l, "TLS"), "HostPrivateKeyFiles")) {
            struct private_key *k;
            struct err e = {0};
            struct str pem;

            if (!read_named(f, &c->main, at, &pem))
                continue;
            k = private_key_parse(pem, &e);
            if (!k)
                problem_add(&f->problems, &c->main, at, "%.*s: %s", STR_FMT(at->value), e.text);
            private_key_free(k);
        }
}

// Only who is named: without a name it is "mox" for a server that root starts, and nobody for others.
static void check_user(struct files *f, const struct config *c)
{
    const struct sconf_node *at = sconf_get(c->main.root, "User");
    const char *name = at && at->value.n ? arena_cstring(&f->a, at->value) : NULL;
    struct os_user user;
    struct err e = {0};

    if (name && !os_user_find(name, &user, &e))
        problem_add(&f->problems, &c->main, at, "%s", e.text);
}

static void check_dkim_keys(struct files *f, const struct config *c)
{
    SCONF_EACH (d, sconf_get(c->domains.root, "Domains"))
        SCONF_EACH (s, sconf_get(sconf_get(d, "DKIM"), "Selectors")) {
            const struct sconf_node *at = sconf_get(s, "PrivateKeyFile");
            enum dkim_algorithm algorithm;
            struct private_key *k;
            struct err e = {0};
            struct str pem;

            if (!at || !read_named(f, &c->domains, at, &pem))
                continue;
            k = dkim_private_key(pem, &algorithm, &e);
            if (!k)
                problem_add(&f->problems, &c->domains, at, "%.*s: %s", STR_FMT(at->value), e.text);
            private_key_free(k);
        }
}

int cmd_config_test(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(512 << 20);
    AUTO_BUF problems = BUF_LIMIT(4 << 20);
    struct files f = {.a = ARENA_LIMIT(256 << 20), .problems = {&problems, 0}};
    struct config config;
    struct err e = {0};

    (void)argv;
    if (argc > 1)
        return cmd_usage("config test");
    if (!paths_load(&a, &config, &problems, &e)) {
        if (problems.n) {
            fwrite(problems.p, 1, problems.n, stderr);
            (void)fail(&e, ERR_SYNTAX, "the configuration has errors");
        }
        return cmd_fail(&e);
    }
    check_user(&f, &config);
    check_certificates(&f, &config);
    check_host_keys(&f, &config);
    check_dkim_keys(&f, &config);
    arena_fini(&f.a);
    if (f.problems.n) {
        fwrite(problems.p, 1, problems.n, stderr);
        (void)fail(&e, ERR_SYNTAX, "the configuration names what cannot be used");
        return cmd_fail(&e);
    }
    config_put_idle(&config, &problems);
    if (problems.n)
        fwrite(problems.p, 1, problems.n, stderr);
    puts("config OK");
    return 0;
}

static int describe(const struct schema *s)
{
    AUTO_BUF out = BUF_LIMIT(4 << 20);

    schema_describe(s, &out);
    fwrite(out.p, 1, out.n, stdout);
    return 0;
}

int cmd_config_describe_static(int argc, char **argv)
{
    (void)argv;
    return argc > 1 ? cmd_usage("config describe-static") : describe(&schema_static);
}

int cmd_config_describe_domains(int argc, char **argv)
{
    (void)argv;
    return argc > 1 ? cmd_usage("config describe-domains") : describe(&schema_dynamic);
}
