#include "cmd/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "os/fd.h"
#include "os/file.h"
#include "text/idna.h"

struct str paths_config_dir(void)
{
    struct str path = str_of(cmd_options.config_path);
    ptrdiff_t slash = str_find_last(path, '/');

    return str_sub(path, 0, (size_t)(slash + 1));
}

static struct str domains_path(struct arena *a)
{
    return arena_printf(a, "%.*sdomains.conf", STR_FMT(paths_config_dir()));
}

static bool read_main(struct arena *a, struct str *out, struct err *e)
{
    const char *path = cmd_options.config_path;

    if (os_read_file(a, path, SCONF_MAX_BYTES, out, e))
        return true;
    return e->kind != ERR_NOT_FOUND ? false
           : fail(e, ERR_NOT_FOUND, "there is no %s: -config names another, \"mox quickstart\" makes one", path);
}

bool paths_load(struct arena *a, struct config *out, struct buf *problems, struct err *e)
{
    struct str main, domains, name = domains_path(a);

    if (!read_main(a, &main, e) ||
        !os_read_file(a, arena_cstring(a, name), SCONF_MAX_BYTES, &domains, e))
        return false;
    return config_load(a, str_of(cmd_options.config_path), main, name, domains, out, problems) ||
           fail(e, ERR_SYNTAX, "the configuration has errors, see \"mox config test\"");
}

bool paths_domain(struct arena *a, const struct config *c, const char *name, const struct sconf_node **out,
                  struct err *e)
{
    struct str wanted, own;
    struct err none = {0};

    if (!domain_to_ascii(a, str_of(name), &wanted, e))
        return false;
    SCONF_EACH (n, sconf_get(c->domains.root, "Domains"))
        if (domain_to_ascii(a, n->key, &own, &none) && str_eq(own, wanted)) {
            *out = n;
            return true;
        }
    return fail(e, ERR_NOT_FOUND, "no domain \"%s\" in domains.conf", name);
}

struct str paths_named(struct arena *a, struct str name)
{
    return name.n && name.p[0] == '/' ? name
                                      : arena_printf(a, "%.*s%.*s", STR_FMT(paths_config_dir()), STR_FMT(name));
}

bool paths_read_named(struct arena *a, struct str name, size_t limit, struct str *out, struct err *e)
{
    const char *file = arena_cstring(a, paths_named(a, name));

    return file ? os_read_file(a, file, limit, out, e) : fail(e, ERR_SYNTAX, "no name of a file");
}

static bool account_path(struct arena *a, struct str data_dir, struct str account, const char **out,
                         struct err *e)
{
    *out = arena_cstring(a, arena_printf(a, "%.*s/accounts/%.*s", STR_FMT(data_dir), STR_FMT(account)));
    return (account.n && str_find(account, '/') == STR_NONE && !str_starts(account, STR(".")) && *out) ||
           fail(e, ERR_NOT_FOUND, "no such account");
}

bool paths_open_account(struct arena *a, struct str data_dir, struct str account, int *out, struct err *e)
{
    const char *path;

    if (!account_path(a, data_dir, account, &path, e))
        return false;
    *out = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*out < 0 && errno == ENOENT)
        return fail(e, ERR_NOT_FOUND, "no account \"%.*s\", or it has no mail yet: there is no %s", STR_FMT(account), path);
    return *out >= 0 || fail_errno(e, "opening account %s", path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool paths_accounts(struct arena *a, struct str data_dir, struct paths_names *out, struct err *e)
{
    const char *path = arena_cstring(a, arena_printf(a, "%.*s/accounts", STR_FMT(data_dir)));
    DIR *dir = path ? opendir(path) : NULL;
    struct dirent *entry;

    if (!dir)
        return fail_errno(e, "opening %s", path ? path : "accounts in the data directory");
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            *ARENA_PUSH(a, out->items, &out->n, &out->cap) = arena_cstring(a, str_of(entry->d_name));
    closedir(dir);
    if (out->n)
        qsort(out->items, out->n, sizeof *out->items, by_name);
    return true;
}

bool paths_data_dir(struct arena *a, struct str *out, struct err *e)
{
    AUTO_BUF ignored = BUF_LIMIT(1 << 20);
    struct problems problems = {&ignored, 0};
    struct sconf file;
    struct str text, dir;

    if (!read_main(a, &text, e))
        return false;
    sconf_parse(a, str_of(cmd_options.config_path), text, &file, &problems);
    dir = sconf_text(file.root, "DataDir");
    if (!dir.n)
        return fail(e, ERR_SYNTAX, "%s has no DataDir", cmd_options.config_path);
    *out = dir.p[0] == '/' ? dir
                           : arena_printf(a, "%.*s%.*s", STR_FMT(paths_config_dir()), STR_FMT(dir));
    return true;
}

bool paths_lock(struct arena *a, struct str data_dir, int *lock, struct err *e)
{
    struct flock wanted = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const char *path = arena_cstring(a, arena_printf(a, "%.*s/lock", STR_FMT(data_dir)));

    *lock = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    if (*lock < 0)
        return fail_errno(e, "opening %s", path ? path : "the lock");
    if (fcntl(*lock, F_OFD_SETLK, &wanted) == 0)
        return true;
    fd_close(lock);
    return fail(e, ERR_CONFLICT, "the server is running: stop it first");
}

bool paths_lock_data(struct arena *a, struct str *out, int *lock, struct err *e)
{
    *lock = -1;
    return paths_data_dir(a, out, e) && paths_lock(a, *out, lock, e);
}
