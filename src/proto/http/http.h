/*
 * HTTP/1.1 messages of a server (RFC 9110, RFC 9112): requests taken apart, bodies decoded, replies written.
 *
 * Strict on purpose: wherever two readers could disagree where a request ends or whom it is for, it is refused, and
 * the connection with it. That is what request smuggling lives on.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    HTTP_MAX_HEAD = 32 * 1024, // request line and fields
    HTTP_MAX_TARGET = 8 * 1024, // RFC 9112 3: at least 8000
    HTTP_MAX_METHOD = 32,
    HTTP_MAX_FIELDS = 100,
    HTTP_MAX_CHUNK_LINE = 256, // its size and extensions
    HTTP_MAX_TRAILERS = 4096,
    HTTP_MAX_OVERHEAD = 16 * 1024, // of chunked coding, beyond twice the data and 16 bytes for each chunk
};

struct http_field {
    struct str name, value;
};
struct http_fields {
    struct http_field *items;
    size_t n, cap;
};

/* The first of that name (in any case), or NULL. */
const struct http_field *http_field_find(const struct http_fields *fields, struct str name);
/* Its value, or empty. */
struct str http_field_get(const struct http_fields *fields, struct str name);
/* Whether a list of tokens, over all fields of that name, has this one (RFC 9110 5.6.1). */
bool http_field_has_token(const struct http_fields *fields, struct str name, struct str token);
/*
 * Adds one. False, and nothing is added, when the name is no token or the value has a byte that could end the line:
 * nobody's text becomes a field of its own. Name and value must outlive the fields.
 */
MUST_USE bool http_field_add(struct arena *a, struct http_fields *fields, struct str name, struct str value);

enum http_method { HTTP_OTHER, HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_OPTIONS, HTTP_PATCH };
enum http_version { HTTP_1_0, HTTP_1_1, HTTP_2 };
enum http_body_kind { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_FRAMES };

/* A request without its body. Texts point into the head that was parsed, or live in the arena. */
struct http_request {
    enum http_version version;
    enum http_method method;
    struct str method_name; // as sent
    struct str target;      // as sent, without scheme and authority
    struct str raw_path;    // of it, up to '?'
    struct str path;        // decoded once, without ".", ".." and empty segments; begins with '/'; no NUL
    struct str query;       // after '?', as sent
    bool has_query;
    struct str host;   // in lower case without port, an IPv6 address without brackets; or empty
    bool host_is_ip;
    uint32_t port;     // of Host; 0: none
    struct http_fields fields;
    enum http_body_kind body;
    uint64_t length;       // of HTTP_BODY_LENGTH
    bool is_last;          // the connection ends after the reply (RFC 9112 9.3)
    bool expects_continue; // RFC 9110 10.1.1
};

/*
 * Looks for the end of a head in what has been read. True: *n is its length with the empty line, or 0 while it is
 * not complete; *seen, 0 at first, is how far the search has come. False: it is no head, whatever follows.
 */
MUST_USE bool http_head_find(struct str in, size_t *seen, size_t *n, struct err *e);
/*
 * Parses a head, with its empty line. False: *status is what to answer before the connection is closed (400, 414, 417, 431, 501,
 * 505), and *e says why.
 */
MUST_USE bool http_request_parse(struct arena *a, struct str head, struct http_request *out, unsigned *status,
                                 struct err *e);
/*
 * The parts that HTTP/2 has too, which sends them as pseudo-fields (RFC 9113 8.3.1): target in origin-form, authority
 * as in Host. Same refusals.
 */
MUST_USE bool http_request_set_target(struct arena *a, struct http_request *r, struct str target, unsigned *status,
                                      struct err *e);
MUST_USE bool http_request_set_host(struct arena *a, struct http_request *r, struct str authority, struct err *e);
void http_request_set_method(struct http_request *r, struct str name);
bool http_is_token(struct str s);
bool http_is_field_value(struct str s);

/* Decodes %XX; false when something else follows a percent sign. '+' stays. */
MUST_USE bool http_percent_decode(struct buf *out, struct str s);
/* Bytes other than unreserved ones (RFC 3986 2.3), and '/' when wanted, as %XX. */
void http_percent_encode(struct buf *out, struct str s, bool keeps_slash);
/* Without ".", ".." and empty segments; a slash at the end stays. path begins with '/', or is empty. */
struct str http_path_clean(struct arena *a, struct str path);
/*
 * The value of the first parameter of that name in a query or a form (application/x-www-form-urlencoded), decoded;
 * false when there is none, or it is malformed.
 */
MUST_USE bool http_query_get(struct arena *a, struct str query, struct str name, struct str *out);

/* --- bodies ------------------------------------------------------------------------------------ */

struct http_body {
    enum http_body_kind kind;
    uint64_t left; // of the body, or of the chunk
    enum { HTTP_CHUNK_SIZE, HTTP_CHUNK_DATA, HTTP_CHUNK_END, HTTP_CHUNK_TRAILERS } state;
    uint64_t overhead;
    size_t n_trailers;
    bool is_done;
};
struct http_body http_body_of(const struct http_request *r);
/*
 * Takes from *in what can be understood, and no more than one piece of data, to which *data points; empty: more
 * input is needed, or the end was reached (is_done). What follows the body stays in *in. Trailers are checked and
 * dropped: nobody merges them with the fields that were acted on.
 */
MUST_USE bool http_body_take(struct http_body *b, struct str *in, struct str *data, struct err *e);

/* --- replies ----------------------------------------------------------------------------------- */

/* "Not Found"; "Unknown" for a status that has no name here. */
struct str http_reason(unsigned status);
/* Fields and the empty line. */
void http_fields_put(struct buf *out, const struct http_fields *fields);
/* Status line, fields and the empty line. */
void http_head_put(struct buf *out, enum http_version version, unsigned status, const struct http_fields *fields);
/* RFC 9112 7.1: the size line of a chunk. */
void http_chunk_put(struct buf *out, size_t n);

/* "Tue, 15 Nov 1994 08:12:31 GMT" (RFC 9110 5.6.7); parsing takes that form alone. */
void http_date_put(struct buf *out, int64_t unix_seconds);
MUST_USE bool http_date_parse(struct str text, int64_t *unix_seconds);
