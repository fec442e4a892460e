#include "text/unpack.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/arena.h"
#include "text/deflate.h"

enum {
    MAGIC = 4,       // bytes that tell what it is
    ZIP_HEADER = 30, // of a local file, without its name (APPNOTE 4.3.7)
    ZIP_TAIL = 28,   // the longest data descriptor (4.3.9), and the signature after it
    GZIP_MAGIC = 2,
    MAX_MEMBERS = 1000, // of gzip; an empty one costs more than its 20 bytes
};

struct unpacker {
    unpack_sink_fn *sink;
    void *ctx;
    uint64_t left; // bytes that may still come out
    enum { START, PLAIN, GZIP, GZIP_NEXT, HEADER, NAME, STORED, DEFLATED, TAIL, DONE } state;
    char held[ZIP_HEADER]; // what is collected for START, HEADER and TAIL
    size_t n_held;
    struct inflater *inflater;
    size_t n_members;
    uint64_t skip;         // NAME, STORED: bytes left
    uint32_t size;         // of a stored file
    bool is_deflated, has_descriptor;
    uint32_t crc, want_crc;
};

struct unpacker *unpacker_new(uint64_t max_size, unpack_sink_fn *sink, void *ctx)
{
    struct unpacker *u = heap_alloc(sizeof *u);

    u->sink = sink;
    u->ctx = ctx;
    u->left = max_size;
    return u;
}

void unpacker_free(struct unpacker *u)
{
    if (!u)
        return;
    inflater_free(u->inflater);
    free(u);
}

static bool put(struct unpacker *u, struct str bytes, struct err *e)
{
    while (bytes.n) {
        struct str piece = str_sub(bytes, 0, UNPACK_PIECE);

        if (piece.n > u->left)
            return fail(e, ERR_LIMIT, "unpacked, it is larger than is allowed");
        u->left -= piece.n;
        u->crc = (uint32_t)crc32(u->crc, (const Bytef *)piece.p, (uInt)piece.n);
        if (!u->sink(u->ctx, piece, e))
            return false;
        bytes = str_from(bytes, piece.n);
    }
    return true;
}

/* Inflates what it can of *bytes. */
static bool inflate_some(struct unpacker *u, struct str *bytes, bool *is_end, struct err *e)
{
    char piece[UNPACK_PIECE / 4];
    size_t got = sizeof piece, before = 0;

    *is_end = false;
    while (!*is_end && (got || bytes->n != before)) {
        before = bytes->n;
        if (!inflater_take(u->inflater, bytes, piece, sizeof piece, &got, is_end, e) ||
            !put(u, str_at(piece, got), e))
            return false;
    }
    return true;
}

/* Moves bytes to what is held until there are n; false: more are needed. */
static bool collect(struct unpacker *u, struct str *bytes, size_t n)
{
    struct str more = str_sub(*bytes, 0, n - u->n_held);

    if (more.n)
        memcpy(u->held + u->n_held, more.p, more.n);
    u->n_held += more.n;
    *bytes = str_from(*bytes, more.n);
    return u->n_held == n;
}

static uint32_t le(const char *p, size_t n)
{
    uint32_t v = 0;

    while (n--)
        v = v << 8 | (unsigned char)p[n];
    return v;
}

static bool is_at(const struct unpacker *u, size_t at, struct str magic)
{
    return at + magic.n <= u->n_held && str_eq(str_at(u->held + at, magic.n), magic);
}

static const struct str gzip_magic = STR_("\x1f\x8b"), zip_file = STR_("PK\3\4"),
                        zip_directory = STR_("PK\1\2"), zip_descriptor = STR_("PK\7\x08");

static bool begin_gzip(struct unpacker *u, struct err *e)
{
    if (++u->n_members > MAX_MEMBERS)
        return fail(e, ERR_LIMIT, "more than %d members of gzip", MAX_MEMBERS);
    inflater_free(u->inflater);
    u->inflater = inflater_new_gzip();
    u->state = GZIP;
    return unpacker_feed(u, gzip_magic, e);
}

/* What was held is given back: to the inflater that begins, or as it is. */
static bool begin(struct unpacker *u, struct err *e)
{
    struct str held = str_at(u->held, u->n_held);

    if (is_at(u, 0, zip_file)) {
        u->state = HEADER; // which goes on collecting
        return true;
    }
    u->n_held = 0;
    if (!str_starts(held, gzip_magic)) {
        u->state = PLAIN;
        return put(u, held, e);
    }
    return begin_gzip(u, e) && unpacker_feed(u, str_from(held, gzip_magic.n), e);
}

