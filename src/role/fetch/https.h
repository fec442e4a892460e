/*
 * One HTTPS request over a connected socket, by libcurl.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/* Loads libcurl and the certificate authorities: the system's, or those of SSL_CERT_FILE. Before the sandbox. */
MUST_USE bool https_open(struct err *e);

enum https_status {
    HTTPS_ANSWER,        // with any status code
    HTTPS_UNTRUSTED,     // its certificate is not trusted, expired or for another name
    HTTPS_TOO_LARGE,
    HTTPS_FAILED,        // no TLS, no HTTP, broken off, or too slow
};

struct https_request {
    int fd;          // connected; it is used up
    const char *host, *path;
    size_t max_body;
    long timeout_ms; // for all of it
};

struct https_answer {
    enum https_status status;
    long code;               // 200
    struct str content_type; // as it came
    struct str body;
};

/* What the answer points to is in a. *e says what was wrong when status is not HTTPS_ANSWER. */
void https_get(struct arena *a, const struct https_request *r, struct https_answer *out, struct err *e);
