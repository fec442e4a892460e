#include "config/config_priv.h"

static void say(struct problems *p, const struct sconf *file, const struct sconf_node *at, const char *why)
{
    if (at)
        problem_add(p, file, at, "%.*s has no effect: %s", STR_FMT(str_sub(at->key, 0, 100)), why);
}

static void put_listener(struct problems *p, const struct sconf *file, const struct sconf_node *l)
{
    const struct sconf_node *tickets = sconf_get(sconf_get(l, "SMTP"), "TLSSessionTicketsDisabled");
    const struct sconf_node *version = sconf_get(sconf_get(l, "TLS"), "MinVersion");

    if (sconf_bool(sconf_get(l, "PprofHTTP"), "Enabled"))
        say(p, file, sconf_get(l, "PprofHTTP"), "this program has no profile to show");
    if (tickets && str_eq(tickets->value, STR("false")))
        say(p, file, tickets, "there are no session tickets on this port");
    if (version && (str_eq(version->value, STR("TLSv1.0")) || str_eq(version->value, STR("TLSv1.1"))))
        say(p, file, version, "TLS 1.2 is the oldest that is spoken");
}

void config_put_idle(const struct config *c, struct buf *out)
{
    struct problems p = {out, 0};

    SCONF_EACH (l, sconf_get(c->main.root, "Listeners"))
        put_listener(&p, &c->main, l);
    SCONF_EACH (domain, sconf_get(c->domains.root, "Domains"))
        SCONF_EACH (selector, sconf_get(sconf_get(domain, "DKIM"), "Selectors")) {
            const struct sconf_node *hash = sconf_get(selector, "Hash");

            if (hash && str_eq(hash->value, STR("sha1"))) // RFC 8301 §3.1
                say(&p, &c->domains, hash, "signatures by sha1 count for nothing, they are made by sha256");
        }
    SCONF_EACH (account, sconf_get(c->domains.root, "Accounts")) {
        say(&p, &c->domains, sconf_get(account, "OutgoingWebhook"), "no web server is called yet");
        say(&p, &c->domains, sconf_get(account, "IncomingWebhook"), "no web server is called yet");
    }
}
