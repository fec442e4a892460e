#include "role/config/web.h"

#include "text/idna.h"
#include "web/site_url.h"

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

static bool is_on_https(const struct sconf_node *service)
{
    return sconf_bool(service, "Enabled") && sconf_bool(service, "EnabledOnHTTPS");
}

size_t web_ports_of(struct arena *a, const struct sconf_node *listener, uint32_t acme_port,
                    struct web_port out[WEB_MAX_PORTS])
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
    bool has_mail = is_on_https(sconf_get(listener, "Submissions")) || is_on_https(sconf_get(listener, "IMAPS"));
    size_t n = 0;

    _Static_assert(COUNT(services) < WEB_MAX_PORTS, "every service, and ACME, may have a port of its own");
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
    if (acme_port || has_mail) {
        size_t n_before = n;
        struct web_port *p = port_of(out, &n, acme_port ? acme_port : 443);

        p->has_tls |= n > n_before;
        p->has_mail = has_mail && p->has_tls;
    }
    return n;
}

static bool sts_of(struct arena *a, const struct config *config, const struct sconf_node *domain,
                   struct mtasts_policy *out)
{
    const struct sconf_node *node = sconf_get(domain, "MTASTS");
    size_t cap = 0;
    int64_t age = 0;

    *out = (struct mtasts_policy){0};
    if (!node || !mtasts_mode_parse(sconf_text(node, "Mode"), &out->mode))
        return false;
    if (sconf_duration(sconf_text(node, "MaxAge"), &age) && age > 0)
        out->max_age = age / 1000000000 < MTASTS_MAX_AGE ? (uint32_t)(age / 1000000000) : MTASTS_MAX_AGE;
    SCONF_EACH (mx, sconf_get(node, "MX")) {
        bool is_wild = str_starts(mx->value, STR("*."));
        struct str name;
        struct err e = {0};

        if (domain_to_ascii(a, str_from(mx->value, is_wild ? 2 : 0), &name, &e))
            *ARENA_PUSH(a, out->mx, &out->n, &cap) = is_wild ? arena_printf(a, "*.%.*s", STR_FMT(name)) : name;
    }
    if (!out->n)
        *ARENA_PUSH(a, out->mx, &out->n, &cap) = config->hostname;
    return true;
}

void compile_web_domains(struct arena *a, const struct config *config, struct buf *out)
{
    SCONF_EACH (n, sconf_get(config->domains.root, "Domains")) {
        AUTO_BUF mx = BUF_LIMIT(IPC_MAX_STS_MX);
        struct str name, own = sconf_text(n, "ClientSettingsDomain"), client = {0};
        struct mail_settings s;
        struct mtasts_policy sts;
        struct err e = {0};
        bool has_sts = sts_of(a, config, n, &sts);

        if (sconf_bool(n, "Disabled") || !domain_to_ascii(a, n->key, &name, &e))
            continue;
        if (own.n && !domain_to_ascii(a, own, &client, &e))
            client = STR("");
        config_mail_settings(config, a, n, &s);
        mtasts_mx_put(&mx, &sts);
        COMPILED_PUT(out, web_domain, .name = name, .client_settings = client, .imap_host = s.imap.host,
                     .imap_port = s.imap.port, .imap_socket = (uint8_t)s.imap.socket, .imap_on_https = s.imap.is_on_https,
                     .submission_host = s.submission.host, .submission_port = s.submission.port,
                     .submission_socket = (uint8_t)s.submission.socket, .submission_on_https = s.submission.is_on_https,
                     .has_sts = has_sts, .sts_mode = (uint8_t)sts.mode, .sts_max_age = sts.max_age, .sts_mx = buf_str(&mx));
    }
}

static struct str ascii(struct arena *a, struct str domain)
{
    struct str out;
    struct err e = {0};

    return domain_to_ascii(a, domain, &out, &e) ? out : STR(""); // which is no host: it has been checked
}

static void put_fields(const struct sconf_node *fields, struct buf *out)
{
    SCONF_EACH (n, fields)
        COMPILED_PUT(out, web_field, .name = n->key, .value = n->value);
}

static void put_target(struct arena *a, struct str text, struct buf *out)
{
    struct site_url url;
    struct err e = {0};

    if (site_url_parse(a, text, &url, &e))
        COMPILED_PUT(out, web_target, .host = url.host, .port = url.port);
}

static void put_handler(struct arena *a, const struct sconf_node *h, unsigned number, struct buf *out)
{
    const struct sconf_node *fixed = sconf_get(h, "WebStatic"), *to = sconf_get(h, "WebRedirect");
    const struct sconf_node *forward = sconf_get(h, "WebForward"), *internal = sconf_get(h, "WebInternal");
    struct str name = sconf_text(h, "LogName");

    COMPILED_PUT(out, web_handler,
                 .kind = fixed     ? WEB_HANDLER_STATIC
                         : to      ? WEB_HANDLER_REDIRECT
                         : forward ? WEB_HANDLER_FORWARD
                                   : WEB_HANDLER_INTERNAL,
                 .name = name.n ? name : arena_printf(a, "%u", number), .domain = ascii(a, sconf_text(h, "Domain")),
                 .path_regexp = sconf_text(h, "PathRegexp"),
                 .answers_plain = sconf_bool(h, "DontRedirectPlainHTTP"), .compresses = sconf_bool(h, "Compress"),
                 .strip_prefix = sconf_text(fixed, "StripPrefix"), .root = sconf_text(fixed, "Root"),
                 .lists_files = sconf_bool(fixed, "ListFiles"), .continues = sconf_bool(fixed, "ContinueNotFound"),
                 .url = to ? sconf_text(to, "BaseURL") : sconf_text(forward, "URL"),
                 .orig_path_regexp = sconf_text(to, "OrigPathRegexp"), .replace_path = sconf_text(to, "ReplacePath"),
                 .code = (uint32_t)sconf_u64(to, "StatusCode", 308), .strips_path = sconf_bool(forward, "StripPath"),
                 .base_path = sconf_text(internal, "BasePath"), .service = sconf_text(internal, "Service"));
    put_fields(sconf_get(fixed ? fixed : forward, "ResponseHeaders"), out);
}

void compile_web_sites(struct arena *a, const struct config *config, struct buf *out, struct buf *targets)
{
    unsigned number = 0;

    SCONF_EACH (n, sconf_get(config->domains.root, "WebDomainRedirects"))
        COMPILED_PUT(out, web_moved, .from = ascii(a, n->key), .to = ascii(a, n->value));
    SCONF_EACH (h, sconf_get(config->domains.root, "WebHandlers")) {
        const struct sconf_node *forward = sconf_get(h, "WebForward");

        put_handler(a, h, number++, out);
        if (forward)
            put_target(a, sconf_text(forward, "URL"), targets);
    }
}
