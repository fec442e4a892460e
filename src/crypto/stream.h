/*
 * A blocking stream with a deadline on every read and write, over a socket, plain or with TLS, and
 * compressed when both ends have agreed on that. In a fiber (os/fiber.h) others go on while one waits.
 */
#pragma once

#include "crypto/tls.h"
#include "crypto/tls_client.h"

struct stream {
    int fd; // owned
    struct tls *tls;
    struct compression *compression; // NULL: none
};

/* Takes over fd and makes it non-blocking. */
MUST_USE bool stream_open(struct stream *s, int fd, struct err *e);
void stream_close(struct stream *s);

/*
 * Waits until there is something to read, or the other side has closed (stream_wait_end: only that),
 * or `other`, a descriptor or -1, can be read.
 */
enum stream_event { STREAM_READY, STREAM_OTHER, STREAM_TIMEOUT };
enum stream_event stream_wait(const struct stream *s, int other, int timeout_ms);
enum stream_event stream_wait_end(const struct stream *s, int other, int timeout_ms);

/* Up to n bytes; *got 0 at the end of the stream. ERR_TEMPORARY when the deadline passes. */
MUST_USE bool stream_read(struct stream *s, char *p, size_t n, int timeout_ms, size_t *got,
                          struct err *e);
MUST_USE bool stream_write(struct stream *s, struct str bytes, int timeout_ms, struct err *e);

/*
 * What can be read or written without waiting, of a stream that is not compressed: TLS_DONE, or what to wait for
 * (see crypto/tls.h).
 */
enum tls_result stream_try_read(struct stream *s, char *p, size_t n, size_t *got, struct err *e);
enum tls_result stream_try_write(struct stream *s, struct str bytes, size_t *done, struct err *e);

/* The handshake as a server, on a stream that was plain. */
MUST_USE bool stream_start_tls(struct stream *s, struct tls_server *server, int timeout_ms,
                               struct err *e);
/* The same as a client. Whether the server's certificate is good enough is asked of tls_verify. */
MUST_USE bool stream_connect_tls(struct stream *s, struct tls_client *client,
                                 const struct tls_target *target, int timeout_ms, struct err *e);

/*
 * From here on both directions are compressed (RFC 4978); unread was read already, and is the peer's
 * first compressed bytes.
 */
void stream_compress(struct stream *s, struct str unread);
/*
 * Of a compressed stream: whether something can be read without waiting, or its end, or an error.
 * That its descriptor is readable does not tell: bytes may be waiting here, or those that came may
 * hold nothing yet.
 */
bool stream_has_input(struct stream *s);
/* Nothing will happen for a while: gives back most of the memory that compressing takes. */
void stream_rest(struct stream *s);
