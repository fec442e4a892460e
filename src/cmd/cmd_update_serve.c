/*
 * The list of changes, served over HTTP to servers that look for newer versions (mox-imap-store-cli-config.md 5.9).
 *
 * Who reads what strangers send is a process of its own for each connection, which has the connection and the list and can
 * open nothing.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/confine.h"
#include "cmd/own_connect.h"
#include "cmd/verbs.h"
#include "crypto/stream.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/net.h"
#include "os/process.h"
#include "policy/update.h"
#include "proto/http/http.h"
#include "role/profiles.h"

enum {
    DEFAULT_PORT = 8596,
    MOST_CONNECTIONS = 100,  // at once; others wait
    CONNECTION_MS = 20000,   // from the first byte to the last, however slow the network
    LINGER_MS = 2000,
    LINGER_BYTES = 256 * 1024,
    PIECE = 4096,
};

static const char request_failed[] = "cannot answer a request";

/* What a connection is answered with. */
struct answer {
    struct stream stream;
    char remote[NET_ADDRESS_TEXT];
    int64_t deadline_ms;
    bool has_changelog;
    struct str changelog; // the file
    struct err unread;    // why it has none
};

static int time_left(const struct answer *s)
{
    int64_t left = s->deadline_ms - os_monotonic_ms();

    return left > 0 ? (int)left : 0;
}

// False: there is nobody to be answered, or *status says what it is.
static bool read_request(struct answer *s, struct arena *a, struct http_request *out, unsigned *status, struct err *e)
{
    AUTO_BUF in = BUF_LIMIT(HTTP_MAX_HEAD + PIECE);
    size_t seen = 0, n = 0;

    *status = 400;
    while (http_head_find(buf_str(&in), &seen, &n, e)) {
        char *room = buf_room(&in, PIECE);
        size_t got = 0;

        if (n)
            return http_request_parse(a, arena_dup(a, str_sub(buf_str(&in), 0, n)), out, status, e);
        *status = 431;
        if (in.n >= HTTP_MAX_HEAD || !room)
            return fail(e, ERR_LIMIT, "the head is too long");
        *status = 0;
        if (!stream_read(&s->stream, room, PIECE, time_left(s), &got, e)) {
            *status = time_left(s) ? 0 : 408;
            s->deadline_ms += LINGER_MS; // to say so
            return false;
        }
        if (!got)
            return fail(e, ERR_TEMPORARY, "the client has gone");
        buf_claim(&in, got);
        *status = 400;
    }
    return false;
}

// As upstream: who does not say in the right way from which version on gets all.
static unsigned find_changes(const struct answer *s, struct arena *a, const struct http_request *r, struct buf *out)
{
    struct update_version from;
    struct err e = s->unread;
    struct str text;
    bool has_from;

    if (!str_eq(r->path, STR("/changelog")))
        return 404;
    if (r->method != HTTP_GET && r->method != HTTP_HEAD)
        return 405;
    has_from = http_query_get(a, r->query, STR("from"), &text) && update_version_parse(text, &from);
    if (s->has_changelog && update_changelog_since(out, s->changelog, has_from ? &from : NULL, &e))
        return 200;
    LOG(LOG_ERROR, "updates", request_failed, LOG_E(&e));
    return 500;
}

static bool reply(struct answer *s, struct arena *a, unsigned status, struct str body, bool has_body, struct err *e)
{
    AUTO_BUF out = BUF_LIMIT(4 * UPDATE_MAX_CHANGELOG), date = BUF_LIMIT(64);
    struct http_fields fields = {0};
    const char *type = status == 200 ? "application/json; charset=utf-8" : "text/plain; charset=utf-8";
    bool is_ok;

    if (status != 200)
        body = arena_printf(a, "%u - %.*s\n", status, STR_FMT(arena_lower(a, http_reason(status))));
    http_date_put(&date, os_now_unix());
    is_ok = http_field_add(a, &fields, STR("Date"), buf_str(&date)) &&
            http_field_add(a, &fields, STR("Content-Type"), str_of(type)) &&
            http_field_add(a, &fields, STR("X-Content-Type-Options"), STR("nosniff")) &&
            (status != 405 || http_field_add(a, &fields, STR("Allow"), STR("GET, HEAD"))) &&
            http_field_add(a, &fields, STR("Content-Length"), arena_printf(a, "%zu", body.n)) &&
            http_field_add(a, &fields, STR("Connection"), STR("close"));
    http_head_put(&out, HTTP_1_1, status, &fields);
    if (has_body)
        buf_put(&out, body);
    return (is_ok && !out.full) ? stream_write(&s->stream, buf_str(&out), time_left(s), e)
                                : fail(e, ERR_BUG, "the reply does not fit");
}

