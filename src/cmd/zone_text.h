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

/* Whom an ACME section gets certificates from, as CAA records name it; or empty. */
struct str zone_issuer(const struct sconf_node *provider);
/* The text of the record about the document of PACC; empty when there can be none. */
struct str zone_pacc(struct arena *a, const struct config *config, const struct sconf_node *domain);
void zone_put_hex(struct buf *out, struct str bytes);
