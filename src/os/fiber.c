#include "os/fiber.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/die.h"
#include "os/clock.h"

enum { MAX_OWN_FDS = 64 };

struct fiber {
    ucontext_t context;
    char *stack;
    void (*run)(void *ctx); // NULL: not in use
    void *ctx;
    struct pollfd *fds; // that it waits for
    nfds_t n_fds;
    int64_t deadline_ms; // INT64_MAX: none
    int result;
    bool can_be_woken, is_woken, is_cancelled;
};

/* AddressSanitizer is told of every change of stacks. */
struct place {
    void *fake_stack;
    const void *bottom;
    size_t size;
};

// A program that has fibers has them on one thread; others only wait, each for itself.
static _Thread_local struct fiber *current;
static struct fiber *fibers[FIBERS_MAX]; // made when needed, and kept with their stacks
static ucontext_t outside;               // where they were started or let go on

#ifdef HAS_ASAN
void __sanitizer_start_switch_fiber(void **save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *save, const void **bottom, size_t *size);
static struct place main_place;

static void leave(void **save, const void *bottom, size_t size)
{
    __sanitizer_start_switch_fiber(save, bottom, size);
}

static void arrive(void *save, struct place *from)
{
    __sanitizer_finish_switch_fiber(save, from ? &from->bottom : NULL, from ? &from->size : NULL);
}
#else
static struct place main_place;

static void leave(void **save, const void *bottom, size_t size)
{
    (void)save, (void)bottom, (void)size;
}

static void arrive(void *save, struct place *from)
{
    (void)save, (void)from;
}
#endif

struct fiber *fiber_current(void)
{
    return current;
}

// Its turn: until it waits again, or ends.
static void let_go_on(struct fiber *f)
{
    void *fake = NULL;

    current = f;
    leave(&fake, f->stack, FIBER_STACK);
    swapcontext(&outside, &f->context);
    arrive(fake, NULL);
    current = NULL;
}

static void enter(void)
{
    struct fiber *f = current;

    arrive(NULL, &main_place);
    f->run(f->ctx);
    f->run = NULL;
    leave(NULL, main_place.bottom, main_place.size);
    setcontext(&outside);
    die("a fiber has not ended");
}

static void wait_outside(struct fiber *f)
{
    void *fake = NULL;

    leave(&fake, main_place.bottom, main_place.size);
    swapcontext(&f->context, &outside);
    arrive(fake, NULL);
}

// Below it is a page that nobody can write to.
static char *make_stack(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *p = mmap(NULL, page + FIBER_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

    if (p == MAP_FAILED || mprotect(p, page, PROT_NONE))
        die("no memory for a stack");
    return p + page;
}

static struct fiber *take_unused(void)
{
    for (size_t i = 0; i < FIBERS_MAX; i++) {
        if (!fibers[i]) {
            fibers[i] = heap_alloc(sizeof **fibers);
            fibers[i]->stack = make_stack();
        }
        if (!fibers[i]->run)
            return fibers[i];
    }
    return NULL;
}

bool fiber_start(void (*run)(void *ctx), void *ctx)
{
    struct fiber *f = take_unused();

    if (!f)
        return false;
    *f = (struct fiber){.stack = f->stack, .run = run, .ctx = ctx};
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = FIBER_STACK;
    makecontext(&f->context, enter, 0);
    let_go_on(f);
    return true;
}

static int wait_for(struct pollfd *fds, nfds_t n, int timeout_ms, bool can_be_woken)
{
    struct fiber *f = current;

    if (!f)
        return poll(fds, n, timeout_ms);
    if (n > FIBER_MAX_FDS)
        die("a fiber waits for too many descriptors");
    if (!f->is_cancelled) {
        f->fds = fds;
        f->n_fds = n;
        f->deadline_ms = timeout_ms < 0 ? INT64_MAX : os_monotonic_ms() + timeout_ms;
        f->result = 0;
        f->can_be_woken = can_be_woken;
        wait_outside(f);
        f->can_be_woken = f->is_woken = false;
    }
    if (!f->is_cancelled)
        return f->result;
    errno = ECANCELED;
    return -1;
}

int fiber_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    return wait_for(fds, n, timeout_ms, false);
}

int fiber_wait(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    return wait_for(fds, n, timeout_ms, true);
}

void fiber_wake(struct fiber *f)
{
    f->is_woken |= f->can_be_woken;
}

void fiber_cancel(struct fiber *f)
{
    f->is_cancelled = f->is_woken = true;
}

bool fiber_is_cancelled(void)
{
    return current && current->is_cancelled;
}

static int count_ready(const struct pollfd *fds, nfds_t n)
{
    int ready = 0;

    for (nfds_t i = 0; i < n; i++)
        ready += fds[i].revents != 0;
    return ready;
}

int fibers_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    struct pollfd all[MAX_OWN_FDS + FIBERS_MAX * FIBER_MAX_FDS];
    struct fiber *waiting[FIBERS_MAX];
    int64_t now = os_monotonic_ms(), deadline = timeout_ms < 0 ? INT64_MAX : now + timeout_ms;
    size_t n_waiting = 0;
    nfds_t n_all = n;
    int rc;

    if (n > MAX_OWN_FDS)
        die("too many descriptors are waited for");
    if (n)
        memcpy(all, fds, n * sizeof *fds);
    for (size_t i = 0; i < FIBERS_MAX && fibers[i]; i++) {
        struct fiber *f = fibers[i];

        if (!f->run)
            continue;
        waiting[n_waiting++] = f;
        if (f->n_fds)
            memcpy(all + n_all, f->fds, f->n_fds * sizeof *f->fds);
        n_all += f->n_fds;
        if (f->is_woken)
            deadline = now;
        else if (f->deadline_ms < deadline)
            deadline = f->deadline_ms;
    }
    rc = poll(all, n_all, deadline == INT64_MAX ? -1 : deadline <= now ? 0 : deadline - now > INT_MAX ? INT_MAX : (int)(deadline - now));
    if (rc < 0)
        return rc;
    if (n)
        memcpy(fds, all, n * sizeof *fds);
    now = os_monotonic_ms();
    n_all = n;
    // First all hear of their descriptors: one that goes on may close what others have waited for.
    for (size_t i = 0; i < n_waiting; i++) {
        struct fiber *f = waiting[i];

        if (f->n_fds)
            memcpy(f->fds, all + n_all, f->n_fds * sizeof *f->fds);
        n_all += f->n_fds;
        f->result = count_ready(f->fds, f->n_fds);
    }
    for (size_t i = 0; i < n_waiting; i++)
        if (waiting[i]->result || waiting[i]->is_woken || now >= waiting[i]->deadline_ms)
            let_go_on(waiting[i]);
    return count_ready(fds, n);
}
