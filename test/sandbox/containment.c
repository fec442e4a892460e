/*
 * Containment: from inside the sandbox of each role, everything its list does not allow is tried and
 * must fail. The cases come from the roles' own profiles; run as root and not as root, with Landlock
 * capped at ABI 0, 2 and the newest. With the sandbox off it must fail (test builds: MOX_SANDBOX=off).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/user.h"
#include "role/profiles.h"

enum { LAST_CALL = 461, NOBODY = 65534 };
enum { TEMPLATE_ID = 54321, FIRST_ID = 54330, LAST_ID = 54339, ANN_ID = 54333, BOB_ID = 54334 }; // nobody's

static const char *what; // of the running case, for messages
static int inside[2];    // write end: the child's findings

static void finding(const char *text, int number)
{
    char line[200];
    int n = snprintf(line, sizeof line, "%s: %s %d\n", what, text, number);

    if (write(inside[1], line, (size_t)n) != n)
        _exit(3);
}

// Something that must fail with EPERM, EACCES or ENOSYS.
static void refused(const char *name, long result)
{
    if (result >= 0 || (errno != EPERM && errno != EACCES && errno != ENOSYS))
        finding(name, result >= 0 ? 0 : errno);
}

static bool is_allowed(const int *allowed, size_t n, int call)
{
    for (size_t i = 0; i < n; i++)
        if (allowed[i] == call)
            return true;
    return false;
}

// Those that end the process are tried one per process.
static bool is_deadly(int call)
{
    return call == SYS_execve || call == SYS_execveat || call == SYS_ptrace ||
           call == SYS_process_vm_readv || call == SYS_process_vm_writev;
}

// Every other number must be refused before its arguments are looked at.
static void try_all_calls(const struct sandbox_profile *p)
{
    int allowed[512];
    size_t n = sandbox_allowed(p, allowed, 512);

    for (int call = 0; call <= LAST_CALL; call++) {
        // 335 and 336 serve the kernel's own probes: newer kernels answer them with SIGILL.
        if (is_allowed(allowed, n, call) || is_deadly(call) || call == SYS_clone3 || call == 335 ||
            call == 336)
            continue;
        errno = 0;
        if (syscall(call, -1L, -1L, -1L, -1L, -1L, -1L) != -1 || errno != EPERM)
            finding("call not refused", call);
    }
}

// A role that asks the DNS: internet sockets, but none that others can come to, and TCP to one port
// where the kernel can tell.
static void try_dns(int landlock)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int udp = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    if (tcp < 0 || udp < 0)
        finding("no internet socket", errno);
    refused("raw socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    refused("packet socket", socket(AF_PACKET, SOCK_RAW, 0));
    refused("socket of vm", socket(40 /* AF_VSOCK */, SOCK_STREAM, 0));
    refused("listening", listen(tcp, 1));
    refused("accepting", accept4(tcp, NULL, NULL, 0));
    if (landlock < 4)
        return;
    to.sin_port = htons(25);
    refused("TCP to another port", connect(tcp, (struct sockaddr *)&to, sizeof to));
    to.sin_port = 0;
    refused("binding a TCP port", bind(tcp, (struct sockaddr *)&to, sizeof to));
    to.sin_port = htons(53);
    if (connect(tcp, (struct sockaddr *)&to, sizeof to) < 0 && errno != ECONNREFUSED)
        finding("TCP to the DNS", errno);
}

// A role that connects for others: TCP, and nobody can come to it.
static void try_dial(int landlock)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (tcp < 0 || from < 0 || socket(AF_INET6, SOCK_STREAM, 0) < 0)
        finding("no TCP socket", errno);
    refused("UDP socket", socket(AF_INET, SOCK_DGRAM, 0));
    refused("raw socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    refused("packet socket", socket(AF_PACKET, SOCK_RAW, 0));
    refused("listening", listen(tcp, 1));
    refused("accepting", accept4(tcp, NULL, NULL, 0));
    if (bind(from, (struct sockaddr *)&to, sizeof to))
        finding("no source address", errno);
    if (landlock < 4)
        return;
    to.sin_port = htons(2525);
    refused("binding a TCP port", bind(tcp, (struct sockaddr *)&to, sizeof to));
}

