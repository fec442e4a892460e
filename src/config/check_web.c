/*
 * The web server's part of domains.conf: WebDomainRedirects and WebHandlers.
 */
#include "config/config_priv.h"
#include "proto/http/http.h"
#include "text/idna.h"
#include "web/site_url.h"

static void note(struct check *c, const struct sconf_node *n, const char *text)
{
    problem_add(c->problems, c->file, n, "%s", text);
}

static bool parse_url(struct check *c, const struct sconf_node *n, struct site_url *out)
{
    struct err e = {0};

    if (!n || !n->value.n)
        return false;
    if (site_url_parse(c->a, n->value, out, &e))
        return true;
    problem_add(c->problems, c->file, n, "%.*s: %s", STR_FMT(n->key), e.text);
    return false;
}

// Where to, without a path: that of the request is put behind it.
static void check_base_url(struct check *c, const struct sconf_node *n)
{
    struct site_url url;

    if (parse_url(c, n, &url) && url.path.n > 1)
        note(c, n, "BaseURL must not have a path");
}

static void check_target_url(struct check *c, const struct sconf_node *n)
{
    struct site_url url;

    if (!parse_url(c, n, &url))
        return;
    if (!url.has_scheme)
        note(c, n, "URL must begin with http:// or https://");
    if (url.fragment.n)
        note(c, n, "URL must not have a fragment");
}

static void check_fields(struct check *c, const struct sconf_node *fields)
{
    SCONF_EACH (n, fields)
        if (!http_is_token(n->key))
            note(c, n, "the name of a header is letters, digits and hyphens");
        else if (!http_is_field_value(n->value))
            note(c, n, "the value of a header must not have control characters");
        else if (str_eq_ci(n->key, STR("Content-Length")) || str_eq_ci(n->key, STR("Transfer-Encoding")))
            note(c, n, "where a reply ends cannot be configured"); // who reads two words about it may see another reply
}

static void check_redirect(struct check *c, const struct sconf_node *to)
{
    uint64_t code = sconf_u64(to, "StatusCode", 308);

    if (!to)
        return;
    check_regex(c, sconf_get(to, "OrigPathRegexp"));
    check_base_url(c, sconf_get(to, "BaseURL"));
    if (!sconf_text(to, "OrigPathRegexp").n != !sconf_text(to, "ReplacePath").n)
        note(c, to, "OrigPathRegexp and ReplacePath belong together");
    if (!sconf_text(to, "BaseURL").n && !sconf_text(to, "OrigPathRegexp").n)
        note(c, to, "a redirect needs BaseURL or OrigPathRegexp");
    if (code < 300 || code > 399)
        note(c, to, "StatusCode must be 3xx");
}

static void check_handler(struct check *c, const struct sconf_node *h)
{
    static const char *const services[] = {"admin", "account", "webmail", "webapi", NULL};
    const struct sconf_node *fixed = sconf_get(h, "WebStatic"), *to = sconf_get(h, "WebRedirect");
    const struct sconf_node *forward = sconf_get(h, "WebForward");
    const struct sconf_node *internal = sconf_get(h, "WebInternal");
    const struct sconf_node *domain = sconf_get(h, "Domain"), *path = sconf_get(h, "PathRegexp");
    struct str base = sconf_text(internal, "BasePath"), strip = sconf_text(fixed, "StripPrefix");

    if (domain)
        check_domain(c, domain, domain->value);
    check_regex(c, path);
    if (path && !str_starts(path->value, STR("^")))
        note(c, path, "PathRegexp must begin with ^");
    if (!!fixed + !!to + !!forward + !!internal != 1)
        note(c, h, "a handler has one of WebStatic, WebRedirect, WebForward and WebInternal");
    if (strip.n && strip.p[0] != '/')
        note(c, fixed, "StripPrefix must begin with a slash");
    if (fixed && !sconf_text(fixed, "Root").n)
        note(c, fixed, "Root is empty");
    check_redirect(c, to);
    check_target_url(c, sconf_get(forward, "URL"));
    check_fields(c, sconf_get(fixed, "ResponseHeaders"));
    check_fields(c, sconf_get(forward, "ResponseHeaders"));
    if (internal && (!str_starts(base, STR("/")) || !str_ends(base, STR("/"))))
        note(c, internal, "BasePath must begin and end with a slash");
    check_one_of(c, sconf_get(internal, "Service"), services);
}

static bool has_web_server(const struct check *c)
{
    SCONF_EACH (l, sconf_get(c->config->main.root, "Listeners"))
        if (sconf_bool(sconf_get(l, "WebserverHTTP"), "Enabled") ||
            sconf_bool(sconf_get(l, "WebserverHTTPS"), "Enabled"))
            return true;
    return false;
}

void check_web(struct check *c)
{
    const struct sconf_node *redirects = sconf_get(c->file->root, "WebDomainRedirects");
    const struct sconf_node *handlers = sconf_get(c->file->root, "WebHandlers");
    const struct sconf_node *first = handlers && handlers->child ? handlers : redirects;

    SCONF_EACH (n, redirects) {
        check_domain(c, n, n->key);
        check_domain(c, n, n->value);
        if (str_eq(n->key, n->value))
            note(c, n, "a domain cannot redirect to itself");
    }
    SCONF_EACH (h, handlers)
        check_handler(c, h);
    if (first && first->child && !has_web_server(c))
        note(c, first, "no listener of mox.conf has WebserverHTTP or WebserverHTTPS");
}
