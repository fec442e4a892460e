/*
 * The monitor: what captured processes may say to it, also one that it takes for its `config`. Its processes are here, and
 * so are its time and its event loop: all happens on one thread, as the input says.
 *
 * It must take every message, or end that role and put another in its place; it says nothing that the table forbids,
 * gives a process no channel that the process may not have, keeps no descriptors of what has ended, and touches nothing
 * outside its directories.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "ipc/compiled.h"
#include "os/clock.h"
#include "os/event.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/process.h"
#include "role/message_fuzz.h"
#include "role/monitor/monitor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    FIRST_PID = 1 << 23, // the kernel gives no such number: a signal reaches nobody
    MOST_SPEAKERS = 200,
    MOST_MESSAGES = 300,
    MOST_ROUNDS = 20000,
    MOST_SOCKETS = 100, // those of the roles that run; there are 26
};

// Before a message: something else happens.
enum { OP_TIME = 255, OP_END = 254, OP_CONFIG = 253, OP_CLOSE = 252 };

/* A process: of a role, or a template's child. */
struct speaker {
    struct channel ch;
    pid_t pid;         // of a role; 0: a child
    uint64_t id;       // of a child
    pid_t template;    // that has forked it
    uint64_t config;   // the number of its configuration
    bool is_ready;
    uint64_t last_request;
};
static struct speaker speakers[MOST_SPEAKERS];
static size_t n_speakers;
static pid_t last_pid = FIRST_PID;
static uint64_t conns[MOST_SPEAKERS]; // that front has not been told to be over
static size_t n_conns;
static struct { pid_t pid; int status; } dead[MOST_SPEAKERS];
static size_t n_dead;
static int signal_fd, config_dir = -1;
static pid_t hook_pid;
static struct source *source;
static struct packet *packet;

/* --- instead of os/event.c --------------------------------------------------------------------------- */

struct event_source {
    int fd;
    event_fn *fn;
    void *ctx;
    bool is_removed;
    struct event_source *next;
};
struct event_loop {
    struct event_source *sources;
    event_fn *tick;
    void *tick_ctx;
};
static struct event_loop loop;

struct event_loop *event_loop_new(struct err *e)
{
    (void)e;
    return &loop;
}

struct event_source *event_add(struct event_loop *l, int fd, int events, event_fn *fn, void *ctx, struct err *e)
{
    struct event_source *s = heap_alloc(sizeof *s);

    (void)events, (void)e;
    if (fd < 0)
        die("a channel that has been closed is listened at");
    *s = (struct event_source){fd, fn, ctx, false, l->sources};
    return l->sources = s;
}

void event_remove(struct event_loop *l, struct event_source *s)
{
    (void)l;
    if (s)
        s->is_removed = true;
}

void event_tick(struct event_loop *l, int interval_ms, event_fn *fn, void *ctx)
{
    (void)interval_ms;
    l->tick = fn;
    l->tick_ctx = ctx;
}

// The monitor has begun: what it hears from now on, it hears where the input says so.
void event_run(struct event_loop *l)
{
    (void)l;
}

void event_stop(struct event_loop *l)
{
    (void)l;
    die("the monitor stops");
}

static bool call_ready(void)
{
    bool has_any = false;

    for (struct event_source *s = loop.sources; s; s = s->next) {
        struct pollfd p = {.fd = s->fd, .events = POLLIN};

        if (s->is_removed || poll(&p, 1, 0) <= 0)
            continue;
        if (p.revents & POLLNVAL)
            die("a channel was closed and is listened at");
        s->fn(s->ctx, EVENT_READ);
        has_any = true;
    }
    for (struct event_source **at = &loop.sources, *s; (s = *at);)
        if (s->is_removed) {
            *at = s->next;
            free(s);
        } else {
            at = &s->next;
        }
    return has_any;
}

/* --- instead of os/process.c ------------------------------------------------------------------------- */

