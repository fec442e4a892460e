#include "role/config/web.h"

#include "text/idna.h"

static struct web_port *port_of(struct web_port *ports, size_t *n, uint32_t number)
{
    for (size_t i = 0; i < *n; i++)
        if (ports[i].port == number)
            return &ports[i];
    ports[*n] = (struct web_port){.port = number};
    return &ports[(*n)++];
}

// mox-web-http-api.md 5.1: a path names a directory.
static struct str path_of(struct arena *a, const struct sconf_node *service, struct str usual)
{
    struct str path = sconf_text(service, "Path");

    if (!path.n)
        return usual;
    return str_ends(path, STR("/")) ? path : arena_printf(a, "%.*s/", STR_FMT(path));
}

size_t web_ports_of(struct arena *a, const struct sconf_node *listener, struct web_port out[WEB_MAX_PORTS])
{
    static const struct {
        const char *name;
        enum web_kind kind;
        struct str path;
        uint32_t port;
        bool has_tls; // unless NonTLS
    } services[] = {
        {"AccountHTTP", WEB_ACCOUNT, STR_("/"), 80, false},
        {"AccountHTTPS", WEB_ACCOUNT, STR_("/"), 443, true},
        {"AdminHTTP", WEB_ADMIN, STR_("/admin/"), 80, false},
        {"AdminHTTPS", WEB_ADMIN, STR_("/admin/"), 443, true},
        {"WebmailHTTP", WEB_WEBMAIL, STR_("/webmail/"), 80, false},
        {"WebmailHTTPS", WEB_WEBMAIL, STR_("/webmail/"), 443, true},
        {"WebAPIHTTP", WEB_WEBAPI, STR_("/webapi/"), 80, false},
        {"WebAPIHTTPS", WEB_WEBAPI, STR_("/webapi/"), 443, true},
        {"MetricsHTTP", WEB_METRICS, STR_("/metrics"), 8010, false},
        {"AutoconfigHTTPS", WEB_AUTOCONFIG, STR_(""), 443, true},
        {"MTASTSHTTPS", WEB_MTASTS, STR_(""), 443, true},
        {"WebserverHTTP", WEB_SITES, STR_(""), 80, false},
        {"WebserverHTTPS", WEB_SITES, STR_(""), 443, true},
    };
    size_t n = 0;

    _Static_assert(COUNT(services) <= WEB_MAX_PORTS, "every service may have a port of its own");
    for (size_t i = 0; i < COUNT(services); i++) {
        const struct sconf_node *s = sconf_get(listener, services[i].name);
        struct web_port *p;

        if (!sconf_bool(s, "Enabled"))
            continue;
        p = port_of(out, &n, (uint32_t)sconf_u64(s, "Port", services[i].port));
        p->has_tls = services[i].has_tls && !sconf_bool(s, "NonTLS");
        p->is_forwarded |= sconf_bool(s, "Forwarded");
        p->no_rate_limit |= sconf_bool(s, "RateLimitDisabled");
        p->services[p->n_services++] =
            (struct web_on_port){services[i].kind, path_of(a, s, services[i].path)};
    }
    return n;
}

void compile_web_domains(struct arena *a, const struct config *config, struct buf *out)
{
    SCONF_EACH (n, sconf_get(config->domains.root, "Domains")) {
        struct str name, own = sconf_text(n, "ClientSettingsDomain"), client = {0};
        struct err e = {0};

        if (sconf_bool(n, "Disabled") || !domain_to_ascii(a, n->key, &name, &e))
            continue;
        if (own.n && !domain_to_ascii(a, own, &client, &e))
            client = STR("");
        COMPILED_PUT(out, web_domain, .name = name, .client_settings = client);
    }
}
