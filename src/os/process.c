#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cur.h"
#include "os/fd.h"

extern char **environ;

static char *title_start;
static size_t title_room;

void os_title_init(int argc, char **argv)
{
    char *end;

    if (argc < 1)
        return;
    // Only the arguments' own memory, which lies in one piece.
    end = argv[0] + strlen(argv[0]) + 1;
    for (int i = 1; i < argc; i++)
        if (argv[i] == end)
            end += strlen(argv[i]) + 1;
    title_start = argv[0];
    title_room = (size_t)(end - argv[0]);
    // Titles overwrite them: the program goes on with copies, which live as long as it does.
    for (int i = 0; i < argc; i++) {
        size_t n = strlen(argv[i]) + 1;
        char *copy = heap_alloc(n);

        memcpy(copy, argv[i], n);
        argv[i] = copy;
    }
}

void os_memory_init(void)
{
    // Said once, the limit no longer grows with what was freed.
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
}

void os_memory_trim(void)
{
    malloc_trim(0);
}

void os_title_set(const char *format, ...)
{
    char text[256];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || !title_start)
        return;
    if ((size_t)n > sizeof text - 1)
        n = sizeof text - 1;
    memset(title_start, 0, title_room);
    memcpy(title_start, text, (size_t)n < title_room ? (size_t)n : title_room - 1);
    prctl(PR_SET_NAME, "mox");
}

bool os_die_with_parent(pid_t parent)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
}

// In the child, between fork and exec.
static _Noreturn void exec_role(char *const argv[], int fd, const struct os_user *user,
                                pid_t parent)
{
    int null = open("/dev/null", O_RDWR);

    os_signal_reset();
    // Dying with the parent comes after: becoming somebody else takes it back.
    if (!os_user_become(user) || null < 0 || dup2(null, 0) < 0 || !os_die_with_parent(parent))
        _exit(127);
    // fd may itself be 3, and then dup2 would leave it close-on-exec.
    if (fd == 3 ? fcntl(3, F_SETFD, 0) < 0 : dup2(fd, 3) < 0)
        _exit(127);
    close_range(4, ~0u, 0);
    execv("/proc/self/exe", argv);
    _exit(127);
}

// From "pid (name) state parent ...", where a name may contain anything; 0 when it is not known.
static pid_t parent_of(pid_t pid)
{
    char path[40], text[512];
    struct str rest, state;
    uint64_t parent;
    struct cur c;
    ssize_t n;
    AUTO_FD fd = -1;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text);
    rest = str_at(text, n > 0 ? (size_t)n : 0);
    rest = str_trim(str_from(rest, (size_t)(str_find_last(rest, ')') + 1)));
    if (!str_cut(rest, ' ', &state, &rest))
        return 0;
    c = cur_of(rest);
    return cur_u64(&c, INT32_MAX, &parent) ? (pid_t)parent : 0;
}

bool os_end_child_of(pid_t parent, pid_t pid, struct err *e)
{
    // Of the process that has the number now, whoever gets it next.
    AUTO_FD process = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

    if (pid <= 0 || (process < 0 && errno == ESRCH))
        return true;
    if (process < 0)
        return fail_errno(e, "looking for a process");
    return parent_of(pid) != parent || syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0) == 0 || errno == ESRCH ||
           fail_errno(e, "ending a process");
}

bool os_may_execute_self(const struct os_user *user)
{
    struct stat st;

    return !user->is_set ||
           (stat("/proc/self/exe", &st) == 0 &&
            st.st_mode & (st.st_uid == user->uid   ? S_IXUSR
                          : st.st_gid == user->gid ? S_IXGRP
                                                   : S_IXOTH));
}

pid_t os_spawn(char *const argv[], int fd, const struct os_user *user, struct err *e)
{
    pid_t parent = getpid(), pid = fork();

    if (pid < 0)
        fail_errno(e, "fork");
    if (pid == 0)
        exec_role(argv, fd, user, parent);
    return pid;
}

pid_t os_reap(int *wait_status)
{
    pid_t pid = waitpid(-1, wait_status, WNOHANG);

    return pid > 0 ? pid : 0;
}

uint64_t os_resident_bytes(pid_t pid)
{
    char path[40], text[100];
    uint64_t size, pages;
    struct cur c;
    ssize_t n;
    AUTO_FD fd = -1;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text);
    c = cur_of(str_at(text, n > 0 ? (size_t)n : 0));
    return cur_u64(&c, UINT64_MAX, &size) && cur_skip(&c, ' ') && cur_u64(&c, UINT32_MAX, &pages)
               ? pages * (uint64_t)sysconf(_SC_PAGESIZE)
               : 0;
}

static _Noreturn void exec_program(int dir_fd, const char *path, char *const argv[], const struct os_user *user,
                                   pid_t parent)
{
    int null = open("/dev/null", O_RDWR);

    os_signal_reset();
    signal(SIGHUP, SIG_DFL);
    if (fchdir(dir_fd) || !os_user_become(user) || null < 0 || dup2(null, 0) < 0 || setpgid(0, 0) ||
        !os_die_with_parent(parent))
        _exit(127);
    close_range(3, ~0u, 0);
    execv(path, argv);
    _exit(127);
}

pid_t os_start_program(int dir_fd, const char *path, char *const argv[], const struct os_user *user, struct err *e)
{
    pid_t parent = getpid(), pid = fork();

    if (pid < 0)
        fail_errno(e, "fork");
    if (pid == 0)
        exec_program(dir_fd, path, argv, user, parent);
    return pid;
}

void os_standard_files(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

void os_describe_status(int wait_status, char *out, size_t size)
{
    if (WIFSIGNALED(wait_status))
        snprintf(out, size, "signal %d (%s)", WTERMSIG(wait_status),
                 strsignal(WTERMSIG(wait_status)));
    else
        snprintf(out, size, "exit code %d", WEXITSTATUS(wait_status));
}

static void our_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGCHLD);
}

int os_signal_fd(struct err *e)
{
    sigset_t set;
    int fd;

    our_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        fail_errno(e, "signalfd");
    return fd;
}

int os_signal_read(int fd)
{
    struct signalfd_siginfo info;

    return read(fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

void os_signal_reset(void)
{
    sigset_t set;

    our_signals(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_IGN); // of a terminal that was closed, all of its processes hear
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
}