static void add_speaker(enum role role, int fd, pid_t pid, uint64_t id, pid_t template)
{
    speakers[n_speakers++] = (struct speaker){.ch = {fd, role, ROLE_MONITOR}, .pid = pid, .id = id, .template = template,
                                              .last_request = id};
}

static void say_compiled(struct channel *ch, enum role role, struct buf *bytes)
{
    AUTO_FD fd = source_memfile(buf_str(bytes));
    struct err e = {0};

    if (!IPC_SEND(ch, compiled, &fd, 1, &e, .role = (uint8_t)role))
        die("config cannot speak: %s", e.text);
}

// What `config` makes of the files: as it should be, or what the input says.
static unsigned config_kind;

static void put_strange(struct buf *own)
{
    COMPILED_PUT(own, account_entry, .name = source_text(source, IPC_MAX_NAME));
    COMPILED_PUT(own, account_part, .bytes = source_text(source, 100));
    if (config_kind & 4)
        COMPILED_PUT(own, signing_file, .key = 2, .path = source_text(source, 300));
    if (config_kind & 8)
        COMPILED_PUT(own, key_file, .provider = STR("ca"), .is_tsig = config_kind & 1, .path = source_text(source, 300));
    if (config_kind & 16)
        buf_put(own, source_text(source, 0));
}

static void be_config(int fd)
{
    static const struct { uint8_t protocol, tls; } ports[] = {{IPC_PROTOCOL_SMTP, LISTENER_TLS_STARTTLS}, {IPC_PROTOCOL_SUBMISSION, LISTENER_TLS_STARTTLS},
                                                              {IPC_PROTOCOL_IMAP, LISTENER_TLS_IMMEDIATE}, {IPC_PROTOCOL_HTTP, LISTENER_TLS_NONE}};
    AUTO_BUF own = BUF_LIMIT(COMPILED_MAX_BYTES), of_others = BUF_LIMIT(COMPILED_MAX_BYTES);
    static struct channel ch = {.fd = -1}; // it is read to the end of what was said: until the next begins
    struct err e = {0};

    channel_close(&ch);
    ch = (struct channel){fd_copy(fd), ROLE_CONFIG, ROLE_MONITOR};
    COMPILED_PUT(&own, settings, .hostname = STR("mail.mox.example"), .data_dir = STR("data"), .user = STR("65534"),
                 .postmaster = STR("alice"));
    for (size_t i = 0; i < COUNT(ports); i++)
        COMPILED_PUT(&own, listener, .index = (uint32_t)i, .protocol = ports[i].protocol, .tls = ports[i].tls,
                     .ip = STR("127.0.0.1"), .hostname = STR("mail.mox.example"), .acme = STR("ca"));
    COMPILED_PUT(&own, acme_hook, .provider = STR("ca"), .path = STR("hook"));
    COMPILED_PUT(&own, signing_file, .key = 1, .path = STR("dkim/one"));
    COMPILED_PUT(&own, account_entry, .name = STR("alice"));
    COMPILED_PUT(&own, account_part, .bytes = STR("a"));
    if (config_kind != 1)
        COMPILED_PUT(&own, account_entry, .name = STR("bob"));
    if (config_kind >= 4)
        put_strange(&own);
    for (enum role role = 0; role < ROLE_COUNT; role++)
        say_compiled(&ch, role, role == ROLE_MONITOR ? &own : &of_others);
    if (config_kind == 2 && !IPC_SEND(&ch, compiled_end, NULL, 0, &e, .problems = STR("domains.conf:1: no\n")))
        die("%s", e.text);
    if (config_kind != 2 && config_kind != 3 && !IPC_SEND(&ch, compiled_end, NULL, 0, &e, .is_ok = 1))
        die("%s", e.text);
    channel_say_no_more(&ch);
}

