#include "role/web/web.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "policy/mtasts.h"

static struct web_route *routes; // those of system first, then by length of the path
static size_t n_routes, cap_routes;
static struct ipc_web_domain *domains;
static size_t n_domains, cap_domains;
static struct map by_name; // domains
static struct map client_names; // that clients connect to

/* mox-web-http-api.md 5.1. */
static const struct {
    enum web_kind kind;
    struct str name;
    enum web_host_rule hosts;
    bool is_system, has_safe_fields;
    void (*serve)(struct web_exchange *x, const struct web_route *route);
} kinds[] = {
    {WEB_ACCOUNT, STR_("account"), WEB_HOST_SERVER_OR_CLIENTS, false, true, pages_service},
    {WEB_ADMIN, STR_("admin"), WEB_HOST_SERVER, false, true, pages_service},
    {WEB_WEBMAIL, STR_("webmail"), WEB_HOST_SERVER_OR_CLIENTS, false, true, pages_service},
    {WEB_WEBAPI, STR_("webapi"), WEB_HOST_SERVER_OR_CLIENTS, false, true, pages_service},
    {WEB_METRICS, STR_("metrics"), WEB_HOST_ANY, true, true, pages_metrics},
    {WEB_AUTOCONFIG, STR_("autoconfig"), WEB_HOST_AUTOCONFIG, true, true, autoconfig_serve},
    {WEB_MTASTS, STR_("mtasts"), WEB_HOST_MTASTS, true, true, mtasts_serve},
    {WEB_ACME, STR_("acme"), WEB_HOST_ANY, true, false, challenge_page},
};

const struct ipc_web_domain *dispatch_domain(struct str name)
{
    return map_get(&by_name, name);
}

static struct web_route *add_route(struct role_start *s, uint32_t listener, enum web_kind kind, struct str path)
{
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (kinds[i].kind == kind) {
            struct web_route *r = ARENA_PUSH(&s->arena, routes, &n_routes, &cap_routes);

            *r = (struct web_route){listener, kind, path, kinds[i].hosts, kinds[i].is_system,
                                    kinds[i].has_safe_fields, kinds[i].name, kinds[i].serve};
            return r;
        }
    return NULL;
}

static void redirect_to_slash(struct web_exchange *x, const struct web_route *route)
{
    struct str query = x->request->query;

    web_redirect(x, 303, arena_printf(x->arena, "%.*s/%s%.*s", STR_FMT(route->path), query.n ? "?" : "",
                                      STR_FMT(query)));
}

static void add_service(struct role_start *s, const struct ipc_web_service *m)
{
    struct web_route *r;

    switch ((enum web_kind)m->kind) {
    case WEB_METRICS:
        add_route(s, m->listener, WEB_METRICS, STR("/metrics"));
        // The page on "/" is no system handler's business where other services share the port.
        r = add_route(s, m->listener, WEB_METRICS, STR("/"));
        r->is_system = false;
        return;
    case WEB_AUTOCONFIG:
        for (size_t i = 0; i < AUTOCONFIG_PATHS; i++)
            add_route(s, m->listener, WEB_AUTOCONFIG, autoconfig_paths[i]);
        return;
    case WEB_MTASTS:
        add_route(s, m->listener, WEB_MTASTS, STR(MTASTS_PATH));
        return;
    case WEB_SITES:
        return;
    case WEB_ACME:
        add_route(s, m->listener, WEB_ACME, m->path);
        return;
    case WEB_ACCOUNT:
    case WEB_ADMIN:
    case WEB_WEBMAIL:
    case WEB_WEBAPI:
        break;
    }
    add_route(s, m->listener, (enum web_kind)m->kind, m->path);
    r = add_route(s, m->listener, (enum web_kind)m->kind, STR("/favicon.ico")); // the same by each service of the port
    r->name = STR("favicon");
    r->serve = pages_icon;
    if (m->path.n > 1) {
        r = add_route(s, m->listener, (enum web_kind)m->kind, STR("/")); // behind a service that has this path
        r->name = STR("index");
        r->serve = pages_index;
        r = add_route(s, m->listener, (enum web_kind)m->kind, str_sub(m->path, 0, m->path.n - 1));
        r->serve = redirect_to_slash;
    }
}

