#include "role/profiles.h"

#include "base/die.h"

// What a role takes at the utmost, from the limits of its buffers and arenas, and some more.
#define MIB ((size_t)1 << 20)

static const struct sandbox_profile profiles[ROLE_COUNT] = {
    // The monitor binds ports, opens directories and starts roles: it reads nobody's bytes, and
    // has no sandbox of its own.
    [ROLE_MONITOR] = {"monitor", 0},
    // Two files that were opened for it, and memory files for its results.
    [ROLE_CONFIG] = {"config", SANDBOX_MEMFILE, 1024 * MIB},
    // TLS records, and plain bytes that it moves; no files, no outgoing connections.
    [ROLE_FRONT] = {"front", SANDBOX_ACCEPT | SANDBOX_EPOLL | SANDBOX_SOCKETPAIR, 1024 * MIB},
    // Templates also have the calls of their children, whose own filter comes on top.
    [ROLE_SESSION_TEMPLATE] = {"session-template",
                               SANDBOX_FORK | SANDBOX_NESTED | SANDBOX_MEMFILE |
                                   SANDBOX_SOCKETPAIR, 256 * MIB},
    // A stranger's bytes: a stream, channels, and memory for one message.
    [ROLE_SESSION] = {"session", SANDBOX_MEMFILE, 256 * MIB},
    [ROLE_ACCOUNT_TEMPLATE] = {"account-template", SANDBOX_FORK | SANDBOX_NESTED | SANDBOX_FILES |
                                                       SANDBOX_THREADS | SANDBOX_MEMFILE, 4096 * MIB},
    // One person's directory.
    [ROLE_ACCOUNT] = {"account", SANDBOX_FILES | SANDBOX_THREADS | SANDBOX_MEMFILE, 4096 * MIB},
    [ROLE_AUTH] = {"auth", SANDBOX_FILES | SANDBOX_THREADS | SANDBOX_EPOLL, 1024 * MIB},
    [ROLE_QUEUE] = {"queue", SANDBOX_FILES | SANDBOX_THREADS | SANDBOX_EPOLL | SANDBOX_MEMFILE,
                    1024 * MIB},
    // Private keys, and the files of those that it makes; a thread makes those of RSA.
    [ROLE_KEYS] = {"keys", SANDBOX_EPOLL | SANDBOX_FILES | SANDBOX_THREADS, 256 * MIB},
    // Its own notes; requests to authorities that others sign and send.
    [ROLE_ACME] = {"acme", SANDBOX_EPOLL | SANDBOX_FILES | SANDBOX_MEMFILE, 256 * MIB},
    [ROLE_DKIM] = {"dkim", SANDBOX_EPOLL, 256 * MIB},
    // Answers of strangers, and the network to get them. The kernel cannot be told "the DNS and no
    // more": seccomp allows internet sockets to any address but no listening and no accepting, so
    // that UDP may go anywhere; Landlock, from ABI 4, lets TCP connect to port 53 alone. What a
    // captured resolve could send there is what it knows: questions. It has no files and no keys.
    [ROLE_RESOLVE] = {"resolve", SANDBOX_EPOLL | SANDBOX_THREADS | SANDBOX_DNS, 512 * MIB},
    // Its own database, and reports that it sends as memory files.
    [ROLE_ADMIN] = {"admin", SANDBOX_ACCEPT | SANDBOX_EPOLL | SANDBOX_FILES | SANDBOX_MEMFILE,
                    768 * MIB},
    // TCP connections for others, which get the sockets; it never reads one.
    [ROLE_DIAL] = {"dial", SANDBOX_EPOLL | SANDBOX_DIAL, 128 * MIB},
    [ROLE_DELIVER_TEMPLATE] = {"deliver-template",
                               SANDBOX_FORK | SANDBOX_NESTED | SANDBOX_SOCKETPAIR, 256 * MIB},
    // The replies of a stranger's server: one connected socket at a time, channels, and messages that it
    // can read and not change.
    [ROLE_DELIVER] = {"deliver", 0, 256 * MIB},
    [ROLE_FETCH_TEMPLATE] = {"fetch-template", SANDBOX_FORK | SANDBOX_NESTED | SANDBOX_CONNECTED,
                             256 * MIB},
    // A web server's answer: one connected socket, of which libcurl wants to know the addresses, and
    // channels.
    [ROLE_FETCH] = {"fetch", SANDBOX_CONNECTED, 128 * MIB},
    [ROLE_WEB_TEMPLATE] = {"web-template", SANDBOX_FORK | SANDBOX_NESTED | SANDBOX_SOCKETPAIR | SANDBOX_READ,
                           256 * MIB},
    // A stranger's requests: its socket, a channel to the monitor and one to keys.
    [ROLE_WEB] = {"web", SANDBOX_READ, 256 * MIB},
};

const struct sandbox_profile *database_profile(bool makes_files)
{
    static const struct sandbox_profile alone = {"database", SANDBOX_WRITE, 4096 * MIB};
    static const struct sandbox_profile with_files = {"database and files", SANDBOX_WRITE | SANDBOX_FILES | SANDBOX_DIRS,
                                                      4096 * MIB};

    return makes_files ? &with_files : &alone;
}

const struct sandbox_profile *role_profile(enum role role)
{
    if (role >= ROLE_COUNT)
        die("role_profile: no such role");
    return &profiles[role];
}
