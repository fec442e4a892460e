#include "role/profiles.h"

#include "base/die.h"

static const struct sandbox_profile profiles[ROLE_COUNT] = {
    // The monitor binds ports, opens directories and starts roles: it reads nobody's bytes, and
    // has no sandbox of its own.
    [ROLE_MONITOR] = {"monitor", 0},
    // Two files that were opened for it, and memory files for its results.
    [ROLE_CONFIG] = {"config", SANDBOX_MEMFILE},
    // TLS records, and plain bytes that it moves; no files, no outgoing connections.
    [ROLE_FRONT] = {"front", SANDBOX_ACCEPT | SANDBOX_EPOLL | SANDBOX_SOCKETPAIR},
    // Templates also have the calls of their children, whose own filter comes on top.
    [ROLE_SESSION_TEMPLATE] = {"session-template",
                               SANDBOX_FORK | SANDBOX_NESTED | SANDBOX_MEMFILE},
    // A stranger's bytes: a stream, channels, and memory for one message.
    [ROLE_SESSION] = {"session", SANDBOX_MEMFILE},
    [ROLE_ACCOUNT_TEMPLATE] = {"account-template", SANDBOX_FORK | SANDBOX_NESTED | SANDBOX_FILES |
                                                       SANDBOX_THREADS | SANDBOX_MEMFILE},
    // One person's directory.
    [ROLE_ACCOUNT] = {"account", SANDBOX_FILES | SANDBOX_THREADS | SANDBOX_MEMFILE},
    [ROLE_AUTH] = {"auth", SANDBOX_FILES | SANDBOX_THREADS | SANDBOX_EPOLL},
    [ROLE_QUEUE] = {"queue", SANDBOX_FILES | SANDBOX_THREADS | SANDBOX_EPOLL | SANDBOX_MEMFILE},
    [ROLE_KEYS] = {"keys", SANDBOX_EPOLL},
    [ROLE_ADMIN] = {"admin", SANDBOX_ACCEPT | SANDBOX_EPOLL},
};

const struct sandbox_profile *role_profile(enum role role)
{
    if (role >= ROLE_COUNT)
        die("role_profile: no such role");
    return &profiles[role];
}
