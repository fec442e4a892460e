#include "role/config/acme.h"

#include "policy/acme/acme.h"
#include "role/config/web.h"

static const struct sconf_node *provider_of(const struct config *config, const struct sconf_node *listener)
{
    struct str name = sconf_text(sconf_get(listener, "TLS"), "ACME");

    SCONF_EACH (n, sconf_get(config->main.root, "ACME"))
        if (name.n && str_eq(n->key, name))
            return n;
    return NULL;
}

uint32_t acme_port_of(const struct config *config, const struct sconf_node *listener)
{
    const struct sconf_node *provider = provider_of(config, listener);

    return provider ? (uint32_t)sconf_u64(provider, "Port", 443) : 0;
}

// mox-web-http-api.md 6.2: on every port of plain HTTP.
static bool has_plain_port(struct arena *a, const struct config *config)
{
    SCONF_EACH (l, sconf_get(config->main.root, "Listeners")) {
        struct web_port ports[WEB_MAX_PORTS];
        size_t n = web_ports_of(a, l, acme_port_of(config, l), ports);

        for (size_t i = 0; i < n; i++)
            if (!ports[i].has_tls)
                return true;
    }
    return false;
}

static uint32_t seconds_of(const struct sconf_node *provider, const char *name)
{
    int64_t ns = 0;

    if (!sconf_duration(sconf_text(provider, name), &ns) || ns < 0)
        return 0;
    return ns / 1000000000 < UINT32_MAX ? (uint32_t)(ns / 1000000000) : UINT32_MAX;
}

static void put_host(struct arena *a, const struct config *config, const struct config_host *h, struct buf *out,
                     struct buf *files)
{
    struct addresses keys;

    COMPILED_PUT(out, acme_host, .provider = h->provider, .host = h->host, .is_proactive = h->is_proactive);
    config_host_keys(config, a, h->host, &keys);
    for (size_t i = 0; i < keys.n; i++)
        COMPILED_PUT(files, key_file, .provider = h->provider, .host = h->host, .path = keys.items[i]);
}

static void put_dns(struct arena *a, const struct sconf_node *provider, struct buf *out)
{
    const struct sconf_node *update = sconf_get(provider, "DNSUpdate");

    if (update)
        COMPILED_PUT(out, acme_dns, .provider = provider->key, .server = sconf_text(update, "Server"),
                     .port = (uint32_t)sconf_u64(update, "Port", 53),
                     .zone = arena_lower(a, sconf_text(update, "Zone")),
                     .key_name = arena_lower(a, sconf_text(update, "KeyName")));
}

void compile_acme(struct arena *a, const struct config *config, struct buf *out, struct buf *files, struct buf *dial)
{
    unsigned kinds = ACME_KIND_BIT(ACME_TLS_ALPN) | (has_plain_port(a, config) ? ACME_KIND_BIT(ACME_HTTP) : 0);
    struct config_hosts hosts;

    SCONF_EACH (n, sconf_get(config->main.root, "ACME")) {
        const struct sconf_node *binding = sconf_get(n, "ExternalAccountBinding");
        const struct sconf_node *update = sconf_get(n, "DNSUpdate");
        struct str hook = sconf_text(n, "DNSHook");

        COMPILED_PUT(out, acme_provider, .name = n->key, .directory_url = sconf_text(n, "DirectoryURL"),
                     .contact = sconf_text(n, "ContactEmail"), .renew_before_s = seconds_of(n, "RenewBefore"),
                     .binding_key_id = sconf_text(binding, "KeyID"), 
                     .kinds = (uint8_t)(hook.n || update ? ACME_KIND_BIT(ACME_DNS) : kinds));
        put_dns(a, n, out);
        put_dns(a, n, dial);
        if (update)
            COMPILED_PUT(files, key_file, .provider = n->key, .path = sconf_text(update, "KeyFile"), .is_tsig = true);
        if (hook.n)
            COMPILED_PUT(files, acme_hook, .provider = n->key, .path = hook);
        if (binding)
            COMPILED_PUT(files, key_file, .provider = n->key, .path = sconf_text(binding, "KeyFile"));
    }
    config_acme_hosts(config, a, &hosts);
    for (size_t i = 0; i < hosts.n; i++)
        put_host(a, config, &hosts.items[i], out, files);
}
