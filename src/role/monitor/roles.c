/*
 * The processes of the roles: starting, introducing them to each other, hearing them, restarting.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/process.h"
#include "os/systemd.h"
#include "role/monitor/monitor_priv.h"

enum { MOST_HEARD = 10000 };

// At the beginning, and again when they end. Others are started when somebody wants them: role_wanted.
static const enum role started[] = {ROLE_KEYS, ROLE_AUTH, ROLE_QUEUE, ROLE_FRONT, ROLE_SESSION_TEMPLATE,
                                    ROLE_ADMIN, ROLE_ACME};

// Which single-instance roles talk to each other all the time; sessions ask for their channels.
static const enum role acquainted[][2] = {
    {ROLE_QUEUE, ROLE_AUTH}, {ROLE_ADMIN, ROLE_AUTH}, {ROLE_ADMIN, ROLE_QUEUE},
    {ROLE_FRONT, ROLE_KEYS}, {ROLE_FRONT, ROLE_AUTH}, {ROLE_ADMIN, ROLE_RESOLVE},
    {ROLE_QUEUE, ROLE_DKIM}, {ROLE_ADMIN, ROLE_DKIM},  {ROLE_ACME, ROLE_KEYS},
    {ROLE_FRONT, ROLE_ACME}, {ROLE_ACME, ROLE_DIAL}, {ROLE_ACME, ROLE_RESOLVE},
};

// Who shakes hands begins when keys has said which certificates there are.
static bool is_due(struct monitor *m, enum role role)
{
    if (role == ROLE_ACME)
        return m->has_acme;
    return !m->has_acme || m->is_ready || role_process(m, ROLE_KEYS) ||
           (role != ROLE_FRONT && role != ROLE_SESSION_TEMPLATE);
}

static bool is_template(enum role role)
{
    return role == ROLE_SESSION_TEMPLATE || role == ROLE_ACCOUNT_TEMPLATE ||
           role == ROLE_DELIVER_TEMPLATE || role == ROLE_FETCH_TEMPLATE ||
           role == ROLE_WEB_TEMPLATE;
}

struct process *role_process(struct monitor *m, enum role role)
{
    for (struct process *p = m->processes; p; p = p->next)
        if (p->role == role && p->is_ready && !p->is_retired && p->ch.fd >= 0)
            return p;
    return NULL;
}

bool role_connect(struct monitor *m, struct channel *to, const struct ipc_peer *who, int *out,
                  struct err *e)
{
    AUTO_BUF body = BUF_LIMIT(IPC_MAX_BYTES);
    int pair[2];
    bool is_ok;

    (void)m;
    if (!fd_pair_packets(pair, e))
        return false;
    ipc_peer_put(&body, who);
    is_ok = channel_send(to, IPC_peer, buf_str(&body), &pair[1], 1, e);
    fd_close(&pair[1]);
    if (!is_ok)
        fd_close(&pair[0]);
    *out = pair[0];
    return is_ok;
}

// Gives both processes one end of a new channel.
static void introduce(struct monitor *m, struct process *a, struct process *b)
{
    struct ipc_peer of_b = {.role = (uint8_t)b->role};
    struct err e = {0};
    AUTO_FD fd = -1;

    if (!role_connect(m, &a->ch, &of_b, &fd, &e) ||
        !IPC_SEND(&b->ch, peer, &fd, 1, &e, .role = (uint8_t)a->role))
        LOG(LOG_ERROR, "mox", "connecting roles", LOG_E(&e), LOG_S("a", str_of(role_name(a->role))),
            LOG_S("b", str_of(role_name(b->role))));
}

static void send_levels(struct monitor *m, struct channel *ch)
{
    struct err e = {0};

    for (size_t i = 0; i < m->n_levels; i++)
        if (!IPC_SEND(ch, log_level, NULL, 0, &e, .package = m->levels[i].package,
                      .level = m->levels[i].level))
            LOG(LOG_DEBUG, "mox", "passing on a log level", LOG_E(&e));
}

// Whoever connects is served at once, and not told to come later.
static void open_doors(struct monitor *m)
{
    struct process *front = role_process(m, ROLE_FRONT);
    struct err e = {0};

    if (front && !IPC_SEND(&front->ch, accept, NULL, 0, &e))
        LOG(LOG_ERROR, "mox", "telling front to take connections", LOG_E(&e));
}

// A key that is none is told of at the start, and not when the first message is to be signed with it.
static void look_at_signing_keys(struct monitor *m)
{
    struct stat st;

    if (fstat(m->signing_keys, &st) == 0 && st.st_size && !role_wanted(m, ROLE_DKIM))
        LOG(LOG_ERROR, "mox", "keys of DKIM are not looked at");
}

static void say_ready(struct monitor *m)
{
    struct err e = {0};

    for (size_t i = 0; i < COUNT(started); i++)
        if ((started[i] != ROLE_ACME || m->has_acme) && !role_process(m, started[i]))
            return;
    m->is_ready = true;
    open_doors(m);
    if (!systemd_notify("READY=1", &e))
        LOG(LOG_ERROR, "mox", "telling systemd that the server is ready", LOG_E(&e));
    LOG(LOG_PRINT, "mox", "ready to serve");
    if (m->options.ready)
        m->options.ready();
    look_at_signing_keys(m);
}

// To a role that is started on demand the channel is promised: it gets all those when it is.
static void acquaint(struct process *p, enum role with)
{
    struct process *other = role_is_on_demand(with) ? role_begun(p->m, with)
                                                    : role_process(p->m, with);

    if (other)
        introduce(p->m, p, other);
    else if (role_is_on_demand(with))
        promise(p, with);
}

// Who had a channel to a role that has ended is promised another.
static void promise_again(struct monitor *m, enum role role)
{
    for (size_t i = 0; i < COUNT(acquainted); i++)
        for (size_t side = 0; side < 2; side++) {
            struct process *p = role_process(m, acquainted[i][!side]);

            if (acquainted[i][side] == role && p)
                promise(p, role);
        }
    if (role == ROLE_RESOLVE && role_process(m, ROLE_DIAL))
        promise(role_process(m, ROLE_DIAL), role);
}

static void on_config_done(struct process *p)
{
    struct monitor *m = p->m;

    if (p->is_ready)
        return;
    p->is_ready = true;
    send_levels(m, &p->ch);
    // Those that began before it: one that has begun since knows something newer, and takes its place.
    // One that has ended, and is only not buried yet, was not sent away.
    for (struct process *old = p->next; old; old = old->next)
        if (old->role == p->role && !old->is_retired && old->ch.fd >= 0) {
            struct err e = {0};

            old->is_retired = true;
            if (!IPC_SEND(&old->ch, stop, NULL, 0, &e))
                LOG(LOG_DEBUG, "mox", "retiring a template", LOG_E(&e));
        }
    for (size_t i = 0; i < COUNT(acquainted) && !role_is_on_demand(p->role); i++)
        for (size_t side = 0; side < 2; side++)
            if (acquainted[i][side] == p->role)
                acquaint(p, acquainted[i][!side]);
    if (p->role == ROLE_DIAL) // for the names of servers behind the reverse proxy
        acquaint(p, ROLE_RESOLVE);
    if (p->role == ROLE_KEYS && !m->is_ready) {
        m->are_certs_new = false; // who begins now gets them all
        roles_start(m);
    }
    if (!m->is_ready)
        say_ready(m);
    else if (p->role == ROLE_FRONT)
        open_doors(m);
}

static bool unexpected(const struct packet *m, struct err *e)
{
    return fail(e, ERR_BUG, "unexpected message %s", ipc_rule_of(m->type)->name);
}

// front's.
static bool on_conn_message(struct process *p, struct packet *m, struct err *e)
{
    struct ipc_conn_gone gone;
    struct ipc_conn_tls tls;
    struct conn *c;

    switch ((int)m->type) {
    case IPC_conn_new:
        conn_new(p->m, m);
        return true;
    case IPC_conn_resume:
        conn_resume(p->m, m);
        return true;
    case IPC_conn_tls:
        if (!ipc_conn_tls_get(m->body, &tls, e))
            return false;
        conn_tls(p->m, &tls);
        return true;
    case IPC_conn_gone:
        if (!ipc_conn_gone_get(m->body, &gone, e))
            return false;
        c = conn_find(p->m, gone.conn);
        if (c && c->state != CONN_SESSION)
            conn_finish(c, false);
        return true;
    default:
        return unexpected(m, e);
    }
}

static bool on_child_started(struct process *p, struct packet *m, struct err *e)
{
    struct ipc_child_started begun;

    if (!ipc_child_started_get(m->body, &begun, e))
        return false;
    if (p->role == ROLE_ACCOUNT_TEMPLATE)
        account_child_started(p, begun.conn, begun.pid);
    return true;
}

static bool on_child_ended(struct process *p, struct packet *m, struct err *e)
{
    struct ipc_child_ended ended;

    if (!ipc_child_ended_get(m->body, &ended, e))
        return false;
    metrics_ended(role_of_children(p->role), (int)ended.wait_status);
    if (p->role == ROLE_SESSION_TEMPLATE || p->role == ROLE_WEB_TEMPLATE)
        conn_child_ended(p->m, ended.conn, ended.wait_status);
    else if (p->role == ROLE_ACCOUNT_TEMPLATE)
        account_child_ended(p->m, ended.conn, ended.wait_status);
    else
        deliver_child_ended(p, ended.conn, ended.wait_status);
    return true;
}

// auth's: what a connection may do from now on.
static bool on_auth_message(struct process *p, struct packet *m, struct err *e)
{
    struct ipc_login_ok login;
    struct ipc_delivery_grant grant;
    struct ipc_seal_grant seal;

    switch ((int)m->type) {
    case IPC_login_ok:
        if (!ipc_login_ok_get(m->body, &login, e))
            return false;
        conn_login(p->m, &login);
        return true;
    case IPC_seal_grant:
        if (!ipc_seal_grant_get(m->body, &seal, e))
            return false;
        conn_may_seal(p->m, &seal);
        return true;
    case IPC_delivery_grant:
        if (!ipc_delivery_grant_get(m->body, &grant, e))
            return false;
        grant_add(p->m, &grant);
        return true;
    default:
        return unexpected(m, e);
    }
}

static bool on_admin_message(struct process *p, struct packet *m, struct err *e)
{
    struct ipc_account_erase erase;
    struct ipc_account_task task;
    struct ipc_domains_read read;
    struct ipc_import_open import;
    struct ipc_log_level level;

    switch ((int)m->type) {
    case IPC_account_task:
        return ipc_account_task_get(m->body, &task, e) && account_task(p, &task, e);
    case IPC_account_erase:
        if (!ipc_account_erase_get(m->body, &erase, e))
            return false;
        account_remove(p->m, erase.account);
        return true;
    case IPC_import_open:
        return ipc_import_open_get(m->body, &import, e) && account_import(p, &import, e);
    case IPC_domains_read:
        return ipc_domains_read_get(m->body, &read, e) && domains_read(p, read.request, e);
    case IPC_domains_write:
        return domains_write(p, m, e);
    case IPC_log_level:
        if (!ipc_log_level_get(m->body, &level, e))
            return false;
        level_set(p->m, level.package, level.level);
        return IPC_SEND(&p->ch, admin_reply, NULL, 0, e, .is_ok = true);
    case IPC_stop:
        monitor_stop(p->m, 0);
        return true;
    default:
        return unexpected(m, e);
    }
}

// Which role may say what was checked when it came (ipc/messages.h).
static bool on_message(struct process *p, struct packet *m, struct err *e)
{
    struct ipc_deliver_open open;
    struct ipc_config_done done;
    struct ipc_deliver_new deliver;
    struct ipc_fetch_new fetch;
    struct ipc_key_taken taken;

    switch ((int)m->type) {
    case IPC_config_done:
        if (!ipc_config_done_get(m->body, &done, e))
            return false;
        on_config_done(p);
        if (p->role == ROLE_AUTH)
            domains_in_use(p->m, done.number);
        return true;
    case IPC_child_started:
        return on_child_started(p, m, e);
    case IPC_child_ended:
        return on_child_ended(p, m, e);
    case IPC_deliver_open:
        if (!ipc_deliver_open_get(m->body, &open, e))
            return false;
        role_drain(p->m, ROLE_AUTH);
        grant_use(p->m, &p->ch, NULL, open.grant);
        return true;
    case IPC_deliver_new:
        return ipc_deliver_new_get(m->body, &deliver, e) && deliver_make(p, deliver.request, e);
    case IPC_certificate:
        return certificate_take(p->m, m, e);
    case IPC_dns_hook:
        return hook_run(p, m, e);
    case IPC_key_taken:
        if (!ipc_key_taken_get(m->body, &taken, e))
            return false;
        certificate_key_taken(p->m, taken.key);
        return true;
    case IPC_fetch_new:
        return ipc_fetch_new_get(m->body, &fetch, e) && fetch_make(p, fetch.request, e);
    default:
        return p->role == ROLE_FRONT   ? on_conn_message(p, m, e)
               : p->role == ROLE_AUTH  ? on_auth_message(p, m, e)
               : p->role == ROLE_ADMIN ? on_admin_message(p, m, e)
                                       : unexpected(m, e);
    }
}

// Without its channel nobody has a use for it: one that has been taken over might stay, and keep another from its place.
static void close_process(struct process *p)
{
    event_remove(p->m->loop, p->source);
    p->source = NULL;
    channel_close(&p->ch);
    if (p->role == ROLE_ADMIN) // another would take the answers for answers to its own questions
        p->m->n_changes = 0;
    if (p->pid > 0 && !p->m->stopping_ms)
        kill(p->pid, SIGKILL);
}

// One message; false when there was none.
static bool hear(struct process *p)
{
    struct packet *packet = p->m->packet;
    struct err e = {0};

    if (p->ch.fd < 0)
        return false;
    switch (channel_receive(&p->ch, packet, 0, &e)) {
    case CHANNEL_MESSAGE: {
        // Handlers may drain another role, which uses the monitor's packet.
        struct packet *own = packet;
        bool is_ok;

        p->m->packet = packet_new();
        is_ok = on_message(p, own, &e);
        packet_free(p->m->packet);
        p->m->packet = own;
        packet_close_fds(own);
        if (is_ok)
            return true;
        break;
    }
    case CHANNEL_TIMEOUT:
        return false;
    case CHANNEL_CLOSED:
        close_process(p);
        return false;
    case CHANNEL_BAD:
        break;
    }
    LOG(LOG_ERROR, "mox", "role misbehaves and is ended", LOG_E(&e),
        LOG_S("role", str_of(role_name(p->role))));
    close_process(p);
    return false;
}

static void process_ready(void *ctx, int events)
{
    (void)events;
    hear(ctx);
}

void role_drain(struct monitor *m, enum role role)
{
    struct process *p = role_process(m, role);

    // What it had said before is not more than its channel holds; it may go on saying things.
    for (unsigned i = 0; p && i < MOST_HEARD && hear(p); i++)
        ;
}

// Who shakes hands with the clients of a listener.
static enum role who_has_tls(const struct ipc_listener *port)
{
    return port->protocol == IPC_PROTOCOL_SMTP   ? ROLE_SESSION_TEMPLATE
           : port->protocol == IPC_PROTOCOL_HTTP ? ROLE_WEB_TEMPLATE
                                                 : ROLE_FRONT;
}

static bool send_metrics(struct monitor *m, struct process *p, struct err *e)
{
    if (!IPC_SEND(&p->ch, metrics, &m->metrics[role_of_children(p->role)], 1, e))
        return false;
    for (size_t role = 0; role < ROLE_COUNT && p->role == ROLE_WEB_TEMPLATE; role++)
        if (m->metrics_read[role] >= 0 &&
            !IPC_SEND(&p->ch, metrics_page, &m->metrics_read[role], 1, e, .role = (uint8_t)role))
            return false;
    return true;
}

bool role_send_certificates(struct monitor *m, struct process *p, struct err *e)
{
    for (size_t i = 0; i < m->n_pairs; i++) {
        const struct tls_pair *pair = &m->pairs[i];
        bool is_wanted = p->role == ROLE_KEYS || p->role == who_has_tls(&m->ports[pair->listener].info);
        const int *fd = p->role == ROLE_KEYS ? &pair->key_fd : &pair->cert_fd;

        if (is_wanted && !IPC_SEND(&p->ch, tls_file, fd, 1, e, .listener = pair->listener,
                                   .key = pair->key))
            return false;
    }
    return p->role == ROLE_KEYS || certificates_send(m, p, e);
}

static bool send_files(struct monitor *m, struct process *p, struct err *e)
{
    bool has_tls = p->role == ROLE_KEYS || p->role == ROLE_FRONT || p->role == ROLE_SESSION_TEMPLATE ||
                   p->role == ROLE_WEB_TEMPLATE;

    if (has_tls && !role_send_certificates(m, p, e))
        return false;
    if ((p->role == ROLE_SESSION_TEMPLATE || p->role == ROLE_WEB_TEMPLATE) &&
        !IPC_SEND(&p->ch, received_key, NULL, 0, e,
                  .key = str_at((const char *)m->received_key, sizeof m->received_key)))
        return false;
    if (p->role == ROLE_AUTH) {
        unsigned char key[SRS_KEY_BYTES];

        hmac_sha256(str_at(m->received_key, sizeof m->received_key), STR("SRS"), key);
        if (!IPC_SEND(&p->ch, srs_key, NULL, 0, e, .key = str_at(key, sizeof key)))
            return false;
    }
    if (p->role == ROLE_ACCOUNT_TEMPLATE && m->account_ids.n &&
        !IPC_SEND(&p->ch, account_ids, NULL, 0, e, .first = m->account_ids.first,
                  .last = m->account_ids.first + m->account_ids.n - 1))
        return false;
    if (p->role == ROLE_FRONT)
        for (size_t i = 0; i < m->n_ports; i++)
            if (!IPC_SEND(&p->ch, listen, &m->ports[i].fd, 1, e,
                          .index = m->ports[i].info.index))
                return false;
    if (p->role == ROLE_ADMIN && !IPC_SEND(&p->ch, listen, &m->ctl_fd, 1, e))
        return false;
    return true;
}

static bool send_start(struct monitor *m, struct process *p, struct err *e)
{
    int fds[3] = {m->configs[p->role]};
    size_t n = 1;

    if (p->role == ROLE_AUTH)
        fds[n++] = m->auth_dir;
    if (p->role == ROLE_QUEUE)
        fds[n++] = m->queue_dir;
    if (p->role == ROLE_ADMIN)
        fds[n++] = m->admin_dir;
    if (p->role == ROLE_DKIM)
        fds[n++] = m->signing_keys;
    if (p->role == ROLE_ACME)
        fds[n++] = m->acme_state_dir;
    if (p->role == ROLE_KEYS) {
        fds[n++] = m->acme_dir;
        fds[n++] = m->host_keys;
    }
    if (m->authorities >= 0 &&
        (p->role == ROLE_DELIVER_TEMPLATE || p->role == ROLE_FETCH_TEMPLATE || p->role == ROLE_WEB_TEMPLATE))
        fds[n++] = m->authorities;
    // What a template may not open, its children may not either; each child then has its own.
    if (p->role == ROLE_ACCOUNT_TEMPLATE)
        fds[n++] = m->accounts_dir;
    if (!IPC_SEND(&p->ch, config, fds, n, e, .number = m->config_number) || !send_files(m, p, e) ||
        !send_metrics(m, p, e) || !IPC_SEND(&p->ch, go, NULL, 0, e))
        return false;
    // Before the work that somebody waits to give it: the first children would have other levels.
    if (role_is_on_demand(p->role))
        send_levels(m, &p->ch);
    return true;
}

struct process *process_start(struct monitor *m, enum role role)
{
    // The last word makes room in the process's arguments for its title.
    char title_room[] = "                                                                ";
    char *argv[] = {"mox", "role", (char *)(uintptr_t)role_name(role), title_room, NULL};
    struct process *p = heap_alloc(sizeof *p);
    struct os_user user = role_user(m, role);
    struct err e = {0};
    int pair[2];

    if (!fd_pair_packets(pair, &e)) {
        LOG(LOG_ERROR, "mox", "starting a role", LOG_E(&e), LOG_S("role", str_of(role_name(role))));
        free(p);
        return NULL;
    }
    p->role = role;
    p->m = m;
    p->ch = (struct channel){pair[0], ROLE_MONITOR, role};
    p->pid = os_spawn(argv, pair[1], &user, &e);
    fd_close(&pair[1]);
    if (p->pid < 0) { // nobody would be told of its end
        LOG(LOG_ERROR, "mox", "starting a role", LOG_E(&e), LOG_S("role", str_of(role_name(role))));
        channel_close(&p->ch);
        free(p);
        return NULL;
    }
    p->next = m->processes;
    m->processes = p;
    p->source = event_add(m->loop, p->ch.fd, EVENT_READ, process_ready, p, &e);
    if (!p->source || !send_start(m, p, &e))
        LOG(LOG_ERROR, "mox", "starting a role", LOG_E(&e), LOG_S("role", str_of(role_name(role))));
    else
        LOG(LOG_DEBUG, "mox", "role started", LOG_S("role", str_of(role_name(role))),
            LOG_I("pid", p->pid));
    return p;
}

static bool is_running(struct monitor *m, enum role role)
{
    for (struct process *p = m->processes; p; p = p->next)
        if (p->role == role && !p->is_retired)
            return true;
    return false;
}

void roles_start(struct monitor *m)
{
    for (size_t i = 0; i < COUNT(started) && !m->stopping_ms; i++)
        if (!is_running(m, started[i]) && is_due(m, started[i]))
            process_start(m, started[i]);
    promises_watch(m);
}

void role_replace(struct monitor *m, enum role role)
{
    int64_t now = os_monotonic_ms();

    if (m->stopping_ms || now - m->begun_ms[role] < 1000)
        return;
    m->begun_ms[role] = now;
    LOG(LOG_INFO, "mox", "template lost a child and is replaced",
        LOG_S("role", str_of(role_name(role))));
    process_start(m, role);
}

static void forget(struct monitor *m, struct process *dead, int status)
{
    char how[100];

    os_describe_status(status, how, sizeof how);
    if (!m->stopping_ms)
        metrics_ended(dead->role, status);
    if (!m->stopping_ms && !dead->is_retired)
        LOG(LOG_ERROR, "mox", "role ended unexpectedly and will be started again",
            LOG_S("role", str_of(role_name(dead->role))), LOG_S("how", str_of(how)));
    for (struct process **at = &m->processes; *at; at = &(*at)->next)
        if (*at == dead) {
            *at = dead->next;
            break;
        }
    if (dead->role == ROLE_AUTH || dead->role == ROLE_QUEUE)
        grants_clear(&m->queue_grants, &m->n_queue_grants);
    if (dead->ch.fd >= 0)
        close_process(dead);
    promises_forget(dead);
    conns_template_ended(dead);
    if (role_is_on_demand(dead->role) && !m->stopping_ms)
        promise_again(m, dead->role);
    free(dead);
}

void roles_reap(struct monitor *m)
{
    int status;
    pid_t pid;

    while ((pid = os_reap(&status)))
        for (struct process *p = hook_ended(m, pid, status) ? NULL : m->processes; p; p = p->next)
            if (p->pid == pid) {
                p->pid = 0; // it may be another's by now
                while (hear(p)) // its last words
                    ;
                forget(m, p, status);
                break;
            }
    if (m->stopping_ms && !m->processes)
        event_stop(m->loop);
}

void roles_stop(struct monitor *m, bool all)
{
    for (struct process *p = m->processes; p; p = p->next) {
        struct err e = {0};

        if ((all || p->role == ROLE_FRONT || p->role == ROLE_QUEUE || is_template(p->role)) &&
            p->ch.fd >= 0 &&
            !IPC_SEND(&p->ch, stop, NULL, 0, &e))
            LOG(LOG_DEBUG, "mox", "asking a role to stop", LOG_E(&e));
    }
}

void level_set(struct monitor *m, struct str package, struct str level)
{
    struct map_entry *entry;
    struct level *own = NULL;
    struct err e = {0};

    if (!log_set_level(package, level, &e)) {
        LOG(LOG_ERROR, "mox", "setting a log level", LOG_E(&e));
        return;
    }
    for (size_t i = 0; i < m->n_levels; i++)
        if (str_eq(m->levels[i].package, package))
            own = &m->levels[i];
    if (!own && m->n_levels < MAX_LEVELS) {
        own = &m->levels[m->n_levels++];
        own->package = heap_dup(package);
    }
    if (!own)
        return;
    heap_free(&own->level);
    own->level = heap_dup(level);
    for (struct process *p = m->processes; p; p = p->next)
        if (p->is_ready && p->ch.fd >= 0)
            send_levels(m, &p->ch);
    for (size_t i = 0; (entry = map_each(&m->accounts, &i));) {
        struct account *a = entry->value;

        send_levels(m, &a->ch);
        a->sent += m->n_levels; // it counts what it hears
    }
}
