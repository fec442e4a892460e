/*
 * What happened to mailboxes, kept in memory for the sessions that run.
 */
#include <stdlib.h>
#include <string.h>

#include "store/store_priv.h"

bool note_event(struct store *st, struct store_event event, struct err *e)
{
    if (!job_modseq(st, &event.modseq, e))
        return false;
    event.by = st->job_by;
    event.name = arena_dup(&st->event_arena, event.name);
    event.old_name = arena_dup(&st->event_arena, event.old_name);
    event.special_use = arena_dup(&st->event_arena, event.special_use);
    *ARENA_PUSH(&st->event_arena, st->job_events, &st->n_job_events, &st->cap_job_events) = event;
    return true;
}

static void free_event(struct store_event *event)
{
    heap_free(&event->name);
    heap_free(&event->old_name);
    heap_free(&event->special_use);
}

// What the transaction's jobs noted, under the lock, once it is committed.
void publish_events(struct store *st)
{
    if (st->n_job_events && !st->events)
        st->events = heap_array(MAX_EVENTS, sizeof *st->events);
    for (size_t i = 0; i < st->n_job_events; i++) {
        struct store_event *slot = &st->events[st->n_events++ % MAX_EVENTS];

        free_event(slot);
        *slot = st->job_events[i];
        slot->name = heap_dup(slot->name);
        slot->old_name = heap_dup(slot->old_name);
        slot->special_use = heap_dup(slot->special_use);
    }
}

void forget_job_events(struct store *st)
{
    arena_fini(&st->event_arena);
    st->event_arena = (struct arena)ARENA_LIMIT(64 << 20);
    st->job_events = NULL;
    st->n_job_events = st->cap_job_events = 0;
}

void store_events(struct store *st, uint64_t *seen, store_event_fn *fn, void *ctx)
{
    size_t i;

    pthread_mutex_lock(&st->lock);
    i = st->n_events > MAX_EVENTS ? st->n_events - MAX_EVENTS : 0;
    // Most often there is nothing new: looked for from the newest.
    for (size_t k = st->n_events; k > i; k--)
        if (st->events[(k - 1) % MAX_EVENTS].modseq <= *seen) {
            i = k;
            break;
        }
    for (; i < st->n_events; i++)
        fn(ctx, &st->events[i % MAX_EVENTS]);
    *seen = st->modseq;
    pthread_mutex_unlock(&st->lock);
}

void free_events(struct store *st)
{
    forget_job_events(st);
    for (size_t i = 0; st->events && i < MAX_EVENTS; i++)
        free_event(&st->events[i]);
    free(st->events);
}
