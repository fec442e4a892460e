#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"
#include "crypto/crypto.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/process.h"
#include "policy/psl.h"
#include "os/file.h"
#include "role/account/account.h"
#include "role/account/report.h"
#include "role/account/rules.h"
#include "role/template.h"
#include "text/encode.h"

struct account_ctx account = {.lock = PTHREAD_MUTEX_INITIALIZER,
                              .front_lock = PTHREAD_MUTEX_INITIALIZER,
                              .answered = PTHREAD_COND_INITIALIZER, .front = {-1}};

static struct store_initial_mailbox *initial;
static size_t n_initial, cap_initial;
static uint64_t seen; // messages of the monitor
static struct packet *packet;

/*
 * A thread that has done its work waits a little for more: making one, and ending it, takes as long as much
 * of a delivery.
 */
enum { MOST_IDLE = 4, IDLE_SECONDS = 1, PROGRESS_MS = 1000 };

struct work {
    void (*fn)(void *);
    void *ctx;
};

static pthread_mutex_t work_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work_came = PTHREAD_COND_INITIALIZER;
static struct work given[MOST_IDLE]; // to those that wait
static size_t n_given, n_idle;

static bool wait_for_work(struct work *out)
{
    struct timespec until;
    bool is_late = false;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_SECONDS;
    pthread_mutex_lock(&work_lock);
    if (n_idle == MOST_IDLE) {
        pthread_mutex_unlock(&work_lock);
        return false;
    }
    n_idle++;
    while (!n_given && !is_late)
        is_late = pthread_cond_clockwait(&work_came, &work_lock, CLOCK_MONOTONIC, &until) != 0;
    is_late = !n_given;
    if (!is_late)
        *out = given[--n_given];
    n_idle--;
    pthread_mutex_unlock(&work_lock);
    return !is_late;
}

static void *work(void *ctx)
{
    struct work w = *(struct work *)ctx;
    uint64_t one = 1;

    free(ctx);
    do {
        log_set_cid(0);
        w.fn(w.ctx);
        atomic_fetch_sub(&account.threads, 1);
        if (write(account.wake_fd, &one, sizeof one) < 0)
            LOG(LOG_DEBUG, "store", "cannot wake the main thread");
    } while (wait_for_work(&w));
    return NULL;
}

static bool give_work(struct work w)
{
    bool is_given;

    pthread_mutex_lock(&work_lock);
    is_given = n_given < n_idle;
    if (is_given)
        given[n_given++] = w;
    pthread_mutex_unlock(&work_lock);
    if (is_given)
        pthread_cond_signal(&work_came);
    return is_given;
}

static bool new_thread(struct work w)
{
    struct work *own = heap_alloc(sizeof *own);
    pthread_attr_t attr;
    pthread_t thread;
    bool is_ok;

    *own = w;
    is_ok = pthread_attr_init(&attr) == 0 &&
            pthread_attr_setstacksize(&attr, ACCOUNT_STACK_BYTES) == 0 &&
            pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0 &&
            pthread_create(&thread, &attr, work, own) == 0;
    pthread_attr_destroy(&attr);
    if (!is_ok)
        free(own);
    return is_ok;
}

bool account_thread(void (*fn)(void *), void *ctx)
{
    struct work w = {fn, ctx};
    bool is_ok = atomic_fetch_add(&account.threads, 1) < ACCOUNT_MAX_THREADS &&
                 (give_work(w) || new_thread(w));

    if (!is_ok)
        atomic_fetch_sub(&account.threads, 1);
    return is_ok;
}

// First the channel: nobody asks any more when those who did are told that there is no answer.
static void drop_front(void)
{
    pthread_mutex_lock(&account.front_lock);
    if (account.front.fd >= 0)
        channel_close(&account.front);
    pthread_mutex_unlock(&account.front_lock);
    park_forget_all();
}

