#include "cmd/client_table.h"

#include <stdlib.h>

#include "text/idna.h"

struct client_service {
    const char *name, *protocol;
    uint64_t port;
    bool is_tls;
    const char *alpn;
};
static const struct client_service services[] = {
    {"Submissions", "Submission (SMTP)", 465, true, "smtp"},
    {"Submission", "Submission (SMTP)", 587, false, NULL},
    {"IMAPS", "IMAP", 993, true, "imap"},
    {"IMAP", "IMAP", 143, false, NULL},
};

static void put_row(struct buf *out, const char *protocol, struct str host, const char *port, struct str listener,
                    struct str note)
{
    buf_printf(out, "%-20s %-30.*s %6s   %-15.*s %.*s\n", protocol, STR_FMT(host), port, STR_FMT(listener),
               STR_FMT(note));
}

static struct str note_of(struct arena *a, const struct client_service *s, const struct sconf_node *listener,
                          const struct sconf_node *node)
{
    if (s->is_tls)
        return sconf_bool(node, "EnabledOnHTTPS")
                   ? arena_printf(a, "with TLS; also served on port 443 with TLS ALPN \"%s\"", s->alpn)
                   : STR("with TLS");
    if (!sconf_get(listener, "TLS"))
        return STR("plain text, no STARTTLS configured");
    return sconf_bool(node, "NoRequireSTARTTLS") ? STR("STARTTLS optional") : STR("STARTTLS required");
}

static int by_name(const void *a, const void *b)
{
    return str_cmp((*(const struct sconf_node *const *)a)->key, (*(const struct sconf_node *const *)b)->key);
}

static bool host_of(struct arena *a, const struct config *config, const struct sconf_node *domain,
                    const struct sconf_node *listener, struct str *out, struct err *e)
{
    struct str own = sconf_text(domain, "ClientSettingsDomain");

    if (!own.n)
        own = sconf_text(listener, "Hostname");
    *out = config->hostname;
    return !own.n || domain_to_ascii(a, own, out, e);
}

bool client_table_put(struct arena *a, const struct config *config, const struct sconf_node *domain,
                      struct buf *out, struct err *e)
{
    const struct sconf_node **listeners = NULL;
    size_t n = 0, cap = 0;

    SCONF_EACH (l, sconf_get(config->main.root, "Listeners"))
        *ARENA_PUSH(a, listeners, &n, &cap) = l;
    if (n)
        qsort(listeners, n, sizeof *listeners, by_name);
    put_row(out, "Protocol", STR("Host"), "Port", STR("Listener"), STR("Note"));
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < COUNT(services); j++) {
            const struct sconf_node *node = sconf_get(listeners[i], services[j].name);
            AUTO_BUF port = BUF_LIMIT(16);
            struct str host;

            if (!sconf_bool(node, "Enabled"))
                continue;
            if (!host_of(a, config, domain, listeners[i], &host, e))
                return false;
            buf_printf(&port, "%u", (unsigned)sconf_u64(node, "Port", services[j].port));
            put_row(out, services[j].protocol, host, arena_cstring(a, buf_str(&port)), listeners[i]->key,
                    note_of(a, &services[j], listeners[i], node));
        }
    BUF_PUT(out, "\nThe user name is the email address. If the client lets you choose how to log in, choose the\n"
                 "first of these that it has, so that nobody in between can make it choose less: SCRAM-SHA-256-PLUS,\n"
                 "SCRAM-SHA-1-PLUS, SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5.\n");
    return true;
}