// connect() says that it has, and has not.
static void try_connected(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(25),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    refused("internet socket", socket(AF_INET, SOCK_STREAM, 0));
    // A descriptor that is not open: only a call that is not made does not mind.
    if (connect(-1, (struct sockaddr *)&to, sizeof to) != 0)
        finding("connect is not answered", errno);
}

static int open_to(const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = flags & O_CREAT ? 0600 : 0};

    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

// A role that reads in directories which it was given: nothing elsewhere, and nothing is written.
static void try_read(int landlock)
{
    if (!landlock)
        refused("reading without Landlock", open_to(".", O_RDONLY | O_DIRECTORY));
    else if (open_to(".", O_RDONLY | O_DIRECTORY) < 0)
        finding("own directory cannot be read", errno);
    refused("reading elsewhere", open_to("/etc/passwd", O_RDONLY));
    refused("reading by ..", open_to("../../../../../../etc/passwd", O_RDONLY));
    refused("reading by a link", open_to("link", O_RDONLY));
    refused("reading a directory elsewhere", open_to("/etc", O_RDONLY | O_DIRECTORY));
    refused("new file", open_to("new", O_WRONLY | O_CREAT));
    refused("writing", open_to("own", O_RDWR));
    if (landlock == 0 || landlock >= 3) // before that the kernel has no rule for it
        refused("truncating", open_to("own", O_RDONLY | O_TRUNC));
    refused("file without a name", open_to(".", O_TMPFILE | O_RDWR));
}

static void try_by_name(const struct sandbox_profile *p, int landlock, const char *own)
{
    bool has_files = p->features & SANDBOX_FILES;
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/stdout"};
    int fd;

    if (p->features & SANDBOX_DNS)
        try_dns(landlock);
    else if (p->features & SANDBOX_DIAL)
        try_dial(landlock);
    else if (p->features & SANDBOX_CONNECTED)
        try_connected();
    else {
        refused("internet socket", socket(AF_INET, SOCK_STREAM, 0));
        refused("connect", connect(0, (struct sockaddr *)&to, sizeof to));
    }
    refused("unix socket", socket(AF_UNIX, SOCK_STREAM, 0));
    refused("netlink socket", socket(AF_NETLINK, SOCK_RAW, 0));
    refused("kill", kill(getppid(), 0));
    refused("signal to all", kill(-1, 0));
    refused("chmod", chmod(own, 0777));
    refused("chown", chown(own, 0, 0));
    refused("truncate", truncate(own, 0));
    refused("setuid", setuid(0));
    refused("mount", syscall(SYS_mount, "x", "/", "tmpfs", 0, NULL));
    refused("bpf", syscall(SYS_bpf, 0, NULL, 0));
    refused("user namespace", syscall(SYS_clone, 0x10000000 | SIGCHLD, NULL, NULL, NULL, NULL));
    refused("unshare", unshare(0x10000000));
    refused("io_uring", syscall(SYS_io_uring_setup, 1, NULL));
    refused("executable memory",
            mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                 0) == MAP_FAILED ? -1 : 0);
    refused("terminal input", syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x"));
    refused("becoming dumpable", prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 ? -1
                                 : (p->features & SANDBOX_NESTED) ? (errno = EPERM, -1) : 0);
    if (!(p->features & SANDBOX_FORK))
        refused("fork", syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
    fd = open("/etc/passwd", O_RDONLY);
    if (!has_files || landlock)
        refused("file of others", fd);
    if (!has_files || landlock) {
        refused("directory of others", open("/", O_RDONLY | O_DIRECTORY));
        refused("new file elsewhere", open("/tmp/mox-containment", O_WRONLY | O_CREAT, 0600));
        refused("leaving by ..", open("../../../../../../etc/passwd", O_RDONLY));
        refused("leaving by a link", open("link", O_RDONLY));
    }
    if (has_files && landlock) {
        fd = open("own", O_RDWR | O_CREAT, 0600);
        if (fd < 0)
            finding("own directory not usable", errno);
        refused("device", mknod("device", S_IFCHR | 0600, 0x103));
        refused("link to elsewhere", symlink("/etc/passwd", "new-link"));
    }
    if (p->features & SANDBOX_READ)
        try_read(landlock);
    if (!has_files)
        refused("own directory", open("own", O_RDONLY));
    if (access("/etc/shadow", R_OK) == 0 && !has_files)
        finding("access was answered", 0);
}

static _Noreturn void child(const struct sandbox_profile *p, bool is_root, int cap, const char *dir,
                            int deadly)
{
    struct err e = {0};
    struct sandbox *box;
    int fd = open(dir, O_RDONLY | O_DIRECTORY), landlock;

    sandbox_cap_landlock_for_test(cap);
    landlock = sandbox_landlock_abi(); // inside, the kernel does not say
    if (fd < 0 || fchdir(fd) || (!is_root && !geteuid() && (setresgid(NOBODY, NOBODY, NOBODY) ||
                                              setresuid(NOBODY, NOBODY, NOBODY))))
        _exit(3);
    box = sandbox_compile(p, &e);
    if (!box || !sandbox_enter(box, &fd, p->features & (SANDBOX_FILES | SANDBOX_READ) ? 1 : 0, &e)) {
        finding(e.text, 0);
        _exit(3);
    }
    // First, whether there is a sandbox at all: without one, trying everything would do damage.
    if (syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0) >= 0) {
        finding("there is no sandbox", 0);
        _exit(0);
    }
    if (deadly) {
        syscall(deadly, -1L, -1L, -1L, -1L, -1L, -1L);
        finding("deadly call returned", deadly);
        _exit(0);
    }
    try_by_name(p, landlock, "own");
    try_all_calls(p);
    _exit(0);
}

