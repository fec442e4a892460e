#include "cmd/paths.h"

#include <fcntl.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "os/fd.h"
#include "os/file.h"

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

bool paths_load(struct arena *a, struct config *out, struct buf *problems, struct err *e)
{
    struct str main, domains, name = domains_path(a);

    if (!os_read_file(a, cmd_options.config_path, SCONF_MAX_BYTES, &main, e) ||
        !os_read_file(a, arena_cstring(a, name), SCONF_MAX_BYTES, &domains, e))
        return false;
    return config_load(a, str_of(cmd_options.config_path), main, name, domains, out, problems) ||
           fail(e, ERR_SYNTAX, "the configuration has errors");
}

bool paths_read_named(struct arena *a, struct str name, size_t limit, struct str *out, struct err *e)
{
    struct str path = name.n && name.p[0] == '/'
                          ? name : arena_printf(a, "%.*s%.*s", STR_FMT(paths_config_dir()), STR_FMT(name));

    const char *file = arena_cstring(a, path);

    return file ? os_read_file(a, file, limit, out, e) : fail(e, ERR_SYNTAX, "no name of a file");
}

bool paths_enter_account(struct arena *a, struct str data_dir, struct str account, struct err *e)
{
    const char *path = arena_cstring(
        a, arena_printf(a, "%.*s/accounts/%.*s", STR_FMT(data_dir), STR_FMT(account)));

    if (!account.n || str_find(account, '/') != STR_NONE || str_starts(account, STR(".")) || !path)
        return fail(e, ERR_NOT_FOUND, "no such account");
    return chdir(path) == 0 || fail_errno(e, "entering account %s", path);
}

bool paths_data_dir(struct arena *a, struct str *out, struct err *e)
{
    AUTO_BUF ignored = BUF_LIMIT(1 << 20);
    struct problems problems = {&ignored, 0};
    struct sconf file;
    struct str text, dir;

    if (!os_read_file(a, cmd_options.config_path, SCONF_MAX_BYTES, &text, e))
        return false;
    sconf_parse(a, str_of(cmd_options.config_path), text, &file, &problems);
    dir = sconf_text(file.root, "DataDir");
    if (!dir.n)
        return fail(e, ERR_SYNTAX, "%s has no DataDir", cmd_options.config_path);
    *out = dir.p[0] == '/' ? dir
                           : arena_printf(a, "%.*s%.*s", STR_FMT(paths_config_dir()), STR_FMT(dir));
    return true;
}

bool paths_lock_data(struct arena *a, struct str *out, int *lock, struct err *e)
{
    struct flock wanted = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const char *path;

    *lock = -1;
    if (!paths_data_dir(a, out, e))
        return false;
    path = arena_cstring(a, arena_printf(a, "%.*s/lock", STR_FMT(*out)));
    *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*lock < 0)
        return fail_errno(e, "opening %s", path);
    if (fcntl(*lock, F_OFD_SETLK, &wanted) == 0)
        return true;
    fd_close(lock);
    return fail(e, ERR_CONFLICT, "the server is running: stop it first");
}
