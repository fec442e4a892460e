#include "web/site.h"

enum { MAX_PATH = 3 * HTTP_MAX_TARGET };

const struct site_moved *site_moved_to(const struct site *s, struct str host)
{
    for (size_t i = 0; i < s->n_moved; i++)
        if (str_eq(s->moved[i].from, host))
            return &s->moved[i];
    return NULL;
}

const struct site_handler *site_next(const struct site *s, const struct http_request *r, size_t *at)
{
    while (*at < s->n) {
        const struct site_handler *h = &s->handlers[(*at)++];

        if (str_eq(h->domain, r->host) && regex_finds(h->path, r->path))
            return h;
    }
    return NULL;
}

static void put_query(struct buf *out, struct str first, bool has_first, const struct http_request *r)
{
    if (has_first || r->has_query)
        buf_put_char(out, '?');
    buf_put(out, first);
    if (first.n && r->query.n)
        buf_put_char(out, '&');
    buf_put(out, r->query);
}

// What every reader of an address takes for the same: pchar and slashes (RFC 3986 3.3).
static bool is_plain_path(struct str path)
{
    static const struct str others = STR_("-._~!$&'()*+,;=:@/%");

    for (size_t i = 0; i < path.n; i++)
        if (!ascii_is_alnum(path.p[i]) && str_find(others, path.p[i]) == STR_NONE)
            return false;
    return true;
}

// The path as it came when it is plain and says what was matched, dots and slashes where they are: so %2F
// stays that. Else what was matched.
static void put_path(struct buf *out, const struct http_request *r)
{
    AUTO_BUF decoded = BUF_LIMIT(HTTP_MAX_TARGET);

    if (is_plain_path(r->raw_path) && http_percent_decode(&decoded, r->raw_path) &&
        str_eq(buf_str(&decoded), r->path))
        buf_put(out, r->raw_path);
    else
        http_percent_encode(out, r->path, true);
}

void site_put_https(struct buf *out, struct str host, const struct http_request *r)
{
    BUF_PUT(out, "https://");
    buf_put(out, host);
    put_path(out, r);
    put_query(out, STR(""), false, r);
}

/* --- redirects -------------------------------------------------------------------------------- */

// The path after the handler's expression; it begins with one slash, so that it is no host.
static bool replace_path(const struct site_handler *h, const struct http_request *r, struct buf *out)
{
    AUTO_BUF replaced = BUF_LIMIT(MAX_PATH);
    struct str path = r->path;

    if (h->orig_path) {
        if (!regex_replace(h->orig_path, r->path, h->replace_path, &replaced) || replaced.full)
            return false;
        path = buf_str(&replaced);
    }
    while (str_starts(path, STR("/")))
        path = str_from(path, 1);
    buf_put_char(out, '/');
    buf_put(out, path);
    return true;
}

// Whether it is the host that the request came to; without a port it is the one of the scheme.
static bool is_own_host(const struct site_url *base, const struct http_request *r, bool is_https)
{
    unsigned of_scheme = is_https ? 443 : 80, port = base->port ? base->port : of_scheme;

    return str_eq(base->host, r->host) && port == (r->port ? r->port : of_scheme);
}

enum site_redirect site_redirect(const struct site_handler *h, const struct http_request *r, bool is_https,
                                 struct buf *out)
{
    AUTO_BUF path = BUF_LIMIT(MAX_PATH);
    const struct site_url *base = &h->base;

    if (!replace_path(h, r, &path))
        return SITE_REDIRECT_NONE;
    if ((!base->has_scheme || base->is_https == is_https) &&
        (!base->authority.n || is_own_host(base, r, is_https)) && str_eq(buf_str(&path), r->path))
        return SITE_REDIRECT_DECLINE;
    if (base->has_scheme)
        buf_put(out, base->is_https ? STR("https:") : STR("http:"));
    if (base->authority.n) {
        BUF_PUT(out, "//");
        buf_put(out, base->authority);
    }
    http_percent_encode(out, buf_str(&path), true);
    put_query(out, base->query, base->has_query, r);
    if (base->fragment.n) {
        buf_put_char(out, '#');
        buf_put(out, base->fragment);
    }
    return SITE_REDIRECT_TO;
}

/* --- files ------------------------------------------------------------------------------------- */

bool site_file_path(const struct site_handler *h, const struct http_request *r, struct str *out)
{
    struct str path = r->path, prefix = h->strip_prefix;

    if (!str_starts(path, prefix))
        return false;
    path = str_from(path, prefix.n);
    // The end of the prefix is the end of a name: "/files" is not the beginning of "/filesystem".
    if (prefix.n && !str_ends(prefix, STR("/")) && path.n && path.p[0] != '/')
        return false;
    while (str_starts(path, STR("/")))
        path = str_from(path, 1);
    *out = path;
    return true;
}

/* --- the proxy ----------------------------------------------------------------------------------- */

// What is left when that which the handler's expression matched is taken out.
static void put_stripped(struct buf *out, const struct site_handler *h, const struct http_request *r)
{
    size_t begin, end;

    if (!regex_find(h->path, r->path, &begin, &end))
        begin = end = 0;
    buf_put(out, str_sub(r->path, 0, begin));
    buf_put(out, str_from(r->path, end));
}

void site_put_target(struct buf *out, const struct site_handler *h, const struct http_request *r)
{
    AUTO_BUF path = BUF_LIMIT(MAX_PATH), stripped = BUF_LIMIT(HTTP_MAX_TARGET);
    struct str base = h->target.path, rest;

    if (h->strips_path) {
        put_stripped(&stripped, h, r);
        http_percent_encode(&path, buf_str(&stripped), true);
    } else {
        put_path(&path, r);
    }
    rest = buf_str(&path);
    while (str_starts(rest, STR("/")))
        rest = str_from(rest, 1);
    while (base.n && base.p[base.n - 1] == '/' && (rest.n || path.n))
        base.n--;
    buf_put(out, base);
    if (path.n || !base.n) // one slash in between, and none behind when the request had none
        buf_put_char(out, '/');
    buf_put(out, rest);
    put_query(out, h->target.query, h->target.has_query, r);
}
