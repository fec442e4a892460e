#include "cmd/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/die.h"
#include "cmd/cmd.h"
#include "db/db.h"
#include "os/fd.h"
#include "os/process.h"
#include "os/sandbox.h"
#include "os/user.h"
#include "role/profiles.h"
#include "text/encode.h"

// Files that this makes must be the server's to use.
static bool become_owner(int dir, struct err *e)
{
    struct os_user owner = {.is_set = true};
    struct stat st;

    if (fstat(dir, &st))
        return fail_errno(e, "looking at a directory");
    owner.uid = st.st_uid;
    owner.gid = st.st_gid;
    return geteuid() || !st.st_uid || os_user_become(&owner) ||
           fail_errno(e, "becoming the owner of a directory");
}

// Not before it is whom it is to be: becoming somebody else takes it back. Nor in the sandbox, which has no room for it.
static bool stay_with(pid_t parent, struct err *e)
{
    return os_die_with_parent(parent) || fail(e, ERR_TEMPORARY, "the command has ended");
}

static bool enter(int account_dir, int other_dir, pid_t parent, struct err *e)
{
    int dirs[] = {account_dir, other_dir};
    struct sandbox *box;
    bool is_ok;

    charset_warm();
    if (!become_owner(account_dir, e) || !stay_with(parent, e))
        return false;
    if (fchdir(account_dir))
        return fail_errno(e, "entering the account's directory");
    box = sandbox_compile(role_profile(ROLE_ACCOUNT), e);
    is_ok = box && sandbox_enter(box, dirs, other_dir < 0 ? 1 : 2, e);
    sandbox_free(box);
    return is_ok;
}

// In the child 0; -1 on failure. What was printed is not printed by both.
static pid_t make_child(struct err *e)
{
    pid_t child;

    fflush(stdout);
    fflush(stderr);
    child = fork();
    if (child < 0)
        (void)fail_errno(e, "making a process");
    return child;
}

static _Noreturn void run_child(bool is_inside, confine_fn *fn, void *ctx, const struct err *e)
{
    _exit(cmd_end(is_inside ? fn(ctx) : cmd_fail(e)));
}

static bool wait_for(pid_t child, int *code, struct err *e)
{
    char how[64];
    int status;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return fail_errno(e, "waiting for a process");
    if (WIFEXITED(status)) {
        *code = WEXITSTATUS(status);
        return true;
    }
    os_describe_status(status, how, sizeof how);
    return fail(e, ERR_BUG, "the process that worked on the data ended with %s", how);
}

bool confine_run(int account_dir, int other_dir, confine_fn *fn, void *ctx, int *code, struct err *e)
{
    pid_t self = getpid(), child = make_child(e);

    if (!child) {
        bool is_inside = enter(account_dir, other_dir, self, e);

        run_child(is_inside, fn, ctx, e);
    }
    return child > 0 && wait_for(child, code, e);
}

/* --- databases --------------------------------------------------------------------------------------------- */

/*
 * What the child asks for: four bytes. How, which of the databases, which of its files; nothing that is a path. The answer
 * is an error number, and with 0 a descriptor, but for REMOVE.
 */
enum how { LOOK, READ, WRITE, CREATE, REMOVE, N_HOW };
enum { MOST_DATABASES = 2 };

static const struct str suffixes[] = {STR_(""), STR_("-journal"), STR_("-wal"), STR_("-shm")};

// The child's end.
static struct {
    int socket;
    size_t n;
    struct str names[MOST_DATABASES];
} asks;

// "/<number of the database>/<its name><suffix>"
static bool find_file(struct str path, unsigned char *number, unsigned char *suffix)
{
    unsigned at = path.n > 3 ? (unsigned char)path.p[1] - '0' : MOST_DATABASES;
    struct str name = str_from(path, 3);

    if (at >= asks.n || path.p[0] != '/' || path.p[2] != '/' || !str_starts(name, asks.names[at]))
        return false;
    name = str_from(name, asks.names[at].n);
    for (size_t i = 0; i < COUNT(suffixes); i++)
        if (str_eq(name, suffixes[i])) {
            *number = (unsigned char)at;
            *suffix = (unsigned char)i;
            return true;
        }
    return false;
}

