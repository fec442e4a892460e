/*
 * The web server of domains.conf (mox-web-http-api.md 5.5): what is configured, and which handler answers.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "os/fd.h"
#include "role/web/web.h"
#include "web/forward.h"
#include "web/site.h"

static struct site site;
static int *roots; // of each handler; -1: it has none
static uint32_t *ports; // the numbers of those that serve sites
static size_t n_ports, cap_ports;
/* The directories, each once: for the sandbox of children. */
static int dirs[ROLE_MAX_DIRS];
static struct str dir_names[ROLE_MAX_DIRS];
static size_t n_dirs;

const int *sites_roots(size_t *n)
{
    *n = n_dirs;
    return dirs;
}

// The server's own files are nobody's web site.
static bool has_own_files(int fd)
{
    static const char *const names[] = {"mox.conf", "domains.conf", "receivedid.key"};
    struct stat st;

    for (size_t i = 0; i < COUNT(names); i++)
        if (fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
            return true;
    return false;
}

// With this process's rights: it is the web user's, and not in its sandbox yet.
static int open_root(struct role_start *s, struct str name)
{
    const char *path = arena_cstring(&s->arena, name);
    struct err e = {0};
    int fd = -1;

    for (size_t i = 0; i < n_dirs; i++)
        if (str_eq(dir_names[i], name))
            return dirs[i];
    if (n_dirs < ROLE_MAX_DIRS && s->n_dirs < ROLE_MAX_DIRS && path)
        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && has_own_files(fd)) {
        LOG(LOG_ERROR, "webserver", "a directory with this server's own files is not served", LOG_S("root", name));
        fd_close(&fd);
        return -1;
    }
    if (fd < 0) {
        (void)fail_errno(&e, "opening %.*s", STR_FMT(str_sub(name, 0, 150)));
        LOG(LOG_ERROR, "webserver", "a directory is not served", LOG_E(&e));
        return -1;
    }
    dirs[n_dirs] = fd;
    dir_names[n_dirs++] = name;
    s->dirs[s->n_dirs] = fd_copy(fd); // children close theirs
    s->n_dirs++;
    return fd;
}

static bool compile(struct str pattern, struct regex **out, struct err *e)
{
    *out = pattern.n ? regex_new(pattern, e) : NULL;
    return *out || !pattern.n;
}

static bool add_handler(struct role_start *s, const struct ipc_web_handler *m, struct err *e)
{
    struct site_handler *h = ARENA_PUSH(&s->arena, site.handlers, &site.n, &site.cap);

    *h = (struct site_handler){.number = (uint32_t)site.n - 1,
                               .name = m->name,
                               .domain = m->domain,
                               .answers_plain = m->answers_plain,
                               .compresses = m->compresses,
                               .strip_prefix = m->strip_prefix,
                               .lists_files = m->lists_files,
                               .continues = m->continues,
                               .replace_path = m->replace_path,
                               .code = m->code,
                               .strips_path = m->strips_path,
                               .base_path = m->base_path,
                               .service = m->service};
    switch ((enum web_handler_kind)m->kind) {
    case WEB_HANDLER_STATIC:
        h->kind = SITE_STATIC;
        break;
    case WEB_HANDLER_REDIRECT:
        h->kind = SITE_REDIRECT;
        break;
    case WEB_HANDLER_FORWARD:
        h->kind = SITE_FORWARD;
        break;
    case WEB_HANDLER_INTERNAL:
        h->kind = SITE_INTERNAL;
        break;
    }
    return compile(m->path_regexp, &h->path, e) && compile(m->orig_path_regexp, &h->orig_path, e) &&
           (!m->url.n ||
            site_url_parse(&s->arena, m->url, h->kind == SITE_REDIRECT ? &h->base : &h->target, e));
}

static bool add_field(struct role_start *s, const struct ipc_web_field *m, struct err *e)
{
    struct site_handler *h = site.n ? &site.handlers[site.n - 1] : NULL;
    struct http_fields *fields;

    if (!h)
        return fail(e, ERR_BUG, "a field of no handler");
    fields = &h->fields;
    return http_field_add(&s->arena, fields, m->name, m->value) || fail(e, ERR_BUG, "a field that is none");
}

