#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/process.h"
#include "os/sandbox.h"
#include "os/systemd.h"
#include "role/monitor/monitor_priv.h"

// Phase one: nobody new comes in, sessions and accounts finish what they are doing.
void monitor_stop(struct monitor *m, int exit_code)
{
    struct map_entry *entry;
    struct err e = {0};

    if (m->stopping_ms)
        return;
    LOG(LOG_PRINT, "mox", "shutting down, waiting for connections to end");
    m->stopping_ms = os_monotonic_ms();
    m->exit_code = exit_code;
    if (!systemd_notify("STOPPING=1", &e))
        LOG(LOG_DEBUG, "mox", "telling systemd that the server stops", LOG_E(&e));
    roles_stop(m, false);
    accounts_stop(m);
    for (size_t i = 0; (entry = map_each(&m->conns, &i));) {
        struct conn *c = entry->value;

        if (c->ch.fd >= 0 && !IPC_SEND(&c->ch, stop, NULL, 0, &e))
            LOG(LOG_DEBUG, "mox", "asking a session to stop", LOG_E(&e));
    }
}

// Phase two, when all clients are gone or their time is over: the roles behind them.
static void go_on_stopping(struct monitor *m)
{
    int64_t since = os_monotonic_ms() - m->stopping_ms;

    if (!m->is_stop_sent &&
        ((!m->n_sessions && !m->n_webs && !m->accounts.count && !m->leaving) || since >= STOP_CLIENTS_MS)) {
        m->is_stop_sent = true;
        roles_stop(m, true);
    }
    if (since >= STOP_ALL_MS)
        event_stop(m->loop); // what is left dies with us
}

// What a running server takes over anew.
static void look_again(struct monitor *m)
{
    load_again(m);
    certificates_look(m);
    sites_look(m);
}

static void tick(void *ctx, int events)
{
    struct monitor *m = ctx;
    static unsigned count;

    (void)events;
    if (m->stopping_ms) {
        go_on_stopping(m);
        return;
    }
    certificates_pass_on(m);
    if (++count % 10 == 0) { // every second
        roles_start(m);
        look_again(m);
        metrics_look(m);
        hooks_look(m);
    }
}

// To a server a hangup says that files have changed; who tries things out has closed the terminal.
static void hang_up(struct monitor *m)
{
    if (m->options.is_localserve) {
        monitor_stop(m, SIGHUP);
        return;
    }
    LOG(LOG_INFO, "mox", "hangup: looking at domains.conf and certificates; mox.conf is read at the start only");
    if (!m->stopping_ms)
        look_again(m);
}

static int signal_fd;

static void signal_ready(void *ctx, int events)
{
    struct monitor *m = ctx;
    int number;

    (void)events;
    while ((number = os_signal_read(signal_fd)))
        if (number == SIGCHLD)
            roles_reap(m);
        else if (number == SIGHUP)
            hang_up(m);
        else
            monitor_stop(m, number);
}

// Without Landlock nothing but the owner of files keeps one account's process from another's mail.
static bool check_landlock(const struct monitor *m, struct err *e)
{
    if (sandbox_landlock_abi())
        return true;
    if (!m->options.is_localserve && !m->options.may_lack_landlock)
        return fail(e, ERR_DENIED, "this kernel has no Landlock, so an account's process that was "
                    "taken over could reach the mail of others: boot with lsm=landlock, or start "
                    "with -without-landlock");
    LOG(LOG_ERROR, "mox", "no Landlock in this kernel: one account's process is not kept from the "
        "files of another");
    return true;
}

static bool start(struct monitor *m, struct err *e)
{
    for (size_t i = 0; i < ROLE_COUNT; i++)
        m->configs[i] = -1;
    m->signing_keys = m->host_keys = m->authorities = -1;
    m->packet = packet_new();
    signal_fd = os_signal_fd(e);
    m->loop = event_loop_new(e);
    if (signal_fd < 0 || !m->loop || !check_landlock(m, e) || !metrics_open(m, e) || !load_first(m, e))
        return false;
    if (m->options.log_level)
        level_set(m, STR(""), str_of(m->options.log_level));
    event_tick(m->loop, 100, tick, m);
    if (!event_add(m->loop, signal_fd, EVENT_READ, signal_ready, m, e))
        return false;
    roles_start(m);
    return true;
}

int monitor_run(const struct monitor_options *options)
{
    static struct monitor m = {.arena = ARENA_LIMIT(64 << 20)};
    struct err e = {0};
    uint64_t seed[2];

    m.options = *options;
    os_random(seed, sizeof seed);
    str_hash_seed(seed[0], seed[1]);
    os_title_set("mox: monitor");
    os_limit(65536);
    log_set_human(false);
    if (!start(&m, &e)) {
        LOG(LOG_FATAL, "mox", "cannot start", LOG_E(&e));
        return 1;
    }
    event_run(m.loop);
    unlinkat(m.data_dir, "ctl", 0);
    LOG(LOG_PRINT, "mox", "stopped");
    return m.exit_code;
}
