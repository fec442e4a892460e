/*
 * A queue of its own for each test, in a directory of its own, with the time standing still.
 */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include "base/test.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "queue/queue.h"

struct queue_fixture {
    char dir[32];
    struct queue *q;
    struct arena a;
    int64_t now_unix;
};

static inline void queue_fixture_wait(struct queue_fixture *f, int64_t seconds)
{
    f->now_unix += seconds;
    os_clock_set_for_test(f->now_unix * 1000);
}

static inline void queue_fixture_begin(struct queue_fixture *f)
{
    struct err e = {0};

    *f = (struct queue_fixture){.dir = "/tmp/mox-queue-XXXXXX", .a = ARENA_LIMIT(1 << 26)};
    CHECK(mkdtemp(f->dir) && chdir(f->dir) == 0);
    queue_fixture_wait(f, 1000);
    f->q = queue_open(&e);
    CHECK(f->q != NULL);
    queue_set_hostname(f->q, STR("mox.example"));
}

static inline void queue_fixture_end(struct queue_fixture *f)
{
    queue_close(f->q);
    arena_fini(&f->a);
    os_clock_set_for_test(-1);
    CHECK(chdir("/") == 0);
}

/* The next entry that is due. */
static inline bool queue_fixture_next(struct queue_fixture *f, struct queue_entry *out)
{
    struct err e = {0};
    bool found;

    CHECK(queue_next(f->q, &f->a, out, &found, &e));
    return found;
}

static inline struct str queue_fixture_bytes(struct queue_fixture *f, const struct queue_entry *entry)
{
    struct err e = {0};
    AUTO_FD fd = os_memfile("t", &e);
    struct str bytes;

    CHECK(queue_read(f->q, entry->message, fd, &e));
    CHECK(os_read_fd(&f->a, fd, 1 << 24, &bytes, &e));
    return bytes;
}
