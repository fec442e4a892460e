/*
 * A connection to a server behind the reverse proxy, and a request on it. Its response is read by our own strict
 * parser; whatever cannot be understood is a failure of that server (502), and of nobody else.
 */
#pragma once

#include "proto/http/response.h"
#include "role/web/web.h"
#include "web/site.h"

enum {
    BACKEND_DIAL_MS = 10 * 1000,
    BACKEND_HEAD_MS = 120 * 1000, // until it answers
    BACKEND_HANDSHAKE_MS = 30 * 1000, // of TLS and of WebSocket
};

struct backend {
    struct stream stream;
    struct buf in;      // read and not used
    uint32_t handler;   // whose target it is
    bool was_used;      // by a request before
};

/* A connection to the target of the handler. NULL: *status is 502 or 504, and *e says why. */
struct backend *backend_open(struct web_conn *c, const struct site_handler *h, unsigned *status, struct err *e);
void backend_free(struct backend *b);
/* Reads what there is without waiting, into the input. */
enum tls_result backend_try_read(struct backend *b, struct err *e);
/* Writes the head of a request. */
MUST_USE bool backend_put_head(struct web_exchange *x, const struct site_handler *h, struct backend *b,
                               bool is_websocket, struct err *e);
/* Reads the head of its response; those with 1xx other than 101 are passed over. What it points to is in the arena. */
MUST_USE bool backend_read_head(struct web_exchange *x, struct backend *b, int timeout_ms, struct http_response *out,
                                unsigned *status, struct err *e);
