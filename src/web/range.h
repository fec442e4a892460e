/*
 * Ranges of bytes (RFC 9110 14): which parts of a representation a request asks for, and the fields and
 * boundaries of the answer.
 */
#pragma once

#include "base/buf.h"

enum { RANGE_MAX = 16 };

struct range {
    uint64_t first, last; // inclusive, and within the representation
};

struct ranges {
    struct range items[RANGE_MAX];
    size_t n;
};

enum range_result {
    RANGE_WHOLE,           // send all of it: no range, or one that is not to be followed
    RANGE_SOME,            // 206, in the order asked for
    RANGE_NOT_SATISFIABLE, // 416: nothing of it is there
};

/*
 * Of a Range field for a representation of size bytes. More than RANGE_MAX ranges, and ranges that overlap
 * or together are no less than the whole, serve nobody but an attacker (RFC 9110 14.2, 17.15): all of it is
 * sent then, once.
 */
enum range_result range_parse(struct str value, uint64_t size, struct ranges *out);

/* "bytes 0-499/1234"; "bytes * /1234", without the space, when range is NULL. */
void range_put_content(struct buf *out, const struct range *range, uint64_t size);

/* What precedes a part in multipart/byteranges, and what ends it all; boundary has no special characters. */
void range_put_part(struct buf *out, struct str boundary, struct str type, const struct range *range,
                    uint64_t size);
void range_put_end(struct buf *out, struct str boundary);
/* How long the whole body is. */
uint64_t range_body_size(const struct ranges *ranges, struct str boundary, struct str type, uint64_t size);
