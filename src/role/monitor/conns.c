/*
 * Connections: which session or account serves each, who has logged in on it, and what it may ask
 * for. The streams themselves never stay here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/log.h"
#include "os/fd.h"
#include "os/process.h"
#include "role/monitor/monitor_priv.h"

static struct str key_of(uint64_t id, char out[20])
{
    snprintf(out, 20, "%016llx", (unsigned long long)id);
    return str_at(out, 16);
}

struct conn *conn_find(struct monitor *m, uint64_t id)
{
    char key[20];

    return map_get(&m->conns, key_of(id, key));
}

void grants_clear(struct grant **list, size_t *n)
{
    while (*list) {
        struct grant *next = (*list)->next;

        free(*list);
        *list = next;
    }
    *n = 0;
}

static void close_session(struct conn *c)
{
    event_remove(c->m->loop, c->source);
    c->source = NULL;
    if (c->ch.fd >= 0)
        channel_close(&c->ch);
}

// Who begins to serve it, and how many there are of these.
static enum role server_of(const struct conn *c)
{
    return c->protocol == IPC_PROTOCOL_HTTP ? ROLE_WEB : ROLE_SESSION;
}

static size_t *count_of(struct conn *c)
{
    return c->protocol == IPC_PROTOCOL_HTTP ? &c->m->n_webs : &c->m->n_sessions;
}

void conn_finish(struct conn *c, bool has_crashed)
{
    struct process *front = role_process(c->m, ROLE_FRONT);
    struct err e = {0};
    char key[20];

    if (front && !IPC_SEND(&front->ch, conn_end, NULL, 0, &e, .conn = c->id,
                           .crashed = has_crashed))
        LOG(LOG_DEBUG, "mox", "telling of a connection's end", LOG_E(&e));
    map_remove(&c->m->conns, key_of(c->id, key));
    if (c->state == CONN_SESSION)
        --*count_of(c);
    close_session(c);
    grants_clear(&c->grants, &c->n_grants);
    heap_free(&c->account);
    heap_free(&c->login);
    heap_free(&c->sealing);
    free(c->tls_facts);
    free(c);
}

static void keep_tls_facts(struct conn *c, struct str tls, struct str binding_type,
                           struct str binding, struct str client_key)
{
    char *at = heap_alloc(tls.n + binding_type.n + binding.n + client_key.n + 1);

    free(c->tls_facts);
    c->tls_facts = at;
    c->tls = str_put_at(&at, tls);
    c->binding_type = str_put_at(&at, binding_type);
    c->binding = str_put_at(&at, binding);
    c->client_key = str_put_at(&at, client_key);
}

void conn_tls(struct monitor *m, const struct ipc_conn_tls *info)
{
    struct conn *c = conn_find(m, info->conn);

    if (!c || c->state != CONN_SESSION)
        return;
    c->is_tls = true;
    keep_tls_facts(c, info->tls, info->binding_type, info->binding, info->client_key);
}

void conn_login(struct monitor *m, const struct ipc_login_ok *login)
{
    struct conn *c = conn_find(m, login->conn);

    if (!c || c->state != CONN_SESSION)
        return;
    heap_free(&c->account);
    heap_free(&c->login);
    c->account = heap_dup(login->account);
    c->login = heap_dup(login->login);
}

void conn_may_seal(struct monitor *m, const struct ipc_seal_grant *g)
{
    struct conn *c = conn_find(m, g->conn);
    AUTO_BUF all = BUF_LIMIT(IPC_MAX_ADDRESS);

    if (!c || c->state != CONN_SESSION)
        return;
    buf_put(&all, g->domain);
    if (c->sealing.n) {
        BUF_PUT(&all, " ");
        buf_put(&all, c->sealing);
    }
    if (all.full) // the oldest are left out: a message for so many lists goes without their seals
        all.n = g->domain.n;
    heap_free(&c->sealing);
    c->sealing = heap_dup(buf_str(&all));
}

void grant_add(struct monitor *m, const struct ipc_delivery_grant *g)
{
    struct conn *c = g->conn ? conn_find(m, g->conn) : NULL;
    struct grant **list = c ? &c->grants : &m->queue_grants;
    size_t *n = c ? &c->n_grants : &m->n_queue_grants;
    struct grant *own;
    char *texts;

    if ((g->conn && !c) || *n >= MAX_GRANTS)
        return;
    own = heap_alloc(sizeof *own + g->account.n + g->mailbox.n + g->address.n + 1);
    texts = (char *)(own + 1);
    own->number = g->grant;
    memcpy(texts, g->account.p, g->account.n);
    own->account = str_at(texts, g->account.n);
    texts += g->account.n;
    memcpy(texts, g->mailbox.p, g->mailbox.n);
    own->mailbox = str_at(texts, g->mailbox.n);
    texts += g->mailbox.n;
    memcpy(texts, g->address.p, g->address.n);
    own->address = str_at(texts, g->address.n);
    own->next = *list;
    *list = own;
    ++*n;
}

void grant_use(struct monitor *m, struct channel *ch, struct conn *c, uint32_t number)
{
    struct grant **list = c ? &c->grants : &m->queue_grants, *g = NULL;
    struct account *account = NULL;
    struct err e = {0};
    int fd = -1;

    for (struct grant **at = list; *at; at = &(*at)->next)
        if ((*at)->number == number) {
            g = *at;
            *at = g->next;
            --*(c ? &c->n_grants : &m->n_queue_grants);
            break;
        }
    if (!g)
        (void)fail(&e, ERR_DENIED, "no such grant");
    else if ((account = account_ensure(m, g->account, &e))) {
        struct ipc_peer who = {.role = c ? ROLE_SESSION : ROLE_QUEUE, .conn = c ? c->id : 0,
                               .mailbox = g->mailbox, .address = g->address};

        if (c)
            who.remote = str_of(c->remote);
        account->sent++;
        if (!role_connect(m, &account->ch, &who, &fd, &e))
            fd = -1;
    }
    free(g);
    if (!IPC_SEND(ch, granted, &fd, fd >= 0, &e, .grant = number,
                  .account = account && !c ? account->id : 0, .reason = fd >= 0 ? STR("") : str_of(e.text)))
        LOG(LOG_DEBUG, "mox", "answering a delivery", LOG_E(&e));
    fd_close(&fd);
}

// A channel to a service, when this connection may have it.
static void grant_service(struct conn *c, uint8_t service)
{
    static const enum role roles[] = {[IPC_SERVICE_AUTH] = ROLE_AUTH,
                                      [IPC_SERVICE_QUEUE] = ROLE_QUEUE,
                                      [IPC_SERVICE_KEYS] = ROLE_KEYS,
                                      [IPC_SERVICE_ADMIN] = ROLE_ADMIN,
                                      [IPC_SERVICE_DKIM] = ROLE_DKIM,
                                      [IPC_SERVICE_ACME] = ROLE_ACME,
                                      [IPC_SERVICE_RESOLVE] = ROLE_RESOLVE,
                                      [IPC_SERVICE_DIAL] = ROLE_DIAL};
    struct process *p = NULL;
    struct ipc_peer who = {.role = (uint8_t)server_of(c), .conn = c->id, .protocol = c->protocol,
                           .listener = c->listener, .is_tls = c->is_tls, .account = c->account, .login = c->login,
                           .remote = str_of(c->remote), .local = str_of(c->local),
                           .tls = c->tls, .binding_type = c->binding_type,
                           .binding = c->binding, .client_key = c->client_key};
    const struct known_account *known = map_get(&c->m->known, c->account);
    bool is_web = c->protocol == IPC_PROTOCOL_HTTP;
    bool is_allowed = (service == IPC_SERVICE_AUTH && !is_web) ||
                      ((service == IPC_SERVICE_KEYS || service == IPC_SERVICE_ACME || service == IPC_SERVICE_DIAL) &&
                       is_web) ||
                      ((service == IPC_SERVICE_KEYS || service == IPC_SERVICE_ADMIN) &&
                       c->protocol == IPC_PROTOCOL_SMTP) ||
                      (service == IPC_SERVICE_RESOLVE && (c->protocol == IPC_PROTOCOL_SMTP ||
                                                           c->protocol == IPC_PROTOCOL_SUBMISSION)) ||
                      (service == IPC_SERVICE_DKIM &&
                       (c->protocol == IPC_PROTOCOL_SUBMISSION ? c->account.n : c->sealing.n)) ||
                      (service == IPC_SERVICE_QUEUE &&
                       (c->protocol == IPC_PROTOCOL_SMTP || c->account.n) && !is_web);
    struct err e = {0};
    int fd = -1;

    if (is_allowed)
        p = role_is_on_demand(roles[service]) ? role_wanted(c->m, roles[service])
                                              : role_process(c->m, roles[service]);
    if (service == IPC_SERVICE_DKIM)
        who.address = c->sealing;
    if (known) {
        who.max_per_day = known->max_per_day;
        who.keep_retired_s = known->keep_retired_s;
        who.max_first_per_day = known->max_first_per_day;
    }
    if (!is_allowed)
        (void)fail(&e, ERR_DENIED, "this connection may not use that service");
    else if (!p)
        (void)fail(&e, ERR_TEMPORARY, "a part of the server is starting again, try later");
    else if (!role_connect(c->m, &p->ch, &who, &fd, &e))
        fd = -1;
    if (!IPC_SEND(&c->ch, granted, &fd, fd >= 0, &e, .reason = fd >= 0 ? STR("") : str_of(e.text)))
        LOG(LOG_DEBUG, "mox", "answering a session", LOG_E(&e));
    fd_close(&fd);
}

// The account takes the connection over; the session hears whether it did.
static void hand_over(struct conn *c, struct packet *p, const struct ipc_hand_over *m)
{
    AUTO_FD stream = packet_take_fd(p, 0);
    struct err e = {0};
    bool is_ok = c->account.n && c->protocol == IPC_PROTOCOL_IMAP;

    if (!is_ok)
        (void)fail(&e, ERR_DENIED, "nobody has logged in");
    else
        is_ok = account_attach(c->m, c, stream, m->tag, m->unread, STR(""), &e);
    if (!IPC_SEND(&c->ch, granted, NULL, 0, &e, .reason = is_ok ? STR("") : str_of(e.text)))
        LOG(LOG_DEBUG, "mox", "answering a session", LOG_E(&e));
    if (is_ok) {
        c->state = CONN_ACCOUNT;
        c->m->n_sessions--;
        grants_clear(&c->grants, &c->n_grants);
    }
}

static bool session_message(struct conn *c, struct packet *p, struct err *e)
{
    struct ipc_grant grant;
    struct ipc_deliver_open open;
    struct ipc_hand_over over;

    // What auth said about this connection counts before what its session asks for.
    role_drain(c->m, ROLE_AUTH);
    switch ((int)p->type) {
    case IPC_grant:
        if (!ipc_grant_get(p->body, &grant, e))
            return false;
        if (c->state != CONN_SESSION)
            return fail(e, ERR_DENIED, "handed over already");
        if (c->n_asked++ >= MAX_ASKED)
            return fail(e, ERR_LIMIT, "it asks for services again and again");
        // And what front knows of its TLS, which came before the session knew that it has it.
        // Front ends no connection that a session serves, so this one is still there after.
        role_drain(c->m, ROLE_FRONT);
        grant_service(c, grant.service);
        return true;
    case IPC_deliver_open:
        if (!ipc_deliver_open_get(p->body, &open, e))
            return false;
        grant_use(c->m, &c->ch, c, open.grant);
        return true;
    case IPC_hand_over:
        if (c->state != CONN_SESSION || !ipc_hand_over_get(p->body, &over, e))
            return c->state == CONN_SESSION ? false : fail(e, ERR_DENIED, "handed over twice");
        hand_over(c, p, &over);
        return true;
    default:
        return fail(e, ERR_DENIED, "unexpected message");
    }
}

// One message; false when there is none or the channel is closed.
static bool session_hear(struct conn *c)
{
    struct packet *packet;
    struct err e = {0};
    bool is_ok = false;

    if (c->ch.fd < 0)
        return false;
    packet = packet_new(); // session_message may drain other channels
    switch (channel_receive(&c->ch, packet, 0, &e)) {
    case CHANNEL_MESSAGE:
        is_ok = session_message(c, packet, &e);
        packet_close_fds(packet);
        if (!is_ok)
            close_session(c);
        break;
    case CHANNEL_TIMEOUT:
        break;
    case CHANNEL_CLOSED:
    case CHANNEL_BAD:
        close_session(c);
        break;
    }
    packet_free(packet);
    if (!is_ok && e.kind)
        LOG(LOG_ERROR, "mox", "session misbehaves", LOG_E(&e), LOG_X("cid", c->id));
    return is_ok;
}

static void session_ready(void *ctx, int events)
{
    (void)events;
    session_hear(ctx);
}

static void session_ended(struct conn *c, bool has_crashed)
{
    while (session_hear(c)) // its last words may be that an account takes over
        ;
    close_session(c);
    c->template = NULL;
    if (c->state == CONN_SESSION)
        conn_finish(c, has_crashed);
}

void conn_child_ended(struct monitor *m, uint64_t id, uint32_t wait_status)
{
    struct conn *c = conn_find(m, id);
    bool has_crashed = !WIFEXITED((int)wait_status) || WEXITSTATUS((int)wait_status);

    if (!c)
        return;
    if (has_crashed) {
        char how[100];

        os_describe_status((int)wait_status, how, sizeof how);
        LOG(LOG_ERROR, "mox", c->protocol == IPC_PROTOCOL_HTTP ? "web process crashed" : "session crashed", LOG_S("how", str_of(how)),
            LOG_S("remote", str_of(c->remote)), LOG_X("cid", c->id));
        role_replace(m, c->protocol == IPC_PROTOCOL_HTTP ? ROLE_WEB_TEMPLATE : ROLE_SESSION_TEMPLATE);
    }
    session_ended(c, has_crashed);
}

// Removing entries moves others: start again after each.
void conns_template_ended(const struct process *template)
{
    struct map_entry *entry;

    for (size_t i = 0; (entry = map_each(&template->m->conns, &i));) {
        struct conn *c = entry->value;

        if (c->template == template) {
            session_ended(c, false);
            i = 0;
        }
    }
}

// What a client hears that there is no room for.
static struct str busy_text(uint8_t protocol)
{
    return protocol == IPC_PROTOCOL_HTTP
               ? STR("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nContent-Length: 0\r\n"
                     "Connection: close\r\n\r\n")
           : protocol == IPC_PROTOCOL_IMAP ? STR("* BYE server is busy, try again later\r\n")
                                           : STR("421 4.3.2 server is busy, try again later\r\n");
}

// Whether the client reads it is not waited for.
static void say_busy(int fd, uint8_t protocol)
{
    struct str text = busy_text(protocol);

    if (send(fd, text.p, text.n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        LOG(LOG_DEBUG, "mox", "telling a client that there is no room", LOG_I("errno", errno));
}

static bool start_session(struct monitor *m, struct conn *c, struct packet *p,
                          const struct ipc_conn_new *info, struct err *e)
{
    bool is_web = c->protocol == IPC_PROTOCOL_HTTP;
    struct process *template = is_web ? role_wanted(m, ROLE_WEB_TEMPLATE)
                                      : role_process(m, ROLE_SESSION_TEMPLATE);
    int pair[2], fds[3];
    bool is_ok;

    if (*count_of(c) >= (size_t)(is_web ? MAX_WEBS : MAX_SESSIONS) || !template || m->stopping_ms)
        return fail(e, ERR_LIMIT, "no room for another session");
    if (!fd_pair_packets(pair, e))
        return false;
    fds[0] = p->fds[0];
    fds[1] = pair[1];
    fds[2] = p->n_fds > 1 ? p->fds[1] : -1;
    is_ok = IPC_SEND(&template->ch, session_start, fds, p->n_fds > 1 ? 3 : 2, e, .conn = c->id,
                     .listener = info->listener, .is_tls = info->is_tls,
                     .has_client_key = info->client_key.n > 0, .version = info->version,
                     .cipher = info->cipher, .remote = info->remote, .local = info->local);
    fd_close(&pair[1]);
    c->ch = (struct channel){pair[0], ROLE_MONITOR, server_of(c)};
    c->template = template;
    c->source = is_ok ? event_add(m->loop, c->ch.fd, EVENT_READ, session_ready, c, e) : NULL;
    return is_ok && c->source;
}

void conn_new(struct monitor *m, struct packet *p)
{
    struct ipc_conn_new info;
    struct err e = {0};
    struct conn *c;
    char key[20];

    if (!ipc_conn_new_get(p->body, &info, &e) || info.listener >= m->n_ports ||
        conn_find(m, info.conn)) {
        LOG(LOG_ERROR, "mox", "bad connection from front", LOG_E(&e));
        return;
    }
    c = heap_alloc(sizeof *c);
    c->m = m;
    c->id = info.conn;
    c->listener = info.listener;
    c->protocol = m->ports[info.listener].info.protocol;
    c->is_tls = info.is_tls;
    c->ch.fd = -1;
    memcpy(c->remote, info.remote.p, info.remote.n < 63 ? info.remote.n : 63);
    memcpy(c->local, info.local.p, info.local.n < 63 ? info.local.n : 63);
    keep_tls_facts(c, info.tls, info.binding_type, info.binding, info.client_key);
    map_put(&m->conns, key_of(c->id, key), c);
    ++*count_of(c);
    if (!start_session(m, c, p, &info, &e)) {
        LOG(LOG_INFO, "mox", "connection refused", LOG_E(&e), LOG_X("cid", c->id));
        if (m->ports[c->listener].info.tls != LISTENER_TLS_IMMEDIATE || c->is_tls)
            say_busy(p->fds[0], c->protocol);
        conn_finish(c, false);
    }
}

void conn_resume(struct monitor *m, struct packet *p)
{
    struct ipc_conn_resume info;
    struct err e = {0};
    struct conn *c;

    if (!ipc_conn_resume_get(p->body, &info, &e))
        return;
    c = conn_find(m, info.conn);
    if (!c || c->state == CONN_SESSION)
        return;
    // The account's word that it has parked the connection may come after the client's.
    c->is_detach_due = c->state == CONN_ACCOUNT;
    c->state = CONN_ACCOUNT;
    if (!account_attach(m, c, p->fds[0], STR(""), STR(""), info.state, &e)) {
        LOG(LOG_ERROR, "mox", "resuming a parked connection", LOG_E(&e), LOG_X("cid", c->id));
        say_busy(p->fds[0], c->protocol);
        conn_finish(c, false);
    }
}
