/*
 * PNG (ISO/IEC 15948): one bit for each pixel, one picture of squares.
 */
#include <zlib.h>

#include "web/autoconfig.h"

enum { BORDER = 4 };

static void put_u32(struct buf *out, uint32_t n)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_put_char(out, (char)(n >> shift & 255));
}

static void put_chunk(struct buf *out, struct str type, struct str data)
{
    uLong crc = crc32(crc32(0, (const Bytef *)type.p, (uInt)type.n), (const Bytef *)data.p, (uInt)data.n);

    put_u32(out, (uint32_t)data.n);
    buf_put(out, type);
    buf_put(out, data);
    put_u32(out, (uint32_t)crc);
}

static void put_row(struct buf *out, const unsigned char *is_black, size_t width, size_t scale)
{
    size_t pixels = (width + 2 * BORDER) * scale;
    unsigned byte = 0;

    buf_put_char(out, 0); // filter: none
    for (size_t x = 0; x < (pixels + 7) / 8 * 8; x++) {
        size_t square = x / scale;
        bool is_white = !is_black || square < BORDER || square >= width + BORDER || !is_black[square - BORDER];

        byte = byte << 1 | (is_white && x < pixels);
        if (x % 8 == 7) {
            buf_put_char(out, (char)byte);
            byte = 0;
        }
    }
}

void png_squares_put(struct buf *out, const unsigned char *is_black, size_t width, size_t scale)
{
    size_t side = (width + 2 * BORDER) * scale;
    AUTO_BUF rows = BUF_LIMIT(8 << 20);
    AUTO_BUF head = BUF_LIMIT(64);
    AUTO_BUF packed = BUF_LIMIT(9 << 20);
    uLongf n;

    for (size_t y = 0; y < side; y++) {
        size_t square = y / scale;
        bool is_border = square < BORDER || square >= width + BORDER;

        put_row(&rows, is_border ? NULL : is_black + (square - BORDER) * width, width, scale);
    }
    n = compressBound(rows.n);
    if (rows.full || compress((Bytef *)buf_room(&packed, n), &n, (const Bytef *)rows.p, rows.n) != Z_OK)
        return;
    buf_claim(&packed, n);
    put_u32(&head, (uint32_t)side);
    put_u32(&head, (uint32_t)side);
    buf_put(&head, str_at("\1\0\0\0\0", 5)); // depth 1, grey, and no choice in the rest
    BUF_PUT(out, "\x89PNG\r\n\x1a\n");
    put_chunk(out, STR("IHDR"), buf_str(&head));
    put_chunk(out, STR("IDAT"), buf_str(&packed));
    put_chunk(out, STR("IEND"), STR(""));
}
