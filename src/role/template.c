#include "role/template.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "os/fd.h"
#include "os/process.h"
#include "role/profiles.h"

enum { MAX_CHILDREN = 4096 };

struct child {
    pid_t pid;
    uint64_t conn;
};

static struct child children[MAX_CHILDREN];
static size_t n_children;
static struct sandbox *child_box; // compiled once, loaded by each child

/* A child that was forked in advance and waits for its start message. */
static struct {
    pid_t pid; // 0: there is none
    struct channel ch;
} spare = {.ch = {-1}};

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

static void drop_spare(void)
{
    if (spare.pid)
        channel_close(&spare.ch); // it hears that and ends
    spare.pid = 0;
}

static void reap(struct role_start *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == spare.pid)
            drop_spare();
        else
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
    if (spare.ch.fd >= 0)
        channel_close(&spare.ch);
    for (size_t i = 0; i < s->n_dirs; i++)
        fd_close(&s->dirs[i]); // the child has its own
    if (kind->prepare)
        kind->prepare(s);
    return 0;
}

// Forking takes longer than all that the start message asks for: done while nobody waits.
static void fork_spare(struct role_start *s, const struct child_kind *kind, int signal_fd)
{
    struct err e = {0};
    int pair[2];

    if (!kind->prepare || spare.pid || !fd_pair_packets(pair, &e))
        return;
    spare.ch = (struct channel){-1};
    spare.pid = fork_child(s, kind, signal_fd);
    if (spare.pid == 0) {
        struct channel ch = {pair[1], ROLE_SESSION, ROLE_SESSION_TEMPLATE};

        os_title_set("mox: spare session");
        fd_close(&pair[0]);
        if (channel_receive(&ch, s->packet, -1, &e) != CHANNEL_MESSAGE)
            _exit(0);
        channel_close(&ch);
        kind->run(s, s->packet);
        _exit(0);
    }
    fd_close(&pair[1]);
    spare.ch = (struct channel){pair[0], ROLE_SESSION_TEMPLATE, ROLE_SESSION};
    if (spare.pid < 0) {
        spare.pid = 0;
        channel_close(&spare.ch);
    }
}

// The spare one, if it is alive.
static pid_t use_spare(struct role_start *s)
{
    pid_t pid = spare.pid;
    struct err e = {0};
    bool is_ok = pid && channel_send(&spare.ch, s->packet->type, s->packet->body, s->packet->fds,
                                     s->packet->n_fds, &e);

    drop_spare();
    return is_ok ? pid : 0;
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
    drop_spare(); // it has the old one
}

_Noreturn void template_loop(struct role_start *s, const struct child_kind *kind)
{
    struct err e = {0};
    int signal_fd = os_signal_fd(&e);
    bool is_stopping = false;

    child_box = sandbox_compile(
        role_profile(s->role == ROLE_SESSION_TEMPLATE ? ROLE_SESSION : ROLE_ACCOUNT), &e);
    if (signal_fd < 0 || !child_box) {
        LOG(LOG_ERROR, "mox", "template cannot start", LOG_E(&e));
        exit(1);
    }
    role_ready(s);
    while (!is_stopping || n_children) {
        struct pollfd fds[2] = {{.fd = signal_fd, .events = POLLIN},
                                {.fd = s->monitor.fd, .events = POLLIN}};
        enum channel_result r;

        if (!is_stopping)
            fork_spare(s, kind, signal_fd);
        poll(fds, 2, -1);
        while (os_signal_read(signal_fd))
            ;
        reap(s);
        r = channel_receive(&s->monitor, s->packet, 0, &e);
        if (r == CHANNEL_CLOSED || r == CHANNEL_BAD)
            exit(0);
        if (r != CHANNEL_MESSAGE)
            continue;
        if (s->packet->type == kind->start)
            start_child(s, kind, signal_fd);
        else if (s->packet->type == IPC_stop)
            drop_spare(), is_stopping = true;
        else if (s->packet->type == IPC_log_level)
            set_level(s->packet); // for children to come
        packet_close_fds(s->packet);
    }
    exit(0);
}
