#include "text/deflate.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/arena.h"
#include "base/die.h"

/*
 * Negative: without zlib's header. A peer may refer to the last 32 KiB; for what we send 8 KiB and small
 * tables lose a few percent, and take 64 KiB instead of 260.
 */
enum { WINDOW_IN = -15, WINDOW_GZIP = 15 + 16, WINDOW_OUT = -13, MEMORY_LEVEL_OUT = 6, MEMORY_LEVEL_GZIP = 8,
       MOST_AT_ONCE = 1 << 20 };

struct inflater {
    z_stream z;
};

struct deflater {
    z_stream z;
};

static struct inflater *new_inflater(int window)
{
    struct inflater *i = heap_alloc(sizeof *i);

    if (inflateInit2(&i->z, window) != Z_OK)
        die("out of memory");
    return i;
}

struct inflater *inflater_new(void)
{
    return new_inflater(WINDOW_IN);
}

struct inflater *inflater_new_gzip(void)
{
    return new_inflater(WINDOW_GZIP);
}

void inflater_free(struct inflater *i)
{
    if (!i)
        return;
    inflateEnd(&i->z);
    free(i);
}

bool inflater_take(struct inflater *i, struct str *from, char *p, size_t n, size_t *got,
                   bool *is_end, struct err *e)
{
    size_t in = from->n < MOST_AT_ONCE ? from->n : MOST_AT_ONCE;
    size_t room = n < MOST_AT_ONCE ? n : MOST_AT_ONCE;
    int rc;

    i->z.next_in = (Bytef *)(uintptr_t)from->p;
    i->z.avail_in = (uInt)in;
    i->z.next_out = (Bytef *)p;
    i->z.avail_out = (uInt)room;
    // Also without new input: what did not fit the last time may be waiting inside.
    rc = inflate(&i->z, Z_SYNC_FLUSH);
    *from = str_from(*from, in - i->z.avail_in);
    *got = room - i->z.avail_out;
    *is_end = rc == Z_STREAM_END;
    if (rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR)
        return true;
    return fail(e, rc == Z_MEM_ERROR ? ERR_TEMPORARY : ERR_SYNTAX, "compressed data: %s",
                i->z.msg ? i->z.msg : "cannot be read");
}

static struct deflater *new_deflater(int window, int memory_level)
{
    struct deflater *d = heap_alloc(sizeof *d);

    if (deflateInit2(&d->z, Z_BEST_SPEED, Z_DEFLATED, window, memory_level, Z_DEFAULT_STRATEGY) != Z_OK)
        die("out of memory");
    return d;
}

struct deflater *deflater_new(void)
{
    return new_deflater(WINDOW_OUT, MEMORY_LEVEL_OUT);
}

struct deflater *deflater_new_gzip(void)
{
    return new_deflater(WINDOW_GZIP, MEMORY_LEVEL_GZIP);
}

void deflater_free(struct deflater *d)
{
    if (!d)
        return;
    deflateEnd(&d->z);
    free(d);
}

static void put(struct deflater *d, struct str bytes, int last_flush, struct buf *out)
{
    enum { ROOM = 16 * 1024 };

    do {
        struct str piece = str_sub(bytes, 0, MOST_AT_ONCE);

        bytes = str_from(bytes, piece.n);
        d->z.next_in = (Bytef *)(uintptr_t)piece.p;
        d->z.avail_in = (uInt)piece.n;
        do {
            char *p = buf_room(out, ROOM);

            if (!p)
                return; // out->full tells
            d->z.next_out = (Bytef *)p;
            d->z.avail_out = ROOM;
            (void)deflate(&d->z, bytes.n ? Z_NO_FLUSH : last_flush);
            buf_claim(out, ROOM - d->z.avail_out);
        } while (!d->z.avail_out);
    } while (bytes.n);
}

void deflater_put(struct deflater *d, struct str bytes, struct buf *out)
{
    put(d, bytes, Z_SYNC_FLUSH, out);
}

void deflater_put_more(struct deflater *d, struct str bytes, struct buf *out)
{
    put(d, bytes, Z_NO_FLUSH, out);
}

void deflater_end(struct deflater *d, struct buf *out)
{
    put(d, STR(""), Z_FINISH, out);
}

void gzip_put(struct buf *out, struct str bytes)
{
    enum { ROOM = 16 * 1024, WITH_GZIP_HEADER = 16 + MAX_WBITS, MEMORY_LEVEL = 8 };
    z_stream z = {0};
    int rc = Z_OK;

    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WITH_GZIP_HEADER, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        die("out of memory");
    while (rc != Z_STREAM_END) {
        char *p = buf_room(out, ROOM);

        if (!p)
            break; // out->full tells
        if (!z.avail_in) {
            struct str piece = str_sub(bytes, 0, MOST_AT_ONCE);

            bytes = str_from(bytes, piece.n);
            z.next_in = (Bytef *)(uintptr_t)piece.p;
            z.avail_in = (uInt)piece.n;
        }
        z.next_out = (Bytef *)p;
        z.avail_out = ROOM;
        rc = deflate(&z, bytes.n ? Z_NO_FLUSH : Z_FINISH);
        buf_claim(out, ROOM - z.avail_out);
    }
    deflateEnd(&z);
}
