/*
 * Message bytes in chunks. Each is checked when read: a chunk that does not fit its checksum is
 * an error with the owner's number, not silently wrong mail.
 */
#include <pthread.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "db/db.h"

enum { CODEC_PLAIN = 0, CODEC_ZSTD = 1 };
// Below this, or when it saves less than an eighth, compressing is not worth reading it back.
enum { ZSTD_LEVEL = 1, WORTH_BYTES = 4096, LARGEST_STORED = CHUNK_BYTES + 65536 };

/*
 * Contexts of zstd are a few hundred kilobytes to set up, as much work as a short message: those that
 * nobody uses are kept, for all threads.
 */
enum { MOST_KEPT = 4 };
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static ZSTD_DCtx *kept_d[MOST_KEPT];
static ZSTD_CCtx *kept_c;
static size_t n_kept_d;

static ZSTD_DCtx *take_d(void)
{
    ZSTD_DCtx *z = NULL;

    pthread_mutex_lock(&kept_lock);
    if (n_kept_d)
        z = kept_d[--n_kept_d];
    pthread_mutex_unlock(&kept_lock);
    return z ? z : ZSTD_createDCtx();
}

static void give_d(ZSTD_DCtx *z)
{
    pthread_mutex_lock(&kept_lock);
    if (z && n_kept_d < MOST_KEPT) {
        kept_d[n_kept_d++] = z;
        z = NULL;
    }
    pthread_mutex_unlock(&kept_lock);
    ZSTD_freeDCtx(z);
}

static ZSTD_CCtx *take_c(void)
{
    ZSTD_CCtx *z;

    pthread_mutex_lock(&kept_lock);
    z = kept_c;
    kept_c = NULL;
    pthread_mutex_unlock(&kept_lock);
    return z ? z : ZSTD_createCCtx();
}

static void give_c(ZSTD_CCtx *z)
{
    pthread_mutex_lock(&kept_lock);
    if (!kept_c) {
        kept_c = z;
        z = NULL;
    }
    pthread_mutex_unlock(&kept_lock);
    ZSTD_freeCCtx(z);
}

static uint32_t checksum(struct str bytes)
{
    return (uint32_t)crc32_z(0, (const unsigned char *)bytes.p, bytes.n);
}

static struct str compress_chunk(struct str bytes, char **memory)
{
    size_t room = ZSTD_compressBound(bytes.n), n;
    ZSTD_CCtx *z;

    *memory = NULL;
    if (bytes.n < WORTH_BYTES || !(z = take_c()))
        return bytes;
    *memory = heap_resize(NULL, room, 1);
    n = ZSTD_compressCCtx(z, *memory, room, bytes.p, bytes.n, ZSTD_LEVEL);
    give_c(z);
    return ZSTD_isError(n) || n > bytes.n - bytes.n / 8 ? bytes : str_at(*memory, n);
}

bool chunk_put(struct db *d, uint64_t owner, unsigned number, struct str bytes, struct err *e)
{
    AUTO_STMT s = db_prepare(d, "INSERT INTO chunk (owner, number, size, codec, sum, bytes) "
                                "VALUES (?, ?, ?, ?, ?, ?)", e);
    char *memory;
    struct str stored;
    bool ok;

    if (!s)
        return false;
    stored = compress_chunk(bytes, &memory);
    stmt_bind_u64(s, 1, owner);
    stmt_bind_u64(s, 2, number);
    stmt_bind_u64(s, 3, bytes.n);
    stmt_bind_u64(s, 4, stored.p == bytes.p ? CODEC_PLAIN : CODEC_ZSTD);
    stmt_bind_u64(s, 5, checksum(bytes));
    stmt_bind_blob(s, 6, stored);
    ok = stmt_run(s, e);
    stmt_done(&s);
    free(memory);
    return ok;
}

// The plain bytes of a stored chunk; *memory is to be freed.
static bool unpack(struct stmt *s, uint64_t owner, struct str *out, char **memory, struct err *e)
{
    uint64_t size = stmt_u64(s, 1);
    struct str stored = stmt_str(s, 4);

    *out = stored;
    if (size > CHUNK_BYTES || stored.n > LARGEST_STORED)
        return fail(e, ERR_BUG, "message %llu: stored chunk is too large",
                    (unsigned long long)owner);
    if (stmt_u64(s, 2) == CODEC_ZSTD) {
        ZSTD_DCtx *z = take_d();
        size_t n;

        if (!z)
            return fail(e, ERR_TEMPORARY, "out of memory");
        *memory = heap_resize(NULL, size + 1, 1);
        n = ZSTD_decompressDCtx(z, *memory, size, stored.p, stored.n);
        give_d(z);
        if (ZSTD_isError(n))
            return fail(e, ERR_BUG, "message %llu: stored chunk does not decompress",
                        (unsigned long long)owner);
        *out = str_at(*memory, n);
    }
    if (out->n != size || checksum(*out) != (uint32_t)stmt_u64(s, 3))
        return fail(e, ERR_BUG, "message %llu: stored chunk %llu is damaged",
                    (unsigned long long)owner, (unsigned long long)stmt_u64(s, 0));
    return true;
}

/* Where the chunk begins that has the byte at offset. */
struct place {
    uint64_t number, at;
};

// All chunks but the first and the last are full. One past the end when there is no such chunk.
static bool find_place(struct db *d, uint64_t owner, uint64_t offset, struct place *out,
                       struct err *e)
{
    AUTO_STMT s = NULL;
    uint64_t first;

    *out = (struct place){0};
    if (!offset)
        return true;
    s = db_prepare(d, "SELECT size FROM chunk WHERE owner = ? AND number = 0", e);
    if (!s)
        return false;
    stmt_bind_u64(s, 1, owner);
    if (!stmt_step(s, e))
        return e->kind == ERR_NONE;
    first = stmt_u64(s, 0);
    if (offset >= first) {
        uint64_t further = (offset - first) / CHUNK_BYTES;

        *out = (struct place){1 + further, first + further * CHUNK_BYTES};
    }
    return true;
}

bool chunk_read(struct db *d, uint64_t owner, uint64_t offset, uint64_t n, chunk_fn *fn, void *ctx,
                struct err *e)
{
    AUTO_STMT s = db_prepare(d, "SELECT number, size, codec, sum, bytes FROM chunk "
                                "WHERE owner = ? AND number >= ? ORDER BY number", e);
    struct place place;
    uint64_t at;

    if (!s || !find_place(d, owner, offset, &place, e))
        return false;
    at = place.at;
    stmt_bind_u64(s, 1, owner);
    stmt_bind_u64(s, 2, place.number);
    while (n && stmt_step(s, e)) {
        char *memory = NULL;
        struct str bytes, part;
        bool ok = unpack(s, owner, &bytes, &memory, e);

        if (ok) {
            part = str_sub(bytes, offset > at ? (size_t)(offset - at) : 0,
                           n > SIZE_MAX ? SIZE_MAX : (size_t)n);
            at += bytes.n;
            offset += part.n;
            n -= part.n;
            ok = !part.n || fn(ctx, part);
        }
        free(memory);
        if (!ok)
            return e->kind == ERR_NONE ? fail(e, ERR_TEMPORARY, "reading was stopped") : false;
    }
    return e->kind == ERR_NONE;
}

bool chunk_drop(struct db *d, uint64_t owner, struct err *e)
{
    AUTO_STMT s = db_prepare(d, "DELETE FROM chunk WHERE owner = ?", e);

    if (!s)
        return false;
    stmt_bind_u64(s, 1, owner);
    return stmt_run(s, e);
}
