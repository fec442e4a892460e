/*
 * SQLite in a process that may open nothing: what it would ask the kernel by a path, it asks somebody else.
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/die.h"
#include "db/db.h"
#include "os/fd.h"

static struct db_opener opener;

static int open_file(const char *path, int flags, int mode)
{
    return opener.open(opener.ctx, path, flags, (mode_t)mode);
}

static int stat_file(const char *path, struct stat *st)
{
    AUTO_FD fd = opener.open(opener.ctx, path, O_PATH, 0);

    return fd < 0 ? -1 : fstat(fd, st);
}

static int access_file(const char *path, int how)
{
    struct stat st;

    (void)how;
    return stat_file(path, &st);
}

static int remove_file(const char *path)
{
    return opener.remove(opener.ctx, path);
}

// Of the parts of a path, whether they are links: there is no such thing here. It is not looked for further then.
static int stat_link(const char *path, struct stat *st)
{
    (void)path, (void)st;
    errno = ENOENT;
    return -1;
}

static ssize_t read_link(const char *path, char *out, size_t n)
{
    (void)path, (void)out, (void)n;
    errno = EINVAL;
    return -1;
}

static char *current_directory(char *out, size_t n)
{
    static const char current[] = "/0";

    if (n < sizeof current)
        return NULL;
    memcpy(out, current, sizeof current);
    return out;
}

// Who makes and removes files syncs their directory, too. SQLite takes this for an answer.
static int open_directory(const char *path, int *fd)
{
    (void)path;
    *fd = -1;
    return SQLITE_CANTOPEN;
}

void db_open_by(const struct db_opener *o)
{
    static const struct {
        const char *name;
        sqlite3_syscall_ptr fn;
    } calls[] = {
        {"open", (sqlite3_syscall_ptr)open_file},     {"stat", (sqlite3_syscall_ptr)stat_file},
        {"access", (sqlite3_syscall_ptr)access_file}, {"unlink", (sqlite3_syscall_ptr)remove_file},
        {"lstat", (sqlite3_syscall_ptr)stat_link},    {"readlink", (sqlite3_syscall_ptr)read_link},
        {"getcwd", (sqlite3_syscall_ptr)current_directory}, {"openDirectory", (sqlite3_syscall_ptr)open_directory},
    };
    sqlite3_vfs *vfs;
    int seed;

    opener = *o;
    sqlite3_randomness(sizeof seed, &seed); // of a file that cannot be opened later
    vfs = sqlite3_vfs_find(NULL);
    for (size_t i = 0; i < COUNT(calls); i++)
        if (!vfs || vfs->xSetSystemCall(vfs, calls[i].name, calls[i].fn) != SQLITE_OK)
            die("SQLite cannot be told who opens its files");
}
