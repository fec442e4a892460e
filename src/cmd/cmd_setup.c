/*
 * Small verbs for setting up a server.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/client_table.h"
#include "cmd/host_keys.h"
#include "cmd/paths.h"
#include "cmd/service_unit.h"
#include "cmd/verbs.h"
#include "crypto/crypto.h"
#include "os/clock.h"
#include "os/file.h"
#include "text/idna.h"

enum { MAX_KEY_FILE = 64 * 1024 };

static bool load(struct arena *a, struct config *out, struct err *e)
{
    AUTO_BUF problems = BUF_LIMIT(4 << 20);

    if (paths_load(a, out, &problems, e))
        return true;
    if (problems.n)
        fwrite(problems.p, 1, problems.n, stderr);
    return false;
}

static bool set_admin_password(struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(256 << 20);
    char room[2048] = {0};
    struct config config;
    struct str file, password, hash;
    const char *path;

    if (!load(&a, &config, e))
        return false;
    file = sconf_text(config.main.root, "AdminPasswordFile");
    if (!file.n)
        return fail(e, ERR_NOT_FOUND, "mox.conf has no AdminPasswordFile");
    path = arena_cstring(&a, paths_named(&a, file));
    return cmd_read_password(room, sizeof room, &password, e) && password_check_rules(password, e) &&
           password_hash(&a, password, &hash, e) && os_write_file(path, hash, 0600, e);
}

int cmd_setadminpassword(int argc, char **argv)
{
    struct err e = {0};

    (void)argv;
    if (argc > 1)
        return cmd_usage("setadminpassword");
    if (!set_admin_password(&e))
        return cmd_fail(&e);
    puts("admin password changed");
    return 0;
}

int cmd_clientconfig(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(256 << 20);
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    const struct sconf_node *domain;
    struct config config;
    struct err e = {0};

    if (argc != 2)
        return cmd_usage("clientconfig");
    if (!load(&a, &config, &e) || !paths_domain(&a, &config, argv[1], &domain, &e) ||
        !client_table_put(&a, &config, domain, &out, &e))
        return cmd_fail(&e);
    fwrite(out.p, 1, out.n, stdout);
    return 0;
}

int cmd_config_printservice(int argc, char **argv)
{
    AUTO_BUF out = BUF_LIMIT(1 << 16);
    struct err e = {0};
    char *dir;

    (void)argv;
    if (argc > 1)
        return cmd_usage("config printservice");
    dir = realpath(".", NULL);
    if (!dir) {
        (void)fail_errno(&e, "finding the current directory");
        return cmd_fail(&e);
    }
    service_unit_put(&out, str_of(dir));
    free(dir);
    fwrite(out.p, 1, out.n, stdout);
    return 0;
}

/* --- examples --------------------------------------------------------------------------------------------- */

static const struct example {
    const char *name, *text;
} examples[] = {
    {"webhandlers",
     "# In domains.conf. Requests whose domain and path fit go to the first handler that does; a domain needs a\n"
     "# listener with WebserverHTTPS in mox.conf.\n"
     "\n"
     "# All requests for one domain to another, with the same path.\n"
     "WebDomainRedirects:\n"
     "\twww.example.org: example.org\n"
     "\n"
     "WebHandlers:\n"
     "\t# Files. / is index.html in web/example.org, from the directory that the server is started in.\n"
     "\t-\n"
     "\t\tLogName: files\n"
     "\t\tDomain: example.org\n"
     "\t\tPathRegexp: ^/\n"
     "\t\tCompress: true\n"
     "\t\tWebStatic:\n"
     "\t\t\tRoot: web/example.org\n"
     "\t\t\t# The next handler has those that are not there.\n"
     "\t\t\tContinueNotFound: true\n"
     "\t\t\tResponseHeaders:\n"
     "\t\t\t\tCache-Control: max-age=3600\n"
     "\n"
     "\t# /old/1 is at /new/1 now.\n"
     "\t-\n"
     "\t\tLogName: moved\n"
     "\t\tDomain: example.org\n"
     "\t\tPathRegexp: ^/old/\n"
     "\t\tWebRedirect:\n"
     "\t\t\tOrigPathRegexp: ^/old/(.*)\n"
     "\t\t\tReplacePath: /new/$1\n"
     "\t\t\tStatusCode: 307\n"
     "\n"
     "\t# An application on this machine, also its WebSockets. It gets /app/x as /x.\n"
     "\t-\n"
     "\t\tLogName: application\n"
     "\t\tDomain: example.org\n"
     "\t\tPathRegexp: ^/app/\n"
     "\t\tWebForward:\n"
     "\t\t\tStripPath: true\n"
     "\t\t\tURL: http://127.0.0.1:8888\n"
     "\n"
     "\t# Webmail under a domain of its own.\n"
     "\t-\n"
     "\t\tDomain: example.org\n"
     "\t\tPathRegexp: ^/mail/\n"
     "\t\tWebInternal:\n"
     "\t\t\tBasePath: /mail/\n"
     "\t\t\tService: webmail\n"},
    {"transport",
     "# In mox.conf: ways of delivering mail other than directly. In domains.conf, Routes of all mail, of a domain\n"
     "# or of an account say which is used; \"mox queue transport\" sets it for messages that wait.\n"
     "Transports:\n"
     "\t# By a provider's server, with a login.\n"
     "\trelay:\n"
     "\t\tSubmissions:\n"
     "\t\t\tHost: smtp.example.net\n"
     "\t\t\tAuth:\n"
     "\t\t\t\tUsername: you@example.net\n"
     "\t\t\t\tPassword: change me\n"
     "\t# Directly, from the addresses of another machine, by a SOCKS proxy there.\n"
     "\tproxy:\n"
     "\t\tSocks:\n"
     "\t\t\tAddress: 127.0.0.1:1080\n"
     "\t\t\tRemoteIPs:\n"
     "\t\t\t\t- 192.0.2.1\n"
     "\t\t\tRemoteHostname: proxy.example.org\n"
     "\n"
     "# In domains.conf:\n"
     "#Routes:\n"
     "#\t-\n"
     "#\t\tToDomain:\n"
     "#\t\t\t- example.com\n"
     "#\t\tTransport: relay\n"},
};

