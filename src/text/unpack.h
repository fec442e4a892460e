/*
 * One file that comes as it is, in gzip (RFC 1952) or in a zip archive: unpacked piece by piece with
 * bounded memory. Which it is, its first bytes tell.
 *
 * A zip archive is read from its front, like a stream: its one file must be stored with its size, or
 * deflated; encrypted or other files, and a second one, are refused. What is in an unpacked file is
 * not unpacked.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* Takes a piece of the unpacked file, at most UNPACK_PIECE bytes. */
typedef bool unpack_sink_fn(void *ctx, struct str piece, struct err *e);
enum { UNPACK_PIECE = 16 * 1024 };

struct unpacker;
/* ERR_LIMIT as soon as more than max_size bytes come out. */
struct unpacker *unpacker_new(uint64_t max_size, unpack_sink_fn *sink, void *ctx);
void unpacker_free(struct unpacker *u);
/* ERR_SYNTAX when it cannot be unpacked; errors of the sink come through. After one, only free. */
MUST_USE bool unpacker_feed(struct unpacker *u, struct str bytes, struct err *e);
/* ERR_SYNTAX unless the file was whole. */
MUST_USE bool unpacker_end(struct unpacker *u, struct err *e);
