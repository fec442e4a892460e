/*
 * Fields that pass the reverse proxy, in both directions (RFC 9110 7.6), and WebSocket's handshake (RFC 6455 4).
 *
 * Nothing of a message is passed on as bytes: both are written anew from what was parsed, with the
 * framing that we chose.
 */
#pragma once

#include "proto/http/http.h"
#include "proto/http/response.h"

struct forward_client {
    struct str ip;  // of the client
    bool is_https;  // how it came
};

/*
 * The fields of a request for the server behind. Without those of a connection (Connection and what it
 * names, Transfer-Encoding, Upgrade and the like), without what clients say of who they are (Forwarded,
 * X-Forwarded...), and all of these in no spelling that programs behind might take for the same (X_Forwarded_For).
 * With Host, X-Forwarded-For, -Host and -Proto, the length of the body, and Upgrade if is_websocket.
 */
void forward_request_fields(struct arena *a, const struct http_request *r, const struct forward_client *client,
                            bool is_websocket, struct http_fields *out);
/* The fields of its response for the client, without those of the connection and its length. */
void forward_response_fields(struct arena *a, const struct http_response *r, struct http_fields *out);

/* Whether a request asks for WebSocket: Upgrade in HTTP/1.1. */
bool websocket_is_asked(const struct http_request *r);
/*
 * Whether it may: a GET with Connection: upgrade, version 13 and a key of 16 bytes (RFC 6455 4.2.1).
 * False: it is answered with 400, with the version that is spoken if is_version.
 */
MUST_USE bool websocket_check(const struct http_request *r, bool *is_version, struct err *e);
/* Sec-WebSocket-Accept for a key (RFC 6455 4.2.2). */
void websocket_put_accept(struct buf *out, struct str key);
/* Whether the server behind has agreed (RFC 6455 4.1). */
bool websocket_is_accepted(const struct http_request *r, const struct http_response *response);
