/*
 * Clients behind reverse proxies, and how many requests they may make (mox-web-http-api.md 5.1, 5.10).
 */
#include <string.h>

#include "base/ip.h"
#include "base/log.h"
#include "os/clock.h"
#include "proto/http/proxy.h"
#include "role/web/web.h"

enum { MAX_BATCH = 64 };

bool client_of_proxy(struct web_conn *c, struct err *e)
{
    int64_t deadline = os_monotonic_ms() + web_timeout(c, WEB_PROXY_MS);
    char header[PROXY_MAX_HEADER];
    bool has_source;
    struct ip ip;
    size_t n = 0, more, got;

    if (!ip_in_networks(c->remote, c->port->proxies))
        return true;
    // Not a byte more than it has: what follows is the client's, and TLS.
    while (proxy_need(str_at(header, n), &more, e) && more) {
        int64_t left = deadline - os_monotonic_ms();

        if (!stream_read(&c->stream, header + n, more, left > 0 ? (int)left : 0, &got, e))
            return false;
        if (!got)
            return fail(e, ERR_TEMPORARY, "the proxy has gone");
        n += got;
    }
    if (e->kind || !proxy_parse(str_at(header, n), &has_source, &ip, e))
        return false;
    if (has_source) {
        AUTO_BUF text = BUF_LIMIT(64);

        ip_put(&text, &ip);
        c->remote = arena_dup(&c->arena, buf_str(&text));
    }
    return true;
}

void client_of(struct web_exchange *x)
{
    const struct http_fields *fields = &x->request->fields;
    struct str first = http_field_get(fields, STR("X-Forwarded-For"));
    struct ip ip;

    if (!x->conn->port->is_forwarded)
        return;
    (void)str_cut(first, ',', &first, &(struct str){0});
    if (ip_parse(str_trim(first), &ip)) {
        AUTO_BUF text = BUF_LIMIT(64);

        ip_put(&text, &ip);
        x->client_ip = arena_dup(x->arena, buf_str(&text));
    }
    x->is_secure |= str_eq_ci(http_field_get(fields, STR("X-Forwarded-Proto")), STR("https"));
}

static bool ask_front(struct web_conn *c, struct str address, uint32_t n, struct err *e)
{
    struct str before = str_of(c->allowed_for);
    struct ipc_web_rated m;

    if (!IPC_SEND(&c->front, web_rate, NULL, 0, e, .n = n, .unused = c->n_allowed, .unused_address = before,
                  .address = address))
        return false;
    c->n_allowed = 0;
    if (!n)
        return true;
    if (!channel_expect(&c->front, IPC_web_rated, c->packet, WEB_IPC_TIMEOUT_MS, e) ||
        !ipc_web_rated_get(c->packet->body, &m, e))
        return false;
    c->n_allowed = m.n;
    memset(c->allowed_for, 0, sizeof c->allowed_for);
    memcpy(c->allowed_for, address.p, address.n < sizeof c->allowed_for - 1 ? address.n : sizeof c->allowed_for - 1);
    return true;
}

// A question for each request would cost as much as the request: the more there are, the more are asked for at once.
bool client_may_ask(struct web_exchange *x)
{
    struct web_conn *c = x->conn;
    struct err e = {0};

    if (c->front.fd < 0)
        return true;
    if (!c->n_allowed || !str_eq(x->client_ip, str_of(c->allowed_for))) {
        c->n_asked = !c->n_asked ? 1 : c->n_asked < MAX_BATCH / 2 ? 2 * c->n_asked : MAX_BATCH;
        if (!ask_front(c, x->client_ip, c->n_asked, &e)) {
            LOG(LOG_ERROR, "http", "asking whether a request may be answered", LOG_E(&e));
            channel_close(&c->front); // front has been started again: this connection is counted no more
            return true;
        }
    }
    if (c->n_allowed) {
        c->n_allowed--;
        return true;
    }
    x->handler = STR("(ratelimited)");
    x->has_logged = true; // there may be very many
    web_fail(x, 429, STR(""));
    return false;
}

void client_done(struct web_conn *c)
{
    struct err e = {0};

    if (c->front.fd >= 0 && c->n_allowed && !ask_front(c, STR(""), 0, &e))
        LOG(LOG_DEBUG, "http", "giving back requests", LOG_E(&e));
}
