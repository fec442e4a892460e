#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/test.h"
#include "os/fiber.h"

/* Reads until the end of a pipe, and keeps what it saw. */
struct reader {
    int fd, timeout_ms;
    char seen[16];
    size_t n;
    int end; // 0: it goes on
    bool is_deaf;
    struct fiber *fiber;
};

static void read_all(void *ctx)
{
    struct reader *r = ctx;
    char room[4096]; // on a stack of its own

    r->fiber = fiber_current();
    memset(room, 'x', sizeof room);
    for (;;) {
        struct pollfd p = {.fd = r->fd, .events = POLLIN};
        int rc = r->is_deaf ? fiber_poll(&p, 1, r->timeout_ms) : fiber_wait(&p, 1, r->timeout_ms);
        ssize_t n = rc > 0 ? read(r->fd, r->seen + r->n, sizeof r->seen - r->n) : 0;

        if (n <= 0) {
            r->end = rc < 0 ? errno : rc == 0 ? ETIMEDOUT : 1;
            break;
        }
        r->n += (size_t)n;
    }
    CHECK(room[0] == 'x' && room[sizeof room - 1] == 'x');
}

TEST(fibers_wait_side_by_side)
{
    struct reader r[FIBERS_MAX] = {0};
    int pipes[FIBERS_MAX][2];

    CHECK(!fiber_current());
    for (size_t i = 0; i < FIBERS_MAX; i++) {
        CHECK(pipe(pipes[i]) == 0);
        r[i].fd = pipes[i][0];
        r[i].timeout_ms = -1;
        CHECK(fiber_start(read_all, &r[i]) && r[i].fiber && !r[i].end);
    }
    CHECK(!fiber_start(read_all, &r[0])); // no more than that
    for (size_t i = FIBERS_MAX; i-- > 0;) // whoever has something goes on
        CHECK(write(pipes[i][1], "ab", 2) == 2 && fibers_poll(NULL, 0, -1) == 0 && r[i].n == 2);
    for (size_t i = 0; i < FIBERS_MAX; i += 2)
        close(pipes[i][1]);
    CHECK(fibers_poll(NULL, 0, -1) == 0);
    for (size_t i = 0; i < FIBERS_MAX; i++)
        CHECK_CASE(r[i].end == (i % 2 ? 0 : 1) && memcmp(r[i].seen, "ab", 2) == 0, i);
    for (size_t i = 1; i < FIBERS_MAX; i += 2)
        fiber_cancel(r[i].fiber);
    CHECK(fibers_poll(NULL, 0, -1) == 0);
    for (size_t i = 1; i < FIBERS_MAX; i += 2) {
        CHECK_CASE(r[i].end == ECANCELED, i);
        close(pipes[i][1]);
    }
    for (size_t i = 0; i < FIBERS_MAX; i++)
        close(pipes[i][0]);
}

TEST(a_fiber_is_woken_or_comes_too_late)
{
    struct reader r = {.timeout_ms = -1}, late = {.timeout_ms = 0}, deaf = {.timeout_ms = -1, .is_deaf = true};
    struct pollfd own;
    int pipes[2];

    CHECK(pipe(pipes) == 0);
    r.fd = late.fd = deaf.fd = pipes[0];
    CHECK(fiber_start(read_all, &r) && fiber_start(read_all, &late) && fiber_start(read_all, &deaf));
    CHECK(fibers_poll(NULL, 0, -1) == 0 && late.end == ETIMEDOUT && !r.end);
    own = (struct pollfd){.fd = pipes[1], .events = POLLOUT};
    CHECK(fibers_poll(&own, 1, -1) == 1 && own.revents == POLLOUT && !r.end); // of the caller alone
    fiber_wake(r.fiber);
    fiber_wake(deaf.fiber);
    CHECK(fibers_poll(NULL, 0, -1) == 0 && r.end == ETIMEDOUT && !deaf.end);
    fiber_cancel(deaf.fiber);
    CHECK(fibers_poll(NULL, 0, -1) == 0 && deaf.end == ECANCELED);
    CHECK(fibers_poll(NULL, 0, 0) == 0); // nobody is there
    own = (struct pollfd){.fd = pipes[0], .events = POLLIN};
    CHECK(fiber_poll(&own, 1, 0) == 0); // outside it is poll
    close(pipes[0]);
    close(pipes[1]);
}
