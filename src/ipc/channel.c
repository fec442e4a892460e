#include "ipc/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/die.h"

enum { SEND_TIMEOUT_MS = 10000, SEND_TO_ACCOUNT_MS = 2000 };

void channel_close(struct channel *ch)
{
    if (ch->fd >= 0)
        close(ch->fd);
    ch->fd = -1;
}

// Waits until fd is ready; false after timeout_ms.
static bool wait_for(int fd, short events, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n;

    do
        n = poll(&p, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

// Takes the descriptors of a received datagram; false when some did not fit.
static bool take_descriptors(struct msghdr *msg, struct packet *p)
{
    bool all = !(msg->msg_flags & MSG_CTRUNC);

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        const int *fds = (const int *)(const void *)CMSG_DATA(c);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < n; i++) {
            if (p->n_fds < IPC_MAX_FDS)
                p->fds[p->n_fds++] = fds[i];
            else {
                close(fds[i]);
                all = false;
            }
        }
    }
    return all;
}

// The message is one that this peer may send to us, with as many descriptors as belong to it.
static bool check_rule(const struct channel *ch, const struct packet *p, unsigned type,
                       struct err *e)
{
    const struct ipc_rule *r = ipc_rule_of(type);

    if (!r)
        return fail(e, ERR_SYNTAX, "%s sent unknown message %u", role_name(ch->peer), type);
    if (!(r->from & ROLE_BIT(ch->peer)) || !(r->to & ROLE_BIT(ch->self)))
        return fail(e, ERR_DENIED, "%s may not send message %s to %s", role_name(ch->peer),
                    r->name, role_name(ch->self));
    if (p->n_fds < r->min_fds || p->n_fds > r->max_fds)
        return fail(e, ERR_SYNTAX, "message %s came with %zu descriptors", r->name, p->n_fds);
    return true;
}

enum channel_result channel_receive(struct channel *ch, struct packet *p, int timeout_ms,
                                    struct err *e)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * (IPC_MAX_FDS + 1))];
    } control;
    struct iovec iov = {p->bytes, sizeof p->bytes};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    ssize_t n;

    packet_close_fds(p);
    if (ch->fd < 0)
        return CHANNEL_CLOSED;
    for (;;) {
        n = recvmsg(ch->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n >= 0)
            break;
        // Told once, when the peer has gone with something unread: its own last words are still here.
        if (errno == EINTR || errno == ECONNRESET)
            continue;
        if (errno != EAGAIN)
            return CHANNEL_CLOSED;
        if (!timeout_ms || !wait_for(ch->fd, POLLIN, timeout_ms))
            return CHANNEL_TIMEOUT;
    }
    if (n == 0) // our messages have a type byte at least
        return CHANNEL_CLOSED;
    if (!take_descriptors(&msg, p) || (msg.msg_flags & MSG_TRUNC)) {
        packet_close_fds(p);
        fail(e, ERR_LIMIT, "%s sent too long a message", role_name(ch->peer));
        return CHANNEL_BAD;
    }
    if (!check_rule(ch, p, (unsigned char)p->bytes[0], e)) {
        packet_close_fds(p);
        return CHANNEL_BAD;
    }
    p->type = (enum ipc_type)(unsigned char)p->bytes[0];
    p->body = str_at(p->bytes + 1, (size_t)n - 1);
    return CHANNEL_MESSAGE;
}

bool channel_expect(struct channel *ch, enum ipc_type type, struct packet *p, int timeout_ms,
                    struct err *e)
{
    switch (channel_receive(ch, p, timeout_ms, e)) {
    case CHANNEL_MESSAGE:
        if (p->type == type)
            return true;
        return fail(e, ERR_BUG, "%s answered with message %s", role_name(ch->peer),
                    ipc_rule_of(p->type)->name);
    case CHANNEL_CLOSED:
        return fail(e, ERR_TEMPORARY, "%s is not there", role_name(ch->peer));
    case CHANNEL_TIMEOUT:
        return fail(e, ERR_TEMPORARY, "%s did not answer in time", role_name(ch->peer));
    case CHANNEL_BAD:
        break;
    }
    return false;
}

bool channel_has_room(const struct channel *ch)
{
    return ch->fd >= 0 && wait_for(ch->fd, POLLOUT, 0);
}

void channel_say_no_more(struct channel *ch)
{
    if (ch->fd >= 0)
        (void)shutdown(ch->fd, SHUT_WR);
}

bool channel_has_ended(const struct channel *ch)
{
    struct pollfd p = {.fd = ch->fd, .events = POLLRDHUP};

    return ch->fd < 0 || (poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)));
}

// Whom everybody waits for does not wait for one who serves a single user or client, and may mean harm.
static int send_timeout_ms(const struct channel *ch)
{
    if (ch->self == ROLE_SESSION || ch->self == ROLE_ACCOUNT)
        return SEND_TIMEOUT_MS;
    // A session asks one thing after the other: there is room, or it does not read the answers.
    return ch->peer == ROLE_SESSION ? 0 : ch->peer == ROLE_ACCOUNT ? SEND_TO_ACCOUNT_MS : SEND_TIMEOUT_MS;
}

// It is not waited for a second time: a channel on which something is missing ends, for both sides.
static bool give_up(struct channel *ch, struct err *e)
{
    if (ch->self == ROLE_MONITOR || ch->peer == ROLE_SESSION || ch->peer == ROLE_ACCOUNT)
        shutdown(ch->fd, SHUT_RDWR);
    return fail(e, ERR_TEMPORARY, "cannot send to %s: it does not read", role_name(ch->peer));
}

bool channel_send(struct channel *ch, enum ipc_type type, struct str body, const int *fds,
                  size_t n_fds, struct err *e)
{
    const struct ipc_rule *r = ipc_rule_of(type);
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * IPC_MAX_FDS)];
    } control = {0};
    char type_byte = (char)type;
    struct iovec iov[2] = {{&type_byte, 1}, {(void *)(uintptr_t)body.p, body.n}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

    if (!r || !(r->from & ROLE_BIT(ch->self)) || !(r->to & ROLE_BIT(ch->peer)) ||
        n_fds < r->min_fds || n_fds > r->max_fds)
        die("%s tried to send message %u to %s", role_name(ch->self), type, role_name(ch->peer));
    if (body.n > IPC_MAX_BYTES - 1)
        return fail(e, ERR_LIMIT, "message %s is too long", r->name);
    if (ch->fd < 0)
        return fail(e, ERR_TEMPORARY, "%s is not there", role_name(ch->peer));
    if (n_fds) {
        struct cmsghdr *c;

        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    for (;;) {
        if (sendmsg(ch->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return true;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return fail(e, ERR_TEMPORARY, "cannot send to %s: it is gone", role_name(ch->peer));
        if (!wait_for(ch->fd, POLLOUT, send_timeout_ms(ch)))
            return give_up(ch, e);
    }
}
