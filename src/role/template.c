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

void child_enter_sandbox(struct role_start *s, const int *dirs, size_t n_dirs)
{
    struct err e = {0};

    (void)s;
    if (!sandbox_enter(child_box, dirs, n_dirs, &e)) {
        LOG(LOG_ERROR, "mox", "cannot close the sandbox", LOG_E(&e));
        _exit(1);
    }
}

static void reap(struct role_start *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (size_t i = 0; i < n_children; i++)
            if (children[i].pid == pid) {
                struct err e = {0};

                if (!IPC_SEND(&s->monitor, child_ended, NULL, 0, &e, .conn = children[i].conn,
                              .wait_status = (uint32_t)status))
                    LOG(LOG_DEBUG, "mox", "cannot report a child's end", LOG_E(&e));
                children[i] = children[--n_children];
                break;
            }
}

// Both start messages begin with the number.
static uint64_t number_of(struct packet *p)
{
    struct cur c = cur_of(p->body);
    uint64_t conn;

    return ipc_get_u64(&c, 0, &conn) ? conn : 0;
}

static void start_child(struct role_start *s, child_fn *run, int signal_fd)
{
    uint64_t conn = number_of(s->packet);
    pid_t parent = getpid(), pid = n_children < MAX_CHILDREN ? fork() : -1;
    struct err e = {0};

    if (pid == 0) {
        close(signal_fd);
        os_signal_reset();
        if (!os_die_with_parent(parent))
            _exit(1);
        channel_close(&s->monitor);
        for (size_t i = 0; i < s->n_dirs; i++)
            fd_close(&s->dirs[i]); // the child has its own
        run(s, s->packet);
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
}

_Noreturn void template_loop(struct role_start *s, enum ipc_type start, child_fn *run)
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

        poll(fds, 2, -1);
        while (os_signal_read(signal_fd))
            ;
        reap(s);
        r = channel_receive(&s->monitor, s->packet, 0, &e);
        if (r == CHANNEL_CLOSED || r == CHANNEL_BAD)
            exit(0);
        if (r != CHANNEL_MESSAGE)
            continue;
        if (s->packet->type == start)
            start_child(s, run, signal_fd);
        else if (s->packet->type == IPC_stop)
            is_stopping = true;
        else if (s->packet->type == IPC_log_level)
            set_level(s->packet); // for children to come
        packet_close_fds(s->packet);
    }
    exit(0);
}
