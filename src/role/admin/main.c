/*
 * admin: requests of the `mox` command line, over the control socket (protocol of
 * mox-imap-store-cli-config.md 3.4).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/crypto.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/net.h"
#include "policy/psl.h"
#include "reports/reports.h"
#include "role/admin/admin.h"
#include "role/admin/lookup.h"
#include "role/web_fetch.h"

enum { MAX_CLIENTS = 32, MAX_LINE = 24 * 1024, REPLY_TIMEOUT_MS = 20000,
       STOP_MS = 1500 }; // for a web server that is being told something; the monitor waits for 2000

static struct role_start self;
static struct ctl *clients;
static size_t n_clients;
static struct packet *packet;
static uid_t own_uid;
static int64_t stop_ms; // 0: not stopping
static int64_t reply_ms = REPLY_TIMEOUT_MS;
// What a process was asked and has not answered in time: until it has, it is asked nothing else, since one answer looks
// like another. 0: nothing.
static unsigned owed[ROLE_COUNT];

bool admin_put(struct ctl *c, struct str text, struct err *e)
{
    return os_write_all(c->fd, text, e);
}

bool admin_answer(struct ctl *c, const struct err *why, struct err *e)
{
    struct str line = why->kind ? arena_printf(&c->a, "%s\n", why->text) : STR("ok\n");

    return admin_put(c, line, e);
}

// A stream: each piece with its size before it; the end is size 0. The receiver's "ok" lines after
// pieces are read and ignored by `take_line`.
bool admin_put_piece(struct ctl *c, struct str piece, struct err *e)
{
    return admin_put(c, arena_printf(&c->a, "%zu\n", piece.n), e) && admin_put(c, piece, e);
}

uint64_t admin_next_request(void)
{
    static uint64_t last;

    // An account still answers what was asked by an admin that has ended: no number of that one is one of ours.
    if (!last) {
        os_random(&last, sizeof last);
        last >>= 1;
    }
    return ++last;
}

struct channel *admin_monitor(void)
{
    return &self.monitor;
}

const struct ipc_settings *admin_settings(void)
{
    return &self.settings;
}

static bool run_stop(struct ctl *c, const struct str *arguments, struct err *e)
{
    (void)c, (void)arguments;
    return IPC_SEND(&self.monitor, stop, NULL, 0, e);
}

bool admin_expect(struct channel *ch, enum ipc_type type, struct packet *p, struct err *e)
{
    int64_t end = os_monotonic_ms() + reply_ms, left;

    while ((left = end - os_monotonic_ms()) > 0) {
        bool is_ours;

        switch (channel_receive(ch, p, (int)left, e)) {
        case CHANNEL_MESSAGE:
            if (p->type == type)
                return true;
            if (p->type == IPC_fetch_made) {
                if (!web_fetch_made(p, e))
                    return false;
                packet_close_fds(p);
                break;
            }
            if (p->type != IPC_tls_result || !admin_hear_report(NULL, p, &is_ours, e))
                return e->kind ? false : fail(e, ERR_BUG, "unexpected message");
            break;
        case CHANNEL_CLOSED:
            return fail(e, ERR_TEMPORARY, "the %s process has ended", role_name(ch->peer));
        case CHANNEL_TIMEOUT:
            break;
        case CHANNEL_BAD:
            return false;
        }
    }
    owed[ch->peer] = type;
    return fail(e, ERR_TEMPORARY, "the %s process did not answer in time", role_name(ch->peer));
}

bool admin_await(struct channel *ch, struct ipc_admin_reply *out, struct err *e)
{
    if (!admin_expect(ch, IPC_admin_reply, packet, e) ||
        !ipc_admin_reply_get(packet->body, out, e))
        return false;
    return out->is_ok || fail(e, ERR_DENIED, "%.*s", STR_FMT(out->text));
}

bool admin_peer(enum role role, struct service_peer **out, struct err *e)
{
    *out = service_peer_of(role);
    if (*out && owed[role])
        return fail(e, ERR_TEMPORARY, "the %s process is still busy with what it was asked before, try once more",
                    role_name(role));
    return *out || fail(e, ERR_TEMPORARY, "the %s process is starting again, try once more",
                        role_name(role));
}

static bool run_setaccountpassword(struct ctl *c, const struct str *arguments, struct err *e)
{
    struct ipc_admin_reply reply;
    struct service_peer *auth;
    struct err why = {0};

    if (removal_has_forgotten(arguments[0], &why) && admin_peer(ROLE_AUTH, &auth, &why) &&
        IPC_SEND(&auth->ch, set_password, NULL, 0, &why, .account = arguments[0],
                 .password = arguments[1]))
        (void)!admin_await(&auth->ch, &reply, &why);
    return admin_answer(c, &why, e);
}

static bool run_loglevels(struct ctl *c, const struct str *arguments, struct err *e)
{
    AUTO_BUF out = BUF_LIMIT(1 << 16);

    (void)arguments;
    log_list_levels(&out);
    return admin_put(c, STR("ok\n"), e) && admin_put_piece(c, buf_str(&out), e) &&
           admin_put(c, STR("0\n"), e);
}

// The monitor tells all roles, this one too.
static bool run_setloglevels(struct ctl *c, const struct str *arguments, struct err *e)
{
    enum log_level level;
    struct err why = {0};

    if ((!arguments[1].n || log_level_parse(arguments[1], &level, &why)) &&
        log_set_level(arguments[0], arguments[1], &why))
        (void)!IPC_SEND(&self.monitor, log_level, NULL, 0, &why, .package = arguments[0],
                        .level = arguments[1]);
    return admin_answer(c, &why, e);
}

// The answer comes by way of the monitor, and others are served meanwhile.
static bool begin_task(struct ctl *c, unsigned task, struct str account, struct err *e)
{
    struct err why = {0};

    c->waits_for = admin_next_request();
    c->wants_text = task != IPC_TASK_RETRAIN;
    if (IPC_SEND(&self.monitor, account_task, NULL, 0, &why, .request = c->waits_for,
                 .task = (uint8_t)task, .account = account))
        return true;
    c->waits_for = 0;
    return admin_answer(c, &why, e);
}

static bool run_retrain(struct ctl *c, const struct str *arguments, struct err *e)
{
    return begin_task(c, IPC_TASK_RETRAIN, arguments[0], e);
}

static bool run_recount(struct ctl *c, const struct str *arguments, struct err *e)
{
    return begin_task(c, IPC_TASK_COUNTS, arguments[0], e);
}

static bool run_fixmsgsize(struct ctl *c, const struct str *arguments, struct err *e)
{
    return begin_task(c, IPC_TASK_SIZES, arguments[0], e);
}

static bool run_reparse(struct ctl *c, const struct str *arguments, struct err *e)
{
    return begin_task(c, IPC_TASK_PARSE, arguments[0], e);
}

static bool run_reassignthreads(struct ctl *c, const struct str *arguments, struct err *e)
{
    return begin_task(c, IPC_TASK_THREADS, arguments[0], e);
}

// The command talks to the account over the channel itself.
static bool run_import(struct ctl *c, const struct str *arguments, struct err *e)
{
    struct err why = {0};

    c->waits_for = admin_next_request();
    if (IPC_SEND(&self.monitor, import_open, NULL, 0, &why, .request = c->waits_for,
                 .account = arguments[0], .mailbox = arguments[1]))
        return true;
    c->waits_for = 0;
    return admin_answer(c, &why, e);
}

static const struct command commands[] = {
    {STR_("stop"), 0, run_stop},
    {STR_("setaccountpassword"), 2, run_setaccountpassword},
    {STR_("retrain"), 1, run_retrain},
    {STR_("recalculatemailboxcounts"), 1, run_recount},
    {STR_("fixmsgsize"), 1, run_fixmsgsize},
    {STR_("reparse"), 1, run_reparse},
    {STR_("reassignthreads"), 1, run_reassignthreads},
    {STR_("importopen"), 2, run_import},
    {STR_("loglevels"), 0, run_loglevels},
    {STR_("setloglevels"), 2, run_setloglevels},
};

static void drop(struct ctl *c)
{
    for (struct ctl **at = &clients; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    n_clients--;
    event_remove(service_loop(), c->source);
    fd_close(&c->fd);
    buf_fini(&c->in);
    arena_fini(&c->a);
    free(c);
}

static bool take_line(struct ctl *c, struct str line, struct err *e)
{
    const struct command *command = c->command;

    if (!command) {
        if (str_eq(line, STR("ok"))) // after a piece of a stream
            return true;
        for (size_t i = 0; i < COUNT(commands); i++)
            if (str_eq(line, commands[i].name))
                command = &commands[i];
        for (size_t i = 0; i < report_command_count; i++)
            if (str_eq(line, report_commands[i].name))
                command = &report_commands[i];
        for (size_t i = 0; i < queue_command_count; i++)
            if (str_eq(line, queue_commands[i].name))
                command = &queue_commands[i];
        for (size_t i = 0; i < client_key_command_count; i++)
            if (str_eq(line, client_key_commands[i].name))
                command = &client_key_commands[i];
        c->edit = config_edit_of(line);
        if (c->edit) {
            c->edit_command = (struct command){c->edit->name, c->edit->n_arguments, domains_run};
            command = &c->edit_command;
        }
        if (!command)
            return admin_put(c, STR("unrecognized command\n"), e);
        LOG(LOG_INFO, "admin", "command", LOG_S("name", command->name));
        c->n_arguments = 0;
        arena_reset(&c->a);
    } else {
        c->arguments[c->n_arguments++] = arena_dup(&c->a, line);
    }
    c->command = c->n_arguments < command->n_arguments ? command : NULL;
    return c->command || command->run(c, c->arguments, e);
}

static void ctl_ready(void *ctx, int events)
{
    struct ctl *c = ctx;
    struct err e = {0};
    char *room = buf_room(&c->in, MAX_LINE);
    ssize_t got = room ? read(c->fd, room, MAX_LINE) : -1;
    ptrdiff_t end;

    (void)events;
    if (got <= 0) {
        drop(c);
        return;
    }
    buf_claim(&c->in, (size_t)got);
    while ((end = str_find(buf_str(&c->in), '\n')) >= 0) {
        bool is_ok = take_line(c, str_sub(buf_str(&c->in), 0, (size_t)end), &e);

        if (!is_ok) {
            LOG(LOG_INFO, "admin", "control connection ended", LOG_E(&e));
            drop(c);
            return;
        }
        buf_drop(&c->in, (size_t)end + 1);
    }
    if (c->in.n > MAX_LINE)
        drop(c);
}

// The socket's mode keeps other users out; their identity is looked at too.
static bool is_own_user(int fd)
{
    struct ucred who;
    socklen_t n = sizeof who;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 &&
           (who.uid == 0 || who.uid == own_uid);
}

static void accept_client(void *ctx, int events)
{
    int fd = accept4(*(int *)ctx, NULL, NULL, SOCK_CLOEXEC);
    struct timeval deadline = {.tv_sec = 10};
    struct ctl *c;
    struct err e = {0};

    (void)events;
    if (fd < 0)
        return;
    if (n_clients >= MAX_CLIENTS || !is_own_user(fd)) {
        fd_close(&fd);
        return;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
    c = heap_alloc(sizeof *c);
    *c = (struct ctl){.fd = fd, .in = BUF_LIMIT(4 * MAX_LINE), .a = ARENA_LIMIT(1 << 20),
                      .next = clients};
    clients = c;
    n_clients++;
    c->source = event_add(service_loop(), fd, EVENT_READ, ctl_ready, c, &e);
    if (!c->source || !admin_put(c, STR("ctlv0\n"), &e))
        drop(c);
}

static void on_opened(struct service_peer *p)
{
    owed[p->role] = 0;
    if (p->role == ROLE_AUTH || p->role == ROLE_QUEUE)
        removals_retry();
}

static bool on_message(struct service_peer *p, struct packet *m, struct err *e)
{
    bool is_ours;

    if (owed[p->role] && m->type == owed[p->role]) {
        owed[p->role] = 0; // too late: who asked was told so
        return true;
    }
    return admin_hear_report(p, m, &is_ours, e) ||
           (!is_ours && fail(e, ERR_DENIED, "an answer nobody asked for"));
}

static struct ctl *waiting_for(uint64_t request)
{
    struct ctl *c = clients;

    while (c && c->waits_for != request)
        c = c->next;
    return c;
}

// The answer to a request that others did not have to wait for.
void admin_answer_late(uint64_t request, bool is_ok, struct str text)
{
    struct ctl *c = waiting_for(request);
    struct err why = {0}, gone = {0};

    if (!c)
        return;
    c->waits_for = 0;
    if (!is_ok)
        (void)fail(&why, ERR_DENIED, "%.*s", STR_FMT(text));
    if (!admin_answer(c, &why, &gone))
        drop(c);
}

// The command says it to whom it may concern, and goes on waiting. For one that reads nothing nobody else waits.
static void task_goes_on(const struct ipc_account_progress *at)
{
    struct ctl *c = waiting_for(at->request);
    AUTO_BUF line = BUF_LIMIT(100);

    buf_printf(&line, "progress %llu %llu\n", (unsigned long long)at->n, (unsigned long long)at->all);
    if (c && c->wants_text && send(c->fd, line.p, line.n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)line.n && errno != EAGAIN)
        drop(c);
}

// Work on an account's mail has ended; what it tells follows as a stream.
static void task_done(const struct ipc_account_done *done)
{
    struct ctl *c = waiting_for(done->request);
    struct err gone = {0};

    if (!c || !done->is_ok || !c->wants_text) {
        admin_answer_late(done->request, done->is_ok, done->text);
        return;
    }
    c->waits_for = 0;
    if (!admin_put(c, STR("ok\n"), &gone) ||
        (done->text.n && !admin_put_piece(c, done->text, &gone)) || !admin_put(c, STR("0\n"), &gone))
        drop(c);
}

static bool on_domains(struct packet *m, struct err *e)
{
    struct ipc_domains_text domains;
    struct ctl *c;
    struct err gone = {0};

    if (!ipc_domains_text_get(m->body, &domains, e))
        return false;
    c = waiting_for(domains.request);
    if (c && !domains_have(c, m, &domains, &gone))
        drop(c);
    return true;
}

// domains.conf has changed.
static bool on_config(struct packet *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(2 * COMPILED_MAX_BYTES);
    struct ipc_config config;
    struct str text;

    return ipc_config_get(m->body, &config, e) && role_read_config(m, &a, &text, e) &&
           admin_use_domains(text, e) && admin_use_watch(text, e) &&
           IPC_SEND(&self.monitor, config_done, NULL, 0, e, .number = config.number);
}

static bool on_import_channel(struct packet *m, struct err *e)
{
    AUTO_FD fd = m->n_fds ? packet_take_fd(m, 0) : -1;
    struct ipc_import_channel got;
    struct err gone = {0};
    struct ctl *c;

    if (!ipc_import_channel_get(m->body, &got, e))
        return false;
    c = waiting_for(got.request);
    if (!c || fd < 0) {
        admin_answer_late(got.request, false, got.why);
        return true;
    }
    c->waits_for = 0;
    if (!fd_send(c->fd, STR("ok\n"), fd, &gone))
        drop(c);
    return true;
}

static bool on_monitor(struct packet *m, struct err *e)
{
    struct ipc_account_done done;
    struct ipc_account_progress progress;
    struct ipc_domains_written written;
    struct ipc_account_erased erased;

    switch ((int)m->type) {
    case IPC_config:
        return on_config(m, e);
    case IPC_account_progress:
        if (!ipc_account_progress_get(m->body, &progress, e))
            return false;
        task_goes_on(&progress);
        return true;
    case IPC_account_done:
        if (!ipc_account_done_get(m->body, &done, e))
            return false;
        task_done(&done);
        return true;
    case IPC_fetch_made:
        return web_fetch_made(m, e);
    case IPC_import_channel:
        return on_import_channel(m, e);
    case IPC_domains_text:
        return on_domains(m, e);
    case IPC_domains_written:
        if (!ipc_domains_written_get(m->body, &written, e))
            return false;
        domains_are_written(&written);
        return true;
    case IPC_account_erased:
        if (!ipc_account_erased_get(m->body, &erased, e))
            return false;
        removal_erased(&erased);
        return true;
    default:
        return m->type == IPC_admin_reply || fail(e, ERR_BUG, "unexpected message");
    }
}

_Noreturn static void end(void)
{
    reports_close(admin_reports);
    exit(0);
}

static void on_tick(void)
{
    if (stop_ms && (!admin_post_is_under_way() || os_monotonic_ms() >= stop_ms))
        end();
    lookup_tick();
    admin_report_tick();
    admin_update_tick();
    admin_watch_tick();
    if (!stop_ms) {
        removals_tick();
        admin_post_tick();
    }
    web_fetch_tick();
}

static void on_stop(void)
{
    stop_ms = os_monotonic_ms() + STOP_MS;
    if (!admin_post_is_under_way())
        end();
}

_Noreturn void admin_main(void)
{
    static const struct service_handlers handlers = {.message = on_message, .opened = on_opened, .monitor = on_monitor,
                                                     .tick = on_tick, .stop = on_stop};
    const char *setting = getenv("MOX_REPLY_MS"); // tests do not wait for so long
    uint64_t ms;
    struct err e = {0};

    role_start(&self, ROLE_ADMIN);
    packet = packet_new();
    crypto_warm(); // certificates are parsed here
    psl_warm();
    admin_send_begin();
    if (setting && str_u64(str_of(setting), REPLY_TIMEOUT_MS, &ms))
        reply_ms = (int64_t)ms;
    own_uid = geteuid(); // not a call the sandbox has
    if (fchdir(self.dirs[0]) || !admin_use_domains(self.config, &e) || !admin_use_updates(self.config, &e) || !admin_use_watch(self.config, &e) ||
        !(admin_reports = reports_open(&e)) || !removals_begin(&e) || !self.n_listeners || !event_add(service_loop(), self.listeners[0].fd, EVENT_READ,
                                        accept_client, &self.listeners[0].fd, &e)) {
        LOG(LOG_ERROR, "admin", "cannot start", LOG_E(&e));
        exit(1);
    }
    service_run(&self, &handlers);
}
