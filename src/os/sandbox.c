#include "os/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <asm/ioctls.h>

#include "base/arena.h"
#include "os/fd.h"

struct sandbox {
    const struct sandbox_profile *profile;
    struct sock_fprog program;
    struct sock_fprog below; // a second one, that keeps ids below its limit; none without last_uid
};

/* Every role: memory, time, its own descriptors, its own end. */
static const int base_calls[] = {
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pread64),
    SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(lseek), SCMP_SYS(fstat),
    SCMP_SYS(poll), SCMP_SYS(ppoll),
    SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(recvfrom), SCMP_SYS(sendto),
    SCMP_SYS(shutdown), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
    SCMP_SYS(futex), SCMP_SYS(sched_yield), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday), SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group),
};

static const int file_calls[] = {
    SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(newfstatat),
    SCMP_SYS(statx), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
    SCMP_SYS(readlink), SCMP_SYS(getcwd), SCMP_SYS(getuid), SCMP_SYS(geteuid),
    SCMP_SYS(pwrite64), SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fsync),
    SCMP_SYS(fdatasync), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rename),
    SCMP_SYS(renameat), SCMP_SYS(getdents64), SCMP_SYS(mkdir), SCMP_SYS(mkdirat),
    SCMP_SYS(fchmod), SCMP_SYS(fstatfs), SCMP_SYS(msync), SCMP_SYS(rmdir),
};

static const int dir_calls[] = {SCMP_SYS(syncfs)};

// openat2 has its flags in memory, where no filter sees them: without Landlock nobody may call it.
static const int read_calls[] = {SCMP_SYS(openat2), SCMP_SYS(getdents64), SCMP_SYS(newfstatat), SCMP_SYS(sendfile)};

static const int write_calls[] = {SCMP_SYS(pwrite64), SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fsync),
                                  SCMP_SYS(fdatasync), SCMP_SYS(msync), SCMP_SYS(getuid), SCMP_SYS(geteuid)};

static const int thread_calls[] = {SCMP_SYS(eventfd2), SCMP_SYS(rt_sigtimedwait)};
static const int fork_calls[] = {SCMP_SYS(wait4), SCMP_SYS(waitid), SCMP_SYS(getppid)};
static const int accept_calls[] = {SCMP_SYS(accept4), SCMP_SYS(getpeername), SCMP_SYS(getsockname)};
static const int epoll_calls[] = {SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl),
                                  SCMP_SYS(epoll_create1)};
static const int dns_calls[] = {SCMP_SYS(bind), SCMP_SYS(connect), SCMP_SYS(getsockname),
                                SCMP_SYS(getpeername), SCMP_SYS(pipe2)}; // libevent: its own pipe
static const int dial_calls[] = {SCMP_SYS(bind), SCMP_SYS(connect), SCMP_SYS(getsockname)};
static const int connected_calls[] = {SCMP_SYS(getsockname), SCMP_SYS(getpeername)};
static const int memfile_calls[] = {SCMP_SYS(memfd_create), SCMP_SYS(pwrite64),
                                    SCMP_SYS(ftruncate)};
static const int nested_calls[] = {SCMP_SYS(seccomp), SCMP_SYS(landlock_create_ruleset),
                                   SCMP_SYS(landlock_add_rule),
                                   SCMP_SYS(landlock_restrict_self), SCMP_SYS(fchdir),
                                   SCMP_SYS(prlimit64), SCMP_SYS(capset)};

/* Calls that only an attacker makes here: the process ends, and the monitor logs the crash. */
static const int deadly_calls[] = {SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace),
                                   SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev)};

struct call_set {
    const int *calls;
    size_t n;
    unsigned feature; // 0: always
};

static const struct call_set call_sets[] = {
    {base_calls, COUNT(base_calls), 0},
    {file_calls, COUNT(file_calls), SANDBOX_FILES},
    {dir_calls, COUNT(dir_calls), SANDBOX_DIRS},
    {read_calls, COUNT(read_calls), SANDBOX_READ},
    {write_calls, COUNT(write_calls), SANDBOX_WRITE},
    {thread_calls, COUNT(thread_calls), SANDBOX_THREADS},
    {fork_calls, COUNT(fork_calls), SANDBOX_FORK},
    {accept_calls, COUNT(accept_calls), SANDBOX_ACCEPT},
    {epoll_calls, COUNT(epoll_calls), SANDBOX_EPOLL},
    {memfile_calls, COUNT(memfile_calls), SANDBOX_MEMFILE},
    {dns_calls, COUNT(dns_calls), SANDBOX_DNS},
    {dial_calls, COUNT(dial_calls), SANDBOX_DIAL},
    {connected_calls, COUNT(connected_calls), SANDBOX_CONNECTED},
    {nested_calls, COUNT(nested_calls), SANDBOX_NESTED},
};

