#include "role/web/http2_flood.h"

#include <nghttp2/nghttp2.h>

#include "base/test.h"
#include "os/clock.h"
#include "proto/http/http.h"

enum { NOW = 1000000, MINUTE = 60 * 1000 };

static struct http2_flood fresh(void)
{
    struct http2_flood f;

    os_clock_set_for_test(NOW);
    http2_flood_begin(&f);
    return f;
}

// How many of such frames may come; `most`: at least as many.
static unsigned count_frames(struct http2_flood *f, uint8_t type, uint8_t flags, size_t length, unsigned most)
{
    unsigned n = 0;

    while (n < most && !http2_flood_frame(f, type, flags, length))
        n++;
    return n;
}

TEST(http2_flood_frames_that_ask_for_nothing)
{
    static const uint8_t types[] = {NGHTTP2_PING, NGHTTP2_SETTINGS, NGHTTP2_PRIORITY, NGHTTP2_GOAWAY, NGHTTP2_PUSH_PROMISE, 0x2a};
    struct http2_flood f;

    for (size_t i = 0; i < COUNT(types); i++) {
        f = fresh();
        CHECK_CASE(count_frames(&f, types[i], 0, 8, 1000) == 500, types[i]);
    }
    f = fresh();
    CHECK(count_frames(&f, NGHTTP2_DATA, 0, 0, 1000) == 500);
    CHECK(http2_flood_frame(&f, NGHTTP2_PING, 0, 8)); // they are counted together
    CHECK(count_frames(&f, NGHTTP2_DATA, 0, 1, 2000) == 2000);
    CHECK(count_frames(&f, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 0, 2000) == 2000);
    CHECK(count_frames(&f, NGHTTP2_HEADERS, 0, 10, 2000) == 2000);
    os_clock_set_for_test(-1);
}

// As many as fit, of 4 bytes each, in pieces of a size.
TEST(http2_flood_frames_in_bytes)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frame[] = "\0\0\4\x2a\0\0\0\0\1abcd";
    AUTO_BUF all = BUF_LIMIT(64 * 1024);

    buf_put(&all, str_at(preface, sizeof preface - 1));
    for (unsigned i = 0; i < 501; i++)
        buf_put(&all, str_at(frame, sizeof frame - 1));
    for (size_t size = 1; size < 40; size++) {
        struct http2_flood f = fresh();
        struct http2_frames at = HTTP2_FRAMES;
        struct str rest = buf_str(&all);
        const char *why = NULL;

        // The last one is counted with the last byte of its head.
        while (rest.n > 4 && !why) {
            AUTO_EXACT piece = exact_copy(str_sub(rest, 0, size < rest.n - 4 ? size : rest.n - 4));

            why = http2_flood_take(&f, &at, piece.str);
            rest = str_from(rest, piece.str.n);
        }
        CHECK_CASE(why && rest.n == 4, size);
        CHECK_CASE(!http2_flood_take(&f, &at, rest) && !at.skip && !at.n, size);
    }
    os_clock_set_for_test(-1);
}

TEST(http2_flood_frames_of_padding)
{
    struct http2_flood f = fresh();

    for (unsigned i = 0; i < 500; i++)
        CHECK_CASE(!http2_flood_data(&f, 0, 10, 10), i);
    CHECK(http2_flood_data(&f, 0, 10, 10));
    CHECK(!http2_flood_data(&f, 0, 10, 9) && !http2_flood_data(&f, NGHTTP2_FLAG_END_STREAM, 10, 10));
    CHECK(!http2_flood_data(&f, 0, 0, 0)); // http2_flood_frame has counted it
    os_clock_set_for_test(-1);
}

// CVE-2023-44487, CVE-2025-8671.
TEST(http2_flood_resets_of_either_side)
{
    static const uint32_t made[] = {NGHTTP2_PROTOCOL_ERROR, NGHTTP2_FLOW_CONTROL_ERROR, NGHTTP2_STREAM_CLOSED,
                                    NGHTTP2_FRAME_SIZE_ERROR, NGHTTP2_REFUSED_STREAM};
    struct http2_flood f = fresh();

    for (unsigned i = 0; i < 1000; i++) // of our own accord
        CHECK_CASE(!http2_flood_reset(&f, NGHTTP2_NO_ERROR) && !http2_flood_reset(&f, NGHTTP2_INTERNAL_ERROR), i);
    CHECK(count_frames(&f, NGHTTP2_RST_STREAM, 0, 4, 100) == 100);
    for (unsigned i = 0; i < 100; i++)
        CHECK_CASE(!http2_flood_reset(&f, made[i % COUNT(made)]), i);
    for (size_t i = 0; i < COUNT(made); i++)
        CHECK_CASE(http2_flood_reset(&f, made[i]), made[i]);
    CHECK(http2_flood_frame(&f, NGHTTP2_RST_STREAM, 0, 4));
    os_clock_set_for_test(-1);
}

TEST(http2_flood_windows_follow_what_is_sent)
{
    struct http2_flood f = fresh();

    CHECK(count_frames(&f, NGHTTP2_WINDOW_UPDATE, 0, 4, 5000) == 500);
    f = fresh();
    for (unsigned i = 0; i < 250; i++)
        http2_flood_sent(&f);
    CHECK(count_frames(&f, NGHTTP2_WINDOW_UPDATE, 0, 4, 5000) == 1500);
    os_clock_set_for_test(-1);
}

TEST(http2_flood_is_one_of_a_minute)
{
    struct http2_flood f = fresh();

    for (unsigned i = 0; i < 10; i++) {
        CHECK_CASE(count_frames(&f, NGHTTP2_PING, 0, 8, 500) == 500, i);
        os_sleep_ms(MINUTE + 1);
    }
    CHECK(count_frames(&f, NGHTTP2_PING, 0, 8, 1000) == 500);
    os_sleep_ms(MINUTE);
    CHECK(http2_flood_frame(&f, NGHTTP2_PING, 0, 8));
    os_clock_set_for_test(-1);
}

TEST(http2_flood_of_fields)
{
    CHECK(!http2_flood_header(16 * HTTP_MAX_HEAD) && http2_flood_header(16 * HTTP_MAX_HEAD + 1));
}