// A descriptor, or 0 for REMOVE.
static int ask(const char *path, enum how how)
{
    unsigned char request[4] = {(unsigned char)how, 0, 0, 0};
    unsigned char error = EIO;
    struct err none = {0};
    size_t n;
    int fd;

    if (!find_file(str_of(path), &request[1], &request[2])) {
        errno = EACCES;
        return -1;
    }
    if (send(asks.socket, request, sizeof request, MSG_NOSIGNAL) != sizeof request ||
        !fd_receive(asks.socket, (char *)&error, 1, &n, &fd, &none) || n != 1)
        _exit(1); // who would answer is gone
    if (how == REMOVE && !error)
        return 0;
    if (fd < 0)
        errno = error ? error : EIO;
    return fd;
}

static int ask_open(void *ctx, const char *path, int flags, mode_t mode)
{
    (void)ctx, (void)mode;
    return ask(path, flags & O_PATH ? LOOK : flags & O_CREAT ? CREATE : (flags & O_ACCMODE) == O_RDONLY ? READ : WRITE);
}

static int ask_remove(void *ctx, const char *path)
{
    (void)ctx;
    return ask(path, REMOVE);
}

// What it needs not is not there, whatever others have open.
static void close_all_but(int a, int b)
{
    const int low = a < b ? a : b, high = a < b ? b : a;

    for (int fd = 3; fd < high; fd++)
        if (fd != low)
            close(fd);
    close_range((unsigned)high + 1, ~0u, 0);
}

static bool enter_without_files(int socket, const struct confine_database *dbs, size_t n, int out, pid_t parent,
                                struct err *e)
{
    static const struct db_opener opener = {ask_open, ask_remove, NULL};
    const struct os_user nobody = os_user_nobody();
    struct stat st = {0};
    struct sandbox *box;
    bool is_dir, is_ok;

    if (out >= 0 && fstat(out, &st))
        return fail_errno(e, "looking at what is to be written");
    is_dir = out >= 0 && S_ISDIR(st.st_mode);
    // What libraries would open late.
    charset_warm();
    tzset();
    close_all_but(socket, out);
    asks.socket = socket;
    asks.n = n;
    for (size_t i = 0; i < n; i++)
        asks.names[i] = str_of(dbs[i].name);
    db_open_by(&opener);
    if (is_dir ? !become_owner(out, e) : !geteuid() && !os_user_become(&nobody))
        return e->kind ? false : fail_errno(e, "becoming nobody");
    if (!stay_with(parent, e))
        return false;
    box = sandbox_compile(database_profile(is_dir), e);
    is_ok = box && sandbox_enter(box, &out, is_dir, e);
    sandbox_free(box);
    return is_ok;
}

// Nothing that is made belongs to another than whose the directory is, from the first moment: given away later, it would be
// root's when the command is killed in between, and the server could not open it.
static int make_file(const struct confine_database *db, const char *name, int flags)
{
    const bool is_root = !geteuid();
    struct stat dir;
    int fd, error;

    if (fstat(db->dir, &dir))
        return -1;
    if (is_root) {
        (void)setfsgid(dir.st_gid);
        (void)setfsuid(dir.st_uid);
    }
    fd = openat(db->dir, name, flags | O_CREAT | O_EXCL, 0600);
    error = errno;
    if (is_root) {
        (void)setfsuid(0);
        (void)setfsgid(0);
    }
    errno = error;
    return fd;
}