static bool on_peer(struct packet *p, struct err *e)
{
    struct ipc_peer who;

    if (!ipc_peer_get(p->body, &who, e))
        return false;
    if (who.role == ROLE_FRONT) {
        drop_front(); // a new one knows what it keeps
        pthread_mutex_lock(&account.front_lock);
        account.front = (struct channel){packet_take_fd(p, 0), ROLE_ACCOUNT, ROLE_FRONT};
        pthread_mutex_unlock(&account.front_lock);
    } else if (who.role == ROLE_ADMIN) {
        import_start(&who, packet_take_fd(p, 0));
    } else {
        deliver_start(&who, packet_take_fd(p, 0));
    }
    return true;
}

/* One at a time: the monitor gives the next when it has heard of the end of this. */
struct task {
    uint64_t request;
    unsigned task;
};

// Of the task that runs; one thread has it.
static struct {
    uint64_t request;
    int64_t told_ms;
} progress;

// Once a second, of what takes longer.
static void tell_progress(uint64_t n, uint64_t all)
{
    const char *setting = getenv("MOX_PROGRESS_MS"); // tests have less mail than takes a second
    int64_t now_ms = os_monotonic_ms(), wait_ms = setting && !strcmp(setting, "0") ? 0 : PROGRESS_MS;
    struct err e = {0};

    if (now_ms - progress.told_ms < wait_ms)
        return;
    progress.told_ms = now_ms;
    if (!IPC_SEND(&account.monitor, account_progress, NULL, 0, &e, .request = progress.request, .n = n, .all = all))
        LOG(LOG_DEBUG, "store", "telling of progress", LOG_E(&e));
}

static bool run_task(unsigned task, struct buf *told, struct err *e)
{
    static const enum store_repair repairs[] = {
        [IPC_TASK_COUNTS] = REPAIR_COUNTS, [IPC_TASK_SIZES] = REPAIR_SIZES,
        [IPC_TASK_PARSE] = REPAIR_PARSE, [IPC_TASK_THREADS] = REPAIR_THREADS};

    // To retrain is done when all is due; learning it follows.
    return task == IPC_TASK_RETRAIN ? store_retrain(account.store, e)
                                    : store_repair(account.store, repairs[task], tell_progress, told, e);
}

static void do_task(void *ctx)
{
    struct task t = *(struct task *)ctx;
    AUTO_BUF told = BUF_LIMIT(IPC_MAX_LINES);
    struct err why = {0}, gone = {0};
    bool is_ok;

    free(ctx);
    progress.request = t.request;
    progress.told_ms = os_monotonic_ms();
    is_ok = run_task(t.task, &told, &why);
    if (!is_ok)
        LOG(LOG_ERROR, "store", "work on all mail", LOG_E(&why), LOG_S("account", account.name));
    if (!IPC_SEND(&account.monitor, account_done, NULL, 0, &gone, .request = t.request, .is_ok = is_ok,
                  .text = is_ok ? buf_str(&told) : str_of(why.text)))
        LOG(LOG_ERROR, "store", "telling of the end of work", LOG_E(&gone));
}

static bool on_task(struct packet *p, struct err *e)
{
    struct ipc_account_task m;
    struct task *t;

    if (!ipc_account_task_get(p->body, &m, e))
        return false;
    t = heap_alloc(sizeof *t);
    *t = (struct task){m.request, m.task};
    if (account_thread(do_task, t))
        return true;
    free(t);
    return IPC_SEND(&account.monitor, account_done, NULL, 0, e, .request = m.request,
                    .text = STR("the account does too much at once"));
}

// Its part of the configuration, from a memory file.
static struct rules *read_rules(int fd, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(2 * COMPILED_MAX_BYTES);
    struct str text;

    return os_read_fd(&a, fd, COMPILED_MAX_BYTES, &text, e) ? rules_read(text, e) : NULL;
}

static bool on_config(struct packet *p)
{
    struct err e = {0};
    AUTO_FD fd = packet_take_fd(p, 0);
    struct rules *r = read_rules(fd, &e);

    if (r)
        rules_use(r);
    else
        LOG(LOG_ERROR, "store", "the account's configuration cannot be read; the old one stays",
            LOG_E(&e), LOG_S("account", account.name));
    return true;
}

