#include "role/template.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/process.h"
#include "role/profiles.h"

/*
 * Spare children: so many at rest; twice as many, up to the most, whenever there was none left; one less
 * for each while in which there was.
 */
enum { MAX_CHILDREN = 4096, SPARES = 2, MAX_SPARES = 16, SHRINK_MS = 10000, BROKEN_MS = 1000 };

struct child {
    pid_t pid;
    uint64_t conn;
};

static struct child children[MAX_CHILDREN];
static size_t n_children;
static struct sandbox *child_box; // compiled once, loaded by each child

/* Children that were forked in advance and wait for their start message, the oldest first. */
static struct spare {
    pid_t pid;
    struct channel ch;
} spares[MAX_SPARES];
static size_t n_spares, wanted_spares = SPARES;
static int64_t refill_ms, shrink_ms; // not before; when there is one too many

void child_enter_sandbox(struct role_start *s, const int *dirs, size_t n_dirs)
{
    struct err e = {0};

    (void)s;
    if (!sandbox_enter(child_box, dirs, n_dirs, &e)) {
        LOG(LOG_ERROR, "mox", "cannot close the sandbox", LOG_E(&e));
        _exit(1);
    }
}

static void report_end(struct role_start *s, pid_t pid, int status)
{
    for (size_t i = 0; i < n_children; i++)
        if (children[i].pid == pid) {
            struct err e = {0};

            if (!IPC_SEND(&s->monitor, child_ended, NULL, 0, &e, .conn = children[i].conn,
                          .wait_status = (uint32_t)status))
                LOG(LOG_DEBUG, "mox", "cannot report a child's end", LOG_E(&e));
            children[i] = children[--n_children];
            return;
        }
}

// It hears that nobody needs it, and ends.
static void drop_spare(size_t i)
{
    channel_close(&spares[i].ch);
    for (n_spares--; i < n_spares; i++)
        spares[i] = spares[i + 1];
}

static void drop_spares(void)
{
    while (n_spares)
        drop_spare(n_spares - 1);
}

// Nobody asked it to end, or nobody knows it any more.
static bool was_spare(pid_t pid)
{
    for (size_t i = 0; i < n_spares; i++)
        if (spares[i].pid == pid) {
            drop_spare(i);
            refill_ms = os_monotonic_ms() + BROKEN_MS; // the next may end as soon
            return true;
        }
    return false;
}

static void reap(struct role_start *s)
{
    int status;
    pid_t pid;

    while ((pid = os_reap(&status)))
        if (!was_spare(pid))
            report_end(s, pid, status);
}

// Both start messages begin with the number.
static uint64_t number_of(struct packet *p)
{
    struct cur c = cur_of(p->body);
    uint64_t conn;

    return ipc_get_u64(&c, 0, &conn) ? conn : 0;
}

// In the child nothing of the template's own is left.
static pid_t fork_child(struct role_start *s, const struct child_kind *kind, int signal_fd)
{
    pid_t parent = getpid(), pid = n_children < MAX_CHILDREN ? fork() : -1;

    if (pid)
        return pid;
    close(signal_fd);
    os_signal_reset();
    if (!os_die_with_parent(parent))
        _exit(1);
    channel_close(&s->monitor);
    drop_spares();
    for (size_t i = 0; i < s->n_dirs; i++)
        fd_close(&s->dirs[i]); // the child has its own
    if (kind->prepare)
        kind->prepare(s);
    return 0;
}

// Forking, closing the sandbox and the first touch of many pages take longer than all that the start
// message asks for: done while nobody waits.
static void fork_spare(struct role_start *s, const struct child_kind *kind, int signal_fd)
{
    struct err e = {0};
    int pair[2];
    pid_t pid;

    if (!fd_pair_packets(pair, &e))
        return;
    pid = fork_child(s, kind, signal_fd);
    if (pid == 0) {
        struct channel ch = {pair[1], role_of_children(s->role), s->role};

        os_title_set("mox: spare %s", role_name(role_of_children(s->role)));
        fd_close(&pair[0]);
        if (channel_receive(&ch, s->packet, -1, &e) != CHANNEL_MESSAGE)
            _exit(0);
        channel_close(&ch);
        kind->run(s, s->packet);
        _exit(0);
    }
    fd_close(&pair[1]);
    if (pid < 0)
        fd_close(&pair[0]);
    else
        spares[n_spares++] = (struct spare){pid, {pair[0], s->role, role_of_children(s->role)}};
}

