/*
 * Conditional requests (RFC 9110 13): whether what the client has is still good.
 */
#pragma once

#include "base/buf.h"

enum { ETAG_MAX = 64 };

/* The fields of a request; p is NULL where there is none. Several of one name are joined by commas. */
struct conditions {
    struct str if_match, if_none_match, if_modified_since, if_unmodified_since, if_range;
};

/* What there is now. */
struct validators {
    struct str etag;         // with its quotes; strong
    int64_t modified;        // unix seconds; < 0: not known
};

/* A strong entity tag of a file, from its size and the time of its last change. */
void etag_put(struct buf *out, uint64_t size, int64_t modified_seconds, uint32_t modified_ns);

enum condition_result {
    CONDITION_SEND,
    CONDITION_NOT_MODIFIED, // 304
    CONDITION_FAILED,       // 412
};
/* In the order of RFC 9110 13.2.2, for GET and HEAD. */
enum condition_result condition_check(const struct conditions *c, const struct validators *v);

/*
 * Whether a Range field counts: there is no If-Range, or what it names is what there is now (RFC 9110
 * 13.1.5). A date only when the file had not just been changed: it may have changed again in that second.
 */
bool condition_range_counts(const struct conditions *c, const struct validators *v, int64_t now);
