/*
 * The configuration as the monitor uses it: opening what it names, loading it through a `config`
 * process, and loading it again when domains.conf changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/net.h"
#include "os/process.h"
#include "role/monitor/monitor_priv.h"

enum { LOAD_TIMEOUT_MS = 30000, MAX_AUTHORITIES = 8 << 20 };

static const char domains_name[] = "domains.conf";

// What a `config` process said.
struct loaded {
    int fds[ROLE_COUNT];
    int signing_keys, host_keys; // that they name, read
    bool is_ok;
    struct str problems;
    struct err why; // no file could be read
};

static void receive_loaded(struct monitor *m, struct channel *ch, struct loaded *out, struct err *e)
{
    const int64_t until = os_monotonic_ms() + LOAD_TIMEOUT_MS; // in all: it may have been taken over by what it reads
    struct ipc_compiled part;
    struct ipc_compiled_end end;
    int64_t left;

    while ((left = until - os_monotonic_ms()) > 0 && channel_receive(ch, m->packet, (int)left, e) == CHANNEL_MESSAGE) {
        if (m->packet->type == IPC_compiled && ipc_compiled_get(m->packet->body, &part, e) &&
            os_memfile_is_sealed(m->packet->fds[0])) {
            fd_close(&out->fds[part.role]);
            out->fds[part.role] = packet_take_fd(m->packet, 0);
        } else if (m->packet->type == IPC_compiled_end &&
                   ipc_compiled_end_get(m->packet->body, &end, e)) {
            out->is_ok = end.is_ok;
            out->problems = end.problems; // in the packet
            return;
        }
        packet_close_fds(m->packet);
    }
    (void)fail(e, ERR_TEMPORARY, "the config process gave no answer");
}

// Reads what the configuration names, or says why it is not good.
static void read_keys(struct monitor *m, bool is_admins, struct loaded *out)
{
    if (!is_admins || signing_keys_may_be(m->configs[ROLE_MONITOR], out->fds[ROLE_MONITOR], &out->why))
        out->signing_keys = signing_keys_read(m, out->fds[ROLE_MONITOR], &out->why);
    if (out->signing_keys >= 0)
        out->host_keys = host_keys_read(m, out->fds[ROLE_MONITOR], &out->why);
    out->is_ok = out->signing_keys >= 0 && out->host_keys >= 0;
    out->problems = str_of(out->why.text);
}

// is_admins: domains is what admin wants it to be.
static bool run_config(struct monitor *m, int domains, bool is_admins, struct loaded *out, struct err *e)
{
    char *argv[] = {"mox", "role", "config", NULL};
    int pair[2], files[2] = {m->main_copy, domains};
    const char *slash = strrchr(m->options.config_path, '/');
    struct str dir = slash ? str_at(m->options.config_path,
                                    (size_t)(slash - m->options.config_path) + 1) : STR("");
    AUTO_BUF name = BUF_LIMIT(IPC_MAX_TEXT);
    struct os_user nobody = geteuid() ? (struct os_user){0} : os_user_nobody();
    struct channel ch;
    pid_t pid;

    for (size_t i = 0; i < ROLE_COUNT; i++)
        out->fds[i] = -1;
    out->signing_keys = out->host_keys = -1;
    buf_put(&name, dir);
    buf_put(&name, str_of(domains_name));
    if (!fd_pair_packets(pair, e))
        return false;
    ch = (struct channel){pair[0], ROLE_MONITOR, ROLE_CONFIG};
    // It gets all that it needs as descriptors.
    pid = os_spawn(argv, pair[1], &nobody, e);
    fd_close(&pair[1]);
    if (pid > 0 &&
        IPC_SEND(&ch, check_files, files, 2, e, .main_name = str_of(m->options.config_path),
                 .domains_name = buf_str(&name), .is_localserve = m->options.is_localserve,
                 .is_pedantic = m->options.is_pedantic))
        receive_loaded(m, &ch, out, e);
    channel_close(&ch);
    // It has said what it had to say, and is not waited for: it may not want to end.
    if (pid > 0 && kill(pid, SIGKILL) == 0)
        waitpid(pid, NULL, 0);
    if (e->kind == ERR_NONE && out->is_ok)
        read_keys(m, is_admins, out);
    return e->kind == ERR_NONE;
}

// Its time alone does not tell apart what an editor left behind within one tick of the clock: the file cut off, which may
// have been read in between, and the whole of it.
static uint64_t version_of(const struct stat *st)
{
    uint64_t ns = (uint64_t)st->st_mtim.tv_sec * 1000000000 + (uint64_t)st->st_mtim.tv_nsec;

    return (ns * 1000003 + (uint64_t)st->st_size) * 1000003 + st->st_ino;
}

static int open_domains(struct monitor *m, struct err *e)
{
    int fd = openat(m->config_dir, domains_name, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        (void)fail_errno(e, "opening %s", domains_name);
    return fd;
}

static void know_account(struct monitor *m, const struct ipc_account_entry *account, struct str own)
{
    struct known_account *known;
    char *copy;

    // It becomes the name of a directory, which is given to the account; who says it has read domains.conf.
    if (!account_is_name(account->name)) {
        LOG(LOG_ERROR, "mox", "this is no name of an account", LOG_S("account", account->name));
        return;
    }
    known = heap_alloc(sizeof *known + own.n);
    copy = (char *)(known + 1);
    if (own.n)
        memcpy(copy, own.p, own.n);
    *known = (struct known_account){account->quota_bytes, account->max_per_day,
                                    account->max_first_per_day, account->keep_retired_s, {copy, own.n}};
    free(map_put(&m->known, account->name, known));
}

static bool know_accounts(struct monitor *m, struct str text, struct err *e)
{
    AUTO_BUF own = BUF_LIMIT(COMPILED_MAX_BYTES);
    struct ipc_account_entry account;
    struct ipc_account_part part;
    struct cur c = cur_of(text);
    enum compiled_type type;
    bool has_account = false;
    struct str body;

    while (compiled_next(&c, &type, &body, e))
        if (type == COMPILED_account_part && ipc_account_part_get(body, &part, e)) {
            buf_put(&own, part.bytes);
        } else if (type == COMPILED_account_entry) {
            if (has_account)
                know_account(m, &account, buf_str(&own));
            buf_reset(&own);
            has_account = ipc_account_entry_get(body, &account, e);
        }
    if (has_account)
        know_account(m, &account, buf_str(&own));
    return e->kind == ERR_NONE;
}

static bool is_same(int a, int b)
{
    AUTO_ARENA arena = ARENA_LIMIT(2 * COMPILED_MAX_BYTES + 4096);
    struct str of_a, of_b;
    struct err e = {0};

    return os_read_fd(&arena, a, COMPILED_MAX_BYTES, &of_a, &e) &&
           os_read_fd(&arena, b, COMPILED_MAX_BYTES, &of_b, &e) && str_eq(of_a, of_b);
}

// Takes over a good configuration: descriptors, and which accounts exist.
static bool adopt(struct monitor *m, struct loaded *l, struct err *e)
{
    bool is_other_web = role_begun(m, ROLE_WEB_TEMPLATE) &&
                        !is_same(m->configs[ROLE_WEB_TEMPLATE], l->fds[ROLE_WEB_TEMPLATE]);
    struct map old = m->known;
    struct arena a = ARENA_LIMIT(64 << 20);
    struct map_entry *entry;
    struct str text;
    bool is_ok;

    for (size_t i = 0; i < ROLE_COUNT; i++) {
        fd_close(&m->configs[i]);
        m->configs[i] = l->fds[i];
    }
    fd_close(&m->signing_keys);
    m->signing_keys = l->signing_keys;
    fd_close(&m->host_keys);
    m->host_keys = l->host_keys;
    m->config_number++;
    if (!os_read_fd(&a, m->configs[ROLE_MONITOR], COMPILED_MAX_BYTES, &text, e)) {
        arena_fini(&a);
        return false;
    }
    // A template's children have what it has read: another takes its place.
    if (is_other_web)
        process_start(m, ROLE_WEB_TEMPLATE);
    sites_configure(m);
    m->known = (struct map){0};
    is_ok = know_accounts(m, text, e);
    arena_fini(&a);
    accounts_configure(m, &old);
    for (size_t i = 0; (entry = map_each(&old, &i));)
        free(entry->value);
    map_fini(&old);
    return is_ok;
}

// A running role's new part, and what else it gets with it; -1: nothing. One that is not ready yet began with the old.
static void pass_on(struct monitor *m, enum role role, int more)
{
    struct process *p = role_begun(m, role);
    int fds[2] = {m->configs[role], more};
    struct err e = {0};

    if (p && !IPC_SEND(&p->ch, config, fds, more >= 0 ? 2 : 1, &e, .number = m->config_number))
        LOG(LOG_ERROR, "mox", "passing on the configuration", LOG_E(&e),
            LOG_S("role", str_of(role_name(role))));
}

static void drop_loaded(struct loaded *l)
{
    for (size_t i = 0; i < ROLE_COUNT; i++)
        fd_close(&l->fds[i]);
    fd_close(&l->signing_keys);
    fd_close(&l->host_keys);
}

// A good configuration is in use from here on; version is that of its domains.conf.
static void use(struct monitor *m, struct loaded *l, uint64_t version)
{
    struct err e = {0};

    m->domains_version = version;
    if (!adopt(m, l, &e))
        LOG(LOG_ERROR, "mox", "reading the compiled configuration", LOG_E(&e));
    pass_on(m, ROLE_AUTH, -1);
    pass_on(m, ROLE_ADMIN, -1);
    pass_on(m, ROLE_QUEUE, -1);
    pass_on(m, ROLE_DIAL, -1);
    pass_on(m, ROLE_DKIM, m->signing_keys);
    pass_on(m, ROLE_KEYS, m->host_keys);
    pass_on(m, ROLE_ACME, -1);
    LOG(LOG_INFO, "mox", "domains config reloaded", LOG_N("number", m->config_number));
}

void load_again(struct monitor *m)
{
    AUTO_FD domains = -1;
    struct loaded l = {.is_ok = false};
    struct stat st;
    struct err e = {0};

    if (fstatat(m->config_dir, domains_name, &st, 0) || version_of(&st) == m->domains_version)
        return;
    domains = open_domains(m, &e);
    // The version of what is read: a change during the load is another change.
    if (domains < 0 || fstat(domains, &st))
        return;
    if (!run_config(m, domains, false, &l, &e)) { // not the file's fault: the next look tries again
        LOG(LOG_ERROR, "mox", "loading domains config", LOG_E(&e));
        drop_loaded(&l);
    } else if (!l.is_ok) {
        m->domains_version = version_of(&st);
        LOG(LOG_ERROR, "mox", "loading domains config; the previous one stays in use",
            LOG_S("problems", str_trim(l.problems)));
        drop_loaded(&l);
    } else {
        use(m, &l, version_of(&st));
    }
}

/* --- changes that admin asks for ---------------------------------------------------------------- */

