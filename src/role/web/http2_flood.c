#include "role/web/http2_flood.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

#include "os/clock.h"
#include "proto/http/http.h"

enum {
    WINDOW_MS = 60 * 1000, // in which all is counted
    MAX_RESETS = 200,      // streams that the client takes back, or has us reset
    MAX_IDLE_FRAMES = 500, // that ask for work and give none: PING, SETTINGS, PRIORITY
    UPDATES_PER_DATA = 4,  // WINDOW_UPDATE, beyond MAX_IDLE_FRAMES: of stream and connection, and some more
    MAX_HEADER = 16 * HTTP_MAX_HEAD, // of one request; more ends the connection
};

void http2_flood_begin(struct http2_flood *f)
{
    *f = (struct http2_flood){.window_ms = os_monotonic_ms()};
}

static const char *count(struct http2_flood *f, unsigned *n, unsigned max, const char *why)
{
    if (os_monotonic_ms() - f->window_ms > WINDOW_MS)
        http2_flood_begin(f);
    return ++*n > max ? why : NULL;
}

const char *http2_flood_frame(struct http2_flood *f, uint8_t type, uint8_t flags, size_t length)
{
    switch (type) {
    case NGHTTP2_RST_STREAM: // CVE-2023-44487
        return count(f, &f->n_resets, MAX_RESETS, "the client takes its requests back");
    case NGHTTP2_DATA:
        return length || flags & NGHTTP2_FLAG_END_STREAM
                   ? NULL
                   : count(f, &f->n_idle_frames, MAX_IDLE_FRAMES, "empty frames");
    case NGHTTP2_WINDOW_UPDATE:
        return count(f, &f->n_updates, MAX_IDLE_FRAMES + UPDATES_PER_DATA * f->n_sent, "windows that nothing was sent into");
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION:
        return NULL;
    default:
        return count(f, &f->n_idle_frames, MAX_IDLE_FRAMES, "frames that ask for nothing");
    }
}

const char *http2_flood_take(struct http2_flood *f, struct http2_frames *at, struct str bytes)
{
    const char *why = NULL;

    while (bytes.n) {
        size_t n = at->skip < bytes.n ? at->skip : bytes.n;
        const unsigned char *h = at->head;
        size_t length;

        bytes = str_from(bytes, n);
        at->skip -= n;
        while (!at->skip && bytes.n && at->n < sizeof at->head) {
            at->head[at->n++] = (unsigned char)bytes.p[0];
            bytes = str_from(bytes, 1);
        }
        if (at->n < sizeof at->head)
            continue;
        // RFC 9113 4.1: length, type, flags, and the stream, which does not matter.
        length = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
        at->n = 0;
        at->skip = length;
        if (!why)
            why = http2_flood_frame(f, h[3], h[4], length);
    }
    return why;
}

const char *http2_flood_data(struct http2_flood *f, uint8_t flags, size_t length, size_t padding)
{
    return !length || length != padding || flags & NGHTTP2_FLAG_END_STREAM
               ? NULL
               : count(f, &f->n_idle_frames, MAX_IDLE_FRAMES, "frames of padding");
}

const char *http2_flood_header(size_t bytes)
{
    return bytes > MAX_HEADER ? "a header without end" : NULL;
}

// CVE-2025-8671: the client does something wrong on a stream, so that it is us who reset it.
static bool is_made_to_reset(uint32_t code)
{
    return code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_FLOW_CONTROL_ERROR || code == NGHTTP2_STREAM_CLOSED ||
           code == NGHTTP2_FRAME_SIZE_ERROR || code == NGHTTP2_REFUSED_STREAM;
}

const char *http2_flood_reset(struct http2_flood *f, uint32_t code)
{
    return is_made_to_reset(code) ? count(f, &f->n_resets, MAX_RESETS, "the client has its requests reset") : NULL;
}

void http2_flood_sent(struct http2_flood *f)
{
    f->n_sent++;
}
