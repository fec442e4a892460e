/*
 * Messages with a report of ours (mox-smtp-delivery.md 5.4, 5.7, 6.3).
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "policy/report_mail.h"

struct report_message {
    enum report_kind kind;
    struct str domain;    // that the report is about
    struct str submitter; // our host name
    struct str from;      // address
    const struct str *to; // addresses
    size_t n_to;
    struct str report_id;
    int64_t begin, end, now_unix;
    struct str random;     // letters and digits nobody guesses, for boundary and Message-Id
    struct str attachment; // packed
};
/*
 * The message with its header, lines ended by CR LF. ERR_SYNTAX when a text cannot be in a header,
 * ERR_LIMIT when it would be too long for out.
 */
MUST_USE bool report_compose(struct buf *out, const struct report_message *m, struct err *e);
/* RFC 7489 7.2.2: instead of a report that is too large for uri. */
MUST_USE bool report_compose_error(struct buf *out, const struct report_message *m, uint64_t size,
                                   struct str uri, struct err *e);
/* "host!domain!begin!end.xml.gz" (RFC 7489 7.2.1.1, RFC 8460 5.1). */
struct str report_file_name(struct arena *a, const struct report_message *m);
