#include "os/event.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/die.h"
#include "os/clock.h"

enum { MAX_EVENTS = 64 };

struct event_source {
    int fd, events;
    event_fn *fn; // NULL: removed, to be freed after the round
    void *ctx;
    struct event_source *next_dead;
};

struct event_loop {
    int epoll_fd;
    bool is_stopped;
    struct event_source *dead;
    event_fn *after_fn;
    void *after_ctx;
    event_fn *tick_fn;
    void *tick_ctx;
    int tick_ms;
    int64_t next_tick_ms;
};

struct event_loop *event_loop_new(struct err *e)
{
    struct event_loop *l = heap_alloc(sizeof *l);

    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0) {
        fail_errno(e, "epoll_create");
        free(l);
        return NULL;
    }
    return l;
}

static void free_dead(struct event_loop *l)
{
    while (l->dead) {
        struct event_source *s = l->dead;

        l->dead = s->next_dead;
        free(s);
    }
}

static struct epoll_event epoll_of(struct event_source *s)
{
    struct epoll_event ev = {.data.ptr = s};

    if (s->events & EVENT_READ)
        ev.events |= EPOLLIN;
    if (s->events & EVENT_WRITE)
        ev.events |= EPOLLOUT;
    return ev;
}

struct event_source *event_add(struct event_loop *l, int fd, int events, event_fn *fn, void *ctx,
                               struct err *e)
{
    struct event_source *s = heap_alloc(sizeof *s);
    struct epoll_event ev;

    *s = (struct event_source){.fd = fd, .events = events, .fn = fn, .ctx = ctx};
    ev = epoll_of(s);
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
        fail_errno(e, "epoll_ctl");
        free(s);
        return NULL;
    }
    return s;
}

void event_change(struct event_loop *l, struct event_source *s, int events)
{
    struct epoll_event ev;

    if (s->events == events)
        return;
    s->events = events;
    ev = epoll_of(s);
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, s->fd, &ev) < 0)
        die("event_change: descriptor %d is not in the loop", s->fd);
}

void event_remove(struct event_loop *l, struct event_source *s)
{
    if (!s || !s->fn)
        return;
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
    s->fn = NULL; // events of this round may still point to it
    s->next_dead = l->dead;
    l->dead = s;
}

void event_tick(struct event_loop *l, int interval_ms, event_fn *fn, void *ctx)
{
    l->tick_fn = fn;
    l->tick_ctx = ctx;
    l->tick_ms = interval_ms;
    l->next_tick_ms = os_monotonic_ms() + interval_ms;
}

void event_after(struct event_loop *l, event_fn *fn, void *ctx)
{
    l->after_fn = fn;
    l->after_ctx = ctx;
}

static int wait_ms(const struct event_loop *l)
{
    int64_t left;

    if (!l->tick_fn)
        return -1;
    left = l->next_tick_ms - os_monotonic_ms();
    return left < 0 ? 0 : (int)left;
}

void event_run(struct event_loop *l)
{
    struct epoll_event events[MAX_EVENTS];

    while (!l->is_stopped) {
        int n = epoll_wait(l->epoll_fd, events, MAX_EVENTS, wait_ms(l));

        if (n < 0 && errno != EINTR)
            die("epoll_wait failed");
        for (int i = 0; i < n && !l->is_stopped; i++) {
            struct event_source *s = events[i].data.ptr;
            int what = 0;

            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                what |= EVENT_READ;
            if (events[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
                what |= EVENT_WRITE;
            if (s->fn)
                s->fn(s->ctx, what);
        }
        free_dead(l);
        if (l->tick_fn && os_monotonic_ms() >= l->next_tick_ms) {
            l->next_tick_ms = os_monotonic_ms() + l->tick_ms;
            l->tick_fn(l->tick_ctx, 0);
        }
        if (l->after_fn && !l->is_stopped)
            l->after_fn(l->after_ctx, 0);
    }
}

void event_stop(struct event_loop *l)
{
    l->is_stopped = true;
}
