/*
 * Message bytes in chunks. Each is checked when read: a chunk that does not fit its checksum is
 * an error with the owner's number, not silently wrong mail.
 */
#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>

#include "db/checksum.h"
#include "db/db.h"

// What sum is the checksum of: the plain bytes, but with the last the bytes as they are stored, which are
// fewer. The second is no longer written.
enum { CODEC_PLAIN = 0, CODEC_ZSTD_OF_PLAIN = 1, CODEC_ZSTD = 2 };
// Below this, or when it saves less than an eighth, compressing is not worth reading it back.
enum { ZSTD_LEVEL = 1, WORTH_BYTES = 4096, LARGEST_STORED = CHUNK_BYTES + 65536 };

/*
 * Contexts of zstd are a few hundred kilobytes to set up, as much work as a short message, and memory for
 * what comes out is faulted in anew when it was freed: those that nobody uses are kept, for all threads.
 */
struct unpacker {
    ZSTD_DCtx *z;
    char *room;
    size_t size;
};

enum { MOST_KEPT = 4 };
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static struct unpacker kept_d[MOST_KEPT];
static ZSTD_CCtx *kept_c;
static size_t n_kept_d;

// With room for n bytes; false without memory for a context.
static bool ready_unpacker(struct unpacker *u, size_t n)
{
    if (!u->z) {
        pthread_mutex_lock(&kept_lock);
        if (n_kept_d)
            *u = kept_d[--n_kept_d];
        pthread_mutex_unlock(&kept_lock);
    }
    if (!u->z && !(u->z = ZSTD_createDCtx()))
        return false;
    if (u->size < n) {
        u->room = heap_resize(u->room, n, 1);
        u->size = n;
    }
    return true;
}

static void give_unpacker(struct unpacker *u)
{
    pthread_mutex_lock(&kept_lock);
    if (u->z && n_kept_d < MOST_KEPT) {
        kept_d[n_kept_d++] = *u;
        *u = (struct unpacker){0};
    }
    pthread_mutex_unlock(&kept_lock);
    ZSTD_freeDCtx(u->z);
    free(u->room);
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
    stmt_bind_u64(s, 5, checksum(stored));
    stmt_bind_blob(s, 6, stored);
    ok = stmt_run(s, e);
    stmt_done(&s);
    free(memory);
    return ok;
}

static bool is_sum_right(struct stmt *s, struct str bytes)
{
    return checksum(bytes) == (uint32_t)stmt_u64(s, 3);
}

// The plain bytes of a stored chunk, which may be in the unpacker's room.
static bool unpack(struct stmt *s, uint64_t owner, struct unpacker *u, struct str *out, struct err *e)
{
    uint64_t size = stmt_u64(s, 1), codec = stmt_u64(s, 2);
    struct str stored = stmt_str(s, 4);
    bool is_sound;

    *out = stored;
    if (size > CHUNK_BYTES || stored.n > LARGEST_STORED)
        return fail(e, ERR_BUG, "message %llu: stored chunk is too large",
                    (unsigned long long)owner);
    is_sound = codec == CODEC_ZSTD_OF_PLAIN || is_sum_right(s, stored);
    if (is_sound && codec != CODEC_PLAIN) {
        size_t n;

        if (!ready_unpacker(u, (size_t)size + 1))
            return fail(e, ERR_TEMPORARY, "out of memory");
        n = ZSTD_decompressDCtx(u->z, u->room, (size_t)size, stored.p, stored.n);
        if (ZSTD_isError(n))
            return fail(e, ERR_BUG, "message %llu: stored chunk does not decompress",
                        (unsigned long long)owner);
        *out = str_at(u->room, n);
    }
    if (codec == CODEC_ZSTD_OF_PLAIN)
        is_sound = is_sum_right(s, *out);
    if (!is_sound || out->n != size)
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
    struct unpacker unpacker = {0};
    struct place place;
    uint64_t at;
    bool ok = true;

    if (!s || !find_place(d, owner, offset, &place, e))
        return false;
    at = place.at;
    stmt_bind_u64(s, 1, owner);
    stmt_bind_u64(s, 2, place.number);
    while (ok && n && stmt_step(s, e)) {
        struct str bytes, part;

        ok = unpack(s, owner, &unpacker, &bytes, e);
        if (ok) {
            part = str_sub(bytes, offset > at ? (size_t)(offset - at) : 0,
                           n > SIZE_MAX ? SIZE_MAX : (size_t)n);
            at += bytes.n;
            offset += part.n;
            n -= part.n;
            ok = !part.n || fn(ctx, part);
        }
    }
    give_unpacker(&unpacker);
    if (!ok && e->kind == ERR_NONE)
        return fail(e, ERR_TEMPORARY, "reading was stopped");
    return e->kind == ERR_NONE;
}

bool chunk_drop(struct db *d, uint64_t owner, struct err *e)
{
    return DB_RUN(d, "DELETE FROM chunk WHERE owner = ?", e, owner);
}