static bool on_monitor(struct packet *p, struct err *e)
{
    struct ipc_attach attach;
    struct ipc_log_level level;
    struct ipc_granted granted;

    switch ((int)p->type) {
    case IPC_granted:
        seen++;
        if (!ipc_granted_get(p->body, &granted, e))
            return false;
        report_granted(p->n_fds ? packet_take_fd(p, 0) : -1, granted.reason);
        return true;
    case IPC_peer:
        seen++;
        return on_peer(p, e);
    case IPC_attach:
        seen++;
        if (!ipc_attach_get(p->body, &attach, e))
            return false;
        imap_attach(&attach, packet_take_fd(p, 0));
        return true;
    case IPC_account_task:
        seen++;
        return on_task(p, e);
    case IPC_account_config:
        seen++;
        return on_config(p);
    case IPC_log_level:
        seen++;
        return ipc_log_level_get(p->body, &level, e) &&
               log_set_level(level.package, level.level, e);
    case IPC_account_end:
    case IPC_stop:
        atomic_store(&account.is_stopping, true);
        return true;
    default:
        return fail(e, ERR_BUG, "unexpected message");
    }
}

static bool on_front(struct packet *p, struct err *e)
{
    struct ipc_parked parked;
    struct ipc_unparked unparked;

    if (p->type == IPC_parked) {
        if (!ipc_parked_get(p->body, &parked, e))
            return false;
        park_answer(parked.conn, true, parked.state);
        return true;
    }
    if (p->type != IPC_unparked || !ipc_unparked_get(p->body, &unparked, e))
        return false;
    park_answer(unparked.conn, false, STR(""));
    return true;
}

static void hear_front(void)
{
    struct channel ch = account.front;
    struct err e = {0};
    enum channel_result r = channel_receive(&ch, packet, 0, &e);

    if (r == CHANNEL_TIMEOUT)
        return;
    if (r == CHANNEL_MESSAGE && on_front(packet, &e)) {
        packet_close_fds(packet);
        return;
    }
    drop_front();
}

// False when the monitor is gone.
static bool hear_monitor(void)
{
    struct err e = {0};
    enum channel_result r = channel_receive(&account.monitor, packet, 0, &e);

    if (r == CHANNEL_TIMEOUT)
        return true;
    if (r != CHANNEL_MESSAGE || !on_monitor(packet, &e)) {
        LOG(LOG_DEBUG, "store", "monitor gone", LOG_E(&e));
        return false;
    }
    packet_close_fds(packet);
    return true;
}

static void wake_connections(void);

// What commits left in the log goes to its place beside them, so that nobody waits for it.
static void checkpoint(void *unused)
{
    struct err e = {0};

    (void)unused;
    if (!store_checkpoint(&e))
        LOG(LOG_ERROR, "store", "checkpoint", LOG_E(&e), LOG_S("account", account.name));
}

