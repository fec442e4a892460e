#include "os/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "base/die.h"

static int64_t test_ms = -1;
static uint64_t test_seed;

void os_clock_set_for_test(int64_t unix_ms)
{
    test_ms = unix_ms;
}

void os_random_set_for_test(uint64_t seed)
{
    test_seed = seed;
}

static int64_t read_clock(clockid_t id)
{
    struct timespec t;

    if (test_ms >= 0)
        return test_ms;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t os_now_unix_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t os_now_unix(void)
{
    return os_now_unix_ms() / 1000;
}

void os_sleep_ms(int64_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    if (test_ms >= 0)
        test_ms += ms;
    else
        while (nanosleep(&left, &left) && errno == EINTR)
            ;
}

int64_t os_monotonic_ms(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

void os_random(void *p, size_t n)
{
    unsigned char *bytes = p;

    for (size_t done = 0; done < n;) {
        ssize_t got;

        if (test_seed) {
            bytes[done++] = (unsigned char)(test_seed++ * 2654435761u >> 13);
            continue;
        }
        got = getrandom(bytes + done, n - done, 0);
        if (got < 0)
            die("no random bytes from the kernel");
        done += (size_t)got;
    }
}

void os_random_name(struct buf *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char bytes[22];

    os_random(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        buf_put_char(out, alphabet[bytes[i] % 64]);
}
