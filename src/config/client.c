/*
 * What mail programs connect to (mox-web-http-api.md 5.8).
 */
#include "config/config.h"
#include "text/idna.h"

struct pair {
    const char *immediate, *starttls;
    uint64_t immediate_port, starttls_port;
};

static void take(const struct sconf_node *listener, const struct pair *p, struct str host, struct mail_server *out)
{
    const struct sconf_node *immediate = sconf_get(listener, p->immediate);
    const struct sconf_node *starttls = sconf_get(listener, p->starttls);

    if (out->host.n)
        return;
    if (sconf_bool(immediate, "Enabled"))
        *out = (struct mail_server){host, (uint32_t)sconf_u64(immediate, "Port", p->immediate_port), MAIL_SOCKET_TLS,
                                    sconf_bool(immediate, "EnabledOnHTTPS")};
    else if (sconf_bool(starttls, "Enabled"))
        *out = (struct mail_server){host, (uint32_t)sconf_u64(starttls, "Port", p->starttls_port),
                                    sconf_get(listener, "TLS") ? MAIL_SOCKET_STARTTLS : MAIL_SOCKET_PLAIN, false};
}

static void take_both(const struct config *c, struct arena *a, const struct sconf_node *domain,
                      const struct sconf_node *listener, struct mail_settings *out)
{
    static const struct pair imap = {"IMAPS", "IMAP", 993, 143}, submission = {"Submissions", "Submission", 465, 587};
    struct str own = sconf_text(domain, "ClientSettingsDomain"), host;
    struct err e = {0};

    if (!own.n)
        own = sconf_text(listener, "Hostname");
    if (!own.n || !domain_to_ascii(a, own, &host, &e))
        host = c->hostname;
    take(listener, &imap, host, &out->imap);
    take(listener, &submission, host, &out->submission);
}

void config_mail_settings(const struct config *c, struct arena *a, const struct sconf_node *domain,
                          struct mail_settings *out)
{
    const struct sconf_node *listeners = sconf_get(c->main.root, "Listeners");
    const struct sconf_node *public = sconf_get(listeners, "public");
    struct err e = {0};

    *out = (struct mail_settings){0};
    if (!domain_to_ascii(a, domain->key, &out->domain, &e))
        out->domain = domain->key;
    if (public)
        take_both(c, a, domain, public, out);
    SCONF_EACH (l, listeners)
        take_both(c, a, domain, l, out);
}
