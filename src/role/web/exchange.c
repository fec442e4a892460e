/*
 * What handlers answer with, and the access log.
 */
#include <unistd.h>

#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "os/fd.h"
#include "role/web/web.h"

bool web_body_read(struct web_exchange *x, char *p, size_t n, size_t *got, struct err *e)
{
    if (x->wire->read_body(x, p, n, got, e))
        return true;
    x->is_broken = e->kind == ERR_TEMPORARY;
    return false;
}

bool web_body_all(struct web_exchange *x, size_t max, struct str *out, struct err *e)
{
    AUTO_BUF b = BUF_LIMIT(max);
    char piece[4096];
    size_t got;

    if (x->request->body == HTTP_BODY_LENGTH && x->request->length > max)
        return fail(e, ERR_LIMIT, "the body is too long");
    do {
        if (!web_body_read(x, piece, sizeof piece, &got, e))
            return false;
        buf_put(&b, str_at(piece, got));
        if (b.full)
            return fail(e, ERR_LIMIT, "the body is too long");
    } while (got);
    *out = arena_dup(x->arena, buf_str(&b));
    return true;
}

/* A file as a source, for wires that do not send files. */
struct file_source {
    int fd;
    uint64_t at, left;
};

static enum web_got read_file(void *ctx, char *p, size_t n, size_t *got, struct err *e)
{
    struct file_source *f = ctx;
    ssize_t rc;

    *got = 0;
    if (!f->left)
        return WEB_END;
    rc = pread(f->fd, p, n < f->left ? n : (size_t)f->left, (off_t)f->at);
    if (rc <= 0) {
        (void)(rc ? fail_errno(e, "reading") : fail(e, ERR_TEMPORARY, "the file has become shorter"));
        return WEB_FAILED;
    }
    *got = (size_t)rc;
    f->at += *got;
    f->left -= *got;
    return WEB_GOT;
}

static void close_file(void *ctx)
{
    fd_close(&((struct file_source *)ctx)->fd);
}

void web_file_as_source(struct web_exchange *x, struct web_reply *r)
{
    struct file_source *f = ARENA_NEW(x->arena, struct file_source);
    struct web_source *source = ARENA_NEW(x->arena, struct web_source);

    *f = (struct file_source){fd_copy(r->file->fd), r->file->at, r->length};
    *source = (struct web_source){f, -1, read_file, close_file};
    r->file = NULL;
    r->source = source;
    r->has_length = true;
}

static void measure(const struct web_exchange *x, enum metric m)
{
    const unsigned labels[METRIC_LABELS] = {metric_word(m, 0, x->handler), x->conn->is_tls,
                                            metric_word(m, 2, x->request->method_name), x->status};

    metric_observe(m, labels, os_monotonic_ms() - x->began_ms);
}

struct str web_date(void)
{
    static struct buf text = BUF_LIMIT(64);
    static int64_t of = -1;
    int64_t now = os_now_unix_ms() / 1000;

    if (now != of) {
        buf_reset(&text);
        http_date_put(&text, now);
        of = now;
    }
    return buf_str(&text);
}

void web_reply(struct web_exchange *x, const struct web_reply *r)
{
    struct web_reply all = *r;
    struct err e = {0};

    for (size_t i = 0; i < x->fields.n; i++)
        if (!http_field_find(&r->fields, x->fields.items[i].name))
            web_field(x, &all, x->fields.items[i].name, x->fields.items[i].value);
    x->status = r->status;
    compress_reply(x, &all);
    if (all.file && !x->wire->sends_files)
        web_file_as_source(x, &all);
    measure(x, METRIC_httpserver_request_duration_seconds);
    if (!x->wire->reply(x, &all, &e)) {
        LOG(LOG_DEBUG, "http", "writing to the client", LOG_E(&e));
        x->is_broken = true;
    }
    measure(x, METRIC_httpserver_response_duration_seconds);
}

void web_field(struct web_exchange *x, struct web_reply *r, struct str name, struct str value)
{
    if (!http_field_add(x->arena, &r->fields, name, value))
        LOG(LOG_ERROR, "http", "a field that cannot be sent is left out", LOG_S("field", name));
}