pid_t os_spawn(char *const argv[], int fd, const struct os_user *user, struct err *e)
{
    enum role role = role_of_name(str_of(argv[2]));

    if (!str_eq(str_of(argv[1]), STR("role")) || role == ROLE_COUNT || role == ROLE_MONITOR)
        die("what is it that is started?");
    if (!geteuid() && (!user->is_set || !user->uid || !user->gid))
        die("%s is started as root", argv[2]);
    if (n_speakers == MOST_SPEAKERS) {
        (void)fail(e, ERR_TEMPORARY, "no more processes");
        return -1;
    }
    if (role == ROLE_CONFIG)
        be_config(fd);
    else
        add_speaker(role, fd_copy(fd), ++last_pid, 0, 0);
    return role == ROLE_CONFIG ? ++last_pid : last_pid;
}

pid_t os_start_program(int dir_fd, const char *path, char *const argv[], const struct os_user *user, struct err *e)
{
    (void)dir_fd, (void)e;
    if (!str_eq(str_of(path), STR("hook")) || argv[0] != path || argv[4] || (!geteuid() && !user->uid) ||
        (!str_eq(str_of(argv[1]), STR("set")) && !str_eq(str_of(argv[1]), STR("clear"))) ||
        !str_starts(str_of(argv[2]), STR("_acme-challenge.")))
        die("a program is started that nobody has configured");
    for (size_t word = 2; word < 4; word++)
        for (const char *p = argv[word]; *p; p++)
            if (!ascii_is_alnum(*p) && str_find(STR("._-"), *p) < 0)
                die("a shell may make something of %s", argv[word]);
    return hook_pid = ++last_pid;
}

bool os_end_child_of(pid_t parent, pid_t pid, struct err *e)
{
    (void)parent, (void)pid, (void)e;
    return true;
}

bool os_may_execute_self(const struct os_user *user)
{
    (void)user;
    return true;
}

uint64_t os_resident_bytes(pid_t pid)
{
    (void)pid;
    return 0;
}

void os_describe_status(int wait_status, char *out, size_t size)
{
    snprintf(out, size, "%d", wait_status);
}

void os_title_set(const char *format, ...)
{
    (void)format;
}

int os_signal_fd(struct err *e)
{
    (void)e;
    return signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

int os_signal_read(int fd)
{
    uint64_t n;

    return read(fd, &n, sizeof n) == sizeof n ? SIGCHLD : 0;
}

pid_t os_reap(int *wait_status)
{
    if (!n_dead)
        return 0;
    *wait_status = dead[--n_dead].status;
    return dead[n_dead].pid;
}

static void has_ended(pid_t pid, int status)
{
    const uint64_t one = 1;

    dead[n_dead].pid = pid;
    dead[n_dead++].status = status;
    if (write(signal_fd, &one, sizeof one) != sizeof one)
        die("no signal");
}

/* --- the processes ----------------------------------------------------------------------------------- */

static struct speaker *first_of(enum role role)
{
    for (size_t i = 0; i < n_speakers; i++)
        if (speakers[i].ch.self == role)
            return &speakers[i];
    return NULL;
}

// The monitor hears of it: of a role's process from the kernel, of a child from its template. A template takes its
// children with it.
static void end_speaker(struct speaker *s, int status)
{
    struct speaker gone = *s, *template = NULL;
    struct err e = {0};

    channel_close(&gone.ch);
    *s = speakers[--n_speakers];
    if (gone.ch.self == ROLE_FRONT) // the next knows of no connection
        n_conns = 0;
    if (gone.pid) {
        for (size_t i = n_speakers; i-- > 0;)
            if (speakers[i].template == gone.pid) {
                channel_close(&speakers[i].ch);
                speakers[i] = speakers[--n_speakers];
            }
        has_ended(gone.pid, status);
        return;
    }
    for (size_t i = 0; i < n_speakers; i++)
        if (speakers[i].pid == gone.template)
            template = &speakers[i];
    if (template && !IPC_SEND(&template->ch, child_ended, NULL, 0, &e, .conn = gone.id, .wait_status = (uint32_t)status))
        end_speaker(template, SIGKILL);
}

static uint64_t number_in(const struct packet *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = n < p->body.n ? n : p->body.n; i-- > 0;)
        v = v << 8 | (unsigned char)p->body.p[i];
    return v;
}

