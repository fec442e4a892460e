/*
 * web: one client's HTTP connection. What its files share, and what handlers are written against: a request
 * (struct web_exchange) is read from, and answered by one call of web_reply or its kin.
 *
 * A handler is a plain function that blocks. It does not know which version of HTTP its client speaks. With HTTP/2 each runs
 * in a fiber (os/fiber.h): where it waits for a stream (crypto/stream.h) or its body, other handlers of the connection go on.
 */
#pragma once

#include "crypto/stream.h"
#include "proto/http/http.h"
#include "role/start.h"

enum {
    WEB_IPC_TIMEOUT_MS = 10000,
    WEB_TLS_MS = 30 * 1000,
    WEB_PROXY_MS = 5 * 1000, // for the header of the PROXY protocol
    WEB_HEAD_MS = 30 * 1000, // mox-web-http-api.md 5.3: from the first byte of a head to its last
    WEB_IDLE_MS = 65 * 1000, // between requests: slightly above what browsers keep open
    WEB_WRITE_MS = 60 * 1000, // for each piece
    WEB_SOURCE_MS = 10 * 60 * 1000, // a server behind the proxy says nothing within its response: there are streams of events
    WEB_BODY_MS = 30 * 1000, // a body has so long, and a second more for every WEB_BODY_RATE bytes that came
    WEB_BODY_RATE = 512,
    WEB_MAX_REQUESTS = 10000, // of a connection; then another is needed, which is served by a fresh process
    WEB_BUFFER = 16 * 1024,
    WEB_REQUEST_MEMORY = 8 << 20, // arena of a request
    WEB_MAX_FORM = 64 * 1024, // a small body that is read whole
};

struct web_exchange;
struct web_route;

/* Where the body of a reply comes from when it is not at hand. */
enum web_got {
    WEB_GOT,  // *got bytes
    WEB_END,  // no more
    WEB_WAIT, // nothing now: fd tells when there is
    WEB_FAILED,
};
struct web_source {
    void *ctx; // used after the handler has returned: in the arena, or freed by close
    int fd; // to wait for, when read says WEB_WAIT; -1: it never does
    enum web_got (*read)(void *ctx, char *p, size_t n, size_t *got, struct err *e);
    void (*close)(void *ctx); // called once, after the last read; may be NULL
};

/* An open file whose bytes from `at` on are the body; the descriptor stays the caller's, and is used until web_reply returns. */
struct web_file {
    int fd;
    uint64_t at;
};

/*
 * A reply. Fields that say where it ends, Date and Connection are added; the texts live until the request's
 * end: in its arena, or for ever.
 */
struct web_reply {
    unsigned status;
    struct http_fields fields;
    struct str body;
    const struct web_source *source; // instead of body; copied
    const struct web_file *file;     // instead of both; copied
    bool has_length;                 // of the source; of a file always
    uint64_t length;
};

/* How a version of HTTP does what handlers ask for. */
struct web_wire {
    bool (*read_body)(struct web_exchange *x, char *p, size_t n, size_t *got, struct err *e);
    bool (*reply)(struct web_exchange *x, const struct web_reply *r, struct err *e);
    bool sends_files; // else they are made sources
};

/* A request and its answer. */
struct web_exchange {
    struct web_conn *conn;
    const struct web_wire *wire;
    const struct http_request *request;
    struct arena *arena; // of this request
    struct str client_ip; // of the connection, or what X-Forwarded-For says on a port that believes it
    bool is_secure;       // TLS, or X-Forwarded-Proto says so there
    struct str handler;   // for the log and metrics
    struct http_fields fields; // that every reply of this handler has
    bool no_compression;  // of this handler
    int64_t began_ms;
    unsigned status;      // of the reply; 0: none yet
    uint64_t sent;        // bytes of its body
    bool is_broken;       // the client cannot be written to, or read from, any more
    bool has_logged;
};

/* Reads of the body; *got 0 at its end. ERR_SYNTAX, ERR_LIMIT or ERR_TEMPORARY (too slow) end the connection. */
MUST_USE bool web_body_read(struct web_exchange *x, char *p, size_t n, size_t *got, struct err *e);
/* All of it, into the arena: ERR_LIMIT when it is longer than max. */
MUST_USE bool web_body_all(struct web_exchange *x, size_t max, struct str *out, struct err *e);

/* Once. What cannot be sent is the connection's problem (is_broken), no handler's. */
void web_reply(struct web_exchange *x, const struct web_reply *r);
/* The file of a reply as a source, which has a descriptor of its own. */
void web_file_as_source(struct web_exchange *x, struct web_reply *r);
/* What Date says; good until it is asked again. */
struct str web_date(void);
/* A field for the reply to come. A value that is none is left out, and logged. */
void web_field(struct web_exchange *x, struct web_reply *r, struct str name, struct str value);
/* Status 200 and this type. */
void web_reply_text(struct web_exchange *x, struct str type, struct str body);
/* "404 - not found - detail" as plain text (mox-web-http-api.md 5.6); detail may be empty. */
void web_fail(struct web_exchange *x, unsigned status, struct str detail);
/* The same for what a function said: the client's fault 4xx, with its text; ours 5xx, without. */
void web_fail_err(struct web_exchange *x, const struct err *e);
void web_redirect(struct web_exchange *x, unsigned status, struct str location);
/* Whether the method is GET or HEAD; otherwise 405 has been answered. */
bool web_is_get(struct web_exchange *x);

/* --- dispatch.c: who answers (mox-web-http-api.md 5.2) ------------------------------------------- */

enum web_host_rule { WEB_HOST_ANY, WEB_HOST_SERVER, WEB_HOST_SERVER_OR_CLIENTS, WEB_HOST_AUTOCONFIG, WEB_HOST_MTASTS };

