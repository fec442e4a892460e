/*
 * serve and localserve.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/paths.h"
#include "cmd/verbs.h"
#include "config/config.h"
#include "crypto/crypto.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/net.h"
#include "role/auth/credentials.h"
#include "role/monitor/monitor.h"
#include "base/log.h"

int cmd_serve(int argc, char **argv)
{
    struct monitor_options o = {.config_path = cmd_options.config_path,
                                .log_level = cmd_options.log_level,
                                .is_pedantic = cmd_options.pedantic};
    const struct cmd_flag flags[] = {{"without-landlock", NULL, &o.may_lack_landlock}};
    int at = cmd_flags(argc, argv, flags, COUNT(flags));

    if (at < 0 || at < argc)
        return cmd_usage("serve");
    return monitor_run(&o);
}

/* --- localserve (mox-imap-store-cli-config.md 3.6) -------------------------------------------------- */

enum { CERTIFICATE_DAYS = 4 * 365, FILE_MODE = 0600 };

static bool default_dir(struct arena *a, struct str *out, struct err *e)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    if (config && config[0] == '/')
        *out = arena_printf(a, "%s/mox-localserve", config);
    else if (home && home[0] == '/')
        *out = arena_printf(a, "%s/.config/mox-localserve", home);
    else
        return fail(e, ERR_NOT_FOUND, "neither HOME nor XDG_CONFIG_HOME is set: use -dir");
    return true;
}

static bool write_config(const char *ip, struct err *e)
{
    AUTO_BUF main = BUF_LIMIT(1 << 20);
    AUTO_BUF domains = BUF_LIMIT(1 << 20);
    struct str ips[2] = {STR_("127.0.0.1"), STR_("::1")};
    unsigned char unused[16];

    if (ip) {
        ips[0] = str_of(ip);
        if (!net_parse_ip(ips[0], unused))
            return fail(e, ERR_SYNTAX, "%s is no IP address", ip);
    }
    config_localserve(&main, &domains, ips, ip ? 1 : 2);
    return os_write_file("domains.conf", buf_str(&domains), FILE_MODE, e) &&
           os_write_file("mox.conf", buf_str(&main), FILE_MODE, e);
}

static bool write_keys(struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct str cert, key, dkim;

    return cert_self_signed(&a, STR("localhost"), CERTIFICATE_DAYS, &cert, &key, e) &&
           key_ed25519(&a, &dkim, e) && os_write_file("localhost.key", key, FILE_MODE, e) &&
           os_write_file("localhost.crt", cert, FILE_MODE, e) &&
           os_write_file("dkim.localserve.privatekey.pkcs8.pem", dkim, FILE_MODE, e);
}

static bool write_passwords(struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct credentials *c;
    struct str admin;
    bool is_ok;

    if (!password_hash(&a, STR("moxadmin"), &admin, e) ||
        !os_write_file("adminpasswd", admin, FILE_MODE, e) ||
        !os_make_dirs("data/auth", 0700, e) || chdir("data/auth"))
        return e->kind ? false : fail_errno(e, "data/auth");
    c = credentials_open(e);
    is_ok = c && credentials_set(c, STR("mox"), STR("moxmoxmox"), e);
    credentials_close(c);
    return chdir("../..") == 0 ? is_ok : fail_errno(e, "changing directories");
}

// mox.conf is written last but one: with it there, the directory counts as complete.
static bool prepare(const char *ip, struct err *e)
{
    mode_t old;
    bool is_ok;

    if (access("mox.conf", F_OK) == 0)
        return true;
    old = umask(077); // as the roles have it
    is_ok = write_keys(e) && write_passwords(e) && os_make_dirs("web", 0700, e) && write_config(ip, e);
    umask(old);
    return is_ok;
}

static const char *served_dir;
static char served_at[64] = "localhost"; // the address of the first listener, if that is another

static void find_address(void)
{
    static const char *const local[] = {"127.0.0.1", "::1"};
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    const struct sconf_node *listeners, *ip;
    struct config config;
    struct err e = {0};

    cmd_options.config_path = "mox.conf";
    if (!paths_load(&a, &config, &problems, &e))
        return; // the server says what is wrong, and does not start
    listeners = sconf_get(config.main.root, "Listeners");
    ip = listeners && listeners->child ? sconf_get(listeners->child, "IPs") : NULL;
    if (!ip || !ip->child || str_eq(ip->child->value, str_of(local[0])) || str_eq(ip->child->value, str_of(local[1])))
        return;
    snprintf(served_at, sizeof served_at, str_find(ip->child->value, ':') == STR_NONE ? "%.*s" : "[%.*s]",
             STR_FMT(ip->child->value));
}

static void print_banner(void)
{
    fprintf(stderr,
            "\nmox localserve, everything is in %s\n\n"
            "    account    mox, address mox@localhost, password moxmoxmox\n"
            "    SMTP       %s:1025, takes mail for every address; localparts that end in\n"
            "               temperror, permerror, timeout or three digits, such as user452, fail so\n"
            "    submission %s:1587 with or without STARTTLS, %s:1465 with TLS\n"
            "    IMAP       %s:1143 with or without STARTTLS, %s:1993 with TLS\n\n"
            "To start afresh, remove the directory. To stop: ctrl-c, or mox stop.\n\n",
            served_dir, served_at, served_at, served_at, served_at, served_at);
}

int cmd_localserve(int argc, char **argv)
{
    static struct arena a = ARENA_LIMIT(1 << 20);
    const char *dir = NULL, *ip = NULL;
    bool is_init_only = false;
    const struct cmd_flag flags[] = {{"dir", &dir, NULL}, {"ip", &ip, NULL},
                                     {"initonly", NULL, &is_init_only}};
    struct monitor_options o = {.config_path = "mox.conf", .is_localserve = true,
                                .is_pedantic = cmd_options.pedantic, .ready = print_banner,
                                .log_level = cmd_options.log_level};
    struct err e = {0};
    struct str path;
    int at = cmd_flags(argc, argv, flags, COUNT(flags));

    if (at < 0 || at < argc)
        return cmd_usage("localserve");
    if (dir)
        path = str_of(dir);
    else if (!default_dir(&a, &path, &e))
        return cmd_fail(&e);
    served_dir = arena_cstring(&a, path);
    if (!os_make_dirs(served_dir, 0700, &e))
        return cmd_fail(&e);
    if (chdir(served_dir)) {
        (void)fail_errno(&e, "entering %s", served_dir);
        return cmd_fail(&e);
    }
    if (ip && access("mox.conf", F_OK) == 0)
        cmd_say(stderr, "-ip is for a new directory: %s/mox.conf stays as it is\n", served_dir);
    if (!prepare(ip, &e))
        return cmd_fail(&e);
    if (is_init_only) {
        printf("%s is ready\n", served_dir);
        return 0;
    }
    find_address();
    if (!o.log_level)
        o.log_level = "debug"; // the file says traceauth, for those who ask for it
    return monitor_run(&o);
}
