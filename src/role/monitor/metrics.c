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

// The first port of its listener that has its protocol.
static size_t first_like(const struct monitor *m, size_t port)
{
    const struct ipc_listener *info = &m->ports[port].info;
    size_t i = 0;

    while (m->ports[i].info.protocol != info->protocol || !str_eq(m->ports[i].info.name, info->name))
        i++;
    return i;
}

static void count_connections(const struct monitor *m)
{
    uint64_t n[MAX_LISTENERS] = {0};
    struct map_entry *entry;

    for (size_t i = 0; (entry = map_each(&m->conns, &i));)
        n[((const struct conn *)entry->value)->listener]++;
    for (size_t i = 0; i < m->n_ports; i++)
        if (first_like(m, i) != i)
            n[first_like(m, i)] += n[i];
    for (size_t i = 0; i < m->n_ports; i++)
        if (first_like(m, i) == i)
            METRIC_SET(connections_count, n[i], m->ports[i].info.protocol - 1U, metric_name(m->ports[i].info.name));
}

void metrics_look(struct monitor *m)
{
    uint64_t n[ROLE_COUNT] = {0}, bytes[ROLE_COUNT] = {0};
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

        n[ROLE_SESSION] += c->state == CONN_SESSION && c->protocol != IPC_PROTOCOL_HTTP;
        n[ROLE_WEB] += c->state == CONN_SESSION && c->protocol == IPC_PROTOCOL_HTTP;
    }
    for (unsigned role = 0; role < ROLE_COUNT; role++)
        METRIC_SET(role_processes, n[role], role);
    for (unsigned role = 0; role < ROLE_COUNT; role++)
        if (bytes[role])
            METRIC_SET(role_resident_memory_bytes, bytes[role], role);
    count_connections(m);
}
