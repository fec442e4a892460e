/*
 * How a role begins: it hears from the monitor what it is given, makes itself ready, closes its
 * sandbox and says so. The same for all roles that are started by exec.
 */
#pragma once

#include "base/arena.h"
#include "crypto/tls_client.h"
#include "ipc/channel.h"
#include "ipc/compiled.h"
#include "ipc/metrics.h"

enum { ROLE_MAX_GIVEN = 128, ROLE_MAX_CERTS = 1000, ROLE_MAX_DIRS = 256 };

struct given_file {
    uint32_t listener, key;
    int fd;
};

/* A certificate that an authority gave, for all listeners that name it; one that is temporary is for port 25 alone. */
struct given_cert {
    struct str provider, host; // heap
    uint32_t key;
    bool is_temporary;
    int fd;
};

struct role_start {
    enum role role;
    struct channel monitor;
    struct packet *packet;
    struct arena arena; // for what lives as long as the process
    struct str config;  // compiled, see ipc/compiled.h
    uint64_t config_number;
    int dirs[ROLE_MAX_DIRS]; // those given with the configuration
    size_t n_dirs;
    int authorities; // a memory file, for role_read_authorities; -1: the configuration names none
    struct given_file listeners[ROLE_MAX_GIVEN]; // listening sockets; key unused
    size_t n_listeners;
    struct given_file tls_files[ROLE_MAX_GIVEN];
    size_t n_tls_files;
    struct given_cert certs[ROLE_MAX_CERTS];
    size_t n_certs;
    unsigned char received_key[RECEIVED_ID_KEY_BYTES]; // of the session template
    unsigned char srs_key[SRS_KEY_BYTES];              // of auth
    struct ipc_account_ids account_ids;                // of the account template; last 0: its children have its own
    struct ipc_settings settings;
    struct ipc_listener *ports; // all records of listeners
    size_t n_ports, cap_ports;
    const struct metrics_page *metrics[ROLE_COUNT]; // of the web template: those to be shown
};

/* Receives everything up to `go`; s is static and zero. Ends the process when the monitor is not there. */
void role_start(struct role_start *s, enum role role);
/* Keeps the file of a tls_file or tls_cert message. */
MUST_USE bool role_keep_certificate(struct role_start *s, struct packet *p, struct err *e);
/* Closes the sandbox (dirs are s->dirs) and tells the monitor. Ends the process on failure. */
void role_ready(struct role_start *s);
/* Reads a `config` message's memory file into the arena. */
MUST_USE bool role_read_config(struct packet *p, struct arena *a, struct str *out, struct err *e);
/*
 * The certificates of TLS.CA (PEM), for who connects to others: before role_ready. Empty when the configuration names
 * none; then, or with is_alone false, the system's are trusted.
 */
struct role_authorities {
    struct str pem;
    bool is_alone;
};
MUST_USE bool role_read_authorities(struct role_start *s, struct role_authorities *out, struct err *e);
/* A client of TLS that trusts them. NULL on failure. */
struct tls_client *role_tls_client(struct role_start *s, struct err *e);
/* The listener record of that number, or NULL. */
const struct ipc_listener *role_port(const struct role_start *s, uint32_t index);

/* Each role's own main, run by src/main.c after exec. They do not return. */
_Noreturn void config_main(void);
_Noreturn void front_main(void);
_Noreturn void session_template_main(void);
_Noreturn void account_template_main(void);
_Noreturn void auth_main(void);
_Noreturn void queue_main(void);
_Noreturn void keys_main(void);
_Noreturn void dkim_main(void);
_Noreturn void acme_main(void);
_Noreturn void resolve_main(void);
_Noreturn void admin_main(void);
_Noreturn void dial_main(void);
_Noreturn void deliver_template_main(void);
_Noreturn void fetch_template_main(void);
_Noreturn void web_template_main(void);

/* Runs the role of that name; returns only when there is no such role. */
void role_run(struct str name);