static bool read_record(struct role_start *s, enum compiled_type type, struct str body, struct err *e)
{
    struct ipc_web_service service;
    struct ipc_web_handler handler;
    struct ipc_web_moved moved;
    struct ipc_web_field field;

    switch ((int)type) {
    case COMPILED_web_service:
        if (!ipc_web_service_get(body, &service, e))
            return false;
        if (service.kind == WEB_SITES)
            *ARENA_PUSH(&s->arena, ports, &n_ports, &cap_ports) = service.listener;
        return true;
    case COMPILED_web_moved:
        if (!ipc_web_moved_get(body, &moved, e))
            return false;
        *ARENA_PUSH(&s->arena, site.moved, &site.n_moved, &site.cap_moved) =
            (struct site_moved){moved.from, moved.to};
        return true;
    case COMPILED_web_handler:
        return ipc_web_handler_get(body, &handler, e) && add_handler(s, &handler, e);
    case COMPILED_web_field:
        return ipc_web_field_get(body, &field, e) && add_field(s, &field, e);
    default:
        return true;
    }
}

static bool open_roots(struct role_start *s, struct err *e)
{
    struct cur c = cur_of(s->config);
    struct ipc_web_handler m;
    enum compiled_type type;
    struct str body;
    size_t n = 0;

    roots = ARENA_ARRAY(&s->arena, site.n + 1, int);
    while (compiled_next(&c, &type, &body, e))
        if (type == COMPILED_web_handler) {
            if (!ipc_web_handler_get(body, &m, e))
                return false;
            roots[n++] = m.root.n ? open_root(s, m.root) : -1;
        }
    return e->kind == ERR_NONE;
}

bool sites_load(struct role_start *s, struct err *e)
{
    struct cur c = cur_of(s->config);
    enum compiled_type type;
    bool has_https = false;
    struct str body;

    while (compiled_next(&c, &type, &body, e))
        if (!read_record(s, type, body, e))
            return false;
    for (size_t i = 0; i < site.n; i++)
        has_https |= site.handlers[i].kind == SITE_FORWARD && site.handlers[i].target.is_https;
    return e->kind == ERR_NONE && open_roots(s, e) && (!has_https || backend_load(s, e));
}

/* --- a request ----------------------------------------------------------------------------------- */

static bool is_site_port(const struct web_exchange *x)
{
    for (size_t i = 0; i < n_ports; i++)
        if (ports[i] == x->conn->port->index)
            return true;
    return false;
}

static void redirect_to_https(struct web_exchange *x, struct str host)
{
    AUTO_BUF b = BUF_LIMIT(4 * HTTP_MAX_TARGET);

    site_put_https(&b, host, x->request);
    web_redirect(x, 308, arena_dup(x->arena, buf_str(&b)));
}

static bool redirect(struct web_exchange *x, const struct site_handler *h)
{
    AUTO_BUF b = BUF_LIMIT(8 * HTTP_MAX_TARGET);

    switch (site_redirect(h, x->request, x->is_secure, &b)) {
    case SITE_REDIRECT_TO:
        web_redirect(x, h->code, arena_dup(x->arena, buf_str(&b)));
        return true;
    case SITE_REDIRECT_NONE:
        web_fail(x, 404, STR(""));
        return true;
    case SITE_REDIRECT_DECLINE:
        break;
    }
    return false;
}

static bool serve(struct web_exchange *x, const struct site_handler *h)
{
    x->handler = h->name;
    x->no_compression = !h->compresses;
    if (!x->is_secure && !h->answers_plain) {
        redirect_to_https(x, h->domain);
        return true;
    }
    switch (h->kind) {
    case SITE_STATIC:
        return static_serve(x, h, roots[h->number]);
    case SITE_REDIRECT:
        return redirect(x, h);
    case SITE_FORWARD:
        if (websocket_is_asked(x->request))
            websocket_serve(x, h);
        else
            forward_serve(x, h);
        return true;
    case SITE_INTERNAL:
        dispatch_internal(x, h->service, h->base_path);
        return true;
    }
    return false;
}

bool sites_serve(struct web_exchange *x)
{
    const struct site_moved *moved;
    const struct site_handler *h;
    size_t at = 0;

    // "OPTIONS *" is about the server, which is none of a site's.
    if (!is_site_port(x) || !str_starts(x->request->path, STR("/")))
        return false;
    moved = site_moved_to(&site, x->request->host);
    if (moved) {
        x->handler = STR("(domainredirect)");
        redirect_to_https(x, moved->to);
        return true;
    }
    while ((h = site_next(&site, x->request, &at)))
        if (serve(x, h))
            return true;
    x->handler = STR("(nomatch)");
    x->no_compression = false;
    return false;
}
