/*
 * What is served by HTTP: which ports a listener has for it, which services on each, and what is known of domains.
 */
#pragma once

#include "config/config.h"
#include "ipc/compiled.h"

enum { WEB_MAX_PORTS = 16 };

struct web_port {
    uint32_t port;
    bool has_tls, is_forwarded, no_rate_limit;
    bool has_mail; // ALPN may lead to submission or IMAP
    struct web_on_port {
        enum web_kind kind;
        struct str path;
    } services[WEB_MAX_PORTS];
    size_t n_services;
};

/*
 * The ports of a listener on which HTTP is spoken; the configuration has been checked. acme_port: where tls-alpn-01 is
 * answered, whether there is a service or not; 0: nowhere. That is where clients come who mean port 443; where there is
 * none, it is 443, and EnabledOnHTTPS has it opened, too.
 */
size_t web_ports_of(struct arena *a, const struct sconf_node *listener, uint32_t acme_port,
                    struct web_port out[WEB_MAX_PORTS]);
/* What does not depend on a listener. */
void compile_web_domains(struct arena *a, const struct config *config, struct buf *out);
/* The web server of domains.conf: for the web role, and the servers behind the proxy for dial. */
void compile_web_sites(struct arena *a, const struct config *config, struct buf *out, struct buf *targets);