static bool read_zip_header(struct unpacker *u, struct err *e)
{
    enum { ENCRYPTED = 1, DESCRIPTOR = 8 };
    uint32_t flags = le(u->held + 6, 2), method = le(u->held + 8, 2);
    uint32_t packed = le(u->held + 18, 4), size = le(u->held + 22, 4);

    u->want_crc = le(u->held + 14, 4);
    u->skip = le(u->held + 26, 2) + le(u->held + 28, 2);
    u->has_descriptor = flags & DESCRIPTOR;
    u->is_deflated = method == 8;
    if (flags & ENCRYPTED)
        return fail(e, ERR_SYNTAX, "the zip archive is encrypted");
    if (method != 0 && method != 8)
        return fail(e, ERR_SYNTAX, "compression %u of the zip archive is not known", method);
    if (!u->is_deflated && (u->has_descriptor || packed != size || size == UINT32_MAX))
        return fail(e, ERR_SYNTAX, "the zip archive does not say how long its file is");
    u->size = size;
    u->n_held = 0;
    u->state = NAME;
    return true;
}

static void after_name(struct unpacker *u)
{
    u->skip = u->size;
    u->state = STORED;
    if (u->is_deflated) {
        u->inflater = inflater_new();
        u->state = DEFLATED;
    }
}

/*
 * Behind the file: maybe a descriptor, in one of the four forms that are in use, and then the
 * directory.
 */
static bool read_tail(struct unpacker *u, struct err *e)
{
    size_t at = 0, length = 0;

    if (u->has_descriptor) {
        static const size_t lengths[] = {12, 16, 20, 24}; // sizes of 32 or 64 bits, with a signature or not

        for (size_t i = 0; i < COUNT(lengths); i++)
            if (is_at(u, lengths[i], zip_directory) || is_at(u, lengths[i], zip_file))
                length = lengths[i];
        at = is_at(u, 0, zip_descriptor) && (length == 16 || length == 24) ? 4 : 0;
        if (length)
            u->want_crc = le(u->held + at, 4);
    }
    if (is_at(u, length, zip_file))
        return fail(e, ERR_SYNTAX, "more than one file in the zip archive");
    if (!is_at(u, length, zip_directory) || (u->has_descriptor && !length))
        return fail(e, ERR_SYNTAX, "the zip archive has no directory");
    if (u->crc != u->want_crc)
        return fail(e, ERR_SYNTAX, "the checksum of the zip archive is wrong");
    u->state = DONE;
    return true;
}

static bool step(struct unpacker *u, struct str *bytes, struct err *e)
{
    struct str piece;
    bool is_end;

    switch (u->state) {
    case START:
        return !collect(u, bytes, MAGIC) || begin(u, e);
    case PLAIN:
        piece = *bytes;
        *bytes = STR("");
        return put(u, piece, e);
    case GZIP:
        if (!inflate_some(u, bytes, &is_end, e))
            return false;
        if (is_end)
            u->state = GZIP_NEXT;
        return true;
    case GZIP_NEXT: // another member (RFC 1952 2.2); other bytes are padding
        if (!collect(u, bytes, GZIP_MAGIC))
            return true;
        u->n_held = 0;
        if (!str_eq(str_at(u->held, GZIP_MAGIC), gzip_magic)) {
            u->state = DONE;
            return true;
        }
        return begin_gzip(u, e);
    case HEADER:
        return !collect(u, bytes, ZIP_HEADER) || read_zip_header(u, e);
    case NAME:
    case STORED:
        piece = str_sub(*bytes, 0, u->skip < bytes->n ? (size_t)u->skip : bytes->n);
        *bytes = str_from(*bytes, piece.n);
        u->skip -= piece.n;
        if (u->state == STORED && !put(u, piece, e))
            return false;
        if (!u->skip && u->state == STORED)
            u->state = TAIL;
        else if (!u->skip)
            after_name(u);
        return true;
    case DEFLATED:
        if (!inflate_some(u, bytes, &is_end, e))
            return false;
        if (is_end) {
            u->state = TAIL;
            u->n_held = 0;
        }
        return true;
    case TAIL: // a directory entry alone has 46 bytes, so that these will come
        return !collect(u, bytes, ZIP_TAIL) || read_tail(u, e);
    case DONE:
        *bytes = STR("");
        return true;
    }
    return fail(e, ERR_BUG, "an unpacker in no state");
}

bool unpacker_feed(struct unpacker *u, struct str bytes, struct err *e)
{
    while (bytes.n)
        if (!step(u, &bytes, e))
            return false;
    return true;
}

bool unpacker_end(struct unpacker *u, struct err *e)
{
    if (u->state == START && !begin(u, e)) // shorter than any magic
        return false;
    if (u->state == PLAIN || u->state == DONE || u->state == GZIP_NEXT)
        return true;
    return fail(e, ERR_SYNTAX, "the packed file is cut off");
}