static bool has_set(const struct sandbox_profile *p, const struct call_set *set)
{
    return !set->feature ||
           ((p->features & set->feature) && (set->feature != SANDBOX_READ || sandbox_landlock_abi() > 0));
}

static bool allow(scmp_filter_ctx ctx, int call)
{
    int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 0);

    return rc == 0 || rc == -EEXIST || rc == -EDOM; // EDOM: not on this architecture
}

// UDP and TCP, or TCP alone; nothing raw, no packets, no other families.
static bool allow_internet_sockets(scmp_filter_ctx ctx, bool has_udp)
{
    static const int families[] = {AF_INET, AF_INET6}, types[] = {SOCK_STREAM, SOCK_DGRAM};
    const scmp_datum_t flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    bool ok = true;

    for (size_t f = 0; f < COUNT(families); f++)
        for (size_t t = 0; t < (has_udp ? 2 : 1); t++)
            ok &= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                                   SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[f]),
                                   SCMP_A1(SCMP_CMP_MASKED_EQ, ~flags & 0xffffffff,
                                           (scmp_datum_t)types[t])) == 0;
    return ok;
}

// Calls of which only some arguments are harmless.
static bool allow_with_arguments(scmp_filter_ctx ctx, const struct sandbox_profile *p)
{
    const unsigned features = p->features;
    static const int fcntls[] = {F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_SETLK, F_GETLK, F_SETLKW,
                                 F_DUPFD_CLOEXEC, F_ADD_SEALS, F_GET_SEALS};
    bool ok = true;

    // Memory that can be executed is never made.
    ok &= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                           SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0;
    ok &= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                           SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0;
    for (size_t i = 0; i < COUNT(fcntls); i++)
        ok &= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
                               SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntls[i])) == 0;
    ok &= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                           SCMP_A1(SCMP_CMP_EQ, FIONREAD)) == 0;
    ok &= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                           SCMP_A1(SCMP_CMP_EQ, TIOCOUTQ)) == 0;
    ok &= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                           SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME)) == 0;
    // How the C library asks for what fstat tells.
    if (features & SANDBOX_WRITE)
        ok &= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1, SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH)) == 0;
    if (features & SANDBOX_SOCKETPAIR)
        ok &= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
                               SCMP_A0(SCMP_CMP_EQ, AF_UNIX)) == 0;
    if (features & (SANDBOX_DNS | SANDBOX_DIAL))
        ok &= allow_internet_sockets(ctx, features & SANDBOX_DNS);
    // libcurl up to 7.88 connects a socket that it was told is connected. A real connect could lead it
    // elsewhere.
    if (features & SANDBOX_CONNECTED)
        ok &= seccomp_rule_add(ctx, SCMP_ACT_ERRNO(0), SCMP_SYS(connect), 0) == 0;
    // glibc asks for clone3 first and takes ENOSYS for an answer; its arguments cannot be seen.
    ok &= seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
    if (features & SANDBOX_THREADS)
        ok &= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                               SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)) == 0;
    if (features & SANDBOX_FORK)
        ok &= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                               SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_VM | CLONE_NEWUSER, 0)) == 0;
    // Each of the three, so that there is no way back; not above last_uid either: see compile_below.
    if (p->last_uid)
        ok &= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(setresuid), 3, SCMP_A0(SCMP_CMP_GE, p->first_uid),
                               SCMP_A1(SCMP_CMP_GE, p->first_uid), SCMP_A2(SCMP_CMP_GE, p->first_uid)) == 0;
    if (features & SANDBOX_NESTED) {
        static const int prctls[] = {PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE, PR_SET_PDEATHSIG};

        for (size_t i = 0; i < COUNT(prctls); i++)
            ok &= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                   SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)prctls[i])) == 0;
    }
    return ok;
}

// Without SANDBOX_FILES nothing may be opened; the C library asks all the same, for instance for
// the time zone, and takes EPERM for an answer.
static bool add_rules(scmp_filter_ctx ctx, const struct sandbox_profile *p)
{
    for (size_t i = 0; i < COUNT(call_sets); i++)
        if (has_set(p, &call_sets[i]))
            for (size_t k = 0; k < call_sets[i].n; k++)
                if (!allow(ctx, call_sets[i].calls[k]))
                    return false;
    for (size_t i = 0; i < COUNT(deadly_calls); i++)
        if (seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, deadly_calls[i], 0) != 0)
            return false;
    return allow_with_arguments(ctx, p);
}