// Who has a channel to whom, and as whom.
static void check_peer(enum role role, const struct packet *p)
{
    struct ipc_peer who;
    struct err e = {0};
    bool is_ok = true;

    if (!ipc_peer_get(p->body, &who, &e))
        die("%s", e.text);
    if (who.role == ROLE_SESSION)
        is_ok = role == ROLE_AUTH || role == ROLE_ACCOUNT || role == ROLE_FRONT ||
                (role == ROLE_KEYS && who.protocol == IPC_PROTOCOL_SMTP) ||
                (role == ROLE_ADMIN && who.protocol == IPC_PROTOCOL_SMTP) ||
                (role == ROLE_RESOLVE && who.protocol != IPC_PROTOCOL_IMAP) ||
                (role == ROLE_QUEUE && (who.protocol == IPC_PROTOCOL_SMTP || who.account.n)) ||
                (role == ROLE_DKIM && (who.account.n || who.address.n));
    if (who.role == ROLE_WEB)
        is_ok = role == ROLE_KEYS || role == ROLE_ACME || role == ROLE_DIAL;
    if (who.role == ROLE_ACCOUNT)
        is_ok = role == ROLE_FRONT || ((role == ROLE_ADMIN || role == ROLE_QUEUE) && who.account.n);
    if (!is_ok)
        die("%s gets a channel to %s", role_name((enum role)who.role), role_name(role));
}

static void begin_child(struct speaker *template, enum role role)
{
    uint64_t id = number_in(packet, 8);
    struct err e = {0};

    if (role != ROLE_ACCOUNT && n_conns < MOST_SPEAKERS)
        conns[n_conns++] = id;
    if (n_speakers < MOST_SPEAKERS)
        add_speaker(role, packet_take_fd(packet, 1), 0, id, template->pid);
    else if (!IPC_SEND(&template->ch, child_ended, NULL, 0, &e, .conn = id))
        die("%s", e.text);
}

static void forget_conn(uint64_t id)
{
    for (size_t i = n_conns; i-- > 0;)
        if (conns[i] == id)
            conns[i] = conns[--n_conns];
}

// As role/start.c and role/template.c do.
static void obey(struct speaker *s)
{
    bool is_due = packet->type == IPC_go || (packet->type == IPC_config && s->is_ready);
    struct err e = {0};

    switch ((int)packet->type) {
    case IPC_config:
        s->config = number_in(packet, 8);
        break;
    case IPC_go:
        s->is_ready = true;
        break;
    case IPC_conn_end:
        forget_conn(number_in(packet, 8));
        break;
    case IPC_domains_text: // the request, and then the version
        s->last_request = number_in(&(struct packet){.body = str_from(packet->body, 8)}, 8);
        break;
    case IPC_peer:
        check_peer(s->ch.self, packet);
        break;
    case IPC_session_start:
        begin_child(s, s->ch.self == ROLE_WEB_TEMPLATE ? ROLE_WEB : ROLE_SESSION);
        break;
    case IPC_account_start:
        begin_child(s, ROLE_ACCOUNT);
        break;
    case IPC_stop:
    case IPC_account_end:
        end_speaker(s, 0);
        return;
    default:
        s->last_request = number_in(packet, 8);
        break;
    }
    if (is_due && !IPC_SEND(&s->ch, config_done, NULL, 0, &e, .number = s->config))
        end_speaker(s, SIGKILL);
}

