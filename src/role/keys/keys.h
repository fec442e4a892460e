/*
 * What the files of keys share: the private keys by their numbers.
 */
#pragma once

#include "crypto/crypto.h"
#include "role/service.h"

/* A key that TLS handshakes are signed with: of a listener's file, or of an authority's certificate. */
struct tls_key {
    uint32_t number;
    struct private_key *key;
    uint32_t listener;
    struct str provider; // heap; empty: of that listener alone
    struct tls_key *next;
};

/* Keys of certificates from authorities have numbers made of their fingerprint, and this bit. */
#define KEYS_AUTHORITY_BIT (UINT32_C(1) << 31)

/* Takes over the key. A number may be that of several, for several listeners or authorities. */
struct tls_key *keys_add(uint32_t number, struct private_key *key, uint32_t listener, struct str provider);
void keys_remove(struct tls_key *k); // NULL: none

/* acme.c: keys of authorities' accounts and certificates. Reads what there is; in the directory data/acme. */
MUST_USE bool acme_open(struct role_start *s, struct err *e);
/* The configuration and the files it names have changed. */
MUST_USE bool acme_reload(struct role_start *s, struct str config, int host_keys, struct err *e);
/* A message of the acme role. */
MUST_USE bool acme_message(struct service_peer *p, struct packet *packet, struct err *e);
