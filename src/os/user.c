#include "os/user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cur.h"
#include "os/fd.h"
#include "os/file.h"

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

// This one of root's rights, in all sets that it takes to have it after exec.
static bool keep_setuid(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const uint32_t bit = CAP_TO_MASK(CAP_SETUID);
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{bit, bit, bit}};

    return syscall(SYS_capset, &header, sets) == 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SETUID, 0, 0) == 0;
}

bool os_user_become(const struct os_user *u)
{
    return !u->is_set ||
           (setgroups(0, NULL) == 0 && setresgid(u->gid, u->gid, u->gid) == 0 &&
            (!u->keeps_setuid || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0) && setresuid(u->uid, u->uid, u->uid) == 0 &&
            (!u->keeps_setuid || keep_setuid()));
}

/* --- ranges (subuid(5)) ------------------------------------------------------------------------------------ */

enum { SUBUID_BYTES = 1 << 20 };

uint32_t os_user_range(const char *name, uid_t uid, uid_t *first)
{
    AUTO_ARENA a = ARENA_LIMIT(SUBUID_BYTES + 65536);
    struct str text, line, of, begin, count;
    const char *test = getenv("MOX_SUBUID");
    struct err none = {0};
    uint64_t most = 0;

    if (!os_read_file(&a, test ? test : "/etc/subuid", SUBUID_BYTES, &text, &none))
        return 0;
    while (str_next(&text, '\n', &line)) {
        uint64_t own, start, size;

        if (!str_cut(line, ':', &of, &line) || !str_cut(line, ':', &begin, &count) ||
            (!str_eq(of, str_of(name)) && !(str_u64(of, UINT32_MAX, &own) && own == uid)) ||
            !str_u64(begin, UINT32_MAX - 1, &start) || !str_u64(count, UINT32_MAX, &size))
            continue;
        // The last ids mean "nobody" and "no id".
        if (size > UINT32_MAX - 1 - start)
            size = UINT32_MAX - 1 - start;
        if (start && size > most) {
            *first = (uid_t)start;
            most = size;
        }
    }
    return (uint32_t)most;
}

/* --- trying it ---------------------------------------------------------------------------------------------- */

enum { MAY = 0, MAY_NOT_BECOME = 1, MAY_NOT_ENTER = 2 };

bool os_user_may_use(const struct os_user *u, int dir_fd, struct err *e)
{
    char link[64], path[1024] = {0};
    int status = 0;
    pid_t pid;

    if (!u->is_set)
        return true;
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir_fd);
    if (readlink(link, path, sizeof path - 1) < 0)
        return fail_errno(e, "finding the path of a directory");
    pid = fork();
    if (pid == 0)
        _exit(!os_user_become(u) ? MAY_NOT_BECOME : access(path, R_OK | W_OK | X_OK) ? MAY_NOT_ENTER : MAY);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return fail_errno(e, "trying to be another user");
    if (WEXITSTATUS(status) == MAY_NOT_BECOME)
        return fail(e, ERR_DENIED, "this process may not become user id %u: it was not started with all rights of root",
                    (unsigned)u->uid);
    return (WIFEXITED(status) && WEXITSTATUS(status) == MAY) ||
           fail(e, ERR_DENIED, "user id %u cannot use %s: look at its owner and mode, and whether all directories above may "
                "be passed (chmod o+x)", (unsigned)u->uid, path);
}

/* --- what is root's ------------------------------------------------------------------------------------------- */

static bool is_protected(const struct stat *st)
{
    return st->st_uid == 0 && !(st->st_mode & (S_IROTH | S_IWOTH)) && (st->st_gid == 0 || !(st->st_mode & S_IWGRP));
}

// A program is no secret: User runs those that set records in the DNS.
static mode_t mask_of(const struct stat *st)
{
    return S_ISDIR(st->st_mode) ? 02751 : st->st_mode & S_IXUSR ? 0755 : 0640;
}

// Not /etc, /usr/local/etc or somebody's home: all that is there would be taken from its users.
static bool is_for_us(int dir, const struct stat *st, uid_t user)
{
    char link[64], path[1024] = {0};
    struct stat above, root;

    snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    return (st->st_uid == 0 || st->st_uid == user) && fstatat(dir, "..", &above, 0) == 0 && stat("/", &root) == 0 &&
           (above.st_dev != root.st_dev || above.st_ino != root.st_ino) &&
           readlink(link, path, sizeof path - 1) > 0 && !str_ends(str_of(path), STR("/etc"));
}

struct protecting {
    const struct stat *except;
    int depth;
};

static bool protect_entry(void *ctx, int dir, const char *name, struct err *e)
{
    const struct protecting *in = ctx;
    struct protecting below = {in->except, in->depth + 1};
    AUTO_FD fd = -1;
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT || fail_errno(e, "looking at %s", name);
    if ((st.st_dev == in->except->st_dev && st.st_ino == in->except->st_ino) || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return true;
    fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fchown(fd, 0, (gid_t)-1) || fchmod(fd, st.st_mode & mask_of(&st)))
        return fail_errno(e, "taking care of the permissions of %s", name);
    return !S_ISDIR(st.st_mode) || in->depth == MAX_DEPTH ||
           os_each_entry(fd, "a directory of the configuration", protect_entry, &below, e);
}

bool os_protect(int dir_fd, int except_fd, uid_t user, enum os_protected *how, struct err *e)
{
    struct stat st, except = {0};

    *how = OS_WAS_PROTECTED;
    if (fstat(dir_fd, &st) || (except_fd >= 0 && fstat(except_fd, &except)))
        return fail_errno(e, "looking at the directory of the configuration");
    if (is_protected(&st))
        return true;
    *how = OS_NOT_PROTECTED;
    if (!is_for_us(dir_fd, &st, user))
        return true;
    *how = OS_IS_PROTECTED_NOW;
    if (fchown(dir_fd, 0, (gid_t)-1) || fchmod(dir_fd, st.st_mode & 02751))
        return fail_errno(e, "taking care of the permissions of the directory of the configuration");
    return os_each_entry(dir_fd, "the directory of the configuration", protect_entry,
                         &(struct protecting){&except, 0}, e);
}

struct giving {
    const struct os_user *to;
    int depth;
};

static bool give_entry(void *ctx, int dir, const char *name, struct err *e)
{
    const struct giving *in = ctx;
    const struct os_user *u = in->to;
    struct giving below = {u, in->depth + 1};
    AUTO_FD sub = -1;
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT || fail_errno(e, "looking at %s in a data directory", name);
    if ((st.st_uid != u->uid || st.st_gid != u->gid) &&
        fchownat(dir, name, u->uid, u->gid, AT_SYMLINK_NOFOLLOW))
        return fail_errno(e, "giving %s to the server's user", name);
    if (!S_ISDIR(st.st_mode) || in->depth == MAX_DEPTH)
        return true;
    sub = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return sub < 0 ? fail_errno(e, "opening %s in a data directory", name)
                   : os_each_entry(sub, "a data directory", give_entry, &below, e);
}

bool os_user_give(int dir_fd, const struct os_user *u, struct err *e)
{
    if (!u->is_set)
        return true;
    if (fchown(dir_fd, u->uid, u->gid))
        return fail_errno(e, "giving a data directory to the server's user");
    return os_each_entry(dir_fd, "a data directory", give_entry, &(struct giving){u, 0}, e);
}