int cmd_config_example(int argc, char **argv)
{
    struct err e = {0};

    if (argc > 2)
        return cmd_usage("config example");
    for (size_t i = 0; i < COUNT(examples); i++)
        if (argc == 1)
            puts(examples[i].name);
        else if (strcmp(argv[1], examples[i].name) == 0) {
            fputs(examples[i].text, stdout);
            return 0;
        }
    if (argc == 1)
        return 0;
    (void)fail(&e, ERR_NOT_FOUND, "no example \"%s\"; there are:%s", argv[1], " webhandlers, transport");
    return cmd_fail(&e);
}

/* --- keys of hosts ------------------------------------------------------------------------------------------ */

struct host_file {
    struct str host, file;
    enum host_key_kind kind;
};
struct ensure {
    struct arena *a;
    const struct config *config;
    struct host_file *made; // one for all listeners of a name
    size_t n, cap;
    struct buf out;
};

static bool has_kind(struct ensure *en, const struct sconf_node *files, enum host_key_kind kind, bool *out,
                     struct err *e)
{
    *out = false;
    SCONF_EACH (f, files) {
        struct private_key *key;
        struct str pem;

        if (!paths_read_named(en->a, f->value, MAX_KEY_FILE, &pem, e))
            return false;
        key = private_key_parse(pem, e);
        if (!key)
            return fail_in(e, "%.*s", STR_FMT(f->value));
        *out = *out || (private_key_kind(key) == PRIVATE_KEY_RSA) == (kind == HOST_KEY_RSA);
        private_key_free(key);
    }
    return true;
}

static bool make_key(struct ensure *en, struct str host, enum host_key_kind kind, struct str *file, struct err *e)
{
    struct str pem;

    for (size_t i = 0; i < en->n; i++)
        if (en->made[i].kind == kind && str_eq(en->made[i].host, host)) {
            *file = en->made[i].file;
            return true;
        }
    if (!os_make_dirs(arena_cstring(en->a, paths_named(en->a, STR("hostkeys"))), 0700, e) ||
        !host_key_new(en->a, host, os_now_unix(), kind, file, &pem, e) ||
        !os_create_file(arena_cstring(en->a, paths_named(en->a, *file)), pem, 0600, e))
        return false;
    *ARENA_PUSH(en->a, en->made, &en->n, &en->cap) = (struct host_file){host, *file, kind};
    return true;
}

// What its section TLS needs, if it lacks something.
static bool ensure_listener(struct ensure *en, const struct sconf_node *l, struct err *e)
{
    const struct sconf_node *tls = sconf_get(l, "TLS"), *files = sconf_get(tls, "HostPrivateKeyFiles");
    struct str host = sconf_text(l, "Hostname"), added[HOST_KEY_KINDS];
    size_t n = 0;

    if (!host.n)
        host = en->config->hostname;
    else if (!domain_to_ascii(en->a, host, &host, e))
        return false;
    for (int kind = 0; kind < HOST_KEY_KINDS; kind++) {
        bool is_there;

        if (!has_kind(en, files, (enum host_key_kind)kind, &is_there, e))
            return false;
        if (!is_there && !make_key(en, host, (enum host_key_kind)kind, &added[n++], e))
            return false;
    }
    if (!n)
        return true;
    if (!en->out.n)
        BUF_PUT(&en->out, "Listeners:\n");
    buf_printf(&en->out, "\t%.*s:\n\t\tTLS:\n\t\t\tACME: %.*s\n\t\t\tHostPrivateKeyFiles:\n", STR_FMT(l->key),
               STR_FMT(sconf_text(tls, "ACME")));
    SCONF_EACH (f, files)
        buf_printf(&en->out, "\t\t\t\t- %.*s\n", STR_FMT(f->value));
    for (size_t i = 0; i < n; i++)
        buf_printf(&en->out, "\t\t\t\t- %.*s\n", STR_FMT(added[i]));
    return true;
}

// Nobody is told of them.
static void drop_made(struct ensure *en)
{
    for (size_t i = 0; i < en->n; i++)
        (void)unlink(arena_cstring(en->a, paths_named(en->a, en->made[i].file)));
}

int cmd_config_ensurekeys(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(256 << 20);
    struct ensure en = {.a = &a, .out = BUF_LIMIT(1 << 20)};
    struct config config;
    struct err e = {0};
    bool is_ok;

    (void)argv;
    if (argc > 1)
        return cmd_usage("config ensureacmehostprivatekeys");
    en.config = &config;
    is_ok = load(&a, &config, &e);
    SCONF_EACH (l, is_ok ? sconf_get(config.main.root, "Listeners") : NULL)
        if (is_ok && sconf_text(sconf_get(l, "TLS"), "ACME").n)
            is_ok = ensure_listener(&en, l, &e);
    if (!is_ok)
        drop_made(&en);
    if (is_ok && en.out.n)
        printf("Keys were made. In mox.conf, these listeners need the lines of HostPrivateKeyFiles, and the DNS the\n"
               "TLSA records that \"mox config dnsrecords\" prints then:\n\n%.*s", STR_FMT(buf_str(&en.out)));
    else if (is_ok)
        puts("All listeners with ACME have keys of both kinds.");
    buf_fini(&en.out);
    return is_ok ? 0 : cmd_fail(&e);
}