// One message to one of them; false when there was none. Who ends leaves its place to the last.
static bool hear(struct speaker *s)
{
    struct err e = {0};

    switch (channel_receive(&s->ch, packet, 0, &e)) {
    case CHANNEL_MESSAGE:
        obey(s);
        packet_close_fds(packet);
        return true;
    case CHANNEL_TIMEOUT:
        return false;
    case CHANNEL_CLOSED:
        end_speaker(s, SIGKILL);
        return true;
    case CHANNEL_BAD:
        die("the monitor says what it may not: %s", e.text);
    }
    return false;
}

// Until nobody has anything to say.
static void settle(void)
{
    bool goes_on = true;

    for (unsigned n = 0; goes_on; n++) {
        goes_on = call_ready();
        for (size_t i = 0; i < n_speakers; i++)
            goes_on |= hear(&speakers[i]);
        if (n > MOST_ROUNDS)
            die("the monitor does not come to rest");
    }
}

static void pass_time(unsigned seconds)
{
    for (unsigned i = 0; i < seconds * 10; i++) {
        os_sleep_ms(101);
        loop.tick(loop.tick_ctx, 0);
    }
}

/* --- its directories --------------------------------------------------------------------------------- */

static char top[] = "/tmp/mox-fuzz-XXXXXX"; // has nothing in it but the directory of the configuration
static char config_path[sizeof top + 32];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static void clean_up(void)
{
    (void)nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *name, struct str text)
{
    AUTO_FD fd = openat(config_dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    static struct timespec at[2]; // no two changes at the same time
    struct err e = {0};

    at[0].tv_sec = ++at[1].tv_sec;
    if (fd < 0 || !os_write_all(fd, text, &e) || futimens(fd, at))
        die("no file %s", name);
}

// What is in a directory; sockets alone where they are links to some.
static size_t count_in(const char *path, bool of_sockets)
{
    DIR *d = opendir(path);
    size_t n = 0;

    for (struct dirent *entry; d && (entry = readdir(d));) {
        char what[8] = {0};

        n += !of_sockets || (readlinkat(dirfd(d), entry->d_name, what, sizeof what) > 0 && !memcmp(what, "socket:", 7));
    }
    if (d)
        closedir(d);
    return n;
}

static void start(void)
{
    static const char subuid[] = "subuid";
    struct monitor_options options = {.config_path = config_path, .may_lack_landlock = true};
    char path[sizeof top + 32];
    struct err e = {0};

    if (!mkdtemp(top) || chmod(top, 0711))
        die("no directory");
    atexit(clean_up);
    snprintf(config_path, sizeof config_path, "%s/in/mox.conf", top);
    snprintf(path, sizeof path, "%s/in", top);
    if (mkdir(path, 0711) || (config_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || mkdirat(config_dir, "dkim", 0700))
        die("no directory");
    write_file("mox.conf", STR("x"));
    write_file("domains.conf", STR("x"));
    write_file("dkim/one", STR("key"));
    write_file(subuid, STR("65534:300000:65536\n"));
    snprintf(path, sizeof path, "%s/in/%s", top, subuid);
    setenv("MOX_SUBUID", path, 1);
    unsetenv("NOTIFY_SOCKET");
    os_clock_set_for_test(os_now_unix_ms());
    packet = packet_new();
    if (!log_set_level(STR(""), STR("fatal"), &e))
        die("%s", e.text);
    options.log_level = "fatal";
    if (monitor_run(&options))
        die("the monitor does not begin");
    settle();
    pass_time(1);
    settle();
    if (!first_of(ROLE_FRONT) || !first_of(ROLE_ACME))
        die("the roles do not begin");
}

/* --- a conversation ---------------------------------------------------------------------------------- */

// A role, and which of its processes if there are several. NULL: none.
static struct speaker *speaker_of(unsigned byte)
{
    struct speaker *found = NULL;
    unsigned n = 0;

    for (size_t i = 0; i < n_speakers; i++)
        if (speakers[i].ch.self == byte % ROLE_COUNT && n++ <= byte / ROLE_COUNT)
            found = &speakers[i];
    return found;
}

static void say(struct speaker *s)
{
    AUTO_BUF body = BUF_LIMIT(IPC_MAX_BYTES);
    enum ipc_type type;
    int fds[IPC_MAX_FDS];
    size_t n = 0;
    struct err e = {0};

    source->last_request = s->last_request;
    type = source_type(source, s->ch.self, ROLE_MONITOR);
    if (type == IPC_none || (type == IPC_stop && s->ch.self == ROLE_ADMIN)) // the server ends, as it should
        return;
    source_message(source, type, &body);
    if (body.full)
        return;
    while (n < ipc_rule_of(type)->max_fds)
        fds[n++] = source_descriptor(source);
    if (!channel_send(&s->ch, type, buf_str(&body), fds, n, &e))
        end_speaker(s, SIGKILL);
    while (n)
        close(fds[--n]);
}

static void go_on(void)
{
    unsigned op = source_byte(source);
    struct speaker *s = speaker_of(op < OP_CLOSE ? op : op > OP_END || op == OP_CONFIG ? 0 : source_byte(source));

    switch (op) {
    case OP_TIME:
        pass_time(source_byte(source) % 8);
        break;
    case OP_END:
        if (hook_pid) {
            has_ended(hook_pid, (int)source_byte(source));
            hook_pid = 0;
        } else if (s) {
            end_speaker(s, (int)source_number(source, 0xffff));
        }
        break;
    case OP_CONFIG:
        config_kind = source_byte(source) % 32;
        write_file("domains.conf", source_text(source, 100));
        break;
    case OP_CLOSE:
        if (s)
            shutdown(s->ch.fd, SHUT_WR);
        break;
    default:
        if (s)
            say(s);
        break;
    }
    settle();
}

// Those that no session has are front's.
static void end_conns(void)
{
    for (size_t i = n_conns; i-- > 0 && first_of(ROLE_FRONT);) {
        struct err e = {0};

        if (i < n_conns && !IPC_SEND(&first_of(ROLE_FRONT)->ch, conn_gone, NULL, 0, &e, .conn = conns[i]))
            die("%s", e.text);
        settle();
    }
    if (n_conns)
        die("the monitor keeps a connection that is over");
}

// As it was in the beginning: nobody but the roles that always run, in good health.
static void come_to_rest(void)
{
    config_kind = 0;
    write_file("domains.conf", STR("x"));
    if (hook_pid)
        has_ended(hook_pid, 0);
    hook_pid = 0;
    for (size_t i = n_speakers; i-- > 0;)
        if (i < n_speakers && !speakers[i].pid)
            end_speaker(&speakers[i], 0);
    settle();
    end_conns();
    while (n_speakers)
        end_speaker(&speakers[n_speakers - 1], 0);
    settle();
    for (unsigned i = 0; i < 3; i++) {
        pass_time(1);
        settle();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str words[] = {
        STR_("alice"), STR_("bob"), STR_("mox.example"), STR_("../x"), STR_("/etc/passwd"), STR_("dkim/one"), STR_("dkim/../x"),
        STR_("dkim/one\n../x\n"), STR_("ca"), STR_("mail.mox.example"), STR_("token-_text"), STR_("$(x)"), STR_("."), STR_("Inbox"),
        STR_("alice@mox.example"), STR_("192.0.2.7"), STR_("smtpserver"), STR_("debug"), STR_("a\0b"), STR_("data"),
    };
    struct source s = {.in = cur_of(str_at(data, size)), .a = ARENA_LIMIT(1 << 20), .words = words, .n_words = COUNT(words)};
    static bool has_begun;

    source = &s;
    if (!has_begun)
        start();
    has_begun = true;
    for (int n = 0; n < MOST_MESSAGES && cur_left(&s.in); n++)
        go_on();
    come_to_rest();
    if (count_in(top, false) != 3)
        die("something lies outside of its directories");
    if (count_in("/proc/self/fd", true) > MOST_SOCKETS)
        die("channels are kept of what has ended");
    arena_fini(&s.a);
    return 0;
}
