/*
 * The server's own services: a page for each, which says what to use while the web applications do not exist.
 */
#include "ipc/metrics.h"
#include "role/web/web.h"
#include "web/pages.h"

void pages_service(struct web_exchange *x, const struct web_route *route)
{
    AUTO_BUF out = BUF_LIMIT(64 * 1024);

    if (!str_eq(x->request->path, route->path)) {
        web_fail(x, 404, STR(""));
        return;
    }
    if (!web_is_get(x))
        return;
    web_page_put(&out, route->name, x->conn->port->hostname);
    web_reply_text(x, STR("text/html; charset=utf-8"), arena_dup(x->arena, buf_str(&out)));
}

void pages_icon(struct web_exchange *x, const struct web_route *route)
{
    (void)route;
    if (web_is_get(x))
        web_reply_text(x, STR("image/x-icon"), web_icon);
}

void pages_index(struct web_exchange *x, const struct web_route *route)
{
    AUTO_BUF out = BUF_LIMIT(64 * 1024);
    struct web_link *links = NULL;
    size_t n = 0, cap = 0;

    (void)route;
    if (!str_eq(x->request->path, STR("/"))) {
        web_fail(x, 404, STR(""));
        return;
    }
    if (!web_is_get(x))
        return;
    for (const struct web_route *r = NULL; (r = dispatch_next(x, r));)
        if (r->serve == pages_service)
            *ARENA_PUSH(x->arena, links, &n, &cap) = (struct web_link){r->path, r->name};
    web_index_put(&out, x->conn->port->hostname, links, n);
    web_reply_text(x, STR("text/html; charset=utf-8"), arena_dup(x->arena, buf_str(&out)));
}

// All roles with all series that a server has in years; a role that was taken over may have more.
enum { METRICS_BYTES = WEB_REQUEST_MEMORY / 2 };

void pages_metrics(struct web_exchange *x, const struct web_route *route)
{
    AUTO_BUF out = BUF_LIMIT(METRICS_BYTES);

    if (!web_is_get(x))
        return;
    if (str_eq(route->path, STR("/metrics"))) {
        metrics_put(&out, x->conn->start->metrics);
        if (out.full)
            web_fail(x, 500, STR("more metrics than there should be"));
        else
            web_reply_text(x, STR("text/plain; version=0.0.4; charset=utf-8"), arena_dup(x->arena, buf_str(&out)));
    } else if (str_eq(x->request->path, STR("/"))) {
        web_reply_text(x, STR("text/html; charset=utf-8"),
                       STR("<!doctype html>\n<html lang=\"en\"><title>mox: metrics</title>"
                           "<p>See <a href=\"metrics\">metrics</a>.</p></html>\n"));
    } else {
        web_fail(x, 404, STR(""));
    }
}
