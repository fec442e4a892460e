/*
 * Which names this server may have certificates for, by authority (mox-web-http-api.md 6.2), and which private
 * keys are to be those of the host's.
 */
#include "base/map.h"
#include "config/config_priv.h"
#include "text/idna.h"
#include "web/autoconfig.h"

struct collect {
    struct arena *a;
    struct config_hosts *out;
    struct map seen; // provider, a space, host -> its number in out, from 1 on
};

static void add(struct collect *c, struct str provider, struct str host, bool is_proactive)
{
    struct str key = arena_printf(c->a, "%.*s %.*s", STR_FMT(provider), STR_FMT(host));
    size_t number = (size_t)map_get(&c->seen, key);

    // RFC 8555 7.1.4: names of the DNS; one label alone nobody can vouch for.
    if (!host.n || str_find(host, '.') < 0)
        return;
    if (!number) {
        *ARENA_PUSH(c->a, c->out->items, &c->out->n, &c->out->cap) =
            (struct config_host){.provider = provider, .host = host};
        number = c->out->n;
        map_put(&c->seen, key, (void *)number);
    }
    c->out->items[number - 1].is_proactive |= is_proactive;
}

static void add_text(struct collect *c, struct str provider, struct str prefix, struct str name, bool is_proactive)
{
    struct str ascii;
    struct err e = {0};

    if (name.n && domain_to_ascii(c->a, name, &ascii, &e))
        add(c, provider, arena_printf(c->a, "%.*s%.*s", STR_FMT(prefix), STR_FMT(ascii)), is_proactive);
}

// A service that is there, with TLS of ours.
static bool is_served(const struct sconf_node *l, const char *service)
{
    const struct sconf_node *s = sconf_get(l, service);

    return sconf_bool(s, "Enabled") && !sconf_bool(s, "NonTLS");
}

static void add_domains(struct collect *c, const struct config *config, struct str provider,
                        const struct sconf_node *l)
{
    SCONF_EACH (d, sconf_get(config->domains.root, "Domains")) {
        if (sconf_bool(d, "Disabled"))
            continue;
        if (is_served(l, "AutoconfigHTTPS")) {
            add_text(c, provider, STR("autoconfig."), d->key, true);
            add_text(c, provider, STR(PACC_HOST_PREFIX), d->key, false);
        }
        if (is_served(l, "MTASTSHTTPS") && sconf_get(d, "MTASTS"))
            add_text(c, provider, STR("mta-sts."), d->key, false);
        add_text(c, provider, STR(""), sconf_text(d, "ClientSettingsDomain"), false);
    }
    if (!is_served(l, "WebserverHTTPS"))
        return;
    SCONF_EACH (n, sconf_get(config->domains.root, "WebDomainRedirects"))
        add_text(c, provider, STR(""), n->key, false);
    SCONF_EACH (n, sconf_get(config->domains.root, "WebHandlers"))
        add_text(c, provider, STR(""), sconf_text(n, "Domain"), false);
}

static struct str provider_of(const struct sconf_node *l)
{
    return sconf_text(sconf_get(l, "TLS"), "ACME");
}

void config_acme_hosts(const struct config *config, struct arena *a, struct config_hosts *out)
{
    struct collect c = {.a = a, .out = out};

    *out = (struct config_hosts){0};
    // The hosts first: they are also the first that certificates are requested for.
    SCONF_EACH (l, sconf_get(config->main.root, "Listeners"))
        if (provider_of(l).n) {
            add(&c, provider_of(l), config->hostname, true);
            add_text(&c, provider_of(l), STR(""), sconf_text(l, "Hostname"), true);
        }
    SCONF_EACH (l, sconf_get(config->main.root, "Listeners"))
        if (provider_of(l).n)
            add_domains(&c, config, provider_of(l), l);
    map_fini(&c.seen);
}

/* --- keys of hosts ------------------------------------------------------------------------------------------ */

static bool is_named(struct arena *a, const struct sconf_node *l, struct str host)
{
    struct str ascii;
    struct err e = {0};

    return sconf_text(l, "Hostname").n && domain_to_ascii(a, sconf_text(l, "Hostname"), &ascii, &e) &&
           str_eq(ascii, host);
}

static void add_files(const struct sconf_node *l, struct arena *a, struct addresses *out)
{
    SCONF_EACH (file, sconf_get(sconf_get(l, "TLS"), "HostPrivateKeyFiles"))
        *ARENA_PUSH(a, out->items, &out->n, &out->cap) = file->value;
}

void config_host_keys(const struct config *config, struct arena *a, struct str host, struct addresses *out)
{
    const struct sconf_node *listeners = sconf_get(config->main.root, "Listeners");
    bool is_global = str_eq(host, config->hostname), is_host = is_global;

    *out = (struct addresses){0};
    SCONF_EACH (l, listeners)
        if (is_named(a, l, host)) {
            is_host = true;
            add_files(l, a, out);
        }
    SCONF_EACH (l, listeners)
        if (is_global && str_eq(l->key, STR("public")) && !is_named(a, l, host))
            add_files(l, a, out);
    SCONF_EACH (l, listeners)
        if (is_host && !is_named(a, l, host) && !(is_global && str_eq(l->key, STR("public"))))
            add_files(l, a, out);
}