// Forks or drops a spare child, if it is time; how long until there may be something to do again.
static int tend_spares(struct role_start *s, const struct child_kind *kind, int signal_fd)
{
    int64_t now = os_monotonic_ms();

    if (wanted_spares > SPARES && now >= shrink_ms) {
        wanted_spares--;
        shrink_ms = now + SHRINK_MS;
        if (n_spares > wanted_spares)
            drop_spare(0);
    }
    if (n_spares < wanted_spares && now >= refill_ms) {
        fork_spare(s, kind, signal_fd);
        return 0; // one at a time: somebody may wait
    }
    return n_spares < wanted_spares   ? (int)(refill_ms - now)
           : wanted_spares > SPARES ? (int)(shrink_ms - now)
                                    : -1;
}

// The pid of a spare child that takes the start message; 0 when there is none.
static pid_t use_spare(struct role_start *s)
{
    struct err e = {0};
    pid_t pid = 0;

    while (!pid && n_spares && n_children < MAX_CHILDREN) {
        if (channel_send(&spares[0].ch, s->packet->type, s->packet->body, s->packet->fds,
                         s->packet->n_fds, &e))
            pid = spares[0].pid;
        drop_spare(0);
    }
    if (!n_spares) {
        wanted_spares = wanted_spares < MAX_SPARES / 2 ? wanted_spares * 2 : MAX_SPARES;
        shrink_ms = os_monotonic_ms() + SHRINK_MS;
    }
    return pid;
}

static void start_child(struct role_start *s, const struct child_kind *kind, int signal_fd)
{
    uint64_t conn = number_of(s->packet);
    struct err e = {0};
    pid_t pid = use_spare(s);

    if (!pid)
        pid = fork_child(s, kind, signal_fd);
    if (pid == 0) {
        kind->run(s, s->packet);
        _exit(0);
    }
    packet_close_fds(s->packet);
    if (pid > 0)
        children[n_children++] = (struct child){pid, conn};
    if (pid < 0 ? !IPC_SEND(&s->monitor, child_ended, NULL, 0, &e, .conn = conn)
                : !IPC_SEND(&s->monitor, child_started, NULL, 0, &e, .conn = conn,
                            .pid = (uint32_t)pid))
        LOG(LOG_DEBUG, "mox", "cannot report a child", LOG_E(&e));
}

static void set_level(struct packet *p)
{
    struct ipc_log_level level;
    struct err e = {0};

    if (!ipc_log_level_get(p->body, &level, &e) || !log_set_level(level.package, level.level, &e))
        LOG(LOG_ERROR, "mox", "setting a log level", LOG_E(&e));
    drop_spares(); // they have the old one
}

_Noreturn void template_loop(struct role_start *s, const struct child_kind *kind)
{
    struct err e = {0};
    int signal_fd = os_signal_fd(&e);
    bool is_stopping = false;
    int timeout = 0;

    child_box = sandbox_compile(role_profile(role_of_children(s->role)), &e);
    if (signal_fd < 0 || !child_box) {
        LOG(LOG_ERROR, "mox", "template cannot start", LOG_E(&e));
        exit(1);
    }
    role_ready(s);
    while (!is_stopping || n_children) {
        struct pollfd fds[2] = {{.fd = signal_fd, .events = POLLIN},
                                {.fd = s->monitor.fd, .events = POLLIN}};
        enum channel_result r;

        poll(fds, 2, timeout);
        while (os_signal_read(signal_fd))
            ;
        reap(s);
        r = channel_receive(&s->monitor, s->packet, 0, &e);
        if (r == CHANNEL_CLOSED || r == CHANNEL_BAD)
            exit(0);
        if (r != CHANNEL_MESSAGE) { // nobody waits
            timeout = kind->prepare && !is_stopping ? tend_spares(s, kind, signal_fd) : -1;
            continue;
        }
        timeout = 0; // somebody else may, and comes before the next spare child
        if (s->packet->type == kind->start)
            start_child(s, kind, signal_fd);
        else if (s->packet->type == IPC_stop)
            drop_spares(), is_stopping = true;
        else if (s->packet->type == IPC_log_level)
            set_level(s->packet); // for children to come
        packet_close_fds(s->packet);
    }
    exit(0);
}
