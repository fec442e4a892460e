/*
 * Where reports go: the URIs of rua and ruf tags (RFC 7489 6.2, RFC 8460 3).
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

enum { REPORT_MAX_URIS = 20 }; // of one tag; the rest is left out

struct report_uri {
    struct str text;   // as in the record, without the size
    uint64_t max_size; // octets of a whole report message; 0: any (RFC 7489 6.2, "!10m")
};
struct report_uris {
    struct report_uri *items;
    size_t n, cap;
};

/*
 * A list with commas. What is no URI with a scheme and something behind it is left out (RFC 7489
 * 6.3); a size is looked for only where they may have one.
 */
void report_uris_parse(struct arena *a, struct str text, bool has_sizes, struct report_uris *out);
void report_uris_put(struct buf *out, const struct report_uris *uris);

/* The mail address of a mailto URI, its domain as A-labels; false for other schemes. */
MUST_USE bool report_uri_mailto(struct arena *a, const struct report_uri *uri,
                                struct str *localpart, struct str *domain);
