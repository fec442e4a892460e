/*
 * A channel: one end of a SOCK_SEQPACKET pair between two processes of known roles.
 *
 * Both directions are checked against the table in ipc/messages.h. What comes from the other side
 * is input like any other: a message that the table does not allow, or that does not decode, is
 * CHANNEL_BAD, and the caller ends the channel.
 */
#pragma once

#include "ipc/messages.h"

enum { IPC_MAX_FDS = 4 };

struct channel {
    int fd; // -1 when closed
    enum role self, peer;
};

/* One received message. Its text points into bytes, which belong to the packet. */
struct packet {
    enum ipc_type type;
    struct str body;
    int fds[IPC_MAX_FDS]; // close-on-exec; -1 beyond n_fds
    size_t n_fds;
    char bytes[IPC_MAX_BYTES];
};

enum channel_result {
    CHANNEL_MESSAGE,
    CHANNEL_CLOSED,  // the peer is gone
    CHANNEL_TIMEOUT, // also: nothing there, with timeout 0
    CHANNEL_BAD,     // not in the table, or malformed; *e says what
};

struct packet *packet_new(void);
void packet_free(struct packet *p);
/* Closes the descriptors that the handler did not take. */
void packet_close_fds(struct packet *p);
/* Hands descriptor i over to the caller. */
int packet_take_fd(struct packet *p, size_t i);

/* Waits up to timeout_ms (-1: for ever) for one message. */
MUST_USE enum channel_result channel_receive(struct channel *ch, struct packet *p, int timeout_ms,
                                             struct err *e);
/* As channel_receive, but anything else than a message of this type is an error. */
MUST_USE bool channel_expect(struct channel *ch, enum ipc_type type, struct packet *p,
                             int timeout_ms, struct err *e);

/*
 * Sends one message; descriptors are duplicated by the kernel and stay the caller's. Waits at most
 * 10 seconds for room; a role that serves everybody waits 2 seconds for an account and not at all for a
 * session, and then the channel has ended. A message the table forbids is our own mistake and ends the
 * process.
 */
MUST_USE bool channel_send(struct channel *ch, enum ipc_type type, struct str body, const int *fds,
                           size_t n_fds, struct err *e);

/* Whether a message can be sent now without waiting: false when the peer does not read. */
bool channel_has_room(const struct channel *ch);

/*
 * Nothing more is sent on it; what was is still read, and so is what the other side sends. has_ended: whether the
 * other side has done so, or is gone, though there may be messages to read.
 */
void channel_say_no_more(struct channel *ch);
bool channel_has_ended(const struct channel *ch);

void channel_close(struct channel *ch);

/* IPC_SEND(&ch, verdict, fds, n_fds, &e, .code = 250, .text = text) */
#define IPC_SEND(ch, message, fd_array, fd_count, e, ...)                                          \
    ({                                                                                             \
        struct ipc_##message ipc_m_ = {__VA_ARGS__};                                               \
        struct buf ipc_b_ = BUF_LIMIT(IPC_MAX_BYTES);                                              \
        bool ipc_ok_;                                                                              \
        ipc_##message##_put(&ipc_b_, &ipc_m_);                                                     \
        ipc_ok_ = ipc_b_.full                                                                      \
                      ? fail((e), ERR_LIMIT, "too long, or out of range, for message %s", #message) \
                      : channel_send((ch), IPC_##message, buf_str(&ipc_b_), (fd_array),            \
                                     (fd_count), (e));                                             \
        buf_fini(&ipc_b_);                                                                         \
        ipc_ok_;                                                                                   \
    })
