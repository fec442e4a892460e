#include "role/config/transport.h"

#include "ipc/compiled.h"
#include "text/idna.h"

static struct str ascii(struct arena *a, struct str host)
{
    struct str out;
    struct err e = {0};

    return domain_to_ascii(a, host, &out, &e) ? out : host; // an address stays one
}

// With a space between them.
static struct str joined(struct arena *a, const struct sconf_node *list, bool are_domains)
{
    AUTO_BUF out = BUF_LIMIT(IPC_MAX_RECORD);

    SCONF_EACH (n, list) {
        bool has_dot = are_domains && str_starts(n->value, STR(".")) && n->value.n > 1;

        if (out.n)
            BUF_PUT(&out, " ");
        if (has_dot)
            BUF_PUT(&out, ".");
        buf_put(&out, are_domains ? ascii(a, str_from(n->value, has_dot)) : n->value);
    }
    return arena_dup(a, buf_str(&out));
}

static uint8_t tls_of(const struct sconf_node *t)
{
    return sconf_bool(t, "NoSTARTTLS")                    ? IPC_WAY_PLAIN
           : sconf_bool(t, "STARTTLSInsecureSkipVerify") ? IPC_WAY_UNVERIFIED
                                                         : IPC_WAY_STARTTLS;
}

// mox-smtp-delivery.md 3.6: from strongest to weakest, and PLAIN only when it is named.
static const char usual_mechanisms[] =
    "SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 CRAM-MD5";

static bool put_relay(struct arena *a, struct str name, const struct sconf_node *t, unsigned port,
                      uint8_t tls, struct buf *transports, struct buf *dial_ports)
{
    const struct sconf_node *auth = sconf_get(t, "Auth");
    struct str mechanisms = joined(a, sconf_get(auth, "Mechanisms"), false);

    if (!t)
        return false;
    port = (unsigned)sconf_u64(t, "Port", port);
    COMPILED_PUT(transports, transport, .name = name, .kind = TRANSPORT_RELAY,
                 .host = ascii(a, sconf_text(t, "Host")), .port = port, .tls = tls,
                 .username = sconf_text(auth, "Username"), .password = sconf_text(auth, "Password"),
                 .mechanisms = mechanisms.n ? mechanisms : str_of(usual_mechanisms), .families = 3);
    COMPILED_PUT(dial_ports, dial_port, .port = port);
    return true;
}

static void put_transport(struct arena *a, const struct sconf_node *n, struct buf *transports,
                          struct buf *dial_ports)
{
    const struct sconf_node *submission = sconf_get(n, "Submission"), *smtp = sconf_get(n, "SMTP");
    const struct sconf_node *socks = sconf_get(n, "Socks"), *direct = sconf_get(n, "Direct");
    const struct sconf_node *fail = sconf_get(n, "Fail");

    if (put_relay(a, n->key, sconf_get(n, "Submissions"), 465, IPC_WAY_IMMEDIATE, transports,
                  dial_ports) ||
        put_relay(a, n->key, submission, 587, tls_of(submission), transports, dial_ports) ||
        put_relay(a, n->key, smtp, 25, tls_of(smtp), transports, dial_ports))
        return;
    if (socks) {
        struct str address = sconf_text(socks, "Address");
        size_t colon = (size_t)str_find_last(address, ':');
        struct str host = str_sub(address, 0, colon);
        uint64_t port = 0;

        if (str_starts(host, STR("[")) && str_ends(host, STR("]")))
            host = str_sub(host, 1, host.n - 2);
        if (!str_u64(str_from(address, colon + 1), UINT16_MAX, &port))
            port = 0;
        COMPILED_PUT(transports, transport, .name = n->key, .kind = TRANSPORT_SOCKS,
                     .host = ascii(a, host), .port = (uint32_t)port, .families = 3,
                     .hello = ascii(a, sconf_text(socks, "RemoteHostname")));
        COMPILED_PUT(dial_ports, dial_port, .port = (uint32_t)port);
    } else if (fail) {
        struct str text = sconf_text(fail, "SMTPMessage");

        COMPILED_PUT(transports, transport, .name = n->key, .kind = TRANSPORT_FAIL,
                     .code = (uint32_t)sconf_u64(fail, "SMTPCode", 554),
                     .text = text.n ? text : STR("transport fails"));
    } else {
        COMPILED_PUT(transports, transport, .name = n->key, .kind = TRANSPORT_DIRECT,
                     .families = (sconf_bool(direct, "DisableIPv4") ? 0 : 1) |
                                 (sconf_bool(direct, "DisableIPv6") ? 0 : 2));
    }
}

static void put_routes(struct arena *a, enum route_scope scope, struct str owner,
                       const struct sconf_node *routes, struct buf *out)
{
    SCONF_EACH (n, routes)
        COMPILED_PUT(out, route, .scope = (uint8_t)scope, .owner = owner,
                     .from = joined(a, sconf_get(n, "FromDomain"), true),
                     .to = joined(a, sconf_get(n, "ToDomain"), true),
                     .min_attempts = (uint32_t)sconf_u64(n, "MinimumAttempts", 0),
                     .transport = sconf_text(n, "Transport"));
}

void compile_transports(struct arena *a, const struct config *config, struct buf *transports,
                        struct buf *dial_ports)
{
    const struct sconf_node *domains = config->domains.root;

    SCONF_EACH (n, sconf_get(config->main.root, "Transports"))
        put_transport(a, n, transports, dial_ports);
    SCONF_EACH (n, sconf_get(domains, "Accounts"))
        put_routes(a, ROUTE_ACCOUNT, n->key, sconf_get(n, "Routes"), transports);
    SCONF_EACH (n, sconf_get(domains, "Domains"))
        put_routes(a, ROUTE_DOMAIN, ascii(a, n->key), sconf_get(n, "Routes"), transports);
    put_routes(a, ROUTE_ALL, STR(""), sconf_get(domains, "Routes"), transports);
}
