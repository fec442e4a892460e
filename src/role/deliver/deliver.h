/*
 * What the files of this role share: the process, its connection, the message it is sending.
 */
#pragma once

#include "base/ip.h"
#include "crypto/stream.h"
#include "ipc/resolve.h"
#include "policy/mx.h"
#include "policy/tls_rule.h"
#include "proto/smtp/client.h"
#include "role/start.h"

// RFC 5321 4.5.3.2, and what it does not name. All are shortened by MOX_SMTP_TIMEOUT_MS.
enum {
    GREETING_MS = 300 * 1000,
    COMMAND_MS = 300 * 1000, // EHLO, MAIL, RCPT, AUTH
    DATA_MS = 120 * 1000,
    BLOCK_MS = 180 * 1000,
    END_MS = 600 * 1000,
    HANDSHAKE_MS = 60 * 1000,
    QUIT_MS = 5 * 1000,
    CONNECT_MS = 30 * 1000,       // looking up and connecting, of all addresses of a host
    SESSION_MS = 30 * 60 * 1000,  // of a connection, and of an attempt
    IPC_MS = 60 * 1000,
    MAX_RCPTS_AT_ONCE = 100, // of a transaction (RFC 5321 4.5.3.1.8)
    MAX_MESSAGES = 100,      // of a connection
    BLOCK_BYTES = 64 * 1024, // of a message that are read and written at once
};

/* Why something did not work. */
struct failure {
    bool is_permanent;
    unsigned code;         // of a reply; 0: there was none
    struct str enhanced;   // "4.4.1"; never empty
    struct str text;
    struct str mta;        // the server's name; empty: none was reached
    bool has_ip;
    struct ip ip;
    bool is_ours;          // no server is to blame
    bool is_of_tls;        // there is not the TLS that must be, whatever the message
};

struct rcpt {
    uint64_t entry;
    struct str address, orcpt;
    unsigned notify;
    enum ipc_delivery outcome; // 0: not decided yet
    bool is_accepted;          // by RCPT, and waits for the end of DATA
    bool is_put_off;           // to the next transaction
    struct failure f;          // also of a success, what the server said
    bool is_tls, is_dsn_passed;
};

struct message {
    struct arena a;
    struct ipc_deliver_message info; // texts are in a
    int fd;
    char *block; // bytes that were read
    uint64_t block_at;
    size_t block_n;
    struct rcpt *rcpts;
    size_t n;
    bool is_unreached; // as deliver_end has it
    bool is_scanned, has_8bit, has_bare, has_nul, has_utf8_header; // what is in it
    struct buf tried;
};

/* A connection to a server, from the greeting on. */
struct conn {
    bool is_open;
    bool is_spent;        // nothing more can be said on it
    struct stream stream;
    struct buf in;        // read, and not yet a reply
    struct smtp_reply reply;
    struct arena a;       // what lives as long
    struct smtp_offer offer;
    struct str host;
    bool has_ip, is_dual;
    struct ip ip;
    uint8_t wish;         // require_tls of the message it was made for
    bool says_requiretls; // for all on it
    bool has_requiretls;  // proved and offered, as a message needs that must have it
    unsigned n_messages;
    bool has_transaction; // that was not completed
    int64_t end_ms;
    int64_t said_ms;      // when the last of what is to be answered was written
};

/* What the TLS of a connection came to, for reports. */
struct tls_seen {
    bool is_known; // it got so far that there is something to tell
    enum tls_failure host, domain; // as its TLSA records have it, and as the domain's policy has it
    char host_reason[100], domain_reason[100]; // failure-reason-code (RFC 8460 4.4)
    char helo[200], local[65]; // local: our address
    size_t helo_n;
};

struct deliver {
    struct role_start *start;
    struct channel queue, dial;
    struct resolver resolver;
    struct dns dns;
    struct packet *packet;
    struct arena arena;
    struct ipc_deliver_way way; // texts are in arena
    enum { STS_OF_NONE, STS_OF_DOMAIN, STS_NOT_KNOWN } sts; // whether the domain has an MTA-STS policy
    struct mtasts_policy policy;      // STS_OF_DOMAIN
    enum tls_failure sts_failure;     // of its last fetch, for the report
    struct str sts_reason;
    struct tls_client *tls;
    struct str hello;
    struct conn conn;
    struct tls_seen seen; // of the last conn_open
    uint64_t last_request;
    bool is_ending; // a message was not ended or not begun, because the queue is going or dial has gone
    uint64_t unnoted; // message whose results the queue has not noted yet; 0: none
    int cap_ms;       // on every timeout; 0: none
};

