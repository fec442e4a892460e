/*
 * Parked connections: those in IDLE on which nothing happens. Their state is kept as bytes that
 * only their account understands.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/map.h"
#include "os/fd.h"
#include "role/front/front.h"

static struct relay *parked; // all parked ones, through next and link

static void unlink_parked(struct relay *r)
{
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    r->link = NULL;
    r->next = NULL;
}

static void tell_account(struct relay *r)
{
    struct service_peer *p = service_peer_of_account(r->account);
    struct err e = {0};

    if (p && !IPC_SEND(&p->ch, unparked, NULL, 0, &e, .conn = r->conn))
        LOG(LOG_DEBUG, "front", "telling an account", LOG_E(&e));
}

void park_gone(struct relay *r)
{
    struct err e = {0};

    tell_account(r);
    unlink_parked(r);
    if (!IPC_SEND(front_monitor(), conn_gone, NULL, 0, &e, .conn = r->conn))
        LOG(LOG_DEBUG, "front", "telling the monitor", LOG_E(&e));
    relay_close(r);
}

void park_resume(struct relay *r)
{
    AUTO_FD stream = -1;
    char byte;
    struct err e = {0};
    bool is_ok;

    // A client that has gone is not worth a process. (With TLS its goodbye looks like bytes.)
    if (!r->tls && recv(r->client, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
        park_gone(r);
        return;
    }
    tell_account(r);
    unlink_parked(r);
    is_ok = relay_make_stream(r, &stream, &e) &&
            IPC_SEND(front_monitor(), conn_resume, &stream, 1, &e, .conn = r->conn,
                     .state = r->parked);
    heap_free(&r->parked);
    heap_free(&r->account);
    r->parked = r->account = (struct str){0};
    r->state = RELAY_OPEN;
    if (!is_ok) {
        LOG(LOG_ERROR, "front", "resuming a connection", LOG_E(&e), LOG_X("cid", r->conn));
        relay_close(r);
        return;
    }
    relay_move(r);
}

static bool has_unread(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

// The sender has the other end of our stream.
static bool is_its_own(const struct relay *r, int fd)
{
    return r && r->state == RELAY_OPEN && r->server >= 0 && r->server_inode &&
           os_inode(fd) == r->server_inode;
}

// Nothing is on its way in either direction: what the client has not taken yet, or has just said, would
// be lost with the stream.
static bool is_quiet(const struct relay *r, int fd)
{
    return !r->client_ended && !r->to_server.n && !r->to_client.n && !has_unread(fd) &&
           !has_unread(r->server);
}

static bool on_park(struct service_peer *p, struct packet *m, struct err *e)
{
    struct ipc_park park;
    struct relay *r;

    if (!ipc_park_get(m->body, &park, e))
        return false;
    r = relay_find(park.conn);
    if (is_its_own(r, m->fds[0])) {
        relay_move(r); // the account's last lines
        r = relay_find(park.conn);
    }
    if (!is_its_own(r, m->fds[0]) || !is_quiet(r, m->fds[0]))
        return IPC_SEND(&p->ch, unparked, NULL, 0, e, .conn = park.conn);
    relay_drop_server(r);
    r->state = RELAY_PARKED;
    r->account = heap_dup(p->account);
    r->parked = heap_dup(park.state);
    r->is_known = true;
    r->next = parked;
    r->link = &parked;
    if (r->next)
        r->next->link = &r->next;
    parked = r;
    event_change(service_loop(), r->client_source, EVENT_READ);
    r->client_events = EVENT_READ;
    return IPC_SEND(&p->ch, parked, NULL, 0, e, .conn = r->conn, .state = r->parked);
}

static bool on_parked_send(struct service_peer *p, struct packet *m, struct err *e)
{
    enum { MOST_PENDING = 1 << 20 };
    struct ipc_parked_send send;
    struct pending *b;
    struct relay *r;

    if (!ipc_parked_send_get(m->body, &send, e))
        return false;
    r = relay_find(send.conn);
    if (!r || r->state != RELAY_PARKED || !str_eq(r->account, p->account))
        return true; // it was resumed meanwhile; its account computes the lines anew
    b = &r->to_client;
    if (b->n - b->at + send.lines.n > MOST_PENDING) { // a client that does not read
        park_gone(r);
        return true;
    }
    b->p = heap_resize(b->p, b->n + send.lines.n + 1, 1);
    memcpy(b->p + b->n, send.lines.p, send.lines.n);
    b->n += send.lines.n;
    heap_free(&r->parked);
    r->parked = heap_dup(send.state);
    event_change(service_loop(), r->client_source, EVENT_READ | EVENT_WRITE);
    r->client_events = EVENT_READ | EVENT_WRITE;
    return true;
}

bool park_message(struct service_peer *p, struct packet *m, struct err *e)
{
    if (m->type == IPC_park)
        return on_park(p, m, e);
    if (m->type == IPC_parked_send)
        return on_parked_send(p, m, e);
    return fail(e, ERR_DENIED, "unexpected message");
}

void park_opened(struct service_peer *p)
{
    if (p->role != ROLE_ACCOUNT)
        return;
    for (struct relay *r = parked; r; r = r->next)
        if (str_eq(r->account, p->account))
            r->is_known = false;
    event_change(service_loop(), p->source, EVENT_READ | EVENT_WRITE);
}

// A process of an account that has just begun hears what is parked, as fast as it reads and no faster.
void park_writable(struct service_peer *p)
{
    struct err e = {0};

    for (struct relay *r = parked; r; r = r->next) {
        if (r->is_known || !str_eq(r->account, p->account))
            continue;
        if (!channel_has_room(&p->ch))
            return;
        if (!IPC_SEND(&p->ch, parked, NULL, 0, &e, .conn = r->conn, .state = r->parked))
            break; // it is gone, and so will be its channel
        r->is_known = true;
    }
    event_change(service_loop(), p->source, EVENT_READ);
}

void park_end_all(void)
{
    while (parked) {
        relay_say(parked, STR("* BYE shutting down\r\n"));
        park_gone(parked);
    }
}
