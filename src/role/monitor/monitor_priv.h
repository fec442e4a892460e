/*
 * What the files of the monitor share: its tables of roles, connections and accounts.
 *
 * The monitor reads nobody's bytes but signals, messages of fixed shape from its children, and the
 * compiled configuration. It starts roles, connects them, and remembers who is who.
 */
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/map.h"
#include "ipc/channel.h"
#include "ipc/compiled.h"
#include "os/event.h"
#include "os/user.h"
#include "role/monitor/monitor.h"

enum {
    MAX_SESSIONS = 1000,  // at once, of mail's protocols; more get their protocol's "try later"
    MAX_WEBS = 1000,      // and of HTTP
    MAX_ACCOUNTS = 500,   // account processes at once
    MAX_DELIVERS = 100,   // processes that send mail out
    MAX_FETCHES = 60,     // processes that ask web servers; for whom how many, see delivers.c
    MAX_GRANTS = 2000,    // not yet used, of one connection or of the queue
    MAX_ASKED = 100,      // channels to services, of one session: it keeps what it has
    MAX_LISTENERS = 64,
    MAX_KEYS = 128,
    MAX_HOOKS = 16,       // programs for the DNS: authorities
    MAX_LEVELS = 64,
    MAX_CHANGES = 64,     // of domains.conf that auth has not taken over yet
    STOP_CLIENTS_MS = 3000, // at a graceful stop: for connections to go
    STOP_ALL_MS = 5000,     // and for everything
};

/* A child of the template of fetches. */
struct fetching {
    uint64_t conn; // its number; 0: none
    enum role asker;
};

/* A role started by exec: one process, or for templates possibly an old one beside the new. */
struct process {
    enum role role;
    pid_t pid;
    struct channel ch;
    bool is_ready;   // has acknowledged its configuration
    size_t n_delivers; // of their template: children that run
    struct fetching fetches[MAX_FETCHES]; // of that of fetches
    bool is_retired; // a template replaced by another; ends with its last child
    struct event_source *source;
    struct monitor *m;
    struct process *next;
};

/* A permission to deliver one message that auth gave and nobody has used yet. */
struct grant {
    uint32_t number;
    struct str account, mailbox, address; // in the same heap block
    struct grant *next;
};

enum conn_state { CONN_SESSION, CONN_ACCOUNT, CONN_PARKED };

/* A client's connection, from accept to its end, whoever serves it. */
struct conn {
    uint64_t id;
    enum conn_state state;
    uint8_t protocol;
    uint32_t listener;
    bool is_tls;
    char remote[64], local[64];
    struct str tls, binding_type, binding, client_key; // in tls_facts; for auth, see IPC_TLS_FACTS
    char *tls_facts;           // heap
    struct str account, login; // heap, empty before login
    struct str sealing;        // heap: domains in whose names it may have messages sealed
    struct channel ch;         // to its session; fd -1 otherwise
    const struct process *template; // who has forked that, and says when it ends
    struct event_source *source;
    struct grant *grants;
    size_t n_grants;
    unsigned n_asked;      // channels to services
    bool is_detach_due;    // resumed before its account said that it was parked
    struct monitor *m;
};

/* What the configuration says of an account. */
struct known_account {
    uint64_t quota_bytes;
    uint32_t max_per_day, max_first_per_day, keep_retired_s;
    struct str config; // the account's own part, in the same heap block; not read here
};

/* A running account process. */
struct account {
    uint64_t id;
    pid_t template, pid; // of the process that has forked it, and its own; 0 before that says so
    struct str name; // heap
    struct channel ch;
    struct event_source *source;
    uint64_t sent; // messages, to know whether it may go
    bool has_task; // asked, and not answered yet
    uint64_t task; // the admin's request then
    struct monitor *m;
    struct account *next; // in the list of those that leave
};

struct port {
    struct ipc_listener info;
    int fd;
};

/* A file as it was when it was last looked at. */
struct seen_file {
    const char *path;
    uint64_t inode;
    int64_t changed_ns;
};

/* Certificate and key files, opened by path and passed on; again when they have changed. */
struct tls_pair {
    uint32_t listener, key;
    int cert_fd, key_fd;
    struct seen_file cert, key_file;
    int next_cert_fd; // with the number next_key, until keys has that; -1: none
    int next_key_fd;
    uint32_t next_key;
};

/* A certificate that an authority gave, or one of our own until then. */
struct cert {
    struct str provider, host; // heap
    uint8_t kind;
    uint32_t key;
    bool is_temporary;
    int fd; // the chain, a memory file
};

