/*
 * The sandbox: what a process may ask of the kernel after it has been entered. There is no way out.
 *
 * The floor is seccomp: calls not in the profile's list fail with EPERM (execve and the like end
 * the process). Landlock adds, as far as the kernel has it, that no path outside the given
 * directories can be opened, and from ABI 4 that no TCP port can be bound or connected to.
 */
#pragma once

#include "base/err.h"

enum {
    SANDBOX_FILES = 1 << 0,   // open, create and remove files (Landlock limits where)
    SANDBOX_DIRS = 1 << 13,   // with it: make directories there, too, and sync all that was written
    SANDBOX_READ = 1 << 11,   // open files and directories to read them, and send them: only where Landlock says
    SANDBOX_WRITE = 1 << 12,  // write to files that it was given, anywhere in them, and sync them
    SANDBOX_THREADS = 1 << 1, // make threads
    SANDBOX_FORK = 1 << 2,    // make processes, and wait for them (templates)
    SANDBOX_ACCEPT = 1 << 3,  // accept connections on sockets it was given
    SANDBOX_SOCKETPAIR = 1 << 4,
    SANDBOX_EPOLL = 1 << 5,
    SANDBOX_MEMFILE = 1 << 6,
    SANDBOX_NESTED = 1 << 7, // enter a further sandbox (templates, for their children)
    SANDBOX_DIAL = 1 << 9,   // TCP connections to others
    /*
     * For a library that wants to have connected the socket that it was given: it may ask for the addresses,
     * and connect() does nothing and says that it did.
     */
    SANDBOX_CONNECTED = 1 << 10,
    SANDBOX_DNS = 1 << 8,    // UDP to anywhere, and TCP to port 53 (elsewhere: Landlock from ABI 4)
};

struct sandbox_profile {
    const char *name;
    unsigned features;
    size_t memory_bytes; // of its own at most; then allocations fail
    /*
     * Of a process that has CAP_SETUID, for whom its children are: it may become these users, by setresuid, and no other;
     * 0: nobody.
     */
    unsigned first_uid, last_uid;
};

/* A compiled seccomp program: made once in a template, loaded by each child. */
struct sandbox;

struct sandbox *sandbox_compile(const struct sandbox_profile *p, struct err *e);
void sandbox_free(struct sandbox *s);

/*
 * Closes the sandbox around this process, before its first thread and its first untrusted byte.
 * dirs are the directories whose files it may use. Fails when the kernel lacks seccomp.
 */
MUST_USE bool sandbox_enter(const struct sandbox *s, const int *dirs, size_t n_dirs,
                            struct err *e);

/* The kernel's Landlock ABI, at most the cap that a test set; 0 when there is none. */
int sandbox_landlock_abi(void);
void sandbox_cap_landlock_for_test(int abi);

/* The numbers of the calls a profile allows, for the containment test; returns how many. */
size_t sandbox_allowed(const struct sandbox_profile *p, int *out, size_t max);

/* Whether a test build was told to leave the sandbox open (MOX_SANDBOX=off). */
bool sandbox_is_off(void);
