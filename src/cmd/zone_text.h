/*
 * What the DNS has to say of a domain, as the lines of a zone file (mox-imap-store-cli-config.md 3.5,
 * "DNS records").
 */
#pragma once

#include "config/config.h"

/* domain: its entry in domains.conf. has_dnssec: whether the name of this server is signed. */
MUST_USE bool zone_text_put(struct arena *a, const struct config *config, const struct sconf_node *domain,
                              bool has_dnssec, struct buf *out, struct err *e);

/* The keys that the host keeps when its certificates are renewed, of listeners for SMTP. */
struct host_key {
    bool is_rsa;
    struct str digest; // SHA-256 of the public key, as in a TLSA record
};
struct host_keys {
    struct host_key *items;
    size_t n, cap;
};
MUST_USE bool zone_host_keys(struct arena *a, const struct config *config, struct host_keys *out, struct err *e);

/* A service for mail clients, and the record that says where it is (RFC 6186 3, RFC 8314 5.1). */
struct zone_service {
    const char *label; // of the record, with its dot
    uint16_t port;
    const char *name;  // in a listener; NULL: we never have it
    const char *over;  // the one with TLS from the first byte on, which clients are sent to if there is one
};
enum { ZONE_SERVICES = 6 };
extern const struct zone_service zone_services[ZONE_SERVICES];
bool zone_has_service(const struct config *config, const char *name);
/* Whether the record leads to this server; if not, it says that there is no such service. */
bool zone_offers(const struct config *config, const struct zone_service *service);

/* Whom an ACME section gets certificates from, as CAA records name it; or empty. */
struct str zone_issuer(const struct sconf_node *provider);
/* How it can be shown that names are ours (RFC 8657 4), with commas between: "tls-alpn-01,http-01". */
struct str zone_validation_methods(const struct sconf_node *provider);
/* The URL of our account there (RFC 8657 3), once there is one and if we may know; or empty. */
struct str zone_account_uri(struct arena *a, const struct config *config, const struct sconf_node *provider);
/* The text of the record about the document of PACC; empty when there can be none. */
struct str zone_pacc(struct arena *a, const struct config *config, const struct sconf_node *domain);
void zone_put_hex(struct buf *out, struct str bytes);