/* A program for dns-01, and its run. */
struct hook {
    struct str provider;
    const char *path;
    pid_t pid; // 0: it does not run
    uint64_t request;
    int64_t deadline_ms;
};

/* The user ids that are for accounts; account_ids.c. */
struct account_ids {
    uid_t first;
    uint32_t n; // 0: all accounts have that of their template
    unsigned char *used; // heap, a bit each
    struct map of;       // names of accounts that have one -> the id, as a pointer
    bool has_said;       // that there are too few
};

struct level {
    struct str package, level; // heap
};

/* A change that admin asked for, and the number of the configuration that has it. */
struct change {
    uint64_t request, config_number;
};

struct monitor {
    struct monitor_options options;
    struct event_loop *loop;
    struct arena arena; // what lives as long as the process
    unsigned char received_key[RECEIVED_ID_KEY_BYTES];
    int metrics[ROLE_COUNT];      // memory files, by role: a template's are its children's
    int metrics_read[ROLE_COUNT]; // the same, to be read only
    int main_copy;      // mox.conf as it was at start, sealed
    int config_dir, data_dir, accounts_dir, auth_dir, queue_dir, admin_dir, acme_dir, acme_state_dir, ctl_fd;
    int configs[ROLE_COUNT]; // compiled configuration per role, -1 when it has none
    int signing_keys;        // the private keys of DKIM, a memory file of records
    int host_keys;           // those of hosts, and for authorities, another
    int authorities;         // certificates of TLS.CA, PEM, a memory file; -1: none are configured
    bool has_acme;           // a listener has certificates of an authority
    uint64_t config_number;
    uint64_t domains_version; // of domains.conf when it was last read
    struct change changes[MAX_CHANGES]; // not answered yet
    size_t n_changes;
    struct ipc_settings settings;
    struct os_user user; // User of mox.conf, when root started us
    struct os_user ids;  // the first of the ids that are kept for it beside its own; owners.c
    struct account_ids account_ids;
    struct process *processes;
    struct promise *promises;
    struct map conns;    // id in hex -> struct conn
    struct map accounts; // name -> struct account
    struct account *leaving; // told to end, and in that table no more
    struct map removed;  // names of accounts whose mail goes with their process -> the monitor
    struct map known;    // account names of the configuration -> heap struct known_account
    struct port ports[MAX_LISTENERS];
    size_t n_ports;
    struct tls_pair pairs[MAX_KEYS];
    size_t n_pairs;
    uint32_t last_key; // number of one
    struct cert *certs; // heap
    size_t n_certs;
    bool are_certs_new; // and not passed on yet
    struct hook hooks[MAX_HOOKS];
    size_t n_hooks;
    struct level levels[MAX_LEVELS]; // set at run time or on the command line
    size_t n_levels;
    struct grant *queue_grants;
    size_t n_queue_grants;
    uint64_t next_account_id;
    size_t n_sessions, n_webs;
    uint64_t next_deliver_id;
    struct packet *packet;
    int64_t begun_ms[ROLE_COUNT]; // when a template was last replaced, or a role started on demand
    bool is_ready;                   // has been said
    int64_t stopping_ms;             // since when; 0: not
    bool is_stop_sent;               // to the roles behind the connections
    int exit_code;
};

/* --- load.c: the configuration ------------------------------------------------------------------ */

/* Reads everything at start: directories, ports, certificates. Problems go to standard error. */
bool load_first(struct monitor *m, struct err *e);
/* Looks whether domains.conf has changed, and takes it over when it is good. */
void load_again(struct monitor *m);
/* Gives admin domains.conf; and takes what admin makes of it, when that is good. */
bool domains_read(struct process *admin, uint64_t request, struct err *e);
bool domains_write(struct process *admin, struct packet *p, struct err *e);
/* auth uses the configuration of that number: what it changes is in effect, and admin hears so. */
void domains_in_use(struct monitor *m, uint64_t number);

/* --- key_files.c: files with private keys ------------------------------------------------------------- */

/* Each record of a compiled configuration: if it names such a file, what is in it is put into out. */
typedef bool key_file_fn(struct monitor *m, enum compiled_type type, struct str body, int out, struct err *e);
/* A memory file of that name with what fn puts there, sealed. -1 on failure. */
int key_files_read(struct monitor *m, int compiled, const char *name, key_file_fn *fn, struct err *e);
/* Puts a record there. secret, the key in it, and body are erased. */
MUST_USE bool key_file_put(int out, enum compiled_type type, struct buf *body, struct str secret, struct err *e);

