/*
 * The pages that roles count in (ipc/metrics.h), and what only the monitor knows of them: which processes there are,
 * how large they are, and how they ended.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "ipc/metrics.h"
#include "os/process.h"
#include "role/monitor/monitor_priv.h"

bool metrics_open(struct monitor *m, struct err *e)
{
    struct err why = {0};

    for (enum role role = 0; role < ROLE_COUNT; role++)
        m->metrics[role] = m->metrics_read[role] = -1;
    for (enum role role = 0; role < ROLE_COUNT; role++) {
        if (role == ROLE_CONFIG || role_of_children(role) != role)
            continue;
        m->metrics[role] = metrics_file(e);
        if (m->metrics[role] < 0)
            return false;
        m->metrics_read[role] = metrics_file_read_only(m->metrics[role], &why);
        if (m->metrics_read[role] < 0)
            LOG(LOG_ERROR, "metrics", "a role's are not shown", LOG_E(&why), LOG_S("role", str_of(role_name(role))));
    }
    if (!metrics_use(m->metrics[ROLE_MONITOR], e))
        return false;
    METRIC_SET(build_info, 1, 0);
    return true;
}

void metrics_ended(enum role role, int status)
{
    if (WIFSIGNALED(status) ? WTERMSIG(status) != SIGTERM : WEXITSTATUS(status) != 0)
        METRIC(panic_total, role);
}

void metrics_look(struct monitor *m)
{
    uint64_t n[ROLE_COUNT] = {0}, bytes[ROLE_COUNT] = {0}, protocols[IPC_LAST_PROTOCOL + 1] = {0};
    struct map_entry *entry;

    n[ROLE_MONITOR] = 1;
    bytes[ROLE_MONITOR] = os_resident_bytes(getpid());
    for (const struct process *p = m->processes; p; p = p->next) {
        n[p->role]++;
        bytes[p->role] += os_resident_bytes(p->pid);
    }
    n[ROLE_ACCOUNT] = m->accounts.count;
    for (size_t i = 0; (entry = map_each(&m->conns, &i));) {
        const struct conn *c = entry->value;

        protocols[c->protocol]++;
        n[ROLE_SESSION] += c->state == CONN_SESSION && c->protocol != IPC_PROTOCOL_HTTP;
        n[ROLE_WEB] += c->state == CONN_SESSION && c->protocol == IPC_PROTOCOL_HTTP;
    }
    for (unsigned role = 0; role < ROLE_COUNT; role++)
        METRIC_SET(role_processes, n[role], role);
    for (unsigned role = 0; role < ROLE_COUNT; role++)
        if (bytes[role])
            METRIC_SET(role_resident_memory_bytes, bytes[role], role);
    for (unsigned protocol = 1; protocol <= IPC_LAST_PROTOCOL; protocol++)
        METRIC_SET(connections_count, protocols[protocol], protocol - 1);
}
