#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/fd.h"

enum { MAX_PATH = 1024, MAX_TRIES = 1000 };

bool os_read_fd(struct arena *a, int fd, size_t limit, struct str *out, struct err *e)
{
    off_t end = lseek(fd, 0, SEEK_END); // not fstat: the C library has no call for it that all may use
    size_t n = 0, size;
    char *p, first;

    // The end of a directory is anywhere, or nowhere, as its file system has it.
    if ((end < 0 || (uint64_t)end > limit) && pread(fd, &first, 1, 0) < 0 && errno == EISDIR)
        return fail(e, ERR_SYNTAX, "it is a directory");
    if (end < 0)
        return fail_errno(e, "looking for its end");
    if ((uint64_t)end > limit)
        return fail(e, ERR_LIMIT, "larger than %zu bytes", limit);
    size = (size_t)end;
    p = arena_alloc(a, size);
    while (n < size) {
        ssize_t got = pread(fd, p + n, size - n, (off_t)n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EISDIR ? fail(e, ERR_SYNTAX, "it is a directory") : fail_errno(e, "read");
        if (got == 0)
            break; // it has become shorter
        n += (size_t)got;
    }
    *out = str_at(p, n);
    return true;
}

bool os_read_file(struct arena *a, const char *path, size_t limit, struct str *out, struct err *e)
{
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return fail_errno(e, "%s", path);
    return os_read_fd(a, fd, limit, out, e) || fail_in(e, "%s", path);
}

int os_open_beneath_flags(int dir_fd, const char *path, unsigned flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};

    int fd = -1;

    // EAGAIN: a path with ".." in it, while somebody has renamed something, anywhere.
    for (int i = 0; i < MAX_TRIES; i++) {
        fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    return fd;
}

int os_open_beneath(int dir_fd, const char *path, struct err *e)
{
    int fd = os_open_beneath_flags(dir_fd, path, O_RDONLY | O_NOCTTY);

    if (fd < 0 && errno == EXDEV)
        fail(e, ERR_DENIED, "it leads out of its directory");
    else if (fd < 0)
        fail_errno(e, "opening");
    return fd;
}

int os_open_dir_of_root(int dir_fd, const char *name, struct err *e)
{
    AUTO_FD link = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    char target[MAX_PATH] = {0};
    struct stat st;
    ssize_t n;
    int fd;

    if (link < 0 || fstat(link, &st)) {
        (void)fail_errno(e, "opening directory %s", name);
        return -1;
    }
    // What is looked at and what is followed are the same, whoever puts another in its place meanwhile.
    if (S_ISLNK(st.st_mode) && st.st_uid) {
        (void)fail(e, ERR_DENIED, "%s is a link that another user than root has made: if it is right, \"chown -h root\" it", name);
        return -1;
    }
    if (S_ISLNK(st.st_mode)) {
        n = readlinkat(link, "", target, sizeof target - 1);
        fd = n < 0 ? -1 : openat(dir_fd, target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } else {
        fd = openat(link, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0)
        (void)fail_errno(e, "opening directory %s", name);
    return fd;
}

bool os_write_all(int fd, struct str bytes, struct err *e)
{
    while (bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(e, "write");
        bytes = str_from(bytes, (size_t)n);
    }
    return true;
}

static bool sync_directory_of(const char *path, struct err *e)
{
    char dir[MAX_PATH];
    const char *slash = strrchr(path, '/');
    AUTO_FD fd = -1;

    if (!slash)
        snprintf(dir, sizeof dir, ".");
    else
        snprintf(dir, sizeof dir, "%.*s", (int)(slash == path ? 1 : slash - path), path);
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return fail_errno(e, "sync directory %s", dir);
    return true;
}

bool os_write_file(const char *path, struct str bytes, mode_t mode, struct err *e)
{
    char temporary[MAX_PATH];
    AUTO_FD fd = -1;

    if ((size_t)snprintf(temporary, sizeof temporary, "%s.new", path) >= sizeof temporary)
        return fail(e, ERR_LIMIT, "path too long: %s", path);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return fail_errno(e, "create %s", temporary);
    if (!os_write_all(fd, bytes, e) || (fsync(fd) < 0 && !fail_errno(e, "sync")) ||
        (rename(temporary, path) < 0 && !fail_errno(e, "rename"))) {
        unlink(temporary);
        return fail_in(e, "%s", path);
    }
    return sync_directory_of(path, e);
}

bool os_create_file(const char *path, struct str bytes, mode_t mode, struct err *e)
{
    AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);

    if (fd < 0)
        return errno == EEXIST ? fail(e, ERR_CONFLICT, "%s is there already", path)
                               : fail_errno(e, "create %s", path);
    if (!os_write_all(fd, bytes, e) || (fsync(fd) < 0 && !fail_errno(e, "sync"))) {
        unlink(path);
        return fail_in(e, "%s", path);
    }
    return sync_directory_of(path, e);
}

bool os_make_dirs(const char *path, mode_t mode, struct err *e)
{
    char part[MAX_PATH];
    size_t n = strlen(path);

    if (n >= sizeof part)
        return fail(e, ERR_LIMIT, "path too long: %s", path);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i])
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return fail_errno(e, "make directory %s", part);
    }
    return true;
}

