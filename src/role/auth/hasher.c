#include "role/auth/hasher.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/die.h"

enum { THREADS = 2, MAX_WAITING = 64, STACK_BYTES = 512 * 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_work = PTHREAD_COND_INITIALIZER;
static struct hash_job *waiting, **waiting_end = &waiting, *done;
static size_t n_waiting;
static int done_fd = -1;

static void *work(void *unused)
{
    (void)unused;
    for (;;) {
        struct hash_job *job;
        uint64_t one = 1;

        pthread_mutex_lock(&lock);
        while (!waiting)
            pthread_cond_wait(&has_work, &lock);
        job = waiting;
        waiting = job->next;
        if (!waiting)
            waiting_end = &waiting;
        n_waiting--;
        pthread_mutex_unlock(&lock);

        job->is_good = password_verify(job->hash, job->password);
        if (job->is_good && job->wants_derived)
            derived_make(job->password, &job->derived);

        pthread_mutex_lock(&lock);
        job->next = done;
        done = job;
        pthread_mutex_unlock(&lock);
        if (write(done_fd, &one, sizeof one) != sizeof one)
            die("eventfd is broken");
    }
    return NULL;
}

void hasher_start(int *event_fd)
{
    pthread_attr_t attr;
    pthread_t thread;

    done_fd = *event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (done_fd < 0 || pthread_attr_init(&attr) ||
        pthread_attr_setstacksize(&attr, STACK_BYTES))
        die("cannot prepare hashing threads");
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread, &attr, work, NULL))
            die("cannot start hashing threads");
    pthread_attr_destroy(&attr);
}

bool hasher_add(struct hash_job *job)
{
    bool has_room;

    pthread_mutex_lock(&lock);
    has_room = n_waiting < MAX_WAITING;
    if (has_room) {
        job->next = NULL;
        *waiting_end = job;
        waiting_end = &job->next;
        n_waiting++;
        pthread_cond_signal(&has_work);
    }
    pthread_mutex_unlock(&lock);
    return has_room;
}

struct hash_job *hasher_take(void)
{
    struct hash_job *job;
    uint64_t count;

    pthread_mutex_lock(&lock);
    job = done;
    if (job)
        done = job->next;
    pthread_mutex_unlock(&lock);
    if (!job && read(done_fd, &count, sizeof count) < 0)
        return NULL; // nothing to clear
    return job;
}
