/*
 * front: accepts connections and counts them; TLS of IMAP and submission; parked connections.
 *
 * What the files share: a relay is a client's connection of which front moves the bytes. It parses
 * no mail protocol.
 */
#pragma once

#include "crypto/tls.h"
#include "role/service.h"

enum {
    RELAY_BUFFER = 16 * 1024,
    MAX_RELAYS = 20000,
    HANDSHAKE_MS = 60 * 1000, // mox-smtp-delivery.md 1.2
};

enum relay_state {
    RELAY_HANDSHAKE, // TLS from the start; nobody serves it yet
    RELAY_OPEN,      // bytes are moved
    RELAY_STARTTLS,  // the last plain line is being sent, then the handshake
    RELAY_PARKED,    // nobody serves it; its state is kept here
};

/* One direction's bytes that could not be written yet; no memory when there are none. */
struct pending {
    char *p;
    size_t n, at;
};

struct relay {
    uint64_t conn;
    enum relay_state state;
    const struct ipc_listener *port;
    int client;  // socket
    struct str alpn; // the protocol that TLS must agree on, which lives on; empty: none is asked for
    int server;  // our end of the stream to whoever serves it, or -1
    uint64_t server_inode; // of the other end, which proves who has it
    struct tls *tls;       // NULL while plain
    bool is_key_known;     // the client's key was found to be somebody's in this handshake
    struct channel control; // for STARTTLS; fd -1 when there is none
    struct pending to_client, to_server;
    bool client_ended, server_ended; // no more bytes come from there
    int64_t deadline_ms;             // of the handshake; 0: none
    char remote[64], local[64];
    struct str account, parked; // heap; while parked
    bool is_known;              // its account's process knows that it is parked
    struct event_source *client_source, *server_source, *control_source;
    int client_events, server_events;
    struct relay *next, **link;
};

/* Takes over the client's socket. alpn lives on. */
void relay_new(uint64_t conn, const struct ipc_listener *port, int client, struct str alpn);
struct relay *relay_find(uint64_t conn);
void relay_close(struct relay *r);
/* Closes those whose handshake takes too long. */
void relays_tick(void);
/* Moves what can be moved, and waits for the rest. May close the relay. */
void relay_move(struct relay *r);
/* A new stream: server is our end; the other end goes to *out. */
MUST_USE bool relay_make_stream(struct relay *r, int *out, struct err *e);
void relay_drop_server(struct relay *r);
/* A last line to the client, as far as it takes it at once. */
void relay_say(struct relay *r, struct str line);
size_t relay_count(void);

/* Whether the client's key, by its fingerprint, is somebody's: asks auth. */
bool front_is_key_known(const struct relay *r, struct str fingerprint);
/* Certificates. */
struct tls_server *front_tls(uint32_t listener);
struct channel *front_monitor(void);
/* The connection is over: counts. */
void front_conn_closed(const char *remote);
void front_web_closed(const char *remote);
/* Whether no limits are for this address. */
bool front_is_exempt(const char *remote);

/* The client of a connection on an HTTPS port wants that protocol, or, when it is empty, HTTP. Takes over the socket. */
void front_has_chosen(uint64_t conn, const struct ipc_listener *port, int fd, const char *remote, struct str alpn);

/* hello.c: connections on HTTPS ports where ALPN may lead to submission and IMAP, until their first bytes say so. */
void hello_new(uint64_t conn, const struct ipc_listener *port, int fd, const char *remote);
size_t hello_count(void);
/* Those who have said too little for too long get HTTP. */
void hellos_tick(void);
void hellos_end(void);

/* handed.c: connections whose socket a session has (port 25) or a web process (HTTP): only counted here. */
void handed_new(uint64_t conn, const struct ipc_listener *port, int fd, const char *remote);
/* NULL: there is no such connection. */
const char *handed_remote(uint64_t conn);
void handed_closed(uint64_t conn);

/* park.c: messages of accounts. */
bool park_message(struct service_peer *p, struct packet *m, struct err *e);
void park_opened(struct service_peer *p);
void park_writable(struct service_peer *p);
/* Something happened on a parked connection: back to its account. */
void park_resume(struct relay *r);
/* The client of a parked connection is gone. */
void park_gone(struct relay *r);
/* The server stops: parked connections have nothing to finish. */
void park_end_all(void);