// The program as bytes: libseccomp writes it to a descriptor.
static bool export_program(scmp_filter_ctx ctx, struct sock_fprog *out, struct err *e)
{
    AUTO_FD fd = memfd_create("seccomp", MFD_CLOEXEC);
    off_t n;

    if (fd < 0 || seccomp_export_bpf(ctx, fd) != 0 || (n = lseek(fd, 0, SEEK_END)) <= 0)
        return fail(e, ERR_BUG, "cannot compile the sandbox");
    out->len = (unsigned short)((size_t)n / sizeof *out->filter);
    out->filter = heap_array(out->len, sizeof *out->filter);
    if (pread(fd, out->filter, (size_t)n, 0) != n)
        return fail(e, ERR_BUG, "cannot read the compiled sandbox");
    return true;
}

// An argument is compared once in a rule: what is too large is refused by a program of its own, and the kernel asks both.
static bool compile_below(struct sandbox *s, struct err *e)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    bool ok = ctx != NULL;

    for (unsigned i = 0; ok && i < 3; i++)
        ok = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setresuid), 1,
                              SCMP_CMP64(i, SCMP_CMP_GT, s->profile->last_uid)) == 0;
    if (!ok)
        fail(e, ERR_BUG, "cannot build the sandbox of %s", s->profile->name);
    ok = ok && export_program(ctx, &s->below, e);
    if (ctx)
        seccomp_release(ctx);
    return ok;
}

struct sandbox *sandbox_compile(const struct sandbox_profile *p, struct err *e)
{
    struct sandbox *s = heap_alloc(sizeof *s);
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    bool ok;

    *s = (struct sandbox){.profile = p};
    ok = ctx && seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0 && add_rules(ctx, p);
    if (!ok)
        fail(e, ERR_BUG, "cannot build the sandbox of %s", p->name);
    ok = ok && export_program(ctx, &s->program, e);
    if (ctx)
        seccomp_release(ctx);
    if (ok && (!p->last_uid || compile_below(s, e)))
        return s;
    sandbox_free(s);
    return NULL;
}

void sandbox_free(struct sandbox *s)
{
    if (!s)
        return;
    free(s->program.filter);
    free(s->below.filter);
    free(s);
}

bool sandbox_is_off(void)
{
#ifdef MOX_SANDBOX_SWITCH
    const char *value = getenv("MOX_SANDBOX");

    return value && strcmp(value, "off") == 0;
#else
    return false;
#endif
}

static int landlock_cap = 1000;

void sandbox_cap_landlock_for_test(int abi)
{
    landlock_cap = abi;
}

int sandbox_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

#ifdef MOX_SANDBOX_SWITCH
    const char *cap = getenv("MOX_LANDLOCK_ABI");

    if (cap && cap[0] >= '0' && cap[0] <= '9' && cap[0] - '0' < abi)
        abi = cap[0] - '0';
#endif
    if (abi > landlock_cap)
        abi = landlock_cap;
    return abi < 0 ? 0 : (int)abi;
}

// Newer than the headers of Debian 12.
enum {
    FS_REFER = 1 << 13,
    FS_TRUNCATE = 1 << 14,
    FS_IOCTL_DEV = 1 << 15,
    NET_BIND = 1,
    NET_CONNECT = 2,
    RULE_NET_PORT = 2,
    DNS_PORT = 53,
    SCOPE_ALL = 3, // abstract sockets, signals
};

struct net_port_attr {
    uint64_t allowed_access, port;
};

struct ruleset_attr {
    uint64_t handled_fs, handled_net, scoped;
};

static bool enter_landlock(const struct sandbox_profile *p, const int *dirs, size_t n_dirs,
                           struct err *e)
{
    int abi = sandbox_landlock_abi();
    struct ruleset_attr attr = {.handled_fs = (1 << 13) - 1};
    size_t size = sizeof attr.handled_fs;
    AUTO_FD rules = -1;

