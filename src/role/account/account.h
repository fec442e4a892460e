/*
 * What the files of an account process share: the one store, its attached connections, and the
 * channels to monitor and front.
 *
 * The main thread hears the channels; each attached connection and each delivery has a thread of its
 * own with straight-line code.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "proto/imap/imap.h"
#include "crypto/stream.h"
#include "role/start.h"
#include "store/store.h"

enum {
    ACCOUNT_MAX_THREADS = 500,
    ACCOUNT_STACK_BYTES = 512 * 1024,
    ACCOUNT_LINGER_MS = 10 * 1000,  // with nothing to do, before asking to go
    IMAP_READ_MS = 30 * 60 * 1000,  // mox-imap-store-cli-config.md 1.1
    IMAP_WRITE_MS = 5 * 60 * 1000,
    IMAP_LITERAL_MS = 30 * 1000,
    IMAP_PARK_MS = 5 * 1000,        // of idling, before a connection is parked
    IMAP_CROWD = 100,               // with more threads, at once
    IMAP_OUT_BYTES = 64 * 1024,     // output is written when this much is waiting
    IMAP_COMMAND_MEMORY = 256 << 20,
};

/* A connection that front keeps for us. */
struct parked {
    uint64_t conn;
    struct str state; // heap
    struct parked *next;
};

struct imap_conn;

struct account_ctx {
    struct str name;
    struct channel monitor;
    struct store *store; // NULL: there is no room to open it, which those who deliver are told
    const struct role_start *start;
    atomic_uint threads;
    atomic_bool is_stopping;
    int wake_fd; // written to when a thread ends, and after commits

    // Of front alone. Threads that send to it may have to wait until the main thread has heard what
    // front sends to us, so the main thread must not have to wait for them: they do not hold lock.
    pthread_mutex_t front_lock;
    struct channel front; // fd -1 when there is none

    pthread_mutex_t lock; // of what follows
    pthread_cond_t answered;
    struct imap_conn *conns;
    struct parked *parked;
};
extern struct account_ctx account;

/* main.c: in the forked child, with the packet of account_start. Ends the process. */
void account_run(struct role_start *s, struct packet *p);

/* deliver.c: one delivery over a channel that was granted; takes over the descriptor. */
void deliver_start(const struct ipc_peer *who, int fd);
/* import.c: messages that a command puts into a mailbox; takes over the descriptor. */
void import_start(const struct ipc_peer *who, int fd);
/* imap.c: serves a connection until it ends; takes over the stream. */
void imap_attach(const struct ipc_attach *a, int stream);
/* Runs fn in a thread of its own, after which the main thread is woken; false when there are too many. */
bool account_thread(void (*fn)(void *), void *ctx);

/* imap_idle.c */
void park_answer(uint64_t conn, bool is_parked, struct str state);
void park_forget_all(void);
/* Whether clients of parked connections have to be told something. */
bool park_has_news(void);
/*
 * Tells them as long as front takes it without waiting: it may be sending to us meanwhile, and two that
 * wait for each other's room get nowhere.
 */
void park_notify(void);
