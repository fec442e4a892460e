/*
 * Raw DEFLATE (RFC 1951) as two endless streams, for IMAP's COMPRESS (RFC 4978). What comes out of a
 * few bytes may be a thousand times as many: it is handed out in pieces of the size that is asked for.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct inflater; // some 40 KiB
struct inflater *inflater_new(void);
/* For a member of gzip (RFC 1952), with its header and checksum. */
struct inflater *inflater_new_gzip(void);
void inflater_free(struct inflater *i);
/*
 * Takes from *from as much as fills at most n bytes at p; *got of them are there. *is_end: the peer
 * has ended its stream. Fails when the bytes are not DEFLATE.
 */
MUST_USE bool inflater_take(struct inflater *i, struct str *from, char *p, size_t n, size_t *got,
                            bool *is_end, struct err *e);

struct deflater; // some 64 KiB
struct deflater *deflater_new(void);
/* One member of gzip (RFC 1952), which deflater_end ends; as fast as it goes. */
struct deflater *deflater_new_gzip(void);
void deflater_free(struct deflater *d);
/*
 * Appends bytes compressed, all of them: what is written up to here can be read up to here. So a
 * deflater may be freed after any put and a new one go on in the same stream.
 */
void deflater_put(struct deflater *d, struct str bytes, struct buf *out);
/* The same without that promise: more may be kept back, for better compression, until a put or the end. */
void deflater_put_more(struct deflater *d, struct str bytes, struct buf *out);
/* Of a gzip member: its end. Nothing may be put after it. */
void deflater_end(struct deflater *d, struct buf *out);

/* A whole file as one member of gzip (RFC 1952), without name and time. */
void gzip_put(struct buf *out, struct str bytes);
