#include "text/unpack.h"

#include <string.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/test.h"

static bool to_buf(void *ctx, struct str piece, struct err *e)
{
    (void)e;
    CHECK(piece.n && piece.n <= UNPACK_PIECE);
    buf_put(ctx, piece);
    return true;
}

/* Unpacks in pieces of step bytes. */
static bool unpack(struct str packed, size_t step, uint64_t max, struct buf *out, struct err *e)
{
    struct unpacker *u = unpacker_new(max, to_buf, out);
    bool is_ok = true;

    buf_reset(out);
    for (size_t at = 0; is_ok && at < packed.n; at += step) {
        AUTO_EXACT piece = exact_copy(str_sub(packed, at, step));

        is_ok = unpacker_feed(u, piece.str, e);
    }
    is_ok = is_ok && unpacker_end(u, e);
    unpacker_free(u);
    return is_ok;
}

static void deflate_to(struct buf *out, struct str bytes, int window)
{
    z_stream z = {0};

    CHECK(deflateInit2(&z, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (Bytef *)(uintptr_t)bytes.p;
    z.avail_in = (uInt)bytes.n;
    do {
        z.next_out = (Bytef *)buf_room(out, 4096);
        z.avail_out = 4096;
        (void)deflate(&z, Z_FINISH);
        buf_claim(out, 4096 - z.avail_out);
    } while (!z.avail_out);
    deflateEnd(&z);
}

static void put_le(struct buf *out, uint64_t v, int n)
{
    for (; n--; v >>= 8)
        buf_put_char(out, (char)(v & 255));
}

enum { ENCRYPTED = 1, DESCRIPTOR = 8, STORED = 0, DEFLATED = 8, NO_SIGNATURE = 1, WIDE = 2 };

/* A local file; form is of its descriptor. */
static void put_zip_file(struct buf *out, struct str bytes, unsigned flags, unsigned method,
                         int form)
{
    AUTO_BUF packed = BUF_LIMIT(64 << 20);
    uint32_t crc = (uint32_t)crc32(0, (const Bytef *)bytes.p, (uInt)bytes.n);
    bool is_late = flags & DESCRIPTOR;

    if (method == DEFLATED)
        deflate_to(&packed, bytes, -15);
    else
        buf_put(&packed, bytes);
    BUF_PUT(out, "PK\3\4");
    put_le(out, 20, 2);
    put_le(out, flags, 2);
    put_le(out, method, 2);
    put_le(out, 0, 4); // date
    put_le(out, is_late ? 0 : crc, 4);
    put_le(out, is_late ? 0 : packed.n, 4);
    put_le(out, is_late ? 0 : bytes.n, 4);
    put_le(out, 5, 2);
    put_le(out, 3, 2);
    BUF_PUT(out, "a.xmlxxx");
    buf_put(out, buf_str(&packed));
    if (!is_late)
        return;
    if (!(form & NO_SIGNATURE))
        BUF_PUT(out, "PK\7\x08");
    put_le(out, crc, 4);
    put_le(out, packed.n, form & WIDE ? 8 : 4);
    put_le(out, bytes.n, form & WIDE ? 8 : 4);
}

static void put_zip_directory(struct buf *out)
{
    BUF_PUT(out, "PK\1\2");
    for (int i = 0; i < 42 + 22; i++)
        buf_put_char(out, 0);
}

TEST(unpack_what_is_well)
{
    static const struct str text = STR_("<feedback>hello hello hello</feedback>");
    AUTO_BUF packed = BUF_LIMIT(1 << 20), out = BUF_LIMIT(1 << 20);
    struct err e = {0};
    int n_forms = 0;

    for (int form = 0; form < 9; form++) {
        buf_reset(&packed);
        if (form == 0)
            buf_put(&packed, text);
        else if (form == 1)
            deflate_to(&packed, text, 15 + 16);
        else if (form == 2) { // two members and padding
            deflate_to(&packed, str_sub(text, 0, 10), 15 + 16);
            deflate_to(&packed, str_from(text, 10), 15 + 16);
            BUF_PUT(&packed, "\0\0\0");
        } else {
            static const struct {
                unsigned flags, method;
                int form;
            } zips[] = {{0, STORED, 0}, {0, DEFLATED, 0}, {DESCRIPTOR, DEFLATED, 0},
                        {DESCRIPTOR, DEFLATED, NO_SIGNATURE}, {DESCRIPTOR, DEFLATED, WIDE},
                        {DESCRIPTOR, DEFLATED, WIDE | NO_SIGNATURE}};

            put_zip_file(&packed, text, zips[form - 3].flags, zips[form - 3].method,
                         zips[form - 3].form);
            put_zip_directory(&packed);
        }
        for (size_t step = 1; step <= packed.n; step++) {
            CHECK_CASE(unpack(buf_str(&packed), step, text.n, &out, &e), (size_t)form);
            CHECK_STR(buf_str(&out), text);
        }
        CHECK_CASE(!unpack(buf_str(&packed), 7, text.n - 1, &out, &e) && e.kind == ERR_LIMIT,
                   (size_t)form);
        for (size_t n = 0; form && n < packed.n; n++) { // cut anywhere
            bool is_ok = unpack(str_sub(buf_str(&packed), 0, n), 9, text.n, &out, &e);

            CHECK_CASE(is_ok ? out.n <= text.n : e.kind == ERR_SYNTAX, n);
        }
        n_forms++;
    }
    CHECK(n_forms == 9);
}

TEST(unpack_refuses)
{
    enum { TWO, ENCRYPTED_ONE, METHOD, LATE_STORED, CHECKSUM, NO_DIRECTORY, GZIP_CHECKSUM, SPAN, N };
    static const struct str text = STR_("<feedback>hello hello hello</feedback>");

    for (int what = 0; what < N; what++) {
        AUTO_BUF packed = BUF_LIMIT(1 << 20), out = BUF_LIMIT(1 << 20);
        struct err e = {0};

        put_zip_file(&packed, text, what == ENCRYPTED_ONE ? ENCRYPTED : what == LATE_STORED ? DESCRIPTOR : 0,
                     what == METHOD ? 12 : what == TWO ? DEFLATED : STORED, 0);
        if (what == TWO)
            put_zip_file(&packed, text, 0, STORED, 0);
        if (what == CHECKSUM)
            packed.p[14] ^= 1;
        if (what == SPAN)
            memset(packed.p + 18, 0xff, 8);
        if (what == NO_DIRECTORY)
            BUF_PUT(&packed, "something else, which is long enough");
        else
            put_zip_directory(&packed);
        if (what == GZIP_CHECKSUM) {
            buf_reset(&packed);
            deflate_to(&packed, text, 15 + 16);
            packed.p[packed.n - 5] ^= 1;
        }
        CHECK_CASE(!unpack(buf_str(&packed), 5, 1000, &out, &e) && e.kind == ERR_SYNTAX, (size_t)what);
    }
}

// A bomb ends at the limit, and nothing near its size is ever in memory.
static bool count(void *ctx, struct str piece, struct err *e)
{
    (void)e;
    *(uint64_t *)ctx += piece.n;
    return true;
}

TEST(unpack_bombs)
{
    enum { LIMIT = 20 << 20 };
    AUTO_BUF zeros = BUF_LIMIT(64 << 20), packed = BUF_LIMIT(1 << 20);
    struct err e = {0};

    memset(buf_room(&zeros, 60 << 20), 0, 60 << 20);
    buf_claim(&zeros, 60 << 20);
    for (int form = 0; form < 2; form++) {
        uint64_t got = 0;
        struct unpacker *u = unpacker_new(LIMIT, count, &got);

        buf_reset(&packed);
        if (form)
            deflate_to(&packed, buf_str(&zeros), 15 + 16);
        else
            put_zip_file(&packed, buf_str(&zeros), 0, DEFLATED, 0);
        CHECK(packed.n < 100000);
        CHECK(!unpacker_feed(u, buf_str(&packed), &e) && e.kind == ERR_LIMIT);
        CHECK(got <= LIMIT && got > LIMIT - UNPACK_PIECE);
        unpacker_free(u);
    }
    // Very many members with nothing in them.
    buf_reset(&packed);
    for (int i = 0; i < 2000; i++)
        deflate_to(&packed, STR(""), 15 + 16);
    AUTO_BUF out = BUF_LIMIT(1000);
    CHECK(!unpack(buf_str(&packed), 1000, 1000, &out, &e) && e.kind == ERR_LIMIT);
}