void web_reply_text(struct web_exchange *x, struct str type, struct str body)
{
    struct web_reply r = {.status = 200, .body = body};

    web_field(x, &r, STR("Content-Type"), type);
    web_reply(x, &r);
}

void web_fail(struct web_exchange *x, unsigned status, struct str detail)
{
    struct str reason = arena_lower(x->arena, http_reason(status));
    bool is_ours = status >= 500;
    struct web_reply r = {.status = status};

    r.body = arena_printf(x->arena, "%u - %.*s%s%.*s%s%.*s%s\n", status, STR_FMT(reason), detail.n ? " - " : "",
                          STR_FMT(detail), is_ours ? " (id " : "", STR_FMT(is_ours ? x->conn->received_id : STR("")),
                          is_ours ? ")" : "");
    web_field(x, &r, STR("Content-Type"), STR("text/plain; charset=utf-8"));
    web_field(x, &r, STR("X-Content-Type-Options"), STR("nosniff"));
    web_reply(x, &r);
}

void web_fail_err(struct web_exchange *x, const struct err *e)
{
    switch (e->kind) {
    case ERR_SYNTAX:
        web_fail(x, 400, str_of(e->text));
        return;
    case ERR_LIMIT:
        web_fail(x, 413, str_of(e->text));
        return;
    case ERR_DENIED:
        web_fail(x, 403, STR(""));
        return;
    case ERR_NOT_FOUND:
        web_fail(x, 404, STR(""));
        return;
    case ERR_CONFLICT:
        web_fail(x, 409, str_of(e->text));
        return;
    case ERR_TEMPORARY:
    case ERR_BUG:
    case ERR_NONE:
        break;
    }
    LOG(LOG_ERROR, "http", "request failed", LOG_E(e), LOG_S("handler", x->handler));
    web_fail(x, e->kind == ERR_TEMPORARY ? 503 : 500, STR(""));
}

void web_redirect(struct web_exchange *x, unsigned status, struct str location)
{
    struct web_reply r = {.status = status};

    web_field(x, &r, STR("Location"), location);
    web_reply(x, &r);
}

bool web_is_get(struct web_exchange *x)
{
    struct web_reply r = {.status = 405, .body = STR("405 - method not allowed\n")};

    if (x->request->method == HTTP_GET || x->request->method == HTTP_HEAD)
        return true;
    web_field(x, &r, STR("Content-Type"), STR("text/plain; charset=utf-8"));
    web_field(x, &r, STR("Allow"), STR("GET, HEAD"));
    web_reply(x, &r);
    return false;
}

// mox-web-http-api.md 5.11.
void web_log(struct web_exchange *x)
{
    static const char *const versions[] = {"http/1.0", "http/1.1", "h2"};
    const struct http_request *r = x->request;
    struct stream *s = &x->conn->stream;
    struct str url = r->target, agent = http_field_get(&r->fields, STR("User-Agent"));

    if (x->has_logged || !log_is_on(LOG_DEBUG, "http"))
        return;
    x->has_logged = true;
    LOG(LOG_DEBUG, "http", "http request", LOG_S("httpaccess", STR("")), LOG_S("handler", x->handler),
        LOG_S("method", r->method == HTTP_OTHER ? STR("(other)") : arena_lower(x->arena, r->method_name)),
        LOG_S("url", str_sub(url, 0, 500)), LOG_S("host", r->host),
        LOG_N("duration_ms", os_monotonic_ms() - x->began_ms), LOG_N("statuscode", x->status),
        LOG_S("proto", str_of(versions[r->version])), LOG_S("remoteaddr", x->conn->remote),
        LOG_S("tlsinfo", s->tls ? arena_lower(x->arena, tls_version(s->tls)) : STR("plain")),
        LOG_S("useragent", str_sub(agent, 0, 200)),
        LOG_S("referer", str_sub(http_field_get(&r->fields, STR("Referer")), 0, 200)),
        LOG_S("clientip", x->client_ip), LOG_N("size", x->sent));
}