/* One handler on one port. */
struct web_route {
    uint32_t listener;
    enum web_kind kind;
    struct str path;       // with a slash at its end: and all below it
    enum web_host_rule hosts;
    bool is_system;        // before the web server of domains.conf, which can take the place of the others only
    bool has_safe_fields;  // mox-web-http-api.md 5.4
    struct str name;       // for the log and metrics
    void (*serve)(struct web_exchange *x, const struct web_route *route);
};

/* Reads the compiled configuration; in the template. */
MUST_USE bool dispatch_load(struct role_start *s, struct err *e);
/* Answers. */
void dispatch(struct web_exchange *x);
/* One of this server's services, at a place of its own (WebInternal). */
void dispatch_internal(struct web_exchange *x, struct str service, struct str base_path);
/* The routes of the connection's port that come after this one; begin and end with NULL. */
const struct web_route *dispatch_next(const struct web_exchange *x, const struct web_route *after);
/* The domain of ours of that name, or NULL. */
const struct ipc_web_domain *dispatch_domain(struct str name);

/* --- the web server of domains.conf ---------------------------------------------------------------- */

/* sites.c: reads the configuration and opens the directories; in the template, before its sandbox. */
MUST_USE bool sites_load(struct role_start *s, struct err *e);
/* The directories that children may read. */
const int *sites_roots(size_t *n);
/* Answers if a handler is there for the request, and does not decline. */
bool sites_serve(struct web_exchange *x);

/* static.c: files. False: it declines. */
struct site_handler;
bool static_serve(struct web_exchange *x, const struct site_handler *h, int root);
/* forward.c: the reverse proxy. */
void forward_serve(struct web_exchange *x, const struct site_handler *h);
/* backend.c: loads what https behind the proxy needs; in the template. */
MUST_USE bool backend_load(struct role_start *s, struct err *e);
/* websocket.c */
void websocket_serve(struct web_exchange *x, const struct site_handler *h);

/* compress.c: makes a reply a compressed one when both sides gain by it. */
void compress_reply(struct web_exchange *x, struct web_reply *r);
/* What depends on Accept-Encoding says so: for a reply about a file of this type. */
void compress_put_vary(struct web_exchange *x, struct web_reply *r, struct str type);

/* pages.c: the handlers of this server's own services. */
void pages_service(struct web_exchange *x, const struct web_route *route);
void pages_icon(struct web_exchange *x, const struct web_route *route);
void pages_index(struct web_exchange *x, const struct web_route *route);
void pages_metrics(struct web_exchange *x, const struct web_route *route);

/* autoconfig.c: what mail programs and other mail servers look for. */
enum { AUTOCONFIG_PATHS = 6 };
extern const struct str autoconfig_paths[AUTOCONFIG_PATHS];
/* The domain of ours that a host name asks for, with or without one of the prefixes; NULL: none. */
const struct ipc_web_domain *autoconfig_domain(struct str host);
void autoconfig_serve(struct web_exchange *x, const struct web_route *route);
void mtasts_serve(struct web_exchange *x, const struct web_route *route);
/* qr.c: the library is loaded in the template. */
MUST_USE bool qr_open(struct err *e);
/* A QR code of the text, as PNG. False when it is too long. */
MUST_USE bool qr_put(struct buf *out, const char *text);

/* challenge.c: what authorities ask to see whose a name is. */
void challenge_page(struct web_exchange *x, const struct web_route *route);
/* For tls-alpn-01: false when nothing is asked about the name. */
bool challenge_certificate(struct web_conn *c, struct arena *a, struct str name, struct str *cert_pem,
                           struct str *key_pem);
/* Somebody asked for a name that there is no certificate for. */
void challenge_want(struct web_conn *c, struct str name);

/* --- main.c: the connection ----------------------------------------------------------------------- */

struct web_conn {
    const struct role_start *start;
    const struct ipc_listener *port;
    struct ipc_session_start info; // texts live in the arena
    struct stream stream;
    struct channel monitor, keys, acme, dial;
    struct channel front; // counts requests; fd -1: nobody does
    uint32_t n_allowed, n_asked; // requests that may be answered without asking; how many were asked for last
    char allowed_for[64];        // the client's address
    struct packet *packet;
    struct arena arena; // of the connection
    struct arena request_arena; // of each request of HTTP/1.1
    struct buf in, out; // read and not used; to be written before the next wait
    struct str received_id;
    struct str remote;
    bool is_tls;
    unsigned n_requests;
    int cap_ms; // of all time-outs, for tests; 0: none
};

/* A channel to a service, if out is not one already. */
MUST_USE bool web_grant(struct web_conn *c, enum ipc_service service, struct channel *out, enum role peer, struct err *e);
/* A time-out of the connection's. */
int web_timeout(const struct web_conn *c, int ms);
/* Writes what is waiting. */
MUST_USE bool web_flush(struct web_conn *c, struct err *e);

/*
 * client.c: what a load balancer says of the client, before anything else, on connections of those that the
 * configuration names (the PROXY protocol). False: the connection ends.
 */
MUST_USE bool client_of_proxy(struct web_conn *c, struct err *e);
/*
 * Who asks, where a reverse proxy says so; and whether another request may be answered. False: 429 has
 * been.
 */
void client_of(struct web_exchange *x);
MUST_USE bool client_may_ask(struct web_exchange *x);
/* At the end: what was not used is given back. */
void client_done(struct web_conn *c);

void http1_serve(struct web_conn *c);
/* The library is loaded in the template. */
MUST_USE bool http2_open(struct err *e);
void http2_serve(struct web_conn *c);

/* exchange.c: the line of the access log. */
void web_log(struct web_exchange *x);