int deliver_timeout(const struct deliver *d, int ms);

/* --- serve.c ------------------------------------------------------------------------------------ */

/* Takes what the queue has for one destination, until it has no more; the channel to it is closed then. */
void deliver_serve(struct deliver *d);

/*
 * Whether a message may be ended at the server: when the results of the one before it are noted, which is waited
 * for, and the queue will still hear of it.
 */
MUST_USE bool deliver_may_end(struct deliver *d);
/* The bytes of the message from at on, as many as are at hand, until the next call. False at its end too. */
MUST_USE bool message_read(struct message *m, uint64_t at, struct str *out);

/* --- hosts.c ------------------------------------------------------------------------------------ */

/* Brings the message to its destination, or tells why not: every recipient then has its outcome. */
void deliver_send(struct deliver *d, struct message *m);

/* --- session.c ---------------------------------------------------------------------------------- */

/* Sets *f, whose texts are in a; returns false. */
bool failed(struct failure *f, struct arena *a, bool is_permanent, const char *enhanced,
            const char *format, ...) PRINTF_LIKE(5, 6);
/* What the last reply says, as a failure of the server. */
bool failed_reply(const struct conn *c, struct failure *f, struct arena *a, const char *enhanced);

/* Whom to connect to, and how. */
struct target {
    struct str host;  // name, or text of the address
    struct ip ip;
    unsigned port;
    bool has_proxy;   // the connection is made to this one
    struct ip proxy;
    bool is_dual;
    bool is_immediate;              // TLS from the first byte
    bool is_plain;                  // no TLS, even if it is offered
    const struct tls_rule *rule;
    const struct dane_result *dane; // NULL: none
    uint8_t wish;
};
enum opened {
    OPENED,
    OPEN_NEXT_ADDRESS, // this one cannot be reached
    OPEN_NEXT_HOST,
    OPEN_PLAIN,        // TLS failed, and the rule allows to try without
};
/* Connects and says all that comes before a message. */
enum opened conn_open(struct deliver *d, const struct target *t, struct arena *a,
                      struct failure *f);
/* QUIT, when there is somebody to say it to. */
void conn_quit(struct deliver *d);
/* At once. */
void conn_close(struct deliver *d);

/*
 * False: the connection is spent and *f says why. is_stale: it was closed before it said a word. A reply is to what
 * command says, for the metrics.
 */
MUST_USE bool conn_write(struct deliver *d, struct str bytes, int timeout_ms, struct arena *a,
                         struct failure *f);
MUST_USE bool conn_reply(struct deliver *d, struct str command, int timeout_ms, struct arena *a,
                         struct failure *f, bool *is_stale);
/* Both, of one command. */
MUST_USE bool conn_command(struct deliver *d, struct str line, int timeout_ms, struct arena *a,
                           struct failure *f);

/* --- auth.c, socks.c ------------------------------------------------------------------------------ */

/* AUTH with the name and password of the way. */
MUST_USE bool conn_authenticate(struct deliver *d, struct arena *a, struct failure *f);
/* On a fresh connection to the proxy: what is said from then on is said to the server. */
MUST_USE bool socks_connect(struct deliver *d, const struct ip *to, unsigned port, struct arena *a,
                            struct failure *f);

/* --- results.c ---------------------------------------------------------------------------------- */

/* A connection begins; its greeting; no TLS, and why; TLS is there. */
void results_begin(struct deliver *d);
void results_greeting(struct deliver *d, struct str text);
void results_no_tls(struct deliver *d, enum tls_failure failure, const char *reason);
void results_tls(struct deliver *d, const struct target *t);
/* The handshake failed, or an alert came behind it; whatever ended the connection. */
void results_broken_tls(struct deliver *d);
/* The DNS gave forged answers for the domain (A-labels): there is no host to speak of. */
void results_tell_forged(struct deliver *d, const struct message *m, struct str domain);
/* To the queue: for the message's domain (A-labels) and the host of t. */
void results_tell(struct deliver *d, const struct message *m, struct str domain,
                  const struct target *t);

/* --- transaction.c ------------------------------------------------------------------------------ */

enum said {
    SAID,            // every recipient has its outcome
    SAID_NEXT_HOST,  // another server may take it; *f is what this one said
    SAID_STALE,      // the connection was gone before anything was said on it
};
enum said message_say(struct deliver *d, struct message *m, struct failure *f);