static int by_precedence(const void *a, const void *b)
{
    const struct web_route *x = a, *y = b;

    if (x->is_system != y->is_system)
        return x->is_system ? -1 : 1;
    if (x->path.n != y->path.n)
        return x->path.n > y->path.n ? -1 : 1;
    return (x->serve == pages_index) - (y->serve == pages_index);
}

bool dispatch_load(struct role_start *s, struct err *e)
{
    struct cur c = cur_of(s->config);
    struct ipc_web_service service;
    enum compiled_type type;
    struct str body;

    while (compiled_next(&c, &type, &body, e)) {
        if (type == COMPILED_web_service) {
            if (!ipc_web_service_get(body, &service, e))
                return false;
            add_service(s, &service);
        }
        if (type == COMPILED_web_domain &&
            !ipc_web_domain_get(body, ARENA_PUSH(&s->arena, domains, &n_domains, &cap_domains), e))
            return false;
    }
    for (size_t i = 0; i < n_domains; i++) {
        (void)map_put(&by_name, domains[i].name, &domains[i]);
        if (domains[i].client_settings.n)
            (void)map_put(&client_names, domains[i].client_settings, &domains[i]);
    }
    if (n_routes)
        qsort(routes, n_routes, sizeof *routes, by_precedence);
    return e->kind == ERR_NONE;
}

const struct web_route *dispatch_next(const struct web_exchange *x, const struct web_route *after)
{
    for (const struct web_route *r = after ? after + 1 : routes; r && r < routes + n_routes; r++)
        if (r->listener == x->conn->port->index)
            return r;
    return NULL;
}

static bool host_fits(const struct web_exchange *x, enum web_host_rule rule)
{
    const struct http_request *r = x->request;
    bool is_server = r->host_is_ip || str_eq(r->host, STR("localhost")) || str_eq(r->host, x->conn->port->hostname);

    switch (rule) {
    case WEB_HOST_ANY:
        return true;
    case WEB_HOST_SERVER:
        return is_server;
    case WEB_HOST_SERVER_OR_CLIENTS:
        return is_server || map_get(&client_names, r->host);
    case WEB_HOST_AUTOCONFIG:
        return str_eq(r->host, x->conn->port->hostname) || str_eq(r->host, x->conn->start->settings.hostname) ||
               autoconfig_domain(r->host);
    case WEB_HOST_MTASTS:
        return str_starts(r->host, STR(MTASTS_HOST_PREFIX));
    }
    return false;
}

static const struct web_route *find_route(const struct web_exchange *x, bool is_system)
{
    struct str path = x->request->path;

    for (size_t i = 0; i < n_routes; i++) {
        const struct web_route *r = &routes[i];

        if (r->listener == x->conn->port->index && r->is_system == is_system &&
            (str_ends(r->path, STR("/")) ? str_starts(path, r->path) : str_eq(path, r->path)) &&
            host_fits(x, r->hosts))
            return r;
    }
    return NULL;
}

// mox-web-http-api.md 5.4.
static void add_safe_fields(struct web_exchange *x)
{
    static const struct http_field safe[] = {
        {STR_("X-Frame-Options"), STR_("deny")},
        {STR_("X-Content-Type-Options"), STR_("nosniff")},
        {STR_("Content-Security-Policy"), STR_("default-src 'self' 'unsafe-inline' data:")},
        {STR_("Referrer-Policy"), STR_("same-origin")},
    };

    for (size_t i = 0; i < COUNT(safe); i++)
        if (!http_field_add(x->arena, &x->fields, safe[i].name, safe[i].value))
            return;
}

static bool serve(struct web_exchange *x, const struct web_route *route)
{
    if (!route)
        return false;
    x->handler = route->name;
    if (route->has_safe_fields)
        add_safe_fields(x);
    route->serve(x, route);
    return true;
}

void dispatch_internal(struct web_exchange *x, struct str service, struct str base_path)
{
    struct web_route route = {.listener = x->conn->port->index, .path = base_path, .has_safe_fields = true,
                              .name = service, .serve = pages_service};

    x->no_compression = false;
    if (str_eq(x->request->path, str_sub(base_path, 0, base_path.n - 1)))
        route.serve = redirect_to_slash, route.path = x->request->path;
    (void)serve(x, &route);
}

void dispatch(struct web_exchange *x)
{
    client_of(x);
    if (!client_may_ask(x))
        return;
    if (serve(x, find_route(x, true)) || sites_serve(x) || serve(x, find_route(x, false)))
        return;
    web_fail(x, 404, STR(""));
}
