/*
 * For fuzzers: a domain with a key that is always the same, in a zone that knows nothing else.
 */
#pragma once

#include "base/cur.h"
#include "base/die.h"
#include "message/header.h"
#include "policy/arc.h"
#include "policy/dkim_priv.h"
#include "policy/dns_zone.h"

#define FUZZ_KEY                                                                                   \
    "-----BEGIN PRIVATE KEY-----\n"                                                                \
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"                           \
    "-----END PRIVATE KEY-----\n"
// The key of RFC 8463 A.1 and A.2.
#define FUZZ_ZONE                                                                                  \
    "s._domainkey.f.example TXT v=DKIM1; k=ed25519; "                                              \
    "p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

static inline bool fuzz_sign(void *ctx, struct str digest, struct buf *signature, struct err *e)
{
    return private_key_sign_sha256(ctx, digest, signature, e);
}

static inline struct private_key *fuzz_key(void)
{
    static struct private_key *key;
    struct err e = {0};

    if (!key)
        key = private_key_parse(STR(FUZZ_KEY), &e);
    if (!key)
        die("%s", e.text);
    return key;
}

static inline struct dns fuzz_dns(struct arena *a, struct dns_zone *zone)
{
    struct err e = {0};

    if (!dns_zone_parse(a, STR(FUZZ_ZONE), zone, &e))
        die("%s", e.text);
    return dns_zone_dns(zone);
}

// The input as a header and a body, at its first empty line.
static inline void fuzz_split(struct str in, struct str *header, struct str *body)
{
    ptrdiff_t end = str_find_str(in, STR("\r\n\r\n"));

    *header = end < 0 ? in : str_sub(in, 0, (size_t)end + 2);
    *body = end < 0 ? STR("") : str_from(in, (size_t)end + 4);
}