static void main_loop(void)
{
    int64_t idle_since = os_monotonic_ms();
    bool has_asked = false, has_more = true;
    unsigned most = 0; // threads at once, since memory was last given back

    for (;;) {
        struct pollfd fds[3] = {{.fd = account.monitor.fd, .events = POLLIN},
                                {.fd = account.wake_fd, .events = POLLIN},
                                {.fd = account.front.fd, .events = POLLIN}};
        unsigned busy = atomic_load(&account.threads);
        bool has_news = park_has_news();
        uint64_t count;
        struct err e = {0};
        int n;

        if (atomic_load(&account.is_stopping)) {
            wake_connections();
            if (!busy)
                return;
        }
        if (busy || has_asked || has_news)
            idle_since = os_monotonic_ms();
        if (busy > most)
            most = busy;
        // An event always wakes us; the time is for lingering, and for what no event tells: that the
        // last session has seen that a message is gone.
        if (has_news)
            fds[2].events |= POLLOUT;
        n = poll(fds, 3, has_more ? 0 : busy ? 1000 : 500);
        if (n < 0 && errno != EINTR)
            die("poll fails");
        if (has_more || !n || fds[1].revents) {
            has_more = store_learn(account.store);
            has_more |= store_tidy(account.store);
            // When there is no room for a thread, the log grows until there is.
            if (store_wants_checkpoint(account.store))
                (void)!account_thread(checkpoint, NULL);
        }
        // What threads had and freed stays ours until it is asked back: 20 MB after 500 of them.
        if (!n && most > busy) {
            os_memory_trim();
            most = busy;
        }
        if (fds[1].revents && read(account.wake_fd, &count, sizeof count) < 0)
            LOG(LOG_DEBUG, "store", "nothing to wake for");
        if ((fds[2].revents & ~POLLOUT) && account.front.fd >= 0)
            hear_front();
        if ((fds[2].revents & POLLOUT) && park_has_news())
            park_notify();
        if (fds[0].revents) {
            has_asked = false;
            idle_since = os_monotonic_ms();
            if (!hear_monitor())
                _exit(0);
        }
        if (!atomic_load(&account.threads) && !has_asked &&
            os_monotonic_ms() - idle_since > ACCOUNT_LINGER_MS) {
            has_asked = true;
            if (!IPC_SEND(&account.monitor, account_idle, NULL, 0, &e, .seen = seen))
                _exit(0);
        }
    }
}

#include "role/account/imap_conn.h"

/* --- no room to open the database ----------------------------------------------------------------- */

static bool on_monitor_without_room(struct packet *p, struct err *e)
{
    struct ipc_account_task task;
    struct ipc_attach attach;
    struct ipc_peer who;

    switch ((int)p->type) {
    case IPC_peer:
        if (!ipc_peer_get(p->body, &who, e))
            return false;
        if (who.role != ROLE_ADMIN)
            return on_monitor(p, e);
        seen++; // the command hears that nobody is there
        return true;
    case IPC_attach:
        seen++;
        return ipc_attach_get(p->body, &attach, e) &&
               IPC_SEND(&account.monitor, detached, NULL, 0, e, .conn = attach.conn);
    case IPC_account_task:
        seen++;
        return ipc_account_task_get(p->body, &task, e) &&
               IPC_SEND(&account.monitor, account_done, NULL, 0, e, .request = task.request,
                        .text = STR("there is no room on the disk"));
    default:
        return on_monitor(p, e);
    }
}

// Who delivers now is told so; the next process sees whether there is room again.
static void main_loop_without_room(void)
{
    enum { LINGER_MS = 100, MOST_MS = 1000 };
    int64_t start_ms = os_monotonic_ms();
    bool has_asked = false;

    while (!atomic_load(&account.is_stopping) || atomic_load(&account.threads)) {
        struct err e = {0};
        enum channel_result r = channel_receive(&account.monitor, packet, LINGER_MS, &e);

        if (r == CHANNEL_MESSAGE) {
            has_asked = false;
            if (!on_monitor_without_room(packet, &e))
                return;
            packet_close_fds(packet);
        } else if (r != CHANNEL_TIMEOUT) {
            return;
        }
        if (!has_asked && !atomic_load(&account.threads) &&
            (r == CHANNEL_TIMEOUT || os_monotonic_ms() - start_ms > MOST_MS)) {
            has_asked = true;
            if (!IPC_SEND(&account.monitor, account_idle, NULL, 0, &e, .seen = seen))
                return;
        }
    }
}

// A connection that waits for its client looks up and sees that the server stops.
static void wake_connections(void)
{
    uint64_t one = 1;

    pthread_mutex_lock(&account.lock);
    for (struct imap_conn *c = account.conns; c; c = c->next)
        if (write(c->wake_fd, &one, sizeof one) < 0)
            continue; // it is awake
    pthread_mutex_unlock(&account.lock);
}

