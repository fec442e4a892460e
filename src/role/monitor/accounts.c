/*
 * Account processes: started when first needed, one per account, ended when they have nothing to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/process.h"
#include "role/monitor/monitor_priv.h"
#include "role/template.h"

/*
 * The admin's question is the monitor's to know: an account cannot answer for another. That admin may have ended is no
 * fault of the account's.
 */
static void answer_task(struct account *a, bool is_ok, struct str text)
{
    struct process *admin = role_process(a->m, ROLE_ADMIN);
    struct err e = {0};

    if (a->has_task && admin &&
        !IPC_SEND(&admin->ch, account_done, NULL, 0, &e, .request = a->task, .is_ok = is_ok, .text = text))
        LOG(LOG_DEBUG, "mox", "answering admin", LOG_E(&e));
    a->has_task = false;
}

// What admin has no room for it can do without: an account that tells of it without end keeps nobody waiting.
static void pass_progress(struct account *a, const struct ipc_account_progress *got)
{
    struct process *admin = role_process(a->m, ROLE_ADMIN);
    struct err e = {0};

    if (a->has_task && admin && channel_has_room(&admin->ch) &&
        !IPC_SEND(&admin->ch, account_progress, NULL, 0, &e, .request = a->task, .n = got->n, .all = got->all))
        LOG(LOG_DEBUG, "mox", "telling admin", LOG_E(&e));
}

static void tell_erased(struct monitor *m, struct str name, enum ipc_erased outcome)
{
    struct process *admin = role_process(m, ROLE_ADMIN);
    struct err e = {0};

    if (admin && !IPC_SEND(&admin->ch, account_erased, NULL, 0, &e, .account = name, .outcome = (uint8_t)outcome))
        LOG(LOG_DEBUG, "mox", "telling admin", LOG_E(&e));
}

