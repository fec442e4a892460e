/*
 * The first message of TLS (RFC 8446 4.1.2), read for one thing alone: which protocols the client asks for (ALPN, RFC 7301).
 * Whoever reads this only looks; TLS itself is begun later, by whom the answer names, and decides about everything else.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

/* As much as is looked at: a record of the largest size. A hello that is larger, or in more pieces, is not understood. */
enum { CLIENT_HELLO_MAX = 5 + 16384 };

enum client_hello { CLIENT_HELLO_WHOLE, CLIENT_HELLO_MORE, CLIENT_HELLO_NONE };

/*
 * in: what has come on the connection, from its first byte. WHOLE: *protocols is the list as it was sent, each name after a
 * byte with its length, and empty when the client asks for none; it points into message, where the pieces are put together.
 * MORE: it can be told when there are *need bytes, which are more than there are and not above CLIENT_HELLO_MAX. NONE: that
 * is no TLS, or no hello that can be understood.
 */
enum client_hello client_hello_parse(struct str in, struct buf *message, struct str *protocols, size_t *need);
bool client_hello_has(struct str protocols, struct str name);
