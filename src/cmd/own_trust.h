/*
 * Whom verbs trust when they connect: what TLS.CA of mox.conf says, as the server does, where they read the configuration;
 * else the system's authorities, or those of SSL_CERT_FILE.
 */
#pragma once

#include "config/config.h"
#include "crypto/tls_client.h"

struct own_trust {
    struct str pem;  // of further authorities
    bool is_alone;   // without the system's
};
/* Reads the files, which pem is copied from into a. */
MUST_USE bool own_trust_of(struct arena *a, const struct config *config, struct own_trust *out, struct err *e);
/* A client that trusts them; NULL stands for the system's. NULL on failure. */
struct tls_client *own_tls_client(const struct own_trust *trust, struct err *e);