bool os_each_entry(int dir, const char *what, os_entry_fn *fn, void *ctx, struct err *e)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
    bool is_ok = d != NULL;

    if (!d) {
        (void)fail_errno(e, "listing %s", what);
        fd_close(&copy);
        return false;
    }
    for (struct dirent *entry; is_ok && (entry = readdir(d));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            is_ok = fn(ctx, dir, entry->d_name, e);
    closedir(d);
    return is_ok;
}

bool os_remove_dir(int dir_fd, struct str name, struct err *e)
{
    char path[NAME_MAX + 1] = {0};
    struct dirent *entry;
    DIR *d;
    int fd;

    if (name.n > NAME_MAX || str_find(name, '/') >= 0 || str_starts(name, STR(".")))
        return fail(e, ERR_SYNTAX, "\"%.*s\" is no name of a directory", STR_FMT(name));
    memcpy(path, name.p, name.n);
    fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        (void)fail_errno(e, "opening %s", path);
        fd_close(&fd);
        return false;
    }
    while ((entry = readdir(d)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
            unlinkat(fd, entry->d_name, 0) && !e->kind)
            (void)fail_errno(e, "removing %s/%s", path, entry->d_name);
    closedir(d);
    return !e->kind && (unlinkat(dir_fd, path, AT_REMOVEDIR) == 0 ||
                        fail_errno(e, "removing %s", path));
}

int os_memfile(const char *name, struct err *e)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        fail_errno(e, "memory file");
    return fd;
}

enum { ALL_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL };

bool os_memfile_seal(int fd, struct err *e)
{
    if (fcntl(fd, F_ADD_SEALS, ALL_SEALS) < 0)
        return fail_errno(e, "seal memory file");
    return true;
}

int os_memfile_sized(const char *name, size_t n, struct err *e)
{
    int fd = os_memfile(name, e);

    if (fd >= 0 && (ftruncate(fd, (off_t)n) < 0 ||
                    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)) {
        fail_errno(e, "memory file");
        fd_close(&fd);
    }
    return fd;
}

bool os_memfile_is_sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);

    return seals >= 0 && (seals & ALL_SEALS) == ALL_SEALS;
}

static int nameless_file(struct err *e)
{
    int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0)
        fail_errno(e, "temporary file");
    return fd;
}

static bool copy_all(int from, int to, uint64_t n, struct err *e)
{
    char block[4096];
    uint64_t at = 0;

    while (at < n) {
        ssize_t got = pread(from, block, sizeof block, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? fail_errno(e, "read memory file")
                           : fail(e, ERR_BUG, "memory file is short");
        if (!os_write_all(to, str_at(block, (size_t)got), e))
            return false;
        at += (uint64_t)got;
    }
    return true;
}

bool os_spool_put(struct os_spool *s, struct str bytes, struct err *e)
{
    if (s->fd < 0)
        s->fd = os_memfile("spool", e);
    if (!s->is_file && s->fd >= 0 && s->size + bytes.n > OS_SPOOL_IN_MEMORY) {
        int fd = nameless_file(e);

        if (fd < 0 || !copy_all(s->fd, fd, s->size, e)) {
            fd_close(&fd);
            return false;
        }
        fd_close(&s->fd);
        s->fd = fd;
        s->is_file = true;
    }
    if (s->fd < 0 || !os_write_all(s->fd, bytes, e))
        return false;
    s->size += bytes.n;
    return true;
}

void os_spool_close(struct os_spool *s)
{
    fd_close(&s->fd);
    *s = (struct os_spool)OS_SPOOL_EMPTY;
}
