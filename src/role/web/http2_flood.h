/*
 * What a client of HTTP/2 asks for and gives nothing for, counted for its connection: there are frames that cost a client
 * next to nothing and us some work, and as many of them as it likes. Limits are far from what programs that have a use for
 * this server need. It knows no session and sends nothing: each function says why the connection is to end, or NULL.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct http2_flood {
    int64_t window_ms; // when the counts began
    unsigned n_resets, n_idle_frames, n_updates;
    unsigned n_sent; // frames of DATA
};

void http2_flood_begin(struct http2_flood *f);
/* A frame comes, also one that is then passed over; type, flags and length are of its head. */
const char *http2_flood_frame(struct http2_flood *f, uint8_t type, uint8_t flags, size_t length);
/*
 * What the client sends, as it comes: each frame in it is counted. Not by the session, which does not tell of those that it
 * passes over, such as frames of unknown types.
 */
struct http2_frames {
    size_t skip; // bytes until the next frame begins: at first the client's preface
    unsigned char head[9];
    size_t n; // of it that are there
};
#define HTTP2_FRAMES {.skip = 24} // RFC 9113 3.4
const char *http2_flood_take(struct http2_flood *f, struct http2_frames *at, struct str bytes);
/* A frame of DATA came that is complete. */
const char *http2_flood_data(struct http2_flood *f, uint8_t flags, size_t length, size_t padding);
/* So long are the fields of one request by now. */
const char *http2_flood_header(size_t bytes);
/* We have reset a stream, with that code. */
const char *http2_flood_reset(struct http2_flood *f, uint32_t code);
/* We send a frame of DATA. */
void http2_flood_sent(struct http2_flood *f);
