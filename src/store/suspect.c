/*
 * Messages whose parsing ended the process. A file in the account's directory says what is being
 * parsed; it is memory that outlives us, never synced, and its loss costs nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "os/fd.h"
#include "store/store_priv.h"

enum { SLOTS = 64, LOOK_BYTES = 16 * 1024, DEATHS = 2 };

/* All-zero is a free one. */
struct suspect {
    uint64_t hash; // of the message's size and beginning
    uint32_t is_parsing, deaths;
};

void (*store_parsing_for_test)(void);

void suspects_open(struct store *st)
{
    AUTO_FD fd = open("parsing", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat s;
    void *p;

    if (fd < 0 || fstat(fd, &s) || (s.st_size != SLOTS * sizeof *st->suspects &&
                                    (ftruncate(fd, 0) || ftruncate(fd, SLOTS * sizeof *st->suspects)))) {
        LOG(LOG_ERROR, "store", "cannot note what is being parsed", LOG_I("errno", errno));
        return; // it is a precaution, and mail goes on without it
    }
    p = mmap(NULL, SLOTS * sizeof *st->suspects, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return;
    st->suspects = p;
    for (size_t i = 0; i < SLOTS; i++)
        if (st->suspects[i].is_parsing) {
            st->suspects[i].is_parsing = 0;
            st->suspects[i].deaths++;
        }
}

void suspects_close(struct store *st)
{
    if (st->suspects)
        munmap(st->suspects, SLOTS * sizeof *st->suspects);
}

// The headers of one attempt's delivery differ from those of the next: not looked at.
static uint64_t hash_of(const struct store_new *m)
{
    size_t n = m->size < LOOK_BYTES ? (size_t)m->size : LOOK_BYTES;
    char *bytes = heap_alloc(n + 1);
    ssize_t got = pread(m->fd, bytes, n, (off_t)m->offset);
    // Without a secret: it is the same in the next process.
    uint64_t h = str_hash_keyed(0, 0, str_at(bytes, got > 0 ? (size_t)got : 0));

    free(bytes);
    return (h ^ m->size) | 1; // 0 is a free one
}

// Its own slot, else a free one, else one that caused nothing.
static struct suspect *slot_of(struct suspect *all, uint64_t hash)
{
    struct suspect *out = NULL;

    for (size_t i = 0; i < SLOTS; i++)
        if (all[i].hash == hash && !all[i].is_parsing)
            return &all[i];
    for (size_t i = 0; i < SLOTS; i++)
        if (!all[i].is_parsing && (!out || all[i].deaths < out->deaths))
            out = &all[i];
    return out;
}

static struct suspect *begin(struct store *st, uint64_t hash, bool *is_opaque)
{
    struct suspect *s;

    *is_opaque = false;
    pthread_mutex_lock(&st->lock);
    s = slot_of(st->suspects, hash);
    if (s && s->hash != hash)
        *s = (struct suspect){.hash = hash};
    if (s && s->deaths >= DEATHS)
        *is_opaque = true;
    else if (s)
        s->is_parsing = 1;
    pthread_mutex_unlock(&st->lock);
    if (!*is_opaque && store_parsing_for_test)
        store_parsing_for_test();
    return *is_opaque ? NULL : s;
}

struct suspect *store_look_begin(struct store *st, const struct store_new *m, bool *is_opaque)
{
    struct suspect *s = NULL;

    *is_opaque = false;
    if (st->suspects)
        s = begin(st, hash_of(m), is_opaque);
    if (*is_opaque)
        LOG(LOG_ERROR, "store", "a message ended this process twice and is kept without being "
            "parsed", LOG_N("size", m->size));
    return s;
}

struct suspect *suspect_begin_email(struct store *st, uint64_t email, bool *is_opaque)
{
    struct suspect *s = NULL;

    *is_opaque = false;
    if (st->suspects)
        s = begin(st, (email * 0x9e3779b97f4a7c15u) | 1, is_opaque);
    if (*is_opaque)
        LOG(LOG_ERROR, "store", "a message ended this process twice and is not learnt",
            LOG_N("email", email));
    return s;
}

void store_look_end(struct store *st, struct suspect *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&st->lock);
    s->is_parsing = 0;
    pthread_mutex_unlock(&st->lock);
}
