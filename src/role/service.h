/*
 * The loop of the single-instance roles: messages in, handler to its end, answer out. It keeps the
 * channels that the monitor hands out, and closes those whose peer misbehaves.
 */
#pragma once

#include "os/event.h"
#include "role/start.h"

/* A channel to another process, and whom the monitor said it is for. */
struct service_peer {
    struct channel ch;
    uint64_t id; // never used twice
    enum role role;
    uint64_t conn;
    uint8_t protocol;
    uint32_t listener;
    bool is_tls;
    uint32_t max_per_day, max_first_per_day, keep_retired_s;
    struct str account, login, remote, local, address;
    struct str tls, binding_type, binding, client_key; // of its connection, see IPC_TLS_FACTS
    void *data; // the role's own
    struct event_source *source;
    struct service_peer *next;
};

struct service_handlers {
    /* A message of a peer. False: the channel is closed, *e is logged. */
    bool (*message)(struct service_peer *p, struct packet *m, struct err *e);
    /* The rest is optional. */
    void (*opened)(struct service_peer *p);
    void (*closed)(struct service_peer *p);
    /* Room to send to a peer, for those whose source waits for EVENT_WRITE. */
    void (*writable)(struct service_peer *p);
    /* A message of the monitor other than peer, stop and log_level. */
    bool (*monitor)(struct packet *m, struct err *e);
    void (*tick)(void); // every second, or as often as tick_ms says
    int tick_ms;
    void (*after)(void); // when the messages that were there have been handled
    void (*stop)(void); // default: exit
};

/* The loop of this process; sources may be added before service_run. */
struct event_loop *service_loop(void);
/* Closes the sandbox, reports to the monitor and runs until it says stop. */
_Noreturn void service_run(struct role_start *s, const struct service_handlers *h);

/* The peer of a single-instance role, or that number; NULL when there is none. */
struct service_peer *service_peer_of(enum role role);
struct service_peer *service_peer_by_id(uint64_t id);
/* The peer of an account's process. */
struct service_peer *service_peer_of_account(struct str account);
void service_peer_close(struct service_peer *p);
/* Handles what a peer has said already, within the handling of another's message; it may be closed then. */
void service_drain(struct service_peer *p);
