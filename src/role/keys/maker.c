#include "role/keys/maker.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/die.h"
#include "crypto/crypto.h"
#include "role/service.h"

enum { STACK_BYTES = 512 * 1024, MEMORY = 256 * 1024 };

/* The thread's while it is busy, ours before and after. */
static struct {
    bool is_busy, is_ok;
    unsigned bits;
    pthread_t thread;
    struct arena arena;
    struct str pem;
    struct err e;
    maker_fn *done;
} making = {.arena = ARENA_LIMIT(MEMORY)};

static int done_fd = -1;

static void *make(void *unused)
{
    uint64_t one = 1;

    (void)unused;
    making.is_ok = key_rsa(&making.arena, making.bits, &making.pem, &making.e);
    if (write(done_fd, &one, sizeof one) != sizeof one)
        die("eventfd is broken");
    return NULL;
}

static void on_done(void *ctx, int events)
{
    uint64_t count;
    ssize_t n = read(done_fd, &count, sizeof count);

    (void)ctx, (void)events;
    if (n < 0)
        return;
    pthread_join(making.thread, NULL);
    making.done(making.is_ok, making.pem, &making.e);
    if (making.pem.n)
        explicit_bzero((char *)(uintptr_t)making.pem.p, making.pem.n);
    making.pem = (struct str){0};
    arena_reset(&making.arena);
    making.is_busy = false;
}

// With the first key: a thread that was there before the sandbox would not be in it.
static void hear_of_it(void)
{
    struct err e = {0};

    done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (done_fd < 0 || !event_add(service_loop(), done_fd, EVENT_READ, on_done, NULL, &e))
        die("cannot hear of keys that are made");
}

bool maker_begin(unsigned bits, maker_fn *done, struct err *e)
{
    pthread_attr_t attr;

    if (making.is_busy)
        return fail(e, ERR_TEMPORARY, "another key is being made");
    if (done_fd < 0)
        hear_of_it();
    making.is_busy = true;
    making.bits = bits;
    making.done = done;
    making.e = (struct err){0};
    if (pthread_attr_init(&attr) || pthread_attr_setstacksize(&attr, STACK_BYTES) ||
        pthread_create(&making.thread, &attr, make, NULL))
        die("cannot start a thread that makes keys");
    pthread_attr_destroy(&attr);
    return true;
}