static _Noreturn void become_others(int cap, const char *dir);

// Runs one case, of a profile or of becoming others; returns how many findings it had.
static int run(const struct sandbox_profile *p, bool is_root, int cap, const char *dir, int deadly)
{
    static char text[65536];
    size_t n = 0;
    ssize_t got;
    int status, findings = 0;
    pid_t pid;

    memset(text, 0, sizeof text);
    if (pipe(inside))
        return 1;
    fflush(stdout);
    pid = fork();
    if (pid == 0 && !p)
        become_others(cap, dir);
    if (pid == 0)
        child(p, is_root, cap, dir, deadly);
    close(inside[1]);
    while (n < sizeof text - 1 && (got = read(inside[0], text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)got;
    close(inside[0]);
    waitpid(pid, &status, 0);
    for (size_t i = 0; i < n; i++)
        findings += text[i] == '\n';
    fputs(text, stdout);
    if (deadly ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS
               : !WIFEXITED(status) || WEXITSTATUS(status)) {
        printf("%s: ended with status %#x\n", what, status);
        findings++;
    }
    return findings;
}

// A template of accounts, which has CAP_SETUID for its children's sake, and one of these.
static _Noreturn void become_others(int cap, const char *dir)
{
    static struct sandbox_profile template;
    const struct os_user user = {true, TEMPLATE_ID, NOBODY, true};
    static const uid_t others[] = {0, 1, TEMPLATE_ID, FIRST_ID - 1, LAST_ID + 1, NOBODY, (uid_t)-2, (uid_t)-1};
    const long high = 1L << 32;
    struct sandbox *box, *own;
    struct err e = {0};
    int fd = open(dir, O_RDONLY | O_DIRECTORY), status;
    pid_t pid;

    sandbox_cap_landlock_for_test(cap);
    template = *role_profile(ROLE_ACCOUNT_TEMPLATE);
    template.first_uid = FIRST_ID;
    template.last_uid = LAST_ID;
    box = sandbox_compile(&template, &e);
    own = sandbox_compile(role_profile(ROLE_ACCOUNT), &e);
    if (fd < 0 || !os_user_become(&user) || !box || !own || !sandbox_enter(box, &fd, 1, &e)) {
        finding("template cannot start", errno);
        _exit(3);
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        refused("becoming another", syscall(SYS_setresuid, others[i], others[i], others[i]));
        refused("becoming another in part", syscall(SYS_setresuid, ANN_ID, ANN_ID, others[i]));
        refused("becoming another to return", syscall(SYS_setresuid, ANN_ID, others[i], ANN_ID));
        refused("becoming another, later", syscall(SYS_setresuid, others[i], ANN_ID, ANN_ID));
    }
    refused("becoming root by high bits", syscall(SYS_setresuid, high, high, high));
    refused("becoming root by high bits", syscall(SYS_setresuid, high | ANN_ID, ANN_ID, ANN_ID));
    refused("setuid", setuid(ANN_ID));
    refused("setgid", setgid(0));
    refused("bob's file, without being bob", open("bob/own", O_RDONLY));
    pid = fork();
    if (pid == 0) {
        if (syscall(SYS_setresuid, ANN_ID, ANN_ID, ANN_ID)) {
            finding("not ann", errno);
            _exit(3);
        }
        fd_close(&fd);
        fd = open("ann", O_RDONLY | O_DIRECTORY);
        if (fd < 0 || fchdir(fd) || !sandbox_enter(own, &fd, 1, &e) || open("own", O_RDWR) < 0)
            finding("ann cannot use her own", errno);
        refused("another's file", open("../bob/own", O_RDONLY));
        refused("another's file by its path", open("/tmp/../proc/self/cwd/../bob/own", O_RDONLY));
        refused("another's directory", open("../bob", O_RDONLY | O_DIRECTORY));
        refused("new file of another's", open("../bob/new", O_WRONLY | O_CREAT, 0600));
        refused("removing another's file", unlink("../bob/own"));
        refused("taking another's file", rename("../bob/own", "taken"));
        refused("becoming bob", syscall(SYS_setresuid, BOB_ID, BOB_ID, BOB_ID));
        _exit(0);
    }
    waitpid(pid, &status, 0);
    _exit(status ? 3 : 0);
}

// Makes what two accounts have, and runs it; user ids alone protect them where cap is 0.
static int run_ids(int cap, const char *dir)
{
    static const struct {
        const char *dir, *file;
        uid_t uid;
    } accounts[] = {{"ann", "ann/own", ANN_ID}, {"bob", "bob/own", BOB_ID}};
    char name[100];
    int findings;

    snprintf(name, sizeof name, "user ids of accounts, Landlock at most %d", cap);
    what = name;
    for (size_t i = 0; i < COUNT(accounts); i++) {
        (void)!mkdir(accounts[i].dir, 0700);
        fd_close(&(int){open(accounts[i].file, O_WRONLY | O_CREAT, 0600)});
        if (chown(accounts[i].file, accounts[i].uid, NOBODY) || chown(accounts[i].dir, accounts[i].uid, NOBODY))
            return 1;
    }
    findings = run(NULL, false, cap, dir, 0);
    printf("%s sandbox %s\n", findings ? "FAIL" : "PASS", name);
    return findings;
}

static int run_profile(const struct sandbox_profile *p, bool is_root, int cap, const char *dir)
{
    static const int deadly[] = {SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv,
                                 SYS_process_vm_writev};
    char name[100];
    int findings;

    snprintf(name, sizeof name, "%s as %s, Landlock at most %d", p->name,
             is_root ? "root" : "nobody", cap);
    what = name;
    findings = run(p, is_root, cap, dir, 0);
    for (size_t i = 0; i < COUNT(deadly); i++)
        findings += run(p, is_root, cap, dir, deadly[i]);
    printf("%s sandbox %s\n", findings ? "FAIL" : "PASS", name);
    return findings;
}

int main(void)
{
    static const int caps[] = {0, 2, 1000};
    char dir[] = "/tmp/mox-containment-XXXXXX";
    int failed = 0, passed = 0;

    if (!mkdtemp(dir) || chdir(dir) || symlink("/etc/passwd", "link") || chmod(dir, 0777))
        return 1;
    fd_close(&(int){open("own", O_WRONLY | O_CREAT, 0666)});
    (void)!chmod("own", 0666);
    // All roles, and what commands close around themselves.
    for (enum role role = 0; role < ROLE_COUNT + 2; role++)
        for (size_t i = 0; i < COUNT(caps) && role != ROLE_MONITOR; i++)
            for (int is_root = 0; is_root < 2; is_root++) {
                const struct sandbox_profile *p = role < ROLE_COUNT ? role_profile(role)
                                                                    : database_profile(role > ROLE_COUNT);

                if (is_root && geteuid())
                    continue;
                if (run_profile(p, is_root, caps[i], dir))
                    failed++;
                else
                    passed++;
            }
    for (size_t i = 0; i < COUNT(caps) && !geteuid(); i++)
        if (run_ids(caps[i], dir))
            failed++;
        else
            passed++;
    printf("sandbox: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}
