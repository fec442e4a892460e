#include "role/web/files.h"

#include <fcntl.h>

#include "base/arena.h"
#include "os/fd.h"
#include "proto/http/http.h"

enum { MAX_KEPT = 16 };

static struct kept {
    struct site_file file;
    const struct site_handler *handler; // NULL: none
    bool is_index;
    struct str path;                        // heap
    struct str etag, modified;              // heap
} kept[MAX_KEPT];
static size_t next_kept;

static void forget(struct kept *k)
{
    if (!k->handler)
        return;
    fd_close(&k->file.fd);
    heap_free(&k->path);
    heap_free(&k->etag);
    heap_free(&k->modified);
    k->handler = NULL;
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

// What was opened is below the root; the same file is so by whatever links it is found now. A change of its mode or its
// links is one of its ctime.
static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           is_same_time(&a->st_mtim, &b->st_mtim) && is_same_time(&a->st_ctim, &b->st_ctim);
}

const struct site_file *files_find(const struct site_handler *h, int root, const char *path, bool is_index)
{
    for (struct kept *k = kept; k < kept + MAX_KEPT; k++) {
        struct stat now;

        if (k->handler != h || k->is_index != is_index || !str_eq(k->path, str_of(path)))
            continue;
        if (fstatat(root, path, &now, 0) == 0 && is_same(&now, &k->file.st))
            return &k->file;
        forget(k);
        break;
    }
    return NULL;
}

const struct site_file *files_keep(const struct site_handler *h, const char *path, bool is_index, int fd,
                                   const struct stat *st, struct str type)
{
    struct kept *k = &kept[next_kept++ % MAX_KEPT];
    AUTO_BUF etag = BUF_LIMIT(ETAG_MAX), date = BUF_LIMIT(64);

    etag_put(&etag, (uint64_t)st->st_size, st->st_mtim.tv_sec, (uint32_t)st->st_mtim.tv_nsec);
    http_date_put(&date, st->st_mtim.tv_sec);
    forget(k);
    *k = (struct kept){.handler = h, .is_index = is_index, .path = heap_dup(str_of(path)),
                       .etag = heap_dup(buf_str(&etag)), .modified = heap_dup(buf_str(&date))};
    k->file = (struct site_file){fd, *st, type, {k->etag, st->st_mtim.tv_sec}, k->modified};
    return &k->file;
}
