/*
 * One HTTPS request over a connected socket, by libcurl.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/*
 * Loads libcurl and the certificate authorities: the system's, or those of SSL_CERT_FILE, and `more` (PEM), or with
 * is_alone these only. Before the sandbox.
 */
MUST_USE bool https_open(struct str more, bool is_alone, struct err *e);

enum https_status {
    HTTPS_ANSWER,        // with any status code
    HTTPS_UNTRUSTED,     // its certificate is not trusted, expired or for another name
    HTTPS_TOO_LARGE,
    HTTPS_FAILED,        // no TLS, no HTTP, broken off, or too slow
};

enum https_method { HTTPS_GET, HTTPS_HEAD, HTTPS_POST };

struct https_request {
    int fd;            // connected; it is used up
    enum https_method method;
    const char *host;
    unsigned port;     // 0: 443
    const char *path;  // and query
    struct str fields; // of the request's own: lines "Name: value" with LF between
    struct str body;   // of a POST
    size_t max_body;   // of the answer
    long timeout_ms;   // for all of it
    bool (*is_given_up)(void *ctx); // asked about once a second; NULL: it never is
    void *ctx;
};

enum { HTTPS_MAX_FIELD = 4096 };

struct https_answer {
    enum https_status status;
    long code; // 200
    // As they came, the last of that name; of Link all, with LF between; without control characters.
    struct str content_type, location, replay_nonce, retry_after, links;
    struct str body;
};

/* Whether it may be the value of a field: of what is asked, or of an answer. */
bool https_is_value(struct str value);
/* ERR_SYNTAX when fields are no field lines. */
MUST_USE bool https_check_fields(struct str fields, struct err *e);
/* What the answer points to is in a. *e says what was wrong when status is not HTTPS_ANSWER. */
void https_ask(struct arena *a, const struct https_request *r, struct https_answer *out, struct err *e);