static bool is_dir(struct monitor *m, struct str name)
{
    char path[IPC_MAX_NAME + 1] = {0};

    memcpy(path, name.p, name.n);
    return faccessat(m->accounts_dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

// The directory and the files in it; there are no others. What admin hears holds after a power cut too.
static void erase_mail(struct monitor *m, struct str name)
{
    struct err e = {0};

    if (is_dir(m, name) && !(os_remove_dir(m->accounts_dir, name, &e) &&
                             (fsync(m->accounts_dir) == 0 || fail_errno(&e, "syncing the directory of accounts")))) {
        LOG(LOG_ERROR, "mox", "removing an account's mail", LOG_E(&e), LOG_S("account", name));
        tell_erased(m, name, IPC_ERASED_FAILED);
        return;
    }
    account_id_forget(m, name);
    LOG(LOG_INFO, "mox", "account and its mail removed", LOG_S("account", name));
    tell_erased(m, name, IPC_ERASED);
}

bool account_is_name(struct str name)
{
    bool is_ok = name.n && name.n <= IPC_MAX_NAME && name.p[0] != '.';

    for (size_t i = 0; is_ok && i < name.n; i++)
        is_ok = (unsigned char)name.p[i] > ' ' && name.p[i] != 0x7f && name.p[i] != '/';
    return is_ok;
}

bool account_is_new(struct monitor *m, struct str name, struct err *e)
{
    if (!account_is_name(name))
        return fail(e, ERR_SYNTAX, "\"%.*s\" is no name of an account", STR_FMT(name));
    return !is_dir(m, name) ||
           fail(e, ERR_CONFLICT, "there is mail of a former account of that name: move accounts/%.*s "
                "in the data directory away first", STR_FMT(name));
}

static bool is_one_leaving(struct monitor *m, struct str name)
{
    struct account *a = m->leaving;

    while (a && !str_eq(a->name, name))
        a = a->next;
    return a;
}

static bool has_process(struct monitor *m, struct str name)
{
    return map_get(&m->accounts, name) || is_one_leaving(m, name);
}

void account_remove(struct monitor *m, struct str name)
{
    if (map_get(&m->known, name)) // what is still an account keeps its mail
        tell_erased(m, name, IPC_ERASED_NOT);
    else if (!account_is_name(name)) // then there is no directory of that name
        tell_erased(m, name, IPC_ERASED);
    else if (has_process(m, name)) // it was told to end, and is erased then
        map_put(&m->removed, name, m);
    else
        erase_mail(m, name);
}

// Nobody reads what is sent to it from now on, and it takes its time to close its database: who needs the account meanwhile
// gets another process. One that does not end although it was told to stays the only one: the next is not told.
static bool let_go(struct account *a, struct err *e)
{
    if (map_get(&a->m->accounts, a->name) != a)
        return fail(e, ERR_DENIED, "it was told to end");
    if (is_one_leaving(a->m, a->name))
        return true;
    map_remove(&a->m->accounts, a->name);
    a->next = a->m->leaving;
    a->m->leaving = a;
    return IPC_SEND(&a->ch, account_end, NULL, 0, e);
}

static void stop_leaving(struct account *a)
{
    struct account **at = &a->m->leaving;

    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
}

static void account_free(struct account *a, bool has_crashed)
{
    struct monitor *m = a->m;
    bool is_leaving = map_get(&m->accounts, a->name) != a;
    struct map_entry *entry;
    struct err e = {0};

    answer_task(a, false, STR("the account's process ended before it had done it"));
    if (is_leaving)
        stop_leaving(a);
    else
        map_remove(&m->accounts, a->name);
    event_remove(m->loop, a->source);
    channel_close(&a->ch);
    // Nobody counts it any more: one that does not end by itself has been taken over, and another will take its place.
    if (a->pid && !os_end_child_of(a->template, a->pid, &e))
        LOG(LOG_ERROR, "mox", "ending an account's process", LOG_E(&e), LOG_S("account", a->name));
    // One that leaves has none: what came since is another process's. Removing entries moves others: start again after each.
    for (size_t i = 0; !is_leaving && (entry = map_each(&m->conns, &i));) {
        struct conn *c = entry->value;

        if (c->state == CONN_ACCOUNT && str_eq(c->account, a->name)) {
            conn_finish(c, has_crashed);
            i = 0;
        }
    }
    if (!has_process(m, a->name) && map_remove(&m->removed, a->name))
        erase_mail(m, a->name);
    heap_free(&a->name);
    free(a);
}

// For a report that came, about a domain of ours or about a message of the account's own: the services that an account
// has a use for.
static bool grant_service(struct account *a, const struct ipc_grant *asked, struct err *e)
{
    struct process *p = role_process(a->m, asked->service == IPC_SERVICE_QUEUE ? ROLE_QUEUE : ROLE_ADMIN);
    struct ipc_peer who = {.role = ROLE_ACCOUNT, .account = a->name};
    struct err why = {0};
    AUTO_FD fd = -1;

    if (asked->service != IPC_SERVICE_ADMIN && asked->service != IPC_SERVICE_QUEUE)
        return fail(e, ERR_DENIED, "an account may not use that service");
    if (!p)
        (void)fail(&why, ERR_TEMPORARY, "a part of the server is starting again, try later");
    else if (!role_connect(a->m, &p->ch, &who, &fd, &why))
        fd = -1;
    a->sent++;
    return IPC_SEND(&a->ch, granted, &fd, fd >= 0, e,
                    .reason = fd >= 0 ? STR("") : str_of(why.text));
}

static bool account_message(struct account *a, struct packet *p, struct err *e)
{
    struct ipc_detached detached;
    struct ipc_account_idle idle;
    struct ipc_account_done done;
    struct ipc_account_progress progress;
    struct ipc_grant grant;
    struct conn *c;

    switch ((int)p->type) {
    case IPC_detached:
        if (!ipc_detached_get(p->body, &detached, e))
            return false;
        c = conn_find(a->m, detached.conn);
        if (!c || c->state != CONN_ACCOUNT || !str_eq(c->account, a->name))
            return true;
        if (detached.is_parked && c->is_detach_due)
            c->is_detach_due = false;
        else if (detached.is_parked)
            c->state = CONN_PARKED;
        else
            conn_finish(c, false);
        return true;
    case IPC_account_progress:
        if (!ipc_account_progress_get(p->body, &progress, e))
            return false;
        pass_progress(a, &progress);
        return true;
    case IPC_account_done:
        if (!ipc_account_done_get(p->body, &done, e))
            return false;
        answer_task(a, done.is_ok, done.text);
        return true;
    case IPC_grant:
        return ipc_grant_get(p->body, &grant, e) && grant_service(a, &grant, e);
    case IPC_account_idle:
        if (!ipc_account_idle_get(p->body, &idle, e))
            return false;
        return idle.seen != a->sent || let_go(a, e);
    default:
        return fail(e, ERR_DENIED, "unexpected message");
    }
}

static void account_ready(void *ctx, int events)
{
    struct account *a = ctx;
    struct packet *packet = a->m->packet;
    struct err e = {0};

    (void)events;
    switch (channel_receive(&a->ch, packet, 0, &e)) {
    case CHANNEL_MESSAGE:
        if (!account_message(a, packet, &e)) {
            LOG(LOG_ERROR, "mox", "account misbehaves", LOG_E(&e), LOG_S("account", a->name));
            account_free(a, true);
        }
        packet_close_fds(packet);
        break;
    case CHANNEL_TIMEOUT:
        break;
    case CHANNEL_CLOSED:
    case CHANNEL_BAD:
        account_free(a, false);
        break;
    }
}

// It is the account's own, also when somebody has put another in its place while the server runs.
static int open_account_dir(struct monitor *m, struct str name, struct os_user *user, struct err *e)
{
    char path[IPC_MAX_NAME + 1] = {0};
    struct stat st;
    AUTO_FD fd = -1;
    bool is_new;

    memcpy(path, name.p, name.n);
    is_new = mkdirat(m->accounts_dir, path, 0700) == 0;
    if (!is_new && errno != EEXIST)
        return fail_errno(e, "making the directory of account %s", path), -1;
    fd = openat(m->accounts_dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st))
        return fail_errno(e, "opening the directory of account %s", path), -1;
    *user = account_user(m, name, &st);
    if (user->is_set && st.st_uid != user->uid && (is_new || !m->settings.no_fix_permissions) &&
        !account_give(fd, user, e))
        return fail_in(e, "account %s", path), -1;
    return fd_take(&fd);
}

// Parked connections of the account are kept by front, and the two talk directly.
static void introduce_front(struct monitor *m, struct account *a)
{
    struct process *front = role_process(m, ROLE_FRONT);
    struct ipc_peer who = {.role = ROLE_ACCOUNT, .account = a->name};
    struct err e = {0};
    AUTO_FD fd = -1;

    if (!front || !role_connect(m, &front->ch, &who, &fd, &e))
        return;
    a->sent++;
    if (!IPC_SEND(&a->ch, peer, &fd, 1, &e, .role = ROLE_FRONT))
        LOG(LOG_DEBUG, "mox", "connecting account and front", LOG_E(&e));
}

static int config_file(const struct known_account *known, struct err *e)
{
    int fd = os_memfile("account", e);

    if (fd >= 0 && (!os_write_all(fd, known->config, e) || !os_memfile_seal(fd, e)))
        fd_close(&fd);
    return fd;
}

void accounts_configure(struct monitor *m, struct map *old)
{
    struct map_entry *entry;

    for (size_t i = 0; (entry = map_each(&m->accounts, &i));) {
        struct account *a = entry->value;
        const struct known_account *known = map_get(&m->known, a->name);
        const struct known_account *before = map_get(old, a->name);
        struct err e = {0};
        AUTO_FD fd = -1;

        if (!known) { // it is no account any more; its clients hear BYE
            if (!IPC_SEND(&a->ch, stop, NULL, 0, &e))
                LOG(LOG_DEBUG, "mox", "asking an account to stop", LOG_E(&e));
            continue;
        }
        if (before && str_eq(known->config, before->config))
            continue;
        fd = config_file(known, &e);
        a->sent++;
        if (fd < 0 || !IPC_SEND(&a->ch, account_config, &fd, 1, &e))
            LOG(LOG_ERROR, "mox", "passing on the configuration", LOG_E(&e),
                LOG_S("account", a->name));
    }
}

struct account *account_ensure(struct monitor *m, struct str name, struct err *e)
{
    struct account *a = map_get(&m->accounts, name);
    const struct known_account *known = map_get(&m->known, name);
    struct process *template;
    struct os_user user;
    int pair[2], fds[3];
    char *copy;
    bool is_ok;

    // Who erases a former account's mail would erase with it what comes now.
    if (map_get(&m->removed, name))
        return fail(e, ERR_TEMPORARY, "mail of a former account of that name is being removed, try later"), NULL;
    if (a)
        return a;
    if (!known || name.n > IPC_MAX_NAME)
        return fail(e, ERR_NOT_FOUND, "no such account"), NULL;
    if (m->accounts.count >= MAX_ACCOUNTS)
        return fail(e, ERR_TEMPORARY, "too many accounts are active, try later"), NULL;
    template = role_process(m, ROLE_ACCOUNT_TEMPLATE); // while another begins that is to take its place
    if (!template && !(template = role_wanted(m, ROLE_ACCOUNT_TEMPLATE)))
        return fail(e, ERR_TEMPORARY, "a part of the server is starting again, try later"), NULL;
    fds[0] = open_account_dir(m, name, &user, e);
    if (fds[0] < 0)
        return NULL;
    fds[2] = config_file(known, e);
    if (fds[2] < 0 || !fd_pair_packets(pair, e)) {
        fd_close(&fds[0]);
        fd_close(&fds[2]);
        return NULL;
    }
    fds[1] = pair[1];
    a = heap_alloc(sizeof *a);
    copy = heap_alloc(name.n + 1);
    memcpy(copy, name.p, name.n);
    *a = (struct account){.id = ++m->next_account_id, .name = {copy, name.n}, .m = m,
                          .ch = {pair[0], ROLE_MONITOR, ROLE_ACCOUNT}};
    is_ok = IPC_SEND(&template->ch, account_start, fds, 3, e, .conn = a->id, .account = name,
                     .quota_bytes = known->quota_bytes, .uid = user.uid == role_user(m, ROLE_ACCOUNT_TEMPLATE).uid ? 0 : user.uid);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
    fd_close(&fds[2]);
    a->source = is_ok ? event_add(m->loop, a->ch.fd, EVENT_READ, account_ready, a, e) : NULL;
    if (!a->source) {
        channel_close(&a->ch);
        free(copy);
        free(a);
        return NULL;
    }
    map_put(&m->accounts, a->name, a);
    for (size_t i = 0; i < m->n_levels; i++)
        (void)!IPC_SEND(&a->ch, log_level, NULL, 0, e, .package = m->levels[i].package,
                        .level = m->levels[i].level);
    a->sent += m->n_levels;
    introduce_front(m, a);
    return a;
}

bool account_attach(struct monitor *m, struct conn *c, int stream, struct str tag,
                    struct str unread, struct str parked, struct err *e)
{
    struct account *a = account_ensure(m, c->account, e);

    if (!a)
        return false;
    a->sent++;
    return IPC_SEND(&a->ch, attach, &stream, 1, e, .conn = c->id, .is_tls = c->is_tls,
                    .login = c->login, .remote = str_of(c->remote), .tag = tag, .unread = unread,
                    .parked = parked);
}

static struct account *find_account(struct monitor *m, uint64_t id)
{
    struct map_entry *entry;
    struct account *a = m->leaving;

    while (a && a->id != id)
        a = a->next;
    for (size_t i = 0; !a && (entry = map_each(&m->accounts, &i));)
        if (((struct account *)entry->value)->id == id)
            a = entry->value;
    return a;
}

void account_child_started(struct process *template, uint64_t id, uint32_t pid)
{
    struct account *a = find_account(template->m, id);

    if (!a)
        return;
    a->template = template->pid;
    a->pid = (pid_t)pid;
}

void account_child_ended(struct monitor *m, uint64_t id, uint32_t wait_status)
{
    int code = WIFEXITED((int)wait_status) ? WEXITSTATUS((int)wait_status) : -1;
    bool has_crashed = code && code != ROLE_EXIT_NOT_STARTED;
    struct account *a = find_account(m, id);
    char how[100];

    if (a)
        a->pid = 0; // it may be another's by now
    os_describe_status((int)wait_status, how, sizeof how);
    if (has_crashed) {
        LOG(LOG_ERROR, "mox", "account process crashed", LOG_S("how", str_of(how)),
            LOG_S("account", a ? a->name : STR("")));
        role_replace(m, ROLE_ACCOUNT_TEMPLATE);
    }
    if (a)
        account_free(a, has_crashed);
}

void accounts_stop(struct monitor *m)
{
    struct map_entry *entry;

    for (size_t i = 0; (entry = map_each(&m->accounts, &i));) {
        struct account *a = entry->value;
        struct err e = {0};

        if (!IPC_SEND(&a->ch, stop, NULL, 0, &e))
            LOG(LOG_DEBUG, "mox", "asking an account to stop", LOG_E(&e));
    }
}

bool account_task(struct process *admin, const struct ipc_account_task *asked, struct err *e)
{
    struct err why = {0};
    struct account *a = account_ensure(admin->m, asked->account, &why);

    if (a && a->has_task) {
        (void)fail(&why, ERR_DENIED, "the account is at such work already");
    } else if (a && IPC_SEND(&a->ch, account_task, NULL, 0, &why, .request = asked->request,
                             .task = asked->task, .account = asked->account)) {
        a->sent++;
        a->has_task = true;
        a->task = asked->request;
        return true;
    }
    return IPC_SEND(&admin->ch, account_done, NULL, 0, e, .request = asked->request,
                    .text = str_of(why.text));
}

bool account_import(struct process *admin, const struct ipc_import_open *asked, struct err *e)
{
    struct err why = {0};
    struct account *a = account_ensure(admin->m, asked->account, &why);
    struct ipc_peer who = {.role = ROLE_ADMIN, .mailbox = asked->mailbox};
    AUTO_FD fd = -1;

    if (a) {
        a->sent++;
        if (!role_connect(admin->m, &a->ch, &who, &fd, &why))
            fd = -1;
    }
    return IPC_SEND(&admin->ch, import_channel, &fd, fd >= 0, e, .request = asked->request,
                    .why = str_of(why.text));
}