// RFC 9112 9.6: a client that is still sending would have our last reply destroyed by a reset.
static void linger(struct answer *s)
{
    char piece[PIECE];
    size_t n = 0, got;
    struct err e = {0};

    s->deadline_ms = os_monotonic_ms() + LINGER_MS;
    if (shutdown(s->stream.fd, SHUT_WR))
        return;
    while (n < LINGER_BYTES && stream_read(&s->stream, piece, sizeof piece, time_left(s), &got, &e) && got)
        n += got;
}

static int serve_connection(void *ctx)
{
    struct answer *s = ctx;
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF body = BUF_LIMIT(3 * UPDATE_MAX_CHANGELOG);
    struct http_request r = {0};
    unsigned status;
    struct err e = {0};

    os_title_set("mox: updates %s", s->remote);
    if (read_request(s, &a, &r, &status, &e))
        status = find_changes(s, &a, &r, &body);
    LOG(LOG_INFO, "updates", "request", LOG_S("remote", str_of(s->remote)), LOG_N("status", status),
        LOG_S("url", str_sub(r.target, 0, 500)));
    if (!status || !reply(s, &a, status, buf_str(&body), r.method != HTTP_HEAD, &e)) {
        LOG(LOG_DEBUG, "updates", "no request", LOG_E(&e), LOG_S("remote", str_of(s->remote)));
        return 0;
    }
    linger(s);
    return 0;
}

/* --- the process that accepts, and reads nothing of what is sent ---------------------------------------------- */

static void reap(size_t *n, bool may_wait)
{
    char how[64];
    int status;

    while (*n && waitpid(-1, &status, may_wait ? 0 : WNOHANG) > 0) {
        may_wait = false;
        (*n)--;
        if (WIFEXITED(status) && !WEXITSTATUS(status))
            continue;
        os_describe_status(status, how, sizeof how);
        LOG(LOG_ERROR, "updates", "a process of a connection ended badly", LOG_S("how", str_of(how)));
    }
}

static bool serve_one(int connection, const char *path, const struct sandbox *box, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct answer s = {.deadline_ms = os_monotonic_ms() + CONNECTION_MS};
    bool is_ok;

    net_remote_text(connection, s.remote);
    // For each request, as upstream: the list grows while this runs.
    s.has_changelog = os_read_file(&a, path, UPDATE_MAX_CHANGELOG, &s.changelog, &s.unread);
    is_ok = stream_open(&s.stream, connection, e) && confine_connection(connection, box, serve_connection, &s, e) > 0;
    stream_close(&s.stream);
    return is_ok;
}

static bool serve(int listener, const char *path, struct err *e)
{
    struct sandbox *box = sandbox_compile(role_profile(ROLE_DELIVER), e);
    struct pollfd p = {.fd = listener, .events = POLLIN};
    size_t n = 0;

    while (box) {
        int connection;

        reap(&n, n >= MOST_CONNECTIONS);
        if (poll(&p, 1, n ? 1000 : -1) < 0 && errno != EINTR)
            return fail_errno(e, "waiting for connections");
        connection = net_accept(listener);
        if (connection < 0)
            continue;
        if (serve_one(connection, path, box, e))
            n++;
        else
            LOG(LOG_ERROR, "updates", request_failed, LOG_E(e));
    }
    return false;
}

static bool is_list(const char *path, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(3 * UPDATE_MAX_CHANGELOG);
    struct str text;

    return os_read_file(&a, path, UPDATE_MAX_CHANGELOG, &text, e) &&
           (update_changelog_since(&out, text, NULL, e) || fail_in(e, "%s", path));
}

int cmd_updates_serve(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    const char *address = "127.0.0.1:8596", *path = "changelog.json";
    const struct cmd_flag flags[] = {{"address", &address, NULL}, {"changelog", &path, NULL}};
    int used = cmd_flags(argc, argv, flags, COUNT(flags));
    AUTO_FD listener = -1;
    struct str host;
    unsigned port;
    struct err e = {0};

    if (used < 0 || used != argc)
        return cmd_usage("updates serve");
    if (!own_parse_host(&a, address, DEFAULT_PORT, &host, &port, &e) || !is_list(path, &e))
        return cmd_fail(&e);
    listener = net_listen(host, port, &e);
    if (listener < 0)
        return cmd_fail(&e);
    LOG(LOG_PRINT, "updates", "serving a list of changes", LOG_S("file", str_of(path)), LOG_S("address", str_of(address)));
    (void)serve(listener, path, &e);
    return cmd_fail(&e);
}
