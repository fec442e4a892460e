#include "role/auth/hasher.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/die.h"
#include "crypto/crypto.h"

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

static struct str put(char **at, struct str s)
{
    struct str out = {*at, s.n};

    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return out;
}

bool hasher_add(const struct hash_job *job)
{
    struct hash_job *copy;
    char *texts;

    pthread_mutex_lock(&lock);
    if (n_waiting >= MAX_WAITING) {
        pthread_mutex_unlock(&lock);
        return false;
    }
    copy = heap_alloc(sizeof *copy + job->account.n + job->login.n + job->password.n +
                      job->hash.n + 1);
    texts = (char *)(copy + 1);
    *copy = *job;
    copy->account = put(&texts, job->account);
    copy->login = put(&texts, job->login);
    copy->password = put(&texts, job->password);
    copy->hash = put(&texts, job->hash);
    copy->next = NULL;
    *waiting_end = copy;
    waiting_end = &copy->next;
    n_waiting++;
    pthread_cond_signal(&has_work);
    pthread_mutex_unlock(&lock);
    return true;
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