// An error number, or 0 and *out.
static int open_for(const struct confine_database *db, const char *name, enum how how, bool is_main, int *out)
{
    static const int flags[N_HOW] = {[LOOK] = O_PATH, [READ] = O_RDONLY, [WRITE] = O_RDWR, [CREATE] = O_RDWR};
    const int safe = O_CLOEXEC | O_NOFOLLOW | (how == LOOK ? 0 : O_NONBLOCK);
    const bool may_make = how == CREATE && (!is_main || db->is_new);
    struct stat st;
    AUTO_FD fd = openat(db->dir, name, flags[how] | safe);

    if (fd < 0 && errno == ENOENT && may_make) {
        fd = make_file(db, name, flags[how] | safe);
        if (fd >= 0 && fsync(db->dir))
            return errno;
        if (fd < 0 && errno == EEXIST) // the server has made it meanwhile
            fd = openat(db->dir, name, flags[how] | safe);
    }
    if (fd < 0 || fstat(fd, &st))
        return errno;
    // Neither what a link leads to, nor a pipe at which it would be waited for.
    if (!S_ISREG(st.st_mode))
        return EACCES;
    *out = fd_take(&fd);
    return 0;
}

static int answer(const struct confine_database *dbs, size_t n, const unsigned char *request, int *out)
{
    const struct confine_database *db;
    char name[NAME_MAX + 16];

    if (request[0] >= N_HOW || request[1] >= n || request[2] >= COUNT(suffixes))
        return EINVAL;
    db = &dbs[request[1]];
    snprintf(name, sizeof name, "%s%s", db->name, suffixes[request[2]].p);
    if (request[0] != REMOVE)
        return open_for(db, name, (enum how)request[0], !request[2], out);
    if (!request[2])
        return EACCES;
    return unlinkat(db->dir, name, 0) || fsync(db->dir) ? errno : 0;
}

// Until the child has ended.
static void answer_all(int socket, const struct confine_database *dbs, size_t n)
{
    unsigned char request[4];
    struct err e = {0};

    for (;;) {
        ssize_t got = recv(socket, request, sizeof request, 0);
        AUTO_FD fd = -1;
        unsigned char error;
        bool is_sent;

        if (got < 0 && errno == EINTR)
            continue;
        if (got != sizeof request)
            return;
        error = (unsigned char)answer(dbs, n, request, &fd);
        is_sent = fd >= 0 ? fd_send(socket, str_at((const char *)&error, 1), fd, &e)
                          : send(socket, &error, 1, MSG_NOSIGNAL) == 1;
        if (!is_sent)
            return;
    }
}

bool confine_databases(const struct confine_database *dbs, size_t n, int out, confine_fn *fn, void *ctx, int *code,
                       struct err *e)
{
    pid_t self = getpid(), child;
    int pair[2];

    if (n > MOST_DATABASES || !fd_pair_packets(pair, e))
        return n > MOST_DATABASES ? fail(e, ERR_BUG, "too many databases at once") : false;
    child = make_child(e);
    if (!child) {
        bool is_inside = enter_without_files(pair[1], dbs, n, out, self, e);

        run_child(is_inside, fn, ctx, e);
    }
    fd_close(&pair[1]);
    if (child > 0)
        answer_all(pair[0], dbs, n);
    fd_close(&pair[0]);
    return child > 0 && wait_for(child, code, e);
}

/* --- connections ------------------------------------------------------------------------------------------- */

static bool enter_with_connection(int connection, const struct sandbox *box, pid_t parent, struct err *e)
{
    const struct os_user nobody = os_user_nobody();

    close_all_but(connection, connection);
    if (!geteuid() && !os_user_become(&nobody))
        return fail_errno(e, "becoming nobody");
    return stay_with(parent, e) && sandbox_enter(box, NULL, 0, e);
}

pid_t confine_connection(int connection, const struct sandbox *box, confine_fn *fn, void *ctx, struct err *e)
{
    pid_t self = getpid(), child = make_child(e);

    if (!child) {
        bool is_inside = enter_with_connection(connection, box, self, e);

        run_child(is_inside, fn, ctx, e);
    }
    return child;
}

void *confine_shared(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        die("no memory to share");
    return p;
}
