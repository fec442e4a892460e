/*
 * Web sites of domains.conf: which handler a request is for, and where redirects lead.
 *
 * All of it goes by the decoded and cleaned path of a request; what is made of it again is encoded anew.
 */
#pragma once

#include "proto/http/http.h"
#include "text/regex.h"
#include "web/site_url.h"

enum site_kind { SITE_STATIC, SITE_REDIRECT, SITE_FORWARD, SITE_INTERNAL };

struct site_handler {
    uint32_t number; // from 0, in the order of the file
    enum site_kind kind;
    struct str name; // for log and metrics
    struct str domain; // A-labels in lower case
    struct regex *path;
    bool answers_plain; // DontRedirectPlainHTTP
    bool compresses;
    struct http_fields fields; // ResponseHeaders
    /* SITE_STATIC */
    struct str strip_prefix;
    bool lists_files, continues; // ListFiles, ContinueNotFound
    /* SITE_REDIRECT; a base without authority: the request's own host */
    struct site_url base;
    struct regex *orig_path; // NULL: the path stays
    struct str replace_path;
    unsigned code;
    /* SITE_FORWARD */
    bool strips_path;
    struct site_url target;
    /* SITE_INTERNAL */
    struct str base_path, service;
};

/* An entry of WebDomainRedirects, both in A-labels. */
struct site_moved {
    struct str from, to;
};

struct site {
    struct site_handler *handlers;
    size_t n, cap;
    struct site_moved *moved;
    size_t n_moved, cap_moved;
};

/* Where all requests for this host are redirected, with status 308; NULL: nowhere. */
const struct site_moved *site_moved_to(const struct site *s, struct str host);
/*
 * The first handler from *at on that is for this host and path; *at is then behind it, for when it
 * declines. NULL: none.
 */
const struct site_handler *site_next(const struct site *s, const struct http_request *r, size_t *at);

/* "https://host" and the request's path and query as they came: what 308 says. */
void site_put_https(struct buf *out, struct str host, const struct http_request *r);

enum site_redirect {
    SITE_REDIRECT_TO,      // to what was appended, with the handler's code
    SITE_REDIRECT_NONE,    // its expression does not match: 404
    SITE_REDIRECT_DECLINE, // it would lead to the request itself
};
/* is_https: how the request came. */
enum site_redirect site_redirect(const struct site_handler *h, const struct http_request *r, bool is_https,
                                 struct buf *out);

/* Appends the path below the root of a SITE_STATIC handler, without a slash at its begin; false: it is not below. */
MUST_USE bool site_file_path(const struct site_handler *h, const struct http_request *r, struct str *out);

/*
 * Appends path and query for the server of a SITE_FORWARD handler. The path is sent as it came only when
 * both sides must understand it alike; else what was matched is encoded anew.
 */
void site_put_target(struct buf *out, const struct site_handler *h, const struct http_request *r);