    if (!abi)
        return true;
    if (abi >= 2)
        attr.handled_fs |= FS_REFER;
    if (abi >= 3)
        attr.handled_fs |= FS_TRUNCATE;
    if (abi >= 4) {
        attr.handled_net = p->features & SANDBOX_DIAL ? NET_BIND : NET_BIND | NET_CONNECT;
        size = sizeof attr.handled_fs + sizeof attr.handled_net;
    }
    if (abi >= 5)
        attr.handled_fs |= FS_IOCTL_DEV;
    if (abi >= 6) {
        attr.scoped = SCOPE_ALL;
        size = sizeof attr;
    }
    rules = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (rules < 0)
        return fail_errno(e, "Landlock rules");
    for (size_t i = 0; i < n_dirs; i++) {
        struct landlock_path_beneath_attr beneath = {
            .parent_fd = dirs[i],
            .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
        };

        // Files and directories, but no devices, sockets or programs.
        if (p->features & SANDBOX_FILES)
            beneath.allowed_access |= attr.handled_fs &
                                      (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
                                       LANDLOCK_ACCESS_FS_REMOVE_FILE | FS_TRUNCATE);
        if (p->features & SANDBOX_DIRS)
            beneath.allowed_access |= LANDLOCK_ACCESS_FS_MAKE_DIR;

        if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0)
            return fail_errno(e, "Landlock rule for a directory");
    }
    if (abi >= 4 && (p->features & SANDBOX_DNS)) {
        struct net_port_attr dns = {NET_CONNECT, DNS_PORT};

        if (syscall(SYS_landlock_add_rule, rules, RULE_NET_PORT, &dns, 0) < 0)
            return fail_errno(e, "Landlock rule for a port");
    }
    if (abi >= 4 && (p->features & SANDBOX_DIAL)) {
        struct net_port_attr any = {NET_BIND, 0}; // an address to come from, with a port of the kernel's

        if (syscall(SYS_landlock_add_rule, rules, RULE_NET_PORT, &any, 0) < 0)
            return fail_errno(e, "Landlock rule for a port");
    }
    if (syscall(SYS_landlock_restrict_self, rules, 0) < 0)
        return fail_errno(e, "entering Landlock");
    return true;
}

// What root may do beyond its files: nothing of it is needed inside, or this one thing.
static bool drop_capabilities(const struct sandbox_profile *p, struct err *e)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const uint32_t left = p->last_uid ? CAP_TO_MASK(CAP_SETUID) : 0;
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{.effective = left, .permitted = left}};

    return syscall(SYS_capset, &header, sets) == 0 || fail_errno(e, "dropping capabilities");
}

// A process that was taken over, or led astray by its input, takes this much and no more.
static bool limit_memory(const struct sandbox_profile *p, struct err *e)
{
    struct rlimit memory = {p->memory_bytes, p->memory_bytes};

    return setrlimit(RLIMIT_DATA, &memory) == 0 || fail_errno(e, "limiting memory");
}

bool sandbox_enter(const struct sandbox *s, const int *dirs, size_t n_dirs, struct err *e)
{
    if (sandbox_is_off())
        return true;
    if (!limit_memory(s->profile, e))
        return false;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return fail_errno(e, "prctl");
    if (!enter_landlock(s->profile, dirs, n_dirs, e) || !drop_capabilities(s->profile, e))
        return false;
    // The one that allows more first: the other need not allow making this call.
    if ((s->below.len && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &s->below) < 0) ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &s->program) < 0)
        return fail_errno(e, "seccomp of %s", s->profile->name);
    return true;
}

size_t sandbox_allowed(const struct sandbox_profile *p, int *out, size_t max)
{
    static const int by_argument[] = {SCMP_SYS(mmap),  SCMP_SYS(mprotect), SCMP_SYS(fcntl),
                                      SCMP_SYS(ioctl), SCMP_SYS(prctl)};
    size_t n = 0;

    for (size_t i = 0; i < COUNT(call_sets); i++)
        if (!call_sets[i].feature || (p->features & call_sets[i].feature))
            for (size_t k = 0; k < call_sets[i].n && n < max; k++)
                out[n++] = call_sets[i].calls[k];
    for (size_t i = 0; i < COUNT(by_argument) && n < max; i++)
        out[n++] = by_argument[i];
    if ((p->features & SANDBOX_SOCKETPAIR) && n < max)
        out[n++] = SCMP_SYS(socketpair);
    if ((p->features & (SANDBOX_DNS | SANDBOX_DIAL)) && n < max)
        out[n++] = SCMP_SYS(socket);
    if ((p->features & SANDBOX_CONNECTED) && n < max)
        out[n++] = SCMP_SYS(connect);
    if (p->last_uid && n < max)
        out[n++] = SCMP_SYS(setresuid);
    if ((p->features & (SANDBOX_THREADS | SANDBOX_FORK)) && n < max)
        out[n++] = SCMP_SYS(clone);
    return n;
}