bool domains_read(struct process *admin, uint64_t request, struct err *e)
{
    struct err why = {0};
    AUTO_FD fd = open_domains(admin->m, &why);
    struct stat st = {0};

    if (fd >= 0 && fstat(fd, &st))
        (void)fail_errno(&why, "looking at %s", domains_name);
    return IPC_SEND(&admin->ch, domains_text, &fd, fd >= 0 && !why.kind, e, .request = request,
                    .version = version_of(&st), .why = str_of(why.text));
}

// Beside the old file, synced, and then in its place, with its owner and mode: whoever reads finds one
// or the other.
static bool replace_domains(struct monitor *m, struct str text, uint64_t *version, struct err *e)
{
    static const char beside[] = "domains.conf.new";
    AUTO_FD fd = -1;
    struct stat st;

    if (fstatat(m->config_dir, domains_name, &st, 0))
        return fail_errno(e, "looking at %s", domains_name);
    (void)unlinkat(m->config_dir, beside, 0);
    fd = openat(m->config_dir, beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(e, "making %s", beside);
    if (!os_write_all(fd, text, e) ||
        ((fchown(fd, st.st_uid, st.st_gid) || fchmod(fd, st.st_mode & 07777) || fsync(fd) || fstat(fd, &st) ||
          renameat(m->config_dir, beside, m->config_dir, domains_name)) && !fail_errno(e, "sync"))) {
        (void)unlinkat(m->config_dir, beside, 0);
        return fail_in(e, "writing %s, which is as it was", domains_name);
    }
    // It is in its place, and used: without the keys that it names nothing would start again.
    if (fsync(m->config_dir))
        LOG(LOG_ERROR, "mox", "whether a change of domains.conf is on the disk is not known", LOG_S("why", str_of(strerror(errno))));
    *version = version_of(&st);
    return true;
}

// problems: of a configuration that is not good.
static bool write_domains(struct monitor *m, struct arena *a, int given,
                          const struct ipc_domains_write *asked, struct str *problems, struct err *e)
{
    AUTO_FD copy = os_memfile(domains_name, e);
    struct loaded l = {.is_ok = false};
    struct str text;
    struct stat st;
    uint64_t version;

    // What is checked is what will be written, whatever becomes of the file that was given.
    if (copy < 0 || !os_read_fd(a, given, 16 << 20, &text, e) || !os_write_all(copy, text, e) ||
        !os_memfile_seal(copy, e))
        return false;
    if (fstatat(m->config_dir, domains_name, &st, 0))
        return fail_errno(e, "looking at %s", domains_name);
    if (version_of(&st) != asked->version)
        return fail(e, ERR_CONFLICT, "%s was changed meanwhile, try again", domains_name);
    if (asked->added_account.n && !account_is_new(m, asked->added_account, e))
        return false;
    if (!signing_keys_make(m, a, asked->new_keys, e))
        return false;
    if (!run_config(m, copy, true, &l, e) || !l.is_ok || !replace_domains(m, text, &version, e)) {
        *problems = arena_dup(a, str_trim(l.problems));
        drop_loaded(&l);
        signing_keys_drop(m, a, asked->new_keys);
        return false;
    }
    use(m, &l, version);
    signing_keys_put_away(m, asked->old_keys);
    if (asked->removed_account.n)
        account_remove(m, asked->removed_account);
    return true;
}

// The first of the problems, and how many there are: an answer is one line.
static struct str in_one_line(struct arena *a, struct str problems)
{
    struct str line, first = {0};
    size_t n = 0;

    while (str_next(&problems, '\n', &line))
        if (line.n && !n++)
            first = line;
    if (n < 2)
        return arena_printf(a, "config error: %.*s", STR_FMT(first));
    return arena_printf(a, "config error: %.*s (the first of %zu)", STR_FMT(first), n);
}

bool domains_write(struct process *admin, struct packet *p, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_FD given = packet_take_fd(p, 0);
    struct ipc_domains_write asked;
    struct str problems = {0};
    struct err why = {0};
    bool is_ok;

    if (!ipc_domains_write_get(p->body, &asked, e))
        return false;
    // The packet's bytes are written over while the configuration is loaded.
    asked.added_account = arena_dup(&a, asked.added_account);
    asked.removed_account = arena_dup(&a, asked.removed_account);
    asked.new_keys = arena_dup(&a, asked.new_keys);
    asked.old_keys = arena_dup(&a, asked.old_keys);
    if (admin->m->n_changes == MAX_CHANGES)
        (void)fail(&why, ERR_TEMPORARY, "too many changes at once, try again");
    is_ok = !why.kind && write_domains(admin->m, &a, given, &asked, &problems, &why);
    if (is_ok) {
        admin->m->changes[admin->m->n_changes++] =
            (struct change){asked.request, admin->m->config_number};
        return true; // the answer comes when it is in use
    }
    if (problems.n)
        problems = in_one_line(&a, problems);
    return IPC_SEND(&admin->ch, domains_written, NULL, 0, e, .request = asked.request,
                    .text = problems.n ? problems : str_of(why.text));
}

void domains_in_use(struct monitor *m, uint64_t number)
{
    struct process *admin = role_process(m, ROLE_ADMIN);
    size_t n_left = 0;
    struct err e = {0};

    for (size_t i = 0; i < m->n_changes; i++)
        if (m->changes[i].config_number > number)
            m->changes[n_left++] = m->changes[i];
        else if (admin && !IPC_SEND(&admin->ch, domains_written, NULL, 0, &e,
                                    .request = m->changes[i].request, .is_ok = true))
            LOG(LOG_DEBUG, "mox", "answering admin", LOG_E(&e));
    m->n_changes = n_left;
}

static bool open_dir(int at, const char *name, mode_t mode, int *out, struct err *e)
{
    if (mkdirat(at, name, mode) && errno != EEXIST)
        return fail_errno(e, "making directory %s", name);
    *out = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *out >= 0 || fail_errno(e, "opening directory %s", name);
}

// Below the data directory, which is User's: what is opened there is given to the roles, with all that is in it. A link
// that User could have made could have root give away any other directory.
static bool open_data_dir(struct monitor *m, int at, const char *name, mode_t mode, int *out, struct err *e)
{
    struct stat st;

    if (!m->user.is_set || m->settings.no_fix_permissions)
        return open_dir(at, name, mode, out, e);
    if (mkdirat(at, name, mode) && errno != EEXIST)
        return fail_errno(e, "making directory %s", name);
    *out = os_open_dir_of_root(at, name, e);
    if (*out < 0)
        return false;
    // One that came back from a backup is passed by nobody.
    return (fstat(*out, &st) == 0 && ((st.st_mode & 07777) == mode || fchmod(*out, mode) == 0)) ||
           fail_errno(e, "setting the mode of directory %s", name);
}

static bool give_data(struct monitor *m, struct err *e)
{
    // Databases that a command of root made while no server ran are given too.
    return owners_give_data(m, m->data_dir, e) &&
           accounts_give(m, e) && owners_give(m, m->auth_dir, ROLE_AUTH, e) &&
           owners_give(m, m->queue_dir, ROLE_QUEUE, e) && owners_give(m, m->admin_dir, ROLE_ADMIN, e) &&
           owners_give(m, m->acme_dir, ROLE_KEYS, e) && owners_give(m, m->acme_state_dir, ROLE_ACME, e);
}

static bool open_data(struct monitor *m, struct err *e)
{
    const char *path = arena_cstring(&m->arena, m->settings.data_dir);

    return path && open_dir(m->config_dir, path, 0750, &m->data_dir, e) &&
           open_data_dir(m, m->data_dir, "accounts", 0711, &m->accounts_dir, e) &&
           open_data_dir(m, m->data_dir, "auth", 0700, &m->auth_dir, e) &&
           open_data_dir(m, m->data_dir, "queue", 0700, &m->queue_dir, e) &&
           open_data_dir(m, m->data_dir, "admin", 0700, &m->admin_dir, e) &&
           open_data_dir(m, m->data_dir, "acme", 0711, &m->acme_dir, e) &&
           open_data_dir(m, m->acme_dir, "state", 0700, &m->acme_state_dir, e);
}

// Two servers on one directory would each believe that they own its databases.
static bool lock_data(struct monitor *m, struct err *e)
{
    int fd = openat(m->data_dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fd < 0)
        return fail_errno(e, "opening the lock file in the data directory");
    if (fcntl(fd, F_OFD_SETLK, &lock))
        return fail(e, ERR_CONFLICT, "another mox is running with this data directory");
    // What is there is not all that the backup has (cmd/cmd_backup.c).
    if (faccessat(m->data_dir, "restoring", F_OK, 0) == 0)
        return fail(e, ERR_CONFLICT, "a restore into the data directory was broken off: run \"mox restore\" again");
    return true; // held until the process ends
}

// Made at the first start. No role may read it.
static bool load_received_key(struct monitor *m, struct err *e)
{
    char path[64], fresh[RECEIVED_ID_KEY_BYTES];
    struct str key;

    snprintf(path, sizeof path, "/proc/self/fd/%d/receivedid.key", m->data_dir);
    if (access(path, F_OK)) {
        os_random(fresh, sizeof fresh);
        if (!os_write_file(path, str_at(fresh, sizeof fresh), 0600, e))
            return false;
    }
    if (!os_read_file(&m->arena, path, 4096, &key, e))
        return false;
    if (key.n != sizeof m->received_key)
        return fail(e, ERR_SYNTAX, "receivedid.key in the data directory has %zu bytes instead of %zu: "
                    "remove it, and another is made", key.n, sizeof m->received_key);
    memcpy(m->received_key, key.p, key.n);
    return true;
}

static bool open_ctl(struct monitor *m, struct err *e)
{
    char path[64];

    // By descriptor: a Unix socket's path is short, the data directory's may not be.
    snprintf(path, sizeof path, "/proc/self/fd/%d/ctl", m->data_dir);
    m->ctl_fd = net_listen_unix(path, e);
    return m->ctl_fd >= 0;
}

static bool open_port(struct monitor *m, const struct ipc_listener *info, struct err *e)
{
    struct port *p = &m->ports[m->n_ports];

    if (m->n_ports == MAX_LISTENERS)
        return fail(e, ERR_LIMIT, "more than %d ports to listen on", MAX_LISTENERS);
    p->info = *info;
    p->fd = net_listen(info->ip, info->port, e);
    if (p->fd < 0)
        return false;
    m->n_ports++;
    return true;
}

/*
 * Certificates of authorities (TLS.CA), one file after the other: read here, since who connects need not be able to
 * open them, and once, since a template that is started again is to trust whom the one before did.
 */
static bool read_authorities(struct monitor *m, const struct ipc_authority_file *f, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    const char *path = arena_cstring(&a, f->path);
    AUTO_FD fd = path ? openat(m->config_dir, path, O_RDONLY | O_CLOEXEC) : -1;
    struct str pem;

    if (fd < 0)
        return fail_errno(e, "opening certificates of authorities %.*s", STR_FMT(f->path));
    if (m->authorities < 0 && (m->authorities = os_memfile("authorities", e)) < 0)
        return false;
    // A file need not end with a line's end.
    return (os_read_fd(&a, fd, MAX_AUTHORITIES, &pem, e) && os_write_all(m->authorities, pem, e) &&
            os_write_all(m->authorities, STR("\n"), e)) ||
           fail_in(e, "certificates of authorities %.*s", STR_FMT(f->path));
}

// Settings and levels first: with them it is known who runs, and where. Then, with opens, what it opens: a second
// server is told so by the lock, and not by a port that is in use.
static bool read_own_config(struct monitor *m, bool opens, struct err *e)
{
    struct str text, body;
    enum compiled_type type;
    struct ipc_level level;
    struct ipc_tls_pair pair;
    struct ipc_listener listener;
    struct ipc_authority_file authorities;
    struct ipc_acme_hook hook;
    struct cur c;

    if (!os_read_fd(&m->arena, m->configs[ROLE_MONITOR], COMPILED_MAX_BYTES, &text, e))
        return false;
    c = cur_of(text);
    while (compiled_next(&c, &type, &body, e))
        if (type == COMPILED_settings && !opens && !ipc_settings_get(body, &m->settings, e))
            return false;
        else if (type == COMPILED_level && !opens && (!ipc_level_get(body, &level, e) ||
                                            !log_set_level(level.package, level.level, e)))
            return false;
        else if (type == COMPILED_tls_pair && opens &&
                 (!ipc_tls_pair_get(body, &pair, e) || !certificate_open(m, &pair, e)))
            return false;
        else if (type == COMPILED_authority_file && opens &&
                 (!ipc_authority_file_get(body, &authorities, e) || !read_authorities(m, &authorities, e)))
            return false;
        else if (type == COMPILED_acme_hook && opens && ipc_acme_hook_get(body, &hook, e))
            hook_know(m, &hook);
        else if (type == COMPILED_listener && opens &&
                 (!ipc_listener_get(body, &listener, e) || !open_port(m, &listener, e)))
            return false;
    return e->kind == ERR_NONE && (m->authorities < 0 || !opens || os_memfile_seal(m->authorities, e));
}

static bool copy_main(struct monitor *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct str text;

    m->main_copy = os_memfile("mox.conf", e);
    return m->main_copy >= 0 &&
           os_read_file(&a, m->options.config_path, 16 << 20, &text, e) &&
           os_write_all(m->main_copy, text, e) && os_memfile_seal(m->main_copy, e);
}

bool load_first(struct monitor *m, struct err *e)
{
    const char *slash = strrchr(m->options.config_path, '/');
    AUTO_FD domains = -1;
    struct loaded l = {.is_ok = false};
    const char *dir = "";
    struct stat st;

    if (slash)
        dir = arena_cstring(&m->arena,
                            str_at(m->options.config_path,
                                   (size_t)(slash - m->options.config_path) + 1));
    m->config_dir = open(dir[0] ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m->config_dir < 0)
        return fail_errno(e, "opening the configuration directory %s", dir);
    domains = open_domains(m, e);
    if (domains < 0 || (fstat(domains, &st) && !fail_errno(e, "looking at %s", domains_name)) ||
        !copy_main(m, e) || !run_config(m, domains, false, &l, e))
        return false;
    m->domains_version = version_of(&st);
    if (!l.is_ok) {
        fprintf(stderr, "%.*s\n", STR_FMT(str_trim(l.problems)));
        return fail(e, ERR_SYNTAX, "the configuration has errors");
    }
    return adopt(m, &l, e) && read_own_config(m, false, e) && owners_choose(m, e) && open_data(m, e) &&
           lock_data(m, e) && owners_protect_config(m, e) && read_own_config(m, true, e) &&
           load_received_key(m, e) && give_data(m, e) && open_ctl(m, e);
}
