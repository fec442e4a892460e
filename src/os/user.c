#include "os/user.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cur.h"
#include "os/fd.h"

enum { NOBODY = 65534, MAX_DEPTH = 8, ENTRY_BYTES = 16384 };

static bool find_number(struct str text, struct os_user *out)
{
    struct cur c = cur_of(text);
    uint64_t number;

    if (!cur_u64(&c, UINT32_MAX - 1, &number) || cur_left(&c))
        return false;
    *out = (struct os_user){true, (uid_t)number, (gid_t)number};
    return true;
}

bool os_is_setgid(void)
{
    return getgid() != getegid();
}

bool os_user_find(const char *name, struct os_user *out, struct err *e)
{
    struct passwd entry, *found = NULL;
    char *room = heap_alloc(ENTRY_BYTES);
    int rc = getpwnam_r(name, &entry, room, ENTRY_BYTES, &found);

    if (found)
        *out = (struct os_user){true, found->pw_uid, found->pw_gid};
    free(room);
    if (!found && !find_number(str_of(name), out))
        return rc ? fail(e, ERR_TEMPORARY, "looking up user %s: %s", name, strerror(rc))
                  : fail(e, ERR_NOT_FOUND, "there is no user \"%s\" (User in mox.conf): make one "
                         "with \"useradd -r -s /usr/sbin/nologin %s\"", name, name);
    if (!out->uid)
        return fail(e, ERR_DENIED, "User in mox.conf must not be root");
    return true;
}

struct os_user os_user_nobody(void)
{
    return (struct os_user){true, NOBODY, NOBODY};
}

bool os_user_become(const struct os_user *u)
{
    return !u->is_set || (setgroups(0, NULL) == 0 && setresgid(u->gid, u->gid, u->gid) == 0 &&
                          setresuid(u->uid, u->uid, u->uid) == 0);
}

static bool give_entry(int dir, const char *name, const struct os_user *u, int depth,
                       struct err *e);

static bool give_all(int dir, const struct os_user *u, int depth, struct err *e)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
    bool is_ok = d != NULL;

    if (!d) {
        fd_close(&copy);
        return fail_errno(e, "listing a data directory");
    }
    for (struct dirent *entry; is_ok && (entry = readdir(d));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            is_ok = give_entry(dir, entry->d_name, u, depth, e);
    closedir(d);
    return is_ok;
}

static bool give_entry(int dir, const char *name, const struct os_user *u, int depth,
                       struct err *e)
{
    AUTO_FD sub = -1;
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT || fail_errno(e, "looking at %s in a data directory", name);
    if ((st.st_uid != u->uid || st.st_gid != u->gid) &&
        fchownat(dir, name, u->uid, u->gid, AT_SYMLINK_NOFOLLOW))
        return fail_errno(e, "giving %s to the server's user", name);
    if (!S_ISDIR(st.st_mode) || depth == MAX_DEPTH)
        return true;
    sub = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return sub < 0 ? fail_errno(e, "opening %s in a data directory", name)
                   : give_all(sub, u, depth + 1, e);
}

bool os_user_give(int dir_fd, const struct os_user *u, struct err *e)
{
    if (!u->is_set)
        return true;
    if (fchown(dir_fd, u->uid, u->gid))
        return fail_errno(e, "giving a data directory to the server's user");
    return give_all(dir_fd, u, 0, e);
}