/* --- signing_keys.c: the files with private keys of DKIM --------------------------------------------- */

/*
 * The private keys of DKIM that a compiled configuration names, in one memory file: dkim can be started
 * again with keys that were good, whatever became of their files. -1 on failure.
 */
int signing_keys_read(struct monitor *m, int compiled, struct err *e);
/* Makes a key for each of the names, a line each, as admin says: all, or none. */
MUST_USE bool signing_keys_make(struct monitor *m, struct arena *a, struct str names, struct err *e);
/* Removes those again. */
void signing_keys_drop(struct monitor *m, struct arena *a, struct str names);
/*
 * Whether admin may have asked for the configuration after, when before is in use: a key that signs and did not before is
 * in the directory for them. Elsewhere are those of TLS, and somebody who writes the file himself may have his reasons.
 */
MUST_USE bool signing_keys_may_be(int before, int after, struct err *e);
/* Moves those that nothing in use signs with any more to "old" beside them; what cannot be moved stays, and is logged. */
void signing_keys_put_away(struct monitor *m, struct str names);

/* --- owners.c: whom the roles run as, and whose their files are --------------------------------------- */

/* Looks them up; a sentence when they cannot be had. */
MUST_USE bool owners_choose(struct monitor *m, struct err *e);
struct os_user role_user(const struct monitor *m, enum role role);
/* Nobody but root can write to the configuration, nor anybody read it. */
MUST_USE bool owners_protect_config(struct monitor *m, struct err *e);
/* The data directory, and one in it that is a role's: from now on its, who can reach it. */
MUST_USE bool owners_give_data(struct monitor *m, int dir_fd, struct err *e);
MUST_USE bool owners_give(struct monitor *m, int dir_fd, enum role role, struct err *e);

/* --- account_ids.c: whom accounts run as, and whose their files are ------------------------------------ */

void account_ids_init(struct monitor *m, uid_t first, uint32_t n);
/* Whose process the account's is, and its directory, which is so far as dir says. */
struct os_user account_user(struct monitor *m, struct str name, const struct stat *dir);
/* The directory of an account, and what is in it, for nobody but the user. */
MUST_USE bool account_give(int dir_fd, const struct os_user *user, struct err *e);
/* At the start: every account has its directory, and the template the one above. */
MUST_USE bool accounts_give(struct monitor *m, struct err *e);
/* There is no directory any more. */
void account_id_forget(struct monitor *m, struct str name);

/* --- roles.c: the processes ---------------------------------------------------------------------- */

/* Starts what is not running, of the roles that always run. */
void roles_start(struct monitor *m);
/* The process of a role that takes requests now, or NULL. */
struct process *role_process(struct monitor *m, enum role role);
/* Starts another process of a role. NULL on failure, which is logged. */
struct process *process_start(struct monitor *m, enum role role);
/* All certificates that a role shakes hands with, of files and of authorities. */
MUST_USE bool role_send_certificates(struct monitor *m, struct process *p, struct err *e);
void roles_reap(struct monitor *m);
/* Handles what a role has already said, before something that depends on it. */
void role_drain(struct monitor *m, enum role role);
/* A template lost a child: put a fresh one in its place. */
void role_replace(struct monitor *m, enum role role);
void roles_stop(struct monitor *m, bool all);
/* A pair of sockets, and the announcement of one end to a process. *out is the other end. */
bool role_connect(struct monitor *m, struct channel *to, const struct ipc_peer *who, int *out,
                  struct err *e);
void level_set(struct monitor *m, struct str package, struct str level);
void monitor_stop(struct monitor *m, int exit_code);

/* --- certs.c: certificates from authorities -------------------------------------------------------- */

/* The private keys that a compiled configuration names for them, in one memory file. -1 on failure. */
int host_keys_read(struct monitor *m, int compiled, struct err *e);
/* keys has a certificate. */
bool certificate_take(struct monitor *m, struct packet *p, struct err *e);
bool certificates_send(struct monitor *m, struct process *p, struct err *e);
/* New ones are put to use. */
void certificates_pass_on(struct monitor *m);
/* Opens the files of a pair, which the configuration names. */
MUST_USE bool certificate_open(struct monitor *m, const struct ipc_tls_pair *p, struct err *e);
/* Looks whether such files have changed; good ones are used in place of what there was. */
void certificates_look(struct monitor *m);

