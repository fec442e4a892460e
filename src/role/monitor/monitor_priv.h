/*
 * What the files of the monitor share: its tables of roles, connections and accounts.
 *
 * The monitor reads nobody's bytes but signals, messages of fixed shape from its children, and the
 * compiled configuration. It starts roles, connects them, and remembers who is who.
 */
#pragma once

#include <sys/types.h>

#include "base/map.h"
#include "ipc/channel.h"
#include "os/event.h"

enum {
    MAX_SESSIONS = 1000,      // at once, all protocols; more get their protocol's "try later"
    MAX_ACCOUNTS = 500,       // account processes at once
    MAX_GRANTS_PER_CONN = 1000,
    MAX_LISTENERS = 64,
    MAX_KEYS = 64,
    RESTART_DELAY_MS = 1000,  // before a single-instance role that died is started again
    STOP_TIMEOUT_MS = 5000,   // for roles to finish at a graceful stop
};

/* A role started by exec: one process, or for templates possibly an old one beside the new. */
struct process {
    enum role role;
    pid_t pid;
    struct channel ch;
    bool is_ready;    // has acknowledged its configuration
    bool is_retired;  // a template replaced by another; ends with its last child
    struct event_source *source;
    struct monitor *m;
    struct process *next;
};

struct grant {
    uint32_t number;
    struct str account, mailbox, address; // one heap block each; see grant_free
};

enum conn_state { CONN_SESSION, CONN_ACCOUNT, CONN_PARKED };

/* A client's connection, from accept to its end, whoever serves it. */
struct conn {
    uint64_t id;
    enum conn_state state;
    uint8_t protocol;
    bool is_tls;
    struct str remote;
    struct str account, login; // empty before login
    struct channel ch;         // to its session; fd -1 otherwise
    struct event_source *source;
    uint32_t granted;          // bits of enum ipc_service
    struct grant *grants;
    size_t n_grants, cap_grants;
    bool child_running; // its template has not reported its end
    struct process *template;
    struct monitor *m;
};

/* A running account process. */
struct account {
    uint64_t id;
    struct str name;
    struct channel ch;
    struct event_source *source;
    uint64_t sent; // messages, to know whether it may go
    struct monitor *m;
};

/* One port of the configuration, with its socket. */
struct listener {
    uint32_t index;
    uint8_t protocol;
    int fd;
};

/* Certificate and key files, opened by path once and passed on. */
struct tls_pair {
    uint32_t listener, key;
    int cert_fd, key_fd;
};

struct monitor {
    struct event_loop *loop;
    const char *config_path;
    int config_dir, data_dir, accounts_dir, ctl_fd;
    int configs[ROLE_COUNT]; // compiled configuration per role, -1 when it has none
    uint64_t config_number;
    int64_t domains_changed_ns; // of domains.conf when it was last read
    bool is_localserve;
    struct process *processes;
    struct map conns;    // id in hex -> struct conn
    struct map accounts; // name -> struct account
    struct map known;    // account names of the configuration -> quota (struct known_account)
    struct listener listeners[MAX_LISTENERS];
    size_t n_listeners;
    struct tls_pair pairs[MAX_KEYS];
    size_t n_pairs;
    struct grant *queue_grants; // those that auth gave to the queue
    size_t n_queue_grants, cap_queue_grants;
    uint64_t next_account_id;
    size_t n_sessions;
    struct packet *packet;
    bool is_stopping;
    int exit_code;
};