static struct store_junk junk_options(const struct ipc_account_junk *m)
{
    return (struct store_junk){
        .learns = m->has_filter,
        .settings = {.method = m->method ? JUNK_WORDS : JUNK_EVIDENCE,
                     .onegrams = m->onegrams,
                     .twograms = m->twograms,
                     .threegrams = m->threegrams,
                     .max_power = (double)m->max_power_e6 / 1e6,
                     .ignore_words = (double)m->ignore_words_e6 / 1e6,
                     .top_words = m->top_words,
                     .rare_words = m->rare_words},
        .sets_flags = m->sets_flags,
        .junk = m->junk,
        .neutral = m->neutral,
        .notjunk = m->notjunk,
    };
}

// The directory is its own user's, where each account has one: what no mistake in the sandbox takes away.
static bool become(uint32_t uid)
{
    const pid_t parent = getppid();

    // Becoming somebody else takes back that it dies with its parent.
    return !uid || (setresuid(uid, uid, uid) == 0 && os_die_with_parent(parent));
}

void account_run(struct role_start *s, struct packet *p)
{
    struct store_options options = {.initial = initial, .n_initial = n_initial};
    struct ipc_account_start m;
    struct err e = {0};
    struct rules *rules;
    int dir, config;

    if (!ipc_account_start_get(p->body, &m, &e))
        _exit(1);
    dir = packet_take_fd(p, 0);
    account.name = arena_dup(&s->arena, m.account);
    account.monitor = (struct channel){packet_take_fd(p, 1), ROLE_ACCOUNT, ROLE_MONITOR};
    config = packet_take_fd(p, 2);
    account.start = s;
    options.quota_bytes = m.quota_bytes;
    packet = p;
    os_title_set("mox: account %.*s", STR_FMT(account.name));
    if (!become(m.uid)) {
        LOG(LOG_ERROR, "store", "an account's process cannot have its user id", LOG_N("uid", m.uid),
            LOG_S("account", account.name));
        _exit(1);
    }
    if (fchdir(dir))
        _exit(1);
    child_enter_sandbox(s, &dir, 1);
    rules = read_rules(config, &e);
    fd_close(&config);
    if (!rules) {
        LOG(LOG_ERROR, "store", "cannot read the account's configuration", LOG_E(&e),
            LOG_S("account", account.name));
        _exit(ROLE_EXIT_NOT_STARTED);
    }
    rules_use(rules);
    rules = rules_get(); // the store's options are of these, whatever comes later
    options.junk = junk_options(rules_junk(rules));
    account.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    account.store = account.wake_fd >= 0 ? store_open(&options, &e) : NULL;
    if (!account.store) {
        LOG(LOG_ERROR, "store", "cannot open account", LOG_E(&e), LOG_S("account", account.name));
        if (!e.is_full)
            _exit(ROLE_EXIT_NOT_STARTED);
        main_loop_without_room();
        _exit(0);
    }
    store_watch(account.store, account.wake_fd);
    main_loop();
    store_close(account.store);
    _exit(0);
}

static void read_initial(struct role_start *s)
{
    struct cur c = cur_of(s->config);
    enum compiled_type type;
    struct str body;
    struct err e = {0};

    while (compiled_next(&c, &type, &body, &e)) {
        struct ipc_initial_mailbox m;

        if (type == COMPILED_initial_mailbox && ipc_initial_mailbox_get(body, &m, &e))
            *ARENA_PUSH(&s->arena, initial, &n_initial, &cap_initial) =
                (struct store_initial_mailbox){m.name, m.special_use};
    }
}

_Noreturn void account_template_main(void)
{
    static const struct child_kind kind = {IPC_account_start, NULL, account_run};
    static struct role_start s;

    role_start(&s, ROLE_ACCOUNT_TEMPLATE);
    crypto_warm();
    charset_warm();
    psl_warm();
    read_initial(&s);
    template_loop(&s, &kind);
}