/* sites.c: the directories of web sites, of a new configuration; and every second. */
void sites_configure(struct monitor *m);
void sites_look(struct monitor *m);
/* keys has the key of that number. */
void certificate_key_taken(struct monitor *m, uint32_t key);

/* --- hooks.c: programs for the DNS ------------------------------------------------------------------- */

void hook_know(struct monitor *m, const struct ipc_acme_hook *h);
/* Whether its program may be told to set this text in the DNS for the host. */
bool hook_may_say(struct str host, struct str text);
bool hook_run(struct process *acme, struct packet *p, struct err *e);
/* A child has ended: false when it was none of these. */
bool hook_ended(struct monitor *m, pid_t pid, int status);
void hooks_look(struct monitor *m);

/* --- demand.c: roles that are started when somebody wants them ------------------------------------ */

bool role_is_on_demand(enum role role);
/* A role's process, which may not be ready yet: what is sent to it waits in its channel. NULL: not there. */
struct process *role_begun(struct monitor *m, enum role role);
/* The same, started if need be; NULL while that is not possible. */
struct process *role_wanted(struct monitor *m, enum role role);
/* asker gets a channel to the role, which is started when something is written to it. */
void promise(struct process *asker, enum role role);
void promises_forget(struct process *asker);
void promises_watch(struct monitor *m);

/* --- conns.c: connections and what they were granted -------------------------------------------- */

void conn_new(struct monitor *m, struct packet *p);
/* front says what is known of its TLS. */
void conn_tls(struct monitor *m, const struct ipc_conn_tls *info);
void conn_resume(struct monitor *m, struct packet *p);
struct conn *conn_find(struct monitor *m, uint64_t id);
/* Its session or account is done with it. */
void conn_finish(struct conn *c, bool has_crashed);
void conn_login(struct monitor *m, const struct ipc_login_ok *login);
/* It passes messages on for a domain. */
void conn_may_seal(struct monitor *m, const struct ipc_seal_grant *g);
/* Its template says that the session's process has ended. */
void conn_child_ended(struct monitor *m, uint64_t id, uint32_t wait_status);
/* A template has ended, and with it all sessions that it had: nobody will say so of each. */
void conns_template_ended(const struct process *template);
void grant_add(struct monitor *m, const struct ipc_delivery_grant *g);
/* A channel for a delivery that was granted: the answer goes to ch. */
void grant_use(struct monitor *m, struct channel *ch, struct conn *c, uint32_t number);
void grants_clear(struct grant **list, size_t *n);

/* --- delivers.c: processes that connect to others ---------------------------------------------------- */

/* queue, or another asker, wants one: the answer goes to it. */
bool deliver_make(struct process *queue, uint64_t request, struct err *e);
bool fetch_make(struct process *asker, uint64_t request, struct err *e);
void deliver_child_ended(struct process *template, uint64_t conn, uint32_t wait_status);

/* --- accounts.c: account processes --------------------------------------------------------------- */

struct account *account_ensure(struct monitor *m, struct str name, struct err *e);
/* Passes on what admin asks; the account's answer goes back the same way. */
bool account_task(struct process *admin, const struct ipc_account_task *asked, struct err *e);
/* Connects admin with the account, for an import. */
bool account_import(struct process *admin, const struct ipc_import_open *asked, struct err *e);
bool account_attach(struct monitor *m, struct conn *c, int stream, struct str tag,
                    struct str unread, struct str parked, struct err *e);
/* The configuration was read again: running accounts whose part is another than in old get theirs. */
void accounts_configure(struct monitor *m, struct map *old);
/* Whether an account may have that name, and its directory. */
bool account_is_name(struct str name);
/* Whether there is no directory of that name: ERR_CONFLICT. */
bool account_is_new(struct monitor *m, struct str name, struct err *e);
/* It is to be in the configuration no more: if so, its mail is erased when its process has ended. Admin hears what became of it. */
void account_remove(struct monitor *m, struct str name);
void account_child_started(struct process *template, uint64_t id, uint32_t pid);
void account_child_ended(struct monitor *m, uint64_t id, uint32_t wait_status);
void accounts_stop(struct monitor *m);

/* --- metrics.c ------------------------------------------------------------------------------------- */

/* Makes the pages of all roles. */
MUST_USE bool metrics_open(struct monitor *m, struct err *e);
/* Counts how a process ended. */
void metrics_ended(enum role role, int wait_status);
/* What there is now: processes, their memory, connections. */
void metrics_look(struct monitor *m);
