/*
 * The report in a message: which part has it, decoded and unpacked piece by piece.
 */
#pragma once

#include "message/mime.h"
#include "text/unpack.h"

enum {
    REPORT_MAX_MESSAGE = 15 << 20, // bytes of a message
    REPORT_MAX_SIZE = 20 << 20,    // of a report when it is unpacked
};

enum report_kind { REPORT_DMARC, REPORT_TLS };

/*
 * Feeds the first report of that kind. ERR_NOT_FOUND when the message has none; ERR_LIMIT when it or
 * the message is too large, ERR_SYNTAX when it cannot be unpacked.
 *
 * For DMARC: zip, gzip or XML by type or, when the type says nothing, by the first bytes. For TLS:
 * the types of RFC 8460 6; a multipart/report must be one of TLS (RFC 8460 5.3).
 */
MUST_USE bool report_unpack(struct str message, const struct part *root, enum report_kind kind,
                            unpack_sink_fn *sink, void *ctx, struct err *e);
